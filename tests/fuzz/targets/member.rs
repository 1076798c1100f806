// SPDX-License-Identifier: Apache-2.0
//! A whole member of an ensemble, server 2 of three, and whatever anybody says to it as a voter, a
//! learner or a leader: it does not stop, leads and commits nothing that no other voter has, and
//! finds its disk in order after a crash.
//!
//! Input: a script of steps, each a byte that says what happens and to which link.
#![no_main]

mod oracle {
    //! What may be, by what others said.

    use std::collections::BTreeMap;

    use menagerie_core::{
        id::{LinkId, Zxid},
        jute::{Reader, Record},
        node::{Phase, View},
        zab::wire::{FromLearner, QuorumPacket},
    };

    /// What a caller has said on a link so far.
    #[derive(Default)]
    struct Caller {
        voter: Option<i64>,
        agreed: bool,
        acked: Option<Zxid>,
    }

    #[derive(Default)]
    pub struct Oracle {
        callers: BTreeMap<LinkId, Caller>,
        /// The most that any other voter ever acknowledged.
        acked: Option<Zxid>,
        epochs: (u32, u32),
        /// What was known to be history when this server began to lead.
        began: Option<Zxid>,
    }

    impl Oracle {
        /// A caller said something.
        pub fn hears(&mut self, link: LinkId, bytes: &[u8]) {
            let Ok(packet) = QuorumPacket::decode(&mut Reader::new(bytes)) else { return };
            let caller = self.callers.entry(link).or_default();
            match FromLearner::read(packet) {
                Ok(FromLearner::Info { observer: false, info, .. }) if caller.voter.is_none() => {
                    caller.voter = Some(info.sid.0).filter(|sid| [1, 3].contains(sid));
                }
                Ok(FromLearner::AckEpoch { .. }) => caller.agreed = true,
                Ok(FromLearner::Ack { zxid }) if caller.voter.is_some() && caller.agreed => {
                    caller.acked = caller.acked.max(Some(zxid));
                    self.acked = self.acked.max(caller.acked);
                }
                _ => {}
            }
        }

        /// What the server is now.
        pub fn judges(&mut self, view: &View) {
            let View { phase, accepted, current, durable, committed, applied, .. } = *view;
            if phase == Phase::Over || phase == Phase::Starting {
                return;
            }
            let (before, now) = (self.epochs, (accepted, current));
            assert!(now.0 >= before.0 && now.1 >= before.1, "epochs {before:?}, then {now:?}");
            assert!(current <= accepted, "{view:?}");
            self.epochs = now;
            assert!(applied <= durable || applied.counter() == 0, "{view:?}");
            let Phase::Leading { established, .. } = phase else {
                self.began = None;
                return;
            };
            let began = *self.began.get_or_insert(committed);
            if established || committed > began {
                let acked = self.acked.expect("no other voter acknowledged anything");
                assert!(committed <= acked, "{acked} is all that others have: {view:?}");
            }
        }
    }
}

use std::collections::VecDeque;

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    config::{StaticConfig, Surroundings},
    id::{DialId, LinkId},
    io::{Effect, Frame, Input, Port},
    node::{Phase, Setup},
    serve::Facts,
};
use menagerie_fuzz::{
    disk::Disk,
    peers,
    stage::{Owner, Stage},
    take, within,
};
use oracle::Oracle;

const LIMIT: u32 = 4096;

fuzz_target!(|script: &[u8]| {
    let disk = within(64 << 20, || {
        let mut world = World::new(Disk::default());
        world.run(script);
        world.rest();
        world.stage.disk
    });
    let world = World::new(disk);
    assert_eq!(world.stage.node.view().phase, Phase::Looking, "after a crash");
});

struct World {
    stage: Stage,
    dials: VecDeque<(DialId, Port)>,
    newest: LinkId,
    oracle: Oracle,
}

