// SPDX-License-Identifier: Apache-2.0
//! The end of a liveness run: a random quorum, the *core*, is healthy from here on, and the others'
//! faults last for ever. Then the core must converge, whatever the others do or leave undone.
//!
//! What can be asked is bounded by the protocol: of a server outside, the core hears nothing that
//! it could not answer for long. One that speaks and does not hear gives up its links itself, as it
//! hears nobody on them; until then it may win elections in vain.

use std::collections::BTreeMap;

use menagerie_core::{id::ServerId, node::Phase, quorum::Quorum, zoo::Sound};

use super::{SECOND, World, links::name, server::Death};
use crate::{
    disk::Keep,
    net::Place,
    oracle::{Check, Property, Violation, progress},
    probe::Probe,
    rng::{Rng, Subsystem},
};

/// A core converges within this time ...
const CONVERGES: u64 = 40 * SECOND;
/// ... and so many ticks more.
const CONVERGES_TICKS: u64 = 40;

/// What lasts at a server outside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its machine is gone.
    Dead,
    /// Its process does not run; its system still takes links and bytes.
    Frozen,
    /// It and the core are cut from each other.
    CutOff,
    /// The core does not hear it.
    Mute,
    /// It does not hear the core.
    Deaf,
}

impl World {
    /// Lets this world end as a liveness run, whatever was drawn; a server alone is all there is.
    pub fn let_faults_last(&mut self) {
        if !self.scenario.lasting && self.servers.len() > 1 {
            self.scenario.lasting = true;
            self.nature.push(crate::scenario::Knob::Lasting(true));
        }
    }

    /// How long the core may take, in microseconds.
    pub(super) fn converges_for(&self) -> u64 {
        CONVERGES + CONVERGES_TICKS * self.scenario.tick_ms() * 1_000
    }

    /// Everything has healed; draws a core, and what lasts outside: nothing, while a server whose
    /// disk was lost needs the others, which may be more than a core has.
    pub(super) fn faults_last(&mut self) -> Check {
        if self.recovers_from_loss().is_some() {
            return Ok(());
        }
        let mut rng = Rng::stream(self.seed, Subsystem::Health, LASTING);
        self.outside = draw(self.servers.len(), &self.open_quorums(), &mut rng);
        for (server, fate) in self.outside.clone() {
            self.note(|_| format!("{} is {fate:?} for ever", name(server)));
            let (inward, outward) = match fate {
                Fate::Dead => {
                    self.die(server, Death::PowerLoss(Keep::All))?;
                    // The start that is under way finds another life.
                    self.servers[server].life += 1;
                    continue;
                }
                Fate::Frozen => {
                    self.servers[server].frozen_until = u64::MAX;
                    continue;
                }
                Fate::CutOff => (true, true),
                Fate::Mute => (false, true),
                Fate::Deaf => (true, false),
            };
            for other in self.core() {
                self.cut(Place::Server(server), Place::Server(other), inward, outward, u64::MAX);
            }
        }
        if !self.outside.is_empty() {
            self.tally.hit(Probe::FaultsLast);
        }
        Ok(())
    }

    /// The quorums that it may take to go on.
    fn open_quorums(&self) -> Vec<Quorum> {
        let ghost = &self.oracles.ghost;
        // A list may name a server that no world has: it knows of none.
        let takes = |id: ServerId| ghost.replicas.get(id.0 as usize - 1).map_or(-1, |r| r.members);
        ghost.configurations.open(takes).cloned().collect()
    }

    /// The servers of the core; all, while none is outside.
    fn core(&self) -> Vec<usize> {
        (0..self.servers.len()).filter(|server| !self.outside.contains_key(server)).collect()
    }

