// SPDX-License-Identifier: Apache-2.0
//! Sessions: who is known, who is late, and what a snapshot says of them.
//!
//! ```text
//!            open                 apply createSession
//!  (nobody) ------> opening ----------------------------> open --+
//!                      |   touch: moves to a later bucket <------+
//!                      |                                   |
//!                      | expire, close                     | expire, close
//!                      v                                   v
//!                   closing -- apply closeSession --> (nobody)
//! ```
//!
//! A session expires with its whole bucket: the first multiple of the tick that lies *after* its
//! last touch plus its timeout. So nobody expires early, and nobody later than a tick.
//!
//! Two timeouts exist. The one in the createSession transaction is what a snapshot holds and what
//! a restart begins with; each touch names the timeout that its connection negotiated.

mod expiry;
mod ids;
mod password;
#[cfg(test)]
mod tests;

use core::hash::BuildHasher;

use alloc::vec::Vec;

pub use expiry::Bucket;
use expiry::Buckets;
use ids::Ids;
pub use password::{password, password_opens};

use crate::{
    hash::Keyed,
    id::{LinkId, SessionId},
    pieces::{Index, NIL, Slab},
    proto::ErrorCode,
    time::{Instant, Now},
    zoo::{Mutation, Sound, Zoo},
};

/// Every session this server knows.
#[derive(Clone, Debug)]
pub struct Sessions<Z: Zoo = Sound> {
    table: Slab<Session>,
    index: Index,
    hash: Keyed,
    ids: Ids,
    buckets: Buckets,
    /// How many have a createSession transaction applied.
    committed: usize,
    freeze: Freeze,
    zoo: Z,
}

#[derive(Clone, Debug, Default)]
struct Session {
    id: SessionId,
    owner: Option<LinkId>,
    /// The timeout in its createSession transaction, in milliseconds; `None` until applied.
    committed: Option<i32>,
    closing: bool,
    /// The bucket it is in, in milliseconds; 0 for none.
    due: u64,
    /// Neighbours in the bucket.
    prev: u32,
    next: u32,
    /// The freeze that must not see it here, as too new or seen already.
    hidden: u32,
}

/// The set of committed sessions at one point in time, while others come and go.
#[derive(Clone, Debug, Default)]
struct Freeze {
    /// Which freeze this is or was; 0 before the first.
    number: u32,
    /// Positions still to visit; empty between freezes.
    at: u32,
    end: u32,
    /// What changed at positions not visited yet, as it was.
    saved: Vec<(SessionId, i32)>,
}

impl<Z: Zoo> Sessions<Z> {
    /// Nobody. `tick_ms` is the width of expiry buckets, at least 1.
    pub fn new(hash: Keyed, server_id: u8, tick_ms: u32, zoo: Z) -> Sessions<Z> {
        Sessions {
            table: Slab::new(),
            index: Index::new(),
            hash,
            ids: Ids::new(server_id),
            buckets: Buckets::new(tick_ms),
            committed: 0,
            freeze: Freeze::default(),
            zoo,
        }
    }

    /// Opens a session under a fresh id; it is in no snapshot until [`Sessions::commit`].
    pub fn open(&mut self, now: Now, timeout_ms: i32) -> SessionId {
        let id = self.fresh_id(now.wall_ms);
        self.adopt(id, timeout_ms, now.mono);
        id
    }

    /// Minds a session that another server opened; it is in no snapshot until
    /// [`Sessions::commit`].
    pub fn adopt(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        if self.find(id).is_none() {
            self.track(id);
        }
        self.touch(id, timeout_ms, now);
    }

    /// Applies a createSession transaction. A session not opened here is tracked from now on.
    pub fn commit(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        self.ids.seen(id);
        let at = match self.find(id) {
            Some(at) => at,
            None => {
                let at = self.track(id);
                self.touch(id, timeout_ms, now);
                at
            }
        };
        self.pre_image(at);
        let session = &mut self.table[at];
        if session.committed.replace(timeout_ms).is_none() {
            self.committed += 1;
        }
    }

