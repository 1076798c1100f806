// SPDX-License-Identifier: Apache-2.0
//! `menagerie-sim`: runs worlds, grades mutations, replays failures.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{ErrorKind, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use menagerie_sim::{
    bag::{Catch, Hunt, Ledger},
    bench,
    campaign::{self, HASH_KEY, Plan, Report, Verdict},
    grade::{self, Effort, Wanted},
    history::{self, History},
    oracle::Property,
    outages,
    shrink::shrink,
    table,
    trace::Trace,
    usage,
    world::SECOND,
};

/// Worlds of Menagerie servers and clients under seeded faults.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run worlds, and judge every step of them.
    Run {
        /// How many worlds.
        #[arg(long, default_value_t = 100, conflicts_with = "seed")]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        start: u64,
        /// Threads; as many as there are processors if not given.
        #[arg(long)]
        jobs: Option<u64>,
        /// Run this world only.
        #[arg(long)]
        seed: Option<u64>,
        /// Servers in each world; one stands alone. Drawn if not given.
        #[arg(long)]
        servers: Option<u32>,
        /// Let the faults of each world last in the end, outside a quorum that must converge; in
        /// one of four if not given.
        #[arg(long)]
        liveness: bool,
        /// With --seed: tell its story, whatever it led to; that of a failure is told anyway.
        #[arg(long, requires = "seed")]
        explain: bool,
        /// With --seed: tell all of the last steps, too.
        #[arg(long, requires = "seed")]
        log: bool,
        /// With --seed: where to save what its clients saw, for `judge` and other checkers.
        #[arg(long, requires = "seed")]
        history: Option<PathBuf>,
        /// With --seed: another key of the hash tables, which must change nothing.
        #[arg(long, requires = "seed")]
        hash_key: Option<u64>,
        /// A bug of the zoo that the server has, by name.
        #[arg(long)]
        mutation: Option<String>,
        /// Where the traces of failures are saved.
        #[arg(long, default_value = "target/traces")]
        traces: PathBuf,
    },
    /// Measure how fast worlds run, each of three voters and four busy clients, on one core.
    Bench {
        /// How many worlds.
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        start: u64,
    },
    /// Judge a history of real clients, or of simulated ones, by the oracles that look at clients.
    Judge {
        /// The history.
        history: PathBuf,
        /// Folders with the logs of the servers, where the history does not hold the transactions.
        #[arg(long)]
        log: Vec<PathBuf>,
    },
    /// Predict how long clients wait when faults strike, and compare with what was measured.
    Outages {
        /// Worlds for each fault.
        #[arg(long, default_value_t = 400)]
        worlds: u64,
        /// What was measured on real processes, by benches/outages.
        #[arg(long)]
        measured: Option<PathBuf>,
        /// Where to draw both.
        #[arg(long)]
        plot: Option<PathBuf>,
    },
    /// Replay a saved trace, and tell its story.
    Replay {
        /// The trace.
        file: PathBuf,
        /// Without the bug of the zoo that the trace names.
        #[arg(long)]
        sound: bool,
        /// Tell all of the last steps, too.
        #[arg(long)]
        log: bool,
    },
    /// Make a failing trace short: take out decisions while the same promise still breaks.
    Shrink {
        /// The trace.
        file: PathBuf,
        /// Where the short one is saved; beside the long one if not given.
        #[arg(long)]
        out: Option<PathBuf>,
        /// The most replays.
        #[arg(long, default_value_t = 4_000)]
        tries: u64,
    },
    /// Grade the oracles by the bugs that they find, and write the table of docs/ZOO.md.
    Zoo(Zoo),
}

