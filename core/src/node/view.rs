// SPDX-License-Identifier: Apache-2.0
//! What a node looks like from outside, for those who look on: oracles, and the program's status.

use crate::{
    election::wire::Vote,
    id::{ServerId, Zxid},
    serve::Replica,
    zoo::Zoo,
};

/// What a server is to its ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads its disk.
    Starting,
    /// It is the only server, and serves.
    Alone,
    /// It leads nobody and follows nobody.
    Looking,
    /// It was elected.
    Leading {
        /// The epoch, once it is decided.
        epoch: Option<u32>,
        /// Whether a quorum follows: it serves, or is about to.
        established: bool,
    },
    /// It was told whom to follow.
    Following {
        /// The leader.
        leader: ServerId,
        /// Whether it is up to date, and serves.
        serving: bool,
    },
    /// As [`Phase::Following`], without a vote.
    Observing {
        /// The leader.
        leader: ServerId,
        /// Whether it is up to date, and serves.
        serving: bool,
    },
    /// It was asked to stop.
    Stopping,
    /// It halted.
    Over,
}

/// A server's part in the ensemble, and how much of history it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Its part.
    pub phase: Phase,
    /// The epoch that it promised itself to, as far as that is durable.
    pub accepted: u32,
    /// The epoch whose history it holds, as far as that is durable.
    pub current: u32,
    /// The last transaction staged for the log.
    pub last: Zxid,
    /// The last transaction that is durable in the log.
    pub durable: Zxid,
    /// The last transaction that is known here to be history.
    pub committed: Zxid,
    /// The last transaction in the tree.
    pub applied: Zxid,
    /// The tree's digest.
    pub digest: u64,
    /// The version of the configuration that is in force.
    pub members: u64,
    /// How often this process began to look for a leader. A call may end one look and begin
    /// another.
    pub looks: u64,
    /// Its round and its vote, if it looks for a leader.
    pub vote: Option<(i64, Vote)>,
}

impl View {
    /// A server that holds this copy of history; it knows no epochs.
    pub(super) fn of<Z: Zoo>(phase: Phase, replica: &Replica<Z>) -> View {
        View {
            last: replica.last(),
            durable: replica.durable(),
            committed: replica.committed(),
            applied: replica.applied(),
            digest: replica.digest(),
            ..View::blank(phase)
        }
    }

    /// A server that holds nothing yet, or nothing any more.
    pub fn blank(phase: Phase) -> View {
        let none = Zxid::ZERO;
        View {
            phase,
            accepted: 0,
            current: 0,
            last: none,
            durable: none,
            committed: none,
            applied: none,
            digest: 0,
            members: 0,
            looks: 0,
            vote: None,
        }
    }
}
