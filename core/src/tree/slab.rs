// SPDX-License-Identifier: Apache-2.0
//! Where znodes lie: 56 bytes each, and one allocation for name and data together.
//!
//! Most znodes are leaves of which only the data ever changes, so what only others need (owner,
//! children, other versions) hangs off a second allocation, made when a number first differs from
//! what creation gave it. When data was set stands in front of the name, once it was set at all.

use alloc::{boxed::Box, vec::Vec};

use super::{acls, digest, stat::StoredStat};
use crate::{id::Zxid, pieces};

/// No znode.
pub(super) const NONE: u32 = pieces::NIL;

/// The parent of a slot that holds no znode.
const FREE: u32 = u32::MAX - 1;

/// The root's slot.
pub(super) const ROOT: u32 = 0;

/// Set in a body's first byte if data is null, which differs from empty.
const NULL_DATA: u8 = 1;

/// Set in a body's first byte if [`Changed`] stands before the name: never beside a [`Special`],
/// which has the same numbers.
const CHANGED: u8 = 4;

/// Set in a body's first byte if four bytes give the name's length, and not one.
const LONG_NAME: u8 = 2;

#[derive(Clone, Debug)]
pub(super) struct Node {
    czxid: Zxid,
    ctime: i64,
    body: Box<[u8]>,
    special: Option<Box<Special>>,
    /// A slot of the ACL table.
    pub(super) acl: u32,
    /// The parent's slot; in a free slot, [`FREE`].
    pub(super) parent: u32,
    /// The next sibling.
    pub(super) next: u32,
    /// The sibling before, or of a first child the last.
    pub(super) prev: u32,
}

/// A free slot.
impl Default for Node {
    fn default() -> Node {
        Node {
            czxid: Zxid::ZERO,
            ctime: 0,
            body: Box::default(),
            special: None,
            acl: acls::OPEN,
            parent: FREE,
            next: NONE,
            prev: NONE,
        }
    }
}

/// What few znodes need.
#[derive(Clone, Debug)]
pub(super) struct Special {
    pub(super) mzxid: Zxid,
    pub(super) mtime: i64,
    pub(super) pzxid: Zxid,
    pub(super) owner: i64,
    pub(super) version: i32,
    pub(super) cversion: i32,
    pub(super) aversion: i32,
    /// The CRC of path and data, of which the digest is made.
    body_crc: u32,
    pub(super) first_child: u32,
    pub(super) children: u32,
    /// Znodes below this one.
    below: u32,
    /// Bytes of their data.
    bytes_below: u64,
    /// Neighbours in the ring of the session's znodes, or of those the sweeper minds.
    pub(super) ring_next: u32,
    pub(super) ring_prev: u32,
}

/// The setting of a znode's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) mzxid: Zxid,
    pub(super) mtime: i64,
    pub(super) version: i32,
}

/// What a znode needs of which only the data was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Changed {
    set: Set,
    /// The CRC of path and data, of which the digest is made.
    body_crc: u32,
}

impl Changed {
    const LEN: usize = 24;

    fn to_bytes(self) -> [u8; Changed::LEN] {
        let Changed { set: Set { mzxid, mtime, version }, body_crc } = self;
        let mut bytes = [0; Changed::LEN];
        bytes[..8].copy_from_slice(&mzxid.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&mtime.to_le_bytes());
        bytes[16..20].copy_from_slice(&version.to_le_bytes());
        bytes[20..].copy_from_slice(&body_crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Changed::LEN]) -> Changed {
        let long = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        let int = |at: usize| bytes[at..at + 4].try_into().expect("four");
        let version = i32::from_le_bytes(int(16));
        let set = Set { mzxid: Zxid(long(0)), mtime: long(8), version };
        Changed { set, body_crc: u32::from_le_bytes(int(20)) }
    }
}

