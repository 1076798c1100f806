// SPDX-License-Identifier: Apache-2.0
//! The naive twin: preparing ahead of the disk must come to the same, byte for byte, as preparing
//! each request when all before it are applied. And each mutation of this room must not.

use alloc::{collections::VecDeque, vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::*;
use crate::{
    config::DigestAlgorithm,
    jute::Reader,
    proto::{Acl, Create, CreateKind, Identity, perms},
    serve::auth::digest_id,
    txn::{CreateTxn, TxnEntry, TxnKind, apply},
    zoo::{Mutation, Sound},
};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SESSIONS: usize = 3;
/// A client's proof, and nobody's.
const PROOF: &[u8] = b"bob:secret";

const PATHS: &[&str] = &[
    "/a",
    "/b",
    "/a/x",
    "/a/y",
    "/b/x",
    "/a/x/z",
    "/a/s",
    "/a/s0000000000",
    "/a/s0000000001",
    "/a/s0000000003",
    "/old",
    "/old/kid",
    "/worn",
    "/",
    "/zookeeper",
    "/a/",
    "bad",
    "//",
];

#[derive(Clone, Debug)]
enum Op {
    Create { path: &'static str, kind: u8, flags: i32, acl: u8, len: usize },
    Delete { path: &'static str, version: i32 },
    SetData { path: &'static str, len: usize, version: i32 },
    SetAcl { path: &'static str, acl: u8, version: i32 },
    Check { path: &'static str, version: i32 },
    Sweep { path: &'static str },
}

#[derive(Clone, Debug)]
enum Step {
    One(usize, Op),
    Multi(usize, Vec<Op>),
    Close(usize),
    /// The disk completes this many.
    Apply(usize),
}

fn ops() -> impl Strategy<Value = Op> {
    let path = || prop::sample::select(PATHS);
    let version = || prop_oneof![4 => Just(-1), 2 => Just(0), 1 => Just(1), 1 => Just(-2)];
    let acl = || prop_oneof![8 => Just(2_u8), 1 => 0..6_u8];
    let flags = || prop_oneof![4 => Just(0), 3 => Just(1), 3 => Just(2), 1 => 3..8];
    let create = (path(), 0..4_u8, flags(), acl(), 0..9_usize)
        .prop_map(|(path, kind, flags, acl, len)| Op::Create { path, kind, flags, acl, len });
    prop_oneof![
        6 => create,
        3 => (path(), version()).prop_map(|(path, version)| Op::Delete { path, version }),
        3 => (path(), 0..9_usize, version())
            .prop_map(|(path, len, version)| Op::SetData { path, len, version }),
        1 => (path(), acl(), version())
            .prop_map(|(path, acl, version)| Op::SetAcl { path, acl, version }),
        1 => (path(), version()).prop_map(|(path, version)| Op::Check { path, version }),
        1 => path().prop_map(|path| Op::Sweep { path }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = || 0..SESSIONS;
    let step = prop_oneof![
        12 => (session(), ops()).prop_map(|(session, op)| Step::One(session, op)),
        4 => (session(), prop::collection::vec(ops(), 0..5))
            .prop_map(|(session, ops)| Step::Multi(session, ops)),
        1 => session().prop_map(Step::Close),
        6 => (1..6_usize).prop_map(Step::Apply),
    ];
    prop::collection::vec(step, 1..60)
}

fn acl(n: u8, foreign: &[u8]) -> Option<Vec<Acl<'_>>> {
    let entry = |perms, scheme, id| Acl { perms, who: Identity { scheme, id } };
    Some(match n {
        0 => return None,
        1 => vec![],
        3 => vec![entry(perms::READ, b"world", b"anyone")],
        4 => vec![entry(perms::ALL, b"auth", b""), entry(perms::READ, b"world", b"anyone")],
        5 => vec![entry(perms::ALL, b"digest", foreign)],
        _ => vec![Acl::OPEN],
    })
}

fn request<'a>(op: &Op, foreign: &'a [u8]) -> Request<'a> {
    const DATA: &[u8] = b"12345678";
    match *op {
        Op::Create { path, kind, flags, acl: n, len } => Request::Create(Create {
            kind: match kind {
                0 | 1 => CreateKind::Create,
                2 => CreateKind::Create2,
                _ if flags > 4 => CreateKind::Ttl { ttl: 10 },
                _ => CreateKind::Container,
            },
            path: path.as_bytes(),
            data: (len > 0).then(|| &DATA[..len - 1]),
            acl: acl(n, foreign),
            flags,
        }),
        Op::Delete { path, version } => Request::Delete { path: path.as_bytes(), version },
        Op::SetData { path, len, version } => {
            let data = (len > 0).then(|| &DATA[..len - 1]);
            Request::SetData { path: path.as_bytes(), data, version }
        }
        Op::SetAcl { path, acl: n, version } => {
            Request::SetAcl { path: path.as_bytes(), acl: acl(n, foreign), version }
        }
        Op::Check { path, version } => Request::Check { path: path.as_bytes(), version },
        Op::Sweep { path } => Request::DeleteContainer { path: path.as_bytes() },
    }
}

#[derive(Clone, Copy, Default)]
struct Bug(Option<Mutation>);

impl Zoo for Bug {
    fn has(self, mutation: Mutation) -> bool {
        self.0 == Some(mutation)
    }
}

struct World<Z> {
    tree: Tree,
    prep: Prep<Z>,
    rules: Rules,
    ids: [Identities; SESSIONS],
    state: [SessionState; SESSIONS],
    zxid: Zxid,
    flight: VecDeque<Vec<u8>>,
    /// Whether each transaction is applied at once.
    prompt: bool,
    checks_digests: bool,
}

impl<Z: Zoo> World<Z> {
    fn new(zoo: Z, prompt: bool) -> World<Z> {
        let schemes = Schemes::default();
        let mut ids = [(); SESSIONS].map(|()| Identities::of_address(HERE));
        schemes.authenticate(b"digest", PROOF, HERE, &mut ids[0]).expect("digest is on");
        let key = Keyed::new((1, 2));
        let rules = Rules {
            schemes,
            extended_types: true,
            enforce_quota: true,
            max_entry: 4_000,
            ..Rules::default()
        };
        let mut world = World {
            tree: Tree::new(key),
            prep: Prep::new(key, zoo),
            rules,
            ids,
            state: [SessionState::Alive; SESSIONS],
            zxid: Zxid::ZERO,
            flight: VecDeque::new(),
            prompt,
            checks_digests: true,
        };
        world.furnish();
        world
    }

    /// What was there before: a quota on `/a`, a parent with an ephemeral child, a worn version.
    fn furnish(&mut self) {
        for (path, data, owner) in [
            ("/zookeeper/quota/a", "", 0),
            ("/zookeeper/quota/a/zookeeper_limits", "count=9,bytes=9=;countHardLimit=4", 0),
            ("/zookeeper/quota/a/zookeeper_stats", "count=0,bytes=0", 0),
            ("/a", "", 0),
            ("/old", "x", 0),
            ("/old/kid", "y", session(1).0),
            ("/worn", "", 0),
        ] {
            let kind = TxnKind::Plain { ephemeral: owner != 0, create2: false };
            let txn = Txn::Create(CreateTxn {
                path: path.as_bytes(),
                data: Some(data.as_bytes()),
                acl: Some(vec![Acl::OPEN]),
                kind,
                parent_cversion: -1,
            });
            self.apply_txn(SessionId(owner), &txn);
        }
        let worn = Txn::SetData { path: b"/worn", data: None, version: -2, reconfig: false };
        self.apply_txn(SessionId::NONE, &worn);
    }

    fn apply_txn(&mut self, session: SessionId, txn: &Txn<'_>) {
        self.zxid = self.zxid.next();
        let op = txn.op().code();
        let header = TxnHeader { session, cxid: 0, zxid: self.zxid, time: 1_000, op };
        let outcome = apply(&mut self.tree, &header, txn, &mut ());
        assert_eq!(outcome.err, 0, "{txn:?}");
    }

    fn step(&mut self, step: &Step) -> Option<(Prepared, Vec<u8>)> {
        let foreign = digest_id(DigestAlgorithm::Sha1, b"eve:secret");
        let (who, request) = match step {
            Step::Apply(n) => {
                self.complete(*n);
                return None;
            }
            Step::Close(who) => (*who, Request::CloseSession),
            Step::One(who, op) => (*who, request(op, &foreign)),
            Step::Multi(who, ops) => {
                (*who, Request::Multi(ops.iter().map(|op| request(op, &foreign)).collect()))
            }
        };
        self.zxid = self.zxid.next();
        let cx = Context {
            tree: &self.tree,
            rules: &self.rules,
            members: None,
            wall_ms: self.zxid.0 * 7,
        };
        let state = self.state[who];
        let asker = Asker { session: session(who), state, cxid: 5, ids: &self.ids[who] };
        let mut out = vec![0xee];
        let prepared = self.prep.prepare(&cx, self.zxid, &asker, &request, &mut out);
        if request == Request::CloseSession {
            self.state[who] = SessionState::Closing;
        }
        self.flight.push_back(out[1..].to_vec());
        if self.prompt {
            self.complete(1);
        }
        Some((prepared, out))
    }

    /// Applies what has been in flight for longest.
    fn complete(&mut self, n: usize) {
        for _ in 0..n {
            let Some(bytes) = self.flight.pop_front() else { return };
            let mut r = Reader::new(&bytes);
            let entry = TxnEntry::decode(&mut r).expect("an entry");
            assert!(r.is_empty(), "nothing follows the entry");
            apply(&mut self.tree, &entry.header, &entry.txn, &mut ());
            self.prep.applied(entry.header.zxid);
            if let Some(digest) = entry.digest.filter(|_| self.checks_digests) {
                assert_eq!(digest.digest, self.tree.digest(), "{entry:?}");
            }
        }
    }
}

fn session(n: usize) -> SessionId {
    SessionId(0x100 + n as i64)
}

/// Whether preparing ahead, with this bug, ever comes to something else.
fn differs(bug: Bug, steps: &[Step]) -> bool {
    let (mut ahead, mut naive) = (World::new(bug, false), World::new(Sound, true));
    ahead.checks_digests = false;
    steps.iter().any(|step| match step {
        Step::Apply(_) => {
            ahead.step(step);
            false
        }
        _ => ahead.step(step) != naive.step(step),
    })
}

proptest! {
    #![proptest_config(Config::with_cases(400))]

    #[test]
    fn preparing_ahead_comes_to_the_same(steps in steps()) {
        let (mut ahead, mut naive) = (World::new(Sound, false), World::new(Sound, true));
        for step in &steps {
            let (got, want) = (ahead.step(step), naive.step(step));
            if !matches!(step, Step::Apply(_)) {
                prop_assert_eq!(got, want, "{:?}", step);
            }
        }
        ahead.complete(usize::MAX);
        prop_assert_eq!(ahead.tree.digest(), naive.tree.digest());
        prop_assert_eq!(ahead.prep.pending(), 0);
        prop_assert_eq!(naive.prep.pending(), 0);
    }
}

#[test]
fn each_mutation_comes_to_something_else() {
    let all = [
        Mutation::SequenceIgnoresPending,
        Mutation::VersionIgnoresPending,
        Mutation::DeleteIgnoresPendingChild,
        Mutation::MultiKeepsChanges,
        Mutation::MultiForgetsParent,
        Mutation::ClosingSessionCreates,
        Mutation::VersionWrapsToAny,
        Mutation::CreateKeepsParentCversion,
    ];
    let mut runner = TestRunner::deterministic();
    let runs: Vec<Vec<Step>> = (0..500)
        .map(|_| steps().new_tree(&mut runner).expect("steps are easily made").current())
        .collect();
    for (n, mutation) in all.into_iter().enumerate() {
        let caught = runs.iter().any(|steps| differs(Bug(Some(mutation)), steps));
        assert!(caught, "mutation {n} goes unnoticed");
    }
    assert!(!runs.iter().any(|steps| differs(Bug(None), steps)));
}
