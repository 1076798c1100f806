// SPDX-License-Identifier: Apache-2.0
//! The server's process: its inbox, its turns, what becomes of its effects, and its deaths.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use menagerie_core::{
    event::Event,
    id::{AskId, DialId, LaneId, LinkId, OpId},
    io::{Effect, Effects, Exit, Frame, Input, Port, Question},
    node::{Node, Setup},
    serve::Facts,
    time::Now,
};

use super::{Ev, SECOND, World};
use crate::{
    clock::Clock,
    disk::{Ended, Keep},
    faults::Family,
    net::Owner,
    oracle::{Check, Property, Violation},
    probe::Probe,
    rng::{Rng, Subsystem},
    zoo::Mutant,
};

/// What waits for the server's next turn.
#[derive(Clone, Debug)]
pub enum In {
    Time,
    LinkUp { link: LinkId, peer: SocketAddr },
    LinkDown { link: LinkId },
    DialFailed { port: Port, dial: DialId },
    Packet { link: LinkId, bytes: Vec<u8> },
    Word { link: LinkId, word: [u8; 4] },
    Oversized { link: LinkId, len: u32, head: Vec<u8> },
    Nonsense { link: LinkId, len: i32 },
    Drained { link: LinkId, bytes: usize },
    File { op: OpId, ended: Ended },
    Stop,
}

/// How a process ends that did not mean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    Kill,
    PowerLoss(Keep),
}

/// The server's process, or its absence.
#[derive(Clone)]
pub struct Process {
    pub node: Option<Node<Mutant>>,
    pub life: u32,
    pub clock: Clock,
    pub serving: bool,
    pub frozen_until: u64,
    pub late: u64,
    pub excused_until: u64,
    /// How many effects more, and then how it dies.
    pub doomed: Option<(u32, Death)>,
    /// Whether the last life ended without a halt, or a torn tail was cut since.
    pub crashed: bool,
    pub tore: bool,
    inbox: VecDeque<In>,
    turn_due: bool,
    timer_at: u64,
    hash_key: (u64, u64),
    seed: u64,
}

impl Process {
    pub fn new(seed: u64, hash_key: (u64, u64)) -> Process {
        let mut clocks = Rng::stream(seed, Subsystem::Clock, 0);
        let drift = clocks.between(0, 400) as i64 - 200;
        Process {
            node: None,
            life: 0,
            clock: Clock::new(0, clocks.below(SECOND), drift),
            serving: false,
            frozen_until: 0,
            late: 0,
            excused_until: 0,
            doomed: None,
            crashed: false,
            tore: false,
            inbox: VecDeque::new(),
            turn_due: false,
            timer_at: u64::MAX,
            hash_key,
            seed,
        }
    }
}

impl Process {
    /// Whether it has handled everything that it was given.
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty()
    }
}

impl World {
    pub(super) fn start(&mut self, life: u32) {
        if self.server.node.is_some() || life != self.server.life + 1 {
            return;
        }
        let process = &mut self.server;
        process.life = life;
        self.disk.reseed(Rng::stream(process.seed, Subsystem::Disk, u64::from(life)));
        self.turns = Rng::stream(process.seed, Subsystem::Turns, u64::from(life));
        let mut clocks = Rng::stream(process.seed, Subsystem::Clock, u64::from(life) << 32);
        let (origin, drift) = (clocks.below(SECOND), clocks.between(0, 400));
        process.clock = process.clock.restarted(self.now, origin, drift as i64 - 200);
        process.serving = false;
        process.timer_at = u64::MAX;
        process.turn_due = false;
        process.inbox.clear();
        let facts = Facts {
            version: "3.9.5-menagerie-sim, built on 1970-01-01 00:00 UTC".to_owned(),
            data_dir: "/data/version-2".to_owned(),
            data_log_dir: "/log/version-2".to_owned(),
            environment: Vec::new(),
            max_files: None,
        };
        let seed = Rng::stream(process.seed, Subsystem::Core, u64::from(life)).bits();
        let (config, hash_key) = (self.scenario.config.clone(), process.hash_key);
        process.node = Some(Node::new(Setup { config, hash_key, seed, facts }));
        self.tally.lives += 1;
        self.note(|world| format!("server starts, life {}", world.server.life));
        self.input(In::Time);
    }

    /// Queues an input for the server's next turn.
    pub(super) fn input(&mut self, input: In) {
        if self.server.node.is_none() {
            return;
        }
        if let In::Drained { link, bytes } = &input
            && let Some(In::Drained { link: last, bytes: sum }) = self.server.inbox.back_mut()
            && last == link
        {
            *sum += bytes;
            return;
        }
        self.server.inbox.push_back(input);
        if !self.server.turn_due {
            self.server.turn_due = true;
            let at = (self.now + self.scenario.turn).max(self.server.frozen_until);
            let life = self.server.life;
            self.at(at, Ev::Turn { life });
        }
    }

