// SPDX-License-Identifier: Apache-2.0
//! Bytes that no client should send.

use menagerie_core::{
    id::SessionId,
    proto::{
        Acl, ConnectRequest, Create, CreateKind, ErrorCode, Identity, OpCode, Request, SetWatches,
    },
};

use super::{
    Served,
    common::wire::{NEW, Wire},
    create, create_with, encoded, framed, packet, wire_body,
};

const LIMIT: i32 = 0xf_ffff;

#[test]
fn lengths_that_cannot_be_end_the_connection_and_nothing_else() {
    let mut served = Served::start("lengths", "");
    let get = i32::from_be_bytes(*b"GET ");
    for len in [-1, i32::MIN, i32::MAX, 16 * LIMIT + 1, get] {
        let mut stranger = Wire::bare(served.home.port);
        stranger.raw(&len.to_be_bytes());
        assert!(stranger.is_hung_up(), "{len} in front");
        let mut client = served.client();
        client.raw(&len.to_be_bytes());
        assert!(client.is_hung_up(), "{len} behind a handshake");
        served.serves();
    }
    // The first packet is a handshake, which is never so long.
    let mut stranger = Wire::bare(served.home.port);
    stranger.raw(&(LIMIT + 1).to_be_bytes());
    assert!(stranger.is_hung_up());
    served.end();
}

#[test]
fn a_packet_too_long_is_skipped_and_answered() {
    let mut served = Served::start("oversized", "");
    let mut client = served.client();
    for len in [LIMIT as usize + 1, 16 * LIMIT as usize] {
        let xid = client.next_xid();
        let mut huge = packet(xid, OpCode::SetData.code(), &[]);
        huge.resize(len, 7);
        client.send(&huge);
        assert_eq!(client.answer(xid), Some((ErrorCode::MarshallingError.code(), vec![])));
        served.serves();
    }
    assert_eq!(client.ask(&create(b"/after")).0, 0);
    assert!(served.home.log().contains("raise it on servers and clients alike"));
    served.grew_less_than(64);
    served.end();
}

/// What is announced takes no memory, only what comes.
#[test]
fn packets_that_never_come_whole_are_not_waited_for_with_memory() {
    let mut served = Served::start("truncated", "");
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut client = served.client();
        client.raw(&LIMIT.to_be_bytes());
        client.raw(&[1; 100]);
        waiting.push(client);
        served.serves();
    }
    served.grew_less_than(64);
    drop(waiting);
    for cut in 0..framed(&encoded(&NEW)).len() {
        Wire::bare(served.home.port).raw(&framed(&encoded(&NEW))[..cut]);
    }
    served.end();
}

/// One of each, with every part a request can have.
fn every_request() -> Vec<Request<'static>> {
    let acl = Some(vec![Acl::OPEN, Acl { who: Identity { scheme: b"ip", id: b"::1" }, perms: 1 }]);
    let (path, watch, version) = (&b"/a"[..], true, -1);
    let create = |kind| {
        let flags = if let CreateKind::Ttl { .. } = kind { 5 } else { 0 };
        Request::Create(Create { kind, path: b"/c", data: Some(b"data"), acl: acl.clone(), flags })
    };
    let watches = SetWatches {
        relative_zxid: 1,
        data: vec![b"/a", b"/b"],
        exist: vec![b"/e"],
        child: vec![b"/a"],
        persistent: vec![b"/p"],
        recursive: vec![b"/r"],
    };
    let old = SetWatches { persistent: vec![], recursive: vec![], ..watches.clone() };
    let check = Request::Check { path, version };
    let write = Request::SetData { path, data: Some(b"x"), version };
    let read = Request::GetData { path, watch: false };
    let text = Some(&b"server.1=a:1:2"[..]);
    vec![
        create(CreateKind::Create),
        create(CreateKind::Create2),
        create(CreateKind::Container),
        create(CreateKind::Ttl { ttl: 1000 }),
        Request::Delete { path: b"/c", version },
        Request::Exists { path, watch },
        Request::GetData { path, watch },
        write.clone(),
        Request::GetAcl { path },
        Request::SetAcl { path, acl: acl.clone(), version },
        Request::GetChildren { path, watch },
        Request::GetChildren2 { path, watch },
        Request::Sync { path },
        check.clone(),
        Request::Multi(vec![check, create(CreateKind::Create2), write]),
        Request::MultiRead(vec![read.clone(), Request::GetChildren { path, watch: false }, read]),
        Request::Reconfig { joining: text, leaving: text, members: text, from_config: 1 },
        Request::CheckWatches { path, kind: 1 },
        Request::RemoveWatches { path, kind: 3 },
        Request::DeleteContainer { path: b"/c" },
        Request::Auth { kind: 0, scheme: b"digest", auth: b"user:word" },
        Request::SetWatches(old),
        Request::SetWatches2(watches),
        Request::Sasl { token: b"token" },
        Request::GetEphemerals { prefix: b"/" },
        Request::GetAllChildrenNumber { path },
        Request::AddWatch { path, mode: 1 },
    ]
}

