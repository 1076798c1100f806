// SPDX-License-Identifier: Apache-2.0
//! Several whole nodes on test disks, with nothing between them but links: they elect, synchronise,
//! serve, fail and come back.

use alloc::{
    collections::{BTreeMap, VecDeque},
    format,
    string::String,
    vec,
    vec::Vec,
};
use core::net::SocketAddr;

use super::*;
use crate::{
    config::{StaticConfig, Surroundings},
    id::{DialId, SessionId, Zxid},
    jute::{Reader, Record},
    proto::{
        Acl, ConnectRequest, ConnectResponse, Create, CreateKind, Identity, ReplyHeader, Request,
        RequestHeader, perms,
    },
    store::test_disk::TestDisk,
};

/// A frame that waits to be handled.
#[derive(Clone, Debug)]
enum Word {
    Packet(Vec<u8>),
    Tree(Vec<u8>, bool),
}

/// What waits for a server.
#[derive(Clone, Debug)]
enum In {
    Up { link: u64, port: Port, dialled: Option<DialId> },
    Failed { port: Port, dial: DialId },
    Down { link: u64 },
    Frame { link: u64, word: Word },
    Drained { link: u64, bytes: usize },
}

/// One end of a link; the other's name differs in the last bit.
struct End {
    server: usize,
    framer: Framer,
}

pub(super) struct Server {
    pub(super) node: Option<Node<Sound>>,
    pub(super) disk: TestDisk,
    lives: u64,
    inbox: VecDeque<In>,
    /// What clients were sent.
    sent: BTreeMap<LinkId, Vec<u8>>,
    pub(super) hung_up: Vec<LinkId>,
    /// What it wrote to a dynamic file, and that file's name.
    dynamic: Option<(String, String)>,
}

/// Servers `1..=n`, and their time.
pub(super) struct World {
    pub(super) servers: Vec<Server>,
    lines: String,
    /// The members in the configuration of each server.
    members: Vec<String>,
    ends: BTreeMap<u64, End>,
    names: u64,
    ms: u64,
    limits: FrameLimits,
    /// Servers that hear of nobody and are heard by nobody.
    pub(super) cut: Vec<usize>,
    pub(super) notes: Vec<String>,
    /// How many trees were sent.
    pub(super) trees: usize,
    /// Who led each epoch.
    led: BTreeMap<u32, usize>,
    /// What is tried, for a failure.
    pub(super) story: String,
}

const CLIENTS: u64 = 1 << 40;

impl World {
    pub(super) fn new(voters: usize, observers: usize, lines: &str) -> World {
        let role = |id| if id > voters { ":observer" } else { "" };
        let ids = 1..=voters + observers;
        let line = |id| format!("server.{id}=host{id}:2888:3888{}\n", role(id));
        let members: String = ids.clone().map(line).collect();
        World::of(ids.map(|_| members.clone()).collect(), lines)
    }

    /// Servers that know these members each.
    pub(super) fn of(members: Vec<String>, lines: &str) -> World {
        let server = |_| Server {
            node: None,
            disk: TestDisk::new(),
            lives: 0,
            inbox: VecDeque::new(),
            sent: BTreeMap::new(),
            hung_up: vec![],
            dynamic: None,
        };
        World {
            servers: members.iter().map(server).collect(),
            lines: format!("tickTime=1000\ninitLimit=10\nsyncLimit=5\n{lines}"),
            members,
            ends: BTreeMap::new(),
            names: 0,
            ms: 1000,
            limits: FrameLimits { client: 0, quorum: 0 },
            cut: vec![],
            notes: vec![],
            trees: 0,
            led: BTreeMap::new(),
            story: String::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Instant::from_millis(self.ms), wall_ms: 1_700_000_000_000 + self.ms as i64 }
    }

