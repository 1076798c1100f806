// SPDX-License-Identifier: Apache-2.0
//! One election: the votes a looking server hears, its own vote, and when that is enough.
//!
//! No link and no byte here, and no effect: [`Ballot::hear`] says what has to be sent.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::wire::{Notification, PeerState, Vote};
use crate::{
    id::{ServerId, Zxid},
    quorum::Quorums,
    time::Instant,
    zoo::{Mutation, Zoo},
};

/// How long a quorum for a vote must last before it decides, while others may still have a better
/// one (`FastLeaderElection.finalizeWait`).
const RIPENS_IN: Duration = Duration::from_millis(200);

/// What a server brings to an election: what is durable on its disk, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A history, perhaps one that an `initialize` file declares to begin here, at zxid 0.
    History {
        /// The last transaction in its log or snapshot.
        zxid: Zxid,
        /// Its `currentEpoch`.
        epoch: i64,
    },
    /// No log, no snapshot and no epoch, as on a first start, or after everything was lost: it
    /// cannot tell.
    Empty,
    /// Nothing, and `db.autocreate=false` says that this must be a loss; or a part of what its
    /// first synchronisation was to bring.
    Missing,
}

/// How a server takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Votes for the best it hears of.
    Votes,
    /// Is empty, and votes for the best of those that hold nothing either.
    VotesAmongEmpty,
    /// Neither votes nor may be voted for: it waits to be synchronised.
    Waits,
    /// Is no voter: holds the best vote it hears of, which counts nowhere.
    Watches,
}

/// Whom an election has made leader: how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub vote: Vote,
    pub round: i64,
}

/// What must be sent after a notification was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nothing,
    /// The sender lags behind, or begins with a worse vote: it needs this server's.
    ToSender,
    /// This server's vote changed: all voters need it.
    ToAll,
}

/// The newest word of another voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    state: PeerState,
    vote: Vote,
    round: i64,
    versioned: bool,
}

impl Word {
    fn is_settled(&self) -> bool {
        matches!(self.state, PeerState::Following | PeerState::Leading)
    }

    /// Whether it is a vote for `vote` in `round`, given while looking or kept since.
    fn is_for(&self, vote: Vote, round: i64) -> bool {
        self.state != PeerState::Observing && (self.vote, self.round) == (vote, round)
    }
}

/// One election of one server.
#[derive(Clone, Debug)]
pub(super) struct Ballot<Z> {
    zoo: Z,
    me: ServerId,
    part: Part,
    /// What it says of itself, whomever it votes for.
    own: Vote,
    pub vote: Vote,
    pub round: i64,
    words: BTreeMap<ServerId, Word>,
    /// When the quorum for `vote` has lasted long enough, if there is one.
    pub ripe_at: Option<Instant>,
}

impl<Z: Zoo> Ballot<Z> {
    /// Begins an election. `met_data` says that a voter with data has been heard of before.
    pub fn new(
        zoo: Z,
        me: ServerId,
        quorums: &Quorums,
        now: Instant,
        round: i64,
        standing: Standing,
        met_data: bool,
    ) -> Ballot<Z> {
        let (part, zxid, epoch) = match standing {
            _ if !quorums.is_voter(me) => (Part::Watches, Vote::NONE.zxid, Vote::NONE.epoch),
            Standing::History { zxid, epoch } => (Part::Votes, zxid, epoch),
            Standing::Empty if zoo.has(Mutation::EmptyServerVotes) => (Part::Votes, Zxid::ZERO, 0),
            Standing::Empty if !met_data => (Part::VotesAmongEmpty, Zxid::ZERO, 0),
            Standing::Empty | Standing::Missing => (Part::Waits, Zxid(-1), 0),
        };
        let leader = if part == Part::Watches { Vote::NONE.leader } else { me };
        let own = Vote { leader, zxid, epoch };
        let words = BTreeMap::new();
        let mut ballot = Ballot { zoo, me, part, own, vote: own, round, words, ripe_at: None };
        ballot.vote = ballot.first_vote(quorums);
        ballot.ripen(quorums, now, true);
        ballot
    }

