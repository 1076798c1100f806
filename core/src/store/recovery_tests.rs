// SPDX-License-Identifier: Apache-2.0
//! Recovery against the test disk: what Java wrote, what we wrote, and what befell it.

use alloc::{format, string::ToString, vec};

use super::*;
use crate::{
    id::SessionId,
    jute::{Reader, Record},
    log::{append_log_header, append_record},
    store::{Frozen, Listed, Snapshotter, test_disk::TestDisk},
    txn::{CreateTxn, Txn, TxnEntry, TxnHeader, TxnKind},
    zoo::Sound,
};

macro_rules! fixture {
    ($version:literal, $name:literal) => {
        ($name, include_bytes!(concat!("../../../tests/fixtures/datadir-", $version, "/", $name)))
    };
}

pub(in crate::store) type Files = [(&'static str, &'static [u8])];

const V34: &Files = &[
    fixture!("3.4.6", "log.1"),
    fixture!("3.4.6", "log.f"),
    fixture!("3.4.6", "log.12"),
    fixture!("3.4.6", "log.15"),
    fixture!("3.4.6", "snapshot.13"),
];
const V38: &Files = &[
    fixture!("3.8.0", "log.1"),
    fixture!("3.8.0", "log.15"),
    fixture!("3.8.0", "log.19"),
    fixture!("3.8.0", "snapshot.1b"),
];
pub(in crate::store) const V39: &Files = &[
    fixture!("3.9.5", "log.1"),
    fixture!("3.9.5", "log.15"),
    fixture!("3.9.5", "log.18"),
    fixture!("3.9.5", "log.1b"),
    fixture!("3.9.5", "snapshot.19"),
];

/// A directory for both, as it is unless dataLogDir says otherwise: the test disk keeps two.
pub(in crate::store) fn disk(files: &Files) -> TestDisk {
    let mut disk = TestDisk::new();
    for (name, bytes) in files {
        let dir = if name.starts_with("log.") { Dir::Log } else { Dir::Snap };
        disk.put(dir, name, bytes);
    }
    disk
}

pub(in crate::store) const CONFIG: RecoveryConfig = RecoveryConfig {
    hash: Keyed::new((3, 4)),
    separate: true,
    make: true,
    tail: TailForm { digest: true, last: true },
    log: LogConfig { sync: true, preallocate: 0, roll_beyond: None },
    locked: false,
    upto: None,
};

/// Where a recovery came to.
pub(in crate::store) struct Run<Z: Zoo = Sound> {
    pub(in crate::store) disk: TestDisk,
    pub(in crate::store) recovered: Option<Recovered<Z>>,
    pub(in crate::store) ids: Ids,
}

pub(in crate::store) fn recover(disk: TestDisk) -> Run {
    recover_with(Sound, disk)
}

fn recover_with<Z: Zoo>(zoo: Z, mut disk: TestDisk) -> Run<Z> {
    let (mut ids, mut fx) = (Ids::new(), Effects::new());
    let mut recovery = Recovery::start(zoo, CONFIG, &mut ids, &mut fx);
    let mut recovered = None;
    disk.take(&mut fx);
    while let Some(done) = disk.step(false) {
        if recovered.is_none() {
            assert!(recovery.owns(done.op));
            let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
            recovered = recovery.on_file(done.op, &result, &mut ids, &mut fx);
            disk.take(&mut fx);
        }
    }
    assert_eq!(recovered.is_none(), disk.halted.is_some());
    Run { disk, recovered, ids }
}

impl<Z: Zoo> Run<Z> {
    pub(in crate::store) fn served(&self) -> &Recovered<Z> {
        self.recovered.as_ref().unwrap_or_else(|| panic!("{:?}", self.disk.halted))
    }

    pub(in crate::store) fn zxid(&self) -> i64 {
        self.served().zxid.0
    }

    /// Why the server stopped.
    pub(in crate::store) fn why(&self) -> &str {
        let (exit, why) = self.disk.halted.as_ref().expect("it stops");
        assert_eq!(*exit, Exit::DataDir);
        why
    }

    /// Everything a client could see, and what it could not.
    pub(in crate::store) fn digest(&self) -> (i64, u64, SessionTimeouts) {
        let served = self.served();
        (served.zxid.0, served.tree.digest(), served.sessions.clone())
    }

