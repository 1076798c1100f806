// SPDX-License-Identifier: Apache-2.0
//! Links: bytes in through the framing machine of their port, bytes out as the socket takes them.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Poll, ready},
    time::Duration,
};

use menagerie_core::{
    id::{DialId, LinkId},
    io::{Input, Port},
    node::Framer,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::{
        TcpSocket, TcpStream, lookup_host,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::spawn_local,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::Driver;

/// Bytes taken from a socket at once.
const READ_AT_ONCE: usize = 1 << 16;

/// How long a link that is being closed may take to read what is left.
const LINGER: Duration = Duration::from_secs(5);

/// A buffer that grew beyond this is given back once it is empty.
const KEPT: usize = 1 << 16;

thread_local! {
    /// One buffer serves all connections: what is not a whole frame moves to its framer.
    static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_AT_ONCE].into());
}

/// A connection, shared between its task and the driver.
pub struct Link {
    /// Its name in the core.
    pub id: LinkId,
    outgoing: OwnedWriteHalf,
    out: RefCell<Vec<u8>>,
    /// How much of `out` the socket has taken: `0 <= taken <= out.len()`.
    taken: Cell<usize>,
    paused: Cell<bool>,
    closing: Cell<bool>,
    /// Something above changed, or there is more to write.
    changed: Notify,
}

impl Link {
    /// Queues bytes; true if there were none before, so that somebody must see to them.
    pub fn queue(&self, bytes: &[u8]) -> bool {
        let mut out = self.out.borrow_mut();
        let idle = out.is_empty();
        out.extend_from_slice(bytes);
        idle
    }

    /// Closes the link once everything queued is out.
    pub fn close(&self) {
        self.closing.set(true);
        self.changed.notify_one();
    }

    /// Reads no more, or reads again.
    pub fn pause(&self, on: bool) {
        self.paused.set(on);
        self.changed.notify_one();
    }

    /// Writes as much as the socket takes now, and says how much that was. What is left is
    /// written by the link's task when the socket is ready.
    pub fn write_out(&self) -> usize {
        let mut out = self.out.borrow_mut();
        let before = self.taken.get();
        let mut taken = before;
        while taken < out.len() {
            match self.outgoing.try_write(&out[taken..]) {
                Ok(n) => taken += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    // The reading side will hear of it, too.
                    taken = out.len();
                    self.closing.set(true);
                }
            }
        }
        if taken == out.len() {
            out.clear();
            if out.capacity() > KEPT {
                *out = Vec::new();
            }
            self.taken.set(0);
        } else {
            self.taken.set(taken);
        }
        if !out.is_empty() || self.closing.get() {
            self.changed.notify_one();
        }
        taken - before
    }

    fn has_out(&self) -> bool {
        !self.out.borrow().is_empty()
    }

    fn is_read(&self) -> bool {
        !self.paused.get() && !self.closing.get()
    }
}

/// What the core asked to be dialled.
pub struct Call {
    pub dial: DialId,
    pub port: Port,
    pub host: String,
    pub number: u16,
    pub limit: Duration,
}

/// Dials; the core hears of the link, or of why there is none.
pub async fn dial(driver: Rc<Driver>, call: Call) {
    let opened = open(&call, driver.peer_keep_alive).await;
    let Call { dial, port, .. } = call;
    match opened {
        Ok((stream, peer)) => start(&driver, stream, peer, port, Some(dial)),
        Err(error) => {
            let failed = Input::DialFailed { port, dial, why: error.to_string() };
            driver.input(driver.now(), failed);
            driver.want_flush();
        }
    }
}

