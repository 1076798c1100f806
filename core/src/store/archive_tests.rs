// SPDX-License-Identifier: Apache-2.0
//! Learners served from the test disk.

use alloc::vec::Vec;

use super::*;
use crate::{
    io::Dir,
    log::{Name, SIGNATURE, append_log_header, append_record},
    store::{
        Install,
        recovery::tests::{CONFIG, Run, V39, disk, entry, recover, snapshot_of, with},
        test_disk::TestDisk,
    },
    zoo::Sound,
};

/// News, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    Survey(Option<LogSpan>),
    Log(Vec<(i64, Vec<u8>)>),
    Tree(i64, Vec<u8>, bool),
    Failed(String),
}

struct Bench {
    run: Run,
    archive: Archive,
    fx: Effects,
    news: Vec<(u64, News)>,
    /// What the log's answer followed, the last time.
    after: i64,
    /// Files open before any question.
    open: usize,
}

impl Bench {
    /// Over the directory of a running process.
    fn new(run: Run) -> Bench {
        let mut archive = Archive::new(Some(330_000));
        archive.begin(run.served().snapshot);
        let open = run.disk.open_files();
        let mut bench =
            Bench { run, archive, fx: Effects::new(), news: Vec::new(), after: 0, open };
        bench.run.disk.log.clear();
        bench
    }

    fn survey(&mut self, link: u64, last: i64) {
        self.archive.survey(LinkId(link), Zxid(last), &mut self.run.ids, &mut self.fx);
        self.run.disk.take(&mut self.fx);
    }

    fn fetch_log(&mut self, link: u64, after: i64, upto: i64) {
        let (ids, fx) = (&mut self.run.ids, &mut self.fx);
        self.archive.fetch_log(LinkId(link), Zxid(after), Zxid(upto), ids, fx);
        self.run.disk.take(&mut self.fx);
    }

    fn fetch_tree(&mut self, link: u64, least: i64) {
        self.archive.fetch_tree(LinkId(link), Zxid(least), &mut self.run.ids, &mut self.fx);
        self.run.disk.take(&mut self.fx);
    }

    fn gone(&mut self, link: u64) {
        self.archive.gone(LinkId(link), &mut self.run.ids, &mut self.fx);
        self.run.disk.take(&mut self.fx);
    }

    fn snapshot_done(&mut self, zxid: i64) {
        self.archive.snapshot_done(Zxid(zxid), &mut self.run.ids, &mut self.fx);
        self.run.disk.take(&mut self.fx);
    }

    fn step(&mut self) -> bool {
        let Some(done) = self.run.disk.step(false) else { return false };
        assert!(self.archive.owns(done.op));
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        let (news, place, ids) = (&mut self.news, &mut self.after, &mut self.run.ids);
        self.archive.on_file(done.op, &result, ids, &mut self.fx, &mut |told, _| {
            news.push(match told {
                ArchiveNews::Survey { link, disk } => (link.0, News::Survey(disk)),
                ArchiveNews::Log { link, after, entries } => {
                    *place = after.0;
                    let entries = entries.iter().map(|(zxid, entry)| (zxid.0, entry.to_vec()));
                    (link.0, News::Log(entries.collect()))
                }
                ArchiveNews::Tree { link, zxid, bytes, last } => {
                    (link.0, News::Tree(zxid.0, bytes.to_vec(), last))
                }
                ArchiveNews::Failed { link, why } => (link.0, News::Failed(why)),
            });
        });
        self.run.disk.take(&mut self.fx);
        assert!(self.run.disk.waiting() <= 1, "one operation at a time");
        true
    }

    /// Does all there is to do; gives back what was told.
    fn rest(&mut self) -> Vec<(u64, News)> {
        while self.step() {}
        core::mem::take(&mut self.news)
    }

    /// The only thing that was told.
    fn told(&mut self) -> News {
        let mut news = self.rest();
        assert_eq!(news.len(), 1, "{news:?}");
        news.pop().expect("there is one").1
    }

    /// All that the log gives after a transaction, fetch by fetch.
    fn log(&mut self, link: u64, after: i64, upto: i64) -> Vec<i64> {
        let (mut at, mut all) = (after, Vec::new());
        while at < upto {
            self.fetch_log(link, at, upto);
            let News::Log(entries) = self.told() else { panic!("it was asked for") };
            let Some(last) = entries.last() else { return all };
            at = last.0;
            for (zxid, bytes) in entries {
                assert_eq!(bytes, entry(zxid));
                all.push(zxid);
            }
        }
        all
    }

