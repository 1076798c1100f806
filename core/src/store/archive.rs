// SPDX-License-Identifier: Apache-2.0
//! Serves learners from the disk of the server that leads them: what its log holds, transactions
//! from there, a whole tree from a snapshot.
//!
//! ```text
//!  survey     list both folders                                      -> Survey
//!  fetch_log  list, open, read to the transaction; later only read   -> Log, a piece's worth
//!  fetch_tree open the newest snapshot, read; later only read        -> Tree, a piece
//!             none that ends late enough: wait for snapshot_done
//! ```
//!
//! Each learner has a desk, with its place in the log and in a snapshot, and one question at a
//! time. One operation is under way at a time, in one lane: desks take turns by the order of their
//! questions, and when an operation fails no other one goes down with it; the next has a new lane.
//! No more than a piece, or the largest record, is held for a learner. What the purge unlinks stays
//! readable where it is open.
//!
//! Only what was recovered is believed: the log behind the snapshot that recovery began with, which
//! is one history without gaps. Older logs may hold what a leader said was never committed.

mod log;
mod tree;

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::{String, ToString},
};

use self::{
    log::{LogReader, LogStep, Survey},
    tree::{TreeReader, TreeStep},
};
use super::{Ids, words};
use crate::{
    event::{Event, Level},
    id::{FileId, LaneId, LinkId, OpId, Zxid},
    io::{Effects, FileError, FileOp, FileOutput},
    log::snapshot_name,
};

/// Bytes read at once.
const PIECE: u32 = 128 << 10;

/// What the log on disk holds for a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSpan {
    /// The first transaction that can be shown to be of this history.
    pub first: Zxid,
    /// The bytes of the files that hold what the learner lacks.
    pub bytes: u64,
    /// The most of these that are read rather than sending a tree.
    pub most: u64,
}

/// What was read for a learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveNews<'a> {
    /// The answer to [`Archive::survey`].
    Survey {
        /// The learner.
        link: LinkId,
        /// What the log holds; none if it may not be used, or could not be read.
        disk: Option<LogSpan>,
    },
    /// The answer to [`Archive::fetch_log`].
    Log {
        /// The learner.
        link: LinkId,
        /// The transaction that was asked for, or, if it does not stand in the log, the newest
        /// older one that does.
        after: Zxid,
        /// Transactions with their entries, in order, the first of them the one that follows; none
        /// if the log does not hold it.
        entries: &'a [(Zxid, &'a [u8])],
    },
    /// The answer to [`Archive::fetch_tree`].
    Tree {
        /// The learner.
        link: LinkId,
        /// The last transaction in the tree.
        zxid: Zxid,
        /// The next bytes: the first begin with the number of sessions, the last end with
        /// [`SIGNATURE`](crate::log::SIGNATURE).
        bytes: &'a [u8],
        /// Whether they are the last.
        last: bool,
    },
    /// The tree of which bytes were given cannot be given to its end: the learner must come again.
    Failed {
        /// The learner.
        link: LinkId,
        /// Why, for people.
        why: String,
    },
}

/// What a learner waits for.
#[derive(Clone, Debug)]
enum Task {
    Nothing,
    Survey(Survey),
    Log,
    /// Bytes of a tree that ends no earlier than this.
    Tree(Zxid),
    /// A snapshot that ends no earlier than this.
    Snapshot(Zxid),
}

/// A learner's.
#[derive(Clone)]
struct Desk {
    task: Task,
    log: LogReader,
    tree: Option<TreeReader>,
}

/// The operation under way.
#[derive(Clone, Copy, Debug)]
struct Flight {
    op: OpId,
    /// Whose it is; none of those that nobody waits for.
    link: Option<LinkId>,
    /// The file that it opens.
    opens: Option<FileId>,
}

/// The reader of snapshots and logs for learners.
#[derive(Clone)]
pub struct Archive {
    /// `snapshotSizeFactor` in millionths.
    factor: Option<u32>,
    /// The log is believed from here on.
    base: Zxid,
    /// The newest snapshot, unless it was found bad.
    newest: Option<Zxid>,
    lane: Option<LaneId>,
    desks: BTreeMap<LinkId, Desk>,
    /// The operations to order, and whose they are.
    queue: VecDeque<(Option<LinkId>, FileOp)>,
    flight: Option<Flight>,
}

impl Archive {
    /// With nothing to serve from. `factor` is `snapshotSizeFactor` in millionths, none if no log
    /// is to be read.
    pub fn new(factor: Option<u32>) -> Archive {
        Archive {
            factor,
            base: Zxid::ZERO,
            newest: None,
            lane: None,
            desks: BTreeMap::new(),
            queue: VecDeque::new(),
            flight: None,
        }
    }

