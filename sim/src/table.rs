// SPDX-License-Identifier: Apache-2.0
//! The table of docs/ZOO.md: what hunts came to, between two marks that leave the rest alone.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use crate::{
    grade::{Bag, Catch, Effort, all},
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
    let text = fs::read_to_string(out).map_err(|why| fault(why.to_string()))?;
    let (before, rest) = text.split_once(BEGIN).ok_or_else(|| fault("no begin mark".into()))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| fault("no end mark".into()))?;
    let Effort { bases, seeds, limit, .. } = effort;
    let build = if cfg!(debug_assertions) { "a development" } else { "a release" };
    let head = format!(
        "Hunted by {build} build from {bases} first seeds each, of at most {seeds} worlds and {} \
         seconds of one core each.\n\n",
        limit.as_secs()
    );
    let text = format!("{before}{BEGIN}{head}{}{END}{after}", rows(bag));
    fs::write(out, text).map_err(|why| fault(why.to_string()))
}

/// The table.
pub fn rows(bag: &Bag) -> String {
    bugs(bag) + &decoys(bag) + &witnesses(bag)
}

fn bugs(bag: &Bag) -> String {
    let mut table = String::from(
        "| bug | row | tier | seeds to kill (median, worst) | simulated s | CPU s (median, worst) \
         | first promise | as expected | shortened to | by harm alone: seeds | CPU s | promise |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, _) in all() {
        let (rows, tier, expected) = match species::of(name) {
            Species::Bug { rows, tier, expected } => (rows, tier, expected),
            Species::Beyond { rows, why } => {
                writeln!(table, "| {name} | {rows} | - | not hunted: {why} | | | | | | | | |")
                    .expect("a string takes all");
                continue;
            }
            Species::Decoy => continue,
        };
        let Some(record) = bag.records.get(name) else { continue };
        let (seeds, cpu, simulated, first) = summary(&record.all);
        let right = record.all.iter().filter_map(|caught| caught.property);
        let right = right.filter(|first| expected.contains(first)).count();
        let kills = record.all.iter().filter(|caught| caught.property.is_some()).count();
        let short = record.all.iter().find_map(|caught| caught.short);
        let short = short
            .map_or_else(String::new, |(faults, acts)| format!("{faults} faults, {acts} acts"));
        let (harm_seeds, harm_cpu, _, harm) = summary(&record.global);
        writeln!(
            table,
            "| {name} | {rows} | {tier} | {seeds} | {simulated} | {cpu} | {first} | \
             {right} of {kills} | {short} | {harm_seeds} | {harm_cpu} | {harm} |"
        )
        .expect("a string takes all");
    }
    table
}

fn decoys(bag: &Bag) -> String {
    let mut table = String::from("\n| harmless change | worlds | flagged |\n|---|---|---|\n");
    for (name, record) in bag.records.iter().filter(|(name, _)| species::is_decoy(name)) {
        let worlds: u64 = record.all.iter().map(|caught| caught.seeds).sum();
        let flags: Vec<&str> =
            record.all.iter().filter_map(|caught| caught.property).map(Property::name).collect();
        let flags = if flags.is_empty() { "never".to_owned() } else { flags.join(", ") };
        writeln!(table, "| {name} | {worlds} | {flags} |").expect("a string takes all");
    }
    table
}

fn witnesses(bag: &Bag) -> String {
    let mut table = String::from(
        "\n| promise | is the first to name | without | which then breaks first | worlds |\n\
         |---|---|---|---|---|\n",
    );
    for (at, caught) in &bag.witnesses {
        let Witness { property, bug, off } = WITNESSES[*at];
        let off: Vec<&str> = off.iter().map(|property| property.name()).collect();
        let (off, first) = (off.join(", "), caught.property.map_or("nothing", Property::name));
        let (property, worlds) = (property.name(), caught.seeds);
        writeln!(table, "| {property} | {bug} | {off} | {first} | {worlds} |")
            .expect("a string takes all");
    }
    table
}

/// Seeds, processor time, simulated time and promises of some hunts.
fn summary(hunts: &[Catch]) -> (String, String, u64, String) {
    if hunts.is_empty() {
        return Default::default();
    }
    let killed: Vec<&Catch> = hunts.iter().filter(|caught| caught.property.is_some()).collect();
    let middle = |mut values: Vec<u64>| {
        values.sort_unstable();
        (values[values.len() / 2], values[values.len() - 1])
    };
    let simulated = hunts.iter().map(|caught| caught.simulated).sum::<u64>() / hunts.len() as u64;
    let (cpu, most) = middle(hunts.iter().map(|caught| caught.cpu_ms).collect());
    let tenths = |ms: u64| format!("{}.{}", ms / 1_000, ms % 1_000 / 100);
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
    (seeds, cpu, simulated, named.join(", "))
}
