// SPDX-License-Identifier: Apache-2.0
//! The framing machine of the election port: a hello from the end that dialled, then frames.
//!
//! The driver runs one beside each link; the simulator feeds it bytes cut at arbitrary places. It
//! cuts and does not judge: a hello that cannot be is delivered as far as it makes sense, for
//! [`Hello::decode`] to name what is wrong with it.
//!
//! ```text
//! Hello --whole--> Length --1 to 512 KiB--> Body --whole--> Length ...
//!     `--that cannot be--> Done    `--any other--> Done
//! ```

use alloc::vec::Vec;

use super::wire::{Hello, MAX_NOTIFICATION};
use crate::io::Frame;

/// Cuts the bytes of one election link into frames.
#[derive(Clone, Debug)]
pub struct ElectionFramer {
    state: State,
    /// The part of the current frame that has arrived; it grows only by what really came.
    /// `held.len() <= MAX_NOTIFICATION`
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Hello,
    Length,
    Body { len: usize },
    Done,
}

impl ElectionFramer {
    /// A framer for a link that this server accepted: the other end begins with its hello.
    pub fn accepted() -> ElectionFramer {
        ElectionFramer { state: State::Hello, held: Vec::new() }
    }

    /// A framer for a link that this server dialled: the other end says no hello.
    pub fn dialled() -> ElectionFramer {
        ElectionFramer { state: State::Length, held: Vec::new() }
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

    /// One frame's or length's worth of bytes; `None` when more must come first.
    fn advance<'b>(
        &mut self,
        bytes: &'b [u8],
        deliver: &mut impl FnMut(Frame<'_>),
    ) -> Option<&'b [u8]> {
        let len = match self.state {
            State::Hello => match Hello::length(&self.held) {
                Some(len) => len,
                None if self.held.len() < 8 => 8,
                None => 20,
            },
            State::Length => 4,
            State::Body { len } => len,
            State::Done => return None,
        };
        let (head, rest) = bytes.split_at(len.saturating_sub(self.held.len()).min(bytes.len()));
        self.held.extend_from_slice(head);
        if self.held.len() < len {
            return None;
        }
        match self.state {
            State::Hello if Hello::length(&self.held) != Some(len) => return Some(rest),
            State::Hello => {
                self.state = match Hello::decode(&self.held) {
                    Ok(_) => State::Length,
                    Err(_) => State::Done,
                };
                deliver(Frame::Packet(&self.held));
            }
            State::Length => self.length(deliver),
            State::Body { .. } => {
                self.state = State::Length;
                deliver(Frame::Packet(&self.held));
            }
            State::Done => {}
        }
        self.release();
        Some(rest)
    }

    fn length(&mut self, deliver: &mut impl FnMut(Frame<'_>)) {
        let len = i32::from_be_bytes(*self.held.first_chunk().expect("four bytes were held"));
        self.state = match usize::try_from(len) {
            Ok(len) if (1..=MAX_NOTIFICATION).contains(&len) => State::Body { len },
            _ => {
                deliver(Frame::Nonsense { len });
                State::Done
            }
        };
    }

    /// Lets go of the held bytes, and of their memory when it was a large frame's.
    fn release(&mut self) {
        if self.held.capacity() > 4_096 {
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

    fn cut(mut framer: ElectionFramer, chunks: &[&[u8]]) -> Vec<String> {
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk, |frame| frames.push(format!("{frame:?}")));
        }
        frames
    }

    fn long(len: i32, text: &[u8]) -> Vec<u8> {
        let head = [(-65_536i64).to_be_bytes(), 3i64.to_be_bytes()].concat();
        [head.as_slice(), &len.to_be_bytes(), text].concat()
    }

    #[test]
    fn a_hello_and_frames_come_whole_however_they_were_cut() {
        for hello in [3i64.to_be_bytes().to_vec(), long(3, b"a:1"), long(0, b"")] {
            let stream = [hello.clone(), vec![0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]].concat();
            let whole = [
                format!("Packet({hello:?})"),
                String::from("Packet([7, 8])"),
                String::from("Packet([9])"),
            ];
            for at in 0..stream.len() {
                let (a, b) = stream.split_at(at);
                assert_eq!(cut(ElectionFramer::accepted(), &[a, b]), whole, "cut at {at}");
            }
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(cut(ElectionFramer::accepted(), &bytes), whole);
        }
    }

    #[test]
    fn a_dialled_link_begins_with_frames() {
        assert_eq!(cut(ElectionFramer::dialled(), &[&[0, 0, 0, 1, 9]]), ["Packet([9])"]);
    }

    #[test]
    fn a_hello_that_cannot_be_ends_the_stream() {
        let strange = (-7i64).to_be_bytes();
        let frames = cut(ElectionFramer::accepted(), &[&strange, &[0, 0, 0, 1, 9]]);
        assert_eq!(frames, [format!("Packet({strange:?})")]);
        for len in [-1, 2_049, i32::MAX] {
            let head = long(len, b"");
            let frames = cut(ElectionFramer::accepted(), &[&head, &[0, 0, 0, 1, 9]]);
            assert_eq!(frames, [format!("Packet({head:?})")]);
        }
    }

    #[test]
    fn lengths_that_cannot_be_end_the_stream() {
        for len in [0, -1, 524_289, i32::MIN] {
            let frames =
                cut(ElectionFramer::dialled(), &[&i32::to_be_bytes(len), &[0, 0, 0, 1, 9]]);
            assert_eq!(frames, [format!("Nonsense {{ len: {len} }}")]);
        }
        let mut framer = ElectionFramer::dialled();
        framer.push(&524_288i32.to_be_bytes(), |_| panic!("nothing is whole"));
        assert_eq!(framer.held(), 0, "an announcement allocates nothing");
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_give_the_same_frames(
            hello in any::<bool>(),
            stream in prop::collection::vec(0u8..4, 0..200),
            at in 0usize..200,
        ) {
            let at = at.min(stream.len());
            let fresh = || match hello {
                true => ElectionFramer::accepted(),
                false => ElectionFramer::dialled(),
            };
            prop_assert_eq!(
                cut(fresh(), &[&stream[..at], &stream[at..]]),
                cut(fresh(), &[&stream])
            );
        }
    }
}
