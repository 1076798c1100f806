// SPDX-License-Identifier: Apache-2.0
//! The epoch files against the test disk.

use alloc::{string::ToString, vec};

use super::*;
use crate::{
    store::test_disk::{Completion, TestDisk},
    zoo::Sound,
};

/// A server whose epochs are being read, or were.
struct Bench<Z: Zoo> {
    disk: TestDisk,
    reader: Option<EpochReader<Z>>,
    epochs: Option<Epochs<Z>>,
    ids: Ids,
    fx: Effects,
}

impl<Z: Zoo> Bench<Z> {
    fn start(mut disk: TestDisk, last: Zxid) -> Bench<Z> {
        let (mut ids, mut fx) = (Ids::new(), Effects::new());
        let reader = Some(EpochReader::start(Z::default(), last, &mut ids, &mut fx));
        disk.take(&mut fx);
        Bench { disk, reader, epochs: None, ids, fx }
    }

    /// One completion; whether there was one.
    fn step(&mut self) -> bool {
        let Some(Completion { op, result }) = self.disk.step(false) else { return false };
        let result = result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        match (&mut self.epochs, &mut self.reader) {
            (Some(epochs), _) => {
                assert!(epochs.owns(op));
                epochs.on_file(op, &result, &mut self.fx);
            }
            (None, Some(reader)) => {
                assert!(reader.owns(op));
                self.epochs = reader.on_file(op, &result, &mut self.ids, &mut self.fx);
            }
            (None, None) => panic!("nobody ordered {op:?}"),
        }
        self.disk.take(&mut self.fx);
        true
    }

    fn run(mut self) -> Bench<Z> {
        while self.step() {}
        self
    }

    /// What was read, or why the server stopped.
    fn outcome(&self) -> Result<(u32, u32), &str> {
        match (&self.epochs, &self.disk.halted) {
            (Some(epochs), None) => Ok((epochs.accepted(), epochs.current())),
            (None, Some((Exit::DataDir, why))) => Err(why),
            (_, halted) => panic!("read and halted: {halted:?}"),
        }
    }

    fn accept(&mut self, epoch: u32) {
        let epochs = self.epochs.as_mut().expect("they were read");
        epochs.accept(epoch, &mut self.ids, &mut self.fx);
        self.disk.take(&mut self.fx);
    }

    fn set_current(&mut self, epoch: u32) {
        let epochs = self.epochs.as_mut().expect("they were read");
        epochs.set_current(epoch, &mut self.ids, &mut self.fx);
        self.disk.take(&mut self.fx);
    }
}

/// A directory with these files, in the order of [`NAMES`].
fn disk(files: [Option<&str>; 3]) -> TestDisk {
    let mut disk = TestDisk::new();
    for (name, content) in NAMES.iter().zip(files) {
        if let Some(content) = content {
            disk.put(Dir::Snap, name, content.as_bytes());
        }
    }
    disk
}

fn read(files: [Option<&str>; 3], last: Zxid) -> Bench<Sound> {
    Bench::start(disk(files), last).run()
}

#[test]
fn what_java_left_is_read_and_left_alone() {
    let bench = read([Some("7"), Some("6\n"), None], Zxid::new(6, 9));
    assert_eq!(bench.outcome(), Ok((7, 6)));
    assert_eq!(bench.disk.log.last().expect("something was done"), "sync Snap");
    assert!(bench.disk.log.iter().all(|done| !done.starts_with("create")), "{:?}", bench.disk.log);
}

#[test]
fn missing_files_are_made_from_the_last_transaction() {
    for (files, last, expected) in [
        ([None, None, None], Zxid::ZERO, (0, 0)),
        ([None, None, None], Zxid::new(4, 2), (4, 4)),
        ([Some("6"), None, None], Zxid::new(4, 2), (6, 4)),
        // A member that had joined epoch 5 and seen no transaction of it.
        ([None, Some("5"), None], Zxid::new(4, 2), (5, 5)),
    ] {
        let bench = read(files, last);
        assert_eq!(bench.outcome(), Ok(expected));
        let file = |name| bench.disk.crash(|| false).file(Dir::Snap, name).map(<[u8]>::to_vec);
        assert_eq!(file(ACCEPTED), Some(expected.0.to_string().into_bytes()), "durable");
        assert_eq!(file(CURRENT), Some(expected.1.to_string().into_bytes()), "durable");
    }
}

#[test]
fn a_synchronisation_that_was_cut_short_keeps_the_epoch_it_came_from() {
    let bench = read([Some("6"), Some("4"), None], Zxid::new(6, 1));
    assert_eq!(bench.outcome(), Ok((6, 4)));
    assert!(bench.disk.events[0].to_string().contains("it counts as of epoch 4"));
    // The first one, before which nothing is promised.
    for accepted in ["0", "3"] {
        let bench = read([Some(accepted), Some("0"), None], Zxid::new(6, 1));
        assert_eq!(bench.outcome(), Ok((6, 0)));
    }
    // Without acceptedEpoch, currentEpoch.tmp explains it, as in Java.
    let bench = read([None, Some("4"), Some("6")], Zxid::new(6, 1));
    assert_eq!(bench.outcome(), Ok((6, 6)));
}

