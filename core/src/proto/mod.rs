// SPDX-License-Identifier: Apache-2.0
//! The records of ZooKeeper's client protocol: what travels between a client and a server.
//!
//! Records borrow from the frame they were read from. Numbers and shapes are those of
//! `zookeeper.jute` and `ZooDefs`/`KeeperException` in ZooKeeper 3.9.

mod code;
mod records;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use code::{ErrorCode, EventKind, OpCode};
pub use records::{
    Acl, ConnectRequest, ConnectResponse, Identity, ReplyHeader, RequestHeader, Stat, WatcherEvent,
    decode_acls, encode_acls, perms,
};
pub use request::{Create, CreateKind, Request, RequestError, SetWatches};
pub use response::{OpResult, Response, end_multi};

/// The xid of watch notifications.
pub const XID_NOTIFICATION: i32 = -1;
/// The xid of pings and their replies.
pub const XID_PING: i32 = -2;
/// The xid of auth packets and their replies.
pub const XID_AUTH: i32 = -4;
/// The xid of setWatches and setWatches2 and their replies.
pub const XID_SET_WATCHES: i32 = -8;
/// The length of session passwords, in bytes.
pub const PASSWORD_LEN: usize = 16;
