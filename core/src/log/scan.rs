// SPDX-License-Identifier: Apache-2.0
//! The transaction log: a header, then records, then zeroes where space was set aside.
//!
//! ```text
//! file   = "ZKLG" int:2 long:0 record* zero*
//! record = long:adler32(entry) int:len entry 'B'
//! entry  = txn header, txn body, digest (3.6 and later)
//! ```

use alloc::vec::Vec;

use crate::{
    id::Zxid,
    jute::{Reader, Write},
};

/// Bytes of a log's header.
pub const LOG_HEADER_LEN: u64 = 16;

/// The shortest entry: a transaction header and nothing else.
const LEAST_ENTRY: usize = 32;

/// Java refuses a log with a longer entry as soon as it reads its length (twice the default
/// `jute.maxbuffer`), where it takes a shorter one that the file cannot hold for the end.
const JAVA_LONGEST_ENTRY: u64 = 2 * 0xf_ffff;

/// What stands before an entry: its checksum and its length.
const FRAME: usize = 12;

/// Appends a log's header.
pub fn append_log_header(out: &mut Vec<u8>) {
    out.extend_from_slice(b"ZKLG");
    out.put_int(2);
    out.put_long(0);
}

/// Appends a record.
pub fn append_record(out: &mut Vec<u8>, entry: &[u8]) {
    out.put_long(i64::from(simd_adler32::adler32(&entry)));
    out.put_string(entry);
    out.push(b'B');
}

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// After its last record, with nothing but zeroes behind.
    Clean,
    /// Before its header was whole; no record can be in it.
    Headless,
    /// In bytes that are no whole record, which Java takes for the end of the file.
    Cut,
    /// In bytes that are no good record, over which Java does not start.
    Corrupt,
}

/// What a scan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// More bytes, from [`LogScanner::wants`] on.
    Need,
    /// A record whose checksum is right.
    Record {
        /// Where it begins.
        offset: u64,
        /// Its transaction.
        zxid: Zxid,
        /// Its entry.
        entry: &'a [u8],
    },
    /// The end; asked again, it says the same.
    End {
        /// Where the last good record ends.
        offset: u64,
        /// How.
        ending: Ending,
    },
}

/// Finds the records of a log, given its bytes in order and in pieces of any size.
#[derive(Clone, Debug)]
pub struct LogScanner {
    /// The file's length.
    len: u64,
    /// Bytes that were pushed, from file offset `at` on; `done` of them are behind us.
    buf: Vec<u8>,
    done: usize,
    at: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Header,
    Records,
    /// A record of length zero begins at this offset: looking for anything but zeroes.
    Zeroes(u64),
    Ended(u64, Ending),
}

/// Whether there is nothing but zeroes: logs are preallocated, so mostly there is much of that.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}

impl LogScanner {
    /// A scan of a log of this length.
    pub fn new(len: u64) -> LogScanner {
        LogScanner { len, buf: Vec::new(), done: 0, at: 0, stage: Stage::Header }
    }

    /// A scan that goes on at `offset`, where a record ends, in a log of this length.
    pub fn from(offset: u64, len: u64) -> LogScanner {
        let len = len.max(offset);
        LogScanner { len, buf: Vec::new(), done: 0, at: offset, stage: Stage::Records }
    }

    /// Whether it has met nothing but zeroes where the next record would begin.
    pub fn is_in_zeroes(&self) -> bool {
        matches!(self.stage, Stage::Zeroes(_))
    }

    /// The offset from which bytes are wanted next.
    pub fn wants(&self) -> u64 {
        self.at + self.buf.len() as u64
    }

    /// Whether every byte of the file has been pushed.
    pub fn has_all(&self) -> bool {
        self.wants() >= self.len
    }

    /// Takes the bytes at [`LogScanner::wants`]. No bytes mean that the file ends there after all.
    pub fn push(&mut self, bytes: &[u8]) {
        self.at += self.done as u64;
        self.buf.drain(..self.done);
        self.done = 0;
        self.buf.extend_from_slice(bytes);
        if bytes.is_empty() {
            self.len = self.wants();
        }
    }

