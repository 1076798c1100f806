// SPDX-License-Identifier: Apache-2.0
//! Every rule of Menagerie, and nothing that touches the outside world.
//!
//! One deterministic state machine serves production and the simulator alike. The rooms, from the
//! ground up (a room uses only the rooms before it; `tests/tidy.rs` holds the directions):
//!
//! - ground floor: [`id`], [`time`], [`hash`], [`pieces`] (tables), [`zoo`], [`jute`] (codec),
//!   [`proto`] (wire records), [`quorum`] (which sets of servers may decide), [`event`] (what a
//!   core has to tell), [`io`] (what goes in and comes out of a core), [`frame`] (the framing
//!   machine of the client port)
//! - [`config`]: the text of `zoo.cfg` and of JVM flags as typed values
//! - [`tree`]: znodes, and [`txn`]: what changes them
//! - [`log`]: the files of a data directory as bytes
//! - [`session`]: who is connected or may come back
//! - [`watch`]: who wants to hear of which change
//! - [`election`]: who leads
//! - [`store`]: the machines that write and read the data directory
//! - [`zab`]: atomic broadcast, how one leader's history becomes everybody's
//! - [`serve`]: who may do what, and what becomes of a request
//! - [`node`]: one server, from its first look at the disk to its halt
//! - [`client`]: a client and its session; uses only the ground floor
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod client;
pub mod config;
pub mod election;
pub mod event;
pub mod frame;
pub mod hash;
pub mod id;
pub mod io;
pub mod jute;
pub mod log;
pub mod node;
pub mod pieces;
pub mod proto;
pub mod quorum;
pub mod serve;
pub mod session;
pub mod store;
pub mod time;
pub mod tree;
pub mod txn;
pub mod watch;
pub mod zab;
pub mod zoo;
