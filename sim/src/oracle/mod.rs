// SPDX-License-Identifier: Apache-2.0
//! The oracles: promises, one a file, each checked at every step of a world on ghost state.
//!
//! The world tells [`Oracles`] everything that crosses a server's skin, in order: frames that
//! arrive, bytes that leave, file operations and how they end, events, crashes. A broken promise
//! comes back as a [`Violation`] and ends the world.

pub mod acks;
pub mod agreement;
pub mod asked;
pub mod bounds;
pub mod commitment;
pub mod configuration;
mod cutter;
pub mod digests;
pub mod durability;
pub mod ephemerals;
pub mod epochs;
pub mod exact_tree;
pub mod expiry;
pub mod fifo;
pub mod following;
pub mod ghost;
pub mod integrity;
pub mod leadership;
pub mod learning;
pub mod log;
mod loss;
pub mod off;
pub mod order;
pub mod progress;
mod promise;
pub mod property;
pub mod recovery;
pub mod replica;
pub mod sessions;
pub mod votes;
pub mod watches;
pub mod writes;

use std::sync::Arc;

use menagerie_core::{
    event::Event,
    id::{LaneId, LinkId, OpId, ServerId},
    io::{FileOp, Frame},
    jute::{Reader, Record},
    node::{Phase, View},
    proto::{ConnectRequest, ConnectResponse, OpCode, ReplyHeader, Request, RequestHeader},
    proto::{WatcherEvent, XID_NOTIFICATION},
    session::password_opens,
    time::Now,
    txn::Txn,
    zab::wire::kind,
};

use self::{
    asked::Arrived,
    durability::durable,
    expiry::{Expiry, Signs},
    ghost::Ghost,
    leadership::Leaders,
    replica::{Connect, Link, Replica},
};
pub use self::{
    cutter::Cutter,
    off::Off,
    property::{Check, Property, Violation},
};
use crate::{
    model::{Id, Znode},
    probe::Probe,
    scenario::Scenario,
};

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
    /// Replies since the caller last took them.
    pub replies: Vec<Replied>,
    /// Probes hit since the caller last took them.
    pub seen: Vec<Probe>,
    /// The newest life signs of sessions at any server.
    pub signs: Signs,
    leaders: Leaders,
    /// What was wrong with what a server is about to handle.
    wrong: Option<Violation>,
    /// Whether a server was just told how it is brought up to date.
    syncs: bool,
    /// A tick, in microseconds.
    tick: u64,
    /// How many servers were members from the beginning on.
    founders: usize,
    proofs: &'static [Proof],
}

impl Oracles {
    /// The oracles of fresh servers.
    pub fn new(scenario: &Scenario, proofs: &'static [Proof]) -> Oracles {
        Oracles {
            ghost: Ghost::fresh(scenario),
            replies: Vec::new(),
            seen: Vec::new(),
            signs: Signs::default(),
            leaders: Leaders::default(),
            wrong: None,
            syncs: false,
            tick: scenario.tick_ms() * 1_000,
            founders: scenario.founders,
            proofs,
        }
    }

    /// The life signs that a server heard.
    pub fn expiry(&mut self, server: usize) -> &mut Expiry {
        &mut self.ghost.replicas[server].expiry
    }

    /// The server that leads, if one does.
    pub fn leader(&self) -> Option<usize> {
        let leads = |replica: &Replica| {
            matches!(replica.phase, Some(Phase::Leading { established: true, .. }))
        };
        self.ghost.replicas.iter().position(leads)
    }

