// SPDX-License-Identifier: Apache-2.0
//! What a campaign did: operations by result, faults by family, probes, events, time.

use std::{collections::BTreeMap, fmt};

use menagerie_core::proto::{ErrorCode, OpCode};

use crate::{faults::Family, probe::Probe};

/// Counts of one world, or the sum of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Events of the worlds' queues.
    pub events: u64,
    /// Inputs that cores took, of servers and of clients.
    pub inputs: u64,
    /// Operations whose users were told how they ended.
    pub acknowledged: u64,
    /// Simulated time, in microseconds.
    pub simulated: u64,
    /// Replies, by operation and error.
    pub ops: BTreeMap<(i32, i32), u64>,
    /// Faults that struck.
    pub faults: BTreeMap<Family, u64>,
    /// Probes that were hit.
    pub probes: BTreeMap<Probe, u64>,
    /// Transactions that were proposed.
    pub txns: u64,
    /// Lives of the server.
    pub lives: u64,
}

impl Tally {
    /// Counts a probe.
    pub fn hit(&mut self, probe: Probe) {
        *self.probes.entry(probe).or_default() += 1;
    }

    /// Counts a fault.
    pub fn fault(&mut self, family: Family) {
        *self.faults.entry(family).or_default() += 1;
    }

    /// Counts a reply.
    pub fn op(&mut self, op: i32, err: i32) {
        *self.ops.entry((op, err)).or_default() += 1;
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        self.worlds += other.worlds;
        self.events += other.events;
        self.inputs += other.inputs;
        self.acknowledged += other.acknowledged;
        self.simulated += other.simulated;
        self.txns += other.txns;
        self.lives += other.lives;
        sum(&mut self.ops, &other.ops);
        sum(&mut self.faults, &other.faults);
        sum(&mut self.probes, &other.probes);
    }

    /// All replies.
    pub fn replies(&self) -> u64 {
        self.ops.values().sum()
    }

    /// The probes that were never hit.
    pub fn unhit(&self) -> Vec<Probe> {
        let hit = |probe: &&Probe| self.probes.contains_key(probe);
        Probe::ALL.iter().filter(|probe| !hit(probe)).copied().collect()
    }
}

fn sum<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, n) in from {
        *into.entry(*key).or_default() += n;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "replies by operation and result")?;
        let mut last = None;
        for ((op, err), n) in &self.ops {
            if last.replace(*op) != Some(*op) {
                let name = OpCode::from_code(*op).map(|op| format!("{op:?}"));
                writeln!(f)?;
                write!(f, "  {:<22}", name.unwrap_or_else(|| format!("op {op}")))?;
            }
            match ErrorCode::from_code(*err) {
                Some(code) => write!(f, " {code:?} {n}")?,
                None => write!(f, " error {err} {n}")?,
            }
        }
        writeln!(f, "\n\nfaults by family")?;
        for family in Family::ALL {
            let n = self.faults.get(family).copied().unwrap_or(0);
            writeln!(f, "  {n:>9}  {}", family.name())?;
        }
        writeln!(f, "\nprobes")?;
        for probe in Probe::ALL {
            let n = self.probes.get(probe).copied().unwrap_or(0);
            writeln!(f, "  {n:>9}  {}", probe.name())?;
        }
        Ok(())
    }
}
