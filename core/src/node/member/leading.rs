// SPDX-License-Identifier: Apache-2.0
//! The role of a leader: from its election on it speaks with its learners, and once a quorum
//! follows, its server orders everybody's writes.
//!
//! A turn goes round: what the server proposed goes to the learners, what a quorum has by now is
//! applied, which may release more writes to propose.

use alloc::{boxed::Box, format, string::ToString, sync::Arc, vec::Vec};

use super::{Member, Role, ensemble_of, ticks, told};
use crate::{
    config::{Ensemble, PeerRole},
    event::{Event, Level},
    id::{LinkId, OpId, ServerId, Zxid},
    io::{Effects, FileError, FileOutput, Frame},
    node::{Base, body::Body},
    serve::{Asking, Forwarded, Server, auth::Identities},
    store::ArchiveNews,
    time::{Instant, earliest},
    zab::{DiskLog, History, Leader, LeaderConfig, LeaderOrder, wire::ForwardedRequest},
    zoo::Zoo,
};

/// Rounds of a turn; what is left has one of its own.
const ROUNDS: usize = 4;

/// Transactions applied in one turn at most before the server serves.
const APPLIED_PER_TURN: usize = 1024;

/// A leader.
#[derive(Clone)]
pub(super) struct Leading<Z: Zoo> {
    pub leader: Leader<Z>,
    /// The epoch that it leads as soon as everything before is applied.
    catching_up: Option<u32>,
}

impl<Z: Zoo> Leading<Z> {
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let catching_up = self.catching_up.map(|_| now);
        earliest([catching_up, self.leader.poll_timeout()])
    }
}

impl<Z: Zoo> Member<Z> {
    /// This server was elected.
    pub(super) fn lead(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.read_no_more(fx);
        let (config, own) = (&base.config, ensemble_of(&base.config));
        let setup = LeaderConfig {
            me: self.me,
            quorums: self.membership.quorums(),
            members: self.membership.last_seen().members().keys().map(|id| ServerId(*id)).collect(),
            heard: self.heard,
            config_version: self.membership.last_seen().version().cast_signed(),
            config: self.membership.last_seen().to_string().into_bytes(),
            tick: core::time::Duration::from_millis(u64::from(config.tick_time_ms)),
            init_limit: ticks(config, own.init_limit),
            sync_limit: ticks(config, own.sync_limit),
            whole: config.peers.force_snapshot_sync,
            epoch_length: config.storage.epoch_length,
        };
        let nothing = History::new(base.zoo, 1, Zxid::ZERO);
        let history = core::mem::replace(&mut self.history, nothing);
        told(
            format!("server {} was elected, with everything up to {}", self.me, history.last()),
            fx,
        );
        let leader = Leader::start(base.zoo, setup, self.footing(), history, base.now.mono);
        let leading = Leading { leader, catching_up: None };
        self.role = Role::Leading(Box::new(leading));
        for (link, words) in core::mem::take(&mut self.callers) {
            self.command(base, fx, |leader, now, fx, orders| {
                leader.on_link_up(link, now);
                for word in &words {
                    leader.on_frame(link, Frame::Packet(word), now, fx, orders);
                }
            });
        }
    }

    pub(super) fn on_learner_frame(
        &mut self,
        base: &mut Base<Z>,
        link: LinkId,
        frame: Frame<'_>,
        fx: &mut Effects,
    ) {
        self.command(base, fx, |leader, now, fx, orders| {
            leader.on_frame(link, frame, now, fx, orders);
        });
    }

    pub(super) fn on_learner_down(&mut self, base: &mut Base<Z>, link: LinkId, fx: &mut Effects) {
        self.command(base, fx, |leader, _, _, orders| leader.on_link_down(link, orders));
    }

    pub(super) fn on_leading_time(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.command(base, fx, Leader::on_time);
    }

