// SPDX-License-Identifier: Apache-2.0
//! A lost disk: when the protocol promises that nothing goes with it.

use menagerie_core::{id::ServerId, zoo::Sound};

use super::{Oracles, replica::Replica};

impl Oracles {
    /// A server's disk is lost: an empty one takes its place.
    pub fn wiped(&mut self, server: usize) {
        self.ghost.replicas[server] = self.ghost.empty.clone();
    }

    /// Whether a server's disk may be lost: what is durable there was shown, so no word of it is
    /// under way; the voters that lack some of it are no quorum, with the server itself if its new
    /// disk is `declared` to begin a history, so that it votes; and a quorum without it has made
    /// every promise that it made.
    pub fn may_be_wiped(&self, server: usize, declared: bool) -> bool {
        let ghost = &self.ghost;
        let replica = &ghost.replicas[server];
        let last = replica.upto(replica.durable).last().copied().unwrap_or(0);
        if ghost.is_alone() || last > ghost.committed.last().copied().unwrap_or(0) {
            return false;
        }
        let others = |voter: ServerId| {
            let at = usize::try_from(voter.0 - 1).ok().filter(|at| *at != server);
            at.and_then(|at| ghost.replicas.get(at))
        };
        let lacks = |other: &Replica| last > 0 && !other.holds_durably(last);
        let promised = |other: &Replica| other.promised.accepted() >= replica.promised.accepted();
        let itself = |voter: ServerId| declared && voter.0 - 1 == server as i64;
        // Somebody may still go by an older list of members.
        ghost.configurations.all().all(|quorum| {
            !quorum.holds(Sound, |voter| itself(voter) || others(voter).is_some_and(lacks))
                && quorum.holds(Sound, |voter| others(voter).is_some_and(promised))
        })
    }
}
