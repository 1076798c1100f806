// SPDX-License-Identifier: Apache-2.0
//! Worlds of Menagerie cores under seeded faults, and the oracles that judge them.
#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod faults;
pub mod model;
pub mod net;
pub mod oracle;
pub mod probe;
pub mod rng;
pub mod tally;
