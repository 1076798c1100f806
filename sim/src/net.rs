// SPDX-License-Identifier: Apache-2.0
//! One link between two machines: two streams of bytes, each with its own delay, cut at arbitrary
//! places, held back, reset. Order holds within a stream, as TCP promises; nothing else.

use std::collections::VecDeque;

use menagerie_core::{
    config::ServerConfig,
    id::LinkId,
    io::{Frame, Port},
    node::Framer,
};

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
    /// Sends bytes at `now`; adds the times at which pieces arrive. What comes together with an
    /// earlier piece needs no time of its own: that one's is still to come.
    pub fn send(
        &mut self,
        now: u64,
        bytes: &[u8],
        pace: Pace,
        rng: &mut Rng,
        times: &mut Vec<u64>,
    ) {
        let mut rest = bytes;
        while !rest.is_empty() {
            // Small pieces, but not very many: a long reply is cut in larger ones.
            let most = pace.piece.max(bytes.len() / 4);
            let cut = rest.len().min(1 + rng.index(most));
            let (piece, later) = rest.split_at(cut);
            let at = now + pace.base + rng.wait(pace.jitter);
            if at > self.newest || self.newest <= now {
                self.newest = at;
                times.push(at);
            }
            self.pieces.push_back((self.newest, piece.to_vec()));
            rest = later;
        }
    }

    /// The next piece, if it has arrived over a way that is cut until `open_at`; otherwise when to
    /// ask again, if ever.
    pub fn arrive(&mut self, now: u64, open_at: u64) -> Result<Vec<u8>, Option<u64>> {
        let Some((at, _)) = self.pieces.front() else { return Err(None) };
        let due = (*at).max(self.held_until).max(open_at);
        if due > now {
            return Err((due != u64::MAX).then_some(due));
        }
        Ok(self.pieces.pop_front().expect("a piece is there").1)
    }

    /// Bytes on their way.
    pub fn in_flight(&self) -> usize {
        self.pieces.iter().map(|(_, piece)| piece.len()).sum()
    }

    /// What is on its way gets lost.
    pub fn forget(&mut self) {
        self.pieces.clear();
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

/// Bytes that may be on their way to someone who reads.
pub const WINDOW: usize = 64 << 10;

/// Who holds an end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A server, by number.
    Server(usize),
    /// A simulated client, by number, and its own name for the link.
    Client(usize, LinkId),
    /// A stranger.
    Rude,
}

/// A machine in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A server's, by number.
    Server(usize),
    /// A client's, by number.
    Client(usize),
    /// A stranger's.
    Elsewhere,
}

impl End {
    /// The machine it is on.
    pub fn place(self) -> Place {
        match self {
            End::Server(n) => Place::Server(n),
            End::Client(n, _) => Place::Client(n),
            End::Rude => Place::Elsewhere,
        }
    }
}

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who dialled.
    Dialler,
    /// The server that was dialled.
    Acceptor,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Dialler, Side::Acceptor];

    /// The one across.
    pub fn other(self) -> Side {
        match self {
            Side::Dialler => Side::Acceptor,
            Side::Acceptor => Side::Dialler,
        }
    }
}

/// What cuts the bytes that arrive at an end into frames, as beside a real socket.
fn framer(port: Port, reader: Side, config: &ServerConfig) -> Framer {
    Framer::new(port, reader == Side::Dialler, (&config.requests).into())
}

/// One direction of a link: from where its sender's bytes leave to where they are read.
#[derive(Clone)]
pub struct Way {
    /// What is on its way.
    pub stream: Stream,
    /// What was sent and the network has not taken.
    pub unsent: VecDeque<u8>,
    /// Bytes that may be on their way; few towards one that does not read.
    pub window: usize,
    /// What arrived while the reader did not read.
    pub unread: VecDeque<Vec<u8>>,
    /// Whether the reader reads.
    pub paused: bool,
    framer: Framer,
}

