// SPDX-License-Identifier: Apache-2.0
//! Reads a tree from a snapshot's body, in whatever pieces the bytes come.

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::{NONE, Owner, StoredStat, Tree, split};
use crate::{
    hash::Keyed,
    jute::{Reader, Record},
    proto::{Acl, Identity},
};

/// Why bytes are not a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// A length or count that cannot be.
    Malformed,
    /// A znode before its parent.
    NoParent(String),
    /// A znode twice.
    Twice(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Malformed => f.write_str("a length or count that cannot be"),
            LoadError::NoParent(path) => write!(f, "{path} stands before its parent"),
            LoadError::Twice(path) => write!(f, "{path} stands there twice"),
        }
    }
}

impl core::error::Error for LoadError {}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    AclCount,
    /// So many lists are left.
    Acls(u32),
    /// Entries of the list with this number are left.
    AclEntries {
        id: i64,
        entries: u32,
        lists: u32,
    },
    Nodes,
    Done,
}

/// A tree being read.
#[derive(Clone, Debug)]
pub struct Loader {
    tree: Tree,
    stage: Stage,
    /// Bytes of a record whose end has not come.
    rest: Vec<u8>,
    /// Encoded entries of the list being read.
    entries: Vec<Vec<u8>>,
    /// The parent of the znode read last, which mostly is the next one's too.
    parent_path: Vec<u8>,
    parent: u32,
}

/// What stopped the reading of a record.
enum Stop {
    /// More bytes are needed.
    Short,
    Wrong(LoadError),
}

impl Loader {
    /// Nothing read yet.
    pub fn new(hash: Keyed) -> Loader {
        let mut tree = Tree::bare(hash);
        // A tree of Java's numbers its ACLs after the one that its own first znodes have.
        tree.acls.skip_id(1);
        Loader {
            tree,
            stage: Stage::AclCount,
            rest: Vec::new(),
            entries: Vec::new(),
            parent_path: Vec::new(),
            parent: NONE,
        }
    }

    /// Takes the next bytes; gives back how many of them belong to the tree: fewer than all only
    /// at its end.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, LoadError> {
        if self.stage == Stage::Done {
            return Ok(0);
        }
        let mut all = core::mem::take(&mut self.rest);
        let before = all.len();
        if before == 0 {
            let used = self.read(bytes)?;
            if self.stage == Stage::Done {
                return Ok(used);
            }
            self.rest.extend_from_slice(&bytes[used..]);
            return Ok(bytes.len());
        }
        all.extend_from_slice(bytes);
        let used = self.read(&all)?;
        if self.stage == Stage::Done {
            return Ok(used - before);
        }
        all.drain(..used);
        self.rest = all;
        Ok(bytes.len())
    }

    /// Whether the tree's end was read.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The tree, with quotas counted and unused ACLs dropped; none before its end was read.
    pub fn finish(mut self) -> Option<Tree> {
        if self.stage != Stage::Done {
            return None;
        }
        self.tree.recount_all();
        self.tree.acls.purge();
        Some(self.tree)
    }

    /// Reads whole records; gives back how many bytes they were.
    fn read(&mut self, bytes: &[u8]) -> Result<usize, LoadError> {
        let mut r = Reader::new(bytes);
        while self.stage != Stage::Done {
            let mut ahead = r;
            match self.record(&mut ahead) {
                Ok(()) => r = ahead,
                Err(Stop::Short) => break,
                Err(Stop::Wrong(error)) => return Err(error),
            }
        }
        Ok(bytes.len() - r.rest().len())
    }

    fn record(&mut self, r: &mut Reader<'_>) -> Result<(), Stop> {
        self.stage = match self.stage {
            Stage::AclCount => Stage::Acls(count(r)?.ok_or(Stop::Wrong(LoadError::Malformed))?),
            Stage::Acls(0) => Stage::Nodes,
            Stage::Acls(lists) => {
                let id = r.long().map_err(|_| Stop::Short)?;
                let entries = count(r)?.ok_or(Stop::Wrong(LoadError::Malformed))?;
                Stage::AclEntries { id, entries, lists: lists - 1 }
            }
            Stage::AclEntries { id, entries: 0, lists } => {
                self.store_list(id);
                Stage::Acls(lists)
            }
            Stage::AclEntries { id, entries, lists } => {
                let perms = r.int().map_err(|_| Stop::Short)?;
                let scheme = buffer(r)?.unwrap_or_default();
                let name = buffer(r)?.unwrap_or_default();
                let mut entry = Vec::new();
                Acl { perms, who: Identity { scheme, id: name } }.encode(&mut entry);
                self.entries.push(entry);
                Stage::AclEntries { id, entries: entries - 1, lists }
            }
            Stage::Nodes => self.node(r)?,
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    fn store_list(&mut self, id: i64) {
        let entries = core::mem::take(&mut self.entries);
        self.tree.acls.load(id, &entries.iter().map(|entry| decode(entry)).collect::<Vec<_>>());
    }

    fn node(&mut self, r: &mut Reader<'_>) -> Result<Stage, Stop> {
        let path = buffer(r)?.ok_or(Stop::Wrong(LoadError::Malformed))?;
        if path == b"/" {
            return Ok(Stage::Done);
        }
        let data = buffer(r)?;
        let acl = r.long().map_err(|_| Stop::Short)?;
        let stat = StoredStat::decode(r).map_err(|_| Stop::Short)?;
        self.place(path, data, acl, &stat).map_err(Stop::Wrong)?;
        Ok(Stage::Nodes)
    }

    fn place(
        &mut self,
        path: &[u8],
        data: Option<&[u8]>,
        acl: i64,
        stat: &StoredStat,
    ) -> Result<(), LoadError> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let acl = self.tree.acls.hold_id(acl);
        let Some((parent_path, name)) = split(path) else {
            if path.contains(&b'/') {
                return Err(LoadError::NoParent(shown()));
            }
            // As in Java, whatever has no slash is the root; its owner means nothing.
            let stat = StoredStat { owner: Owner::Persistent.field(), ..*stat };
            self.tree.place_root(data, acl, &stat);
            return Ok(());
        };
        if self.parent == NONE || self.parent_path != parent_path {
            let parent = self.tree.locate(parent_path);
            self.parent = parent.ok_or_else(|| LoadError::NoParent(shown()))?;
            self.parent_path.clear();
            self.parent_path.extend_from_slice(parent_path);
        }
        if self.tree.locate_child(self.parent, name).is_some() {
            return Err(LoadError::Twice(shown()));
        }
        self.tree.attach(self.parent, path, data, acl, stat);
        Ok(())
    }
}

fn decode(entry: &[u8]) -> Acl<'_> {
    Acl::decode(&mut Reader::new(entry)).expect("an entry encoded above")
}

/// A length or count that is not negative; none for null.
fn count(r: &mut Reader<'_>) -> Result<Option<u32>, Stop> {
    match r.int().map_err(|_| Stop::Short)? {
        -1 => Ok(None),
        n => u32::try_from(n).map(Some).map_err(|_| Stop::Wrong(LoadError::Malformed)),
    }
}

fn buffer<'a>(r: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Stop> {
    let Some(len) = count(r)? else { return Ok(None) };
    r.take(len as usize).map(Some).map_err(|_| Stop::Short)
}
