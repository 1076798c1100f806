// SPDX-License-Identifier: Apache-2.0
//! Faults strike, last, and ease.

use super::{
    Ev, SECOND, World,
    server::{Death, In},
};
use crate::{
    disk::Armed,
    faults::{Family, Fault},
    net::WINDOW,
    oracle::Check,
    probe::Probe,
};

/// The end of a fault that lasts.
#[derive(Clone, Copy, Debug)]
pub enum Easing {
    /// The disk is fast and has room again.
    Disk { life: u32 },
    /// The server has caught up after a freeze.
    CaughtUp,
    /// A link is fast and open again.
    Link { link: u64 },
    /// A server on a failing disk that did not halt by itself gets its operator.
    Operator,
}

impl World {
    pub(super) fn strike(&mut self, due: u64) -> Check {
        let Some((fault, next)) = self.script.fault(due, self.now) else { return Ok(()) };
        if let Some(due) = next {
            self.at(due, Ev::Strike { due });
        }
        self.note(|_| format!("fault: {fault:?}"));
        let family = fault.family();
        if !matches!(family, Family::Kill | Family::PowerLoss) {
            self.tally.fault(family);
        }
        match fault {
            Fault::Reset { .. }
            | Fault::CutToServer { .. }
            | Fault::CutToClient { .. }
            | Fault::HalfClose { .. }
            | Fault::SlowReader { .. }
            | Fault::Refuse { .. }
            | Fault::SlowNetwork { .. } => self.strike_net(fault),
            Fault::Kill { .. }
            | Fault::PowerLoss { .. }
            | Fault::CrashInRecovery { .. }
            | Fault::CleanStop => self.strike_process(fault),
            Fault::Rude { kind, chance } => {
                self.be_rude(kind, chance);
                Ok(())
            }
            Fault::Rot { file, place, bit } => self.rot(file, place, bit),
            Fault::WallJump { .. }
            | Fault::Freeze { .. }
            | Fault::Suspend
            | Fault::LateTimer { .. }
            | Fault::ClientFreeze { .. } => {
                self.strike_time(fault);
                Ok(())
            }
            Fault::SlowDisk { .. }
            | Fault::FullDisk { .. }
            | Fault::FailDisk { .. }
            | Fault::Locked { .. } => {
                self.strike_disk(fault);
                Ok(())
            }
        }
    }

