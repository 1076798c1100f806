// SPDX-License-Identifier: Apache-2.0
//! Expiry buckets: sessions that become late at the same multiple of the tick, in a list through
//! the session table, so that a touch costs no allocation and no search.

use alloc::collections::BTreeMap;

use super::Session;
use crate::{
    pieces::{NIL, Slab},
    time::Instant,
};

/// Sessions that expire together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When.
    pub due: Instant,
    /// How many.
    pub len: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Buckets {
    tick_ms: u64,
    /// By milliseconds; there are no more of them than the longest timeout has ticks.
    lists: BTreeMap<u64, List>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: usize,
}

impl Buckets {
    pub(super) fn new(tick_ms: u32) -> Buckets {
        assert!(tick_ms > 0, "the configuration refuses a tickTime of 0");
        Buckets { tick_ms: u64::from(tick_ms), lists: BTreeMap::new() }
    }

    /// Puts a session into the bucket after `late_ms`, or before it if `early`.
    pub(super) fn enter(&mut self, table: &mut Slab<Session>, at: u32, late_ms: u64, early: bool) {
        let due = (late_ms / self.tick_ms + u64::from(!early)) * self.tick_ms;
        if table[at].due == due {
            return;
        }
        self.leave(table, at);
        let list = self.lists.entry(due).or_insert(List { first: at, last: NIL, len: 0 });
        let session = &mut table[at];
        session.due = due;
        session.prev = list.last;
        session.next = NIL;
        if list.last != NIL {
            table[list.last].next = at;
        }
        list.last = at;
        list.len += 1;
    }

    /// Takes a session out of its bucket, if it is in one.
    pub(super) fn leave(&mut self, table: &mut Slab<Session>, at: u32) {
        let Session { due, prev, next, .. } = table[at];
        if due == 0 {
            return;
        }
        table[at].due = 0;
        let list = self.lists.get_mut(&due).expect("a session's bucket exists");
        match prev {
            NIL => list.first = next,
            prev => table[prev].next = next,
        }
        match next {
            NIL => list.last = prev,
            next => table[next].prev = prev,
        }
        list.len -= 1;
        if list.len == 0 {
            self.lists.remove(&due);
        }
    }

    /// The first session that is late.
    pub(super) fn late(&self, now: Instant) -> Option<u32> {
        let (&due, list) = self.lists.first_key_value()?;
        (due <= now.millis()).then_some(list.first)
    }

    /// When the first bucket is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.lists.first_key_value().map(|(&due, _)| Instant::from_millis(due))
    }

    /// The first bucket after a time, or the first of all.
    pub(super) fn after(&self, after: Option<Instant>) -> Option<Bucket> {
        let from = after.map_or(0, |after| after.millis() + 1);
        let (&due, list) = self.lists.range(from..).next()?;
        Some(Bucket { due: Instant::from_millis(due), len: list.len })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Bucket> {
        let bucket =
            |(&due, list): (&u64, &List)| Bucket { due: Instant::from_millis(due), len: list.len };
        self.lists.iter().map(bucket)
    }

    pub(super) fn members<'a>(
        &self,
        table: &'a Slab<Session>,
        bucket: Bucket,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let first = self.lists.get(&bucket.due.millis()).map(|list| list.first);
        core::iter::successors(first, |&at| match table[at].next {
            NIL => None,
            next => Some(next),
        })
    }
}
