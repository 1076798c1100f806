// SPDX-License-Identifier: Apache-2.0
//! The write path: a request becomes a proposal, and a durable proposal is applied, told to those
//! who watch, and answered, in that order.

use alloc::{format, vec::Vec};

use super::{
    answer::put_reply,
    auth::Identities,
    conn::Conn,
    learn::Duty,
    pending::{Origin, Proposal},
    prep::{Asker, Context, SessionState},
    server::{Fired, Server, Told},
    stats::{Counter, Measure, Stats},
};
use crate::{
    event::{Event, Level},
    id::{LinkId, SessionId, Zxid},
    io::{Effects, Exit},
    jute::{Reader, Record, Write},
    proto::{ErrorCode, OpCode, OpResult, Request, RequestHeader, end_multi},
    time::Now,
    txn::{Outcome, Txn, TxnEntry},
    zoo::{Mutation, Zoo},
};

/// Transactions applied in one turn at most; the rest asks for another turn.
const APPLIED_PER_TURN: usize = 1024;

impl<Z: Zoo> Server<Z> {
    /// Validates a write of one of our own clients, by the first `known` of its identities.
    pub(super) fn propose_request(
        &mut self,
        link: LinkId,
        session: SessionId,
        known: usize,
        header: RequestHeader,
        body: &mut Reader<'_>,
        now: Now,
    ) {
        let state = self.session_state(session, link);
        let conn = self.conns.get_mut(&link).expect("a request comes on a link that is up");
        let ids = core::mem::take(&mut conn.identities);
        let asker = Asker { session, state, cxid: header.xid, ids: &ids.first(known) };
        self.propose(&asker, header, body, Origin::Request { link, xid: header.xid }, now);
        self.conns.get_mut(&link).expect("it is still up").identities = ids;
    }

    /// Validates a write against everything proposed, and stages what comes of it: the
    /// transaction, or an error transaction, which takes its place in history all the same.
    pub(super) fn propose(
        &mut self,
        asker: &Asker<'_>,
        header: RequestHeader,
        body: &mut Reader<'_>,
        origin: Origin,
        now: Now,
    ) {
        let zxid = self.next_zxid();
        let members = self.members.as_ref();
        let (tree, rules, wall_ms) = (&self.replica.tree, &self.rules, now.wall_ms);
        let cx = Context { tree, rules, members, wall_ms };
        let out = self.replica.pending.buffer();
        match Request::decode(header.op, body) {
            Ok(request) if self.old_peer && request.is_beyond_3_4() => {
                let (op, err) = (request.op(), ErrorCode::Unimplemented);
                self.prep.refuse(&cx, zxid, asker, op, err, out);
            }
            Ok(request) => {
                self.prep.prepare(&cx, zxid, asker, &request, out);
                if let Some(next) = self.prep.take_reconfigured() {
                    self.note_reconfigured(next);
                }
                if matches!(request, Request::CloseSession) {
                    self.replica.sessions.close(asker.session);
                }
            }
            Err(_) => {
                let op = OpCode::from_code(header.op).expect("writes are known operations");
                self.prep.refuse(&cx, zxid, asker, op, ErrorCode::MarshallingError, out);
            }
        }
        self.stage(zxid, origin, now);
    }

    /// How a session stands that asks by way of a link: a client's, or a learner's.
    pub(super) fn session_state(&mut self, session: SessionId, link: LinkId) -> SessionState {
        match self.replica.sessions.check(session, link) {
            Ok(()) => SessionState::Alive,
            Err(ErrorCode::SessionMoved) => SessionState::Moved,
            Err(_) if self.replica.sessions.contains(session) => SessionState::Closing,
            // For Java's leader one that it does not know has expired (`LeaderSessionTracker`).
            Err(_) if self.duty == Duty::Lead => SessionState::Closing,
            Err(_) => SessionState::Unknown,
        }
    }

    /// Stages the createSession of a handshake, here or at a learner.
    pub(super) fn propose_open(
        &mut self,
        origin: Origin,
        session: SessionId,
        timeout_ms: i32,
        now: Now,
    ) {
        let zxid = self.next_zxid();
        let (tree, rules, wall_ms) = (&self.replica.tree, &self.rules, now.wall_ms);
        let cx = Context { tree, rules, members: None, wall_ms };
        self.prep.create_session(&cx, zxid, session, timeout_ms, self.replica.pending.buffer());
        self.stage(zxid, origin, now);
    }

    /// Stages the closeSession of a session that is marked as closing.
    pub(super) fn propose_expiry(&mut self, session: SessionId, now: Now) {
        let zxid = self.next_zxid();
        let (tree, rules, wall_ms) = (&self.replica.tree, &self.rules, now.wall_ms);
        let cx = Context { tree, rules, members: None, wall_ms };
        self.prep.expire_session(&cx, zxid, session, self.replica.pending.buffer());
        self.stage(zxid, Origin::Nobody, now);
    }

    /// Stages the deleteContainer of an empty container or an aged TTL znode.
    pub(super) fn propose_reap(&mut self, path: &[u8], now: Now) {
        let zxid = self.next_zxid();
        let ids = Identities::default();
        let asker =
            Asker { session: SessionId::NONE, state: SessionState::Alive, cxid: 0, ids: &ids };
        let (tree, rules, wall_ms) = (&self.replica.tree, &self.rules, now.wall_ms);
        let cx = Context { tree, rules, members: None, wall_ms };
        let request = Request::DeleteContainer { path };
        self.prep.prepare(&cx, zxid, &asker, &request, self.replica.pending.buffer());
        self.stage(zxid, Origin::Nobody, now);
    }

