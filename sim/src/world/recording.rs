// SPDX-License-Identifier: Apache-2.0
//! Records what clients, strangers included, send and get: the history of a simulated world, in the
//! format of those of real ones.

use menagerie_core::{io::Port, jute::Record};

use super::{World, input::address};
use crate::{
    history::{History, What},
    net::{End, Side},
    oracle::ghost::Proposed,
};

impl World {
    /// Records what clients see from here on, which is before anything happened.
    pub fn record_history(&mut self) {
        let tick_ms = self.scenario.servers[0].tick_time_ms;
        let enforces_quotas = self.oracles.ghost.model.enforces_quotas;
        let members = self.scenario.first().map(ToString::to_string);
        let version_step = self.scenario.servers[0].storage.version_step;
        let max_packet = self.scenario.servers[0].requests.max_buffer;
        let history = History {
            tick_ms,
            max_packet,
            enforces_quotas,
            members,
            version_step,
            ..History::default()
        };
        self.recording = Some(Box::new(history));
    }

    /// What was recorded, with every transaction that was committed by now.
    pub fn history(&self) -> Option<History> {
        let mut history = self.recording.as_deref()?.clone();
        let ghost = &self.oracles.ghost;
        history.txns = ghost.committed.iter().map(|zxid| entry(&ghost.history[zxid].0)).collect();
        Some(history)
    }

    fn record(&mut self, what: impl FnOnce() -> What) {
        if let Some(history) = &mut self.recording {
            history.push(self.now, what());
        }
    }

    pub(super) fn record_up(&mut self, link: u64, from: End) {
        let port = self.links.get(&link).map(|link| link.port);
        if port == Some(Port::Client) {
            let client = match from {
                End::Client(number, _) => format!("client-{number}"),
                End::Server(_) | End::Rude => "stranger".to_owned(),
            };
            let address = address(from, link).ip().to_string();
            self.record(|| What::Up { link, client, address });
        }
    }

    /// Bytes that the dialler's end sent, or got.
    pub(super) fn record_bytes(&mut self, link: u64, from: Side, bytes: &[u8]) {
        if self.links.get(&link).is_some_and(|link| link.port == Port::Client) {
            let bytes = || bytes.to_vec();
            self.record(|| match from {
                Side::Dialler => What::Sent { link, bytes: bytes() },
                Side::Acceptor => What::Got { link, bytes: bytes() },
            });
        }
    }

    pub(super) fn record_down(&mut self, link: u64, port: Port) {
        if port == Port::Client {
            self.record(|| What::Down { link });
        }
    }

    /// Tells since when, or from when on, the world is calm, if it is.
    pub(super) fn record_calm(&mut self) {
        if let Some(since) = self.oracles.signs.calm_since() {
            self.record(|| What::Calm { since });
        }
    }
}

/// A transaction as a log has it.
fn entry(proposed: &Proposed) -> Vec<u8> {
    let mut entry = Vec::new();
    proposed.header.encode(&mut entry);
    entry.extend_from_slice(&proposed.body);
    if let Some(digest) = proposed.digest {
        digest.encode(&mut entry);
    }
    entry
}
