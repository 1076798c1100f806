// SPDX-License-Identifier: Apache-2.0
//! Histories: what clients sent and got, byte for byte and in order, whichever world they were in.
//! Recorded beside real sockets or exported by a simulated world, they are judged by the same
//! oracles ([`judge()`]).
//!
//! A history is lines of words; docs/SIMULATOR.md has the format. Anything but more kinds of lines
//! behind the head is a new version.

mod judge;
mod logs;
mod show;
#[cfg(test)]
mod tests;

use std::{fmt, fs, path::Path};

use menagerie_core::config::Ensemble;

pub use self::{
    judge::{Broken, Counts, Verdict, judge, told},
    logs::{Fault, committed},
};

const MAGIC: &str = "menagerie-history";
const VERSION: &str = "1";

/// What clients sent and got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// `tickTime` of the servers, in milliseconds.
    pub tick_ms: u32,
    /// `jute.maxbuffer` of the servers: what is longer they skip, in bytes.
    pub max_packet: u32,
    /// Whether they refuse what exceeds a hard quota.
    pub enforces_quotas: bool,
    /// By how much versions grow: 1, but in some worlds.
    pub version_step: i32,
    /// What they show at `/zookeeper/config` from the beginning, if anybody reads that.
    pub members: Option<String>,
    /// What happened, in order.
    pub lines: Vec<Line>,
    /// All transactions that were committed, in order, as a log has them; none where they are read
    /// off the servers' logs.
    pub txns: Vec<Vec<u8>>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in microseconds of a clock that does not go back.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What happened. Links are numbered anew each time that a client dials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum What {
    /// A client has a link to a server, which sees it at an address.
    Up { link: u64, client: String, address: String },
    /// A client sent bytes, cut anywhere.
    Sent { link: u64, bytes: Vec<u8> },
    /// A client got bytes, cut anywhere.
    Got { link: u64, bytes: Vec<u8> },
    /// A link is over for its client.
    Down { link: u64 },
    /// Nothing goes wrong any more, from a moment on that may lie ahead, in microseconds.
    Calm { since: u64 },
    /// Something goes wrong from here on.
    Fault { what: String },
}

impl What {
    /// The link that it is about.
    pub fn link(&self) -> Option<u64> {
        match self {
            What::Up { link, .. }
            | What::Sent { link, .. }
            | What::Got { link, .. }
            | What::Down { link } => Some(*link),
            What::Calm { .. } | What::Fault { .. } => None,
        }
    }
}

impl History {
    /// Something happens.
    pub fn push(&mut self, at: u64, what: What) {
        self.lines.push(Line { at, what });
    }

    /// Reads a history's text.
    ///
    /// # Errors
    /// Names the line that cannot be read.
    pub fn parse(text: &str) -> Result<History, String> {
        let mut history = History { version_step: 1, ..History::default() };
        let mut lines = text.lines().enumerate();
        let head = lines.next().map(|(_, line)| line.split_once(' '));
        match head {
            Some(Some((MAGIC, VERSION))) => {}
            Some(Some((MAGIC, other))) => {
                return Err(format!("it is of version {other}, and this program reads {VERSION}"));
            }
            _ => return Err("it is no history".to_owned()),
        }
        for (number, line) in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let read = history.read(&words);
            read.ok_or_else(|| format!("line {} cannot be read: {line:.80}", number + 1))?;
        }
        Ok(history)
    }

    fn read(&mut self, words: &[&str]) -> Option<()> {
        match *words {
            ["tick-ms", ms] => self.tick_ms = ms.parse().ok()?,
            ["max-packet", bytes] => self.max_packet = bytes.parse().ok()?,
            ["version-step", step] => self.version_step = step.parse().ok()?,
            ["enforces-quotas"] => self.enforces_quotas = true,
            ["members", text] => self.members = Some(String::from_utf8(from_hex(text)?).ok()?),
            ["txn", bytes] => self.txns.push(from_hex(bytes)?),
            [at, kind, ref rest @ ..] => {
                let at = at.parse().ok()?;
                if self.lines.last().is_some_and(|line| line.at > at) {
                    return None;
                }
                self.push(at, happened(kind, rest)?);
            }
            _ => return None,
        }
        Some(())
    }

    /// Who belongs to the ensemble at first, if that is known.
    fn members(&self) -> Result<Option<Ensemble>, String> {
        let Some(text) = &self.members else { return Ok(None) };
        let (lines, version) = text.rsplit_once("version=").ok_or("the members have no version")?;
        let read = Ensemble::from_dynamic_file(&format!("members.{version}"), lines.as_bytes());
        read.map(Some).map_err(|why| format!("the members cannot be read: {why}"))
    }

    /// Loads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no history.
    pub fn load(path: &Path) -> Result<History, String> {
        let text = fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?;
        History::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Saves a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        fs::write(path, self.to_string()).map_err(|why| format!("{}: {why}", path.display()))
    }
}

fn happened(kind: &str, rest: &[&str]) -> Option<What> {
    let number = |text: &str| text.parse().ok();
    Some(match (kind, rest) {
        ("up", [link, client, address]) => What::Up {
            link: number(link)?,
            client: (*client).to_owned(),
            address: (*address).to_owned(),
        },
        ("sent", [link, bytes]) => What::Sent { link: number(link)?, bytes: from_hex(bytes)? },
        ("got", [link, bytes]) => What::Got { link: number(link)?, bytes: from_hex(bytes)? },
        ("down", [link]) => What::Down { link: number(link)? },
        ("calm", [since]) => What::Calm { since: number(since)? },
        ("fault", [what]) => What::Fault { what: (*what).to_owned() },
        _ => return None,
    })
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC} {VERSION}\ntick-ms {}", self.tick_ms)?;
        writeln!(f, "max-packet {}", self.max_packet)?;
        if self.version_step != 1 {
            writeln!(f, "version-step {}", self.version_step)?;
        }
        if self.enforces_quotas {
            writeln!(f, "enforces-quotas")?;
        }
        if let Some(members) = &self.members {
            writeln!(f, "members {}", Hex(members.as_bytes()))?;
        }
        for Line { at, what } in &self.lines {
            write!(f, "{at} ")?;
            match what {
                What::Up { link, client, address } => writeln!(f, "up {link} {client} {address}"),
                What::Sent { link, bytes } => writeln!(f, "sent {link} {}", Hex(bytes)),
                What::Got { link, bytes } => writeln!(f, "got {link} {}", Hex(bytes)),
                What::Down { link } => writeln!(f, "down {link}"),
                What::Calm { since } => writeln!(f, "calm {since}"),
                What::Fault { what } => writeln!(f, "fault {what}"),
            }?;
        }
        self.txns.iter().try_for_each(|txn| writeln!(f, "txn {}", Hex(txn)))
    }
}

/// Bytes as two digits each.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
