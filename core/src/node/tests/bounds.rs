// SPDX-License-Identifier: Apache-2.0
//! Law 3: turns are bounded, however much there is.

use super::*;
use crate::id::AskId;

/// More sessions than one turn looks at.
const MANY: u64 = 20_000;

#[test]
fn a_snapshot_of_many_sessions_takes_many_turns_and_is_of_one_moment() {
    let mut bench = Bench::new("maxClientCnxns=0\n");
    let mut sessions = Vec::new();
    for _ in 0..MANY {
        let link = bench.dial([10, 0, 0, 1]);
        let (session, password) = bench.greet(link, SessionId::NONE, &[0; 16]);
        sessions.push((link, session, password));
    }
    bench.steps = 0;
    bench.disk_stands = true;
    bench.turn(&mut [Input::Ask { ask: AskId(1), question: Question::Snapshot }]);
    // These end after the moment: the snapshot has them, and the log their end.
    for (link, _, _) in &sessions[..100] {
        bench.request(*link, 1, &Request::CloseSession);
    }
    bench.disk_goes_on();
    assert!(bench.steps < 1_000, "{} steps in one turn", bench.steps);

    let disk = bench.disk.crash(|| false);
    let mut bench = Bench::on(disk);
    for (at, alive) in [(0, false), (99, false), (100, true), (MANY as usize - 1, true)] {
        let link = bench.dial([10, 0, 0, 1]);
        let (_, session, password) = &sessions[at];
        let expected = if alive { *session } else { SessionId::NONE };
        assert_eq!(bench.greet(link, *session, password).0, expected, "session {at}");
    }
}

#[test]
fn descendants_are_counted_without_a_walk() {
    let mut bench = Bench::new("");
    let link = bench.client();
    for path in ["/a", "/a/b", "/a/b/c", "/a/d", "/ab"] {
        bench.request(link, 1, &create(path, &[Acl::OPEN]));
    }
    bench.request(link, 1, &Request::Delete { path: b"/a/d", version: -1 });
    bench.replies(link);
    for (path, count) in [("/a", 2i32), ("/a/b", 1), ("/ab", 0), ("/", 7)] {
        let request = Request::GetAllChildrenNumber { path: path.as_bytes() };
        let replies = bench.ask(link, 2, &request);
        assert_eq!(replies, [(2, 0, count.to_be_bytes().to_vec())], "{path}");
    }
    let missing = Request::GetAllChildrenNumber { path: b"/none" };
    assert_eq!(codes(&bench.ask(link, 3, &missing)), [(3, -101)]);
}
