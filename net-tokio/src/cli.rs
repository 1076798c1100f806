// SPDX-License-Identifier: Apache-2.0
//! The command line: which part of the program to run, by its arguments or by the name it was
//! called by.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    load,
    scripts::{self, Verb},
    serve, shell, version,
};

/// A coordination service that speaks ZooKeeper's protocol and files.
///
/// Without a command it serves on 127.0.0.1:2181, with its data in ./menagerie-data.
#[derive(Debug, Parser)]
#[command(name = "menagerie", disable_version_flag = true)]
struct Arguments {
    /// Print the version.
    #[arg(short = 'V', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve in the foreground.
    Serve {
        /// Detach, with the log in this file (what `start` uses).
        #[arg(long, hide = true)]
        background: Option<PathBuf>,
        /// A zoo.cfg; without one the built-in configuration is served.
        config: Option<PathBuf>,
    },
    /// Start a server in the background, as `zkServer.sh start`.
    Start(OfConfig),
    /// Stop the server that `start` started.
    Stop(OfConfig),
    /// Stop, then start.
    Restart(OfConfig),
    /// Print the server's mode; exit code 1 if it does not answer.
    Status(OfConfig),
    /// Start in the foreground, as `zkServer.sh start-foreground`.
    StartForeground(OfConfig),
    /// Print the command that `start` runs.
    PrintCmd(OfConfig),
    /// Make an empty data directory, as `zkServer-initialize.sh`.
    #[command(disable_help_flag = true)]
    Init {
        /// `[--configfile FILE] [--myid N] [--force]`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Write zoo.cfg and myid from the variables of the official container image, where there are
    /// none, and run a command.
    DockerEntrypoint {
        /// The command; `zkServer.sh start-foreground` if there is none.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Measure a ZooKeeper server.
    Load(load::Options),
    /// A shell, as `zkCli.sh`; with a command, runs it and exits.
    #[command(disable_help_flag = true)]
    Cli {
        /// `[-server host:port[/chroot]] [-timeout ms] [-r] [-waitforconnection] [command...]`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print the version.
    Version,
}

#[derive(Debug, Default, clap::Args)]
struct OfConfig {
    /// The folder of configurations, in place of $ZOOCFGDIR.
    #[arg(long = "config", value_name = "FOLDER")]
    folder: Option<String>,
    /// A path, or a name in the folder of configurations.
    #[arg(value_name = "CONFIG")]
    named: Option<String>,
}

/// Runs the program, and gives back its exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().collect();
    let called = arguments.first().map(Path::new).and_then(Path::file_stem);
    match called.and_then(|name| name.to_str()) {
        Some("zkServer") => as_zk_server(&arguments[1..]),
        Some("zkCli") => as_zk_cli(&arguments[1..]),
        Some("zkCleanup") => as_zk_cleanup(&arguments[1..]),
        Some("zkServer-initialize") => initialize(&arguments[1..]),
        Some("docker-entrypoint") => ExitCode::from(scripts::container::run(&arguments[1..])),
        _ => as_menagerie(arguments),
    }
}

fn as_menagerie(arguments: Vec<OsString>) -> ExitCode {
    let arguments = Arguments::parse_from(arguments);
    if arguments.version {
        println!("menagerie {}", version::full());
        return ExitCode::SUCCESS;
    }
    let (verb, of) = match arguments.command {
        None => return ExitCode::from(serve::run(&serve::Options::default())),
        Some(Command::Serve { background, config }) => {
            return ExitCode::from(serve::run(&serve::Options { config, background }));
        }
        Some(Command::Init { arguments }) => return initialize(&arguments),
        Some(Command::DockerEntrypoint { command }) => {
            return ExitCode::from(scripts::container::run(&command));
        }
        Some(Command::Load(options)) => return load::run(&options),
        Some(Command::Cli { arguments }) => return shell::main(arguments),
        Some(Command::Version) => (Verb::Version, OfConfig::default()),
        Some(Command::Start(of)) => (Verb::Start, of),
        Some(Command::Stop(of)) => (Verb::Stop, of),
        Some(Command::Restart(of)) => (Verb::Restart, of),
        Some(Command::Status(of)) => (Verb::Status, of),
        Some(Command::StartForeground(of)) => (Verb::StartForeground, of),
        Some(Command::PrintCmd(of)) => (Verb::PrintCmd, of),
    };
    ExitCode::from(scripts::run(verb, of.folder.as_deref(), of.named.as_deref()))
}

/// `zkServer.sh [--config FOLDER] VERB [zoo.cfg]`.
fn as_zk_server(arguments: &[OsString]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let (folder, words) = folder_and_rest(&words);
    let verb = words.first().and_then(|name| Verb::from_name(name));
    let Some(verb) = verb else {
        eprintln!(
            "Usage: zkServer.sh [--config <conf-dir>] \
             {{start|start-foreground|stop|version|restart|status|print-cmd}}"
        );
        return ExitCode::from(1);
    };
    ExitCode::from(scripts::run(verb, folder, words.get(1).copied()))
}

/// `zkCleanup.sh [--config FOLDER] -n COUNT`.
fn as_zk_cleanup(arguments: &[OsString]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let (folder, words) = folder_and_rest(&words);
    ExitCode::from(scripts::clean_up(folder, words))
}

/// `zkServer-initialize.sh [--configfile FILE] [--myid N] [--force]`.
fn initialize(arguments: &[OsString]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    ExitCode::from(scripts::initialize(&words))
}

/// Splits `--config FOLDER` off.
fn folder_and_rest<'a, 'b>(words: &'b [&'a str]) -> (Option<&'a str>, &'b [&'a str]) {
    match words {
        ["--config", folder, rest @ ..] => (Some(folder), rest),
        words => (None, words),
    }
}

/// `zkCli.sh [-server host:port] [command...]`.
fn as_zk_cli(arguments: &[OsString]) -> ExitCode {
    shell::main(arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect())
}
