// SPDX-License-Identifier: Apache-2.0
//! Four-letter words: the texts that monitoring and scripts parse, as 3.9.5 writes them.
//!
//! An [`Answer`] is a cursor over one word's text. It asks the [`Figures`] for what it needs as it
//! goes and writes in bounded pieces, so that `wchc` of a million watches delays nobody (law 3).
//! Figures may change between the pieces, as they may under Java's locks.

mod answer;
mod date;
mod metrics;
#[cfg(test)]
mod tests;
mod text;

use alloc::vec::Vec;
use core::net::SocketAddr;

pub use answer::{Answer, refuse};
pub use metrics::exposition;

use super::stats::{LinkStats, Stats};
use crate::{
    id::{SessionId, Zxid},
    session::Bucket,
    time::{Instant, Now},
    watch::{Summary, Walk, WalkBy},
};

macro_rules! words {
    ($($(#[$doc:meta])* $word:ident = $text:literal,)*) => {
        /// A four-letter word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Word {
            $($(#[$doc])* $word,)*
        }

        impl Word {
            /// Every word.
            pub const ALL: &'static [Word] = &[$(Word::$word,)*];

            /// The word as it is sent.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Word::$word => $text,)*
                }
            }
        }
    };
}

words! {
    /// The configuration.
    Conf = "conf",
    /// Connections in full.
    Cons = "cons",
    /// Resets the figures of connections.
    Crst = "crst",
    /// Sizes of the data directories.
    Dirs = "dirs",
    /// Sessions by expiry, ephemeral znodes, connections by expiry.
    Dump = "dump",
    /// The environment.
    Envi = "envi",
    /// The trace mask.
    Gtmk = "gtmk",
    /// Digests of the tree.
    Hash = "hash",
    /// Whether the server is read-only.
    Isro = "isro",
    /// Everything measured.
    Mntr = "mntr",
    /// Whether the process is well.
    Ruok = "ruok",
    /// Resets the figures of the server.
    Srst = "srst",
    /// The server in short.
    Srvr = "srvr",
    /// The server in short, and its connections.
    Stat = "stat",
    /// Sets the trace mask, which follows in eight bytes.
    Stmk = "stmk",
    /// Watches by session.
    Wchc = "wchc",
    /// Watches by path.
    Wchp = "wchp",
    /// Watches in numbers.
    Wchs = "wchs",
}

impl Word {
    /// The word that these bytes are.
    pub fn from_bytes(bytes: [u8; 4]) -> Option<Word> {
        Word::ALL.iter().copied().find(|word| word.text().as_bytes() == bytes)
    }
}

/// Which words are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whitelist {
    allowed: u32,
}

impl Whitelist {
    /// `4lw.commands.whitelist` as configured: names and commas, or `*`. `srvr`, which scripts
    /// need, is always in, and so is `isro` where read-only mode is on. Unknown names are ignored.
    pub fn parse(list: &str, read_only_mode: bool) -> Whitelist {
        let mut whitelist = Whitelist { allowed: 0 };
        whitelist.allow(Word::Srvr);
        if read_only_mode {
            whitelist.allow(Word::Isro);
        }
        for name in list.split(',').map(str::trim) {
            let named = |word: &&Word| name == "*" || name == word.text();
            Word::ALL.iter().filter(named).for_each(|word| whitelist.allow(*word));
        }
        whitelist
    }

    /// Whether a word is answered.
    pub fn allows(self, word: Word) -> bool {
        self.allowed & 1 << word as u32 != 0
    }

    fn allow(&mut self, word: Word) {
        self.allowed |= 1 << word as u32;
    }
}

impl Default for Whitelist {
    /// What is answered where the configuration does not say.
    fn default() -> Whitelist {
        Whitelist::parse("srvr,ruok,isro,mntr,stat,conf", false)
    }
}

