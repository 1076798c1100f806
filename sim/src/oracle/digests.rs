// SPDX-License-Identifier: Apache-2.0
//! The digest logged behind a transaction is that of the model's tree after it, summed up anew by
//! the formula of Java's `DigestCalculator`, version 2; and each server that stands at
//! that transaction, in whatever role, has a tree of that digest.

use menagerie_core::{
    id::Zxid,
    txn::{TxnDigest, TxnHeader},
};

use super::{Check, Property, Violation, ghost::Ghost, replica::Replica};
use crate::model::{Model, Znode};

/// A transaction was applied to the model.
pub fn check(model: &Model, header: &TxnHeader, logged: Option<TxnDigest>) -> Check {
    let Some(logged) = logged else { return Ok(()) };
    let expected = TxnDigest { version: 2, digest: digest(model) };
    if logged != expected {
        let what = format!("{}: logged {logged:x?}, the tree has {expected:x?}", header.zxid);
        return Err(Violation::new(Property::Digests, what));
    }
    Ok(())
}

/// A server that serves stands at a transaction, and its tree has this digest.
pub fn stands(ghost: &Ghost, server: usize, digest: u64) -> Check {
    let Replica { applied: at, digest: logged, .. } = ghost.replicas[server];
    if logged.is_some_and(|logged| logged.digest != digest) {
        let server = server + 1;
        let what = format!("server {server} has {digest:x} at {}, not {logged:x?}", Zxid(at));
        return Err(Violation::new(Property::Digests, what));
    }
    Ok(())
}

fn digest(model: &Model) -> u64 {
    let covered = |(path, _): &(&[u8], _)| !path.starts_with(b"/zookeeper/");
    let sum = |sum: u64, (path, node): (&[u8], &Znode)| {
        sum.wrapping_add(*node.digest.get_or_init(|| of_node(path, node)))
    };
    model.nodes().filter(covered).fold(0, sum)
}

fn of_node(path: &[u8], node: &Znode) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(if path == b"/" { b"" } else { path });
    crc.update(node.data.as_deref().unwrap_or_default());
    let stat = &node.stat;
    for long in [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime, stat.mtime] {
        crc.update(&long.to_be_bytes());
    }
    for int in [stat.version, stat.cversion, stat.aversion] {
        crc.update(&int.to_be_bytes());
    }
    crc.update(&stat.ephemeral_owner.to_be_bytes());
    u64::from(crc.finalize())
}
