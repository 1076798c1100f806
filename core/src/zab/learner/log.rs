// SPDX-License-Identifier: Apache-2.0
//! What a learner logs, what is history of it, and when it acknowledges it.

use alloc::{borrow::Cow, format, string::String, sync::Arc};

use super::{Learner, Mode, Orders};
use crate::{
    id::Zxid,
    io::Effects,
    jute::{Reader, Record},
    txn::TxnHeader,
    zab::{LearnerOrder, wire::FromLearner},
    zoo::{Mutation, Zoo},
};

impl<Z: Zoo> Learner<Z> {
    pub(super) fn append<'f>(
        &mut self,
        zxid: Zxid,
        entry: &'f [u8],
        orders: &mut Orders<'f>,
    ) -> Result<(), String> {
        let last = self.history.last();
        if zxid <= self.in_tree || zxid == last && self.mode == Mode::Following {
            return Ok(());
        }
        let header = TxnHeader::decode(&mut Reader::new(entry));
        if !self.is_possible(zxid) || !header.is_ok_and(|header| header.zxid == zxid) {
            return Err(format!("what was proposed as {zxid} is another transaction"));
        }
        if self.zoo.has(Mutation::DiffTargetClaimed) && zxid <= last {
            orders.push(LearnerOrder::Append { zxid, entry: Cow::Borrowed(entry) });
            return Ok(());
        }
        if !zxid.follows(last) {
            return Err(format!("{zxid} was proposed where what follows {last} should be"));
        }
        self.history.push(zxid, Arc::new(entry.to_vec()));
        if self.logs_late() && self.mode != Mode::Following {
            return Ok(());
        }
        if !self.config.observer {
            self.unacked.push_back(zxid);
        }
        orders.push(LearnerOrder::Append { zxid, entry: Cow::Borrowed(entry) });
        if self.zoo.has(Mutation::AppliesProposals) {
            orders.push(LearnerOrder::CommitTo { zxid });
        }
        Ok(())
    }

    pub(super) fn commit(&mut self, zxid: Zxid, orders: &mut Orders<'_>) -> Result<(), String> {
        let joining = matches!(self.mode, Mode::Settling { .. } | Mode::Waiting);
        assert!(!joining || !self.zoo.has(Mutation::JoinerDiesOfCommits), "{zxid} comes early");
        if self.zoo.has(Mutation::DiffTargetClaimed) && zxid <= self.history.committed() {
            return Ok(());
        }
        let again = zxid == self.history.committed() && self.mode == Mode::Following;
        if zxid <= self.in_tree || again || joining && self.zoo.has(Mutation::JoinerDropsCommits) {
            return Ok(());
        }
        match self.history.after(self.history.committed()) {
            Some((next, _)) if next == zxid => {}
            Some((next, _)) => return Err(format!("{zxid} was committed where {next} is next")),
            None => return Err(format!("{zxid} was committed and never proposed")),
        }
        self.history.commit(zxid, self.footing.durable);
        if self.mode == Mode::Following {
            orders.push(LearnerOrder::CommitTo { zxid });
        }
        Ok(())
    }

    pub(super) fn inform<'f>(
        &mut self,
        zxid: Zxid,
        entry: &'f [u8],
        orders: &mut Orders<'f>,
    ) -> Result<(), String> {
        if self.mode != Mode::Following && self.zoo.has(Mutation::ObserverDropsInforms) {
            return Ok(());
        }
        // While it joined, the transaction may have been proposed to it.
        if zxid > self.history.last() {
            self.append(zxid, entry, orders)?;
        }
        self.commit(zxid, orders)
    }

    /// Acknowledges what is durable by now.
    pub(super) fn ack(&mut self, fx: &mut Effects) {
        let durable = self.footing.durable;
        while let Some(zxid) = self.unacked.pop_front_if(|waiting| *waiting <= durable) {
            let last = self.unacked.front().is_none_or(|waiting| *waiting > durable);
            if last || !self.zoo.has(Mutation::AcksTogether) {
                self.say(&FromLearner::Ack { zxid }, fx);
            }
        }
    }

    /// Whether what comes ahead of NEWLEADER waits for UPTODATE; only in the zoo.
    pub(super) fn logs_late(&self) -> bool {
        self.zoo.has(Mutation::SyncLoggedAtUpToDate)
    }

    /// Orders point into frames, and these are gone.
    pub(super) fn log_late(&mut self, orders: &mut Orders<'_>) {
        let mut at = self.footing.durable;
        while let Some((zxid, entry)) = self.history.after(at) {
            orders.push(LearnerOrder::Append { zxid, entry: Cow::Owned(entry.to_vec()) });
            at = zxid;
        }
    }
}
