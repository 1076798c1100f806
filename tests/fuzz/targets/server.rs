// SPDX-License-Identifier: Apache-2.0
//! A whole server and what its clients send it: whatever that is, it serves somebody else, holds no
//! memory for it, and finds the same tree again after a crash.
//!
//! Input: a script of steps, each a byte that says what happens and to which of four links, and
//! for steps that carry bytes a length and the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    config::{StaticConfig, Surroundings},
    event::{Event, Level},
    frame::ClientFramer,
    id::{LinkId, SessionId, Zxid},
    io::{Effect, Effects, Input, Port},
    jute::Record,
    node::{Node, Setup},
    proto::ConnectRequest,
    serve::Facts,
    time::{Instant, Now},
};
use menagerie_fuzz::{disk::Disk, take, within};

/// The link of a client that only wants to be served; strangers have those below.
const BYSTANDER: u64 = 9;
const STRANGERS: usize = 4;

fuzz_target!(|script: &[u8]| {
    // A packet is skipped or answered, at worst by sixteen times its limit, and never more than
    // 4 MiB are owed to a link; all of it is copied once.
    let disk = within(200 << 20, || {
        let mut world = World::new(Disk::default());
        world.run(script);
        world.settle();
        let found = world.figures();
        (world.disk, found)
    });
    let (disk, found) = disk;
    let mut again = World::new(disk);
    assert_eq!(again.figures(), found, "after a crash");
});

/// A link as its driver has it.
struct Line {
    id: LinkId,
    framer: ClientFramer,
    up: bool,
    xid: i32,
    unsent: usize,
}

struct World {
    node: Node,
    fx: Effects,
    disk: Disk,
    now: Now,
    lines: Vec<Line>,
    newest: u64,
    /// What the bystander was sent.
    told: Vec<u8>,
}

impl World {
    fn new(disk: Disk) -> World {
        let text = b"dataDir=/d\nclientPort=1\npreAllocSize=1\nsnapCount=40\nmaxClientCnxns=0\n\
                     4lw.commands.whitelist=*\nextendedTypesEnabled=true\nenforceQuota=true\n\
                     jute.maxbuffer=4096\n";
        let file = StaticConfig::parse("zoo.cfg", text, &[]).expect("it is right");
        let config = file.complete(&Surroundings::default()).expect("nothing is missing");
        let setup = Setup { config, hash_key: (1, 2), seed: 3, facts: Facts::default() };
        let now = Now { mono: Instant { micros: 1 << 40 }, wall_ms: 1_700_000_000_000 };
        let (node, fx) = (Node::new(setup), Effects::new());
        let lines = Vec::new();
        let mut world = World { node, fx, disk, now, lines, newest: 10, told: Vec::new() };
        world.input(Input::Time);
        world.settle();
        assert!(world.node.server().is_some(), "it serves");
        (0..STRANGERS).for_each(|_| world.open());
        world
    }

    fn open(&mut self) {
        self.newest += 1;
        let id = LinkId(self.newest);
        let framer = ClientFramer::new(4096);
        self.lines.push(Line { id, framer, up: true, xid: 0, unsent: 0 });
        let peer = "127.0.0.1:1".parse().expect("an address");
        self.input(Input::LinkUp { link: id, port: Port::Client, peer, dialled: None });
    }

    fn run(&mut self, mut script: &[u8]) {
        while let Some((step, rest)) = script.split_first() {
            script = rest;
            let at = self.lines.len() - 1 - usize::from(step >> 4) % STRANGERS;
            match step & 15 {
                0..=2 => self.raw(at, &take(&mut script)),
                3..=7 => {
                    let body = take(&mut script);
                    let Some((op, body)) = body.split_first() else { continue };
                    self.lines[at].xid += 1;
                    let xid = self.lines[at].xid.to_be_bytes();
                    // Operations beyond a byte's are few: -11 to -1, and 100 to 107.
                    let op = i32::from(op.cast_signed()).to_be_bytes();
                    self.framed(at, &[&xid, &op, body].concat());
                }
                8 => self.framed(at, &connect(SessionId::NONE, &take(&mut script))),
                9 => self.open(),
                10 => self.down(at),
                11 => self.drain(at),
                12 => {
                    let ms = take(&mut script).iter().map(|byte| u64::from(*byte).pow(2)).sum();
                    self.pass(ms);
                }
                13 => self.disk.run_one(&mut self.node, self.now, &mut self.fx),
                _ => self.disk.run_all(&mut self.node, self.now, &mut self.fx),
            }
            self.turn();
        }
    }

