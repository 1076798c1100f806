// SPDX-License-Identifier: Apache-2.0
//! What operators get wrong in the membership of an ensemble: each mistake gets a sentence that
//! names the place and the way out.

use std::{fs, net::TcpListener};

use super::{
    common::{complaint, eventually, said},
    members::{Ensemble, VOTERS},
};

/// Server 1 does not start: its exit code, and what it says.
fn refused(three: &Ensemble) -> (Option<i32>, String) {
    let output = three.run(1, &["serve", "zoo.cfg"]);
    (output.status.code(), complaint(&output))
}

#[test]
fn a_configuration_that_cannot_be_ends_the_start() {
    let three = Ensemble::new("mistakes", VOTERS);
    let list = three.list(VOTERS);
    let myid = three.home(1).join("data/myid");
    let myid = myid.display();
    let ports = three.ports(1);
    for (myid_is, lines, sentence) in [
        ("4", list.clone(), format!("{myid} is 4, but there is no server.4; add that line, or")),
        ("one", list.clone(), format!("{myid}: 'one' is not a server id; write the N of this")),
        ("", list.clone(), format!("{myid}: '' is not a server id")),
        ("1", format!("{list}server.01=a:1:2\n"), "there is a server.1 already".into()),
        ("1", format!("{list}sslQuorum=true\n"), "zoo.cfg: sslQuorum is true, and".into()),
        (
            "1",
            format!("{list}quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n"),
            "zoo.cfg: quorum.auth.learnerRequireSasl is true, and".into(),
        ),
        (
            "1",
            list.replace(&format!(":{}:", ports.quorum), &format!(":{}:", ports.client)),
            "is the quorum port, too; choose another for one of them".into(),
        ),
    ] {
        three.configure(1, &lines);
        three.call_it(1, myid_is);
        let (code, said) = refused(&three);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&sentence), "{said} lacks: {sentence}");
    }
    three.configure(1, &list);
    fs::remove_file(three.home(1).join("data/myid")).expect("it goes");
    let (code, said) = refused(&three);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("{myid} does not exist, and an ensemble needs it")), "{said}");
}

#[test]
fn settings_that_come_to_nothing_are_told_of() {
    let three = Ensemble::new("left-out", VOTERS);
    let lines = "localSessionsEnabled=true\nobserverMasterPort=2191\nportUnification=true\n\
                 quorum.auth.enableSasl=true\noraclePath=/oracle\n\
                 leaderServes=no\nsyncEnabled=false\n";
    three.configure(1, &format!("{lines}{}", three.list(VOTERS)));
    three.start(1);
    let log = three.log(1);
    assert_eq!(
        log.matches("is left out: ").count() + log.matches("not opened: ").count(),
        7,
        "{log}"
    );
}

#[test]
fn a_port_for_servers_that_is_taken_is_tried_again_and_then_said_so() {
    let three = Ensemble::new("taken", VOTERS);
    for (what, port) in
        [("election port", three.ports(1).election), ("quorum port", three.ports(1).quorum)]
    {
        let taken = TcpListener::bind(("127.0.0.1", port)).expect("it was free");
        let (code, said) = refused(&three);
        assert_eq!(code, Some(14), "{said}");
        assert_eq!(said.matches("attempt ").count(), 3, "electionPortBindRetry: {said}");
        let end = said.lines().last().expect("a sentence");
        assert!(end.contains(&format!("127.0.0.1:{port} is taken by another program")), "{end}");
        let remedy = format!("choose another {what} for server.1 in zoo.cfg of every server");
        assert!(end.contains(&remedy), "{end}");
        drop(taken);
    }
    let taken = TcpListener::bind(("127.0.0.1", three.ports(1).election)).expect("it was free");
    let output = three.run(1, &["start", "zoo.cfg"]);
    assert_eq!(said(&output), (1, "Starting zookeeper ... FAILED TO START\n".into()));
    assert!(complaint(&output).contains("is taken by another program"), "{output:?}");
    drop(taken);
}

#[test]
fn a_port_that_becomes_free_is_taken() {
    let three = Ensemble::new("free-again", VOTERS);
    three.configure(1, &format!("electionPortBindRetry=0\n{}", three.list(VOTERS)));
    let taken = TcpListener::bind(("127.0.0.1", three.ports(1).election)).expect("it was free");
    three.start(2);
    three.start(3);
    std::thread::scope(|scope| {
        let started = scope.spawn(|| three.start(1));
        eventually("it was tried twice", || three.log(1).contains("attempt 2: "));
        drop(taken);
        started.join().expect("it starts");
    });
    three.await_service(&[1, 2, 3]);
}

#[test]
fn an_address_of_another_machine_is_said_so() {
    let three = Ensemble::new("elsewhere", VOTERS);
    let list = three.list(VOTERS).replace("server.1=127.0.0.1", "server.1=192.0.2.1");
    three.configure(1, &format!("electionPortBindRetry=1\n{list}"));
    let (code, said) = refused(&three);
    assert_eq!(code, Some(14), "{said}");
    let sentence = "is no address of this machine: correct server.1 in zoo.cfg (or myid, if this \
                    is another server), or add quorumListenOnAllIPs=true";
    assert!(said.contains(sentence), "{said}");
}

#[test]
fn two_servers_of_one_id_and_strange_ids_are_told_of() {
    let three = Ensemble::new("twins", VOTERS);
    let (own, twin) = (three.ports(3), three.ports(2));
    // Process 3 believes that it is server 2, too, and that the real one is server 9.
    three.configure(
        3,
        &format!(
            "server.2=127.0.0.1:{}:{}\nserver.9=127.0.0.1:{}:{}\n",
            own.quorum, own.election, twin.quorum, twin.election
        ),
    );
    three.call_it(3, "2");
    three.start_all();
    three.await_service(&[1, 2]);
    let sentence = "says that it is server 2, as this one is: correct dataDir/myid of one of";
    eventually("it is told", || three.log(2).contains(sentence));
    // Server 4 is known to itself alone.
    let list = three.list(VOTERS);
    three.stop(3);
    three.configure(3, &list.replace("server.3=", "server.4="));
    three.call_it(3, "4");
    three.start(3);
    let sentence = "says that it is server 4, which is no member: give all servers the same";
    eventually("it is told", || [1, 2].iter().any(|&id| three.log(id).contains(sentence)));
    three.agree(1, &[1, 2], "/all-the-same");
}
