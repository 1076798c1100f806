// SPDX-License-Identifier: Apache-2.0
//! Rebuilds tree and sessions: from a snapshot's pieces, then from the log's entries.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
};

use crate::{
    event::{Event, Level},
    hash::Keyed,
    id::{SessionId, Zxid},
    io::Effects,
    jute::{Malformed, Reader, Record},
    log::{SnapshotFault, SnapshotReader, SnapshotSink, TreeDigest},
    tree::{Loader, Tree},
    txn::{Txn, TxnEntry, apply},
};

/// Sessions and their timeouts in milliseconds.
pub type SessionTimeouts = BTreeMap<SessionId, i32>;

/// A snapshot being read.
#[derive(Clone)]
pub(super) struct Loading {
    reader: SnapshotReader,
    into: Into,
}

#[derive(Clone)]
struct Into {
    loader: Loader,
    sessions: SessionTimeouts,
}

impl SnapshotSink for Into {
    fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.sessions.insert(session, timeout_ms);
    }

    fn tree(&mut self, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
        let taken = self.loader.feed(bytes).map_err(|_| Malformed)?;
        Ok((taken, self.loader.is_done()))
    }
}

impl Loading {
    /// From the start of a file.
    pub(super) fn new(hash: Keyed) -> Loading {
        Loading::by(SnapshotReader::new(), hash)
    }

    /// From the start of what a leader sends.
    pub(super) fn of_stream(hash: Keyed) -> Loading {
        Loading::by(SnapshotReader::of_stream(), hash)
    }

    fn by(reader: SnapshotReader, hash: Keyed) -> Loading {
        let into = Into { loader: Loader::new(hash), sessions: SessionTimeouts::new() };
        Loading { reader, into }
    }

    /// Takes the next bytes; gives back how many there were before the end.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<usize, SnapshotFault> {
        self.reader.push(bytes, &mut self.into)
    }

    /// The state of the snapshot named `zxid`, once every byte was pushed.
    pub(super) fn finish(self, zxid: Zxid, fx: &mut Effects) -> Result<Replay, SnapshotFault> {
        let tail = self.reader.finish()?;
        let tree = self.into.loader.finish().ok_or(SnapshotFault::Short)?;
        let mut replay = Replay {
            tree,
            sessions: self.into.sessions,
            last: zxid,
            replayed: 0,
            replayed_bytes: 0,
            mismatches: 0,
            // Java's snapshots are fuzzy: the digest is the tree's only once the log was replayed
            // up to its transaction. One from before the snapshot says nothing.
            awaited: tail.digest.filter(|digest| digest.zxid >= zxid && digest.zxid > Zxid::ZERO),
            unproven: tail.digest.is_none(),
        };
        replay.compare_awaited(zxid, fx);
        Ok(replay)
    }
}

/// Tree and sessions as of a transaction, on which later ones can be replayed.
#[derive(Clone)]
pub(super) struct Replay {
    pub(super) tree: Tree,
    pub(super) sessions: SessionTimeouts,
    /// The last transaction in them.
    pub(super) last: Zxid,
    pub(super) replayed: u64,
    pub(super) replayed_bytes: u64,
    /// Transactions after which the tree was not the one whose digest was recorded.
    pub(super) mismatches: u64,
    /// The digest that the snapshot promises for a transaction that is still to come.
    awaited: Option<TreeDigest>,
    /// Whether the snapshot promised none: then nobody knows which later transactions it holds
    /// some of, and digests mean something only once one was the tree's.
    unproven: bool,
}

impl Replay {
    /// The state before any transaction.
    pub(super) fn empty(hash: Keyed) -> Replay {
        Replay {
            tree: Tree::new(hash),
            sessions: SessionTimeouts::new(),
            last: Zxid::ZERO,
            replayed: 0,
            replayed_bytes: 0,
            mismatches: 0,
            awaited: None,
            unproven: false,
        }
    }

    /// Replays an entry unless it is in the state already. An error says what is wrong with it.
    pub(super) fn replay(
        &mut self,
        zxid: Zxid,
        entry: &[u8],
        fx: &mut Effects,
    ) -> Result<(), String> {
        if zxid <= self.last {
            return Ok(());
        }
        if !zxid.follows(self.last) {
            let last = self.last;
            return Err(format!("transaction {zxid} stands where {} should follow {last}", {
                last.next()
            }));
        }
        self.replayed_bytes += entry.len() as u64;
        let entry = TxnEntry::decode(&mut Reader::new(entry)).map_err(|_| {
            "its checksum is right, but it is no transaction that this version knows".to_string()
        })?;
        match entry.txn {
            Txn::CreateSession { timeout_ms } => {
                self.sessions.insert(entry.header.session, timeout_ms);
            }
            Txn::CloseSession { .. } => {
                self.sessions.remove(&entry.header.session);
            }
            _ => {}
        }
        apply(&mut self.tree, &entry.header, &entry.txn, &mut ());
        self.last = zxid;
        self.replayed += 1;
        let fuzzy = self.awaited.is_some_and(|awaited| zxid < awaited.zxid);
        self.compare_awaited(zxid, fx);
        if let Some(digest) = entry.digest
            && !fuzzy
        {
            let (version, digest) = (digest.version, digest.digest);
            self.compare(TreeDigest { zxid, version, digest }, fx);
        }
        Ok(())
    }

    fn compare_awaited(&mut self, zxid: Zxid, fx: &mut Effects) {
        if let Some(awaited) = self.awaited.take_if(|awaited| zxid >= awaited.zxid)
            && awaited.zxid == zxid
        {
            self.compare(awaited, fx);
        }
    }

    /// Counts, and says the first time, that the tree is not the one whose digest was recorded.
    fn compare(&mut self, recorded: TreeDigest, fx: &mut Effects) {
        if recorded.version != TreeDigest::VERSION {
            return;
        }
        if recorded.digest == self.tree.digest() {
            self.unproven = false;
            return;
        }
        if self.unproven {
            return;
        }
        self.mismatches += 1;
        if self.mismatches > 1 {
            return;
        }
        let text = format!(
            "after transaction {} the tree is not the one that its digest was recorded for: it \
             differs from the tree of the server that wrote it. Compare this server's data with \
             another's, or with a backup",
            recorded.zxid
        );
        fx.event(Event::Note { level: Level::Error, text });
    }
}
