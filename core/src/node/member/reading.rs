// SPDX-License-Identifier: Apache-2.0
//! A member without a leader: where read-only mode is on, it serves those who only read, once it
//! has looked for a leader in vain for a while.
//!
//! Source: `QuorumPeer.run` of ZooKeeper 3.9. Unlike there, a server that holds nothing shows
//! nothing: what it would answer was never the ensemble's.

use alloc::{boxed::Box, format};
use core::time::Duration;

use super::{Member, told};
use crate::{
    id::Zxid,
    io::Effects,
    node::{Base, body::Body},
    time::Instant,
    zoo::Zoo,
};

/// The least time of looking for a leader before read-only clients are served.
const LEAST_GRACE: Duration = Duration::from_secs(2);

impl<Z: Zoo> Member<Z> {
    /// When it serves those who only read, having found no leader since now.
    pub(super) fn reads_from(&self, base: &Base<Z>, zxid: Zxid) -> Option<Instant> {
        let grace = Duration::from_millis(u64::from(base.config.tick_time_ms)).max(LEAST_GRACE);
        let reads = base.config.read_only_mode && !self.holds_nothing(zxid);
        reads.then(|| base.now.mono + grace)
    }

    /// Serves those who only read.
    pub(super) fn read_only(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.reads_from = None;
        let Body::Bare(replica) = self.body.take() else {
            unreachable!("who looks for a leader serves nobody")
        };
        told(format!("server {} has no leader, and serves read-only clients", self.me), fx);
        let mut server = self.new_server(base, *replica);
        server.read_only();
        base.welcome(&mut server, fx);
        self.body = Body::Serving(Box::new(server));
    }

    /// Ends that: whoever was served must connect again.
    pub(super) fn read_no_more(&mut self, fx: &mut Effects) {
        self.reads_from = None;
        if let Body::Serving(_) = &self.body
            && let Body::Serving(server) = self.body.take()
        {
            let (replica, stats) = server.retire(fx);
            self.stats = stats;
            self.body = Body::Bare(Box::new(replica));
        }
    }
}
