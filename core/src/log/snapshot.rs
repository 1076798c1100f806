// SPDX-License-Identifier: Apache-2.0
//! The snapshot: sessions and tree at one point in time, between a header and up to three seals.
//!
//! ```text
//! file = "ZKSN" int:2 long:-1
//!        int:count (long:session int:timeout)*
//!        tree                          as the tree's own loader reads it, ending in path "/"
//!        seal                          3.4 ends here
//!        long:zxid int:2 long:digest   of the tree when it had applied that transaction
//!        seal                          3.8 ends here
//!        long:last_zxid
//!        seal
//! seal = long:adler32(everything before) string:"/"
//! ```
//!
//! With `digest.enabled=false` Java leaves out the digest and its seal, with
//! `serializeLastProcessedZxid.enabled=false` the last zxid and its seal, and expects of what it
//! reads that the same was left out. Here every form is read, whatever is configured.
//!
//! What a leader sends to a learner that needs a whole tree is the middle of such a file: from the
//! count to the end of the tree, then string:"BenWasHere".
//!
//! The tree's own bytes pass through: a [`SnapshotSink`] takes them.

use alloc::vec::Vec;
use core::fmt;

use simd_adler32::Adler32;

use crate::{
    id::{SessionId, Zxid},
    jute::{Malformed, Reader, Write},
};

/// Bytes behind the tree in what 3.9 writes: three seals and what they cover.
pub const SNAPSHOT_TAIL_LEN: u64 = 13 + 20 + 13 + 8 + 13;

const SEAL: usize = 13;

/// What stands behind the tree that a leader sends: a length and Java's word.
pub const SIGNATURE: [u8; 14] = *b"\0\0\0\x0aBenWasHere";

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFault {
    /// It does not begin as a snapshot does.
    Header,
    /// The sessions or the tree make no sense.
    Content,
    /// A seal does not fit what it seals.
    Seal,
    /// What stands behind a tree that was sent is not the signature.
    Signature,
    /// It ends too early.
    Short,
}

impl SnapshotFault {
    /// What is wrong, for people.
    pub fn words(self) -> &'static str {
        match self {
            SnapshotFault::Header => "it does not begin as a snapshot does",
            SnapshotFault::Content => "its content makes no sense",
            SnapshotFault::Seal => "its checksum is wrong",
            SnapshotFault::Signature => "it does not end in its signature",
            SnapshotFault::Short => "it ends too early",
        }
    }
}

impl fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl core::error::Error for SnapshotFault {}

/// Takes what a snapshot holds.
pub trait SnapshotSink {
    /// A session and its timeout in milliseconds.
    fn session(&mut self, session: SessionId, timeout_ms: i32);

    /// Bytes of the tree. Gives back how many were the tree's (all, unless it ended among them)
    /// and whether the tree is complete.
    fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed>;
}

/// A tree's digest, and the transaction after which the tree had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeDigest {
    /// The transaction.
    pub zxid: Zxid,
    /// The version of the formula.
    pub version: i32,
    /// The digest.
    pub digest: u64,
}

impl TreeDigest {
    /// The version of the formula that is written.
    pub const VERSION: i32 = 2;
}

/// What stands behind the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotTail {
    /// The tree's digest (3.6 and later).
    pub digest: Option<TreeDigest>,
    /// The last transaction in the tree (3.9 and later). Java names the file by it.
    pub last: Option<Zxid>,
}

/// What is written behind the tree's own seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailForm {
    /// The tree's digest (`digest.enabled`).
    pub digest: bool,
    /// The last transaction (`serializeLastProcessedZxid.enabled`).
    pub last: bool,
}

impl Default for TailForm {
    fn default() -> TailForm {
        TailForm { digest: true, last: true }
    }
}

/// Reads a snapshot given in pieces of any size.
#[derive(Clone)]
pub struct SnapshotReader {
    stage: Stage,
    sum: Adler32,
    /// What stands where a digest would, and the sum before it: it may turn out to be none.
    first_field: (Vec<u8>, Adler32),
    /// The beginning of a field that is not whole yet.
    partial: Vec<u8>,
    tail: SnapshotTail,
    /// What follows the tree: the first seal of a file, or the signature of what is sent.
    after_tree: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    Count,
    Session { left: u32 },
    Tree,
    SealOfTree,
    Digest,
    SealOfDigest,
    Last,
    SealOfLast,
    Signature,
    Done,
}

