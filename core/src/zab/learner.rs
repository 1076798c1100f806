// SPDX-License-Identifier: Apache-2.0
//! A learner: it is brought up to date by a leader, and then learns each transaction from it.
//!
//! ```text
//!  Dialling --up: FOLLOWERINFO--> Greeting --LEADERINFO--> Promising --epoch and log durable:
//!  ACKEPOCH--> Choosing --DIFF-------------------------> Catching --NEWLEADER--> Settling
//!                  |----TRUNC--> Replacing --done------>    |                       |
//!                  `----SNAP---> Loading --last piece--> Replacing       log durable: currentEpoch
//!                                                                        that durable: ACK
//!  Following <--UPTODATE: ACK-- Waiting <-------------------------------------------'
//! ```
//!
//! From any state a word that does not fit, silence, or the end of the link leads to `Over`: the
//! owner is told why, and elects again. PROPOSALs, COMMITs and INFORMs come from Catching on, and
//! are logged as they come. The machine owns no tree and no log: it sends words, and gives its
//! owner orders, whose ends it is told of.
//!
//! # What must be durable before what is said
//!
//! By law D1, in this order, one after the other: `acceptedEpoch` before ACKEPOCH; all that came
//! before NEWLEADER in the log; `currentEpoch`; and only then the ACK of NEWLEADER. Transactions
//! are acknowledged one by one when they are durable, and none before NEWLEADER was
//! (ZOOKEEPER-3911, 4643, 4646, 4685, 4785). What was in the log when this began is durable before
//! ACKEPOCH says so, and whatever an earlier role still had on its way to the disk is there by then
//! (ZOOKEEPER-4712).
//!
//! # A server that lost its disk
//!
//! It may have acknowledged what is lost, so its word stands for nothing until it holds something
//! again; and `acceptedEpoch` beside an empty log would make it one that took part and has nothing,
//! who votes like any other after its next start. So it answers LEADERINFO as a server does that
//! accepted the epoch before, which no leader counts, and accepts with NEWLEADER.
//!
//! What came before NEWLEADER with its COMMIT is never acknowledged, and everything else is, one by
//! one: Java's leader counts each transaction, and takes a learner that skips one for a laggard.
//!
//! # What is applied
//!
//! What a leader begins with is history only once a quorum has acknowledged its NEWLEADER. So
//! [`LearnerOrder::CommitTo`] is first given at UPTODATE, and from there on with each COMMIT, which
//! may come before the transaction is durable here. The owner applies the smaller of that and what
//! is durable. Hence nothing that was ever shown can be missing from this disk after a crash, and a
//! server whose disk is slow shows late what is committed.
//!
//! # Other members
//!
//! A leader tells of its configuration with NEWLEADER ([`LearnerOrder::Config`]), and a COMMIT or
//! INFORM that names a leader is a reconfiguration's ([`LearnerOrder::Activate`]). What follows
//! from that for this server's role is its owner's to say.
//!
//! # What leaders of Java's do
//!
//! One gives a write that it cannot read the number of the transaction before it, and proposes and
//! commits both (`PrepRequestProcessor.pRequestHelper`). Whatever comes with the last number again
//! is passed over: it is an error, which changes nothing.
//!
//! One may send again, behind a SNAP, what is in that tree already: the tree is not read at one
//! moment there. Words about transactions up to the SNAP's own are passed over.

mod log;

use alloc::{boxed::Box, collections::VecDeque, format, string::String, vec::Vec};
use core::time::Duration;

use super::{
    history::History,
    orders::LearnerOrder,
    wire::{
        ForwardedRequest, FromLeader, FromLearner, LearnerInfo, PROTOCOL, QuorumPacket, Touched,
    },
};
use crate::{
    id::{LinkId, ServerId, SessionId, Zxid},
    io::{Effect, Effects, Frame},
    jute::{Reader, Record},
    time::Instant,
    zoo::{Mutation, Zoo},
};

/// How often a leader that does not answer is dialled: over three seconds, four in Java.
const TRIES: u32 = 6;

