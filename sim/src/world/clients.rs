// SPDX-License-Identifier: Apache-2.0
//! Simulated clients: the client machine of core, a user who wants something of it, and the
//! promises that the machine makes to its user.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use menagerie_core::{
    client::{Client, Config, ConnectString, Effect, Effects, Input, Reply, RequestId, State},
    id::LinkId,
};

use super::{Ev, SECOND, World, server::guarded};
use crate::{
    clock::Clock,
    net::Owner,
    oracle::{Check, Property, Violation},
    probe::Probe,
    rng::{Rng, Subsystem},
    scenario::{Scenario, proofs},
    workload::Workload,
};

/// A client and its user.
#[derive(Clone)]
pub struct Actor {
    machine: Client,
    clock: Clock,
    workload: Workload,
    over: bool,
    /// Whether the user has asked to close the session, and so asks for nothing more.
    closing: bool,
    pub frozen_until: u64,
    timer_at: u64,
    next_request: u64,
    /// Submitted and not answered, in order.
    asked: VecDeque<RequestId>,
    auths: BTreeSet<RequestId>,
    /// The links by their name with the client: their name in the world.
    links: BTreeMap<LinkId, u64>,
    /// When a server last answered a request.
    pub answered_at: u64,
    /// The newest zxid that this session was shown.
    newest: i64,
    config: Config,
}

impl Actor {
    pub fn new(seed: u64, number: usize, scenario: &Scenario) -> Actor {
        let mut rng = Rng::stream(seed, Subsystem::Workload, number as u64);
        let mut clocks = Rng::stream(seed, Subsystem::Clock, 1 + number as u64);
        let connect = ConnectString { hosts: vec!["server:2181".into()], chroot: String::new() };
        let config = Config::new(connect, scenario.timeout_ms, rng.bits());
        Actor {
            machine: Client::new(config.clone()),
            clock: Clock::new(0, 0, clocks.between(0, 400) as i64 - 200),
            workload: Workload::new(rng, scenario.names),
            over: false,
            closing: false,
            frozen_until: 0,
            timer_at: u64::MAX,
            next_request: 0,
            asked: VecDeque::new(),
            auths: BTreeSet::new(),
            links: BTreeMap::new(),
            answered_at: 0,
            newest: 0,
            config,
        }
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

    fn name(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// A new session, as a user starts one when the last has ended.
    fn begin_again(&mut self) {
        self.config.seed = self.workload.rng().bits();
        self.machine = Client::new(self.config.clone());
        (self.over, self.closing, self.newest) = (false, false, 0);
        self.links.clear();
    }
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
        if self.client_sleeps(client, Ev::ClientTimer { client }) {
            return Ok(());
        }
        self.clients[client].timer_at = u64::MAX;
        self.client_turn(client, Input::Time)
    }

    pub(super) fn client_work(&mut self, client: usize) -> Check {
        if self.client_sleeps(client, Ev::ClientWork { client }) {
            return Ok(());
        }
        let wait = 1 + self.clients[client].workload.rng().wait(self.scenario.think);
        self.after(wait, Ev::ClientWork { client });
        let actor = &mut self.clients[client];
        if actor.over {
            actor.begin_again();
            return self.client_turn(client, Input::Time);
        }
        if actor.closing {
            return Ok(());
        }
        if actor.workload.rng().one_in(400) {
            actor.closing = true;
            return self.client_turn(client, Input::Close);
        }
        if actor.workload.rng().one_in(60) {
            let id = actor.name();
            actor.auths.insert(id);
            let (auth, _) = proofs()[client % proofs().len()];
            return self.client_turn(client, Input::Auth { id, scheme: b"digest", auth });
        }
        let burst = actor.workload.rng().between(1, self.scenario.burst);
        for _ in 0..burst {
            let actor = &mut self.clients[client];
            if actor.asked.len() >= 64 || actor.over {
                break;
            }
            let (id, wish) = (actor.name(), actor.workload.wish());
            actor.asked.push_back(id);
            self.client_turn(client, Input::Submit { id, request: &wish.request() })?;
        }
        Ok(())
    }

    pub(super) fn dialled(&mut self, client: usize, link: u64) -> Check {
        let theirs = LinkId(link);
        let listens = self.server.serving || (self.server.node.is_some() && self.net.one_in(3));
        if !listens || self.now < self.refused_until {
            return self.client_turn(client, Input::LinkDown { link: theirs });
        }
        let name = self.open_link(Owner::Client(client, theirs));
        self.clients[client].links.insert(theirs, name);
        self.client_turn(client, Input::LinkUp { link: theirs })
    }

    /// One input and a flush of a client, and what comes of it.
    pub(super) fn client_turn(&mut self, client: usize, input: Input<'_>) -> Check {
        let actor = &mut self.clients[client];
        let now = actor.clock.mono(self.now);
        let mut fx = Effects::new();
        let machine = &mut actor.machine;
        guarded(|| {
            machine.handle(now, input, &mut fx);
            machine.flush(now, &mut fx);
        })?;
        for effect in fx.take_list() {
            self.client_effect(client, &effect, &fx)?;
        }
        let actor = &self.clients[client];
        if let Some(due) = actor.machine.poll_timeout() {
            let at = actor.clock.world(due).max(self.now + 1);
            if at < actor.timer_at {
                self.clients[client].timer_at = at;
                self.at(at, Ev::ClientTimer { client });
            }
        }
        Ok(())
    }

    fn client_effect(&mut self, client: usize, effect: &Effect, fx: &Effects) -> Check {
        match effect {
            Effect::Dial { link, .. } => {
                let pace = self.link_pace();
                let wait = 2 * pace.base + self.net.wait(pace.jitter);
                self.after(wait, Ev::Dialled { client, link: link.0 });
            }
            Effect::Send { link, bytes } => {
                if let Some(name) = self.clients[client].links.get(link) {
                    self.client_sends(*name, &fx.bytes()[bytes.clone()]);
                }
            }
            Effect::HangUp { link } => {
                if let Some(name) = self.clients[client].links.remove(link) {
                    self.client_hangs_up(name);
                }
            }
            Effect::State(state) => self.client_state(client, *state),
            Effect::Notice(_) => {}
            Effect::Reply(reply) => return self.client_reply(client, reply),
        }
        Ok(())
    }

    fn client_state(&mut self, client: usize, state: State) {
        self.note(|_| format!("client {client} is {state:?}"));
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
        if first != Some(reply.id) {
            return broken(format!("client {client}: {reply:?} answered, {first:?} was next"));
        }
        if reply.zxid.0 > 0 {
            actor.answered_at = now;
            if reply.zxid.0 < actor.newest {
                return broken(format!("client {client}: {reply:?} after {:x}", actor.newest));
            }
            actor.newest = reply.zxid.0;
        } else if reply.err == menagerie_core::proto::ErrorCode::ConnectionLoss.code() {
            self.tally.hit(Probe::ConnectionLoss);
        }
        Ok(())
    }

    pub(super) fn freeze_client(&mut self) {
        let client = self.faults.index(self.clients.len());
        let until = self.now + self.faults.wait(4 * SECOND);
        self.clients[client].frozen_until = until;
    }
}
