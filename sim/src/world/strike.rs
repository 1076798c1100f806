// SPDX-License-Identifier: Apache-2.0
//! Faults strike, last, and ease.

use menagerie_core::io::FileOp;

use super::{
    Ev, SECOND, World,
    input::In,
    links::name,
    server::{Ambush, Death},
    tale::About,
};
use crate::{
    disk::{Armed, Keep},
    faults::{Family, Fault},
    net::{Place, Side, WINDOW},
    oracle::Check,
    probe::Probe,
};

/// The end of a fault that lasts.
#[derive(Clone, Copy, Debug)]
pub enum Easing {
    /// A disk is fast and has room again.
    Disk { server: usize, life: u32 },
    /// A server has caught up after a freeze.
    CaughtUp { server: usize },
    /// A link is fast and open again.
    Link { link: u64 },
    /// A disk is lost, now that another server has fallen behind.
    Lose { server: usize, declared: bool, leader: Option<Keep>, until: u64 },
    /// A server on a failing disk that did not halt by itself gets its operator.
    Operator { server: usize },
}

impl World {
    pub(super) fn strike(&mut self, due: u64) -> Check {
        let leader = self.oracles.leader();
        let count = self.servers.len();
        let Some((server, fault, next)) = self.script.fault(due, self.now, count, leader) else {
            return Ok(());
        };
        if let Some(due) = next {
            self.at(due, Ev::Strike { due });
        }
        let server = server % count;
        self.note(|_| format!("fault at {}: {fault:?}", name(server)));
        self.recall(About::Fate, |world| world.sentence(server, &fault));
        let family = fault.family();
        if !matches!(family, Family::Kill | Family::PowerLoss) {
            self.tally.fault(family);
        }
        self.befall(server, fault)
    }

    pub(super) fn befall(&mut self, server: usize, fault: Fault) -> Check {
        match fault {
            Fault::Reset { .. }
            | Fault::CutToServer { .. }
            | Fault::CutToClient { .. }
            | Fault::HalfClose { .. }
            | Fault::SlowReader { .. } => self.strike_link(fault),
            Fault::Kill { .. }
            | Fault::PowerLoss { .. }
            | Fault::CrashInRecovery { .. }
            | Fault::Blackout { .. }
            | Fault::CleanStop => self.strike_process(server, fault),
            Fault::Rude { kind, chance } => {
                self.be_rude(server, kind, chance);
                Ok(())
            }
            Fault::Rot { file, place, bit } => self.rot(server, file, place, bit),
            Fault::Wipe { declared, leader, lag } => self.wipe(server, declared, leader, lag),
            Fault::Stranger { kind, chance } => {
                self.meet_stranger(server, kind, chance);
                Ok(())
            }
            Fault::CrashInSync { keep, operations, whom } => {
                self.servers[server].ambush = Some(Ambush { operations, keep, whom });
                Ok(())
            }
            Fault::Reconfigure { reform, follows, chance } => {
                self.reconfigure(reform, follows, chance)
            }
            Fault::Refuse { .. }
            | Fault::SlowNetwork { .. }
            | Fault::CutPair { .. }
            | Fault::Isolate { .. }
            | Fault::CutFromClient { .. } => {
                self.strike_net(server, fault);
                Ok(())
            }
            Fault::WallJump { .. }
            | Fault::Freeze { .. }
            | Fault::Suspend
            | Fault::LateTimer { .. }
            | Fault::ClientFreeze { .. } => {
                self.strike_time(server, fault);
                Ok(())
            }
            Fault::SlowDisk { .. }
            | Fault::FullDisk { .. }
            | Fault::FailDisk { .. }
            | Fault::Locked { .. } => {
                self.strike_disk(server, fault);
                Ok(())
            }
        }
    }

    fn strike_link(&mut self, fault: Fault) -> Check {
        let now = self.now;
        let (nth, lasts) = match fault {
            Fault::CutToServer { link, lasts }
            | Fault::CutToClient { link, lasts }
            | Fault::SlowReader { link, lasts } => (link, lasts),
            Fault::Reset { link } | Fault::HalfClose { link, .. } => (link, 0),
            _ => return Ok(()),
        };
        if self.links.is_empty() {
            return Ok(());
        }
        let at = nth as usize % self.links.len();
        let name = *self.links.keys().nth(at).expect("it was counted");
        let link = self.links.get_mut(&name).expect("it is there");
        let mut hold = |from, until| link.from(from).stream.held_until = until;
        match fault {
            Fault::Reset { .. } => return self.reset(name),
            Fault::CutToServer { .. } => hold(Side::Dialler, now + lasts),
            Fault::CutToClient { .. } => hold(Side::Acceptor, now + lasts),
            Fault::HalfClose { to_server: true, .. } => hold(Side::Dialler, u64::MAX),
            Fault::HalfClose { .. } => hold(Side::Acceptor, u64::MAX),
            _ => {
                link.from(Side::Acceptor).window = 400;
                self.after(lasts, Ev::Ease(Easing::Link { link: name }));
            }
        }
        Ok(())
    }

