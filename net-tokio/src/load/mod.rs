// SPDX-License-Identifier: Apache-2.0
//! `menagerie load`: drives any ZooKeeper server and says how fast it was, or is the limit itself.
//!
//! One thread, one task a connection, requests encoded in batches: the generator shares the
//! machine with the server it measures, so it must cost little.

mod link;
mod null;
mod process;
mod report;
mod workload;

use std::{
    cell::RefCell,
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::ProgressBar;
use link::{Link, Pace};
use menagerie_core::proto::ErrorCode;
use report::Tally;
use tokio::{
    runtime::Builder,
    task::{JoinHandle, LocalSet, spawn_local},
    time::{sleep, sleep_until},
};
use workload::{Chooser, TOP, Workload, path, put_create};

use crate::limits;

/// Requests outstanding while the znodes are prepared.
const PREPARING: usize = 256;

/// Measure a ZooKeeper server.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The server, or several with commas between, among which connections are dealt out in turn;
    /// of --null, the address to serve on.
    #[arg(long, default_value = "127.0.0.1:2181", value_delimiter = ',')]
    server: Vec<String>,
    /// What to ask for.
    #[arg(long, value_enum, default_value_t = Workload::Read)]
    workload: Workload,
    /// Of a mixed workload, how many requests in a hundred are reads.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(0..=100))]
    reads: u32,
    /// Connections.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Outstanding requests on each, at most.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Requests a second of all connections; as many as are answered, if left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Sessions more that are opened and then only ping.
    #[arg(long, default_value_t = 0)]
    idle: u32,
    /// Bytes of data in a znode.
    #[arg(long, default_value_t = 100)]
    value_size: usize,
    /// Znodes to read and write, made under /load beforehand where missing.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    znodes: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How many seconds of load come before that.
    #[arg(long, default_value_t = 1)]
    warm_up: u64,
    /// Only make the znodes.
    #[arg(long)]
    fill: bool,
    /// The server's process, or several with commas between: tells their CPU time, too.
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Print one line of JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Be the limit to measure against: a server that answers at once, from nothing.
    #[arg(long)]
    null: bool,
    /// As --null, with one append and sync a batch, to a file in this folder.
    #[arg(long, requires = "null", value_name = "FOLDER")]
    sync: Option<PathBuf>,
}

/// Runs, prints, and gives back the exit code.
pub fn run(options: &Options) -> ExitCode {
    limits::raise_open_files();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match LocalSet::new().block_on(&runtime, work(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("menagerie load: {error}");
    ExitCode::FAILURE
}

async fn work(options: &Options) -> io::Result<()> {
    if options.null {
        let Options { server, value_size, sync, .. } = options;
        match null::serve(&server[0], *value_size, sync.as_deref()).await? {}
    }
    prepare(options).await?;
    if options.fill {
        return Ok(());
    }
    let idle = open_idle(options).await?;
    let measured = measure(options).await;
    for session in idle {
        if session.is_finished() {
            session.await.expect("no task panics")?;
        }
    }
    println!("{}", measured?);
    Ok(())
}

/// Makes the znodes that are missing.
async fn prepare(options: &Options) -> io::Result<()> {
    let mut link = Link::connect(&options.server[0]).await?;
    if link.exists(&path(options.znodes - 1)).await? {
        // They are made in order, so none before the last is missing.
        return Ok(());
    }
    let data = vec![b'x'; options.value_size];
    let bar = progress(u64::from(options.znodes));
    let mut top = true;
    let mut znodes = 0..options.znodes;
    let next = |out: &mut Vec<u8>| {
        if std::mem::take(&mut top) {
            put_create(TOP, b"", out);
            return true;
        }
        znodes.next().inspect(|znode| put_create(&path(*znode), &data, out)).is_some()
    };
    let check = |err| {
        bar.inc(1);
        if err == 0 || err == ErrorCode::NodeExists.code() {
            return Ok(());
        }
        Err(io::Error::other(format!("cannot make the znodes: {}", report::error(err))))
    };
    link.work_off(PREPARING, next, check).await?;
    bar.finish_and_clear();
    Ok(())
}

/// Connects the connection of a number to the server whose turn it is.
async fn connect(number: u32, options: &Options) -> io::Result<Link> {
    Link::connect(&options.server[number as usize % options.server.len()]).await
}

async fn open_idle(options: &Options) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
    let bar = progress(u64::from(options.idle));
    let mut sessions = Vec::new();
    for number in 0..options.idle {
        sessions.push(spawn_local(connect(number, options).await?.idle()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(sessions)
}

/// Loads the server, and gives back what to print.
async fn measure(options: &Options) -> io::Result<String> {
    let mut links = Vec::new();
    for number in 0..options.connections {
        links.push((number, connect(number, options).await?));
    }
    let from = Instant::now() + Duration::from_secs(options.warm_up);
    let until = from + Duration::from_secs(options.seconds);
    let tally = Rc::new(RefCell::new(Tally::new(from, until)));
    let every = options.rate.map(|rate| Duration::from_secs(1) * options.connections / rate);
    let pace = Pace { depth: options.depth as usize, every, until };
    let progress = progress(options.warm_up + options.seconds);
    let ticking = spawn_local(tick(progress.clone()));
    let watching = spawn_local(watch(options.pid.clone(), from, until));
    let mut tasks = Vec::new();
    for (number, link) in links {
        let (tally, options) = (tally.clone(), options.clone());
        tasks.push(spawn_local(async move {
            let mut choose = Chooser::new(number, link.session(), &options);
            link.drive(pace, &tally, |out| choose.put(out)).await
        }));
    }
    for task in tasks {
        task.await.expect("no task panics")?;
    }
    ticking.abort();
    progress.finish_and_clear();
    let cpu = watching.await.expect("no task panics")?;
    let cpu = (!options.pid.is_empty()).then_some(cpu);
    let tally = tally.borrow();
    Ok(if options.json { tally.json(options, cpu) } else { tally.table(options, cpu) })
}

/// CPU time that processes use from one instant to another.
async fn watch(pids: Vec<u32>, from: Instant, until: Instant) -> io::Result<Duration> {
    let used = || pids.iter().map(|pid| process::cpu_time(*pid)).sum::<io::Result<Duration>>();
    sleep_until(from.into()).await;
    let before = used()?;
    sleep_until(until.into()).await;
    Ok(used()? - before)
}

fn progress(length: u64) -> ProgressBar {
    if io::stderr().is_terminal() { ProgressBar::new(length) } else { ProgressBar::hidden() }
}

async fn tick(bar: ProgressBar) {
    loop {
        sleep(Duration::from_secs(1)).await;
        bar.inc(1);
    }
}
