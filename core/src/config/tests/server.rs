// SPDX-License-Identifier: Apache-2.0
//! Whole configurations: the deployments people have, the mistakes they make, the exact words.
use crate::config::*;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const SEED: &str = "\
tickTime=2000
initLimit=10
syncLimit=5
clientPort=2181
dataDir=/data/zookeeper/data
dataLogDir=/data/zookeeper/log
";

const THREE: &str = "\
server.1=zk1:2888:3888
server.2=zk2:2888:3888
server.3=zk3:2888:3888
";

fn read_with(
    text: &str,
    flags: &[(&str, &str)],
    myid: Option<&str>,
) -> Result<ServerConfig, ConfigErrors> {
    let myid = myid.map(|id| ("/zk/myid", id.as_bytes()));
    let around = Surroundings { myid, dynamic: None };
    StaticConfig::parse("zoo.cfg", text.as_bytes(), flags)?.complete(&around)
}

fn read(text: &str) -> ServerConfig {
    read_with(text, &[], None).expect("a good configuration")
}

/// The least that starts, and `more`.
fn with(more: &str) -> String {
    alloc::format!("dataDir=/zk\nclientPort=2181\n{more}\n")
}

fn complaint(text: &str) -> String {
    read_with(text, &[], None).expect_err("a mistake").to_string()
}

fn notices(config: &ServerConfig) -> Vec<String> {
    config.notices.iter().map(ToString::to_string).collect()
}

#[test]
fn the_seed_deployment_alone() {
    let config = read(SEED);
    assert_eq!(config.notices, []);
    assert_eq!(config.role, Role::Standalone { id: None });
    assert_eq!(config.data_dir, "/data/zookeeper/data");
    assert_eq!(config.data_log_dir, "/data/zookeeper/log");
    assert_eq!(config.tick_time_ms, 2_000);
    assert_eq!(config.clients.plain, Some(Endpoint { host: None, port: 2_181 }));
    assert_eq!(config.clients.secure, None);
    assert_eq!((config.session_limits.min_ms(), config.session_limits.max_ms()), (4_000, 40_000));
    assert!(config.properties.is_empty());
}

#[test]
fn the_seed_deployment_of_three() {
    let text = String::from(SEED) + THREE;
    let config = read_with(&text, &[], Some("2\n")).expect("a good configuration");
    assert_eq!(config.notices, []);
    let Role::Member(member) = config.role else { panic!("three servers are an ensemble") };
    assert_eq!(member.id, 2);
    assert_eq!((member.init_limit.get(), member.sync_limit.get()), (10, 5));
    assert_eq!(member.connect_limit.get(), 10);
    assert_eq!(
        member.ensemble.to_string(),
        "server.1=zk1:2888:3888:participant\nserver.2=zk2:2888:3888:participant\n\
         server.3=zk3:2888:3888:participant\nversion=0"
    );
}

#[test]
fn no_file_is_a_local_server() {
    let text = BUILT_IN_TEXT.as_bytes();
    let config = StaticConfig::parse(BUILT_IN_NAME, text, &[]).expect("ours");
    let config = config.complete(&Surroundings::default()).expect("ours");
    assert_eq!(config.notices, []);
    let listen = Endpoint { host: Some("127.0.0.1".into()), port: 2_181 };
    assert_eq!(config.clients.plain, Some(listen));
    assert_eq!(config.data_dir, "./menagerie-data");
    assert_eq!(config.data_log_dir, "./menagerie-data");
}

