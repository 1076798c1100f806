// SPDX-License-Identifier: Apache-2.0
//! What the load generator asks for: the same in each run, but for the names of new znodes.

use clap::ValueEnum;
use menagerie_core::{
    id::SessionId,
    proto::{Acl, Create, CreateKind, Request},
};

use super::{Options, link};

/// The znode under which everything lies.
pub const TOP: &str = "/load";

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// getData.
    Read,
    /// setData.
    Write,
    /// Both.
    Mixed,
    /// create, a new znode with each request; they stay.
    Create,
}

/// Chooses the requests of one connection.
pub struct Chooser<'a> {
    options: &'a Options,
    state: u64,
    data: Vec<u8>,
    /// Names what this connection creates, together with a count: no run repeats a path.
    session: SessionId,
    created: u64,
}

impl<'a> Chooser<'a> {
    /// The choices of connection `number`, which has this session.
    pub fn new(number: u32, session: SessionId, options: &'a Options) -> Chooser<'a> {
        let data = vec![b'y'; options.value_size];
        let state = 0x9e37_79b9_7f4a_7c15 ^ (u64::from(number) << 32 | 1);
        Chooser { options, state, data, session, created: 0 }
    }

    /// Appends the next request's type and body.
    pub fn put(&mut self, out: &mut Vec<u8>) {
        let draw = self.draw();
        let znode = path((draw % u64::from(self.options.znodes)) as u32);
        let read = match self.options.workload {
            Workload::Read => true,
            Workload::Write => false,
            Workload::Mixed => (draw >> 40) % 100 < u64::from(self.options.reads),
            Workload::Create => {
                self.created += 1;
                let unique = format!("{TOP}/{:x}-{}", self.session.0, self.created);
                return put_create(&unique, &self.data, out);
            }
        };
        let path = znode.as_bytes();
        let request = if read {
            Request::GetData { path, watch: false }
        } else {
            Request::SetData { path, data: Some(&self.data), version: -1 }
        };
        link::put(&request, out);
    }

    /// xorshift: speed matters here, quality does not.
    fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

/// The path of a znode that is read and written.
pub fn path(znode: u32) -> String {
    format!("{TOP}/{znode:07}")
}

/// Appends a create.
pub fn put_create(path: &str, data: &[u8], out: &mut Vec<u8>) {
    let acl = Some(vec![Acl::OPEN]);
    let path = path.as_bytes();
    let create = Create { kind: CreateKind::Create, path, data: Some(data), acl, flags: 0 };
    link::put(&Request::Create(create), out);
}