    pub(super) fn start(&mut self, id: usize) {
        let mut text = format!("dataDir=/data\ndataLogDir=/log\nclientPort=2181\n{}", self.lines);
        // Who is no member any more needs its old list to start again, as with Java's.
        let own = format!("server.{id}=");
        let dynamic = self.servers[id - 1].dynamic.clone().filter(|(_, text)| text.contains(&own));
        match &dynamic {
            None => text.push_str(&self.members[id - 1]),
            Some((file, _)) => text.push_str(&format!("dynamicConfigFile={file}\n")),
        }
        let dynamic = dynamic.as_ref().map(|(file, text)| (file.as_str(), text.as_bytes()));
        let config = StaticConfig::parse("zoo.cfg", text.as_bytes(), &[]).expect("it is right");
        let myid = format!("{id}");
        let myid = Some(("/data/myid", myid.as_bytes()));
        let surroundings = Surroundings { myid, dynamic };
        let config = config.complete(&surroundings).expect("it is whole");
        self.limits = (&config.requests).into();
        let server = &mut self.servers[id - 1];
        server.lives += 1;
        let seed = id as u64 * 100 + server.lives;
        let setup = Setup { config, hash_key: (1, 2), seed, facts: Facts::default() };
        server.node = Some(Node::new(setup));
        self.turn(id, |node, now, fx| node.handle(now, Input::Time, fx));
    }

    /// Kills a server; what was not synced is kept if `keep`.
    pub(super) fn kill(&mut self, id: usize, keep: bool) {
        let server = &mut self.servers[id - 1];
        server.node = None;
        server.inbox.clear();
        server.sent.clear();
        server.disk = server.disk.crash(|| keep);
        let ends: Vec<u64> =
            self.ends.iter().filter(|(_, end)| end.server == id).map(|(name, _)| *name).collect();
        for name in ends {
            self.drop_end(name);
        }
    }

    /// Takes a server off the network, without a word to anybody.
    pub(super) fn cut_off(&mut self, id: usize) {
        self.cut.push(id);
    }

    pub(super) fn join(&mut self, id: usize) {
        self.cut.retain(|cut| *cut != id);
        let across = |name: &u64| self.ends.get(&(name ^ 1)).is_some_and(|end| end.server == id);
        let both: Vec<u64> = self
            .ends
            .iter()
            .filter(|(name, end)| end.server == id || across(name))
            .map(|(name, _)| *name)
            .collect();
        both.into_iter().for_each(|name| self.drop_end(name));
    }

    /// A link is gone, at both ends.
    fn drop_end(&mut self, name: u64) {
        for name in [name, name ^ 1] {
            if let Some(end) = self.ends.remove(&name) {
                self.servers[end.server - 1].inbox.push_back(In::Down { link: name });
            }
        }
    }

    fn turn(&mut self, id: usize, act: impl FnOnce(&mut Node<Sound>, Now, &mut Effects)) {
        let now = self.now();
        let Some(node) = &mut self.servers[id - 1].node else { return };
        let mut fx = Effects::new();
        act(node, now, &mut fx);
        node.flush(now, &mut fx);
        for effect in fx.take_list() {
            self.execute(id, effect, fx.bytes());
        }
    }

    fn execute(&mut self, id: usize, effect: Effect, bytes: &[u8]) {
        match effect {
            Effect::Send { link, bytes: range } => self.send(id, link, &bytes[range]),
            Effect::Dial { dial, port, host, .. } => self.dial(id, dial, port, &host),
            Effect::HangUp { link } if link.0 >= CLIENTS => {
                self.servers[id - 1].hung_up.push(link);
                self.servers[id - 1].inbox.push_back(In::Down { link: link.0 });
            }
            Effect::HangUp { link } => self.drop_end(link.0),
            Effect::File { lane, op, what } => self.servers[id - 1].disk.order(lane, op, what),
            Effect::Event(event) => self.notes.push(format!("{id}: {event}")),
            Effect::Halt { exit: Exit::Diverged, why } => {
                self.notes.push(format!("{id} halted: {why}"));
                self.servers[id - 1].node = None;
            }
            Effect::Halt { why, .. } => panic!("server {id} halted: {why}"),
            Effect::Configure(file) if file.in_force => {
                let name = format!("zoo.cfg{}", file.name);
                self.servers[id - 1].dynamic = Some((name, file.text));
            }
            Effect::Configure(_) => {}
            Effect::Pause { .. } | Effect::Resume { .. } | Effect::Answer { .. } => {}
        }
    }