    /// Goes on as far as the next record or the end.
    pub fn step(&mut self) -> Step<'_> {
        loop {
            match self.stage {
                Stage::Header => match self.header() {
                    Some(stage) => self.stage = stage,
                    None => return Step::Need,
                },
                Stage::Zeroes(offset) => {
                    if !is_zero(self.rest()) {
                        self.stage = Stage::Ended(offset, Ending::Cut);
                    } else if self.has_all() {
                        self.stage = Stage::Ended(offset, Ending::Clean);
                    } else {
                        self.done = self.buf.len();
                        return Step::Need;
                    }
                }
                Stage::Ended(offset, ending) => return Step::End { offset, ending },
                Stage::Records => match self.record() {
                    Next::Need => return Step::Need,
                    Next::Stage(stage) => self.stage = stage,
                    Next::Record(len) => return self.take(len),
                },
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buf[self.done..]
    }

    /// The file offset that has been reached.
    fn offset(&self) -> u64 {
        self.at + self.done as u64
    }

    fn header(&mut self) -> Option<Stage> {
        if self.len < LOG_HEADER_LEN {
            return Some(Stage::Ended(0, Ending::Headless));
        }
        let header = self.rest().get(..LOG_HEADER_LEN as usize)?;
        let stage = match &header[..4] {
            b"ZKLG" => Stage::Records,
            [0, 0, 0, 0] => Stage::Ended(0, Ending::Headless),
            _ => Stage::Ended(0, Ending::Corrupt),
        };
        self.done += LOG_HEADER_LEN as usize;
        Some(stage)
    }

    fn record(&self) -> Next {
        let (offset, rest) = (self.offset(), self.rest());
        let left = self.len - offset;
        let end = |ending| Next::Stage(Stage::Ended(offset, ending));
        if left < FRAME as u64 {
            return Next::Stage(Stage::Zeroes(offset));
        }
        let mut r = Reader::new(rest);
        let (Ok(sum), Ok(len)) = (r.long(), r.int()) else { return Next::Need };
        let Ok(len) = usize::try_from(len) else { return end(Ending::Corrupt) };
        if len == 0 {
            return Next::Stage(Stage::Zeroes(offset));
        }
        if len as u64 + FRAME as u64 + 1 > left {
            let unheard = len as u64 > JAVA_LONGEST_ENTRY;
            return end(if unheard { Ending::Corrupt } else { Ending::Cut });
        }
        let (Ok(entry), Ok(mark)) = (r.take(len), r.byte()) else { return Next::Need };
        if mark != b'B' {
            return end(Ending::Cut);
        }
        if len < LEAST_ENTRY || sum != i64::from(simd_adler32::adler32(&entry)) {
            return end(Ending::Corrupt);
        }
        Next::Record(len)
    }

    /// Hands out the record of `len` bytes that [`LogScanner::record`] has just judged.
    fn take(&mut self, len: usize) -> Step<'_> {
        let (offset, start) = (self.offset(), self.done + FRAME);
        self.done = start + len + 1;
        let entry = &self.buf[start..start + len];
        let zxid = Reader::new(&entry[12..]).long().expect("an entry has a transaction header");
        Step::Record { offset, zxid: Zxid(zxid), entry }
    }
}

enum Next {
    Need,
    Stage(Stage),
    Record(usize),
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{jute::Record, txn::TxnEntry};

    const LOGS: [(&[u8], usize); 3] = [
        (include_bytes!("../../../tests/fixtures/datadir-3.4.6/log.1"), 14),
        (include_bytes!("../../../tests/fixtures/datadir-3.8.0/log.1"), 20),
        (include_bytes!("../../../tests/fixtures/datadir-3.9.5/log.1"), 20),
    ];

    type Found = (u64, Zxid, Vec<u8>);

    /// The records and the end of a log fed in pieces of `piece` bytes.
    fn scan(file: &[u8], piece: usize) -> (Vec<Found>, u64, Ending) {
        let mut scanner = LogScanner::new(file.len() as u64);
        let mut records = Vec::new();
        loop {
            match scanner.step() {
                Step::Need => {
                    let from = scanner.wants() as usize;
                    scanner.push(&file[from..file.len().min(from + piece)]);
                }
                Step::Record { offset, zxid, entry } => {
                    records.push((offset, zxid, entry.to_vec()));
                }
                Step::End { offset, ending } => return (records, offset, ending),
            }
        }
    }

    fn log(entries: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        append_log_header(&mut file);
        entries.iter().for_each(|entry| append_record(&mut file, entry));
        file
    }

    #[test]
    fn javas_logs_read_and_rewrite_to_the_same_bytes() {
        for (file, count) in LOGS {
            let (records, end, ending) = scan(file, 100);
            assert_eq!((records.len(), ending), (count, Ending::Clean));
            assert_eq!(end as usize, file.len() - 32);
            let mut again = Vec::new();
            append_log_header(&mut again);
            for (n, (offset, zxid, entry)) in records.iter().enumerate() {
                assert_eq!((*offset, zxid.0), (again.len() as u64, n as i64 + 1));
                let txn = TxnEntry::decode(&mut Reader::new(entry)).expect("Java wrote it");
                assert_eq!(txn.header.zxid, *zxid);
                append_record(&mut again, entry);
            }
            assert_eq!(again, &file[..end as usize]);
        }
    }

