// SPDX-License-Identifier: Apache-2.0
//! setWatches and setWatches2: a client that was away brings its watches, and the newest zxid it
//! had seen. What it missed is told at once; the rest is registered.

use alloc::vec::Vec;

use super::{Kind, Watches, encode_event};
use crate::{
    id::{LinkId, Zxid},
    proto::{EventKind, SetWatches},
    zoo::{Mutation, Zoo},
};

/// A znode that is there: when it last changed, and whether this client may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Present {
    /// The last change of its data.
    pub mzxid: Zxid,
    /// The last change of the set of its children.
    pub pzxid: Zxid,
    /// Whether the client may read it.
    pub readable: bool,
}

impl<A: Clone, Z: Zoo> Watches<A, Z> {
    /// Registers a returning client's watches. `lookup` knows the tree; `send` gets each frame of
    /// a missed event, to go out before the reply; as in Java these carry no zxid, and those of
    /// persistent watches are lost. An event of a znode that the client may not read spends its
    /// watch and is not told, as if it had come while the client was there; Java tells it. That a
    /// znode is gone is told to all: `exists` says so, too.
    ///
    /// # Panics
    /// If the link has pending events: [`Watches::flush_link`] comes first.
    pub fn rearm(
        &mut self,
        link: LinkId,
        wanted: &SetWatches<'_>,
        lookup: impl Fn(&[u8]) -> Option<Present>,
        mut send: impl FnMut(&[u8]),
    ) {
        let since = match self.zoo.has(Mutation::RearmTellsOfTheKnown) {
            true => wanted.relative_zxid - 1,
            false => wanted.relative_zxid,
        };
        let mut frame = Vec::new();
        let secret = |node: &Present| !node.readable;
        let mut tell_or_add = |missed: Option<EventKind>, kind, path: &[u8]| match missed {
            Some(_) if lookup(path).as_ref().is_some_and(secret) => {}
            Some(event) => {
                frame.clear();
                encode_event(event, path, Zxid(-1), &mut frame);
                send(&frame);
            }
            None => {
                self.add(kind, link, path);
            }
        };
        for path in &wanted.data {
            let missed = match lookup(path) {
                None => Some(EventKind::Deleted),
                Some(node) => (node.mzxid.0 > since).then_some(EventKind::DataChanged),
            };
            tell_or_add(missed, Kind::Data, path);
        }
        for path in &wanted.exist {
            tell_or_add(lookup(path).map(|_| EventKind::Created), Kind::Data, path);
        }
        for path in &wanted.child {
            let missed = match lookup(path) {
                None => Some(EventKind::Deleted),
                Some(node) => (node.pzxid.0 > since).then_some(EventKind::ChildrenChanged),
            };
            tell_or_add(missed, Kind::Child, path);
        }
        for path in &wanted.persistent {
            tell_or_add(None, Kind::Persistent, path);
        }
        for path in &wanted.recursive {
            tell_or_add(None, Kind::PersistentRecursive, path);
        }
    }
}
