// SPDX-License-Identifier: Apache-2.0
//! Frames of clients: which are answered at once, which are proposed, and which wait.
//!
//! Replies keep the order of requests on a link. A read waits only while a write of the same link
//! is on its way; a write never waits. Auth packets are answered out of turn, as in Java.

use alloc::format;

use super::{
    conn::{Phase, Queued},
    learn::Duty,
    server::Server,
    stats::Counter,
};
use crate::{
    event::{Event, Level},
    id::{LinkId, SessionId, Zxid},
    io::{Effects, Frame},
    jute::{Reader, Record, begin_frame, end_frame},
    proto::{ErrorCode, OpCode, ReplyHeader, Request, RequestHeader},
    time::{Instant, Now},
    zoo::{Mutation, Zoo},
};

impl<Z: Zoo> Server<Z> {
    /// A whole frame came.
    pub fn on_frame(&mut self, link: LinkId, now: Now, frame: Frame<'_>, fx: &mut Effects) {
        // A link that was refused during recovery may have more on its way.
        let Some(conn) = self.conns.get_mut(&link) else { return };
        conn.stats.received += 1;
        conn.heard = now.mono;
        self.stats.packets_received += 1;
        match (conn.phase, frame) {
            (Phase::Over, _) => {}
            (_, Frame::Nonsense { len }) => {
                let why = format!("it announced a packet of {len} bytes");
                self.hang_up(link, &why, fx);
            }
            (Phase::Fresh, Frame::Packet(packet)) => self.on_connect(link, now, packet, fx),
            (_, Frame::Word(word)) => self.on_word(link, now, word, fx),
            (Phase::TraceMask, Frame::Packet(mask)) => self.on_trace_mask(link, mask, now, fx),
            (Phase::Opening { .. }, Frame::Packet(packet)) => {
                conn.enqueue(link, Queued::Frame { frame: packet.into(), since: now.mono }, fx);
            }
            (Phase::Live { .. }, Frame::Packet(packet)) => self.on_request(link, now, packet, fx),
            (_, Frame::Oversized { len, head }) => {
                let Ok(header) = RequestHeader::decode(&mut Reader::new(head)) else {
                    return self.hang_up(link, "a packet too long to be any request", fx);
                };
                self.tell_oversized(link, header, len, fx);
                self.on_oversized(link, header.xid, fx);
            }
            (_, Frame::Tree { .. } | Frame::Broken { .. }) => {
                unreachable!("a client port's framing machine cuts neither")
            }
        }
    }

    /// A request on a link whose session is open.
    pub(super) fn on_request(&mut self, link: LinkId, now: Now, packet: &[u8], fx: &mut Effects) {
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        let Phase::Live { session, timeout_ms } = conn.phase else { return };
        let mut body = Reader::new(packet);
        let Ok(header) = RequestHeader::decode(&mut body) else {
            return self.hang_up(link, "a packet too short to be any request", fx);
        };
        // A closing session's requests are dropped: its connection is about to be hung up.
        if !self.zoo.has(Mutation::RequestsDoNotTouch)
            && !self.replica.sessions.touch(session, timeout_ms, now.mono)
        {
            return;
        }
        let first = conn.queue.is_empty();
        self.report(session, timeout_ms);
        match OpCode::from_code(header.op) {
            Some(OpCode::Auth) => self.on_auth(link, header, &mut body, fx),
            Some(op) if op.is_write() => self.on_write(link, session, now, header, &mut body, fx),
            Some(OpCode::Sync) if !self.zoo.has(Mutation::SyncDoesNotWait) => {
                let until = match self.duty {
                    Duty::Alone => Some(self.proposed),
                    Duty::Lead | Duty::Learn => {
                        self.ask_sync(link, session, header, body.rest());
                        None
                    }
                };
                let queued = Queued::Sync { until, frame: packet.into(), since: now.mono };
                self.wait_in_turn(link, queued, now.mono, fx);
            }
            _ if first || self.zoo.has(Mutation::ReadOvertakesWrite) => {
                self.answer(link, now.mono, now.mono, header, &mut body, fx);
            }
            _ => {
                let queued = Queued::Frame { frame: packet.into(), since: now.mono };
                let conn = self.conns.get_mut(&link).expect("it is still up");
                conn.enqueue(link, queued, fx);
            }
        }
    }