impl Stage {
    /// Bytes of the field; `None` where the bytes are not ours to frame.
    fn len(self) -> Option<usize> {
        Some(match self {
            Stage::Header => 16,
            Stage::Count => 4,
            Stage::Session { .. } => 12,
            Stage::Tree | Stage::Done => return None,
            Stage::SealOfTree | Stage::SealOfDigest | Stage::SealOfLast => SEAL,
            Stage::Digest => 20,
            Stage::Last => 8,
            Stage::Signature => SIGNATURE.len(),
        })
    }
}

impl Default for SnapshotReader {
    fn default() -> SnapshotReader {
        SnapshotReader::new()
    }
}

impl SnapshotReader {
    /// A reader at the start of a file.
    pub fn new() -> SnapshotReader {
        SnapshotReader::at(Stage::Header, Stage::SealOfTree)
    }

    /// A reader at the start of what a leader sends.
    pub fn of_stream() -> SnapshotReader {
        SnapshotReader::at(Stage::Count, Stage::Signature)
    }

    fn at(stage: Stage, after_tree: Stage) -> SnapshotReader {
        SnapshotReader {
            stage,
            sum: Adler32::new(),
            first_field: (Vec::new(), Adler32::new()),
            partial: Vec::new(),
            tail: SnapshotTail::default(),
            after_tree,
        }
    }

    /// Takes the next bytes; gives back how many there were before the end.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl SnapshotSink,
    ) -> Result<usize, SnapshotFault> {
        let len = bytes.len();
        while !bytes.is_empty() && self.stage != Stage::Done {
            let Some(len) = self.stage.len() else {
                let (taken, complete) = sink.tree(bytes).map_err(|_| SnapshotFault::Content)?;
                self.sum.write(&bytes[..taken]);
                bytes = &bytes[taken..];
                if complete {
                    self.stage = self.after_tree;
                }
                continue;
            };
            let missing = (len - self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.partial.len() == len {
                let field = core::mem::take(&mut self.partial);
                self.stage = self.field(&field, sink)?;
                self.sum.write(&field);
                self.partial = field;
                self.partial.clear();
            }
        }
        Ok(len - bytes.len())
    }

    /// Whether nothing can follow what was pushed.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// What stood behind the tree, once every byte has been pushed. The endings of 3.4, of 3.8 and
    /// of 3.9 are all whole, and that of 3.9 without digests.
    pub fn finish(&self) -> Result<SnapshotTail, SnapshotFault> {
        match self.stage {
            Stage::Done => Ok(self.tail),
            Stage::Digest | Stage::Last if self.partial.is_empty() => Ok(self.tail),
            Stage::SealOfDigest => self.last_alone().ok_or(SnapshotFault::Short),
            _ => Err(SnapshotFault::Short),
        }
    }

    /// What was taken for a digest was the last zxid and all of its seal but the byte that follows.
    fn last_alone(&self) -> Option<SnapshotTail> {
        let (field, sum) = &self.first_field;
        let (last, start_of_seal) = field.split_first_chunk::<8>()?;
        let mut sum = sum.clone();
        sum.write(last);
        let whole = seal(&sum);
        let fits = whole.starts_with(start_of_seal) && whole.ends_with(&self.partial);
        let complete = start_of_seal.len() + self.partial.len() == SEAL;
        let last = Some(Zxid(i64::from_be_bytes(*last)));
        (fits && complete).then_some(SnapshotTail { digest: None, last })
    }

    /// Takes a whole field, which the sum does not cover yet; gives back what follows it.
    fn field(
        &mut self,
        field: &[u8],
        sink: &mut impl SnapshotSink,
    ) -> Result<Stage, SnapshotFault> {
        let mut r = Reader::new(field);
        let mut read = || -> Result<Stage, Malformed> {
            Ok(match self.stage {
                Stage::Header => Stage::Count,
                Stage::Count => match u32::try_from(r.int()?).map_err(|_| Malformed)? {
                    0 => Stage::Tree,
                    left => Stage::Session { left },
                },
                Stage::Session { left } => {
                    sink.session(SessionId(r.long()?), r.int()?);
                    if left == 1 { Stage::Tree } else { Stage::Session { left: left - 1 } }
                }
                Stage::SealOfTree => Stage::Digest,
                Stage::Digest => {
                    self.first_field = (field.to_vec(), self.sum.clone());
                    self.tail.digest = Some(TreeDigest {
                        zxid: Zxid(r.long()?),
                        version: r.int()?,
                        digest: r.long()?.cast_unsigned(),
                    });
                    Stage::SealOfDigest
                }
                Stage::SealOfDigest => Stage::Last,
                Stage::Last => {
                    self.tail.last = Some(Zxid(r.long()?));
                    Stage::SealOfLast
                }
                Stage::SealOfLast | Stage::Signature | Stage::Tree | Stage::Done => Stage::Done,
            })
        };
        let next = read().map_err(|_| SnapshotFault::Content)?;
        match self.stage {
            Stage::Header if !field.starts_with(b"ZKSN") => Err(SnapshotFault::Header),
            Stage::Signature if field != SIGNATURE => Err(SnapshotFault::Signature),
            Stage::SealOfTree | Stage::SealOfDigest | Stage::SealOfLast
                if field != seal(&self.sum) =>
            {
                Err(SnapshotFault::Seal)
            }
            _ => Ok(next),
        }
    }
}

