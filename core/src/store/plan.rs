// SPDX-License-Identifier: Apache-2.0
//! What stands in the data directory, and what follows from it: which files are read, and what bad
//! bytes at the end of a log mean.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    id::Zxid,
    io::DirEntry,
    log::{
        Ending, LOG_HEADER_LEN, MARK_NAME, Mark, Name, Packing, TAKEOVER_NAME, log_name,
        snapshot_name,
    },
};

/// The files of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Plain snapshots, newest first, with their lengths.
    pub(super) snapshots: Vec<(Zxid, u64)>,
    /// The newest compressed snapshot, which we cannot read.
    pub(super) compressed: Option<(Zxid, String)>,
    /// Logs, oldest first.
    pub(super) logs: Vec<Zxid>,
    /// Snapshots of ours that were never finished.
    pub(super) partials: Vec<String>,
    pub(super) mark: bool,
    pub(super) takeover: bool,
}

impl Plan {
    /// Sorts the names of both folders, which are one and the same unless `separate`. Snapshots
    /// in the folder of the log, or the other way round, are refused as Java refuses them.
    pub(super) fn of(
        snap: &[DirEntry],
        log: &[DirEntry],
        separate: bool,
    ) -> Result<Plan, &'static str> {
        let mut plan = Plan::default();
        for DirEntry { name, len } in snap {
            match Name::parse(name) {
                Name::Snapshot(zxid, Packing::Plain) => plan.snapshots.push((zxid, *len)),
                Name::Snapshot(zxid, Packing::Compressed) => {
                    if plan.compressed.as_ref().is_none_or(|newest| newest.0 < zxid) {
                        plan.compressed = Some((zxid, name.clone()));
                    }
                }
                Name::Partial => plan.partials.push(name.clone()),
                Name::Log(_) if separate => return Err("snapshot directory has log files"),
                Name::Log(_) | Name::Foreign => {}
            }
        }
        for DirEntry { name, .. } in log {
            match Name::parse(name) {
                Name::Log(zxid) => plan.logs.push(zxid),
                Name::Snapshot(..) if separate => return Err("log directory has snapshot files"),
                _ => {}
            }
        }
        plan.snapshots.sort_unstable_by(|a, b| b.cmp(a));
        plan.logs.sort_unstable();
        plan.mark = log.iter().any(|entry| entry.name == MARK_NAME);
        plan.takeover = snap.iter().any(|entry| entry.name == TAKEOVER_NAME);
        Ok(plan)
    }

    /// The logs that may hold transactions after `from`: the last that begins no later than the
    /// one after it, and all that follow.
    pub(super) fn logs_after(&self, from: Zxid) -> &[Zxid] {
        let first = self.logs.partition_point(|log| *log <= from.next());
        &self.logs[first.saturating_sub(1)..]
    }

    /// The newest snapshot of any kind.
    pub(super) fn newest_snapshot(&self) -> Option<(Zxid, String)> {
        let plain = self.snapshots.first().map(|(zxid, _)| (*zxid, snapshot_name(*zxid)));
        plain.max(self.compressed.clone())
    }

    /// The last transaction that a name speaks of.
    pub(super) fn newest(&self) -> Option<Zxid> {
        self.newest_snapshot().map(|newest| newest.0).max(self.logs.last().copied())
    }

    /// The name of the newest compressed snapshot.
    pub(super) fn compressed(&self) -> Option<&str> {
        self.compressed.as_ref().map(|newest| newest.1.as_str())
    }

    /// Whether a snapshot ends with a transaction after one and before another: history goes
    /// through it, though the two may follow one another as epochs do. The start of an epoch is
    /// none.
    pub(super) fn speaks_of(&self, after: Zxid, before: Zxid) -> bool {
        let plain = self.snapshots.iter().map(|(zxid, _)| *zxid);
        let mut all = plain.chain(self.compressed.iter().map(|(zxid, _)| *zxid));
        all.any(|zxid| zxid > after && zxid < before && zxid.counter() > 0)
    }

    /// Whether files stand here that another server wrote since our mark was.
    pub(super) fn taken_over(&self, mark: Option<Mark>) -> bool {
        match mark {
            None => self.newest().is_some(),
            Some(mark) => self.logs.last().is_some_and(|log| *log > mark.log),
        }
    }

    /// A log that the mark knows and nobody else can have removed in the course of things.
    pub(super) fn lost_log(&self, mark: Option<Mark>) -> Option<Zxid> {
        let mark = mark.filter(|mark| mark.synced > LOG_HEADER_LEN)?;
        let gone = !self.logs.contains(&mark.log) && self.newest() < Some(mark.log);
        gone.then_some(mark.log)
    }
}