#[test]
fn defaults_are_zookeepers_or_said_to_be_ours() {
    let config = read("dataDir=/zk\nclientPort=2181");
    assert_eq!(config.tick_time_ms, 3_000);
    assert_eq!((config.session_limits.min_ms(), config.session_limits.max_ms()), (6_000, 60_000));
    assert_eq!(config.clients.max_per_address, 60);
    assert_eq!(config.clients.listen_backlog, -1);
    assert_eq!(config.storage.snap_count, 100_000);
    assert_eq!(config.storage.snap_size_limit, Some(4 << 30));
    assert_eq!(config.storage.log_size_limit, None);
    assert_eq!(config.storage.prealloc_bytes, 64 << 20);
    assert_eq!(config.storage.log_to_snapshot_millionths, Some(330_000));
    assert!(config.storage.force_sync && config.storage.digest);
    assert_eq!(config.requests.max_buffer, 1_048_575);
    assert_eq!(config.requests.max_buffer_extra, 1_048_575);
    assert_eq!(config.requests.global_outstanding_limit, 1_000);
    assert_eq!(config.requests.large_threshold, None);
    assert_eq!(config.containers.max_never_used_ms, 0);
    assert_eq!(config.security.digest_algorithm, DigestAlgorithm::Sha1);
    assert!(!config.security.extended_types && !config.security.skip_acl);
    assert!(config.peers.standalone_enabled && config.peers.leader_serves);
    assert!(!config.admin.enabled);
    let day = 86_400_000;
    let purge = Purge::Every { interval_ms: day, first_after_ms: day, retain: 3 };
    assert_eq!(config.purge, purge);
}

#[test]
fn every_mistake_is_told_in_one_line_that_helps() {
    for (text, message) in MISTAKES {
        assert_eq!(complaint(&with(text)), *message);
    }
}

