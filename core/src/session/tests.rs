// SPDX-License-Identifier: Apache-2.0
//! Sessions against their promises and against a naive twin.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use proptest::prelude::*;

use super::*;

fn sessions(tick_ms: u32) -> Sessions {
    Sessions::new(Keyed::new((1, 2)), 1, tick_ms, Sound)
}

fn at(millis: u64) -> Now {
    Now { mono: Instant::from_millis(millis), wall_ms: 5_000 }
}

fn drain<Z: Zoo>(sessions: &mut Sessions<Z>, millis: u64) -> Vec<SessionId> {
    core::iter::from_fn(|| sessions.expire(Instant::from_millis(millis))).collect()
}

#[test]
fn a_session_expires_at_the_first_tick_after_its_timeout() {
    let mut s = sessions(2_000);
    let one = s.open(at(100), 4_000);
    let two = s.open(at(1_999), 4_000);
    let on_the_tick = s.open(at(2_000), 4_000);
    assert_eq!(s.poll_timeout(), Some(Instant::from_millis(6_000)));
    assert_eq!(drain(&mut s, 5_999), vec![]);
    assert_eq!(drain(&mut s, 6_000), vec![one, two]);
    assert_eq!(drain(&mut s, 7_999), vec![]);
    assert_eq!(drain(&mut s, 8_000), vec![on_the_tick]);
    assert!(s.contains(one) && !s.is_open(one));
}

#[test]
fn a_touch_moves_on_and_a_closing_session_is_beyond_it() {
    let mut s = sessions(1_000);
    let id = s.open(at(0), 3_000);
    assert!(s.touch(id, 3_000, Instant::from_millis(2_500)));
    assert_eq!(drain(&mut s, 5_999), vec![]);
    s.close(id);
    assert!(!s.touch(id, 3_000, Instant::from_millis(5_999)));
    assert_eq!(drain(&mut s, 60_000), vec![]);
    assert_eq!(s.check(id, LinkId(1)), Err(ErrorCode::SessionExpired));
    s.remove(id);
    assert!(s.is_empty() && s.poll_timeout().is_none());
    assert!(!s.touch(id, 3_000, Instant::from_millis(7_000)));
}

#[test]
fn the_owner_is_whoever_asked_first_until_moved() {
    let mut s = sessions(1_000);
    let id = s.open(at(0), 3_000);
    assert_eq!(s.check(id, LinkId(1)), Ok(()));
    assert_eq!(s.check(id, LinkId(2)), Err(ErrorCode::SessionMoved));
    assert_eq!(s.set_owner(id, Some(LinkId(2))), Some(LinkId(1)));
    assert_eq!(s.check(id, LinkId(1)), Err(ErrorCode::SessionMoved));
    assert_eq!((s.check(id, LinkId(2)), s.owner(id)), (Ok(()), Some(LinkId(2))));
    assert_eq!(s.check(SessionId(9), LinkId(2)), Err(ErrorCode::SessionExpired));
}

#[test]
fn an_id_that_is_alive_is_not_given_again() {
    let mut s = sessions(1_000);
    let id = s.open(at(0), 3_000);
    let mut again = sessions(1_000);
    again.commit(id, 3_000, Instant::ZERO);
    let fresh = again.open(at(0), 3_000);
    assert!(fresh.0 > id.0 + 1, "the clock did not move: ids just beyond may have been closed");
}

#[test]
fn only_committed_sessions_are_in_snapshots() {
    let mut s = sessions(1_000);
    let id = s.open(at(0), 3_000);
    assert_eq!((s.len(), s.committed_len(), s.freeze()), (1, 0, 0));
    s.commit(id, 3_000, Instant::ZERO);
    s.commit(id, 4_000, Instant::ZERO);
    assert_eq!((s.committed_len(), s.committed_timeout(id)), (1, Some(4_000)));
    assert_eq!(s.freeze(), 1);
    assert_eq!(view(&mut s), BTreeMap::from([(id, 4_000)]));
}

#[test]
fn a_restart_gives_everyone_the_committed_timeout() {
    let mut s = sessions(1_000);
    s.commit(SessionId(7), 3_000, Instant::ZERO);
    s.close(SessionId(7));
    s.restart_all(Instant::from_millis(10_000));
    assert_eq!(s.poll_timeout(), Some(Instant::from_millis(14_000)));
    let bucket = s.buckets().next().expect("one bucket");
    assert_eq!(bucket.len, 1);
    assert_eq!(s.in_bucket(bucket).collect::<Vec<_>>(), vec![SessionId(7)]);
}

/// A zoo of one.
#[derive(Clone, Copy)]
struct Only(Mutation);

impl Default for Only {
    fn default() -> Only {
        Only(Mutation::ExpiryRoundsDown)
    }
}

impl Zoo for Only {
    fn has(self, mutation: Mutation) -> bool {
        mutation == self.0
    }
}