impl Node {
    pub(super) fn name(&self) -> &[u8] {
        let (start, len) = self.name_range();
        &self.body[start..start + len]
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        let (start, len) = self.name_range();
        (self.body[0] & NULL_DATA == 0).then(|| &self.body[start + len..])
    }

    pub(super) fn data_len(&self) -> usize {
        let (start, len) = self.name_range();
        self.body.len() - start - len
    }

    pub(super) fn stat(&self) -> StoredStat {
        let fresh = || StoredStat::fresh(self.czxid, self.ctime, 0);
        match &self.special {
            None => self.changed().map_or_else(fresh, |Changed { set, .. }| {
                let Set { mzxid, mtime, version } = set;
                StoredStat { mzxid, mtime, version, ..fresh() }
            }),
            Some(special) => StoredStat {
                czxid: self.czxid,
                mzxid: special.mzxid,
                ctime: self.ctime,
                mtime: special.mtime,
                version: special.version,
                cversion: special.cversion,
                aversion: special.aversion,
                owner: special.owner,
                pzxid: special.pzxid,
            },
        }
    }

    pub(super) fn owner(&self) -> i64 {
        self.special.as_ref().map_or(0, |special| special.owner)
    }

    pub(super) fn children(&self) -> u32 {
        self.special.as_ref().map_or(0, |special| special.children)
    }

    /// Znodes below this one, and the bytes of their data.
    pub(super) fn below(&self) -> (u32, u64) {
        self.special.as_ref().map_or((0, 0), |special| (special.below, special.bytes_below))
    }

    pub(super) fn first_child(&self) -> u32 {
        self.special.as_ref().map_or(NONE, |special| special.first_child)
    }

    pub(super) fn special(&self) -> Option<&Special> {
        self.special.as_deref()
    }

    /// The CRC of path and data, remembered where there is room for it.
    pub(super) fn body_crc(&self, path: &[u8]) -> u32 {
        match &self.special {
            Some(special) => special.body_crc,
            None => self
                .changed()
                .map_or_else(|| digest::body_crc(path, self.data()), |changed| changed.body_crc),
        }
    }

    fn changed(&self) -> Option<Changed> {
        let (start, _) = self.name_range();
        let at = (self.body[0] & CHANGED != 0).then(|| start - Changed::LEN)?;
        self.body[at..].first_chunk().map(Changed::from_bytes)
    }

    /// The numbers that few znodes need, to be changed; `path` is this znode's.
    pub(super) fn special_mut(&mut self, path: &[u8]) -> &mut Special {
        if self.special.is_none() {
            let StoredStat { mzxid, mtime, version, .. } = self.stat();
            let body_crc = self.body_crc(path);
            self.head(None);
            self.special = Some(Box::new(Special {
                mzxid,
                mtime,
                pzxid: self.czxid,
                owner: 0,
                version,
                cversion: 0,
                aversion: 0,
                body_crc,
                first_child: NONE,
                children: 0,
                below: 0,
                bytes_below: 0,
                ring_next: NONE,
                ring_prev: NONE,
            }));
        }
        self.special.as_mut().expect("made above")
    }

    /// The numbers that few znodes need, of one that has them.
    pub(super) fn special_there(&mut self) -> &mut Special {
        self.special.as_mut().expect("a parent or a member of a ring has them")
    }

    pub(super) fn set_stat(&mut self, path: &[u8], stat: &StoredStat) {
        self.czxid = stat.czxid;
        self.ctime = stat.ctime;
        let fresh = StoredStat::fresh(stat.czxid, stat.ctime, 0);
        let StoredStat { mzxid, mtime, version, .. } = *stat;
        if self.special.is_none() && *stat == (StoredStat { mzxid, mtime, version, ..fresh }) {
            let set = Set { mzxid, mtime, version };
            let body_crc = || digest::body_crc(path, self.data());
            let changed = (*stat != fresh).then(|| Changed { set, body_crc: body_crc() });
            return self.head(changed);
        }
        let special = self.special_mut(path);
        special.mzxid = stat.mzxid;
        special.mtime = stat.mtime;
        special.pzxid = stat.pzxid;
        special.owner = stat.owner;
        special.version = stat.version;
        special.cversion = stat.cversion;
        special.aversion = stat.aversion;
    }

