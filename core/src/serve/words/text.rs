// SPDX-License-Identifier: Apache-2.0
//! The short texts, and the single lines of the long ones.

use core::fmt::{self, Write};

use alloc::vec::Vec;

use super::{Conf, Connection, Figures, LinkStats, Server, SessionId};
use crate::{
    proto::EventKind,
    serve::stats::{Counter, Decimal, Measure, Stats},
};

/// Bytes that text is written to; writing to memory cannot fail.
pub(super) struct Out<'a>(pub &'a mut Vec<u8>);

impl Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        core::fmt::Write::write_fmt(&mut $crate::serve::words::text::Out($out),
            format_args!($($arg)*)).expect("writing to memory cannot fail")
    };
}
pub(super) use put;

/// The first line of `srvr` and `stat`.
pub(super) fn version(server: &Server<'_>, out: &mut Vec<u8>) {
    put!(out, "Zookeeper version: {}\n", server.version);
    if server.read_only {
        put!(out, "READ-ONLY mode; serving only read-only clients\n");
    }
}

/// The lines of `srvr` after the first.
pub(super) fn server(server: &Server<'_>, stats: &Stats, out: &mut Vec<u8>) {
    let latency = &stats.latency;
    let (min, mean, max) = (latency.min(1_000), latency.mean(1_000), latency.max(1_000));
    put!(out, "Latency min/avg/max: {min}/{mean}/{max}\n");
    put!(out, "Received: {}\nSent: {}\n", stats.packets_received, stats.packets_sent);
    put!(out, "Connections: {}\nOutstanding: {}\n", server.connections, server.outstanding);
    put!(out, "Zxid: {}\nMode: {}\nNode count: {}\n", server.zxid, server.mode, server.nodes);
}

/// A line of `stat` or, in full, of `cons`.
pub(super) fn connection(c: &Connection<'_>, full: bool, out: &mut Vec<u8>) {
    let LinkStats { received, sent, .. } = *c.stats;
    let reading = u8::from(c.reading);
    put!(out, " /{}[{reading}](queued={},recved={received},sent={sent}", c.peer, c.queued);
    if full && c.session != SessionId::NONE {
        let stats = c.stats;
        put!(out, ",sid={},lop={}", c.session, stats.last_op);
        put!(out, ",est={},to={}", stats.established_ms, c.timeout_ms);
        if stats.last_cxid >= 0 {
            put!(out, ",lcxid=0x{:x}", stats.last_cxid);
        }
        put!(out, ",lzxid={},lresp={}", stats.last_zxid, stats.last_response.millis());
        let latency = &stats.latency;
        let mean = latency.sum(1_000).checked_div(latency.count()).unwrap_or(0);
        put!(out, ",llat={},minlat={}", stats.last_latency / 1_000, latency.min(1_000));
        put!(out, ",avglat={mean},maxlat={}", latency.max(1_000));
    }
    put!(out, ")\n");
}

/// `conf`.
pub(super) fn conf(conf: &Conf<'_>, server: &Server<'_>, out: &mut Vec<u8>) {
    put!(out, "clientPort={}\n", conf.client_port);
    put!(out, "secureClientPort={}\n", conf.secure_client_port);
    put!(out, "dataDir={}\ndataDirSize={}\n", conf.data_dir, server.data_dir_size);
    put!(out, "dataLogDir={}\ndataLogSize={}\n", conf.data_log_dir, server.log_dir_size);
    put!(out, "tickTime={}\n", conf.tick_time);
    put!(out, "maxClientCnxns={}\n", conf.max_client_cnxns);
    put!(out, "minSessionTimeout={}\n", conf.min_session_timeout);
    put!(out, "maxSessionTimeout={}\n", conf.max_session_timeout);
    put!(out, "clientPortListenBacklog={}\n", conf.backlog);
    put!(out, "serverId={}\n", conf.server_id);
}

/// `envi`.
pub(super) fn environment(figures: &impl Figures, out: &mut Vec<u8>) {
    put!(out, "Environment:\nzookeeper.version={}\n", figures.server().version);
    for (name, value) in figures.environment() {
        put!(out, "{name}={value}\n");
    }
}

