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
    id::{LinkId, SessionId, Zxid},
    io::{Effect, Frame, Input, Port},
    jute::Record,
    node::Setup,
    proto::ConnectRequest,
    serve::Facts,
};
use menagerie_fuzz::{
    disk::Disk,
    stage::{Owner, Stage},
    take, within,
};

/// The link of a client that only wants to be served; strangers have those below.
const BYSTANDER: u64 = 9;
const STRANGERS: usize = 4;

fuzz_target!(|script: &[u8]| {
    // A packet is skipped or answered, at worst by sixteen times its limit, and never more than
    // 4 MiB are owed to a link; all of it is copied once.
    let disk = within(200 << 20, || {
        let mut world = World::new(Disk::default());
        world.run(script);
        world.rest();
        let found = world.figures();
        (world.stage.disk, found)
    });
    let (disk, found) = disk;
    let mut again = World::new(disk);
    assert_eq!(again.figures(), found, "after a crash");
});

struct World {
    stage: Stage,
    /// Links of strangers, and the last number of a request there.
    strangers: Vec<(LinkId, i32)>,
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
        let stage = Stage::new(setup, disk, 4096);
        let mut world = World { stage, strangers: Vec::new(), told: Vec::new() };
        world.stage.input(Input::Time);
        world.rest();
        assert!(world.stage.node.server().is_some(), "it serves");
        (0..STRANGERS).for_each(|_| world.open());
        world
    }

    fn open(&mut self) {
        let link = self.stage.open(Port::Client, None);
        self.strangers.push((link, 0));
    }

    fn run(&mut self, mut script: &[u8]) {
        while let Some((step, rest)) = script.split_first() {
            script = rest;
            let at = self.strangers.len() - 1 - usize::from(step >> 4) % STRANGERS;
            let link = self.strangers[at].0;
            match step & 15 {
                0..=2 => self.stage.raw(link, &take(&mut script), |_| {}),
                3..=7 => {
                    let body = take(&mut script);
                    let Some((op, body)) = body.split_first() else { continue };
                    self.strangers[at].1 += 1;
                    let xid = self.strangers[at].1.to_be_bytes();
                    // Operations beyond a byte's are few: -11 to -1, and 100 to 107.
                    let op = i32::from(op.cast_signed()).to_be_bytes();
                    self.framed(link, &[&xid, &op, body].concat());
                }
                8 => self.framed(link, &connect(SessionId::NONE, &take(&mut script))),
                9 => self.open(),
                10 => self.stage.down(link),
                11 => self.stage.drain(link),
                12 => {
                    let ms = take(&mut script).iter().map(|byte| u64::from(*byte).pow(2)).sum();
                    self.stage.pass(ms);
                }
                13 => self.stage.run_one(),
                _ => self.stage.run_all(),
            }
            self.turn();
        }
    }

    fn framed(&mut self, link: LinkId, packet: &[u8]) {
        let len = u32::try_from(packet.len()).expect("it is short").to_be_bytes();
        self.stage.raw(link, &[&len, packet].concat(), |_| {});
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
        self.stage.input(Input::LinkUp { link, port: Port::Client, peer, dialled: None });
        self.stage.input(Input::Frame { link, frame: Frame::Word(word) });
        self.rest();
        String::from_utf8(std::mem::take(&mut self.told)).expect("text")
    }
}

impl Owner for World {
    fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }

    fn does(&mut self, effect: Effect, bytes: &[u8]) {
        match effect {
            Effect::Send { link, bytes: range } if link.0 == BYSTANDER => {
                self.told.extend_from_slice(&bytes[range]);
            }
            Effect::Event(event) => {
                assert!(event.level() != Level::Error, "{event}");
                assert!(!matches!(event, Event::TornTail { .. }), "{event}");
            }
            Effect::Dial { .. } | Effect::Configure(_) => {
                unreachable!("a server alone has no others")
            }
            _ => {}
        }
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
