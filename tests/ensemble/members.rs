// SPDX-License-Identifier: Apache-2.0
//! Several real servers of one ensemble in a folder of their own, started and ended as an operator
//! does it.

use std::{
    fs,
    net::{TcpListener, TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicU16, Ordering},
    thread,
};

use super::common::{eventually, run, said, signal};

/// What three of every four tests want.
pub const VOTERS: &[&str] = &["", "", ""];

/// Servers 1, 2, 3, ...; the first is number 1.
pub struct Ensemble {
    pub folder: PathBuf,
    pub members: Vec<Ports>,
    host: &'static str,
}

/// Where one server is reached.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub client: u16,
    pub quorum: u16,
    pub election: u16,
}

impl Ensemble {
    /// As many servers as there are `roles`; each is what follows the ports in its line.
    pub fn new(name: &str, roles: &[&str]) -> Ensemble {
        Ensemble::at("127.0.0.1", name, roles)
    }

    /// The same at another address of this machine.
    pub fn at(host: &'static str, name: &str, roles: &[&str]) -> Ensemble {
        let folder = format!("menagerie-ensemble-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let port = || free_port(host);
        let members =
            roles.iter().map(|_| Ports { client: port(), quorum: port(), election: port() });
        let ensemble = Ensemble { folder, members: members.collect(), host };
        let list = ensemble.list(roles);
        for id in ensemble.ids() {
            ensemble.configure(id, &list);
            ensemble.call_it(id, &id.to_string());
        }
        ensemble
    }

    /// The `server.N` lines.
    pub fn list(&self, roles: &[&str]) -> String {
        let lines = self.members.iter().zip(roles).zip(1..).map(|((ports, role), id)| {
            let host = bracketed(self.host);
            format!("server.{id}={host}:{}:{}{role}\n", ports.quorum, ports.election)
        });
        lines.collect()
    }

    /// Writes a server's configuration, with these lines at its end.
    pub fn configure(&self, id: usize, more: &str) {
        let (home, port) = (self.home(id), self.ports(id).client);
        fs::create_dir_all(home.join("data")).expect("a folder of our own");
        let text = format!(
            "tickTime=200\ninitLimit=50\nsyncLimit=25\nmaxSessionTimeout=60000\n\
             dataDir={}/data\nclientPort={port}\nclientPortAddress={}\n{more}",
            home.display(),
            self.host
        );
        fs::write(home.join("zoo.cfg"), text).expect("the configuration is written");
    }

    /// Writes a server's `myid`.
    pub fn call_it(&self, id: usize, name: &str) {
        fs::write(self.home(id).join("data/myid"), name).expect("myid is written");
    }

    pub fn ids(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.members.len()
    }

    pub fn ports(&self, id: usize) -> Ports {
        self.members[id - 1]
    }

    /// The folder of one server.
    pub fn home(&self, id: usize) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// What a server in the background has said.
    pub fn log(&self, id: usize) -> String {
        fs::read_to_string(self.home(id).join("zookeeper.out")).unwrap_or_default()
    }

    pub fn run(&self, id: usize, arguments: &[&str]) -> Output {
        run(Path::new(env!("CARGO_BIN_EXE_menagerie")), &self.home(id), arguments)
    }

    pub fn start(&self, id: usize) {
        let started = said(&self.run(id, &["start", "zoo.cfg"]));
        assert_eq!(started, (0, "Starting zookeeper ... STARTED\n".into()), "{}", self.log(id));
    }

    pub fn start_all(&self) {
        self.ids().for_each(|id| self.start(id));
    }

    pub fn stop(&self, id: usize) {
        let stopped = said(&self.run(id, &["stop", "zoo.cfg"]));
        assert_eq!(stopped, (0, "Stopping zookeeper ... STOPPED\n".into()), "{}", self.log(id));
    }

    /// Ends a server without warning.
    pub fn kill(&self, id: usize) {
        self.signal(id, "-KILL");
        self.await_end(id);
    }

    /// Waits until a server that was killed is gone.
    pub fn await_end(&self, id: usize) {
        let port = self.ports(id).election;
        eventually("it is gone", || TcpStream::connect((self.host, port)).is_err());
    }

    pub fn signal(&self, id: usize, name: &str) {
        signal(name, &self.pid(id));
    }

    /// What a server's pid file says.
    pub fn pid(&self, id: usize) -> String {
        let file = self.home(id).join("data/zookeeper_server.pid");
        fs::read_to_string(file).expect("a pid file")
    }

    /// What `status` says, and its exit code.
    pub fn status(&self, id: usize) -> (i32, String) {
        said(&self.run(id, &["status", "zoo.cfg"]))
    }

    /// What a server is, if it says so.
    pub fn mode(&self, id: usize) -> Option<String> {
        let (_, text) = self.status(id);
        text.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// Waits until one of these servers leads and the others have joined it; says which one leads.
    pub fn await_service(&self, of: &[usize]) -> usize {
        let mut leader = None;
        eventually(&format!("{of:?} agree"), || {
            let modes: Vec<_> = of.iter().map(|&id| (id, self.mode(id))).collect();
            let leads = |mode: &Option<String>| mode.as_deref() == Some("leader");
            let mut leaders = modes.iter().filter(|(_, mode)| leads(mode)).map(|(id, _)| *id);
            leader = leaders.next();
            leader.is_some() && leaders.next().is_none() && modes.iter().all(|(_, m)| m.is_some())
        });
        leader.expect("one leads")
    }

    /// The connection string of one server.
    pub fn address(&self, id: usize) -> String {
        format!("{}:{}", bracketed(self.host), self.ports(id).client)
    }

    /// Runs a command of the shell on one server.
    pub fn cli(&self, id: usize, command: &[&str]) -> Output {
        self.run(id, &[&["cli", "-server", &self.address(id)], command].concat())
    }

    /// Writes by way of a server, and reads it by way of all of these.
    pub fn agree(&self, writer: usize, readers: &[usize], path: &str) {
        let created = self.cli(writer, &["create", path, "value"]);
        assert!(created.status.success(), "{writer}: {created:?}\n{}", self.log(writer));
        readers.iter().for_each(|&id| self.knows(id, path));
    }

    /// Reads what was acknowledged by way of another server.
    pub fn knows(&self, id: usize, path: &str) {
        let synced = self.cli(id, &["sync", path]);
        assert!(synced.status.success(), "{id}: {synced:?}\n{}", self.log(id));
        let (code, text) = said(&self.cli(id, &["get", path]));
        assert!(code == 0 && text.contains("value"), "{id} lacks {path}: {text}");
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for id in self.ids() {
            if self.home(id).join("data/zookeeper_server.pid").exists() {
                // One that was stopped by a signal hears no other.
                let _ = std::panic::catch_unwind(|| self.signal(id, "-CONT"));
                self.run(id, &["stop", "zoo.cfg"]);
            }
        }
        // What a failed test leaves there helps to understand it.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.into() }
}

/// A port below those that the system gives out: a dial to a server that is down must not take it.
pub fn free_port(host: &str) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(97) % 16_000;
    loop {
        let n = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 13_000 + u16::try_from((start + n) % 16_000).expect("below 16,000");
        let address = (host, port).to_socket_addrs().expect("an address").next();
        if TcpListener::bind(address.expect("an address")).is_ok() {
            return port;
        }
    }
}
