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
//! Idle --first input--> Recovering --all read--> Serving --asked to stop--> Stopping --> Over
//!                            `-- rot, no disk ------- a write failed ---------------------^
//! ```

mod purges;
mod snapshots;

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::net::SocketAddr;

use purges::Purges;
use snapshots::{Distance, Snapshots, tail_form};

use crate::{
    config::{Role, ServerConfig},
    event::Event,
    hash::Keyed,
    id::{AskId, LinkId, OpId},
    io::{Effect, Effects, Exit, FileError, FileOutput, Frame, Input, Port, Question},
    serve::{Facts, Replica, Server, stats::Stats, whitelist, words},
    store::{Ids, LogConfig, Recovered, Recovery, RecoveryConfig},
    time::{Instant, Now},
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
    zoo: Z,
    config: Arc<ServerConfig>,
    hash: Keyed,
    facts: Facts,
    ids: Ids,
    snapshots: Snapshots<Z>,
    purges: Purges<Z>,
    mode: Mode<Z>,
    /// Links that came before there was a server to take them.
    early: Vec<(LinkId, SocketAddr)>,
    /// When it began to look at the disk.
    since: Instant,
    now: Now,
}

#[derive(Clone)]
enum Mode<Z: Zoo> {
    Idle,
    Recovering(Box<Recovery<Z>>),
    Serving(Box<Server<Z>>),
    /// Takes nothing more; halts once the log is at rest.
    Stopping(Box<Server<Z>>),
    Over,
}

impl<Z: Zoo> Node<Z> {
    /// A node that has done nothing yet.
    pub fn new(setup: Setup) -> Node<Z> {
        let zoo = Z::default();
        Node {
            zoo,
            hash: Keyed::new(setup.hash_key),
            facts: setup.facts,
            ids: Ids::new(),
            snapshots: Snapshots::new(zoo, setup.seed, &setup.config.storage),
            purges: Purges::new(zoo, &setup.config),
            mode: Mode::Idle,
            early: Vec::new(),
            since: Instant::default(),
            now: Now::default(),
            config: Arc::new(setup.config),
        }
    }

    /// Takes one input.
    ///
    /// # Panics
    /// When the driver breaks the contract: a frame on a link that is not up, the end of an
    /// operation that was not ordered, a link to another server that nobody asked for.
    pub fn handle(&mut self, now: Now, input: Input<'_>, fx: &mut Effects) {
        self.now = now;
        if matches!(self.mode, Mode::Idle) {
            self.start(fx);
        }
        match input {
            Input::File { op, result } => self.on_file(now, op, &result, fx),
            Input::Ask { ask, question } => self.on_question(ask, question, fx),
            Input::LinkUp { link, port: Port::Client, peer, .. } => match &mut self.mode {
                Mode::Serving(server) => server.on_link_up(link, peer, now, fx),
                _ => self.early.push((link, peer)),
            },
            Input::LinkUp { port: Port::Election | Port::Quorum, .. }
            | Input::DialFailed { .. } => unreachable!("a lone server has no links to others"),
            Input::LinkDown { link } => match &mut self.mode {
                Mode::Serving(server) | Mode::Stopping(server) => server.on_link_down(link),
                _ => self.early.retain(|(early, _)| *early != link),
            },
            Input::Frame { link, frame } => match &mut self.mode {
                Mode::Serving(server) => server.on_frame(link, now, frame, fx),
                _ => {
                    self.early.retain(|(early, _)| *early != link);
                    refuse(&self.config, link, frame, fx);
                }
            },
            Input::Drained { link, bytes } => {
                if let Mode::Serving(server) = &mut self.mode {
                    server.on_drained(link, bytes, now, fx);
                }
            }
            Input::Time => {
                if let Mode::Serving(server) = &mut self.mode {
                    server.on_time(now, fx);
                }
            }
        }
    }

    /// Ends a turn: what was staged for the log becomes a batch, unless one is under way.
    pub fn flush(&mut self, now: Now, fx: &mut Effects) {
        self.now = now;
        match &mut self.mode {
            Mode::Serving(server) => {
                self.snapshots.consider(server.replica(), now.mono, &mut self.ids, fx);
                self.purges.consider(now.mono, &mut self.ids, fx);
                server.flush(now, &mut self.ids, fx);
            }
            Mode::Stopping(server) => {
                if server.replica().come_to_rest(&mut self.ids, fx) {
                    fx.halt(Exit::Clean, String::from("asked to stop"));
                    self.mode = Mode::Over;
                }
            }
            Mode::Idle | Mode::Recovering(_) | Mode::Over => {}
        }
    }

