// SPDX-License-Identifier: Apache-2.0
//! What a server recovers is a prefix of what was proposed, and holds everything that anyone was
//! told; nothing leaves the server before it is durable.

use menagerie_core::id::Zxid;

use super::{Check, Property, Violation, ghost::Ghost};

/// Something that speaks of `zxid` is about to leave.
pub fn durable(ghost: &Ghost, zxid: i64) -> Check {
    if zxid > ghost.durable {
        let (zxid, durable) = (Zxid(zxid), Zxid(ghost.durable));
        return broken(format!("{zxid} is told while only {durable} is durable"));
    }
    Ok(())
}

/// A server came up and says what it recovered.
pub fn recovered(ghost: &mut Ghost, zxid: i64) -> Check {
    if zxid < ghost.told {
        let told = Zxid(ghost.told);
        return broken(format!("recovered {}, but {told} had been told", Zxid(zxid)));
    }
    if zxid > ghost.last {
        let last = Zxid(ghost.last);
        return broken(format!("recovered {}, but only {last} was proposed", Zxid(zxid)));
    }
    if zxid != ghost.applied && !ghost.history.contains_key(&zxid) {
        return broken(format!("recovered {}, which was never proposed", Zxid(zxid)));
    }
    drop(ghost.history.split_off(&(zxid + 1)));
    ghost.last = zxid;
    ghost.durable = zxid;
    ghost.advance(zxid)?;
    let open = |session: &i64| ghost.model.sessions.contains_key(session);
    ghost.closing.retain(|session| !open(session));
    Ok(())
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Recovery, what))
}
