// SPDX-License-Identifier: Apache-2.0
//! A server never goes back behind an epoch that it promised itself to, or whose history it holds,
//! whatever crashes come between; it holds no epoch that it did not promise itself to, and none
//! before all that its leader began it with is durable.

use menagerie_core::{id::Zxid, node::View};

use super::{Check, Property, Violation};

/// The epochs that one server was last seen with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promised {
    accepted: u32,
    current: u32,
}

impl Promised {
    /// The epoch whose history the server holds.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The epoch that the server promised itself to.
    pub fn accepted(&self) -> u32 {
        self.accepted
    }

    /// How the server stands after a turn; `owed` is what its leader told it ahead of NEWLEADER,
    /// if that epoch is the leader's.
    pub fn seen(&mut self, server: usize, view: &View, owed: Option<Zxid>) -> Check {
        let (accepted, current) = (view.accepted, view.current);
        let before = std::mem::replace(self, Promised { accepted, current });
        let server = server + 1;
        if accepted < before.accepted || current < before.current || current > accepted {
            let (was, of) = (before.current, before.accepted);
            return broken(format!(
                "server {server} is in epoch {current} of accepted {accepted}, after {was} of {of}"
            ));
        }
        if current > before.current
            && let Some(owed) = owed.filter(|owed| *owed > view.durable)
        {
            let held = view.durable;
            return broken(format!(
                "server {server} is in epoch {current}, which began with {owed}, and holds {held}"
            ));
        }
        Ok(())
    }
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Epochs, what))
}
