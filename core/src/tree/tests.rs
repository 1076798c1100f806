// SPDX-License-Identifier: Apache-2.0
//! The tree against its naive twin, and what a fresh one looks like.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec,
    vec::Vec,
};

use proptest::prelude::*;

use super::*;
use crate::{
    id::Zxid,
    proto::{ErrorCode, EventKind, Identity},
    txn::{CreateTxn, Outcome, Sink, Txn, TxnHeader, TxnKind, apply, apply_in},
    zoo::{Mutation, Sound, Zoo},
};

const SESSIONS: [SessionId; 2] = [SessionId(0x100), SessionId(0x200)];

/// Everything a snapshot holds of a znode.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Twin {
    data: Option<Vec<u8>>,
    acl: Vec<u8>,
    stat: StoredStat,
}

/// The tree as a plain map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    nodes: BTreeMap<Vec<u8>, Twin>,
}

#[derive(Clone, Debug)]
enum Op {
    Create { path: Vec<u8>, data: Option<Vec<u8>>, acl: u8, kind: u8 },
    Delete(Vec<u8>),
    SetData(Vec<u8>, Option<Vec<u8>>),
    SetAcl(Vec<u8>, u8),
    Close(usize),
    Freeze,
    Chunk(usize),
}

fn acl(n: u8) -> Option<Vec<Acl<'static>>> {
    const NAMES: [&[u8]; 4] = [b"a:x", b"b:y", b"c:z", b"d:w"];
    (n != 0).then(|| {
        let who = Identity { scheme: b"digest", id: NAMES[usize::from(n) % 4] };
        vec![Acl { perms: i32::from(n), who }, Acl::OPEN]
    })
}

fn acl_bytes(n: u8) -> Vec<u8> {
    AclList::new(&acl(n).unwrap_or(vec![Acl::OPEN])).encoded().into()
}

fn parent_of(path: &[u8]) -> Vec<u8> {
    split(path).expect("a path").0.into()
}

impl Model {
    fn of(tree: &Tree) -> Model {
        let top = tree.root();
        let walk = core::iter::successors(Some(top), |at| tree.walk_next(top, *at));
        let twin = |at: NodeId| Twin {
            data: tree.data(at).map(Into::into),
            acl: tree.acl(at).encoded().into(),
            stat: tree.stored_stat(at),
        };
        Model { nodes: walk.map(|at| (tree.stored_path(at.0), twin(at))).collect() }
    }

