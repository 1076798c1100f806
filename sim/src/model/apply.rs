// SPDX-License-Identifier: Apache-2.0
//! What a committed transaction does to the model, what its reply says, and which events it fires.

use std::sync::Arc;

use menagerie_core::{
    id::Zxid,
    jute::{Record, Write},
    proto::{OpCode, Stat},
    txn::{CreateTxn, Txn, TxnHeader, TxnKind},
};

use super::{CONTAINER, Grant, Model, TTL, Znode, split};

/// Something that watches hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// 1 created, 2 deleted, 3 data changed, 4 children changed.
    pub kind: i32,
    /// The znode.
    pub path: Vec<u8>,
    /// The ACL that says who may hear of it.
    pub acl: Vec<Grant>,
}

/// What a transaction came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The error of its reply, or 0; a multi says its errors in its results.
    pub err: i32,
    /// The body of its reply.
    pub body: Vec<u8>,
    /// The events, in order.
    pub fired: Vec<Fired>,
}

impl Model {
    /// Applies a transaction that must fit: the history is the server's own, so what does not fit
    /// is a fault, named in the error.
    pub fn apply(&mut self, header: &TxnHeader, txn: &Txn<'_>) -> Result<Applied, String> {
        let mut applied = Applied::default();
        match txn {
            Txn::Multi(txns) => self.apply_multi(header, txns, &mut applied)?,
            Txn::Error { err } => applied.err = *err,
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(header.session.0, *timeout_ms);
            }
            Txn::CloseSession { .. } => {
                let owned: Vec<Vec<u8>> =
                    self.ephemerals(header.session.0).map(<[u8]>::to_vec).collect();
                for path in owned {
                    self.remove(header, &path, &mut applied)?;
                }
                self.sessions.remove(&header.session.0);
            }
            _ => {
                let stat = self.apply_one(header, txn, &mut applied)?;
                reply(txn, stat, &mut applied.body);
            }
        }
        Ok(applied)
    }

    fn apply_multi(
        &mut self,
        header: &TxnHeader,
        txns: &[Txn<'_>],
        applied: &mut Applied,
    ) -> Result<(), String> {
        let failed_at = txns.iter().position(|txn| matches!(txn, Txn::Error { .. }));
        for (n, txn) in txns.iter().enumerate() {
            if let Some(at) = failed_at {
                let err = match txn {
                    Txn::Error { err } => *err,
                    _ if n < at => 0,
                    _ => -2,
                };
                result_header(OpCode::Error, false, err, &mut applied.body);
                applied.body.put_int(err);
                continue;
            }
            let stat = self.apply_one(header, txn, applied)?;
            // Results know two kinds of creations: with a Stat and without.
            let op = match txn.op() {
                OpCode::CreateContainer | OpCode::CreateTtl => OpCode::Create2,
                op => op,
            };
            result_header(op, false, 0, &mut applied.body);
            reply(txn, stat, &mut applied.body);
        }
        result_header(OpCode::Error, true, -1, &mut applied.body);
        Ok(())
    }

    fn apply_one(
        &mut self,
        header: &TxnHeader,
        txn: &Txn<'_>,
        applied: &mut Applied,
    ) -> Result<Stat, String> {
        let lost = |path: &[u8]| format!("{} is not there", path.escape_ascii());
        match txn {
            Txn::Create(create) => self.create(header, create, applied),
            Txn::Delete { path, .. } => self.remove(header, path, applied),
            Txn::SetData { path, data, version, .. } => {
                let node = self.node_mut(path).ok_or_else(|| lost(path))?;
                let more = data.map_or(0, <[u8]>::len) as i64 - node.size();
                node.data = data.map(<[u8]>::to_vec);
                node.stat.version = *version;
                node.stat.mzxid = header.zxid;
                node.stat.mtime = header.time;
                applied.fired.push(Fired { kind: 3, path: path.to_vec(), acl: node.acl.clone() });
                let stat = node.client_stat();
                self.account(path, more, 0);
                Ok(stat)
            }
            Txn::SetAcl { path, acl, version } => {
                let node = self.node_mut(path).ok_or_else(|| lost(path))?;
                node.acl = acl.iter().flatten().map(Grant::of).collect();
                node.stat.aversion = *version;
                Ok(node.client_stat())
            }
            Txn::Check { .. } => Ok(Stat::default()),
            _ => Err("a multi holds what cannot stand in a multi".to_owned()),
        }
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        create: &CreateTxn<'_>,
        applied: &mut Applied,
    ) -> Result<Stat, String> {
        let shown = create.path.escape_ascii();
        let (parent_path, name) = split(create.path).ok_or_else(|| format!("no path: {shown}"))?;
        if self.node(create.path).is_some() {
            return Err(format!("{shown} is created twice"));
        }
        let acl: Vec<Grant> = create.acl.iter().flatten().map(Grant::of).collect();
        let parent = self.node_mut(parent_path).ok_or_else(|| format!("{shown} has no parent"))?;
        parent.children.insert(name.to_vec());
        parent.stat.cversion = create.parent_cversion;
        parent.stat.pzxid = header.zxid;
        let parent_acl = parent.acl.clone();
        let mut node = Znode::new(create.data.map(<[u8]>::to_vec), acl.clone());
        node.stat = Stat {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: match create.kind {
                TxnKind::Plain { ephemeral: true, .. } => header.session.0,
                TxnKind::Plain { .. } => 0,
                TxnKind::Container => CONTAINER,
                TxnKind::Ttl { ttl } => TTL | ttl,
            },
            ..Stat::default()
        };
        let stat = node.client_stat();
        let size = node.size();
        self.nodes.insert(create.path.into(), Arc::new(node));
        self.begin_usage(create.path);
        self.account(create.path, size, 1);
        applied.fired.push(Fired { kind: 1, path: create.path.to_vec(), acl });
        applied.fired.push(Fired { kind: 4, path: parent_path.to_vec(), acl: parent_acl });
        Ok(stat)
    }

    fn remove(
        &mut self,
        header: &TxnHeader,
        path: &[u8],
        applied: &mut Applied,
    ) -> Result<Stat, String> {
        let shown = path.escape_ascii();
        let node = self.nodes.remove(path).ok_or_else(|| format!("{shown} is not there"))?;
        if !node.children.is_empty() {
            return Err(format!("{shown} is deleted with its children"));
        }
        let (parent_path, name) = split(path).ok_or_else(|| format!("no path: {shown}"))?;
        let parent = self.node_mut(parent_path).ok_or_else(|| format!("{shown} has no parent"))?;
        parent.children.remove(name);
        parent.stat.pzxid = Zxid(parent.stat.pzxid.0.max(header.zxid.0));
        let parent_acl = parent.acl.clone();
        self.account(path, -node.size(), -1);
        applied.fired.push(Fired { kind: 2, path: path.to_vec(), acl: node.acl.clone() });
        applied.fired.push(Fired { kind: 4, path: parent_path.to_vec(), acl: parent_acl });
        Ok(Stat::default())
    }
}

/// What the reply to one operation says after its header.
fn reply(txn: &Txn<'_>, stat: Stat, out: &mut Vec<u8>) {
    match txn {
        Txn::Create(create) => {
            out.put_string(create.path);
            if create.kind != (TxnKind::Plain { ephemeral: true, create2: false })
                && create.kind != (TxnKind::Plain { ephemeral: false, create2: false })
            {
                stat.encode(out);
            }
        }
        Txn::SetData { data, reconfig: true, .. } => {
            out.put_buffer(*data);
            stat.encode(out);
        }
        Txn::SetData { .. } | Txn::SetAcl { .. } => stat.encode(out),
        _ => {}
    }
}

/// What stands before each result of a multi.
pub(super) fn result_header(op: OpCode, done: bool, err: i32, out: &mut Vec<u8>) {
    out.put_int(op.code());
    out.put_bool(done);
    out.put_int(err);
}
