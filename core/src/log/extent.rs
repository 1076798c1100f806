// SPDX-License-Identifier: Apache-2.0
//! Finds where a tree ends in the bytes of a snapshot, keeping none of them.
//!
//! ```text
//! tree  = int:lists (long:id int:entries (int:perms string string)*)* znode* string:"/"
//! znode = string:path buffer:data long:acl stat(60 bytes)
//!
//! Lists -> Entries -> Scheme -> Name -> Path -> Data -> Path ... Path -> Letter -> Done
//! ```
//!
//! What the tree's loader takes, this walks over; it is for whoever passes a tree on.

use crate::jute::Malformed;

/// Bytes of a znode behind its data: the number of its ACL, and its stat.
const ZNODE_TAIL: u64 = 8 + 60;

/// A walk over a tree that comes in pieces of any size.
#[derive(Clone, Debug)]
pub struct TreeExtent {
    /// No string and no buffer may be longer.
    limit: u32,
    stage: Stage,
    /// Bytes to pass over before the stage's field.
    skip: u64,
    /// The beginning of the stage's field.
    field: [u8; 4],
    have: usize,
}

/// Which number comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// How many ACLs there are.
    Lists,
    /// How many entries the first of so many lists has.
    Entries { lists: u32 },
    /// How long the scheme of the first of so many entries is.
    Scheme { entries: u32, lists: u32 },
    /// How long its name is.
    Name { entries: u32, lists: u32 },
    /// How long a path is.
    Path,
    /// The only letter of a path.
    Letter,
    /// How long a znode's data is.
    Data,
    /// Nothing.
    Done,
}

impl TreeExtent {
    /// A walk from a tree's first byte; strings and buffers beyond `limit` bytes are malformed.
    pub fn new(limit: u32) -> TreeExtent {
        TreeExtent { limit, stage: Stage::Lists, skip: 0, field: [0; 4], have: 0 }
    }