    fn children<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let below = move |child: &&Vec<u8>| !child.is_empty() && parent_of(child) == path;
        self.nodes.keys().filter(below).map(|child| split(child).expect("a path").1)
    }

    fn digest(&self) -> u64 {
        let one = |(path, twin): (&Vec<u8>, &Twin)| {
            digest::digest(path, twin.data.as_deref(), &twin.stat)
        };
        self.nodes.iter().map(one).fold(0, u64::wrapping_add)
    }

    /// Does what Java does to an exact tree; false if it would not.
    fn apply(&mut self, header: &TxnHeader, txn: &Txn<'_>, n: u8) -> bool {
        let (zxid, time) = (header.zxid, header.time);
        match txn {
            Txn::Create(create) => {
                let parent = parent_of(create.path);
                if !self.nodes.contains_key(&parent) || self.nodes.contains_key(create.path) {
                    return false;
                }
                let owner = match create.kind {
                    TxnKind::Plain { ephemeral, .. } if ephemeral => header.session.0,
                    TxnKind::Plain { .. } => 0,
                    TxnKind::Container => i64::MIN,
                    TxnKind::Ttl { ttl } => Owner::Ttl(ttl).field(),
                };
                let data = create.data.map(Into::into);
                let stat = StoredStat::fresh(zxid, time, owner);
                self.nodes.insert(create.path.into(), Twin { data, acl: acl_bytes(n), stat });
                let parent = self.nodes.get_mut(&parent).expect("checked");
                parent.stat.cversion += 1;
                parent.stat.pzxid = zxid;
            }
            Txn::Delete { path, .. } => {
                if !self.nodes.contains_key(*path) {
                    return false;
                }
                self.nodes.remove(*path);
                self.nodes.get_mut(&parent_of(path)).expect("its parent").stat.pzxid = zxid;
            }
            Txn::SetData { path, data, version, .. } => {
                let path = if *path == b"/" { &[] } else { *path };
                let Some(twin) = self.nodes.get_mut(path) else { return false };
                twin.data = data.map(Into::into);
                twin.stat.version = *version;
                (twin.stat.mzxid, twin.stat.mtime) = (zxid, time);
            }
            Txn::SetAcl { path, version, .. } => {
                let Some(twin) = self.nodes.get_mut(*path) else { return false };
                twin.acl = acl_bytes(n);
                twin.stat.aversion = *version;
            }
            _ => {
                let mine = |twin: &Twin| twin.stat.owner == header.session.0;
                let gone: Vec<_> = self.nodes.iter().filter(|(_, twin)| mine(twin)).collect();
                let gone: Vec<Vec<u8>> = gone.into_iter().map(|(path, _)| path.clone()).collect();
                for path in gone {
                    self.nodes.remove(&path);
                    self.nodes.get_mut(&parent_of(&path)).expect("its parent").stat.pzxid = zxid;
                }
            }
        }
        true
    }
}

/// The tree, its twin, and a snapshot on its way.
struct Pair {
    tree: Tree,
    model: Model,
    zxid: i64,
    frozen: Option<Model>,
    body: Vec<u8>,
}

