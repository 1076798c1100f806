// SPDX-License-Identifier: Apache-2.0
//! The framing machine of the client port: cuts a byte stream into whole frames.
//!
//! The driver runs one beside each connection, so that the node only ever sees whole frames; the
//! simulator feeds it bytes cut at arbitrary places.
//!
//! ```text
//! First --word--> Done            First --length--> Body --whole--> Length --> Body ...
//!                                 Length --too long--> Skip --whole--> Length
//!                                 any --length that cannot be--> Done
//! ```

use alloc::vec::Vec;

use crate::io::Frame;

/// Packets up to this many times the limit are skipped and answered; beyond, the link is hung up.
pub const SKIPPED_UP_TO: u64 = 16;

/// How much of a skipped packet is kept: a request's xid and type.
const HEAD: usize = 8;

/// Four-letter words that are recognised before a handshake.
pub const WORDS: [[u8; 4]; 18] = [
    *b"conf", *b"cons", *b"crst", *b"dirs", *b"dump", *b"envi", *b"gtmk", *b"hash", *b"isro",
    *b"mntr", *b"ruok", *b"srst", *b"srvr", *b"stat", *b"stmk", *b"wchc", *b"wchp", *b"wchs",
];

/// Cuts the bytes of one client connection into frames.
#[derive(Clone, Debug)]
pub struct ClientFramer {
    limit: u32,
    state: State,
    /// The part of the current frame that has arrived, when it did not arrive whole.
    /// `held.len() <= limit`, and it grows only by what really came.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first length, where a word may stand instead.
    First,
    /// Before a length.
    Length,
    /// Inside a packet of `len` bytes.
    Body { len: usize },
    /// Inside the argument of `stmk`.
    Argument,
    /// Inside a packet that is too long; `left` bytes are still to come.
    Skip { len: u32, left: usize },
    /// Nothing that follows makes sense.
    Done,
}

impl ClientFramer {
    /// A framer for packets of at most `limit` bytes (`jute.maxbuffer`).
    pub fn new(limit: u32) -> ClientFramer {
        ClientFramer { limit, state: State::First, held: Vec::new() }
    }

    /// Bytes held back because their frame is not whole yet.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the next bytes of the stream and gives each frame that is whole now to `deliver`.
    pub fn push(&mut self, mut bytes: &[u8], mut deliver: impl FnMut(Frame<'_>)) {
        while let Some(rest) = self.advance(bytes, &mut deliver) {
            bytes = rest;
        }
    }

    /// One state's worth of bytes; `None` when more must come first.
    fn advance<'b>(
        &mut self,
        bytes: &'b [u8],
        deliver: &mut impl FnMut(Frame<'_>),
    ) -> Option<&'b [u8]> {
        match self.state {
            State::First | State::Length => {
                if self.held.is_empty()
                    && let Some((word, rest)) = bytes.split_first_chunk()
                {
                    self.length(*word, deliver);
                    return Some(rest);
                }
                let (word, rest) = self.gather(bytes, 4)?;
                let word = [word[0], word[1], word[2], word[3]];
                self.held.clear();
                self.length(word, deliver);
                Some(rest)
            }
            State::Body { len } => {
                if self.held.is_empty()
                    && let Some((frame, rest)) = bytes.split_at_checked(len)
                {
                    self.state = State::Length;
                    deliver(Frame::Packet(frame));
                    return Some(rest);
                }
                let (_, rest) = self.gather(bytes, len)?;
                self.state = State::Length;
                deliver(Frame::Packet(&self.held));
                self.release();
                Some(rest)
            }
            State::Argument => {
                let (argument, rest) = self.gather(bytes, 8)?;
                deliver(Frame::Packet(argument));
                self.state = State::Done;
                Some(rest)
            }
            State::Skip { len, left } => {
                let (skipped, rest) = bytes.split_at(left.min(bytes.len()));
                let keep = HEAD.saturating_sub(self.held.len()).min(skipped.len());
                self.held.extend_from_slice(&skipped[..keep]);
                if skipped.len() < left {
                    self.state = State::Skip { len, left: left - skipped.len() };
                    return None;
                }
                self.state = State::Length;
                deliver(Frame::Oversized { len, head: &self.held });
                self.release();
                Some(rest)
            }
            State::Done => None,
        }
    }