/// Lines after `dataDir` and `clientPort`, and what is said about them.
#[rustfmt::skip]
const MISTAKES: &[(&str, &str)] = &[
    ("tickTime=2s",
     "zoo.cfg:3: tickTime=2s: not a number; write milliseconds from 1 to 107374182, such as \
      tickTime=3000"),
    ("tickTime=0",
     "zoo.cfg:3: tickTime=0: out of range; write milliseconds from 1 to 107374182, such as \
      tickTime=3000"),
    ("tickTime=99999999999999999999",
     "zoo.cfg:3: tickTime=99999999999999999999: out of range; write milliseconds from 1 to \
      107374182, such as tickTime=3000"),
    ("tickTime=",
     "zoo.cfg:3: tickTime=: not a number; write milliseconds from 1 to 107374182, such as \
      tickTime=3000"),
    ("clientPort=65536",
     "zoo.cfg:3: clientPort=65536: out of range; write a port from 0 to 65535, such as \
      clientPort=2181"),
    ("clientPort=2181 # plain",
     "zoo.cfg:3: clientPort=2181 # plain: not a number; write a port from 0 to 65535, such as \
      clientPort=2181; a comment needs a line of its own"),
    ("initLimit=-1",
     "zoo.cfg:3: initLimit=-1: out of range; write ticks from 0 to 2147483647"),
    ("minSessionTimeout=70000",
     "zoo.cfg:3: minSessionTimeout=70000: above maxSessionTimeout=60000; write at most 60000"),
    ("maxSessionTimeout=5000",
     "zoo.cfg:3: maxSessionTimeout=5000: below minSessionTimeout=6000; write at least 6000, \
      or set minSessionTimeout too"),
    ("minSessionTimeout=20000\nmaxSessionTimeout=10000",
     "zoo.cfg:3: minSessionTimeout=20000: above maxSessionTimeout=10000; write at most 10000"),
    ("maxSessionTimeout=0",
     "zoo.cfg:3: maxSessionTimeout=0: out of range; write milliseconds from 1 to 2147483647, \
      such as maxSessionTimeout=60000"),
    ("dataDir=",
     "zoo.cfg:3: dataDir=: empty; write a directory, such as dataDir=/var/lib/zookeeper"),
    ("electionAlg=0",
     "zoo.cfg:3: electionAlg=0: not supported; write 3, the only algorithm left, or remove \
      the line"),
    ("peerType=leader",
     "zoo.cfg:3: peerType=leader: not a role; write participant or observer"),
    ("syncEnabled=yes",
     "zoo.cfg:3: syncEnabled=yes: not a known value; write true or false"),
    ("forceSync=false",
     "zoo.cfg:3: forceSync=false: not a known value; write yes or no"),
    ("skipACL=true",
     "zoo.cfg:3: skipACL=true: not a known value; write yes or no"),
    ("snapCount=many",
     "zoo.cfg:3: snapCount=many: not a number; write a number from 0 to 2147483647, such as \
      snapCount=100000"),
    ("snapCount=08",
     "zoo.cfg:3: snapCount=08: not a number; write a number from 0 to 2147483647, such as \
      snapCount=100000"),
    ("enforceQuota=1",
     "zoo.cfg:3: enforceQuota=1: not a known value; write true or false"),
    ("autopurge.purgeInterval=1 day",
     "zoo.cfg:3: autopurge.purgeInterval=1 day: not an interval; write hours, such as 24, or \
      a number with ms, s, m, h or d; 0 is off"),
    ("autopurge.snapRetainCount=few",
     "zoo.cfg:3: autopurge.snapRetainCount=few: not a number; write a number of snapshots \
      from 0 to 2147483647, such as autopurge.snapRetainCount=3"),
    ("secureClientPortAddress=10.0.0.1",
     "zoo.cfg:3: secureClientPortAddress=10.0.0.1: needs secureClientPort, which is not set; \
      add a line such as secureClientPort=2281"),
    ("metricsProvider.className=PrometheusMetricsProvider",
     "zoo.cfg:3: metricsProvider.className=PrometheusMetricsProvider: not a metrics provider \
      that exists here; write \
      org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider, or remove the line"),
    ("metricsProvider.httpPort=http",
     "zoo.cfg:3: metricsProvider.httpPort=http: not a number; write a port from 0 to 65535, \
      such as metricsProvider.httpPort=7000"),
    ("snapshot.compression.method=zip",
     "zoo.cfg:3: snapshot.compression.method=zip: not a known value; write nothing or gz or \
      snappy"),
    ("snapshotSizeFactor=33%",
     "zoo.cfg:3: snapshotSizeFactor=33%: not a factor; write a fraction up to 1, such as \
      0.33; -1 is off"),
    ("jute.maxbuffer=4M",
     "zoo.cfg:3: jute.maxbuffer=4M: not a number; write bytes from 1 to 2147483647, such as \
      jute.maxbuffer=1048575"),
    ("enforce.auth.enabled=true",
     "zoo.cfg:3: enforce.auth.enabled=true: enforces no scheme; add a line such as \
      enforce.auth.schemes=digest,sasl"),
    ("quorum.auth.serverRequireSasl=true",
     "zoo.cfg:3: quorum.auth.serverRequireSasl=true: needs SASL between servers; add \
      quorum.auth.enableSasl=true"),
    ("quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true",
     "zoo.cfg:4: quorum.auth.serverRequireSasl=true: would refuse this server's own links; \
      add quorum.auth.learnerRequireSasl=true"),
    ("dynamicConfigFile=/zk/dyn\nserver.1=a:1:2",
     "zoo.cfg:4: server.1=a:1:2: may not stand beside dynamicConfigFile; move it to the file \
      that dynamicConfigFile names"),
    ("server.one=zk1:2888:3888",
     "zoo.cfg:3: server.one=zk1:2888:3888: 'one' in the key is not an id; write a number from \
      0 to 255, such as server.1"),
    ("server.-1=zk1:2888:3888",
     "zoo.cfg:3: server.-1=zk1:2888:3888: '-1' in the key is not an id; write a number from 0 \
      to 255, such as server.1"),
    ("server.1=zk1",
     "zoo.cfg:3: server.1=zk1: 'zk1' has no port; write host:quorumPort:electionPort, such as \
      zk1.example:2888:3888, optionally followed by :observer and by ;clientPort"),
    ("server.1=zk1:2888",
     "zoo.cfg:3: server.1=zk1:2888: no election port; write host:quorumPort:electionPort, \
      such as zk1.example:2888:3888, optionally followed by :observer and by ;clientPort"),
    ("server.1=zk1:2888:2888",
     "zoo.cfg:3: server.1=zk1:2888:2888: the same port twice: quorum and election need one \
      each; write host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally \
      followed by :observer and by ;clientPort"),
    ("server.1=zk1:2888:port",
     "zoo.cfg:3: server.1=zk1:2888:port: 'port' is not a port; write \
      host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally followed by \
      :observer and by ;clientPort"),
    ("server.1=zk1:2888:3888:voter",
     "zoo.cfg:3: server.1=zk1:2888:3888:voter: 'voter' is not a role; write \
      host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally followed by \
      :observer and by ;clientPort"),
    ("server.1=:2888:3888",
     "zoo.cfg:3: server.1=:2888:3888: ':2888:3888' has no host; write \
      host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally followed by \
      :observer and by ;clientPort"),
    ("server.1=[::1:2888:3888",
     "zoo.cfg:3: server.1=[::1:2888:3888: '[::1:2888:3888' lacks its ']'; write \
      host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally followed by \
      :observer and by ;clientPort"),
    ("server.1=a:1:2:observer:x",
     "zoo.cfg:3: server.1=a:1:2:observer:x: 'a:1:2:observer:x' has too many parts; write \
      host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally followed by \
      :observer and by ;clientPort"),
    ("server.1=a:1:2;2181;2281;2381",
     "zoo.cfg:3: server.1=a:1:2;2181;2281;2381: more than two client addresses; write \
      host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally followed by \
      :observer and by ;clientPort"),
    ("server.1=a:1:2;localhost:",
     "zoo.cfg:3: server.1=a:1:2;localhost:: '' is not a port; write \
      host:quorumPort:electionPort, such as zk1.example:2888:3888, optionally followed by \
      :observer and by ;clientPort"),
    ("server.1=a:1:2:observer|b:1:2:participant",
     "zoo.cfg:3: server.1=a:1:2:observer|b:1:2:participant: different roles for the addresses \
      of one server; write host:quorumPort:electionPort, such as zk1.example:2888:3888, \
      optionally followed by :observer and by ;clientPort"),
    ("server.1=a:1:2|b:1:2",
     "zoo.cfg: server.1 has several addresses; write one, or add multiAddress.enabled=true"),
    ("server.1=a:1:2:observer",
     "zoo.cfg: 1 listed as observer, but 0 to vote; list at least two servers that are not \
      :observer"),
    ("server.1=a:1:2\nserver.2=b:1:2:observer",
     "zoo.cfg: 1 listed as observer, but 1 to vote; list at least two servers that are not \
      :observer"),
    ("server.1=a:1:2\nserver.2=b:1:2",
     "zoo.cfg: initLimit is not set, and an ensemble needs it; add a line such as initLimit=10"),
    ("initLimit=1\nserver.1=a:1:2\nserver.2=b:1:2",
     "zoo.cfg: syncLimit is not set, and an ensemble needs it; add a line such as syncLimit=5"),
    ("initLimit=1\nsyncLimit=1\nserver.1=a:1:2\nserver.2=b:1:2",
     "zoo.cfg: /zk/myid does not exist, and an ensemble needs it; write the N of this \
      server's server.N line: echo N > /zk/myid"),
    ("standaloneEnabled=false",
     "zoo.cfg: standaloneEnabled=false needs at least one voting server; add server.N lines, \
      or remove it"),
    ("group.1=1:2\nserver.1=a:1:2",
     "zoo.cfg:3: group.1=1:2: there is no server.2 to be in a group; add its server.N line or \
      remove it from the group"),
    ("group.1=1:x",
     "zoo.cfg:3: group.1=1:x: 'x' is not a server id; write ids with colons between them, \
      such as group.1=1:2:3"),
    ("group.1=1\ngroup.2=1",
     "zoo.cfg:4: group.2=1: server 1 is in a group already; name every server once"),
    ("weight.1=2\nserver.1=a:1:2",
     "zoo.cfg:3: weight.1=2: server.1 is in no group; name every participant in one group.N \
      line"),
    ("weight.1=heavy",
     "zoo.cfg:3: weight.1=heavy: not a weight; write a number from 0, such as weight.1=1"),
    ("version=zero",
     "zoo.cfg:3: version=zero: not a version; write a zxid in hexadecimal, such as version=0"),
    ("dynamicConfigFile=/zk/dyn",
     "zoo.cfg: the dynamicConfigFile /zk/dyn does not exist; create it, or list the servers here"),
    ("a=C:\\users",
     "zoo.cfg:3: \\u must be followed by four hexadecimal digits; write \\\\ for a backslash, \
      or / in paths"),
];

