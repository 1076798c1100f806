// SPDX-License-Identifier: Apache-2.0
//! What Java wrote is read and replayed to the digests that Java recorded after each transaction.

use std::{fs, path::PathBuf};

use menagerie_core::{
    hash::Keyed,
    id::Zxid,
    jute::{Reader, Record},
    tree::{Loader, Tree},
    txn::{TxnEntry, apply},
};

fn read(dir: &str, file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(dir);
    fs::read(path.join(file)).expect("a fixture")
}

/// The entries of a log file, up to its zero tail.
fn entries(file: &[u8]) -> Vec<&[u8]> {
    let mut r = Reader::new(&file[16..]);
    let mut entries = Vec::new();
    while r.long().is_ok_and(|checksum| checksum != 0) {
        entries.push(r.string().expect("a whole record"));
        assert_eq!(r.byte(), Ok(0x42));
    }
    entries
}

/// Replays entries after `from`; gives back how many digests were compared.
fn replay(tree: &mut Tree, from: Zxid, dir: &str, files: &[&str]) -> usize {
    let mut compared = 0;
    for file in files {
        for entry in entries(&read(dir, file)) {
            let entry = TxnEntry::decode(&mut Reader::new(entry)).expect("a transaction");
            let zxid = entry.header.zxid;
            if zxid <= from {
                continue;
            }
            apply(tree, &entry.header, &entry.txn, &mut ());
            // Java writes none behind a transaction that failed.
            let Some(digest) = entry.digest else { continue };
            assert_eq!((zxid, tree.digest()), (zxid, digest.digest), "{dir}/{file}");
            compared += 1;
        }
    }
    compared
}

/// The tree of a snapshot, and the zxid and digest that stand behind it.
fn load(file: &[u8]) -> (Tree, Zxid, u64) {
    let mut r = Reader::new(&file[16..]);
    for _ in 0..r.int().expect("sessions") {
        r.take(12).expect("a session");
    }
    let (mut loader, mut rest) = (Loader::new(Keyed::new((1, 2))), r.rest());
    while !loader.is_done() {
        // Pieces of seven bytes, so that every record is cut somewhere.
        let piece = &rest[..rest.len().min(7)];
        let used = loader.feed(piece).expect("a tree");
        rest = &rest[used..];
    }
    let mut seal = Reader::new(rest);
    assert!(seal.long().expect("a checksum") > 0);
    assert_eq!(seal.string(), Ok(&b"/"[..]));
    let (zxid, version) = (seal.long().expect("zxid"), seal.int().expect("version"));
    assert_eq!(version, 2);
    let digest = seal.long().expect("digest").cast_unsigned();
    (loader.finish().expect("done"), Zxid(zxid), digest)
}

#[test]
fn logs_replay_to_the_recorded_digests() {
    for (dir, files) in [
        ("datadir-3.9.5", &["log.1", "log.15", "log.18", "log.1b"][..]),
        ("datadir-3.8.0", &["log.1", "log.15", "log.19"]),
    ] {
        let mut tree = Tree::new(Keyed::default());
        assert_eq!(replay(&mut tree, Zxid::ZERO, dir, files), 0x1c - 1);
    }
}

#[test]
fn snapshots_load_to_the_recorded_digests() {
    let dir = "datadir-3.9.5";
    let (mut tree, zxid, digest) = load(&read(dir, "snapshot.19"));
    assert_eq!((zxid, tree.digest()), (Zxid(0x19), digest));
    assert_eq!(replay(&mut tree, zxid, dir, &["log.18", "log.1b"]), 3);
}

/// Java writes while it walks: this snapshot is named after 0x1b, and its digest is 0x1c's.
#[test]
fn replay_over_a_newer_snapshot_comes_to_the_same_tree() {
    let dir = "datadir-3.8.0";
    let (mut tree, zxid, digest) = load(&read(dir, "snapshot.1b"));
    assert_eq!(zxid, Zxid(0x1c));
    for entry in entries(&read(dir, "log.19")) {
        let entry = TxnEntry::decode(&mut Reader::new(entry)).expect("a transaction");
        if entry.header.zxid > Zxid(0x1b) {
            apply(&mut tree, &entry.header, &entry.txn, &mut ());
        }
    }
    assert_eq!(tree.digest(), digest);
}
