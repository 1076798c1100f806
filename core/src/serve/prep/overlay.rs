// SPDX-License-Identifier: Apache-2.0
//! The tree as it will be: what transactions change that are prepared and not yet applied.
//!
//! Java's `outstandingChanges`. Changes stand in a queue in the order of their transactions; an
//! index finds the latest one of each path. A change leaves at the front when its transaction is
//! applied, or at the back when its multi fails, which uncovers the one before it.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};
use core::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

use crate::{
    hash::{Keyed, Map},
    id::{SessionId, Zxid},
    proto::Acl,
    tree::{AclList, NodeId, Owner, StoredStat, Tree, digest},
};

/// Room for changes that is kept when none are left.
const KEPT_CAPACITY: usize = 4096;

/// A znode as it will be.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) stat: StoredStat,
    pub(super) children: u32,
    pub(super) data_len: usize,
    /// The CRC over path and data, which its digest begins with.
    pub(super) body_crc: u32,
    pub(super) acl: ViewAcl,
}

/// The ACL of a [`View`].
#[derive(Clone, Debug)]
pub(super) enum ViewAcl {
    /// What the tree has for this znode: no pending transaction changes it. The znode is the same
    /// one for as long as none deletes it, and then there is no view of it.
    Trees(NodeId),
    /// Everybody may do everything.
    Open,
    /// The list that a pending transaction gives it.
    Pending(Arc<AclList>),
}

/// What judging a request needs to know of a znode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) stat: StoredStat,
    pub(super) children: u32,
    pub(super) data_len: usize,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Tree(NodeId),
    /// In the change of this number.
    Change(u64),
}

/// Znodes and bytes more than the tree accounts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) count: i64,
    pub(super) bytes: i64,
}

/// A change's part in the pending usage of a quota.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accounted {
    /// The length of the governing prefix of the change's path.
    pub(super) prefix: usize,
    pub(super) more: Usage,
}

#[derive(Clone, Debug)]
struct Change {
    zxid: Zxid,
    hash: u64,
    path: Box<[u8]>,
    /// The number of the change of this path before this one.
    before: Option<u64>,
    /// `None`: deleted.
    view: Option<Box<View>>,
    /// If this change gives the path to a session: to whom.
    gift: Option<Gift>,
    accounted: Option<Box<Accounted>>,
}

/// That a change gives a path to a session.
#[derive(Clone, Copy, Debug)]
struct Gift {
    session: SessionId,
    /// The number of the change before that gave the session one.
    before: Option<u64>,
}

/// Where an overlay stood, for going back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    end: u64,
    digest: u64,
}

/// All pending changes.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    key: Keyed,
    open: AclList,
    changes: VecDeque<Change>,
    /// The number of the first change in the queue.
    first: u64,
    latest: HashTable<u64>,
    /// The last change of each session that gave it a znode.
    owned: Map<SessionId, u64>,
    usage: Map<Box<[u8]>, Usage>,
    digest: u64,
}

impl Overlay {
    pub(super) fn new(key: Keyed) -> Overlay {
        Overlay {
            key,
            open: AclList::new(&[Acl::OPEN]),
            changes: VecDeque::new(),
            first: 0,
            latest: HashTable::new(),
            owned: Map::with_hasher(key),
            usage: Map::with_hasher(key),
            digest: 0,
        }
    }

    /// How many changes are pending.
    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Takes the tree's digest to start from, where nothing is pending.
    pub(super) fn begin(&mut self, tree: &Tree) {
        if self.changes.is_empty() {
            self.digest = tree.digest();
        }
    }

    /// The tree's digest after everything pending.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    /// The znode at a path, if there will be one.
    pub(super) fn see(&self, tree: &Tree, path: &[u8]) -> Option<Seen> {
        if let Some(n) = self.latest_of(path) {
            let view = self.change(n).view.as_ref()?;
            let View { stat, children, data_len, .. } = **view;
            return Some(Seen { stat, children, data_len, at: At::Change(n) });
        }
        let node = tree.find(path)?;
        Some(Seen {
            stat: tree.stored_stat(node),
            children: tree.child_count(node),
            data_len: tree.data(node).map_or(0, <[u8]>::len),
            at: At::Tree(node),
        })
    }

