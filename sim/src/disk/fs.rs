// SPDX-License-Identifier: Apache-2.0
//! What a file system holds, and what of it a crash may take.
//!
//! Each file and each folder has two faces: what reads see now, and what is durable. Between them
//! stands a list of operations that no sync has covered. A power loss applies any legal subset of
//! that list to the durable face: writes in any order, torn at sectors or within one, lengths with
//! or without the bytes, folder entries lost, renamed or not. Making a folder is durable at once:
//! nothing below depends on a folder that is not there.

use std::{collections::BTreeMap, sync::Arc};

use menagerie_core::io::{Dir, DirEntry};
use serde::{Deserialize, Serialize};

use super::content::{Content, SECTOR};
use crate::rng::Rng;

/// A file apart from its names.
pub type Inode = u64;

/// An operation on a file that no sync has covered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Write { offset: u64, data: Arc<Vec<u8>> },
    Zero { offset: u64, len: u64 },
    Truncate { len: u64 },
}

/// An operation on a folder that no sync has covered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Link { name: String, inode: Inode },
    Rename { from: String, to: String, inode: Inode },
    Unlink { name: String },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File {
    now: Content,
    durable: Content,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Folder {
    now: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
    unsynced: Vec<Entry>,
}

/// How much of what was not synced a power loss keeps. Saved in traces: variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// Everything: the cache was just written back.
    All,
    /// Nothing that was not synced.
    Nothing,
    /// The oldest operations up to a point, the last one torn.
    Prefix,
    /// Any of them, each torn anywhere.
    Any,
}

/// The file system: folders, files, and what a crash may take of both.
#[derive(Clone, Debug, Default)]
pub struct Fs {
    folders: BTreeMap<Dir, Folder>,
    files: BTreeMap<Inode, File>,
    next: Inode,
    /// Whether `Dir::Log` and `Dir::Snap` are one folder, as without `dataLogDir`.
    pub one_folder: bool,
    /// What the last power loss took, for probes.
    pub lost: Lost,
}

/// What power losses took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Writes that were kept in part.
    pub torn_writes: u64,
    /// Writes that were lost whole.
    pub whole_writes: u64,
    /// Folder entries (made, renamed, removed) that were undone.
    pub entries: u64,
}

impl Fs {
    fn alias(&self, dir: Dir) -> Dir {
        if self.one_folder && dir == Dir::Log { Dir::Snap } else { dir }
    }

    fn folder(&mut self, dir: Dir) -> Option<&mut Folder> {
        let dir = self.alias(dir);
        self.folders.get_mut(&dir)
    }

    /// Makes a folder.
    pub fn make(&mut self, dir: Dir) {
        let dir = self.alias(dir);
        self.folders.entry(dir).or_default();
    }

    /// The names in a folder, sorted; `None` without the folder.
    pub fn list(&self, dir: Dir) -> Option<Vec<DirEntry>> {
        let folder = self.folders.get(&self.alias(dir))?;
        let entry = |(name, inode): (&String, &Inode)| DirEntry {
            name: name.clone(),
            len: self.files[inode].now.len(),
        };
        Some(folder.now.iter().map(entry).collect())
    }

    /// The file of a name.
    pub fn find(&self, dir: Dir, name: &str) -> Option<Inode> {
        self.folders.get(&self.alias(dir))?.now.get(name).copied()
    }

    /// Creates a file, or empties the one that has the name; `None` without the folder.
    pub fn create(&mut self, dir: Dir, name: &str) -> Option<Inode> {
        if let Some(inode) = self.find(dir, name) {
            self.truncate(inode, 0);
            return Some(inode);
        }
        let inode = self.next;
        let folder = self.folder(dir)?;
        folder.now.insert(name.to_owned(), inode);
        folder.unsynced.push(Entry::Link { name: name.to_owned(), inode });
        self.next += 1;
        self.files.insert(inode, File::default());
        Some(inode)
    }

