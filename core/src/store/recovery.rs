// SPDX-License-Identifier: Apache-2.0
//! Reads the data directory at start, and repairs what may be repaired.
//!
//! ```text
//!  lock, list -> read the mark -> newest snapshot that loads -> logs after it -> tidy -> serve
//!                                   |  any that does not:         |  tear: cut (D4)
//!                                   +- say so, try the next       +- rot: stop (D5)
//! ```
//!
//! With no snapshot the logs must begin at the beginning, and `snapshot.0`, that of an empty tree,
//! is written before anything is served (D7): so one of ZooKeeper 3.4 with logs alone becomes one
//! on which Java 3.9 starts. A later one would hold what may not be history: the end of a member's
//! log may have to be cut again, and a snapshot cannot be. Reading is done in pieces; the next one
//! is ordered before the last one is worked on.
//!
//! A directory can be read again, up to a ceiling: [`ceiling`] says how what is beyond goes.

mod ceiling;

use alloc::{collections::VecDeque, string::String, sync::Arc, vec::Vec};
use core::ops::Range;

use super::{
    Frozen, Ids, Listed, LogConfig, LogWriter, SessionTimeouts, SnapshotNews, Snapshotter,
    plan::{LogEnd, Plan, Verdict},
    replay::{Loading, Replay},
    words,
};
use crate::{
    event::{Event, Level},
    hash::Keyed,
    id::{FileId, LaneId, OpId, Zxid},
    io::{Dir, DirEntry, Effects, Exit, FileError, FileErrorKind, FileOp, FileOutput},
    log::{
        LogScanner, MARK_LEN, MARK_NAME, Mark, Slot, Step, TAKEOVER_NAME, TailForm, Takeover,
        log_name, looks_whole, partial_name, snapshot_name,
    },
    tree::Tree,
    zoo::{Mutation, Zoo},
};

/// The name of the file in `dataDir` whose lock keeps a second server out.
pub const LOCK_NAME: &str = "menagerie.lock";

/// Bytes read at once.
const PIECE: u32 = 256 << 10;

/// What recovery has to know.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryConfig {
    /// The tree's hash key.
    pub hash: Keyed,
    /// Whether `dataLogDir` is another folder than `dataDir`.
    pub separate: bool,
    /// Whether missing folders are made (`datadir.autocreate`).
    pub make: bool,
    /// What a first snapshot ends in.
    pub tail: TailForm,
    /// For the writer of the log that goes on from here.
    pub log: LogConfig,
    /// Whether this process holds the lock already: it has read the directory before.
    pub locked: bool,
    /// The last transaction to keep (D9); none to keep all. What was found may end before it.
    pub upto: Option<Zxid>,
}

/// What was in the data directory.
#[derive(Clone)]
pub struct Recovered<Z: Zoo> {
    /// The tree.
    pub tree: Tree,
    /// The sessions that may come back.
    pub sessions: SessionTimeouts,
    /// The last transaction.
    pub zxid: Zxid,
    /// The last transaction in the newest snapshot.
    pub snapshot: Zxid,
    /// How many transactions were replayed after it: they count toward the next one.
    pub replayed: u64,
    /// Bytes of these: they count, too.
    pub replayed_bytes: u64,
    /// Transactions after which the tree's digest was not the one that was recorded.
    pub mismatches: u64,
    /// The log, ready for the next transaction.
    pub log: LogWriter<Z>,
}

/// What an operation was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Root,
    Lock,
    SnapNames,
    LogNames,
    Mark,
    SnapshotOpen,
    SnapshotEnd,
    SnapshotPiece,
    LogOpen,
    LogPiece,
    /// Records of the newest log that are about to be written once more.
    Tail,
    /// A repair that must succeed.
    Repair,
    /// The last of the repairs.
    Tidied,
    /// Nothing depends on it.
    Nothing,
}

/// The file being read.
#[derive(Clone, Debug)]
struct Source {
    file: FileId,
    len: u64,
    /// Everything before this byte was read or is being read.
    ordered: u64,
}

