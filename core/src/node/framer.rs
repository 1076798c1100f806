// SPDX-License-Identifier: Apache-2.0
//! Which framing machine stands beside a link: whoever drives a node has one for each.

use alloc::boxed::Box;

use crate::{
    election::ElectionFramer,
    frame::ClientFramer,
    io::{Frame, Port},
    zab::QuorumFramer,
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

impl Framer {
    /// For the bytes that arrive at a server on a link of `port` that it dialled, or accepted.
    /// Clients' and quorums' frames may have at most `limit` bytes.
    pub fn new(port: Port, dialled: bool, limit: u32) -> Framer {
        match (port, dialled) {
            (Port::Client, _) => Framer::Client(ClientFramer::new(limit)),
            (Port::Election, true) => Framer::Election(ElectionFramer::dialled()),
            (Port::Election, false) => Framer::Election(ElectionFramer::accepted()),
            (Port::Quorum, true) => Framer::Quorum(Box::new(QuorumFramer::of_leader(limit))),
            (Port::Quorum, false) => Framer::Quorum(Box::new(QuorumFramer::of_learner(limit))),
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
