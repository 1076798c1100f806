// SPDX-License-Identifier: Apache-2.0
//! `menagerie`: the server, its scripts, its shell and its load generator.
fn main() {}
