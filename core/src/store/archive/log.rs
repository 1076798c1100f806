// SPDX-License-Identifier: Apache-2.0
//! What the log holds for a learner, and one learner's place in it.
//!
//! ```text
//!  list -> open -> read, read ... the learner's last transaction -> what follows it -> Over
//!           ^  at the end of a log: list, read there once more       | its place stays open
//!           +---- nothing came, and the next log follows             v
//!                                             asked for what follows that: read
//! ```
//!
//! A log ends where the next one begins, and only the newest still grows: so the names are listed
//! before a log is found to end, and a log that another one follows is complete by then. Where the
//! newest ends is not asked: everything up to `upto` is durable, and nothing beyond is looked at.

use alloc::vec::Vec;
use core::ops::Range;

use super::{LogSpan, PIECE};
use crate::{
    id::{FileId, Zxid},
    io::{Dir, DirEntry, FileOp, FileOutput},
    log::{Ending, LogScanner, Name, Packing, Step, log_name},
    store::Ids,
};

/// The question what the log holds.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    last: Zxid,
    logs: Option<Vec<(Zxid, u64)>>,
    /// The snapshots, and their lengths.
    snapshots: Vec<(Zxid, u64)>,
}

impl Survey {
    /// The question, and its first operation.
    pub(super) fn start(last: Zxid) -> (Survey, FileOp) {
        let list = FileOp::List { dir: Dir::Log, make: false };
        (Survey { last, logs: None, snapshots: Vec::new() }, list)
    }

    /// What is listed; gives back the next operation, or none after the last.
    pub(super) fn on_output(&mut self, output: &FileOutput<'_>) -> Option<FileOp> {
        let FileOutput::Names(names) = output else { return None };
        if self.logs.is_none() {
            self.logs = Some(logs_of(names));
            return Some(FileOp::List { dir: Dir::Snap, make: false });
        }
        let plain = |entry: &DirEntry| match Name::parse(&entry.name) {
            Name::Snapshot(zxid, Packing::Plain) => Some((zxid, entry.len)),
            _ => None,
        };
        self.snapshots = names.iter().filter_map(plain).collect();
        None
    }

    /// The answer, for a log that is believed from `base` on, beside the `newest` tree that is.
    pub(super) fn span(
        &self,
        base: Zxid,
        newest: Option<Zxid>,
        factor: Option<u32>,
    ) -> Option<LogSpan> {
        let logs = from(self.logs.as_ref()?, base);
        let (oldest, _) = *logs.first()?;
        // As long as the tree is there that the log was replayed on, no log behind it was removed,
        // even if its first transaction is of a later epoch.
        let is_whole = self.snapshots.iter().any(|(snapshot, _)| *snapshot == base);
        let first = if oldest <= base.next() || is_whole { base } else { oldest };
        let bytes = from(logs, self.last).iter().map(|(_, len)| len).sum();
        let believed = self.snapshots.iter().find(|(zxid, _)| Some(*zxid) == newest);
        let (newest, len) = believed.copied().unwrap_or_default();
        // Where the newest tree is older, as much of the log would have to follow it.
        let most = match newest <= self.last {
            true => u64::MAX,
            false => {
                let most = u128::from(len) * u128::from(factor?) / 1_000_000;
                u64::try_from(most).unwrap_or(u64::MAX)
            }
        };
        Some(LogSpan { first, bytes, most })
    }
}

/// The logs among these files, oldest first, with their lengths.
fn logs_of(names: &[DirEntry]) -> Vec<(Zxid, u64)> {
    let log = |entry: &DirEntry| match Name::parse(&entry.name) {
        Name::Log(zxid) => Some((zxid, entry.len)),
        _ => None,
    };
    let mut logs: Vec<_> = names.iter().filter_map(log).collect();
    logs.sort_unstable();
    logs
}

/// The logs that may hold transactions after `zxid`.
fn from(logs: &[(Zxid, u64)], zxid: Zxid) -> &[(Zxid, u64)] {
    let first = logs.partition_point(|(log, _)| *log <= zxid.next());
    &logs[first.saturating_sub(1)..]
}

