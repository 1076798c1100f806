// SPDX-License-Identifier: Apache-2.0
//! Reads: answered in the turn they come in, from the applied tree, with the watch registered in
//! the same step. Nothing is allocated on the way.
//!
//! Source: `FinalRequestProcessor` of ZooKeeper 3.9.

use alloc::vec::Vec;

use super::auth::{Identities, Schemes, masked, user};
use crate::{
    id::SessionId,
    jute::{Record, Write},
    proto::{Acl, ErrorCode, OpCode, Request, end_multi, perms},
    tree::{NodeId, Tree},
};

/// What a read may look at.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The applied tree.
    pub tree: &'a Tree,
    /// The judge of ACLs.
    pub schemes: &'a Schemes,
    /// Who asks.
    pub ids: &'a Identities,
}

impl Reader<'_> {
    /// The Stat, or no such znode. The watch is the caller's business.
    pub fn exists(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        if path.contains(&0) {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.permitted(path, perms::READ)?;
        self.tree.stat(node).encode(out);
        Ok(())
    }

    /// Data and Stat.
    pub fn data(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.permitted(path, perms::READ)?;
        out.put_buffer(self.tree.data(node));
        self.tree.stat(node).encode(out);
        Ok(())
    }

    /// Names of the children.
    pub fn children(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.permitted(path, perms::READ)?;
        out.put_count(self.tree.child_count(node) as usize);
        for child in self.tree.children(node) {
            out.put_string(self.tree.name(child));
        }
        Ok(())
    }

    /// Names of the children and Stat.
    pub fn children2(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        self.children(path, out)?;
        let node = self.tree.find(path).expect("it was just found");
        self.tree.stat(node).encode(out);
        Ok(())
    }

    /// ACL and Stat, without the hashes of passwords for whoever may not administer.
    pub fn acl(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.permitted(path, perms::READ | perms::ADMIN)?;
        let acl = self.tree.acl(node);
        let admin = self.schemes.allows(acl.iter(), perms::ADMIN, self.ids);
        out.put_count(acl.iter().count());
        for entry in acl.iter() {
            if admin { entry.encode(out) } else { put_masked(entry, out) }
        }
        self.tree.stat(node).encode(out);
        Ok(())
    }

    /// How many descendants.
    pub fn descendants(&self, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.permitted(path, perms::READ)?;
        out.put_int(self.tree.descendants(node).cast_signed());
        Ok(())
    }

    /// The session's ephemeral znodes below a prefix.
    pub fn ephemerals(&self, session: SessionId, prefix: &[u8], out: &mut Vec<u8>) {
        // Java trims the prefix when it asks whether there is one, and compares it untrimmed.
        let all = matches!(prefix.trim_ascii(), b"" | b"/");
        let (mark, mut count) = (out.len(), 0);
        out.put_count(0);
        for node in self.tree.ephemerals(session) {
            let path = self.tree.path(node);
            if all || path.starts_with(prefix) {
                out.put_string(&path);
                count += 1i32;
            }
        }
        out[mark..mark + 4].copy_from_slice(&count.to_be_bytes());
    }

    /// Each read of a multiRead with its own result. All of them are refused when they come to
    /// much more than `longest` bytes: a packet holds enough reads of the largest znode to fill
    /// any memory.
    pub fn multi(
        &self,
        reads: &[Request<'_>],
        longest: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let start = out.len();
        for read in reads {
            let mark = out.len();
            put_multi_header(read.op(), 0, out);
            let result = match read {
                Request::GetData { path, .. } => self.data(path, out),
                Request::GetChildren { path, .. } => self.children(path, out),
                _ => Err(ErrorCode::Unimplemented),
            };
            if let Err(err) = result {
                out.truncate(mark);
                put_multi_header(OpCode::Error, err.code(), out);
                out.put_int(err.code());
            }
            if out.len() - start > longest {
                return Err(ErrorCode::MarshallingError);
            }
        }
        end_multi(out);
        Ok(())
    }

    /// Who the connection has shown to be.
    pub fn who_am_i(&self, out: &mut Vec<u8>) {
        out.put_count(self.ids.iter().count());
        for id in self.ids.iter() {
            out.put_string(id.scheme);
            out.put_string(user(id));
        }
    }

    /// The znode, if these identities have any of `wanted` on it.
    fn permitted(&self, path: &[u8], wanted: i32) -> Result<NodeId, ErrorCode> {
        let node = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        let granted = self.schemes.allows(self.tree.acl(node).iter(), wanted, self.ids);
        if granted { Ok(node) } else { Err(ErrorCode::NoAuth) }
    }
}

/// What stands before each result of a multi.
fn put_multi_header(op: OpCode, err: i32, out: &mut Vec<u8>) {
    out.put_int(op.code());
    out.put_bool(false);
    out.put_int(err);
}

fn put_masked(entry: Acl<'_>, out: &mut Vec<u8>) {
    out.put_int(entry.perms);
    out.put_string(entry.who.scheme);
    out.put_string(&masked(entry.who));
}