/// How the zoo is hunted.
#[derive(Args)]
struct Zoo {
    /// Where to write the table.
    #[arg(long, default_value = "docs/ZOO.md")]
    out: PathBuf,
    /// What each hunt came to, written as it ends: the same program goes on where it stopped.
    #[arg(long, default_value = "target/zoo.hunts")]
    ledger: PathBuf,
    /// Begin anew, whatever was hunted before.
    #[arg(long)]
    anew: bool,
    /// The most seeds for one hunt.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The most processor seconds for one hunt; 60 in tier 1.
    #[arg(long, default_value_t = 180)]
    limit: u64,
    /// Begin no hunt of a bug once those before it, by the same eyes, took so many seconds.
    #[arg(long, default_value_t = 180)]
    purse: u64,
    /// Begin no hunt after so many minutes.
    #[arg(long, default_value_t = 48)]
    minutes: u64,
    /// Independent first seeds for each bug.
    #[arg(long, default_value_t = 10)]
    bases: u64,
    /// Processor seconds to shorten one trace of each bug.
    #[arg(long, default_value_t = 8)]
    shrink: u64,
    /// Threads; as many as there are processors if not given.
    #[arg(long)]
    jobs: Option<u64>,
    /// Hunt these only, and write no table.
    #[arg(long)]
    only: Vec<String>,
    /// Hunt each bug once, with all oracles, shorten nothing, and write no table.
    #[arg(long)]
    quick: bool,
    /// Hunt for the witness of each promise only, and write no table.
    #[arg(long, conflicts_with = "quick")]
    witnesses: bool,
}

/// The most processor time, in seconds, for a hunt of `zoo --quick`: what the first tier may take.
const QUICK_LIMIT: u64 = 60;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run {
            seeds,
            start,
            jobs,
            seed,
            servers,
            liveness,
            explain,
            log,
            history,
            hash_key,
            mutation,
            traces,
        } => {
            let mutation = match grade::named(mutation.as_deref()) {
                Ok(mutation) => mutation,
                Err(why) => return fail(&why),
            };
            let start = seed.unwrap_or(start);
            let plan = Plan { start, seeds, servers, liveness, mutation };
            if let Some(file) = history {
                return export(plan, &file);
            }
            match seed {
                Some(_) => one(plan, (explain, log), hash_key, &traces),
                None => many(plan, jobs.unwrap_or_else(processors), &traces),
            }
        }
        Command::Judge { history, log } => judge(&history, &log),
        Command::Outages { worlds, measured, plot } => {
            done(outages(worlds, measured.as_deref(), plot.as_deref()))
        }
        Command::Bench { seeds, start } => measure(start, seeds),
        Command::Replay { file, sound, log } => replay(&file, sound, log),
        Command::Shrink { file, out, tries } => shorten(&file, out, tries),
        Command::Zoo(zoo) => done(zoo.hunt()),
    }
}

/// Runs one world, and saves what its clients saw.
fn export(plan: Plan, file: &Path) -> ExitCode {
    let (history, violation) = match campaign::history(plan) {
        Ok(told) => told,
        Err(why) => return fail(&why),
    };
    match (history.save(file), violation) {
        (Err(why), _) => fail(&why),
        (Ok(()), Some(violation)) => fail(&violation.to_string()),
        (Ok(()), None) => ExitCode::SUCCESS,
    }
}

/// Judges a history, and says by what.
fn judge(file: &Path, logs: &[PathBuf]) -> ExitCode {
    let verdict = History::load(file).and_then(|mut history| {
        if !logs.is_empty() {
            let told = history::told(&history);
            history.txns = history::committed(logs, &told).map_err(|why| why.to_string())?;
        }
        let txns = std::mem::take(&mut history.txns);
        if txns.is_empty() {
            return Err("it holds no transactions: give the servers' logs with --log".to_owned());
        }
        history::judge(&history, &txns)
    });
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(why) => return fail(&why),
    };
    for (property, count, what) in verdict.counts.rows() {
        println!("{:12} {count:8}  {what}", property.name());
    }
    println!("{} requests were not answered", verdict.counts.unanswered);
    let Some(broken) = verdict.broken else {
        println!("no promise is broken");
        return ExitCode::SUCCESS;
    };
    broken.shown.iter().for_each(|line| println!("  {line}"));
    println!("{}", broken.violation);
    ExitCode::FAILURE
}

