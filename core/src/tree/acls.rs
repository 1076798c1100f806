// SPDX-License-Identifier: Apache-2.0
//! The ACL table: each different list is stored once, under the number that snapshots give it.
//!
//! Java's `ReferenceCountedACLCache`. Znodes hold a slot of this table; a list goes when the last
//! of them does. A snapshot may name a list that it does not contain (Java could lose one): such a
//! number is kept as it is, and grants nothing to anybody.

use alloc::{boxed::Box, vec::Vec};
use core::hash::{BuildHasher, Hasher};

use super::freeze::Visited;
use crate::{
    hash::Keyed,
    jute::{Reader, Record, Write},
    pieces::{Index, Slab},
    proto::{Acl, encode_acls},
};

/// The slot of "everybody may do everything", which is never counted nor written to the table.
pub(super) const OPEN: u32 = 0;

/// The number of [`OPEN`] in snapshots.
const OPEN_ID: i64 = -1;

/// A list of who may do what, in its encoded form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclList {
    bytes: Box<[u8]>,
}

impl AclList {
    /// The list with these entries.
    pub fn new(acls: &[Acl<'_>]) -> AclList {
        let mut bytes = Vec::new();
        encode_acls(Some(acls), &mut bytes);
        AclList { bytes: bytes.into() }
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = Acl<'_>> {
        let mut r = Reader::new(&self.bytes);
        let count = r.vector(12).ok().flatten().expect("a list is stored as encoded here");
        (0..count).map(move |_| Acl::decode(&mut r).expect("a list is stored as encoded here"))
    }

    /// The vector of entries as it travels and is stored.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Clone, Debug, Default)]
struct Slot {
    id: i64,
    list: AclList,
    refs: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Stored,
    /// Named by a snapshot that does not contain it.
    Lost,
}

/// All lists.
#[derive(Clone, Debug)]
pub(super) struct AclTable {
    hash: Keyed,
    slots: Slab<Slot>,
    by_list: Index,
    by_id: Index,
    stored: u32,
    last_id: i64,
    scratch: Vec<u8>,
    frozen: Option<Frozen>,
}

/// A walk over the table as it stood at one point in time.
#[derive(Clone, Debug)]
struct Frozen {
    visited: Visited,
    out: Vec<u8>,
}

impl AclTable {
    pub(super) fn new(hash: Keyed) -> AclTable {
        let mut slots = Slab::new();
        let list = AclList::new(&[Acl::OPEN]);
        slots.insert(Slot { id: OPEN_ID, list, refs: 0, state: State::Lost });
        AclTable {
            hash,
            slots,
            by_list: Index::new(),
            by_id: Index::new(),
            stored: 0,
            last_id: 0,
            scratch: Vec::new(),
            frozen: None,
        }
    }

    /// Different lists stored.
    pub(super) fn len(&self) -> u32 {
        self.stored
    }

    pub(super) fn list(&self, slot: u32) -> &AclList {
        &self.slots[slot].list
    }

    /// The number of a slot's list in snapshots.
    pub(super) fn id(&self, slot: u32) -> i64 {
        self.slots[slot].id
    }

    /// One more user of a list, which is stored if it is new. Null is open, as in Java.
    pub(super) fn hold(&mut self, acls: Option<&[Acl<'_>]>) -> u32 {
        let Some(acls) = acls else { return OPEN };
        let mut bytes = core::mem::take(&mut self.scratch);
        bytes.clear();
        encode_acls(Some(acls), &mut bytes);
        let slot = match self.find_list(&bytes) {
            Some(slot) => slot,
            None => {
                let list = AclList { bytes: bytes.as_slice().into() };
                self.add(self.last_id + 1, list, State::Stored)
            }
        };
        self.scratch = bytes;
        self.slots[slot].refs += 1;
        slot
    }

    /// One more user of the list with this number in a snapshot.
    pub(super) fn hold_id(&mut self, id: i64) -> u32 {
        if id == OPEN_ID {
            return OPEN;
        }
        let slot = self.find_id(id).unwrap_or_else(|| {
            let nobody = AclList::new(&[Acl { perms: 0, ..Acl::OPEN }]);
            self.add(id, nobody, State::Lost)
        });
        self.slots[slot].refs += 1;
        slot
    }

    /// One user less.
    pub(super) fn release(&mut self, slot: u32) {
        if slot == OPEN {
            return;
        }
        self.slots[slot].refs -= 1;
        if self.slots[slot].refs == 0 {
            self.remove(slot);
        }
    }

    /// Stores a list of a snapshot's table, not used by anyone yet.
    pub(super) fn load(&mut self, id: i64, acls: &[Acl<'_>]) {
        if self.find_id(id).is_none() && id != OPEN_ID {
            self.add(id, AclList::new(acls), State::Stored);
        }
    }

    /// Numbers new lists as if one of this number had been there.
    pub(super) fn skip_id(&mut self, id: i64) {
        self.last_id = self.last_id.max(id);
    }

    /// Drops the lists that nobody uses, after loading.
    pub(super) fn purge(&mut self) {
        for slot in 1..self.slots.end() {
            if self.slots[slot].refs == 0 && self.slots[slot].state != State::Free {
                self.remove(slot);
            }
        }
    }

    /// Begins a walk over the table as it stands now: appends the head of its encoding.
    pub(super) fn freeze(&mut self, out: &mut Vec<u8>) {
        out.put_count(self.stored as usize);
        self.frozen = Some(Frozen { visited: Visited::new(self.slots.end()), out: Vec::new() });
    }

    /// Forgets the walk.
    pub(super) fn thaw(&mut self) {
        self.frozen = None;
    }

    /// Appends more of the walk's encoding until `out` has reached `limit` bytes; true at the end.
    pub(super) fn freeze_next(&mut self, out: &mut Vec<u8>, limit: usize) -> bool {
        let Some(mut frozen) = self.frozen.take() else { return true };
        out.append(&mut frozen.out);
        while out.len() < limit {
            let Some(slot) = frozen.visited.next_unvisited() else { return true };
            self.encode_stored(slot, out);
        }
        self.frozen = Some(frozen);
        false
    }

    fn encode_stored(&self, at: u32, out: &mut Vec<u8>) {
        let slot = &self.slots[at];
        if slot.state == State::Stored {
            out.put_long(slot.id);
            out.extend_from_slice(slot.list.encoded());
        }
    }

    fn add(&mut self, id: i64, list: AclList, state: State) -> u32 {
        let slot = self.slots.insert(Slot { id, list, refs: 0, state });
        if let Some(frozen) = &mut self.frozen {
            frozen.visited.first(slot);
        }
        let (slots, hash) = (&self.slots, self.hash);
        let id_hash = hash_id(hash, id);
        self.by_id.insert(id_hash, slot, |at| hash_id(hash, slots[at].id));
        self.last_id = self.last_id.max(id);
        if state == State::Stored {
            self.stored += 1;
            // Of two numbers for one list, which Java can write, only the first is given again.
            let listed = self.find_list(self.slots[slot].list.encoded()).is_some();
            if !listed {
                let rehash = |at| hash_list(hash, slots[at].list.encoded());
                self.by_list.insert(rehash(slot), slot, rehash);
            }
        }
        slot
    }

    fn remove(&mut self, slot: u32) {
        if let Some(mut frozen) = self.frozen.take() {
            if frozen.visited.first(slot) {
                self.encode_stored(slot, &mut frozen.out);
            }
            self.frozen = Some(frozen);
        }
        self.by_id.remove(hash_id(self.hash, self.slots[slot].id), slot);
        if self.slots[slot].state == State::Stored {
            self.stored -= 1;
            let bytes = self.slots[slot].list.encoded();
            if self.find_list(bytes) == Some(slot) {
                self.by_list.remove(hash_list(self.hash, bytes), slot);
            }
        }
        self.slots.remove(slot);
    }

    fn find_list(&self, bytes: &[u8]) -> Option<u32> {
        let hash = hash_list(self.hash, bytes);
        self.by_list.find(hash, |at| *self.slots[at].list.bytes == *bytes)
    }

    fn find_id(&self, id: i64) -> Option<u32> {
        self.by_id.find(hash_id(self.hash, id), |at| self.slots[at].id == id)
    }
}

fn hash_id(key: Keyed, id: i64) -> u64 {
    key.hash_one(id)
}

fn hash_list(key: Keyed, bytes: &[u8]) -> u64 {
    let mut hasher = key.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
