// SPDX-License-Identifier: Apache-2.0
//! Within a round of an election a server's vote only gets better: by epoch, then zxid, then id,
//! though a server in force is better than one that only the next list names. Otherwise two servers
//! may take over each other's votes for ever.
//!
//! That holds from when a server begins to look until it has decided. Who then looks again votes
//! for itself first, and goes on from the round of the ensemble that it had joined: that may be an
//! earlier one than it was in. One call may see both, where words come late and at once.

use menagerie_core::{
    election::wire::Vote,
    id::ServerId,
    node::{Phase, View},
};

use super::{Check, Property, Violation};

/// The last vote of one process, and in which of its looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Votes(Option<(u64, i64, Vote)>);

impl Votes {
    /// How the server stands after a turn; who is `eligible` by the list in force there.
    pub fn seen(
        &mut self,
        server: usize,
        view: &View,
        eligible: impl Fn(ServerId) -> bool,
    ) -> Check {
        let now = view.vote.filter(|_| view.phase == Phase::Looking);
        let now = now.map(|(round, vote)| (view.looks, round, vote));
        let before = std::mem::replace(&mut self.0, now);
        let (Some((look, round, vote)), Some((past, earlier, last))) = (now, before) else {
            return Ok(());
        };
        let rank = |vote: Vote| (vote.epoch, vote.zxid, vote.leader);
        // Who learns that it has lost its history stands back.
        let stands_back = vote.zxid.0 == -1;
        let insider = (vote.epoch, vote.zxid) == (last.epoch, last.zxid)
            && eligible(vote.leader)
            && !eligible(last.leader);
        let better = rank(vote) >= rank(last) || stands_back || insider;
        // Who had no vote, which nobody counted, had no round either.
        let fresh = look != past || last == Vote::NONE;
        if fresh || round > earlier || round == earlier && better {
            return Ok(());
        }
        let server = server + 1;
        let what = format!("server {server} votes {vote} in round {round} after {last}, {earlier}");
        Err(Violation::new(Property::Votes, what))
    }
}

#[cfg(test)]
mod tests {
    use menagerie_core::id::{ServerId, Zxid};

    use super::*;

    fn view(looks: u64, round: i64, leader: i64, zxid: i64) -> View {
        let vote = Some((round, Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch: 1 }));
        View { looks, vote, ..View::blank(Phase::Looking) }
    }

    #[test]
    fn a_look_neither_goes_back_nor_gets_worse_and_another_one_may() {
        // Of the list in force are all but server 4.
        let eligible = |id| id != ServerId(4);
        let then = |first: View, now: View| {
            let mut votes = Votes::default();
            votes.seen(0, &first, eligible).unwrap();
            votes.seen(0, &now, eligible).is_ok()
        };
        let after = |now| then(view(1, 3, 2, 5), now);
        assert!(after(view(1, 3, 2, 5)) && after(view(1, 3, 3, 5)) && after(view(1, 4, 1, 4)));
        assert!(after(view(1, 3, 1, -1)), "it stands back");
        assert!(!after(view(1, 3, 1, 5)) && !after(view(1, 3, 3, 4)) && !after(view(1, 2, 3, 6)));
        assert!(after(view(2, 3, 1, 4)) && after(view(2, 2, 1, 4)));
        assert!(then(view(1, 3, 4, 5), view(1, 3, 2, 5)), "one in force");
        assert!(!then(view(1, 3, 4, 5), view(1, 3, 2, 4)), "which holds less");
    }
}
