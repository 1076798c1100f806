// SPDX-License-Identifier: Apache-2.0
//! The program as an operator meets it: started, asked, stopped, and given wrong configurations.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder of its own for one test, with a zoo.cfg; removed in the end.
struct Home {
    folder: PathBuf,
    port: u16,
}

impl Home {
    fn new(name: &str) -> Home {
        let folder = std::env::temp_dir().join(format!("menagerie-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = probe.local_addr().expect("it is bound").port();
        let home = Home { folder, port };
        home.configure("");
        home
    }

    fn configure(&self, more: &str) {
        let (folder, port) = (self.folder.display(), self.port);
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\nclientPort={port}\n\
             clientPortAddress=127.0.0.1\ndataDir={folder}/data\ndataLogDir={folder}/log\n{more}"
        );
        fs::write(self.folder.join("zoo.cfg"), text).expect("the configuration is written");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(Path::new(env!("CARGO_BIN_EXE_menagerie")), &self.folder, arguments)
    }

    fn ask(&self, word: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(word).expect("it takes the word");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers and closes");
        text
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.run(&["stop", "zoo.cfg"]);
        // What a failed test leaves there helps to understand it.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn run(program: &Path, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear();
    command.output().expect("the program runs")
}

fn said(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("it was not killed"), text)
}

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