/// Predicts outages, and draws them beside those that were measured.
fn outages(worlds: u64, measured: Option<&Path>, plot: Option<&Path>) -> Result<(), String> {
    let named = |file: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let measured = measured.map_or_else(
        || Ok(BTreeMap::new()),
        |file| {
            let text = fs::read_to_string(file).map_err(|why| named(file, &why))?;
            outages::read(&text).map_err(|why| named(file, &why))
        },
    )?;
    let bar = progress_bar(worlds * 5, "worlds");
    let all = outages::predict(worlds, &measured, || bar.inc(1)).map_err(|why| why.to_string())?;
    bar.finish_and_clear();
    print!("{}", outages::table(&all));
    let Some(file) = plot else { return Ok(()) };
    fs::write(file, outages::picture(&all)).map_err(|why| named(file, &why))
}

impl Zoo {
    fn effort(&self) -> Effort {
        let seconds = Duration::from_secs;
        Effort {
            bases: if self.quick { 1 } else { self.bases },
            seeds: self.seeds,
            limit: seconds(if self.quick { self.limit.min(QUICK_LIMIT) } else { self.limit }),
            purse: seconds(self.purse),
            shrink: seconds(if self.quick { 0 } else { self.shrink }),
            wall: seconds(self.minutes * 60),
            jobs: self.jobs.unwrap_or_else(processors) as usize,
        }
    }

    /// Hunts the zoo; a part of it writes no table, and is not kept.
    fn hunt(self) -> Result<(), String> {
        self.only.iter().try_for_each(|name| grade::named(Some(name)).map(|_| ()))?;
        let whole = self.only.is_empty() && !self.quick && !self.witnesses;
        let effort = self.effort();
        if self.anew && whole {
            fs::remove_file(&self.ledger).or_else(|why| match why.kind() {
                ErrorKind::NotFound => Ok(()),
                _ => Err(format!("{}: {why}", self.ledger.display())),
            })?;
        }
        let kept = if whole { Some(Ledger::open(&self.ledger, &terms(effort)?)?) } else { None };
        let (ledger, bag) = kept.map_or_else(Default::default, |(ledger, bag)| (Some(ledger), bag));
        let bar = progress_bar(0, "hunts");
        let caught = |hunt: Hunt, caught: &Catch, over: usize, of: usize| {
            if let Some(ledger) = &ledger {
                ledger.keep(&hunt, caught);
            }
            bar.set_length(of as u64);
            bar.set_position(over as u64);
            bar.set_message(hunt.name);
            if bar.is_hidden() {
                tell_hunt(hunt, caught, over, of);
            }
        };
        let wanted = Wanted { only: self.only, quick: self.quick, witnesses: self.witnesses };
        let bag = grade::hunt_all(effort, &wanted, bag, caught);
        bar.finish_and_clear();
        print!("{}", table::text(&bag, effort));
        if whole {
            table::write(&self.out, &bag, effort)?;
        }
        // The time of a quick hunt is not that of the second tier: its table tells of who survived.
        grade::verdict(&bag, if wanted.quick { 1 } else { 2 })
    }
}

fn tell_hunt(hunt: Hunt, caught: &Catch, over: usize, of: usize) {
    let broke = caught.property.map_or("survives", Property::name);
    let Catch { seeds, cpu_ms, .. } = caught;
    let Hunt { name, eyes, base } = hunt;
    eprintln!("{over} of {of} hunts: {name} {eyes:?} {base}: {broke}, {seeds} worlds, {cpu_ms} ms");
}

