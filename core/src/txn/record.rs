// SPDX-License-Identifier: Apache-2.0
//! Transaction records, byte for byte as Java's `org.apache.zookeeper.txn` writes them.

use alloc::vec::Vec;

use crate::{
    id::{SessionId, Zxid},
    jute::{Malformed, Reader, Record, Write},
    proto::{Acl, OpCode, decode_acls, encode_acls},
};

/// The head of every transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked for it.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// Its place in history.
    pub zxid: Zxid,
    /// The leader's wall clock, in milliseconds since the Unix epoch.
    pub time: i64,
    /// The number of its operation.
    pub op: i32,
}

impl Record<'_> for TxnHeader {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(TxnHeader {
            session: SessionId(r.long()?),
            cxid: r.int()?,
            zxid: Zxid(r.long()?),
            time: r.long()?,
            op: r.int()?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.session.0);
        out.put_int(self.cxid);
        out.put_long(self.zxid.0);
        out.put_long(self.time);
        out.put_int(self.op);
    }
}

/// The body of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Txn<'a> {
    /// create, create2, createContainer, createTTL.
    Create(CreateTxn<'a>),
    /// delete and deleteContainer.
    Delete {
        /// The znode.
        path: &'a [u8],
        /// Whether the sweeper did it (deleteContainer).
        container: bool,
    },
    /// setData, and reconfig, which sets the data of `/zookeeper/config`.
    SetData {
        /// The znode.
        path: &'a [u8],
        /// The new data.
        data: Option<&'a [u8]>,
        /// The new version.
        version: i32,
        /// Whether it is a reconfig.
        reconfig: bool,
    },
    /// setACL.
    SetAcl {
        /// The znode.
        path: &'a [u8],
        /// The new list.
        acl: Option<Vec<Acl<'a>>>,
        /// The new ACL version.
        version: i32,
    },
    /// check, inside multi.
    Check {
        /// The znode.
        path: &'a [u8],
        /// The version it had.
        version: i32,
    },
    /// createSession.
    CreateSession {
        /// The negotiated timeout in milliseconds.
        timeout_ms: i32,
    },
    /// closeSession.
    CloseSession {
        /// The ephemeral znodes that go with it; `None` in the empty form of 3.4, which means all
        /// that the session owns when it is applied.
        paths: Option<Vec<&'a [u8]>>,
    },
    /// A write that failed.
    Error {
        /// The error's number.
        err: i32,
    },
    /// Several at once.
    Multi(Vec<Txn<'a>>),
}

/// A znode created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTxn<'a> {
    /// The final path.
    pub path: &'a [u8],
    /// The data.
    pub data: Option<&'a [u8]>,
    /// The ACL.
    pub acl: Option<Vec<Acl<'a>>>,
    /// What kind of znode, by which operation.
    pub kind: TxnKind,
    /// The parent's stored cversion afterwards; -1 in the form without it, which means one more.
    pub parent_cversion: i32,
}

/// What kind of znode a [`CreateTxn`] creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnKind {
    /// By create or create2.
    Plain {
        /// Whether the header's session owns it.
        ephemeral: bool,
        /// Whether by create2.
        create2: bool,
    },
    /// A container.
    Container,
    /// With a time to live.
    Ttl {
        /// Milliseconds.
        ttl: i64,
    },
}

