// SPDX-License-Identifier: Apache-2.0
//! The serving machine: everything a server does once its data is read.
//!
//! A request becomes a proposal (validated against all proposals before it, staged for the log),
//! is applied when the log has it durably, and answered then. Reads go by the applied tree.
//!
//! ```text
//! frame -> propose -> log.append ..flush.. sync done -> apply -> watches -> reply -> drain
//!      `-> answer (reads, when no write of the link is on its way)
//! ```

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    auth::Schemes,
    conn::{Conn, Hold, Phase},
    learn::{Duty, Upward},
    prep::{Members, Prep, Rules},
    replica::Replica,
    stats::{Counter, Measure, Stats},
    sweep::Sweep,
    talk::{Facts, Talk},
};
use crate::{
    config::{Ensemble, ServerConfig},
    event::{Event, Level},
    hash::Keyed,
    id::{LinkId, OpId, SessionId, Zxid},
    io::{Effects, FileError, FileOutput},
    proto::{EventKind, perms},
    store::{Ids, SnapshotNews, Snapshotter},
    time::{Instant, Now, earliest},
    tree::AclList,
    txn::Sink,
    watch::Watches,
    zoo::{Mutation, Zoo},
};

/// Bytes a link may owe us before an event more is one too many: it will never read them.
const MAX_UNREAD: usize = 16 << 20;

/// Watches told in one step of a fan-out.
const TOLD_PER_TURN: usize = 1024;

/// A quota that is exceeded is told of as seldom as Java's rate limiter does.
const QUOTA_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Sessions expired in one turn at most.
const EXPIRED_PER_TURN: usize = 256;

/// A server that serves.
#[derive(Clone, Debug)]
pub struct Server<Z: Zoo> {
    pub(super) config: Arc<ServerConfig>,
    pub(super) zoo: Z,
    pub(super) rules: Rules,
    pub(super) replica: Replica<Z>,
    pub(super) duty: Duty,
    pub(super) up: Upward,
    /// Whether a server of ZooKeeper 3.4 takes part, which can log no operation of later versions.
    pub(super) old_peer: bool,
    pub(super) watches: Watches<AclList, Z>,
    pub(super) prep: Prep<Z>,
    /// The newest proposal; no less than what is applied.
    pub(super) proposed: Zxid,
    pub(super) conns: BTreeMap<LinkId, Conn>,
    /// Links that a sync waits on, with the proposal it waits for, in that order.
    pub(super) syncs: VecDeque<(Zxid, LinkId)>,
    /// Connections by address, for the limit.
    per_address: BTreeMap<IpAddr, u32>,
    /// Links not read from because too much is in flight.
    throttled: VecDeque<LinkId>,
    /// Connections that may still have no session, oldest first, with when they must have one.
    sessionless: VecDeque<(Instant, LinkId)>,
    pub(super) stats: Stats,
    /// What four-letter words know, and their unfinished answers.
    pub(super) talk: Talk,
    pub(super) sweep: Sweep,
    /// When people were last told of an exceeded quota.
    quota_told: Option<Instant>,
    /// Owners of ephemeral znodes that were no sessions when service began.
    strays: Vec<SessionId>,
    /// The epoch of the leader, if it is a server of this make.
    pub(super) kin: Option<u32>,
    /// Who belongs to the ensemble, while this server leads one whose members may change.
    pub(super) members: Option<Members>,
    /// Members that were proposed, and that the leader's machine has not been told of.
    pub(super) reconfigured: Option<Ensemble>,
}

impl<Z: Zoo> Server<Z> {
    /// Begins to serve.
    pub fn new(
        zoo: Z,
        config: Arc<ServerConfig>,
        hash: Keyed,
        facts: Facts,
        replica: Replica<Z>,
        now: Now,
    ) -> Server<Z> {
        Server {
            zoo,
            rules: rules(&config),
            watches: Watches::new(hash, TOLD_PER_TURN, zoo),
            prep: Prep::new(hash, zoo),
            proposed: replica.applied,
            duty: Duty::Alone,
            up: Upward::default(),
            old_peer: false,
            conns: BTreeMap::new(),
            syncs: VecDeque::new(),
            per_address: BTreeMap::new(),
            throttled: VecDeque::new(),
            sessionless: VecDeque::new(),
            stats: Stats::new(),
            talk: Talk::new(facts, &config, now),
            sweep: Sweep::new(now.mono, config.containers.check_interval_ms),
            quota_told: None,
            strays: replica.strays(),
            kin: None,
            members: None,
            reconfigured: None,
            replica,
            config,
        }
    }

