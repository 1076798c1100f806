// SPDX-License-Identifier: Apache-2.0
//! What befalls three servers: writes, crashes, power losses, links cut or held up, disks that lag.
//! Each number is another schedule, always the same.

use menagerie_core::{
    io::Port,
    proto::{Acl, Create, CreateKind, Request},
    zoo::Mutation,
};
use menagerie_sim::{
    disk::Keep,
    rng::{Rng, Subsystem},
};

use crate::{
    ledger::Ledger,
    troupe::{Id, Troupe, guest::Heard},
};

/// How many things happen in a schedule.
const ACTS: usize = 60;

/// Plays a schedule, and gives what was seen of it.
pub fn play(number: u64, bug: Option<Mutation>) -> Ledger {
    let mut rng = Rng::stream(number, Subsystem::Faults, 0);
    let mut troupe = Troupe::new(3, 0, "").with_bug(bug);
    let mut ledger = Ledger::new(number);
    troupe.ids().for_each(|id| troupe.start(id));
    troupe.leader();
    ledger.sees(&mut troupe);
    for act in 0..ACTS {
        befalls(&mut troupe, &mut rng, act);
        ledger.sees(&mut troupe);
        if troupe.restless {
            break;
        }
    }
    heal(&mut troupe);
    ledger.sees(&mut troupe);
    for id in troupe.ids() {
        write(&mut troupe, id, ACTS + id);
    }
    troupe.pass(2_000);
    ledger.sees(&mut troupe);
    ledger.ends(&troupe);
    ledger
}

fn befalls(troupe: &mut Troupe, rng: &mut Rng, act: usize) {
    let id = 1 + rng.index(3);
    let other = 1 + (id + rng.index(2)) % 3;
    match rng.index(28) {
        0..=6 => write(troupe, id, act),
        7 if troupe.is_up(id) => troupe.kill(id),
        8 | 9 if troupe.is_up(id) => troupe.power_fails(id, keep(rng)),
        10 | 11 => {
            for id in troupe.ids().filter(|_| rng.one_in(2)) {
                if troupe.is_up(id) {
                    troupe.power_fails(id, Keep::Nothing);
                }
            }
        }
        12 => troupe.cut(id, other),
        13 => troupe.heal(id, other),
        14 | 15 => troupe.hold(id, other, Port::Quorum),
        16 => troupe.release(id, other, Port::Quorum),
        17..=20 => troupe.server_mut(id).stalled = true,
        21 => troupe.server_mut(id).stalled = false,
        22 | 23 => {
            // Lanes overtake each other.
            for _ in 0..rng.index(8) {
                let lanes: Vec<_> = troupe.orders(id).map(|(lane, _)| lane).collect();
                if !lanes.is_empty() {
                    troupe.lane_does_one(id, *rng.pick(&lanes));
                }
                troupe.settle();
            }
        }
        24 => troupe.pass(rng.between(1, 400)),
        25 => troupe.pass(rng.between(1_000, 7_000)),
        _ => revive(troupe, rng),
    }
    troupe.settle();
}

fn keep(rng: &mut Rng) -> Keep {
    *rng.pick(&[Keep::Nothing, Keep::Nothing, Keep::All, Keep::Any])
}

/// Some servers start again, and things mostly work.
fn revive(troupe: &mut Troupe, rng: &mut Rng) {
    for id in troupe.ids() {
        if !troupe.is_up(id) {
            troupe.start(id);
        }
        troupe.server_mut(id).stalled &= rng.one_in(3);
        let other = 1 + id % 3;
        if !rng.one_in(3) {
            troupe.heal(id, other);
            troupe.release(id, other, Port::Quorum);
            troupe.release(other, id, Port::Quorum);
        }
    }
    troupe.pass(rng.between(300, 2_500));
}

fn heal(troupe: &mut Troupe) {
    for id in troupe.ids() {
        let other = 1 + id % 3;
        troupe.heal(id, other);
        troupe.release(id, other, Port::Quorum);
        troupe.release(other, id, Port::Quorum);
        troupe.server_mut(id).stalled = false;
        if !troupe.is_up(id) {
            troupe.start(id);
        }
    }
    troupe.leader();
}

/// A new client of a server creates a znode, if it is served.
fn write(troupe: &mut Troupe, id: Id, act: usize) {
    if !troupe.serves(id) {
        return;
    }
    let Some(link) = troupe.client(id) else { return };
    create(troupe, link, &format!("/{act}"));
}

/// Whether a znode was created.
pub fn create(troupe: &mut Troupe, link: menagerie_core::id::LinkId, path: &str) -> bool {
    let request = Request::Create(Create {
        kind: CreateKind::Create,
        path: path.as_bytes(),
        data: Some(b"x"),
        acl: Some(vec![Acl::OPEN]),
        flags: 0,
    });
    matches!(troupe.ask(link, &request), Some(Heard::Reply { err: 0, .. }))
}
