// SPDX-License-Identifier: Apache-2.0
//! Encode after decode is the identity on whatever Java emitted into a data directory, and decode
//! after encode on whatever we do.

use std::{fs, path::PathBuf};

use menagerie_core::{
    hash::Keyed,
    id::{SessionId, Zxid},
    jute::{Malformed, Reader, Record},
    log::{
        Ending, LogScanner, SnapshotReader, SnapshotSeal, SnapshotSink, SnapshotTail, Step,
        TailForm, TreeDigest, append_log_header, append_record,
    },
    proto::{Acl, Identity},
    tree::{Loader, Tree},
    txn::{CreateTxn, Txn, TxnDigest, TxnEntry, TxnHeader, TxnKind},
};
use proptest::{collection::vec, option, prelude::*};

/// The files of the three data directories whose names begin so.
fn fixtures(prefix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for dir in ["datadir-3.4.6", "datadir-3.8.0", "datadir-3.9.5"] {
        let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(dir);
        for entry in fs::read_dir(dir).expect("a data directory") {
            let path = entry.expect("a file").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)) {
                found.push((path.clone(), fs::read(&path).expect("a fixture")));
            }
        }
    }
    found
}

/// The entries of a log given in pieces, and where and how it ends.
fn scan(file: &[u8], piece: usize) -> (Vec<Vec<u8>>, u64, Ending) {
    let (mut scanner, mut entries) = (LogScanner::new(file.len() as u64), Vec::new());
    loop {
        match scanner.step() {
            Step::Need => {
                let from = scanner.wants() as usize;
                scanner.push(&file[from..file.len().min(from + piece)]);
            }
            Step::Record { entry, .. } => entries.push(entry.to_vec()),
            Step::End { offset, ending } => return (entries, offset, ending),
        }
    }
}

fn written(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    append_log_header(&mut file);
    entries.iter().for_each(|entry| append_record(&mut file, entry));
    file
}

#[test]
fn every_log_of_java_is_written_back_byte_for_byte() {
    let logs = fixtures("log.");
    assert_eq!(logs.len(), 11);
    for (path, file) in logs {
        let (entries, end, ending) = scan(&file, 4096);
        assert_eq!(ending, Ending::Clean, "{}", path.display());
        let again: Vec<Vec<u8>> = entries
            .iter()
            .map(|entry| {
                let mut out = Vec::new();
                let decoded = TxnEntry::decode(&mut Reader::new(entry)).expect("Java wrote it");
                decoded.encode(&mut out);
                out
            })
            .collect();
        assert_eq!(written(&again), file[..end as usize], "{}", path.display());
        assert!(file[end as usize..].iter().all(|byte| *byte == 0), "{}", path.display());
    }
}

/// Takes a snapshot apart: sessions, and the tree with its bytes.
struct Content {
    sessions: Vec<(SessionId, i32)>,
    loader: Loader,
    body: Vec<u8>,
}

impl Content {
    fn new() -> Content {
        Content { sessions: Vec::new(), loader: Loader::new(Keyed::new((1, 2))), body: Vec::new() }
    }
}

impl SnapshotSink for Content {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.push((session, timeout_ms));
    }

    fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let used = self.loader.feed(bytes).map_err(|_| Malformed)?;
        self.body.extend_from_slice(&bytes[..used]);
        Ok((used, self.loader.is_done()))
    }
}

fn read(file: &[u8], piece: usize) -> (Content, SnapshotTail) {
    let (mut reader, mut content) = (SnapshotReader::new(), Content::new());
    for piece in file.chunks(piece) {
        reader.push(piece, &mut content).expect("a snapshot");
    }
    (content, reader.finish().expect("a whole one"))
}

fn body(tree: &mut Tree, budget: usize) -> Vec<u8> {
    let mut out = Vec::new();
    tree.freeze();
    while !tree.freeze_next(&mut out, budget) {}
    tree.thaw();
    out
}

/// The records of a snapshot's tree, sorted: ACLs by number, znodes by path. Their order is that of
/// Java's hash tables, which nothing depends on.
fn records(body: &[u8]) -> Vec<&[u8]> {
    let mut r = Reader::new(body);
    let mut records = vec![r.take(4).expect("the number of ACLs")];
    for _ in 0..Reader::new(records[0]).int().expect("an int") {
        let start = r.rest();
        r.long().expect("a number");
        for _ in 0..r.vector(12).expect("a list").expect("not null") {
            Acl::decode(&mut r).expect("an ACL");
        }
        records.push(&start[..start.len() - r.rest().len()]);
    }
    loop {
        let start = r.rest();
        if r.string().expect("a path") == b"/" {
            records.sort_unstable();
            return records;
        }
        r.buffer().expect("data");
        r.take(8 + 60).expect("the ACL's number and a Stat");
        records.push(&start[..start.len() - r.rest().len()]);
    }
}

