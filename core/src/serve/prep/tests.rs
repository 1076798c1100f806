// SPDX-License-Identifier: Apache-2.0
//! Which error comes first, and what exactly is logged.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    jute::Reader,
    proto::{Acl, Create, CreateKind, Identity, perms},
    tree::{CONFIG, Owner},
    txn::{CreateTxn, TxnEntry, TxnKind, apply},
    zoo::Sound,
};

const ME: SessionId = SessionId(0x77);

/// A server with one client.
struct World {
    tree: Tree,
    prep: Prep<Sound>,
    rules: Rules,
    ids: Identities,
    state: SessionState,
    zxid: Zxid,
    flight: Vec<Vec<u8>>,
    members: Option<Members>,
}

impl World {
    fn new() -> World {
        let key = Keyed::new((3, 4));
        World {
            tree: Tree::new(key),
            prep: Prep::new(key, Sound),
            rules: Rules::default(),
            ids: Identities::of_address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            state: SessionState::Alive,
            zxid: Zxid::ZERO,
            flight: Vec::new(),
            members: None,
        }
    }

    fn ask(&mut self, request: &Request<'_>) -> ErrorCode {
        let ids = self.ids.clone();
        let asker = Asker { session: ME, state: self.state, cxid: 9, ids: &ids };
        self.ask_as(&asker, request)
    }

    fn ask_as(&mut self, asker: &Asker<'_>, request: &Request<'_>) -> ErrorCode {
        self.prepare(|prep, cx, zxid, out| prep.prepare(cx, zxid, asker, request, out)).err
    }

    fn prepare(
        &mut self,
        how: impl FnOnce(&mut Prep<Sound>, &Context<'_>, Zxid, &mut Vec<u8>) -> Prepared,
    ) -> Prepared {
        self.zxid = self.zxid.next();
        let cx = Context {
            tree: &self.tree,
            rules: &self.rules,
            members: self.members.as_ref(),
            wall_ms: 1_000,
        };
        let mut out = Vec::new();
        let prepared = how(&mut self.prep, &cx, self.zxid, &mut out);
        assert_eq!(prepared.zxid, self.zxid);
        self.flight.push(out);
        prepared
    }

    /// The last entry prepared, with its header checked.
    fn logged(&self) -> (Txn<'_>, Option<TxnDigest>) {
        let bytes = self.flight.last().expect("something was prepared");
        let entry = TxnEntry::decode(&mut Reader::new(bytes)).expect("an entry");
        assert_eq!(entry.header.zxid, self.zxid);
        assert_eq!(entry.header.time, 1_000);
        assert_eq!(entry.header.op, entry.txn.op().code());
        (entry.txn, entry.digest)
    }

    fn complete(&mut self) {
        for bytes in core::mem::take(&mut self.flight) {
            let entry = TxnEntry::decode(&mut Reader::new(&bytes)).expect("an entry");
            apply(&mut self.tree, &entry.header, &entry.txn, &mut ());
            self.prep.applied(entry.header.zxid);
            if let Some(digest) = entry.digest {
                assert_eq!(digest.digest, self.tree.digest(), "{entry:?}");
            }
        }
        assert_eq!(self.prep.pending(), 0);
    }

    fn must(&mut self, request: &Request<'_>) {
        assert_eq!(self.ask(request), ErrorCode::Ok, "{request:?}");
    }
}

fn entry<'a>(perms: i32, scheme: &'a str, id: &'a str) -> Acl<'a> {
    Acl { perms, who: Identity { scheme: scheme.as_bytes(), id: id.as_bytes() } }
}

fn create(path: &str, flags: i32) -> Request<'_> {
    create_with(path, flags, CreateKind::Create, Some(vec![Acl::OPEN]))
}

fn create_with<'a>(
    path: &'a str,
    flags: i32,
    kind: CreateKind,
    acl: Option<Vec<Acl<'a>>>,
) -> Request<'a> {
    Request::Create(Create { kind, path: path.as_bytes(), data: Some(b"data"), acl, flags })
}