    /// The ACL of a znode.
    pub(super) fn acl<'a>(&'a self, tree: &'a Tree, seen: &Seen) -> &'a AclList {
        match seen.at {
            At::Tree(node) => tree.acl(node),
            At::Change(n) => match &self.view(n).acl {
                ViewAcl::Pending(acl) => acl,
                ViewAcl::Open => &self.open,
                ViewAcl::Trees(node) => tree.acl(*node),
            },
        }
    }

    /// Everything of a znode, to be changed.
    pub(super) fn view_of(&self, tree: &Tree, path: &[u8], seen: &Seen) -> View {
        match seen.at {
            At::Change(n) => self.view(n).clone(),
            At::Tree(node) => View {
                stat: seen.stat,
                children: seen.children,
                data_len: seen.data_len,
                body_crc: tree.body_crc(node, path),
                acl: ViewAcl::Trees(node),
            },
        }
    }

    /// What is pending on the quota of a prefix.
    pub(super) fn usage(&self, prefix: &[u8]) -> Usage {
        self.usage.get(prefix).copied().unwrap_or_default()
    }

    /// Where the overlay stands.
    pub(super) fn mark(&self) -> Mark {
        Mark { end: self.end(), digest: self.digest }
    }

    /// Takes in that a transaction changes a znode: from what had this digest, if there was one,
    /// to what is there now, if anything.
    pub(super) fn put(
        &mut self,
        zxid: Zxid,
        path: &[u8],
        old_digest: Option<u64>,
        new: Option<View>,
        accounted: Option<Accounted>,
    ) {
        if !digest::excluded(path) {
            let new_digest = new.as_ref().map_or(0, View::digest);
            self.digest =
                self.digest.wrapping_sub(old_digest.unwrap_or(0)).wrapping_add(new_digest);
        }
        let session = new.as_ref().filter(|_| old_digest.is_none()).and_then(session_of);
        let (hash, view) = (self.hash(path), new.map(Box::new));
        let before = self.latest_at(hash, path);
        if let Some(n) = before
            && self.change(n).zxid == zxid
            && session.is_none()
            && accounted.is_none()
        {
            // The same transaction again: a parent of many, or a multi.
            self.change_mut(n).view = view;
            return;
        }
        self.account(path, accounted.as_ref(), 1);
        let gift =
            session.map(|session| Gift { session, before: self.owned.insert(session, self.end()) });
        let accounted = accounted.map(Box::new);
        self.push(Change { zxid, hash, path: path.into(), before, view, gift, accounted });
    }

    fn push(&mut self, change: Change) {
        let n = self.end();
        let (hash, before) = (change.hash, change.before);
        self.changes.push_back(change);
        let (first, changes) = (self.first, &self.changes);
        match before {
            Some(old) => {
                let entry = self.latest.find_mut(hash, |at| *at == old);
                *entry.expect("the latest change is indexed") = n;
            }
            None => {
                let rehash = |at: &u64| changes[(at - first) as usize].hash;
                self.latest.insert_unique(hash, n, rehash);
            }
        }
    }

    /// Forgets every change since `mark`, and brings back what stood before at their paths unless
    /// told not to.
    pub(super) fn roll_back(&mut self, mark: Mark, forget: bool) {
        while self.end() > mark.end {
            let change = self.changes.pop_back().expect("there are changes since the mark");
            let n = self.end();
            self.drop_accounted(&change);
            let before = change.before.filter(|before| *before >= self.first && !forget);
            let entry = self.latest.find_entry(change.hash, |at| *at == n);
            let mut entry = entry.expect("the last change of all is the latest of its path");
            match before {
                Some(before) => *entry.get_mut() = before,
                None => drop(entry.remove()),
            }
            if let Some(Gift { session, before }) = change.gift {
                match before.filter(|before| *before >= self.first) {
                    Some(before) => drop(self.owned.insert(session, before)),
                    None => drop(self.owned.remove(&session)),
                }
            }
        }
        self.digest = mark.digest;
    }

