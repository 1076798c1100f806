// SPDX-License-Identifier: Apache-2.0
//! The snapshot: what is read does not depend on where the file is cut, memory is bounded by its
//! bytes, and a tree that was read survives being written.
//!
//! Input: one byte that says how to cut, then a file. It is read as it is, and again with the seals
//! that it should have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    hash::Keyed,
    id::SessionId,
    jute::Malformed,
    log::{
        SnapshotFault, SnapshotReader, SnapshotSeal, SnapshotSink, SnapshotTail, TailForm,
        TreeDigest,
    },
    tree::{Loader, Tree},
};
use menagerie_fuzz::{assert_survives, pieces, within, written};

/// What a recovery keeps of a snapshot.
struct Into {
    loader: Loader,
    sessions: Vec<(SessionId, i32)>,
}

impl SnapshotSink for Into {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.push((session, timeout_ms));
    }

    fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let taken = self.loader.feed(bytes).map_err(|_| Malformed)?;
        Ok((taken, self.loader.is_done()))
    }
}

fuzz_target!(|input: &[u8]| {
    let [how, file @ ..] = input else { return };
    let (into, tail) = read(0, file);
    // An empty tree is there before its first byte; a znode of 76 bytes takes less than 400.
    let (cut, cut_tail) = within(16 * file.len() + (1 << 18), || read(*how, file));
    assert_eq!((cut_tail, &cut.sessions), (tail, &into.sessions));
    assert_eq!(cut.loader.is_done(), into.loader.is_done());
    let (whole, sessions) = (into.loader.is_done(), into.sessions);
    let (Some(mut tree), Some(mut cut)) = (into.loader.finish(), cut.loader.finish()) else {
        return assert!(!whole && tail.is_err());
    };
    assert_eq!((cut.digest(), cut.node_count()), (tree.digest(), tree.node_count()));
    let bytes = written(&mut cut, 100);
    assert_survives(&mut tree);
    assert_sealed(*how, &sessions, &bytes, &tree);
});

/// Reads a file in pieces, as far as it can be read.
fn read(how: u8, file: &[u8]) -> (Into, Result<SnapshotTail, SnapshotFault>) {
    let loader = Loader::new(Keyed::new((1, 2)));
    let mut into = Into { loader, sessions: Vec::new() };
    let mut reader = SnapshotReader::new();
    for piece in pieces(how, file) {
        if let Err(fault) = reader.push(piece, &mut into) {
            return (into, Err(fault));
        }
    }
    let tail = reader.finish();
    (into, tail)
}

/// Seals a tree as a snapshot of ours, and fails unless it reads to the same.
fn assert_sealed(how: u8, sessions: &[(SessionId, i32)], bytes: &[u8], tree: &Tree) {
    let mut file = Vec::new();
    let mut seal = SnapshotSeal::begin(sessions.len(), &mut file);
    for (session, timeout_ms) in sessions {
        seal.session(*session, *timeout_ms, &mut file);
    }
    file.extend_from_slice(bytes);
    seal.cover(&file);
    let zxid = tree.stored_stat(tree.root()).pzxid;
    let digest = TreeDigest { zxid, version: TreeDigest::VERSION, digest: tree.digest() };
    seal.end(digest, TailForm::default(), &mut file);
    let (into, tail) = read(how, &file);
    assert_eq!(tail, Ok(SnapshotTail { digest: Some(digest), last: Some(zxid) }));
    assert_eq!(into.sessions, sessions);
    let again = into.loader.finish().expect("its seal was read");
    assert_eq!(again.digest(), tree.digest());
}
