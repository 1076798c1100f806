// SPDX-License-Identifier: Apache-2.0
//! Reads the history off the server's own file operations: what it appends to its log, and what of
//! that is durable, names included. A parser of its own, so that it does not share core's faults.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_core::{
    id::{FileId, LaneId, OpId},
    io::{Dir, FileOp},
    jute::{Reader, Record},
    txn::TxnEntry,
};

/// Bytes before the first record of a log file.
const HEADER: usize = 16;

/// What is known of one log file.
#[derive(Clone, Debug, Default)]
struct LogFile {
    /// Where the next record is expected.
    at: u64,
    /// Bytes behind the last whole record.
    rest: Vec<u8>,
    /// Whether its name may be lost with the power.
    unnamed: bool,
    /// The lane that appends to it: syncs of other lanes promise nothing about it.
    lane: Option<LaneId>,
    /// The newest record that a sync of the file covered.
    synced: i64,
}

/// The server's log as its file operations tell it.
#[derive(Clone, Debug, Default)]
pub struct LogTap {
    files: BTreeMap<FileId, LogFile>,
    /// Records that are not durable, by zxid.
    open: BTreeMap<i64, FileId>,
    /// Syncs under way: what they cover.
    syncs: BTreeMap<OpId, (FileId, i64)>,
    /// Folder syncs under way: the files whose names they cover.
    names: BTreeMap<OpId, BTreeSet<FileId>>,
    last: i64,
}

impl LogTap {
    /// An operation was ordered; gives each whole record it appends to `record`. What a start
    /// writes once more, in a log that it did not create, is no history.
    pub fn ordered(
        &mut self,
        lane: LaneId,
        op: OpId,
        what: &FileOp,
        mut record: impl FnMut(&TxnEntry<'_>),
    ) {
        match what {
            FileOp::Create { file, dir: Dir::Log, name } if name.starts_with("log.") => {
                self.files.insert(*file, LogFile { unnamed: true, ..LogFile::default() });
            }
            FileOp::Write { file, offset, data } => {
                let Some(log) = self.files.get_mut(file) else { return };
                log.lane = Some(lane);
                let (open, last) = (&mut self.open, &mut self.last);
                log.append(*offset, data, |entry| {
                    *last = entry.header.zxid.0;
                    open.insert(*last, *file);
                    record(entry);
                });
            }
            FileOp::Sync { file }
                if self.files.get(file).is_some_and(|log| log.lane == Some(lane)) =>
            {
                self.syncs.insert(op, (*file, self.last));
            }
            FileOp::SyncDir { dir: Dir::Log } => {
                let unnamed = self.files.iter().filter(|(_, log)| log.unnamed);
                self.names.insert(op, unnamed.map(|(file, _)| *file).collect());
            }
            _ => {}
        }
    }

    /// An operation ended well.
    pub fn done(&mut self, op: OpId) {
        if let Some((file, upto)) = self.syncs.remove(&op) {
            self.settle(file, |log| log.synced = log.synced.max(upto));
        }
        for file in self.names.remove(&op).unwrap_or_default() {
            self.settle(file, |log| log.unnamed = false);
        }
    }

    fn settle(&mut self, file: FileId, change: impl FnOnce(&mut LogFile)) {
        let Some(log) = self.files.get_mut(&file) else { return };
        change(log);
        if !log.unnamed {
            let synced = log.synced;
            self.open.retain(|zxid, of| *of != file || *zxid > synced);
        }
    }

    /// The newest record such that it and all before it are durable.
    pub fn durable(&self) -> i64 {
        self.open.first_key_value().map_or(self.last, |(zxid, _)| zxid - 1)
    }

    /// The process is gone: the names of its files and operations mean nothing to the next one.
    pub fn crashed(&mut self) {
        self.files.clear();
        self.syncs.clear();
        self.names.clear();
    }

    /// A new process starts on what is left.
    pub fn restarted(&mut self, last: i64) {
        *self = LogTap { last, ..LogTap::default() };
    }
}

impl LogFile {
    fn append(&mut self, offset: u64, data: &[u8], mut record: impl FnMut(&TxnEntry<'_>)) {
        if offset != self.at + self.rest.len() as u64 {
            (self.at, self.rest) = (offset, Vec::new());
        }
        self.rest.extend_from_slice(data);
        let mut taken = 0;
        if self.at == 0 && self.rest.starts_with(b"ZKLG") && self.rest.len() >= HEADER {
            taken = HEADER;
        }
        while let Some(len) = whole_record(&self.rest[taken..]) {
            let entry = &self.rest[taken + 12..taken + 12 + len];
            if let Ok(entry) = TxnEntry::decode(&mut Reader::new(entry)) {
                record(&entry);
            }
            taken += 12 + len + 1;
        }
        self.rest.drain(..taken);
        self.at += taken as u64;
    }
}

/// Where the last whole record of a log's bytes ends.
pub fn records_end(bytes: &[u8]) -> u64 {
    let mut at = HEADER.min(bytes.len());
    while let Some(len) = whole_record(&bytes[at..]) {
        at += 12 + len + 1;
    }
    at as u64
}

/// The length of the entry at the front, if the whole record is there.
fn whole_record(bytes: &[u8]) -> Option<usize> {
    let len = i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    let len = usize::try_from(len).ok().filter(|len| *len > 0)?;
    (bytes.get(12 + len) == Some(&0x42)).then_some(len)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use menagerie_core::{
        id::{SessionId, Zxid},
        log::{append_log_header, append_record},
        txn::{Txn, TxnHeader},
    };

    use super::*;

    fn entry(zxid: i64) -> Vec<u8> {
        let txn = Txn::Error { err: -101 };
        let (session, op) = (SessionId(1), txn.op().code());
        let header = TxnHeader { session, cxid: 1, zxid: Zxid(zxid), time: 0, op };
        let mut out = Vec::new();
        TxnEntry { header, txn, digest: None }.encode(&mut out);
        out
    }

    #[test]
    fn a_record_is_durable_once_its_file_and_its_name_are() {
        let (mut tap, file, mut seen) = (LogTap::default(), FileId(1), Vec::new());
        let mut bytes = Vec::new();
        append_log_header(&mut bytes);
        append_record(&mut bytes, &entry(1));
        append_record(&mut bytes, &entry(2));
        let name = "log.1".to_owned();
        let data = Arc::new(bytes);
        let ops = [
            FileOp::Create { file, dir: Dir::Log, name },
            FileOp::Write { file, offset: 0, data },
            FileOp::Sync { file },
            FileOp::SyncDir { dir: Dir::Log },
        ];
        for (n, what) in ops.iter().enumerate() {
            tap.ordered(LaneId(1), OpId(n as u64), what, |entry| seen.push(entry.header.zxid.0));
        }
        assert_eq!(seen, [1, 2]);
        tap.done(OpId(2));
        assert_eq!(tap.durable(), 0, "the name may be lost");
        tap.done(OpId(3));
        assert_eq!(tap.durable(), 2);
    }
}
