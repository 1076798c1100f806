// SPDX-License-Identifier: Apache-2.0
//! Chance, in streams: every (subsystem, ordinal) draws from its own generator, so one more draw in
//! one place moves nothing in another. Integers only: a draw is the same on every platform.

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Who draws. The number is part of the seed: variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsystem {
    /// What the world is like: climate, knobs, sizes.
    Scenario = 1,
    /// When faults strike, and which.
    Faults = 2,
    /// How long the disk takes, and what it keeps at a crash.
    Disk = 3,
    /// How long a link takes, where it cuts the stream.
    Link = 4,
    /// What a client does next.
    Workload = 5,
    /// Drift and jumps of a process's clocks.
    Clock = 6,
    /// How inputs fall into turns.
    Turns = 7,
    /// The seed of a core.
    Core = 8,
    /// What a crash leaves, who hears of it, and when the process starts again.
    Crash = 9,
    /// The seed of a client's machine.
    Client = 10,
    /// What clients do once the faults are over.
    Health = 11,
    /// What a stranger says, and how his link is.
    Rude = 12,
    /// The seeds of other futures of one past.
    Future = 13,
    /// When the operator changes the members, and how.
    Operator = 14,
}

/// One stream of chance.
#[derive(Clone, Debug)]
pub struct Rng {
    inner: ChaCha8Rng,
}

impl Rng {
    /// The stream of one subsystem's `ordinal`-th member in the world of `seed`.
    pub fn stream(seed: u64, subsystem: Subsystem, ordinal: u64) -> Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(subsystem as u64).to_le_bytes());
        key[16..24].copy_from_slice(&ordinal.to_le_bytes());
        Rng { inner: ChaCha8Rng::from_seed(key) }
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.inner.next_u64()
    }

    /// A number below `n`, which is not zero. The bias of the product is below `n / 2^64`.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "nothing is below zero");
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// An index below `len`, which is not zero.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True in `n` of a thousand cases.
    pub fn permille(&mut self, n: u32) -> bool {
        self.below(1_000) < u64::from(n)
    }

    /// True in one of `n` cases.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of the items, which are not none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// The index of a weight, in proportion to the weights; at least one is not zero.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut at = self.below(total);
        for (n, weight) in weights.iter().enumerate() {
            if at < u64::from(*weight) {
                return n;
            }
            at -= u64::from(*weight);
        }
        unreachable!("the draw is below the sum of the weights")
    }

    /// A waiting time around `mean` with a long tail: half of the draws are below about 0.7 of the
    /// mean, few are beyond four times it. Geometric in halves, so that it needs no logarithm.
    pub fn wait(&mut self, mean: u64) -> u64 {
        let octave = u64::from(self.bits().trailing_ones().min(5));
        let unit = mean.max(2) * 7 / 10;
        octave * unit + self.below(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_move_each_other() {
        let draw = |extra: usize| {
            let mut a = Rng::stream(7, Subsystem::Disk, 0);
            let mut b = Rng::stream(7, Subsystem::Disk, 1);
            let _: Vec<u64> = (0..extra).map(|_| a.bits()).collect();
            b.bits()
        };
        assert_eq!(draw(0), draw(100));
        assert_ne!(
            Rng::stream(7, Subsystem::Disk, 0).bits(),
            Rng::stream(7, Subsystem::Link, 0).bits()
        );
    }

    #[test]
    fn draws_are_the_same_everywhere() {
        let mut rng = Rng::stream(1, Subsystem::Scenario, 0);
        let drawn: Vec<u64> = (0..4).map(|_| rng.below(1_000)).collect();
        assert_eq!(drawn, [235, 829, 492, 351]);
    }

    #[test]
    fn draws_stay_in_range_and_reach_its_ends() {
        let mut rng = Rng::stream(3, Subsystem::Faults, 9);
        let drawn: Vec<u64> = (0..1_000).map(|_| rng.between(3, 5)).collect();
        assert!(drawn.iter().all(|n| (3..=5).contains(n)));
        assert!([3, 4, 5].iter().all(|n| drawn.contains(n)));
        assert!((0..1_000).all(|_| rng.weighted(&[0, 3, 0, 1]) % 2 == 1));
        let waits: Vec<u64> = (0..1_000).map(|_| rng.wait(1_000)).collect();
        let mean = waits.iter().sum::<u64>() / 1_000;
        assert!((900..1_200).contains(&mean), "{mean}");
    }
}
