// SPDX-License-Identifier: Apache-2.0
//! `menagerie load`: drives any ZooKeeper server and says how fast it was.
//!
//! One thread, one task a connection, requests encoded in batches: the generator shares the
//! machine with the server it measures, so it must cost little.

mod link;

use std::{
    cell::RefCell,
    io::{self, IsTerminal},
    process::ExitCode,
    rc::Rc,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use link::Link;
use menagerie_core::proto::{Acl, Create, CreateKind, Request};
use tokio::{runtime::Builder, task::LocalSet, time::sleep};

/// Latencies are recorded up to this many microseconds.
const LONGEST: u64 = 60_000_000;

/// Requests outstanding while the znodes are prepared.
const PREPARING: usize = 256;

/// Measure a ZooKeeper server.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The server.
    #[arg(long, default_value = "127.0.0.1:2181")]
    server: String,
    /// What to ask for.
    #[arg(long, value_enum, default_value_t = Workload::Read)]
    workload: Workload,
    /// Of a mixed workload, how many requests in a hundred are reads.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(0..=100))]
    reads: u32,
    /// Connections.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Outstanding requests on each.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    depth: u32,
    /// Bytes of data in a znode.
    #[arg(long, default_value_t = 100)]
    value_size: usize,
    /// Znodes to read and write, made under /load beforehand where missing.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    znodes: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only make the znodes.
    #[arg(long)]
    fill: bool,
    /// Print one line of JSON in place of the table.
    #[arg(long)]
    json: bool,
}

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// getData.
    Read,
    /// setData.
    Write,
    /// Both.
    Mixed,
    /// create, one new znode a request.
    Create,
}

/// What came back.
#[derive(Debug)]
struct Tally {
    latency: Histogram<u64>,
    errors: u64,
}

/// Runs, prints, and gives back the exit code.
pub fn run(options: &Options) -> ExitCode {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match LocalSet::new().block_on(&runtime, measure(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &io::Error) -> ExitCode {
    eprintln!("menagerie load: {error}");
    ExitCode::FAILURE
}

async fn measure(options: &Options) -> io::Result<()> {
    prepare(options).await?;
    if options.fill {
        return Ok(());
    }
    let latency = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that make sense");
    let tally = Rc::new(RefCell::new(Tally { latency, errors: 0 }));
    let mut links = Vec::new();
    for number in 0..options.connections {
        links.push((number, Link::connect(&options.server).await?));
    }
    let begin = Instant::now();
    let until = begin + Duration::from_secs(options.seconds);
    let progress = progress(options.seconds);
    let ticking = tokio::task::spawn_local(tick(progress.clone()));
    let mut tasks = Vec::new();
    for (number, link) in links {
        let (tally, options) = (tally.clone(), options.clone());
        tasks.push(tokio::task::spawn_local(async move {
            let mut choose = Chooser::new(number, &options);
            link.drive(options.depth as usize, until, &tally, |out| choose.put(out)).await
        }));
    }
    for task in tasks {
        task.await.expect("no task panics")?;
    }
    ticking.abort();
    progress.finish_and_clear();
    report(options, &tally.borrow(), begin.elapsed());
    Ok(())
}

/// Makes the znodes that are missing.
async fn prepare(options: &Options) -> io::Result<()> {
    let link = Link::connect(&options.server).await?;
    let data = vec![b'x'; options.value_size];
    let bar = progress(u64::from(options.znodes));
    let (mut next, mut made_top) = (0, false);
    link.work_off(PREPARING, |out| {
        let path = if made_top {
            if next == options.znodes {
                return false;
            }
            next += 1;
            bar.set_position(u64::from(next));
            path(next - 1)
        } else {
            made_top = true;
            "/load".into()
        };
        put_create(&path, if path == "/load" { b"" } else { &data }, out);
        true
    })
    .await?;
    bar.finish_and_clear();
    Ok(())
}

/// Chooses requests, the same ones in each run.
struct Chooser<'a> {
    options: &'a Options,
    state: u64,
    data: Vec<u8>,
    made: u64,
    link: u32,
}

impl<'a> Chooser<'a> {
    fn new(link: u32, options: &'a Options) -> Chooser<'a> {
        let data = vec![b'y'; options.value_size];
        let state = 0x9e37_79b9_7f4a_7c15 ^ (u64::from(link) << 32 | 1);
        Chooser { options, state, data, made: 0, link }
    }

    /// Appends the next request's type and body.
    fn put(&mut self, out: &mut Vec<u8>) {
        let draw = self.draw();
        let znode = path((draw % u64::from(self.options.znodes)) as u32);
        let read = match self.options.workload {
            Workload::Read => true,
            Workload::Write => false,
            Workload::Mixed => (draw >> 40) % 100 < u64::from(self.options.reads),
            Workload::Create => {
                self.made += 1;
                let unique = format!("/load/c{}-{}-{:x}", self.link, self.made, self.state);
                return put_create(&unique, &self.data, out);
            }
        };
        let path = znode.as_bytes();
        let request = if read {
            Request::GetData { path, watch: false }
        } else {
            Request::SetData { path, data: Some(&self.data), version: -1 }
        };
        link::put(&request, out);
    }

    /// xorshift: speed matters here, quality does not.
    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

fn path(znode: u32) -> String {
    format!("/load/{znode:07}")
}

fn put_create(path: &str, data: &[u8], out: &mut Vec<u8>) {
    let acl = Some(vec![Acl::OPEN]);
    let path = path.as_bytes();
    let create = Create { kind: CreateKind::Create, path, data: Some(data), acl, flags: 0 };
    link::put(&Request::Create(create), out);
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

fn report(options: &Options, tally: &Tally, took: Duration) {
    let latency = &tally.latency;
    let per_second = latency.len() as f64 / took.as_secs_f64();
    let at = |quantile| latency.value_at_quantile(quantile);
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(at);
    let (workload, max) = (format!("{:?}", options.workload).to_lowercase(), latency.max());
    let Options { connections, depth, .. } = options;
    if options.json {
        println!(
            "{{\"workload\":\"{workload}\",\"connections\":{connections},\"depth\":{depth},\
             \"per_second\":{per_second:.0},\"errors\":{},\"p50_us\":{p50},\"p90_us\":{p90},\
             \"p99_us\":{p99},\"p999_us\":{p999},\"max_us\":{max}}}",
            tally.errors
        );
        return;
    }
    println!("{workload}, {connections} connections of {depth} outstanding requests");
    println!("  {per_second:>12.0} requests a second, {} errors", tally.errors);
    println!("  latency in microseconds");
    for (name, value) in [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)] {
        println!("  {name:>8} {value:>12}");
    }
}
