// SPDX-License-Identifier: Apache-2.0
//! What really happened, as no process can see it: the history that the server proposed (read from
//! its own log writes), how much of it is durable, what each link asked and is owed, and the model
//! after the newest transaction that a reply has spoken of.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use menagerie_core::{
    id::{LinkId, Zxid},
    jute::{Reader, Record},
    proto::{OpCode, Request, RequestHeader},
    time::Instant,
    txn::{Txn, TxnDigest, TxnEntry, TxnHeader},
};

use super::{Check, Property, Violation, cutter::Cutter, digests, ephemerals, writes};
use crate::model::{Applied, Caller, Id, Model, Watches, changes_quotas};

/// A request that reached the server.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Its number among all requests of the world.
    pub number: u64,
    /// The session of its link.
    pub session: i64,
    /// Its xid.
    pub xid: i32,
    /// Its operation's number.
    pub op: i32,
    /// The whole frame, header included.
    pub frame: Vec<u8>,
    /// The identities of its link.
    pub ids: Vec<Id>,
    /// World time of its arrival.
    pub at: u64,
    /// The newest zxid that any client had been told by then.
    pub told: i64,
    /// The newest transaction that had been logged by then.
    pub logged: i64,
}

impl Arrived {
    /// The request, if its body can be read.
    pub fn request(&self) -> Option<Request<'_>> {
        let mut reader = Reader::new(&self.frame);
        let header = RequestHeader::decode(&mut reader).ok()?;
        Request::decode(header.op, &mut reader).ok()
    }

    /// Who asks.
    pub fn caller(&self) -> Caller {
        Caller { session: self.session, ids: self.ids.clone() }
    }

    /// Whether it becomes a transaction.
    pub fn is_write(&self) -> bool {
        use OpCode as O;
        matches!(
            OpCode::from_code(self.op),
            Some(
                O::Create
                    | O::Create2
                    | O::CreateContainer
                    | O::CreateTtl
                    | O::Delete
                    | O::SetData
                    | O::SetAcl
                    | O::Multi
                    | O::CloseSession
                    | O::Reconfig
            )
        )
    }
}

/// A transaction of the history.
#[derive(Clone, Debug)]
pub struct Proposed {
    /// Its header.
    pub header: TxnHeader,
    /// Its body.
    pub body: Vec<u8>,
    /// The digest that was logged behind it.
    pub digest: Option<TxnDigest>,
    /// The request it came from; none for the server's own.
    pub request: Option<Arc<Arrived>>,
}

/// What a request came to when its transaction was applied.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The transaction.
    pub zxid: i64,
    /// The error of the reply.
    pub err: i32,
    /// The body of the reply.
    pub body: Vec<u8>,
}

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

/// A link, as the server should see it.
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
    /// Whether the server knows that it is gone.
    pub gone: bool,
    /// Whether the server has hung up: what still arrives is not heard.
    pub hung_up: bool,
    /// Whether nothing more is owed: a session closed, nonsense received, a word asked.
    pub excused: bool,
}

impl Link {
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
    /// Whether the password is right.
    pub password_fits: bool,
    /// The newest zxid it has seen.
    pub last_seen: i64,
    /// When it arrived, by the server's clock.
    pub asked: Instant,
}

/// The ghost state.
#[derive(Clone, Debug)]
pub struct Ghost {
    /// The model after [`Ghost::applied`].
    pub model: Model,
    /// The newest transaction in the model.
    pub applied: i64,
    /// The transactions that were proposed and are not in the model yet.
    pub history: BTreeMap<i64, Proposed>,
    /// The newest transaction that was proposed.
    pub last: i64,
    /// The newest transaction of which it and all before are durable.
    pub durable: i64,
    /// The newest zxid that any client was told.
    pub told: i64,
    /// The links.
    pub links: BTreeMap<LinkId, Link>,
    /// Writes that arrived and have not become a transaction, by session and xid.
    pub waiting: BTreeMap<(i64, i32), VecDeque<Arc<Arrived>>>,
    /// What applied requests came to, until their reply.
    pub outcomes: BTreeMap<u64, Outcome>,
    /// Sessions whose closing was proposed.
    pub closing: BTreeSet<i64>,
    /// How many transactions were proposed.
    pub proposed: u64,
    /// The newest transaction that changed quotas.
    quotas_changed: i64,
    /// The newest transaction that may have been judged before that one was applied.
    quotas_young: i64,
}

