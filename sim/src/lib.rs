// SPDX-License-Identifier: Apache-2.0
//! Worlds of Menagerie cores under seeded faults, and the oracles that judge them.
#![forbid(unsafe_code)]

pub mod bag;
pub mod bench;
pub mod campaign;
pub mod clock;
pub mod disk;
pub mod fate;
pub mod faults;
pub mod files;
pub mod grade;
pub mod history;
pub mod model;
pub mod net;
pub mod oracle;
pub mod outages;
pub mod probe;
pub mod readable;
pub mod rng;
pub mod scenario;
pub mod shrink;
pub mod species;
pub mod story;
pub mod table;
pub mod tally;
pub mod trace;
pub mod usage;
pub mod workload;
pub mod world;
pub mod zoo;
