// SPDX-License-Identifier: Apache-2.0
//! The transaction log: a scan does not depend on where the file is cut, what it finds makes up the
//! file, a transaction that reads is written and read to the same, and a tree takes whatever
//! transactions come, and survives a snapshot.
//!
//! Input: one byte that says how to cut, then a file. It is scanned as it is, and again with the
//! checksums that it should have, so that its transactions are reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    hash::Keyed,
    id::Zxid,
    jute::{Reader, Record, Write},
    log::{Ending, LOG_HEADER_LEN, LogScanner, Step, append_record},
    tree::Tree,
    txn::{Txn, TxnEntry, apply},
};
use menagerie_fuzz::{assert_survives, pieces, within};

type Found<'a> = (Vec<(u64, Zxid, Vec<u8>)>, u64, Ending);

fuzz_target!(|input: &[u8]| {
    let [how, file @ ..] = input else { return };
    check(*how, file);
    let mut file = file.to_vec();
    repair(&mut file);
    let entries = check(*how, &file);
    let mut tree = Tree::new(Keyed::new((1, 2)));
    for entry in &entries {
        replay(&mut tree, entry);
    }
    assert_survives(&mut tree);
});

/// Scans a file in one piece and in several; gives back its entries.
fn check(how: u8, file: &[u8]) -> Vec<Vec<u8>> {
    let (records, end, ending) = scan(0, file);
    let (in_pieces, ..) = within(8 * file.len() + 4096, || scan(how, file));
    assert_eq!(in_pieces, records);
    assert_eq!(scan(how, file), (in_pieces, end, ending));
    let mut again = file[..file.len().min(LOG_HEADER_LEN as usize)].to_vec();
    for (offset, zxid, entry) in &records {
        assert_eq!(*offset, again.len() as u64);
        assert_eq!(Reader::new(&entry[12..]).long(), Ok(zxid.0));
        append_record(&mut again, entry);
    }
    if matches!(ending, Ending::Headless) || end == 0 {
        assert!(records.is_empty() && end == 0);
    } else {
        assert_eq!(again, file[..end as usize]);
        let zeroes = file[end as usize..].iter().all(|byte| *byte == 0);
        assert_eq!(ending == Ending::Clean, zeroes, "{ending:?}");
    }
    records.into_iter().map(|(.., entry)| entry).collect()
}

fn scan(how: u8, file: &[u8]) -> Found<'_> {
    let mut scanner = LogScanner::new(file.len() as u64);
    let mut pieces = pieces(how, file);
    let mut records = Vec::new();
    loop {
        match scanner.step() {
            Step::Need => {
                assert!(!scanner.has_all(), "all of it was pushed");
                scanner.push(pieces.next().expect("there is more"));
            }
            Step::Record { offset, zxid, entry } => records.push((offset, zxid, entry.to_vec())),
            Step::End { offset, ending } => return (records, offset, ending),
        }
    }
}

/// Gives each record its right checksum and its end mark.
fn repair(file: &mut [u8]) {
    let mut at = LOG_HEADER_LEN as usize;
    while let Some(frame) = file.get(at..at + 12) {
        let len = i32::from_be_bytes([frame[8], frame[9], frame[10], frame[11]]);
        let Ok(len @ 1..) = usize::try_from(len) else { return };
        let Some(entry) = file.get(at + 12..at + 12 + len) else { return };
        let mut record = Vec::new();
        append_record(&mut record, entry);
        let Some(place) = file.get_mut(at..at + record.len()) else { return };
        place.copy_from_slice(&record);
        at += record.len();
    }
}

fn replay(tree: &mut Tree, entry: &[u8]) {
    let decoded = within(48 * entry.len() + 1024, || TxnEntry::decode(&mut Reader::new(entry)));
    let Ok(decoded) = decoded else { return };
    let mut again = Vec::new();
    decoded.encode(&mut again);
    // The empty form of closeSession leaves it to what follows whether it is paths or a digest.
    if !matches!(decoded.txn, Txn::CloseSession { paths: None }) {
        assert_eq!(TxnEntry::decode(&mut Reader::new(&again)).as_ref(), Ok(&decoded));
    }
    apply(tree, &decoded.header, &decoded.txn, &mut ());
    again.clear();
    again.put_long(decoded.header.zxid.0);
    assert_eq!(again, entry[12..20]);
}
