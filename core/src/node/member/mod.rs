// SPDX-License-Identifier: Apache-2.0
//! The member of an ensemble: which role it has, and what goes between election, broadcast, its log
//! and the server that clients see.
//!
//! ```text
//!            log and epochs at rest           elected          a quorum follows
//!  Settling ------------------------> Looking ------> Leading ---------------------> and serves
//!     ^                                  |  somebody else         up to date            |
//!     |                                  `------------------> Learning -----> and serves|
//!     `-------------------------- the role ends ----------------------------------------'
//! ```
//!
//! Whatever a role leaves under way on the disk is durable before the next vote: a vote speaks only
//! of what is. When a role ends, so do all links of clients, as in Java: each may go on elsewhere.
//! Who looks in vain may serve reads meanwhile: `reading`.

mod leading;
mod learning;
mod membership;
mod reading;
pub(super) mod swap;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    format,
    string::String,
    vec::Vec,
};
use core::time::Duration;

use self::{leading::Leading, learning::Learning, membership::Membership};
use super::{
    Base,
    body::Body,
    opening::Opening,
    view::{Phase, View},
};
use crate::{
    config::{Ensemble, EnsembleConfig, PeerRole, Role as ConfigRole, ServerConfig},
    election::{self, Decision, Election, Standing},
    event::{Event, Level},
    id::{LinkId, OpId, ServerId, Zxid},
    io::{Effect, Effects, FileError, FileOutput, Frame, Input, Port},
    quorum::Quorums,
    serve::{
        Members, Replica, Server,
        stats::{Counter, Measure, Stats},
    },
    store::{Archive, Epochs, Recovered},
    time::{Instant, earliest},
    zab::{Footing, History},
    zoo::{Mutation, Zoo},
};

/// Links to the quorum port that are kept while it is open who leads.
const MOST_CALLERS: usize = 64;

/// Words of a caller that are kept: it says who it is, and waits.
const MOST_WORDS: usize = 4;

/// A member of an ensemble.
#[derive(Clone)]
pub(super) struct Member<Z: Zoo> {
    me: ServerId,
    membership: Membership,
    /// Whom a reconfiguration named to lead, for the next role.
    appointed: Option<ServerId>,
    election: Election<Z>,
    epochs: Epochs<Z>,
    archive: Archive,
    role: Role<Z>,
    body: Body<Z>,
    /// The newest transactions, while no role has them.
    history: History<Z>,
    /// Links that came to the quorum port before it was decided who leads, and what they said.
    callers: BTreeMap<LinkId, VecDeque<Box<[u8]>>>,
    /// All links of the quorum port that are up.
    links: Vec<LinkId>,
    /// Whether the disk's emptiness is declared to be the beginning of a history.
    declared: bool,
    /// The highest epoch that a member was heard to have accepted, when that ended an earlier one.
    heard: u32,
    dials: u64,
    /// When this server, if it still looks by then, serves those who only read.
    reads_from: Option<Instant>,
    /// What was counted, while nothing is served.
    stats: Stats,
    /// Whether there is more to do than a turn allows.
    busy: bool,
}

#[derive(Clone)]
enum Role<Z: Zoo> {
    Settling,
    Looking,
    Leading(Box<Leading<Z>>),
    Learning(Box<Learning<Z>>),
}

impl<Z: Zoo> Member<Z> {
    /// A member that knows its epochs, and has no role yet.
    pub fn new(
        base: &mut Base<Z>,
        opening: Opening<Z>,
        epochs: Epochs<Z>,
        fx: &mut Effects,
    ) -> Member<Z> {
        let Opening { found, took, declared, .. } = opening;
        let config = base.config.clone();
        let own = ensemble_of(&config);
        let me = ServerId(own.id);
        let membership = Membership::new(config.reconfig_enabled, me, own.ensemble.clone());
        let setup = election::Setup {
            me,
            ensemble: own.ensemble.clone(),
            quorums: quorums(own),
            timeout: Duration::from_millis(u64::from(config.peers.connect_timeout_ms)),
            intervals: (
                Duration::from_millis(u64::from(config.peers.notification_intervals_ms.0)),
                Duration::from_millis(u64::from(config.peers.notification_intervals_ms.1)),
            ),
            multi_address: config.peers.multi_address.is_some(),
            guests: config.reconfig_enabled,
        };
        let mut member = Member {
            me,
            membership,
            appointed: None,
            election: Election::new(base.zoo, setup),
            epochs,
            archive: Archive::new(config.storage.log_to_snapshot_millionths),
            role: Role::Settling,
            body: Body::Between,
            history: History::new(base.zoo, 1, Zxid::ZERO),
            callers: BTreeMap::new(),
            links: Vec::new(),
            declared,
            heard: 0,
            dials: 0,
            reads_from: None,
            stats: Stats::new(),
            busy: false,
        };
        member.stats.time(Measure::DbInitTime, took);
        member.take_in(base, found);
        member.meet(base, fx);
        member.settle(base, fx);
        member
    }