    /// A whole tree, or as much of it as comes.
    fn tree(&mut self, link: u64, least: i64) -> (Vec<u8>, usize, Option<News>) {
        let (mut bytes, mut pieces) = (Vec::new(), 0);
        loop {
            self.fetch_tree(link, least);
            match self.rest().pop() {
                Some((_, News::Tree(_, piece, last))) => {
                    bytes.extend_from_slice(&piece);
                    pieces += 1;
                    if last {
                        return (bytes, pieces, None);
                    }
                }
                other => return (bytes, pieces, other.map(|other| other.1)),
            }
        }
    }

    /// Nothing is left open once everybody is gone.
    fn all_gone(&mut self) {
        (0..9).for_each(|link| self.gone(link));
        self.rest();
        assert_eq!(self.run.disk.open_files(), self.open);
    }
}

const fn epoch(epoch: i64, counter: i64) -> i64 {
    (epoch << 32) | counter
}

/// 1 to 9 in log.1, log.4 and log.8, then an epoch later.
fn history() -> Vec<i64> {
    (1..=9).chain((1..=5).map(|n| epoch(2, n))).collect()
}

fn written() -> Run {
    let mut run = recover(TestDisk::new());
    run.log(history(), &[4, 8, epoch(2, 3)]);
    run
}

#[test]
fn the_log_gives_what_follows_a_transaction_that_stands_in_it() {
    let mut bench = Bench::new(written());
    let history = history();
    for (at, after) in [0].iter().chain(&history).enumerate() {
        for upto in at..history.len() {
            let expected = &history[at..=upto];
            assert_eq!(bench.log(1, *after, history[upto]), expected, "{after:x}");
        }
    }
    for stranger in [10, 77, epoch(1, 1), epoch(2, 0)] {
        bench.fetch_log(1, stranger, epoch(9, 10));
        let News::Log(entries) = bench.told() else { panic!("it was asked for") };
        assert_eq!(entries[0].0, epoch(2, 1), "{stranger:x} parts from this log behind 9");
        assert_eq!(bench.after, 9);
    }
    bench.gone(1);
    bench.rest();
    for stranger in [epoch(2, 6), epoch(9, 9), -1] {
        bench.fetch_log(1, stranger, epoch(9, 10));
        assert_eq!(bench.told(), News::Log(Vec::new()), "{stranger:x}");
        assert_eq!(bench.run.disk.open_files(), bench.open);
    }
    bench.all_gone();
}

#[test]
fn the_log_may_part_where_one_file_ends_and_the_next_begins() {
    let mut run = recover(TestDisk::new());
    run.log(history(), &[4, epoch(2, 1), epoch(2, 4)]);
    let mut bench = Bench::new(run);
    for (stranger, after) in [(10, 9), (epoch(1, 7), 9), (epoch(2, 0), 9)] {
        bench.fetch_log(1, stranger, epoch(9, 10));
        let News::Log(entries) = bench.told() else { panic!("it was asked for") };
        assert_eq!(entries.first().map(|entry| entry.0), Some(epoch(2, 1)), "{stranger:x}");
        assert_eq!(bench.after, after);
        bench.gone(1);
        bench.rest();
    }
    // A file that holds nothing says nothing of what stands before the next.
    bench.run.disk = with(&bench.run.disk, Dir::Log, "log.4", |log| log.truncate(16));
    bench.open = 0;
    bench.fetch_log(1, 10, epoch(9, 10));
    assert_eq!(bench.told(), News::Log(Vec::new()));
    bench.all_gone();
}

#[test]
fn a_place_in_the_log_is_kept_from_one_question_to_the_next() {
    let mut run = recover(TestDisk::new());
    run.write(4000);
    let mut bench = Bench::new(run);
    assert_eq!(bench.log(1, 2, 4000), (3..=4000).collect::<Vec<_>>());
    let count = |bench: &Bench, what: &str| {
        bench.run.disk.log.iter().filter(|line| line.starts_with(what)).count()
    };
    assert_eq!((count(&bench, "list"), count(&bench, "open")), (1, 1));
    let len = bench.run.disk.file(Dir::Log, "log.1").map_or(0, <[u8]>::len);
    let reads = count(&bench, "read");
    assert!(reads > 2 && reads <= len / PIECE as usize + 2, "{reads} reads of {len} bytes");
    // The log grows.
    bench.run.write(4005);
    assert_eq!(bench.log(1, 4000, 4004), (4001..=4004).collect::<Vec<_>>());
    assert_eq!(count(&bench, "open"), 1);
    bench.all_gone();
}

