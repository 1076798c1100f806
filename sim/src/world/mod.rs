// SPDX-License-Identifier: Apache-2.0
//! A world: server cores with their disks and clocks, the network, and clients, in virtual time. A
//! server alone is an ensemble of one.
//!
//! Everything that happens is an event of one queue, ordered by time and then by age; time jumps to
//! the next one, so idle time is free. A world is plain data: it can be cloned and run twice.
//!
//! ```text
//! clients --bytes--> links --frames--> inbox --turn--> node --effects--> links, dials, disk
//!                      ^                 ^------ completions, timers ------'   |
//!                      `------------------ bytes to other servers -------------'
//! ```

mod agenda;
mod book;
mod clients;
mod dials;
mod futures;
mod guard;
mod input;
mod lasting;
mod links;
pub mod outage;
mod reconfigure;
mod recording;
mod rolling;
mod rot;
mod rude;
mod script;
mod server;
mod sights;
mod stranger;
mod strike;
mod tale;
mod wipe;

use std::collections::{BTreeMap, VecDeque};

use menagerie_core::{client, id::LaneId, io::Effects};

use self::{
    agenda::Agenda,
    clients::Actor,
    dials::Call,
    script::{Changes, Script},
    server::Server,
    sights::Sight,
};
pub use self::{
    links::name,
    rolling::Rolling,
    tale::{About, Message, Moment, PING, Tale, Way, place_name},
};
use crate::{
    faults::Climate,
    history::History,
    net::{Link, Place, Side},
    oracle::{Check, Off, Oracles, Property, Violation, ghost::Ghost, progress},
    probe::Probe,
    rng::{Rng, Subsystem},
    scenario::{self, Knob, Scenario, proofs},
    tally::Tally,
    trace::Trace,
};

/// A second of world time.
pub const SECOND: u64 = 1_000_000;
/// A world suffers at least this long.
const SUFFERS: u64 = 60 * SECOND;
/// It acknowledges at least this many operations before it heals.
const ACKNOWLEDGED: u64 = 2_000;
/// It suffers at most this long. One that has acknowledged too little by then goes on when it is
/// healed.
const SUFFERS_AT_MOST: u64 = 240 * SECOND;
/// A healed world that still acknowledged too little this long after that serves nobody.
const PATIENCE: u64 = 300 * SECOND;
/// How many of the last steps are kept for people.
const STORY: usize = 20_000;
/// How long a healed world goes on.
const HEALS: u64 = 25 * SECOND;
/// And so many ticks more.
const HEALS_TICKS: u64 = 20;

/// Something that happens at a time.
#[derive(Clone, Debug)]
enum Ev {
    /// A server's process starts.
    Start { server: usize, life: u32 },
    /// A server handles its inbox.
    Turn { server: usize, life: u32 },
    /// A server's timer is due.
    Timer { server: usize, life: u32 },
    /// A file operation ends.
    Disk { server: usize, life: u32, lane: LaneId },
    /// Bytes that one end of a link sent may have arrived at the other.
    Arrive { link: u64, from: Side },
    /// A link's end is noticed, whatever is still on its way.
    End { link: u64 },
    /// A dial is answered.
    Dialled(Box<Call>),
    /// A client's timer may be due.
    ClientTimer { client: usize },
    /// A client decides what it wants; due at the time that a trace names it by.
    ClientWork { client: usize, due: u64 },
    /// A client wants something of a healed world.
    ClientHealthy { client: usize },
    /// A fault strikes.
    Strike { due: u64 },
    /// The operator wants other members; due at the time that a trace names it by.
    Reform { due: u64 },
    /// A fault that lasts ends.
    Ease(strike::Easing),
}

