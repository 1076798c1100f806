// SPDX-License-Identifier: Apache-2.0
//! The cursor over a word's text.
//!
//! ```text
//! begin --> (short text) ------------------------------------------------------> done
//!       --> Connections (stat, cons) ------------------------------------------> done
//!       --> Sessions --> Ephemerals --> Gather --> Expiring (dump) -------------> done
//!       --> Watches (wchc, wchp) ----------------------------------------------> done
//!       --> Digests (hash) ----------------------------------------------------> done
//! ```

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::net::SocketAddr;

use super::{
    Ephemeral, Figures, Watching, Whitelist, Word,
    date::Date,
    text::{self, put},
};
use crate::{
    id::SessionId,
    time::{Instant, Now},
    watch::{Walk, WalkBy},
};

/// A word's answer, being written.
#[derive(Clone, Debug)]
pub struct Answer {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Connections { cursor: u64, full: bool },
    Sessions { after: Option<Instant> },
    Ephemerals { cursor: u64 },
    Gather { cursor: u64, found: Expiring },
    Expiring { left: Expiring, of_first: usize },
    Watches { walk: Walk, by: WalkBy },
    Digests { cursor: u64 },
    Done,
}

/// Connections by the time at which they are given up.
type Expiring = BTreeMap<u64, VecDeque<(SocketAddr, SessionId)>>;

/// Java gives up connections in buckets of `nio.sessionlessCnxnTimeout`, whose default this is.
const CONNECTION_BUCKET_MS: u64 = 10_000;

/// What every word but a few says while there is nothing to report from.
const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

impl Answer {
    /// Begins to answer a word, writing what is short at once.
    pub fn begin(word: Word, figures: &mut impl Figures, out: &mut Vec<u8>) -> Answer {
        let (server, stats) = (figures.server(), figures.stats());
        let state = match word {
            Word::Stat => {
                text::version(&server, out);
                put!(out, "Clients:\n");
                State::Connections { cursor: 0, full: false }
            }
            Word::Cons => State::Connections { cursor: 0, full: true },
            Word::Dump => {
                put!(out, "SessionTracker dump:\n");
                put!(out, "Session Sets ({})/({}):\n", figures.buckets(), server.sessions);
                State::Sessions { after: None }
            }
            Word::Wchc => State::watches(WalkBy::Link, figures),
            Word::Wchp => State::watches(WalkBy::Path, figures),
            Word::Hash => State::Digests { cursor: 0 },
            Word::Srvr => {
                text::version(&server, out);
                text::server(&server, stats, out);
                State::Done
            }
            Word::Crst => {
                figures.reset_connections();
                put!(out, "Connection stats reset.\n");
                State::Done
            }
            Word::Srst => {
                figures.reset_stats();
                put!(out, "Server stats reset.\n");
                State::Done
            }
            _ => {
                short(word, figures, out);
                State::Done
            }
        };
        Answer { state }
    }

    /// Goes on for at most `budget` lines or so (an expiry bucket of sessions stays whole); true
    /// if there is more.
    pub fn go_on(&mut self, figures: &mut impl Figures, budget: usize, out: &mut Vec<u8>) -> bool {
        let state = core::mem::replace(&mut self.state, State::Done);
        if let State::Watches { walk, by } = state {
            self.state = watches(walk, by, figures, budget, out);
            return !self.is_done();
        }
        self.state = state;
        let now = figures.server().now;
        for _ in 0..budget {
            if self.is_done() {
                break;
            }
            let state = core::mem::replace(&mut self.state, State::Done);
            self.state = state.line(figures, now, out);
        }
        !self.is_done()
    }

    /// Whether all is written.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Gives up an answer whose asker is gone.
    pub fn abandon(self, figures: &mut impl Figures) {
        if let State::Watches { walk, .. } = self.state {
            figures.end_walk(walk);
        }
    }
}

/// The answer to a word that is not answered: not allowed, or no service yet.
pub fn refuse(word: Word, whitelist: Whitelist, out: &mut Vec<u8>) {
    if !whitelist.allows(word) {
        put!(out, "{} is not executed because it is not in the whitelist.\n", word.text());
        return;
    }
    match word {
        Word::Ruok => put!(out, "imok"),
        Word::Isro => put!(out, "null"),
        Word::Hash => put!(out, "{NOT_SERVING}"),
        _ => put!(out, "{NOT_SERVING}\n"),
    }
}

/// The words that are answered at once.
fn short(word: Word, figures: &impl Figures, out: &mut Vec<u8>) {
    let server = figures.server();
    match word {
        Word::Conf => text::conf(&figures.conf(), &server, out),
        Word::Dirs => {
            put!(out, "datadir_size: {}\n", server.data_dir_size);
            put!(out, "logdir_size: {}\n", server.log_dir_size);
        }
        Word::Envi => text::environment(figures, out),
        Word::Gtmk | Word::Stmk => put!(out, "{}", server.trace_mask),
        Word::Isro => put!(out, "{}", if server.read_only { "ro" } else { "rw" }),
        Word::Mntr => text::monitor(&server, figures.stats(), out),
        Word::Ruok => put!(out, "imok"),
        Word::Wchs => text::watches(&server, out),
        long => unreachable!("{long:?} is not short"),
    }
}

