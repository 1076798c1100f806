// SPDX-License-Identifier: Apache-2.0
//! Traces: a world's decisions, saved. What the world is like, which faults struck and what clients
//! did stand in it whole; everything smaller (delays, cuts, what a crash keeps) comes from streams
//! of chance that are named by who draws and for which time. So a trace replays after unrelated
//! code has changed, and after some of its decisions were taken out.
//!
//! A file is the magic, the version as two bytes, and the trace in bincode's standard encoding.
//! Enums in it are only ever appended to; any other change is a new version.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{faults::Fault, scenario::Knob};

const MAGIC: &[u8; 8] = b"MENAGERY";
const VERSION: u16 = 1;

/// What one client does at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// It closes its session, and begins another one later.
    Close,
    /// It proves an identity.
    Prove,
    /// It asks for these, one after the other without waiting.
    Ask(Vec<Wish>),
}

/// A request, encoded, so that it owns its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The operation's number.
    pub op: i32,
    /// The body, as the wire has it.
    pub body: Vec<u8>,
}

/// Something that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// A fault struck; a server's fault struck this one, counted from 0.
    Fault {
        /// Which server.
        server: u32,
        /// The fault.
        fault: Fault,
    },
    /// A client did something.
    Act {
        /// Which client, counted from 0.
        client: u32,
        /// What it did.
        act: Act,
    },
}

/// A decision and when it was due, in microseconds of world time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: u64,
    /// What.
    pub decision: Decision,
}

/// A world's decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The seed of everything that is not decided here.
    pub seed: u64,
    /// The bug of the zoo that the server had.
    pub mutation: Option<String>,
    /// The promise that was broken.
    pub property: Option<String>,
    /// What the world is like.
    pub nature: Vec<Knob>,
    /// What was decided, in order.
    pub steps: Vec<Step>,
    /// When all faults end, in microseconds of world time.
    pub heals: u64,
}

impl Trace {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_be_bytes());
        let body = bincode::serde::encode_to_vec(self, bincode::config::standard());
        out.extend(body.expect("a trace is plain data"));
        out
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Trace, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("it is no trace")?;
        let (version, body) = rest.split_first_chunk().ok_or("it ends within its version")?;
        let version = u16::from_be_bytes(*version);
        if version != VERSION {
            return Err(format!("it is of version {version}, and this program reads {VERSION}"));
        }
        let config = bincode::config::standard();
        match bincode::serde::decode_from_slice(body, config) {
            Ok((trace, used)) if used == body.len() => Ok(trace),
            Ok(_) => Err("something stands behind its end".to_owned()),
            Err(why) => Err(format!("it cannot be read: {why}")),
        }
    }

    /// Loads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is no trace.
    pub fn load(path: &Path) -> Result<Trace, String> {
        let bytes = fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
        Trace::decode(&bytes).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// Saves a file, and the folders above it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let above = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = above.and_then(|()| fs::write(path, self.encode()));
        written.map_err(|why| format!("{}: {why}", path.display()))
    }

    /// How many requests and other deeds of clients stand in it.
    pub fn acts(&self) -> usize {
        let deeds = |step: &Step| match &step.decision {
            Decision::Fault { .. } => 0,
            Decision::Act { act: Act::Ask(wishes), .. } => wishes.len(),
            Decision::Act { .. } => 1,
        };
        self.steps.iter().map(deeds).sum()
    }

    /// How many faults stand in it.
    pub fn faults(&self) -> usize {
        let fault = |step: &&Step| matches!(step.decision, Decision::Fault { .. });
        self.steps.iter().filter(fault).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Keep;

    fn trace() -> Trace {
        let fault = Fault::PowerLoss { keep: Keep::Any, effects: Some(7) };
        let wish = Wish { op: 4, body: b"body".to_vec() };
        Trace {
            seed: 7,
            mutation: None,
            property: Some("Recovery".to_owned()),
            nature: vec![Knob::TickMs(500), Knob::EnforceQuota(true)],
            steps: vec![
                Step { at: 5, decision: Decision::Fault { server: 0, fault } },
                Step { at: 9, decision: Decision::Act { client: 1, act: Act::Ask(vec![wish]) } },
            ],
            heals: 10,
        }
    }

    #[test]
    fn a_trace_comes_back_whole_or_not_at_all() {
        let bytes = trace().encode();
        assert_eq!(Trace::decode(&bytes), Ok(trace()));
        for end in 0..bytes.len() {
            assert!(Trace::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(Trace::decode(&[&bytes[..], b"x"].concat()).is_err());
    }

    /// These bytes stand in saved traces: whatever makes this fail needs a new version.
    #[test]
    fn the_encoding_stays() {
        let expected = b"MENAGERY\0\x01\x07\0\x01\x08Recovery\x02\0\xfb\xf4\x01\x11\x01\x02\
            \x05\0\0\x11\x03\x01\x07\x09\x01\x01\x02\x01\x08\x04body\x0a";
        assert_eq!(
            trace().encode().escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }
}
