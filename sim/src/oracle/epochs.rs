// SPDX-License-Identifier: Apache-2.0
//! A server never goes back behind an epoch that it promised itself to, or whose history it holds,
//! whatever crashes come between; and it holds no epoch that it did not promise itself to.

use menagerie_core::node::View;

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

    /// How the server stands after a turn.
    pub fn seen(&mut self, server: usize, view: &View) -> Check {
        let (accepted, current) = (view.accepted, view.current);
        if accepted < self.accepted || current < self.current || current > accepted {
            let what = format!(
                "server {} is in epoch {current} of accepted {accepted}, after {} of {}",
                server + 1,
                self.current,
                self.accepted
            );
            return Err(Violation::new(Property::Epochs, what));
        }
        *self = Promised { accepted, current };
        Ok(())
    }
}