    #[test]
    fn pieces_of_any_size_make_no_difference() {
        let whole = scan(LOGS[2].0, usize::MAX / 2);
        for piece in 1..80 {
            assert_eq!(scan(LOGS[2].0, piece), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn a_scan_goes_on_behind_any_record() {
        let file = [LOGS[2].0, &[0; 9]].concat();
        let (records, end, ending) = scan(&file, 4096);
        for (n, (offset, ..)) in records.iter().enumerate() {
            let mut scanner = LogScanner::from(*offset, file.len() as u64);
            assert_eq!(scanner.step(), Step::Need);
            let from = scanner.wants() as usize;
            scanner.push(&file[from..file.len() - 9]);
            for (offset, zxid, entry) in &records[n..] {
                let (offset, zxid) = (*offset, *zxid);
                assert_eq!(scanner.step(), Step::Record { offset, zxid, entry });
            }
            assert!(!scanner.is_in_zeroes());
            assert_eq!(scanner.step(), Step::Need);
            assert!(scanner.is_in_zeroes());
            scanner.push(&[]);
            assert_eq!(scanner.step(), Step::End { offset: end, ending });
        }
    }

    #[test]
    fn a_log_cut_anywhere_gives_the_records_before_the_cut() {
        let (file, _) = LOGS[2];
        let whole = scan(file, 4096).0;
        for len in 0..file.len() {
            let (records, end, ending) = scan(&file[..len], 4096);
            let expected = whole.iter().filter(|r| r.0 as usize + r.2.len() + 13 <= len).count();
            assert_eq!(records, whole[..expected], "cut at {len}");
            let clean = end as usize == len || file[end as usize..len].iter().all(|b| *b == 0);
            let expected = match len {
                0..16 => Ending::Headless,
                _ if clean => Ending::Clean,
                _ => Ending::Cut,
            };
            assert_eq!(ending, expected, "cut at {len}");
        }
    }

    #[test]
    fn every_flipped_bit_ends_the_log_before_its_record() {
        let file = log(&[&[1; 40], &[2; 50], &[3; 60]]);
        let second = 16 + 13 + 40;
        for byte in second..second + 63 {
            let mut bad = file.clone();
            bad[byte] ^= 0x10;
            let (records, end, ending) = scan(&bad, 4096);
            assert_eq!((records.len(), end), (1, second as u64), "byte {byte}");
            assert!(matches!(ending, Ending::Cut | Ending::Corrupt), "byte {byte}");
        }
    }

    #[test]
    fn endings_are_told_apart() {
        let good = log(&[&[7; 40]]);
        let ends = |tail: &[u8]| scan(&[&good, tail].concat(), 64).2;
        assert_eq!(ends(&[]), Ending::Clean);
        assert_eq!(ends(&[0; 5]), Ending::Clean);
        assert_eq!(ends(&[0; 5000]), Ending::Clean);
        assert_eq!(ends(&[0, 0, 0, 1]), Ending::Cut);
        assert_eq!(ends(&[vec![0; 300], vec![1]].concat()), Ending::Cut);
        let mut record = Vec::new();
        append_record(&mut record, &[9; 33]);
        assert_eq!(ends(&record[..30]), Ending::Cut, "beyond the end of the file");
        record[45] = 0;
        assert_eq!(ends(&record), Ending::Cut, "without its end mark");
        record[45] = b'B';
        record[20] ^= 1;
        assert_eq!(ends(&record), Ending::Corrupt, "with a wrong checksum");
        assert_eq!(ends(&[0xff; 20]), Ending::Corrupt, "of negative length");
        let huge = [[0; 8].as_slice(), &0x7fff_0000_i32.to_be_bytes()].concat();
        assert_eq!(ends(&huge), Ending::Corrupt, "of a length that Java refuses");
        let mut short = Vec::new();
        append_record(&mut short, &[9; 31]);
        assert_eq!(ends(&short), Ending::Corrupt, "shorter than a transaction header");
        assert_eq!(scan(b"", 64).2, Ending::Headless);
        assert_eq!(scan(&[0; 4096], 64).2, Ending::Headless);
        assert_eq!(scan(b"not a log but a long enough text", 64).2, Ending::Corrupt);
    }
}
