// SPDX-License-Identifier: Apache-2.0
//! A world: one server core, its disk and clocks, the network, and clients, in virtual time.
//!
//! Everything that happens is an event of one queue, ordered by time and then by age; time jumps to
//! the next one, so idle time is free. A world is plain data: it can be cloned and run twice.
//!
//! ```text
//! clients --bytes--> links --frames--> inbox --turn--> node --effects--> links, disk
//!                                        ^------ completions, timers ------'
//! ```

mod clients;
mod links;
mod rolling;
mod rude;
mod server;
mod strike;

use std::collections::{BTreeMap, VecDeque};

use menagerie_core::id::LaneId;

pub use self::rolling::Rolling;
use self::{clients::Actor, server::Process};
use crate::{
    disk::Disk,
    net::Link,
    oracle::{Check, Oracles, Property, Violation, progress},
    rng::{Rng, Subsystem},
    scenario::{Scenario, proofs},
    tally::Tally,
};

/// A second of world time.
pub const SECOND: u64 = 1_000_000;
/// A world suffers at least this long.
const SUFFERS: u64 = 60 * SECOND;
/// It answers at least this many requests before it heals.
const REPLIES: u64 = 1_000;
/// It suffers at most this long.
const SUFFERS_AT_MOST: u64 = 240 * SECOND;
/// How long a healed world goes on.
const HEALS: u64 = 30 * SECOND;

/// Something that happens at a time.
#[derive(Clone, Debug)]
enum Ev {
    /// The server's process starts.
    Start { life: u32 },
    /// The server handles its inbox.
    Turn { life: u32 },
    /// The server's timer is due.
    Timer { life: u32 },
    /// A file operation ends.
    Disk { life: u32, lane: LaneId },
    /// Bytes may have arrived at the server.
    Up { link: u64 },
    /// Bytes may have arrived at the client.
    Down { link: u64 },
    /// A link's end is noticed, whatever is still on its way.
    End { link: u64 },
    /// A dial is answered.
    Dialled { client: usize, link: u64 },
    /// A client's timer may be due.
    ClientTimer { client: usize },
    /// A client wants something.
    ClientWork { client: usize },
    /// A fault strikes.
    Strike,
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
    queue: BTreeMap<(u64, u64), Ev>,
    queued: u64,
    server: Process,
    disk: Disk,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    clients: Vec<Actor>,
    oracles: Oracles,
    faults: Rng,
    net: Rng,
    turns: Rng,
    refused_until: u64,
    slow_net_until: u64,
    healed_at: Option<u64>,
    trace: Option<VecDeque<String>>,
}

impl World {
    /// The world of a seed, before its first event. The hash key must not matter.
    pub fn new(seed: u64, hash_key: (u64, u64)) -> World {
        let scenario = Scenario::draw(seed);
        let mut disk = Disk::new(Rng::stream(seed, Subsystem::Disk, 0), scenario.disk);
        disk.fs.one_folder = scenario.config.data_dir == scenario.config.data_log_dir;
        let tick = u64::from(scenario.config.tick_time_ms);
        let clients = (0..scenario.clients).map(|n| Actor::new(seed, n, &scenario)).collect();
        let mut world = World {
            seed,
            tally: Tally { worlds: 1, ..Tally::default() },
            rolling: Rolling::default(),
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            server: Process::new(seed, hash_key),
            disk,
            links: BTreeMap::new(),
            next_link: 1,
            clients,
            oracles: Oracles::new(tick, proofs()),
            faults: Rng::stream(seed, Subsystem::Faults, 0),
            net: Rng::stream(seed, Subsystem::Link, 0),
            turns: Rng::stream(seed, Subsystem::Turns, 0),
            refused_until: 0,
            slow_net_until: 0,
            healed_at: None,
            trace: None,
            scenario,
        };
        world.at(0, Ev::Start { life: 1 });
        for client in 0..world.clients.len() {
            world.at(1_000 + client as u64, Ev::ClientTimer { client });
            world.at(500_000 + client as u64 * 1_000, Ev::ClientWork { client });
        }
        if world.scenario.climate.every > 0 {
            world.at(SECOND, Ev::Strike);
        }
        world
    }

