// SPDX-License-Identifier: Apache-2.0
//! From the files around a server to its configuration, or to the reason why it cannot start.

use std::{
    env, fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use menagerie_core::{
    config::{
        BUILT_IN_NAME, BUILT_IN_TEXT, ConfigErrors, LocalSessions, NoticeKind, Peers, Role,
        ServerConfig, StaticConfig, Surroundings,
    },
    io::Exit,
};

use super::Failure;

/// Reads `zoo.cfg`, or the built-in configuration, and all that it refers to.
pub fn read(file: Option<&Path>) -> Result<ServerConfig, Failure> {
    let name = file.map_or(BUILT_IN_NAME.into(), |file| file.display().to_string());
    let text = match file {
        None => BUILT_IN_TEXT.into(),
        Some(file) => fs::read(file).map_err(|error| missing(&name, &error))?,
    };
    let flags = ["SERVER_JVMFLAGS", "JVMFLAGS"].map(|name| (name, variable(name)));
    let flags = flags.each_ref().map(|(name, flags)| (*name, flags.as_str()));
    let config = StaticConfig::parse(&name, &text, &flags).map_err(wrong)?;
    let config = complete(config)?;
    serveable(&name, &config)?;
    Ok(config)
}

/// Logs what the operator should know of the configuration.
pub fn log_notices(config: &ServerConfig) {
    for notice in &config.notices {
        match notice.kind {
            NoticeKind::NoEffect | NoticeKind::Honoured => tracing::info!("{notice}"),
            _ => tracing::warn!("{notice}"),
        }
    }
    if let Role::Member(_) = config.role {
        left_out(config).for_each(|text| tracing::warn!("{text}"));
    }
    if let Some(secure) = &config.clients.secure {
        tracing::warn!("secureClientPort {secure} is not served: this version speaks no TLS");
    }
}

fn variable(name: &str) -> String {
    env::var_os(name).unwrap_or_default().to_string_lossy().into_owned()
}

fn complete(config: StaticConfig) -> Result<ServerConfig, Failure> {
    let myid = optional(&Path::new(config.data_dir()).join("myid"))?;
    let dynamic = config.dynamic_config_file().map(PathBuf::from);
    let dynamic = dynamic.map(|file| optional(&file)).transpose()?.flatten();
    let around = Surroundings { myid: lend(&myid), dynamic: lend(&dynamic) };
    config.complete(&around).map_err(wrong)
}

fn lend(file: &Option<(String, Vec<u8>)>) -> Option<(&str, &[u8])> {
    file.as_ref().map(|(name, text)| (name.as_str(), text.as_slice()))
}

/// The name and text of a file that need not be there.
fn optional(file: &Path) -> Result<Option<(String, Vec<u8>)>, Failure> {
    let name = file.display().to_string();
    match fs::read(file) {
        Ok(text) => Ok(Some((name, text))),
        // A data directory that is none is for the core to complain of.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(missing(&name, &error)),
    }
}

fn missing(name: &str, error: &io::Error) -> Failure {
    let why = format!("cannot read the configuration {name}: {error}");
    Failure { exit: Exit::BadConfig, why }
}

fn wrong(errors: ConfigErrors) -> Failure {
    Failure { exit: Exit::BadConfig, why: format!("Invalid config, exiting abnormally\n{errors}") }
}

/// Whether every client would be refused, for want of the schemes it has to authenticate by.
fn nobody_gets_in(config: &ServerConfig) -> bool {
    let security = &config.security;
    let offered = |scheme: &String| match scheme.as_str() {
        "digest" => security.digest_scheme,
        scheme => scheme == "ip",
    };
    !security.required_schemes.is_empty() && !security.required_schemes.iter().any(offered)
}

/// Refuses what this version cannot be: better no server than one that is not what it seems.
fn serveable(name: &str, config: &ServerConfig) -> Result<(), Failure> {
    let why = if config.clients.plain.is_none() && config.clients.secure.is_some() {
        format!(
            "{name}: only secureClientPort is set, and this version of Menagerie speaks no TLS; \
             set clientPort, on an address that only a TLS proxy reaches if need be"
        )
    } else if nobody_gets_in(config) {
        format!(
            "{name}: clients would have to authenticate by {} (enforce.auth.schemes or \
             sessionRequireClientSASLAuth), which this version of Menagerie does not offer, so \
             nobody could get in; let digest or ip be enough, or leave this server to ZooKeeper \
             for now",
            config.security.required_schemes.join(" or ")
        )
    } else if let (Role::Member(_), Some(setting)) = (&config.role, beyond_peers(&config.peers)) {
        format!(
            "{name}: {setting}, and this version of Menagerie speaks neither TLS nor SASL with \
             other servers; set it to false on all of them, in a network that only they can \
             reach, or leave this server to ZooKeeper for now"
        )
    } else {
        return Ok(());
    };
    Err(Failure { exit: Exit::BadConfig, why })
}

/// What makes the links between servers other than this version can speak.
fn beyond_peers(peers: &Peers) -> Option<&'static str> {
    let sasl = peers.sasl.as_ref();
    if peers.ssl {
        Some("sslQuorum is true")
    } else if sasl.is_some_and(|sasl| sasl.learner_requires) {
        Some("quorum.auth.learnerRequireSasl is true")
    } else {
        None
    }
}

/// Settings of a member that are read and come to nothing in this version.
fn left_out(config: &ServerConfig) -> impl Iterator<Item = &'static str> {
    let peers = &config.peers;
    let sessions = "localSessionsEnabled is left out: every session is known to all servers";
    let master = "observerMasterPort is not opened: observers are to dial the leader";
    let unification = "portUnification is left out: links by TLS are not understood";
    let sasl = "quorum.auth.enableSasl is left out: other servers are not authenticated";
    let oracle = "oraclePath is left out: two servers need each other";
    let serves = "leaderServes=no is left out: a leader has clients, too";
    let keeps = "observer.syncEnabled=false is left out: an observer keeps log and snapshots";
    [
        (config.local_sessions != LocalSessions::Off, sessions),
        (peers.observer_master_port.is_some(), master),
        (peers.port_unification, unification),
        (peers.sasl.is_some(), sasl),
        (peers.oracle_path.is_some(), oracle),
        (!peers.leader_serves, serves),
        (!peers.observer_sync_enabled, keeps),
    ]
    .into_iter()
    .filter_map(|(is_set, text)| is_set.then_some(text))
}
