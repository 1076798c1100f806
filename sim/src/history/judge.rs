// SPDX-License-Identifier: Apache-2.0
//! Judges a history by the oracles of the simulator.
//!
//! A world shows the oracles each server from within; a history shows only what clients saw. So
//! each link is given a server of its own, which is nothing but the reference model at the place in
//! history where that link is, and what crosses the link is told to the same [`Oracles`] in the
//! order of the recording. A transaction is committed when the first client is told of it, or of a
//! later one. What is said of disks, votes and epochs cannot be seen from here, and is not judged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use menagerie_core::{
    frame::ClientFramer,
    id::{LinkId, SessionId, Zxid},
    io::Frame,
    jute::{Reader, Record},
    node::Phase,
    proto::{ConnectResponse, OpCode, ReplyHeader, WatcherEvent, XID_AUTH, XID_NOTIFICATION},
    time::{Instant, Now},
    txn::{Txn, TxnEntry},
};

use super::{History, What, logs::zxid_of, show};
use crate::{
    model::Model,
    oracle::{Check, Cutter, Oracles, Property, Violation},
    scenario::{Knob, Scenario, proofs},
};

/// At least so many transactions lie between two kept models, ...
const KEPT_EVERY: usize = 256;
/// ... of which there are so many: a server that lags farther behind takes longer to follow.
const KEPT: usize = 8;
/// Of a tree of so many znodes every second digest is summed up, of a larger one less: what is
/// wrong in one stays wrong in the next.
const SUMMED: usize = 1_024;
/// The server that is no link's: it stands for the quorum, and holds everything.
const QUORUM: usize = 0;

/// What a history was judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transactions, each of which its request must have become.
    pub transactions: u64,
    /// Transactions whose digest the model's tree must have.
    pub digests: u64,
    /// Sessions that were opened.
    pub opened: u64,
    /// Sessions that were resumed.
    pub resumed: u64,
    /// Sessions that were refused.
    pub refused: u64,
    /// Answers to reads.
    pub reads: u64,
    /// Answers to writes.
    pub writes: u64,
    /// Answers to pings, syncs and all else.
    pub others: u64,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Events of watches.
    pub events: u64,
    /// Sessions that ended with ephemeral znodes.
    pub with_ephemerals: u64,
    /// Sessions that expired while all was calm.
    pub expired: u64,
}

impl Counts {
    /// What was judged, and how much of it.
    pub fn rows(&self) -> [(Property, u64, &'static str); 8] {
        let replies = self.reads + self.writes + self.others;
        let met = self.opened + self.resumed + self.refused;
        [
            (
                Property::ExactTree,
                self.reads + self.writes,
                "replies equal the model's at their zxid",
            ),
            (Property::Writes, self.transactions, "transactions are what was asked, once"),
            (Property::SessionFifo, replies, "replies come in order, and no zxid goes back"),
            (Property::Watches, self.events, "events are owed, in order, and none is missed"),
            (
                Property::Ephemerals,
                self.with_ephemerals,
                "sessions took their ephemerals with them",
            ),
            (Property::Sessions, met, "handshakes open, resume or refuse as they must"),
            (Property::Expiry, self.expired, "sessions expired in calm, none too soon"),
            (Property::Digests, self.digests, "logged digests are those of the model's tree"),
        ]
    }
}

/// What a history came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was judged.
    pub counts: Counts,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
}

/// A broken promise, and where.
#[derive(Clone, Debug)]
pub struct Broken {
    /// What was broken.
    pub violation: Violation,
    /// The last lines of the link that shows it, in words.
    pub shown: Vec<String>,
}

/// Judges a history whose committed transactions are `txns`, in order.
///
/// # Errors
/// When a transaction cannot be read.
pub fn judge(history: &History, txns: &[Vec<u8>]) -> Result<Verdict, String> {
    let mut judge = Judge::new(history, txns)?;
    for at in 0..history.lines.len() {
        if let Err(violation) = judge.happens(at) {
            let shown = show::last_lines(history, at);
            let broken = Some(Broken { violation, shown });
            return Ok(Verdict { counts: judge.counts, broken });
        }
    }
    judge.counts.unanswered = judge.asked - judge.answered;
    Ok(Verdict { counts: judge.counts, broken: None })
}