/// The pause after the first try; it doubles. A leader may need a moment to find out that it is
/// one: Java opens its port then, and waits 100 ms between tries since 3.6
/// (`zookeeper.leaderConnectDelayDuringRetryMs`), a second before.
const RETRY: Duration = Duration::from_millis(100);

/// Who a learner is, and how patient.
#[derive(Clone, Copy, Debug)]
pub struct LearnerConfig {
    /// Its id.
    pub me: ServerId,
    /// Whether it has no vote.
    pub observer: bool,
    /// Whether it found nothing on its disk, where others hold something: it promises nothing
    /// before it has been brought up to date.
    pub blank: bool,
    /// The version of its configuration.
    pub config_version: i64,
    /// How long a leader may be silent before it has brought this server up to date
    /// (`initLimit` ticks).
    pub init_limit: Duration,
    /// How long it may be silent from then on (`syncLimit` ticks).
    pub sync_limit: Duration,
}

/// Where a role begins: what the disk holds. What an earlier role has on its way to the log may
/// still be on its way; epochs may not.
#[derive(Clone, Copy, Debug)]
pub struct Footing {
    /// The epoch it has promised itself to, durably.
    pub accepted: u32,
    /// The epoch whose history it holds, durably.
    pub current: u32,
    /// Everything up to this transaction is durable in its log.
    pub durable: Zxid,
}

/// Where a learner is; drawn in the module's doc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// After so many tries; the next one begins then, or is under way.
    Dialling {
        tries: u32,
        next: Option<Instant>,
    },
    Greeting,
    /// Whether `acceptedEpoch` was the leader's before, or is not to be.
    Promising {
        again: bool,
    },
    Choosing,
    Loading {
        zxid: Zxid,
    },
    Replacing,
    Catching,
    /// Until the log is durable up to a transaction, and then `currentEpoch`, once ordered.
    Settling {
        through: Zxid,
        ordered: bool,
    },
    Waiting,
    Following,
    Over,
}

/// A learner of one leader, from its first word to the last.
#[derive(Clone, Debug)]
pub struct Learner<Z: Zoo> {
    zoo: Z,
    config: LearnerConfig,
    mode: Mode,
    link: Option<LinkId>,
    /// The leader's epoch, once it is known.
    epoch: u32,
    /// What is durable here.
    footing: Footing,
    history: History<Z>,
    /// Words about transactions up to this one are passed over: they are in the tree that came.
    in_tree: Zxid,
    /// Transactions to acknowledge once they are durable, oldest first.
    unacked: VecDeque<Zxid>,
    old_leader: bool,
    /// Whether the leader is a server of this make.
    ours: bool,
    /// Packets that came while the log was being replaced.
    held: VecDeque<Box<[u8]>>,
    /// When the leader must have been heard of; none while it waits for us.
    deadline: Option<Instant>,
}

/// Where a machine puts its orders; they may point into the frame that led to them.
type Orders<'f> = Vec<LearnerOrder<'f>>;

impl<Z: Zoo> Learner<Z> {
    /// Begins with the leader being dialled: `history` ends with the last transaction in the log,
    /// which may still be on its way to the disk.
    pub fn start(
        zoo: Z,
        config: LearnerConfig,
        footing: Footing,
        history: History<Z>,
        now: Instant,
    ) -> Learner<Z> {
        Learner {
            zoo,
            mode: Mode::Dialling { tries: 1, next: None },
            link: None,
            epoch: 0,
            footing,
            in_tree: Zxid::ZERO,
            unacked: VecDeque::new(),
            history,
            old_leader: false,
            ours: false,
            held: VecDeque::new(),
            deadline: Some(now + config.init_limit),
            config,
        }
    }

    /// Whether clients are served.
    pub fn is_following(&self) -> bool {
        self.mode == Mode::Following
    }

    /// Whether the leader has not said a word yet.
    pub fn is_unanswered(&self) -> bool {
        matches!(self.mode, Mode::Dialling { .. } | Mode::Greeting)
    }

