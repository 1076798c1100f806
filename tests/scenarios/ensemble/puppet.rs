// SPDX-License-Identifier: Apache-2.0
//! A part that the story plays itself, to say what no server of ours would.
//!
//! ```text
//! on a quorum port, as a learner:
//!   FOLLOWERINFO EPOCH [as 3.4] | OBSERVERINFO EPOCH | ACKEPOCH ZXID EPOCH|none | ACK ZXID
//!   PONG ZXID | REVALIDATE SESSION | REQUEST SESSION OP BYTES
//! as a leader:
//!   LEADERINFO EPOCH | DIFF ZXID | TRUNC ZXID | SNAP ZXID | NEWLEADER EPOCH | UPTODATE
//!   PROPOSAL ZXID PATH | COMMIT ZXID | INFORM ZXID PATH | SYNC
//! on an election port: hello [short] | looks|follows|leads|observes LEADER ZXID EPOCH ROUND
//! on either: raw HEX [election]
//! ```
//!
//! Zxids and sessions are in hexadecimal.

use menagerie_core::{
    election::wire::{Form, Hello, HelloForm, Notification, PeerState, Vote},
    id::{ServerId, SessionId, Zxid},
    io::Port,
    jute::Record,
    txn::{CreateTxn, Txn, TxnEntry, TxnHeader, TxnKind},
    zab::wire::{ForwardedRequest, FromLeader, FromLearner, LearnerInfo, PROTOCOL, Touched},
};

use super::number;
use crate::{
    speech,
    troupe::{Id, Troupe},
};

pub fn dials(troupe: &mut Troupe, from: Id, to: Id, port: Port) {
    troupe.link(from, to, port, None);
}

/// Says something on the newest link between two that the words can be said on.
pub fn says(troupe: &mut Troupe, from: Id, to: Id, said: &str) {
    let words: Vec<&str> = said.split_whitespace().collect();
    let (words, port) = match words.split_last() {
        Some((&"election", words)) => (words, Port::Election),
        _ => (&words[..], port_of(&words)),
    };
    let link = troupe.newest_link(from, to, port);
    let link = link.unwrap_or_else(|| panic!("no link from {from} to {to}"));
    let bytes = if port == Port::Election { vote(from, words) } else { packet(from, words) };
    troupe.send(link, &bytes);
}

fn port_of(words: &[&str]) -> Port {
    match words[0] {
        "hello" | "looks" | "follows" | "leads" | "observes" => Port::Election,
        _ => Port::Quorum,
    }
}

fn hex(text: &str) -> i64 {
    i64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text} is not in hexadecimal"))
}

fn zxid(text: &str) -> Zxid {
    Zxid(hex(text))
}

fn raw(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn begins(epoch: &str) -> Zxid {
    Zxid::new(number(epoch) as u32, 0)
}

fn packet(from: Id, words: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    if let ["raw", bytes] = words {
        return raw(bytes);
    }
    match learner(from, words) {
        Some(said) => said.encode(&mut out),
        None => leader(words, &mut out),
    }
    out
}

fn learner<'a>(from: Id, words: &[&'a str]) -> Option<FromLearner<'a>> {
    let info = |old: bool| LearnerInfo {
        sid: ServerId(from as i64),
        protocol: PROTOCOL,
        config_version: (!old).then_some(0),
    };
    Some(match *words {
        ["FOLLOWERINFO", epoch, ref how @ ..] => {
            let info = info(*how == ["as", "3.4"]);
            FromLearner::Info { accepted: begins(epoch), observer: false, info }
        }
        ["OBSERVERINFO", epoch] => {
            FromLearner::Info { accepted: begins(epoch), observer: true, info: info(false) }
        }
        ["ACKEPOCH", at, epoch] => {
            let current = (epoch != "none").then(|| number(epoch) as i32);
            FromLearner::AckEpoch { zxid: zxid(at), current }
        }
        ["ACK", at] => FromLearner::Ack { zxid: zxid(at) },
        ["PONG", at] => FromLearner::Ping { zxid: zxid(at), touched: Touched::of(&[]) },
        ["REVALIDATE", session] => {
            FromLearner::Revalidate { session: SessionId(hex(session)), timeout_ms: 8_000 }
        }
        ["REQUEST", session, op, body] => FromLearner::Request(ForwardedRequest {
            session: SessionId(hex(session)),
            cxid: 1,
            op: speech::number(op),
            body: body.as_bytes(),
            auth: None,
        }),
        _ => return None,
    })
}

fn leader(words: &[&str], out: &mut Vec<u8>) {
    let entry = |at: &str, path: &str| {
        let mut entry = Vec::new();
        create(zxid(at), path).encode(&mut entry);
        entry
    };
    match *words {
        ["LEADERINFO", epoch] => {
            FromLeader::LeaderInfo { zxid: begins(epoch), ours: false }.encode(out);
        }
        ["DIFF", at] => FromLeader::Diff { zxid: zxid(at) }.encode(out),
        ["TRUNC", at] => FromLeader::Trunc { zxid: zxid(at) }.encode(out),
        ["SNAP", at] => FromLeader::Snap { zxid: zxid(at) }.encode(out),
        ["NEWLEADER", epoch] => {
            FromLeader::NewLeader { zxid: begins(epoch), config: None }.encode(out);
        }
        ["UPTODATE"] => FromLeader::UpToDate.encode(out),
        ["PROPOSAL", at, path] => {
            FromLeader::Proposal { zxid: zxid(at), entry: &entry(at, path) }.encode(out);
        }
        ["INFORM", at, path] => {
            let entry = entry(at, path);
            FromLeader::Inform { zxid: zxid(at), entry: &entry, designated: None }.encode(out);
        }
        ["COMMIT", at] => FromLeader::Commit { zxid: zxid(at), designated: None }.encode(out),
        ["SYNC"] => FromLeader::Sync.encode(out),
        _ => panic!("nobody says {words:?}"),
    }
}

/// A transaction that creates a znode, of nobody's session.
fn create(zxid: Zxid, path: &str) -> TxnEntry<'_> {
    let txn = Txn::Create(CreateTxn {
        path: path.as_bytes(),
        data: Some(b""),
        acl: Some(vec![menagerie_core::proto::Acl::OPEN]),
        kind: TxnKind::Plain { ephemeral: false, create2: false },
        parent_cversion: -1,
    });
    let header = TxnHeader {
        session: SessionId(0x77),
        cxid: 1,
        zxid,
        time: 1_600_000_000_000,
        op: txn.op().code(),
    };
    TxnEntry { header, txn, digest: None }
}

fn vote(from: Id, words: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    let state = match words[0] {
        "raw" => return raw(words[1]),
        "hello" => {
            Hello { from: ServerId(from as i64), form: HelloForm::Short }.encode(&mut body);
            return body;
        }
        "looks" => PeerState::Looking,
        "follows" => PeerState::Following,
        "leads" => PeerState::Leading,
        _ => PeerState::Observing,
    };
    let [leader, at, epoch, round] = words[1..] else { panic!("{words:?} is no vote") };
    let vote = Vote {
        leader: ServerId(number(leader) as i64),
        zxid: zxid(at),
        epoch: number(epoch) as i64,
    };
    let form = Form::Config(b"version=0");
    Notification { state, vote, round: number(round) as i64, form }.encode(&mut body);
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}