impl Way {
    fn towards(reader: Side, port: Port, config: &ServerConfig) -> Way {
        Way {
            stream: Stream::default(),
            unsent: VecDeque::new(),
            window: WINDOW,
            unread: VecDeque::new(),
            paused: false,
            framer: framer(port, reader, config),
        }
    }

    /// Whether everything that was sent has been read.
    pub fn is_empty(&self) -> bool {
        self.stream.is_empty() && self.unsent.is_empty() && self.unread.is_empty()
    }

    /// Cuts what arrived at a server into frames.
    pub fn read(&mut self, piece: &[u8], deliver: impl FnMut(Frame<'_>)) {
        self.framer.push(piece, deliver);
    }

    /// Bytes that arrived and make no whole frame.
    pub fn held(&self) -> usize {
        self.framer.held()
    }
}

/// A link, between the moment it was accepted and the moment both ends know of its end.
#[derive(Clone)]
pub struct Link {
    /// Who holds its ends: the dialler's, the acceptor's.
    ends: [End; 2],
    /// What the dialler sends, and what the acceptor sends.
    ways: [Way; 2],
    /// Which ends were hung up: such an end hears nothing more, and the link ends when everything
    /// that it sent is out.
    closed: [bool; 2],
    /// Which ends are gone with their machine, while the other does not know yet.
    dead: [bool; 2],
    /// What is spoken on it.
    pub port: Port,
    /// What a stranger says once the handshake is answered.
    pub later: Option<Vec<u8>>,
    /// Its own chance: what happens on one link moves nothing on another.
    rng: Rng,
}

impl Link {
    /// A link that was just accepted.
    pub fn new(ends: [End; 2], port: Port, config: &ServerConfig, mut rng: Rng) -> Link {
        let mut ways = [Side::Acceptor, Side::Dialler].map(|side| Way::towards(side, port, config));
        // Some clients do not read much ahead.
        if rng.one_in(20) && port == Port::Client {
            ways[Side::Acceptor as usize].window = 512;
        }
        Link { ends, ways, closed: [false; 2], dead: [false; 2], port, later: None, rng }
    }

    /// From here on, its chance is another one.
    pub fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }

    /// Who holds an end.
    pub fn end(&self, side: Side) -> End {
        self.ends[side as usize]
    }

