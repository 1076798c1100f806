// SPDX-License-Identifier: Apache-2.0
//! When snapshots are taken: after a number of transactions, or of bytes of them in the log, that
//! is drawn anew each time, so that the servers of an ensemble do not all write at once, or when
//! asked.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::body::Sitter;
use crate::{
    config::Storage,
    id::{OpId, Zxid},
    io::{Effects, FileError, FileOutput},
    log::TailForm,
    serve::Replica,
    store::{Ids, SnapshotNews, Snapshotter},
    time::Instant,
    zoo::{Mutation, Zoo},
};

/// How much history there is from one point of it to another.
#[derive(Clone, Copy, Default)]
pub(super) struct Distance {
    pub txns: u64,
    /// Bytes of their records in the log.
    pub bytes: u64,
}

/// Takes snapshots when it is time.
#[derive(Clone)]
pub(super) struct Snapshots<Z: Zoo> {
    snapshotter: Snapshotter<Z>,
    rng: ChaCha8Rng,
    /// `snapCount`.
    count: u32,
    /// `snapSizeLimitInKb`, in bytes.
    size: Option<u64>,
    /// What was drawn: a snapshot is due beyond either.
    due_after: Distance,
    /// What came since the last snapshot that succeeded, before this process's own.
    replayed: Distance,
    /// Where the server was when the last snapshot began.
    since: Distance,
    wanted: bool,
    /// Of the newest that is known to be good, the last transaction.
    newest: Zxid,
    /// When the last one began.
    began: Instant,
}

impl<Z: Zoo> Snapshots<Z> {
    pub fn new(zoo: Z, seed: u64, config: &Storage) -> Snapshots<Z> {
        let mut snapshots = Snapshots {
            snapshotter: Snapshotter::new(zoo, tail_form(config)),
            rng: ChaCha8Rng::seed_from_u64(seed),
            count: if zoo.has(Mutation::SnapshotsOften) {
                config.snap_count / 10
            } else {
                config.snap_count
            },
            size: config.snap_size_limit,
            due_after: Distance::default(),
            replayed: Distance::default(),
            since: Distance::default(),
            wanted: false,
            newest: Zxid::ZERO,
            began: Instant::default(),
        };
        snapshots.draw();
        snapshots
    }

    /// The disk was read, up to so far behind its newest snapshot: that counts toward the next one.
    pub fn after_recovery(&mut self, newest: Zxid, replayed: Distance) {
        (self.newest, self.replayed, self.since) = (newest, replayed, Distance::default());
    }

    /// The last transaction in the newest snapshot that is known to be good.
    pub fn newest(&self) -> Zxid {
        self.newest
    }

    /// Whether none is being written.
    pub fn is_idle(&self) -> bool {
        self.snapshotter.is_idle()
    }

    /// Has one taken with the end of this turn, or as soon as the one under way is done.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Begins a snapshot, and a new log, if it is time.
    pub fn consider(
        &mut self,
        replica: &mut Replica<Z>,
        now: Instant,
        ids: &mut Ids,
        fx: &mut Effects,
    ) {
        let txns = self.replayed.txns + replica.commits() - self.since.txns;
        let bytes = self.replayed.bytes + replica.logged() - self.since.bytes;
        let due = txns > self.due_after.txns || bytes > self.due_after.bytes;
        if (due || self.wanted) && self.snapshotter.is_idle() {
            self.wanted = false;
            self.replayed = Distance::default();
            self.since = Distance { txns: replica.commits(), bytes: replica.logged() };
            self.draw();
            self.began = now;
            replica.begin_snapshot(&mut self.snapshotter, ids, fx);
        }
    }

    /// An operation ended; false if it is none of a snapshot's.
    pub fn on_file(
        &mut self,
        now: Instant,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        sitter: Sitter<'_, Z>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> bool {
        if !self.snapshotter.owns(op) {
            return false;
        }
        let took = now - self.began;
        match sitter.on_snapshot_file(took, &mut self.snapshotter, op, result, ids, fx) {
            Some(SnapshotNews::Done { zxid, .. }) => self.newest = zxid,
            // It is tried again after half of the usual distance.
            Some(SnapshotNews::Failed { .. }) => {
                self.replayed.txns += self.due_after.txns / 2;
                if self.size.is_some() {
                    self.replayed.bytes += self.due_after.bytes / 2;
                }
            }
            None => {}
        }
        true
    }

    fn draw(&mut self) {
        let mut half_to_all = |limit: u64| self.rng.random_range((limit / 2).max(1)..=limit.max(1));
        self.due_after = Distance {
            txns: half_to_all(u64::from(self.count)),
            bytes: self.size.map_or(u64::MAX, half_to_all),
        };
    }
}

/// What Java writes, and reads, under the same settings.
pub(super) fn tail_form(config: &Storage) -> TailForm {
    TailForm { digest: config.digest, last: config.last_zxid_in_snapshot }
}
