// SPDX-License-Identifier: Apache-2.0
//! What the member of an ensemble reads after tree and log: its epochs, and whether an `initialize`
//! file declares an empty directory to be the beginning of a history.
//!
//! The file stands for one start: it is removed, durably, before the server votes on its strength.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::Base;
use crate::{
    id::{LaneId, OpId, Zxid},
    io::{Dir, Effects, Exit, FileError, FileOp, FileOutput},
    store::{EpochReader, Epochs, Ids, Recovered},
    time::Instant,
    zoo::Zoo,
};

/// Declares an empty directory to be the beginning of a history, as `zkServer-initialize.sh` does.
const INITIALIZE: &str = "initialize";

/// A member whose epochs are being read.
#[derive(Clone)]
pub(super) struct Opening<Z: Zoo> {
    pub found: Recovered<Z>,
    /// How long reading tree and log took.
    pub took: Duration,
    /// Whether the directory is declared to be a beginning.
    pub declared: bool,
    epochs: EpochReader<Z>,
    known: Option<Epochs<Z>>,
    lane: LaneId,
    /// Operations of our own to end, in order.
    wait: VecDeque<OpId>,
}

impl<Z: Zoo> Opening<Z> {
    pub fn begin(
        base: &mut Base<Z>,
        since: Instant,
        found: Recovered<Z>,
        fx: &mut Effects,
    ) -> Opening<Z> {
        let epochs = EpochReader::start(base.zoo, found.zxid, &mut base.ids, fx);
        let mut opening = Opening {
            took: base.now.mono - since,
            declared: false,
            epochs,
            known: None,
            lane: base.ids.lane(),
            wait: VecDeque::new(),
            found,
        };
        opening.order(FileOp::List { dir: Dir::Root, make: false }, &mut base.ids, fx);
        opening
    }

    /// An operation ended. Gives the epochs once everything is known.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<Epochs<Z>> {
        if self.epochs.owns(op) {
            if let Some(epochs) = self.epochs.on_file(op, result, ids, fx) {
                self.known = Some(epochs);
            }
        } else if self.wait.front() == Some(&op) {
            self.wait.pop_front();
            self.on_own(result, ids, fx);
        }
        if self.wait.is_empty() { self.known.take() } else { None }
    }

    fn on_own(
        &mut self,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) {
        match result {
            Ok(FileOutput::Names(names)) => {
                let named = names.iter().any(|entry| entry.name == INITIALIZE);
                if named && self.found.zxid == Zxid::ZERO {
                    self.declared = true;
                    let name = INITIALIZE.into();
                    self.order(FileOp::Unlink { dir: Dir::Root, name }, ids, fx);
                    self.order(FileOp::SyncDir { dir: Dir::Root }, ids, fx);
                }
            }
            Ok(_) => {}
            Err(error) => fx.halt(
                Exit::DataDir,
                alloc::format!("the file {INITIALIZE} in dataDir cannot be dealt with: {error}"),
            ),
        }
    }

    fn order(&mut self, what: FileOp, ids: &mut Ids, fx: &mut Effects) {
        let op = ids.op();
        self.wait.push_back(op);
        fx.file(self.lane, op, what);
    }
}
