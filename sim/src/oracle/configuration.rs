// SPDX-License-Identifier: Apache-2.0
//! One list of members belongs to a version, and it is in force nowhere before a quorum of the
//! members before it, and one of its own, hold durably the transaction that says so; no server goes
//! back behind one.
//!
//! So quorums are those of the list that is in force where a transaction stands, and for one that
//! changes the members, those of both.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_core::{
    config::Ensemble,
    id::{ServerId, Zxid},
    io::ConfigFile,
    proto::{ErrorCode, Request},
    quorum::Quorum,
    txn::{Txn, TxnHeader},
    zoo::Sound,
};

use super::{Check, Oracles, Property, Violation, asked::Arrived, commitment, ghost::Proposed};
use crate::{
    model::{Judged, Model, judge},
    probe::Probe,
};

/// Who belongs to an ensemble, and what that means.
#[derive(Clone, Debug)]
struct Configuration {
    /// None for a server alone.
    members: Option<Ensemble>,
    quorum: Quorum,
}

/// Every list of members that there was in a world.
#[derive(Clone, Debug)]
pub struct Configurations {
    first: Configuration,
    /// Those that any server logged, by the transaction.
    logged: BTreeMap<i64, Configuration>,
    /// Those that were committed.
    in_force: BTreeSet<i64>,
}

impl Configurations {
    /// Nothing has changed yet.
    pub fn new(first: Option<&Ensemble>) -> Configurations {
        let quorum = first.map_or_else(|| Quorum::majority([ServerId(1)]), Ensemble::quorum);
        let first = Configuration { members: first.cloned(), quorum };
        Configurations { first, logged: BTreeMap::new(), in_force: BTreeSet::new() }
    }

    /// A transaction was logged for the first time anywhere.
    pub fn log(&mut self, header: &TxnHeader, txn: &Txn<'_>) {
        if let Txn::SetData { data: Some(text), reconfig: true, .. } = txn
            && let Some(members) = Ensemble::from_text(text)
        {
            let quorum = members.quorum();
            let configuration = Configuration { members: Some(members), quorum };
            self.logged.insert(header.zxid.0, configuration);
        }
    }

    /// Transactions that never happened are forgotten.
    pub fn forget(&mut self, happened: impl Fn(i64) -> bool) {
        self.logged.retain(|zxid, _| happened(*zxid));
    }

    /// A transaction is committed, which may have changed the members.
    pub fn commit(&mut self, zxid: i64) {
        if self.logged.contains_key(&zxid) {
            self.in_force.insert(zxid);
        }
    }

    /// Who belonged to it at first.
    pub fn first(&self) -> Option<&Ensemble> {
        self.first.members.as_ref()
    }

    fn before(&self, zxid: i64) -> &Configuration {
        let last = self.in_force.range(..zxid).next_back();
        last.map_or(&self.first, |last| &self.logged[last])
    }

    /// The quorums of the list that was in force from `version` on.
    pub fn at(&self, version: i64) -> &Quorum {
        &self.before(version.saturating_add(1)).quorum
    }

    /// Whether a server's vote has weight in that list.
    pub fn is_eligible(&self, version: u64, server: ServerId) -> bool {
        self.at(version as i64).weight(server) > 0
    }

    /// The quorums that it takes to commit a transaction.
    pub fn deciding(&self, zxid: i64) -> impl Iterator<Item = &Quorum> {
        let next = self.logged.get(&zxid);
        std::iter::once(self.before(zxid)).chain(next).map(|one| &one.quorum)
    }

    /// The quorums that it may take to go on: those of the newest list that a quorum of its own
    /// takes for the one in force, so that any of its quorums knows, and of all later ones. `takes`
    /// tells the version of a server's list.
    pub fn open(&self, takes: impl Fn(ServerId) -> i64) -> impl Iterator<Item = &Quorum> {
        let known = |zxid: &&i64| self.logged[zxid].quorum.holds(Sound, |id| takes(id) >= **zxid);
        let known = self.in_force.iter().rev().find(known).copied().unwrap_or(0);
        let later = self.logged.range(known + 1..).map(|(_, one)| &one.quorum);
        std::iter::once(&self.before(known + 1).quorum).chain(later)
    }

