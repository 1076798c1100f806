// SPDX-License-Identifier: Apache-2.0
//! The order of all transactions, read off the logs of real servers afterwards.
//!
//! A log may end in what was never committed, may miss what came as a snapshot, and may rot. Two
//! facts help: what a client was told is committed, and what stands before a committed transaction
//! in an unbroken piece of any log is committed, too. So pieces are put together from there on, and
//! no two neighbours are believed that stand side by side in no log.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use menagerie_core::{
    id::Zxid,
    jute::{Reader, Record},
    log::{Ending, LogScanner, Name, Step},
    txn::{Txn, TxnEntry, TxnHeader},
};

use crate::oracle::{Property, Violation};

/// Why there is no one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The logs cannot be read, or are not enough.
    Unknown(String),
    /// They contradict each other.
    Broken(Violation),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unknown(why) => f.write_str(why),
            Fault::Broken(violation) => violation.fmt(f),
        }
    }
}

/// An unbroken piece of one server's log: entries by zxid.
type Piece = BTreeMap<i64, Vec<u8>>;

/// The committed transactions, in order, as the logs in these folders have them; `told` are the
/// zxids that clients were told.
///
/// # Errors
/// When a folder cannot be read, when something is missing, or when the logs hold two histories.
pub fn committed(folders: &[PathBuf], told: &BTreeSet<i64>) -> Result<Vec<Vec<u8>>, Fault> {
    let mut pieces = Vec::new();
    for folder in folders {
        read(folder, &mut pieces).map_err(Fault::Unknown)?;
    }
    let known = known(&pieces, told);
    let mut all = Piece::new();
    for piece in &pieces {
        for (zxid, entry) in piece.iter().filter(|(zxid, _)| known.contains(zxid)) {
            let there = all.entry(*zxid).or_insert_with(|| entry.clone());
            if !alike(there, entry) {
                let what = format!("{} is two transactions on two servers", Zxid(*zxid));
                return Err(Fault::Broken(Violation::new(Property::Agreement, what)));
            }
            if there.len() < entry.len() {
                there.clone_from(entry);
            }
        }
    }
    let beside: BTreeSet<(i64, i64)> = pieces.iter().flat_map(neighbours).collect();
    if let Some((before, after)) = neighbours(&all).into_iter().find(|two| !beside.contains(two)) {
        let (before, after) = (Zxid(before), Zxid(after));
        return Err(Fault::Unknown(format!("no log shows that {after} follows {before}")));
    }
    if let Some((first, _)) = all.first_key_value().filter(|(zxid, _)| Zxid(**zxid).counter() != 1)
    {
        return Err(Fault::Unknown(format!("no log shows what came before {}", Zxid(*first))));
    }
    Ok(all.into_values().collect())
}

/// Whether two servers wrote down the same transaction. 3.4 writes neither digests nor what a
/// closing session owned.
fn alike(one: &[u8], other: &[u8]) -> bool {
    let read = |entry| TxnEntry::decode(&mut Reader::new(entry));
    let (Ok(one), Ok(other)) = (read(one), read(other)) else { return one == other };
    let same_digest = one.digest.zip(other.digest).is_none_or(|(one, other)| one == other);
    let same_txn = match (&one.txn, &other.txn) {
        (Txn::CloseSession { paths: Some(one) }, Txn::CloseSession { paths: Some(other) }) => {
            one == other
        }
        (Txn::CloseSession { .. }, Txn::CloseSession { .. }) => true,
        (one, other) => one == other,
    };
    one.header == other.header && same_txn && same_digest
}

/// What is committed in any piece.
fn known(pieces: &[Piece], told: &BTreeSet<i64>) -> BTreeSet<i64> {
    let mut known = told.clone();
    loop {
        let before = known.len();
        for piece in pieces {
            let last = piece.keys().rev().find(|zxid| known.contains(zxid)).copied();
            known.extend(last.into_iter().flat_map(|last| piece.range(..=last)).map(|(at, _)| *at));
        }
        if known.len() == before {
            return known;
        }
    }
}

fn neighbours(piece: &Piece) -> Vec<(i64, i64)> {
    piece.keys().zip(piece.keys().skip(1)).map(|(one, next)| (*one, *next)).collect()
}

/// Adds the pieces of a folder's logs.
fn read(folder: &Path, pieces: &mut Vec<Piece>) -> Result<(), String> {
    let wrong = |path: &Path, why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let mut logs = BTreeMap::new();
    for file in fs::read_dir(folder).map_err(|why| wrong(folder, &why))? {
        let file = file.map_err(|why| wrong(folder, &why))?;
        if let Name::Log(zxid) = Name::parse(&file.file_name().to_string_lossy()) {
            logs.insert(zxid, file.path());
        }
    }
    let mut piece = Piece::new();
    for path in logs.into_values() {
        let bytes = fs::read(&path).map_err(|why| wrong(&path, &why))?;
        let ending = scan(&bytes, |zxid, entry| {
            let follows = |(last, _): (&i64, _)| zxid.follows(Zxid(*last));
            if !piece.last_key_value().is_none_or(follows) {
                pieces.push(std::mem::take(&mut piece));
            }
            piece.insert(zxid.0, entry.to_vec());
        });
        if ending == Ending::Corrupt {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    pieces.push(piece);
    Ok(())
}

/// Gives each good record of a log.
fn scan(bytes: &[u8], mut record: impl FnMut(Zxid, &[u8])) -> Ending {
    let mut scanner = LogScanner::new(bytes.len() as u64);
    scanner.push(bytes);
    loop {
        match scanner.step() {
            Step::Need => scanner.push(&[]),
            Step::Record { zxid, entry, .. } => record(zxid, entry),
            Step::End { ending, .. } => return ending,
        }
    }
}

/// The zxid of an entry.
pub fn zxid_of(entry: &[u8]) -> Option<i64> {
    TxnHeader::decode(&mut Reader::new(entry)).ok().map(|header| header.zxid.0)
}