/// `wchs`.
pub(super) fn watches(server: &Server<'_>, out: &mut Vec<u8>) {
    let watches = &server.watches;
    put!(out, "{} connections watching {} paths\n", watches.links, watches.paths);
    put!(out, "Total watches:{}\n", watches.data_watches);
}

/// `mntr`: the same keys as Java's for everything that exists here.
pub(super) fn monitor(server: &Server<'_>, stats: &Stats, out: &mut Vec<u8>) {
    put!(out, "zk_version\t{}\n", server.version);
    put!(out, "zk_server_state\t{}\n", server.mode);
    gauges(server, stats, &mut |name, value| put!(out, "zk_{name}\t{value}\n"));
    for &counter in Counter::ALL {
        put!(out, "zk_{}\t{}\n", counter.name(), stats.counted(counter));
    }
    for &measure in Measure::ALL {
        distribution(measure, stats, out);
    }
    told(server, &mut |name, sum| put!(out, "zk_sum_node_{name}_watch_count\t{sum}\n"));
}

/// What a gauge stands at.
pub(super) enum Value {
    Whole(i64),
    Part(Decimal),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Whole(n) => n.fmt(f),
            Value::Part(part) => part.fmt(f),
        }
    }
}

/// The gauges, under Java's names.
pub(super) fn gauges(
    server: &Server<'_>,
    stats: &Stats,
    give: &mut impl FnMut(&'static str, Value),
) {
    let (latency, sizes) = (&stats.latency, &stats.response_size);
    give("avg_latency", Value::Part(latency.mean(1_000)));
    give("max_latency", whole(latency.max(1_000)));
    give("min_latency", whole(latency.min(1_000)));
    give("packets_received", whole(stats.packets_received));
    give("packets_sent", whole(stats.packets_sent));
    give("num_alive_connections", whole(server.connections));
    give("outstanding_requests", whole(server.outstanding));
    give("uptime", whole(server.now.mono.since(server.since).as_millis()));
    give("znode_count", whole(server.nodes));
    give("watch_count", whole(server.watches.all_watches));
    give("ephemerals_count", whole(server.ephemerals));
    give("approximate_data_size", whole(server.data_size));
    give("global_sessions", whole(server.sessions));
    give("local_sessions", Value::Whole(0));
    if let Some((open, max)) = server.files {
        give("open_file_descriptor_count", whole(open));
        give("max_file_descriptor_count", whole(max));
    }
    give("connection_drop_probability", Value::Part(Decimal::from(0)));
    give("last_client_response_size", Value::Whole(sizes.last));
    give("max_client_response_size", Value::Whole(sizes.max));
    give("min_client_response_size", Value::Whole(sizes.min));
}

fn whole(n: impl TryInto<i64>) -> Value {
    Value::Whole(n.try_into().unwrap_or(i64::MAX))
}

/// How many watches were told of each kind of change.
pub(super) fn told(server: &Server<'_>, give: &mut impl FnMut(&'static str, u64)) {
    let names = ["created", "deleted", "changed", "children"];
    for (kind, name) in EventKind::ALL.iter().zip(names) {
        give(name, server.watches.told[*kind as usize - 1]);
    }
}

fn distribution(measure: Measure, stats: &Stats, out: &mut Vec<u8>) {
    let (name, scale) = (measure.name(), measure.scale());
    let histogram = stats.measured(measure);
    let spread = &histogram.spread;
    put!(out, "zk_avg_{name}\t{}\n", spread.mean(scale));
    put!(out, "zk_min_{name}\t{}\n", spread.min(scale));
    put!(out, "zk_max_{name}\t{}\n", spread.max(scale));
    put!(out, "zk_cnt_{name}\t{}\n", spread.count());
    put!(out, "zk_sum_{name}\t{}\n", spread.sum(scale));
    for (label, mille) in [("p50", 500), ("p95", 950), ("p99", 990), ("p999", 999)] {
        put!(out, "zk_{label}_{name}\t{}\n", histogram.per_mille(mille, scale));
    }
}