    /// Replaces the data, and notes the setting unless nobody is to know of it; `path` is this
    /// znode's.
    pub(super) fn set_data(&mut self, path: &[u8], data: Option<&[u8]>, set: Option<Set>) {
        let body_crc = digest::body_crc(path, data);
        if let Some(special) = &mut self.special {
            special.body_crc = body_crc;
            if let Some(Set { mzxid, mtime, version }) = set {
                (special.mzxid, special.mtime, special.version) = (mzxid, mtime, version);
            }
            return self.put_body(data, None);
        }
        let set = set.or_else(|| self.changed().map(|changed| changed.set));
        self.put_body(data, set.map(|set| Changed { set, body_crc }));
    }

    /// Puts what was changed before the name, or takes it from there.
    fn head(&mut self, changed: Option<Changed>) {
        if changed.is_some() || self.body[0] & CHANGED != 0 {
            self.body = body(self.name(), self.data(), changed);
        }
    }

    /// Puts data behind the name, in place where it has its room already.
    fn put_body(&mut self, data: Option<&[u8]>, changed: Option<Changed>) {
        let (start, len) = self.name_range();
        let bytes = data.unwrap_or_default();
        let same_head = changed.is_some() == (self.body[0] & CHANGED != 0);
        if !same_head || self.body.len() - start - len != bytes.len() {
            self.body = body(self.name(), data, changed);
            return;
        }
        if let Some(changed) = changed {
            self.body[start - Changed::LEN..start].copy_from_slice(&changed.to_bytes());
        }
        self.body[start + len..].copy_from_slice(bytes);
        let null = if data.is_none() { NULL_DATA } else { 0 };
        self.body[0] = self.body[0] & !NULL_DATA | null;
    }

    fn name_range(&self) -> (usize, usize) {
        let before = if self.body[0] & CHANGED == 0 { 0 } else { Changed::LEN };
        if self.body[0] & LONG_NAME == 0 {
            return (2 + before, usize::from(self.body[1]));
        }
        let len: [u8; 4] = self.body[1..5].try_into().expect("four bytes");
        (5 + before, u32::from_be_bytes(len) as usize)
    }
}

/// Name and data in one piece, and what was changed before them.
fn body(name: &[u8], data: Option<&[u8]>, changed: Option<Changed>) -> Box<[u8]> {
    let bytes = data.unwrap_or_default();
    let mut flags = if data.is_none() { NULL_DATA } else { 0 };
    let mut head = 5;
    if changed.is_some() {
        (flags, head) = (flags | CHANGED, head + Changed::LEN);
    }
    let mut body = Vec::with_capacity(head + name.len() + bytes.len());
    match u8::try_from(name.len()) {
        Ok(len) => body.extend_from_slice(&[flags, len]),
        Err(_) => {
            let len = u32::try_from(name.len()).expect("names are bounded by the frame limit");
            body.push(flags | LONG_NAME);
            body.extend_from_slice(&len.to_be_bytes());
        }
    }
    body.extend(changed.map(Changed::to_bytes).into_iter().flatten());
    body.extend_from_slice(name);
    body.extend_from_slice(bytes);
    body.into_boxed_slice()
}

/// All znodes, by slot.
#[derive(Clone, Debug)]
pub(super) struct Slab {
    nodes: pieces::Slab<Node>,
}

impl Slab {
    /// A root and nothing else.
    pub(super) fn new() -> Slab {
        let mut slab = Slab { nodes: pieces::Slab::new() };
        slab.add(NONE, b"", Some(b""), Zxid::ZERO, 0);
        slab
    }