    /// How a server stands after a turn.
    pub fn stands(&mut self, server: usize, view: &View, now: Now) -> Check {
        let replica = &mut self.ghost.replicas[server];
        let before = replica.phase.replace(view.phase);
        if matches!(view.phase, Phase::Starting | Phase::Stopping | Phase::Over) {
            return Ok(());
        }
        replica.goes_by = view.members.cast_signed();
        let promised = replica.promised.seen(server, view, replica.acks.owed_to_log());
        let eligible = |id| self.ghost.configurations.is_eligible(view.members, id);
        let voted = replica.votes.seen(server, view, eligible);
        let off = self.ghost.off;
        off.pardon(promised)?;
        off.pardon(voted)?;
        let news = before != Some(view.phase);
        match view.phase {
            Phase::Leading { epoch: Some(epoch), established: true } => {
                let before = self.ghost.epoch;
                off.pardon(self.leaders.leads(&self.ghost, server, epoch))?;
                self.ghost.epoch = before.max(epoch);
                if news {
                    self.seen.push(Probe::LeaderMade);
                    self.ghost.shows_members(server, view.members);
                    let Ghost { replicas, model, .. } = &mut self.ghost;
                    replicas[server].expiry.restarted(&model.sessions, now.mono);
                }
            }
            Phase::Following { leader, serving: true } => {
                if news {
                    self.ghost.shows_members(server, view.members);
                }
                self.serves(server, leader, news, Probe::FollowerServes)?;
            }
            Phase::Observing { leader, serving: true } => {
                if news {
                    self.ghost.shows_members(server, view.members);
                }
                self.serves(server, leader, news, Probe::ObserverServes)?;
            }
            Phase::Alone => {}
            _ => return Ok(()),
        }
        off.pardon(integrity::check(&self.ghost, &self.leaders))?;
        self.ghost.unled = None;
        if view.applied.0 > self.ghost.replicas[server].applied {
            off.pardon(durable(&self.ghost, server, view.applied.0))?;
            self.ghost.advance(server, view.applied.0)?;
        }
        off.pardon(digests::stands(&self.ghost, server, view.digest))?;
        let replica = &self.ghost.replicas[server];
        off.pardon(learning::stands(server, &replica.acks, view))
    }

    /// A learner serves; `news` if it just began to.
    fn serves(&mut self, server: usize, leader: ServerId, news: bool, probe: Probe) -> Check {
        let Some(leader) = usize::try_from(leader.0 - 1).ok().filter(|_| news) else {
            return Ok(());
        };
        self.seen.push(probe);
        if server >= self.founders && self.ghost.configurations.names(server) {
            self.seen.push(Probe::JoinerServes);
        }
        let mine = self.ghost.replicas[server].promised.current();
        let theirs = self.ghost.replicas[leader].promised.current();
        if self.leader() == Some(leader) && mine == theirs {
            return self.ghost.off.pardon(following::serves(&self.ghost, server, leader));
        }
        Ok(())
    }

    /// A link to a leader, or to whom this server takes for one, came up.
    pub fn leader_link(&mut self, server: usize, link: LinkId) {
        self.ghost.replicas[server].acks.link_up(link);
    }

    fn link(&mut self, server: usize, link: LinkId) -> Option<&mut Link> {
        self.ghost.replicas[server].links.get_mut(&link)
    }

    /// A client's link came up.
    pub fn link_up(&mut self, server: usize, link: LinkId, address: &str) {
        let ids = vec![(b"ip".to_vec(), address.as_bytes().to_vec())];
        self.ghost.replicas[server].links.insert(link, Link { ids, ..Link::default() });
    }

    /// A link is gone.
    pub fn link_down(&mut self, server: usize, link: LinkId) {
        if let Some(link) = self.link(server, link) {
            // What this turn sent before it knew still counts.
            link.gone = true;
            self.ghost.replicas[server].any_gone = true;
        }
        self.ghost.replicas[server].acks.link_down(link);
        self.expiry(server).link_down(link);
    }

    /// A server hangs up on a link.
    pub fn hangs_up(&mut self, server: usize, link: LinkId) {
        if let Some(link) = self.link(server, link) {
            link.hung_up = true;
        }
    }

    /// The network took bytes from a server.
    pub fn drained(&mut self, server: usize, link: LinkId, bytes: usize) {
        if let Some(link) = self.link(server, link) {
            link.queued -= bytes;
        }
    }

