// SPDX-License-Identifier: Apache-2.0
//! Makes transactions durable.
//!
//! ```text
//!           append                flush, nothing in flight          last completion
//!  record ---------> staged parts ------------------------> batch ------------------> durable
//!                                   Write, Sync                any failure --> halted
//! ```
//!
//! A batch is everything that was staged when the one before it became durable: group commit has
//! no timer and no knob. A part that begins a log brings more operations, all in the one lane:
//! the mark (D6) is written and synced, then the file is made, written, synced, and its name.
//!
//! Space is set aside on a lane of its own, ahead of the writes, so that these change no metadata.
//! A batch never overlaps a piece that is still being zeroed: it waits.

use alloc::{collections::VecDeque, format, sync::Arc, vec::Vec};

use super::{Ids, words};
use crate::{
    event::{Event, Level},
    id::{FileId, LaneId, OpId, Zxid},
    io::{Dir, Effects, Exit, FileError, FileErrorKind, FileOp, FileOutput},
    log::{Mark, Slot, append_log_header, append_record, log_name},
    zoo::{Mutation, Zoo},
};

/// How many bytes of records may be synced before the mark follows.
pub const MARK_LAG: u64 = 1 << 20;

/// How much space is set aside ahead of the writes, unless less is configured.
const AHEAD: u64 = 4 << 20;

/// How much of it at once.
const PIECE: u64 = 1 << 20;

/// How far ahead of the writes the first piece begins, so that they need not wait for it.
const HEADWAY: u64 = 256 << 10;

/// What an operator may say about the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Whether batches are synced before they count as durable (`forceSync`).
    pub sync: bool,
    /// The most bytes to set aside ahead of need (`preAllocSize`); 0 for none.
    pub preallocate: u64,
    /// The length beyond which a new log is begun (`txnLogSizeLimitInKb`).
    pub roll_beyond: Option<u64>,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { sync: true, preallocate: 64 << 20, roll_beyond: None }
    }
}

/// Records staged for one file.
#[derive(Clone, Debug)]
struct Part {
    /// The log that it begins, if it begins one.
    begins: Option<Zxid>,
    bytes: Vec<u8>,
}

/// The log being written.
#[derive(Clone, Debug)]
struct Current {
    file: FileId,
    log: Zxid,
    /// Where the next write goes.
    end: u64,
    /// Where the zeroes set aside end; none beyond `end` while this is 0.
    space: u64,
    /// Whether setting aside failed here.
    cramped: bool,
}

/// An operation on the lane of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chore {
    Zero,
    SyncZeroes,
    Retire,
}

/// The writer of the transaction log.
#[derive(Clone, Debug)]
pub struct LogWriter<Z: Zoo> {
    zoo: Z,
    config: LogConfig,
    lane: LaneId,
    mark_file: FileId,
    /// What the mark says, or will say once the batch in flight is durable.
    mark: Mark,
    staged: VecDeque<Part>,
    /// Emptied buffers, to be used again.
    spare: Vec<Vec<u8>>,
    current: Option<Current>,
    /// Whether the next record begins a log.
    rolling: bool,
    /// Operations of the batch in flight.
    flight: VecDeque<OpId>,
    flying: Vec<Arc<Vec<u8>>>,
    space_lane: LaneId,
    chores: VecDeque<(OpId, Chore)>,
    /// Logs that were left, and their ends: to be cut to length and closed.
    retiring: Vec<(FileId, u64)>,
    appended: Zxid,
    /// Bytes staged since the start.
    logged: u64,
    flown: Zxid,
    durable: Zxid,
    halted: bool,
}

impl<Z: Zoo> LogWriter<Z> {
    /// A writer that goes on after `last`, in a new log. `mark_file` is the open file of the mark.
    pub fn new(
        zoo: Z,
        config: LogConfig,
        mark_file: FileId,
        last: Zxid,
        ids: &mut Ids,
    ) -> LogWriter<Z> {
        LogWriter {
            zoo,
            config,
            lane: ids.lane(),
            mark_file,
            mark: Mark { log: Zxid::ZERO, synced: 0 },
            staged: VecDeque::new(),
            spare: Vec::new(),
            current: None,
            rolling: true,
            flight: VecDeque::new(),
            flying: Vec::new(),
            space_lane: ids.lane(),
            chores: VecDeque::new(),
            retiring: Vec::new(),
            appended: last,
            logged: 0,
            flown: last,
            durable: last,
            halted: false,
        }
    }

