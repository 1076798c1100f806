// SPDX-License-Identifier: Apache-2.0
//! Recorded learners of Java's, behind a leader of ours: it says what their leader said.

use super::*;

/// What is compared of a leader's stream: words but PINGs, of which ours sends more.
fn words(stream: &[Vec<u8>]) -> Vec<String> {
    let said = stream.iter().filter(|bytes| bytes[..4] != kind::PING.to_be_bytes());
    said.map(|bytes| leader_words(&packets(bytes)[0])).collect()
}

/// A recorded learner, and a leader that stands where the recorded one stood.
struct Replay {
    rig: Rig<Sound>,
    heard: Vec<Vec<u8>>,
    /// The tree that was recorded, and its zxid.
    tree: (Zxid, Vec<u8>),
}

const JOINER: LinkId = LinkId(103);

impl Replay {
    /// `me` leads epoch `epoch` with server 1 behind it, and has proposed up to `last` in it.
    fn new(epoch: u32, base: Zxid, last: Zxid, tree: (Zxid, Vec<u8>)) -> Replay {
        let quorums = Quorum::majority([1, 2, 3].map(ServerId)).into();
        let config = LeaderConfig { me: ServerId(2), quorums, ..config() };
        let footing = Footing { accepted: epoch - 1, current: base.epoch(), durable: base };
        let mut rig = Rig::with(Sound, config, footing, base);
        rig.leader.history = History::new(Sound, 500, base);
        let helper = LinkId(1);
        rig.info(helper, epoch - 1, false);
        rig.epochs(epoch, base.epoch());
        rig.ack_epoch(helper, base, Some(base.epoch().cast_signed()));
        rig.epochs(epoch, epoch);
        rig.ack(helper, z(epoch, 0));
        let mut replay = Replay { rig, heard: vec![], tree };
        for counter in 1..=if last.epoch() == epoch { last.counter() } else { 0 } {
            let zxid = z(epoch, counter);
            replay.propose(zxid, entry(zxid));
            replay.commit(zxid);
        }
        replay
    }

    fn turn<'f>(&mut self, act: impl FnOnce(&mut Leader<Sound>, &mut Effects, &mut Orders<'f>)) {
        let (now, mut orders) = (Instant::ZERO, Vec::new());
        let Rig { leader, fx, .. } = &mut self.rig;
        act(leader, fx, &mut orders);
        leader.flush(now, fx, &mut orders);
        self.keep();
        for order in orders {
            self.obey(order);
        }
    }

    fn obey(&mut self, order: LeaderOrder<'_>) {
        let Rig { leader, fx, .. } = &mut self.rig;
        let (now, mut orders) = (Instant::ZERO, Vec::new());
        match order {
            LeaderOrder::Lead { .. } => leader.serve(now, fx),
            LeaderOrder::Survey { link, .. } => leader.on_survey(link, None, fx),
            LeaderOrder::FetchTree { link, .. } => {
                let (zxid, bytes) = self.tree.clone();
                leader.on_tree(link, zxid, &bytes, true, now, fx);
            }
            LeaderOrder::Sync { link } => leader.sync_of(link, leader.last()),
            LeaderOrder::Gone { why, .. } => panic!("{why}"),
            _ => return,
        }
        leader.flush(now, fx, &mut orders);
        self.keep();
        for order in orders {
            self.obey(order);
        }
    }

    /// Keeps what was sent to the joiner.
    fn keep(&mut self) {
        let fx = &mut self.rig.fx;
        for effect in fx.take_list() {
            let Effect::Send { link, bytes } = effect else { panic!("{effect:?}") };
            let bytes = &fx.bytes()[bytes];
            if link == JOINER && bytes.starts_with(&kind::SNAP.to_be_bytes()) {
                // Behind the 20 bytes of SNAP stands the tree, and then NEWLEADER.
                assert!(bytes[20..].starts_with(&self.tree.1));
                self.heard.push(bytes[..20].to_vec());
                let rest = packets(&bytes[20 + self.tree.1.len()..]);
                self.heard.extend(rest.iter().map(encoded));
            } else if link == JOINER {
                self.heard.extend(packets(bytes).iter().map(encoded));
            }
        }
        fx.clear();
    }

    fn frame(&mut self, link: LinkId, bytes: &[u8]) {
        self.turn(|leader, fx, orders| {
            leader.on_frame(link, Frame::Packet(bytes), Instant::ZERO, fx, orders);
        });
    }

    fn propose(&mut self, zxid: Zxid, entry: Vec<u8>) {
        self.turn(|leader, _, _| leader.propose(zxid, Arc::new(entry)));
    }

    /// This server and server 1 have a transaction.
    fn commit(&mut self, zxid: Zxid) {
        self.turn(|leader, _, _| leader.on_durable(zxid));
        self.frame(LinkId(1), &from_learner(&FromLearner::Ack { zxid }));
    }

    /// What the recorded leader did by itself behind UPTODATE.
    fn lead(&mut self, bytes: &[u8]) {
        match FromLeader::read(&packets(bytes)[0]).expect("recorded") {
            FromLeader::Proposal { zxid, entry } => self.propose(zxid, entry.to_vec()),
            FromLeader::Inform { zxid, entry, .. } => {
                self.propose(zxid, entry.to_vec());
                self.commit(zxid);
            }
            FromLeader::Commit { zxid, .. } => self.commit(zxid),
            FromLeader::Sync => {
                let pong = FromLearner::Ping { zxid: Zxid::ZERO, touched: Touched::of(&[]) };
                self.frame(LinkId(1), &from_learner(&pong));
            }
            FromLeader::Revalidated { session, valid } => {
                self.turn(|leader, fx, _| leader.revalidated(JOINER, session, valid, fx));
            }
            _ => {}
        }
    }
}

