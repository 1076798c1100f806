// SPDX-License-Identifier: Apache-2.0
//! Preparing writes: a request is judged once, and becomes the transaction that says what happens.
//!
//! Java's `PrepRequestProcessor`. A request is judged by the tree as it will be when its turn
//! comes: the applied one under an [`overlay`] of what is prepared and not yet applied. So clients
//! need not wait for each other's disks, and applying needs no judgement.
//!
//! A request that fails is a transaction all the same, of type error: it takes its zxid, and its
//! answer keeps its place among the answers of its session. Only what needs no place has none; such
//! requests never come here.

use alloc::vec::Vec;

use crate::{
    config::Ensemble,
    hash::Keyed,
    id::{ServerId, SessionId, Zxid},
    jute::Record,
    proto::{ErrorCode, OpCode, Request},
    tree::{Tree, digest::DIGEST_VERSION, quota::Excess},
    txn::{Txn, TxnDigest, TxnHeader},
    zoo::Zoo,
};

use super::auth::{Identities, Schemes};

mod close;
mod multi;
mod ops;
mod overlay;

use overlay::Overlay;

/// Where the type stands in an encoded [`TxnHeader`], which it ends.
const HEADER_LEN: usize = 32;

/// What of the configuration decides about requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The ACL schemes.
    pub schemes: Schemes,
    /// Whether clients may create znodes with a time to live (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Whether hard quotas are enforced (`enforceQuota`).
    pub enforce_quota: bool,
    /// Whether transactions carry the tree's digest (`digest.enabled`).
    pub digest: bool,
    /// Whether closeSession names what goes with the session (`closeSessionTxn.enabled`).
    pub close_session_txn: bool,
    /// Whether there is a reconfig to speak of (`reconfigEnabled`).
    pub reconfig: bool,
    /// Bytes of the largest log entry that every reader can read: Java 3.4 reads
    /// `jute.maxbuffer + 1024`.
    pub max_entry: usize,
    /// By how much versions grow.
    pub version_step: i32,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            schemes: Schemes::default(),
            extended_types: false,
            enforce_quota: false,
            digest: true,
            close_session_txn: true,
            reconfig: false,
            max_entry: 0xf_ffff + 1024,
            version_step: 1,
        }
    }
}

/// What requests are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Everything applied so far.
    pub tree: &'a Tree,
    /// The configuration.
    pub rules: &'a Rules,
    /// The members, where there are any to change: at a leader.
    pub members: Option<&'a Members>,
    /// The wall clock, in milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

/// What a leader knows of the members when it is to change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Those in force.
    pub in_force: Ensemble,
    /// Whether others are under way.
    pub changing: bool,
    /// The leader, and the learners that are up to date and no observers.
    pub synced: Vec<ServerId>,
    /// The fewest voters that may be left: 2, or 1 without `standaloneEnabled`.
    pub fewest: usize,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The session.
    pub session: SessionId,
    /// How it stands with the session.
    pub state: SessionState,
    /// The client's number for the request.
    pub cxid: i32,
    /// Who the connection has shown to be.
    pub ids: &'a Identities,
}

/// How it stands with a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It may ask.
    Alive,
    /// A closeSession of it is prepared: what comes after comes too late.
    Closing,
    /// There is none.
    Unknown,
    /// It is served over another connection by now.
    Moved,
}

impl From<Result<(), ErrorCode>> for SessionState {
    /// From the answer of a check of session and link.
    fn from(checked: Result<(), ErrorCode>) -> SessionState {
        match checked {
            Ok(()) => SessionState::Alive,
            Err(ErrorCode::SessionMoved) => SessionState::Moved,
            Err(ErrorCode::UnknownSession) => SessionState::Unknown,
            Err(_) => SessionState::Closing,
        }
    }
}

/// What is to be remembered of a prepared request until its transaction is applied and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The transaction.
    pub zxid: Zxid,
    /// What was asked for.
    pub op: OpCode,
    /// Why it failed. A multi that failed is answered operation by operation, so this says `Ok`,
    /// unless the session has moved.
    pub err: ErrorCode,
}

/// Prepares writes.
#[derive(Clone, Debug)]
pub struct Prep<Z> {
    overlay: Overlay,
    /// The top of a subtree and the limit of its quota that was exceeded last, untold.
    exceeded: Option<(Vec<u8>, Excess)>,
    /// The members that a reconfig leads to, untold.
    reconfigured: Option<Ensemble>,
    zoo: Z,
}

/// A transaction being prepared.
#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    cx: &'a Context<'a>,
    zxid: Zxid,
    asker: &'a Asker<'a>,
}

impl<Z: Zoo> Prep<Z> {
    /// With nothing pending.
    pub fn new(key: Keyed, zoo: Z) -> Prep<Z> {
        Prep { overlay: Overlay::new(key), exceeded: None, reconfigured: None, zoo }
    }

    /// How many changes are prepared and not yet applied.
    pub fn pending(&self) -> usize {
        self.overlay.len()
    }