impl Pair {
    fn new() -> Pair {
        let tree = Tree::new(Keyed::new((7, 9)));
        let model = Model::of(&tree);
        Pair { tree, model, zxid: 0, frozen: None, body: Vec::new() }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Create { path, data, acl: n, kind } => {
                let parent = self.model.nodes.get(&parent_of(path));
                if parent.is_some_and(|parent| parent.stat.owner > 0) {
                    return;
                }
                let kind = match kind {
                    0 => TxnKind::Container,
                    1 => TxnKind::Ttl { ttl: 5 },
                    n => TxnKind::Plain { ephemeral: *n < 5, create2: true },
                };
                let (acl, data) = (acl(*n), data.as_deref());
                let create = CreateTxn { path, data, acl, kind, parent_cversion: -1 };
                let session = SESSIONS[usize::from(*n) % 2];
                // A create that finds its work done changes the ACL: for replays only.
                if !self.model.nodes.contains_key(path) {
                    self.apply(session, &Txn::Create(create), *n);
                }
            }
            Op::Delete(path) => {
                let leaf = self.model.children(path).next().is_none();
                if leaf && self.model.nodes.contains_key(path) {
                    self.apply(SESSIONS[0], &Txn::Delete { path, container: false }, 0);
                }
            }
            Op::SetData(path, data) => {
                let (data, version) = (data.as_deref(), 3);
                let txn = Txn::SetData { path, data, version, reconfig: false };
                self.apply(SESSIONS[0], &txn, 0);
            }
            Op::SetAcl(path, n) => {
                let txn = Txn::SetAcl { path, acl: acl(*n), version: 2 };
                self.apply(SESSIONS[0], &txn, *n);
            }
            Op::Close(n) => {
                self.apply(SESSIONS[*n], &Txn::CloseSession { paths: None }, 0);
            }
            Op::Freeze => self.freeze(),
            Op::Chunk(budget) => self.chunk(*budget),
        }
    }

    fn apply(&mut self, session: SessionId, txn: &Txn<'_>, n: u8) {
        self.zxid += 1;
        let (zxid, time, op) = (Zxid(self.zxid), self.zxid * 10, txn.op().code());
        let header = TxnHeader { session, cxid: 0, zxid, time, op };
        let outcome = apply(&mut self.tree, &header, txn, &mut ());
        let done = self.model.apply(&header, txn, n);
        assert_eq!(outcome.err == 0, done, "{txn:?}: {outcome:?}");
        assert_eq!(self.tree.digest(), self.model.digest(), "{txn:?}");
    }

    fn freeze(&mut self) {
        if self.frozen.is_none() {
            self.tree.freeze();
            self.frozen = Some(self.model.clone());
        }
    }

    fn chunk(&mut self, budget: usize) {
        if self.frozen.is_some() && self.tree.freeze_next(&mut self.body, budget) {
            let body = core::mem::take(&mut self.body);
            assert_eq!(Some(load(&body, 11)), self.frozen.take());
        }
    }

    fn check(&self) {
        let (tree, model) = (&self.tree, &self.model);
        assert_eq!(Model::of(tree), *model);
        assert_eq!(tree.node_count(), model.nodes.len() + 1);
        let bytes =
            |(path, twin): (&Vec<u8>, &Twin)| path.len() + twin.data.as_ref().map_or(0, Vec::len);
        let size = model.nodes.iter().map(bytes).sum::<usize>() + 1;
        assert_eq!(tree.approximate_data_size(), size as u64);
        for (path, twin) in &model.nodes {
            let node = tree.find(path).expect("it is in the model");
            let mut names: Vec<&[u8]> = tree.children(node).map(|at| tree.name(at)).collect();
            assert_eq!(names.len(), tree.child_count(node) as usize);
            let prefix = [&path[..], b"/"].concat();
            let below = model.nodes.iter().filter(|(other, _)| other.starts_with(&prefix));
            let bytes = |(_, twin): (_, &Twin)| twin.data.as_ref().map_or(0, Vec::len);
            let (count, bytes) = (below.clone().count(), below.map(bytes).sum::<usize>());
            assert_eq!(tree.node(node).below(), (count as u32, bytes as u64));
            names.sort_unstable();
            assert_eq!(names, model.children(path).collect::<Vec<_>>());
            assert_eq!(tree.owner(node).field(), twin.stat.owner);
        }
        for session in SESSIONS {
            let mut owned: Vec<_> = tree.ephemerals(session).map(|at| tree.path(at)).collect();
            assert_eq!(owned.len(), tree.ephemeral_count(session) as usize);
            owned.sort_unstable();
            let mine = |path: &&Vec<u8>| model.nodes[*path].stat.owner == session.0;
            assert_eq!(owned, model.nodes.keys().filter(mine).cloned().collect::<Vec<_>>());
        }
        let mut sweep = tree.clone();
        sweep.sweep_restart();
        let swept = core::iter::from_fn(|| sweep.sweep_next()).count();
        let kinds = model.nodes.values().filter(|twin| twin.stat.owner < 0).count();
        assert_eq!(swept, kinds);
        let lists: BTreeSet<_> = model.nodes.values().map(|t| &t.acl).collect();
        let stored = lists.iter().filter(|list| ***list != acl_bytes(0)).count();
        assert_eq!(tree.acl_count() as usize, stored);
    }
}

/// Reads a body in pieces, and writes what was read again.
fn load(body: &[u8], piece: usize) -> Model {
    let mut loader = Loader::new(Keyed::new((3, 4)));
    for piece in body.chunks(piece) {
        assert_eq!(loader.feed(piece), Ok(piece.len()));
    }
    let mut tree = loader.finish().expect("the end was read");
    let model = Model::of(&tree);
    assert_eq!(tree.digest(), model.digest());
    let acls = tree.acl_count();
    tree.freeze();
    let mut again = Vec::new();
    assert!(tree.freeze_next(&mut again, usize::MAX / 2));
    assert_eq!(again.len(), body.len());
    assert_eq!(acls, tree.acl_count());
    model
}

