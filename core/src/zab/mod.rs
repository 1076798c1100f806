// SPDX-License-Identifier: Apache-2.0
//! Atomic broadcast: how one leader's history becomes everybody's, as Java's `Leader`, `Learner`
//! and `LearnerHandler` speak it on the quorum port.
//!
//! [`wire`] has the packets, [`QuorumFramer`] cuts them from a byte stream.

mod frames;
pub mod wire;

pub use frames::{QuorumFrame, QuorumFramer};
