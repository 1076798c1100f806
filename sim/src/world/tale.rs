// SPDX-License-Identifier: Apache-2.0
//! What a world remembers for those who want its story told: who led, what befell whom, and the
//! last messages. Nothing of it is kept in a world that nobody explains.

use std::collections::{BTreeMap, VecDeque};

use menagerie_core::{
    id::LinkId,
    io::{Frame, Port},
    jute::{Reader, Record},
    node::Phase,
    proto::{ConnectRequest, ConnectResponse, ReplyHeader, XID_NOTIFICATION, XID_PING},
    zab::wire::{QuorumPacket, kind},
};

use super::{World, input::show_frame, links::name};
use crate::{
    faults::Fault,
    net::{Place, Side},
    readable::readable,
};

/// How many of the last messages are kept.
const MESSAGES: usize = 2_000;

/// What a moment of a story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A leader's reign begins or ends.
    Reign,
    /// A fault strikes, a process starts or ends.
    Fate,
    /// A client's session.
    Client(usize),
}

/// Something worth telling.
#[derive(Clone, Debug)]
pub struct Moment {
    /// World time, in microseconds.
    pub at: u64,
    /// What it is about.
    pub about: About,
    /// In words.
    pub what: String,
}

/// Something that one machine said to another.
#[derive(Clone, Debug)]
pub struct Message {
    /// World time, in microseconds.
    pub at: u64,
    /// Who said it.
    pub from: Place,
    /// To whom.
    pub to: Place,
    /// On which port.
    pub port: Port,
    /// In words.
    pub what: String,
}

/// A link that there was.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Who dialled.
    pub from: Place,
    /// Who was dialled.
    pub to: Place,
    /// What is spoken on it.
    pub port: Port,
    /// Whether the dialler has said the first word, and the other one, too.
    greeted: (bool, bool),
}

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub struct Tale {
    /// Everything but messages.
    pub moments: Vec<Moment>,
    /// The last messages.
    pub messages: VecDeque<Message>,
    /// The links that there ever were.
    pub links: BTreeMap<u64, Way>,
    /// The sessions that clients ever had.
    pub sessions: BTreeMap<i64, usize>,
    /// The server whose turn was the last.
    pub acting: Option<usize>,
}

/// A machine's name, for people.
pub fn place_name(place: Place) -> String {
    match place {
        Place::Server(server) => name(server),
        Place::Client(client) => format!("client {client}"),
        Place::Elsewhere => "a stranger".to_owned(),
    }
}

/// The epoch that a server in this phase reigns over.
fn reign(phase: Option<Phase>) -> Option<u32> {
    match phase {
        Some(Phase::Leading { epoch, established: true }) => epoch,
        _ => None,
    }
}

impl World {
    /// Remembers a moment, if anybody wants to know.
    pub(super) fn recall(&mut self, about: About, what: impl FnOnce(&World) -> String) {
        if self.tale.is_some() {
            let (at, what) = (self.now, what(self));
            if let Some(tale) = &mut self.tale {
                tale.moments.push(Moment { at, about, what });
            }
        }
    }

    /// A server's turn ended; its phase was another one before.
    pub(super) fn recall_turn(&mut self, server: usize, before: Option<Phase>, phase: Phase) {
        let Some(tale) = &mut self.tale else { return };
        tale.acting = Some(server);
        let (before, after) = (reign(before), reign(Some(phase)));
        if before == after {
            return;
        }
        let name = name(server);
        self.recall(About::Reign, |_| match (before, after) {
            (_, Some(epoch)) => format!("{name} leads epoch {epoch}"),
            (Some(epoch), None) => format!("{name} leads epoch {epoch} no more"),
            (None, None) => unreachable!("they differ"),
        });
    }

    /// A link was opened.
    pub(super) fn recall_link(&mut self, link: u64) {
        let Some(tale) = &mut self.tale else { return };
        let state = &self.links[&link];
        let (from, to) = (state.end(Side::Dialler).place(), state.end(Side::Acceptor).place());
        tale.links.insert(link, Way { from, to, port: state.port, greeted: (false, false) });
    }

    /// A server is about to handle a frame.
    pub(super) fn recall_frame(&mut self, server: usize, link: LinkId, frame: &Frame<'_>) {
        let Some(way) = self.tale.as_mut().and_then(|tale| tale.links.get_mut(&link.0)) else {
            return;
        };
        let to = Place::Server(server);
        let (port, from) = (way.port, if way.from == to { way.to } else { way.from });
        let first = !std::mem::replace(&mut way.greeted.0, true);
        let what = match (port, frame) {
            (Port::Quorum, Frame::Packet(bytes)) => packet(bytes),
            (Port::Client, Frame::Packet(bytes)) if first => greeting(bytes),
            _ => readable(&show_frame(port, frame)),
        };
        self.recall_message(from, to, port, what);
    }

    /// A server sends to a client.
    pub(super) fn recall_reply(&mut self, server: usize, link: LinkId, bytes: &[u8]) {
        let Some(way) = self.tale.as_mut().and_then(|tale| tale.links.get_mut(&link.0)) else {
            return;
        };
        let (to, first) = (way.from, !std::mem::replace(&mut way.greeted.1, true));
        let (Place::Client(_), Some(frame)) = (to, bytes.get(4..)) else { return };
        let what = if first { welcome(frame) } else { reply(frame) };
        self.recall_message(Place::Server(server), to, Port::Client, what);
    }