    pub(in crate::store) fn warnings(&self) -> Vec<String> {
        let loud = self.disk.events.iter().filter(|event| event.level() >= Level::Warn);
        loud.map(ToString::to_string).collect()
    }

    /// Writes transactions up to `last` as a server would.
    pub(in crate::store) fn write(&mut self, last: i64) {
        let from = self.served().log.appended().0 + 1;
        self.log(from..=last, &[]);
    }

    /// Writes these transactions; some of them begin a log.
    pub(in crate::store) fn log(&mut self, zxids: impl IntoIterator<Item = i64>, begin: &[i64]) {
        let mut fx = Effects::new();
        let served = self.recovered.as_mut().expect("it serves");
        for zxid in zxids {
            if begin.contains(&zxid) {
                served.log.roll();
            }
            served.log.append(Zxid(zxid), &entry(zxid));
            served.log.flush(&mut self.ids, &mut fx);
            self.disk.take(&mut fx);
        }
        self.rest();
    }

    /// Reads the directory of this running process again, up to a ceiling; `look` sees the disk
    /// after each operation.
    pub(in crate::store) fn again(mut self, upto: i64, mut look: impl FnMut(&TestDisk)) -> Run {
        let (mut ids, mut fx) = (self.ids.clone(), Effects::new());
        self.recovered.as_mut().expect("it serves").log.close(&mut ids, &mut fx);
        self.disk.take(&mut fx);
        self.rest();
        assert!(self.served().log.is_idle() && self.disk.open_files() == 0, "all is closed");
        let Run { mut disk, .. } = self;
        disk.log.clear();
        disk.events.clear();
        let config = RecoveryConfig { locked: true, upto: Some(Zxid(upto)), ..CONFIG };
        let mut recovery = Recovery::start(Sound, config, &mut ids, &mut fx);
        let mut recovered = None;
        disk.take(&mut fx);
        while let Some(done) = disk.step(false) {
            let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
            recovered = recovered.or(recovery.on_file(done.op, &result, &mut ids, &mut fx));
            disk.take(&mut fx);
            look(&disk);
        }
        Run { disk, recovered, ids }
    }

    /// Lets the log come to rest.
    pub(in crate::store) fn rest(&mut self) {
        let mut fx = Effects::new();
        let served = self.recovered.as_mut().expect("it serves");
        while let Some(done) = self.disk.step(false) {
            let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
            served.log.on_file(done.op, &result, &mut self.ids, &mut fx);
            served.log.flush(&mut self.ids, &mut fx);
            self.disk.take(&mut fx);
        }
    }
}

pub(in crate::store) fn entry(zxid: i64) -> Vec<u8> {
    entry_of(zxid, &format!("/made-{zxid}"))
}

fn entry_of(zxid: i64, path: &str) -> Vec<u8> {
    let header = TxnHeader { session: SessionId(9), cxid: 1, zxid: Zxid(zxid), time: 1, op: 1 };
    let kind = TxnKind::Plain { ephemeral: false, create2: false };
    let txn = Txn::Create(CreateTxn {
        path: path.as_bytes(),
        data: Some(b"some data"),
        acl: None,
        kind,
        parent_cversion: -1,
    });
    let mut bytes = Vec::new();
    TxnEntry { header, txn, digest: None }.encode(&mut bytes);
    bytes
}