    /// A frame is about to be handled.
    pub fn arrives(&mut self, server: usize, name: LinkId, frame: &Frame<'_>, at: u64, now: Now) {
        let Some(link) = self.ghost.replicas[server].links.get_mut(&name) else {
            return self.learns(server, name, frame);
        };
        let Frame::Packet(bytes) = frame else {
            link.excused = true;
            return;
        };
        let mut reader = Reader::new(bytes);
        if link.connect.is_none() {
            return self.greets(server, name, &mut reader, now);
        }
        let (Ok(header), Some(session)) = (RequestHeader::decode(&mut reader), link.session) else {
            link.excused = true;
            return;
        };
        self.ghost.requests += 1;
        let applied = match self.leader() {
            _ if self.ghost.is_alone() => self.ghost.told,
            Some(leader) => self.ghost.replicas[leader].applied,
            None => 0,
        };
        let replica = &mut self.ghost.replicas[server];
        let logged = replica.last();
        let link = replica.links.get_mut(&name).expect("the link is there");
        let arrived = Arc::new(Arrived {
            number: self.ghost.requests,
            link: name,
            session,
            xid: header.xid,
            op: header.op,
            frame: bytes.to_vec(),
            ids: link.ids.clone(),
            at,
            told: self.ghost.told,
            applied,
            logged,
        });
        link.take(&arrived, self.proofs);
        if !link.hung_up {
            replica.expiry.heard(session, now.mono);
            self.signs.heard(session, at);
        }
        if self.ghost.closing.contains(&session) {
            self.seen.push(Probe::LateForClosing);
        }
        if header.op == OpCode::CloseSession.code() && !link.hung_up {
            // It is closing from here on, though its transaction may have to wait for the disk.
            self.ghost.closing.insert(session);
            replica.expiry.closed(session);
        }
        if arrived.is_write() {
            let waiting = self.ghost.waiting.entry((session, header.xid)).or_default();
            waiting.push_back(arrived);
        }
    }

    /// Whether the frame that was just told of begins to bring its server up to date.
    pub fn takes_sync(&mut self) -> bool {
        std::mem::take(&mut self.syncs)
    }

    /// A server is about to handle a frame of its leader's or a learner's, if it is one.
    fn learns(&mut self, server: usize, link: LinkId, frame: &Frame<'_>) {
        let Frame::Packet(bytes) = frame else { return };
        let replica = &mut self.ghost.replicas[server];
        let Some((packet, heard)) = replica.acks.arrives(server, link, bytes) else {
            return replica.expiry.learner_says(link, bytes);
        };
        self.wrong = self.wrong.take().or(self.ghost.off.pardon(heard).err());
        match packet.kind {
            kind::NEWLEADER => self.syncs = true,
            kind::DIFF => {
                self.syncs = true;
                self.seen.push(Probe::SyncedByDiff);
            }
            kind::TRUNC => {
                self.syncs = true;
                self.seen.push(Probe::SyncedByTrunc);
            }
            kind::SNAP => {
                self.syncs = true;
                replica.tree = Some(packet.zxid.0);
                self.seen.push(Probe::SyncedBySnap);
            }
            _ => {}
        }
    }

    /// The first packet of a link.
    fn greets(&mut self, server: usize, name: LinkId, reader: &mut Reader<'_>, now: Now) {
        let connect = ConnectRequest::decode(reader);
        let session = connect.as_ref().map_or(0, |connect| connect.session.0);
        let was_open = self.ghost.is_open(session);
        if session != 0 {
            self.ghost.homes.entry(session).or_default().insert(name);
        }
        let Some(link) = self.link(server, name) else { return };
        let Ok(connect) = connect else {
            link.excused = true;
            return;
        };
        link.shown = connect.last_zxid_seen.0;
        link.connect = Some(Connect {
            session,
            was_open,
            password_fits: password_opens(connect.session, connect.password),
            last_seen: connect.last_zxid_seen.0,
            asked: now.mono,
        });
    }

    /// A file operation was ordered.
    pub fn ordered(&mut self, server: usize, lane: LaneId, op: OpId, what: &FileOp) -> Check {
        let mut tap = std::mem::take(&mut self.ghost.replicas[server].tap);
        let (ghost, mut verdict) = (&mut self.ghost, Ok(()));
        let seen = &mut self.seen;
        tap.ordered(lane, op, what, |entry| {
            if let Txn::Delete { path, container: true } = entry.txn {
                let container = ghost.model.node(path).is_some_and(Znode::is_container);
                seen.push(if container { Probe::ContainerSwept } else { Probe::TtlSwept });
            }
            if verdict.is_ok() {
                verdict = ghost.log(server, entry);
            }
        });
        self.ghost.replicas[server].tap = tap;
        verdict
    }

    /// A file operation ended well.
    pub fn done(&mut self, server: usize, op: OpId) {
        let replica = &mut self.ghost.replicas[server];
        replica.tap.done(op);
        replica.durable = replica.durable.max(replica.tap.durable());
    }

