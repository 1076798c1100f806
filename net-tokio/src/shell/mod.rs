// SPDX-License-Identifier: Apache-2.0
//! `menagerie cli`: the shell that people know from `zkCli.sh`, over our own client.
//!
//! One command on the command line is run and gives the exit code; without one, lines are read and
//! run until `quit`. What watches tell is printed as it comes, above the line being typed.

mod commands;
mod editor;
mod print;
mod quota;
mod words;

use std::{
    io::{IsTerminal, stdin},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use self::{
    commands::{COMMANDS, Done, Failure, state_name},
    editor::{Above, LineEditor, Typed},
};
use crate::client::{Client, Events, Options};

/// How long the first prompt waits for a server.
const GREETING: Duration = Duration::from_millis(500);

/// How the shell was called.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    server: String,
    timeout: Duration,
    read_only: bool,
    wait: bool,
    command: Vec<String>,
}

impl Arguments {
    /// `[-server host:port[/chroot]] [-timeout ms] [-r] [-waitforconnection] [command...]`.
    fn parse(words: &[String]) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            server: "localhost:2181".to_owned(),
            timeout: Duration::from_secs(30),
            read_only: false,
            wait: false,
            command: Vec::new(),
        };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let missing = || format!("Error: no argument found for option {word}");
            match word.as_str() {
                "-server" => arguments.server = rest.next().ok_or_else(missing)?.clone(),
                "-timeout" => {
                    let text = rest.next().ok_or_else(missing)?;
                    let millis = text
                        .parse()
                        .map_err(|_| format!("-timeout takes milliseconds, not \"{text}\""))?;
                    arguments.timeout = Duration::from_millis(millis);
                }
                "-r" => arguments.read_only = true,
                "-waitforconnection" => arguments.wait = true,
                option if option.starts_with('-') => {
                    return Err(format!("Error: unknown option {option}"));
                }
                _ => {
                    arguments.command.push(word.clone());
                    arguments.command.extend(rest.by_ref().cloned());
                }
            }
        }
        Ok(arguments)
    }
}

/// Runs the shell; `args` are what stands behind its name on the command line.
pub async fn run(args: Vec<String>) -> ExitCode {
    let arguments = match Arguments::parse(&args) {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("{text}");
            print_usage();
            return ExitCode::from(1);
        }
    };
    println!("Connecting to {}", arguments.server);
    let mut shell = match Shell::connect(&arguments, &arguments.server).await {
        Ok(shell) => shell,
        Err(failure) => {
            eprintln!("{}", failure.text);
            return ExitCode::from(failure.code);
        }
    };
    if arguments.command.is_empty() {
        shell.read_and_run(&arguments).await;
    } else {
        shell.run(&arguments, &arguments.command).await;
    }
    shell.ears.attend(shell.client.close()).await;
    ExitCode::from(shell.code)
}

/// Runs the shell on a runtime of its own.
pub fn main(args: Vec<String>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(error) => {
            eprintln!("cannot start: {error}");
            ExitCode::from(1)
        }
    }
}

struct Shell {
    client: Client,
    server: String,
    ears: Ears,
    /// The lines so far, by number.
    lines: Vec<String>,
    /// The exit code of the last command.
    code: u8,
}

/// Where what watches tell is printed.
struct Ears {
    events: Events,
    on: bool,
    above: Option<Above>,
}

impl Ears {
    /// Waits for `work`, and prints what watches tell meanwhile, ahead of what comes of it.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(event) = self.events.next() => self.tell(&print::event(&event)),
                done = &mut work => return done,
            }
        }
    }

    fn tell(&mut self, text: &str) {
        match &mut self.above {
            _ if !self.on => {}
            // A terminal that is gone needs nothing printed.
            Some(above) => drop(above.print(format!("{text}\n"))),
            None => println!("{text}"),
        }
    }
}

impl Shell {
    async fn connect(arguments: &Arguments, server: &str) -> Result<Shell, Failure> {
        let options = Options::default().timeout(arguments.timeout);
        let client = options.read_only(arguments.read_only).start(server);
        let client = client.map_err(|error| Failure::from(error.to_string()))?;
        let mut ears = Ears { events: client.events(), on: true, above: None };
        if arguments.wait {
            let connected = ears.attend(client.connected(arguments.timeout)).await;
            connected.map_err(|error| Failure::from(error.to_string()))?;
        }
        let server = server.to_owned();
        Ok(Shell { client, server, ears, lines: Vec::new(), code: 0 })
    }