    /// Takes the word of another voter about a voter.
    pub fn hear(
        &mut self,
        quorums: &Quorums,
        now: Instant,
        from: ServerId,
        heard: &Notification<'_>,
    ) -> (Reply, Option<Outcome>) {
        let Notification { state, vote, round, .. } = *heard;
        let word = Word { state, vote, round, versioned: heard.is_versioned() };
        if self.ripe_at.is_some()
            && word.is_settled()
            && self.zoo.has(Mutation::RipeningIgnoresSettled)
        {
            return (Reply::Nothing, None);
        }
        let said = self.words.insert(from, word);
        let before = (self.vote, self.round);
        if self.part == Part::VotesAmongEmpty && vote.holds_data() {
            (self.part, self.own.zxid) = (Part::Waits, Zxid(-1));
            self.vote = self.own;
        }
        if state == PeerState::Looking {
            self.consider(quorums, vote, round);
            self.stand(quorums);
        }
        let changed = before != (self.vote, self.round);
        // Nobody counts the round of who has no vote: two that are in different ones would have it
        // tell all of each in turn.
        let tells = changed && self.vote != Vote::NONE;
        self.ripen(quorums, now, changed);
        let outcome = if word.is_settled() { self.join(quorums, &word) } else { None };
        // One that did not look yet when this vote went out has not taken it in: without an answer
        // it would learn of it with the next repetition only, as in Java. It is answered once: two
        // that know different members may both hold the better vote.
        let begins = said.is_none_or(|said| said.is_settled() || said.round != round);
        let worse = begins && round == self.round && self.beats(quorums, self.vote, vote);
        let lags = state == PeerState::Looking && (round < self.round || worse);
        let reply = match (tells, lags) {
            (true, _) => Reply::ToAll,
            (false, true) => Reply::ToSender,
            (false, false) => Reply::Nothing,
        };
        (reply, outcome)
    }

    /// Whether the time has come: the quorum for this server's vote has lasted.
    pub fn ripe(&self, now: Instant) -> Option<Outcome> {
        let ripe = self.ripe_at.is_some_and(|at| at <= now);
        ripe.then_some(Outcome { vote: self.vote, round: self.round })
    }

    /// The same without waiting, if nobody is left whose better vote could still come: each voter
    /// votes alike, or is `away`. A server that found nothing on its disk waits all the same: a
    /// voter with data may be about to come.
    pub fn unanimous(&self, quorums: &Quorums, away: impl Fn(ServerId) -> bool) -> Option<Outcome> {
        let spoke = |id| self.agrees(id, self.vote, self.round);
        let all = || quorums.voters().into_iter().all(|id| spoke(id) || id != self.me && away(id));
        let decides = self.ripe_at.is_some() && self.part == Part::Votes && all();
        decides.then_some(Outcome { vote: self.vote, round: self.round })
    }

    /// Follows a later round and a better vote.
    fn consider(&mut self, quorums: &Quorums, vote: Vote, round: i64) {
        if vote.is_void() {
            return;
        }
        if round > self.round {
            self.round = round;
            self.vote = self.first_vote(quorums);
        } else if self.vote == Vote::NONE {
            // Nobody counts its round. Nor does one that watches stay in a later one: the others
            // may know of a configuration in which it votes.
            self.round = round;
        }
        if round == self.round && self.may_vote_for(vote) && self.beats(quorums, vote, self.vote) {
            self.vote = vote;
        }
    }

    /// What it votes in a new round.
    fn first_vote(&self, quorums: &Quorums) -> Vote {
        if self.stands(quorums) { self.own } else { Vote::NONE }
    }

    /// Whether it proposes itself. If only the next configuration names it, voters in force that
    /// have not heard of that one can elect no stranger: somebody in force is to lead, unless so
    /// many of those hold less that none can.
    fn stands(&self, quorums: &Quorums) -> bool {
        let history = |vote: Vote| (vote.epoch, vote.zxid);
        let behind = |word: &Word| {
            word.round == self.round
                && word.state == PeerState::Looking
                && history(word.vote) < history(self.own)
        };
        self.part != Part::Votes
            || !quorums.is_eligible_only_next(self.me)
            || quorums.hold_in_force(self.zoo, |id| self.words.get(&id).is_some_and(behind))
    }

