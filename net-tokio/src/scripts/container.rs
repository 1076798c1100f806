// SPDX-License-Identifier: Apache-2.0
//! `docker-entrypoint.sh`: what the official container image does before it runs its command. Its
//! variables become a `zoo.cfg` and a `myid`, where there are none yet.
//!
//! Source: `docker-entrypoint.sh` and `Dockerfile` of the image `zookeeper:3.9.5`. Left out: it
//! changes no user; say in the image, or with `--user`, who the server is to be.

use std::{
    env,
    ffi::OsString,
    fmt::Write,
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the image has its files, and what it writes where a variable is not set.
const CONF_DIR: (&str, &str) = ("ZOO_CONF_DIR", "/conf");
const DATA_DIR: (&str, &str) = ("ZOO_DATA_DIR", "/data");
const SERVERS: (&str, &str) = ("ZOO_SERVERS", "server.1=localhost:2888:3888;2181");
const MY_ID: (&str, &str) = ("ZOO_MY_ID", "1");
const SETTINGS: [(&str, (&str, &str)); 10] = [
    ("dataDir", DATA_DIR),
    ("dataLogDir", ("ZOO_DATA_LOG_DIR", "/datalog")),
    ("tickTime", ("ZOO_TICK_TIME", "2000")),
    ("initLimit", ("ZOO_INIT_LIMIT", "5")),
    ("syncLimit", ("ZOO_SYNC_LIMIT", "2")),
    ("autopurge.snapRetainCount", ("ZOO_AUTOPURGE_SNAPRETAINCOUNT", "3")),
    ("autopurge.purgeInterval", ("ZOO_AUTOPURGE_PURGEINTERVAL", "0")),
    ("maxClientCnxns", ("ZOO_MAX_CLIENT_CNXNS", "60")),
    ("standaloneEnabled", ("ZOO_STANDALONE_ENABLED", "true")),
    ("admin.enableServer", ("ZOO_ADMINSERVER_ENABLED", "true")),
];

/// Programs of the image that are this one under another name.
const OURS: [&str; 4] = ["zkServer.sh", "zkCli.sh", "zkCleanup.sh", "zkServer-initialize.sh"];

/// Writes what is missing, and becomes the command; gives back an exit code if that fails.
pub fn run(command: &[OsString]) -> u8 {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let conf = value(&variable, CONF_DIR);
    if let Err((file, error)) = write_missing(&variable) {
        eprintln!("menagerie: cannot write {}: {error}", file.display());
        return 1;
    }
    let default = ["zkServer.sh".into(), "start-foreground".into()];
    let command = if command.is_empty() { &default } else { command };
    let ours = OURS.iter().any(|name| command[0] == *name);
    let program = if ours { env::current_exe().ok() } else { None };
    let program = program.unwrap_or_else(|| command[0].clone().into());
    let mut become_it = Command::new(&program);
    become_it.arg0(&command[0]).args(&command[1..]);
    if variable("ZOOCFGDIR").is_none() {
        become_it.env("ZOOCFGDIR", conf);
    }
    let error = become_it.exec();
    eprintln!("menagerie: cannot run {}: {error}", program.display());
    1
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

fn value(variable: Variable<'_>, (name, default): (&str, &str)) -> String {
    variable(name).unwrap_or_else(|| default.into())
}

/// Writes `zoo.cfg` and `myid`, each unless it is there.
fn write_missing(variable: Variable<'_>) -> Result<(), (PathBuf, io::Error)> {
    let conf = Path::new(&value(variable, CONF_DIR)).join("zoo.cfg");
    let myid = Path::new(&value(variable, DATA_DIR)).join("myid");
    let id = format!("{}\n", value(variable, MY_ID));
    for (file, text) in [(conf, configuration(variable)), (myid, id)] {
        if !file.exists() {
            write(&file, &text).map_err(|error| (file, error))?;
        }
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(file.parent().expect("a file in a folder"))?;
    fs::write(file, text)
}

/// The text of `zoo.cfg`.
fn configuration(variable: Variable<'_>) -> String {
    let mut text = String::new();
    for (key, source) in SETTINGS {
        writeln!(text, "{key}={}", value(variable, source)).expect("text takes text");
    }
    let mut lines = |words: String| {
        for line in words.split_whitespace() {
            writeln!(text, "{line}").expect("text takes text");
        }
    };
    lines(value(variable, SERVERS));
    if let Some(words) = variable("ZOO_4LW_COMMANDS_WHITELIST") {
        lines(format!("4lw.commands.whitelist={}", words.replace(char::is_whitespace, "")));
    }
    lines(variable("ZOO_CFG_EXTRA").unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_lines_as_in_the_image() {
        let text = configuration(&|_| None);
        assert_eq!(
            text,
            "dataDir=/data\ndataLogDir=/datalog\ntickTime=2000\ninitLimit=5\nsyncLimit=2\n\
             autopurge.snapRetainCount=3\nautopurge.purgeInterval=0\nmaxClientCnxns=60\n\
             standaloneEnabled=true\nadmin.enableServer=true\n\
             server.1=localhost:2888:3888;2181\n"
        );
        let set = |name: &str| {
            let value = match name {
                "ZOO_TICK_TIME" => "500",
                "ZOO_SERVERS" => "server.1=a:2888:3888;2181  server.2=b:2888:3888;2181",
                "ZOO_4LW_COMMANDS_WHITELIST" => "srvr, mntr",
                "ZOO_CFG_EXTRA" => "snapCount=10 preAllocSize=64",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let text = configuration(&set);
        assert!(text.contains("\ntickTime=500\n"), "{text}");
        let end = "\nserver.1=a:2888:3888;2181\nserver.2=b:2888:3888;2181\n\
                   4lw.commands.whitelist=srvr,mntr\nsnapCount=10\npreAllocSize=64\n";
        assert!(text.ends_with(end), "{text}");
    }
}
