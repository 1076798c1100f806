// SPDX-License-Identifier: Apache-2.0
//! The records that several requests and replies share.

use alloc::vec::Vec;

use crate::{
    id::{SessionId, Zxid},
    jute::{Malformed, Reader, Record, Write},
};

/// Permission bits of an ACL entry.
pub mod perms {
    /// Read data, children and Stat.
    pub const READ: i32 = 1;
    /// Replace the data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Replace the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// The newest zxid the client has seen.
    pub last_zxid_seen: Zxid,
    /// The session timeout asked for, in milliseconds.
    pub timeout_ms: i32,
    /// The session to resume, or 0.
    pub session: SessionId,
    /// The session's password; null counts as empty.
    pub password: &'a [u8],
    /// Whether a read-only server would do; `None` in the 44-byte form of old clients, which must
    /// be answered in kind.
    pub read_only: Option<bool>,
}

impl<'a> Record<'a> for ConnectRequest<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(ConnectRequest {
            protocol_version: r.int()?,
            last_zxid_seen: Zxid(r.long()?),
            timeout_ms: r.int()?,
            session: SessionId(r.long()?),
            password: r.buffer()?.unwrap_or_default(),
            read_only: if r.is_empty() { None } else { Some(r.bool()?) },
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.protocol_version);
        out.put_long(self.last_zxid_seen.0);
        out.put_int(self.timeout_ms);
        out.put_long(self.session.0);
        out.put_string(self.password);
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// The answer to a [`ConnectRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// The negotiated timeout in milliseconds; 0 says that the session has expired.
    pub timeout_ms: i32,
    /// The session; 0 if it has expired.
    pub session: SessionId,
    /// The session's password, 16 bytes.
    pub password: &'a [u8],
    /// Whether this server is read-only; left out for clients that left it out.
    pub read_only: Option<bool>,
}

impl<'a> Record<'a> for ConnectResponse<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(ConnectResponse {
            protocol_version: r.int()?,
            timeout_ms: r.int()?,
            session: SessionId(r.long()?),
            password: r.buffer()?.unwrap_or_default(),
            read_only: if r.is_empty() { None } else { Some(r.bool()?) },
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.protocol_version);
        out.put_int(self.timeout_ms);
        out.put_long(self.session.0);
        out.put_string(self.password);
        if let Some(read_only) = self.read_only {
            out.put_bool(read_only);
        }
    }
}

/// What stands before each request but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The client's number for the request.
    pub xid: i32,
    /// The operation's number, known or not.
    pub op: i32,
}

impl Record<'_> for RequestHeader {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(RequestHeader { xid: r.int()?, op: r.int()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.xid);
        out.put_int(self.op);
    }
}

/// What stands before each reply; the body follows only if `err` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's xid.
    pub xid: i32,
    /// The newest transaction this server had applied.
    pub zxid: Zxid,
    /// The error's number.
    pub err: i32,
}

impl Record<'_> for ReplyHeader {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(ReplyHeader { xid: r.int()?, zxid: Zxid(r.long()?), err: r.int()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.xid);
        out.put_long(self.zxid.0);
        out.put_int(self.err);
    }
}

/// A znode's numbers, as clients see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The transaction that last changed its data.
    pub mzxid: Zxid,
    /// When it was created, in milliseconds since the Unix epoch.
    pub ctime: i64,
    /// When its data last changed.
    pub mtime: i64,
    /// Changes of data.
    pub version: i32,
    /// Changes of children: `2 * stored - children`, as Java shows it.
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// The session that owns it, if it is ephemeral.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// Children.
    pub num_children: i32,
    /// The transaction that last changed its children.
    pub pzxid: Zxid,
}

impl Record<'_> for Stat {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Stat {
            czxid: Zxid(r.long()?),
            mzxid: Zxid(r.long()?),
            ctime: r.long()?,
            mtime: r.long()?,
            version: r.int()?,
            cversion: r.int()?,
            aversion: r.int()?,
            ephemeral_owner: r.long()?,
            data_length: r.int()?,
            num_children: r.int()?,
            pzxid: Zxid(r.long()?),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime);
        out.put_long(self.mtime);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.ephemeral_owner);
        out.put_int(self.data_length);
        out.put_int(self.num_children);
        out.put_long(self.pzxid.0);
    }
}

/// Who someone is under one scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity<'a> {
    /// `world`, `auth`, `digest`, `ip`, `super`, ...
    pub scheme: &'a [u8],
    /// The name under the scheme.
    pub id: &'a [u8],
}

/// What someone may do to a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acl<'a> {
    /// Bits of [`perms`].
    pub perms: i32,
    /// Who.
    pub who: Identity<'a>,
}

impl Acl<'static> {
    /// Everybody may do everything.
    pub const OPEN: Acl<'static> =
        Acl { perms: perms::ALL, who: Identity { scheme: b"world", id: b"anyone" } };
}

impl<'a> Record<'a> for Acl<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let perms = r.int()?;
        let scheme = r.buffer()?.unwrap_or_default();
        let id = r.buffer()?.unwrap_or_default();
        Ok(Acl { perms, who: Identity { scheme, id } })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.perms);
        out.put_string(self.who.scheme);
        out.put_string(self.who.id);
    }
}

/// Reads an ACL list; `None` is null, which differs from empty.
pub fn decode_acls<'a>(r: &mut Reader<'a>) -> Result<Option<Vec<Acl<'a>>>, Malformed> {
    let Some(n) = r.vector(12)? else { return Ok(None) };
    (0..n).map(|_| Acl::decode(r)).collect::<Result<_, _>>().map(Some)
}

/// Appends an ACL list.
pub fn encode_acls(acls: Option<&[Acl<'_>]>, out: &mut Vec<u8>) {
    let Some(acls) = acls else { return out.put_int(-1) };
    out.put_count(acls.len());
    for acl in acls {
        acl.encode(out);
    }
}

/// The body of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherEvent<'a> {
    /// 1 created, 2 deleted, 3 data changed, 4 children changed.
    pub kind: i32,
    /// The session's state; servers only ever send 3, connected.
    pub state: i32,
    /// The znode.
    pub path: &'a [u8],
}

impl<'a> Record<'a> for WatcherEvent<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(WatcherEvent { kind: r.int()?, state: r.int()?, path: r.string()? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.kind);
        out.put_int(self.state);
        out.put_string(self.path);
    }
}
