// SPDX-License-Identifier: Apache-2.0
//! What goes into a client and what comes out of it.

use alloc::{string::String, vec::Vec};
use core::ops::Range;

use crate::{
    id::{LinkId, SessionId, Zxid},
    jute::{Malformed, Reader},
    proto::{ErrorCode, OpCode, Request, Response},
};

/// A request, named by the user; its reply comes under the same name. A watch goes by the name of
/// the request that left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One thing that happened outside of a client.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Time passed; send one when `poll_timeout()` is due.
    Time,
    /// A dialled link stands.
    LinkUp {
        /// The link of an [`Effect::Dial`].
        link: LinkId,
    },
    /// A link is gone, or could not be dialled.
    LinkDown {
        /// The link of an [`Effect::Dial`].
        link: LinkId,
    },
    /// A link delivered bytes, cut anywhere.
    Bytes {
        /// The link of an [`Effect::Dial`].
        link: LinkId,
        /// What it delivered.
        bytes: &'a [u8],
    },
    /// The user asks something. Exactly one [`Effect::Reply`] under this name follows.
    ///
    /// Not for ping, auth, setWatches and closeSession, which the client sends by itself.
    Submit {
        /// The request's name.
        id: RequestId,
        /// The request, with the user's paths.
        request: &'a Request<'a>,
    },
    /// The user adds an identity, now and after every reconnect. Exactly one [`Effect::Reply`]
    /// under this name follows, perhaps after a reconnect.
    Auth {
        /// The request's name.
        id: RequestId,
        /// The scheme.
        scheme: &'a [u8],
        /// The proof, in the scheme's form.
        auth: &'a [u8],
    },
    /// The user wants no more of a watch; nothing is sent.
    Forget {
        /// The request that left it.
        watch: RequestId,
        /// The path it was left on.
        path: &'a [u8],
    },
    /// The user closes the session, behind everything submitted.
    Close,
}

/// One thing to do outside of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open a link to a host, resolving its name anew.
    Dial {
        /// The link's name from now on; never used twice by one client.
        link: LinkId,
        /// `host:port`, as configured.
        host: String,
    },
    /// Send bytes of [`Effects::bytes`].
    Send {
        /// The link.
        link: LinkId,
        /// Which bytes.
        bytes: Range<usize>,
    },
    /// Close a link once everything sent to it is out, or stop dialling it. Inputs that name it
    /// later are ignored.
    HangUp {
        /// The link.
        link: LinkId,
    },
    /// Tell the user that the session's state changed.
    State(State),
    /// Tell the user that a watch fired or was removed.
    Notice(Notice),
    /// Tell the user what became of a request.
    Reply(Reply),
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No server serves it; the client is looking for one.
    Disconnected,
    /// A server serves it.
    Connected {
        /// The session.
        session: SessionId,
        /// Its negotiated timeout in milliseconds.
        timeout_ms: u32,
        /// Whether it is the session that the client had before.
        resumed: bool,
        /// Whether the server takes no writes.
        read_only: bool,
    },
    /// A server said that it has expired. Final.
    Expired,
    /// A server refused an identity. Final.
    AuthFailed,
    /// The user closed it. Final.
    Closed,
}

impl State {
    /// Whether nothing can come after it.
    pub fn is_final(self) -> bool {
        matches!(self, State::Expired | State::AuthFailed | State::Closed)
    }
}

/// What a watch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeKind {
    /// The znode was created.
    Created,
    /// The znode was deleted.
    Deleted,
    /// The znode's data changed.
    DataChanged,
    /// A child came or went.
    ChildrenChanged,
    /// A data watch was removed at the user's wish.
    DataWatchRemoved,
    /// A child watch was removed at the user's wish.
    ChildWatchRemoved,
    /// A persistent watch was removed at the user's wish.
    PersistentWatchRemoved,
}

impl NoticeKind {
    /// What a server's notification of this type says.
    pub(super) fn from_wire(kind: i32) -> Option<NoticeKind> {
        Some(match kind {
            1 => NoticeKind::Created,
            2 => NoticeKind::Deleted,
            3 => NoticeKind::DataChanged,
            4 => NoticeKind::ChildrenChanged,
            _ => return None,
        })
    }
}

/// A watch fired or was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// The user's path that it happened to.
    pub path: Vec<u8>,
    /// The transaction that did it; -1 from servers before 3.9, and for removals.
    pub zxid: Zxid,
    /// Whose watches these were, in order of name. Empty if all of them were forgotten.
    pub watches: Vec<RequestId>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request.
    pub id: RequestId,
    /// Its operation.
    pub op: OpCode,
    /// The newest transaction that the server had applied; zero if no server answered.
    pub zxid: Zxid,
    /// The error's number, 0 for none.
    pub err: i32,
    /// The response, in [`Effects::bytes`] and with the user's paths; empty on an error.
    pub body: Range<usize>,
}

/// What a client wants done, owned and reused by its driver; law 1 of `io::Effects` holds.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
    bytes: Vec<u8>,
}

impl Effects {
    /// Nothing to do.
    pub fn new() -> Effects {
        Effects::default()
    }

    /// What to do, in order.
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// The bytes that effects point into.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the list out, leaving the bytes readable until [`Effects::clear`].
    pub fn take_list(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.list)
    }

    /// Forgets everything, keeping the allocations.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
    }

    /// What a reply says: the response, or the error's number.
    pub fn response(&self, reply: &Reply) -> Result<Response<'_>, i32> {
        if reply.err != 0 {
            return Err(reply.err);
        }
        let mut r = Reader::new(&self.bytes[reply.body.clone()]);
        Response::decode(reply.op, &mut r).map_err(|Malformed| ErrorCode::MarshallingError.code())
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Appends bytes; gives back where they are.
    pub(super) fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        start..self.bytes.len()
    }

    pub(super) fn send(&mut self, link: LinkId, write: impl FnOnce(&mut Vec<u8>)) {
        let bytes = self.put(write);
        self.list.push(Effect::Send { link, bytes });
    }

    pub(super) fn fail(&mut self, id: RequestId, op: OpCode, err: ErrorCode) {
        let (zxid, err) = (Zxid::ZERO, err.code());
        self.list.push(Effect::Reply(Reply { id, op, zxid, err, body: 0..0 }));
    }
}
