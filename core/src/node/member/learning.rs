// SPDX-License-Identifier: Apache-2.0
//! The role of a learner: from the word whom to follow on it is brought up to date, and then serves
//! clients behind its leader.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use super::{Member, Role, dial_name, ensemble_of, swap::Swap, ticks, told};
use crate::{
    config::Ensemble,
    id::{DialId, LinkId, ServerId, Zxid},
    io::{Effect, Effects, Frame, Port},
    node::{Base, body::Body},
    serve::Asking,
    store::Recovered,
    time::Instant,
    txn,
    zab::{History, Learner, LearnerConfig, LearnerOrder, wire::ForwardedRequest},
    zoo::{Mutation, Zoo},
};

/// A learner.
#[derive(Clone)]
pub(super) struct Learning<Z: Zoo> {
    pub learner: Learner<Z>,
    pub leader: ServerId,
    pub observer: bool,
    pub link: Option<LinkId>,
    dialling: Option<DialId>,
    /// How often it was dialled: each time at the next of its addresses.
    tries: usize,
    /// Everything up to here is history.
    committed: Zxid,
    /// The last transaction that the disk is to hold when what replaces it is done.
    awaited: Zxid,
    /// The version of the configuration that came with NEWLEADER.
    members: Option<u64>,
}

impl<Z: Zoo> Member<Z> {
    /// This server was told whom to follow.
    pub(super) fn learn(&mut self, base: &mut Base<Z>, leader: ServerId, fx: &mut Effects) {
        self.read_no_more(fx);
        for link in core::mem::take(&mut self.callers).into_keys() {
            fx.push(Effect::HangUp { link });
        }
        let own = ensemble_of(&base.config);
        let setup = LearnerConfig {
            me: self.me,
            observer: self.is_observer(),
            blank: self.is_blank(base),
            config_version: self.membership.in_force().version().cast_signed(),
            init_limit: ticks(&base.config, own.init_limit),
            sync_limit: ticks(&base.config, own.sync_limit),
        };
        told(format!("server {} is to follow server {leader}", self.me), fx);
        let nothing = History::new(base.zoo, 1, Zxid::ZERO);
        let history = core::mem::replace(&mut self.history, nothing);
        let (now, footing) = (base.now.mono, self.footing());
        let learner = Learner::start(base.zoo, setup, footing, history, now);
        self.role = Role::Learning(Box::new(Learning {
            learner,
            leader,
            observer: setup.observer,
            link: None,
            dialling: None,
            tries: 0,
            committed: Zxid::ZERO,
            awaited: Zxid::ZERO,
            members: None,
        }));
        self.dial(base, fx);
    }

    fn dial(&mut self, base: &Base<Z>, fx: &mut Effects) {
        let Role::Learning(learning) = &mut self.role else { return };
        let own = ensemble_of(&base.config);
        let at = |members: &Ensemble| members.members().get(&learning.leader.0).cloned();
        let known = at(self.membership.last_seen()).or_else(|| at(self.membership.in_force()));
        let addresses = known.expect("only members are elected").addresses;
        let address = &addresses[learning.tries % addresses.len()];
        learning.tries += 1;
        self.dials += 1;
        let dial = dial_name(self.dials);
        learning.dialling = Some(dial);
        fx.push(Effect::Dial {
            dial,
            port: Port::Quorum,
            host: address.host.clone(),
            number: address.quorum_port,
            timeout: ticks(&base.config, own.sync_limit),
        });
    }

    /// A link that this server dialled is there.
    pub(super) fn on_leader_link(
        &mut self,
        base: &mut Base<Z>,
        link: LinkId,
        dial: DialId,
        fx: &mut Effects,
    ) {
        match &mut self.role {
            Role::Learning(learning) if learning.dialling == Some(dial) => {
                learning.dialling = None;
                learning.link = Some(link);
                learning.learner.on_link_up(link, base.now.mono, fx);
            }
            // It was dialled in a role that is over.
            _ => fx.push(Effect::HangUp { link }),
        }
    }

    pub(super) fn on_leader_away(
        &mut self,
        base: &mut Base<Z>,
        dial: DialId,
        why: &str,
        fx: &mut Effects,
    ) {
        let Role::Learning(learning) = &mut self.role else { return };
        if learning.dialling.take_if(|under_way| *under_way == dial).is_some() {
            told(format!("server {} cannot be reached to follow it: {why}", learning.leader), fx);
            self.teach(base, fx, |learner, now, fx, orders| {
                learner.on_dial_failed(now, fx, orders);
            });
        }
    }

    pub(super) fn on_leader_down(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.teach(base, fx, |learner, _, fx, orders| learner.on_link_down(fx, orders));
    }

