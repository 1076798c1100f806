// SPDX-License-Identifier: Apache-2.0
//! The table of docs/ZOO.md: what hunts came to, between two marks that leave the rest alone.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::{
    bag::{Bag, Catch, Eyes},
    grade::{Effort, all},
    oracle::Property,
    species::{self, Species, WITNESSES, Witness},
};

/// The marks in docs/ZOO.md: what stands between them is written by `menagerie-sim zoo`.
const BEGIN: &str = "<!-- written by menagerie-sim zoo, from here -->\n";
const END: &str = "<!-- to here -->\n";

/// Writes the table into the file.
///
/// # Errors
/// When the file cannot be read or written, or has no marks.
pub fn write(out: &Path, bag: &Bag, effort: Effort) -> Result<(), String> {
    let fault = |why: String| format!("{}: {why}", out.display());
    let old = fs::read_to_string(out).map_err(|why| fault(why.to_string()))?;
    let (before, rest) = old.split_once(BEGIN).ok_or_else(|| fault("no begin mark".into()))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| fault("no end mark".into()))?;
    let new = format!("{before}{BEGIN}{}{END}{after}", text(bag, effort));
    fs::write(out, new).map_err(|why| fault(why.to_string()))
}

/// How hard was hunted, and what it came to on the whole.
fn head(bag: &Bag, effort: Effort) -> String {
    let Effort { bases, seeds, limit, purse, .. } = effort;
    let (limit, purse) = (limit.as_secs(), purse.as_secs());
    let build = if cfg!(debug_assertions) { "a development" } else { "a release" };
    let sum = |of: fn(&Catch) -> u64| bag.all().map(|(_, caught)| of(caught)).sum::<u64>();
    let (spent, unsound) = (sum(|caught| caught.cpu_ms) / 1_000, sum(|caught| caught.unsound));
    let worlds = sum(|caught| caught.seeds);
    let mut text = format!(
        "Hunted by {build} build from {bases} first seeds each, of at most {seeds} worlds and \
         {limit} seconds of one core each (60 in tier 1). No hunt of a bug began once those before \
         it, by the same eyes, had taken {purse} seconds: then fewer hunts than {bases} stand in \
         its row. Everything took {worlds} worlds and {spent} seconds of one core. {unsound} of \
         those worlds broke a promise without any bug, too, and did not count.\n\n"
    );
    for (eyes, whose) in [(Eyes::All, "with all oracles"), (Eyes::Harm, "by harm alone")] {
        for tier in 1..=3 {
            text += &score(bag, tier, eyes, whose);
        }
    }
    text.push('\n');
    text
}

/// What one tier came to.
fn score(bag: &Bag, tier: u8, eyes: Eyes, whose: &str) -> String {
    let in_tier = |name: &&str| {
        let one = species::of(name);
        matches!(one, Species::Bug { tier: of, .. } if of == tier)
            && bag.of(name, eyes).next().is_some()
    };
    let names: Vec<&str> = all().map(|(name, _)| name).filter(in_tier).collect();
    if names.is_empty() {
        return String::new();
    }
    let killed = |name: &&&str| bag.of(name, eyes).any(|caught| caught.property.is_some());
    let killed = names.iter().filter(killed).count();
    let mut hunts: Vec<u64> = Vec::new();
    let mut slowest = (0, "");
    for name in &names {
        let mut own: Vec<u64> = bag.of(name, eyes).map(|caught| caught.cpu_ms).collect();
        own.sort_unstable();
        slowest = slowest.max((own[own.len() / 2], *name));
        hunts.append(&mut own);
    }
    hunts.sort_unstable();
    let (all, half) = (names.len(), tenths(hunts[hunts.len() / 2]));
    let most = tenths(hunts[(hunts.len() * 95 / 100).min(hunts.len() - 1)]);
    let (slow, name) = (tenths(slowest.0), slowest.1);
    format!(
        "- Tier {tier}, {whose}: {killed} of {all} bugs killed; {half} CPU seconds in the median \
         of all hunts, {most} in 95 of a hundred; {slow} in the median of the slowest, {name}.\n"
    )
}

fn tenths(ms: u64) -> String {
    format!("{}.{}", ms / 1_000, ms % 1_000 / 100)
}

/// The table, and what is said ahead of it.
pub fn text(bag: &Bag, effort: Effort) -> String {
    head(bag, effort) + &bugs(bag) + &beyond() + &decoys(bag) + &witnesses(bag)
}

fn bugs(bag: &Bag) -> String {
    let mut table = String::from(
        "| bug | row | tier | hunts | seeds to kill (median, worst) | simulated s | CPU s (median, \
         worst) | first promise | as expected | shortened to | by harm alone: hunts | seeds | \
         simulated s | CPU s | promise |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, _) in all() {
        let Species::Bug { rows, tier, expected } = species::of(name) else { continue };
        let hunted =
            [Eyes::All, Eyes::Harm].iter().any(|eyes| bag.of(name, *eyes).next().is_some());
        if hunted {
            let row = bug(bag, name, (rows, tier), expected);
            writeln!(table, "{row}").expect("a string takes all");
        }
    }
    table
}