#[test]
fn bodies_cut_at_every_byte_are_refused_and_the_rest_is_served() {
    let mut served = Served::start("cut", "extendedTypesEnabled=true\n");
    let mut client = served.client();
    assert_eq!(client.ask(&create(b"/a")).0, 0);
    for request in every_request() {
        let (op, body) = (request.op().code(), wire_body(&request));
        for cut in 0..body.len() {
            match client.try_ask(op, &body[..cut]) {
                Some((err, rest)) => {
                    assert_eq!(err, ErrorCode::MarshallingError.code(), "{request:?} at {cut}");
                    assert!(rest.is_empty(), "{request:?} at {cut}: {rest:?}");
                }
                None => {
                    assert_eq!(op, OpCode::Auth.code(), "{request:?} at {cut}: hung up");
                    client = served.client();
                }
            }
        }
        let whole = client.try_ask(op, &body).map(|(err, _)| err);
        assert_ne!(whole, Some(ErrorCode::MarshallingError.code()), "{request:?}");
        if whole.is_none() {
            client = served.client();
        }
        served.serves();
    }
    // A request's head, cut.
    for cut in 0..8 {
        let mut client = served.client();
        client.send(&packet(1, OpCode::GetData.code(), b"")[..cut]);
        assert!(client.is_hung_up(), "a head of {cut} bytes");
    }
    served.grew_less_than(64);
    served.end();
}

#[test]
fn handshakes_cut_at_every_byte_open_no_session() {
    let served = Served::start("handshakes", "");
    let whole = encoded(&NEW);
    for cut in 0..=whole.len() {
        let mut stranger = Wire::bare(served.home.port);
        stranger.send(&whole[..cut]);
        // Clients before 3.4 end before the read-only flag.
        assert_eq!(stranger.greeted(), cut >= whole.len() - 1, "cut at {cut}");
    }
    served.end();
}

#[test]
fn unknown_operations_are_answered() {
    let mut served = Served::start("unknown", "");
    let mut client = served.client();
    let known = |op: &i32| OpCode::from_code(*op).is_some();
    let odd = [i32::MIN, i32::MAX, -10, -1, 0, 0x0100_0000];
    for op in (-200..300).filter(|op| !known(op)).chain(odd) {
        for body in [&b""[..], &[0; 40], b"\0\0\0\x02/a\0"] {
            let answer = client.try_ask(op, body);
            assert_eq!(answer, Some((ErrorCode::Unimplemented.code(), vec![])), "operation {op}");
            // As in Java.
            assert!(client.is_hung_up(), "operation {op}");
            client = served.client();
        }
    }
    served.serves();
    served.end();
}

