// SPDX-License-Identifier: Apache-2.0
//! Members without a leader, in read-only mode: who is served what, and what becomes of it.

use super::ensemble::{Client, World};
use crate::{
    id::SessionId,
    node::Phase,
    proto::{ErrorCode, Request},
};

/// Three servers in read-only mode with a znode `/here`, of which the first is left alone.
fn left_alone() -> (World, Client) {
    let mut world = World::new(3, 0, "readonlymode.enabled=true\n");
    (1..=3).for_each(|id| world.start(id));
    world.leader();
    let mut before = world.client(1, SessionId::NONE, &[0; 16]);
    assert_eq!(world.create(&mut before, "/here"), 0);
    world.pass(1_000);
    world.kill(2, true);
    world.kill(3, true);
    world.pass(1_900);
    assert!(!world.serves(1), "it may find a leader yet");
    world.pass(200);
    assert!(world.serves(1));
    assert_eq!(world.view(1).phase, Phase::Looking);
    (world, before)
}

fn guest(world: &mut World) -> Option<Client> {
    world.connect(1, SessionId::NONE, &[0; 16], true)
}

#[test]
fn who_only_reads_is_served_by_a_member_without_a_leader() {
    let (mut world, _) = left_alone();
    let mut client = guest(&mut world).expect("it is served");
    assert!(client.read_only);
    assert!(world.exists(&mut client, "/here"));
    let refused = Some(ErrorCode::NotReadOnly.code());
    assert_eq!(world.try_create(&mut client, "/there"), refused);
    let sync = world.ask(&mut client, &Request::Sync { path: b"/" });
    assert_eq!(sync.map(|(err, ..)| err), refused, "nobody knows what is committed by now");
    let closed = world.ask(&mut client, &Request::CloseSession);
    assert_eq!(closed.map(|(err, ..)| err), Some(0));
    assert!(world.servers[0].hung_up.contains(&client.link));
}

#[test]
fn who_did_not_say_that_it_would_do_is_hung_up_on() {
    let (mut world, before) = left_alone();
    assert!(world.try_client(1).is_none());
    let resumed = world.connect(1, before.session, &before.password, true);
    assert!(resumed.is_none(), "a session of the ensemble's is none of its own");
    let unknown = SessionId(before.session.0 + 1);
    let resumed = world.connect(1, unknown, &crate::session::password(unknown), true);
    assert!(resumed.is_none(), "it is not told that it is over: others may know it");
}

#[test]
fn a_guest_may_come_back_until_it_is_late() {
    let (mut world, _) = left_alone();
    let client = guest(&mut world).expect("it is served");
    world.pass(4_000);
    let mut back = world.connect(1, client.session, &client.password, true).expect("it goes on");
    assert_eq!(back.session, client.session);
    assert!(world.servers[0].hung_up.contains(&client.link));
    assert!(world.exists(&mut back, "/here"));
    world.pass(12_000);
    assert!(world.servers[0].hung_up.contains(&back.link));
    assert!(world.connect(1, client.session, &client.password, true).is_none());
}

#[test]
fn it_ends_when_there_is_a_leader_and_sessions_of_the_ensemble_are_as_they_were() {
    let (mut world, before) = left_alone();
    let client = guest(&mut world).expect("it is served");
    // Longer than the session's timeout: but its time begins anew with the leader.
    world.pass(15_000);
    world.start(2);
    world.leader();
    assert!(world.servers[0].hung_up.contains(&client.link));
    let mut back = world.client(1, before.session, &before.password);
    assert_eq!(back.session, before.session);
    assert!(!back.read_only);
    assert_eq!(world.create(&mut back, "/there"), 0);
    let guest = world.client(1, client.session, &client.password);
    assert_eq!(guest.session, SessionId::NONE, "a guest's session ends with the mode");
    world.start(3);
    world.agree();
}

#[test]
fn who_holds_nothing_shows_nothing() {
    let mut world = World::new(3, 0, "readonlymode.enabled=true\n");
    world.start(1);
    world.pass(10_000);
    assert!(!world.serves(1));
    assert!(guest(&mut world).is_none());
}
