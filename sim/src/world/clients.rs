// SPDX-License-Identifier: Apache-2.0
//! Simulated clients: the client machine of core, a user who wants something of it, and the
//! promises that the machine makes to its user.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use menagerie_core::{
    client::{Client, Config, ConnectString, Effect, Input, Reply, RequestId, State},
    id::LinkId,
    proto::OpCode,
};

use super::{
    Ev, SECOND, World,
    book::Book,
    dials::{self, Caller},
    guard::guarded,
    links::name,
    tale::About,
};
use crate::{
    clock::Clock,
    net::{End, Place, Side},
    oracle::{Check, Property, Violation},
    probe::Probe,
    rng::{Rng, Subsystem},
    scenario::{OF_CLIENTS, Scenario, proofs},
    trace::{Act, Wish},
    workload::Workload,
};

/// A client and its user.
#[derive(Clone)]
pub struct Actor {
    machine: Client,
    clock: Clock,
    workload: Workload,
    /// What it wants of a healed world.
    healthy: Workload,
    /// The seeds of its machines.
    seeds: Rng,
    /// How often it has dialled.
    dials: u64,
    /// Which of its machines this is: what one dialled is nothing to the next.
    pub life: u32,
    over: bool,
    /// Whether it has proved that it may do everything.
    is_super: bool,
    /// Whether the user has asked to close the session, and so asks for nothing more.
    closing: bool,
    pub frozen_until: u64,
    timer_at: u64,
    next_request: u64,
    /// Submitted and not answered, in order.
    asked: VecDeque<(RequestId, Wish)>,
    /// The watches that its user waits for.
    book: Book,
    auths: BTreeSet<RequestId>,
    /// The links by their name with the client: their name in the world.
    pub links: BTreeMap<LinkId, u64>,
    /// When a server last answered a request.
    pub answered_at: u64,
    /// When a server last answered a write.
    pub wrote_at: u64,
    /// The newest zxid that this session was shown.
    newest: i64,
    config: Config,
}

impl Actor {
    pub fn new(seed: u64, number: usize, scenario: &Scenario) -> Actor {
        let rng = Rng::stream(seed, Subsystem::Workload, number as u64);
        let healthy = Rng::stream(seed, Subsystem::Health, number as u64);
        let mut seeds = Rng::stream(seed, Subsystem::Client, number as u64);
        let mut clocks = Rng::stream(seed, Subsystem::Clock, 1 + number as u64);
        let hosts = (0..scenario.servers.len()).map(|n| format!("{}:2181", name(n)));
        let connect = ConnectString { hosts: hosts.collect(), chroot: String::new() };
        let config = Config::new(connect, scenario.timeout_ms, seeds.bits());
        Actor {
            machine: Client::new(config.clone()),
            clock: Clock::new(0, 0, clocks.between(0, 400) as i64 - 200),
            workload: Workload::new(rng, scenario.names),
            healthy: Workload::new(healthy, scenario.names),
            seeds,
            dials: 0,
            life: 0,
            over: false,
            is_super: false,
            closing: false,
            frozen_until: 0,
            timer_at: u64::MAX,
            next_request: 0,
            asked: VecDeque::new(),
            book: Book::default(),
            auths: BTreeSet::new(),
            links: BTreeMap::new(),
            answered_at: 0,
            wrote_at: 0,
            newest: 0,
            config,
        }
    }

    /// From here on, its chance is that of another world; its taste stays.
    pub fn reseed(&mut self, seed: u64, number: u64) {
        self.workload.reseed(Rng::stream(seed, Subsystem::Workload, number));
        self.healthy.reseed(Rng::stream(seed, Subsystem::Health, number));
        self.seeds = Rng::stream(seed, Subsystem::Client, number);
    }

    /// Whether its session has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The name of the request by which it proves that it may do everything, if it did not yet.
    pub fn becomes_super(&mut self) -> Option<RequestId> {
        if std::mem::replace(&mut self.is_super, true) {
            return None;
        }
        let id = self.name();
        self.auths.insert(id);
        Some(id)
    }

