// SPDX-License-Identifier: Apache-2.0
//! Frames of clients: which are answered at once, which are proposed, and which wait.
//!
//! Replies keep the order of requests on a link. A read waits only while a write of the same link
//! is on its way; a write does not wait. Auth packets are answered out of turn, as in Java; what
//! came before one is judged without it.
//!
//! A link that asks for more than it reads waits with all it asks for: an answer can be as long as
//! thirty thousand requests for it.

use alloc::format;

use super::{
    answer::{Call, put_kept},
    conn::{Conn, Deferred, Phase, Queued},
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
    time::Now,
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
        self.stats.count(Counter::BytesReceived, length(frame));
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
                let request = conn.defer(packet, now.mono);
                conn.enqueue(link, Queued::Frame { request, write: None }, fx);
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
        let op = OpCode::from_code(header.op);
        let shows_who_it_is = matches!(op, Some(OpCode::Auth | OpCode::Sasl));
        if !shows_who_it_is && !self.rules.schemes.admits(&conn.identities) {
            return self.turn_out(link, header.xid, fx);
        }
        // A closing session's requests are dropped: its connection is about to be hung up.
        if !self.zoo.has(Mutation::RequestsDoNotTouch)
            && !self.replica.sessions.touch(session, timeout_ms, now.mono)
        {
            return;
        }
        let beyond = self.duty == Duty::Read
            || self.old_peer
                && Request::decode(header.op, &mut body.clone()).is_ok_and(|r| r.is_beyond_3_4());
        let first = conn.queue.is_empty() && !conn.reads_too_slowly();
        let (delays, known) = (conn.delays_writes(), conn.identities.len());
        self.report(session, timeout_ms);
        match op {
            Some(OpCode::Auth) => self.on_auth(link, header, &mut body, fx),
            Some(op) if op.is_write() && !delays && !beyond => {
                self.on_write(link, session, now, header, &mut body, fx);
            }
            Some(OpCode::Sync)
                if !self.zoo.has(Mutation::SyncDoesNotWait) && !self.is_read_only() =>
            {
                let until = if self.duty == Duty::Alone {
                    Some(self.proposed)
                } else {
                    self.ask_sync(link, session, header, body.rest());
                    None
                };
                let request = self.conns[&link].defer(packet, now.mono);
                let queued = Queued::Sync { until, request };
                self.wait_in_turn(link, queued, now, fx);
            }
            op => {
                // What cannot become history is answered like a read: with an error.
                let write = op.is_some_and(OpCode::is_write) && !beyond;
                if !write && (first || self.zoo.has(Mutation::ReadOvertakesWrite)) {
                    let call = Call { link, since: now.mono, known, now: now.mono };
                    return self.answer(call, header, &mut body, fx);
                }
                let conn = self.conns.get_mut(&link).expect("it is still up");
                let request = conn.defer(packet, now.mono);
                conn.enqueue(
                    link,
                    Queued::Frame { request, write: write.then_some(header.xid) },
                    fx,
                );
            }
        }
    }

    /// A request of someone who has to show first who it is (`enforce.auth.schemes`).
    fn turn_out(&mut self, link: LinkId, xid: i32, fx: &mut Effects) {
        self.answer_apart(link, xid, ErrorCode::SessionClosedRequireSaslAuth, fx);
        self.hang_up(link, "it has proved none of the identities that enforce.auth asks for", fx);
    }

    /// Puts something behind whatever waits on its link, and looks whether it need wait at all.
    fn wait_in_turn(&mut self, link: LinkId, queued: Queued, now: Now, fx: &mut Effects) {
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

    /// A write: it is under way from now on.
    fn on_write(
        &mut self,
        link: LinkId,
        session: SessionId,
        now: Now,
        header: RequestHeader,
        body: &mut Reader<'_>,
        fx: &mut Effects,
    ) {
        let known = self.conns[&link].identities.len();
        self.send_off(link, session, known, now, header, body);
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        conn.enqueue(link, Queued::Write { xid: header.xid, answer: None }, fx);
        self.throttle(link, fx);
    }

    /// Validates a write against everything proposed, and stages it for the log; or sends it up to
    /// who does that.
    fn send_off(
        &mut self,
        link: LinkId,
        session: SessionId,
        known: usize,
        now: Now,
        header: RequestHeader,
        body: &mut Reader<'_>,
    ) {
        match self.duty {
            Duty::Alone | Duty::Lead => {
                self.propose_request(link, session, known, header, body, now);
            }
            Duty::Learn => self.forward(link, session, known, header, body.rest()),
            Duty::Read => unreachable!("writes are answered like reads"),
        }
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
        if err == ErrorCode::BadArguments {
            return self.hang_up(link, "it means another ensemble than ensembleAuthName", fx);
        }
        self.answer_apart(link, header.xid, err, fx);
        if err != ErrorCode::Ok {
            self.stats.count(Counter::AuthFailed, 1);
            self.hang_up(link, "it failed to authenticate", fx);
        }
    }

    /// Answers with a header alone, out of turn and of no point in history.
    fn answer_apart(&mut self, link: LinkId, xid: i32, err: ErrorCode, fx: &mut Effects) {
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        let sent = fx.send(link, |out| {
            let mark = begin_frame(out);
            ReplyHeader { xid, zxid: Zxid::ZERO, err: err.code() }.encode(out);
            end_frame(out, mark);
        });
        conn.sent(link, sent, fx);
    }

    /// Answers what waits on a link, up to the next write that is still on its way, for as long as
    /// the link reads what it is sent.
    pub(super) fn drain(&mut self, link: LinkId, now: Now, fx: &mut Effects) {
        while self.conns.get(&link).is_some_and(|conn| !conn.reads_too_slowly())
            && self.answer_first(link, now, fx)
        {}
        self.send_off_waiting(link, now, fx);
    }

    /// Answers all that stands before a write of a link that is about to be applied, and that it
    /// may not show.
    pub(super) fn catch_up(&mut self, link: LinkId, now: Now, fx: &mut Effects) {
        while self.conns.get(&link).is_some_and(Conn::reads_too_slowly)
            && self.answer_first(link, now, fx)
        {}
    }

    /// Answers the first that waits on a link; false if its time has not come.
    fn answer_first(&mut self, link: LinkId, now: Now, fx: &mut Effects) -> bool {
        let Some(conn) = self.conns.get_mut(&link) else { return false };
        match conn.queue.front() {
            Some(Queued::Frame { write: None, .. } | Queued::Oversized { .. }) => {}
            Some(Queued::Sync { until: None, .. }) => return false,
            Some(Queued::Sync { until: Some(until), .. }) if *until <= self.replica.applied => {}
            Some(Queued::Sync { until: Some(until), .. }) => {
                let until = *until;
                let at = self.syncs.partition_point(|(other, _)| *other <= until);
                self.syncs.insert(at, (until, link));
                return false;
            }
            Some(Queued::Write { answer: Some(_), .. }) => {}
            Some(Queued::Write { answer: None, .. } | Queued::Frame { write: Some(_), .. })
            | None => return false,
        }
        match conn.dequeue(link, fx).expect("it was just looked at") {
            Queued::Oversized { xid } => {
                self.answer_error(link, xid, ErrorCode::MarshallingError, fx);
            }
            Queued::Frame { request, .. } | Queued::Sync { request, .. } => {
                let Deferred { frame, since, known } = request;
                let mut body = Reader::new(&frame);
                let header = RequestHeader::decode(&mut body).expect("it was read before");
                let call = Call { link, since, known, now: now.mono };
                self.answer(call, header, &mut body, fx);
            }
            Queued::Write { answer, .. } => {
                let answer = answer.expect("it was just looked at");
                self.tell_pending(link, fx);
                // By now its client was shown later transactions, and its zxids never go back.
                let applied = self.replica.applied;
                let sent = fx.send(link, |out| put_kept(out, &answer, applied));
                self.conns.get_mut(&link).expect("it is still up").sent(link, sent, fx);
            }
        }
        true
    }

    /// Sends off the writes that waited to be looked into and need not any more: each as soon as it
    /// may, or a client that once asked for much would have one write under way at a time for as
    /// long as it goes on.
    fn send_off_waiting(&mut self, link: LinkId, now: Now, fx: &mut Effects) {
        while let Some(conn) = self.conns.get_mut(&link)
            && let Phase::Live { session, .. } = conn.phase
            && let Some(request) = conn.next_write(link, fx)
        {
            let mut body = Reader::new(&request.frame);
            let header = RequestHeader::decode(&mut body).expect("it was read before");
            self.send_off(link, session, request.known, now, header, &mut body);
            self.throttle(link, fx);
        }
    }
}

/// How many bytes a frame was on the wire.
fn length(frame: Frame<'_>) -> u64 {
    match frame {
        Frame::Packet(packet) => 4 + packet.len() as u64,
        Frame::Oversized { len, .. } => 4 + u64::from(len),
        Frame::Word(_) | Frame::Nonsense { .. } => 4,
        Frame::Tree { .. } | Frame::Broken { .. } => 0,
    }
}
