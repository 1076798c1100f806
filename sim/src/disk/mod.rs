// SPDX-License-Identifier: Apache-2.0
//! The disk of one simulated machine: lanes of file operations over a file system that a crash may
//! cut down to any legal state.
//!
//! ```text
//!   submit --> lane queue --(latency)--> finish: touches the file system, gives the result
//!                                           | failure
//!                                           v
//!                                  lane stopped: later operations are NotRun
//! ```

mod content;
mod fs;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use menagerie_core::{
    id::{FileId, LaneId, OpId},
    io::{Dir, DirEntry, FileError, FileErrorKind, FileOp, FileOutput},
};

pub use self::{
    content::{Content, PAGE, SECTOR},
    fs::{Fs, Inode, Keep, Lost},
};
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// What a system says of a file that is not open.
const BAD_FILE: &str = "Bad file descriptor (os error 9)";

/// What an operation gave back, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Done; nothing to say.
    Done,
    /// The names of a `List`.
    Names(Vec<DirEntry>),
    /// The bytes of a `Read`.
    Bytes(Vec<u8>),
    /// The length of an opened file.
    Length(u64),
}

impl Output {
    /// As the core takes it.
    pub fn borrow(&self) -> FileOutput<'_> {
        match self {
            Output::Done => FileOutput::Done,
            Output::Names(names) => FileOutput::Names(names),
            Output::Bytes(bytes) => FileOutput::Bytes(bytes),
            Output::Length(len) => FileOutput::Length(*len),
        }
    }
}

/// How an operation ended.
pub type Ended = Result<Output, FileError>;

/// Kinds of operations, as faults tell them apart. Saved in traces: variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Reads, listings and opens.
    Read,
    /// Writes, preallocations and truncations.
    Write,
    /// Syncs of files and folders.
    Sync,
    /// Creations, renames and removals.
    Names,
}

impl Class {
    fn of(what: &FileOp) -> Class {
        match what {
            FileOp::List { .. } | FileOp::Open { .. } | FileOp::Read { .. } => Class::Read,
            FileOp::Write { .. } | FileOp::Preallocate { .. } | FileOp::Truncate { .. } => {
                Class::Write
            }
            FileOp::Sync { .. } | FileOp::SyncDir { .. } => Class::Sync,
            FileOp::Create { .. }
            | FileOp::Rename { .. }
            | FileOp::Unlink { .. }
            | FileOp::Lock { .. }
            | FileOp::Close { .. } => Class::Names,
        }
    }
}

/// A failure that waits for its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// What fails.
    pub class: Class,
    /// How many such operations still succeed.
    pub after: u32,
    /// Whether all later ones fail too, until [`Disk::heal`].
    pub for_good: bool,
}

/// How fast a disk is. Means, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A read, a write or a change of names.
    pub touch: u64,
    /// A sync.
    pub sync: u64,
    /// How many times slower it is for now.
    pub slowdown: u64,
}

#[derive(Clone, Debug, Default)]
struct Lane {
    queue: VecDeque<(OpId, FileOp)>,
    stopped: bool,
}

/// The disk of one machine.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The file system.
    pub fs: Fs,
    /// How fast it is.
    pub pace: Pace,
    /// Bytes that fit; beyond, writes fail.
    pub capacity: u64,
    /// The failure that waits.
    pub armed: Option<Armed>,
    /// Whether another process holds the lock of the data directory.
    pub locked_by_another: bool,
    lanes: BTreeMap<LaneId, Lane>,
    open: BTreeMap<FileId, Inode>,
    locks: BTreeSet<String>,
    failed: bool,
    rng: Rng,
}

impl Disk {
    /// An empty disk.
    pub fn new(rng: Rng, pace: Pace) -> Disk {
        Disk {
            fs: Fs::default(),
            pace,
            capacity: u64::MAX,
            armed: None,
            locked_by_another: false,
            lanes: BTreeMap::new(),
            open: BTreeMap::new(),
            locks: BTreeSet::new(),
            failed: false,
            rng,
        }
    }

    /// Queues an operation. If its lane was idle, the time until it ends: call
    /// [`finish`](Disk::finish) then.
    pub fn submit(&mut self, lane: LaneId, op: OpId, what: FileOp) -> Option<u64> {
        let queue = &mut self.lanes.entry(lane).or_default().queue;
        queue.push_back((op, what));
        (queue.len() == 1).then(|| self.latency(lane))
    }

