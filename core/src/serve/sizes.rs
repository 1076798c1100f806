// SPDX-License-Identifier: Apache-2.0
//! How much the data directories hold: looked up when a word asks, so that the figure is true, and
//! once for all who ask meanwhile.

use alloc::vec::Vec;

use super::words::Word;
use crate::{
    id::{LinkId, OpId},
    io::{Dir, Effects, FileError, FileOp, FileOutput},
    store::Ids,
};

/// The folders that words tell the sizes of.
const FOLDERS: [Dir; 2] = [Dir::Snap, Dir::Log];

/// What the folders hold, and who waits to hear it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    /// Bytes in each of [`FOLDERS`], as last listed.
    bytes: [u64; FOLDERS.len()],
    /// Those who came after the look under way began.
    next: Vec<(LinkId, Word)>,
    look: Look,
}

/// A look under way, if it waits for any operation.
#[derive(Clone, Debug, Default)]
struct Look {
    ops: [Option<OpId>; FOLDERS.len()],
    wanted_by: Vec<(LinkId, Word)>,
}

impl Sizes {
    /// Bytes in a folder, as last listed.
    pub fn of(&self, folder: Dir) -> u64 {
        let at = FOLDERS.iter().position(|known| *known == folder);
        self.bytes[at.expect("a folder that words tell the size of")]
    }

    /// Someone asks: a look that begins from now on answers.
    pub fn await_look(&mut self, link: LinkId, word: Word) {
        self.next.push((link, word));
    }

    /// Begins a look if someone waits for one and none is under way.
    pub fn look(&mut self, ids: &mut Ids, fx: &mut Effects) {
        if self.next.is_empty() || self.look.is_under_way() {
            return;
        }
        self.look.wanted_by = core::mem::take(&mut self.next);
        for (op, dir) in self.look.ops.iter_mut().zip(FOLDERS) {
            let (lane, id) = (ids.lane(), ids.op());
            *op = Some(id);
            fx.file(lane, id, FileOp::List { dir, make: false });
        }
    }

    /// Whether an operation is of a look.
    pub fn owns(&self, op: OpId) -> bool {
        self.look.ops.contains(&Some(op))
    }

    /// An operation of the look ended; gives back who is to be answered now. Where a folder cannot
    /// be listed, the last size stands.
    pub fn on_file(
        &mut self,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
    ) -> Vec<(LinkId, Word)> {
        let at = self.look.ops.iter().position(|waiting| *waiting == Some(op));
        let at = at.expect("an operation of the look");
        self.look.ops[at] = None;
        if let Ok(FileOutput::Names(names)) = result {
            self.bytes[at] = names.iter().map(|entry| entry.len).sum();
        }
        match self.look.is_under_way() {
            true => Vec::new(),
            false => core::mem::take(&mut self.look.wanted_by),
        }
    }
}

impl Look {
    fn is_under_way(&self) -> bool {
        self.ops.iter().any(Option::is_some)
    }
}