/// A world and all that is in it.
#[derive(Clone)]
pub struct World {
    /// Its seed.
    pub seed: u64,
    /// What it is like.
    pub scenario: Scenario,
    /// What it did so far.
    pub tally: Tally,
    /// The hash of everything that happened so far.
    pub rolling: Rolling,
    now: u64,
    agenda: Agenda,
    servers: Vec<Server>,
    sights: Vec<Sight>,
    links: BTreeMap<u64, Box<Link>>,
    next_link: u64,
    clients: Vec<Actor>,
    oracles: Oracles,
    nature: Vec<Knob>,
    script: Script,
    /// Until when nothing gets from one machine to another.
    cuts: BTreeMap<(Place, Place), u64>,
    slow_net_until: u64,
    /// Whose disk was lost, until it serves again.
    wiped: Option<usize>,
    /// When all faults are to end: once it has suffered enough, or when a trace says so.
    heals: Option<u64>,
    healed_at: Option<u64>,
    /// In a liveness run, once all other faults are over: who is outside the core.
    outside: BTreeMap<usize, lasting::Fate>,
    story: Option<VecDeque<String>>,
    tale: Option<Box<Tale>>,
    /// What clients see, if that is recorded.
    recording: Option<Box<History>>,
    /// Allocations to be used again.
    spare: Spare,
}

/// Allocations that are empty between two events.
#[derive(Clone, Default)]
struct Spare {
    effects: Effects,
    client_effects: client::Effects,
    times: Vec<u64>,
    frames: Vec<input::In>,
}

impl World {
    /// The world of a seed, of so many servers or of as many as are drawn, before its first event.
    /// The hash key must not matter.
    pub fn new(seed: u64, hash_key: (u64, u64), servers: Option<u32>) -> World {
        let mut nature = scenario::draw(&mut Rng::stream(seed, Subsystem::Scenario, 0));
        nature.extend(scenario::draw_ensemble(
            &mut Rng::stream(seed, Subsystem::Scenario, 2),
            servers,
        ));
        let mut changes = Rng::stream(seed, Subsystem::Scenario, 3);
        let changes = scenario::draw_changes(&mut changes, &nature, servers);
        nature.extend(changes);
        World::of_nature(seed, hash_key, nature)
    }

    /// The world of a seed and a nature, before its first event: the faults are drawn.
    pub fn of_nature(seed: u64, hash_key: (u64, u64), nature: Vec<Knob>) -> World {
        let climate = Climate::draw(&mut Rng::stream(seed, Subsystem::Scenario, 1));
        let every = Scenario::of(&nature).reconfigures;
        let rng = Box::new(Rng::stream(seed, Subsystem::Operator, 0));
        let faults = Rng::stream(seed, Subsystem::Faults, 0);
        let script = Script::drawn(climate, faults, Changes { every, rng });
        World::begin(seed, hash_key, nature, script, None)
    }

    /// The world of a trace, before its first event.
    pub fn told(trace: &Trace, hash_key: (u64, u64)) -> World {
        let clients = Scenario::of(&trace.nature).clients;
        let script = Script::told(&trace.steps, clients);
        World::begin(trace.seed, hash_key, trace.nature.clone(), script, Some(trace.heals))
    }