#[test]
fn all_mistakes_are_told_at_once_in_order() {
    let text = "syncLimit=five\n# c\ntickTime=2 000\n";
    assert_eq!(
        read_with(text, &[("JVMFLAGS", "-Dzookeeper.snapCount=lots")], None)
            .expect_err("four mistakes")
            .to_string(),
        "zoo.cfg: dataDir is not set; add a line such as dataDir=/var/lib/zookeeper\n\
         zoo.cfg:1: syncLimit=five: not a number; write ticks from 0 to 2147483647\n\
         zoo.cfg:3: tickTime=2 000: not a number; \
         write milliseconds from 1 to 107374182, such as tickTime=3000\n\
         JVMFLAGS: -Dzookeeper.snapCount=lots: not a number; \
         write a number from 0 to 2147483647, such as zookeeper.snapCount=100000"
    );
}

#[test]
fn a_server_without_a_client_port_is_no_server() {
    assert_eq!(
        complaint("dataDir=/zk"),
        "zoo.cfg: clientPort is not set, so that no client could connect; \
         add a line such as clientPort=2181"
    );
    let secure = read("dataDir=/zk\nsecureClientPort=2281\nsecureClientPortAddress=[::1]");
    assert_eq!(secure.clients.plain, None);
    let listen = Endpoint { host: Some("::1".into()), port: 2_281 };
    assert_eq!(secure.clients.secure, Some(listen));
    let text = String::from("dataDir=/zk\ninitLimit=10\nsyncLimit=5\n") + THREE;
    let peer = read_with(&text, &[], Some("1")).expect("a member may have no clients");
    assert_eq!(peer.clients.plain, None);
}