fn delete(path: &str, version: i32) -> Request<'_> {
    Request::Delete { path: path.as_bytes(), version }
}

fn set(path: &str, version: i32) -> Request<'_> {
    Request::SetData { path: path.as_bytes(), data: Some(b"new"), version }
}

fn set_acl<'a>(path: &'a str, acl: Option<Vec<Acl<'a>>>, version: i32) -> Request<'a> {
    Request::SetAcl { path: path.as_bytes(), acl, version }
}

fn check(path: &str, version: i32) -> Request<'_> {
    Request::Check { path: path.as_bytes(), version }
}

/// `/open`, `/open/kid`, `/mine` (ephemeral), `/shut` (read only) and `/shut/kid`.
fn furnished() -> World {
    let mut world = World::new();
    world.must(&create("/open", 0));
    world.must(&create("/open/kid", 0));
    world.must(&create("/mine", 1));
    world.must(&create("/shut", 0));
    world.must(&create("/shut/kid", 0));
    let read_only = vec![entry(perms::READ, "world", "anyone")];
    world.must(&set_acl("/shut", Some(read_only), -1));
    world.must(&set_acl("/shut/kid", Some(vec![entry(perms::CREATE, "world", "anyone")]), -1));
    world.complete();
    world
}

#[test]
fn create_fails_in_javas_order() {
    use ErrorCode as E;
    let mut world = furnished();
    let ask = |world: &mut World, path: &str, flags, acl: Option<Vec<Acl<'static>>>| {
        let request = create_with(path, flags, CreateKind::Create, acl);
        world.ask(&request)
    };
    let (open, bad) = (|| Some(vec![Acl::OPEN]), || Some(vec![entry(31, "none", "")]));
    // Each line fails in all ways that the lines below it do, as far as can be.
    world.state = SessionState::Unknown;
    assert_eq!(ask(&mut world, "bad", 7, bad()), E::BadArguments);
    assert_eq!(ask(&mut world, "bad", 5, bad()), E::Unimplemented);
    assert_eq!(ask(&mut world, "bad", 0, bad()), E::UnknownSession);
    assert_eq!(ask(&mut world, "bad", 1, bad()), E::SessionExpired);
    world.state = SessionState::Moved;
    assert_eq!(ask(&mut world, "bad", 1, bad()), E::SessionMoved);
    world.state = SessionState::Closing;
    assert_eq!(ask(&mut world, "bad", 0, bad()), E::SessionExpired);
    world.state = SessionState::Alive;
    assert_eq!(ask(&mut world, "bad", 0, bad()), E::BadArguments);
    assert_eq!(ask(&mut world, "/no\0/x", 0, bad()), E::BadArguments);
    assert_eq!(ask(&mut world, "/none/x//", 0, bad()), E::InvalidAcl);
    assert_eq!(ask(&mut world, "/none/x", 0, None), E::InvalidAcl);
    assert_eq!(ask(&mut world, "/none/x//", 0, open()), E::NoNode);
    assert_eq!(ask(&mut world, "none/x", 0, open()), E::NoNode);
    assert_eq!(ask(&mut world, "/shut/", 0, open()), E::NoAuth);
    assert_eq!(ask(&mut world, "/shut/kid", 0, open()), E::NoAuth);
    assert_eq!(ask(&mut world, "/open/", 0, open()), E::BadArguments);
    assert_eq!(ask(&mut world, "//", 0, open()), E::BadArguments);
    assert_eq!(ask(&mut world, "/open/..", 0, open()), E::BadArguments);
    assert_eq!(ask(&mut world, "/", 0, open()), E::NodeExists);
    assert_eq!(ask(&mut world, "/open/kid", 0, open()), E::NodeExists);
    assert_eq!(ask(&mut world, "/mine/kid", 0, open()), E::NoChildrenForEphemerals);
    assert_eq!(ask(&mut world, "/open/new", 0, open()), E::Ok);
    assert_eq!(ask(&mut world, "/open/new", 0, open()), E::NodeExists);
    world.complete();
}

