// SPDX-License-Identifier: Apache-2.0
//! A session expires no sooner than its timeout after the server last heard of it, and no later
//! than two ticks after that, by the server's monotonic clock.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_core::{
    id::{SessionId, Zxid},
    time::Instant,
};

use super::{Check, Property, Violation};

/// What is known of a session's life signs.
#[derive(Clone, Copy, Debug)]
struct Life {
    timeout_ms: u64,
    heard: Instant,
    /// When it was surely heard of: within one turn an expiry may come before the life sign, and
    /// a handshake counts from its question or from its answer.
    surely: Instant,
    greeted: bool,
}

/// What the queue and a turn may add to a timer, in microseconds.
const SLACK: u64 = 100_000;

/// The life signs of all sessions, by the clock of the process that runs now.
#[derive(Clone, Debug)]
pub struct Expiry {
    tick_ms: u64,
    lives: BTreeMap<i64, Life>,
    /// How late the process got to run: what it could not see, it could not judge.
    pub excused_micros: u64,
}

impl Expiry {
    /// For a server with this tick.
    pub fn new(tick_ms: u64) -> Expiry {
        Expiry { tick_ms, lives: BTreeMap::new(), excused_micros: 0 }
    }

    /// A handshake was answered that was asked for at `asked`.
    pub fn greeted(&mut self, session: i64, timeout_ms: i32, asked: Instant, now: Instant) {
        let timeout_ms = u64::try_from(timeout_ms).unwrap_or_default();
        let life = Life { timeout_ms, heard: now, surely: asked, greeted: true };
        self.lives.insert(session, life);
    }

    /// A session's link delivered a frame.
    pub fn heard(&mut self, session: i64, now: Instant) {
        if let Some(life) = self.lives.get_mut(&session)
            && life.heard < now
        {
            (life.surely, life.heard, life.greeted) = (life.heard, now, false);
        }
    }

    /// A new process came up with these sessions; each has its whole timeout again.
    pub fn restarted(&mut self, sessions: &BTreeMap<i64, i32>, now: Instant) {
        self.lives.clear();
        self.excused_micros = 0;
        for (session, timeout_ms) in sessions {
            self.greeted(*session, *timeout_ms, now, now);
        }
    }

    /// The process is gone.
    pub fn crashed(&mut self) {
        self.lives.clear();
    }

    /// A session's client closed it.
    pub fn closed(&mut self, session: i64) {
        self.lives.remove(&session);
    }

    /// The server says that a session expired.
    pub fn expired(&mut self, session: SessionId, now: Instant) -> Check {
        let Some(life) = self.lives.remove(&session.0) else { return Ok(()) };
        let unsure = life.greeted || life.heard == now;
        let heard = if unsure { life.surely } else { life.heard };
        let silent = now.since(heard).as_millis() as u64;
        if silent < life.timeout_ms {
            let allowed = life.timeout_ms;
            return broken(format!("{session} expired after {silent} ms of {allowed} allowed"));
        }
        Ok(())
    }

    /// A turn ends.
    pub fn check(&self, closing: &BTreeSet<i64>, now: Instant) -> Check {
        for (session, life) in &self.lives {
            let silent = now.since(life.heard).as_micros() as u64;
            let allowed = (life.timeout_ms + 2 * self.tick_ms) * 1_000;
            let allowed = allowed + SLACK + self.excused_micros;
            if silent > allowed && !closing.contains(session) {
                let session = Zxid(*session);
                return broken(format!("{session} was silent for {silent} us, {allowed} allowed"));
            }
        }
        Ok(())
    }
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Expiry, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_soon_and_too_late_are_both_wrong() {
        let mut expiry = Expiry::new(1_000);
        let none = BTreeSet::new();
        let at = Instant::from_millis;
        expiry.greeted(7, 4_000, at(0), at(0));
        expiry.greeted(8, 4_000, at(0), at(0));
        assert!(expiry.clone().expired(SessionId(7), at(3_999)).is_err());
        assert!(expiry.expired(SessionId(7), at(4_000)).is_ok());
        assert!(expiry.check(&none, at(6_100)).is_ok());
        assert!(expiry.check(&none, at(6_101)).is_err());
        expiry.heard(8, at(5_000));
        assert!(expiry.check(&none, at(6_101)).is_ok());
    }
}
