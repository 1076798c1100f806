// SPDX-License-Identifier: Apache-2.0
//! Opens the ports: of clients, and of metrics.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use menagerie_core::{
    config::{Clients, Endpoint},
    io::Exit,
};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::Failure;

/// How many connections may wait to be accepted where the configuration does not say: a restart
/// brings all clients back at once, and the system cuts this to what it allows.
const BACKLOG: u32 = 4096;

/// A port to open, and the keys by which people set it.
struct Wanted<'a> {
    what: &'static str,
    endpoint: &'a Endpoint,
    port_key: &'static str,
    address_key: &'static str,
    keep_alive: bool,
    backlog: u32,
}

/// Binds the client port.
pub async fn clients(endpoint: &Endpoint, clients: &Clients) -> Result<TcpListener, Failure> {
    let wanted = Wanted {
        what: "client port",
        endpoint,
        port_key: "clientPort",
        address_key: "clientPortAddress",
        keep_alive: clients.tcp_keep_alive,
        backlog: u32::try_from(clients.listen_backlog).unwrap_or(BACKLOG),
    };
    wanted.bind().await
}

/// Binds the port of metrics.
pub async fn metrics(endpoint: &Endpoint) -> Result<TcpListener, Failure> {
    let wanted = Wanted {
        what: "metrics port",
        endpoint,
        port_key: "metricsProvider.httpPort",
        address_key: "metricsProvider.httpHost",
        keep_alive: false,
        backlog: BACKLOG,
    };
    wanted.bind().await
}

impl Wanted<'_> {
    async fn bind(&self) -> Result<TcpListener, Failure> {
        let port = self.endpoint.port;
        let bound = match &self.endpoint.host {
            Some(host) => self.bind_host(host).await,
            // One socket takes both families, unless the system has no IPv6.
            None => self.listen((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|error| {
                if error.kind() == ErrorKind::AddrInUse {
                    return Err(error);
                }
                self.listen((Ipv4Addr::UNSPECIFIED, port).into())
            }),
        };
        bound.map_err(|error| self.explain(&error))
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
        let Wanted { what, endpoint, port_key, address_key, .. } = self;
        let why = match error.kind() {
            ErrorKind::AddrInUse => format!(
                "{endpoint} is taken by another program, perhaps a server that runs already: stop \
                 that one, or choose another {port_key} (`ss -ltnp sport = :{}` shows who has it)",
                endpoint.port
            ),
            ErrorKind::PermissionDenied => format!(
                "{endpoint} may not be opened by this user: choose a {port_key} of 1024 or more"
            ),
            ErrorKind::AddrNotAvailable => format!(
                "{endpoint} is no address of this machine: set {address_key} to one that is, or \
                 leave it out to serve on all"
            ),
            _ => format!("cannot open the {what} {endpoint}: {error}; check {address_key}"),
        };
        Failure { exit: Exit::Unexpected, why }
    }
}
