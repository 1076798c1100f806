// SPDX-License-Identifier: Apache-2.0
//! A small world: three servers with disks that take their time, links that deliver when they like,
//! crashes at any point, and an election that mostly picks well. After each step:
//!
//! - what was ever committed stays, in the same order, for everybody;
//! - what is committed is durable on a quorum of disks, also after one of them was cut or replaced,
//!   and in the log of each later leader;
//! - epochs on disk never go back, and an epoch has one leader at most.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::String,
    sync::Arc,
    vec,
    vec::Vec,
};
use core::time::Duration;

use super::{
    Footing, History, Leader, LeaderConfig, LeaderOrder, Learner, LearnerConfig, LearnerOrder,
    test_words::{bugs, entry, packets},
    wire::kind,
};
use crate::{
    id::{LinkId, ServerId, Zxid},
    io::{Effect, Effects, Frame},
    jute::Record,
    quorum::Quorum,
    time::Instant,
    zoo::{Sound, Zoo},
};

bugs!(NewLeaderAckedBeforeLog, AppliesProposals);

type Entry = (Zxid, Vec<u8>);

/// What survives a crash.
#[derive(Clone, Default)]
struct Disk {
    log: Vec<Entry>,
    accepted: u32,
    current: u32,
}

/// An operation of a disk.
enum Op {
    Append(Entry),
    Accept(u32),
    Current(u32),
    Truncate(Zxid),
    Replace(Zxid, Vec<Entry>),
}

enum Role<Z: Zoo> {
    Down,
    Looking,
    /// With the last transaction that it began with, or committed since.
    Leading(Leader<Z>, Zxid),
    /// Behind a server, over a link.
    Learning(Learner<Z>, usize, Option<u64>),
}

struct Server<Z: Zoo> {
    disk: Disk,
    /// The lane of the log, and that of the epochs.
    queue: VecDeque<Op>,
    epochs: VecDeque<Op>,
    role: Role<Z>,
}

impl<Z: Zoo> Server<Z> {
    /// The log as it will be.
    fn view(&self) -> Vec<Entry> {
        let mut log = self.disk.log.clone();
        for op in &self.queue {
            match op {
                Op::Append(entry) => log.push(entry.clone()),
                Op::Truncate(to) => log.retain(|(zxid, _)| zxid <= to),
                Op::Replace(_, with) => log.clone_from(with),
                _ => {}
            }
        }
        log
    }
}

fn last(log: &[Entry]) -> Zxid {
    log.last().map_or(Zxid::ZERO, |(zxid, _)| *zxid)
}

/// A link from a learner to a leader, and what is on its way.
struct Link {
    learner: usize,
    leader: usize,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
    tree: Vec<Entry>,
}

struct World<Z: Zoo> {
    zoo: Z,
    seed: u64,
    ms: u64,
    servers: Vec<Server<Z>>,
    links: BTreeMap<u64, Link>,
    /// Trees that leaders want for learners, up to a transaction at least.
    fetches: Vec<(usize, LinkId, Zxid)>,
    next: u64,
    /// All that was committed.
    history: Vec<Entry>,
    leaders: BTreeMap<u32, u64>,
    proposed: u64,
    slow: usize,
    /// How often each remedy was sent.
    remedies: BTreeMap<i32, u64>,
}

impl<Z: Zoo> World<Z> {
    fn new(zoo: Z, seed: u64) -> World<Z> {
        let server = |_| Server {
            disk: Disk::default(),
            queue: VecDeque::new(),
            epochs: VecDeque::new(),
            role: Role::Looking,
        };
        World {
            zoo,
            seed: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            ms: 0,
            servers: (0..3).map(server).collect(),
            links: BTreeMap::new(),
            fetches: vec![],
            next: 0,
            history: vec![],
            leaders: BTreeMap::new(),
            proposed: 0,
            slow: seed as usize % 4,
            remedies: BTreeMap::new(),
        }
    }