/// Resolves a name and connects to the first of its addresses that answers. What is left of the
/// time is shared among them: one that leads nowhere does not keep the next from being tried.
async fn open(call: &Call, keep_alive: bool) -> io::Result<(TcpStream, SocketAddr)> {
    let until = Instant::now() + call.limit;
    let named = lookup_host((call.host.as_str(), call.number));
    let addresses: Vec<SocketAddr> = timeout_at(until, named).await??.collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (left, address) in (1..=addresses.len() as u32).rev().zip(addresses) {
        let share = until.saturating_duration_since(Instant::now()) / left;
        match timeout(share, connect(address, keep_alive)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

async fn connect(address: SocketAddr, keep_alive: bool) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(keep_alive)?;
    let stream = socket.connect(address).await?;
    // While nobody listens at a port that the system also gives out, a dial can meet itself.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Announces a link to the core and starts its task.
pub fn start(
    driver: &Rc<Driver>,
    stream: TcpStream,
    peer: SocketAddr,
    port: Port,
    dialled: Option<DialId>,
) {
    // A reply is written whole, so waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let id = LinkId(driver.newest_link.get() + 1);
    driver.newest_link.set(id.0);
    let (incoming, outgoing) = stream.into_split();
    let link = Rc::new(Link {
        id,
        outgoing,
        out: RefCell::default(),
        taken: Cell::new(0),
        paused: Cell::new(false),
        closing: Cell::new(false),
        changed: Notify::new(),
    });
    driver.links.borrow_mut().insert(id, link.clone());
    // One socket takes both families of addresses, and an IPv4 peer is one all the same.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let framer = Framer::new(port, dialled.is_some(), driver.limits);
    driver.input(driver.now(), Input::LinkUp { link: id, port, peer, dialled });
    driver.want_flush();
    spawn_local(serve(driver.clone(), link, incoming, framer));
}

/// Reads and writes until either side closes.
async fn serve(
    driver: Rc<Driver>,
    link: Rc<Link>,
    mut incoming: OwnedReadHalf,
    mut framer: Framer,
) {
    while !link.closing.get() || link.has_out() {
        tokio::select! {
            biased;
            ready = link.outgoing.writable(), if link.has_out() => {
                let bytes = link.write_out();
                if bytes > 0 {
                    driver.input(driver.now(), Input::Drained { link: link.id, bytes });
                    driver.want_flush();
                }
                if ready.is_err() {
                    break;
                }
            }
            going_on = read(&driver, &link, &mut incoming, &mut framer), if link.is_read() => {
                if !going_on {
                    break;
                }
            }
            () = link.changed.notified() => {}
            () = sleep(LINGER), if link.closing.get() => break,
        }
    }
    driver.links.borrow_mut().remove(&link.id);
    driver.input(driver.now(), Input::LinkDown { link: link.id });
    driver.want_flush();
}

/// Takes what the socket has, once it has something; false when the other end is done.
///
/// This is `poll_read` and not `try_read`, because that one takes it from a buffer left half empty
/// that the socket has no more, and asks it no second time.
async fn read(
    driver: &Driver,
    link: &Link,
    incoming: &mut OwnedReadHalf,
    framer: &mut Framer,
) -> bool {
    poll_fn(|cx| {
        INCOMING.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let read = ready!(Pin::new(&mut *incoming).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(false);
            }
            let now = driver.now();
            framer.push(buffer.filled(), |frame| {
                driver.input(now, Input::Frame { link: link.id, frame });
            });
            driver.want_flush();
            Poll::Ready(true)
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn call(host: &str, number: u16) -> Call {
        let limit = Duration::from_secs(60);
        Call { dial: DialId(1), port: Port::Election, host: host.into(), number, limit }
    }

    #[tokio::test]
    async fn a_dial_resolves_and_connects_or_says_why_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let there = listener.local_addr().expect("it is bound");
        let (_stream, peer) =
            open(&call("localhost", there.port()), true).await.expect("it listens");
        assert_eq!(peer, there);
        drop(listener);
        let gone = open(&call("127.0.0.1", there.port()), false).await;
        assert_eq!(gone.expect_err("it is gone").kind(), io::ErrorKind::ConnectionRefused);
    }
}