    /// Stages an entry: header, body and digest of the transaction `zxid`, which is above all
    /// before it.
    pub fn append(&mut self, zxid: Zxid, entry: &[u8]) {
        assert!(zxid > self.appended, "{zxid} comes after {}", self.appended);
        self.appended = zxid;
        if self.rolling || self.staged.is_empty() {
            let mut bytes = self.spare.pop().unwrap_or_default();
            let begins = self.rolling.then_some(zxid);
            if begins.is_some() {
                append_log_header(&mut bytes);
            }
            self.rolling = false;
            self.staged.push_back(Part { begins, bytes });
        }
        let part = self.staged.back_mut().expect("there is one now");
        let before = part.bytes.len();
        append_record(&mut part.bytes, entry);
        self.logged += (part.bytes.len() - before) as u64;
    }

    /// Has the next transaction begin a log, as it does when a snapshot is taken.
    pub fn roll(&mut self) {
        self.rolling = true;
    }

    /// Everything up to this transaction is durable, and may be acknowledged (D1).
    pub fn durable(&self) -> Zxid {
        self.durable
    }

    /// The last transaction whose write was ordered; a batch is what comes between two of these.
    pub fn ordered(&self) -> Zxid {
        self.flown
    }

    /// The last transaction that was staged.
    pub fn appended(&self) -> Zxid {
        self.appended
    }

    /// Bytes of records staged since the start.
    pub fn logged(&self) -> u64 {
        self.logged
    }

    /// Whether a batch is on its way to the disk.
    pub fn in_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    /// Whether everything staged is durable and no operation is under way.
    pub fn is_idle(&self) -> bool {
        self.staged.is_empty() && self.flight.is_empty() && self.chores.is_empty()
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        self.flight.contains(&op) || self.chores.iter().any(|(chore, _)| *chore == op)
    }

    /// The end of a turn: what is staged becomes a batch, unless one is in flight.
    pub fn flush(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if self.halted || self.staged.is_empty() || !self.flight.is_empty() || self.in_the_way() {
            return;
        }
        self.follow_with_mark(ids, fx);
        for part in core::mem::take(&mut self.staged) {
            self.write(part, ids, fx);
        }
        self.flown = self.appended;
    }

    /// Makes the mark say how far the log is synced, durably: the last thing before a clean stop.
    pub fn settle(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if self.halted || !self.flight.is_empty() || !self.config.sync {
            return;
        }
        if let Some(current) = &self.current {
            self.mark = Mark { log: current.log, synced: current.end };
            self.write_mark(Slot::Synced, ids, fx);
            self.order(FileOp::Sync { file: self.mark_file }, ids, fx);
        }
    }

    /// Closes the files, once no record will come any more. [`LogWriter::is_idle`] again when that
    /// is done; a failure of it is of no matter.
    ///
    /// # Panics
    /// Unless [`LogWriter::is_idle`].
    pub fn close(&mut self, ids: &mut Ids, fx: &mut Effects) {
        assert!(self.is_idle(), "the log is closed at rest");
        let logs = self.current.take().map(|current| current.file);
        let logs = logs.into_iter().chain(self.retiring.drain(..).map(|(file, _)| file));
        for file in logs.chain([self.mark_file]).collect::<Vec<_>>() {
            self.chore(Chore::Retire, FileOp::Close { file }, ids, fx);
        }
    }

