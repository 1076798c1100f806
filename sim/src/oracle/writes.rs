// SPDX-License-Identifier: Apache-2.0
//! Every logged transaction is exactly what its request must become on the tree just before it, or
//! the server's own doing for a reason; no request becomes two, and none is answered before one.
//!
//! History is one order, so with this an acknowledged write takes effect exactly once between its
//! invocation and its reply, and an unanswered one at most once.

use menagerie_core::{
    proto::{ErrorCode, OpCode, Request},
    txn::Txn,
};

use super::{Check, Property, Violation, asked::Arrived, configuration, ghost::Proposed};
use crate::model::{Judged, Model, judge, may_sweep};

const MALFORMED: i32 = ErrorCode::MarshallingError.code();

/// A history that cannot be.
pub fn broken(what: String) -> Check {
    Err(Violation::new(Property::Writes, what))
}

/// A transaction is about to be applied to the model that no request [fits](fits()). `young` says
/// that a change of quotas may not have been applied yet when the request was judged: quotas are
/// read off the applied tree.
pub fn check(
    model: &Model,
    proposed: &Proposed,
    arrived: Option<&Arrived>,
    txn: &Txn<'_>,
    young: bool,
) -> Check {
    let header = &proposed.header;
    let Some(arrived) = arrived else {
        return own(model, proposed, txn);
    };
    let Some(request) = arrived.request() else { return Ok(()) };
    let judged = judge(model, header, &arrived.caller(), &request);
    let logged = Judged { op: header.op, body: proposed.body.clone() };
    if !(young && excused(model, proposed, arrived, &request, txn, &logged)) {
        return broken(format!(
            "{} of session {} came of {request:?}\n  logged:   {}\n  expected: {}",
            header.zxid,
            header.session,
            show(&logged),
            show(&judged),
        ));
    }
    Ok(())
}

/// Whether a transaction refuses a request because its session is on another link.
pub fn tells_of_a_move(txn: &Txn<'_>) -> bool {
    match txn {
        Txn::Multi(txns) => txns.first().is_some_and(tells_of_a_move),
        Txn::Error { err } => *err == ErrorCode::SessionMoved.code(),
        _ => false,
    }
}

/// Whether a transaction is what a request must become.
pub fn fits(model: &Model, proposed: &Proposed, arrived: &Arrived, txn: &Txn<'_>) -> bool {
    let header = &proposed.header;
    match (arrived.request(), txn) {
        (None, _) => true,
        (Some(Request::CloseSession), Txn::CloseSession { .. }) => true,
        (Some(request @ Request::Reconfig { .. }), _) if model.reconfigures => {
            configuration::fits(model, proposed, arrived, &request)
        }
        (Some(request), _) => {
            let judged = judge(model, header, &arrived.caller(), &request);
            judged.op == header.op && judged.body == proposed.body
        }
    }
}

/// Whether a verdict is right under the quotas of a moment before.
fn excused(
    model: &Model,
    proposed: &Proposed,
    arrived: &Arrived,
    request: &Request<'_>,
    txn: &Txn<'_>,
    logged: &Judged,
) -> bool {
    if !model.enforces_quotas {
        return false;
    }
    let mut without = model.clone();
    without.enforces_quotas = false;
    refused(txn) || judge(&without, &proposed.header, &arrived.caller(), request) == *logged
}

fn refused(txn: &Txn<'_>) -> bool {
    match txn {
        Txn::Multi(txns) => txns.iter().any(refused),
        Txn::Error { err } => *err == ErrorCode::QuotaExceeded.code(),
        _ => false,
    }
}

/// Whether a transaction may be what a server does of itself: open sessions, close those that are
/// silent, sweep.
pub fn is_own(model: &Model, proposed: &Proposed, txn: &Txn<'_>) -> bool {
    let header = &proposed.header;
    let known = model.sessions.contains_key(&header.session.0);
    match txn {
        Txn::CreateSession { timeout_ms } => *timeout_ms > 0,
        Txn::CloseSession { .. } => known,
        Txn::Delete { path, container: true } => may_sweep(model, path, header.time),
        // A sweep that came too late is logged as the error it is; so is what cannot be read.
        Txn::Error { err } => header.session.0 == 0 || *err == MALFORMED,
        _ => false,
    }
}

fn own(model: &Model, proposed: &Proposed, txn: &Txn<'_>) -> Check {
    if is_own(model, proposed, txn) {
        return Ok(());
    }
    let header = &proposed.header;
    let op = OpCode::from_code(header.op);
    broken(format!(
        "{} ({op:?}, session {}, cxid {}, time {}) answers no request: {txn:?}, {:?}",
        header.zxid,
        header.session,
        header.cxid,
        header.time,
        node_of(model, txn),
    ))
}

fn node_of<'a>(model: &'a Model, txn: &Txn<'_>) -> Option<&'a crate::model::Znode> {
    if let Txn::Delete { path, .. } = txn { model.node(path) } else { None }
}

fn show(judged: &Judged) -> String {
    let mut reader = menagerie_core::jute::Reader::new(&judged.body);
    match Txn::decode(judged.op, &mut reader) {
        Ok(txn) => format!("{txn:?}"),
        Err(_) => format!("op {} body {:02x?}", judged.op, judged.body),
    }
}
