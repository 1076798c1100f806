// SPDX-License-Identifier: Apache-2.0
//! A server: its process or its absence, its inbox, its turns, what becomes of its effects, and its
//! deaths.

use std::collections::VecDeque;

use menagerie_core::{
    config::{Role, ServerConfig},
    event::Event,
    id::{AskId, LaneId, LinkId},
    io::{Effect, Effects, Exit, Frame, Input, Port, Question},
    node::{Node, Setup},
    serve::Facts,
    time::Now,
};

use super::{
    Ev, SECOND, World,
    dials::{self, Caller},
    guard::guarded,
    input::{In, show_frame, show_op},
    links::name,
    rot::Rotten,
    sights::{self, Sight},
    tale::About,
};
use crate::{
    clock::Clock,
    disk::{Disk, Keep},
    faults::{Family, Struck},
    files::Files,
    net::{End, Place, Side},
    oracle::{Check, Property, Violation},
    probe::Probe,
    rng::{Rng, Subsystem},
    scenario::Scenario,
    zoo::Mutant,
};

/// Within this time an operator starts a server once all faults are over, in microseconds.
const AT_ONCE: u64 = SECOND / 2;

/// How a process ends that did not mean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    Kill,
    PowerLoss(Keep),
}

/// How the power fails once a server is brought up to date: after so many operations on its disk.
#[derive(Clone, Copy, Debug)]
pub struct Ambush {
    pub operations: u32,
    pub keep: Keep,
    pub whom: Struck,
}

/// A server and its machine.
#[derive(Clone)]
pub struct Server {
    pub node: Option<Node<Mutant>>,
    pub life: u32,
    pub clock: Clock,
    pub disk: Disk,
    pub serving: bool,
    pub frozen_until: u64,
    pub refuses_until: u64,
    pub late: u64,
    pub excused_until: u64,
    /// How many effects more, and then how it dies.
    pub doomed: Option<(u32, Death)>,
    /// What waits for it to be brought up to date, and what does so no more.
    pub ambush: Option<Ambush>,
    pub ambushed: Option<Ambush>,
    /// Whether the last life ended without a halt, or a torn tail was cut since.
    pub crashed: bool,
    pub tore: bool,
    pub rotten: Option<Rotten>,
    /// Whether an operator stopped it for good.
    pub retired: bool,
    pub files: Files,
    number: usize,
    config: ServerConfig,
    inbox: VecDeque<In>,
    turns: Rng,
    turn_due: bool,
    /// When its timer is due, and when the next event of it comes: not later.
    timer_at: u64,
    timer_comes: u64,
    dials: u64,
    hash_key: (u64, u64),
    seed: u64,
}

impl Server {
    pub fn new(number: usize, seed: u64, hash_key: (u64, u64), scenario: &Scenario) -> Server {
        let mut clocks = stream(seed, Subsystem::Clock, number, 0);
        let drift = clocks.between(0, 400) as i64 - 200;
        let config = scenario.servers[number].clone();
        let mut disk = Disk::new(stream(seed, Subsystem::Disk, number, 0), scenario.disk);
        disk.fs.one_folder = config.data_dir == config.data_log_dir;
        Server {
            node: None,
            life: 0,
            clock: Clock::new(0, clocks.below(SECOND), drift),
            disk,
            serving: false,
            frozen_until: 0,
            refuses_until: 0,
            late: 0,
            excused_until: 0,
            doomed: None,
            ambush: None,
            ambushed: None,
            crashed: false,
            tore: false,
            rotten: None,
            retired: false,
            files: scenario.files[number].clone(),
            number,
            config,
            inbox: VecDeque::new(),
            turns: stream(seed, Subsystem::Turns, number, 0),
            turn_due: false,
            timer_at: u64::MAX,
            timer_comes: u64::MAX,
            dials: 0,
            hash_key,
            seed,
        }
    }

