// SPDX-License-Identifier: Apache-2.0
//! Proposals: transactions that were validated and staged for the log, and are not applied yet.
//!
//! Their bytes stand one behind the other in one buffer, so that a proposal costs no allocation.

use alloc::{collections::VecDeque, vec::Vec};

use crate::{
    id::{LinkId, Zxid},
    time::Instant,
};

/// A transaction between its proposal and its application.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its place in history.
    pub zxid: Zxid,
    /// Who is answered, and how.
    pub origin: Origin,
    /// When the request came.
    pub since: Instant,
    /// Where its bytes end; they begin where those of the one before end.
    end: u64,
}

/// Where a transaction comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A request, answered on its link if that is still there.
    Request {
        /// The link.
        link: LinkId,
        /// The request's number.
        xid: i32,
    },
    /// A handshake.
    Handshake {
        /// The link.
        link: LinkId,
    },
    /// Nobody waits for it here: a session's expiry, the sweeper, another server's client.
    Nobody,
}

/// The proposals, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    queue: VecDeque<Proposal>,
    bytes: Vec<u8>,
    /// How many bytes were ever removed from the front of `bytes`.
    removed: u64,
    /// Where the oldest proposal begins: `removed <= begin <= removed + bytes.len()`.
    begin: u64,
}

impl Pending {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// The entries of those after `zxid`, oldest first.
    pub fn after(&self, zxid: Zxid) -> impl Iterator<Item = (Zxid, &[u8])> {
        let from = self.queue.partition_point(|proposal| proposal.zxid <= zxid);
        let begin = from.checked_sub(1).map_or(self.begin, |before| self.queue[before].end);
        self.queue.iter().skip(from).scan(begin, |begin, proposal| {
            let entry = &self.bytes[self.offset(*begin)..self.offset(proposal.end)];
            *begin = proposal.end;
            Some((proposal.zxid, entry))
        })
    }

    /// The oldest of them.
    pub fn first(&self) -> Option<Zxid> {
        self.queue.front().map(|proposal| proposal.zxid)
    }

    /// The link whose request the oldest is, if that is not newer than `zxid`.
    pub fn next_asker(&self, zxid: Zxid) -> Option<LinkId> {
        match self.queue.front()? {
            Proposal { zxid: first, origin: Origin::Request { link, .. }, .. } => {
                (*first <= zxid).then_some(*link)
            }
            _ => None,
        }
    }

    /// The buffer to append a transaction's bytes to, ahead of [`Pending::push`].
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds a proposal whose bytes were just appended, and gives them back for the log.
    pub fn push(&mut self, zxid: Zxid, origin: Origin, since: Instant) -> &[u8] {
        let begin = self.queue.back().map_or(self.begin, |last| last.end);
        let end = self.removed + self.bytes.len() as u64;
        self.queue.push_back(Proposal { zxid, origin, since, end });
        &self.bytes[self.offset(begin)..]
    }

    /// Nobody waits for any of them any more.
    pub fn forget_origins(&mut self) {
        self.queue.iter_mut().for_each(|proposal| proposal.origin = Origin::Nobody);
    }

    /// Takes the oldest proposal if it is not newer than `zxid`. Its bytes go to `apply`.
    pub fn pop_through<R>(
        &mut self,
        zxid: Zxid,
        apply: impl FnOnce(&Proposal, &[u8]) -> R,
    ) -> Option<(Proposal, R)> {
        let proposal = self.queue.pop_front_if(|proposal| proposal.zxid <= zxid)?;
        let bytes = &self.bytes[self.offset(self.begin)..self.offset(proposal.end)];
        let result = apply(&proposal, bytes);
        self.begin = proposal.end;
        self.shrink();
        Some((proposal, result))
    }

    fn offset(&self, at: u64) -> usize {
        usize::try_from(at - self.removed).expect("offsets lie within the buffer")
    }

    /// Drops bytes that are done with once they are the larger part, so each moves once or never.
    fn shrink(&mut self) {
        let done = self.offset(self.begin);
        if done == self.bytes.len() {
            self.bytes.clear();
        } else if done > self.bytes.len() / 2 && done > (1 << 16) {
            self.bytes.drain(..done);
        } else {
            return;
        }
        self.removed = self.begin;
    }
}
