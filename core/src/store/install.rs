// SPDX-License-Identifier: Apache-2.0
//! Puts the tree that a leader sends in the place of tree and log.
//!
//! ```text
//!  bytes --push--> a tree, checked as it comes --finish--> snapshot.<zxid>, durable --> Done
//!  then, by the owner: Recovery up to that transaction (D9)
//! ```
//!
//! Between the two, a start finds the old state or the new one and never a mixture, though it
//! replays over the new snapshot what the old logs hold beyond it:
//!
//! - If they hold nothing beyond, it finds the new state.
//! - Otherwise let the leader of epoch e have proposed what they end with. It did so only when a
//!   quorum had made its history their own, so each later leader began with that, this one too;
//!   and within e one leader numbers without gaps. Hence the transaction that the tree ends with,
//!   which is before that end, is of the old history as well, what follows it in the logs is what
//!   followed it there, and the start finds the old state.
//!
//! A tree of Java's is fuzzy: it may hold changes of later transactions, all of them committed.
//! They are sent once more behind it, and change nothing the second time, as behind a snapshot that
//! Java reads from its disk. Until then this server cannot lead, as it lacks what is committed.
//! Nobody says from which transaction on the tree's digest is good for anything: so none is
//! written, in the form that 3.4 writes and every version reads.

use super::{
    Frozen, Ids, Listed, SnapshotNews, Snapshotter,
    replay::{Loading, Replay},
};
use crate::{
    hash::Keyed,
    id::{OpId, Zxid},
    io::{Effects, FileError, FileOutput},
    log::{SnapshotFault, TailForm},
    tree::Tree,
    zoo::Zoo,
};

/// A tree on its way from a leader to the disk.
#[derive(Clone)]
pub struct Install<Z: Zoo> {
    zxid: Zxid,
    loading: Loading,
    tree: Tree,
    sessions: Listed,
    hash: Keyed,
    snapshotter: Snapshotter<Z>,
}

impl<Z: Zoo> Install<Z> {
    /// Before the first byte of a tree that ends with `zxid`. `hash` is the tree's hash key; of
    /// `tail` the digest is left out.
    pub fn new(zoo: Z, hash: Keyed, tail: TailForm, zxid: Zxid) -> Install<Z> {
        // Who expects a digest would take the last zxid for one, but reads a file without either.
        let tail = TailForm { digest: false, last: tail.last && !tail.digest };
        Install {
            zxid,
            loading: Loading::of_stream(hash),
            tree: Tree::new(hash),
            sessions: Listed::default(),
            hash,
            snapshotter: Snapshotter::new(zoo, tail),
        }
    }

    /// Takes the next bytes. After a fault this machine is of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SnapshotFault> {
        let taken = self.loading.push(bytes)?;
        if taken < bytes.len() { Err(SnapshotFault::Signature) } else { Ok(()) }
    }

    /// Every byte was pushed: writes the snapshot, in place of any of that name.
    pub fn finish(&mut self, ids: &mut Ids, fx: &mut Effects) -> Result<(), SnapshotFault> {
        let loading = core::mem::replace(&mut self.loading, Loading::of_stream(self.hash));
        let Replay { tree, sessions, .. } = loading.finish(self.zxid, fx)?;
        self.tree = tree;
        self.sessions = Listed::new(sessions.into_iter());
        let frozen = Frozen { tree: &mut self.tree, sessions: &mut self.sessions };
        self.snapshotter.start(frozen, self.zxid, ids, fx);
        Ok(())
    }

    /// Whether an operation is this machine's.
    pub fn owns(&self, op: OpId) -> bool {
        self.snapshotter.owns(op)
    }

    /// An operation of this machine ended. After the news it is of no further use; after
    /// [`SnapshotNews::Failed`] the old state is what it was.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<SnapshotNews> {
        let frozen = Frozen { tree: &mut self.tree, sessions: &mut self.sessions };
        self.snapshotter.on_file(op, result, frozen, ids, fx)
    }
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
