// SPDX-License-Identifier: Apache-2.0
//! Who belongs to an ensemble: `server.N`, `group.G`, `weight.N` and `version`, as they stand in
//! `zoo.cfg`, in a dynamic file, in `/zookeeper/config` and in a NEWLEADER packet.
use super::number;
use super::report::{ConfigError, Origin, Setting};
use super::settings::{file_settings, read_properties};
use crate::{id::ServerId, quorum::Quorum};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// An address as text and a port: names are resolved by whoever dials or binds, every time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an IP address without brackets; `None` is every local address.
    pub host: Option<String>,
    /// The port; 0 lets the system choose.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or("0.0.0.0");
        write!(f, "{}:{}", Bracketed(host), self.port)
    }
}

/// An IPv6 address needs brackets before a port.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

/// One of the addresses at which other servers reach a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// A name or an IP address without brackets.
    pub host: String,
    /// The port on which a leader serves its learners.
    pub quorum_port: u16,
    /// The port of leader election; differs from `quorum_port`.
    pub election_port: u16,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// Votes in elections and on proposals.
    Participant,
    /// Only learns what was committed.
    Observer,
}

impl PeerRole {
    /// The word of the configuration text.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let roles = [Self::Participant, Self::Observer];
        roles.into_iter().find(|role| role.name().eq_ignore_ascii_case(text.trim()))
    }
}

/// The value of one `server.N` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where other servers reach it, at least one.
    pub addresses: Vec<PeerAddress>,
    /// Whether it votes.
    pub role: PeerRole,
    /// Where clients reach it, if the line says so.
    pub client: Option<Endpoint>,
    /// Where clients reach it by TLS, if the line says so (ZooKeeper 3.10).
    pub secure_client: Option<Endpoint>,
}

impl Member {
    /// Reads `host:quorumPort:electionPort[:role][|more][;[host:]clientPort[;[host:]securePort]]`.
    ///
    /// # Errors
    /// A sentence about the first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';').map(str::trim);
        let peers = parts.next().unwrap_or("");
        let client = parts.next().map(client_endpoint).transpose()?.flatten();
        let secure_client = parts.next().map(client_endpoint).transpose()?.flatten();
        if parts.next().is_some() {
            return Err("more than two client addresses".into());
        }
        let mut addresses = Vec::new();
        let mut role = None;
        for peer in peers.split('|').map(str::trim) {
            let (address, its_role) = peer_address(peer)?;
            addresses.push(address);
            if its_role.is_some() && role.is_some() && role != its_role {
                return Err("different roles for the addresses of one server".into());
            }
            role = role.or(its_role);
        }
        let role = role.unwrap_or(PeerRole::Participant);
        Ok(Self { addresses, role, client, secure_client })
    }

    /// Every host and port at which anybody reaches it.
    pub(super) fn all_places(&self) -> impl Iterator<Item = (&str, u16)> {
        let client = self.client.as_ref().and_then(|at| Some((at.host.as_deref()?, at.port)));
        self.places().chain(client)
    }

    /// Every host and port at which other servers reach it.
    fn places(&self) -> impl Iterator<Item = (&str, u16)> {
        let places = |at: &PeerAddress| [at.quorum_port, at.election_port];
        let of = move |at| places(at).map(|port| (&*at.host, port));
        self.addresses.iter().flat_map(of)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<&PeerAddress> = self.addresses.iter().collect();
        addresses.sort_by(|a, b| a.host.cmp(&b.host));
        for (nth, peer) in addresses.iter().enumerate() {
            let bar = if nth == 0 { "" } else { "|" };
            let host = Bracketed(&peer.host);
            write!(f, "{bar}{host}:{}:{}", peer.quorum_port, peer.election_port)?;
        }
        write!(f, ":{}", self.role.name())?;
        match (&self.client, &self.secure_client) {
            (None, None) => Ok(()),
            (Some(client), None) => write!(f, ";{client}"),
            (None, Some(secure)) => write!(f, ";;{secure}"),
            (Some(client), Some(secure)) => write!(f, ";{client};{secure}"),
        }
    }
}

