// SPDX-License-Identifier: Apache-2.0
//! D9: what is beyond a ceiling was never committed, and goes durably.
//!
//! ```text
//!  read up to the ceiling -> the mark vouches for nothing -> unlink logs beyond, newest first
//!       -> cut the log that holds the ceiling -> all else as at any start
//! ```
//!
//! One lane does it in this order, with a sync behind each step. So a crash leaves a directory on
//! which any start succeeds, with a beginning of the old history that reaches the ceiling:
//!
//! - Until the mark is durable nothing else has changed. From then on it still says which log is
//!   ours, so that a tear there is one, and vouches for no byte: a log that goes, or loses its end,
//!   is neither lost nor rotten (D6).
//! - While logs go, those that are left have no gap: the newest goes first, and is gone for good
//!   before the next one goes.
//! - The cut comes when its log is the newest, where it may end wherever a record does.
//!
//! At last the mark names no log that is gone, as it would take precedence over one with a smaller
//! number. Whatever is wrong with the part that stays is found before anything changes (D5).

use alloc::{string::String, sync::Arc};

use super::{Recovery, What};
use crate::{
    event::{Event, Level},
    io::{Dir, Effects, FileOp},
    log::{Mark, Slot, log_name},
    store::{Ids, words},
    zoo::{Mutation, Zoo},
};

impl<Z: Zoo> Recovery<Z> {
    /// A snapshot holds only what was committed: one beyond the ceiling is of another history.
    pub(super) fn contradiction(&self) -> Option<String> {
        let upto = self.config.upto?;
        let (newest, name) = self.plan.newest_snapshot()?;
        (newest > upto).then(|| words::beyond(&name, upto))
    }

    /// Sets apart the logs that begin beyond the ceiling.
    pub(super) fn part_logs(&mut self) {
        if let Some(upto) = self.config.upto {
            let within = self.plan.logs.partition_point(|log| *log <= upto);
            self.beyond = self.plan.logs.split_off(within);
        }
    }

    /// The log at hand goes beyond the ceiling with the record at `offset`.
    pub(super) fn end_at_ceiling(&mut self, offset: u64, ids: &mut Ids, fx: &mut Effects) {
        let log = self.logs.pop_front().expect("a log is being read");
        let name = log_name(log);
        if let Some(next) = self.logs.front() {
            let how = words::overlap(&log_name(*next));
            return self.stop(words::rot(&name, offset, self.seen, &how), fx);
        }
        self.disregard();
        let text = words::cut_beyond(&name, self.seen);
        fx.event(Event::Note { level: Level::Info, text });
        self.vouch(log, offset, self.beyond.is_empty());
        self.forget_synced(ids, fx);
        self.remove_beyond(ids, fx);
        if !self.zoo.has(Mutation::CutLeavesTail) {
            self.source.len = offset;
        }
        self.keep_log(ids, fx);
    }

    /// Removes the logs that begin beyond the ceiling.
    pub(super) fn remove_beyond(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if self.beyond.is_empty() {
            return;
        }
        self.forget_synced(ids, fx);
        for log in core::mem::take(&mut self.beyond).into_iter().rev() {
            let name = log_name(log);
            fx.event(Event::Note { level: Level::Info, text: words::removed_beyond(&name) });
            self.order(What::Repair, FileOp::Unlink { dir: Dir::Log, name }, ids, fx);
            self.order(What::Repair, FileOp::SyncDir { dir: Dir::Log }, ids, fx);
        }
    }

    /// Takes the mark that was read. What a start that failed wrote of it may be in the system's
    /// cache alone, and what was done since relies on it: so it is written once more (D8). A slot
    /// that says something else changes, and the other one stays what it is.
    pub(super) fn keep_mark(&mut self, mark: Mark, ids: &mut Ids, fx: &mut Effects) {
        if self.config.locked || self.zoo.has(Mutation::RecoveredNotRewritten) {
            self.mark = Some(mark);
        } else {
            self.write_mark(mark, ids, fx);
        }
    }

    /// Has the mark vouch for nothing.
    fn forget_synced(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if let Some(Mark { log, synced: 1.. }) = self.mark {
            self.write_mark(Mark { log, synced: 0 }, ids, fx);
        }
    }

    /// Has the mark name a log that there is.
    pub(super) fn lower_mark(&mut self, ids: &mut Ids, fx: &mut Effects) {
        let log = self.plan.logs.last().copied().unwrap_or_default();
        if self.mark.is_some_and(|mark| mark.log > log) {
            self.write_mark(Mark { log, synced: 0 }, ids, fx);
        }
    }

    /// Writes both slots, durably: the greater of two marks counts.
    fn write_mark(&mut self, mark: Mark, ids: &mut Ids, fx: &mut Effects) {
        let file = self.mark_file.expect("the mark was read from it");
        for slot in [Slot::Begun, Slot::Synced] {
            let (offset, data) = (slot.offset(), Arc::new(mark.encode()));
            self.order(What::Repair, FileOp::Write { file, offset, data }, ids, fx);
        }
        self.order(What::Repair, FileOp::Sync { file }, ids, fx);
        self.mark = Some(mark);
    }
}

#[cfg(test)]
#[path = "ceiling_tests.rs"]
mod tests;