/// The reader of the data directory.
#[derive(Clone)]
pub struct Recovery<Z: Zoo> {
    zoo: Z,
    config: RecoveryConfig,
    lane: LaneId,
    /// The operations to end, in order.
    wait: VecDeque<(OpId, What)>,
    /// Operations whose ends no longer matter.
    stale: Vec<OpId>,
    snap_names: Vec<DirEntry>,
    plan: Plan,
    mark: Option<Mark>,
    mark_file: Option<FileId>,
    source: Source,
    /// How many snapshots were tried; the last of them is being loaded.
    tried: usize,
    loading: Loading,
    state: Replay,
    /// The last transaction in the snapshot that was loaded.
    snapshot: Option<Zxid>,
    /// The logs to read; the first is being read.
    logs: VecDeque<Zxid>,
    /// The logs that begin beyond the ceiling, oldest first.
    beyond: Vec<Zxid>,
    scanner: LogScanner,
    /// The last good transaction in the log being read, or the one before its name's.
    seen: Zxid,
    /// Which bytes of the newest log are still to be written once more.
    again: Range<u64>,
    snapshotter: Snapshotter<Z>,
    /// What the first snapshot holds, where there is none.
    first: (Tree, Listed),
    halted: bool,
}

impl<Z: Zoo> Recovery<Z> {
    /// Begins. Nothing else is at work on the directory until it is through.
    pub fn start(zoo: Z, config: RecoveryConfig, ids: &mut Ids, fx: &mut Effects) -> Recovery<Z> {
        let mut recovery = Recovery {
            zoo,
            config,
            lane: ids.lane(),
            wait: VecDeque::new(),
            stale: Vec::new(),
            snap_names: Vec::new(),
            plan: Plan::default(),
            mark: None,
            mark_file: None,
            source: Source { file: FileId(0), len: 0, ordered: 0 },
            tried: 0,
            loading: Loading::new(config.hash),
            state: Replay::empty(config.hash),
            snapshot: None,
            logs: VecDeque::new(),
            beyond: Vec::new(),
            scanner: LogScanner::new(0),
            seen: Zxid::ZERO,
            again: 0..0,
            snapshotter: Snapshotter::new(zoo, config.tail),
            first: (Replay::empty(config.hash).tree, Listed::default()),
            halted: false,
        };
        let make = config.make;
        recovery.order(What::Root, FileOp::List { dir: Dir::Root, make }, ids, fx);
        if !config.locked {
            let lock = FileOp::Lock { dir: Dir::Root, name: LOCK_NAME.into() };
            recovery.order(What::Lock, lock, ids, fx);
        }
        recovery.order(What::SnapNames, FileOp::List { dir: Dir::Snap, make }, ids, fx);
        recovery.order(What::LogNames, FileOp::List { dir: Dir::Log, make }, ids, fx);
        recovery
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        self.wait.iter().any(|(waiting, _)| *waiting == op)
            || self.stale.contains(&op)
            || self.snapshotter.owns(op)
    }

