// SPDX-License-Identifier: Apache-2.0
//! Nothing leaves a server before it is durable there: neither a reply nor an event tells of a
//! transaction that a crash could take.

use menagerie_core::id::Zxid;

use super::{Check, Property, Violation, ghost::Ghost};

/// Something that speaks of `zxid` is about to leave a server.
pub fn durable(ghost: &Ghost, server: usize, zxid: i64) -> Check {
    let replica = &ghost.replicas[server];
    let newest = replica.upto(zxid).last().copied().unwrap_or(0);
    if newest > replica.durable {
        let (zxid, durable) = (Zxid(zxid), Zxid(replica.durable));
        let what = format!("{zxid} is told while only {durable} is durable");
        return Err(Violation::new(Property::Durability, what));
    }
    Ok(())
}