#[test]
fn a_record_of_several_pieces_is_given_whole() {
    let mut run = recover(TestDisk::new());
    let mut large = alloc::vec![7; 3 * PIECE as usize];
    let mut fx = Effects::new();
    for zxid in 1..=3_i64 {
        large[12..20].copy_from_slice(&zxid.to_be_bytes());
        run.recovered.as_mut().expect("it serves").log.append(Zxid(zxid), &large);
    }
    run.recovered.as_mut().expect("it serves").log.flush(&mut run.ids, &mut fx);
    run.disk.take(&mut fx);
    run.rest();
    let mut bench = Bench::new(run);
    for after in 0..3 {
        bench.fetch_log(1, after, 3);
        let News::Log(entries) = bench.told() else { panic!("it was asked for") };
        large[12..20].copy_from_slice(&(after + 1).to_be_bytes());
        assert!(entries == [(after + 1, large.clone())], "after {after}");
    }
    bench.all_gone();
}

#[test]
fn nothing_beyond_what_may_be_read_is_looked_at() {
    let mut run = recover(TestDisk::new());
    run.write(8);
    let end = 16 + 5 * (13 + entry(1).len());
    let mut bench = Bench::new(run);
    bench.run.disk = with(&bench.run.disk, Dir::Log, "log.1", |log| log[end..].fill(0xee));
    bench.open = 0;
    assert_eq!(bench.log(1, 0, 5), [1, 2, 3, 4, 5]);
    assert_eq!(bench.log(2, 0, 7), [1, 2, 3, 4, 5], "what cannot be read is not there");
    bench.all_gone();
}

#[test]
fn only_the_log_behind_the_snapshot_of_recovery_is_believed() {
    // 8 and 9 were never committed, and the tree of a later epoch took the place of all.
    let mut run = recover(TestDisk::new());
    run.log(1..=9, &[4]);
    let mut leader = recover(TestDisk::new());
    leader.log((1..=7).chain((1..=3).map(|n| epoch(3, n))), &[]);
    let tree = snapshot_of(&mut leader, epoch(3, 3));
    run.disk.put(Dir::Snap, "snapshot.300000003", &tree);
    let mut run = run.again(epoch(3, 3), |_| {});
    run.log((4..=6).map(|n| epoch(3, n)).chain([epoch(5, 1)]), &[epoch(3, 5)]);
    let mut bench = Bench::new(run);
    for stranger in [7, 8, 9, epoch(3, 1), epoch(3, 2)] {
        assert_eq!(bench.log(1, stranger, epoch(5, 1)), [0; 0], "{stranger:x}");
    }
    let all = [epoch(3, 4), epoch(3, 5), epoch(3, 6), epoch(5, 1)];
    for (at, after) in [epoch(3, 3)].iter().chain(&all[..3]).enumerate() {
        assert_eq!(bench.log(1, *after, epoch(5, 1)), all[at..]);
    }
    bench.survey(1, 8);
    let News::Survey(Some(span)) = bench.told() else { panic!("there is a log") };
    assert_eq!(span.first, Zxid(epoch(3, 3)));
    bench.all_gone();
}

#[test]
fn a_survey_measures_the_logs_that_a_learner_lacks() {
    let mut bench = Bench::new(written());
    let len = |bench: &Bench, dir, name| bench.run.disk.file(dir, name).map_or(0, <[u8]>::len);
    let names = ["log.1", "log.4", "log.8", "log.200000003"];
    let lens: Vec<_> = names.iter().map(|name| len(&bench, Dir::Log, name) as u64).collect();
    for (last, from) in [(0, 0), (2, 0), (3, 1), (6, 1), (7, 2), (9, 2), (epoch(2, 2), 3)] {
        bench.survey(1, last);
        let bytes = lens[from..].iter().sum();
        let span = LogSpan { first: Zxid::ZERO, bytes, most: u64::MAX };
        assert_eq!(
            bench.told(),
            News::Survey(Some(span)),
            "{last:x}: no tree would save any of it"
        );
    }
    let most = snapshot_of(&mut bench.run, 7).len() as u64 * 33 / 100;
    // A snapshot that was found bad at the start saves nothing, though it is there.
    for (done, last, from, most) in
        [(false, 6, 1, u64::MAX), (true, 6, 1, most), (true, 7, 2, u64::MAX)]
    {
        if done {
            bench.snapshot_done(7);
        }
        bench.survey(1, last);
        let span = LogSpan { first: Zxid::ZERO, bytes: lens[from..].iter().sum(), most };
        assert_eq!(bench.told(), News::Survey(Some(span)), "{last:x}");
    }
    bench.archive.factor = None;
    bench.survey(1, 0);
    assert_eq!(bench.told(), News::Survey(None), "no log is to be read");
}

