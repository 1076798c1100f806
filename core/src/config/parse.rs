// SPDX-License-Identifier: Apache-2.0
//! The two steps from text to a [`ServerConfig`], with the cross-checks of ZooKeeper's
//! QuorumPeerConfig.
use super::ensemble::{Endpoint, Ensemble, Member, PeerRole, is_membership, parse_myid};
use super::policy::{FourLetterWords, Metrics, Purge, SessionLimits};
use super::report::{ConfigError, ConfigErrors, NoticeKind, Origin, Setting};
use super::settings::{MAX_INT, Number, Settings};
use super::tuning::{
    Admin, Containers, Requests, Security, StallMonitor, Storage, count_of, flag, key_flag,
    millis_of, yes_no,
};
use super::{
    Clients, EnsembleConfig, LocalSessions, MultiAddress, PeerSasl, Peers, Role, ServerConfig,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::num::NonZeroU32;

/// What [`BUILT_IN_TEXT`] is called in messages.
pub const BUILT_IN_NAME: &str = "(built-in configuration)";

/// The configuration of a server that was given none.
pub const BUILT_IN_TEXT: &str = "\
tickTime=2000
dataDir=./menagerie-data
clientPortAddress=127.0.0.1
clientPort=2181
";

/// A configuration file that was read and checked as far as it goes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticConfig {
    file: String,
    config: ServerConfig,
    ensemble: Ensemble,
    init_limit: u32,
    sync_limit: u32,
    connect_limit: u32,
    peer_type: Option<(Setting, PeerRole)>,
}

/// The content of the files that belong to a [`StaticConfig`]: names as the operator would know
/// them, and `None` for a file that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings<'a> {
    /// `myid` in [`StaticConfig::data_dir`].
    pub myid: Option<(&'a str, &'a [u8])>,
    /// The file that [`StaticConfig::dynamic_config_file`] names.
    pub dynamic: Option<(&'a str, &'a [u8])>,
}

