// SPDX-License-Identifier: Apache-2.0
//! A leader's tree takes the place of tree and log, whatever a crash does.

use alloc::vec::Vec;

use super::*;
use crate::{
    id::SessionId,
    io::Dir,
    jute::{Reader, Record},
    log::{SIGNATURE, SnapshotSeal, TreeDigest},
    store::{
        recovery::tests::{CONFIG, Random, Run, entry, recover, with},
        test_disk::TestDisk,
    },
    txn::{Txn, TxnDigest, TxnEntry, apply},
    zoo::Sound,
};

/// The tree after these transactions.
fn tree(zxids: impl IntoIterator<Item = i64>) -> Tree {
    let mut tree = Tree::new(CONFIG.hash);
    for zxid in zxids {
        let bytes = entry(zxid);
        let entry = TxnEntry::decode(&mut Reader::new(&bytes)).expect("it was just encoded");
        apply(&mut tree, &entry.header, &entry.txn, &mut ());
    }
    tree
}

/// What a leader sends of it, with two sessions.
fn stream(mut tree: Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    let seal = SnapshotSeal::begin(2, &mut bytes);
    bytes.drain(..16);
    seal.session(SessionId(7), 4000, &mut bytes);
    seal.session(SessionId(9), 6000, &mut bytes);
    tree.freeze();
    assert!(tree.freeze_next(&mut bytes, 1 << 30), "all at once");
    bytes.extend_from_slice(&SIGNATURE);
    bytes
}

/// Installs it in the directory of a running process; `look` sees the disk after each operation.
fn install(run: &mut Run, zxid: i64, stream: &[u8], mut look: impl FnMut(&TestDisk)) {
    let Run { disk, ids, .. } = run;
    let mut fx = Effects::new();
    let mut install = Install::new(Sound, CONFIG.hash, CONFIG.tail, Zxid(zxid));
    for piece in stream.chunks(100) {
        install.push(piece).expect("a leader sends it");
    }
    install.finish(ids, &mut fx).expect("it is whole");
    disk.take(&mut fx);
    let mut news = None;
    while let Some(done) = disk.step(false) {
        assert!(install.owns(done.op) && news.is_none());
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        news = install.on_file(done.op, &result, ids, &mut fx);
        disk.take(&mut fx);
        look(disk);
    }
    assert!(matches!(news, Some(SnapshotNews::Done { zxid: Zxid(done), .. }) if done == zxid));
}

const fn epoch(epoch: i64, counter: i64) -> i64 {
    (epoch << 32) | counter
}

/// A server with these transactions, some of which begin a log.
fn server(zxids: impl IntoIterator<Item = i64>, begin: &[i64]) -> Run {
    let mut run = recover(TestDisk::new());
    run.log(zxids, begin);
    run
}

#[test]
fn a_crash_leaves_the_old_state_or_the_new_one() {
    let second = |last| (1..=last).map(|n| epoch(2, n));
    let (old_log, begin) = ((1..=9).chain(second(5)), [4, epoch(2, 2), epoch(2, 4)]);
    for (zxid, new_log) in [
        // Of the old history, and behind it.
        (epoch(2, 3), (1..=9).chain(second(3)).collect::<Vec<_>>()),
        (7, (1..=7).collect()),
        (epoch(2, 5), (1..=9).chain(second(5)).collect()),
        (epoch(2, 6), (1..=9).chain(second(6)).collect()),
        // The old one's end was never committed.
        (epoch(3, 4), (1..=9).chain((1..=4).map(|n| epoch(3, n))).collect()),
        (epoch(4, 0), (1..=9).chain(second(2)).collect()),
    ] {
        let (old, new) = (tree(old_log.clone()).digest(), tree(new_log.clone()).digest());
        let stream = stream(tree(new_log));
        let mut images = Vec::new();
        for seed in 0..6 {
            let mut random = Random(seed);
            let mut look = |disk: &TestDisk| images.push(disk.crash(|| random.below(2) == 0));
            let mut run = server(old_log.clone(), &begin);
            install(&mut run, zxid, &stream, &mut look);
            let run = run.again(zxid, look);
            assert_eq!((run.zxid(), run.digest().1), (zxid, new));
            assert_eq!(run.served().snapshot, Zxid(zxid));
            assert_eq!(run.served().sessions.len(), 2);
        }
        let mut found = [0, 0];
        for image in images {
            let run = recover(image);
            assert!(run.recovered.is_some(), "{zxid:x}: {:?}", run.disk.halted);
            let (last, digest, _) = run.digest();
            let ends = [(epoch(2, 5), old), (zxid, new)];
            let state = ends.iter().position(|end| *end == (last, digest));
            let between = last > zxid && last < epoch(2, 5);
            assert!(state.is_some() || between, "{zxid:x}: {last:x}");
            found[state.unwrap_or(0)] += 1;
            assert!(run.warnings().is_empty(), "{:?}", run.warnings());
        }
        assert!(found[0] > 0 && (found[1] > 0 || zxid == epoch(2, 5)), "{zxid:x}: {found:?}");
    }
}

