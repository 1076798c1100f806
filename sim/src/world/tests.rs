// SPDX-License-Identifier: Apache-2.0
//! Worlds run to their end without a broken promise, and twice the same way.

use menagerie_core::io::Port;

use super::*;
use crate::net::End;

#[test]
fn a_world_runs_to_its_end_and_a_clone_runs_the_same_way() {
    let mut world = World::new(1, (1, 2), Some(1));
    for _ in 0..5_000 {
        world.step().expect("no promise is broken");
    }
    let mut twin = world.clone();
    world.run().expect("no promise is broken");
    twin.run().expect("no promise is broken");
    assert_eq!(world.rolling, twin.rolling);
    assert_eq!(world.tally, twin.tally);
    assert!(world.tally.simulated >= 60 * SECOND);
    assert!(world.tally.acknowledged >= 2_000);
}

#[test]
fn an_ensemble_elects_commits_and_serves_through_its_faults() {
    use crate::probe::Probe;
    let mut world = World::new(1, (1, 2), Some(3));
    world.run().expect("no promise is broken");
    assert!(world.tally.simulated >= 60 * SECOND);
    assert!(world.tally.acknowledged >= 2_000 && world.tally.txns > 100);
    for probe in [Probe::LeaderMade, Probe::FollowerServes, Probe::SyncedByDiff] {
        assert!(world.tally.probes.contains_key(&probe), "{}", probe.name());
    }
}

#[test]
fn a_trace_replays_exactly_and_a_shorter_one_still_runs() {
    let mut world = World::new(3, (1, 2), Some(1));
    world.explain();
    world.run().expect("no promise is broken");
    let trace = world.trace();
    assert!(trace.faults() > 0 && trace.acts() > 100);
    let mut again = World::told(&trace, (1, 2));
    again.run().expect("no promise is broken");
    assert_eq!(again.rolling, world.rolling);
    let steps = trace.steps.iter().step_by(3).cloned().collect();
    World::told(&Trace { steps, ..trace }, (1, 2)).run().expect("no promise is broken");
}

#[test]
fn a_network_is_slow_for_everybody_and_for_a_while_only() {
    let mut world = World::new(1, (1, 2), Some(3));
    let (here, there) = (Place::Server(0), Place::Server(1));
    let fast = world.link_pace(here, there).base;
    world.slow_net_until = SECOND;
    let chance = Rng::stream(1, Subsystem::Link, 0);
    let name = world.open_link(End::Server(0), 1, Port::Quorum, chance);
    assert_eq!(world.pace_of(&world.links[&name]).base, 20 * fast);
    world.now = SECOND;
    assert_eq!(world.pace_of(&world.links[&name]).base, fast, "though it was opened before");
}