fn paths() -> impl Strategy<Value = Vec<u8>> {
    // The last needs more than a byte for its length.
    let names = vec!["a".into(), "b".into(), "c".into(), "long-name-".repeat(30)];
    let name = prop::sample::select(names);
    prop::collection::vec(name, 1..4).prop_map(|names| {
        let path: String = names.iter().map(|name| format!("/{name}")).collect();
        path.into_bytes()
    })
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..12))
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (paths(), data(), 0..6_u8, 0..14_u8)
            .prop_map(|(path, data, acl, kind)| Op::Create { path, data, acl, kind }),
        4 => paths().prop_map(Op::Delete),
        3 => (paths(), data()).prop_map(|(path, data)| Op::SetData(path, data)),
        1 => data().prop_map(|data| Op::SetData(b"/".into(), data)),
        2 => (paths(), 0..6_u8).prop_map(|(path, acl)| Op::SetAcl(path, acl)),
        1 => (0..2_usize).prop_map(Op::Close),
        1 => Just(Op::Freeze),
        3 => (0..200_usize).prop_map(Op::Chunk),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any mix of changes, with snapshots taken in pieces between them: the tree equals its twin
    /// after each, and each snapshot equals the twin as it stood when the snapshot began.
    #[test]
    fn equals_its_naive_twin(ops in prop::collection::vec(ops(), 1..120)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.run(op);
        }
        pair.check();
        while pair.frozen.is_some() {
            pair.chunk(64);
        }
    }
}

fn header(zxid: i64) -> TxnHeader {
    TxnHeader { session: SESSIONS[0], cxid: 0, zxid: Zxid(zxid), time: zxid * 10, op: 0 }
}

fn create<'a>(path: &'a [u8], data: &'a [u8]) -> Txn<'a> {
    let kind = TxnKind::Plain { ephemeral: false, create2: true };
    let acl = Some(vec![Acl::OPEN]);
    Txn::Create(CreateTxn { path, data: Some(data), acl, kind, parent_cversion: -1 })
}

fn set_data<'a>(path: &'a [u8], data: &'a [u8]) -> Txn<'a> {
    Txn::SetData { path, data: Some(data), version: 1, reconfig: false }
}

#[test]
fn a_fresh_tree_is_as_java_makes_it() {
    let tree = Tree::new(Keyed::default());
    assert_eq!((tree.node_count(), tree.approximate_data_size()), (5, 44));
    let config = tree.find(CONFIG).expect("a znode");
    assert_eq!(tree.data(config), Some(&b""[..]));
    assert_eq!(tree.stat(config), Stat { aversion: -1, ..Stat::default() });
    let acl: Vec<_> = tree.acl(config).iter().collect();
    assert_eq!(acl, [Acl { perms: perms::READ, ..Acl::OPEN }]);
    let proc = tree.find(PROC).expect("a znode");
    let stat = Stat { num_children: 2, cversion: -2, ..Stat::default() };
    assert_eq!(tree.stat(proc), stat);
    let root = tree.stat(tree.root());
    assert_eq!(root, Stat { num_children: 1, cversion: -1, ..Stat::default() });
    assert_eq!(tree.find(b""), Some(tree.root()));
    assert_eq!(tree.find(b"/zookeeper/"), None);
    assert_eq!(tree.find(b"zookeeper"), None);
    assert_eq!(tree.path(config), CONFIG);
}

/// What watches would hear.
#[derive(Default)]
struct Heard(Vec<(EventKind, String)>);

impl Sink for Heard {
    fn changed(&mut self, kind: EventKind, path: &[u8], _: Zxid, _: &AclList) {
        self.0.push((kind, String::from_utf8_lossy(path).into_owned()));
    }
}

