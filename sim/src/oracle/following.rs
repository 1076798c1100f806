// SPDX-License-Identifier: Apache-2.0
//! A learner that serves holds a beginning of its leader's history (process consistency).

use menagerie_core::id::Zxid;

use super::{Check, Property, Violation, ghost::Ghost};

/// A learner begins to serve behind a leader, which leads the same epoch.
pub fn serves(ghost: &Ghost, learner: usize, leader: usize) -> Check {
    let (mine, theirs) = (&ghost.replicas[learner].log, &ghost.replicas[leader].log);
    let parts = mine.iter().zip(theirs).find(|(mine, theirs)| mine != theirs);
    let Some((mine, theirs)) = parts else { return Ok(()) };
    let what = format!(
        "server {} follows server {} and holds {} where that has {}",
        learner + 1,
        leader + 1,
        Zxid(*mine),
        Zxid(*theirs)
    );
    Err(Violation::new(Property::Following, what))
}
