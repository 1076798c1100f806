// SPDX-License-Identifier: Apache-2.0
//! A leader: it begins an epoch, makes its history everybody's, and commits what a quorum has.
//!
//! ```text
//!  Electing --a quorum told what it accepted--> Accepting --acceptedEpoch durable: LEADERINFO-->
//!  Agreeing --a quorum promised, this server among it: currentEpoch-->
//!  Settling --a quorum acknowledged NEWLEADER, this server among it--> Applying
//!  --all that came before is applied: UPTODATE--> Leading
//! ```
//!
//! From any state, too long a wait, or a full tick without a quorum leads to `Over`: the owner is
//! told why, and elects again. Each learner has its own automaton, drawn in `peer`. The machine
//! owns no tree and no log: it sends words, and gives its owner orders, whose ends it is told of.
//! Words and orders that follow from what happened in a turn are given at its end, by
//! [`Leader::flush`].
//!
//! # What must be durable before what is said
//!
//! By law D1: `acceptedEpoch` before LEADERINFO; all of this server's log before `currentEpoch`,
//! and that before it leads, whoever else agrees; and a transaction in this server's log before it
//! counts itself among those that have it. A word of a learner counts as long as the link that
//! brought it: a learner that comes again is brought up to date again, which may cut its log, and
//! what it acknowledged before is forgotten. Java's leader goes on counting it.
//!
//! A tree takes the place of a learner's log, which may be one of the few that hold a transaction.
//! So it never ends before what the learner may have of this history
//! ([`LeaderOrder::FetchTree`]): a crash in between would take that away.
//!
//! # One leader an epoch
//!
//! Two servers may come to propose the same epoch. A learner promises itself once: one that had
//! accepted the epoch before says so in its ACKEPOCH, and does not count.
//!
//! A member that accepted a later epoch, of a leader that never came to be, can follow no leader of
//! this one. So whoever hears of it gives up this epoch, and begins the next one above that: Java's
//! leader goes on, and the member dials it in vain until somebody else is elected.
//!
//! How learners are greeted stands in `greet`; what is applied, and how the members change, in
//! `commit`; what a sync promises, in `syncs`.

mod commit;
mod greet;
mod syncs;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use commit::Change;

use super::{
    history::{DiskLog, History, Standing},
    learner::Footing,
    orders::LeaderOrder,
    peer::{Peer, Source, Stage},
    wire::{FromLeader, FromLearner, QuorumPacket},
};
use crate::{
    id::{LinkId, ServerId, SessionId, Zxid},
    io::{Effect, Effects, Frame},
    jute::{Reader, Record},
    proto::OpCode,
    quorum::Quorums,
    time::Instant,
    zoo::{Mutation, Zoo},
};

/// Who a leader is, whom it needs, and how patient it is.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    /// Its id.
    pub me: ServerId,
    /// Whose agreement it needs: those in force, and those under way.
    pub quorums: Quorums,
    /// All members, observers among them: an epoch that one of them accepted is over.
    pub members: BTreeSet<ServerId>,
    /// The highest epoch that a member was heard to have accepted, when this server led before.
    pub heard: u32,
    /// The version of the newest configuration it has seen.
    pub config_version: i64,
    /// That configuration as text, which learners are told with NEWLEADER.
    pub config: Vec<u8>,
    /// A tick.
    pub tick: Duration,
    /// How long each step up to its establishment may take, and how long a learner that is being
    /// brought up to date may be silent (`initLimit` ticks).
    pub init_limit: Duration,
    /// How long a learner may be silent, or owe an ACK, from then on (`syncLimit` ticks).
    pub sync_limit: Duration,
    /// Whether every learner that comes while it leads gets a whole tree (`forceSnapshotSync`).
    pub whole: bool,
    /// The counter at which the epoch is given up.
    pub epoch_length: u32,
}

/// Where a leader is; drawn in the module's doc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Electing,
    Accepting,
    Agreeing,
    Settling,
    Applying,
    Leading,
    Over,
}

/// Where a machine puts its orders; they may point into the frame that led to them.
type Orders<'f> = Vec<LeaderOrder<'f>>;

