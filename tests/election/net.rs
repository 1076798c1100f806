// SPDX-License-Identifier: Apache-2.0
//! A network for elections: servers, links as streams of bytes, virtual time, and whatever order of
//! delivery the delays give.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use menagerie_core::{
    config::Ensemble,
    election::{
        Decision, Election, ElectionFramer, Setup, Standing,
        wire::{Hello, Notification},
    },
    event::{Event, Level},
    id::{DialId, LinkId, ServerId},
    io::{Effect, Effects, Frame, Input, Port},
    quorum::Quorums,
    time::Instant,
    zoo::{Mutation, Zoo},
};

/// At most one bug.
#[derive(Clone, Copy, Default)]
pub struct Bug(pub Option<Mutation>);

impl Zoo for Bug {
    fn has(self, mutation: Mutation) -> bool {
        self.0 == Some(mutation)
    }
}

/// Who is at an end of a link: a server, or a script that speaks for one.
pub type Id = i64;

struct Server {
    /// Which start of it this is: what an earlier one dialled is not its own.
    life: u64,
    election: Election<Bug>,
    /// Its links: the pipe, and the end it holds.
    links: BTreeMap<LinkId, (usize, usize)>,
    timer: Option<Instant>,
}

struct End {
    owner: Id,
    link: LinkId,
    up: bool,
    framer: ElectionFramer,
    /// Its next frame is a hello.
    hello: bool,
    /// A script holds it: frames are only shown.
    script: bool,
}

/// A link: what end 0 dialled and end 1 accepted.
struct Pipe {
    ends: [End; 2],
    /// No byte of a direction arrives before.
    latest: [Instant; 2],
    /// Nothing arrives at an end any more, not even that the link is gone.
    mute: [bool; 2],
}

enum Ev {
    Connect { from: Id, life: u64, dial: DialId, to: Id },
    Dialled { pipe: usize, dial: DialId },
    Failed { from: Id, life: u64, dial: DialId, why: &'static str },
    Bytes { pipe: usize, to: usize, bytes: Vec<u8> },
    Drained { pipe: usize, end: usize, bytes: usize },
    Down { pipe: usize, end: usize },
    Timer { server: Id },
}

/// How long things take, in microseconds.
pub trait Delays {
    /// The delay of the next thing between two.
    fn next(&mut self, from: Id, to: Id) -> u64;
    /// Where to cut a message of `len` bytes.
    fn cut(&mut self, len: usize) -> usize;
}

/// Everything takes a millisecond, and nothing is cut.
pub struct Even;

impl Delays for Even {
    fn next(&mut self, _: Id, _: Id) -> u64 {
        1_000
    }

    fn cut(&mut self, len: usize) -> usize {
        len
    }
}

/// All servers and what is under way between them.
pub struct Net<D> {
    pub now: Instant,
    pub delays: D,
    pub ensemble: Ensemble,
    pub bug: Option<Mutation>,
    /// What happened since this was last taken.
    pub story: Vec<String>,
    /// All decisions so far: when, in which round, by whom.
    pub decisions: Vec<(Instant, i64, Id, Decision)>,
    servers: BTreeMap<Id, Server>,
    scripts: BTreeSet<Id>,
    pipes: Vec<Pipe>,
    cuts: BTreeSet<(Id, Id)>,
    queue: BTreeMap<(Instant, u64), Ev>,
    sequence: u64,
    links: u64,
    /// Links opened so far.
    pub opened: usize,
}

impl<D: Delays> Net<D> {
    pub fn new(ensemble: &str, delays: D) -> Net<D> {
        let ensemble = Ensemble::from_dynamic_file("members", ensemble.as_bytes());
        Net {
            now: Instant::from_millis(1_000),
            delays,
            ensemble: ensemble.expect("a good list of members"),
            bug: None,
            story: Vec::new(),
            decisions: Vec::new(),
            servers: BTreeMap::new(),
            scripts: BTreeSet::new(),
            pipes: Vec::new(),
            cuts: BTreeSet::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            links: 0,
            opened: 0,
        }
    }

    pub fn up(&self) -> impl Iterator<Item = Id> + '_ {
        self.servers.keys().copied()
    }

    pub fn election(&self, id: Id) -> &Election<Bug> {
        &self.servers[&id].election
    }

    pub fn quorums(&self) -> Quorums {
        self.ensemble.quorum().into()
    }