/// What comes next.
pub(super) enum LogStep {
    /// An operation, and a file that is to be closed before.
    Order(Option<FileId>, FileOp),
    /// Nothing: what was found stands in [`LogReader::entries`].
    Over,
}

/// A log that is open.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: FileId,
    log: Zxid,
    /// It is at least this long.
    len: u64,
    /// Where the next record begins; 0 before the header.
    offset: u64,
}

/// A reader of the log for one learner.
#[derive(Clone, Debug)]
pub(super) struct LogReader {
    place: Option<Place>,
    /// The log that is being opened.
    opening: Option<(FileId, Zxid)>,
    scanner: Option<LogScanner>,
    /// The log is believed from here on.
    base: Zxid,
    after: Zxid,
    upto: Zxid,
    /// The last transaction that was passed by, looking for `after`, if any was.
    passed: Option<Zxid>,
    /// The last transaction before the place, once `after` was met.
    last: Option<Zxid>,
    /// The logs, if nothing was found since they were listed.
    logs: Option<Vec<(Zxid, u64)>>,
    /// The entries found, and which bytes are whose.
    bytes: Vec<u8>,
    found: Vec<(Zxid, Range<usize>)>,
}

/// What a record is to the question.
enum Judged {
    Passed,
    Found,
    /// It is beyond what may be looked at.
    Beyond,
    /// It does not follow the one before it.
    Stray,
}

impl LogReader {
    pub(super) fn new() -> LogReader {
        LogReader {
            place: None,
            opening: None,
            scanner: None,
            base: Zxid::ZERO,
            after: Zxid::ZERO,
            upto: Zxid::ZERO,
            passed: None,
            last: None,
            logs: None,
            bytes: Vec::new(),
            found: Vec::new(),
        }
    }

    /// The file that is open.
    pub(super) fn place(&self) -> Option<FileId> {
        self.place.map(|place| place.file)
    }

    /// Forgets the place; gives back the file that was open.
    pub(super) fn leave(&mut self) -> Option<FileId> {
        self.scanner = None;
        self.place.take().map(|place| place.file)
    }

    /// What the entries found follow: what was asked for, or what stands in its place.
    pub(super) fn after(&self) -> Zxid {
        self.after
    }

    /// What was found for the last question.
    pub(super) fn entries(&self) -> Vec<(Zxid, &[u8])> {
        self.found.iter().map(|(zxid, bytes)| (*zxid, &self.bytes[bytes.clone()])).collect()
    }

    /// An operation failed: nothing was found.
    pub(super) fn give_up(&mut self) {
        self.opening = None;
        self.found.clear();
    }

    /// Begins a question; gives back a file to close, and the first operation.
    pub(super) fn ask(&mut self, base: Zxid, after: Zxid, upto: Zxid) -> (Option<FileId>, FileOp) {
        let goes_on = self.last == Some(after) && upto > after;
        (self.base, self.after, self.upto) = (base, after, upto);
        self.bytes.clear();
        self.found.clear();
        self.logs = None;
        match self.place {
            Some(place) if goes_on => (None, self.read(place)),
            _ => {
                self.passed = None;
                self.last = (after == base).then_some(base);
                (self.leave(), FileOp::List { dir: Dir::Log, make: false })
            }
        }
    }

    /// An operation's output.
    pub(super) fn on_output(&mut self, output: &FileOutput<'_>, ids: &mut Ids) -> LogStep {
        match output {
            FileOutput::Names(names) => self.listed(names, ids),
            FileOutput::Length(len) => {
                let (file, log) = self.opening.take().expect("a log was opened");
                let place = Place { file, log, len: *len, offset: 0 };
                self.place = Some(place);
                LogStep::Order(None, self.read(place))
            }
            FileOutput::Bytes(bytes) => self.scan(bytes, ids),
            FileOutput::Done => LogStep::Over,
        }
    }

    fn read(&self, place: Place) -> FileOp {
        let offset = self.scanner.as_ref().map_or(place.offset, LogScanner::wants);
        FileOp::Read { file: place.file, offset, len: PIECE }
    }

    fn open(&mut self, log: Zxid, ids: &mut Ids) -> LogStep {
        let file = ids.file();
        self.opening = Some((file, log));
        let open = FileOp::Open { file, dir: Dir::Log, name: log_name(log) };
        LogStep::Order(self.leave(), open)
    }

