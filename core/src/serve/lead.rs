// SPDX-License-Identifier: Apache-2.0
//! What a leader's server does beyond serving its own clients: it orders the writes that learners
//! forward, keeps their sessions, and applies what a quorum has committed.
//!
//! The machine that speaks with the learners is `zab`'s; whoever owns both carries between them:
//! every proposal staged here is proposed to the learners, and what they made of it comes back as
//! [`Server::commit_through`].

use core::cmp::max;

use super::{
    auth::Identities,
    learn::Duty,
    pending::Origin,
    prep::{Asker, Members},
    replica::Committed,
    server::Server,
};
use crate::{
    config::Ensemble,
    id::{LinkId, ServerId, SessionId, Zxid},
    io::Effects,
    jute::Reader,
    proto::{OpCode, RequestHeader},
    time::Now,
    zoo::Zoo,
};

/// A write that a learner forwards for one of its clients.
#[derive(Clone, Copy, Debug)]
pub struct Forwarded<'a> {
    /// The client's session.
    pub session: SessionId,
    /// The client's number for it.
    pub cxid: i32,
    /// The operation's number.
    pub op: i32,
    /// The operation's body.
    pub body: &'a [u8],
    /// Who the client has shown to be.
    pub identities: &'a Identities,
}

impl<Z: Zoo> Server<Z> {
    /// Begins to lead: from here on transactions are of this epoch. Everything in the log is
    /// history by now, and applied.
    pub fn lead(&mut self, epoch: u32, now: Now) {
        assert!(self.replica.pending.first().is_none(), "what came before is applied first");
        let start = Zxid::new(epoch, 0);
        assert!(start > self.replica.applied, "a leader's epoch is above all before it");
        self.duty = Duty::Lead;
        self.replica.applied = start;
        self.replica.committed = Committed::Quorum(start);
        self.proposed = start;
        self.replica.sessions.restart_all(now.mono);
    }

    /// Takes in who belongs to the ensemble, for a reconfig to be judged by.
    pub fn note_members(&mut self, members: Option<Members>) {
        self.members = members;
    }

    /// Takes in which learners are up to date; nothing where the members cannot change.
    pub fn note_synced(&mut self, me: ServerId, learners: impl Iterator<Item = ServerId> + Clone) {
        let Some(members) = &mut self.members else { return };
        let synced = core::iter::once(me).chain(learners);
        if !members.synced.iter().copied().eq(synced.clone()) {
            members.synced = synced.collect();
        }
    }

    /// A reconfig was proposed: there is one at a time.
    pub(super) fn note_reconfigured(&mut self, next: Ensemble) {
        self.members.as_mut().expect("it was judged by them").changing = true;
        self.reconfigured = Some(next);
    }

    /// The members that a new proposal leads to, under its zxid as their version.
    pub fn take_reconfigured(&mut self) -> Option<Ensemble> {
        self.reconfigured.take()
    }

    /// What was ordered last.
    pub fn proposed(&self) -> Zxid {
        self.proposed
    }

    /// The proposals after `zxid`, oldest first, as they go to learners: the log's entries.
    pub fn proposals_after(&self, zxid: Zxid) -> impl Iterator<Item = (Zxid, &[u8])> {
        self.replica.pending.after(zxid)
    }

    /// A quorum has everything up to `zxid`.
    pub fn commit_through(&mut self, zxid: Zxid, now: Now, fx: &mut Effects) {
        if let Committed::Quorum(committed) = &mut self.replica.committed {
            *committed = max(*committed, zxid);
            self.apply_next_ones(now, fx);
        }
    }

    /// Orders a write that came by way of a learner. False if it is none that may come so.
    pub fn on_forwarded(&mut self, learner: LinkId, write: &Forwarded<'_>, now: Now) -> bool {
        let Forwarded { session, cxid, op, .. } = *write;
        let mut body = Reader::new(write.body);
        match OpCode::from_code(op) {
            Some(OpCode::CreateSession) => {
                let Ok(timeout_ms) = body.int() else { return false };
                self.replica.sessions.adopt(session, timeout_ms, now.mono);
                self.replica.sessions.set_owner(session, Some(learner));
                self.propose_open(Origin::Nobody, session, timeout_ms, now);
            }
            Some(op) if op.is_write() => {
                let state = self.session_state(session, learner);
                let asker = Asker { session, state, cxid, ids: write.identities };
                let header = RequestHeader { xid: cxid, op: write.op };
                self.propose(&asker, header, &mut body, Origin::Nobody, now);
            }
            _ => return false,
        }
        true
    }

    /// Whether a session may go on over a learner; if so it is that learner's from now on.
    pub fn revalidate(
        &mut self,
        learner: LinkId,
        session: SessionId,
        timeout_ms: i32,
        now: Now,
        fx: &mut Effects,
    ) -> bool {
        let known = self.replica.sessions.touch(session, timeout_ms, now.mono);
        if known
            && let Some(before) = self.replica.sessions.set_owner(session, Some(learner))
            && self.conns.contains_key(&before)
        {
            self.hang_up(before, "its session moved to another server", fx);
        }
        known
    }

    /// A learner heard from a session. What it heard of one that has moved on since counts no
    /// more: the two connections may have negotiated different timeouts. Java counts it.
    pub fn touch(&mut self, learner: LinkId, session: SessionId, timeout_ms: i32, now: Now) {
        let sessions = &mut self.replica.sessions;
        if sessions.owner(session).is_none_or(|owner| owner == learner) {
            sessions.touch(session, timeout_ms, now.mono);
        }
    }
}