    /// What was found on disk is what this server holds.
    fn take_in(&mut self, base: &mut Base<Z>, found: Recovered<Z>) {
        self.archive.begin(found.snapshot);
        self.stats.measure(Measure::TxnsLoaded, found.replayed);
        self.stats.count(Counter::DigestMismatches, found.mismatches);
        let replica = base.replica(found);
        self.membership.read(replica.shown_config());
        self.history = self.new_history(base, replica.durable());
        self.body = Body::Bare(Box::new(replica));
    }

    fn new_history(&self, base: &Base<Z>, last: Zxid) -> History<Z> {
        History::new(base.zoo, base.config.storage.commit_log_count as usize, last)
    }

    /// Whether an input is about links between servers.
    pub fn concerns(&self, input: &Input<'_>) -> bool {
        match input {
            Input::LinkUp { port, .. } | Input::DialFailed { port, .. } => *port != Port::Client,
            Input::LinkDown { link } | Input::Frame { link, .. } | Input::Drained { link, .. } => {
                self.election.owns(*link) || self.links.contains(link)
            }
            Input::Time | Input::File { .. } | Input::Ask { .. } => false,
        }
    }

    /// Takes an input that [concerns](Member::concerns) it, or the time.
    pub fn handle(&mut self, base: &mut Base<Z>, input: Input<'_>, fx: &mut Effects) {
        match input {
            Input::Time => self.on_time(base, fx),
            Input::LinkUp { port: Port::Election, .. }
            | Input::DialFailed { port: Port::Election, .. } => self.elect(base, input, fx),
            Input::LinkUp { link, dialled, .. } => {
                self.links.push(link);
                match dialled {
                    Some(dial) => self.on_leader_link(base, link, dial, fx),
                    None => self.on_caller(base, link, fx),
                }
            }
            Input::DialFailed { dial, why, .. } => self.on_leader_away(base, dial, &why, fx),
            Input::LinkDown { link } if !self.election.owns(link) => {
                self.links.retain(|up| *up != link);
                self.callers.remove(&link);
                self.archive.gone(link, &mut base.ids, fx);
                self.on_quorum_down(base, link, fx);
            }
            Input::Frame { link, frame } if !self.election.owns(link) => {
                self.on_quorum_frame(base, link, frame, fx);
            }
            Input::Drained { link, bytes } if !self.election.owns(link) => {
                if let Role::Leading(leading) = &mut self.role {
                    leading.leader.on_drained(link, bytes, base.now.mono);
                }
            }
            _ => self.elect(base, input, fx),
        }
    }

    /// Ends a turn.
    pub fn flush(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.busy = false;
        match &self.role {
            Role::Leading(_) => self.flush_leading(base, fx),
            Role::Learning(_) => self.flush_learning(fx),
            _ => {}
        }
        match &mut self.body {
            Body::Bare(replica) => replica.flush(base.now.mono, &mut base.ids, fx),
            Body::Serving(server) if server.is_read_only() => {
                server.flush(base.now, &mut base.ids, fx);
            }
            Body::Serving(server) => {
                let newest = server.history().newest();
                if self.archive.wants_snapshot().is_some_and(|least| newest >= least) {
                    base.snapshots.want();
                }
                base.keep_house(server.replica(), fx);
                server.flush(base.now, &mut base.ids, fx);
            }
            Body::Swapping(swap) => {
                if let Err(fault) = swap.step(base, fx) {
                    let why = format!("the leader's tree is none: {fault}");
                    self.learn_no_more(base, &why, fx);
                }
            }
            Body::Between => unreachable!("only within a call"),
        }
        self.settle(base, fx);
    }

    /// When [`Input::Time`] is due.
    pub fn poll_timeout(&self, base: &Base<Z>) -> Option<Instant> {
        let now = base.now.mono;
        let role = match &self.role {
            Role::Leading(leading) => leading.poll_timeout(now),
            Role::Learning(learning) => learning.learner.poll_timeout(),
            _ => None,
        };
        let (server, purge) = match &self.body {
            Body::Serving(server) if server.is_read_only() => (server.poll_timeout(now), None),
            Body::Serving(server) => (server.poll_timeout(now), base.purges.poll_timeout()),
            _ => (self.reads_from, None),
        };
        let busy = self.busy.then_some(now);
        earliest([busy, role, server, purge, self.election.poll_timeout()])
    }

