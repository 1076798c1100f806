// SPDX-License-Identifier: Apache-2.0
//! Counters and distributions: what the words, the metrics and the admin port report of.

use core::{fmt, time::Duration};

use alloc::boxed::Box;

use crate::{id::Zxid, proto::OpCode, time::Instant};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl $name {
            /// Each of them, in the order in which they are reported.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// Its name in `mntr` and in metrics, as Java has it.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }
    };
}

named! {
    /// Things that are counted.
    Counter {
        /// Handshakes that asked for a session, new or old.
        ConnectionRequests = "connection_request_count",
        /// Connections refused: too many, or too many from one address.
        ConnectionsRejected = "connection_rejected",
        /// Connections hung up on.
        ConnectionsDropped = "connection_drop_count",
        /// Handshakes that resumed a session.
        ConnectionsRevalidated = "connection_revalidate_count",
        /// Connections without a handshake that were hung up on in the end.
        SessionlessExpired = "sessionless_connections_expired",
        /// Sessions that expired.
        SessionsExpired = "stale_sessions_expired",
        /// Bytes from clients.
        BytesReceived = "bytes_received_count",
        /// Bytes of replies.
        ResponseBytes = "response_bytes",
        /// Bytes of watch events.
        WatchBytes = "watch_bytes",
        /// Transactions applied.
        Commits = "commit_count",
        /// Requests over the size limit.
        LargeRequestsRejected = "large_requests_rejected",
        /// Failed authentications.
        AuthFailed = "auth_failed_count",
        /// Snapshots that could not be written.
        SnapshotErrors = "snapshot_error_count",
        /// Transactions after which the tree's digest was not the one they carry.
        DigestMismatches = "digest_mismatches_count",
    }
}

named! {
    /// Things that are measured. Durations are kept in microseconds and reported in milliseconds.
    Measure {
        /// A sync of the transaction log.
        FsyncTime = "fsynctime",
        /// A snapshot, from its point in time until it is durable.
        SnapshotTime = "snapshottime",
        /// Start-up as a whole.
        DbInitTime = "dbinittime",
        /// A read, from its arrival to its reply.
        ReadLatency = "readlatency",
        /// A write, from its arrival to its reply.
        UpdateLatency = "updatelatency",
        /// A write's wait for the log, from its preparation until it is durable.
        FlushTime = "sync_processor_queue_and_flush_time_ms",
        /// Transactions in one sync.
        BatchSize = "sync_processor_batch_size",
        /// Transactions replayed at start-up.
        TxnsLoaded = "startup_txns_loaded",
    }
}

impl Measure {
    /// How many recorded units make a reported one.
    pub const fn scale(self) -> u64 {
        match self {
            Measure::BatchSize | Measure::TxnsLoaded => 1,
            _ => 1_000,
        }
    }
}

/// Everything one server counts and measures.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Packets from clients, words included.
    pub packets_received: u64,
    /// Packets to clients.
    pub packets_sent: u64,
    /// All requests, from arrival to reply, in microseconds.
    pub latency: Spread,
    /// Sizes of replies, in bytes.
    pub response_size: Sizes,
    counters: [u64; Counter::ALL.len()],
    measures: Box<[Histogram; Measure::ALL.len()]>,
}

impl Stats {
    /// Nothing happened yet.
    pub fn new() -> Stats {
        Stats {
            packets_received: 0,
            packets_sent: 0,
            latency: Spread::new(),
            response_size: Sizes::new(),
            counters: [0; Counter::ALL.len()],
            measures: Box::new([const { Histogram::new() }; Measure::ALL.len()]),
        }
    }

    /// Counts `n` more.
    pub fn count(&mut self, what: Counter, n: u64) {
        self.counters[what as usize] += n;
    }

    /// A counter's value.
    pub fn counted(&self, what: Counter) -> u64 {
        self.counters[what as usize]
    }

    /// Records a plain value.
    pub fn measure(&mut self, what: Measure, value: u64) {
        self.measures[what as usize].record(value);
    }

    /// Records a duration.
    pub fn time(&mut self, what: Measure, took: Duration) {
        self.measure(what, micros(took));
    }

    /// What was recorded.
    pub fn measured(&self, what: Measure) -> &Histogram {
        &self.measures[what as usize]
    }

    /// Records a reply to a request that came `took` ago: a read's, a write's, or neither's.
    pub fn answered(&mut self, kind: Option<Measure>, took: Duration, bytes: usize) {
        self.packets_sent += 1;
        self.latency.record(micros(took));
        self.response_size.record(bytes as u64);
        self.count(Counter::ResponseBytes, bytes as u64);
        if let Some(kind) = kind {
            self.time(kind, took);
        }
    }

