// SPDX-License-Identifier: Apache-2.0
//! The watches a client has left, under the user's paths. They outlive a connection: the next one
//! is told of them again.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{
    chroot::Chroot,
    io::{NoticeKind, RequestId},
};
use crate::{
    id::Zxid,
    proto::{ErrorCode, Request, SetWatches},
};

/// Paths in one setWatches add up to about this many bytes, so that no server finds it too long.
const REARM_BYTES: usize = 128 * 1024;

/// What a watch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

/// What a request does to the watches once its reply has come.
#[derive(Clone, Debug)]
pub(super) enum Pledge {
    Nothing,
    Leaves(Wish, Vec<u8>),
    Removes(i32, Vec<u8>),
}

/// The watch that a request asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Data,
    Exists,
    Child,
    Persistent,
    Recursive,
}

impl Pledge {
    pub(super) fn of(request: &Request<'_>) -> Pledge {
        match *request {
            Request::Exists { path, watch: true } => Pledge::Leaves(Wish::Exists, path.to_vec()),
            Request::GetData { path, watch: true } => Pledge::Leaves(Wish::Data, path.to_vec()),
            Request::GetChildren { path, watch: true }
            | Request::GetChildren2 { path, watch: true } => {
                Pledge::Leaves(Wish::Child, path.to_vec())
            }
            Request::AddWatch { path, mode } => {
                let wish = if mode == 0 { Wish::Persistent } else { Wish::Recursive };
                Pledge::Leaves(wish, path.to_vec())
            }
            Request::RemoveWatches { path, kind } => Pledge::Removes(kind, path.to_vec()),
            _ => Pledge::Nothing,
        }
    }
}

impl Wish {
    /// What it came to, given the reply's error.
    fn class(self, err: i32) -> Option<Class> {
        match (self, err) {
            (Wish::Data | Wish::Exists, 0) => Some(Class::Data),
            (Wish::Child, 0) => Some(Class::Child),
            (Wish::Persistent, 0) => Some(Class::Persistent),
            (Wish::Recursive, 0) => Some(Class::Recursive),
            (Wish::Exists, err) if err == ErrorCode::NoNode.code() => Some(Class::Exist),
            _ => None,
        }
    }
}

/// Watches of each class: path to names.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches {
    classes: [BTreeMap<Vec<u8>, Vec<RequestId>>; 5],
}

impl Watches {
    fn of(&mut self, class: Class) -> &mut BTreeMap<Vec<u8>, Vec<RequestId>> {
        &mut self.classes[class as usize]
    }

    /// A request that wished for a watch was answered with this error, or none.
    pub(super) fn left(&mut self, id: RequestId, wish: Wish, path: Vec<u8>, err: i32) {
        if let Some(class) = wish.class(err) {
            self.of(class).entry(path).or_default().push(id);
        }
    }

