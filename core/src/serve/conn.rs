// SPDX-License-Identifier: Apache-2.0
//! One client connection, as the server sees it: how far its handshake is, who it has shown to be,
//! what it still waits for, and why it is not read from.
//!
//! ```text
//! Fresh --connect, new session--> Opening --createSession applied--> Live --close, expiry--> Over
//!   |  `-connect, known session------------------------------------^              (hung up)
//!   `-- word, nonsense, wrong session --> Over
//! ```

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::net::SocketAddr;

use super::{auth::Identities, stats::LinkStats};
use crate::{
    id::{LinkId, SessionId, Zxid},
    io::{Effect, Effects},
    time::{Instant, Now},
};

/// More requests than this behind one another pause the link.
const MAX_QUEUED: usize = 256;
/// More bytes than this behind one another pause the link.
const MAX_QUEUED_BYTES: usize = 1 << 20;
/// More bytes than this sent and not taken pause the link: whoever does not read, need not ask.
const MAX_UNSENT: usize = 4 << 20;
/// A write behind more requests than this that are not looked into is not looked into either.
const MAX_AHEAD: usize = 32;

/// A connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// The other end.
    pub peer: SocketAddr,
    /// When something last came from it.
    pub heard: Instant,
    /// How far its handshake is.
    pub phase: Phase,
    /// Who it has shown to be.
    pub identities: Identities,
    /// What waits for something before it, oldest first: replies keep the order of requests.
    pub queue: VecDeque<Queued>,
    /// Bytes of the frames in `queue`.
    queued_bytes: usize,
    /// Frames in `queue` that are not looked into.
    unseen: usize,
    /// Those of them that are writes.
    unseen_writes: usize,
    /// Bytes sent to the driver that the network has not taken.
    unsent: usize,
    /// Why it is not read from.
    holds: Holds,
    /// What `stat` and `cons` tell of it.
    pub stats: LinkStats,
}

/// How far a connection's handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing came yet.
    Fresh,
    /// `stmk` came, and its argument is to come.
    TraceMask,
    /// A session is being opened for it.
    Opening {
        /// The session.
        session: SessionId,
        /// How to answer.
        greeting: Greeting,
    },
    /// It speaks for a session.
    Live {
        /// The session.
        session: SessionId,
        /// The timeout negotiated on this connection, in milliseconds.
        timeout_ms: i32,
    },
    /// Hung up on; what still comes is ignored.
    Over,
}

/// How to answer a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The negotiated timeout in milliseconds.
    pub timeout_ms: i32,
    /// Whether the client's request ended before the read-only flag: then so does the answer.
    pub brief: bool,
}

/// Something that waits for its turn.
#[derive(Clone, Debug)]
pub enum Queued {
    /// A write that is answered when it is applied.
    Write {
        /// The request's number.
        xid: i32,
        /// The whole answer, if the write was applied before its turn came: a leader may commit
        /// it before it answers a sync that came earlier.
        answer: Option<Box<[u8]>>,
    },
    /// A sync that is answered once everything proposed before it is applied.
    Sync {
        /// The last proposal before it; `None` until the leader has answered.
        until: Option<Zxid>,
        /// The request.
        request: Deferred,
    },
    /// A request that has not been looked into.
    Frame {
        /// The request.
        request: Deferred,
        /// The request's number, if it is a write that waits for what is before it, see
        /// [`Conn::delays_writes`].
        write: Option<i32>,
    },
    /// A request whose packet was too long; only its head was kept.
    Oversized {
        /// The request's number.
        xid: i32,
    },
}

/// A whole request that waits, and who asked it.
#[derive(Clone, Debug)]
pub struct Deferred {
    /// The packet.
    pub frame: Box<[u8]>,
    /// When it came.
    pub since: Instant,
    /// How many identities its connection had shown by then: it is judged by these, and not by
    /// what is proved while it waits.
    pub known: usize,
}

impl Queued {
    fn bytes(&self) -> usize {
        match self {
            Queued::Oversized { .. } => 0,
            Queued::Write { answer, .. } => answer.as_ref().map_or(0, |answer| answer.len()),
            Queued::Sync { request, .. } | Queued::Frame { request, .. } => request.frame.len(),
        }
    }
}

/// Reasons not to read from a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Holds {
    /// Its session is being opened.
    opening: bool,
    /// Too much waits on this connection.
    queue: bool,
    /// It does not read what it is sent.
    unsent: bool,
    /// The server has too much in flight.
    server: bool,
}

/// A reason that others than the connection decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its session is being opened.
    Opening,
    /// The server has too much in flight.
    Server,
}

impl Conn {
    /// A connection that just came in.
    pub fn new(peer: SocketAddr, now: Now) -> Conn {
        Conn {
            peer,
            heard: now.mono,
            phase: Phase::Fresh,
            identities: Identities::of_address(peer.ip()),
            queue: VecDeque::new(),
            queued_bytes: 0,
            unseen: 0,
            unseen_writes: 0,
            unsent: 0,
            holds: Holds::default(),
            stats: LinkStats::new(now.wall_ms),
        }
    }

    /// Whether it may still be sent something.
    pub fn is_up(&self) -> bool {
        self.phase != Phase::Over
    }