impl Ghost {
    /// The ghost of a fresh server.
    pub fn fresh() -> Ghost {
        Ghost {
            model: Model::fresh(),
            applied: 0,
            history: BTreeMap::new(),
            last: 0,
            durable: 0,
            told: 0,
            links: BTreeMap::new(),
            waiting: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            closing: BTreeSet::new(),
            proposed: 0,
            quotas_changed: 0,
            quotas_young: 0,
        }
    }

    /// The server wrote a transaction to its log.
    pub fn propose(&mut self, entry: &TxnEntry<'_>) -> Check {
        let header = entry.header;
        let zxid = header.zxid.0;
        if zxid <= self.last {
            let last = Zxid(self.last);
            return writes::broken(format!("{} is logged after {last}", header.zxid));
        }
        let mut body = Vec::new();
        entry.txn.encode(&mut body);
        let request = self.claim(&header);
        if header.op == OpCode::CloseSession.code() {
            self.closing.insert(header.session.0);
        }
        let proposed = Proposed { header, body, digest: entry.digest, request };
        self.last = zxid;
        self.proposed += 1;
        self.history.insert(zxid, proposed);
        Ok(())
    }

    /// Takes the waiting request that a transaction comes from.
    fn claim(&mut self, header: &TxnHeader) -> Option<Arc<Arrived>> {
        let key = (header.session.0, header.cxid);
        let waiting = self.waiting.get_mut(&key)?;
        let claimed = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        claimed
    }

    /// Brings the model up to a zxid that the server says it has applied.
    pub fn advance(&mut self, to: i64) -> Check {
        if to < self.applied {
            return Err(Violation::new(
                Property::ExactTree,
                format!("{} is said after {}: time runs back", Zxid(to), Zxid(self.applied)),
            ));
        }
        while self.applied < to {
            let Some((zxid, proposed)) = self.history.pop_first() else {
                return writes::broken(format!("{} was never logged", Zxid(to)));
            };
            if zxid > to {
                return writes::broken(format!("{} was never logged", Zxid(to)));
            }
            self.applied = zxid;
            self.apply(&proposed)?;
        }
        Ok(())
    }

    fn apply(&mut self, proposed: &Proposed) -> Check {
        let header = proposed.header;
        let txn = Txn::decode(header.op, &mut Reader::new(&proposed.body))
            .map_err(|_| Violation::new(Property::Writes, format!("{header:?}: no body")))?;
        let told = proposed.request.as_ref().map_or(0, |arrived| arrived.told);
        let young = self.quotas_changed > told || self.quotas_young > told;
        writes::check(&self.model, proposed, &txn, young)?;
        ephemerals::check(&self.model, &header, &txn)?;
        let fits = |what| Violation::new(Property::ExactTree, format!("{}: {what}", header.zxid));
        let applied = self.model.apply(&header, &txn).map_err(fits)?;
        digests::check(&self.model, &header, proposed.digest)?;
        if changes_quotas(&txn) {
            self.quotas_changed = header.zxid.0;
        } else if told < self.quotas_changed {
            self.quotas_young = header.zxid.0;
        }
        self.owe(header.zxid.0, &applied);
        if let Some(request) = &proposed.request {
            let outcome = Outcome { zxid: header.zxid.0, err: applied.err, body: applied.body };
            self.outcomes.insert(request.number, outcome);
        }
        Ok(())
    }

    fn owe(&mut self, zxid: i64, applied: &Applied) {
        for fired in &applied.fired {
            for link in self.links.values_mut() {
                if link.watches.hear(fired, &link.ids) {
                    let owed = Owed { zxid, kind: fired.kind, path: fired.path.clone() };
                    link.owed.push_back(owed);
                }
            }
        }
    }

    /// The process is gone, and with it every link and every request that was not logged.
    pub fn crash(&mut self) {
        self.links.clear();
        self.waiting.clear();
        self.outcomes.clear();
    }
}
