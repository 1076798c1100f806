// SPDX-License-Identifier: Apache-2.0
//! One connection of the load generator: keeps so many requests outstanding, and times replies.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, ErrorKind},
    time::Instant,
};

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::{Reader, Record, Write, begin_frame, end_frame},
    proto::{ConnectRequest, ConnectResponse, PASSWORD_LEN, ReplyHeader, Request},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Tally;

/// The session timeout asked for, in milliseconds.
const TIMEOUT_MS: i32 = 30_000;

/// A connection with a session.
pub struct Link {
    stream: TcpStream,
    /// What came and is not a whole frame yet: `0 <= begin <= end <= incoming.len()`.
    incoming: Vec<u8>,
    begin: usize,
    end: usize,
    outgoing: Vec<u8>,
    xid: i32,
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
        let incoming = vec![0; 1 << 16];
        let mut link = Link { stream, incoming, begin: 0, end: 0, outgoing: Vec::new(), xid: 0 };
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
            if let Some(frame) = link.frame() {
                let answer = ConnectResponse::decode(&mut Reader::new(frame));
                let opened = answer.is_ok_and(|answer| answer.timeout_ms > 0);
                return if opened { Ok(link) } else { Err(refused()) };
            }
            link.read().await?;
        }
    }

    /// Keeps `depth` requests outstanding until `until`, then waits for the last replies.
    pub async fn drive(
        mut self,
        depth: usize,
        until: Instant,
        tally: &RefCell<Tally>,
        mut next: impl FnMut(&mut Vec<u8>),
    ) -> io::Result<()> {
        let mut sent = VecDeque::with_capacity(depth);
        loop {
            let now = Instant::now();
            while sent.len() < depth && now < until {
                self.request(&mut next);
                sent.push_back(now);
            }
            if sent.is_empty() {
                return Ok(());
            }
            self.write().await?;
            self.read().await?;
            let now = Instant::now();
            let mut tally = tally.borrow_mut();
            while let Some(err) = self.reply()? {
                let began = sent.pop_front().ok_or_else(unasked)?;
                let micros = u64::try_from((now - began).as_micros()).unwrap_or(u64::MAX);
                tally.latency.saturating_record(micros.max(1));
                tally.errors += u64::from(err != 0);
            }
        }
    }

    /// Sends requests for as long as `next` has any; their errors do not matter.
    pub async fn work_off(
        mut self,
        depth: usize,
        mut next: impl FnMut(&mut Vec<u8>) -> bool,
    ) -> io::Result<()> {
        let (mut waiting, mut more) = (0, true);
        while more || waiting > 0 {
            while more && waiting < depth {
                let mark = self.outgoing.len();
                self.request(&mut |out: &mut Vec<u8>| more = next(out));
                if more { waiting += 1 } else { self.outgoing.truncate(mark) }
            }
            if waiting > 0 {
                self.write().await?;
                self.read().await?;
                while self.reply()?.is_some() {
                    waiting -= 1;
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, next: &mut impl FnMut(&mut Vec<u8>)) {
        self.xid = self.xid.wrapping_add(1).max(1);
        let mark = begin_frame(&mut self.outgoing);
        self.outgoing.put_int(self.xid);
        next(&mut self.outgoing);
        end_frame(&mut self.outgoing, mark);
    }

    /// The error of the next reply that is whole.
    fn reply(&mut self) -> io::Result<Option<i32>> {
        let Some(frame) = self.frame() else { return Ok(None) };
        let header = ReplyHeader::decode(&mut Reader::new(frame));
        header.map(|header| Some(header.err)).map_err(|_| unasked())
    }

    fn frame(&mut self) -> Option<&[u8]> {
        let (length, rest) = self.incoming[self.begin..self.end].split_first_chunk()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        if rest.len() < length {
            return None;
        }
        let start = self.begin + 4;
        self.begin = start + length;
        Some(&self.incoming[start..start + length])
    }

    async fn write(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.outgoing).await?;
        self.outgoing.clear();
        Ok(())
    }

    async fn read(&mut self) -> io::Result<()> {
        self.incoming.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        if self.end == self.incoming.len() {
            self.incoming.resize(2 * self.end, 0);
        }
        match self.stream.read(&mut self.incoming[self.end..]).await? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server hung up")),
            n => {
                self.end += n;
                Ok(())
            }
        }
    }
}

fn refused() -> io::Error {
    io::Error::other("the server refused a session")
}

fn unasked() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the server answered what was not asked")
}
