// SPDX-License-Identifier: Apache-2.0
//! The node: one server, from its first look at the disk to its halt.
//!
//! # Driving it
//!
//! ```text
//! node.handle(now, input, &mut effects)   any number of times, then
//! node.flush(now, &mut effects)           once: the end of a turn
//! node.poll_timeout()                     when to send Input::Time, whatever else happens
//! ```
//!
//! A new node has done nothing: the first turn, begun with [`Input::Time`], looks at the disk.
//! After `flush`, execute the effects and clear them. The laws stand on [`Input`] and [`Effects`].
//!
//! ```text
//!                              alone
//! Idle --first input--> Recovering --all read--> Serving ------asked to stop--> Stopping --> Over
//!                            |                                                    ^           ^
//!                            +--of an ensemble--> Opening --epochs read--> Member-'           |
//!                            `-- rot, no disk ------- a write failed -------------------------'
//! ```
//!
//! What a member of an ensemble is from moment to moment is drawn in `member`.

mod body;
mod framer;
mod member;
mod opening;
mod purges;
mod snapshots;
mod view;

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::net::SocketAddr;

use body::Sitter;
pub use framer::{FrameLimits, Framer};
use member::Member;
use opening::Opening;
use purges::Purges;
use snapshots::{Distance, Snapshots, tail_form};
pub use view::{Phase, View};

use crate::{
    config::{Role, ServerConfig},
    event::Event,
    hash::Keyed,
    id::{AskId, LinkId, OpId},
    io::{Effect, Effects, Exit, FileError, FileOutput, Frame, Input, Port, Question},
    serve::{Facts, Replica, Server, stats::Stats, whitelist, words},
    store::{Ids, LogConfig, Recovered, Recovery, RecoveryConfig},
    time::{Instant, Now, earliest},
    zoo::{Sound, Zoo},
};

/// What a node needs to know before its first turn.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration.
    pub config: ServerConfig,
    /// The key of every hash table; no behaviour depends on it.
    pub hash_key: (u64, u64),
    /// The seed of all randomness.
    pub seed: u64,
    /// What people are told of the process.
    pub facts: Facts,
}

/// One server.
#[derive(Clone)]
pub struct Node<Z: Zoo = Sound> {
    base: Base<Z>,
    mode: Mode<Z>,
    /// When it began to look at the disk.
    since: Instant,
}

/// What every mode needs.
#[derive(Clone)]
struct Base<Z: Zoo> {
    zoo: Z,
    config: Arc<ServerConfig>,
    hash: Keyed,
    facts: Facts,
    ids: Ids,
    snapshots: Snapshots<Z>,
    purges: Purges<Z>,
    /// Clients' links that came while there was no server to take them.
    early: Vec<(LinkId, SocketAddr)>,
    now: Now,
}

#[derive(Clone)]
enum Mode<Z: Zoo> {
    Idle,
    Recovering(Box<Recovery<Z>>),
    Serving(Box<Server<Z>>),
    Opening(Box<Opening<Z>>),
    Member(Box<Member<Z>>),
    /// Takes nothing more; halts once the log is at rest.
    Stopping(Box<Replica<Z>>),
    Over,
}

impl<Z: Zoo> Node<Z> {
    /// A node that has done nothing yet.
    pub fn new(setup: Setup) -> Node<Z> {
        let zoo = Z::default();
        let base = Base {
            zoo,
            hash: Keyed::new(setup.hash_key),
            facts: setup.facts,
            ids: Ids::new(),
            snapshots: Snapshots::new(zoo, setup.seed, &setup.config.storage),
            purges: Purges::new(zoo, &setup.config),
            early: Vec::new(),
            now: Now::default(),
            config: Arc::new(setup.config),
        };
        Node { base, mode: Mode::Idle, since: Instant::default() }
    }

    /// Takes one input.
    ///
    /// # Panics
    /// When the driver breaks the contract: a frame on a link that is not up, the end of an
    /// operation that was not ordered, a link to another server that nobody asked for.
    pub fn handle(&mut self, now: Now, input: Input<'_>, fx: &mut Effects) {
        self.base.now = now;
        if matches!(self.mode, Mode::Idle) {
            self.start(fx);
        }
        match input {
            Input::File { op, result } => self.on_file(op, &result, fx),
            Input::Ask { ask, question } => self.on_question(ask, question, fx),
            Input::LinkUp { link, port: Port::Client, peer, .. } => match self.server_mut() {
                Some(server) => server.on_link_up(link, peer, now, fx),
                None => self.base.early.push((link, peer)),
            },
            Input::Time => self.on_time(fx),
            other => match &mut self.mode {
                Mode::Member(member) if member.concerns(&other) => {
                    member.handle(&mut self.base, other, fx);
                }
                _ => self.on_client(other, fx),
            },
        }
    }