/// A leader of one epoch, from its election to its end.
#[derive(Clone, Debug)]
pub struct Leader<Z: Zoo> {
    zoo: Z,
    config: LeaderConfig,
    mode: Mode,
    /// The highest epoch that anybody accepted, and from Accepting on the new one.
    epoch: u32,
    /// The highest epoch of a member that ended this one, or an earlier one here.
    heard: u32,
    /// What is durable here.
    footing: Footing,
    /// The epoch that this server was elected with, and its last transaction then.
    elected: (u32, Zxid),
    history: History<Z>,
    peers: BTreeMap<LinkId, Peer>,
    /// When the current step must be done.
    deadline: Instant,
    /// The next half tick, and whether it ends a full one.
    half: (Instant, bool),
    /// The last PING, and whether the end of the turn sends another.
    round: u64,
    ping: bool,
    /// This server's own syncs.
    syncs: VecDeque<(Zxid, u64)>,
    change: Option<Change>,
    /// Reconfigurations that were committed, and who is to lead from each on.
    activated: Vec<(Zxid, ServerId)>,
}

impl<Z: Zoo> Leader<Z> {
    /// Begins: `history` ends with the last transaction in the log, which may still be on its way
    /// to the disk.
    pub fn start(
        zoo: Z,
        config: LeaderConfig,
        footing: Footing,
        mut history: History<Z>,
        now: Instant,
    ) -> Leader<Z> {
        history.commit(history.last(), footing.durable);
        let forgotten = u32::from(zoo.has(Mutation::EpochReused));
        Leader {
            zoo,
            mode: Mode::Electing,
            epoch: footing.accepted.max(config.heard).saturating_sub(forgotten),
            heard: config.heard,
            footing,
            elected: (footing.current, history.last()),
            history,
            peers: BTreeMap::new(),
            deadline: now + config.init_limit,
            half: (now + config.tick / 2, false),
            round: 0,
            ping: false,
            syncs: VecDeque::new(),
            change: None,
            activated: Vec::new(),
            config,
        }
    }

    /// Whether a quorum follows it.
    pub fn is_established(&self) -> bool {
        matches!(self.mode, Mode::Applying | Mode::Leading)
    }

    /// The epoch it leads, or is about to; none before that is decided.
    pub fn epoch(&self) -> Option<u32> {
        (self.mode != Mode::Electing).then_some(self.epoch)
    }

    /// The last transaction that was proposed, or that it began with.
    pub fn last(&self) -> Zxid {
        self.history.last()
    }

    /// Whether a learner is a 3.4 server, which cannot log operations of later versions.
    pub fn has_old_learner(&self) -> bool {
        self.peers.values().any(|peer| peer.old)
    }

