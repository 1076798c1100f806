// SPDX-License-Identifier: Apache-2.0
//! Quotas: limits on a subtree, stored below `/zookeeper/quota`, and the usage that every server
//! accounts there for itself.
//!
//! The quota of `/a/b` is the pair of `zookeeper_limits` and `zookeeper_stats` below
//! `/zookeeper/quota/a/b`. Which quota governs a path is read off that subtree itself: the deepest
//! znode on the way that has limits. Java keeps a trie beside the tree to the same effect.

use alloc::{string::String, vec::Vec};
use core::fmt::Write;

use super::{NodeId, Tree, change::len_of, slab::NONE, slab::ROOT};

/// Below this are limits and usage.
pub const QUOTA: &[u8] = b"/zookeeper/quota";
/// The name of a znode that holds limits.
pub const LIMITS: &[u8] = b"zookeeper_limits";
/// The name of a znode that holds usage.
pub const STATS: &[u8] = b"zookeeper_stats";

/// Whether the path is where a quota's limits lie. The root has no quota.
pub(super) fn is_limit(path: &[u8]) -> bool {
    names_in_quota(path, LIMITS)
}

fn names_in_quota(path: &[u8], name: &[u8]) -> bool {
    path.strip_prefix(QUOTA).and_then(|rest| rest.strip_suffix(name)).is_some_and(|middle| {
        middle.len() > 1 && middle.starts_with(b"/") && middle.ends_with(b"/")
    })
}

/// Limits or usage: numbers by name, as the znodes hold them in text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// By name, sorted.
    pairs: Vec<(Vec<u8>, i64)>,
}

impl Numbers {
    /// Reads the text. What is no pair of name and number is left out.
    pub fn parse(text: &[u8]) -> Numbers {
        let mut numbers = Numbers::default();
        for pair in text.split(|byte| matches!(byte, b',' | b';')) {
            let mut parts = pair.split(|byte| *byte == b'=');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
            let value = if value.is_empty() { Some(-1) } else { parse_number(value) };
            if let Some(value) = value {
                numbers.set(name, value);
            }
        }
        numbers
    }

    /// Znodes, counting the top one: `count`; -1 if not there.
    pub fn count(&self) -> i64 {
        self.named(b"count")
    }

    /// Bytes of data: `bytes`; -1 if not there.
    pub fn bytes(&self) -> i64 {
        self.named(b"bytes")
    }

    /// The limit on znodes that is enforced; -1 if not there.
    pub fn hard_count(&self) -> i64 {
        self.named(b"countHardLimit")
    }

    /// The limit on bytes that is enforced; -1 if not there.
    pub fn hard_bytes(&self) -> i64 {
        self.named(b"byteHardLimit")
    }

    /// Sets a number.
    pub fn set(&mut self, name: &[u8], value: i64) {
        match self.pairs.binary_search_by(|(other, _)| other.as_slice().cmp(name)) {
            Ok(at) => self.pairs[at].1 = value,
            Err(at) => self.pairs.insert(at, (name.into(), value)),
        }
    }

    /// Writes the text: count and bytes first, and after another `=`, which makes the oldest
    /// readers stop, everything else.
    pub fn text(&self) -> Vec<u8> {
        let mut text = String::new();
        write!(text, "count={},bytes={}", self.count(), self.bytes()).expect("text takes text");
        let mut text = text.into_bytes();
        let others = || self.pairs.iter().filter(|(name, _)| name != b"count" && name != b"bytes");
        if others().next().is_some() {
            text.push(b'=');
        }
        for (name, value) in others() {
            text.push(b';');
            text.extend_from_slice(name);
            let mut number = String::new();
            write!(number, "={value}").expect("text takes text");
            text.extend_from_slice(number.as_bytes());
        }
        text
    }

    fn named(&self, name: &[u8]) -> i64 {
        let found = self.pairs.binary_search_by(|(other, _)| other.as_slice().cmp(name));
        found.map_or(-1, |at| self.pairs[at].1)
    }
}

fn parse_number(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// The quota that governs a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The top of the subtree it governs.
    pub path: Vec<u8>,
    /// The limits.
    pub limits: Numbers,
    /// The usage.
    pub usage: Numbers,
}

