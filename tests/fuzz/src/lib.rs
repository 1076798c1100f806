// SPDX-License-Identifier: Apache-2.0
//! What the fuzz targets share: bytes cut at arbitrary places, counted allocations, what stands
//! around a machine, and trees written and read again.

pub mod disk;
pub mod peers;
pub mod stage;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use menagerie_core::{
    hash::Keyed,
    tree::{Loader, Tree},
};

/// The system's allocator, counting: bytes in use now, and the most since [`peak`] began.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs `work` and fails if it ever holds more than `limit` bytes at once: law 4 bounds what bytes
/// from outside may allocate.
pub fn within<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    let held = PEAK.load(Relaxed) - before;
    assert!(held <= limit, "{held} bytes were held at once, at most {limit} are allowed");
    result
}

/// Cuts `bytes` into pieces of lengths that follow from `how`: 0 does not cut.
pub fn pieces(how: u8, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (bytes, u32::from(how));
    std::iter::from_fn(move || {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let most = if how < 64 { 4 } else { 300 };
        let len = if how == 0 { rest.len() } else { 1 + (state >> 16) as usize % most };
        let (piece, left) = rest.split_at(len.min(rest.len()));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// A tree as a snapshot has it.
pub fn written(tree: &mut Tree, budget: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    tree.freeze();
    while !tree.freeze_next(&mut bytes, budget) {}
    bytes
}

/// The tree that [`written`] wrote.
pub fn loaded(bytes: &[u8]) -> Tree {
    let mut loader = Loader::new(Keyed::new((3, 4)));
    let used = loader.feed(bytes).expect("a tree as we write it");
    assert!(loader.is_done(), "a tree as we write it has an end");
    assert_eq!(used, bytes.len(), "nothing stands behind it");
    loader.finish().expect("it is done")
}

/// Fails unless the tree, written and read again, is the same; what quotas say is used is counted
/// anew then, as in Java, and may come to more or less than was accounted.
pub fn assert_survives(tree: &mut Tree) {
    let bytes = written(tree, 1 << 16);
    let mut again = loaded(&bytes);
    assert_eq!(again.digest(), tree.digest(), "digest");
    assert_eq!(again.node_count(), tree.node_count(), "znodes");
    assert_eq!(again.ephemerals_count(), tree.ephemerals_count(), "ephemerals");
    assert_eq!(again.ephemeral_owners(), tree.ephemeral_owners(), "owners");
    let quotas = tree.find(b"/zookeeper/quota").map_or(0, |top| tree.descendants(top));
    if quotas == 0 {
        assert_eq!(again.approximate_data_size(), tree.approximate_data_size(), "size");
    }
    // Pieces of another size, and slots in the order of loading: then nothing more may change.
    let once = written(&mut again, 64);
    assert_eq!(written(&mut loaded(&once), 1 << 16), once, "bytes");
}

/// The bytes of a step in a script: one of length, and as many.
pub fn take(script: &mut &[u8]) -> Vec<u8> {
    let Some((len, rest)) = script.split_first() else { return Vec::new() };
    let (bytes, rest) = rest.split_at(rest.len().min(usize::from(*len)));
    *script = rest;
    bytes.to_vec()
}
