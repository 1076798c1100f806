// SPDX-License-Identifier: Apache-2.0
//! The program as an operator meets it: started, asked, stopped, and given wrong configurations.

mod common;
#[path = "program/files.rs"]
mod files;
#[path = "program/metrics.rs"]
mod metrics;

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use common::{Home, complaint, eventually, run, said, signal, wire::Wire};
use menagerie_core::proto::{Acl, Create, CreateKind, ErrorCode, Request};

#[test]
fn start_status_and_stop_speak_as_zk_server_does() {
    let home = Home::new("verbs");
    let (status, port) = (|| said(&home.run(&["status", "zoo.cfg"])), home.port);
    let found =
        format!("Client port found: {port}. Client address: 127.0.0.1. Client SSL: false.\n");
    let down = "Error contacting service. It is probably not running.\n";
    assert_eq!(status(), (1, format!("{found}{down}")));

    let started = said(&home.run(&["start", "zoo.cfg"]));
    assert_eq!(started, (0, "Starting zookeeper ... STARTED\n".into()));
    assert_eq!(status(), (0, format!("{found}Mode: standalone\n")));
    let pid = fs::read_to_string(home.folder.join("data/zookeeper_server.pid")).expect("a pid");
    let again = said(&home.run(&["start", "zoo.cfg"]));
    let running = format!("Starting zookeeper ... already running as process {pid}.\n");
    assert_eq!(again, (1, running));

    let stopped = said(&home.run(&["stop", "zoo.cfg"]));
    assert_eq!(stopped, (0, "Stopping zookeeper ... STOPPED\n".into()));
    assert_eq!(status(), (1, format!("{found}{down}")));
}

#[test]
fn the_name_zk_server_is_answered_to() {
    let home = Home::new("name");
    let link = home.folder.join("zkServer.sh");
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_menagerie"), &link).expect("a link");
    let verb = |verb: &str| said(&run(&link, &home.folder, &[verb, "zoo.cfg"]));
    assert_eq!(verb("start").0, 0);
    assert!(verb("status").1.ends_with("Mode: standalone\n"));
    assert_eq!(verb("stop").0, 0);
    assert_eq!(verb("dance").0, 1);
}

#[test]
fn monitoring_is_answered() {
    let home = Home::new("words");
    assert_eq!(home.run(&["start", "zoo.cfg"]).status.code(), Some(0));
    assert_eq!(home.ask(b"ruok"), "imok");
    assert_eq!(home.ask(b"isro"), "rw");
    let srvr = home.ask(b"srvr");
    assert!(srvr.starts_with("Zookeeper version: 3.9.5-menagerie-"), "{srvr}");
    assert!(srvr.contains("\nMode: standalone\n"), "{srvr}");
    let refused = "wchc is not executed because it is not in the whitelist.\n";
    assert_eq!(home.ask(b"wchc"), refused);
}

#[test]
fn a_wrong_value_names_file_line_and_remedy() {
    let home = Home::new("wrong");
    home.configure("maxClientCnxns=many\n");
    let output = home.run(&["serve", "zoo.cfg"]);
    assert_eq!(output.status.code(), Some(2));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("zoo.cfg:8: maxClientCnxns=many: not a number; write"), "{why}");
}

#[test]
fn a_port_in_use_is_said_so() {
    let mut home = Home::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    home.port = taken.local_addr().expect("it is bound").port();
    home.configure("");
    let output = home.run(&["serve", "zoo.cfg"]);
    assert_eq!(output.status.code(), Some(1));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("is taken by another program"), "{why}");
}

#[test]
fn a_data_directory_has_one_server() {
    let home = Home::new("lock");
    assert_eq!(home.run(&["start", "zoo.cfg"]).status.code(), Some(0));
    let text = fs::read_to_string(home.folder.join("zoo.cfg")).expect("the configuration");
    let other = text.replace(&home.port.to_string(), "0");
    fs::write(home.folder.join("other.cfg"), other).expect("another configuration");
    let output = home.run(&["serve", "other.cfg"]);
    assert_eq!(output.status.code(), Some(3));
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(why.contains("another server is running on this data directory"), "{why}");
}

