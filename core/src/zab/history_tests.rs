// SPDX-License-Identifier: Apache-2.0
//! Every remedy for every learner of every small ensemble's past, against a naive twin.

use alloc::vec;

use super::*;
use crate::zoo::Sound;

/// The epoch that this server leads; earlier ones are 1 to 3.
const LEADS: u32 = 4;

/// A past: what this server holds, and which epoch it was elected with.
struct Past {
    log: Vec<Zxid>,
    elected_with: u32,
}

impl Past {
    /// Up to `most` transactions in each epoch.
    fn all(most: u32) -> Vec<Past> {
        let mut pasts = Vec::new();
        let side = most + 1;
        for shape in 0..side.pow(LEADS) {
            let count = |epoch: u32| shape / side.pow(epoch - 1) % side;
            let of = |epoch| (1..=count(epoch)).map(move |counter| Zxid::new(epoch, counter));
            let log: Vec<Zxid> = (1..=LEADS).flat_map(of).collect();
            let began = (1..LEADS).rev().find(|epoch| count(*epoch) > 0).unwrap_or(0);
            for elected_with in began..LEADS {
                pasts.push(Past { log: log.clone(), elected_with });
            }
        }
        pasts
    }

    fn last(&self) -> Zxid {
        self.log.last().copied().unwrap_or_default()
    }

    fn has_epoch(&self, epoch: u32) -> bool {
        self.log.iter().any(|zxid| zxid.epoch() == epoch)
    }

    /// Every log that a learner can have beside this past, with what it says its last zxid is. No
    /// two leaders have one epoch, and each proposes in order: so a log turns off where an epoch
    /// of the past has ended, and goes on with transactions that were never committed.
    fn learners(&self) -> Vec<(Vec<Zxid>, Zxid)> {
        let mut logs = vec![];
        for len in 0..=self.log.len() {
            let common = &self.log[..len];
            logs.push(common.to_vec());
            let epoch = common.last().map_or(0, |zxid| zxid.epoch());
            let next = self.log.get(len).map_or(u32::MAX, |zxid| zxid.epoch());
            // What else its leader proposed, if the past went on with a later epoch.
            let own = if next > epoch && epoch > 0 { 0..=2 } else { 0..=0 };
            for more in own {
                let mut log = common.to_vec();
                (0..more).for_each(|_| log.push(log.last().expect("an epoch began").next()));
                // What leaders proposed of whom the past knows nothing.
                // If this server was elected with that epoch or a later one, it holds all that
                // such a leader began with, and nothing between that and what it proposed.
                let can = |lost: &u32| *lost > self.elected_with || more == 0 && next > *lost;
                let unknown = (epoch + 1..LEADS).filter(|lost| !self.has_epoch(*lost));
                for lost in unknown.filter(can) {
                    let lost = (1..=2).map(|counter| Zxid::new(lost, counter));
                    logs.push([&log[..], &lost.clone().take(1).collect::<Vec<_>>()].concat());
                    logs.push([&log[..], &lost.collect::<Vec<_>>()].concat());
                }
                logs.push(log);
            }
        }
        let mut learners: Vec<_> =
            logs.iter().map(|log| (log.clone(), log.last().copied().unwrap_or_default())).collect();
        for epoch in 1..=LEADS {
            let known = self.has_epoch(epoch) || epoch <= self.elected_with || epoch == LEADS;
            let before = |log: &[Zxid]| log.iter().all(|zxid| zxid.epoch() < epoch);
            let begun: Vec<Zxid> =
                self.log.iter().copied().filter(|zxid| zxid.epoch() < epoch).collect();
            for log in logs.iter().filter(|log| if known { **log == begun } else { before(log) }) {
                learners.push((log.clone(), Zxid::new(epoch, 0)));
            }
        }
        learners
    }

    fn history<Z: Zoo>(&self, most: usize) -> History<Z> {
        let mut history = History::new(Z::default(), most, Zxid::ZERO);
        for zxid in &self.log {
            history.push(*zxid, Arc::new(zxid.0.to_be_bytes().to_vec()));
        }
        history.commit(self.last(), self.last());
        history
    }
}