    fn strike_net(&mut self, fault: Fault) -> Check {
        let now = self.now;
        let (nth, lasts) = match fault {
            Fault::Refuse { lasts } => {
                self.refused_until = now + lasts;
                return Ok(());
            }
            Fault::SlowNetwork { lasts } => {
                self.slow_net_until = now + lasts;
                return Ok(());
            }
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
        match fault {
            Fault::Reset { .. } => return self.reset(name),
            Fault::CutToServer { .. } => link.up.held_until = now + lasts,
            Fault::CutToClient { .. } => link.down.held_until = now + lasts,
            Fault::HalfClose { to_server: true, .. } => link.up.held_until = u64::MAX,
            Fault::HalfClose { .. } => link.down.held_until = u64::MAX,
            _ => {
                link.window = 400;
                self.after(lasts, Ev::Ease(Easing::Link { link: name }));
            }
        }
        Ok(())
    }

    fn strike_time(&mut self, fault: Fault) {
        match fault {
            Fault::WallJump { hours } => self.server.clock.jump(hours * 3_600_000),
            Fault::Freeze { lasts } => {
                self.server.frozen_until = self.now + lasts;
                self.excuse(lasts);
            }
            Fault::Suspend => {
                let day = 25 * 3_600 * 1_000;
                self.server.clock.sleep(day);
                self.excuse(day * 1_000);
                self.input(In::Time);
            }
            Fault::LateTimer { late } => {
                self.server.late = late;
                self.excuse(late);
            }
            Fault::ClientFreeze { client, lasts } => {
                let client = client as usize % self.clients.len();
                self.clients[client].frozen_until = self.now + lasts;
            }
            _ => {}
        }
    }

    /// The server cannot judge while it does not run, and needs a while to catch up.
    fn excuse(&mut self, micros: u64) {
        self.oracles.expiry.excused_micros += micros;
        let until = self.now + micros.min(30 * SECOND) + 20 * SECOND;
        self.server.excused_until = self.server.excused_until.max(until);
        self.at(until, Ev::Ease(Easing::CaughtUp));
    }

    fn strike_process(&mut self, fault: Fault) -> Check {
        let (death, effects) = match fault {
            Fault::Kill { effects } => (Death::Kill, effects),
            Fault::PowerLoss { keep, effects } => (Death::PowerLoss(keep), effects),
            Fault::CrashInRecovery { keep, effects } => {
                // The second one strikes within the first effects of the next life.
                self.die(Death::PowerLoss(keep))?;
                self.server.doomed = Some((effects, Death::PowerLoss(keep)));
                return Ok(());
            }
            _ => {
                self.oracles.expiry.crashed();
                self.input(In::Stop);
                return Ok(());
            }
        };
        match effects {
            Some(effects) if self.server.node.is_some() => {
                self.server.doomed = Some((effects, death));
                Ok(())
            }
            _ => self.die(death),
        }
    }

    fn strike_disk(&mut self, fault: Fault) {
        let (lasts, restart) = match fault {
            Fault::SlowDisk { times, lasts } => {
                self.disk.pace.slowdown = times;
                (lasts, None)
            }
            Fault::FullDisk { room, lasts } => {
                self.disk.capacity = self.disk.fs.used() + room;
                (lasts, None)
            }
            Fault::FailDisk { class, after, for_good, lasts, restart } => {
                self.disk.armed = Some(Armed { class, after, for_good });
                (lasts, restart)
            }
            Fault::Locked { lasts, restart } => {
                self.disk.locked_by_another = true;
                (lasts, restart)
            }
            _ => return,
        };
        let life = self.server.life;
        self.after(lasts, Ev::Ease(Easing::Disk { life }));
        if let Some(effects) = restart {
            self.server.doomed = Some((effects, Death::Kill));
        }
    }

    pub(super) fn ease(&mut self, easing: Easing) -> Check {
        match easing {
            Easing::Disk { life } => {
                // A disk that failed stays as it is until the server noticed, or died of it.
                if !self.disk.has_failed() || life != self.server.life {
                    self.disk.heal();
                } else if self.server.node.is_some() {
                    self.disk.ease();
                    self.after(3 * SECOND, Ev::Ease(Easing::Operator));
                }
            }
            Easing::Operator => self.disk.heal(),
            Easing::CaughtUp if self.now < self.server.excused_until => {}
            Easing::CaughtUp => self.oracles.expiry.excused_micros = 0,
            Easing::Link { link } => {
                if let Some(link) = self.links.get_mut(&link) {
                    link.window = WINDOW;
                }
            }
        }
        Ok(())
    }

    /// Every fault ends; what is broken for good is replaced.
    pub(super) fn heal(&mut self) {
        self.note(|_| "all faults end".to_owned());
        self.healed_at = Some(self.now);
        // Nothing is decided any more; clients go on by a stream of their own.
        self.queue.retain(|_, event| !matches!(event, Ev::Strike { .. } | Ev::ClientWork { .. }));
        for client in 0..self.clients.len() {
            self.after(client as u64 * 1_000, Ev::ClientHealthy { client });
        }
        self.disk.heal();
        self.server.doomed = None;
        (self.refused_until, self.slow_net_until) = (0, 0);
        for link in self.links.values_mut() {
            link.window = WINDOW;
            for stream in [&mut link.up, &mut link.down] {
                if stream.held_until != u64::MAX {
                    stream.held_until = stream.held_until.min(self.now);
                }
            }
        }
        let names: Vec<u64> = self.links.keys().copied().collect();
        for link in names {
            self.at(self.now, Ev::Up { link });
            self.at(self.now, Ev::Down { link });
        }
    }

    /// Counts what the server's file operations show.
    pub(super) fn watch_files(&mut self, what: &menagerie_core::io::FileOp) {
        if let menagerie_core::io::FileOp::Rename { to, .. } = what
            && to.starts_with("snapshot.")
        {
            self.tally.hit(Probe::SnapshotWritten);
        }
        if let menagerie_core::io::FileOp::Unlink { name, .. } = what
            && self.server.serving
            && (name.starts_with("snapshot.") || name.starts_with("log."))
        {
            self.tally.hit(Probe::Purged);
        }
    }
}
