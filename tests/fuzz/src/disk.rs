// SPDX-License-Identifier: Apache-2.0
//! A disk that always works: lanes of file operations over files in memory.

use std::collections::{BTreeMap, VecDeque};

use menagerie_core::{
    id::{FileId, LaneId, OpId},
    io::{Dir, DirEntry, Effects, FileError, FileErrorKind, FileOp, FileOutput, Input},
    node::Node,
    time::Now,
};

/// Files by name, and what is still to be done.
#[derive(Default)]
pub struct Disk {
    files: Vec<Vec<u8>>,
    names: BTreeMap<(Dir, String), usize>,
    open: BTreeMap<FileId, usize>,
    queue: VecDeque<(LaneId, OpId, FileOp)>,
}

/// What an operation gave back.
enum Output {
    Done,
    Names(Vec<DirEntry>),
    Bytes(Vec<u8>),
    Length(u64),
}

impl Disk {
    /// Orders an operation.
    pub fn order(&mut self, lane: LaneId, op: OpId, what: FileOp) {
        self.queue.push_back((lane, op, what));
    }

    /// Whether nothing is left to do.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Does the oldest operation.
    pub fn run_one(&mut self, node: &mut Node, now: Now, fx: &mut Effects) {
        let Some((_, op, what)) = self.queue.pop_front() else { return };
        let done = self.run(what);
        let result = match &done {
            Ok(Output::Done) => Ok(FileOutput::Done),
            Ok(Output::Names(names)) => Ok(FileOutput::Names(names)),
            Ok(Output::Bytes(bytes)) => Ok(FileOutput::Bytes(bytes)),
            Ok(Output::Length(len)) => Ok(FileOutput::Length(*len)),
            Err(error) => Err(error.clone()),
        };
        node.handle(now, Input::File { op, result }, fx);
    }

    /// Does all that is ordered by now.
    pub fn run_all(&mut self, node: &mut Node, now: Now, fx: &mut Effects) {
        for _ in 0..self.queue.len() {
            self.run_one(node, now, fx);
        }
    }

    fn run(&mut self, what: FileOp) -> Result<Output, FileError> {
        let missing = || FileError { kind: FileErrorKind::NotFound, text: "no such file".into() };
        let size = |n: u64| usize::try_from(n).expect("it fits into memory");
        match what {
            FileOp::List { dir, .. } => {
                let here = self.names.iter().filter(|((at, _), _)| *at == dir);
                let entry = |((_, name), file): (&(Dir, String), &usize)| DirEntry {
                    name: name.clone(),
                    len: self.files[*file].len() as u64,
                };
                return Ok(Output::Names(here.map(entry).collect()));
            }
            FileOp::Open { file, dir, name } => {
                let found = *self.names.get(&(dir, name)).ok_or_else(missing)?;
                self.open.insert(file, found);
                return Ok(Output::Length(self.files[found].len() as u64));
            }
            FileOp::Create { file, dir, name } => {
                self.files.push(Vec::new());
                self.open.insert(file, self.files.len() - 1);
                self.names.insert((dir, name), self.files.len() - 1);
            }
            FileOp::Read { file, offset, len } => {
                let bytes = self.file(file);
                let from = size(offset).min(bytes.len());
                let to = (from + len as usize).min(bytes.len());
                return Ok(Output::Bytes(bytes[from..to].to_vec()));
            }
            FileOp::Write { file, offset, data } => self.put(file, size(offset), &data),
            FileOp::Preallocate { file, offset, len } => {
                self.put(file, size(offset), &vec![0; size(len)]);
            }
            FileOp::Truncate { file, len } => self.file(file).resize(size(len), 0),
            FileOp::Rename { dir, from, to } => {
                let file = self.names.remove(&(dir, from)).ok_or_else(missing)?;
                self.names.insert((dir, to), file);
            }
            FileOp::Unlink { dir, name } => {
                self.names.remove(&(dir, name)).ok_or_else(missing)?;
            }
            FileOp::Close { file } => {
                self.open.remove(&file);
            }
            FileOp::Sync { .. } | FileOp::SyncDir { .. } | FileOp::Lock { .. } => {}
        }
        Ok(Output::Done)
    }

    fn put(&mut self, file: FileId, at: usize, bytes: &[u8]) {
        let file = self.file(file);
        file.resize(file.len().max(at + bytes.len()), 0);
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn file(&mut self, file: FileId) -> &mut Vec<u8> {
        &mut self.files[self.open[&file]]
    }
}