    /// The next of a stream of numbers below `n`.
    fn draw(&mut self, n: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as usize % n
    }

    fn run(&mut self, steps: usize) -> Result<(), String> {
        for _ in 0..steps {
            let at = self.draw(3);
            match self.draw(1000) {
                0..400 => self.deliver()?,
                400..700 => self.work(at)?,
                700..800 => self.propose(at)?,
                800..850 => self.elect()?,
                850..950 => self.pass(at)?,
                950..954 => self.crash(at)?,
                954..960 => self.cut()?,
                _ if matches!(self.servers[at].role, Role::Down) => {
                    self.servers[at].role = Role::Looking;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A server that looks for a leader finds one; if there is none, two that look make one of
    /// them, mostly the one that holds more.
    fn elect(&mut self) -> Result<(), String> {
        let looks = |server: &Server<Z>| {
            let appends = server.queue.iter().all(|op| matches!(op, Op::Append(_)));
            matches!(server.role, Role::Looking) && appends && server.epochs.is_empty()
        };
        let mut looking: Vec<usize> = (0..3).filter(|&at| looks(&self.servers[at])).collect();
        let leader = (0..3).find(|&at| matches!(self.servers[at].role, Role::Leading(..)));
        if let (Some(leader), false) = (leader, self.draw(4) == 0) {
            return looking.into_iter().try_for_each(|at| self.learn(at, leader));
        }
        if looking.len() < 2 {
            return Ok(());
        }
        looking.sort_by_key(|&at| {
            let disk = &self.servers[at].disk;
            (disk.current, last(&disk.log))
        });
        let best = if self.draw(8) == 0 { 0 } else { looking.len() - 1 };
        let leader = looking.remove(best);
        self.lead(leader);
        looking.into_iter().try_for_each(|at| self.learn(at, leader))
    }

    fn footing(&self, at: usize) -> (Footing, History<Z>) {
        let server = &self.servers[at];
        let Disk { ref log, accepted, current } = server.disk;
        let mut history = History::new(self.zoo, 2, Zxid::ZERO);
        let view = server.view();
        if view.first().is_some_and(|(zxid, _)| zxid.follows(Zxid::ZERO)) {
            for (zxid, entry) in view {
                history.push(zxid, Arc::new(entry));
            }
        }
        (Footing { accepted, current, durable: last(log) }, history)
    }

    fn lead(&mut self, at: usize) {
        let (footing, history) = self.footing(at);
        let config = LeaderConfig {
            me: ServerId(at as i64),
            quorums: Quorum::majority([0, 1, 2].map(ServerId)).into(),
            members: [0, 1, 2].map(ServerId).into(),
            heard: 0,
            config_version: 0,
            config: vec![],
            tick: Duration::from_millis(100),
            init_limit: Duration::from_millis(2000),
            sync_limit: Duration::from_millis(1000),
            whole: false,
            epoch_length: u32::MAX,
        };
        let began = history.last();
        let leader = Leader::start(self.zoo, config, footing, history, self.now());
        self.servers[at].role = Role::Leading(leader, began);
    }

    fn learn(&mut self, at: usize, leader: usize) -> Result<(), String> {
        let (footing, history) = self.footing(at);
        let config = LearnerConfig {
            me: ServerId(at as i64),
            observer: false,
            blank: false,
            config_version: 0,
            init_limit: Duration::from_millis(2000),
            sync_limit: Duration::from_millis(1000),
        };
        let learner = Learner::start(self.zoo, config, footing, history, self.now());
        self.servers[at].role = Role::Learning(learner, leader, None);
        self.dial(at)
    }

    fn dial(&mut self, at: usize) -> Result<(), String> {
        let Role::Learning(_, leader, link) = &mut self.servers[at].role else { return Ok(()) };
        let leader = *leader;
        self.next += 1;
        let name = LinkId(self.next);
        *link = Some(self.next);
        let there = matches!(self.servers[leader].role, Role::Leading(..));
        if there {
            let (up, down) = (VecDeque::new(), VecDeque::new());
            self.links.insert(name.0, Link { learner: at, leader, up, down, tree: vec![] });
            self.leader(leader, |leader, now, _, _| leader.on_link_up(name, now))?;
        }
        self.learner(at, |learner, now, fx, orders| match there {
            true => learner.on_link_up(name, now, fx),
            false => learner.on_dial_failed(now, fx, orders),
        })
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.ms)
    }

    /// A turn of a leader, and what follows.
    fn leader<'f>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Leader<Z>, Instant, &mut Effects, &mut Vec<LeaderOrder<'f>>),
    ) -> Result<(), String> {
        let now = self.now();
        let Role::Leading(leader, _) = &mut self.servers[at].role else { return Ok(()) };
        let (mut fx, mut orders) = (Effects::new(), Vec::new());
        act(leader, now, &mut fx, &mut orders);
        leader.flush(now, &mut fx, &mut orders);
        self.send(&mut fx, true)?;
        orders.into_iter().try_for_each(|order| self.obey_leader(at, order))
    }

    fn obey_leader(&mut self, at: usize, order: LeaderOrder<'_>) -> Result<(), String> {
        // The log behind the newest snapshot may be too long, or gone.
        let usable = self.draw(2) == 0;
        let server = &mut self.servers[at];
        match order {
            LeaderOrder::Accept { epoch } => server.epochs.push_back(Op::Accept(epoch)),
            LeaderOrder::SetCurrent { epoch } => server.epochs.push_back(Op::Current(epoch)),
            LeaderOrder::Lead { epoch } => {
                self.next += 1;
                if self.leaders.insert(epoch, self.next).is_some() {
                    return Err(format!("epoch {epoch} has a second leader"));
                }
                let log = self.servers[at].view();
                self.committed(&log, "a new leader")?;
                return self.leader(at, |leader, now, fx, _| leader.serve(now, fx));
            }
            LeaderOrder::CommitTo { zxid } => {
                if let Role::Leading(_, committed) = &mut server.role {
                    *committed = zxid;
                }
                let log = upto(server.view(), zxid);
                self.committed(&log, "the leader")?;
            }
            LeaderOrder::Survey { link, last } => {
                let first = server.disk.log.first().map(|(zxid, _)| *zxid);
                let holds = server.disk.log.iter().any(|(zxid, _)| *zxid == last);
                let disk = first.filter(|_| holds && usable);
                let disk = disk.map(|first| super::DiskLog { first, bytes: 1, most: 1 });
                return self.leader(at, |leader, _, fx, _| leader.on_survey(link, disk, fx));
            }
            LeaderOrder::FetchLog { link, after } => {
                let log = server.disk.log.clone();
                let next = log.iter().filter(|(zxid, _)| *zxid > after).take(2);
                let next = next.map(|(zxid, entry)| (*zxid, &entry[..]));
                return self
                    .leader(at, |l, now, fx, orders| l.on_log(link, after, next, now, fx, orders));
            }
            LeaderOrder::FetchTree { link, least } => {
                self.fetches.push((at, link, least));
                return self.fetch_trees(at);
            }
            LeaderOrder::StepDown { .. } => return self.look(at),
            _ => {}
        }
        Ok(())
    }

    /// Sends the trees that were asked for and are there by now.
    fn fetch_trees(&mut self, at: usize) -> Result<(), String> {
        let Role::Leading(_, committed) = &self.servers[at].role else { return Ok(()) };
        let tree = upto(self.servers[at].disk.log.clone(), *committed);
        let zxid = last(&tree);
        let due = |(leader, _, least): &mut (usize, LinkId, Zxid)| *leader == at && *least <= zxid;
        let due: Vec<_> = self.fetches.extract_if(.., due).collect();
        for (_, link, _) in due {
            self.links.entry(link.0).and_modify(|link| link.tree.clone_from(&tree));
            self.leader(at, |leader, now, fx, _| leader.on_tree(link, zxid, &[], true, now, fx))?;
        }
        Ok(())
    }

    /// A turn of a learner, and what follows.
    fn learner<'f>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Learner<Z>, Instant, &mut Effects, &mut Vec<LearnerOrder<'f>>),
    ) -> Result<(), String> {
        let now = self.now();
        let Role::Learning(learner, _, link) = &mut self.servers[at].role else { return Ok(()) };
        let tree = link.and_then(|link| self.links.get(&link)).map(|link| link.tree.clone());
        let (mut fx, mut pongs) = (Effects::new(), Vec::new());
        let (mut ops, mut epochs) = (Vec::new(), Vec::new());
        let (mut commit, mut dial, mut over) = (None, false, false);
        let mut orders = Vec::new();
        act(learner, now, &mut fx, &mut orders);
        orders.into_iter().for_each(|order| match order {
            LearnerOrder::Dial => dial = true,
            LearnerOrder::Accept { epoch } => epochs.push(Op::Accept(epoch)),
            LearnerOrder::SetCurrent { epoch } => epochs.push(Op::Current(epoch)),
            LearnerOrder::Append { zxid, entry } => {
                ops.push(Op::Append((zxid, entry.into_owned())));
            }
            LearnerOrder::Truncate { to } => ops.push(Op::Truncate(to)),
            LearnerOrder::Tree { zxid, .. } => {
                ops.push(Op::Replace(zxid, tree.clone().expect("it came over the link")));
            }
            LearnerOrder::CommitTo { zxid } => commit = Some(zxid),
            LearnerOrder::Pong { zxid } => pongs.push(zxid),
            LearnerOrder::StepDown { .. } => over = true,
            _ => {}
        });
        for zxid in pongs {
            learner.pong(zxid, [], &mut fx);
        }
        self.servers[at].queue.extend(ops);
        self.servers[at].epochs.extend(epochs);
        self.send(&mut fx, false)?;
        if let Some(zxid) = commit {
            let log = upto(self.servers[at].view(), zxid);
            self.committed(&log, "a learner")?;
        }
        match (over, dial) {
            (true, _) => self.look(at),
            (_, true) => self.dial(at),
            _ => Ok(()),
        }
    }

    /// Everything in `log` is committed, somebody says.
    fn committed(&mut self, log: &[Entry], who: &str) -> Result<(), String> {
        let common = log.len().min(self.history.len());
        if log[..common] != self.history[..common] {
            return Err(format!("{who} committed another history"));
        }
        if log.len() < self.history.len() {
            return match who {
                "a new leader" => Err("a new leader lacks what was committed".into()),
                _ => Ok(()),
            };
        }
        self.history = log.to_vec();
        self.held(who)
    }

    /// Whether a quorum of disks holds what is committed.
    fn held(&self, who: &str) -> Result<(), String> {
        let holds = |server: &&Server<Z>| server.disk.log.starts_with(&self.history);
        match self.servers.iter().filter(holds).count() {
            0 | 1 => Err(format!("{who} committed what no quorum of disks holds")),
            _ => Ok(()),
        }
    }

    /// Puts what was sent on its links, packet by packet.
    fn send(&mut self, fx: &mut Effects, down: bool) -> Result<(), String> {
        let mut cut = Vec::new();
        for effect in fx.take_list() {
            match effect {
                Effect::Send { link, bytes } => {
                    let Some(link) = self.links.get_mut(&link.0) else { continue };
                    let queue = if down { &mut link.down } else { &mut link.up };
                    for packet in packets(&fx.bytes()[bytes]) {
                        if matches!(packet.kind, kind::DIFF | kind::TRUNC | kind::SNAP) {
                            *self.remedies.entry(packet.kind).or_default() += 1;
                        }
                        let mut bytes = Vec::new();
                        packet.encode(&mut bytes);
                        queue.push_back(bytes);
                    }
                }
                Effect::HangUp { link } => cut.push(link.0),
                _ => {}
            }
        }
        cut.into_iter().try_for_each(|link| self.hang_up(link))
    }

    fn hang_up(&mut self, link: u64) -> Result<(), String> {
        let Some(Link { learner, leader, .. }) = self.links.remove(&link) else { return Ok(()) };
        self.leader(leader, |leader, _, _, orders| leader.on_link_down(LinkId(link), orders))?;
        let ours = matches!(self.servers[learner].role, Role::Learning(_, _, Some(l)) if l == link);
        if ours {
            self.learner(learner, |l, _, fx, orders| l.on_link_down(fx, orders))
        } else {
            Ok(())
        }
    }

    /// A packet arrives.
    fn deliver(&mut self) -> Result<(), String> {
        if self.links.is_empty() {
            return Ok(());
        }
        let (nth, up) = (self.draw(self.links.len()), self.draw(2) == 0);
        let (&name, link) = self.links.iter_mut().nth(nth).expect("there are more");
        let (learner, leader) = (link.learner, link.leader);
        let queue = if up { &mut link.up } else { &mut link.down };
        let Some(bytes) = queue.pop_front() else { return Ok(()) };
        let frame = Frame::Packet(&bytes);
        if up {
            return self.leader(leader, |leader, now, fx, orders| {
                leader.on_frame(LinkId(name), frame, now, fx, orders);
            });
        }
        self.learner(learner, |learner, now, fx, orders| learner.on_frame(frame, now, fx, orders))?;
        if bytes.starts_with(&kind::SNAP.to_be_bytes()) {
            let tree = Frame::Tree { bytes: &[], last: true };
            self.learner(learner, |learner, now, fx, orders| {
                learner.on_frame(tree, now, fx, orders);
            })?;
        }
        Ok(())
    }

    /// An operation of a disk ends; one of the disks is slow.
    fn work(&mut self, at: usize) -> Result<(), String> {
        if at == self.slow && self.draw(4) > 0 {
            return Ok(());
        }
        let log = self.draw(2) == 0;
        let server = &mut self.servers[at];
        let lane = if log { &mut server.queue } else { &mut server.epochs };
        let Some(op) = lane.pop_front() else { return Ok(()) };
        let disk = &mut server.disk;
        let (was, mut replaced) = ((disk.accepted, disk.current), None);
        match op {
            Op::Append(entry) => disk.log.push(entry),
            Op::Accept(epoch) => disk.accepted = epoch,
            Op::Current(epoch) => disk.current = epoch,
            Op::Truncate(to) => {
                disk.log.retain(|(zxid, _)| *zxid <= to);
                replaced = Some(to);
            }
            Op::Replace(zxid, log) => {
                disk.log = log;
                replaced = Some(zxid);
            }
        }
        let (accepted, current, durable) = (disk.accepted, disk.current, last(&disk.log));
        if accepted < was.0 || current < was.1 || current > accepted {
            return Err(format!("epochs went from {was:?} to {:?}", (accepted, current)));
        }
        let epochs = was != (accepted, current);
        if replaced.is_some() {
            self.held("somebody")?;
        }
        self.leader(at, |leader, _, _, _| match epochs {
            true => leader.on_epochs(accepted, current),
            false => leader.on_durable(durable),
        })?;
        self.fetch_trees(at)?;
        if let Some(last) = replaced {
            let mut held = VecDeque::new();
            self.learner(at, |learner, now, fx, _| held = learner.on_replaced(last, now, fx))?;
            return held.iter().try_for_each(|packet| {
                let frame = Frame::Packet(packet);
                self.learner(at, |learner, now, fx, orders| {
                    learner.on_frame(frame, now, fx, orders);
                })
            });
        }
        self.learner(at, |learner, now, fx, orders| match epochs {
            true => learner.on_epochs(accepted, current, now, fx, orders),
            false => learner.on_durable(durable, now, fx, orders),
        })
    }

    fn propose(&mut self, at: usize) -> Result<(), String> {
        let server = &mut self.servers[at];
        let last = last(&server.view());
        let Role::Leading(leader, _) = &mut server.role else { return Ok(()) };
        if !leader.is_established() || server.queue.len() > 12 {
            return Ok(());
        }
        let epoch = leader.epoch().expect("it leads");
        let zxid = if last.epoch() == epoch { last.next() } else { Zxid::new(epoch, 1) };
        self.proposed += 1;
        let bytes = [&entry(zxid)[..], &self.proposed.to_be_bytes()].concat();
        server.queue.push_back(Op::Append((zxid, bytes.clone())));
        self.leader(at, |leader, _, _, _| leader.propose(zxid, Arc::new(bytes)))
    }

    /// Time passes.
    fn pass(&mut self, at: usize) -> Result<(), String> {
        self.ms += 1 + self.draw(40) as u64;
        self.leader(at, Leader::on_time)?;
        self.learner(at, Learner::on_time)
    }

    /// A role ends, and what it had on its way to the disk goes on.
    fn look(&mut self, at: usize) -> Result<(), String> {
        self.servers[at].role = Role::Looking;
        self.drop_links(at)
    }

    fn crash(&mut self, at: usize) -> Result<(), String> {
        self.servers[at].role = Role::Down;
        self.servers[at].queue.clear();
        self.servers[at].epochs.clear();
        self.drop_links(at)
    }

    fn drop_links(&mut self, at: usize) -> Result<(), String> {
        let of = |link: &Link| link.learner == at || link.leader == at;
        let links = self.links.iter().filter(|(_, link)| of(link));
        let links: Vec<u64> = links.map(|(name, _)| *name).collect();
        links.into_iter().try_for_each(|link| self.hang_up(link))
    }

    fn cut(&mut self) -> Result<(), String> {
        let nth = self.draw(self.links.len().max(1));
        let link = self.links.keys().nth(nth).copied();
        link.map_or(Ok(()), |link| self.hang_up(link))
    }
}