    fn begin(
        seed: u64,
        hash_key: (u64, u64),
        nature: Vec<Knob>,
        script: Script,
        heals: Option<u64>,
    ) -> World {
        let scenario = Scenario::of(&nature);
        let servers: Vec<Server> = (0..scenario.servers.len())
            .map(|number| Server::new(number, seed, hash_key, &scenario))
            .collect();
        // Where the members change, the last one is the operator.
        let clients = scenario.clients + usize::from(scenario.changes());
        let clients = (0..clients).map(|n| Actor::new(seed, n, &scenario)).collect();
        let mut world = World {
            seed,
            tally: Tally { worlds: 1, ..Tally::default() },
            rolling: Rolling::default(),
            now: 0,
            agenda: Agenda::default(),
            oracles: Oracles::new(&scenario, proofs()),
            sights: vec![Sight::default(); servers.len()],
            servers,
            links: BTreeMap::new(),
            next_link: 1,
            clients,
            nature,
            script,
            cuts: BTreeMap::new(),
            slow_net_until: 0,
            wiped: None,
            heals,
            healed_at: None,
            outside: BTreeMap::new(),
            story: None,
            tale: None,
            recording: None,
            spare: Spare::default(),
            scenario,
        };
        for server in 0..world.scenario.founders {
            world.at(0, Ev::Start { server, life: 1 });
        }
        for client in 0..world.clients.len() {
            world.at(1_000 + client as u64, Ev::ClientTimer { client });
            if Some(client) == world.operator() {
                continue;
            }
            if let Some(due) = world.script.first_act(client) {
                world.at(due, Ev::ClientWork { client, due });
            }
        }
        if let Some(due) = world.script.first_fault() {
            world.at(due, Ev::Strike { due });
        }
        if let Some(due) = world.script.first_change().filter(|_| world.scenario.changes()) {
            world.at(due, Ev::Reform { due });
        }
        world
    }

    /// Looks away from some promises from here on.
    pub fn look_away(&mut self, off: Off) {
        self.oracles.ghost.off = off;
    }

    /// Keeps an account of the last steps, for people, and the decisions, for a trace.
    pub fn explain(&mut self) {
        self.story = Some(VecDeque::new());
        self.tale = Some(Box::default());
        self.script.record();
    }

    /// The decisions so far, if they were kept.
    pub fn trace(&self) -> Trace {
        Trace {
            seed: self.seed,
            mutation: None,
            property: None,
            nature: self.nature.clone(),
            steps: self.script.taken().to_vec(),
            heals: self.heals.unwrap_or(self.now),
        }
    }

    /// What is remembered for its story, if anything is.
    pub fn tale(&self) -> Option<&Tale> {
        self.tale.as_deref()
    }

    /// What really happened.
    pub fn ghost(&self) -> &Ghost {
        &self.oracles.ghost
    }

    /// World time, in microseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The account of the last steps.
    pub fn account(&self) -> impl Iterator<Item = &str> {
        self.story.iter().flatten().map(String::as_str)
    }

    /// Runs to the end, or to the first broken promise.
    pub fn run(&mut self) -> Check {
        self.run_until(u64::MAX)
    }

    /// Whether it has gone on for long enough.
    pub fn is_over(&self) -> bool {
        self.healed_at.is_some_and(|at| self.now >= at + self.heals_for() && !self.lags(at))
    }

    /// Runs up to a time, to the end, or to the first broken promise.
    pub fn run_until(&mut self, until: u64) -> Check {
        while !self.is_over() {
            if self.agenda.next_at().is_some_and(|at| at > until) {
                return Ok(());
            }
            self.step()?;
        }
        self.tally.txns = self.oracles.ghost.proposed;
        self.judge_progress()
    }

    /// Whether a world that healed then must go on until it has acknowledged enough.
    fn lags(&self, healed_at: u64) -> bool {
        healed_at >= SUFFERS_AT_MOST
            && self.tally.acknowledged < ACKNOWLEDGED
            && self.now < healed_at + PATIENCE
    }

    /// Runs until all faults are to end, or to the first broken promise.
    pub fn run_until_healed(&mut self) -> Check {
        while self.healed_at.is_none() {
            self.step()?;
        }
        Ok(())
    }

