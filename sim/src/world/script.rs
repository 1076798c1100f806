// SPDX-License-Identifier: Apache-2.0
//! Where a world's decisions come from: drawn as they fall due, or told by a trace. Either way a
//! world takes them one by one at their time, and may keep them for a trace.

use std::collections::VecDeque;

use crate::{
    faults::{Climate, Family, Fault},
    rng::Rng,
    scenario::Scenario,
    trace::{Act, Decision, Step},
    workload::Workload,
};

/// The first fault strikes at this time, if any does.
const FIRST_FAULT: u64 = 1_000_000;
/// The members change at this time first, if ever.
const FIRST_CHANGE: u64 = 3_000_000;
/// The first client acts at this time, the others a little later.
const FIRST_ACT: u64 = 500_000;

/// A world's decisions.
#[derive(Clone)]
pub struct Script {
    source: Source,
    /// What was decided so far, if anyone wants to know.
    taken: Option<Vec<Step>>,
}

#[derive(Clone)]
enum Source {
    Drawn {
        climate: Climate,
        faults: Box<Rng>,
        changes: Changes,
    },
    Told {
        faults: VecDeque<(u64, usize, Fault)>,
        changes: VecDeque<(u64, Fault)>,
        acts: Vec<VecDeque<(u64, Act)>>,
    },
}

/// When the members change, drawn.
#[derive(Clone)]
pub struct Changes {
    /// The mean time between two, in microseconds; 0 for never.
    pub every: u64,
    /// Chance.
    pub rng: Box<Rng>,
}

impl Script {
    /// Decisions are drawn.
    pub fn drawn(climate: Climate, faults: Rng, changes: Changes) -> Script {
        let source = Source::Drawn { climate, faults: Box::new(faults), changes };
        Script { source, taken: None }
    }

    /// Decisions stand in a trace of so many clients.
    pub fn told(steps: &[Step], clients: usize) -> Script {
        let (mut faults, mut acts) = (VecDeque::new(), vec![VecDeque::new(); clients]);
        let mut changes = VecDeque::new();
        for step in steps {
            match &step.decision {
                Decision::Fault { fault, .. } if fault.family() == Family::Reconfiguration => {
                    changes.push_back((step.at, *fault));
                }
                Decision::Fault { server, fault } => {
                    faults.push_back((step.at, *server as usize, *fault));
                }
                Decision::Act { client, act } => {
                    if let Some(acts) = acts.get_mut(*client as usize) {
                        acts.push_back((step.at, act.clone()));
                    }
                }
            }
        }
        Script { source: Source::Told { faults, changes, acts }, taken: None }
    }

    /// Keeps what is decided from here on.
    pub fn record(&mut self) {
        self.taken = Some(Vec::new());
    }

    /// What was decided.
    pub fn taken(&self) -> &[Step] {
        self.taken.as_deref().unwrap_or_default()
    }

    /// When the first fault is due.
    pub fn first_fault(&self) -> Option<u64> {
        match &self.source {
            Source::Drawn { climate, .. } => (climate.every > 0).then_some(FIRST_FAULT),
            Source::Told { faults, .. } => faults.front().map(|(at, ..)| *at),
        }
    }

    /// When a client's first act is due.
    pub fn first_act(&self, client: usize) -> Option<u64> {
        match &self.source {
            Source::Drawn { .. } => Some(FIRST_ACT + client as u64 * 1_000),
            Source::Told { acts, .. } => acts[client].front().map(|(at, _)| *at),
        }
    }

    /// The fault that was due at `due`, at which of so many servers it strikes, and when the next
    /// one is. Whoever leads is struck more often than the others.
    pub fn fault(
        &mut self,
        due: u64,
        now: u64,
        servers: usize,
        leader: Option<usize>,
    ) -> Option<(usize, Fault, Option<u64>)> {
        let taken = match &mut self.source {
            Source::Drawn { climate, faults, .. } => {
                let next = now + 1 + faults.wait(climate.every);
                let family = climate.pick(faults)?;
                let fault = Fault::draw(family, faults);
                let server = match leader {
                    _ if servers == 1 => 0,
                    Some(leader) if faults.one_in(3) => leader,
                    _ => faults.index(servers),
                };
                (server, fault, Some(next))
            }
            Source::Told { faults, .. } => {
                let (_, server, fault) = faults.pop_front()?;
                (server, fault, faults.front().map(|(at, ..)| *at))
            }
        };
        self.keep(due, || Decision::Fault { server: taken.0 as u32, fault: taken.1 });
        Some(taken)
    }

    /// When the members change first.
    pub fn first_change(&self) -> Option<u64> {
        match &self.source {
            Source::Drawn { changes, .. } => (changes.every > 0).then_some(FIRST_CHANGE),
            Source::Told { changes, .. } => changes.front().map(|(at, _)| *at),
        }
    }

    /// The change of the members that was due at `due`, and when the next one is.
    pub fn change(&mut self, due: u64, now: u64) -> Option<(Fault, Option<u64>)> {
        let taken = match &mut self.source {
            Source::Drawn { changes: Changes { every, rng }, .. } => {
                let next = now + 1 + rng.wait(*every);
                (Fault::draw(Family::Reconfiguration, rng), Some(next))
            }
            Source::Told { changes, .. } => {
                let (_, fault) = changes.pop_front()?;
                (fault, changes.front().map(|(at, _)| *at))
            }
        };
        self.keep(due, || Decision::Fault { server: 0, fault: taken.0 });
        Some(taken)
    }

    /// The act of a client that was due at `due`, and when its next one is.
    pub fn act(
        &mut self,
        client: usize,
        due: u64,
        now: u64,
        workload: &mut Workload,
        scenario: &Scenario,
    ) -> Option<(Act, Option<u64>)> {
        let taken = match &mut self.source {
            Source::Drawn { .. } => {
                let next = now + workload.pause(scenario.think);
                (workload.act(scenario.burst), Some(next))
            }
            Source::Told { acts, .. } => {
                let (_, act) = acts[client].pop_front()?;
                (act, acts[client].front().map(|(at, _)| *at))
            }
        };
        self.keep(due, || Decision::Act { client: client as u32, act: taken.0.clone() });
        Some(taken)
    }

    fn keep(&mut self, at: u64, decision: impl FnOnce() -> Decision) {
        if let Some(taken) = &mut self.taken {
            taken.push(Step { at, decision: decision() });
        }
    }
}
