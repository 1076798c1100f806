// SPDX-License-Identifier: Apache-2.0
//! Lists of servers: every form of a line, the text they print, and the files they come from.
use crate::config::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const QUORUM: &str = "dataDir=/zk\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n";

fn complete(
    text: &str,
    myid: &str,
    dynamic: Option<(&str, &str)>,
) -> Result<ServerConfig, ConfigErrors> {
    let dynamic = dynamic.map(|(file, text)| (file, text.as_bytes()));
    let around = Surroundings { myid: Some(("/zk/myid", myid.as_bytes())), dynamic };
    StaticConfig::parse("zoo.cfg", text.as_bytes(), &[])?.complete(&around)
}

fn member(text: &str, myid: &str) -> Result<EnsembleConfig, String> {
    let config = complete(&(String::from(QUORUM) + text), myid, None);
    match config.map_err(|errors| errors.to_string())?.role {
        Role::Member(member) => Ok(member),
        Role::Standalone { .. } => Err("standalone".into()),
    }
}

#[test]
fn every_form_of_a_server_line_prints_as_java_prints_it() {
    let rows = [
        ("zk1:2888:3888", "zk1:2888:3888:participant"),
        ("zk1:2888:3888:", "zk1:2888:3888:participant"),
        ("zk1:2888:3888:Observer", "zk1:2888:3888:observer"),
        ("zk1:2888:3888:participant;2181", "zk1:2888:3888:participant;0.0.0.0:2181"),
        ("zk1:2888:3888;0.0.0.0:2181", "zk1:2888:3888:participant;0.0.0.0:2181"),
        ("zk1:2888:3888;localhost:2181", "zk1:2888:3888:participant;localhost:2181"),
        ("[::1]:2888:3888;[fe80::2]:2181", "[::1]:2888:3888:participant;[fe80::2]:2181"),
        ("zk1:1:2;2181;2281", "zk1:1:2:participant;0.0.0.0:2181;0.0.0.0:2281"),
        ("zk1:1:2;;h:2281", "zk1:1:2:participant;;h:2281"),
        ("zk2:1:2|zk1:3:4:observer", "zk1:3:4|zk2:1:2:observer"),
        ("zk1:+2888:03888", "zk1:2888:3888:participant"),
    ];
    for (text, printed) in rows {
        let member = Member::parse(text).expect(text);
        assert_eq!(member.to_string(), printed, "{text}");
        let again = Member::parse(printed).expect(printed);
        assert_eq!(again.to_string(), printed, "{text}");
    }
}

#[test]
fn groups_and_weights_print_as_java_prints_them() {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\ngroup.1=1\ngroup.2=2\n\
                weight.2=3\nversion=1f";
    let member = member(text, "3").expect("good");
    let printed = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                   server.3=c:1:2:observer\ngroup.1=1\ngroup.2=2\nweight.1=1\nweight.2=3\n\
                   version=1f";
    assert_eq!(member.ensemble.to_string(), printed);
    assert_eq!(member.ensemble.version(), 0x1f);
}

#[test]
fn one_server_line_runs_alone_and_says_so() {
    let text = "dataDir=/zk\nserver.1=a:1:2;2182";
    let config = complete(text, "1", None).expect("good");
    assert_eq!(config.role, Role::Standalone { id: Some(1) });
    assert_eq!(config.clients.plain, Some(Endpoint { host: None, port: 2_182 }));
    assert_eq!(
        config.notices.last().map(ToString::to_string).as_deref(),
        Some("zoo.cfg: only one server is listed; it runs alone, and the list is ignored")
    );
}

#[test]
fn one_server_line_is_an_ensemble_if_that_is_asked_for() {
    let alone = member("standaloneEnabled=false\nserver.1=a:1:2", "1").expect("good");
    assert_eq!(alone.ensemble.count(PeerRole::Participant), 1);
}

#[test]
fn myid_names_one_of_the_servers() {
    let two = "server.1=a:1:2\nserver.300=b:1:2\n";
    assert_eq!(member(two, "300\r\n\n").map(|member| member.id), Ok(300));
    let help = "write the N of this server's server.N line, a number from 0 to 255";
    for (text, shown) in [("", ""), ("one", "one"), ("1 2", "1 2"), ("-1", "-1"), ("\n1", "")] {
        let expected = alloc::format!("/zk/myid: '{shown}' is not a server id; {help}");
        assert_eq!(member(two, text).expect_err(text), expected);
    }
    assert_eq!(
        member(two, "2").expect_err("not there"),
        "zoo.cfg: /zk/myid is 2, but there is no server.2; add that line, or correct myid"
    );
    assert_eq!(
        member(&(String::from(two) + "extendedTypesEnabled=true"), "300").expect_err("too large"),
        "zoo.cfg: myid is 300, but extendedTypesEnabled allows at most 254; \
         give this server a smaller id"
    );
}

