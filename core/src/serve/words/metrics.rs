// SPDX-License-Identifier: Apache-2.0
//! The figures of `mntr` in Prometheus' text format 0.0.4, under the names and types that Java's
//! provider gives them, written as its client library writes: values are doubles, help is the
//! name, labels end in a comma.

use alloc::{string::String, vec::Vec};

use super::{
    Server,
    text::{Value, gauges, put, told},
};
use crate::serve::stats::{Counter, Decimal, Measure, Stats};

/// Everything counted and measured; of a server that does not serve yet there is no more.
pub fn exposition(server: Option<&Server<'_>>, stats: &Stats) -> String {
    let mut out = Vec::new();
    if let Some(server) = server {
        gauges(server, stats, &mut |name, value| {
            head(name, "gauge", &mut out);
            match value {
                Value::Whole(n) => {
                    let sign = if n < 0 { "-" } else { "" };
                    put!(&mut out, "{name} {sign}{}\n", Decimal::from(n.unsigned_abs()));
                }
                Value::Part(part) => put!(&mut out, "{name} {part}\n"),
            }
        });
    }
    for &counter in Counter::ALL {
        let name = counter.name();
        // This one is a gauge of Java's.
        head(name, if counter == Counter::AuthFailed { "gauge" } else { "counter" }, &mut out);
        put!(&mut out, "{name} {}\n", Decimal::from(stats.counted(counter)));
    }
    for &measure in Measure::ALL {
        summary(measure, stats, &mut out);
    }
    if let Some(server) = server {
        // How often they were told is not counted, so there is no `_count`.
        told(server, &mut |name, sum| {
            put!(&mut out, "# HELP node_{name}_watch_count node_{name}_watch_count\n");
            put!(&mut out, "# TYPE node_{name}_watch_count summary\n");
            put!(&mut out, "node_{name}_watch_count_sum {}\n", Decimal::from(sum));
        });
    }
    String::from_utf8(out).expect("names and numbers are text")
}

fn head(name: &str, kind: &str, out: &mut Vec<u8>) {
    put!(out, "# HELP {name} {name}\n# TYPE {name} {kind}\n");
}

fn summary(measure: Measure, stats: &Stats, out: &mut Vec<u8>) {
    let (name, scale) = (measure.name(), measure.scale());
    let histogram = stats.measured(measure);
    let count = histogram.spread.count();
    head(name, "summary", out);
    for (quantile, mille) in quantiles(measure) {
        put!(out, "{name}{{quantile=\"{quantile}\",}} ");
        match count {
            0 => put!(out, "NaN\n"),
            _ => put!(out, "{}\n", Decimal::from(histogram.per_mille(*mille, scale))),
        }
    }
    put!(out, "{name}_count {}\n", Decimal::from(count));
    put!(out, "{name}_sum {}\n", Decimal::from(histogram.spread.sum(scale)));
}

/// The quantiles that Java tells of a measure: all three only of those that it details.
fn quantiles(measure: Measure) -> &'static [(&'static str, u64)] {
    const ALL: &[(&str, u64)] = &[("0.5", 500), ("0.9", 900), ("0.99", 990)];
    match measure {
        Measure::ReadLatency | Measure::UpdateLatency | Measure::FlushTime => ALL,
        Measure::FsyncTime
        | Measure::SnapshotTime
        | Measure::DbInitTime
        | Measure::BatchSize
        | Measure::TxnsLoaded => &ALL[..1],
    }
}
