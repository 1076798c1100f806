// SPDX-License-Identifier: Apache-2.0
//! Watches: who wants to hear of a change, and seeing to it that they hear in time.
//!
//! The contract with clients: an event reaches a link before any reply that could show the state
//! after it, events of one link come in the order of their transactions, and one change is told
//! once to a link however many ways it watches. A one-shot watch is spent by its event, also by
//! one that the ACL keeps from the link.
//!
//! Law 3 holds for herds, too. A change first runs through as many watches as one turn may; what
//! is left becomes a [`fanout::FanOut`] with a cursor, which [`Watches::step`] moves on. The
//! one-shot watches that a change spends are taken away as a whole list in constant time. Until
//! the fan-out comes by, a link's events are *pending*: whoever is about to serve or answer a link
//! calls [`Watches::flush_link`] first, and so the contract holds for it.
//!
//! ```text
//! an event of `path`         | heard by: Data | Child | Persistent | PersistentRecursive
//! created, data changed      |           yes  |       | yes        | of path or above
//! deleted                    |           yes  | yes   | yes        | of path or above
//! children changed           |                | yes   | yes        |
//! ```

mod fanout;
mod rearm;
mod table;
#[cfg(test)]
mod tests;
mod walk;

use alloc::{collections::VecDeque, vec::Vec};

pub use rearm::Present;
pub use walk::{Walk, WalkBy, WalkItem};

use crate::{
    hash::Keyed,
    id::{LinkId, Zxid},
    jute::{Record, begin_frame, end_frame},
    pieces::NIL,
    proto::{EventKind, ReplyHeader, WatcherEvent, XID_NOTIFICATION},
    zoo::{Mutation, Sound, Zoo},
};
use fanout::FanOut;
use table::{Table, Watch};

/// How a link watches a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Once: creation, deletion, data. Left by getData and exists.
    Data,
    /// Once: deletion, children. Left by getChildren.
    Child,
    /// Until taken back: everything about the path.
    Persistent,
    /// Until taken back: creation, deletion and data of the path and of all below.
    PersistentRecursive,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] =
        [Kind::Data, Kind::Child, Kind::Persistent, Kind::PersistentRecursive];

    /// The kind that an addWatch request asks for.
    pub fn from_add_mode(mode: i32) -> Option<Kind> {
        match mode {
            0 => Some(Kind::Persistent),
            1 => Some(Kind::PersistentRecursive),
            _ => None,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    fn is_one_shot(self) -> bool {
        matches!(self, Kind::Data | Kind::Child)
    }
}

/// Which watches checkWatches and removeWatches mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatcherType {
    /// 1: the one-shot child watch.
    Children,
    /// 2: the one-shot data watch.
    Data,
    /// 3: whatever there is.
    Any,
    /// 4: the persistent watch.
    Persistent,
    /// 5: the persistent recursive watch.
    PersistentRecursive,
}

impl WatcherType {
    /// The meaning of a number from the wire.
    pub fn from_code(code: i32) -> Option<WatcherType> {
        Some(match code {
            1 => WatcherType::Children,
            2 => WatcherType::Data,
            3 => WatcherType::Any,
            4 => WatcherType::Persistent,
            5 => WatcherType::PersistentRecursive,
            _ => return None,
        })
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            WatcherType::Children => &[Kind::Child],
            WatcherType::Data => &[Kind::Data],
            WatcherType::Any => &Kind::ALL,
            WatcherType::Persistent => &[Kind::Persistent],
            WatcherType::PersistentRecursive => &[Kind::PersistentRecursive],
        }
    }
}

/// What the `wchs` word and the gauges report. While a fan-out or a dropped link's clearing is
/// under way, what they have not come by yet is still counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Links with data watches of any kind.
    pub links: usize,
    /// Paths with such watches.
    pub paths: usize,
    /// Such watches: (path, link) pairs.
    pub data_watches: usize,
    /// All watches as Java's `watch_count` gauge counts them: pairs in both of its tables.
    pub all_watches: usize,
    /// Events told, by [`EventKind`] from created to children changed.
    pub told: [u64; 4],
}

/// Every watch of every link of this server.
///
/// `A` is whatever says who may read a znode; it travels with an event to the caller's sink, which
/// judges by it. A sink takes the link, the whole frame to send, and that.
#[derive(Clone, Debug)]
pub struct Watches<A, Z: Zoo = Sound> {
    table: Table,
    /// Unfinished fan-outs, oldest first.
    jobs: VecDeque<FanOut<A>>,
    /// The number of the newest event.
    events: u64,
    /// Positions of dropped links whose watches are not cleared yet.
    dropped: VecDeque<u32>,
    walks: Vec<walk::State>,
    told: [u64; 4],
    /// How many watches an event runs through before it becomes a fan-out.
    inline: usize,
    zoo: Z,
}