    /// Does the next event.
    pub fn step(&mut self) -> Check {
        // What was decided for later is not in a trace: it may not move this moment.
        if let Some(due) = self.heals
            && self.healed_at.is_none()
            && self.agenda.next_at().is_some_and(|at| at > due)
        {
            self.now = self.now.max(due);
            self.heal()?;
        }
        let Some((at, event)) = self.agenda.pop() else {
            let what = "nothing will ever happen again".to_owned();
            return Err(Violation::new(Property::Progress, what));
        };
        assert!(at >= self.now, "time does not run back");
        self.now = at;
        self.tally.events += 1;
        self.tally.simulated = at;
        self.rolling.mix(at);
        self.happen(event)?;
        for replied in self.oracles.replies.drain(..) {
            self.tally.op(replied.op, replied.err);
        }
        let mut led = false;
        for seen in self.oracles.seen.drain(..) {
            self.tally.hit(seen);
            if seen == Probe::LeaderMade {
                self.oracles.signs.led(self.now);
                led = true;
            }
        }
        if led {
            self.record_calm();
        }
        let enough = self.now >= SUFFERS && self.tally.acknowledged >= ACKNOWLEDGED;
        if self.heals.is_none() && (enough || self.now >= SUFFERS_AT_MOST) {
            self.heals = Some(self.now);
        }
        Ok(())
    }

    fn happen(&mut self, event: Ev) -> Check {
        match event {
            Ev::Start { server, life } => self.start(server, life),
            Ev::Turn { server, life } => return self.turn(server, life),
            Ev::Timer { server, life } => self.timer(server, life),
            Ev::Disk { server, life, lane } => return self.disk_ends(server, life, lane),
            Ev::Arrive { link, from } => return self.arrive(link, from),
            Ev::End { link } => return self.reset(link),
            Ev::Dialled(call) => return self.dialled(&call),
            Ev::ClientTimer { client } => return self.client_timer(client),
            Ev::ClientWork { client, due } => return self.client_work(client, due),
            Ev::ClientHealthy { client } => return self.client_healthy(client),
            Ev::Strike { due } => return self.strike(due),
            Ev::Reform { due } => return self.reform(due),
            Ev::Ease(easing) => return self.ease(easing),
        }
        Ok(())
    }

    /// How long a healed world goes on.
    fn heals_for(&self) -> u64 {
        if self.scenario.lasting {
            return self.converges_for();
        }
        HEALS + HEALS_TICKS * self.scenario.tick_ms() * 1_000
    }

    fn judge_progress(&mut self) -> Check {
        let healed = self.healed_at.expect("a world ends healed");
        if self.scenario.lasting {
            return self.judge_core(healed);
        }
        progress::healed(self.oracles.ghost.replicas.iter(), self.now)?;
        if healed >= SUFFERS_AT_MOST && self.tally.acknowledged < ACKNOWLEDGED {
            return Err(progress::lags(self.tally.acknowledged, self.now - healed));
        }
        // Where epochs are short, an election may be under way, however healthy the world is.
        let elects = self.scenario.elects_for();
        if elects == 0 {
            progress::all_serve(&self.oracles.ghost)?;
        }
        for (number, client) in self.clients.iter().enumerate() {
            let waits =
                client.waits() && client.answered_at + 2 * progress::PATIENCE + elects < self.now;
            if waits || client.answered_at < healed {
                let phases = self.oracles.ghost.replicas.iter().map(|replica| replica.phase);
                let phases: Vec<_> = phases.collect();
                let standing = format!("{}; {phases:?}", client.standing());
                return Err(progress::not_served(number, self.now - healed, &standing));
            }
        }
        self.oracles.at_end(self.now)
    }

    fn at(&mut self, at: u64, event: Ev) {
        self.agenda.push(at.max(self.now), event);
    }

    fn after(&mut self, wait: u64, event: Ev) {
        self.at(self.now + wait, event);
    }

    /// Adds a line to the account, if there is one.
    fn note(&mut self, line: impl FnOnce(&World) -> String) {
        if self.story.is_none() {
            return;
        }
        let mut story = self.story.take().expect("it is there");
        story.push_back(format!(
            "{:>4}.{:06} {}",
            self.now / SECOND,
            self.now % SECOND,
            crate::readable::readable(&line(self))
        ));
        if story.len() > STORY {
            story.pop_front();
        }
        self.story = Some(story);
    }
}

#[cfg(test)]
mod tests;
