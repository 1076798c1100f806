// SPDX-License-Identifier: Apache-2.0
//! Stories: text files of commands, each with what came of it. `UPDATE=1` writes them anew.
//!
//! ```text
//! members 1 2 3 observers 4 weight.1=0 ...   who belongs to the ensemble; N is at zkN:3888
//! start 1 2 empty | missing | zxid Z epoch E  starts servers, which look
//! look 1 ... / establish E 1 2 / stop 1       as the node would say
//! run 500                                     lets milliseconds pass
//! cut 1 2 / heal 1 2                          links break and none is made / may be made again
//! mute 1 2                                    what 1 says is lost to 2 on the link that they have
//! status                                      where each server stands
//! quiet                                       shows no messages from here on
//! script 3                                    what is said for 3 stands in the story:
//! dial 3 1 / hello 3 1 short | ADDRESS / say 3 1 STATE LEADER ZXID EPOCH ROUND [v1] / raw 3 1 HEX
//! ```

use std::{env, fmt::Write as _, fs, path::Path, time::Duration};

use menagerie_core::{
    election::{
        Decision, Standing,
        wire::{Form, Hello, HelloForm, Notification, PeerState, Vote},
    },
    id::{ServerId, Zxid},
};

use crate::net::{Even, Id, Net};

#[test]
fn stories_are_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/election/scenarios");
    let mut told = 0;
    for entry in fs::read_dir(&folder).expect("a folder of stories") {
        let path = entry.expect("a readable entry").path();
        let text = fs::read_to_string(&path).expect("a readable story");
        let again = retell(&text);
        told += 1;
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, again).expect("a writable story");
        } else {
            assert!(text == again, "{}:\n{again}", path.display());
        }
    }
    assert!(told >= 13, "{told} stories");
}

/// The story with what comes of its commands now.
fn retell(text: &str) -> String {
    let mut out = String::new();
    let mut net = Net::new("server.1=zk1:2888:3888\nserver.2=zk2:2888:3888", Even);
    let mut quiet = false;
    let mut golden = false;
    for line in text.lines() {
        match line {
            "" => golden = false,
            _ if golden => continue,
            _ if line.starts_with('#') => {}
            "----" => {
                golden = true;
                writeln!(out, "----").expect("a string takes all");
                for told in
                    net.story.drain(..).filter(|told| !(quiet && told[5..].starts_with("   ")))
                {
                    writeln!(out, "{told}").expect("a string takes all");
                }
                continue;
            }
            "quiet" => quiet = true,
            _ => {
                if let Some(members) = line.strip_prefix("members ") {
                    net = Net::new(&members_text(members), Even);
                } else {
                    command(&mut net, line);
                }
            }
        }
        writeln!(out, "{line}").expect("a string takes all");
    }
    out
}

fn members_text(words: &str) -> String {
    let mut role = "participant";
    let mut text = String::new();
    for word in words.split(' ') {
        match word {
            "observers" => role = "observer",
            _ if word.contains('=') => writeln!(text, "{word}").expect("a string takes all"),
            id => {
                writeln!(text, "server.{id}=zk{id}:2888:3888:{role}").expect("a string takes all");
            }
        }
    }
    text
}

fn command(net: &mut Net<Even>, line: &str) {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let words: Vec<&str> = rest.split(' ').filter(|word| !word.is_empty()).collect();
    let ids: Vec<Id> = words.iter().map_while(|word| word.parse().ok()).collect();
    let others = &words[ids.len()..];
    match (name, ids.as_slice()) {
        ("start", ids) => ids.iter().for_each(|&id| net.start(id, standing(others))),
        ("look", ids) => ids.iter().for_each(|&id| net.look(id, standing(others))),
        ("stop", ids) => ids.iter().for_each(|&id| net.stop(id)),
        ("establish", [epoch, ids @ ..]) => {
            let epoch = u32::try_from(*epoch).expect("an epoch");
            ids.iter().for_each(|&id| net.establish(id, epoch));
        }
        ("run", [millis]) => net.run(Duration::from_millis(millis.unsigned_abs())),
        ("cut", [a, b]) => net.cut(*a, *b),
        ("heal", [a, b]) => net.heal(*a, *b),
        ("mute", [from, to]) => net.mute(*from, *to),
        ("status", []) => status(net),
        ("script", [id]) => net.script(*id),
        ("dial", [from, to]) => net.script_dials(*from, *to),
        ("hello", [from, to]) => net.script_says(*from, *to, hello(*from, others)),
        ("say", [from, to]) => net.script_says(*from, *to, said(others)),
        ("raw", [from, to, ..]) => net.script_says(*from, *to, unhex(words[2])),
        _ => panic!("'{line}' is no command"),
    }
}

fn number(text: &str) -> i64 {
    text.strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| i64::from_str_radix(hex, 16))
        .unwrap_or_else(|_| panic!("'{text}' is no number"))
}

fn standing(words: &[&str]) -> Standing {
    match words {
        ["empty"] => Standing::Empty,
        ["missing"] => Standing::Missing,
        ["zxid", zxid, "epoch", epoch] => {
            Standing::History { zxid: Zxid(number(zxid)), epoch: number(epoch) }
        }
        _ => panic!("{words:?} is no standing"),
    }
}

fn status(net: &mut Net<Even>) {
    let servers: Vec<Id> = net.up().collect();
    for id in servers {
        let election = net.election(id);
        let says = match election.decision() {
            None => String::from("looks"),
            Some(Decision::Leading) => String::from("leads"),
            Some(Decision::Following(leader)) => format!("follows {leader}"),
            Some(Decision::Observing(leader)) => format!("observes {leader}"),
        };
        let says = format!("{id}: {says} in round {}", election.round());
        net.tell(&says);
    }
}

fn hello(from: Id, words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match words {
        ["short"] => {
            Hello { from: ServerId(from), form: HelloForm::Short }.encode(&mut bytes);
        }
        [address] => {
            bytes.extend((-65_536i64).to_be_bytes());
            bytes.extend(from.to_be_bytes());
            bytes.extend(u32::try_from(address.len()).expect("short").to_be_bytes());
            bytes.extend(address.as_bytes());
        }
        _ => panic!("{words:?} is no hello"),
    }
    bytes
}

fn said(words: &[&str]) -> Vec<u8> {
    let [state, leader, zxid, epoch, round, form @ ..] = words else {
        panic!("{words:?} is no notification")
    };
    let state = match *state {
        "LOOKING" => PeerState::Looking,
        "FOLLOWING" => PeerState::Following,
        "LEADING" => PeerState::Leading,
        "OBSERVING" => PeerState::Observing,
        other => panic!("'{other}' is no state"),
    };
    let [leader, zxid, epoch, round] = [leader, zxid, epoch, round].map(|text| number(text));
    let form = match form {
        [] => Form::Config(b"version=0"),
        ["v1"] => Form::V40(1),
        _ => panic!("{form:?} is no form"),
    };
    let vote = Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch };
    let mut body = Vec::new();
    Notification { state, vote, round, form }.encode(&mut body);
    let mut bytes = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}