#[test]
fn the_file_wins_over_flags_and_later_flags_over_earlier() {
    let flags = [
        ("SERVER_JVMFLAGS", "-Xmx1g -Dzookeeper.snapCount=10 -Dzookeeper.preAllocSize=1"),
        ("JVMFLAGS", "-Dzookeeper.snapCount=0x14 -Dzookeeper.skipACL=yes -Dcom.sun.jmx=1"),
    ];
    let config = read_with(&with("skipACL=no"), &flags, None).expect("good");
    assert_eq!(config.storage.snap_count, 20);
    assert_eq!(config.storage.prealloc_bytes, 1 << 10);
    assert!(!config.security.skip_acl);
    assert_eq!(config.notices, []);
    let properties: Vec<(&str, &str)> =
        config.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        properties,
        [
            ("com.sun.jmx", "1"),
            ("zookeeper.preAllocSize", "1"),
            ("zookeeper.skipACL", "no"),
            ("zookeeper.snapCount", "0x14"),
        ]
    );
}

#[test]
fn properties_that_java_reads_bare_count_in_the_file_too() {
    let config = read(&with("jute.maxbuffer=4194304\nreadonlymode.enabled=true"));
    assert_eq!(config.requests.max_buffer, 4 << 20);
    assert_eq!(config.requests.max_buffer_extra, 4 << 20);
    assert!(config.read_only_mode);
    assert_eq!(
        notices(&config),
        [
            "zoo.cfg:3: jute.maxbuffer counts here, though ZooKeeper only reads it from \
             -Djute.maxbuffer",
            "zoo.cfg:4: readonlymode.enabled counts here, though ZooKeeper only reads it from \
             -Dreadonlymode.enabled",
        ]
    );
    let flags = [("JVMFLAGS", "-Djute.maxbuffer=100 -Dzookeeper.jute.maxbuffer.extrasize=7")];
    let config = read_with(&with("jute.maxbuffer=200"), &flags, None).expect("good");
    assert_eq!((config.requests.max_buffer, config.requests.max_buffer_extra), (100, 1_024));
    assert_eq!(config.notices, []);
    let flags = [("JVMFLAGS", "-Dfsync.warningthresholdms=7")];
    let config = read_with(&with(""), &flags, None).expect("good");
    assert_eq!(config.storage.fsync_warning_ms, 7);
    let config = read_with(&with("fsync.warningthresholdms=8"), &flags, None).expect("good");
    assert_eq!(config.storage.fsync_warning_ms, 8);
}

