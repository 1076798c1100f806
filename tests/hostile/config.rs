// SPDX-License-Identifier: Apache-2.0
//! Configurations with every mistake an operator makes: each ends the start with code 2 and a
//! sentence that names file, line, key and remedy.

use std::fs;

use super::common::Home;

/// What is added behind line 7 of a good configuration, and what is said of it.
const MISTAKES: &[(&str, &str)] = &[
    ("maxClientCnxns=many", "zoo.cfg:8: maxClientCnxns=many: not a number; write"),
    ("maxClientCnxns=", "zoo.cfg:8: maxClientCnxns="),
    ("maxClientCnxns=6O", "zoo.cfg:8: maxClientCnxns=6O: not a number"),
    ("maxClientCnxns=60 # per host", "zoo.cfg:8: maxClientCnxns=60 # per host: not a number"),
    ("maxClientCnxns=99999999999", "zoo.cfg:8: maxClientCnxns=99999999999: out of range"),
    ("tickTime=0", "zoo.cfg:8: tickTime=0: "),
    ("tickTime=2s", "zoo.cfg:8: tickTime=2s: not a number"),
    ("clientPort=65536", "zoo.cfg:8: clientPort=65536: out of range; write a port from"),
    ("clientPort=zk", "zoo.cfg:8: clientPort=zk: not a number"),
    ("clientPort=-1", "zoo.cfg:8: clientPort=-1: out of range"),
    ("dataDir=", "zoo.cfg:8: dataDir=: empty; write a directory"),
    ("minSessionTimeout=60000\nmaxSessionTimeout=4000", "zoo.cfg:"),
    ("initLimit=ten", "zoo.cfg:8: initLimit=ten: not a number"),
    ("snapCount=1e6", "zoo.cfg:8: snapCount=1e6: not a number"),
    ("autopurge.purgeInterval=daily", "zoo.cfg:8: autopurge.purgeInterval=daily: "),
    ("autopurge.snapRetainCount=none", "zoo.cfg:8: autopurge.snapRetainCount=none: not a number"),
    ("forceSync=maybe", "zoo.cfg:8: forceSync=maybe: not a known value; write"),
    ("standaloneEnabled=1", "zoo.cfg:8: standaloneEnabled=1: not a known value"),
    ("peerType=leader", "zoo.cfg:8: peerType=leader: "),
    ("server.1=host", "zoo.cfg:8: server.1=host: "),
    ("server.1=host:2888", "zoo.cfg:8: server.1=host:2888: "),
    ("server.1=host:2888:2888", "zoo.cfg:8: server.1=host:2888:2888: "),
    ("server.one=host:2888:3888", "zoo.cfg:8: server.one=host:2888:3888: "),
    ("server.1=a:1:2\nserver.2=b:1:2", "myid"),
    ("dynamicConfigFile=/nowhere/zoo.cfg.dynamic", "/nowhere/zoo.cfg.dynamic does not exist"),
    ("dataDir=C:\\users\\zk", "zoo.cfg:8: \\u must be followed by four hexadecimal digits; write"),
    ("quorum.auth.serverRequireSasl=true", "zoo.cfg:8: quorum.auth.serverRequireSasl=true: "),
    ("electionAlg=0", "zoo.cfg:8: electionAlg=0: "),
    ("jute.maxbuffer=4MB", "zoo.cfg:8: jute.maxbuffer=4MB: not a number"),
    ("secureClientPort=x", "zoo.cfg:8: secureClientPort=x: not a number"),
];

#[test]
fn each_mistake_ends_the_start_with_a_sentence_about_it() {
    let home = Home::new("hostile-config");
    for (mistake, sentence) in MISTAKES {
        home.configure(&format!("{mistake}\n"));
        let (code, said) = home.ended();
        assert_eq!(code, Some(2), "{mistake}: {said}");
        assert!(said.contains(sentence), "{mistake}: {said}");
        let line = said.lines().find(|line| line.contains(sentence)).expect("it is there");
        assert!(line.contains("; "), "{mistake} has a remedy: {line}");
        assert!(!said.contains("panicked"), "{mistake}: {said}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let home = Home::new("hostile-mistakes");
    home.configure("maxClientCnxns=many\ntickTime=x\nsnapCount=-\n");
    let (code, said) = home.ended();
    assert_eq!(code, Some(2));
    let places: Vec<&str> = said.lines().filter_map(|line| line.split(": ").next()).collect();
    assert!(places.ends_with(&["zoo.cfg:8", "zoo.cfg:9", "zoo.cfg:10"]), "{said}");
}

#[test]
fn a_file_that_is_no_configuration_is_said_so() {
    let home = Home::new("hostile-no-config");
    let file = home.folder.join("zoo.cfg");
    let garbage: Vec<u8> = (0..4096u32).map(|n| (n * 7 % 251) as u8).collect();
    let utf16: Vec<u8> =
        "\u{feff}dataDir=/d\nclientPort=1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content, sentence) in [
        (&b""[..], "zoo.cfg: dataDir is not set; add a line such as dataDir=/var/lib/zookeeper"),
        (b"dataDir=./data\n", "zoo.cfg: clientPort is not set"),
        (b"clientPort=0\n", "zoo.cfg: dataDir is not set"),
        (b"<configuration><dataDir>/d</dataDir></configuration>\n", "dataDir is not set"),
        (&garbage, "zoo.cfg"),
        (&utf16, "zoo.cfg"),
    ] {
        fs::write(&file, content).expect("it is written");
        let (code, said) = home.ended();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(sentence) && said.contains("; "), "{said}");
    }
    fs::remove_file(&file).expect("it goes");
    let (code, said) = home.ended();
    assert!(code == Some(2) && said.contains("cannot read the configuration zoo.cfg"), "{said}");
    fs::create_dir(&file).expect("a folder in its place");
    let (code, said) = home.ended();
    assert!(code == Some(2) && said.contains("cannot read the configuration zoo.cfg"), "{said}");
    fs::remove_dir(&file).expect("it goes");
    home.configure("");
}

#[test]
fn an_address_that_cannot_be_is_said_so() {
    let home = Home::new("hostile-address");
    for (address, sentence) in [
        ("192.0.2.1", "is no address of this machine: set clientPortAddress to one that is"),
        ("no such host", "check clientPortAddress"),
    ] {
        home.configure(&format!("clientPortAddress={address}\n"));
        let (code, said) = home.ended();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn a_myid_that_is_none_is_said_so() {
    let home = Home::new("hostile-myid");
    home.configure("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n");
    fs::create_dir_all(home.folder.join("data")).expect("a folder");
    let myid = home.folder.join("data/myid");
    for text in ["", "one\n", "4\n", "1 2\n", "99999999999999999999\n", "\u{feff}1\n"] {
        fs::write(&myid, text).expect("it is written");
        let (code, said) = home.ended();
        assert_eq!(code, Some(2), "{text:?}: {said}");
        assert!(said.contains("myid") && said.contains("; "), "{text:?}: {said}");
    }
}
