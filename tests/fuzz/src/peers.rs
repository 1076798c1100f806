// SPDX-License-Identifier: Apache-2.0
//! What another server might say, made of few bytes: well formed, and seldom true.

use menagerie_core::{
    election::wire::{Form, Hello, HelloForm, Notification, PeerState, Vote},
    id::{ServerId, SessionId, Zxid},
    jute::Record,
    proto::Acl,
    txn::{CreateTxn, Txn, TxnEntry, TxnHeader, TxnKind},
    zab::wire::{ForwardedRequest, FromLeader, FromLearner, LearnerInfo, PROTOCOL, Touched},
};

/// A hello of a 3.4 server.
pub fn hello(sid: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    Hello { from: ServerId(sid), form: HelloForm::Short }.encode(&mut bytes);
    bytes
}

fn part(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// A zxid near the beginning of an epoch near the beginning.
fn zxid(byte: u8) -> Zxid {
    match byte {
        255 => Zxid(-1),
        254 => Zxid(i64::MAX),
        253 => Zxid(i64::MIN),
        byte => Zxid::new(u32::from(byte / 16), u32::from(byte % 16)),
    }
}

/// A notification with its length.
pub fn notification(of: &[u8]) -> Vec<u8> {
    let state =
        [PeerState::Looking, PeerState::Following, PeerState::Leading, PeerState::Observing]
            [usize::from(part(of, 0) % 4)];
    let vote = Vote {
        leader: ServerId(i64::from(part(of, 1) % 6)),
        zxid: zxid(part(of, 2)),
        epoch: i64::from(part(of, 3)) - 1,
    };
    let round = match part(of, 4) {
        255 => i64::MAX,
        254 => i64::MIN,
        round => i64::from(round),
    };
    let form = match part(of, 5) {
        0 => Form::V28,
        1 => Form::V36,
        2 => Form::V40(1),
        _ => Form::Config(of.get(6..).unwrap_or_default()),
    };
    let mut body = Vec::new();
    Notification { state, vote, round, form }.encode(&mut body);
    let mut bytes = u32::try_from(body.len()).expect("it is short").to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// A packet of a learner.
pub fn of_learner(of: &[u8]) -> Vec<u8> {
    let (what, at, rest) = (part(of, 0), zxid(part(of, 1)), of.get(2..).unwrap_or_default());
    let accepted = Zxid::new(u32::from(part(of, 1)), 0);
    let mut touched = Vec::new();
    rest.iter().for_each(|n| Touched::put(SessionId(i64::from(*n)), 4_000, &mut touched));
    let said = match what % 8 {
        0 | 1 => FromLearner::Info {
            accepted,
            observer: part(rest, 1) % 4 == 3,
            info: LearnerInfo {
                sid: ServerId(i64::from(part(rest, 0) % 6)),
                protocol: PROTOCOL,
                config_version: (part(rest, 2) % 2 == 0).then_some(0),
            },
        },
        2 => {
            let current = rest.first().map(|epoch| i32::from(*epoch));
            FromLearner::AckEpoch { zxid: at, current }
        }
        3 | 4 => FromLearner::Ack { zxid: at },
        5 => FromLearner::Ping { zxid: at, touched: Touched::of(&touched) },
        6 => FromLearner::Request(ForwardedRequest {
            session: SessionId(i64::from(part(of, 1))),
            cxid: 1,
            op: i32::from(part(rest, 0).cast_signed()),
            body: rest.get(1..).unwrap_or_default(),
            auth: None,
        }),
        _ => FromLearner::Revalidate {
            session: SessionId(i64::from(part(of, 1))),
            timeout_ms: i32::from(part(rest, 0)) * 100,
        },
    };
    let mut bytes = Vec::new();
    said.encode(&mut bytes);
    bytes
}

/// A packet of a leader.
pub fn of_leader(of: &[u8]) -> Vec<u8> {
    let (what, at, rest) = (part(of, 0), zxid(part(of, 1)), of.get(2..).unwrap_or_default());
    let start = Zxid::new(u32::from(part(of, 1) % 16), 0);
    let designated = (part(rest, 0) == 99).then_some(ServerId(3));
    let entry = entry(at, rest);
    let said = match what % 16 {
        0 => FromLeader::LeaderInfo { zxid: start, ours: false },
        1 => FromLeader::Diff { zxid: at },
        2 => FromLeader::Trunc { zxid: at },
        3 => FromLeader::Snap { zxid: at },
        4 => FromLeader::NewLeader { zxid: start, config: None },
        5 => FromLeader::UpToDate,
        6..=9 => FromLeader::Proposal { zxid: at, entry: &entry },
        10 | 11 => FromLeader::Commit { zxid: at, designated },
        12 => FromLeader::Inform { zxid: at, entry: &entry, designated },
        13 => FromLeader::Ping { zxid: at },
        14 => FromLeader::Revalidated { session: SessionId(part(of, 1).into()), valid: true },
        _ => FromLeader::Sync,
    };
    let mut bytes = Vec::new();
    said.encode(&mut bytes);
    bytes
}

/// A transaction, or something else.
fn entry(zxid: Zxid, of: &[u8]) -> Vec<u8> {
    let path = [b'/', b'a' + part(of, 1) % 26];
    let txn = match part(of, 0) % 4 {
        0 => return of.to_vec(),
        1 => Txn::CreateSession { timeout_ms: 4_000 },
        2 => Txn::Delete { path: &path, container: false },
        _ => Txn::Create(CreateTxn {
            path: &path,
            data: Some(of),
            acl: Some(vec![Acl::OPEN]),
            kind: TxnKind::Plain { ephemeral: part(of, 2) % 2 == 1, create2: false },
            parent_cversion: -1,
        }),
    };
    let op = txn.op().code();
    let header = TxnHeader { session: SessionId(7), cxid: 1, zxid, time: 1, op };
    let mut bytes = Vec::new();
    TxnEntry { header, txn, digest: None }.encode(&mut bytes);
    bytes
}