impl World {
    fn new(disk: Disk) -> World {
        let text = b"dataDir=/d\nclientPort=9\npreAllocSize=0\nsnapCount=40\ntickTime=1000\n\
                     initLimit=5\nsyncLimit=3\njute.maxbuffer=4096\nextendedTypesEnabled=true\n\
                     server.1=h1:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2\n\
                     server.4=h4:1:2:observer\n";
        let file = StaticConfig::parse("zoo.cfg", text, &[]).expect("it is right");
        let surroundings = Surroundings { myid: Some(("/d/myid", b"2")), dynamic: None };
        let config = file.complete(&surroundings).expect("nothing is missing");
        let setup = Setup { config, hash_key: (1, 2), seed: 3, facts: Facts::default() };
        let mut world = World {
            stage: Stage::new(setup, disk, LIMIT),
            dials: VecDeque::new(),
            newest: LinkId(0),
            oracle: Oracle::default(),
        };
        world.stage.input(Input::Time);
        world.rest();
        world
    }

    fn run(&mut self, mut script: &[u8]) {
        while let Some((step, rest)) = script.split_first() {
            script = rest;
            let link = self.stage.lines.nth(usize::from(step >> 4) % 4);
            match (step & 15, link) {
                (0, _) => {
                    let ports = [Port::Election, Port::Quorum, Port::Client];
                    self.open(ports[usize::from(step >> 4) % 3], None);
                }
                (1, Some(link)) => self.stage.down(link),
                (2, _) => self.answer(true),
                (3, _) => self.answer(false),
                (4, Some(link)) => self.raw(link, &take(&mut script)),
                (5, Some(link)) => self.raw(link, &peers::hello(i64::from(step >> 4) % 6)),
                (6, Some(link)) => self.raw(link, &peers::notification(&take(&mut script))),
                (7 | 8, Some(link)) => self.raw(link, &peers::of_learner(&take(&mut script))),
                (9 | 10, Some(link)) => self.raw(link, &peers::of_leader(&take(&mut script))),
                (11, _) => self.elect(step >> 4),
                (12, Some(link)) => self.stage.drain(link),
                (13, _) => self.stage.run_one(),
                (14, _) => self.rest(),
                (_, _) => {
                    let tens = take(&mut script).iter().map(|tens| u64::from(*tens)).sum::<u64>();
                    self.stage.pass(10 * tens);
                }
            }
            self.turn();
        }
    }

    /// The oldest dial leads to a link, or not.
    fn answer(&mut self, up: bool) {
        let Some((dial, port)) = self.dials.pop_front() else { return };
        if up {
            self.open(port, Some(dial));
        } else {
            let why = String::from("nobody listens");
            self.stage.input(Input::DialFailed { port, dial, why });
        }
    }

    fn open(&mut self, port: Port, dialled: Option<DialId>) {
        self.newest = self.stage.open(port, dialled);
    }

    /// Server 3 votes for whom a byte says, until that is decided.
    fn elect(&mut self, whom: u8) {
        self.open(Port::Election, None);
        let link = self.newest;
        self.raw(link, &peers::hello(3));
        let view = self.stage.node.view();
        let (leader, epoch) = if whom % 2 == 0 { (2, view.current) } else { (3, view.current + 1) };
        let zxid = if leader == 2 { view.durable } else { view.durable.next() };
        let byte = (zxid.epoch() * 16 + zxid.counter() % 16) as u8;
        for round in 1..=3 {
            self.raw(link, &peers::notification(&[0, leader, byte, epoch as u8 + 1, round, 3]));
        }
        self.turn();
        self.stage.pass(250);
    }

    fn raw(&mut self, link: LinkId, bytes: &[u8]) {
        let calls = |link| {
            let line = self.stage.lines.get(link);
            line.is_some_and(|line| line.port == Port::Quorum && !line.dialled)
        };
        let (caller, oracle) = (calls(link), &mut self.oracle);
        self.stage.raw(link, bytes, |frame| {
            if let (true, Frame::Packet(packet)) = (caller, frame) {
                oracle.hears(link, packet);
            }
        });
    }
}

impl Owner for World {
    fn stage(&mut self) -> &mut Stage {
        &mut self.stage
    }

    fn does(&mut self, effect: Effect, _bytes: &[u8]) {
        if let Effect::Dial { dial, port, .. } = effect {
            self.dials.push_back((dial, port));
            assert!(self.dials.len() <= 16, "one dial at a time to each");
        }
    }

    fn judges(&mut self) {
        self.oracle.judges(&self.stage.node.view());
    }
}
