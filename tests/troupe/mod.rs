// SPDX-License-Identifier: Apache-2.0
//! A troupe: the whole servers of an ensemble in memory. Everything that needs no time happens at
//! once and in one order, unless a link is held or a disk is stalled; time passes when it is told
//! to. What happens is put down, for stories to tell and for tests to judge.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod guest;
mod stage;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
};

use menagerie_core::{
    config::{StaticConfig, Surroundings},
    event::Event,
    id::{DialId, LaneId, LinkId, OpId},
    io::{ConfigFile, Exit, FileOp, Frame, Input, Port},
    node::{FrameLimits, Framer, Node, Setup, View},
    serve::Facts,
    time::{Instant, Now},
    zoo::Mutation,
};
use menagerie_sim::{
    disk::{Disk, Ended, Keep, Output, Pace},
    rng::{Rng, Subsystem},
    zoo::{Mutant, breed},
};

use self::guest::Guest;

/// The wall clock when a troupe comes together.
const EPOCH_MS: i64 = 1_600_000_000_000;

/// In everybody's zoo.cfg.
const BASICS: &str = "tickTime=1000\ninitLimit=10\nsyncLimit=5\npreAllocSize=0\n";

/// Links of clients have names from here on.
const GUESTS: u64 = 1 << 40;

/// More steps than anything takes that comes to an end.
const ENDLESS: usize = 20_000;

/// The N of a `server.N` line.
pub type Id = usize;

/// A frame, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Packet(Vec<u8>),
    Tree(Vec<u8>, bool),
    Broken(&'static str),
    Nonsense(i32),
}

/// What one server says to another.
#[derive(Clone, Debug)]
pub struct Message {
    pub from: Id,
    pub to: Id,
    pub port: Port,
    pub word: Word,
    /// Whether the speaker dialled: on a quorum port, whether it is the learner.
    pub dialled: bool,
    /// Whether it is the first word of the dialler: a hello, on an election port.
    pub first: bool,
}