/// The zxids that clients were told.
pub fn told(history: &History) -> BTreeSet<i64> {
    let frames = cut(history).into_values().flatten();
    frames.filter_map(|(_, zxid)| zxid).collect()
}

/// A frame that a client got, with its length in front, and the zxid that it speaks of.
type Heard = (Vec<u8>, Option<i64>);

/// What each line brings.
pub(super) fn cut(history: &History) -> BTreeMap<usize, Vec<Heard>> {
    let mut cutters: BTreeMap<u64, (Cutter, bool)> = BTreeMap::new();
    let mut heard: BTreeMap<usize, Vec<Heard>> = BTreeMap::new();
    for (at, line) in history.lines.iter().enumerate() {
        let What::Got { link, bytes } = &line.what else { continue };
        let (cutter, greeted) = cutters.entry(*link).or_default();
        cutter.push(bytes, |frame| {
            let zxid = if *greeted { dated(frame) } else { None };
            *greeted = true;
            let mut whole = (frame.len() as u32).to_be_bytes().to_vec();
            whole.extend_from_slice(frame);
            heard.entry(at).or_default().push((whole, zxid));
        });
    }
    heard
}

/// The zxid of a frame behind the handshake, if it says one.
fn dated(frame: &[u8]) -> Option<i64> {
    let header = ReplyHeader::decode(&mut Reader::new(frame)).ok()?;
    (header.zxid.0 > 0 && header.xid != XID_AUTH).then_some(header.zxid.0)
}

/// When a session was opened and closed, as the transactions have it.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    opened: Option<i64>,
    closed: Option<i64>,
}

/// One link.
struct Wire {
    server: usize,
    framer: ClientFramer,
    /// The zxids that are still to come on it.
    zxids: VecDeque<Option<i64>>,
    greeted: bool,
    /// The session that it asks for.
    asks_for: i64,
    /// What was sent before the handshake was answered, as some strangers do, and what anybody had
    /// been told by then.
    early: Vec<(Vec<u8>, i64)>,
}

struct Judge<'a> {
    history: &'a History,
    oracles: Oracles,
    entries: Vec<(i64, TxnEntry<'a>)>,
    /// How many of them the oracles know.
    fed: usize,
    fates: BTreeMap<i64, Fate>,
    heard: BTreeMap<usize, Vec<Heard>>,
    /// The zxids that links are to be told, until they are there.
    zxids: BTreeMap<u64, VecDeque<Option<i64>>>,
    links: BTreeMap<u64, Wire>,
    free: Vec<usize>,
    /// Models, with how many transactions lie before them.
    kept: Vec<(usize, Model)>,
    /// Sessions whose clients asked for their end.
    leaving: BTreeSet<i64>,
    tick: u64,
    asked: u64,
    answered: u64,
    counts: Counts,
}

