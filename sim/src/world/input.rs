// SPDX-License-Identifier: Apache-2.0
//! What waits in a server's inbox, owned, and how it looks to the core and to people.

use std::net::{Ipv4Addr, SocketAddr};

use menagerie_core::{
    election::wire::{Hello, Notification},
    id::{DialId, LinkId, OpId},
    io::{FileOp, Frame, Port},
    jute::{Reader, Record},
    proto::{Request, RequestHeader},
    zab::wire::QuorumPacket,
};

use crate::{disk::Ended, net::End};

/// What waits for a server's next turn.
#[derive(Clone, Debug)]
pub enum In {
    Time,
    LinkUp { link: LinkId, port: Port, peer: SocketAddr, dialled: Option<DialId> },
    LinkDown { link: LinkId },
    DialFailed { port: Port, dial: DialId, why: &'static str },
    Packet { link: LinkId, bytes: Vec<u8> },
    Word { link: LinkId, word: [u8; 4] },
    Oversized { link: LinkId, len: u32, head: Vec<u8> },
    Nonsense { link: LinkId, len: i32 },
    Tree { link: LinkId, bytes: Vec<u8>, last: bool },
    Broken { link: LinkId, why: &'static str },
    Drained { link: LinkId, bytes: usize },
    File { op: OpId, ended: Ended },
    Stop,
}

impl In {
    /// The frame that it is, if it is one.
    pub fn frame(&self) -> Option<(LinkId, Frame<'_>)> {
        Some(match self {
            In::Packet { link, bytes } => (*link, Frame::Packet(bytes)),
            In::Word { link, word } => (*link, Frame::Word(*word)),
            In::Oversized { link, len, head } => (*link, Frame::Oversized { len: *len, head }),
            In::Nonsense { link, len } => (*link, Frame::Nonsense { len: *len }),
            In::Tree { link, bytes, last } => (*link, Frame::Tree { bytes, last: *last }),
            In::Broken { link, why } => (*link, Frame::Broken { why }),
            _ => return None,
        })
    }

    /// A frame, owned.
    pub fn of(link: LinkId, frame: &Frame<'_>) -> In {
        match *frame {
            Frame::Packet(bytes) => In::Packet { link, bytes: bytes.to_vec() },
            Frame::Word(word) => In::Word { link, word },
            Frame::Oversized { len, head } => In::Oversized { link, len, head: head.to_vec() },
            Frame::Nonsense { len } => In::Nonsense { link, len },
            Frame::Tree { bytes, last } => In::Tree { link, bytes: bytes.to_vec(), last },
            Frame::Broken { why } => In::Broken { link, why },
        }
    }
}

/// The address of a machine, on a link.
pub fn address(end: End, link: u64) -> SocketAddr {
    let (net, last) = match end {
        End::Server(n) => (1, 1 + n as u8),
        End::Client(n, _) => (0, 1 + n as u8),
        End::Rude => (0, 200),
    };
    SocketAddr::from((Ipv4Addr::new(10, 0, net, last), 20_000 + (link % 40_000) as u16))
}

/// A frame that came over a link of a port, for people.
pub fn show_frame(port: Port, frame: &Frame<'_>) -> String {
    let Frame::Packet(bytes) = frame else { return format!("{frame:?}") };
    match port {
        Port::Client => show_request(bytes),
        Port::Election => match (Notification::decode(bytes), Hello::decode(bytes)) {
            (Ok(heard), _) => format!("{:?} in round {}, {}", heard.state, heard.round, heard.vote),
            (_, Ok(hello)) => format!("hello of {}", hello.from),
            _ => format!("{} bytes", bytes.len()),
        },
        Port::Quorum => match QuorumPacket::decode(&mut Reader::new(bytes)) {
            Ok(packet) => format!("packet {} {}", packet.kind, packet.zxid),
            Err(_) => format!("{} bytes", bytes.len()),
        },
    }
}

fn show_request(bytes: &[u8]) -> String {
    let mut reader = Reader::new(bytes);
    let header = RequestHeader::decode(&mut reader);
    match header.map(|header| (header, Request::decode(header.op, &mut reader))) {
        Ok((header, Ok(request))) => format!("xid {} {request:?}", header.xid),
        _ => format!("{} bytes", bytes.len()),
    }
}

/// A file operation, for people.
pub fn show_op(what: &FileOp) -> String {
    match what {
        FileOp::Write { file, offset, data } => {
            format!("write {} bytes to file {} at {offset}", data.len(), file.0)
        }
        _ => format!("{what:?}"),
    }
}
