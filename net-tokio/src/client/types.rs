// SPDX-License-Identifier: Apache-2.0
//! What a client's requests are made of, and what comes back.

use menagerie_core::proto::{self, CreateKind, Identity, Stat, perms};

use super::text;

/// A znode's data and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The data; null differs from empty.
    pub data: Option<Vec<u8>>,
    /// The numbers.
    pub stat: Stat,
}

impl Node {
    /// The data, with null as empty.
    pub fn bytes(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }
}

/// What someone may do to a znode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acl {
    /// Bits of [`perms`].
    pub perms: i32,
    /// `world`, `auth`, `digest`, `ip`, ...
    pub scheme: String,
    /// Who, in the scheme's form.
    pub id: String,
}

impl Acl {
    /// An entry of an access list.
    pub fn new(perms: i32, scheme: &str, id: &str) -> Acl {
        Acl { perms, scheme: scheme.to_owned(), id: id.to_owned() }
    }

    /// Everybody may do everything.
    pub fn open() -> Acl {
        Acl::new(perms::ALL, "world", "anyone")
    }

    /// Those that this connection has proved to be may do everything.
    pub fn creator() -> Acl {
        Acl::new(perms::ALL, "auth", "")
    }

    pub(super) fn from_wire(acl: &proto::Acl<'_>) -> Acl {
        Acl { perms: acl.perms, scheme: text(acl.who.scheme), id: text(acl.who.id) }
    }

    pub(super) fn to_wire(&self) -> proto::Acl<'_> {
        let who = Identity { scheme: self.scheme.as_bytes(), id: self.id.as_bytes() };
        proto::Acl { perms: self.perms, who }
    }
}

/// How a znode is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    lifetime: Lifetime,
    sequential: bool,
    acl: Vec<Acl>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    Persistent,
    Ephemeral,
    Container,
    Ttl(i64),
}

impl Create {
    fn new(lifetime: Lifetime) -> Create {
        Create { lifetime, sequential: false, acl: vec![Acl::open()] }
    }

    /// A znode that stays until it is deleted.
    pub fn persistent() -> Create {
        Create::new(Lifetime::Persistent)
    }

    /// A znode that goes with this session.
    pub fn ephemeral() -> Create {
        Create::new(Lifetime::Ephemeral)
    }

    /// A znode that goes some time after its last child.
    pub fn container() -> Create {
        Create::new(Lifetime::Container)
    }

    /// A znode that goes when it has no children and was not changed for this long. Only servers
    /// with `extendedTypesEnabled` take it.
    pub fn ttl_ms(ttl: i64) -> Create {
        Create::new(Lifetime::Ttl(ttl))
    }

    /// The server appends a number that grows with each child of the parent. Not for containers.
    pub fn sequential(mut self) -> Create {
        self.sequential = true;
        self
    }

    /// The access list, in place of "everybody may do everything".
    pub fn acl(mut self, acl: impl Into<Vec<Acl>>) -> Create {
        self.acl = acl.into();
        self
    }

    /// The request; `plain` says by which operation if any may do it.
    pub(super) fn request<'a>(
        &'a self,
        path: &'a str,
        data: Option<&'a [u8]>,
        plain: CreateKind,
    ) -> proto::Create<'a> {
        let (kind, flags) = match (self.lifetime, self.sequential) {
            (Lifetime::Persistent, false) => (plain, 0),
            (Lifetime::Ephemeral, false) => (plain, 1),
            (Lifetime::Persistent, true) => (plain, 2),
            (Lifetime::Ephemeral, true) => (plain, 3),
            (Lifetime::Container, _) => (CreateKind::Container, 4),
            (Lifetime::Ttl(ttl), false) => (CreateKind::Ttl { ttl }, 5),
            (Lifetime::Ttl(ttl), true) => (CreateKind::Ttl { ttl }, 6),
        };
        let acl = Some(self.acl.iter().map(Acl::to_wire).collect());
        proto::Create { kind, path: path.as_bytes(), data, acl, flags }
    }
}

/// How the members of an ensemble are to change; texts as they stand in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconfig<'a> {
    /// Some join, or move, and others leave.
    Change {
        /// Such as `server.4=zk4:2888:3888;2181`, between commas.
        joining: Option<&'a str>,
        /// Their ids, between commas.
        leaving: Option<&'a str>,
    },
    /// These take the place of all.
    Replace {
        /// One in a line, or between commas.
        members: &'a str,
    },
}
