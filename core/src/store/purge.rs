// SPDX-License-Identifier: Apache-2.0
//! Removes snapshots and logs that are no longer needed.
//!
//! ```text
//!  Idle --start--> list folders -> are other servers' files under protection? -> find the oldest
//!                                    two of ours read back: lift it              snapshot to keep
//!  Idle <--news-- unlink what is older <----------------------------------------------+
//! ```
//!
//! The rule is that of Java's `PurgeTxnLog`: the newest so many snapshots that look whole stay, and
//! every log that may hold a transaction after the oldest of these. Files that another server
//! wrote stay, whatever their number, until two snapshots of ours were read back and found whole
//! (the note of [`Takeover`] protects them). A failure ends the run; the next one begins anew.

use alloc::{
    collections::VecDeque,
    format,
    string::{String, ToString},
    vec::Vec,
};

use simd_adler32::Adler32;

use super::{Ids, plan::Plan};
use crate::{
    event::{Event, Level},
    id::{FileId, LaneId, OpId, Zxid},
    io::{Dir, DirEntry, Effects, FileError, FileOp, FileOutput},
    log::{Name, TAKEOVER_NAME, Takeover, log_name, looks_whole, seal_fits, snapshot_name},
    zoo::{Mutation, Zoo},
};

/// Bytes read at once while a snapshot is read back.
const PIECE: u32 = 256 << 10;

/// The fewest snapshots that may be kept, as Java has it.
pub const LEAST_RETAINED: usize = 3;

/// How many snapshots of ours are read back before other servers' files may go.
const PROOFS: usize = 2;

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeNews {
    /// Files removed.
    pub removed: usize,
}

/// What an operation was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    SnapNames,
    LogNames,
    Note,
    Open,
    /// The last bytes of the snapshot at hand.
    End,
    /// A piece of the snapshot that is read back.
    Piece,
    Unlinked,
    Nothing,
}

/// The purge of the data directory.
#[derive(Clone)]
pub struct Purge<Z: Zoo> {
    zoo: Z,
    run: Option<Run>,
}

#[derive(Clone)]
struct Run {
    retain: usize,
    lane: LaneId,
    wait: VecDeque<(OpId, What)>,
    snap_names: Vec<DirEntry>,
    log_names: Vec<DirEntry>,
    plan: Plan,
    /// Nothing up to this transaction may go.
    protected: Option<Zxid>,
    /// Snapshots to look at, newest first.
    candidates: VecDeque<(Zxid, u64)>,
    /// Those found whole.
    whole: Vec<Zxid>,
    file: FileId,
    read: u64,
    sum: Adler32,
    removed: usize,
    failed: bool,
}

impl<Z: Zoo> Purge<Z> {
    /// With nothing to do.
    pub fn new(zoo: Z) -> Purge<Z> {
        Purge { zoo, run: None }
    }

    /// Whether a run could be started.
    pub fn is_idle(&self) -> bool {
        self.run.is_none()
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        self.run.as_ref().is_some_and(|run| run.wait.iter().any(|(waiting, _)| *waiting == op))
    }

    /// Begins a run that keeps `retain` snapshots, at least [`LEAST_RETAINED`].
    ///
    /// # Panics
    /// Unless [`Purge::is_idle`].
    pub fn start(&mut self, retain: usize, ids: &mut Ids, fx: &mut Effects) {
        assert!(self.is_idle(), "one purge at a time");
        let mut run = Run {
            retain: retain.max(LEAST_RETAINED),
            lane: ids.lane(),
            wait: VecDeque::new(),
            snap_names: Vec::new(),
            log_names: Vec::new(),
            plan: Plan::default(),
            protected: None,
            candidates: VecDeque::new(),
            whole: Vec::new(),
            file: FileId(0),
            read: 0,
            sum: Adler32::new(),
            removed: 0,
            failed: false,
        };
        run.order(What::SnapNames, FileOp::List { dir: Dir::Snap, make: false }, ids, fx);
        run.order(What::LogNames, FileOp::List { dir: Dir::Log, make: false }, ids, fx);
        self.run = Some(run);
    }

