// SPDX-License-Identifier: Apache-2.0
//! The reference model: a tree of znodes as slow and as obvious as can be, written from the rules
//! of ZooKeeper and not from the core. Oracles feed it the committed history and ask it what every
//! reply should have said.

mod apply;
mod judge;
mod quota;
mod read;
mod watches;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use menagerie_core::{
    config::Ensemble,
    id::Zxid,
    proto::{Acl, Identity, Stat, perms},
};

pub use self::{
    apply::{Applied, Fired},
    judge::{Caller, Judged, judge, may_sweep},
    quota::changes_quotas,
    read::{Answer, answer},
    watches::{Kind, Watches},
};

/// The bits of an ephemeral owner that say "container".
pub const CONTAINER: i64 = i64::MIN;
/// The bits of an ephemeral owner that say "TTL"; the time to live stands below them.
pub const TTL: i64 = 0xff_i64 << 56;
/// The bits below [`TTL`].
pub const TTL_MASK: i64 = 0x0000_00ff_ffff_ffff;

/// An ACL entry, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What may be done.
    pub perms: i32,
    /// By whom: the scheme.
    pub scheme: Vec<u8>,
    /// By whom: the name under the scheme.
    pub id: Vec<u8>,
}

impl Grant {
    /// An owned copy.
    pub fn of(acl: &Acl<'_>) -> Grant {
        Grant { perms: acl.perms, scheme: acl.who.scheme.to_vec(), id: acl.who.id.to_vec() }
    }

    /// As the wire has it.
    pub fn acl(&self) -> Acl<'_> {
        Acl { perms: self.perms, who: Identity { scheme: &self.scheme, id: &self.id } }
    }
}

/// Someone's identity on a link: scheme and name.
pub type Id = (Vec<u8>, Vec<u8>);

/// A znode, with its numbers as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Znode {
    /// Its data; null differs from empty.
    pub data: Option<Vec<u8>>,
    /// Its ACL.
    pub acl: Vec<Grant>,
    /// Its numbers; `cversion` as stored, `ephemeral_owner` with the bits of containers and TTL.
    pub stat: Stat,
    /// Its children's names.
    pub children: BTreeSet<Vec<u8>>,
    /// Its share of the tree's digest, once somebody computed it.
    pub digest: OnceLock<u64>,
}

impl Znode {
    fn new(data: Option<Vec<u8>>, acl: Vec<Grant>) -> Znode {
        let (stat, children) = (Stat::default(), BTreeSet::new());
        Znode { data, acl, stat, children, digest: OnceLock::new() }
    }

    /// The numbers as clients see them.
    pub fn client_stat(&self) -> Stat {
        let children = self.children.len() as i32;
        Stat {
            cversion: self.stat.cversion.wrapping_mul(2).wrapping_sub(children),
            ephemeral_owner: if self.is_ephemeral() { self.stat.ephemeral_owner } else { 0 },
            data_length: self.data.as_ref().map_or(0, Vec::len) as i32,
            num_children: children,
            ..self.stat
        }
    }

    /// Bytes of its data.
    fn size(&self) -> i64 {
        self.data.as_ref().map_or(0, Vec::len) as i64
    }

    /// Whether a session owns it.
    pub fn is_ephemeral(&self) -> bool {
        self.stat.ephemeral_owner != 0 && !self.is_container() && self.ttl().is_none()
    }

    /// Whether it goes when its last child has gone.
    pub fn is_container(&self) -> bool {
        self.stat.ephemeral_owner == CONTAINER
    }

    /// Its time to live.
    pub fn ttl(&self) -> Option<i64> {
        let owner = self.stat.ephemeral_owner;
        (owner & TTL == TTL).then_some(owner & TTL_MASK)
    }
}

/// The tree and the sessions, after some transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Shared, so that a scratch copy costs little.
    nodes: BTreeMap<Arc<[u8]>, Arc<Znode>>,
    /// The open sessions and their timeouts.
    pub sessions: BTreeMap<i64, i32>,
    /// Whether hard quotas refuse.
    pub enforces_quotas: bool,
    /// By how much versions grow.
    pub version_step: i32,
    /// Whether the members of the ensemble may change.
    pub reconfigures: bool,
}

