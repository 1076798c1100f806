// SPDX-License-Identifier: Apache-2.0
//! What servers of an ensemble were seen to go through, for probes only: the phases of their part,
//! and how learners were brought to where their leader was.

use std::collections::BTreeMap;

use menagerie_core::{event::Event, id::LinkId, io::FileOp, node::Phase, zab::wire::kind};

use crate::probe::Probe;

/// What one process was seen to do.
#[derive(Clone, Default)]
pub struct Sight {
    phase: Option<Phase>,
    /// Whether it read a log since it was elected, as it does for learners only.
    read_log: bool,
    /// The links on which it learned, and what came on them.
    courses: BTreeMap<LinkId, Course>,
}

/// How a learner is synchronised.
#[derive(Clone, Copy)]
struct Course {
    mode: i32,
    proposals: u64,
    synced: bool,
}

impl Sight {
    /// How it stands after a turn.
    pub fn stands(&mut self, phase: Phase) -> Option<Probe> {
        let before = self.phase.replace(phase);
        if before == Some(phase) {
            return None;
        }
        if let Phase::Leading { epoch: None, .. } = phase {
            self.read_log = false;
        }
        match (before, phase) {
            (_, Phase::Leading { epoch: None, .. }) => Some(Probe::ElectedWaits),
            (_, Phase::Leading { established: false, .. }) => Some(Probe::EpochWaits),
            (_, Phase::Following { serving: false, .. }) => Some(Probe::FollowerSyncs),
            (_, Phase::Observing { serving: false, .. }) => Some(Probe::ObserverSyncs),
            (Some(Phase::Leading { established, .. }), Phase::Looking) => {
                Some(if established { Probe::SteppedDown } else { Probe::NeverLed })
            }
            (Some(Phase::Following { serving, .. } | Phase::Observing { serving, .. }), _) => {
                (phase == Phase::Looking).then_some(if serving {
                    Probe::LeaderLost
                } else {
                    Probe::SyncBroken
                })
            }
            _ => None,
        }
    }

    /// It orders a file operation.
    pub fn orders(&mut self, what: &FileOp) -> Option<Probe> {
        let FileOp::Open { name, .. } = what else { return None };
        let leads = self.leads();
        if leads && name.starts_with("log.") {
            self.read_log = true;
            return Some(Probe::LogForLearner);
        }
        (leads && name.starts_with("snapshot.")).then_some(Probe::TreeForLearner)
    }

    /// Its phase when it was last seen.
    pub fn phase(&self) -> Option<Phase> {
        self.phase
    }

    /// Whether it leads, or was elected to.
    pub fn leads(&self) -> bool {
        matches!(self.phase, Some(Phase::Leading { .. }))
    }

    /// Whether it led, and read a log while it did.
    pub fn reads_log(&self) -> bool {
        self.read_log
    }

    /// A packet of another server's is about to be handled; `from_log` says that it leads, or
    /// began to, and whether it reads its log for learners.
    pub fn hears(&mut self, link: LinkId, packet: &[u8], from_log: Option<bool>) -> Option<Probe> {
        let kind = i32::from_be_bytes(*packet.first_chunk()?);
        match kind {
            kind::REQUEST => return Some(Probe::WriteForwarded),
            kind::REVALIDATE if from_log.is_some() => return Some(Probe::Revalidated),
            kind::SYNC if from_log.is_some() => return Some(Probe::SyncAnswered),
            kind::INFORM => return Some(Probe::ObserverInformed),
            kind::DIFF | kind::TRUNC | kind::SNAP => {
                self.courses.insert(link, Course { mode: kind, proposals: 0, synced: false });
            }
            _ => {}
        }
        let course = self.courses.get_mut(&link).filter(|course| !course.synced)?;
        match kind {
            kind::PROPOSAL => course.proposals += 1,
            kind::NEWLEADER => {
                course.synced = true;
                return Some(match (course.mode, course.proposals > 0) {
                    (kind::DIFF, false) => Probe::DiffWithNothing,
                    (kind::DIFF, true) if from_log == Some(true) => Probe::DiffFromLog,
                    (kind::DIFF, true) => Probe::DiffFromMemory,
                    (kind::TRUNC, false) => Probe::TruncOnly,
                    (kind::TRUNC, true) => Probe::TruncAndMore,
                    (_, false) => Probe::SnapOnly,
                    (_, true) => Probe::SnapAndMore,
                });
            }
            _ => {}
        }
        None
    }

    /// The link is gone.
    pub fn link_down(&mut self, link: LinkId) {
        self.courses.remove(&link);
    }
}

/// What a core's word to people shows of this.
pub fn told(event: &Event) -> Option<Probe> {
    match event {
        Event::Note { text, .. } if text.ends_with("it was not heard of in time") => {
            Some(Probe::LearnerDropped)
        }
        _ => None,
    }
}
