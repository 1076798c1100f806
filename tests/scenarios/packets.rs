// SPDX-License-Identifier: Apache-2.0
//! What servers say to each other and to their disks, in the words of a story.

use std::{collections::BTreeMap, sync::Arc};

use menagerie_core::{
    election::wire::{Form, Hello, HelloForm, Notification, PeerState},
    id::{FileId, LaneId},
    io::{FileOp, Port},
    jute::{Reader, Record},
    proto::{OpCode, Request},
    txn::TxnEntry,
    zab::wire::{ForwardedRequest, FromLeader, FromLearner, QuorumPacket, kind},
};

use crate::{
    speech,
    troupe::{Message, Word},
};

/// A message.
pub fn message(message: &Message) -> String {
    let bytes = match &message.word {
        Word::Packet(bytes) => bytes,
        Word::Tree(bytes, last) => {
            let which = if *last { "the end of a tree" } else { "a piece of a tree" };
            return format!("{which}, {} bytes", bytes.len());
        }
        Word::Broken(why) => return format!("nonsense: {why}"),
        Word::Nonsense(len) => return format!("nonsense: a length of {len}"),
    };
    let said = match (message.port, message.dialled) {
        (Port::Election, _) if message.first => hello(bytes),
        (Port::Election, _) => notification(bytes),
        (_, true) => of_learner(bytes),
        (_, false) => of_leader(bytes),
    };
    said.unwrap_or_else(|| format!("{} bytes that mean nothing: {}", bytes.len(), hex(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(24).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether it says that its speaker lives.
pub fn is_ping(message: &Message) -> bool {
    let Word::Packet(bytes) = &message.word else { return false };
    let packet = QuorumPacket::decode(&mut Reader::new(bytes));
    message.port == Port::Quorum && packet.is_ok_and(|packet| packet.kind == kind::PING)
}

fn hello(bytes: &[u8]) -> Option<String> {
    let Hello { from, form } = Hello::decode(bytes).ok()?;
    Some(match form {
        HelloForm::Short => format!("hello of {from}"),
        HelloForm::Long(at) => format!("hello of {from}, at {}", at.first()?),
        HelloForm::Multi(at) => format!("hello of {from}, at {} addresses", at.len()),
    })
}

fn notification(bytes: &[u8]) -> Option<String> {
    let Notification { state, vote, round, form } = Notification::decode(bytes).ok()?;
    let does = match state {
        PeerState::Looking => "looks",
        PeerState::Following => "follows",
        PeerState::Leading => "leads",
        PeerState::Observing => "observes",
    };
    let form = match form {
        Form::Config(_) => "",
        Form::V40(_) => ", as 3.4",
        Form::V28 | Form::V36 => ", as before 3.4.6",
    };
    let (whom, zxid, epoch) = (vote.leader, vote.zxid.0, vote.epoch);
    if vote.leader.0 == i64::MIN {
        return Some(format!("{does}, votes for nobody, round {round}{form}"));
    }
    Some(format!("{does}, votes for {whom} with epoch {epoch}, zxid {zxid:x}, round {round}{form}"))
}

fn entry(bytes: &[u8]) -> String {
    match TxnEntry::decode(&mut Reader::new(bytes)) {
        Ok(entry) => {
            let digest = if entry.digest.is_some() { "" } else { ", without a digest" };
            let header = &entry.header;
            format!("{}{digest}", speech::txn(header.zxid, header.session, &entry.txn))
        }
        Err(_) => "what is no transaction".to_owned(),
    }
}

fn of_leader(bytes: &[u8]) -> Option<String> {
    let packet = QuorumPacket::decode(&mut Reader::new(bytes)).ok()?;
    let said = FromLeader::read(&packet).ok()?;
    let name = said.name();
    Some(match said {
        FromLeader::LeaderInfo { zxid, .. } => format!("{name} epoch {}", zxid.epoch()),
        FromLeader::NewLeader { zxid, .. } => format!("{name} epoch {}", zxid.epoch()),
        FromLeader::Diff { zxid } => format!("{name} up to {:x}", zxid.0),
        FromLeader::Trunc { zxid } => format!("{name} back to {:x}", zxid.0),
        FromLeader::Snap { zxid } => format!("{name} of {:x}", zxid.0),
        FromLeader::Proposal { entry: of, .. } | FromLeader::Inform { entry: of, .. } => {
            format!("{name} {}", entry(of))
        }
        FromLeader::Commit { zxid, designated: Some(heir) } => {
            format!("COMMITANDACTIVATE {:x}, {heir} is to lead", zxid.0)
        }
        FromLeader::Commit { zxid, .. } | FromLeader::Ping { zxid } => {
            format!("{name} {:x}", zxid.0)
        }
        FromLeader::Revalidated { session, valid } => {
            format!("{name} {session}: {}", if valid { "it lives" } else { "there is none" })
        }
        FromLeader::Sync | FromLeader::UpToDate => name.to_owned(),
    })
}

fn of_learner(bytes: &[u8]) -> Option<String> {
    let packet = QuorumPacket::decode(&mut Reader::new(bytes)).ok()?;
    Some(match FromLearner::read(packet).ok()? {
        FromLearner::Info { accepted, observer, info } => {
            let name = if observer { "OBSERVERINFO" } else { "FOLLOWERINFO" };
            let old = if info.config_version.is_none() { ", as 3.4" } else { "" };
            format!("{name} of {}, accepted epoch {}{old}", info.sid, accepted.epoch())
        }
        FromLearner::AckEpoch { zxid, current: Some(epoch) } => {
            format!("ACKEPOCH last zxid {:x}, current epoch {epoch}", zxid.0)
        }
        FromLearner::AckEpoch { zxid, current: None } => {
            format!("ACKEPOCH last zxid {:x}, the epoch was accepted before", zxid.0)
        }
        FromLearner::Ack { zxid } => format!("ACK {:x}", zxid.0),
        FromLearner::Ping { zxid, touched } => {
            let heard: Vec<String> =
                touched.iter().map(|(session, ms)| format!("{session} for {ms} ms")).collect();
            format!("PING {:x}, heard of [{}]", zxid.0, heard.join(", "))
        }
        FromLearner::Request(request) => format!("REQUEST {}", forwarded(&request)),
        FromLearner::Revalidate { session, timeout_ms } => {
            format!("REVALIDATE {session} for {timeout_ms} ms?")
        }
    })
}

fn forwarded(request: &ForwardedRequest<'_>) -> String {
    let asked = match Request::decode(request.op, &mut Reader::new(request.body)) {
        Ok(asked) => speech::asked(&asked),
        Err(_) => OpCode::from_code(request.op).map_or("nonsense".into(), |op| format!("{op:?}")),
    };
    format!("of {}: {asked}", request.session)
}

/// An operation, with the names of the files that it knows by number.
pub fn op<K: Ord + Copy>(
    files: &BTreeMap<K, String>,
    key: impl Fn(FileId) -> K,
    what: &FileOp,
) -> String {
    let of = |file: &FileId| files[&key(*file)].as_str();
    match what {
        FileOp::List { dir, .. } => format!("list {dir:?}"),
        FileOp::Open { name, .. } => format!("open {name}"),
        FileOp::Create { name, .. } => format!("create {name}"),
        FileOp::Close { file } => format!("close {}", of(file)),
        FileOp::Read { file, offset, len } => format!("read {} {offset}+{len}", of(file)),
        FileOp::Write { file, offset, data } => {
            format!("write {} {offset}+{}", of(file), data.len())
        }
        FileOp::Preallocate { file, offset, len } => {
            format!("zero {} {offset}+{len}", of(file))
        }
        FileOp::Sync { file } => format!("sync {}", of(file)),
        FileOp::Truncate { file, len } => format!("truncate {} to {len}", of(file)),
        FileOp::Rename { from, to, .. } => format!("rename {from} to {to}"),
        FileOp::Unlink { name, .. } => format!("unlink {name}"),
        FileOp::SyncDir { dir } => format!("sync folder {dir:?}"),
        FileOp::Lock { name, .. } => format!("lock {name}"),
    }
}

/// Calls `each` with the transactions in what is written to a log.
pub fn txns(offset: u64, data: &Arc<Vec<u8>>, mut each: impl FnMut(&TxnEntry<'_>)) {
    let mut r = Reader::new(data);
    if offset == 0 {
        r.take(16).expect("a header");
    }
    while !r.is_empty() {
        r.long().expect("a checksum");
        let entry = r.string().expect("an entry");
        assert_eq!(r.byte(), Ok(b'B'), "the end mark");
        each(&TxnEntry::decode(&mut Reader::new(entry)).expect("a transaction"));
    }
}

/// As it is ordered in a lane: what is written to a log is told.
pub fn order(lane: LaneId, named: &str, what: &FileOp, is_log: bool) -> String {
    let line = format!("disk {}: {named}", lane.0);
    let FileOp::Write { offset, data, .. } = what else { return line };
    if !is_log {
        return line;
    }
    format!("{line}: {}", told(*offset, data))
}

/// The transactions in what is written to a log, in words.
pub fn told(offset: u64, data: &Arc<Vec<u8>>) -> String {
    let mut told = Vec::new();
    txns(offset, data, |entry| {
        told.push(speech::txn(entry.header.zxid, entry.header.session, &entry.txn));
    });
    told.join(", ")
}
