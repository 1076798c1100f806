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

/// When a znode last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zxids {
    /// Its data.
    pub mzxid: Zxid,
    /// The set of its children.
    pub pzxid: Zxid,
}

impl<A: Clone, Z: Zoo> Watches<A, Z> {
    /// Registers a returning client's watches. `lookup` knows the tree; `send` gets each frame of
    /// a missed event, to go out before the reply. As in Java no ACL filters these, and they carry
    /// no zxid. Missed events of persistent watches are lost.
    ///
    /// # Panics
    /// If the link has pending events: [`Watches::flush_link`] comes first.
    pub fn rearm(
        &mut self,
        link: LinkId,
        wanted: &SetWatches<'_>,
        lookup: impl Fn(&[u8]) -> Option<Zxids>,
        mut send: impl FnMut(&[u8]),
    ) {
        let since = match self.zoo.has(Mutation::RearmTellsOfTheKnown) {
            true => wanted.relative_zxid - 1,
            false => wanted.relative_zxid,
        };
        let mut frame = Vec::new();
        let mut tell_or_add = |missed: Option<EventKind>, kind, path: &[u8]| match missed {
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