    fn strike_net(&mut self, server: usize, fault: Fault) {
        let now = self.now;
        let (here, count) = (Place::Server(server), self.servers.len());
        match fault {
            Fault::Refuse { lasts } => self.servers[server].refuses_until = now + lasts,
            Fault::SlowNetwork { lasts } => self.slow_net_until = now + lasts,
            Fault::CutPair { other, inward, outward, lasts } => {
                let there = self.across(server, other);
                self.cut(here, there, inward, outward, now + lasts);
            }
            Fault::Isolate { inward, outward, clients, lasts } => {
                for other in (0..count).filter(|other| *other != server) {
                    self.cut(here, Place::Server(other), inward, outward, now + lasts);
                }
                for client in (0..self.clients.len()).filter(|_| clients) {
                    self.cut(here, Place::Client(client), inward, outward, now + lasts);
                }
            }
            Fault::CutFromClient { client, inward, outward, lasts } => {
                let client = Place::Client(client as usize % self.clients.len());
                self.cut(here, client, inward, outward, now + lasts);
            }
            _ => {}
        }
    }

    /// The server that a fault between two means.
    pub(super) fn across(&self, server: usize, other: u32) -> Place {
        Place::Server((server + 1 + other as usize) % self.servers.len())
    }

    /// Nothing gets to a machine from another one, or from it, or both.
    pub(super) fn cut(
        &mut self,
        here: Place,
        there: Place,
        inward: bool,
        outward: bool,
        until: u64,
    ) {
        if here == there {
            return;
        }
        if inward {
            self.cuts.insert((there, here), until);
        }
        if outward {
            self.cuts.insert((here, there), until);
        }
    }

    fn strike_time(&mut self, server: usize, fault: Fault) {
        let machine = &mut self.servers[server];
        match fault {
            Fault::WallJump { hours } => machine.clock.jump(hours * 3_600_000),
            Fault::Freeze { lasts } => {
                machine.frozen_until = self.now + lasts;
                self.excuse(server, lasts);
            }
            Fault::Suspend => {
                let day = 25 * 3_600 * 1_000;
                machine.clock.sleep(day);
                self.excuse(server, day * 1_000);
                self.input(server, In::Time);
            }
            Fault::LateTimer { late } => {
                machine.late = late;
                self.excuse(server, late);
            }
            Fault::ClientFreeze { client, lasts } => {
                let client = client as usize % self.clients.len();
                self.clients[client].frozen_until = self.now + lasts;
            }
            _ => {}
        }
    }

    /// A server cannot judge while it does not run, and needs a while to catch up.
    fn excuse(&mut self, server: usize, micros: u64) {
        self.oracles.expiry(server).excused_micros += micros;
        let until = self.now + micros.min(30 * SECOND) + 20 * SECOND;
        let machine = &mut self.servers[server];
        machine.excused_until = machine.excused_until.max(until);
        self.at(until, Ev::Ease(Easing::CaughtUp { server }));
    }

    fn strike_process(&mut self, server: usize, fault: Fault) -> Check {
        let (death, effects) = match fault {
            Fault::Kill { effects } => (Death::Kill, effects),
            Fault::PowerLoss { keep, effects } => (Death::PowerLoss(keep), effects),
            Fault::CrashInRecovery { keep, effects } => {
                // The second one strikes within the first effects of the next life.
                self.die(server, Death::PowerLoss(keep))?;
                self.servers[server].doomed = Some((effects, Death::PowerLoss(keep)));
                return Ok(());
            }
            Fault::Blackout { keep } => return self.black_out(keep),
            _ => {
                self.oracles.expiry(server).crashed();
                self.input(server, In::Stop);
                return Ok(());
            }
        };
        match effects {
            Some(effects) if self.servers[server].node.is_some() => {
                self.servers[server].doomed = Some((effects, death));
                Ok(())
            }
            _ => self.die(server, death),
        }
    }