/// How a log was found to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogEnd {
    /// The log.
    pub(super) log: Zxid,
    /// Its length.
    pub(super) len: u64,
    /// Where its last good record ends.
    pub(super) offset: u64,
    /// How it goes on there.
    pub(super) ending: Ending,
    /// The last good transaction, here or before.
    pub(super) last: Zxid,
    /// The log after it.
    pub(super) next: Option<Zxid>,
}

/// What an ending means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong.
    Whole,
    /// A tear (D4): what is behind the last good record goes.
    Cut,
    /// A tear before the log's header was whole: the log goes.
    Remove,
    /// Rot (D5), and how one can tell.
    Rot(String),
}

impl LogEnd {
    /// D4, D5 and D6, decided.
    pub(super) fn judge(&self, mark: Option<Mark>) -> Verdict {
        match self.next {
            Some(next) => self.judge_older(next, mark),
            None => self.judge_newest(mark),
        }
    }

    /// Who began the next log began it after the last transaction that he knew. If that is the
    /// last good one here, then what is behind it was never part of history. The first transaction
    /// of an epoch may follow any of an earlier one; but we cut what is torn before we begin a log.
    fn judge_older(&self, next: Zxid, mark: Option<Mark>) -> Verdict {
        let ours = mark.is_some_and(|mark| next <= mark.log);
        match self.ending {
            Ending::Clean => Verdict::Whole,
            _ if !next.follows(self.last) => {
                Verdict::Rot(format!("{} goes on later than that", log_name(next)))
            }
            _ if ours && next != self.last.next() => {
                Verdict::Rot(format!("it was whole when {} was begun", log_name(next)))
            }
            Ending::Headless => Verdict::Remove,
            Ending::Cut | Ending::Corrupt => self.cut(),
        }
    }

    fn judge_newest(&self, mark: Option<Mark>) -> Verdict {
        let ours = mark.filter(|mark| mark.log == self.log);
        if let Some(mark) = ours
            && self.offset < mark.synced
        {
            let synced = mark.synced;
            return Verdict::Rot(format!("it was known to be good up to byte {synced}"));
        }
        match self.ending {
            Ending::Clean => Verdict::Whole,
            Ending::Headless if ours.is_some() || self.len < LOG_HEADER_LEN => Verdict::Remove,
            Ending::Cut => self.cut(),
            Ending::Corrupt if ours.is_some() => self.cut(),
            Ending::Headless | Ending::Corrupt => Verdict::Rot(
                "another server wrote it, and would not start on it either".to_string(),
            ),
        }
    }