    async fn read_and_run(&mut self, arguments: &Arguments) {
        println!("Welcome to ZooKeeper!");
        let current = Arc::new(Mutex::new(self.client.clone()));
        let mut editor = match LineEditor::new(current.clone()) {
            Ok(editor) => editor,
            Err(error) => {
                eprintln!("cannot read lines: {error}");
                self.code = 1;
                return;
            }
        };
        if stdin().is_terminal() {
            self.ears.above = editor.above();
        }
        // A server that is there at all is there by then, and the first prompt says so.
        let _ = self.ears.attend(self.client.connected(GREETING)).await;
        loop {
            let state = state_name(self.client.state());
            let prompt = format!("[zk: {}({state}) {}] ", self.server, self.lines.len());
            let read = tokio::task::spawn_blocking(move || {
                let typed = editor.read(&prompt);
                (editor, typed)
            });
            let typed;
            (editor, typed) = self.ears.attend(read).await.expect("reading does not panic");
            match typed {
                Typed::End => break,
                Typed::Nothing => {}
                Typed::Line(line) if line.trim().is_empty() => {}
                Typed::Line(line) => {
                    let words = words::split(&line);
                    self.lines.push(line);
                    if words[0] == "quit" {
                        break;
                    }
                    self.run(arguments, &words).await;
                    current
                        .lock()
                        .expect("nobody panics while holding it")
                        .clone_from(&self.client);
                }
            }
        }
        editor.save();
    }

    /// Runs a command; how it ended is the exit code.
    async fn run(&mut self, arguments: &Arguments, words: &[String]) {
        self.code = match self.try_run(arguments, words).await {
            Ok(()) => 0,
            Err(failure) => {
                eprintln!("{}", failure.text);
                failure.code
            }
        };
    }

    async fn try_run(&mut self, arguments: &Arguments, words: &[String]) -> Done {
        let again;
        let words = match words[0].as_str() {
            "redo" if words.len() > 1 => {
                again = self.redo(&words[1])?;
                again.as_slice()
            }
            _ => words,
        };
        match words[0].as_str() {
            "history" => self.print_history(),
            "quit" => {}
            "printwatches" => match words.get(1) {
                None => println!("printwatches is {}", if self.ears.on { "on" } else { "off" }),
                Some(word) => self.ears.on = word == "on",
            },
            "connect" => {
                let server = words.get(1).unwrap_or(&self.server).clone();
                let fresh = Shell::connect(arguments, &server).await?;
                self.ears.attend(self.client.close()).await;
                (self.client, self.ears.events) = (fresh.client, fresh.ears.events);
                self.server = server;
            }
            _ if self.client.state().is_final() => println!("Not connected"),
            name => {
                let known = self.ears.attend(commands::run(&self.client, words)).await?;
                if !known {
                    print_usage();
                    let text = format!("Command not found: Command not found {name}");
                    return Err(Failure { text, code: 127 });
                }
            }
        }
        Ok(())
    }

    /// The words of an earlier line, which takes the place of the `redo` in the history.
    fn redo(&mut self, number: &str) -> Result<Vec<String>, Failure> {
        let earlier = &self.lines[..self.lines.len().saturating_sub(1)];
        let line = number.parse().ok().and_then(|number: usize| earlier.get(number)).cloned();
        let line = line.ok_or_else(|| Failure::from("Command index out of range".to_owned()))?;
        let words = words::split(&line);
        if words[0] == "redo" {
            return Err("No redoing redos".to_owned().into());
        }
        if let Some(last) = self.lines.last_mut() {
            *last = line;
        }
        Ok(words)
    }

    fn print_history(&self) {
        let first = self.lines.len().saturating_sub(11);
        for (number, line) in self.lines.iter().enumerate().skip(first) {
            println!("{number} - {line}");
        }
    }
}

fn print_usage() {
    eprintln!("ZooKeeper -server host:port -client-configuration properties-file cmd args");
    for (name, takes) in COMMANDS {
        eprintln!("\t{name} {takes}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(&words::split(line))
    }

    #[test]
    fn the_command_begins_at_the_first_word_that_is_no_option() {
        let arguments = parse("-server h:1/app -timeout 500 -r ls -s /").unwrap();
        let want = Arguments {
            server: "h:1/app".to_owned(),
            timeout: Duration::from_millis(500),
            read_only: true,
            wait: false,
            command: words::split("ls -s /"),
        };
        assert_eq!(arguments, want);
        assert_eq!(parse("").unwrap().server, "localhost:2181");
        assert_eq!(parse("-server").unwrap_err(), "Error: no argument found for option -server");
        assert_eq!(parse("-x").unwrap_err(), "Error: unknown option -x");
    }

    #[test]
    fn commands_are_listed_in_order() {
        assert!(COMMANDS.is_sorted_by_key(|(name, _)| *name));
    }
}