    /// From here on, its chance is that of another world; its process stays what it is.
    pub fn reseed(&mut self, seed: u64) {
        self.seed = seed;
        let of_life = |subsystem| stream(seed, subsystem, self.number, u64::from(self.life));
        self.disk.reseed(of_life(Subsystem::Disk));
        self.turns = of_life(Subsystem::Turns);
    }

    /// Whether it does not run, and will not come by itself.
    pub fn is_away(&self) -> bool {
        self.node.is_none() && (self.retired || self.life == 0)
    }

    /// What stands in its files counts from its next start on.
    pub fn read_files(&mut self) {
        self.config = self.files.read();
    }

    /// The version of the list of members in its files.
    pub fn members(&self) -> u64 {
        match &self.config.role {
            Role::Standalone { .. } => 0,
            Role::Member(member) => member.ensemble.version(),
        }
    }

    /// Whether it has handled everything that it was given.
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty()
    }

    /// A new process, which has done nothing yet.
    fn boot(&mut self, life: u32, now: u64) {
        let of_life = |subsystem| stream(self.seed, subsystem, self.number, u64::from(life));
        self.disk.reseed(of_life(Subsystem::Disk));
        self.turns = of_life(Subsystem::Turns);
        let seed = of_life(Subsystem::Core).bits();
        let mut clocks = stream(self.seed, Subsystem::Clock, self.number, u64::from(life) << 32);
        let (origin, drift) = (clocks.below(SECOND), clocks.between(0, 400));
        self.clock = self.clock.restarted(now, origin, drift as i64 - 200);
        (self.life, self.serving, self.turn_due) = (life, false, false);
        (self.timer_at, self.timer_comes) = (u64::MAX, u64::MAX);
        self.inbox.clear();
        let facts = Facts {
            version: "3.9.5-menagerie-sim, built on 1970-01-01 00:00 UTC".to_owned(),
            data_dir: "/data/version-2".to_owned(),
            data_log_dir: "/log/version-2".to_owned(),
            environment: Vec::new(),
            max_files: None,
        };
        let (config, hash_key) = (self.config.clone(), self.hash_key);
        self.node = Some(Node::new(Setup { config, hash_key, seed, facts }));
    }
}

/// A stream of chance of one server's.
fn stream(seed: u64, subsystem: Subsystem, server: usize, ordinal: u64) -> Rng {
    Rng::stream(seed, subsystem, (server as u64) << 56 | ordinal)
}

impl World {
    pub(super) fn start(&mut self, server: usize, life: u32) {
        let machine = &mut self.servers[server];
        if machine.node.is_some() || life != machine.life + 1 {
            return;
        }
        self.prepare(server);
        let machine = &mut self.servers[server];
        machine.boot(life, self.now);
        self.tally.lives += 1;
        self.note(|_| format!("{} starts, life {life}", name(server)));
        if life > 1 {
            self.recall(About::Fate, |_| format!("{} starts again", name(server)));
        }
        self.input(server, In::Time);
    }

    /// Queues an input for the server's next turn.
    pub(super) fn input(&mut self, server: usize, input: In) {
        let machine = &mut self.servers[server];
        if machine.node.is_none() {
            return;
        }
        if let In::Drained { link, bytes } = &input
            && let Some(In::Drained { link: last, bytes: sum }) = machine.inbox.back_mut()
            && last == link
        {
            *sum += bytes;
            return;
        }
        machine.inbox.push_back(input);
        if !machine.turn_due {
            machine.turn_due = true;
            let at = (self.now + self.scenario.turn).max(machine.frozen_until);
            let life = machine.life;
            self.at(at, Ev::Turn { server, life });
        }
    }

    pub(super) fn timer(&mut self, server: usize, life: u32) {
        let machine = &mut self.servers[server];
        if life != machine.life || machine.timer_comes != self.now {
            return;
        }
        machine.timer_comes = u64::MAX;
        if machine.timer_at <= self.now {
            machine.timer_at = u64::MAX;
            self.input(server, In::Time);
        } else {
            self.await_timer(server);
        }
    }

