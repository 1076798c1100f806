// SPDX-License-Identifier: Apache-2.0
//! What a server holds of history, whether it serves or not: the tree and the sessions as of the
//! last transaction applied, and behind it those that are logged, or about to be, and are not
//! history yet.
//!
//! ```text
//!  stage -----> pending, log ..flush, sync.. durable --+
//!                                                      +--> min of both --> applied
//!  a quorum ----------------------------> committed ---+
//! ```
//!
//! **The rule of two.** A transaction is applied once a quorum has it *and* it is durable here. So
//! nothing that was ever shown can be missing from this server's own disk after a crash, and a
//! server whose disk is slow shows committed transactions late. Java's leader may apply what it
//! does not have durably itself, if enough followers have.

use alloc::vec::Vec;
use core::{
    cmp::{max, min},
    time::Duration,
};

use super::pending::{Origin, Pending, Proposal};
use crate::{
    hash::Keyed,
    id::{LinkId, OpId, SessionId, Zxid},
    io::{Effects, FileError, FileOutput},
    jute::{Malformed, Reader, Record},
    log::TreeDigest,
    session::Sessions,
    store::{Frozen, Ids, LogWriter, Recovered, SessionView, SnapshotNews, Snapshotter},
    time::{Instant, Now},
    tree::{CONFIG, Tree},
    txn::{self, Outcome, Sink, Txn, TxnEntry},
    zoo::{Mutation, Zoo},
};

/// Who says that a transaction is history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// A server alone: whatever is durable here.
    Alone,
    /// The member of an ensemble: a quorum, up to this transaction.
    Quorum(Zxid),
}

/// What became of a transaction.
pub(super) struct Applied {
    pub outcome: Outcome,
    /// The link of the session that it closed.
    pub closed: Option<LinkId>,
    /// Whether the tree is another one now than the proposal's digest was made for.
    pub differs: bool,
}

/// One server's copy of history.
#[derive(Clone, Debug)]
pub struct Replica<Z: Zoo> {
    zoo: Z,
    pub(super) tree: Tree,
    pub(super) sessions: Sessions<Z>,
    /// Staged for the log and not applied.
    pub(super) pending: Pending,
    pub(super) log: LogWriter<Z>,
    /// The newest transaction in the tree, or the beginning of the epoch that this server leads.
    pub(super) applied: Zxid,
    /// The newest transaction in the tree: what snapshots of it end with. One that were named by
    /// the beginning of an epoch would seem to hold more than what came before.
    newest: Zxid,
    pub(super) committed: Committed,
    /// Transactions applied since the start of the process.
    pub(super) commits: u64,
    /// When the batch in flight was ordered.
    batch_since: Option<Instant>,
    /// Whether the log was told to say how far it is synced.
    settled: bool,
}

impl<Z: Zoo> Replica<Z> {
    /// What recovery found. `server` is the high byte of the ids of sessions opened here, `tick_ms`
    /// the width of expiry buckets.
    pub fn new(
        zoo: Z,
        hash: Keyed,
        server: u8,
        tick_ms: u32,
        found: Recovered<Z>,
        now: Now,
    ) -> Replica<Z> {
        let mut sessions = Sessions::new(hash, server, tick_ms, zoo);
        for (session, timeout_ms) in &found.sessions {
            sessions.commit(*session, *timeout_ms, now.mono);
        }
        Replica {
            zoo,
            tree: found.tree,
            sessions,
            pending: Pending::default(),
            log: found.log,
            applied: found.zxid,
            newest: found.zxid,
            committed: Committed::Alone,
            commits: 0,
            batch_since: None,
            settled: false,
        }
    }

    /// Owners of ephemeral znodes that are no sessions.
    pub(super) fn strays(&self) -> Vec<SessionId> {
        let owners = self.tree.ephemeral_owners().into_iter();
        owners.filter(|owner| !self.sessions.contains(*owner)).collect()
    }

    /// The newest transaction that may be applied.
    pub(super) fn applicable(&self) -> Zxid {
        match self.committed {
            Committed::Alone => self.log.durable(),
            Committed::Quorum(zxid) if self.zoo.has(Mutation::AppliedBeforeDurable) => zxid,
            Committed::Quorum(zxid) => min(zxid, self.log.durable()),
        }
    }

    /// Whether there is something to apply.
    pub(super) fn is_behind(&self) -> bool {
        self.pending.first().is_some_and(|first| first <= self.applicable())
    }

    /// Stages the transaction whose entry was just appended to [`Pending::buffer`].
    pub(super) fn stage(&mut self, zxid: Zxid, origin: Origin, now: Instant) {
        let entry = self.pending.push(zxid, origin, now);
        self.log.append(zxid, entry);
    }

