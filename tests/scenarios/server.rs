// SPDX-License-Identifier: Apache-2.0
//! A server on a small stage: a disk that does an operation when told, and clients by name.
//!
//! ```text
//! server, then lines of zoo.cfg and of -D flags
//! start                     the process begins and reads its disk; only what it tells is shown
//! A connects [MS] [old] [as B] [seen ZXID] [with a wrong password]
//! A is connected [MS]       the same and the disk behind it, without the details
//! A: REQUEST                see speech.rs
//! A sends word WORD | A sends LENGTH bytes | A sends packet HEX | A hangs up
//! disk [N | lane N]         the next operation, the next of a lane, or all; a turn each
//! fail write|sync|names     the next such operation fails
//! wait MS                   time passes; timers fire when they are due
//! snapshot | stop           an operator asks
//! power fails, keeping nothing|all       what no sync had covered is lost, or not
//! cut FILE to N | flip FILE at N         what a tear or a bad sector makes of a file
//! files                     what stands in the folders
//! ```
//!
//! Commands of one block are one turn, except those that let time or the disk go on.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use menagerie_core::{
    config::{StaticConfig, Surroundings},
    frame::ClientFramer,
    id::{AskId, FileId, LaneId, LinkId, SessionId, Zxid},
    io::{Dir, Effect, Effects, FileOp, Input, Port, Question},
    jute::{Reader, Write},
    node::{Node, Setup},
    proto::{ConnectRequest, OpCode, PASSWORD_LEN, Request},
    serve::Facts,
    time::{Instant, Now},
};
use menagerie_sim::{
    disk::{Armed, Class, Disk, Inode, Keep, Output, Pace},
    rng::{Rng, Subsystem},
};

use crate::{
    packets, speech,
    troupe::guest::{self, Guest, Heard},
};

/// The wall clock when a story begins.
const EPOCH_MS: i64 = 1_600_000_000_000;

/// A client's end of a link.
struct Caller {
    guest: Guest,
    /// Whether it asked by a four-letter word.
    word: bool,
}

pub struct Stage {
    /// The text of `zoo.cfg`, and flags.
    config: (String, String),
    setup: Option<Setup>,
    node: Option<Node>,
    fx: Effects,
    disk: Disk,
    /// The lanes of operations not done yet, in order of their orders.
    lanes: VecDeque<LaneId>,
    files: BTreeMap<FileId, String>,
    now: Instant,
    guests: BTreeMap<LinkId, Caller>,
    links: u64,
    /// Who has which session and password.
    sessions: BTreeMap<String, (SessionId, Vec<u8>)>,
    /// Names for sessions, in the order of the connects that open them.
    opening: VecDeque<String>,
    names: Vec<(SessionId, String)>,
    drained: Vec<(LinkId, usize)>,
    /// Whether inputs were taken since the last flush.
    dirty: bool,
    quiet: bool,
    out: Vec<String>,
}

impl Stage {
    pub fn new() -> Stage {
        let rng = Rng::stream(1, Subsystem::Disk, 0);
        let mut disk = Disk::new(rng, Pace { touch: 1, sync: 1, slowdown: 1 });
        disk.fs.one_folder = true;
        Stage {
            config: ("dataDir=/data\nclientPort=2181\n".to_owned(), String::new()),
            setup: None,
            node: None,
            fx: Effects::new(),
            disk,
            lanes: VecDeque::new(),
            files: BTreeMap::new(),
            now: Instant::ZERO,
            guests: BTreeMap::new(),
            links: 0,
            sessions: BTreeMap::new(),
            opening: VecDeque::new(),
            names: Vec::new(),
            drained: Vec::new(),
            dirty: false,
            quiet: false,
            out: Vec::new(),
        }
    }

    pub fn command(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        if let Some((name, asked)) = command.split_once(": ") {
            let request = speech::request(asked);
            return self.asks(name, &request);
        }
        match words[..] {
            ["server"] => self.configure(""),
            [line] if line.starts_with("-D") || line.contains('=') => self.configure(line),
            [name, "connects", ref how @ ..] => self.connects(name, how),
            [name, "is", "connected", ref how @ ..] => {
                self.flush();
                self.quiet = true;
                self.connects(name, how);
                self.flush();
                self.settle();
                self.quiet = false;
            }
            [name, "sends", "word", word] => self.sends(name, word.as_bytes(), true),
            [name, "sends", len, "bytes"] => self.sends_long(name, speech::number(len) as usize),
            [name, "sends", "packet", hex] => self.sends_packet(name, hex),
            [name, "hangs", "up"] => {
                let link = self.link(name);
                self.guests.remove(&link);
                self.input(Input::LinkDown { link });
            }
            ["snapshot"] => self.ask(Question::Snapshot),
            ["stop"] => self.ask(Question::Stop),
            _ => {
                self.flush();
                self.goes_on(&words);
            }
        }
    }

