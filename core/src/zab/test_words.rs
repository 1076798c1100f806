// SPDX-License-Identifier: Apache-2.0
//! What the tests of both machines share: entries of a log, and effects in words.

use alloc::{format, string::String, vec::Vec};

use proptest::prelude::*;

use super::wire::{FromLeader, FromLearner, QuorumPacket};
use crate::{
    id::Zxid,
    io::{Effect, Effects},
    jute::{Reader, Record, Write},
};

/// Any packet, with zxids that may fit.
pub(super) fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let zxid = prop_oneof![
        8 => (3u32..7, 0u32..4).prop_map(|(epoch, counter)| Zxid::new(epoch, counter)),
        1 => prop_oneof![Just(-1), Just(i64::MAX), Just(i64::MIN), Just(-1 << 32)].prop_map(Zxid),
    ];
    let data = prop_oneof![
        2 => Just(None),
        4 => (3u32..7, 0u32..4).prop_map(|(epoch, n)| Some(entry(Zxid::new(epoch, n)))),
        2 => prop::collection::vec(any::<u8>(), 0..30).prop_map(Some),
        2 => Just(Some(Vec::from([0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0]))),
        1 => Just(Some(Vec::from([0, 1, 0, 0]))),
    ];
    (0..22, zxid, data).prop_map(|(kind, zxid, data)| {
        let mut bytes = Vec::new();
        QuorumPacket { kind, zxid, data: data.as_deref(), auth: None }.encode(&mut bytes);
        bytes
    })
}

/// Defines policies that have one bug each.
macro_rules! bugs {
    ($($name:ident),*) => {$(
        #[derive(Clone, Copy, Debug, Default)]
        struct $name;

        impl crate::zoo::Zoo for $name {
            fn has(self, mutation: crate::zoo::Mutation) -> bool {
                mutation == crate::zoo::Mutation::$name
            }
        }
    )*};
}
pub(super) use bugs;

/// A log entry: a write that failed.
pub(super) fn entry(zxid: Zxid) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_long(0x77);
    out.put_int(1);
    out.put_long(zxid.0);
    out.put_long(1000);
    out.put_int(-1);
    out.put_int(-101);
    out
}

/// A packet of a leader.
pub(super) fn from_leader(said: &FromLeader<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    said.encode(&mut out);
    out
}

/// A packet of a learner.
pub(super) fn from_learner(said: &FromLearner<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    said.encode(&mut out);
    out
}

/// Each packet in some bytes.
pub(super) fn packets(bytes: &[u8]) -> Vec<QuorumPacket<'_>> {
    let mut reader = Reader::new(bytes);
    let mut found = Vec::new();
    while !reader.is_empty() {
        found.push(QuorumPacket::decode(&mut reader).expect("a whole packet"));
    }
    found
}

/// What a learner said, in words.
pub(super) fn learner_words(packet: QuorumPacket<'_>) -> String {
    match FromLearner::read(packet).expect("a learner's") {
        FromLearner::Info { accepted, observer, .. } => {
            format!("{} {accepted}", if observer { "OBSERVERINFO" } else { "FOLLOWERINFO" })
        }
        FromLearner::AckEpoch { zxid, current } => format!("ACKEPOCH {zxid} {current:?}"),
        FromLearner::Ack { zxid } => format!("ACK {zxid}"),
        FromLearner::Ping { zxid, touched } => format!("PING {zxid} {}", touched.iter().count()),
        FromLearner::Request(request) => format!("REQUEST {} {}", request.session, request.cxid),
        FromLearner::Revalidate { session, .. } => format!("REVALIDATE {session}"),
    }
}

/// What a leader said, in words.
pub(super) fn leader_words(packet: &QuorumPacket<'_>) -> String {
    let said = FromLeader::read(packet).expect("a leader's");
    match said {
        FromLeader::UpToDate | FromLeader::Sync => said.name().into(),
        FromLeader::Commit { designated: Some(_), .. } => {
            format!("COMMITANDACTIVATE {}", packet.zxid)
        }
        FromLeader::Revalidated { session, valid } => format!("REVALIDATE {session} {valid}"),
        _ => format!("{} {}", said.name(), packet.zxid),
    }
}

/// Effects in words, and forgotten; `say` has what was sent over each link.
pub(super) fn effects(
    fx: &mut Effects,
    mut say: impl FnMut(u64, &[u8], &mut Vec<String>),
) -> Vec<String> {
    let mut words = Vec::new();
    for effect in fx.take_list() {
        match effect {
            Effect::Send { link, bytes } => say(link.0, &fx.bytes()[bytes], &mut words),
            Effect::HangUp { link } => words.push(format!("{}: hang up", link.0)),
            Effect::Pause { link } => words.push(format!("{}: pause", link.0)),
            Effect::Resume { link } => words.push(format!("{}: resume", link.0)),
            other => panic!("{other:?} is not a word of broadcast"),
        }
    }
    fx.clear();
    words
}
