// SPDX-License-Identifier: Apache-2.0
//! The end of a session: its ephemeral znodes go with it, those still in preparation included.

use alloc::vec::Vec;

use super::{Prep, Prepared, Turn, put};
use crate::{
    id::SessionId,
    jute::Record,
    proto::{ErrorCode, OpCode},
    serve::path,
    tree::Tree,
    txn::Txn,
    zoo::Zoo,
};

impl<Z: Zoo> Prep<Z> {
    /// Whoever asks, a session is closed: expiry does not own it, and a second close does no harm.
    pub(super) fn close(&mut self, turn: &Turn<'_>, out: &mut Vec<u8>) -> Prepared {
        self.overlay.begin(turn.cx.tree);
        let start = out.len();
        turn.header(OpCode::CloseSession).encode(out);
        let body = out.len();
        let gone = self.ephemerals(turn.cx.tree, turn.asker.session);
        for path in &gone {
            self.take_away(turn, path);
        }
        if turn.cx.rules.close_session_txn {
            let paths = gone.iter().map(Vec::as_slice).collect();
            put(&Txn::CloseSession { paths: Some(paths) }, out);
            self.put_digest(turn, out);
            if out.len() - start > turn.cx.rules.max_entry {
                // The empty form takes all that the session owns. It has no digest, which readers
                // would take for its body.
                out.truncate(body);
            }
        }
        Prepared { zxid: turn.zxid, op: OpCode::CloseSession, err: ErrorCode::Ok }
    }

    /// What the session will own, oldest first.
    fn ephemerals(&self, tree: &Tree, session: SessionId) -> Vec<Vec<u8>> {
        let mut paths = Vec::with_capacity(tree.ephemeral_count(session) as usize);
        for node in tree.ephemerals(session) {
            let path = tree.path(node);
            if self.overlay.is_still(&path, tree.stored_stat(node).czxid) {
                paths.push(path);
            }
        }
        let applied = paths.len();
        paths.extend(self.overlay.owned_by(session).map(<[u8]>::to_vec));
        paths[applied..].reverse();
        paths
    }

    fn take_away(&mut self, turn: &Turn<'_>, path: &[u8]) {
        let tree = turn.cx.tree;
        let above = path::parent(path).unwrap_or(path::ROOT);
        let node = self.overlay.see(tree, path);
        if let (Some(parent), Some(node)) = (self.overlay.see(tree, above), node) {
            self.remove(turn, (above, &parent), (path, &node));
        }
    }
}