#[test]
fn ttl_needs_its_switch_its_mode_and_a_time() {
    use ErrorCode as E;
    let mut world = World::new();
    let ask = |world: &mut World, flags, kind| {
        let path = format!("/{}", world.zxid.0);
        world.ask(&create_with(&path, flags, kind, Some(vec![Acl::OPEN])))
    };
    let ttl = |ttl| CreateKind::Ttl { ttl };
    assert_eq!(ask(&mut world, 5, ttl(10)), E::Unimplemented);
    assert_eq!(ask(&mut world, 5, CreateKind::Create), E::Unimplemented);
    assert_eq!(ask(&mut world, 0, ttl(10)), E::BadArguments);
    world.rules.extended_types = true;
    assert_eq!(ask(&mut world, 5, ttl(10)), E::Ok);
    assert_eq!(ask(&mut world, 6, ttl(Owner::MAX_TTL)), E::Ok);
    for (flags, kind) in [
        (5, ttl(0)),
        (5, ttl(-1)),
        (5, ttl(Owner::MAX_TTL + 1)),
        (5, CreateKind::Create),
        (6, CreateKind::Create2),
        (0, ttl(10)),
        (0, ttl(-1)),
        (-1, CreateKind::Create),
        (7, CreateKind::Create),
    ] {
        assert_eq!(ask(&mut world, flags, kind), E::BadArguments, "{flags} {kind:?}");
    }
    assert_eq!(ask(&mut world, 4, CreateKind::Container), E::Ok);
    world.complete();
}

#[test]
fn delete_fails_in_javas_order() {
    use ErrorCode as E;
    let mut world = furnished();
    world.state = SessionState::Closing;
    assert_eq!(world.ask(&delete("bad", 7)), E::SessionExpired);
    world.state = SessionState::Unknown;
    assert_eq!(world.ask(&delete("bad", 7)), E::UnknownSession);
    world.state = SessionState::Alive;
    for path in ["bad", "", "/no\0", "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        assert_eq!(world.ask(&delete(path, 7)), E::BadArguments, "{path:?}");
    }
    assert_eq!(world.ask(&delete("/none/kid", 7)), E::NoNode);
    assert_eq!(world.ask(&delete("/shut/none", 7)), E::NoAuth);
    assert_eq!(world.ask(&delete("/open/none", 7)), E::NoNode);
    assert_eq!(world.ask(&delete("/open/", 7)), E::NoNode);
    assert_eq!(world.ask(&delete("/open", 7)), E::BadVersion);
    assert_eq!(world.ask(&delete("/open", 0)), E::NotEmpty);
    assert_eq!(world.ask(&delete("/open/kid", 0)), E::Ok);
    assert_eq!(world.ask(&delete("/open/kid", 0)), E::NoNode);
    assert_eq!(world.ask(&delete("/open", 0)), E::Ok);
    world.complete();
}

