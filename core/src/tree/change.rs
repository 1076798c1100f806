// SPDX-License-Identifier: Apache-2.0
//! How a tree changes: the methods that [`crate::txn::apply`] is made of, Java's `DataTree`.
//!
//! They judge nothing that preparing a transaction has judged, but they tolerate what the replay of
//! a log over a newer snapshot meets: Java takes snapshots while it writes, so a transaction may
//! find its work half done. The znode that exists already, or is gone, is no reason to leave the
//! parent's numbers behind.

use super::{
    CONFIG, CONFIG_ACL, NodeId, Owner, ROOT, Ring, StoredStat, Tree, config_stat, digest,
    hash_name, quota,
    slab::{NONE, Set, Special},
    split,
};
use crate::{
    id::{SessionId, Zxid},
    proto::{Acl, ErrorCode},
};
use core::hash::BuildHasher;

/// A znode to create.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewNode<'a> {
    pub path: &'a [u8],
    pub data: Option<&'a [u8]>,
    pub acl: Option<&'a [Acl<'a>]>,
    pub owner: Owner,
    /// The parent's stored cversion afterwards; -1 for one more than before.
    pub parent_cversion: i32,
    pub zxid: Zxid,
    pub time: i64,
}

/// A znode that was deleted: its ACL, kept until watchers were asked whether they may know.
#[derive(Debug)]
#[must_use = "release its ACL with Tree::let_go"]
pub(crate) struct Deleted {
    acl: u32,
    parent: u32,
}

impl Deleted {
    /// The parent.
    pub(crate) fn parent(&self) -> NodeId {
        NodeId(self.parent)
    }
}

impl Tree {
    pub(crate) fn create(&mut self, new: &NewNode<'_>) -> Result<NodeId, ErrorCode> {
        let (parent_path, name) = split(new.path).ok_or(ErrorCode::NoNode)?;
        let parent = self.locate(parent_path).ok_or(ErrorCode::NoNode)?;
        if new.path == b"/" {
            return Err(ErrorCode::NodeExists);
        }
        let acl = self.acls.hold(new.acl);
        let (zxid, cversion) = (new.zxid, new.parent_cversion);
        if let Some(existing) = self.locate_child(parent, name) {
            self.preserve(existing);
            let old = core::mem::replace(&mut self.nodes.get_mut(existing).acl, acl);
            self.acls.release(old);
            self.raise_cversion(parent, parent_path, cversion, zxid);
            return Err(ErrorCode::NodeExists);
        }
        self.raise_cversion(parent, parent_path, cversion, zxid);
        let stat = StoredStat::fresh(zxid, new.time, new.owner.field());
        let at = self.attach(parent, new.path, new.data, acl, &stat);
        self.quota_after_create(parent, new.path);
        self.account(new.path, len(new.data), 1);
        Ok(NodeId(at))
    }

    /// Deletes a znode, with what lies below, which only a replay can meet.
    pub(crate) fn delete(&mut self, path: &[u8], zxid: Zxid) -> Result<Deleted, ErrorCode> {
        let (parent_path, name) = split(path).ok_or(ErrorCode::NoNode)?;
        let parent = self.locate(parent_path).ok_or(ErrorCode::NoNode)?;
        self.alter(parent, parent_path, |special| special.pzxid = special.pzxid.max(zxid));
        let at = self.locate_child(parent, name).ok_or(ErrorCode::NoNode)?;
        while let Some(below) = self.last_below(at) {
            let path = self.stored_path(below);
            let gone = self.detach(below, &path);
            self.let_go(gone);
        }
        Ok(self.detach(at, path))
    }

    pub(crate) fn set_data(
        &mut self,
        path: &[u8],
        data: Option<&[u8]>,
        version: i32,
        zxid: Zxid,
        time: i64,
    ) -> Result<NodeId, ErrorCode> {
        let at = self.locate(path).ok_or(ErrorCode::NoNode)?;
        self.preserve(at);
        self.subtract(at, path);
        let before = self.nodes.get(at).data_len();
        let node = self.nodes.get_mut(at);
        node.set_data(path, data, Some(Set { mzxid: zxid, mtime: time, version }));
        self.add(at, path);
        let more = len(data) - len_of(before);
        self.nodes.count_above(at, 0, more);
        self.data_size = self.data_size.wrapping_add_signed(more);
        self.account(path, more, 0);
        Ok(NodeId(at))
    }

