// SPDX-License-Identifier: Apache-2.0
//! Requests: everything a client can ask for after the handshake.

use alloc::vec::Vec;

use super::{
    code::OpCode,
    records::{Acl, decode_acls, encode_acls},
};
use crate::jute::{Malformed, Reader, Write};

/// A request's body. Null paths read as empty ones: both can never be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// create, create2, createContainer, createTTL.
    Create(Create<'a>),
    /// delete.
    Delete {
        /// The znode.
        path: &'a [u8],
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// exists.
    Exists {
        /// The znode.
        path: &'a [u8],
        /// Whether to leave a watch.
        watch: bool,
    },
    /// getData.
    GetData {
        /// The znode.
        path: &'a [u8],
        /// Whether to leave a watch.
        watch: bool,
    },
    /// setData.
    SetData {
        /// The znode.
        path: &'a [u8],
        /// The new data; null differs from empty.
        data: Option<&'a [u8]>,
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// getACL.
    GetAcl {
        /// The znode.
        path: &'a [u8],
    },
    /// setACL.
    SetAcl {
        /// The znode.
        path: &'a [u8],
        /// The new list.
        acl: Option<Vec<Acl<'a>>>,
        /// The ACL version it must have; -1 for any.
        version: i32,
    },
    /// getChildren.
    GetChildren {
        /// The znode.
        path: &'a [u8],
        /// Whether to leave a watch.
        watch: bool,
    },
    /// getChildren2.
    GetChildren2 {
        /// The znode.
        path: &'a [u8],
        /// Whether to leave a watch.
        watch: bool,
    },
    /// sync.
    Sync {
        /// Any path; it comes back.
        path: &'a [u8],
    },
    /// ping.
    Ping,
    /// check, legal only inside multi.
    Check {
        /// The znode.
        path: &'a [u8],
        /// The version it must have; -1 for any.
        version: i32,
    },
    /// multi.
    Multi(Vec<Request<'a>>),
    /// multiRead.
    MultiRead(Vec<Request<'a>>),
    /// reconfig.
    Reconfig {
        /// Members to add, comma separated.
        joining: Option<&'a [u8]>,
        /// Ids to remove, comma separated.
        leaving: Option<&'a [u8]>,
        /// The whole new membership.
        members: Option<&'a [u8]>,
        /// The configuration it must follow; -1 for any.
        from_config: i64,
    },
    /// checkWatches.
    CheckWatches {
        /// The znode.
        path: &'a [u8],
        /// The watcher type's number.
        kind: i32,
    },
    /// removeWatches.
    RemoveWatches {
        /// The znode.
        path: &'a [u8],
        /// The watcher type's number.
        kind: i32,
    },
    /// deleteContainer.
    DeleteContainer {
        /// The znode.
        path: &'a [u8],
    },
    /// auth.
    Auth {
        /// Always 0.
        kind: i32,
        /// The scheme.
        scheme: &'a [u8],
        /// The proof, in the scheme's form.
        auth: &'a [u8],
    },
    /// setWatches.
    SetWatches(SetWatches<'a>),
    /// setWatches2.
    SetWatches2(SetWatches<'a>),
    /// sasl.
    Sasl {
        /// The client's token.
        token: &'a [u8],
    },
    /// getEphemerals.
    GetEphemerals {
        /// Only paths that begin so.
        prefix: &'a [u8],
    },
    /// getAllChildrenNumber.
    GetAllChildrenNumber {
        /// The znode.
        path: &'a [u8],
    },
    /// addWatch.
    AddWatch {
        /// The znode.
        path: &'a [u8],
        /// 0 persistent, 1 persistent and recursive.
        mode: i32,
    },
    /// whoAmI.
    WhoAmI,
    /// closeSession.
    CloseSession,
}

/// A znode to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create<'a> {
    /// Which operation asks for it.
    pub kind: CreateKind,
    /// The path, or its beginning if sequential.
    pub path: &'a [u8],
    /// The data; null differs from empty.
    pub data: Option<&'a [u8]>,
    /// The ACL.
    pub acl: Option<Vec<Acl<'a>>>,
    /// The create mode's number, as sent.
    pub flags: i32,
}

/// The operation that creates a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateKind {
    /// create: answers the path.
    Create,
    /// create2: answers path and Stat.
    Create2,
    /// createContainer: answers path and Stat.
    Container,
    /// createTTL: answers path and Stat.
    Ttl {
        /// The time to live in milliseconds.
        ttl: i64,
    },
}

/// The watches a client registers again after a reconnect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetWatches<'a> {
    /// The newest zxid the client had seen.
    pub relative_zxid: i64,
    /// Data watches.
    pub data: Vec<&'a [u8]>,
    /// Watches for creation.
    pub exist: Vec<&'a [u8]>,
    /// Child watches.
    pub child: Vec<&'a [u8]>,
    /// Persistent watches (setWatches2 only).
    pub persistent: Vec<&'a [u8]>,
    /// Persistent recursive watches (setWatches2 only).
    pub recursive: Vec<&'a [u8]>,
}

/// Why bytes are not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No operation has this number, or clients may not ask for it.
    Unknown,
    /// The body is not the operation's.
    Malformed,
}

impl From<Malformed> for RequestError {
    fn from(_: Malformed) -> RequestError {
        RequestError::Malformed
    }
}

impl<'a> Request<'a> {
    /// Reads the body of operation number `op`. What follows the body is left alone, as in Java.
    pub fn decode(op: i32, r: &mut Reader<'a>) -> Result<Request<'a>, RequestError> {
        let op = OpCode::from_code(op).ok_or(RequestError::Unknown)?;
        Ok(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Request::Create(Create::decode(op, r)?)
            }
            OpCode::Delete => Request::Delete { path: path(r)?, version: r.int()? },
            OpCode::Exists => Request::Exists { path: path(r)?, watch: r.bool()? },
            OpCode::GetData => Request::GetData { path: path(r)?, watch: r.bool()? },
            OpCode::SetData => {
                Request::SetData { path: path(r)?, data: r.buffer()?, version: r.int()? }
            }
            OpCode::GetAcl => Request::GetAcl { path: path(r)? },
            OpCode::SetAcl => {
                Request::SetAcl { path: path(r)?, acl: decode_acls(r)?, version: r.int()? }
            }
            OpCode::GetChildren => Request::GetChildren { path: path(r)?, watch: r.bool()? },
            OpCode::GetChildren2 => Request::GetChildren2 { path: path(r)?, watch: r.bool()? },
            OpCode::Sync => Request::Sync { path: path(r)? },
            OpCode::Ping => Request::Ping,
            OpCode::Check => Request::Check { path: path(r)?, version: r.int()? },
            OpCode::Multi => Request::Multi(decode_multi(r, is_multi_write)?),
            OpCode::MultiRead => Request::MultiRead(decode_multi(r, is_multi_read)?),
            OpCode::Reconfig => Request::Reconfig {
                joining: r.buffer()?,
                leaving: r.buffer()?,
                members: r.buffer()?,
                from_config: r.long()?,
            },
            OpCode::CheckWatches => Request::CheckWatches { path: path(r)?, kind: r.int()? },
            OpCode::RemoveWatches => Request::RemoveWatches { path: path(r)?, kind: r.int()? },
            OpCode::DeleteContainer => Request::DeleteContainer { path: path(r)? },
            OpCode::Auth => Request::Auth { kind: r.int()?, scheme: path(r)?, auth: path(r)? },
            OpCode::SetWatches => Request::SetWatches(SetWatches::decode(r, false)?),
            OpCode::SetWatches2 => Request::SetWatches2(SetWatches::decode(r, true)?),
            OpCode::Sasl => Request::Sasl { token: path(r)? },
            OpCode::GetEphemerals => Request::GetEphemerals { prefix: path(r)? },
            OpCode::GetAllChildrenNumber => Request::GetAllChildrenNumber { path: path(r)? },
            OpCode::AddWatch => Request::AddWatch { path: path(r)?, mode: r.int()? },
            OpCode::WhoAmI => Request::WhoAmI,
            OpCode::CloseSession => Request::CloseSession,
            OpCode::Notification | OpCode::CreateSession | OpCode::Error => {
                return Err(RequestError::Unknown);
            }
        })
    }

    /// Whether it makes a transaction that ZooKeeper 3.4 cannot read.
    pub fn is_beyond_3_4(&self) -> bool {
        match self {
            Request::Multi(requests) => requests.iter().any(Request::is_beyond_3_4),
            request => request.op().is_beyond_3_4(),
        }
    }

    /// The operation that this is the body of.
    pub fn op(&self) -> OpCode {
        match self {
            Request::Create(create) => create.op(),
            Request::Delete { .. } => OpCode::Delete,
            Request::Exists { .. } => OpCode::Exists,
            Request::GetData { .. } => OpCode::GetData,
            Request::SetData { .. } => OpCode::SetData,
            Request::GetAcl { .. } => OpCode::GetAcl,
            Request::SetAcl { .. } => OpCode::SetAcl,
            Request::GetChildren { .. } => OpCode::GetChildren,
            Request::GetChildren2 { .. } => OpCode::GetChildren2,
            Request::Sync { .. } => OpCode::Sync,
            Request::Ping => OpCode::Ping,
            Request::Check { .. } => OpCode::Check,
            Request::Multi(_) => OpCode::Multi,
            Request::MultiRead(_) => OpCode::MultiRead,
            Request::Reconfig { .. } => OpCode::Reconfig,
            Request::CheckWatches { .. } => OpCode::CheckWatches,
            Request::RemoveWatches { .. } => OpCode::RemoveWatches,
            Request::DeleteContainer { .. } => OpCode::DeleteContainer,
            Request::Auth { .. } => OpCode::Auth,
            Request::SetWatches(_) => OpCode::SetWatches,
            Request::SetWatches2(_) => OpCode::SetWatches2,
            Request::Sasl { .. } => OpCode::Sasl,
            Request::GetEphemerals { .. } => OpCode::GetEphemerals,
            Request::GetAllChildrenNumber { .. } => OpCode::GetAllChildrenNumber,
            Request::AddWatch { .. } => OpCode::AddWatch,
            Request::WhoAmI => OpCode::WhoAmI,
            Request::CloseSession => OpCode::CloseSession,
        }
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Create(create) => create.encode(out),
            Request::Delete { path, version } | Request::Check { path, version } => {
                out.put_string(path);
                out.put_int(*version);
            }
            Request::Exists { path, watch }
            | Request::GetData { path, watch }
            | Request::GetChildren { path, watch }
            | Request::GetChildren2 { path, watch } => {
                out.put_string(path);
                out.put_bool(*watch);
            }
            Request::SetData { path, data, version } => {
                out.put_string(path);
                out.put_buffer(*data);
                out.put_int(*version);
            }
            Request::SetAcl { path, acl, version } => {
                out.put_string(path);
                encode_acls(acl.as_deref(), out);
                out.put_int(*version);
            }
            Request::GetAcl { path }
            | Request::Sync { path }
            | Request::DeleteContainer { path }
            | Request::GetAllChildrenNumber { path }
            | Request::GetEphemerals { prefix: path }
            | Request::Sasl { token: path } => out.put_string(path),
            Request::Multi(ops) | Request::MultiRead(ops) => encode_multi(ops, out),
            Request::Reconfig { joining, leaving, members, from_config } => {
                out.put_buffer(*joining);
                out.put_buffer(*leaving);
                out.put_buffer(*members);
                out.put_long(*from_config);
            }
            Request::CheckWatches { path, kind: number }
            | Request::RemoveWatches { path, kind: number }
            | Request::AddWatch { path, mode: number } => {
                out.put_string(path);
                out.put_int(*number);
            }
            Request::Auth { kind, scheme, auth } => {
                out.put_int(*kind);
                out.put_string(scheme);
                out.put_string(auth);
            }
            Request::SetWatches(watches) => watches.encode(false, out),
            Request::SetWatches2(watches) => watches.encode(true, out),
            Request::Ping | Request::WhoAmI | Request::CloseSession => {}
        }
    }
}

