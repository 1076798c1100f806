// SPDX-License-Identifier: Apache-2.0
//! Four-letter words of a real server, before it serves and then.

use super::*;
use crate::{id::AskId, io::Dir};

/// Asks a word of a node whose disk stands still.
fn ask_early(lines: &str, word: &[u8; 4]) -> String {
    let mut bench = Bench::before_its_first_turn(lines);
    bench.disk_stands = true;
    bench.turn(&mut [Input::Time]);
    assert!(bench.node.server().is_none());
    bench.word(word)
}

impl Bench {
    fn metrics(&mut self, ask: AskId) -> String {
        self.turn(&mut [Input::Ask { ask, question: Question::Metrics }]);
        self.answers[&ask].clone().expect("there are always some")
    }
}

#[test]
fn words_before_service_are_judged_by_the_whitelist_that_is_configured() {
    let not_yet = "This ZooKeeper instance is not currently serving requests\n";
    let refused = "wchs is not executed because it is not in the whitelist.\n";
    assert_eq!(ask_early("", b"wchs"), refused);
    assert_eq!(ask_early("4lw.commands.whitelist=wchs\n", b"wchs"), not_yet);
    assert_eq!(ask_early("4lw.commands.whitelist=*\n", b"dump"), not_yet);
    let refused = "ruok is not executed because it is not in the whitelist.\n";
    assert_eq!(ask_early("4lw.commands.whitelist=srvr\n", b"ruok"), refused);
    assert_eq!(ask_early("", b"ruok"), "imok");
}

#[test]
fn dirs_and_conf_tell_what_the_folders_hold() {
    let mut bench = Bench::new("4lw.commands.whitelist=*\npreAllocSize=64\n");
    let client = bench.client();
    bench.ask(client, 1, &create("/a", &[Acl::OPEN]));
    let size = |bench: &Bench, dir| {
        let names = bench.disk.file_names(dir).into_iter();
        names.map(|name| bench.disk.file(dir, name).expect("it is there").len()).sum::<usize>()
    };
    let (snapshots, logs) = (size(&bench, Dir::Snap), size(&bench, Dir::Log));
    assert!(snapshots > 0 && logs > 64 << 10, "{snapshots} {logs}");
    let dirs = format!("datadir_size: {snapshots}\nlogdir_size: {logs}\n");
    assert_eq!(bench.word(b"dirs"), dirs);
    let conf = bench.word(b"conf");
    assert!(conf.contains(&format!("dataDirSize={snapshots}\n")), "{conf}");
    assert!(conf.contains(&format!("dataLogSize={logs}\n")), "{conf}");
}

#[test]
fn who_asks_while_the_folders_are_looked_at_gets_a_look_of_its_own() {
    let mut bench = Bench::new("4lw.commands.whitelist=*\n");
    bench.disk_stands = true;
    let askers = [bench.dial([10, 0, 0, 1]), bench.dial([10, 0, 0, 2]), bench.dial([10, 0, 0, 3])];
    for link in askers {
        bench.turn(&mut [Input::Frame { link, frame: Frame::Word(*b"dirs") }]);
    }
    assert_eq!(bench.disk.waiting(), 2, "one look at two folders");
    bench.turn(&mut [Input::LinkDown { link: askers[1] }]);
    bench.disk_goes_on();
    for link in [askers[0], askers[2]] {
        let text = bench.sent.remove(&link).expect("an answer");
        assert!(text.starts_with(b"datadir_size: "));
        assert!(bench.hung_up.contains(&link));
    }
    assert_eq!(bench.sent.len(), 0);
}

#[test]
fn sessions_znodes_and_watches_are_told() {
    let mut bench = Bench::new("4lw.commands.whitelist=*\n");
    let link = bench.dial([127, 0, 0, 1]);
    let (session, _) = bench.greet(link, SessionId::NONE, &[0; 16]);
    let kind = CreateKind::Create2;
    let acl = Some([Acl::OPEN].into());
    let ephemeral = Create { kind, path: b"/e", data: None, acl, flags: 1 };
    bench.ask(link, 1, &Request::Create(ephemeral));
    bench.ask(link, 2, &Request::GetData { path: b"/e", watch: true });

    let dump = bench.word(b"dump");
    for part in [
        "SessionTracker dump:\nSession Sets (1)/(1):\n1 expire at ",
        &format!("\t{session}\nephemeral nodes dump:\n"),
        &format!("Sessions with Ephemerals (1):\n{session}:\n\t/e\nConnections dump:\n"),
        &format!("\tip: /127.0.0.1:40000 sessionId: {session}\n"),
    ] {
        assert!(dump.contains(part), "{part:?} in {dump}");
    }
    let cons = bench.word(b"cons");
    let mine = format!(" /127.0.0.1:40000[1](queued=0,recved=3,sent=2,sid={session},lop=GETD,");
    assert!(cons.starts_with(&mine), "{cons}");
    assert_eq!(bench.word(b"wchs"), "1 connections watching 1 paths\nTotal watches:1\n");
    assert_eq!(bench.word(b"wchc"), format!("{session}\n\t/e\n\n"));
    assert_eq!(bench.word(b"wchp"), format!("/e\n\t{session}\n\n"));
    assert_eq!(bench.word(b"crst"), "Connection stats reset.\n");
    assert!(bench.word(b"cons").contains("(queued=0,recved=0,sent=0,"));
    assert_eq!(bench.word(b"isro"), "rw");
    let srvr = bench.word(b"srvr");
    assert!(srvr.contains("Zxid: 0x2\nMode: standalone\nNode count: 6\n"), "{srvr}");
    assert_eq!(bench.word(b"srst"), "Server stats reset.\n");
    assert!(bench.word(b"srvr").contains("Received: 1\n"));
}

