// SPDX-License-Identifier: Apache-2.0
//! One link between a client and the server: two streams of bytes, each with its own delay, cut at
//! arbitrary places, held back, reset. Order holds within a stream, as TCP promises; nothing else.

use std::collections::VecDeque;

use menagerie_core::{frame::ClientFramer, id::LinkId};

use crate::rng::Rng;

/// How fast streams are, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The least delay.
    pub base: u64,
    /// The mean of what comes on top.
    pub jitter: u64,
    /// The most bytes in one piece; small ones cut every frame.
    pub piece: usize,
}

/// One direction.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Pieces on their way: when each arrives.
    pieces: VecDeque<(u64, Vec<u8>)>,
    newest: u64,
    /// Until when nothing arrives; `u64::MAX` for ever.
    pub held_until: u64,
    /// Whether the sender has closed it: the end arrives behind the last piece.
    pub ended: bool,
}

impl Stream {
    /// Sends bytes at `now`; gives the times at which pieces arrive.
    pub fn send(&mut self, now: u64, bytes: &[u8], pace: Pace, rng: &mut Rng) -> Vec<u64> {
        let mut times = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            // Small pieces, but not very many: a long reply is cut in larger ones.
            let most = pace.piece.max(bytes.len() / 4);
            let cut = rest.len().min(1 + rng.index(most));
            let (piece, later) = rest.split_at(cut);
            let at = now + pace.base + rng.wait(pace.jitter);
            self.newest = self.newest.max(at);
            self.pieces.push_back((self.newest, piece.to_vec()));
            times.push(self.newest);
            rest = later;
        }
        times
    }

    /// The next piece, if it has arrived; otherwise when to ask again, if ever.
    pub fn arrive(&mut self, now: u64) -> Result<Vec<u8>, Option<u64>> {
        let Some((at, _)) = self.pieces.front() else { return Err(None) };
        let due = (*at).max(self.held_until);
        if due > now {
            return Err((due != u64::MAX).then_some(due));
        }
        Ok(self.pieces.pop_front().expect("a piece is there").1)
    }

    /// Bytes on their way.
    pub fn in_flight(&self) -> usize {
        self.pieces.iter().map(|(_, piece)| piece.len()).sum()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// A reset: what is on its way is lost, but for a beginning that may still arrive.
    pub fn cut(&mut self, rng: &mut Rng) -> Vec<u8> {
        let all: Vec<u8> = self.pieces.drain(..).flat_map(|(_, piece)| piece).collect();
        all[..rng.index(all.len() + 1)].to_vec()
    }
}

/// Bytes that may be on their way to a client that reads.
pub const WINDOW: usize = 64 << 10;

/// Who dialled a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A simulated client, by number, and its own name for the link.
    Client(usize, LinkId),
    /// A stranger.
    Rude,
}

/// A link, between the moment it was accepted and the moment both ends know of its end.
#[derive(Clone, Debug)]
pub struct Link {
    /// Who dialled it.
    pub owner: Owner,
    /// Towards the server.
    pub up: Stream,
    /// Towards the client.
    pub down: Stream,
    /// What the server sent and the network has not taken.
    pub unsent: VecDeque<u8>,
    /// Cuts what arrives into frames, as the driver does.
    pub framer: ClientFramer,
    /// What arrived while the server did not read.
    pub unread: VecDeque<Vec<u8>>,
    /// Whether the server reads.
    pub paused: bool,
    /// Whether the server has hung up: the link ends when everything is out.
    pub hung_up: bool,
    /// Whether the client has hung up, or is gone.
    pub deserted: bool,
    /// What a stranger says once the handshake is answered.
    pub later: Option<Vec<u8>>,
    /// Bytes that may be on their way to the client; small for one that does not read.
    pub window: usize,
    /// The delays.
    pub pace: Pace,
    /// Its own chance: what happens on one link moves nothing on another.
    rng: Rng,
}

impl Link {
    /// A link that was just accepted.
    pub fn new(owner: Owner, pace: Pace, limit: u32, mut rng: Rng) -> Link {
        // Some clients do not read much ahead.
        let window = if rng.one_in(20) { 512 } else { WINDOW };
        Link {
            owner,
            up: Stream::default(),
            down: Stream::default(),
            unsent: VecDeque::new(),
            framer: ClientFramer::new(limit),
            unread: VecDeque::new(),
            paused: false,
            hung_up: false,
            deserted: false,
            later: None,
            window,
            pace,
            rng,
        }
    }

