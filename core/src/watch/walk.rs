// SPDX-License-Identifier: Apache-2.0
//! Walking through all data watches in bounded steps, for the `wchc` and `wchp` words. The table
//! lives on meanwhile: what comes or goes during a walk may be in it or not.

use super::{Kind, Watches, table::Watch};
use crate::{id::LinkId, pieces::NIL, zoo::Zoo};

/// What the groups of a walk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkBy {
    /// Each link, then its paths.
    Link,
    /// Each path, then its links.
    Path,
}

/// One line of a walk. What the groups are by begins a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkItem<'a> {
    /// A link.
    Link(LinkId),
    /// A path.
    Path(&'a [u8]),
}

/// A walk under way; [`Watches::end_walk`] ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    id: u64,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    id: u64,
    by: WalkBy,
    /// The position of the group's link or path.
    at: u32,
    /// How many of the group's lists were begun.
    begun: usize,
    /// The next watch.
    watch: u32,
    /// Whether the group was named.
    named: bool,
}

/// The kinds that Java keeps in its data table: its reports know no others.
const DATA_KINDS: [Kind; 3] = [Kind::Data, Kind::Persistent, Kind::PersistentRecursive];

impl State {
    /// A watch is about to go.
    pub fn leave_watch(&mut self, at: u32, watch: &Watch) {
        if self.watch == at {
            self.watch = match self.by {
                WalkBy::Link => watch.link_next,
                WalkBy::Path => watch.path_next,
            };
        }
    }

    /// A link or path is about to go.
    pub fn leave_head(&mut self, by: WalkBy, at: u32) {
        if self.by == by && self.at == at {
            self.watch = NIL;
            self.begun = DATA_KINDS.len();
        }
    }
}

impl<A: Clone, Z: Zoo> Watches<A, Z> {
    /// Begins a walk.
    pub fn begin_walk(&mut self, by: WalkBy) -> Walk {
        let id = self.walks.last().map_or(0, |walk| walk.id + 1);
        self.walks.push(State { id, by, at: 0, begun: 0, watch: NIL, named: false });
        Walk { id }
    }

    /// Goes on for at most `budget` steps; false once that was all.
    pub fn walk(&mut self, walk: &Walk, budget: usize, mut give: impl FnMut(WalkItem<'_>)) -> bool {
        let at = self.walks.iter().position(|state| state.id == walk.id).expect("not ended yet");
        let mut state = self.walks[at].clone();
        let more = (0..budget).all(|_| self.walk_step(&mut state, &mut give));
        self.walks[at] = state;
        more
    }

    /// Forgets a walk.
    pub fn end_walk(&mut self, walk: Walk) {
        self.walks.retain(|state| state.id != walk.id);
    }

    fn walk_step(&self, state: &mut State, give: &mut impl FnMut(WalkItem<'_>)) -> bool {
        if state.watch == NIL {
            return self.walk_on(state);
        }
        let watch = &self.table.watches[state.watch];
        let link = &self.table.links[watch.link()];
        if link.alive && self.is_first_of_pair(watch) {
            let path = WalkItem::Path(&self.table.paths[watch.path].text);
            let link = WalkItem::Link(link.id);
            let (head, item) = match state.by {
                WalkBy::Link => (link, path),
                WalkBy::Path => (path, link),
            };
            if !core::mem::replace(&mut state.named, true) {
                give(head);
            }
            give(item);
        }
        state.watch = match state.by {
            WalkBy::Link => watch.link_next,
            WalkBy::Path => watch.path_next,
        };
        true
    }

    /// Finds the next list of watches; false after the last.
    fn walk_on(&self, state: &mut State) -> bool {
        let (end, lists) = match state.by {
            WalkBy::Link => (self.table.links.end(), 1),
            WalkBy::Path => (self.table.paths.end(), DATA_KINDS.len()),
        };
        if state.at >= end {
            return false;
        }
        if state.begun >= lists {
            *state = State { at: state.at + 1, begun: 0, named: false, ..*state };
            return state.at < end;
        }
        state.watch = match state.by {
            WalkBy::Link => self.table.links[state.at].first,
            WalkBy::Path => self.table.paths[state.at].first[DATA_KINDS[state.begun] as usize],
        };
        state.begun += 1;
        true
    }

    /// Whether a watch is the one under which its (path, link) pair is reported.
    fn is_first_of_pair(&self, watch: &Watch) -> bool {
        let kind = watch.kind();
        let earlier = DATA_KINDS.iter().take_while(|earlier| **earlier != kind);
        DATA_KINDS.contains(&kind)
            && earlier
                .copied()
                .all(|earlier| self.table.find(watch.path, watch.link(), earlier).is_none())
    }
}
