// SPDX-License-Identifier: Apache-2.0
//! Grades the oracles: each bug of the zoo, switched on, must break a promise within so many seeds.

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use menagerie_core::zoo::Mutation;

use crate::campaign::{Plan, campaign};

/// Seeds between two bases.
const APART: u64 = 1_000_000;

/// Why a bug is not hunted that a world could show.
const BROADCAST: &str = "not found in a world yet; shown in `zab`";

/// The same, for bugs of elections.
const ELECTION: &str = "not found in a world yet; shown in `election`";

/// Bugs that no world shows, and why: unit tests beside the code show them instead.
const BEYOND: &[(&str, &str)] = &[
    ("MovedSessionServed", "the old link is hung up on before it could ask; shown in `session`"),
    ("ClosingSessionCreates", "requests of closing sessions are dropped before; shown in `prep`"),
    ("TearNotCut", "each start stops at a tear, so it costs nothing to us; shown in `store`"),
    ("ReplyOvertakesEvent", "needs more than a thousand watchers; shown in `watch`"),
    ("VersionWrapsToAny", "needs two thousand million updates of one znode; shown in `prep`"),
    ("CounterRollsOver", "needs four thousand million transactions of one epoch; shown in `zab`"),
    ("DeafAfterBadNotification", "nobody sends servers bad bytes yet; shown in `election`"),
    ("EmptyServerVotes", "no disk is wiped yet; shown in `election`"),
    ("EpochBeforeLog", BROADCAST),
    ("ProposalsAckedEarly", BROADCAST),
    ("JoinerDropsCommits", BROADCAST),
    ("JoinerMissesProposals", BROADCAST),
    ("TreeEndsEarly", BROADCAST),
    ("SyncAsksNobody", BROADCAST),
    ("TieBreakForgetsEpoch", ELECTION),
    ("GreetsWithOldVote", ELECTION),
    ("RipeningIgnoresSettled", ELECTION),
    ("LeaderUnconfirmed", ELECTION),
    ("SettledVotesComparedWhole", ELECTION),
];

/// All bugs with their names.
pub fn all() -> impl Iterator<Item = (&'static str, Mutation)> {
    Mutation::ALL.iter().copied()
}

/// The bug of a name; no name is no bug.
///
/// # Errors
/// When no bug has the name.
pub fn named(name: Option<&str>) -> Result<Option<Mutation>, String> {
    let Some(name) = name else { return Ok(None) };
    let names = || all().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    let found = all().find(|(one, _)| *one == name);
    found.map(|(_, bug)| Some(bug)).ok_or_else(|| format!("no such bug; there are: {}", names()))
}

/// One bug's hunts.
struct Hunts {
    name: &'static str,
    /// Seeds to the first broken promise, for each base; none if the bug survived.
    seeds: Vec<Option<u64>>,
    simulated: u64,
    wall_ms: u128,
    properties: Vec<&'static str>,
}

fn hunt(name: &'static str, mutation: Mutation, most: u64, bases: u64) -> Hunts {
    let mut hunts =
        Hunts { name, seeds: Vec::new(), simulated: 0, wall_ms: 0, properties: Vec::new() };
    for base in 1..=bases {
        let began = Instant::now();
        let start = base * APART;
        let (seeds, mutation) = (most, Some(mutation));
        let plan = Plan { start, seeds, servers: None, liveness: false, mutation };
        let report = campaign(plan, 1, true, |_| {});
        hunts.wall_ms += began.elapsed().as_millis();
        hunts.simulated += report.tally.simulated / 1_000_000;
        let found = report.failures.first();
        hunts.seeds.push(found.map(|verdict| verdict.seed - start + 1));
        let property = found.and_then(|verdict| verdict.violation.as_ref());
        if let Some(violation) = property {
            let property = violation.property.name();
            if !hunts.properties.contains(&property) {
                hunts.properties.push(property);
            }
        }
    }
    hunts
}

/// Hunts each bug once, for a gate.
///
/// # Errors
/// When a bug survived.
pub fn quick(most: u64) -> Result<(), String> {
    let mut survivors = Vec::new();
    for (name, mutation) in all().filter(|(name, _)| beyond(name).is_none()) {
        let hunts = hunt(name, mutation, most, 1);
        match hunts.seeds[0] {
            Some(seeds) => println!("{name}: {seeds} seeds, {}", hunts.properties.join(", ")),
            None => survivors.push(name),
        }
    }
    if survivors.is_empty() { Ok(()) } else { Err(format!("survived: {}", survivors.join(", "))) }
}

fn beyond(name: &str) -> Option<&'static str> {
    BEYOND.iter().find(|(one, _)| *one == name).map(|(_, why)| *why)
}

/// Hunts all bugs and writes the table.
///
/// # Errors
/// When a bug survived every hunt, or the file cannot be written.
pub fn write(out: &Path, most: u64, bases: u64) -> Result<(), String> {
    let mut table = format!(
        "# The zoo\n\n\
         Bugs of coordination services, switched on one at a time in a simulated server, and how \
         soon an oracle names them. Written by `menagerie-sim zoo`: {bases} hunts for each bug, \
         from independent first seeds, of at most {most} seeds each.\n\n\
         | bug | seeds to kill (median, worst) | simulated s | wall s on one core | property |\n\
         |---|---|---|---|---|\n"
    );
    let mut survivors = Vec::new();
    for (name, mutation) in all() {
        if let Some(why) = beyond(name) {
            let row = format!("| {name} | {why} | | | |");
            println!("{row}");
            writeln!(table, "{row}").expect("a string takes all");
            continue;
        }
        let hunts = hunt(name, mutation, most, bases);
        let killed: Option<Vec<u64>> = hunts.seeds.iter().copied().collect();
        let shown = match killed {
            Some(mut seeds) => {
                seeds.sort_unstable();
                format!("{}, {}", seeds[seeds.len() / 2], seeds[seeds.len() - 1])
            }
            None => {
                let missed = hunts.seeds.iter().filter(|seeds| seeds.is_none()).count();
                if missed == hunts.seeds.len() {
                    survivors.push(hunts.name);
                }
                format!("survived {missed} of {bases} hunts")
            }
        };
        let row = format!(
            "| {} | {shown} | {} | {}.{} | {} |",
            hunts.name,
            hunts.simulated,
            hunts.wall_ms / 1_000,
            hunts.wall_ms % 1_000 / 100,
            hunts.properties.join(", "),
        );
        println!("{row}");
        writeln!(table, "{row}").expect("a string takes all");
    }
    fs::write(out, table).map_err(|why| format!("{}: {why}", out.display()))?;
    if survivors.is_empty() { Ok(()) } else { Err(format!("survived: {}", survivors.join(", "))) }
}