    /// Applies the oldest pending transaction unless it is later than `last`. What came of it goes
    /// to `then`, with the link of the session that it closed.
    pub(super) fn apply_next<S: Sink>(
        &mut self,
        last: Zxid,
        now: Instant,
        sink: &mut S,
        then: impl FnOnce(&mut S, &Proposal, &TxnEntry<'_>, &Applied),
    ) -> Option<Proposal> {
        let (proposal, ()) = self.pending.pop_through(last, |proposal, bytes| {
            let entry = TxnEntry::decode(&mut Reader::new(bytes)).expect("it was read when staged");
            let (header, sessions) = (&entry.header, &mut self.sessions);
            let outcome = txn::apply_in(self.zoo, &mut self.tree, header, &entry.txn, sink);
            (self.applied, self.newest) = (proposal.zxid, proposal.zxid);
            self.commits += 1;
            let digest = self.tree.digest();
            let differs = entry.digest.is_some_and(|recorded| {
                recorded.version == TreeDigest::VERSION && recorded.digest != digest
            });
            let mut applied = Applied { outcome, closed: None, differs };
            match entry.txn {
                Txn::CreateSession { timeout_ms } => {
                    sessions.commit(header.session, timeout_ms, now);
                }
                Txn::CloseSession { .. } => {
                    applied.closed = sessions.owner(header.session);
                    sessions.remove(header.session);
                }
                _ => {}
            }
            then(sink, proposal, &entry, &applied);
        })?;
        Some(proposal)
    }

    /// The last transaction that is staged or applied: where a learner's history goes on.
    pub fn last(&self) -> Zxid {
        max(self.applied, self.log.appended())
    }

    /// The last transaction that this server would still know after a crash: all that a vote, or
    /// a word to a leader, may speak of.
    pub fn durable(&self) -> Zxid {
        self.log.durable()
    }

    /// Whether everything that was staged is durable.
    pub fn is_durable(&self) -> bool {
        self.log.durable() == self.log.appended()
    }

    /// The tree: for those who look on.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The configuration that the tree shows, if it has a place for it.
    pub fn shown_config(&self) -> Option<&[u8]> {
        self.tree.find(CONFIG).and_then(|node| self.tree.data(node))
    }

    /// The digest of the tree.
    pub fn digest(&self) -> u64 {
        self.tree.digest()
    }

    /// The last transaction that is known here to be history.
    pub fn committed(&self) -> Zxid {
        match self.committed {
            Committed::Alone => self.log.durable(),
            Committed::Quorum(zxid) => zxid,
        }
    }

    /// Closes the files of the log, which is at rest: it will not be written to any more.
    pub fn close(&mut self, ids: &mut Ids, fx: &mut Effects) {
        self.log.close(ids, fx);
    }

    /// The newest transaction in the tree, or the beginning of the epoch that this server leads.
    pub fn applied(&self) -> Zxid {
        self.applied
    }

    /// The newest transaction in the tree: what a snapshot taken now ends with.
    pub fn newest(&self) -> Zxid {
        self.newest
    }

    /// Stages a transaction from a leader while nothing is served.
    ///
    /// # Errors
    /// When its entry is no transaction that this version knows.
    pub fn append(&mut self, zxid: Zxid, entry: &[u8], now: Instant) -> Result<(), Malformed> {
        TxnEntry::decode(&mut Reader::new(entry))?;
        self.pending.buffer().extend_from_slice(entry);
        self.stage(zxid, Origin::Nobody, now);
        Ok(())
    }

    /// Everything staged is history, if it is durable: applies at most `budget` transactions of
    /// it. True once all are applied.
    pub fn catch_up(&mut self, budget: usize, now: Instant, fx: &mut Effects) -> bool {
        let last = self.log.durable();
        for _ in 0..budget {
            if self.apply_next(last, now, &mut (), |(), _, _, _| {}).is_none() {
                break;
            }
            fx.step();
        }
        self.pending.first().is_none()
    }

    /// How many transactions were applied since the start.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Ends a turn: what was staged for the log becomes a batch, unless one is under way.
    pub fn flush(&mut self, now: Instant, ids: &mut Ids, fx: &mut Effects) {
        self.log.flush(ids, fx);
        if self.log.in_flight() {
            self.batch_since.get_or_insert(now);
        }
    }

    /// How long the last batch took, told once, after its end.
    pub(super) fn batch_took(&mut self, now: Instant) -> Option<Duration> {
        let ended = self.batch_since.take_if(|_| !self.log.in_flight());
        ended.map(|since| now - since)
    }

    /// Bytes of records staged for the log since the start of the process.
    pub fn logged(&self) -> u64 {
        self.log.logged()
    }

    /// An operation of the log ended. True if more is durable now.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> bool {
        self.log.owns(op) && self.log.on_file(op, result, ids, fx)
    }

    /// Begins a snapshot of this moment, and a new log after it.
    pub fn begin_snapshot(
        &mut self,
        snapshotter: &mut Snapshotter<Z>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) {
        let frozen = Frozen { tree: &mut self.tree, sessions: &mut self.sessions };
        snapshotter.start(frozen, self.newest, ids, fx);
        self.log.roll();
    }

    /// An operation of a snapshot ended.
    pub fn on_snapshot_file(
        &mut self,
        snapshotter: &mut Snapshotter<Z>,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<SnapshotNews> {
        let frozen = Frozen { tree: &mut self.tree, sessions: &mut self.sessions };
        snapshotter.on_file(op, result, frozen, ids, fx)
    }

    /// Ends a turn of a server that is stopping: has the log write what is staged, and then say
    /// how far it is synced. True once that is durable, too.
    pub fn come_to_rest(&mut self, ids: &mut Ids, fx: &mut Effects) -> bool {
        self.log.flush(ids, fx);
        if self.log.durable() < self.log.appended() {
            return false;
        }
        if !self.settled {
            self.settled = true;
            self.log.settle(ids, fx);
        }
        self.log.is_idle()
    }
}

impl<Z: Zoo> SessionView for Sessions<Z> {
    fn begin(&mut self) -> usize {
        self.freeze()
    }

    fn next(&mut self, budget: usize, give: &mut dyn FnMut(SessionId, i32)) -> bool {
        self.freeze_next(budget, give)
    }

    fn give_up(&mut self) {
        self.thaw();
    }
}
