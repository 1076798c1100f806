// SPDX-License-Identifier: Apache-2.0
//! Servers that are killed, paused and cut off, and ports that strangers connect to.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use menagerie_core::proto::Request;

use super::{
    common::{complaint, eventually, resident, said, wire::Wire},
    members::{Ensemble, VOTERS},
};

/// The servers but one.
fn others(one: usize) -> Vec<usize> {
    (1..=3).filter(|id| *id != one).collect()
}

#[test]
fn what_was_acknowledged_outlives_each_leader_that_is_killed() {
    let three = Ensemble::new("kill", VOTERS);
    three.start_all();
    let mut leader = three.await_service(&[1, 2, 3]);
    for round in 0..3 {
        let path = format!("/round-{round}");
        three.agree(leader, &[], &path);
        three.kill(leader);
        let living = others(leader);
        let next = three.await_service(&living);
        living.iter().for_each(|&id| three.knows(id, &path));
        three.agree(living[0], &living, &format!("{path}-without-{leader}"));
        three.start(leader);
        three.await_service(&[1, 2, 3]);
        three.knows(leader, &format!("{path}-without-{leader}"));
        leader = three.await_service(&[1, 2, 3]);
        assert!(living.contains(&next), "{next} led while {leader} was down");
    }
}

#[test]
fn all_killed_at_once_come_back_with_everything() {
    let three = Ensemble::new("kill-all", VOTERS);
    three.start_all();
    three.await_service(&[1, 2, 3]);
    for round in 0..2 {
        three.agree(1, &[], &format!("/round-{round}"));
        three.ids().for_each(|id| three.signal(id, "-KILL"));
        three.ids().for_each(|id| three.await_end(id));
        three.start_all();
        three.await_service(&[1, 2, 3]);
        three.ids().for_each(|id| three.knows(id, &format!("/round-{round}")));
    }
}

#[test]
fn a_leader_that_is_paused_is_replaced_and_finds_its_way_back() {
    let three = Ensemble::new("pause", VOTERS);
    three.start_all();
    let leader = three.await_service(&[1, 2, 3]);
    three.signal(leader, "-STOP");
    let living = others(leader);
    let next = three.await_service(&living);
    three.agree(next, &living, "/while-it-slept");
    three.signal(leader, "-CONT");
    eventually("it follows", || three.mode(leader).as_deref() == Some("follower"));
    three.knows(leader, "/while-it-slept");
}

#[test]
fn a_follower_that_is_paused_holds_up_nobody() {
    let three = Ensemble::new("slow", VOTERS);
    three.start_all();
    let leader = three.await_service(&[1, 2, 3]);
    let (slow, quick) = (others(leader)[0], others(leader)[1]);
    three.signal(slow, "-STOP");
    for n in 0..10 {
        three.agree(quick, &[leader], &format!("/meanwhile-{n}"));
    }
    three.signal(slow, "-CONT");
    eventually("it follows", || three.mode(slow).as_deref() == Some("follower"));
    three.knows(slow, "/meanwhile-9");
}

#[test]
fn what_a_paused_follower_lacks_is_not_kept_for_it() {
    let three = Ensemble::new("owed", VOTERS);
    let list = three.list(VOTERS);
    for id in three.ids() {
        three.configure(id, &format!("forceSync=no\n{list}"));
    }
    three.start_all();
    let leader = three.await_service(&[1, 2, 3]);
    let slow = others(leader)[0];
    three.agree(leader, &[1, 2, 3], "/changed");
    let mut client = Wire::open(three.ports(leader).client);
    let mut change = |times| {
        for _ in 0..times {
            let data = Some(&[b'x'; 50_000][..]);
            let request = Request::SetData { path: b"/changed", data, version: -1 };
            assert_eq!(client.ask(&request).0, 0);
        }
        resident(three.pid(leader).parse().expect("a pid"))
    };
    // As many transactions as are kept for whoever comes back (commitLogCount).
    let before = change(600);
    three.signal(slow, "-STOP");
    let after = change(1_000);
    three.signal(slow, "-CONT");
    let (Some(before), Some(after)) = (before, after) else {
        return println!("SKIPPED, LOUDLY: this system does not tell how much memory is held");
    };
    let grown = after.saturating_sub(before) / 1024;
    println!("48 MiB were written, and memory grew by {grown} MiB from {} MiB", before / 1024);
    assert!(grown < 24, "memory grew by {grown} MiB");
    eventually("it follows", || three.mode(slow).as_deref() == Some("follower"));
}

#[test]
fn a_wiped_server_gets_everything_from_the_others() {
    let three = Ensemble::new("wiped", VOTERS);
    three.start_all();
    let leader = three.await_service(&[1, 2, 3]);
    let wiped = others(leader)[0];
    three.agree(wiped, &[1, 2, 3], "/before");
    three.stop(wiped);
    three.agree(leader, &[leader], "/meanwhile");
    std::fs::remove_dir_all(three.home(wiped).join("data/version-2")).expect("it is wiped");
    three.start(wiped);
    three.await_service(&[1, 2, 3]);
    three.knows(wiped, "/before");
    three.knows(wiped, "/meanwhile");
}

#[test]
fn strangers_at_the_ports_for_servers_are_no_obstacle() {
    let three = Ensemble::new("strangers", VOTERS);
    three.start(1);
    three.start(2);
    let mut held = Vec::new();
    for id in [1, 2] {
        let ports = three.ports(id);
        for port in [ports.election, ports.quorum] {
            for bytes in [&b""[..], b"ruok", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 4096], &[0; 4096]] {
                for _ in 0..20 {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
                    // It may be closed already.
                    let _ = stream.write_all(bytes);
                    held.push(stream);
                }
            }
        }
    }
    three.start(3);
    three.await_service(&[1, 2, 3]);
    three.agree(3, &[1, 2, 3], "/there");
    // Whoever makes no sense is hung up on; the silent ones have a while left.
    let mut nonsense = TcpStream::connect(("127.0.0.1", three.ports(1).election)).expect("it does");
    nonsense.write_all(&[0xff; 64]).expect("it is taken");
    let mut nothing = Vec::new();
    let _ = nonsense.read_to_end(&mut nothing);
    assert!(nothing.is_empty(), "nothing is said to a stranger: {nothing:?}");
}

#[test]
fn who_only_reads_is_served_by_one_that_is_left_alone() {
    let three = Ensemble::new("read-only", VOTERS);
    let list = three.list(VOTERS);
    for id in three.ids() {
        three.configure(id, &format!("readonlymode.enabled=true\n{list}"));
    }
    three.start_all();
    three.await_service(&[1, 2, 3]);
    three.agree(1, &[1, 2, 3], "/there");
    three.kill(2);
    three.kill(3);
    eventually("it serves alone", || three.mode(1).as_deref() == Some("read-only"));
    let (code, text) = said(&three.cli(1, &["-r", "get", "/there"]));
    assert!(code == 0 && text.contains("ConnectedReadOnly"), "{text}");
    assert!(text.contains("\nvalue\n"), "{text}");
    let refused = three.cli(1, &["-r", "create", "/here", "value"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(complaint(&refused).contains("read-only"), "{refused:?}");
    let ordinary = three.cli(1, &["-timeout", "3000", "get", "/there"]);
    assert!(!ordinary.status.success(), "{ordinary:?}");
    three.start(2);
    three.await_service(&[1, 2]);
    three.agree(1, &[1, 2], "/here");
}
