// SPDX-License-Identifier: Apache-2.0
//! What servers say on a quorum port: the frames, trees among them, do not depend on the cuts, what
//! is held is bounded by what came, and packets that read, write to as many bytes as they were read
//! from, and those read to the same again.
//!
//! Input: two bytes of the limit, one that says how to cut, one that says who speaks, then the
//! stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    io::Frame,
    jute::{Reader, Record},
    zab::{
        QuorumFramer,
        wire::{FromLeader, FromLearner, QuorumPacket},
    },
};
use menagerie_fuzz::{pieces, within};

/// A frame that owns its bytes; the pieces of a tree are one.
#[derive(Debug, PartialEq, Eq)]
enum Owned {
    Packet(Vec<u8>),
    Tree { bytes: Vec<u8>, last: bool },
    Nonsense(&'static str),
}

fuzz_target!(|input: &[u8]| {
    let [a, b, how, who, stream @ ..] = input else { return };
    let limit = u32::from(u16::from_be_bytes([*a, *b]));
    let leader = who % 2 == 0;
    let whole = cut(leader, limit, 0, stream);
    let mut pieces = cut(leader, limit, *how, stream);
    // Where a tree goes wrong, more or less of it came before.
    let broken = |frames: &[Owned]| matches!(frames, [.., Owned::Tree { .. }, Owned::Nonsense(_)]);
    if broken(&whole) || broken(&pieces) {
        pieces.truncate(whole.len().saturating_sub(2));
        assert_eq!(whole[..pieces.len()], pieces[..]);
    } else {
        assert_eq!(whole, pieces);
    }
    let size: usize = whole.iter().map(Owned::len).sum();
    assert!(size <= stream.len());
    for frame in &whole {
        match frame {
            Owned::Packet(bytes) => {
                assert!(bytes.len() <= limit as usize);
                packet(bytes);
            }
            Owned::Tree { .. } => assert!(leader, "a learner sends no tree"),
            Owned::Nonsense(why) => assert!(!why.is_empty()),
        }
    }
});

impl Owned {
    fn len(&self) -> usize {
        match self {
            Owned::Packet(bytes) | Owned::Tree { bytes, .. } => bytes.len(),
            Owned::Nonsense(_) => 0,
        }
    }
}

fn cut(leader: bool, limit: u32, how: u8, stream: &[u8]) -> Vec<Owned> {
    let new = if leader { QuorumFramer::of_leader } else { QuorumFramer::of_learner };
    // A vector that grows is held twice for a moment, the second time with room to spare.
    within(3 * stream.len() + 4096, || {
        let (mut framer, mut came) = (new(limit), 0);
        for piece in pieces(how, stream) {
            came += piece.len();
            framer.push(piece, |_| {});
            // The head of a packet is held whatever the limit is.
            assert!(framer.held() <= came.min(limit.max(16) as usize));
        }
    });
    let (mut framer, mut frames) = (new(limit), Vec::new());
    for piece in pieces(how, stream) {
        framer.push(piece, |frame| match (frame, frames.last_mut()) {
            (Frame::Tree { bytes: more, last }, Some(Owned::Tree { bytes, last: done }))
                if !*done =>
            {
                bytes.extend_from_slice(more);
                *done = last;
            }
            (Frame::Tree { bytes, last }, _) => {
                frames.push(Owned::Tree { bytes: bytes.into(), last });
            }
            (Frame::Packet(packet), _) => frames.push(Owned::Packet(packet.into())),
            (Frame::Broken { why }, _) => frames.push(Owned::Nonsense(why)),
            (other, _) => panic!("{other:?} on a quorum port"),
        });
    }
    frames
}

fn packet(bytes: &[u8]) {
    let mut r = Reader::new(bytes);
    // The smallest identity is 8 bytes, and a growing vector holds it thrice.
    let packet = within(24 * bytes.len() + 1024, || QuorumPacket::decode(&mut r));
    let packet = packet.expect("a framed packet is a whole record");
    assert!(r.is_empty(), "nothing stands behind it");
    let mut again = Vec::new();
    packet.encode(&mut again);
    assert_eq!(again.len(), bytes.len());
    assert_eq!(QuorumPacket::decode(&mut Reader::new(&again)), Ok(packet.clone()));
    if let Ok(said) = FromLeader::read(&packet) {
        let mut again = Vec::new();
        said.encode(&mut again);
        let read = QuorumPacket::decode(&mut Reader::new(&again)).expect("as we write it");
        assert_eq!(FromLeader::read(&read), Ok(said));
    }
    if let Ok(said) = FromLearner::read(packet) {
        let mut again = Vec::new();
        said.encode(&mut again);
        let read = QuorumPacket::decode(&mut Reader::new(&again)).expect("as we write it");
        assert_eq!(FromLearner::read(read), Ok(said));
    }
}