#[test]
fn every_snapshot_of_java_is_written_back_record_for_record() {
    let snapshots = fixtures("snapshot.");
    assert_eq!(snapshots.len(), 3);
    for (path, file) in snapshots {
        let (content, _) = read(&file, 61);
        let mut tree = content.loader.finish().expect("a tree");
        let again = body(&mut tree, 100);
        assert_eq!(records(&again), records(&content.body), "{}", path.display());
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

type Grant = (i32, Vec<u8>, Vec<u8>);

/// What any transaction can be made from.
#[derive(Clone, Debug)]
struct Stuff {
    path: Vec<u8>,
    data: Option<Vec<u8>>,
    acl: Option<Vec<Grant>>,
    paths: Vec<Vec<u8>>,
    int: i32,
    long: i64,
    flags: (bool, bool),
}

fn stuff() -> impl Strategy<Value = Stuff> {
    let acl = option::of(vec((any::<i32>(), bytes(), bytes()), 0..3));
    let numbers = (any::<i32>(), any::<i64>(), any::<(bool, bool)>());
    (bytes(), option::of(bytes()), acl, vec(bytes(), 0..4), numbers).prop_map(
        |(path, data, acl, paths, (int, long, flags))| Stuff {
            path,
            data,
            acl,
            paths,
            int,
            long,
            flags,
        },
    )
}

impl Stuff {
    fn acl(&self) -> Option<Vec<Acl<'_>>> {
        self.acl.as_ref().map(|acl| {
            acl.iter()
                .map(|(perms, scheme, id)| Acl { perms: *perms, who: Identity { scheme, id } })
                .collect()
        })
    }

    /// One transaction of every kind.
    fn txns(&self) -> Vec<Txn<'_>> {
        let (path, data, version) = (self.path.as_slice(), self.data.as_deref(), self.int);
        let (ephemeral, create2) = self.flags;
        let create = |kind| {
            let (acl, parent_cversion) = (self.acl(), version);
            Txn::Create(CreateTxn { path, data, acl, kind, parent_cversion })
        };
        let mut all = vec![
            create(TxnKind::Plain { ephemeral, create2 }),
            create(TxnKind::Container),
            create(TxnKind::Ttl { ttl: self.long }),
            Txn::Delete { path, container: ephemeral },
            Txn::SetData { path, data, version, reconfig: create2 },
            Txn::SetAcl { path, acl: self.acl(), version },
            Txn::Check { path, version },
            Txn::CreateSession { timeout_ms: version },
            Txn::CloseSession { paths: Some(self.paths.iter().map(Vec::as_slice).collect()) },
            Txn::CloseSession { paths: None },
            Txn::Error { err: version },
        ];
        all.push(Txn::Multi(all[..7].to_vec()));
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transactions_read_back(stuff in stuff(), digest in option::of(any::<u64>())) {
        for txn in stuff.txns() {
            let header = TxnHeader {
                session: SessionId(stuff.long),
                cxid: stuff.int,
                zxid: Zxid(stuff.long),
                time: stuff.long,
                op: txn.op().code(),
            };
            let digest = digest.map(|digest| TxnDigest { version: 2, digest });
            let entry = TxnEntry { header, txn, digest };
            let mut out = Vec::new();
            entry.encode(&mut out);
            let mut r = Reader::new(&out);
            prop_assert_eq!(TxnEntry::decode(&mut r), Ok(entry));
            prop_assert!(r.is_empty());
        }
    }

    /// Records of any content, with any zero tail, read in pieces of any size.
    #[test]
    fn logs_read_back(
        entries in vec(vec(any::<u8>(), 32..90), 0..8),
        tail in 0..70_usize,
        piece in 1..200_usize,
    ) {
        let mut file = written(&entries);
        let end = file.len() as u64;
        file.resize(file.len() + tail, 0);
        prop_assert_eq!(scan(&file, piece), (entries, end, Ending::Clean));
    }

    #[test]
    fn snapshots_read_back(
        sessions in vec(any::<(i64, i32)>(), 0..5),
        numbers in any::<(i64, u64)>(),
        piece in 1..200_usize,
    ) {
        let digest = TreeDigest { zxid: Zxid(numbers.0), version: 2, digest: numbers.1 };
        let mut tree = Tree::new(Keyed::default());
        let body = body(&mut tree, piece);
        let mut file = Vec::new();
        let mut seal = SnapshotSeal::begin(sessions.len(), &mut file);
        for (session, timeout_ms) in &sessions {
            seal.session(SessionId(*session), *timeout_ms, &mut file);
        }
        file.extend_from_slice(&body);
        seal.cover(&file);
        seal.end(digest, TailForm::default(), &mut file);
        let (content, tail) = read(&file, piece);
        let read: Vec<_> = content.sessions.iter().map(|(id, timeout)| (id.0, *timeout)).collect();
        prop_assert_eq!(read, sessions);
        prop_assert_eq!(&content.body, &body);
        prop_assert_eq!((tail.digest, tail.last), (Some(digest), Some(digest.zxid)));
    }
}
