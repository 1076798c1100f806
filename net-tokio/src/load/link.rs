// SPDX-License-Identifier: Apache-2.0
//! One connection of the load generator: keeps requests outstanding, and times their replies.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::{Reader, Record, Write, begin_frame, end_frame},
    proto::{
        ConnectRequest, ConnectResponse, PASSWORD_LEN, ReplyHeader, Request, RequestHeader,
        XID_PING,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    select,
    time::{sleep, sleep_until},
};

use super::report::Tally;

/// The session timeout asked for, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// How often an idle session says that it lives: a third of its timeout.
const PING_EVERY: Duration = Duration::from_secs(10);

/// A connection with a session.
pub struct Link {
    stream: TcpStream,
    /// What came and is not a whole frame yet: `0 <= begin <= end <= incoming.len()`.
    incoming: Vec<u8>,
    begin: usize,
    end: usize,
    outgoing: Vec<u8>,
    /// The xid of the last request, and of the last reply.
    asked: i32,
    answered: i32,
    session: SessionId,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The most that are outstanding.
    pub depth: usize,
    /// From one request to the next; without it, as fast as replies come.
    pub every: Option<Duration>,
    /// None is sent from then on.
    pub until: Instant,
}

/// Appends a request's type and body.
pub fn put(request: &Request<'_>, out: &mut Vec<u8>) {
    out.put_int(request.op().code());
    request.encode(out);
}

impl Link {
    /// Connects and opens a session.
    pub async fn connect(server: &str) -> io::Result<Link> {
        let stream = TcpStream::connect(server).await.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot connect to {server}: {error}"))
        })?;
        stream.set_nodelay(true)?;
        let mut link = Link {
            stream,
            incoming: vec![0; 1 << 10],
            begin: 0,
            end: 0,
            outgoing: Vec::new(),
            asked: 0,
            answered: 0,
            session: SessionId::NONE,
        };
        let mark = begin_frame(&mut link.outgoing);
        let hello = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: TIMEOUT_MS,
            session: SessionId::NONE,
            password: &[0; PASSWORD_LEN],
            read_only: Some(false),
        };
        hello.encode(&mut link.outgoing);
        end_frame(&mut link.outgoing, mark);
        link.write().await?;
        loop {
            if let Some(frame) = link.frame()? {
                let answer = ConnectResponse::decode(&mut Reader::new(frame));
                let opened = answer.ok().filter(|answer| answer.timeout_ms > 0);
                link.session = opened.ok_or_else(refused)?.session;
                return Ok(link);
            }
            link.read().await?;
        }
    }

    /// The session: no server ever gave another one of this name.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Whether there is such a znode.
    pub async fn exists(&mut self, path: &str) -> io::Result<bool> {
        let (mut asked, mut found) = (false, false);
        let exists = Request::Exists { path: path.as_bytes(), watch: false };
        let next = |out: &mut Vec<u8>| {
            put(&exists, out);
            !std::mem::replace(&mut asked, true)
        };
        let check = |err| {
            found = err == 0;
            Ok(())
        };
        self.work_off(1, next, check).await?;
        Ok(found)
    }

    /// Sends requests at a pace, then waits for the last replies.
    ///
    /// A reply's time counts from when its request was sent; from when it fell due, if too many
    /// were outstanding to send it then: a server that stalls does not get fewer requests.
    pub async fn drive(
        mut self,
        pace: Pace,
        tally: &RefCell<Tally>,
        mut next: impl FnMut(&mut Vec<u8>),
    ) -> io::Result<()> {
        let mut sent = VecDeque::with_capacity(pace.depth);
        let mut due = Instant::now();
        let mut full = false;
        loop {
            let now = Instant::now();
            while sent.len() < pace.depth && due <= now && now < pace.until {
                self.request(&mut next);
                sent.push_back(if full && pace.every.is_some() { due } else { now });
                due += pace.every.unwrap_or_default();
            }
            full = sent.len() == pace.depth;
            if sent.is_empty() && now >= pace.until {
                return Ok(());
            }
            self.write().await?;
            if pace.every.is_some() && !full && now < pace.until {
                select! {
                    read = self.read() => read?,
                    () = sleep_until(due.into()) => continue,
                }
            } else {
                self.read().await?;
            }
            let now = Instant::now();
            let mut tally = tally.borrow_mut();
            while let Some(err) = self.reply()? {
                let began = sent.pop_front().ok_or_else(unasked)?;
                tally.record(began, now, err);
            }
        }
    }

    /// Sends requests for as long as `next` has any; their errors go to `check`, in order.
    pub async fn work_off(
        &mut self,
        depth: usize,
        mut next: impl FnMut(&mut Vec<u8>) -> bool,
        mut check: impl FnMut(i32) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut waiting, mut more) = (0, true);
        while more || waiting > 0 {
            while more && waiting < depth {
                let (mark, asked) = (self.outgoing.len(), self.asked);
                self.request(&mut |out: &mut Vec<u8>| more = next(out));
                if more {
                    waiting += 1;
                } else {
                    self.outgoing.truncate(mark);
                    self.asked = asked;
                }
            }
            if waiting > 0 {
                self.write().await?;
                self.read().await?;
                while let Some(err) = self.reply()? {
                    check(err)?;
                    waiting -= 1;
                }
            }
        }
        Ok(())
    }

    /// Says that it lives, and nothing else, until it is dropped.
    pub async fn idle(mut self) -> io::Result<()> {
        loop {
            sleep(PING_EVERY).await;
            let mark = begin_frame(&mut self.outgoing);
            RequestHeader { xid: XID_PING, op: Request::Ping.op().code() }
                .encode(&mut self.outgoing);
            end_frame(&mut self.outgoing, mark);
            self.write().await?;
            while self.frame()?.is_none() {
                self.read().await?;
            }
        }
    }

    fn request(&mut self, next: &mut impl FnMut(&mut Vec<u8>)) {
        self.asked = following(self.asked);
        let mark = begin_frame(&mut self.outgoing);
        self.outgoing.put_int(self.asked);
        next(&mut self.outgoing);
        end_frame(&mut self.outgoing, mark);
    }

    /// The error of the next reply that is whole; it must be to the oldest request.
    fn reply(&mut self) -> io::Result<Option<i32>> {
        let expected = following(self.answered);
        let Some(frame) = self.frame()? else { return Ok(None) };
        match ReplyHeader::decode(&mut Reader::new(frame)) {
            Ok(header) if header.xid == expected => {
                self.answered = expected;
                Ok(Some(header.err))
            }
            _ => Err(unasked()),
        }
    }

    fn frame(&mut self) -> io::Result<Option<&[u8]>> {
        let Some((length, rest)) = self.incoming[self.begin..self.end].split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| unasked())?;
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.begin + 4;
        self.begin = start + length;
        Ok(Some(&self.incoming[start..start + length]))
    }

    async fn write(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.outgoing).await?;
        self.outgoing.clear();
        Ok(())
    }

    async fn read(&mut self) -> io::Result<()> {
        self.incoming.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        let n = self.stream.read(&mut self.incoming[self.end..]).await?;
        if n == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server hung up"));
        }
        self.end += n;
        if self.end == self.incoming.len() {
            self.incoming.resize(2 * self.end, 0);
        }
        Ok(())
    }
}

/// The xid after this one; zero and below have meanings of their own.
fn following(xid: i32) -> i32 {
    xid.wrapping_add(1).max(1)
}

fn refused() -> io::Error {
    io::Error::other("the server refused a session")
}

fn unasked() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the server answered what was not asked")
}