    /// An operation of this machine ended. True if [`LogWriter::durable`] moved.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> bool {
        if self.flight.front() != Some(&op) {
            self.on_chore(op, result, ids, fx);
            return false;
        }
        self.flight.pop_front();
        if let Err(error) = result
            && !self.zoo.has(Mutation::AppendErrorIgnored)
        {
            self.halt(error, fx);
            return false;
        }
        let early = self.zoo.has(Mutation::AckBeforeSync);
        let before = self.durable;
        if self.flight.is_empty() {
            self.land();
            self.tend(ids, fx);
        }
        if early || self.flight.is_empty() {
            self.durable = self.flown;
        }
        self.durable > before
    }

    /// The batch in flight is durable.
    fn land(&mut self) {
        for bytes in self.flying.drain(..) {
            if let Ok(mut bytes) = Arc::try_unwrap(bytes)
                && self.spare.len() < 2
            {
                bytes.clear();
                self.spare.push(bytes);
            }
        }
        if let (Some(limit), Some(current)) = (self.config.roll_beyond, &self.current) {
            self.rolling |= current.end > limit;
        }
    }

    /// Whether the next batch would meet a piece that is still being zeroed.
    fn in_the_way(&self) -> bool {
        let (Some(current), Some(part)) = (&self.current, self.staged.front()) else {
            return false;
        };
        let zeroing = self.chores.iter().any(|(_, chore)| *chore != Chore::Retire);
        let end = current.end + part.bytes.len() as u64;
        zeroing && part.begins.is_none() && current.space > 0 && end > current.space
    }

    fn order(&mut self, what: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.flight.push_back(op);
        fx.file(self.lane, op, what);
    }

    fn write(&mut self, part: Part, ids: &mut Ids, fx: &mut Effects) {
        if let Some(log) = part.begins {
            self.begin(log, ids, fx);
        }
        let current = self.current.as_mut().expect("the first record begins a log");
        let (file, offset) = (current.file, current.end);
        current.end += part.bytes.len() as u64;
        let data = Arc::new(part.bytes);
        self.flying.push(data.clone());
        self.order(FileOp::Write { file, offset, data }, ids, fx);
        if self.config.sync {
            self.order(FileOp::Sync { file }, ids, fx);
        }
        if self.config.sync && self.zoo.has(Mutation::SyncedTwice) {
            self.order(FileOp::Sync { file }, ids, fx);
        }
        if part.begins.is_some() && !self.zoo.has(Mutation::LogNameNotSynced) {
            self.order(FileOp::SyncDir { dir: Dir::Log }, ids, fx);
        }
    }

    /// Leaves the current log and begins the next.
    fn begin(&mut self, log: Zxid, ids: &mut Ids, fx: &mut Effects) {
        if let Some(old) = self.current.take() {
            if !self.config.sync {
                self.order(FileOp::Sync { file: old.file }, ids, fx);
            }
            self.retiring.push((old.file, old.end));
        }
        self.mark = Mark { log, synced: 0 };
        self.write_mark(Slot::Begun, ids, fx);
        self.order(FileOp::Sync { file: self.mark_file }, ids, fx);
        let file = ids.file();
        self.order(FileOp::Create { file, dir: Dir::Log, name: log_name(log) }, ids, fx);
        self.current = Some(Current { file, log, end: 0, space: 0, cramped: false });
    }

    /// Nothing is in flight: if the mark lags, a lazy write of it goes ahead of the next batch.
    fn follow_with_mark(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if let Some(current) = &self.current
            && self.config.sync
            && current.end >= self.mark.synced + MARK_LAG
        {
            self.mark = Mark { log: current.log, synced: current.end };
            self.write_mark(Slot::Synced, ids, fx);
        }
    }

    fn write_mark(&mut self, slot: Slot, ids: &mut Ids, fx: &mut Effects) {
        let data = Arc::new(self.mark.encode());
        let write = FileOp::Write { file: self.mark_file, offset: slot.offset(), data };
        self.order(write, ids, fx);
    }

    /// Between batches: leaves old logs tidy and sets space aside in the current one.
    fn tend(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if !self.chores.is_empty() || self.halted {
            return;
        }
        for (file, len) in core::mem::take(&mut self.retiring) {
            self.chore(Chore::Retire, FileOp::Truncate { file, len }, ids, fx);
            self.chore(Chore::Retire, FileOp::Close { file }, ids, fx);
        }
        let ahead = self.config.preallocate.min(AHEAD);
        let Some(current) = &mut self.current else { return };
        if ahead == 0 || current.cramped || current.space >= current.end + ahead {
            return;
        }
        let first = current.space == 0;
        current.space = current.space.max(current.end + if first { HEADWAY } else { 0 });
        let (file, offset, len) = (current.file, current.space, PIECE.min(ahead));
        self.chore(Chore::Zero, FileOp::Preallocate { file, offset, len }, ids, fx);
        self.chore(Chore::SyncZeroes, FileOp::Sync { file }, ids, fx);
    }

    fn chore(&mut self, chore: Chore, what: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.chores.push_back((op, chore));
        fx.file(self.space_lane, op, what);
    }

    /// A chore ended. None matters to durability but a failed sync: the system may report to it
    /// what befell a write of the other lane, and to nobody else.
    fn on_chore(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) {
        let (next, chore) = self.chores.pop_front().expect("the operation is one of ours");
        assert_eq!(op, next, "a lane's operations end in order");
        match (chore, result) {
            (Chore::SyncZeroes, Ok(_)) => {
                let piece = PIECE.min(self.config.preallocate);
                if let Some(current) = &mut self.current
                    && current.space > 0
                {
                    current.space += piece;
                }
            }
            (_, Ok(_)) => {}
            (_, Err(error)) if error.kind == FileErrorKind::NotRun => {}
            (Chore::SyncZeroes, Err(error)) => self.halt(error, fx),
            (_, Err(error)) => {
                let text = format!("the log goes on without space set aside: {error}");
                fx.event(Event::Note { level: Level::Warn, text });
                if let Some(current) = &mut self.current {
                    current.cramped = true;
                }
            }
        }
        if self.chores.is_empty() {
            if result.is_err() {
                self.space_lane = ids.lane();
            }
            if self.flight.is_empty() {
                self.tend(ids, fx);
            }
        }
    }

    /// D2.
    fn halt(&mut self, error: &FileError, fx: &mut Effects) {
        let survives = self.zoo.has(Mutation::DiskFailureSurvived);
        if !core::mem::replace(&mut self.halted, true) && !survives {
            fx.halt(Exit::DiskWrite, words::unwritten("the transaction log", error));
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