impl Message {
    fn is(&self, from: Id, port: Port) -> bool {
        self.from == from && self.port == port
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A message went on its way; a held one is heard later.
    Said {
        message: Message,
        held: bool,
    },
    /// A held message is heard at last.
    Heard(Message),
    Ordered {
        at: Id,
        lane: LaneId,
        what: FileOp,
    },
    Done {
        at: Id,
        what: FileOp,
        error: Option<String>,
    },
    Told {
        at: Id,
        event: Event,
    },
    /// A client was sent bytes.
    Answered {
        at: Id,
        link: LinkId,
        bytes: Vec<u8>,
    },
    /// A client was hung up on.
    Refused {
        at: Id,
        link: LinkId,
    },
    /// A file of the configuration was written.
    Configured {
        at: Id,
        file: ConfigFile,
    },
    Halted {
        at: Id,
        exit: Exit,
        why: String,
    },
}

/// What waits to be handled by a server.
#[derive(Clone, Debug)]
enum In {
    Up {
        link: u64,
        port: Port,
        dialled: Option<DialId>,
    },
    Failed {
        port: Port,
        dial: DialId,
    },
    /// Also whose doing it was, if it was the other end's.
    Down {
        link: u64,
        by: Option<(Id, Port)>,
    },
    Word {
        link: u64,
        message: Message,
    },
    Drained {
        link: u64,
        bytes: usize,
    },
}

/// One end of a link; the other's name differs in the last bit.
struct End {
    owner: Id,
    port: Port,
    framer: Framer,
    /// Whether it has said something.
    spoke: bool,
    /// What it sent and the network has not taken.
    unsent: usize,
    /// Whether it wants to hear nothing for now.
    paused: bool,
}

pub struct Server {
    pub node: Option<Node<Mutant>>,
    pub disk: Disk,
    /// Whether its disk does nothing unless told.
    pub stalled: bool,
    /// A part that no node plays: the story speaks for it.
    pub puppet: bool,
    orders: VecDeque<(LaneId, OpId, FileOp)>,
    inbox: VecDeque<In>,
    lives: u64,
    lines: String,
    /// What its zoo.cfg refers to, once it was reconfigured: a file's name, and its text.
    dynamic: Option<(String, String)>,
}

pub struct Troupe {
    pub bug: Option<Mutation>,
    /// Transactions of one epoch at most, if it is fewer than otherwise.
    epoch_length: Option<u32>,
    /// As the server that started last has them.
    limits: FrameLimits,
    pub happened: Vec<Happening>,
    servers: Vec<Server>,
    guests: BTreeMap<LinkId, (Id, Guest)>,
    ends: BTreeMap<u64, End>,
    names: u64,
    ms: u64,
    /// Pairs between which there are no links, the smaller first.
    cut: BTreeSet<(Id, Id)>,
    /// Whether things went on for ever without time passing.
    pub restless: bool,
    /// Who is not heard by whom on which port (whether it is the quorum's) until told.
    held: BTreeSet<(Id, Id, bool)>,
}

/// Making, starting and ending servers.
impl Troupe {
    /// Servers `1..=voters`, then observers; `lines` are of everybody's zoo.cfg.
    pub fn new(voters: usize, observers: usize, lines: &str) -> Troupe {
        let mut all = String::from(BASICS);
        for id in 1..=voters + observers {
            let role = if id > voters { ":observer" } else { "" };
            all.push_str(&format!("server.{id}=host{id}:2888:3888{role}\n"));
        }
        all.push_str(lines);
        Troupe {
            bug: None,
            epoch_length: None,
            limits: FrameLimits { client: 0, quorum: 0 },
            happened: Vec::new(),
            servers: (1..=voters + observers).map(|id| Server::new(id, &all)).collect(),
            guests: BTreeMap::new(),
            ends: BTreeMap::new(),
            names: 0,
            ms: 1_000,
            cut: BTreeSet::new(),
            restless: false,
            held: BTreeSet::new(),
        }
    }

    /// More servers, of whom nobody knows: their zoo.cfg has these lines, and those of
    /// [`Troupe::configure`].
    pub fn with_strangers(mut self, strangers: usize, lines: &str) -> Troupe {
        for _ in 0..strangers {
            let id = self.servers.len() + 1;
            self.servers.push(Server::new(id, &format!("{BASICS}{lines}")));
        }
        self
    }

    pub fn with_bug(self, bug: Option<Mutation>) -> Troupe {
        Troupe { bug, ..self }
    }

    pub fn with_epochs_of(self, epoch_length: Option<u32>) -> Troupe {
        Troupe { epoch_length, ..self }
    }

    pub fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        1..=self.servers.len()
    }

    pub fn server(&self, id: Id) -> &Server {
        &self.servers[id - 1]
    }

    pub fn server_mut(&mut self, id: Id) -> &mut Server {
        &mut self.servers[id - 1]
    }

    pub fn is_up(&self, id: Id) -> bool {
        self.server(id).node.is_some()
    }

    pub fn view(&self, id: Id) -> Option<View> {
        self.server(id).node.as_ref().map(Node::view)
    }

    /// More lines for one server's zoo.cfg; true when it starts next.
    pub fn configure(&mut self, id: Id, line: &str) {
        let lines = &mut self.server_mut(id).lines;
        lines.push_str(line);
        lines.push('\n');
    }

