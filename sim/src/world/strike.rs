// SPDX-License-Identifier: Apache-2.0
//! Faults strike, last, and ease.

use super::{
    Ev, SECOND, World,
    server::{Death, In},
};
use crate::{
    disk::{Armed, Class, Keep},
    faults::Family,
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
    pub(super) fn strike(&mut self) -> Check {
        if self.healed_at.is_some() {
            return Ok(());
        }
        let wait = 1 + self.faults.wait(self.scenario.climate.every);
        self.after(wait, Ev::Strike);
        let Some(family) = self.scenario.climate.pick(&mut self.faults) else { return Ok(()) };
        self.note(|_| format!("fault: {}", family.name()));
        if !matches!(family, Family::Kill | Family::PowerLoss) {
            self.tally.fault(family);
        }
        match family {
            Family::Reset
            | Family::CutToServer
            | Family::CutToClient
            | Family::HalfClose
            | Family::SlowReader => self.strike_link(family),
            Family::Refuse => {
                self.refused_until = self.now + self.faults.wait(2 * SECOND);
                Ok(())
            }
            Family::SlowNetwork => {
                self.slow_net_until = self.now + self.faults.wait(2 * SECOND);
                Ok(())
            }
            Family::WallJump
            | Family::Freeze
            | Family::Suspend
            | Family::LateTimer
            | Family::ClientFreeze => {
                self.strike_time(family);
                Ok(())
            }
            Family::Kill | Family::PowerLoss | Family::CrashInRecovery | Family::CleanStop => {
                self.strike_process(family)
            }
            Family::Rude => {
                self.be_rude();
                Ok(())
            }
            _ => {
                self.strike_disk(family);
                Ok(())
            }
        }
    }

    fn strike_link(&mut self, family: Family) -> Check {
        if self.links.is_empty() {
            return Ok(());
        }
        let at = self.faults.index(self.links.len());
        let name = *self.links.keys().nth(at).expect("it was counted");
        let until = self.now + self.faults.wait(3 * SECOND);
        let link = self.links.get_mut(&name).expect("it is there");
        match family {
            Family::Reset => return self.reset(name),
            Family::CutToServer => link.up.held_until = until,
            Family::CutToClient => link.down.held_until = until,
            Family::HalfClose if self.faults.one_in(2) => link.up.held_until = u64::MAX,
            Family::HalfClose => link.down.held_until = u64::MAX,
            _ => {
                link.window = 400;
                self.at(until, Ev::Ease(Easing::Link { link: name }));
            }
        }
        Ok(())
    }

    fn strike_time(&mut self, family: Family) {
        match family {
            Family::WallJump => {
                let hours = self.faults.between(1, 48) as i64;
                let ms = hours * 3_600_000 - 24 * 3_600_000;
                self.server.clock.jump(ms);
            }
            Family::Freeze => {
                let long = self.faults.wait(3 * SECOND);
                self.server.frozen_until = self.now + long;
                self.excuse(long);
            }
            Family::Suspend => {
                let day = 25 * 3_600 * 1_000;
                self.server.clock.sleep(day);
                self.excuse(day * 1_000);
                self.input(In::Time);
            }
            Family::LateTimer => {
                self.server.late = self.faults.wait(300_000);
                self.excuse(self.server.late);
            }
            _ => self.freeze_client(),
        }
    }

    /// The server cannot judge while it does not run, and needs a while to catch up.
    fn excuse(&mut self, micros: u64) {
        self.oracles.expiry.excused_micros += micros;
        let until = self.now + micros.min(30 * SECOND) + 20 * SECOND;
        self.server.excused_until = self.server.excused_until.max(until);
        self.at(until, Ev::Ease(Easing::CaughtUp));
    }

    fn strike_process(&mut self, family: Family) -> Check {
        let keep = *self.faults.pick(&[Keep::All, Keep::Nothing, Keep::Prefix, Keep::Any]);
        let death = match family {
            Family::Kill => Death::Kill,
            Family::CleanStop => {
                self.oracles.expiry.crashed();
                self.input(In::Stop);
                return Ok(());
            }
            _ => Death::PowerLoss(keep),
        };
        if family == Family::CrashInRecovery {
            // The second one strikes within the first effects of the next life.
            self.die(death)?;
            self.server.doomed = Some((self.faults.below(40) as u32, death));
            return Ok(());
        }
        if self.server.node.is_none() || self.faults.one_in(3) {
            return self.die(death);
        }
        self.server.doomed = Some((self.faults.below(60) as u32, death));
        Ok(())
    }

    fn strike_disk(&mut self, family: Family) {
        let lasts = self.faults.wait(2 * SECOND);
        let (after, for_good) = (self.faults.below(6) as u32, self.faults.one_in(3));
        let arm = |class| Some(Armed { class, after, for_good });
        match family {
            Family::SlowDisk => self.disk.pace.slowdown = *self.faults.pick(&[5, 40, 200]),
            Family::FullDisk => self.disk.capacity = self.disk.fs.used() + self.faults.below(4_000),
            Family::FailWrite => self.disk.armed = arm(Class::Write),
            Family::FailSync => self.disk.armed = arm(Class::Sync),
            Family::FailNames => self.disk.armed = arm(Class::Names),
            Family::FailRead => self.disk.armed = arm(Class::Read),
            _ => self.disk.locked_by_another = true,
        }
        let life = self.server.life;
        self.after(lasts, Ev::Ease(Easing::Disk { life }));
        if matches!(family, Family::FailRead | Family::Locked) && self.faults.one_in(2) {
            // These show only as a server starts.
            self.server.doomed = Some((self.faults.below(20) as u32, Death::Kill));
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
                    link.window = 64 << 10;
                }
            }
        }
        Ok(())
    }

    /// Every fault ends; what is broken for good is replaced.
    pub(super) fn heal(&mut self) {
        self.disk.heal();
        self.server.doomed = None;
        (self.refused_until, self.slow_net_until) = (0, 0);
        for link in self.links.values_mut() {
            link.window = 64 << 10;
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
