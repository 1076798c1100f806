// SPDX-License-Identifier: Apache-2.0
//! Makes a failing trace short: takes out decisions as long as the same promise still breaks, in
//! halves first, then in ever smaller pieces (delta debugging), and at last one request at a time.

use crate::{
    campaign::{HASH_KEY, play},
    oracle::Property,
    trace::{Act, Decision, Step, Trace},
    world::World,
};
use menagerie_core::zoo::Mutation;

/// The trace with as few decisions as could be found while there was `more` time; `progress` hears
/// of each replay's number and how many decisions are left.
pub fn shrink(
    trace: &Trace,
    mutation: Option<Mutation>,
    mut more: impl FnMut() -> bool,
    mut progress: impl FnMut(u64, usize),
) -> Trace {
    let mut tried = 0;
    let mut fails = |steps: &[Step]| {
        tried += 1;
        progress(tried, steps.len());
        more() && breaks(trace, steps, mutation)
    };
    let mut steps = trace.steps.clone();
    loop {
        let before = steps.clone();
        steps = minimal(steps, &mut fails);
        // One request at a time: each becomes a decision of its own, at the same time.
        let single: Vec<Step> = steps.iter().flat_map(singly).collect();
        if single.len() > steps.len() && fails(&single) {
            steps = minimal(single, &mut fails);
        }
        if steps == before {
            return Trace { steps, ..trace.clone() };
        }
    }
}

/// Whether the promise of `trace` breaks with these decisions in place of its own.
fn breaks(trace: &Trace, steps: &[Step], mutation: Option<Mutation>) -> bool {
    let mut world = World::told(&Trace { steps: steps.to_vec(), ..trace.clone() }, HASH_KEY);
    let late = trace.property.as_deref() == Some(Property::Progress.name());
    let violation = play(mutation, || if late { world.run() } else { world.run_until_healed() });
    violation.is_err_and(|violation| Some(violation.property.name()) == trace.property.as_deref())
}

fn singly(step: &Step) -> Vec<Step> {
    let Decision::Act { client, act: Act::Ask(wishes) } = &step.decision else {
        return vec![step.clone()];
    };
    let one = |wish: &crate::trace::Wish| {
        let act = Act::Ask(vec![wish.clone()]);
        Step { at: step.at, decision: Decision::Act { client: *client, act } }
    };
    wishes.iter().map(one).collect()
}

/// Removes pieces of the list while it still `fails`, until no single item can go.
fn minimal<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut size = items.len().div_ceil(2).max(1);
    loop {
        let (mut at, mut removed) = (0, false);
        while at < items.len() {
            let end = (at + size).min(items.len());
            let without = [&items[..at], &items[end..]].concat();
            if fails(&without) {
                (items, removed) = (without, true);
            } else {
                at = end;
            }
        }
        if size == 1 && !removed {
            return items;
        }
        size = if removed { size } else { size / 2 }.min(items.len()).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_left() {
        let needed = [3, 17, 18, 60];
        let fails = |items: &[u32]| needed.iter().all(|one| items.contains(one));
        assert_eq!(minimal((0..100).collect(), fails), needed);
        assert_eq!(minimal(vec![1, 2, 3], |_: &[u32]| true), [0; 0]);
    }
}