#[test]
fn a_log_that_begins_in_a_later_epoch_is_whole_from_the_tree_that_it_follows() {
    let mut log = Vec::new();
    append_log_header(&mut log);
    (1..=3).for_each(|n| append_record(&mut log, &entry(epoch(1, n))));
    let mut disk = TestDisk::new();
    disk.put(Dir::Snap, "snapshot.5", &snapshot_of(&mut written(), 5));
    disk.put(Dir::Log, "log.100000001", &log);
    let mut bench = Bench::new(recover(disk));
    // A learner that had more of the epoch before: it is cut to what both have, and needs no tree.
    bench.survey(1, 7);
    let News::Survey(Some(span)) = bench.told() else { panic!("there is a log") };
    assert_eq!((span.first, span.most), (Zxid(5), u64::MAX));
    bench.fetch_log(1, 7, epoch(1, 3));
    let News::Log(entries) = bench.told() else { panic!("it was asked for") };
    assert_eq!((bench.after, entries[0].0, entries.len()), (5, epoch(1, 1), 3));
}

#[test]
fn java_s_snapshots_are_sent_as_java_sends_them() {
    let java: [(&str, &[u8], usize); 3] = [
        ("snapshot.13", include_bytes!("../../../tests/fixtures/datadir-3.4.6/snapshot.13"), 1314),
        ("snapshot.1b", include_bytes!("../../../tests/fixtures/datadir-3.8.0/snapshot.1b"), 1856),
        ("snapshot.19", V39[4].1, 1690),
    ];
    for (name, file, seal) in java {
        let mut bench = Bench::new(recover(TestDisk::new()));
        bench.run.disk.put(Dir::Snap, name, file);
        let Name::Snapshot(zxid, _) = Name::parse(name) else { panic!("it is one") };
        bench.archive.begin(zxid);
        let (bytes, pieces, other) = bench.tree(1, zxid.0);
        assert_eq!((pieces, other), (1, None));
        assert_eq!(bytes, [&file[16..seal], &SIGNATURE].concat());
        bench.all_gone();
    }
}

/// A server with a snapshot of several pieces.
fn large() -> Bench {
    let mut run = recover(TestDisk::new());
    run.write(2500);
    snapshot_of(&mut run, 2500);
    let mut bench = Bench::new(run);
    bench.snapshot_done(2500);
    bench
}

#[test]
fn a_tree_goes_a_piece_at_a_time_and_installs() {
    let mut bench = large();
    // What the purge unlinks stays readable.
    bench.fetch_tree(1, 7);
    let News::Tree(2500, first, false) = bench.told() else { panic!("a piece") };
    bench.run.disk.unlink(Dir::Snap, "snapshot.9c4");
    let (rest, pieces, other) = bench.tree(1, 7);
    assert!(pieces > 0 && other.is_none(), "{pieces} {other:?}");
    let (mut ids, mut fx) = (Ids::new(), Effects::new());
    let mut install = Install::new(Sound, CONFIG.hash, CONFIG.tail, Zxid(2500));
    install.push(&first).and_then(|()| install.push(&rest)).expect("a tree");
    install.finish(&mut ids, &mut fx).expect("it is whole");
    bench.all_gone();
}

#[test]
fn who_needs_a_later_snapshot_waits_for_it() {
    let mut bench = Bench::new(written());
    bench.fetch_tree(1, 3);
    bench.fetch_tree(2, 7);
    bench.fetch_tree(3, epoch(2, 4));
    bench.fetch_tree(4, 0);
    assert!(matches!(bench.told(), News::Tree(0, _, true)));
    assert_eq!(bench.archive.wants_snapshot(), Some(Zxid(epoch(2, 4))));
    let snapshot = snapshot_of(&mut bench.run, epoch(2, 5));
    bench.run.disk.put(Dir::Snap, "snapshot.8", &snapshot);
    bench.snapshot_done(8);
    let news = bench.rest();
    assert_eq!(news.iter().map(|told| told.0).collect::<Vec<_>>(), [1, 2]);
    bench.gone(3);
    assert_eq!(bench.archive.wants_snapshot(), None);
    bench.fetch_tree(3, epoch(2, 4));
    bench.snapshot_done(epoch(2, 5));
    assert!(matches!(bench.told(), News::Tree(zxid, _, true) if zxid == epoch(2, 5)));
    bench.all_gone();
}

