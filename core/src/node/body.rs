// SPDX-License-Identifier: Apache-2.0
//! The part of a member that holds history: bare between roles, inside a server while it serves,
//! and neither while the disk is being given another history.

use alloc::boxed::Box;
use core::time::Duration;

use super::member::swap::Swap;
use crate::{
    id::{OpId, Zxid},
    io::{Effects, FileError, FileOutput},
    serve::{Replica, Server},
    store::{Ids, SnapshotNews, Snapshotter},
    zoo::Zoo,
};

/// Who holds history.
#[derive(Clone)]
pub(super) enum Body<Z: Zoo> {
    Bare(Box<Replica<Z>>),
    Serving(Box<Server<Z>>),
    Swapping(Box<Swap<Z>>),
    /// While one takes another's place, within a call.
    Between,
}

impl<Z: Zoo> Body<Z> {
    /// Takes it out.
    pub fn take(&mut self) -> Body<Z> {
        core::mem::replace(self, Body::Between)
    }

    /// The server, while it serves.
    pub fn server(&mut self) -> Option<&mut Server<Z>> {
        match self {
            Body::Serving(server) => Some(server),
            _ => None,
        }
    }

    /// The copy of history, where there is one.
    pub fn replica(&self) -> Option<&Replica<Z>> {
        match self {
            Body::Bare(replica) => Some(replica),
            Body::Serving(server) => Some(server.history()),
            Body::Swapping(swap) => swap.old(),
            Body::Between => None,
        }
    }

    /// The last durable transaction, where there is a log.
    pub fn durable(&self) -> Option<Zxid> {
        self.replica().map(Replica::durable)
    }

    /// Whoever is being written a snapshot of.
    pub fn sitter(&mut self) -> Option<Sitter<'_, Z>> {
        match self {
            Body::Bare(replica) => Some(Sitter::Replica(replica)),
            Body::Serving(server) => Some(Sitter::Server(server)),
            Body::Swapping(swap) => swap.old_mut().map(Sitter::Replica),
            Body::Between => None,
        }
    }
}

/// What a snapshot is taken of.
pub(super) enum Sitter<'a, Z: Zoo> {
    Replica(&'a mut Replica<Z>),
    Server(&'a mut Server<Z>),
}

impl<Z: Zoo> Sitter<'_, Z> {
    /// An operation of a snapshot that began `took` ago ended.
    pub fn on_snapshot_file(
        self,
        took: Duration,
        snapshotter: &mut Snapshotter<Z>,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<SnapshotNews> {
        match self {
            Sitter::Replica(replica) => replica.on_snapshot_file(snapshotter, op, result, ids, fx),
            Sitter::Server(server) => {
                server.on_snapshot_file(took, snapshotter, op, result, ids, fx)
            }
        }
    }
}
