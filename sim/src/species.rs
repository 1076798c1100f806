// SPDX-License-Identifier: Apache-2.0
//! What is known of each change of the zoo: where it comes from, how hard it is to find, which
//! promise it should break first, and why a few are not hunted in worlds.

use crate::oracle::Property::{self, *};

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Species {
    /// It breaks promises.
    Bug {
        /// The rows of docs/ZOO.md that it stands for, if it is one of those on record.
        rows: &'static str,
        /// 1: within a minute of one core; 2: within ten; 3: later, or not yet, and shown beside
        /// the code, so that a hunt may end without it.
        tier: u8,
        /// Any of these may break first.
        expected: &'static [Property],
    },
    /// It does no harm.
    Decoy,
    /// It is shown beside the code and not in a world.
    Beyond {
        /// The rows that it stands for.
        rows: &'static str,
        /// Why no world shows it, and where it is shown.
        why: &'static str,
    },
}

const fn bug(rows: &'static str, tier: u8, expected: &'static [Property]) -> Species {
    Species::Bug { rows, tier, expected }
}

const fn beyond(rows: &'static str, why: &'static str) -> Species {
    Species::Beyond { rows, why }
}

/// All that is known.
const KNOWN: &[(&str, Species)] = &[
    ("AckBeforeSync", bug("", 1, &[Acks, Durability])),
    ("ClientZxidUnchecked", bug("Z19", 1, &[Sessions])),
    ("RequestsDoNotTouch", bug("", 1, &[Expiry])),
    ("ReadOvertakesWrite", bug("", 1, &[SessionFifo])),
    ("SyncDoesNotWait", bug("", 1, &[SessionFifo])),
    ("LogNameNotSynced", bug("", 1, &[Acks, Durability])),
    ("SnapshotNotSynced", bug("", 2, &[Progress, Recovery])),
    ("SnapshotNameNotSynced", bug("Z08", 2, &[Recovery, Progress])),
    ("TearStopsServer", bug("Z27", 1, &[Progress])),
    ("TearNotCut", bug("", 1, &[Progress, Recovery])),
    ("RotTakenForTear", bug("Z26", 2, &[Rot, Recovery])),
    ("AppendErrorIgnored", bug("Z10b", 2, &[Acks, Durability, Commitment])),
    ("DiskFailureSurvived", bug("Z38", 1, &[Progress])),
    ("CutLeavesTail", bug("Z11", 2, &[Recovery, Following, Agreement])),
    ("RecoveredNotSynced", bug("", 2, &[Recovery, Progress])),
    ("RecoveredNotRewritten", bug("", 2, &[Recovery, Progress])),
    ("ReplayStartsLate", bug("", 1, &[Recovery])),
    ("EpochSaidBeforeSync", bug("Z05b", 2, &[Epochs, Leadership])),
    ("DiffWithoutCommonPast", bug("Z04", 1, &[Following, Agreement])),
    ("NewLeaderAckedBeforeLog", bug("Z01a", 2, &[Acks, Epochs])),
    ("SyncLoggedAtUpToDate", bug("Z01b", 2, &[Acks, Epochs])),
    ("EpochBeforeLog", bug("Z02", 2, &[Epochs])),
    ("LastAppliedClaimed", bug("Z03", 1, &[Following, Order, Agreement, NoPanic])),
    ("OldAppendsOutliveRole", bug("Z06", 2, &[Following, Order, Agreement])),
    ("AppliedBeforeDurable", bug("Z10a", 2, &[Durability, Commitment])),
    ("DiffTargetClaimed", bug("Z18", 1, &[Order, Agreement, Following])),
    ("ProposalsAckedEarly", bug("Z24", 1, &[Acks])),
    ("AppliesProposals", bug("Z49", 1, &[Commitment, Durability])),
    ("JoinerDropsCommits", bug("Z23a", 1, &[Learning])),
    ("JoinerDiesOfCommits", bug("Z23b", 1, &[NoPanic])),
    ("TouchesNotRelayed", bug("Z20", 1, &[Expiry])),
    ("EpochReused", bug("Z05a", 2, &[Leadership, NoPanic])),
    ("JoinerMissesProposals", bug("Z31a", 1, &[Learning])),
    ("AcksTakenForCommits", bug("Z31b", 1, &[Commitment, Learning])),
    ("ObserverDropsInforms", bug("Z41", 1, &[Learning])),
    ("CounterRollsOver", bug("Z32", 1, &[Integrity, Order, Leadership])),
    ("LeaderNotCounted", bug("Z36", 1, &[Progress, Leadership])),
    ("TreeEndsEarly", bug("", 2, &[Recovery, Leadership, Progress])),
    ("SyncAsksNobody", bug("", 2, &[SessionFifo])),
    ("PurgeTakesNeededLog", bug("", 2, &[Progress, Recovery])),
    ("ExpiryRoundsDown", bug("", 1, &[Expiry])),
    ("WallClockExpires", bug("Z33", 1, &[Expiry])),
    ("MovedSessionServed", beyond("", "the old link is hung up on before it could ask; `session`")),
    ("SessionIdFromClock", bug("", 2, &[Sessions, Writes])),
    ("WatchFiresAgain", bug("", 1, &[Watches])),
    ("DeletionUnseenByChildWatches", bug("", 1, &[Watches])),
    ("RecursiveWatchIsShallow", bug("", 1, &[Watches])),
    ("ReplyOvertakesEvent", beyond("", "needs more than a thousand watchers; `watch`")),
    ("RearmTellsOfTheKnown", bug("Z48", 1, &[Watches])),
    ("EphemeralOutlivesSession", bug("", 1, &[Digests, Ephemerals])),
    ("EphemeralsUnlisted", bug("", 1, &[ExactTree])),
    ("SessionClosesSilently", bug("", 1, &[Watches])),
    ("DeleteForgetsPzxid", bug("", 1, &[Digests])),
    ("SequenceIgnoresPending", bug("Z42a", 1, &[Writes])),
    ("VersionIgnoresPending", bug("", 1, &[Writes])),
    ("DeleteIgnoresPendingChild", bug("", 1, &[Writes])),
    ("MultiKeepsChanges", bug("", 1, &[Writes, Digests])),
    ("MultiForgetsParent", bug("Z42b", 1, &[Writes, Digests])),
    ("ClosingSessionCreates", bug("Z21", 1, &[Writes, Ephemerals])),
    ("VersionWrapsToAny", bug("Z42c", 1, &[Writes])),
    ("BareCheckOrdered", bug("Z42d", 1, &[NoPanic, Writes])),
    ("CreateKeepsParentCversion", bug("", 1, &[Writes])),
    ("MinorityIsQuorum", bug("Z50", 1, &[Commitment, Leadership, Agreement])),
    ("TieBreakForgetsEpoch", bug("Z13", 2, &[Votes, Progress])),
    ("EmptyServerVotes", bug("Z30", 2, &[Leadership, Recovery, Progress])),
    ("DeafAfterBadNotification", bug("Z47", 1, &[Progress])),
    ("IdleTurnSpins", bug("", 1, &[Bounds])),
    ("GreetsWithOldVote", beyond("", "costs an election some time; `election`")),
    ("RipeningIgnoresSettled", beyond("", "costs an election some time; `election`")),
    ("LeaderUnconfirmed", beyond("", "costs an election some time; `election`")),
    ("SettledVotesComparedWhole", beyond("", "costs an election some time; `election`")),
    ("OldMembersDecide", bug("", 1, &[Configuration, Commitment])),
    ("NextMembersDecide", bug("", 1, &[Configuration, Commitment, Leadership])),
    ("ProposedMembersInForce", bug("", 1, &[Configuration])),
];

