// SPDX-License-Identifier: Apache-2.0
//! `menagerie-sim`: runs worlds, grades mutations, replays failures.
fn main() {}