    pub(super) fn timer(&mut self, life: u32) {
        if life == self.server.life && self.server.timer_at == self.now {
            self.server.timer_at = u64::MAX;
            self.input(In::Time);
        }
    }

    pub(super) fn disk_ends(&mut self, life: u32, lane: LaneId) {
        if life != self.server.life || self.server.node.is_none() {
            return;
        }
        let (op, what, ended, next) = self.disk.finish(lane);
        if let Some(wait) = next {
            self.after(wait, Ev::Disk { life, lane });
        }
        if ended.is_ok() {
            self.oracles.done(op);
        } else {
            self.note(|_| format!("disk: {what:?} fails: {ended:?}"));
        }
        self.rolling.mix(op.0 ^ u64::from(ended.is_ok()) << 63);
        self.input(In::File { op, ended });
    }

    pub(super) fn turn(&mut self, life: u32) -> Check {
        if life != self.server.life || self.server.node.is_none() {
            return Ok(());
        }
        if self.now < self.server.frozen_until {
            self.at(self.server.frozen_until, Ev::Turn { life });
            return Ok(());
        }
        self.server.turn_due = false;
        let most = self.server.inbox.len().min(self.scenario.batch);
        let n = if most == 0 { 0 } else { 1 + self.turns.index(most) };
        if n > 3 {
            self.tally.hit(Probe::TurnBatched);
        }
        let (now, mut fx) = (self.server.clock.now(self.now), Effects::new());
        for _ in 0..n {
            let input = self.server.inbox.pop_front().expect("it was counted");
            self.arrives(&input, now);
            self.handle(&input, now, &mut fx)?;
        }
        let node = self.server.node.as_mut().expect("it is there");
        guarded(|| node.flush(now, &mut fx))?;
        self.rolling.mix(fx.steps());
        let steps = fx.steps();
        self.execute(fx, now)?;
        if self.server.node.is_none() || self.server.life != life {
            return Ok(());
        }
        self.oracles.turn(n as u64, steps, now)?;
        self.arm();
        if !self.server.inbox.is_empty() && !self.server.turn_due {
            self.server.turn_due = true;
            self.after(self.scenario.turn, Ev::Turn { life });
        }
        Ok(())
    }

    fn arm(&mut self) {
        let node = self.server.node.as_ref().expect("it is there");
        let Some(due) = node.poll_timeout() else { return };
        let at = (self.server.clock.world(due)).max(self.now + 1) + self.server.late;
        self.server.late = 0;
        if at != self.server.timer_at {
            self.server.timer_at = at;
            let life = self.server.life;
            self.at(at, Ev::Timer { life });
        }
    }

    /// Tells the oracles what is about to be handled.
    fn arrives(&mut self, input: &In, now: Now) {
        let at = self.now;
        match input {
            In::LinkUp { link, peer } => self.oracles.link_up(*link, &peer.ip().to_string()),
            In::LinkDown { link } => self.oracles.link_down(*link),
            In::Drained { link, bytes } => self.oracles.drained(*link, *bytes),
            _ => {
                if let Some((link, frame)) = input.frame() {
                    if let Frame::Packet(bytes) = frame {
                        self.rolling.bytes(bytes);
                    }
                    self.oracles.arrives(link, &frame, at, now);
                    self.note(|_| format!("server gets on {}: {}", link.0, show_frame(&frame)));
                }
            }
        }
    }

    fn handle(&mut self, input: &In, now: Now, fx: &mut Effects) -> Check {
        let node = self.server.node.as_mut().expect("it is there");
        let borrowed;
        let input = match input {
            In::Time => Input::Time,
            In::LinkUp { link, peer } => {
                Input::LinkUp { link: *link, port: Port::Client, peer: *peer, dialled: None }
            }
            In::LinkDown { link } => Input::LinkDown { link: *link },
            In::DialFailed { port, dial } => {
                Input::DialFailed { port: *port, dial: *dial, why: "nobody else is here".into() }
            }
            In::Drained { link, bytes } => Input::Drained { link: *link, bytes: *bytes },
            In::File { op, ended } => {
                borrowed = ended.as_ref().map(crate::disk::Output::borrow).map_err(Clone::clone);
                Input::File { op: *op, result: borrowed }
            }
            In::Stop => Input::Ask { ask: AskId(1), question: Question::Stop },
            _ => {
                let (link, frame) = input.frame().expect("all others are frames");
                Input::Frame { link, frame }
            }
        };
        guarded(|| node.handle(now, input, fx))
    }

