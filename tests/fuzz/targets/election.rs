// SPDX-License-Identifier: Apache-2.0
//! The election of server 2 of three, and whatever anybody says to it: it decides for nobody whom
//! no other voter named, and holds no memory for what it was told.
//!
//! Input: a script of steps, each a byte that says what happens and to which link.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    config::Ensemble,
    election::{
        Decision, Election, Setup, Standing,
        wire::{Hello, Notification},
    },
    id::{DialId, LinkId, ServerId, Zxid},
    io::{Effect, Effects, Frame, Input, Port},
    time::Instant,
    zoo::Sound,
};
use menagerie_fuzz::{peers, stage::Lines, take, within};

const ME: i64 = 2;
const VOTERS: [i64; 2] = [1, 3];

fuzz_target!(|script: &[u8]| {
    // What is owed to links that do not drain is bounded, and so are links that said no hello.
    within(8 << 20, || World::new().run(script));
});

/// Who speaks on a link.
struct Speaker {
    /// Whose it is, if that was said or it was dialled.
    sid: Option<i64>,
    /// Whether its next frame is a hello.
    hello: bool,
}

struct World {
    election: Election<Sound>,
    fx: Effects,
    now: Instant,
    lines: Lines,
    speakers: BTreeMap<LinkId, Speaker>,
    dials: VecDeque<(DialId, i64)>,
    /// Who named whom.
    named: BTreeSet<(i64, i64)>,
}

impl World {
    fn new() -> World {
        let text = "server.1=h1:1:2\nserver.2=h2:1:2\nserver.3=h3:1:2\nserver.4=h4:1:2:observer";
        let ensemble = Ensemble::from_dynamic_file("dynamic", text.as_bytes());
        let ensemble = ensemble.expect("it is right");
        let setup = Setup {
            me: ServerId(ME),
            quorums: ensemble.quorum().into(),
            ensemble,
            timeout: Duration::from_secs(5),
            intervals: (Duration::from_millis(200), Duration::from_millis(3_200)),
            multi_address: false,
            guests: false,
        };
        let mut world = World {
            election: Election::new(Sound, setup),
            fx: Effects::new(),
            now: Instant::from_millis(1_000_000),
            lines: Lines::new(0, 1 << 20),
            speakers: BTreeMap::new(),
            dials: VecDeque::new(),
            named: BTreeSet::new(),
        };
        world.look(0);
        world
    }

    fn run(&mut self, mut script: &[u8]) {
        while let Some((step, rest)) = script.split_first() {
            script = rest;
            let link = self.lines.nth(usize::from(step >> 4) % 4);
            match (step & 15, link) {
                (0 | 1, _) => self.up(None, i64::MIN),
                (2 | 3, Some(link)) => {
                    let sid = i64::from(take(&mut script).first().map_or(3, |sid| sid % 8));
                    self.raw(link, &peers::hello(sid));
                }
                (4..=7, Some(link)) => self.raw(link, &peers::notification(&take(&mut script))),
                (8, Some(link)) => self.raw(link, &take(&mut script)),
                (9, Some(link)) => self.down(link),
                (10, _) => {
                    if let Some((dial, to)) = self.dials.pop_front() {
                        self.up(Some(dial), to);
                    }
                }
                (11, _) => {
                    if let Some((dial, _)) = self.dials.pop_front() {
                        let why = String::from("nobody listens");
                        self.input(Input::DialFailed { port: Port::Election, dial, why });
                    }
                }
                (12, Some(link)) => {
                    if let Some(bytes) = self.lines.drain(link) {
                        self.input(Input::Drained { link, bytes });
                    }
                }
                (13, _) => {
                    self.election.established(self.now, u32::from(step >> 4), &mut self.fx);
                    self.execute();
                }
                (14, _) if self.election.decision().is_some() => self.look(step >> 4),
                (_, _) => self.pass(take(&mut script).iter().map(|ms| u64::from(*ms)).sum()),
            }
        }
    }

    fn look(&mut self, how: u8) {
        self.named.clear();
        let standing = match how {
            0 => Standing::Empty,
            1 => Standing::Missing,
            how => {
                let zxid = Zxid::new(u32::from(how) / 4, u32::from(how) % 4);
                Standing::History { zxid, epoch: i64::from(how) / 4 }
            }
        };
        self.election.look(self.now, standing, &mut self.fx);
        self.execute();
    }

    fn up(&mut self, dialled: Option<DialId>, to: i64) {
        let link = self.lines.open(Port::Election, dialled.is_some());
        let speaker = Speaker { sid: dialled.map(|_| to), hello: dialled.is_none() };
        self.speakers.insert(link, speaker);
        let peer = "127.0.0.1:1".parse().expect("an address");
        self.input(Input::LinkUp { link, port: Port::Election, peer, dialled });
    }

    fn down(&mut self, link: LinkId) {
        if self.lines.close(link) {
            self.input(Input::LinkDown { link });
        }
    }

    fn raw(&mut self, link: LinkId, bytes: &[u8]) {
        let line = self.lines.get_mut(link).expect("it is up");
        let mut frames = Vec::new();
        line.framer.push(bytes, |frame| match frame {
            Frame::Packet(packet) => frames.push(Ok(packet.to_vec())),
            Frame::Nonsense { len } => frames.push(Err(len)),
            other => unreachable!("{other:?} on an election port"),
        });
        for frame in frames {
            if self.lines.get(link).is_none() {
                return;
            }
            let speaker = self.speakers.get_mut(&link).expect("each link has one");
            match &frame {
                Ok(packet) if std::mem::take(&mut speaker.hello) => {
                    speaker.sid = Hello::decode(packet).ok().map(|hello| hello.from.0);
                }
                Ok(packet) => {
                    if let (Some(who), Ok(said)) = (speaker.sid, Notification::decode(packet)) {
                        self.named.insert((who, said.vote.leader.0));
                    }
                }
                Err(_) => {}
            }
            let frame = match &frame {
                Ok(packet) => Frame::Packet(packet),
                Err(len) => Frame::Nonsense { len: *len },
            };
            self.input(Input::Frame { link, frame });
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        self.input(Input::Time);
    }

    fn input(&mut self, input: Input<'_>) {
        let decision = self.election.handle(self.now, input, &mut self.fx);
        if let Some(decision) = decision {
            let leader = match decision {
                Decision::Leading => ME,
                Decision::Following(leader) => leader.0,
                Decision::Observing(_) => panic!("a voter does not observe"),
            };
            assert!([1, 2, 3].contains(&leader), "{leader} is no voter");
            let named = VOTERS.iter().any(|voter| self.named.contains(&(*voter, leader)));
            assert!(named, "no other voter named {leader}: {:?}", self.named);
        }
        self.execute();
    }

    fn execute(&mut self) {
        let mut fx = std::mem::take(&mut self.fx);
        for effect in fx.take_list() {
            match effect {
                Effect::Send { link, bytes } => {
                    self.lines.owe(link, bytes.len());
                }
                Effect::Dial { dial, host, .. } => {
                    let to = host[1..].parse().expect("a host of ours");
                    self.dials.push_back((dial, to));
                    assert!(self.dials.len() <= 8, "one dial at a time to each");
                }
                Effect::HangUp { link } => self.down(link),
                Effect::Event(_) => {}
                other => panic!("{other:?} of an election"),
            }
        }
    }
}
