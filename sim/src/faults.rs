// SPDX-License-Identifier: Apache-2.0
//! What can go wrong: families of faults, each named, counted, and off altogether in some worlds.
//! A family that always strikes hides what only its absence shows (swarm testing).

use serde::{Deserialize, Serialize};

use crate::{
    disk::{Class, Keep},
    rng::Rng,
};

/// A second of world time.
const SECOND: u64 = 1_000_000;

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
    /// A bit of a file rots while the server is down.
    Rot = "bit rot",
    /// Nothing gets from one server to another for a while, or back, or both.
    CutPair = "two servers cut from each other",
    /// The same between one server and all others, and perhaps the clients, too.
    Isolate = "server cut from all others",
    /// The same between a client and a server.
    CutFromClient = "client cut from a server",
    /// All servers are killed, or lose their power, at once.
    Blackout = "all servers down at once",
    /// A disk is lost, and an empty one takes its place.
    Wipe = "wiped disk",
    /// A stranger sends malformed bytes to a port that is for servers.
    Stranger = "malformed bytes for servers",
    /// The power fails between two operations on the disk of a server that is brought up to date.
    CrashInSync = "power loss within a synchronisation",
    /// An operator changes who belongs to the ensemble, or tries to.
    Reconfiguration = "reconfiguration",
}

impl Family {
    /// Those that climates are drawn from. The members change by a schedule of their own, in
    /// ensembles that are told so by their configuration.
    pub fn of_climates() -> &'static [Family] {
        Family::ALL.split_last().expect("there are families").1
    }
}

/// Who is struck within a synchronisation. Saved in traces: variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Struck {
    /// The learner's power fails.
    Learner,
    /// Everybody's power fails.
    All,
    /// The leader's power fails.
    Leader,
    /// The link is reset at once, and what is on its way gets lost.
    Link,
}

/// What an operator wants of the members; which of them are meant, chance and the time decide.
/// Saved in traces: variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reform {
    /// A server that is no member becomes a voter, after it was started if need be.
    Join,
    /// The same, as an observer.
    Observe,
    /// A member leaves.
    Leave,
    /// Whoever leads leaves.
    LeaderLeaves,
    /// One joins and another leaves, perhaps the leader.
    Swap,
    /// A voter becomes an observer, or the other way round.
    ChangeRole,
    /// All voters leave but one.
    MostLeave,
    /// A list takes the place of everything: members and others, in any role.
    List,
    /// The same, with groups and weights.
    Groups,
    /// Nothing changes but the version.
    Nothing,
    /// Nobody would vote any more.
    Nobody,
    /// What cannot be read, or means nobody.
    Nonsense,
    /// A server that is no member, or is one no more, is started or stopped.
    Guest,
}

/// Which configuration a change of the members must follow. Saved in traces: variants are only
/// appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Follows {
    /// Any.
    Any,
    /// The newest.
    Newest,
    /// One that was in force before, or never was.
    Another,
}

/// One fault, whole: what strikes and how hard. Saved in traces, so variants are only appended and
/// their fields stay. Times are in microseconds; `link` and `client` count those that are there,
/// and begin again behind the last; `effects` is how many effects of the server are still executed,
/// `operations` how many end on its disk; `inward` is what cannot get to the server, `outward` what
/// cannot get away; `declared` is whether the operator says that a history begins here, `lag` how
/// long another server hears of nothing before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Fault {
    Reset { link: u32 },
    CutToServer { link: u32, lasts: u64 },
    CutToClient { link: u32, lasts: u64 },
    HalfClose { link: u32, to_server: bool },
    SlowReader { link: u32, lasts: u64 },
    Refuse { lasts: u64 },
    SlowNetwork { lasts: u64 },
    WallJump { hours: i64 },
    Freeze { lasts: u64 },
    Suspend,
    LateTimer { late: u64 },
    ClientFreeze { client: u32, lasts: u64 },
    SlowDisk { times: u64, lasts: u64 },
    FullDisk { room: u64, lasts: u64 },
    FailDisk { class: Class, after: u32, for_good: bool, lasts: u64, restart: Option<u32> },
    Locked { lasts: u64, restart: Option<u32> },
    Kill { effects: Option<u32> },
    PowerLoss { keep: Keep, effects: Option<u32> },
    CrashInRecovery { keep: Keep, effects: u32 },
    CleanStop,
    Rude { kind: u8, chance: u64 },
    Rot { file: u32, place: u64, bit: u8 },
    CutPair { other: u32, inward: bool, outward: bool, lasts: u64 },
    Isolate { inward: bool, outward: bool, clients: bool, lasts: u64 },
    CutFromClient { client: u32, inward: bool, outward: bool, lasts: u64 },
    Blackout { keep: Option<Keep> },
    Wipe { declared: bool, leader: Option<Keep>, lag: u64 },
    Stranger { kind: u8, chance: u64 },
    CrashInSync { keep: Keep, operations: u32, whom: Struck },
    Reconfigure { reform: Reform, follows: Follows, chance: u64 },
}

