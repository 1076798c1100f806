// SPDX-License-Identifier: Apache-2.0
//! Serving clients: what a request must be to be granted, and what becomes of it.

pub mod auth;
pub mod path;
pub mod prep;
pub mod stats;
pub mod words;

mod answer;
mod commit;
mod conn;
#[cfg(test)]
mod ensemble_tests;
mod handshake;
mod lead;
mod learn;
mod pending;
mod read;
mod reading;
mod replica;
mod requests;
mod server;
mod sizes;
#[cfg(test)]
mod slow_tests;
mod sweep;
mod talk;

pub use lead::Forwarded;
pub use learn::Asking;
pub use prep::Members;
pub use replica::{Committed, Replica};
pub use server::Server;
pub use talk::{Facts, whitelist};
