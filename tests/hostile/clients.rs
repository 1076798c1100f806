// SPDX-License-Identifier: Apache-2.0
//! Clients that do not behave: too many, too slow, or asking for too much.

use std::io::{ErrorKind, Write};

use menagerie_core::{
    jute::{Reader, Record},
    proto::{ErrorCode, OpCode, ReplyHeader, Request, SetWatches},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    Served,
    common::{
        eventually,
        wire::{NEW, Wire},
    },
    create, create_with, encoded, framed, packet, wire_body,
};

/// Bytes given to znodes that make answers large.
const LARGE: usize = 1_000_000;

/// A znode and those above it, from the top; what all of a crowd watches.
const WATCHED: [&[u8]; 7] =
    [b"/w", b"/w/a", b"/w/a/t", b"/w/a/t/c", b"/w/a/t/c/h", b"/w/a/t/c/h/e", b"/w/a/t/c/h/e/d"];

/// Changes of one znode while a crowd watches it: each runs through every watch of it.
const CHANGES: usize = 20;

#[test]
fn ten_thousand_connections_have_a_hundred_thousand_watches_of_one_znode() {
    let count = connections(10_000);
    let mut served = Served::start("crowd", "4lw.commands.whitelist=*\n");
    for path in WATCHED {
        assert_eq!(served.bystander.ask(&create(path)).0, 0);
    }
    let mut crowd = crowd(&mut served, count);
    // In all four ways, and with all that is below each of the six above: ten watches each.
    let (path, above) = WATCHED.split_last().expect("there are some");
    let mut watches = vec![
        Request::GetData { path, watch: true },
        Request::GetChildren { path, watch: true },
        Request::AddWatch { path, mode: 0 },
        Request::AddWatch { path, mode: 1 },
    ];
    watches.extend(above.iter().map(|path| Request::AddWatch { path, mode: 1 }));
    let framed = |(request, xid): (&Request<'_>, i32)| {
        framed(&packet(xid, request.op().code(), &wire_body(request)))
    };
    let requests: Vec<u8> = watches.iter().zip(1..).flat_map(framed).collect();
    for some in crowd.chunks_mut(50) {
        some.iter_mut().for_each(|wire| wire.raw(&requests));
        for wire in some {
            let mut xids = (1..).take(watches.len());
            assert!(xids.all(|xid| wire.answer(xid).is_some_and(|(err, _)| err == 0)));
        }
        served.serves();
    }
    // Java counts pairs of a path and a connection, however many ways they stand for.
    let pairs = count * WATCHED.len();
    let watching = format!("{count} connections watching 7 paths\nTotal watches:{pairs}");
    let found = served.home.ask(b"wchs");
    assert!(found.starts_with(&watching), "{found}");
    let change = Request::SetData { path, data: Some(b"new"), version: -1 };
    for _ in 0..CHANGES {
        assert_eq!(served.bystander.ask(&change).0, 0);
        served.serves();
    }
    let zxids = |wire: &mut Wire| -> Vec<i64> {
        let events = (0..CHANGES).map(|_| wire.frame().expect("an event"));
        let zxid = |event: Vec<u8>| {
            let header = ReplyHeader::decode(&mut Reader::new(&event)).expect("a header");
            assert_eq!(header.xid, -1, "an event and nothing else");
            header.zxid.0
        };
        events.map(zxid).collect()
    };
    let told = zxids(&mut crowd[0]);
    assert!(told.is_sorted_by(|a, b| a < b), "each change once, in order: {told:?}");
    assert!(crowd[1..].iter_mut().all(|wire| zxids(wire) == told));
    served.serves();
    served.grew_less_than(300);
    drop(crowd);
    eventually("all are gone", || served.home.ask(b"srvr").contains("Connections: 2\n"));
    served.end();
}

/// So many clients with sessions.
fn crowd(served: &mut Served, count: usize) -> Vec<Wire> {
    let mut crowd: Vec<Wire> = Vec::new();
    while crowd.len() < count {
        let mut more: Vec<Wire> = (0..50).map(|_| Wire::bare(served.home.port)).collect();
        more.iter_mut().for_each(|wire| wire.send(&encoded(&NEW)));
        assert!(more.iter_mut().all(Wire::greeted));
        crowd.append(&mut more);
    }
    served.serves();
    crowd
}

