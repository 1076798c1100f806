// SPDX-License-Identifier: Apache-2.0
//! What really happened, as no process can see it: every transaction that any server logged (read
//! from its log writes), the one sequence of those that anybody was shown, the model at its end,
//! and each server by itself ([`Replica`]).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use menagerie_core::{
    id::{LinkId, Zxid},
    jute::Reader,
    proto::OpCode,
    txn::{Txn, TxnDigest, TxnEntry, TxnHeader},
};

use super::{
    Check, Property, Violation, agreement,
    asked::{Arrived, Outcome},
    commitment,
    configuration::Configurations,
    digests, ephemerals,
    off::Off,
    order,
    replica::Replica,
    writes,
};
use crate::{
    model::{Model, changes_quotas},
    scenario::Scenario,
};

/// A transaction that some server logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposed {
    /// Its header.
    pub header: TxnHeader,
    /// Its body.
    pub body: Vec<u8>,
    /// The digest that was logged behind it.
    pub digest: Option<TxnDigest>,
}

/// The ghost state.
#[derive(Clone, Debug)]
pub struct Ghost {
    /// The servers.
    pub replicas: Vec<Replica>,
    /// One that begins with an empty disk.
    pub empty: Replica,
    /// Which of them belong to the ensemble, and may decide.
    pub configurations: Configurations,
    /// The transactions that were logged anywhere, with how many requests had arrived by then.
    pub history: BTreeMap<i64, (Arc<Proposed>, u64)>,
    /// Those that anybody was shown, in order.
    pub committed: Vec<i64>,
    /// The model after all of them.
    pub model: Model,
    /// The newest epoch that anybody led.
    pub epoch: u32,
    /// The newest zxid that any client was told.
    pub told: i64,
    /// How many requests arrived.
    pub requests: u64,
    /// Writes that arrived and have not become a committed transaction, by session and xid.
    pub waiting: BTreeMap<(i64, i32), VecDeque<Arc<Arrived>>>,
    /// What committed requests came to, until their reply.
    pub outcomes: BTreeMap<u64, Outcome>,
    /// The links that asked for sessions that there were.
    pub homes: BTreeMap<i64, BTreeSet<LinkId>>,
    /// The servers where sessions were last taken up.
    pub seats: BTreeMap<i64, usize>,
    /// Sessions whose closing was proposed.
    pub closing: BTreeSet<i64>,
    /// How many transactions were proposed.
    pub proposed: u64,
    /// Who logged the newest transaction first, if nobody has looked yet who leads its epoch.
    pub unled: Option<(usize, Zxid)>,
    /// Promises that nobody looks at.
    pub off: Off,
    /// The newest transaction that changed quotas.
    quotas_changed: i64,
    /// The newest transaction that may have been judged before that one was applied.
    quotas_young: i64,
}

impl Ghost {
    /// The ghost of a world's fresh servers.
    pub fn fresh(scenario: &Scenario) -> Ghost {
        let first = scenario.first();
        let mut model = Model::fresh();
        if let Some(members) = first {
            model.show_members(members);
        }
        model.enforces_quotas = scenario.servers[0].security.enforce_quota;
        model.version_step = scenario.servers[0].storage.version_step;
        model.reconfigures = scenario.changes();
        let empty = Replica::fresh(scenario.tick_ms(), model.clone());
        Ghost {
            replicas: vec![empty.clone(); scenario.servers.len()],
            empty,
            configurations: Configurations::new(first),
            history: BTreeMap::new(),
            committed: Vec::new(),
            model,
            epoch: 0,
            told: 0,
            requests: 0,
            waiting: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            homes: BTreeMap::new(),
            seats: BTreeMap::new(),
            closing: BTreeSet::new(),
            proposed: 0,
            unled: None,
            off: Off::default(),
            quotas_changed: 0,
            quotas_young: 0,
        }
    }

    /// Whether there is one server only.
    pub fn is_alone(&self) -> bool {
        self.replicas.len() == 1
    }

    /// The newest transaction that anybody logged.
    pub fn newest(&self) -> i64 {
        self.history.last_key_value().map_or(0, |(zxid, _)| *zxid)
    }

