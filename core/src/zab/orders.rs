// SPDX-License-Identifier: Apache-2.0
//! What the machines of broadcast ask of their owner, who has the log, the tree and the sessions.

use alloc::{borrow::Cow, string::String};

use super::wire::ForwardedRequest;
#[cfg(doc)]
use super::{Leader, Learner};
use crate::id::{LinkId, ServerId, SessionId, Zxid};

/// What a learner asks of its owner, to be done in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnerOrder<'a> {
    /// Open a link to the leader's quorum port; answered by [`Learner::on_link_up`] or
    /// [`Learner::on_dial_failed`].
    Dial,
    /// Make `acceptedEpoch` this, and tell [`Learner::on_epochs`].
    Accept {
        /// The leader's epoch.
        epoch: u32,
    },
    /// Cut the log and the tree behind a transaction, durably, then tell
    /// [`Learner::on_replaced`]. If it cannot be cut there, [`Learner::give_up`].
    Truncate {
        /// The last transaction to keep.
        to: Zxid,
    },
    /// Bytes of a tree that takes the place of tree and log, as
    /// [`SnapshotReader::of_stream`](crate::log::SnapshotReader::of_stream) reads them. When the
    /// last are there: install it durably, such that a crash leaves either the old state or the
    /// new, and tell [`Learner::on_replaced`].
    Tree {
        /// The last transaction in the tree.
        zxid: Zxid,
        /// The next bytes.
        bytes: &'a [u8],
        /// Whether they are the last.
        last: bool,
    },
    /// Log a transaction, and tell [`Learner::on_durable`] when it is durable.
    Append {
        /// The transaction.
        zxid: Zxid,
        /// Its log entry.
        entry: Cow<'a, [u8]>,
    },
    /// Everything up to a transaction is history: apply it once it is durable.
    CommitTo {
        /// The transaction.
        zxid: Zxid,
    },
    /// The leader's configuration, with NEWLEADER: it is in force from [`LearnerOrder::Serve`] on,
    /// unless it is the work of a transaction that is not committed by then.
    Config {
        /// Its text.
        text: &'a [u8],
    },
    /// A reconfiguration is committed: it is in force from now on, and so is its leader.
    Activate {
        /// The transaction.
        zxid: Zxid,
        /// Who is to lead.
        leader: ServerId,
    },
    /// Make `currentEpoch` this, and tell [`Learner::on_epochs`].
    SetCurrent {
        /// The leader's epoch.
        epoch: u32,
    },
    /// Serve clients.
    Serve {
        /// Whether the leader is a 3.4 server, which knows no operation of later versions.
        old_leader: bool,
        /// Whether it is a server of this make, which reckons digests as this one does.
        ours: bool,
    },
    /// Call [`Learner::pong`] with the sessions heard of since the last time.
    Pong {
        /// What to give back.
        zxid: Zxid,
    },
    /// A session that a client wants back lives, and may go on here, or not.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it may.
        valid: bool,
    },
    /// The oldest sync that was forwarded is about what is committed by now.
    SyncAnswered,
    /// Learn no more from this leader, and elect. The last order.
    StepDown {
        /// Why, for people.
        why: String,
    },
}

/// What a leader asks of its owner, to be done in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaderOrder<'a> {
    /// Make `acceptedEpoch` this, and tell [`Leader::on_epochs`].
    Accept {
        /// The new epoch.
        epoch: u32,
    },
    /// Make `currentEpoch` this, and tell [`Leader::on_epochs`].
    SetCurrent {
        /// The new epoch.
        epoch: u32,
    },
    /// This server leads: everything in its log is history. Apply it, then call [`Leader::serve`],
    /// serve, and bring each transaction to [`Leader::propose`].
    Lead {
        /// The new epoch.
        epoch: u32,
    },
    /// Everything up to a transaction is history: apply it once it is durable.
    CommitTo {
        /// The transaction.
        zxid: Zxid,
    },
    /// A reconfiguration is committed, and in force from now on.
    Activate {
        /// The transaction.
        zxid: Zxid,
    },
    /// Say what the log on disk holds, with [`Leader::on_survey`].
    Survey {
        /// For this learner.
        link: LinkId,
        /// Its last transaction.
        last: Zxid,
    },
    /// Read transactions from the log on disk, about as many bytes as one read takes, and give them
    /// to [`Leader::on_log`].
    FetchLog {
        /// For this learner.
        link: LinkId,
        /// Those after this one.
        after: Zxid,
    },
    /// Give the next bytes of a whole tree, or the first ones, to [`Leader::on_tree`]: that of a
    /// snapshot on disk, or of a new one once there can be.
    FetchTree {
        /// For this learner.
        link: LinkId,
        /// The tree must not end before this transaction: the learner may hold everything up to
        /// it, and be one of few that do, and will not while it catches up from there.
        least: Zxid,
    },
    /// A learner is gone: nothing need be fetched for it.
    Gone {
        /// The learner.
        link: LinkId,
        /// Why, for people.
        why: String,
    },
    /// Order a client's request.
    Request {
        /// The learner that forwards it.
        link: LinkId,
        /// The request.
        request: ForwardedRequest<'a>,
    },
    /// Say with [`Leader::sync_of`] what was ordered before a client's sync.
    Sync {
        /// The learner that forwards it.
        link: LinkId,
    },
    /// Say with [`Leader::revalidated`] whether a session lives, and may go on over a learner.
    Revalidate {
        /// The learner.
        link: LinkId,
        /// The session.
        session: SessionId,
        /// The timeout in milliseconds.
        timeout_ms: i32,
    },
    /// A learner heard from a session.
    Touch {
        /// The learner.
        link: LinkId,
        /// The session.
        session: SessionId,
        /// Its timeout in milliseconds.
        timeout_ms: i32,
    },
    /// The oldest [`Leader::sync`] is about what is committed by now.
    SyncAnswered,
    /// Lead no more, and elect. The last order.
    StepDown {
        /// Why, for people.
        why: String,
    },
}
