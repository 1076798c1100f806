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
    oracle::{Off, Property, off::LOCAL},
    shrink::shrink,
    species::{self, Species, WITNESSES, Witness},
    usage,
};

/// Seeds between two bases.
const APART: u64 = 1_000_000;

/// In how many worlds of each base a harmless change must not be flagged.
const DECOY_WORLDS: u64 = 20;

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

/// Who looks for a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eyes {
    /// All oracles.
    All,
    /// Those that see harm itself.
    Harm,
    /// All but those that a witness names.
    Witness(usize),
}

/// One hunt: a bug, a first seed, and who looks.
#[derive(Clone, Copy, Debug)]
struct Hunt {
    /// In the order of [`all`].
    bug: usize,
    eyes: Eyes,
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

/// What all hunts came to.
#[derive(Clone, Debug, Default)]
pub struct Bag {
    /// By change.
    pub records: BTreeMap<&'static str, Record>,
    /// By witness, in the order of [`WITNESSES`].
    pub witnesses: BTreeMap<usize, Catch>,
}

impl Bag {
    fn len(&self) -> usize {
        let hunts = self.records.values().map(|record| record.all.len() + record.global.len());
        hunts.sum::<usize>() + self.witnesses.len()
    }
}

/// Hunts everything that `wanted` names, or all; by harm alone and with witnesses, too, if `both`.
/// `progress` hears of each hunt's end, how many there were and how many there are.
pub fn hunt_all(
    effort: Effort,
    wanted: &[String],
    both: bool,
    progress: impl Fn(&str, &Catch, usize, usize) + Sync,
) -> Bag {
    let everything: Vec<(&str, Mutation)> = all().collect();
    let hunts = hunts(&everything, effort, wanted, both);
    let (next, bag) = (AtomicUsize::new(0), Mutex::new(Bag::default()));
    let work = || {
        while let Some(hunt) = hunts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, mutation) = everything[hunt.bug];
            let caught = hunt_one(*hunt, mutation, name, effort);
            let mut bag = bag.lock().expect("no worker panics");
            let record = bag.records.entry(name).or_default();
            match hunt.eyes {
                Eyes::All => record.all.push(caught.clone()),
                Eyes::Harm => record.global.push(caught.clone()),
                Eyes::Witness(at) => drop(bag.witnesses.insert(at, caught.clone())),
            }
            progress(name, &caught, bag.len(), hunts.len());
        }
    };
    thread::scope(|scope| {
        for job in 0..effort.jobs {
            let named = thread::Builder::new().name(format!("hunt-{job}"));
            named.spawn_scoped(scope, work).expect("a thread");
        }
    });
    bag.into_inner().expect("no worker panics")
}

/// What is to be hunted, and by whom.
fn hunts(
    everything: &[(&'static str, Mutation)],
    effort: Effort,
    wanted: &[String],
    both: bool,
) -> Vec<Hunt> {
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    let mut hunts = Vec::new();
    for base in 1..=effort.bases {
        for (bug, (name, _)) in everything.iter().enumerate().filter(|(_, (name, _))| asked(name)) {
            let known = species::of(name);
            if !matches!(known, Species::Beyond { .. }) {
                hunts.push(Hunt { bug, eyes: Eyes::All, base });
            }
            // A decoy has no harm to see.
            if both && matches!(known, Species::Bug { .. }) {
                hunts.push(Hunt { bug, eyes: Eyes::Harm, base });
            }
        }
    }
    let witnesses = WITNESSES.iter().enumerate().filter(|(_, one)| both && asked(one.bug));
    for (at, witness) in witnesses {
        let bug = everything.iter().position(|(name, _)| *name == witness.bug);
        let bug = bug.expect("a witness names a bug");
        hunts.push(Hunt { bug, eyes: Eyes::Witness(at), base: 1 });
    }
    hunts
}

fn hunt_one(hunt: Hunt, mutation: Mutation, name: &str, effort: Effort) -> Catch {
    let off = match hunt.eyes {
        Eyes::All => Off::default(),
        Eyes::Harm => Off::of(LOCAL),
        Eyes::Witness(at) => Off::of(WITNESSES[at].off),
    };
    let (start, began) = (hunt.base * APART, usage::used_by_thread());
    let mut caught = Catch::default();
    let most = if species::is_decoy(name) { effort.seeds.min(DECOY_WORLDS) } else { effort.seeds };
    while caught.seeds < most && usage::used_by_thread() - began < effort.limit {
        let verdict = blind(start + caught.seeds, Some(mutation), off, false);
        caught.seeds += 1;
        caught.simulated += verdict.tally.simulated / 1_000_000;
        if let Some(violation) = verdict.violation {
            caught.property = Some(violation.property);
            break;
        }
    }
    caught.cpu_ms = (usage::used_by_thread() - began).as_millis() as u64;
    let first = hunt.eyes == Eyes::All && hunt.base == 1 && caught.property.is_some();
    if first && !effort.shrink.is_zero() {
        caught.short = shorten(start + caught.seeds - 1, mutation, effort.shrink);
    }
    caught
}

/// The faults and acts that are left of a failing world's trace after a while of shortening.
fn shorten(seed: u64, mutation: Mutation, limit: Duration) -> Option<(usize, usize)> {
    let trace = blind(seed, Some(mutation), Off::default(), true).trace?;
    let until = usage::used_by_thread() + limit;
    let short = shrink(&trace, Some(mutation), || usage::used_by_thread() < until, |_, _| {});
    Some((short.faults(), short.acts()))
}

/// Whether every bug was killed with all oracles, each oracle woken by its witness, and no harmless
/// change flagged.
///
/// # Errors
/// Names those that are wrong.
pub fn verdict(bag: &Bag) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, record) in &bag.records {
        let kills = record.all.iter().filter(|caught| caught.property.is_some()).count();
        match species::is_decoy(name) {
            true if kills > 0 => wrong.push(format!("{name} was flagged")),
            false if kills == 0 && !record.all.is_empty() && !species::is_rare(name) => {
                wrong.push(format!("{name} survived"));
            }
            _ => {}
        }
    }
    for (at, caught) in &bag.witnesses {
        let Witness { property, bug, .. } = WITNESSES[*at];
        if caught.property != Some(property) {
            let first = caught.property.map_or("nothing", Property::name);
            wrong.push(format!("{bug} broke {first}, not {}", property.name()));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}
