// SPDX-License-Identifier: Apache-2.0
//! Watches against what the protocol promises, and against a naive twin.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec,
    vec::Vec,
};

use proptest::prelude::*;

use super::*;
use crate::{
    jute::Reader,
    proto::{EventKind::*, SetWatches},
};

/// Events told: link, kind, path, zxid.
type Told = Vec<(u64, EventKind, String, i64)>;

struct World<Z: Zoo = Sound> {
    watches: Watches<(), Z>,
    told: Told,
    zxid: i64,
}

fn present(mzxid: i64, pzxid: i64) -> Present {
    Present { mzxid: Zxid(mzxid), pzxid: Zxid(pzxid), readable: true }
}

fn world(inline: usize) -> World {
    World::new(inline, Sound)
}

fn decode(frame: &[u8]) -> (EventKind, String, i64) {
    let mut r = Reader::new(frame);
    assert_eq!(r.int(), Ok(frame.len() as i32 - 4));
    let header = ReplyHeader::decode(&mut r).expect("a header");
    let event = WatcherEvent::decode(&mut r).expect("an event");
    assert_eq!((header.xid, header.err, event.state, r.is_empty()), (-1, 0, 3, true));
    let kind = EventKind::from_code(event.kind).expect("a kind");
    (kind, String::from_utf8_lossy(event.path).into_owned(), header.zxid.0)
}

impl<Z: Zoo> World<Z> {
    fn new(inline: usize, zoo: Z) -> World<Z> {
        let watches = Watches::new(Keyed::new((3, 4)), inline, zoo);
        World { watches, told: vec![], zxid: 0 }
    }

    fn fire(&mut self, kind: EventKind, path: &str) {
        self.zxid += 1;
        let told = &mut self.told;
        self.watches.trigger(
            kind,
            path.as_bytes(),
            Zxid(self.zxid),
            &(),
            &mut |link, frame, ()| {
                let (kind, path, zxid) = decode(frame);
                told.push((link.0, kind, path, zxid));
            },
        );
    }

    fn flush(&mut self, link: u64) {
        let told = &mut self.told;
        self.watches.flush_link(LinkId(link), &mut |link, frame, ()| {
            let (kind, path, zxid) = decode(frame);
            told.push((link.0, kind, path, zxid));
        });
    }

    fn step(&mut self, budget: usize) -> bool {
        let told = &mut self.told;
        self.watches.step(budget, &mut |link, frame, ()| {
            let (kind, path, zxid) = decode(frame);
            told.push((link.0, kind, path, zxid));
        })
    }

    fn add(&mut self, kind: Kind, link: u64, path: &str) -> bool {
        self.flush(link);
        self.watches.add(kind, LinkId(link), path.as_bytes())
    }

    fn remove(&mut self, which: WatcherType, link: u64, path: &str) -> bool {
        self.flush(link);
        self.watches.remove(which, LinkId(link), path.as_bytes())
    }

    /// What was told since the last call, as (link, kind).
    fn heard(&mut self) -> Vec<(u64, EventKind)> {
        self.told.drain(..).map(|(link, kind, ..)| (link, kind)).collect()
    }
}

#[test]
fn a_data_watch_hears_of_data_once() {
    let mut w = world(100);
    assert!(w.add(Kind::Data, 1, "/a"));
    assert!(!w.add(Kind::Data, 1, "/a"));
    w.fire(ChildrenChanged, "/a");
    w.fire(DataChanged, "/ab");
    assert_eq!(w.heard(), []);
    w.fire(DataChanged, "/a");
    w.fire(DataChanged, "/a");
    assert_eq!(w.told, [(1, DataChanged, "/a".to_string(), 3)]);
    assert_eq!(w.watches.summary().all_watches, 0);
    assert_eq!(w.watches.table.paths.len(), 0);
}

