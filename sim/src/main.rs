// SPDX-License-Identifier: Apache-2.0
//! `menagerie-sim`: runs worlds, grades mutations, replays failures.

use std::{io::IsTerminal, process::ExitCode, sync::atomic, thread};

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use menagerie_sim::{
    campaign::{self, HASH_KEY, Report, Verdict},
    grade,
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
        /// With --seed: tell the last steps, whatever they led to.
        #[arg(long, requires = "seed")]
        explain: bool,
        /// With --seed: another key of the hash tables, which must change nothing.
        #[arg(long, requires = "seed")]
        hash_key: Option<u64>,
        /// A bug of the zoo that the server has, by name.
        #[arg(long)]
        mutation: Option<String>,
    },
    /// Grade the oracles by the bugs that they find, and write the table of docs/ZOO.md.
    Zoo {
        /// Where to write the table.
        #[arg(long, default_value = "docs/ZOO.md")]
        out: std::path::PathBuf,
        /// The most seeds for one bug.
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// Independent first seeds for each bug.
        #[arg(long, default_value_t = 5)]
        bases: u64,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { seed: Some(seed), explain, hash_key, mutation, .. } => {
            one(seed, explain, hash_key, mutation)
        }
        Command::Run { seeds, start, jobs, mutation, .. } => {
            many(start, seeds, jobs.unwrap_or_else(processors), mutation)
        }
        Command::Zoo { out, seeds, bases } => match grade::write(&out, seeds, bases) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => fail(&why),
        },
    }
}

fn processors() -> u64 {
    thread::available_parallelism().map_or(1, |n| n.get() as u64)
}

/// Runs one world in a thread of the kind whose panics are judged.
fn one(seed: u64, explain: bool, hash_key: Option<u64>, mutation: Option<String>) -> ExitCode {
    let mutation = match grade::named(mutation.as_deref()) {
        Ok(mutation) => mutation,
        Err(why) => return fail(&why),
    };
    let key = hash_key.map_or(HASH_KEY, |key| (key, !key));
    let work = move || campaign::run(seed, mutation, key, true);
    let thread = thread::Builder::new().name("world".to_owned()).spawn(work).expect("a thread");
    let verdict = thread.join().expect("a world does not panic");
    if explain || verdict.violation.is_some() {
        verdict.account.iter().for_each(|line| println!("{line}"));
    }
    let seconds = verdict.tally.simulated / 1_000_000;
    println!("seed {seed}: {} events, {seconds} s", verdict.tally.events);
    println!("hash {:016x}", verdict.hash);
    match verdict.violation {
        Some(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn fail(why: &str) -> ExitCode {
    eprintln!("menagerie-sim: {why}");
    ExitCode::FAILURE
}

fn many(start: u64, seeds: u64, jobs: u64, mutation: Option<String>) -> ExitCode {
    let mutation = match grade::named(mutation.as_deref()) {
        Ok(mutation) => mutation,
        Err(why) => return fail(&why),
    };
    let bar = progress_bar(seeds);
    let failed = atomic::AtomicU64::new(0);
    let progress = |verdict: &Verdict| {
        if verdict.violation.is_some() {
            failed.fetch_add(1, atomic::Ordering::Relaxed);
        }
        bar.set_message(format!("{} failed", failed.load(atomic::Ordering::Relaxed)));
        bar.inc(1);
        if bar.is_hidden() && bar.position().is_multiple_of(100) {
            println!("{} of {seeds} worlds, {}", bar.position(), bar.message());
        }
    };
    let report = campaign::campaign(start, seeds, jobs, mutation, false, progress);
    bar.finish_and_clear();
    tell(&report, seeds)
}

fn progress_bar(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} worlds, {msg}, {eta} left");
    ProgressBar::new(seeds).with_style(style.expect("a template of our own"))
}

fn tell(report: &Report, seeds: u64) -> ExitCode {
    let tally = &report.tally;
    println!("{tally}");
    let micros = (report.took.as_micros() as u64 * report.jobs).max(1);
    let per_core = |n: u64| u128::from(n) * 1_000_000 / u128::from(micros);
    println!(
        "{} worlds, {} lives, {} events, {} txns, {} replies, {} s simulated in {:.1} s",
        tally.worlds,
        tally.lives,
        tally.events,
        tally.txns,
        tally.replies(),
        tally.simulated / 1_000_000,
        report.took.as_secs_f32(),
    );
    println!(
        "{} events and {} simulated seconds per second and core, all oracles on",
        per_core(tally.events),
        per_core(tally.simulated / 1_000_000),
    );
    let unhit = tally.unhit();
    if seeds >= 1_000 {
        unhit.iter().for_each(|probe| println!("never seen: {}", probe.name()));
    }
    report.failures.iter().take(20).for_each(account);
    println!("{} of {} worlds failed", report.failures.len(), tally.worlds);
    if report.failures.is_empty() && (seeds < 1_000 || unhit.is_empty()) {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

fn account(verdict: &Verdict) {
    if let Some(violation) = &verdict.violation {
        println!("\nseed {}: {violation}", verdict.seed);
        println!("  replay: cargo run --release -p menagerie-sim -- run --seed {}", verdict.seed);
    }
}
