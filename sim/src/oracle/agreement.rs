// SPDX-License-Identifier: Apache-2.0
//! There is one history: equal zxids are equal transactions on every server, and what any two
//! servers ever show are beginnings of one sequence (prefix consistency, agreement, total order).

use menagerie_core::id::Zxid;

use super::{
    Check, Property, Violation,
    ghost::{Ghost, Proposed},
};

/// Two histories.
pub fn broken(what: String) -> Violation {
    Violation::new(Property::Agreement, what)
}

/// A server logged a transaction that another one had logged.
pub fn same(server: usize, known: &Proposed, logged: &Proposed) -> Check {
    if known == logged {
        return Ok(());
    }
    let zxid = logged.header.zxid;
    Err(broken(format!("server {} logs {logged:?} as {zxid}, which is {known:?}", server + 1)))
}

/// A server shows something else than what was shown in that place.
pub fn parted(server: usize, next: i64, known: i64) -> Check {
    let (server, next, known) = (server + 1, Zxid(next), Zxid(known));
    Err(broken(format!("server {server} applies {next} where {known} was committed")))
}

/// A server says that it stands at `to`, and its own log has been followed that far: nothing that
/// was shown before may be missing in it.
pub fn whole(ghost: &Ghost, server: usize, to: i64) -> Check {
    let replica = &ghost.replicas[server];
    if let Some(known) = ghost.committed.get(replica.shown).filter(|known| **known <= to) {
        let (known, to) = (Zxid(*known), Zxid(to));
        let what = format!("server {} stands at {to}, and {known} is not in its log", server + 1);
        return Err(broken(what));
    }
    if to > replica.applied {
        return Err(broken(format!(
            "server {} says {}, which was never logged",
            server + 1,
            Zxid(to)
        )));
    }
    Ok(())
}