    fn send(&mut self, id: usize, link: LinkId, bytes: &[u8]) {
        let server = &mut self.servers[id - 1];
        server.inbox.push_back(In::Drained { link: link.0, bytes: bytes.len() });
        if link.0 >= CLIENTS {
            return server.sent.entry(link).or_default().extend_from_slice(bytes);
        }
        let other = link.0 ^ 1;
        let Some(end) = self.ends.get_mut(&other) else { return };
        if self.cut.contains(&id) || self.cut.contains(&end.server) {
            return;
        }
        let inbox = &mut self.servers[end.server - 1].inbox;
        let trees = &mut self.trees;
        end.framer.push(bytes, |frame| {
            let word = match frame {
                Frame::Packet(packet) => Word::Packet(packet.to_vec()),
                Frame::Tree { bytes, last } => Word::Tree(bytes.to_vec(), last),
                other => panic!("{other:?}"),
            };
            *trees += usize::from(matches!(word, Word::Tree(_, true)));
            inbox.push_back(In::Frame { link: other, word });
        });
    }

    fn dial(&mut self, id: usize, dial: DialId, port: Port, host: &str) {
        let there: usize = host["host".len()..].parse().expect("a host of ours");
        let up = self.servers[there - 1].node.is_some()
            && !self.cut.contains(&there)
            && !self.cut.contains(&id);
        if !up {
            return self.servers[id - 1].inbox.push_back(In::Failed { port, dial });
        }
        self.names += 2;
        let (here, other) = (self.names, self.names + 1);
        let framer = |dialled| Framer::new(port, dialled, self.limits);
        let (near, far) = (framer(true), framer(false));
        self.ends.insert(here, End { server: id, framer: near });
        self.ends.insert(other, End { server: there, framer: far });
        let inbox = &mut self.servers[id - 1].inbox;
        inbox.push_back(In::Up { link: here, port, dialled: Some(dial) });
        let inbox = &mut self.servers[there - 1].inbox;
        inbox.push_back(In::Up { link: other, port, dialled: None });
    }

    /// Lets everything happen that needs no time.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for id in 1..=self.servers.len() {
                if self.servers[id - 1].node.is_none() {
                    continue;
                }
                if let Some(input) = self.servers[id - 1].inbox.pop_front() {
                    idle = false;
                    self.turn(id, |node, now, fx| deliver(node, now, &input, fx));
                }
                if let Some(done) = self.servers[id - 1].disk.step(false) {
                    idle = false;
                    self.turn(id, |node, now, fx| {
                        let result = done.result.as_ref().map(|out| out.view());
                        let result = result.map_err(Clone::clone);
                        node.handle(now, Input::File { op: done.op, result }, fx);
                    });
                }
                let node = self.servers[id - 1].node.as_ref();
                let due = node.and_then(Node::poll_timeout);
                if due.is_some_and(|due| due <= self.now().mono) {
                    idle = false;
                    self.turn(id, |node, now, fx| node.handle(now, Input::Time, fx));
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        self.settle();
        while self.ms < end {
            let dues = self.servers.iter().filter_map(|s| s.node.as_ref()?.poll_timeout());
            let next = dues.map(|due| due.micros.div_ceil(1_000)).min();
            self.ms = next.unwrap_or(end).clamp(self.ms + 1, end);
            self.settle();
        }
    }

    /// Lets time pass until a server leads and all others that live follow; gives its id.
    pub(super) fn leader(&mut self) -> usize {
        for _ in 0..600 {
            self.pass(100);
            let views: Vec<View> =
                self.servers.iter().filter_map(|s| Some(s.node.as_ref()?.view())).collect();
            let serving = |view: &View| match view.phase {
                Phase::Leading { established, .. } => established,
                Phase::Following { serving, .. } | Phase::Observing { serving, .. } => serving,
                _ => false,
            };
            if views.iter().all(serving) {
                let leads = |s: &Server| {
                    let view = s.node.as_ref().map(Node::view);
                    matches!(view, Some(View { phase: Phase::Leading { .. }, .. }))
                };
                return 1 + self.servers.iter().position(leads).expect("somebody leads");
            }
        }
        panic!("no ensemble in a minute, {}:\n{:#?}", self.story, self.notes);
    }

