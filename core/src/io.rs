// SPDX-License-Identifier: Apache-2.0
//! What goes into a core and what comes out of it.
//!
//! The simulator, the tokio adapter and the tests drive a core through three calls and nothing
//! else: `handle(now, input, fx)`, `flush(now, fx)` and `poll_timeout()`. [`Input`] and
//! [`Effects`] are their vocabulary, and the four laws stand on the types they govern.

use alloc::{
    boxed::Box,
    string::String,
    sync::Arc,
    vec::{self, Vec},
};
use core::{fmt, net::SocketAddr, ops::Range, time::Duration};

use crate::{
    event::Event,
    id::{AskId, DialId, FileId, LaneId, LinkId, OpId},
};

/// One thing that happened outside.
///
/// **Law 2: a turn is one or more inputs and then one flush.** The sequence of inputs and flush
/// marks is a journal, and replaying it is exact.
///
/// **Law 4: panics are ours, errors are theirs.** Whatever bytes stand in an input, they cause an
/// error reply, an ignored message or a hang-up: never a panic, an unbounded allocation or a lost
/// write. A driver that breaks the contract (a frame on a link it never announced) is a panic.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Time passed; send one when `poll_timeout()` is due.
    Time,
    /// A link was accepted, or dialled.
    LinkUp {
        /// Its name from now on.
        link: LinkId,
        /// The kind of port it came in by or goes to.
        port: Port,
        /// The other end's address.
        peer: SocketAddr,
        /// The [`Effect::Dial`] that this answers; `None` if the other end dialled.
        dialled: Option<DialId>,
    },
    /// An [`Effect::Dial`] led to no link.
    DialFailed {
        /// The kind of port that was dialled.
        port: Port,
        /// The attempt.
        dial: DialId,
        /// The system's own words, for people.
        why: String,
    },
    /// A link is gone: the last input that names it. Also follows our own hang-up.
    LinkDown {
        /// The link.
        link: LinkId,
    },
    /// A link delivered a whole frame, cut by the framing machine of its port.
    Frame {
        /// The link.
        link: LinkId,
        /// What it delivered.
        frame: Frame<'a>,
    },
    /// The network took bytes that were sent to a link.
    Drained {
        /// The link.
        link: LinkId,
        /// How many.
        bytes: usize,
    },
    /// A file operation ended. Within one lane these come in the order of the operations.
    File {
        /// The operation.
        op: OpId,
        /// How it ended.
        result: Result<FileOutput<'a>, FileError>,
    },
    /// An operator asked something; the answer is an [`Effect::Answer`] under the same name.
    Ask {
        /// The question's name.
        ask: AskId,
        /// The question.
        question: Question,
    },
}

/// What is spoken on a link: which framing machine cuts it, which room of the core takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Clients, in the clear.
    Client,
    /// Leader election between servers, in the clear.
    Election,
    /// A leader and its learners, in the clear.
    Quorum,
}

/// What the framing machine of a port cuts from the byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A packet: what a length announced, without the length, on a client or election port; on an
    /// election port first the whole hello; a whole `QuorumPacket` on a quorum port.
    Packet(&'a [u8]),
    /// Bytes of the tree that follows a SNAP on a quorum port.
    Tree {
        /// The next of them.
        bytes: &'a [u8],
        /// Whether they are the last.
        last: bool,
    },
    /// A four-letter word in place of the first packet.
    Word([u8; 4]),
    /// A packet beyond the limit, whose body was skipped.
    Oversized {
        /// The length it announced.
        len: u32,
        /// Its first bytes, at most 8: a request's xid and type.
        head: &'a [u8],
    },
    /// The stream cannot be of this port; nothing after it makes sense.
    Nonsense {
        /// The length it announced.
        len: i32,
    },
    /// As [`Frame::Nonsense`], where it is no length that is wrong: on a quorum port.
    Broken {
        /// What is wrong, for people.
        why: &'static str,
    },
}

/// What an operator may ask of a running core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Stop cleanly: finish what is in flight, then halt with [`Exit::Clean`].
    Stop,
    /// Take a snapshot now.
    Snapshot,
    /// Tell all figures, in Prometheus' text format 0.0.4.
    Metrics,
}

/// A folder of the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dir {
    /// `dataDir` itself: `myid`, `initialize`, the lock.
    Root,
    /// `dataDir/version-2`: snapshots and epochs.
    Snap,
    /// `dataLogDir/version-2`: the transaction log.
    Log,
}

