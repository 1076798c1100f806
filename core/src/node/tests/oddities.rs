// SPDX-License-Identifier: Apache-2.0
//! Members in circumstances that should not be, and settings that are for tests.

use alloc::string::String;

use super::{
    ensemble::{World, three},
    *,
};
use crate::id::DialId;

#[test]
fn a_learner_gets_a_whole_tree_where_it_is_forced() {
    for (lines, trees) in [("", 0), ("forceSnapshotSync=true\n", 1)] {
        let mut world = World::new(3, 0, lines);
        (1..=3).for_each(|id| world.start(id));
        let leader = world.leader();
        let mut client = world.client(leader, SessionId::NONE, &[0; 16]);
        assert_eq!(world.create(&mut client, "/one"), 0);
        world.agree();
        let (before, away) = (world.trees, 1 + leader % 3);
        world.kill(away, true);
        world.start(away);
        world.leader();
        world.agree();
        assert_eq!(world.trees - before, trees, "{lines}");
        // Nobody has a tree of all that they hold: a leader is made by those who get the log.
        assert_eq!(world.create(&mut client, "/two"), 0);
        world.agree();
        (1..=3).for_each(|id| world.kill(id, true));
        (1..=3).for_each(|id| world.start(id));
        world.leader();
        world.agree();
    }
}

#[test]
fn a_server_whose_data_differs_from_its_leaders_stops_and_leaves_its_disk() {
    let wrote = |path: &str| {
        let mut world = three();
        let leader = world.leader();
        let mut client = world.client(leader, SessionId::NONE, &[0; 16]);
        assert_eq!(world.create(&mut client, path), 0);
        world.agree();
        (world, leader, client)
    };
    let ((mut world, leader, mut client), (other, ..)) = (wrote("/this"), wrote("/that"));
    let wrong = 1 + leader % 3;
    world.kill(wrong, true);
    world.servers[wrong - 1].disk = other.servers[wrong - 1].disk.crash(|| true);
    world.start(wrong);
    assert_eq!(world.leader(), leader);
    assert!(world.servers[wrong - 1].node.is_some(), "nothing was written yet");
    assert_eq!(world.create(&mut client, "/next"), 0, "the others go on");
    world.pass(1_000);
    assert!(world.servers[wrong - 1].node.is_none());
    let said = world.notes.iter().any(|note| note.contains("this server's data differs"));
    assert!(said, "{:#?}", world.notes);
    world.agree();
}

#[test]
fn a_dial_may_fail_while_a_member_stops() {
    let mut world = three();
    let leader = world.leader();
    let (now, mut fx) = (world.now(), Effects::new());
    let node = world.servers[leader - 1].node.as_mut().expect("it was started");
    node.handle(now, Input::Ask { ask: AskId(1), question: Question::Stop }, &mut fx);
    assert_eq!(node.view().phase, Phase::Stopping);
    for port in [Port::Election, Port::Quorum] {
        let why = String::from("too late");
        node.handle(now, Input::DialFailed { port, dial: DialId(1), why }, &mut fx);
    }
}
