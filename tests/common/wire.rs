// SPDX-License-Identifier: Apache-2.0
//! A client of bytes: it sends what it is told to, well formed or not, and reads what comes.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::{Reader, Record},
    proto::{ConnectRequest, ConnectResponse, ReplyHeader, Request, RequestHeader, WatcherEvent},
};

use super::PATIENCE;

/// A connection to a server.
pub struct Wire {
    pub stream: TcpStream,
    pub session: SessionId,
    pub password: Vec<u8>,
    xid: i32,
}

/// A handshake for a new session.
pub const NEW: ConnectRequest<'static> = ConnectRequest {
    protocol_version: 0,
    last_zxid_seen: Zxid::ZERO,
    timeout_ms: 30_000,
    session: SessionId::NONE,
    password: &[0; 16],
    read_only: Some(false),
};

impl Wire {
    /// A connection on which nothing was sent.
    pub fn bare(port: u16) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        // A server that never answers fails the test instead of stopping it.
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("bytes that go at once");
        Wire { stream, session: SessionId::NONE, password: Vec::new(), xid: 0 }
    }

    /// A connection with a session.
    pub fn open(port: u16) -> Wire {
        let mut wire = Wire::bare(port);
        wire.send(&encoded(&NEW));
        assert!(wire.greeted(), "a new session is opened");
        wire
    }

    /// Reads the answer to a handshake: whether there is a session now.
    pub fn greeted(&mut self) -> bool {
        let Some(frame) = self.frame() else { return false };
        let answer = ConnectResponse::decode(&mut Reader::new(&frame)).expect("an answer");
        self.session = answer.session;
        self.password = answer.password.into();
        answer.timeout_ms > 0
    }

    /// Sends bytes as they are. An end that is closed already takes them, too.
    pub fn raw(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !is_closed(error.kind()) => panic!("{error}"),
            _ => {}
        }
    }

    /// Sends a packet behind its length.
    pub fn send(&mut self, packet: &[u8]) {
        self.raw(&framed(packet));
    }

    /// The next frame; none once the server has hung up.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 4];
        let mut read = |buffer: &mut [u8]| match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if is_closed(error.kind()) => false,
            Err(error) => panic!("nothing came: {error}"),
        };
        if !read(&mut len) {
            return None;
        }
        let mut frame = vec![0; u32::from_be_bytes(len) as usize];
        read(&mut frame).then_some(frame)
    }

    /// The next number for a request.
    pub fn next_xid(&mut self) -> i32 {
        self.xid += 1;
        self.xid
    }

    /// Sends a request and reads its answer: error and body; none if the server hangs up.
    pub fn try_ask(&mut self, op: i32, body: &[u8]) -> Option<(i32, Vec<u8>)> {
        let xid = self.next_xid();
        self.send(&packet(xid, op, body));
        self.answer(xid)
    }

    /// Reads the answer of this number, and passes over events.
    pub fn answer(&mut self, xid: i32) -> Option<(i32, Vec<u8>)> {
        loop {
            let frame = self.frame()?;
            let mut r = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut r).expect("a reply");
            if header.xid != -1 {
                assert_eq!(header.xid, xid, "answers come in the order of requests");
                return Some((header.err, r.rest().into()));
            }
            WatcherEvent::decode(&mut r).expect("an event");
        }
    }

    pub fn ask(&mut self, request: &Request<'_>) -> (i32, Vec<u8>) {
        let answer = self.try_ask(request.op().code(), &body(request));
        answer.unwrap_or_else(|| panic!("hung up on at {request:?}"))
    }

    /// Whether the server has hung up, and nothing more comes.
    pub fn is_hung_up(&mut self) -> bool {
        self.frame().is_none()
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

pub fn encoded<'a>(record: &impl Record<'a>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

pub fn body(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    bytes
}

/// A request's head and body.
pub fn packet(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    [&encoded(&RequestHeader { xid, op }), body].concat()
}

/// A packet behind its length.
pub fn framed(packet: &[u8]) -> Vec<u8> {
    let len = u32::try_from(packet.len()).expect("a packet is short");
    [&len.to_be_bytes(), packet].concat()
}