    pub(super) fn live(&self) -> usize {
        self.nodes.len()
    }

    /// One more than the highest slot ever used.
    pub(super) fn slots(&self) -> u32 {
        self.nodes.end()
    }

    pub(super) fn is_live(&self, at: u32) -> bool {
        self.nodes[at].parent != FREE
    }

    #[inline]
    pub(super) fn get(&self, at: u32) -> &Node {
        &self.nodes[at]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at]
    }

    /// Adds a znode, not yet linked to its parent, with an open ACL.
    pub(super) fn add(
        &mut self,
        parent: u32,
        name: &[u8],
        data: Option<&[u8]>,
        czxid: Zxid,
        ctime: i64,
    ) -> u32 {
        let body = body(name, data, None);
        let at = self.nodes.insert(Node { czxid, ctime, body, parent, ..Node::default() });
        assert!(at < FREE, "fewer znodes than slot numbers");
        at
    }

    /// Frees the slot of a znode that is linked nowhere any more.
    pub(super) fn remove(&mut self, at: u32) {
        self.nodes.remove(at);
    }

    /// Makes a znode the last child of its parent, which has its special numbers.
    pub(super) fn link_child(&mut self, at: u32) {
        let parent = self.nodes[at].parent;
        let special = self.nodes[parent].special_there();
        special.children += 1;
        let first = special.first_child;
        if first == NONE {
            special.first_child = at;
            self.nodes[at].prev = at;
            return;
        }
        let last = self.nodes[first].prev;
        self.nodes[last].next = at;
        self.nodes[at].prev = last;
        self.nodes[first].prev = at;
    }

    /// Tells all above a znode that there are so many more znodes and bytes of data below them, or
    /// fewer.
    pub(super) fn count_above(&mut self, at: u32, nodes: i32, bytes: i64) {
        let mut up = self.nodes[at].parent;
        while up != NONE {
            let special = self.nodes[up].special_there();
            special.below = special.below.wrapping_add_signed(nodes);
            special.bytes_below = special.bytes_below.wrapping_add_signed(bytes);
            up = self.nodes[up].parent;
        }
    }

    /// Takes a znode from its parent's children.
    pub(super) fn unlink_child(&mut self, at: u32) {
        let Node { parent, next, prev, .. } = self.nodes[at];
        let special = self.nodes[parent].special_there();
        special.children -= 1;
        let first = special.first_child;
        if first == at {
            special.first_child = next;
        } else {
            self.nodes[prev].next = next;
        }
        let after = if next == NONE { first } else { next };
        if after != at {
            self.nodes[after].prev = prev;
        }
    }

    /// Adds a znode at the end of the ring that begins at `head`.
    pub(super) fn link_ring(&mut self, head: &mut u32, at: u32) {
        if *head == NONE {
            *head = at;
            let special = self.nodes[at].special_there();
            (special.ring_next, special.ring_prev) = (at, at);
            return;
        }
        let last = core::mem::replace(&mut self.nodes[*head].special_there().ring_prev, at);
        self.nodes[last].special_there().ring_next = at;
        let special = self.nodes[at].special_there();
        (special.ring_next, special.ring_prev) = (*head, last);
    }

    /// Takes a znode from the ring that begins at `head`.
    pub(super) fn unlink_ring(&mut self, head: &mut u32, at: u32) {
        let special = self.nodes[at].special_there();
        let (next, prev) = (special.ring_next, special.ring_prev);
        if next == at {
            *head = NONE;
            return;
        }
        self.nodes[prev].special_there().ring_next = next;
        self.nodes[next].special_there().ring_prev = prev;
        if *head == at {
            *head = next;
        }
    }

    /// The znode after `at` in the ring that begins at `head`; none at its end.
    pub(super) fn ring_after(&self, head: u32, at: u32) -> u32 {
        let next = self.nodes[at].special().map_or(NONE, |special| special.ring_next);
        if next == head { NONE } else { next }
    }
}
