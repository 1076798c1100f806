// SPDX-License-Identifier: Apache-2.0
//! Words against the texts of a 3.9.5 server with one session, one ephemeral znode, two watches.

use alloc::{collections::BTreeMap, string::String, vec, vec::Vec};
use core::time::Duration;

use super::*;
use crate::{
    proto::OpCode,
    serve::stats::{Counter, Measure},
};

const VERSION: &str = "3.9.5-menagerie-0.1.0, built on 2026-02-11 20:18 UTC";

struct World {
    stats: Stats,
    links: Vec<(SocketAddr, SessionId, LinkStats)>,
    walked: usize,
    walks: usize,
}

const SESSION: SessionId = SessionId(0x0100_002f_d5cd_0000);

fn world() -> World {
    let mut stats = Stats::new();
    let millis = Duration::from_millis;
    stats.packets_received = 6;
    for took in [2, 3, 10] {
        stats.answered(Some(Measure::ReadLatency), millis(took), 40);
    }
    let at = Instant::from_millis;
    let mut busy = LinkStats::new(1_795_426_361_507);
    busy.received = 5;
    busy.answered(OpCode::Create, 1, Zxid(2), at(3_140_000), at(3_140_010));
    busy.answered(OpCode::Ping, -2, Zxid(2), at(3_140_100), at(3_140_100));
    busy.answered(OpCode::GetChildren, 4, Zxid(2), at(3_140_706), at(3_140_708));
    let mut fresh = LinkStats::new(1_795_426_361_600);
    fresh.received = 1;
    let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let links = vec![(address(33_090), SESSION, busy), (address(33_104), SessionId::NONE, fresh)];
    World { stats, links, walked: 0, walks: 0 }
}

impl Figures for World {
    fn server(&self) -> Server<'_> {
        Server {
            version: VERSION,
            mode: "standalone",
            read_only: false,
            now: Now { mono: Instant::from_millis(3_140_708), wall_ms: 1_795_426_363_708 },
            since: Instant::from_millis(3_134_793),
            zxid: Zxid(2),
            connections: 2,
            outstanding: 0,
            nodes: 6,
            ephemerals: 1,
            ephemeral_owners: 1,
            data_size: 47,
            sessions: 1,
            watches: Summary {
                links: 1,
                paths: 2,
                data_watches: 2,
                all_watches: 3,
                told: [0, 1, 2, 0],
            },
            files: Some((66, 20_000)),
            trace_mask: DEFAULT_TRACE_MASK,
            data_dir_size: 67_109_358,
            log_dir_size: 67_109_358,
        }
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn conf(&self) -> Conf<'_> {
        Conf {
            client_port: 21_987,
            secure_client_port: -1,
            data_dir: "/tmp/data/version-2",
            data_log_dir: "/tmp/data/version-2",
            tick_time: 2_000,
            max_client_cnxns: 60,
            min_session_timeout: 4_000,
            max_session_timeout: 40_000,
            backlog: -1,
            server_id: 0,
        }
    }

    fn environment(&self) -> &[(&str, &str)] {
        &[("host.name", "localhost"), ("java.version", "<NA>")]
    }

    fn connection(&self, cursor: &mut u64) -> Option<Connection<'_>> {
        let (peer, session, stats) = self.links.get(*cursor as usize)?;
        *cursor += 1;
        Some(Connection {
            peer: *peer,
            reading: *session != SessionId::NONE,
            queued: 0,
            session: *session,
            timeout_ms: 10_000,
            expires: Instant::from_millis(3_149_000),
            stats,
        })
    }

    fn bucket(&self, after: Option<Instant>) -> Option<Bucket> {
        after.is_none().then_some(Bucket { due: Instant::from_millis(3_149_000), len: 1 })
    }

    fn buckets(&self) -> usize {
        1
    }

    fn in_bucket(&self, _: Bucket, give: &mut dyn FnMut(SessionId)) {
        give(SESSION);
    }

    fn ephemeral(&self, cursor: &mut u64) -> Option<Ephemeral> {
        *cursor += 1;
        [Ephemeral::Session(SESSION), Ephemeral::Path(b"/e".to_vec())]
            .get(*cursor as usize - 1)
            .cloned()
    }

    fn digest(&self, cursor: &mut u64) -> Option<(Zxid, u64)> {
        *cursor += 1;
        [(Zxid(0x80), 5), (Zxid(0x100), u64::MAX)].get(*cursor as usize - 1).copied()
    }

    fn begin_walk(&mut self, by: WalkBy) -> Walk {
        self.walks += 1;
        // Only Watches makes walks.
        crate::watch::Watches::<()>::new(crate::hash::Keyed::default(), 1, crate::zoo::Sound)
            .begin_walk(by)
    }

    fn walk(&mut self, _: &Walk, budget: usize, give: &mut dyn FnMut(Watching<'_>)) -> bool {
        let items = [Watching::Session(SESSION), Watching::Path(b"/q"), Watching::Path(b"/e")];
        let end = (self.walked + budget).min(items.len());
        items[self.walked..end].iter().for_each(|item| give(*item));
        self.walked = end;
        end < items.len()
    }

    fn end_walk(&mut self, _: Walk) {
        self.walks -= 1;
    }

    fn reset_stats(&mut self) {
        self.stats.reset();
    }

    fn reset_connections(&mut self) {
        self.links.iter_mut().for_each(|link| link.2.reset());
    }
}