#[test]
fn a_deletion_is_told_once_however_a_link_watches() {
    let mut w = world(100);
    for kind in Kind::ALL {
        assert!(w.add(kind, 1, "/a/b"));
    }
    w.add(Kind::PersistentRecursive, 1, "/");
    w.add(Kind::Child, 1, "/a");
    w.fire(Deleted, "/a/b");
    w.fire(ChildrenChanged, "/a");
    assert_eq!(w.heard(), [(1, Deleted), (1, ChildrenChanged)]);
    w.fire(Created, "/a/b");
    w.fire(ChildrenChanged, "/a");
    assert_eq!(w.heard(), [(1, Created)]);
}

#[test]
fn a_recursive_watch_hears_of_all_below_but_not_of_children() {
    let mut w = world(100);
    w.add(Kind::PersistentRecursive, 1, "/a");
    for path in ["/a", "/a/b", "/a/b/c", "/ab", "/"] {
        w.fire(DataChanged, path);
        w.fire(ChildrenChanged, path);
    }
    let told: Vec<_> = w.told.iter().map(|told| &*told.2).collect();
    assert_eq!(told, ["/a", "/a/b", "/a/b/c"]);
    assert!(w.remove(WatcherType::PersistentRecursive, 1, "/a"));
    w.told.clear();
    w.fire(DataChanged, "/a/b");
    assert_eq!(w.heard(), []);
}

#[test]
fn watches_are_taken_back_by_type() {
    let mut w = world(100);
    for kind in Kind::ALL {
        w.add(kind, 1, "/a");
    }
    assert_eq!(w.watches.summary().data_watches, 1);
    assert_eq!(w.watches.summary().all_watches, 2);
    let types = [
        WatcherType::Children,
        WatcherType::Data,
        WatcherType::Persistent,
        WatcherType::PersistentRecursive,
    ];
    for which in types {
        assert!(w.watches.contains(which, LinkId(1), b"/a"));
        assert!(!w.remove(which, 2, "/a"));
        assert!(w.remove(which, 1, "/a"));
        assert!(!w.remove(which, 1, "/a"));
        assert!(!w.watches.contains(which, LinkId(1), b"/a"));
    }
    w.add(Kind::Persistent, 1, "/a");
    w.add(Kind::Child, 1, "/a");
    assert!(w.watches.contains(WatcherType::Any, LinkId(1), b"/a"));
    assert!(w.remove(WatcherType::Any, 1, "/a"));
    assert!(!w.watches.contains(WatcherType::Any, LinkId(1), b"/a"));
    assert_eq!(w.watches.summary(), Summary::default());
}

#[test]
fn a_herd_is_told_in_steps_and_whoever_acts_first() {
    let mut w = world(10);
    for link in 0..100 {
        w.add(Kind::Data, link, "/a");
    }
    w.fire(DataChanged, "/a");
    assert_eq!(w.heard().len(), 10);
    assert!(w.watches.is_busy() && w.watches.is_pending(LinkId(0)));
    // Link 0 acts, watches again, and hears of the second event as well.
    assert!(w.add(Kind::Data, 0, "/a"));
    assert_eq!(w.heard(), [(0, DataChanged)]);
    w.fire(Deleted, "/a");
    assert_eq!(w.heard(), [(0, Deleted)]);
    while w.step(7) {}
    let mut rest: Vec<_> = w.heard().into_iter().map(|(link, _)| link).collect();
    rest.sort();
    assert_eq!(rest, (1..90).collect::<Vec<_>>());
    assert_eq!((w.watches.table.watches.len(), w.watches.table.paths.len()), (0, 0));
}

#[test]
fn events_of_a_link_keep_their_order_past_a_herd() {
    let mut w = world(3);
    for link in 0..20 {
        w.add(Kind::Persistent, link, "/herd");
    }
    w.add(Kind::Data, 0, "/own");
    w.fire(DataChanged, "/herd");
    w.fire(Deleted, "/herd");
    w.told.clear();
    w.fire(DataChanged, "/own");
    let zxids: Vec<_> = w.told.iter().map(|told| (told.0, told.3)).collect();
    assert_eq!(zxids, [(0, 1), (0, 2), (0, 3)]);
}

