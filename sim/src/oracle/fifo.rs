// SPDX-License-Identifier: Apache-2.0
//! A session's requests are answered one by one in the order in which they were sent, and no reply
//! is older than what its client knew. A write comes after all that any client had been told when
//! it was sent. So does a sync; where there is one server, a read, too, and a sync waits for all
//! that was proposed before it.

use std::sync::Arc;

use menagerie_core::{
    id::{LinkId, Zxid},
    proto::{OpCode, ReplyHeader, XID_PING},
};

use super::{Off, Property, Violation, asked::Arrived, replica::Link};

/// Whether the replies to an operation stand outside the order.
pub fn is_aside(op: i32) -> bool {
    op == OpCode::Ping.code() || op == OpCode::Auth.code()
}

/// Takes the request that a reply answers, of a server that is `alone` or not.
pub fn answered(
    link: &mut Link,
    name: LinkId,
    header: &ReplyHeader,
    alone: bool,
    off: Off,
) -> Result<Arc<Arrived>, Violation> {
    // A ping is answered under the pings' xid, whatever it came under.
    let ping = OpCode::Ping.code();
    let fits = |one: &Arc<Arrived>| match header.xid {
        XID_PING => one.op == ping,
        xid => one.op != ping && one.xid == xid,
    };
    let aside = link.asides.iter().position(fits);
    let taken = if aside.is_some() {
        aside.and_then(|at| link.asides.remove(at))
    } else if link.requests.front().is_some_and(|first| first.xid == header.xid) {
        link.requests.pop_front()
    } else {
        None
    };
    let Some(arrived) = taken else {
        let next = link.requests.front().map(|arrived| arrived.xid);
        return broken(format!("link {}: {header:?} answers nothing; next is {next:?}", name.0));
    };
    let sync = arrived.op == OpCode::Sync.code() && header.err == 0;
    let known = if alone || sync || arrived.is_write() { arrived.told } else { link.shown };
    let looked_at = !off.has(Property::SessionFifo);
    if looked_at && header.zxid.0 < known && header.zxid.0 >= 0 && arrived.op != OpCode::Auth.code()
    {
        let (known, got) = (Zxid(known), header.zxid);
        return broken(format!("link {}: a reply at {got} after someone saw {known}", name.0));
    }
    if sync && alone && header.zxid.0 < arrived.logged {
        let (logged, got) = (Zxid(arrived.logged), header.zxid);
        return broken(format!("link {}: a sync at {got} asked when {logged} was logged", name.0));
    }
    Ok(arrived)
}

fn broken<T>(what: String) -> Result<T, Violation> {
    Err(Violation::new(Property::SessionFifo, what))
}