    fn recall_message(&mut self, from: Place, to: Place, port: Port, what: String) {
        let at = self.now;
        if let Some(tale) = &mut self.tale {
            tale.messages.push_back(Message { at, from, to, port, what });
            if tale.messages.len() > MESSAGES {
                tale.messages.pop_front();
            }
        }
    }

    /// A fault as a sentence.
    pub(super) fn sentence(&self, server: usize, fault: &Fault) -> String {
        let here = Place::Server(server);
        let for_so_long =
            |lasts: u64| format!(" for {}.{:03} s", lasts / 1_000_000, lasts / 1_000 % 1_000);
        match *fault {
            Fault::CutPair { other, inward, outward, lasts } => {
                let there = place_name(self.across(server, other));
                cut(here, &there, inward, outward) + &for_so_long(lasts)
            }
            Fault::Isolate { inward, outward, clients, lasts } => {
                let there = if clients { "all others and the clients" } else { "all others" };
                cut(here, there, inward, outward) + &for_so_long(lasts)
            }
            Fault::CutFromClient { client, inward, outward, lasts } => {
                let client = client as usize % self.clients.len();
                cut(here, &place_name(Place::Client(client)), inward, outward) + &for_so_long(lasts)
            }
            Fault::Freeze { lasts } => {
                format!("{} stands still{}", name(server), for_so_long(lasts))
            }
            Fault::Blackout { .. } => "all servers go down at once".to_owned(),
            Fault::Kill { effects: Some(effects) } => {
                format!("{} is to be killed after {effects} effects more", name(server))
            }
            Fault::PowerLoss { effects: Some(effects), .. } => {
                format!("{} is to lose its power after {effects} effects more", name(server))
            }
            _ => format!("at {}: {}", name(server), fault.family().name()),
        }
    }
}

fn cut(here: Place, there: &str, inward: bool, outward: bool) -> String {
    let here = place_name(here);
    match (inward, outward) {
        (true, false) => format!("{here} is cut from {there}: nothing gets to it"),
        (false, true) => format!("{here} is cut from {there}: nothing gets away"),
        _ => format!("{here} is cut from {there}, both ways"),
    }
}

/// What a client says first.
fn greeting(bytes: &[u8]) -> String {
    match ConnectRequest::decode(&mut Reader::new(bytes)) {
        Ok(asked) if asked.session.0 == 0 => "asks for a session".to_owned(),
        Ok(asked) => format!("asks for its session {}", asked.session),
        Err(_) => format!("{} bytes", bytes.len()),
    }
}

/// What a client is answered first.
fn welcome(frame: &[u8]) -> String {
    match ConnectResponse::decode(&mut Reader::new(frame)) {
        Ok(given) if given.timeout_ms <= 0 => "its session is over".to_owned(),
        Ok(given) => format!("gives session {}", given.session),
        Err(_) => format!("{} bytes", frame.len()),
    }
}

/// What a client is answered.
fn reply(frame: &[u8]) -> String {
    match ReplyHeader::decode(&mut Reader::new(frame)) {
        Ok(header) if header.xid == XID_NOTIFICATION => format!("event at {}", header.zxid),
        Ok(header) if header.xid == XID_PING => PING.to_owned(),
        Ok(ReplyHeader { xid, zxid, err: 0 }) => format!("reply to xid {xid} at {zxid}"),
        Ok(ReplyHeader { xid, zxid, err }) => format!("reply to xid {xid} at {zxid}: error {err}"),
        Err(_) => format!("{} bytes", frame.len()),
    }
}

/// A packet between servers, as the paper and Java call it.
fn packet(bytes: &[u8]) -> String {
    let Ok(packet) = QuorumPacket::decode(&mut Reader::new(bytes)) else {
        return format!("{} bytes", bytes.len());
    };
    let name = match packet.kind {
        kind::REQUEST => "REQUEST",
        kind::PROPOSAL => "PROPOSAL",
        kind::ACK => "ACK",
        kind::COMMIT => "COMMIT",
        kind::COMMITANDACTIVATE => "COMMITANDACTIVATE",
        kind::PING => return PING.to_owned(),
        kind::REVALIDATE => "REVALIDATE",
        kind::SYNC => "SYNC",
        kind::INFORM => "INFORM",
        kind::INFORMANDACTIVATE => "INFORMANDACTIVATE",
        kind::NEWLEADER => "NEWLEADER",
        kind::FOLLOWERINFO => "FOLLOWERINFO",
        kind::UPTODATE => "UPTODATE",
        kind::DIFF => "DIFF",
        kind::TRUNC => "TRUNC",
        kind::SNAP => "SNAP",
        kind::OBSERVERINFO => "OBSERVERINFO",
        kind::LEADERINFO => "LEADERINFO",
        kind::ACKEPOCH => "ACKEPOCH",
        other => return format!("packet {other} {}", packet.zxid),
    };
    format!("{name} {}", packet.zxid)
}

/// What a ping is called: there are many, and they tell little.
pub const PING: &str = "PING";
