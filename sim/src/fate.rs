// SPDX-License-Identifier: Apache-2.0
//! From which step on a broken promise was unavoidable: the world is taken back to an earlier step
//! and let go on by other chance, several times; as long as one of these futures comes through, it
//! was not. The step is found by halving, so the work is bounded.

use crate::{
    campaign::play,
    oracle::Check,
    world::{SECOND, World},
};
use menagerie_core::zoo::Mutation;

/// How many futures are tried from one step.
pub const FUTURES: u64 = 8;

/// How many lines are told of the step.
const TOLD: usize = 6;

/// A future that is unbroken for so long after the moment at which the promise broke came through.
const LONGER: u64 = SECOND;

/// Where a broken promise became unavoidable.
#[derive(Clone, Debug)]
pub struct Fate {
    /// The step after which no future came through; 0 if none did from the beginning.
    pub step: u64,
    /// World time of that step, in microseconds.
    pub at: u64,
    /// What is told of that step, or of the first after it of which anything is told.
    pub what: Vec<String>,
    /// The futures that came through from just before that step.
    pub came_through: u64,
}

/// Finds it for a world, before its first event, whose promise breaks.
pub fn fate(start: &World, mutation: Option<Mutation>) -> Option<Fate> {
    let mut broken = start.clone();
    play(mutation, || broken.run()).err()?;
    let until = if broken.is_over() { u64::MAX } else { broken.now() + LONGER };
    // From `early` some future comes through, from `late` none does; in the last step it breaks.
    let (mut early, mut at_early, mut late) = (0, start.clone(), broken.tally.events);
    let mut through = come_through(&at_early, until, mutation);
    if through == 0 {
        return Some(Fate { step: 0, at: 0, what: Vec::new(), came_through: 0 });
    }
    while late - early > 1 {
        let middle = early + (late - early) / 2;
        let mut world = at_early.clone();
        go_on(&mut world, middle, mutation).ok()?;
        match come_through(&world, until, mutation) {
            0 => late = middle,
            some => (early, at_early, through) = (middle, world, some),
        }
    }
    at_early.explain();
    let mut at = None;
    // It may break the promise at once.
    while go_on(&mut at_early, late, mutation).is_ok() && at_early.account().next().is_none() {
        at.get_or_insert(at_early.now());
        late += 1;
    }
    let at = at.unwrap_or(at_early.now());
    let what = at_early.account().take(TOLD).map(str::to_owned).collect();
    Some(Fate { step: early + 1, at, what, came_through: through })
}

fn go_on(world: &mut World, steps: u64, mutation: Option<Mutation>) -> Check {
    play(mutation, || {
        while world.tally.events < steps {
            world.step()?;
        }
        Ok(())
    })
}

/// How many futures of a world come through.
fn come_through(world: &World, until: u64, mutation: Option<Mutation>) -> u64 {
    let comes_through = |number: &u64| {
        let mut future = world.clone();
        future.turn_to_future(*number);
        play(mutation, || future.run_until(until)).is_ok()
    };
    (1..=FUTURES).filter(comes_through).count() as u64
}
