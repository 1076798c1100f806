// SPDX-License-Identifier: Apache-2.0
//! What a write request must become: the transaction that the server has to log for it, given the
//! tree just before. The rules and their order are those of `PrepRequestProcessor`.

use menagerie_core::{
    config::Ensemble,
    id::SessionId,
    jute::Write,
    proto::{Create, CreateKind, ErrorCode, OpCode, Request, perms},
    txn::{CreateTxn, Txn, TxnHeader, TxnKind},
};

use super::{Grant, Id, Model, TTL_MASK, permits, split};

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The session.
    pub session: i64,
    /// The identities of its link when the request arrived.
    pub ids: Vec<Id>,
}

/// A transaction that must be logged: its operation and its body's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The operation in the header.
    pub op: i32,
    /// The body.
    pub body: Vec<u8>,
}

impl Judged {
    /// A request is refused.
    pub fn refused(code: ErrorCode) -> Judged {
        failed(code)
    }
}

type Verdict = Result<Judged, ErrorCode>;

/// The transaction that `request` must become.
pub fn judge(model: &Model, header: &TxnHeader, caller: &Caller, request: &Request<'_>) -> Judged {
    let judged = match request {
        Request::Multi(ops) => Ok(multi(model, header, caller, ops)),
        // By itself it is no operation (ZOOKEEPER-2623).
        Request::Check { .. } => Err(ErrorCode::Unimplemented),
        Request::Reconfig { .. } => reconfig(model, header, caller, request),
        _ => one(model, caller, request),
    };
    judged.unwrap_or_else(failed)
}

/// What other members come to if none are under way and enough of the next are up to date. Which
/// version the list of the first files was dated with, the model does not know.
fn reconfig(model: &Model, header: &TxnHeader, caller: &Caller, request: &Request<'_>) -> Verdict {
    let Request::Reconfig { joining, leaving, members, from_config } = *request else {
        return Err(ErrorCode::Unimplemented);
    };
    if !model.reconfigures {
        return Err(ErrorCode::ReconfigDisabled);
    }
    session(model, caller)?;
    let path = b"/zookeeper/config";
    let node = model.node(path).ok_or(ErrorCode::NoNode)?;
    let version = node.stat.mzxid;
    if from_config != -1 && from_config != version.0 && version.counter() != 0 {
        return Err(ErrorCode::BadVersion);
    }
    let before = Ensemble::from_text(node.data.as_deref().unwrap_or_default());
    let next = match members {
        Some(text) => Ensemble::replaced(text)?,
        None => before.ok_or(ErrorCode::NoNode)?.changed(joining, leaving)?,
    };
    if next.voters().next().is_none() {
        return Err(ErrorCode::BadArguments);
    }
    allow(&node.acl, perms::WRITE, caller)?;
    let next = next.with_version(header.zxid.0.cast_unsigned()).to_string();
    let data = Some(next.as_bytes());
    Ok(logged(&Txn::SetData { path, data, version: -1, reconfig: true }))
}

/// Whether the sweeper may delete a znode at the wall time `now_ms`.
pub fn may_sweep(model: &Model, path: &[u8], now_ms: i64) -> bool {
    model.node(path).is_some_and(|node| {
        let used_container = node.is_container() && node.stat.cversion > 0;
        let aged = node.ttl().is_some_and(|ttl| now_ms - node.stat.mtime > ttl);
        node.children.is_empty() && (used_container || aged)
    })
}

fn failed(code: ErrorCode) -> Judged {
    logged(&Txn::Error { err: code.code() })
}

fn logged(txn: &Txn<'_>) -> Judged {
    let mut body = Vec::new();
    txn.encode(&mut body);
    Judged { op: txn.op().code(), body }
}

