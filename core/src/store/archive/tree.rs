// SPDX-License-Identifier: Apache-2.0
//! One learner's place in a snapshot: the file's middle, from the number of sessions to the end of
//! the tree, then the signature in place of the file's seals.
//!
//! The file is walked over as it is read: its seals, which cover all of it, are checked before the
//! last piece is given, whatever form its end has.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use super::PIECE;
use crate::{
    id::{FileId, SessionId, Zxid},
    io::{Dir, FileOp, FileOutput},
    jute::Malformed,
    log::{SIGNATURE, SnapshotFault, SnapshotReader, SnapshotSink, TreeExtent, snapshot_name},
    store::Ids,
};

/// Bytes of a snapshot's header.
const HEADER: u64 = 16;

/// Finds where the tree ends, counting bytes.
#[derive(Clone)]
struct Walk {
    extent: TreeExtent,
    /// Bytes before the end of the tree, as far as they have come.
    end: u64,
}

impl SnapshotSink for Walk {
    fn session(&mut self, _session: SessionId, _timeout_ms: i32) {
        self.end += 12;
    }

    fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let taken = self.extent.feed(bytes)?;
        self.end += taken as u64;
        Ok((taken, self.extent.is_done()))
    }
}

/// What comes next.
pub(super) enum TreeStep {
    /// An operation.
    Order(FileOp),
    /// [`TreeReader::piece`] can be given.
    Piece {
        /// Whether it is the last.
        last: bool,
    },
}

/// A reader of a snapshot for one learner.
#[derive(Clone)]
pub(super) struct TreeReader {
    zxid: Zxid,
    opening: FileId,
    file: Option<FileId>,
    len: u64,
    read: u64,
    reader: SnapshotReader,
    walk: Walk,
    piece: Vec<u8>,
    begun: bool,
}

impl TreeReader {
    /// A reader of the snapshot of this name, and its first operation.
    pub(super) fn start(zxid: Zxid, ids: &mut Ids) -> (TreeReader, FileOp) {
        let opening = ids.file();
        let reader = TreeReader {
            zxid,
            opening,
            file: None,
            len: 0,
            read: 0,
            reader: SnapshotReader::new(),
            // Whatever is on this disk was taken by its own server.
            walk: Walk { extent: TreeExtent::new(i32::MAX.unsigned_abs()), end: HEADER + 4 },
            piece: Vec::new(),
            begun: false,
        };
        (reader, FileOp::Open { file: opening, dir: Dir::Snap, name: snapshot_name(zxid) })
    }

    /// The last transaction in the snapshot.
    pub(super) fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The file, if it is open.
    pub(super) fn file(&self) -> Option<FileId> {
        self.file
    }

    /// Whether a piece of it was given.
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    /// The next bytes to give.
    pub(super) fn piece(&self) -> &[u8] {
        &self.piece
    }

    /// Asks for the next piece; gives back the first operation.
    pub(super) fn go_on(&mut self) -> FileOp {
        self.begun = true;
        self.piece.clear();
        self.next()
    }

    fn next(&self) -> FileOp {
        FileOp::Read { file: self.file.unwrap_or(self.opening), offset: self.read, len: PIECE }
    }

    /// An operation's output. An error says what is wrong with the file.
    pub(super) fn on_output(&mut self, output: &FileOutput<'_>) -> Result<TreeStep, String> {
        match output {
            FileOutput::Length(len) => {
                (self.file, self.len) = (Some(self.opening), *len);
                Ok(TreeStep::Order(self.next()))
            }
            FileOutput::Bytes(bytes) => self.take(bytes).map_err(|fault| fault.words().to_string()),
            FileOutput::Done | FileOutput::Names(_) => Err("it cannot be read".to_string()),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<TreeStep, SnapshotFault> {
        let start = self.read;
        self.read += bytes.len() as u64;
        self.reader.push(bytes, &mut self.walk)?;
        let ended = self.walk.extent.is_done();
        let end = if ended { self.walk.end.min(self.read) } else { self.read };
        let from = HEADER.max(start).min(end);
        if start < end {
            self.piece.extend_from_slice(&bytes[(from - start) as usize..(end - start) as usize]);
        }
        let all = self.reader.is_done() || self.read >= self.len || bytes.is_empty();
        match (ended, all) {
            (true, true) => {
                self.reader.finish()?;
                self.piece.extend_from_slice(&SIGNATURE);
                Ok(TreeStep::Piece { last: true })
            }
            (false, true) => Err(SnapshotFault::Short),
            (true, false) => Ok(TreeStep::Order(self.next())),
            (false, false) => Ok(TreeStep::Piece { last: false }),
        }
    }
}