    /// An operation of this machine ended. Gives everything back once all is read and tidy; after
    /// that the machine is of no further use.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<Recovered<Z>> {
        if self.snapshotter.owns(op) {
            let frozen = Frozen { tree: &mut self.first.0, sessions: &mut self.first.1 };
            match self.snapshotter.on_file(op, result, frozen, ids, fx)? {
                SnapshotNews::Done { zxid, .. } => {
                    self.snapshot = Some(zxid);
                    self.tidy(ids, fx);
                }
                SnapshotNews::Failed { .. } => self.stop(words::no_first_snapshot(), fx),
            }
            return None;
        }
        if let Some(at) = self.stale.iter().position(|stale| *stale == op) {
            self.stale.swap_remove(at);
            return None;
        }
        let (next, what) = self.wait.pop_front().expect("the operation is one of ours");
        assert_eq!(op, next, "a lane's operations end in order");
        match result {
            _ if self.halted => {}
            Ok(output) => return self.on_output(what, output, ids, fx),
            Err(error) => self.on_error(what, error, ids, fx),
        }
        None
    }

    fn on_output(
        &mut self,
        what: What,
        output: &FileOutput<'_>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<Recovered<Z>> {
        match (what, output) {
            (What::SnapNames, FileOutput::Names(names)) => self.snap_names = names.to_vec(),
            (What::LogNames, FileOutput::Names(names)) => self.listed(names, ids, fx),
            (What::Mark, FileOutput::Bytes(bytes)) => {
                if let Some(mark) = Mark::read(bytes, self.plan.logs.last().copied()) {
                    self.keep_mark(mark, ids, fx);
                }
                self.next_snapshot(ids, fx);
            }
            (What::SnapshotOpen, FileOutput::Length(len)) => {
                self.source.len = *len;
                let (file, offset) = (self.source.file, len.saturating_sub(5));
                let read = FileOp::Read { file, offset, len: 5 };
                self.order(What::SnapshotEnd, read, ids, fx);
            }
            (What::SnapshotEnd, FileOutput::Bytes(bytes)) => {
                if looks_whole(self.source.len, bytes) {
                    self.loading = Loading::new(self.config.hash);
                    self.read_on(What::SnapshotPiece, ids, fx);
                } else {
                    self.reject("its writing was never finished", ids, fx);
                }
            }
            (What::SnapshotPiece, FileOutput::Bytes(bytes)) => self.load(bytes, ids, fx),
            (What::LogOpen, FileOutput::Length(len)) => {
                self.source.len = *len;
                self.scanner = LogScanner::new(*len);
                self.read_on(What::LogPiece, ids, fx);
                self.scan(ids, fx);
            }
            (What::LogPiece, FileOutput::Bytes(bytes)) => {
                self.read_on(What::LogPiece, ids, fx);
                self.scanner.push(bytes);
                self.scan(ids, fx);
            }
            (What::Tail, FileOutput::Bytes(bytes)) => self.write_again(bytes, ids, fx),
            (What::Tidied, _) => return Some(self.recovered(ids, fx)),
            _ => {}
        }
        None
    }

    fn on_error(&mut self, what: What, error: &FileError, ids: &mut Ids, fx: &mut Effects) {
        match what {
            What::Nothing => {}
            What::SnapshotOpen | What::SnapshotEnd | What::SnapshotPiece => {
                self.lane = ids.lane();
                self.disregard();
                self.reject(&error.text, ids, fx);
            }
            What::Lock if error.kind == FileErrorKind::Locked => {
                self.stop(words::locked(), fx);
            }
            What::LogOpen | What::LogPiece | What::Tail => {
                let log = self.logs.front().copied().unwrap_or_default();
                self.stop(words::unreadable(&log_name(log), error), fx);
            }
            _ if error.kind == FileErrorKind::NotRun => {}
            _ => self.stop(words::unusable(error, self.config.make), fx),
        }
    }

    fn order(&mut self, what: What, file_op: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.wait.push_back((op, what));
        fx.file(self.lane, op, file_op);
    }

    /// How the operations under way end no longer matters.
    fn disregard(&mut self) {
        let stale = self.wait.drain(..).map(|(op, _)| op);
        self.stale.extend(stale);
    }

    /// D5: stops the server.
    fn stop(&mut self, why: String, fx: &mut Effects) {
        if !core::mem::replace(&mut self.halted, true) {
            fx.halt(Exit::DataDir, why);
        }
    }

    fn listed(&mut self, log_names: &[DirEntry], ids: &mut Ids, fx: &mut Effects) {
        match Plan::of(&self.snap_names, log_names, self.config.separate) {
            Ok(plan) => self.plan = plan,
            Err(why) => return self.stop(words::mixed(why), fx),
        }
        if let Some(why) = self.contradiction() {
            return self.stop(why, fx);
        }
        if !self.plan.mark {
            return self.next_snapshot(ids, fx);
        }
        let file = ids.file();
        self.mark_file = Some(file);
        let open = FileOp::Open { file, dir: Dir::Log, name: MARK_NAME.into() };
        self.order(What::Repair, open, ids, fx);
        self.order(What::Mark, FileOp::Read { file, offset: 0, len: MARK_LEN }, ids, fx);
    }

    /// Orders the next piece of the source, if there is one.
    fn read_on(&mut self, what: What, ids: &mut Ids, fx: &mut Effects) {
        let Source { file, len: total, ordered: offset } = self.source;
        if offset < total {
            let len = (total - offset).min(u64::from(PIECE)) as u32;
            self.source.ordered += u64::from(len);
            self.order(what, FileOp::Read { file, offset, len }, ids, fx);
        }
    }

    fn open(&mut self, what: What, dir: Dir, name: String, ids: &mut Ids, fx: &mut Effects) {
        self.source = Source { file: ids.file(), len: 0, ordered: 0 };
        self.order(what, FileOp::Open { file: self.source.file, dir, name }, ids, fx);
    }

    fn close(&mut self, ids: &mut Ids, fx: &mut Effects) {
        self.order(What::Nothing, FileOp::Close { file: self.source.file }, ids, fx);
    }

    /// Tries the next older snapshot; without any, the logs must tell it all.
    fn next_snapshot(&mut self, ids: &mut Ids, fx: &mut Effects) {
        match self.plan.snapshots.get(self.tried) {
            Some((zxid, _)) => {
                let name = snapshot_name(*zxid);
                self.tried += 1;
                self.open(What::SnapshotOpen, Dir::Snap, name, ids, fx);
            }
            None => self.begin_logs(ids, fx),
        }
    }

    fn candidate(&self) -> Zxid {
        self.plan.snapshots[self.tried - 1].0
    }

    /// The candidate is no good.
    fn reject(&mut self, why: &str, ids: &mut Ids, fx: &mut Effects) {
        let text = words::rejected(&snapshot_name(self.candidate()), why);
        fx.event(Event::Note { level: Level::Warn, text });
        self.disregard();
        self.close(ids, fx);
        self.next_snapshot(ids, fx);
    }

    fn load(&mut self, bytes: &[u8], ids: &mut Ids, fx: &mut Effects) {
        fx.step();
        let last = self.source.ordered >= self.source.len;
        self.read_on(What::SnapshotPiece, ids, fx);
        if let Err(fault) = self.loading.push(bytes) {
            return self.reject(fault.words(), ids, fx);
        }
        if !last {
            return;
        }
        let zxid = self.candidate();
        let loading = core::mem::replace(&mut self.loading, Loading::new(self.config.hash));
        match loading.finish(zxid, fx) {
            Err(fault) => self.reject(fault.words(), ids, fx),
            Ok(state) => {
                self.state = state;
                self.snapshot = Some(zxid);
                self.close(ids, fx);
                self.begin_logs(ids, fx);
            }
        }
    }

    fn begin_logs(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if let Some(lost) = self.plan.lost_log(self.mark) {
            return self.stop(words::lost(&log_name(lost)), fx);
        }
        self.part_logs();
        self.logs = self.plan.logs_after(self.state.last).iter().copied().collect();
        if self.zoo.has(Mutation::ReplayStartsLate) {
            self.state.last = self.state.last.next();
        }
        self.next_log(ids, fx);
    }

    fn next_log(&mut self, ids: &mut Ids, fx: &mut Effects) {
        let Some(log) = self.logs.front().copied() else { return self.end_of_logs(ids, fx) };
        let last = self.state.last;
        if log > last && (!log.follows(last) || self.plan.speaks_of(last, log)) {
            return self.stop(words::hole(last, &log_name(log), self.plan.compressed()), fx);
        }
        self.seen = Zxid(log.0 - 1);
        self.open(What::LogOpen, Dir::Log, log_name(log), ids, fx);
    }

    /// Replays what the scanner has.
    fn scan(&mut self, ids: &mut Ids, fx: &mut Effects) {
        fx.step();
        loop {
            match self.scanner.step() {
                Step::Need => return,
                Step::Record { offset, zxid, .. }
                    if self.config.upto.is_some_and(|upto| zxid > upto) =>
                {
                    return self.end_at_ceiling(offset, ids, fx);
                }
                Step::Record { offset, zxid, entry } => {
                    if let Err(how) = self.state.replay(zxid, entry, fx) {
                        let log = self.logs.front().copied().unwrap_or_default();
                        let why = words::rot(&log_name(log), offset, self.seen, &how);
                        return self.stop(why, fx);
                    }
                    self.seen = zxid;
                }
                Step::End { offset, ending } => {
                    let log = self.logs.pop_front().expect("a log is being read");
                    let end = LogEnd {
                        log,
                        len: self.source.len,
                        offset,
                        ending,
                        last: self.seen,
                        next: self.logs.front().or(self.beyond.first()).copied(),
                    };
                    return self.end_log(end, ids, fx);
                }
            }
        }
    }

    fn end_log(&mut self, end: LogEnd, ids: &mut Ids, fx: &mut Effects) {
        let (name, offset) = (log_name(end.log), end.offset);
        self.disregard();
        let mut verdict = end.judge(self.mark);
        if matches!(verdict, Verdict::Rot(_)) && self.zoo.has(Mutation::RotTakenForTear) {
            verdict = Verdict::Cut;
        }
        match &verdict {
            Verdict::Cut if self.zoo.has(Mutation::TearStopsServer) => {
                return self.stop(words::rot(&name, offset, end.last, "it ends badly"), fx);
            }
            Verdict::Rot(how) => return self.stop(words::rot(&name, offset, end.last, how), fx),
            Verdict::Cut | Verdict::Remove => {
                let file = name.clone();
                fx.event(Event::TornTail { file, offset, zxid: end.last });
            }
            Verdict::Whole => {}
        }
        if verdict == Verdict::Cut && !self.zoo.has(Mutation::TearNotCut) {
            self.source.len = offset;
        }
        if verdict == Verdict::Remove {
            self.close(ids, fx);
            self.order(What::Repair, FileOp::Unlink { dir: Dir::Log, name }, ids, fx);
            self.order(What::Repair, FileOp::SyncDir { dir: Dir::Log }, ids, fx);
            return self.next_log(ids, fx);
        }
        self.vouch(end.log, offset, end.next.is_none());
        self.keep_log(ids, fx);
    }

    /// Finds out which bytes of a log that is kept up to `end` are to be written once more.
    fn vouch(&mut self, log: Zxid, end: u64, newest: bool) {
        let vouched = self.mark.filter(|mark| mark.log == log).map(|mark| mark.synced);
        // Where no mark of ours speaks of it, nothing vouches for any of the newest.
        self.again = match vouched.or(newest.then_some(0)) {
            Some(start) if !self.zoo.has(Mutation::RecoveredNotRewritten) => start..end,
            _ => 0..0,
        };
    }

    /// A process that died leaves behind what reads show and the disk does not have. It is about to
    /// be told, so it must survive the power from here on (D8). Where a sync failed before, another
    /// one would do nothing and report success: what was never known to be synced is written once
    /// more, so that there is something to sync. So is where the file ends, which is a cut here, or
    /// may have been one whose sync failed.
    fn keep_log(&mut self, ids: &mut Ids, fx: &mut Effects) {
        let (file, Range { start: offset, end }) = (self.source.file, self.again.clone());
        if offset < end {
            let len = (end - offset).min(u64::from(PIECE)) as u32;
            return self.order(What::Tail, FileOp::Read { file, offset, len }, ids, fx);
        }
        let len = self.source.len;
        self.order(What::Repair, FileOp::Truncate { file, len }, ids, fx);
        if !self.zoo.has(Mutation::RecoveredNotSynced) {
            self.order(What::Repair, FileOp::Sync { file }, ids, fx);
        }
        self.close(ids, fx);
        self.next_log(ids, fx);
    }

    fn write_again(&mut self, bytes: &[u8], ids: &mut Ids, fx: &mut Effects) {
        let (file, offset) = (self.source.file, self.again.start);
        self.again.start += bytes.len() as u64;
        if bytes.is_empty() {
            self.again = 0..0;
        } else {
            let data = Arc::new(bytes.to_vec());
            self.order(What::Repair, FileOp::Write { file, offset, data }, ids, fx);
        }
        self.keep_log(ids, fx);
    }

    fn end_of_logs(&mut self, ids: &mut Ids, fx: &mut Effects) {
        let last = self.state.last;
        if let Some((zxid, name)) = self.plan.newest_snapshot()
            && zxid > last
            && zxid.counter() > 0
        {
            let compressed = self.plan.compressed().is_some_and(|newest| newest == name);
            return self.stop(words::log_too_short(&name, last, compressed), fx);
        }
        self.remove_beyond(ids, fx);
        if self.snapshot.is_some() {
            return self.tidy(ids, fx);
        }
        // A start that was cut short left it, and it is about to be the first snapshot.
        let begun = partial_name(Zxid::ZERO);
        self.plan.partials.retain(|name| *name != begun);
        let frozen = Frozen { tree: &mut self.first.0, sessions: &mut self.first.1 };
        self.snapshotter.start(frozen, Zxid::ZERO, ids, fx);
    }

    /// Everything is read: removes what is unfinished, notes whose files these are, and has the
    /// mark ready.
    fn tidy(&mut self, ids: &mut Ids, fx: &mut Effects) {
        for name in core::mem::take(&mut self.plan.partials) {
            self.order(What::Repair, FileOp::Unlink { dir: Dir::Snap, name }, ids, fx);
        }
        if self.plan.taken_over(self.mark)
            && let Some(newest) = self.plan.newest()
        {
            fx.event(Event::Note { level: Level::Info, text: words::takeover() });
            let note = Takeover { newest }.encode();
            let file = self.create(Dir::Snap, TAKEOVER_NAME, note, ids, fx);
            self.order(What::Nothing, FileOp::Close { file }, ids, fx);
        }
        if self.mark_file.is_none() {
            let mark = Mark { log: Zxid::ZERO, synced: 0 };
            self.mark_file = Some(self.create(Dir::Log, MARK_NAME, mark.encode(), ids, fx));
        }
        self.lower_mark(ids, fx);
        self.order(What::Repair, FileOp::SyncDir { dir: Dir::Log }, ids, fx);
        self.order(What::Tidied, FileOp::SyncDir { dir: Dir::Snap }, ids, fx);
    }

    /// Creates a small file, durably.
    fn create(
        &mut self,
        dir: Dir,
        name: &str,
        data: Vec<u8>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> FileId {
        let file = ids.file();
        self.order(What::Repair, FileOp::Create { file, dir, name: name.into() }, ids, fx);
        let (offset, data) = (Slot::Begun.offset(), Arc::new(data));
        self.order(What::Repair, FileOp::Write { file, offset, data }, ids, fx);
        self.order(What::Repair, FileOp::Sync { file }, ids, fx);
        self.order(What::Repair, FileOp::SyncDir { dir }, ids, fx);
        file
    }

    fn recovered(&mut self, ids: &mut Ids, fx: &mut Effects) -> Recovered<Z> {
        let empty = Replay::empty(self.config.hash);
        let Replay { tree, sessions, last, replayed, replayed_bytes, mismatches, .. } =
            core::mem::replace(&mut self.state, empty);
        let mark_file = self.mark_file.expect("it was opened or created");
        fx.event(Event::Recovered {
            zxid: last,
            nodes: tree.node_count() as u64,
            sessions: sessions.len() as u64,
            replayed,
        });
        let log = LogWriter::new(self.zoo, self.config.log, mark_file, last, ids);
        let snapshot = self.snapshot.unwrap_or_default();
        Recovered {
            tree,
            sessions,
            zxid: last,
            snapshot,
            replayed,
            replayed_bytes,
            mismatches,
            log,
        }
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
pub(super) mod tests;