    /// Ends the first operation of a lane: what it was, how it ended, and, if the lane has another
    /// one, the time until that ends.
    pub fn finish(&mut self, lane: LaneId) -> (OpId, FileOp, Ended, Option<u64>) {
        let state = self.lanes.get_mut(&lane).expect("a lane with work");
        let (op, what) = state.queue.pop_front().expect("work in the lane");
        let (stopped, more) = (state.stopped, !state.queue.is_empty());
        let ended = if stopped {
            Err(error(FileErrorKind::NotRun, "an earlier operation of the lane failed"))
        } else {
            self.perform(&what)
        };
        if let Err(failure) = &ended {
            let fault = !matches!(failure.kind, FileErrorKind::NotFound | FileErrorKind::NotRun);
            self.failed |= fault && !is_misuse(failure);
            self.lanes.get_mut(&lane).expect("a lane with work").stopped = true;
        }
        (op, what, ended, more.then(|| self.latency(lane)))
    }

    /// Whether any operation is under way or waits.
    pub fn is_busy(&self) -> bool {
        self.lanes.values().any(|lane| !lane.queue.is_empty())
    }

    /// Whether an operation of the process that runs now has failed that should not have.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// There is room again, and haste; what fails goes on failing.
    pub fn ease(&mut self) {
        self.capacity = u64::MAX;
        self.pace.slowdown = 1;
    }

    /// The process ends: what it had under way may be half done, the rest never happens.
    pub fn kill(&mut self) {
        for (_, lane) in std::mem::take(&mut self.lanes) {
            if !lane.stopped
                && let Some((_, what)) = lane.queue.front()
            {
                self.interrupt(what);
            }
        }
        self.failed = false;
        self.open.clear();
        self.locks.clear();
        self.fs.forget_handles();
    }

    /// The power fails: the process ends and what was not synced is at risk.
    pub fn power_loss(&mut self, keep: Keep) {
        self.kill();
        self.fs.power_loss(keep, &mut self.rng);
    }

