// SPDX-License-Identifier: Apache-2.0
//! Settings that ZooKeeper reads from system properties, grouped by the part they tune.
use super::number;
use super::report::{NoticeKind, Setting};
use super::settings::{MAX_INT, Number, Settings};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const MS: &str = "milliseconds";

fn count(default: i64) -> Number {
    Number { range: 0..=MAX_INT, default, unit: "a number" }
}

fn millis(default: i64) -> Number {
    Number { range: 0..=MAX_INT, default, unit: MS }
}

/// The transaction log and snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// `snapCount`: a snapshot after half to all of this many transactions; at least 2.
    pub snap_count: u32,
    /// `snapSizeLimitInKb` in bytes: a snapshot after half to all of this much log.
    pub snap_size_limit: Option<u64>,
    /// `txnLogSizeLimitInKb` in bytes: a new log file beyond it.
    pub log_size_limit: Option<u64>,
    /// `preAllocSize` in bytes: zeroes written ahead of the log's end; 0 is none.
    pub prealloc_bytes: u64,
    /// `forceSync`: whether an acknowledged write waits for the disk.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`.
    pub fsync_warning_ms: u32,
    /// `datadir.autocreate`: make missing directories.
    pub create_directories: bool,
    /// `db.autocreate`: an empty directory may start as an empty database and vote.
    pub create_database: bool,
    /// `snapshot.trust.empty`: as `true` does in ZooKeeper, start from logs without a snapshot.
    pub trust_empty_snapshot: bool,
    /// `snapshot.compression.method`.
    pub compression: Compression,
    /// `serializeLastProcessedZxid.enabled`: snapshots end with the last zxid applied.
    pub last_zxid_in_snapshot: bool,
    /// `digest.enabled`: the tree's digest is kept and compared.
    pub digest: bool,
    /// `closeSessionTxn.enabled`: a closeSession names the nodes it deletes.
    pub close_session_paths: bool,
    /// `commitLogCount`: proposals kept in memory for learners; at least 500.
    pub commit_log_count: u32,
    /// Transactions of one epoch at most, and then the leader steps down for another one. No key:
    /// the counter has 32 bits. Simulated worlds set less.
    pub epoch_length: u32,
    /// By how much a znode's version grows. No key: it is 1. Simulated worlds set more, so that
    /// versions wrap within a few updates.
    pub version_step: i32,
    /// `snapshotSizeFactor` in millionths: how much log, by the size of a snapshot, is sent
    /// before a snapshot is; `None` sends no log from disk.
    pub log_to_snapshot_millionths: Option<u32>,
    /// `flushDelay`.
    pub flush_delay_ms: u32,
    /// `maxWriteQueuePollTime`; a third of `flushDelay` if not set.
    pub max_write_queue_poll_ms: u32,
    /// `maxBatchSize`: transactions in one batch.
    pub max_batch_size: u32,
}

/// The length of an epoch: what is staged in its last turn still has numbers.
pub const EPOCH_LENGTH: u32 = u32::MAX - (1 << 20);

/// How snapshot files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As `.gz`.
    Gzip,
    /// As `.snappy`.
    Snappy,
}

impl Storage {
    pub(super) fn read(s: &mut Settings) -> Self {
        let flush_delay_ms = millis_of(s, "flushDelay", 0);
        let methods =
            [("", Compression::None), ("gz", Compression::Gzip), ("snappy", Compression::Snappy)];
        let compression = s.property("snapshot.compression.method");
        Self {
            snap_count: at_least(s, "snapCount", 2, 100_000),
            snap_size_limit: kib_limit(s, "snapSizeLimitInKb", 4_194_304),
            log_size_limit: kib_limit(s, "txnLogSizeLimitInKb", -1),
            prealloc_bytes: prealloc_bytes(s),
            force_sync: yes_no(s, "forceSync", true),
            fsync_warning_ms: fsync_warning_ms(s),
            create_directories: flag(s, "datadir.autocreate", true),
            create_database: flag(s, "db.autocreate", true),
            trust_empty_snapshot: flag(s, "snapshot.trust.empty", false),
            compression: s.choice(compression, Compression::None, &methods),
            last_zxid_in_snapshot: flag(s, "serializeLastProcessedZxid.enabled", true),
            digest: flag(s, "digest.enabled", true),
            close_session_paths: flag(s, "closeSessionTxn.enabled", true),
            commit_log_count: at_least(s, "commitLogCount", 500, 500),
            epoch_length: EPOCH_LENGTH,
            version_step: 1,
            log_to_snapshot_millionths: log_to_snapshot(s),
            flush_delay_ms,
            max_write_queue_poll_ms: millis_of(
                s,
                "maxWriteQueuePollTime",
                i64::from(flush_delay_ms / 3),
            ),
            max_batch_size: count_of(s, "maxBatchSize", 1_000),
        }
    }
}