    /// The leader's epoch, once it is known.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Ends the role and keeps history.
    pub fn retire(self) -> History<Z> {
        self.history
    }

    /// When [`Learner::on_time`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.mode {
            Mode::Dialling { next: Some(next), .. } => Some(next),
            _ => self.deadline,
        }
    }

    /// The link is there.
    pub fn on_link_up(&mut self, link: LinkId, now: Instant, fx: &mut Effects) {
        self.link = Some(link);
        self.mode = Mode::Greeting;
        self.heard(now);
        let LearnerConfig { me: sid, observer, config_version, .. } = self.config;
        let info = LearnerInfo { sid, protocol: PROTOCOL, config_version: Some(config_version) };
        let accepted = Zxid::new(self.footing.accepted, 0);
        self.say(&FromLearner::Info { accepted, observer, info }, fx);
    }

    /// There is no link.
    pub fn on_dial_failed(&mut self, now: Instant, fx: &mut Effects, orders: &mut Orders<'_>) {
        let Mode::Dialling { tries, .. } = self.mode else { return };
        let next = now + RETRY * (1 << (tries - 1));
        if tries == TRIES || self.deadline.is_some_and(|deadline| next > deadline) {
            return self.give_up("the leader cannot be reached", fx, orders);
        }
        self.mode = Mode::Dialling { tries, next: Some(next) };
    }

    /// The link is gone.
    pub fn on_link_down(&mut self, fx: &mut Effects, orders: &mut Orders<'_>) {
        self.link = None;
        self.give_up("the leader closed the link", fx, orders);
    }

    /// Time passed.
    pub fn on_time(&mut self, now: Instant, fx: &mut Effects, orders: &mut Orders<'_>) {
        if let Mode::Dialling { tries, next: Some(next) } = self.mode
            && next <= now
        {
            self.mode = Mode::Dialling { tries: tries + 1, next: None };
            orders.push(LearnerOrder::Dial);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let limit = self.patience().as_millis();
            let why = format!("the leader was not heard of for {limit} ms");
            self.give_up(&why, fx, orders);
        }
    }

    /// The link delivered a frame.
    pub fn on_frame<'f>(
        &mut self,
        frame: Frame<'f>,
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'f>,
    ) {
        match (frame, self.mode) {
            (_, Mode::Over) => {}
            (Frame::Packet(bytes), Mode::Replacing) => self.held.push_back(bytes.into()),
            (Frame::Packet(bytes), _) => self.on_packet(bytes, now, fx, orders),
            (Frame::Tree { bytes, last }, Mode::Loading { zxid }) => {
                self.heard(now);
                orders.push(LearnerOrder::Tree { zxid, bytes, last });
                if last {
                    self.replace(fx);
                }
            }
            (Frame::Tree { .. }, _) => self.give_up("a tree came unasked", fx, orders),
            (Frame::Broken { why }, _) => {
                self.give_up(&format!("the leader sent nonsense: {why}"), fx, orders);
            }
            (Frame::Word(_) | Frame::Oversized { .. } | Frame::Nonsense { .. }, _) => {
                unreachable!("a quorum port's framing machine cuts packets and trees")
            }
        }
    }

    /// What is durable of the epochs changed.
    pub fn on_epochs(
        &mut self,
        accepted: u32,
        current: u32,
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'_>,
    ) {
        (self.footing.accepted, self.footing.current) = (accepted, current);
        self.go_on(now, fx, orders);
    }

    /// Everything up to a transaction is durable in the log.
    pub fn on_durable(
        &mut self,
        zxid: Zxid,
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'_>,
    ) {
        if self.mode != Mode::Replacing {
            self.footing.durable = zxid;
            self.go_on(now, fx, orders);
        }
    }

    /// Tree and log are what the leader wanted: they end with this transaction, durably.
    /// Gives the packets that came meanwhile, to be given to [`Learner::on_frame`] now.
    pub fn on_replaced(
        &mut self,
        last: Zxid,
        now: Instant,
        fx: &mut Effects,
    ) -> VecDeque<Box<[u8]>> {
        assert_eq!(self.mode, Mode::Replacing, "nothing else was ordered");
        self.footing.durable = last;
        self.mode = Mode::Catching;
        if let Some(link) = self.link {
            fx.push(Effect::Resume { link });
        }
        self.heard(now);
        core::mem::take(&mut self.held)
    }

    /// Answers a PING with the sessions heard of, and their timeouts in milliseconds.
    pub fn pong(
        &mut self,
        zxid: Zxid,
        touched: impl IntoIterator<Item = (SessionId, i32)>,
        fx: &mut Effects,
    ) {
        let mut bytes = Vec::new();
        if !self.zoo.has(Mutation::TouchesNotRelayed) {
            for (session, timeout_ms) in touched {
                Touched::put(session, timeout_ms, &mut bytes);
            }
        }
        self.say(&FromLearner::Ping { zxid, touched: Touched::of(&bytes) }, fx);
    }

    /// Sends a client's request up; only while [following](Learner::is_following).
    pub fn request(&self, request: ForwardedRequest<'_>, fx: &mut Effects) {
        self.say(&FromLearner::Request(request), fx);
    }

    /// Asks whether a session lives; only while [following](Learner::is_following).
    pub fn revalidate(&self, session: SessionId, timeout_ms: i32, fx: &mut Effects) {
        self.say(&FromLearner::Revalidate { session, timeout_ms }, fx);
    }

    /// Ends it: hangs up, and has the owner elect.
    pub fn give_up(&mut self, why: &str, fx: &mut Effects, orders: &mut Orders<'_>) {
        if self.mode == Mode::Over {
            return;
        }
        self.mode = Mode::Over;
        self.deadline = None;
        self.held.clear();
        if let Some(link) = self.link {
            fx.push(Effect::HangUp { link });
        }
        orders.push(LearnerOrder::StepDown { why: why.into() });
    }

    fn say(&self, what: &FromLearner<'_>, fx: &mut Effects) {
        if let Some(link) = self.link {
            fx.send(link, |out| what.encode(out));
        }
    }

    /// How long the leader may be silent.
    ///
    /// While it waits for its quorum it says nothing: Java's learner, which gives it `syncLimit`
    /// there, too, leaves if another one takes long to catch up.
    fn patience(&self) -> Duration {
        match self.mode {
            Mode::Following => self.config.sync_limit,
            _ => self.config.init_limit,
        }
    }

    /// The leader was heard of, or is being waited for from now on.
    fn heard(&mut self, now: Instant) {
        let waits_for_us = matches!(
            self.mode,
            Mode::Promising { .. } | Mode::Replacing | Mode::Settling { .. } | Mode::Over
        );
        self.deadline = (!waits_for_us).then_some(now + self.patience());
    }

    fn on_packet<'f>(
        &mut self,
        bytes: &'f [u8],
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'f>,
    ) {
        let read = QuorumPacket::decode(&mut Reader::new(bytes));
        let Ok(said) = read.as_ref().map_err(|e| *e).and_then(FromLeader::read) else {
            return self.give_up("the leader sent a packet that no leader sends", fx, orders);
        };
        let done = match (said, self.mode) {
            (_, Mode::Over) => return,
            (
                _,
                Mode::Dialling { .. }
                | Mode::Greeting
                | Mode::Promising { .. }
                | Mode::Choosing
                | Mode::Loading { .. },
            ) => self.join(&said, fx, orders),
            (FromLeader::NewLeader { zxid, config }, Mode::Catching) => {
                self.old_leader = config.is_none();
                let text = config.filter(|text| !text.is_empty());
                orders.extend(text.map(|text| LearnerOrder::Config { text }));
                self.settle(zxid)
            }
            (FromLeader::UpToDate, Mode::Waiting) => {
                self.serve(fx, orders);
                Ok(())
            }
            (
                FromLeader::Proposal { .. } | FromLeader::Commit { .. } | FromLeader::Inform { .. },
                _,
            ) => self.learn(said, orders),
            (FromLeader::Ping { zxid }, Mode::Following) => {
                orders.push(LearnerOrder::Pong { zxid });
                Ok(())
            }
            // Before, Java's leader takes nothing but the ACK that it waits for.
            (FromLeader::Ping { .. }, _) => Ok(()),
            (FromLeader::Revalidated { session, valid }, Mode::Following) => {
                orders.push(LearnerOrder::Revalidated { session, valid });
                Ok(())
            }
            (FromLeader::Sync, Mode::Following) => {
                orders.push(LearnerOrder::SyncAnswered);
                Ok(())
            }
            _ => Err(misfit(&said)),
        };
        match done {
            Ok(()) => {
                self.heard(now);
                self.go_on(now, fx, orders);
            }
            Err(why) => self.give_up(&why, fx, orders),
        }
    }

    /// The first words of a leader, up to how it is going to bring this server up to date.
    fn join(
        &mut self,
        said: &FromLeader<'_>,
        fx: &mut Effects,
        orders: &mut Orders<'_>,
    ) -> Result<(), String> {
        match (*said, self.mode) {
            (FromLeader::LeaderInfo { zxid, ours }, Mode::Greeting) => {
                self.ours = ours;
                self.promise(zxid, orders)
            }
            (FromLeader::Diff { zxid }, Mode::Choosing) => {
                self.history.commit(self.history.last(), self.footing.durable);
                if self.zoo.has(Mutation::DiffTargetClaimed) {
                    self.history.reset(zxid.max(self.history.last()));
                }
                self.mode = Mode::Catching;
                Ok(())
            }
            (FromLeader::Trunc { zxid }, Mode::Choosing) => self.truncate(zxid, fx, orders),
            (FromLeader::Snap { zxid }, Mode::Choosing) if self.is_possible(zxid) => {
                self.mode = Mode::Loading { zxid };
                Ok(())
            }
            _ => Err(misfit(said)),
        }
    }

    /// A transaction comes, or is history.
    fn learn<'f>(&mut self, said: FromLeader<'f>, orders: &mut Orders<'f>) -> Result<(), String> {
        let (zxid, designated) = match said {
            FromLeader::Proposal { zxid, entry } => return self.append(zxid, entry, orders),
            FromLeader::Commit { zxid, designated } => {
                self.commit(zxid, orders)?;
                (zxid, designated)
            }
            FromLeader::Inform { zxid, entry, designated } => {
                self.inform(zxid, entry, orders)?;
                (zxid, designated)
            }
            _ => return Err(misfit(&said)),
        };
        // One that names who is to lead is a reconfiguration.
        orders.extend(designated.map(|leader| LearnerOrder::Activate { zxid, leader }));
        Ok(())
    }

    /// What waits for this server's own disk goes on, if that is ready.
    fn go_on(&mut self, now: Instant, fx: &mut Effects, orders: &mut Orders<'_>) {
        match self.mode {
            Mode::Promising { again } => self.ack_epoch(again, now, fx),
            Mode::Settling { through, ordered } => {
                if self.zoo.has(Mutation::ProposalsAckedEarly) {
                    self.ack(fx);
                }
                self.ack_new_leader(through, ordered, now, fx, orders);
            }
            Mode::Following => self.ack(fx),
            _ => {}
        }
    }

    /// LEADERINFO: promises never to follow an earlier leader.
    fn promise(&mut self, zxid: Zxid, orders: &mut Orders<'_>) -> Result<(), String> {
        let (epoch, accepted) = (zxid.epoch(), self.footing.accepted);
        if epoch < accepted || epoch > i32::MAX as u32 {
            return Err(format!("the leader's epoch is {epoch}, and {accepted} was accepted"));
        }
        self.epoch = epoch;
        self.mode = Mode::Promising { again: epoch == accepted || self.config.blank };
        if epoch > accepted && !self.config.blank {
            orders.push(LearnerOrder::Accept { epoch });
        }
        Ok(())
    }

    fn ack_epoch(&mut self, again: bool, now: Instant, fx: &mut Effects) {
        let last = self.history.last();
        let logged = self.footing.durable >= last || self.zoo.has(Mutation::DiffTargetClaimed);
        let promised = self.footing.accepted == self.epoch || self.config.blank;
        if !promised || !logged {
            return;
        }
        let current = (!again).then_some(self.footing.current.cast_signed());
        self.say(&FromLearner::AckEpoch { zxid: last, current }, fx);
        self.mode = Mode::Choosing;
        self.heard(now);
    }

    /// Whether a transaction can be of this leader's history.
    fn is_possible(&self, zxid: Zxid) -> bool {
        zxid >= Zxid::ZERO && zxid.epoch() <= self.epoch
    }

    /// TRUNC: what is logged here beyond a transaction was never committed.
    fn truncate(
        &mut self,
        to: Zxid,
        fx: &mut Effects,
        orders: &mut Orders<'_>,
    ) -> Result<(), String> {
        let last = self.history.last();
        if to > last || to < Zxid::ZERO {
            return Err(format!("the leader wants the log cut at {to}, and it ends with {last}"));
        }
        self.history.reset(to);
        orders.push(LearnerOrder::Truncate { to });
        self.replace(fx);
        Ok(())
    }

    /// Waits for the owner to put something else in place of tree and log.
    fn replace(&mut self, fx: &mut Effects) {
        if let Mode::Loading { zxid } = self.mode {
            self.history.reset(zxid);
            self.in_tree = zxid;
        }
        self.mode = Mode::Replacing;
        self.deadline = None;
        if let Some(link) = self.link {
            fx.push(Effect::Pause { link });
        }
    }

    /// NEWLEADER: with what has come, this server's history is the leader's.
    fn settle(&mut self, zxid: Zxid) -> Result<(), String> {
        if zxid != Zxid::new(self.epoch, 0) {
            return Err(format!("NEWLEADER came for {zxid} in epoch {}", self.epoch));
        }
        let needless = self.unacked.partition_point(|waiting| *waiting <= self.history.committed());
        self.unacked.drain(..needless);
        self.mode = Mode::Settling { through: self.history.last(), ordered: false };
        Ok(())
    }

    fn ack_new_leader(
        &mut self,
        through: Zxid,
        ordered: bool,
        now: Instant,
        fx: &mut Effects,
        orders: &mut Orders<'_>,
    ) {
        let logged = self.footing.durable >= through
            || self.zoo.has(Mutation::NewLeaderAckedBeforeLog)
            || self.logs_late();
        let epoch = self.epoch;
        if self.footing.current != epoch {
            if !ordered && (logged || self.zoo.has(Mutation::EpochBeforeLog)) {
                self.mode = Mode::Settling { through, ordered: true };
                if self.footing.accepted < epoch {
                    orders.push(LearnerOrder::Accept { epoch });
                }
                orders.push(LearnerOrder::SetCurrent { epoch });
            }
            return;
        }
        if logged {
            self.say(&FromLearner::Ack { zxid: Zxid::new(epoch, 0) }, fx);
            self.mode = Mode::Waiting;
            self.heard(now);
        }
    }

    /// UPTODATE: a quorum follows this leader.
    fn serve(&mut self, fx: &mut Effects, orders: &mut Orders<'_>) {
        self.say(&FromLearner::Ack { zxid: Zxid::new(self.epoch, 0) }, fx);
        self.mode = Mode::Following;
        if self.logs_late() {
            self.log_late(orders);
        }
        orders.push(LearnerOrder::CommitTo { zxid: self.history.committed() });
        orders.push(LearnerOrder::Serve { old_leader: self.old_leader, ours: self.ours });
    }
}

/// What is wrong with a word that came at the wrong time.
fn misfit(said: &FromLeader<'_>) -> String {
    format!("the leader sent {} out of turn", said.name())
}

#[cfg(test)]
#[path = "learner_tests.rs"]
mod tests;
