// SPDX-License-Identifier: Apache-2.0
//! A process's clocks: a monotonic one that drifts and a wall clock that is off and jumps, both
//! functions of the world's own time, which no process can see.

use menagerie_core::time::{Instant, Now};

/// 2023-11-14T22:13:20Z, when every world begins.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// The clocks of one process. World time is in microseconds.
#[derive(Clone, Debug)]
pub struct Clock {
    /// How fast the monotonic clock runs, in parts per million of world time.
    rate_ppm: u64,
    /// What the monotonic clock said when the process started.
    origin: u64,
    /// World time when the process started.
    started: u64,
    /// How far the wall clock is off, in milliseconds.
    wall_offset_ms: i64,
}

impl Clock {
    /// Clocks of a process that starts at world time `started` with its monotonic clock at
    /// `origin`, running `drift_ppm` fast.
    pub fn new(started: u64, origin: u64, drift_ppm: i64) -> Clock {
        let rate_ppm = u64::try_from(1_000_000 + drift_ppm).expect("clocks do not run backwards");
        Clock { rate_ppm, origin, started, wall_offset_ms: 0 }
    }

    /// What the monotonic clock says at a world time.
    pub fn mono(&self, world: u64) -> Instant {
        let passed = u128::from(world - self.started) * u128::from(self.rate_ppm) / 1_000_000;
        Instant { micros: self.origin + passed as u64 }
    }

    /// The first world time at which the monotonic clock says at least `mono`.
    pub fn world(&self, mono: Instant) -> u64 {
        let ahead = u128::from(mono.micros.saturating_sub(self.origin)) * 1_000_000;
        let rate = u128::from(self.rate_ppm);
        self.started + u64::try_from(ahead.div_ceil(rate)).unwrap_or(u64::MAX / 2)
    }

    /// What both clocks say at a world time.
    pub fn now(&self, world: u64) -> Now {
        let wall_ms = EPOCH_MS + (world / 1_000) as i64 + self.wall_offset_ms;
        Now { mono: self.mono(world), wall_ms }
    }

    /// The machine slept: both clocks went on meanwhile.
    pub fn sleep(&mut self, ms: u64) {
        self.origin += ms * 1_000;
        self.wall_offset_ms += ms as i64;
    }

    /// The wall clock jumps.
    pub fn jump(&mut self, ms: i64) {
        self.wall_offset_ms += ms;
    }

    /// The clocks of the next process on the same machine: the wall clock keeps its error.
    pub fn restarted(&self, world: u64, origin: u64, drift_ppm: i64) -> Clock {
        Clock { wall_offset_ms: self.wall_offset_ms, ..Clock::new(world, origin, drift_ppm) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_gains_and_its_inverse_is_exact() {
        let clock = Clock::new(1_000, 50, 200);
        assert_eq!(clock.mono(1_000).micros, 50);
        assert_eq!(clock.mono(10_001_000).micros, 50 + 10_002_000);
        for mono in [50, 51, 777, 10_002_050, 123_456_789] {
            let world = clock.world(Instant { micros: mono });
            assert!(clock.mono(world).micros >= mono);
            assert!(world == 1_000 || clock.mono(world - 1).micros < mono);
        }
    }

    #[test]
    fn a_jump_moves_the_wall_clock_only() {
        let mut clock = Clock::new(0, 0, -100);
        let before = clock.now(5_000_000);
        clock.jump(-3_600_000);
        let after = clock.now(5_000_000);
        assert_eq!(before.mono, after.mono);
        assert_eq!(after.wall_ms, before.wall_ms - 3_600_000);
        assert_eq!(clock.restarted(6_000_000, 0, 0).now(6_000_000).wall_ms, EPOCH_MS - 3_594_000);
    }
}