    /// Notes how long the start took, and how many transactions were replayed in it.
    pub fn note_start(&mut self, took: Duration, replayed: u64) {
        self.stats.time(Measure::DbInitTime, took);
        self.stats.measure(Measure::TxnsLoaded, replayed);
    }

    /// Its copy of history.
    pub fn replica(&mut self) -> &mut Replica<Z> {
        &mut self.replica
    }

    /// Shows who belongs to the ensemble at `/zookeeper/config`.
    pub fn show_members(&mut self, members: &Ensemble) {
        let version = Zxid(members.version().cast_signed());
        self.replica.tree.show_config(members.to_string().as_bytes(), version);
    }

    /// Its copy of history, to look at.
    pub fn history(&self) -> &Replica<Z> {
        &self.replica
    }

    /// Takes in whether a server of ZooKeeper 3.4 takes part: operations that it could not log are
    /// refused with -6 then, and containers and TTL znodes stay.
    pub fn note_old_peer(&mut self, old: bool, fx: &mut Effects) {
        if core::mem::replace(&mut self.old_peer, old) == old {
            return;
        }
        let text = if old {
            "a server of ZooKeeper 3.4 takes part in the ensemble: until it is replaced, create2, \
             containers, TTL znodes and reconfiguration are refused with -6 (Unimplemented), for \
             it could not log them"
        } else {
            "no server of ZooKeeper 3.4 takes part any more: all operations are granted again"
        };
        fx.event(Event::Note { level: Level::Warn, text: text.into() });
    }

    /// Goes on counting where another server of this process ended.
    pub fn go_on_from(&mut self, stats: Stats) {
        self.stats = stats;
    }

    /// Ends service and keeps history, and what was counted: whoever still waits for an answer gets
    /// none, and of the sessions those stay that history knows.
    pub fn retire(mut self, fx: &mut Effects) -> (Replica<Z>, Stats) {
        self.hang_up_all(fx);
        self.replica.sessions.forget_uncommitted();
        self.replica.pending.forget_origins();
        (self.replica, self.stats)
    }

    /// A link was accepted: it gets a place, unless there are too many.
    pub fn on_link_up(&mut self, link: LinkId, peer: SocketAddr, now: Now, fx: &mut Effects) {
        let crowded = self.crowded(peer.ip());
        self.conns.insert(link, Conn::new(peer, now));
        *self.per_address.entry(peer.ip()).or_default() += 1;
        if let Some(why) = crowded {
            self.stats.count(Counter::ConnectionsRejected, 1);
            return self.hang_up(link, &why, fx);
        }
        let patience = u64::from(self.config.clients.sessionless_timeout_ms);
        self.sessionless.push_back((now.mono + Duration::from_millis(patience), link));
    }

    /// A link is gone.
    pub fn on_link_down(&mut self, link: LinkId) {
        // A link that was refused during recovery was never announced here.
        let Some(conn) = self.conns.remove(&link) else { return };
        self.watches.drop_link(link);
        if let Some(session) = conn.session()
            && self.replica.sessions.owner(session) == Some(link)
        {
            self.replica.sessions.set_owner(session, None);
        }
        let address = conn.peer.ip();
        let left = self.per_address.get_mut(&address).expect("it was counted");
        *left -= 1;
        if *left == 0 {
            self.per_address.remove(&address);
        }
    }

