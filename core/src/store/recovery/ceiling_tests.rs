// SPDX-License-Identifier: Apache-2.0
//! What is beyond a ceiling goes, whole or not at all, whatever a crash does.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{
    super::{
        Recovery,
        tests::{CONFIG, Random, Run, V39, disk, recover, with},
    },
    *,
};
use crate::{
    id::Zxid,
    log::MARK_NAME,
    store::{RecoveryConfig, test_disk::TestDisk},
    tree::Tree,
    zoo::Sound,
};

/// A transaction of the second epoch.
const fn second(counter: u32) -> i64 {
    (2 << 32) | counter as i64
}

/// 1 to 9 in log.1, log.4 and log.8, then an epoch later, one of whose logs was settled.
fn written() -> Run {
    let mut run = recover(TestDisk::new());
    run.log(1..=9, &[4, 8]);
    run.log((1..=5).map(second), &[second(1), second(4)]);
    let mut fx = Effects::new();
    run.recovered.as_mut().expect("it serves").log.settle(&mut run.ids, &mut fx);
    run.disk.take(&mut fx);
    run.rest();
    run
}

/// How many of the transactions there are up to this one, each of which makes a znode.
fn count(zxid: i64) -> i64 {
    if zxid < second(0) { zxid } else { 9 + (zxid - second(0)) }
}

fn nodes(run: &Run) -> i64 {
    run.served().tree.node_count() as i64 - Tree::new(CONFIG.hash).node_count() as i64
}

#[test]
fn what_is_beyond_goes_and_what_is_not_stays() {
    let logs = ["log.1", "log.4", "log.8", "log.200000001", "log.200000004"];
    for (upto, zxid, left) in [
        (second(9), second(5), 5),
        (second(5), second(5), 5),
        (second(4), second(4), 5),
        (second(3), second(3), 4),
        (second(1), second(1), 4),
        (second(0), 9, 3),
        (20, 9, 3),
        (9, 9, 3),
        (8, 8, 3),
        (7, 7, 2),
        (1, 1, 1),
        (0, 0, 0),
    ] {
        let mut run = written().again(upto, |_| {});
        assert_eq!((run.zxid(), nodes(&run)), (zxid, count(zxid)), "up to {upto:x}");
        let mut names = run.disk.file_names(Dir::Log);
        names.retain(|name| *name != MARK_NAME);
        let mut expected = logs[..left].to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected, "up to {upto:x}");
        assert!(!run.disk.log.iter().any(|line| line.starts_with("lock")));
        assert_eq!(run.disk.open_files(), 1, "the mark's");
        // Life goes on from there, and every start finds it.
        run.log([zxid + 1, (3 << 32) + 1], &[]);
        let later = recover(run.disk.crash(|| false));
        assert_eq!((later.zxid(), nodes(&later)), ((3 << 32) + 1, count(zxid) + 2));
        assert!(later.warnings().is_empty(), "{:?}", later.warnings());
    }
}

#[test]
fn whatever_a_crash_leaves_is_a_beginning_that_reaches_the_ceiling() {
    let (mut old, mut new) = (0, 0);
    for upto in [0, 2, 3, 5, 9, second(0), second(2), second(3), second(4)] {
        let mut images = Vec::new();
        for seed in 0..8 {
            let mut random = Random(seed);
            written().again(upto, |disk| images.push(disk.crash(|| random.below(2) == 0)));
        }
        for image in images {
            let mut run = recover(image);
            assert!(run.recovered.is_some(), "up to {upto:x}: {:?}", run.disk.halted);
            let zxid = run.zxid();
            let least = if upto == second(0) { 9 } else { upto };
            assert!((least..=second(5)).contains(&zxid), "up to {upto:x}: {zxid:x}");
            assert_eq!(nodes(&run), count(zxid), "up to {upto:x}: {zxid:x}");
            assert!(run.warnings().is_empty(), "{:?}", run.warnings());
            old += u32::from(zxid > least);
            new += u32::from(zxid == least);
            // A tear of the next log is known for one: the mark names no log that is gone, as it
            // would take precedence over one with a smaller number.
            run.log([zxid + 1, zxid + 2], &[]);
            let next = log_name(Zxid(zxid + 1));
            let torn = with(&run.disk, Dir::Log, &next, |log| {
                let end = log.len();
                log[end - 20] ^= 1;
            });
            assert_eq!(recover(torn).zxid(), zxid + 1, "up to {upto:x}, from {zxid:x}");
        }
    }
    assert!(old > 200 && new > 200, "{old} {new}");
}

