// SPDX-License-Identifier: Apache-2.0
//! `start`, `stop`, `restart` and `status`: what `zkServer.sh` does, in its words and exit codes,
//! so that runbooks and playbooks go on working.
//!
//! Source: `bin/zkServer.sh` and `bin/zkEnv.sh` of ZooKeeper 3.9. Better than there: `start` waits
//! for the server's word instead of a second, and `stop` until the process is gone.

mod cleanup;
pub mod container;
mod environment;
mod initialize;
mod status;

use std::{
    env, fs,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    pid,
    serve::background::{Outcome, launch},
    version,
};
use environment::Environment;

/// How long `start` waits for the server's word; a large data directory may take longer.
const START: Duration = Duration::from_secs(30);

/// How long `stop` waits for the process to end.
const STOP: Duration = Duration::from_secs(30);

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

/// Runs a verb and gives back the exit code. `folder` is what `--config` named; `named` is a
/// path, or a name in that folder.
pub fn run(verb: Verb, folder: Option<&str>, named: Option<&str>) -> u8 {
    let environment = Environment::of_process(folder, named);
    introduce(&environment);
    if let Err(missing) = check_folders(&environment) {
        println!("{missing} fix the path or run initialize");
        return 1;
    }
    match verb {
        Verb::Start => start(&environment),
        Verb::Stop => stop(&environment),
        Verb::Restart => match stop(&environment) {
            0 => start(&environment),
            code => code,
        },
        Verb::Status => status::run(&environment),
        Verb::StartForeground => start_foreground(&environment),
        Verb::PrintCmd => print_command(&environment),
        Verb::Version => {
            println!("Apache ZooKeeper, version {} {}", version::VERSION, version::build_date());
            0
        }
    }
}

/// Removes old snapshots and logs by hand: `arguments` are those of `zkCleanup.sh`.
pub fn clean_up(folder: Option<&str>, arguments: &[&str]) -> u8 {
    let Some(retain) = cleanup::count(arguments) else {
        eprintln!(
            "Usage: zkCleanup.sh [--config <conf-dir>] -n count\n\tcount -- the number of \
             snapshots to keep, at least 3; logs after the oldest of them are kept, too"
        );
        return 1;
    };
    cleanup::run(&Environment::of_process(folder, None), retain)
}

/// Makes an empty data directory: `arguments` are those of `zkServer-initialize.sh`.
pub fn initialize(arguments: &[&str]) -> u8 {
    match initialize::Options::parse(arguments) {
        Ok(options) => {
            let environment = Environment::of_process(None, options.config.as_deref());
            initialize::run(&environment, &options)
        }
        Err(why) => {
            if !why.is_empty() {
                println!("{why}");
            }
            println!("{}", initialize::USAGE);
            1
        }
    }
}

/// What `zkServer.sh` says before anything else.
fn introduce(environment: &Environment) {
    match environment.variable("JMXDISABLE") {
        None | Some("false") => eprintln!("ZooKeeper JMX enabled by default"),
        Some(_) => eprintln!("JMX disabled by user request"),
    }
    if environment.variable("JMXPORT").is_some() {
        eprintln!("menagerie: JMXPORT is left out: there is no JVM; mntr and metrics say the same");
    }
    let file = environment.file.as_ref();
    let shown = file.map_or("(built-in configuration)".into(), |file| file.display().to_string());
    eprintln!("Using config: {shown}");
}

/// Where no folder may be made, those of the data must be there.
fn check_folders(environment: &Environment) -> Result<(), String> {
    let there = |folder: &str| Path::new(folder).join("version-2").is_dir();
    if environment.variable("ZOO_DATADIR_AUTOCREATE_DISABLE").is_none() {
        return Ok(());
    }
    let data = environment.data_dir();
    if !there(data) {
        return Err(format!("ZooKeeper data directory is missing at {data}"));
    }
    match environment.setting("dataLogDir").filter(|log| !there(log)) {
        Some(log) => Err(format!("ZooKeeper txnlog directory is missing at {log}")),
        None => Ok(()),
    }
}

