// SPDX-License-Identifier: Apache-2.0
//! Single writes: what each checks, in Java's order, and what it will have changed.

use alloc::{borrow::Cow, format, string::ToString, vec::Vec};

use super::{
    Prep, SessionState, Turn,
    overlay::{Accounted, Seen, Usage, View, ViewAcl},
    put,
};
use crate::{
    config::Ensemble,
    id::SessionId,
    proto::{Acl, Create, CreateKind, ErrorCode, OpCode, Request, perms},
    serve::path,
    tree::{CONFIG, Owner, StoredStat, digest},
    txn::{CreateTxn, Txn, TxnKind},
    zoo::{Mutation, Zoo},
};

/// A create mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) ephemeral: bool,
    pub(super) sequential: bool,
    pub(super) container: bool,
    pub(super) ttl: bool,
}

impl Mode {
    pub(super) fn from_flags(flags: i32) -> Option<Mode> {
        (0..=6).contains(&flags).then_some(Mode {
            ephemeral: matches!(flags, 1 | 3),
            sequential: matches!(flags, 2 | 3 | 6),
            container: flags == 4,
            ttl: matches!(flags, 5 | 6),
        })
    }
}

/// A znode's path, and what is seen there.
type Place<'a> = (&'a [u8], &'a Seen);

