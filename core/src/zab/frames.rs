// SPDX-License-Identifier: Apache-2.0
//! The framing machine of the quorum port: packets end where their fields say, and behind a SNAP
//! stands a whole tree that no length announces.
//!
//! ```text
//! Head --> Count --> Field --> Field ... --> whole packet --> Head
//!                                            SNAP, from a leader --> tree --signature--> Head
//! anything beyond the limit, or that cannot be --> Done
//! ```
//!
//! As for clients, the driver runs one beside each connection. Of a tree it keeps nothing but its
//! place: the pieces go on as they come.

use alloc::vec::Vec;

use super::wire::kind;
use crate::{
    id::SessionId,
    io::Frame,
    jute::Malformed,
    log::{SnapshotFault, SnapshotReader, SnapshotSink, TreeExtent},
};

/// Cuts the bytes that come from one peer into frames.
#[derive(Clone)]
pub struct QuorumFramer {
    /// No packet, and no string or buffer of a tree, may have more bytes.
    limit: usize,
    /// Whether the peer is a leader: only its SNAP is followed by a tree.
    leader: bool,
    state: State,
    /// The part of the current packet that has arrived, when it did not arrive whole. It grows
    /// only by what really came, up to the limit.
    held: Vec<u8>,
}

#[derive(Clone)]
enum State {
    Packet(Scan),
    Tree(SnapshotReader, Extent),
    Done,
}

/// How far the fields of a packet were followed.
#[derive(Clone, Copy, Debug)]
struct Scan {
    /// This many bytes of the packet must be there to go on.
    end: usize,
    field: Field,
}

/// What the 4 bytes before [`Scan::end`] are.
#[derive(Clone, Copy, Debug)]
enum Field {
    /// The length of the data.
    Data,
    /// How many identities there are.
    Count,
    /// The length of a string, of which so many are left with it.
    String { left: u64 },
    /// The end of the packet.
    Last,
}

/// Follows a tree, keeping nothing.
#[derive(Clone)]
struct Extent(TreeExtent);

impl SnapshotSink for Extent {
    fn session(&mut self, _: SessionId, _: i32) {}

    fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        Ok((self.0.feed(bytes)?, self.0.is_done()))
    }
}

impl QuorumFramer {
    /// A framer for what a leader sends, in packets of at most `limit` bytes.
    pub fn of_leader(limit: u32) -> QuorumFramer {
        QuorumFramer::new(limit, true)
    }

    /// A framer for what a learner sends, in packets of at most `limit` bytes.
    pub fn of_learner(limit: u32) -> QuorumFramer {
        QuorumFramer::new(limit, false)
    }

    fn new(limit: u32, leader: bool) -> QuorumFramer {
        let state = State::Packet(Scan::START);
        QuorumFramer { limit: limit as usize, leader, state, held: Vec::new() }
    }

