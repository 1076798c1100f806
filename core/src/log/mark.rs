// SPDX-License-Identifier: Apache-2.0
//! The mark: a small file of ours beside the log that remembers how far the log is known to be
//! synced. Bad bytes below it are rot; above it they are what a power loss left of a write.
//!
//! Two slots, each within one disk sector, each a line of text that an operator can read:
//!
//! - **begun**, at byte 0: made durable before a log of ours receives its first record. It says
//!   which log is ours, and that nothing in it is known to be synced yet.
//! - **synced**, at byte 512: rewritten now and then, and never waited for. It may lag behind, or
//!   be lost in a crash, when the slot before it still stands.

use alloc::{format, vec::Vec};

use crate::id::Zxid;

/// Bytes of the whole file.
pub const MARK_LEN: u32 = 1024;

/// Bytes from one slot to the next: a sector, so that a crash tears at most one.
pub const MARK_SLOT: u64 = 512;

const LINE: usize = 96;
const WORD: &str = "menagerie-synced-1";

/// How far the log is known to be synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The first transaction of the newest log that we began: the number in its name.
    pub log: Zxid,
    /// Every byte of that log below this one is synced.
    pub synced: u64,
}

/// The two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Written and synced when a log is begun.
    Begun,
    /// Written lazily as syncs complete.
    Synced,
}

impl Slot {
    /// Where the slot stands in the file.
    pub fn offset(self) -> u64 {
        match self {
            Slot::Begun => 0,
            Slot::Synced => MARK_SLOT,
        }
    }
}

impl Mark {
    /// The bytes of a slot.
    pub fn encode(self) -> Vec<u8> {
        let mut line = format!("{WORD} log {:x} synced {}", self.log.0, self.synced).into_bytes();
        let sum = simd_adler32::adler32(&line.as_slice());
        line.extend_from_slice(format!(" check {sum:08x}").as_bytes());
        line.resize(LINE - 1, b' ');
        line.push(b'\n');
        line
    }

    /// The best that the file's two slots say; `None` when neither can be believed.
    pub fn decode(file: &[u8]) -> Option<Mark> {
        let at = MARK_SLOT as usize;
        let slots = [file.get(..LINE), file.get(at..at + LINE)];
        slots.into_iter().flatten().filter_map(Mark::decode_slot).max()
    }

    /// What the file says, or must be taken to say where the slot that named the newest log of ours
    /// cannot be read: it may have been the `newest` that is there.
    pub fn read(file: &[u8], newest: Option<Zxid>) -> Option<Mark> {
        let begun = &file[..LINE.min(file.len())];
        let damaged = begun.iter().any(|byte| *byte != 0) && Mark::decode_slot(begun).is_none();
        let at_most = newest.filter(|_| damaged).map(|log| Mark { log, synced: 0 });
        Mark::decode(file).max(at_most)
    }

    fn decode_slot(slot: &[u8]) -> Option<Mark> {
        let line = core::str::from_utf8(slot).ok()?;
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [WORD, "log", log, "synced", synced, "check", _] = words.as_slice() else {
            return None;
        };
        let log = Zxid(i64::from_str_radix(log, 16).ok()?);
        let mark = Mark { log, synced: synced.parse().ok()? };
        (mark.encode() == slot).then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(begun: Option<Mark>, synced: Option<Mark>) -> Vec<u8> {
        let mut file = alloc::vec![0; 512];
        if let Some(mark) = begun {
            file[..LINE].copy_from_slice(&mark.encode());
        }
        file.extend(synced.map(Mark::encode).unwrap_or_default());
        file
    }

    #[test]
    fn the_furthest_believable_slot_counts() {
        let old = Mark { log: Zxid(5), synced: 900 };
        let new = Mark { log: Zxid(9), synced: 0 };
        let far = Mark { log: Zxid(9), synced: 4096 };
        assert_eq!(Mark::decode(&file(Some(new), Some(old))), Some(new));
        assert_eq!(Mark::decode(&file(Some(new), Some(far))), Some(far));
        assert_eq!(Mark::decode(&file(Some(new), None)), Some(new));
        assert_eq!(Mark::decode(&file(None, Some(old))), Some(old));
        assert_eq!(Mark::decode(&file(None, None)), None);
        assert_eq!(Mark::decode(b""), None);
    }

    #[test]
    fn what_cannot_be_read_may_have_named_the_newest_log() {
        let (old, new) = (Mark { log: Zxid(5), synced: 900 }, Mark { log: Zxid(9), synced: 0 });
        let mut rotten = file(Some(new), Some(old));
        assert_eq!(
            Mark::read(&rotten, Some(Zxid(12))),
            Some(new),
            "the others are another server's"
        );
        rotten[40] ^= 1;
        assert_eq!(Mark::read(&rotten, Some(Zxid(9))), Some(new));
        assert_eq!(Mark::read(&rotten, Some(Zxid(5))), Some(old));
        assert_eq!(Mark::read(&rotten, None), Some(old));
        assert_eq!(Mark::read(b"", Some(Zxid(9))), None, "it was never written");
    }

    #[test]
    fn every_damaged_byte_of_a_slot_is_noticed() {
        let mark = Mark { log: Zxid::new(0x7fff_ffff, u32::MAX), synced: u64::MAX };
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
        for n in 0..LINE {
            let mut bytes = mark.encode();
            bytes[n] ^= 1;
            assert_eq!(Mark::decode(&bytes), None, "byte {n}");
            assert_eq!(Mark::decode(&mark.encode()[..n]), None, "cut at {n}");
        }
    }
}