    /// The number of the next proposal.
    fn next_zxid(&self) -> Zxid {
        let next = self.proposed.next();
        let out = next.counter() > self.config.storage.epoch_length;
        if out && self.zoo.has(Mutation::CounterRollsOver) {
            return Zxid::new(next.epoch() + 1, 1);
        }
        next
    }

    /// Stages the proposal whose entry was just appended.
    fn stage(&mut self, zxid: Zxid, origin: Origin, now: Now) {
        self.proposed = zxid;
        self.replica.stage(zxid, origin, now.mono);
    }

    /// Applies what is history by now, and answers it; at most so much that other links get their
    /// turn.
    pub(super) fn apply_next_ones(&mut self, now: Now, fx: &mut Effects) {
        let last = self.replica.applicable();
        let spins = self.zoo.has(Mutation::IdleTurnSpins);
        for _ in 0..if spins { 64 * APPLIED_PER_TURN } else { APPLIED_PER_TURN } {
            if !self.apply_next(last, now, fx) && !spins {
                break;
            }
            fx.step();
        }
        self.unthrottle(fx);
    }

    /// Applies the oldest proposal, if it is no later than `last`.
    fn apply_next(&mut self, last: Zxid, now: Now, fx: &mut Effects) -> bool {
        if let Some(link) = self.replica.pending.next_asker(last) {
            self.catch_up(link, now, fx);
        }
        let told = Told::new(&mut self.conns, &self.rules.schemes);
        let mut fired = Fired { watches: &mut self.watches, told, fx };
        let (stats, mut closed, mut moved, mut differs) = (&mut self.stats, None, None, false);
        let proposal = self.replica.apply_next(
            last,
            now.mono,
            &mut fired,
            |fired, proposal, entry, applied| {
                (closed, differs) = (applied.closed, applied.differs);
                let Origin::Request { link, xid } = proposal.origin else { return };
                let Some(conn) = fired.told.conns.get_mut(&link).filter(|conn| conn.is_up()) else {
                    return;
                };
                if applied.outcome.err == ErrorCode::SessionMoved.code() {
                    moved = Some(link);
                    return;
                }
                let sent = answer_write(conn, link, xid, entry, &applied.outcome, fired.fx);
                note_answer(conn, stats, entry, proposal, sent, now);
            },
        );
        let telling = fired.told.telling;
        let Some(proposal) = proposal else { return false };
        self.stats.count(Counter::Commits, 1);
        if differs {
            self.tell_difference(proposal.zxid, fx);
        }
        self.talk.remember_digest(proposal.zxid, self.replica.tree.digest());
        self.prep.applied(proposal.zxid);
        self.stats.time(Measure::FlushTime, now.mono - proposal.since);
        self.after_telling(telling, fx);
        if let Some(link) = moved {
            self.hang_up(link, "its session moved to another connection", fx);
        }
        self.after_apply(&proposal, closed, now, fx);
        true
    }

    /// The tree is not the one that a proposal's digest was made for. Beside servers of Java's that
    /// is said, once: all that follow differ, too. Behind a leader of this make one of the two has
    /// lost or made up something: this one serves no more, and leaves its disk as it is.
    fn tell_difference(&mut self, zxid: Zxid, fx: &mut Effects) {
        if self.kin.take_if(|epoch| *epoch == zxid.epoch()).is_some() {
            let why = format!(
                "after transaction {zxid} this server's data differs from its leader's, and both \
                 reckon alike: one of the two disks is wrong, or was touched by hand. Compare \
                 this server with the others; to have it fetch a whole tree, move its data \
                 directory away, all but myid, and start it again"
            );
            fx.halt(Exit::Diverged, why);
        }
        if self.stats.counted(Counter::DigestMismatches) == 0 {
            let text = format!(
                "after transaction {zxid} the tree is not the one that its digest was made for: \
                 this server's data differs from that of the leader of epoch {}. Compare the two, \
                 and have the wrong one fetch a whole tree by emptying its data directory",
                zxid.epoch()
            );
            fx.event(Event::Note { level: Level::Error, text });
        }
        self.stats.count(Counter::DigestMismatches, 1);
    }

    fn after_apply(
        &mut self,
        proposal: &Proposal,
        closed: Option<LinkId>,
        now: Now,
        fx: &mut Effects,
    ) {
        match proposal.origin {
            Origin::Request { link, xid } => {
                if let Some(conn) = self.conns.get_mut(&link)
                    && conn.write_answered(link, xid, fx)
                {
                    self.drain(link, now, fx);
                }
            }
            Origin::Handshake { link } => self.session_opened(link, now, fx),
            Origin::Nobody => {}
        }
        if let Some(owner) = closed {
            self.session_ended(owner, fx);
        }
        while let Some((_, link)) =
            self.syncs.pop_front_if(|(until, _)| *until <= self.replica.applied)
        {
            self.drain(link, now, fx);
        }
    }
}

/// Sends the answer to a write, which its transaction decides, or keeps it until its turn comes;
/// says how long it is.
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
    let reply = |out: &mut Vec<u8>| match put_reply(out, xid, entry.header.zxid, put) {
        Ok(()) | Err(_) => {}
    };
    if conn.is_next(xid) {
        let sent = fx.send(link, reply);
        conn.sent(link, sent, fx);
        return sent;
    }
    let mut kept = Vec::new();
    reply(&mut kept);
    let len = kept.len();
    conn.keep_answer(xid, kept);
    len
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
    if let Txn::SetData { data, reconfig: true, .. } = txn {
        out.put_buffer(*data);
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