    fn execute(&mut self, mut fx: Effects, now: Now) -> Check {
        for effect in fx.take_list() {
            if let Some((left, death)) = &mut self.server.doomed {
                if *left == 0 {
                    let death = *death;
                    self.tally.hit(Probe::CrashMidTurn);
                    return self.die(death);
                }
                *left -= 1;
            }
            match effect {
                Effect::Send { link, bytes } => self.server_sends(link, &fx.bytes()[bytes], now)?,
                Effect::Dial { dial, port, .. } => self.input(In::DialFailed { port, dial }),
                Effect::HangUp { link } => self.server_hangs_up(link)?,
                Effect::Pause { link } => {
                    self.tally.hit(Probe::Paused);
                    self.pause(link, true);
                }
                Effect::Resume { link } => self.pause(link, false),
                Effect::File { lane, op, what } => {
                    self.rolling.mix(op.0);
                    self.note(|_| format!("disk lane {} op {}: {}", lane.0, op.0, show_op(&what)));
                    self.oracles.ordered(lane, op, &what)?;
                    self.watch_files(&what);
                    if let Some(wait) = self.disk.submit(lane, op, what) {
                        let life = self.server.life;
                        self.after(wait, Ev::Disk { life, lane });
                    }
                }
                Effect::Answer { .. } => {}
                Effect::Event(event) => self.tells(&event, now)?,
                Effect::Halt { exit, why } => return self.halts(exit, &why),
            }
        }
        Ok(())
    }

    fn tells(&mut self, event: &Event, now: Now) -> Check {
        self.note(|_| format!("server says: {event}"));
        match event {
            Event::Recovered { zxid, .. } => {
                let (told, zxid) = (self.oracles.ghost.told, zxid.0);
                let history = &self.oracles.ghost.history;
                if history.range(told + 1..).any(|(one, _)| *one <= zxid) {
                    self.tally.hit(Probe::UntoldSurvived);
                }
                if history.range(zxid + 1..).next().is_some() {
                    self.tally.hit(Probe::UntoldLost);
                }
                self.server.serving = true;
            }
            Event::TornTail { .. } => {
                self.tally.hit(Probe::TornTail);
                self.server.tore = true;
            }
            Event::SessionExpired { session } => {
                self.tally.hit(Probe::SessionExpired);
                if self.oracles.ghost.model.ephemerals(session.0).next().is_some() {
                    self.tally.hit(Probe::ExpiredWithEphemerals);
                }
                if self.oracles.expiry.excused_micros > SECOND {
                    self.tally.hit(Probe::ExpiredAfterFreeze);
                }
            }
            Event::SessionResumed { .. } => {
                self.tally.hit(Probe::SessionResumed);
                if self.server.crashed {
                    self.tally.hit(Probe::ResumedAfterCrash);
                }
                if self.server.tore {
                    self.tally.hit(Probe::ResumedAfterTornTail);
                }
            }
            Event::HungUp { link, .. } => {
                let owner = self.links.get(&link.0).map(|link| link.owner);
                if matches!(owner, Some(Owner::Rude)) {
                    self.tally.hit(Probe::RudeHungUp);
                }
            }
            Event::Note { text, .. } if text.starts_with("the snapshot at") => {
                self.tally.hit(Probe::SnapshotFailed);
            }
            _ => {}
        }
        self.judge_rot(event)?;
        self.oracles.tells(event, now)
    }

    /// The server halts by itself: an operator looks after the disk and starts it again.
    fn halts(&mut self, exit: Exit, why: &str) -> Check {
        self.note(|_| format!("server halts, {exit:?}: {why}"));
        let serving = self.server.serving;
        let excused = exit == Exit::Clean || self.disk.has_failed() || self.disk.locked_by_another;
        if !excused && exit == Exit::DataDir && self.stopped_by_rot(why)? {
            self.disk.heal();
            return self.end(Death::Kill, true);
        }
        self.tally.hit(match exit {
            Exit::Clean => Probe::StoppedCleanly,
            _ if self.disk.locked_by_another => Probe::HaltedOnLock,
            _ if serving => Probe::HaltedOnDisk,
            _ => Probe::RecoveryFailed,
        });
        if !excused {
            let what = format!("the server halts on a disk that did nothing wrong: {why}");
            return Err(Violation::new(Property::Progress, what));
        }
        self.disk.heal();
        self.end(Death::Kill, exit != Exit::Clean)
    }

