// SPDX-License-Identifier: Apache-2.0
//! The epoch files, as Java's `QuorumPeer` keeps them: which epoch this server has promised itself
//! to, and whose history its log holds.
//!
//! `acceptedEpoch` and `currentEpoch` stand beside the snapshots, each a number in decimal. They
//! never decrease, and `currentEpoch` is never above `acceptedEpoch`.
//!
//! ```text
//!           List          Open, Read, Close        missing ones are written, SyncDir
//!  start ---------> names ------------------> judged -----------------------------> Epochs
//!                                               +- they contradict the log: stop (D5)
//!
//!  accept, set_current: Create tmp, Write, Sync, Close, Rename, SyncDir --> durable, and said (D1)
//!                                                            any failure --> halted (D2)
//! ```
//!
//! A server that is stopped in the middle of a synchronisation may hold transactions of an epoch
//! that it has accepted, but whose NEWLEADER it has not acknowledged: its log is then a beginning
//! of that leader's, and longer than all it ever acknowledged. It goes on from there with the
//! `currentEpoch` that it has, and so yields in elections to whoever finished. Java, which has the
//! same window, only starts there if it finds `currentEpoch.tmp`. With a `currentEpoch` of 0 it
//! never finished one, and does not vote before it has.

use alloc::{collections::VecDeque, format, string::String, sync::Arc, vec::Vec};

use super::{Ids, words};
use crate::{
    event::{Event, Level},
    id::{LaneId, OpId, Zxid},
    io::{Dir, Effects, Exit, FileError, FileErrorKind, FileOp, FileOutput},
    zoo::{Mutation, Zoo},
};

/// The epoch that was promised last.
const ACCEPTED: &str = "acceptedEpoch";
/// The epoch whose NEWLEADER was acknowledged last.
const CURRENT: &str = "currentEpoch";
/// What `currentEpoch` is about to become.
const CURRENT_TMP: &str = "currentEpoch.tmp";

/// More than any epoch has digits.
const LONGEST: u32 = 64;

/// What both files say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    accepted: u32,
    current: u32,
}

/// The files that were found, in the order of [`NAMES`].
type Found = [Option<u32>; 3];

const NAMES: [&str; 3] = [ACCEPTED, CURRENT, CURRENT_TMP];

/// What an operation of the reader was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Names,
    /// The content of this one of [`NAMES`].
    Content(usize),
    Other,
    /// The last one.
    Synced,
}

/// Reads the epoch files at start.
#[derive(Clone, Debug)]
pub struct EpochReader<Z: Zoo> {
    zoo: Z,
    lane: LaneId,
    /// The last transaction in the log.
    last: Zxid,
    /// The operations to end, in order.
    wait: VecDeque<(OpId, What)>,
    found: Found,
    /// What was found, with what was missing being written.
    epochs: Option<Epochs<Z>>,
    halted: bool,
}

impl<Z: Zoo> EpochReader<Z> {
    /// Begins, on a directory that was recovered up to `last`.
    pub fn start(zoo: Z, last: Zxid, ids: &mut Ids, fx: &mut Effects) -> EpochReader<Z> {
        let (lane, wait, found) = (ids.lane(), VecDeque::new(), [None; 3]);
        let mut reader = EpochReader { zoo, lane, last, wait, found, epochs: None, halted: false };
        reader.order(What::Names, FileOp::List { dir: Dir::Snap, make: false }, ids, fx);
        reader
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        self.wait.iter().any(|(waiting, _)| *waiting == op)
            || self.epochs.as_ref().is_some_and(|epochs| epochs.owns(op))
    }

