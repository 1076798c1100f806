// SPDX-License-Identifier: Apache-2.0
//! Grades the oracles: each bug of the zoo, switched on, must break a promise within so many seeds,
//! and no change that does no harm may.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use menagerie_core::zoo::Mutation;

use crate::{
    campaign::blind,
    usage,
    oracle::{Off, Property, off::LOCAL},
    shrink::shrink,
    species::{self, Species},
    trace::Trace,
};

/// Seeds between two bases.
const APART: u64 = 1_000_000;

/// All bugs, and all changes that do no harm, with their names.
pub fn all() -> impl Iterator<Item = (&'static str, Mutation)> {
    Mutation::ALL.iter().chain(Mutation::DECOYS).copied()
}

/// The change of a name; no name is none.
///
/// # Errors
/// When none has the name.
pub fn named(name: Option<&str>) -> Result<Option<Mutation>, String> {
    let Some(name) = name else { return Ok(None) };
    let names = || all().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    let found = all().find(|(one, _)| *one == name);
    found.map(|(_, bug)| Some(bug)).ok_or_else(|| format!("no such bug; there are: {}", names()))
}

/// How hard the zoo is hunted.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Independent first seeds for each bug.
    pub bases: u64,
    /// The most seeds from each.
    pub seeds: u64,
    /// The most processor time for each hunt.
    pub limit: Duration,
    /// The most processor time to shorten one trace; none are shortened if zero.
    pub shrink: Duration,
    /// Threads.
    pub jobs: usize,
}

/// One hunt: a bug, a first seed, and who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hunt {
    /// In the order of [`all`].
    bug: usize,
    /// Whether only harm itself is seen.
    global: bool,
    base: u64,
}

/// What a hunt came to.
#[derive(Clone, Debug, Default)]
pub struct Catch {
    /// Worlds until a promise broke, or all.
    pub seeds: u64,
    /// The promise, if one broke.
    pub property: Option<Property>,
    /// Simulated seconds.
    pub simulated: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// The faults and acts that are left of its trace, if it was shortened.
    pub short: Option<(usize, usize)>,
}

/// All hunts of one change.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// With all oracles.
    pub all: Vec<Catch>,
    /// With those that see harm itself.
    pub global: Vec<Catch>,
}

/// Hunts everything that `wanted` names, or all; `progress` hears of each hunt's end, how many
/// there were and how many there are.
pub fn hunt_all(
    effort: Effort,
    wanted: &[String],
    both: bool,
    progress: impl Fn(&str, &Catch, usize, usize) + Sync,
) -> BTreeMap<&'static str, Record> {
    let everything: Vec<(&str, Mutation)> = all().collect();
    let mut hunts = Vec::new();
    for base in 1..=effort.bases {
        for (bug, (name, _)) in everything.iter().enumerate() {
            let known = species::of(name);
            let asked = wanted.is_empty() || wanted.iter().any(|one| one == name);
            if !asked || matches!(known, Species::Beyond { .. }) {
                continue;
            }
            hunts.push(Hunt { bug, global: false, base });
            // A decoy has no harm to see.
            if both && matches!(known, Species::Bug { .. }) {
                hunts.push(Hunt { bug, global: true, base });
            }
        }
    }
    let (next, records) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<_, Record>::new()));
    let work = || {
        while let Some(hunt) = hunts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, mutation) = everything[hunt.bug];
            let caught = hunt_one(*hunt, mutation, name, effort);
            let mut records = records.lock().expect("no worker panics");
            let record = records.entry(name).or_default();
            let side = if hunt.global { &mut record.global } else { &mut record.all };
            side.push(caught.clone());
            let done = records.values().map(|record| record.all.len() + record.global.len()).sum();
            progress(name, &caught, done, hunts.len());
        }
    };
    thread::scope(|scope| {
        for job in 0..effort.jobs {
            let named = thread::Builder::new().name(format!("hunt-{job}"));
            named.spawn_scoped(scope, work).expect("a thread");
        }
    });
    records.into_inner().expect("no worker panics")
}

fn hunt_one(hunt: Hunt, mutation: Mutation, name: &str, effort: Effort) -> Catch {
    let off = if hunt.global { Off::of(LOCAL) } else { Off::default() };
    let (start, began) = (hunt.base * APART, usage::used_by_thread());
    let mut caught = Catch::default();
    let seeds = if species::is_decoy(name) { effort.seeds.min(20) } else { effort.seeds };
    while caught.seeds < seeds && usage::used_by_thread() - began < effort.limit {
        let seed = start + caught.seeds;
        let verdict = blind(seed, Some(mutation), off, false);
        caught.seeds += 1;
        caught.simulated += verdict.tally.simulated / 1_000_000;
        if let Some(violation) = verdict.violation {
            caught.property = Some(violation.property);
            break;
        }
    }
    caught.cpu_ms = (usage::used_by_thread() - began).as_millis() as u64;
    if caught.property.is_some() && !hunt.global && hunt.base == 1 && !effort.shrink.is_zero() {
        caught.short = shorten(start + caught.seeds - 1, mutation, effort.shrink);
    }
    caught
}

/// The faults and acts that are left of a failing world's trace after a while of shortening.
fn shorten(seed: u64, mutation: Mutation, limit: Duration) -> Option<(usize, usize)> {
    let trace: Trace = blind(seed, Some(mutation), Off::default(), true).trace?;
    let until = usage::used_by_thread() + limit;
    let short = shrink(&trace, Some(mutation), || usage::used_by_thread() < until, |_, _| {});
    Some((short.faults(), short.acts()))
}

/// Whether every bug was killed with all oracles, and no decoy flagged.
///
/// # Errors
/// Names those that are wrong.
pub fn verdict(records: &BTreeMap<&str, Record>) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, record) in records {
        let kills = record.all.iter().filter(|caught| caught.property.is_some()).count();
        match species::is_decoy(name) {
            true if kills > 0 => wrong.push(format!("{name} was flagged")),
            false if kills == 0 => wrong.push(format!("{name} survived")),
            _ => {}
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}