    /// The learners that are up to date and heard of, with a vote or without, but no observers.
    pub fn synced(&self) -> impl Iterator<Item = ServerId> + Clone + '_ {
        let synced = |peer: &&Peer| peer.stage == Stage::Live && !peer.observer;
        self.peers.values().filter(synced).map(|peer| peer.sid)
    }

    /// Ends the role and keeps history.
    pub fn retire(self) -> History<Z> {
        self.history
    }

    /// When [`Leader::on_time`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.mode != Mode::Over).then_some(self.half.0)
    }

    /// A learner opened a link.
    pub fn on_link_up(&mut self, link: LinkId, now: Instant) {
        if self.mode != Mode::Over {
            self.peers.insert(link, Peer::new(now + self.config.init_limit));
        }
    }

    /// A link is gone.
    pub fn on_link_down(&mut self, link: LinkId, orders: &mut Orders<'_>) {
        if self.peers.remove(&link).is_some() {
            orders.push(LeaderOrder::Gone { link, why: "it closed its link".into() });
        }
    }

    /// The network took bytes that were sent to a link.
    pub fn on_drained(&mut self, link: LinkId, bytes: usize, now: Instant) {
        let Some(peer) = self.peers.get_mut(&link) else { return };
        peer.drained(bytes);
        if matches!(peer.stage, Stage::Loading { .. } | Stage::Catching { .. }) {
            peer.deadline = now + self.config.init_limit;
        }
    }

    /// A link delivered a frame.
    pub fn on_frame<'f>(
        &mut self,
        link: LinkId,
        frame: Frame<'f>,
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'f>,
    ) {
        let done = match frame {
            Frame::Packet(bytes) => self.on_packet(link, bytes, now, fx, orders),
            Frame::Tree { .. } => Err("it sent a tree".into()),
            Frame::Broken { why } => Err(why.to_string()),
            Frame::Word(_) | Frame::Oversized { .. } | Frame::Nonsense { .. } => {
                unreachable!("a quorum port's framing machine cuts packets and trees")
            }
        };
        if let Err(why) = done {
            self.hang_up(link, &why, fx, orders);
        }
    }

    /// What is durable of the epochs changed.
    pub fn on_epochs(&mut self, accepted: u32, current: u32) {
        (self.footing.accepted, self.footing.current) = (accepted, current);
    }

    /// Everything up to a transaction is durable in the log.
    pub fn on_durable(&mut self, zxid: Zxid) {
        self.footing.durable = zxid;
    }

    /// What the log on disk holds for a learner; none if it may not be used.
    pub fn on_survey(&mut self, link: LinkId, disk: Option<DiskLog>, fx: &mut Effects) {
        if let Some(Stage::Surveying { last }) = self.peers.get(&link).map(|peer| peer.stage) {
            self.mend(link, last, disk, fx);
        }
    }

    /// What the log on disk holds behind the transaction that was asked for, or, if that does not
    /// stand there, behind the newest older one that does: at least one, or the learner gets a
    /// tree, or is hung up on.
    pub fn on_log<'e>(
        &mut self,
        link: LinkId,
        after: Zxid,
        entries: impl IntoIterator<Item = (Zxid, &'e [u8])>,
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'_>,
    ) {
        let (source, peers) = self.source(now);
        let Some(peer) = peers.get_mut(&link) else { return };
        if let Err(why) = peer.on_log(link, after, entries, source, fx) {
            self.hang_up(link, &why, fx, orders);
        }
    }

    /// The next bytes of a tree whose last transaction is `zxid`, to the very signature.
    pub fn on_tree(
        &mut self,
        link: LinkId,
        zxid: Zxid,
        bytes: &[u8],
        last: bool,
        now: Instant,
        fx: &mut Effects,
    ) {
        let (source, peers) = self.source(now);
        if let Some(peer) = peers.get_mut(&link) {
            peer.on_tree(link, (zxid, bytes, last), source, fx);
        }
    }

    /// Everything before this epoch is applied here: this server and its learners serve.
    pub fn serve(&mut self, now: Instant, fx: &mut Effects) {
        assert_eq!(self.mode, Mode::Applying, "it was told to lead");
        self.mode = Mode::Leading;
        self.go_live(now, fx);
    }

    /// A transaction of this epoch was staged for the log.
    ///
    /// # Panics
    /// If it does not follow the last one, or this server does not lead.
    pub fn propose(&mut self, zxid: Zxid, entry: Arc<Vec<u8>>) {
        let ours = zxid.epoch() == self.epoch || self.zoo.has(Mutation::CounterRollsOver);
        assert!(self.mode == Mode::Leading && ours, "{zxid} is not ours to propose");
        self.history.push(zxid, entry);
    }

    /// Says whether a session may go on over a learner.
    pub fn revalidated(&mut self, link: LinkId, session: SessionId, valid: bool, fx: &mut Effects) {
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.say(link, &FromLeader::Revalidated { session, valid }, fx);
        }
    }

    /// Time passed.
    pub fn on_time(&mut self, now: Instant, fx: &mut Effects, orders: &mut Orders<'_>) {
        let (half, full) = self.half;
        if half > now || self.mode == Mode::Over {
            return;
        }
        let parts = if self.zoo.has(Mutation::PingsOften) { 4 } else { 2 };
        self.half = (now + self.config.tick / parts, !full);
        let sync_limit = self.config.sync_limit;
        let late = |peer: &Peer| {
            peer.deadline <= now || peer.owes_since().is_some_and(|since| since + sync_limit <= now)
        };
        let late: Vec<LinkId> =
            self.peers.iter().filter(|(_, peer)| late(peer)).map(|(link, _)| *link).collect();
        for link in late {
            self.hang_up(link, "it was not heard of in time", fx, orders);
        }
        if self.is_established() {
            self.ping = true;
            // Who came as an observer acknowledges nothing before it comes again as a voter.
            if full && !self.is_quorum(true, |peer| !peer.observer) {
                self.step_down("too few servers follow", fx, orders);
            }
        } else if self.deadline <= now {
            self.step_down("too few servers came to follow in time", fx, orders);
        }
    }

    /// Ends a turn: takes the steps that are due, commits, and sends on.
    pub fn flush(&mut self, now: Instant, fx: &mut Effects, orders: &mut Orders<'_>) {
        self.step(now, fx, orders);
        self.commit(orders);
        if self.history.last().counter() >= self.config.epoch_length
            && self.mode == Mode::Leading
            && self.history.last().epoch() == self.epoch
            && !self.zoo.has(Mutation::CounterRollsOver)
        {
            self.step_down("this epoch's transactions are numbered out", fx, orders);
        }
        if self.mode == Mode::Over {
            return;
        }
        self.pull(now, fx, orders);
        if let Some(heir) = self.heir()
            && self.peers.values().all(|peer| peer.observer)
        {
            return self.step_down(&format!("server {heir} is to lead"), fx, orders);
        }
        if core::mem::take(&mut self.ping) && self.mode == Mode::Leading {
            self.round += 1;
            let zxid = self.history.last().max(Zxid::new(self.epoch, 0));
            for (&link, peer) in self.peers.iter_mut().filter(|(_, p)| p.stage == Stage::Live) {
                peer.pinged = self.round;
                peer.say(link, &FromLeader::Ping { zxid }, fx);
            }
        }
        self.answer_syncs(fx, orders);
    }

    /// Ends it: hangs up on all, and has the owner elect.
    pub fn step_down(&mut self, why: &str, fx: &mut Effects, orders: &mut Orders<'_>) {
        if self.mode == Mode::Over {
            return;
        }
        self.mode = Mode::Over;
        for link in core::mem::take(&mut self.peers).into_keys() {
            fx.push(Effect::HangUp { link });
        }
        orders.push(LeaderOrder::StepDown { why: why.into() });
    }

    /// Hangs up on a learner for something that its owner found wrong.
    pub fn refuse(&mut self, link: LinkId, why: &str, fx: &mut Effects, orders: &mut Orders<'_>) {
        self.hang_up(link, why, fx, orders);
    }

    fn hang_up(&mut self, link: LinkId, why: &str, fx: &mut Effects, orders: &mut Orders<'_>) {
        if self.peers.remove(&link).is_some() {
            fx.push(Effect::HangUp { link });
            orders.push(LeaderOrder::Gone { link, why: why.into() });
        }
    }

    fn source(&mut self, now: Instant) -> (Source<'_, Z>, &mut BTreeMap<LinkId, Peer>) {
        let Leader { zoo, ref history, epoch, ref config, ref mut peers, ref activated, .. } =
            *self;
        (Source { zoo, history, epoch, config: &config.config, activated, now }, peers)
    }

    /// Whether a quorum agrees: the voters of which a link says so, and this server if `mine`.
    fn is_quorum(&self, mine: bool, agrees: impl Fn(&Peer) -> bool) -> bool {
        self.config.quorums.hold(self.zoo, |sid| self.says(sid, mine, &agrees))
    }

    /// Whether a voter agrees.
    fn says(&self, sid: ServerId, mine: bool, agrees: &impl Fn(&Peer) -> bool) -> bool {
        match sid == self.config.me {
            true => mine && !self.zoo.has(Mutation::LeaderNotCounted),
            false => self.peers.values().any(|p| p.sid == sid && agrees(p)),
        }
    }

    fn on_packet<'f>(
        &mut self,
        link: LinkId,
        bytes: &'f [u8],
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'f>,
    ) -> Result<(), String> {
        let Some(peer) = self.peers.get_mut(&link) else { return Ok(()) };
        let said = QuorumPacket::decode(&mut Reader::new(bytes)).and_then(FromLearner::read);
        let said = said.map_err(|_| "it sent a packet that no learner sends")?;
        let live = peer.stage == Stage::Live;
        let limit = if live { self.config.sync_limit } else { self.config.init_limit };
        peer.deadline = now + limit;
        match (said, peer.stage) {
            (FromLearner::Info { accepted, observer, info }, Stage::Greeting) => {
                self.greet(link, accepted.epoch(), observer, info, fx, orders)?;
            }
            (FromLearner::AckEpoch { zxid, current }, Stage::Promising) => {
                self.on_ack_epoch(link, zxid, current)?;
            }
            (FromLearner::Ack { zxid }, Stage::Settling { .. } | Stage::Ready | Stage::Live) => {
                peer.on_ack(zxid, Zxid::new(self.epoch, 0))?;
            }
            (FromLearner::Ping { touched, .. }, Stage::Live) => {
                peer.ponged = peer.pinged.min(peer.ponged + 1);
                for (session, timeout_ms) in touched.iter() {
                    orders.push(LeaderOrder::Touch { link, session, timeout_ms });
                }
            }
            (FromLearner::Request(request), Stage::Live) => {
                orders.push(match request.op == OpCode::Sync.code() {
                    true => LeaderOrder::Sync { link },
                    false => LeaderOrder::Request { link, request },
                });
            }
            (FromLearner::Revalidate { session, timeout_ms }, Stage::Live) => {
                orders.push(LeaderOrder::Revalidate { link, session, timeout_ms });
            }
            _ => return Err("it spoke out of turn".into()),
        }
        Ok(())
    }

    /// Takes the steps towards leading that are due.
    fn step(&mut self, now: Instant, fx: &mut Effects, orders: &mut Orders<'_>) {
        let next = |leader: &mut Leader<Z>, mode| {
            leader.mode = mode;
            leader.deadline = now + leader.config.init_limit;
        };
        if self.mode == Mode::Electing && self.is_quorum(true, |p| p.stage == Stage::Waiting) {
            next(self, Mode::Accepting);
            self.epoch += 1;
            if self.epoch > self.footing.accepted {
                orders.push(LeaderOrder::Accept { epoch: self.epoch });
            }
        }
        if self.mode == Mode::Accepting && self.footing.accepted >= self.epoch {
            next(self, Mode::Agreeing);
        }
        if self.mode == Mode::Agreeing {
            let logged = self.footing.durable >= self.elected.1;
            let agreed = |p: &Peer| matches!(p.stage, Stage::Agreed { counts: true, .. });
            if logged && self.is_quorum(true, agreed) {
                next(self, Mode::Settling);
                if self.epoch > self.footing.current {
                    orders.push(LeaderOrder::SetCurrent { epoch: self.epoch });
                }
            }
        }
        self.step_peers(fx, orders);
        if self.mode == Mode::Settling
            && self.footing.current >= self.epoch
            && self.is_quorum(true, Peer::is_settled)
        {
            next(self, Mode::Applying);
            self.config.quorums = self.config.quorums.clone().arrived();
            if !self.config.quorums.is_voter(self.config.me) {
                self.activated.push((Zxid::new(self.epoch, 0), self.pick_heir()));
            }
            orders.push(LeaderOrder::Lead { epoch: self.epoch });
        }
        if self.mode == Mode::Leading {
            self.go_live(now, fx);
        }
    }

    /// UPTODATE to everybody who has acknowledged NEWLEADER.
    fn go_live(&mut self, now: Instant, fx: &mut Effects) {
        let (round, sync_limit) = (self.round, self.config.sync_limit);
        for (&link, peer) in self.peers.iter_mut().filter(|(_, p)| p.stage == Stage::Ready) {
            peer.go_live(link, now, round, fx);
            peer.deadline = now + sync_limit;
        }
    }

    /// Has each learner take the steps that wait for this server.
    fn step_peers(&mut self, fx: &mut Effects, orders: &mut Orders<'_>) {
        let agreed = self.mode == Mode::Settling || self.is_established();
        let announced = self.mode == Mode::Agreeing || agreed;
        let waiting = |peer: &Peer| match peer.stage {
            Stage::Waiting => announced,
            Stage::Agreed { .. } => agreed,
            _ => false,
        };
        let due = self.peers.iter().filter(|(_, peer)| waiting(peer));
        let due: Vec<LinkId> = due.map(|(link, _)| *link).collect();
        for link in due {
            let (before, sends_whole) = (self.history.before(), self.sends_whole());
            let peer = self.peers.get_mut(&link).expect("listed above");
            match peer.stage {
                Stage::Agreed { last, .. } if last < before && !sends_whole => {
                    peer.stage = Stage::Surveying { last };
                    orders.push(LeaderOrder::Survey { link, last });
                }
                Stage::Agreed { last, .. } => self.mend(link, last, None, fx),
                _ => {
                    peer.stage = Stage::Promising;
                    let zxid = Zxid::new(self.epoch, 0);
                    peer.say(link, &FromLeader::LeaderInfo { zxid, ours: true }, fx);
                }
            }
        }
    }

    /// Whether all get a whole tree. Before it leads nobody takes a younger one than there is, and
    /// that may be too old for those who are to make it lead.
    fn sends_whole(&self) -> bool {
        self.config.whole && self.mode == Mode::Leading
    }

    /// Begins to bring a learner up to date.
    fn mend(&mut self, link: LinkId, last: Zxid, disk: Option<DiskLog>, fx: &mut Effects) {
        let old = self.peers[&link].old;
        let whole = self.sends_whole() || old && !self.history.suits_3_4(last);
        let (leads, elected_with) = (self.epoch, self.elected.0);
        let standing = Standing { last, whole, leads, elected_with, disk };
        let remedy = self.history.remedy(&standing);
        let committed = self.history.committed();
        let held = if self.zoo.has(Mutation::TreeEndsEarly) { Zxid::ZERO } else { last };
        self.peers.get_mut(&link).expect("it waits").mend(link, (held, committed), remedy, fx);
    }

    fn pull(&mut self, now: Instant, fx: &mut Effects, orders: &mut Orders<'_>) {
        let backwards = self.zoo.has(Mutation::LearnersServedBackwards);
        let (source, peers) = self.source(now);
        let mut pull = |(&link, peer): (&LinkId, &mut Peer)| peer.pull(link, source, fx, orders);
        if backwards {
            return peers.iter_mut().rev().for_each(pull);
        }
        peers.iter_mut().for_each(&mut pull);
    }
}

#[cfg(test)]
#[path = "leader_tests.rs"]
mod tests;
