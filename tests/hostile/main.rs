// SPDX-License-Identifier: Apache-2.0
//! Bad input, tried on purpose on the real program: bytes that no client should send, clients that
//! do not behave, configurations and data directories with every mistake. In each case the server
//! lives, or ends with the right code and a sentence that helps; somebody else is served all the
//! while; and its memory does not grow with what it is told.

mod bytes;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod config;
mod data_directory;

use std::process::Child;

use common::{
    Home, end_of, resident, signal,
    wire::{Wire, body as wire_body, encoded, framed, packet},
};
use menagerie_core::proto::{Acl, Create, CreateKind, Request};

/// A server under attack, and a client that only wants to be served.
struct Served {
    home: Home,
    child: Child,
    bystander: Wire,
    /// KiB of memory before the attack, where the system tells.
    resident: Option<u64>,
}

impl Served {
    fn start(name: &str, more: &str) -> Served {
        let home = Home::new(&format!("hostile-{name}"));
        // Nothing here is about durability, and much of it writes.
        home.configure(&format!("forceSync=no\nmaxClientCnxns=0\n{more}"));
        let child = home.foreground("serve");
        let mut bystander = Wire::open(home.port);
        assert_eq!(bystander.ask(&create(b"/bystander")).0, 0);
        let resident = resident(child.id());
        Served { home, child, bystander, resident }
    }

    /// A client with a session.
    fn client(&self) -> Wire {
        Wire::open(self.home.port)
    }

    /// Fails unless somebody else is served: a write and a read.
    fn serves(&mut self) {
        let request = Request::SetData { path: b"/bystander", data: Some(b"x"), version: -1 };
        assert_eq!(self.bystander.ask(&request).0, 0);
        let request = Request::Exists { path: b"/bystander", watch: false };
        assert_eq!(self.bystander.ask(&request).0, 0);
    }

    /// Fails if the server holds so much more memory than before the attack.
    fn grew_less_than(&self, mib: u64) {
        let (Some(before), Some(now)) = (self.resident, resident(self.child.id())) else {
            return println!("SKIPPED, LOUDLY: this system does not tell how much memory is held");
        };
        let grown = now.saturating_sub(before) / 1024;
        println!("memory grew by {grown} MiB, from {} MiB", before / 1024);
        assert!(grown < mib, "memory grew by {grown} MiB");
    }

    /// Fails unless the server serves to the end and then stops cleanly: one that panicked is gone.
    fn end(mut self) {
        self.serves();
        signal("-TERM", &self.child.id().to_string());
        assert_eq!(end_of(&mut self.child), Some(0), "{}", self.home.log());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn create(path: &[u8]) -> Request<'_> {
    create_with(path, b"")
}

fn create_with<'a>(path: &'a [u8], data: &'a [u8]) -> Request<'a> {
    let acl = Some(vec![Acl::OPEN]);
    Request::Create(Create { kind: CreateKind::Create, path, data: Some(data), acl, flags: 0 })
}
