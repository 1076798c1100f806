// SPDX-License-Identifier: Apache-2.0
//! The same seed gives the same world: in another process, and under another hash key.

use std::process::Command;

fn hash_of(args: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_menagerie-sim");
    let output = Command::new(program).args(["run", "--seed"]).args(args).output();
    let output = output.expect("the simulator runs");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    assert!(output.status.success(), "{text}");
    let hash = text.lines().find_map(|line| line.strip_prefix("hash "));
    hash.expect("it prints the hash of the world").to_owned()
}

#[test]
fn another_process_sees_the_same_world() {
    assert_eq!(hash_of(&["2"]), hash_of(&["2"]));
}

#[test]
fn another_hash_key_changes_nothing() {
    for seed in ["2", "4", "6"] {
        assert_eq!(hash_of(&[seed]), hash_of(&[seed, "--hash-key", "12345"]));
    }
}

#[test]
fn an_ensemble_is_the_same_in_another_process_and_under_another_hash_key() {
    for (seed, servers) in [("2", "3"), ("5", "5")] {
        let hash = hash_of(&[seed, "--servers", servers]);
        assert_eq!(hash, hash_of(&[seed, "--servers", servers]));
        assert_eq!(hash, hash_of(&[seed, "--servers", servers, "--hash-key", "12345"]));
    }
}

#[test]
fn another_seed_gives_another_world() {
    assert_ne!(hash_of(&["2"]), hash_of(&["3"]));
}
