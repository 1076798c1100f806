// SPDX-License-Identifier: Apache-2.0
//! Writes snapshots beside a running service.
//!
//! ```text
//!        start                last piece                 all done
//!  Idle -------> a piece at a time --------> seal, sync, rename, sync folder -------> Idle, Done
//!                      |                                   |
//!                      +---------- any failure ------------+--> close, unlink ------> Idle, Failed
//!                                                 (once it has its name: close)
//! ```
//!
//! A snapshot is the tree, the sessions and the last transaction at the moment of `start`: both
//! are frozen there, and keep of themselves what changes later. One piece is in flight at a time,
//! and what was written is synced every so often: the disk sets the pace, and a sync of the log
//! never finds more than a few megabytes of snapshot in its way.

use alloc::{format, string::String, sync::Arc, vec, vec::Vec};

use super::Ids;
use crate::{
    event::{Event, Level},
    id::{FileId, LaneId, OpId, SessionId, Zxid},
    io::{Dir, Effects, FileError, FileErrorKind, FileOp, FileOutput},
    log::{SnapshotSeal, TailForm, TreeDigest, partial_name, snapshot_name},
    tree::Tree,
    zoo::{Mutation, Zoo},
};

/// Bytes in a piece, about.
const PIECE: usize = 64 << 10;

/// Sessions looked at for a piece; the table has free places, too, so it is not the bytes that
/// bound this.
const SESSIONS: usize = 8 << 10;

/// Sessions looked at in a step.
const SESSIONS_PER_STEP: usize = 256;

/// Bytes from one sync to the next.
const SYNC_EVERY: u64 = 4 << 20;

/// How a snapshot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotNews {
    /// It is durable.
    Done {
        /// The last transaction in it.
        zxid: Zxid,
        /// The file's length in bytes.
        len: u64,
    },
    /// It could not be written, is gone, and should be tried again later.
    Failed {
        /// The last transaction in it.
        zxid: Zxid,
    },
}

/// What a snapshot is of, as it stood at the start.
pub struct Frozen<'a> {
    /// The znodes.
    pub tree: &'a mut Tree,
    /// The sessions.
    pub sessions: &'a mut dyn SessionView,
}

/// The sessions at one moment, handed out by and by while others come and go.
pub trait SessionView {
    /// Fixes the moment, and says how many sessions [`SessionView::next`] will give.
    fn begin(&mut self) -> usize;
    /// Gives the next ones, in at most `budget` steps; false once that was all.
    fn next(&mut self, budget: usize, give: &mut dyn FnMut(SessionId, i32)) -> bool;
    /// Gives up before the end.
    fn give_up(&mut self);
}

/// A list that nobody changes meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Listed(vec::IntoIter<(SessionId, i32)>);

impl Listed {
    /// These sessions and their timeouts in milliseconds.
    pub fn new(sessions: impl Iterator<Item = (SessionId, i32)>) -> Listed {
        Listed(sessions.collect::<Vec<_>>().into_iter())
    }
}

impl SessionView for Listed {
    fn begin(&mut self) -> usize {
        self.0.len()
    }

    fn next(&mut self, budget: usize, give: &mut dyn FnMut(SessionId, i32)) -> bool {
        self.0.by_ref().take(budget).for_each(|(session, timeout_ms)| give(session, timeout_ms));
        self.0.len() > 0
    }

    fn give_up(&mut self) {}
}

/// The writer of snapshots.
#[derive(Clone)]
pub struct Snapshotter<Z: Zoo> {
    zoo: Z,
    form: TailForm,
    state: State,
}

#[derive(Clone)]
enum State {
    Idle,
    Writing(Job),
    /// Removing what failed; the operations still to end.
    Clearing(Zxid, Vec<OpId>),
}

