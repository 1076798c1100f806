// SPDX-License-Identifier: Apache-2.0
//! Ensembles whose members change: they grow, shrink, lose their leader on purpose and by accident,
//! and never have two minds about what was written.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    ensemble::{Client, World},
    *,
};

const LINES: &str = "reconfigEnabled=true\nstandaloneEnabled=false\nskipACL=yes\n";

fn line(id: usize) -> String {
    format!("server.{id}=host{id}:2888:3888:participant;0.0.0.0:2181")
}

fn list(ids: impl IntoIterator<Item = usize>) -> String {
    ids.into_iter().map(|id| line(id) + "\n").collect()
}

/// Servers `1..=first` make an ensemble, and the others up to `all` know it and themselves.
fn world_with(first: usize, all: usize, lines: &str) -> World {
    let others = (first + 1..=all).map(|id| list((1..=first).chain([id])));
    let texts = (1..=first).map(|_| list(1..=first)).chain(others);
    let mut world = World::of(texts.collect(), lines);
    (1..=first).for_each(|id| world.start(id));
    world.leader();
    (first + 1..=all).for_each(|id| world.start(id));
    world.leader();
    world
}

fn world(first: usize, all: usize) -> World {
    world_with(first, all, LINES)
}

fn client(world: &mut World, id: usize) -> Client {
    world.client(id, SessionId::NONE, &[0; 16])
}

/// Asks for other members by way of a server; gives the answer's error code.
fn reconfig(world: &mut World, id: usize, join: &[usize], leave: &[usize]) -> Option<i32> {
    let mut client = client(world, id);
    ask(world, &mut client, join, leave, -1)
}

fn ask(
    world: &mut World,
    client: &mut Client,
    join: &[usize],
    leave: &[usize],
    from_config: i64,
) -> Option<i32> {
    let join: Vec<String> = join.iter().copied().map(line).collect();
    let leave: Vec<String> = leave.iter().map(ToString::to_string).collect();
    let (join, leave) = (join.join(","), leave.join(","));
    let request = Request::Reconfig {
        joining: Some(join.as_bytes()),
        leaving: Some(leave.as_bytes()),
        members: None,
        from_config,
    };
    world.ask(client, &request).map(|answer| answer.0)
}

/// What a server shows at `/zookeeper/config`: its members' lines, and the version.
fn shown(world: &mut World, id: usize) -> (String, u64) {
    let mut client = client(world, id);
    let request = Request::GetData { path: b"/zookeeper/config", watch: false };
    let (err, _, body) = world.ask(&mut client, &request).expect("an answer");
    assert_eq!(err, 0);
    let data = Reader::new(&body).buffer().expect("a buffer").expect("data");
    let text = core::str::from_utf8(data).expect("a text");
    let (members, version) = text.rsplit_once("version=").expect("a version");
    (members.into(), u64::from_str_radix(version, 16).expect("a number"))
}

/// Every server that lives shows these members, in the same version.
fn all_show(world: &mut World, ids: &[usize]) -> u64 {
    world.leader();
    world.pass(1_000);
    let live: Vec<usize> = (1..=world.size()).filter(|id| world.lives(*id)).collect();
    let versions: Vec<u64> = live
        .into_iter()
        .map(|id| {
            let (members, version) = shown(world, id);
            assert_eq!(members, list(ids.iter().copied()), "server {id}");
            assert_eq!(world.view(id).members, version, "server {id}");
            version
        })
        .collect();
    assert!(versions.windows(2).all(|two| two[0] == two[1]), "{versions:x?}");
    versions[0]
}

/// A leader serves without these servers, and they come back.
fn serves_without(world: &mut World, away: &[usize]) {
    away.iter().for_each(|id| world.kill(*id, false));
    let leader = world.leader();
    let mut client = client(world, leader);
    assert_eq!(world.create(&mut client, &format!("/without{away:?}")), 0);
    away.iter().for_each(|id| world.start(*id));
    world.leader();
}

#[test]
fn the_first_leader_dates_the_members_of_the_file() {
    let mut world = world(3, 3);
    assert_eq!(all_show(&mut world, &[1, 2, 3]), 1 << 32);
    serves_without(&mut world, &[1]);
    assert_eq!(all_show(&mut world, &[1, 2, 3]), 1 << 32, "once");
}

#[test]
fn an_ensemble_grows_from_one_to_three_to_five() {
    let mut world = world(1, 5);
    assert_eq!(all_show(&mut world, &[1]), 1 << 32);
    assert_eq!(reconfig(&mut world, 1, &[2, 3], &[]), Some(0));
    all_show(&mut world, &[1, 2, 3]);
    serves_without(&mut world, &[1]);
    assert_eq!(reconfig(&mut world, 4, &[4, 5], &[]), Some(0), "by way of a server without a vote");
    all_show(&mut world, &[1, 2, 3, 4, 5]);
    serves_without(&mut world, &[1, 2]);
    serves_without(&mut world, &[4, 5]);
    all_show(&mut world, &[1, 2, 3, 4, 5]);
    world.agree();
}