impl StaticConfig {
    /// Reads the text of `file`, and the system properties in `flags`: pairs of a variable's name
    /// and its content, where later ones win (`zkServer.sh` puts SERVER_JVMFLAGS before
    /// JVMFLAGS). The file wins over flags.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn parse(file: &str, text: &[u8], flags: &[(&str, &str)]) -> Result<Self, ConfigErrors> {
        let mut s = Settings::new(file, text, flags)?;
        let init_limit = limit(&mut s, "initLimit");
        let sync_limit = limit(&mut s, "syncLimit");
        let connect_limit = limit(&mut s, "connectToLearnerMasterLimit");
        check_election_algorithm(&mut s);
        let peer_type = read_peer_type(&mut s);
        let ensemble = read_static_ensemble(&mut s);
        let mut config = read_config(&mut s);
        config.properties = s.finish();
        config.notices = core::mem::take(&mut s.notices);
        ConfigErrors::check(core::mem::take(&mut s.errors))?;
        let file = file.to_string();
        Ok(Self { file, config, ensemble, init_limit, sync_limit, connect_limit, peer_type })
    }

    /// Where `myid` is to be looked for.
    #[must_use]
    pub fn data_dir(&self) -> &str {
        &self.config.data_dir
    }

    /// The file that lists the members, if they are not in the static one.
    #[must_use]
    pub fn dynamic_config_file(&self) -> Option<&str> {
        self.config.peers.dynamic_config_file.as_deref()
    }

    /// Adds what stands outside the file, and decides whether this server is alone.
    ///
    /// # Errors
    /// A mistake in those files, or between them and this one.
    pub fn complete(mut self, around: &Surroundings<'_>) -> Result<ServerConfig, ConfigErrors> {
        if let Some(file) = self.dynamic_config_file() {
            let Some((name, text)) = around.dynamic else {
                let problem = format!("the dynamicConfigFile {file} does not exist");
                return Err(self.error(problem, "create it, or list the servers here").into());
            };
            self.ensemble = Ensemble::from_dynamic_file(name, text)?;
        }
        let id = around.myid.map(|(file, text)| parse_myid(file, text)).transpose()?;
        self.check_voters()?;
        self.take_client_address(id)?;
        let voters = self.ensemble.count(PeerRole::Participant);
        let alone = self.config.peers.standalone_enabled && voters <= 1;
        self.config.role = if alone {
            self.check_alone()?;
            Role::Standalone { id }
        } else {
            self.note_voters(voters);
            self.note_shared_place();
            Role::Member(self.member(id)?)
        };
        Ok(self.config)
    }

    fn error(&self, problem: String, remedy: &str) -> ConfigError {
        ConfigError::at(self.origin(), problem, remedy.into())
    }

    fn origin(&self) -> Origin {
        Origin::File { file: self.file.clone() }
    }

    fn note(&mut self, kind: NoticeKind, text: String) {
        let origin = self.origin();
        self.config.notices.push(super::Notice { origin, kind, text });
    }

    fn check_voters(&self) -> Result<(), ConfigError> {
        let several = |(_, member): &(&i64, &Member)| member.addresses.len() > 1;
        if let Some((id, _)) = self.ensemble.members().iter().find(several)
            && self.config.peers.multi_address.is_none()
        {
            let problem = format!("server.{id} has several addresses");
            return Err(self.error(problem, "write one, or add multiAddress.enabled=true"));
        }
        let voters = self.ensemble.count(PeerRole::Participant);
        let observers = self.ensemble.count(PeerRole::Observer);
        let standalone = self.config.peers.standalone_enabled;
        if voters == 0 && !standalone {
            let problem = "standaloneEnabled=false needs at least one voting server";
            return Err(self.error(problem.into(), "add server.N lines, or remove it"));
        }
        if voters <= usize::from(standalone) && observers > 0 {
            let problem = format!("{observers} listed as observer, but {voters} to vote");
            let remedy = "list at least two servers that are not :observer";
            return Err(self.error(problem, remedy));
        }
        Ok(())
    }

    /// A `;clientPort` in this server's own line counts as `clientPort`, and may not contradict it.
    fn take_client_address(&mut self, id: Option<i64>) -> Result<(), ConfigError> {
        let Some(member) = id.and_then(|id| self.ensemble.members().get(&id)) else {
            return Ok(());
        };
        if let (Some(listed), Some(set)) = (&member.client, &self.config.clients.plain)
            && contradict(set, listed)
        {
            let problem =
                format!("clientPort is at {set}, but this server's own line has {listed}");
            return Err(self.error(problem, "write one of the two"));
        }
        if let Some(client) = member.client.clone() {
            self.config.clients.plain = Some(client);
        }
        if let Some(secure) = member.secure_client.clone() {
            self.config.clients.secure = Some(secure);
        }
        Ok(())
    }

    fn check_alone(&mut self) -> Result<(), ConfigError> {
        if self.config.clients.plain.is_none() && self.config.clients.secure.is_none() {
            let problem = "clientPort is not set, so that no client could connect";
            return Err(self.error(problem.into(), "add a line such as clientPort=2181"));
        }
        if !self.ensemble.members().is_empty() {
            let text = "only one server is listed; it runs alone, and the list is ignored";
            self.note(NoticeKind::Suspicious, text.into());
        }
        Ok(())
    }

    fn note_voters(&mut self, voters: usize) {
        if voters <= 2 {
            let text = format!("{voters} voting servers survive no failure; three are needed");
            self.note(NoticeKind::Suspicious, text);
        } else if voters.is_multiple_of(2) {
            let text =
                format!("{voters} voting servers survive no more failures than {}", voters - 1);
            self.note(NoticeKind::Suspicious, text);
        }
    }

    fn note_shared_place(&mut self) {
        if let Some((one, other, place)) = self.ensemble.shared_place() {
            let text = format!(
                "server.{one} and server.{other} are both at {place}, where only one can listen; \
                 give each its own host or ports"
            );
            self.note(NoticeKind::Suspicious, text);
        }
    }

    /// A client port that is one of this server's own ports for other servers cannot be opened.
    fn check_client_port(&self, member: &Member) -> Result<(), ConfigError> {
        let own = [&self.config.clients.plain, &self.config.clients.secure];
        for client in own.into_iter().flatten() {
            for at in &member.addresses {
                for (what, port) in [("quorum", at.quorum_port), ("election", at.election_port)] {
                    let elsewhere = client.host.as_ref().is_some_and(|host| *host != at.host);
                    if client.port == port && !elsewhere {
                        let problem = format!("the client port {client} is the {what} port, too");
                        return Err(self.error(problem, "choose another for one of them"));
                    }
                }
            }
        }
        Ok(())
    }

    fn member(&mut self, id: Option<i64>) -> Result<EnsembleConfig, ConfigError> {
        let ticks = |count, key, usual| {
            NonZeroU32::new(count).ok_or_else(|| {
                let problem = format!("{key} is not set, and an ensemble needs it");
                self.error(problem, &format!("add a line such as {key}={usual}"))
            })
        };
        let init_limit = ticks(self.init_limit, "initLimit", 10)?;
        let sync_limit = ticks(self.sync_limit, "syncLimit", 5)?;
        let data_dir = &self.config.data_dir;
        let Some(id) = id else {
            let problem = format!("{data_dir}/myid does not exist, and an ensemble needs it");
            let remedy =
                format!("write the N of this server's server.N line: echo N > {data_dir}/myid");
            return Err(self.error(problem, &remedy));
        };
        let Some(member) = self.ensemble.members().get(&id) else {
            let problem = format!("{data_dir}/myid is {id}, but there is no server.{id}");
            return Err(self.error(problem, "add that line, or correct myid"));
        };
        let role = member.role;
        self.check_client_port(member)?;
        self.check_id(id)?;
        if let Some((setting, _)) = self.peer_type.take().filter(|(_, wanted)| *wanted != role) {
            let text =
                format!("peerType={} is ignored: server.{id} is {}", setting.value, role.name());
            self.config.notices.push(super::Notice {
                origin: setting.origin,
                kind: NoticeKind::Suspicious,
                text,
            });
        }
        let connect_limit = NonZeroU32::new(self.connect_limit).unwrap_or(init_limit);
        let ensemble = self.ensemble.clone();
        Ok(EnsembleConfig { id, ensemble, init_limit, sync_limit, connect_limit })
    }

    /// The id is the highest byte of a session's id, and of a TTL node's owner.
    fn check_id(&mut self, id: i64) -> Result<(), ConfigError> {
        if id > 254 && self.config.security.extended_types {
            let problem = format!("myid is {id}, but extendedTypesEnabled allows at most 254");
            return Err(self.error(problem, "give this server a smaller id"));
        }
        if id > 255 {
            let text = format!("myid is {id}; ids above 255 can give two sessions the same id");
            self.note(NoticeKind::Suspicious, text);
        }
        Ok(())
    }
}

