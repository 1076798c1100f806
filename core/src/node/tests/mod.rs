// SPDX-License-Identifier: Apache-2.0
//! A whole node on a test disk, spoken to in packets: what clients observe of the configuration.

mod bounds;
mod chaos;
mod ensemble;
mod identities;
mod limits;
mod oddities;
mod reading;
mod reconfig;
mod requests;
mod settings;
mod talk;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};
use core::time::Duration;

use super::*;
use crate::{
    config::{StaticConfig, Surroundings},
    id::{SessionId, Zxid},
    jute::{Reader, Record},
    proto::{
        Acl, ConnectRequest, ConnectResponse, Create, CreateKind, Identity, ReplyHeader, Request,
        RequestHeader, XID_AUTH, XID_NOTIFICATION, perms,
    },
    store::test_disk::TestDisk,
};

/// A reply or an event: its header's xid and error code, and its body.
type Reply = (i32, i32, Vec<u8>);

/// A node, and all that is around it.
struct Bench {
    node: Node<Sound>,
    disk: TestDisk,
    /// Whether operations of the disk wait for [`Bench::disk_goes_on`].
    disk_stands: bool,
    now: Now,
    links: u64,
    sent: BTreeMap<LinkId, Vec<u8>>,
    hung_up: BTreeSet<LinkId>,
    paused: BTreeSet<LinkId>,
    /// Answers to operators.
    answers: BTreeMap<AskId, Result<String, String>>,
    /// The most steps that one turn took.
    steps: u64,
}

impl Bench {
    /// A node that serves, with these lines in its `zoo.cfg` besides the usual ones.
    fn new(lines: &str) -> Bench {
        Bench::before_its_first_turn(lines).serving()
    }

    /// A node that serves what a disk holds.
    fn on(disk: TestDisk) -> Bench {
        Bench { disk, ..Bench::before_its_first_turn("") }.serving()
    }

    fn serving(mut self) -> Bench {
        self.turn(&mut [Input::Time]);
        assert!(self.node.server().is_some(), "it serves");
        self
    }

    fn before_its_first_turn(lines: &str) -> Bench {
        let text = format!("dataDir=/data\ndataLogDir=/log\nclientPort=2181\n{lines}");
        let config = StaticConfig::parse("zoo.cfg", text.as_bytes(), &[]).expect("it is right");
        let config = config.complete(&Surroundings { myid: None, dynamic: None });
        let config = config.expect("it is whole");
        let setup = Setup { config, hash_key: (1, 2), seed: 3, facts: Facts::default() };
        Bench {
            node: Node::new(setup),
            disk: TestDisk::new(),
            disk_stands: false,
            now: Now { mono: Instant::from_millis(1), wall_ms: 1_700_000_000_000 },
            links: 0,
            sent: BTreeMap::new(),
            hung_up: BTreeSet::new(),
            paused: BTreeSet::new(),
            answers: BTreeMap::new(),
            steps: 0,
        }
    }