    /// Whether the tree's end was passed.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Takes the next bytes; gives back how many of them belong to the tree: fewer than all only
    /// at its end.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut rest = bytes;
        while self.stage != Stage::Done && !rest.is_empty() {
            let skipped = self.skip.min(rest.len() as u64);
            self.skip -= skipped;
            rest = &rest[skipped as usize..];
            let whole = if self.stage == Stage::Letter { 1 } else { 4 };
            let taken = rest.len().min(whole - self.have);
            self.field[self.have..self.have + taken].copy_from_slice(&rest[..taken]);
            self.have += taken;
            rest = &rest[taken..];
            if self.have == whole {
                self.have = 0;
                self.stage = self.next()?;
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Judges the stage's field, which is whole: what follows it, and after how many bytes.
    fn next(&mut self) -> Result<Stage, Malformed> {
        Ok(match self.stage {
            Stage::Lists => self.list(self.count()?),
            Stage::Entries { lists } => self.entry(self.count()?, lists),
            Stage::Scheme { entries, lists } => {
                self.skip = self.len()?;
                Stage::Name { entries, lists }
            }
            Stage::Name { entries, lists } => {
                let len = self.len()?;
                let next = self.entry(entries - 1, lists);
                self.skip += len;
                next
            }
            Stage::Path => match self.count()? {
                1 => Stage::Letter,
                len if len > self.limit => return Err(Malformed),
                len => {
                    self.skip = u64::from(len);
                    Stage::Data
                }
            },
            Stage::Letter if self.field[0] == b'/' => Stage::Done,
            Stage::Letter => Stage::Data,
            Stage::Data => {
                self.skip = self.len()? + ZNODE_TAIL;
                Stage::Path
            }
            Stage::Done => Stage::Done,
        })
    }

    /// What comes when so many lists are left.
    fn list(&mut self, lists: u32) -> Stage {
        match lists {
            0 => Stage::Path,
            lists => {
                self.skip = 8;
                Stage::Entries { lists }
            }
        }
    }

    /// What comes when so many entries of the first of so many lists are left.
    fn entry(&mut self, entries: u32, lists: u32) -> Stage {
        match entries {
            0 => self.list(lists - 1),
            entries => {
                self.skip = 4;
                Stage::Scheme { entries, lists }
            }
        }
    }

    /// A count, or the length of what may not be null.
    fn count(&self) -> Result<u32, Malformed> {
        u32::try_from(i32::from_be_bytes(self.field)).map_err(|_| Malformed)
    }

    /// The length of what may be null.
    fn len(&self) -> Result<u64, Malformed> {
        match i32::from_be_bytes(self.field) {
            -1 => Ok(0),
            _ => {
                Ok(u64::from(self.count().ok().filter(|len| *len <= self.limit).ok_or(Malformed)?))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec::Vec};
    use core::iter;

    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::{hash::Keyed, jute::Write, tree::Loader};

    const LIMIT: u32 = 1 << 20;

    /// Trees of Java's snapshots: where they begin and end.
    const TREES: [&[u8]; 3] = [
        include_bytes!("../../../tests/fixtures/datadir-3.4.6/snapshot.13"),
        include_bytes!("../../../tests/fixtures/datadir-3.8.0/snapshot.1b"),
        include_bytes!("../../../tests/fixtures/datadir-3.9.5/snapshot.19"),
    ];

    /// How many bytes the walk takes, fed in pieces; none while the end has not come.
    fn walk(bytes: &[u8], piece: usize) -> Result<Option<usize>, Malformed> {
        let mut extent = TreeExtent::new(LIMIT);
        let mut taken = 0;
        for piece in bytes.chunks(piece) {
            taken += extent.feed(piece)?;
        }
        Ok(extent.is_done().then_some(taken))
    }

    /// The same, by the loader, for which names of znodes mean something.
    fn load(bytes: &[u8]) -> Option<usize> {
        let mut loader = Loader::new(Keyed::new((1, 2)));
        let taken = loader.feed(bytes).ok()?;
        loader.is_done().then_some(taken)
    }

    #[test]
    fn a_tree_ends_where_its_loader_says_however_it_is_cut() {
        for file in TREES {
            let tree = &file[32..];
            let end = load(tree).expect("Java wrote it");
            for piece in [1, 2, 3, 7, 64, 4096] {
                assert_eq!(walk(tree, piece), Ok(Some(end)), "pieces of {piece}");
            }
            assert_eq!(walk(&tree[..end - 1], 64), Ok(None));
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_malformed() {
        let numbers = |numbers: &[i32]| {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|n| bytes.put_int(*n));
            walk(&bytes, 4096)
        };
        assert_eq!(numbers(&[-1]), Err(Malformed), "lists");
        assert_eq!(numbers(&[1, 0, 0, -1]), Err(Malformed), "entries");
        assert_eq!(numbers(&[1, 0, 0, 1, 31, -2]), Err(Malformed), "a scheme");
        assert_eq!(numbers(&[1, 0, 0, 1, 31, 0, LIMIT as i32 + 1]), Err(Malformed), "a name");
        assert_eq!(numbers(&[0, -1]), Err(Malformed), "a path");
        assert_eq!(numbers(&[0, LIMIT as i32 + 1]), Err(Malformed), "a long path");
        assert_eq!(numbers(&[0, 0, -2]), Err(Malformed), "data");
        assert_eq!(numbers(&[1, 0, 0, 2, 31, -1, -1, 31, 0, 0, 0, -1]), Ok(None), "nulls");
    }

    /// A tree of these lists, with these children of the root.
    fn tree(lists: &[Vec<Option<Vec<u8>>>], znodes: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_count(lists.len());
        for (id, entries) in lists.iter().enumerate() {
            bytes.put_long(id as i64 + 1);
            bytes.put_count(entries.len());
            for scheme in entries {
                bytes.put_int(31);
                bytes.put_buffer(scheme.as_deref());
                bytes.put_string(b"a name");
            }
        }
        let root = (String::new(), &None);
        let paths = znodes.iter().enumerate().map(|(n, data)| (format!("/{n}"), data));
        for (path, data) in iter::once(root).chain(paths) {
            bytes.put_string(path.as_bytes());
            bytes.put_buffer(data.as_deref());
            bytes.extend_from_slice(&[0; ZNODE_TAIL as usize]);
        }
        bytes.put_string(b"/");
        bytes
    }

    proptest! {
        #[test]
        fn any_tree_ends_where_its_loader_says(
            lists in vec(vec(option::of(vec(any::<u8>(), 0..9)), 0..4), 0..4),
            znodes in vec(option::of(vec(any::<u8>(), 0..9)), 0..4),
            more in vec(any::<u8>(), 0..9),
            piece in 1usize..20,
        ) {
            let tree = tree(&lists, &znodes);
            let bytes = [&tree[..], &more].concat();
            prop_assert_eq!(load(&bytes), Some(tree.len()));
            prop_assert_eq!(walk(&bytes, piece), Ok(Some(tree.len())));
        }

        #[test]
        fn any_bytes_are_walked_over_in_pieces_of_any_size(
            bytes in vec(prop_oneof![9 => Just(0u8), 1 => any::<u8>()], 0..300),
            piece in 1usize..20,
        ) {
            prop_assert_eq!(walk(&bytes, piece), walk(&bytes, 4096));
        }
    }
}
