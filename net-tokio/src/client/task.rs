// SPDX-License-Identifier: Apache-2.0
//! The task behind a client: one socket, one timer, and the machine that decides.

use std::{future::pending, io, pin::Pin, sync::Arc, time::Duration};

use menagerie_core::{
    client::{Effect, Input},
    id::LinkId,
};
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
    time::sleep,
};

use super::shared::Shared;

/// How much is read at once.
const READ: usize = 64 * 1024;

type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The link that the machine asked for last.
enum Link {
    None,
    Dialing { id: LinkId, host: String, dial: Dial },
    Up { id: LinkId, stream: TcpStream, out: Vec<u8>, written: usize },
}

enum Happened {
    Woken,
    Due,
    Dialled(LinkId, String, io::Result<TcpStream>),
    Ready(LinkId, io::Result<Ready>),
}

/// Drives a client until its session is over.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut link = Link::None;
    let mut buffer = vec![0; READ];
    let mut due = turn(&shared, &mut link, None);
    while let Some(wait) = due {
        let happened = tokio::select! {
            () = shared.wake.notified() => Happened::Woken,
            () = sleep(wait) => Happened::Due,
            happened = link.happening() => happened,
        };
        due = match happened {
            Happened::Woken => turn(&shared, &mut link, None),
            Happened::Due => turn(&shared, &mut link, Some(Input::Time)),
            Happened::Dialled(id, host, dialled) => {
                on_dialled(&shared, &mut link, id, &host, dialled)
            }
            Happened::Ready(id, ready) => on_ready(&shared, &mut link, id, ready, &mut buffer),
        };
    }
}

impl Link {
    /// What the link has to tell next.
    async fn happening(&mut self) -> Happened {
        match self {
            Link::None => pending().await,
            Link::Dialing { id, host, dial } => {
                let dialled = dial.await;
                Happened::Dialled(*id, std::mem::take(host), dialled)
            }
            Link::Up { id, stream, out, .. } => {
                let interest = if out.is_empty() {
                    Interest::READABLE
                } else {
                    Interest::READABLE | Interest::WRITABLE
                };
                Happened::Ready(*id, stream.ready(interest).await)
            }
        }
    }

    fn carry_out(&mut self, effect: &Effect, bytes: &[u8]) {
        match effect {
            Effect::Dial { link, host } => {
                let (id, host) = (*link, host.clone());
                let dial = Box::pin(TcpStream::connect(host.clone()));
                *self = Link::Dialing { id, host, dial };
            }
            Effect::Send { link, bytes: range } => {
                if let Link::Up { id, out, .. } = self
                    && id == link
                {
                    out.extend_from_slice(&bytes[range.clone()]);
                }
            }
            Effect::HangUp { .. } => {
                // What the system does not take at once, nobody waits for.
                let _ = self.write();
                *self = Link::None;
            }
            Effect::State(_) | Effect::Notice(_) | Effect::Reply(_) => {}
        }
    }

    /// Writes as much as the system takes now.
    fn write(&mut self) -> io::Result<()> {
        let Link::Up { stream, out, written, .. } = self else { return Ok(()) };
        while *written < out.len() {
            match stream.try_write(&out[*written..]) {
                Ok(n) => *written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        out.clear();
        *written = 0;
        Ok(())
    }
}

fn turn(shared: &Shared, link: &mut Link, input: Option<Input<'_>>) -> Option<Duration> {
    let due = shared.turn(input, |effect, bytes| link.carry_out(effect, bytes));
    match (link.write(), &*link) {
        (Err(error), Link::Up { id, .. }) => {
            let id = *id;
            lost(shared, link, id, &error)
        }
        _ => due,
    }
}

fn on_dialled(
    shared: &Shared,
    link: &mut Link,
    id: LinkId,
    host: &str,
    dialled: io::Result<TcpStream>,
) -> Option<Duration> {
    match dialled.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
        Ok(stream) => {
            *link = Link::Up { id, stream, out: Vec::new(), written: 0 };
            turn(shared, link, Some(Input::LinkUp { link: id }))
        }
        Err(error) => {
            let named = io::Error::new(error.kind(), format!("{host}: {error}"));
            lost(shared, link, id, &named)
        }
    }
}

fn on_ready(
    shared: &Shared,
    link: &mut Link,
    id: LinkId,
    ready: io::Result<Ready>,
    buffer: &mut [u8],
) -> Option<Duration> {
    let Link::Up { stream, .. } = link else { return turn(shared, link, None) };
    let read = match ready {
        Ok(ready) if ready.is_readable() => stream.try_read(buffer),
        Ok(_) => return turn(shared, link, None),
        Err(error) => Err(error),
    };
    match read {
        Ok(0) => {
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up");
            lost(shared, link, id, &error)
        }
        Ok(n) => turn(shared, link, Some(Input::Bytes { link: id, bytes: &buffer[..n] })),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => turn(shared, link, None),
        Err(error) => lost(shared, link, id, &error),
    }
}

fn lost(shared: &Shared, link: &mut Link, id: LinkId, error: &io::Error) -> Option<Duration> {
    shared.set_trouble(error.to_string());
    *link = Link::None;
    turn(shared, link, Some(Input::LinkDown { link: id }))
}