    pub(super) fn on_leader_frame(
        &mut self,
        base: &mut Base<Z>,
        frame: Frame<'_>,
        fx: &mut Effects,
    ) {
        self.teach(base, fx, |learner, now, fx, orders| learner.on_frame(frame, now, fx, orders));
    }

    pub(super) fn on_learning_time(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.teach(base, fx, Learner::on_time);
    }

    /// Ends a turn of the learner: what clients want goes up.
    pub(super) fn flush_learning(&mut self, fx: &mut Effects) {
        let (Role::Learning(learning), Body::Serving(server)) = (&self.role, &mut self.body) else {
            return;
        };
        for asking in server.take_asking() {
            match asking {
                Asking::Request { session, cxid, op, body, identities } => {
                    let auth = Some(identities.iter().collect());
                    let request = ForwardedRequest { session, cxid, op, body: &body, auth };
                    learning.learner.request(request, fx);
                }
                Asking::Revalidate { session, timeout_ms } => {
                    learning.learner.revalidate(session, timeout_ms, fx);
                }
            }
        }
    }

    /// Ends the role.
    pub(super) fn learn_no_more(&mut self, base: &mut Base<Z>, why: &str, fx: &mut Effects) {
        self.teach(base, fx, |learner, _, fx, orders| learner.give_up(why, fx, orders));
    }

    /// The disk holds another history now.
    pub(super) fn swapped(&mut self, base: &mut Base<Z>, found: Recovered<Z>, fx: &mut Effects) {
        let last = found.zxid;
        self.take_in(base, found);
        let Role::Learning(learning) = &mut self.role else { return };
        if learning.awaited == last {
            let held = learning.learner.on_replaced(last, base.now.mono, fx);
            for packet in held {
                self.on_leader_frame(base, Frame::Packet(&packet), fx);
            }
        } else {
            let why = format!("the disk ends with {last}, and not as the leader wanted");
            self.learn_no_more(base, &why, fx);
        }
    }

    /// Has the learner do something, and obeys it.
    pub(super) fn teach<'f>(
        &mut self,
        base: &mut Base<Z>,
        fx: &mut Effects,
        act: impl FnOnce(&mut Learner<Z>, Instant, &mut Effects, &mut Vec<LearnerOrder<'f>>),
    ) {
        let Role::Learning(learning) = &mut self.role else { return };
        let mut orders = Vec::new();
        act(&mut learning.learner, base.now.mono, fx, &mut orders);
        for order in orders {
            if let Err(why) = self.obey_learner(base, order, fx) {
                return self.learn_no_more(base, &why, fx);
            }
        }
    }

    /// An error says what is wrong with what the leader sent.
    fn obey_learner(
        &mut self,
        base: &mut Base<Z>,
        order: LearnerOrder<'_>,
        fx: &mut Effects,
    ) -> Result<(), String> {
        let now = base.now;
        let Role::Learning(learning) = &mut self.role else { return Ok(()) };
        match (order, &mut self.body) {
            (LearnerOrder::Dial, _) => self.dial(base, fx),
            (LearnerOrder::Accept { epoch }, _) => self.epochs.accept(epoch, &mut base.ids, fx),
            (LearnerOrder::SetCurrent { epoch }, _) => {
                self.epochs.set_current(epoch, &mut base.ids, fx);
            }
            (LearnerOrder::Append { zxid, entry }, body) => {
                append(base, body, zxid, &entry)?;
                self.look_for_members(base, &entry, fx);
            }
            (LearnerOrder::Config { text }, _) => {
                if let Some(next) = Ensemble::from_text(text) {
                    learning.members = Some(next.version());
                    self.membership.see(next, fx);
                    self.meet(base, fx);
                }
            }
            (LearnerOrder::Activate { zxid, leader }, _) => {
                self.activate_behind(base, zxid.0.cast_unsigned(), Some(leader), fx)?;
            }
            (LearnerOrder::Tree { zxid, bytes, last }, body) => {
                learning.awaited = zxid;
                load(base, body, zxid, bytes, last)?;
            }
            (LearnerOrder::Truncate { to }, body) => {
                learning.awaited = to;
                let Body::Bare(replica) = body.take() else {
                    unreachable!("a log is cut before it is served from")
                };
                *body = Body::Swapping(Box::new(Swap::cut(*replica, to)));
            }
            (LearnerOrder::CommitTo { zxid }, body) => {
                learning.committed = zxid;
                if let Body::Serving(server) = body {
                    server.commit_through(zxid, now, fx);
                }
            }
            (LearnerOrder::Serve { old_leader, ours }, _) => {
                self.activate_told(base, fx)?;
                self.serve_behind(base, old_leader, ours, fx);
            }
            (LearnerOrder::Pong { zxid }, Body::Serving(server)) => {
                learning.learner.pong(zxid, server.take_touched(), fx);
            }
            (LearnerOrder::Pong { zxid }, _) => learning.learner.pong(zxid, [], fx),
            (LearnerOrder::Revalidated { session, valid }, Body::Serving(server)) => {
                server.revalidated(session, valid, now, fx);
            }
            (LearnerOrder::SyncAnswered, Body::Serving(server)) => server.sync_answered(now, fx),
            (LearnerOrder::Revalidated { .. } | LearnerOrder::SyncAnswered, _) => {}
            (LearnerOrder::StepDown { why }, _) => self.end_role(&why, fx),
        }
        Ok(())
    }

