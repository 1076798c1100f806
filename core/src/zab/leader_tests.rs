// SPDX-License-Identifier: Apache-2.0
//! The leader's machine: each phase with its exact effects, and each bug shown.

use alloc::vec;

use proptest::prelude::*;

use super::{
    super::{
        peer::WINDOW,
        test_words::{bugs, effects, entry, from_learner, leader_words, packets},
        wire::{
            ForwardedRequest, LearnerInfo, PROTOCOL, Touched, kind,
            tests::{FIXTURES, lines},
        },
    },
    *,
};
use crate::{config::EPOCH_LENGTH, quorum::Quorum, zoo::Sound};

bugs!(
    EpochReused,
    JoinerMissesProposals,
    CounterRollsOver,
    LeaderNotCounted,
    SyncAsksNobody,
    TreeEndsEarly
);

const EPOCH: u32 = 5;
const NOTHING: [&str; 0] = [];
const A: LinkId = LinkId(2);
const B: LinkId = LinkId(3);
const O: LinkId = LinkId(9);

fn z(epoch: u32, counter: u32) -> Zxid {
    Zxid::new(epoch, counter)
}

fn config() -> LeaderConfig {
    LeaderConfig {
        me: ServerId(1),
        quorums: Quorum::majority([1, 2, 3].map(ServerId)).into(),
        members: [1, 2, 3, 4].map(ServerId).into(),
        heard: 0,
        config_version: 0,
        config: vec![],
        tick: Duration::from_secs(1),
        init_limit: Duration::from_secs(10),
        sync_limit: Duration::from_secs(5),
        whole: false,
        epoch_length: EPOCH_LENGTH,
    }
}

/// A leader, and what it did since it was last asked.
struct Rig<Z: Zoo> {
    leader: Leader<Z>,
    fx: Effects,
    ms: u64,
}

fn order_words(order: LeaderOrder<'_>) -> String {
    match order {
        LeaderOrder::CommitTo { zxid } => format!("commit to {zxid}"),
        LeaderOrder::Survey { link, last } => format!("survey {} {last}", link.0),
        LeaderOrder::FetchLog { link, after } => format!("fetch log {} {after}", link.0),
        LeaderOrder::FetchTree { link, least } => format!("fetch tree {} {least}", link.0),
        LeaderOrder::Gone { link, why } => format!("{} gone: {why}", link.0),
        LeaderOrder::StepDown { why } => format!("step down: {why}"),
        LeaderOrder::Request { link, request } => format!("request {} {}", link.0, request.cxid),
        other => format!("{other:?}"),
    }
}

impl<Z: Zoo> Rig<Z> {
    /// A server of epoch 4 whose log ends with (4, 2), and that keeps 2 in memory.
    fn new(zoo: Z) -> Rig<Z> {
        Rig::with(zoo, config(), Footing { accepted: 4, current: 4, durable: z(4, 2) }, z(4, 2))
    }

    fn with(zoo: Z, config: LeaderConfig, footing: Footing, last: Zxid) -> Rig<Z> {
        let history = History::new(zoo, 2, last);
        let leader = Leader::start(zoo, config, footing, history, Instant::ZERO);
        Rig { leader, fx: Effects::new(), ms: 0 }
    }

    /// One turn.
    fn act<'f>(
        &mut self,
        act: impl FnOnce(&mut Leader<Z>, Instant, &mut Effects, &mut Orders<'f>),
    ) -> Vec<String> {
        let mut orders = Vec::new();
        let now = Instant::from_millis(self.ms);
        act(&mut self.leader, now, &mut self.fx, &mut orders);
        orders.retain(|order| match *order {
            LeaderOrder::Sync { link } => {
                self.leader.sync_of(link, self.leader.last());
                false
            }
            _ => true,
        });
        self.leader.flush(now, &mut self.fx, &mut orders);
        if orders.iter().any(|order| matches!(order, LeaderOrder::Lead { .. })) {
            self.leader.serve(now, &mut self.fx);
        }
        let mut words: Vec<String> = orders.into_iter().map(order_words).collect();
        words.extend(effects(&mut self.fx, |link, bytes, words| {
            words.extend(packets(bytes).iter().map(|p| format!("{link}: {}", leader_words(p))));
        }));
        words
    }

