// SPDX-License-Identifier: Apache-2.0
//! The role of a leader: from its election on it speaks with its learners, and once a quorum
//! follows, its server orders everybody's writes.
//!
//! A turn goes round: what the server proposed goes to the learners, what a quorum has by now is
//! applied, which may release more writes to propose.

use alloc::{boxed::Box, collections::VecDeque, format, sync::Arc, vec::Vec};

use super::{Member, Role, ensemble_of, quorums, ticks, told};
use crate::{
    event::{Event, Level},
    id::{LinkId, OpId, SessionId, Zxid},
    io::{Effects, FileError, FileOutput},
    node::{Base, body::Body},
    serve::{Asking, Forwarded, Server, auth::Identities},
    store::ArchiveNews,
    time::{Instant, earliest},
    zab::{DiskLog, History, Leader, LeaderConfig, LeaderOrder, QuorumFrame},
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
    /// What learners wanted before the server was there.
    asked: VecDeque<Asked>,
}

/// What a learner wants of the server.
#[derive(Clone, Debug)]
enum Asked {
    Write {
        link: LinkId,
        session: SessionId,
        cxid: i32,
        op: i32,
        body: Box<[u8]>,
        identities: Identities,
    },
    Revalidate {
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
    },
    Touch {
        link: LinkId,
        session: SessionId,
        timeout_ms: i32,
    },
}

/// An order that is obeyed once the machine has had its say.
enum Todo {
    Accept(u32),
    SetCurrent(u32),
    Lead(u32),
    CommitTo(Zxid),
    Survey(LinkId, Zxid),
    FetchLog(LinkId, Zxid),
    FetchTree(LinkId, Zxid),
    Gone(LinkId, alloc::string::String),
    Ask(Asked),
    SyncAnswered,
    StepDown(alloc::string::String),
}