    /// The power fails everywhere at once.
    pub(super) fn black_out(&mut self, keep: Option<Keep>) -> Check {
        let death = keep.map_or(Death::Kill, Death::PowerLoss);
        (0..self.servers.len()).try_for_each(|server| self.die(server, death))
    }

    fn strike_disk(&mut self, server: usize, fault: Fault) {
        let machine = &mut self.servers[server];
        let disk = &mut machine.disk;
        let (lasts, restart) = match fault {
            Fault::SlowDisk { times, lasts } => {
                disk.pace.slowdown = times;
                (lasts, None)
            }
            Fault::FullDisk { room, lasts } => {
                disk.capacity = disk.fs.used() + room;
                (lasts, None)
            }
            Fault::FailDisk { class, after, for_good, lasts, restart } => {
                disk.armed = Some(Armed { class, after, for_good });
                (lasts, restart)
            }
            Fault::Locked { lasts, restart } => {
                disk.locked_by_another = true;
                (lasts, restart)
            }
            _ => return,
        };
        if let Some(effects) = restart {
            machine.doomed = Some((effects, Death::Kill));
        }
        let life = machine.life;
        self.after(lasts, Ev::Ease(Easing::Disk { server, life }));
    }

    pub(super) fn ease(&mut self, easing: Easing) -> Check {
        match easing {
            Easing::Disk { server, life } => {
                let machine = &mut self.servers[server];
                // A disk that failed stays as it is until the server noticed, or died of it.
                if !machine.disk.has_failed() || life != machine.life {
                    machine.disk.heal();
                } else if machine.node.is_some() {
                    machine.disk.ease();
                    self.after(3 * SECOND, Ev::Ease(Easing::Operator { server }));
                }
            }
            Easing::Lose { server, declared, leader, until } if self.healed_at.is_none() => {
                return self.lose_disk(server, declared, leader, until);
            }
            Easing::Lose { .. } => {}
            Easing::Operator { server } => self.servers[server].disk.heal(),
            Easing::CaughtUp { server } if self.now < self.servers[server].excused_until => {}
            Easing::CaughtUp { server } => self.oracles.expiry(server).excused_micros = 0,
            Easing::Link { link } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.from(Side::Acceptor).window = WINDOW;
                }
            }
        }
        Ok(())
    }

    /// Every fault ends; what is broken for good is replaced.
    pub(super) fn heal(&mut self) -> Check {
        self.note(|_| "all faults end".to_owned());
        self.recall(About::Fate, |_| "all faults end".to_owned());
        self.healed_at = Some(self.now);
        // Nothing is decided any more; clients go on by a stream of their own.
        self.agenda.retain(|event| {
            !matches!(event, Ev::Strike { .. } | Ev::Reform { .. } | Ev::ClientWork { .. })
        });
        for client in 0..self.clients.len() {
            self.after(client as u64 * 1_000, Ev::ClientHealthy { client });
        }
        for machine in &mut self.servers {
            machine.disk.heal();
            (machine.doomed, machine.refuses_until) = (None, 0);
            (machine.ambush, machine.ambushed) = (None, None);
        }
        self.start_all();
        self.cuts.clear();
        if !self.scenario.lasting {
            // Elections and what froze come to rest first.
            self.oracles.signs.calm(self.now + self.heals_for() / 2);
            self.record_calm();
        }
        self.slow_net_until = 0;
        for link in self.links.values_mut() {
            for way in link.ways() {
                way.window = WINDOW;
                // A way that is silent for ever stays so, and nobody is told.
                if way.stream.held_until != u64::MAX {
                    way.stream.held_until = way.stream.held_until.min(self.now);
                }
            }
        }
        let names: Vec<u64> = self.links.keys().copied().collect();
        for link in names {
            for from in Side::BOTH {
                self.at(self.now, Ev::Arrive { link, from });
            }
        }
        self.all_return();
        if self.scenario.lasting { self.faults_last() } else { Ok(()) }
    }

    /// Counts what a server's file operations show.
    pub(super) fn watch_files(&mut self, server: usize, what: &FileOp) {
        if let FileOp::Rename { to, .. } = what
            && to.starts_with("snapshot.")
        {
            self.tally.hit(Probe::SnapshotWritten);
        }
        if let FileOp::Unlink { name, .. } = what
            && self.servers[server].serving
            && (name.starts_with("snapshot.") || name.starts_with("log."))
        {
            self.tally.hit(Probe::Purged);
        }
    }
}