    /// Commands that are turns of their own, or none.
    fn goes_on(&mut self, words: &[&str]) {
        match *words {
            ["start"] => self.start(),
            ["disk"] => self.settle(),
            ["disk", "lane", lane] => {
                let lane = LaneId(speech::number(lane) as u32);
                let at = self.lanes.iter().position(|other| *other == lane);
                self.perform(at.expect("work in that lane"));
            }
            ["disk", n] => (0..speech::number(n)).for_each(|_| self.perform(0)),
            ["fail", class] => {
                let class = match class {
                    "write" => Class::Write,
                    "sync" => Class::Sync,
                    "names" => Class::Names,
                    _ => panic!("what should fail?"),
                };
                self.disk.armed = Some(Armed { class, after: 0, for_good: false });
            }
            ["wait", ms] => self.wait(speech::number(ms) as u64),
            ["power", "fails,", "keeping", kept] => self.power_fails(kept),
            ["cut", file, "to", len] => {
                let inode = self.inode(file);
                self.disk.fs.truncate(inode, speech::number(len) as u64);
                self.disk.fs.sync(inode);
            }
            ["flip", file, "at", offset] => {
                let inode = self.inode(file);
                self.disk.fs.rot(inode, speech::number(offset) as u64, 3);
            }
            ["files"] => self.list_files(),
            _ => panic!("no command is called {words:?}"),
        }
    }

    /// Ends the turn that a block's inputs made, and gives back what was to be seen.
    pub fn end_block(&mut self) -> Vec<String> {
        self.flush();
        let mut lines = std::mem::take(&mut self.out);
        for line in &mut lines {
            for (session, name) in &self.names {
                *line = line.replace(&session.to_string(), &format!("<{name}>"));
            }
        }
        lines
    }

    fn configure(&mut self, line: &str) {
        let facts = Facts {
            version: "3.9.5-menagerie-0.0.0, built on 2026-01-01 00:00 UTC".to_owned(),
            data_dir: "/data/version-2".to_owned(),
            data_log_dir: "/data/version-2".to_owned(),
            environment: Vec::new(),
            max_files: None,
        };
        let (text, flags) = &mut self.config;
        let (place, end) = if line.starts_with("-D") { (flags, ' ') } else { (text, '\n') };
        place.push_str(line);
        place.push(end);
        let (text, flags) = &self.config;
        let parsed = StaticConfig::parse("zoo.cfg", text.as_bytes(), &[("JVMFLAGS", flags)]);
        let config = parsed.and_then(|parsed| parsed.complete(&Surroundings::default()));
        let config = config.expect("a right configuration");
        self.setup = Some(Setup { config, hash_key: (1, 2), seed: 3, facts });
    }

    fn start(&mut self) {
        let setup = self.setup.clone().expect("a configuration");
        self.node = Some(Node::new(setup));
        self.quiet = true;
        self.input(Input::Time);
        self.flush();
        self.settle();
        self.quiet = false;
    }

    fn now(&self) -> Now {
        Now { mono: self.now, wall_ms: EPOCH_MS + self.now.millis() as i64 }
    }

    fn input(&mut self, input: Input<'_>) {
        let now = self.now();
        let Some(node) = &mut self.node else { return self.out.push("no server runs".into()) };
        for (link, bytes) in self.drained.drain(..) {
            if self.guests.contains_key(&link) {
                node.handle(now, Input::Drained { link, bytes }, &mut self.fx);
            }
        }
        node.handle(now, input, &mut self.fx);
        self.dirty = true;
    }

    fn ask(&mut self, question: Question) {
        self.input(Input::Ask { ask: AskId(1), question });
    }

    fn flush(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let now = self.now();
        if let Some(node) = &mut self.node {
            node.flush(now, &mut self.fx);
        }
        for effect in self.fx.take_list() {
            self.show(effect);
        }
        self.fx.clear();
    }