#[test]
fn a_dropped_link_hears_nothing_and_goes_in_steps() {
    let mut w = world(5);
    for path in 0..50 {
        w.add(Kind::Data, 1, &alloc::format!("/{path}"));
        w.add(Kind::Data, 2, &alloc::format!("/{path}"));
    }
    w.watches.drop_link(LinkId(1));
    assert!(w.watches.is_busy());
    w.fire(DataChanged, "/3");
    assert_eq!(w.heard(), [(2, DataChanged)]);
    // The driver never reuses a name, but even then the old watches are not the new link's.
    w.add(Kind::Child, 1, "/4");
    while w.step(5) {}
    w.fire(DataChanged, "/4");
    assert_eq!(w.heard(), [(2, DataChanged)]);
    let expected =
        Summary { links: 1, paths: 48, data_watches: 48, all_watches: 49, told: [0, 0, 2, 0] };
    assert_eq!(w.watches.summary(), expected);
}

#[test]
fn a_returning_client_hears_of_what_it_missed() {
    let mut w = world(10);
    let tree = BTreeMap::from([(&b"/old"[..], (5, 5)), (b"/new", (6, 6))]);
    let wanted = SetWatches {
        relative_zxid: 5,
        data: vec![b"/old", b"/new", b"/gone"],
        exist: vec![b"/new", b"/none"],
        child: vec![b"/old", b"/new", b"/gone"],
        persistent: vec![b"/gone"],
        recursive: vec![b"/new"],
    };
    let lookup = |path: &[u8]| tree.get(path).map(|&(m, p)| present(m, p));
    let mut told = vec![];
    w.watches.rearm(LinkId(1), &wanted, lookup, |frame| told.push(decode(frame)));
    let expected = [
        (DataChanged, "/new".to_string(), -1),
        (Deleted, "/gone".to_string(), -1),
        (Created, "/new".to_string(), -1),
        (ChildrenChanged, "/new".to_string(), -1),
        (Deleted, "/gone".to_string(), -1),
    ];
    assert_eq!(told, expected);
    for (which, path) in [
        (WatcherType::Data, &b"/old"[..]),
        (WatcherType::Data, b"/none"),
        (WatcherType::Children, b"/old"),
        (WatcherType::Persistent, b"/gone"),
        (WatcherType::PersistentRecursive, b"/new"),
    ] {
        assert!(w.watches.contains(which, LinkId(1), path), "{which:?}");
    }
    assert_eq!(w.watches.table.watches.len(), 5);
}

#[test]
fn walks_name_each_pair_once_in_either_order() {
    let mut w = world(10);
    w.add(Kind::Child, 1, "/unseen");
    w.add(Kind::Data, 1, "/a");
    w.add(Kind::Persistent, 1, "/a");
    w.add(Kind::PersistentRecursive, 2, "/a");
    w.add(Kind::Data, 2, "/b");
    let lines = |w: &mut World, by| {
        let walk = w.watches.begin_walk(by);
        let mut lines = vec![];
        while w.watches.walk(&walk, 2, |item| {
            lines.push(match item {
                WalkItem::Link(link) => link.0.to_string(),
                WalkItem::Path(path) => String::from_utf8_lossy(path).into_owned(),
            });
        }) {}
        w.watches.end_walk(walk);
        lines.join(" ")
    };
    assert_eq!(lines(&mut w, WalkBy::Path), "/a 1 2 /b 2");
    assert_eq!(lines(&mut w, WalkBy::Link), "1 /a 2 /b /a");
}