/// How one sees that an oracle is awake: it is the first to name a bug, once those that see the
/// same bug no later are switched off. So each entry is an implication, too: whoever breaks the
/// promise in this way breaks those first.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// The promise.
    pub property: Property,
    /// The bug.
    pub bug: &'static str,
    /// What is switched off.
    pub off: &'static [Property],
}

const fn witness(property: Property, bug: &'static str, off: &'static [Property]) -> Witness {
    Witness { property, bug, off }
}

/// One for each promise.
pub const WITNESSES: &[Witness] = &[
    witness(ExactTree, "EphemeralsUnlisted", &[]),
    witness(Writes, "CreateKeepsParentCversion", &[]),
    witness(SessionFifo, "ReadOvertakesWrite", &[]),
    witness(Watches, "WatchFiresAgain", &[]),
    witness(Ephemerals, "ClosingSessionCreates", &[Writes]),
    witness(Sessions, "ClientZxidUnchecked", &[]),
    witness(Expiry, "RequestsDoNotTouch", &[]),
    witness(Recovery, "ReplayStartsLate", &[]),
    witness(Digests, "DeleteForgetsPzxid", &[]),
    witness(Bounds, "IdleTurnSpins", &[]),
    witness(NoPanic, "JoinerDiesOfCommits", &[]),
    witness(Progress, "TearStopsServer", &[]),
    witness(Client, "ClientZxidUnchecked", &[Sessions, SessionFifo]),
    witness(Rot, "RotTakenForTear", &[]),
    witness(Agreement, "DiffWithoutCommonPast", &[Following]),
    witness(Commitment, "MinorityIsQuorum", &[]),
    witness(Leadership, "MinorityIsQuorum", &[Commitment]),
    witness(Epochs, "EpochBeforeLog", &[]),
    witness(Following, "DiffWithoutCommonPast", &[Agreement]),
    witness(Acks, "AckBeforeSync", &[]),
    witness(Durability, "AckBeforeSync", &[Acks, Commitment]),
    witness(Order, "DiffTargetClaimed", &[]),
    witness(Integrity, "CounterRollsOver", &[]),
    witness(Learning, "JoinerDropsCommits", &[]),
    witness(Votes, "TieBreakForgetsEpoch", &[]),
    witness(Configuration, "ProposedMembersInForce", &[]),
];

