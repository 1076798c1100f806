// SPDX-License-Identifier: Apache-2.0
//! Ensembles of real processes, deployed as ZooKeeper is: a `zoo.cfg` and a `myid` for each server,
//! `start`, `status`, `stop`; and servers that are killed, paused and wrongly configured.

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod members;
mod mistakes;
mod operations;
mod readme;
mod reconfig;

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
};

use common::{run, said};
use members::{Ensemble, VOTERS};

#[test]
fn three_servers_started_one_after_the_other_elect_one() {
    let three = Ensemble::new("three", VOTERS);
    three.start(1);
    let port = three.ports(1).client;
    let found =
        format!("Client port found: {port}. Client address: 127.0.0.1. Client SSL: false.\n");
    let alone = "Error contacting service. It is probably not running.\n";
    assert_eq!(three.status(1), (1, format!("{found}{alone}")), "one of three is no quorum");
    three.start(2);
    three.start(3);
    let leader = three.await_service(&[1, 2, 3]);
    for id in three.ids() {
        let mode = if id == leader { "leader" } else { "follower" };
        let (code, text) = three.status(id);
        assert!(code == 0 && text.ends_with(&format!("Mode: {mode}\n")), "{id}: {text}");
        three.agree(id, &[1, 2, 3], &format!("/by-{id}"));
    }
    let link = three.home(1).join("zkServer.sh");
    symlink(env!("CARGO_BIN_EXE_menagerie"), &link).expect("a link");
    let (code, text) = said(&run(&link, &three.home(1), &["status", "zoo.cfg"]));
    assert!(code == 0 && text.contains("Mode: "), "{text}");
}

#[test]
fn any_number_of_voters_elects_one() {
    for count in [1, 2, 4, 5, 7] {
        let ensemble = Ensemble::new(&format!("of-{count}"), &vec![""; count]);
        let list = ensemble.list(&vec![""; count]);
        for id in ensemble.ids() {
            ensemble.configure(id, &format!("standaloneEnabled=false\n{list}"));
        }
        ensemble.start_all();
        let all: Vec<usize> = ensemble.ids().collect();
        ensemble.await_service(&all);
        ensemble.agree(count, &all, "/there");
    }
}

#[test]
fn observers_serve_and_do_not_vote() {
    let roles = &["", "", "", ":observer"];
    let four = Ensemble::new("observer", roles);
    four.configure(4, &format!("peerType=observer\n{}", four.list(roles)));
    four.start_all();
    four.await_service(&[1, 2, 3, 4]);
    assert_eq!(four.mode(4).as_deref(), Some("observer"));
    four.agree(4, &[1, 2, 3, 4], "/through-the-observer");
    four.agree(1, &[4], "/to-the-observer");
    four.stop(1);
    four.await_service(&[2, 3, 4]);
    four.agree(4, &[2, 3], "/with-two-of-three");
    four.stop(2);
    let why = "an observer makes no quorum";
    common::eventually(why, || four.mode(3).is_none() && four.mode(4).is_none());
}

#[test]
fn what_was_written_is_there_after_all_have_stopped() {
    let three = Ensemble::new("restart", VOTERS);
    three.start_all();
    three.await_service(&[1, 2, 3]);
    three.agree(1, &[1, 2, 3], "/kept");
    three.ids().for_each(|id| three.stop(id));
    three.start_all();
    three.await_service(&[1, 2, 3]);
    three.ids().for_each(|id| three.knows(id, "/kept"));
    for id in three.ids() {
        assert_eq!(said(&three.run(id, &["restart", "zoo.cfg"])).0, 0, "{}", three.log(id));
        three.await_service(&[1, 2, 3]);
        three.agree(id, &[1, 2, 3], &format!("/restarted-{id}"));
    }
}

#[test]
fn the_list_of_servers_may_stand_in_a_file_of_its_own() {
    let three = Ensemble::new("dynamic", VOTERS);
    for id in three.ids() {
        let ports = three.ports(id);
        let file = three.home(id).join("zoo.cfg.dynamic.0");
        let list = three.list(&[":participant"; 3]);
        let own = format!(":{}:participant\n", ports.election);
        let with_client = own.replace('\n', &format!(";127.0.0.1:{}\n", ports.client));
        fs::write(&file, list.replace(&own, &with_client)).expect("the list is written");
        three.configure(id, &format!("dynamicConfigFile={}\n", file.display()));
        let zoo_cfg = three.home(id).join("zoo.cfg");
        let text = fs::read_to_string(&zoo_cfg).expect("the configuration");
        let elsewhere = |line: &&str| !line.starts_with("clientPort");
        let text: Vec<&str> = text.lines().filter(elsewhere).collect();
        fs::write(&zoo_cfg, text.join("\n")).expect("the configuration is written");
    }
    three.start_all();
    three.await_service(&[1, 2, 3]);
    three.agree(1, &[1, 2, 3], "/there");
}

#[test]
fn servers_meet_over_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("SKIPPED, LOUDLY: this machine has no IPv6");
        return;
    }
    let three = Ensemble::at("::1", "ipv6", VOTERS);
    three.start_all();
    three.await_service(&[1, 2, 3]);
    three.agree(1, &[1, 2, 3], "/there");
}

#[test]
fn servers_listen_at_their_own_address_or_at_all() {
    let three = Ensemble::new("listen", VOTERS);
    three.configure(2, &format!("quorumListenOnAllIPs=true\n{}", three.list(VOTERS)));
    three.start(1);
    three.start(2);
    for (id, elsewhere) in [(1, false), (2, true)] {
        let ports = three.ports(id);
        for port in [ports.quorum, ports.election] {
            assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "server {id}, port {port}");
            let reached = TcpStream::connect(("127.0.0.2", port)).is_ok();
            assert_eq!(reached, elsewhere, "server {id}, port {port}");
        }
    }
}

#[test]
fn a_server_that_has_no_address_yet_is_no_obstacle() {
    let three = Ensemble::new("unresolved", VOTERS);
    let list = three.list(VOTERS);
    let third = format!("server.3=127.0.0.1:{}", three.ports(3).quorum);
    let nowhere = third.replace("127.0.0.1", "not-there-yet.invalid");
    for id in [1, 2] {
        three.configure(id, &list.replace(&third, &nowhere));
        three.start(id);
    }
    three.await_service(&[1, 2]);
    three.agree(1, &[1, 2], "/there");
}
