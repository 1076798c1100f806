// SPDX-License-Identifier: Apache-2.0
//! Watches and the events of a session.

use std::sync::{Arc, Weak};

use menagerie_core::{
    client::{NoticeKind, RequestId, State},
    id::Zxid,
};
use tokio::sync::{broadcast, mpsc};

use super::shared::Shared;

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// The path that it happened to.
    pub path: String,
    /// The transaction that did it; -1 from servers before 3.9, and for removals.
    pub zxid: Zxid,
}

/// A watch that was left on a znode. Dropping it forgets it.
pub struct Watch {
    heard: mpsc::UnboundedReceiver<Notice>,
    id: RequestId,
    path: Box<str>,
    shared: Weak<Shared>,
}

impl Watch {
    pub(super) fn new(
        heard: mpsc::UnboundedReceiver<Notice>,
        id: RequestId,
        path: &str,
        shared: &Arc<Shared>,
    ) -> Watch {
        Watch { heard, id, path: path.into(), shared: Arc::downgrade(shared) }
    }

    /// The next notice; `None` when there will be no more: a one-time watch has fired, a persistent
    /// one was removed, or the session is over. Safe to cancel.
    pub async fn next(&mut self) -> Option<Notice> {
        self.heard.recv().await
    }

    /// Lets the watch stand unheard: what it tells comes as [`Event`]s only.
    pub fn detach(mut self) {
        self.shared = Weak::new();
    }

    /// The path it was left on.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.forget(self.id, &self.path);
        }
    }
}

/// How far a persistent watch hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchMode {
    /// The znode: created, deleted, its data and its children.
    Persistent,
    /// The znode and all below it: created, deleted and their data.
    Recursive,
}

impl WatchMode {
    pub(super) fn number(self) -> i32 {
        match self {
            WatchMode::Persistent => 0,
            WatchMode::Recursive => 1,
        }
    }
}

/// Which watches to remove from a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveWatches {
    /// Child watches.
    Children,
    /// Data watches, and watches for creation.
    Data,
    /// All of them.
    Any,
    /// Persistent ones (servers of 3.9).
    Persistent,
    /// Persistent recursive ones (servers of 3.9).
    Recursive,
}

impl RemoveWatches {
    pub(super) fn number(self) -> i32 {
        match self {
            RemoveWatches::Children => 1,
            RemoveWatches::Data => 2,
            RemoveWatches::Any => 3,
            RemoveWatches::Persistent => 4,
            RemoveWatches::Recursive => 5,
        }
    }
}

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its state changed.
    State(State),
    /// One of its watches fired or was removed.
    Notice(Notice),
}

/// The events of a session, in order.
pub struct Events {
    pub(super) heard: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when the session is over and all its clients are gone. A listener
    /// that falls a thousand events behind misses the oldest.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.heard.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
