// SPDX-License-Identifier: Apache-2.0
//! The thin adapter between the core and a real machine: the driver, and beside it the program
//! that people run.
#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod driver;
pub mod load;
pub mod scripts;
pub mod serve;
pub mod shell;

mod limits;
mod logs;
mod metrics;
mod pid;
mod version;