/// Limits on requests and on what is in process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    /// `jute.maxbuffer`: the largest frame.
    pub max_buffer: u32,
    /// `jute.maxbuffer.extrasize`: what stored records may be larger; at least 1024.
    pub max_buffer_extra: u32,
    /// `globalOutstandingLimit`.
    pub global_outstanding_limit: u32,
    /// `largeRequestThreshold`: requests above it share `large_max_bytes`.
    pub large_threshold: Option<u32>,
    /// `largeRequestMaxBytes`.
    pub large_max_bytes: u32,
    /// `request_throttle_max_requests`; 0 is no limit.
    pub throttle_max_requests: u32,
    /// `request_throttle_stall_time`.
    pub throttle_stall_ms: u32,
    /// `request_throttle_drop_stale`.
    pub drop_stale: bool,
    /// `request_stale_latency_check`.
    pub stale_latency_check: bool,
    /// `request_stale_connection_check`.
    pub stale_connection_check: bool,
    /// `throttled_op_wait_time`; 0 throttles nothing.
    pub throttled_op_wait_ms: u32,
    /// `maxResponseCacheSize`, in replies.
    pub response_cache: u32,
    /// `maxGetChildrenResponseCacheSize`, in replies.
    pub children_response_cache: u32,
}

impl Requests {
    /// The largest buffer that is read from another server or a file: more than a client may send,
    /// for a record is what a client sent and some bytes more, and whatever was stored must be
    /// readable to all (`BinaryInputArchive.checkLength`).
    pub fn longest_record(&self) -> u32 {
        self.max_buffer.saturating_add(self.max_buffer_extra).min(i32::MAX as u32)
    }

    pub(super) fn read(s: &mut Settings) -> Self {
        let buffer = |default| Number { range: 1..=MAX_INT, default, unit: "bytes" };
        let setting = s.bare_property("jute.maxbuffer");
        let max_buffer: u32 = s.decoded(setting, &buffer(0xf_ffff));
        let setting = s.property("jute.maxbuffer.extrasize");
        let max_buffer_extra: u32 = s.decoded(setting, &buffer(i64::from(max_buffer)));
        let setting = s.property("largeRequestThreshold").filter(|setting| setting.value != "-1");
        let threshold = setting.map(|setting| s.decoded(Some(setting), &buffer(1)));
        let setting = s.property("largeRequestMaxBytes");
        let large_max_bytes = s.decoded(setting, &buffer(100 << 20));
        Self {
            max_buffer,
            max_buffer_extra: max_buffer_extra.max(1024),
            global_outstanding_limit: count_of(s, "globalOutstandingLimit", 1_000),
            large_threshold: threshold,
            large_max_bytes,
            throttle_max_requests: count_of(s, "request_throttle_max_requests", 0),
            throttle_stall_ms: millis_of(s, "request_throttle_stall_time", 100),
            drop_stale: flag(s, "request_throttle_drop_stale", true),
            stale_latency_check: flag(s, "request_stale_latency_check", false),
            stale_connection_check: flag(s, "request_stale_connection_check", true),
            throttled_op_wait_ms: millis_of(s, "throttled_op_wait_time", 0),
            response_cache: count_of(s, "maxResponseCacheSize", 400),
            children_response_cache: count_of(s, "maxGetChildrenResponseCacheSize", 400),
        }
    }
}