fn multi(model: &Model, header: &TxnHeader, caller: &Caller, ops: &[Request<'_>]) -> Judged {
    let mut scratch = model.clone();
    let mut failure = false;
    let mut body = Vec::new();
    body.put_count(ops.len());
    for op in ops {
        let judged = if failure {
            failed(ErrorCode::RuntimeInconsistency)
        } else {
            one(&scratch, caller, op).unwrap_or_else(|code| {
                failure = true;
                failed(code)
            })
        };
        if !failure {
            let mut reader = menagerie_core::jute::Reader::new(&judged.body);
            let txn = Txn::decode(judged.op, &mut reader).expect("a transaction of our own");
            scratch.apply(header, &txn).expect("a judged transaction fits");
        }
        body.put_int(judged.op);
        body.put_string(&judged.body);
    }
    Judged { op: OpCode::Multi.code(), body }
}

fn one(model: &Model, caller: &Caller, request: &Request<'_>) -> Verdict {
    match request {
        Request::Create(create) => create_znode(model, caller, create),
        Request::Delete { path, version } => {
            session(model, caller)?;
            let special: [&[u8]; 4] =
                [b"/", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config"];
            let (parent, _) = split(path).ok_or(ErrorCode::BadArguments)?;
            if path.contains(&0) || special.contains(path) {
                return Err(ErrorCode::BadArguments);
            }
            let parent = model.node(parent).ok_or(ErrorCode::NoNode)?;
            allow(&parent.acl, perms::DELETE, caller)?;
            let node = model.node(path).ok_or(ErrorCode::NoNode)?;
            fits(model, node.stat.version, *version)?;
            if !node.children.is_empty() {
                return Err(ErrorCode::NotEmpty);
            }
            Ok(logged(&Txn::Delete { path, container: false }))
        }
        Request::SetData { path, data, version } => {
            session(model, caller)?;
            legal(path)?;
            let node = model.node(path).ok_or(ErrorCode::NoNode)?;
            allow(&node.acl, perms::WRITE, caller)?;
            let more = data.map_or(0, <[u8]>::len) as i64 - node.size();
            within_quota(model, path, more, 0)?;
            let version = fits(model, node.stat.version, *version)?;
            Ok(logged(&Txn::SetData { path, data: *data, version, reconfig: false }))
        }
        Request::SetAcl { path, acl, version } => {
            session(model, caller)?;
            legal(path)?;
            let acl = fixed_acl(caller, acl.as_deref())?;
            let node = model.node(path).ok_or(ErrorCode::NoNode)?;
            allow(&node.acl, perms::ADMIN, caller)?;
            let version = fits(model, node.stat.aversion, *version)?;
            let acl = Some(acl.iter().map(Grant::acl).collect());
            Ok(logged(&Txn::SetAcl { path, acl, version }))
        }
        Request::Check { path, version } => {
            session(model, caller)?;
            legal(path)?;
            let node = model.node(path).ok_or(ErrorCode::NoNode)?;
            allow(&node.acl, perms::READ, caller)?;
            let version = fits(model, node.stat.version, *version)?;
            Ok(logged(&Txn::Check { path, version }))
        }
        _ => Err(ErrorCode::Unimplemented),
    }
}

fn create_znode(model: &Model, caller: &Caller, create: &Create<'_>) -> Verdict {
    let ttl = if let CreateKind::Ttl { ttl } = create.kind { ttl } else { -1 };
    let timed = matches!(create.flags, 5 | 6);
    if !(0..=6).contains(&create.flags)
        || (timed && !(1..=TTL_MASK).contains(&ttl))
        || (!timed && ttl >= 0)
    {
        return Err(ErrorCode::BadArguments);
    }
    session(model, caller)?;
    let (parent_path, _) = split(create.path).ok_or(ErrorCode::BadArguments)?;
    if create.path.contains(&0) {
        return Err(ErrorCode::BadArguments);
    }
    let acl = fixed_acl(caller, create.acl.as_deref())?;
    let parent = model.node(parent_path).ok_or(ErrorCode::NoNode)?;
    allow(&parent.acl, perms::CREATE, caller)?;
    let mut path = create.path.to_vec();
    if matches!(create.flags, 2 | 3 | 6) {
        path.extend_from_slice(format!("{:010}", parent.stat.cversion).as_bytes());
    }
    legal(&path)?;
    if model.node(&path).is_some() {
        return Err(ErrorCode::NodeExists);
    }
    if parent.is_ephemeral() {
        return Err(ErrorCode::NoChildrenForEphemerals);
    }
    within_quota(model, &path, create.data.map_or(0, <[u8]>::len) as i64, 1)?;
    let ephemeral = matches!(create.flags, 1 | 3);
    let kind = match create.kind {
        CreateKind::Create => TxnKind::Plain { ephemeral, create2: false },
        CreateKind::Create2 => TxnKind::Plain { ephemeral, create2: true },
        CreateKind::Container => TxnKind::Container,
        CreateKind::Ttl { ttl } => TxnKind::Ttl { ttl },
    };
    Ok(logged(&Txn::Create(CreateTxn {
        path: &path,
        data: create.data,
        acl: Some(acl.iter().map(Grant::acl).collect()),
        kind,
        parent_cversion: parent.stat.cversion + 1,
    })))
}

fn session(model: &Model, caller: &Caller) -> Result<(), ErrorCode> {
    let open = model.sessions.contains_key(&SessionId(caller.session).0);
    if open { Ok(()) } else { Err(ErrorCode::SessionExpired) }
}

fn allow(acl: &[Grant], wanted: i32, caller: &Caller) -> Result<(), ErrorCode> {
    if permits(acl, wanted, &caller.ids) { Ok(()) } else { Err(ErrorCode::NoAuth) }
}

fn within_quota(model: &Model, path: &[u8], bytes: i64, count: i64) -> Result<(), ErrorCode> {
    if model.exceeds(path, bytes, count) { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
}

/// The version after one, if that is expected: never the one that means any.
fn fits(model: &Model, version: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != version {
        return Err(ErrorCode::BadVersion);
    }
    let next = version.wrapping_add(model.version_step);
    Ok(if next == -1 { 0 } else { next })
}

fn fixed_acl(
    caller: &Caller,
    acl: Option<&[menagerie_core::proto::Acl<'_>]>,
) -> Result<Vec<Grant>, ErrorCode> {
    let mut unique: Vec<Grant> = Vec::new();
    for grant in acl.unwrap_or_default().iter().map(Grant::of) {
        if !unique.contains(&grant) {
            unique.push(grant);
        }
    }
    let mut fixed = Vec::new();
    for grant in unique {
        match (grant.scheme.as_slice(), grant.id.as_slice()) {
            (b"world", b"anyone") => fixed.push(grant),
            (b"auth", _) => {
                let before = fixed.len();
                let proved = caller.ids.iter().filter(|(scheme, _)| scheme == b"digest");
                fixed.extend(proved.map(|(scheme, id)| Grant {
                    perms: grant.perms,
                    scheme: scheme.clone(),
                    id: id.clone(),
                }));
                if fixed.len() == before {
                    return Err(ErrorCode::InvalidAcl);
                }
            }
            (b"digest", id) if id.split(|byte| *byte == b':').count() == 2 => fixed.push(grant),
            (b"ip", id) if id.split(|byte| *byte == b'.').count() == 4 => fixed.push(grant),
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if fixed.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(fixed) }
}

/// `PathUtils.validatePath`.
fn legal(path: &[u8]) -> Result<(), ErrorCode> {
    let text = String::from_utf8_lossy(path);
    let names = text.strip_prefix('/').ok_or(ErrorCode::BadArguments)?;
    let banned =
        |c: char| matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..);
    let bad_name = |name: &str| name.is_empty() || name == "." || name == "..";
    if !names.is_empty() && (names.split('/').any(bad_name) || names.contains(banned)) {
        return Err(ErrorCode::BadArguments);
    }
    Ok(())
}