#[test]
fn a_server_can_be_stopped_after_its_configuration_was_broken() {
    let home = Home::new("broken");
    home.start();
    home.configure("maxClientCnxns=many\n");
    let output = home.run(&["restart", "zoo.cfg"]);
    let text = "Stopping zookeeper ... STOPPED\nStarting zookeeper ... FAILED TO START\n";
    assert_eq!(said(&output), (1, text.into()));
    assert!(complaint(&output).contains("zoo.cfg:8: maxClientCnxns=many"), "{output:?}");
    home.configure("");
    let nothing = home.folder.join("other.cfg");
    let output = home.run(&["start", nothing.to_str().expect("a path of ours")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint(&output).contains("cannot read"), "{output:?}");
}

#[test]
fn a_restart_replaces_the_process() {
    let home = Home::new("restart");
    home.start();
    let before = home.pid();
    let text = "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED\n";
    assert_eq!(said(&home.run(&["restart", "zoo.cfg"])), (0, text.into()));
    assert_ne!(home.pid(), before);
    assert_eq!(home.ask(b"ruok"), "imok");
}

#[test]
fn a_pid_file_that_names_another_program_is_stale() {
    let home = Home::new("stale");
    let mut sleep = Command::new("sleep").arg("600").spawn().expect("sleep runs");
    fs::create_dir_all(home.folder.join("data")).expect("a folder");
    let file = home.folder.join("data/zookeeper_server.pid");
    fs::write(&file, sleep.id().to_string()).expect("a pid file");
    let stopped = said(&home.run(&["stop", "zoo.cfg"]));
    assert_eq!(stopped, (0, "Stopping zookeeper ... STOPPED\n".into()));
    fs::write(&file, sleep.id().to_string()).expect("a pid file");
    home.start();
    assert_eq!(sleep.try_wait().expect("it can be asked"), None, "sleep was let be");
    sleep.kill().expect("sleep ends");
    sleep.wait().expect("sleep has ended");
    assert_eq!(home.run(&["stop", "zoo.cfg"]).status.code(), Some(0));
    let text = format!(
        "Stopping zookeeper ... no zookeeper to stop (could not find file {})\n",
        file.display()
    );
    assert_eq!(said(&home.run(&["stop", "zoo.cfg"])), (0, text));
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let home = Home::new("kill");
    home.start();
    for n in 0..10 {
        home.cli(&["create", &format!("/kept-{n}"), "value"]);
    }
    signal("-KILL", &home.pid());
    eventually("it is gone", || TcpStream::connect(("127.0.0.1", home.port)).is_err());
    home.start();
    let nodes = home.cli(&["ls", "/"]);
    assert!((0..10).all(|n| nodes.contains(&format!("kept-{n}"))), "{nodes}");
    assert!(home.cli(&["get", "/kept-9"]).contains("value"));
}

#[test]
fn a_raised_limit_on_requests_holds_for_what_is_stored_too() {
    let home = Home::new("maxbuffer");
    let data = vec![7; 3 << 20];
    let create = |path: &'static [u8]| {
        let (kind, data, acl) = (CreateKind::Create, Some(&data[..]), Some(vec![Acl::OPEN]));
        Request::Create(Create { kind, path, data, acl, flags: 0 })
    };
    home.start();
    let refused = (ErrorCode::MarshallingError.code(), vec![]);
    assert_eq!(Wire::open(home.port).ask(&create(b"/early")), refused);
    home.configure("jute.maxbuffer=4194304\njute.maxbuffer.extrasize=1\n");
    assert_eq!(home.run(&["restart", "zoo.cfg"]).status.code(), Some(0));
    assert_eq!(Wire::open(home.port).ask(&create(b"/large")).0, 0);
    // From the log, and then from a snapshot too, also under the limit as it was.
    for lines in ["", "snapCount=2\n"] {
        signal("-KILL", &home.pid());
        eventually("it is gone", || TcpStream::connect(("127.0.0.1", home.port)).is_err());
        home.configure(lines);
        home.start();
        let read = Request::GetData { path: b"/large", watch: false };
        let (err, body) = Wire::open(home.port).ask(&read);
        assert!(err == 0 && body[4..].starts_with(&data), "{err}, {} bytes", body.len());
    }
}

