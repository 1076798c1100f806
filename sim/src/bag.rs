// SPDX-License-Identifier: Apache-2.0
//! What hunts came to, and the file that keeps it: a line for each hunt, written as it ends, so
//! that a table that was interrupted goes on where it stopped.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::Mutex,
};

use crate::{grade::all, oracle::Property};

/// Who looks for a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Eyes {
    /// All oracles.
    All,
    /// Those that see harm itself.
    Harm,
    /// All but those that the witness of a promise names.
    Witness(Property),
}

/// One hunt: a change, who looks, and from which first seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hunt {
    /// The change.
    pub name: &'static str,
    /// Who looks.
    pub eyes: Eyes,
    /// The number of the first seed.
    pub base: u64,
}

/// What a hunt came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catch {
    /// Worlds until a promise broke, or all.
    pub seeds: u64,
    /// The promise, if one broke.
    pub property: Option<Property>,
    /// Simulated seconds.
    pub simulated: u64,
    /// Processor time, in milliseconds.
    pub cpu_ms: u64,
    /// Worlds that broke a promise without the bug as well, and were passed over.
    pub unsound: u64,
    /// Worlds in which the simulator itself panicked.
    pub wrecks: u64,
    /// The faults and acts that are left of its trace, if it was shortened.
    pub short: Option<(usize, usize)>,
}

/// What all hunts came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bag(BTreeMap<Hunt, Catch>);

impl Bag {
    /// A hunt has ended.
    pub fn put(&mut self, hunt: Hunt, caught: Catch) {
        self.0.insert(hunt, caught);
    }

    /// Whether a hunt has ended.
    pub fn has(&self, hunt: &Hunt) -> bool {
        self.0.contains_key(hunt)
    }

    /// All hunts of a change by the same eyes, by base.
    pub fn of(&self, name: &str, eyes: Eyes) -> impl Iterator<Item = &Catch> {
        let same = move |(hunt, _): &(&Hunt, _)| hunt.name == name && hunt.eyes == eyes;
        self.0.iter().filter(same).map(|(_, caught)| caught)
    }

    /// Everything.
    pub fn all(&self) -> impl Iterator<Item = (&Hunt, &Catch)> {
        self.0.iter()
    }
}

/// The file that keeps a bag.
#[derive(Debug)]
pub struct Ledger(Mutex<File>);

impl Ledger {
    /// Opens the file, and gives what an earlier run of the same program with the same `terms` left
    /// in it; anything else in it is dropped.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(path: &Path, terms: &str) -> Result<(Ledger, Bag), String> {
        let fault = |why: std::io::Error| format!("{}: {why}", path.display());
        let head = format!("{terms}\n");
        let kept = fs::read_to_string(path).ok().and_then(|text| {
            let (first, rest) = text.split_once('\n')?;
            // A run that was killed may have left half a line.
            let (whole, _) = rest.rsplit_once('\n').unwrap_or_default();
            (first == terms).then(|| whole.to_owned())
        });
        let bag = Bag(kept.iter().flat_map(|lines| lines.lines().filter_map(read)).collect());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(fault)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).open(path).map_err(fault)?;
        let lines: String = bag.all().map(|(hunt, caught)| line(hunt, caught)).collect();
        file.write_all((head + &lines).as_bytes()).map_err(fault)?;
        Ok((Ledger(Mutex::new(file)), bag))
    }

    /// Keeps a hunt's end.
    pub fn keep(&self, hunt: &Hunt, caught: &Catch) {
        let mut file = self.0.lock().expect("no writer panics");
        if let Err(why) = file.write_all(line(hunt, caught).as_bytes()) {
            eprintln!("a hunt is not kept: {why}");
        }
    }
}

fn line(hunt: &Hunt, caught: &Catch) -> String {
    let eyes = match hunt.eyes {
        Eyes::All => "all",
        Eyes::Harm => "harm",
        Eyes::Witness(property) => property.name(),
    };
    let Catch { seeds, property, simulated, cpu_ms, unsound, wrecks, short } = caught;
    let broke = property.map_or("-", Property::name);
    let (faults, acts) = short.map_or((-1, -1), |(faults, acts)| (faults as i64, acts as i64));
    let (name, base) = (hunt.name, hunt.base);
    format!(
        "{name} {eyes} {base} {seeds} {broke} {simulated} {cpu_ms} {unsound} {wrecks} \
         {faults} {acts}\n"
    )
}

fn read(line: &str) -> Option<(Hunt, Catch)> {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, eyes, base, seeds, broke, numbers @ ..] = words.as_slice() else { return None };
    let (name, _) = all().find(|(one, _)| one == name)?;
    let property = |name: &str| Property::ALL.iter().copied().find(|one| one.name() == name);
    let eyes = match *eyes {
        "all" => Eyes::All,
        "harm" => Eyes::Harm,
        promise => Eyes::Witness(property(promise)?),
    };
    let numbers: Vec<i64> = numbers.iter().map_while(|number| number.parse().ok()).collect();
    let [simulated, cpu_ms, unsound, wrecks, faults, acts] = *numbers.as_slice() else {
        return None;
    };
    let short = usize::try_from(faults).ok().zip(usize::try_from(acts).ok());
    let caught = Catch {
        seeds: seeds.parse().ok()?,
        property: property(broke),
        simulated: simulated.cast_unsigned(),
        cpu_ms: cpu_ms.cast_unsigned(),
        unsound: unsound.cast_unsigned(),
        wrecks: wrecks.cast_unsigned(),
        short,
    };
    Some((Hunt { name, eyes, base: base.parse().ok()? }, caught))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Bag {
        let mut bag = Bag::default();
        let caught = Catch { seeds: 3, cpu_ms: 1_234, simulated: 99, ..Catch::default() };
        let hunt = Hunt { name: "EpochReused", eyes: Eyes::Harm, base: 2 };
        bag.put(hunt, caught.clone());
        let (property, short) = (Some(Property::Epochs), Some((2, 5)));
        let caught = Catch { property, short, unsound: 1, wrecks: 4, ..caught };
        bag.put(Hunt { eyes: Eyes::All, base: 10, ..hunt }, caught.clone());
        bag.put(Hunt { eyes: Eyes::Witness(Property::Rot), ..hunt }, caught);
        bag
    }

    #[test]
    fn what_was_kept_is_there_again_but_not_on_other_terms() {
        let folder = std::env::temp_dir().join(format!("menagerie-ledger-{}", std::process::id()));
        let (file, bag) = (folder.join("hunts"), some());
        let (ledger, empty) = Ledger::open(&file, "terms").expect("a file");
        assert_eq!(empty, Bag::default());
        bag.all().for_each(|(hunt, caught)| ledger.keep(hunt, caught));
        let mut half = OpenOptions::new().append(true).open(&file).expect("the file");
        half.write_all(b"EpochReused all 3 1 Ep").expect("half a line");
        assert_eq!(Ledger::open(&file, "terms").expect("a file").1, bag);
        assert_eq!(Ledger::open(&file, "terms").expect("a file").1, bag);
        assert_eq!(Ledger::open(&file, "other").expect("a file").1, Bag::default());
        fs::remove_dir_all(folder).expect("it is there");
    }
}