    pub fn start(&mut self, id: Id) {
        breed(self.bug);
        let server = &mut self.servers[id - 1];
        assert!(server.node.is_none(), "{id} runs already");
        let mut text = String::from("dataDir=/data\nclientPort=2181\n");
        let is_static = |line: &&str| !line.starts_with("server.");
        // Who is no member needs its old list to start again, as with Java's.
        let own = format!("server.{id}=");
        let dynamic = server.dynamic.as_ref().filter(|(_, text)| text.contains(&own));
        match dynamic {
            None => text.push_str(&server.lines),
            Some((name, _)) => {
                text.extend(server.lines.lines().filter(is_static).flat_map(|line| [line, "\n"]));
                text.push_str(&format!("dynamicConfigFile={name}\n"));
            }
        }
        let config = StaticConfig::parse("zoo.cfg", text.as_bytes(), &[]).expect("it is right");
        let myid = id.to_string();
        let dynamic = dynamic.map(|(name, text)| (name.as_str(), text.as_bytes()));
        let myid = Some(("/data/myid", myid.as_bytes()));
        let mut config = config.complete(&Surroundings { myid, dynamic }).expect("it is whole");
        if let Some(length) = self.epoch_length {
            config.storage.epoch_length = length;
        }
        self.limits = (&config.requests).into();
        server.lives += 1;
        let seed = id as u64 * 100 + server.lives;
        let setup = Setup { config, hash_key: (1, 2), seed, facts: Facts::default() };
        server.node = Some(Node::new(setup));
        self.input(id, Input::Time);
    }

    /// The process ends; the system keeps what it wrote.
    pub fn kill(&mut self, id: Id) {
        self.gone(id);
        self.server_mut(id).disk.kill();
    }

    /// The machine ends, and of what was not synced nothing or all is left.
    pub fn power_fails(&mut self, id: Id, keep: Keep) {
        self.gone(id);
        let server = self.server_mut(id);
        server.disk.power_loss(keep);
        server.disk.heal();
    }

    /// A disk that was never used takes the place of its own.
    pub fn wipe(&mut self, id: Id) {
        assert!(!self.is_up(id), "{id} runs");
        self.server_mut(id).disk = new_disk(id);
    }

    fn gone(&mut self, id: Id) {
        let server = self.server_mut(id);
        server.node = None;
        server.inbox.clear();
        server.orders.clear();
        let owned = |end: &End| end.owner == id;
        let ends: Vec<u64> =
            self.ends.iter().filter(|(_, end)| owned(end)).map(|(name, _)| *name).collect();
        ends.into_iter().for_each(|name| self.reset(name));
        self.guests
            .values_mut()
            .filter(|(at, _)| *at == id)
            .for_each(|(_, guest)| guest.up = false);
    }
}

/// The network between servers.
impl Troupe {
    /// Links between two break, and none is made.
    pub fn cut(&mut self, a: Id, b: Id) {
        self.cut.insert((a.min(b), a.max(b)));
        self.break_links(a, b);
    }

    /// Links between two break, and may be made again.
    pub fn break_links(&mut self, a: Id, b: Id) {
        let between = |name: &u64, end: &End| {
            let other = self.ends.get(&(name ^ 1)).map(|end| end.owner);
            (end.owner, other) == (a, Some(b))
        };
        let names: Vec<u64> =
            self.ends.iter().filter(|(name, end)| between(name, end)).map(|(n, _)| *n).collect();
        names.into_iter().for_each(|name| self.reset(name));
    }

    pub fn heal(&mut self, a: Id, b: Id) {
        self.cut.remove(&(a.min(b), a.max(b)));
    }

    /// From here on what `from` says to `to` waits to be delivered.
    pub fn hold(&mut self, from: Id, to: Id, port: Port) {
        self.held.insert((from, to, port == Port::Quorum));
    }

    /// What was held is heard, and whatever comes.
    pub fn release(&mut self, from: Id, to: Id, port: Port) {
        self.held.remove(&(from, to, port == Port::Quorum));
        while self.deliver(from, to, port) {}
    }

