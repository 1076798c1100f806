// SPDX-License-Identifier: Apache-2.0
//! A lost disk: the machine comes back with an empty one. Only where the protocol promises that
//! nothing is lost with it (`Oracles::may_be_wiped`), and never a second before the first serves
//! again.

use menagerie_core::{io::Dir, node::Phase};

use super::{Ev, World, links::name, server::Death, strike::Easing};
use crate::{
    disk::{Fs, Keep},
    net::Place,
    oracle::Check,
    probe::Probe,
};

/// The file by which an operator says that a history begins here.
const DECLARATION: &str = "initialize";

/// How long the moment at which a disk may be lost is waited for, in microseconds, and how long
/// from one look to the next.
const AWAITED: u64 = 50_000;
const AGAIN: u64 = 1_000;

impl World {
    /// A disk is lost; some while before that, another server that votes is cut off, so that it
    /// lacks what is committed meanwhile.
    pub(super) fn wipe(
        &mut self,
        server: usize,
        declared: bool,
        leader: Option<Keep>,
        lag: u64,
    ) -> Check {
        let (leads, count) = (self.oracles.leader(), self.servers.len());
        let behind = (1..count).map(|step| (server + step) % count).find(|one| Some(*one) != leads);
        let Some(behind) = behind.filter(|_| lag > 0) else {
            return self.lose_disk(server, declared, leader, self.now + AWAITED);
        };
        for other in (0..count).filter(|other| *other != behind) {
            let (here, there) = (Place::Server(behind), Place::Server(other));
            self.cut(here, there, true, true, self.now + lag);
        }
        let easing = Easing::Lose { server, declared, leader, until: self.now + lag };
        self.after(lag / 2, Ev::Ease(easing));
        Ok(())
    }

    /// A disk is lost, as soon as that may be, but no later than `until`.
    pub(super) fn lose_disk(
        &mut self,
        server: usize,
        declared: bool,
        leader: Option<Keep>,
        until: u64,
    ) -> Check {
        if let Some(before) = self.recovers_from_loss() {
            self.note(|_| format!("{} has not recovered from its loss", name(before)));
            return Ok(());
        }
        let machine = &self.servers[server];
        if machine.rotten.is_some() || machine.is_away() {
            return Ok(());
        }
        if !self.oracles.may_be_wiped(server, declared) {
            if self.now < until {
                self.after(AGAIN, Ev::Ease(Easing::Lose { server, declared, leader, until }));
            }
            return Ok(());
        }
        let leads = self.oracles.leader();
        self.die(server, Death::Kill)?;
        self.note(|_| format!("the disk of {} is lost", name(server)));
        self.tally.hit(Probe::Wiped);
        self.wiped = Some(server);
        let disk = &mut self.servers[server].disk;
        let one_folder = disk.fs.one_folder;
        disk.fs = Fs::default();
        disk.fs.one_folder = one_folder;
        if declared {
            disk.fs.make(Dir::Root);
            disk.fs.create(Dir::Root, DECLARATION);
            disk.fs.sync_dir(Dir::Root);
        }
        self.oracles.wiped(server);
        match (leader, leads) {
            (Some(keep), Some(leads)) if leads != server => self.die(leads, Death::PowerLoss(keep)),
            _ => Ok(()),
        }
    }

    /// The server whose disk was lost, as long as it does not serve again.
    pub(super) fn recovers_from_loss(&mut self) -> Option<usize> {
        self.wiped.filter(|server| !self.serves_again(*server))
    }

    /// Whether a server holds everything once more.
    fn serves_again(&mut self, server: usize) -> bool {
        let replica = &self.oracles.ghost.replicas[server];
        let serves = matches!(
            replica.phase,
            Some(
                Phase::Following { serving: true, .. }
                    | Phase::Observing { serving: true, .. }
                    | Phase::Leading { established: true, .. }
            )
        );
        if serves {
            self.tally.hit(Probe::WipedServes);
        }
        serves
    }
}
