// SPDX-License-Identifier: Apache-2.0
//! When old snapshots and logs are removed: at the interval that is configured, or, where the
//! configuration does not say, once a day from a day after the start.

use core::time::Duration;

use crate::{
    config::{self, ServerConfig},
    id::OpId,
    io::{Effects, FileError, FileOutput},
    store::{Ids, Purge},
    time::Instant,
    zoo::Zoo,
};

/// Removes what is no longer needed when it is time.
#[derive(Clone)]
pub(super) struct Purges<Z: Zoo> {
    purge: Purge<Z>,
    policy: config::Purge,
    /// When the next run is due, once there is something to run on.
    due: Option<Instant>,
}

impl<Z: Zoo> Purges<Z> {
    pub fn new(zoo: Z, config: &ServerConfig) -> Purges<Z> {
        Purges { purge: Purge::new(zoo), policy: config.purge, due: None }
    }

    /// Whether none is under way.
    pub fn is_idle(&self) -> bool {
        self.purge.is_idle()
    }

    /// The data directory was read.
    pub fn begin(&mut self, now: Instant) {
        if let config::Purge::Every { first_after_ms, .. } = self.policy {
            self.due = Some(now + Duration::from_millis(first_after_ms));
        }
    }

    /// When [`Purges::consider`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Begins a run if it is time and the last one is over.
    pub fn consider(&mut self, now: Instant, ids: &mut Ids, fx: &mut Effects) {
        if let config::Purge::Every { interval_ms, retain, .. } = self.policy
            && self.due.is_some_and(|due| due <= now)
        {
            self.due = Some(now + Duration::from_millis(interval_ms));
            if self.purge.is_idle() {
                self.purge.start(retain as usize, ids, fx);
            }
        }
    }

    /// An operation ended; false if it is none of a purge's.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> bool {
        let ours = self.purge.owns(op);
        if ours {
            // What it did, it has told; nothing here depends on it.
            let _ = self.purge.on_file(op, result, ids, fx);
        }
        ours
    }
}