fn encoded(packet: &QuorumPacket<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    bytes
}

/// Plays a recorded learner to a leader of ours; gives what Java's and ours said.
fn replay(text: &str) -> (Vec<String>, Vec<String>) {
    let all: Vec<(bool, Vec<u8>)> = lines(text).collect();
    let is = |bytes: &[u8], kind: i32| bytes.starts_with(&kind.to_be_bytes());
    let of = |kind| all.iter().find(|(_, bytes)| is(bytes, kind)).map(|(_, bytes)| bytes);
    let zxid = |bytes: &Vec<u8>| packets(bytes)[0].zxid;
    let epoch = zxid(of(kind::LEADERINFO).expect("recorded")).epoch();
    let learner = zxid(of(kind::ACKEPOCH).expect("recorded"));
    let snap = all.iter().position(|(from, bytes)| !from && is(bytes, kind::SNAP));
    let tree = snap.map(|at| (zxid(&all[at].1), all[at + 1].1.clone())).unwrap_or_default();
    let base = match of(kind::TRUNC) {
        Some(trunc) => zxid(trunc),
        None if learner.epoch() < epoch && snap.is_none() => learner,
        None if epoch > 1 => z(epoch - 1, 1),
        None => Zxid::ZERO,
    };
    let last = if snap.is_some() { tree.0 } else { learner };
    let mut replay = Replay::new(epoch, base, last, tree);
    // What Java's leader had proposed and committed before the learner came.
    let synced = all.iter().position(|(_, bytes)| is(bytes, kind::NEWLEADER)).expect("recorded");
    for (_, bytes) in all[..synced].iter().filter(|(from, _)| !from) {
        if is(bytes, kind::PROPOSAL) || is(bytes, kind::COMMIT) {
            replay.lead(bytes);
        }
    }
    replay.turn(|leader, _, _| leader.on_link_up(JOINER, Instant::ZERO));
    let mut java = Vec::new();
    for (at, (from_learner, bytes)) in all.iter().enumerate() {
        if *from_learner {
            replay.frame(JOINER, bytes);
        } else if snap.is_none_or(|snap| at != snap + 1) {
            java.push(bytes.clone());
            if at > synced {
                replay.lead(bytes);
            }
        }
    }
    (words(&java), words(&replay.heard))
}

#[test]
fn recorded_learners_of_java_hear_what_a_leader_of_java_said() {
    let mut compared = 0;
    for (name, text) in FIXTURES {
        // As servers of 3.4 do, ours cuts a log across epochs, where later ones send a tree.
        if name.starts_with("diverged-") && !name.starts_with("diverged-3.4.6-leader") {
            continue;
        }
        let (java, ours) = replay(text);
        assert_eq!(ours, java, "{name}");
        compared += java.len();
    }
    assert!(compared > 200, "{compared}");
}