/// A limit that a change would go beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Whether it is one that is enforced, and not only reported.
    pub hard: bool,
    /// Whether it is on bytes, and not on znodes.
    pub bytes: bool,
    /// What the usage would be.
    pub usage: i64,
    /// The limit.
    pub limit: i64,
}

impl Quota {
    /// The limits that this much more would go beyond: at most one on znodes and one on bytes, in
    /// that order. As in Java, a hard limit puts the soft one of its kind aside.
    pub fn excesses(&self, more_bytes: i64, more_count: i64) -> impl Iterator<Item = Excess> {
        let limits = &self.limits;
        let count = (more_count, self.usage.count(), limits.hard_count(), limits.count());
        let bytes = (more_bytes, self.usage.bytes(), limits.hard_bytes(), limits.bytes());
        [(false, count), (true, bytes)].into_iter().filter_map(|(bytes, kind)| {
            let (more, used, hard_limit, soft_limit) = kind;
            let hard = hard_limit > -1;
            let limit = if hard { hard_limit } else { soft_limit };
            let usage = used.saturating_add(more);
            let beyond = more != 0 && limit > -1 && usage > limit;
            beyond.then_some(Excess { hard, bytes, usage, limit })
        })
    }
}

impl Tree {
    /// The quota that governs a path, if any does.
    pub fn quota(&self, path: &[u8]) -> Option<Quota> {
        let (at, end) = self.governing(path)?;
        let numbers = |name| {
            let node = self.locate_child(at, name)?;
            Some(Numbers::parse(self.nodes.get(node).data().unwrap_or_default()))
        };
        let (limits, usage) = (numbers(LIMITS)?, numbers(STATS)?);
        Some(Quota { path: path[..end].into(), limits, usage })
    }

    /// Accounts a change where the path's quota keeps its usage.
    pub(super) fn account(&mut self, path: &[u8], more_bytes: i64, more_count: i64) {
        let Some((at, _)) = self.governing(path) else { return };
        let Some(stats) = self.locate_child(at, STATS) else { return };
        let mut usage = Numbers::parse(self.nodes.get(stats).data().unwrap_or_default());
        usage.set(b"count", usage.count().saturating_add(more_count));
        usage.set(b"bytes", usage.bytes().saturating_add(more_bytes));
        self.set_own_data(stats, &usage.text());
    }

    /// A new usage znode begins with what its subtree uses now.
    pub(super) fn quota_after_create(&mut self, parent: u32, path: &[u8]) {
        if names_in_quota(path, STATS) {
            self.recount(parent);
        }
    }

    /// Counts every quota's usage from scratch, after loading.
    pub(super) fn recount_all(&mut self) {
        if self.quotas == 0 {
            return;
        }
        let Some(top) = self.find(QUOTA) else { return };
        let mut at = top;
        while let Some(next) = self.walk_next(top, at) {
            at = next;
            if self.name(at) == LIMITS && self.node(at).parent != top.0 {
                self.recount(self.node(at).parent);
            }
        }
    }

    /// Counts the usage of the quota whose limits and usage are children of `at`.
    fn recount(&mut self, at: u32) {
        let Some(stats) = self.locate_child(at, STATS) else { return };
        let path = self.stored_path(at);
        let (count, bytes) = self.find(&path[QUOTA.len()..]).map_or((0, 0), |NodeId(top)| {
            let top = self.nodes.get(top);
            let (below, bytes) = top.below();
            (i64::from(below) + 1, i64::try_from(bytes).expect("a size") + len_of(top.data_len()))
        });
        let mut usage = Numbers::default();
        usage.set(b"count", count);
        usage.set(b"bytes", bytes);
        self.set_own_data(stats, &usage.text());
    }

    /// Where the limits and the usage for a path lie, and how much of the path they govern.
    fn governing(&self, path: &[u8]) -> Option<(u32, usize)> {
        if self.quotas == 0 {
            return None;
        }
        let mut at = self.locate(QUOTA)?;
        let mut best = (NONE, 0);
        let mut end = 0;
        for name in path.strip_prefix(b"/")?.split(|byte| *byte == b'/') {
            let Some(next) = self.locate_child(at, name) else { break };
            (at, end) = (next, end + 1 + name.len());
            if self.locate_child(at, LIMITS).is_some() {
                best = (at, end);
            }
        }
        (best.0 != NONE && best.0 != ROOT).then_some(best)
    }
}