    fn link(&self, name: &str) -> LinkId {
        let named = self.guests.iter().filter(|(_, caller)| caller.guest.name == name);
        *named.map(|(link, _)| link).max().unwrap_or_else(|| panic!("{name} has no link"))
    }

    /// A link of that name, a new one if there is none.
    fn opened(&mut self, name: &str) -> LinkId {
        if let Some((link, _)) = self.guests.iter().find(|(_, caller)| caller.guest.name == name) {
            return *link;
        }
        self.links += 1;
        let link = LinkId(self.links);
        let limit = self.setup.as_ref().expect("a configuration").config.requests.max_buffer;
        let mut guest = Guest::new(name);
        guest.framer = ClientFramer::new(limit);
        self.guests.insert(link, Caller { guest, word: false });
        let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 5000 + self.links as u16));
        self.input(Input::LinkUp { link, port: Port::Client, peer, dialled: None });
        link
    }

    fn connects(&mut self, name: &str, how: &[&str]) {
        let after = |word: &str| how.iter().position(|w| *w == word).map(|at| how[at + 1]);
        let timeout = how.first().and_then(|word| word.parse().ok());
        let (session, mut password) = match after("as") {
            None => (SessionId::NONE, vec![0; PASSWORD_LEN]),
            Some("nobody") => (SessionId(0x77), vec![0; PASSWORD_LEN]),
            Some(other) => self.sessions[other].clone(),
        };
        if how.contains(&"wrong") {
            password[0] ^= 1;
        }
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(after("seen").map_or(0, |zxid| speech::number(zxid).into())),
            timeout_ms: timeout.unwrap_or(8_000),
            session,
            password: &password,
            read_only: (!how.contains(&"old")).then_some(false),
        };
        if session == SessionId::NONE {
            self.opening.push_back(name.to_owned());
        }
        self.sends(name, &guest::greeting(&request), false);
    }

    fn asks(&mut self, name: &str, request: &Request<'_>) {
        let link = self.link(name);
        let bytes = self.guests.get_mut(&link).expect("a guest").guest.asks(request);
        self.sends(name, &bytes, false);
    }

    /// A setData that makes a packet of `len` bytes.
    fn sends_long(&mut self, name: &str, len: usize) {
        let data = vec![b'x'; len - 22];
        self.asks(name, &Request::SetData { path: b"/x", data: Some(&data), version: 0 });
    }

    /// Any packet. What is answered, is answered under its first four bytes.
    fn sends_packet(&mut self, name: &str, hex: &str) {
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        let body: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let link = self.opened(name);
        if let Ok(xid) = Reader::new(&body).int() {
            let caller = self.guests.get_mut(&link).expect("a guest");
            caller.guest.asked.push_back((xid, OpCode::Error));
        }
        let mut bytes = Vec::new();
        bytes.put_string(&body);
        self.sends(name, &bytes, false);
    }

    fn sends(&mut self, name: &str, bytes: &[u8], word: bool) {
        let link = self.opened(name);
        let caller = self.guests.get_mut(&link).expect("a guest");
        caller.word |= word;
        let mut framer = std::mem::replace(&mut caller.guest.framer, ClientFramer::new(0));
        framer.push(bytes, |frame| self.input(Input::Frame { link, frame }));
        if let Some(caller) = self.guests.get_mut(&link) {
            caller.guest.framer = framer;
        }
    }

    fn wait(&mut self, ms: u64) {
        let target = Instant::from_millis(self.now.millis() + ms);
        for _ in 0..10_000 {
            let due = self.node.as_ref().and_then(Node::poll_timeout);
            let Some(due) = due.filter(|due| *due <= target) else {
                self.now = target;
                return;
            };
            self.now = self.now.max(due);
            let shown = self.out.len();
            self.input(Input::Time);
            self.flush();
            if self.out.len() > shown {
                self.out.insert(shown, format!("at {} ms:", self.now.millis()));
            }
        }
        panic!("the server is never done");
    }

    fn settle(&mut self) {
        while !self.lanes.is_empty() {
            self.perform(0);
        }
    }

    /// Ends an operation, and tells the server in a turn of its own.
    fn perform(&mut self, at: usize) {
        let lane = self.lanes.remove(at).expect("an operation");
        let (op, what, ended, _) = self.disk.finish(lane);
        if !self.quiet {
            let how =
                ended.as_ref().err().map_or(String::new(), |error| format!(" fails: {error}"));
            self.out.push(format!("done: {}{how}", self.name(&what)));
        }
        let result = ended.as_ref().map(Output::borrow).map_err(Clone::clone);
        self.input(Input::File { op, result });
        self.flush();
    }

    fn power_fails(&mut self, kept: &str) {
        let keep = match kept {
            "nothing" => Keep::Nothing,
            "all" => Keep::All,
            _ => panic!("what survives?"),
        };
        self.disk.power_loss(keep);
        self.disk.heal();
        (self.node, self.lanes) = (None, VecDeque::new());
        self.guests.clear();
        self.drained.clear();
    }

    fn inode(&self, file: &str) -> Inode {
        self.disk.fs.find(Dir::Snap, file).expect("a file of that name")
    }

    fn list_files(&mut self) {
        for entry in self.disk.fs.list(Dir::Snap).unwrap_or_default() {
            self.out.push(format!("{}: {} bytes", entry.name, entry.len));
        }
    }
}

