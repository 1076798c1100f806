// SPDX-License-Identifier: Apache-2.0
//! The snapshotter against the test disk.

use alloc::string::ToString;

use super::*;
use crate::{
    hash::Keyed,
    io::Exit,
    log::Name,
    store::{replay::Loading, test_disk::TestDisk},
    txn::{CreateTxn, Txn, TxnHeader, TxnKind, apply},
    zoo::Sound,
};

struct Bench {
    disk: TestDisk,
    snapshotter: Snapshotter<Sound>,
    tree: Tree,
    sessions: Listed,
    ids: Ids,
    fx: Effects,
    news: Vec<SnapshotNews>,
}

impl Bench {
    fn new(nodes: i64) -> Bench {
        let mut tree = Tree::new(Keyed::default());
        (1..=nodes).for_each(|zxid| create(&mut tree, zxid));
        Bench {
            disk: TestDisk::new(),
            snapshotter: Snapshotter::new(Sound, TailForm::default()),
            tree,
            sessions: Listed::default(),
            ids: Ids::new(),
            fx: Effects::new(),
            news: Vec::new(),
        }
    }

    fn start(&mut self, zxid: i64) {
        self.sessions = Listed::new((1..=3).map(|id| (SessionId(id), 4000)));
        let (ids, fx) = (&mut self.ids, &mut self.fx);
        let frozen = Frozen { tree: &mut self.tree, sessions: &mut self.sessions };
        self.snapshotter.start(frozen, Zxid(zxid), ids, fx);
        self.disk.take(fx);
    }

    fn step(&mut self) -> bool {
        let Some(done) = self.disk.step(false) else { return false };
        assert!(self.snapshotter.owns(done.op));
        let result = done.result.as_ref().map(|done| done.view()).map_err(Clone::clone);
        let (ids, fx) = (&mut self.ids, &mut self.fx);
        let frozen = Frozen { tree: &mut self.tree, sessions: &mut self.sessions };
        self.news.extend(self.snapshotter.on_file(done.op, &result, frozen, ids, fx));
        self.disk.take(fx);
        true
    }

    fn run(&mut self) {
        while self.step() {}
    }
}

fn create(tree: &mut Tree, zxid: i64) {
    let header = TxnHeader { session: SessionId(1), cxid: 0, zxid: Zxid(zxid), time: 5, op: 1 };
    let path = format!("/n{zxid}");
    let kind = TxnKind::Plain { ephemeral: false, create2: false };
    let data = Some(&[7; 100][..]);
    let create = CreateTxn { path: path.as_bytes(), data, acl: None, kind, parent_cversion: -1 };
    assert_eq!(apply(tree, &header, &Txn::Create(create), &mut ()).err, 0);
}

fn digest_of(file: &[u8], zxid: i64) -> (u64, usize) {
    let (mut loading, mut fx) = (Loading::new(Keyed::default()), Effects::new());
    loading.push(file).expect("a snapshot");
    let state = loading.finish(Zxid(zxid), &mut fx).expect("a whole snapshot");
    assert!(fx.list().is_empty(), "the recorded digest is the tree's");
    assert_eq!(state.sessions.len(), 3);
    (state.tree.digest(), state.tree.node_count())
}

#[test]
fn a_snapshot_is_the_tree_as_it_stood_when_it_began() {
    let mut bench = Bench::new(3000);
    let (digest, count) = (bench.tree.digest(), bench.tree.node_count());
    bench.start(3000);
    for zxid in 3001..3040 {
        create(&mut bench.tree, zxid);
        bench.step();
        assert!(bench.disk.waiting() <= 5, "one piece at a time, and the end at once");
    }
    bench.run();
    let file = bench.disk.file(Dir::Snap, "snapshot.bb8").expect("it is written");
    let len = file.len() as u64;
    assert_eq!(bench.news, [SnapshotNews::Done { zxid: Zxid(3000), len }]);
    assert_eq!(digest_of(file, 3000), (digest, count));
    assert_eq!(bench.disk.file_names(Dir::Snap), ["snapshot.bb8"]);
    assert!(bench.snapshotter.is_idle() && !bench.tree.is_frozen());
    let last = bench.disk.log.split_off(bench.disk.log.len() - 4);
    let rename = "rename Snap/tmp.snapshot.bb8 to snapshot.bb8";
    assert_eq!(last, ["sync 1", rename, "sync Snap", "close 1"]);
}

#[test]
fn the_first_snapshot_of_an_empty_tree_is_as_java_writes_it() {
    let mut bench = Bench::new(0);
    bench.start(0);
    bench.run();
    let file = bench.disk.file(Dir::Snap, "snapshot.0").expect("it is written");
    let tail = &file[file.len() - 54..];
    assert_eq!(tail[..20], [&[0; 8][..], &[0, 0, 0, 2], &[0; 8]].concat());
}

#[test]
fn each_failure_deletes_the_snapshot_says_so_and_leaves_all_well() {
    let mut whole = Bench::new(1500);
    whole.start(1500);
    whole.run();
    for k in 0..whole.disk.done {
        let mut bench = Bench::new(1500);
        bench.disk.fail_at = Some(k);
        bench.start(1500);
        bench.run();
        let close = k + 1 == whole.disk.done;
        assert_eq!(bench.news, [SnapshotNews::Failed { zxid: Zxid(1500) }], "operation {k}");
        // What has its name stays.
        let named = k + 2 >= whole.disk.done;
        assert_eq!(bench.disk.file_names(Dir::Snap).len(), usize::from(named), "operation {k}");
        assert_eq!(bench.disk.events.len(), 1);
        assert!(close || bench.disk.events[0].to_string().contains("Make room"));
        assert_eq!(bench.disk.halted.as_ref().map(|halt| halt.0), None::<Exit>);
        assert!(bench.snapshotter.is_idle() && !bench.tree.is_frozen());
        bench.start(1500);
        bench.run();
        assert_eq!(bench.disk.file_names(Dir::Snap), ["snapshot.5dc"], "operation {k}, again");
    }
}

#[test]
fn what_has_its_name_after_a_crash_is_whole() {
    let mut bench = Bench::new(1500);
    let digest = bench.tree.digest();
    bench.start(1500);
    let mut named = 0;
    for turn in 0_u32.. {
        for seed in 0..20_u32 {
            let mut n = seed;
            let image = bench.disk.crash(|| {
                n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                n >> 31 == 0
            });
            for name in image.file_names(Dir::Snap) {
                if Name::parse(name) != Name::Partial {
                    let file = image.file(Dir::Snap, name).expect("it is listed");
                    assert_eq!(digest_of(file, 1500).0, digest, "turn {turn}");
                    named += 1;
                }
            }
        }
        if !bench.step() {
            break;
        }
    }
    assert!(named > 40, "{named}");
}