    /// The server, while it serves.
    pub fn server(&self) -> Option<&Server<Z>> {
        match &self.body {
            Body::Serving(server) => Some(server),
            _ => None,
        }
    }

    /// The server, while it serves.
    pub fn server_mut(&mut self) -> Option<&mut Server<Z>> {
        self.body.server()
    }

    /// Its part in the ensemble, and how much of history it holds.
    pub fn view(&self) -> View {
        let serving = matches!(self.body, Body::Serving(_));
        let phase = match &self.role {
            Role::Leading(leading) => {
                let established = leading.leader.is_established();
                Phase::Leading { epoch: leading.leader.epoch(), established }
            }
            Role::Learning(learning) if learning.observer => {
                Phase::Observing { leader: learning.leader, serving }
            }
            Role::Learning(learning) => Phase::Following { leader: learning.leader, serving },
            Role::Settling | Role::Looking => Phase::Looking,
        };
        let (accepted, current) = (self.epochs.accepted(), self.epochs.current());
        let held = match self.body.replica() {
            Some(replica) => View::of(phase, replica),
            None => View::blank(phase),
        };
        let (members, vote) = (self.membership.in_force().version(), self.election.vote());
        let looks = self.election.looks();
        View { accepted, current, members, looks, vote, ..held }
    }

    /// Ends everything: gives what must come to rest before the process may end.
    pub fn stop(mut self, fx: &mut Effects) -> Option<Box<Replica<Z>>> {
        for link in &self.links {
            fx.push(Effect::HangUp { link: *link });
        }
        match self.body.take() {
            Body::Bare(replica) => Some(replica),
            Body::Serving(server) => Some(Box::new(server.retire(fx).0)),
            Body::Swapping(_) | Body::Between => None,
        }
    }

    /// A file operation ended.
    pub fn on_file(
        &mut self,
        base: &mut Base<Z>,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        fx: &mut Effects,
    ) {
        if self.epochs.owns(op) {
            if self.epochs.on_file(op, result, fx) {
                self.on_epochs(base, fx);
            }
            return;
        }
        if self.archive.owns(op) {
            return self.on_archive_file(base, op, result, fx);
        }
        if let Some(sitter) = self.body.sitter() {
            let before = base.snapshots.newest();
            let ours = base.on_house_file(op, result, sitter, fx);
            let newest = base.snapshots.newest();
            if newest > before {
                self.archive.snapshot_done(newest, &mut base.ids, fx);
            }
            if ours {
                return;
            }
        }
        let moved = match &mut self.body {
            Body::Bare(replica) => replica.on_file(op, result, &mut base.ids, fx),
            Body::Serving(server) => {
                let before = server.history().durable();
                server.on_file(base.now, op, result, &mut base.ids, fx);
                server.history().durable() > before
            }
            Body::Swapping(swap) => {
                if let Some(found) = swap.on_file(base, op, result, fx) {
                    self.swapped(base, found, fx);
                }
                false
            }
            Body::Between => unreachable!("only within a call"),
        };
        if moved {
            self.on_durable(base, fx);
        }
    }

    /// What was under way on the disk is there: looks for a leader.
    fn settle(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        let (Role::Settling, Body::Bare(replica)) = (&self.role, &self.body) else { return };
        let rests = replica.is_durable() || base.zoo.has(Mutation::OldAppendsOutliveRole);
        if !rests || !self.epochs.is_idle() {
            return;
        }
        let zxid = match base.zoo {
            zoo if zoo.has(Mutation::LastAppliedClaimed) => replica.newest(),
            zoo if zoo.has(Mutation::DiffTargetClaimed) => {
                replica.durable().max(self.history.last())
            }
            _ => replica.durable(),
        };
        if self.history.last() != zxid {
            self.history = self.new_history(base, zxid);
        }
        let epoch = self.epochs.current();
        let standing = match (self.holds_nothing(zxid), base.config.storage.create_database) {
            (false, _) => Standing::History { zxid, epoch: i64::from(epoch) },
            (true, true) if zxid == Zxid::ZERO => Standing::Empty,
            (true, _) => Standing::Missing,
        };
        self.role = Role::Looking;
        self.reads_from = self.reads_from(base, zxid);
        match self.appointed.take().filter(|leader| self.is_member(*leader)) {
            None => self.election.look(base.now.mono, standing, fx),
            Some(leader) => {
                self.election.appoint(base.now.mono, leader, zxid, fx);
                if leader == self.me { self.lead(base, fx) } else { self.learn(base, leader, fx) }
            }
        }
    }

