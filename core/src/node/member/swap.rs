// SPDX-License-Identifier: Apache-2.0
//! Giving a learner's disk another history: cutting its log, or installing a tree.
//!
//! ```text
//!  TRUNC ---------------------------------------------------+
//!                                                           +--> Reading, up to the leader's word
//!  SNAP --> Loading --last piece--> Writing --durable-------+
//!             `--the stream broke---------`--failed--------> Reading, whatever there is
//! ```
//!
//! The disk comes first, and memory is what a start would read from it: there is one way from files
//! to a tree. Nothing is written or read before everything that the old log, a snapshot and a purge
//! have under way has ended. If the role ends meanwhile, what was begun on the disk is finished.

use alloc::boxed::Box;

use crate::{
    id::{OpId, Zxid},
    io::{Effects, FileError, FileOutput},
    log::SnapshotFault,
    node::{Base, snapshots::tail_form},
    serve::Replica,
    store::{Install, Recovered, Recovery, SnapshotNews},
    zoo::Zoo,
};

/// How the disk is read again in a process that has done so before.
#[derive(Clone, Copy, Debug)]
pub(in crate::node) struct Again {
    /// The last transaction that is history; none if that is not known.
    pub upto: Option<Zxid>,
}

#[derive(Clone)]
enum Stage<Z: Zoo> {
    /// Waits for the old log.
    Cutting {
        to: Option<Zxid>,
    },
    Loading(Box<Install<Z>>),
    /// Every byte is there; waits for the old log.
    Loaded(Box<Install<Z>>),
    Writing(Box<Install<Z>>),
    Reading(Box<Recovery<Z>>),
}

/// A disk that is being given another history.
#[derive(Clone)]
pub(in crate::node) struct Swap<Z: Zoo> {
    /// What was there before, until its log is at rest.
    old: Option<Replica<Z>>,
    /// The last transaction of a tree that comes.
    tree: Option<Zxid>,
    stage: Stage<Z>,
}

impl<Z: Zoo> Swap<Z> {
    /// Cuts the log behind a transaction.
    pub fn cut(old: Replica<Z>, to: Zxid) -> Swap<Z> {
        Swap { old: Some(old), tree: None, stage: Stage::Cutting { to: Some(to) } }
    }

    /// Takes in a tree that ends with a transaction.
    pub fn tree(base: &Base<Z>, old: Replica<Z>, zxid: Zxid) -> Swap<Z> {
        let tail = tail_form(&base.config.storage);
        let install = Install::new(base.zoo, base.hash, tail, zxid);
        Swap { old: Some(old), tree: Some(zxid), stage: Stage::Loading(Box::new(install)) }
    }

    /// The next bytes of the tree, and whether they are the last.
    pub fn push(&mut self, bytes: &[u8], last: bool) -> Result<(), SnapshotFault> {
        let Stage::Loading(install) = &mut self.stage else { return Ok(()) };
        install.push(bytes)?;
        if last {
            let Stage::Loading(install) =
                core::mem::replace(&mut self.stage, Stage::Cutting { to: None })
            else {
                unreachable!("matched above")
            };
            self.stage = Stage::Loaded(install);
        }
        Ok(())
    }

    /// The rest of the tree will not come.
    pub fn give_up(&mut self) {
        if let Stage::Loading(_) | Stage::Loaded(_) = self.stage {
            self.stage = Stage::Cutting { to: None };
        }
    }

    /// What was there before.
    pub fn old(&self) -> Option<&Replica<Z>> {
        self.old.as_ref()
    }

    /// What was there before.
    pub fn old_mut(&mut self) -> Option<&mut Replica<Z>> {
        self.old.as_mut()
    }

    /// Does what can be done now. An error says what is wrong with the tree that came.
    pub fn step(&mut self, base: &mut Base<Z>, fx: &mut Effects) -> Result<(), SnapshotFault> {
        if let Some(old) = &mut self.old {
            let rests = old.come_to_rest(&mut base.ids, fx);
            if !rests || !base.snapshots.is_idle() || !base.purges.is_idle() {
                return Ok(());
            }
            old.close(&mut base.ids, fx);
            self.old = None;
        }
        match &mut self.stage {
            Stage::Cutting { to } => {
                let recovery = base.recover(Some(Again { upto: *to }), fx);
                self.stage = Stage::Reading(Box::new(recovery));
            }
            Stage::Loaded(install) => {
                let done = install.finish(&mut base.ids, fx);
                let Stage::Loaded(install) =
                    core::mem::replace(&mut self.stage, Stage::Cutting { to: None })
                else {
                    unreachable!("matched above")
                };
                if done.is_ok() {
                    self.stage = Stage::Writing(install);
                }
                return done;
            }
            Stage::Loading(_) | Stage::Writing(_) | Stage::Reading(_) => {}
        }
        Ok(())
    }

    /// An operation ended. Gives what the disk holds, once all is done.
    pub fn on_file(
        &mut self,
        base: &mut Base<Z>,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        fx: &mut Effects,
    ) -> Option<Recovered<Z>> {
        if let Some(old) = &mut self.old {
            old.on_file(op, result, &mut base.ids, fx);
        }
        match &mut self.stage {
            Stage::Writing(install) if install.owns(op) => {
                match install.on_file(op, result, &mut base.ids, fx)? {
                    SnapshotNews::Done { .. } => self.stage = Stage::Cutting { to: self.tree },
                    SnapshotNews::Failed { .. } => self.stage = Stage::Cutting { to: None },
                }
                None
            }
            Stage::Reading(recovery) if recovery.owns(op) => {
                recovery.on_file(op, result, &mut base.ids, fx)
            }
            _ => None,
        }
    }
}
