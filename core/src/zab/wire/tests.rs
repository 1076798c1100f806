// SPDX-License-Identifier: Apache-2.0
//! The quorum port against recorded bytes of Java ZooKeeper, and against arbitrary ones.

use alloc::{collections::BTreeSet, vec};

use proptest::prelude::*;

use super::*;
use crate::{
    hash::Keyed,
    io::Frame,
    log::{SnapshotReader, SnapshotSink},
    tree::Loader,
    txn::TxnEntry,
    zab::QuorumFramer,
};

const LIMIT: u32 = 1 << 20;

pub(in crate::zab) const FIXTURES: [(&str, &str); 23] = {
    macro_rules! fixtures {
        ($($name:literal,)*) => {
            [$((
                $name,
                include_str!(concat!("../../../../tests/fixtures/quorum-", $name, ".hex")),
            ),)*]
        };
    }
    fixtures![
        "diff-3.4.6-leader-3.4.6-joiner",
        "diff-3.4.6-leader-3.9.5-joiner",
        "diff-3.9.5-leader-3.4.6-joiner",
        "diff-3.9.5-leader-3.9.5-joiner",
        "diverged-3.4.6-leader-3.4.6-joiner",
        "diverged-3.4.6-leader-3.9.5-joiner",
        "diverged-3.9.5-leader-3.4.6-joiner",
        "diverged-3.9.5-leader-3.9.5-joiner",
        "empty-diff-3.4.6-leader-3.4.6-joiner",
        "empty-diff-3.4.6-leader-3.9.5-joiner",
        "empty-diff-3.9.5-leader-3.4.6-joiner",
        "empty-diff-3.9.5-leader-3.9.5-joiner",
        "observer-3.4.6-leader-3.9.5-observer",
        "observer-3.9.5-leader-3.4.6-observer",
        "observer-3.9.5-leader-3.9.5-observer",
        "snap-and-live-3.4.6-leader-3.4.6-joiner",
        "snap-and-live-3.4.6-leader-3.9.5-joiner",
        "snap-and-live-3.9.5-leader-3.4.6-joiner",
        "snap-and-live-3.9.5-leader-3.9.5-joiner",
        "trunc-3.4.6-leader-3.4.6-joiner",
        "trunc-3.4.6-leader-3.9.5-joiner",
        "trunc-3.9.5-leader-3.4.6-joiner",
        "trunc-3.9.5-leader-3.9.5-joiner",
    ]
};

/// The lines of a recording: whether a learner sent it, and the bytes.
pub(in crate::zab) fn lines(text: &str) -> impl Iterator<Item = (bool, Vec<u8>)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let hex = line[2..].split_whitespace().next().unwrap();
        (line.starts_with('>'), unhex(hex))
    })
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Loads a tree that was sent, and what of its sessions there is.
struct Loading {
    loader: Loader,
    sessions: usize,
}

impl SnapshotSink for Loading {
    fn session(&mut self, _: SessionId, _: i32) {
        self.sessions += 1;
    }

    fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        Ok((self.loader.feed(bytes).map_err(|_| Malformed)?, self.loader.is_done()))
    }
}

/// Reads a packet in full and writes it again.
fn rewrite(learner: bool, bytes: &[u8]) -> Vec<u8> {
    let packet = QuorumPacket::decode(&mut Reader::new(bytes)).expect("Java wrote it");
    let (mut raw, mut again) = (Vec::new(), Vec::new());
    packet.encode(&mut raw);
    assert_eq!(raw, bytes);
    if learner {
        FromLearner::read(packet).expect("a learner wrote it").encode(&mut again);
    } else {
        let said = FromLeader::read(&packet).expect("a leader wrote it");
        said.encode(&mut again);
        if let FromLeader::Proposal { zxid, entry } | FromLeader::Inform { zxid, entry, .. } = said
        {
            let txn = TxnEntry::decode(&mut Reader::new(entry)).expect("Java wrote it");
            assert_eq!(txn.header.zxid, zxid);
        }
    }
    again
}

