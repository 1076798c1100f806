// SPDX-License-Identifier: Apache-2.0
//! The tree as it stood at one moment, written in pieces while changes go on.
//!
//! A snapshot's only order is that parents come before their children. So the walk goes over slots
//! in any order, a znode's unwritten ancestors before it, and a znode that is about to change or go
//! is written right then, ahead of its turn: there is no image to keep, only bytes that come early.
//! A set of bits knows which slots were written; what is created meanwhile counts as written. The
//! ACL table, which stands before the znodes, is walked in the same way.

use alloc::{collections::VecDeque, vec, vec::Vec};

use super::{NONE, NodeId, Tree};
use crate::jute::{Record, Write};

/// Which slots of a table a walk has seen, of those that were there when it began.
#[derive(Clone, Debug)]
pub(super) struct Visited {
    bits: Vec<u64>,
    len: u32,
    next: u32,
}

impl Visited {
    /// None of `len` slots.
    pub(super) fn new(len: u32) -> Visited {
        Visited { bits: vec![0; len.div_ceil(64) as usize], len, next: 0 }
    }

    /// Marks a slot as seen: whether it was there and had not been.
    pub(super) fn first(&mut self, slot: u32) -> bool {
        let first = self.awaits(slot);
        if first {
            self.bits[(slot / 64) as usize] |= 1 << (slot % 64);
        }
        first
    }

    /// Whether a slot was there and has not been seen.
    fn awaits(&self, slot: u32) -> bool {
        slot < self.len && self.bits[(slot / 64) as usize] & (1 << (slot % 64)) == 0
    }

    /// Marks the next unseen slot as seen.
    pub(super) fn next_unvisited(&mut self) -> Option<u32> {
        let slot = self.next_unseen()?;
        self.first(slot);
        Some(slot)
    }

    /// The next unseen slot, not yet marked.
    fn next_unseen(&mut self) -> Option<u32> {
        while self.next < self.len {
            let word = self.bits[(self.next / 64) as usize] >> (self.next % 64);
            let seen = word.trailing_ones();
            if seen == 0 {
                return Some(self.next);
            }
            self.next += seen.min(64 - self.next % 64);
        }
        None
    }
}

/// A walk under way.
#[derive(Clone, Debug)]
pub(super) struct Freeze {
    visited: Visited,
    /// Encoded and not yet handed out, in pieces: what was handed out is let go, and however much
    /// there is, none of it moves when more comes.
    early: VecDeque<Vec<u8>>,
    acls_done: bool,
    /// The head of the ACL table, until it is handed out.
    head: Vec<u8>,
}

/// Bytes in a piece of what is written early, about.
const EARLY_PIECE: usize = 64 << 10;

/// What a slot that holds no znode costs of a budget of bytes.
const EMPTY_SLOT: usize = 8;

impl Tree {
    /// Fixes the tree as it stands now, to be written by [`Tree::freeze_next`].
    ///
    /// # Panics
    /// If a walk is under way.
    pub fn freeze(&mut self) {
        assert!(self.freeze.is_none(), "one snapshot at a time");
        let mut head = Vec::new();
        self.acls.freeze(&mut head);
        self.freeze = Some(alloc::boxed::Box::new(Freeze {
            visited: Visited::new(self.nodes.slots()),
            early: VecDeque::new(),
            acls_done: false,
            head,
        }));
    }

    /// Whether a walk is under way.
    pub fn is_frozen(&self) -> bool {
        self.freeze.is_some()
    }

    /// Gives the walk up.
    pub fn thaw(&mut self) {
        self.freeze = None;
        self.acls.thaw();
    }

    /// Appends about `budget` more bytes of the frozen tree, in the form in which Java's snapshots
    /// have it: the ACL table, the znodes, and the path `/` for an end. True once that is written.
    ///
    /// # Panics
    /// If no walk is under way.
    pub fn freeze_next(&mut self, out: &mut Vec<u8>, budget: usize) -> bool {
        let mut freeze = self.freeze.take().expect("a walk is under way");
        let limit = out.len() + budget.max(1);
        out.append(&mut freeze.head);
        if !freeze.acls_done {
            freeze.acls_done = self.acls.freeze_next(out, limit);
        }
        let done = freeze.acls_done && freeze.write(self, out, limit);
        if done {
            out.put_string(b"/");
        } else {
            self.freeze = Some(freeze);
        }
        done
    }

    /// Writes a znode that is about to change, if a walk has not done so yet.
    #[inline]
    pub(super) fn preserve(&mut self, at: u32) {
        if self.freeze.as_ref().is_some_and(|freeze| freeze.visited.awaits(at)) {
            self.write_early(at);
        }
    }

    /// Tells the walk that a slot's znode is none of its own.
    #[inline]
    pub(super) fn skip_frozen(&mut self, at: u32) {
        if let Some(freeze) = &mut self.freeze {
            freeze.visited.first(at);
        }
    }

    fn write_early(&mut self, at: u32) {
        let mut freeze = self.freeze.take().expect("a walk is under way");
        let mut piece = match freeze.early.back() {
            Some(last) if last.len() < EARLY_PIECE => freeze.early.pop_back().expect("it is there"),
            _ => Vec::with_capacity(EARLY_PIECE + EARLY_PIECE / 4),
        };
        freeze.visit(self, at, &mut piece);
        freeze.early.push_back(piece);
        self.freeze = Some(freeze);
    }

    fn encode_frozen(&self, at: u32, out: &mut Vec<u8>) {
        let node = self.nodes.get(at);
        let len = self.path_len(at);
        out.put_count(len);
        let start = out.len();
        out.resize(start + len, b'/');
        self.fill_path(at, &mut out[start..]);
        out.put_buffer(node.data());
        out.put_long(self.acls.id(node.acl));
        node.stat().encode(out);
    }
}

impl Freeze {
    /// Appends znodes until `out` has reached `limit` bytes; true once none are left.
    fn write(&mut self, tree: &Tree, out: &mut Vec<u8>, limit: usize) -> bool {
        while out.len() < limit
            && let Some(mut piece) = self.early.pop_front()
        {
            if out.is_empty() {
                *out = piece;
            } else {
                out.append(&mut piece);
            }
        }
        if !self.early.is_empty() {
            return false;
        }
        let mut empty = 0;
        while out.len() + empty < limit {
            let Some(at) = self.visited.next_unseen() else { return true };
            if tree.nodes.is_live(at) {
                self.visit(tree, at, out);
            } else {
                self.visited.first(at);
                empty += EMPTY_SLOT;
            }
        }
        false
    }

    /// Writes a znode and before it those above it, as far as they are not written.
    fn visit(&mut self, tree: &Tree, at: u32, out: &mut Vec<u8>) {
        if !self.visited.first(at) {
            return;
        }
        let mut unwritten = Vec::new();
        let mut above = tree.node(NodeId(at)).parent;
        while above != NONE && self.visited.first(above) {
            unwritten.push(above);
            above = tree.node(NodeId(above)).parent;
        }
        for above in unwritten.into_iter().rev() {
            tree.encode_frozen(above, out);
        }
        tree.encode_frozen(at, out);
    }
}