    /// The network took bytes that were sent to a link.
    pub fn on_drained(&mut self, link: LinkId, bytes: usize, now: Now, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&link) else { return };
        let slow = conn.reads_too_slowly();
        conn.drained(link, bytes, fx);
        if slow {
            self.drain(link, now, fx);
        }
    }

    /// Does what is due, a bounded part of it; [`Server::poll_timeout`] says when to come again.
    pub fn on_time(&mut self, now: Now, fx: &mut Effects) {
        match self.duty {
            Duty::Alone | Duty::Lead => {
                self.end_strays(now, fx);
                self.expire_sessions(now, fx);
                if !self.old_peer {
                    self.sweep(now);
                }
            }
            Duty::Learn => {}
            Duty::Read => self.expire_guests(now, EXPIRED_PER_TURN, fx),
        }
        while let Some((_, link)) = self.sessionless.pop_front_if(|(due, _)| *due <= now.mono) {
            let fresh = self.conns.get(&link).is_some_and(|conn| conn.session().is_none());
            if fresh {
                self.stats.count(Counter::SessionlessExpired, 1);
                self.hang_up(link, "it opened no session in time", fx);
            }
        }
        self.apply_next_ones(now, fx);
        self.step_watches(fx);
        self.go_on_talking(now, fx);
    }

    /// When [`Server::on_time`] has something to do.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        // The ensemble's sessions and containers end where history is ordered, and nowhere else.
        let orders = matches!(self.duty, Duty::Alone | Duty::Lead);
        let expires = self.duty != Duty::Learn;
        let strays = orders && !self.strays.is_empty();
        let busy = self.watches.is_busy() || self.replica.is_behind() || self.can_talk() || strays;
        let sessionless = self.sessionless.front().map(|(due, _)| *due);
        earliest([
            busy.then_some(now),
            sessionless,
            self.replica.sessions.poll_timeout().filter(|_| expires),
            Some(self.sweep.due()).filter(|_| orders && !self.old_peer),
        ])
    }

    /// Ends a turn: what was staged for the log becomes a batch, unless one is under way.
    pub fn flush(&mut self, now: Now, ids: &mut Ids, fx: &mut Effects) {
        self.talk.sizes.look(ids, fx);
        self.tell_exceeded(now.mono, fx);
        let before = self.replica.log.ordered();
        self.replica.flush(now.mono, ids, fx);
        let ordered = self.replica.log.ordered();
        if ordered > before {
            // An epoch's first batch begins where its counter does.
            let same = ordered.epoch() == before.epoch();
            let begin = if same { before.counter() } else { 0 };
            self.stats.measure(Measure::BatchSize, u64::from(ordered.counter() - begin));
        }
    }

    /// Says that a quota is exceeded, but not at each request of whoever exceeds it.
    fn tell_exceeded(&mut self, now: Instant, fx: &mut Effects) {
        let Some((path, excess)) = self.prep.take_exceeded() else { return };
        if self.quota_told.is_some_and(|told| now < told + QUOTA_TOLD_EVERY) {
            return;
        }
        self.quota_told = Some(now);
        let (kind, what) = (
            if excess.hard { "hard" } else { "soft" },
            if excess.bytes { "bytes" } else { "znodes" },
        );
        let text = format!(
            "the quota of {} is exceeded: {} {what} where its {kind} limit is {}. Raise it with \
             setquota, or see who writes there",
            String::from_utf8_lossy(&path),
            excess.usage,
            excess.limit
        );
        fx.event(Event::Note { level: Level::Warn, text });
    }

    /// Closes what is left of sessions that nobody knows any more, as Java does when it begins to
    /// serve (`ZooKeeperServer.loadData`); only that here it is history like everything else.
    fn end_strays(&mut self, now: Now, fx: &mut Effects) {
        for _ in 0..EXPIRED_PER_TURN {
            let Some(session) = self.strays.pop() else { break };
            if self.replica.sessions.contains(session) {
                continue;
            }
            fx.step();
            let text = format!("the ephemeral znodes of {session} go: nobody knows that session");
            fx.event(Event::Note { level: Level::Info, text });
            self.propose_expiry(session, now);
        }
    }

    fn expire_sessions(&mut self, now: Now, fx: &mut Effects) {
        let (since, mut late) = (self.talk.since, now.mono);
        if self.zoo.has(Mutation::WallClockExpires) {
            let passed = u64::try_from(now.wall_ms - since.wall_ms).unwrap_or_default();
            late = late.max(since.mono + Duration::from_millis(passed));
        }
        for _ in 0..EXPIRED_PER_TURN {
            let Some(session) = self.replica.sessions.expire(late) else { break };
            fx.step();
            fx.event(Event::SessionExpired { session });
            self.stats.count(Counter::SessionsExpired, 1);
            self.propose_expiry(session, now);
        }
    }

    /// An operation of the log ended: what is durable now is applied and answered; or one of those
    /// that look how much the data directories hold.
    pub fn on_file(
        &mut self,
        now: Now,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) {
        if self.talk.sizes.owns(op) {
            return self.on_sizes(op, result, now, fx);
        }
        let moved = self.replica.on_file(op, result, ids, fx);
        if let Some(took) = self.replica.batch_took(now.mono)
            && self.config.storage.force_sync
        {
            self.synced(took, fx);
        }
        if moved {
            self.apply_next_ones(now, fx);
        }
    }

    /// A batch of the log took so long, from its order to the end of its sync.
    fn synced(&mut self, took: Duration, fx: &mut Effects) {
        self.stats.time(Measure::FsyncTime, took);
        let limit = self.config.storage.fsync_warning_ms;
        if took > Duration::from_millis(u64::from(limit)) {
            let text = format!(
                "writing and syncing the transaction log took {} ms, more than \
                 fsync.warningthresholdms={limit}, and every write waited for it. See what else \
                 uses that disk, or give the log its own with dataLogDir",
                took.as_millis()
            );
            fx.event(Event::Note { level: Level::Warn, text });
        }
    }

    /// Recovery met transactions after which the tree was not the one they were recorded for.
    pub fn note_mismatches(&mut self, mismatches: u64) {
        self.stats.count(Counter::DigestMismatches, mismatches);
    }

    /// An operation of a snapshot that began `took` ago ended.
    pub fn on_snapshot_file(
        &mut self,
        took: Duration,
        snapshotter: &mut Snapshotter<Z>,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        ids: &mut Ids,
        fx: &mut Effects,
    ) -> Option<SnapshotNews> {
        let news = self.replica.on_snapshot_file(snapshotter, op, result, ids, fx);
        match news {
            Some(SnapshotNews::Done { .. }) => self.stats.time(Measure::SnapshotTime, took),
            Some(SnapshotNews::Failed { .. }) => self.stats.count(Counter::SnapshotErrors, 1),
            None => {}
        }
        news
    }

    /// Hangs up on everybody: the server is about to stop.
    pub fn hang_up_all(&mut self, fx: &mut Effects) {
        self.conns.iter_mut().for_each(|(link, conn)| conn.hang_up(*link, fx));
    }

    /// Hangs up on a link, and says why.
    pub(super) fn hang_up(&mut self, link: LinkId, why: &str, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&link) else { return };
        if conn.phase != Phase::Over {
            self.stats.count(Counter::ConnectionsDropped, 1);
            let session = conn.session();
            conn.hang_up(link, fx);
            self.watches.drop_link(link);
            if let Some(session) = session
                && self.replica.sessions.owner(session) == Some(link)
            {
                self.replica.sessions.set_owner(session, None);
            }
            fx.event(Event::HungUp { link, why: String::from(why) });
        }
    }

    /// A session's closeSession was applied: its connection goes, too.
    pub(super) fn session_ended(&mut self, owner: LinkId, fx: &mut Effects) {
        self.watches.drop_link(owner);
        if let Some(conn) = self.conns.get_mut(&owner) {
            conn.hang_up(owner, fx);
        }
    }

    /// Reads no more from a link with requests under way while too much is in flight altogether.
    pub(super) fn throttle(&mut self, link: LinkId, fx: &mut Effects) {
        if self.replica.pending.len() > self.outstanding_limit()
            && let Some(conn) = self.conns.get_mut(&link)
            && conn.hold(link, Hold::Server, true, fx)
        {
            self.throttled.push_back(link);
        }
    }

    /// Reads from throttled links again once half of what may be in flight is done.
    pub(super) fn unthrottle(&mut self, fx: &mut Effects) {
        if self.replica.pending.len() <= self.outstanding_limit() / 2 {
            while let Some(link) = self.throttled.pop_front() {
                if let Some(conn) = self.conns.get_mut(&link) {
                    conn.hold(link, Hold::Server, false, fx);
                }
            }
        }
    }

    fn outstanding_limit(&self) -> usize {
        self.config.requests.global_outstanding_limit as usize
    }

    /// Why a connection more from an address is one too many.
    fn crowded(&self, address: IpAddr) -> Option<String> {
        let limits = &self.config.clients;
        let here = self.per_address.get(&address).copied().unwrap_or(0);
        if limits.max_per_address > 0 && here >= limits.max_per_address {
            return Some(format!(
                "{address} has {here} connections already; maxClientCnxns={} is the limit",
                limits.max_per_address
            ));
        }
        let all = self.conns.len();
        (limits.max_total > 0 && all >= limits.max_total as usize).then(|| {
            format!(
                "there are {all} connections already; maxCnxns={} is the limit",
                limits.max_total
            )
        })
    }

    /// Tells a link the events that are pending for it, ahead of any answer.
    pub(super) fn tell_pending(&mut self, link: LinkId, fx: &mut Effects) {
        let mut told = Told::new(&mut self.conns, &self.rules.schemes);
        self.watches.flush_link(link, &mut |link, event, acl| told.tell(link, event, acl, fx));
        let telling = told.telling;
        self.after_telling(telling, fx);
    }

    fn step_watches(&mut self, fx: &mut Effects) {
        if self.watches.is_busy() {
            let mut told = Told::new(&mut self.conns, &self.rules.schemes);
            self.watches
                .step(TOLD_PER_TURN, &mut |link, event, acl| told.tell(link, event, acl, fx));
            let telling = told.telling;
            self.after_telling(telling, fx);
        }
    }

    /// Counts what was told, and hangs up on those who owe too much.
    pub(super) fn after_telling(&mut self, telling: Telling, fx: &mut Effects) {
        self.stats.count(Counter::WatchBytes, telling.bytes);
        for link in telling.unread {
            self.hang_up(link, "it does not read what it is sent", fx);
        }
    }
}