impl Model {
    /// What a fresh server holds.
    pub fn fresh() -> Model {
        let open = vec![Grant::of(&Acl::OPEN)];
        let mut nodes = BTreeMap::new();
        let empty = || Znode::new(Some(Vec::new()), open.clone());
        let mut root = empty();
        root.children.insert(b"zookeeper".to_vec());
        let mut system = empty();
        system.children.extend([b"quota".to_vec(), b"config".to_vec()]);
        let mut config = empty();
        config.acl[0].perms = perms::READ;
        config.stat.aversion = -1;
        let mut insert = |path: &[u8], node| nodes.insert(path.into(), Arc::new(node));
        insert(b"/", root);
        insert(b"/zookeeper", system);
        insert(b"/zookeeper/quota", empty());
        insert(b"/zookeeper/config", config);
        Model {
            nodes,
            sessions: BTreeMap::new(),
            enforces_quotas: false,
            version_step: 1,
            reconfigures: false,
        }
    }

    /// Who belongs to an ensemble stands at `/zookeeper/config` from the beginning.
    pub fn show_members(&mut self, members: &Ensemble) {
        let config = self.nodes.get_mut(&b"/zookeeper/config"[..]).expect("it is always there");
        let config = Arc::make_mut(config);
        config.data = Some(members.to_string().into());
        config.stat.version = -1;
        config.stat.mzxid = Zxid(members.version().cast_signed());
    }

    /// The same under another version, unless a transaction has changed them.
    pub fn date_members(&mut self, members: &Ensemble, version: u64) {
        let shown = self.node(b"/zookeeper/config").map_or(0, |config| config.stat.mzxid.0);
        if Zxid(shown).counter() == 0 && shown != version.cast_signed() {
            self.show_members(&members.clone().with_version(version));
        }
    }

    /// A znode, as reads find it: the root has an empty name, too.
    pub fn seen(&self, path: &[u8]) -> Option<&Znode> {
        self.node(if path.is_empty() { b"/" } else { path })
    }

    /// A znode.
    pub fn node(&self, path: &[u8]) -> Option<&Znode> {
        self.nodes.get(path).map(|node| &**node)
    }

    /// All znodes, by path.
    pub fn nodes(&self) -> impl Iterator<Item = (&[u8], &Znode)> {
        self.nodes.iter().map(|(path, node)| (&**path, &**node))
    }

    /// How many znodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are no znodes: never.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The paths that a session owns.
    pub fn ephemerals(&self, session: i64) -> impl Iterator<Item = &[u8]> {
        let owned = move |(path, node): (_, &Znode)| {
            (session != 0 && node.stat.ephemeral_owner == session).then_some(path)
        };
        self.nodes().filter_map(owned)
    }

    fn node_mut(&mut self, path: &[u8]) -> Option<&mut Znode> {
        let node = self.nodes.get_mut(path).map(Arc::make_mut)?;
        node.digest.take();
        Some(node)
    }
}

/// A path's parent, and the last name; `None` without a slash.
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    let parent = if slash == 0 { &path[..1] } else { &path[..slash] };
    Some((parent, &path[slash + 1..]))
}

/// Whether one of `ids` may do one of `wanted` under an ACL.
pub fn permits(acl: &[Grant], wanted: i32, ids: &[Id]) -> bool {
    let anyone = |grant: &Grant| grant.scheme == b"world" && grant.id == b"anyone";
    let held = |grant: &Grant| ids.iter().any(|(s, id)| *s == grant.scheme && *id == grant.id);
    acl.is_empty()
        || ids.iter().any(|(scheme, _)| scheme == b"super")
        || acl.iter().any(|grant| grant.perms & wanted != 0 && (anyone(grant) || held(grant)))
}

#[cfg(test)]
mod tests;
