// SPDX-License-Identifier: Apache-2.0
//! The watch contract as a client's user sees it: every watch that a request left is told of
//! exactly what it watches, one-shot ones once, in the order of zxids, before any reply that could
//! show the new state; and whenever all is quiet, the server watches what the user waits for.

use std::collections::BTreeMap;

use menagerie_core::{
    client::{Notice, NoticeKind, RequestId},
    proto::{ErrorCode, Request},
};

use crate::{model::Watches, trace::Wish};

/// What kind of watch a request left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

/// The watches that a user waits for, by the request that left them.
#[derive(Clone, Debug, Default)]
pub struct Book {
    left: BTreeMap<RequestId, (Class, Vec<u8>)>,
    /// The newest zxid that an event told.
    told: i64,
}

impl Book {
    /// A request was answered: it may have left a watch, and may not be older than an event.
    pub fn replied(
        &mut self,
        id: RequestId,
        wish: &Wish,
        zxid: i64,
        err: i32,
    ) -> Result<(), String> {
        if zxid < self.told {
            return Err(format!("a reply at {zxid:x} after an event at {:x}", self.told));
        }
        let missing = err == ErrorCode::NoNode.code();
        let class = match wish.request() {
            Some(Request::Exists { watch: true, .. }) if missing => Class::Exist,
            _ if err != 0 => return Ok(()),
            Some(Request::Exists { watch: true, .. } | Request::GetData { watch: true, .. }) => {
                Class::Data
            }
            Some(
                Request::GetChildren { watch: true, .. }
                | Request::GetChildren2 { watch: true, .. },
            ) => Class::Child,
            Some(Request::AddWatch { mode: 0, .. }) => Class::Persistent,
            Some(Request::AddWatch { .. }) => Class::Recursive,
            _ => return Ok(()),
        };
        if let Some(path) = wish.request().as_ref().and_then(path) {
            self.left.insert(id, (class, path.to_vec()));
        }
        Ok(())
    }

    /// The user hears of something, having seen replies up to `newest`.
    pub fn noticed(&mut self, notice: &Notice, newest: i64) -> Result<(), String> {
        let zxid = notice.zxid.0;
        if zxid != -1 && (zxid <= newest || zxid < self.told) {
            return Err(format!("{notice:?} after a reply at {newest:x}, {:x} told", self.told));
        }
        self.told = self.told.max(zxid);
        let concerned = |(class, path): &(Class, Vec<u8>)| concerns(notice, *class, path);
        let of = |book: &Book| -> Vec<RequestId> {
            book.left.iter().filter(|(_, left)| concerned(left)).map(|(id, _)| *id).collect()
        };
        let expected = of(self);
        // A removal of persistent watches does not say whether it means the recursive ones.
        let some = notice.kind == NoticeKind::PersistentWatchRemoved;
        // In which order one is told of its watches, nobody promises.
        let mut told = notice.watches.clone();
        told.sort_unstable();
        let right = expected == told
            || (some && notice.watches.iter().all(|watch| expected.contains(watch)));
        if !right {
            return Err(format!("{notice:?}, but these watch: {expected:?} of {:?}", self.left));
        }
        for watch in &notice.watches {
            if spends(notice.kind, self.left[watch].0) {
                self.left.remove(watch);
            }
        }
        Ok(())
    }

    /// Everything is quiet: whether the server watches what the user waits for.
    pub fn agrees(&self, server: &Watches) -> Result<(), String> {
        for (id, (class, path)) in &self.left {
            let kept = match class {
                Class::Data | Class::Exist => server.watches_data(path),
                Class::Child => server.watches_children(path),
                Class::Persistent => server.contains(path, 4),
                Class::Recursive => server.contains(path, 5),
            };
            if !kept {
                let path = path.escape_ascii();
                return Err(format!("{id:?} waits for {class:?} of {path}: nobody will tell it"));
            }
        }
        Ok(())
    }
}

fn path<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    match request {
        Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::AddWatch { path, .. } => Some(path),
        _ => None,
    }
}

/// Whether a watch on a path is told of a notice.
fn concerns(notice: &Notice, class: Class, path: &[u8]) -> bool {
    use NoticeKind as K;
    let here = notice.path == path;
    // The empty path is no name of the root: nothing is below it, and it is below nothing.
    let within = || !path.is_empty() && notice.path.starts_with(&[path, b"/"].concat());
    let below = here || path == b"/" && !notice.path.is_empty() || within();
    match (class, notice.kind) {
        (Class::Data | Class::Exist, K::Created | K::DataChanged | K::Deleted)
        | (Class::Child, K::ChildrenChanged | K::Deleted)
        | (Class::Persistent, K::Created | K::DataChanged | K::Deleted | K::ChildrenChanged)
        | (Class::Data | Class::Exist, K::DataWatchRemoved)
        | (Class::Child, K::ChildWatchRemoved)
        | (Class::Persistent | Class::Recursive, K::PersistentWatchRemoved) => here,
        (Class::Recursive, K::Created | K::DataChanged | K::Deleted) => below,
        _ => false,
    }
}

fn spends(kind: NoticeKind, class: Class) -> bool {
    kind == NoticeKind::PersistentWatchRemoved
        || matches!(class, Class::Data | Class::Exist | Class::Child)
}

#[cfg(test)]
mod tests {
    use menagerie_core::id::Zxid;

    use super::*;

    fn wish(request: &Request<'_>) -> Wish {
        let mut body = Vec::new();
        request.encode(&mut body);
        Wish { op: request.op().code(), body }
    }

    fn notice(kind: NoticeKind, path: &[u8], zxid: i64, watches: &[u64]) -> Notice {
        let watches = watches.iter().map(|id| RequestId(*id)).collect();
        Notice { kind, path: path.to_vec(), zxid: Zxid(zxid), watches }
    }

    #[test]
    fn a_one_shot_watch_is_told_once_and_a_recursive_one_each_time() {
        let mut book = Book::default();
        let once = wish(&Request::GetData { path: b"/a", watch: true });
        let always = wish(&Request::AddWatch { path: b"/", mode: 1 });
        book.replied(RequestId(1), &once, 5, 0).unwrap();
        book.replied(RequestId(2), &always, 5, 0).unwrap();
        assert!(book.agrees(&Watches::default()).is_err());
        let changed = |zxid, watches: &[u64]| notice(NoticeKind::DataChanged, b"/a", zxid, watches);
        assert!(book.clone().noticed(&changed(5, &[1, 2]), 5).is_err(), "not before the reply");
        assert!(book.clone().noticed(&changed(6, &[1]), 5).is_err(), "not all");
        book.noticed(&changed(6, &[1, 2]), 5).unwrap();
        assert!(book.clone().noticed(&changed(7, &[1, 2]), 6).is_err(), "once only");
        book.noticed(&changed(7, &[2]), 6).unwrap();
        assert!(book.replied(RequestId(3), &once, 6, 0).is_err(), "older than an event");
    }
}