/// What of the configuration decides about requests.
fn rules(config: &ServerConfig) -> Rules {
    let security = &config.security;
    Rules {
        schemes: Schemes {
            skip_acl: security.skip_acl,
            digest: security.digest_scheme,
            digest_algorithm: security.digest_algorithm,
            super_digest: security.super_digest.as_ref().map(|text| text.as_bytes().into()),
            ensemble: security.ensemble.clone(),
            required: security.required_schemes.iter().map(|name| name.as_bytes().into()).collect(),
        },
        extended_types: security.extended_types,
        enforce_quota: security.enforce_quota,
        digest: config.storage.digest,
        close_session_txn: config.storage.close_session_paths,
        reconfig: config.reconfig_enabled,
        // Java 3.4 reads entries of at most this.
        max_entry: config.requests.max_buffer as usize + 1024,
        version_step: config.storage.version_step,
    }
}

/// Where events of watches go: to the links that may read the znode.
pub(super) struct Told<'a> {
    pub conns: &'a mut BTreeMap<LinkId, Conn>,
    pub schemes: &'a Schemes,
    pub telling: Telling,
}

/// What came of telling events.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Bytes that were sent.
    bytes: u64,
    /// Links that owe too much to be told more.
    unread: Vec<LinkId>,
}

impl<'a> Told<'a> {
    pub fn new(conns: &'a mut BTreeMap<LinkId, Conn>, schemes: &'a Schemes) -> Told<'a> {
        Told { conns, schemes, telling: Telling::default() }
    }

    pub fn tell(&mut self, link: LinkId, event: &[u8], acl: &AclList, fx: &mut Effects) {
        let Some(conn) = self.conns.get_mut(&link) else { return };
        if conn.phase == Phase::Over
            || !self.schemes.allows(acl.iter(), perms::READ, &conn.identities)
        {
            return;
        }
        if conn.unsent() > MAX_UNREAD {
            return self.telling.unread.push(link);
        }
        let sent = fx.send(link, |out| out.extend_from_slice(event));
        self.telling.bytes += sent as u64;
        conn.sent(link, sent, fx);
    }
}

/// The sink of live commits: changes fire watches.
pub(super) struct Fired<'a, Z: Zoo> {
    pub watches: &'a mut Watches<AclList, Z>,
    pub told: Told<'a>,
    pub fx: &'a mut Effects,
}

impl<Z: Zoo> Sink for Fired<'_, Z> {
    fn changed(&mut self, kind: EventKind, path: &[u8], zxid: Zxid, acl: &AclList) {
        let (told, fx) = (&mut self.told, &mut *self.fx);
        self.watches.trigger(kind, path, zxid, acl, &mut |link, event, acl| {
            told.tell(link, event, acl, fx);
        });
    }
}
