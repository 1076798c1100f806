// SPDX-License-Identifier: Apache-2.0
//! The purge against the test disk.

use alloc::vec;

use super::*;
use crate::{
    id::SessionId,
    log::{SnapshotSeal, TailForm, TreeDigest},
    store::test_disk::TestDisk,
    zoo::Sound,
};

/// The framing of a snapshot: all that the purge looks at.
fn snapshot(zxid: i64) -> Vec<u8> {
    let mut file = Vec::new();
    let mut seal = SnapshotSeal::begin(1, &mut file);
    seal.session(SessionId(zxid), 4000, &mut file);
    file.resize(300 << 10, 7);
    seal.cover(&file);
    let digest = TreeDigest { zxid: Zxid(zxid), version: 2, digest: 1 };
    seal.end(digest, TailForm::default(), &mut file);
    file
}

fn disk(snapshots: &[i64], logs: &[i64]) -> TestDisk {
    let mut disk = TestDisk::new();
    for zxid in snapshots {
        disk.put(Dir::Snap, &snapshot_name(Zxid(*zxid)), &snapshot(*zxid));
    }
    for zxid in logs {
        disk.put(Dir::Log, &log_name(Zxid(*zxid)), b"");
    }
    disk
}

/// Runs a purge; gives back what is left, snapshots then logs, and how many files went.
fn purge(disk: &mut TestDisk, retain: usize) -> (Vec<String>, usize) {
    let (mut purge, mut ids, mut fx) = (Purge::new(Sound), Ids::new(), Effects::new());
    purge.start(retain, &mut ids, &mut fx);
    disk.take(&mut fx);
    let mut news = vec![];
    while let Some(done) = disk.step(false) {
        assert!(purge.owns(done.op));
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        news.extend(purge.on_file(done.op, &result, &mut ids, &mut fx));
        disk.take(&mut fx);
    }
    assert!(purge.is_idle() && news.len() == 1);
    let left = [disk.file_names(Dir::Snap), disk.file_names(Dir::Log)].concat();
    (left.into_iter().map(String::from).collect(), news[0].removed)
}

#[test]
fn the_newest_snapshots_stay_and_every_log_they_need() {
    let mut busy = disk(&[0, 10, 20, 30, 40], &[1, 9, 15, 22, 31, 41]);
    busy.put(Dir::Snap, "currentEpoch", b"1");
    busy.put(Dir::Log, "log.bak", b"");
    let (left, removed) = purge(&mut busy, 3);
    let expected = [
        "currentEpoch",
        "snapshot.14",
        "snapshot.1e",
        "snapshot.28",
        "log.16",
        "log.1f",
        "log.29",
        "log.bak",
        "log.f",
    ];
    assert_eq!((left, removed), (expected.map(String::from).to_vec(), 4));
    assert_eq!(purge(&mut busy, 3).1, 0, "nothing is left to do");
}

#[test]
fn fewer_snapshots_than_asked_for_all_stay() {
    assert_eq!(purge(&mut disk(&[0, 10], &[1, 11]), 3).1, 0);
    assert_eq!(purge(&mut disk(&[0, 10, 20], &[1, 11]), 1).1, 0, "three is the least");
    assert_eq!(purge(&mut disk(&[], &[1, 11]), 3).1, 0);
    assert_eq!(purge(&mut disk(&[5, 6, 7], &[1]), 3).1, 0, "the newest log always stays");
}

#[test]
fn what_is_not_whole_does_not_count() {
    let mut disk = disk(&[0, 10, 20, 30], &[1, 11, 21, 31]);
    disk.put(Dir::Snap, "snapshot.28", b"never finished");
    let (left, removed) = purge(&mut disk, 3);
    let snapshots: Vec<&str> = left.iter().map(String::as_str).take(5).collect();
    let expected = ["snapshot.14", "snapshot.1e", "snapshot.28", "snapshot.a", "log.1"];
    assert_eq!((snapshots, removed), (expected.to_vec(), 1));
}

#[test]
fn another_server_s_files_stay_until_two_of_ours_were_read_back() {
    let note = Takeover { newest: Zxid(30) }.encode();
    let mut disk = disk(&[0, 10, 20, 30, 40], &[1, 11, 21, 31, 41]);
    disk.put(Dir::Snap, TAKEOVER_NAME, &note);
    assert_eq!(purge(&mut disk, 3).1, 0, "one is not enough");
    let mut rotten = snapshot(50);
    rotten[1000] ^= 1;
    disk.put(Dir::Snap, "snapshot.32", &rotten);
    assert_eq!(purge(&mut disk, 3).1, 0, "one is rotten");
    disk.put(Dir::Snap, "snapshot.3c", &snapshot(60));
    let (left, removed) = purge(&mut disk, 3);
    assert!(removed > 0 && !left.contains(&TAKEOVER_NAME.to_string()), "{left:?}");
    let mut unread = self::disk(&[0, 10, 20, 30, 40], &[1]);
    unread.put(Dir::Snap, TAKEOVER_NAME, b"???");
    assert_eq!(purge(&mut unread, 3).1, 0, "a note that cannot be read protects everything");
}

#[test]
fn a_failure_ends_the_run_and_is_said() {
    let mut whole = disk(&[0, 10, 20, 30], &[1, 11, 21, 31]);
    purge(&mut whole, 3);
    for k in 0..whole.done {
        let mut disk = disk(&[0, 10, 20, 30], &[1, 11, 21, 31]);
        disk.fail_at = Some(k);
        purge(&mut disk, 3);
        assert!(disk.halted.is_none());
        let said = disk.events.iter().filter(|event| event.level() == Level::Warn).count();
        assert_eq!(said, 1, "operation {k}");
    }
}