    fn hear(&mut self, link: LinkId, said: &FromLearner<'_>) -> Vec<String> {
        let bytes = from_learner(said);
        self.act(|leader, now, fx, orders| {
            leader.on_frame(link, Frame::Packet(&bytes), now, fx, orders);
        })
    }

    /// A link comes up, and a learner says who it is.
    fn info(&mut self, link: LinkId, accepted: u32, observer: bool) -> Vec<String> {
        let sid = ServerId(link.0 as i64 % 10);
        let info = LearnerInfo { sid, protocol: PROTOCOL, config_version: Some(0) };
        self.act(|leader, now, _, _| leader.on_link_up(link, now));
        self.hear(link, &FromLearner::Info { accepted: z(accepted, 0), observer, info })
    }

    fn ack_epoch(&mut self, link: LinkId, zxid: Zxid, current: Option<i32>) -> Vec<String> {
        self.hear(link, &FromLearner::AckEpoch { zxid, current })
    }

    fn ack(&mut self, link: LinkId, zxid: Zxid) -> Vec<String> {
        self.hear(link, &FromLearner::Ack { zxid })
    }

    fn pong(&mut self, link: LinkId) -> Vec<String> {
        self.hear(link, &FromLearner::Ping { zxid: z(EPOCH, 0), touched: Touched::of(&[]) })
    }

    fn sync(&mut self, link: LinkId) -> Vec<String> {
        let (session, op) = (SessionId(7), OpCode::Sync.code());
        let request = ForwardedRequest { session, cxid: 1, op, body: b"", auth: None };
        self.hear(link, &FromLearner::Request(request))
    }

    fn epochs(&mut self, accepted: u32, current: u32) -> Vec<String> {
        self.act(|leader, _, _, _| leader.on_epochs(accepted, current))
    }

    fn durable(&mut self, zxid: Zxid) -> Vec<String> {
        self.act(|leader, _, _, _| leader.on_durable(zxid))
    }

    fn propose(&mut self, zxid: Zxid) -> Vec<String> {
        self.act(|leader, _, _, _| leader.propose(zxid, Arc::new(entry(zxid))))
    }

    fn at(&mut self, ms: u64) -> Vec<String> {
        self.ms = ms;
        self.act(Leader::on_time)
    }

    /// Up to the first words of a learner that is equal; [`A`] is its link.
    fn settling(&mut self) -> Vec<String> {
        self.info(A, 4, false);
        self.epochs(EPOCH, 4);
        assert_eq!(self.ack_epoch(A, z(4, 2), Some(4))[0], "SetCurrent { epoch: 5 }");
        self.epochs(EPOCH, EPOCH)
    }

    /// A leader with one follower over [`A`].
    fn leading(&mut self) {
        self.settling();
        assert_eq!(self.ack(A, z(EPOCH, 0)), ["Lead { epoch: 5 }", "2: UPTODATE"]);
        self.ack(A, z(EPOCH, 0));
    }

    /// A second one comes, over [`B`].
    fn join(&mut self, link: LinkId, last: Zxid, observer: bool) -> Vec<String> {
        assert_eq!(self.info(link, 4, observer), [format!("{}: LEADERINFO 0x500000000", link.0)]);
        self.ack_epoch(link, last, Some(4))
    }
}

#[test]
fn an_epoch_begins_with_a_quorum_and_each_step_waits_for_the_disk() {
    let footing = Footing { accepted: 4, current: 4, durable: z(4, 1) };
    let mut rig = Rig::with(Sound, config(), footing, z(4, 2));
    assert_eq!(rig.leader.epoch(), None);
    assert_eq!(rig.info(A, 6, false), ["Accept { epoch: 7 }"], "one after all that was accepted");
    assert_eq!(rig.leader.epoch(), Some(7));
    assert_eq!(rig.info(B, 4, false), NOTHING);
    let words = rig.epochs(7, 4);
    assert_eq!(words, ["2: LEADERINFO 0x700000000", "3: LEADERINFO 0x700000000"]);
    assert_eq!(rig.ack_epoch(A, z(4, 2), Some(4)), NOTHING, "the own log is not durable");
    // Nor do two others make it a leader without that.
    assert_eq!(rig.ack_epoch(B, z(4, 1), Some(4)), NOTHING);
    assert_eq!(
        rig.durable(z(4, 2)),
        [
            "SetCurrent { epoch: 7 }",
            "survey 3 0x400000001",
            "2: DIFF 0x400000002",
            "2: NEWLEADER 0x700000000"
        ]
    );
    assert_eq!(rig.ack(A, z(7, 0)), NOTHING, "currentEpoch is not durable");
    assert_eq!(rig.epochs(7, 7), ["Lead { epoch: 7 }", "2: UPTODATE"]);
    assert!(rig.leader.is_established());
}

