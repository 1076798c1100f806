// SPDX-License-Identifier: Apache-2.0
//! The laws of lanes, failures and crashes, one by one.

use super::*;
use crate::rng::Subsystem;

const LANE: LaneId = LaneId(1);
const FILE: FileId = FileId(1);

fn disk(seed: u64) -> Disk {
    let pace = Pace { touch: 50, sync: 1_000, slowdown: 1 };
    let mut disk = Disk::new(Rng::stream(seed, Subsystem::Disk, 0), pace);
    disk.fs.make(Dir::Log);
    disk
}

fn create() -> FileOp {
    FileOp::Create { file: FILE, dir: Dir::Log, name: "a".to_owned() }
}

fn write(offset: u64, data: &[u8]) -> FileOp {
    FileOp::Write { file: FILE, offset, data: Arc::new(data.to_vec()) }
}

fn run(disk: &mut Disk, what: Vec<FileOp>) -> Vec<Ended> {
    let ops = what.len();
    for (n, what) in what.into_iter().enumerate() {
        let starts = disk.submit(LANE, OpId(n as u64), what);
        assert_eq!(starts.is_some(), n == 0, "only an idle lane starts");
    }
    (0..ops).map(|_| disk.finish(LANE).2).collect()
}

fn kinds(ended: &[Ended]) -> Vec<Option<FileErrorKind>> {
    ended.iter().map(|ended| ended.as_ref().err().map(|error| error.kind)).collect()
}

#[test]
fn a_lane_keeps_its_order_and_answers_each_operation() {
    let mut disk = disk(1);
    let read = FileOp::Read { file: FILE, offset: 1, len: 9 };
    let open = FileOp::Open { file: FileId(2), dir: Dir::Log, name: "a".to_owned() };
    let list = FileOp::List { dir: Dir::Log, make: false };
    let ended = run(&mut disk, vec![create(), write(0, b"text"), read, open, list]);
    let names = vec![DirEntry { name: "a".to_owned(), len: 4 }];
    let outputs = [
        Output::Done,
        Output::Done,
        Output::Bytes(b"ext".to_vec()),
        Output::Length(4),
        Output::Names(names),
    ];
    assert_eq!(ended, outputs.map(Ok));
    assert!(!disk.is_busy());
}

#[test]
fn a_lane_stops_at_its_first_failure_and_other_lanes_go_on() {
    let mut disk = disk(1);
    run(&mut disk, vec![create()]);
    disk.armed = Some(Armed { class: Class::Write, after: 1, for_good: false });
    let ended = run(&mut disk, vec![write(0, b"a"), write(1, b"b"), write(2, b"c")]);
    let expected = [None, Some(FileErrorKind::Other), Some(FileErrorKind::NotRun)];
    assert_eq!(kinds(&ended), expected);
    assert!(disk.submit(LaneId(2), OpId(9), write(1, b"b")).is_some());
    assert_eq!(disk.finish(LaneId(2)).2, Ok(Output::Done));
}

#[test]
fn a_failure_for_good_lasts_until_healed() {
    let mut disk = disk(1);
    run(&mut disk, vec![create()]);
    disk.armed = Some(Armed { class: Class::Sync, after: 0, for_good: true });
    for lane in 2..5 {
        disk.submit(LaneId(lane), OpId(9), FileOp::Sync { file: FILE });
        assert!(disk.finish(LaneId(lane)).2.is_err());
    }
    disk.heal();
    disk.submit(LaneId(9), OpId(9), FileOp::Sync { file: FILE });
    assert!(disk.finish(LaneId(9)).2.is_ok());
}

#[test]
fn a_full_disk_refuses_growth_only() {
    let mut disk = disk(1);
    run(&mut disk, vec![create(), write(0, b"12345678")]);
    disk.capacity = 10;
    let ended = run(&mut disk, vec![write(2, b"xx"), write(8, b"xx"), write(10, b"x")]);
    assert_eq!(kinds(&ended), [None, None, Some(FileErrorKind::Full)]);
}

#[test]
fn a_killed_process_leaves_a_prefix_of_the_write_under_way() {
    let mut lengths = BTreeSet::new();
    for seed in 0..60 {
        let mut disk = disk(seed);
        run(&mut disk, vec![create()]);
        disk.submit(LANE, OpId(1), write(0, b"text"));
        disk.submit(LANE, OpId(2), write(4, b"more"));
        disk.kill();
        assert!(!disk.is_busy());
        let inode = disk.fs.find(Dir::Log, "a").expect("the file stays");
        let left = disk.fs.content(inode).read(0, 100);
        assert!(b"text".starts_with(&left), "{left:?}");
        lengths.insert(left.len());
    }
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_lock_ends_with_its_process() {
    let mut disk = disk(1);
    let lock = || FileOp::Lock { dir: Dir::Log, name: "lock".to_owned() };
    let ended = run(&mut disk, vec![lock(), lock()]);
    assert_eq!(kinds(&ended), [None, Some(FileErrorKind::Locked)]);
    disk.kill();
    assert_eq!(kinds(&run(&mut disk, vec![lock()])), [None]);
    disk.kill();
    disk.locked_by_another = true;
    assert_eq!(kinds(&run(&mut disk, vec![lock()])), [Some(FileErrorKind::Locked)]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut disk = disk(1);
    let name = || "none".to_owned();
    let ops = [
        FileOp::Open { file: FILE, dir: Dir::Log, name: name() },
        FileOp::Unlink { dir: Dir::Log, name: name() },
        FileOp::Rename { dir: Dir::Log, from: name(), to: name() },
        FileOp::List { dir: Dir::Root, make: false },
    ];
    for (lane, what) in ops.into_iter().enumerate() {
        disk.submit(LaneId(10 + lane as u32), OpId(0), what);
        let ended = disk.finish(LaneId(10 + lane as u32)).2;
        assert_eq!(ended.map_err(|error| error.kind), Err(FileErrorKind::NotFound));
    }
}

#[test]
fn a_slow_disk_takes_its_time() {
    let total = |slowdown| {
        let mut disk = disk(1);
        disk.pace.slowdown = slowdown;
        (0..100u32)
            .map(|lane| {
                let what = FileOp::SyncDir { dir: Dir::Log };
                disk.submit(LaneId(lane), OpId(0), what).expect("an idle lane")
            })
            .sum::<u64>()
    };
    assert!(total(10) > 5 * total(1));
}

#[test]
fn a_file_that_is_not_open_is_an_error_and_no_fault_of_the_disk() {
    let file = FILE;
    let uses = [
        write(0, b"text"),
        FileOp::Sync { file },
        FileOp::Truncate { file, len: 0 },
        FileOp::Preallocate { file, offset: 0, len: 10 },
        FileOp::Read { file, offset: 0, len: 10 },
    ];
    let mut disk = disk(1);
    for (lane, what) in uses.into_iter().enumerate() {
        disk.submit(LaneId(10 + lane as u32), OpId(0), what);
        let ended = disk.finish(LaneId(10 + lane as u32)).2;
        assert_eq!(ended, Err(error(FileErrorKind::Other, BAD_FILE)));
    }
    assert!(!disk.has_failed(), "whoever halts for that is not excused");
    // Nor does the simulator end when such a use is cut short, or fails by chance as well.
    for what in [write(0, b"text"), FileOp::Sync { file }] {
        disk.submit(LANE, OpId(0), what.clone());
        disk.kill();
        disk.armed = Some(Armed { class: Class::of(&what), after: 0, for_good: false });
        assert_eq!(kinds(&run(&mut disk, vec![what])), [Some(FileErrorKind::Other)]);
    }
    assert!(disk.has_failed());
}
