// SPDX-License-Identifier: Apache-2.0
//! What a core has to tell: each event is a log line, a metric and a row of a trace.

use alloc::string::String;
use core::fmt;

use crate::id::{LinkId, SessionId, Zxid};

/// How loud an event is in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks closely.
    Debug,
    /// The normal course of things.
    Info,
    /// Something an operator should look at.
    Warn,
    /// Something is broken.
    Error,
}

/// Something that happened inside a core. `Display` is the log line; [`Event::level`] its loudness.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The data directory was read; the server serves from here on.
    Recovered {
        /// The last transaction found.
        zxid: Zxid,
        /// Znodes in the tree.
        nodes: u64,
        /// Sessions that may come back.
        sessions: u64,
        /// Transactions replayed from the log.
        replayed: u64,
    },
    /// The log ended in a record that was never completed; it was cut there.
    TornTail {
        /// The file's name.
        file: String,
        /// Where its last whole record ends.
        offset: u64,
        /// The last whole record's transaction.
        zxid: Zxid,
    },
    /// A session was opened.
    SessionOpened {
        /// The session.
        session: SessionId,
        /// Its negotiated timeout in milliseconds.
        timeout_ms: u32,
    },
    /// A session came back on a new connection.
    SessionResumed {
        /// The session.
        session: SessionId,
    },
    /// A session was not heard of for its timeout and is being closed.
    SessionExpired {
        /// The session.
        session: SessionId,
    },
    /// A link was hung up on for something its other end did.
    HungUp {
        /// The link.
        link: LinkId,
        /// What the other end did.
        why: String,
    },
    /// A note for people that no machine needs to tell apart.
    Note {
        /// How loud.
        level: Level,
        /// The line.
        text: String,
    },
}

impl Event {
    /// How loud the event is.
    pub fn level(&self) -> Level {
        match self {
            Event::Recovered { .. } => Level::Info,
            Event::TornTail { .. } | Event::HungUp { .. } => Level::Warn,
            Event::SessionOpened { .. } | Event::SessionResumed { .. } => Level::Debug,
            Event::SessionExpired { .. } => Level::Info,
            Event::Note { level, .. } => *level,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Recovered { zxid, nodes, sessions, replayed } => write!(
                f,
                "data read up to {zxid}: {nodes} znodes, {sessions} sessions, \
                 {replayed} transactions replayed from the log"
            ),
            Event::TornTail { file, offset, zxid } => write!(
                f,
                "{file} ended in an unfinished record, as after a power loss: \
                 cut at byte {offset}, after transaction {zxid}"
            ),
            Event::SessionOpened { session, timeout_ms } => {
                write!(f, "session {session} opened, timeout {timeout_ms} ms")
            }
            Event::SessionResumed { session } => write!(f, "session {session} resumed"),
            Event::SessionExpired { session } => write!(f, "session {session} expired"),
            Event::HungUp { link, why } => write!(f, "link {} hung up on: {why}", link.0),
            Event::Note { text, .. } => f.write_str(text),
        }
    }
}
