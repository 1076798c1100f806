// SPDX-License-Identifier: Apache-2.0
//! The write path: a request becomes a proposal, and a durable proposal is applied, told to those
//! who watch, and answered, in that order.

use alloc::vec::Vec;

use super::{
    answer::put_reply,
    auth::Identities,
    conn::Conn,
    pending::{Origin, Proposal},
    prep::{Asker, Context, SessionState},
    server::{Fired, Server, Told},
    stats::{Counter, Measure, Stats},
};
use crate::{
    id::{LinkId, SessionId, Zxid},
    io::Effects,
    jute::{Reader, Record, Write},
    proto::{ErrorCode, OpCode, OpResult, Request, RequestHeader, end_multi},
    time::Now,
    txn::{self, Outcome, Txn, TxnEntry},
    zoo::Zoo,
};

/// Transactions applied in one turn at most; the rest asks for another turn.
const APPLIED_PER_TURN: usize = 1024;

impl<Z: Zoo> Server<Z> {
    /// Validates a client's write against everything proposed, and stages what comes of it: the
    /// transaction, or an error transaction, which takes its place in history all the same.
    pub(super) fn propose_request(
        &mut self,
        link: LinkId,
        session: SessionId,
        header: RequestHeader,
        body: &mut Reader<'_>,
        now: Now,
    ) -> Zxid {
        let zxid = self.proposed.next();
        let state = match self.replica.sessions.check(session, link) {
            Ok(()) => SessionState::Alive,
            Err(ErrorCode::SessionMoved) => SessionState::Moved,
            Err(_) if self.replica.sessions.contains(session) => SessionState::Closing,
            Err(_) => SessionState::Unknown,
        };
        let conn = self.conns.get(&link).expect("a request comes on a link that is up");
        let asker = Asker { session, state, cxid: header.xid, ids: &conn.identities };
        let cx = Context { tree: &self.replica.tree, rules: &self.rules, wall_ms: now.wall_ms };
        let out = self.replica.pending.buffer();
        match Request::decode(header.op, body) {
            Ok(request) => {
                self.prep.prepare(&cx, zxid, &asker, &request, out);
                if matches!(request, Request::CloseSession) {
                    self.replica.sessions.close(session);
                }
            }
            Err(_) => {
                let op = OpCode::from_code(header.op).expect("writes are known operations");
                self.prep.refuse(&cx, zxid, &asker, op, ErrorCode::MarshallingError, out);
            }
        }
        self.stage(zxid, Origin::Request { link, xid: header.xid }, now)
    }

    /// Stages the createSession of a handshake.
    pub(super) fn propose_open(
        &mut self,
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
        now: Now,
    ) {
        let zxid = self.proposed.next();
        let cx = Context { tree: &self.replica.tree, rules: &self.rules, wall_ms: now.wall_ms };
        self.prep.create_session(&cx, zxid, session, timeout_ms, self.replica.pending.buffer());
        self.stage(zxid, Origin::Handshake { link }, now);
    }

    /// Stages the closeSession of a session that is marked as closing.
    pub(super) fn propose_expiry(&mut self, session: SessionId, now: Now) {
        let zxid = self.proposed.next();
        let cx = Context { tree: &self.replica.tree, rules: &self.rules, wall_ms: now.wall_ms };
        self.prep.expire_session(&cx, zxid, session, self.replica.pending.buffer());
        self.stage(zxid, Origin::Server, now);
    }

    /// Stages the deleteContainer of an empty container or an aged TTL znode.
    pub(super) fn propose_reap(&mut self, path: &[u8], now: Now) {
        let zxid = self.proposed.next();
        let ids = Identities::default();
        let asker =
            Asker { session: SessionId::NONE, state: SessionState::Alive, cxid: 0, ids: &ids };
        let cx = Context { tree: &self.replica.tree, rules: &self.rules, wall_ms: now.wall_ms };
        let request = Request::DeleteContainer { path };
        self.prep.prepare(&cx, zxid, &asker, &request, self.replica.pending.buffer());
        self.stage(zxid, Origin::Server, now);
    }

    /// Stages the proposal whose entry was just appended.
    fn stage(&mut self, zxid: Zxid, origin: Origin, now: Now) -> Zxid {
        self.proposed = zxid;
        self.replica.stage(zxid, origin, now.mono);
        zxid
    }

    /// Applies what is history by now, and answers it; at most so much that other links get their
    /// turn.
    pub(super) fn apply_next_ones(&mut self, now: Now, fx: &mut Effects) {
        let last = self.replica.applicable();
        for _ in 0..APPLIED_PER_TURN {
            if !self.apply_next(last, now, fx) {
                break;
            }
            fx.step();
        }
        self.unthrottle(fx);
    }

