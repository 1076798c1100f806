// SPDX-License-Identifier: Apache-2.0
//! What clients asked: a request as it reached a server, and what was known then.

use menagerie_core::{
    id::LinkId,
    jute::{Reader, Record},
    proto::{OpCode, Request, RequestHeader},
};

use crate::model::{Caller, Id};

/// A request that reached a server.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Its number among all requests of the world.
    pub number: u64,
    /// The link it came on.
    pub link: LinkId,
    /// The session of its link.
    pub session: i64,
    /// Its xid.
    pub xid: i32,
    /// Its operation's number.
    pub op: i32,
    /// The whole frame, header included.
    pub frame: Vec<u8>,
    /// The identities of its link.
    pub ids: Vec<Id>,
    /// World time of its arrival.
    pub at: u64,
    /// The newest zxid that any client had been told by then.
    pub told: i64,
    /// What whoever orders it had applied by then, at least.
    pub applied: i64,
    /// The newest transaction that its server had logged by then.
    pub logged: i64,
}

impl Arrived {
    /// The request, if its body can be read.
    pub fn request(&self) -> Option<Request<'_>> {
        let mut reader = Reader::new(&self.frame);
        let header = RequestHeader::decode(&mut reader).ok()?;
        Request::decode(header.op, &mut reader).ok()
    }

    /// Who asks.
    pub fn caller(&self) -> Caller {
        Caller { session: self.session, ids: self.ids.clone() }
    }

    /// Whether it becomes a transaction.
    pub fn is_write(&self) -> bool {
        use OpCode as O;
        matches!(
            OpCode::from_code(self.op),
            Some(
                O::Create
                    | O::Create2
                    | O::CreateContainer
                    | O::CreateTtl
                    | O::Delete
                    | O::SetData
                    | O::SetAcl
                    | O::Multi
                    | O::Check
                    | O::CloseSession
                    | O::Reconfig
            )
        )
    }
}

/// What a request came to when its transaction was applied.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The transaction.
    pub zxid: i64,
    /// The error of the reply.
    pub err: i32,
    /// The body of the reply.
    pub body: Vec<u8>,
}
