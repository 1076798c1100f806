// SPDX-License-Identifier: Apache-2.0
//! Cuts a server's byte stream into frames.

use alloc::vec::Vec;

/// The stream announced a frame that the client does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The part of a frame that has come so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    part: Vec<u8>,
}

impl Frames {
    /// Forgets the stream.
    pub(super) fn clear(&mut self) {
        self.part.clear();
    }

    /// The next frame of the stream that goes on with `bytes`, and how many of them it used: all,
    /// if it does not end there.
    ///
    /// A frame that came in one piece is handed on where it lies; one that was cut is put together
    /// in `whole`. Memory grows with what has come, never with what was announced.
    pub(super) fn next<'a>(
        &mut self,
        bytes: &'a [u8],
        whole: &'a mut Vec<u8>,
        limit: usize,
    ) -> Result<(Option<&'a [u8]>, usize), TooLong> {
        if self.part.is_empty()
            && let Some((head, rest)) = bytes.split_first_chunk()
        {
            let len = length(*head, limit)?;
            if let Some(frame) = rest.get(..len) {
                return Ok((Some(frame), 4 + len));
            }
        }
        let mut rest = bytes;
        self.fill(4, &mut rest);
        let Some(head) = self.part.first_chunk() else { return Ok((None, bytes.len())) };
        let len = length(*head, limit)?;
        self.fill(4 + len, &mut rest);
        let used = bytes.len() - rest.len();
        if self.part.len() < 4 + len {
            return Ok((None, used));
        }
        whole.clear();
        core::mem::swap(whole, &mut self.part);
        Ok((Some(&whole[4..]), used))
    }

    /// Takes from `bytes` until `part` has `len` bytes.
    fn fill(&mut self, len: usize, bytes: &mut &[u8]) {
        let missing = len.saturating_sub(self.part.len());
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.part.extend_from_slice(head);
        *bytes = rest;
    }
}

fn length(head: [u8; 4], limit: usize) -> Result<usize, TooLong> {
    let len = usize::try_from(i32::from_be_bytes(head)).map_err(|_| TooLong)?;
    if len > limit { Err(TooLong) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn frames_of(pieces: &[&[u8]], limit: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let mut whole = Vec::new();
                let (frame, used) = frames.next(rest, &mut whole, limit)?;
                rest = &rest[used..];
                let Some(frame) = frame else { break };
                found.push(frame.to_vec());
            }
            assert!(rest.is_empty());
        }
        Ok(found)
    }

    #[test]
    fn frames_are_the_same_wherever_the_stream_is_cut() {
        let stream = [0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 3, 3, 4, 5];
        let want = vec![vec![1, 2], vec![], vec![3, 4, 5]];
        for a in 0..stream.len() {
            for b in a..stream.len() {
                let pieces = [&stream[..a], &stream[a..b], &stream[b..]];
                assert_eq!(frames_of(&pieces, 3), Ok(want.clone()), "cut at {a} and {b}");
            }
        }
    }

    #[test]
    fn frames_beyond_the_limit_or_below_zero_end_the_stream() {
        assert_eq!(frames_of(&[&[0, 0, 0, 4]], 3), Err(TooLong));
        assert_eq!(frames_of(&[&[0xff], &[0xff, 0xff, 0xff]], 3), Err(TooLong));
        assert_eq!(frames_of(&[&[0, 0, 0, 3]], 3), Ok(vec![]));
    }
}