    /// Lets the changes go of every transaction up to this one, which the tree has now.
    pub(super) fn release(&mut self, zxid: Zxid) {
        while self.changes.front().is_some_and(|change| change.zxid <= zxid) {
            let change = self.changes.pop_front().expect("there is a first change");
            let n = self.first;
            self.first += 1;
            self.drop_accounted(&change);
            if let Ok(entry) = self.latest.find_entry(change.hash, |at| *at == n) {
                entry.remove();
            }
            if let Some(Gift { session, .. }) = change.gift
                && self.owned.get(&session) == Some(&n)
            {
                self.owned.remove(&session);
            }
        }
        if self.changes.is_empty() && self.changes.capacity() > KEPT_CAPACITY {
            *self = Overlay { first: self.first, ..Overlay::new(self.key) };
        }
    }

    /// The paths that pending transactions create for a session and that will still be its own,
    /// last ones first.
    pub(super) fn owned_by(&self, session: SessionId) -> impl Iterator<Item = &[u8]> {
        let held = |n: &u64| *n >= self.first;
        let last = self.owned.get(&session).copied().filter(held);
        let before = move |n: &u64| self.change(*n).gift?.before.filter(held);
        core::iter::successors(last, before).map(|n| self.change(n)).filter_map(move |change| {
            let view = change.view.as_ref().filter(|view| session_of(view) == Some(session))?;
            self.is_still(&change.path, view.stat.czxid).then_some(&*change.path)
        })
    }

    /// Whether the znode that transaction `czxid` created at a path will still be there, as far
    /// as pending changes tell.
    pub(super) fn is_still(&self, path: &[u8], czxid: Zxid) -> bool {
        let Some(n) = self.latest_of(path) else { return true };
        self.change(n).view.as_ref().is_some_and(|view| view.stat.czxid == czxid)
    }

    fn drop_accounted(&mut self, change: &Change) {
        self.account(&change.path, change.accounted.as_deref(), -1);
    }

    fn account(&mut self, path: &[u8], accounted: Option<&Accounted>, sign: i64) {
        let Some(Accounted { prefix, more }) = accounted else { return };
        let prefix = &path[..*prefix];
        let mut usage = self.usage(prefix);
        usage.count += sign * more.count;
        usage.bytes += sign * more.bytes;
        if usage == Usage::default() {
            self.usage.remove(prefix);
        } else {
            self.usage.insert(prefix.into(), usage);
        }
    }

    pub(super) fn latest_of(&self, path: &[u8]) -> Option<u64> {
        if self.changes.is_empty() {
            return None;
        }
        self.latest_at(self.hash(path), path)
    }

    fn latest_at(&self, hash: u64, path: &[u8]) -> Option<u64> {
        self.latest.find(hash, |n| *self.change(*n).path == *path).copied()
    }

    fn hash(&self, path: &[u8]) -> u64 {
        let mut hasher = self.key.build_hasher();
        hasher.write(path);
        hasher.finish()
    }

    fn end(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn change(&self, n: u64) -> &Change {
        &self.changes[(n - self.first) as usize]
    }

    fn change_mut(&mut self, n: u64) -> &mut Change {
        &mut self.changes[(n - self.first) as usize]
    }

    fn view(&self, n: u64) -> &View {
        self.change(n).view.as_ref().expect("a deleted znode is not seen")
    }
}

impl ViewAcl {
    /// The list that a prepared transaction gives.
    pub(super) fn given(acl: &[Acl<'_>]) -> ViewAcl {
        if acl == [Acl::OPEN] {
            ViewAcl::Open
        } else {
            ViewAcl::Pending(Arc::new(AclList::new(acl)))
        }
    }
}

impl View {
    /// What it adds to the tree's digest, were it not left out.
    pub(super) fn digest(&self) -> u64 {
        digest::with_stat(self.body_crc, &self.stat)
    }
}

fn session_of(view: &View) -> Option<SessionId> {
    match Owner::from_field(view.stat.owner) {
        Owner::Ephemeral(session) => Some(session),
        Owner::Persistent | Owner::Container | Owner::Ttl(_) => None,
    }
}
