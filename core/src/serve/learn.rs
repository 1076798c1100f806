// SPDX-License-Identifier: Apache-2.0
//! What a learner's server does with what it may not decide itself: writes, sessions and syncs go
//! up to the leader, and come back as transactions and words that release whoever waits.
//!
//! ```text
//!  client --write--> forwarded ..leader.. proposal: matched --committed--> answered
//!         --open --> forwarded ..leader.. proposal: matched --committed--> greeted
//!         --resume-> revalidated .................. yes --> greeted, no --> turned away
//!         --sync---> asked ........................ answered: waits for what is committed by then
//! ```
//!
//! A leader answers one session's writes in the order in which one learner forwards them, so a
//! proposal belongs to the oldest forwarded write of its session if it has its number.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::mem::take;

use super::{
    auth::Identities,
    conn::{Greeting, Hold, Phase, Queued},
    pending::Origin,
    replica::Committed,
    server::Server,
};
use crate::{
    id::{LinkId, SessionId, Zxid},
    io::Effects,
    jute::{Malformed, Reader, Record, Write},
    proto::{OpCode, RequestHeader},
    time::Now,
    txn::{TxnEntry, TxnHeader},
    zoo::Zoo,
};

/// What a server does about history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// Makes it, alone.
    Alone,
    /// Orders it for an ensemble.
    Lead,
    /// Learns it from a leader.
    Learn,
    /// Has no leader, and only shows it.
    Read,
}

/// Something to ask of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Order a write. Its sync variant has no transaction and is answered by
    /// [`Server::sync_answered`].
    Request {
        /// The client's session.
        session: SessionId,
        /// The client's number for it.
        cxid: i32,
        /// The operation's number.
        op: i32,
        /// The operation's body.
        body: Box<[u8]>,
        /// Who the client has shown to be.
        identities: Identities,
    },
    /// Say whether a session may go on here; answered by [`Server::revalidated`].
    Revalidate {
        /// The session.
        session: SessionId,
        /// The timeout negotiated here, in milliseconds.
        timeout_ms: i32,
    },
}

/// Who waits for a forwarded write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    origin: Origin,
    cxid: i32,
}

/// What a member has under way with its leader; with itself, if it leads.
#[derive(Clone, Debug, Default)]
pub(super) struct Upward {
    /// To be sent, oldest first.
    asking: Vec<Asking>,
    forwarded: BTreeMap<SessionId, VecDeque<Waiting>>,
    /// Connections that wait for a word on their session, and how to answer them.
    reviving: BTreeMap<SessionId, VecDeque<LinkId>>,
    /// Links whose syncs were asked for and not answered, oldest first.
    syncs: VecDeque<LinkId>,
    /// Sessions heard from since the leader last asked, with their timeouts in milliseconds.
    touched: BTreeMap<SessionId, i32>,
}

impl Upward {
    fn forward(&mut self, session: SessionId, waiting: Waiting, asking: Asking) {
        self.forwarded.entry(session).or_default().push_back(waiting);
        self.asking.push(asking);
    }

    /// Who waits here for a transaction, if anybody does.
    fn claim(&mut self, header: &TxnHeader) -> Origin {
        let Some(queue) = self.forwarded.get_mut(&header.session) else { return Origin::Nobody };
        let ours = queue.pop_front_if(|waiting| waiting.cxid == header.cxid);
        if queue.is_empty() {
            self.forwarded.remove(&header.session);
        }
        ours.map_or(Origin::Nobody, |waiting| waiting.origin)
    }
}

impl<Z: Zoo> Server<Z> {
    /// Begins to learn, with everything up to `committed` history by now. Requests go up from here
    /// on. `kin` is the epoch of a leader of this make: its transactions' digests must be this
    /// tree's.
    pub fn learn(&mut self, committed: Zxid, kin: Option<u32>) {
        self.duty = Duty::Learn;
        self.kin = kin;
        self.replica.committed = Committed::Quorum(committed);
    }

    /// What is to be asked of the leader, oldest first.
    pub fn take_asking(&mut self) -> Vec<Asking> {
        take(&mut self.up.asking)
    }

    /// Whether something is to be asked of the leader.
    pub fn asks(&self) -> bool {
        !self.up.asking.is_empty()
    }

    /// The sessions heard from since the last call, with their timeouts in milliseconds.
    pub fn take_touched(&mut self) -> BTreeMap<SessionId, i32> {
        take(&mut self.up.touched)
    }