    /// Whether it waits for an answer.
    pub fn waits(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Where it stands, for people.
    pub fn standing(&self) -> String {
        format!(
            "over {}, closing {}, {} asked, {} outstanding, links {:?}, last answer at {}",
            self.over,
            self.closing,
            self.asked.len(),
            self.machine.outstanding(),
            self.links,
            self.answered_at,
        )
    }

    /// What became of its session, for people.
    fn told(&self, client: usize, state: State) -> String {
        match state {
            State::Connected { session, resumed: true, .. } => {
                format!("client {client} goes on with session {session}")
            }
            State::Connected { session, .. } => format!("client {client} opens session {session}"),
            State::Disconnected => format!("client {client} has no server"),
            State::Expired => format!("client {client} is told that its session expired"),
            State::AuthFailed => format!("client {client} is refused"),
            State::Closed => format!("client {client} has closed its session"),
        }
    }

    fn name(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// A new session, as a user starts one when the last has ended.
    fn begin_again(&mut self) {
        self.config.seed = self.seeds.bits();
        self.machine = Client::new(self.config.clone());
        self.life += 1;
        (self.over, self.closing, self.newest) = (false, false, 0);
        self.is_super = false;
        self.links.clear();
        self.book = Book::default();
    }
}

/// A client's user is told too little, too much, or too late.
fn unfair(client: usize, what: &str) -> Violation {
    Violation::new(Property::Client, format!("client {client}: {what}"))
}

impl World {
    /// Whether the client cannot run now; then the event comes again.
    fn client_sleeps(&mut self, client: usize, event: Ev) -> bool {
        let until = self.clients[client].frozen_until;
        if self.now < until {
            self.at(until, event);
        }
        self.now < until
    }

    pub(super) fn client_timer(&mut self, client: usize) -> Check {
        if self.clients[client].timer_at == self.now
            && self.client_sleeps(client, Ev::ClientTimer { client })
        {
            self.clients[client].timer_at = self.clients[client].frozen_until;
            return Ok(());
        }
        let actor = &mut self.clients[client];
        if actor.timer_at != self.now {
            return Ok(());
        }
        actor.timer_at = u64::MAX;
        let now = actor.clock.mono(self.now);
        if actor.machine.poll_timeout().is_some_and(|due| due > now) {
            self.await_client_timer(client);
            return Ok(());
        }
        self.client_turn(client, Input::Time)
    }

    pub(super) fn client_work(&mut self, client: usize, due: u64) -> Check {
        if self.client_sleeps(client, Ev::ClientWork { client, due }) {
            return Ok(());
        }
        let workload = &mut self.clients[client].workload;
        let taken = self.script.act(client, due, self.now, workload, &self.scenario);
        let Some((act, next)) = taken else { return Ok(()) };
        if let Some(due) = next {
            self.at(due, Ev::ClientWork { client, due });
        }
        self.acts(client, act)
    }

    pub(super) fn client_healthy(&mut self, client: usize) -> Check {
        if self.client_sleeps(client, Ev::ClientHealthy { client }) {
            return Ok(());
        }
        let operates = self.operator() == Some(client);
        let workload = &mut self.clients[client].healthy;
        let wait = workload.pause(self.scenario.think);
        if operates {
            self.after(wait, Ev::ClientHealthy { client });
            return self.looks_after();
        }
        let act = workload.act(self.scenario.burst);
        self.after(wait, Ev::ClientHealthy { client });
        self.acts(client, act)
    }

    /// If nothing is under way between a client and the server, they must agree on the watches.
    fn compare_watches(&mut self, client: usize) -> Check {
        let actor = &self.clients[client];
        let Some(name) = actor.links.values().next_back() else { return Ok(()) };
        let Some(link) = self.links.get(name) else { return Ok(()) };
        let End::Server(server) = link.end(Side::Acceptor) else { return Ok(()) };
        let ghost = self.oracles.ghost.replicas[server].links.get(&LinkId(*name));
        let Some(ghost) = ghost else { return Ok(()) };
        let server = self.servers[server].is_idle() && ghost.is_quiet();
        let quiet = actor.asked.is_empty() && link.is_quiet() && server;
        if actor.over || actor.closing || actor.links.len() != 1 || !quiet {
            return Ok(());
        }
        actor.book.agrees(&ghost.watches).map_err(|what| unfair(client, &what))?;
        self.tally.hit(Probe::BooksAgree);
        Ok(())
    }

    /// The user does something; if the session has ended, a new one comes first.
    pub(super) fn acts(&mut self, client: usize, act: Act) -> Check {
        self.compare_watches(client)?;
        let actor = &mut self.clients[client];
        if actor.over {
            actor.begin_again();
            return self.client_turn(client, Input::Time);
        }
        if actor.closing {
            return Ok(());
        }
        match act {
            Act::Close => {
                actor.closing = true;
                self.client_turn(client, Input::Close)
            }
            Act::Prove => {
                let id = actor.name();
                actor.auths.insert(id);
                let (auth, _) = proofs()[client % OF_CLIENTS];
                self.client_turn(client, Input::Auth { id, scheme: b"digest", auth })
            }
            Act::Ask(wishes) => {
                for wish in wishes {
                    let actor = &mut self.clients[client];
                    if actor.asked.len() >= 64 || actor.over {
                        break;
                    }
                    let Some(request) = wish.request() else { continue };
                    let id = actor.name();
                    actor.asked.push_back((id, wish.clone()));
                    self.client_turn(client, Input::Submit { id, request: &request })?;
                }
                Ok(())
            }
        }
    }

    /// One input and a flush of a client, and what comes of it.
    pub(super) fn client_turn(&mut self, client: usize, input: Input<'_>) -> Check {
        self.tally.inputs += 1;
        let actor = &mut self.clients[client];
        let now = actor.clock.mono(self.now);
        let mut fx = std::mem::take(&mut self.spare.client_effects);
        let machine = &mut actor.machine;
        guarded(|| {
            machine.handle(now, input, &mut fx);
            machine.flush(now, &mut fx);
        })?;
        for effect in fx.list() {
            self.client_effect(client, effect, fx.bytes())?;
        }
        fx.clear();
        self.spare.client_effects = fx;
        self.await_client_timer(client);
        Ok(())
    }

    /// Sees to it that an event comes when a client's timer is due, or before.
    fn await_client_timer(&mut self, client: usize) {
        let actor = &self.clients[client];
        if let Some(due) = actor.machine.poll_timeout() {
            let at = actor.clock.world(due).max(self.now + 1);
            if at < actor.timer_at {
                self.clients[client].timer_at = at;
                self.at(at, Ev::ClientTimer { client });
            }
        }
    }

    fn client_effect(&mut self, client: usize, effect: &Effect, all_bytes: &[u8]) -> Check {
        match effect {
            Effect::Dial { link, host } => {
                let to = dials::host(host).expect("a configured host");
                let pace = self.link_pace(Place::Client(client), Place::Server(to));
                let actor = &mut self.clients[client];
                actor.dials += 1;
                let ordinal = (client as u64) << 32 | actor.dials;
                let wait = 2 * pace.base + actor.seeds.wait(pace.jitter);
                let caller = Caller::Client { client, life: actor.life, link: *link };
                self.dial(caller, to, 30 * SECOND, ordinal, wait);
            }
            Effect::Send { link, bytes } => {
                if let Some(name) = self.clients[client].links.get(link) {
                    self.client_sends(*name, &all_bytes[bytes.clone()]);
                }
            }
            Effect::HangUp { link } => {
                if let Some(name) = self.clients[client].links.remove(link) {
                    self.close(name, Side::Dialler);
                }
            }
            Effect::State(state) => self.client_state(client, *state),
            Effect::Notice(notice) => {
                if notice.zxid.0 == -1 && (notice.kind as i32) < 4 {
                    self.tally.hit(Probe::UserTold);
                }
                let actor = &mut self.clients[client];
                actor.book.noticed(notice, actor.newest).map_err(|what| unfair(client, &what))?;
            }
            Effect::Reply(reply) => return self.client_reply(client, reply),
        }
        Ok(())
    }

    fn client_state(&mut self, client: usize, state: State) {
        self.note(|_| format!("client {client} is {state:?}"));
        if let State::Connected { session, .. } = state
            && let Some(tale) = &mut self.tale
        {
            tale.sessions.insert(session.0, client);
        }
        self.recall(About::Client(client), |world| world.clients[client].told(client, state));
        if state.is_final() {
            self.clients[client].over = true;
        }
    }

    fn client_reply(&mut self, client: usize, reply: &Reply) -> Check {
        let broken = |what: String| Err(Violation::new(Property::Client, what));
        let now = self.now;
        let actor = &mut self.clients[client];
        self.rolling.mix(reply.id.0 ^ reply.zxid.0.cast_unsigned());
        if actor.auths.remove(&reply.id) {
            return Ok(());
        }
        let first = actor.asked.pop_front();
        let Some((_, wish)) = first.as_ref().filter(|(id, _)| *id == reply.id) else {
            return broken(format!("client {client}: {reply:?} answered, {first:?} was next"));
        };
        if reply.zxid.0 > 0 {
            let noted = actor.book.replied(reply.id, wish, reply.zxid.0, reply.err);
            noted.map_err(|what| unfair(client, &what))?;
            actor.answered_at = now;
            self.tally.acknowledged += 1;
            if OpCode::from_code(wish.op).is_some_and(OpCode::is_write) {
                actor.wrote_at = now;
            }
            if reply.zxid.0 < actor.newest {
                return broken(format!("client {client}: {reply:?} after {:x}", actor.newest));
            }
            actor.newest = reply.zxid.0;
        } else if reply.err == menagerie_core::proto::ErrorCode::ConnectionLoss.code() {
            self.tally.hit(Probe::ConnectionLoss);
        }
        Ok(())
    }
}
