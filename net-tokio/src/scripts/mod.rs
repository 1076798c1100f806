// SPDX-License-Identifier: Apache-2.0
//! `start`, `stop`, `restart` and `status`: what `zkServer.sh` does, in its words and exit codes,
//! so that runbooks and playbooks go on working.
//!
//! Source: `bin/zkServer.sh` and `bin/zkEnv.sh` of ZooKeeper 3.9. Better than there: `start` waits
//! for the server's word instead of a second, and `stop` until the process is gone.

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use menagerie_core::config::ServerConfig;

use crate::{
    pid,
    serve::{
        self,
        background::{Outcome, launch},
    },
    version,
};

/// How long `start` waits for the server's word; a large data directory may take longer.
const START: Duration = Duration::from_secs(30);

/// How long `stop` waits for the process to end.
const STOP: Duration = Duration::from_secs(30);

/// How long `status` waits for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Start in the background.
    Start,
    /// Stop what was started.
    Stop,
    /// Stop, then start.
    Restart,
    /// Say who it is: leader, follower, standalone.
    Status,
    /// Start in the foreground.
    StartForeground,
    /// Print the version.
    Version,
    /// Print the command that `start` runs.
    PrintCmd,
}

impl Verb {
    /// The verb with this name.
    pub fn from_name(name: &str) -> Option<Verb> {
        Some(match name {
            "start" => Verb::Start,
            "stop" => Verb::Stop,
            "restart" => Verb::Restart,
            "status" => Verb::Status,
            "start-foreground" => Verb::StartForeground,
            "version" => Verb::Version,
            "print-cmd" => Verb::PrintCmd,
            _ => return None,
        })
    }
}

/// Runs a verb and gives back the exit code. `config` is a path, or a name in `ZOOCFGDIR`.
pub fn run(verb: Verb, config: Option<&str>) -> u8 {
    if verb == Verb::Version {
        println!("Apache ZooKeeper, version {} {}", version::VERSION, version::build_date());
        return 0;
    }
    let file = config_file(config);
    eprintln!("ZooKeeper JMX enabled by default");
    let shown = file.as_ref().map_or("(built in)".into(), |file| file.display().to_string());
    eprintln!("Using config: {shown}");
    if verb == Verb::StartForeground {
        return serve::run(&serve::Options { config: file, background: None });
    }
    let settings = match serve::read_config(file.as_deref()) {
        Ok(settings) => settings,
        Err(failure) => {
            eprintln!("menagerie: {}", failure.why);
            return failure.exit.code();
        }
    };
    let place = Place { file, pid_file: pid_file(&settings), out: log_file() };
    match verb {
        Verb::Start => place.start(),
        Verb::Stop => place.stop(),
        Verb::Restart => {
            place.stop();
            place.start()
        }
        Verb::Status => status(&settings),
        Verb::PrintCmd => place.print_command(),
        Verb::StartForeground | Verb::Version => unreachable!("done above"),
    }
}

/// Where a server's files are.
struct Place {
    file: Option<PathBuf>,
    pid_file: PathBuf,
    out: PathBuf,
}

impl Place {
    fn start(&self) -> u8 {
        print!("Starting zookeeper ... ");
        flush();
        if let Some(pid) = pid::read(&self.pid_file).filter(|pid| pid::serves(*pid)) {
            println!("already running as process {pid}.");
            return 1;
        }
        for folder in [self.pid_file.parent(), self.out.parent()].into_iter().flatten() {
            if let Err(error) = fs::create_dir_all(folder) {
                println!("FAILED TO WRITE PID");
                eprintln!("menagerie: cannot make {}: {error}", folder.display());
                return 1;
            }
        }
        let launched = match launch(self.file.as_deref(), &self.out, &[]) {
            Ok(launched) => launched,
            Err(error) => {
                println!("SERVER DID NOT START");
                eprintln!("menagerie: {error}; the log goes to {}", self.out.display());
                return 1;
            }
        };
        if let Err(error) = fs::write(&self.pid_file, launched.child.id().to_string()) {
            println!("FAILED TO WRITE PID");
            eprintln!("menagerie: cannot write {}: {error}", self.pid_file.display());
            return 1;
        }
        match launched.outcome(START) {
            Outcome::Serving => println!("STARTED"),
            Outcome::Slow => {
                println!("STARTED");
                let out = self.out.display();
                eprintln!("menagerie: it lives, and does not serve yet; {out} tells how far it is");
            }
            Outcome::Failed(why) => {
                println!("FAILED TO START");
                let out = self.out.display();
                eprintln!("menagerie: {}", if why.is_empty() { format!("see {out}") } else { why });
                return 1;
            }
        }
        0
    }

