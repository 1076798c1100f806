// SPDX-License-Identifier: Apache-2.0
//! One learner as its leader sees it: how far it is, and the stream that goes to it.
//!
//! ```text
//!  Greeting --FOLLOWERINFO--> Waiting --the epoch is durable: LEADERINFO--> Promising
//!  --ACKEPOCH--> Agreed --a quorum agreed, and this one is the leader's past-+
//!  +-------------------------------------------------------------------------+
//!  +-> Surveying --what the log on disk holds-+
//!  +------------------------------------------+--DIFF, TRUNC--> Catching --NEWLEADER--> Settling
//!                                             `--SNAP--> Loading --last--^                  |
//!  Live <--UPTODATE, once a quorum has acknowledged NEWLEADER-- Ready <-----ACK-------------'
//! ```
//!
//! Nothing is queued for a learner. Two cursors say what was sent and what it was told is
//! committed; each turn the stream is pulled on from there: from the log on disk where it is behind
//! what memory holds, else from memory, as long as not too much is on its way. A cursor passes each
//! transaction in order, so a joiner misses none (ZAB's third phase; Java copies lists under a
//! lock).

use alloc::{collections::VecDeque, string::String, vec::Vec};

use super::{
    history::{History, Remedy},
    orders::LeaderOrder,
    wire::FromLeader,
};
use crate::{
    id::{LinkId, ServerId, Zxid},
    io::Effects,
    time::Instant,
    zoo::{Mutation, Zoo},
};

/// The most bytes that are on their way to one learner before its stream rests.
pub(super) const WINDOW: usize = 1 << 20;

/// How far a learner is; drawn in the module's doc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Greeting,
    Waiting,
    Promising,
    Agreed {
        last: Zxid,
        /// Whether it promised itself to this epoch just now.
        counts: bool,
    },
    Surveying {
        last: Zxid,
    },
    /// A tree that ends no earlier than a transaction; whether SNAP was said.
    Loading {
        least: Zxid,
        opened: bool,
    },
    /// Up to this transaction, each followed by its COMMIT; whether DIFF was said, or need not be.
    Catching {
        target: Zxid,
        opened: bool,
    },
    /// NEWLEADER was said behind this transaction.
    Settling {
        target: Zxid,
    },
    Ready,
    Live,
}

/// A learner.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub sid: ServerId,
    pub observer: bool,
    /// Whether it is a 3.4 server.
    pub old: bool,
    pub stage: Stage,
    /// The last transaction that was sent.
    sent: Zxid,
    /// The last transaction that it was told is committed.
    told: Zxid,
    /// Everything up to this is durable there.
    pub acked: Zxid,
    /// Bytes on their way.
    in_flight: usize,
    /// Whether the owner is fetching what comes next.
    fetching: bool,
    /// When it must have been heard of.
    pub deadline: Instant,
    /// The oldest proposal that it owes an ACK, and the newest sent since, with when they were.
    owed: [Option<(Zxid, Instant)>; 2],
    /// The last PING sent, and the last one answered.
    pub pinged: u64,
    pub ponged: u64,
    /// Syncs to answer: when it was told of that transaction, and a quorum answered that PING or
    /// has what comes next.
    pub syncs: VecDeque<(Zxid, u64)>,
}

/// What streams are pulled from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, Z: Zoo> {
    pub zoo: Z,
    pub history: &'a History<Z>,
    pub epoch: u32,
    pub config: &'a [u8],
    /// Reconfigurations that were committed, and who is to lead from each on.
    pub activated: &'a [(Zxid, ServerId)],
    pub now: Instant,
}

impl<Z: Zoo> Source<'_, Z> {
    /// Who is to lead behind a transaction, if it is a reconfiguration.
    fn designated(&self, zxid: Zxid) -> Option<ServerId> {
        self.activated.iter().rev().find(|(at, _)| *at == zxid).map(|(_, leader)| *leader)
    }
}

impl Peer {
    pub fn new(deadline: Instant) -> Peer {
        Peer {
            sid: ServerId(-1),
            observer: true,
            old: false,
            stage: Stage::Greeting,
            sent: Zxid::ZERO,
            told: Zxid::ZERO,
            acked: Zxid::ZERO,
            in_flight: 0,
            fetching: false,
            deadline,
            owed: [None; 2],
            pinged: 0,
            ponged: 0,
            syncs: VecDeque::new(),
        }
    }