#[test]
fn an_ensemble_shrinks_and_who_left_follows_without_a_vote() {
    let mut world = world(5, 5);
    let leader = world.leader();
    let leave: Vec<usize> = (1..=5).filter(|id| *id != leader).take(2).collect();
    let stay: Vec<usize> = (1..=5).filter(|id| !leave.contains(id)).collect();
    assert_eq!(reconfig(&mut world, leave[0], &[], &leave), Some(0));
    all_show(&mut world, &stay);
    assert_eq!(world.leader(), leader, "it goes on");
    assert!(matches!(world.view(leave[0]).phase, Phase::Following { serving: true, .. }));
    world.kill(stay[0], false);
    world.kill(stay[1], false);
    world.pass(30_000);
    assert!(matches!(world.view(stay[2]).phase, Phase::Looking), "those who left have no vote");
    world.start(stay[0]);
    world.start(stay[1]);
    all_show(&mut world, &stay);
    world.agree();
}

#[test]
fn a_leader_that_leaves_names_another_one() {
    for at in [0, 1] {
        let mut world = world(3, 4);
        let old = world.leader();
        let by = if at == 0 { old } else { 1 + old % 3 };
        assert_eq!(reconfig(&mut world, by, &[4], &[old]), Some(0));
        let elections = world.notes.iter().filter(|note| note.contains("looking for")).count();
        let leader = world.leader();
        assert_ne!(leader, old);
        let ids: Vec<usize> = (1..=4).filter(|id| *id != old).collect();
        all_show(&mut world, &ids);
        let now = world.notes.iter().filter(|note| note.contains("looking for")).count();
        assert_eq!(now, elections, "nobody had to be elected: {:#?}", world.notes);
        serves_without(&mut world, &[ids[0]]);
        world.agree();
    }
}

#[test]
fn an_observer_becomes_a_voter_and_a_voter_an_observer() {
    let mut world = world(3, 3);
    let leader = world.leader();
    let other = 1 + leader % 3;
    let observer = line(other).replace("participant", "observer");
    let mut client = client(&mut world, leader);
    let joining = Some(observer.as_bytes());
    let (leaving, members) = (None, None);
    let request = Request::Reconfig { joining, leaving, members, from_config: -1 };
    assert_eq!(world.ask(&mut client, &request).expect("an answer").0, 0);
    world.leader();
    assert!(matches!(world.view(other).phase, Phase::Observing { serving: true, .. }));
    assert_eq!(reconfig(&mut world, leader, &[other], &[]), Some(0));
    world.leader();
    assert!(matches!(world.view(other).phase, Phase::Following { serving: true, .. }));
    all_show(&mut world, &[1, 2, 3]);
    serves_without(&mut world, &[leader]);
}

/// A reconfiguration from three to five that stays under way: no quorum of the five has it. Those
/// who are not `cut` have it. Gives the leader that proposed it.
fn under_way(world: &mut World, cut: impl Fn(usize, usize) -> bool) -> usize {
    let leader = world.leader();
    let mut client = client(world, leader);
    (1..=5).filter(|id| *id != leader && cut(leader, *id)).for_each(|id| world.cut_off(id));
    assert_eq!(ask(world, &mut client, &[4, 5], &[], -1), None, "no quorum of the five has it");
    world.pass(200);
    let mut again = world.client(leader, client.session, &client.password.clone());
    assert_eq!(ask(world, &mut again, &[], &[1], -1), None, "it waits behind the other");
    leader
}

#[test]
fn a_change_that_only_a_lost_leader_had_logged_is_undone() {
    let mut world = world(3, 5);
    let before = all_show(&mut world, &[1, 2, 3]);
    let leader = under_way(&mut world, |_, _| true);
    world.kill(leader, true);
    (1..=5).for_each(|id| world.join(id));
    world.leader();
    assert_eq!(all_show(&mut world, &[1, 2, 3]), before);
    let other = 1 + leader % 3;
    let mut writer = client(&mut world, other);
    assert_eq!(world.create(&mut writer, "/later"), 0);
    world.start(leader);
    assert_eq!(all_show(&mut world, &[1, 2, 3]), before, "its log was cut");
    assert_eq!(reconfig(&mut world, leader, &[4, 5], &[]), Some(0), "nothing is under way");
    all_show(&mut world, &[1, 2, 3, 4, 5]);
    world.agree();
}