/// A file operation. Offsets and lengths are bytes.
///
/// [`FileId`]s are given by the core at `Open` or `Create` and stay with that file until `Close`,
/// even when it is renamed or unlinked meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOp {
    /// The names in a folder, with lengths, sorted by name. Makes missing folders if told to.
    List {
        /// The folder.
        dir: Dir,
        /// Whether to make it (and its parents) where it is missing.
        make: bool,
    },
    /// Opens an existing file for reading and writing.
    Open {
        /// Its name in later operations.
        file: FileId,
        /// The folder.
        dir: Dir,
        /// The name in the folder.
        name: String,
    },
    /// Creates a file, empty, in place of any of that name.
    Create {
        /// Its name in later operations.
        file: FileId,
        /// The folder.
        dir: Dir,
        /// The name in the folder.
        name: String,
    },
    /// Forgets a file.
    Close {
        /// The file.
        file: FileId,
    },
    /// Reads up to `len` bytes; fewer only at the end of the file.
    Read {
        /// The file.
        file: FileId,
        /// From where.
        offset: u64,
        /// How many.
        len: u32,
    },
    /// Writes all of `data`; never a part of it without an error.
    Write {
        /// The file.
        file: FileId,
        /// To where.
        offset: u64,
        /// What.
        data: Arc<Vec<u8>>,
    },
    /// Writes `len` real zeroes, so that later writes there change no metadata.
    Preallocate {
        /// The file.
        file: FileId,
        /// From where; at or beyond all data that matters.
        offset: u64,
        /// How many.
        len: u64,
    },
    /// Makes everything that this lane wrote to the file durable (data, and length if changed).
    Sync {
        /// The file.
        file: FileId,
    },
    /// Sets the file's length.
    Truncate {
        /// The file.
        file: FileId,
        /// The new length.
        len: u64,
    },
    /// Renames a file within a folder, replacing any of the new name.
    Rename {
        /// The folder.
        dir: Dir,
        /// The old name.
        from: String,
        /// The new name.
        to: String,
    },
    /// Removes a file.
    Unlink {
        /// The folder.
        dir: Dir,
        /// The name in the folder.
        name: String,
    },
    /// Makes creations, renames and removals in a folder durable.
    SyncDir {
        /// The folder.
        dir: Dir,
    },
    /// Takes the exclusive lock of the data directory, held until the process ends.
    Lock {
        /// The folder.
        dir: Dir,
        /// The lock file's name.
        name: String,
    },
}

/// What a file operation gave back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOutput<'a> {
    /// Done; nothing to say.
    Done,
    /// The names of a `List`.
    Names(&'a [DirEntry]),
    /// The bytes of a `Read`.
    Bytes(&'a [u8]),
    /// The length of an opened file.
    Length(u64),
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// Why a file operation did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The kind, as far as the core cares.
    pub kind: FileErrorKind,
    /// The system's own words, with the path, for people.
    pub text: String,
}

/// Kinds of file errors that the core tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileErrorKind {
    /// No such file or folder.
    NotFound,
    /// No permission, or a read-only file system.
    Denied,
    /// The disk or the quota is full.
    Full,
    /// Another process holds the lock.
    Locked,
    /// An earlier operation of the lane failed, so this one was not tried.
    NotRun,
    /// Anything else.
    Other,
}

/// One thing to do outside.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send bytes of [`Effects::bytes`] to a link.
    Send {
        /// The link.
        link: LinkId,
        /// Which bytes.
        bytes: Range<usize>,
    },
    /// Open a link; answered by [`Input::LinkUp`] or [`Input::DialFailed`] under the same name.
    Dial {
        /// The attempt's name.
        dial: DialId,
        /// What will be spoken on the link.
        port: Port,
        /// A name or an IP address without brackets; resolved by the driver, every time.
        host: String,
        /// The other end's port.
        number: u16,
        /// How long resolving and connecting may take together.
        timeout: Duration,
    },
    /// Close a link once everything sent to it is out.
    HangUp {
        /// The link.
        link: LinkId,
    },
    /// Read no more from a link until told to resume.
    Pause {
        /// The link.
        link: LinkId,
    },
    /// Read from a paused link again.
    Resume {
        /// The link.
        link: LinkId,
    },
    /// Do a file operation after the earlier ones of its lane, if none of them failed.
    File {
        /// The lane.
        lane: LaneId,
        /// The operation's name in its [`Input::File`].
        op: OpId,
        /// The operation.
        what: FileOp,
    },
    /// Write a file of the configuration, and go by it.
    Configure(Box<ConfigFile>),
    /// Answer an operator.
    Answer {
        /// The question.
        ask: AskId,
        /// The answer: text for people, or why not.
        answer: Result<String, String>,
    },
    /// Something happened that people or metrics may want to know.
    Event(Event),
    /// Stop the process; no further input will be taken.
    Halt {
        /// The exit code.
        exit: Exit,
        /// The reason, and the way out.
        why: String,
    },
}

