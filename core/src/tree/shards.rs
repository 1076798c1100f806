// SPDX-License-Identifier: Apache-2.0
//! Extendible hashing: a table of small tables, so that no insert ever rehashes more than one.
//!
//! One flat table of a million entries stalls its owner for as long as rehashing all of them takes.
//! Here a full shard splits in two by one more bit of the hash, and a directory of shard numbers,
//! four bytes each, doubles when a shard needs more bits than it has.

use alloc::{vec, vec::Vec};

use hashbrown::HashTable;

/// Entries of a shard before it splits: seven eighths of 512 buckets.
const SHARD: usize = 448;

/// The hash bits that choose a shard start here: hashbrown takes the buckets from the bits below
/// and its tags from the top.
const SHIFT: u32 = 16;

/// Shards split by at most this many bits; beyond that they grow.
const MAX_DEPTH: u32 = 32;

/// A hash table whose growth is bounded step by step. The caller hashes.
#[derive(Clone, Debug)]
pub(super) struct Shards<T> {
    depth: u32,
    directory: Vec<u32>,
    shards: Vec<Shard<T>>,
}

#[derive(Clone, Debug)]
struct Shard<T> {
    depth: u32,
    table: HashTable<T>,
}

impl<T> Shards<T> {
    pub(super) fn new() -> Shards<T> {
        let first = Shard { depth: 0, table: HashTable::new() };
        Shards { depth: 0, directory: vec![0], shards: vec![first] }
    }

    pub(super) fn find(&self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&T> {
        self.shards[self.shard_of(hash)].table.find(hash, eq)
    }

    pub(super) fn find_mut(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let at = self.shard_of(hash);
        self.shards[at].table.find_mut(hash, eq)
    }

    /// Adds an entry that is not there yet. `rehash` gives the hash of entries there already.
    pub(super) fn insert(&mut self, hash: u64, value: T, rehash: impl Fn(&T) -> u64) {
        let mut at = self.shard_of(hash);
        while self.shards[at].table.len() >= SHARD && self.shards[at].depth < MAX_DEPTH {
            self.split(at, &rehash);
            at = self.shard_of(hash);
        }
        self.shards[at].table.insert_unique(hash, value, rehash);
    }

    pub(super) fn remove(&mut self, hash: u64, eq: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.shard_of(hash);
        let (value, _) = self.shards[at].table.find_entry(hash, eq).ok()?.remove();
        Some(value)
    }

    /// All entries, in an order that must never be visible.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().flat_map(|shard| shard.table.iter())
    }

    fn shard_of(&self, hash: u64) -> usize {
        let slot = (hash >> SHIFT) & ((1 << self.depth) - 1);
        self.directory[slot as usize] as usize
    }

    fn split(&mut self, at: usize, rehash: &impl Fn(&T) -> u64) {
        let bit = self.shards[at].depth;
        if bit == self.depth {
            self.directory.extend_from_within(..);
            self.depth += 1;
        }
        let new = u32::try_from(self.shards.len()).expect("fewer shards than entries");
        let mut moved = HashTable::with_capacity(SHARD / 2);
        let mut kept = HashTable::with_capacity(SHARD / 2);
        let mut pattern = 0;
        for value in core::mem::take(&mut self.shards[at].table) {
            let hash = rehash(&value);
            pattern = (hash >> SHIFT) & ((1 << bit) - 1);
            let side = if (hash >> SHIFT) >> bit & 1 == 1 { &mut moved } else { &mut kept };
            side.insert_unique(hash, value, rehash);
        }
        self.shards[at] = Shard { depth: bit + 1, table: kept };
        self.shards.push(Shard { depth: bit + 1, table: moved });
        let first = pattern as usize | 1 << bit;
        for slot in (first..self.directory.len()).step_by(2 << bit) {
            self.directory[slot] = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that spreads, as the keyed hash does.
    fn hash(value: &u64) -> u64 {
        value.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (value << 17)
    }

    #[test]
    fn keeps_what_was_put_in_across_splits() {
        let mut shards = Shards::new();
        for value in 0..20_000 {
            shards.insert(hash(&value), value, hash);
        }
        assert_eq!(shards.iter().count(), 20_000);
        assert!(shards.shards.len() > 40, "{} shards", shards.shards.len());
        assert!(shards.shards.iter().all(|shard| shard.table.len() <= SHARD));
        for value in (0..20_000).step_by(3) {
            assert_eq!(shards.remove(hash(&value), |v| *v == value), Some(value));
        }
        for value in 0..20_000 {
            let found = shards.find(hash(&value), |v| *v == value).copied();
            assert_eq!(found, (value % 3 != 0).then_some(value));
        }
        assert_eq!(shards.iter().count(), 13_333);
    }
}
