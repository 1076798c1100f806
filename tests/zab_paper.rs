// SPDX-License-Identifier: Apache-2.0
//! The claims of "Zab: High-performance broadcast for primary-backup systems" (Junqueira, Reed and
//! Serafini, DSN 2011), one test each, on whole servers in memory under schedules of crashes and
//! partitions. Properties have the paper's names, and steps its numbers: f.1.2 is a follower's
//! second of phase 1 (discovery), l.2.1 a leader's first of phase 2 (synchronisation); phase 3 is
//! broadcast. The words on the wire are ZooKeeper's: FOLLOWERINFO is CEPOCH, LEADERINFO NEWEPOCH,
//! ACKEPOCH ACK-E, the ACK of NEWLEADER ACK-LD and UPTODATE COMMIT-LD.
//!
//! The paper was not at hand when this was written, so no number of a section is given: a claim is
//! cited by its property or step. The six properties, what each says, and the step l.2.1 were
//! compared with ZooKeeper's own specification of the paper's protocol
//! (`zookeeper-specifications/protocol-spec/Zab.tla`, which cites it); the other steps' numbers,
//! and where the paper speaks of outstanding operations, were not.
//!
//! A bug of the zoo breaks each claim that it can break, or the test would prove nothing. Where the
//! machines' own assertions come first, a test in `ledger.rs` shows what the ledger would see.

#[path = "zab_paper/ledger.rs"]
mod ledger;
#[path = "zab_paper/schedule.rs"]
mod schedule;
#[path = "troupe/mod.rs"]
mod troupe;

use std::{panic, sync::LazyLock};

use menagerie_core::{io::Port, node::Node, zoo::Mutation};

use crate::{
    ledger::{Claim, Ledger},
    troupe::Troupe,
};

/// How many schedules there are.
const SCHEDULES: u64 = 150;

/// What was seen of all schedules, with servers as they are.
static SEEN: LazyLock<Vec<Ledger>> =
    LazyLock::new(|| (0..SCHEDULES).map(|number| schedule::play(number, None)).collect());

fn holds(claim: Claim) {
    let broken: Vec<&String> = SEEN.iter().filter_map(|seen| seen.breaks(claim)).collect();
    assert!(broken.is_empty(), "{claim:?} is broken {} times: {broken:#?}", broken.len());
}

/// Bugs, and a claim that each breaks.
const BRED: &[(Claim, Mutation)] = &[
    (Claim::Integrity, Mutation::MinorityIsQuorum),
    (Claim::TotalOrder, Mutation::LogNameNotSynced),
    (Claim::TotalOrder, Mutation::DiffWithoutCommonPast),
    (Claim::Agreement, Mutation::MinorityIsQuorum),
    (Claim::PrimaryIntegrity, Mutation::LogNameNotSynced),
    (Claim::OnePrimaryAnEpoch, Mutation::MinorityIsQuorum),
    (Claim::HistoryBeforeAckOfNewLeader, Mutation::NewLeaderAckedBeforeLog),
    (Claim::QuorumBeforeCommit, Mutation::MinorityIsQuorum),
    (Claim::EverybodyInTheEnd, Mutation::MinorityIsQuorum),
];

/// Some schedule breaks each claim when servers have a bug. One that runs against an assertion of
/// the machines shows nothing here.
#[test]
fn bugs_break_the_claims() {
    let mut spared = Vec::new();
    for (claim, bug) in BRED {
        let breaks = |number| {
            let seen = panic::catch_unwind(|| schedule::play(number, Some(*bug)));
            seen.is_ok_and(|seen| seen.breaks(*claim).is_some())
        };
        if !(0..SCHEDULES).any(breaks) {
            let named = Mutation::ALL.iter().find(|(_, other)| other == bug);
            spared.push((claim, named.map(|(name, _)| name)));
        }
    }
    assert!(spared.is_empty(), "no schedule shows {spared:?}");
}

#[test]
fn schedules_go_somewhere() {
    let delivered: usize = SEEN.iter().map(Ledger::size).sum();
    let reigns: usize = SEEN.iter().map(Ledger::reigns).sum();
    println!("{delivered} transactions in {reigns} reigns");
    assert!(delivered >= 10 * SEEN.len() && reigns >= 3 * SEEN.len());
}