    /// Bytes leave a server on a link.
    pub fn sends(&mut self, server: usize, name: LinkId, bytes: &[u8], at: u64, now: Now) -> Check {
        let replica = &mut self.ghost.replicas[server];
        let mut acks = std::mem::take(&mut replica.acks);
        let acked = acks.sends(replica, server, name, bytes);
        replica.acks = acks;
        self.ghost.off.pardon(acked)?;
        let off = self.ghost.off;
        let Some(link) = self.link(server, name) else { return Ok(()) };
        link.queued += bytes.len();
        off.pardon(bounds::queued(name, link.queued - bytes.len()))?;
        if link.excused {
            return Ok(());
        }
        let mut cutter = std::mem::take(&mut link.cutter);
        let mut verdict = Ok(());
        cutter.push(bytes, |frame| {
            if verdict.is_ok() {
                verdict = self.leaves(server, name, frame, at, now);
            }
        });
        self.link(server, name).expect("the link is there").cutter = cutter;
        verdict
    }

    fn leaves(&mut self, server: usize, name: LinkId, frame: &[u8], at: u64, now: Now) -> Check {
        let mut reader = Reader::new(frame);
        let link = self.link(server, name).expect("the link is there");
        if link.session.is_none() {
            return self.handshake(server, name, &mut reader, at, now);
        }
        let nonsense = || Violation::new(Property::SessionFifo, "nonsense leaves".to_owned());
        let header = ReplyHeader::decode(&mut reader).map_err(|_| nonsense())?;
        if header.xid == XID_NOTIFICATION {
            let event = WatcherEvent::decode(&mut reader).map_err(|_| nonsense())?;
            return self.notifies(server, name, header.zxid.0, &event);
        }
        self.replies_to(server, name, &header, reader.rest(), at)
    }

    fn handshake(
        &mut self,
        server: usize,
        name: LinkId,
        reader: &mut Reader<'_>,
        at: u64,
        now: Now,
    ) -> Check {
        let nonsense = || Violation::new(Property::Sessions, "no handshake leaves".to_owned());
        let response = ConnectResponse::decode(reader).map_err(|_| nonsense())?;
        let link = self.link(server, name).expect("the link is there");
        let asked = link.connect.clone().ok_or_else(nonsense)?;
        let answered = sessions::answered(&mut self.ghost, server, name, &asked, &response);
        self.ghost.off.pardon(answered)?;
        let replica = &mut self.ghost.replicas[server];
        let link = replica.links.get_mut(&name).expect("the link is there");
        link.session = Some(response.session.0);
        if response.session.0 == 0 {
            link.excused = true;
        } else {
            let (session, timeout_ms) = (response.session.0, response.timeout_ms);
            replica.expiry.greeted(session, timeout_ms, asked.asked, now.mono);
            self.signs.greeted(session, timeout_ms, at);
            if self.ghost.seats.insert(session, server).is_some_and(|seat| seat != server) {
                self.seen.push(Probe::SessionMoved);
            }
        }
        Ok(())
    }

    /// A server speaks of a zxid: it must be durable there, and a beginning of history.
    fn tells_of(&mut self, server: usize, zxid: i64) -> Check {
        self.ghost.off.pardon(durable(&self.ghost, server, zxid))?;
        self.ghost.advance(server, zxid)?;
        // Nothing happened between an epoch's beginning and the transaction before it.
        let told = self.ghost.upto(zxid).last().copied().unwrap_or(0);
        self.ghost.told = self.ghost.told.max(told);
        Ok(())
    }

    fn notifies(
        &mut self,
        server: usize,
        name: LinkId,
        zxid: i64,
        event: &WatcherEvent<'_>,
    ) -> Check {
        if zxid > self.ghost.replicas[server].applied {
            self.tells_of(server, zxid)?;
        }
        let replica = &mut self.ghost.replicas[server];
        let link = replica.links.get_mut(&name).expect("the link is there");
        if link.owed.len() > 1 {
            self.seen.push(Probe::EventsPipelined);
        }
        if zxid > 0 {
            let kept = [4, 5].iter().any(|kind| link.watches.contains(event.path, *kind));
            self.seen.push(if kept { Probe::RecursiveFired } else { Probe::EventFired });
        }
        let notified = watches::notified(link, name, zxid, event);
        self.ghost.off.pardon(notified)
    }