/// What a learner's log is after a remedy; none if it could not be carried out.
fn cure(
    past: &Past,
    history: &History<impl Zoo>,
    remedy: Remedy,
    log: &[Zxid],
) -> Option<Vec<Zxid>> {
    let mut log = log.to_vec();
    match remedy {
        Remedy::Diff { after } => {
            let mut at = after;
            while let Some((zxid, entry)) = history.after(at) {
                assert_eq!(entry[..], zxid.0.to_be_bytes());
                log.push(zxid);
                at = zxid;
            }
        }
        Remedy::DiskDiff { after } if past.log.contains(&after) => {
            log.extend(past.log.iter().filter(|zxid| **zxid > after));
        }
        Remedy::Trunc { to } => {
            assert!(to.counter() > 0);
            let kept = log.iter().position(|zxid| *zxid == to)? + 1;
            log.truncate(kept);
            log.extend(past.log.iter().filter(|zxid| **zxid > to));
        }
        Remedy::DiskDiff { .. } | Remedy::Snap => log = past.log.clone(),
    }
    Some(log)
}

/// The same decision from whole lists.
fn twin(past: &Past, most: usize, learner: &Standing) -> Remedy {
    let (log, peer, last) = (&past.log, learner.last, past.last());
    let kept = log.len().saturating_sub(most);
    let after = peer;
    let begun = peer.epoch() <= learner.elected_with || peer.epoch() == learner.leads;
    if learner.whole {
        return Remedy::Snap;
    }
    if peer == last {
        return Remedy::Diff { after };
    }
    if peer == Zxid::ZERO {
        return Remedy::Snap;
    }
    if peer.counter() == 0 {
        let known = past.has_epoch(peer.epoch()) || begun;
        let missing = log.iter().filter(|zxid| **zxid > peer).count();
        return if known && missing <= most { Remedy::Diff { after } } else { Remedy::Snap };
    }
    match log.iter().position(|zxid| *zxid == peer) {
        Some(at) if at + 1 >= kept => Remedy::Diff { after },
        Some(_)
            if learner.disk.is_some_and(|disk| peer >= disk.first && disk.bytes <= disk.most) =>
        {
            Remedy::DiskDiff { after }
        }
        Some(_) => Remedy::Snap,
        None => match log.iter().rposition(|zxid| *zxid < peer) {
            Some(at) if at + 1 >= kept && (begun || past.has_epoch(peer.epoch())) => {
                Remedy::Trunc { to: log[at] }
            }
            _ => Remedy::Snap,
        },
    }
}

/// Tries every past, learner, memory and disk; calls `check` with the remedy, the twin's, and
/// whether the learner's log is the past afterwards.
fn everything<Z: Zoo>(mut check: impl FnMut(Remedy, Remedy, bool)) {
    for past in Past::all(2) {
        let learners = past.learners();
        for most in 1..=4 {
            let history = past.history::<Z>(most);
            let mut disks = vec![None];
            disks.extend([0, 2].iter().filter_map(|at| past.log.get(*at)).flat_map(|first| {
                [9, 10].map(|bytes| Some(DiskLog { first: *first, bytes, most: 9 }))
            }));
            for (log, last) in &learners {
                for disk in &disks {
                    let standing = Standing {
                        last: *last,
                        whole: false,
                        leads: LEADS,
                        elected_with: past.elected_with,
                        disk: *disk,
                    };
                    let remedy = history.remedy(&standing);
                    let cured = cure(&past, &history, remedy, log);
                    check(remedy, twin(&past, most, &standing), cured.as_ref() == Some(&past.log));
                    let standing = Standing { whole: true, ..standing };
                    assert_eq!(history.remedy(&standing), Remedy::Snap);
                }
            }
        }
    }
}

#[test]
fn every_learner_has_the_same_history_after_its_remedy() {
    let mut tried = [0_u32; 4];
    everything::<Sound>(|remedy, twin, cured| {
        let by_disk = matches!(remedy, Remedy::DiskDiff { .. }) && twin == Remedy::Snap;
        assert!(cured, "{remedy:?}");
        assert!(remedy == twin || by_disk, "{remedy:?}, not {twin:?}");
        tried[match remedy {
            Remedy::Diff { .. } => 0,
            Remedy::DiskDiff { .. } => 1,
            Remedy::Trunc { .. } => 2,
            Remedy::Snap => 3,
        }] += 1;
    });
    assert!(tried.iter().all(|times| *times > 1000), "{tried:?}");
}

