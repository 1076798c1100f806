// SPDX-License-Identifier: Apache-2.0
//! Atomic broadcast: how one leader's history becomes everybody's, as Java's `Leader`, `Learner`
//! and `LearnerHandler` speak it on the quorum port.
//!
//! [`wire`] has the packets, [`QuorumFramer`] cuts them from a byte stream, [`History`] knows
//! what brings a learner up to date, [`Learner`] is one, and
//! [`Leader`] leads them.

mod frames;
mod history;
mod leader;
mod learner;
mod orders;
mod peer;
#[cfg(test)]
mod test_words;
pub mod wire;

pub use frames::QuorumFramer;
pub use history::{DiskLog, History, Remedy, Standing};
pub use leader::{Leader, LeaderConfig};
pub use learner::{Footing, Learner, LearnerConfig};
pub use orders::{LeaderOrder, LearnerOrder};

#[cfg(test)]
mod world_tests;