/// Authentication, ACLs and quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// `skipACL`: every check passes.
    pub skip_acl: bool,
    /// `enableEagerACLCheck`: a learner refuses before it forwards.
    pub eager_acl_check: bool,
    /// `DigestAuthenticationProvider.superDigest`: `super:` and a digest.
    pub super_digest: Option<String>,
    /// `DigestAuthenticationProvider.enabled`.
    pub digest_scheme: bool,
    /// `DigestAuthenticationProvider.digestAlg`.
    pub digest_algorithm: DigestAlgorithm,
    /// `superUser` and `superUser.*`: SASL identities with every right.
    pub super_users: Vec<String>,
    /// `X509AuthenticationProvider.superUser`.
    pub x509_super_user: Option<String>,
    /// `authProvider.*`.
    pub providers: Vec<AuthProvider>,
    /// `ensembleAuthName` and its provider.
    pub ensemble: EnsembleScheme,
    /// `enforce.auth.*` and `sessionRequireClientSASLAuth`: schemes of which a client needs one
    /// before any request; empty if none is needed.
    pub required_schemes: Vec<String>,
    /// `allowSaslFailedClients`.
    pub allow_sasl_failed: bool,
    /// `IPAuthenticationProvider.usexforwardedfor`: whose address a request over HTTP comes from.
    /// A client's connection has no such header.
    pub ip_from_forwarded_header: bool,
    /// `extendedTypesEnabled`: TTL nodes may be made.
    pub extended_types: bool,
    /// `enforceQuota`: hard quotas refuse.
    pub enforce_quota: bool,
}

/// What scheme `digest` hashes passwords with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-1: what clients and existing ACLs expect.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-512/224.
    Sha512To224,
    /// SHA-512/256.
    Sha512To256,
}

/// By the names that Java has for them.
const DIGEST_ALGORITHMS: [(&str, DigestAlgorithm); 9] = [
    ("SHA1", DigestAlgorithm::Sha1),
    ("SHA-1", DigestAlgorithm::Sha1),
    ("SHA", DigestAlgorithm::Sha1),
    ("SHA-224", DigestAlgorithm::Sha224),
    ("SHA-256", DigestAlgorithm::Sha256),
    ("SHA-384", DigestAlgorithm::Sha384),
    ("SHA-512", DigestAlgorithm::Sha512),
    ("SHA-512/224", DigestAlgorithm::Sha512To224),
    ("SHA-512/256", DigestAlgorithm::Sha512To256),
];

/// One `authProvider.<suffix>` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthProvider {
    /// What follows `authProvider.`.
    pub suffix: String,
    /// The name of a Java class.
    pub class: String,
}

/// Scheme `ensemble`: a client says which ensemble it means, and is sent on if this is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnsembleScheme {
    /// No `authProvider.*` names `EnsembleAuthenticationProvider`: there is no such scheme.
    Off,
    /// Any name is right: `ensembleAuthName` is not set.
    AnyName,
    /// These names are right.
    Named(Vec<String>),
}

impl Security {
    pub(super) fn read(s: &mut Settings) -> Self {
        let algorithm = s.property("DigestAuthenticationProvider.digestAlg");
        let providers = providers(s);
        Self {
            skip_acl: yes_no(s, "skipACL", false),
            eager_acl_check: flag(s, "enableEagerACLCheck", false),
            super_digest: text(s, "DigestAuthenticationProvider.superDigest"),
            digest_scheme: flag(s, "DigestAuthenticationProvider.enabled", true),
            digest_algorithm: s.choice(algorithm, DigestAlgorithm::Sha1, &DIGEST_ALGORITHMS),
            super_users: s.properties_under("superUser").into_iter().map(|v| v.value).collect(),
            x509_super_user: text(s, "X509AuthenticationProvider.superUser"),
            ensemble: ensemble_scheme(text(s, "ensembleAuthName"), &providers),
            providers,
            required_schemes: required_schemes(s),
            allow_sasl_failed: flag(s, "allowSaslFailedClients", false),
            ip_from_forwarded_header: flag(s, "IPAuthenticationProvider.usexforwardedfor", false),
            extended_types: flag(s, "extendedTypesEnabled", false),
            enforce_quota: flag(s, "enforceQuota", false),
        }
    }
}

/// The reaper of container and TTL nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Containers {
    /// `znode.container.checkIntervalMs`.
    pub check_interval_ms: u32,
    /// `znode.container.maxPerMinute`.
    pub max_per_minute: u32,
    /// `znode.container.maxNeverUsedIntervalMs`: when a container that never had a child goes;
    /// 0 is never.
    pub max_never_used_ms: u64,
}

impl Containers {
    pub(super) fn read(s: &mut Settings) -> Self {
        let positive = |default, unit| Number { range: 1..=MAX_INT, default, unit };
        let interval = s.bare_property("znode.container.checkIntervalMs");
        let rate = s.bare_property("znode.container.maxPerMinute");
        let never_used = s.bare_property("znode.container.maxNeverUsedIntervalMs");
        let never_used_spec = Number { range: 0..=i64::MAX, default: 0, unit: MS };
        Self {
            check_interval_ms: s.decoded(interval, &positive(60_000, MS)),
            max_per_minute: s.decoded(rate, &positive(10_000, "a number")),
            max_never_used_ms: s.decoded(never_used, &never_used_spec),
        }
    }
}