    /// How many servers there are, alive or not.
    pub(super) fn size(&self) -> usize {
        self.servers.len()
    }

    /// Whether a server serves, and can be reached.
    pub(super) fn serves(&self, id: usize) -> bool {
        let node = self.servers[id - 1].node.as_ref();
        node.is_some_and(|node| node.server().is_some()) && !self.cut.contains(&id)
    }

    /// No epoch ever has two leaders that others follow.
    pub(super) fn one_leader_an_epoch(&mut self) {
        for (at, server) in self.servers.iter().enumerate() {
            let view = server.node.as_ref().map(Node::view);
            if let Some(View {
                phase: Phase::Leading { epoch: Some(epoch), established: true },
                ..
            }) = view
            {
                let leader = self.led.entry(epoch).or_insert(at);
                assert_eq!(*leader, at, "epoch {epoch}: {:#?}", self.notes);
            }
        }
    }

    /// Whether a server lives.
    pub(super) fn lives(&self, id: usize) -> bool {
        self.servers[id - 1].node.is_some()
    }

    pub(super) fn view(&self, id: usize) -> View {
        self.servers[id - 1].node.as_ref().expect("it lives").view()
    }

    /// A client of a server, with an answer to its handshake.
    pub(super) fn client(&mut self, id: usize, session: SessionId, password: &[u8]) -> Client {
        self.connect(id, session, password, false).expect("a greeting")
    }

    /// A client that greets a server, and says whether a read-only one would do.
    pub(super) fn connect(
        &mut self,
        id: usize,
        session: SessionId,
        password: &[u8],
        read_only: bool,
    ) -> Option<Client> {
        self.names += 2;
        let link = LinkId(CLIENTS + self.names);
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        self.turn(id, |node, now, fx| {
            let port = Port::Client;
            node.handle(now, Input::LinkUp { link, port, peer, dialled: None }, fx);
        });
        let mut packet = Vec::new();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session,
            password,
            read_only: Some(read_only),
        };
        request.encode(&mut packet);
        self.say(id, link, packet);
        let frames = self.frames(id, link);
        let answer =
            ConnectResponse::decode(&mut Reader::new(frames.first()?)).expect("a greeting");
        let (session, password) = (answer.session, answer.password.to_vec());
        let read_only = answer.read_only.expect("it is told");
        Some(Client { server: id, link, session, password, read_only, xid: 0 })
    }

    pub(super) fn try_client(&mut self, id: usize) -> Option<Client> {
        self.connect(id, SessionId::NONE, &[0; 16], false)
    }

    fn say(&mut self, id: usize, link: LinkId, packet: Vec<u8>) {
        self.turn(id, |node, now, fx| {
            node.handle(now, Input::Frame { link, frame: Frame::Packet(&packet) }, fx);
        });
        self.pass(1);
    }

    fn frames(&mut self, id: usize, link: LinkId) -> Vec<Vec<u8>> {
        let bytes = self.servers[id - 1].sent.remove(&link).unwrap_or_default();
        let (mut frames, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((len, more)) = rest.split_first_chunk::<4>() {
            let (frame, more) = more.split_at(u32::from_be_bytes(*len) as usize);
            frames.push(frame.to_vec());
            rest = more;
        }
        frames
    }

    /// Asks, and gives back the error code, the zxid and the body of the answer, if one came.
    pub(super) fn ask(&mut self, client: &mut Client, request: &Request<'_>) -> Option<Answer> {
        client.xid += 1;
        let mut packet = Vec::new();
        RequestHeader { xid: client.xid, op: request.op().code() }.encode(&mut packet);
        request.encode(&mut packet);
        self.say(client.server, client.link, packet);
        let frames = self.frames(client.server, client.link);
        let answers = frames.iter().map(|frame| {
            let mut r = Reader::new(frame);
            let header = ReplyHeader::decode(&mut r).expect("a header");
            (header.xid, (header.err, header.zxid, r.rest().to_vec()))
        });
        answers.filter(|(xid, _)| *xid == client.xid).map(|(_, answer)| answer).next()
    }

    pub(super) fn create(&mut self, client: &mut Client, path: &str) -> i32 {
        let answer = self.try_create(client, path);
        answer.unwrap_or_else(|| panic!("no answer: {:#?}", self.notes))
    }

    pub(super) fn try_create(&mut self, client: &mut Client, path: &str) -> Option<i32> {
        let everything =
            [Acl { perms: perms::ALL, who: Identity { scheme: b"world", id: b"anyone" } }];
        let request = Request::Create(Create {
            kind: CreateKind::Create,
            path: path.as_bytes(),
            data: Some(b"x"),
            acl: Some(everything.to_vec()),
            flags: 0,
        });
        Some(self.ask(client, &request)?.0)
    }

    pub(super) fn exists(&mut self, client: &mut Client, path: &str) -> bool {
        let request = Request::Exists { path: path.as_bytes(), watch: false };
        self.ask(client, &request).expect("a read is answered").0 == 0
    }

    /// Every server that lives holds the same. Gives the last transaction.
    pub(super) fn agree(&mut self) -> Zxid {
        self.pass(2_000);
        let live = self.servers.iter().filter_map(|s| s.node.as_ref());
        let held: Vec<(u64, Zxid)> = live
            .map(|node| {
                let server = node.server().expect("it serves");
                (server.history().digest(), node.view().durable)
            })
            .collect();
        assert!(held.windows(2).all(|two| two[0].0 == two[1].0), "{held:?}\n{:#?}", self.notes);
        held.iter().map(|(_, durable)| *durable).max().expect("somebody lives")
    }
}