#[derive(Clone)]
struct Job {
    zxid: Zxid,
    digest: TreeDigest,
    form: TailForm,
    lane: LaneId,
    file: FileId,
    /// Bytes written or in flight.
    len: u64,
    unsynced: u64,
    seal: SnapshotSeal,
    /// The piece being filled.
    piece: Vec<u8>,
    /// Whether sessions are still to be written.
    sessions_left: bool,
    stage: Stage,
    /// The operations to end, in order.
    wait: Vec<OpId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Creating,
    Pieces,
    /// Everything is ordered; the file still has its partial name.
    Naming,
    /// It has its own.
    Named,
}

impl<Z: Zoo> Snapshotter<Z> {
    /// A writer with nothing to do.
    pub fn new(zoo: Z, form: TailForm) -> Snapshotter<Z> {
        Snapshotter { zoo, form, state: State::Idle }
    }

    /// Whether a snapshot could be started.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Begins a snapshot of the tree as it stands, which is the work of all transactions up to
    /// `zxid`, and of the sessions as they stand.
    ///
    /// # Panics
    /// Unless [`Snapshotter::is_idle`].
    pub fn start(&mut self, frozen: Frozen<'_>, zxid: Zxid, ids: &mut Ids, fx: &mut Effects) {
        let Frozen { tree, sessions } = frozen;
        assert!(self.is_idle(), "one snapshot at a time");
        // Java has no digest before the first transaction and writes zero.
        let digest = if zxid == Zxid::ZERO { 0 } else { tree.digest() };
        tree.freeze();
        let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
        let mut job = Job {
            zxid,
            digest: TreeDigest { zxid, version: TreeDigest::VERSION, digest },
            form: self.form,
            lane: ids.lane(),
            file: ids.file(),
            len: 0,
            unsynced: 0,
            seal: SnapshotSeal::begin(sessions.begin(), &mut piece),
            piece,
            sessions_left: true,
            stage: Stage::Creating,
            wait: Vec::new(),
        };
        let create = FileOp::Create { file: job.file, dir: Dir::Snap, name: partial_name(zxid) };
        job.order(create, ids, fx);
        self.state = State::Writing(job);
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        match &self.state {
            State::Idle => false,
            State::Writing(job) => job.wait.contains(&op),
            State::Clearing(_, wait) => wait.contains(&op),
        }
    }

    /// An operation of this machine ended; `frozen` is what the start was given.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        frozen: Frozen<'_>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<SnapshotNews> {
        match &mut self.state {
            State::Idle => None,
            State::Clearing(zxid, wait) => {
                wait.retain(|waiting| *waiting != op);
                let news = SnapshotNews::Failed { zxid: *zxid };
                wait.is_empty().then(|| {
                    self.state = State::Idle;
                    news
                })
            }
            State::Writing(job) => {
                job.wait.retain(|waiting| *waiting != op);
                if let Err(error) = result {
                    let (zxid, wait) = job.give_up(error, frozen, ids, fx);
                    if wait.is_empty() {
                        self.state = State::Idle;
                        return Some(SnapshotNews::Failed { zxid });
                    }
                    self.state = State::Clearing(zxid, wait);
                    return None;
                }
                let done = job.go_on(self.zoo, frozen, ids, fx)?;
                self.state = State::Idle;
                Some(done)
            }
        }
    }
}

impl Job {
    fn order(&mut self, what: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.wait.push(op);
        fx.file(self.lane, op, what);
    }

    /// An operation succeeded; `wait` holds those that have not ended.
    fn go_on(
        &mut self,
        zoo: impl Zoo,
        frozen: Frozen<'_>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<SnapshotNews> {
        match self.stage {
            // The name changes with the last operation but two.
            Stage::Naming if self.wait.len() <= 2 => self.stage = Stage::Named,
            Stage::Creating | Stage::Pieces if self.wait.is_empty() => {
                self.stage = Stage::Pieces;
                self.next_piece(zoo, frozen, ids, fx);
            }
            _ => {}
        }
        let done = self.stage == Stage::Named && self.wait.is_empty();
        done.then_some(SnapshotNews::Done { zxid: self.zxid, len: self.len })
    }