    /// What anybody was shown, up to a transaction.
    pub fn upto(&self, zxid: i64) -> &[i64] {
        &self.committed[..self.committed.partition_point(|one| *one <= zxid)]
    }

    /// A server wrote a transaction to its log.
    pub fn log(&mut self, server: usize, entry: &TxnEntry<'_>) -> Check {
        let header = entry.header;
        let zxid = header.zxid.0;
        let replica = &mut self.replicas[server];
        if let Some(last) = replica.log.last().copied() {
            self.off.pardon(order::logged(server, last, zxid))?;
            if zxid <= last {
                return Ok(());
            }
        }
        replica.log.push(zxid);
        let mut body = Vec::new();
        entry.txn.encode(&mut body);
        let proposed = Proposed { header, body, digest: entry.digest };
        if let Some((known, _)) = self.history.get(&zxid) {
            return self.off.pardon(agreement::same(server, known, &proposed));
        }
        self.configurations.log(&header, &entry.txn);
        self.unled = Some((server, header.zxid));
        if header.op == OpCode::CloseSession.code() {
            self.closing.insert(header.session.0);
        }
        self.proposed += 1;
        self.history.insert(zxid, (Arc::new(proposed), self.requests));
        Ok(())
    }

    /// Brings a server's model up to a zxid that it says it has applied.
    pub fn advance(&mut self, server: usize, to: i64) -> Check {
        let replica = &mut self.replicas[server];
        replica.said = replica.said.max(to);
        // An epoch begins with a zxid that no transaction has.
        let begins = Zxid(to).counter() == 0;
        let to = if begins { replica.upto(to).last().copied().unwrap_or(0) } else { to };
        if to < replica.applied {
            let what =
                format!("{} is said after {}: time runs back", Zxid(to), Zxid(replica.applied));
            return self.off.pardon(Err(Violation::new(Property::ExactTree, what)));
        }
        while let Some(next) = self.replicas[server].after(self.replicas[server].applied).first() {
            let next = *next;
            if next > to {
                break;
            }
            match self.committed.get(self.replicas[server].shown) {
                Some(known) if *known == next => {}
                Some(known) => self.off.pardon(agreement::parted(server, next, *known))?,
                None => self.commit(server, next)?,
            }
            self.show(server, next)?;
        }
        self.off.pardon(agreement::whole(self, server, to))
    }

    /// A server is the first to show a transaction: from here on it is history.
    fn commit(&mut self, server: usize, zxid: i64) -> Check {
        self.off.pardon(commitment::shown(self, server, zxid))?;
        let (proposed, asked) = self.history[&zxid].clone();
        let header = proposed.header;
        let txn = decode(&proposed)?;
        let (request, fits) = self.claim(&proposed, &txn, asked);
        let known = request.as_ref().map_or(0, |arrived| arrived.applied);
        let young = self.quotas_changed > known || self.quotas_young > known;
        if !fits {
            let written = writes::check(&self.model, &proposed, request.as_deref(), &txn, young);
            self.off.pardon(written)?;
        }
        self.off.pardon(ephemerals::check(&self.model, &header, &txn))?;
        let applied = self.model.apply(&header, &txn).map_err(|what| unfit(&header, &what))?;
        self.off.pardon(digests::check(&self.model, &header, proposed.digest))?;
        if changes_quotas(&txn) {
            self.quotas_changed = zxid;
        } else if known < self.quotas_changed {
            self.quotas_young = zxid;
        }
        if let Some(request) = &request {
            let outcome = Outcome { zxid, err: applied.err, body: applied.body };
            self.outcomes.insert(request.number, outcome);
        }
        self.committed.push(zxid);
        self.configurations.commit(zxid);
        Ok(())
    }

    /// A server that begins to serve shows the list that is in force there, until a transaction
    /// changes it.
    pub fn shows_members(&mut self, server: usize, version: u64) {
        let replica = &mut self.replicas[server];
        if Zxid(version.cast_signed()).counter() == 0 {
            replica.dated = version;
        }
        if let Some(first) = self.configurations.first() {
            replica.model.date_members(first, replica.dated);
        }
    }