    /// Forgets everything, for the `srst` word.
    pub fn reset(&mut self) {
        *self = Stats::new();
    }
}

impl Default for Stats {
    fn default() -> Stats {
        Stats::new()
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// Smallest, largest, mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

impl Spread {
    /// Nothing recorded.
    pub const fn new() -> Spread {
        Spread { count: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Records a value.
    pub fn record(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum in reported units, rounded down.
    pub fn sum(&self, scale: u64) -> u64 {
        self.sum / scale
    }

    /// The smallest in reported units, rounded down; 0 of none.
    pub fn min(&self, scale: u64) -> u64 {
        if self.count == 0 { 0 } else { self.min / scale }
    }

    /// The largest in reported units, rounded up, so that the mean lies between; 0 of none.
    pub fn max(&self, scale: u64) -> u64 {
        self.max.div_ceil(scale)
    }

    /// The mean in reported units.
    pub fn mean(&self, scale: u64) -> Decimal {
        let parts = u128::from(self.count) * u128::from(scale);
        let whole = u128::from(self.sum) * 10_000;
        Decimal { ten_thousandths: (whole + parts / 2).checked_div(parts).unwrap_or(0) }
    }
}

impl Default for Spread {
    fn default() -> Spread {
        Spread::new()
    }
}

/// A number with four decimals, printed as Java prints a double: what monitors parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    ten_thousandths: u128,
}

impl From<u64> for Decimal {
    fn from(whole: u64) -> Decimal {
        Decimal { ten_thousandths: u128::from(whole) * 10_000 }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut whole, mut part) = (self.ten_thousandths / 10_000, self.ten_thousandths % 10_000);
        if whole == 0 && (1..10).contains(&part) {
            return write!(f, "{part}.0E-4");
        }
        // From ten million on, Java moves the point behind the first digit.
        let (mut digits, mut exponent) = (4, 0);
        while whole >= 10_000_000 || exponent > 0 && whole >= 10 {
            part += whole % 10 * 10_u128.pow(digits);
            whole /= 10;
            digits += 1;
            exponent += 1;
        }
        while digits > 1 && part % 10 == 0 {
            part /= 10;
            digits -= 1;
        }
        write!(f, "{whole}.{part:0width$}", width = digits as usize)?;
        if exponent > 0 { write!(f, "E{exponent}") } else { Ok(()) }
    }
}

/// Last, smallest, largest; -1 before the first, as Java reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The last size.
    pub last: i64,
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

impl Sizes {
    /// Nothing recorded.
    pub const fn new() -> Sizes {
        Sizes { last: -1, min: -1, max: -1 }
    }

    /// Records a size.
    pub fn record(&mut self, size: u64) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.last = size;
        self.min = if self.min < 0 { size } else { self.min.min(size) };
        self.max = self.max.max(size);
    }
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes::new()
    }
}

/// Sub-buckets of each power of two: percentiles are at most an eighth too high.
const SUB: usize = 8;
/// Values from 2^41 on share the last bucket.
const BUCKETS: usize = SUB * 39;

/// A distribution in logarithmic buckets, of constant size.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// The exact figures.
    pub spread: Spread,
    buckets: [u64; BUCKETS],
}

impl Histogram {
    /// Nothing recorded.
    pub const fn new() -> Histogram {
        Histogram { spread: Spread::new(), buckets: [0; BUCKETS] }
    }

    /// Records a value.
    pub fn record(&mut self, value: u64) {
        self.spread.record(value);
        self.buckets[Self::bucket(value)] += 1;
    }

