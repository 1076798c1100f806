// SPDX-License-Identifier: Apache-2.0
//! Opens the ports: of clients, of other servers, and of metrics.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use menagerie_core::{
    config::{Clients, Endpoint, EnsembleConfig, Peers},
    io::{Exit, Port},
};
use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::sleep,
};

use super::Failure;

/// How many connections may wait to be accepted where the configuration does not say: a restart
/// brings all clients back at once, and the system cuts this to what it allows.
const BACKLOG: u32 = 4096;

/// How long to wait before a port is tried again, as ZooKeeper does.
const RETRY: Duration = Duration::from_secs(1);

/// A port to open, and where people set it.
#[derive(Clone, Debug)]
struct Wanted {
    what: &'static str,
    endpoint: Endpoint,
    /// What to choose another of.
    port_key: String,
    address_key: String,
    /// What to do about an address that is not here.
    remedy: String,
    keep_alive: bool,
    backlog: u32,
    exit: Exit,
}

/// Binds the client port.
pub async fn clients(endpoint: &Endpoint, clients: &Clients) -> Result<TcpListener, Failure> {
    let wanted = Wanted {
        what: "client port",
        endpoint: endpoint.clone(),
        port_key: "clientPort".into(),
        address_key: "clientPortAddress".into(),
        remedy: set_address("clientPortAddress"),
        keep_alive: clients.tcp_keep_alive,
        backlog: u32::try_from(clients.listen_backlog).unwrap_or(BACKLOG),
        exit: Exit::Unexpected,
    };
    wanted.bind().await.map_err(|error| wanted.explain(&error))
}

/// Binds the port of metrics.
pub async fn metrics(endpoint: &Endpoint) -> Result<TcpListener, Failure> {
    let wanted = Wanted {
        what: "metrics port",
        endpoint: endpoint.clone(),
        port_key: "metricsProvider.httpPort".into(),
        address_key: "metricsProvider.httpHost".into(),
        remedy: set_address("metricsProvider.httpHost"),
        keep_alive: false,
        backlog: BACKLOG,
        exit: Exit::Unexpected,
    };
    wanted.bind().await.map_err(|error| wanted.explain(&error))
}

fn set_address(key: &str) -> String {
    format!("set {key} to one that is, or leave it out to serve on all")
}

/// Opens the ports for other servers at each address of this server's own line, which `file` has,
/// and gives them to `opened`. Done when there is one of each kind; what fails is tried again as
/// often as `electionPortBindRetry` says, also after that.
///
/// Source: `QuorumCnxManager.Listener`. Different from there: the quorum port is open all the time,
/// and not only while the server leads.
pub async fn peers(
    file: &str,
    member: &EnsembleConfig,
    peers: &Peers,
    opened: &UnboundedSender<(Port, TcpListener)>,
) -> Result<(), Failure> {
    let (report, mut reports) = unbounded_channel();
    for (port, wanted) in wanted_of_member(file, member, peers) {
        let (report, opened, attempts) =
            (report.clone(), opened.clone(), peers.election_bind_retries);
        tokio::spawn(async move {
            let result = wanted.bind_at_last(attempts).await;
            let result = result.map(|listener| {
                // A server that is stopping takes none.
                let _ = opened.send((port, listener));
                port
            });
            // Nobody listens once there is one of each kind.
            let _ = report.send(result);
        });
    }
    drop(report);
    let mut missing = vec![Port::Election, Port::Quorum];
    let mut failed = None;
    while !missing.is_empty() {
        match reports.recv().await {
            Some(Ok(port)) => missing.retain(|missing| *missing != port),
            Some(Err(failure)) => failed = Some(failure),
            None => return Err(failed.expect("a port that is not open has failed")),
        }
    }
    Ok(())
}

/// The ports of a member, or each once at all addresses (`quorumListenOnAllIPs`).
fn wanted_of_member(file: &str, member: &EnsembleConfig, peers: &Peers) -> Vec<(Port, Wanted)> {
    let id = member.id;
    let own = member.ensemble.members().get(&id).expect("a member has a line of its own");
    let mut wanted: Vec<(Port, Wanted)> = Vec::new();
    for address in &own.addresses {
        for (port, what, number) in [
            (Port::Election, "election port", address.election_port),
            (Port::Quorum, "quorum port", address.quorum_port),
        ] {
            let host = (!peers.listen_on_all_addresses).then(|| address.host.clone());
            let endpoint = Endpoint { host, port: number };
            if wanted.iter().any(|(_, other)| other.endpoint == endpoint) {
                continue;
            }
            let wish = Wanted {
                what,
                endpoint,
                port_key: format!("{what} for server.{id} in {file} of every server"),
                address_key: format!("server.{id} in {file}"),
                remedy: format!(
                    "correct server.{id} in {file} (or myid, if this is another server), or add \
                     quorumListenOnAllIPs=true to listen on all"
                ),
                keep_alive: peers.tcp_keep_alive,
                backlog: BACKLOG,
                exit: Exit::PeerPort,
            };
            wanted.push((port, wish));
        }
    }
    wanted
}

impl Wanted {
    /// Binds, with so many attempts; 0 is without end. The name is looked up for each.
    async fn bind_at_last(&self, attempts: u32) -> Result<TcpListener, Failure> {
        let mut attempt = 1;
        loop {
            let failure = match self.bind().await {
                Ok(listener) => return Ok(listener),
                Err(error) => self.explain(&error),
            };
            tracing::warn!("attempt {attempt}: {}", failure.why);
            if attempt == attempts {
                return Err(failure);
            }
            attempt = attempt.saturating_add(1);
            sleep(RETRY).await;
        }
    }

    async fn bind(&self) -> io::Result<TcpListener> {
        let port = self.endpoint.port;
        match &self.endpoint.host {
            Some(host) => self.bind_host(host).await,
            // One socket takes both families, unless the system has no IPv6.
            None => self.listen((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|error| {
                if error.kind() == ErrorKind::AddrInUse {
                    return Err(error);
                }
                self.listen((Ipv4Addr::UNSPECIFIED, port).into())
            }),
        }
    }

    async fn bind_host(&self, host: &str) -> io::Result<TcpListener> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in lookup_host((host, self.endpoint.port)).await? {
            match self.listen(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart need not wait for the last run's connections to be forgotten.
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it.
        socket.set_keepalive(self.keep_alive)?;
        socket.bind(address)?;
        socket.listen(self.backlog)
    }

    fn explain(&self, error: &io::Error) -> Failure {
        let Wanted { what, endpoint, port_key, address_key, remedy, .. } = self;
        let why = match error.kind() {
            ErrorKind::AddrInUse => format!(
                "{endpoint} is taken by another program, perhaps a server that runs already: stop \
                 that one, or choose another {port_key} (`ss -ltnp sport = :{}` shows who has it)",
                endpoint.port
            ),
            ErrorKind::PermissionDenied => format!(
                "{endpoint} may not be opened by this user: choose a {port_key} of 1024 or more"
            ),
            ErrorKind::AddrNotAvailable => {
                format!("{endpoint} is no address of this machine: {remedy}")
            }
            _ => format!("cannot open the {what} {endpoint}: {error}; check {address_key}"),
        };
        Failure { exit: self.exit, why }
    }
}