    /// An operation of this machine ended.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<PurgeNews> {
        let run = self.run.as_mut()?;
        let (next, what) = run.wait.pop_front().expect("the operation is one of ours");
        assert_eq!(op, next, "a lane's operations end in order");
        match result {
            Ok(output) => run.on_output(what, output, self.zoo, ids, fx),
            Err(error) if !core::mem::replace(&mut run.failed, true) => {
                let text = format!("old snapshots and logs could not all be removed: {error}");
                fx.event(Event::Note { level: Level::Warn, text });
            }
            Err(_) => {}
        }
        let news = PurgeNews { removed: run.removed };
        let over = run.wait.is_empty();
        over.then(|| {
            self.run = None;
            news
        })
    }
}

impl Run {
    fn order(&mut self, what: What, file_op: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.wait.push_back((op, what));
        fx.file(self.lane, op, file_op);
    }

    fn on_output(
        &mut self,
        what: What,
        output: &FileOutput<'_>,
        zoo: impl Zoo,
        ids: &mut Ids,
        fx: &mut Effects,
    ) {
        match (what, output) {
            (What::SnapNames, FileOutput::Names(names)) => self.snap_names = names.to_vec(),
            (What::LogNames, FileOutput::Names(names)) => {
                self.log_names = names.to_vec();
                self.listed(zoo, ids, fx);
            }
            (What::Note, FileOutput::Bytes(bytes)) => self.noted(bytes, zoo, ids, fx),
            (What::End, FileOutput::Bytes(bytes)) => self.on_end(bytes, zoo, ids, fx),
            (What::Piece, FileOutput::Bytes(bytes)) => self.on_piece(bytes, zoo, ids, fx),
            (What::Unlinked, _) => self.removed += 1,
            _ => {}
        }
    }

    fn listed(&mut self, zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        // What is in the wrong folder was refused at start, and is left alone here.
        self.plan = Plan::of(&self.snap_names, &self.log_names, false).unwrap_or_default();
        if self.plan.takeover {
            self.open(TAKEOVER_NAME.to_string(), ids, fx);
            let read = FileOp::Read { file: self.file, offset: 0, len: 64 };
            self.order(What::Note, read, ids, fx);
            return;
        }
        self.candidates = self.plan.snapshots.iter().copied().collect();
        self.next(zoo, ids, fx);
    }

    /// A note that cannot be read protects everything.
    fn noted(&mut self, note: &[u8], zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        self.close(ids, fx);
        let newest = Takeover::decode(note).map_or(Zxid(i64::MAX), |note| note.newest);
        self.protected = Some(newest);
        self.candidates = self.plan.snapshots.iter().copied().collect();
        self.candidates.retain(|(zxid, _)| *zxid > newest);
        self.next(zoo, ids, fx);
    }

    fn open(&mut self, name: String, ids: &mut Ids, fx: &mut Effects) {
        self.file = ids.file();
        self.order(What::Open, FileOp::Open { file: self.file, dir: Dir::Snap, name }, ids, fx);
    }

    fn close(&mut self, ids: &mut Ids, fx: &mut Effects) {
        self.order(What::Nothing, FileOp::Close { file: self.file }, ids, fx);
    }

    /// Looks at the next snapshot, unless enough were found.
    fn next(&mut self, zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        let enough = if self.protected.is_some() { PROOFS } else { self.retain };
        let candidate = if self.whole.len() < enough { self.candidates.pop_front() } else { None };
        match candidate {
            Some((zxid, len)) => {
                self.candidates.push_front((zxid, len));
                self.open(snapshot_name(zxid), ids, fx);
                self.read = 0;
                self.sum = Adler32::new();
                if self.protected.is_some() {
                    self.read_on(ids, fx);
                } else {
                    let offset = len.saturating_sub(5);
                    let read = FileOp::Read { file: self.file, offset, len: 5 };
                    self.order(What::End, read, ids, fx);
                }
            }
            None if self.protected.is_some() => self.lift(enough, zoo, ids, fx),
            None => self.remove(zoo, ids, fx),
        }
    }

