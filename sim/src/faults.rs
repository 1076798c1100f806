// SPDX-License-Identifier: Apache-2.0
//! What can go wrong: families of faults, each named, counted, and off altogether in some worlds.
//! A family that always strikes hides what only its absence shows (swarm testing).

use crate::rng::Rng;

macro_rules! families {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A family of faults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Family {
            $($(#[$doc])* $name,)*
        }

        impl Family {
            /// All families.
            pub const ALL: &'static [Family] = &[$(Family::$name,)*];

            /// Its name for people.
            pub fn name(self) -> &'static str {
                match self {
                    $(Family::$name => $text,)*
                }
            }
        }
    };
}

families! {
    /// A link is reset, in the middle of whatever is on its way.
    Reset = "link reset",
    /// Nothing reaches the server on a link for a while.
    CutToServer = "link cut towards the server",
    /// Nothing reaches the client on a link for a while.
    CutToClient = "link cut towards the client",
    /// One direction of a link ends for good, the other stays.
    HalfClose = "link half closed",
    /// A client takes what it is sent only drop by drop.
    SlowReader = "slow reader",
    /// No link can be opened for a while.
    Refuse = "dials refused",
    /// All links are slow for a while.
    SlowNetwork = "slow network",
    /// The server's wall clock jumps.
    WallJump = "wall clock jump",
    /// The server does not run for a while, then meets all that queued up.
    Freeze = "server freeze",
    /// The machine sleeps for a day: its clocks go on, its process does not.
    Suspend = "suspended machine",
    /// A timer of the server is late.
    LateTimer = "late timer",
    /// A client does not run for a while.
    ClientFreeze = "client freeze",
    /// The disk is slow for a while.
    SlowDisk = "slow disk",
    /// The disk is full for a while.
    FullDisk = "full disk",
    /// A write fails, once or until an operator comes.
    FailWrite = "failing write",
    /// A sync fails, once or until an operator comes.
    FailSync = "failing sync",
    /// A read fails as the server starts.
    FailRead = "failing read",
    /// Creating, renaming or removing a file fails.
    FailNames = "failing rename",
    /// Another process holds the lock as the server starts.
    Locked = "lock held by another",
    /// The process is killed; what the system holds stays.
    Kill = "kill -9",
    /// The power fails: what was not synced is at risk.
    PowerLoss = "power loss",
    /// The power fails again while the server recovers.
    CrashInRecovery = "crash during recovery",
    /// The operator stops the server and starts it again.
    CleanStop = "clean stop",
    /// A stranger sends what no client would.
    Rude = "rude client",
}

/// What one world suffers.
#[derive(Clone, Debug)]
pub struct Climate {
    /// The families that may strike, with their weights.
    pub weights: Vec<(Family, u32)>,
    /// The mean time between two faults, in microseconds; 0 for a quiet world.
    pub every: u64,
}

impl Climate {
    /// Draws which families a world has: each is off in four of ten worlds, one world in twelve is
    /// quiet, and one in eight has a single family.
    pub fn draw(rng: &mut Rng) -> Climate {
        let every = *rng.pick(&[700_000, 1_500_000, 3_000_000, 6_000_000]);
        if rng.one_in(12) {
            return Climate { weights: Vec::new(), every: 0 };
        }
        if rng.one_in(8) {
            return Climate { weights: vec![(*rng.pick(Family::ALL), 1)], every };
        }
        let mut weights = Vec::new();
        for family in Family::ALL {
            if !rng.permille(400) {
                weights.push((*family, 1 + rng.below(4) as u32));
            }
        }
        Climate { weights, every }
    }

    /// The next fault's family.
    pub fn pick(&self, rng: &mut Rng) -> Option<Family> {
        if self.weights.is_empty() {
            return None;
        }
        let weights: Vec<u32> = self.weights.iter().map(|(_, weight)| *weight).collect();
        Some(self.weights[rng.weighted(&weights)].0)
    }

    /// Whether a family may strike.
    pub fn has(&self, family: Family) -> bool {
        self.weights.iter().any(|(one, _)| *one == family)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Subsystem;

    #[test]
    fn each_family_is_on_in_some_worlds_and_off_in_others() {
        let mut rng = Rng::stream(1, Subsystem::Scenario, 0);
        let climates: Vec<Climate> = (0..200).map(|_| Climate::draw(&mut rng)).collect();
        for family in Family::ALL {
            let on = climates.iter().filter(|climate| climate.has(*family)).count();
            assert!((50..180).contains(&on), "{} is on in {on} of 200", family.name());
        }
        assert!(climates.iter().any(|climate| climate.every == 0));
    }
}