    /// Starts a server, which looks at once.
    pub fn start(&mut self, id: Id, standing: Standing) {
        let setup = Setup {
            me: ServerId(id),
            ensemble: self.ensemble.clone(),
            quorums: self.quorums(),
            timeout: Duration::from_secs(5),
            intervals: [200, 3_200].map(Duration::from_millis).into(),
            multi_address: false,
            guests: false,
        };
        let election = Election::new(Bug(self.bug), setup);
        self.sequence += 1;
        let (life, links) = (self.sequence, BTreeMap::new());
        self.servers.insert(id, Server { life, election, links, timer: None });
        self.look(id, standing);
    }

    pub fn look(&mut self, id: Id, standing: Standing) {
        self.with(id, |election, now, fx| {
            election.look(now, standing, fx);
            None
        });
    }

    pub fn establish(&mut self, id: Id, epoch: u32) {
        self.with(id, |election, now, fx| {
            election.established(now, epoch, fx);
            None
        });
    }

    /// The process is gone; its peers hear of it.
    pub fn stop(&mut self, id: Id) {
        let server = self.servers.remove(&id).expect("it runs");
        for (pipe, end) in server.links.into_values() {
            self.pipes[pipe].ends[end].up = false;
            self.close(pipe, 1 - end);
        }
    }

    /// Nothing passes between two servers, and their links break.
    pub fn cut(&mut self, a: Id, b: Id) {
        self.cuts.insert((a.min(b), a.max(b)));
        for pipe in 0..self.pipes.len() {
            let [x, y] = &self.pipes[pipe].ends;
            if [(x.owner, y.owner), (y.owner, x.owner)].contains(&(a, b)) {
                self.close(pipe, 0);
                self.close(pipe, 1);
            }
        }
    }

    /// What one server says to another is lost, on the links that they have by now.
    pub fn mute(&mut self, from: Id, to: Id) {
        for pipe in &mut self.pipes {
            for end in [0, 1] {
                pipe.mute[end] |= (pipe.ends[1 - end].owner, pipe.ends[end].owner) == (from, to);
            }
        }
    }

    pub fn heal(&mut self, a: Id, b: Id) {
        self.cuts.remove(&(a.min(b), a.max(b)));
    }

    pub fn is_cut(&self, a: Id, b: Id) -> bool {
        self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// A script will speak for `id`: it accepts what is dialled and answers nothing by itself.
    pub fn script(&mut self, id: Id) {
        self.scripts.insert(id);
    }

    /// A script dials. The link is the newest one.
    pub fn script_dials(&mut self, id: Id, to: Id) {
        self.connect(id, to);
    }

    /// A script speaks on its newest link to `to`.
    pub fn script_says(&mut self, id: Id, to: Id, bytes: Vec<u8>) {
        let ours = |pipe: &Pipe| {
            let [x, y] = &pipe.ends;
            match (x.owner, y.owner) {
                owners if owners == (id, to) => Some(0),
                owners if owners == (to, id) => Some(1),
                _ => None,
            }
        };
        let up = |(_, pipe): &(usize, &Pipe)| pipe.ends.iter().all(|end| end.up);
        let mut links = self.pipes.iter().enumerate().rev().filter(up);
        let newest = links.find_map(|(at, pipe)| ours(pipe).map(|end| (at, end)));
        let (pipe, end) = newest.expect("a link to speak on");
        self.travel(pipe, end, bytes);
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// One thing happens, if any is due by `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) else {
            return false;
        };
        self.now = entry.key().0;
        let ev = entry.remove();
        self.happen(ev);
        true
    }