#[test]
fn signals_stop_a_server_cleanly() {
    let home = Home::new("signals");
    for (verb, name) in [("serve", "-TERM"), ("serve", "-INT"), ("start-foreground", "-TERM")] {
        let mut child = home.foreground(verb);
        signal(name, &child.id().to_string());
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "{verb} {name}");
    }
}

#[test]
fn the_log_is_opened_again_when_it_was_moved() {
    let home = Home::new("hup");
    home.start();
    let out = home.folder.join("zookeeper.out");
    let moved = home.folder.join("moved.out");
    assert!(fs::read_to_string(&out).expect("a log").contains("data read up to"));
    fs::rename(&out, &moved).expect("the log is moved");
    signal("-HUP", &home.pid());
    let again = || fs::read_to_string(&out).is_ok_and(|text| text.contains("opened again"));
    eventually("a new log", again);
    assert!(!fs::read_to_string(&moved).expect("the old log").contains("opened again"));
}

#[test]
fn an_installation_is_found_around_the_scripts() {
    let home = Home::new("installation");
    for folder in ["bin", "conf", "logs"] {
        fs::create_dir_all(home.folder.join(folder)).expect("a folder");
    }
    let conf = home.folder.join("conf/zoo.cfg");
    fs::rename(home.folder.join("zoo.cfg"), &conf).expect("the configuration is moved");
    let flags = "SERVER_JVMFLAGS=\"-Xmx1g -Dzookeeper.4lw.commands.whitelist=ruok,srvr,wchs\"\n";
    fs::write(home.folder.join("conf/java.env"), flags).expect("a file of flags");
    let script = |name: &str, words: &[&str]| {
        let link = home.folder.join("bin").join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_menagerie"), &link).expect("a link");
        let mut command = Command::new(link);
        command.args(words).current_dir("/").output().expect("the program runs")
    };
    let started = script("zkServer.sh", &["start"]);
    assert_eq!(said(&started), (0, "Starting zookeeper ... STARTED\n".into()));
    let shown = home.folder.join("bin/../conf/zoo.cfg");
    let intro = format!("ZooKeeper JMX enabled by default\nUsing config: {}\n", shown.display());
    assert_eq!(complaint(&started), intro);
    assert!(home.folder.join("logs/zookeeper.out").is_file());
    assert!(home.ask(b"wchs").starts_with("0 connections watching 0 paths\n"));
    let cleaned = script("zkCleanup.sh", &["-n", "3"]);
    assert_eq!(said(&cleaned), (0, "0 files removed\n".into()));
    assert_eq!(script("zkCleanup.sh", &["-n", "1"]).status.code(), Some(1));
    assert_eq!(said(&script("zkServer.sh", &["stop"])).0, 0);
}

