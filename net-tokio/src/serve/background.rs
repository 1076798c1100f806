// SPDX-License-Identifier: Apache-2.0
//! A server in the background, seen from both of its ends: `start` launches it and waits for its
//! word; the server gives that word when it serves, or says why it cannot.
//!
//! The word travels through a pipe that the new process has in place of its standard input, which
//! no other process can meddle with and which ends by itself when the server does.

use std::{
    collections::BTreeMap,
    env,
    fs::File,
    io::{self, PipeReader, Read, Write, stdin},
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use crate::logs::{Out, append_to};

/// The word for "it serves"; anything else is the reason why it does not.
const SERVING: &str = "serving";

/// A process that was launched, and the pipe on which it will give its word.
pub struct Launched {
    /// The process.
    pub child: Child,
    word: PipeReader,
}

/// What became of a launch.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It serves.
    Serving,
    /// It lives, and needs longer.
    Slow,
    /// It ended, for this reason if it could say one.
    Failed(String),
}

/// Launches a server in the background. What it says goes to the file `out`.
/// `variables` are added to those of this process.
pub fn launch(
    config: Option<&Path>,
    out: &Path,
    variables: &BTreeMap<&str, String>,
) -> io::Result<Launched> {
    let (file, _) = append_to(out)?;
    let (word, give_word) = io::pipe()?;
    let mut command = Command::new(env::current_exe()?);
    // Whatever name the program was called by, `ps` and the pid file's readers know this one.
    command.arg0("menagerie").arg("serve").arg("--background").arg(out);
    command.args(config);
    command.envs(variables);
    command.stdin(Stdio::from(give_word)).stdout(file.try_clone()?).stderr(file);
    let child = command.spawn()?;
    Ok(Launched { child, word })
}

impl Launched {
    /// Waits for the server's word, so long at most.
    pub fn outcome(mut self, patience: Duration) -> Outcome {
        let (heard, word) = channel();
        let mut pipe = self.word;
        thread::spawn(move || {
            let mut text = Vec::new();
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = pipe.read(&mut piece) {
                text.extend_from_slice(&piece[..n]);
                if text == SERVING.as_bytes() {
                    break;
                }
            }
            let _ = heard.send(String::from_utf8_lossy(&text).into_owned());
        });
        match word.recv_timeout(patience) {
            Ok(word) if word == SERVING => Outcome::Serving,
            Ok(why) => {
                // The pipe's end is the process's end; waiting for it leaves no zombie.
                let _ = self.child.wait();
                Outcome::Failed(why)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Outcome::Slow,
        }
    }
}

/// The server's end of the pipe.
#[derive(Debug)]
pub struct Herald(File);

/// Leaves the terminal and the launcher's session, and takes over the pipe and the log.
pub fn enter(out: &Path) -> io::Result<(Herald, Out)> {
    let pipe = File::from(stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    // It fails for the leader of a process group, who has what it is for.
    let _ = setsid();
    let out = Out::open(out, |file| {
        dup2_stdout(file)?;
        dup2_stderr(file)?;
        Ok(())
    })?;
    Ok((Herald(pipe), out))
}

impl Herald {
    /// Tells the launcher that the server serves.
    pub fn serving(self) {
        self.say(SERVING);
    }

    /// Tells the launcher why the server does not.
    pub fn failed(self, why: &str) {
        self.say(why);
    }

    fn say(mut self, word: &str) {
        // A launcher that did not wait misses nothing: the log says the same.
        let _ = self.0.write_all(word.as_bytes());
    }
}
