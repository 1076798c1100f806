// SPDX-License-Identifier: Apache-2.0
//! One server as nobody in the world sees it: its log, as ordered to the disk, how much of that is
//! durable, the model after the newest transaction that it has spoken of, and what its links asked
//! and are owed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use menagerie_core::{id::LinkId, node::Phase, proto::Request, time::Instant, txn::TxnDigest};

use super::{
    Proof, acks::Acks, asked::Arrived, cutter::Cutter, epochs::Promised, expiry::Expiry, fifo,
    log::LogTap, votes::Votes,
};
use crate::model::{Applied, Id, Model, Watches};

/// An event that a link is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The transaction that fired it, or -1.
    pub zxid: i64,
    /// Its kind's number.
    pub kind: i32,
    /// The znode.
    pub path: Vec<u8>,
}

/// A client's link, as the server should see it.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Its session, once the handshake was answered.
    pub session: Option<i64>,
    /// What the client asked for in the handshake.
    pub connect: Option<Connect>,
    /// Its identities.
    pub ids: Vec<Id>,
    /// The requests that are not answered yet, in order.
    pub requests: VecDeque<Arc<Arrived>>,
    /// Pings and auth packets that are not answered yet.
    pub asides: VecDeque<Arc<Arrived>>,
    /// Its watches.
    pub watches: Watches,
    /// Events that must come before any reply of their zxid or a later one.
    pub owed: VecDeque<Owed>,
    /// Events without a zxid, which must belong to the next answer to setWatches.
    pub stray: Vec<(i32, Vec<u8>)>,
    /// Cuts what the server sends into frames.
    pub cutter: Cutter,
    /// Bytes that were sent and not drained.
    pub queued: usize,
    /// The newest zxid that its client knows of: from before, or from replies on it.
    pub shown: i64,
    /// Whether the server knows that it is gone.
    pub gone: bool,
    /// Whether the server has hung up: what still arrives is not heard.
    pub hung_up: bool,
    /// Whether nothing more is owed: a session closed, nonsense received, a word asked.
    pub excused: bool,
}

impl Link {
    /// A request arrived on it.
    pub fn take(&mut self, arrived: &Arc<Arrived>, proofs: &[Proof]) {
        if let Some(Request::Auth { scheme: b"digest", auth, .. }) = arrived.request() {
            for (_, id) in proofs.iter().filter(|(proof, _)| *proof == auth) {
                if !self.ids.contains(id) {
                    self.ids.push(id.clone());
                }
            }
        }
        if fifo::is_aside(arrived.op) {
            self.asides.push_back(Arc::clone(arrived));
        } else {
            self.requests.push_back(Arc::clone(arrived));
        }
    }

    /// Whether it waits for the answer to setting watches again.
    pub fn rearms(&self) -> bool {
        let rearms = |request: &Request<'_>| {
            matches!(request, Request::SetWatches(_) | Request::SetWatches2(_))
        };
        self.requests.iter().any(|asked| asked.request().as_ref().is_some_and(rearms))
    }

    /// Whether its session stands, every request is answered and every event told.
    pub fn is_quiet(&self) -> bool {
        let answered = self.requests.is_empty() && self.asides.is_empty();
        let open = !self.excused && !self.hung_up && !self.gone;
        self.session.is_some() && answered && self.owed.is_empty() && open
    }
}

/// What a client asked for in its handshake.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The session to resume, or 0.
    pub session: i64,
    /// Whether that session was open then.
    pub was_open: bool,
    /// Whether the password is right.
    pub password_fits: bool,
    /// The newest zxid it has seen.
    pub last_seen: i64,
    /// When it arrived, by the server's clock.
    pub asked: Instant,
}

/// One server.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The model after [`Replica::applied`].
    pub model: Model,
    /// The newest transaction that it has shown to anybody.
    pub applied: i64,
    /// The newest zxid that this process has said, which may be the beginning of an epoch.
    pub said: i64,
    /// The digest that was logged behind that transaction.
    pub digest: Option<TxnDigest>,
    /// How much of the committed sequence that is.
    pub shown: usize,
    /// Its log as ordered to the disk, from the beginning of history: what a snapshot stands for
    /// included.
    pub log: Vec<i64>,
    /// Its log is durable up to here.
    pub durable: i64,
    /// The end of the tree that a leader sent last, which may be on the disk by now.
    pub tree: Option<i64>,
    /// Its file operations on the log.
    pub tap: LogTap,
    /// The life signs of sessions that it heard itself.
    pub expiry: Expiry,
    /// What it acknowledges to leaders.
    pub acks: Acks,
    /// Its part when it was last seen; none while there is no process.
    pub phase: Option<Phase>,
    /// Its epochs when it was last seen.
    pub promised: Promised,
    /// The newest list of members that this process took for the one in force.
    pub members: i64,
    /// The list that it goes by, as far as it is known to: as of its last turn.
    pub goes_by: i64,
    /// The version that the first list had when it last began to serve.
    pub dated: u64,
    /// Its vote when it was last seen.
    pub votes: Votes,
    /// Its clients' links.
    pub links: BTreeMap<LinkId, Link>,
    /// Whether one of them is [`Link::gone`].
    pub any_gone: bool,
}

impl Replica {
    /// A fresh server.
    pub fn fresh(tick_ms: u64, model: Model) -> Replica {
        Replica {
            model,
            applied: 0,
            said: 0,
            digest: None,
            shown: 0,
            log: Vec::new(),
            durable: 0,
            tree: None,
            tap: LogTap::default(),
            expiry: Expiry::new(tick_ms),
            acks: Acks::default(),
            phase: None,
            promised: Promised::default(),
            members: 0,
            goes_by: 0,
            dated: 0,
            votes: Votes::default(),
            links: BTreeMap::new(),
            any_gone: false,
        }
    }

    /// The newest transaction that it has logged.
    pub fn last(&self) -> i64 {
        self.log.last().copied().unwrap_or(0)
    }

    /// Its log behind a transaction.
    pub fn after(&self, zxid: i64) -> &[i64] {
        &self.log[self.log.partition_point(|one| *one <= zxid)..]
    }

    /// Its log up to a transaction.
    pub fn upto(&self, zxid: i64) -> &[i64] {
        &self.log[..self.log.partition_point(|one| *one <= zxid)]
    }

    /// Whether it holds a transaction such that no crash can take it.
    pub fn holds_durably(&self, zxid: i64) -> bool {
        zxid <= self.durable && self.log.binary_search(&zxid).is_ok()
    }

    /// What was applied, links that watch are owed.
    pub fn owe(&mut self, zxid: i64, applied: &Applied) {
        for fired in &applied.fired {
            for link in self.links.values_mut() {
                if link.watches.hear(fired, &link.ids) {
                    let owed = Owed { zxid, kind: fired.kind, path: fired.path.clone() };
                    link.owed.push_back(owed);
                }
            }
        }
    }

    /// The process is gone, and every link with it.
    pub fn crash(&mut self) {
        self.links.clear();
        self.tap.crashed();
        self.expiry.crashed();
        self.acks.crashed();
        (self.phase, self.said, self.votes) = (None, 0, Votes::default());
        self.members = 0;
    }
}