/// Cuts one direction of a recording into frames and puts these together again.
fn reframe(learner: bool, stream: &[u8], piece: usize, kinds: &mut BTreeSet<i32>) -> Vec<u8> {
    let framer = if learner { QuorumFramer::of_learner } else { QuorumFramer::of_leader };
    let mut framer = framer(LIMIT);
    let mut again = Vec::new();
    let mut reader = SnapshotReader::of_stream();
    let mut loading = Loading { loader: Loader::new(Keyed::new((1, 2))), sessions: 0 };
    for piece in stream.chunks(piece) {
        framer.push(piece, |frame| match frame {
            Frame::Packet(bytes) => {
                kinds.insert(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
                again.extend(rewrite(learner, bytes));
            }
            Frame::Tree { bytes, last } => {
                assert_eq!(reader.push(bytes, &mut loading), Ok(bytes.len()));
                assert_eq!(reader.is_done(), last);
                again.extend_from_slice(bytes);
            }
            other => panic!("Java wrote it, yet {other:?}"),
        });
    }
    if reader.is_done() {
        let tree = loading.loader.finish().expect("the tree was whole");
        assert!(tree.node_count() > 4, "{} znodes", tree.node_count());
        assert!(loading.sessions > 0);
    }
    again
}

#[test]
fn recorded_streams_read_and_write_back_the_same_however_they_are_cut() {
    let mut kinds = [BTreeSet::new(), BTreeSet::new()];
    for (name, text) in FIXTURES {
        for learner in [false, true] {
            let stream: Vec<u8> = lines(text)
                .filter(|(from_learner, _)| *from_learner == learner)
                .flat_map(|(_, bytes)| bytes)
                .collect();
            for piece in [usize::MAX, 4096, 1000, 19, 3, 1] {
                let again = reframe(learner, &stream, piece, &mut kinds[usize::from(learner)]);
                assert!(again == stream, "{name}, learner: {learner}, pieces of {piece}");
            }
        }
    }
    // Everything but what only a reconfiguration sends.
    let seen: Vec<i32> = kinds[0].iter().copied().collect();
    assert_eq!(seen, [2, 4, 5, 6, 7, 8, 10, 12, 13, 14, 15, 17]);
    let seen: Vec<i32> = kinds[1].iter().copied().collect();
    assert_eq!(seen, [1, 3, 5, 6, 11, 16, 18]);
}

#[test]
fn the_recorded_peers_say_what_was_noted() {
    let (_, text) = FIXTURES
        .iter()
        .find(|(name, _)| *name == "snap-and-live-3.9.5-leader-3.4.6-joiner")
        .unwrap();
    let said: Vec<_> = lines(text).collect();
    let learner = |at: usize| {
        let packet = QuorumPacket::decode(&mut Reader::new(&said[at].1)).unwrap();
        FromLearner::read(packet).unwrap()
    };
    let info = LearnerInfo { sid: ServerId(3), protocol: PROTOCOL, config_version: None };
    let accepted = Zxid::ZERO;
    assert_eq!(learner(0), FromLearner::Info { accepted, observer: false, info });
    assert_eq!(learner(2), FromLearner::AckEpoch { zxid: Zxid::ZERO, current: Some(0) });
    let FromLearner::Request(request) = learner(13) else { panic!("a REQUEST stands there") };
    assert_eq!((request.cxid, request.op), (1, 1));
    let who = [Identity { scheme: b"ip", id: b"127.0.0.1" }];
    assert_eq!(request.auth.as_deref(), Some(&who[..]));
}

#[test]
fn a_leader_of_ours_says_so_where_java_does_not_look() {
    let zxid = Zxid::new(5, 0);
    let mut java = Vec::new();
    FromLeader::LeaderInfo { zxid, ours: false }.encode(&mut java);
    let mut own = Vec::new();
    FromLeader::LeaderInfo { zxid, ours: true }.encode(&mut own);
    fn said(bytes: &[u8]) -> (&[u8], FromLeader<'_>) {
        let packet = QuorumPacket::decode(&mut Reader::new(bytes)).expect("a packet");
        (packet.data.expect("data"), FromLeader::read(&packet).expect("a leader's"))
    }
    let (data, read) = said(&java);
    assert_eq!((data, read), (&[0, 1, 0, 0][..], FromLeader::LeaderInfo { zxid, ours: false }));
    let (data, read) = said(&own);
    assert_eq!((&data[..4], &data[4..]), (&[0, 1, 0, 0][..], &b"Menagerie"[..]));
    assert_eq!(read, FromLeader::LeaderInfo { zxid, ours: true });
}

#[test]
fn reconfigurations_name_who_is_to_lead() {
    let zxid = Zxid::new(7, 3);
    for said in [
        FromLeader::Commit { zxid, designated: Some(ServerId(2)) },
        FromLeader::Inform { zxid, entry: b"an entry", designated: Some(ServerId(2)) },
    ] {
        let mut bytes = Vec::new();
        said.encode(&mut bytes);
        let packet = QuorumPacket::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(packet.data.unwrap()[..8], [0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(FromLeader::read(&packet), Ok(said));
    }
}

#[test]
fn sessions_travel_with_a_ping() {
    let mut bytes = Vec::new();
    Touched::put(SessionId(5), 4000, &mut bytes);
    Touched::put(SessionId(-1), 6000, &mut bytes);
    bytes.push(9);
    let sessions: Vec<_> = Touched::of(&bytes).iter().collect();
    assert_eq!(sessions, [(SessionId(5), 4000), (SessionId(-1), 6000)]);
}

#[test]
fn packets_without_their_data_are_malformed() {
    for kind in 0..25 {
        let packet = QuorumPacket::new(kind, Zxid(1), None);
        let bare = [kind::DIFF, kind::TRUNC, kind::SNAP, kind::NEWLEADER, kind::UPTODATE];
        let bare = bare.contains(&kind) || [kind::COMMIT, kind::PING, kind::SYNC].contains(&kind);
        assert_eq!(FromLeader::read(&packet).is_ok(), bare, "type {kind} of a leader");
        let bare = [kind::ACK, kind::PING].contains(&kind);
        assert_eq!(FromLearner::read(packet).is_ok(), bare, "type {kind} of a learner");
    }
    let old = QuorumPacket::new(kind::LEADERINFO, Zxid(1), Some(&[0, 0, 0, 1]));
    assert_eq!(FromLeader::read(&old), Err(Malformed), "before ZAB 1.0");
}

proptest! {
    #[test]
    fn any_packet_is_read_or_refused(
        kind in 0i32..25,
        zxid: i64,
        data in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        auth in prop::option::of(Just(vec![Identity { scheme: b"s", id: b"" }])),
    ) {
        let packet = QuorumPacket { kind, zxid: Zxid(zxid), data: data.as_deref(), auth };
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        let mut r = Reader::new(&bytes);
        let read = QuorumPacket::decode(&mut r).unwrap();
        prop_assert!(r.is_empty());
        prop_assert_eq!(&read, &packet);
        let mut again = Vec::new();
        if let Ok(said) = FromLeader::read(&read) {
            said.encode(&mut again);
            let packet = QuorumPacket::decode(&mut Reader::new(&again)).unwrap();
            prop_assert_eq!(FromLeader::read(&packet), Ok(said));
        }
        again.clear();
        if let Ok(said) = FromLearner::read(read) {
            said.encode(&mut again);
            let packet = QuorumPacket::decode(&mut Reader::new(&again)).unwrap();
            prop_assert_eq!(FromLearner::read(packet), Ok(said));
        }
    }
}
