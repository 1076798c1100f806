// SPDX-License-Identifier: Apache-2.0
//! The handshake: a connection becomes a session's, or is turned away.
//!
//! Source: `ZooKeeperServer.processConnectRequest`, `reopenSession` and `finishSessionInit` of
//! ZooKeeper 3.9; the 44-byte form is ZOOKEEPER-4814.

use alloc::format;

use super::{
    conn::{Greeting, Hold, Phase, Queued},
    learn::Duty,
    pending::Origin,
    server::Server,
    stats::Counter,
};
use crate::{
    event::Event,
    id::{LinkId, SessionId},
    io::Effects,
    jute::{self, Reader, Record},
    proto::{ConnectRequest, ConnectResponse, PASSWORD_LEN},
    session::{password, password_opens},
    time::Now,
    zoo::{Mutation, Zoo},
};

impl<Z: Zoo> Server<Z> {
    /// The first packet of a connection.
    pub(super) fn on_connect(&mut self, link: LinkId, now: Now, packet: &[u8], fx: &mut Effects) {
        let Ok(request) = ConnectRequest::decode(&mut Reader::new(packet)) else {
            return self.hang_up(link, "its first packet is not a handshake", fx);
        };
        self.stats.count(Counter::ConnectionRequests, 1);
        if let Some(why) = self.refuses_guest(request.read_only == Some(true), request.session) {
            return self.hang_up(link, why, fx);
        }
        let ahead = request.last_zxid_seen > self.replica.applied;
        if ahead && !self.zoo.has(Mutation::ClientZxidUnchecked) {
            let why = format!(
                "session {} has seen {}, this server only {}: it must try another server",
                request.session, request.last_zxid_seen, self.replica.applied
            );
            return self.hang_up(link, &why, fx);
        }
        let limits = self.config.session_limits;
        let asked = u32::try_from(request.timeout_ms).unwrap_or(0);
        let greeting = Greeting {
            timeout_ms: asked.clamp(limits.min_ms(), limits.max_ms()).cast_signed(),
            brief: request.read_only.is_none(),
        };
        if request.session == SessionId::NONE {
            self.open_session(link, now, greeting, fx);
        } else {
            self.resume_session(link, now, &request, greeting, fx);
        }
    }

    fn open_session(&mut self, link: LinkId, now: Now, greeting: Greeting, fx: &mut Effects) {
        let session = self.replica.sessions.open(now, greeting.timeout_ms);
        self.replica.sessions.set_owner(session, Some(link));
        let conn = self.conns.get_mut(&link).expect("the link that spoke");
        conn.phase = Phase::Opening { session, greeting };
        conn.hold(link, Hold::Opening, true, fx);
        match self.duty {
            Duty::Alone | Duty::Lead => {
                let origin = Origin::Handshake { link };
                self.propose_open(origin, session, greeting.timeout_ms, now);
            }
            Duty::Learn => self.forward_open(link, session, greeting.timeout_ms),
            Duty::Read => self.session_opened(link, now, fx),
        }
    }

    fn resume_session(
        &mut self,
        link: LinkId,
        now: Now,
        request: &ConnectRequest<'_>,
        greeting: Greeting,
        fx: &mut Effects,
    ) {
        let session = request.session;
        // Java hangs up the session's earlier connection before it looks at the password; here a
        // stranger who guesses ids can disturb nobody.
        if !password_opens(session, request.password) {
            return self.turn_away(link, greeting, fx);
        }
        if self.duty == Duty::Learn {
            return self.ask_revalidation(link, session, greeting, fx);
        }
        if !self.replica.sessions.touch(session, greeting.timeout_ms, now.mono) {
            return self.turn_away(link, greeting, fx);
        }
        self.move_session(session, link, fx);
        let conn = self.conns.get_mut(&link).expect("the link that spoke");
        conn.phase = Phase::Live { session, timeout_ms: greeting.timeout_ms };
        self.stats.count(Counter::ConnectionsRevalidated, 1);
        self.greet(link, session, greeting, fx);
        fx.event(Event::SessionResumed { session });
    }

    /// A session goes on over a link, and over no other.
    pub(super) fn move_session(&mut self, session: SessionId, link: LinkId, fx: &mut Effects) {
        if let Some(old) = self.replica.sessions.set_owner(session, Some(link))
            && old != link
        {
            self.hang_up(old, "its session moved to a newer connection", fx);
        }
    }

    /// The session of a connection was opened, or may go on.
    pub(super) fn session_opened(&mut self, link: LinkId, now: Now, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&link) else { return };
        let Phase::Opening { session, greeting } = conn.phase else { return };
        conn.phase = Phase::Live { session, timeout_ms: greeting.timeout_ms };
        self.greet(link, session, greeting, fx);
        let conn = self.conns.get_mut(&link).expect("the link just greeted");
        conn.hold(link, Hold::Opening, false, fx);
        // What came in the meantime is looked at as if it came now.
        let mut early = conn.take_queue();
        while let Some(queued) = early.pop_front() {
            match queued {
                Queued::Frame { request, .. } => self.on_request(link, now, &request.frame, fx),
                Queued::Oversized { xid } => self.on_oversized(link, xid, fx),
                Queued::Write { .. } | Queued::Sync { .. } => {
                    unreachable!("requests wait unopened until the session is open")
                }
            }
        }
    }

    /// Answers a handshake with the session.
    fn greet(&mut self, link: LinkId, session: SessionId, greeting: Greeting, fx: &mut Effects) {
        let password = password(session);
        self.answer_connect(link, greeting, greeting.timeout_ms, session, &password, fx);
    }

    /// Answers a handshake with "expired", which is also what a wrong password gets.
    pub(super) fn turn_away(&mut self, link: LinkId, greeting: Greeting, fx: &mut Effects) {
        self.answer_connect(link, greeting, 0, SessionId::NONE, &[0; PASSWORD_LEN], fx);
        self.hang_up(link, "its session has expired, or the password is wrong", fx);
    }

    fn answer_connect(
        &mut self,
        link: LinkId,
        greeting: Greeting,
        timeout_ms: i32,
        session: SessionId,
        password: &[u8],
        fx: &mut Effects,
    ) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session,
            password,
            read_only: (!greeting.brief).then_some(self.is_read_only()),
        };
        let conn = self.conns.get_mut(&link).expect("the link that spoke");
        let sent = fx.send(link, |out| {
            let mark = jute::begin_frame(out);
            response.encode(out);
            jute::end_frame(out, mark);
        });
        conn.sent(link, sent, fx);
    }
}
