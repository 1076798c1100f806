// SPDX-License-Identifier: Apache-2.0
//! Tables that grow in pieces, so that no single insert ever pays for the whole table (law 3).
//!
//! A plain hash map of a million entries stalls its owner for tens of milliseconds when it doubles.
//! [`Index`] splits one small shard at a time instead (extendible hashing), and [`Slab`] adds one
//! chunk. What is stored lives in slabs; indexes only hold slab positions, and slab order, which
//! depends on history alone, is the order that may be visible.

use alloc::{vec, vec::Vec};
use core::ops;

use hashbrown::HashTable;

/// No position.
pub const NIL: u32 = u32::MAX;

const CHUNK: usize = 1024;

/// Values at stable positions, which are reused, last freed first.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T: Default> Slab<T> {
    /// Nothing.
    pub const fn new() -> Slab<T> {
        Slab { chunks: Vec::new(), free: Vec::new() }
    }

    /// Puts a value somewhere and says where.
    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self[at] = value;
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let at = self.end();
        assert!(at < NIL, "a slab holds less than 2^32 values");
        self.chunks.last_mut().expect("pushed above").push(value);
        at
    }

    /// Takes the value at a position, leaving the type's default there until reuse.
    pub fn remove(&mut self, at: u32) -> T {
        self.free.push(at);
        core::mem::take(&mut self[at])
    }

    /// One more than the highest position ever used.
    pub fn end(&self) -> u32 {
        let Some(last) = self.chunks.last() else { return 0 };
        ((self.chunks.len() - 1) * CHUNK + last.len()) as u32
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.end() as usize - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Default> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

impl<T> ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

impl<T> ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }
}

/// A shard this full splits: just what a table of 2,048 buckets holds.
const SHARD: usize = 1792;
/// No deeper than this: beyond, shards merely grow.
const DEEPEST: u32 = 22;

/// Slab positions by the hash of what stands there.
#[derive(Clone, Debug)]
pub struct Index {
    /// Shard numbers; its length is a power of two, and bits 32.. of a hash choose.
    directory: Vec<u32>,
    shards: Vec<Shard>,
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    table: HashTable<u32>,
    /// How many bits of the hash all entries here share.
    depth: u32,
}

impl Index {
    /// Nothing.
    pub fn new() -> Index {
        Index { directory: vec![0], shards: vec![Shard::default()], len: 0 }
    }

    /// How many positions it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The position under `hash` that `is` recognises.
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[self.shard(hash)].table.find(hash, |&at| is(at)).copied()
    }

    /// Adds a position; `rehash` gives the hash of any position held.
    pub fn insert(&mut self, hash: u64, at: u32, rehash: impl Fn(u32) -> u64) {
        while self.shards[self.shard(hash)].table.len() >= SHARD && self.split(hash, &rehash) {}
        let shard = self.shard(hash);
        self.shards[shard].table.insert_unique(hash, at, |&at| rehash(at));
        self.len += 1;
    }

    /// Removes a position.
    ///
    /// # Panics
    /// If it is not there: the caller's table and index have come apart.
    pub fn remove(&mut self, hash: u64, at: u32) {
        let shard = self.shard(hash);
        let entry = self.shards[shard].table.find_entry(hash, |&held| held == at);
        entry.expect("a stored position is indexed").remove();
        self.len -= 1;
    }

    fn shard(&self, hash: u64) -> usize {
        let slot = (hash >> 32) as usize & (self.directory.len() - 1);
        self.directory[slot] as usize
    }

    /// Splits the shard of `hash` in two; false if it is as deep as shards go.
    fn split(&mut self, hash: u64, rehash: &impl Fn(u32) -> u64) -> bool {
        let old = self.shard(hash);
        let depth = self.shards[old].depth;
        if depth == DEEPEST {
            return false;
        }
        if 1 << depth == self.directory.len() {
            self.directory.extend_from_within(..);
        }
        let new = self.shards.len() as u32;
        let bit = 1_u64 << depth;
        for (slot, shard) in self.directory.iter_mut().enumerate() {
            if *shard as usize == old && slot as u64 & bit != 0 {
                *shard = new;
            }
        }
        let full = core::mem::take(&mut self.shards[old].table);
        // Room for a whole shard, which a half full one needs already: growing costs rehashing.
        let mut halves = [HashTable::with_capacity(SHARD), HashTable::with_capacity(SHARD)];
        for at in full {
            let hash = rehash(at);
            let half = &mut halves[usize::from((hash >> 32) & bit != 0)];
            half.insert_unique(hash, at, |&at| rehash(at));
        }
        let [low, high] = halves;
        self.shards[old] = Shard { table: low, depth: depth + 1 };
        self.shards.push(Shard { table: high, depth: depth + 1 });
        true
    }
}

impl Default for Index {
    fn default() -> Index {
        Index::new()
    }
}

#[cfg(test)]
mod tests {
    use core::hash::BuildHasher;

    use super::*;
    use crate::hash::Keyed;

    #[test]
    fn an_index_finds_what_it_holds_through_many_splits() {
        let hash = Keyed::new((1, 2));
        let of = |at: u32| hash.hash_one(at);
        let mut index = Index::new();
        for at in 0..20_000 {
            index.insert(of(at), at, of);
        }
        assert!(index.shards.len() > 8, "{} shards", index.shards.len());
        assert!(index.shards.iter().all(|shard| shard.table.len() <= SHARD));
        for at in (0..20_000).step_by(2) {
            index.remove(of(at), at);
        }
        assert_eq!(index.len(), 10_000);
        for at in 0..20_000 {
            let found = index.find(of(at), |held| held == at);
            assert_eq!(found, (at % 2 == 1).then_some(at));
        }
    }

    #[test]
    fn equal_hashes_do_not_split_for_ever() {
        let mut index = Index::new();
        for at in 0..2_000 {
            index.insert(7, at, |_| 7);
        }
        assert_eq!(index.find(7, |at| at == 1_999), Some(1_999));
    }

    #[test]
    fn a_slab_reuses_what_was_freed() {
        let mut slab = Slab::new();
        for value in 0..3_000_u32 {
            assert_eq!(slab.insert(value), value);
        }
        assert_eq!(slab.remove(1_500), 1_500);
        assert_eq!((slab.len(), slab.end()), (2_999, 3_000));
        assert_eq!(slab.insert(9), 1_500);
        assert_eq!(slab[1_500], 9);
    }
}
