// SPDX-License-Identifier: Apache-2.0
//! What came back in the time that counts, and how it is told: a table for people, a line of JSON
//! for scripts.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use menagerie_core::proto::ErrorCode;

use super::Options;

/// Latencies are recorded up to this many microseconds.
const LONGEST: u64 = 60_000_000;

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// The replies of all connections. Only what comes from `from` to `until` counts.
#[derive(Debug)]
pub struct Tally {
    from: Instant,
    until: Instant,
    /// Microseconds of what succeeded.
    latency: Histogram<u64>,
    /// How often each error came; those are no part of any other figure.
    errors: BTreeMap<i32, u64>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(from: Instant, until: Instant) -> Tally {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that make sense");
        Tally { from, until, latency, errors: BTreeMap::new() }
    }

    /// Takes in a reply that came `now` to a request of `began`.
    pub fn record(&mut self, began: Instant, now: Instant, err: i32) {
        if now < self.from || now >= self.until {
            return;
        }
        if err == 0 {
            let micros = u64::try_from((now - began).as_micros()).unwrap_or(u64::MAX);
            self.latency.saturating_record(micros.max(1));
        } else {
            *self.errors.entry(err).or_default() += 1;
        }
    }

    fn per_second(&self) -> f64 {
        self.latency.len() as f64 / (self.until - self.from).as_secs_f64()
    }

    /// CPU time of the server by request, in microseconds; errors were requests, too.
    fn cpu_each(&self, cpu: Duration) -> f64 {
        let requests = self.latency.len() + self.errors.values().sum::<u64>();
        cpu.as_secs_f64() * 1e6 / requests.max(1) as f64
    }

    /// The table; `cpu` is the server's CPU time, where it was measured.
    pub fn table(&self, options: &Options, cpu: Option<Duration>) -> String {
        let Options { connections, depth, idle, .. } = options;
        let mut text = format!(
            "{}, {connections} connections of {depth} outstanding requests, {idle} idle sessions\n",
            name(options)
        );
        let mut line = |value: f64, what: &str| {
            writeln!(text, "{value:>14.0} {what}").expect("a string takes it");
        };
        line(self.per_second(), "requests a second");
        for (quantile, at) in QUANTILES {
            let micros = self.latency.value_at_quantile(at) as f64;
            line(micros, &format!("microseconds, {quantile}"));
        }
        for (err, count) in &self.errors {
            line(*count as f64, &format!("errors: {}", error(*err)));
        }
        if let Some(cpu) = cpu {
            let each = self.cpu_each(cpu);
            writeln!(text, "{each:>14.2} microseconds of the server's CPU a request")
                .expect("a string takes it");
        }
        text
    }

    /// The same in one line of JSON.
    pub fn json(&self, options: &Options, cpu: Option<Duration>) -> String {
        let Options { connections, depth, idle, .. } = options;
        let mut text = format!(
            "{{\"workload\":\"{}\",\"connections\":{connections},\"depth\":{depth},\
             \"idle\":{idle},\"requests\":{},\"per_second\":{:.1}",
            name(options),
            self.latency.len(),
            self.per_second()
        );
        for (quantile, at) in QUANTILES {
            let (quantile, micros) =
                (quantile.replace('.', ""), self.latency.value_at_quantile(at));
            write!(text, ",\"{quantile}_us\":{micros}").expect("a string takes it");
        }
        let errors: Vec<String> =
            self.errors.iter().map(|(err, count)| format!("\"{}\":{count}", error(*err))).collect();
        write!(text, ",\"errors\":{{{}}}", errors.join(",")).expect("a string takes it");
        if let Some(cpu) = cpu {
            let (all, each) = (cpu.as_secs_f64(), self.cpu_each(cpu));
            write!(text, ",\"cpu_s\":{all:.2},\"cpu_us_each\":{each:.3}")
                .expect("a string takes it");
        }
        text + "}"
    }
}

fn name(options: &Options) -> String {
    format!("{:?}", options.workload).to_lowercase()
}

/// An error's name, or its number if it has none.
pub fn error(err: i32) -> String {
    ErrorCode::from_code(err).map_or_else(|| err.to_string(), |code| format!("{code:?}"))
}