    pub(super) fn disk_ends(&mut self, server: usize, life: u32, lane: LaneId) -> Check {
        let machine = &mut self.servers[server];
        if life != machine.life || machine.node.is_none() {
            return Ok(());
        }
        let (op, what, ended, next) = machine.disk.finish(lane);
        if let Some(wait) = next {
            self.after(wait, Ev::Disk { server, life, lane });
        }
        if ended.is_ok() {
            self.oracles.done(server, op);
        } else {
            self.note(|_| format!("{}: {what:?} fails: {ended:?}", name(server)));
        }
        self.rolling.mix(op.0 ^ u64::from(ended.is_ok()) << 63);
        self.input(server, In::File { op, ended });
        self.spring(server)
    }

    /// One operation more has ended on the disk of a server that is perhaps in an ambush.
    fn spring(&mut self, server: usize) -> Check {
        let Some(ambush) = &mut self.servers[server].ambushed else { return Ok(()) };
        if ambush.operations > 0 {
            ambush.operations -= 1;
            return Ok(());
        }
        let Ambush { keep, whom, .. } = *ambush;
        self.servers[server].ambushed = None;
        self.tally.hit(Probe::CrashInSync);
        match (whom, self.oracles.leader()) {
            (Struck::All, _) => self.black_out(Some(keep)),
            (Struck::Leader, Some(leader)) => self.die(leader, Death::PowerLoss(keep)),
            _ => self.die(server, Death::PowerLoss(keep)),
        }
    }

    pub(super) fn turn(&mut self, server: usize, life: u32) -> Check {
        let machine = &mut self.servers[server];
        if life != machine.life || machine.node.is_none() {
            return Ok(());
        }
        if self.now < machine.frozen_until {
            let at = machine.frozen_until;
            self.at(at, Ev::Turn { server, life });
            return Ok(());
        }
        machine.turn_due = false;
        let most = machine.inbox.len().min(self.scenario.batch);
        let n = if most == 0 { 0 } else { 1 + machine.turns.index(most) };
        let (now, mut fx) = (machine.clock.now(self.now), std::mem::take(&mut self.spare.effects));
        if n > 3 {
            self.tally.hit(Probe::TurnBatched);
        }
        for _ in 0..n {
            let input = self.servers[server].inbox.pop_front().expect("it was counted");
            self.arrives(server, &input, now);
            self.handle(server, &input, now, &mut fx)?;
        }
        let node = self.servers[server].node.as_mut().expect("it is there");
        guarded(|| node.flush(now, &mut fx))?;
        self.rolling.mix(fx.steps() ^ (server as u64) << 60);
        let steps = fx.steps();
        self.execute(server, &mut fx, now)?;
        fx.clear();
        self.spare.effects = fx;
        let machine = &self.servers[server];
        let Some(node) = machine.node.as_ref().filter(|_| machine.life == life) else {
            return Ok(());
        };
        let view = node.view();
        let before = self.sights[server].phase();
        self.recall_turn(server, before, view.phase);
        if let Some(seen) = self.sights[server].stands(view.phase) {
            self.tally.hit(seen);
        }
        self.oracles.stands(server, &view, now)?;
        self.oracles.turn(server, n as u64, steps, now)?;
        self.arm(server);
        let machine = &mut self.servers[server];
        if !machine.inbox.is_empty() && !machine.turn_due {
            machine.turn_due = true;
            self.after(self.scenario.turn, Ev::Turn { server, life });
        }
        Ok(())
    }

    fn arm(&mut self, server: usize) {
        let machine = &mut self.servers[server];
        let node = machine.node.as_ref().expect("it is there");
        machine.timer_at = match node.poll_timeout() {
            Some(due) => machine.clock.world(due).max(self.now + 1) + machine.late,
            None => u64::MAX,
        };
        machine.late = 0;
        self.await_timer(server);
    }

    /// Sees to it that an event comes when a server's timer is due, or before.
    fn await_timer(&mut self, server: usize) {
        let machine = &mut self.servers[server];
        let (at, life) = (machine.timer_at, machine.life);
        if at < machine.timer_comes {
            machine.timer_comes = at;
            self.at(at, Ev::Timer { server, life });
        }
    }