    /// Something that was read for a learner is there.
    pub(super) fn on_archive_file(
        &mut self,
        base: &mut Base<Z>,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        fx: &mut Effects,
    ) {
        let (now, mut orders) = (base.now.mono, Vec::new());
        let mut leader = match &mut self.role {
            Role::Leading(leading) => Some(&mut leading.leader),
            _ => None,
        };
        self.archive.on_file(op, result, &mut base.ids, fx, &mut |news, fx| {
            let Some(leader) = &mut leader else { return };
            match news {
                ArchiveNews::Survey { link, disk } => {
                    let disk = disk.map(|span| DiskLog {
                        first: span.first,
                        bytes: span.bytes,
                        most: span.most,
                    });
                    leader.on_survey(link, disk, fx);
                }
                ArchiveNews::Log { link, after, entries } => {
                    leader.on_log(link, after, entries.iter().copied(), now, fx, &mut orders);
                }
                ArchiveNews::Tree { link, zxid, bytes, last } => {
                    leader.on_tree(link, zxid, bytes, last, now, fx);
                }
                ArchiveNews::Failed { link, why } => leader.refuse(link, &why, fx, &mut orders),
            }
        });
        for order in orders {
            self.obey_leader(base, order, fx);
        }
    }

    /// Ends a turn of the leader.
    pub(super) fn flush_leading(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.catch_up(base, fx);
        for _ in 0..ROUNDS {
            let Role::Leading(leading) = &mut self.role else { return };
            if let Body::Serving(server) = &mut self.body {
                server.note_old_peer(leading.leader.has_old_learner(), fx);
                carry(server, &mut leading.leader);
                server.note_synced(self.me, leading.leader.synced());
                if let Some(next) = server.take_reconfigured() {
                    self.propose_members(base, next, fx);
                }
            }
            self.command(base, fx, Leader::flush);
            if !self.has_news() {
                return;
            }
        }
        self.busy = true;
    }

    /// Whether the server has something for the leader.
    fn has_news(&self) -> bool {
        match (&self.role, &self.body) {
            (Role::Leading(leading), Body::Serving(server)) => {
                server.asks() || server.proposals_after(leading.leader.last()).next().is_some()
            }
            _ => false,
        }
    }

    /// Applies what came before this server's epoch, and then serves.
    fn catch_up(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        let Role::Leading(leading) = &mut self.role else { return };
        let (Some(epoch), Body::Bare(replica)) = (leading.catching_up, &mut self.body) else {
            return;
        };
        if !replica.catch_up(APPLIED_PER_TURN, base.now.mono, fx) {
            return;
        }
        leading.catching_up = None;
        leading.leader.serve(base.now.mono, fx);
        let Body::Bare(replica) = self.body.take() else { unreachable!("matched above") };
        let mut server = self.new_server(base, *replica);
        server.lead(epoch, base.now);
        base.welcome(&mut server, fx);
        self.body = Body::Serving(Box::new(server));
        self.note_members(base);
    }

    /// The members of a configuration file have version 0. The first leader that others follow
    /// dates them with its epoch, so that they prevail over what servers that join have in their
    /// files (ZOOKEEPER-1783); its NEWLEADER says so.
    fn date_members(&mut self, epoch: u32, fx: &mut Effects) {
        if self.membership.last_seen().version() > 0 || !self.membership.is_enabled() {
            return;
        }
        let version = Zxid::new(epoch, 0);
        let dated = self.membership.in_force().clone();
        let dated = dated.with_version(version.0.cast_unsigned());
        if let Role::Leading(leading) = &mut self.role {
            leading.leader.date(version, dated.to_string().into_bytes());
        }
        self.membership.see(dated, fx);
    }

    /// The server has just proposed other members, and the leader the transaction that says so;
    /// more may have been proposed behind it.
    fn propose_members(&mut self, base: &mut Base<Z>, next: Ensemble, fx: &mut Effects) {
        let Role::Leading(leading) = &mut self.role else { return };
        let at = |members: &Ensemble| members.members().get(&self.me.0).cloned();
        let (before, after) = (at(self.membership.in_force()), at(&next));
        let stays = after.is_some_and(|after| {
            after.role == PeerRole::Participant
                && before.is_none_or(|before| before.addresses == after.addresses)
        });
        told(format!("members of version {:x} are proposed", next.version()), fx);
        let (zxid, text) = (Zxid(next.version().cast_signed()), next.to_string().into_bytes());
        leading.leader.reconfigure(zxid, next.quorum(), text, stays);
        self.membership.see(next, fx);
        self.meet(base, fx);
    }

    /// Members that were under way are in force.
    fn activate(&mut self, base: &mut Base<Z>, version: u64, fx: &mut Effects) {
        self.membership.arrive(version, fx);
        self.meet(base, fx);
    }