#[test]
fn a_data_directory_that_cannot_be_is_said_so() {
    let home = Home::new("impossible");
    fs::write(home.folder.join("data"), "a file, not a folder").expect("a file");
    let output = home.run(&["serve", "zoo.cfg"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(complaint(&output).contains("/data"), "{output:?}");
    fs::remove_file(home.folder.join("data")).expect("the file goes");
}

#[test]
fn a_read_only_data_directory_is_said_so() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new("read-only");
    let data = home.folder.join("data");
    fs::create_dir_all(&data).expect("a folder");
    fs::set_permissions(&data, PermissionsExt::from_mode(0o555)).expect("it is made read-only");
    if fs::write(data.join("probe"), "").is_ok() {
        println!("SKIPPED: this user may write to read-only folders (root?)");
        return;
    }
    let output = home.run(&["serve", "zoo.cfg"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(complaint(&output).contains("denied"), "{output:?}");
    fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).expect("it is made writable");
}

#[test]
fn versions_are_told() {
    let home = Home::new("version");
    let (code, text) = said(&home.run(&["version"]));
    assert_eq!(code, 0);
    assert!(text.starts_with("Apache ZooKeeper, version 3.9.5-menagerie-"), "{text}");
    let (code, text) = said(&home.run(&["--version"]));
    assert_eq!(code, 0);
    assert!(text.starts_with("menagerie 3.9.5-menagerie-") && text.contains(", built on "));
    let (code, text) = said(&home.run(&["print-cmd", "zoo.cfg"]));
    assert_eq!(code, 0);
    assert!(text.ends_with("serve \"zoo.cfg\" > \"./zookeeper.out\" 2>&1 < /dev/null\n"), "{text}");
}

#[test]
fn authentication_that_nobody_could_pass_is_refused() {
    let home = Home::new("sasl");
    for lines in [
        "sessionRequireClientSASLAuth=true\n",
        "enforce.auth.enabled=true\nenforce.auth.schemes=sasl,x509\n",
        "enforce.auth.enabled=true\nenforce.auth.schemes=digest\n\
         DigestAuthenticationProvider.enabled=false\n",
    ] {
        home.configure(lines);
        let output = home.run(&["serve", "zoo.cfg"]);
        assert_eq!(output.status.code(), Some(2), "{lines}");
        assert!(complaint(&output).contains("nobody could get in"), "{output:?}");
    }
    home.configure("enforce.auth.enabled=true\nenforce.auth.schemes=kerberos\n");
    let output = home.run(&["serve", "zoo.cfg"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("there is no scheme 'kerberos'"), "{output:?}");
}

#[test]
fn the_port_is_served_where_and_as_configured() {
    let home = Home::new("listen");
    home.configure(
        "clientPortListenBacklog=7\n4lw.commands.whitelist=*\nserverCnxnFactory=\
                    org.apache.zookeeper.server.NettyServerCnxnFactory\n",
    );
    home.start();
    assert!(home.ask(b"conf").contains("\nclientPortListenBacklog=7\n"));
    assert!(TcpStream::connect(("127.0.0.2", home.port)).is_err(), "only clientPortAddress");
    assert!(!keeps_alive(&home), "off where nothing is said");
    home.configure("clientTcpKeepAlive=true\n");
    assert_eq!(home.run(&["restart", "zoo.cfg"]).status.code(), Some(0));
    assert!(keeps_alive(&home));
}

#[test]
fn a_port_of_zero_is_any_that_is_free() {
    let mut home = Home::new("any-port");
    home.configure("clientPort=0\n");
    let mut child = home.launch("serve");
    let port = || {
        let log = home.log();
        let (_, rest) = log.split_once("clients connect to 127.0.0.1:")?;
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    };
    eventually("it says where it serves", || port().is_some());
    home.port = port().expect("it was said");
    home.await_service();
    signal("-TERM", &child.id().to_string());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

/// Whether the server's end of a connection has the system's keep-alive timer running.
fn keeps_alive(home: &Home) -> bool {
    let client = TcpStream::connect(("127.0.0.1", home.port)).expect("it listens");
    let ours = client.local_addr().expect("it is bound").port();
    let ends = format!(":{:04X} 0100007F:{ours:04X} 01 ", home.port);
    let mut timer = None;
    eventually("the server's end is accepted", || {
        let table = fs::read_to_string("/proc/net/tcp").expect("the system's connections");
        let line = table.lines().find(|line| line.contains(&ends)).map(str::to_owned);
        let fields = line.as_deref().map(|line| line.split_whitespace().collect::<Vec<_>>());
        timer = fields.map(|fields| fields[5].starts_with("02:"));
        timer.is_some()
    });
    timer == Some(true)
}

#[test]
fn an_empty_data_directory_is_made() {
    let home = Home::new("initialize");
    let link = home.folder.join("zkServer-initialize.sh");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_menagerie"), &link).expect("a link");
    let script = |words: &[&str]| said(&run(&link, &home.folder, words));
    let (data, log) = (home.folder.join("data"), home.folder.join("log"));
    let text = format!(
        "No myid provided, be sure to specify it in {}/myid if using non-standalone\n",
        data.display()
    );
    assert_eq!(script(&["--configfile=./zoo.cfg"]), (0, text));
    assert!(data.join("version-2").is_dir() && log.join("version-2").is_dir());
    assert!(data.join("initialize").is_file() && !data.join("myid").exists());

    home.start();
    home.cli(&["create", "/kept"]);
    let forced = &["--configfile", "./zoo.cfg", "--myid", "7", "--force"][..];
    let (code, text) = script(forced);
    assert_eq!((code, text.contains("a server runs there as process")), (1, true), "{text}");
    assert_eq!(home.run(&["stop", "zoo.cfg"]).status.code(), Some(0));
    let text = format!(
        "ZooKeeper data directory already exists at {} (or use --force to force \
         re-initialization)\n",
        data.display()
    );
    assert_eq!(script(&forced[..4]), (1, text));
    let text = "Force enabled, data/txnlog directories will be re-initialized\n\
                Using myid of 7\n";
    assert_eq!(script(forced), (0, text.into()));
    assert_eq!(fs::read_to_string(data.join("myid")).expect("a myid"), "7\n");
    home.start();
    assert!(!home.cli(&["ls", "/"]).contains("kept"));

    for (words, why) in [
        (&["--configfile=./none.cfg"][..], "Unable to find config file at ./none.cfg\n"),
        (&["--myid=300"], "--myid needs a number from 1 to 255\nusage: "),
        (&["--dance"], "Unknown option: --dance\nusage: "),
        (&["-h"], "usage: zkServer-initialize.sh <parameters>\n"),
    ] {
        let (code, text) = script(words);
        assert!(code == 1 && text.starts_with(why), "{text}");
    }
    assert_eq!(home.run(&["init", "--help"]).status.code(), Some(1));
}

#[test]
fn the_variables_of_the_container_image_are_understood() {
    let home = Home::new("container");
    let (folder, port) = (home.folder.display(), home.port);
    let link = home.folder.join("docker-entrypoint.sh");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_menagerie"), &link).expect("a link");
    let run = |words: &[&str]| {
        let mut command = Command::new(&link);
        command.args(words).current_dir("/").env_clear().stderr(Stdio::null());
        command.env("ZOO_CONF_DIR", home.folder.join("conf"));
        command.env("ZOO_DATA_DIR", home.folder.join("data"));
        command.env("ZOO_DATA_LOG_DIR", home.folder.join("log"));
        command.env("ZOO_MY_ID", "3");
        command.env("ZOO_SERVERS", format!("server.3=localhost:2888:3888;127.0.0.1:{port}"));
        command.env("ZOO_4LW_COMMANDS_WHITELIST", "ruok,conf");
        command.env("ZOO_CFG_EXTRA", "snapCount=50 maxSessionTimeout=60000");
        command
    };
    let mut server = run(&["zkServer.sh", "start-foreground"]).stdout(Stdio::null()).spawn();
    let server = server.as_mut().expect("the program runs");
    eventually("it serves", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
            && home.ask(b"srvr").contains("Mode: standalone\n")
    });
    let conf = home.ask(b"conf");
    for line in ["tickTime=2000", "maxSessionTimeout=60000", "maxClientCnxns=60"] {
        assert!(conf.contains(&format!("{line}\n")), "{conf}");
    }
    assert_eq!(home.ask(b"ruok"), "imok");
    signal("-TERM", &server.id().to_string());
    assert_eq!(server.wait().expect("it ends").code(), Some(0));

    let file = home.folder.join("conf/zoo.cfg");
    let text = fs::read_to_string(&file).expect("a configuration");
    assert!(text.starts_with(&format!("dataDir={folder}/data\ndataLogDir={folder}/log\n")));
    let myid = home.folder.join("data/myid");
    assert_eq!(fs::read_to_string(&myid).expect("a myid"), "3\n");
    fs::write(&file, "tickTime=1\n").expect("another configuration");
    let echoed = run(&["echo", "done"]).env("ZOO_MY_ID", "4").output().expect("echo runs");
    assert_eq!(said(&echoed), (0, "done\n".into()));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "tickTime=1\n");
    assert_eq!(fs::read_to_string(&myid).expect("it is there"), "3\n");
}