#[test]
fn a_damaged_snapshot_is_never_given_to_its_end() {
    let mut good = large();
    let (whole, ..) = good.tree(1, 0);
    let file = good.run.disk.file(Dir::Snap, "snapshot.9c4").expect("it is there").to_vec();
    let mut failed = 0;
    for at in (0..file.len()).step_by(4099).chain([0, 17, file.len() - 1, file.len() - 60]) {
        let mut bench = large();
        let damage = |bytes: &mut Vec<u8>| bytes[at] ^= 0x40;
        bench.run.disk = with(&bench.run.disk, Dir::Snap, "snapshot.9c4", damage);
        bench.open = 0;
        let (bytes, pieces, end) = bench.tree(1, 2);
        if end.is_none() && bytes == whole {
            assert!((4..16).contains(&at), "byte {at}");
            continue;
        }
        if pieces == 0 {
            assert_eq!(bench.archive.wants_snapshot(), Some(Zxid(2)), "byte {at}");
        } else {
            assert!(matches!(end, Some(News::Failed(_))), "byte {at}: {end:?}");
            failed += 1;
        }
        bench.gone(1);
        bench.fetch_tree(1, 0);
        assert_eq!(bench.rest(), [], "a new snapshot is waited for");
        bench.all_gone();
    }
    assert!(failed > 10, "{failed}");
}

#[test]
fn who_goes_leaves_no_file_open_and_no_other_learner_alone() {
    for steps in 0..12 {
        let mut bench = large();
        bench.fetch_log(1, 3, 2500);
        bench.fetch_tree(2, 5);
        bench.survey(3, 5);
        (0..steps).for_each(|_| {
            bench.step();
        });
        bench.gone(1);
        bench.gone(2);
        let told = bench.rest();
        assert!(told.iter().any(|told| told.0 == 3), "after {steps} steps: {told:?}");
        bench.gone(3);
        bench.rest();
        assert_eq!(bench.run.disk.open_files(), bench.open, "after {steps} steps");
    }
}

#[test]
fn a_failing_disk_fails_one_question_and_no_other() {
    for k in 0..12 {
        let mut bench = large();
        bench.run.disk.fail_at = Some(bench.run.disk.done + k);
        bench.fetch_log(1, 3, 2500);
        bench.fetch_log(2, 4, 2500);
        bench.fetch_tree(3, 5);
        bench.survey(4, 5);
        let told = bench.rest();
        let good = told.iter().filter(|(_, news)| match news {
            News::Survey(span) => span.is_some(),
            News::Log(entries) => !entries.is_empty(),
            News::Tree(..) => true,
            News::Failed(_) => false,
        });
        assert!(good.count() >= 3, "operation {k}: {told:?}");
        assert!(told.len() == 4 || bench.archive.wants_snapshot() == Some(Zxid(5)));
        // What could not be closed is not tried again.
        let Some(failed) = bench.run.disk.log.get(k) else { break };
        bench.open += usize::from(failed.starts_with("close"));
        bench.all_gone();
    }
}

#[test]
fn a_new_beginning_forgets_the_learners_of_the_old_one() {
    for steps in 0..4 {
        let mut bench = large();
        bench.fetch_log(1, 3, 2500);
        bench.fetch_tree(2, 5);
        (0..steps).for_each(|_| {
            bench.step();
        });
        bench.archive.begin(Zxid(2500));
        bench.news.clear();
        bench.survey(1, 5);
        assert!(matches!(bench.told(), News::Survey(_)));
        bench.all_gone();
    }
}

#[test]
fn places_where_nobody_reads_are_given_up_with_each_snapshot() {
    let mut bench = Bench::new(written());
    bench.fetch_log(1, 0, 9);
    bench.rest();
    assert_eq!(bench.run.disk.open_files(), bench.open + 1);
    bench.snapshot_done(9);
    bench.rest();
    assert_eq!(bench.run.disk.open_files(), bench.open);
    assert_eq!(bench.log(1, 3, 9), (4..=9).collect::<Vec<_>>(), "and found again");
    let mut java = Bench::new(recover(disk(V39)));
    for (after, last) in [(0x19, 0x1a), (0x1a, 0x1c)] {
        java.fetch_log(1, after, 0x1c);
        let News::Log(entries) = java.told() else { panic!("it was asked for") };
        assert_eq!(entries.last().map(|entry| entry.0), Some(last), "up to the end of a log");
    }
}
