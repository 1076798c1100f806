// SPDX-License-Identifier: Apache-2.0
//! Whatever is logged was proposed by a leader: no transaction is of an epoch that nobody was
//! established in.

use super::{Check, Property, Violation, ghost::Ghost, leadership::Leaders};

/// A turn ended in which a transaction may have been logged for the first time.
pub fn check(ghost: &Ghost, leaders: &Leaders) -> Check {
    let Some((server, zxid)) = ghost.unled else { return Ok(()) };
    if leaders.led(zxid.epoch()) || ghost.is_alone() {
        return Ok(());
    }
    let what = format!("server {} logs {zxid}, and nobody leads that epoch", server + 1);
    Err(Violation::new(Property::Integrity, what))
}