fn ask(world: &mut World, word: Word) -> String {
    let mut out = vec![];
    let mut answer = Answer::begin(word, world, &mut out);
    while answer.go_on(world, 1, &mut out) {}
    assert_eq!(world.walks, 0);
    String::from_utf8(out).expect("text")
}

#[test]
fn srvr_and_stat() {
    let figures = "Latency min/avg/max: 2/5.0/10\nReceived: 6\nSent: 3\nConnections: 2\n\
                   Outstanding: 0\nZxid: 0x2\nMode: standalone\nNode count: 6\n";
    let head = alloc::format!("Zookeeper version: {VERSION}\n");
    assert_eq!(ask(&mut world(), Word::Srvr), alloc::format!("{head}{figures}"));
    let clients = "Clients:\n /127.0.0.1:33090[1](queued=0,recved=5,sent=3)\n \
                   /127.0.0.1:33104[0](queued=0,recved=1,sent=0)\n\n";
    assert_eq!(ask(&mut world(), Word::Stat), alloc::format!("{head}{clients}{figures}"));
}

#[test]
fn cons() {
    assert_eq!(
        ask(&mut world(), Word::Cons),
        " /127.0.0.1:33090[1](queued=0,recved=5,sent=3,sid=0x100002fd5cd0000,lop=GETC,\
         est=1795426361507,to=10000,lcxid=0x4,lzxid=0x2,lresp=3140708,llat=2,minlat=0,avglat=4,\
         maxlat=10)\n /127.0.0.1:33104[0](queued=0,recved=1,sent=0)\n\n"
    );
}

#[test]
fn conf() {
    assert_eq!(
        ask(&mut world(), Word::Conf),
        "clientPort=21987\nsecureClientPort=-1\ndataDir=/tmp/data/version-2\n\
         dataDirSize=67109358\ndataLogDir=/tmp/data/version-2\ndataLogSize=67109358\n\
         tickTime=2000\nmaxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n\
         clientPortListenBacklog=-1\nserverId=0\n"
    );
}

#[test]
fn dump() {
    assert_eq!(
        ask(&mut world(), Word::Dump),
        "SessionTracker dump:\nSession Sets (1)/(1):\n1 expire at Mon Nov 23 09:32:52 UTC 2026:\n\
         \t0x100002fd5cd0000\nephemeral nodes dump:\nSessions with Ephemerals (1):\n\
         0x100002fd5cd0000:\n\t/e\nConnections dump:\nConnections Sets (1)/(2):\n\
         2 expire at Mon Nov 23 09:32:53 UTC 2026:\n\
         \tip: /127.0.0.1:33090 sessionId: 0x100002fd5cd0000\n\
         \tip: /127.0.0.1:33104 sessionId: 0x0\n"
    );
}