    /// Has the leader do something, and obeys it.
    fn command<'f>(
        &mut self,
        base: &mut Base<Z>,
        fx: &mut Effects,
        act: impl FnOnce(&mut Leader<Z>, Instant, &mut Effects, &mut Vec<LeaderOrder<'f>>),
    ) {
        let Role::Leading(leading) = &mut self.role else { return };
        let mut orders = Vec::new();
        act(&mut leading.leader, base.now.mono, fx, &mut orders);
        for order in orders {
            self.obey_leader(base, order, fx);
        }
    }

    fn obey_leader(&mut self, base: &mut Base<Z>, order: LeaderOrder<'_>, fx: &mut Effects) {
        let Role::Leading(leading) = &mut self.role else { return };
        match (order, &mut self.body) {
            (LeaderOrder::Accept { epoch }, _) => {
                self.epochs.accept(epoch, &mut base.ids, fx);
                self.date_members(epoch, fx);
            }
            (LeaderOrder::SetCurrent { epoch }, _) => {
                self.epochs.set_current(epoch, &mut base.ids, fx);
            }
            (LeaderOrder::Lead { epoch }, _) => {
                told(format!("server {} leads epoch {epoch}", self.me), fx);
                self.election.established(base.now.mono, epoch, fx);
                leading.catching_up = Some(epoch);
                let version = self.membership.last_seen().version();
                self.activate(base, version, fx);
                self.catch_up(base, fx);
            }
            (LeaderOrder::Activate { zxid }, _) => {
                self.activate(base, zxid.0.cast_unsigned(), fx);
            }
            (LeaderOrder::Survey { link, last }, _) => {
                self.archive.survey(link, last, &mut base.ids, fx);
            }
            (LeaderOrder::FetchLog { link, after }, body) => {
                let upto = body.durable().expect("a leader holds history");
                self.archive.fetch_log(link, after, upto, &mut base.ids, fx);
            }
            (LeaderOrder::FetchTree { link, least }, _) => {
                self.archive.fetch_tree(link, least, &mut base.ids, fx);
            }
            (LeaderOrder::Gone { link, why }, _) => {
                self.archive.gone(link, &mut base.ids, fx);
                let text = format!("a learner's link {} is over: {why}", link.0);
                fx.event(Event::Note { level: Level::Info, text });
            }
            (LeaderOrder::StepDown { why }, _) => self.end_role(&why, fx),
            (asked, Body::Serving(_)) => self.ask(base, asked, fx),
            (asked, _) => unreachable!("{asked:?} of a leader that does not serve"),
        }
    }

    /// Does what only a leader's server can.
    fn ask(&mut self, base: &mut Base<Z>, order: LeaderOrder<'_>, fx: &mut Effects) {
        let (Role::Leading(leading), Body::Serving(server)) = (&mut self.role, &mut self.body)
        else {
            return;
        };
        let now = base.now;
        match order {
            LeaderOrder::CommitTo { zxid } => server.commit_through(zxid, now, fx),
            LeaderOrder::Request { link, request } => {
                let ForwardedRequest { session, cxid, op, body, auth } = request;
                let identities = &Identities::forwarded(auth.into_iter().flatten());
                let write = Forwarded { session, cxid, op, body, identities };
                if !server.on_forwarded(link, &write, now) {
                    self.command(base, fx, |leader, _, fx, orders| {
                        leader.refuse(link, "it forwarded what is no write", fx, orders);
                    });
                }
            }
            LeaderOrder::Sync { link } => leading.leader.sync_of(link, server.proposed()),
            LeaderOrder::Revalidate { link, session, timeout_ms } => {
                let valid = server.revalidate(link, session, timeout_ms, now, fx);
                leading.leader.revalidated(link, session, valid, fx);
            }
            LeaderOrder::Touch { link, session, timeout_ms } => {
                server.touch(link, session, timeout_ms, now);
            }
            LeaderOrder::SyncAnswered => server.sync_answered(now, fx),
            other => unreachable!("{other:?} needs no server"),
        }
    }
}

/// Takes what the server proposed, and what its own clients ask, to the leader.
fn carry<Z: Zoo>(server: &mut Server<Z>, leader: &mut Leader<Z>) {
    for (zxid, entry) in server.proposals_after(leader.last()) {
        leader.propose(zxid, Arc::new(entry.to_vec()));
    }
    for asking in server.take_asking() {
        match asking {
            Asking::Request { .. } => leader.sync(),
            Asking::Revalidate { .. } => unreachable!("a leader knows all sessions"),
        }
    }
}