    /// The candidate was judged.
    fn judged(&mut self, whole: bool, zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        let (zxid, _) = self.candidates.pop_front().expect("one is being looked at");
        if whole {
            self.whole.push(zxid);
        }
        self.close(ids, fx);
        self.next(zoo, ids, fx);
    }

    fn on_end(&mut self, bytes: &[u8], zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        let len = self.candidates.front().map_or(0, |candidate| candidate.1);
        self.judged(looks_whole(len, bytes), zoo, ids, fx);
    }

    /// Reads the next piece: up to the last seal, then that seal.
    fn read_on(&mut self, ids: &mut Ids, fx: &mut Effects) {
        let len = self.candidates.front().map_or(0, |candidate| candidate.1);
        let sealed = len.saturating_sub(13);
        let left = if self.read < sealed { sealed - self.read } else { len - self.read };
        let len = left.min(u64::from(PIECE)) as u32;
        let read = FileOp::Read { file: self.file, offset: self.read, len };
        self.order(What::Piece, read, ids, fx);
    }

    fn on_piece(&mut self, bytes: &[u8], zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        fx.step();
        let len = self.candidates.front().map_or(0, |candidate| candidate.1);
        if self.read >= len.saturating_sub(13) || bytes.is_empty() {
            return self.judged(seal_fits(&self.sum, bytes), zoo, ids, fx);
        }
        self.sum.write(bytes);
        self.read += bytes.len() as u64;
        self.read_on(ids, fx);
    }

    /// Ends the protection of other servers' files if enough snapshots of ours were read back.
    fn lift(&mut self, enough: usize, zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        if self.whole.len() >= enough {
            let name = TAKEOVER_NAME.to_string();
            self.order(What::Nothing, FileOp::Unlink { dir: Dir::Snap, name }, ids, fx);
            let text = "two snapshots of this server were read back: the files taken over from \
                        another server are no longer needed";
            fx.event(Event::Note { level: Level::Info, text: text.to_string() });
            self.protected = None;
            self.whole.clear();
            self.candidates = self.plan.snapshots.iter().copied().collect();
            self.next(zoo, ids, fx);
        }
    }

    /// Removes what is older than the oldest snapshot to keep.
    fn remove(&mut self, zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        let Some(oldest) = self.whole.last().copied() else { return };
        for entry in core::mem::take(&mut self.snap_names) {
            if let Name::Snapshot(zxid, _) = Name::parse(&entry.name)
                && zxid < oldest
            {
                self.unlink(Dir::Snap, entry.name, ids, fx);
            }
        }
        let newest = self.plan.logs.last().copied();
        let first = if zoo.has(Mutation::PurgeTakesNeededLog) {
            self.whole.first().copied()
        } else {
            // Java keeps the log that begins last of those no later than the snapshot.
            self.plan.logs_after(Zxid(oldest.0 - 1)).first().copied()
        };
        for log in core::mem::take(&mut self.plan.logs) {
            if Some(log) < first && Some(log) != newest {
                self.unlink(Dir::Log, log_name(log), ids, fx);
            }
        }
    }

    fn unlink(&mut self, dir: Dir, name: String, ids: &mut Ids, fx: &mut Effects) {
        let text = format!("Removing file: {name}");
        fx.event(Event::Note { level: Level::Info, text });
        self.order(What::Unlinked, FileOp::Unlink { dir, name }, ids, fx);
    }
}

#[cfg(test)]
#[path = "purge_tests.rs"]
mod tests;