#[test]
fn risks_of_a_list_are_told() {
    let last = |text: &str| {
        let config = complete(&(String::from(QUORUM) + text), "1", None).expect("good");
        let notices: Vec<String> = config.notices.iter().map(ToString::to_string).collect();
        notices.join("\n")
    };
    let two = "server.1=a:1:2\nserver.2=b:1:2\n";
    let survive_none = "zoo.cfg: 2 voting servers survive no failure; three are needed";
    assert_eq!(last(two), survive_none);
    let four = String::from(two) + "server.3=c:1:2\nserver.4=d:1:2";
    assert_eq!(last(&four), "zoo.cfg: 4 voting servers survive no more failures than 3");
    let observer = String::from(two) + "peerType=observer";
    let ignored = "zoo.cfg:7: peerType=observer is ignored: server.1 is participant";
    assert_eq!(last(&observer), alloc::format!("{survive_none}\n{ignored}"));
}

#[test]
fn a_dynamic_file_brings_the_list_and_its_version() {
    let text = String::from(QUORUM) + "dynamicConfigFile=/zk/zoo.cfg.dynamic.100000000";
    let list = "server.1=a:1:2:participant;2181\nserver.2=b:1:2:participant;2181\n";
    let read = |list| complete(&text, "1", Some(("/zk/zoo.cfg.dynamic.100000000", list)));
    let Role::Member(member) = read(list).expect("good").role else { panic!("two voters") };
    assert_eq!(member.ensemble.version(), 0x1_0000_0000);
    let error = |list| read(list).expect_err("a mistake").to_string();
    assert_eq!(
        error("tickTime=5"),
        "/zk/zoo.cfg.dynamic.100000000:1: tickTime=5: does not belong in a dynamic file; \
         only server.N, group.N and weight.N may stand here; move it to the static file"
    );
    assert_eq!(
        error("\nversion=5"),
        "/zk/zoo.cfg.dynamic.100000000:2: version=5: a dynamic file has its version in its name; \
         remove this line"
    );
    let unversioned = Ensemble::from_dynamic_file("zoo.cfg.dynamic", list.as_bytes());
    assert_eq!(unversioned.map(|ensemble| ensemble.version()), Ok(0));
}

#[test]
fn a_servers_own_line_may_not_contradict_its_client_port() {
    let two = |client: &str| alloc::format!("server.1=a:1:2;{client}\nserver.2=b:1:2\n");
    assert!(member(&two("127.0.0.1:2181"), "1").is_ok());
    assert!(member(&two("2182"), "2").is_ok());
    assert_eq!(
        member(&two("2182"), "1").expect_err("two ports"),
        "zoo.cfg: clientPort is at 0.0.0.0:2181, but this server's own line has 0.0.0.0:2182; \
         write one of the two"
    );
    let bound = alloc::format!("clientPortAddress=10.0.0.1\n{}", two("10.0.0.2:2181"));
    assert_eq!(
        member(&bound, "1").expect_err("two addresses"),
        "zoo.cfg: clientPort is at 10.0.0.1:2181, but this server's own line has 10.0.0.2:2181; \
         write one of the two"
    );
    let named = alloc::format!("clientPortAddress=zk1\n{}", two("10.0.0.2:2181"));
    assert!(member(&named, "1").is_ok(), "names are not resolved here");
}

#[test]
fn each_server_has_an_id_and_a_place_of_its_own() {
    let notices = |text: &str| {
        let config = complete(&(String::from(QUORUM) + text), "1", None).expect("good");
        config.notices.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let three = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
    assert_eq!(
        notices(&(String::from(three) + "server.2=d:1:2")),
        ["zoo.cfg:6: server.2 is ignored: line 8 sets it again; give each server an id of its own"]
    );
    assert_eq!(
        member(&(String::from(three) + "server.02=d:1:2"), "1").expect_err("twice"),
        "zoo.cfg:6: server.2=b:1:2: there is a server.2 already, written otherwise; \
         give each server an id of its own"
    );
    assert_eq!(
        notices("server.1=a:1:2\nserver.2=b:1:2\nserver.3=A:2:3\n"),
        ["zoo.cfg: server.1 and server.3 are both at A:2, where only one can listen; \
          give each its own host or ports"]
    );
    assert!(notices(three).is_empty());
}

#[test]
fn a_client_port_is_none_of_the_ports_for_other_servers() {
    let two = |client: &str| alloc::format!("server.1=a:1:2181{client}\nserver.2=b:1:2\n");
    assert_eq!(
        member(&two(""), "1").expect_err("one port"),
        "zoo.cfg: the client port 0.0.0.0:2181 is the election port, too; \
         choose another for one of them"
    );
    assert!(member(&two(""), "2").is_ok(), "it is no port of this server");
    let elsewhere = String::from("clientPortAddress=127.0.0.1\n") + &two("");
    assert!(member(&elsewhere, "1").is_ok(), "another address");
}

#[test]
fn intervals_of_elections_and_whole_trees_are_properties() {
    let peers = |text: &str| {
        let text = String::from(QUORUM) + "server.1=a:1:2\nserver.2=b:1:2\n" + text;
        complete(&text, "1", None).expect("it is right").peers
    };
    let usual = peers("");
    assert_eq!((usual.notification_intervals_ms, usual.force_snapshot_sync), ((200, 3_200), false));
    let set = peers(
        "fastleader.minNotificationInterval=50\nfastleader.maxNotificationInterval=60000\n\
         forceSnapshotSync=true\n",
    );
    assert_eq!((set.notification_intervals_ms, set.force_snapshot_sync), ((50, 60_000), true));
}
