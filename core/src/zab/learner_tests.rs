// SPDX-License-Identifier: Apache-2.0
//! The learner's machine: each phase with its exact effects, each bug shown, and recorded leaders
//! of Java's.

use proptest::prelude::*;

use super::{
    super::{
        QuorumFramer,
        test_words::{bugs, effects, entry, from_leader, learner_words, packets},
        wire::tests::{FIXTURES, lines},
    },
    *,
};
use crate::zoo::Sound;

bugs!(
    NewLeaderAckedBeforeLog,
    EpochBeforeLog,
    ProposalsAckedEarly,
    AppliesProposals,
    JoinerDropsCommits,
    TouchesNotRelayed
);

const LINK: LinkId = LinkId(1);
const EPOCH: u32 = 5;
const INIT: u64 = 10_000;
const SYNC: u64 = 5_000;

fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

fn config() -> LearnerConfig {
    LearnerConfig {
        me: ServerId(3),
        observer: false,
        blank: false,
        config_version: 0,
        init_limit: Duration::from_millis(INIT),
        sync_limit: Duration::from_millis(SYNC),
    }
}

/// A learner, and what it did since it was last asked.
struct Rig<Z: Zoo> {
    learner: Learner<Z>,
    fx: Effects,
    ms: u64,
}

fn order_words(order: LearnerOrder<'_>) -> String {
    match order {
        LearnerOrder::Append { zxid, .. } => format!("append {zxid}"),
        LearnerOrder::CommitTo { zxid } => format!("commit to {zxid}"),
        LearnerOrder::Tree { zxid, bytes, last } => format!("tree {zxid} {} {last}", bytes.len()),
        LearnerOrder::StepDown { why } => format!("step down: {why}"),
        other => format!("{other:?}"),
    }
}

impl<Z: Zoo> Rig<Z> {
    /// A server of epoch 4 whose log ends with (4, 2).
    fn new(zoo: Z) -> Rig<Z> {
        let footing = Footing { accepted: 4, current: 4, durable: z(4, 2) };
        Rig::with(zoo, config(), footing, z(4, 2))
    }

    fn with(zoo: Z, config: LearnerConfig, footing: Footing, last: Zxid) -> Rig<Z> {
        let history = History::new(zoo, 2, last);
        let learner = Learner::start(zoo, config, footing, history, Instant::ZERO);
        Rig { learner, fx: Effects::new(), ms: 0 }
    }

    fn act<'f>(
        &mut self,
        act: impl FnOnce(&mut Learner<Z>, Instant, &mut Effects, &mut Orders<'f>),
    ) -> Vec<String> {
        let mut orders = Vec::new();
        act(&mut self.learner, Instant::from_millis(self.ms), &mut self.fx, &mut orders);
        let mut words: Vec<String> = orders.into_iter().map(order_words).collect();
        words.extend(effects(&mut self.fx, |_, bytes, words| {
            words.extend(packets(bytes).into_iter().map(learner_words));
        }));
        words
    }

    fn up(&mut self) -> Vec<String> {
        self.act(|learner, now, fx, _| learner.on_link_up(LINK, now, fx))
    }

    fn hear(&mut self, said: FromLeader<'_>) -> Vec<String> {
        let bytes = from_leader(&said);
        self.frame(Frame::Packet(&bytes))
    }

    fn frame(&mut self, frame: Frame<'_>) -> Vec<String> {
        self.act(|learner, now, fx, orders| learner.on_frame(frame, now, fx, orders))
    }

    fn propose(&mut self, zxid: Zxid) -> Vec<String> {
        self.hear(FromLeader::Proposal { zxid, entry: &entry(zxid) })
    }

    fn commit(&mut self, zxid: Zxid) -> Vec<String> {
        self.hear(FromLeader::Commit { zxid, designated: None })
    }

    fn epochs(&mut self, accepted: u32, current: u32) -> Vec<String> {
        self.act(|learner, now, fx, orders| learner.on_epochs(accepted, current, now, fx, orders))
    }

    fn durable(&mut self, zxid: Zxid) -> Vec<String> {
        self.act(|learner, now, fx, orders| learner.on_durable(zxid, now, fx, orders))
    }