#[test]
fn a_walk_survives_what_goes_under_it() {
    let mut w = world(10);
    for link in 0..5 {
        w.add(Kind::Data, link, "/a");
    }
    let walk = w.watches.begin_walk(WalkBy::Path);
    let mut lines = 0;
    assert!(w.watches.walk(&walk, 3, |_| lines += 1));
    w.fire(Deleted, "/a");
    while w.watches.walk(&walk, 3, |_| lines += 1) {}
    assert_eq!(lines, 3);
    w.watches.end_walk(walk);
}

#[test]
fn a_deep_path_costs_one_pass() {
    let mut w = world(10);
    w.add(Kind::PersistentRecursive, 1, "/a/a");
    w.fire(Created, &"/a".repeat(200_000));
    assert_eq!(w.heard(), [(1, Created)]);
}

#[test]
fn a_hundred_thousand_watches_of_one_znode_are_told_in_even_steps() {
    assert_eq!(size_of::<Watch>(), 24);
    let mut w = world(128);
    for link in 0..100_000 {
        w.add(Kind::Data, link, "/herd");
    }
    w.fire(DataChanged, "/herd");
    assert_eq!(w.told.len(), 128);
    let mut turns = 0;
    while w.step(1_000) {
        turns += 1;
        assert!(w.told.len() <= 128 + turns * 1_000);
    }
    assert_eq!((turns, w.told.len()), (99, 100_000));
}

/// A zoo of one.
#[derive(Clone, Copy)]
struct Only(Mutation);

impl Default for Only {
    fn default() -> Only {
        Only(Mutation::ReplyOvertakesEvent)
    }
}

impl Zoo for Only {
    fn has(self, mutation: Mutation) -> bool {
        mutation == self.0
    }
}

#[test]
fn the_zoo_can_let_replies_overtake() {
    let mut w = World::new(1, Only(Mutation::ReplyOvertakesEvent));
    for link in 0..5 {
        w.add(Kind::Data, link, "/a");
    }
    w.fire(DataChanged, "/a");
    w.flush(0);
    assert_eq!(w.heard(), [(4, DataChanged)]);
}

#[test]
fn the_zoo_can_fire_again_and_miss_deletions_and_depths() {
    let mut w = World::new(10, Only(Mutation::WatchFiresAgain));
    w.add(Kind::Data, 1, "/a");
    w.fire(DataChanged, "/a");
    w.fire(DataChanged, "/a");
    assert_eq!(w.heard(), [(1, DataChanged), (1, DataChanged)]);
    let mut w = World::new(10, Only(Mutation::DeletionUnseenByChildWatches));
    w.add(Kind::Child, 1, "/a");
    w.fire(Deleted, "/a");
    assert_eq!(w.heard(), []);
    let mut w = World::new(10, Only(Mutation::RecursiveWatchIsShallow));
    w.add(Kind::PersistentRecursive, 1, "/");
    w.fire(Created, "/a");
    w.fire(Created, "/a/b");
    assert_eq!(w.told, [(1, Created, "/a".to_string(), 1)]);
}

#[test]
fn the_zoo_can_tell_of_the_known() {
    let mut w = World::new(10, Only(Mutation::RearmTellsOfTheKnown));
    let wanted = SetWatches { relative_zxid: 5, data: vec![b"/a"], ..SetWatches::default() };
    let mut told = 0;
    let known = present(5, 5);
    w.watches.rearm(LinkId(1), &wanted, |_| Some(known), |_| told += 1);
    assert_eq!(told, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Add(Kind, u64, usize),
    Remove(WatcherType, u64, usize),
    Fire(EventKind, usize),
    Flush(u64),
    Drop(u64),
    GoOn(usize),
}

const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/c", "/d", "/a/e"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let link = 0..6_u64;
    let path = 0..PATHS.len();
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let event = prop::sample::select(EventKind::ALL.to_vec());
    let which = (1..=5).prop_map(|code| WatcherType::from_code(code).expect("1 to 5"));
    let step = prop_oneof![
        8 => (kind, link.clone(), path.clone()).prop_map(|(k, l, p)| Step::Add(k, l, p)),
        2 => (which, link.clone(), path.clone()).prop_map(|(t, l, p)| Step::Remove(t, l, p)),
        5 => (event, path).prop_map(|(e, p)| Step::Fire(e, p)),
        1 => link.clone().prop_map(Step::Flush),
        1 => link.prop_map(Step::Drop),
        3 => (1..5_usize).prop_map(Step::GoOn),
    ];
    prop::collection::vec(step, 1..150)
}