/// Frames a snapshot: writes all of it but the tree, and sums it up for the seals.
#[derive(Clone)]
pub struct SnapshotSeal {
    sum: Adler32,
}

impl SnapshotSeal {
    /// Begins a snapshot of so many sessions in `out`, which is empty.
    pub fn begin(sessions: usize, out: &mut Vec<u8>) -> SnapshotSeal {
        out.extend_from_slice(b"ZKSN");
        out.put_int(2);
        out.put_long(-1);
        out.put_count(sessions);
        SnapshotSeal { sum: Adler32::new() }
    }

    /// Appends a session; as many as were announced, then the tree.
    pub fn session(&self, session: SessionId, timeout_ms: i32, out: &mut Vec<u8>) {
        out.put_long(session.0);
        out.put_int(timeout_ms);
    }

    /// Sums up bytes that go to the file; each piece once, in order, before [`SnapshotSeal::end`].
    pub fn cover(&mut self, piece: &[u8]) {
        self.sum.write(piece);
    }

    /// Appends what stands behind the tree. In a snapshot of one point in time, unlike in Java's,
    /// the digest's transaction is the last one.
    pub fn end(mut self, digest: TreeDigest, form: TailForm, out: &mut Vec<u8>) {
        self.append(&seal(&self.sum), out);
        if form.digest {
            let mut field = Vec::with_capacity(20);
            field.put_long(digest.zxid.0);
            field.put_int(digest.version);
            field.put_long(digest.digest.cast_signed());
            self.append(&field, out);
            self.append(&seal(&self.sum), out);
        }
        if form.last {
            self.append(&digest.zxid.0.to_be_bytes(), out);
            self.append(&seal(&self.sum), out);
        }
    }

    fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.sum.write(bytes);
        out.extend_from_slice(bytes);
    }
}

fn seal(sum: &Adler32) -> [u8; SEAL] {
    let mut seal = [0; SEAL];
    seal[4..8].copy_from_slice(&sum.finish().to_be_bytes());
    seal[8..].copy_from_slice(&[0, 0, 0, 1, b'/']);
    seal
}

/// Whether `last`, the end of a snapshot, is the seal of what `sum` has summed up before it.
pub fn seal_fits(sum: &Adler32, last: &[u8]) -> bool {
    last == seal(sum)
}