/// What the words report of the server as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// `3.9.5-menagerie-x.y.z, built on YYYY-MM-DD HH:MM UTC`.
    pub version: &'a str,
    /// `standalone`, `leader`, `follower`, `observer` or `read-only`.
    pub mode: &'a str,
    /// Whether writes are refused for want of a quorum.
    pub read_only: bool,
    /// The clocks.
    pub now: Now,
    /// When it began to serve.
    pub since: Instant,
    /// The last transaction applied.
    pub zxid: Zxid,
    /// Open connections.
    pub connections: usize,
    /// Requests that wait for their reply.
    pub outstanding: usize,
    /// Znodes.
    pub nodes: usize,
    /// Ephemeral znodes.
    pub ephemerals: usize,
    /// Sessions that own some.
    pub ephemeral_owners: usize,
    /// Bytes of paths and data, about.
    pub data_size: u64,
    /// Sessions.
    pub sessions: usize,
    /// Watches.
    pub watches: Summary,
    /// Open file descriptors and their limit, where the driver knows.
    pub files: Option<(u64, u64)>,
    /// What `stmk` set.
    pub trace_mask: i64,
    /// Bytes below the snapshots' folder.
    pub data_dir_size: u64,
    /// Bytes below the logs' folder.
    pub log_dir_size: u64,
}

/// The trace mask of a server that nobody told otherwise: Java's default.
pub const DEFAULT_TRACE_MASK: i64 = 0b1_0011_0010;

/// What `conf` reports.
#[derive(Clone, Copy, Debug)]
pub struct Conf<'a> {
    /// The client port, or -1.
    pub client_port: i32,
    /// The TLS client port, or -1.
    pub secure_client_port: i32,
    /// The snapshots' folder, absolute.
    pub data_dir: &'a str,
    /// The logs' folder, absolute.
    pub data_log_dir: &'a str,
    /// Milliseconds of a tick.
    pub tick_time: u32,
    /// Connections from one address; 0 for no limit.
    pub max_client_cnxns: u32,
    /// Milliseconds.
    pub min_session_timeout: i32,
    /// Milliseconds.
    pub max_session_timeout: i32,
    /// The listeners' backlog, or -1.
    pub backlog: i32,
    /// The server's number; 0 of a single one.
    pub server_id: i64,
}

/// What the words report of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The other end.
    pub peer: SocketAddr,
    /// Whether it is read from: false once paused or answered with a word.
    pub reading: bool,
    /// Requests that wait for their reply.
    pub queued: usize,
    /// Its session, or none before the handshake.
    pub session: SessionId,
    /// The session's negotiated timeout in milliseconds.
    pub timeout_ms: i32,
    /// When it is given up unless it says something.
    pub expires: Instant,
    /// What it did.
    pub stats: &'a LinkStats,
}

/// One line of the ephemerals in `dump`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ephemeral {
    /// A session that owns some; they follow.
    Session(SessionId),
    /// A znode of the session before.
    Path(Vec<u8>),
}

/// One line of watches in `wchc` and `wchp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching<'a> {
    /// A session.
    Session(SessionId),
    /// A path.
    Path(&'a [u8]),
}

/// Whoever knows the figures. Lists are walked by a cursor of the callee's making that begins at
/// 0; what changes meanwhile may be met or not, but a walk always ends.
pub trait Figures {
    /// The server as a whole.
    fn server(&self) -> Server<'_>;
    /// Counters and distributions.
    fn stats(&self) -> &Stats;
    /// The configuration.
    fn conf(&self) -> Conf<'_>;
    /// The environment as names and values, without `zookeeper.version`.
    fn environment(&self) -> &[(&str, &str)];
    /// The next connection.
    fn connection(&self, cursor: &mut u64) -> Option<Connection<'_>>;
    /// The first expiry bucket of sessions after a time, if not the first of all.
    fn bucket(&self, after: Option<Instant>) -> Option<Bucket>;
    /// How many expiry buckets there are.
    fn buckets(&self) -> usize;
    /// The sessions of a bucket.
    fn in_bucket(&self, bucket: Bucket, give: &mut dyn FnMut(SessionId));
    /// The next line of ephemerals.
    fn ephemeral(&self, cursor: &mut u64) -> Option<Ephemeral>;
    /// The next digest of the tree that is remembered.
    fn digest(&self, cursor: &mut u64) -> Option<(Zxid, u64)>;
    /// [`crate::watch::Watches::begin_walk`].
    fn begin_walk(&mut self, by: WalkBy) -> Walk;
    /// [`crate::watch::Watches::walk`], with links named by their sessions.
    fn walk(&mut self, walk: &Walk, budget: usize, give: &mut dyn FnMut(Watching<'_>)) -> bool;
    /// [`crate::watch::Watches::end_walk`].
    fn end_walk(&mut self, walk: Walk);
    /// Forgets the server's figures.
    fn reset_stats(&mut self);
    /// Forgets the connections' figures.
    fn reset_connections(&mut self);
}
