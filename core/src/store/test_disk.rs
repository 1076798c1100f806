// SPDX-License-Identifier: Apache-2.0
//! A disk for tests: it forgets what was not synced, tears what it can, and fails on demand.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use crate::{
    event::Event,
    id::{FileId, LaneId, OpId},
    io::{Dir, DirEntry, Effect, Effects, Exit, FileError, FileErrorKind, FileOp, FileOutput},
};

/// How an operation ended, owned.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Done,
    Names(Vec<DirEntry>),
    Bytes(Vec<u8>),
    Length(u64),
}

impl Output {
    pub(crate) fn view(&self) -> FileOutput<'_> {
        match self {
            Output::Done => FileOutput::Done,
            Output::Names(names) => FileOutput::Names(names),
            Output::Bytes(bytes) => FileOutput::Bytes(bytes),
            Output::Length(len) => FileOutput::Length(*len),
        }
    }
}

/// One operation's completion.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    pub(crate) op: OpId,
    pub(crate) result: Result<Output, FileError>,
}

/// A change to a file that no sync has covered.
#[derive(Clone, Debug)]
enum Change {
    Bytes(LaneId, u64, Vec<u8>),
    Len(LaneId, u64),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

/// A change to a folder that no sync has covered.
#[derive(Clone, Debug)]
enum NameChange {
    Put(Dir, String, usize),
    Remove(Dir, String),
}

type Names = BTreeMap<(Dir, String), usize>;

/// The disk, and the operations that wait for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestDisk {
    inodes: Vec<Inode>,
    names: Names,
    synced_names: Names,
    unsynced_names: Vec<NameChange>,
    open: BTreeMap<FileId, usize>,
    queue: VecDeque<(LaneId, OpId, FileOp)>,
    dead: BTreeSet<LaneId>,
    /// Operations done so far.
    pub(crate) done: usize,
    /// The operation to fail, counted from 0.
    pub(crate) fail_at: Option<usize>,
    pub(crate) events: Vec<Event>,
    pub(crate) halted: Option<(Exit, String)>,
    /// Every operation, in words.
    pub(crate) log: Vec<String>,
}

impl TestDisk {
    pub(crate) fn new() -> TestDisk {
        TestDisk::default()
    }

    /// Puts a file there, durably.
    pub(crate) fn put(&mut self, dir: Dir, name: &str, bytes: &[u8]) {
        let inode = Inode { now: bytes.to_vec(), synced: bytes.to_vec(), unsynced: Vec::new() };
        self.inodes.push(inode);
        self.names.insert((dir, name.to_string()), self.inodes.len() - 1);
        self.synced_names.insert((dir, name.to_string()), self.inodes.len() - 1);
    }

    /// Removes a file, durably.
    pub(crate) fn unlink(&mut self, dir: Dir, name: &str) {
        self.names.remove(&(dir, name.to_string()));
        self.synced_names.remove(&(dir, name.to_string()));
    }

    /// What a file holds.
    pub(crate) fn file(&self, dir: Dir, name: &str) -> Option<&[u8]> {
        self.names.get(&(dir, name.to_string())).map(|inode| &self.inodes[*inode].now[..])
    }

    pub(crate) fn file_names(&self, dir: Dir) -> Vec<&str> {
        self.names.keys().filter(|key| key.0 == dir).map(|key| key.1.as_str()).collect()
    }

    /// Queues what a machine ordered.
    pub(crate) fn take(&mut self, fx: &mut Effects) {
        for effect in fx.take_list() {
            if let Err(other) = self.take_one(effect) {
                panic!("a store does not do {other:?}");
            }
        }
        fx.clear();
    }

    /// Takes an effect, or gives it back if it is none of a store's.
    pub(crate) fn take_one(&mut self, effect: Effect) -> Result<(), Effect> {
        match effect {
            Effect::File { lane, op, what } => self.order(lane, op, what),
            Effect::Event(event) => self.events.push(event),
            Effect::Halt { exit, why } => {
                self.halted.get_or_insert((exit, why));
            }
            other => return Err(other),
        }
        Ok(())
    }