    /// Whose watches an event on a path fires; those that fire once are gone with it.
    pub(super) fn fired(&mut self, kind: NoticeKind, path: &[u8]) -> Vec<RequestId> {
        use Class::{Child, Data, Exist};
        let (once, recursive): (&[Class], bool) = match kind {
            NoticeKind::Created | NoticeKind::DataChanged => (&[Data, Exist], true),
            NoticeKind::Deleted => (&[Data, Exist, Child], true),
            NoticeKind::ChildrenChanged => (&[Child], false),
            _ => return Vec::new(),
        };
        let mut ids = Vec::new();
        for class in once {
            ids.extend(self.of(*class).remove(path).unwrap_or_default());
        }
        ids.extend(self.of(Class::Persistent).get(path).into_iter().flatten());
        if recursive {
            let watched = self.of(Class::Recursive);
            if !watched.is_empty() {
                upward(path, |above| ids.extend(watched.get(above).into_iter().flatten()));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The server removed watches on a path, by the number of removeWatches: what to tell whom.
    pub(super) fn removed(
        &mut self,
        kind: i32,
        path: &[u8],
    ) -> impl Iterator<Item = (NoticeKind, Vec<RequestId>)> + use<> {
        use Class::{Child, Data, Exist, Persistent, Recursive};
        let classes: &[Class] = match kind {
            1 => &[Child],
            2 => &[Data, Exist],
            3 => &[Child, Data, Exist, Persistent, Recursive],
            4 => &[Persistent],
            5 => &[Recursive],
            _ => &[],
        };
        let mut told: [(NoticeKind, Vec<RequestId>); 3] = [
            (NoticeKind::ChildWatchRemoved, Vec::new()),
            (NoticeKind::DataWatchRemoved, Vec::new()),
            (NoticeKind::PersistentWatchRemoved, Vec::new()),
        ];
        for class in classes {
            let at = match class {
                Child => 0,
                Data | Exist => 1,
                Persistent | Recursive => 2,
            };
            told[at].1.extend(self.of(*class).remove(path).unwrap_or_default());
        }
        told.into_iter().filter(|(_, ids)| !ids.is_empty())
    }

    /// The user wants no more of a watch.
    pub(super) fn forget(&mut self, id: RequestId, path: &[u8]) {
        for class in &mut self.classes {
            if let Some(ids) = class.get_mut(path) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    class.remove(path);
                }
            }
        }
    }

    /// Gives `send` the requests that tell a new connection of all watches.
    pub(super) fn rearm(&self, seen: Zxid, chroot: &Chroot, mut send: impl FnMut(&Request<'_>)) {
        let mut paths =
            self.classes.iter().enumerate().flat_map(|(class, paths)| {
                paths.keys().map(move |path| (class, chroot.outward(path)))
            });
        loop {
            let (mut chunk, mut len) = (Vec::new(), 0);
            while len < REARM_BYTES
                && let Some((class, path)) = paths.next()
            {
                len += path.len();
                chunk.push((class, path));
            }
            if chunk.is_empty() {
                return;
            }
            let of = |class| {
                chunk.iter().filter(|(c, _)| *c == class as usize).map(|(_, p)| &p[..]).collect()
            };
            let watches = SetWatches {
                relative_zxid: seen.0,
                data: of(Class::Data),
                exist: of(Class::Exist),
                child: of(Class::Child),
                persistent: of(Class::Persistent),
                recursive: of(Class::Recursive),
            };
            // Servers before 3.6 know only the first form.
            let plain = watches.persistent.is_empty() && watches.recursive.is_empty();
            let second = if plain { Request::SetWatches } else { Request::SetWatches2 };
            send(&second(watches));
        }
    }
}

/// Calls `visit` with a path and every path above it.
fn upward(path: &[u8], mut visit: impl FnMut(&[u8])) {
    let mut above = path;
    loop {
        visit(above);
        match above.iter().rposition(|byte| *byte == b'/') {
            Some(0) if above.len() > 1 => above = b"/",
            Some(at) if at > 0 => above = &above[..at],
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    fn watches(wishes: &[(u64, Wish, &str, i32)]) -> Watches {
        let mut watches = Watches::default();
        for (id, wish, path, err) in wishes {
            watches.left(RequestId(*id), *wish, path.as_bytes().to_vec(), *err);
        }
        watches
    }

    fn fired(watches: &mut Watches, kind: NoticeKind, path: &str) -> Vec<u64> {
        watches.fired(kind, path.as_bytes()).into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn each_event_fires_its_classes_once() {
        let mut w = watches(&[
            (1, Wish::Data, "/a", 0),
            (2, Wish::Exists, "/a", 0),
            (3, Wish::Exists, "/b", ErrorCode::NoNode.code()),
            (4, Wish::Child, "/a", 0),
            (5, Wish::Data, "/b", ErrorCode::NoNode.code()),
        ]);
        assert_eq!(fired(&mut w, NoticeKind::ChildrenChanged, "/a"), [4]);
        assert_eq!(fired(&mut w, NoticeKind::ChildrenChanged, "/a"), []);
        assert_eq!(fired(&mut w, NoticeKind::Created, "/b"), [3]);
        assert_eq!(fired(&mut w, NoticeKind::DataChanged, "/a"), [1, 2]);
        assert_eq!(fired(&mut w, NoticeKind::Deleted, "/a"), []);
    }

    #[test]
    fn persistent_watches_stay_and_recursive_ones_hear_of_everything_below() {
        let mut w = watches(&[
            (1, Wish::Persistent, "/a", 0),
            (2, Wish::Recursive, "/a", 0),
            (3, Wish::Recursive, "/", 0),
        ]);
        for _ in 0..2 {
            assert_eq!(fired(&mut w, NoticeKind::DataChanged, "/a"), [1, 2, 3]);
            assert_eq!(fired(&mut w, NoticeKind::ChildrenChanged, "/a"), [1]);
            assert_eq!(fired(&mut w, NoticeKind::Deleted, "/a/b/c"), [2, 3]);
            assert_eq!(fired(&mut w, NoticeKind::Created, "/ab"), [3]);
            assert_eq!(fired(&mut w, NoticeKind::DataChanged, "/"), [3]);
        }
    }

    #[test]
    fn removal_tells_each_kind_once() {
        let mut w = watches(&[
            (1, Wish::Child, "/a", 0),
            (2, Wish::Exists, "/a", 0),
            (3, Wish::Recursive, "/a", 0),
            (4, Wish::Persistent, "/a", 0),
        ]);
        let told: Vec<_> = w.removed(5, b"/a").collect();
        assert_eq!(told, [(NoticeKind::PersistentWatchRemoved, vec![RequestId(3)])]);
        let told: Vec<_> = w.removed(3, b"/a").collect();
        let want = [
            (NoticeKind::ChildWatchRemoved, vec![RequestId(1)]),
            (NoticeKind::DataWatchRemoved, vec![RequestId(2)]),
            (NoticeKind::PersistentWatchRemoved, vec![RequestId(4)]),
        ];
        assert_eq!(told, want);
        assert_eq!(w.removed(3, b"/a").count(), 0);
    }

    #[test]
    fn forgotten_watches_are_not_told_to_a_new_connection() {
        let mut w = watches(&[(1, Wish::Child, "/a", 0), (2, Wish::Child, "/a", 0)]);
        w.forget(RequestId(1), b"/a");
        assert_eq!(fired(&mut w.clone(), NoticeKind::ChildrenChanged, "/a"), [2]);
        w.forget(RequestId(2), b"/a");
        w.rearm(Zxid(1), &Chroot::default(), |request| panic!("{request:?}"));
    }

    #[test]
    fn rearming_comes_in_pieces_that_lose_no_path() {
        let mut w = Watches::default();
        for n in 0..3000u64 {
            let path = format!("/{n:0>99}").into_bytes();
            w.left(RequestId(n), Wish::Child, path, 0);
        }
        w.left(RequestId(9999), Wish::Recursive, b"/r".to_vec(), 0);
        let (mut sizes, mut total) = (Vec::new(), 0);
        w.rearm(Zxid(7), &Chroot::new(b"/app"), |request| match request {
            Request::SetWatches(watches) => {
                assert_eq!(watches.relative_zxid, 7);
                assert!(watches.child.iter().all(|path| path.starts_with(b"/app/")));
                sizes.push(watches.child.len());
                total += watches.child.len();
            }
            Request::SetWatches2(watches) => {
                assert_eq!(watches.recursive, [b"/app/r"]);
                total += watches.child.len();
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(total, 3000);
        assert_eq!(sizes, [1261, 1261], "128 KiB in paths of 104 bytes");
    }
}