    /// Whether it has acknowledged NEWLEADER.
    pub fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Ready | Stage::Live)
    }

    pub fn say(&mut self, link: LinkId, what: &FromLeader<'_>, fx: &mut Effects) {
        self.in_flight += fx.send(link, |out| what.encode(out));
    }

    /// The network took bytes.
    pub fn drained(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    /// Begins to bring it up to date.
    pub fn mend(
        &mut self,
        link: LinkId,
        (last, committed): (Zxid, Zxid),
        remedy: Remedy,
        fx: &mut Effects,
    ) {
        let mut catching = |from, opened| {
            (self.sent, self.told) = (from, from);
            Stage::Catching { target: committed, opened }
        };
        self.stage = match remedy {
            Remedy::Diff { after } => catching(after, true),
            Remedy::DiskDiff { after } => catching(after, false),
            Remedy::Trunc { to } => catching(to, true),
            Remedy::Snap => Stage::Loading { least: last.min(committed), opened: false },
        };
        match remedy {
            Remedy::Diff { .. } => self.say(link, &FromLeader::Diff { zxid: committed }, fx),
            Remedy::Trunc { to } => self.say(link, &FromLeader::Trunc { zxid: to }, fx),
            // They are said when there is something to follow.
            Remedy::DiskDiff { .. } | Remedy::Snap => {}
        }
    }

    /// The next bytes of a tree, which ends with `zxid`.
    pub fn on_tree<Z: Zoo>(
        &mut self,
        link: LinkId,
        (zxid, bytes, last): (Zxid, &[u8], bool),
        source: Source<'_, Z>,
        fx: &mut Effects,
    ) {
        let Stage::Loading { least, opened } = self.stage else { return };
        assert!(zxid >= least, "a tree up to {least} was asked for, and this ends with {zxid}");
        self.fetching = false;
        if !opened {
            self.say(link, &FromLeader::Snap { zxid }, fx);
            self.stage = Stage::Loading { least, opened: true };
        }
        self.in_flight += fx.send(link, |out| out.extend_from_slice(bytes));
        if last {
            (self.sent, self.told) = (zxid, zxid);
            self.stage = Stage::Catching { target: source.history.committed(), opened: true };
        }
    }

    /// What the log on disk holds behind a transaction: the last one that was sent, or at first, if
    /// the learner's last does not stand there, the newest older one.
    ///
    /// # Errors
    /// If that is not what follows, and it is too late for a tree.
    pub fn on_log<'e, Z: Zoo>(
        &mut self,
        link: LinkId,
        after: Zxid,
        entries: impl IntoIterator<Item = (Zxid, &'e [u8])>,
        source: Source<'_, Z>,
        fx: &mut Effects,
    ) -> Result<(), String> {
        let committed = source.history.committed();
        let asked = self.sent;
        self.fetching = false;
        let parted = after < asked;
        if parted && matches!(self.stage, Stage::Catching { opened: false, .. }) {
            (self.sent, self.told) = (after, after);
        }
        let (before, mut least) = (self.sent, asked);
        for (zxid, entry) in entries {
            if !zxid.follows(self.sent) || zxid > committed {
                break;
            }
            if let Stage::Catching { target, opened: false } = self.stage {
                let how = match parted {
                    true if after.counter() == 0 => {
                        // They have no transaction in common: what it holds was never committed.
                        least = after;
                        break;
                    }
                    true => FromLeader::Trunc { zxid: after },
                    false => FromLeader::Diff { zxid: target },
                };
                self.say(link, &how, fx);
                self.stage = Stage::Catching { target, opened: true };
            }
            self.pass(link, zxid, entry, source, fx);
        }
        match self.stage {
            _ if self.sent > before => Ok(()),
            Stage::Catching { opened: false, .. } => {
                self.stage = Stage::Loading { least, opened: false };
                Ok(())
            }
            _ => Err("the log on disk does not hold what it lacks".into()),
        }
    }

    /// Sends on what there is, as far as it may.
    pub fn pull<Z: Zoo>(
        &mut self,
        link: LinkId,
        source: Source<'_, Z>,
        fx: &mut Effects,
        orders: &mut Vec<LeaderOrder<'_>>,
    ) {
        let window = if source.zoo.has(Mutation::SmallWindow) { WINDOW >> 8 } else { WINDOW };
        while self.in_flight < window && !self.fetching {
            match self.stage {
                Stage::Loading { least, .. } => {
                    self.fetching = true;
                    return orders.push(LeaderOrder::FetchTree { link, least });
                }
                Stage::Catching { target, opened: true } if self.sent >= target => {
                    let zxid = Zxid::new(source.epoch, 0);
                    let config = Some(source.config);
                    self.say(link, &FromLeader::NewLeader { zxid, config }, fx);
                    self.stage = Stage::Settling { target: self.sent };
                }
                Stage::Settling { .. } if source.zoo.has(Mutation::JoinerMissesProposals) => {
                    self.sent = source.history.last();
                    return;
                }
                Stage::Catching { .. } | Stage::Settling { .. } | Stage::Ready | Stage::Live => {
                    if !self.next(link, source, fx, orders) {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Sends one more word. False if there is none for now.
    fn next<Z: Zoo>(
        &mut self,
        link: LinkId,
        source: Source<'_, Z>,
        fx: &mut Effects,
        orders: &mut Vec<LeaderOrder<'_>>,
    ) -> bool {
        let history = source.history;
        let next = match self.told {
            told if told.epoch() == source.epoch => told.next(),
            // Behind NEWLEADER nothing comes but this epoch's.
            _ => Zxid::new(source.epoch, 1),
        };
        let committed = match source.zoo.has(Mutation::AcksTakenForCommits) {
            true => self.acked.max(history.committed()),
            false => history.committed(),
        };
        if !matches!(self.stage, Stage::Catching { .. }) && next <= self.sent && next <= committed {
            self.answer_syncs_before(next, link, fx);
            self.told = next;
            let designated = source.designated(next);
            self.say(link, &FromLeader::Commit { zxid: next, designated }, fx);
            return true;
        }
        if self.sent < history.before() {
            self.fetching = true;
            orders.push(LeaderOrder::FetchLog { link, after: self.sent });
            return false;
        }
        match history.after(self.sent) {
            Some((zxid, _)) if self.observer && zxid > history.committed() => false,
            Some((zxid, entry)) => {
                self.pass(link, zxid, entry, source, fx);
                true
            }
            None => false,
        }
    }

    /// Sends a transaction as this learner is to have it.
    fn pass<Z: Zoo>(
        &mut self,
        link: LinkId,
        zxid: Zxid,
        entry: &[u8],
        source: Source<'_, Z>,
        fx: &mut Effects,
    ) {
        self.sent = zxid;
        if matches!(self.stage, Stage::Catching { .. }) {
            self.told = zxid;
            self.say(link, &FromLeader::Proposal { zxid, entry }, fx);
            self.say(link, &FromLeader::Commit { zxid, designated: None }, fx);
        } else if self.observer {
            self.answer_syncs_before(zxid, link, fx);
            self.told = zxid;
            let designated = source.designated(zxid);
            self.say(link, &FromLeader::Inform { zxid, entry, designated }, fx);
        } else {
            let slot = usize::from(self.owed[0].is_some());
            self.owed[slot] = Some((zxid, source.now));
            self.say(link, &FromLeader::Proposal { zxid, entry }, fx);
        }
    }

    /// Everything up to a transaction is durable there.
    ///
    /// # Errors
    /// If it was never sent.
    pub fn on_ack(&mut self, zxid: Zxid, start: Zxid) -> Result<(), String> {
        if zxid == start {
            if let Stage::Settling { target } = self.stage {
                self.stage = Stage::Ready;
                self.acked = self.acked.max(target);
            }
            return Ok(());
        }
        if zxid > self.sent {
            return Err(alloc::format!(
                "it acknowledged {zxid}, and got no more than {}",
                self.sent
            ));
        }
        self.acked = self.acked.max(zxid);
        if self.owed[0].is_some_and(|(owed, _)| owed <= zxid) {
            let newest = self.owed[1].take();
            self.owed[0] = newest.filter(|(newest, _)| *newest > zxid);
        }
        Ok(())
    }

    /// UPTODATE. Its patience with its own disk begins now.
    pub fn go_live(&mut self, link: LinkId, now: Instant, round: u64, fx: &mut Effects) {
        self.stage = Stage::Live;
        (self.pinged, self.ponged) = (round, round);
        for owed in self.owed.iter_mut().flatten() {
            owed.1 = now;
        }
        self.say(link, &FromLeader::UpToDate, fx);
    }

    /// Since when it owes its oldest ACK.
    pub fn owes_since(&self) -> Option<Instant> {
        self.owed[0].filter(|_| self.stage == Stage::Live).map(|(_, since)| since)
    }

    /// Whether it was told of a transaction of the epoch that it lives in, or of its beginning.
    pub fn knows(&self, zxid: Zxid) -> bool {
        zxid.counter() == 0 || self.told >= zxid
    }
}
