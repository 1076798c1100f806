// SPDX-License-Identifier: Apache-2.0
//! What must survive: the machines that write and read the data directory.
//!
//! [`Recovery`] reads it at start, [`LogWriter`] makes transactions durable, [`Snapshotter`] writes
//! the tree beside a running service, [`Purge`] removes what is no longer needed, [`Epochs`] keeps
//! what a member of an ensemble has promised, [`Install`] puts a leader's tree in the place of its
//! own, [`Archive`] serves learners from what is there. Each emits
//! [`FileOp`](crate::io::FileOp)s and hears of their completions; the owner of the machines offers
//! it each completion whose operation it [owns](LogWriter::owns).
//!
//! # The laws of durability
//!
//! - **D1: sync, then say.** Nothing is acknowledged before the sync of the batch that holds it
//!   has completed ([`LogWriter::durable`]), nor before the name of the file that holds it is
//!   durable in its folder.
//! - **D2: a failed write is the last one.** When a write or a sync of the log, of the mark
//!   beside it, or of an epoch file fails, the server halts with
//!   [`Exit::DiskWrite`](crate::io::Exit::DiskWrite). Nothing is retried: after a failed sync a
//!   system may report success for data that it dropped.
//! - **D3: snapshots are expendable.** A snapshot that cannot be written is deleted and reported;
//!   service goes on, and it is tried again later. It takes its final name only when it is
//!   durable under another that no scan considers, and keeps it.
//! - **D4: a tear is cut.** Bytes behind the last good record that were never known to be synced
//!   are what a power loss left of an unfinished write. They are cut off, and one line says so.
//! - **D5: rot stops.** Bytes that were once good, or history with a gap, stop the server with
//!   [`Exit::DataDir`](crate::io::Exit::DataDir) and a message that names file, offset and
//!   transaction, and the way out. Nothing is deleted.
//! - **D6: the mark knows.** Tear and rot look alike; the [mark](crate::log::Mark) tells them
//!   apart. Before a log of ours receives a record, the mark durably says that the log is ours; as
//!   syncs complete it follows lazily. Below it bad bytes are rot, above it a tear. In a log that
//!   is not ours, Java's own rules decide. The window that remains: rot of the newest log between
//!   what the mark last said (at most [`MARK_LAG`] bytes of records behind) and the end, which is
//!   taken for a tear.
//! - **D7: Java may come back.** At each moment the directory is one on which Java 3.9.5 starts: a
//!   log never stands there without a snapshot before it.
//! - **D8: what is read is written.** What a start reads of the newest log and was never known to
//!   be synced (all of it, where no mark speaks of it) is written once more and synced before it is
//!   served: after a failed sync a system may show bytes that the disk will never hold, and call a
//!   further sync a success. So it is with where each log ends that is read, which may be a cut,
//!   and with the mark.
//! - **D9: history loses only its end.** What a leader says was never committed goes from the end
//!   on, the newest first, each step durable before the next. A snapshot holds only what was
//!   committed: where one reaches further than the leader's history, D5 applies. A tree that takes
//!   the place of all is durable as a snapshot before anything goes.

mod archive;
mod epochs;
mod install;
mod plan;
mod purge;
mod recovery;
mod replay;
mod snapshotter;
mod words;
mod writer;

#[cfg(test)]
pub(crate) mod test_disk;

pub use archive::{Archive, ArchiveNews, LogSpan};
pub use epochs::{EpochReader, Epochs};
pub use install::Install;
pub use purge::{LEAST_RETAINED, Purge, PurgeNews};
pub use recovery::{LOCK_NAME, Recovered, Recovery, RecoveryConfig};
pub use replay::SessionTimeouts;
pub use snapshotter::{Frozen, Listed, SessionView, SnapshotNews, Snapshotter};
pub use writer::{LogConfig, LogWriter, MARK_LAG};

use crate::id::{FileId, LaneId, OpId};

/// Hands out the names of file operations, lanes and files; one for all machines of a core.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    ops: u64,
    lanes: u32,
    files: u64,
}

impl Ids {
    /// None given out yet.
    pub fn new() -> Ids {
        Ids::default()
    }

    /// A name for an operation.
    pub fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    /// A name for a lane.
    pub fn lane(&mut self) -> LaneId {
        self.lanes += 1;
        LaneId(self.lanes)
    }

    /// A name for a file.
    pub fn file(&mut self) -> FileId {
        self.files += 1;
        FileId(self.files)
    }
}