    /// Whether nothing is on its way in either direction.
    pub fn is_quiet(&self) -> bool {
        let waiting = self.unread.is_empty() && self.unsent.is_empty();
        self.up.is_empty() && self.down.is_empty() && waiting && self.framer.held() == 0
    }

    /// Sends bytes towards the server; gives the times at which pieces arrive.
    pub fn send(&mut self, now: u64, bytes: &[u8], pace: Pace) -> Vec<u64> {
        self.up.send(now, bytes, pace, &mut self.rng)
    }

    /// A reset: what is on its way to either end is lost, but for a beginning that may still
    /// arrive. Gives what reaches the server, and what reaches the client.
    pub fn cut(&mut self) -> (Vec<u8>, Vec<u8>) {
        (self.up.cut(&mut self.rng), self.down.cut(&mut self.rng))
    }

    /// Moves what fits from the server's end into the network; gives how many bytes that was, and
    /// when they arrive.
    pub fn pump(&mut self, now: u64) -> (usize, Vec<u64>) {
        let room = self.window.saturating_sub(self.down.in_flight());
        if room < self.window / 2 && room < self.unsent.len() {
            return (0, Vec::new());
        }
        let taken = room.min(self.unsent.len());
        if taken == 0 {
            return (0, Vec::new());
        }
        let bytes: Vec<u8> = self.unsent.drain(..taken).collect();
        (taken, self.down.send(now, &bytes, self.pace, &mut self.rng))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Subsystem;

    const PACE: Pace = Pace { base: 100, jitter: 50, piece: 7 };

    fn rng() -> Rng {
        Rng::stream(1, Subsystem::Link, 0)
    }

    #[test]
    fn bytes_arrive_in_order_whole_and_late() {
        let (mut stream, mut rng) = (Stream::default(), rng());
        let mut times = Vec::new();
        for n in 0..20u8 {
            times.extend(stream.send(u64::from(n) * 10, &[n; 5], PACE, &mut rng));
        }
        assert!(times.is_sorted() && times[0] >= 100);
        let mut got = Vec::new();
        for at in times {
            got.extend(stream.arrive(at).expect("a piece has arrived"));
        }
        assert_eq!(got, (0..20u8).flat_map(|n| [n; 5]).collect::<Vec<_>>());
        assert_eq!(stream.arrive(u64::MAX - 1), Err(None));
    }

    #[test]
    fn a_held_stream_delivers_later_or_never() {
        let (mut stream, mut rng) = (Stream::default(), rng());
        stream.send(0, b"x", PACE, &mut rng);
        stream.held_until = 9_000;
        assert_eq!(stream.arrive(8_000), Err(Some(9_000)));
        stream.held_until = u64::MAX;
        assert_eq!(stream.arrive(8_000), Err(None));
    }

    #[test]
    fn a_reset_keeps_a_beginning() {
        let mut lengths = Vec::new();
        for ordinal in 0..50 {
            let mut rng = Rng::stream(1, Subsystem::Link, ordinal);
            let mut stream = Stream::default();
            stream.send(0, b"0123456789", PACE, &mut rng);
            let left = stream.cut(&mut rng);
            assert!(b"0123456789".starts_with(&left));
            assert!(stream.is_empty());
            lengths.push(left.len());
        }
        assert!(lengths.contains(&0) && lengths.contains(&10) && lengths.contains(&4));
    }

    #[test]
    fn a_client_that_does_not_read_holds_the_sender_back() {
        let mut link = Link::new(Owner::Rude, PACE, 1_000, rng());
        link.window = 10;
        link.unsent.extend([7; 25]);
        assert_eq!(link.pump(0).0, 10);
        assert_eq!(link.pump(0).0, 0);
        assert!(link.down.arrive(1_000_000).is_ok());
        while link.down.arrive(1_000_000).is_ok() {}
        assert_eq!(link.pump(0).0, 10);
        assert_eq!(link.unsent.len(), 5);
    }
}