    /// Keeps an account of the last steps, for people.
    pub fn explain(&mut self) {
        self.trace = Some(VecDeque::new());
    }

    /// The account of the last steps.
    pub fn account(&self) -> impl Iterator<Item = &str> {
        self.trace.iter().flatten().map(String::as_str)
    }

    /// Runs to the end, or to the first broken promise.
    pub fn run(&mut self) -> Check {
        while self.healed_at.is_none_or(|at| self.now < at + HEALS) {
            self.step()?;
        }
        self.tally.txns = self.oracles.ghost.proposed;
        self.judge_progress()
    }

    /// Does the next event.
    pub fn step(&mut self) -> Check {
        let Some(((at, _), event)) = self.queue.pop_first() else {
            let what = "nothing will ever happen again".to_owned();
            return Err(Violation::new(Property::Progress, what));
        };
        assert!(at >= self.now, "time does not run back");
        self.now = at;
        self.tally.events += 1;
        self.tally.simulated = at;
        self.rolling.mix(at);
        self.happen(event)?;
        for replied in std::mem::take(&mut self.oracles.replies) {
            self.tally.op(replied.op, replied.err);
        }
        for seen in std::mem::take(&mut self.oracles.seen) {
            self.tally.hit(seen);
        }
        self.heal_when_due();
        Ok(())
    }

    fn happen(&mut self, event: Ev) -> Check {
        match event {
            Ev::Start { life } => self.start(life),
            Ev::Turn { life } => return self.turn(life),
            Ev::Timer { life } => self.timer(life),
            Ev::Disk { life, lane } => self.disk_ends(life, lane),
            Ev::Up { link } => self.arrives_up(link),
            Ev::Down { link } => return self.arrives_down(link),
            Ev::End { link } => return self.reset(link),
            Ev::Dialled { client, link } => return self.dialled(client, link),
            Ev::ClientTimer { client } => return self.client_timer(client),
            Ev::ClientWork { client } => return self.client_work(client),
            Ev::Strike => return self.strike(),
            Ev::Ease(easing) => return self.ease(easing),
        }
        Ok(())
    }

    fn heal_when_due(&mut self) {
        let enough = self.now >= SUFFERS && self.tally.replies() >= REPLIES;
        if self.healed_at.is_none() && (enough || self.now >= SUFFERS_AT_MOST) {
            self.note(|_| "all faults end".to_owned());
            self.healed_at = Some(self.now);
            self.heal();
        }
    }

    fn judge_progress(&mut self) -> Check {
        let healed = self.healed_at.expect("a world ends healed");
        progress::healed(&self.oracles.ghost, self.now)?;
        for (number, client) in self.clients.iter().enumerate() {
            let waits = client.waits() && client.answered_at + 2 * progress::PATIENCE < self.now;
            if waits || client.answered_at < healed {
                let since = self.now - healed;
                return Err(progress::not_served(number, since, &client.standing()));
            }
        }
        Ok(())
    }

    fn at(&mut self, at: u64, event: Ev) {
        self.queued += 1;
        self.queue.insert((at.max(self.now), self.queued), event);
    }

    fn after(&mut self, wait: u64, event: Ev) {
        self.at(self.now + wait, event);
    }

    /// Adds a line to the account, if there is one.
    fn note(&mut self, line: impl FnOnce(&World) -> String) {
        let Some(mut trace) = self.trace.take() else { return };
        trace.push_back(format!(
            "{:>4}.{:06} {}",
            self.now / SECOND,
            self.now % SECOND,
            crate::readable::readable(&line(self))
        ));
        if trace.len() > 400 {
            trace.pop_front();
        }
        self.trace = Some(trace);
    }
}

#[cfg(test)]
mod tests;
