// SPDX-License-Identifier: Apache-2.0
//! When snapshots are taken: after a number of transactions that is drawn anew each time, so that
//! the servers of an ensemble do not all write at once, or when asked.

use core::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    config::ServerConfig,
    id::OpId,
    io::{Effects, FileError, FileOutput},
    serve::{Replica, Server},
    store::{Ids, SnapshotNews, Snapshotter},
    time::Instant,
    zoo::Zoo,
};

/// Takes snapshots when it is time.
#[derive(Clone)]
pub(super) struct Snapshots<Z: Zoo> {
    snapshotter: Snapshotter<Z>,
    rng: ChaCha8Rng,
    /// `snapCount`.
    count: u32,
    /// The number drawn: so many transactions from one snapshot to the next.
    due_after: u64,
    /// Transactions since the last snapshot that succeeded, before this process's own.
    replayed: u64,
    /// The transaction count of the server when the last snapshot began.
    since: u64,
    wanted: bool,
    /// When the last one began.
    began: Instant,
}

impl<Z: Zoo> Snapshots<Z> {
    pub fn new(zoo: Z, seed: u64, config: &ServerConfig) -> Snapshots<Z> {
        let mut snapshots = Snapshots {
            snapshotter: Snapshotter::new(zoo),
            rng: ChaCha8Rng::seed_from_u64(seed),
            count: config.storage.snap_count,
            due_after: 0,
            replayed: 0,
            since: 0,
            wanted: false,
            began: Instant::default(),
        };
        snapshots.draw();
        snapshots
    }

    /// What was replayed at the start counts toward the next snapshot.
    pub fn after_recovery(&mut self, replayed: u64) {
        self.replayed = replayed;
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
        let count = self.replayed + replica.commits() - self.since;
        if (count > self.due_after || self.wanted) && self.snapshotter.is_idle() {
            self.wanted = false;
            self.replayed = 0;
            self.since = replica.commits();
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
        server: &mut Server<Z>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> bool {
        if !self.snapshotter.owns(op) {
            return false;
        }
        let news =
            server.on_snapshot_file(now - self.began, &mut self.snapshotter, op, result, ids, fx);
        // One that failed is tried again after half of the usual distance.
        if let Some(SnapshotNews::Failed { .. }) = news {
            self.replayed += self.due_after / 2;
        }
        true
    }

    fn draw(&mut self) {
        let half = u64::from(self.count / 2);
        let range: RangeInclusive<u64> = half.max(1)..=u64::from(self.count).max(1);
        self.due_after = self.rng.random_range(range);
    }
}