    /// When to send [`Input::Time`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.mode {
            Mode::Idle => Some(self.now.mono),
            Mode::Serving(server) => {
                let timers = [server.poll_timeout(self.now.mono), self.purges.poll_timeout()];
                timers.into_iter().flatten().min()
            }
            Mode::Recovering(_) | Mode::Stopping(_) | Mode::Over => None,
        }
    }

    /// The server, once it serves: for those who look on.
    pub fn server(&self) -> Option<&Server<Z>> {
        match &self.mode {
            Mode::Serving(server) => Some(server),
            _ => None,
        }
    }

    fn start(&mut self, fx: &mut Effects) {
        self.since = self.now.mono;
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
            locked: false,
            upto: None,
        };
        let recovery = Recovery::start(self.zoo, config, &mut self.ids, fx);
        self.mode = Mode::Recovering(Box::new(recovery));
    }

    fn on_file(
        &mut self,
        now: Now,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        fx: &mut Effects,
    ) {
        match &mut self.mode {
            Mode::Recovering(recovery) => {
                if let Some(recovered) = recovery.on_file(op, result, &mut self.ids, fx) {
                    self.serve(now, recovered, fx);
                }
            }
            Mode::Serving(server) | Mode::Stopping(server) => {
                let ids = &mut self.ids;
                if !self.snapshots.on_file(now.mono, op, result, server, ids, fx)
                    && !self.purges.on_file(op, result, ids, fx)
                {
                    server.on_file(now, op, result, ids, fx);
                }
            }
            Mode::Idle | Mode::Over => {}
        }
    }

    fn serve(&mut self, now: Now, found: Recovered<Z>, fx: &mut Effects) {
        let replayed = Distance { txns: found.replayed, bytes: found.replayed_bytes };
        self.snapshots.after_recovery(replayed);
        let mismatches = found.mismatches;
        self.purges.begin(now.mono);
        let id = match &self.config.role {
            // As Java's server alone has it, whatever its myid says.
            Role::Standalone { .. } => 1,
            Role::Member(member) => u8::try_from(member.id & 0xff).expect("masked to a byte"),
        };
        let tick_ms = self.config.tick_time_ms;
        let replica = Replica::new(self.zoo, self.hash, id, tick_ms, found, now);
        let (config, facts) = (self.config.clone(), self.facts.clone());
        let mut server = Server::new(self.zoo, config, self.hash, facts, replica, now);
        server.note_start(now.mono - self.since, replayed.txns);
        server.note_mismatches(mismatches);
        for (link, peer) in self.early.drain(..) {
            server.on_link_up(link, peer, now, fx);
        }
        self.mode = Mode::Serving(Box::new(server));
    }

    fn on_question(&mut self, ask: AskId, question: Question, fx: &mut Effects) {
        match question {
            Question::Stop => self.stop(fx),
            Question::Snapshot => {
                let answer = match &self.mode {
                    Mode::Serving(_) => {
                        self.snapshots.want();
                        Ok(String::from("a snapshot begins with the end of this turn"))
                    }
                    _ => Err(String::from("there is nothing to take a snapshot of yet")),
                };
                fx.push(Effect::Answer { ask, answer });
            }
            Question::Metrics => {
                let text = match &mut self.mode {
                    Mode::Serving(server) | Mode::Stopping(server) => server.metrics(self.now),
                    _ => words::exposition(None, &Stats::new()),
                };
                fx.push(Effect::Answer { ask, answer: Ok(text) });
            }
        }
    }

    /// Takes nothing more, lets the log come to rest, and halts.
    fn stop(&mut self, fx: &mut Effects) {
        self.mode = match core::mem::replace(&mut self.mode, Mode::Over) {
            Mode::Serving(mut server) => {
                server.hang_up_all(fx);
                Mode::Stopping(server)
            }
            stopping @ Mode::Stopping(_) => stopping,
            Mode::Idle | Mode::Recovering(_) | Mode::Over => {
                fx.halt(Exit::Clean, String::from("asked to stop before it served"));
                Mode::Over
            }
        };
    }
}

/// Answers a frame while nothing is served: words say so, and a handshake is hung up on.
fn refuse(config: &ServerConfig, link: LinkId, frame: Frame<'_>, fx: &mut Effects) {
    if let Frame::Word(word) = frame
        && let Some(word) = words::Word::from_bytes(word)
    {
        fx.send(link, |out| words::refuse(word, whitelist(config), out));
    }
    fx.push(Effect::HangUp { link });
    fx.event(Event::HungUp { link, why: String::from("nothing is served yet") });
}

#[cfg(test)]
mod tests;
