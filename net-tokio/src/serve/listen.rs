// SPDX-License-Identifier: Apache-2.0
//! Opens the client port.

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

/// Binds the client port.
pub async fn bind(endpoint: &Endpoint, clients: &Clients) -> Result<TcpListener, Failure> {
    let bound = match &endpoint.host {
        Some(host) => bind_host(host, endpoint.port, clients).await,
        // One socket takes both families, unless the system has no IPv6.
        None => listen((Ipv6Addr::UNSPECIFIED, endpoint.port).into(), clients).or_else(|error| {
            if error.kind() == ErrorKind::AddrInUse {
                return Err(error);
            }
            listen((Ipv4Addr::UNSPECIFIED, endpoint.port).into(), clients)
        }),
    };
    bound.map_err(|error| explain(endpoint, &error))
}

async fn bind_host(host: &str, port: u16, clients: &Clients) -> io::Result<TcpListener> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match listen(address, clients) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr, clients: &Clients) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for the last run's connections to be forgotten.
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_keepalive(clients.tcp_keep_alive)?;
    socket.bind(address)?;
    socket.listen(u32::try_from(clients.listen_backlog).unwrap_or(BACKLOG))
}

fn explain(endpoint: &Endpoint, error: &io::Error) -> Failure {
    let Endpoint { port, .. } = endpoint;
    let why = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "{endpoint} is taken by another program, perhaps a server that runs already: stop \
             that one, or choose another clientPort (`ss -ltnp sport = :{port}` shows who has it)"
        ),
        ErrorKind::PermissionDenied => format!(
            "{endpoint} may not be opened by this user: choose a clientPort of 1024 or more"
        ),
        ErrorKind::AddrNotAvailable => format!(
            "{endpoint} is no address of this machine: set clientPortAddress to one that is, or \
             leave it out to serve on all"
        ),
        _ => format!("cannot open the client port {endpoint}: {error}; check clientPortAddress"),
    };
    Failure { exit: Exit::Unexpected, why }
}