    fn at(&mut self, at: Instant, ev: Ev) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), ev);
    }

    fn after(&mut self, from: Id, to: Id, ev: Ev) {
        let delay = Duration::from_micros(self.delays.next(from, to));
        self.at(self.now + delay, ev);
    }

    pub fn tell(&mut self, what: &str) {
        let millis = self.now.millis() - 1_000;
        self.story.push(format!("{millis:>5} {what}"));
    }

    fn happen(&mut self, ev: Ev) {
        match ev {
            Ev::Connect { from, life, dial, to } => {
                if self.lives(from, life) {
                    self.answer(from, life, dial, to);
                }
            }
            Ev::Dialled { pipe, dial } => {
                let End { owner, link, .. } = self.pipes[pipe].ends[0];
                self.input(owner, Some(link), up(link, self.peer(pipe, 1), Some(dial)));
            }
            Ev::Failed { from, life, dial, why } => {
                let why = String::from(why);
                if self.lives(from, life) {
                    self.input(from, None, Input::DialFailed { port: Port::Election, dial, why });
                }
            }
            Ev::Bytes { pipe, to, bytes } => self.arrive(pipe, to, &bytes),
            Ev::Drained { pipe, end, bytes } => {
                let End { owner, link, .. } = self.pipes[pipe].ends[end];
                self.input(owner, Some(link), Input::Drained { link, bytes });
            }
            Ev::Down { pipe, end } => {
                let End { owner, link, up, .. } = self.pipes[pipe].ends[end];
                if up {
                    self.pipes[pipe].ends[end].up = false;
                    self.input(owner, Some(link), Input::LinkDown { link });
                    if let Some(server) = self.servers.get_mut(&owner) {
                        server.links.remove(&link);
                    }
                }
            }
            Ev::Timer { server } => {
                let timer = self.servers.get_mut(&server).and_then(|server| server.timer.take());
                if timer.is_some() {
                    self.input(server, None, Input::Time);
                }
            }
        }
    }

    fn lives(&self, id: Id, life: u64) -> bool {
        self.servers.get(&id).is_some_and(|server| server.life == life)
    }

    fn answer(&mut self, from: Id, life: u64, dial: DialId, to: Id) {
        if self.is_cut(from, to) {
            let at = self.now + Duration::from_secs(5);
            return self.at(at, Ev::Failed { from, life, dial, why: "no answer" });
        }
        if !self.servers.contains_key(&to) && !self.scripts.contains(&to) {
            let why = "connection refused";
            return self.after(to, from, Ev::Failed { from, life, dial, why });
        }
        let pipe = self.connect(from, to);
        let at = self.now + Duration::from_micros(self.delays.next(to, from));
        self.pipes[pipe].latest[0] = at;
        self.at(at, Ev::Dialled { pipe, dial });
    }

    /// Makes a link; the accepting end hears of it.
    fn connect(&mut self, from: Id, to: Id) -> usize {
        self.opened += 1;
        let pipe = self.pipes.len();
        let mut ends = [(from, ElectionFramer::dialled()), (to, ElectionFramer::accepted())]
            .into_iter()
            .enumerate()
            .map(|(end, (owner, framer))| {
                self.links += 1;
                let link = LinkId(self.links);
                if let Some(server) = self.servers.get_mut(&owner) {
                    server.links.insert(link, (pipe, end));
                }
                let (hello, script) = (end == 1, self.scripts.contains(&owner));
                End { owner, link, up: true, framer, hello, script }
            });
        let ends = [ends.next().expect("two"), ends.next().expect("two")];
        let accepted = ends[1].link;
        self.pipes.push(Pipe { ends, latest: [self.now; 2], mute: [false; 2] });
        self.input(to, Some(accepted), up(accepted, self.peer(pipe, 0), None));
        pipe
    }

    fn peer(&self, pipe: usize, end: usize) -> Id {
        self.pipes[pipe].ends[end].owner
    }

    /// Bytes begin their way from an end to the other, in order, perhaps in pieces.
    fn travel(&mut self, pipe: usize, from: usize, bytes: Vec<u8>) {
        let (a, b) = (self.peer(pipe, from), self.peer(pipe, 1 - from));
        let at = self.delays.cut(bytes.len()).min(bytes.len());
        for piece in [&bytes[..at], &bytes[at..]].into_iter().filter(|piece| !piece.is_empty()) {
            let delay = Duration::from_micros(self.delays.next(a, b));
            let latest = &mut self.pipes[pipe].latest[1 - from];
            *latest = (*latest).max(self.now + delay);
            let at = *latest;
            self.at(at, Ev::Bytes { pipe, to: 1 - from, bytes: piece.to_vec() });
        }
        self.at(self.now, Ev::Drained { pipe, end: from, bytes: bytes.len() });
    }

    /// An end hears that the link is gone, behind all bytes.
    fn close(&mut self, pipe: usize, end: usize) {
        if self.pipes[pipe].mute[end] {
            return;
        }
        let at = self.pipes[pipe].latest[end].max(self.now + Duration::from_micros(1));
        self.at(at, Ev::Down { pipe, end });
    }

    fn arrive(&mut self, pipe: usize, to: usize, bytes: &[u8]) {
        let (from, mute) = (self.peer(pipe, 1 - to), self.pipes[pipe].mute[to]);
        let end = &mut self.pipes[pipe].ends[to];
        if mute || !end.up || self.cuts.contains(&(from.min(end.owner), from.max(end.owner))) {
            return;
        }
        let (owner, link, script) = (end.owner, end.link, end.script);
        let mut frames = VecDeque::new();
        end.framer.push(bytes, |frame| {
            frames.push_back(match frame {
                Frame::Packet(packet) => Ok(packet.to_vec()),
                Frame::Nonsense { len } => Err(len),
                other => panic!("{other:?} on an election port"),
            });
        });
        for frame in frames {
            let hello = std::mem::take(&mut self.pipes[pipe].ends[to].hello);
            let shown = show(frame.as_deref(), hello);
            self.tell(&format!("  {from} > {owner}: {shown}"));
            if !script {
                let frame = match &frame {
                    Ok(packet) => Frame::Packet(packet),
                    Err(len) => Frame::Nonsense { len: *len },
                };
                self.input(owner, Some(link), Input::Frame { link, frame });
            }
        }
    }

    fn input(&mut self, id: Id, link: Option<LinkId>, input: Input<'_>) {
        let known = |server: &Server| link.is_none_or(|link| server.links.contains_key(&link));
        if self.servers.get(&id).is_some_and(known) {
            self.with(id, |election, now, fx| election.handle(now, input, fx));
        }
    }

    /// One call of a server, and what comes of it.
    fn with(
        &mut self,
        id: Id,
        call: impl FnOnce(&mut Election<Bug>, Instant, &mut Effects) -> Option<Decision>,
    ) {
        let mut fx = Effects::new();
        let server = self.servers.get_mut(&id).expect("it runs");
        let decision = call(&mut server.election, self.now, &mut fx);
        let round = server.election.round();
        for effect in fx.take_list() {
            match effect {
                Effect::Send { link, bytes } => {
                    let bytes = fx.bytes()[bytes].to_vec();
                    if let Some(&(pipe, end)) = self.servers[&id].links.get(&link) {
                        self.travel(pipe, end, bytes);
                    }
                }
                Effect::HangUp { link } => {
                    if let Some(&(pipe, end)) = self.servers[&id].links.get(&link) {
                        self.close(pipe, 1 - end);
                        self.at(self.now, Ev::Down { pipe, end });
                    }
                }
                Effect::Dial { dial, host, .. } => {
                    let to = host.trim_start_matches("zk").parse().expect("a host of this net");
                    self.tell(&format!("  {id} dials {to}"));
                    let life = self.servers[&id].life;
                    self.after(id, to, Ev::Connect { from: id, life, dial, to });
                }
                Effect::Event(Event::HungUp { why, .. }) => {
                    self.tell(&format!("{id}: hangs up on a link that {why}"));
                }
                Effect::Event(event) if event.level() == Level::Debug => {
                    self.tell(&format!("  {id}: {event}"));
                }
                Effect::Event(event) => self.tell(&format!("{id}: {event}")),
                other => panic!("{other:?} of an election"),
            }
        }
        if let Some(decision) = decision {
            self.decisions.push((self.now, round, id, decision));
        }
        self.arm(id);
    }

    fn arm(&mut self, id: Id) {
        let server = self.servers.get_mut(&id).expect("it runs");
        let due = server.election.poll_timeout();
        if due != server.timer {
            server.timer = due;
            if let Some(due) = due {
                self.at(due.max(self.now), Ev::Timer { server: id });
            }
        }
    }
}

fn up(link: LinkId, peer: Id, dialled: Option<DialId>) -> Input<'static> {
    let last = u8::try_from(peer).unwrap_or(0);
    let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 3_888));
    Input::LinkUp { link, port: Port::Election, peer, dialled }
}

fn show(frame: Result<&[u8], &i32>, hello: bool) -> String {
    match frame {
        Err(len) => format!("a length of {len}"),
        Ok(packet) if hello => match Hello::decode(packet) {
            Ok(hello) => {
                let at: Vec<String> = hello.addresses().iter().map(ToString::to_string).collect();
                format!("hello of {} at [{}]", hello.from, at.join(", "))
            }
            Err(error) => format!("no hello: {error}"),
        },
        Ok(packet) => match Notification::decode(packet) {
            Ok(said) => format!("{} for {}, round {}", said.state, said.vote, said.round),
            Err(error) => format!("no notification: {error}"),
        },
    }
}