/// Whether two addresses cannot mean the same place. Names are not resolved here.
fn contradict(set: &Endpoint, listed: &Endpoint) -> bool {
    let ip = |endpoint: &Endpoint| endpoint.host.as_deref()?.parse::<IpAddr>().ok();
    let hosts = ip(set).zip(ip(listed));
    let differ = hosts.is_some_and(|(set, listed)| !set.is_unspecified() && set != listed);
    set.port != listed.port || differ
}

fn limit(s: &mut Settings, key: &str) -> u32 {
    let setting = s.key(key);
    s.number(setting, &Number { range: 0..=MAX_INT, default: 0, unit: "ticks" })
}

fn check_election_algorithm(s: &mut Settings) {
    if let Some(setting) = s.key("electionAlg").filter(|setting| setting.value != "3") {
        s.wrong(&setting, "not supported", "write 3, the only algorithm left, or remove the line");
    }
}

fn read_peer_type(s: &mut Settings) -> Option<(Setting, PeerRole)> {
    let setting = s.key("peerType")?;
    let role = PeerRole::parse(&setting.value);
    if role.is_none() {
        s.wrong(&setting, "not a role", "write participant or observer");
    }
    Some((setting, role?))
}

/// The members in the static file, which may not be there beside a dynamic one.
fn read_static_ensemble(s: &mut Settings) -> Ensemble {
    let dynamic = s.key("dynamicConfigFile").is_some();
    let mut lines: Vec<Setting> =
        ["server.", "group.", "weight."].iter().flat_map(|prefix| s.keys_under(prefix)).collect();
    if dynamic {
        for setting in lines.drain(..).filter(|setting| is_membership(&setting.key)) {
            let remedy = "move it to the file that dynamicConfigFile names";
            s.wrong(&setting, "may not stand beside dynamicConfigFile", remedy);
        }
    }
    lines.extend(s.key("version"));
    Ensemble::from_settings(&lines).unwrap_or_else(|error| {
        s.errors.push(error);
        Ensemble::from_settings(&[]).expect("no line, no mistake")
    })
}

