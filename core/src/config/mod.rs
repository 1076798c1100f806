// SPDX-License-Identifier: Apache-2.0
//! The text of a ZooKeeper configuration as typed values: pure functions, no files.
//!
//! A configuration is read in two steps, because the second needs what the first found:
//! [`StaticConfig::parse`] takes `zoo.cfg` and the JVM flags and says where the data directory
//! and the dynamic file are; [`StaticConfig::complete`] takes `myid` and the dynamic file and
//! yields a [`ServerConfig`]. A `ServerConfig` that came from text is consistent: cross-checks
//! are done, defaults are filled in, and they are ZooKeeper 3.9's except where a field says
//! otherwise.
//!
//! What no code asks for is never fatal: it is kept in [`ServerConfig::properties`] and named in
//! [`ServerConfig::notices`]. A wrong value of a setting that is asked for stops the start, with
//! all such mistakes told at once.
mod ensemble;
mod flags;
mod number;
mod parse;
mod policy;
mod properties;
mod reconfig;
mod report;
mod settings;
mod tuning;
mod unknown;

#[cfg(test)]
mod tests;

pub use ensemble::{Endpoint, Ensemble, Member, PeerAddress, PeerRole, QuorumRule, parse_myid};
pub use flags::{Define, defines};
pub use parse::{BUILT_IN_NAME, BUILT_IN_TEXT, StaticConfig, Surroundings};
pub use policy::{FourLetterWords, Metrics, Purge, SessionLimits, WORDS};
pub use properties::{Entry, MalformedEscape, Properties, Repeated};
pub use reconfig::refer_to;
pub use report::{ConfigError, ConfigErrors, Notice, NoticeKind, Origin, Setting};
pub use tuning::{
    Admin, AuthProvider, Containers, DigestAlgorithm, EPOCH_LENGTH, EnsembleScheme, Requests,
    Security, StallMonitor, Storage,
};

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU32;

/// Everything one server is told by its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `dataDir`: snapshots, `myid` and epochs, as the operator wrote it.
    pub data_dir: String,
    /// `dataLogDir`: the transaction log; `data_dir` if not set.
    pub data_log_dir: String,
    /// `tickTime`, the unit of all limits that are counted in ticks.
    pub tick_time_ms: u32,
    /// `minSessionTimeout` and `maxSessionTimeout`.
    pub session_limits: SessionLimits,
    /// `localSessionsEnabled` and `localSessionsUpgradingEnabled`.
    pub local_sessions: LocalSessions,
    /// Where and how clients connect.
    pub clients: Clients,
    /// Alone or a member of an ensemble.
    pub role: Role,
    /// Links between servers; of no effect for a server alone.
    pub peers: Peers,
    /// `autopurge.*`.
    pub purge: Purge,
    /// `4lw.commands.whitelist`.
    pub four_letter_words: FourLetterWords,
    /// The transaction log and snapshots.
    pub storage: Storage,
    /// Limits on requests and on what is in process.
    pub requests: Requests,
    /// Authentication, ACLs and quotas.
    pub security: Security,
    /// The reaper of container and TTL nodes.
    pub containers: Containers,
    /// `readonlymode.enabled`: serve reads while there is no quorum.
    pub read_only_mode: bool,
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
    /// `admin.*`.
    pub admin: Admin,
    /// `metricsProvider.*`.
    pub metrics: Metrics,
    /// `jvm.pause.*`.
    pub stall_monitor: StallMonitor,
    /// Every system property that ZooKeeper would hold, by its full name, known or not.
    pub properties: BTreeMap<String, String>,
    /// What the operator should know, in the order of the text.
    pub notices: Vec<Notice>,
}