    /// A transaction came from the leader; it is staged for the log.
    ///
    /// # Errors
    /// When its entry is no transaction that this version knows.
    pub fn on_proposal(&mut self, zxid: Zxid, entry: &[u8], now: Now) -> Result<(), Malformed> {
        let read = TxnEntry::decode(&mut Reader::new(entry))?;
        let origin = self.up.claim(&read.header);
        self.replica.pending.buffer().extend_from_slice(entry);
        self.replica.stage(zxid, origin, now.mono);
        self.proposed = zxid;
        Ok(())
    }

    /// The leader says whether a session may go on here.
    pub fn revalidated(&mut self, session: SessionId, valid: bool, now: Now, fx: &mut Effects) {
        let Some(queue) = self.up.reviving.get_mut(&session) else { return };
        let link = queue.pop_front();
        if queue.is_empty() {
            self.up.reviving.remove(&session);
        }
        let Some(link) = link else { return };
        let Some(conn) = self.conns.get(&link) else { return };
        let Phase::Opening { greeting, .. } = conn.phase else { return };
        if valid {
            self.replica.sessions.adopt(session, greeting.timeout_ms, now.mono);
            self.move_session(session, link, fx);
            self.session_opened(link, now, fx);
        } else {
            self.turn_away(link, greeting, fx);
        }
    }

    /// The leader answers the oldest sync: what is committed by now is what it is about.
    pub fn sync_answered(&mut self, now: Now, fx: &mut Effects) {
        let Committed::Quorum(committed) = self.replica.committed else { return };
        let Some(link) = self.up.syncs.pop_front() else { return };
        let Some(conn) = self.conns.get_mut(&link) else { return };
        let asked = conn.queue.iter_mut().find_map(|queued| match queued {
            Queued::Sync { until: until @ None, .. } => Some(until),
            _ => None,
        });
        if let Some(until) = asked {
            *until = Some(committed);
            self.drain(link, now, fx);
        }
    }

    /// Sends a client's write up, with the first `known` of its identities.
    pub(super) fn forward(
        &mut self,
        link: LinkId,
        session: SessionId,
        known: usize,
        header: RequestHeader,
        body: &[u8],
    ) {
        let identities = self.conns[&link].identities.first(known).into_owned();
        let (cxid, op) = (header.xid, header.op);
        let asking = Asking::Request { session, cxid, op, body: body.into(), identities };
        let waiting = Waiting { origin: Origin::Request { link, xid: cxid }, cxid };
        self.up.forward(session, waiting, asking);
    }

    /// Sends a client's sync up.
    pub(super) fn ask_sync(
        &mut self,
        link: LinkId,
        session: SessionId,
        header: RequestHeader,
        body: &[u8],
    ) {
        let (cxid, op, body) = (header.xid, header.op, body.into());
        let identities = self.conns[&link].identities.clone();
        self.up.syncs.push_back(link);
        self.up.asking.push(Asking::Request { session, cxid, op, body, identities });
    }

    /// Sends a session's beginning up.
    pub(super) fn forward_open(&mut self, link: LinkId, session: SessionId, timeout_ms: i32) {
        let mut body = Vec::new();
        body.put_int(timeout_ms);
        let asking = Asking::Request {
            session,
            cxid: 0,
            op: OpCode::CreateSession.code(),
            body: body.into(),
            identities: Identities::default(),
        };
        let waiting = Waiting { origin: Origin::Handshake { link }, cxid: 0 };
        self.up.forward(session, waiting, asking);
    }

    /// Asks whether a session may go on over a link; the link waits.
    pub(super) fn ask_revalidation(
        &mut self,
        link: LinkId,
        session: SessionId,
        greeting: Greeting,
        fx: &mut Effects,
    ) {
        let conn = self.conns.get_mut(&link).expect("the link that spoke");
        conn.phase = Phase::Opening { session, greeting };
        conn.hold(link, Hold::Opening, true, fx);
        self.up.reviving.entry(session).or_default().push_back(link);
        self.up.asking.push(Asking::Revalidate { session, timeout_ms: greeting.timeout_ms });
    }

    /// Heard from a session: the leader is to know.
    pub(super) fn report(&mut self, session: SessionId, timeout_ms: i32) {
        if self.duty == Duty::Learn {
            self.up.touched.insert(session, timeout_ms);
        }
    }
}
