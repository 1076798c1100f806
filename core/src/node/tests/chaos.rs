// SPDX-License-Identifier: Apache-2.0
//! Servers come and go, are cut off and lose power, while clients write.

use alloc::{collections::BTreeMap, format, string::String, vec, vec::Vec};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    ensemble::{Client, World},
    *,
};

fn chaos(seed: u64, voters: usize, observers: usize, steps: usize) {
    let mut world = World::new(voters, observers, "snapCount=8\n");
    let servers = voters + observers;
    world.story = format!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (1..=servers).for_each(|id| world.start(id));
    let (mut acknowledged, mut clients) = (vec![], BTreeMap::new());
    for step in 0..steps {
        let id = rng.random_range(1..=servers);
        match rng.random_range(0..20) {
            0 if world.servers[id - 1].node.is_some() => {
                world.kill(id, rng.random());
                clients.remove(&id);
            }
            1 | 2 if world.servers[id - 1].node.is_none() => world.start(id),
            3 if world.cut.is_empty() => world.cut_off(id),
            4 | 5 if world.cut.contains(&id) => world.join(id),
            6 => world.pass(rng.random_range(1..15_000)),
            7..=9 => world.pass(rng.random_range(1..400)),
            10 => {
                let all = rng.random_range(0..8) == 0;
                for id in (1..=servers).filter(|_| all) {
                    world.kill(id, rng.random());
                    clients.remove(&id);
                    world.start(id);
                }
            }
            _ => write(&mut world, &mut clients, id, step, &mut acknowledged),
        }
    }
    for id in 1..=servers {
        world.join(id);
        if world.servers[id - 1].node.is_none() {
            world.start(id);
        }
    }
    world.leader();
    world.agree();
    for id in 1..=servers {
        let mut client = world.client(id, SessionId::NONE, &[0; 16]);
        for path in &acknowledged {
            assert!(world.exists(&mut client, path), "{path} at {id}: {:#?}", world.notes);
        }
    }
}

fn write(
    world: &mut World,
    clients: &mut BTreeMap<usize, Client>,
    id: usize,
    step: usize,
    acknowledged: &mut Vec<String>,
) {
    let serves = world.servers[id - 1].node.as_ref().is_some_and(|node| node.server().is_some());
    if !serves || world.cut.contains(&id) {
        return;
    }
    let gone = clients.get(&id).is_none_or(|client| {
        world.servers[id - 1].hung_up.contains(&client.link) || client.session == SessionId::NONE
    });
    if gone {
        let Some(client) = world.try_client(id) else { return };
        clients.insert(id, client);
    }
    let client = clients.get_mut(&id).expect("it was just made");
    let path = format!("/{step}");
    if world.try_create(client, &path) == Some(0) {
        acknowledged.push(path);
    }
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens() {
    for seed in 0..40 {
        let (observers, more) = (seed as usize % 2, seed as usize / 2 % 2);
        chaos(seed, 3 + 2 * more, observers, 120);
    }
}
