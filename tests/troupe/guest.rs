// SPDX-License-Identifier: Apache-2.0
//! A client's end of a link: what it asks, and what it makes of the bytes that come back.

use std::collections::VecDeque;

use menagerie_core::{
    frame::ClientFramer,
    id::{SessionId, Zxid},
    jute::{Reader, Record, begin_frame, end_frame},
    proto::{
        ConnectRequest, ConnectResponse, OpCode, ReplyHeader, Request, RequestHeader, WatcherEvent,
        XID_AUTH, XID_NOTIFICATION, XID_PING, XID_SET_WATCHES,
    },
};

/// A client's end of a link.
pub struct Guest {
    pub name: String,
    pub up: bool,
    /// What its server reads by.
    pub framer: ClientFramer,
    pub xid: i32,
    pub asked: VecDeque<(i32, OpCode)>,
    greeted: bool,
    /// Bytes that make no whole frame yet.
    held: Vec<u8>,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// `len` is of the whole packet.
    Greeting {
        session: SessionId,
        timeout_ms: i32,
        password: Vec<u8>,
        len: usize,
    },
    Event {
        kind: i32,
        path: Vec<u8>,
        zxid: Zxid,
    },
    Reply {
        xid: i32,
        op: OpCode,
        err: i32,
        zxid: Zxid,
        body: Vec<u8>,
    },
}

impl Guest {
    pub fn new(name: &str) -> Guest {
        Guest {
            name: name.to_owned(),
            up: true,
            framer: ClientFramer::new(1 << 20),
            xid: 0,
            asked: VecDeque::new(),
            greeted: false,
            held: Vec::new(),
        }
    }

    /// The bytes of a request.
    pub fn asks(&mut self, request: &Request<'_>) -> Vec<u8> {
        let op = request.op();
        let xid = match op {
            OpCode::Ping => XID_PING,
            OpCode::Auth => XID_AUTH,
            OpCode::SetWatches2 => XID_SET_WATCHES,
            _ => {
                self.xid += 1;
                self.xid
            }
        };
        self.asked.push_back((xid, op));
        framed(|out| {
            RequestHeader { xid, op: op.code() }.encode(out);
            request.encode(out);
        })
    }

    /// What these bytes and those before them say.
    pub fn hears(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut r = Reader::new(&held);
        let (mut rest, mut heard) = (held.as_slice(), Vec::new());
        while let Ok(frame) = r.string() {
            rest = r.rest();
            heard.push(self.reads(frame));
        }
        self.held = rest.to_vec();
        heard
    }

    fn reads(&mut self, frame: &[u8]) -> Heard {
        let mut r = Reader::new(frame);
        if !std::mem::replace(&mut self.greeted, true) {
            let greeting = ConnectResponse::decode(&mut r).expect("a greeting");
            assert!(r.is_empty());
            let ConnectResponse { session, timeout_ms, password, .. } = greeting;
            return Heard::Greeting {
                session,
                timeout_ms,
                password: password.to_vec(),
                len: frame.len(),
            };
        }
        let header = ReplyHeader::decode(&mut r).expect("a header");
        if header.xid == XID_NOTIFICATION {
            let event = WatcherEvent::decode(&mut r).expect("an event");
            let path = event.path.to_vec();
            return Heard::Event { kind: event.kind, path, zxid: header.zxid };
        }
        // Java, too, answers an auth packet ahead of the requests before it.
        let in_turn = |(xid, _): &(i32, OpCode)| (*xid == XID_AUTH) == (header.xid == XID_AUTH);
        let at = self.asked.iter().position(in_turn).expect("something that was asked");
        let (xid, op) = self.asked.remove(at).expect("it was found there");
        assert_eq!(xid, header.xid, "replies come in order");
        let ReplyHeader { err, zxid, .. } = header;
        Heard::Reply { xid, op, err, zxid, body: r.rest().to_vec() }
    }
}

/// A handshake, as clients of 3.5 and later send it.
pub fn connect(session: SessionId, password: &[u8]) -> Vec<u8> {
    greeting(&ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 8_000,
        session,
        password,
        read_only: Some(false),
    })
}

/// A handshake with its length.
pub fn greeting(request: &ConnectRequest<'_>) -> Vec<u8> {
    framed(|out| request.encode(out))
}

fn framed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mark = begin_frame(&mut bytes);
    write(&mut bytes);
    end_frame(&mut bytes, mark);
    bytes
}