#[test]
fn what_nobody_asks_for_is_kept_and_told() {
    let text = with(
        "tickTIme=5\nzookeeper.snapCount=7\nnetty.server.x=1\nmy.own=\\u00e9\nsnapCont=5\n\
         dataDir=zk\nsnapCount=1\nautopurge.snapRetainCount=1\n4lw.commands.whitelist=rouk",
    );
    let config = read_with(&text, &[("JVMFLAGS", "-Dzookeeper.juts=1")], None).expect("good");
    assert_eq!(
        notices(&config),
        [
            "zoo.cfg:1: dataDir is ignored: line 8 sets it again",
            "zoo.cfg:3: tickTIme is not known; it is kept as property zookeeper.tickTIme; \
             is tickTime meant?",
            "zoo.cfg:4: zookeeper.snapCount has no effect in a file, where the prefix is added: \
             write snapCount",
            "zoo.cfg:5: netty.server.x is ZooKeeper's but has no effect here; it is kept",
            "zoo.cfg:6: my.own has characters outside ASCII; files are read as ISO-8859-1, as \
             ZooKeeper does: write \\uXXXX if this is not what is meant",
            "zoo.cfg:6: my.own is not known; it is kept as property zookeeper.my.own",
            "zoo.cfg:7: snapCont is not known; it is kept as property zookeeper.snapCont; \
             is snapCount meant?",
            "zoo.cfg:8: dataDir=zk is relative to where the server is started; write /zk or ./zk",
            "zoo.cfg:9: snapCount=1 is raised to 2",
            "zoo.cfg:10: autopurge.snapRetainCount=1 is raised to 3",
            "zoo.cfg:11: 'rouk' in 4lw.commands.whitelist is not a four-letter word",
            "JVMFLAGS: zookeeper.juts is not known; it is kept as property zookeeper.juts",
        ]
    );
    assert_eq!(config.properties.get("zookeeper.tickTIme").map(String::as_str), Some("5"));
    assert_eq!(
        config.properties.get("zookeeper.zookeeper.snapCount").map(String::as_str),
        Some("7")
    );
    assert_eq!(config.properties.get("zookeeper.my.own").map(String::as_str), Some("\u{e9}"));
    assert_eq!(config.properties.get("zookeeper.dataDir"), None);
    assert_eq!(config.tick_time_ms, 3_000);
}

#[test]
fn purging_is_on_unless_switched_off() {
    let every = |interval_ms, retain| Purge::Every { interval_ms, first_after_ms: 0, retain };
    let rows = [
        ("autopurge.purgeInterval=0", Purge::Off),
        ("autopurge.purgeInterval=-1", Purge::Off),
        ("autopurge.purgeInterval=24", every(86_400_000, 3)),
        ("autopurge.purgeInterval=90s\nautopurge.snapRetainCount=10", every(90_000, 10)),
        ("autopurge.purgeInterval=1\nautopurge.snapRetainCount=-5", every(3_600_000, 3)),
    ];
    for (text, expected) in rows {
        assert_eq!(read(&with(text)).purge, expected, "{text}");
    }
}

#[test]
fn four_letter_words_are_listed_or_all() {
    let allowed = |text: &str| {
        let words = read(&with(text)).four_letter_words;
        WORDS.iter().copied().filter(|word| words.allows(word)).collect::<Vec<_>>().join(",")
    };
    assert_eq!(allowed(""), "conf,isro,mntr,ruok,srvr,stat");
    assert_eq!(allowed("4lw.commands.whitelist="), "srvr");
    assert_eq!(allowed("4lw.commands.whitelist= dump , wchp,,"), "dump,srvr,wchp");
    assert_eq!(allowed("4lw.commands.whitelist=ruok\nreadonlymode.enabled=true"), "isro,ruok,srvr");
    assert_eq!(allowed("4lw.commands.whitelist=ruok, *"), WORDS.join(","));
    assert!(!read(&with("4lw.commands.whitelist=*")).four_letter_words.allows("evil"));
}