    fn replaced(&mut self, last: Zxid) -> Vec<String> {
        let mut held = VecDeque::new();
        let mut words = self.act(|learner, now, fx, _| held = learner.on_replaced(last, now, fx));
        for packet in held {
            words.extend(self.frame(Frame::Packet(&packet)));
        }
        words
    }

    fn at(&mut self, ms: u64) -> Vec<String> {
        self.ms = ms;
        self.act(Learner::on_time)
    }

    /// Up to the choice of what it gets.
    fn promised(&mut self) {
        self.up();
        self.hear(FromLeader::LeaderInfo { zxid: z(EPOCH, 0), ours: false });
        assert_eq!(self.epochs(EPOCH, 4), ["ACKEPOCH 0x400000002 Some(4)"]);
    }

    /// Up to NEWLEADER, with (5, 1) committed and (5, 2) proposed before it.
    fn settling(&mut self) -> Vec<String> {
        self.promised();
        assert_eq!(self.hear(FromLeader::Diff { zxid: z(EPOCH, 1) }), NOTHING);
        assert_eq!(self.propose(z(EPOCH, 1))[0], "append 0x500000001");
        self.commit(z(EPOCH, 1));
        self.propose(z(EPOCH, 2));
        self.new_leader()
    }

    fn new_leader(&mut self) -> Vec<String> {
        self.hear(FromLeader::NewLeader { zxid: z(EPOCH, 0), config: Some(b"") })
    }