fn read_config(s: &mut Settings) -> ServerConfig {
    let tick = Number { range: 1..=MAX_INT / 20, default: 3_000, unit: "milliseconds" };
    let setting = s.key("tickTime");
    let tick_time_ms = s.number(setting, &tick);
    let read_only = s.bare_property("readonlymode.enabled");
    let read_only_mode = s.boolean(read_only, false);
    let (data_dir, data_log_dir) = read_directories(s);
    ServerConfig {
        data_dir,
        data_log_dir,
        tick_time_ms,
        session_limits: SessionLimits::read(s, tick_time_ms),
        local_sessions: read_local_sessions(s),
        clients: read_clients(s),
        role: Role::Standalone { id: None },
        peers: read_peers(s),
        purge: Purge::read(s),
        four_letter_words: FourLetterWords::read(s, read_only_mode),
        storage: Storage::read(s),
        requests: Requests::read(s),
        security: Security::read(s),
        containers: Containers::read(s),
        read_only_mode,
        reconfig_enabled: key_flag(s, "reconfigEnabled", false),
        admin: Admin::read(s),
        metrics: Metrics::read(s),
        stall_monitor: StallMonitor::read(s),
        properties: alloc::collections::BTreeMap::new(),
        notices: Vec::new(),
    }
}

fn read_directories(s: &mut Settings) -> (String, String) {
    let mut directory = |key| {
        let setting = s.key(key)?;
        if setting.value.is_empty() {
            s.wrong(
                &setting,
                "empty",
                &format!("write a directory, such as {key}=/var/lib/zookeeper"),
            );
        } else if !setting.value.starts_with('/') && !setting.value.starts_with("./") {
            let text = format!(
                "{key}={} is relative to where the server is started; write /{} or ./{}",
                setting.value, setting.value, setting.value
            );
            s.note(&setting.origin, NoticeKind::Suspicious, text);
        }
        Some(setting.value)
    };
    let log_dir = directory("dataLogDir");
    let Some(data_dir) = directory("dataDir") else {
        s.missing("dataDir is not set", "add a line such as dataDir=/var/lib/zookeeper");
        return (String::new(), String::new());
    };
    let log_dir = log_dir.unwrap_or_else(|| data_dir.clone());
    (data_dir, log_dir)
}

fn read_local_sessions(s: &mut Settings) -> LocalSessions {
    let enabled = key_flag(s, "localSessionsEnabled", false);
    let upgrading = key_flag(s, "localSessionsUpgradingEnabled", false);
    match (enabled, upgrading) {
        (false, _) => LocalSessions::Off,
        (true, false) => LocalSessions::On,
        (true, true) => LocalSessions::Upgrading,
    }
}

fn read_clients(s: &mut Settings) -> Clients {
    let backlog = s.key("clientPortListenBacklog");
    let backlog_spec = Number { range: -1..=MAX_INT, default: -1, unit: "a number" };
    let per_address = s.key("maxClientCnxns");
    let per_address_spec = Number { range: -MAX_INT..=MAX_INT, default: 60, unit: "a number" };
    let per_address: i64 = s.number(per_address, &per_address_spec);
    Clients {
        plain: read_endpoint(s, "clientPort", "clientPortAddress", 2_181),
        secure: read_endpoint(s, "secureClientPort", "secureClientPortAddress", 2_281),
        listen_backlog: s.number(backlog, &backlog_spec),
        max_per_address: u32::try_from(per_address).unwrap_or(0),
        max_total: count_of(s, "maxCnxns", 0),
        tcp_keep_alive: flag(s, "clientTcpKeepAlive", false),
        sessionless_timeout_ms: millis_of(s, "nio.sessionlessCnxnTimeout", 10_000),
    }
}

fn read_endpoint(
    s: &mut Settings,
    port_key: &str,
    address_key: &str,
    usual: u16,
) -> Option<Endpoint> {
    let port = s.key(port_key);
    let address = s.key(address_key);
    let Some(port) = port else {
        let address = address?;
        let remedy = format!("add a line such as {port_key}={usual}");
        s.wrong(&address, &format!("needs {port_key}, which is not set"), &remedy);
        return None;
    };
    let spec = Number { range: 0..=65_535, default: usual.into(), unit: "a port" };
    let port = s.number(Some(port), &spec);
    let host = address.map(|address| address.value.trim_matches(['[', ']']).to_string());
    let host = host.filter(|host| !host.is_empty() && host != "0.0.0.0");
    Some(Endpoint { host, port })
}