    /// Whether the disk, up to this transaction, is as before a first start, which nobody says that
    /// this is, or holds a part of what a first synchronisation was to bring: what it may have lost
    /// before, it still lacks.
    fn holds_nothing(&self, zxid: Zxid) -> bool {
        let untouched = zxid == Zxid::ZERO && self.epochs.accepted() == 0;
        let begun = zxid.epoch() > 0 && self.epochs.current() == 0;
        !self.declared && (untouched || begun)
    }

    /// Whether it holds nothing, and that is no first start.
    fn is_blank(&self, base: &Base<Z>) -> bool {
        let begun = self.history.last() > Zxid::ZERO;
        let lost = begun || self.election.met_data() || !base.config.storage.create_database;
        let promises = base.zoo.has(Mutation::EmptyServerVotes);
        lost && self.holds_nothing(self.history.last()) && !promises
    }

    /// Whether a server belongs to the ensemble as far as this one knows.
    fn is_member(&self, id: ServerId) -> bool {
        let known = [Some(self.membership.in_force()), self.membership.under_way()];
        known.into_iter().flatten().any(|members| members.members().contains_key(&id.0))
    }

    /// Whether this server is an observer. Who is no member follows without a vote.
    fn is_observer(&self) -> bool {
        let own = self.membership.in_force().members().get(&self.me.0);
        own.is_some_and(|own| own.role == PeerRole::Observer)
    }

    /// Others belong to the ensemble, or are to: election and server are told.
    fn meet(&mut self, base: &Base<Z>, fx: &mut Effects) {
        let (in_force, next) = (self.membership.in_force(), self.membership.under_way());
        let quorums = self.membership.quorums();
        self.election.reconfigure(base.now.mono, in_force, next, quorums, fx);
        self.note_members(base);
    }

    /// Tells a leader's server who belongs to the ensemble.
    fn note_members(&mut self, base: &Base<Z>) {
        let Body::Serving(server) = &mut self.body else { return };
        let leads = matches!(self.role, Role::Leading(_)) && self.membership.is_enabled();
        server.note_members(leads.then(|| Members {
            in_force: self.membership.in_force().clone(),
            changing: self.membership.under_way().is_some(),
            synced: Vec::new(),
            fewest: if base.config.peers.standalone_enabled { 2 } else { 1 },
        }));
    }

    /// Somebody told of a configuration that is in force there, while this server looks.
    fn hear_config(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        if !self.membership.is_enabled() || !matches!(self.role, Role::Looking) {
            return;
        }
        let Some(heard) = self.election.take_heard_config() else { return };
        let Some(next) = Ensemble::from_text(&heard.text) else { return };
        let (from, version) = (heard.from, heard.version);
        let other = self.membership.adopt(next, fx);
        self.meet(base, fx);
        if other {
            told(format!("server {from} told of other members, of version {version:x}"), fx);
            self.read_no_more(fx);
            self.role = Role::Settling;
            self.settle(base, fx);
        }
    }

    /// A server of this copy of history, which goes on counting.
    fn new_server(&mut self, base: &Base<Z>, replica: Replica<Z>) -> Server<Z> {
        let mut server = base.serve(replica);
        server.go_on_from(core::mem::take(&mut self.stats));
        server.show_members(self.membership.in_force());
        server
    }

    fn elect(&mut self, base: &mut Base<Z>, input: Input<'_>, fx: &mut Effects) {
        let decision = self.election.handle(base.now.mono, input, fx);
        if let (Some(decision), Role::Looking) = (decision, &self.role) {
            match decision {
                Decision::Leading => self.lead(base, fx),
                Decision::Following(leader) | Decision::Observing(leader) => {
                    self.learn(base, leader, fx);
                }
            }
        }
        if let Role::Learning(learning) = &self.role
            && learning.learner.is_unanswered()
            && self.election.is_deserted()
        {
            self.learn_no_more(base, "that one looks for a leader itself", fx);
        }
        self.hear_config(base, fx);
    }

    fn on_time(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.elect(base, Input::Time, fx);
        match &self.role {
            Role::Leading(_) => self.on_leading_time(base, fx),
            Role::Learning(_) => self.on_learning_time(base, fx),
            Role::Looking if self.reads_from.is_some_and(|from| from <= base.now.mono) => {
                self.read_only(base, fx);
            }
            _ => {}
        }
        if let Body::Serving(server) = &mut self.body {
            server.on_time(base.now, fx);
        }
    }