#[test]
fn a_multi_of_anything_is_answered_whole() {
    let mut served = Served::start("multi", "");
    let mut client = served.client();
    let head =
        |op: i32, done: u8| [&op.to_be_bytes()[..], &[done], &(-1i32).to_be_bytes()].concat();
    let (end, fine) = (head(-1, 1), wire_body(&create(b"/multi")));
    for op in (-12..130).chain([i32::MIN, i32::MAX]) {
        let legal = OpCode::from_code(op).is_some_and(|op| {
            matches!(op, OpCode::Create | OpCode::Create2 | OpCode::CreateContainer)
        });
        if legal {
            continue;
        }
        let body = [head(1, 0), fine.clone(), head(op, 0), vec![0; 8], end.clone()].concat();
        for multi in [OpCode::Multi, OpCode::MultiRead] {
            let answer = client.try_ask(multi.code(), &body);
            let (err, rest) = answer.unwrap_or_else(|| panic!("hung up on for type {op}"));
            assert!(err != 0 || !rest.is_empty(), "type {op} in {multi:?}");
        }
    }
    let exists = Request::Exists { path: b"/multi", watch: false };
    assert_eq!(client.ask(&exists).0, ErrorCode::NoNode.code(), "none was done in part");
    // As many operations as a packet holds.
    let check = Request::Check { path: b"/", version: -1 };
    let most = Request::Multi(vec![check; 55_000]);
    assert_eq!(client.ask(&most).0, 0);
    // Multis inside one another, as deep as a packet allows.
    let nested = head(OpCode::Multi.code(), 0).repeat(100_000);
    let answer = client.try_ask(OpCode::Multi.code(), &nested);
    assert_eq!(answer, Some((ErrorCode::MarshallingError.code(), vec![])));
    served.serves();
    served.grew_less_than(128);
    served.end();
}

/// Paths that may name no znode, of each kind.
const ILLEGAL: [&[u8]; 19] = [
    b"",
    b"a",
    b"a/b",
    b"//",
    b"//a",
    b"/a/",
    b"/a//b",
    b"/.",
    b"/..",
    b"/a/./b",
    b"/a/../b",
    b"/a\0b",
    b"/\x01",
    b"/\x7f",
    b"/\xff",
    b"/a\xc3",
    b"/\xed\xa0\x80",
    b"/\xef\xbf\xbf",
    b"/\xf0\x9f\x98\x80",
];

#[test]
fn paths_of_every_illegal_kind_name_nothing() {
    let mut served = Served::start("paths", "");
    let mut client = served.client();
    assert_eq!(client.ask(&create(b"/a")).0, 0);
    for path in ILLEGAL {
        for flags in 0..5 {
            let mut request = create(path);
            if let Request::Create(create) = &mut request {
                create.flags = flags;
            }
            let err = client.ask(&request).0;
            // A number is put behind the name of a sequential znode, so that some become legal.
            let named = (2..4).contains(&flags) && [&b"/."[..], b"/..", b"/a/"].contains(&path);
            assert_eq!(err != 0, !named, "{path:?} with {flags}: {err}");
            assert!(err != ErrorCode::MarshallingError.code());
        }
        let multi = Request::Multi(vec![create(b"/fine"), create(path)]);
        assert_eq!(client.ask(&multi).0, 0, "a multi that failed is answered part by part");
        let (watch, version) = (true, -1);
        for request in [
            Request::Delete { path, version },
            Request::GetData { path, watch },
            Request::SetData { path, data: None, version },
            Request::SetAcl { path, acl: Some(vec![Acl::OPEN]), version },
            Request::Exists { path, watch },
            Request::GetChildren { path, watch },
            Request::GetChildren2 { path, watch },
            Request::GetAcl { path },
            Request::GetAllChildrenNumber { path },
        ] {
            // As in Java, an empty path reads the root.
            let root = path.is_empty();
            assert!(client.ask(&request).0 != 0 || root, "{request:?}");
        }
        for request in [
            Request::AddWatch { path, mode: 0 },
            Request::AddWatch { path, mode: 1 },
            Request::CheckWatches { path, kind: 3 },
            Request::RemoveWatches { path, kind: 3 },
            Request::Sync { path },
            Request::GetEphemerals { prefix: path },
            Request::DeleteContainer { path },
            Request::SetWatches(SetWatches { exist: vec![path], ..SetWatches::default() }),
        ] {
            client.ask(&request);
        }
        served.serves();
    }
    let fine = Request::Exists { path: b"/fine", watch: false };
    assert_eq!(client.ask(&fine).0, ErrorCode::NoNode.code());
    served.end();
}

