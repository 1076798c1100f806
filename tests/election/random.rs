// SPDX-License-Identifier: Apache-2.0
//! Arbitrary orders of delivery, from seeds: agreement while messages are timely, and agreement
//! again, in bounded virtual time, whatever happened before.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use menagerie_core::{
    election::{Decision, Standing},
    id::{ServerId, Zxid},
    time::Instant,
    zoo::Sound,
};

use crate::net::{Delays, Id, Net};

/// Splitmix64: as good as it must be here, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number from 0 to `below`, exclusive.
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Anything takes up to `longest` microseconds; messages are cut anywhere.
struct Jitter {
    random: Random,
    longest: u64,
}

impl Delays for Jitter {
    fn next(&mut self, _: Id, _: Id) -> u64 {
        1 + self.random.below(self.longest)
    }

    fn cut(&mut self, len: usize) -> usize {
        usize::try_from(self.random.below(len as u64 + 1)).expect("small")
    }
}

fn members(voters: Id, observers: Id) -> String {
    let mut text = String::new();
    for id in 1..=voters + observers {
        let role = if id <= voters { "participant" } else { "observer" };
        text += &format!("server.{id}=zk{id}:2888:3888:{role}\n");
    }
    text
}

fn net(seed: u64, voters: Id, observers: Id, longest: u64) -> Net<Jitter> {
    Net::new(&members(voters, observers), Jitter { random: Random::new(seed), longest })
}