#[test]
fn multi_applies_all_or_reports_what_java_reports() {
    use EventKind::{ChildrenChanged, Created, DataChanged, Deleted};
    let mut tree = Tree::new(Keyed::default());
    let mut heard = Heard::default();
    let delete = Txn::Delete { path: b"/a/b", container: false };
    let good = vec![create(b"/a", b""), create(b"/a/b", b"x"), set_data(b"/a", b"y"), delete];
    let outcome = apply(&mut tree, &header(1), &Txn::Multi(good), &mut heard);
    assert_eq!((outcome.err, outcome.multi.len()), (0, 4));
    let stat = outcome.multi[2].stat.expect("setData answers a Stat");
    assert_eq!((stat.version, stat.data_length, stat.num_children, stat.cversion), (1, 1, 1, 1));
    let a = String::from("/a");
    assert_eq!(
        heard.0,
        [
            (Created, a.clone()),
            (ChildrenChanged, "/".into()),
            (Created, "/a/b".into()),
            (ChildrenChanged, a.clone()),
            (DataChanged, a.clone()),
            (Deleted, "/a/b".into()),
            (ChildrenChanged, a),
        ]
    );
    let before = tree.digest();
    let bad = vec![create(b"/c", b""), Txn::Error { err: -101 }, set_data(b"/a", b"z")];
    let outcome = apply(&mut tree, &header(2), &Txn::Multi(bad), &mut ());
    let errs: Vec<i32> = outcome.multi.iter().map(|one| one.err).collect();
    assert_eq!((outcome.err, errs), (-101, vec![0, -101, -2]));
    assert_eq!(tree.digest(), before);
}

#[test]
fn a_replay_brings_the_parents_numbers_forward() {
    let mut tree = Tree::new(Keyed::default());
    apply(&mut tree, &header(1), &create(b"/a", b""), &mut ());
    apply(&mut tree, &header(2), &create(b"/a/b", b"1"), &mut ());
    let again = Txn::Create(CreateTxn {
        path: b"/a/b",
        data: None,
        acl: acl(1),
        kind: TxnKind::Plain { ephemeral: false, create2: false },
        parent_cversion: 7,
    });
    let outcome = apply(&mut tree, &header(5), &again, &mut ());
    assert_eq!(outcome, Outcome { err: ErrorCode::NodeExists.code(), ..Outcome::default() });
    let stat = tree.stored_stat(tree.find(b"/a").expect("a znode"));
    assert_eq!((stat.cversion, stat.pzxid), (7, Zxid(5)));
    let gone = Txn::Delete { path: b"/a/none", container: false };
    let outcome = apply(&mut tree, &header(6), &gone, &mut ());
    assert_eq!(outcome.err, ErrorCode::NoNode.code());
    assert_eq!(tree.stored_stat(tree.find(b"/a").expect("a znode")).pzxid, Zxid(6));
    assert_eq!(tree.digest(), Model::of(&tree).digest());
    let node = tree.find(b"/a/b").expect("a znode");
    assert_eq!((tree.data(node), tree.acl(node).encoded()), (Some(&b"1"[..]), &acl_bytes(1)[..]));
}

#[test]
fn a_replay_deletes_what_a_newer_snapshot_holds_below() {
    let mut tree = Tree::new(Keyed::default());
    for (zxid, path) in [(1, &b"/a"[..]), (2, b"/a/b"), (3, b"/a/b/c"), (4, b"/a/d")] {
        apply(&mut tree, &header(zxid), &create(path, b"data"), &mut ());
    }
    apply(&mut tree, &header(5), &Txn::Delete { path: b"/a", container: false }, &mut ());
    assert_eq!((tree.node_count(), tree.find(b"/a/b/c")), (5, None));
    assert_eq!(tree.digest(), Model::of(&tree).digest());
    apply(&mut tree, &header(6), &create(b"/a", b""), &mut ());
    assert_eq!(tree.child_count(tree.find(b"/a").expect("a znode")), 0);
}

