// SPDX-License-Identifier: Apache-2.0
//! What an operation costs in things that can be counted: allocations, bytes held and syncs. Unlike
//! times, these are the same on every machine.

mod driven;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use driven::{Driven, create, packet};
use menagerie_core::proto::Request;

/// The system's allocator, counting the calls of each thread and the bytes that it holds.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has nothing left to count in.
    let _ = ALLOCATIONS.try_with(|so_far| so_far.set(so_far.get() + 1));
}

fn hold(gone: usize, come: usize) {
    let _ = HELD.try_with(|held| held.set(held.get().wrapping_sub(gone).wrapping_add(come)));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        hold(0, layout.size());
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        hold(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        hold(layout.size(), size);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Turns of 32 requests before anything is counted: tables and buffers grow to what they need.
const WARM_UP: i32 = 64;

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 1);
}

#[test]
fn a_read_allocates_nothing() {
    let mut driven = Driven::new();
    let link = driven.connect();
    driven.frame(link, &packet(1, &create(b"/a", &[7; 100])));
    driven.settle();
    let requests = [
        Request::GetData { path: b"/a", watch: false },
        Request::Exists { path: b"/a", watch: false },
        Request::GetChildren { path: b"/", watch: false },
        Request::GetChildren2 { path: b"/", watch: false },
        Request::GetAcl { path: b"/a" },
        Request::Ping,
    ];
    for request in requests {
        let packet = packet(2, &request);
        let mut turn = || {
            for _ in 0..32 {
                driven.frame(link, &packet);
            }
            driven.end_turn();
        };
        (0..WARM_UP).for_each(|_| turn());
        assert_eq!(allocations(turn), 0, "{request:?}");
    }
}

#[test]
fn a_write_allocates_little() {
    let mut driven = Driven::new();
    let link = driven.connect();
    driven.frame(link, &packet(1, &create(b"/a", &[7; 100])));
    driven.settle();
    let write = Request::SetData { path: b"/a", data: Some(&[8; 100]), version: -1 };
    let packet = packet(2, &write);
    let mut turn = || {
        for _ in 0..32 {
            driven.frame(link, &packet);
        }
        driven.settle();
    };
    (0..WARM_UP).for_each(|_| turn());
    // Two a write, for what it will have changed until it is applied; the rest is the batch's.
    let counted = allocations(turn);
    assert!(counted <= 2 * 32 + 8, "{counted} allocations in 32 writes");
}

/// A leaf of which only the data changes holds when that was, and no second allocation.
#[test]
fn a_znode_that_changed_holds_little_more_than_one_that_never_did() {
    const ZNODES: usize = 10_000;
    let mut driven = Driven::new();
    let link = driven.connect();
    let paths: Vec<String> = (0..ZNODES).map(|n| format!("/{n:06}")).collect();
    let mut ask = |make: &dyn Fn(&str) -> Vec<u8>| {
        for some in paths.chunks(32) {
            some.iter().for_each(|path| driven.frame(link, &make(path)));
            driven.settle();
        }
        HELD.get()
    };
    let created = ask(&|path| packet(2, &create(path.as_bytes(), &[7; 100])));
    let change = |path: &str| {
        packet(3, &Request::SetData { path: path.as_bytes(), data: Some(&[8; 100]), version: -1 })
    };
    let changed = ask(&change);
    let each = (changed - created) / ZNODES;
    assert!((24..=32).contains(&each), "{each} bytes");
    assert!(ask(&change) < changed + ZNODES, "and not at each change");
}

#[test]
fn a_batch_is_one_write_and_one_sync_however_many_wrote() {
    let mut driven = Driven::new();
    let links: Vec<_> = (0..32).map(|_| driven.connect()).collect();
    driven.frame(links[0], &packet(1, &create(b"/a", b"")));
    driven.settle();
    let write = packet(2, &Request::SetData { path: b"/a", data: Some(b"x"), version: -1 });
    for writes in [1, 32, 1024] {
        let (syncs, ops) = (driven.syncs, driven.writes);
        for n in 0..writes {
            driven.frame(links[n % links.len()], &write);
        }
        driven.settle();
        assert_eq!((driven.syncs - syncs, driven.writes - ops), (1, 1), "{writes} writes");
    }
}

#[test]
fn what_comes_while_a_batch_is_in_flight_is_one_batch_more() {
    let mut driven = Driven::new();
    let link = driven.connect();
    driven.frame(link, &packet(1, &create(b"/a", b"")));
    driven.settle();
    let write = packet(2, &Request::SetData { path: b"/a", data: Some(b"x"), version: -1 });
    let syncs = driven.syncs;
    for _ in 0..10 {
        driven.frame(link, &write);
        driven.end_turn();
    }
    assert_eq!(driven.syncs - syncs, 1, "nothing more is ordered while one is in flight");
    driven.settle();
    assert_eq!(driven.syncs - syncs, 2);
}