#[test]
fn the_zoo_can_round_down_serve_the_moved_and_repeat_ids() {
    let with = |mutation| Sessions::new(Keyed::new((1, 2)), 1, 2_000, Only(mutation));
    let mut s = with(Mutation::ExpiryRoundsDown);
    let id = s.open(at(1_000), 4_000);
    assert_eq!(drain(&mut s, 4_000), vec![id]);
    let mut s = with(Mutation::MovedSessionServed);
    let id = s.open(at(1_000), 4_000);
    assert_eq!((s.check(id, LinkId(1)), s.check(id, LinkId(2))), (Ok(()), Ok(())));
    let mut s = with(Mutation::SessionIdFromClock);
    assert_eq!(s.open(at(1_000), 4_000), s.open(at(1_000), 4_000));
}

fn view(s: &mut Sessions) -> BTreeMap<SessionId, i32> {
    let mut seen = BTreeMap::new();
    while s.freeze_next(3, |id, timeout_ms| {
        assert_eq!(seen.insert(id, timeout_ms), None, "{id} given twice");
    }) {}
    seen
}

#[derive(Clone, Debug)]
enum Step {
    Commit(i64, i32),
    Remove(i64),
    Touch(i64, i32),
    Close(i64),
    Wait(u64),
    Freeze,
    Visit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 1..40_i64;
    prop_oneof![
        4 => (id.clone(), 1..5_000).prop_map(|(id, ms)| Step::Commit(id, ms)),
        3 => id.clone().prop_map(Step::Remove),
        3 => (id.clone(), 1..5_000).prop_map(|(id, ms)| Step::Touch(id, ms)),
        1 => id.prop_map(Step::Close),
        2 => (0..1_500_u64).prop_map(Step::Wait),
        1 => Just(Step::Freeze),
        2 => (1..6_usize).prop_map(Step::Visit),
    ]
}

/// The naive twin: (committed timeout, due, closing) by id.
#[derive(Default)]
struct Twin {
    sessions: BTreeMap<SessionId, (i32, u64, bool)>,
    now: u64,
}

impl Twin {
    fn due(&self, timeout_ms: i32) -> u64 {
        ((self.now + timeout_ms as u64) / 500 + 1) * 500
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Commit(id, ms) => {
                let due = self.due(ms);
                self.sessions.entry(SessionId(id)).or_insert((0, due, false)).0 = ms;
            }
            Step::Remove(id) => {
                self.sessions.remove(&SessionId(id));
            }
            Step::Touch(id, ms) => {
                let due = self.due(ms);
                if let Some((_, at, false)) = self.sessions.get_mut(&SessionId(id)) {
                    *at = due;
                }
            }
            Step::Close(id) => {
                if let Some(session) = self.sessions.get_mut(&SessionId(id)) {
                    session.2 = true;
                }
            }
            Step::Wait(ms) => self.now += ms,
            Step::Freeze | Step::Visit(_) => {}
        }
    }

    fn expired(&mut self) -> Vec<SessionId> {
        let mut late = vec![];
        for (&id, (_, due, closing)) in &mut self.sessions {
            if !*closing && *due <= self.now {
                *closing = true;
                late.push(id);
            }
        }
        late
    }
}

proptest! {
    #[test]
    fn sessions_are_as_their_naive_twin_and_frozen_views_exact(
        steps in proptest::collection::vec(step(), 1..200)
    ) {
        let mut s = sessions(500);
        let mut twin = Twin::default();
        let mut frozen: Option<BTreeMap<SessionId, i32>> = None;
        let mut seen = BTreeMap::new();
        for step in steps {
            twin.step(&step);
            let now = Instant::from_millis(twin.now);
            match step {
                Step::Commit(id, ms) => s.commit(SessionId(id), ms, now),
                Step::Remove(id) => s.remove(SessionId(id)),
                Step::Touch(id, ms) => {
                    let open = s.is_open(SessionId(id));
                    prop_assert_eq!(s.touch(SessionId(id), ms, now), open);
                }
                Step::Close(id) => s.close(SessionId(id)),
                Step::Wait(_) => {
                    let mut late = drain(&mut s, twin.now);
                    late.sort();
                    prop_assert_eq!(late, twin.expired());
                }
                Step::Freeze => {
                    let all: BTreeMap<_, _> =
                        twin.sessions.iter().map(|(&id, &(ms, ..))| (id, ms)).collect();
                    prop_assert_eq!(s.freeze(), all.len());
                    frozen = Some(all);
                    seen.clear();
                }
                Step::Visit(budget) => {
                    if let Some(all) = &frozen {
                        let more = s.freeze_next(budget, |id, ms| { seen.insert(id, ms); });
                        if !more {
                            prop_assert_eq!(&seen, all);
                            frozen = None;
                        }
                    }
                }
            }
            prop_assert_eq!(s.len(), twin.sessions.len());
        }
        if let Some(all) = frozen {
            seen.append(&mut view(&mut s));
            prop_assert_eq!(seen, all);
        }
    }
}