#[test]
fn quotas_are_accounted_as_java_does() {
    let mut tree = Tree::new(Keyed::default());
    let mut zxid = 0;
    let mut run = |tree: &mut Tree, txn: Txn<'_>| {
        zxid += 1;
        assert_eq!(apply(tree, &header(zxid), &txn, &mut ()).err, 0, "{txn:?}");
    };
    let usage = |tree: &Tree| {
        let stats = tree.find(b"/zookeeper/quota/a/zookeeper_stats").expect("usage");
        String::from_utf8(tree.data(stats).expect("text").into()).expect("text")
    };
    run(&mut tree, create(b"/a", b"12345"));
    run(&mut tree, create(b"/a/b", b"1"));
    run(&mut tree, create(b"/ab", b"not below"));
    run(&mut tree, create(b"/zookeeper/quota/a", b""));
    let limits = b"count=3,bytes=-1=;byteHardLimit=10";
    run(&mut tree, create(b"/zookeeper/quota/a/zookeeper_limits", limits));
    run(&mut tree, create(b"/zookeeper/quota/a/zookeeper_stats", b"count=0,bytes=0"));
    assert_eq!(usage(&tree), "count=2,bytes=6");
    run(&mut tree, create(b"/a/b/c", b"22"));
    run(&mut tree, set_data(b"/a", b"1"));
    assert_eq!(usage(&tree), "count=3,bytes=4");
    run(&mut tree, Txn::Delete { path: b"/a/b/c", container: false });
    assert_eq!(usage(&tree), "count=2,bytes=2");

    let quota = tree.quota(b"/a/b/new").expect("it is governed");
    assert_eq!(quota.path, b"/a");
    assert_eq!(quota.excesses(8, 1).count(), 0);
    let excesses: Vec<_> = quota.excesses(9, 2).collect();
    let count = quota::Excess { hard: false, bytes: false, usage: 4, limit: 3 };
    let bytes = quota::Excess { hard: true, bytes: true, usage: 11, limit: 10 };
    assert_eq!(excesses, [count, bytes]);
    assert_eq!(tree.quota(b"/ab"), None);

    run(&mut tree, set_data(b"/zookeeper/quota/a/zookeeper_stats", b"count=99,bytes=99"));
    tree.freeze();
    let mut body = Vec::new();
    while !tree.freeze_next(&mut body, 100) {}
    let mut loader = Loader::new(Keyed::default());
    assert_eq!(loader.feed(&body), Ok(body.len()));
    let mut tree = loader.finish().expect("the end was read");
    assert_eq!(usage(&tree), "count=2,bytes=2");
    run(&mut tree, Txn::Delete { path: b"/zookeeper/quota/a/zookeeper_limits", container: false });
    run(&mut tree, create(b"/a/more", b"data"));
    assert_eq!((usage(&tree), tree.quota(b"/a")), ("count=2,bytes=2".into(), None));
}

#[test]
fn quota_texts_are_read_and_written_as_java_does() {
    for (text, again) in [
        ("count=4,bytes=5", "count=4,bytes=5"),
        ("bytes=5;count=4", "count=4,bytes=5"),
        (
            "count=4,bytes=5=;countHardLimit=6;byteHardLimit=7",
            "count=4,bytes=5=;byteHardLimit=7;countHardLimit=6",
        ),
        ("", "count=-1,bytes=-1"),
        ("count=,bytes=x,,new=1", "count=-1,bytes=-1=;new=1"),
    ] {
        let numbers = quota::Numbers::parse(text.as_bytes());
        assert_eq!(String::from_utf8(numbers.text()), Ok(again.into()));
    }
}