fn read_peers(s: &mut Settings) -> Peers {
    let bind_retries = s.property("electionPortBindRetry");
    let bind_spec = Number { range: 0..=MAX_INT, default: 3, unit: "a number" };
    let text = |setting: Setting| setting.value;
    Peers {
        standalone_enabled: key_flag(s, "standaloneEnabled", true),
        dynamic_config_file: s.key("dynamicConfigFile").map(text),
        listen_on_all_addresses: key_flag(s, "quorumListenOnAllIPs", false),
        observer_sync_enabled: read_observer_sync(s),
        observer_master_port: read_observer_master_port(s),
        leader_serves: yes_no(s, "leaderServes", true),
        connect_timeout_ms: millis_of(s, "cnxTimeout", 5_000),
        tcp_keep_alive: flag(s, "tcpKeepAlive", false),
        notification_intervals_ms: (
            millis_of(s, "fastleader.minNotificationInterval", 200).max(1),
            // Java's is a minute: that long an ensemble may stay without a leader after a network
            // healed.
            millis_of(s, "fastleader.maxNotificationInterval", 3_200).max(1),
        ),
        force_snapshot_sync: flag(s, "forceSnapshotSync", false),
        election_bind_retries: s.decoded(bind_retries, &bind_spec),
        ssl: key_flag(s, "sslQuorum", false),
        port_unification: key_flag(s, "portUnification", false),
        ssl_reload_certificates: key_flag(s, "sslQuorumReloadCertFiles", false),
        sasl: read_peer_sasl(s),
        multi_address: read_multi_address(s),
        oracle_path: s.key("oraclePath").map(text),
    }
}

/// The property, where it is set, wins over the key.
fn read_observer_sync(s: &mut Settings) -> bool {
    let key = key_flag(s, "syncEnabled", true);
    flag(s, "observer.syncEnabled", key)
}

fn read_observer_master_port(s: &mut Settings) -> Option<u16> {
    let setting = s.key("observerMasterPort");
    let port: i64 =
        s.number(setting, &Number { range: -MAX_INT..=65_535, default: 0, unit: "a port" });
    u16::try_from(port).ok().filter(|&port| port > 0)
}

fn read_peer_sasl(s: &mut Settings) -> Option<PeerSasl> {
    let enabled = key_flag(s, "quorum.auth.enableSasl", false);
    let server = s.key("quorum.auth.serverRequireSasl");
    let learner = s.key("quorum.auth.learnerRequireSasl");
    let server_requires = s.boolean(server.clone(), false);
    let learner_requires = s.boolean(learner.clone(), false);
    for (setting, requires) in [(&server, server_requires), (&learner, learner_requires)] {
        if let Some(setting) = setting.as_ref().filter(|_| requires && !enabled) {
            s.wrong(setting, "needs SASL between servers", "add quorum.auth.enableSasl=true");
        }
    }
    if let Some(setting) = server.filter(|_| enabled && server_requires && !learner_requires) {
        let problem = "would refuse this server's own links";
        s.wrong(&setting, problem, "add quorum.auth.learnerRequireSasl=true");
    }
    let mut text = |key, default: &str| s.key(key).map_or(default.into(), |setting| setting.value);
    let service_principal = text("quorum.auth.kerberos.servicePrincipal", "zkquorum/localhost");
    let server_login_context = text("quorum.auth.server.saslLoginContext", "QuorumServer");
    let learner_login_context = text("quorum.auth.learner.saslLoginContext", "QuorumLearner");
    let threads = s.key("quorum.cnxn.threads.size");
    let _: i64 = s.number(threads, &Number { range: 0..=MAX_INT, default: 20, unit: "threads" });
    enabled.then_some(PeerSasl {
        server_requires,
        learner_requires,
        service_principal,
        server_login_context,
        learner_login_context,
    })
}

fn read_multi_address(s: &mut Settings) -> Option<MultiAddress> {
    let enabled = flag(s, "multiAddress.enabled", false);
    let multi_address = MultiAddress {
        reachability_check: flag(s, "multiAddress.reachabilityCheckEnabled", true),
        reachability_timeout_ms: millis_of(s, "multiAddress.reachabilityCheckTimeoutMs", 1_000),
    };
    enabled.then_some(multi_address)
}
