// SPDX-License-Identifier: Apache-2.0
//! Time as an argument: the core never asks for it.

use core::{
    ops::{Add, Sub},
    time::Duration,
};

/// A point on the driver's monotonic clock, in microseconds since an origin of its choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// Microseconds since the origin.
    pub micros: u64,
}

impl Instant {
    /// The clock's origin.
    pub const ZERO: Instant = Instant { micros: 0 };

    /// The instant this many milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant { micros: millis * 1_000 }
    }

    /// Whole milliseconds since the origin.
    pub const fn millis(self) -> u64 {
        self.micros / 1_000
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.micros.saturating_sub(earlier.micros))
    }
}

/// The earliest of some timers, if any is armed. A plain loop: asked at the end of every turn.
pub fn earliest<const N: usize>(timers: [Option<Instant>; N]) -> Option<Instant> {
    let mut first = None;
    for timer in timers {
        first = match (first, timer) {
            (Some(one), Some(other)) => Some(Ord::min(one, other)),
            (one, None) | (None, one) => one,
        };
    }
    first
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, after: Duration) -> Instant {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Instant { micros: self.micros.saturating_add(micros) }
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

/// What the driver's clocks say as a turn begins.
///
/// The monotonic clock drives every timer. The wall clock stamps transactions, ages TTL nodes and
/// seeds the first session id of a process, and nothing else: it may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Instant,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub wall_ms: i64,
}
