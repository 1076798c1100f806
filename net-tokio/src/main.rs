// SPDX-License-Identifier: Apache-2.0
//! `menagerie`: the server, its scripts, its shell and its load generator.

use std::process::ExitCode;

fn main() -> ExitCode {
    menagerie_net_tokio::cli::main()
}