    /// Puts something behind whatever waits on its link, and looks whether it need wait at all.
    fn wait_in_turn(&mut self, link: LinkId, queued: Queued, now: Instant, fx: &mut Effects) {
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        let first = conn.queue.is_empty();
        conn.enqueue(link, queued, fx);
        if first {
            self.drain(link, now, fx);
        }
    }

    fn tell_oversized(&mut self, link: LinkId, head: RequestHeader, len: u32, fx: &mut Effects) {
        self.stats.count(Counter::LargeRequestsRejected, 1);
        let limit = self.config.requests.max_buffer;
        let text = format!(
            "link {}: a request of {len} bytes (type {}, xid {}) was refused: jute.maxbuffer is \
             {limit}; raise it on servers and clients alike, or store less in one znode",
            link.0, head.op, head.xid
        );
        fx.event(Event::Note { level: Level::Warn, text });
    }

    /// A request too long to be looked at: answered in turn.
    pub(super) fn on_oversized(&mut self, link: LinkId, xid: i32, fx: &mut Effects) {
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        match conn.phase {
            Phase::Live { .. } if conn.queue.is_empty() => {
                self.answer_error(link, xid, ErrorCode::MarshallingError, fx);
            }
            _ => conn.enqueue(link, Queued::Oversized { xid }, fx),
        }
    }

    /// A write: validated against everything proposed, and staged for the log; or sent up to
    /// who does that.
    fn on_write(
        &mut self,
        link: LinkId,
        session: SessionId,
        now: Now,
        header: RequestHeader,
        body: &mut Reader<'_>,
        fx: &mut Effects,
    ) {
        match self.duty {
            Duty::Alone | Duty::Lead => self.propose_request(link, session, header, body, now),
            Duty::Learn => self.forward(link, session, header, body.rest()),
        }
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        conn.enqueue(link, Queued::Write { xid: header.xid, answer: None }, fx);
        self.throttle(link, fx);
    }

    /// Proof of an identity: judged at once.
    fn on_auth(
        &mut self,
        link: LinkId,
        header: RequestHeader,
        body: &mut Reader<'_>,
        fx: &mut Effects,
    ) {
        let Ok(Request::Auth { scheme, auth, .. }) = Request::decode(header.op, body) else {
            return self.hang_up(link, "an auth packet that is none", fx);
        };
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        let address = conn.peer.ip();
        let judged = self.rules.schemes.authenticate(scheme, auth, address, &mut conn.identities);
        let err = judged.err().unwrap_or(ErrorCode::Ok);
        let sent = fx.send(link, |out| {
            let mark = begin_frame(out);
            ReplyHeader { xid: header.xid, zxid: Zxid::ZERO, err: err.code() }.encode(out);
            end_frame(out, mark);
        });
        conn.sent(link, sent, fx);
        if err != ErrorCode::Ok {
            self.stats.count(Counter::AuthFailed, 1);
            self.hang_up(link, "it failed to authenticate", fx);
        }
    }

    /// Answers what waits on a link, up to the next write that is still on its way.
    pub(super) fn drain(&mut self, link: LinkId, now: Instant, fx: &mut Effects) {
        while let Some(conn) = self.conns.get_mut(&link) {
            match conn.queue.front() {
                Some(Queued::Frame { .. } | Queued::Oversized { .. }) => {}
                Some(Queued::Sync { until: None, .. }) => return,
                Some(Queued::Sync { until: Some(until), .. }) if *until <= self.replica.applied => {
                }
                Some(Queued::Sync { until: Some(until), .. }) => {
                    let until = *until;
                    let at = self.syncs.partition_point(|(other, _)| *other <= until);
                    return self.syncs.insert(at, (until, link));
                }
                Some(Queued::Write { answer: Some(_), .. }) => {}
                Some(Queued::Write { answer: None, .. }) | None => return,
            }
            match conn.dequeue(link, fx).expect("it was just looked at") {
                Queued::Oversized { xid } => {
                    self.answer_error(link, xid, ErrorCode::MarshallingError, fx);
                }
                Queued::Frame { frame, since } | Queued::Sync { frame, since, .. } => {
                    let mut body = Reader::new(&frame);
                    let header = RequestHeader::decode(&mut body).expect("it was read before");
                    self.answer(link, since, now, header, &mut body, fx);
                }
                Queued::Write { answer, .. } => {
                    let answer = answer.expect("it was just looked at");
                    self.tell_pending(link, fx);
                    let sent = fx.send(link, |out| out.extend_from_slice(&answer));
                    self.conns.get_mut(&link).expect("it is still up").sent(link, sent, fx);
                }
            }
        }
    }
}
