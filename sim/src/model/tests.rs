// SPDX-License-Identifier: Apache-2.0
//! The model against facts of ZooKeeper that were worked out by hand.

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::{Reader, Record},
    proto::{Create, CreateKind, ErrorCode, OpCode, Request, SetWatches},
    txn::{Txn, TxnHeader},
};

use super::*;

fn header(zxid: i64) -> TxnHeader {
    TxnHeader { session: SessionId(1), cxid: 1, zxid: Zxid(zxid), time: 1_000 + zxid, op: 0 }
}

fn caller() -> Caller {
    Caller { session: 1, ids: vec![(b"ip".to_vec(), b"10.0.0.1".to_vec())] }
}

fn open() -> Model {
    let mut model = Model::fresh();
    model.apply(&header(1), &Txn::CreateSession { timeout_ms: 4_000 }).expect("fits");
    model
}

/// Judges a request, applies what it became, and gives the reply.
fn run(model: &mut Model, zxid: i64, request: &Request<'_>) -> Applied {
    let judged = judge(model, &header(zxid), &caller(), request);
    let txn = Txn::decode(judged.op, &mut Reader::new(&judged.body)).expect("a transaction");
    model.apply(&header(zxid), &txn).expect("a judged transaction fits")
}

fn create(path: &[u8], flags: i32) -> Request<'_> {
    let acl = Some(vec![Acl::OPEN]);
    Request::Create(Create { kind: CreateKind::Create, path, data: Some(b"x"), acl, flags })
}

fn stat(model: &Model, path: &[u8]) -> Stat {
    model.node(path).expect("a znode").client_stat()
}

#[test]
fn numbers_of_a_znode_follow_its_changes() {
    let mut model = open();
    run(&mut model, 2, &create(b"/a", 0));
    run(&mut model, 3, &create(b"/a/b", 0));
    run(&mut model, 4, &Request::Delete { path: b"/a/b", version: -1 });
    run(&mut model, 5, &Request::SetData { path: b"/a", data: None, version: 0 });
    let stat = stat(&model, b"/a");
    assert_eq!((stat.czxid, stat.mzxid, stat.pzxid), (Zxid(2), Zxid(5), Zxid(4)));
    assert_eq!((stat.version, stat.cversion, stat.data_length), (1, 2, 0));
    assert_eq!((stat.ctime, stat.mtime), (1_002, 1_005));
}

#[test]
fn errors_come_in_javas_order() {
    let mut model = open();
    run(&mut model, 2, &create(b"/e", 1));
    let err = |model: &mut Model, request: &Request<'_>| run(model, 9, request).err;
    let cases = [
        (create(b"/e/child", 0), ErrorCode::NoChildrenForEphemerals),
        (create(b"/e", 0), ErrorCode::NodeExists),
        (create(b"/none/child", 0), ErrorCode::NoNode),
        (create(b"relative", 0), ErrorCode::BadArguments),
        (create(b"/a/", 0), ErrorCode::NoNode),
        (create(b"/a", 7), ErrorCode::BadArguments),
        (create(b"/a", 5), ErrorCode::BadArguments),
        (create(b"/..", 0), ErrorCode::BadArguments),
        (Request::Delete { path: b"/", version: -1 }, ErrorCode::BadArguments),
        (Request::Delete { path: b"/e", version: 3 }, ErrorCode::BadVersion),
        (Request::SetAcl { path: b"/e", acl: None, version: -1 }, ErrorCode::InvalidAcl),
    ];
    for (request, code) in cases {
        assert_eq!(err(&mut model, &request), code.code(), "{request:?}");
    }
    let mut stranger = caller();
    stranger.session = 2;
    let judged = judge(&model, &header(9), &stranger, &create(b"/z", 0));
    assert_eq!(judged.body, ErrorCode::SessionExpired.code().to_be_bytes());
}