#[test]
fn who_is_no_member_uses_up_no_epoch() {
    let mut rig = Rig::new(Sound);
    assert_eq!(rig.info(LinkId(9), 1 << 30, true), NOTHING);
    assert_eq!(rig.info(A, 4, false), [format!("Accept {{ epoch: {EPOCH} }}")]);
}

#[test]
fn who_holds_more_refuses_and_who_promised_before_does_not_count() {
    let mut rig = Rig::new(Sound);
    rig.info(A, 4, false);
    rig.info(B, 4, false);
    rig.epochs(EPOCH, 4);
    let words = rig.ack_epoch(A, z(4, 3), Some(4));
    assert_eq!(words, ["2 gone: it holds epoch 4 up to 0x400000003, which is newer", "2: hang up"]);
    assert_eq!(rig.ack_epoch(B, z(4, 2), None), NOTHING, "another leader may have its promise");
    let words = rig.at(10_000);
    assert_eq!(words[0], "3 gone: it was not heard of in time");
    assert_eq!(words[1], "step down: too few servers came to follow in time");
    assert_eq!(rig.leader.poll_timeout(), None);
    let mut rig = Rig::new(EpochReused);
    assert_eq!(rig.info(A, 3, false), ["2: LEADERINFO 0x400000000"]);
}

#[test]
fn an_epoch_ends_when_a_member_has_accepted_a_later_one() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    let words = rig.info(LinkId(9), EPOCH + 4, false);
    assert_eq!(words, ["9 gone: server 9 accepted epoch 9, and this is 5", "9: hang up"]);
    assert!(rig.leader.is_established(), "whoever is no member ends nothing");
    let words = rig.info(LinkId(4), EPOCH + 4, true);
    let stepped = "step down: server 4 accepted epoch 9, and this is 5";
    assert!(words.iter().any(|word| word == stepped), "{words:?}");
    // When it leads again, that member can follow.
    let config = LeaderConfig { heard: rig.leader.heard(), ..config() };
    let footing = Footing { accepted: EPOCH, current: EPOCH, durable: z(EPOCH, 0) };
    let mut rig = Rig::with(Sound, config, footing, z(4, 2));
    assert_eq!(rig.info(A, EPOCH, false), ["Accept { epoch: 10 }"]);
}

/// A leader with two learners, and two guests who are up to date.
fn with_guests() -> Rig<Sound> {
    let mut rig = Rig::new(Sound);
    rig.leading();
    for link in [LinkId(4), LinkId(5)] {
        rig.info(link, EPOCH, false);
        rig.ack_epoch(link, z(4, 2), None);
        rig.ack(link, z(EPOCH, 0));
    }
    rig
}

fn propose(rig: &mut Rig<Sound>, counter: u32) -> Vec<String> {
    let zxid = z(EPOCH, counter);
    rig.act(|leader, _, _, _| leader.propose(zxid, Arc::new(entry(zxid))));
    rig.durable(zxid)
}

fn commits(words: &[String]) -> Vec<&str> {
    let commit = |words: &&str| words.starts_with("commit to") || words.starts_with("Activate");
    words.iter().map(String::as_str).filter(commit).collect()
}