    /// Proposes itself after all, if it holds more than those who were heard.
    fn stand(&mut self, quorums: &Quorums) {
        let late = self.part == Part::Votes && quorums.is_eligible_only_next(self.me);
        if late && self.stands(quorums) && self.beats(quorums, self.own, self.vote) {
            self.vote = self.own;
        }
    }

    fn may_vote_for(&self, vote: Vote) -> bool {
        match self.part {
            Part::Votes | Part::Watches => true,
            Part::VotesAmongEmpty => !vote.holds_data() && vote.epoch == 0,
            Part::Waits => false,
        }
    }

    /// `FastLeaderElection.totalOrderPredicate`: by epoch, then zxid, then id; a candidate whose
    /// vote weighs nothing never wins. Of two that hold the same, one of those in force is better
    /// than one that only the next configuration names.
    fn beats(&self, quorums: &Quorums, new: Vote, old: Vote) -> bool {
        let by_history = (new.epoch, new.zxid) > (old.epoch, old.zxid);
        let tie = new.zxid == old.zxid
            && (new.epoch == old.epoch || self.zoo.has(Mutation::TieBreakForgetsEpoch));
        let rank = |id| (!quorums.is_eligible_only_next(id), id);
        let by_id = || rank(new.leader) > rank(old.leader);
        quorums.is_eligible(new.leader) && (by_history || tie && by_id())
    }

    /// Sees whether there is a quorum for this server's vote, and since when.
    fn ripen(&mut self, quorums: &Quorums, now: Instant, changed: bool) {
        let stands = quorums.hold(self.zoo, |id| self.agrees(id, self.vote, self.round));
        self.ripe_at = match self.ripe_at.filter(|_| !changed) {
            _ if !stands => None,
            Some(at) => Some(at),
            None if self.zoo.has(Mutation::DecisionRipensSlowly) => Some(now + 2 * RIPENS_IN),
            None => Some(now + RIPENS_IN),
        };
    }

    /// Whether a voter votes for `vote` in `round`.
    fn agrees(&self, id: ServerId, vote: Vote, round: i64) -> bool {
        if id == self.me {
            self.part != Part::Waits && (self.vote, self.round) == (vote, round)
        } else {
            self.words.get(&id).is_some_and(|word| word.is_for(vote, round))
        }
    }

    /// Whether `word` makes it certain that an ensemble has settled on a leader.
    ///
    /// Either the quorum is of this round, with looking servers in it, or it is of servers that
    /// have settled, whenever that was, under a configuration in force or a next one: each of them
    /// follows a leader that counts its quorums itself. And the leader must say that it leads.
    fn join(&self, quorums: &Quorums, word: &Word) -> Option<Outcome> {
        let same_round = word.round == self.round
            && quorums.hold(self.zoo, |id| self.agrees(id, word.vote, word.round));
        let settled = || {
            quorums.either_holds(self.zoo, |id| {
                self.words.get(&id).is_some_and(|other| self.same_leader(word, other))
            })
        };
        let joins = self.is_confirmed(word) && (same_round || settled());
        joins.then_some(Outcome { vote: word.vote, round: word.round })
    }

    /// Whether two settled servers speak of the same leadership. Their zxids and rounds may differ
    /// (ZOOKEEPER-1805), and so may epochs where only one of them knows ZOOKEEPER-1732.
    fn same_leader(&self, one: &Word, other: &Word) -> bool {
        let whole = self.zoo.has(Mutation::SettledVotesComparedWhole);
        other.is_settled()
            && one.vote.leader == other.vote.leader
            && (one.versioned != other.versioned || one.vote.epoch == other.vote.epoch)
            && (!whole || (one.vote.zxid, one.round) == (other.vote.zxid, other.round))
    }

    /// Whether the leader of `word` leads by its own word. If that is this server, others have
    /// decided before it, but only for the very vote it still gives itself.
    fn is_confirmed(&self, word: &Word) -> bool {
        let leader = word.vote.leader;
        if leader == self.me {
            return self.part != Part::Waits && (word.vote, word.round) == (self.own, self.round);
        }
        let leads = |own: &Word| own.state == PeerState::Leading && own.vote.leader == leader;
        self.words.get(&leader).is_some_and(leads) || self.zoo.has(Mutation::LeaderUnconfirmed)
    }
}
