// SPDX-License-Identifier: Apache-2.0
//! The README's way from nothing to three servers, run as it stands there: on other ports, with the
//! program that was just built.

use std::{env, fs, net::TcpListener, path::Path, process::Command};

use super::{
    common::{complaint, said},
    members::free_port,
};

/// The blocks of shell under a heading of one of the project's documents.
pub fn blocks(file: &str, heading: &str) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(file).expect("the document is there");
    let section = text.split("\n## ").find_map(|section| section.strip_prefix(heading));
    let section = section.expect("the heading is there");
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split_once("```").expect("it ends").0.to_owned()).collect()
}

/// All digits but the last of three free ports that end in 1, 2 and 3; three times.
fn free_tens() -> [u16; 3] {
    let mut found = Vec::new();
    loop {
        let tens = free_port("127.0.0.1") / 10;
        let free = |n| TcpListener::bind(("127.0.0.1", tens * 10 + n)).is_ok();
        if !found.contains(&tens) && (1..=3).all(free) {
            found.push(tens);
        }
        if let Ok(found) = found.as_slice().try_into() {
            return found;
        }
    }
}

#[test]
fn the_readme_leads_to_three_servers() {
    let folder = env::temp_dir().join(format!("menagerie-readme-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder of our own");
    let mut text = blocks("README.md", "Three servers on one machine\n").swap_remove(0);
    let built = "cargo build --release\nPATH=\"$PWD/target/release:$PATH\"\n";
    let program = Path::new(env!("CARGO_BIN_EXE_menagerie"));
    let path = program.parent().expect("it is in a folder").display();
    assert!(text.contains(built), "{text}");
    text = text.replace(built, &format!("PATH=\"{path}:$PATH\"\n"));
    for (usual, free) in ["218", "288", "388"].iter().zip(free_tens()) {
        text = text.replace(usual, &free.to_string());
    }
    let run = |script: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-euc", script]).current_dir(&folder).output().expect("bash runs")
    };
    let output = run(&text);
    let stop = format!(
        "PATH=\"{path}:$PATH\"; for n in 1 2 3; do menagerie stop ensemble/$n/zoo.cfg; done"
    );
    assert_eq!(said(&run(&stop)).0, 0);
    let (code, printed) = said(&output);
    assert_eq!(code, 0, "{output:?}");
    assert_eq!(printed.matches("Mode: leader\n").count(), 1, "{printed}");
    assert_eq!(printed.matches("Mode: follower\n").count(), 2, "{printed}");
    assert!(complaint(&output).contains("Created /hello"), "{output:?}");
    fs::remove_dir_all(&folder).expect("the folder goes");
}
