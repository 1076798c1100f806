// SPDX-License-Identifier: Apache-2.0
//! The only way a tree changes: live commits, recovery and learners' catching up all come here.
//!
//! Java's `DataTree.processTxn`. A transaction decides everything, so there is nothing to ask but
//! the tree; what is learned on the way goes to a [`Sink`] (for watches) and into the [`Outcome`]
//! (for the reply).

use alloc::vec::Vec;

use super::{CreateTxn, Txn, TxnHeader, TxnKind};
use crate::{
    id::{SessionId, Zxid},
    proto::{ErrorCode, EventKind, Stat},
    tree::{AclList, NewNode, NodeId, Owner, Tree},
    zoo::{Mutation, Sound, Zoo},
};

/// Hears of each change as it is made, in the order in which Java fires its watches.
pub trait Sink {
    /// Something happened to the znode at `path`, which has, or had, this ACL.
    fn changed(&mut self, kind: EventKind, path: &[u8], zxid: Zxid, acl: &AclList);
}

/// For when nobody watches.
impl Sink for () {
    fn changed(&mut self, _: EventKind, _: &[u8], _: Zxid, _: &AclList) {}
}

/// What a transaction came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The error's number, 0 for none. Of multi, that of its first failed operation.
    pub err: i32,
    /// The znode's numbers afterwards, where a reply has them: create2 and its kind, setData and
    /// setACL.
    pub stat: Option<Stat>,
    /// Of multi, what each operation came to.
    pub multi: Vec<Outcome>,
}

/// Applies a transaction.
///
/// What it cannot do, because a replay meets work half done, it leaves undone and says so in
/// [`Outcome::err`]. What happens to sessions is plain from the transaction itself: of a session
/// that is closed, the ephemeral znodes go here.
pub fn apply(tree: &mut Tree, header: &TxnHeader, txn: &Txn<'_>, sink: &mut impl Sink) -> Outcome {
    apply_in(Sound, tree, header, txn, sink)
}

/// Applies a transaction in a world that may have one of the zoo's bugs.
pub fn apply_in(
    zoo: impl Zoo,
    tree: &mut Tree,
    header: &TxnHeader,
    txn: &Txn<'_>,
    sink: &mut impl Sink,
) -> Outcome {
    let mut step = Step { zoo, tree, header, sink };
    match txn {
        Txn::CloseSession { paths } => {
            step.close_session(paths.as_deref().unwrap_or_default());
            Outcome::default()
        }
        Txn::Multi(txns) => step.multi(txns),
        Txn::Check { .. } if zoo.has(Mutation::BareCheckOrdered) => {
            unreachable!("a check is part of a multi")
        }
        _ => step.single(txn),
    }
}

/// A transaction being applied.
struct Step<'a, Z, S> {
    zoo: Z,
    tree: &'a mut Tree,
    header: &'a TxnHeader,
    sink: &'a mut S,
}

