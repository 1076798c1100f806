// SPDX-License-Identifier: Apache-2.0
//! A session expires no sooner than its timeout after the server that judges last heard of it, and
//! where that is the only one no later than two ticks after that, by its monotonic clock.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_core::{
    id::{LinkId, SessionId, Zxid},
    jute::{Reader, Record},
    time::Instant,
    zab::wire::{FromLearner, QuorumPacket},
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

/// A session's newest life sign at any server, by world time, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Sign {
    timeout: u64,
    at: u64,
}

/// The newest life signs at any server. In a calm ensemble a leader hears of each within a tick,
/// and so a session neither expires much sooner than its timeout nor much later.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    signs: BTreeMap<i64, Sign>,
    /// Since when the world has been calm; every sign counts as new then.
    calm_since: Option<u64>,
}

impl Signs {
    /// A handshake was answered.
    pub fn greeted(&mut self, session: i64, timeout_ms: i32, at: u64) {
        let timeout = u64::try_from(timeout_ms).unwrap_or_default() * 1_000;
        self.signs.insert(session, Sign { timeout, at });
    }

    /// A session's link delivered a frame.
    pub fn heard(&mut self, session: i64, at: u64) {
        if let Some(sign) = self.signs.get_mut(&session) {
            sign.at = at;
        }
    }

    /// From here on nothing goes wrong.
    pub fn calm(&mut self, at: u64) {
        self.calm_since = Some(at);
    }

    /// Something goes wrong again.
    pub fn stirred(&mut self) {
        self.calm_since = None;
    }

    /// Since when nothing has gone wrong, or from when on nothing will.
    pub fn calm_since(&self) -> Option<u64> {
        self.calm_since
    }

    /// Whether nothing has gone wrong for a while.
    pub fn is_calm(&self, at: u64) -> bool {
        self.calm_since.is_some_and(|since| at > since)
    }

    /// A new leader gives every session its whole timeout again.
    pub fn led(&mut self, at: u64) {
        self.calm_since = self.calm_since.map(|since| since.max(at));
    }

    /// A leader says that a session expired; a tick takes `tick` microseconds.
    pub fn expired(&mut self, session: i64, tick: u64, at: u64) -> Check {
        let Some(sign) = self.signs.remove(&session) else { return Ok(()) };
        let silent = at.saturating_sub(sign.at) + tick + SLACK;
        if self.is_calm(at) && silent < sign.timeout {
            let (session, allowed) = (Zxid(session), sign.timeout);
            let silent = at - sign.at;
            return broken(format!("{session} expired after {silent} us of {allowed} allowed"));
        }
        Ok(())
    }

    /// A calm world ends: whoever is open was heard of, or is about to expire.
    pub fn at_end(&self, open: impl Iterator<Item = i64>, tick: u64, at: u64) -> Check {
        let Some(since) = self.calm_since else { return Ok(()) };
        for session in open {
            let Some(sign) = self.signs.get(&session) else { continue };
            let allowed = sign.timeout + 3 * tick + SLACK;
            let silent = at.saturating_sub(sign.at.max(since));
            if silent > allowed {
                let session = Zxid(session);
                return broken(format!("{session} was silent for {silent} us, {allowed} allowed"));
            }
        }
        Ok(())
    }
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
    /// The links of learners, which may speak for sessions.
    learners: BTreeSet<LinkId>,
}

impl Expiry {
    /// For a server with this tick.
    pub fn new(tick_ms: u64) -> Expiry {
        Expiry { tick_ms, lives: BTreeMap::new(), excused_micros: 0, learners: BTreeSet::new() }
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
            if !life.greeted {
                life.surely = life.heard;
            }
            (life.heard, life.greeted) = (now, false);
        }
    }

    /// A new process came up with these sessions, or a new leader: each has its whole timeout.
    pub fn restarted(&mut self, sessions: &BTreeMap<i64, i32>, now: Instant) {
        self.lives.clear();
        self.excused_micros = 0;
        for (session, timeout_ms) in sessions {
            self.greeted(*session, *timeout_ms, now, now);
        }
    }

    /// A learner dialled.
    pub fn learner_link(&mut self, link: LinkId) {
        self.learners.insert(link);
    }

    /// A packet is about to be handled that may be a learner's.
    pub fn learner_says(&mut self, link: LinkId, bytes: &[u8]) {
        if self.learners.contains(&link)
            && let Ok(packet) = QuorumPacket::decode(&mut Reader::new(bytes))
            && let Ok(FromLearner::Revalidate { session, .. }) = FromLearner::read(packet)
        {
            self.closed(session.0);
        }
    }

    /// A link is gone.
    pub fn link_down(&mut self, link: LinkId) {
        self.learners.remove(&link);
    }

    /// The process is gone.
    pub fn crashed(&mut self) {
        self.lives.clear();
        self.learners.clear();
    }

    /// A session's client closed it, or went on over another server, where another timeout holds.
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

    /// It was opened at 0 and told so at 500; what it said first came in the turn of its end.
    #[test]
    fn a_handshake_counts_from_its_question_until_the_first_life_sign_has_had_its_turn() {
        let at = Instant::from_millis;
        let mut expiry = Expiry::new(1_000);
        expiry.greeted(7, 4_000, at(0), at(500));
        expiry.heard(7, at(4_100));
        assert!(expiry.clone().expired(SessionId(7), at(4_100)).is_ok());
        expiry.heard(7, at(5_000));
        assert!(expiry.expired(SessionId(7), at(5_000)).is_err());
    }
}