#[test]
fn a_lost_acl_grants_nothing_and_keeps_its_number() {
    let mut body = Vec::new();
    {
        use crate::jute::{Record, Write};
        body.put_count(0);
        body.put_string(b"");
        body.put_buffer(None);
        body.put_long(77);
        StoredStat::default().encode(&mut body);
        body.put_string(b"/");
    }
    let mut loader = Loader::new(Keyed::default());
    assert_eq!(loader.feed(&body), Ok(body.len()));
    let mut tree = loader.finish().expect("done");
    assert!(tree.acl(tree.root()).iter().all(|acl| acl.perms == 0));
    tree.freeze();
    let mut again = Vec::new();
    while !tree.freeze_next(&mut again, 1) {}
    assert_eq!(again, body);
}

#[test]
fn damaged_bodies_are_refused() {
    let fed = |bytes: &[u8]| Loader::new(Keyed::default()).feed(bytes);
    assert_eq!(fed(&[0xff, 0xff, 0xff, 0xfe]), Err(LoadError::Malformed));
    assert_eq!(fed(&[0x7f, 0xff, 0xff, 0xff]), Ok(4));
    for path in ["/a/b", "//ab", "////"] {
        let mut orphan = vec![0, 0, 0, 0, 0, 0, 0, 4];
        orphan.extend_from_slice(path.as_bytes());
        orphan.extend_from_slice(&[0xff; 4]);
        orphan.extend_from_slice(&[0; 68]);
        assert_eq!(fed(&orphan), Err(LoadError::NoParent(path.into())));
    }
}

/// No request may name such a path, but the entry of a damaged log can.
#[test]
fn two_slashes_in_front_are_not_one() {
    let mut tree = Tree::new(Keyed::default());
    let before = tree.digest();
    let kind = TxnKind::Plain { ephemeral: false, create2: false };
    for path in [&b"//"[..], b"//a", b"//zookeeper"] {
        let new = CreateTxn { path, data: None, acl: None, kind, parent_cversion: -1 };
        let delete = Txn::Delete { path, container: false };
        for txn in [Txn::Create(new), delete] {
            let outcome = apply(&mut tree, &header(1), &txn, &mut ());
            assert_eq!(outcome.err, ErrorCode::NoNode.code(), "{txn:?}");
        }
    }
    assert_eq!((tree.digest(), tree.node_count()), (before, 5));
}

/// A world with one bug.
#[derive(Clone, Copy, Default)]
struct Only<const WHICH: u8>;

impl<const WHICH: u8> Zoo for Only<WHICH> {
    fn has(self, mutation: Mutation) -> bool {
        mutation
            == match WHICH {
                0 => Mutation::EphemeralOutlivesSession,
                1 => Mutation::SessionClosesSilently,
                _ => Mutation::DeleteForgetsPzxid,
            }
    }
}

/// A session with two ephemeral znodes closes; gives back what stays, whether it was told of, and
/// whether the root's pzxid moved.
fn close_in(zoo: impl Zoo) -> (u32, usize, bool) {
    let mut tree = Tree::new(Keyed::default());
    for (zxid, path) in [(1, &b"/a"[..]), (2, b"/b")] {
        let kind = TxnKind::Plain { ephemeral: true, create2: false };
        let new = CreateTxn { path, data: None, acl: None, kind, parent_cversion: -1 };
        apply(&mut tree, &header(zxid), &Txn::Create(new), &mut ());
    }
    assert_eq!((tree.ephemeral_owners(), tree.ephemerals_count()), (vec![SESSIONS[0]], 2));
    let mut heard = Heard::default();
    apply_in(zoo, &mut tree, &header(3), &Txn::CloseSession { paths: None }, &mut heard);
    let moved = tree.stored_stat(tree.root()).pzxid == Zxid(3);
    (tree.ephemeral_count(SESSIONS[0]), heard.0.len(), moved)
}

#[test]
fn each_bug_of_the_zoo_shows() {
    assert_eq!(close_in(Sound), (0, 4, true));
    assert_eq!(close_in(Only::<0>), (1, 2, true));
    assert_eq!(close_in(Only::<1>), (0, 0, true));
    assert_eq!(close_in(Only::<2>), (0, 4, false));
}