/// How many connections this process and the server can have, of so many that are wanted.
fn connections(wanted: usize) -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("the soft limit can be raised");
    let possible = usize::try_from(hard).unwrap_or(usize::MAX).saturating_sub(1000);
    if possible < wanted {
        println!("SCALED DOWN, LOUDLY: only {hard} files may be open, so {possible} connections");
    }
    wanted.min(possible)
}

#[test]
fn one_client_with_a_hundred_thousand_watches_comes_and_goes() {
    let mut served = Served::start("watches", "4lw.commands.whitelist=*\n");
    let names: Vec<Vec<u8>> = (0..100_000).map(|n| format!("/herd/{n}").into_bytes()).collect();
    let mut client = served.client();
    for some in names.chunks(20_000) {
        let exist = some.iter().map(Vec::as_slice).collect();
        let watches = SetWatches { relative_zxid: 1 << 40, exist, ..SetWatches::default() };
        assert_eq!(client.ask(&Request::SetWatches(watches)).0, 0);
        served.serves();
    }
    assert!(served.home.ask(b"wchs").ends_with("Total watches:100000\n"));
    assert!(served.home.ask(b"wchp").len() > 1_000_000);
    drop(client);
    served.serves();
    eventually("all are forgotten", || served.home.ask(b"wchs").ends_with("Total watches:0\n"));
    served.grew_less_than(128);
    served.end();
}

#[test]
fn deep_and_wide_trees_are_served_and_found_again() {
    let mut served = Served::start("trees", "");
    let mut client = served.client();
    let path = |depth: usize| b"/d".repeat(depth);
    let paths: Vec<Vec<u8>> = (1..=2000).map(path).collect();
    for some in paths.chunks(250) {
        let creates = some.iter().map(|path| create(path)).collect();
        assert_eq!(client.ask(&Request::Multi(creates)).0, 0);
    }
    assert_eq!(client.ask(&create(b"/wide")).0, 0);
    let names: Vec<Vec<u8>> = (0..50_000).map(|n| format!("/wide/{n}").into_bytes()).collect();
    for some in names.chunks(5_000) {
        let creates = some.iter().map(|path| create(path)).collect();
        assert_eq!(client.ask(&Request::Multi(creates)).0, 0);
        served.serves();
    }
    let count = |client: &mut Wire, path: &[u8]| {
        let (err, body) = client.ask(&Request::GetAllChildrenNumber { path });
        assert_eq!(err, 0);
        Reader::new(&body).int().expect("a number")
    };
    assert_eq!((count(&mut client, b"/d"), count(&mut client, b"/wide")), (1999, 50_000));
    // Java's clients take no answer of more than jute.maxbuffer; ours is sent, theirs to judge.
    let (_, body) = client.ask(&Request::GetChildren { path: b"/wide", watch: true });
    assert_eq!(Reader::new(&body).int(), Ok(50_000));
    let deepest = &paths[1999];
    assert_eq!(client.ask(&Request::Delete { path: deepest, version: -1 }).0, 0);
    assert_eq!(count(&mut client, &paths[0]), 1998);
    served.serves();
    served.grew_less_than(128);
    served.child.kill().expect("it is killed");
    served.child.wait().expect("it has ended");
    served.child = served.home.foreground("serve");
    let mut client = served.client();
    assert_eq!((count(&mut client, b"/d"), count(&mut client, b"/wide")), (1998, 50_000));
    served.bystander = served.client();
    served.end();
}