    /// Ends a turn: what was staged for the log becomes a batch, unless one is under way.
    pub fn flush(&mut self, now: Now, fx: &mut Effects) {
        self.base.now = now;
        let base = &mut self.base;
        match &mut self.mode {
            Mode::Serving(server) => {
                base.keep_house(server.replica(), fx);
                server.flush(now, &mut base.ids, fx);
            }
            Mode::Member(member) => member.flush(base, fx),
            Mode::Stopping(replica) => {
                if replica.come_to_rest(&mut base.ids, fx) {
                    fx.halt(Exit::Clean, String::from("asked to stop"));
                    self.mode = Mode::Over;
                }
            }
            Mode::Idle | Mode::Recovering(_) | Mode::Opening(_) | Mode::Over => {}
        }
    }

    /// When to send [`Input::Time`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let Base { now, purges, .. } = &self.base;
        match &self.mode {
            Mode::Idle => Some(now.mono),
            Mode::Serving(server) => {
                earliest([server.poll_timeout(now.mono), purges.poll_timeout()])
            }
            Mode::Member(member) => member.poll_timeout(&self.base),
            Mode::Recovering(_) | Mode::Opening(_) | Mode::Stopping(_) | Mode::Over => None,
        }
    }

    /// The server, once it serves: for those who look on.
    pub fn server(&self) -> Option<&Server<Z>> {
        match &self.mode {
            Mode::Serving(server) => Some(server),
            Mode::Member(member) => member.server(),
            _ => None,
        }
    }

    /// Its part in the ensemble, and how much of history it holds: for those who look on.
    pub fn view(&self) -> View {
        match &self.mode {
            Mode::Idle | Mode::Recovering(_) | Mode::Opening(_) => View::blank(Phase::Starting),
            Mode::Serving(server) => View::of(Phase::Alone, server.history()),
            Mode::Member(member) => member.view(),
            Mode::Stopping(replica) => View::of(Phase::Stopping, replica),
            Mode::Over => View::blank(Phase::Over),
        }
    }

    fn server_mut(&mut self) -> Option<&mut Server<Z>> {
        match &mut self.mode {
            Mode::Serving(server) => Some(server),
            Mode::Member(member) => member.server_mut(),
            _ => None,
        }
    }

    /// Something that befell a client's link.
    fn on_client(&mut self, input: Input<'_>, fx: &mut Effects) {
        let now = self.base.now;
        match input {
            Input::LinkDown { link } => match self.server_mut() {
                Some(server) => server.on_link_down(link),
                None => self.base.early.retain(|(early, _)| *early != link),
            },
            Input::Frame { link, frame } => match self.server_mut() {
                Some(server) => server.on_frame(link, now, frame, fx),
                None => {
                    self.base.early.retain(|(early, _)| *early != link);
                    refuse(&self.base.config, link, frame, fx);
                }
            },
            Input::Drained { link, bytes } => {
                if let Some(server) = self.server_mut() {
                    server.on_drained(link, bytes, now, fx);
                }
            }
            // Before it knows its epochs a member does not speak with others.
            Input::LinkUp { link, port, .. } => {
                let member = matches!(self.base.config.role, Role::Member(_));
                assert!(member, "a lone server has no {port:?} links");
                fx.push(Effect::HangUp { link });
            }
            // A member that is about to stop may have had a dial under way.
            Input::DialFailed { .. } => {}
            Input::Time | Input::File { .. } | Input::Ask { .. } => {
                unreachable!("handled where it came in")
            }
        }
    }

    fn on_time(&mut self, fx: &mut Effects) {
        match &mut self.mode {
            Mode::Serving(server) => server.on_time(self.base.now, fx),
            Mode::Member(member) => member.handle(&mut self.base, Input::Time, fx),
            _ => {}
        }
    }

    fn start(&mut self, fx: &mut Effects) {
        self.since = self.base.now.mono;
        self.mode = Mode::Recovering(Box::new(self.base.recover(None, fx)));
    }

    fn on_file(&mut self, op: OpId, result: &Result<FileOutput<'_>, FileError>, fx: &mut Effects) {
        let base = &mut self.base;
        match &mut self.mode {
            Mode::Recovering(recovery) => {
                if let Some(found) = recovery.on_file(op, result, &mut base.ids, fx) {
                    self.recovered(found, fx);
                }
            }
            Mode::Opening(opening) => {
                if let Some(epochs) = opening.on_file(op, result, &mut base.ids, fx) {
                    let Mode::Opening(opening) = core::mem::replace(&mut self.mode, Mode::Over)
                    else {
                        unreachable!("matched above")
                    };
                    let member = Member::new(base, *opening, epochs, fx);
                    self.mode = Mode::Member(Box::new(member));
                }
            }
            Mode::Serving(server) => {
                if !base.on_house_file(op, result, Sitter::Server(server), fx) {
                    server.on_file(base.now, op, result, &mut base.ids, fx);
                }
            }
            Mode::Member(member) => member.on_file(base, op, result, fx),
            Mode::Stopping(replica) => {
                if !base.on_house_file(op, result, Sitter::Replica(replica), fx) {
                    replica.on_file(op, result, &mut base.ids, fx);
                }
            }
            Mode::Idle | Mode::Over => {}
        }
    }

    fn recovered(&mut self, found: Recovered<Z>, fx: &mut Effects) {
        let base = &mut self.base;
        base.purges.begin(base.now.mono);
        if matches!(base.config.role, Role::Member(_)) {
            self.mode = Mode::Opening(Box::new(Opening::begin(base, self.since, found, fx)));
            return;
        }
        let (replayed, mismatches) = (found.replayed, found.mismatches);
        let replica = base.replica(found);
        let mut server = base.serve(replica);
        server.note_start(base.now.mono - self.since, replayed);
        server.note_mismatches(mismatches);
        base.welcome(&mut server, fx);
        self.mode = Mode::Serving(Box::new(server));
    }

    fn on_question(&mut self, ask: AskId, question: Question, fx: &mut Effects) {
        match question {
            Question::Stop => self.stop(fx),
            Question::Snapshot => {
                // What a member without a leader holds may not be history.
                let answer = match self.server().filter(|server| !server.is_read_only()) {
                    Some(_) => {
                        self.base.snapshots.want();
                        Ok(String::from("a snapshot begins with the end of this turn"))
                    }
                    None => Err(String::from("there is nothing to take a snapshot of yet")),
                };
                fx.push(Effect::Answer { ask, answer });
            }
            Question::Metrics => {
                let now = self.base.now;
                let text = match self.server_mut() {
                    Some(server) => server.metrics(now),
                    None => words::exposition(None, &Stats::new()),
                };
                fx.push(Effect::Answer { ask, answer: Ok(text) });
            }
        }
    }

    /// Takes nothing more, lets the log come to rest, and halts.
    fn stop(&mut self, fx: &mut Effects) {
        let replica = match core::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Serving(server) => Some(Box::new(server.retire(fx).0)),
            Mode::Member(member) => member.stop(fx),
            Mode::Stopping(replica) => Some(replica),
            Mode::Idle | Mode::Recovering(_) | Mode::Opening(_) | Mode::Over => None,
        };
        match replica {
            Some(replica) => self.mode = Mode::Stopping(replica),
            None => fx.halt(Exit::Clean, String::from("asked to stop before it served")),
        }
    }
}

