// SPDX-License-Identifier: Apache-2.0
//! The tree of znodes: what the service is about.
//!
//! A million znodes of a hundred bytes fit into 200 MiB, and no change stalls for longer than the
//! change itself takes, so there is one slab of small nodes, one index over (parent, name)
//! that grows shard by shard, children in linked lists, and the znodes of a
//! session, and those the sweeper minds, in linked rings. Nothing is ever copied whole.
//!
//! Only transactions change a tree ([`crate::txn::apply`]); the methods that do are in [`change`].
//! [`freeze`] writes the tree as it stood at one moment while changes go on, and [`load`] reads
//! that back. Paths are bytes; which of them a request may use is decided where requests are
//! judged.

use alloc::{boxed::Box, vec, vec::Vec};
use core::hash::{BuildHasher, Hasher};

use crate::{
    hash::Keyed,
    id::SessionId,
    pieces::{self, Index},
    proto::{Acl, Stat, perms},
};

mod acls;
mod change;
pub mod digest;
mod freeze;
mod load;
pub mod quota;
mod slab;
mod stat;

pub use acls::AclList;
pub(crate) use change::NewNode;
pub use load::{LoadError, Loader};
pub use stat::{Owner, StoredStat};

use acls::AclTable;
use slab::{NONE, Node, ROOT, Slab};

/// The znode under which the service keeps its own.
pub const PROC: &[u8] = b"/zookeeper";
/// The znode that shows the ensemble's configuration.
pub const CONFIG: &[u8] = b"/zookeeper/config";

/// Who may do what with it: anyone reads, and only those whom another ACL names may reconfigure.
const CONFIG_ACL: [Acl<'static>; 1] = [Acl { perms: perms::READ, ..Acl::OPEN }];

/// The Stat with which it begins.
fn config_stat() -> StoredStat {
    StoredStat { aversion: -1, ..StoredStat::default() }
}

/// A znode of a tree, until the tree next changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// A line of [`Tree::next_owned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owned {
    /// A session that owns ephemeral znodes; they follow.
    Session(SessionId),
    /// An ephemeral znode.
    Znode(NodeId),
}

/// The tree of znodes.
#[derive(Clone, Debug)]
pub struct Tree {
    hash: Keyed,
    nodes: Slab,
    index: Index,
    acls: AclTable,
    rings: pieces::Slab<Ring>,
    rings_by_session: Index,
    ephemerals: usize,
    /// First of the ring of containers and TTL znodes.
    swept: u32,
    /// Where the sweeper is in that ring.
    sweeper: u32,
    digest: u64,
    data_size: u64,
    /// How many znodes carry limits of a quota.
    quotas: u32,
    freeze: Option<Box<freeze::Freeze>>,
}

/// The ephemeral znodes of a session.
#[derive(Clone, Debug, Default)]
struct Ring {
    session: SessionId,
    head: u32,
    len: u32,
}

impl Tree {
    /// The tree of a server that never took a write: `/zookeeper`, `quota` and `config`.
    pub fn new(hash: Keyed) -> Tree {
        let mut tree = Tree::bare(hash);
        for path in [PROC, b"/zookeeper/quota"] {
            let placed = tree.place(path, Some(b""), acls::OPEN, &StoredStat::default());
            placed.expect("parents stand before children");
        }
        let acl = tree.acls.hold(Some(&CONFIG_ACL));
        tree.place(CONFIG, Some(b""), acl, &config_stat()).expect("its parent stands");
        tree
    }

    /// A root and nothing else.
    fn bare(hash: Keyed) -> Tree {
        Tree {
            hash,
            nodes: Slab::new(),
            index: Index::new(),
            acls: AclTable::new(hash),
            rings: pieces::Slab::new(),
            rings_by_session: Index::new(),
            ephemerals: 0,
            swept: NONE,
            sweeper: NONE,
            digest: digest::digest(b"", None, &StoredStat::default()),
            data_size: 1,
            quotas: 0,
            freeze: None,
        }
    }

    /// The root.
    pub fn root(&self) -> NodeId {
        NodeId(ROOT)
    }

    /// The znode at a path. As in Java, both `/` and the empty path are the root.
    pub fn find(&self, path: &[u8]) -> Option<NodeId> {
        self.locate(path).map(NodeId)
    }

