// SPDX-License-Identifier: Apache-2.0
//! A watch tells of the first change after it was set: exactly once, in the order of zxids, before
//! any reply that could show the new state, and across a reconnect none is missed.

use menagerie_core::{
    id::{LinkId, Zxid},
    proto::{Request, WatcherEvent},
};

use super::{
    Check, Property, Violation,
    replica::{Link, Owed},
};

/// An event is about to leave on a link; the model stands at its zxid or beyond.
pub fn notified(link: &mut Link, name: LinkId, zxid: i64, event: &WatcherEvent<'_>) -> Check {
    if zxid == -1 {
        link.stray.push((event.kind, event.path.to_vec()));
        return Ok(());
    }
    let first = link.owed.front().map(|owed| owed.zxid);
    let matches =
        |owed: &Owed| owed.zxid == zxid && owed.kind == event.kind && owed.path == event.path;
    match link.owed.iter().position(matches) {
        Some(at) if first == Some(zxid) => {
            link.owed.remove(at);
            Ok(())
        }
        found => broken(format!(
            "link {} hears {} of kind {} at {}, {}; it is owed {:?}",
            name.0,
            event.path.escape_ascii(),
            event.kind,
            Zxid(zxid),
            if found.is_some() { "before an older event" } else { "which nothing there watches" },
            link.owed.iter().take(4).collect::<Vec<_>>(),
        )),
    }
}

/// A reply is about to leave on a link; the model stands at its zxid.
pub fn replied(at: i64, link: &Link, name: LinkId, request: Option<&Request<'_>>) -> Check {
    if let Some(owed) = link.owed.front() {
        return broken(format!(
            "link {} gets a reply at {} to {request:?} before the event it is owed: {owed:?}",
            name.0,
            Zxid(at),
        ));
    }
    let rearms = matches!(request, Some(Request::SetWatches(_) | Request::SetWatches2(_)));
    if !rearms && let Some((kind, path)) = link.stray.first() {
        return broken(format!(
            "link {} heard {} of kind {kind} without setting watches again",
            name.0,
            path.escape_ascii(),
        ));
    }
    Ok(())
}

/// Watches were set again; what they missed must have been told just before.
pub fn rearmed(link: &mut Link, name: LinkId, mut missed: Vec<(i32, Vec<u8>)>) -> Check {
    let mut told = std::mem::take(&mut link.stray);
    told.sort();
    missed.sort();
    if told != missed {
        let show = |list: &[(i32, Vec<u8>)]| {
            let one = |(kind, path): &(i32, Vec<u8>)| format!("{kind}:{}", path.escape_ascii());
            list.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        return broken(format!(
            "link {} set watches again at {}: told [{}], missed [{}]",
            name.0,
            Zxid(link.shown),
            show(&told),
            show(&missed)
        ));
    }
    Ok(())
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Watches, what))
}