impl<Z: Zoo> Base<Z> {
    /// Begins to read the disk; in a process that has done so before, up to a transaction, if what
    /// is behind it was never history.
    fn recover(&mut self, again: Option<member::swap::Again>, fx: &mut Effects) -> Recovery<Z> {
        let storage = &self.config.storage;
        let config = RecoveryConfig {
            hash: self.hash,
            separate: self.config.data_dir != self.config.data_log_dir,
            make: storage.create_directories,
            tail: tail_form(storage),
            log: LogConfig {
                sync: storage.force_sync,
                preallocate: storage.prealloc_bytes,
                roll_beyond: storage.log_size_limit,
            },
            locked: again.is_some(),
            upto: again.and_then(|again| again.upto),
        };
        Recovery::start(self.zoo, config, &mut self.ids, fx)
    }

    /// A copy of history from what was found on disk.
    fn replica(&mut self, found: Recovered<Z>) -> Replica<Z> {
        let replayed = Distance { txns: found.replayed, bytes: found.replayed_bytes };
        self.snapshots.after_recovery(found.snapshot, replayed);
        let id = match &self.config.role {
            // As Java's server alone has it, whatever its myid says.
            Role::Standalone { .. } => 1,
            Role::Member(member) => u8::try_from(member.id & 0xff).expect("masked to a byte"),
        };
        let tick_ms = self.config.tick_time_ms;
        Replica::new(self.zoo, self.hash, id, tick_ms, found, self.now)
    }

    fn serve(&self, replica: Replica<Z>) -> Server<Z> {
        let (config, facts) = (self.config.clone(), self.facts.clone());
        Server::new(self.zoo, config, self.hash, facts, replica, self.now)
    }

    /// Gives a new server the links that came before it.
    fn welcome(&mut self, server: &mut Server<Z>, fx: &mut Effects) {
        for (link, peer) in self.early.drain(..) {
            server.on_link_up(link, peer, self.now, fx);
        }
    }

    /// Begins a snapshot or a purge if it is time.
    fn keep_house(&mut self, replica: &mut Replica<Z>, fx: &mut Effects) {
        self.snapshots.consider(replica, self.now.mono, &mut self.ids, fx);
        self.purges.consider(self.now.mono, &mut self.ids, fx);
    }

    /// An operation ended; false if it is none of a snapshot's or a purge's.
    fn on_house_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        sitter: Sitter<'_, Z>,
        fx: &mut Effects,
    ) -> bool {
        self.snapshots.on_file(self.now.mono, op, result, sitter, &mut self.ids, fx)
            || self.purges.on_file(op, result, &mut self.ids, fx)
    }
}

/// Answers a frame while nothing is served: words say so, and a handshake is hung up on.
fn refuse(config: &ServerConfig, link: LinkId, frame: Frame<'_>, fx: &mut Effects) {
    if let Frame::Word(word) = frame {
        if let Some(word) = words::Word::from_bytes(word) {
            fx.send(link, |out| words::refuse(word, whitelist(config), out));
        }
        return fx.push(Effect::HangUp { link });
    }
    fx.push(Effect::HangUp { link });
    fx.event(Event::HungUp { link, why: String::from("nothing is served yet") });
}

#[cfg(test)]
mod tests;