#[test]
fn set_data_and_check_fail_in_javas_order() {
    use ErrorCode as E;
    let mut world = furnished();
    world.state = SessionState::Moved;
    assert_eq!(world.ask(&set("bad/", 7)), E::SessionMoved);
    world.state = SessionState::Alive;
    assert_eq!(world.ask(&set("/none/", 7)), E::BadArguments);
    assert_eq!(world.ask(&set("/none", 7)), E::NoNode);
    assert_eq!(world.ask(&set("/shut", 7)), E::NoAuth);
    assert_eq!(world.ask(&set("/open", 7)), E::BadVersion);
    assert_eq!(world.ask(&set("/open", 0)), E::Ok);
    assert_eq!(world.ask(&set("/open", 0)), E::BadVersion);
    assert_eq!(world.ask(&set("/open", 1)), E::Ok);
    assert_eq!(world.ask(&set("/", -1)), E::Ok);
    assert_eq!(world.ask(&check("/open", -1)), E::Unimplemented);
    let codes = |world: &mut World, request| {
        world.must(&Request::Multi(vec![request]));
        match world.logged().0 {
            Txn::Multi(txns) => match &txns[..] {
                [Txn::Error { err }] => *err,
                [Txn::Check { version, .. }] => *version,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(codes(&mut world, check("/none/", 7)), E::BadArguments.code());
    assert_eq!(codes(&mut world, check("/none", 7)), E::NoNode.code());
    assert_eq!(codes(&mut world, check("/shut/kid", 7)), E::NoAuth.code());
    assert_eq!(codes(&mut world, check("/open", 7)), E::BadVersion.code());
    assert_eq!(codes(&mut world, check("/open", 2)), 3);
    world.complete();
}

#[test]
fn set_acl_fails_in_javas_order() {
    use ErrorCode as E;
    let mut world = furnished();
    world.state = SessionState::Closing;
    assert_eq!(world.ask(&set_acl("bad", None, 7)), E::SessionExpired);
    world.state = SessionState::Alive;
    let open = || Some(vec![Acl::OPEN]);
    assert_eq!(world.ask(&set_acl("bad", None, 7)), E::BadArguments);
    assert_eq!(world.ask(&set_acl("/none", None, 7)), E::InvalidAcl);
    assert_eq!(world.ask(&set_acl("/none", open(), 7)), E::NoNode);
    assert_eq!(world.ask(&set_acl("/shut", open(), 7)), E::NoAuth);
    assert_eq!(world.ask(&set_acl("/open", open(), 7)), E::BadVersion);
    let nobody = Some(vec![entry(0, "world", "anyone")]);
    assert_eq!(world.ask(&set_acl("/open", nobody, 0)), E::Ok);
    assert_eq!(world.ask(&set_acl("/open", open(), 1)), E::NoAuth);
    assert_eq!(world.ask(&create("/open/later", 0)), E::NoAuth);
    world.complete();
}

#[test]
fn the_sweeper_takes_only_what_is_its() {
    use ErrorCode as E;
    let mut world = furnished();
    let container = create_with("/box", 4, CreateKind::Container, Some(vec![Acl::OPEN]));
    world.must(&container);
    world.must(&create("/box/kid", 0));
    let nobody = Identities::default();
    let sweeper =
        Asker { session: SessionId::NONE, state: SessionState::Unknown, cxid: 0, ids: &nobody };
    let mut sweep =
        |path: &str| world.ask_as(&sweeper, &Request::DeleteContainer { path: path.as_bytes() });
    assert_eq!(sweep("/"), E::BadArguments);
    assert_eq!(sweep("/none"), E::NoNode);
    assert_eq!(sweep("/box"), E::NotEmpty);
    assert_eq!(sweep("/mine"), E::BadVersion);
    assert_eq!(sweep("/open/kid"), E::BadVersion);
    world.must(&delete("/box/kid", -1));
    world.must(&set_acl("/", Some(vec![entry(perms::READ, "world", "anyone")]), -1));
    assert_eq!(world.ask(&Request::DeleteContainer { path: b"/box" }), E::NoAuth);
    let swept = world.ask_as(&sweeper, &Request::DeleteContainer { path: b"/box" });
    assert_eq!(swept, E::Ok);
    assert_eq!(world.logged().0, Txn::Delete { path: b"/box", container: true });
    world.complete();
}

#[test]
fn a_reconfig_is_judged_in_the_order_of_javas_checks() {
    use ErrorCode as E;
    let mut world = World::new();
    world.rules.reconfig = true;
    let lines = |ids: &[i64]| -> String {
        ids.iter().map(|id| format!("server.{id}=h{id}:1:2:participant;0.0.0.0:3\n")).collect()
    };
    let text = format!("{}version=7", lines(&[1, 2, 3]));
    world.members = Some(Members {
        in_force: Ensemble::from_text(text.as_bytes()).unwrap(),
        changing: true,
        synced: [1, 2, 4].map(ServerId).to_vec(),
        fewest: 2,
    });
    let add = |joining: &'static str, leaving: &'static str, from_config| Request::Reconfig {
        joining: Some(joining.as_bytes()),
        leaving: Some(leaving.as_bytes()),
        members: None,
        from_config,
    };
    let four = "server.4=h4:1:2;3";
    assert_eq!(world.ask(&add("nonsense", "", 6)), E::ReconfigInProgress);
    world.members.as_mut().unwrap().changing = false;
    assert_eq!(world.ask(&add("nonsense", "", 6)), E::BadVersion);
    assert_eq!(world.ask(&add("nonsense", "", 7)), E::BadArguments);
    assert_eq!(world.ask(&add("", "two", 7)), E::MarshallingError);
    assert_eq!(world.ask(&add("", "2,3", -1)), E::BadArguments, "one is left");
    assert_eq!(world.ask(&add("server.5=h5:1:2;3", "2", -1)), E::NewConfigNoQuorum);
    assert_eq!(world.ask(&add(four, "", -1)), E::NoAuth, "anyone may read, and no more");
    assert_eq!(world.prep.take_reconfigured(), None);
    world.rules.schemes.skip_acl = true;
    assert_eq!(world.ask(&add(four, "3", 7)), E::Ok);
    let want = format!("{}version={:x}", lines(&[1, 2, 4]), world.zxid.0);
    assert_eq!(world.prep.take_reconfigured().unwrap().to_string(), want);
    let data = Some(want.as_bytes());
    let txn = Txn::SetData { path: CONFIG, data, version: -1, reconfig: true };
    assert_eq!(world.logged().0, txn);
    world.complete();
    let node = world.tree.find(CONFIG).unwrap();
    assert_eq!((world.tree.data(node), world.tree.stat(node).version), (data, -1));
    let listed = Request::Reconfig {
        joining: Some(b"nonsense"),
        leaving: None,
        members: Some(b"server.1=h1:1:2,server.2=h2:1:2"),
        from_config: -1,
    };
    assert_eq!(world.ask(&listed), E::Ok, "a list goes before a change");
    assert_eq!(world.prep.take_reconfigured().unwrap().members().len(), 2);
}

#[test]
fn what_has_no_place_here_is_unimplemented() {
    use ErrorCode as E;
    let mut world = World::new();
    let reconfig =
        Request::Reconfig { joining: None, leaving: None, members: None, from_config: -1 };
    assert_eq!(world.ask(&reconfig), E::ReconfigDisabled);
    world.rules.reconfig = true;
    assert_eq!(world.ask(&reconfig), E::Unimplemented);
    world.state = SessionState::Closing;
    assert_eq!(world.ask(&reconfig), E::SessionExpired);
    assert_eq!(world.ask(&Request::Ping), E::Unimplemented);
}

#[test]
fn a_failure_is_an_error_without_digest() {
    let mut world = World::new();
    assert_eq!(world.ask(&set("/none", -1)), ErrorCode::NoNode);
    assert_eq!(world.logged(), (Txn::Error { err: -101 }, None));
    let asker = Asker { session: ME, state: world.state, cxid: 1, ids: &Identities::default() };
    let refused = world.prepare(|prep, cx, zxid, out| {
        prep.refuse(cx, zxid, &asker, OpCode::Multi, ErrorCode::MarshallingError, out)
    });
    assert_eq!((refused.op, refused.err), (OpCode::Multi, ErrorCode::MarshallingError));
    assert_eq!(world.logged(), (Txn::Error { err: -5 }, None));
}

#[test]
fn sessions_begin_and_end_with_the_digest_as_it_is() {
    let mut world = furnished();
    let began = world.prepare(|prep, cx, zxid, out| prep.create_session(cx, zxid, ME, 4_000, out));
    assert_eq!(began.op, OpCode::CreateSession);
    let (txn, digest) = world.logged();
    assert_eq!(txn, Txn::CreateSession { timeout_ms: 4_000 });
    assert_eq!(digest.map(|digest| digest.digest), Some(world.tree.digest()));
    world.must(&create("/open/e", 3));
    world.must(&create("/open/e", 3));
    world.must(&delete("/mine", -1));
    let ended = world.prepare(|prep, cx, zxid, out| prep.expire_session(cx, zxid, ME, out));
    assert_eq!((ended.op, ended.err), (OpCode::CloseSession, ErrorCode::Ok));
    let paths = vec![&b"/open/e0000000001"[..], b"/open/e0000000002"];
    assert_eq!(world.logged().0, Txn::CloseSession { paths: Some(paths) });
    assert_eq!(world.ask(&Request::CloseSession), ErrorCode::Ok);
    assert_eq!(world.logged().0, Txn::CloseSession { paths: Some(vec![]) });
    world.complete();
    assert_eq!(world.tree.ephemerals_count(), 0);
}

#[test]
fn a_session_with_too_much_is_closed_in_the_empty_form() {
    let mut world = World::new();
    world.rules.max_entry = 500;
    for _ in 0..40 {
        world.must(&create("/an-ephemeral-", 3));
    }
    assert_eq!(world.ask(&Request::CloseSession), ErrorCode::Ok);
    assert_eq!(world.logged(), (Txn::CloseSession { paths: None }, None));
    assert_eq!(world.flight.last().map(Vec::len), Some(HEADER_LEN));
    world.must(&create("/next-", 2));
    let (Txn::Create(CreateTxn { path, .. }), _) = world.logged() else { panic!("a create") };
    assert_eq!(path, b"/next-0000000040");
    world.complete();
    assert_eq!(world.tree.ephemerals_count(), 0);
}

#[test]
fn no_entry_is_larger_than_readers_can_read() {
    let mut world = World::new();
    world.rules.max_entry = 200;
    let path = format!("/{}", "x".repeat(200));
    assert_eq!(world.ask(&create(&path, 0)), ErrorCode::MarshallingError);
    assert_eq!(world.logged(), (Txn::Error { err: -5 }, None));
    let many = (0..9).map(|_| create("/s", 2)).collect();
    assert_eq!(world.ask(&Request::Multi(many)), ErrorCode::MarshallingError);
    assert_eq!(world.prep.pending(), 0);
    world.complete();
}

#[test]
fn a_failed_multi_is_logged_as_java_logs_it() {
    let mut world = furnished();
    world.must(&create("/open/s", 2));
    let multi = Request::Multi(vec![
        create("/open/s", 2),
        delete("/open/kid", -1),
        set("/none", -1),
        set("/open", -1),
    ]);
    world.must(&multi);
    let digest = world.prep.overlay.digest();
    let (Txn::Multi(txns), logged) = world.logged() else { panic!("a multi") };
    assert!(matches!(&txns[0], Txn::Create(CreateTxn { path: b"/open/s0000000002", .. })));
    assert_eq!(txns[1], Txn::Delete { path: b"/open/kid", container: false });
    assert_eq!(txns[2], Txn::Error { err: -101 });
    assert_eq!(txns[3], Txn::Error { err: -2 });
    assert_eq!(logged, Some(TxnDigest { version: 2, digest }));
    world.must(&create("/open/s", 2));
    let (Txn::Create(CreateTxn { path, .. }), _) = world.logged() else { panic!("a create") };
    assert_eq!(path, b"/open/s0000000002");
    world.complete();
}

#[test]
fn multi_reads_create_modes_as_java_does() {
    let mut world = World::new();
    world.rules.extended_types = true;
    let open = || Some(vec![Acl::OPEN]);
    for (flags, kind) in
        [(5, CreateKind::Create), (6, CreateKind::Create2), (9, CreateKind::Create)]
    {
        let multi = Request::Multi(vec![create_with("/x", flags, kind, open())]);
        assert_eq!(world.ask(&multi), ErrorCode::MarshallingError);
        assert_eq!(world.logged().0, Txn::Error { err: -5 });
    }
    let ttl = CreateKind::Ttl { ttl: 10 };
    world.must(&Request::Multi(vec![
        create_with("/a", 4, CreateKind::Create, open()),
        create_with("/b", 5, ttl, open()),
        create_with("/c", 0, ttl, open()),
        create_with("/d", 4, ttl, open()),
        create_with("/e", 1, CreateKind::Create2, open()),
    ]));
    let (Txn::Multi(txns), _) = world.logged() else { panic!("a multi") };
    let kinds: Vec<TxnKind> = txns
        .iter()
        .map(|txn| match txn {
            Txn::Create(create) => create.kind,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            TxnKind::Container,
            TxnKind::Ttl { ttl: 10 },
            TxnKind::Plain { ephemeral: false, create2: false },
            TxnKind::Container,
            TxnKind::Plain { ephemeral: true, create2: true },
        ]
    );
    world.must(&Request::Multi(vec![create_with("/x", 9, ttl, open())]));
    assert_eq!(world.logged().0, Txn::Multi(vec![Txn::Error { err: -8 }]));
    world.state = SessionState::Moved;
    let moved = Request::Multi(vec![create("/x", 0), create("/y", 0)]);
    assert_eq!(world.ask(&moved), ErrorCode::SessionMoved);
    let moved = vec![Txn::Error { err: -118 }, Txn::Error { err: -2 }];
    assert_eq!(world.logged().0, Txn::Multi(moved));
    world.complete();
}

#[test]
fn versions_and_sequences_wrap_as_they_must() {
    let mut world = World::new();
    world.must(&create("/v", 0));
    world.complete();
    let header =
        |op: OpCode| TxnHeader { session: ME, cxid: 0, zxid: Zxid(1), time: 0, op: op.code() };
    for (stored, next) in [(i32::MAX, i32::MIN), (-2, 0), (-1, 0), (4, 5)] {
        let txn = Txn::SetData { path: b"/v", data: None, version: stored, reconfig: false };
        apply(&mut world.tree, &header(OpCode::SetData), &txn, &mut ());
        world.must(&set("/v", stored));
        let (Txn::SetData { version, .. }, _) = world.logged() else { panic!("a setData") };
        assert_eq!(version, next);
        world.complete();
    }
    let txn = Txn::Create(CreateTxn {
        path: b"/v/last",
        data: None,
        acl: None,
        kind: TxnKind::Plain { ephemeral: false, create2: false },
        parent_cversion: i32::MAX,
    });
    apply(&mut world.tree, &header(OpCode::Create), &txn, &mut ());
    for code in [ErrorCode::Ok, ErrorCode::NodeExists] {
        assert_eq!(world.ask(&create("/v/s", 2)), code, "Java counts no further, either");
    }
    world.complete();
}

#[test]
fn hard_quotas_hold_for_what_is_in_flight() {
    let mut world = World::new();
    world.rules.enforce_quota = true;
    let limits = "/zookeeper/quota/a/zookeeper_limits";
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    for path in ["/a", "/zookeeper/quota/a", limits, stats] {
        world.must(&create(path, 0));
    }
    let data = Some(&b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3"[..]);
    world.must(&Request::SetData { path: limits.as_bytes(), data, version: -1 });
    world.complete();
    let results = |world: &mut World, names: [&str; 3]| {
        names.map(|name| world.ask(&create(&format!("/a/{name}"), 0)))
    };
    use ErrorCode::{Ok, QuotaExceeded};
    assert_eq!(results(&mut world, ["1", "2", "3"]), [Ok, Ok, QuotaExceeded]);
    world.must(&delete("/a/1", -1));
    assert_eq!(results(&mut world, ["3", "4", "5"]), [Ok, QuotaExceeded, QuotaExceeded]);
    for (data, code) in [("123456789012", Ok), ("1234567890123", QuotaExceeded)] {
        let request = Request::SetData { path: b"/a/2", data: Some(data.as_bytes()), version: -1 };
        assert_eq!(world.ask(&request), code, "{data}");
    }
    world.complete();
    world.rules.enforce_quota = false;
    assert_eq!(results(&mut world, ["6", "7", "8"]), [Ok; 3]);
    world.complete();
}