/// The administrative HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `admin.enableServer`. ZooKeeper 3.9 has it on, 3.10 and Menagerie off.
    pub enabled: bool,
    /// `admin.serverAddress` and `admin.serverPort`.
    pub listen: super::Endpoint,
    /// `admin.commandURL`.
    pub command_url: String,
    /// `admin.idleTimeout`.
    pub idle_timeout_ms: u32,
    /// `admin.snapshot.enabled`.
    pub snapshot: bool,
    /// `admin.restore.enabled`.
    pub restore: bool,
    /// `admin.rateLimiterIntervalInMS`.
    pub rate_limit_ms: u32,
}

impl Admin {
    pub(super) fn read(s: &mut Settings) -> Self {
        let _ = s.properties_under("admin.");
        let host = text(s, "admin.serverAddress").filter(|host| host != "0.0.0.0");
        let port = s.property("admin.serverPort");
        let spec = Number { range: 0..=65_535, default: 8_080, unit: "a port" };
        let port = s.decoded(port, &spec);
        Self {
            enabled: flag(s, "admin.enableServer", false),
            listen: super::Endpoint { host, port },
            command_url: text(s, "admin.commandURL").unwrap_or_else(|| "/commands".into()),
            idle_timeout_ms: millis_of(s, "admin.idleTimeout", 30_000),
            snapshot: flag(s, "admin.snapshot.enabled", true),
            restore: flag(s, "admin.restore.enabled", true),
            rate_limit_ms: millis_of(s, "admin.rateLimiterIntervalInMS", 300_000),
        }
    }
}

/// Watches for stalls of the process itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallMonitor {
    /// `jvm.pause.monitor`.
    pub enabled: bool,
    /// `jvm.pause.sleep.time.ms`: how often it looks.
    pub sleep_ms: u64,
    /// `jvm.pause.info-threshold.ms`.
    pub info_ms: u64,
    /// `jvm.pause.warn-threshold.ms`.
    pub warn_ms: u64,
}

impl StallMonitor {
    pub(super) fn read(s: &mut Settings) -> Self {
        let mut long = |key, default| {
            let setting = s.key(key);
            s.number(setting, &Number { range: 1..=i64::MAX, default, unit: MS })
        };
        Self {
            sleep_ms: long("jvm.pause.sleep.time.ms", 500),
            info_ms: long("jvm.pause.info-threshold.ms", 1_000),
            warn_ms: long("jvm.pause.warn-threshold.ms", 10_000),
            enabled: key_flag(s, "jvm.pause.monitor", false),
        }
    }
}

/// A key of the file that is `true` or `false`.
pub(super) fn key_flag(s: &mut Settings, key: &str, default: bool) -> bool {
    let setting = s.key(key);
    s.boolean(setting, default)
}

/// A property that is `yes` or `no`, as a few of ZooKeeper's oldest are.
pub(super) fn yes_no(s: &mut Settings, name: &str, default: bool) -> bool {
    let setting = s.property(name);
    s.choice(setting, default, &[("yes", true), ("no", false)])
}

/// A property that is `true` or `false`.
pub(super) fn flag(s: &mut Settings, name: &str, default: bool) -> bool {
    let setting = s.property(name);
    s.boolean(setting, default)
}

/// A property that counts something, from 0.
pub(super) fn count_of(s: &mut Settings, name: &str, default: i64) -> u32 {
    let setting = s.property(name);
    s.decoded(setting, &count(default))
}

/// A property in milliseconds.
pub(super) fn millis_of(s: &mut Settings, name: &str, default: i64) -> u32 {
    let setting = s.property(name);
    s.decoded(setting, &millis(default))
}

fn text(s: &mut Settings, name: &str) -> Option<String> {
    s.property(name).map(|setting| setting.value)
}

/// Numbers that ZooKeeper raises to a minimum, with a warning.
fn at_least(s: &mut Settings, name: &str, minimum: u32, default: i64) -> u32 {
    let setting = s.property(name);
    let spec = Number { range: -MAX_INT..=MAX_INT, default, unit: "a number" };
    let wanted: i64 = s.decoded(setting.clone(), &spec);
    let value = u32::try_from(wanted).unwrap_or(0).max(minimum);
    if let Some(setting) = setting.filter(|_| wanted < i64::from(minimum)) {
        let text = format!("{}={wanted} is raised to {minimum}", setting.key);
        s.note(&setting.origin, NoticeKind::Adjusted, text);
    }
    value
}

