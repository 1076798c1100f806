// SPDX-License-Identifier: Apache-2.0
//! The log writer against the test disk.

use alloc::vec;

use super::*;
use crate::{
    log::{Ending, LogScanner, Step},
    store::test_disk::TestDisk,
    zoo::Sound,
};

const MARK: FileId = FileId(1000);

struct Bench {
    disk: TestDisk,
    writer: LogWriter<Sound>,
    ids: Ids,
    fx: Effects,
}

impl Bench {
    fn new(config: LogConfig) -> Bench {
        let mut disk = TestDisk::new();
        let (mut ids, mut fx) = (Ids::new(), Effects::new());
        let create =
            FileOp::Create { file: MARK, dir: Dir::Log, name: crate::log::MARK_NAME.into() };
        fx.file(ids.lane(), ids.op(), create);
        disk.take(&mut fx);
        disk.step(false);
        disk.log.clear();
        let writer = LogWriter::new(Sound, config, MARK, Zxid::ZERO, &mut ids);
        Bench { disk, writer, ids, fx }
    }

    fn append(&mut self, zxid: i64, len: usize) {
        self.writer.append(Zxid(zxid), &entry(zxid, len));
    }

    fn flush(&mut self) {
        self.writer.flush(&mut self.ids, &mut self.fx);
        self.disk.take(&mut self.fx);
    }

    /// One completion; whether there was one.
    fn step(&mut self, other_lane: bool) -> bool {
        let Some(done) = self.disk.step(other_lane) else { return false };
        assert!(self.writer.owns(done.op));
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        self.writer.on_file(done.op, &result, &mut self.ids, &mut self.fx);
        self.disk.take(&mut self.fx);
        true
    }

    fn run(&mut self) {
        while self.step(false) {}
    }
}

fn entry(zxid: i64, len: usize) -> Vec<u8> {
    let mut entry = vec![7; 12];
    entry.extend_from_slice(&zxid.to_be_bytes());
    entry.resize(len.max(32), 1);
    entry
}

fn zxids(file: &[u8]) -> (Vec<i64>, Ending) {
    let mut scanner = LogScanner::new(file.len() as u64);
    let mut zxids = Vec::new();
    loop {
        match scanner.step() {
            Step::Need => scanner.push(&file[scanner.wants() as usize..]),
            Step::Record { zxid, .. } => zxids.push(zxid.0),
            Step::End { ending, .. } => return (zxids, ending),
        }
    }
}

const PLAIN: LogConfig = LogConfig { sync: true, preallocate: 0, roll_beyond: None };

#[test]
fn a_batch_is_what_was_staged_while_the_last_one_was_in_flight() {
    let mut bench = Bench::new(PLAIN);
    bench.append(1, 40);
    bench.flush();
    assert_eq!(bench.disk.waiting(), 6);
    bench.append(2, 40);
    bench.flush();
    bench.append(3, 40);
    bench.flush();
    assert_eq!(bench.disk.waiting(), 6, "one batch at a time");
    for _ in 0..5 {
        bench.step(false);
        assert_eq!(bench.writer.durable(), Zxid::ZERO, "the name is not durable yet");
    }
    bench.step(false);
    assert_eq!(bench.writer.durable(), Zxid(1));
    bench.flush();
    bench.step(false);
    assert_eq!(bench.writer.durable(), Zxid(1), "written, not synced");
    bench.step(false);
    assert_eq!(bench.writer.durable(), Zxid(3));
    let expected = [
        "write 1000 at 0 len 96",
        "sync 1000",
        "create Log/log.1 as 1",
        "write 1 at 0 len 69",
        "sync 1",
        "sync Log",
        "write 1 at 69 len 106",
        "sync 1",
    ];
    assert_eq!(bench.disk.log, expected);
    let log = bench.disk.file(Dir::Log, "log.1").expect("it was created");
    assert_eq!(zxids(log), (vec![1, 2, 3], Ending::Clean));
}

#[test]
fn a_roll_begins_a_log_with_the_next_transaction() {
    let mut bench = Bench::new(PLAIN);
    bench.append(1, 40);
    bench.flush();
    bench.append(2, 40);
    bench.writer.roll();
    bench.append(3, 40);
    bench.run();
    bench.flush();
    bench.run();
    assert_eq!(bench.writer.durable(), Zxid(3));
    let read = |name| zxids(bench.disk.file(Dir::Log, name).expect("it was created"));
    assert_eq!(read("log.1"), (vec![1, 2], Ending::Clean));
    assert_eq!(read("log.3"), (vec![3], Ending::Clean));
    let mark = Mark::decode(bench.disk.file(Dir::Log, "menagerie.synced").expect("the mark"));
    assert_eq!(mark, Some(Mark { log: Zxid(3), synced: 0 }));
}

#[test]
fn a_log_beyond_its_limit_is_left() {
    let mut bench = Bench::new(LogConfig { roll_beyond: Some(100), ..PLAIN });
    for zxid in 1..=4 {
        bench.append(zxid, 40);
        bench.flush();
        bench.run();
    }
    assert_eq!(bench.disk.file_names(Dir::Log), ["log.1", "log.3", "menagerie.synced"]);
}

