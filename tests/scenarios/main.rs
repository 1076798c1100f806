// SPDX-License-Identifier: Apache-2.0
//! Stories: what goes into a server or a client, line by line, and everything that comes out.
//!
//! Each `*.txt` here is one story. A block is commands, `----` and what they brought about, up to
//! an empty line; `#` begins a remark. `UPDATE=1 cargo test` rewrites what is below the dashes:
//! read the diff. The commands stand in `server.rs` and `client.rs`.

mod client;
mod script;
mod server;
mod speech;

use std::{env, fs, path::PathBuf};

use script::Script;

fn stories() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = fs::read_dir(folder).expect("the stories");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    paths.sort();
    paths
}

/// Plays a story; gives back its text as it should be.
fn play(text: &str) -> String {
    let mut script = Script::parse(text);
    let first = script.first_command().expect("a story begins with `server` or `client`");
    if first.starts_with("client") {
        let mut stage = client::Stage::new();
        script.play(|command| stage.command(command));
    } else {
        let mut stage = server::Stage::new();
        script.play_turns(&mut stage);
    }
    script.text()
}

#[test]
fn stories_go_as_they_are_told() {
    let update = env::var_os("UPDATE").is_some();
    let mut changed = Vec::new();
    let stories = stories();
    for path in &stories {
        println!("{}", path.display());
        let told = fs::read_to_string(path).expect("a story");
        let went = play(&told);
        if went == told {
            continue;
        }
        if update {
            fs::write(path, went).expect("a story can be rewritten");
        } else {
            let at = told.lines().zip(went.lines()).take_while(|(a, b)| a == b).count();
            let line = |text: &str| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let (told, went) = (line(&told), line(&went));
            changed.push(format!("{name}:{}:\n  told: {told}\n  went: {went}", at + 1));
        }
    }
    assert!(stories.len() >= 20, "only {} stories are left", stories.len());
    assert!(changed.is_empty(), "{}\n(UPDATE=1 rewrites them)", changed.join("\n"));
}
