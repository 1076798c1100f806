// SPDX-License-Identifier: Apache-2.0
//! What was broadcast, committed, and delivered by whom; and which claim of the paper that breaks.
//!
//! What is said is taken from the links, and what is held from the disks: of the machines' own
//! words only the last transaction applied is believed, which says how much of its log a server
//! has delivered.

use std::collections::{BTreeMap, BTreeSet};

use crate::troupe::{Happening, Id, Message, Troupe, Word};
use menagerie_core::{
    id::{FileId, Zxid},
    io::{Dir, FileOp, Port},
    jute::{Reader, Record},
    txn::TxnHeader,
    zab::wire::{FromLeader, FromLearner, QuorumPacket},
};

/// The claims, under the paper's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    Integrity,
    TotalOrder,
    Agreement,
    LocalPrimaryOrder,
    GlobalPrimaryOrder,
    PrimaryIntegrity,
    OnePrimaryAnEpoch,
    EpochsAreNew,
    PromisesAreKept,
    HistoryBeforeAckOfNewLeader,
    QuorumBeforeCommit,
    EverybodyInTheEnd,
}

/// Transactions with their entries, in the order of a log.
type History = Vec<(Zxid, Vec<u8>)>;

/// What a server has delivered: everything up to a tree that it was sent, and this.
struct Delivered {
    base: Zxid,
    txns: History,
}

/// A leader's words to one follower since it proposed its epoch.
#[derive(Default)]
struct Sync {
    sent: Vec<Zxid>,
    /// Whether NEWLEADER was said.
    whole: bool,
}

pub struct Ledger {
    schedule: u64,
    /// The first that broke each claim.
    broken: BTreeMap<Claim, String>,
    /// Which epoch a server proposed last.
    epochs: BTreeMap<Id, u32>,
    syncs: BTreeMap<(Id, Id), Sync>,
    /// Files that are logs.
    logs: BTreeSet<(Id, FileId)>,
    /// What each primary broadcast.
    broadcast: BTreeMap<Zxid, Vec<u8>>,
    /// What anybody ever delivered.
    delivered: BTreeMap<Zxid, Vec<u8>>,
    /// Who told somebody that it leads an epoch with a quorum.
    primaries: BTreeMap<u32, Id>,
    promises: BTreeMap<Id, u32>,
    /// Said since the last look: commits, and answers to NEWLEADER.
    committed: BTreeSet<Zxid>,
    joined: Vec<(Id, u32, Vec<Zxid>)>,
}

impl Ledger {
    pub fn new(schedule: u64) -> Ledger {
        Ledger {
            schedule,
            broken: BTreeMap::new(),
            epochs: BTreeMap::new(),
            syncs: BTreeMap::new(),
            logs: BTreeSet::new(),
            broadcast: BTreeMap::new(),
            delivered: BTreeMap::new(),
            primaries: BTreeMap::new(),
            promises: BTreeMap::new(),
            committed: BTreeSet::new(),
            joined: Vec::new(),
        }
    }

    /// What broke a claim first.
    pub fn breaks(&self, claim: Claim) -> Option<&String> {
        self.broken.get(&claim)
    }

    /// How many transactions were delivered.
    pub fn size(&self) -> usize {
        self.delivered.len()
    }

    /// How many epochs had a primary.
    pub fn reigns(&self) -> usize {
        self.primaries.len()
    }

