// SPDX-License-Identifier: Apache-2.0
//! How fast worlds run, on one yardstick: three voters on ordinary machines and four clients that
//! each want fourteen operations a second, under the faults that seeds draw, with every oracle on.
//! One thread, processor time of the process: what else the machine does counts less.

use std::{fmt, time::Duration};

use crate::{
    campaign::HASH_KEY,
    oracle::Violation,
    scenario::Knob,
    tally::Tally,
    usage,
    world::{SECOND, World},
};

/// How many clients the yardstick has.
const CLIENTS: u32 = 4;

/// What every world of a measurement is like; the faults are drawn.
pub const YARDSTICK: [Knob; 8] = [
    Knob::Voters(3),
    Knob::Clients(CLIENTS),
    Knob::TickMs(500),
    Knob::TimeoutMs(4_000),
    Knob::SyncLimit(4),
    Knob::SnapCount(300),
    // One to three requests at once, every 140 ms.
    Knob::Think(140_000),
    Knob::Burst(3),
];

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// What the worlds did.
    pub tally: Tally,
    /// Processor time.
    pub used: Duration,
    /// Seeds that failed: their worlds ended early.
    pub failures: Vec<(u64, Violation)>,
}

/// Runs so many worlds of the yardstick, one after the other.
pub fn measure(start: u64, seeds: u64, progress: impl Fn(u64)) -> Measured {
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    let began = usage::used();
    for seed in start..start + seeds {
        let mut world = World::of_nature(seed, HASH_KEY, YARDSTICK.to_vec());
        if let Err(violation) = world.run() {
            failures.push((seed, violation));
        }
        tally.add(&world.tally);
        progress(seed);
    }
    Measured { tally, used: usage::used().saturating_sub(began), failures }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tally, used) = (&self.tally, self.used);
        let seconds = tally.simulated / SECOND;
        let tenths = |n: u64| format!("{}.{}", n / 10, n % 10);
        let each = tally.acknowledged * 10 / (seconds * u64::from(CLIENTS)).max(1);
        writeln!(
            f,
            "{} worlds of 3 voters and {CLIENTS} clients, {seconds} s simulated, {} core seconds",
            tally.worlds,
            tenths(u64::try_from(used.as_millis()).unwrap_or(u64::MAX) / 100),
        )?;
        writeln!(f, "{} acknowledged operations per simulated second and client", tenths(each))?;
        writeln!(
            f,
            "{} events, {} inputs of cores and {} simulated seconds per core second, all oracles \
             on",
            usage::per_second(tally.events, used),
            usage::per_second(tally.inputs, used),
            usage::per_second(seconds, used),
        )
    }
}
