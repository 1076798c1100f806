// SPDX-License-Identifier: Apache-2.0
//! What the store says to people: what is wrong with a data directory, and the way out.

use alloc::{
    format,
    string::{String, ToString},
};

use crate::{
    id::Zxid,
    io::{FileError, FileErrorKind},
    log::MARK_NAME,
};

pub(super) fn locked() -> String {
    "another server is running on this data directory. Stop it, or give this one a dataDir of its \
     own"
    .to_string()
}

pub(super) fn unusable(error: &FileError, make: bool) -> String {
    let cure = if make {
        "Check that the folder exists, or can be made, and that the server may write there"
    } else {
        "Make the folder yourself: automatic creation is disabled (zookeeper.datadir.autocreate \
         is false)"
    };
    format!("the data directory cannot be used: {error}. {cure}")
}

pub(super) fn mixed(why: &str) -> String {
    format!("{why}. Check if dataLogDir and dataDir configuration is correct")
}

pub(super) fn unreadable(log: &str, error: &FileError) -> String {
    format!(
        "{log} could not be read: {error}. Nothing was changed. Look after the disk, or restore \
         the file from a backup"
    )
}

/// What learners are to be served from cannot be read.
pub(super) fn unread(what: &str, why: &str) -> String {
    format!("{what} cannot be read for a learner: {why}")
}

pub(super) fn rejected(snapshot: &str, why: &str) -> String {
    format!("{snapshot} cannot be used: {why}. Going back to the one before it")
}

pub(super) fn rot(log: &str, offset: u64, last: Zxid, how: &str) -> String {
    format!(
        "{log} is damaged at byte {offset}, after transaction {last}: {how}. Nothing was changed. \
         Restore the file from a backup, or copy the data directory of a healthy server. To give \
         up every transaction after {last} instead: truncate -s {offset} {log}, and move away \
         {MARK_NAME} and all logs and snapshots with later numbers"
    )
}

pub(super) fn hole(last: Zxid, log: &str, compressed: Option<&str>) -> String {
    let unread = compressed.map_or(String::new(), |name| {
        format!(
            " {name} may hold them, but is compressed: start Java ZooKeeper once without \
             snapshot.compression.method, and it writes one that can be read here."
        )
    });
    format!(
        "the transactions after {last} and before the first of {log} are missing: a log was lost, \
         or no snapshot could be read. Nothing was changed.{unread} Restore the missing files from \
         a backup, or copy the data directory of a healthy server. To give up every transaction \
         after {last} instead, move {log} and all that is newer away"
    )
}

pub(super) fn lost(log: &str) -> String {
    format!(
        "{log} is missing, and transactions in it were durable. Nothing was changed. Restore it \
         from a backup, and check that dataLogDir is right and its disk mounted. To give up these \
         transactions instead, move {MARK_NAME} away"
    )
}

pub(super) fn beyond(snapshot: &str, upto: Zxid) -> String {
    format!(
        "{snapshot} holds transactions after {upto}, and the leader's history does not: this \
         server's data is of another history than the leader's. Nothing was changed. If the other \
         servers are right, move the folder version-2 away: this server then gets its data from \
         them. If this one is, stop the others before they take more writes, and restore their \
         data from this server's"
    )
}

pub(super) fn overlap(next: &str) -> String {
    format!("what follows goes further than {next}, which is the next log")
}

pub(super) fn cut_beyond(log: &str, last: Zxid) -> String {
    format!("{log} is cut behind transaction {last}: what follows was never committed")
}

pub(super) fn removed_beyond(log: &str) -> String {
    format!("{log} is removed: nothing in it was ever committed")
}

pub(super) fn log_too_short(snapshot: &str, last: Zxid, compressed: bool) -> String {
    let unread = if compressed {
        "is compressed: start Java ZooKeeper once without snapshot.compression.method, and it \
         writes one that can be read here"
    } else {
        "cannot be read: restore it, or the logs before it, from a backup, or copy the data \
         directory of a healthy server"
    };
    format!(
        "{snapshot} {unread}. Without it the data ends at transaction {last}, and later ones would \
         be lost. Nothing was changed. To give them up instead, move {snapshot} away"
    )
}

pub(super) fn no_first_snapshot() -> String {
    "the first snapshot could not be written, and without one Java ZooKeeper could not start on \
     this data directory. Make room, or give the server write access"
        .to_string()
}

pub(super) fn takeover() -> String {
    "another server's files were found and taken over: they stay until two snapshots of this \
     server were read back"
        .to_string()
}

/// A write to `what` failed.
pub(super) fn unwritten(what: &str, error: &FileError) -> String {
    let cure = match error.kind {
        FileErrorKind::Full => "Make room on the disk of",
        FileErrorKind::Denied => "Give the server write access to",
        _ => "Look after the disk of",
    };
    format!(
        "{what} could not be written: {error}. Nothing acknowledged is lost. {cure} {what}, \
         then start the server again"
    )
}

pub(super) fn unreadable_epoch(error: &FileError) -> String {
    format!(
        "the epoch files could not be read: {error}. Nothing was changed. Look after the disk of \
         the snapshots, or restore the files from a backup"
    )
}

pub(super) fn no_epoch(name: &str, bytes: &[u8]) -> String {
    let shown = String::from_utf8_lossy(bytes);
    format!(
        "{name} holds {shown:?} where the number of an epoch should stand. Nothing was changed. \
         {TAKE_PART_ANEW}"
    )
}

pub(super) fn epoch_too_old(last: Zxid, current: u32) -> String {
    let epoch = last.epoch();
    format!(
        "currentEpoch is {current}, and yet the log ends with {last}, a transaction of epoch \
         {epoch} that neither acceptedEpoch nor currentEpoch.tmp explains: an older file was put \
         there, or the log is another server's. Nothing was changed. {TAKE_PART_ANEW}"
    )
}

pub(super) fn epochs_crossed(accepted: u32, current: u32) -> String {
    format!(
        "acceptedEpoch is {accepted} and currentEpoch is {current}, but an epoch is accepted \
         before it is current: an older file was put there. Nothing was changed. {TAKE_PART_ANEW}"
    )
}

/// The way out of epochs that cannot be right.
const TAKE_PART_ANEW: &str = "While a majority of the other servers is healthy, move the folder \
     version-2 away: this server then gets its data from them. Otherwise restore both files from \
     the backup that the log is from";

pub(super) fn half_synced(last: Zxid, current: u32) -> String {
    format!(
        "the log ends with {last}, of an epoch whose leader had not finished bringing this server \
         up to date when it stopped; until one does, it counts as of epoch {current}"
    )
}