/// How the members' votes add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuorumRule {
    /// More than half of the participants.
    Majority,
    /// More than half of the groups with weight, each by more than half of its weight.
    Hierarchical {
        /// The group of each server that is in one.
        groups: BTreeMap<i64, i64>,
        /// The weight of each server that has a line for it; all others weigh 1.
        weights: BTreeMap<i64, u64>,
    },
}

/// A consistent list of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensemble {
    members: BTreeMap<i64, Member>,
    rule: QuorumRule,
    version: u64,
}

impl Ensemble {
    /// All members by server id.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<i64, Member> {
        &self.members
    }

    /// How votes add up.
    #[must_use]
    pub fn rule(&self) -> &QuorumRule {
        &self.rule
    }

    /// The zxid of the reconfiguration this came from; 0 for a static list.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Who votes.
    pub fn voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        let voters = self.members.iter().filter(|(_, member)| member.role == PeerRole::Participant);
        voters.map(|(&id, _)| ServerId(id))
    }

    /// The same members under another version.
    #[must_use]
    pub fn with_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Whether the members and their rule are the same, whatever the version.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.members, &self.rule) == (&other.members, &other.rule)
    }

    pub(super) fn remove(&mut self, id: i64) {
        self.members.remove(&id);
    }

    pub(super) fn insert(&mut self, id: i64, member: Member) {
        self.members.insert(id, member);
    }

    /// Which sets of members may decide.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        match &self.rule {
            QuorumRule::Majority => Quorum::majority(self.voters()),
            QuorumRule::Hierarchical { groups, weights } => {
                Quorum::hierarchical(self.voters().map(|id| {
                    let group = *groups.get(&id.0).expect("each participant is in a group");
                    (id, group, weights.get(&id.0).copied().unwrap_or(1))
                }))
            }
        }
    }

    /// How many members have `role`.
    #[must_use]
    pub fn count(&self, role: PeerRole) -> usize {
        self.members.values().filter(|member| member.role == role).count()
    }

    /// Two members that other servers would reach at one place, and where that is.
    pub(super) fn shared_place(&self) -> Option<(i64, i64, Endpoint)> {
        let mut places: BTreeMap<(String, u16), i64> = BTreeMap::new();
        for (&id, member) in &self.members {
            for (host, port) in member.places() {
                let place = (host.to_ascii_lowercase(), port);
                if let Some(other) = places.insert(place, id).filter(|other| *other != id) {
                    return Some((other, id, Endpoint { host: Some(host.to_owned()), port }));
                }
            }
        }
        None
    }

    /// Reads a dynamic configuration file. Its version is the hexadecimal end of its name,
    /// `zoo.cfg.dynamic.100000000`, and 0 if there is none.
    ///
    /// # Errors
    /// The first line that does not belong or does not fit.
    pub fn from_dynamic_file(file: &str, bytes: &[u8]) -> Result<Self, ConfigError> {
        let settings = file_settings(file, &read_properties(file, bytes)?);
        for setting in &settings {
            if setting.key == "version" {
                let problem = "a dynamic file has its version in its name";
                return Err(wrong(setting, problem, "remove this line"));
            }
            if !is_membership(&setting.key) {
                let remedy = "only server.N, group.N and weight.N may stand here; \
                              move it to the static file";
                return Err(wrong(setting, "does not belong in a dynamic file", remedy));
            }
        }
        let mut ensemble = Self::from_settings(&settings)?;
        ensemble.version = version_in_name(file).unwrap_or(0);
        Ok(ensemble)
    }

    /// Builds the list from the settings that concern it, ignoring all others.
    pub(super) fn from_settings(settings: &[Setting]) -> Result<Self, ConfigError> {
        let mut ensemble =
            Self { members: BTreeMap::new(), rule: QuorumRule::Majority, version: 0 };
        let mut groups = BTreeMap::new();
        let mut weights = BTreeMap::new();
        let mut grouping: Option<&Setting> = None;
        for setting in settings {
            if let Some(id) = setting.key.strip_prefix("server.") {
                let member = Member::parse(&setting.value)
                    .map_err(|problem| wrong(setting, &problem, MEMBER_FORM))?;
                let id = server_id(setting, id)?;
                if ensemble.members.insert(id, member).is_some() {
                    let problem = format!("there is a server.{id} already, written otherwise");
                    return Err(wrong(setting, &problem, "give each server an id of its own"));
                }
            } else if let Some(id) = setting.key.strip_prefix("group.") {
                read_group(setting, server_id(setting, id)?, &mut groups)?;
                grouping = Some(setting);
            } else if let Some(id) = setting.key.strip_prefix("weight.") {
                weights.insert(server_id(setting, id)?, read_weight(setting)?);
                grouping = grouping.or(Some(setting));
            } else if setting.key == "version" {
                ensemble.version = read_version(setting)?;
            }
        }
        if let Some(setting) = grouping {
            ensemble.check_groups(setting, &groups)?;
            ensemble.rule = QuorumRule::Hierarchical { groups, weights };
        }
        Ok(ensemble)
    }

    fn check_groups(&self, at: &Setting, groups: &BTreeMap<i64, i64>) -> Result<(), ConfigError> {
        for (&id, member) in &self.members {
            if member.role == PeerRole::Participant && !groups.contains_key(&id) {
                let problem = format!("server.{id} is in no group");
                return Err(wrong(at, &problem, "name every participant in one group.N line"));
            }
        }
        match groups.keys().find(|id| !self.members.contains_key(id)) {
            Some(id) => {
                let problem = format!("there is no server.{id} to be in a group");
                Err(wrong(at, &problem, "add its server.N line or remove it from the group"))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Ensemble {
    /// The text of `/zookeeper/config`: no line end after the version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, member) in &self.members {
            writeln!(f, "server.{id}={member}")?;
        }
        if let QuorumRule::Hierarchical { groups, weights } = &self.rule {
            let mut by_group: BTreeMap<i64, Vec<String>> = BTreeMap::new();
            for (id, group) in groups {
                by_group.entry(*group).or_default().push(format!("{id}"));
            }
            for (group, ids) in by_group {
                writeln!(f, "group.{group}={}", ids.join(":"))?;
            }
            for id in groups.keys() {
                writeln!(f, "weight.{id}={}", weights.get(id).unwrap_or(&1))?;
            }
        }
        write!(f, "version={:x}", self.version)
    }
}

const MEMBER_FORM: &str = "write host:quorumPort:electionPort, such as zk1.example:2888:3888, \
                           optionally followed by :observer and by ;clientPort";

/// Whether `key` is one of those that move into a dynamic file.
pub(super) fn is_membership(key: &str) -> bool {
    ["server.", "group.", "weight."].iter().any(|prefix| key.starts_with(prefix))
}

fn wrong(setting: &Setting, problem: &str, remedy: &str) -> ConfigError {
    ConfigError::wrong(setting, problem.into(), remedy.into())
}

fn server_id(setting: &Setting, text: &str) -> Result<i64, ConfigError> {
    number::parse(text).ok().filter(|&id| id >= 0).ok_or_else(|| {
        let problem = format!("'{text}' in the key is not an id");
        wrong(setting, &problem, "write a number from 0 to 255, such as server.1")
    })
}

fn read_group(
    setting: &Setting,
    group: i64,
    groups: &mut BTreeMap<i64, i64>,
) -> Result<(), ConfigError> {
    for text in setting.value.split(':') {
        let Ok(id) = number::parse(text.trim()) else {
            let remedy =
                format!("write ids with colons between them, such as {}=1:2:3", setting.key);
            return Err(wrong(setting, &format!("'{text}' is not a server id"), &remedy));
        };
        if groups.insert(id, group).is_some() {
            let problem = format!("server {id} is in a group already");
            return Err(wrong(setting, &problem, "name every server once"));
        }
    }
    Ok(())
}

fn read_weight(setting: &Setting) -> Result<u64, ConfigError> {
    let weight = number::parse(&setting.value).ok().and_then(|weight| u64::try_from(weight).ok());
    weight.ok_or_else(|| {
        let remedy = format!("write a number from 0, such as {}=1", setting.key);
        wrong(setting, "not a weight", &remedy)
    })
}

fn read_version(setting: &Setting) -> Result<u64, ConfigError> {
    u64::from_str_radix(&setting.value, 16).map_err(|_| {
        wrong(setting, "not a version", "write a zxid in hexadecimal, such as version=0")
    })
}

/// The version at the end of a dynamic file's name.
fn version_in_name(file: &str) -> Option<u64> {
    let (_, version) = file.rsplit_once('.')?;
    u64::from_str_radix(version, 16).ok()
}

fn peer_address(text: &str) -> Result<(PeerAddress, Option<PeerRole>), String> {
    let (host, rest) = split_host(text)?;
    let fields: Vec<&str> = rest.split(':').collect();
    let (quorum, election, role) = match *fields.as_slice() {
        [quorum, election] => (quorum, election, None),
        [quorum, election, ""] => (quorum, election, None),
        [quorum, election, role] => {
            let known = PeerRole::parse(role);
            (quorum, election, Some(known.ok_or_else(|| format!("'{role}' is not a role"))?))
        }
        [_] => return Err("no election port".into()),
        _ => return Err(format!("'{text}' has too many parts")),
    };
    let (quorum_port, election_port) = (port(quorum)?, port(election)?);
    if quorum_port == election_port {
        return Err("the same port twice: quorum and election need one each".into());
    }
    Ok((PeerAddress { host, quorum_port, election_port }, role))
}

/// `port`, `host:port`, or nothing.
fn client_endpoint(text: &str) -> Result<Option<Endpoint>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.contains(':') {
        return Ok(Some(Endpoint { host: None, port: port(text)? }));
    }
    let (host, rest) = split_host(text)?;
    let host = Some(host).filter(|host| host != "0.0.0.0");
    Ok(Some(Endpoint { host, port: port(rest)? }))
}

