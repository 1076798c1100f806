// SPDX-License-Identifier: Apache-2.0
//! Once the faults are over, the servers come up, every client is connected again, and every
//! request is answered within a bounded time; in a liveness run, those of the core.

use menagerie_core::{id::Zxid, node::Phase};

use super::{Check, Property, Violation, ghost::Ghost, replica::Replica};

/// How long a request may wait in a healthy world, in microseconds.
pub const PATIENCE: u64 = 5_000_000;

/// These servers have been healthy for a while; it is `at` now.
pub fn healed<'a>(replicas: impl Iterator<Item = &'a Replica>, at: u64) -> Check {
    for (name, link) in replicas.flat_map(|replica| &replica.links) {
        let Some(first) = link.requests.front().filter(|_| !link.excused) else { continue };
        if at.saturating_sub(first.at) > PATIENCE {
            let what = format!(
                "link {} of session {} waits since {} us for its answer to {:?}",
                name.0,
                Zxid(first.session),
                first.at,
                first.request(),
            );
            return Err(Violation::new(Property::Progress, what));
        }
    }
    Ok(())
}

/// The world has been healthy for a while, and no epoch ends by itself: every member has its part.
pub fn all_serve(ghost: &Ghost) -> Check {
    for (server, replica) in ghost.replicas.iter().enumerate() {
        if !ghost.configurations.names(server) {
            continue;
        }
        let serves = matches!(
            replica.phase,
            Some(
                Phase::Alone
                    | Phase::Leading { established: true, .. }
                    | Phase::Following { serving: true, .. }
                    | Phase::Observing { serving: true, .. }
            )
        );
        if !serves {
            let what = format!("server {} does not serve: {:?}", server + 1, replica.phase);
            return Err(Violation::new(Property::Progress, what));
        }
    }
    Ok(())
}

/// A client that should be served by now is not; `standing` says where it stands.
pub fn not_served(client: usize, since: u64, standing: &str) -> Violation {
    let what =
        format!("client {client} is not served, {since} us after the faults ended: {standing}");
    Violation::new(Property::Progress, what)
}

/// A healed world acknowledged too few operations.
pub fn lags(acknowledged: u64, since: u64) -> Violation {
    let what = format!("{acknowledged} operations are acknowledged, {since} us after it healed");
    Violation::new(Property::Progress, what)
}
