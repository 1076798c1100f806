// SPDX-License-Identifier: Apache-2.0
//! Atomic broadcast: how one leader's history becomes everybody's, as Java's `Leader`, `Learner`
//! and `LearnerHandler` speak it on the quorum port.
//!
//! [`wire`] has the packets, [`QuorumFramer`] cuts them from a byte stream, [`History`] knows
//! what brings a learner up to date, and [`Learner`] is one.

mod frames;
mod history;
mod learner;
#[cfg(test)]
mod test_words;
pub mod wire;

pub use frames::{QuorumFrame, QuorumFramer};
pub use history::{DiskLog, History, Remedy, Standing};
pub use learner::{Footing, Learner, LearnerConfig, LearnerOrder};
