// SPDX-License-Identifier: Apache-2.0
//! Which framing machine stands beside a link: whoever drives a node has one for each.

use alloc::boxed::Box;

use crate::{
    config::Requests,
    election::ElectionFramer,
    frame::ClientFramer,
    io::{Frame, Port},
    zab::{QuorumFramer, wire::QuorumPacket},
};

/// The framing machine of a link.
#[derive(Clone)]
pub enum Framer {
    /// Of the client port.
    Client(ClientFramer),
    /// Of the election port.
    Election(ElectionFramer),
    /// Of the quorum port.
    Quorum(Box<QuorumFramer>),
}

/// How many bytes a frame may have; those of elections have limits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// A client's, as `jute.maxbuffer` says.
    pub client: u32,
    /// Another server's: the largest record in a packet. Its identities count as well.
    pub quorum: u32,
}

impl From<&Requests> for FrameLimits {
    fn from(requests: &Requests) -> FrameLimits {
        let quorum = requests.longest_record() + QuorumPacket::OVERHEAD;
        FrameLimits { client: requests.max_buffer, quorum }
    }
}

impl Framer {
    /// For the bytes that arrive at a server on a link of `port` that it dialled, or accepted.
    pub fn new(port: Port, dialled: bool, limits: FrameLimits) -> Framer {
        let FrameLimits { client, quorum } = limits;
        match (port, dialled) {
            (Port::Client, _) => Framer::Client(ClientFramer::new(client)),
            (Port::Election, true) => Framer::Election(ElectionFramer::dialled()),
            (Port::Election, false) => Framer::Election(ElectionFramer::accepted()),
            (Port::Quorum, true) => Framer::Quorum(Box::new(QuorumFramer::of_leader(quorum))),
            (Port::Quorum, false) => Framer::Quorum(Box::new(QuorumFramer::of_learner(quorum))),
        }
    }

    /// Takes bytes, and delivers the frames that are whole.
    pub fn push(&mut self, bytes: &[u8], deliver: impl FnMut(Frame<'_>)) {
        match self {
            Framer::Client(framer) => framer.push(bytes, deliver),
            Framer::Election(framer) => framer.push(bytes, deliver),
            Framer::Quorum(framer) => framer.push(bytes, deliver),
        }
    }

    /// Bytes held, of a frame that is not whole.
    pub fn held(&self) -> usize {
        match self {
            Framer::Client(framer) => framer.held(),
            Framer::Election(framer) => framer.held(),
            Framer::Quorum(framer) => framer.held(),
        }
    }
}