    /// The quorums of all that ever was, or may have been, in force.
    pub fn all(&self) -> impl Iterator<Item = &Quorum> {
        std::iter::once(&self.first).chain(self.logged.values()).map(|one| &one.quorum)
    }

    /// The newest list that is in force: its version, 0 for the first one, and its quorums.
    pub fn newest(&self) -> (i64, &Quorum) {
        let version = self.in_force.last().copied().unwrap_or(0);
        (version, &self.before(i64::MAX).quorum)
    }

    /// The same list; none for a server alone.
    pub fn newest_members(&self) -> Option<&Ensemble> {
        self.before(i64::MAX).members.as_ref()
    }

    /// Whether a server, counted from 0, belongs to the ensemble now.
    pub fn names(&self, server: usize) -> bool {
        let named = |members: &Ensemble| members.members().contains_key(&(server as i64 + 1));
        self.newest_members().is_none_or(named)
    }

    /// Whether any list names a server.
    pub fn ever_named(&self, server: ServerId) -> bool {
        let mut lists = std::iter::once(&self.first).chain(self.logged.values());
        lists.any(|one| {
            one.members.as_ref().is_some_and(|members| members.members().contains_key(&server.0))
        })
    }
}

impl Oracles {
    /// A server takes a list for the one that is in force, or hears of one that may come.
    pub fn configures(&mut self, server: usize, file: &ConfigFile) -> Check {
        let version =
            file.name.rsplit('.').next().and_then(|end| i64::from_str_radix(end, 16).ok());
        let Some(version) = version.filter(|_| file.in_force) else { return Ok(()) };
        let verdict = self.comes_into_force(server, version, &file.text);
        self.ghost.off.pardon(verdict)?;
        let votes = self.ghost.configurations.newest().1.is_voter(ServerId(server as i64 + 1));
        if self.leader() == Some(server) && !votes {
            self.seen.push(Probe::LeaderLeft);
        }
        Ok(())
    }

    fn comes_into_force(&mut self, server: usize, version: i64, text: &str) -> Check {
        let (zxid, number) = (Zxid(version), server + 1);
        let replica = &mut self.ghost.replicas[server];
        if version <= replica.members {
            let before = Zxid(replica.members);
            return broken(format!(
                "server {number} goes back to the members of {zxid} from {before}"
            ));
        }
        replica.members = version;
        let configurations = &self.ghost.configurations;
        // The list of the first files is dated by the epoch that it is first led in.
        let dated = zxid.counter() == 0;
        let known =
            if dated { Some(&configurations.first) } else { configurations.logged.get(&version) };
        let Some(known) = known else {
            return broken(format!("server {number} has members of {zxid}, which nobody logged"));
        };
        let of_version = known.members.clone().map(|members| members.with_version(0).to_string());
        if of_version != Some(format!("{text}\nversion=0")) {
            return broken(format!("server {number} has other members of {zxid}: {text}"));
        }
        let held =
            configurations.in_force.contains(&version) || commitment::is_held(&self.ghost, version);
        if !dated && !held {
            let what = "which no quorum of those before, and of their own, holds";
            return broken(format!("server {number} has members of {zxid}, {what}"));
        }
        self.ghost.configurations.commit(version);
        Ok(())
    }
}

/// Whether a transaction is what a request for other members must become. Whether others were under
/// way, and how many of the next ones were up to date, only the leader knew.
pub fn fits(model: &Model, proposed: &Proposed, arrived: &Arrived, request: &Request<'_>) -> bool {
    let header = &proposed.header;
    let judged = judge(model, header, &arrived.caller(), request);
    let logged = Judged { op: header.op, body: proposed.body.clone() };
    let refused = |code: ErrorCode| logged == Judged::refused(code);
    // A leader that has applied the last change knows of no other.
    let changed = model.node(b"/zookeeper/config").map_or(0, |node| node.stat.mzxid.0);
    judged == logged
        || refused(ErrorCode::ReconfigInProgress) && changed > arrived.applied
        // The version that the list of the first files was dated with, the model does not know.
        || refused(ErrorCode::BadVersion) && Zxid(changed).counter() == 0
        || refused(ErrorCode::NewConfigNoQuorum)
            && (judged.op == menagerie_core::proto::OpCode::Reconfig.code()
                || judged == Judged::refused(ErrorCode::NoAuth))
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Configuration, what))
}
