// SPDX-License-Identifier: Apache-2.0
//! Telling everyone who watches, in bounded steps and in time.
//!
//! Events are numbered. Each link remembers the number of the last event it was *told*, and hears
//! nothing twice. A fan-out names lists of watches: of one-shot kinds the list itself, taken out of
//! the table when the event happened; of persistent kinds a cursor into the living list, which
//! grows only at its front, so that whoever comes later is never met. A link on whose behalf no
//! watch was added since the event (the callers' [`Watches::flush_link`] sees to that) is a target
//! if and only if the index still finds its watch.

use alloc::vec::Vec;

use super::{Kind, Watches, encode_event, hears};
use crate::{
    id::{LinkId, Zxid},
    pieces::NIL,
    proto::EventKind,
    zoo::{Mutation, Zoo},
};

/// An event on its way.
#[derive(Clone, Debug)]
pub(super) struct FanOut<A> {
    number: u64,
    event: EventKind,
    frame: Vec<u8>,
    acl: A,
    lists: Vec<List>,
}

/// Watches of one kind on one path.
#[derive(Clone, Copy, Debug)]
struct List {
    path: u32,
    kind: Kind,
    /// Whether the watches are spent by this.
    spent: bool,
    /// The first one not visited yet.
    next: u32,
}

impl<A> FanOut<A> {
    /// A watch is about to go; `next` follows it in its path's list.
    pub fn leave_watch(&mut self, watch: u32, next: u32) {
        for list in &mut self.lists {
            if list.next == watch {
                list.next = next;
            }
        }
    }
}

impl<A: Clone, Z: Zoo> Watches<A, Z> {
    /// Tells those who watch of an event: as many as one turn may now, the rest in later steps.
    ///
    /// `acl` says who may read the znode, or could before it was deleted.
    pub fn trigger(
        &mut self,
        event: EventKind,
        path: &[u8],
        zxid: Zxid,
        acl: &A,
        sink: &mut impl FnMut(LinkId, &[u8], &A),
    ) {
        let lists = self.take_lists(event, path);
        if lists.is_empty() {
            return;
        }
        self.events += 1;
        let mut frame = Vec::with_capacity(path.len() + 32);
        encode_event(event, path, zxid, &mut frame);
        let mut job = FanOut { number: self.events, event, frame, acl: acl.clone(), lists };
        let mut budget = self.inline;
        if self.run(&mut job, &mut budget, sink) {
            self.finish(job);
        } else {
            self.jobs.push_back(job);
        }
    }

    /// Whether a link is to hear of something before it is served or answered.
    pub fn is_pending(&self, link: LinkId) -> bool {
        if self.jobs.is_empty() || self.zoo.has(Mutation::ReplyOvertakesEvent) {
            return false;
        }
        let newest = self.jobs.back().map_or(0, |job| job.number);
        self.table.find_link(link).is_some_and(|at| self.table.links[at].told < newest)
    }

    /// Tells a link all that is pending for it.
    pub fn flush_link(&mut self, link: LinkId, sink: &mut impl FnMut(LinkId, &[u8], &A)) {
        if self.is_pending(link)
            && let Some(at) = self.table.find_link(link)
        {
            self.catch_up(at, u64::MAX, sink);
        }
    }

    /// Goes on with long work for at most `budget` watches; true if there is more.
    pub fn step(&mut self, budget: usize, sink: &mut impl FnMut(LinkId, &[u8], &A)) -> bool {
        let mut budget = budget;
        while budget > 0
            && let Some(mut job) = self.jobs.pop_front()
        {
            if self.run(&mut job, &mut budget, sink) {
                self.finish(job);
            } else {
                self.jobs.push_front(job);
            }
        }
        self.clear_dropped(&mut budget);
        self.is_busy()
    }

    /// Finds the lists of watches that an event concerns; one-shot ones leave the table with it.
    fn take_lists(&mut self, event: EventKind, path: &[u8]) -> Vec<List> {
        let mut lists = Vec::new();
        if let Some(at) = self.table.find_path(path) {
            for kind in Kind::ALL {
                if hears(self.zoo, kind, event) {
                    self.take_list(at, kind, &mut lists);
                }
            }
        }
        if self.table.counts.recursive > 0 && event != EventKind::ChildrenChanged {
            let mut above = Vec::new();
            self.table.ancestors(path, |at| above.push(at));
            if self.zoo.has(Mutation::RecursiveWatchIsShallow) {
                let parent = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0).max(1);
                above.retain(|at| self.table.paths[*at].text.len() == parent);
            }
            for at in above {
                self.take_list(at, Kind::PersistentRecursive, &mut lists);
            }
        }
        lists
    }

    fn take_list(&mut self, path: u32, kind: Kind, lists: &mut Vec<List>) {
        let entry = &mut self.table.paths[path];
        let next = entry.first[kind as usize];
        if next == NIL {
            return;
        }
        let spent = kind.is_one_shot() && !self.zoo.has(Mutation::WatchFiresAgain);
        if spent {
            entry.first[kind as usize] = NIL;
        }
        entry.refs += 1;
        lists.push(List { path, kind, spent, next });
    }

    /// Runs through an event's lists while the budget lasts; true at their end.
    fn run(
        &mut self,
        job: &mut FanOut<A>,
        budget: &mut usize,
        sink: &mut impl FnMut(LinkId, &[u8], &A),
    ) -> bool {
        for at in 0..job.lists.len() {
            while job.lists[at].next != NIL {
                if *budget == 0 {
                    return false;
                }
                *budget -= 1;
                let here = job.lists[at].next;
                let watch = self.table.watches[here];
                job.lists[at].next = watch.path_next;
                if job.lists[at].spent {
                    self.free(here);
                }
                let link = watch.link();
                if self.table.links[link].alive && self.table.links[link].told < job.number {
                    self.catch_up(link, job.number, sink);
                    self.spend(job, link);
                    self.tell(link, job.number, job.event);
                    sink(self.table.links[link].id, &job.frame, &job.acl);
                }
            }
        }
        true
    }

    /// Removes what else an event spends of a link's watches before it is told: afterwards it may
    /// register the same anew.
    fn spend(&mut self, job: &mut FanOut<A>, link: u32) {
        for at in 0..job.lists.len() {
            let List { path, kind, spent, .. } = job.lists[at];
            if spent && let Some(watch) = self.table.find(path, link, kind) {
                job.leave_watch(watch, self.table.watches[watch].path_next);
                self.free(watch);
            }
        }
    }

    /// Tells a link what is pending for it of the events numbered below `below`.
    fn catch_up(&mut self, link: u32, below: u64, sink: &mut impl FnMut(LinkId, &[u8], &A)) {
        for job in 0..self.jobs.len() {
            let number = self.jobs[job].number;
            if number >= below || number <= self.table.links[link].told {
                continue;
            }
            let mut concerned = false;
            for list in 0..self.jobs[job].lists.len() {
                let List { path, kind, spent, .. } = self.jobs[job].lists[list];
                if let Some(watch) = self.table.find(path, link, kind) {
                    concerned = true;
                    if spent {
                        self.free(watch);
                    }
                }
            }
            self.table.links[link].told = number;
            if concerned {
                self.tell(link, number, self.jobs[job].event);
                let job = &self.jobs[job];
                sink(self.table.links[link].id, &job.frame, &job.acl);
            }
        }
    }

    fn tell(&mut self, link: u32, number: u64, event: EventKind) {
        self.table.links[link].told = number;
        self.told[event as usize - 1] += 1;
    }

    fn finish(&mut self, job: FanOut<A>) {
        for list in job.lists {
            self.release_path(list.path);
        }
    }
}