    /// An operation of this machine ended. Gives the epochs once they are read and durable; after
    /// that the machine is of no further use.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<Epochs<Z>> {
        if let Some(epochs) = self.epochs.as_mut().filter(|epochs| epochs.owns(op)) {
            epochs.on_file(op, result, fx);
            return None;
        }
        let (next, what) = self.wait.pop_front().expect("the operation is one of ours");
        assert_eq!(op, next, "a lane's operations end in order");
        match (what, result) {
            _ if self.halted => {}
            (What::Names, Ok(FileOutput::Names(names))) => {
                let present = |name: &&str| names.iter().any(|entry| entry.name == **name);
                for (at, _) in NAMES.iter().enumerate().filter(|(_, name)| present(name)) {
                    self.read(at, ids, fx);
                }
                if self.wait.is_empty() {
                    self.judge(ids, fx);
                }
            }
            (What::Content(at), Ok(FileOutput::Bytes(bytes))) => {
                match parse(bytes) {
                    Some(epoch) => self.found[at] = Some(epoch),
                    // A rename that never came leaves this behind, perhaps torn.
                    None if NAMES[at] == CURRENT_TMP => {}
                    None => self.stop(words::no_epoch(NAMES[at], bytes), fx),
                }
            }
            (What::Other, Ok(_)) if self.wait.is_empty() => self.judge(ids, fx),
            (What::Synced, Ok(_)) => return self.epochs.take(),
            (_, Ok(_)) => {}
            (_, Err(error)) => self.stop(words::unreadable_epoch(error), fx),
        }
        None
    }

    fn read(&mut self, at: usize, ids: &mut Ids, fx: &mut Effects) {
        let file = ids.file();
        let open = FileOp::Open { file, dir: Dir::Snap, name: NAMES[at].into() };
        self.order(What::Other, open, ids, fx);
        let read = FileOp::Read { file, offset: 0, len: LONGEST };
        self.order(What::Content(at), read, ids, fx);
        self.order(What::Other, FileOp::Close { file }, ids, fx);
    }

    /// Everything is read: writes what was missing, and syncs the folder, for what a killed process
    /// renamed may be in the system's cache alone, and is about to be said.
    fn judge(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if self.halted {
            return;
        }
        let pair = match reconcile(self.found, self.last) {
            Ok(pair) => pair,
            Err(why) => return self.stop(why, fx),
        };
        if self.last.epoch() > pair.current {
            let text = words::half_synced(self.last, pair.current);
            fx.event(Event::Note { level: Level::Info, text });
        }
        let mut epochs = Epochs::new(self.zoo, self.lane, pair);
        let [accepted, current, _] = self.found;
        for (name, found, epoch) in
            [(CURRENT, current, pair.current), (ACCEPTED, accepted, pair.accepted)]
        {
            if found != Some(epoch) {
                epochs.write(name, epoch, ids, fx);
            }
        }
        self.epochs = Some(epochs);
        self.order(What::Synced, FileOp::SyncDir { dir: Dir::Snap }, ids, fx);
    }

    fn order(&mut self, what: What, file_op: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.wait.push_back((op, what));
        fx.file(self.lane, op, file_op);
    }

    /// D5: stops the server.
    fn stop(&mut self, why: String, fx: &mut Effects) {
        if !core::mem::replace(&mut self.halted, true) {
            fx.halt(Exit::DataDir, why);
        }
    }
}

/// The epoch in a file: its first line, as Java reads it.
fn parse(bytes: &[u8]) -> Option<u32> {
    let line = str::from_utf8(bytes).ok()?.lines().next()?;
    // Beyond, a zxid would be negative.
    line.parse::<i64>()
        .ok()
        .filter(|epoch| (0..=i64::from(i32::MAX)).contains(epoch))?
        .try_into()
        .ok()
}

/// What the files come to, beside a log that ends with `last`; or why they cannot be right.
fn reconcile([mut accepted, current, tmp]: Found, last: Zxid) -> Result<Pair, String> {
    let logged = last.epoch();
    let mut pair = Pair { accepted: 0, current: current.unwrap_or(logged) };
    if logged > pair.current && accepted.is_none_or(|accepted| accepted < logged) {
        match tmp {
            Some(tmp) if tmp >= logged => pair.current = tmp,
            // Its first synchronisation was cut short, before it accepted anything.
            _ if current == Some(0) => accepted = Some(logged),
            _ => return Err(words::epoch_too_old(last, pair.current)),
        }
    }
    pair.accepted = accepted.unwrap_or(logged.max(pair.current));
    if pair.accepted < pair.current {
        return Err(words::epochs_crossed(pair.accepted, pair.current));
    }
    Ok(pair)
}

