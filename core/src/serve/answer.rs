// SPDX-License-Identifier: Apache-2.0
//! Answers to everything that is not a write: reads, watches, pings and syncs, in the turn they
//! come in or, behind a write of their link, in the turn in which that is applied.

use alloc::vec::Vec;

use super::{
    read::Reader as TreeReader,
    server::Server,
    stats::{Counter, Measure},
};
use crate::{
    frame::SKIPPED_UP_TO,
    id::{LinkId, SessionId, Zxid},
    io::Effects,
    jute::{self, Reader, Record, Write},
    proto::{
        ErrorCode, ReplyHeader, Request, RequestError, RequestHeader, SetWatches, XID_PING, perms,
    },
    time::Instant,
    watch::{Kind, Present, WatcherType},
    zoo::{Mutation, Zoo},
};

/// Bytes of the longest reply: its length is a number of 31 bits.
const LONGEST: usize = i32::MAX as usize;

/// Who asked, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The connection.
    pub link: LinkId,
    /// When the request came.
    pub since: Instant,
    /// How many identities the connection had shown by then.
    pub known: usize,
    /// When it is answered.
    pub now: Instant,
}

impl<Z: Zoo> Server<Z> {
    /// Answers one request of a live link.
    pub(super) fn answer(
        &mut self,
        call: Call,
        header: RequestHeader,
        body: &mut Reader<'_>,
        fx: &mut Effects,
    ) {
        let link = call.link;
        self.tell_pending(link, fx);
        if self.declines(call, header, fx) {
            return;
        }
        match Request::decode(header.op, body) {
            Ok(request) => self.answer_request(call, header.xid, &request, fx),
            Err(RequestError::Malformed) => {
                self.answer_error(link, header.xid, ErrorCode::MarshallingError, fx);
            }
            Err(RequestError::Unknown) => {
                self.answer_error(link, header.xid, ErrorCode::Unimplemented, fx);
                self.hang_up(link, "it asked for an operation that does not exist", fx);
            }
        }
    }

    fn answer_request(&mut self, call: Call, xid: i32, request: &Request<'_>, fx: &mut Effects) {
        let Call { link, since, known, now } = call;
        if let Request::SetWatches(watches) | Request::SetWatches2(watches) = request {
            self.set_watches(link, known, watches, fx);
        }
        let Some(conn) = self.conns.get_mut(&link) else { return };
        let Some(session) = conn.session() else { return };
        let longest = SKIPPED_UP_TO as usize * self.config.requests.max_buffer as usize;
        let (zxid, watched) = (self.replica.applied, &mut self.watches);
        let ids = conn.identities.first(known);
        let reader =
            TreeReader { tree: &self.replica.tree, schemes: &self.rules.schemes, ids: &ids };
        // Nobody owns what is nobody's.
        let whose = match self.zoo.has(Mutation::EphemeralsUnlisted) {
            true => SessionId::NONE,
            false => session,
        };
        let mut result = Ok(());
        let sent = fx.send(link, |out| {
            let xid = if matches!(request, Request::Ping) { XID_PING } else { xid };
            result = put_reply(out, xid, zxid, |out| match request {
                Request::CheckWatches { path, kind } | Request::RemoveWatches { path, kind } => {
                    let which = WatcherType::from_code(*kind).ok_or(ErrorCode::MarshallingError)?;
                    let found = match request {
                        Request::CheckWatches { .. } => watched.contains(which, link, path),
                        _ => watched.remove(which, link, path),
                    };
                    if found { Ok(()) } else { Err(ErrorCode::NoWatcher) }
                }
                Request::AddWatch { path, mode } => {
                    let kind = Kind::from_add_mode(*mode).ok_or(ErrorCode::MarshallingError)?;
                    watched.add(kind, link, path);
                    out.put_int(0);
                    Ok(())
                }
                _ => read_body(&reader, whose, request, longest, out),
            });
        });
        drop(ids);
        conn.sent(link, sent, fx);
        conn.stats.answered(request.op(), xid, zxid, since, now);
        let kind = is_read(request).then_some(Measure::ReadLatency);
        self.stats.answered(kind, now - since, sent);
        if let Some((kind, path)) = watch_left_by(request, result) {
            self.watches.add(kind, link, path);
        }
    }