fn split_host(text: &str) -> Result<(String, &str), String> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => {
            let closed = inside.split_once(']').ok_or_else(|| format!("'{text}' lacks its ']'"))?;
            (closed.0, closed.1.strip_prefix(':'))
        }
        None => text.split_once(':').map_or((text, None), |(host, rest)| (host, Some(rest))),
    };
    if host.is_empty() {
        return Err(format!("'{text}' has no host"));
    }
    let rest = rest.ok_or_else(|| format!("'{text}' has no port"))?;
    Ok((host.to_owned(), rest))
}

fn port(text: &str) -> Result<u16, String> {
    let port = number::parse(text.trim()).ok().and_then(|port| u16::try_from(port).ok());
    port.ok_or_else(|| format!("'{text}' is not a port"))
}

/// Reads the first line of `dataDir/myid`.
///
/// # Errors
/// A file without a server id, named by `file`.
pub fn parse_myid(file: &str, text: &[u8]) -> Result<i64, ConfigError> {
    let line = text.split(|&byte| byte == b'\n' || byte == b'\r').next().unwrap_or(&[]);
    let line = String::from_utf8_lossy(line);
    let id = number::parse(line.trim()).ok().filter(|&id| id >= 0);
    id.ok_or_else(|| {
        let shown: String = line.chars().take(40).collect();
        let problem = format!("'{}' is not a server id", shown.escape_default());
        let remedy = "write the N of this server's server.N line, a number from 0 to 255";
        ConfigError::at(Origin::File { file: file.into() }, problem, remedy.into())
    })
}