#[test]
fn mntr_counts_what_happened() {
    let mut bench = Bench::new("maxClientCnxns=3\n");
    let (first, second) = (bench.dial([10, 0, 0, 1]), bench.dial([10, 0, 0, 1]));
    let (session, password) = bench.greet(first, SessionId::NONE, &[0; 16]);
    bench.ask(first, 1, &create("/a", &[Acl::OPEN]));
    bench.ask(first, 2, &Request::GetData { path: b"/a", watch: true });
    let set = Request::SetData { path: b"/a", data: Some(b"y"), version: -1 };
    bench.ask(first, 3, &set);
    bench.greet(second, session, &password);
    assert!(bench.hung_up.contains(&first), "its session moved");
    bench.dial([10, 0, 0, 1]);
    bench.dial([10, 0, 0, 1]);
    bench.turn(&mut [Input::Ask { ask: AskId(1), question: Question::Snapshot }]);

    let text = bench.word(b"mntr");
    for (key, value) in [
        ("connection_request_count", 2),
        ("connection_revalidate_count", 1),
        ("connection_drop_count", 2),
        ("connection_rejected", 1),
        ("commit_count", 3),
        // Header, event's two numbers and path, and the length ahead.
        ("watch_bytes", 4 + 16 + 8 + 4 + 2),
        ("sum_node_changed_watch_count", 1),
        // Two handshakes, create, getData, setData, and the word.
        ("bytes_received_count", 2 * 49 + 54 + 19 + 27 + 4),
        ("cnt_sync_processor_batch_size", 3),
        ("sum_sync_processor_batch_size", 3),
        ("cnt_fsynctime", 3),
        ("cnt_sync_processor_queue_and_flush_time_ms", 3),
        ("cnt_snapshottime", 1),
        ("cnt_dbinittime", 1),
        ("sum_startup_txns_loaded", 0),
        ("cnt_readlatency", 1),
        ("cnt_updatelatency", 2),
    ] {
        assert!(text.contains(&format!("zk_{key}\t{value}\n")), "{key} {value} in {text}");
    }
}

#[test]
fn a_trace_mask_that_was_set_is_told() {
    let mut bench = Bench::new("4lw.commands.whitelist=*\n");
    assert_eq!(bench.word(b"gtmk"), "306");
    let link = bench.dial([127, 0, 0, 1]);
    bench.turn(&mut [
        Input::Frame { link, frame: Frame::Word(*b"stmk") },
        Input::Frame { link, frame: Frame::Packet(&7i64.to_be_bytes()) },
    ]);
    assert_eq!(bench.sent.remove(&link).as_deref(), Some(&b"7"[..]));
    assert_eq!(bench.word(b"gtmk"), "7");
}

#[test]
fn digests_are_remembered_each_128_transactions() {
    let mut bench = Bench::new("4lw.commands.whitelist=*\n");
    assert_eq!(bench.word(b"hash"), "");
    let link = bench.client();
    for n in 2..=0x80 {
        bench.request(link, n, &create(&format!("/n{n}"), &[Acl::OPEN]));
    }
    let hash = bench.word(b"hash");
    assert!(hash.starts_with("80: ") && hash.matches('\n').count() == 1, "{hash}");
}

#[test]
fn metrics_are_told_before_service_too() {
    let mut bench = Bench::before_its_first_turn("");
    bench.disk_stands = true;
    let early = bench.metrics(AskId(1));
    assert!(bench.node.server().is_none());
    assert!(early.contains("\ncommit_count 0.0\n"), "{early}");
    assert!(!early.contains("znode_count"), "{early}");
    bench.disk_goes_on();

    let link = bench.dial([10, 0, 0, 1]);
    bench.greet(link, SessionId::NONE, &[0; 16]);
    bench.ask(link, 1, &create("/a", &[Acl::OPEN]));
    bench.wait(7);
    let text = bench.metrics(AskId(2));
    for sample in [
        "commit_count 2.0",
        "znode_count 6.0",
        "num_alive_connections 1.0",
        "global_sessions 1.0",
        "uptime 7.0",
        "updatelatency_count 1.0",
    ] {
        assert!(text.contains(&format!("\n{sample}\n")), "{sample} in {text}");
    }
}