    /// Somebody opened a link to the quorum port.
    fn on_caller(&mut self, base: &mut Base<Z>, link: LinkId, fx: &mut Effects) {
        match &mut self.role {
            Role::Leading(leading) => leading.leader.on_link_up(link, base.now.mono),
            Role::Settling | Role::Looking if self.callers.len() < MOST_CALLERS => {
                self.callers.insert(link, VecDeque::new());
            }
            _ => fx.push(Effect::HangUp { link }),
        }
    }

    fn on_quorum_frame(
        &mut self,
        base: &mut Base<Z>,
        link: LinkId,
        frame: Frame<'_>,
        fx: &mut Effects,
    ) {
        match &self.role {
            Role::Leading(_) => self.on_learner_frame(base, link, frame, fx),
            Role::Learning(learning) if learning.link == Some(link) => {
                self.on_leader_frame(base, frame, fx);
            }
            _ => {
                let Some(words) = self.callers.get_mut(&link) else { return };
                match frame {
                    Frame::Packet(bytes) if words.len() < MOST_WORDS => {
                        words.push_back(bytes.into());
                    }
                    _ => {
                        self.callers.remove(&link);
                        fx.push(Effect::HangUp { link });
                    }
                }
            }
        }
    }

    fn on_quorum_down(&mut self, base: &mut Base<Z>, link: LinkId, fx: &mut Effects) {
        match &self.role {
            Role::Leading(_) => self.on_learner_down(base, link, fx),
            Role::Learning(learning) if learning.link == Some(link) => {
                self.on_leader_down(base, fx);
            }
            _ => {}
        }
    }

    fn on_epochs(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        let (accepted, current) = (self.epochs.accepted(), self.epochs.current());
        match &mut self.role {
            Role::Leading(leading) => leading.leader.on_epochs(accepted, current),
            Role::Learning(_) => self.teach(base, fx, |learner, now, fx, orders| {
                learner.on_epochs(accepted, current, now, fx, orders);
            }),
            _ => {}
        }
    }

    fn on_durable(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        let Some(durable) = self.body.durable() else { return };
        match &mut self.role {
            Role::Leading(leading) => leading.leader.on_durable(durable),
            Role::Learning(_) => self.teach(base, fx, |learner, now, fx, orders| {
                learner.on_durable(durable, now, fx, orders);
            }),
            _ => {}
        }
    }

    fn footing(&self) -> Footing {
        Footing {
            accepted: self.epochs.accepted(),
            current: self.epochs.current(),
            durable: self.body.durable().expect("a role begins with a copy of history"),
        }
    }

    /// A role is over: whoever was served must go elsewhere, and this server looks again.
    fn end_role(&mut self, why: &str, fx: &mut Effects) {
        let (history, was) = match core::mem::replace(&mut self.role, Role::Settling) {
            Role::Leading(leading) => {
                self.appointed = leading.leader.heir();
                self.heard = self.heard.max(leading.leader.heard());
                (leading.leader.retire(), "leads no more")
            }
            Role::Learning(learning) => (learning.learner.retire(), "follows no more"),
            _ => return,
        };
        let text = format!("server {} {was}: {why}", self.me);
        fx.event(Event::Note { level: Level::Warn, text });
        self.body = match self.body.take() {
            Body::Serving(server) => {
                self.history = history;
                let (replica, stats) = server.retire(fx);
                self.stats = stats;
                Body::Bare(Box::new(replica))
            }
            Body::Swapping(mut swap) => {
                swap.give_up();
                Body::Swapping(swap)
            }
            body => {
                self.history = history;
                body
            }
        };
        for link in core::mem::take(&mut self.callers).into_keys() {
            fx.push(Effect::HangUp { link });
        }
    }
}

fn ensemble_of(config: &ServerConfig) -> &EnsembleConfig {
    match &config.role {
        ConfigRole::Member(own) => own,
        ConfigRole::Standalone { .. } => unreachable!("a lone server is no member"),
    }
}

fn quorums(own: &EnsembleConfig) -> Quorums {
    own.ensemble.quorum().into()
}

fn ticks(config: &ServerConfig, ticks: core::num::NonZeroU32) -> Duration {
    Duration::from_millis(u64::from(config.tick_time_ms)) * ticks.get()
}

/// What a dial is called: dials of the election have small numbers.
fn dial_name(n: u64) -> crate::id::DialId {
    crate::id::DialId(n | 1 << 63)
}

/// What is told of a role that begins.
fn told(text: String, fx: &mut Effects) {
    fx.event(Event::Note { level: Level::Info, text });
}