/// Bugs whose harm the rest of our own servers keeps from anybody who sees harm alone, and why.
const SPARED: &[(&str, &str)] = &[(
    "ProposalsAckedEarly",
    "what is acknowledged early is durable, and our leader takes it; Java's hangs up",
)];

/// Why nobody who sees harm alone can see a bug, if that is so.
pub fn spared(name: &str) -> Option<&'static str> {
    SPARED.iter().find(|(one, _)| *one == name).map(|(_, why)| *why)
}

/// The witness of a promise.
///
/// # Panics
/// When a promise has none.
pub fn witness_of(property: Property) -> Witness {
    *WITNESSES.iter().find(|one| one.property == property).expect("each promise has a witness")
}

/// What is known of a change; what nobody listed is a decoy.
pub fn of(name: &str) -> Species {
    let known = KNOWN.iter().find(|(one, _)| *one == name);
    known.map_or(Species::Decoy, |(_, species)| *species)
}

/// Whether it does no harm.
pub fn is_decoy(name: &str) -> bool {
    of(name) == Species::Decoy
}

/// Whether hunts that are allowed the time of a tier find it.
pub fn is_found_in(most: u8, name: &str) -> bool {
    matches!(of(name), Species::Bug { tier, .. } if tier <= most)
}

#[cfg(test)]
mod tests {
    use menagerie_core::zoo::Mutation;

    use super::*;

    #[test]
    fn each_promise_has_one_bug_that_wakes_its_oracle() {
        for property in Property::ALL {
            let witnesses = WITNESSES.iter().filter(|one| one.property == *property).count();
            assert_eq!(witnesses, 1, "{}", property.name());
        }
        let bug = |one: &&Witness| matches!(of(one.bug), Species::Bug { .. });
        assert_eq!(WITNESSES.iter().filter(bug).count(), WITNESSES.len());
    }

    #[test]
    fn each_bug_is_known_once_and_no_decoy_is_a_bug() {
        for (name, _) in Mutation::ALL {
            assert_eq!(KNOWN.iter().filter(|(one, _)| one == name).count(), 1, "{name}");
        }
        assert!(Mutation::DECOYS.iter().all(|(name, _)| is_decoy(name)));
        assert!(SPARED.iter().all(|(name, _)| matches!(of(name), Species::Bug { .. })));
        assert!(Mutation::DECOYS.len() >= 6 && KNOWN.len() == Mutation::ALL.len());
    }
}
