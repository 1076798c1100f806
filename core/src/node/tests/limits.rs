// SPDX-License-Identifier: Apache-2.0
//! Limits on connections and on what is in flight.

use alloc::vec;

use super::*;

#[test]
fn connections_from_one_address_are_limited() {
    let mut bench = Bench::new("maxClientCnxns=2\n");
    let here = [10, 0, 0, 1];
    let links = [bench.dial(here), bench.dial(here), bench.dial(here)];
    assert_eq!(bench.hung_up, BTreeSet::from([links[2]]));
    let elsewhere = bench.dial([10, 0, 0, 2]);
    assert!(!bench.hung_up.contains(&elsewhere));

    bench.turn(&mut [Input::LinkDown { link: links[2] }]);
    let still = bench.dial(here);
    assert!(bench.hung_up.contains(&still), "two are there still");
    for link in [links[0], still] {
        bench.turn(&mut [Input::LinkDown { link }]);
    }
    let again = bench.dial(here);
    assert!(!bench.hung_up.contains(&again), "there is room again");
}

#[test]
fn no_limit_is_none() {
    let mut bench = Bench::new("maxClientCnxns=0\n");
    for _ in 0..200 {
        bench.dial([10, 0, 0, 1]);
    }
    assert_eq!(bench.hung_up.len(), 0);
}

#[test]
fn connections_altogether_are_limited() {
    let mut bench = Bench::new("maxCnxns=3\n");
    let links = (1..=4).map(|host| bench.dial([10, 0, 0, host])).collect::<Vec<_>>();
    assert_eq!(bench.hung_up, BTreeSet::from([links[3]]));
    for link in [links[3], links[0]] {
        bench.turn(&mut [Input::LinkDown { link }]);
    }
    let again = bench.dial([10, 0, 0, 5]);
    assert!(!bench.hung_up.contains(&again), "there is room again");
}

#[test]
fn a_connection_must_open_a_session_in_time() {
    let mut bench = Bench::new("nio.sessionlessCnxnTimeout=5000\n");
    let (idle, live) = (bench.dial([10, 0, 0, 1]), bench.client());
    bench.wait(4_999);
    assert_eq!(bench.hung_up.len(), 0);
    bench.wait(1);
    assert_eq!(bench.hung_up, BTreeSet::from([idle]));
    assert_eq!(codes(&bench.ask(live, 1, &data("/"))), [(1, 0)]);
    assert!(bench.word(b"mntr").contains("zk_sessionless_connections_expired\t1\n"));
}

#[test]
fn clients_are_not_read_from_while_too_much_is_in_flight() {
    let mut bench = Bench::new("globalOutstandingLimit=10\n");
    let (eager, other) = (bench.client(), bench.client());
    bench.disk_stands = true;
    for n in 1..=11 {
        bench.request(eager, n, &create(&format!("/n{n}"), &[Acl::OPEN]));
    }
    assert_eq!(bench.paused, BTreeSet::from([eager]), "the eleventh is one too many");
    assert_eq!(codes(&bench.ask(other, 1, &data("/"))), [(1, 0)], "reads of others go on");
    bench.request(other, 2, &create("/o", &[Acl::OPEN]));
    assert_eq!(bench.paused, BTreeSet::from([eager, other]));
    bench.disk_goes_on();
    assert_eq!(bench.paused.len(), 0);
    assert_eq!(bench.replies(eager).len(), 11);
    assert_eq!(codes(&bench.replies(other)), [(2, 0)]);
}

/// The most that a client may send is more as a record, and a record may be longer still: what one
/// server logs, no other may refuse to read.
#[test]
fn the_largest_requests_and_records_reach_every_server() {
    let lines = "jute.maxbuffer=2000\njute.maxbuffer.extrasize=1024\n";
    let mut world = ensemble::World::new(3, 0, lines);
    (1..=3).for_each(|id| world.start(id));
    let leader = world.leader();
    let follower = 1 + leader % 3;
    for (n, by) in [leader, follower].into_iter().enumerate() {
        let mut client = world.client(by, SessionId::NONE, &[0; 16]);
        let path = format!("/{n}");
        let create = |data| Request::Create(plain(path.as_bytes(), data, 0));
        let mut frame = Vec::new();
        create(b"").encode(&mut frame);
        // With the 8 bytes of a request's header.
        let data = vec![b'x'; 2_000 - 8 - frame.len()];
        let (err, ..) = world.ask(&mut client, &create(&data)).expect("an answer");
        assert_eq!(err, 0);
    }
    // What a session ends with is named in its last record, as long as that has 3,024 bytes.
    for len in 1_470..1_500 {
        let mut client = world.client(follower, SessionId::NONE, &[0; 16]);
        for name in ["a", "b"] {
            let path = format!("/{name}{}", "y".repeat(len - 2));
            let create = Request::Create(plain(path.as_bytes(), b"", 1));
            assert_eq!(world.ask(&mut client, &create).map(|answer| answer.0), Some(0));
        }
        world.ask(&mut client, &Request::CloseSession);
        world.pass(100);
    }
    let lost: Vec<&String> = world.notes.iter().filter(|note| note.contains("is over:")).collect();
    assert!(!lost.iter().any(|note| note.contains("link")), "{lost:#?}");
    assert_eq!(world.leader(), leader);
    world.agree();
}

fn plain<'a>(path: &'a [u8], data: &'a [u8], flags: i32) -> Create<'a> {
    Create { kind: CreateKind::Create, path, data: Some(data), acl: Some(vec![Acl::OPEN]), flags }
}