    /// From here on, chance comes from another stream: each life and each crash has its own.
    pub fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }

    /// Nothing fails from here on, and nothing is slow.
    pub fn heal(&mut self) {
        self.armed = None;
        self.capacity = u64::MAX;
        self.pace.slowdown = 1;
        self.locked_by_another = false;
    }

    fn latency(&mut self, lane: LaneId) -> u64 {
        let state = &self.lanes[&lane];
        let Some((_, what)) = state.queue.front() else { return 0 };
        let mean = match (state.stopped, what) {
            (true, _) | (_, FileOp::Close { .. }) => return 1,
            (_, FileOp::Sync { .. } | FileOp::SyncDir { .. }) => self.pace.sync,
            (_, FileOp::Preallocate { len, .. }) => self.pace.touch + len / 1_000,
            (_, FileOp::Write { data, .. }) => self.pace.touch + data.len() as u64 / 1_000,
            _ => self.pace.touch,
        };
        self.rng.wait(mean * self.pace.slowdown)
    }

    fn perform(&mut self, what: &FileOp) -> Ended {
        if let Some(armed) = &mut self.armed
            && armed.class == Class::of(what)
            && !matches!(what, FileOp::Close { .. })
        {
            if armed.after > 0 {
                armed.after -= 1;
            } else {
                if !armed.for_good {
                    self.armed = None;
                }
                self.spoil(what);
                return Err(error(FileErrorKind::Other, "Input/output error (os error 5)"));
            }
        }
        match what {
            FileOp::List { .. } | FileOp::Open { .. } | FileOp::Create { .. } => self.enter(what),
            FileOp::Read { file, offset, len } => {
                let content = self.fs.content(self.inode(*file)?);
                Ok(Output::Bytes(content.read(*offset, u64::from(*len))))
            }
            FileOp::Rename { dir, from, to } => found(self.fs.rename(*dir, from, to), from),
            FileOp::Unlink { dir, name } => found(self.fs.unlink(*dir, name), name),
            FileOp::Lock { dir, name } => self.lock(*dir, name),
            FileOp::SyncDir { dir } => {
                self.fs.sync_dir(*dir);
                Ok(Output::Done)
            }
            FileOp::Close { file } => {
                self.open.remove(file);
                Ok(Output::Done)
            }
            FileOp::Write { .. }
            | FileOp::Preallocate { .. }
            | FileOp::Sync { .. }
            | FileOp::Truncate { .. } => self.change(what),
        }
    }

    fn enter(&mut self, what: &FileOp) -> Ended {
        match what {
            FileOp::List { dir, make } => {
                if *make {
                    self.fs.make(*dir);
                }
                self.fs.list(*dir).map(Output::Names).ok_or_else(|| missing("the folder"))
            }
            FileOp::Open { file, dir, name } => {
                let inode = self.fs.find(*dir, name).ok_or_else(|| missing(name))?;
                self.open.insert(*file, inode);
                Ok(Output::Length(self.fs.content(inode).len()))
            }
            FileOp::Create { file, dir, name } => {
                let inode = self.fs.create(*dir, name).ok_or_else(|| missing("the folder"))?;
                self.open.insert(*file, inode);
                Ok(Output::Done)
            }
            _ => unreachable!("only operations that enter by a name come here"),
        }
    }

    fn change(&mut self, what: &FileOp) -> Ended {
        match what {
            FileOp::Write { file, offset, data } => {
                let inode = self.inode(*file)?;
                self.room(inode, offset + data.len() as u64)?;
                self.fs.write(inode, *offset, data);
            }
            FileOp::Preallocate { file, offset, len } => {
                let inode = self.inode(*file)?;
                self.room(inode, offset + len)?;
                self.fs.zero(inode, *offset, *len);
            }
            FileOp::Sync { file } => self.fs.sync(self.inode(*file)?),
            FileOp::Truncate { file, len } => self.fs.truncate(self.inode(*file)?, *len),
            _ => unreachable!("only operations that change an open file come here"),
        }
        Ok(Output::Done)
    }

    /// A failing operation may leave a part behind: some bytes of a write, some pages of a sync.
    fn spoil(&mut self, what: &FileOp) {
        match what {
            FileOp::Write { .. } => self.interrupt(what),
            FileOp::Sync { file } => {
                if let Ok(inode) = self.inode(*file) {
                    self.fs.fail_sync(inode, &mut self.rng);
                }
            }
            _ => {}
        }
    }

    /// An operation is cut short: it happens, or not, or, if it is a write, in part.
    fn interrupt(&mut self, what: &FileOp) {
        match what {
            FileOp::Write { file, offset, data } => {
                let part = self.rng.index(data.len() + 1);
                let Ok(inode) = self.inode(*file) else { return };
                if part > 0 && self.room(inode, offset + part as u64).is_ok() {
                    self.fs.write(inode, *offset, &Arc::new(data[..part].to_vec()));
                }
            }
            FileOp::Read { .. } | FileOp::List { .. } | FileOp::Lock { .. } => {}
            _ if self.rng.one_in(2) => drop(self.perform(what)),
            _ => {}
        }
    }

    fn lock(&mut self, dir: Dir, name: &str) -> Ended {
        if self.locked_by_another || self.locks.contains(name) {
            return Err(error(FileErrorKind::Locked, "another process holds the lock"));
        }
        if self.fs.find(dir, name).is_none() {
            self.fs.create(dir, name).ok_or_else(|| missing("the folder"))?;
        }
        self.locks.insert(name.to_owned());
        Ok(Output::Done)
    }

    fn room(&self, inode: Inode, end: u64) -> Result<(), FileError> {
        let grows = end.saturating_sub(self.fs.content(inode).len());
        if grows > 0 && self.capacity != u64::MAX && self.fs.used() + grows > self.capacity {
            return Err(error(FileErrorKind::Full, "No space left on device (os error 28)"));
        }
        Ok(())
    }

    fn inode(&self, file: FileId) -> Result<Inode, FileError> {
        let inode = self.open.get(&file).copied();
        inode.ok_or_else(|| error(FileErrorKind::Other, BAD_FILE))
    }
}

fn found(there: bool, name: &str) -> Ended {
    if there { Ok(Output::Done) } else { Err(missing(name)) }
}

fn missing(name: &str) -> FileError {
    error(FileErrorKind::NotFound, &format!("{name}: No such file or directory (os error 2)"))
}

/// Whether a file was used that is not open: that is no fault of the disk's.
fn is_misuse(failure: &FileError) -> bool {
    failure.text == BAD_FILE
}

fn error(kind: FileErrorKind, text: &str) -> FileError {
    FileError { kind, text: text.to_owned() }
}

#[cfg(test)]
mod tests;