#[test]
fn a_reconfiguration_needs_both_quorums_and_what_was_before_it_only_the_old() {
    let mut rig = with_guests();
    propose(&mut rig, 1);
    let next = Quorum::majority([1, 4, 5].map(ServerId));
    rig.act(|leader, _, _, _| {
        // What comes in the same turn is proposed before anybody looks.
        leader.propose(z(EPOCH, 2), Arc::new(entry(z(EPOCH, 2))));
        leader.propose(z(EPOCH, 3), Arc::new(entry(z(EPOCH, 3))));
        leader.reconfigure(z(EPOCH, 2), next, b"next".to_vec(), true);
    });
    rig.durable(z(EPOCH, 3));
    let words = rig.ack(A, z(EPOCH, 3));
    assert_eq!(commits(&words), ["commit to 0x500000001"], "the others need the new ones, too");
    let words = rig.ack(LinkId(4), z(EPOCH, 2));
    assert_eq!(commits(&words), ["commit to 0x500000002", "Activate { zxid: Zxid(21474836482) }"]);
    assert!(words.contains(&"2: COMMITANDACTIVATE 0x500000002".into()), "{words:?}");
    let words = rig.ack(LinkId(4), z(EPOCH, 3));
    assert_eq!(commits(&words), ["commit to 0x500000003"], "the old ones are asked no more");
}

#[test]
fn a_leader_that_does_not_stay_commits_no_more_and_leaves_when_the_others_have() {
    let mut rig = with_guests();
    let next = Quorum::majority([2, 4, 5].map(ServerId));
    rig.act(|leader, _, _, _| {
        leader.propose(z(EPOCH, 1), Arc::new(entry(z(EPOCH, 1))));
        leader.reconfigure(z(EPOCH, 1), next, b"next".to_vec(), false);
    });
    rig.durable(z(EPOCH, 1));
    propose(&mut rig, 2);
    rig.ack(A, z(EPOCH, 1));
    let words = rig.ack(LinkId(5), z(EPOCH, 2));
    assert_eq!(commits(&words).len(), 2, "{words:?}");
    assert_eq!(rig.leader.heir(), Some(ServerId(5)), "it has the most");
    assert_eq!(commits(&rig.ack(A, z(EPOCH, 2))), [""; 0]);
    for link in [A, B, LinkId(4)] {
        rig.act(|leader, _, _, orders| leader.on_link_down(link, orders));
    }
    let words = rig.act(|leader, _, _, orders| leader.on_link_down(LinkId(5), orders));
    assert!(words.contains(&"step down: server 5 is to lead".into()), "{words:?}");
}

#[test]
fn what_a_quorum_has_is_committed_in_order_the_leader_one_of_all() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    assert_eq!(rig.propose(z(EPOCH, 1)), ["2: PROPOSAL 0x500000001"]);
    assert_eq!(rig.propose(z(EPOCH, 2)), ["2: PROPOSAL 0x500000002"]);
    assert_eq!(rig.durable(z(EPOCH, 1)), NOTHING);
    let words = rig.ack(A, z(EPOCH, 2));
    assert_eq!(words, ["commit to 0x500000001", "2: COMMIT 0x500000001"]);
    assert_eq!(rig.durable(z(EPOCH, 2)), ["commit to 0x500000002", "2: COMMIT 0x500000002"]);
    // Two followers are a quorum, whatever this server's disk does.
    rig.join(B, z(EPOCH, 2), false);
    rig.ack(B, z(EPOCH, 0));
    rig.propose(z(EPOCH, 3));
    assert_eq!(rig.ack(A, z(EPOCH, 3)), NOTHING);
    assert_eq!(rig.ack(B, z(EPOCH, 3))[0], "commit to 0x500000003");
    let words = rig.ack(B, z(EPOCH, 4));
    assert!(words[0].starts_with("3 gone: it acknowledged 0x500000004, and got"), "{words:?}");

    let mut rig = Rig::new(LeaderNotCounted);
    assert_eq!(rig.info(A, 4, false), NOTHING, "two of three are there");
}

