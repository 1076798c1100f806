// SPDX-License-Identifier: Apache-2.0
//! The zoo: real bugs of coordination services, each a switch at one place in the core.
//!
//! The machines are generic over a zero-sized policy. Production is [`Sound`], which answers "no"
//! at compile time, so the branches are gone from the shipped binary however the workspace is
//! built. The simulator is the only one that answers otherwise.

macro_rules! mutations {
    (bugs { $($(#[$doc:meta])* $name:ident,)* } decoys { $($(#[$note:meta])* $decoy:ident,)* }) => {
        /// A change that can be switched on in a simulated world, one at a time.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Mutation {
            $($(#[$doc])* $name,)*
            $($(#[$note])* $decoy,)*
        }

        impl Mutation {
            /// Every bug, under its name.
            pub const ALL: &'static [(&'static str, Mutation)] =
                &[$((stringify!($name), Mutation::$name),)*];

            /// Every change that does no harm, under its name: whoever flags one is wrong.
            pub const DECOYS: &'static [(&'static str, Mutation)] =
                &[$((stringify!($decoy), Mutation::$decoy),)*];
        }
    };
}

mutations! {
    bugs {
        /// Writes are acknowledged before the log's sync completed.
        AckBeforeSync,
        /// A client that has seen more than this server is let in.
        ClientZxidUnchecked,
        /// Requests do not count as signs of life.
        RequestsDoNotTouch,
        /// A read is answered ahead of its own link's writes.
        ReadOvertakesWrite,
        /// A sync is answered without waiting for what was proposed before it.
        SyncDoesNotWait,
        /// The folder is not synced after a log was created in it.
        LogNameNotSynced,
        /// A snapshot takes its name before its content is durable.
        SnapshotNotSynced,
        /// What a power loss left of an unfinished write stops the server at the next start.
        TearStopsServer,
        /// What a power loss left of an unfinished write stays behind the log's last record: once a
        /// later log was begun, it looks like rot.
        TearNotCut,
        /// A bad record that was known to be good is cut off as a tear, with what follows it.
        RotTakenForTear,
        /// After a write that failed the log goes on as if it had not.
        AppendErrorIgnored,
        /// A server whose log could not be written stays in the ensemble.
        DiskFailureSurvived,
        /// What a leader has a learner cut off stays in its log.
        CutLeavesTail,
        /// What a killed process left in the system's cache is served without being synced first.
        RecoveredNotSynced,
        /// What a failed sync left in the system's cache is synced again, but not written again.
        RecoveredNotRewritten,
        /// Replay skips the first transaction after the snapshot.
        ReplayStartsLate,
        /// An epoch is said, or counted on, before its file is durable.
        EpochSaidBeforeSync,
        /// A learner gets a DIFF although its last transaction is none of the leader's history.
        DiffWithoutCommonPast,
        /// NEWLEADER is acknowledged before what came ahead of it is in the log.
        NewLeaderAckedBeforeLog,
        /// `currentEpoch` is written before what came ahead of NEWLEADER is in the log.
        EpochBeforeLog,
        /// Proposals are acknowledged ahead of NEWLEADER.
        ProposalsAckedEarly,
        /// A learner applies what was only proposed.
        AppliesProposals,
        /// Commits that come between NEWLEADER and UPTODATE are lost.
        JoinerDropsCommits,
        /// A follower does not tell which sessions it heard of.
        TouchesNotRelayed,
        /// A leader takes the highest epoch that anybody accepted, not the one after it.
        EpochReused,
        /// A joiner misses what is proposed between NEWLEADER and its acknowledgement.
        JoinerMissesProposals,
        /// A leader goes on when the counter of its epoch is used up.
        CounterRollsOver,
        /// A leader does not count itself among those that have a transaction.
        LeaderNotCounted,
        /// A learner gets a tree that ends before what it may be one of few to hold.
        TreeEndsEarly,
        /// A sync is answered without asking whether a quorum still follows.
        SyncAsksNobody,
        /// The purge removes a log that still holds transactions after a snapshot it keeps.
        PurgeTakesNeededLog,
        /// Expiry buckets are rounded down, so sessions expire before their timeout.
        ExpiryRoundsDown,
        /// A request of a session that moved to another link is served all the same.
        MovedSessionServed,
        /// Session ids come from the clock alone, so two sessions of one millisecond share theirs.
        SessionIdFromClock,
        /// A one-shot watch is not spent by its event.
        WatchFiresAgain,
        /// Child watches do not hear of the znode's own deletion.
        DeletionUnseenByChildWatches,
        /// A recursive watch hears of children only, not of what is below them.
        RecursiveWatchIsShallow,
        /// A herd's late members are answered before they are told of an event.
        ReplyOvertakesEvent,
        /// setWatches tells of changes at the very zxid that the client had seen (`>=` for `>`).
        RearmTellsOfTheKnown,
        /// One ephemeral znode stays behind when its session closes.
        EphemeralOutlivesSession,
        /// Watchers do not hear of the znodes that go with their session.
        SessionClosesSilently,
        /// Deleting a child leaves the parent's pzxid as it was.
        DeleteForgetsPzxid,
        /// A sequential name counts the applied children of its parent, not the prepared ones.
        SequenceIgnoresPending,
        /// A version is compared with the applied znode's, not the prepared one's: updates get
        /// lost.
        VersionIgnoresPending,
        /// A znode may be deleted while a child of it is prepared.
        DeleteIgnoresPendingChild,
        /// A failed multi leaves its changes among the prepared ones.
        MultiKeepsChanges,
        /// A failed multi takes the changes before it along: its parents' are forgotten.
        MultiForgetsParent,
        /// A session whose end is prepared may still create ephemeral znodes.
        ClosingSessionCreates,
        /// The version after -2 is -1, which no client can ask for.
        VersionWrapsToAny,
        /// A create leaves its parent's count of creations as it was.
        CreateKeepsParentCversion,
        /// Half of the voters count as a quorum.
        MinorityIsQuorum,
        /// Equal zxids are ordered by id whatever their epochs, so two votes can each beat the
        /// other.
        TieBreakForgetsEpoch,
        /// An empty server votes for those that hold data, as if it had nothing to lose.
        EmptyServerVotes,
        /// After a notification that cannot be read, no other is heard any more.
        DeafAfterBadNotification,
        /// A new election link is greeted with the vote of the election that is over.
        GreetsWithOldVote,
        /// While a decision ripens, servers that have settled are not heard.
        RipeningIgnoresSettled,
        /// An ensemble is joined without its leader's own word.
        LeaderUnconfirmed,
        /// Votes of servers that have settled are compared with their zxid and round.
        SettledVotesComparedWhole,
        /// Other members need the agreement of those in force only.
        OldMembersDecide,
        /// Other members need the agreement of the next ones only.
        NextMembersDecide,
        /// A learner takes other members for those in force as soon as they are proposed.
        ProposedMembersInForce,
        /// What came ahead of NEWLEADER is logged at UPTODATE, long after it was acknowledged.
        SyncLoggedAtUpToDate,
        /// A role ends, and the next election speaks of what was applied, not of what was logged.
        LastAppliedClaimed,
        /// A role begins while the last one's appends are on their way, and does not know of them.
        OldAppendsOutliveRole,
        /// The folder is not synced after a snapshot took its name, be it a leader's tree.
        SnapshotNameNotSynced,
        /// What a quorum holds is shown before it is durable here.
        AppliedBeforeDurable,
        /// A DIFF's target counts as held before what leads to it has come.
        DiffTargetClaimed,
        /// A commit between NEWLEADER and UPTODATE brings a joiner down.
        JoinerDiesOfCommits,
        /// A learner is told that what it acknowledged is committed.
        AcksTakenForCommits,
        /// An observer that is being brought up to date drops what it is informed of.
        ObserverDropsInforms,
        /// Sessions expire by the wall clock.
        WallClockExpires,
        /// A check outside of a multi is ordered like a write, which no server can apply.
        BareCheckOrdered,
        /// A session is not told of its own ephemeral znodes.
        EphemeralsUnlisted,
        /// A turn looks for transactions to apply long after there is none.
        IdleTurnSpins,
    }
    decoys {
        /// A quorum for a vote must last twice as long before it decides.
        DecisionRipensSlowly,
        /// A looking server repeats itself twice as often.
        VotesRepeatedSooner,
        /// A leader pings twice as often.
        PingsOften,
        /// A leader serves its learners in the opposite order.
        LearnersServedBackwards,
        /// Little is on its way to a learner at once.
        SmallWindow,
        /// A learner acknowledges only the newest of what became durable together.
        AcksTogether,
        /// A batch of the log is synced twice.
        SyncedTwice,
        /// Snapshots are taken ten times as often.
        SnapshotsOften,
    }
}

/// Whether a machine has a given bug.
pub trait Zoo: Copy + Default + 'static {
    /// Whether `mutation` is switched on.
    fn has(self, mutation: Mutation) -> bool;
}

/// Production's policy: no bug is switched on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sound;

impl Zoo for Sound {
    #[inline(always)]
    fn has(self, _: Mutation) -> bool {
        false
    }
}
