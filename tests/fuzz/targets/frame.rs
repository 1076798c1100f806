// SPDX-License-Identifier: Apache-2.0
//! The framing machine of the client port: any bytes, cut anywhere, give the frames that a naive
//! reader of the whole stream finds, and what is held back is bounded by what came.
//!
//! Input: two bytes of `jute.maxbuffer`, one that says how to cut, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    frame::{ClientFramer, SKIPPED_UP_TO, WORDS},
    io::Frame,
};
use menagerie_fuzz::{pieces, within};

/// A frame that owns its bytes.
#[derive(Debug, PartialEq, Eq)]
enum Owned {
    Packet(Vec<u8>),
    Word([u8; 4]),
    Oversized(u32, Vec<u8>),
    Nonsense(i32),
}

fuzz_target!(|input: &[u8]| {
    let [a, b, how, stream @ ..] = input else { return };
    let limit = u32::from(u16::from_be_bytes([*a, *b]));
    let expected = naive(limit, stream);
    assert_eq!(cut(limit, 0, stream), expected, "in one piece");
    assert_eq!(cut(limit, *how, stream), expected, "in pieces");
    // A vector that grows is held twice for a moment, the second time with room to spare.
    within(3 * stream.len() + 64, || {
        let mut framer = ClientFramer::new(limit);
        let mut came = 0;
        for piece in pieces(*how, stream) {
            came += piece.len();
            framer.push(piece, |_| {});
            assert!(framer.held() <= came.min(limit.max(8) as usize));
        }
    });
});

fn cut(limit: u32, how: u8, stream: &[u8]) -> Vec<Owned> {
    let mut framer = ClientFramer::new(limit);
    let mut frames = Vec::new();
    for piece in pieces(how, stream) {
        framer.push(piece, |frame| {
            frames.push(match frame {
                Frame::Packet(packet) => Owned::Packet(packet.into()),
                Frame::Word(word) => Owned::Word(word),
                Frame::Oversized { len, head } => Owned::Oversized(len, head.into()),
                Frame::Nonsense { len } => Owned::Nonsense(len),
                Frame::Tree { .. } | Frame::Broken { .. } => unreachable!("no client's frame"),
            });
        });
    }
    frames
}

/// The same from the whole stream, without a state.
fn naive(limit: u32, stream: &[u8]) -> Vec<Owned> {
    let (mut frames, mut rest) = (Vec::new(), stream);
    while let Some((word, body)) = rest.split_first_chunk::<4>() {
        let first = rest.len() == stream.len();
        if first && WORDS.contains(word) {
            frames.push(Owned::Word(*word));
            if word == b"stmk"
                && let Some(mask) = body.get(..8)
            {
                frames.push(Owned::Packet(mask.into()));
            }
            return frames;
        }
        let len = i32::from_be_bytes(*word);
        let longest = if first { u64::from(limit) } else { SKIPPED_UP_TO * u64::from(limit) };
        let Some(len) = u32::try_from(len).ok().filter(|len| u64::from(*len) <= longest) else {
            frames.push(Owned::Nonsense(len));
            return frames;
        };
        let Some((packet, behind)) = body.split_at_checked(len as usize) else { return frames };
        frames.push(if len <= limit {
            Owned::Packet(packet.into())
        } else {
            Owned::Oversized(len, packet[..packet.len().min(8)].into())
        });
        rest = behind;
    }
    frames
}