    /// The data directory was recovered, from this snapshot on. All learners from before are gone.
    pub fn begin(&mut self, snapshot: Zxid) {
        (self.base, self.newest) = (snapshot, Some(snapshot));
        for (_, desk) in core::mem::take(&mut self.desks) {
            self.clear(desk);
        }
        self.queue.retain(|(link, _)| link.is_none());
        self.flight = self.flight.map(|flight| Flight { link: None, ..flight });
    }

    /// A later snapshot is durable: it goes to those who wait for one. Places in the log where
    /// nobody is reading are given up, so that the purge that follows frees space.
    pub fn snapshot_done(&mut self, zxid: Zxid, ids: &mut Ids, fx: &mut Effects) {
        self.newest = self.newest.max(Some(zxid));
        for (link, desk) in &mut self.desks {
            match desk.task {
                Task::Log => continue,
                Task::Snapshot(least) if least <= zxid => {
                    self.queue.push_back((Some(*link), desk.open_tree(zxid, least, ids)));
                }
                _ => {}
            }
            let idle = desk.log.leave().map(|file| (None, FileOp::Close { file }));
            self.queue.extend(idle);
        }
        self.go_on(ids, fx);
    }

    /// A snapshot that ends at or after this transaction is waited for: one is to be taken as soon
    /// as it can be, and told to [`Archive::snapshot_done`].
    pub fn wants_snapshot(&self) -> Option<Zxid> {
        let waiting = self.desks.values().filter_map(|desk| match desk.task {
            Task::Snapshot(least) => Some(least),
            _ => None,
        });
        waiting.max()
    }

    /// Asks what the log holds for a learner whose last transaction is `last`.
    pub fn survey(&mut self, link: LinkId, last: Zxid, ids: &mut Ids, fx: &mut Effects) {
        let (survey, first) = Survey::start(last);
        self.desk(link).task = Task::Survey(survey);
        self.ask(link, first, ids, fx);
    }

    /// Asks for transactions after `after` and none beyond `upto`, which are durable in the log.
    pub fn fetch_log(
        &mut self,
        link: LinkId,
        after: Zxid,
        upto: Zxid,
        ids: &mut Ids,
        fx: &mut Effects,
    ) {
        let base = self.base;
        let desk = self.desk(link);
        desk.task = Task::Log;
        let (left, first) = desk.log.ask(base, after, upto);
        self.queue.extend(left.map(|file| (None, FileOp::Close { file })));
        self.ask(link, first, ids, fx);
    }

    /// Asks for the next bytes of a tree; the first time, of one that ends no earlier than `least`.
    pub fn fetch_tree(&mut self, link: LinkId, least: Zxid, ids: &mut Ids, fx: &mut Effects) {
        let newest = self.newest.filter(|newest| *newest >= least);
        let desk = self.desk(link);
        let first = match (&mut desk.tree, newest) {
            (Some(tree), _) => {
                desk.task = Task::Tree(least);
                tree.go_on()
            }
            (None, Some(newest)) => desk.open_tree(newest, least, ids),
            (None, None) => return desk.task = Task::Snapshot(least),
        };
        self.ask(link, first, ids, fx);
    }

    /// A learner is gone.
    pub fn gone(&mut self, link: LinkId, ids: &mut Ids, fx: &mut Effects) {
        self.queue.retain(|(asking, _)| *asking != Some(link));
        if let Some(desk) = self.desks.remove(&link) {
            self.clear(desk);
        }
        if let Some(flight) = &mut self.flight {
            flight.link = flight.link.filter(|asking| *asking != link);
        }
        self.go_on(ids, fx);
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        self.flight.is_some_and(|flight| flight.op == op)
    }

    /// An operation of this machine ended. What was read is given at once, at most one piece.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
        give: &mut dyn FnMut(ArchiveNews<'_>, &mut Effects),
    ) {
        let Flight { op: next, link, opens } = self.flight.take().expect("one is under way");
        assert_eq!(op, next, "one operation at a time");
        fx.step();
        if result.is_err() {
            self.lane = None;
        }
        match link {
            Some(link) => self.on_output(link, result, ids, fx, give),
            None if result.is_ok() => {
                self.queue.extend(opens.map(|file| (None, FileOp::Close { file })));
            }
            None => {}
        }
        self.go_on(ids, fx);
    }