#[test]
fn metrics_security_and_peers_are_typed() {
    let config = read(&with(
        "metricsProvider.className=\
         org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.httpPort=7001\nmetricsProvider.exportJvmInfo=false\n\
         authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
         superUser=hbase\nsuperUser.1=kafka\nenforce.auth.enabled=true\n\
         enforce.auth.schemes=digest, sasl\nminSessionTimeout=-1\nmaxClientCnxns=-1\n\
         snapSizeLimitInKb=0\ntxnLogSizeLimitInKb=1\nsnapshotSizeFactor=-1\n\
         observer.syncEnabled=false\nsyncEnabled=TRUE\nlocalSessionsEnabled=true\n\
         multiAddress.enabled=true\nquorum.auth.enableSasl=true",
    ));
    let no_sasl = "zoo.cfg:6: authProvider.sasl has no effect: this version offers no SASL; its \
                   scheme is refused";
    assert_eq!(notices(&config), [no_sasl]);
    let Metrics::Prometheus { listen, options } = &config.metrics else { panic!("asked for") };
    assert_eq!(*listen, Endpoint { host: None, port: 7_001 });
    assert_eq!(options.get("exportJvmInfo").map(String::as_str), Some("false"));
    let [provider] = config.security.providers.as_slice() else { panic!("one provider") };
    assert_eq!(provider.suffix, "sasl");
    assert_eq!(config.security.super_users, ["hbase", "kafka"]);
    assert_eq!(config.security.required_schemes, ["digest", "sasl"]);
    assert_eq!(config.session_limits.min_ms(), 6_000);
    assert_eq!(config.clients.max_per_address, 0);
    assert_eq!(
        (config.storage.snap_size_limit, config.storage.log_size_limit),
        (None, Some(1_024))
    );
    assert_eq!(config.storage.log_to_snapshot_millionths, None);
    assert!(!config.peers.observer_sync_enabled);
    assert_eq!(config.local_sessions, LocalSessions::On);
    let multi_address = MultiAddress { reachability_check: true, reachability_timeout_ms: 1_000 };
    assert_eq!(config.peers.multi_address, Some(multi_address));
    let sasl = config.peers.sasl.expect("enabled");
    assert_eq!(sasl.service_principal, "zkquorum/localhost");
}

#[test]
fn providers_of_schemes_are_taken_for_what_they_are() {
    let package = "org.apache.zookeeper.server.auth";
    let config = read(&with(&alloc::format!(
        "authProvider.1={package}.IPAuthenticationProvider\n\
         authProvider.2={package}.EnsembleAuthenticationProvider\n\
         authProvider.3={package}.X509AuthenticationProvider\n\
         authProvider.4=com.example.Own\nensembleAuthName=east, west"
    )));
    assert_eq!(
        notices(&config),
        [
            "zoo.cfg:5: authProvider.3 has no effect: this version speaks no TLS; its scheme is \
             refused",
            "zoo.cfg:6: authProvider.4 has no effect: classes of Java are not loaded here; its \
             scheme is refused",
        ]
    );
    let names = ["east", "west"].map(String::from).into();
    assert_eq!(config.security.ensemble, EnsembleScheme::Named(names));
    let alone = read(&with("ensembleAuthName=east"));
    assert_eq!(alone.security.ensemble, EnsembleScheme::Off, "a name alone checks nothing");
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_configuration_or_a_complaint(text: Vec<u8>, flags: String, myid: Vec<u8>) {
        let around = Surroundings { myid: Some(("myid", &myid)), dynamic: Some(("d", &text)) };
        match StaticConfig::parse("zoo.cfg", &text, &[("JVMFLAGS", &flags)]) {
            Ok(config) => drop(config.complete(&around)),
            Err(errors) => proptest::prop_assert!(!errors.errors().is_empty()),
        }
    }

    #[test]
    fn any_value_of_a_known_key_is_taken_or_refused(
        pick in 0..MISTAKES.len(),
        value in "[-+0-9a-z:;|\\[\\]., é]{0,20}",
    ) {
        let (line, _) = MISTAKES[pick];
        let key = line.split('=').next().expect("a key");
        let text = with(&alloc::format!("{key}={value}"));
        if let Err(errors) = read_with(&text, &[], Some("1")) {
            proptest::prop_assert!(!errors.errors().is_empty());
        }
    }
}