    fn check(&mut self, claim: Claim, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            let schedule = self.schedule;
            self.broken.entry(claim).or_insert_with(|| format!("schedule {schedule}: {}", why()));
        }
    }

    /// Takes in what happened since the last time, and what is there now.
    pub fn sees(&mut self, troupe: &mut Troupe) {
        for happening in std::mem::take(&mut troupe.happened) {
            match happening {
                Happening::Said { message, .. } => self.hears(&message),
                Happening::Ordered { at, what, .. } => self.logs(at, &what),
                _ => {}
            }
        }
        self.looks_at_disks(troupe);
        let up: Vec<Id> = troupe.ids().filter(|id| troupe.is_up(*id)).collect();
        let held: Vec<(Id, Delivered)> =
            up.iter().filter_map(|id| Some((*id, delivered(troupe, *id)?))).collect();
        for (id, held) in &held {
            self.looks_at(*id, held);
        }
        for (n, (a, of_a)) in held.iter().enumerate() {
            for (b, of_b) in &held[n + 1..] {
                let only = |here: &Delivered, there: &Delivered| {
                    let lacks = |(zxid, _): &&(Zxid, Vec<u8>)| {
                        *zxid > there.base && !there.txns.iter().any(|(other, _)| other == zxid)
                    };
                    here.txns.iter().find(lacks).map(|(zxid, _)| *zxid)
                };
                let both = (only(of_a, of_b), only(of_b, of_a));
                let agree = !matches!(both, (Some(_), Some(_)));
                self.check(Claim::Agreement, agree, || format!("{a} and {b} only: {both:?}"));
            }
        }
        for id in up {
            self.looks_at_primary(troupe, id);
        }
    }

    /// A primary logs what it broadcasts, even if nobody is there to be told.
    fn logs(&mut self, at: Id, what: &FileOp) {
        if let FileOp::Create { file, name, .. } | FileOp::Open { file, name, .. } = what {
            self.logs.remove(&(at, *file));
            if name.starts_with("log.") {
                self.logs.insert((at, *file));
            }
        }
        let FileOp::Write { file, offset, data } = what else { return };
        if !self.logs.contains(&(at, *file)) {
            return;
        }
        let header = if *offset == 0 { 16 } else { 0 };
        for (zxid, entry) in records(data.get(header..).unwrap_or_default()) {
            if self.epochs.get(&at) == Some(&zxid.epoch()) {
                self.broadcast.entry(zxid).or_insert(entry);
            }
        }
    }

    fn hears(&mut self, message: &Message) {
        let (from, to) = (message.from, message.to);
        let Word::Packet(bytes) = &message.word else { return };
        if message.port != Port::Quorum {
            return;
        }
        let packet = QuorumPacket::decode(&mut Reader::new(bytes)).expect("a packet");
        if !message.dialled {
            let said = FromLeader::read(&packet).expect("a leader's packet");
            return self.hears_leader(from, to, &said);
        }
        let epoch = self.epochs.get(&to).copied().unwrap_or_default();
        match FromLearner::read(packet).expect("a learner's packet") {
            FromLearner::AckEpoch { .. } => {
                let before = self.promises.insert(from, epoch).unwrap_or_default();
                self.check(Claim::PromisesAreKept, epoch >= before, || {
                    format!("{from} promised epoch {before}, and then {epoch}")
                });
            }
            FromLearner::Ack { zxid } => {
                let before = self.promises.get(&from).copied().unwrap_or_default();
                self.check(Claim::PromisesAreKept, epoch >= before, || {
                    format!("{from} promised epoch {before}, and acknowledged {zxid} of {epoch}")
                });
                if let Some(sync) = self.syncs.remove(&(to, from)).filter(|sync| sync.whole) {
                    self.joined.push((from, epoch, sync.sent));
                }
            }
            _ => {}
        }
    }

    fn hears_leader(&mut self, from: Id, to: Id, said: &FromLeader<'_>) {
        let epoch = self.epochs.get(&from).copied().unwrap_or_default();
        match *said {
            FromLeader::LeaderInfo { zxid, .. } => {
                self.epochs.insert(from, zxid.epoch());
                self.syncs.insert((from, to), Sync::default());
            }
            FromLeader::NewLeader { .. } => {
                self.syncs.entry((from, to)).or_default().whole = true;
            }
            FromLeader::Proposal { zxid, entry } => {
                if let Some(sync) = self.syncs.get_mut(&(from, to)).filter(|sync| !sync.whole) {
                    sync.sent.push(zxid);
                }
                if zxid.epoch() == epoch {
                    let first = self.broadcast.entry(zxid).or_insert_with(|| entry.to_vec());
                    let same = first == entry;
                    self.check(Claim::Integrity, same, || format!("{zxid} is two transactions"));
                }
            }
            FromLeader::Commit { zxid, .. } => {
                self.committed.insert(zxid);
            }
            FromLeader::UpToDate => {
                let newest = self.primaries.last_key_value().map_or(0, |(epoch, _)| *epoch);
                let first = *self.primaries.entry(epoch).or_insert(from);
                self.check(Claim::OnePrimaryAnEpoch, first == from, || {
                    format!("{first} and {from} are primaries of epoch {epoch}")
                });
                self.check(Claim::EpochsAreNew, epoch >= newest, || {
                    format!("{from} begins epoch {epoch} when there was {newest}")
                });
            }
            _ => {}
        }
    }

    /// What was said must be on disks by now, even if the power fails.
    fn looks_at_disks(&mut self, troupe: &Troupe) {
        for (id, epoch, sent) in std::mem::take(&mut self.joined) {
            if !troupe.is_up(id) {
                continue;
            }
            let disk = on_disk(troupe, id, true);
            let lacks = sent.iter().find(|zxid| !disk.has(**zxid));
            self.check(Claim::HistoryBeforeAckOfNewLeader, lacks.is_none(), || {
                format!("{id} acknowledged epoch {epoch} without {lacks:?}")
            });
        }
        let disks: Vec<Delivered> = troupe.ids().map(|id| on_disk(troupe, id, true)).collect();
        for zxid in std::mem::take(&mut self.committed) {
            let holders = disks.iter().filter(|disk| disk.has(zxid)).count();
            self.check(Claim::QuorumBeforeCommit, holders >= 2, || {
                format!("{zxid} is committed and held by {holders}")
            });
        }
    }

    fn looks_at(&mut self, id: Id, held: &Delivered) {
        let mut before = held.base;
        for (zxid, entry) in &held.txns {
            let told = self.broadcast.get(zxid) == Some(entry);
            self.check(Claim::Integrity, told, || format!("{id} delivered {zxid}: of nobody"));
            let (ours, theirs) = (zxid.epoch(), before.epoch());
            self.check(Claim::GlobalPrimaryOrder, ours >= theirs, || {
                format!("{id} delivered {zxid} behind {before}")
            });
            let next = if ours == theirs { *zxid == before.next() } else { zxid.counter() == 1 };
            self.check(Claim::LocalPrimaryOrder, next, || {
                format!("{id} delivered {zxid} behind {before}")
            });
            before = *zxid;
        }
        // Whatever anybody delivered before this server's last, it delivered, too.
        let last = before;
        let of_all = self.delivered.range(..=last).filter(|(zxid, _)| **zxid > held.base);
        let alike = of_all.eq(held
            .txns
            .iter()
            .map(|(zxid, entry)| (zxid, entry))
            .filter(|(zxid, _)| self.delivered.contains_key(zxid)));
        self.check(Claim::TotalOrder, alike, || format!("{id} up to {last} is another history"));
        // What is new must come behind all that anybody delivered.
        let newest = self.delivered.last_key_value().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        for (zxid, entry) in &held.txns {
            if self.delivered.contains_key(zxid) {
                continue;
            }
            self.check(Claim::TotalOrder, *zxid > newest || *zxid <= held.base, || {
                format!("{id} delivered {zxid}, and others {newest} without it")
            });
            self.delivered.insert(*zxid, entry.clone());
        }
    }

    /// Who broadcasts in an epoch has all that was delivered of earlier ones.
    fn looks_at_primary(&mut self, troupe: &Troupe, id: Id) {
        let Some(epoch) = self.epochs.get(&id).copied().filter(|_| troupe.leads(id)) else {
            return;
        };
        let has = on_disk(troupe, id, false);
        let earlier = self.delivered.range(..Zxid::new(epoch, 0));
        let lacks = earlier.map(|(zxid, _)| *zxid).find(|zxid| !has.has(*zxid));
        self.check(Claim::PrimaryIntegrity, lacks.is_none(), || {
            format!("{id} leads epoch {epoch} without {lacks:?}")
        });
    }

    /// Everything works again, and everybody was given the time to hear of everything.
    pub fn ends(&mut self, troupe: &Troupe) {
        let all: Vec<Id> = troupe.ids().collect();
        let whole = troupe.is_whole();
        self.check(Claim::EverybodyInTheEnd, whole, || "there is no leader".to_owned());
        let newest = self.delivered.last_key_value().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        for id in all {
            let held = delivered(troupe, id);
            let last = held.and_then(|held| held.txns.last().map(|(zxid, _)| *zxid));
            self.check(Claim::EverybodyInTheEnd, last == Some(newest), || {
                format!("{id} delivered up to {last:?}, others to {newest}")
            });
        }
    }
}

