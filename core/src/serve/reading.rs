// SPDX-License-Identifier: Apache-2.0
//! Read-only mode: what a server does that has no leader, for clients who said that it would do.
//!
//! It answers reads from what it has applied, which may be behind, and refuses whatever changes
//! history. Its sessions are guests: they live here alone, no transaction opens or closes them, and
//! they end with the mode. A session of the ensemble's is hung up on, for it is none of this
//! server's to keep or to end; so is one that is not known here, for the ensemble may know it.
//!
//! Source: `ReadOnlyZooKeeperServer` and `ReadOnlyRequestProcessor` of ZooKeeper 3.9, where guests
//! need `localSessionsEnabled`, and whoever is not known here is told that its session is over.

use super::{answer::Call, conn::Conn, learn::Duty, server::Server, stats::Counter};
use crate::{
    event::Event,
    id::SessionId,
    io::Effects,
    proto::{ErrorCode, OpCode, RequestHeader},
    time::Now,
    zoo::Zoo,
};

impl<Z: Zoo> Server<Z> {
    /// Begins to serve without a leader.
    pub fn read_only(&mut self) {
        self.duty = Duty::Read;
        self.replica.sessions.rest_all();
    }

    /// Whether it serves without a leader.
    pub fn is_read_only(&self) -> bool {
        self.duty == Duty::Read
    }

    /// Why a handshake gets no answer here, if that is so.
    pub(super) fn refuses_guest(&self, asks: bool, session: SessionId) -> Option<&'static str> {
        let sessions = &self.replica.sessions;
        if self.duty != Duty::Read {
            None
        } else if !asks {
            Some("this server is read-only, and its client did not say that this would do")
        } else if session == SessionId::NONE {
            None
        } else if !sessions.contains(session) || sessions.committed_timeout(session).is_some() {
            Some("this server is read-only, and its session is the ensemble's to keep")
        } else {
            None
        }
    }

    /// Answers what a server without a leader cannot do; false if it can.
    pub(super) fn declines(&mut self, call: Call, header: RequestHeader, fx: &mut Effects) -> bool {
        let (xid, op) = (header.xid, OpCode::from_code(header.op));
        let changes = op.is_some_and(|op| op.is_write() || op == OpCode::Sync);
        if self.duty != Duty::Read || !changes {
            return false;
        }
        let guest = self.conns.get(&call.link).and_then(Conn::session);
        match (op, guest) {
            (Some(OpCode::CloseSession), Some(session)) => {
                self.answer_error(call.link, xid, ErrorCode::Ok, fx);
                self.dismiss(session, fx);
            }
            _ => self.answer_error(call.link, xid, ErrorCode::NotReadOnly, fx),
        }
        true
    }

    /// Ends guests that were not heard from for too long.
    pub(super) fn expire_guests(&mut self, now: Now, most: usize, fx: &mut Effects) {
        for _ in 0..most {
            let Some(session) = self.replica.sessions.expire(now.mono) else { break };
            fx.step();
            fx.event(Event::SessionExpired { session });
            self.stats.count(Counter::SessionsExpired, 1);
            self.dismiss(session, fx);
        }
    }

    fn dismiss(&mut self, session: SessionId, fx: &mut Effects) {
        let link = self.replica.sessions.owner(session);
        self.replica.sessions.remove(session);
        if let Some(link) = link {
            self.session_ended(link, fx);
        }
    }
}