#[test]
fn an_acknowledgement_is_forgotten_with_its_link() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.join(B, z(4, 2), false);
    rig.ack(B, z(EPOCH, 0));
    rig.propose(z(EPOCH, 1));
    assert_eq!(rig.ack(B, z(EPOCH, 1)), NOTHING);
    // It comes again, and is to cut what it had.
    let words = rig.info(LinkId(13), EPOCH, false);
    assert_eq!(words[0], "3 gone: it came again over another link");
    let words = rig.ack_epoch(LinkId(13), z(EPOCH, 1), None);
    let again = ["TRUNC 0x400000002", "NEWLEADER 0x500000000", "PROPOSAL 0x500000001"];
    assert_eq!(words, again.map(|word| format!("13: {word}")));
    assert_eq!(rig.durable(z(EPOCH, 1)), NOTHING, "nobody else has it for sure");
    assert_eq!(rig.ack(A, z(EPOCH, 1))[0], "commit to 0x500000001");
}

#[test]
fn a_joiner_misses_nothing_that_is_under_way() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.propose(z(EPOCH, 1));
    rig.durable(z(EPOCH, 1));
    rig.ack(A, z(EPOCH, 1));
    rig.propose(z(EPOCH, 2));
    let joined = [
        "3: DIFF 0x500000001",
        "3: PROPOSAL 0x500000001",
        "3: COMMIT 0x500000001",
        "3: NEWLEADER 0x500000000",
        "3: PROPOSAL 0x500000002",
    ];
    assert_eq!(rig.join(B, z(4, 2), false), joined);
    let words = rig.propose(z(EPOCH, 3));
    assert_eq!(words, ["2: PROPOSAL 0x500000003", "3: PROPOSAL 0x500000003"]);
    assert_eq!(rig.ack(B, z(EPOCH, 0)), ["3: UPTODATE"]);
    assert_eq!(rig.ack(B, z(EPOCH, 2)), NOTHING);
    let words = rig.durable(z(EPOCH, 3));
    assert_eq!(words, ["commit to 0x500000002", "2: COMMIT 0x500000002", "3: COMMIT 0x500000002"]);

    let mut rig = Rig::new(JoinerMissesProposals);
    rig.leading();
    rig.propose(z(EPOCH, 1));
    let words = rig.join(B, z(4, 2), false);
    assert_eq!(words, ["3: DIFF 0x400000002", "3: NEWLEADER 0x500000000"]);
    assert_eq!(rig.ack(B, z(EPOCH, 0)), ["3: UPTODATE"], "(5, 1) never comes");
}

#[test]
fn an_observer_is_informed_and_has_no_say() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.propose(z(EPOCH, 1));
    let words = rig.join(O, z(4, 2), true);
    assert_eq!(words, ["9: DIFF 0x400000002", "9: NEWLEADER 0x500000000"]);
    rig.ack(O, z(EPOCH, 0));
    rig.durable(z(EPOCH, 1));
    assert_eq!(
        rig.ack(A, z(EPOCH, 1)),
        ["commit to 0x500000001", "2: COMMIT 0x500000001", "9: INFORM 0x500000001"]
    );
    assert_eq!(rig.at(500), ["2: PING 0x500000001", "9: PING 0x500000001"]);
    rig.act(|leader, _, _, orders| leader.on_link_down(A, orders));
    assert_eq!(rig.at(1000)[0], "step down: too few servers follow");
}

#[test]
fn a_sync_is_answered_by_a_quorum_that_follows_behind_what_was_under_way() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.at(500);
    rig.propose(z(EPOCH, 1));
    assert_eq!(rig.sync(A), ["2: PING 0x500000001"]);
    assert_eq!(rig.pong(A), NOTHING, "to a PING from before the sync");
    assert_eq!(rig.pong(A), NOTHING, "(5, 1) is not committed");
    rig.durable(z(EPOCH, 1));
    assert_eq!(
        rig.ack(A, z(EPOCH, 1)),
        ["commit to 0x500000001", "2: COMMIT 0x500000001", "2: SYNC"]
    );
    assert_eq!(rig.act(|leader, _, _, _| leader.sync()), ["2: PING 0x500000001"]);
    assert_eq!(rig.pong(A), ["SyncAnswered"]);
    let mut rig = Rig::new(SyncAsksNobody);
    rig.leading();
    assert_eq!(rig.sync(A), ["2: SYNC"]);
}

