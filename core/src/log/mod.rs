// SPDX-License-Identifier: Apache-2.0
//! The files of a data directory as bytes: names, transaction log, snapshot, and our own mark.
//!
//! Pure formats, encoded and decoded; who reads and writes them, and when, is decided in
//! `store`. The log and the snapshot are ZooKeeper's, byte for byte: Java's `FileTxnLog`,
//! `FileSnap` and `SnapStream` read what is written here, and the other way round. Files of our
//! own have names that Java's scans for `log.*` and `snapshot.*` pass over.

mod extent;
mod mark;
mod name;
mod scan;
mod snapshot;
mod takeover;

pub use extent::TreeExtent;
pub use mark::{MARK_LEN, MARK_SLOT, Mark, Slot};
pub use name::{MARK_NAME, Name, Packing, TAKEOVER_NAME, log_name, partial_name, snapshot_name};
pub use scan::{Ending, LOG_HEADER_LEN, LogScanner, Step, append_log_header, append_record};
pub use snapshot::{
    SIGNATURE, SNAPSHOT_TAIL_LEN, SnapshotFault, SnapshotReader, SnapshotSeal, SnapshotSink,
    SnapshotTail, TailForm, TreeDigest, looks_whole, seal_fits,
};
pub use takeover::Takeover;