#[test]
fn a_change_that_a_quorum_of_the_old_has_logged_is_brought_about_by_the_next_leader() {
    let mut world = world(3, 5);
    let leader = under_way(&mut world, |leader, id| id != 1 + leader % 3);
    world.kill(leader, true);
    world.join(1 + (leader + 1) % 3);
    world.pass(30_000);
    let looks = |world: &World, id: usize| {
        matches!(
            world.view(id).phase,
            Phase::Following { serving: false, .. }
                | Phase::Looking
                | Phase::Leading { established: false, .. }
        )
    };
    assert!((1..=3).filter(|id| *id != leader).all(|id| looks(&world, id)), "two of five are few");
    (4..=5).for_each(|id| world.join(id));
    world.leader();
    all_show(&mut world, &[1, 2, 3, 4, 5]);
    world.start(leader);
    all_show(&mut world, &[1, 2, 3, 4, 5]);
    world.agree();
}

#[test]
fn a_server_that_was_away_learns_of_the_members_from_the_others() {
    let mut world = world(3, 4);
    let leader = world.leader();
    let away = 1 + leader % 3;
    world.kill(away, true);
    assert_eq!(reconfig(&mut world, leader, &[4], &[away]), Some(0));
    let ids: Vec<usize> = (1..=4).filter(|id| *id != away).collect();
    world.start(away);
    all_show(&mut world, &ids);
    assert!(matches!(world.view(away).phase, Phase::Following { serving: true, .. }));
    world.agree();
}

#[test]
fn what_may_not_be_is_refused() {
    let mut world = world(3, 4);
    world.kill(4, false);
    let leader = world.leader();
    let mut asker = client(&mut world, 1 + leader % 3);
    assert_eq!(ask(&mut world, &mut asker, &[], &[1], 5), Some(-103));
    assert_eq!(ask(&mut world, &mut asker, &[], &[1, 2, 3], -1), Some(-8));
    let other = 1 + leader % 3;
    assert_eq!(ask(&mut world, &mut asker, &[4], &[other], -1), Some(0), "two of three will do");
    let two = 1 + (leader + 1) % 3;
    assert_eq!(reconfig(&mut world, leader, &[5], &[leader, two]), Some(-13));
    let mut world = world_with(3, 3, "reconfigEnabled=true\n");
    assert_eq!(reconfig(&mut world, 1, &[], &[1]), Some(-102));
    let mut world = world_with(3, 3, "skipACL=yes\n");
    assert_eq!(reconfig(&mut world, 1, &[], &[1]), Some(-123));
    assert_eq!(all_show(&mut world, &[1, 2, 3]), 0, "nobody dates what cannot change");
}

/// Members change while servers die, come back and are cut off, and clients write.
fn chaos(seed: u64) {
    let mut world = world_with(3, 5, &format!("{LINES}snapCount=8\n"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut acknowledged, mut changed) = (vec![], 0);
    for step in 0..80 {
        let id = rng.random_range(1..=5);
        match rng.random_range(0..20) {
            0 | 1 if world.lives(id) => world.kill(id, rng.random()),
            2..=4 if !world.lives(id) => world.start(id),
            5 => world.cut_off(id),
            6 | 7 => world.join(id),
            8 => world.pass(rng.random_range(1..15_000)),
            9..=12 => world.pass(rng.random_range(1..400)),
            kind if world.lives(id) && world.serves(id) => {
                let Some(mut client) = world.try_client(id) else { continue };
                if client.session == SessionId::NONE {
                    continue;
                }
                if kind < 16 {
                    let other = rng.random_range(1..=5);
                    let (join, leave) =
                        if rng.random() { (vec![other], vec![]) } else { (vec![], vec![other]) };
                    let answer = ask(&mut world, &mut client, &join, &leave, -1);
                    changed += i32::from(answer == Some(0));
                    continue;
                }
                let path = format!("/{step}");
                if world.try_create(&mut client, &path) == Some(0) {
                    acknowledged.push(path);
                }
            }
            _ => {}
        }
        world.one_leader_an_epoch();
    }
    for id in 1..=5 {
        world.join(id);
        if !world.lives(id) {
            world.start(id);
        }
    }
    world.leader();
    world.agree();
    for id in 1..=5 {
        let mut client = client(&mut world, id);
        for path in &acknowledged {
            assert!(world.exists(&mut client, path), "seed {seed}: {path} at {id}");
        }
    }
    let first = shown(&mut world, 1);
    assert!((2..=5).all(|id| shown(&mut world, id) == first), "seed {seed}, {changed} changes");
}

#[test]
fn nothing_acknowledged_is_lost_whoever_belongs_to_the_ensemble() {
    (0..20).for_each(chaos);
}