    /// A server shows the next transaction of history.
    fn show(&mut self, server: usize, zxid: i64) -> Check {
        let (proposed, _) = &self.history[&zxid];
        let txn = decode(proposed)?;
        let replica = &mut self.replicas[server];
        let header = &proposed.header;
        let applied = replica.model.apply(header, &txn).map_err(|what| unfit(header, &what))?;
        replica.owe(zxid, &applied);
        (replica.applied, replica.digest) = (zxid, proposed.digest);
        replica.shown += 1;
        Ok(())
    }

    /// Takes the waiting request that a transaction comes from. A request that was lost with its
    /// server waits for ever, so of those with the same number the one that fits is taken. Says
    /// whether it does.
    fn claim(
        &mut self,
        proposed: &Proposed,
        txn: &Txn<'_>,
        asked: u64,
    ) -> (Option<Arc<Arrived>>, bool) {
        let key = (proposed.header.session.0, proposed.header.cxid);
        let Some(waiting) = self.waiting.get(&key) else { return (None, false) };
        let early = |arrived: &Arc<Arrived>| arrived.number <= asked;
        let fits = |arrived: &Arc<Arrived>| {
            self.has_moved(arrived, txn) || writes::fits(&self.model, proposed, arrived, txn)
        };
        let fitting = waiting.iter().position(|one| early(one) && fits(one));
        let own = || writes::is_own(&self.model, proposed, txn);
        let at = fitting.or_else(|| if own() { None } else { waiting.iter().position(early) });
        let Some(at) = at else { return (None, false) };
        let waiting = self.waiting.get_mut(&key).expect("it was there");
        let claimed = waiting.remove(at);
        if waiting.is_empty() {
            self.waiting.remove(&key);
        }
        (claimed, fitting.is_some())
    }

    /// Whether a transaction refuses a request because its session is on another link, and it may
    /// be: in which order a leader hears of links is not seen.
    fn has_moved(&self, arrived: &Arrived, txn: &Txn<'_>) -> bool {
        let other = |homes: &BTreeSet<LinkId>| homes.iter().any(|home| *home != arrived.link);
        writes::tells_of_a_move(txn) && self.homes.get(&arrived.session).is_some_and(other)
    }

    /// What is in no log and was shown to nobody never happened.
    pub fn forget_lost(&mut self) {
        let upto = self.committed.last().copied().unwrap_or(0);
        let logged = |zxid: &i64| {
            self.replicas.iter().any(|replica| replica.log.binary_search(zxid).is_ok())
        };
        self.history.retain(|zxid, _| *zxid <= upto || logged(zxid));
        self.configurations.forget(|zxid| self.history.contains_key(&zxid));
        let close = OpCode::CloseSession.code();
        let open = self.history.range(upto + 1..);
        let closes = open.filter(|(_, (proposed, _))| proposed.header.op == close);
        let closes = closes.map(|(_, (proposed, _))| proposed.header.session.0).collect();
        // In an ensemble a close may still be on its way to a leader.
        if self.is_alone() {
            self.closing = closes;
        }
    }

    /// Whether a session is open, as far as what was logged anywhere goes.
    pub fn is_open(&self, session: i64) -> bool {
        let create = OpCode::CreateSession.code();
        let upto = self.committed.last().copied().unwrap_or(0);
        let mut open = self.history.range(upto + 1..).map(|(_, (proposed, _))| proposed.header);
        self.model.sessions.contains_key(&session)
            || open.any(|header| header.session.0 == session && header.op == create)
    }

    /// A server alone came up again: what it was asked and had not logged is gone. In an ensemble
    /// that may be on its way to a leader.
    pub fn forget_asked(&mut self) {
        self.waiting.clear();
        self.outcomes.clear();
    }
}

fn decode(proposed: &Proposed) -> Result<Txn<'_>, Violation> {
    Txn::decode(proposed.header.op, &mut Reader::new(&proposed.body))
        .map_err(|_| Violation::new(Property::Writes, format!("{:?}: no body", proposed.header)))
}

fn unfit(header: &TxnHeader, what: &str) -> Violation {
    Violation::new(Property::ExactTree, format!("{}: {what}", header.zxid))
}
