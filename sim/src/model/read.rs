// SPDX-License-Identifier: Apache-2.0
//! What a read must answer, given the tree at the reply's zxid.

use menagerie_core::{
    jute::{Record, Write},
    proto::{ErrorCode, OpCode, Request, encode_acls, perms},
};

use super::{Caller, Grant, Model, Watches, apply::result_header, permits};

/// The reply to a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The error, or 0.
    pub err: i32,
    /// The body, lists of names sorted.
    pub body: Vec<u8>,
}

/// What `request` must be answered; `None` where the model does not know.
///
/// `watches` are those of the caller's link, for the requests that ask about them.
pub fn answer(
    model: &Model,
    watches: &Watches,
    caller: &Caller,
    request: &Request<'_>,
) -> Option<Answer> {
    let mut body = Vec::new();
    let result = match request {
        Request::MultiRead(ops) => {
            multi_read(model, caller, ops, &mut body);
            Ok(())
        }
        Request::CheckWatches { path, kind } => {
            if watches.contains(path, *kind) {
                Ok(())
            } else {
                Err(ErrorCode::NoWatcher)
            }
        }
        Request::RemoveWatches { path, kind } => {
            if watches.would_remove(path, *kind) {
                Ok(())
            } else {
                Err(ErrorCode::NoWatcher)
            }
        }
        _ => read(model, caller, request, &mut body)?,
    };
    Some(match result {
        Ok(()) => Answer { err: 0, body },
        Err(code) => Answer { err: code.code(), body: Vec::new() },
    })
}

fn multi_read(model: &Model, caller: &Caller, ops: &[Request<'_>], out: &mut Vec<u8>) {
    for op in ops {
        let mut body = Vec::new();
        match read(model, caller, op, &mut body).expect("a multiRead holds what the model knows") {
            Ok(()) => {
                result_header(op.op(), false, 0, out);
                out.extend_from_slice(&body);
            }
            Err(code) => {
                result_header(OpCode::Error, false, code.code(), out);
                out.put_int(code.code());
            }
        }
    }
    result_header(OpCode::Error, true, -1, out);
}

/// One read; the outer `None` where the model does not know.
fn read(
    model: &Model,
    caller: &Caller,
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Option<Result<(), ErrorCode>> {
    let visible = |path: &[u8], wanted: i32| {
        let node = model.seen(path).ok_or(ErrorCode::NoNode)?;
        if permits(&node.acl, wanted, &caller.ids) { Ok(node) } else { Err(ErrorCode::NoAuth) }
    };
    let result = match request {
        Request::Exists { path, .. } if path.contains(&0) => Err(ErrorCode::BadArguments),
        Request::Exists { path, .. } => {
            visible(path, perms::READ).map(|node| node.client_stat().encode(out))
        }
        Request::GetData { path, .. } => visible(path, perms::READ).map(|node| {
            out.put_buffer(node.data.as_deref());
            node.client_stat().encode(out);
        }),
        Request::GetChildren { path, .. } => visible(path, perms::READ)
            .map(|node| names(node.children.iter().map(Vec::as_slice), out)),
        Request::GetChildren2 { path, .. } => visible(path, perms::READ).map(|node| {
            names(node.children.iter().map(Vec::as_slice), out);
            node.client_stat().encode(out);
        }),
        Request::GetAcl { path } => visible(path, perms::READ | perms::ADMIN).map(|node| {
            let whole = permits(&node.acl, perms::ADMIN, &caller.ids);
            let shown: Vec<Grant> = node
                .acl
                .iter()
                .map(|grant| if whole { grant.clone() } else { masked(grant) })
                .collect();
            let shown: Vec<_> = shown.iter().map(Grant::acl).collect();
            encode_acls(Some(&shown), out);
            node.client_stat().encode(out);
        }),
        // Java counts the root among its own children here, for it has two names.
        Request::GetAllChildrenNumber { path: b"" } => return None,
        Request::GetAllChildrenNumber { path } => visible(path, perms::READ).map(|_| {
            let prefix = if *path == b"/" { b"/".to_vec() } else { [path, &b"/"[..]].concat() };
            let below = |(other, _): &(&[u8], _)| other.starts_with(&prefix) && other != path;
            out.put_count(model.nodes().filter(below).count());
        }),
        Request::GetEphemerals { prefix } => {
            let all = prefix.is_empty() || *prefix == b"/";
            let owned = model.ephemerals(caller.session);
            let mut owned: Vec<_> = owned.filter(|path| all || path.starts_with(prefix)).collect();
            owned.sort();
            names(owned.into_iter(), out);
            Ok(())
        }
        Request::Sync { path } => {
            out.put_string(path);
            Ok(())
        }
        Request::Ping | Request::SetWatches(_) | Request::SetWatches2(_) => Ok(()),
        Request::AddWatch { .. } => {
            out.put_int(0);
            Ok(())
        }
        _ => return None,
    };
    Some(result)
}

fn masked(grant: &Grant) -> Grant {
    let mut masked = grant.clone();
    if grant.scheme == b"digest"
        && let Some(colon) = grant.id.iter().position(|c| *c == b':')
    {
        masked.id.truncate(colon);
        masked.id.extend_from_slice(b":x");
    }
    masked
}

fn names<'a>(names: impl ExactSizeIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    out.put_count(names.len());
    names.for_each(|name| out.put_string(name));
}