    /// Lets the oldest held message be heard; false if there is none.
    pub fn deliver(&mut self, from: Id, to: Id, port: Port) -> bool {
        let inbox = &mut self.server_mut(to).inbox;
        let is_it =
            |input: &In| matches!(input, In::Word { message, .. } if message.is(from, port));
        let Some(at) = inbox.iter().position(is_it) else { return false };
        let Some(In::Word { link, message }) = inbox.remove(at) else {
            unreachable!("it was found there")
        };
        self.happened.push(Happening::Heard(message.clone()));
        self.take(link);
        self.hears(to, In::Word { link, message });
        true
    }

    /// What is on its way from one to another, held.
    pub fn on_its_way(&self, from: Id, to: Id, port: Port) -> usize {
        let inbox = self.server(to).inbox.iter();
        let of = |input: &&In| matches!(input, In::Word { message, .. } if message.is(from, port));
        inbox.filter(of).count()
    }

    fn is_held(&self, from: Id, to: Id, port: Port) -> bool {
        self.held.contains(&(from, to, port == Port::Quorum))
    }

    fn is_cut(&self, a: Id, b: Id) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// A link is gone with all that was on its way; both ends hear of it, or only later where the
    /// one is not heard by the other.
    fn reset(&mut self, name: u64) {
        for name in [name, name ^ 1] {
            if let Some(end) = self.ends.get(&name) {
                self.server_mut(end.owner).inbox.retain(|input| {
                    !matches!(input,
                        In::Word { link, .. } | In::Drained { link, .. } if *link == name)
                });
            }
        }
        self.hang_up(name);
    }

    /// An end hangs up: the other hears all that was said before.
    fn hang_up(&mut self, name: u64) {
        let Some(here) = self.ends.remove(&name) else { return };
        let down = In::Down { link: name, by: None };
        self.server_mut(here.owner).inbox.push_back(down);
        if let Some(there) = self.ends.remove(&(name ^ 1)) {
            let down = In::Down { link: name ^ 1, by: Some((here.owner, here.port)) };
            self.server_mut(there.owner).inbox.push_back(down);
        }
    }

    fn dial(&mut self, from: Id, dial: DialId, port: Port, host: &str) {
        let to: Id = host["host".len()..].parse().expect("a host of ours");
        let there = self.is_up(to) || self.server(to).puppet;
        if !there || self.is_cut(from, to) {
            return self.server_mut(from).inbox.push_back(In::Failed { port, dial });
        }
        self.link(from, to, port, Some(dial));
    }

    /// A link between two; gives the name of the dialler's end.
    pub fn link(&mut self, from: Id, to: Id, port: Port, dial: Option<DialId>) -> u64 {
        self.names += 2;
        let (near, far) = (self.names, self.names + 1);
        for (name, owner, dialled) in [(near, from, dial), (far, to, None)] {
            let framer = Framer::new(port, name == near, self.limits);
            let end = End { owner, port, framer, spoke: false, unsent: 0, paused: false };
            self.ends.insert(name, end);
            self.server_mut(owner).inbox.push_back(In::Up { link: name, port, dialled });
        }
        near
    }

    /// The newest link between two on a port: the name of `from`'s end.
    pub fn newest_link(&self, from: Id, to: Id, port: Port) -> Option<u64> {
        let across = |name: &u64| self.ends.get(&(name ^ 1)).map(|end| end.owner);
        let of = |(name, end): &(&u64, &End)| {
            end.owner == from && end.port == port && across(name) == Some(to)
        };
        self.ends.iter().filter(of).map(|(name, _)| *name).max()
    }