#[test]
fn watches() {
    assert_eq!(ask(&mut world(), Word::Wchs), "1 connections watching 2 paths\nTotal watches:2\n");
    assert_eq!(ask(&mut world(), Word::Wchc), "0x100002fd5cd0000\n\t/q\n\t/e\n\n");
    assert_eq!(ask(&mut world(), Word::Wchp), "\t0x100002fd5cd0000\n/q\n/e\n\n");
    let mut world = world();
    let mut out = vec![];
    Answer::begin(Word::Wchc, &mut world, &mut out).abandon(&mut world);
    assert_eq!(world.walks, 0);
}

#[test]
fn short_words() {
    for (word, text) in [
        (Word::Ruok, "imok"),
        (Word::Isro, "rw"),
        (Word::Gtmk, "306"),
        (Word::Stmk, "306"),
        (Word::Dirs, "datadir_size: 67109358\nlogdir_size: 67109358\n"),
        (Word::Hash, "80: 5\n100: -1\n"),
        (Word::Crst, "Connection stats reset.\n"),
        (Word::Srst, "Server stats reset.\n"),
    ] {
        assert_eq!(ask(&mut world(), word), text, "{word:?}");
    }
    assert_eq!(
        ask(&mut world(), Word::Envi),
        alloc::format!(
            "Environment:\nzookeeper.version={VERSION}\nhost.name=localhost\njava.version=<NA>\n"
        )
    );
}

#[test]
fn mntr_has_the_keys_that_monitors_read() {
    let mut world = world();
    let text = ask(&mut world, Word::Mntr);
    assert!(
        text.starts_with(&alloc::format!("zk_version\t{VERSION}\nzk_server_state\tstandalone\n"))
    );
    let lines: BTreeMap<_, _> =
        text.lines().map(|line| line.split_once('\t').expect("key, tab, value")).collect();
    assert_eq!(lines.len(), text.lines().count(), "no key twice");
    for (key, value) in [
        ("zk_avg_latency", "5.0"),
        ("zk_max_latency", "10"),
        ("zk_min_latency", "2"),
        ("zk_packets_received", "6"),
        ("zk_packets_sent", "3"),
        ("zk_num_alive_connections", "2"),
        ("zk_outstanding_requests", "0"),
        ("zk_uptime", "5915"),
        ("zk_znode_count", "6"),
        ("zk_watch_count", "3"),
        ("zk_ephemerals_count", "1"),
        ("zk_approximate_data_size", "47"),
        ("zk_global_sessions", "1"),
        ("zk_open_file_descriptor_count", "66"),
        ("zk_max_file_descriptor_count", "20000"),
        ("zk_last_client_response_size", "40"),
        ("zk_response_bytes", "120"),
        ("zk_cnt_readlatency", "3"),
        ("zk_sum_readlatency", "15"),
        ("zk_p50_readlatency", "4"),
        ("zk_p999_readlatency", "10"),
        ("zk_avg_fsynctime", "0.0"),
        ("zk_sum_node_changed_watch_count", "2"),
    ] {
        assert_eq!(lines.get(key), Some(&value), "{key}");
    }
    ask(&mut world, Word::Srst);
    assert!(ask(&mut world, Word::Mntr).contains("zk_last_client_response_size\t-1\n"));
}

