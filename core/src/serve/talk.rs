// SPDX-License-Identifier: Apache-2.0
//! Four-letter words: what is asked on the client port before a handshake, answered piece by piece.

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};
use core::time::Duration;

use super::{
    conn::{Conn, Phase},
    learn::Duty,
    server::Server,
    sizes::Sizes,
    stats::Stats,
    words::{
        Answer, Conf, Connection, DEFAULT_TRACE_MASK, Ephemeral, Figures, Server as Figure,
        Watching, Whitelist, Word, exposition, refuse,
    },
};
use crate::{
    config::{Endpoint, PeerRole, Role, ServerConfig},
    id::{LinkId, OpId, SessionId, Zxid},
    io::{Dir, Effects, FileError, FileOutput},
    jute::Reader,
    session::Bucket,
    time::{Instant, Now},
    tree::Owned,
    watch::{Walk, WalkBy, WalkItem},
    zoo::Zoo,
};

/// Lines of an answer written in one turn.
const LINES_PER_TURN: usize = 512;

/// Bytes of an answer that may be on their way before it waits for its reader.
const UNREAD: usize = 1 << 20;

/// Digests of the tree are remembered at each so many transactions, as in Java.
const DIGEST_EVERY: i64 = 128;

/// How many of them.
const DIGESTS: usize = 1024;

/// What the driver knows of the process and its surroundings, for people to read.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `3.9.5-menagerie-x.y.z, built on YYYY-MM-DD HH:MM UTC`.
    pub version: String,
    /// `dataDir/version-2`, absolute.
    pub data_dir: String,
    /// `dataLogDir/version-2`, absolute.
    pub data_log_dir: String,
    /// Names and values of `envi`.
    pub environment: Vec<(&'static str, &'static str)>,
    /// The most file descriptors that the process may have, where known.
    pub max_files: Option<u64>,
}

/// What the words know, and their unfinished answers.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    facts: Facts,
    whitelist: Whitelist,
    trace_mask: i64,
    now: Now,
    pub since: Now,
    answers: BTreeMap<LinkId, Answer>,
    digests: VecDeque<(Zxid, u64)>,
    /// How much the data directories hold.
    pub sizes: Sizes,
}

impl Talk {
    pub fn new(facts: Facts, config: &ServerConfig, now: Now) -> Talk {
        Talk {
            facts,
            whitelist: whitelist(config),
            trace_mask: DEFAULT_TRACE_MASK,
            now,
            since: now,
            answers: BTreeMap::new(),
            digests: VecDeque::new(),
            sizes: Sizes::default(),
        }
    }

    /// Remembers the tree's digest at every so many transactions.
    pub fn remember_digest(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % DIGEST_EVERY == 0 {
            if self.digests.len() == DIGESTS {
                self.digests.pop_front();
            }
            self.digests.push_back((zxid, digest));
        }
    }
}

/// The words that a configuration allows.
pub fn whitelist(config: &ServerConfig) -> Whitelist {
    let allowed = |word: &&Word| config.four_letter_words.allows(word.text());
    let allowed: Vec<&str> = Word::ALL.iter().filter(allowed).map(|word| word.text()).collect();
    Whitelist::parse(&allowed.join(","), config.read_only_mode)
}

impl<Z: Zoo> Server<Z> {
    /// A word came.
    pub(super) fn on_word(&mut self, link: LinkId, now: Now, word: [u8; 4], fx: &mut Effects) {
        let word = Word::from_bytes(word).expect("the framing machine knows the words");
        let conn = self.conns.get_mut(&link).expect("a word comes on a link that is up");
        if word == Word::Stmk && self.talk.whitelist.allows(word) {
            conn.phase = Phase::TraceMask;
            return;
        }
        if !self.talk.whitelist.allows(word) {
            let mut text = Vec::new();
            refuse(word, self.talk.whitelist, &mut text);
            self.say(link, &text, fx);
            return self.end_if_said(link, fx);
        }
        match word {
            Word::Dirs | Word::Conf => self.talk.sizes.await_look(link, word),
            _ => self.begin_answer(link, word, now, fx),
        }
    }

