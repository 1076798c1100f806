// SPDX-License-Identifier: Apache-2.0
//! A leader tells each learner its history transaction by transaction, and says that one is
//! committed after it told it; and a learner that serves has logged, and knows to be committed, all
//! that it was told (no inconsistent proposal, no inconsistent commit).

use menagerie_core::{
    id::Zxid,
    node::{Phase, View},
    zab::wire::kind,
};

use super::{
    Check, Property, Violation,
    acks::{Acks, Course},
};

/// A word of a leader's reaches a server.
pub fn heard(server: usize, course: &Course, kind: i32, zxid: Zxid) -> Check {
    let (sent, told) = (Zxid(course.sent), Zxid(course.told));
    let begins = course.sent == 0;
    let right = match kind {
        kind::PROPOSAL => begins || zxid.follows(sent),
        // What was proposed to an observer while it joined comes once more.
        kind::INFORM | kind::INFORMANDACTIVATE => {
            begins || zxid.follows(sent) || (zxid <= sent && zxid > told)
        }
        kind::COMMIT | kind::COMMITANDACTIVATE => zxid <= sent && zxid > told,
        _ => true,
    };
    if right {
        return Ok(());
    }
    let server = server + 1;
    let what =
        format!("server {server} is told {zxid}, kind {kind}, behind {sent}, committed {told}");
    Err(Violation::new(Property::Learning, what))
}

/// A turn of a server ended.
pub fn stands(server: usize, acks: &Acks, view: &View) -> Check {
    let (Phase::Following { serving: true, .. } | Phase::Observing { serving: true, .. }) =
        view.phase
    else {
        return Ok(());
    };
    let Some(course) = acks.newest() else { return Ok(()) };
    let (sent, told) = (Zxid(course.sent), Zxid(course.told));
    if view.last >= sent && view.committed >= told {
        return Ok(());
    }
    let (server, last, committed) = (server + 1, view.last, view.committed);
    let what = format!(
        "server {server} was told {sent}, committed {told}, and has {last}, committed {committed}"
    );
    Err(Violation::new(Property::Learning, what))
}