#[test]
fn prometheus_reads_the_same_figures() {
    let world = world();
    let text = exposition(Some(&world.server()), world.stats());
    let gauge =
        |name, value| alloc::format!("# HELP {name} {name}\n# TYPE {name} gauge\n{name} {value}\n");
    let first = ["avg_latency 5.0", "max_latency 10.0", "min_latency 2.0", "packets_received 6.0"];
    let first = first.map(|sample| sample.split_once(' ').expect("name and value"));
    let first: String = first.into_iter().map(|(name, value)| gauge(name, value)).collect();
    assert!(text.starts_with(&first), "{text}");
    for part in [
        &gauge("znode_count", "6.0"),
        &gauge("num_alive_connections", "2.0"),
        &gauge("uptime", "5915.0"),
        &gauge("last_client_response_size", "40.0"),
        &gauge("connection_drop_probability", "0.0"),
        &gauge("auth_failed_count", "0.0"),
        "# HELP response_bytes response_bytes\n# TYPE response_bytes counter\n\
         response_bytes 120.0\n",
        "# HELP readlatency readlatency\n# TYPE readlatency summary\n\
         readlatency{quantile=\"0.5\",} 4.0\nreadlatency{quantile=\"0.9\",} 10.0\n\
         readlatency{quantile=\"0.99\",} 10.0\nreadlatency_count 3.0\nreadlatency_sum 15.0\n",
        "# HELP fsynctime fsynctime\n# TYPE fsynctime summary\n\
         fsynctime{quantile=\"0.5\",} NaN\nfsynctime_count 0.0\nfsynctime_sum 0.0\n",
        "# HELP node_changed_watch_count node_changed_watch_count\n\
         # TYPE node_changed_watch_count summary\nnode_changed_watch_count_sum 2.0\n",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn every_figure_is_of_the_family_before_it() {
    let mut world = world();
    world.stats.reset();
    let text = exposition(Some(&world.server()), world.stats());
    assert!(text.contains("\nlast_client_response_size -1.0\n"), "{text}");
    let (mut family, mut families) = ("", vec![]);
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').expect("name and help").0;
            assert!(!families.contains(&family), "{family} twice");
            families.push(family);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind.split_once(' ').expect("name and type").0, family);
        } else {
            let (name, value) = line.rsplit_once(' ').expect("name and value");
            let rest = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} of {family}"));
            let known = ["", "_count", "_sum"].contains(&rest) || rest.starts_with("{quantile=");
            assert!(known, "{line} of {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert_eq!(families.len(), 20 + Counter::ALL.len() + Measure::ALL.len() + 4);

    let early = exposition(None, &Stats::new());
    assert!(early.starts_with("# HELP connection_request_count connection_request_count\n"));
    assert!(early.contains("\ncommit_count 0.0\n"), "{early}");
    assert!(!early.contains("watch_count"), "{early}");
}

#[test]
fn refusals() {
    let refused = |word, whitelist| {
        let mut out = vec![];
        refuse(word, whitelist, &mut out);
        String::from_utf8(out).expect("text")
    };
    let text = "dump is not executed because it is not in the whitelist.\n";
    assert_eq!(refused(Word::Dump, Whitelist::default()), text);
    let all = Whitelist::parse("*", false);
    let text = "This ZooKeeper instance is not currently serving requests\n";
    assert_eq!(refused(Word::Dump, all), text);
    assert_eq!(refused(Word::Hash, all), text.trim_end());
    assert_eq!(
        (refused(Word::Ruok, all), refused(Word::Isro, all)),
        ("imok".into(), "null".into())
    );
}

#[test]
fn whitelists() {
    let allowed = |list, read_only| {
        let whitelist = Whitelist::parse(list, read_only);
        let names = Word::ALL.iter().filter(|word| whitelist.allows(**word)).map(|w| w.text());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(allowed("", false), "srvr");
    assert_eq!(allowed(" mntr ,, what,", true), "isro mntr srvr");
    assert_eq!(allowed("ruok, *", false).split(' ').count(), Word::ALL.len());
    assert_eq!(Whitelist::default(), Whitelist::parse("conf,isro,mntr,ruok,srvr,stat", false));
    assert_eq!(Word::from_bytes(*b"mntr"), Some(Word::Mntr));
    assert_eq!(Word::from_bytes(*b"icfg"), None);
}
