// SPDX-License-Identifier: Apache-2.0
//! Nobody is shown a transaction before a quorum of the voters holds it such that no crash can take
//! it.

use menagerie_core::{
    id::{ServerId, Zxid},
    zoo::Sound,
};

use super::{Check, Property, Violation, ghost::Ghost};

/// Whether a quorum, of which one server is none, holds a transaction durably.
pub fn is_held(ghost: &Ghost, but: Option<usize>, zxid: i64) -> bool {
    ghost.quorum.holds(Sound, |voter: ServerId| {
        let at = usize::try_from(voter.0 - 1).ok().filter(|at| Some(*at) != but);
        let replica = at.and_then(|at| ghost.replicas.get(at));
        replica.is_some_and(|replica| replica.holds_durably(zxid))
    })
}

/// A server is about to show a transaction that nobody has shown before.
pub fn shown(ghost: &Ghost, server: usize, zxid: i64) -> Check {
    if is_held(ghost, None, zxid) {
        return Ok(());
    }
    let durable: Vec<String> =
        ghost.replicas.iter().map(|replica| Zxid(replica.durable).to_string()).collect();
    let what = format!(
        "server {} shows {}, which no quorum holds durably: they hold {}",
        server + 1,
        Zxid(zxid),
        durable.join(", ")
    );
    Err(Violation::new(Property::Commitment, what))
}
