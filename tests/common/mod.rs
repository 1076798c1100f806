// SPDX-License-Identifier: Apache-2.0
//! What tests of the real program share: a folder for each, the program run in it, and a client
//! that sends whatever bytes it is told to.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod wire;

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

/// The most that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own for one test, with a zoo.cfg; removed in the end.
pub struct Home {
    pub folder: PathBuf,
    pub port: u16,
}

impl Home {
    pub fn new(name: &str) -> Home {
        let folder = std::env::temp_dir().join(format!("menagerie-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = probe.local_addr().expect("it is bound").port();
        let home = Home { folder, port };
        home.configure("");
        home
    }

    pub fn configure(&self, more: &str) {
        let (folder, port) = (self.folder.display(), self.port);
        let text = format!(
            "tickTime=2000\ninitLimit=10\nsyncLimit=5\nclientPort={port}\n\
             clientPortAddress=127.0.0.1\ndataDir={folder}/data\ndataLogDir={folder}/log\n{more}"
        );
        fs::write(self.folder.join("zoo.cfg"), text).expect("the configuration is written");
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        run(Path::new(env!("CARGO_BIN_EXE_menagerie")), &self.folder, arguments)
    }

    pub fn start(&self) {
        let started = said(&self.run(&["start", "zoo.cfg"]));
        assert_eq!(started, (0, "Starting zookeeper ... STARTED\n".into()));
    }

    /// What the pid file says.
    pub fn pid(&self) -> String {
        fs::read_to_string(self.folder.join("data/zookeeper_server.pid")).expect("a pid file")
    }

    /// A server in the foreground, serving; [`Home::log`] is what it says.
    pub fn foreground(&self, verb: &str) -> Child {
        let child = self.launch(verb);
        self.await_service();
        child
    }

    /// Waits until it serves; `ruok` is answered before.
    pub fn await_service(&self) {
        eventually("it serves", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
                && self.ask(b"srvr").contains("Mode: ")
        });
    }

    /// The exit code of a server in the foreground that ends by itself, and what it said.
    pub fn ended(&self) -> (Option<i32>, String) {
        let mut child = self.launch("serve");
        let code = end_of(&mut child);
        (code, self.log())
    }

    pub fn log(&self) -> String {
        let log = fs::read(self.folder.join("server.log")).expect("a server was launched");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// A server in the foreground; whether it serves is for the caller to find out.
    pub fn launch(&self, verb: &str) -> Child {
        let log = File::create(self.folder.join("server.log")).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_menagerie"));
        command.args([verb, "zoo.cfg"]).current_dir(&self.folder);
        command.stdout(log.try_clone().expect("the same log")).stderr(log);
        command.spawn().expect("the program runs")
    }

    pub fn cli(&self, command: &[&str]) -> String {
        let server = format!("127.0.0.1:{}", self.port);
        let output = self.run(&[&["cli", "-server", &server], command].concat());
        assert!(output.status.success(), "{command:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn ask(&self, word: &[u8]) -> String {
        String::from_utf8(self.ask_bytes(word)).expect("text")
    }

    pub fn ask_bytes(&self, word: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.write_all(word).expect("it takes the word");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers and closes");
        answer
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.run(&["stop", "zoo.cfg"]);
        // What a failed test leaves there helps to understand it.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub fn run(program: &Path, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear();
    command.output().expect("the program runs")
}

pub fn signal(signal: &str, pid: &str) {
    let status = Command::new("kill").args([signal, pid]).status().expect("kill runs");
    assert!(status.success(), "kill {signal} {pid}");
}

/// Waits for the end of a process that ends by itself.
pub fn end_of(child: &mut Child) -> Option<i32> {
    eventually("it ends", || child.try_wait().expect("it can be asked").is_some());
    child.wait().expect("it has ended").code()
}

/// KiB that a process holds in memory.
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn said(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("it was not killed"), text)
}