#[derive(Clone, Copy, Default)]
struct NoCommonPast;

impl Zoo for NoCommonPast {
    fn has(self, mutation: Mutation) -> bool {
        mutation == Mutation::DiffWithoutCommonPast
    }
}

#[test]
fn a_diff_without_a_common_past_leaves_what_was_never_committed() {
    let mut broken = 0;
    everything::<NoCommonPast>(|_, _, cured| broken += u32::from(!cured));
    assert!(broken > 0);
}

/// ZOOKEEPER-1154: epoch 1 ends at 3; one server logged 4, too; epoch 2 committed its first.
#[test]
fn a_former_leader_with_a_transaction_of_its_own_is_cut_to_what_both_have() {
    let history = Past { log: [1, 2, 3].map(|n| Zxid::new(1, n)).to_vec(), elected_with: 1 };
    let mut history = history.history::<Sound>(500);
    let learner = |last| Standing { last, whole: false, leads: 2, elected_with: 1, disk: None };
    let to = Zxid::new(1, 3);
    assert_eq!(history.remedy(&learner(Zxid::new(1, 4))), Remedy::Trunc { to });
    history.push(Zxid::new(2, 1), Arc::default());
    assert_eq!(history.remedy(&learner(Zxid::new(1, 4))), Remedy::Trunc { to }, "not committed");
    history.commit(Zxid::new(2, 1), Zxid::new(2, 1));
    assert_eq!(history.remedy(&learner(Zxid::new(1, 4))), Remedy::Trunc { to });
    assert_eq!(history.remedy(&learner(to)), Remedy::Diff { after: to });
    // One whose leader of epoch 3 nobody followed.
    assert_eq!(history.remedy(&learner(Zxid::new(3, 1))), Remedy::Snap);
}

#[test]
#[should_panic(expected = "0x3 does not follow 0x1")]
fn holes_are_never_kept() {
    let mut history = History::new(Sound, 500, Zxid(1));
    history.push(Zxid(3), Arc::default());
}

#[test]
fn what_is_committed_before_it_is_durable_here_is_kept() {
    let mut history = History::new(Sound, 2, Zxid::ZERO);
    (1..=6).for_each(|zxid| history.push(Zxid(zxid), Arc::default()));
    history.commit(Zxid(5), Zxid(1));
    assert_eq!((history.before(), history.committed()), (Zxid::ZERO, Zxid(5)));
    history.commit(Zxid(6), Zxid(5));
    assert_eq!((history.before(), history.committed()), (Zxid(3), Zxid(6)));
}

#[test]
fn a_replaced_tree_starts_over() {
    let mut history = History::new(Sound, 2, Zxid::ZERO);
    (1..=5).for_each(|zxid| history.push(Zxid(zxid), Arc::default()));
    assert_eq!((history.before(), history.committed()), (Zxid(0), Zxid(0)), "all are needed");
    history.commit(Zxid(4), Zxid(4));
    assert_eq!((history.before(), history.last()), (Zxid(2), Zxid(5)));
    history.commit(Zxid(5), Zxid(5));
    assert_eq!((history.before(), history.last()), (Zxid(3), Zxid(5)));
    history.reset(Zxid::new(1, 0));
    assert_eq!((history.before(), history.last()), (Zxid::new(1, 0), Zxid::new(1, 0)));
    assert!(history.after(Zxid::ZERO).is_none());
    history.push(Zxid::new(1, 1), Arc::default());
    history.commit(Zxid::new(1, 1), Zxid::new(1, 1));
    // It came with the tree of a leader of Java's that had not proposed anything yet.
    let last = Zxid::new(1, 0);
    let standing = Standing { last, whole: false, leads: 3, elected_with: 0, disk: None };
    assert_eq!(history.remedy(&standing), Remedy::Diff { after: Zxid::new(1, 0) });
    // Beyond such a tree there is nothing that a log could be cut to.
    history.reset(Zxid::new(1, 0));
    let standing = Standing { last: Zxid::new(1, 2), ..standing };
    assert_eq!(history.remedy(&standing), Remedy::Snap);
}
