// SPDX-License-Identifier: Apache-2.0
//! One server's core driven by hand, for counting and timing: its clients are frames, and its disk
//! does at once whatever is asked and remembers nothing.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use menagerie_core::{
    config::{StaticConfig, Surroundings},
    id::{LinkId, OpId, SessionId, Zxid},
    io::{Effect, Effects, FileOp, FileOutput, Frame, Input, Port},
    jute::Record,
    node::{Node, Setup},
    proto::{Acl, ConnectRequest, Create, CreateKind, PASSWORD_LEN, Request, RequestHeader},
    serve::Facts,
    time::Now,
    zoo::Sound,
};

/// A core, and everything around it.
pub struct Driven {
    node: Node<Sound>,
    fx: Effects,
    now: Now,
    /// Operations that were ordered and have not ended; whether each lists names.
    ordered: VecDeque<(OpId, bool)>,
    drained: Vec<(LinkId, usize)>,
    links: u64,
    /// Bytes sent to links so far.
    pub sent: usize,
    /// Syncs ordered so far.
    pub syncs: u64,
    /// Writes ordered so far.
    pub writes: u64,
}

impl Driven {
    /// A server that serves an empty tree.
    pub fn new() -> Driven {
        // Without space set aside: that goes beside the log, and is nothing that a write waits for.
        let text = b"dataDir=/d\nclientPort=1\npreAllocSize=0\nsnapCount=1000000000\n\
                     maxClientCnxns=0\n";
        let config = StaticConfig::parse("zoo.cfg", text, &[])
            .and_then(|parsed| parsed.complete(&Surroundings::default()))
            .expect("a right configuration");
        let facts = Facts {
            version: String::new(),
            data_dir: String::new(),
            data_log_dir: String::new(),
            environment: Vec::new(),
            max_files: None,
        };
        let mut driven = Driven {
            node: Node::new(Setup { config, hash_key: (1, 2), seed: 3, facts }),
            fx: Effects::new(),
            now: Now { wall_ms: 1_700_000_000_000, ..Now::default() },
            ordered: VecDeque::new(),
            drained: Vec::new(),
            links: 0,
            sent: 0,
            syncs: 0,
            writes: 0,
        };
        driven.handle(Input::Time);
        driven.settle();
        assert!(driven.node.server().is_some(), "it serves");
        driven
    }

    /// A link with an open session.
    pub fn connect(&mut self) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 7));
        self.handle(Input::LinkUp { link, port: Port::Client, peer, dialled: None });
        let hello = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 30_000,
            session: SessionId::NONE,
            password: &[0; PASSWORD_LEN],
            read_only: Some(false),
        };
        let mut frame = Vec::new();
        hello.encode(&mut frame);
        self.frame(link, &frame);
        self.settle();
        link
    }

    /// A packet comes in on a link.
    pub fn frame(&mut self, link: LinkId, packet: &[u8]) {
        self.handle(Input::Frame { link, frame: Frame::Packet(packet) });
    }

    /// Ends the turn and does what is wanted, but for the ends of file operations.
    pub fn end_turn(&mut self) {
        self.now.mono = self.now.mono + Duration::from_micros(10);
        self.node.flush(self.now, &mut self.fx);
        let (list, _) = self.fx.drain();
        for effect in list {
            match effect {
                Effect::Send { link, bytes } => {
                    self.sent += bytes.len();
                    self.drained.push((link, bytes.len()));
                }
                Effect::File { op, what, .. } => {
                    self.syncs += u64::from(matches!(what, FileOp::Sync { .. }));
                    self.writes += u64::from(matches!(what, FileOp::Write { .. }));
                    self.ordered.push_back((op, matches!(what, FileOp::List { .. })));
                }
                Effect::Halt { why, .. } => panic!("halted: {why}"),
                _ => {}
            }
        }
        self.fx.clear();
        for (link, bytes) in self.drained.drain(..) {
            let drained = Input::Drained { link, bytes };
            self.node.handle(self.now, drained, &mut self.fx);
        }
    }

    /// Ends turns until no file operation is under way.
    pub fn settle(&mut self) {
        self.end_turn();
        while !self.ordered.is_empty() {
            for _ in 0..self.ordered.len() {
                let (op, lists) = self.ordered.pop_front().expect("it was counted");
                let output = if lists { FileOutput::Names(&[]) } else { FileOutput::Done };
                self.handle(Input::File { op, result: Ok(output) });
            }
            self.end_turn();
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.fx);
    }
}

/// A request's packet.
pub fn packet(xid: i32, request: &Request<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    RequestHeader { xid, op: request.op().code() }.encode(&mut packet);
    request.encode(&mut packet);
    packet
}

/// A create of a persistent znode that is open to all.
pub fn create<'a>(path: &'a [u8], data: &'a [u8]) -> Request<'a> {
    let acl = Some(vec![Acl::OPEN]);
    Request::Create(Create { kind: CreateKind::Create, path, data: Some(data), acl, flags: 0 })
}