    /// Queues an operation.
    pub(crate) fn order(&mut self, lane: LaneId, op: OpId, what: FileOp) {
        self.queue.push_back((lane, op, what));
    }

    /// How many files are open.
    pub(crate) fn open_files(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Does the first operation that waits, or the first of another lane than that one's.
    pub(crate) fn step(&mut self, other_lane: bool) -> Option<Completion> {
        let first = self.queue.front()?.0;
        let at = if other_lane { self.queue.iter().position(|op| op.0 != first) } else { None };
        let (lane, op, what) = self.queue.remove(at.unwrap_or(0))?;
        let failing = self.fail_at == Some(self.done);
        self.done += 1;
        self.log.push(words(&what));
        let result = if self.dead.contains(&lane) {
            Err(error(FileErrorKind::NotRun, "not run"))
        } else if failing {
            self.drop_dirty(&what);
            Err(error(FileErrorKind::Full, "No space left on device"))
        } else {
            self.run(lane, what)
        };
        if result.is_err() {
            self.dead.insert(lane);
        }
        Some(Completion { op, result })
    }

    /// What a failed sync was to write, reads go on seeing, and no later one will write.
    fn drop_dirty(&mut self, what: &FileOp) {
        if let FileOp::Sync { file } = what {
            self.inodes[self.open[file]].unsynced.clear();
        }
    }

    /// The disk as the next process on the same system finds it.
    pub(crate) fn restarted(&self) -> TestDisk {
        let TestDisk { inodes, names, synced_names, unsynced_names, .. } = self.clone();
        TestDisk { inodes, names, synced_names, unsynced_names, ..TestDisk::new() }
    }

    fn run(&mut self, lane: LaneId, what: FileOp) -> Result<Output, FileError> {
        match what {
            FileOp::List { dir, .. } => {
                let of = |(key, inode): (&(Dir, String), &usize)| {
                    let len = self.inodes[*inode].now.len() as u64;
                    (key.0 == dir).then(|| DirEntry { name: key.1.clone(), len })
                };
                return Ok(Output::Names(self.names.iter().filter_map(of).collect()));
            }
            FileOp::Open { file, dir, name } => {
                let found = self.names.get(&(dir, name)).copied();
                let inode = found.ok_or_else(|| error(FileErrorKind::NotFound, "no such file"))?;
                self.open.insert(file, inode);
                return Ok(Output::Length(self.inodes[inode].now.len() as u64));
            }
            FileOp::Create { file, dir, name } => {
                self.inodes.push(Inode::default());
                self.open.insert(file, self.inodes.len() - 1);
                self.rename(NameChange::Put(dir, name, self.inodes.len() - 1));
            }
            FileOp::Close { file } => {
                self.open.remove(&file).expect("an open file");
            }
            FileOp::Read { file, offset, len } => {
                let bytes = &self.inodes[self.open[&file]].now;
                let from = bytes.len().min(offset as usize);
                let to = bytes.len().min(from + len as usize);
                return Ok(Output::Bytes(bytes[from..to].to_vec()));
            }
            FileOp::Write { file, offset, data } => {
                self.change(file, Change::Bytes(lane, offset, data.to_vec()));
            }
            FileOp::Preallocate { file, offset, len } => {
                self.change(file, Change::Bytes(lane, offset, vec![0; len as usize]));
            }
            FileOp::Truncate { file, len } => self.change(file, Change::Len(lane, len)),
            FileOp::Sync { file } => {
                let inode = &mut self.inodes[self.open[&file]];
                let (mine, others) = core::mem::take(&mut inode.unsynced)
                    .into_iter()
                    .partition(|change: &Change| change.lane() == lane);
                inode.unsynced = others;
                let mine: Vec<Change> = mine;
                mine.iter().for_each(|change| change.apply(&mut inode.synced));
            }
            FileOp::Rename { dir, from, to } => {
                let missing = || error(FileErrorKind::NotFound, "no such file");
                let inode = *self.names.get(&(dir, from.clone())).ok_or_else(missing)?;
                self.rename(NameChange::Remove(dir, from));
                self.rename(NameChange::Put(dir, to, inode));
            }
            FileOp::Unlink { dir, name } => self.rename(NameChange::Remove(dir, name)),
            FileOp::SyncDir { dir } => {
                let (here, elsewhere) = core::mem::take(&mut self.unsynced_names)
                    .into_iter()
                    .partition(|change: &NameChange| change.dir() == dir);
                self.unsynced_names = elsewhere;
                let here: Vec<NameChange> = here;
                here.into_iter().for_each(|change| change.apply(&mut self.synced_names));
            }
            FileOp::Lock { .. } => {}
        }
        Ok(Output::Done)
    }

    fn rename(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn change(&mut self, file: FileId, change: Change) {
        let inode = &mut self.inodes[self.open[&file]];
        change.apply(&mut inode.now);
        inode.unsynced.push(change);
    }

    /// What a power loss leaves: of unsynced writes, those sectors for which `keep` says so; of
    /// unsynced names, as many as it says, in order.
    pub(crate) fn crash(&self, mut keep: impl FnMut() -> bool) -> TestDisk {
        let mut names = self.synced_names.clone();
        let kept = self.unsynced_names.iter().take_while(|_| keep());
        kept.cloned().for_each(|change| change.apply(&mut names));
        let mut disk = TestDisk::new();
        for ((dir, name), inode) in names {
            let inode = &self.inodes[inode];
            let mut bytes = inode.synced.clone();
            for change in &inode.unsynced {
                change.apply_torn(&mut bytes, &mut keep);
            }
            disk.put(dir, &name, &bytes);
        }
        disk
    }
}

impl Change {
    fn lane(&self) -> LaneId {
        match self {
            Change::Bytes(lane, ..) | Change::Len(lane, _) => *lane,
        }
    }

    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Change::Bytes(_, offset, bytes) => put(file, *offset as usize, bytes),
            Change::Len(_, len) => file.resize(*len as usize, 0),
        }
    }