/// It asks and asks, and reads nothing: it is not read from any more.
#[test]
fn a_client_that_never_reads_is_not_read_from() {
    let mut served = Served::start("unread", "");
    let mut client = served.client();
    assert_eq!(client.ask(&create_with(b"/large", &vec![7; LARGE])).0, 0);
    let read = wire_body(&Request::GetData { path: b"/large", watch: false });
    let read = framed(&packet(5, OpCode::GetData.code(), &read));
    client.stream.set_nonblocking(true).expect("it can be");
    let (mut taken, mut refused) = (0u64, 0);
    // The server takes no more once others came by two hundred times and it took nothing.
    while refused < 200 {
        match client.stream.write(&read.repeat(1000)) {
            Ok(n) => (taken, refused) = (taken + n as u64, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => refused += 1,
            Err(error) => panic!("{error}"),
        }
        served.serves();
    }
    println!("{} requests were taken from who never reads", taken / read.len() as u64);
    served.grew_less_than(64);
    client.stream.set_nonblocking(false).expect("it can be");
    assert_eq!(client.answer(5).map(|(err, _)| err), Some(0), "whoever reads is served again");
    served.end();
}

/// Whatever it asks for before it reads, it gets in order, each read between the writes around it.
#[test]
fn a_client_that_reads_late_finds_its_answers_in_order() {
    let mut served = Served::start("late", "");
    let mut client = served.client();
    assert_eq!(client.ask(&create_with(b"/large", &vec![7; LARGE])).0, 0);
    assert_eq!(client.ask(&create(b"/counter")).0, 0);
    let (path, watch) = (&b"/counter"[..], false);
    let numbers: Vec<[u8; 4]> = (0..200u32).map(u32::to_be_bytes).collect();
    let mut requests = Vec::new();
    for number in &numbers {
        for request in [
            Request::SetData { path, data: Some(number), version: -1 },
            Request::GetData { path: b"/large", watch },
            Request::GetData { path, watch },
        ] {
            let xid = client.next_xid();
            requests.extend(framed(&packet(xid, request.op().code(), &wire_body(&request))));
        }
    }
    client.raw(&requests);
    for _ in 0..200 {
        served.serves();
    }
    served.grew_less_than(96);
    let mut xid = client.next_xid() - 1 - 3 * i32::try_from(numbers.len()).expect("few");
    let mut next = |client: &mut Wire| {
        xid += 1;
        let (err, body) = client.answer(xid).expect("an answer");
        assert_eq!(err, 0);
        body
    };
    for number in &numbers {
        next(&mut client);
        assert_eq!(next(&mut client).len(), 4 + LARGE + 68);
        assert_eq!(next(&mut client)[4..8], *number);
    }
    served.end();
}

/// One packet holds enough reads of a large znode to fill any memory.
#[test]
fn a_read_of_everything_at_once_is_refused() {
    let mut served = Served::start("multi-read", "");
    let mut client = served.client();
    assert_eq!(client.ask(&create_with(b"/large", &vec![7; LARGE])).0, 0);
    let read = Request::GetData { path: b"/large", watch: false };
    let (err, results) = client.ask(&Request::MultiRead(vec![read.clone(); 10]));
    assert!(err == 0 && results.len() > 10 * LARGE);
    let refused = (ErrorCode::MarshallingError.code(), vec![]);
    assert_eq!(client.ask(&Request::MultiRead(vec![read; 30_000])), refused);
    served.serves();
    served.grew_less_than(128);
    served.end();
}

/// It asked for events, and reads none: it is hung up on.
#[test]
fn a_watcher_that_never_reads_is_hung_up_on() {
    let mut served = Served::start("unheard", "");
    let path = [b"/".as_slice(), &[b'x'; 250_000]].concat();
    let mut client = served.client();
    assert_eq!(client.ask(&create(&path)).0, 0);
    assert_eq!(client.ask(&Request::AddWatch { path: &path, mode: 0 }).0, 0);
    let change = Request::SetData { path: &path, data: Some(b"x"), version: -1 };
    let mut changes = 0;
    while !served.home.log().contains("it does not read what it is sent") {
        assert_eq!(served.bystander.ask(&change).0, 0);
        changes += 1;
        assert!(changes < 1000, "events of {} MB were queued", changes / 4);
    }
    served.serves();
    served.grew_less_than(128);
    let heard = std::iter::from_fn(|| client.frame()).count();
    assert!(heard < changes, "{heard} of {changes} events");
    served.end();
}

#[test]
fn a_client_of_one_byte_at_a_time_is_waited_for() {
    let mut served = Served::start("slow", "");
    let mut client = Wire::bare(served.home.port);
    for byte in framed(&encoded(&NEW)) {
        client.raw(&[byte]);
        served.serves();
    }
    assert!(client.greeted());
    let xid = client.next_xid();
    let body = wire_body(&create_with(b"/slow", b"at last"));
    for byte in framed(&packet(xid, OpCode::Create.code(), &body)) {
        client.raw(&[byte]);
        served.serves();
    }
    assert_eq!(client.answer(xid).map(|(err, _)| err), Some(0));
    served.end();
}