/// What comes out.
impl Stage {
    fn show(&mut self, effect: Effect) {
        match effect {
            Effect::Send { link, bytes } => {
                self.drained.push((link, bytes.len()));
                let bytes = self.fx.bytes()[bytes].to_vec();
                self.show_sent(link, &bytes);
            }
            Effect::HangUp { link } => {
                let line = format!("{} is hung up on", self.guest_name(link));
                self.out.push(line);
                self.guests.remove(&link);
                self.input(Input::LinkDown { link });
            }
            Effect::Pause { .. } | Effect::Resume { .. } if self.quiet => {}
            Effect::Pause { link } => {
                let line = format!("{} is not read from", self.guest_name(link));
                self.out.push(line);
            }
            Effect::Resume { link } => {
                let line = format!("{} is read from again", self.guest_name(link));
                self.out.push(line);
            }
            Effect::File { lane, op, what } => {
                match &what {
                    FileOp::Open { file, name, .. } | FileOp::Create { file, name, .. } => {
                        self.files.insert(*file, name.clone());
                    }
                    _ => {}
                }
                let line = self.show_op(lane, &what);
                if !self.quiet {
                    self.out.push(line);
                }
                self.disk.submit(lane, op, what);
                self.lanes.push_back(lane);
            }
            Effect::Dial { .. } | Effect::Configure(_) => {
                unreachable!("a server alone has no others")
            }
            Effect::Answer { answer, .. } => self.out.push(format!("answer: {answer:?}")),
            Effect::Event(event) => self.out.push(format!("log {:?}: {event}", event.level())),
            Effect::Halt { exit, why } => {
                self.out.push(format!("halts with {}: {why}", exit.code()));
                (self.node, self.lanes) = (None, VecDeque::new());
                self.disk.kill();
            }
        }
    }

    fn guest_name(&self, link: LinkId) -> String {
        self.guests
            .get(&link)
            .map_or_else(|| "nobody".to_owned(), |caller| caller.guest.name.clone())
    }

    fn show_sent(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(caller) = self.guests.get_mut(&link) else { return };
        let name = caller.guest.name.clone();
        if caller.word {
            let text = String::from_utf8_lossy(bytes);
            self.out.extend(text.lines().map(|line| format!("{name} | {line}").trim_end().into()));
            return;
        }
        for heard in caller.guest.hears(bytes) {
            if let Heard::Greeting { session, password, .. } = &heard
                && *session != SessionId::NONE
            {
                self.sessions.insert(name.clone(), (*session, password.clone()));
            }
            self.out.push(format!("{name} <- {}", speech::heard(&heard)));
        }
    }

    /// An operation as it is ordered.
    fn show_op(&mut self, lane: LaneId, what: &FileOp) -> String {
        let is_log =
            matches!(what, FileOp::Write { file, .. } if self.files[file].starts_with("log."));
        if let FileOp::Write { offset, data, .. } = what
            && is_log
        {
            self.name_sessions(*offset, data);
        }
        packets::order(lane, &self.name(what), what, is_log)
    }

    fn name(&self, what: &FileOp) -> String {
        packets::op(&self.files, |file| file, what)
    }

    /// Names the sessions that are opened by what is written to a log.
    fn name_sessions(&mut self, offset: u64, data: &Arc<Vec<u8>>) {
        packets::txns(offset, data, |entry| {
            if entry.header.op == OpCode::CreateSession.code()
                && let Some(name) = self.opening.pop_front()
            {
                self.names.push((entry.header.session, name));
            }
        });
    }
}