impl State {
    fn watches(by: WalkBy, figures: &mut impl Figures) -> State {
        State::Watches { walk: figures.begin_walk(by), by }
    }

    /// Writes a line, or ends a part.
    fn line(self, figures: &impl Figures, now: Now, out: &mut Vec<u8>) -> State {
        match self {
            State::Connections { mut cursor, full } => match figures.connection(&mut cursor) {
                Some(connection) => {
                    text::connection(&connection, full, out);
                    State::Connections { cursor, full }
                }
                None => {
                    put!(out, "\n");
                    if !full {
                        text::server(&figures.server(), figures.stats(), out);
                    }
                    State::Done
                }
            },
            State::Sessions { after } => sessions(after, figures, now, out),
            State::Ephemerals { mut cursor } => match figures.ephemeral(&mut cursor) {
                Some(line) => {
                    ephemeral(line, out);
                    State::Ephemerals { cursor }
                }
                None => {
                    put!(out, "Connections dump:\n");
                    State::Gather { cursor: 0, found: Expiring::new() }
                }
            },
            State::Gather { cursor, found } => gather(cursor, found, figures, out),
            State::Expiring { left, of_first } => expiring(left, of_first, now, out),
            State::Digests { mut cursor } => match figures.digest(&mut cursor) {
                Some((zxid, digest)) => {
                    put!(out, "{:x}: {}\n", zxid.0, digest as i64);
                    State::Digests { cursor }
                }
                None => State::Done,
            },
            walk @ State::Watches { .. } => walk,
            State::Done => State::Done,
        }
    }
}

/// Writes a bucket of sessions.
fn sessions(after: Option<Instant>, figures: &impl Figures, now: Now, out: &mut Vec<u8>) -> State {
    let Some(bucket) = figures.bucket(after) else {
        let owners = figures.server().ephemeral_owners;
        put!(out, "ephemeral nodes dump:\nSessions with Ephemerals ({owners}):\n");
        return State::Ephemerals { cursor: 0 };
    };
    put!(out, "{} expire at {}:\n", bucket.len, date(bucket.due.millis(), now));
    figures.in_bucket(bucket, &mut |session| put!(out, "\t{session}\n"));
    State::Sessions { after: Some(bucket.due) }
}

fn ephemeral(line: Ephemeral, out: &mut Vec<u8>) {
    match line {
        Ephemeral::Session(session) => put!(out, "{session}:\n"),
        Ephemeral::Path(path) => {
            out.push(b'\t');
            out.extend_from_slice(&path);
            out.push(b'\n');
        }
    }
}

/// Sorts a connection into its bucket, or heads their list.
fn gather(
    mut cursor: u64,
    mut found: Expiring,
    figures: &impl Figures,
    out: &mut Vec<u8>,
) -> State {
    if let Some(connection) = figures.connection(&mut cursor) {
        let due = (connection.expires.millis() / CONNECTION_BUCKET_MS + 1) * CONNECTION_BUCKET_MS;
        found.entry(due).or_default().push_back((connection.peer, connection.session));
        return State::Gather { cursor, found };
    }
    let total: usize = found.values().map(VecDeque::len).sum();
    put!(out, "Connections Sets ({})/({total}):\n", found.len());
    State::Expiring { left: found, of_first: 0 }
}

/// Writes a connection, headed if it is its bucket's first.
fn expiring(mut left: Expiring, written: usize, now: Now, out: &mut Vec<u8>) -> State {
    let Some(mut bucket) = left.first_entry() else { return State::Done };
    if written == 0 {
        put!(out, "{} expire at {}:\n", bucket.get().len(), date(*bucket.key(), now));
    }
    if let Some((peer, session)) = bucket.get_mut().pop_front() {
        put!(out, "\tip: /{peer} sessionId: {session}\n");
    }
    let bucket_done = bucket.get().is_empty();
    if bucket_done {
        bucket.remove();
    }
    State::Expiring { left, of_first: if bucket_done { 0 } else { written + 1 } }
}

/// Writes some watches. What the groups are by stands at the margin.
fn watches(
    walk: Walk,
    by: WalkBy,
    figures: &mut impl Figures,
    budget: usize,
    out: &mut Vec<u8>,
) -> State {
    let more = figures.walk(&walk, budget, &mut |item| match item {
        Watching::Session(session) if by == WalkBy::Link => put!(out, "{session}\n"),
        Watching::Session(session) => put!(out, "\t{session}\n"),
        Watching::Path(path) => {
            if by == WalkBy::Link {
                out.push(b'\t');
            }
            out.extend_from_slice(path);
            out.push(b'\n');
        }
    });
    if more {
        return State::Watches { walk, by };
    }
    figures.end_walk(walk);
    put!(out, "\n");
    State::Done
}

/// A point of the monotonic clock on the wall.
fn date(millis: u64, now: Now) -> Date {
    Date(now.wall_ms.saturating_add_unsigned(millis).saturating_sub_unsigned(now.mono.millis()))
}