#[test]
fn a_sync_keeps_its_place_among_the_commits() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.join(O, z(4, 2), true);
    rig.ack(O, z(EPOCH, 0));
    rig.propose(z(EPOCH, 1));
    rig.durable(z(EPOCH, 1));
    rig.ack(A, z(EPOCH, 1));
    // Of the same turn, and ordered before each sync but not proposed yet.
    let place = rig.act(|leader, _, _, _| {
        leader.sync_of(A, z(EPOCH, 2));
        leader.sync_of(O, z(EPOCH, 2));
        leader.propose(z(EPOCH, 2), Arc::new(entry(z(EPOCH, 2))));
    });
    assert_eq!(place[0], "2: PROPOSAL 0x500000002");
    rig.pong(A);
    assert_eq!(rig.pong(A), NOTHING, "what comes before is not committed");
    rig.propose(z(EPOCH, 3));
    rig.durable(z(EPOCH, 3));
    let words = rig.ack(A, z(EPOCH, 3));
    let to = |link: &str| words.iter().filter(|w| w.starts_with(link)).cloned().collect::<Vec<_>>();
    assert_eq!(to("2:"), ["2: COMMIT 0x500000002", "2: SYNC", "2: COMMIT 0x500000003"]);
    assert_eq!(to("9:"), ["9: INFORM 0x500000002", "9: SYNC", "9: INFORM 0x500000003"]);
}

#[test]
fn a_later_commit_answers_a_sync_as_well_as_pings_do() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    assert_eq!(rig.sync(A), ["2: PING 0x500000000"]);
    rig.propose(z(EPOCH, 1));
    rig.durable(z(EPOCH, 1));
    assert_eq!(
        rig.ack(A, z(EPOCH, 1)),
        ["commit to 0x500000001", "2: SYNC", "2: COMMIT 0x500000001"]
    );
}

#[test]
fn laggards_are_dropped_and_a_leader_without_a_quorum_steps_down() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.propose(z(EPOCH, 1));
    for half in 1..10 {
        assert_eq!(rig.at(500 * half), ["2: PING 0x500000001"]);
        rig.pong(A);
    }
    assert_eq!(
        rig.at(5000),
        ["2 gone: it was not heard of in time", "step down: too few servers follow", "2: hang up",],
        "it answers, and owes (5, 1) for too long"
    );
    let mut rig = Rig::new(Sound);
    rig.leading();
    for half in 1..10 {
        rig.at(500 * half);
    }
    assert_eq!(rig.at(5000)[0], "2 gone: it was not heard of in time");
}

#[test]
fn an_epoch_ends_before_its_counter_does() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.leader.history.reset(z(EPOCH, EPOCH_LENGTH - 2));
    assert!(!rig.propose(z(EPOCH, EPOCH_LENGTH - 1)).iter().any(|w| w.starts_with("step")));
    let words = rig.propose(z(EPOCH, EPOCH_LENGTH));
    assert_eq!(words[0], "step down: this epoch's transactions are numbered out");
    let mut rig = Rig::new(CounterRollsOver);
    rig.leading();
    rig.leader.history.reset(z(EPOCH, EPOCH_LENGTH));
    rig.propose(z(EPOCH, EPOCH_LENGTH + 1));
    assert!(rig.leader.is_established());
}

#[test]
fn a_stream_rests_when_much_is_on_its_way_and_goes_on_from_the_disk() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    let big = |zxid: Zxid| Arc::new([entry(zxid), vec![0; WINDOW / 2]].concat());
    for counter in 1..=6 {
        let zxid = z(EPOCH, counter);
        rig.act(|leader, _, _, _| leader.propose(zxid, big(zxid)));
    }
    let quorum = |rig: &mut Rig<Sound>, counter| {
        rig.leader.peers.get_mut(&A).expect("it follows").acked = z(EPOCH, counter);
        rig.durable(z(EPOCH, counter))
    };
    // Two are on their way; the others are committed by a quorum that is not told yet.
    assert_eq!(quorum(&mut rig, 6), ["commit to 0x500000006"]);
    let words = rig.act(|leader, now, _, _| leader.on_drained(A, 2 * WINDOW, now));
    assert_eq!(
        words,
        ["fetch log 2 0x500000002", "2: COMMIT 0x500000001", "2: COMMIT 0x500000002"]
    );
    let three = entry(z(EPOCH, 3));
    let words = rig.act(|leader, now, fx, orders| {
        leader.on_log(A, z(EPOCH, 2), [(z(EPOCH, 3), &three[..])], now, fx, orders);
    });
    assert_eq!(
        words,
        ["fetch log 2 0x500000003", "2: PROPOSAL 0x500000003", "2: COMMIT 0x500000003"]
    );
    let words = rig.act(|leader, now, fx, orders| {
        let none: [(Zxid, &[u8]); 0] = [];
        leader.on_log(A, z(EPOCH, 3), none, now, fx, orders);
    });
    assert_eq!(words, ["2 gone: the log on disk does not hold what it lacks", "2: hang up"]);
}