const MAX_KIB: i64 = i64::MAX >> 10;

/// A limit in KiB that is off when it is not positive.
fn kib_limit(s: &mut Settings, name: &str, default: i64) -> Option<u64> {
    let setting = s.property(name);
    let kib: i64 = s.decoded(setting, &Number { range: -MAX_KIB..=MAX_KIB, default, unit: "KiB" });
    u64::try_from(kib).ok().filter(|&kib| kib > 0).map(|kib| kib << 10)
}

fn prealloc_bytes(s: &mut Settings) -> u64 {
    let setting = s.property("preAllocSize");
    let spec = Number { range: 0..=MAX_INT, default: 65_536, unit: "KiB" };
    s.number::<u64>(setting, &spec) << 10
}

/// The prefixed name comes first, then the bare one.
fn fsync_warning_ms(s: &mut Settings) -> u32 {
    let name = "fsync.warningthresholdms";
    let setting = s.property(name).or_else(|| s.defined(name));
    s.decoded(setting, &millis(1_000))
}

fn log_to_snapshot(s: &mut Settings) -> Option<u32> {
    let setting = s.property("snapshotSizeFactor");
    let spec = Number { range: -MAX_INT..=1_000_000, default: 330_000, unit: "a factor" };
    let Some(setting) = setting else { return Some(330_000) };
    let value = number::millionths(&setting.value).ok().filter(|value| spec.range.contains(value));
    if value.is_none() {
        s.wrong(&setting, "not a factor", "write a fraction up to 1, such as 0.33; -1 is off");
    }
    value.and_then(|value| u32::try_from(value).ok())
}

fn providers(s: &mut Settings) -> Vec<AuthProvider> {
    let settings = s.properties_under("authProvider.");
    for setting in &settings {
        let why = match simple_name(&setting.value) {
            "DigestAuthenticationProvider" | "IPAuthenticationProvider" | ENSEMBLE_PROVIDER => {
                continue;
            }
            "SASLAuthenticationProvider" => "this version offers no SASL",
            "X509AuthenticationProvider" => "this version speaks no TLS",
            _ => "classes of Java are not loaded here",
        };
        let text = format!("{} has no effect: {why}; its scheme is refused", setting.key);
        s.note(&setting.origin, NoticeKind::NoEffect, text);
    }
    let provider = |setting: Setting| {
        let (_, suffix) = setting.key.split_once("authProvider.")?;
        Some(AuthProvider { suffix: suffix.to_owned(), class: setting.value })
    };
    settings.into_iter().filter_map(provider).collect()
}

const ENSEMBLE_PROVIDER: &str = "EnsembleAuthenticationProvider";

/// The name of a Java class without its package.
fn simple_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

fn ensemble_scheme(names: Option<String>, providers: &[AuthProvider]) -> EnsembleScheme {
    let offered = providers.iter().any(|one| simple_name(&one.class) == ENSEMBLE_PROVIDER);
    match names {
        _ if !offered => EnsembleScheme::Off,
        None => EnsembleScheme::AnyName,
        names => EnsembleScheme::Named(list(names)),
    }
}

/// Schemes that a client can show an identity of.
const REQUIRABLE: [&str; 4] = ["digest", "ip", "sasl", "x509"];

fn required_schemes(s: &mut Settings) -> Vec<String> {
    let sasl = flag(s, "sessionRequireClientSASLAuth", false);
    let enforced = s.property("enforce.auth.enabled");
    let enabled = s.boolean(enforced.clone(), false);
    let named = s.property("enforce.auth.schemes");
    let schemes = list(named.as_ref().map(|setting| setting.value.clone()));
    let unknown = schemes.iter().find(|name| !REQUIRABLE.contains(&name.as_str()));
    if let (Some(named), Some(unknown)) = (named, unknown) {
        let problem = format!("there is no scheme '{unknown}' that a client could prove");
        s.wrong(&named, &problem, &format!("write one or more of {}", REQUIRABLE.join(",")));
    }
    if sasl {
        return Vec::from(["sasl".to_owned()]);
    }
    if let Some(enforced) = enforced.filter(|_| enabled && schemes.is_empty()) {
        let remedy = "add a line such as enforce.auth.schemes=digest,sasl";
        s.wrong(&enforced, "enforces no scheme", remedy);
    }
    if enabled { schemes } else { Vec::new() }
}

fn list(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