    fn apply_torn(&self, file: &mut Vec<u8>, keep: &mut impl FnMut() -> bool) {
        match self {
            Change::Bytes(_, offset, bytes) => {
                let (mut at, mut rest) = (*offset as usize, &bytes[..]);
                while !rest.is_empty() {
                    let (sector, after) = rest.split_at(rest.len().min(512 - at % 512));
                    if keep() {
                        put(file, at, sector);
                    }
                    at += sector.len();
                    rest = after;
                }
            }
            Change::Len(..) if keep() => self.apply(file),
            Change::Len(..) => {}
        }
    }
}

impl NameChange {
    fn dir(&self) -> Dir {
        match self {
            NameChange::Put(dir, ..) | NameChange::Remove(dir, _) => *dir,
        }
    }

    fn apply(self, names: &mut Names) {
        match self {
            NameChange::Put(dir, name, inode) => names.insert((dir, name), inode),
            NameChange::Remove(dir, name) => names.remove(&(dir, name)),
        };
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn error(kind: FileErrorKind, text: &str) -> FileError {
    FileError { kind, text: text.to_string() }
}

fn words(what: &FileOp) -> String {
    match what {
        FileOp::List { dir, .. } => format!("list {dir:?}"),
        FileOp::Open { file, dir, name } => format!("open {dir:?}/{name} as {}", file.0),
        FileOp::Create { file, dir, name } => format!("create {dir:?}/{name} as {}", file.0),
        FileOp::Close { file } => format!("close {}", file.0),
        FileOp::Read { file, offset, len } => format!("read {} at {offset} len {len}", file.0),
        FileOp::Write { file, offset, data } => {
            format!("write {} at {offset} len {}", file.0, data.len())
        }
        FileOp::Preallocate { file, offset, len } => {
            format!("zero {} at {offset} len {len}", file.0)
        }
        FileOp::Sync { file } => format!("sync {}", file.0),
        FileOp::Truncate { file, len } => format!("truncate {} to {len}", file.0),
        FileOp::Rename { dir, from, to } => format!("rename {dir:?}/{from} to {to}"),
        FileOp::Unlink { dir, name } => format!("unlink {dir:?}/{name}"),
        FileOp::SyncDir { dir } => format!("sync {dir:?}"),
        FileOp::Lock { dir, name } => format!("lock {dir:?}/{name}"),
    }
}
