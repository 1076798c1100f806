// SPDX-License-Identifier: Apache-2.0
//! Many worlds on all cores: seeds are handed out one by one, tallies are summed, failures kept.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use menagerie_core::zoo::Mutation;

use crate::{
    fate,
    history::History,
    oracle::{Check, Off, Violation},
    story::story,
    tally::Tally,
    trace::Trace,
    usage,
    world::World,
    zoo::breed,
};

/// The hash key of every campaign; another key must give the same worlds.
pub const HASH_KEY: (u64, u64) = (0x6d65_6e61, 0x6765_7269);

/// How much of the account a campaign keeps of each failure.
const LAST_STEPS: usize = 40;

/// What one world came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// The hash of everything that happened in it.
    pub hash: u64,
    /// What it did.
    pub tally: Tally,
    /// The promise that was broken.
    pub violation: Option<Violation>,
    /// The last steps, if they were asked for or a promise was broken.
    pub account: Vec<String>,
    /// What became of whom and why, if it was asked for.
    pub story: String,
    /// The decisions, likewise.
    pub trace: Option<Trace>,
}

/// Runs one world of a plan on this thread. One that breaks a promise is run again, for the
/// account.
pub fn run(plan: Plan, seed: u64, key: (u64, u64), explain: bool) -> Verdict {
    let world = || {
        let mut world = World::new(seed, key, plan.servers);
        if plan.liveness {
            world.let_faults_last();
        }
        world
    };
    if explain {
        return judge(world(), plan.mutation, Telling::Story);
    }
    let verdict = judge(world(), plan.mutation, Telling::Nothing);
    if verdict.violation.is_none() {
        return verdict;
    }
    let mut verdict = judge(world(), plan.mutation, Telling::Steps);
    let early = verdict.account.len().saturating_sub(LAST_STEPS);
    verdict.account.drain(..early);
    verdict
}

/// Runs the first world of a plan on this thread; what its clients saw, and the promise that was
/// broken.
///
/// # Errors
/// When its members change.
pub fn history(plan: Plan) -> Result<(History, Option<Violation>), String> {
    let mut world = World::new(plan.start, HASH_KEY, plan.servers);
    if plan.liveness {
        world.let_faults_last();
    }
    if world.scenario.changes() {
        return Err("the members of this world change, which no history tells yet".to_owned());
    }
    world.record_history();
    let violation = play(plan.mutation, || world.run()).err();
    Ok((world.history().expect("it was recorded"), violation))
}

/// Runs a saved world on this thread, with the bug it names or another.
pub fn replay(trace: &Trace, mutation: Option<Mutation>, key: (u64, u64)) -> Verdict {
    judge(World::told(trace, key), mutation, Telling::Steps)
}

/// The same, with its story.
pub fn explain(trace: &Trace, mutation: Option<Mutation>, key: (u64, u64)) -> Verdict {
    judge(World::told(trace, key), mutation, Telling::Story)
}

/// How much of a world is kept for people.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    Nothing,
    /// The last steps, and the decisions.
    Steps,
    /// Its story, too, for which a world that fails is run many times more.
    Story,
}

/// Runs the world of a seed with some promises switched off. One that nobody looks at may still end
/// the world, where it cannot go on.
pub fn blind(seed: u64, mutation: Option<Mutation>, off: Off, record: bool) -> Verdict {
    let telling = if record { Telling::Steps } else { Telling::Nothing };
    let mut world = World::new(seed, HASH_KEY, None);
    world.look_away(off);
    let mut verdict = judge(world, mutation, telling);
    verdict.violation = verdict.violation.filter(|violation| !off.has(violation.property));
    verdict
}

