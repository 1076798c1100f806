// SPDX-License-Identifier: Apache-2.0
//! Grades the oracles: each bug of the zoo, switched on, must break a promise within so many seeds,
//! and no change that does no harm may.
//!
//! All first hunts come first, then all second ones, and so on: when the time is over, everything
//! has been hunted about equally often.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use menagerie_core::zoo::Mutation;

use crate::{
    bag::{Bag, Catch, Eyes, Hunt},
    campaign::{Verdict, blind},
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
    /// The most processor time for each hunt; less in the first tier.
    pub limit: Duration,
    /// No hunt of a bug begins once those before it, with the same eyes, took so much.
    pub purse: Duration,
    /// The most processor time to shorten one trace; none are shortened if zero.
    pub shrink: Duration,
    /// No hunt begins once so much time has passed.
    pub wall: Duration,
    /// Threads.
    pub jobs: usize,
}

impl Effort {
    /// The most processor time for one hunt of a change.
    fn limit_of(&self, name: &str) -> Duration {
        let tier = match species::of(name) {
            Species::Bug { tier: 1, .. } => Duration::from_secs(60),
            _ => Duration::from_secs(600),
        };
        self.limit.min(tier)
    }
}

/// What is hunted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// These changes; all, if there are none.
    pub only: Vec<String>,
    /// With all oracles only, and without witnesses.
    pub quick: bool,
    /// Witnesses only.
    pub witnesses: bool,
}

impl Wanted {
    fn has(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|one| one == name)
    }

    /// The hunts, in their order.
    fn hunts(&self, bases: u64) -> Vec<Hunt> {
        let mut hunts = Vec::new();
        for base in 1..=bases {
            for (name, _) in all().filter(|(name, _)| !self.witnesses && self.has(name)) {
                let known = species::of(name);
                if !matches!(known, Species::Beyond { .. }) {
                    hunts.push(Hunt { name, eyes: Eyes::All, base });
                }
                // A decoy has no harm to see.
                let harms = matches!(known, Species::Bug { .. }) && species::spared(name).is_none();
                if harms && !self.quick {
                    hunts.push(Hunt { name, eyes: Eyes::Harm, base });
                }
            }
            if base == 1 && !self.quick {
                let witnesses = WITNESSES.iter().filter(|one| self.has(one.bug));
                hunts.extend(witnesses.map(|one| {
                    let (name, _) = all().find(|(name, _)| *name == one.bug).expect("a bug's name");
                    Hunt { name, eyes: Eyes::Witness(one.property), base }
                }));
            }
        }
        hunts
    }
}