/// Java's quick check of a snapshot of `len` bytes that ends in `last`: was its writing finished?
pub fn looks_whole(len: u64, last: &[u8]) -> bool {
    len >= 10 && last.ends_with(&[0, 0, 0, 1, b'/'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOTS: [(&[u8], usize); 3] = [
        (include_bytes!("../../../tests/fixtures/datadir-3.4.6/snapshot.13"), 1314),
        (include_bytes!("../../../tests/fixtures/datadir-3.8.0/snapshot.1b"), 1856),
        (include_bytes!("../../../tests/fixtures/datadir-3.9.5/snapshot.19"), 1690),
    ];

    /// Takes `left` bytes for the tree.
    #[derive(Default)]
    struct Bytes {
        left: usize,
        tree: Vec<u8>,
        sessions: Vec<(SessionId, i32)>,
    }

    impl SnapshotSink for Bytes {
        fn session(&mut self, session: SessionId, timeout_ms: i32) {
            self.sessions.push((session, timeout_ms));
            self.left -= 12;
        }

        fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
            let taken = bytes.len().min(self.left);
            self.tree.extend_from_slice(&bytes[..taken]);
            self.left -= taken;
            Ok((taken, self.left == 0))
        }
    }

    fn read(
        file: &[u8],
        seal: usize,
        piece: usize,
    ) -> Result<(Bytes, SnapshotTail), SnapshotFault> {
        let mut sink = Bytes { left: seal - 20, ..Bytes::default() };
        let mut reader = SnapshotReader::new();
        for piece in file.chunks(piece) {
            reader.push(piece, &mut sink)?;
        }
        Ok((sink, reader.finish()?))
    }

    fn fault(file: &[u8], seal: usize) -> Option<SnapshotFault> {
        read(file, seal, 4096).err()
    }

    #[test]
    fn javas_snapshots_read_in_pieces_of_any_size() {
        let digest = |zxid, digest| Some(TreeDigest { zxid: Zxid(zxid), version: 2, digest });
        let tails = [
            SnapshotTail::default(),
            SnapshotTail { digest: digest(0x1c, 0x9_a8b1_ef78), last: None },
            SnapshotTail { digest: digest(0x19, 0x8_3200_ab7a), last: Some(Zxid(0x19)) },
        ];
        for ((file, seal), tail) in SNAPSHOTS.into_iter().zip(tails) {
            for piece in [1, 2, 7, 64, 4096] {
                let (sink, read) = read(file, seal, piece).expect("Java wrote it");
                assert_eq!((read, sink.sessions.len()), (tail, 1), "pieces of {piece}");
                assert!(sink.tree.ends_with(&[0, 0, 0, 1, b'/']));
            }
            assert!(looks_whole(file.len() as u64, &file[file.len() - 5..]));
        }
    }

    #[test]
    fn what_is_written_of_what_was_read_is_the_same_file() {
        let (file, seal) = SNAPSHOTS[2];
        let (sink, tail) = read(file, seal, 4096).expect("Java wrote it");
        let mut again = Vec::new();
        let mut framing = SnapshotSeal::begin(sink.sessions.len(), &mut again);
        for (session, timeout_ms) in &sink.sessions {
            framing.session(*session, *timeout_ms, &mut again);
        }
        framing.cover(&again);
        framing.cover(&sink.tree);
        again.extend_from_slice(&sink.tree);
        framing.end(tail.digest.expect("3.9 writes it"), TailForm::default(), &mut again);
        assert_eq!(again, file);
        assert_eq!(file.len() - seal, SNAPSHOT_TAIL_LEN as usize);
    }

    #[test]
    fn a_snapshot_cut_anywhere_is_whole_only_behind_a_seal() {
        let (file, seal) = SNAPSHOTS[2];
        let whole = [seal + 13, seal + 46, file.len()];
        for len in 0..=file.len() {
            let expected = if whole.contains(&len) { None } else { Some(SnapshotFault::Short) };
            assert_eq!(fault(&file[..len], seal), expected, "cut at {len}");
        }
    }

    #[test]
    fn every_form_of_the_end_is_read() {
        let digest = TreeDigest { zxid: Zxid(0x19), version: 2, digest: 7 };
        for (with_digest, with_last) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let (file, seal) = SNAPSHOTS[2];
            let mut file = file[..seal].to_vec();
            let mut framing = SnapshotSeal { sum: Adler32::new() };
            framing.cover(&file);
            framing.end(digest, TailForm { digest: with_digest, last: with_last }, &mut file);
            let tail = SnapshotTail {
                digest: with_digest.then_some(digest),
                last: with_last.then_some(digest.zxid),
            };
            for piece in [1, 2, 7, 64, 4096] {
                assert_eq!(read(&file, seal, piece).expect("it is whole").1, tail);
            }
            let len = file.len();
            assert_eq!(fault(&file[..len - 1], seal), Some(SnapshotFault::Short));
            if with_last && !with_digest {
                file[len - 15] ^= 1;
                assert_eq!(fault(&file, seal), Some(SnapshotFault::Short), "the zxid is bad");
            }
        }
    }

    #[test]
    fn damage_is_noticed() {
        let (file, seal) = SNAPSHOTS[2];
        for byte in [0, 5, 12, 40, seal - 1, seal + 3, seal + 12, seal + 20, seal + 50] {
            let mut bad = file.to_vec();
            bad[byte] ^= 0x20;
            let expected = if byte == 0 { SnapshotFault::Header } else { SnapshotFault::Seal };
            assert_eq!(fault(&bad, seal), Some(expected), "byte {byte}");
        }
        let mut negative = file.to_vec();
        negative[16] = 0x80;
        assert_eq!(fault(&negative, seal), Some(SnapshotFault::Content));
        let trailing = [file, &[9; 10]].concat();
        assert_eq!(fault(&trailing, seal), None, "Java ignores what trails");
        assert!(!looks_whole(9, &[0, 0, 0, 1, b'/']));
        assert!(!looks_whole(100, &[0, 0, 0, 2, b'/']));
    }
}
