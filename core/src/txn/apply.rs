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
    match txn {
        Txn::CloseSession { paths } => {
            close_session(tree, header, paths.as_deref().unwrap_or_default(), sink);
            Outcome::default()
        }
        Txn::Multi(txns) => multi(tree, header, txns, sink),
        _ => single(tree, header, txn, sink),
    }
}

fn single(tree: &mut Tree, header: &TxnHeader, txn: &Txn<'_>, sink: &mut impl Sink) -> Outcome {
    let stat = match txn {
        Txn::Create(new) => create(tree, header, new, sink),
        Txn::Delete { path, .. } => delete(tree, header.zxid, path, sink).map(|()| None),
        Txn::SetData { path, data, version, .. } => {
            let changed = tree.set_data(path, *data, *version, header.zxid, header.time);
            changed.map(|node| {
                sink.changed(EventKind::DataChanged, path, header.zxid, tree.acl(node));
                Some(tree.stat(node))
            })
        }
        Txn::SetAcl { path, acl, version } => {
            let changed = tree.set_acl(path, acl.as_deref(), *version);
            changed.map(|node| Some(tree.stat(node)))
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

fn failed(err: i32) -> Outcome {
    Outcome { err, ..Outcome::default() }
}

fn create(
    tree: &mut Tree,
    header: &TxnHeader,
    txn: &CreateTxn<'_>,
    sink: &mut impl Sink,
) -> Result<Option<Stat>, ErrorCode> {
    let node = tree.create(&NewNode {
        path: txn.path,
        data: txn.data,
        acl: txn.acl.as_deref(),
        owner: owner(header.session, txn.kind),
        parent_cversion: txn.parent_cversion,
        zxid: header.zxid,
        time: header.time,
    })?;
    sink.changed(EventKind::Created, txn.path, header.zxid, tree.acl(node));
    children_changed(tree, txn.path, header.zxid, sink);
    let plain = matches!(txn.kind, TxnKind::Plain { create2: false, .. });
    Ok((!plain).then(|| tree.stat(node)))
}

fn owner(session: SessionId, kind: TxnKind) -> Owner {
    match kind {
        TxnKind::Plain { ephemeral: false, .. } => Owner::Persistent,
        TxnKind::Plain { ephemeral: true, .. } => Owner::from_field(session.0),
        TxnKind::Container => Owner::Container,
        TxnKind::Ttl { ttl } => Owner::Ttl(ttl),
    }
}

fn delete(tree: &mut Tree, zxid: Zxid, path: &[u8], sink: &mut impl Sink) -> Result<(), ErrorCode> {
    let held = tree.delete(path, zxid)?;
    sink.changed(EventKind::Deleted, path, zxid, tree.held_acl(&held));
    tree.let_go(held);
    children_changed(tree, path, zxid, sink);
    Ok(())
}

/// Tells of the parent of a znode that came or went.
fn children_changed(tree: &Tree, path: &[u8], zxid: Zxid, sink: &mut impl Sink) {
    let slash = path.iter().rposition(|byte| *byte == b'/').expect("it had a parent");
    let parent = if slash == 0 { b"/" } else { &path[..slash] };
    let node: NodeId = tree.find(parent).expect("it had a parent");
    sink.changed(EventKind::ChildrenChanged, parent, zxid, tree.acl(node));
}

/// Removes the znodes that the transaction names, and then whatever else the session owns: the
/// empty form names none, and a replay may find others.
fn close_session(tree: &mut Tree, header: &TxnHeader, paths: &[&[u8]], sink: &mut impl Sink) {
    for path in paths {
        // Gone already: a replay, or a delete that was proposed before the close.
        let _ = delete(tree, header.zxid, path, sink);
    }
    loop {
        let Some(path) = tree.ephemerals(header.session).next().map(|node| tree.path(node)) else {
            break;
        };
        delete(tree, header.zxid, &path, sink).expect("the session's ring holds what is there");
    }
}

/// Applies all, or, if one of them is an error, none: the others are errors then, too. The prepared
/// form has them as such already; what another writer left as it was is treated alike.
fn multi(tree: &mut Tree, header: &TxnHeader, txns: &[Txn<'_>], sink: &mut impl Sink) -> Outcome {
    let one_failed = txns.iter().any(|txn| matches!(txn, Txn::Error { .. }));
    let mut behind = false;
    let mut outcome = Outcome::default();
    for txn in txns {
        behind |= matches!(txn, Txn::Error { .. });
        let one = match txn {
            Txn::Error { err } => failed(*err),
            _ if one_failed && behind => failed(ErrorCode::RuntimeInconsistency.code()),
            _ if one_failed => Outcome::default(),
            _ => single(tree, header, txn, sink),
        };
        if outcome.err == 0 {
            outcome.err = one.err;
        }
        outcome.multi.push(one);
    }
    outcome
}