impl Fault {
    /// A fault of a family.
    pub fn draw(family: Family, rng: &mut Rng) -> Fault {
        let any = rng.bits() as u32;
        let lasts = rng.wait(2 * SECOND);
        let keep = *rng.pick(&[Keep::All, Keep::Nothing, Keep::Prefix, Keep::Any]);
        let effects = if rng.one_in(3) { None } else { Some(rng.below(60) as u32) };
        match family {
            Family::Reset => Fault::Reset { link: any },
            Family::CutToServer => Fault::CutToServer { link: any, lasts },
            Family::CutToClient => Fault::CutToClient { link: any, lasts },
            Family::HalfClose => Fault::HalfClose { link: any, to_server: rng.one_in(2) },
            Family::SlowReader => Fault::SlowReader { link: any, lasts },
            Family::Refuse => Fault::Refuse { lasts },
            Family::SlowNetwork => Fault::SlowNetwork { lasts },
            Family::WallJump => Fault::WallJump { hours: rng.between(1, 48) as i64 - 24 },
            Family::Freeze => Fault::Freeze { lasts: rng.wait(3 * SECOND) },
            Family::Suspend => Fault::Suspend,
            Family::LateTimer => Fault::LateTimer { late: rng.wait(300_000) },
            Family::ClientFreeze => {
                Fault::ClientFreeze { client: any, lasts: rng.wait(4 * SECOND) }
            }
            Family::SlowDisk => Fault::SlowDisk { times: *rng.pick(&[5, 40, 200]), lasts },
            Family::FullDisk => Fault::FullDisk { room: rng.below(4_000), lasts },
            Family::FailWrite => Fault::fail(Class::Write, lasts, rng),
            Family::FailSync => Fault::fail(Class::Sync, lasts, rng),
            Family::FailRead => Fault::fail(Class::Read, lasts, rng),
            Family::FailNames => Fault::fail(Class::Names, lasts, rng),
            Family::Locked => Fault::Locked { lasts, restart: Fault::restart(rng) },
            Family::Kill => Fault::Kill { effects },
            Family::PowerLoss => Fault::PowerLoss { keep, effects },
            Family::CrashInRecovery => {
                Fault::CrashInRecovery { keep, effects: rng.below(40) as u32 }
            }
            Family::CleanStop => Fault::CleanStop,
            Family::Rude => {
                let kind = if rng.one_in(6) { 9 } else { rng.below(13) as u8 };
                Fault::Rude { kind, chance: rng.bits() }
            }
            Family::Rot => Fault::Rot { file: any, place: rng.bits(), bit: rng.below(8) as u8 },
            Family::Blackout => Fault::Blackout { keep: (!rng.one_in(4)).then_some(keep) },
            Family::CutPair | Family::Isolate | Family::CutFromClient => Fault::cut(family, rng),
            Family::Wipe => Fault::Wipe {
                declared: rng.one_in(4),
                leader: (!rng.one_in(3)).then_some(Keep::Any),
                lag: if rng.one_in(3) { 0 } else { rng.between(50_000, 1_000_000) },
            },
            Family::Stranger => Fault::Stranger { kind: rng.bits() as u8, chance: rng.bits() },
            Family::CrashInSync => Fault::CrashInSync {
                keep: *rng.pick(&[Keep::Nothing, Keep::Nothing, Keep::Any]),
                operations: rng.below(24) as u32,
                whom: *rng.pick(&[
                    Struck::Learner,
                    Struck::All,
                    Struck::All,
                    Struck::Leader,
                    Struck::Link,
                ]),
            },
            Family::Reconfiguration => Fault::reconfigure(rng),
        }
    }

    fn reconfigure(rng: &mut Rng) -> Fault {
        use Reform as R;
        let usual = [R::Join, R::Leave, R::LeaderLeaves, R::Swap, R::List, R::ChangeRole, R::Guest];
        let rare = [R::Observe, R::MostLeave, R::Groups, R::Nothing, R::Nobody, R::Nonsense];
        let reform = if rng.one_in(3) { *rng.pick(&rare) } else { *rng.pick(&usual) };
        let follows = *rng.pick(&[Follows::Any, Follows::Any, Follows::Newest, Follows::Another]);
        Fault::Reconfigure { reform, follows, chance: rng.bits() }
    }