/// Its own list is an older one, in which it observes; what it promises and holds counts all the
/// same, as in Java, or the two wait for each other for ever.
#[test]
fn a_voter_that_comes_as_an_observer_counts_while_it_has_nothing_to_acknowledge() {
    let mut rig = Rig::new(Sound);
    assert_eq!(rig.info(A, 4, true), ["Accept { epoch: 5 }"]);
    assert_eq!(rig.epochs(5, 4), ["2: LEADERINFO 0x500000000"]);
    assert_eq!(rig.ack_epoch(A, z(4, 2), Some(4))[0], "SetCurrent { epoch: 5 }");
    rig.epochs(5, 5);
    assert_eq!(rig.ack(A, z(EPOCH, 0)), ["Lead { epoch: 5 }", "2: UPTODATE"]);
    rig.at(500);
    assert_eq!(rig.at(1000)[0], "step down: too few servers follow");
}

/// What a quorum has without this server stands in no log here: it is sent on from memory.
#[test]
fn an_observer_does_not_wait_for_the_leaders_own_disk() {
    let mut rig = Rig::new(Sound);
    rig.leading();
    rig.join(B, z(4, 2), false);
    rig.join(O, z(4, 2), true);
    rig.ack(B, z(EPOCH, 0));
    rig.ack(O, z(EPOCH, 0));
    (1..=5).for_each(|counter| drop(rig.propose(z(EPOCH, counter))));
    rig.ack(A, z(EPOCH, 5));
    let informed = rig.ack(B, z(EPOCH, 5)).iter().filter(|w| w.starts_with("9: INFORM")).count();
    assert_eq!(informed, 5);
}

/// A leader that may read its log for B, which comes with a transaction that memory does not hold.
fn reading_for_b(last: Zxid) -> Rig<Sound> {
    let mut rig = Rig::new(Sound);
    rig.leading();
    assert_eq!(rig.join(B, last, false), [format!("survey 3 {last}")]);
    let disk = Some(DiskLog { first: z(3, 1), bytes: 1, most: 2 });
    let words = rig.act(|leader, _, fx, _| leader.on_survey(B, disk, fx));
    assert_eq!(words, [format!("fetch log 3 {last}")]);
    rig
}

#[test]
fn the_log_on_disk_serves_or_else_a_tree() {
    let (one, two) = (entry(z(4, 1)), entry(z(4, 2)));
    let mut rig = reading_for_b(z(4, 1));
    let words = rig.act(|leader, now, fx, orders| {
        leader.on_log(B, z(4, 1), [(z(4, 2), &two[..])], now, fx, orders);
    });
    let diff = ["DIFF 0x400000002", "PROPOSAL 0x400000002", "COMMIT 0x400000002"];
    assert_eq!(words[..3], diff.map(|word| format!("3: {word}")));
    assert_eq!(words[3..], ["3: NEWLEADER 0x500000000"]);

    let mut rig = reading_for_b(z(4, 1));
    let words = rig.act(|leader, now, fx, orders| {
        leader.on_log(B, z(4, 1), [(z(4, 3), &two[..])], now, fx, orders);
    });
    assert_eq!(words, ["fetch tree 3 0x400000001"], "there is a hole");
    let snap = from_leader_kind(&mut rig, |leader, now, fx| {
        leader.on_tree(B, z(4, 2), b"tree", true, now, fx);
    });
    assert_eq!(snap, [kind::SNAP]);
    assert_eq!(rig.ack(B, z(EPOCH, 0)), ["3: UPTODATE"]);

    // Its last transaction was never committed: it parts from the log on disk before that.
    let mut rig = reading_for_b(z(3, 9));
    let words = rig.act(|leader, now, fx, orders| {
        leader.on_log(B, z(3, 7), [(z(4, 1), &one[..]), (z(4, 2), &two[..])], now, fx, orders);
    });
    assert_eq!(words[..2], ["3: TRUNC 0x300000007", "3: PROPOSAL 0x400000001"]);

    // It parts where no transaction stands: a tree of that time is young enough.
    let mut rig = reading_for_b(z(3, 9));
    let words = rig.act(|leader, now, fx, order| {
        leader.on_log(B, z(3, 0), [(z(4, 1), &one[..])], now, fx, order);
    });
    assert_eq!(words, ["fetch tree 3 0x300000000"]);
}