    /// A child by name.
    pub fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.locate_child(parent.0, name).map(NodeId)
    }

    /// The parent; none of the root.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        some(self.node(node).parent)
    }

    /// The last part of the path; empty for the root.
    pub fn name(&self, node: NodeId) -> &[u8] {
        self.node(node).name()
    }

    /// The path.
    pub fn path(&self, node: NodeId) -> Vec<u8> {
        if node.0 == ROOT { vec![b'/'] } else { self.stored_path(node.0) }
    }

    /// The data; null differs from empty.
    pub fn data(&self, node: NodeId) -> Option<&[u8]> {
        self.node(node).data()
    }

    /// The numbers as clients see them.
    pub fn stat(&self, node: NodeId) -> Stat {
        let node = self.node(node);
        let len = i32::try_from(node.data_len()).expect("data is bounded by the frame limit");
        node.stat().client_view(len, node.children().cast_signed())
    }

    /// The numbers as they are stored.
    pub fn stored_stat(&self, node: NodeId) -> StoredStat {
        self.node(node).stat()
    }

    /// What removes it.
    pub fn owner(&self, node: NodeId) -> Owner {
        Owner::from_field(self.node(node).owner())
    }

    /// The ACL.
    pub fn acl(&self, node: NodeId) -> &AclList {
        self.acls.list(self.node(node).acl)
    }

    /// Children, in the order they were created or loaded.
    pub fn children(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        let first = some(self.node(node).first_child());
        core::iter::successors(first, |at| some(self.node(*at).next))
    }

    /// How many children.
    pub fn child_count(&self, node: NodeId) -> u32 {
        self.node(node).children()
    }

    /// How many znodes lie below one. Every change keeps count of it, so that nobody has to walk.
    pub fn descendants(&self, node: NodeId) -> u32 {
        self.node(node).below().0
    }

    /// The znode after `at` on the walk over all descendants of `top`, parents first; `top` itself
    /// begins it.
    pub fn walk_next(&self, top: NodeId, at: NodeId) -> Option<NodeId> {
        if let Some(child) = some(self.node(at).first_child()) {
            return Some(child);
        }
        let mut at = at;
        while at != top {
            if let Some(sibling) = some(self.node(at).next) {
                return Some(sibling);
            }
            at = self.parent(at)?;
        }
        None
    }

    /// Ephemeral znodes of a session, in the order they were created or loaded.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = NodeId> {
        let head = self.ring(session).map_or(NONE, |ring| ring.head);
        let after = move |at: &NodeId| some(self.nodes.ring_after(head, at.0));
        core::iter::successors(some(head), after)
    }

    /// The next line of a list of sessions, each followed by its ephemeral znodes. The cursor
    /// begins at 0; a walk survives changes, though it may miss the rest of a session's then.
    pub fn next_owned(&self, cursor: &mut u64) -> Option<Owned> {
        /// Low half of the cursor: 0 before a session, 1 before its first znode, else behind one.
        const BEHIND: u32 = 2;
        let (mut ring, mut low) = ((*cursor >> 32) as u32, *cursor as u32);
        while ring < self.rings.end() {
            let Ring { session, head, len } = self.rings[ring];
            let next = match low {
                _ if len == 0 => None,
                0 => {
                    *cursor = u64::from(ring) << 32 | 1;
                    return Some(Owned::Session(session));
                }
                1 => some(head),
                behind => {
                    let at = NodeId(behind - BEHIND);
                    let still = self.owner(at) == Owner::Ephemeral(session);
                    still.then(|| self.nodes.ring_after(head, at.0)).and_then(some)
                }
            };
            if let Some(node) = next {
                *cursor = u64::from(ring) << 32 | u64::from(node.0 + BEHIND);
                return Some(Owned::Znode(node));
            }
            (ring, low) = (ring + 1, 0);
        }
        None
    }

    /// How many ephemeral znodes a session has.
    pub fn ephemeral_count(&self, session: SessionId) -> u32 {
        self.ring(session).map_or(0, |ring| ring.len)
    }

    /// The sessions that have ephemeral znodes, in order.
    pub fn ephemeral_owners(&self) -> Vec<SessionId> {
        let rings = (0..self.rings.end()).map(|at| &self.rings[at]);
        let mut owners: Vec<_> = rings.filter(|ring| ring.len > 0).map(|r| r.session).collect();
        owners.sort_unstable();
        owners
    }

    /// How many sessions have ephemeral znodes.
    pub fn ephemeral_owners_count(&self) -> usize {
        self.rings.len()
    }

    /// How many ephemeral znodes there are.
    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals
    }

    /// Sets the sweeper back to the first of the containers and TTL znodes.
    pub fn sweep_restart(&mut self) {
        self.sweeper = self.swept;
    }

    /// The next container or TTL znode for the sweeper, which sees each that stays once.
    pub fn sweep_next(&mut self) -> Option<NodeId> {
        let at = some(self.sweeper)?;
        self.sweeper = self.nodes.ring_after(self.swept, at.0);
        Some(at)
    }

    /// The digest over all znodes that count, see [`digest`].
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// A znode's CRC over path and data, from which [`digest::with_stat`] makes its digest;
    /// `path` is its path.
    pub fn body_crc(&self, node: NodeId, path: &[u8]) -> u32 {
        self.node(node).body_crc(path)
    }

    /// How many znodes there are. As in Java, the root counts twice.
    pub fn node_count(&self) -> usize {
        self.nodes.live() + 1
    }

    /// Bytes of all paths and data.
    pub fn approximate_data_size(&self) -> u64 {
        self.data_size
    }

    /// How many different ACLs are in use.
    pub fn acl_count(&self) -> u32 {
        self.acls.len()
    }

    fn node(&self, node: NodeId) -> &Node {
        self.nodes.get(node.0)
    }

    fn locate(&self, path: &[u8]) -> Option<u32> {
        if path.is_empty() || path == b"/" {
            return Some(ROOT);
        }
        let names = path.strip_prefix(b"/")?;
        names.split(|byte| *byte == b'/').try_fold(ROOT, |at, name| self.locate_child(at, name))
    }

    fn locate_child(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let is_it = |at: u32| {
            let node = self.nodes.get(at);
            node.parent == parent && node.name() == name
        };
        self.index.find(hash_name(self.hash, parent, name), is_it)
    }

    /// The path as snapshots and the digest have it: that of the root is empty.
    fn stored_path(&self, at: u32) -> Vec<u8> {
        let mut path = vec![b'/'; self.path_len(at)];
        self.fill_path(at, &mut path);
        path
    }

    fn path_len(&self, at: u32) -> usize {
        self.upwards(at).map(|node| node.name().len() + 1).sum()
    }

    /// Writes the names of a path between slashes that are there already.
    fn fill_path(&self, at: u32, path: &mut [u8]) {
        let mut end = path.len();
        for node in self.upwards(at) {
            let name = node.name();
            path[end - name.len()..end].copy_from_slice(name);
            end -= name.len() + 1;
        }
    }

    /// A znode and those above it, without the root.
    fn upwards(&self, at: u32) -> impl Iterator<Item = &Node> {
        let up = |at: &u32| Some(self.nodes.get(*at).parent);
        let chain = core::iter::successors(Some(at), up).take_while(|at| *at != ROOT);
        chain.map(|at| self.nodes.get(at))
    }

    fn ring(&self, session: SessionId) -> Option<&Ring> {
        self.locate_ring(session).map(|at| &self.rings[at])
    }

    fn locate_ring(&self, session: SessionId) -> Option<u32> {
        let is_it = |at: u32| self.rings[at].session == session;
        self.rings_by_session.find(self.hash.hash_one(session.0), is_it)
    }
}

fn some(at: u32) -> Option<NodeId> {
    (at != NONE).then_some(NodeId(at))
}

fn hash_name(key: Keyed, parent: u32, name: &[u8]) -> u64 {
    let mut hasher = key.build_hasher();
    hasher.write_u32(parent);
    hasher.write(name);
    hasher.finish()
}

/// The parent's path, empty for the root, and the last part. Nothing lies below `//`: the root has
/// no child without a name, and that path is not another one of the root's.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    let parent = &path[..slash];
    (parent != b"/").then_some((parent, &path[slash + 1..]))
}

#[cfg(test)]
mod tests;