    /// Tells the oracles what is about to be handled.
    fn arrives(&mut self, server: usize, input: &In, now: Now) {
        let at = self.now;
        match input {
            In::LinkUp { link, port: Port::Client, peer, .. } => {
                self.oracles.link_up(server, *link, &peer.ip().to_string());
            }
            In::LinkUp { link, port: Port::Quorum, dialled: Some(_), .. } => {
                self.oracles.leader_link(server, *link);
            }
            In::LinkUp { link, port: Port::Quorum, dialled: None, .. } => {
                self.oracles.expiry(server).learner_link(*link);
            }
            In::LinkDown { link } => {
                self.oracles.link_down(server, *link);
                self.sights[server].link_down(*link);
            }
            In::Drained { link, bytes } => self.oracles.drained(server, *link, *bytes),
            _ => {
                let Some((link, frame)) = input.frame() else { return };
                if let Frame::Packet(bytes) = frame {
                    self.rolling.bytes(bytes);
                }
                let port = self.links.get(&link.0).map_or(Port::Client, |link| link.port);
                self.hears(server, link, port, &frame);
                self.recall_frame(server, link, &frame);
                self.oracles.arrives(server, link, &frame, at, now);
                if self.oracles.takes_sync()
                    && let Some(ambush) = self.servers[server].ambush.take()
                {
                    match ambush.whom {
                        Struck::Link => self.at(at, Ev::End { link: link.0 }),
                        _ => self.servers[server].ambushed = Some(ambush),
                    }
                }
                self.note(|_| {
                    let shown = show_frame(port, &frame);
                    format!("{} gets on {}: {shown}", name(server), link.0)
                });
            }
        }
    }

    /// Counts what a frame of another server's shows.
    fn hears(&mut self, server: usize, link: LinkId, port: Port, frame: &Frame<'_>) {
        let (Port::Quorum, Frame::Packet(bytes)) = (port, frame) else { return };
        let there = self.links.get(&link.0).and_then(|link| {
            let side = link.side_of(server)?;
            if let End::Server(there) = link.end(side.other()) { Some(there) } else { None }
        });
        let leader = there.map(|there| &self.sights[there]).filter(|there| there.leads());
        let from_log = leader.map(Sight::reads_log);
        if let Some(seen) = self.sights[server].hears(link, bytes, from_log) {
            self.tally.hit(seen);
        }
    }