#[test]
fn a_tree_never_ends_before_what_the_learner_may_be_one_of_few_to_hold() {
    fn asked<Z: Zoo>(zoo: Z) -> Vec<String> {
        let mut rig = Rig::new(zoo);
        rig.leading();
        rig.join(B, z(4, 1), false);
        rig.act(|leader, _, fx, _| leader.on_survey(B, None, fx))
    }
    assert_eq!(asked(Sound), ["fetch tree 3 0x400000001"]);
    assert_eq!(asked(TreeEndsEarly), ["fetch tree 3 0x0"]);
}

/// The kind of the first packet that was sent.
fn from_leader_kind(
    rig: &mut Rig<Sound>,
    act: impl FnOnce(&mut Leader<Sound>, Instant, &mut Effects),
) -> Vec<i32> {
    act(&mut rig.leader, Instant::ZERO, &mut rig.fx);
    let mut orders = Vec::new();
    rig.leader.flush(Instant::ZERO, &mut rig.fx, &mut orders);
    assert_eq!(orders, []);
    let kinds = effects(&mut rig.fx, |_, bytes, words| words.push(format!("{}", bytes[3])));
    kinds.iter().map(|kind| kind.parse().expect("a number")).collect()
}

#[test]
fn what_no_learner_says_ends_its_link_alone() {
    for said in [
        FromLearner::Ack { zxid: z(EPOCH, 9) },
        FromLearner::AckEpoch { zxid: z(4, 2), current: None },
    ] {
        let mut rig = Rig::new(Sound);
        rig.leading();
        rig.hear(A, &said);
        assert!(rig.leader.peers.is_empty(), "{said:?}");
        assert!(rig.leader.is_established());
    }
    let mut rig = Rig::new(Sound);
    rig.leading();
    let words = rig.act(|leader, now, fx, orders| {
        leader.on_frame(A, Frame::Packet(b"\0\0\0\x63"), now, fx, orders);
    });
    assert_eq!(words, ["2 gone: it sent a packet that no learner sends", "2: hang up"]);
}

proptest! {
    /// Whatever learners send, in whatever phase: no panic, and nothing is committed that no
    /// quorum acknowledged.
    #[test]
    fn any_learner_is_survived(
        phase in 0..5,
        packets in prop::collection::vec(super::super::test_words::any_packet(), 1..12),
    ) {
        let mut rig = Rig::new(Sound);
        match phase {
            0 => {}
            1 => drop(rig.info(A, 4, false)),
            2 => drop(rig.settling()),
            3 => rig.leading(),
            _ => {
                rig.leading();
                rig.propose(z(EPOCH, 1));
                rig.join(B, z(4, 2), false);
            }
        }
        for packet in packets {
            rig.act(|leader, now, _, _| {
                if !leader.peers.contains_key(&B) {
                    leader.on_link_up(B, now);
                }
            });
            rig.act(|leader, now, fx, orders| {
                leader.on_frame(B, Frame::Packet(&packet), now, fx, orders);
            });
            let acked = rig.leader.peers.get(&B).map_or(Zxid::ZERO, |peer| peer.acked);
            prop_assert!(rig.leader.history.committed() <= acked.max(z(4, 2)));
        }
    }
}

#[path = "leader_recorded_tests.rs"]
mod recorded;