    fn next_piece(&mut self, zoo: impl Zoo, frozen: Frozen<'_>, ids: &mut Ids, fx: &mut Effects) {
        let Frozen { tree, sessions } = frozen;
        fx.step();
        self.next_sessions(sessions, fx);
        let room = PIECE.saturating_sub(self.piece.len());
        let complete = room > 0 && !self.sessions_left && tree.freeze_next(&mut self.piece, room);
        self.seal.cover(&self.piece);
        if complete {
            self.seal.clone().end(self.digest, self.form, &mut self.piece);
        }
        let data = Arc::new(core::mem::take(&mut self.piece));
        let len = data.len() as u64;
        let file = self.file;
        self.order(FileOp::Write { file, offset: self.len, data }, ids, fx);
        self.len += len;
        self.unsynced += len;
        if complete {
            self.finish(zoo, ids, fx);
        } else if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.order(FileOp::Sync { file }, ids, fx);
        }
    }

    /// Adds sessions to the piece, a bounded number of them.
    fn next_sessions(&mut self, sessions: &mut dyn SessionView, fx: &mut Effects) {
        let Job { seal, piece, .. } = self;
        for _ in 0..SESSIONS / SESSIONS_PER_STEP {
            if !self.sessions_left || piece.len() >= PIECE {
                return;
            }
            fx.step();
            let mut put = |session, timeout_ms| seal.session(session, timeout_ms, piece);
            self.sessions_left = sessions.next(SESSIONS_PER_STEP, &mut put);
        }
    }

    /// D3: durable under the partial name, then renamed, then durable under its own.
    fn finish(&mut self, zoo: impl Zoo, ids: &mut Ids, fx: &mut Effects) {
        let (from, to) = (partial_name(self.zxid), snapshot_name(self.zxid));
        if !zoo.has(Mutation::SnapshotNotSynced) {
            self.order(FileOp::Sync { file: self.file }, ids, fx);
        }
        self.order(FileOp::Rename { dir: Dir::Snap, from, to }, ids, fx);
        let wrong = zoo.has(Mutation::SnapshotNameNotSynced);
        let dir = if wrong { Dir::Root } else { Dir::Snap };
        self.order(FileOp::SyncDir { dir }, ids, fx);
        self.order(FileOp::Close { file: self.file }, ids, fx);
        self.stage = Stage::Naming;
    }

    /// D3: deletes and reports. Gives back the operations to wait for.
    fn give_up(
        &mut self,
        error: &FileError,
        frozen: Frozen<'_>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> (Zxid, Vec<OpId>) {
        if frozen.tree.is_frozen() {
            frozen.tree.thaw();
        }
        frozen.sessions.give_up();
        let named = self.stage == Stage::Named;
        let text = failure_text(self.zxid, named, error);
        fx.event(Event::Note { level: Level::Error, text });
        if self.stage != Stage::Creating {
            self.lane = ids.lane();
            self.order(FileOp::Close { file: self.file }, ids, fx);
        }
        // What has its name is whole, and may have taken the place of what a start needs.
        if self.stage != Stage::Creating && !named {
            let name = partial_name(self.zxid);
            self.order(FileOp::Unlink { dir: Dir::Snap, name }, ids, fx);
        }
        (self.zxid, core::mem::take(&mut self.wait))
    }
}

fn failure_text(zxid: Zxid, named: bool, error: &FileError) -> String {
    let cure = match error.kind {
        FileErrorKind::Full => "Make room on the disk of the snapshots",
        _ => "Look after the disk of the snapshots",
    };
    let (how, left) = match named {
        true => ("is written, but not safe from a power loss", "stays"),
        false => ("could not be written", "is deleted"),
    };
    format!(
        "the snapshot at {zxid} {how}: {error}. It {left}, service goes on, and the next one is \
         tried in its turn. {cure}"
    )
}

#[cfg(test)]
#[path = "snapshotter_tests.rs"]
mod tests;
