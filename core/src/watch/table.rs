// SPDX-License-Identifier: Apache-2.0
//! The table under the watches: who watches which path in which way.
//!
//! One [`Watch`] of 24 bytes per registration hangs in two lists, that of its path and kind, and
//! that of its link; one index finds it by (path, link, kind). Paths are interned. Everything
//! lives in slabs that grow in pieces, so a million watches cost some 35 MB beside their paths.

use alloc::boxed::Box;
use core::hash::{BuildHasher, Hasher};

use super::Kind;
use crate::{
    hash::Keyed,
    id::LinkId,
    pieces::{Index, NIL, Slab},
};

#[derive(Clone, Debug)]
pub(super) struct Table {
    hash: Keyed,
    pub paths: Slab<Path>,
    path_index: Index,
    pub links: Slab<Link>,
    link_index: Index,
    pub watches: Slab<Watch>,
    watch_index: Index,
    pub counts: Counts,
}

/// A path that somebody watches.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub text: Box<[u8]>,
    /// The first watch of each kind.
    pub first: [u32; Kind::ALL.len()],
    /// Watches, and fan-outs that still name it. It goes with the last.
    pub refs: u32,
    /// Links that watch it for data, deletion or creation, as Java's data table counts.
    pub data_links: u32,
}

/// A link that watches something, or did.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub id: LinkId,
    /// Its first watch.
    pub first: u32,
    /// The last event it was told of, or need not be told of.
    pub told: u64,
    /// False once dropped: it is told nothing more, and its watches are on their way out.
    pub alive: bool,
    /// Paths that it watches for data, deletion or creation.
    pub data_paths: u32,
}

/// One registration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub path: u32,
    /// The link's position and, in the low two bits, the kind.
    link_kind: u32,
    path_prev: u32,
    pub path_next: u32,
    link_prev: u32,
    pub link_next: u32,
}

/// What the words report, kept as it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// (path, link) pairs in what Java calls the data table.
    pub data: usize,
    /// The same of the child table.
    pub child: usize,
    /// Paths in the data table.
    pub paths: usize,
    /// Links in the data table.
    pub links: usize,
    /// Recursive watches.
    pub recursive: usize,
}

/// Kinds of one (path, link) pair, as bits.
type Kinds = u8;
const DATA_TABLE: Kinds =
    Kind::Data.bit() | Kind::Persistent.bit() | Kind::PersistentRecursive.bit();
const CHILD_TABLE: Kinds = Kind::Child.bit() | Kind::Persistent.bit();

impl Table {
    pub fn new(hash: Keyed) -> Table {
        Table {
            hash,
            paths: Slab::new(),
            path_index: Index::new(),
            links: Slab::new(),
            link_index: Index::new(),
            watches: Slab::new(),
            watch_index: Index::new(),
            counts: Counts::default(),
        }
    }

    pub fn find_link(&self, id: LinkId) -> Option<u32> {
        self.link_index.find(self.hash.hash_one(id), |at| self.links[at].id == id)
    }

    /// The link's position; a new link starts as told of everything up to `told`.
    pub fn intern_link(&mut self, id: LinkId, told: u64) -> u32 {
        if let Some(at) = self.find_link(id) {
            return at;
        }
        let link = Link { id, told, alive: true, ..Link::default() };
        let at = self.links.insert(link);
        let (hash, links) = (self.hash, &self.links);
        self.link_index.insert(hash.hash_one(id), at, |at| hash.hash_one(links[at].id));
        at
    }

    /// Forgets a link's name; its watches keep its position until they are unlinked.
    pub fn drop_link(&mut self, id: LinkId) -> Option<u32> {
        let at = self.find_link(id)?;
        self.link_index.remove(self.hash.hash_one(id), at);
        self.links[at].alive = false;
        Some(at)
    }

    pub fn find_path(&self, text: &[u8]) -> Option<u32> {
        self.path_under(hash_path(self.hash, text), text)
    }

    fn path_under(&self, hash: u64, text: &[u8]) -> Option<u32> {
        self.path_index.find(hash, |at| &*self.paths[at].text == text)
    }

    fn intern_path(&mut self, text: &[u8]) -> u32 {
        let hash = hash_path(self.hash, text);
        if let Some(at) = self.path_under(hash, text) {
            return at;
        }
        let at = self.paths.insert(Path { text: text.into(), ..Path::default() });
        let (key, paths) = (self.hash, &self.paths);
        self.path_index.insert(hash, at, |at| hash_path(key, &paths[at].text));
        at
    }

    /// Lets go of one reference to a path; true if it is gone with it.
    pub fn release_path(&mut self, at: u32) -> bool {
        self.paths[at].refs -= 1;
        let gone = self.paths[at].refs == 0;
        if gone {
            self.path_index.remove(hash_path(self.hash, &self.paths[at].text), at);
            self.paths.remove(at);
        }
        gone
    }

    /// Calls `with` for each interned ancestor of a path, from the root down, in one pass over
    /// its bytes: the hash of a prefix is the hasher's state on the way.
    pub fn ancestors(&self, text: &[u8], mut with: impl FnMut(u32)) {
        let mut hasher = self.hash.build_hasher();
        let mut hashed = 0;
        for (slash, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let end = slash.max(1);
            if end == text.len() {
                break;
            }
            hasher.write(&text[hashed..end]);
            hashed = end;
            if let Some(at) = self.path_under(hasher.finish(), &text[..end]) {
                with(at);
            }
        }
    }