    /// The session it speaks for, or is about to.
    pub fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Opening { session, .. } | Phase::Live { session, .. } => Some(session),
            Phase::Fresh | Phase::TraceMask | Phase::Over => None,
        }
    }

    /// Puts something behind everything that waits.
    pub fn enqueue(&mut self, link: LinkId, queued: Queued, fx: &mut Effects) {
        self.queued_bytes += queued.bytes();
        if let Queued::Frame { write, .. } = queued {
            self.unseen += 1;
            self.unseen_writes += usize::from(write.is_some());
        }
        self.queue.push_back(queued);
        self.balance(link, fx);
    }

    /// A request that came just now, to wait.
    pub fn defer(&self, packet: &[u8], now: Instant) -> Deferred {
        Deferred { frame: packet.into(), since: now, known: self.identities.len() }
    }

    /// Whether a write must wait until it is looked into. What stands before a write is answered
    /// before that is applied, however slowly the link reads: so little may stand there.
    pub fn delays_writes(&self) -> bool {
        self.unseen_writes > 0 || self.unseen > self.most_ahead()
    }

    fn most_ahead(&self) -> usize {
        if self.reads_too_slowly() { 0 } else { MAX_AHEAD }
    }

    /// The oldest write that waits to be looked into, if little enough stands before it by now: it
    /// is under way from here on.
    pub fn next_write(&mut self, link: LinkId, fx: &mut Effects) -> Option<Deferred> {
        if self.unseen_writes == 0 {
            return None;
        }
        let (most, mut ahead) = (self.most_ahead(), 0);
        let (queued, xid) = self.queue.iter_mut().find_map(|queued| match *queued {
            Queued::Frame { write: Some(xid), .. } => Some((queued, xid)),
            Queued::Frame { write: None, .. } => {
                ahead += 1;
                None
            }
            _ => None,
        })?;
        if ahead > most {
            return None;
        }
        self.queued_bytes -= queued.bytes();
        (self.unseen, self.unseen_writes) = (self.unseen - 1, self.unseen_writes - 1);
        let looked_into = Queued::Write { xid, answer: None };
        let Queued::Frame { request, .. } = core::mem::replace(queued, looked_into) else {
            unreachable!("it was found as one")
        };
        self.balance(link, fx);
        Some(request)
    }

    /// Whether so much that was sent is not taken that nothing more should be answered.
    pub fn reads_too_slowly(&self) -> bool {
        self.holds.unsent
    }

    /// Takes the oldest thing that waits.
    pub fn dequeue(&mut self, link: LinkId, fx: &mut Effects) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.bytes();
        if let Queued::Frame { write, .. } = queued {
            self.unseen -= 1;
            self.unseen_writes -= usize::from(write.is_some());
        }
        self.balance(link, fx);
        Some(queued)
    }

    /// Gives away what waited.
    pub fn take_queue(&mut self) -> VecDeque<Queued> {
        (self.queued_bytes, self.unseen, self.unseen_writes) = (0, 0, 0);
        core::mem::take(&mut self.queue)
    }

    /// Bytes were sent to it.
    pub fn sent(&mut self, link: LinkId, bytes: usize, fx: &mut Effects) {
        self.unsent += bytes;
        self.balance(link, fx);
    }

    /// Whether the next answer is that of this write.
    pub fn is_next(&self, asked: i32) -> bool {
        matches!(self.queue.front(), Some(Queued::Write { xid, answer: None }) if *xid == asked)
    }

    /// The write in front was answered; false if it was another.
    pub fn write_answered(&mut self, link: LinkId, xid: i32, fx: &mut Effects) -> bool {
        self.is_next(xid) && self.dequeue(link, fx).is_some()
    }

    /// Keeps the answer of a write until its turn comes.
    pub fn keep_answer(&mut self, asked: i32, bytes: Vec<u8>) {
        let write = self.queue.iter_mut().find_map(|queued| match queued {
            Queued::Write { xid, answer: answer @ None } if *xid == asked => Some(answer),
            _ => None,
        });
        if let Some(answer) = write {
            self.queued_bytes += bytes.len();
            *answer = Some(bytes.into());
        }
    }

    /// The network took bytes.
    pub fn drained(&mut self, link: LinkId, bytes: usize, fx: &mut Effects) {
        debug_assert!(bytes <= self.unsent, "the network takes only what it was sent");
        self.unsent = self.unsent.saturating_sub(bytes);
        self.balance(link, fx);
    }

    /// Whether it is read from.
    pub fn is_read(&self) -> bool {
        self.is_up() && self.holds == Holds::default()
    }

    /// Bytes sent and not taken.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Sets or clears a reason not to read from the link; false if it stood so already.
    pub fn hold(&mut self, link: LinkId, hold: Hold, on: bool, fx: &mut Effects) -> bool {
        let before = self.holds;
        match hold {
            Hold::Opening => self.holds.opening = on,
            Hold::Server => self.holds.server = on,
        }
        self.tell(link, before, fx);
        self.holds != before
    }

    /// Hangs up: nothing more is taken from it or sent to it.
    pub fn hang_up(&mut self, link: LinkId, fx: &mut Effects) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.take_queue();
            fx.push(Effect::HangUp { link });
        }
    }

    /// Pauses and resumes with some slack between, so that one frame more does not toggle it.
    fn balance(&mut self, link: LinkId, fx: &mut Effects) {
        let before = self.holds;
        let slack = |held: bool, limit: usize| if held { limit / 2 } else { limit };
        self.holds.queue = self.queue.len() > slack(before.queue, MAX_QUEUED)
            || self.queued_bytes > slack(before.queue, MAX_QUEUED_BYTES);
        self.holds.unsent = self.unsent > slack(before.unsent, MAX_UNSENT);
        self.tell(link, before, fx);
    }

    fn tell(&self, link: LinkId, before: Holds, fx: &mut Effects) {
        let (was, is) = (before != Holds::default(), self.holds != Holds::default());
        match (was, is) {
            (false, true) if self.phase != Phase::Over => fx.push(Effect::Pause { link }),
            (true, false) if self.phase != Phase::Over => fx.push(Effect::Resume { link }),
            _ => {}
        }
    }
}