    fn listed(&mut self, names: &[DirEntry], ids: &mut Ids) -> LogStep {
        let logs = logs_of(names);
        if let Some(place) = &mut self.place {
            let listed = logs.iter().find(|(log, _)| *log == place.log);
            place.len = place.len.max(listed.map_or(0, |(_, len)| *len));
            let place = *place;
            self.logs = Some(logs);
            return LogStep::Order(None, self.read(place));
        }
        if self.after < self.base || self.upto <= self.after {
            return LogStep::Over;
        }
        // The record of `after` is wanted, too, unless it is what the log is believed from.
        let start = if self.after == self.base { self.base } else { Zxid(self.after.0 - 1) };
        let first = from(&logs, start).first().map(|(log, _)| *log);
        self.logs = Some(logs);
        first.map_or(LogStep::Over, |log| self.open(log, ids))
    }

    /// Looks for records in the bytes that were read.
    fn scan(&mut self, bytes: &[u8], ids: &mut Ids) -> LogStep {
        let mut place = self.place.expect("a log is open");
        let mut scanner = self.scanner.take().unwrap_or_else(|| {
            let len = place.len.max(place.offset + bytes.len() as u64);
            match place.offset {
                0 => LogScanner::new(len),
                offset => LogScanner::from(offset, len),
            }
        });
        scanner.push(bytes);
        let mut ended = (bytes.len() as u64) < u64::from(PIECE) && !bytes.is_empty();
        let ending = loop {
            match scanner.step() {
                Step::Record { offset, zxid, entry } => match self.judge(zxid) {
                    Judged::Beyond | Judged::Stray => break None,
                    judged => {
                        place.offset = offset + 13 + entry.len() as u64;
                        if matches!(judged, Judged::Found) {
                            let start = self.bytes.len();
                            self.bytes.extend_from_slice(entry);
                            self.found.push((zxid, start..self.bytes.len()));
                        }
                        if zxid == self.upto {
                            break None;
                        }
                    }
                },
                Step::End { ending, .. } => break Some(ending),
                Step::Need => {
                    if !self.found.is_empty() {
                        break None;
                    }
                    if scanner.is_in_zeroes() {
                        break Some(Ending::Clean);
                    }
                    if !core::mem::take(&mut ended) {
                        self.place = Some(place);
                        self.scanner = Some(scanner);
                        return LogStep::Order(None, self.read(place));
                    }
                    // The file ends there after all.
                    scanner.push(&[]);
                }
            }
        };
        self.place = Some(place);
        match ending {
            Some(ending) if self.found.is_empty() => self.end_log(place.log, ending, ids),
            _ => LogStep::Over,
        }
    }

    fn judge(&mut self, zxid: Zxid) -> Judged {
        let Some(last) = self.last else {
            if zxid == self.after {
                self.last = Some(zxid);
            } else if zxid > self.after {
                // It does not stand here: the two histories part behind the one before.
                self.after = self.passed.unwrap_or(self.base);
                self.last = Some(self.after);
                return self.judge(zxid);
            }
            self.passed = Some(zxid.max(self.base));
            return Judged::Passed;
        };
        if zxid <= self.base && last == self.base {
            return Judged::Passed;
        }
        if !zxid.follows(last) {
            return Judged::Stray;
        }
        if zxid > self.upto {
            return Judged::Beyond;
        }
        self.last = Some(zxid);
        self.logs = None;
        Judged::Found
    }

    /// Nothing more was found in a log.
    fn end_log(&mut self, log: Zxid, ending: Ending, ids: &mut Ids) -> LogStep {
        let Some(logs) = &self.logs else {
            return LogStep::Order(None, FileOp::List { dir: Dir::Log, make: false });
        };
        let next = logs.iter().map(|(log, _)| *log).find(|next| *next > log);
        // What `after` parts from may be the last of one log, and known as that by the next.
        match (next, self.last.or(self.passed)) {
            (Some(next), Some(last)) if ending == Ending::Clean && next.follows(last) => {
                self.open(next, ids)
            }
            _ => LogStep::Over,
        }
    }
}