impl<'a> Judge<'a> {
    fn new(history: &'a History, txns: &'a [Vec<u8>]) -> Result<Judge<'a>, String> {
        let nature = [Knob::TickMs(history.tick_ms), Knob::EnforceQuota(history.enforces_quotas)];
        let mut oracles = Oracles::new(&Scenario::of(&nature), proofs());
        let ghost = &mut oracles.ghost;
        if let Some(members) = history.members()? {
            ghost.model.show_members(&members);
            ghost.empty.model.show_members(&members);
        }
        ghost.model.version_step = history.version_step;
        ghost.empty.model.version_step = history.version_step;
        let quorum = &mut ghost.replicas[QUORUM];
        quorum.durable = i64::MAX;
        quorum.phase = Some(Phase::Leading { epoch: None, established: true });
        let (mut entries, mut fates) = (Vec::new(), BTreeMap::<i64, Fate>::new());
        for txn in txns {
            let zxid = zxid_of(txn).ok_or("a transaction has no header")?;
            let entry = TxnEntry::decode(&mut Reader::new(txn))
                .map_err(|_| format!("transaction {} cannot be read", Zxid(zxid)))?;
            let fate = fates.entry(entry.header.session.0).or_default();
            match entry.txn {
                Txn::CreateSession { .. } => fate.opened = Some(zxid),
                Txn::CloseSession { .. } => fate.closed = Some(zxid),
                _ => {}
            }
            entries.push((zxid, entry));
        }
        let heard = cut(history);
        let mut zxids: BTreeMap<u64, VecDeque<_>> = BTreeMap::new();
        for (at, frames) in &heard {
            let link = history.lines[*at].what.link().expect("frames come on links");
            zxids.entry(link).or_default().extend(frames.iter().map(|(_, zxid)| *zxid));
        }
        let kept = vec![(0, oracles.ghost.model.clone())];
        Ok(Judge {
            history,
            oracles,
            entries,
            fed: 0,
            fates,
            heard,
            zxids,
            links: BTreeMap::new(),
            free: Vec::new(),
            kept,
            leaving: BTreeSet::new(),
            tick: u64::from(history.tick_ms) * 1_000,
            asked: 0,
            answered: 0,
            counts: Counts::default(),
        })
    }

    /// The line `at` happens.
    fn happens(&mut self, at: usize) -> Check {
        let line = &self.history.lines[at];
        let now = Now { mono: Instant { micros: line.at }, wall_ms: 0 };
        match &line.what {
            What::Up { link, address, .. } => self.up(*link, address),
            What::Sent { link, bytes } => self.sent(*link, bytes, now),
            What::Got { link, .. } => {
                for (frame, _) in self.heard.remove(&at).unwrap_or_default() {
                    self.got(*link, frame, now)?;
                }
                return Ok(());
            }
            What::Down { link } => {
                if let Some(wire) = self.links.remove(link) {
                    self.free.push(wire.server);
                    self.oracles.ghost.replicas[wire.server] = self.oracles.ghost.empty.clone();
                }
            }
            What::Calm { since } => self.oracles.signs.calm(*since),
            What::Fault { .. } => self.oracles.signs.stirred(),
        }
        Ok(())
    }

    fn up(&mut self, link: u64, address: &str) {
        let ghost = &mut self.oracles.ghost;
        let server = self.free.pop().unwrap_or_else(|| {
            ghost.replicas.push(ghost.empty.clone());
            ghost.replicas.len() - 1
        });
        // How far the real one was is seen by what it says later.
        (ghost.replicas[server].durable, ghost.replicas[server].said) = (i64::MAX, i64::MAX);
        self.oracles.link_up(server, LinkId(link), address);
        let zxids = self.zxids.remove(&link).unwrap_or_default();
        let framer = ClientFramer::new(self.history.max_packet);
        let (greeted, asks_for, early) = (false, 0, Vec::new());
        self.links.insert(link, Wire { server, framer, zxids, greeted, asks_for, early });
    }

    fn sent(&mut self, link: u64, bytes: &[u8], now: Now) {
        let Some(wire) = self.links.get_mut(&link) else { return };
        let (oracles, server, at) = (&mut self.oracles, wire.server, now.mono.micros);
        let there = oracles.ghost.replicas[server].links.get(&LinkId(link));
        if !wire.greeted && there.is_some_and(|there| there.connect.is_some()) {
            wire.early.push((bytes.to_vec(), oracles.ghost.told));
            return;
        }
        wire.framer.push(bytes, |frame| {
            oracles.arrives(server, LinkId(link), &frame, at, now);
            let there = oracles.ghost.replicas[server].links.get(&LinkId(link));
            let Some(there) = there else { return };
            match (there.session, &there.connect) {
                (None, Some(connect)) => wire.asks_for = connect.session,
                (Some(session), _) if matches!(frame, Frame::Packet(_)) => {
                    self.asked += 1;
                    let newest = there.requests.back().map(|arrived| arrived.op);
                    if newest == Some(OpCode::CloseSession.code()) {
                        self.leaving.insert(session);
                    }
                }
                _ => {}
            }
        });
    }

    fn got(&mut self, link: u64, mut frame: Vec<u8>, now: Now) -> Check {
        let Some(wire) = self.links.get_mut(&link) else { return Ok(()) };
        let server = wire.server;
        wire.zxids.pop_front();
        let greets = !wire.greeted;
        if !greets {
            self.date(link, &mut frame)?;
            if let Some(zxid) = dated(&frame[4..]) {
                self.reach(server, zxid)?;
            }
            self.count(&frame[4..]);
        } else {
            self.greets(link, &frame[4..])?;
        }
        self.oracles.sends(server, LinkId(link), &frame, now.mono.micros, now)?;
        self.oracles.drained(server, LinkId(link), frame.len());
        if greets {
            self.greeted(link, now);
        }
        for replied in self.oracles.replies.drain(..) {
            self.answered += 1;
            match OpCode::from_code(replied.op) {
                Some(op) if op.is_write() => self.counts.writes += 1,
                Some(OpCode::Ping | OpCode::Auth | OpCode::Sync) | None => self.counts.others += 1,
                Some(_) => self.counts.reads += 1,
            }
        }
        self.oracles.seen.clear();
        self.oracles.ghost.replicas[QUORUM].applied = self.oracles.ghost.told;
        self.settle(now)
    }

    /// The handshake was answered: what was sent too early arrives.
    fn greeted(&mut self, link: u64, now: Now) {
        let Some(wire) = self.links.get_mut(&link) else { return };
        wire.greeted = true;
        let newest = self.oracles.ghost.told;
        for (bytes, told) in std::mem::take(&mut wire.early) {
            self.oracles.ghost.told = told;
            self.sent(link, &bytes, now);
        }
        self.oracles.ghost.told = newest;
    }

    fn count(&mut self, frame: &[u8]) {
        let header = ReplyHeader::decode(&mut Reader::new(frame));
        if header.is_ok_and(|header| header.xid == XID_NOTIFICATION) {
            self.counts.events += 1;
        }
    }

    /// The handshake is about to be answered: the link gets its place in history.
    fn greets(&mut self, link: u64, frame: &[u8]) -> Check {
        let wire = &self.links[&link];
        let (server, asks_for) = (wire.server, wire.asks_for);
        let given = ConnectResponse::decode(&mut Reader::new(frame));
        let given = given.map_or(SessionId(0), |response| response.session).0;
        let opened = self.fates.get(&given).and_then(|fate| fate.opened);
        let next = wire.zxids.iter().flatten().next().copied();
        let floor = next.into_iter().chain(opened).min().unwrap_or(i64::MAX);
        self.place(server, floor);
        if given == 0 {
            self.counts.refused += 1;
            // It was closed, though nobody has been told by now.
            if self.fates.get(&asks_for).is_some_and(|fate| fate.closed.is_some()) {
                self.oracles.ghost.closing.insert(asks_for);
            }
            return Ok(());
        }
        if asks_for == 0 {
            self.counts.opened += 1;
        } else {
            self.counts.resumed += 1;
        }
        match opened {
            Some(opened) => self.reach(server, opened),
            None => {
                let what = format!("session {} is given, and was never opened", Zxid(given));
                Err(Violation::new(Property::Sessions, what))
            }
        }
    }

    /// Puts a link's server at the newest known model that is not beyond `floor`.
    fn place(&mut self, server: usize, floor: i64) {
        let ghost = &mut self.oracles.ghost;
        let before = ghost.upto(floor).len();
        let live = self.links.values().filter(|wire| wire.greeted);
        let live = live.map(|wire| &ghost.replicas[wire.server]);
        let known = live.map(|replica| (replica.shown, &replica.model));
        let known = known.chain([(ghost.committed.len(), &ghost.model)]);
        let known = known.chain(self.kept.iter().map(|(shown, model)| (*shown, model)));
        let newest = known.filter(|(shown, _)| *shown <= before).max_by_key(|(shown, _)| *shown);
        let (shown, model) = newest.expect("the first model is kept");
        let model = model.clone();
        let replica = &mut ghost.replicas[server];
        (replica.model, replica.shown) = (model, shown);
        replica.applied = shown.checked_sub(1).map_or(0, |last| ghost.committed[last]);
        replica.log.clear();
        replica.log.extend(Some(replica.applied).filter(|applied| *applied > 0));
    }

    /// The server of a link holds everything up to a zxid, and so does the quorum.
    fn reach(&mut self, server: usize, zxid: i64) -> Check {
        while let Some((_, entry)) = self.entries.get(self.fed).filter(|(at, _)| *at <= zxid) {
            self.fed += 1;
            let summed = self.fed.is_multiple_of(1 + self.oracles.ghost.model.len() / SUMMED);
            let digest = entry.digest.filter(|_| summed);
            self.counts.digests += u64::from(digest.is_some());
            self.oracles.ghost.log(QUORUM, &TxnEntry { digest, ..entry.clone() })?;
        }
        let last = self.oracles.ghost.replicas[server].last();
        let from = self.entries.partition_point(|(at, _)| *at <= last);
        let more = self.entries[from..].iter().map(|(at, _)| *at).take_while(|at| *at <= zxid);
        self.oracles.ghost.replicas[server].log.extend(more);
        Ok(())
    }

    /// Servers before 3.9 do not say which transaction an event is of: it is the one that makes the
    /// next event that the link is owed, if that comes before the next reply.
    fn date(&mut self, link: u64, frame: &mut [u8]) -> Check {
        let mut reader = Reader::new(&frame[4..]);
        let header = ReplyHeader::decode(&mut reader);
        if !header.is_ok_and(|header| header.xid == XID_NOTIFICATION && header.zxid.0 == -1) {
            return Ok(());
        }
        let Ok(event) = WatcherEvent::decode(&mut reader) else { return Ok(()) };
        let (kind, path) = (event.kind, event.path.to_vec());
        let wire = &self.links[&link];
        let server = wire.server;
        let Some(upto) = wire.zxids.iter().flatten().next().copied() else { return Ok(()) };
        let ghost = &self.oracles.ghost;
        if ghost.replicas[server].links[&LinkId(link)].rearms() {
            return Ok(());
        }
        let mut at = ghost.replicas[server].applied;
        loop {
            let owed = self.oracles.ghost.replicas[server].links[&LinkId(link)].owed.front();
            if let Some(owed) = owed {
                if owed.kind == kind && owed.path == path {
                    frame[8..16].copy_from_slice(&owed.zxid.to_be_bytes());
                }
                return Ok(());
            }
            let next = self.entries.partition_point(|(zxid, _)| *zxid <= at);
            match self.entries.get(next) {
                Some((zxid, _)) if *zxid <= upto => at = *zxid,
                _ => return Ok(()),
            }
            self.reach(server, at)?;
            self.oracles.ghost.advance(server, at)?;
        }
    }

    /// Looks at what was committed just now.
    fn settle(&mut self, now: Now) -> Check {
        let committed = self.oracles.ghost.committed.len() as u64;
        while self.counts.transactions < committed {
            let (_, entry) = &self.entries[self.counts.transactions as usize];
            self.counts.transactions += 1;
            let session = entry.header.session.0;
            let Txn::CloseSession { paths } = &entry.txn else { continue };
            let owned = paths.as_ref().is_some_and(|paths| !paths.is_empty());
            self.counts.with_ephemerals += u64::from(owned);
            if !self.leaving.contains(&session) {
                self.counts.expired += u64::from(self.oracles.signs.is_calm(now.mono.micros));
                self.oracles.signs.expired(session, self.tick, now.mono.micros)?;
            }
        }
        let model = &self.oracles.ghost.model;
        let kept = self.kept.last().map_or(0, |(shown, _)| *shown);
        if committed as usize >= kept + KEPT_EVERY.max(model.len() / 4) {
            self.kept.push((committed as usize, model.clone()));
            if self.kept.len() > KEPT {
                // The first stays.
                self.kept.remove(1);
            }
        }
        Ok(())
    }
}
