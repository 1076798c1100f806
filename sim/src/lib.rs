// SPDX-License-Identifier: Apache-2.0
//! Worlds of Menagerie cores under seeded faults, and the oracles that judge them.
#![forbid(unsafe_code)]

pub mod clock;
pub mod disk;
pub mod model;
pub mod oracle;
pub mod rng;