impl<A: Clone, Z: Zoo> Watches<A, Z> {
    /// Nobody watches. An event with more watches than `inline` becomes a fan-out.
    pub fn new(hash: Keyed, inline: usize, zoo: Z) -> Watches<A, Z> {
        Watches {
            table: Table::new(hash),
            jobs: VecDeque::new(),
            events: 0,
            dropped: VecDeque::new(),
            walks: Vec::new(),
            told: [0; 4],
            inline,
            zoo,
        }
    }

    /// Registers a watch; false if the link has it already.
    ///
    /// # Panics
    /// If the link has pending events: [`Watches::flush_link`] comes first.
    pub fn add(&mut self, kind: Kind, link: LinkId, path: &[u8]) -> bool {
        assert!(!self.is_pending(link), "flush_link comes before serving a link");
        let link = self.table.intern_link(link, self.events);
        self.table.add(path, link, kind)
    }

    /// Whether a link has a watch of a type on a path.
    pub fn contains(&self, which: WatcherType, link: LinkId, path: &[u8]) -> bool {
        assert!(!self.is_pending(link), "flush_link comes before serving a link");
        let (Some(link), Some(path)) = (self.table.find_link(link), self.table.find_path(path))
        else {
            return false;
        };
        which.kinds().iter().any(|&kind| self.table.find(path, link, kind).is_some())
    }

    /// Takes watches of a type back; false if there were none.
    ///
    /// # Panics
    /// If the link has pending events: [`Watches::flush_link`] comes first.
    pub fn remove(&mut self, which: WatcherType, link: LinkId, path: &[u8]) -> bool {
        assert!(!self.is_pending(link), "flush_link comes before serving a link");
        let (Some(link), Some(path)) = (self.table.find_link(link), self.table.find_path(path))
        else {
            return false;
        };
        let mut removed = false;
        for &kind in which.kinds() {
            if let Some(at) = self.table.find(path, link, kind) {
                self.free(at);
                removed = true;
            }
        }
        removed
    }

    /// Forgets a link: it is told nothing more. Its watches go now or, if many, in later steps.
    pub fn drop_link(&mut self, link: LinkId) {
        if let Some(at) = self.table.drop_link(link) {
            self.dropped.push_back(at);
            let mut budget = self.inline;
            self.clear_dropped(&mut budget);
        }
    }

    /// Whether there is long work for [`Watches::step`].
    pub fn is_busy(&self) -> bool {
        !self.jobs.is_empty() || !self.dropped.is_empty()
    }

    /// How many events are not told to everyone yet. Writes should wait while these pile up.
    pub fn backlog(&self) -> usize {
        self.jobs.len()
    }

    /// What there is.
    pub fn summary(&self) -> Summary {
        let counts = &self.table.counts;
        Summary {
            links: counts.links,
            paths: counts.paths,
            data_watches: counts.data,
            all_watches: counts.data + counts.child,
            told: self.told,
        }
    }

    /// Forgets how many events were told, for the `srst` word.
    pub fn reset_told(&mut self) {
        self.told = [0; 4];
    }

    fn clear_dropped(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some(&link) = self.dropped.front()
        {
            *budget -= 1;
            match self.table.links[link].first {
                NIL => {
                    self.dropped.pop_front();
                    self.leave_link(link);
                    self.table.links.remove(link);
                }
                watch => self.free(watch),
            }
        }
    }

    /// Removes a watch, moving every cursor that stands on it.
    fn free(&mut self, at: u32) {
        let watch: Watch = self.table.unlink(at);
        for job in &mut self.jobs {
            job.leave_watch(at, watch.path_next);
        }
        for walk in &mut self.walks {
            walk.leave_watch(at, &watch);
        }
        self.release_path(watch.path);
    }

    fn release_path(&mut self, path: u32) {
        if self.table.release_path(path) {
            for walk in &mut self.walks {
                walk.leave_head(WalkBy::Path, path);
            }
        }
    }

    fn leave_link(&mut self, link: u32) {
        for walk in &mut self.walks {
            walk.leave_head(WalkBy::Link, link);
        }
    }
}

/// Appends the frame of a notification. `zxid` is the cause's, or -1 where it is not known.
pub fn encode_event(kind: EventKind, path: &[u8], zxid: Zxid, out: &mut Vec<u8>) {
    /// `KeeperState.SyncConnected`: servers never send another.
    const CONNECTED: i32 = 3;
    let mark = begin_frame(out);
    ReplyHeader { xid: XID_NOTIFICATION, zxid, err: 0 }.encode(out);
    WatcherEvent { kind: kind.code(), state: CONNECTED, path }.encode(out);
    end_frame(out, mark);
}

/// Whether watches of a kind hear of events of a kind at their own path.
fn hears<Z: Zoo>(zoo: Z, kind: Kind, event: EventKind) -> bool {
    match (kind, event) {
        (Kind::Data, event) => event != EventKind::ChildrenChanged,
        (Kind::Child, EventKind::Deleted) => !zoo.has(Mutation::DeletionUnseenByChildWatches),
        (Kind::Child, event) => event == EventKind::ChildrenChanged,
        (Kind::Persistent, _) => true,
        (Kind::PersistentRecursive, event) => event != EventKind::ChildrenChanged,
    }
}