impl Delivered {
    fn has(&self, zxid: Zxid) -> bool {
        zxid <= self.base || self.txns.iter().any(|(other, _)| *other == zxid)
    }
}

/// What a server that knows its history has delivered.
fn delivered(troupe: &Troupe, id: Id) -> Option<Delivered> {
    let view = troupe.view(id)?;
    let applied = if view.applied.counter() > 0 { view.applied } else { view.committed };
    let mut held = on_disk(troupe, id, false);
    held.txns.retain(|(zxid, _)| *zxid <= applied);
    troupe.server(id).node.as_ref()?.server()?;
    Some(held)
}

/// What a disk holds, or would after a power loss.
fn on_disk(troupe: &Troupe, id: Id, durable: bool) -> Delivered {
    let fs = &troupe.server(id).disk.fs;
    let names = fs.list(Dir::Snap).unwrap_or_default();
    let number =
        |name: &str, kind: &str| i64::from_str_radix(name.strip_prefix(kind)?, 16).ok().map(Zxid);
    let trees = names.iter().filter_map(|entry| number(&entry.name, "snapshot."));
    let base = trees.max().unwrap_or_default();
    let mut logs: Vec<(Zxid, &str)> = names
        .iter()
        .filter_map(|entry| Some((number(&entry.name, "log.")?, entry.name.as_str())))
        .collect();
    logs.sort_unstable();
    let mut txns = History::new();
    for (_, name) in logs {
        let inode = fs.find(Dir::Snap, name).expect("it was listed");
        let content = if durable { fs.durable(inode) } else { fs.content(inode) };
        let bytes = content.read(0, content.len());
        txns.extend(records(bytes.get(16..).unwrap_or_default()));
    }
    txns.retain(|(zxid, _)| *zxid > base);
    Delivered { base, txns }
}