impl<Z: Zoo, S: Sink> Step<'_, Z, S> {
    fn single(&mut self, txn: &Txn<'_>) -> Outcome {
        let stat = match txn {
            Txn::Create(new) => self.create(new),
            Txn::Delete { path, .. } => self.delete(path).map(|()| None),
            Txn::SetData { path, data, version, .. } => {
                self.set_data(path, *data, *version).map(Some)
            }
            Txn::SetAcl { path, acl, version } => {
                let changed = self.tree.set_acl(path, acl.as_deref(), *version);
                changed.map(|node| Some(self.tree.stat(node)))
            }
            Txn::Error { err } => return failed(*err),
            Txn::Check { .. }
            | Txn::CreateSession { .. }
            | Txn::CloseSession { .. }
            | Txn::Multi(_) => Ok(None),
        };
        match stat {
            Ok(stat) => Outcome { stat, ..Outcome::default() },
            Err(error) => failed(error.code()),
        }
    }

    fn create(&mut self, txn: &CreateTxn<'_>) -> Result<Option<Stat>, ErrorCode> {
        let node = self.tree.create(&NewNode {
            path: txn.path,
            data: txn.data,
            acl: txn.acl.as_deref(),
            owner: owner(self.header.session, txn.kind),
            parent_cversion: txn.parent_cversion,
            zxid: self.header.zxid,
            time: self.header.time,
        })?;
        self.tell(EventKind::Created, txn.path, node);
        let parent = self.tree.parent(node).expect("what was created has a parent");
        self.tell(EventKind::ChildrenChanged, parent_path(txn.path), parent);
        let plain = matches!(txn.kind, TxnKind::Plain { create2: false, .. });
        Ok((!plain).then(|| self.tree.stat(node)))
    }

    fn set_data(
        &mut self,
        path: &[u8],
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<Stat, ErrorCode> {
        let TxnHeader { zxid, time, .. } = *self.header;
        let node = self.tree.set_data(path, data, version, zxid, time)?;
        self.tell(EventKind::DataChanged, path, node);
        Ok(self.tree.stat(node))
    }

    fn delete(&mut self, path: &[u8]) -> Result<(), ErrorCode> {
        let zxid = self.header.zxid;
        let forget = self.zoo.has(Mutation::DeleteForgetsPzxid);
        let gone = self.tree.delete(path, if forget { Zxid::ZERO } else { zxid })?;
        self.sink.changed(EventKind::Deleted, path, zxid, self.tree.acl_of(&gone));
        self.tell(EventKind::ChildrenChanged, parent_path(path), gone.parent());
        self.tree.let_go(gone);
        Ok(())
    }

    /// Removes the znodes that the transaction names, and then whatever else the session owns: the
    /// empty form names none, and a replay may find others.
    fn close_session(&mut self, paths: &[&[u8]]) {
        let keep = usize::from(self.zoo.has(Mutation::EphemeralOutlivesSession));
        for path in &paths[keep.min(paths.len())..] {
            self.delete_owned(path);
        }
        while let Some(path) = self.owned_after(keep) {
            self.delete_owned(&path);
        }
    }

    fn owned_after(&self, keep: usize) -> Option<Vec<u8>> {
        let node = self.tree.ephemerals(self.header.session).nth(keep)?;
        Some(self.tree.path(node))
    }

    /// Deletes a znode of a closed session. It may be gone: a replay, or a delete that was proposed
    /// before the close.
    fn delete_owned(&mut self, path: &[u8]) {
        if self.zoo.has(Mutation::SessionClosesSilently) {
            let Step { zoo, header, .. } = *self;
            let _ = Step { zoo, tree: self.tree, header, sink: &mut () }.delete(path);
        } else {
            let _ = self.delete(path);
        }
    }

    /// Applies all, or, if one of them is an error, none: the others are errors then, too. The
    /// prepared form has them as such already; what another writer left is treated alike.
    fn multi(&mut self, txns: &[Txn<'_>]) -> Outcome {
        let one_failed = txns.iter().any(|txn| matches!(txn, Txn::Error { .. }));
        let mut behind = false;
        let mut outcome = Outcome::default();
        for txn in txns {
            behind |= matches!(txn, Txn::Error { .. });
            let one = match txn {
                Txn::Error { err } => failed(*err),
                _ if one_failed && behind => failed(ErrorCode::RuntimeInconsistency.code()),
                _ if one_failed => Outcome::default(),
                _ => self.single(txn),
            };
            if outcome.err == 0 {
                outcome.err = one.err;
            }
            outcome.multi.push(one);
        }
        outcome
    }

    fn tell(&mut self, kind: EventKind, path: &[u8], node: NodeId) {
        self.sink.changed(kind, path, self.header.zxid, self.tree.acl(node));
    }
}

fn failed(err: i32) -> Outcome {
    Outcome { err, ..Outcome::default() }
}

fn owner(session: SessionId, kind: TxnKind) -> Owner {
    match kind {
        TxnKind::Plain { ephemeral: false, .. } => Owner::Persistent,
        TxnKind::Plain { ephemeral: true, .. } => Owner::from_field(session.0),
        TxnKind::Container => Owner::Container,
        TxnKind::Ttl { ttl } => Owner::Ttl(ttl),
    }
}

fn parent_path(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}