    /// The process dies without warning.
    pub(super) fn die(&mut self, death: Death) -> Check {
        if self.server.node.is_none() {
            return Ok(());
        }
        self.note(|_| format!("server dies: {death:?}"));
        self.tally.fault(match death {
            Death::Kill => Family::Kill,
            Death::PowerLoss(_) => Family::PowerLoss,
        });
        self.end(death, true)
    }

    fn end(&mut self, death: Death, crashed: bool) -> Check {
        let before = self.disk.fs.lost;
        let life = u64::from(self.server.life);
        let mut chance = Rng::stream(self.seed, Subsystem::Crash, life);
        let silent = matches!(death, Death::PowerLoss(_)) && chance.one_in(2);
        let wait = chance.wait(700_000);
        self.disk.reseed(chance);
        match death {
            Death::Kill => self.disk.kill(),
            Death::PowerLoss(keep) => self.disk.power_loss(keep),
        }
        let lost = self.disk.fs.lost;
        if lost.torn_writes > before.torn_writes {
            self.tally.hit(Probe::TornWrite);
        }
        if lost.entries > before.entries {
            self.tally.hit(Probe::EntryLost);
        }
        if !self.server.serving && self.server.crashed && crashed {
            self.tally.hit(Probe::RecoveredTwice);
        }
        let server = &mut self.server;
        (server.node, server.serving, server.doomed) = (None, false, None);
        (server.crashed, server.tore) = (crashed, false);
        server.frozen_until = 0;
        self.oracles.crashed();
        self.server_is_gone(silent)?;
        let life = self.server.life + 1;
        self.after(wait, Ev::Start { life });
        Ok(())
    }
}

impl In {
    fn frame(&self) -> Option<(LinkId, Frame<'_>)> {
        Some(match self {
            In::Packet { link, bytes } => (*link, Frame::Packet(bytes)),
            In::Word { link, word } => (*link, Frame::Word(*word)),
            In::Oversized { link, len, head } => (*link, Frame::Oversized { len: *len, head }),
            In::Nonsense { link, len } => (*link, Frame::Nonsense { len: *len }),
            _ => return None,
        })
    }

    /// A frame, owned.
    pub fn of(link: LinkId, frame: &Frame<'_>) -> In {
        match *frame {
            Frame::Packet(bytes) => In::Packet { link, bytes: bytes.to_vec() },
            Frame::Word(word) => In::Word { link, word },
            Frame::Oversized { len, head } => In::Oversized { link, len, head: head.to_vec() },
            Frame::Nonsense { len } => In::Nonsense { link, len },
            Frame::Tree { .. } | Frame::Broken { .. } => {
                unreachable!("all links are those of clients")
            }
        }
    }
}

/// The address of a client or a stranger.
pub fn address(owner: Owner, link: u64) -> SocketAddr {
    let last = match owner {
        Owner::Client(n, _) => 1 + n as u8,
        Owner::Rude => 200,
    };
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 20_000 + (link % 40_000) as u16))
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
    /// Whether a machine runs, whose panic is judged; the simulator's own panics are shown.
    static JUDGED: Cell<bool> = const { Cell::new(false) };
}

/// Calls a machine; its panic is a broken promise.
pub fn guarded(call: impl FnOnce()) -> Check {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if JUDGED.get() {
                PANIC.with_borrow_mut(|text| *text = info.to_string());
            } else {
                usual(info);
            }
        }));
    });
    JUDGED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    JUDGED.set(false);
    outcome.map_err(|cause| {
        let mut what = PANIC.take();
        if what.is_empty() {
            let text = cause.downcast_ref::<String>().cloned();
            let literal = cause.downcast_ref::<&str>().map(ToString::to_string);
            what = text.or(literal).unwrap_or_else(|| "a panic".to_owned());
        }
        Violation::new(Property::NoPanic, what)
    })
}

fn show_frame(frame: &Frame<'_>) -> String {
    use menagerie_core::{
        jute::{Reader, Record},
        proto::{Request, RequestHeader},
    };
    let Frame::Packet(bytes) = frame else { return format!("{frame:?}") };
    let mut reader = Reader::new(bytes);
    let header = RequestHeader::decode(&mut reader);
    match header.map(|header| (header, Request::decode(header.op, &mut reader))) {
        Ok((header, Ok(request))) => format!("xid {} {request:?}", header.xid),
        _ => format!("{} bytes", bytes.len()),
    }
}

fn show_op(what: &menagerie_core::io::FileOp) -> String {
    match what {
        menagerie_core::io::FileOp::Write { file, offset, data } => {
            format!("write {} bytes to file {} at {offset}", data.len(), file.0)
        }
        _ => format!("{what:?}"),
    }
}