    /// The quota that a request exceeded since the last call: the top of its subtree, and how.
    pub fn take_exceeded(&mut self) -> Option<(Vec<u8>, Excess)> {
        self.exceeded.take()
    }

    /// The members that a reconfig prepared since the last call leads to.
    pub fn take_reconfigured(&mut self) -> Option<Ensemble> {
        self.reconfigured.take()
    }

    /// Whether a change of a znode, or of its children, is prepared and not yet applied.
    pub fn is_pending(&self, path: &[u8]) -> bool {
        self.overlay.latest_of(path).is_some()
    }

    /// Judges a write of a client, or a deleteContainer of the sweeper, and appends the log entry
    /// of its transaction. The session of a closeSession is closing from now on.
    ///
    /// Reads, and all else that is answered without a transaction, are `Unimplemented` here.
    pub fn prepare(
        &mut self,
        cx: &Context<'_>,
        zxid: Zxid,
        asker: &Asker<'_>,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Prepared {
        let turn = Turn { cx, zxid, asker };
        match request {
            Request::Multi(ops) => self.multi(&turn, ops, out),
            Request::CloseSession => self.close(&turn, out),
            _ => self.enter(&turn, request.op(), out, |prep, out| prep.op(&turn, request, out)),
        }
    }

    /// Makes the transaction of a session's beginning.
    pub fn create_session(
        &mut self,
        cx: &Context<'_>,
        zxid: Zxid,
        session: SessionId,
        timeout_ms: i32,
        out: &mut Vec<u8>,
    ) -> Prepared {
        let nobody = Identities::default();
        let asker = Asker { session, state: SessionState::Alive, cxid: 0, ids: &nobody };
        let turn = Turn { cx, zxid, asker: &asker };
        self.enter(&turn, OpCode::CreateSession, out, |_, out| {
            Ok(put(&Txn::CreateSession { timeout_ms }, out))
        })
    }

    /// Makes the transaction of a session's end, where no client asks for it.
    pub fn expire_session(
        &mut self,
        cx: &Context<'_>,
        zxid: Zxid,
        session: SessionId,
        out: &mut Vec<u8>,
    ) -> Prepared {
        let nobody = Identities::default();
        let asker = Asker { session, state: SessionState::Closing, cxid: 0, ids: &nobody };
        self.close(&Turn { cx, zxid, asker: &asker }, out)
    }

    /// Makes the transaction of a request that is refused unread: one that cannot be decoded.
    pub fn refuse(
        &mut self,
        cx: &Context<'_>,
        zxid: Zxid,
        asker: &Asker<'_>,
        op: OpCode,
        err: ErrorCode,
        out: &mut Vec<u8>,
    ) -> Prepared {
        self.enter(&Turn { cx, zxid, asker }, op, out, |_, _| Err(err))
    }

    /// Takes in that the tree has this transaction and all before it.
    pub fn applied(&mut self, zxid: Zxid) {
        self.overlay.release(zxid);
    }

    /// Appends a log entry whose body `judge` appends, or the one that says why not.
    fn enter(
        &mut self,
        turn: &Turn<'_>,
        op: OpCode,
        out: &mut Vec<u8>,
        judge: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<OpCode, ErrorCode>,
    ) -> Prepared {
        self.overlay.begin(turn.cx.tree);
        let (start, mark) = (out.len(), self.overlay.mark());
        turn.header(OpCode::Error).encode(out);
        let judged = judge(self, out).and_then(|op| {
            out[start + HEADER_LEN - 4..start + HEADER_LEN]
                .copy_from_slice(&op.code().to_be_bytes());
            self.put_digest(turn, out);
            let fits = out.len() - start <= turn.cx.rules.max_entry;
            if fits { Ok(()) } else { Err(ErrorCode::MarshallingError) }
        });
        if let Err(err) = judged {
            self.reconfigured = None;
            self.overlay.roll_back(mark, false);
            out.truncate(start);
            turn.header(OpCode::Error).encode(out);
            put(&Txn::Error { err: err.code() }, out);
        }
        Prepared { zxid: turn.zxid, op, err: judged.err().unwrap_or(ErrorCode::Ok) }
    }

    fn put_digest(&self, turn: &Turn<'_>, out: &mut Vec<u8>) {
        if turn.cx.rules.digest {
            let digest = self.overlay.digest();
            TxnDigest { version: DIGEST_VERSION, digest }.encode(out);
        }
    }
}

impl Turn<'_> {
    fn header(&self, op: OpCode) -> TxnHeader {
        let Asker { session, cxid, .. } = *self.asker;
        TxnHeader { session, cxid, zxid: self.zxid, time: self.cx.wall_ms, op: op.code() }
    }
}

/// Appends a transaction's body and says which operation it is.
fn put(txn: &Txn<'_>, out: &mut Vec<u8>) -> OpCode {
    txn.encode(out);
    txn.op()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod twin;
