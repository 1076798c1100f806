// SPDX-License-Identifier: Apache-2.0
//! The promise of sync: a read behind it sees every write that was acknowledged before it began.
//!
//! A sync is answered when all that was ordered before it is committed, and a quorum has answered
//! a PING that was sent after it arrived. Whoever answers a PING has accepted no later epoch, so no
//! later leader had a quorum when the sync began. Java's leader asks nobody, and may have been
//! deposed.
//!
//! # Its place among the commits
//!
//! A Java learner waits for what its clients asked in the order in which it forwarded that
//! (`CommitProcessor.queuedWriteRequests`): what comes out of turn it takes for another server's,
//! and none of its clients' writes is ever answered again. So SYNC stands behind the COMMIT of what
//! was ordered before it, and before that of what was ordered after it. The second needs no
//! waiting: a quorum that acknowledged a later proposal follows as much as one that answered.

use alloc::vec::Vec;

use super::{Leader, Orders, Peer, Stage};
use crate::{
    id::{LinkId, Zxid},
    io::Effects,
    zab::{LeaderOrder, wire::FromLeader},
    zoo::{Mutation, Zoo},
};

impl<Z: Zoo> Leader<Z> {
    /// A client of this server's wants a sync; answered by [`LeaderOrder::SyncAnswered`].
    pub fn sync(&mut self) {
        let sync = self.new_sync(self.history.last());
        self.syncs.push_back(sync);
    }

    /// A client of a learner's wants a sync; `behind` was ordered last.
    pub fn sync_of(&mut self, link: LinkId, behind: Zxid) {
        let sync = self.new_sync(behind);
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.syncs.push_back(sync);
        }
    }

    /// What a sync that arrives now waits for; the end of the turn asks whether a quorum follows.
    fn new_sync(&mut self, behind: Zxid) -> (Zxid, u64) {
        if self.zoo.has(Mutation::SyncAsksNobody) {
            return (behind, 0);
        }
        self.ping = true;
        (behind, self.round + 1)
    }

    /// Answers what nothing was ordered behind.
    pub(super) fn answer_syncs(&mut self, fx: &mut Effects, orders: &mut Orders<'_>) {
        let committed = self.history.committed();
        while let Some(&(behind, round)) = self.syncs.front()
            && behind <= committed
            && self.is_followed(round)
        {
            self.syncs.pop_front();
            orders.push(LeaderOrder::SyncAnswered);
        }
        let links: Vec<LinkId> = self.peers.keys().copied().collect();
        for link in links {
            while let Some(&(behind, round)) = self.peers[&link].syncs.front()
                && self.peers[&link].knows(behind)
                && self.is_followed(round)
            {
                self.peers.get_mut(&link).expect("it is one of ours").answer_sync(link, fx);
            }
        }
    }

    /// Whether a quorum has answered a PING.
    fn is_followed(&self, round: u64) -> bool {
        self.is_quorum(true, |peer| peer.stage == Stage::Live && peer.ponged >= round)
    }
}

impl Peer {
    /// Answers the syncs that a transaction was ordered after, which it is to be told of next.
    pub(in crate::zab) fn answer_syncs_before(
        &mut self,
        next: Zxid,
        link: LinkId,
        fx: &mut Effects,
    ) {
        while self.syncs.front().is_some_and(|(behind, _)| *behind < next) {
            self.answer_sync(link, fx);
        }
    }

    fn answer_sync(&mut self, link: LinkId, fx: &mut Effects) {
        self.syncs.pop_front();
        self.say(link, &FromLeader::Sync, fx);
    }
}