    /// Sends bytes from an end of a link.
    pub fn send(&mut self, name: u64, bytes: &[u8]) {
        let Some(end) = self.ends.get_mut(&name) else { return };
        let (from, port, dialled) = (end.owner, end.port, name.is_multiple_of(2));
        let mut first = !std::mem::replace(&mut end.spoke, true) && dialled;
        end.unsent += bytes.len();
        let other = self.ends.get_mut(&(name ^ 1)).expect("links have two ends");
        let (to, mut words) = (other.owner, Vec::new());
        other.framer.push(bytes, |frame| {
            words.push(match frame {
                Frame::Packet(packet) => Word::Packet(packet.to_vec()),
                Frame::Tree { bytes, last } => Word::Tree(bytes.to_vec(), last),
                Frame::Broken { why } => Word::Broken(why),
                Frame::Nonsense { len } => Word::Nonsense(len),
                other => unreachable!("{other:?} between servers"),
            });
        });
        for word in words {
            let message = Message { from, to, port, word, dialled, first };
            first = false;
            let held = self.is_held(from, to, port);
            self.happened.push(Happening::Said { message: message.clone(), held });
            self.server_mut(to).inbox.push_back(In::Word { link: name ^ 1, message });
        }
        self.take(name ^ 1);
    }

    /// The network takes what was sent towards an end, unless that is held up.
    fn take(&mut self, name: u64) {
        let Some(owner) = self.ends.get(&name).map(|end| end.owner) else { return };
        let waits = self.server(owner).inbox.iter().any(|input| {
            matches!(input, In::Word { link, message }
                if *link == name && self.is_held(message.from, owner, message.port))
        });
        let Some(from) = self.ends.get_mut(&(name ^ 1)).filter(|end| !waits && end.unsent > 0)
        else {
            return;
        };
        let (bytes, owner) = (std::mem::take(&mut from.unsent), from.owner);
        self.server_mut(owner).inbox.push_back(In::Drained { link: name ^ 1, bytes });
    }
}

/// Disks.
impl Troupe {
    pub fn orders(&self, id: Id) -> impl Iterator<Item = (LaneId, &FileOp)> {
        self.server(id).orders.iter().map(|(lane, _, what)| (*lane, what))
    }

    /// A disk does its oldest order; what it was.
    pub fn disk_does_one(&mut self, id: Id) -> Option<FileOp> {
        self.disk_does(id, 0)
    }

    /// A disk does the oldest order of a lane; false if there is none.
    pub fn lane_does_one(&mut self, id: Id, lane: LaneId) -> bool {
        let at = self.server(id).orders.iter().position(|(other, ..)| *other == lane);
        at.is_some_and(|at| self.disk_does(id, at).is_some())
    }

    fn disk_does(&mut self, id: Id, at: usize) -> Option<FileOp> {
        let server = self.server_mut(id);
        let (lane, op, what) = server.orders.remove(at)?;
        server.disk.submit(lane, op, what.clone());
        let (_, _, ended, _) = server.disk.finish(lane);
        self.ends_op(id, op, what.clone(), &ended);
        Some(what)
    }

    fn ends_op(&mut self, id: Id, op: OpId, what: FileOp, ended: &Ended) {
        let error = ended.as_ref().err().map(ToString::to_string);
        self.happened.push(Happening::Done { at: id, what, error });
        let result = ended.as_ref().map(Output::borrow).map_err(Clone::clone);
        self.input(id, Input::File { op, result });
    }
}

impl Server {
    fn new(id: Id, lines: &str) -> Server {
        Server {
            node: None,
            disk: new_disk(id),
            stalled: false,
            puppet: false,
            orders: VecDeque::new(),
            inbox: VecDeque::new(),
            lives: 0,
            lines: lines.to_owned(),
            dynamic: None,
        }
    }
}

fn new_disk(id: Id) -> Disk {
    let rng = Rng::stream(1, Subsystem::Disk, id as u64);
    let mut disk = Disk::new(rng, Pace { touch: 1, sync: 1, slowdown: 1 });
    disk.fs.one_folder = true;
    disk
}

fn peer() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 5_000))
}

impl Troupe {
    pub fn now(&self) -> Now {
        Now { mono: Instant::from_millis(self.ms), wall_ms: EPOCH_MS + self.ms as i64 }
    }

    /// Milliseconds since the troupe came together.
    pub fn ms(&self) -> u64 {
        self.ms - 1_000
    }
}
