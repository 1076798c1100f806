// SPDX-License-Identifier: Apache-2.0
//! An epoch has one leader at most, in the whole run, and whoever leads holds everything of earlier
//! epochs that anybody was ever shown. One that hears late that it leads may be deposed by then.

use std::collections::BTreeMap;

use menagerie_core::id::Zxid;

use super::{Check, Property, Violation, ghost::Ghost};

/// Who led which epoch.
#[derive(Clone, Debug, Default)]
pub struct Leaders(BTreeMap<u32, usize>);

impl Leaders {
    /// A server leads an epoch; the first time, it must hold everything.
    pub fn leads(&mut self, ghost: &Ghost, server: usize, epoch: u32) -> Check {
        match self.0.insert(epoch, server) {
            Some(other) if other == server => Ok(()),
            Some(other) => {
                let (one, other) = (server + 1, other + 1);
                broken(format!("servers {other} and {one} both lead epoch {epoch}"))
            }
            None => complete(ghost, server, epoch),
        }
    }

    /// Whether anybody was established in an epoch.
    pub fn led(&self, epoch: u32) -> bool {
        self.0.contains_key(&epoch)
    }
}

fn complete(ghost: &Ghost, server: usize, epoch: u32) -> Check {
    let log = &ghost.replicas[server].log;
    let lacks = |zxid: &&i64| Zxid(**zxid).epoch() < epoch && log.binary_search(zxid).is_err();
    let Some(lost) = ghost.committed.iter().find(lacks) else { return Ok(()) };
    let (server, lost) = (server + 1, Zxid(*lost));
    broken(format!("server {server} leads epoch {epoch} without {lost}, which was committed"))
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Leadership, what))
}