/// Histories of which some are equal, and all are of the same first start or of none.
fn standings(random: &mut Random, n: Id) -> Vec<Standing> {
    let first_start = random.one_in(4);
    let one = |_| match first_start {
        true => Standing::Empty,
        false => Standing::History {
            zxid: Zxid::new(1, u32::try_from(random.below(3)).expect("small")),
            epoch: i64::try_from(random.below(2)).expect("small") + 1,
        },
    };
    (0..n).map(one).collect()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Starts at arbitrary moments, and nothing breaks: in no round do quorums decide for two leaders,
/// and within five seconds of the last start all have settled on one.
///
/// That two *servers* decide to lead in one round cannot be excluded, and Java does not either: a
/// better vote may reach some of a quorum just before their decision ripens, and others just after.
#[test]
fn timely_servers_agree() {
    let mut slowest = 0;
    for seed in 0..1_500 {
        let mut world = World::new(seed, 40_000);
        for id in world.all() {
            world.start(id);
            let time = world.random.below(300) * world.random.below(2);
            world.live(time);
        }
        slowest = slowest.max(world.converge(5_000));
        let mut deciders: BTreeMap<(i64, Id), BTreeSet<ServerId>> = BTreeMap::new();
        for &(_, round, id, decision) in &world.net.decisions {
            let leader = match decision {
                Decision::Leading => id,
                Decision::Following(leader) | Decision::Observing(leader) => leader.0,
            };
            deciders.entry((round, leader)).or_default().insert(ServerId(id));
        }
        let quorums = world.net.quorums();
        deciders.retain(|_, by| quorums.hold(Sound, |id| by.contains(&id)));
        let rounds: BTreeSet<i64> = deciders.keys().map(|(round, _)| *round).collect();
        assert_eq!(deciders.len(), rounds.len(), "seed {seed}: {deciders:?}");
    }
    println!("the slowest of 1,500 took {slowest} ms");
}

/// Cuts, crashes and delays of seconds; then all are up and connected: within 30 seconds all follow
/// one leader, and from then on nothing happens.
#[test]
fn whatever_happened_all_agree_once_healed() {
    let mut slowest = 0;
    for seed in 0..400 {
        let mut world = World::new(seed, 1_500_000);
        world.all().into_iter().for_each(|id| world.start(id));
        for _ in 0..world.random.below(20) {
            world.harm();
            let time = world.random.below(2_000);
            world.live(time);
        }
        world.heal();
        slowest = slowest.max(world.converge(30_000));
        // What is being dialled by now may still come up.
        world.live(15_000);
        let before = (world.net.decisions.len(), world.net.opened);
        world.live(60_000);
        assert_eq!((world.net.decisions.len(), world.net.opened), before, "seed {seed}");
    }
    println!("the slowest of 400 took {slowest} ms");
}

/// Three or five voters and an observer, and above each election what a node does.
struct World {
    seed: u64,
    random: Random,
    net: Net<Jitter>,
    voters: Id,
    standings: Vec<Standing>,
    nodes: Vec<Node>,
    epoch: u32,
}

/// What a server above its election does, as far as elections feel it: it gives up a leader that
/// does not lead or cannot be reached, and followers that are no quorum.
struct Node {
    id: Id,
    /// Its last decision.
    since: Instant,
    /// The epoch it takes part in since then.
    epoch: Option<u32>,
}

impl World {
    fn new(seed: u64, longest: u64) -> World {
        let mut random = Random::new(!seed);
        let voters = if random.one_in(2) { 3 } else { 5 };
        let mut standings = standings(&mut random, voters);
        standings.push(Standing::Empty);
        let node = |id| Node { id, since: Instant::ZERO, epoch: None };
        let nodes = (1..=voters + 1).map(node).collect();
        let net = net(seed, voters, 1, longest);
        World { seed, random, net, voters, standings, nodes, epoch: 2 }
    }

    fn all(&self) -> Vec<Id> {
        (1..=self.voters + 1).collect()
    }

    fn is_up(&self, id: Id) -> bool {
        self.net.up().any(|up| up == id)
    }

    fn standing(&self, id: Id) -> Standing {
        self.standings[usize::try_from(id - 1).expect("small")]
    }

    fn start(&mut self, id: Id) {
        self.net.start(id, self.standing(id));
    }

    /// One thing breaks, or one is mended.
    fn harm(&mut self) {
        let n = self.all().len() as u64;
        let mut any = || 1 + i64::try_from(self.random.below(n)).expect("small");
        let (a, b) = (any(), any());
        match self.random.below(4) {
            0 if a != b => self.net.cut(a, b),
            1 if a != b => self.net.heal(a, b),
            2 if self.is_up(a) => self.net.stop(a),
            _ if !self.is_up(a) => self.start(a),
            _ => {}
        }
    }

    /// All are up and connected, and messages are timely.
    fn heal(&mut self) {
        self.net.delays.longest = 40_000;
        for a in self.all() {
            self.all().into_iter().for_each(|b| self.net.heal(a, b));
            if !self.is_up(a) {
                self.start(a);
            }
        }
    }

    fn decision(&self, id: Id) -> Option<Decision> {
        self.net.election(id).decision()
    }

    /// Whether what a server decided comes about.
    fn holds(&self, id: Id) -> bool {
        let meet = |a: Id, b: Id| self.is_up(a) && self.is_up(b) && !self.net.is_cut(a, b);
        match self.decision(id) {
            None => false,
            Some(Decision::Leading) => {
                let leader = Some(Decision::Following(ServerId(id)));
                let follows = |other: Id| meet(id, other) && self.decision(other) == leader;
                self.net.quorums().hold(Sound, |other| other.0 == id || follows(other.0))
            }
            Some(Decision::Following(leader) | Decision::Observing(leader)) => {
                meet(id, leader.0) && self.decision(leader.0) == Some(Decision::Leading)
            }
        }
    }

    /// Lets `time` pass; servers whose leadership has not come about in a second look again.
    fn live(&mut self, time: u64) {
        for _ in 0..time.div_ceil(100) {
            self.net.run(ms(100));
            for at in 0..self.nodes.len() {
                self.tend(at);
            }
        }
    }

    fn tend(&mut self, at: usize) {
        let Node { id, .. } = self.nodes[at];
        if !self.is_up(id) || self.decision(id).is_none() {
            return;
        }
        let decided = self.decided_at(id);
        if decided != self.nodes[at].since {
            self.nodes[at] = Node { id, since: decided, epoch: None };
        }
        if self.holds(id) {
            if self.nodes[at].epoch.is_none()
                && let Some(epoch) = self.epoch_of(id)
            {
                self.net.establish(id, epoch);
                self.nodes[at].epoch = Some(epoch);
                let zxid = match self.standings[at] {
                    Standing::History { zxid, .. } => zxid,
                    Standing::Empty | Standing::Missing => Zxid::ZERO,
                };
                self.standings[at] = Standing::History { zxid, epoch: i64::from(epoch) };
            }
        } else if self.net.now.since(decided) >= ms(1_000) {
            self.net.look(id, self.standing(id));
        }
    }

    fn decided_at(&self, id: Id) -> Instant {
        let last = self.net.decisions.iter().rev().find(|(_, _, who, _)| *who == id);
        last.expect("it has decided").0
    }

    /// A leader begins an epoch; the others take part in their leader's.
    fn epoch_of(&mut self, id: Id) -> Option<u32> {
        match self.decision(id)? {
            Decision::Leading => {
                self.epoch += 1;
                Some(self.epoch)
            }
            Decision::Following(leader) | Decision::Observing(leader) => {
                let leads =
                    |node: &&Node| node.id == leader.0 && node.since == self.decided_at(leader.0);
                self.nodes.iter().find(leads)?.epoch
            }
        }
    }

    /// Lives until all are settled on one leader; how long that took.
    fn converge(&mut self, most: u128) -> u128 {
        let began = self.net.now;
        loop {
            let took = self.net.now.since(began).as_millis();
            let settled = self.all().into_iter().all(|id| self.holds(id));
            let leads = |id: &Id| self.decision(*id) == Some(Decision::Leading);
            if settled && self.all().iter().filter(|id| leads(id)).count() == 1 {
                return took;
            }
            let (seed, story) = (self.seed, &self.net.story);
            assert!(took < most, "seed {seed}\n{}", story.join("\n"));
            self.live(100);
        }
    }
}
