// SPDX-License-Identifier: Apache-2.0
//! Every reply equals what the model's tree answers at the reply's zxid, byte for byte (lists of
//! names in any order); and that zxid is durable before the reply leaves the server.

use menagerie_core::{
    id::Zxid,
    jute::{Reader, Record, Write},
    proto::{OpCode, ReplyHeader, Request, Stat},
};

use super::{Check, Property, Violation, asked::Arrived, ghost::Ghost, replica::Link};
use crate::model::{Answer, Caller, answer};

/// A reply is about to leave a server, whose model stands at its zxid.
pub fn check(
    ghost: &mut Ghost,
    server: usize,
    link: &Link,
    arrived: &Arrived,
    header: &ReplyHeader,
    body: &[u8],
) -> Check {
    let Some(request) = arrived.request() else {
        return wrong(header.err != 0, || format!("nonsense is answered as if it were {header:?}"));
    };
    if arrived.is_write() {
        return write(ghost, link, arrived, &request, header, body);
    }
    // What was proved while a read waited may count: Java looks when it arrives, we when it runs.
    let late = Caller { session: arrived.session, ids: link.ids.clone() };
    let model = &ghost.replicas[server].model;
    let at = |caller| answer(model, &link.watches, caller, &request);
    let (Some(early), Some(late)) = (at(&arrived.caller()), at(&late)) else { return Ok(()) };
    let body = canonical(&request, body).unwrap_or_else(|| body.to_vec());
    // A session that is closing, or closed, is told so.
    let gone =
        !model.sessions.contains_key(&arrived.session) || ghost.closing.contains(&arrived.session);
    let told_gone = header.err == menagerie_core::proto::ErrorCode::SessionExpired.code();
    let got = Answer { err: header.err, body };
    wrong(got == early || got == late || (gone && told_gone), || {
        format!(
            "{request:?} of session {} at {}\n  got:      err {} {}\n  expected: err {} {}",
            Zxid(arrived.session),
            header.zxid,
            got.err,
            got.body.escape_ascii(),
            early.err,
            early.body.escape_ascii(),
        )
    })
}

fn write(
    ghost: &mut Ghost,
    link: &Link,
    arrived: &Arrived,
    request: &Request<'_>,
    header: &ReplyHeader,
    body: &[u8],
) -> Check {
    let Some(outcome) = ghost.outcomes.remove(&arrived.number) else {
        let what = format!("{request:?} is answered with {header:?}, but was never logged");
        return Err(Violation::new(Property::Writes, what));
    };
    // One that waited behind a sync is as new as what that showed.
    let (zxid, shown) = (header.zxid.0, link.shown);
    let timely = zxid == outcome.zxid || (zxid >= shown && shown > outcome.zxid);
    let right = header.err == outcome.err && timely && (header.err != 0 || body == outcome.body);
    wrong(right, || {
        format!(
            "{request:?}\n  got:      {} err {} {}\n  expected: {} err {} {}",
            header.zxid,
            header.err,
            body.escape_ascii(),
            Zxid(outcome.zxid),
            outcome.err,
            outcome.body.escape_ascii(),
        )
    })
}

fn wrong(right: bool, what: impl FnOnce() -> String) -> Check {
    if right { Ok(()) } else { Err(Violation::new(Property::ExactTree, what())) }
}

/// The body with its lists of names sorted; `None` if it is not what it should be.
fn canonical(request: &Request<'_>, body: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::new(body);
    let mut out = Vec::with_capacity(body.len());
    match request {
        Request::GetChildren { .. }
        | Request::GetChildren2 { .. }
        | Request::GetEphemerals { .. }
            if !body.is_empty() =>
        {
            sorted(&mut reader, &mut out)?;
        }
        Request::MultiRead(_) => loop {
            let (op, done, err) = (reader.int().ok()?, reader.bool().ok()?, reader.int().ok()?);
            out.put_int(op);
            out.put_bool(done);
            out.put_int(err);
            match OpCode::from_code(op)? {
                _ if done => break,
                OpCode::GetChildren => sorted(&mut reader, &mut out)?,
                OpCode::GetData => {
                    out.put_buffer(reader.buffer().ok()?);
                    Stat::decode(&mut reader).ok()?.encode(&mut out);
                }
                _ => out.put_int(reader.int().ok()?),
            }
        },
        _ => {}
    }
    out.extend_from_slice(reader.rest());
    Some(out)
}

fn sorted(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
    let n = reader.vector(4).ok()??;
    let mut names = (0..n).map(|_| reader.string().ok()).collect::<Option<Vec<_>>>()?;
    names.sort_unstable();
    out.put_count(n);
    names.iter().for_each(|name| out.put_string(name));
    Some(())
}