    /// Bytes held back because their packet is not whole yet.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the next bytes of the stream and gives each frame that is whole now to `deliver`:
    /// a [`Frame::Packet`], a [`Frame::Tree`] or a [`Frame::Broken`].
    pub fn push(&mut self, mut bytes: &[u8], mut deliver: impl FnMut(Frame<'_>)) {
        while !bytes.is_empty() {
            let advanced = match &mut self.state {
                State::Packet(_) => self.packet(bytes, &mut deliver),
                State::Tree(..) => self.tree(bytes, &mut deliver),
                State::Done => return,
            };
            match advanced {
                Ok(taken) => bytes = &bytes[taken..],
                Err(why) => {
                    deliver(Frame::Broken { why });
                    self.state = State::Done;
                    self.held = Vec::new();
                }
            }
        }
    }

    /// Takes bytes of a packet, at most up to its end; gives back how many.
    fn packet(
        &mut self,
        bytes: &[u8],
        deliver: &mut impl FnMut(Frame<'_>),
    ) -> Result<usize, &'static str> {
        let State::Packet(scan) = &mut self.state else { return Ok(0) };
        if self.held.is_empty() {
            if scan.follow(bytes, self.limit)? {
                let packet = &bytes[..scan.end];
                deliver(Frame::Packet(packet));
                self.state = self.after(packet);
                return Ok(packet.len());
            }
            self.held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let taken = bytes.len().min(scan.end - self.held.len());
        self.held.extend_from_slice(&bytes[..taken]);
        if scan.follow(&self.held, self.limit)? {
            let packet = core::mem::take(&mut self.held);
            deliver(Frame::Packet(&packet));
            self.state = self.after(&packet);
            self.keep(packet);
        }
        Ok(taken)
    }

    /// What follows a packet.
    fn after(&self, packet: &[u8]) -> State {
        if self.leader && packet.starts_with(&kind::SNAP.to_be_bytes()) {
            let extent = TreeExtent::new(self.limit as u32);
            return State::Tree(SnapshotReader::of_stream(), Extent(extent));
        }
        State::Packet(Scan::START)
    }

    /// Keeps the memory of a small packet for the next.
    fn keep(&mut self, mut packet: Vec<u8>) {
        if packet.capacity() <= 4096 {
            packet.clear();
            self.held = packet;
        }
    }

    /// Takes bytes of a tree, at most up to its end; gives back how many.
    fn tree(
        &mut self,
        bytes: &[u8],
        deliver: &mut impl FnMut(Frame<'_>),
    ) -> Result<usize, &'static str> {
        let State::Tree(reader, extent) = &mut self.state else { return Ok(0) };
        let taken = reader.push(bytes, extent).map_err(SnapshotFault::words)?;
        let last = reader.is_done();
        deliver(Frame::Tree { bytes: &bytes[..taken], last });
        if last {
            self.state = State::Packet(Scan::START);
        }
        Ok(taken)
    }
}

impl Scan {
    /// Before a packet: the type, the zxid and the data's length.
    const START: Scan = Scan { end: 16, field: Field::Data };

    /// Goes on with the packet that begins `bytes`, as far as they go: whether it is whole, in
    /// which case it ends at [`Scan::end`].
    fn follow(&mut self, bytes: &[u8], limit: usize) -> Result<bool, &'static str> {
        while bytes.len() >= self.end {
            let number = || {
                let field = &bytes[self.end - 4..self.end];
                i32::from_be_bytes([field[0], field[1], field[2], field[3]])
            };
            self.field = match self.field {
                Field::Last => return Ok(true),
                Field::Data => {
                    self.end = pass(self.end, number(), 4, limit)?;
                    Field::Count
                }
                Field::Count => match number() {
                    -1 | 0 => Field::Last,
                    n => {
                        let left = u64::try_from(n).map_err(|_| NEGATIVE)? * 2;
                        self.end = pass(self.end, 0, 4, limit)?;
                        Field::String { left }
                    }
                },
                Field::String { left: 1 } => {
                    self.end = pass(self.end, number(), 0, limit)?;
                    Field::Last
                }
                Field::String { left } => {
                    self.end = pass(self.end, number(), 4, limit)?;
                    Field::String { left: left - 1 }
                }
            };
        }
        Ok(false)
    }
}

const NEGATIVE: &str = "a length in it is negative";
const TOO_LONG: &str = "a packet in it is longer than jute.maxbuffer allows";

/// Where the field of `field` bytes ends that follows one of `len` bytes (-1 for null) at `at`.
fn pass(at: usize, len: i32, field: usize, limit: usize) -> Result<usize, &'static str> {
    let len = match len {
        -1 => 0,
        len => usize::try_from(len).map_err(|_| NEGATIVE)?,
    };
    let end = at + len + field;
    if end > limit { Err(TOO_LONG) } else { Ok(end) }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec};

    use proptest::prelude::*;

    use super::*;

    /// Feeds `chunks` and writes down each frame, the pieces of a tree as one.
    fn cut(mut framer: QuorumFramer, chunks: &[&[u8]]) -> Vec<String> {
        let (mut frames, mut tree) = (Vec::new(), Vec::new());
        for chunk in chunks {
            framer.push(chunk, |frame| match frame {
                Frame::Tree { bytes, last } => {
                    tree.extend_from_slice(bytes);
                    if last {
                        frames.push(format!("Tree({:?})", core::mem::take(&mut tree)));
                    }
                }
                frame => frames.push(format!("{frame:?}")),
            });
        }
        frames
    }

    fn nonsense(stream: &[u8]) -> Vec<String> {
        cut(QuorumFramer::of_leader(40), &[stream])
    }

    const COMMIT: [u8; 20] = [0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 9, 255, 255, 255, 255, 0, 0, 0, 0];
    /// A SNAP, the smallest of trees, the signature and a COMMIT.
    const SNAP: &[u8] = b"\0\0\0\x0f\0\0\0\0\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\
        \0\0\0\x01SESSION1\0\0\x10\0\0\0\0\0\0\0\0\x01/\0\0\0\x0aBenWasHere\
        \0\0\0\x04\0\0\0\x01\0\0\0\x09\xff\xff\xff\xff\0\0\0\0";

    #[test]
    fn a_tree_stands_outside_of_any_packet_and_ends_by_itself() {
        let whole = cut(QuorumFramer::of_leader(40), &[SNAP]);
        assert_eq!(whole.len(), 3, "{whole:?}");
        assert!(whole[1].starts_with("Tree([0, 0, 0, 1, 83,"), "{}", whole[1]);
        assert!(whole[1].ends_with("101])"), "with its signature: {}", whole[1]);
        assert_eq!(whole[2], format!("Packet({COMMIT:?})"));
        for at in 0..SNAP.len() {
            let halves = [&SNAP[..at], &SNAP[at..]];
            assert_eq!(cut(QuorumFramer::of_leader(40), &halves), whole, "cut at {at}");
        }
        let bytes: Vec<&[u8]> = SNAP.chunks(1).collect();
        assert_eq!(cut(QuorumFramer::of_leader(40), &bytes), whole);
        // What a learner sends is never followed by a tree.
        let frames = cut(QuorumFramer::of_learner(40), &[&SNAP[..20], &COMMIT]);
        assert_eq!(frames[1], format!("Packet({COMMIT:?})"));
    }

    #[test]
    fn what_cannot_be_ends_the_stream() {
        let head = |len: i32| [&COMMIT[..12], &len.to_be_bytes()].concat();
        let says = |why| vec![format!("{:?}", Frame::Broken { why })];
        assert_eq!(nonsense(&head(21)), says(TOO_LONG), "16 + 21 + 4 bytes are more than 40");
        assert_eq!(nonsense(&[head(20), vec![0; 24]].concat()).len(), 1, "40 bytes are whole");
        assert_eq!(nonsense(&head(i32::MAX)), says(TOO_LONG));
        assert_eq!(nonsense(&head(-2)), says(NEGATIVE));
        let count = |n: i32| [head(-1), n.to_be_bytes().to_vec()].concat();
        assert_eq!(nonsense(&count(-2)), says(NEGATIVE));
        assert_eq!(nonsense(&[count(9), vec![0; 40]].concat()), says(TOO_LONG));
        assert_eq!(nonsense(&[count(1), vec![0xff, 0xff, 0xff, 0xfe]].concat()), says(NEGATIVE));
        let unsigned = [&SNAP[..45], b"\0\0\0\x0aBenWasGone"].concat();
        let frames = nonsense(&unsigned);
        assert!(frames[1].contains("signature"), "{frames:?}");
    }

    #[test]
    fn nothing_is_held_beyond_the_limit_nor_between_packets() {
        let mut framer = QuorumFramer::of_leader(1 << 20);
        let packet = [&COMMIT[..12], &100_000_i32.to_be_bytes(), &[0; 100_004]].concat();
        framer.push(&packet[..90_000], |_| panic!("it is not whole"));
        assert_eq!(framer.held(), 90_000);
        framer.push(&packet[90_000..], |frame| assert_eq!(frame, Frame::Packet(&packet)));
        assert_eq!((framer.held(), framer.held.capacity()), (0, 0));
    }

    proptest! {
        #[test]
        fn any_bytes_cut_anywhere_give_the_same_frames(
            stream in prop::collection::vec(prop_oneof![8 => Just(0u8), 1 => 0u8..16], 0..200),
            at in 0usize..200,
        ) {
            let at = at.min(stream.len());
            let halves = cut(QuorumFramer::of_leader(60), &[&stream[..at], &stream[at..]]);
            prop_assert_eq!(halves, cut(QuorumFramer::of_leader(60), &[&stream]));
        }
    }
}