/// The transactions of a log, up to what is none.
fn records(bytes: &[u8]) -> History {
    let (mut r, mut txns) = (Reader::new(bytes), History::new());
    while let (Ok(_), Ok(entry), Ok(b'B')) = (r.long(), r.string(), r.byte()) {
        let Ok(header) = TxnHeader::decode(&mut Reader::new(entry)) else { break };
        txns.push((header.zxid, entry.to_vec()));
    }
    txns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(zxids: &[(u32, u32)]) -> Delivered {
        let txns = zxids.iter().map(|(epoch, counter)| (Zxid::new(*epoch, *counter), Vec::new()));
        Delivered { base: Zxid::ZERO, txns: txns.collect() }
    }

    fn says(ledger: &mut Ledger, from: Id, to: Id, dialled: bool, write: impl Fn(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let (port, word) = (Port::Quorum, Word::Packet(bytes));
        ledger.hears(&Message { from, to, port, word, dialled, first: false });
    }

    fn proposes(ledger: &mut Ledger, leader: Id, epoch: u32) {
        let info = FromLeader::LeaderInfo { zxid: Zxid::new(epoch, 0), ours: true };
        says(ledger, leader, 1, false, |out| info.encode(out));
    }

    #[test]
    fn gaps_and_earlier_epochs_are_seen() {
        let mut ledger = Ledger::new(0);
        ledger.looks_at(1, &history(&[(1, 1), (1, 2), (2, 1)]));
        assert_eq!(ledger.breaks(Claim::LocalPrimaryOrder), None);
        assert_eq!(ledger.breaks(Claim::GlobalPrimaryOrder), None);
        assert!(ledger.breaks(Claim::Integrity).is_some(), "nobody broadcast any of it");
        ledger.looks_at(2, &history(&[(1, 1), (1, 3)]));
        assert!(ledger.breaks(Claim::LocalPrimaryOrder).is_some());
        assert!(ledger.breaks(Claim::TotalOrder).is_some());
        ledger.looks_at(3, &history(&[(2, 1), (1, 1)]));
        assert!(ledger.breaks(Claim::GlobalPrimaryOrder).is_some());
    }

    #[test]
    fn a_promise_that_is_broken_and_an_epoch_that_is_old_are_seen() {
        let mut ledger = Ledger::new(0);
        let agrees = FromLearner::AckEpoch { zxid: Zxid::ZERO, current: Some(0) };
        for (leader, epoch) in [(3, 4), (2, 5)] {
            proposes(&mut ledger, leader, epoch);
            says(&mut ledger, 1, leader, true, |out| agrees.encode(out));
            says(&mut ledger, leader, 1, false, |out| FromLeader::UpToDate.encode(out));
        }
        assert_eq!(ledger.breaks(Claim::PromisesAreKept), None);
        assert_eq!(ledger.breaks(Claim::EpochsAreNew), None);
        proposes(&mut ledger, 3, 4);
        says(&mut ledger, 1, 3, true, |out| agrees.encode(out));
        assert!(ledger.breaks(Claim::PromisesAreKept).is_some());
        says(&mut ledger, 3, 1, false, |out| FromLeader::UpToDate.encode(out));
        assert!(ledger.breaks(Claim::EpochsAreNew).is_some());
    }
}