/// What a kept hunt depends on: this program, and how long a hunt may take.
fn terms(effort: Effort) -> Result<String, String> {
    let program = env::current_exe().and_then(fs::read);
    let program = program.map_err(|why| format!("this program cannot be read: {why}"))?;
    let Effort { seeds, limit, .. } = effort;
    Ok(format!("{:08x} {seeds} {}", crc32fast::hash(&program), limit.as_secs()))
}

fn done(outcome: Result<(), String>) -> ExitCode {
    outcome.map_or_else(|why| fail(&why), |()| ExitCode::SUCCESS)
}

fn processors() -> u64 {
    thread::available_parallelism().map_or(1, |n| n.get() as u64)
}

fn one(plan: Plan, (explain, log): (bool, bool), hash_key: Option<u64>, traces: &Path) -> ExitCode {
    let key = hash_key.map_or(HASH_KEY, |key| (key, !key));
    let verdict = campaign::run(plan, plan.start, key, true);
    let outcome = story(&verdict, explain, log);
    if verdict.violation.is_some() {
        keep(&verdict, traces);
    }
    outcome
}

/// Tells how one world went: all of its last steps if they are wanted; its story if that is
/// `wanted`, or if it failed.
fn story(verdict: &Verdict, wanted: bool, log: bool) -> ExitCode {
    if log {
        verdict.account.iter().for_each(|line| println!("{line}"));
    }
    if wanted || verdict.violation.is_some() {
        println!("{}", verdict.story);
    }
    let seconds = verdict.tally.simulated / 1_000_000;
    println!("seed {}: {} events, {seconds} s", verdict.seed, verdict.tally.events);
    println!("hash {:016x}", verdict.hash);
    match &verdict.violation {
        Some(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn replay(file: &Path, sound: bool, log: bool) -> ExitCode {
    let loaded = Trace::load(file).and_then(|trace| {
        let mutation = grade::named(trace.mutation.as_deref())?;
        Ok((trace, mutation.filter(|_| !sound)))
    });
    match loaded {
        Ok((trace, mutation)) => story(&campaign::explain(&trace, mutation, HASH_KEY), true, log),
        Err(why) => fail(&why),
    }
}

fn shorten(file: &Path, out: Option<PathBuf>, tries: u64) -> ExitCode {
    let loaded = Trace::load(file).and_then(|trace| {
        let mutation = grade::named(trace.mutation.as_deref())?;
        Ok((trace, mutation))
    });
    let (trace, mutation) = match loaded {
        Ok(loaded) => loaded,
        Err(why) => return fail(&why),
    };
    if trace.property.is_none() {
        return fail("the trace breaks no promise");
    }
    let bar = progress_bar(tries, "worlds");
    let mut left = tries;
    let more = || {
        left = left.saturating_sub(1);
        left > 0
    };
    let short = shrink(&trace, mutation, more, |tried, left| {
        bar.set_position(tried);
        bar.set_message(format!("{left} decisions left"));
    });
    bar.finish_and_clear();
    let out = out.unwrap_or_else(|| file.with_extension("short.trace"));
    let size = |trace: &Trace| format!("{} faults and {} acts", trace.faults(), trace.acts());
    println!("{} of {}", size(&short), size(&trace));
    match short.save(&out) {
        Ok(()) => {
            println!("replay: cargo run --release -p menagerie-sim -- replay {}", out.display());
            ExitCode::SUCCESS
        }
        Err(why) => fail(&why),
    }
}

/// A world that fails is told of, and measured as far as it went: finding it is not this command's
/// task.
fn measure(start: u64, seeds: u64) -> ExitCode {
    let bar = progress_bar(seeds, "worlds");
    let measured = bench::measure(start, seeds, |_| bar.inc(1));
    bar.finish_and_clear();
    for (seed, violation) in &measured.failures {
        println!("seed {seed} failed: {violation}");
    }
    print!("{measured}");
    ExitCode::SUCCESS
}

/// Saves the trace of a failure, and says how to replay it.
fn keep(verdict: &Verdict, traces: &Path) {
    let Some(trace) = &verdict.trace else { return };
    let bug = trace.mutation.as_ref().map(|bug| format!("{bug}-")).unwrap_or_default();
    let file = traces.join(format!("{bug}{}.trace", verdict.seed));
    match trace.save(&file) {
        Ok(()) => {
            println!("replay: cargo run --release -p menagerie-sim -- replay {}", file.display());
        }
        Err(why) => eprintln!("menagerie-sim: the trace is not saved: {why}"),
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("menagerie-sim: {why}");
    ExitCode::FAILURE
}

fn many(plan: Plan, jobs: u64, traces: &Path) -> ExitCode {
    let seeds = plan.seeds;
    let bar = progress_bar(seeds, "worlds");
    let (failed, began) = (atomic::AtomicU64::new(0), Instant::now());
    let progress = |verdict: &Verdict| {
        if let Some(violation) = &verdict.violation {
            failed.fetch_add(1, atomic::Ordering::Relaxed);
            bar.suspend(|| println!("seed {} failed: {violation}", verdict.seed));
        }
        bar.set_message(format!("{} failed", failed.load(atomic::Ordering::Relaxed)));
        bar.inc(1);
        let done = bar.position();
        if bar.is_hidden() && (done.is_multiple_of((seeds / 20).max(100)) || done == seeds) {
            let left = began.elapsed().as_secs() * (seeds - done) / done;
            println!("{done} of {seeds} worlds, {}, {left} s left", bar.message());
        }
    };
    let report = campaign::campaign(plan, jobs, false, progress);
    bar.finish_and_clear();
    tell(&report, seeds, traces)
}

fn progress_bar(seeds: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::hidden());
    }
    let template =
        format!("{{wide_bar}} {{pos}}/{{len}} {what}, {{per_sec}}, {{msg}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("a template of our own");
    ProgressBar::new(seeds).with_style(style)
}

fn tell(report: &Report, seeds: u64, traces: &Path) -> ExitCode {
    let tally = &report.tally;
    println!("{tally}");
    println!(
        "{} worlds, {} lives, {} events, {} txns, {} replies, {} acknowledged operations, \
         {} s simulated in {:.1} s",
        tally.worlds,
        tally.lives,
        tally.events,
        tally.txns,
        tally.replies(),
        tally.acknowledged,
        tally.simulated / SECOND,
        report.took.as_secs_f32(),
    );
    let simulated = report.least_and_median(|size| size.simulated / SECOND);
    let acknowledged = report.least_and_median(|size| size.acknowledged);
    if let (Some((least, median)), Some((fewest, half))) = (simulated, acknowledged) {
        println!(
            "a world that did not fail: {least} s simulated at least, {median} in the median; \
             {fewest} acknowledged operations at least, {half} in the median"
        );
    }
    println!(
        "{:.1} core seconds, {:.3} for a world; {} events and {} simulated seconds per core \
         second, all oracles on",
        report.used.as_secs_f32(),
        report.used.as_secs_f32() / tally.worlds.max(1) as f32,
        usage::per_second(tally.events, report.used),
        usage::per_second(tally.simulated / SECOND, report.used),
    );
    let unhit = tally.unhit();
    if seeds >= 1_000 {
        unhit.iter().for_each(|probe| println!("never seen: {}", probe.name()));
    }
    report.failures.iter().take(20).for_each(|verdict| account(verdict, traces));
    println!("{} of {} worlds failed", report.failures.len(), tally.worlds);
    if report.failures.is_empty() && (seeds < 1_000 || unhit.is_empty()) {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn account(verdict: &Verdict, traces: &Path) {
    if let Some(violation) = &verdict.violation {
        println!("\nseed {}, the last steps:", verdict.seed);
        verdict.account.iter().for_each(|line| println!("  {line}"));
        println!("{violation}");
        keep(verdict, traces);
    }
}