    fn on_output(
        &mut self,
        link: LinkId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
        give: &mut dyn FnMut(ArchiveNews<'_>, &mut Effects),
    ) {
        let desk = self.desks.get_mut(&link).expect("it was looked up");
        match (&mut desk.task, result) {
            (Task::Survey(survey), Ok(output)) => match survey.on_output(output) {
                Some(next) => self.queue.push_back((Some(link), next)),
                None => {
                    let disk = survey.span(self.base, self.newest, self.factor);
                    desk.task = Task::Nothing;
                    give(ArchiveNews::Survey { link, disk }, fx);
                }
            },
            (Task::Survey(_), Err(error)) => {
                desk.task = Task::Nothing;
                note(words::unread("the log", &error.text), fx);
                give(ArchiveNews::Survey { link, disk: None }, fx);
            }
            (Task::Log, Ok(output)) => match desk.log.on_output(output, ids) {
                LogStep::Order(left, next) => {
                    self.queue.extend(left.map(|file| (None, FileOp::Close { file })));
                    self.queue.push_back((Some(link), next));
                }
                LogStep::Over => self.give_log(link, fx, give),
            },
            (Task::Log, Err(error)) => {
                note(words::unread("the log", &error.text), fx);
                desk.log.give_up();
                self.give_log(link, fx, give);
            }
            (Task::Tree(least), result) => {
                let least = *least;
                let step = match result {
                    Ok(output) => desk.tree.as_mut().expect("it is read").on_output(output),
                    Err(error) => Err(error.text.to_string()),
                };
                self.on_tree(link, least, step, fx, give);
            }
            (Task::Nothing | Task::Snapshot(_), _) => {}
        }
    }

    fn give_log(
        &mut self,
        link: LinkId,
        fx: &mut Effects,
        give: &mut dyn FnMut(ArchiveNews<'_>, &mut Effects),
    ) {
        let desk = self.desks.get_mut(&link).expect("it was looked up");
        desk.task = Task::Nothing;
        let (after, entries) = (desk.log.after(), desk.log.entries());
        let left = if entries.is_empty() { desk.log.place() } else { None };
        give(ArchiveNews::Log { link, after, entries: &entries }, fx);
        if let Some(file) = left {
            desk.log.leave();
            self.queue.push_back((None, FileOp::Close { file }));
        }
    }

    fn on_tree(
        &mut self,
        link: LinkId,
        least: Zxid,
        step: Result<TreeStep, String>,
        fx: &mut Effects,
        give: &mut dyn FnMut(ArchiveNews<'_>, &mut Effects),
    ) {
        let desk = self.desks.get_mut(&link).expect("it was looked up");
        let tree = desk.tree.as_mut().expect("it is read");
        let zxid = tree.zxid();
        let (over, news) = match step {
            Ok(TreeStep::Order(next)) => return self.queue.push_back((Some(link), next)),
            Ok(TreeStep::Piece { last }) => {
                desk.task = Task::Nothing;
                (last, Some(ArchiveNews::Tree { link, zxid, bytes: tree.piece(), last }))
            }
            Err(why) => {
                self.newest = self.newest.filter(|newest| *newest != zxid);
                let why = words::unread(&snapshot_name(zxid), &why);
                note(why.clone(), fx);
                let begun = tree.is_begun();
                desk.task = if begun { Task::Nothing } else { Task::Snapshot(least) };
                (true, begun.then_some(ArchiveNews::Failed { link, why }))
            }
        };
        if let Some(news) = news {
            give(news, fx);
        }
        if over && let Some(tree) = desk.tree.take() {
            self.queue.extend(tree.file().map(|file| (None, FileOp::Close { file })));
        }
    }

    fn desk(&mut self, link: LinkId) -> &mut Desk {
        let new = || Desk { task: Task::Nothing, log: LogReader::new(), tree: None };
        let desk = self.desks.entry(link).or_insert_with(new);
        assert!(matches!(desk.task, Task::Nothing), "one question of a learner at a time");
        desk
    }

    /// Closes what a desk has open.
    fn clear(&mut self, mut desk: Desk) {
        let files = desk.log.leave().into_iter().chain(desk.tree.and_then(|tree| tree.file()));
        self.queue.extend(files.map(|file| (None, FileOp::Close { file })));
    }

    fn ask(&mut self, link: LinkId, first: FileOp, ids: &mut Ids, fx: &mut Effects) {
        self.queue.push_back((Some(link), first));
        self.go_on(ids, fx);
    }

    /// Orders the next operation, unless one is under way.
    fn go_on(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if self.flight.is_some() {
            return;
        }
        let Some((link, what)) = self.queue.pop_front() else { return };
        let opens = match what {
            FileOp::Open { file, .. } => Some(file),
            _ => None,
        };
        let op = ids.op();
        self.flight = Some(Flight { op, link, opens });
        fx.file(*self.lane.get_or_insert_with(|| ids.lane()), op, what);
    }
}

impl Desk {
    /// Begins to read a tree.
    fn open_tree(&mut self, zxid: Zxid, least: Zxid, ids: &mut Ids) -> FileOp {
        self.task = Task::Tree(least);
        let (tree, first) = TreeReader::start(zxid, ids);
        self.tree = Some(tree);
        first
    }
}

fn note(text: String, fx: &mut Effects) {
    fx.event(Event::Note { level: Level::Warn, text });
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
