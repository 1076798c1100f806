// SPDX-License-Identifier: Apache-2.0
//! The keyed hash behind every table. Clients choose paths, so collisions must not be theirs to
//! choose; the key is configuration apart from the seed, and no behaviour may depend on it.

use core::hash::BuildHasher;

use siphasher::sip::SipHasher13;

/// Builds hashers under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keyed {
    key: (u64, u64),
}

impl Keyed {
    /// Hashers under this key.
    pub const fn new(key: (u64, u64)) -> Keyed {
        Keyed { key }
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.key.0, self.key.1)
    }
}

/// A map under the keyed hash. Its iteration order must never be visible.
pub type Map<K, V> = hashbrown::HashMap<K, V, Keyed>;

/// A set under the keyed hash. Its iteration order must never be visible.
pub type Set<K> = hashbrown::HashSet<K, Keyed>;
