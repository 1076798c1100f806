// SPDX-License-Identifier: Apache-2.0
//! Each bug of the zoo that concerns elections, and what it breaks.

use std::time::Duration;

use menagerie_core::{
    election::{
        Decision, Standing,
        wire::{Form, Hello, HelloForm, Notification, PeerState, Vote},
    },
    id::{ServerId, Zxid},
    zoo::Mutation,
};

use crate::net::{Even, Id, Net};

const THREE: &str = "server.1=zk1:1:2\nserver.2=zk2:1:2\nserver.3=zk3:1:2";

fn net(members: &str, bug: Option<Mutation>) -> Net<Even> {
    let mut net = Net::new(members, Even);
    net.bug = bug;
    net
}

fn history(epoch: u32, counter: u32) -> Standing {
    Standing::History { zxid: Zxid::new(epoch, counter), epoch: i64::from(epoch) }
}

fn run(net: &mut Net<Even>, millis: u64) {
    net.run(Duration::from_millis(millis));
}

/// A script speaks for `id` on a link of its own.
fn dial(net: &mut Net<Even>, id: Id, to: Id) {
    net.script(id);
    net.script_dials(id, to);
    let mut bytes = Vec::new();
    Hello { from: ServerId(id), form: HelloForm::Short }.encode(&mut bytes);
    net.script_says(id, to, bytes);
}

fn say(net: &mut Net<Even>, id: Id, to: Id, state: PeerState, vote: (Id, Zxid, i64), round: i64) {
    let (leader, zxid, epoch) = vote;
    let vote = Vote { leader: ServerId(leader), zxid, epoch };
    let mut body = Vec::new();
    Notification { state, vote, round, form: Form::V40(1) }.encode(&mut body);
    let len = u32::try_from(body.len()).expect("short");
    net.script_says(id, to, [&len.to_be_bytes(), body.as_slice()].concat());
    run(net, 5);
}

fn decided(net: &Net<Even>, id: Id) -> Option<Decision> {
    net.election(id).decision()
}

fn leaders(net: &Net<Even>) -> usize {
    net.up().filter(|&id| decided(net, id) == Some(Decision::Leading)).count()
}

#[test]
fn a_minority_as_a_quorum_gives_two_leaders() {
    let leaders_of_two_sides = |bug| {
        let mut net = net(THREE, bug);
        net.cut(3, 1);
        net.cut(3, 2);
        [1, 2, 3].into_iter().for_each(|id| net.start(id, history(1, 5)));
        run(&mut net, 2_000);
        leaders(&net)
    };
    assert_eq!(leaders_of_two_sides(None), 1);
    assert_eq!(leaders_of_two_sides(Some(Mutation::MinorityIsQuorum)), 2);
}

#[test]
fn without_the_epoch_in_the_tie_break_votes_flip_thousands_of_times() {
    let votes = |bug| {
        let five = format!("{THREE}\nserver.4=zk4:1:2\nserver.5=zk5:1:2");
        let mut net = net(&five, bug);
        for (id, epoch) in [(1, 1), (2, 1), (3, 3), (4, 2)] {
            net.start(id, Standing::History { zxid: Zxid::new(1, 5), epoch });
        }
        // One that can be reached and says nothing: it may still have a better vote.
        (1..=4).for_each(|id| dial(&mut net, 5, id));
        run(&mut net, 10_000);
        net.story.iter().filter(|line| line.contains("LOOKING")).count()
    };
    assert!(votes(None) < 200);
    assert!(votes(Some(Mutation::TieBreakForgetsEpoch)) > 5_000);
}

#[test]
fn an_empty_server_that_votes_elects_one_that_lags_behind() {
    let lead = |bug| {
        let mut net = net(THREE, bug);
        net.start(1, history(1, 1));
        net.start(3, Standing::Empty);
        run(&mut net, 10_000);
        leaders(&net)
    };
    assert_eq!(lead(None), 0);
    assert_eq!(lead(Some(Mutation::EmptyServerVotes)), 1);
}

#[test]
fn a_server_that_went_deaf_hears_no_vote() {
    let hears = |bug| {
        let mut net = net(THREE, bug);
        net.start(1, history(1, 5));
        dial(&mut net, 3, 1);
        net.script_says(3, 1, vec![0, 0, 0, 1, 0]);
        say(&mut net, 3, 1, PeerState::Looking, (3, Zxid::new(1, 5), 1), 1);
        run(&mut net, 1_000);
        decided(&net, 1)
    };
    assert_eq!(hears(None), Some(Decision::Following(ServerId(3))));
    assert_eq!(hears(Some(Mutation::DeafAfterBadNotification)), None);
}

#[test]
fn an_old_vote_as_a_greeting_lies() {
    let greeting = |bug| {
        let mut net = net(THREE, bug);
        net.start(1, history(1, 5));
        net.start(2, history(1, 5));
        run(&mut net, 1_000);
        net.story.clear();
        dial(&mut net, 3, 1);
        run(&mut net, 10);
        let mut heard = net.story.iter().filter(|line| line.contains("1 > 3"));
        heard.next().expect("a greeting").clone()
    };
    assert!(greeting(None).contains("FOLLOWING"));
    assert!(greeting(Some(Mutation::GreetsWithOldVote)).contains("LOOKING"));
}

#[test]
fn who_ignores_the_settled_follows_one_that_does_not_lead() {
    let follows = |bug| {
        let mut net = net(THREE, bug);
        net.start(1, Standing::History { zxid: Zxid::ZERO, epoch: 0 });
        dial(&mut net, 2, 1);
        dial(&mut net, 3, 1);
        run(&mut net, 5);
        say(&mut net, 2, 1, PeerState::Looking, (2, Zxid::new(1, 5), 1), 1);
        say(&mut net, 2, 1, PeerState::Following, (3, Zxid::ZERO, 1), 1);
        say(&mut net, 3, 1, PeerState::Leading, (3, Zxid::ZERO, 1), 1);
        run(&mut net, 1_000);
        decided(&net, 1)
    };
    assert_eq!(follows(None), Some(Decision::Following(ServerId(3))));
    let ignorant = follows(Some(Mutation::RipeningIgnoresSettled));
    assert_eq!(ignorant, Some(Decision::Following(ServerId(2))));
}

#[test]
fn without_its_own_word_a_dead_leader_is_followed() {
    let five = format!("{THREE}\nserver.4=zk4:1:2\nserver.5=zk5:1:2");
    let follows = |bug| {
        let mut net = net(&five, bug);
        net.start(1, history(1, 5));
        for id in [2, 4, 5] {
            dial(&mut net, id, 1);
            say(&mut net, id, 1, PeerState::Following, (3, Zxid::new(1, 5), 2), 1);
        }
        decided(&net, 1)
    };
    assert_eq!(follows(None), None);
    let credulous = follows(Some(Mutation::LeaderUnconfirmed));
    assert_eq!(credulous, Some(Decision::Following(ServerId(3))));
}

#[test]
fn who_compares_settled_votes_whole_never_joins() {
    let joins = |bug| {
        let mut net = net(THREE, bug);
        net.start(1, history(1, 5));
        dial(&mut net, 2, 1);
        say(&mut net, 2, 1, PeerState::Following, (3, Zxid::new(1, 5), 2), 7);
        dial(&mut net, 3, 1);
        say(&mut net, 3, 1, PeerState::Leading, (3, Zxid::new(1, 9), 2), 4);
        decided(&net, 1)
    };
    assert_eq!(joins(None), Some(Decision::Following(ServerId(3))));
    assert_eq!(joins(Some(Mutation::SettledVotesComparedWhole)), None);
}
