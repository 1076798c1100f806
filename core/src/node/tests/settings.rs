// SPDX-License-Identifier: Apache-2.0
//! What an operator's settings of the data directory do: a whole node on the test disk, under
//! each, driven by one client.

use alloc::{format, string::ToString, vec::Vec};
use core::time::Duration;

use super::super::*;
use crate::{
    config::{StaticConfig, Surroundings},
    event::Level,
    id::{SessionId, Zxid},
    io::{Dir, FileOp},
    jute::{Record, Write},
    log::{SNAPSHOT_TAIL_LEN, SnapshotSeal, TailForm, TreeDigest},
    proto::{ConnectRequest, OpCode},
    store::test_disk::TestDisk,
};

const LINK: LinkId = LinkId(1);

/// A node, its disk, and what its client was sent.
struct Bench {
    node: Node<Sound>,
    disk: TestDisk,
    fx: Effects,
    now: Now,
    /// What all links were sent.
    told: Vec<u8>,
    /// Whether folders were to be made.
    made: Vec<bool>,
    writes: usize,
}

impl Bench {
    /// A node that has not begun.
    fn new(settings: &str, disk: TestDisk) -> Bench {
        let text = format!("dataDir=/data\nclientPort=2181\ntickTime=1000\n{settings}");
        let file = StaticConfig::parse("zoo.cfg", text.as_bytes(), &[]).expect("it is right");
        let config = file.complete(&Surroundings::default()).expect("nothing is missing");
        let setup = Setup { config, hash_key: (1, 2), seed: 7, facts: Facts::default() };
        Bench {
            node: Node::new(setup),
            disk,
            fx: Effects::new(),
            now: Now { mono: Instant::from_millis(1000), wall_ms: 1_700_000_000_000 },
            told: Vec::new(),
            made: Vec::new(),
            writes: 0,
        }
    }

    /// A node that serves one client.
    fn serving(settings: &str) -> Bench {
        Bench::serving_from(settings, TestDisk::new())
    }

    fn serving_from(settings: &str, disk: TestDisk) -> Bench {
        let mut bench = Bench::new(settings, disk);
        bench.input(Input::Time);
        bench.settle();
        assert!(bench.node.server().is_some(), "{:?}", bench.disk.halted);
        bench.input(Input::LinkUp { link: LINK, port: Port::Client, peer: peer(), dialled: None });
        let mut packet = Vec::new();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: &[0; 16],
            read_only: Some(false),
        };
        request.encode(&mut packet);
        bench.packet(&packet);
        bench.settle();
        bench
    }

    /// One input, and the end of its turn.
    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.fx);
        self.turn();
    }

    fn packet(&mut self, packet: &[u8]) {
        self.input(Input::Frame { link: LINK, frame: Frame::Packet(packet) });
    }

    fn turn(&mut self) {
        self.node.flush(self.now, &mut self.fx);
        for effect in self.fx.take_list() {
            if let Effect::File { what: FileOp::List { make, .. }, .. } = &effect {
                self.made.push(*make);
            }
            if let Err(Effect::Send { bytes, .. }) = self.disk.take_one(effect) {
                self.told.extend_from_slice(&self.fx.bytes()[bytes]);
            }
        }
        self.fx.clear();
        if self.node.poll_timeout().is_some_and(|due| due <= self.now.mono) {
            self.input(Input::Time);
        }
    }

    /// One operation of the disk ends.
    fn step(&mut self) -> bool {
        let Some(done) = self.disk.step(false) else { return false };
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        self.input(Input::File { op: done.op, result });
        true
    }

    /// Every operation ends.
    fn settle(&mut self) {
        while self.step() {}
    }

    /// Asks for a znode with so much data; the disk does nothing yet.
    fn ask(&mut self, len: usize) {
        self.writes += 1;
        let mut packet = Vec::new();
        packet.put_int(1);
        packet.put_int(OpCode::Create.code());
        packet.put_string(format!("/n{}", self.writes).as_bytes());
        packet.put_buffer(Some(&alloc::vec![7; len]));
        packet.put_count(1);
        packet.put_int(31);
        packet.put_string(b"world");
        packet.put_string(b"anyone");
        packet.put_int(0);
        self.packet(&packet);
    }

    fn write(&mut self, count: usize, len: usize) {
        for _ in 0..count {
            self.ask(len);
            self.settle();
        }
    }

    /// The zxids of the snapshots, ascending.
    fn snapshots(&self) -> Vec<i64> {
        let names = self.disk.file_names(Dir::Snap);
        let zxids = names.iter().filter_map(|name| name.strip_prefix("snapshot."));
        let mut zxids: Vec<i64> =
            zxids.map(|hex| i64::from_str_radix(hex, 16).expect("a zxid")).collect();
        zxids.sort_unstable();
        zxids
    }

    fn warnings(&self) -> Vec<String> {
        let loud = self.disk.events.iter().filter(|event| event.level() >= Level::Warn);
        loud.map(ToString::to_string).collect()
    }
}