    /// The first `n` bytes of the current frame, held, once they are all there.
    fn gather<'b>(&mut self, bytes: &'b [u8], n: usize) -> Option<(&[u8], &'b [u8])> {
        let (head, rest) = bytes.split_at(n.saturating_sub(self.held.len()).min(bytes.len()));
        self.held.extend_from_slice(head);
        (self.held.len() == n).then_some((self.held.as_slice(), rest))
    }

    /// What the four bytes in a length's place announce.
    fn length(&mut self, word: [u8; 4], deliver: &mut impl FnMut(Frame<'_>)) {
        let first = self.state == State::First;
        if first && WORDS.contains(&word) {
            self.state = if word == *b"stmk" { State::Argument } else { State::Done };
            return deliver(Frame::Word(word));
        }
        let len = i32::from_be_bytes(word);
        self.state = match u32::try_from(len) {
            Ok(n) if n <= self.limit => State::Body { len: n as usize },
            Ok(n) if !first && u64::from(n) <= SKIPPED_UP_TO * u64::from(self.limit) => {
                State::Skip { len: n, left: n as usize }
            }
            _ => {
                deliver(Frame::Nonsense { len });
                State::Done
            }
        };
    }

    /// Lets go of the held bytes, and of their memory when it was a large frame's.
    fn release(&mut self) {
        if self.held.capacity() > 4096 {
            self.held = Vec::new();
        } else {
            self.held.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    /// Feeds `chunks` and writes down each frame.
    fn cut(limit: u32, chunks: &[&[u8]]) -> Vec<String> {
        let mut framer = ClientFramer::new(limit);
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk, |frame| frames.push(format!("{frame:?}")));
        }
        frames
    }

    #[test]
    fn packets_come_whole_however_they_were_cut() {
        let stream = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        let whole = cut(10, &[&stream]);
        assert_eq!(whole, ["Packet([7, 8])", "Packet([])", "Packet([9])"]);
        for at in 0..stream.len() {
            assert_eq!(cut(10, &[&stream[..at], &stream[at..]]), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(cut(10, &bytes), whole);
    }

    #[test]
    fn words_stand_only_in_front() {
        assert_eq!(cut(10, &[b"ru", b"okmntr"]), ["Word([114, 117, 111, 107])"]);
        assert_eq!(
            cut(10, &[b"\0\0\0\x01aruok"]),
            ["Packet([97])", "Nonsense { len: 1920298859 }"]
        );
        assert_eq!(cut(10, &[b"nope"]), ["Nonsense { len: 1852797029 }"]);
    }

    #[test]
    fn stmk_takes_its_argument() {
        assert_eq!(
            cut(10, &[b"stmk\0\0\0\0", b"\0\0\0\x05more"]),
            ["Word([115, 116, 109, 107])", "Packet([0, 0, 0, 0, 0, 0, 0, 5])"]
        );
    }

    #[test]
    fn oversized_packets_are_skipped_and_their_head_kept() {
        let mut stream = vec![0, 0, 0, 1, 1, 0, 0, 0, 160];
        stream.extend(0..160u8);
        stream.extend([0, 0, 0, 1, 5]);
        let frames = [
            "Packet([1])",
            "Oversized { len: 160, head: [0, 1, 2, 3, 4, 5, 6, 7] }",
            "Packet([5])",
        ];
        assert_eq!(cut(10, &[&stream]), frames);
        let bytes: Vec<&[u8]> = stream.chunks(3).collect();
        assert_eq!(cut(10, &bytes), frames);
    }

    #[test]
    fn lengths_that_cannot_be_end_the_stream() {
        let nonsense = |word: [u8; 4]| cut(10, &[&[0, 0, 0, 0], &word, &[0, 0, 0, 0]]);
        assert_eq!(nonsense([0xff; 4]), ["Packet([])", "Nonsense { len: -1 }"]);
        assert_eq!(nonsense([0, 0, 0, 161]), ["Packet([])", "Nonsense { len: 161 }"]);
        // What telnet sends to be let go, where a handshake or a word should stand.
        assert_eq!(cut(10, &[&[0xff, 0xf4, 0xff, 0xfd, 6]]), ["Nonsense { len: -720899 }"]);
        // The first packet is a handshake: one beyond the limit is not worth an answer.
        assert_eq!(cut(10, &[&[0, 0, 0, 11]]), ["Nonsense { len: 11 }"]);
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_give_the_same_frames(
            stream in prop::collection::vec(0u8..3, 0..200),
            at in 0usize..200,
        ) {
            let at = at.min(stream.len());
            prop_assert_eq!(cut(3, &[&stream[..at], &stream[at..]]), cut(3, &[&stream]));
        }
    }
}