    /// A turn of these inputs, and all that follows from it.
    fn turn(&mut self, inputs: &mut [Input<'_>]) {
        let mut fx = Effects::new();
        for input in inputs {
            self.node.handle(self.now, input.clone(), &mut fx);
        }
        self.end_turn(&mut fx);
        self.settle();
    }

    fn end_turn(&mut self, fx: &mut Effects) {
        self.node.flush(self.now, fx);
        self.steps = self.steps.max(fx.steps());
        let mut drained = Vec::new();
        for effect in fx.take_list() {
            match effect {
                Effect::Send { link, bytes } => {
                    drained.push((link, bytes.len()));
                    self.sent.entry(link).or_default().extend_from_slice(&fx.bytes()[bytes]);
                }
                Effect::HangUp { link } => assert!(self.hung_up.insert(link), "once"),
                Effect::Pause { link } => assert!(self.paused.insert(link), "it was read from"),
                Effect::Resume { link } => assert!(self.paused.remove(&link), "it was paused"),
                Effect::File { lane, op, what } => self.disk.order(lane, op, what),
                Effect::Answer { ask, answer } => {
                    assert_eq!(self.answers.insert(ask, answer), None, "once");
                }
                Effect::Event(_) => {}
                Effect::Dial { .. } | Effect::Configure(_) => {
                    unreachable!("a server alone has no others")
                }
                Effect::Halt { why, .. } => panic!("it halted: {why}"),
            }
        }
        fx.clear();
        for (link, bytes) in drained {
            self.node.handle(self.now, Input::Drained { link, bytes }, fx);
        }
        if !fx.list().is_empty() {
            self.end_turn(fx);
        }
    }

    /// Lets the disk work, and the clock's present be dealt with, until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut fx = Effects::new();
            let done = if self.disk_stands { None } else { self.disk.step(false) };
            if let Some(done) = done {
                let result = done.result.as_ref().map(|out| out.view()).map_err(Clone::clone);
                self.node.handle(self.now, Input::File { op: done.op, result }, &mut fx);
            } else if self.node.poll_timeout().is_some_and(|due| due <= self.now.mono) {
                self.node.handle(self.now, Input::Time, &mut fx);
            } else {
                return;
            }
            self.end_turn(&mut fx);
        }
    }

    fn disk_goes_on(&mut self) {
        self.disk_stands = false;
        self.settle();
    }

    fn wait(&mut self, ms: u64) {
        self.now.mono = self.now.mono + Duration::from_millis(ms);
        self.now.wall_ms += ms as i64;
        self.turn(&mut [Input::Time]);
    }

    /// A connection from an address.
    fn dial(&mut self, address: [u8; 4]) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        let peer = SocketAddr::from((address, 40_000));
        self.turn(&mut [Input::LinkUp { link, port: Port::Client, peer, dialled: None }]);
        link
    }

    /// A connection that speaks for a new session.
    fn client(&mut self) -> LinkId {
        let link = self.dial([127, 0, 0, 1]);
        self.greet(link, SessionId::NONE, &[0; 16]);
        link
    }

    fn greet(&mut self, link: LinkId, session: SessionId, password: &[u8]) -> (SessionId, Vec<u8>) {
        let mut packet = Vec::new();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 30_000,
            session,
            password,
            read_only: Some(false),
        };
        request.encode(&mut packet);
        self.packet(link, &packet);
        let frames = self.take_frames(link);
        let [frame] = &frames[..] else { panic!("one answer: {frames:?}") };
        let answer = ConnectResponse::decode(&mut Reader::new(frame)).expect("a greeting");
        (answer.session, answer.password.to_vec())
    }

    fn packet(&mut self, link: LinkId, packet: &[u8]) {
        self.turn(&mut [Input::Frame { link, frame: Frame::Packet(packet) }]);
    }

    fn request(&mut self, link: LinkId, xid: i32, request: &Request<'_>) {
        let mut packet = Vec::new();
        RequestHeader { xid, op: request.op().code() }.encode(&mut packet);
        request.encode(&mut packet);
        self.packet(link, &packet);
    }

    /// Asks, and gives back all that came since the last time.
    fn ask(&mut self, link: LinkId, xid: i32, request: &Request<'_>) -> Vec<Reply> {
        self.request(link, xid, request);
        self.replies(link)
    }

    fn prove(&mut self, link: LinkId, proof: &str) -> Vec<Reply> {
        let auth = Request::Auth { kind: 0, scheme: b"digest", auth: proof.as_bytes() };
        self.ask(link, XID_AUTH, &auth)
    }

    /// What came since the last time.
    fn replies(&mut self, link: LinkId) -> Vec<Reply> {
        let frames = self.take_frames(link);
        let reply = |frame: Vec<u8>| {
            let mut r = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut r).expect("a header");
            (header.xid, header.err, r.rest().to_vec())
        };
        frames.into_iter().map(reply).collect()
    }

    fn take_frames(&mut self, link: LinkId) -> Vec<Vec<u8>> {
        let bytes = self.sent.remove(&link).unwrap_or_default();
        let (mut frames, mut rest) = (Vec::new(), &bytes[..]);
        while !rest.is_empty() {
            let (len, more) = rest.split_at(4);
            let len = u32::from_be_bytes(len.try_into().expect("four bytes")) as usize;
            let (frame, more) = more.split_at(len);
            frames.push(frame.to_vec());
            rest = more;
        }
        frames
    }

    /// Asks a word on a connection of its own.
    fn word(&mut self, word: &[u8; 4]) -> String {
        let link = self.dial([127, 0, 0, 9]);
        self.turn(&mut [Input::Frame { link, frame: Frame::Word(*word) }]);
        assert!(self.hung_up.contains(&link), "{word:?}");
        self.turn(&mut [Input::LinkDown { link }]);
        String::from_utf8(self.sent.remove(&link).unwrap_or_default()).expect("text")
    }
}

fn create<'a>(path: &'a str, acl: &[Acl<'a>]) -> Request<'a> {
    let (kind, path) = (CreateKind::Create, path.as_bytes());
    Request::Create(Create { kind, path, data: Some(b"x"), acl: Some(acl.to_vec()), flags: 0 })
}

fn data(path: &str) -> Request<'_> {
    Request::GetData { path: path.as_bytes(), watch: false }
}

/// Everything for whoever has this identity of scheme `digest`.
fn only_for(id: &[u8]) -> Acl<'_> {
    Acl { perms: perms::ALL, who: Identity { scheme: b"digest", id } }
}

/// Xids and error codes.
fn codes(replies: &[Reply]) -> Vec<(i32, i32)> {
    replies.iter().map(|(xid, err, _)| (*xid, *err)).collect()
}