/// The epochs of a server, and the writer of their files.
#[derive(Clone, Debug)]
pub struct Epochs<Z: Zoo> {
    zoo: Z,
    lane: LaneId,
    durable: Pair,
    /// What will be durable once all that was ordered is.
    ordered: Pair,
    /// Operations to end, in order; the last of each write with what is durable then.
    flight: VecDeque<(OpId, Option<Pair>)>,
    halted: bool,
}

impl<Z: Zoo> Epochs<Z> {
    fn new(zoo: Z, lane: LaneId, pair: Pair) -> Epochs<Z> {
        let flight = VecDeque::new();
        Epochs { zoo, lane, durable: pair, ordered: pair, flight, halted: false }
    }

    /// The epoch that was promised last, as far as it is durable: no earlier leader is followed.
    pub fn accepted(&self) -> u32 {
        self.durable.accepted
    }

    /// The epoch whose history the log holds, as far as it is durable.
    pub fn current(&self) -> u32 {
        self.durable.current
    }

    /// Whether no write is under way.
    pub fn is_idle(&self) -> bool {
        self.flight.is_empty()
    }

    /// Promises an epoch above all before it. It counts, and may be said, once
    /// [`Epochs::accepted`] gives it.
    pub fn accept(&mut self, epoch: u32, ids: &mut Ids, fx: &mut Effects) {
        assert!(epoch > self.ordered.accepted, "epochs only grow");
        self.ordered.accepted = epoch;
        self.write(ACCEPTED, epoch, ids, fx);
    }

    /// Takes over the history of an accepted epoch, which is durable in the log. It counts once
    /// [`Epochs::current`] gives it.
    pub fn set_current(&mut self, epoch: u32, ids: &mut Ids, fx: &mut Effects) {
        assert!(epoch > self.ordered.current, "epochs only grow");
        assert!(epoch <= self.ordered.accepted, "an epoch is accepted first");
        self.ordered.current = epoch;
        self.write(CURRENT, epoch, ids, fx);
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        self.flight.iter().any(|(flying, _)| *flying == op)
    }

    /// An operation of this machine ended. True if what is durable moved.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        fx: &mut Effects,
    ) -> bool {
        let (next, durable) = self.flight.pop_front().expect("the operation is one of ours");
        assert_eq!(op, next, "a lane's operations end in order");
        if let Err(error) = result {
            self.halt(error, fx);
            return false;
        }
        let before = self.durable;
        if self.zoo.has(Mutation::EpochSaidBeforeSync) {
            self.durable = self.ordered;
        } else if let Some(durable) = durable.filter(|_| !self.halted) {
            self.durable = durable;
        }
        self.durable != before
    }

    /// Writes a file in full under another name, and gives it its own when it is durable.
    fn write(&mut self, name: &'static str, epoch: u32, ids: &mut Ids, fx: &mut Effects) {
        let (file, dir, tmp) = (ids.file(), Dir::Snap, format!("{name}.tmp"));
        let data = Arc::new(Vec::from(format!("{epoch}")));
        self.order(FileOp::Create { file, dir, name: tmp.clone() }, ids, fx);
        self.order(FileOp::Write { file, offset: 0, data }, ids, fx);
        self.order(FileOp::Sync { file }, ids, fx);
        self.order(FileOp::Close { file }, ids, fx);
        self.order(FileOp::Rename { dir, from: tmp, to: name.into() }, ids, fx);
        self.order(FileOp::SyncDir { dir }, ids, fx);
        let last = self.flight.back_mut().expect("ordered above");
        last.1 = Some(self.ordered);
    }

    fn order(&mut self, what: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.flight.push_back((op, None));
        fx.file(self.lane, op, what);
    }

    /// D2.
    fn halt(&mut self, error: &FileError, fx: &mut Effects) {
        if error.kind != FileErrorKind::NotRun && !core::mem::replace(&mut self.halted, true) {
            fx.halt(Exit::DiskWrite, words::unwritten("an epoch file", error));
        }
    }
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;