    /// Applies a closeSession transaction.
    pub fn remove(&mut self, id: SessionId) {
        let Some(at) = self.find(id) else { return };
        self.pre_image(at);
        self.buckets.leave(&mut self.table, at);
        self.index.remove(self.hash.hash_one(id), at);
        let session = self.table.remove(at);
        self.committed -= usize::from(session.committed.is_some());
    }

    /// Hears from a session; false if there is none or it is closing.
    pub fn touch(&mut self, id: SessionId, timeout_ms: i32, now: Instant) -> bool {
        let Some(at) = self.find(id) else { return false };
        if self.table[at].closing {
            return false;
        }
        let late = now.millis() + u64::from(timeout_ms.unsigned_abs());
        let early = self.zoo.has(Mutation::ExpiryRoundsDown);
        self.buckets.enter(&mut self.table, at, late, early);
        true
    }

    /// Gives every session its full timeout again, as a new leader or a restart does. A closing
    /// one is closing no more: whoever was closing it is gone. Takes a step for every session.
    pub fn restart_all(&mut self, now: Instant) {
        for at in 0..self.table.end() {
            let session = &mut self.table[at];
            if let (Some(timeout_ms), id) = (session.committed, session.id) {
                session.closing = false;
                self.touch(id, timeout_ms, now);
            }
        }
    }

    /// Minds no session that has a createSession transaction applied, until it is touched or all
    /// are restarted. Takes a step for every session.
    pub fn rest_all(&mut self) {
        for at in 0..self.table.end() {
            if self.table[at].committed.is_some() {
                self.buckets.leave(&mut self.table, at);
            }
        }
    }

    /// Forgets every session without a createSession transaction applied, and who owns the others:
    /// whoever opened them, or spoke for them, is gone. Takes a step for every session.
    pub fn forget_uncommitted(&mut self) {
        for at in 0..self.table.end() {
            let session = &mut self.table[at];
            session.owner = None;
            if session.committed.is_none() && session.id != SessionId::NONE {
                let id = session.id;
                self.remove(id);
            }
        }
    }

    /// Takes one session that is late, marked as closing; ask again until there is none.
    pub fn expire(&mut self, now: Instant) -> Option<SessionId> {
        let at = self.buckets.late(now)?;
        self.buckets.leave(&mut self.table, at);
        let session = &mut self.table[at];
        session.closing = true;
        Some(session.id)
    }

