// SPDX-License-Identifier: Apache-2.0
//! The oracles: promises, one a file, each checked at every step of a world on ghost state.
//!
//! The world tells [`Oracles`] everything that crosses the server's skin, in order: frames that
//! arrive, bytes that leave, file operations and how they end, events, crashes. A broken promise
//! comes back as a [`Violation`] and ends the world.

pub mod bounds;
mod cutter;
pub mod digests;
pub mod ephemerals;
pub mod exact_tree;
pub mod expiry;
pub mod fifo;
pub mod ghost;
pub mod log;
pub mod progress;
pub mod recovery;
pub mod sessions;
pub mod watches;
pub mod writes;

use std::{collections::VecDeque, fmt, sync::Arc};

use menagerie_core::{
    event::Event,
    id::{LaneId, LinkId, OpId, Zxid},
    io::{FileOp, Frame},
    jute::{Reader, Record},
    proto::{ConnectRequest, ConnectResponse, OpCode, ReplyHeader, Request, RequestHeader},
    proto::{WatcherEvent, XID_NOTIFICATION},
    session::password_opens,
    time::Now,
    txn::Txn,
};

pub use self::cutter::Cutter;
use self::{
    expiry::Expiry,
    ghost::{Arrived, Connect, Ghost, Link},
    log::LogTap,
    recovery::durable,
};
use crate::{
    model::{Id, Znode},
    probe::Probe,
    readable::readable,
};

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// Replies equal the model's.
    ExactTree,
    /// Each write happens exactly once, and as it must.
    Writes,
    /// Replies come in order.
    SessionFifo,
    /// Watches tell once, in order, in time.
    Watches,
    /// Ephemerals live as long as their sessions.
    Ephemerals,
    /// Sessions open and resume as they must.
    Sessions,
    /// Sessions expire neither too soon nor too late.
    Expiry,
    /// What was told survives.
    Recovery,
    /// Logged digests are right.
    Digests,
    /// Turns and queues are bounded.
    Bounds,
    /// The core never panics.
    NoPanic,
    /// Everything goes on once the faults are over.
    Progress,
    /// What a client's machine promises its user.
    Client,
    /// Rot stops the server by name, and is never served.
    Rot,
}

impl Property {
    /// Its name, as traces and tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Property::ExactTree => "ExactTree",
            Property::Writes => "Writes",
            Property::SessionFifo => "SessionFifo",
            Property::Watches => "Watches",
            Property::Ephemerals => "Ephemerals",
            Property::Sessions => "Sessions",
            Property::Expiry => "Expiry",
            Property::Recovery => "Recovery",
            Property::Digests => "Digests",
            Property::Bounds => "Bounds",
            Property::NoPanic => "NoPanic",
            Property::Progress => "Progress",
            Property::Client => "Client",
            Property::Rot => "Rot",
        }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub property: Property,
    /// How.
    pub what: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(property: Property, what: String) -> Violation {
        Violation { property, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut what = readable(&self.what);
        if let Some((end, _)) = what.char_indices().nth(3_000) {
            what.truncate(end);
            what.push_str("...");
        }
        write!(f, "{} is broken: {what}", self.property.name())
    }
}

/// The verdict on one step.
pub type Check = Result<(), Violation>;