    /// A cut: mostly both ways, else one of them.
    fn cut(family: Family, rng: &mut Rng) -> Fault {
        let (inward, outward) =
            *rng.pick(&[(true, true), (true, true), (true, false), (false, true)]);
        let (any, lasts) = (rng.bits() as u32, rng.wait(5 * SECOND));
        match family {
            Family::CutPair => Fault::CutPair { other: any, inward, outward, lasts },
            Family::Isolate => Fault::Isolate { inward, outward, clients: rng.one_in(3), lasts },
            _ => Fault::CutFromClient { client: any, inward, outward, lasts },
        }
    }

    fn fail(class: Class, lasts: u64, rng: &mut Rng) -> Fault {
        let (after, for_good) = (rng.below(6) as u32, rng.one_in(3));
        // A failing read shows only as a server starts.
        let restart = if class == Class::Read { Fault::restart(rng) } else { None };
        Fault::FailDisk { class, after, for_good, lasts, restart }
    }

    fn restart(rng: &mut Rng) -> Option<u32> {
        rng.one_in(2).then(|| rng.below(20) as u32)
    }

    /// Its family.
    pub fn family(&self) -> Family {
        match self {
            Fault::Reset { .. } => Family::Reset,
            Fault::CutToServer { .. } => Family::CutToServer,
            Fault::CutToClient { .. } => Family::CutToClient,
            Fault::HalfClose { .. } => Family::HalfClose,
            Fault::SlowReader { .. } => Family::SlowReader,
            Fault::Refuse { .. } => Family::Refuse,
            Fault::SlowNetwork { .. } => Family::SlowNetwork,
            Fault::WallJump { .. } => Family::WallJump,
            Fault::Freeze { .. } => Family::Freeze,
            Fault::Suspend => Family::Suspend,
            Fault::LateTimer { .. } => Family::LateTimer,
            Fault::ClientFreeze { .. } => Family::ClientFreeze,
            Fault::SlowDisk { .. } => Family::SlowDisk,
            Fault::FullDisk { .. } => Family::FullDisk,
            Fault::FailDisk { class: Class::Write, .. } => Family::FailWrite,
            Fault::FailDisk { class: Class::Sync, .. } => Family::FailSync,
            Fault::FailDisk { class: Class::Names, .. } => Family::FailNames,
            Fault::FailDisk { class: Class::Read, .. } => Family::FailRead,
            Fault::Locked { .. } => Family::Locked,
            Fault::Kill { .. } => Family::Kill,
            Fault::PowerLoss { .. } => Family::PowerLoss,
            Fault::CrashInRecovery { .. } => Family::CrashInRecovery,
            Fault::CleanStop => Family::CleanStop,
            Fault::Rude { .. } => Family::Rude,
            Fault::Rot { .. } => Family::Rot,
            Fault::CutPair { .. } => Family::CutPair,
            Fault::Isolate { .. } => Family::Isolate,
            Fault::CutFromClient { .. } => Family::CutFromClient,
            Fault::Blackout { .. } => Family::Blackout,
            Fault::Wipe { .. } => Family::Wipe,
            Fault::Stranger { .. } => Family::Stranger,
            Fault::CrashInSync { .. } => Family::CrashInSync,
            Fault::Reconfigure { .. } => Family::Reconfiguration,
        }
    }
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
            return Climate::quiet();
        }
        if rng.one_in(8) {
            return Climate { weights: vec![(*rng.pick(Family::of_climates()), 1)], every };
        }
        let mut weights = Vec::new();
        for family in Family::of_climates() {
            if !rng.permille(400) {
                weights.push((*family, 1 + rng.below(4) as u32));
            }
        }
        Climate { weights, every }
    }

    /// No faults at all.
    pub fn quiet() -> Climate {
        Climate { weights: Vec::new(), every: 0 }
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
    fn a_drawn_fault_is_of_its_family() {
        let mut rng = Rng::stream(1, Subsystem::Faults, 0);
        for family in Family::ALL {
            assert_eq!(Fault::draw(*family, &mut rng).family(), *family);
        }
    }

    #[test]
    fn each_family_is_on_in_some_worlds_and_off_in_others() {
        let mut rng = Rng::stream(1, Subsystem::Scenario, 0);
        let climates: Vec<Climate> = (0..200).map(|_| Climate::draw(&mut rng)).collect();
        assert!(!Family::of_climates().contains(&Family::Reconfiguration));
        for family in Family::of_climates() {
            let on = climates.iter().filter(|climate| climate.has(*family)).count();
            assert!((50..180).contains(&on), "{} is on in {on} of 200", family.name());
        }
        assert!(climates.iter().any(|climate| climate.every == 0));
    }
}