    /// Answers with an error and no body.
    pub(super) fn answer_error(
        &mut self,
        link: LinkId,
        xid: i32,
        err: ErrorCode,
        fx: &mut Effects,
    ) {
        let zxid = self.replica.applied;
        let Some(conn) = self.conns.get_mut(&link) else { return };
        let sent = fx.send(link, |out| {
            let refused = put_reply(out, xid, zxid, |_| Err(err));
            debug_assert_eq!(refused, Err(err), "the body said so");
        });
        conn.sent(link, sent, fx);
        conn.stats.sent += 1;
        self.stats.packets_sent += 1;
    }

    /// Registers a reconnected client's watches again, and tells what it missed and may know.
    fn set_watches(
        &mut self,
        link: LinkId,
        known: usize,
        watches: &SetWatches<'_>,
        fx: &mut Effects,
    ) {
        let Some(conn) = self.conns.get_mut(&link) else { return };
        let ids = conn.identities.first(known).into_owned();
        let (tree, schemes) = (&self.replica.tree, &self.rules.schemes);
        let look = |path: &[u8]| {
            let node = tree.find(path)?;
            let stat = tree.stored_stat(node);
            let readable = schemes.allows(tree.acl(node).iter(), perms::READ, &ids);
            Some(Present { mzxid: stat.mzxid, pzxid: stat.pzxid, readable })
        };
        let stats = &mut self.stats;
        self.watches.rearm(link, watches, look, |event: &[u8]| {
            let sent = fx.send(link, |out| out.extend_from_slice(event));
            stats.count(Counter::WatchBytes, sent as u64);
            conn.sent(link, sent, fx);
        });
    }
}

/// Appends a whole reply: the header, and then what `body` appends unless that is an error.
pub(super) fn put_reply(
    out: &mut Vec<u8>,
    xid: i32,
    zxid: Zxid,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), ErrorCode>,
) -> Result<(), ErrorCode> {
    let mark = jute::begin_frame(out);
    ReplyHeader { xid, zxid, err: 0 }.encode(out);
    let start = out.len();
    let mut result = body(out);
    if out.len() - mark > LONGEST {
        result = Err(ErrorCode::MarshallingError);
    }
    if let Err(err) = result {
        out.truncate(start);
        out[start - 4..].copy_from_slice(&err.code().to_be_bytes());
    }
    jute::end_frame(out, mark);
    result
}

/// Appends a reply that waited since it was encoded, as of `zxid`.
pub(super) fn put_kept(out: &mut Vec<u8>, reply: &[u8], zxid: Zxid) {
    // Before the zxid stand the length and the xid.
    let (head, rest) = reply.split_at(8);
    out.extend_from_slice(head);
    out.put_long(zxid.0);
    out.extend_from_slice(&rest[8..]);
}

fn read_body(
    reader: &TreeReader<'_>,
    session: SessionId,
    request: &Request<'_>,
    longest: usize,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    match request {
        Request::Exists { path, .. } => reader.exists(path, out),
        Request::GetData { path, .. } => reader.data(path, out),
        Request::GetChildren { path, .. } => reader.children(path, out),
        Request::GetChildren2 { path, .. } => reader.children2(path, out),
        Request::GetAcl { path } => reader.acl(path, out),
        Request::GetAllChildrenNumber { path } => reader.descendants(path, out),
        Request::GetEphemerals { prefix } => {
            reader.ephemerals(session, prefix, out);
            Ok(())
        }
        Request::MultiRead(reads) => reader.multi(reads, longest, out),
        Request::WhoAmI => {
            reader.who_am_i(out);
            Ok(())
        }
        Request::Sync { path } => {
            out.put_string(path);
            Ok(())
        }
        Request::Ping | Request::SetWatches(_) | Request::SetWatches2(_) => Ok(()),
        _ => Err(ErrorCode::Unimplemented),
    }
}

/// The watch that a read leaves, if it asked for one and came to something to watch.
fn watch_left_by<'a>(
    request: &Request<'a>,
    result: Result<(), ErrorCode>,
) -> Option<(Kind, &'a [u8])> {
    match (request, result) {
        (Request::Exists { path, watch: true }, Ok(()) | Err(ErrorCode::NoNode))
        | (Request::GetData { path, watch: true }, Ok(())) => Some((Kind::Data, path)),
        (
            Request::GetChildren { path, watch: true }
            | Request::GetChildren2 { path, watch: true },
            Ok(()),
        ) => Some((Kind::Child, path)),
        _ => None,
    }
}

/// Whether a request counts among the reads: pings and the like would only dilute their figures.
fn is_read(request: &Request<'_>) -> bool {
    !matches!(
        request,
        Request::Ping | Request::Sync { .. } | Request::SetWatches(_) | Request::SetWatches2(_)
    )
}
