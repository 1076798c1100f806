// SPDX-License-Identifier: Apache-2.0
//! The load generator against the real server, and against itself as the limit.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_menagerie");

/// A server in a folder of its own; both go in the end.
struct Server {
    folder: PathBuf,
    address: String,
    child: Child,
}

impl Server {
    fn start(name: &str) -> Server {
        let folder = folder(name);
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = probe.local_addr().expect("it is bound").port();
        drop(probe);
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=40\n",
            folder.join("data").display()
        );
        fs::write(folder.join("zoo.cfg"), text).expect("the configuration is written");
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "zoo.cfg"]).current_dir(&folder).stderr(Stdio::null());
        let child = command.stdout(Stdio::null()).spawn().expect("the program runs");
        let server = Server { folder, address: format!("127.0.0.1:{port}"), child };
        while !server.is_serving() {
            std::thread::yield_now();
        }
        server
    }

    /// The limit, on a port of its own choice.
    fn null(name: &str, more: &[&str]) -> Server {
        let folder = folder(name);
        let mut command = Command::new(PROGRAM);
        command.args(["load", "--null", "--server", "127.0.0.1:0"]).args(more);
        command.current_dir(&folder).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program runs");
        let mut line = String::new();
        let said = child.stderr.as_mut().expect("it is piped");
        BufReader::new(said).read_line(&mut line).expect("it says where it is");
        let address = line.trim_end().rsplit(' ').next().expect("the last word").into();
        Server { folder, address, child }
    }

    fn is_serving(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let mut text = String::new();
        let asked = stream.write_all(b"srvr").and_then(|()| stream.read_to_string(&mut text));
        asked.is_ok() && text.contains("Mode: standalone")
    }

    fn load(&self, arguments: &[&str]) -> Output {
        self.run(&[&["load", "--server", &self.address], arguments].concat())
    }

    /// What a short load says in JSON.
    fn measure(&self, arguments: &[&str]) -> String {
        let short = ["--seconds", "2", "--warm-up", "0", "--connections", "4", "--json"];
        let output = self.load(&[&short, arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn cli(&self, command: &[&str]) -> Output {
        self.run(&[&["cli", "-server", &self.address], command].concat())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(&self.folder).output().expect("the program runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("it was started");
        self.child.wait().expect("it was killed");
        fs::remove_dir_all(&self.folder).expect("the folder is ours");
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("menagerie-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder of our own");
    folder
}

/// A number of the JSON.
fn number(json: &str, field: &str) -> f64 {
    let (_, behind) = json.split_once(&format!("\"{field}\":")).expect(field);
    let text = behind.split([',', '}']).next().expect("something follows");
    text.parse().expect(field)
}

#[test]
fn it_fills_once_and_measures_what_it_filled() {
    let server = Server::start("load-fill");
    for _ in 0..2 {
        let filled = server.load(&["--fill", "--znodes", "300"]);
        assert!(filled.status.success(), "{filled:?}");
    }
    let stat = server.cli(&["stat", "/load"]);
    let stat = String::from_utf8_lossy(&stat.stdout).into_owned();
    assert!(stat.contains("numChildren = 300\n"), "{stat}");
    for workload in ["read", "write", "mixed"] {
        let pid = server.child.id().to_string();
        let json = server.measure(&["--workload", workload, "--znodes", "300", "--pid", &pid]);
        assert!(number(&json, "requests") > 0.0 && json.contains("\"errors\":{}"), "{json}");
        assert!(number(&json, "p50_us") <= number(&json, "max_us"), "{json}");
        assert!(number(&json, "cpu_us_each") > 0.0, "{json}");
    }
}

#[test]
fn creates_never_meet_those_of_another_run() {
    let server = Server::start("load-create");
    for _ in 0..2 {
        let json = server.measure(&["--workload", "create", "--znodes", "1"]);
        assert!(number(&json, "requests") > 0.0 && json.contains("\"errors\":{}"), "{json}");
    }
}

#[test]
fn a_rate_bounds_what_is_asked_for() {
    let server = Server::start("load-rate");
    let json = server.measure(&["--rate", "50", "--idle", "20"]);
    assert!((1.0..=104.0).contains(&number(&json, "requests")), "{json}");
    assert_eq!(number(&json, "idle"), 20.0);
}

#[test]
fn errors_are_told_and_are_no_throughput() {
    let server = Server::start("load-errors");
    assert!(server.load(&["--fill", "--znodes", "1"]).status.success());
    assert!(server.cli(&["setAcl", "/load/0000000", "world:anyone:r"]).status.success());
    let json = server.measure(&["--workload", "write", "--znodes", "1"]);
    assert!(number(&json, "requests") == 0.0 && json.contains("{\"NoAuth\":"), "{json}");

    assert!(server.cli(&["setAcl", "/load", "world:anyone:r"]).status.success());
    let filled = server.load(&["--fill", "--znodes", "2"]);
    let said = String::from_utf8_lossy(&filled.stderr);
    assert!(!filled.status.success() && said.contains("NoAuth"), "{said}");

    // More sessions than the server takes from one address.
    let crowded = server.load(&["--znodes", "1", "--idle", "50"]);
    assert!(!crowded.status.success(), "{crowded:?}");
}

#[test]
fn the_limit_answers_whatever_the_generator_asks() {
    for (name, more) in [("load-null", &[] as &[&str]), ("load-syncing", &["--sync", "."])] {
        let null = Server::null(name, more);
        for workload in ["read", "write", "mixed", "create"] {
            let json = null.measure(&["--workload", workload]);
            assert!(number(&json, "requests") > 0.0 && json.contains("\"errors\":{}"), "{json}");
        }
    }
}