/// Where and how clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// `clientPort` at `clientPortAddress`; a server alone has this or `secure`.
    pub plain: Option<Endpoint>,
    /// `secureClientPort` at `secureClientPortAddress`: the same by TLS.
    pub secure: Option<Endpoint>,
    /// `clientPortListenBacklog`; -1 leaves it to the system.
    pub listen_backlog: i32,
    /// `maxClientCnxns`: connections from one address; 0 is no limit.
    pub max_per_address: u32,
    /// `maxCnxns`: connections altogether; 0 is no limit.
    pub max_total: u32,
    /// `clientTcpKeepAlive`.
    pub tcp_keep_alive: bool,
    /// `nio.sessionlessCnxnTimeout`: how long a connection may stay without a session.
    pub sessionless_timeout_ms: u32,
}

/// Whether sessions may live on one server only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalSessions {
    /// Every session is known to all servers.
    Off,
    /// Sessions are local and cannot own ephemeral nodes.
    On,
    /// Sessions are local until they create an ephemeral node.
    Upgrading,
}

/// Alone or a member of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The only server.
    Standalone {
        /// What `myid` says, if there is such a file.
        id: Option<i64>,
    },
    /// One of several servers, or of one that is to become several.
    Member(EnsembleConfig),
}

/// What only a member of an ensemble needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsembleConfig {
    /// This server; one of `ensemble`'s members.
    pub id: i64,
    /// All servers.
    pub ensemble: Ensemble,
    /// `initLimit`: ticks to connect and to synchronise.
    pub init_limit: NonZeroU32,
    /// `syncLimit`: ticks a learner may be silent.
    pub sync_limit: NonZeroU32,
    /// `connectToLearnerMasterLimit`: ticks to connect; `initLimit` if not set.
    pub connect_limit: NonZeroU32,
}

/// Links between servers, and what servers expect of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    /// `standaloneEnabled`: one voter alone runs without an ensemble's machinery.
    pub standalone_enabled: bool,
    /// `dynamicConfigFile`.
    pub dynamic_config_file: Option<String>,
    /// `quorumListenOnAllIPs`.
    pub listen_on_all_addresses: bool,
    /// `syncEnabled`: an observer writes log and snapshots.
    pub observer_sync_enabled: bool,
    /// `observerMasterPort`, on which a follower serves observers.
    pub observer_master_port: Option<u16>,
    /// `leaderServes`: a leader has clients of its own.
    pub leader_serves: bool,
    /// `cnxTimeout`: how long dialling an election port may take.
    pub connect_timeout_ms: u32,
    /// `tcpKeepAlive` of election links.
    pub tcp_keep_alive: bool,
    /// `fastleader.minNotificationInterval` and `fastleader.maxNotificationInterval`: after how
    /// long a looking server repeats itself, at first and at last.
    pub notification_intervals_ms: (u32, u32),
    /// `forceSnapshotSync`: every learner gets a whole tree.
    pub force_snapshot_sync: bool,
    /// `electionPortBindRetry`; 0 retries for ever.
    pub election_bind_retries: u32,
    /// `sslQuorum`.
    pub ssl: bool,
    /// `portUnification`: accept TLS and plain links on one port.
    pub port_unification: bool,
    /// `sslQuorumReloadCertFiles`.
    pub ssl_reload_certificates: bool,
    /// `quorum.auth.*`, if enabled.
    pub sasl: Option<PeerSasl>,
    /// `multiAddress.*`, if enabled.
    pub multi_address: Option<MultiAddress>,
    /// `oraclePath`: the file that decides for an ensemble of two.
    pub oracle_path: Option<String>,
}

/// SASL between servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSasl {
    /// `quorum.auth.serverRequireSasl`; only with `learner_requires`.
    pub server_requires: bool,
    /// `quorum.auth.learnerRequireSasl`.
    pub learner_requires: bool,
    /// `quorum.auth.kerberos.servicePrincipal`.
    pub service_principal: String,
    /// `quorum.auth.server.saslLoginContext`.
    pub server_login_context: String,
    /// `quorum.auth.learner.saslLoginContext`.
    pub learner_login_context: String,
}

/// Several addresses for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiAddress {
    /// `multiAddress.reachabilityCheckEnabled`.
    pub reachability_check: bool,
    /// `multiAddress.reachabilityCheckTimeoutMs`.
    pub reachability_timeout_ms: u32,
}