/// The files of `disk` and one changed.
pub(in crate::store) fn with(
    disk: &TestDisk,
    dir: Dir,
    name: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> TestDisk {
    let mut disk = disk.crash(|| true);
    let mut bytes = disk.file(dir, name).expect("a file to change").to_vec();
    change(&mut bytes);
    disk.put(dir, name, &bytes);
    disk
}

fn without(files: &Files, gone: &[&str]) -> TestDisk {
    let left: Vec<_> = files.iter().filter(|file| !gone.contains(&file.0)).copied().collect();
    disk(&left)
}

#[test]
fn a_fresh_directory_gets_its_first_snapshot_and_serves_from_zero() {
    let mut run = recover(TestDisk::new());
    assert_eq!((run.zxid(), run.served().replayed), (0, 0));
    assert_eq!(run.disk.file_names(Dir::Snap), ["snapshot.0"]);
    assert_eq!(run.disk.file_names(Dir::Log), ["menagerie.synced"]);
    run.write(3);
    let again = recover(run.disk.crash(|| false));
    assert_eq!((again.zxid(), again.served().replayed), (3, 3));
    assert!(again.warnings().is_empty());
    assert!(again.served().tree.find(b"/made-3").is_some());
    assert_eq!(again.disk.file_names(Dir::Snap), ["snapshot.0"], "our own need no takeover");
}

#[test]
fn a_first_snapshot_that_was_cut_short_is_taken_again() {
    let mut disk = TestDisk::new();
    disk.put(Dir::Snap, "tmp.snapshot.0", b"half");
    disk.put(Dir::Snap, "tmp.snapshot.7", b"half");
    let run = recover(disk);
    assert_eq!(run.zxid(), 0);
    assert_eq!(run.disk.file_names(Dir::Snap), ["snapshot.0"]);
}

#[test]
fn java_s_directories_are_taken_over() {
    for (files, zxid, replayed) in [(V34, 0x16, 3), (V38, 0x1c, 1), (V39, 0x1c, 3)] {
        let run = recover(disk(files));
        assert_eq!((run.zxid(), run.served().replayed), (zxid, replayed));
        assert_eq!(run.served().sessions.len(), 1);
        assert!(run.warnings().is_empty(), "{:?}", run.warnings());
        let note = run.disk.file(Dir::Snap, TAKEOVER_NAME).and_then(Takeover::decode);
        let newest = files.iter().filter_map(|file| file.0.split_once('.')).map(|name| name.1);
        let newest = newest.filter_map(|hex| i64::from_str_radix(hex, 16).ok()).max();
        assert_eq!(note.map(|note| note.newest.0), newest);
        let again = recover(run.disk.crash(|| false));
        assert_eq!(again.digest(), run.digest());
    }
}

#[test]
fn logs_alone_give_the_same_and_get_a_snapshot() {
    for (files, snapshot) in [(V34, "snapshot.13"), (V39, "snapshot.19")] {
        let with = recover(disk(files)).digest();
        let run = recover(without(files, &[snapshot]));
        assert_eq!((run.digest().0, &run.digest().2), (with.0, &with.2));
        if files == V39 {
            assert_eq!(run.digest(), with);
        }
        // That of an empty tree: a member's leader may still take away the end of these logs.
        let snapshots = run.disk.file_names(Dir::Snap);
        assert!(snapshots.contains(&"snapshot.0") && !snapshots.contains(&snapshot));
        assert_eq!(recover(run.disk.crash(|| false)).digest(), run.digest());
    }
}

#[test]
fn a_snapshot_that_does_not_load_gives_way_to_the_one_before() {
    let good = recover(disk(V39));
    for change in [
        |bytes: &mut Vec<u8>| bytes[600] ^= 4,
        |bytes: &mut Vec<u8>| bytes.truncate(900),
        |bytes: &mut Vec<u8>| bytes.clear(),
        |bytes: &mut Vec<u8>| bytes.fill(0),
    ] {
        let run = recover(with(&disk(V39), Dir::Snap, "snapshot.19", change));
        assert_eq!(run.digest(), good.digest());
        assert_eq!(run.warnings().len(), 1);
        assert!(run.warnings()[0].starts_with("snapshot.19 cannot be used: "));
    }
}

#[test]
fn a_snapshot_beyond_the_log_that_cannot_be_read_stops_the_server() {
    let mut broken = disk(V39);
    broken.put(Dir::Snap, "snapshot.20", b"garbage");
    assert!(recover(broken).why().starts_with("snapshot.20 cannot be read"));
    let mut packed = disk(V39);
    packed.put(Dir::Snap, "snapshot.20.gz", b"");
    assert!(recover(packed).why().starts_with("snapshot.20.gz is compressed"));
    let mut known = disk(V39);
    known.put(Dir::Snap, "snapshot.1b.gz", b"");
    assert_eq!(recover(known).zxid(), 0x1c);
}

#[test]
fn a_missing_log_stops_the_server() {
    let why = "the transactions after 0x14 and before the first of log.18 are missing";
    assert!(recover(without(V39, &["snapshot.19", "log.15"])).why().starts_with(why));
    let why = "the transactions after 0x0 and before the first of log.15 are missing";
    assert!(recover(without(V39, &["snapshot.19", "log.1"])).why().starts_with(why));
    assert_eq!(recover(without(V39, &["log.1", "log.15"])).zxid(), 0x1c, "not needed");
    let mut run = recover(TestDisk::new());
    run.write(3);
    run.recovered.as_mut().expect("it serves").log.settle(&mut run.ids, &mut Effects::new());
    let mark = Mark { log: Zxid(1), synced: 200 };
    run.disk.put(Dir::Log, MARK_NAME, &mark.encode());
    let mut lost = TestDisk::new();
    for (dir, name) in [(Dir::Snap, "snapshot.0"), (Dir::Log, MARK_NAME)] {
        lost.put(dir, name, run.disk.file(dir, name).expect("it was written"));
    }
    assert!(recover(lost).why().starts_with("log.1 is missing"));
}

/// A snapshot of what a server holds.
pub(in crate::store) fn snapshot_of(run: &mut Run, zxid: i64) -> Vec<u8> {
    let mut fx = Effects::new();
    let mut snapshotter = Snapshotter::new(Sound, CONFIG.tail);
    let mut tree = recover(run.disk.crash(|| false)).served().tree.clone();
    let mut sessions = Listed::default();
    let frozen = Frozen { tree: &mut tree, sessions: &mut sessions };
    snapshotter.start(frozen, Zxid(zxid), &mut run.ids, &mut fx);
    run.disk.take(&mut fx);
    while let Some(done) = run.disk.step(false) {
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        let frozen = Frozen { tree: &mut tree, sessions: &mut sessions };
        snapshotter.on_file(done.op, &result, frozen, &mut run.ids, &mut fx);
        run.disk.take(&mut fx);
    }
    run.disk.file(Dir::Snap, &snapshot_name(Zxid(zxid))).expect("it was written").to_vec()
}

/// Java 3.4 took the ends of the ranges that are refused now; what is there stays there.
#[test]
fn names_that_no_request_may_make_any_more_are_kept() {
    let path = "/\u{1f}\u{7f}\u{9f}\u{f8ff}\u{fff0}\u{ffff}";
    let mut log = Vec::new();
    append_log_header(&mut log);
    append_record(&mut log, &entry_of(1, path));
    let mut disk = TestDisk::new();
    disk.put(Dir::Log, "log.1", &log);
    let mut run = recover(disk);
    assert!(run.served().tree.find(path.as_bytes()).is_some());
    snapshot_of(&mut run, 1);
    let again = recover(run.disk.crash(|| false));
    assert_eq!((again.served().replayed, again.digest()), (0, run.digest()));
}

/// Java 3.9 logs a request that it could not read as an error under the number of the transaction
/// before it.
#[test]
fn an_error_that_takes_no_number_of_its_own_is_passed_over() {
    let mut run = recover(TestDisk::new());
    run.write(3);
    let mut again = Vec::new();
    let header = TxnHeader { session: SessionId(9), cxid: 2, zxid: Zxid(3), time: 2, op: -1 };
    TxnEntry { header, txn: Txn::Error { err: -5 }, digest: None }.encode(&mut again);
    let log = with(&run.disk, Dir::Log, "log.1", |log| {
        log.truncate(16 + 3 * (entry(1).len() + 13));
        append_record(log, &again);
        append_record(log, &entry(4));
    });
    let run = recover(log);
    assert_eq!((run.zxid(), run.warnings()), (4, vec![]));
    assert!(run.served().tree.find(b"/made-3").is_some());
    assert!(run.served().tree.find(b"/made-4").is_some());
}

#[test]
fn a_tear_of_java_s_newest_log_is_cut_and_said() {
    for (cut, zxid) in [(256 - 32, 0x1c), (223, 0x1b), (150, 0x1b), (21, 0x1a), (16, 0x1a)] {
        let run = recover(with(&disk(V39), Dir::Log, "log.1b", |log| log.truncate(cut)));
        assert_eq!(run.zxid(), zxid, "cut at {cut}");
        let torn = cut != 16 && cut != 224;
        assert_eq!(run.warnings().len(), usize::from(torn), "cut at {cut}");
        let len = run.disk.file(Dir::Log, "log.1b").map(<[u8]>::len);
        assert_eq!(len, Some([16, 120, 224][(zxid - 0x1a) as usize]));
        assert!(recover(run.disk.crash(|| false)).warnings().is_empty(), "it was repaired");
    }
    for cut in [0, 1, 15] {
        let run = recover(with(&disk(V39), Dir::Log, "log.1b", |log| log.truncate(cut)));
        assert_eq!(run.zxid(), 0x1a);
        assert_eq!(run.disk.file(Dir::Log, "log.1b"), None);
    }
}

#[test]
fn rot_stops_with_file_offset_and_transaction() {
    let run = recover(with(&disk(V39), Dir::Log, "log.1b", |log| log[60] ^= 1));
    assert!(run.why().starts_with("log.1b is damaged at byte 16, after transaction 0x1a: "));
    assert!(run.why().contains("truncate -s 16 log.1b"));
    let run = recover(with(&disk(V39), Dir::Log, "log.18", |log| log[300] ^= 1));
    assert!(run.why().starts_with("log.18 is damaged at byte 224, after transaction 0x19: "));
    let run = recover(with(&disk(V39), Dir::Log, "log.18", |log| log[300..].fill(0)));
    assert!(run.why().starts_with("log.18 is damaged at byte 224, after transaction 0x19: "));
    assert_eq!(run.disk.file(Dir::Log, "log.18").map(<[u8]>::len), Some(360), "nothing changed");
    let run = recover(with(&disk(V39), Dir::Log, "log.18", |log| log[332] = 1));
    assert_eq!(run.zxid(), 0x1c, "what the next log goes on without was never history");
}

#[test]
fn below_the_mark_is_rot_and_above_it_a_tear() {
    let mut run = recover(TestDisk::new());
    run.write(8);
    let record = entry(1).len() + 13;
    let damaged = |at: usize, synced: usize| {
        let disk = with(&run.disk, Dir::Log, "log.1", |log| log[at] ^= 1);
        let mark = Mark { log: Zxid(1), synced: synced as u64 };
        recover(with(&disk, Dir::Log, MARK_NAME, |file| *file = mark.encode()))
    };
    let third = 16 + 2 * record + 20;
    let torn = damaged(third, 0);
    assert_eq!((torn.zxid(), torn.warnings().len()), (2, 1));
    assert_eq!(damaged(third, 16 + 2 * record).zxid(), 2);
    let rot = damaged(third, 16 + 2 * record + 1);
    let offset = 16 + 2 * record;
    let why = format!("log.1 is damaged at byte {offset}, after transaction 0x2: it was known");
    assert!(rot.why().starts_with(&why), "{}", rot.why());
}

/// The first slot of the mark rots, and later the log that only this slot vouched for.
#[test]
fn a_mark_that_rots_takes_no_log_out_of_its_care() {
    let mut run = recover(TestDisk::new());
    run.write(8);
    run.log([1 << 33 | 1], &[1 << 33 | 1]);
    let run = recover(with(&run.disk, Dir::Log, MARK_NAME, |mark| mark[62] ^= 0x80));
    assert_eq!((run.zxid(), run.warnings().len()), (1 << 33 | 1, 0));
    let run = recover(with(&run.disk, Dir::Log, "log.1", |log| log[60] ^= 1));
    assert!(run.why().contains("it was whole when log.200000001 was begun"), "{}", run.why());
}

/// A recovery with one bug.
#[derive(Clone, Copy)]
struct Bug<const N: usize>;

impl<const N: usize> Default for Bug<N> {
    fn default() -> Self {
        Bug
    }
}

impl<const N: usize> Zoo for Bug<N> {
    fn has(self, mutation: Mutation) -> bool {
        [Mutation::TearNotCut, Mutation::RecoveredNotRewritten][N] == mutation
    }
}

/// Eight transactions of which the last three are torn, above the mark.
fn torn_tail() -> (TestDisk, usize) {
    let mut run = recover(TestDisk::new());
    run.write(8);
    let end = 16 + 5 * (entry(1).len() + 13);
    (with(&run.disk, Dir::Log, "log.1", |log| log[end + 20] ^= 1), end)
}

#[test]
fn a_tear_is_cut_to_where_the_last_good_record_ends() {
    let (disk, end) = torn_tail();
    let cut = recover(disk.clone());
    assert_eq!((cut.zxid(), cut.disk.file(Dir::Log, "log.1").map(<[u8]>::len)), (5, Some(end)));
    let left = recover_with(Bug::<0>, disk);
    assert!(left.disk.file(Dir::Log, "log.1").map(<[u8]>::len) > Some(end), "nothing is cut");
}

#[test]
fn what_was_never_known_to_be_synced_is_written_once_more() {
    let mut run = recover(TestDisk::new());
    run.write(8);
    let end = 16 + 8 * (entry(1).len() + 13);
    let mark = Mark { log: Zxid(1), synced: 40 }.encode();
    let marked = with(&run.disk, Dir::Log, MARK_NAME, |file| *file = mark);
    let rotten = with(&run.disk, Dir::Log, MARK_NAME, |file| file.fill(0xaa));
    for (disk, start) in [(marked, 40), (rotten, 0)] {
        let again = |log: &[String]| {
            let tail = format!(" at {start} len {}", end - start);
            log.iter().any(|line| line.starts_with("write ") && line.ends_with(&tail))
        };
        let run = recover(disk.clone());
        assert!(run.zxid() == 8 && again(&run.disk.log), "{:?}", run.disk.log);
        assert!(!again(&recover_with(Bug::<1>, disk).disk.log));
    }
}

#[test]
fn mixed_folders_a_second_server_and_a_failing_disk_are_refused() {
    let mut mixed = disk(V39);
    mixed.put(Dir::Snap, "log.30", b"");
    assert!(recover(mixed).why().starts_with("snapshot directory has log files"));
    let whole = recover(TestDisk::new()).disk.done;
    for k in 0..whole {
        let mut failing = TestDisk::new();
        failing.fail_at = Some(k);
        let run = recover(failing);
        assert!(run.recovered.is_some() || !run.why().is_empty(), "operation {k}");
    }
}

#[test]
fn whatever_a_crash_leaves_holds_all_that_was_durable_and_only_a_prefix() {
    let mut cut = 0;
    for seed in 0..300_u64 {
        let mut random = Random(seed);
        let mut run = recover(TestDisk::new());
        for life in 0..3 {
            let (mut fx, served) = (Effects::new(), run.recovered.as_mut().expect("it serves"));
            for _ in 0..random.below(6) {
                for _ in 0..random.below(20) {
                    let zxid = served.log.appended().next();
                    served.log.append(zxid, &entry(zxid.0));
                    if random.below(12) == 0 {
                        served.log.roll();
                    }
                }
                served.log.flush(&mut run.ids, &mut fx);
                run.disk.take(&mut fx);
                for _ in 0..random.below(9) {
                    let Some(done) = run.disk.step(random.below(2) == 0) else { break };
                    let result = done.result.as_ref().map(|d| d.view()).map_err(Clone::clone);
                    served.log.on_file(done.op, &result, &mut run.ids, &mut fx);
                    run.disk.take(&mut fx);
                }
            }
            let (durable, appended) = (served.log.durable().0, served.log.appended().0);
            run = recover(run.disk.crash(|| random.below(2) == 0));
            let at = format!("seed {seed}, life {life}: {:?}", run.disk.halted);
            assert!(run.recovered.is_some(), "{at}");
            let zxid = run.zxid();
            assert!((durable..=appended).contains(&zxid), "{at}: {durable} {zxid} {appended}");
            let fresh = Tree::new(CONFIG.hash).node_count() as i64;
            assert_eq!(run.served().tree.node_count() as i64, zxid + fresh, "{at}");
            cut += run.warnings().len();
        }
    }
    assert!(cut > 20, "tears were met: {cut}");
}

#[test]
fn our_log_of_java_s_transactions_is_java_s_log() {
    let mut run = recover(TestDisk::new());
    let served = run.recovered.as_mut().expect("it serves");
    let mut fx = Effects::new();
    let mut scanner = LogScanner::new(V39[0].1.len() as u64);
    scanner.push(V39[0].1);
    while let Step::Record { zxid, entry, .. } = scanner.step() {
        TxnEntry::decode(&mut Reader::new(entry)).expect("Java wrote it");
        served.log.append(zxid, entry);
    }
    served.log.flush(&mut run.ids, &mut fx);
    run.disk.take(&mut fx);
    while run.disk.step(false).is_some() {}
    let java = &V39[0].1[..V39[0].1.len() - 32];
    assert_eq!(run.disk.file(Dir::Log, "log.1"), Some(java));
    assert_eq!(vec![recover(run.disk).zxid()], [0x14]);
}

/// A small generator for choices; not for anything that matters.
pub(in crate::store) struct Random(pub(in crate::store) u64);

impl Random {
    pub(in crate::store) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % n
    }
}