    fn replies_to(
        &mut self,
        server: usize,
        name: LinkId,
        header: &ReplyHeader,
        body: &[u8],
        at: u64,
    ) -> Check {
        let alone = self.ghost.replicas[server].phase == Some(Phase::Alone);
        let off = self.ghost.off;
        let link = self.link(server, name).expect("the link is there");
        let arrived = fifo::answered(link, name, header, alone, off)?;
        self.replies.push(Replied {
            op: arrived.op,
            err: header.err,
            took: at.saturating_sub(arrived.at),
        });
        if arrived.op == OpCode::Auth.code() {
            return Ok(());
        }
        self.tells_of(server, header.zxid.0)?;
        let replica = &mut self.ghost.replicas[server];
        let mut link = replica.links.remove(&name).expect("the link is there");
        let verdict = self.reply_matches(server, &mut link, name, &arrived, header, body);
        self.ghost.replicas[server].links.insert(name, link);
        verdict
    }

    fn reply_matches(
        &mut self,
        server: usize,
        link: &mut Link,
        name: LinkId,
        arrived: &Arrived,
        header: &ReplyHeader,
        body: &[u8],
    ) -> Check {
        let request = arrived.request();
        let off = self.ghost.off;
        off.pardon(watches::replied(header.zxid.0, link, name, request.as_ref()))?;
        let exact = exact_tree::check(&mut self.ghost, server, link, arrived, header, body);
        off.pardon(exact)?;
        link.shown = link.shown.max(header.zxid.0);
        self.probe(arrived, header, body);
        let replica = &mut self.ghost.replicas[server];
        match &request {
            Some(Request::SetWatches(again) | Request::SetWatches2(again)) if header.err == 0 => {
                let missed = link.watches.set(&replica.model, again, &arrived.ids);
                self.seen.push(Probe::ResumedWithWatches);
                if !missed.is_empty() {
                    self.seen.push(Probe::MissedEventTold);
                }
                off.pardon(watches::rearmed(link, name, missed))?;
            }
            Some(Request::MultiRead(ops)) => {
                ops.iter().for_each(|op| link.watches.after(op, 0));
            }
            Some(Request::CloseSession) => {
                link.excused = true;
                self.seen.push(Probe::ClosedWithEphemerals);
                replica.expiry.closed(arrived.session);
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
            (_, Some(Request::Reconfig { .. })) => match E::from_code(header.err) {
                Some(E::Ok) => self.seen.push(Probe::Reconfigured),
                Some(E::ReconfigDisabled) => {}
                _ => self.seen.push(Probe::ReconfigRefused),
            },
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

    /// A server's core tells something.
    pub fn tells(&mut self, server: usize, event: &Event, at: u64, now: Now) -> Check {
        match event {
            Event::Recovered { zxid, .. } => {
                recovery::recovered(&mut self.ghost, server, zxid.0)?;
                let Ghost { replicas, model, .. } = &mut self.ghost;
                let replica = &mut replicas[server];
                replica.tap.restarted(zxid.0);
                replica.expiry.restarted(&model.sessions, now.mono);
                Ok(())
            }
            Event::SessionExpired { session } => {
                self.ghost.closing.insert(session.0);
                let off = self.ghost.off;
                off.pardon(self.signs.expired(session.0, self.tick, at))?;
                off.pardon(self.ghost.replicas[server].expiry.expired(*session, now.mono))
            }
            _ => Ok(()),
        }
    }

    /// A server's turn ended.
    pub fn turn(&mut self, server: usize, inputs: u64, steps: u64, now: Now) -> Check {
        let replica = &mut self.ghost.replicas[server];
        if std::mem::take(&mut replica.any_gone) {
            replica.links.retain(|_, link| !link.gone);
        }
        self.ghost.off.pardon(bounds::turn(inputs, steps))?;
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        let replica = &self.ghost.replicas[server];
        if replica.phase != Some(Phase::Alone) {
            return Ok(());
        }
        let checked = self.ghost.replicas[server].expiry.check(&self.ghost.closing, now.mono);
        self.ghost.off.pardon(checked)
    }

    /// A healed world ends: every session that is open is alive.
    pub fn at_end(&self, at: u64) -> Check {
        // While nobody leads, nothing expires; the next leader gives everybody time again. Whether
        // somebody ought to lead by now is for Progress to say.
        if !self.ghost.is_alone() && self.leader().is_none() {
            return Ok(());
        }
        let open = self.ghost.model.sessions.keys().copied();
        let open = open.filter(|session| !self.ghost.closing.contains(session));
        self.ghost.off.pardon(self.signs.at_end(open, self.tick, at))
    }

    /// A server's process is gone.
    pub fn crashed(&mut self, server: usize) {
        self.ghost.replicas[server].crash();
    }
}
