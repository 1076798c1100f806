// SPDX-License-Identifier: Apache-2.0
//! Bit rot: a bit of a file flips while the server is down. The next start must stop and name the
//! file, or pass over the spot unharmed; the operator then restores the file.

use menagerie_core::{event::Event, io::Dir};

use super::{World, server::Death};
use crate::{
    disk::{Fs, Inode},
    oracle::{Check, Property, Violation, log::records_end},
    probe::Probe,
};

/// Bytes before the first record of a log.
const HEADER: u64 = 16;
/// Only so much of a file is looked at: the rest is preallocated.
const LOOKED_AT: u64 = 1 << 20;
const MARK: &str = "menagerie.synced";

/// A bit that flipped.
#[derive(Clone, Debug)]
pub struct Rotten {
    name: String,
    inode: Inode,
    offset: u64,
    /// The byte as it was, for reads and on the platter.
    was: (Option<u8>, Option<u8>),
    /// Whether a server that comes up all the same serves what may be wrong.
    must_stop: bool,
    /// Whether the server has told of the file.
    named: bool,
}

impl World {
    /// The server dies, and a bit flips before it starts again.
    pub(super) fn rot(&mut self, server: usize, file: u32, place: u64, bit: u8) -> Check {
        if self.servers[server].rotten.is_some() {
            return Ok(());
        }
        self.die(server, Death::Kill)?;
        let machine = &mut self.servers[server];
        let Some(spot) = spot(&machine.disk.fs, file, place) else { return Ok(()) };
        machine.disk.fs.rot(spot.inode, spot.offset, bit);
        machine.rotten = Some(spot.clone());
        self.note(|_| format!("bit {bit} of byte {} of {} rots", spot.offset, spot.name));
        Ok(())
    }

    /// The server told something: perhaps of the rot, or that it came up in spite of it.
    pub(super) fn judge_rot(&mut self, server: usize, event: &Event) -> Check {
        let Some(rotten) = &mut self.servers[server].rotten else { return Ok(()) };
        match event {
            Event::Note { text, .. } if text.contains(&rotten.name) => {
                rotten.named = true;
                if rotten.name.starts_with("snapshot.") {
                    self.tally.hit(Probe::RottenSnapshot);
                }
            }
            Event::Recovered { .. } if rotten.must_stop => {
                let Rotten { name, offset, .. } = rotten;
                let what = format!("byte {offset} of {name} is rotten, and the server serves");
                let served = Err(Violation::new(Property::Rot, what));
                self.oracles.ghost.off.pardon(served)?;
                self.restore(server);
            }
            Event::Recovered { .. } => {
                self.tally.hit(Probe::RotPassed);
                self.restore(server);
            }
            _ => {}
        }
        Ok(())
    }

    /// The server stopped on its data directory: whether the rot is why. If so, it must say where,
    /// and the operator restores the file.
    pub(super) fn stopped_by_rot(&mut self, server: usize, why: &str) -> Result<bool, Violation> {
        let Some(rotten) = &self.servers[server].rotten else { return Ok(false) };
        let named = rotten.named || why.contains(&rotten.name) || rotten.name == MARK;
        if !named {
            let Rotten { name, offset, .. } = rotten;
            let what =
                format!("byte {offset} of {name} is rotten; the server stops, saying: {why}");
            return Err(Violation::new(Property::Rot, what));
        }
        self.tally.hit(Probe::RotStopped);
        self.restore(server);
        Ok(true)
    }

    fn restore(&mut self, server: usize) {
        let machine = &mut self.servers[server];
        if let Some(rotten) = machine.rotten.take() {
            machine.disk.fs.restore(rotten.inode, rotten.offset, rotten.was);
        }
    }
}

/// Where the rot strikes. In the newest log that is below the mark, where the server must stop, or
/// just behind the last record, where it must lose nothing: between them is the window that
/// docs/DURABILITY.md states.
fn spot(fs: &Fs, file: u32, place: u64) -> Option<Rotten> {
    let mut files = Vec::new();
    for dir in if fs.one_folder { &[Dir::Snap][..] } else { &[Dir::Snap, Dir::Log] } {
        let names = fs.list(*dir).into_iter().flatten().map(|entry| entry.name);
        files.extend(names.filter(|name| is_ours(name)).map(|name| (*dir, name)));
    }
    let (dir, name) = files.get(file as usize % files.len().max(1))?.clone();
    let inode = fs.find(dir, &name)?;
    let newest = files.iter().filter_map(|(_, name)| log_number(name)).max();
    let len = fs.content(inode).len().min(LOOKED_AT);
    let (low, high, must_stop) = match log_number(&name) {
        Some(number) if Some(number) == newest => match mark(fs) {
            Some((log, synced)) if log == number && synced > HEADER && !place.is_multiple_of(4) => {
                (HEADER, synced, true)
            }
            _ => {
                let end = records_end(&fs.content(inode).read(0, LOOKED_AT));
                (end, (end + 64).min(len), false)
            }
        },
        _ => (0, len, false),
    };
    let offset = low + (place >> 2).checked_rem(high.checked_sub(low)?)?;
    let was = fs.byte(inode, offset);
    Some(Rotten { name, inode, offset, was, must_stop, named: false })
}

fn is_ours(name: &str) -> bool {
    name.starts_with("log.") || name.starts_with("snapshot.") || name == MARK
}

fn log_number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("log.")?, 16).ok()
}

/// What the mark says on the platter: which log it speaks of, and up to where that was synced.
fn mark(fs: &Fs) -> Option<(u64, u64)> {
    let inode = fs.find(Dir::Log, MARK)?;
    let slot = |offset| {
        let line = fs.durable(inode).read(offset, 96);
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut words = line.split_ascii_whitespace().skip(2);
        let log = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((log, words.nth(1)?.parse().ok()?))
    };
    slot(0).max(slot(512))
}
