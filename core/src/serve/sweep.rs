// SPDX-License-Identifier: Apache-2.0
//! The reaper: deletes containers that are empty again and TTL znodes that nobody touched in time.
//!
//! Source: `ContainerManager` of ZooKeeper 3.9.

use core::time::Duration;

use super::server::Server;
use crate::{
    id::SessionId,
    time::{Instant, Now},
    tree::{NodeId, Owner},
    zoo::Zoo,
};

/// Znodes looked at in one turn at most.
const LOOKED_AT_PER_TURN: usize = 1024;

/// Where the reaper is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    /// When it next does something.
    due: Instant,
    /// Whether it is in the middle of a round.
    under_way: bool,
    /// When its round began.
    began: Instant,
}

impl Sweep {
    /// A reaper whose first round comes after one interval.
    pub fn new(now: Instant, interval_ms: u32) -> Sweep {
        let due = now + Duration::from_millis(u64::from(interval_ms));
        Sweep { due, under_way: false, began: now }
    }

    /// When it next does something.
    pub fn due(&self) -> Instant {
        self.due
    }
}

impl<Z: Zoo> Server<Z> {
    /// Goes on with the reaper's round, or begins one, if that is due.
    pub(super) fn sweep(&mut self, now: Now) {
        if now.mono < self.sweep.due {
            return;
        }
        if !self.sweep.under_way {
            self.replica.tree.sweep_restart();
            self.sweep = Sweep { under_way: true, began: now.mono, ..self.sweep };
        }
        for _ in 0..LOOKED_AT_PER_TURN {
            let Some(node) = self.replica.tree.sweep_next() else {
                return self.end_round(now.mono);
            };
            if self.is_over(node, now.wall_ms) {
                let path = self.replica.tree.path(node);
                // Somebody is at it right now: a TTL znode may be about to live on.
                if self.prep.is_pending(&path) {
                    continue;
                }
                self.propose_reap(&path, now);
                // One at a time, at the pace that is configured.
                let pace = 60_000 / u64::from(self.config.containers.max_per_minute);
                self.sweep.due = now.mono + Duration::from_millis(pace);
                return;
            }
        }
        self.sweep.due = now.mono;
    }

    fn end_round(&mut self, now: Instant) {
        let interval = u64::from(self.config.containers.check_interval_ms);
        let next = self.sweep.began + Duration::from_millis(interval);
        self.sweep.due = next.max(now + Duration::from_millis(1));
        self.sweep.under_way = false;
    }

    /// Whether a container or TTL znode has had its time.
    fn is_over(&self, node: NodeId, wall_ms: i64) -> bool {
        if self.replica.tree.child_count(node) > 0 {
            return false;
        }
        let stat = self.replica.tree.stored_stat(node);
        let age = wall_ms.saturating_sub(stat.mtime);
        match self.replica.tree.owner(node) {
            Owner::Container if stat.cversion > 0 => true,
            Owner::Container => {
                let limit = self.config.containers.max_never_used_ms;
                limit > 0 && u64::try_from(age).is_ok_and(|age| age > limit)
            }
            Owner::Ttl(ttl) => ttl > 0 && age > ttl,
            Owner::Persistent | Owner::Ephemeral(SessionId { .. }) => false,
        }
    }
}