    /// The core has had its time: one of it leads, the others serve under that one, and a write of
    /// each client was answered of late. Nothing is asked if a leader that had not missed those
    /// outside yet has proposed members that need them.
    pub(super) fn judge_core(&self, healed: u64) -> Check {
        let core = self.core();
        let has = |id: ServerId| core.contains(&(id.0 as usize - 1));
        if !self.open_quorums().iter().all(|quorum| quorum.holds(Sound, has)) {
            return Ok(());
        }
        let replicas = &self.oracles.ghost.replicas;
        progress::healed(core.iter().map(|server| &replicas[*server]), self.now)?;
        let lists = &self.oracles.ghost.configurations;
        // Who knows only servers outside can hear of nobody else.
        let knows = |server: usize| lists.at(replicas[server].goes_by).voters().any(has);
        let members = core.iter().filter(|server| lists.names(**server) && knows(**server));
        let phases: Vec<_> = members.map(|server| (server + 1, replicas[*server].phase)).collect();
        let leaders: Vec<i64> = phases
            .iter()
            .filter(|(_, phase)| matches!(phase, Some(Phase::Leading { established: true, .. })))
            .map(|(number, _)| *number as i64)
            .collect();
        let under = |phase: &Option<Phase>| match phase {
            Some(Phase::Following { leader, serving } | Phase::Observing { leader, serving }) => {
                *serving && leaders == [leader.0]
            }
            Some(Phase::Leading { .. }) => true,
            _ => false,
        };
        if leaders.len() != 1 || !phases.iter().all(|(_, phase)| under(phase)) {
            let outside = &self.outside;
            let what = format!("the core does not converge: {phases:?}, outside {outside:?}");
            return Err(Violation::new(Property::Progress, what));
        }
        let wrote_by = healed + self.converges_for() / 3;
        for (number, client) in self.clients.iter().enumerate() {
            if client.wrote_at < wrote_by {
                let standing = format!("{}; outside {:?}", client.standing(), self.outside);
                return Err(progress::not_served(number, self.now - healed, &standing));
            }
        }
        Ok(())
    }
}

/// The stream of chance: those of clients have small ordinals.
const LASTING: u64 = 1 << 32;

/// Draws a core, a quorum that would be none with one voter less of those drawn last, and a fate
/// for each server outside. Observers are in it or not.
fn draw(servers: usize, quorums: &[Quorum], rng: &mut Rng) -> BTreeMap<usize, Fate> {
    let number = |server: usize| ServerId(server as i64 + 1);
    let mut order: Vec<usize> = (0..servers).collect();
    for at in (1..servers).rev() {
        order.swap(at, rng.index(at + 1));
    }
    let (mut core, mut outside) = (Vec::new(), BTreeMap::new());
    for server in order {
        let voter = quorums.iter().any(|quorum| quorum.is_voter(number(server)));
        let whole = quorums.iter().all(|quorum| quorum.holds(Sound, |id| core.contains(&id)));
        let fate = *rng.pick(&[Fate::Dead, Fate::Frozen, Fate::CutOff, Fate::Mute, Fate::Deaf]);
        if if voter { whole } else { rng.one_in(2) } {
            outside.insert(server, fate);
        } else {
            core.push(number(server));
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_a_quorum_and_no_more_of_its_voters_than_it_takes() {
        for seed in 0..200 {
            let servers = 1 + seed as usize % 7;
            let voters = servers.min(5);
            let quorum = Quorum::majority((1..=voters as i64).map(ServerId));
            let mut rng = Rng::stream(seed, Subsystem::Health, LASTING);
            let outside = draw(servers, &[quorum], &mut rng);
            let inside = (0..voters).filter(|server| !outside.contains_key(server)).count();
            assert_eq!(inside, voters / 2 + 1);
        }
    }

    #[test]
    fn a_core_converges_whatever_lasts_outside_of_it() {
        let mut lasted = 0;
        for seed in [1, 2, 3] {
            let mut world = World::new(seed, (1, 2), Some(5));
            world.let_faults_last();
            world.run().expect("no promise is broken");
            lasted += usize::from(!world.outside.is_empty());
            let mut again = World::new(seed, (3, 4), Some(5));
            again.let_faults_last();
            again.run().expect("no promise is broken");
            assert_eq!(again.rolling, world.rolling);
        }
        assert!(lasted > 0, "a lost disk spares a world its lasting faults, but not each");
    }
}