type Answer = (i32, Zxid, Vec<u8>);

/// A client of one server.
pub(super) struct Client {
    pub(super) server: usize,
    pub(super) link: LinkId,
    pub(super) session: SessionId,
    pub(super) password: Vec<u8>,
    pub(super) read_only: bool,
    xid: i32,
}

fn deliver(node: &mut Node<Sound>, now: Now, input: &In, fx: &mut Effects) {
    let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let input = match input {
        In::Up { link, port, dialled } => {
            Input::LinkUp { link: LinkId(*link), port: *port, peer, dialled: *dialled }
        }
        In::Failed { port, dial } => {
            Input::DialFailed { port: *port, dial: *dial, why: "nobody listens".into() }
        }
        In::Down { link } => Input::LinkDown { link: LinkId(*link) },
        In::Drained { link, bytes } => Input::Drained { link: LinkId(*link), bytes: *bytes },
        In::Frame { link, word } => {
            let frame = match word {
                Word::Packet(bytes) => Frame::Packet(bytes),
                Word::Tree(bytes, last) => Frame::Tree { bytes, last: *last },
            };
            Input::Frame { link: LinkId(*link), frame }
        }
    };
    node.handle(now, input, fx);
}

pub(super) fn three() -> World {
    let mut world = World::new(3, 0, "");
    (1..=3).for_each(|id| world.start(id));
    world
}

#[test]
fn three_servers_elect_one_and_serve_through_each() {
    let mut world = three();
    let leader = world.leader();
    for id in 1..=3 {
        let mut client = world.client(id, SessionId::NONE, &[0; 16]);
        assert_ne!(client.session, SessionId::NONE);
        assert_eq!(world.create(&mut client, &format!("/{id}")), 0);
        assert!(world.exists(&mut client, &format!("/{id}")));
    }
    assert_eq!(world.agree(), Zxid::new(1, 6), "three sessions and three znodes");
    assert_eq!(world.view(leader).accepted, 1);
}

#[test]
fn what_was_acknowledged_outlives_the_leader_and_it_comes_back_behind_another() {
    let mut world = three();
    let first = world.leader();
    let mut client = world.client(first, SessionId::NONE, &[0; 16]);
    assert_eq!(world.create(&mut client, "/kept"), 0);
    world.kill(first, false);
    let second = world.leader();
    assert_ne!(second, first);
    let mut client = world.client(second, client.session, &client.password);
    assert_ne!(client.session, SessionId::NONE, "the session lives on");
    assert!(world.exists(&mut client, "/kept"));
    assert_eq!(world.create(&mut client, "/more"), 0);
    world.start(first);
    assert_eq!(world.leader(), second);
    let mut client = world.client(first, SessionId::NONE, &[0; 16]);
    assert!(world.exists(&mut client, "/more"));
    world.agree();
}