#[test]
fn what_cannot_be_is_refused_with_the_file_and_the_way_out() {
    let last = Zxid::new(6, 1);
    for (files, told) in [
        ([Some("5"), Some("4"), None], "currentEpoch is 4, and yet the log ends with 0x600000001"),
        ([None, Some("4"), None], "neither acceptedEpoch nor currentEpoch.tmp explains"),
        ([None, Some("4"), Some("5")], "neither acceptedEpoch nor currentEpoch.tmp explains"),
        ([None, Some("4"), Some("")], "neither acceptedEpoch nor currentEpoch.tmp explains"),
        ([Some("6"), Some("7"), None], "acceptedEpoch is 6 and currentEpoch is 7"),
        ([Some("six"), Some("6"), None], "acceptedEpoch holds \"six\""),
        ([Some("7"), Some(""), None], "currentEpoch holds \"\""),
        ([Some("7"), Some("-1"), None], "currentEpoch holds \"-1\""),
        ([Some("2147483648"), Some("6"), None], "acceptedEpoch holds \"2147483648\""),
    ] {
        let bench = read(files, last);
        let why = bench.outcome().expect_err("it cannot be");
        assert!(why.contains(told) && why.contains("move the folder version-2 away"), "{why}");
        assert!(bench.disk.log.iter().all(|done| !done.starts_with("create")), "nothing changed");
    }
}

#[test]
fn files_that_cannot_be_read_stop_the_server() {
    for fail_at in 0..7 {
        let mut disk = disk([Some("7"), Some("6"), None]);
        disk.fail_at = Some(fail_at);
        let bench = Bench::<Sound>::start(disk, Zxid::new(6, 9)).run();
        assert!(bench.outcome().expect_err("it failed").contains("No space left"), "{fail_at}");
    }
}

#[test]
fn an_epoch_is_written_as_java_writes_it() {
    let mut bench = read([Some("7"), Some("6"), None], Zxid::new(6, 9));
    bench.disk.log.clear();
    bench.accept(8);
    let bench = bench.run();
    assert_eq!(
        bench.disk.log,
        [
            "create Snap/acceptedEpoch.tmp as 3",
            "write 3 at 0 len 1",
            "sync 3",
            "close 3",
            "rename Snap/acceptedEpoch.tmp to acceptedEpoch",
            "sync Snap",
        ]
    );
    assert_eq!(bench.disk.file(Dir::Snap, ACCEPTED), Some(&b"8"[..]));
}

/// Accepts 8 and enters it, with a crash after each operation and any leftover: whatever was said
/// is there, nothing goes back, and the server starts. Gives what breaks.
fn crash_everywhere<Z: Zoo>() -> Vec<String> {
    let mut broken = Vec::new();
    for crash_after in 0..=12 {
        for keep in 0..64_u32 {
            let mut bench =
                Bench::<Z>::start(disk([Some("7"), Some("6"), None]), Zxid::new(6, 9)).run();
            bench.accept(8);
            bench.set_current(8);
            for _ in 0..crash_after {
                assert!(bench.step());
            }
            let said = bench.outcome().expect("nothing failed");
            let mut draws = (0..32).map(|bit| keep >> bit & 1 == 1);
            let left = bench.disk.crash(|| draws.next().unwrap_or(false));
            let again = Bench::<Sound>::start(left, Zxid::new(6, 9)).run();
            let found = again.outcome().expect("it starts");
            if found.0 < said.0 || found.1 < said.1 {
                broken.push(format!("after {crash_after}: said {said:?}, found {found:?}"));
            }
            assert!([(7, 6), (8, 6), (8, 8)].contains(&found), "{found:?}");
        }
    }
    broken
}

#[test]
fn whatever_a_crash_leaves_holds_the_epochs_that_were_said() {
    assert_eq!(crash_everywhere::<Sound>(), Vec::<String>::new());
}

#[derive(Clone, Copy, Default)]
struct SaidEarly;

impl Zoo for SaidEarly {
    fn has(self, mutation: Mutation) -> bool {
        mutation == Mutation::EpochSaidBeforeSync
    }
}

#[test]
fn an_epoch_that_is_said_before_its_sync_goes_back() {
    assert!(!crash_everywhere::<SaidEarly>().is_empty());
}

#[test]
fn each_failed_operation_halts_and_nothing_counts_after() {
    for fail_at in 0..6 {
        let mut bench = read([Some("7"), Some("6"), None], Zxid::new(6, 9));
        bench.disk.fail_at = Some(bench.disk.done + fail_at);
        bench.accept(8);
        let bench = bench.run();
        let (exit, why) = bench.disk.halted.clone().expect("it halts");
        assert_eq!(exit, Exit::DiskWrite);
        assert!(why.starts_with("an epoch file could not be written"), "{why}");
        assert_eq!(bench.epochs.expect("they were read").accepted(), 7);
    }
}

#[test]
#[should_panic(expected = "epochs only grow")]
fn an_epoch_is_never_accepted_twice() {
    let mut bench = read([Some("7"), Some("6"), None], Zxid::new(6, 9));
    bench.accept(7);
}

#[test]
fn what_a_killed_process_renamed_is_synced_before_it_is_said() {
    let mut disk = disk([Some("7"), Some("6"), None]);
    disk.put(Dir::Snap, "acceptedEpoch.tmp", b"8");
    let (mut ids, mut fx) = (Ids::new(), Effects::new());
    let (from, to) = ("acceptedEpoch.tmp".into(), ACCEPTED.into());
    fx.file(ids.lane(), ids.op(), FileOp::Rename { dir: Dir::Snap, from, to });
    disk.take(&mut fx);
    disk.step(false);
    let bench = Bench::<Sound>::start(disk, Zxid::new(6, 9)).run();
    assert_eq!(bench.outcome(), Ok((8, 6)));
    let after = Bench::<Sound>::start(bench.disk.crash(|| false), Zxid::new(6, 9)).run();
    assert_eq!(vec![after.outcome()], [Ok((8, 6))]);
}