impl<'a> Txn<'a> {
    /// Reads the body of operation number `op`; bytes behind it stay with the reader.
    pub fn decode(op: i32, r: &mut Reader<'a>) -> Result<Txn<'a>, Malformed> {
        Ok(match OpCode::from_code(op).ok_or(Malformed)? {
            code @ (OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl) => Txn::Create(CreateTxn::decode(code, r)?),
            OpCode::Delete => Txn::Delete { path: r.string()?, container: false },
            OpCode::DeleteContainer => Txn::Delete { path: r.string()?, container: true },
            code @ (OpCode::SetData | OpCode::Reconfig) => Txn::SetData {
                path: r.string()?,
                data: r.buffer()?,
                version: r.int()?,
                reconfig: code == OpCode::Reconfig,
            },
            OpCode::SetAcl => {
                Txn::SetAcl { path: r.string()?, acl: decode_acls(r)?, version: r.int()? }
            }
            OpCode::Check => Txn::Check { path: r.string()?, version: r.int()? },
            OpCode::CreateSession => Txn::CreateSession { timeout_ms: r.int()? },
            OpCode::CloseSession => Txn::CloseSession { paths: decode_paths(r)? },
            OpCode::Error => Txn::Error { err: r.int()? },
            OpCode::Multi => {
                let n = r.vector(8)?.unwrap_or(0);
                let mut txns = Vec::with_capacity(n);
                for _ in 0..n {
                    let (op, data) = (r.int()?, r.string()?);
                    if op == OpCode::Multi.code() {
                        return Err(Malformed);
                    }
                    txns.push(Txn::decode(op, &mut Reader::new(data))?);
                }
                Txn::Multi(txns)
            }
            _ => return Err(Malformed),
        })
    }

    /// The operation in the header of a transaction with this body.
    pub fn op(&self) -> OpCode {
        match self {
            Txn::Create(create) => create.op(),
            Txn::Delete { container: false, .. } => OpCode::Delete,
            Txn::Delete { container: true, .. } => OpCode::DeleteContainer,
            Txn::SetData { reconfig: false, .. } => OpCode::SetData,
            Txn::SetData { reconfig: true, .. } => OpCode::Reconfig,
            Txn::SetAcl { .. } => OpCode::SetAcl,
            Txn::Check { .. } => OpCode::Check,
            Txn::CreateSession { .. } => OpCode::CreateSession,
            Txn::CloseSession { .. } => OpCode::CloseSession,
            Txn::Error { .. } => OpCode::Error,
            Txn::Multi(_) => OpCode::Multi,
        }
    }

    /// Whether ZooKeeper 3.4 could not log it.
    pub fn is_beyond_3_4(&self) -> bool {
        match self {
            Txn::Multi(txns) => txns.iter().any(Txn::is_beyond_3_4),
            txn => txn.op().is_beyond_3_4(),
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Txn::Create(create) => create.encode(out),
            Txn::Delete { path, .. } => out.put_string(path),
            Txn::SetData { path, data, version, .. } => {
                out.put_string(path);
                out.put_buffer(*data);
                out.put_int(*version);
            }
            Txn::SetAcl { path, acl, version } => {
                out.put_string(path);
                encode_acls(acl.as_deref(), out);
                out.put_int(*version);
            }
            Txn::Check { path, version } => {
                out.put_string(path);
                out.put_int(*version);
            }
            Txn::CreateSession { timeout_ms: number } | Txn::Error { err: number } => {
                out.put_int(*number);
            }
            Txn::CloseSession { paths } => {
                if let Some(paths) = paths {
                    out.put_count(paths.len());
                    paths.iter().for_each(|path| out.put_string(path));
                }
            }
            Txn::Multi(txns) => {
                out.put_count(txns.len());
                for txn in txns {
                    out.put_int(txn.op().code());
                    let mark = crate::jute::begin_frame(out);
                    txn.encode(out);
                    crate::jute::end_frame(out, mark);
                }
            }
        }
    }
}

impl<'a> CreateTxn<'a> {
    fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<CreateTxn<'a>, Malformed> {
        let (path, data, acl) = (r.string()?, r.buffer()?, decode_acls(r)?);
        let ephemeral = matches!(op, OpCode::Create | OpCode::Create2) && r.bool()?;
        // Logs of 3.3 and earlier end here.
        let parent_cversion = if r.is_empty() { -1 } else { r.int()? };
        let kind = match op {
            OpCode::CreateContainer => TxnKind::Container,
            OpCode::CreateTtl => TxnKind::Ttl { ttl: r.long()? },
            _ => TxnKind::Plain { ephemeral, create2: op == OpCode::Create2 },
        };
        Ok(CreateTxn { path, data, acl, kind, parent_cversion })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.path);
        out.put_buffer(self.data);
        encode_acls(self.acl.as_deref(), out);
        if let TxnKind::Plain { ephemeral, .. } = self.kind {
            out.put_bool(ephemeral);
        }
        out.put_int(self.parent_cversion);
        if let TxnKind::Ttl { ttl } = self.kind {
            out.put_long(ttl);
        }
    }

    fn op(&self) -> OpCode {
        match self.kind {
            TxnKind::Plain { create2: false, .. } => OpCode::Create,
            TxnKind::Plain { create2: true, .. } => OpCode::Create2,
            TxnKind::Container => OpCode::CreateContainer,
            TxnKind::Ttl { .. } => OpCode::CreateTtl,
        }
    }
}

/// The digest that 3.6 and later write behind a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnDigest {
    /// The version of the formula, 2.
    pub version: i32,
    /// The tree's digest after the transaction.
    pub digest: u64,
}

impl TxnDigest {
    /// Appends the digest.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.version);
        out.put_long(self.digest.cast_signed());
    }
}

/// A whole log entry: header, body and, where the writer knew it, digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnEntry<'a> {
    /// The head.
    pub header: TxnHeader,
    /// The body.
    pub txn: Txn<'a>,
    /// The tree's digest afterwards.
    pub digest: Option<TxnDigest>,
}

/// The text of the members that a log entry leads to, if it is a reconfiguration.
pub fn reconfigured(entry: &[u8]) -> Option<&[u8]> {
    let header = TxnHeader::decode(&mut Reader::new(entry)).ok()?;
    if header.op != OpCode::Reconfig.code() {
        return None;
    }
    match TxnEntry::decode(&mut Reader::new(entry)).ok()?.txn {
        Txn::SetData { data, .. } => data,
        _ => None,
    }
}

impl<'a> Record<'a> for TxnEntry<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let header = TxnHeader::decode(r)?;
        let txn = Txn::decode(header.op, r)?;
        let digest = if r.rest().len() < 12 {
            None
        } else {
            Some(TxnDigest { version: r.int()?, digest: r.long()?.cast_unsigned() })
        };
        Ok(TxnEntry { header, txn, digest })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        self.txn.encode(out);
        if let Some(digest) = self.digest {
            digest.encode(out);
        }
    }
}

/// The paths of a closeSession. Its 3.4 form has no body, yet a digest may stand where the body
/// would: what does not read as paths is left to the digest.
fn decode_paths<'a>(r: &mut Reader<'a>) -> Result<Option<Vec<&'a [u8]>>, Malformed> {
    let mut ahead = *r;
    let read = |r: &mut Reader<'a>| {
        let n = r.vector(4)?.unwrap_or(0);
        (0..n).map(|_| r.string()).collect::<Result<_, Malformed>>()
    };
    match read(&mut ahead) {
        Ok(paths) => {
            *r = ahead;
            Ok(Some(paths))
        }
        Err(Malformed) if r.is_empty() || r.rest().len() == 12 => Ok(None),
        Err(Malformed) => Err(Malformed),
    }
}
