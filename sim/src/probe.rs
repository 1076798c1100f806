// SPDX-License-Identifier: Apache-2.0
//! Named things that must happen sometimes: a campaign that never sees one of them tests less than
//! it says. At a thousand seeds an unhit probe is a failure.

macro_rules! probes {
    ($($name:ident = $text:literal,)*) => {
        /// Something that must happen sometimes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)]
        pub enum Probe {
            $($name,)*
        }

        impl Probe {
            /// All probes.
            pub const ALL: &'static [Probe] = &[$(Probe::$name,)*];

            /// What happened, for people.
            pub fn name(self) -> &'static str {
                match self {
                    $(Probe::$name => $text,)*
                }
            }
        }
    };
}

probes! {
    SessionResumed = "a session resumed on a new link",
    ResumedAfterCrash = "a session resumed after a crash of the server",
    ResumedAfterTornTail = "a session resumed after a torn write",
    ResumedWithWatches = "watches were set again on a new link",
    MissedEventTold = "a watch set again told what it had missed",
    SessionExpired = "a session expired",
    ExpiredWithEphemerals = "a session expired and its ephemerals went with it",
    ExpiredAfterFreeze = "a session expired while the server was frozen",
    ClosedWithEphemerals = "a client closed its session and its ephemerals went with it",
    MultiDone = "a multi did all its operations",
    MultiFailedFirst = "a multi failed on its first op",
    MultiFailedLast = "a multi failed on its last op",
    SequentialMade = "a sequential znode was made",
    ContainerSwept = "an empty container was swept",
    TtlSwept = "an aged TTL znode was swept",
    Denied = "an ACL denied a request",
    AclMasked = "an ACL was shown to someone with an identity",
    BadVersion = "a version did not fit",
    EventFired = "a one-shot watch fired",
    RecursiveFired = "a persistent or recursive watch fired",
    EventsPipelined = "several events were owed to one link at once",
    TurnBatched = "a turn took more than three inputs",
    FrameCut = "a frame arrived in pieces",
    ResetMidFrame = "a link was reset within a frame",
    Paused = "the server paused a link",
    CrashMidTurn = "the process died between two effects of a turn",
    TornWrite = "a power loss tore a write",
    EntryLost = "a power loss undid a folder entry",
    TornTail = "a recovery cut a torn tail",
    UntoldSurvived = "a write that nobody was told of survived a crash",
    UntoldLost = "a write that nobody was told of was lost in a crash",
    SnapshotWritten = "a snapshot was finished",
    SnapshotFailed = "a snapshot failed and service went on",
    HaltedOnDisk = "the server halted on a failing disk",
    HaltedOnLock = "the server refused a locked directory",
    RecoveryFailed = "a recovery gave up on a failing disk",
    RecoveredTwice = "a server recovered after a crash in recovery",
    StoppedCleanly = "the server stopped cleanly",
    WrongPassword = "a wrong password was turned away",
    SessionStolen = "a session moved to another link under its password",
    Purged = "old snapshots or logs were purged",
    ZxidAhead = "a client that saw too much was turned away",
    WordAnswered = "a four-letter word was answered",
    RudeHungUp = "a rude client was hung up on",
    OversizedAnswered = "an oversized request was answered",
    ConnectionLoss = "a client lost the link under a request",
    RotStopped = "rot stopped the server, which named the place",
    RotPassed = "rot did no harm: nothing depended on it, or it was cut as a tear",
    RottenSnapshot = "a rotten snapshot gave way to an older one",
    QuotaRefused = "a hard quota refused a request",
    UserTold = "a user heard of a change while the client was away",
    BooksAgree = "a user's watches were those of the server",
    LateForClosing = "a request came after its session was closed",
    DialUnheard = "a dial went unheard: the way was cut",
    FaultsLast = "a quorum was left healthy, and the others' faults lasted",
    LeaderMade = "a leader was established",
    FollowerServes = "a follower began to serve",
    ObserverServes = "an observer began to serve",
    SyncedByDiff = "a learner was sent a DIFF",
    SyncedByTrunc = "a learner was sent a TRUNC",
    SyncedBySnap = "a learner was sent a SNAP",
    ElectedWaits = "an elected server waited for others to follow",
    EpochWaits = "a new epoch waited for a quorum to hold its history",
    NeverLed = "an elected server gave up before it led",
    SteppedDown = "a leader stepped down",
    LeaderLost = "a learner that served lost its leader",
    SyncBroken = "a learner lost its leader while it was synchronised",
    FollowerSyncs = "a follower was synchronised",
    ObserverSyncs = "an observer was synchronised",
    DiffWithNothing = "a DIFF brought nothing: the learner had everything",
    DiffFromMemory = "a DIFF came from the leader's memory",
    DiffFromLog = "a DIFF came from a leader that had read its log",
    TruncOnly = "nothing followed a TRUNC",
    TruncAndMore = "transactions followed a TRUNC",
    SnapOnly = "nothing followed a SNAP",
    SnapAndMore = "transactions followed a SNAP",
    LogForLearner = "a leader read its log for a learner",
    TreeForLearner = "a leader read a snapshot for a learner",
    LearnerDropped = "a leader dropped a learner that it did not hear of",
    WriteForwarded = "a write was forwarded to the leader",
    Revalidated = "a leader told whether a session is alive",
    SyncAnswered = "a leader answered a sync that was forwarded",
    ObserverInformed = "an observer was told of a transaction",
    SessionMoved = "a session moved to another server",
    PeerFrameCut = "a frame of another server arrived in pieces",
    CrashInSync = "the power failed within a synchronisation",
    Wiped = "a disk was lost",
    WipedServes = "a server served again whose disk had been lost",
    StrangerHungUp = "a stranger on a port for servers was hung up on",
    EpochUsedUp = "a leader stepped down as its epoch's numbers were used up",
    Reconfigured = "the members changed",
    ReconfigRefused = "a change of the members was refused",
    LeaderLeft = "a leader left the voters",
    JoinerServes = "a member served that the first list did not name",
    OldMemberReturned = "a member came back that knew an older list only",
    MembersNotWritten = "a list of members could not be written to a file",
    PeerResetMidFrame = "a link between servers was reset within a frame",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_have_names_of_their_own() {
        let mut names: Vec<&str> = Probe::ALL.iter().map(|probe| probe.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Probe::ALL.len());
    }
}