    /// A follower with nothing under way.
    fn following(&mut self) {
        self.promised();
        self.hear(FromLeader::Diff { zxid: z(4, 2) });
        self.new_leader();
        assert_eq!(self.epochs(EPOCH, EPOCH), ["ACK 0x500000000"]);
        let words = self.hear(FromLeader::UpToDate);
        assert_eq!(
            words,
            [
                "commit to 0x400000002",
                "Serve { old_leader: false, ours: false }",
                "ACK 0x500000000"
            ]
        );
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_epoch_is_promised_only_when_that_and_the_log_are_durable() {
    let footing = Footing { accepted: 4, current: 4, durable: z(4, 1) };
    let mut rig = Rig::with(Sound, config(), footing, z(4, 2));
    assert_eq!(rig.up(), ["FOLLOWERINFO 0x400000000"]);
    let words = rig.hear(FromLeader::LeaderInfo { zxid: z(EPOCH, 0), ours: false });
    assert_eq!(words, ["Accept { epoch: 5 }"]);
    assert_eq!(rig.epochs(EPOCH, 4), NOTHING, "an earlier role's (4, 2) is still on its way");
    assert_eq!(rig.durable(z(4, 2)), ["ACKEPOCH 0x400000002 Some(4)"]);
}

#[test]
fn a_lost_disk_promises_nothing_before_it_holds_what_the_others_do() {
    let footing = Footing { accepted: 0, current: 0, durable: Zxid::ZERO };
    let mut rig = Rig::with(Sound, LearnerConfig { blank: true, ..config() }, footing, Zxid::ZERO);
    assert_eq!(rig.up(), ["FOLLOWERINFO 0x0"]);
    let words = rig.hear(FromLeader::LeaderInfo { zxid: z(EPOCH, 0), ours: false });
    assert_eq!(words, ["ACKEPOCH 0x0 None"], "which does not count, and nothing is written");
    rig.hear(FromLeader::Diff { zxid: z(4, 1) });
    rig.propose(z(4, 1));
    rig.commit(z(4, 1));
    assert_eq!(rig.new_leader(), NOTHING, "the log comes first");
    assert_eq!(rig.durable(z(4, 1)), ["Accept { epoch: 5 }", "SetCurrent { epoch: 5 }"]);
    assert_eq!(rig.epochs(EPOCH, 0), NOTHING);
    assert_eq!(rig.epochs(EPOCH, EPOCH), ["ACK 0x500000000"]);
}

#[test]
fn an_epoch_is_promised_once_and_never_an_earlier_one() {
    let footing = Footing { accepted: EPOCH, current: 4, durable: z(4, 2) };
    let mut rig = Rig::with(Sound, config(), footing, z(4, 2));
    rig.up();
    let words = rig.hear(FromLeader::LeaderInfo { zxid: z(EPOCH, 0), ours: false });
    assert_eq!(words, ["ACKEPOCH 0x400000002 None"]);
    let mut rig = Rig::with(Sound, config(), footing, z(4, 2));
    rig.up();
    let words = rig.hear(FromLeader::LeaderInfo { zxid: z(4, 0), ours: false });
    assert_eq!(words, ["step down: the leader's epoch is 4, and 5 was accepted", "1: hang up"]);
}

#[test]
fn newleader_is_acknowledged_after_the_log_and_then_the_epoch_are_durable() {
    let mut rig = Rig::new(Sound);
    assert_eq!(rig.settling(), NOTHING);
    assert_eq!(rig.durable(z(EPOCH, 1)), NOTHING, "(5, 2) came before NEWLEADER, too");
    assert_eq!(rig.durable(z(EPOCH, 2)), ["SetCurrent { epoch: 5 }"]);
    assert_eq!(rig.propose(z(EPOCH, 3)), ["append 0x500000003"]);
    assert_eq!(rig.durable(z(EPOCH, 3)), NOTHING);
    assert_eq!(rig.epochs(EPOCH, EPOCH), ["ACK 0x500000000"]);
    // What is committed between NEWLEADER and UPTODATE (ZOOKEEPER-4394) is not lost.
    assert_eq!(rig.commit(z(EPOCH, 2)), NOTHING);
    assert_eq!(
        rig.hear(FromLeader::UpToDate),
        [
            "commit to 0x500000002",
            "Serve { old_leader: false, ours: false }",
            "ACK 0x500000000",
            "ACK 0x500000002",
            "ACK 0x500000003",
        ]
    );
}

#[test]
fn the_bugs_of_synchronisation_show() {
    let mut rig = Rig::new(NewLeaderAckedBeforeLog);
    assert_eq!(rig.settling(), ["SetCurrent { epoch: 5 }"]);
    assert_eq!(rig.epochs(EPOCH, EPOCH), ["ACK 0x500000000"], "and nothing is logged");

    let mut rig = Rig::new(EpochBeforeLog);
    assert_eq!(rig.settling(), ["SetCurrent { epoch: 5 }"]);
    assert_eq!(rig.epochs(EPOCH, EPOCH), NOTHING);
    assert_eq!(rig.durable(z(EPOCH, 2)), ["ACK 0x500000000"]);

    let mut rig = Rig::new(ProposalsAckedEarly);
    rig.settling();
    let words = rig.durable(z(EPOCH, 2));
    assert_eq!(words, ["SetCurrent { epoch: 5 }", "ACK 0x500000002"]);

    let mut rig = Rig::new(JoinerDropsCommits);
    rig.settling();
    rig.durable(z(EPOCH, 2));
    rig.epochs(EPOCH, EPOCH);
    rig.commit(z(EPOCH, 2));
    let words = rig.hear(FromLeader::UpToDate);
    assert_eq!(words[0], "commit to 0x500000001");
}

#[test]
fn a_follower_logs_acknowledges_and_commits_in_order() {
    let mut rig = Rig::new(Sound);
    rig.following();
    assert_eq!(rig.propose(z(EPOCH, 1)), ["append 0x500000001"]);
    assert_eq!(rig.propose(z(EPOCH, 2)), ["append 0x500000002"]);
    // A COMMIT may come before the own ACK, which is sent all the same.
    assert_eq!(rig.commit(z(EPOCH, 1)), ["commit to 0x500000001"]);
    assert_eq!(rig.durable(z(EPOCH, 2)), ["ACK 0x500000001", "ACK 0x500000002"]);
    // Java's leader gave a write that it cannot read the same number.
    assert_eq!(rig.propose(z(EPOCH, 2)), NOTHING);
    assert_eq!(rig.commit(z(EPOCH, 2)), ["commit to 0x500000002"]);
    assert_eq!(rig.commit(z(EPOCH, 2)), NOTHING);
    let words = rig.commit(z(EPOCH, 3));
    assert_eq!(words, ["step down: 0x500000003 was committed and never proposed", "1: hang up"]);
    let mut rig = Rig::new(AppliesProposals);
    rig.following();
    assert_eq!(rig.propose(z(EPOCH, 1)), ["append 0x500000001", "commit to 0x500000001"]);
}

#[test]
fn words_that_do_not_fit_end_it() {
    let stepped_down = |words: Vec<String>| words[0].starts_with("step down: ");
    for (zxid, logged) in [(z(5, 2), z(5, 2)), (z(6, 1), z(6, 1)), (z(5, 1), z(5, 7))] {
        let mut rig = Rig::new(Sound);
        rig.following();
        let entry = entry(logged);
        assert!(stepped_down(rig.hear(FromLeader::Proposal { zxid, entry: &entry })), "{zxid}");
    }
    let words: [FromLeader<'_>; 5] = [
        FromLeader::Diff { zxid: z(4, 2) },
        FromLeader::Snap { zxid: z(5, 1) },
        FromLeader::LeaderInfo { zxid: z(6, 0), ours: false },
        FromLeader::UpToDate,
        FromLeader::NewLeader { zxid: z(5, 0), config: None },
    ];
    for said in words {
        let mut rig = Rig::new(Sound);
        rig.following();
        assert!(stepped_down(rig.hear(said)), "{}", said.name());
    }
    for said in [
        FromLeader::Trunc { zxid: z(4, 3) },
        FromLeader::Trunc { zxid: Zxid(-1) },
        FromLeader::Snap { zxid: Zxid(i64::MAX) },
        FromLeader::UpToDate,
        FromLeader::Commit { zxid: z(4, 2), designated: None },
    ] {
        let mut rig = Rig::new(Sound);
        rig.promised();
        assert!(stepped_down(rig.hear(said)), "{}", said.name());
    }
    let mut rig = Rig::new(Sound);
    rig.promised();
    assert!(stepped_down(rig.frame(Frame::Packet(b"\0\0\0\x63"))));
    assert_eq!(rig.hear(FromLeader::UpToDate), NOTHING, "it is over");
}

#[test]
fn a_log_is_cut_before_anything_else_is_heard() {
    let mut rig = Rig::new(Sound);
    rig.promised();
    let words = rig.hear(FromLeader::Trunc { zxid: z(4, 1) });
    assert_eq!(words, ["Truncate { to: Zxid(17179869185) }", "1: pause"]);
    assert_eq!(rig.propose(z(EPOCH, 1)), NOTHING, "it was read before the link paused");
    assert_eq!(rig.durable(z(4, 2)), NOTHING, "an earlier role's");
    let words = rig.replaced(z(4, 1));
    assert_eq!(words, ["1: resume", "append 0x500000001"]);
    rig.commit(z(EPOCH, 1));
    assert_eq!(rig.new_leader(), NOTHING);
    assert_eq!(rig.durable(z(EPOCH, 1)), ["SetCurrent { epoch: 5 }"]);
}

#[test]
fn a_tree_replaces_everything_and_what_it_holds_is_passed_over() {
    let mut rig = Rig::new(Sound);
    rig.promised();
    assert_eq!(rig.hear(FromLeader::Snap { zxid: z(EPOCH, 2) }), NOTHING);
    let words = rig.frame(Frame::Tree { bytes: b"abc", last: false });
    assert_eq!(words, ["tree 0x500000002 3 false"]);
    let words = rig.frame(Frame::Tree { bytes: b"d", last: true });
    assert_eq!(words, ["tree 0x500000002 1 true", "1: pause"]);
    let words = rig.replaced(z(EPOCH, 2));
    assert_eq!(words, ["1: resume"]);
    assert_eq!(rig.propose(z(EPOCH, 2)), NOTHING);
    assert_eq!(rig.commit(z(EPOCH, 2)), NOTHING);
    assert_eq!(rig.propose(z(EPOCH, 3)), ["append 0x500000003"]);
}

#[test]
fn other_members_are_told_of_and_are_in_force_with_their_commit() {
    let mut rig = Rig::new(Sound);
    rig.promised();
    rig.hear(FromLeader::Diff { zxid: z(4, 2) });
    let words = rig.hear(FromLeader::NewLeader { zxid: z(EPOCH, 0), config: Some(b"text") });
    assert_eq!(words[0], "Config { text: [116, 101, 120, 116] }");
    let mut rig = Rig::new(Sound);
    rig.following();
    rig.propose(z(EPOCH, 1));
    let said = FromLeader::Commit { zxid: z(EPOCH, 1), designated: Some(ServerId(2)) };
    let words = rig.hear(said);
    let activate = "Activate { zxid: Zxid(21474836481), leader: ServerId(2) }";
    assert_eq!(words, ["commit to 0x500000001", activate]);
    let words = rig.hear(FromLeader::Commit { zxid: z(EPOCH, 9), designated: Some(ServerId(2)) });
    assert!(words[0].starts_with("step down"), "what was never proposed is no reconfiguration");
}

#[test]
fn an_observer_logs_and_applies_and_acknowledges_nothing() {
    let footing = Footing { accepted: 4, current: 4, durable: z(4, 2) };
    let observer = LearnerConfig { observer: true, ..config() };
    let mut rig = Rig::with(Sound, observer, footing, z(4, 2));
    assert_eq!(rig.up(), ["OBSERVERINFO 0x400000000"]);
    rig.hear(FromLeader::LeaderInfo { zxid: z(EPOCH, 0), ours: false });
    rig.epochs(EPOCH, 4);
    rig.hear(FromLeader::Diff { zxid: z(4, 2) });
    rig.new_leader();
    assert_eq!(rig.epochs(EPOCH, EPOCH), ["ACK 0x500000000"]);
    let mut inform =
        |zxid| rig.hear(FromLeader::Inform { zxid, entry: &entry(zxid), designated: None });
    assert_eq!(inform(z(EPOCH, 1)), ["append 0x500000001"], "before UPTODATE (ZOOKEEPER-1551)");
    assert_eq!(rig.hear(FromLeader::UpToDate)[0], "commit to 0x500000001");
    let mut inform =
        |zxid| rig.hear(FromLeader::Inform { zxid, entry: &entry(zxid), designated: None });
    assert_eq!(inform(z(EPOCH, 2)), ["append 0x500000002", "commit to 0x500000002"]);
    assert_eq!(rig.durable(z(EPOCH, 2)), NOTHING);
}

#[test]
fn sessions_syncs_and_writes_travel() {
    let mut rig = Rig::new(Sound);
    rig.following();
    let words = rig.hear(FromLeader::Ping { zxid: z(EPOCH, 0) });
    assert_eq!(words, ["Pong { zxid: Zxid(21474836480) }"]);
    let touched = [(SessionId(7), 4000), (SessionId(8), 5000)];
    let words = rig.act(|learner, _, fx, _| learner.pong(z(EPOCH, 0), touched, fx));
    assert_eq!(words, ["PING 0x500000000 2"]);
    let session = SessionId(7);
    let words = rig.act(|learner, _, fx, _| {
        learner.request(ForwardedRequest { session, cxid: 9, op: 1, body: b"", auth: None }, fx);
        learner.revalidate(session, 4000, fx);
    });
    assert_eq!(words, ["REQUEST 0x7 9", "REVALIDATE 0x7"]);
    let words = rig.hear(FromLeader::Revalidated { session, valid: true });
    assert_eq!(words, ["Revalidated { session: SessionId(7), valid: true }"]);
    assert_eq!(rig.hear(FromLeader::Sync), ["SyncAnswered"]);

    let mut rig = Rig::new(TouchesNotRelayed);
    rig.following();
    let words = rig.act(|learner, _, fx, _| learner.pong(z(EPOCH, 0), touched, fx));
    assert_eq!(words, ["PING 0x500000000 0"]);
}

#[test]
fn a_leader_that_cannot_be_reached_is_dialled_six_times() {
    let mut rig = Rig::new(Sound);
    for pause in [100, 200, 400, 800, 1600] {
        assert_eq!(rig.act(Learner::on_dial_failed), NOTHING);
        let next = rig.learner.poll_timeout().expect("a retry").millis();
        assert_eq!(next, rig.ms + pause);
        assert_eq!(rig.at(next), ["Dial"]);
    }
    let words = rig.act(Learner::on_dial_failed);
    assert_eq!(words, ["step down: the leader cannot be reached"]);
    assert_eq!(rig.learner.poll_timeout(), None);
}

#[test]
fn a_silent_leader_is_left_and_a_slow_disk_of_ours_is_not_its_silence() {
    let mut rig = Rig::new(Sound);
    rig.up();
    assert_eq!(rig.learner.poll_timeout(), Some(Instant::from_millis(INIT)));
    rig.hear(FromLeader::LeaderInfo { zxid: z(EPOCH, 0), ours: false });
    assert_eq!(rig.learner.poll_timeout(), None, "acceptedEpoch is on its way");
    rig.ms = 60_000;
    rig.epochs(EPOCH, 4);
    rig.hear(FromLeader::Diff { zxid: z(4, 2) });
    rig.new_leader();
    rig.epochs(EPOCH, EPOCH);
    assert_eq!(rig.learner.poll_timeout(), Some(Instant::from_millis(60_000 + INIT)));
    rig.hear(FromLeader::UpToDate);
    assert_eq!(rig.learner.poll_timeout(), Some(Instant::from_millis(60_000 + SYNC)));
    assert_eq!(rig.at(60_000 + SYNC - 1), NOTHING);
    assert_eq!(
        rig.at(60_000 + SYNC),
        ["step down: the leader was not heard of for 5000 ms", "1: hang up"]
    );
}

proptest! {
    /// Whatever a leader sends, in whatever phase: no panic, and nothing is applied that was not
    /// logged.
    #[test]
    fn any_leader_is_survived(
        phase in 0..5,
        packets in prop::collection::vec(super::super::test_words::any_packet(), 1..12),
    ) {
        let mut rig = Rig::new(Sound);
        match phase {
            0 => {}
            1 => drop(rig.up()),
            2 => rig.promised(),
            3 => drop(rig.settling()),
            _ => rig.following(),
        }
        for packet in packets {
            rig.frame(Frame::Packet(&packet));
            let last = rig.learner.history.last();
            prop_assert!(rig.learner.history.committed() <= last);
            rig.durable(last);
            rig.epochs(rig.learner.epoch.max(4), 4);
            if rig.learner.mode == Mode::Replacing {
                rig.replaced(last);
            }
            rig.frame(Frame::Tree { bytes: b"", last: true });
        }
    }
}

/// An owner whose disk takes no time: does the orders of a replay, and counts what matters.
#[derive(Default)]
struct Owner {
    pending: Vec<String>,
    log: Vec<Zxid>,
    committed: Zxid,
    serves: bool,
    pongs: Vec<Zxid>,
}

/// What a recorded learner said, without the version of its configuration, ACKs apart.
fn sorted(packets: Vec<QuorumPacket<'_>>) -> (Vec<String>, Vec<String>) {
    packets.into_iter().map(learner_words).partition(|words| !words.starts_with("ACK "))
}

/// Plays a recording of a leader to a learner that stands where the recorded one stood, and makes
/// the same clients ask the same; gives what was said to the recorded end.
fn replay(text: &str) -> (Vec<u8>, Vec<u8>, Owner) {
    let said: Vec<u8> = lines(text).filter(|line| line.0).flat_map(|line| line.1).collect();
    let (mut me, mut footing) = (config(), Footing { accepted: 0, current: 0, durable: z(0, 0) });
    for packet in packets(&said) {
        match FromLearner::read(packet).expect("recorded") {
            FromLearner::Info { accepted, observer, info } => {
                footing.accepted = accepted.epoch();
                (me.me, me.observer) = (info.sid, observer);
            }
            FromLearner::AckEpoch { zxid, current } => {
                footing.current = current.map_or(footing.accepted, i32::cast_unsigned);
                footing.durable = zxid;
            }
            _ => {}
        }
    }
    let mut learner = Learner::start(
        Sound,
        me,
        footing,
        History::new(Sound, 500, footing.durable),
        Instant::ZERO,
    );
    let (mut fx, mut ours, mut owner) = (Effects::new(), Vec::new(), Owner::default());
    learner.on_link_up(LINK, Instant::ZERO, &mut fx);
    let mut framer = QuorumFramer::of_leader(1 << 20);
    for (from_learner, bytes) in lines(text) {
        if from_learner {
            ask(&mut learner, &bytes, &mut owner, &mut fx);
        } else {
            framer.push(&bytes, |frame| {
                let mut orders = Vec::new();
                learner.on_frame(frame, Instant::ZERO, &mut fx, &mut orders);
                let work = owner.take(&orders);
                owner.work(&mut learner, work, &mut fx);
            });
        }
        let list = fx.take_list();
        for effect in list {
            if let Effect::Send { bytes, .. } = effect {
                ours.extend_from_slice(&fx.bytes()[bytes]);
            }
        }
        fx.clear();
    }
    (said, ours, owner)
}

/// What the recorded learner said of its own accord.
fn ask(learner: &mut Learner<Sound>, bytes: &[u8], owner: &mut Owner, fx: &mut Effects) {
    for packet in packets(bytes) {
        match FromLearner::read(packet).expect("recorded") {
            FromLearner::Request(request) => learner.request(request, fx),
            FromLearner::Revalidate { session, timeout_ms } => {
                learner.revalidate(session, timeout_ms, fx);
            }
            FromLearner::Ping { zxid, touched } => {
                assert_eq!(owner.pongs.remove(0), zxid, "a PING asked for it");
                learner.pong(zxid, touched.iter(), fx);
            }
            _ => {}
        }
    }
}

/// An order that takes the disk.
enum Work {
    Epochs { accepted: Option<u32>, current: Option<u32> },
    Replaced(Zxid),
    Durable(Zxid),
}

impl Owner {
    fn take(&mut self, orders: &[LearnerOrder<'_>]) -> Vec<Work> {
        let mut work = Vec::new();
        for order in orders {
            self.take_one(order, &mut work);
        }
        work
    }

    fn take_one(&mut self, order: &LearnerOrder<'_>, work: &mut Vec<Work>) {
        match *order {
            LearnerOrder::Accept { epoch } => {
                work.push(Work::Epochs { accepted: Some(epoch), current: None });
            }
            LearnerOrder::SetCurrent { epoch } => {
                work.push(Work::Epochs { accepted: None, current: Some(epoch) });
            }
            LearnerOrder::Truncate { to } => work.push(Work::Replaced(to)),
            LearnerOrder::Tree { zxid, last, .. } if last => work.push(Work::Replaced(zxid)),
            LearnerOrder::Append { zxid, .. } => {
                self.log.push(zxid);
                work.push(Work::Durable(zxid));
            }
            LearnerOrder::CommitTo { zxid } => self.committed = zxid,
            LearnerOrder::Serve { .. } => self.serves = true,
            LearnerOrder::Pong { zxid } => self.pongs.push(zxid),
            LearnerOrder::StepDown { ref why } => panic!("it stepped down: {why}"),
            ref other => self.pending.push(order_words(other.clone())),
        }
    }

    fn work(&mut self, learner: &mut Learner<Sound>, work: Vec<Work>, fx: &mut Effects) {
        for work in work {
            let mut orders = Vec::new();
            let now = Instant::ZERO;
            let footing = learner.footing;
            match work {
                Work::Epochs { accepted, current } => learner.on_epochs(
                    accepted.unwrap_or(footing.accepted),
                    current.unwrap_or(footing.current),
                    now,
                    fx,
                    &mut orders,
                ),
                Work::Replaced(zxid) => {
                    assert!(learner.on_replaced(zxid, now, fx).is_empty(), "it took no time");
                }
                Work::Durable(zxid) => learner.on_durable(zxid, now, fx, &mut orders),
            }
            let more = self.take(&orders);
            self.work(learner, more, fx);
        }
    }
}

#[test]
fn recorded_leaders_of_java_hear_what_a_learner_of_java_said() {
    for (name, text) in FIXTURES {
        let (said, ours, owner) = replay(text);
        let (java, java_acks) = sorted(packets(&said));
        let (own, own_acks) = sorted(packets(&ours));
        assert_eq!(own, java, "{name}");
        assert_eq!(own_acks, java_acks, "{name}");
        assert!(owner.serves, "{name}");
        let last = owner.log.last().copied().unwrap_or(owner.committed);
        assert_eq!(owner.committed, last, "{name}: all that was proposed was committed");
    }
}