    /// A transaction that was logged may change the members.
    fn look_for_members(&mut self, base: &Base<Z>, entry: &[u8], fx: &mut Effects) {
        let enabled = self.membership.is_enabled();
        if let Some(text) = txn::reconfigured(entry).filter(|_| enabled)
            && let Some(next) = Ensemble::from_text(text)
        {
            if base.zoo.has(Mutation::ProposedMembersInForce) {
                self.membership.adopt(next, fx);
            } else {
                self.membership.see(next, fx);
            }
            self.meet(base, fx);
        }
    }

    /// The members that the leader told of with NEWLEADER are in force, unless they are what a
    /// transaction asks for that is not committed.
    fn activate_told(&mut self, base: &Base<Z>, fx: &mut Effects) -> Result<(), String> {
        let Role::Learning(learning) = &self.role else { return Ok(()) };
        let begun = Zxid::new(learning.learner.epoch(), 0).max(learning.committed);
        match learning.members.filter(|version| *version <= begun.0.cast_unsigned()) {
            Some(version) => self.activate_behind(base, version, None, fx),
            None => Ok(()),
        }
    }

    /// Members that were under way are in force, under this leader if one was named. An error says
    /// that this server cannot go on as what it is, or behind whom it follows.
    fn activate_behind(
        &mut self,
        base: &Base<Z>,
        version: u64,
        named: Option<ServerId>,
        fx: &mut Effects,
    ) -> Result<(), String> {
        let other = self.membership.arrive(version, fx);
        self.meet(base, fx);
        let Role::Learning(learning) = &self.role else { return Ok(()) };
        let leader = learning.leader;
        let leads = self.membership.in_force().voters().any(|voter| voter == leader);
        let changes = named.map_or(!leads, |named| named != leader);
        if other && (changes || self.is_observer() != learning.observer) {
            self.appointed = named;
            return Err(format!("members of version {version:x} are in force"));
        }
        Ok(())
    }

    /// UPTODATE.
    fn serve_behind(&mut self, base: &mut Base<Z>, old_leader: bool, ours: bool, fx: &mut Effects) {
        let Role::Learning(learning) = &mut self.role else { return };
        let epoch = learning.learner.epoch();
        told(format!("server {} follows server {} in epoch {epoch}", self.me, learning.leader), fx);
        let Body::Bare(replica) = self.body.take() else {
            unreachable!("a learner serves once it is up to date")
        };
        let committed = learning.committed;
        let mut server = self.new_server(base, *replica);
        server.learn(committed, ours.then_some(epoch));
        server.note_old_peer(old_leader, fx);
        base.welcome(&mut server, fx);
        self.body = Body::Serving(Box::new(server));
        self.election.established(base.now.mono, epoch, fx);
    }
}

/// A transaction goes to the log.
fn append<Z: Zoo>(
    base: &Base<Z>,
    body: &mut Body<Z>,
    zxid: Zxid,
    entry: &[u8],
) -> Result<(), String> {
    let done = match body {
        Body::Bare(replica) => replica.append(zxid, entry, base.now.mono),
        Body::Serving(server) => server.on_proposal(zxid, entry, base.now),
        Body::Swapping(_) | Body::Between => {
            unreachable!("nothing comes while the log is replaced")
        }
    };
    done.map_err(|_| format!("{zxid} is no transaction that this version knows"))
}

/// Bytes of a tree go where the tree is made.
fn load<Z: Zoo>(
    base: &Base<Z>,
    body: &mut Body<Z>,
    zxid: Zxid,
    bytes: &[u8],
    last: bool,
) -> Result<(), String> {
    *body = match body.take() {
        Body::Bare(replica) => Body::Swapping(Box::new(Swap::tree(base, *replica, zxid))),
        other => other,
    };
    let Body::Swapping(swap) = body else { unreachable!("a tree comes before it is served from") };
    swap.push(bytes, last).map_err(|fault| format!("the leader's tree is none: {fault}"))
}
