// SPDX-License-Identifier: Apache-2.0
//! `zkServer-initialize.sh`: an empty data directory, with its `myid`, for a server's first start.
//!
//! Source: `bin/zkServer-initialize.sh` of ZooKeeper 3.9. Better than there: a directory that a
//! server runs on is not emptied, and an id is looked at.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use super::environment::Environment;
use crate::pid;

/// What the arguments ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--configfile`: a path, or a name in the folder of configurations.
    pub config: Option<String>,
    /// `--myid`.
    myid: Option<u8>,
    /// `--force`: empty what is there.
    force: bool,
}

/// How to call it.
pub const USAGE: &str = "usage: zkServer-initialize.sh <parameters>
  Optional parameters:
     -h, --help           Display this message
     --configfile=FILE    ZooKeeper config file
     --myid=#             Set the myid to be used, if any (1-255)
     --force              Force creation of the data/txnlog dirs";

impl Options {
    /// Reads the arguments; what is wrong with them otherwise, or nothing if help was asked for.
    pub fn parse(arguments: &[&str]) -> Result<Options, String> {
        let mut options = Options::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*argument, None),
            };
            let mut value = || value.or_else(|| rest.next().copied()).filter(|v| !v.is_empty());
            match name {
                "--configfile" => {
                    let file = value().ok_or("--configfile needs a file")?;
                    options.config = Some(file.into());
                }
                "--myid" => {
                    let id = value().and_then(|id| id.parse().ok()).filter(|id| *id > 0);
                    options.myid = Some(id.ok_or("--myid needs a number from 1 to 255")?);
                }
                "--force" => options.force = true,
                "-h" | "--help" => return Err(String::new()),
                unknown => return Err(format!("Unknown option: {unknown}")),
            }
        }
        Ok(options)
    }
}

/// Makes the folders, and gives back the exit code.
pub fn run(environment: &Environment, options: &Options) -> u8 {
    match initialize(environment, options) {
        Ok(()) => 0,
        Err(why) => {
            println!("{why}");
            1
        }
    }
}

fn initialize(environment: &Environment, options: &Options) -> Result<(), String> {
    let file = environment.file.as_deref().unwrap_or(Path::new("zoo.cfg"));
    let shown = file.display();
    if !file.is_file() {
        return Err(format!("Unable to find config file at {shown}"));
    }
    let data = environment.setting("dataDir");
    let data = Path::new(data.ok_or(format!("Unable to determine dataDir from {shown}"))?);
    let log = environment.setting("dataLogDir").map(Path::new).filter(|log| *log != data);
    let folders = [Some(("data", data)), log.map(|log| ("txnlog", log))];
    let folders = || folders.into_iter().flatten();
    refuse_under_a_server(environment)?;
    if options.force {
        println!("Force enabled, data/txnlog directories will be re-initialized");
    } else if let Some((what, folder)) = folders().find(|(_, at)| at.join("version-2").is_dir()) {
        return Err(format!(
            "ZooKeeper {what} directory already exists at {} (or use --force to force \
             re-initialization)",
            folder.display()
        ));
    }
    for (_, folder) in folders() {
        empty(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    mark(data, options.myid).map_err(|error| format!("{}: {error}", data.display()))
}

/// A server that is there would go on as if nothing had happened, and lose all when it ends.
fn refuse_under_a_server(environment: &Environment) -> Result<(), String> {
    match pid::read(&environment.pid_file()).filter(|pid| pid::serves(*pid)) {
        Some(pid) => Err(format!("a server runs there as process {pid}: stop it first")),
        None => Ok(()),
    }
}

/// Removes what belongs to a server, and nothing else: the folder itself may have been set up.
fn empty(folder: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    gone(fs::remove_file(folder.join("myid")))?;
    gone(fs::remove_dir_all(folder.join("version-2")))?;
    fs::create_dir_all(folder.join("version-2"))
}

/// Writes who the server is, and that its empty directory is meant.
fn mark(data: &Path, myid: Option<u8>) -> io::Result<()> {
    match myid {
        Some(id) => {
            println!("Using myid of {id}");
            fs::write(data.join("myid"), format!("{id}\n"))?;
        }
        None => println!(
            "No myid provided, be sure to specify it in {}/myid if using non-standalone",
            data.display()
        ),
    }
    fs::write(data.join("initialize"), "")
}