    /// Renames; false without a file of that name.
    pub fn rename(&mut self, dir: Dir, from: &str, to: &str) -> bool {
        let Some(folder) = self.folder(dir) else { return false };
        let Some(inode) = folder.now.remove(from) else { return false };
        folder.now.insert(to.to_owned(), inode);
        folder.unsynced.push(Entry::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        true
    }

    /// Removes a name; false without it.
    pub fn unlink(&mut self, dir: Dir, name: &str) -> bool {
        let Some(folder) = self.folder(dir) else { return false };
        if folder.now.remove(name).is_none() {
            return false;
        }
        folder.unsynced.push(Entry::Unlink { name: name.to_owned() });
        true
    }

    /// Makes a folder's entries durable.
    pub fn sync_dir(&mut self, dir: Dir) {
        if let Some(folder) = self.folder(dir) {
            folder.unsynced.clear();
            folder.durable = folder.now.clone();
        }
    }

    fn file(&mut self, inode: Inode) -> &mut File {
        self.files.get_mut(&inode).expect("an open file is kept")
    }

    /// A file's bytes as reads see them.
    pub fn content(&self, inode: Inode) -> &Content {
        &self.files[&inode].now
    }

    /// Writes to a file.
    pub fn write(&mut self, inode: Inode, offset: u64, data: &Arc<Vec<u8>>) {
        let file = self.file(inode);
        file.now.write(offset, data);
        file.unsynced.push(Change::Write { offset, data: Arc::clone(data) });
    }

    /// Writes zeroes to a file.
    pub fn zero(&mut self, inode: Inode, offset: u64, len: u64) {
        let file = self.file(inode);
        file.now.zero(offset, len);
        file.unsynced.push(Change::Zero { offset, len });
    }

    /// Sets a file's length.
    pub fn truncate(&mut self, inode: Inode, len: u64) {
        let file = self.file(inode);
        file.now.truncate(len);
        file.unsynced.push(Change::Truncate { len });
    }

    /// Makes a file's bytes and length durable (not its names).
    pub fn sync(&mut self, inode: Inode) {
        let file = self.file(inode);
        for change in std::mem::take(&mut file.unsynced) {
            change.apply(&mut file.durable);
        }
    }

    /// A sync fails: the system may drop dirty pages and call them clean, so no later sync brings
    /// them back, though reads still see them.
    pub fn fail_sync(&mut self, inode: Inode, rng: &mut Rng) {
        self.file(inode).unsynced.retain(|_| rng.one_in(2));
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        let named = self.folders.values().flat_map(|folder| folder.now.values());
        named.map(|inode| self.files[inode].now.len()).sum()
    }

    /// Flips a bit, everywhere: what was read well is now bad.
    pub fn rot(&mut self, inode: Inode, offset: u64, bit: u8) {
        let file = self.file(inode);
        file.now.flip(offset, bit);
        if offset < file.durable.len() {
            file.durable.flip(offset, bit);
        }
    }

    /// A file's bytes on the platter.
    pub fn durable(&self, inode: Inode) -> &Content {
        &self.files[&inode].durable
    }

    /// A byte as reads see it and as it stands on the platter, where it stands.
    pub fn byte(&self, inode: Inode, offset: u64) -> (Option<u8>, Option<u8>) {
        let of = |content: &Content| content.read(offset, 1).first().copied();
        (of(&self.files[&inode].now), of(&self.files[&inode].durable))
    }

    /// Puts a byte back, where there still is one.
    pub fn restore(&mut self, inode: Inode, offset: u64, was: (Option<u8>, Option<u8>)) {
        let Some(file) = self.files.get_mut(&inode) else { return };
        for (content, was) in [(&mut file.now, was.0), (&mut file.durable, was.1)] {
            if let Some(byte) = was
                && offset < content.len()
            {
                content.write(offset, &[byte]);
            }
        }
    }

    /// The process died, the system did not: everything is as reads saw it.
    pub fn forget_handles(&mut self) {
        let named: Vec<Inode> = self
            .folders
            .values()
            .flat_map(|folder| folder.now.values().chain(folder.durable.values()))
            .chain(self.folders.values().flat_map(|folder| folder.unsynced.iter()).filter_map(
                |entry| match entry {
                    Entry::Link { inode, .. } | Entry::Rename { inode, .. } => Some(inode),
                    Entry::Unlink { .. } => None,
                },
            ))
            .copied()
            .collect();
        self.files.retain(|inode, _| named.contains(inode));
    }

    /// The power failed: of what no sync had covered, `keep` says how much survives.
    pub fn power_loss(&mut self, keep: Keep, rng: &mut Rng) {
        let Fs { files, folders, lost, .. } = self;
        for file in files.values_mut() {
            let survivors = survivors(file.unsynced.len(), keep, rng);
            for (change, fate) in std::mem::take(&mut file.unsynced).iter().zip(survivors) {
                match fate {
                    Fate::Kept => change.apply(&mut file.durable),
                    Fate::Lost => lost.whole_writes += 1,
                    Fate::Torn => {
                        lost.torn_writes += 1;
                        change.tear(&mut file.durable, rng);
                    }
                }
            }
            file.now = file.durable.clone();
        }
        for folder in folders.values_mut() {
            let survivors = survivors(folder.unsynced.len(), keep, rng);
            for (entry, fate) in std::mem::take(&mut folder.unsynced).iter().zip(survivors) {
                // An entry is there or not: file systems journal it whole.
                if fate == Fate::Lost || (fate == Fate::Torn && rng.one_in(2)) {
                    lost.entries += 1;
                } else {
                    entry.apply(&mut folder.durable);
                }
            }
            folder.now = folder.durable.clone();
        }
        self.forget_handles();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Torn,
    Lost,
}

fn survivors(n: usize, keep: Keep, rng: &mut Rng) -> Vec<Fate> {
    let point = if n == 0 { 0 } else { rng.index(n) };
    let fate = |at: usize, rng: &mut Rng| match keep {
        Keep::All => Fate::Kept,
        Keep::Nothing => Fate::Lost,
        Keep::Prefix if at < point => Fate::Kept,
        Keep::Prefix if at == point => Fate::Torn,
        Keep::Prefix => Fate::Lost,
        Keep::Any => *rng.pick(&[Fate::Kept, Fate::Torn, Fate::Lost]),
    };
    (0..n).map(|at| fate(at, rng)).collect()
}

impl Change {
    fn apply(&self, content: &mut Content) {
        match self {
            Change::Write { offset, data } => content.write(*offset, data),
            Change::Zero { offset, len } => content.zero(*offset, *len),
            Change::Truncate { len } => content.truncate(*len),
        }
    }

    /// Some sectors of a write reach the platter, one of them perhaps in part; the length may be
    /// written without the bytes. A truncation happens or does not.
    fn tear(&self, content: &mut Content, rng: &mut Rng) {
        match self {
            Change::Write { offset, data } => {
                let end = offset + data.len() as u64;
                if rng.one_in(2) && end > content.len() {
                    content.truncate(end);
                }
                let in_order = rng.one_in(2);
                let mut at = *offset;
                while at < end {
                    let next = ((at / SECTOR + 1) * SECTOR).min(end);
                    let part = &data[(at - offset) as usize..(next - offset) as usize];
                    match rng.below(4) {
                        0 if in_order => {
                            content.write(at, &part[..rng.index(part.len())]);
                            return;
                        }
                        0 => {}
                        1 if !in_order => content.write(at, &part[..rng.index(part.len())]),
                        _ => content.write(at, part),
                    }
                    at = next;
                }
            }
            Change::Zero { offset, len } => content.zero(*offset, rng.below(len + 1)),
            Change::Truncate { .. } if rng.one_in(2) => self.apply(content),
            Change::Truncate { .. } => {}
        }
    }
}

impl Entry {
    fn apply(&self, names: &mut BTreeMap<String, Inode>) {
        match self {
            Entry::Link { name, inode } => {
                names.insert(name.clone(), *inode);
            }
            Entry::Rename { from, to, inode } => {
                if names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Entry::Unlink { name } => {
                names.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Subsystem;

    fn rng(n: u64) -> Rng {
        Rng::stream(n, Subsystem::Disk, 0)
    }

    fn fs() -> Fs {
        let mut fs = Fs::default();
        fs.make(Dir::Log);
        fs
    }

    fn names(fs: &Fs) -> Vec<String> {
        fs.list(Dir::Log).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    fn text(fs: &Fs, name: &str) -> Vec<u8> {
        fs.content(fs.find(Dir::Log, name).unwrap()).read(0, 100_000)
    }

    #[test]
    fn what_was_synced_survives_every_power_loss() {
        for seed in 0..200 {
            for keep in [Keep::All, Keep::Nothing, Keep::Prefix, Keep::Any] {
                let mut fs = fs();
                let inode = fs.create(Dir::Log, "a").unwrap();
                fs.write(inode, 0, &Arc::new(vec![7; 3_000]));
                fs.sync(inode);
                fs.sync_dir(Dir::Log);
                fs.write(inode, 3_000, &Arc::new(vec![8; 3_000]));
                fs.power_loss(keep, &mut rng(seed));
                assert_eq!(text(&fs, "a")[..3_000], [7; 3_000]);
                assert!(text(&fs, "a")[3_000..].iter().all(|byte| [0, 8].contains(byte)));
            }
        }
    }

    #[test]
    fn an_unsynced_write_may_be_kept_lost_or_torn_within_a_sector() {
        let mut seen = (false, false, false, false);
        for seed in 0..300 {
            let mut fs = fs();
            let inode = fs.create(Dir::Log, "a").unwrap();
            fs.sync_dir(Dir::Log);
            fs.write(inode, 0, &Arc::new(vec![9; 2_048]));
            fs.power_loss(Keep::Any, &mut rng(seed));
            let left = text(&fs, "a");
            let kept = left.iter().filter(|byte| **byte == 9).count();
            seen.0 |= kept == 2_048;
            seen.1 |= left.is_empty();
            seen.2 |= kept % 512 != 0;
            seen.3 |= left.len() == 2_048 && kept < 2_048;
        }
        assert_eq!(seen, (true, true, true, true), "kept, lost, torn within a sector, holes");
    }

    #[test]
    fn a_file_without_its_folders_sync_may_be_gone() {
        let gone = |seed| {
            let mut fs = fs();
            let inode = fs.create(Dir::Log, "a").unwrap();
            fs.write(inode, 0, &Arc::new(vec![1; 10]));
            fs.sync(inode);
            fs.power_loss(Keep::Any, &mut rng(seed));
            names(&fs).is_empty()
        };
        let gone: Vec<bool> = (0..50).map(gone).collect();
        assert!(gone.contains(&true) && gone.contains(&false));
    }

    #[test]
    fn an_unsynced_rename_leaves_one_name_or_the_other() {
        let mut seen = Vec::new();
        for seed in 0..50 {
            let mut fs = fs();
            let inode = fs.create(Dir::Log, "tmp").unwrap();
            fs.sync(inode);
            fs.sync_dir(Dir::Log);
            assert!(fs.rename(Dir::Log, "tmp", "real"));
            fs.power_loss(Keep::Any, &mut rng(seed));
            seen.extend(names(&fs));
            assert_eq!(names(&fs).len(), 1);
        }
        assert!(seen.contains(&"tmp".to_owned()) && seen.contains(&"real".to_owned()));
    }

    #[test]
    fn an_unsynced_removal_may_come_back_with_its_bytes() {
        let mut fs = fs();
        let inode = fs.create(Dir::Log, "a").unwrap();
        fs.write(inode, 0, &Arc::new(b"text".to_vec()));
        fs.sync(inode);
        fs.sync_dir(Dir::Log);
        assert!(fs.unlink(Dir::Log, "a"));
        assert!(names(&fs).is_empty());
        fs.power_loss(Keep::Nothing, &mut rng(0));
        assert_eq!(text(&fs, "a"), b"text");
    }

    #[test]
    fn a_dead_process_loses_nothing_that_was_done() {
        let mut fs = fs();
        let inode = fs.create(Dir::Log, "a").unwrap();
        fs.write(inode, 0, &Arc::new(b"text".to_vec()));
        fs.forget_handles();
        assert_eq!(text(&fs, "a"), b"text");
    }

    #[test]
    fn pages_of_a_failed_sync_read_well_and_are_lost_with_the_power() {
        let lost = |seed| {
            let mut fs = fs();
            let inode = fs.create(Dir::Log, "a").unwrap();
            fs.sync_dir(Dir::Log);
            fs.write(inode, 0, &Arc::new(b"text".to_vec()));
            fs.fail_sync(inode, &mut rng(seed));
            assert_eq!(text(&fs, "a"), b"text");
            fs.sync(inode);
            fs.power_loss(Keep::All, &mut rng(seed));
            text(&fs, "a").is_empty()
        };
        let lost: Vec<bool> = (0..50).map(lost).collect();
        assert!(lost.contains(&true) && lost.contains(&false));
    }

    #[test]
    fn rot_stays_through_a_power_loss() {
        let mut fs = fs();
        let inode = fs.create(Dir::Log, "a").unwrap();
        fs.write(inode, 0, &Arc::new(vec![0; 100]));
        fs.sync(inode);
        fs.sync_dir(Dir::Log);
        fs.rot(inode, 50, 3);
        fs.power_loss(Keep::Nothing, &mut rng(0));
        assert_eq!(text(&fs, "a")[50], 8);
    }

    #[test]
    fn one_folder_for_log_and_snapshots_shows_the_same_names() {
        let mut fs = Fs { one_folder: true, ..Fs::default() };
        fs.make(Dir::Snap);
        fs.create(Dir::Log, "log.1").unwrap();
        assert!(fs.find(Dir::Snap, "log.1").is_some());
        assert_eq!(fs.used(), 0);
    }
}