    /// The watch of this kind that a link has on a path.
    pub fn find(&self, path: u32, link: u32, kind: Kind) -> Option<u32> {
        let link_kind = pack(link, kind);
        self.watch_index.find(self.hash.hash_one((path, link_kind)), |at| {
            let watch = &self.watches[at];
            watch.path == path && watch.link_kind == link_kind
        })
    }

    pub fn kinds(&self, path: u32, link: u32) -> Kinds {
        if self.paths[path].refs == 0 {
            return 0;
        }
        let has = |kind: &&Kind| self.find(path, link, **kind).is_some();
        Kind::ALL.iter().filter(has).map(|kind| kind.bit()).sum()
    }

    /// Registers a watch; false if the link has it already.
    pub fn add(&mut self, text: &[u8], link: u32, kind: Kind) -> bool {
        let path = self.intern_path(text);
        let before = self.kinds(path, link);
        if before & kind.bit() != 0 {
            return false;
        }
        let first = self.paths[path].first[kind as usize];
        let at = self.watches.insert(Watch {
            path,
            link_kind: pack(link, kind),
            path_next: first,
            link_next: self.links[link].first,
            ..Watch::default()
        });
        if first != NIL {
            self.watches[first].path_prev = at;
        }
        let first = core::mem::replace(&mut self.links[link].first, at);
        if first != NIL {
            self.watches[first].link_prev = at;
        }
        self.paths[path].first[kind as usize] = at;
        self.paths[path].refs += 1;
        let (hash, watches) = (self.hash, &self.watches);
        let of = |at: u32| hash.hash_one((watches[at].path, watches[at].link_kind));
        self.watch_index.insert(of(at), at, of);
        self.count_change(path, link, before, before | kind.bit());
        true
    }

    /// Takes a watch out of everything and gives it back; the path's reference is still held.
    pub fn unlink(&mut self, at: u32) -> Watch {
        let watch = self.watches[at];
        let (link, kind) = (watch.link(), watch.kind());
        let before = self.kinds(watch.path, link);
        self.watch_index.remove(self.hash.hash_one((watch.path, watch.link_kind)), at);
        match watch.path_prev {
            NIL => {
                // The first of the path's list, or of one that a fan-out took away.
                let first = &mut self.paths[watch.path].first[kind as usize];
                if *first == at {
                    *first = watch.path_next;
                }
            }
            prev => self.watches[prev].path_next = watch.path_next,
        }
        if watch.path_next != NIL {
            self.watches[watch.path_next].path_prev = watch.path_prev;
        }
        match watch.link_prev {
            NIL => self.links[link].first = watch.link_next,
            prev => self.watches[prev].link_next = watch.link_next,
        }
        if watch.link_next != NIL {
            self.watches[watch.link_next].link_prev = watch.link_prev;
        }
        self.watches.remove(at);
        self.count_change(watch.path, link, before, before & !kind.bit());
        watch
    }

    fn count_change(&mut self, path: u32, link: u32, before: Kinds, after: Kinds) {
        let change = |table: Kinds| match (before & table != 0, after & table != 0) {
            (false, true) => 1_isize,
            (true, false) => -1,
            _ => 0,
        };
        let counts = &mut self.counts;
        counts.child = counts.child.wrapping_add_signed(change(CHILD_TABLE));
        let recursive = change(Kind::PersistentRecursive.bit());
        counts.recursive = counts.recursive.wrapping_add_signed(recursive);
        let data = change(DATA_TABLE);
        if data == 0 {
            return;
        }
        counts.data = counts.data.wrapping_add_signed(data);
        let links = &mut self.paths[path].data_links;
        let paths = &mut self.links[link].data_paths;
        if data > 0 {
            counts.paths += usize::from(*links == 0);
            counts.links += usize::from(*paths == 0);
            (*links, *paths) = (*links + 1, *paths + 1);
        } else {
            (*links, *paths) = (*links - 1, *paths - 1);
            counts.paths -= usize::from(*links == 0);
            counts.links -= usize::from(*paths == 0);
        }
    }
}

/// A path's hash is that of its bytes in any cut, so that prefixes can be hashed on the way.
fn hash_path(hash: Keyed, text: &[u8]) -> u64 {
    let mut hasher = hash.build_hasher();
    hasher.write(text);
    hasher.finish()
}

fn pack(link: u32, kind: Kind) -> u32 {
    assert!(link < 1 << 30, "links are bounded long before 2^30");
    link << 2 | kind as u32
}

impl Watch {
    pub fn link(&self) -> u32 {
        self.link_kind >> 2
    }

    pub fn kind(&self) -> Kind {
        Kind::ALL[(self.link_kind & 3) as usize]
    }
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            path: NIL,
            link_kind: 0,
            path_prev: NIL,
            path_next: NIL,
            link_prev: NIL,
            link_next: NIL,
        }
    }
}

impl Default for Path {
    fn default() -> Path {
        Path { text: Box::default(), first: [NIL; Kind::ALL.len()], refs: 0, data_links: 0 }
    }
}

impl Default for Link {
    fn default() -> Link {
        Link { id: LinkId(u64::MAX), first: NIL, told: 0, alive: false, data_paths: 0 }
    }
}