fn judge(mut world: World, mutation: Option<Mutation>, telling: Telling) -> Verdict {
    let explained = telling != Telling::Nothing;
    let start = (telling == Telling::Story).then(|| world.clone());
    if explained {
        world.explain();
    }
    let violation = play(mutation, || world.run()).err();
    let broken = start.filter(|_| violation.is_some());
    let fate = broken.and_then(|start| fate::fate(&start, mutation));
    let trace = explained.then(|| Trace {
        mutation: mutation.map(|mutation| named(mutation).to_owned()),
        property: violation.as_ref().map(|violation| violation.property.name().to_owned()),
        ..world.trace()
    });
    Verdict {
        seed: world.seed,
        hash: world.rolling.value(),
        tally: world.tally.clone(),
        account: world.account().map(str::to_owned).collect(),
        story: story(&world, violation.as_ref(), fate.as_ref()),
        violation,
        trace,
    }
}

/// Runs something with a bug bred into the servers that it starts.
pub fn play(mutation: Option<Mutation>, run: impl FnOnce() -> Check) -> Check {
    breed(mutation);
    let outcome = run();
    breed(None);
    outcome
}

fn named(mutation: Mutation) -> &'static str {
    let mut all = Mutation::ALL.iter().chain(Mutation::DECOYS);
    all.find(|(_, one)| *one == mutation).map(|(name, _)| *name).expect("every bug has its name")
}

/// What a campaign came to.
#[derive(Debug, Default)]
pub struct Report {
    /// The sum of all worlds.
    pub tally: Tally,
    /// The worlds that failed, by seed.
    pub failures: Vec<Verdict>,
    /// How much each world was that did not fail.
    pub sizes: Vec<Size>,
    /// Wall time.
    pub took: Duration,
    /// Processor time of all threads.
    pub used: Duration,
    /// Threads.
    pub jobs: u64,
}

/// How much one world was.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Simulated time, in microseconds.
    pub simulated: u64,
    /// Operations whose users were told how they ended.
    pub acknowledged: u64,
}

impl Report {
    /// The least of what worlds were by some measure, and what half of them were at least.
    pub fn least_and_median(&self, measure: impl Fn(&Size) -> u64) -> Option<(u64, u64)> {
        let mut all: Vec<u64> = self.sizes.iter().map(measure).collect();
        all.sort_unstable();
        Some((*all.first()?, all[all.len() / 2]))
    }
}

/// Which worlds a campaign runs.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The first seed.
    pub start: u64,
    /// How many.
    pub seeds: u64,
    /// Of how many servers; as many as are drawn if none.
    pub servers: Option<u32>,
    /// Whether each ends as a liveness run; as drawn if not.
    pub liveness: bool,
    /// The bug that the servers have.
    pub mutation: Option<Mutation>,
}

/// Runs the worlds of a plan on `jobs` threads; `progress` hears of each.
pub fn campaign(
    plan: Plan,
    jobs: u64,
    stop_at_first: bool,
    progress: impl Fn(&Verdict) + Sync,
) -> Report {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let report = Mutex::new(Report { jobs, ..Report::default() });
    let (began, used) = (Instant::now(), usage::used());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= plan.seeds {
                return;
            }
            let seed = plan.start + n;
            let world = AssertUnwindSafe(|| run(plan, seed, HASH_KEY, false));
            let verdict = catch_unwind(world).unwrap_or_else(|panic| {
                eprintln!("the simulator itself panicked in world {seed}");
                resume_unwind(panic)
            });
            progress(&verdict);
            let mut report = report.lock().expect("no worker panics");
            report.tally.add(&verdict.tally);
            if verdict.violation.is_some() {
                stop.store(stop_at_first, Ordering::Relaxed);
                report.failures.push(verdict);
            } else {
                let Tally { simulated, acknowledged, .. } = verdict.tally;
                report.sizes.push(Size { simulated, acknowledged });
            }
        }
    };
    thread::scope(|scope| {
        for job in 0..jobs {
            let named = thread::Builder::new().name(format!("world-{job}"));
            named.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let mut report = report.into_inner().expect("no worker panics");
    report.failures.sort_by_key(|verdict| verdict.seed);
    (report.took, report.used) = (began.elapsed(), usage::used().saturating_sub(used));
    report
}