impl<'a> Create<'a> {
    fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Create<'a>, Malformed> {
        let (path, data, acl, flags) = (path(r)?, r.buffer()?, decode_acls(r)?, r.int()?);
        let kind = match op {
            OpCode::Create2 => CreateKind::Create2,
            OpCode::CreateContainer => CreateKind::Container,
            OpCode::CreateTtl => CreateKind::Ttl { ttl: r.long()? },
            _ => CreateKind::Create,
        };
        Ok(Create { kind, path, data, acl, flags })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_string(self.path);
        out.put_buffer(self.data);
        encode_acls(self.acl.as_deref(), out);
        out.put_int(self.flags);
        if let CreateKind::Ttl { ttl } = self.kind {
            out.put_long(ttl);
        }
    }

    fn op(&self) -> OpCode {
        match self.kind {
            CreateKind::Create => OpCode::Create,
            CreateKind::Create2 => OpCode::Create2,
            CreateKind::Container => OpCode::CreateContainer,
            CreateKind::Ttl { .. } => OpCode::CreateTtl,
        }
    }
}

impl<'a> SetWatches<'a> {
    fn decode(r: &mut Reader<'a>, second: bool) -> Result<SetWatches<'a>, Malformed> {
        let mut watches = SetWatches {
            relative_zxid: r.long()?,
            data: paths(r)?,
            exist: paths(r)?,
            child: paths(r)?,
            ..SetWatches::default()
        };
        if second {
            watches.persistent = paths(r)?;
            watches.recursive = paths(r)?;
        }
        Ok(watches)
    }

    fn encode(&self, second: bool, out: &mut Vec<u8>) {
        out.put_long(self.relative_zxid);
        let lists = [&self.data, &self.exist, &self.child, &self.persistent, &self.recursive];
        for list in &lists[..if second { 5 } else { 3 }] {
            out.put_count(list.len());
            for path in *list {
                out.put_string(path);
            }
        }
    }
}

fn path<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    Ok(r.buffer()?.unwrap_or_default())
}

fn paths<'a>(r: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let n = r.vector(4)?.unwrap_or(0);
    (0..n).map(|_| path(r)).collect()
}

/// Reads the operations of a multi: each behind a header {type, done, err}, the last header done.
fn decode_multi<'a>(
    r: &mut Reader<'a>,
    legal: fn(OpCode) -> bool,
) -> Result<Vec<Request<'a>>, Malformed> {
    let mut ops = Vec::new();
    loop {
        let (op, done, _err) = (r.int()?, r.bool()?, r.int()?);
        if done {
            return Ok(ops);
        }
        if !OpCode::from_code(op).is_some_and(legal) {
            return Err(Malformed);
        }
        ops.push(Request::decode(op, r).map_err(|_| Malformed)?);
    }
}

fn encode_multi(ops: &[Request<'_>], out: &mut Vec<u8>) {
    for op in ops {
        out.put_int(op.op().code());
        out.put_bool(false);
        out.put_int(-1);
        op.encode(out);
    }
    out.put_int(-1);
    out.put_bool(true);
    out.put_int(-1);
}

fn is_multi_write(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::Check
    )
}

fn is_multi_read(op: OpCode) -> bool {
    matches!(op, OpCode::GetData | OpCode::GetChildren)
}