fn peer() -> SocketAddr {
    "127.0.0.1:5555".parse().expect("an address")
}

/// Transactions from each snapshot to the next.
fn distances(snapshots: &[i64]) -> Vec<i64> {
    snapshots.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_snapshot_is_taken_after_half_to_all_of_snap_count() {
    let mut bench = Bench::serving("snapCount=20\n");
    bench.write(200, 10);
    let distances = distances(&bench.snapshots());
    assert!(distances.len() >= 9, "{distances:?}");
    assert!(distances.iter().all(|distance| (11..=21).contains(distance)), "{distances:?}");
    assert!(distances.iter().any(|distance| *distance != distances[0]), "{distances:?}");
}

#[test]
fn a_snapshot_is_taken_after_half_to_all_of_so_much_log() {
    let mut bench = Bench::serving("snapSizeLimitInKb=100\n");
    bench.write(400, 1000);
    let distances = distances(&bench.snapshots());
    assert!(distances.len() >= 4, "{distances:?}");
    assert!(distances.iter().all(|distance| (43..=100).contains(distance)), "{distances:?}");
    let mut bench = Bench::serving("snapSizeLimitInKb=-1\n");
    bench.write(400, 1000);
    assert_eq!(bench.snapshots(), [0]);
}

#[test]
fn what_was_replayed_counts_toward_the_next_snapshot() {
    for settings in ["snapCount=20\n", "snapSizeLimitInKb=20\n"] {
        let mut disk = TestDisk::new();
        for life in 0..7 {
            let mut bench = Bench::serving_from(settings, disk);
            bench.writes = 100 * life;
            bench.write(3, 1000);
            assert_eq!(bench.warnings(), [""; 0]);
            disk = bench.disk.crash(|| true);
        }
        let bench = Bench::new(settings, disk);
        assert!(bench.snapshots().len() > 1, "{settings}{:?}", bench.snapshots());
    }
}

#[test]
fn a_write_is_answered_after_its_sync_unless_told_otherwise() {
    let answered_after = |settings| {
        let mut bench = Bench::serving(settings);
        bench.write(1, 10);
        let (told, done) = (bench.told.len(), bench.disk.log.len());
        bench.ask(10);
        assert_eq!(bench.told.len(), told, "nothing is answered before it is written");
        while bench.told.len() == told {
            assert!(bench.step(), "it is answered in the end");
        }
        let of_log = |line: &String| line.starts_with("write") || line.starts_with("sync");
        let log = &bench.disk.log[done..];
        let kinds = log.iter().filter(|line| of_log(line)).map(|line| line[..4].to_string());
        kinds.collect::<Vec<_>>()
    };
    let none_ahead = "preAllocSize=0\n";
    assert_eq!(answered_after(none_ahead), ["writ", "sync"]);
    assert_eq!(answered_after("preAllocSize=0\nforceSync=no\n"), ["writ"]);
}

#[test]
fn a_slow_sync_is_said_and_measured() {
    let mut bench = Bench::serving("fsync.warningthresholdms=50\npreAllocSize=0\n");
    for (took, warned) in [(50, 0), (51, 1), (49, 1), (2000, 2)] {
        bench.ask(10);
        bench.now.mono = bench.now.mono + Duration::from_millis(took);
        bench.settle();
        let warnings = bench.warnings();
        assert_eq!(warnings.len(), warned, "{warnings:?}");
    }
    let first = &bench.warnings()[0];
    assert!(first.contains("took 51 ms, more than fsync.warningthresholdms=50"), "{first}");
}

#[test]
fn snapshots_end_in_what_java_expects_under_the_same_settings() {
    let len = |settings| {
        let bench = Bench::serving(settings);
        bench.disk.file(Dir::Snap, "snapshot.0").expect("the first snapshot").len()
    };
    let bare = len("digest.enabled=false\nserializeLastProcessedZxid.enabled=false\n");
    assert_eq!(len("digest.enabled=false\n"), bare + 8 + 13);
    assert_eq!(len("serializeLastProcessedZxid.enabled=false\n"), bare + 20 + 13);
    assert_eq!(len(""), bare + 20 + 13 + 8 + 13);
    for settings in ["digest.enabled=false\n", "serializeLastProcessedZxid.enabled=false\n", ""] {
        let mut bench = Bench::serving(&format!("snapCount=5\n{settings}"));
        bench.write(20, 10);
        assert!(bench.snapshots().len() > 2);
        let again = Bench::serving_from("", bench.disk.crash(|| true));
        assert_eq!(again.warnings(), [""; 0], "{settings}");
    }
}

#[test]
fn folders_are_made_unless_told_otherwise() {
    let made = |settings| {
        let mut bench = Bench::new(settings, TestDisk::new());
        bench.input(Input::Time);
        bench.settle();
        bench.made
    };
    assert_eq!(made(""), [true; 3]);
    assert_eq!(made("datadir.autocreate=false\n"), [false; 3]);
}

#[test]
fn purging_follows_its_schedule() {
    let hour = Duration::from_secs(3600);
    for (settings, quiet) in [
        ("autopurge.purgeInterval=2\n", Duration::from_secs(0)),
        ("", 24 * hour),
        ("autopurge.purgeInterval=0\n", 10_000 * hour),
    ] {
        let mut bench = Bench::serving(&format!("snapCount=4\n{settings}"));
        bench.write(40, 10);
        let before = bench.snapshots().len();
        let wait = |bench: &mut Bench, time: Duration| {
            bench.now.mono = bench.now.mono + time;
            bench.input(Input::Time);
            bench.settle();
        };
        if quiet > Duration::from_secs(0) {
            wait(&mut bench, quiet - Duration::from_secs(60));
            assert_eq!(bench.snapshots().len(), before, "{settings}");
        }
        if quiet <= 24 * hour {
            wait(&mut bench, 2 * hour);
            assert_eq!(bench.snapshots().len(), 3, "{settings}");
        }
    }
}

#[test]
fn a_log_is_left_beyond_its_limit() {
    let mut bench = Bench::serving("txnLogSizeLimitInKb=10\n");
    bench.write(50, 1000);
    let logs = bench.disk.file_names(Dir::Log).into_iter();
    let logs = logs.filter(|name| name.starts_with("log.")).count();
    assert!((5..=6).contains(&logs), "{logs}");
}

#[test]
fn trees_that_are_not_the_recorded_ones_are_counted_and_said_once() {
    let mut bench = Bench::serving("");
    bench.write(5, 10);
    let mut disk = bench.disk.crash(|| true);
    // Sealed, and wrong: what a server with a fault would write.
    let mut file = disk.file(Dir::Snap, "snapshot.0").expect("the first snapshot").to_vec();
    file.truncate(file.len() - SNAPSHOT_TAIL_LEN as usize);
    let root = file.len() - 5;
    file.truncate(root);
    disk.put(Dir::Snap, "snapshot.0", &with_a_znode_more(file));
    let mut again = Bench::serving_from("", disk);
    let warnings = again.warnings();
    assert!(warnings[0].contains("is not the one that its digest was recorded for"));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    again.input(Input::LinkUp { link: LinkId(2), port: Port::Client, peer: peer(), dialled: None });
    again.input(Input::Frame { link: LinkId(2), frame: Frame::Word(*b"mntr") });
    let told = String::from_utf8_lossy(&again.told);
    assert!(told.contains("zk_digest_mismatches_count\t6\n"), "{told}");
}

/// A snapshot, given up to the path "/" that ends its tree, with a znode that no transaction made.
fn with_a_znode_more(mut file: Vec<u8>) -> Vec<u8> {
    file.put_string(b"/ghost");
    file.put_buffer(Some(b""));
    file.put_long(-1);
    file.extend_from_slice(&[0; 60]);
    file.put_string(b"/");
    let mut seal = SnapshotSeal::begin(0, &mut Vec::new());
    seal.cover(&file);
    let digest = TreeDigest { zxid: Zxid::ZERO, version: 2, digest: 0 };
    seal.end(digest, TailForm::default(), &mut file);
    file
}