    /// The value that this many of a thousand do not exceed, in reported units, rounded up.
    pub fn per_mille(&self, mille: u64, scale: u64) -> u64 {
        let rank = (u128::from(self.spread.count) * u128::from(mille)).div_ceil(1_000) as u64;
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if *count > 0 && below >= rank {
                return Self::top(bucket).min(self.spread.max).div_ceil(scale);
            }
        }
        0
    }

    fn bucket(value: u64) -> usize {
        let value = value as usize;
        if value < SUB {
            return value;
        }
        let power = value.ilog2() as usize - 3;
        (power * SUB + (value >> power)).min(BUCKETS - 1)
    }

    /// The largest value of a bucket.
    fn top(bucket: usize) -> u64 {
        match bucket {
            0..SUB => bucket as u64,
            last if last == BUCKETS - 1 => u64::MAX,
            _ => {
                let power = bucket / SUB - 1;
                ((bucket % SUB + SUB + 1) << power) as u64 - 1
            }
        }
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

/// What one connection did: a line of `cons`.
#[derive(Clone, Copy, Debug)]
pub struct LinkStats {
    /// When it came, in milliseconds since the Unix epoch.
    pub established_ms: i64,
    /// Packets from it.
    pub received: u64,
    /// Packets to it.
    pub sent: u64,
    /// The last operation answered.
    pub last_op: &'static str,
    /// The xid of the last request proper; -1 for none.
    pub last_cxid: i32,
    /// The zxid in the last reply; -1 for none.
    pub last_zxid: Zxid,
    /// When the last reply was sent.
    pub last_response: Instant,
    /// The last request's latency, in microseconds.
    pub last_latency: u64,
    /// All of them, in microseconds.
    pub latency: Spread,
}

impl LinkStats {
    /// A connection that just came.
    pub fn new(established_ms: i64) -> LinkStats {
        LinkStats {
            established_ms,
            received: 0,
            sent: 0,
            last_op: "NA",
            last_cxid: -1,
            last_zxid: Zxid(-1),
            last_response: Instant::ZERO,
            last_latency: 0,
            latency: Spread::new(),
        }
    }

    /// Records a reply to a request that came at `since`.
    pub fn answered(&mut self, op: OpCode, cxid: i32, zxid: Zxid, since: Instant, now: Instant) {
        self.sent += 1;
        if cxid >= 0 {
            self.last_cxid = cxid;
        }
        self.last_zxid = zxid;
        self.last_op = op_label(op);
        self.last_response = now;
        self.last_latency = micros(now - since);
        self.latency.record(self.last_latency);
    }

    /// Forgets all but when it came, for the `crst` word.
    pub fn reset(&mut self) {
        *self = LinkStats::new(self.established_ms);
    }
}

/// Java's short names of operations, as `cons` shows the last one.
fn op_label(op: OpCode) -> &'static str {
    match op {
        OpCode::Ping => "PING",
        OpCode::CreateSession => "SESS",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Create | OpCode::Create2 | OpCode::CreateTtl | OpCode::CreateContainer => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::SetData => "SETD",
        OpCode::Reconfig => "RECO",
        OpCode::SetAcl => "SETA",
        OpCode::CloseSession => "CLOS",
        OpCode::Sync => "SYNC",
        OpCode::Check => "CHEC",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::GetAcl => "GETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::WhoAmI => "HOMI",
        OpCode::GetEphemerals => "GETE",
        OpCode::Notification | OpCode::Auth | OpCode::Sasl | OpCode::Error => "NA",
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn means_print_as_javas_doubles() {
        let print = |sum, count| {
            let spread = Spread { count, sum, min: 0, max: 0 };
            spread.mean(1).to_string()
        };
        assert_eq!(print(0, 0), "0.0");
        assert_eq!(print(1, 3), "0.3333");
        assert_eq!(print(2, 3), "0.6667");
        assert_eq!(print(10, 4), "2.5");
        assert_eq!(print(7, 1), "7.0");
        assert_eq!(print(100, 1), "100.0");
        assert_eq!(print(12_345_678, 1_000), "12345.678");
        assert_eq!(print(1, 20_000), "1.0E-4");
        assert_eq!(print(3, 1_000), "0.003");
        assert_eq!(print(9_999_999, 1), "9999999.0");
        assert_eq!(print(10_000_000, 1), "1.0E7");
        assert_eq!(print(123_456_789, 2), "6.17283945E7");
    }

    #[test]
    fn milliseconds_enclose_their_mean() {
        let mut spread = Spread::new();
        spread.record(400);
        spread.record(1_700);
        assert_eq!((spread.min(1_000), spread.max(1_000)), (0, 2));
        assert_eq!(spread.mean(1_000).to_string(), "1.05");
    }

    #[test]
    fn percentiles_are_at_most_an_eighth_too_high() {
        let mut histogram = Histogram::new();
        for value in 1..=10_000 {
            histogram.record(value);
        }
        for (mille, exact) in [(500, 5_000), (950, 9_500), (990, 9_900), (999, 9_990)] {
            let found = histogram.per_mille(mille, 1);
            assert!((exact..=exact + exact / 8).contains(&found), "{mille}: {found}");
        }
        assert_eq!(Histogram::new().per_mille(500, 1), 0);
    }

    #[test]
    fn buckets_cover_every_value_once() {
        for value in (0..5_000).chain([1 << 39, (1 << 40) + 1, u64::MAX]) {
            let bucket = Histogram::bucket(value);
            assert!(value <= Histogram::top(bucket), "{value}");
            assert!(bucket == 0 || value > Histogram::top(bucket - 1), "{value}");
        }
    }
}