/// Hunts what is `wanted` and not yet in the `bag`. `caught` hears of each hunt's end, and how many
/// of how many are over.
pub fn hunt_all(
    effort: Effort,
    wanted: &Wanted,
    bag: Bag,
    caught: impl Fn(Hunt, &Catch, usize, usize) + Sync,
) -> Bag {
    let hunts = wanted.hunts(effort.bases);
    let (next, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (bag, began) = (Mutex::new(bag), Instant::now());
    let work = || {
        while let Some(hunt) = hunts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begins = {
                let bag = bag.lock().expect("no worker panics");
                let spent = bag.of(hunt.name, hunt.eyes).map(|caught| caught.cpu_ms).sum();
                !bag.has(hunt) && Duration::from_millis(spent) < effort.purse
            };
            if !begins || began.elapsed() >= effort.wall {
                over.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let found = hunt_one(*hunt, effort, |seed, bug, off| blind(seed, bug, off, false));
            bag.lock().expect("no worker panics").put(*hunt, found.clone());
            caught(*hunt, &found, 1 + over.fetch_add(1, Ordering::Relaxed), hunts.len());
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

/// Runs worlds until a promise breaks that holds in the same world without the bug. A panic of the
/// simulator itself ends one world, and is counted.
fn hunt_one(
    hunt: Hunt,
    effort: Effort,
    world: impl Fn(u64, Option<Mutation>, Off) -> Verdict,
) -> Catch {
    let off = match hunt.eyes {
        Eyes::All => Off::default(),
        Eyes::Harm => Off::of(LOCAL),
        Eyes::Witness(property) => Off::of(species::witness_of(property).off),
    };
    let mutation = named(Some(hunt.name)).expect("it has its name");
    let (start, began) = (hunt.base * APART, usage::used_by_thread());
    let (mut caught, limit) = (Catch::default(), effort.limit_of(hunt.name));
    let decoy = species::is_decoy(hunt.name);
    let run = |seed, bug| catch_unwind(AssertUnwindSafe(|| world(seed, bug, off))).ok();
    let most = if decoy { effort.seeds.min(DECOY_WORLDS) } else { effort.seeds };
    while caught.seeds < most && usage::used_by_thread() - began < limit {
        let seed = start + caught.seeds;
        caught.seeds += 1;
        let Some(verdict) = run(seed, mutation) else {
            eprintln!("the simulator itself panicked in world {seed} with {}", hunt.name);
            caught.wrecks += 1;
            continue;
        };
        caught.simulated += verdict.tally.simulated / 1_000_000;
        let Some(violation) = verdict.violation else { continue };
        if run(seed, None).is_none_or(|sound| sound.violation.is_some()) {
            caught.unsound += 1;
            continue;
        }
        caught.property = Some(violation.property);
        break;
    }
    caught.cpu_ms = (usage::used_by_thread() - began).as_millis() as u64;
    let first = hunt.eyes == Eyes::All && hunt.base == 1 && caught.property.is_some();
    if first && !effort.shrink.is_zero() {
        caught.short = shorten(start + caught.seeds - 1, mutation, effort.shrink);
    }
    caught
}

/// The faults and acts that are left of a failing world's trace after a while of shortening.
fn shorten(seed: u64, mutation: Option<Mutation>, limit: Duration) -> Option<(usize, usize)> {
    let shorten = || {
        let trace = blind(seed, mutation, Off::default(), true).trace?;
        let until = usage::used_by_thread() + limit;
        let short = shrink(&trace, mutation, || usage::used_by_thread() < until, |_, _| {});
        Some((short.faults(), short.acts()))
    };
    catch_unwind(AssertUnwindSafe(shorten)).ok().flatten()
}

/// Whether every bug up to a tier was killed with all oracles, each oracle woken by its witness, no
/// harmless change flagged, and the simulator itself came through.
///
/// # Errors
/// Names those that are wrong.
pub fn verdict(bag: &Bag, tier: u8) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, _) in all() {
        let hunts: Vec<&Catch> = bag.of(name, Eyes::All).collect();
        let kills = hunts.iter().filter(|caught| caught.property.is_some()).count();
        match species::is_decoy(name) {
            true if kills > 0 => wrong.push(format!("{name} was flagged")),
            false if kills == 0 && !hunts.is_empty() && species::is_found_in(tier, name) => {
                wrong.push(format!("{name} survived"));
            }
            _ => {}
        }
    }
    for Witness { property, bug, .. } in WITNESSES {
        for caught in bag.of(bug, Eyes::Witness(*property)) {
            if caught.property != Some(*property) {
                let first = caught.property.map_or("nothing", Property::name);
                wrong.push(format!("{bug} broke {first}, not {}", property.name()));
            }
        }
    }
    let wrecks: u64 = bag.all().map(|(_, caught)| caught.wrecks).sum();
    if wrecks > 0 {
        wrong.push(format!("the simulator itself panicked in {wrecks} worlds"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle::Violation, tally::Tally};

    const EFFORT: Effort = Effort {
        bases: 3,
        seeds: 1,
        limit: Duration::from_secs(60),
        purse: Duration::from_millis(50),
        shrink: Duration::ZERO,
        wall: Duration::from_secs(3_600),
        jobs: 2,
    };

    #[test]
    fn hunts_come_round_by_round_and_each_witness_once() {
        let wanted = Wanted::default();
        let hunts = wanted.hunts(3);
        assert!(hunts.is_sorted_by_key(|hunt| hunt.base));
        for one in WITNESSES {
            let eyes = Eyes::Witness(one.property);
            assert_eq!(hunts.iter().filter(|hunt| hunt.eyes == eyes).count(), 1);
        }
        let quick = Wanted { quick: true, ..wanted };
        assert!(quick.hunts(1).iter().all(|hunt| hunt.eyes == Eyes::All));
        let one = Wanted { only: vec!["EpochReused".to_owned()], ..quick };
        assert_eq!(one.hunts(2).len(), 2);
    }

    #[test]
    fn what_was_hunted_before_is_not_hunted_again_nor_what_spent_its_purse() {
        let effort = Effort { limit: Duration::ZERO, ..EFFORT };
        let only = vec!["EpochReused".to_owned()];
        let wanted = Wanted { only, quick: true, ..Wanted::default() };
        let mut bag = Bag::default();
        let name = named_hunt("EpochReused");
        bag.put(name, Catch { seeds: 7, cpu_ms: 20, ..Catch::default() });
        let (bag, hunts) = (hunt_all(effort, &wanted, bag.clone(), |_, _, _, _| {}), 3);
        assert_eq!(bag.of("EpochReused", Eyes::All).count(), hunts);
        assert_eq!(bag.of("EpochReused", Eyes::All).next().map(|caught| caught.seeds), Some(7));
        let mut spent = Bag::default();
        spent.put(name, Catch { cpu_ms: 50, ..Catch::default() });
        let spent = hunt_all(effort, &wanted, spent, |_, _, _, _| {});
        assert_eq!(spent.of("EpochReused", Eyes::All).count(), 1);
    }

    #[test]
    fn neither_a_panic_nor_a_world_that_fails_anyhow_is_a_kill_or_ends_the_hunt() {
        let world = |seed: u64, mutation: Option<Mutation>, _: Off| {
            let nth = seed % APART;
            assert!(nth > 0 || mutation.is_none(), "the simulator ends");
            let breaks = nth == 1 || nth == 3 && mutation.is_some();
            let broken = Violation::new(Property::Epochs, String::new());
            Verdict {
                seed,
                hash: 0,
                tally: Tally::default(),
                violation: breaks.then_some(broken),
                account: Vec::new(),
                story: String::new(),
                trace: None,
            }
        };
        let effort = Effort { seeds: 10, ..EFFORT };
        let caught = hunt_one(named_hunt("EpochReused"), effort, world);
        assert_eq!((caught.seeds, caught.property), (4, Some(Property::Epochs)));
        assert_eq!((caught.wrecks, caught.unsound), (1, 1));
        let mut bag = Bag::default();
        bag.put(named_hunt("EpochReused"), caught);
        let wrong = verdict(&bag, 2).expect_err("the simulator panicked");
        assert_eq!(wrong, "the simulator itself panicked in 1 worlds");
    }

    fn named_hunt(name: &'static str) -> Hunt {
        Hunt { name, eyes: Eyes::All, base: 1 }
    }
}