    fn framed(&mut self, at: usize, packet: &[u8]) {
        let len = u32::try_from(packet.len()).expect("it is short").to_be_bytes();
        self.raw(at, &[&len, packet].concat());
    }

    fn raw(&mut self, at: usize, bytes: &[u8]) {
        let World { node, fx, now, lines, .. } = self;
        let Line { id, framer, up: true, .. } = &mut lines[at] else { return };
        framer.push(bytes, |frame| node.handle(*now, Input::Frame { link: *id, frame }, fx));
    }

    fn down(&mut self, at: usize) {
        let line = &mut self.lines[at];
        if std::mem::replace(&mut line.up, false) {
            let link = line.id;
            self.input(Input::LinkDown { link });
        }
    }

    fn drain(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let bytes = std::mem::take(&mut line.unsent);
        if line.up && bytes > 0 {
            let link = line.id;
            self.input(Input::Drained { link, bytes });
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono.micros += 1000 * ms;
        self.now.wall_ms += ms.cast_signed();
        self.input(Input::Time);
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.fx);
    }

    /// Ends a turn and does what is wanted, but for the disk's part.
    fn turn(&mut self) {
        self.node.flush(self.now, &mut self.fx);
        let mut fx = std::mem::take(&mut self.fx);
        for effect in fx.take_list() {
            match effect {
                Effect::Send { link, bytes } if link.0 == BYSTANDER => {
                    self.told.extend_from_slice(&fx.bytes()[bytes]);
                }
                Effect::Send { link, bytes } => {
                    if let Some(line) = self.lines.iter_mut().find(|line| line.id == link) {
                        line.unsent += bytes.len();
                        assert!(line.unsent < 24 << 20, "{} bytes are owed", line.unsent);
                    }
                }
                Effect::HangUp { link } => {
                    if let Some(at) = self.lines.iter().position(|line| line.id == link) {
                        self.down(at);
                    } else {
                        self.input(Input::LinkDown { link });
                    }
                }
                Effect::File { lane, op, what } => self.disk.order(lane, op, what),
                Effect::Event(event) => {
                    assert!(event.level() != Level::Error, "{event}");
                    assert!(!matches!(event, Event::TornTail { .. }), "{event}");
                }
                Effect::Dial { .. } | Effect::Configure(_) => {
                    unreachable!("a server alone has no others")
                }
                Effect::Halt { why, .. } => panic!("it halted: {why}"),
                Effect::Pause { .. } | Effect::Resume { .. } | Effect::Answer { .. } => {}
            }
        }
    }

    /// Everything that is under way comes to its end.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.disk.run_all(&mut self.node, self.now, &mut self.fx);
            let due = self.node.poll_timeout().is_some_and(|due| due <= self.now.mono);
            if due {
                self.input(Input::Time);
            }
            self.turn();
            if self.disk.is_idle() && !due {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Somebody else asks how much there is, with a session as any other.
    fn figures(&mut self) -> Vec<String> {
        let monitoring = self.ask_word(*b"mntr");
        let kept = ["zk_znode_count", "zk_ephemerals_count", "zk_approximate_data_size"];
        let lines = monitoring.lines().filter(|line| kept.iter().any(|key| line.starts_with(key)));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        assert_eq!(lines.len(), kept.len(), "{monitoring}");
        let zxid = self.ask_word(*b"srvr");
        let zxid = zxid.lines().find(|line| line.starts_with("Zxid")).expect("a zxid");
        [lines, vec![zxid.to_owned()]].concat()
    }

    fn ask_word(&mut self, word: [u8; 4]) -> String {
        let peer = "127.0.0.1:2".parse().expect("an address");
        let link = LinkId(BYSTANDER);
        self.told.clear();
        self.input(Input::LinkUp { link, port: Port::Client, peer, dialled: None });
        let frame = menagerie_core::io::Frame::Word(word);
        self.input(Input::Frame { link, frame });
        self.settle();
        String::from_utf8(std::mem::take(&mut self.told)).expect("text")
    }
}

/// A handshake; `odd` may bring a session and a password along.
fn connect(session: SessionId, odd: &[u8]) -> Vec<u8> {
    let session = odd.first().map_or(session, |byte| SessionId(i64::from(*byte)));
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 10_000,
        session,
        password: odd.get(1..).unwrap_or(&[0; 16]),
        read_only: Some(false),
    };
    let mut packet = Vec::new();
    request.encode(&mut packet);
    packet
}
