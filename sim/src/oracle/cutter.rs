// SPDX-License-Identifier: Apache-2.0
//! Cuts a stream of length-prefixed frames, as a client's end does.

/// The bytes of a stream that no whole frame has taken yet.
#[derive(Clone, Debug, Default)]
pub struct Cutter {
    held: Vec<u8>,
}

impl Cutter {
    /// Takes bytes and gives each whole frame to `deliver`.
    pub fn push(&mut self, bytes: &[u8], mut deliver: impl FnMut(&[u8])) {
        if self.held.is_empty() {
            let rest = cut(bytes, &mut deliver);
            self.held.extend_from_slice(rest);
            return;
        }
        self.held.extend_from_slice(bytes);
        let left = cut(&self.held, &mut deliver).len();
        self.held.drain(..self.held.len() - left);
    }
}

fn cut<'a>(mut bytes: &'a [u8], deliver: &mut impl FnMut(&[u8])) -> &'a [u8] {
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some((frame, rest)) = rest.split_at_checked(len) else { break };
        deliver(frame);
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_whole_however_the_stream_is_cut() {
        let stream = b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01z";
        for step in 1..stream.len() {
            let (mut cutter, mut frames) = (Cutter::default(), Vec::new());
            for part in stream.chunks(step) {
                cutter.push(part, |frame| frames.push(frame.to_vec()));
            }
            assert_eq!(frames, [b"abc".to_vec(), Vec::new(), b"z".to_vec()], "step {step}");
        }
    }
}