#[test]
fn a_leader_that_is_cut_off_serves_no_more_and_what_only_it_holds_is_cut() {
    let mut world = three();
    let first = world.leader();
    let mut client = world.client(first, SessionId::NONE, &[0; 16]);
    world.cut_off(first);
    let lost = Request::Delete { path: b"/nothing", version: -1 };
    assert_eq!(world.ask(&mut client, &lost), None, "no quorum has it");
    world.pass(20_000);
    assert!(matches!(world.view(first).phase, Phase::Looking), "{:?}", world.view(first));
    let beyond = world.view(first).durable;
    world.join(first);
    let second = world.leader();
    assert_ne!(second, first);
    let last = world.agree();
    assert!(world.view(first).durable == last && beyond.epoch() <= last.epoch());
}

/// A leader logs what nobody else hears of; gives who it is.
fn log_alone(world: &mut World) -> usize {
    let leader = world.leader();
    let mut client = world.client(leader, SessionId::NONE, &[0; 16]);
    assert_eq!(world.create(&mut client, "/all-have-it"), 0);
    (1..=3).filter(|id| *id != leader).for_each(|id| world.cut_off(id));
    assert_eq!(world.try_create(&mut client, "/one-has-it"), None, "no quorum has it");
    leader
}

#[test]
fn what_only_the_leader_had_logged_goes_to_the_others_when_it_leads_again() {
    let mut world = three();
    let leader = log_alone(&mut world);
    world.pass(20_000);
    assert!(matches!(world.view(leader).phase, Phase::Looking), "{:?}", world.view(leader));
    (1..=3).for_each(|id| world.join(id));
    assert_eq!(world.leader(), leader, "it has the most");
    let mut client = world.client(leader, SessionId::NONE, &[0; 16]);
    assert!(world.exists(&mut client, "/one-has-it"));
    world.agree();
}

#[test]
fn what_only_the_leader_had_logged_goes_to_the_others_after_all_were_killed() {
    let mut world = three();
    let leader = log_alone(&mut world);
    (1..=3).for_each(|id| world.kill(id, true));
    (1..=3).for_each(|id| world.join(id));
    (1..=3).for_each(|id| world.start(id));
    assert_eq!(world.leader(), leader, "it has the most");
    let mut client = world.client(leader, SessionId::NONE, &[0; 16]);
    assert!(world.exists(&mut client, "/one-has-it"));
    world.agree();
}

#[test]
fn a_wiped_server_gets_a_whole_tree_and_an_observer_too() {
    let mut world = World::new(3, 1, "");
    (1..=3).for_each(|id| world.start(id));
    let leader = world.leader();
    let mut client = world.client(leader, SessionId::NONE, &[0; 16]);
    for n in 0..10 {
        assert_eq!(world.create(&mut client, &format!("/{n}")), 0);
    }
    world.start(4);
    world.leader();
    let mut there = world.client(4, SessionId::NONE, &[0; 16]);
    assert!(world.exists(&mut there, "/9"));
    assert_eq!(world.create(&mut there, "/from-an-observer"), 0);
    let wiped = if leader == 1 { 2 } else { 1 };
    world.kill(wiped, false);
    world.servers[wiped - 1].disk = TestDisk::new();
    world.start(wiped);
    world.leader();
    world.agree();
}

#[test]
fn all_lose_power_at_once_and_nothing_acknowledged_is_lost() {
    let mut world = three();
    let leader = world.leader();
    let mut client = world.client(1 + leader % 3, SessionId::NONE, &[0; 16]);
    for n in 0..5 {
        assert_eq!(world.create(&mut client, &format!("/{n}")), 0);
    }
    (1..=3).for_each(|id| world.kill(id, false));
    (1..=3).for_each(|id| world.start(id));
    world.leader();
    let mut client = world.client(2, SessionId::NONE, &[0; 16]);
    assert!(world.exists(&mut client, "/4"));
    world.agree();
}
