// SPDX-License-Identifier: Apache-2.0
//! Nobody is shown a transaction before a quorum of the voters holds it such that no crash can take
//! it.

use menagerie_core::{
    id::{ServerId, Zxid},
    quorum::Quorum,
    zoo::Sound,
};

use super::{Check, Property, Violation, ghost::Ghost};

/// Whether a quorum, and where it changes the members one of both lists, holds a transaction
/// durably.
pub fn is_held(ghost: &Ghost, zxid: i64) -> bool {
    ghost.configurations.deciding(zxid).all(|quorum| holds(ghost, quorum, None, zxid))
}

/// Whether a quorum of the members of today, of which one server is none, does.
pub fn is_held_without(ghost: &Ghost, server: usize, zxid: i64) -> bool {
    holds(ghost, ghost.configurations.newest().1, Some(server), zxid)
}

fn holds(ghost: &Ghost, quorum: &Quorum, but: Option<usize>, zxid: i64) -> bool {
    quorum.holds(Sound, |voter: ServerId| {
        let at = usize::try_from(voter.0 - 1).ok().filter(|at| Some(*at) != but);
        let replica = at.and_then(|at| ghost.replicas.get(at));
        replica.is_some_and(|replica| replica.holds_durably(zxid))
    })
}

/// A server is about to show a transaction that nobody has shown before.
pub fn shown(ghost: &Ghost, server: usize, zxid: i64) -> Check {
    if is_held(ghost, zxid) {
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
