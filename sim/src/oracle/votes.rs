// SPDX-License-Identifier: Apache-2.0
//! Within a round of an election a server's vote only gets better: by epoch, then zxid, then id,
//! though a server in force is better than one that only the next list names. Otherwise two servers
//! may take over each other's votes for ever.

use menagerie_core::{
    election::wire::Vote,
    id::ServerId,
    node::{Phase, View},
};

use super::{Check, Property, Violation};

/// The last vote of one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Votes(Option<(i64, Vote)>);

impl Votes {
    /// How the server stands after a turn; who is `eligible` by the list in force there.
    pub fn seen(
        &mut self,
        server: usize,
        view: &View,
        eligible: impl Fn(ServerId) -> bool,
    ) -> Check {
        let now = view.vote.filter(|_| view.phase == Phase::Looking);
        let before = std::mem::replace(&mut self.0, now);
        let (Some((round, vote)), Some((earlier, last))) = (now, before) else { return Ok(()) };
        let rank = |vote: Vote| (vote.epoch, vote.zxid, vote.leader);
        // Who learns that it has lost its history stands back.
        let stands_back = vote.zxid.0 == -1;
        let insider = (vote.epoch, vote.zxid) == (last.epoch, last.zxid)
            && eligible(vote.leader)
            && !eligible(last.leader);
        let better = rank(vote) >= rank(last) || stands_back || insider;
        // Who had no vote, which nobody counted, had no round either.
        if last == Vote::NONE || round > earlier || round == earlier && better {
            return Ok(());
        }
        let server = server + 1;
        let what = format!("server {server} votes {vote} in round {round} after {last}, {earlier}");
        Err(Violation::new(Property::Votes, what))
    }
}