#[test]
fn space_is_set_aside_ahead_and_cut_when_a_log_is_left() {
    let mut bench = Bench::new(LogConfig { preallocate: 3 << 20, ..PLAIN });
    bench.append(1, 40);
    bench.flush();
    bench.run();
    let len = bench.disk.file(Dir::Log, "log.1").expect("it was created").len() as u64;
    assert!(len >= 69 + (3 << 20), "{len}");
    bench.append(2, 40);
    bench.writer.roll();
    bench.append(3, 40);
    bench.flush();
    bench.run();
    assert_eq!(bench.disk.file(Dir::Log, "log.1").map(<[u8]>::len), Some(69 + 53));
    assert!(bench.writer.is_idle());
}

#[test]
fn a_batch_waits_for_zeroes_that_it_would_meet() {
    let mut bench = Bench::new(LogConfig { preallocate: 1 << 20, ..PLAIN });
    bench.append(1, 40);
    bench.flush();
    while bench.writer.durable() == Zxid::ZERO {
        bench.step(false);
    }
    assert_eq!(bench.disk.waiting(), 2, "zeroes on their way");
    bench.append(2, 300 << 10);
    bench.flush();
    assert_eq!(bench.disk.waiting(), 2, "the batch waits");
    bench.run();
    bench.flush();
    bench.run();
    let log = bench.disk.file(Dir::Log, "log.1").expect("it was created");
    assert_eq!(zxids(log), (vec![1, 2], Ending::Clean));
}

#[test]
fn lanes_in_any_order_and_crashes_anywhere_keep_all_that_was_durable() {
    for seed in 0..400_u64 {
        let mut random = Random(seed);
        let preallocate = if seed % 2 == 0 { 0 } else { 600 << 10 };
        let mut bench = Bench::new(LogConfig { preallocate, ..PLAIN });
        for zxid in 1..=random.below(12) as i64 + 1 {
            bench.append(zxid, 32 + random.below(2000) as usize);
            if random.below(4) == 0 {
                bench.writer.roll();
            }
            bench.flush();
            for _ in 0..random.below(8) {
                bench.step(random.below(2) == 0);
            }
        }
        let image = bench.disk.crash(|| random.below(2) == 0);
        let mut found = vec![];
        for name in image.file_names(Dir::Log).iter().filter(|name| name.starts_with("log.")) {
            found.extend(zxids(image.file(Dir::Log, name).expect("it is listed")).0);
        }
        found.sort_unstable();
        let durable: Vec<i64> = (1..=bench.writer.durable().0).collect();
        assert!(found.starts_with(&durable), "seed {seed}: {found:?} lacks of {durable:?}");
    }
}

#[test]
fn each_failed_operation_of_the_log_halts_and_nothing_is_durable_after() {
    let mut bench = Bench::new(PLAIN);
    bench.append(1, 40);
    bench.flush();
    let ops = bench.disk.waiting();
    for k in 0..ops {
        let mut bench = Bench::new(PLAIN);
        bench.disk.fail_at = Some(bench.disk.done + k);
        bench.append(1, 40);
        bench.flush();
        bench.run();
        let (exit, why) = bench.disk.halted.clone().expect("it halts");
        assert_eq!(exit, Exit::DiskWrite);
        assert!(why.contains("No space left on device. Nothing acknowledged is lost. Make room"));
        assert_eq!(bench.writer.durable(), Zxid::ZERO, "operation {k}");
        bench.append(2, 40);
        bench.flush();
        assert_eq!(bench.disk.waiting(), 0, "nothing is tried again");
    }
}

#[test]
fn zeroes_that_cannot_be_written_are_done_without_but_their_sync_halts() {
    let fail = |sync: bool| {
        let mut bench = Bench::new(LogConfig { preallocate: 1 << 20, ..PLAIN });
        bench.disk.fail_at = Some(bench.disk.done + 6 + usize::from(sync));
        bench.append(1, 40);
        bench.flush();
        bench.run();
        bench.append(2, 40);
        bench.flush();
        bench.run();
        (bench.writer.durable(), bench.disk.halted.map(|halt| halt.0), bench.disk.events.len())
    };
    assert_eq!(fail(false), (Zxid(2), None, 1));
    assert_eq!(fail(true), (Zxid(1), Some(Exit::DiskWrite), 0));
}

#[test]
fn the_mark_follows_and_is_exact_after_a_clean_stop() {
    let mut bench = Bench::new(PLAIN);
    let mark = |bench: &Bench| {
        Mark::decode(bench.disk.file(Dir::Log, "menagerie.synced").expect("the mark"))
    };
    let record = (600 << 10) + 13;
    for (zxid, synced) in [(1, 0), (2, 0), (3, 16 + 2 * record)] {
        bench.append(zxid, 600 << 10);
        bench.flush();
        bench.run();
        assert_eq!(mark(&bench), Some(Mark { log: Zxid(1), synced }));
    }
    bench.writer.settle(&mut bench.ids, &mut bench.fx);
    bench.disk.take(&mut bench.fx);
    bench.run();
    assert_eq!(mark(&bench), Some(Mark { log: Zxid(1), synced: 16 + 3 * record }));
    assert!(bench.writer.is_idle());
}

/// A small generator for choices; not for anything that matters.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % n
    }
}