    fn stop(&self) -> u8 {
        print!("Stopping zookeeper ... ");
        flush();
        let Some(pid) = pid::read(&self.pid_file) else {
            let file = self.pid_file.display();
            println!("no zookeeper to stop (could not find file {file})");
            return 0;
        };
        if pid::serves(pid) {
            let asked = pid::terminate(pid);
            let deadline = Instant::now() + STOP;
            while asked.is_ok() && pid::serves(pid) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let _ = fs::remove_file(&self.pid_file);
        println!("STOPPED");
        if pid::serves(pid) {
            eprintln!("menagerie: process {pid} is still at it; its log tells what it waits for");
        }
        0
    }

    fn print_command(&self) -> u8 {
        let program = env::current_exe().unwrap_or_else(|_| "menagerie".into());
        let file = self.file.as_ref().map(|file| format!(" \"{}\"", file.display()));
        println!(
            "\"{}\" serve{} > \"{}\" 2>&1 < /dev/null",
            program.display(),
            file.unwrap_or_default(),
            self.out.display()
        );
        0
    }
}

/// Asks the server for its `Mode:` line.
fn status(settings: &ServerConfig) -> u8 {
    let clients = settings.clients.plain.as_ref();
    let clients = clients.expect("serve refuses a server without a client port");
    let host = clients.host.as_deref().unwrap_or("localhost");
    println!("Client port found: {}. Client address: {host}. Client SSL: false.", clients.port);
    let mode = ask(host, clients.port, b"srvr").unwrap_or_default();
    match mode.lines().find(|line| line.starts_with("Mode:")) {
        Some(line) => {
            println!("{line}");
            0
        }
        None => {
            println!("Error contacting service. It is probably not running.");
            1
        }
    }
}

/// Sends a four-letter word and reads the answer to its end.
fn ask(host: &str, port: u16, word: &[u8; 4]) -> std::io::Result<String> {
    let mut last = std::io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let answer = TcpStream::connect_timeout(&address, ANSWER).and_then(|mut stream| {
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(word)?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        match answer {
            Ok(text) => return Ok(text),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The configuration to use: a path as it is, a name from `ZOOCFGDIR`, or else what stands where
/// `zkServer.sh` looks; the built-in one if nothing does.
pub fn config_file(named: Option<&str>) -> Option<PathBuf> {
    let folder = env::var_os("ZOOCFGDIR").map_or_else(|| "conf".into(), PathBuf::from);
    let Some(named) = named else {
        let name = env::var_os("ZOOCFG").unwrap_or_else(|| "zoo.cfg".into());
        return Some(folder.join(name)).filter(|file| file.is_file());
    };
    let in_folder = folder.join(named);
    let bare = Path::new(named).parent().is_none_or(|parent| parent.as_os_str().is_empty());
    Some(if bare && in_folder.is_file() { in_folder } else { named.into() })
}

fn pid_file(settings: &ServerConfig) -> PathBuf {
    let default = || Path::new(&settings.data_dir).join("zookeeper_server.pid");
    env::var_os("ZOOPIDFILE").filter(|file| !file.is_empty()).map_or_else(default, PathBuf::from)
}

fn log_file() -> PathBuf {
    let folder = env::var_os("ZOO_LOG_DIR").unwrap_or_else(|| ".".into());
    Path::new(&folder).join("zookeeper.out")
}

fn flush() {
    // Where standard output is closed there is nobody to tell.
    let _ = std::io::stdout().flush();
}