/// The naive twin: every watch in one set, every event told at once.
#[derive(Default)]
struct Twin {
    watches: BTreeSet<(Kind, u64, usize)>,
    told: Vec<(u64, EventKind, String, i64)>,
}

impl Twin {
    fn fire(&mut self, event: EventKind, path: usize, zxid: i64) {
        let below = |above: &str| {
            above == "/" && path != 0 || PATHS[path].starts_with(&(above.to_string() + "/"))
        };
        let mut hearing = BTreeSet::new();
        self.watches.retain(|&(kind, link, at)| {
            let recursive = kind == Kind::PersistentRecursive && event != ChildrenChanged;
            let here = at == path && hears(Sound, kind, event);
            if here || recursive && below(PATHS[at]) {
                hearing.insert(link);
            }
            !(here && kind.is_one_shot())
        });
        let told = |link| (link, event, PATHS[path].to_string(), zxid);
        self.told.extend(hearing.into_iter().map(told));
    }
}

proptest! {
    #[test]
    fn watches_are_as_their_naive_twin(steps in steps(), inline in 1..8_usize) {
        let mut w = world(inline);
        let mut twin = Twin::default();
        for step in steps {
            match step {
                Step::Add(kind, link, path) => {
                    let added = twin.watches.insert((kind, link, path));
                    prop_assert_eq!(w.add(kind, link, PATHS[path]), added);
                }
                Step::Remove(which, link, path) => {
                    let before = twin.watches.len();
                    for &kind in which.kinds() {
                        twin.watches.remove(&(kind, link, path));
                    }
                    let removed = twin.watches.len() < before;
                    prop_assert_eq!(w.remove(which, link, PATHS[path]), removed);
                }
                Step::Fire(event, path) => {
                    w.fire(event, PATHS[path]);
                    twin.fire(event, path, w.zxid);
                }
                Step::Flush(link) => w.flush(link),
                Step::Drop(link) => {
                    w.flush(link);
                    w.watches.drop_link(LinkId(link));
                    twin.watches.retain(|watch| watch.1 != link);
                }
                Step::GoOn(budget) => {
                    w.step(budget);
                }
            }
        }
        while w.step(3) {}
        for link in 0..6 {
            let of = |told: &Told| {
                told.iter().filter(|told| told.0 == link).cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(of(&w.told), of(&twin.told), "link {}", link);
        }
        let pairs = |table: &[Kind]| {
            let of = twin.watches.iter().filter(|watch| table.contains(&watch.0));
            of.map(|watch| (watch.1, watch.2)).collect::<BTreeSet<_>>()
        };
        let data = pairs(&[Kind::Data, Kind::Persistent, Kind::PersistentRecursive]);
        let child = pairs(&[Kind::Child, Kind::Persistent]);
        let summary = w.watches.summary();
        prop_assert_eq!(summary.data_watches, data.len());
        prop_assert_eq!(summary.all_watches, data.len() + child.len());
        let links: BTreeSet<_> = data.iter().map(|pair| pair.0).collect();
        let paths: BTreeSet<_> = data.iter().map(|pair| pair.1).collect();
        prop_assert_eq!((summary.links, summary.paths), (links.len(), paths.len()));
        prop_assert_eq!(w.watches.table.watches.len(), twin.watches.len());
    }
}