/// Core properties, Integrity: what a process delivers, a process has broadcast.
#[test]
fn integrity() {
    holds(Claim::Integrity);
}

/// Core properties, Total order: if one delivers a before b, who delivers b delivers a before it.
#[test]
fn total_order() {
    holds(Claim::TotalOrder);
}

/// Core properties, Agreement: if one delivers a and another b, one of them delivers both.
#[test]
fn agreement() {
    holds(Claim::Agreement);
}

/// Primary order, Local primary order: what one primary broadcasts is delivered in that order, and
/// nothing behind something that it broadcast before and is missing.
#[test]
fn local_primary_order() {
    holds(Claim::LocalPrimaryOrder);
}

/// Primary order, Global primary order: what an earlier primary broadcast is delivered first.
#[test]
fn global_primary_order() {
    holds(Claim::GlobalPrimaryOrder);
}

/// Primary order, Primary integrity: when a primary broadcasts, it has delivered whatever anybody
/// delivers of earlier primaries.
#[test]
fn primary_integrity() {
    holds(Claim::PrimaryIntegrity);
}

/// Phase 1, l.1.1 and f.1.1: no two primaries share an epoch.
#[test]
fn an_epoch_has_one_primary() {
    holds(Claim::OnePrimaryAnEpoch);
}

/// Phase 1, l.1.1: a new epoch is above all that a quorum has promised itself to, so primaries come
/// in the order of their epochs.
#[test]
fn epochs_are_new() {
    holds(Claim::EpochsAreNew);
}

/// Phase 1, f.1.2: who promised itself to an epoch takes part in no earlier one, crash or not.
#[test]
fn promises_are_kept() {
    holds(Claim::PromisesAreKept);
}

/// Phase 2, f.2.1: NEWLEADER is acknowledged when the leader's history is accepted, that is, on the
/// disk and safe from a power loss.
#[test]
fn history_comes_before_the_ack_of_newleader() {
    holds(Claim::HistoryBeforeAckOfNewLeader);
}

/// Phase 3, l.3.2: what is committed is on the disks of a quorum.
#[test]
fn a_quorum_comes_before_a_commit() {
    holds(Claim::QuorumBeforeCommit);
}

/// Phase 3, l.3.3 and l.3.4: who comes later is brought up to date, so that in the end all that are
/// correct deliver the same.
#[test]
fn everybody_delivers_everything_in_the_end() {
    holds(Claim::EverybodyInTheEnd);
}

/// Multiple outstanding operations: a primary broadcasts without waiting for what it
/// broadcast before, and after its crash a beginning of that is delivered.
#[test]
fn of_many_outstanding_operations_a_beginning_outlives_the_primary() {
    for heard in 0..=5 {
        let mut troupe = Troupe::new(3, 0, "");
        troupe.ids().for_each(|id| troupe.start(id));
        assert_eq!(troupe.leader(), Some(3));
        let client = troupe.client(3).expect("it serves");
        for follower in [1, 2] {
            troupe.hold(3, follower, Port::Quorum);
        }
        for n in 1..=5 {
            assert!(!schedule::create(&mut troupe, client, &format!("/{n}")), "nobody has it");
            let on_its_way = troupe.on_its_way(3, 1, Port::Quorum);
            assert_eq!(on_its_way, n, "all are outstanding");
        }
        for _ in 0..heard {
            assert!(troupe.deliver(3, 1, Port::Quorum));
            troupe.settle();
        }
        troupe.kill(3);
        let leader = troupe.leader().expect("1 and 2 are a quorum");
        assert!(heard == 0 || leader == 1, "1 has more");
        for id in [1, 2] {
            let server = troupe.server(id).node.as_ref().and_then(Node::server);
            let tree = server.expect("it serves").history().tree();
            for n in 1..=5 {
                let there = tree.find(format!("/{n}").as_bytes()).is_some();
                assert_eq!(there, n <= heard, "/{n} at {id} when {heard} were heard");
            }
        }
    }
}