/// How a user and password prove an identity: what the server must make of it.
pub type Proof = (&'static [u8], Id);

/// A reply that was judged, for whoever counts.
#[derive(Clone, Copy, Debug)]
pub struct Replied {
    /// The operation's number.
    pub op: i32,
    /// The error, or 0.
    pub err: i32,
    /// World time between arrival and reply, in microseconds.
    pub took: u64,
}

/// All oracles and the ghost state they share.
#[derive(Clone, Debug)]
pub struct Oracles {
    /// The ghost state.
    pub ghost: Ghost,
    /// The log as its file operations tell it.
    pub log: LogTap,
    /// The life signs of sessions.
    pub expiry: Expiry,
    /// Replies since the caller last took them.
    pub replies: Vec<Replied>,
    /// Probes hit since the caller last took them.
    pub seen: Vec<Probe>,
    proofs: &'static [Proof],
    numbers: u64,
}

impl Oracles {
    /// The oracles of a fresh server.
    pub fn new(tick_ms: u64, proofs: &'static [Proof]) -> Oracles {
        Oracles {
            ghost: Ghost::fresh(),
            log: LogTap::default(),
            expiry: Expiry::new(tick_ms),
            replies: Vec::new(),
            seen: Vec::new(),
            proofs,
            numbers: 0,
        }
    }

    /// A link came up.
    pub fn link_up(&mut self, link: LinkId, address: &str) {
        let ids = vec![(b"ip".to_vec(), address.as_bytes().to_vec())];
        self.ghost.links.insert(link, Link { ids, ..Link::default() });
    }

    /// A link is gone.
    pub fn link_down(&mut self, link: LinkId) {
        if let Some(link) = self.ghost.links.get_mut(&link) {
            // What this turn sent before it knew still counts.
            link.gone = true;
        }
    }

    /// The server hangs up on a link.
    pub fn hangs_up(&mut self, link: LinkId) {
        if let Some(link) = self.ghost.links.get_mut(&link) {
            link.hung_up = true;
        }
    }

    /// The network took bytes from the server.
    pub fn drained(&mut self, link: LinkId, bytes: usize) {
        if let Some(link) = self.ghost.links.get_mut(&link) {
            link.queued -= bytes;
        }
    }

    /// A frame is about to be handled.
    pub fn arrives(&mut self, name: LinkId, frame: &Frame<'_>, at: u64, now: Now) {
        let (told, logged) = (self.ghost.told, self.ghost.last);
        let Some(link) = self.ghost.links.get_mut(&name) else { return };
        let Frame::Packet(bytes) = frame else {
            link.excused = true;
            return;
        };
        let mut reader = Reader::new(bytes);
        if link.connect.is_none() {
            let Ok(connect) = ConnectRequest::decode(&mut reader) else {
                link.excused = true;
                return;
            };
            let password_fits = password_opens(connect.session, connect.password);
            let (session, last_seen) = (connect.session.0, connect.last_zxid_seen.0);
            let asked = now.mono;
            link.connect = Some(Connect { session, password_fits, last_seen, asked });
            return;
        }
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            link.excused = true;
            return;
        };
        let Some(session) = link.session else {
            link.excused = true;
            return;
        };
        if !link.hung_up {
            self.expiry.heard(session, now.mono);
        }
        if self.ghost.closing.contains(&session) {
            self.seen.push(Probe::LateForClosing);
        }
        self.numbers += 1;
        let arrived = Arc::new(Arrived {
            number: self.numbers,
            session,
            xid: header.xid,
            op: header.op,
            frame: bytes.to_vec(),
            ids: link.ids.clone(),
            at,
            told,
            logged,
        });
        link.take(&arrived, self.proofs);
        if header.op == OpCode::CloseSession.code() && !link.hung_up {
            // It is closing from here on, though its transaction may have to wait for the disk.
            self.ghost.closing.insert(session);
            self.expiry.closed(session);
        }
        if arrived.is_write() {
            let waiting = self.ghost.waiting.entry((session, header.xid)).or_default();
            waiting.push_back(arrived);
        }
    }

    /// A file operation was ordered.
    pub fn ordered(&mut self, lane: LaneId, op: OpId, what: &FileOp) -> Check {
        let (ghost, mut verdict) = (&mut self.ghost, Ok(()));
        let seen = &mut self.seen;
        self.log.ordered(lane, op, what, |entry| {
            if let Txn::Delete { path, container: true } = entry.txn {
                let container = ghost.model.node(path).is_some_and(Znode::is_container);
                seen.push(if container { Probe::ContainerSwept } else { Probe::TtlSwept });
            }
            if verdict.is_ok() {
                verdict = ghost.propose(entry);
            }
        });
        verdict
    }

    /// A file operation ended well.
    pub fn done(&mut self, op: OpId) {
        self.log.done(op);
        self.ghost.durable = self.ghost.durable.max(self.log.durable());
    }

    /// Bytes leave on a link.
    pub fn sends(&mut self, name: LinkId, bytes: &[u8], at: u64, now: Now) -> Check {
        let Some(link) = self.ghost.links.get_mut(&name) else { return Ok(()) };
        link.queued += bytes.len();
        bounds::queued(name, link.queued - bytes.len())?;
        if link.excused {
            return Ok(());
        }
        let mut frames = VecDeque::new();
        link.cutter.push(bytes, |frame| frames.push_back(frame.to_vec()));
        frames.iter().try_for_each(|frame| self.leaves(name, frame, at, now))
    }

    fn leaves(&mut self, name: LinkId, frame: &[u8], at: u64, now: Now) -> Check {
        let mut reader = Reader::new(frame);
        let link = self.ghost.links.get_mut(&name).expect("the link is there");
        if link.session.is_none() {
            return self.handshake(name, &mut reader, now);
        }
        let nonsense = || Violation::new(Property::SessionFifo, "nonsense leaves".to_owned());
        let header = ReplyHeader::decode(&mut reader).map_err(|_| nonsense())?;
        if header.xid == XID_NOTIFICATION {
            let event = WatcherEvent::decode(&mut reader).map_err(|_| nonsense())?;
            return self.notifies(name, header.zxid.0, &event);
        }
        self.replies_to(name, &header, reader.rest(), at)
    }

    fn handshake(&mut self, name: LinkId, reader: &mut Reader<'_>, now: Now) -> Check {
        let nonsense = || Violation::new(Property::Sessions, "no handshake leaves".to_owned());
        let response = ConnectResponse::decode(reader).map_err(|_| nonsense())?;
        let link = self.ghost.links.get_mut(&name).expect("the link is there");
        let asked = link.connect.clone().ok_or_else(nonsense)?;
        sessions::answered(&mut self.ghost, name, &asked, &response)?;
        let link = self.ghost.links.get_mut(&name).expect("the link is there");
        link.session = Some(response.session.0);
        if response.session.0 == 0 {
            link.excused = true;
        } else {
            let (session, timeout_ms) = (response.session.0, response.timeout_ms);
            self.expiry.greeted(session, timeout_ms, asked.asked, now.mono);
        }
        Ok(())
    }

    fn notifies(&mut self, name: LinkId, zxid: i64, event: &WatcherEvent<'_>) -> Check {
        if zxid > self.ghost.applied {
            durable(&self.ghost, zxid)?;
            self.ghost.advance(zxid)?;
        }
        self.ghost.told = self.ghost.told.max(zxid);
        let link = self.ghost.links.get_mut(&name).expect("the link is there");
        if link.owed.len() > 1 {
            self.seen.push(Probe::EventsPipelined);
        }
        if zxid > 0 {
            let kept = [4, 5].iter().any(|kind| link.watches.contains(event.path, *kind));
            self.seen.push(if kept { Probe::RecursiveFired } else { Probe::EventFired });
        }
        watches::notified(link, name, zxid, event)
    }

    fn replies_to(&mut self, name: LinkId, header: &ReplyHeader, body: &[u8], at: u64) -> Check {
        let link = self.ghost.links.get_mut(&name).expect("the link is there");
        let arrived = fifo::answered(link, name, header)?;
        self.replies.push(Replied {
            op: arrived.op,
            err: header.err,
            took: at.saturating_sub(arrived.at),
        });
        if arrived.op == OpCode::Auth.code() {
            return Ok(());
        }
        durable(&self.ghost, header.zxid.0)?;
        self.ghost.advance(header.zxid.0)?;
        self.ghost.told = self.ghost.told.max(header.zxid.0);
        let mut link = self.ghost.links.remove(&name).expect("the link is there");
        let verdict = self.reply_matches(&mut link, name, &arrived, header, body);
        self.ghost.links.insert(name, link);
        verdict
    }

    fn reply_matches(
        &mut self,
        link: &mut Link,
        name: LinkId,
        arrived: &Arrived,
        header: &ReplyHeader,
        body: &[u8],
    ) -> Check {
        let request = arrived.request();
        watches::replied(&self.ghost, link, name, request.as_ref())?;
        exact_tree::check(&mut self.ghost, link, arrived, header, body)?;
        self.probe(arrived, header, body);
        match &request {
            Some(Request::SetWatches(again) | Request::SetWatches2(again)) if header.err == 0 => {
                let missed = link.watches.set(&self.ghost.model, again, &arrived.ids);
                self.seen.push(Probe::ResumedWithWatches);
                if !missed.is_empty() {
                    self.seen.push(Probe::MissedEventTold);
                }
                watches::rearmed(link, name, missed)?;
            }
            Some(Request::MultiRead(ops)) => {
                ops.iter().for_each(|op| link.watches.after(op, 0));
            }
            Some(Request::CloseSession) => {
                link.excused = true;
                self.seen.push(Probe::ClosedWithEphemerals);
                self.expiry.closed(arrived.session);
            }
            Some(request) => link.watches.after(request, header.err),
            None => {}
        }
        Ok(())
    }

    /// Counts what a right reply shows.
    fn probe(&mut self, arrived: &Arrived, header: &ReplyHeader, body: &[u8]) {
        use menagerie_core::proto::ErrorCode as E;
        match E::from_code(header.err) {
            Some(E::NoAuth) => self.seen.push(Probe::Denied),
            Some(E::BadVersion) => self.seen.push(Probe::BadVersion),
            Some(E::QuotaExceeded) => self.seen.push(Probe::QuotaRefused),
            _ => {}
        }
        match (OpCode::from_code(arrived.op), arrived.request()) {
            (_, Some(Request::Multi(ops))) => self.probe_multi(ops.len(), body),
            (_, Some(Request::Create(create))) if header.err == 0 => {
                if matches!(create.flags, 2 | 3 | 6) {
                    self.seen.push(Probe::SequentialMade);
                }
            }
            (Some(OpCode::GetAcl), _) if header.err == 0 && arrived.ids.len() > 1 => {
                self.seen.push(Probe::AclMasked);
            }
            _ => {}
        }
    }

    fn probe_multi(&mut self, ops: usize, body: &[u8]) {
        let mut reader = Reader::new(body);
        let mut errors = Vec::new();
        while let (Ok(-1), Ok(false), Ok(err)) = (reader.int(), reader.bool(), reader.int()) {
            errors.push(err);
            if reader.int().is_err() {
                break;
            }
        }
        let first = errors.iter().position(|err| *err != 0);
        match first {
            Some(0) if ops > 1 => self.seen.push(Probe::MultiFailedFirst),
            Some(at) if ops > 1 && at + 1 == ops => self.seen.push(Probe::MultiFailedLast),
            None if errors.is_empty() && ops > 0 => self.seen.push(Probe::MultiDone),
            _ => {}
        }
    }

    /// The core tells something.
    pub fn tells(&mut self, event: &Event, now: Now) -> Check {
        match event {
            Event::Recovered { zxid, .. } => {
                recovery::recovered(&mut self.ghost, zxid.0)?;
                self.log.restarted(zxid.0);
                self.expiry.restarted(&self.ghost.model.sessions, now.mono);
                Ok(())
            }
            Event::SessionExpired { session } => {
                self.ghost.closing.insert(session.0);
                self.expiry.expired(*session, now.mono)
            }
            _ => Ok(()),
        }
    }

    /// A turn ended.
    pub fn turn(&mut self, inputs: u64, steps: u64, now: Now) -> Check {
        self.ghost.links.retain(|_, link| !link.gone);
        bounds::turn(inputs, steps)?;
        self.expiry.check(&self.ghost, now.mono)
    }

    /// The process is gone.
    pub fn crashed(&mut self) {
        self.ghost.crash();
        self.log.crashed();
        self.expiry.crashed();
    }
}

impl Link {
    fn take(&mut self, arrived: &Arc<Arrived>, proofs: &[Proof]) {
        if let Some(Request::Auth { scheme: b"digest", auth, .. }) = arrived.request()
            && let Some((_, id)) = proofs.iter().find(|(proof, _)| *proof == auth)
            && !self.ids.contains(id)
        {
            self.ids.push(id.clone());
        }
        if fifo::is_aside(arrived.op) {
            self.asides.push_back(Arc::clone(arrived));
        } else {
            self.requests.push_back(Arc::clone(arrived));
        }
    }
}

/// The zxid as people read it.
pub fn zxid(zxid: i64) -> Zxid {
    Zxid(zxid)
}
