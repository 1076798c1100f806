// SPDX-License-Identifier: Apache-2.0
//! A handshake opens a session that is durable, or gives back one that is alive to whoever has its
//! password; it turns away a session that is closed, and a client that saw what the server has not.

use menagerie_core::{
    id::{LinkId, Zxid},
    proto::ConnectResponse,
};

use super::{
    Check, Property, Violation,
    ghost::{Connect, Ghost},
};

/// A handshake is about to be answered.
pub fn answered(
    ghost: &mut Ghost,
    name: LinkId,
    asked: &Connect,
    response: &ConnectResponse<'_>,
) -> Check {
    let given = response.session.0;
    if asked.last_seen > ghost.last {
        let (seen, last) = (Zxid(asked.last_seen), Zxid(ghost.last));
        return broken(format!("link {}: a client that saw {seen} is let in at {last}", name.0));
    }
    if given == 0 || response.timeout_ms <= 0 {
        let alive = is_open(ghost, asked.session) && !ghost.closing.contains(&asked.session);
        if alive && asked.password_fits {
            let session = Zxid(asked.session);
            return broken(format!("link {}: session {session} is alive, yet given up", name.0));
        }
        return Ok(());
    }
    if asked.session == 0 {
        // The response leaves once the session's first transaction is applied.
        let opened = ghost.history.iter().find(|(_, p)| {
            p.header.session.0 == given
                && p.header.op == menagerie_core::proto::OpCode::CreateSession.code()
        });
        if let Some((zxid, _)) = opened {
            let zxid = *zxid;
            super::durable(ghost, zxid)?;
            ghost.advance(zxid)?;
        }
    } else if given != asked.session || !asked.password_fits {
        let (given, asked) = (Zxid(given), Zxid(asked.session));
        return broken(format!("link {}: asked for session {asked}, got {given}", name.0));
    }
    if !is_open(ghost, given) {
        return broken(format!("link {}: session {} is not open", name.0, Zxid(given)));
    }
    Ok(())
}

/// Whether a session is open as far as the proposed history goes.
fn is_open(ghost: &Ghost, session: i64) -> bool {
    let create = menagerie_core::proto::OpCode::CreateSession.code();
    let mut proposed = ghost.history.values().map(|p| p.header);
    ghost.model.sessions.contains_key(&session)
        || proposed.any(|header| header.session.0 == session && header.op == create)
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Sessions, what))
}