fn upto(mut log: Vec<Entry>, zxid: Zxid) -> Vec<Entry> {
    log.retain(|(at, _)| *at <= zxid);
    log
}

/// The first of so many worlds that breaks a promise.
fn hunt<Z: Zoo>(zoo: Z, worlds: u64) -> Option<String> {
    (1..=worlds).find_map(|seed| {
        let broken = World::new(zoo, seed).run(4000).err();
        broken.map(|why| format!("seed {seed}: {why}"))
    })
}

#[test]
fn what_is_committed_stays_whatever_crashes() {
    let (mut commits, mut leaders, mut remedies) = (0, 0, BTreeMap::new());
    for seed in 1..=300 {
        let mut world = World::new(Sound, seed);
        if let Err(why) = world.run(4000) {
            panic!("seed {seed}: {why}");
        }
        commits += world.history.len();
        leaders += world.leaders.len();
        for (remedy, times) in world.remedies {
            *remedies.entry(remedy).or_insert(0) += times;
        }
    }
    assert!(commits > 10_000 && leaders > 1000, "{commits} commits, {leaders} leaders");
    assert_eq!(remedies.len(), 3, "DIFF, TRUNC and SNAP: {remedies:?}");
}

#[test]
fn worlds_show_bugs() {
    for (name, found) in [
        ("NewLeaderAckedBeforeLog", hunt(NewLeaderAckedBeforeLog, 200)),
        ("AppliesProposals", hunt(AppliesProposals, 200)),
    ] {
        assert!(found.is_some(), "{name} is not found");
    }
}