#[test]
fn a_failed_multi_changes_nothing_and_says_where_it_failed() {
    let mut model = open();
    let before = model.clone();
    let ops =
        vec![create(b"/a", 0), Request::Check { path: b"/none", version: -1 }, create(b"/b", 0)];
    let applied = run(&mut model, 2, &Request::Multi(ops));
    assert_eq!(model, before);
    assert_eq!(applied.err, 0, "the results say it");
    let mut r = Reader::new(&applied.body);
    for expected in [0, -101, -2] {
        assert_eq!((r.int(), r.bool(), r.int()), (Ok(-1), Ok(false), Ok(expected)));
        assert_eq!(r.int(), Ok(expected));
    }
    assert_eq!((r.int(), r.bool(), r.int(), r.is_empty()), (Ok(-1), Ok(true), Ok(-1), true));
}

#[test]
fn sequence_numbers_count_creations() {
    let mut model = open();
    for (zxid, name) in [(2, &b"/zookeeper/s0000000000"[..]), (3, b"/zookeeper/s0000000001")] {
        let applied = run(&mut model, zxid, &create(b"/zookeeper/s", 2));
        let mut r = Reader::new(&applied.body);
        assert_eq!(r.string(), Ok(name));
    }
}

#[test]
fn ephemerals_go_with_their_session() {
    let mut model = open();
    run(&mut model, 2, &create(b"/e", 1));
    let applied = model.apply(&header(3), &Txn::CloseSession { paths: None }).expect("fits");
    assert_eq!(model.node(b"/e"), None);
    assert_eq!(applied.fired.iter().map(|f| f.kind).collect::<Vec<_>>(), [2, 4]);
    assert!(model.sessions.is_empty());
}

#[test]
fn a_deletion_is_heard_once_and_a_standard_watch_is_used_up() {
    let mut watches = Watches::default();
    watches.after(&Request::GetData { path: b"/a", watch: true }, 0);
    watches.after(&Request::GetChildren { path: b"/a", watch: true }, 0);
    watches.after(&Request::AddWatch { path: b"/", mode: 1 }, 0);
    let acl = vec![Grant::of(&Acl::OPEN)];
    let fired = |kind, path: &[u8]| Fired { kind, path: path.to_vec(), acl: acl.clone() };
    assert!(watches.hear(&fired(2, b"/a"), &[]));
    assert!(!watches.contains(b"/a", Kind::Any as i32));
    assert!(watches.hear(&fired(1, b"/deep/below"), &[]), "the recursive watch stays");
    assert!(!watches.hear(&fired(4, b"/deep"), &[]), "recursive watches hear of no children");
}

#[test]
fn watches_set_again_hear_what_they_missed() {
    let mut model = open();
    run(&mut model, 2, &create(b"/a", 0));
    run(&mut model, 7, &Request::SetData { path: b"/a", data: None, version: -1 });
    let again = |model: &Model, since| {
        let list = vec![&b"/a"[..]];
        let again = SetWatches { relative_zxid: since, data: list, ..SetWatches::default() };
        Watches::default().set(model, &again, &[])
    };
    assert_eq!(again(&model, 6), [(3, b"/a".to_vec())]);
    assert_eq!(again(&model, 7), []);
    let acl = Some(vec![Acl { perms: perms::ALL & !perms::READ, ..Acl::OPEN }]);
    run(&mut model, 8, &Request::SetAcl { path: b"/a", acl, version: -1 });
    assert_eq!(again(&model, 6), [], "it may not be read any more");
}

#[test]
fn masks_hide_digests_from_those_who_may_only_read() {
    let mut model = open();
    let secret = Acl {
        perms: perms::READ | perms::CREATE,
        who: Identity { scheme: b"digest", id: b"bob:hash" },
    };
    let read = Acl { perms: perms::READ, ..Acl::OPEN };
    let acl = Some(vec![secret, read]);
    run(&mut model, 2, &Request::SetAcl { path: b"/", acl, version: -1 });
    let request = Request::GetAcl { path: b"/" };
    let answer = answer(&model, &Watches::default(), &caller(), &request).expect("known");
    let mut r = Reader::new(&answer.body);
    assert_eq!(r.int(), Ok(2));
    assert_eq!(Acl::decode(&mut r).map(|acl| acl.who.id), Ok(&b"bob:x"[..]));
    let denied = run(&mut model, 3, &create(b"/a", 0));
    assert_eq!(denied.err, ErrorCode::NoAuth.code());
    assert_eq!(OpCode::from_code(-1), Some(OpCode::Error));
}
