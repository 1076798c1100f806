// SPDX-License-Identifier: Apache-2.0
//! Other futures of one past: everything that is left to chance is drawn anew from here on.

use super::{
    World,
    script::{Changes, Script},
};
use crate::{
    faults::Climate,
    rng::{Rng, Subsystem},
};

impl World {
    /// From here on, chance is that of the future of a number: faults, clients, links, disks,
    /// turns. What is on its way stays on its way.
    pub fn turn_to_future(&mut self, number: u64) {
        let climate = Climate::draw(&mut Rng::stream(self.seed, Subsystem::Scenario, 1));
        self.seed = Rng::stream(self.seed, Subsystem::Future, number).bits();
        let seed = self.seed;
        let stream = |subsystem, ordinal| Rng::stream(seed, subsystem, ordinal);
        let changes = Changes {
            every: self.scenario.reconfigures,
            rng: Box::new(stream(Subsystem::Operator, 0)),
        };
        self.script = Script::drawn(climate, stream(Subsystem::Faults, 0), changes);
        for (name, link) in &mut self.links {
            link.reseed(stream(Subsystem::Link, *name));
        }
        for machine in &mut self.servers {
            machine.reseed(seed);
        }
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.reseed(seed, number as u64);
        }
    }
}