    /// Applies the oldest proposal, if it is no later than `last`.
    fn apply_next(&mut self, last: Zxid, now: Now, fx: &mut Effects) -> bool {
        let (mut ended, mut unread) = (None, Vec::new());
        let applied = self.replica.pending.pop_through(last, |proposal, bytes| {
            let entry = TxnEntry::decode(&mut Reader::new(bytes)).expect("we encoded it");
            let told =
                Told { conns: &mut self.conns, schemes: &self.rules.schemes, unread: Vec::new() };
            let mut fired = Fired { watches: &mut self.watches, told, fx };
            let outcome = txn::apply_in(
                self.zoo,
                &mut self.replica.tree,
                &entry.header,
                &entry.txn,
                &mut fired,
            );
            unread = fired.told.unread;
            self.replica.applied = proposal.zxid;
            match entry.txn {
                Txn::CreateSession { timeout_ms } => {
                    self.replica.sessions.commit(entry.header.session, timeout_ms, now.mono);
                }
                Txn::CloseSession { .. } => {
                    ended = Some(self.replica.sessions.owner(entry.header.session));
                    self.replica.sessions.remove(entry.header.session);
                }
                _ => {}
            }
            if let Origin::Request { link, xid } = proposal.origin
                && let Some(conn) = self.conns.get_mut(&link)
                && conn.is_up()
            {
                let sent = answer_write(conn, link, xid, &entry, &outcome, fx);
                note_answer(conn, &mut self.stats, &entry, proposal, sent, now);
            }
        });
        let Some((proposal, ())) = applied else { return false };
        self.stats.count(Counter::Commits, 1);
        self.replica.commits += 1;
        self.talk.remember_digest(proposal.zxid, self.replica.tree.digest());
        self.prep.applied(proposal.zxid);
        self.hang_up_unread(unread, fx);
        self.after_apply(&proposal, ended, now, fx);
        true
    }

    fn after_apply(
        &mut self,
        proposal: &Proposal,
        ended: Option<Option<LinkId>>,
        now: Now,
        fx: &mut Effects,
    ) {
        match proposal.origin {
            Origin::Request { link, .. } => {
                if let Some(conn) = self.conns.get_mut(&link) {
                    conn.write_answered(link, proposal.zxid, fx);
                    self.drain(link, now.mono, fx);
                }
            }
            Origin::Handshake { link } => self.session_opened(link, now, fx),
            Origin::Server => {}
        }
        if let Some(owner) = ended {
            self.session_ended(owner, fx);
        }
        while let Some((_, link)) =
            self.syncs.pop_front_if(|(until, _)| *until <= self.replica.applied)
        {
            self.drain(link, now.mono, fx);
        }
    }
}

/// Sends the answer to a write, which its transaction decides; says how long it was.
fn answer_write(
    conn: &mut Conn,
    link: LinkId,
    xid: i32,
    entry: &TxnEntry<'_>,
    outcome: &Outcome,
    fx: &mut Effects,
) -> usize {
    let put = |out: &mut Vec<u8>| match &entry.txn {
        Txn::Multi(txns) => {
            put_results(txns, outcome, out);
            Ok(())
        }
        Txn::Error { err } => Err(error_code(*err)),
        _ if outcome.err != 0 => Err(error_code(outcome.err)),
        txn => {
            put_result(txn, outcome, out);
            Ok(())
        }
    };
    let sent = fx.send(link, |out| match put_reply(out, xid, entry.header.zxid, put) {
        Ok(()) | Err(_) => {}
    });
    conn.sent(link, sent, fx);
    sent
}

fn note_answer(
    conn: &mut Conn,
    stats: &mut Stats,
    entry: &TxnEntry<'_>,
    proposal: &Proposal,
    sent: usize,
    now: Now,
) {
    let header = &entry.header;
    let op = OpCode::from_code(header.op).unwrap_or(OpCode::Error);
    conn.stats.answered(op, header.cxid, header.zxid, proposal.since, now.mono);
    stats.answered(Some(Measure::UpdateLatency), now.mono - proposal.since, sent);
}

/// The body of a write's answer.
fn put_result(txn: &Txn<'_>, outcome: &Outcome, out: &mut Vec<u8>) {
    if let Txn::Create(created) = txn {
        out.put_string(created.path);
    }
    if let Some(stat) = &outcome.stat {
        stat.encode(out);
    }
}

fn put_results(txns: &[Txn<'_>], outcome: &Outcome, out: &mut Vec<u8>) {
    for (txn, one) in txns.iter().zip(&outcome.multi) {
        let result = match (txn, one.stat) {
            _ if outcome.err != 0 => OpResult::Error { err: one.err },
            (Txn::Create(created), None) => OpResult::Create { path: created.path },
            (Txn::Create(created), Some(stat)) => OpResult::Created { path: created.path, stat },
            (Txn::SetData { .. }, Some(stat)) => OpResult::SetData { stat },
            (Txn::Delete { .. }, _) => OpResult::Delete,
            _ => OpResult::Check,
        };
        result.encode(out);
    }
    end_multi(out);
}

fn error_code(err: i32) -> ErrorCode {
    ErrorCode::from_code(err).unwrap_or(ErrorCode::SystemError)
}