#[test]
fn what_a_start_finds_after_any_failure_survives_the_power() {
    let (mut old, mut new) = (0, 0);
    for upto in [0, 2, 5, 9, second(2), second(4)] {
        let whole = written().again(upto, |_| {}).disk;
        let first = whole.done - whole.log.len();
        let changes = |line: &String| {
            ["write", "truncate", "unlink", "sync"].iter().any(|verb| line.starts_with(verb))
        };
        for k in (0..whole.log.len()).filter(|k| changes(&whole.log[*k])).map(|k| first + k) {
            let mut run = written();
            run.disk.fail_at = Some(k);
            let failed = run.again(upto, |_| {}).disk;
            let mut run = recover(failed.restarted());
            let zxid = run.zxid();
            let at = format!("up to {upto:x}, operation {k} failed: {zxid:x}");
            assert!((upto..=second(5)).contains(&zxid), "{at}");
            let later = recover(run.disk.crash(|| false));
            assert_eq!((later.zxid(), later.warnings()), (zxid, vec![]), "{at}");
            // The leader says it once more, and goes on with its epoch.
            run = run.again(upto, |_| {});
            run.log([(3 << 32) + 1], &[]);
            let later = recover(run.disk.crash(|| false));
            assert_eq!((later.zxid(), nodes(&later)), ((3 << 32) + 1, count(upto) + 1), "{at}");
            assert!(later.warnings().is_empty(), "{at}: {:?}", later.warnings());
            old += u32::from(zxid > upto);
            new += u32::from(zxid == upto);
        }
    }
    assert!(old > 20 && new > 20, "{old} {new}");
}

#[test]
fn each_step_is_durable_before_the_next() {
    let run = written().again(5, |_| {});
    let log = &run.disk.log;
    let at = |what: &str| {
        let found = log.iter().position(|line| line.starts_with(what));
        found.unwrap_or_else(|| panic!("{what}: {log:?}"))
    };
    let last = log.iter().rposition(|line| line.starts_with("truncate")).expect("it cuts");
    let steps = &log[at("write")..=last + 1];
    let mark = &steps[2]["sync ".len()..];
    let source = &steps[10]["sync ".len()..];
    let len = 16 + 2 * (13 + super::super::tests::entry(1).len());
    let expected = vec![
        format!("write {mark} at 0 len 96"),
        format!("write {mark} at 512 len 96"),
        format!("sync {mark}"),
        "unlink Log/log.200000004".into(),
        "sync Log".into(),
        "unlink Log/log.200000001".into(),
        "sync Log".into(),
        "unlink Log/log.8".into(),
        "sync Log".into(),
        format!("truncate {source} to {len}"),
        format!("sync {source}"),
    ];
    assert_eq!(steps, expected);
    let told: Vec<_> = run.disk.events.iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "log.4 is cut behind transaction 0x5: what follows was never committed");
    assert_eq!(told[1], "log.200000004 is removed: nothing in it was ever committed");
}

#[test]
fn a_snapshot_beyond_stops_before_anything_is_changed() {
    for (name, upto) in [("snapshot.19", 0x18), ("snapshot.1b.gz", 0x1a)] {
        let mut java = disk(V39);
        java.put(Dir::Snap, "snapshot.1b.gz", b"");
        if name == "snapshot.19" {
            java = disk(V39);
        }
        let run = recover(java);
        let before = run.disk.clone();
        let run = run.again(upto, |_| {});
        assert!(run.why().starts_with(&format!("{name} holds transactions after 0x")));
        for name in before.file_names(Dir::Log) {
            assert_eq!(run.disk.file(Dir::Log, name), before.file(Dir::Log, name));
        }
    }
}

#[test]
fn rot_below_the_ceiling_stops_before_anything_is_changed() {
    let mut run = written();
    run.disk = with(&run.disk, Dir::Log, "log.4", |log| log[40] ^= 1);
    let names: Vec<String> = run.disk.file_names(Dir::Log).into_iter().map(String::from).collect();
    let mut ids = Ids::new();
    let mut fx = Effects::new();
    let config = RecoveryConfig { upto: Some(Zxid(5)), ..CONFIG };
    let mut recovery = Recovery::start(Sound, config, &mut ids, &mut fx);
    run.disk.take(&mut fx);
    while let Some(done) = run.disk.step(false) {
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        assert!(recovery.on_file(done.op, &result, &mut ids, &mut fx).is_none());
        run.disk.take(&mut fx);
    }
    assert!(run.why().starts_with("log.4 is damaged at byte 16, after transaction 0x3: "));
    assert_eq!(run.disk.file_names(Dir::Log), names);
}

#[test]
fn the_log_of_another_server_is_cut_as_well() {
    let run = recover(disk(V39)).again(0x1a, |_| {});
    assert_eq!(run.zxid(), 0x1a);
    assert!(run.disk.file(Dir::Log, "log.1b").is_none());
    let later = recover(run.disk.crash(|| false));
    assert_eq!(later.digest(), run.digest());
}