fn beyond() -> String {
    let mut table =
        String::from("\n| not hunted | row | why, and where it is shown |\n|---|---|---|\n");
    for (name, _) in all() {
        if let Species::Beyond { rows, why } = species::of(name) {
            writeln!(table, "| {name} | {rows} | {why} |").expect("a string takes all");
        }
    }
    table
}

/// The row of one bug.
fn bug(bag: &Bag, name: &str, (rows, tier): (&str, u8), expected: &[Property]) -> String {
    let hunts: Vec<&Catch> = bag.of(name, Eyes::All).collect();
    let killers: Vec<Property> = hunts.iter().filter_map(|caught| caught.property).collect();
    let right = killers.iter().filter(|first| expected.contains(first)).count();
    let short = hunts.iter().find_map(|caught| caught.short);
    let short =
        short.map_or_else(String::new, |(faults, acts)| format!("{faults} faults, {acts} acts"));
    let harm: Vec<&Catch> = bag.of(name, Eyes::Harm).collect();
    let harm = match species::spared(name) {
        Some(why) => format!("none: {why} | | | | "),
        None => {
            let Summary { seeds, simulated, cpu, first } = summary(&harm);
            format!("{} | {seeds} | {simulated} | {cpu} | {first}", harm.len())
        }
    };
    let Summary { seeds, simulated, cpu, first } = summary(&hunts);
    let (times, kills) = (hunts.len(), killers.len());
    format!(
        "| {name} | {rows} | {tier} | {times} | {seeds} | {simulated} | {cpu} | {first} | \
         {right} of {kills} | {short} | {harm} |"
    )
}

fn decoys(bag: &Bag) -> String {
    let mut table = String::from("\n| harmless change | worlds | flagged |\n|---|---|---|\n");
    for (name, _) in all().filter(|(name, _)| species::is_decoy(name)) {
        let worlds: u64 = bag.of(name, Eyes::All).map(|caught| caught.seeds).sum();
        let flags = bag.of(name, Eyes::All).filter_map(|caught| caught.property);
        let flags: Vec<&str> = flags.map(Property::name).collect();
        let flags = if flags.is_empty() { "never".to_owned() } else { flags.join(", ") };
        if worlds > 0 {
            writeln!(table, "| {name} | {worlds} | {flags} |").expect("a string takes all");
        }
    }
    table
}

fn witnesses(bag: &Bag) -> String {
    let mut table = String::from(
        "\n| promise | is the first to name | without | which then breaks first | worlds |\n\
         |---|---|---|---|---|\n",
    );
    for Witness { property, bug, off } in WITNESSES {
        let Some(caught) = bag.of(bug, Eyes::Witness(*property)).next() else { continue };
        let off: Vec<&str> = off.iter().map(|property| property.name()).collect();
        let (off, first) = (off.join(", "), caught.property.map_or("nothing", Property::name));
        let (property, worlds) = (property.name(), caught.seeds);
        writeln!(table, "| {property} | {bug} | {off} | {first} | {worlds} |")
            .expect("a string takes all");
    }
    table
}

/// Some hunts of one bug, for the table.
#[derive(Default)]
struct Summary {
    seeds: String,
    simulated: u64,
    cpu: String,
    first: String,
}

fn summary(hunts: &[&Catch]) -> Summary {
    if hunts.is_empty() {
        return Summary::default();
    }
    let killed: Vec<&&Catch> = hunts.iter().filter(|caught| caught.property.is_some()).collect();
    let middle = |mut values: Vec<u64>| {
        values.sort_unstable();
        (values[values.len() / 2], values[values.len() - 1])
    };
    let simulated = hunts.iter().map(|caught| caught.simulated).sum::<u64>() / hunts.len() as u64;
    let (cpu, most) = middle(hunts.iter().map(|caught| caught.cpu_ms).collect());
    let cpu = format!("{}, {}", tenths(cpu), tenths(most));
    let mut seeds = match killed.len() {
        0 => "survived".to_owned(),
        _ => {
            let (median, worst) = middle(killed.iter().map(|caught| caught.seeds).collect());
            format!("{median}, {worst}")
        }
    };
    let missed = hunts.len() - killed.len();
    if missed > 0 && !killed.is_empty() {
        write!(seeds, "; {missed} of {} missed", hunts.len()).expect("a string takes all");
    }
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for property in killed.iter().filter_map(|caught| caught.property) {
        *named.entry(property.name()).or_default() += 1;
    }
    let mut named: Vec<(&str, usize)> = named.into_iter().collect();
    named.sort_by_key(|(name, times)| (usize::MAX - times, *name));
    let named: Vec<&str> = named.into_iter().map(|(name, _)| name).collect();
    Summary { seeds, simulated, cpu, first: named.join(", ") }
}
