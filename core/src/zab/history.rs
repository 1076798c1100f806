// SPDX-License-Identifier: Apache-2.0
//! The newest transactions of the log, kept in memory, and what brings a learner up to date.
//!
//! ```text
//!  learner's last transaction                     what it gets
//!  the newest committed one                       DIFF, and nothing behind it
//!  kept here, or the one before those             DIFF, and what follows it
//!  in the log on disk, and that is short enough   DIFF, and what follows it from there
//!  none of these, but an older one is             TRUNC to that, and what follows it
//!  anything else                                  SNAP
//! ```
//!
//! A DIFF is right only if the learner's log is a beginning of this history, and all that is known
//! of its log is its last zxid. Within one epoch a leader numbers without gaps, so who holds a
//! transaction holds all that its leader had before; hence a zxid that stands in this history,
//! which has no holes ([`History::push`] insists), proves it.
//!
//! A zxid that stands nowhere here was never committed. Its log is a beginning of what the leader
//! of its epoch proposed, and that leader's epoch was begun by a quorum. If this history holds
//! anything of that epoch, or was elected with that epoch or a later one, then it holds what that
//! leader began with: the two logs part behind the newest transaction here that is older, and a
//! TRUNC to it is right. (A leader who could not know gave a wrong one in ZOOKEEPER-1154. Java's
//! sends a tree wherever epochs differ; but a tree must not end before what the learner may hold,
//! so a leader without a young snapshot would have to take one of what is not committed yet.) A
//! TRUNC never goes to an epoch's start, which is no transaction and stands in no log: who parts
//! there gets a tree, and any is young enough, as nothing that it would lose was committed.
//!
//! A learner may come with the start of an epoch, (e, 0): it got its tree from the leader of e,
//! which had not proposed anything. Its history is what that leader began with, which is a
//! beginning of this one for the same reasons.

use alloc::{collections::VecDeque, sync::Arc, vec::Vec};

use crate::{
    id::Zxid,
    jute::{Reader, Record},
    txn::TxnEntry,
    zoo::{Mutation, Zoo},
};

/// The newest transactions of a server, committed and then proposed.
#[derive(Clone, Debug)]
pub struct History<Z: Zoo> {
    zoo: Z,
    /// How many are kept once they are committed, and durable here.
    most: usize,
    /// The newest that is committed: not beyond the newest there is.
    committed: Zxid,
    /// The one before those that are kept.
    before: Zxid,
    kept: VecDeque<(Zxid, Arc<Vec<u8>>)>,
}

/// What is known of a learner and of this server's disk.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The last transaction in the learner's log.
    pub last: Zxid,
    /// Whether it must get a whole tree: `forceSnapshotSync`, or it could not log what it lacks.
    pub whole: bool,
    /// The epoch that this server leads.
    pub leads: u32,
    /// The current epoch that it was elected with.
    pub elected_with: u32,
    /// What can be read from the log on disk; none if it may not be used.
    pub disk: Option<DiskLog>,
}

/// A log on disk, without gaps up to the transactions in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLog {
    /// Its first transaction.
    pub first: Zxid,
    /// The bytes of the files that hold what the learner lacks.
    pub bytes: u64,
    /// The most of these that are read rather than sending a tree (`snapshotSizeFactor` times the
    /// length of the newest snapshot).
    pub most: u64,
}

/// What brings a learner up to date. Behind it, in any case, comes all that was committed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// DIFF, and what stands in memory after this transaction.
    Diff {
        /// The learner's last.
        after: Zxid,
    },
    /// DIFF, and what stands in the log on disk after this transaction. The log is only believed to
    /// hold it: where it does not, TRUNC to the newest older one there, or a tree.
    DiskDiff {
        /// The learner's last.
        after: Zxid,
    },
    /// TRUNC, and what stands in memory after this transaction: what the learner has beyond it was
    /// never committed.
    Trunc {
        /// The newest one that both have.
        to: Zxid,
    },
    /// SNAP, and a whole tree.
    Snap,
}

impl<Z: Zoo> History<Z> {
    /// The history of a server whose newest transaction is `last`; of those that are committed, and
    /// durable here, it keeps `most` (`commitLogCount`), at least one.
    pub fn new(zoo: Z, most: usize, last: Zxid) -> History<Z> {
        let kept = VecDeque::new();
        History { zoo, most: most.max(1), before: last, committed: last, kept }
    }

    /// The newest transaction.
    pub fn last(&self) -> Zxid {
        self.kept.back().map_or(self.before, |(zxid, _)| *zxid)
    }