fn start(environment: &Environment) -> u8 {
    say("Starting zookeeper ... ");
    let (pid_file, out) = (environment.pid_file(), environment.out());
    if let Some(pid) = pid::read(&pid_file).filter(|pid| pid::serves(*pid)) {
        println!("already running as process {pid}.");
        return 1;
    }
    let fail = |verdict: &str, why: &str| {
        println!("{verdict}");
        eprintln!("menagerie: {why}");
        1
    };
    for folder in [pid_file.parent(), out.parent()].into_iter().flatten() {
        if let Err(error) = fs::create_dir_all(folder) {
            return fail("FAILED TO WRITE PID", &format!("{}: {error}", folder.display()));
        }
    }
    let mut launched = match launch(environment.file.as_deref(), &out, &environment.for_server()) {
        Ok(launched) => launched,
        Err(error) => {
            let why = format!("{error}; the log was to go to {}", out.display());
            return fail("SERVER DID NOT START", &why);
        }
    };
    if let Err(error) = fs::write(&pid_file, launched.child.id().to_string()) {
        // Nobody could stop it by a file that is not there.
        let _ = launched.child.kill();
        return fail("FAILED TO WRITE PID", &format!("{}: {error}", pid_file.display()));
    }
    match launched.outcome(START) {
        Outcome::Serving => println!("STARTED"),
        Outcome::Slow => {
            println!("STARTED");
            let out = out.display();
            eprintln!("menagerie: it lives, and does not serve yet; {out} tells how far it is");
        }
        Outcome::Failed(why) => {
            let _ = fs::remove_file(&pid_file);
            let why = if why.is_empty() { "it ended without a word" } else { why.as_str() };
            return fail("FAILED TO START", &format!("{why}\nmore is in {}", out.display()));
        }
    }
    0
}

fn stop(environment: &Environment) -> u8 {
    say("Stopping zookeeper ... ");
    let file = environment.pid_file();
    if !file.is_file() {
        println!("no zookeeper to stop (could not find file {})", file.display());
        return 0;
    }
    match pid::read(&file).filter(|pid| pid::serves(*pid)) {
        None => eprintln!("menagerie: the process that {} names is no server", file.display()),
        Some(pid) => {
            if let Err(error) = pid::terminate(pid) {
                eprintln!("menagerie: process {pid}: {error}");
            }
            let deadline = Instant::now() + STOP;
            while pid::serves(pid) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
            }
            if pid::serves(pid) {
                println!("FAILED TO STOP");
                let seconds = STOP.as_secs();
                eprintln!(
                    "menagerie: process {pid} is still there after {seconds} s; its log tells what \
                     it waits for, and `kill -9 {pid}` loses nothing that was acknowledged"
                );
                return 1;
            }
        }
    }
    let _ = fs::remove_file(&file);
    println!("STOPPED");
    0
}

/// Becomes the server, as a supervisor expects of what it started.
fn start_foreground(environment: &Environment) -> u8 {
    let program = env::current_exe().unwrap_or_else(|_| "menagerie".into());
    let mut command = Command::new(&program);
    command.arg0("menagerie").arg("serve").args(&environment.file);
    let error = command.envs(environment.for_server()).exec();
    eprintln!("menagerie: cannot run {}: {error}", program.display());
    1
}

fn print_command(environment: &Environment) -> u8 {
    let program = env::current_exe().unwrap_or_else(|_| "menagerie".into());
    let file = environment.file.as_ref().map(|file| format!(" \"{}\"", file.display()));
    println!(
        "\"{}\" serve{} > \"{}\" 2>&1 < /dev/null",
        program.display(),
        file.unwrap_or_default(),
        environment.out().display()
    );
    0
}

/// Prints the beginning of a line that is finished later.
fn say(text: &str) {
    print!("{text}");
    // Where standard output is closed there is nobody to tell.
    let _ = io::stdout().flush();
}