    /// Has `/zookeeper/config` show this text, of the reconfiguration `zxid`. No transaction says
    /// so before the first one, so it takes no time and no version; Java's servers each put their
    /// own clock's time there (`ZKDatabase.initConfigInZKDatabase`).
    pub(crate) fn show_config(&mut self, text: &[u8], zxid: Zxid) {
        if self.find(CONFIG).is_none() {
            let acl = self.acls.hold(Some(&CONFIG_ACL));
            if self.place(CONFIG, Some(b""), acl, &config_stat()).is_err() {
                return self.acls.release(acl);
            }
        }
        if self.find(CONFIG).is_some_and(|node| self.data(node) != Some(text)) {
            self.set_data(CONFIG, Some(text), -1, zxid, 0).expect("it was found");
        }
    }

    pub(crate) fn set_acl(
        &mut self,
        path: &[u8],
        acl: Option<&[Acl<'_>]>,
        version: i32,
    ) -> Result<NodeId, ErrorCode> {
        let at = self.locate(path).ok_or(ErrorCode::NoNode)?;
        self.alter(at, path, |special| special.aversion = version);
        let acl = self.acls.hold(acl);
        let old = core::mem::replace(&mut self.nodes.get_mut(at).acl, acl);
        self.acls.release(old);
        Ok(NodeId(at))
    }

    /// The list that a deleted znode had.
    pub(crate) fn acl_of(&self, gone: &Deleted) -> &super::AclList {
        self.acls.list(gone.acl)
    }

    /// Releases the list that a deleted znode had.
    pub(crate) fn let_go(&mut self, gone: Deleted) {
        self.acls.release(gone.acl);
    }

    /// Adds a znode with all its numbers, leaving its parent's as they are.
    pub(super) fn place(
        &mut self,
        path: &[u8],
        data: Option<&[u8]>,
        acl: u32,
        stat: &StoredStat,
    ) -> Result<u32, ErrorCode> {
        let (parent, name) = split(path).ok_or(ErrorCode::NoNode)?;
        let parent = self.locate(parent).ok_or(ErrorCode::NoNode)?;
        if self.locate_child(parent, name).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        Ok(self.attach(parent, path, data, acl, stat))
    }

    /// Gives the root its content, when loading.
    pub(super) fn place_root(&mut self, data: Option<&[u8]>, acl: u32, stat: &StoredStat) {
        self.subtract(ROOT, b"");
        let root = self.nodes.get_mut(ROOT);
        self.data_size -= root.data_len() as u64;
        root.set_data(b"", data, None);
        root.set_stat(b"", stat);
        self.data_size += root.data_len() as u64;
        let old = core::mem::replace(&mut root.acl, acl);
        self.acls.release(old);
        self.add(ROOT, b"");
    }

    /// Links a new znode into everything that knows of znodes.
    pub(super) fn attach(
        &mut self,
        parent: u32,
        path: &[u8],
        data: Option<&[u8]>,
        acl: u32,
        stat: &StoredStat,
    ) -> u32 {
        let (parent_path, name) = split(path).expect("a path that has a parent");
        let at = self.nodes.add(parent, name, data, stat.czxid, stat.ctime);
        self.skip_frozen(at);
        let node = self.nodes.get_mut(at);
        node.acl = acl;
        node.set_stat(path, stat);
        self.nodes.get_mut(parent).special_mut(parent_path);
        self.nodes.link_child(at);
        self.nodes.count_above(at, 1, len(data));
        let (nodes, hash) = (&self.nodes, self.hash);
        let rehash = |at| hash_name(hash, nodes.get(at).parent, nodes.get(at).name());
        self.index.insert(hash_name(hash, parent, name), at, rehash);
        self.join_ring(at, stat.owner);
        self.add(at, path);
        self.data_size += size(path, data);
        self.quotas += u32::from(quota::is_limit(path));
        at
    }

    fn detach(&mut self, at: u32, path: &[u8]) -> Deleted {
        self.preserve(at);
        self.subtract(at, path);
        let node = self.nodes.get(at);
        let (acl, owner, parent) = (node.acl, node.owner(), node.parent);
        let bytes = len_of(node.data_len());
        self.data_size -= size(path, node.data());
        self.index.remove(hash_name(self.hash, parent, node.name()), at);
        self.leave_ring(at, owner);
        self.nodes.count_above(at, -1, -bytes);
        self.nodes.unlink_child(at);
        self.nodes.remove(at);
        self.quotas -= u32::from(quota::is_limit(path));
        self.account(path, -bytes, -1);
        Deleted { acl, parent }
    }

    /// Sets the parent's cversion, if that raises it, and then its pzxid.
    fn raise_cversion(&mut self, parent: u32, path: &[u8], cversion: i32, zxid: Zxid) {
        self.alter(parent, path, |special| {
            let wanted = if cversion == -1 { special.cversion.wrapping_add(1) } else { cversion };
            if wanted > special.cversion {
                special.cversion = wanted;
                special.pzxid = zxid;
            }
        });
    }

    /// Changes a znode's numbers and the digest with them.
    fn alter(&mut self, at: u32, path: &[u8], change: impl FnOnce(&mut Special)) {
        self.preserve(at);
        self.subtract(at, path);
        change(self.nodes.get_mut(at).special_mut(path));
        self.add(at, path);
    }

    /// Changes data that the service itself keeps, without a trace in the znode's numbers.
    pub(super) fn set_own_data(&mut self, at: u32, data: &[u8]) {
        let path = self.stored_path(at);
        self.preserve(at);
        self.subtract(at, &path);
        let node = self.nodes.get_mut(at);
        let more = len_of(data.len()) - len_of(node.data_len());
        node.set_data(&path, Some(data), None);
        self.nodes.count_above(at, 0, more);
        self.data_size = self.data_size.wrapping_add_signed(more);
        self.add(at, &path);
    }

    fn subtract(&mut self, at: u32, path: &[u8]) {
        self.digest = self.digest.wrapping_sub(self.digest_of(at, path));
    }

    fn add(&mut self, at: u32, path: &[u8]) {
        self.digest = self.digest.wrapping_add(self.digest_of(at, path));
    }

    fn digest_of(&self, at: u32, path: &[u8]) -> u64 {
        if digest::excluded(path) {
            return 0;
        }
        let node = self.nodes.get(at);
        digest::with_stat(node.body_crc(path), &node.stat())
    }

    fn last_below(&self, at: u32) -> Option<u32> {
        let mut found = None;
        let mut first = self.nodes.get(at).first_child();
        while first != NONE {
            found = Some(first);
            first = self.nodes.get(first).first_child();
        }
        found
    }

    fn join_ring(&mut self, at: u32, owner: i64) {
        match Owner::from_field(owner) {
            Owner::Persistent => {}
            Owner::Container | Owner::Ttl(_) => self.nodes.link_ring(&mut self.swept, at),
            Owner::Ephemeral(session) => self.join_session(at, session),
        }
    }

    fn join_session(&mut self, at: u32, session: SessionId) {
        self.ephemerals += 1;
        let ring = self.locate_ring(session).unwrap_or_else(|| {
            let new = self.rings.insert(Ring { session, head: NONE, len: 0 });
            let (rings, key) = (&self.rings, self.hash);
            let rehash = |at: u32| key.hash_one(rings[at].session.0);
            self.rings_by_session.insert(key.hash_one(session.0), new, rehash);
            new
        });
        let ring = &mut self.rings[ring];
        ring.len += 1;
        self.nodes.link_ring(&mut ring.head, at);
    }

    fn leave_ring(&mut self, at: u32, owner: i64) {
        match Owner::from_field(owner) {
            Owner::Persistent => {}
            Owner::Container | Owner::Ttl(_) => {
                if self.sweeper == at {
                    self.sweeper = self.nodes.ring_after(self.swept, at);
                }
                self.nodes.unlink_ring(&mut self.swept, at);
            }
            Owner::Ephemeral(session) => self.leave_session(at, session),
        }
    }

    fn leave_session(&mut self, at: u32, session: SessionId) {
        self.ephemerals -= 1;
        let found = self.locate_ring(session).expect("its owner has a ring");
        let ring = &mut self.rings[found];
        ring.len -= 1;
        self.nodes.unlink_ring(&mut ring.head, at);
        if ring.len == 0 {
            self.rings_by_session.remove(self.hash.hash_one(session.0), found);
            self.rings.remove(found);
        }
    }
}

fn len(data: Option<&[u8]>) -> i64 {
    len_of(data.unwrap_or_default().len())
}

pub(super) fn len_of(len: usize) -> i64 {
    i64::try_from(len).expect("lengths are bounded by the frame limit")
}

fn size(path: &[u8], data: Option<&[u8]>) -> u64 {
    (path.len() + data.unwrap_or_default().len()) as u64
}