impl<Z: Zoo> Prep<Z> {
    /// Judges any single write but those that are only for multi.
    pub(super) fn op(
        &mut self,
        turn: &Turn<'_>,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        match request {
            Request::Create(create) => self.create(turn, create, create.kind, out),
            Request::Delete { path, version } => self.delete(turn, path, *version, out),
            Request::DeleteContainer { path } => self.delete_container(turn, path, out),
            Request::SetData { path, data, version } => {
                self.set_data(turn, path, *data, *version, out)
            }
            Request::SetAcl { path, acl, version } => {
                self.set_acl(turn, path, acl.as_deref(), *version, out)
            }
            Request::Reconfig { .. } => self.reconfig(turn, request, out),
            Request::Check { path, version } if self.zoo.has(Mutation::BareCheckOrdered) => {
                Ok(put(&Txn::Check { path, version: *version }, out))
            }
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    pub(super) fn create(
        &mut self,
        turn: &Turn<'_>,
        create: &Create<'_>,
        kind: CreateKind,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        let (tree, rules) = (turn.cx.tree, turn.cx.rules);
        let mode = Mode::from_flags(create.flags).ok_or(ErrorCode::BadArguments)?;
        check_ttl(mode, kind, rules.extended_types)?;
        self.check_session(turn, mode.ephemeral)?;
        let above = path::parent(create.path).ok_or(ErrorCode::BadArguments)?;
        let acl = create.acl.as_deref();
        let acl = rules.schemes.resolve(acl, turn.asker.ids, rules.max_entry)?;
        let parent = self.overlay.see(tree, above).ok_or(ErrorCode::NoNode)?;
        self.check_acl(turn, &parent, perms::CREATE)?;

        let path = self.final_path(turn, create.path, mode, (above, &parent));
        if !path::is_valid(&path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.overlay.see(tree, &path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(Owner::from_field(parent.stat.owner), Owner::Ephemeral(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.check_quota(turn, &path, Usage { count: 1, bytes: len(create.data) })?;
        let kept = self.zoo.has(Mutation::CreateKeepsParentCversion);
        let cversion = parent.stat.cversion.wrapping_add(if kept { 0 } else { 1 });
        let kind = match kind {
            CreateKind::Container => TxnKind::Container,
            CreateKind::Ttl { ttl } => TxnKind::Ttl { ttl },
            plain => {
                TxnKind::Plain { ephemeral: mode.ephemeral, create2: plain == CreateKind::Create2 }
            }
        };
        let (data, acl, parent_cversion) = (create.data, Some(acl.into_owned()), cversion);
        let txn = CreateTxn { path: &path, data, acl, kind, parent_cversion };
        self.add(turn, (above, &parent), &txn);
        Ok(put(&Txn::Create(txn), out))
    }

    fn delete(
        &mut self,
        turn: &Turn<'_>,
        path: &[u8],
        version: i32,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        self.check_session(turn, false)?;
        let above = deletable_from(path)?;
        let parent = self.overlay.see(turn.cx.tree, above).ok_or(ErrorCode::NoNode)?;
        self.check_acl(turn, &parent, perms::DELETE)?;
        let node = self.overlay.see(turn.cx.tree, path).ok_or(ErrorCode::NoNode)?;
        self.next_version(turn, path, node.stat.version, version)?;
        self.check_empty(turn, (path, &node))?;
        self.remove(turn, (above, &parent), (path, &node));
        Ok(put(&Txn::Delete { path, container: false }, out))
    }

    /// What the sweeper asks for. From a client (Java lets anybody) it needs the permission that
    /// delete does; and it is for containers and TTL znodes only.
    fn delete_container(
        &mut self,
        turn: &Turn<'_>,
        path: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        let above = deletable_from(path)?;
        let node = self.overlay.see(turn.cx.tree, path).ok_or(ErrorCode::NoNode)?;
        self.check_empty(turn, (path, &node))?;
        if !matches!(Owner::from_field(node.stat.owner), Owner::Container | Owner::Ttl(_)) {
            return Err(ErrorCode::BadVersion);
        }
        let parent = self.overlay.see(turn.cx.tree, above).ok_or(ErrorCode::NoNode)?;
        if turn.asker.session != SessionId::NONE {
            self.check_session(turn, false)?;
            self.check_acl(turn, &parent, perms::DELETE)?;
        }
        self.remove(turn, (above, &parent), (path, &node));
        Ok(put(&Txn::Delete { path, container: true }, out))
    }

    fn set_data(
        &mut self,
        turn: &Turn<'_>,
        path: &[u8],
        data: Option<&[u8]>,
        version: i32,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        let node = self.named(turn, path)?;
        self.check_acl(turn, &node, perms::WRITE)?;
        let more = Usage { count: 0, bytes: len(data) - len_of(node.data_len) };
        self.check_quota(turn, path, more)?;
        let version = self.next_version(turn, path, node.stat.version, version)?;
        self.change_data(turn, (path, &node), data, version);
        Ok(put(&Txn::SetData { path, data, version, reconfig: false }, out))
    }

    /// Takes in that a znode's data will have changed.
    fn change_data(
        &mut self,
        turn: &Turn<'_>,
        (path, node): Place<'_>,
        data: Option<&[u8]>,
        version: i32,
    ) {
        let more = Usage { count: 0, bytes: len(data) - len_of(node.data_len) };
        let mut view = self.overlay.view_of(turn.cx.tree, path, node);
        let old = view.digest();
        view.stat.version = version;
        (view.stat.mtime, view.stat.mzxid) = (turn.cx.wall_ms, turn.zxid);
        view.data_len = data.map_or(0, <[u8]>::len);
        view.body_crc = digest::body_crc(path, data);
        let accounted = self.accounted(turn, path, more);
        self.overlay.put(turn.zxid, path, Some(old), Some(view), accounted);
    }

    fn set_acl(
        &mut self,
        turn: &Turn<'_>,
        path: &[u8],
        acl: Option<&[Acl<'_>]>,
        version: i32,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        let rules = turn.cx.rules;
        self.check_session(turn, false)?;
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let acl = rules.schemes.resolve(acl, turn.asker.ids, rules.max_entry)?;
        let node = self.overlay.see(turn.cx.tree, path).ok_or(ErrorCode::NoNode)?;
        self.check_acl(turn, &node, perms::ADMIN)?;
        let version = self.checked_next(turn, node.stat.aversion, version)?;
        let mut view = self.overlay.view_of(turn.cx.tree, path, &node);
        let old = view.digest();
        view.stat.aversion = version;
        view.acl = ViewAcl::given(&acl);
        self.overlay.put(turn.zxid, path, Some(old), Some(view), None);
        Ok(put(&Txn::SetAcl { path, acl: Some(acl.into_owned()), version }, out))
    }

    /// Judges a check, which is only for multi.
    pub(super) fn check(
        &mut self,
        turn: &Turn<'_>,
        path: &[u8],
        version: i32,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        let node = self.named(turn, path)?;
        self.check_acl(turn, &node, perms::READ)?;
        let version = self.next_version(turn, path, node.stat.version, version)?;
        Ok(put(&Txn::Check { path, version }, out))
    }

    /// Changes who belongs to the ensemble. Alone, a server has nobody to change.
    fn reconfig(
        &mut self,
        turn: &Turn<'_>,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        let Request::Reconfig { joining, leaving, members: listed, from_config } = *request else {
            return Err(ErrorCode::Unimplemented);
        };
        if !turn.cx.rules.reconfig {
            return Err(ErrorCode::ReconfigDisabled);
        }
        self.check_session(turn, false)?;
        let members = turn.cx.members.ok_or(ErrorCode::Unimplemented)?;
        if members.changing {
            return Err(ErrorCode::ReconfigInProgress);
        }
        if from_config != -1 && from_config != members.in_force.version().cast_signed() {
            return Err(ErrorCode::BadVersion);
        }
        let next = match listed {
            Some(text) => Ensemble::replaced(text)?,
            None => members.in_force.changed(joining, leaving)?,
        };
        let next = next.with_version(turn.zxid.0.cast_unsigned());
        if next.voters().count() < members.fewest {
            return Err(ErrorCode::BadArguments);
        }
        if !next.quorum().holds(self.zoo, |id| members.synced.contains(&id)) {
            return Err(ErrorCode::NewConfigNoQuorum);
        }
        let node = self.overlay.see(turn.cx.tree, CONFIG).ok_or(ErrorCode::NoNode)?;
        self.check_acl(turn, &node, perms::WRITE)?;
        let text = next.to_string().into_bytes();
        self.change_data(turn, (CONFIG, &node), Some(&text), -1);
        self.reconfigured = Some(next);
        let data = Some(&text[..]);
        Ok(put(&Txn::SetData { path: CONFIG, data, version: -1, reconfig: true }, out))
    }

    /// The znode that a request names, with what precedes every look at it.
    fn named(&self, turn: &Turn<'_>, path: &[u8]) -> Result<Seen, ErrorCode> {
        self.check_session(turn, false)?;
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        self.overlay.see(turn.cx.tree, path).ok_or(ErrorCode::NoNode)
    }

    fn check_session(&self, turn: &Turn<'_>, ephemeral: bool) -> Result<(), ErrorCode> {
        match turn.asker.state {
            SessionState::Alive => Ok(()),
            SessionState::Closing if ephemeral && self.zoo.has(Mutation::ClosingSessionCreates) => {
                Ok(())
            }
            SessionState::Closing => Err(ErrorCode::SessionExpired),
            SessionState::Unknown if ephemeral => Err(ErrorCode::SessionExpired),
            SessionState::Unknown => Err(ErrorCode::UnknownSession),
            SessionState::Moved => Err(ErrorCode::SessionMoved),
        }
    }

    fn check_acl(&self, turn: &Turn<'_>, node: &Seen, perms: i32) -> Result<(), ErrorCode> {
        let acl = self.overlay.acl(turn.cx.tree, node);
        let granted = turn.cx.rules.schemes.allows(acl.iter(), perms, turn.asker.ids);
        if granted { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    fn check_empty(&self, turn: &Turn<'_>, (path, node): Place<'_>) -> Result<(), ErrorCode> {
        let mut children = node.children;
        if self.zoo.has(Mutation::DeleteIgnoresPendingChild) {
            let applied = turn.cx.tree.find(path);
            children = applied.map_or(0, |node| turn.cx.tree.child_count(node));
        }
        if children == 0 { Ok(()) } else { Err(ErrorCode::NotEmpty) }
    }

    /// The version after `current`, if that is what is expected.
    fn next_version(
        &self,
        turn: &Turn<'_>,
        path: &[u8],
        current: i32,
        expected: i32,
    ) -> Result<i32, ErrorCode> {
        let mut current = current;
        if self.zoo.has(Mutation::VersionIgnoresPending)
            && let Some(node) = turn.cx.tree.find(path)
        {
            current = turn.cx.tree.stored_stat(node).version;
        }
        self.checked_next(turn, current, expected)
    }

    /// Versions wrap, past the one that clients could not ask for (ZOOKEEPER-4743).
    fn checked_next(&self, turn: &Turn<'_>, current: i32, expected: i32) -> Result<i32, ErrorCode> {
        if expected != -1 && expected != current {
            return Err(ErrorCode::BadVersion);
        }
        let next = current.wrapping_add(turn.cx.rules.version_step);
        Ok(if next == -1 && !self.zoo.has(Mutation::VersionWrapsToAny) { 0 } else { next })
    }

    fn final_path<'a>(
        &self,
        turn: &Turn<'_>,
        path: &'a [u8],
        mode: Mode,
        (above, parent): Place<'_>,
    ) -> Cow<'a, [u8]> {
        if !mode.sequential {
            return Cow::Borrowed(path);
        }
        let mut count = parent.stat.cversion;
        if self.zoo.has(Mutation::SequenceIgnoresPending)
            && let Some(node) = turn.cx.tree.find(above)
        {
            count = turn.cx.tree.stored_stat(node).cversion;
        }
        Cow::Owned([path, format!("{count:010}").as_bytes()].concat())
    }

    /// Takes in a new znode.
    fn add(&mut self, turn: &Turn<'_>, (above, parent): Place<'_>, new: &CreateTxn<'_>) {
        let mut view = self.overlay.view_of(turn.cx.tree, above, parent);
        let old = view.digest();
        view.children += 1;
        if new.parent_cversion > view.stat.cversion {
            // As it is applied: a count that wrapped stays where it was.
            (view.stat.cversion, view.stat.pzxid) = (new.parent_cversion, turn.zxid);
        }
        self.overlay.put(turn.zxid, above, Some(old), Some(view), None);
        let owner = match new.kind {
            TxnKind::Plain { ephemeral: false, .. } => Owner::Persistent.field(),
            TxnKind::Plain { ephemeral: true, .. } => turn.asker.session.0,
            TxnKind::Container => Owner::Container.field(),
            TxnKind::Ttl { ttl } => Owner::Ttl(ttl).field(),
        };
        let view = View {
            stat: StoredStat::fresh(turn.zxid, turn.cx.wall_ms, owner),
            children: 0,
            data_len: new.data.map_or(0, <[u8]>::len),
            body_crc: digest::body_crc(new.path, new.data),
            acl: ViewAcl::given(new.acl.as_deref().unwrap_or_default()),
        };
        let accounted = self.accounted(turn, new.path, Usage { count: 1, bytes: len(new.data) });
        self.overlay.put(turn.zxid, new.path, None, Some(view), accounted);
    }

    /// Takes in that a znode goes.
    pub(super) fn remove(
        &mut self,
        turn: &Turn<'_>,
        (above, parent): Place<'_>,
        (path, node): Place<'_>,
    ) {
        let tree = turn.cx.tree;
        let mut view = self.overlay.view_of(tree, above, parent);
        let old = view.digest();
        view.children = view.children.saturating_sub(1);
        view.stat.pzxid = turn.zxid;
        let gone = self.overlay.view_of(tree, path, node).digest();
        self.overlay.put(turn.zxid, above, Some(old), Some(view), None);
        let more = Usage { count: -1, bytes: -len_of(node.data_len) };
        let accounted = self.accounted(turn, path, more);
        self.overlay.put(turn.zxid, path, Some(gone), None, accounted);
    }

    /// Hard quotas hold for what is prepared, too. (Java counts what is applied only, so that
    /// requests in flight together can pass a limit that none of them should.) Soft ones are only
    /// reported.
    fn check_quota(&mut self, turn: &Turn<'_>, path: &[u8], more: Usage) -> Result<(), ErrorCode> {
        if !turn.cx.rules.enforce_quota {
            return Ok(());
        }
        let Some(mut quota) = turn.cx.tree.quota(path) else { return Ok(()) };
        let pending = self.overlay.usage(&quota.path);
        let (count, bytes) = (quota.usage.count(), quota.usage.bytes());
        quota.usage.set(b"count", count.saturating_add(pending.count));
        quota.usage.set(b"bytes", bytes.saturating_add(pending.bytes));
        let mut refused = false;
        for excess in quota.excesses(more.bytes, more.count) {
            refused |= excess.hard;
            self.exceeded = Some((quota.path.clone(), excess));
        }
        if refused { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
    }

    /// Which quota's pending usage a change counts to, while quotas are enforced.
    fn accounted(&self, turn: &Turn<'_>, path: &[u8], more: Usage) -> Option<Accounted> {
        if !turn.cx.rules.enforce_quota || more == Usage::default() {
            return None;
        }
        let quota = turn.cx.tree.quota(path)?;
        Some(Accounted { prefix: quota.path.len(), more })
    }
}

fn check_ttl(mode: Mode, kind: CreateKind, extended_types: bool) -> Result<(), ErrorCode> {
    if mode.ttl && !extended_types {
        return Err(ErrorCode::Unimplemented);
    }
    let fits = match kind {
        CreateKind::Ttl { ttl } => mode.ttl && (1..=Owner::MAX_TTL).contains(&ttl),
        _ => !mode.ttl,
    };
    if fits { Ok(()) } else { Err(ErrorCode::BadArguments) }
}

/// The path above one that may be deleted.
fn deletable_from(path: &[u8]) -> Result<&[u8], ErrorCode> {
    let above = path::parent(path).ok_or(ErrorCode::BadArguments)?;
    if path::is_special(path) { Err(ErrorCode::BadArguments) } else { Ok(above) }
}

fn len(data: Option<&[u8]>) -> i64 {
    len_of(data.unwrap_or_default().len())
}

fn len_of(len: usize) -> i64 {
    i64::try_from(len).expect("lengths are bounded by the frame limit")
}