/// A file beside `zoo.cfg` that says who belongs to the ensemble. Nothing waits for it: a server
/// that finds an older one learns from the others what it missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFile {
    /// What its name has behind the one of `zoo.cfg`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Whether it is in force: then `zoo.cfg` is to refer to it, and `.dynamic.next` is to go.
    pub in_force: bool,
    /// Where clients are to reach this server, if the file says so: a host, or all addresses, and a
    /// port.
    pub client: Option<(Option<String>, u16)>,
}

/// How a server ends: the exit codes of Java's ZooKeeper, which runbooks know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: asked to stop.
    Clean,
    /// 1: anything without a code of its own.
    Unexpected,
    /// 2: bad arguments or configuration.
    BadConfig,
    /// 3: the data directory cannot be used.
    DataDir,
    /// 10: a write to the transaction log or to an epoch file failed.
    DiskWrite,
    /// 20, which Java's has no name for: this server's data differs from that of its leader.
    Diverged,
    /// 14: the election port or the quorum port cannot be opened.
    PeerPort,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Unexpected => 1,
            Exit::BadConfig => 2,
            Exit::DataDir => 3,
            Exit::DiskWrite => 10,
            Exit::PeerPort => 14,
            Exit::Diverged => 20,
        }
    }
}

/// What a core wants done, owned and reused by the driver.
///
/// **Law 1: effects are unconditional.** Whatever stands here may be executed at once; the core
/// itself withholds what must wait for a disk. Order holds within one lane (a link, a file lane)
/// and nowhere else; a lane stops at its first failure and reports every later operation as
/// [`FileErrorKind::NotRun`].
///
/// **Law 3: turns are bounded.** Beyond one transaction's own changes and one reply's own bytes, a
/// turn does at most a constant number of steps, counted in [`Effects::steps`]. Longer work keeps a
/// cursor and asks, through `poll_timeout()`, to be called again.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
    bytes: Vec<u8>,
    steps: u64,
}

impl Effects {
    /// Nothing to do.
    pub fn new() -> Effects {
        Effects::default()
    }

    /// What to do, in order.
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// The bytes that [`Effect::Send`]s point into.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Steps of long work done since the last [`Effects::clear`].
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Forgets everything, keeping the allocations.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
        self.steps = 0;
    }

    /// Takes the list out, leaving the bytes readable until [`Effects::clear`].
    pub fn take_list(&mut self) -> Vec<Effect> {
        core::mem::take(&mut self.list)
    }

    /// What to do, to be taken one by one, and the bytes that [`Effect::Send`]s point into. The
    /// allocations stay; [`Effects::clear`] is still to come.
    pub fn drain(&mut self) -> (vec::Drain<'_, Effect>, &[u8]) {
        (self.list.drain(..), &self.bytes)
    }

    /// Counts one step of long work against law 3.
    pub fn step(&mut self) {
        self.steps += 1;
    }

    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Sends what `write` appends; gives back how many bytes that was.
    pub fn send(&mut self, link: LinkId, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let end = self.bytes.len();
        if let Some(Effect::Send { link: last, bytes }) = self.list.last_mut()
            && *last == link
            && bytes.end == start
        {
            bytes.end = end;
        } else if end > start {
            self.list.push(Effect::Send { link, bytes: start..end });
        }
        end - start
    }

    /// Orders a file operation.
    pub fn file(&mut self, lane: LaneId, op: OpId, what: FileOp) {
        self.list.push(Effect::File { lane, op, what });
    }

    /// Tells people and metrics.
    pub fn event(&mut self, event: Event) {
        self.list.push(Effect::Event(event));
    }

    /// Stops the process.
    pub fn halt(&mut self, exit: Exit, why: String) {
        self.list.push(Effect::Halt { exit, why });
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl core::error::Error for FileError {}
