// SPDX-License-Identifier: Apache-2.0
//! The watches of one link, with the semantics of 3.9's two tables: standard, persistent and
//! recursive modes beside each other on one path, one event for a deletion that both tables see.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_core::proto::{Request, SetWatches, perms};

use super::{Fired, Id, Model, Znode, permits, split};

const STANDARD: u8 = 1;
const PERSISTENT: u8 = 2;
const RECURSIVE: u8 = 4;

/// Which watches `checkWatches` and `removeWatches` mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Standard child watches.
    Children = 1,
    /// Standard data watches.
    Data = 2,
    /// All watches.
    Any = 3,
    /// Persistent watches.
    Persistent = 4,
    /// Persistent and recursive watches.
    Recursive = 5,
}

/// The watches of one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watches {
    data: BTreeMap<Vec<u8>, u8>,
    child: BTreeMap<Vec<u8>, u8>,
    /// Where a watch was used up by an event that its client may not know of.
    silent: BTreeSet<Vec<u8>>,
}

impl Watches {
    /// How many paths are watched.
    pub fn len(&self) -> usize {
        self.data.len() + self.child.len()
    }

    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a read that was answered with `err` leaves behind.
    pub fn after(&mut self, request: &Request<'_>, err: i32) {
        let (ok, missing) = (err == 0, err == -101);
        match request {
            Request::Exists { path, watch: true } if ok || missing => {
                add(&mut self.data, path, STANDARD);
            }
            Request::GetData { path, watch: true } if ok => add(&mut self.data, path, STANDARD),
            Request::GetChildren { path, watch: true }
            | Request::GetChildren2 { path, watch: true }
                if ok =>
            {
                add(&mut self.child, path, STANDARD);
            }
            Request::AddWatch { path, mode: 0 } if ok => {
                add(&mut self.data, path, PERSISTENT);
                add(&mut self.child, path, PERSISTENT);
            }
            Request::AddWatch { path, .. } if ok => add(&mut self.data, path, RECURSIVE),
            Request::RemoveWatches { path, kind } if ok => {
                let (data, child) = modes(*kind);
                take(&mut self.data, path, data);
                take(&mut self.child, path, child);
            }
            _ => {}
        }
    }

    /// Registers watches again; what they missed, and may know, is answered with events at once.
    pub fn set(
        &mut self,
        model: &Model,
        watches: &SetWatches<'_>,
        ids: &[Id],
    ) -> Vec<(i32, Vec<u8>)> {
        let mut missed = Vec::new();
        let since = watches.relative_zxid;
        for path in &watches.data {
            match model.seen(path) {
                None => missed.push((2, path.to_vec())),
                Some(node) if node.stat.mzxid.0 > since => missed.push((3, path.to_vec())),
                Some(_) => add(&mut self.data, path, STANDARD),
            }
        }
        for path in &watches.exist {
            match model.seen(path) {
                Some(_) => missed.push((1, path.to_vec())),
                None => add(&mut self.data, path, STANDARD),
            }
        }
        for path in &watches.child {
            match model.seen(path) {
                None => missed.push((2, path.to_vec())),
                Some(node) if node.stat.pzxid.0 > since => missed.push((4, path.to_vec())),
                Some(_) => add(&mut self.child, path, STANDARD),
            }
        }
        for path in &watches.persistent {
            add(&mut self.data, path, PERSISTENT);
            add(&mut self.child, path, PERSISTENT);
        }
        for path in &watches.recursive {
            add(&mut self.data, path, RECURSIVE);
        }
        let may_know = |node: &Znode| permits(&node.acl, perms::READ, ids);
        let told = |(_, path): &(i32, Vec<u8>)| model.seen(path).is_none_or(may_know);
        let (told, untold): (Vec<_>, Vec<_>) = missed.into_iter().partition(told);
        self.silent.extend(untold.into_iter().map(|(_, path)| path));
        told
    }

    /// Whether a watch of a kind is there, as `checkWatches` asks.
    pub fn contains(&self, path: &[u8], kind: i32) -> bool {
        let (data, child) =
            if kind == Kind::Persistent as i32 { (PERSISTENT, 0) } else { modes(kind) };
        holds(&self.data, path, data) || holds(&self.child, path, child)
    }

    /// Whether `removeWatches` finds something to remove.
    pub fn would_remove(&self, path: &[u8], kind: i32) -> bool {
        let (data, child) = modes(kind);
        holds(&self.data, path, data) || holds(&self.child, path, child)
    }

    /// Whether this link hears of an event, given who is behind it; standard watches are used up.
    pub fn hear(&mut self, fired: &Fired, ids: &[Id]) -> bool {
        let heard = match fired.kind {
            4 => trigger(&mut self.child, &fired.path),
            2 => {
                let by_data = trigger(&mut self.data, &fired.path);
                trigger(&mut self.child, &fired.path) || by_data
            }
            _ => trigger(&mut self.data, &fired.path),
        };
        let may = permits(&fired.acl, perms::READ, ids);
        if heard && !may {
            self.silent.insert(fired.path.clone());
        }
        heard && may
    }

    /// Whether a standard watch on a znode's data is there, or was used up silently.
    pub fn watches_data(&self, path: &[u8]) -> bool {
        holds(&self.data, path, STANDARD) || self.silent.contains(path)
    }

    /// Whether a standard watch on a znode's children is there, or was used up silently.
    pub fn watches_children(&self, path: &[u8]) -> bool {
        holds(&self.child, path, STANDARD) || self.silent.contains(path)
    }
}

/// The modes that a kind means, in the data table and in the child table.
fn modes(kind: i32) -> (u8, u8) {
    match kind {
        1 => (0, STANDARD),
        2 => (STANDARD, 0),
        4 => (PERSISTENT, PERSISTENT),
        5 => (RECURSIVE, 0),
        _ => (STANDARD | PERSISTENT | RECURSIVE, STANDARD | PERSISTENT | RECURSIVE),
    }
}

fn add(table: &mut BTreeMap<Vec<u8>, u8>, path: &[u8], mode: u8) {
    *table.entry(path.to_vec()).or_default() |= mode;
}

fn take(table: &mut BTreeMap<Vec<u8>, u8>, path: &[u8], modes: u8) {
    if let Some(held) = table.get_mut(path) {
        *held &= !modes;
        if *held == 0 {
            table.remove(path);
        }
    }
}

fn holds(table: &BTreeMap<Vec<u8>, u8>, path: &[u8], modes: u8) -> bool {
    table.get(path).is_some_and(|held| held & modes != 0)
}

/// Whether a watch on the path, or a recursive one above it, is there.
fn trigger(table: &mut BTreeMap<Vec<u8>, u8>, path: &[u8]) -> bool {
    let mut heard = table.contains_key(path);
    take(table, path, STANDARD);
    let mut at = path;
    while at != b"/"
        && let Some((parent, _)) = split(at)
    {
        heard |= holds(table, parent, RECURSIVE);
        at = parent;
    }
    heard
}
