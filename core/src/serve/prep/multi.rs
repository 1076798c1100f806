// SPDX-License-Identifier: Apache-2.0
//! Several writes, all or none: each is judged by what those before it will have done.
//!
//! A multi that fails is a transaction of type multi all the same. As Java writes it: the
//! operations before the one that failed stand as they would have been, it itself is its error, and
//! those behind it say that they were not tried. Appliers do none of it.

use alloc::vec::Vec;

use super::{Prep, Prepared, Turn, ops::Mode, overlay::Mark, put};
use crate::{
    jute::{self, Write},
    proto::{Create, CreateKind, ErrorCode, OpCode, Request},
    txn::Txn,
    zoo::{Mutation, Zoo},
};

impl<Z: Zoo> Prep<Z> {
    pub(super) fn multi(
        &mut self,
        turn: &Turn<'_>,
        requests: &[Request<'_>],
        out: &mut Vec<u8>,
    ) -> Prepared {
        if !requests.iter().all(is_readable) {
            return self.enter(turn, OpCode::Multi, out, |_, _| Err(ErrorCode::MarshallingError));
        }
        let mut failed = None;
        let mut prepared = self.enter(turn, OpCode::Multi, out, |prep, out| {
            failed = prep.all_or_none(turn, requests, out);
            Ok(OpCode::Multi)
        });
        if failed == Some(ErrorCode::SessionMoved) {
            prepared.err = ErrorCode::SessionMoved;
        }
        prepared
    }

    /// Appends the bodies, and says which error was the first.
    fn all_or_none(
        &mut self,
        turn: &Turn<'_>,
        requests: &[Request<'_>],
        out: &mut Vec<u8>,
    ) -> Option<ErrorCode> {
        let mark = self.overlay.mark();
        let mut failed = None;
        out.put_count(requests.len());
        for request in requests {
            let start = out.len();
            out.put_int(OpCode::Error.code());
            let frame = jute::begin_frame(out);
            let judged = match failed {
                Some(_) => Err(ErrorCode::RuntimeInconsistency),
                None => self.sub_op(turn, request, out),
            };
            match judged {
                Ok(op) => out[start..start + 4].copy_from_slice(&op.code().to_be_bytes()),
                Err(err) => {
                    out.truncate(start + 8);
                    put(&Txn::Error { err: err.code() }, out);
                    if failed.is_none() {
                        failed = Some(err);
                        self.undo(mark);
                    }
                }
            }
            jute::end_frame(out, frame);
        }
        failed
    }

    fn sub_op(
        &mut self,
        turn: &Turn<'_>,
        request: &Request<'_>,
        out: &mut Vec<u8>,
    ) -> Result<OpCode, ErrorCode> {
        match request {
            Request::Create(create) => self.create(turn, create, kind_in_multi(create), out),
            Request::Check { path, version } => self.check(turn, path, *version, out),
            _ => self.op(turn, request, out),
        }
    }

    fn undo(&mut self, mark: Mark) {
        if self.zoo.has(Mutation::MultiKeepsChanges) {
            return;
        }
        self.overlay.roll_back(mark, self.zoo.has(Mutation::MultiForgetsParent));
    }
}

/// Whether Java could read the operation at all: inside multi it takes no unknown create mode, nor
/// one with a time to live where there is none.
fn is_readable(request: &Request<'_>) -> bool {
    match request {
        Request::Create(Create { kind: CreateKind::Ttl { .. }, .. }) => true,
        Request::Create(create) => Mode::from_flags(create.flags).is_some_and(|mode| !mode.ttl),
        _ => true,
    }
}

/// The operation that creates a znode. Inside multi, Java tells it by the create mode.
fn kind_in_multi(create: &Create<'_>) -> CreateKind {
    let mode = Mode::from_flags(create.flags).unwrap_or_default();
    match create.kind {
        CreateKind::Ttl { .. } if mode.ttl => create.kind,
        _ if mode.container => CreateKind::Container,
        CreateKind::Ttl { .. } => CreateKind::Create,
        kind => kind,
    }
}