    /// When [`Sessions::expire`] may next have somebody.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.buckets.first()
    }

    /// Marks a session whose closeSession is under way: it takes no more requests or touches.
    pub fn close(&mut self, id: SessionId) {
        if let Some(at) = self.find(id) {
            self.table[at].closing = true;
            self.buckets.leave(&mut self.table, at);
        }
    }

    /// Whether a request of the session may still come in by `link`. A session without an owner
    /// is owned by whoever asks first.
    ///
    /// # Errors
    /// `SessionExpired` if there is no such session or it is closing, `SessionMoved` if another
    /// link owns it.
    pub fn check(&mut self, id: SessionId, link: LinkId) -> Result<(), ErrorCode> {
        let at = self.find(id).ok_or(ErrorCode::SessionExpired)?;
        let session = &mut self.table[at];
        if session.closing {
            return Err(ErrorCode::SessionExpired);
        }
        let owner = *session.owner.get_or_insert(link);
        if owner != link && !self.zoo.has(Mutation::MovedSessionServed) {
            return Err(ErrorCode::SessionMoved);
        }
        Ok(())
    }

    /// Moves a session to a link and gives back the one that had it.
    pub fn set_owner(&mut self, id: SessionId, link: Option<LinkId>) -> Option<LinkId> {
        let at = self.find(id)?;
        core::mem::replace(&mut self.table[at].owner, link)
    }

    /// The link that has a session.
    pub fn owner(&self, id: SessionId) -> Option<LinkId> {
        self.table[self.find(id)?].owner
    }

    /// Whether a session is known, closing ones included.
    pub fn contains(&self, id: SessionId) -> bool {
        self.find(id).is_some()
    }

    /// Whether a session is known and not closing.
    pub fn is_open(&self, id: SessionId) -> bool {
        self.find(id).is_some_and(|at| !self.table[at].closing)
    }

    /// The timeout in the session's createSession transaction, in milliseconds.
    pub fn committed_timeout(&self, id: SessionId) -> Option<i32> {
        self.table[self.find(id)?].committed
    }

    /// How many sessions are known.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sessions a snapshot taken now would hold.
    pub fn committed_len(&self) -> usize {
        self.committed
    }

    /// The expiry buckets in order of time, for the `dump` word.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        self.buckets.iter()
    }

    /// The first expiry bucket after a time, or the first of all.
    pub fn bucket_after(&self, after: Option<Instant>) -> Option<Bucket> {
        self.buckets.after(after)
    }

    /// The sessions of a bucket, in the order in which they came to it.
    pub fn in_bucket(&self, bucket: Bucket) -> impl Iterator<Item = SessionId> {
        self.buckets.members(&self.table, bucket).map(|at| self.table[at].id)
    }

    /// Begins a point-in-time view of the committed sessions, replacing any earlier one, and says
    /// how many [`Sessions::freeze_next`] will give.
    pub fn freeze(&mut self) -> usize {
        self.freeze.number += 1;
        self.freeze.at = 0;
        self.freeze.end = self.table.end();
        self.freeze.saved.clear();
        self.committed
    }

    /// Gives the next sessions of the view, in at most `budget` steps; false once that was all.
    pub fn freeze_next(&mut self, budget: usize, mut give: impl FnMut(SessionId, i32)) -> bool {
        for _ in 0..budget {
            if self.freeze.at < self.freeze.end {
                let session = &self.table[self.freeze.at];
                if session.hidden != self.freeze.number
                    && let Some(timeout_ms) = session.committed
                {
                    give(session.id, timeout_ms);
                }
                self.freeze.at += 1;
            } else if let Some((id, timeout_ms)) = self.freeze.saved.pop() {
                give(id, timeout_ms);
            } else {
                return false;
            }
        }
        self.freeze.at < self.freeze.end || !self.freeze.saved.is_empty()
    }

    /// Gives up a view before its end.
    pub fn thaw(&mut self) {
        self.freeze.at = self.freeze.end;
        self.freeze.saved = Vec::new();
    }

    fn fresh_id(&mut self, wall_ms: i64) -> SessionId {
        if self.zoo.has(Mutation::SessionIdFromClock) {
            return self.ids.by_clock(wall_ms);
        }
        loop {
            let id = self.ids.next(wall_ms);
            if !self.contains(id) {
                return id;
            }
        }
    }

    fn find(&self, id: SessionId) -> Option<u32> {
        self.index.find(self.hash.hash_one(id), |at| self.table[at].id == id)
    }

    fn track(&mut self, id: SessionId) -> u32 {
        let hidden = self.freeze.number;
        let session = Session { id, hidden, prev: NIL, next: NIL, ..Session::default() };
        let at = self.table.insert(session);
        let (hash, table) = (self.hash, &self.table);
        self.index.insert(hash.hash_one(id), at, |at| hash.hash_one(table[at].id));
        at
    }

    /// Keeps what the running freeze must still see before a session changes.
    fn pre_image(&mut self, at: u32) {
        let session = &mut self.table[at];
        let ahead = at >= self.freeze.at && at < self.freeze.end;
        if ahead && session.hidden != self.freeze.number {
            session.hidden = self.freeze.number;
            self.freeze.saved.extend(session.committed.map(|timeout_ms| (session.id, timeout_ms)));
        }
    }
}