#[test]
fn without_the_tree_what_came_before_it_and_after_it_is_not_one_history() {
    let mut run = server(1..=9, &[]);
    let new = (1..=7).chain((1..=3).map(|n| epoch(3, n)));
    install(&mut run, epoch(3, 3), &stream(tree(new)), |_| {});
    let mut run = run.again(epoch(3, 3), |_| {});
    run.log([epoch(5, 1)], &[]);
    assert_eq!(recover(run.disk.crash(|| false)).zxid(), epoch(5, 1));
    let rotten = with(&run.disk, Dir::Snap, "snapshot.300000003", |file| file[99] ^= 1);
    let why = "the transactions after 0x9 and before the first of log.500000001 are missing";
    assert!(recover(rotten).why().starts_with(why));
}

#[test]
fn a_snapshot_of_that_name_is_replaced() {
    let mut run = server(1..=3, &[]);
    let stream = stream(tree(1..=3));
    install(&mut run, 3, &stream, |_| {});
    install(&mut run, 3, &stream, |_| {});
    assert_eq!(run.disk.file_names(Dir::Snap), ["snapshot.0", "snapshot.3"]);
    let run = run.again(3, |_| {});
    assert_eq!((run.zxid(), run.served().snapshot, run.served().replayed), (3, Zxid(3), 0));
}

#[test]
fn what_is_not_a_tree_is_refused_before_anything_is_written() {
    let good = stream(tree(1..=3));
    let fault = |bytes: &[u8]| {
        let mut install = Install::new(Sound, CONFIG.hash, CONFIG.tail, Zxid(3));
        let (mut ids, mut fx) = (Ids::new(), Effects::new());
        let end = install.push(bytes).and_then(|()| install.finish(&mut ids, &mut fx)).err();
        assert_eq!(fx.list().is_empty(), end.is_some());
        end
    };
    assert_eq!(fault(&good), None);
    for len in 0..good.len() {
        assert_eq!(fault(&good[..len]), Some(SnapshotFault::Short), "cut at {len}");
    }
    let mut bad = good.clone();
    bad[good.len() - 1] ^= 1;
    assert_eq!(fault(&bad), Some(SnapshotFault::Signature));
    assert_eq!(fault(&[&good[..], &[0]].concat()), Some(SnapshotFault::Signature));
    assert_eq!(fault(&[&[0xff; 4][..], &good].concat()), Some(SnapshotFault::Content));
}

#[test]
fn a_failing_disk_leaves_the_old_state() {
    let stream = stream(tree((1..=9).map(|n| epoch(3, n))));
    for k in 0..6 {
        // There is a snapshot of that name, and a log that needs it.
        let mut run = server(1..=5, &[]);
        install(&mut run, epoch(3, 9), &stream, |_| {});
        let mut run = run.again(epoch(3, 9), |_| {});
        run.log([epoch(5, 1)], &[]);
        run.disk.fail_at = Some(run.disk.done + k);
        let (mut ids, mut fx) = (run.ids.clone(), Effects::new());
        let mut install = Install::new(Sound, CONFIG.hash, CONFIG.tail, Zxid(epoch(3, 9)));
        install.push(&stream).and_then(|()| install.finish(&mut ids, &mut fx)).expect("a tree");
        let mut news = None;
        run.disk.take(&mut fx);
        while let Some(done) = run.disk.step(false) {
            let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
            news = news.or(install.on_file(done.op, &result, &mut ids, &mut fx));
            run.disk.take(&mut fx);
        }
        assert_eq!(news, Some(SnapshotNews::Failed { zxid: Zxid(epoch(3, 9)) }), "operation {k}");
        assert_eq!(recover(run.disk.crash(|| true)).zxid(), epoch(5, 1), "operation {k}");
    }
}

/// A transaction's entry as a leader logs it: with the parent's version and the tree's digest after
/// it.
fn with_digest(zxid: i64, digest: u64) -> Vec<u8> {
    let bytes = entry(zxid);
    let mut entry = TxnEntry::decode(&mut Reader::new(&bytes)).expect("it was just encoded");
    let after = tree(1..=zxid);
    if let Txn::Create(create) = &mut entry.txn {
        // Clients are shown creations and deletions, the log counts creations alone.
        let stat = after.stat(after.root());
        create.parent_cversion = (stat.cversion + stat.num_children) / 2;
    }
    let version = TreeDigest::VERSION;
    entry.digest = Some(TxnDigest { version, digest });
    let mut bytes = Vec::new();
    entry.encode(&mut bytes);
    bytes
}

#[test]
fn digests_count_once_the_tree_can_be_told_from_a_fuzzy_one() {
    // The tree of the first five, sent as that of the first three.
    for (wrong, mismatches) in [(None, 0), (Some(4), 0), (Some(5), 0), (Some(7), 1)] {
        let mut run = server(1..=2, &[]);
        install(&mut run, 3, &stream(tree(1..=5)), |_| {});
        let mut run = run.again(3, |_| {});
        let mut fx = Effects::new();
        let log = &mut run.recovered.as_mut().expect("it serves").log;
        for zxid in 4..=8 {
            let digest = tree(1..=zxid).digest() ^ u64::from(wrong == Some(zxid));
            log.append(Zxid(zxid), &with_digest(zxid, digest));
        }
        log.flush(&mut run.ids, &mut fx);
        run.disk.take(&mut fx);
        run.rest();
        let run = recover(run.disk.crash(|| false));
        assert_eq!(run.digest().1, tree(1..=8).digest());
        assert_eq!(run.served().mismatches, mismatches, "{wrong:?}");
        assert_eq!(run.warnings().len(), mismatches as usize, "{wrong:?}");
    }
}