#[test]
fn text_that_is_none_is_kept_or_refused_but_never_believed() {
    let mut served = Served::start("utf-8", "4lw.commands.whitelist=*\n");
    let mut client = served.client();
    assert_eq!(client.ask(&create_with(b"/bytes", &[0xff, 0xfe, 0])).0, 0);
    let read = client.ask(&Request::GetData { path: b"/bytes", watch: false });
    assert_eq!(read.1[..7], [0, 0, 0, 3, 0xff, 0xfe, 0]);
    for (scheme, id) in
        [(&b"\xff"[..], &b"x"[..]), (b"digest", b"\xff"), (b"ip", b"\xff"), (b"", b"")]
    {
        let acl = Some(vec![Acl { perms: 31, who: Identity { scheme, id } }]);
        let request = Request::SetAcl { path: b"/bytes", acl, version: -1 };
        assert_eq!(client.ask(&request).0, ErrorCode::InvalidAcl.code(), "{scheme:?}:{id:?}");
    }
    for (scheme, auth) in [(&b"\xff"[..], &b"x"[..]), (b"", b""), (b"super", b"\xff")] {
        let mut other = served.client();
        let body = wire_body(&Request::Auth { kind: 0, scheme, auth });
        let answer = other.try_ask(OpCode::Auth.code(), &body);
        assert_eq!(answer.map(|(err, _)| err), Some(ErrorCode::AuthFailed.code()), "{scheme:?}");
        assert!(other.is_hung_up());
    }
    // Any bytes may be a user's name and word, and any path be watched; monitoring shows them.
    let user = Request::Auth { kind: 0, scheme: b"digest", auth: b"\xff\xfe:\xff" };
    assert_eq!(client.ask(&user).0, 0);
    assert_eq!(client.ask(&Request::WhoAmI).0, 0);
    client.ask(&Request::AddWatch { path: b"/\xff\n\x1b", mode: 0 });
    for word in [&b"wchp"[..], b"wchc", b"cons", b"dump", b"mntr", b"stat", b"wchs"] {
        served.home.ask_bytes(word);
    }
    served.serves();
    served.end();
}

#[test]
fn a_stranger_who_guesses_a_session_disturbs_nobody() {
    let mut served = Served::start("forged", "");
    let mut owner = served.client();
    let mut ephemeral = create(b"/mine");
    if let Request::Create(create) = &mut ephemeral {
        create.flags = 1;
    }
    assert_eq!(owner.ask(&ephemeral).0, 0);
    let (session, right) = (owner.session, owner.password.clone());
    let long = vec![7; 10_000];
    let unknown = SessionId(session.0 + 1000);
    for (session, password) in [
        (session, &[0; 16][..]),
        (session, &[]),
        (session, &right[..15]),
        (session, &long),
        (unknown, &right),
        (SessionId(-1), &[0; 16]),
        (SessionId(i64::MIN), &[0; 16]),
    ] {
        let mut stranger = Wire::bare(served.home.port);
        stranger.send(&encoded(&ConnectRequest { session, password, ..NEW }));
        assert!(!stranger.greeted(), "{session} with {password:?}");
        assert_eq!(stranger.session, SessionId::NONE);
        assert!(stranger.is_hung_up());
        let read = Request::Exists { path: b"/mine", watch: false };
        assert_eq!(owner.ask(&read).0, 0, "the owner has its session, and the session its znode");
    }
    served.serves();
    served.end();
}