    /// A look at the data directories goes on; whoever waited for its end is answered then.
    pub(super) fn on_sizes(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        now: Now,
        fx: &mut Effects,
    ) {
        for (link, word) in self.talk.sizes.on_file(op, result) {
            if self.conns.get(&link).is_some_and(Conn::is_up) {
                self.begin_answer(link, word, now, fx);
            }
        }
    }

    /// All figures, in Prometheus' text format.
    pub fn metrics(&mut self, now: Now) -> String {
        self.talk.now = now;
        exposition(Some(&self.server()), &self.stats)
    }

    fn begin_answer(&mut self, link: LinkId, word: Word, now: Now, fx: &mut Effects) {
        self.talk.now = now;
        let mut text = Vec::new();
        let answer = Answer::begin(word, self, &mut text);
        self.talk.answers.insert(link, answer);
        self.say(link, &text, fx);
        self.go_on_talking(now, fx);
        self.end_if_said(link, fx);
    }

    /// The argument of `stmk` came.
    pub(super) fn on_trace_mask(&mut self, link: LinkId, mask: &[u8], now: Now, fx: &mut Effects) {
        self.talk.trace_mask = Reader::new(mask).long().expect("the framing machine cuts 8 bytes");
        self.talk.now = now;
        let mut text = Vec::new();
        let answer = Answer::begin(Word::Stmk, self, &mut text);
        debug_assert!(answer.is_done(), "the mask is said at once");
        self.say(link, &text, fx);
        self.end_if_said(link, fx);
    }

    /// Goes on with unfinished answers, each by a piece, unless its asker reads too slowly.
    pub(super) fn go_on_talking(&mut self, now: Now, fx: &mut Effects) {
        self.talk.now = now;
        for (link, mut answer) in core::mem::take(&mut self.talk.answers) {
            let Some(conn) = self.conns.get(&link).filter(|conn| conn.is_up()) else {
                answer.abandon(self);
                continue;
            };
            if conn.unsent() < UNREAD {
                let mut text = Vec::new();
                fx.step();
                answer.go_on(self, LINES_PER_TURN, &mut text);
                self.say(link, &text, fx);
            }
            if answer.is_done() {
                self.end_if_said(link, fx);
            } else {
                self.talk.answers.insert(link, answer);
            }
        }
    }

    /// Whether an unfinished answer could go on now: its asker reads, or is gone.
    pub(super) fn can_talk(&self) -> bool {
        let reads = |link| self.conns.get(link).is_none_or(|conn| conn.unsent() < UNREAD);
        self.talk.answers.keys().any(reads)
    }

    /// Whether this server has a vote.
    fn votes(&self) -> bool {
        match &self.config.role {
            Role::Standalone { .. } => true,
            Role::Member(own) => own.ensemble.members()[&own.id].role == PeerRole::Participant,
        }
    }

    fn say(&mut self, link: LinkId, text: &[u8], fx: &mut Effects) {
        let conn = self.conns.get_mut(&link).expect("its link was just looked up");
        let sent = fx.send(link, |out| out.extend_from_slice(text));
        conn.sent(link, sent, fx);
    }

    fn end_if_said(&mut self, link: LinkId, fx: &mut Effects) {
        if !self.talk.answers.contains_key(&link)
            && let Some(conn) = self.conns.get_mut(&link)
        {
            conn.hang_up(link, fx);
        }
    }
}