impl Todo {
    fn of(order: LeaderOrder<'_>) -> Todo {
        match order {
            LeaderOrder::Accept { epoch } => Todo::Accept(epoch),
            LeaderOrder::SetCurrent { epoch } => Todo::SetCurrent(epoch),
            LeaderOrder::Lead { epoch } => Todo::Lead(epoch),
            LeaderOrder::CommitTo { zxid } => Todo::CommitTo(zxid),
            LeaderOrder::Survey { link, last } => Todo::Survey(link, last),
            LeaderOrder::FetchLog { link, after } => Todo::FetchLog(link, after),
            LeaderOrder::FetchTree { link, least } => Todo::FetchTree(link, least),
            LeaderOrder::Gone { link, why } => Todo::Gone(link, why.into()),
            LeaderOrder::Request { link, request } => Todo::Ask(Asked::Write {
                link,
                session: request.session,
                cxid: request.cxid,
                op: request.op,
                body: request.body.into(),
                identities: Identities::forwarded(request.auth.into_iter().flatten()),
            }),
            LeaderOrder::Revalidate { link, session, timeout_ms } => {
                Todo::Ask(Asked::Revalidate { link, session, timeout_ms })
            }
            LeaderOrder::Touch { link, session, timeout_ms } => {
                Todo::Ask(Asked::Touch { link, session, timeout_ms })
            }
            LeaderOrder::SyncAnswered => Todo::SyncAnswered,
            LeaderOrder::StepDown { why } => Todo::StepDown(why),
        }
    }
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
        let (config, own) = (&base.config, ensemble_of(&base.config));
        let setup = LeaderConfig {
            me: self.me,
            quorums: quorums(own),
            config_version: own.ensemble.version().cast_signed(),
            config: format!("{}", own.ensemble).into_bytes(),
            tick: core::time::Duration::from_millis(u64::from(config.tick_time_ms)),
            init_limit: ticks(config, own.init_limit),
            sync_limit: ticks(config, own.sync_limit),
            whole: false,
        };
        let nothing = History::new(base.zoo, 1, Zxid::ZERO);
        let history = core::mem::replace(&mut self.history, nothing);
        told(
            format!("server {} was elected, with everything up to {}", self.me, history.last()),
            fx,
        );
        let leader = Leader::start(base.zoo, setup, self.footing(), history, base.now.mono);
        let leading = Leading { leader, catching_up: None, asked: VecDeque::new() };
        self.role = Role::Leading(Box::new(leading));
        for (link, words) in core::mem::take(&mut self.callers) {
            self.command(base, fx, |leader, now, fx, order| {
                leader.on_link_up(link, now);
                for word in words {
                    leader.on_frame(link, QuorumFrame::Packet(&word), now, fx, order);
                }
            });
        }
    }

    pub(super) fn on_learner_frame(
        &mut self,
        base: &mut Base<Z>,
        link: LinkId,
        frame: QuorumFrame<'_>,
        fx: &mut Effects,
    ) {
        self.command(base, fx, |leader, now, fx, order| {
            leader.on_frame(link, frame, now, fx, order);
        });
    }

    pub(super) fn on_learner_down(&mut self, base: &mut Base<Z>, link: LinkId, fx: &mut Effects) {
        self.command(base, fx, |leader, _, _, order| leader.on_link_down(link, order));
    }

    pub(super) fn on_leading_time(&mut self, base: &mut Base<Z>, fx: &mut Effects) {
        self.command(base, fx, |leader, now, fx, order| leader.on_time(now, fx, order));
    }

    /// Something that was read for a learner is there.
    pub(super) fn on_archive_file(
        &mut self,
        base: &mut Base<Z>,
        op: OpId,
        result: &Result<FileOutput<'_>, FileError>,
        fx: &mut Effects,
    ) {
        let (now, mut todo) = (base.now.mono, Vec::new());
        let mut leader = match &mut self.role {
            Role::Leading(leading) => Some(&mut leading.leader),
            _ => None,
        };
        let mut order = |order: LeaderOrder<'_>| todo.push(Todo::of(order));
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
                    leader.on_log(link, after, entries.iter().copied(), now, fx, &mut order);
                }
                ArchiveNews::Tree { link, zxid, bytes, last } => {
                    leader.on_tree(link, zxid, bytes, last, now, fx);
                }
                ArchiveNews::Failed { link, why } => leader.refuse(link, &why, fx, &mut order),
            }
        });
        for one in todo {
            self.obey_leader(base, one, fx);
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
            }
            self.command(base, fx, |leader, now, fx, order| leader.flush(now, fx, order));
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
        let asked = core::mem::take(&mut leading.asked);
        let Body::Bare(replica) = self.body.take() else { unreachable!("matched above") };
        let mut server = self.new_server(base, *replica);
        server.lead(epoch, base.now);
        base.welcome(&mut server, fx);
        self.body = Body::Serving(Box::new(server));
        for one in asked {
            self.ask(base, one, fx);
        }
    }

    /// Has the leader do something, and obeys it.
    fn command(
        &mut self,
        base: &mut Base<Z>,
        fx: &mut Effects,
        act: impl FnOnce(&mut Leader<Z>, Instant, &mut Effects, &mut dyn FnMut(LeaderOrder<'_>)),
    ) {
        let Role::Leading(leading) = &mut self.role else { return };
        let mut todo = Vec::new();
        act(&mut leading.leader, base.now.mono, fx, &mut |order| todo.push(Todo::of(order)));
        for one in todo {
            self.obey_leader(base, one, fx);
        }
    }

    fn obey_leader(&mut self, base: &mut Base<Z>, order: Todo, fx: &mut Effects) {
        let now = base.now;
        match order {
            Todo::Accept(epoch) => self.epochs.accept(epoch, &mut base.ids, fx),
            Todo::SetCurrent(epoch) => self.epochs.set_current(epoch, &mut base.ids, fx),
            Todo::Lead(epoch) => {
                told(format!("server {} leads epoch {epoch}", self.me), fx);
                self.election.established(now.mono, epoch, fx);
                if let Role::Leading(leading) = &mut self.role {
                    leading.catching_up = Some(epoch);
                }
                self.catch_up(base, fx);
            }
            Todo::CommitTo(zxid) => {
                if let Body::Serving(server) = &mut self.body {
                    server.commit_through(zxid, now, fx);
                }
            }
            Todo::Survey(link, last) => self.archive.survey(link, last, &mut base.ids, fx),
            Todo::FetchLog(link, after) => {
                let upto = self.body.durable().expect("a leader holds history");
                self.archive.fetch_log(link, after, upto, &mut base.ids, fx);
            }
            Todo::FetchTree(link, least) => {
                self.archive.fetch_tree(link, least, &mut base.ids, fx);
            }
            Todo::Gone(link, why) => {
                self.archive.gone(link, &mut base.ids, fx);
                let text = format!("a learner's link {} is over: {why}", link.0);
                fx.event(Event::Note { level: Level::Info, text });
            }
            Todo::Ask(asked) => self.ask(base, asked, fx),
            Todo::SyncAnswered => {
                if let Body::Serving(server) = &mut self.body {
                    server.sync_answered(now, fx);
                }
            }
            Todo::StepDown(why) => self.end_role(&why, fx),
        }
    }

    /// Does what a learner wants, or keeps it until there is a server.
    fn ask(&mut self, base: &mut Base<Z>, asked: Asked, fx: &mut Effects) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Body::Serving(server) = &mut self.body else {
            return leading.asked.push_back(asked);
        };
        let now = base.now;
        match asked {
            Asked::Write { link, session, cxid, op, body, identities } => {
                let (body, identities) = (&body[..], &identities);
                let write = Forwarded { session, cxid, op, body, identities };
                if !server.on_forwarded(link, &write, now) {
                    self.command(base, fx, |leader, _, fx, order| {
                        leader.refuse(link, "it forwarded what is no write", fx, order);
                    });
                }
            }
            Asked::Revalidate { link, session, timeout_ms } => {
                let valid = server.revalidate(link, session, timeout_ms, now, fx);
                leading.leader.revalidated(link, session, valid, fx);
            }
            Asked::Touch { link, session, timeout_ms } => {
                server.touch(link, session, timeout_ms, now);
            }
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
