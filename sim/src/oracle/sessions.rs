// SPDX-License-Identifier: Apache-2.0
//! A handshake opens a session that is durable, or gives back one that is alive to whoever has its
//! password; it turns away a session that is closed, and a client that saw what the server has not.
//! A leader that was deposed and does not know it yet knows of no session's end since; nor does a
//! server that is behind when it tells of the beginning.

use menagerie_core::{
    id::{LinkId, Zxid},
    proto::{ConnectResponse, OpCode},
};

use super::{Check, Property, Violation, ghost::Ghost, replica::Connect};

/// A handshake is about to be answered.
pub fn answered(
    ghost: &mut Ghost,
    server: usize,
    name: LinkId,
    asked: &Connect,
    response: &ConnectResponse<'_>,
) -> Check {
    let given = response.session.0;
    let replica = &ghost.replicas[server];
    let last = replica.last().max(replica.said);
    if asked.last_seen > last {
        let (seen, last) = (Zxid(asked.last_seen), Zxid(last));
        return broken(format!("link {}: a client that saw {seen} is let in at {last}", name.0));
    }
    if given == 0 || response.timeout_ms <= 0 {
        let open = ghost.model.sessions.contains_key(&asked.session);
        // A server that does not know of a newer leader yet may not know the session, either.
        let current = replica.promised.current() >= ghost.epoch;
        let alive = open && current && !ghost.closing.contains(&asked.session);
        if alive && asked.password_fits {
            let session = Zxid(asked.session);
            return broken(format!("link {}: session {session} is alive, yet given up", name.0));
        }
        return Ok(());
    }
    if asked.session == 0 {
        // The response leaves once the session's first transaction is applied.
        let replica = &ghost.replicas[server];
        let opens = |zxid: &&i64| {
            let header = ghost.history[*zxid].0.header;
            header.session.0 == given && header.op == OpCode::CreateSession.code()
        };
        if let Some(zxid) = replica.after(replica.applied).iter().find(opens).copied() {
            ghost.off.pardon(super::durable(ghost, server, zxid))?;
            ghost.advance(server, zxid)?;
        }
    } else if given != asked.session || !asked.password_fits {
        let (given, asked) = (Zxid(given), Zxid(asked.session));
        return broken(format!("link {}: asked for session {asked}, got {given}", name.0));
    }
    let replica = &ghost.replicas[server];
    let deposed = replica.promised.current() < ghost.epoch;
    let thought_open =
        (deposed || asked.session == 0) && replica.model.sessions.contains_key(&given);
    if !asked.was_open && !ghost.is_open(given) && !thought_open {
        return broken(format!("link {}: session {} is not open", name.0, Zxid(given)));
    }
    Ok(())
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Sessions, what))
}

#[cfg(test)]
mod tests {
    use menagerie_core::{id::SessionId, proto::PASSWORD_LEN, time::Instant};

    use super::*;
    use crate::scenario::{Knob, Scenario};

    #[test]
    fn only_who_cannot_know_of_its_end_gives_a_session_that_was_closed() {
        let mut ghost = Ghost::fresh(&Scenario::of(&[Knob::Voters(3)]));
        ghost.replicas[1].model.sessions.insert(7, 4_000);
        let mut asked = Connect {
            session: 7,
            was_open: false,
            password_fits: true,
            last_seen: 0,
            asked: Instant::ZERO,
        };
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: 4_000,
            session: SessionId(7),
            password: &[0; PASSWORD_LEN],
            read_only: Some(false),
        };
        let judge =
            |ghost: &mut Ghost, asked: &Connect| answered(ghost, 1, LinkId(1), asked, &response);
        assert!(judge(&mut ghost, &asked).is_err(), "it leads, and the session is closed");
        ghost.epoch = 1;
        assert!(judge(&mut ghost, &asked).is_ok(), "another leads by now");
        (ghost.epoch, asked.session) = (0, 0);
        assert!(judge(&mut ghost, &asked).is_ok(), "it was opened here, which is behind");
        ghost.replicas[1].model.sessions.clear();
        assert!(judge(&mut ghost, &asked).is_err(), "it knew of the end itself");
    }
}
