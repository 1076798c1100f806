// SPDX-License-Identifier: Apache-2.0
//! What a leader commits: what a quorum has, and while the members change, what quorums of both
//! have.
//!
//! # What is applied
//!
//! Commits are counted over everybody's durable log, this server's own like any other's. So a
//! quorum may have a transaction before this server does: [`LeaderOrder::CommitTo`] is given, the
//! learners are told, and the owner applies the smaller of that and what is durable here. Hence
//! nothing that was ever shown can be missing from this disk after a crash, and a leader whose disk
//! is slow answers its own clients late, while its learners' are not held up.
//!
//! # Another configuration
//!
//! A reconfiguration is a transaction that needs a quorum of the members in force and one of the
//! next ([`Leader::reconfigure`]); what was proposed before it needs only the first. From its
//! commit on the next one is in force, here and, by COMMITANDACTIVATE and INFORMANDACTIVATE,
//! everywhere. If this server does not stay a voter at its place, it commits nothing more: it names
//! an heir, the learner among the new voters that has the most, and leads until the others have
//! left it for that one. A leader that begins with a configuration under way (it is in its log) has
//! to bring it about: both must acknowledge NEWLEADER, which carries it.
//!
//! Two leaders cannot both commit. Each quorum of the members before holds the change in its log,
//! so whoever is elected by one has it, too, and needs a quorum of the new ones as well; and what
//! is committed later by the new members alone, follows the change in the log.

use alloc::vec::Vec;

use super::{Leader, Mode, Orders, Peer};
use crate::{
    id::{ServerId, Zxid},
    quorum::Quorum,
    zab::LeaderOrder,
    zoo::{Mutation, Zoo},
};

/// A reconfiguration that was proposed and is not committed.
#[derive(Clone, Debug)]
pub(super) struct Change {
    zxid: Zxid,
    /// Its text.
    config: Vec<u8>,
    /// Whether this server may go on leading.
    stays: bool,
}

impl<Z: Zoo> Leader<Z> {
    /// Who is to lead in its place, after a reconfiguration.
    pub fn heir(&self) -> Option<ServerId> {
        let heir = self.activated.last().map(|(_, leader)| *leader);
        heir.filter(|leader| *leader != self.config.me)
    }

    /// The configuration has this version and text: before anybody was told.
    pub fn date(&mut self, version: Zxid, config: Vec<u8>) {
        assert_eq!(self.mode, Mode::Accepting, "NEWLEADER says so");
        (self.config.config_version, self.config.config) = (version.0, config);
    }

    /// A transaction that was proposed, though perhaps not the last, is a reconfiguration, with
    /// this text; `stays` says whether this server is a voter in it, at the same place.
    ///
    /// # Panics
    /// If another one is under way, or this one is committed.
    pub fn reconfigure(&mut self, zxid: Zxid, next: Quorum, config: Vec<u8>, stays: bool) {
        assert!(self.change.is_none(), "one at a time");
        assert!(zxid > self.history.committed(), "nobody has been asked yet");
        self.change = Some(Change { zxid, config, stays });
        self.config.quorums = self.config.quorums.clone().towards(next);
    }

    /// Commits what a quorum has.
    pub(super) fn commit(&mut self, orders: &mut Orders<'_>) {
        while let Some(zxid) = self.next_commit() {
            self.history.commit(zxid, self.footing.durable);
            orders.push(LeaderOrder::CommitTo { zxid });
            if let Some(change) = self.change.take_if(|change| change.zxid == zxid) {
                self.activate(change, orders);
            }
        }
    }

    /// Up to where a quorum has what is not committed, as far as one rule goes.
    fn next_commit(&self) -> Option<Zxid> {
        let (last, committed) = (self.history.last(), self.history.committed());
        if self.mode != Mode::Leading || last <= committed || self.heir().is_some() {
            return None;
        }
        // What was proposed before a reconfiguration needs no quorum of the next configuration.
        let (both, most) = match &self.change {
            None => (true, last),
            Some(_) if self.zoo.has(Mutation::OldMembersDecide) => (false, last),
            Some(change) if change.zxid.follows(committed) => (true, change.zxid),
            Some(change) => (false, Zxid(change.zxid.0 - 1)),
        };
        let durable = self.footing.durable;
        let acked = self.peers.values().filter(|peer| peer.is_settled()).map(|peer| peer.acked);
        let mut marks: Vec<Zxid> = acked.chain([durable]).collect();
        marks.sort_unstable();
        let held = |mark: &Zxid| {
            let has = |p: &Peer| p.is_settled() && p.acked >= *mark;
            let says = |sid| self.says(sid, durable >= *mark, &has);
            let quorums = &self.config.quorums;
            if both { quorums.hold(self.zoo, says) } else { quorums.hold_in_force(self.zoo, says) }
        };
        let mark = marks.into_iter().rev().find(held)?;
        Some(mark.min(most)).filter(|zxid| *zxid > committed)
    }

    /// A reconfiguration was committed.
    fn activate(&mut self, change: Change, orders: &mut Orders<'_>) {
        let Change { zxid, config, stays } = change;
        let leader = if stays { self.config.me } else { self.pick_heir() };
        self.config.quorums = self.config.quorums.clone().arrived();
        (self.config.config, self.config.config_version) = (config, zxid.0);
        self.activated.push((zxid, leader));
        orders.push(LeaderOrder::Activate { zxid });
    }

    /// The voter of the next configuration that has the most.
    pub(super) fn pick_heir(&self) -> ServerId {
        let votes =
            |p: &&Peer| p.is_settled() && !p.observer && self.config.quorums.will_vote(p.sid);
        let heirs = self.peers.values().filter(votes).map(|peer| (peer.acked, peer.sid));
        heirs.max().map(|(_, sid)| sid).expect("a quorum of them has it, this server not among it")
    }
}
