// SPDX-License-Identifier: Apache-2.0
//! The short texts, and the single lines of the long ones.

use core::fmt::Write;

use alloc::vec::Vec;

use super::{Conf, Connection, Figures, LinkStats, Server, SessionId};
use crate::{
    proto::EventKind,
    serve::stats::{Counter, Measure, Stats},
};

/// Bytes that text is written to; writing to memory cannot fail.
pub(super) struct Out<'a>(pub &'a mut Vec<u8>);

impl Write for Out<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
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
    gauges(server, stats, out);
    for &counter in Counter::ALL {
        put!(out, "zk_{}\t{}\n", counter.name(), stats.counted(counter));
    }
    for &measure in Measure::ALL {
        distribution(measure, stats, out);
    }
    let told = ["created", "deleted", "changed", "children"];
    for (kind, name) in EventKind::ALL.iter().zip(told) {
        let sum = server.watches.told[*kind as usize - 1];
        put!(out, "zk_sum_node_{name}_watch_count\t{sum}\n");
    }
}

fn gauges(server: &Server<'_>, stats: &Stats, out: &mut Vec<u8>) {
    let latency = &stats.latency;
    put!(out, "zk_avg_latency\t{}\n", latency.mean(1_000));
    put!(out, "zk_max_latency\t{}\n", latency.max(1_000));
    put!(out, "zk_min_latency\t{}\n", latency.min(1_000));
    put!(out, "zk_packets_received\t{}\n", stats.packets_received);
    put!(out, "zk_packets_sent\t{}\n", stats.packets_sent);
    put!(out, "zk_num_alive_connections\t{}\n", server.connections);
    put!(out, "zk_outstanding_requests\t{}\n", server.outstanding);
    put!(out, "zk_uptime\t{}\n", server.now.mono.since(server.since).as_millis());
    put!(out, "zk_znode_count\t{}\n", server.nodes);
    put!(out, "zk_watch_count\t{}\n", server.watches.all_watches);
    put!(out, "zk_ephemerals_count\t{}\n", server.ephemerals);
    put!(out, "zk_approximate_data_size\t{}\n", server.data_size);
    put!(out, "zk_global_sessions\t{}\n", server.sessions);
    put!(out, "zk_local_sessions\t0\n");
    if let Some((open, max)) = server.files {
        put!(out, "zk_open_file_descriptor_count\t{open}\n");
        put!(out, "zk_max_file_descriptor_count\t{max}\n");
    }
    put!(out, "zk_connection_drop_probability\t0.0\n");
    put!(out, "zk_last_client_response_size\t{}\n", stats.response_size.last);
    put!(out, "zk_max_client_response_size\t{}\n", stats.response_size.max);
    put!(out, "zk_min_client_response_size\t{}\n", stats.response_size.min);
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
