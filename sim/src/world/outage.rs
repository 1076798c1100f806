// SPDX-License-Identifier: Apache-2.0
//! How long a client gets no write acknowledged when a fault strikes three servers: the world of
//! `tests/mixed/outages.py`, with the same settings, the same client and the same measure. What is
//! changed there has to be changed here.

use menagerie_core::proto::{Acl, Create, CreateKind, Request};

use super::{Ev, SECOND, World, script::Script, server::Death};
use crate::{
    campaign::HASH_KEY,
    faults::Fault,
    oracle::{Check, Property, Violation},
    rng::{Rng, Subsystem},
    scenario::Knob,
    trace::{Act, Wish},
};

/// So long it is watched after the fault.
const WATCHED: u64 = 8 * SECOND;
/// At its end, writes flow.
const FLOWS: u64 = SECOND;
/// Between an answer and the next write.
const PAUSE: u64 = 5_000;
const PATH: &[u8] = b"/steady";
/// So long the system takes at most to close the links of a process that was killed.
const LETS_GO: u64 = 1_000;
/// A process that is started again has read its folder and listens after so long: at least, and
/// what comes on top at most. The machine decides that, and the process table.
const STARTS: (u64, u64) = (15_000, 30_000);

/// What strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// The leader is killed.
    LeaderKilled,
    /// It is stopped for as long as is watched.
    LeaderPaused,
    /// Nothing gets to it from the others, or from it to them.
    LeaderCutOff,
    /// Nothing gets from it to the others.
    LeaderNotHeard,
    /// All are killed, and started again.
    AllKilled,
}

impl Blow {
    /// All of them, with their names in tables and how they are told.
    pub const ALL: [(Blow, &str, &str); 5] = [
        (Blow::LeaderKilled, "leader_killed", "the leader is killed"),
        (Blow::LeaderPaused, "leader_paused", "the leader is stopped (SIGSTOP)"),
        (Blow::LeaderCutOff, "leader_cut_off", "the leader is cut off, both ways"),
        (Blow::LeaderNotHeard, "leader_not_heard", "the leader is cut off, one way"),
        (Blow::AllKilled, "all_killed", "all are killed and started again"),
    ];
}

/// The outage that a fault makes in the world of a seed, in microseconds.
///
/// # Errors
/// When a promise is broken, or nothing is acknowledged at the end.
pub fn outage(blow: Blow, seed: u64) -> Result<u64, Violation> {
    let script = Script::told(&[], 1);
    let mut world = World::begin(seed, HASH_KEY, nature(), script, None);
    let mut steady = Steady::default();
    while steady.times.is_empty() {
        world.goes_on(&mut steady)?;
    }
    let mut chance = Rng::stream(seed, Subsystem::Faults, 0);
    let strikes = world.now + chance.between(SECOND, 5 * SECOND / 2);
    world.goes_on_until(strikes, &mut steady)?;
    let struck = world.now;
    world.suffer(blow, &mut chance)?;
    world.goes_on_until(struck + WATCHED, &mut steady)?;
    steady.outage(struck).ok_or_else(|| {
        let standing = world.clients[0].standing();
        let what =
            format!("seed {seed}, {blow:?}: no write is acknowledged at its end: {standing}");
        Violation::new(Property::Progress, what)
    })
}

/// As `outages.py` configures, and as the machine is: a loopback, and a disk that syncs fast.
fn nature() -> Vec<Knob> {
    vec![
        Knob::TickMs(500),
        Knob::InitLimit(10),
        Knob::SyncLimit(4),
        Knob::Voters(3),
        Knob::Clients(1),
        Knob::TimeoutMs(4_000),
        Knob::NetBase(40),
        Knob::NetJitter(60),
        Knob::NetPiece(64_000),
        Knob::DiskTouch(20),
        Knob::DiskSync(1_000),
        Knob::Turn(30),
        Knob::Batch(64),
        Knob::SnapCount(100_000),
        Knob::PreallocKib(65_536),
    ]
}

/// The client that writes all the time.
#[derive(Debug, Default)]
struct Steady {
    /// When each write was acknowledged.
    times: Vec<u64>,
    /// When it asks next.
    asks_at: u64,
    waits: bool,
}

impl Steady {
    fn outage(&self, struck: u64) -> Option<u64> {
        let first = self.times.partition_point(|at| *at <= struck).saturating_sub(1);
        let times = &self.times[first..];
        times.last().filter(|last| struck + WATCHED <= **last + FLOWS)?;
        times.windows(2).map(|two| two[1] - two[0]).max()
    }

    fn wish(&self) -> Wish {
        let (data, acl) = (Some(&b"x"[..]), Some(vec![Acl::OPEN]));
        let create = Create { kind: CreateKind::Create, path: PATH, data, acl, flags: 0 };
        let request = match self.times.len() {
            0 => Request::Create(create),
            _ => Request::SetData { path: PATH, data, version: -1 },
        };
        let mut body = Vec::new();
        request.encode(&mut body);
        Wish { op: request.op().code(), body }
    }
}

impl World {
    fn goes_on_until(&mut self, until: u64, steady: &mut Steady) -> Check {
        while self.now < until {
            self.goes_on(steady)?;
        }
        Ok(())
    }

    /// The next event, or the next write if that is due before.
    fn goes_on(&mut self, steady: &mut Steady) -> Check {
        let client = &self.clients[0];
        if client.wrote_at > steady.times.last().copied().unwrap_or(0) {
            steady.times.push(client.wrote_at);
        }
        if steady.waits && !client.waits() {
            (steady.waits, steady.asks_at) = (false, self.now + PAUSE);
        }
        let next = self.agenda.next_at().unwrap_or(u64::MAX);
        if steady.waits || next <= steady.asks_at {
            return self.step();
        }
        self.now = self.now.max(steady.asks_at);
        steady.waits = true;
        self.acts(0, Act::Ask(vec![steady.wish()]))
    }

    /// The system closes the links of a process that was killed, one after the other.
    fn lets_go(&mut self, server: usize, chance: &mut Rng) {
        self.servers[server].frozen_until = self.now + LETS_GO;
        let links = self.links.iter().filter(|(_, link)| link.side_of(server).is_some());
        let links: Vec<u64> = links.map(|(name, _)| *name).collect();
        for link in links {
            self.after(chance.below(LETS_GO), Ev::End { link });
        }
    }

    fn suffer(&mut self, blow: Blow, chance: &mut Rng) -> Check {
        let leader = self.oracles.leader().expect("somebody acknowledges");
        let (clients, lasts) = (false, WATCHED);
        match blow {
            Blow::LeaderKilled => {
                self.lets_go(leader, chance);
                let dead = self.now + LETS_GO;
                while self.now < dead {
                    self.step()?;
                }
                self.die(leader, Death::Kill)?;
                // The start that is under way finds another life.
                self.servers[leader].life += 1;
                Ok(())
            }
            Blow::LeaderPaused => self.befall(leader, Fault::Freeze { lasts }),
            Blow::LeaderCutOff => {
                let (inward, outward) = (true, true);
                self.befall(leader, Fault::Isolate { inward, outward, clients, lasts })
            }
            Blow::LeaderNotHeard => {
                let (inward, outward) = (false, true);
                self.befall(leader, Fault::Isolate { inward, outward, clients, lasts })
            }
            Blow::AllKilled => {
                self.black_out(None)?;
                for server in 0..self.servers.len() {
                    self.servers[server].life += 1;
                    let life = self.servers[server].life + 1;
                    let wait = STARTS.0 + chance.below(STARTS.1);
                    self.after(wait, Ev::Start { server, life });
                }
                Ok(())
            }
        }
    }
}
