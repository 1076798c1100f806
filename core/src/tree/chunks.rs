// SPDX-License-Identifier: Apache-2.0
//! A vector that grows in pieces, so that no push ever moves more than one piece's worth.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

const BITS: u32 = 9;
const PIECE: usize = 1 << BITS;

/// Elements in pieces of a fixed size, by `u32` index.
#[derive(Clone, Debug)]
pub(super) struct Chunks<T> {
    pieces: Vec<Vec<T>>,
    len: u32,
}

impl<T> Chunks<T> {
    pub(super) fn new() -> Chunks<T> {
        Chunks { pieces: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Adds an element and gives back its index.
    pub(super) fn push(&mut self, value: T) -> u32 {
        let at = self.len;
        if at as usize & (PIECE - 1) == 0 {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        self.pieces.last_mut().expect("a piece was added").push(value);
        self.len += 1;
        at
    }
}

impl<T> Index<u32> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.pieces[(at >> BITS) as usize][at as usize & (PIECE - 1)]
    }
}

impl<T> IndexMut<u32> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.pieces[(at >> BITS) as usize][at as usize & (PIECE - 1)]
    }
}
