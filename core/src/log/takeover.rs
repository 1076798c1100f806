// SPDX-License-Identifier: Apache-2.0
//! A note of ours beside the snapshots: which files another server wrote. They stay until two
//! snapshots of ours were read back.

use alloc::{format, vec::Vec};

use crate::id::Zxid;

const WORD: &str = "menagerie-takeover-1";

/// Files were taken over from another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// The last transaction in the name of such a file.
    pub newest: Zxid,
}

impl Takeover {
    /// The note's bytes.
    pub fn encode(self) -> Vec<u8> {
        format!("{WORD} {:x}\n", self.newest.0).into_bytes()
    }

    /// Reads the note.
    pub fn decode(file: &[u8]) -> Option<Takeover> {
        let line = core::str::from_utf8(file).ok()?.strip_prefix(WORD)?;
        let newest = Zxid(i64::from_str_radix(line.trim(), 16).ok()?);
        let takeover = Takeover { newest };
        (takeover.encode() == file).then_some(takeover)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_reads_back_and_nothing_else_does() {
        let note = Takeover { newest: Zxid::new(2, 0x1b) };
        assert_eq!(note.encode(), b"menagerie-takeover-1 20000001b\n");
        assert_eq!(Takeover::decode(&note.encode()), Some(note));
        for bad in ["", "menagerie-takeover-1 \n", "menagerie-takeover-1 2", "\0\0\0\0"] {
            assert_eq!(Takeover::decode(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