impl<Z: Zoo> Figures for Server<Z> {
    fn server(&self) -> Figure<'_> {
        Figure {
            version: &self.talk.facts.version,
            mode: match self.duty {
                Duty::Alone => "standalone",
                Duty::Lead => "leader",
                Duty::Learn if self.votes() => "follower",
                Duty::Learn => "observer",
                Duty::Read => "read-only",
            },
            read_only: self.is_read_only(),
            now: self.talk.now,
            since: self.talk.since.mono,
            zxid: self.replica.applied,
            connections: self.conns.len(),
            outstanding: self.replica.pending.len(),
            nodes: self.replica.tree.node_count(),
            ephemerals: self.replica.tree.ephemerals_count(),
            ephemeral_owners: self.replica.tree.ephemeral_owners_count(),
            data_size: self.replica.tree.approximate_data_size(),
            sessions: self.replica.sessions.len(),
            watches: self.watches.summary(),
            files: self.talk.facts.max_files.map(|max| (self.conns.len() as u64, max)),
            trace_mask: self.talk.trace_mask,
            data_dir_size: self.talk.sizes.of(Dir::Snap),
            log_dir_size: self.talk.sizes.of(Dir::Log),
        }
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn conf(&self) -> Conf<'_> {
        let port = |endpoint: &Option<Endpoint>| {
            endpoint.as_ref().map_or(-1, |endpoint| i32::from(endpoint.port))
        };
        let limits = self.config.session_limits;
        Conf {
            client_port: port(&self.config.clients.plain),
            secure_client_port: port(&self.config.clients.secure),
            data_dir: &self.talk.facts.data_dir,
            data_log_dir: &self.talk.facts.data_log_dir,
            tick_time: self.config.tick_time_ms,
            max_client_cnxns: self.config.clients.max_per_address,
            min_session_timeout: limits.min_ms().cast_signed(),
            max_session_timeout: limits.max_ms().cast_signed(),
            backlog: self.config.clients.listen_backlog,
            server_id: match &self.config.role {
                Role::Standalone { .. } => 0,
                Role::Member(own) => own.id,
            },
        }
    }

    fn environment(&self) -> &[(&str, &str)] {
        &self.talk.facts.environment
    }

    fn connection(&self, cursor: &mut u64) -> Option<Connection<'_>> {
        let (link, conn) = self.conns.range(LinkId(*cursor)..).next()?;
        *cursor = link.0 + 1;
        let timeout_ms = match conn.phase {
            Phase::Live { timeout_ms, .. } => timeout_ms,
            _ => 0,
        };
        Some(Connection {
            peer: conn.peer,
            // Who asks a word is read from no more, and of the others all have a session.
            reading: conn.is_read() && conn.session().is_some(),
            queued: conn.queue.len(),
            session: conn.session().unwrap_or(SessionId::NONE),
            timeout_ms,
            expires: conn.heard + Duration::from_millis(timeout_ms.unsigned_abs().into()),
            stats: &conn.stats,
        })
    }

    fn bucket(&self, after: Option<Instant>) -> Option<Bucket> {
        self.replica.sessions.bucket_after(after)
    }

    fn buckets(&self) -> usize {
        self.replica.sessions.buckets().count()
    }

    fn in_bucket(&self, bucket: Bucket, give: &mut dyn FnMut(SessionId)) {
        self.replica.sessions.in_bucket(bucket).for_each(give);
    }

    fn ephemeral(&self, cursor: &mut u64) -> Option<Ephemeral> {
        Some(match self.replica.tree.next_owned(cursor)? {
            Owned::Session(session) => Ephemeral::Session(session),
            Owned::Znode(node) => Ephemeral::Path(self.replica.tree.path(node)),
        })
    }

    fn digest(&self, cursor: &mut u64) -> Option<(Zxid, u64)> {
        let at = usize::try_from(*cursor).ok()?;
        *cursor += 1;
        self.talk.digests.get(at).copied()
    }

    fn begin_walk(&mut self, by: WalkBy) -> Walk {
        self.watches.begin_walk(by)
    }

    fn walk(&mut self, walk: &Walk, budget: usize, give: &mut dyn FnMut(Watching<'_>)) -> bool {
        let conns = &self.conns;
        self.watches.walk(walk, budget, &mut |item: WalkItem<'_>| match item {
            WalkItem::Path(path) => give(Watching::Path(path)),
            WalkItem::Link(link) => {
                let session = conns.get(&link).and_then(Conn::session);
                give(Watching::Session(session.unwrap_or(SessionId::NONE)));
            }
        })
    }

    fn end_walk(&mut self, walk: Walk) {
        self.watches.end_walk(walk);
    }

    fn reset_stats(&mut self) {
        self.stats.reset();
        self.watches.reset_told();
    }

    fn reset_connections(&mut self) {
        self.conns.values_mut().for_each(|conn| conn.stats.reset());
    }
}