    /// The newest transaction that is committed.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// The one before the oldest that is kept.
    pub fn before(&self) -> Zxid {
        self.before
    }

    /// Adds a transaction.
    ///
    /// # Panics
    /// If it does not follow the last one: whoever got it from here would have a hole in its log
    /// (ZOOKEEPER-4925).
    pub fn push(&mut self, zxid: Zxid, entry: Arc<Vec<u8>>) {
        assert!(zxid.follows(self.last()), "{zxid} does not follow {}", self.last());
        self.kept.push_back((zxid, entry));
    }

    /// Everything up to a transaction is committed; a quorum may have it before this server's log
    /// holds more than what is `durable`. What is not stays here: learners find it nowhere else.
    ///
    /// # Panics
    /// If there is no such transaction, or a later one was committed.
    pub fn commit(&mut self, zxid: Zxid, durable: Zxid) {
        assert!(zxid >= self.committed && zxid <= self.last(), "{zxid} cannot be committed now");
        self.committed = zxid;
        let needless = self.kept.partition_point(|(kept, _)| *kept <= zxid.min(durable));
        for (oldest, _) in self.kept.drain(..needless.saturating_sub(self.most)) {
            self.before = oldest;
        }
    }

    /// Starts over behind `last`: the tree was replaced, or the log was cut.
    pub fn reset(&mut self, last: Zxid) {
        self.kept.clear();
        (self.before, self.committed) = (last, last);
    }

    /// The oldest kept transaction after `zxid`, and its entry.
    pub fn after(&self, zxid: Zxid) -> Option<(Zxid, &Arc<Vec<u8>>)> {
        let at = self.kept.partition_point(|(kept, _)| *kept <= zxid);
        self.kept.get(at).map(|(zxid, entry)| (*zxid, entry))
    }

    /// Whether a 3.4 server could log everything after a transaction.
    pub fn suits_3_4(&self, after: Zxid) -> bool {
        let from = self.kept.partition_point(|(kept, _)| *kept <= after);
        let beyond = |entry: &[u8]| {
            let read = TxnEntry::decode(&mut Reader::new(entry));
            read.is_ok_and(|entry| entry.txn.is_beyond_3_4())
        };
        after >= self.before && !self.kept.range(from..).any(|(_, entry)| beyond(entry))
    }

    /// What brings a learner up to date.
    pub fn remedy(&self, learner: &Standing) -> Remedy {
        let (peer, last) = (learner.last, self.committed);
        if learner.whole {
            return Remedy::Snap;
        }
        let begun = peer.epoch() == learner.leads || peer.epoch() <= learner.elected_with;
        if peer == last || self.has(peer) || self.has_start(peer, begun) {
            return Remedy::Diff { after: peer };
        }
        if self.zoo.has(Mutation::DiffWithoutCommonPast) && peer > self.before {
            return Remedy::Diff { after: peer };
        }
        // An empty server gets a tree, as from Java: there may be more in it than was ever logged.
        let is_start = peer.counter() == 0;
        if peer > self.before && !is_start {
            let to = self.newest_committed_before(peer);
            let parts_there = begun || to.epoch() == peer.epoch();
            return if parts_there && to.counter() > 0 {
                Remedy::Trunc { to }
            } else {
                Remedy::Snap
            };
        }
        match learner.disk {
            Some(disk) if peer < self.before && peer >= disk.first && !is_start => {
                if disk.bytes <= disk.most {
                    return Remedy::DiskDiff { after: peer };
                }
                Remedy::Snap
            }
            _ => Remedy::Snap,
        }
    }

    /// Whether a committed transaction is kept here, or is the one before those.
    fn has(&self, zxid: Zxid) -> bool {
        let kept = self.kept.binary_search_by_key(&zxid, |(kept, _)| *kept).is_ok();
        zxid <= self.committed && (kept || (zxid == self.before && zxid != Zxid::ZERO))
    }

    /// The newest committed transaction, kept or the one before those, that is older than another.
    fn newest_committed_before(&self, zxid: Zxid) -> Zxid {
        let older = |kept: &Zxid| *kept < zxid && *kept <= self.committed;
        let at = self.kept.partition_point(|(kept, _)| older(kept));
        at.checked_sub(1).map_or(self.before, |newest| self.kept[newest].0)
    }

    /// Whether what the leader of an epoch began with is a beginning of this history, and what
    /// follows it is kept.
    fn has_start(&self, start: Zxid, begun: bool) -> bool {
        let first = self.after(start).map(|(zxid, _)| zxid);
        start.counter() == 0
            && start.epoch() > 0
            && start > self.before
            && (first == Some(start.next()) || begun)
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