    fn cut(&self) -> Verdict {
        if self.offset < LOG_HEADER_LEN { Verdict::Remove } else { Verdict::Cut }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn entries(names: &[&str]) -> Vec<DirEntry> {
        names.iter().map(|name| DirEntry { name: name.to_string(), len: 9 }).collect()
    }

    #[test]
    fn names_become_a_plan() {
        let names = entries(&[
            "currentEpoch",
            "log.1",
            "log.b",
            "log.100000001",
            "menagerie.synced",
            "snapshot.0",
            "snapshot.a",
            "snapshot.9.gz",
            "tmp.snapshot.5",
        ]);
        let plan = Plan::of(&names, &names, false).expect("one folder for all");
        assert_eq!(plan.snapshots, [(Zxid(10), 9), (Zxid(0), 9)]);
        assert_eq!(plan.compressed, Some((Zxid(9), "snapshot.9.gz".into())));
        assert_eq!(plan.logs, [Zxid(1), Zxid(11), Zxid(0x1_0000_0001)]);
        assert_eq!(plan.partials, ["tmp.snapshot.5"]);
        assert!(plan.mark && !plan.takeover);
        assert_eq!(Plan::of(&names, &[], true), Err("snapshot directory has log files"));
        assert_eq!(Plan::of(&[], &names, true), Err("log directory has snapshot files"));
    }

    #[test]
    fn only_logs_that_may_matter_are_read() {
        let logs = vec![Zxid(1), Zxid(10), Zxid(20)];
        let plan = Plan { logs, ..Plan::default() };
        let after = |from| plan.logs_after(Zxid(from)).iter().map(|log| log.0).collect::<Vec<_>>();
        assert_eq!(after(0), [1, 10, 20]);
        assert_eq!(after(8), [1, 10, 20]);
        assert_eq!(after(9), [10, 20]);
        assert_eq!(after(12), [10, 20]);
        assert_eq!(after(99), [20]);
        assert_eq!(Plan::default().logs_after(Zxid(5)), []);
    }

    #[test]
    fn a_snapshot_tells_of_transactions_between_two_epochs() {
        let at = |zxid| Plan { snapshots: vec![(zxid, 9)], ..Plan::default() };
        let (last, next) = (Zxid::new(2, 5), Zxid::new(4, 1));
        assert!(at(Zxid::new(2, 6)).speaks_of(last, next));
        assert!(at(Zxid::new(3, 1)).speaks_of(last, next));
        assert!(!at(Zxid::new(3, 0)).speaks_of(last, next));
        assert!(!at(last).speaks_of(last, next) && !at(next).speaks_of(last, next));
        let compressed = Some((Zxid::new(3, 1), String::new()));
        assert!(Plan { compressed, ..Plan::default() }.speaks_of(last, next));
    }

    #[test]
    fn the_mark_tells_tear_from_rot_in_the_newest_log() {
        use Ending::{Clean, Corrupt, Cut, Headless};
        let judge = |ending, offset, mark: Option<(i64, u64)>| {
            let end = LogEnd { log: Zxid(5), len: 900, offset, ending, last: Zxid(7), next: None };
            let mark = mark.map(|(log, synced)| Mark { log: Zxid(log), synced });
            match end.judge(mark) {
                Verdict::Whole => "whole",
                Verdict::Cut => "cut",
                Verdict::Remove => "remove",
                Verdict::Rot(_) => "rot",
            }
        };
        let (ours, others, none) = (Some((5, 100)), Some((4, 100)), None);
        for (ending, words) in [
            (Clean, ["whole", "rot", "whole", "whole", "whole"]),
            (Cut, ["cut", "rot", "cut", "cut", "cut"]),
            (Corrupt, ["cut", "rot", "cut", "rot", "rot"]),
        ] {
            let found = [
                judge(ending, 100, ours),
                judge(ending, 99, ours),
                judge(ending, 99, Some((5, 0))),
                judge(ending, 99, others),
                judge(ending, 99, none),
            ];
            assert_eq!(found, words, "{ending:?}");
        }
        assert_eq!(judge(Headless, 0, Some((5, 0))), "remove");
        assert_eq!(judge(Headless, 0, none), "rot");
        assert_eq!(judge(Corrupt, 0, Some((5, 0))), "remove");
    }

    #[test]
    fn the_next_log_tells_tear_from_rot_in_an_older_one() {
        let judge = |ending, next| {
            let end = LogEnd {
                log: Zxid(5),
                len: 900,
                offset: 99,
                ending,
                last: Zxid(7),
                next: Some(Zxid(next)),
            };
            end.judge(Some(Mark { log: Zxid(5), synced: 500 }))
        };
        assert_eq!(judge(Ending::Clean, 20), Verdict::Whole);
        assert_eq!(judge(Ending::Cut, 8), Verdict::Cut);
        assert_eq!(judge(Ending::Corrupt, 8), Verdict::Cut);
        assert_eq!(judge(Ending::Headless, 8), Verdict::Remove);
        let rot = Verdict::Rot("log.9 goes on later than that".into());
        assert_eq!(judge(Ending::Cut, 9), rot);
        assert_eq!(judge(Ending::Corrupt, 9), rot);
    }

    #[test]
    fn a_later_epoch_s_log_says_nothing_of_the_one_before_unless_we_began_it() {
        let next = Zxid::new(2, 1);
        let judge = |ending, began| {
            let end = LogEnd {
                log: Zxid(5),
                len: 900,
                offset: 99,
                ending,
                last: Zxid(7),
                next: Some(next),
            };
            end.judge(Some(Mark { log: began, synced: 500 }))
        };
        let rot = Verdict::Rot("it was whole when log.200000001 was begun".into());
        for began in [next, Zxid::new(3, 1)] {
            assert_eq!(judge(Ending::Clean, began), Verdict::Whole);
            assert_eq!(judge(Ending::Cut, began), rot);
            assert_eq!(judge(Ending::Corrupt, began), rot);
            assert_eq!(judge(Ending::Headless, began), rot);
        }
        assert_eq!(judge(Ending::Cut, Zxid(5)), Verdict::Cut);
    }
}