    fn handle(&mut self, server: usize, input: &In, now: Now, fx: &mut Effects) -> Check {
        self.tally.inputs += 1;
        let node = self.servers[server].node.as_mut().expect("it is there");
        let borrowed;
        let input = match input {
            In::Time => Input::Time,
            In::LinkUp { link, port, peer, dialled } => {
                Input::LinkUp { link: *link, port: *port, peer: *peer, dialled: *dialled }
            }
            In::LinkDown { link } => Input::LinkDown { link: *link },
            In::DialFailed { port, dial, why } => {
                Input::DialFailed { port: *port, dial: *dial, why: (*why).to_owned() }
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

    fn execute(&mut self, server: usize, fx: &mut Effects, now: Now) -> Check {
        let (effects, all_bytes) = fx.drain();
        for effect in effects {
            if let Some((left, death)) = &mut self.servers[server].doomed {
                if *left == 0 {
                    let death = *death;
                    self.tally.hit(Probe::CrashMidTurn);
                    return self.die(server, death);
                }
                *left -= 1;
            }
            match effect {
                Effect::Send { link, bytes } => {
                    self.server_sends(server, link, &all_bytes[bytes], now)?;
                }
                Effect::HangUp { link } => self.server_hangs_up(server, link)?,
                Effect::Pause { link } => {
                    self.tally.hit(Probe::Paused);
                    self.pause(server, link, true)?;
                }
                Effect::Resume { link } => self.pause(server, link, false)?,
                Effect::Event(event) => self.tells(server, &event, now)?,
                Effect::Halt { exit, why } => return self.halts(server, exit, &why),
                Effect::Dial { .. } | Effect::File { .. } => self.orders(server, effect)?,
                Effect::Answer { .. } => {}
                Effect::Configure(file) => self.configures(server, &file)?,
            }
        }
        Ok(())
    }

    /// A dial, or a file operation.
    fn orders(&mut self, server: usize, effect: Effect) -> Check {
        let machine = &mut self.servers[server];
        let life = machine.life;
        match effect {
            Effect::Dial { dial, port, host, timeout, .. } => {
                machine.dials += 1;
                let ordinal = 1 << 63 | (server as u64) << 56 | machine.dials;
                let to = dials::host(&host).unwrap_or(dials::NOWHERE);
                let pace = self.link_pace(Place::Server(server), Place::Server(to));
                let from = Caller::Server { server, life, port, dial };
                let wait = 2 * pace.base + self.servers[server].turns.wait(pace.jitter);
                self.dial(from, to, timeout.as_micros() as u64, ordinal, wait);
            }
            Effect::File { lane, op, what } => {
                self.rolling.mix(op.0);
                self.note(|_| {
                    let (lane, op, what) = (lane.0, op.0, show_op(&what));
                    format!("{} disk lane {lane} op {op}: {what}", name(server))
                });
                self.oracles.ordered(server, lane, op, &what)?;
                self.watch_files(server, &what);
                if let Some(seen) = self.sights[server].orders(&what) {
                    self.tally.hit(seen);
                }
                if let Some(wait) = self.servers[server].disk.submit(lane, op, what) {
                    self.after(wait, Ev::Disk { server, life, lane });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tells(&mut self, server: usize, event: &Event, now: Now) -> Check {
        self.note(|_| format!("{} says: {event}", name(server)));
        if let Some(seen) = sights::told(event) {
            self.tally.hit(seen);
        }
        match event {
            Event::Recovered { zxid, .. } => {
                let (told, zxid) = (self.oracles.ghost.told, zxid.0);
                let log = &self.oracles.ghost.replicas[server].log;
                if log.iter().any(|one| *one > told && *one <= zxid) {
                    self.tally.hit(Probe::UntoldSurvived);
                }
                if log.last().is_some_and(|last| *last > zxid) {
                    self.tally.hit(Probe::UntoldLost);
                }
                self.servers[server].serving = true;
            }
            Event::TornTail { .. } => {
                self.tally.hit(Probe::TornTail);
                self.servers[server].tore = true;
            }
            Event::SessionExpired { session } => {
                self.tally.hit(Probe::SessionExpired);
                if self.oracles.ghost.model.ephemerals(session.0).next().is_some() {
                    self.tally.hit(Probe::ExpiredWithEphemerals);
                }
                if self.oracles.expiry(server).excused_micros > SECOND {
                    self.tally.hit(Probe::ExpiredAfterFreeze);
                }
            }
            Event::SessionResumed { .. } => {
                self.tally.hit(Probe::SessionResumed);
                if self.servers[server].crashed {
                    self.tally.hit(Probe::ResumedAfterCrash);
                }
                if self.servers[server].tore {
                    self.tally.hit(Probe::ResumedAfterTornTail);
                }
            }
            Event::HungUp { link, .. } => {
                let end = self.links.get(&link.0).map(|link| link.end(Side::Dialler));
                let port = self.links.get(&link.0).map(|link| link.port);
                match (end, port) {
                    (Some(End::Rude), Some(Port::Client)) => self.tally.hit(Probe::RudeHungUp),
                    (Some(End::Rude), _) => self.tally.hit(Probe::StrangerHungUp),
                    _ => {}
                }
            }
            Event::Note { text, .. } if text.ends_with("are numbered out") => {
                self.tally.hit(Probe::EpochUsedUp);
            }
            Event::Note { text, .. } if text.starts_with("the snapshot at") => {
                self.tally.hit(Probe::SnapshotFailed);
            }
            _ => {}
        }
        self.judge_rot(server, event)?;
        self.oracles.tells(server, event, self.now, now)
    }

    /// The server halts by itself: an operator looks after the disk and starts it again.
    fn halts(&mut self, server: usize, exit: Exit, why: &str) -> Check {
        self.note(|_| format!("{} halts, {exit:?}: {why}", name(server)));
        self.recall(About::Fate, |_| format!("{} halts: {why}", name(server)));
        let machine = &self.servers[server];
        let (serving, locked) = (machine.serving, machine.disk.locked_by_another);
        let excused = exit == Exit::Clean || machine.disk.has_failed() || locked;
        if !excused && exit == Exit::DataDir && self.stopped_by_rot(server, why)? {
            self.servers[server].disk.heal();
            return self.end(server, Death::Kill, true);
        }
        self.tally.hit(match exit {
            Exit::Clean => Probe::StoppedCleanly,
            _ if locked => Probe::HaltedOnLock,
            _ if serving => Probe::HaltedOnDisk,
            _ => Probe::RecoveryFailed,
        });
        if !excused {
            let name = name(server);
            let what = format!("{name} halts on a disk that did nothing wrong: {why}");
            return Err(Violation::new(Property::Progress, what));
        }
        self.servers[server].disk.heal();
        self.end(server, Death::Kill, exit != Exit::Clean)
    }

    /// The process dies without warning.
    pub(super) fn die(&mut self, server: usize, death: Death) -> Check {
        if self.servers[server].node.is_none() {
            return Ok(());
        }
        self.note(|_| format!("{} dies: {death:?}", name(server)));
        self.recall(About::Fate, |_| match death {
            Death::Kill => format!("{} is killed", name(server)),
            Death::PowerLoss(keep) => {
                let kept = format!("{keep:?}").to_lowercase();
                format!(
                    "{} loses its power, and of what was not synced keeps: {kept}",
                    name(server)
                )
            }
        });
        self.tally.fault(match death {
            Death::Kill => Family::Kill,
            Death::PowerLoss(_) => Family::PowerLoss,
        });
        self.end(server, death, true)
    }

    fn end(&mut self, server: usize, death: Death, crashed: bool) -> Check {
        let machine = &mut self.servers[server];
        let before = machine.disk.fs.lost;
        let life = u64::from(machine.life);
        let mut chance = stream(self.seed, Subsystem::Crash, server, life);
        let silent = matches!(death, Death::PowerLoss(_)) && chance.one_in(2);
        let wait = chance.wait(self.scenario.down);
        machine.disk.reseed(chance);
        match death {
            Death::Kill => machine.disk.kill(),
            Death::PowerLoss(keep) => machine.disk.power_loss(keep),
        }
        let lost = machine.disk.fs.lost;
        if lost.torn_writes > before.torn_writes {
            self.tally.hit(Probe::TornWrite);
        }
        if lost.entries > before.entries {
            self.tally.hit(Probe::EntryLost);
        }
        if !machine.serving && machine.crashed && crashed {
            self.tally.hit(Probe::RecoveredTwice);
        }
        (machine.node, machine.serving, machine.doomed) = (None, false, None);
        (machine.ambush, machine.ambushed) = (None, None);
        (machine.crashed, machine.tore) = (crashed, false);
        machine.frozen_until = 0;
        let life = machine.life + 1;
        self.oracles.crashed(server);
        self.sights[server] = Sight::default();
        self.server_is_gone(server, silent)?;
        // Once all faults are over, nobody lets a server lie.
        let wait = if self.healed_at.is_some() { wait.min(AT_ONCE) } else { wait };
        self.after(wait, Ev::Start { server, life });
        Ok(())
    }

    /// Whoever is down starts at once.
    pub(super) fn start_all(&mut self) {
        for server in 0..self.servers.len() {
            let life = self.servers[server].life + 1;
            self.after(AT_ONCE, Ev::Start { server, life });
        }
    }
}