    /// The end that a server holds.
    pub fn side_of(&self, server: usize) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.end(*side) == End::Server(server))
    }

    /// What an end sends.
    pub fn from(&mut self, side: Side) -> &mut Way {
        &mut self.ways[side as usize]
    }

    /// Both directions.
    pub fn ways(&mut self) -> &mut [Way; 2] {
        &mut self.ways
    }

    /// An end was hung up.
    pub fn close(&mut self, side: Side) {
        self.closed[side as usize] = true;
    }

    /// An end is gone with its machine. What it sent over a way that is `cut` nobody sends again.
    pub fn bury(&mut self, side: Side, cut: bool) {
        self.dead[side as usize] = true;
        if cut {
            self.from(side).stream.forget();
        }
    }

    /// Whether an end still hears what arrives.
    pub fn hears(&self, side: Side) -> bool {
        !self.closed[side as usize] && !self.is_dead(side)
    }

    /// Whether an end is gone with its machine.
    pub fn is_dead(&self, side: Side) -> bool {
        self.dead[side as usize]
    }

    /// Whether an end was hung up, and all that it sent has arrived.
    pub fn is_over(&self) -> bool {
        Side::BOTH
            .into_iter()
            .any(|side| self.closed[side as usize] && self.ways[side as usize].is_empty())
    }

    /// Whether nothing is on its way in either direction.
    pub fn is_quiet(&self) -> bool {
        self.ways.iter().all(|way| way.is_empty() && way.held() == 0)
    }

    /// Sends bytes from an end that the network never holds back; adds the times at which pieces
    /// arrive.
    pub fn send(&mut self, side: Side, now: u64, bytes: &[u8], pace: Pace, times: &mut Vec<u64>) {
        self.ways[side as usize].stream.send(now, bytes, pace, &mut self.rng, times);
    }

    /// A reset: what is on its way to either end is lost, but for a beginning that may still
    /// arrive. Gives what reaches the acceptor, and what reaches the dialler.
    pub fn cut(&mut self) -> [Vec<u8>; 2] {
        [Side::Dialler, Side::Acceptor].map(|side| {
            let way = &mut self.ways[side as usize];
            way.stream.cut(&mut self.rng)
        })
    }

    /// Moves what fits from an end into the network; gives how many bytes that was, and adds when
    /// they arrive.
    pub fn pump(&mut self, side: Side, now: u64, pace: Pace, times: &mut Vec<u64>) -> usize {
        let way = &mut self.ways[side as usize];
        let room = way.window.saturating_sub(way.stream.in_flight());
        if room < way.window / 2 && room < way.unsent.len() {
            return 0;
        }
        let taken = room.min(way.unsent.len());
        if taken > 0 {
            let bytes = &way.unsent.make_contiguous()[..taken];
            way.stream.send(now, bytes, pace, &mut self.rng, times);
            way.unsent.drain(..taken);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rng::Subsystem, scenario::Scenario};

    const PACE: Pace = Pace { base: 100, jitter: 50, piece: 7 };

    fn rng() -> Rng {
        Rng::stream(1, Subsystem::Link, 0)
    }

    #[test]
    fn bytes_arrive_in_order_whole_and_late() {
        let (mut stream, mut rng) = (Stream::default(), rng());
        let mut times = Vec::new();
        for n in 0..20u8 {
            stream.send(u64::from(n) * 10, &[n; 5], PACE, &mut rng, &mut times);
        }
        assert!(times.is_sorted() && times[0] >= 100);
        let mut got = Vec::new();
        for at in times {
            got.extend(stream.arrive(at, 0).expect("a piece has arrived"));
            while let Ok(piece) = stream.arrive(at, 0) {
                got.extend(piece);
            }
        }
        assert_eq!(got, (0..20u8).flat_map(|n| [n; 5]).collect::<Vec<_>>());
        assert_eq!(stream.arrive(u64::MAX - 1, 0), Err(None));
    }

    #[test]
    fn a_held_stream_delivers_later_or_never() {
        let (mut stream, mut rng) = (Stream::default(), rng());
        stream.send(0, b"x", PACE, &mut rng, &mut Vec::new());
        stream.held_until = 9_000;
        assert_eq!(stream.arrive(8_000, 0), Err(Some(9_000)));
        assert_eq!(stream.arrive(8_000, 9_500), Err(Some(9_500)));
        stream.held_until = u64::MAX;
        assert_eq!(stream.arrive(8_000, 0), Err(None));
    }

    #[test]
    fn a_reset_keeps_a_beginning() {
        let mut lengths = Vec::new();
        for ordinal in 0..50 {
            let mut rng = Rng::stream(1, Subsystem::Link, ordinal);
            let mut stream = Stream::default();
            stream.send(0, b"0123456789", PACE, &mut rng, &mut Vec::new());
            let left = stream.cut(&mut rng);
            assert!(b"0123456789".starts_with(&left));
            assert!(stream.is_empty());
            lengths.push(left.len());
        }
        assert!(lengths.contains(&0) && lengths.contains(&10) && lengths.contains(&4));
    }

    #[test]
    fn a_client_that_does_not_read_holds_the_sender_back() {
        let config = &Scenario::of(&[]).servers[0];
        let ends = [End::Rude, End::Server(0)];
        let mut link = Link::new(ends, Port::Client, config, rng());
        let side = Side::Acceptor;
        link.from(side).window = 10;
        link.from(side).unsent.extend([7; 25]);
        let mut times = Vec::new();
        assert_eq!(link.pump(side, 0, PACE, &mut times), 10);
        assert_eq!(link.pump(side, 0, PACE, &mut times), 0);
        assert!(link.from(side).stream.arrive(1_000_000, 0).is_ok());
        while link.from(side).stream.arrive(1_000_000, 0).is_ok() {}
        assert_eq!(link.pump(side, 0, PACE, &mut times), 10);
        assert_eq!(link.from(side).unsent.len(), 5);
    }
}
