// SPDX-License-Identifier: Apache-2.0
//! Style is a test: what may stand in which room, and how long it may be.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Words that may not stand in `core`, with what to use instead.
const BANNED_IN_CORE: &[(&str, &str)] = &[
    ("std::", "core:: or alloc::"),
    ("HashMap::new", "hash::Map under a Keyed hasher"),
    ("f32", "integers"),
    ("f64", "integers"),
    ("unwrap()", "expect(\"why\")"),
];

/// Words that may stand nowhere.
const BANNED: &[(&str, &str)] = &[
    ("todo!", "the real thing"),
    ("dbg!", "an event"),
    (concat!("FIX", "ME"), "an issue"),
    (concat!("TO", "DO"), "an issue"),
];

/// What each room of `core` may use besides itself. A room that is not listed uses nothing.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("event", &["id"]),
    ("io", &["event", "id"]),
    ("frame", &["io"]),
    ("pieces", &["hash"]),
    ("proto", &["id", "jute"]),
    ("quorum", &["id", "zoo"]),
    ("config", &["id", "quorum"]),
    ("txn", &["id", "jute", "proto", "tree", "zoo"]),
    ("tree", &["hash", "id", "jute", "pieces", "proto", "txn", "zoo"]),
    ("log", &["id", "jute", "txn"]),
    ("session", &["hash", "id", "pieces", "proto", "time", "zoo"]),
    ("watch", &["hash", "id", "jute", "pieces", "proto", "zoo"]),
    ("election", &["config", "event", "id", "io", "jute", "quorum", "time", "zoo"]),
    ("client", &["id", "jute", "proto", "time"]),
    ("store", &["event", "hash", "id", "io", "jute", "log", "tree", "txn", "zoo"]),
    ("zab", &["id", "io", "jute", "log", "proto", "quorum", "time", "txn", "zoo"]),
    (
        "serve",
        &[
            "config", "event", "hash", "id", "io", "jute", "proto", "session", "store", "time",
            "tree", "txn", "watch", "zoo",
        ],
    ),
    ("node", &["config", "event", "hash", "id", "io", "serve", "store", "time", "zoo"]),
];

#[test]
fn rooms_of_core_use_only_the_rooms_below() {
    let core = root().join("core/src");
    for (path, text) in sources(&["core/src"]) {
        let inside = path.strip_prefix(&core).expect("it was found below");
        let first = inside.iter().next().and_then(|part| part.to_str()).expect("a name");
        let room = first.trim_end_matches(".rs");
        let test_only = inside.to_str().is_some_and(|name| name.contains("test"));
        if room == "lib" || test_only {
            continue;
        }
        let listed = DIRECTIONS.iter().find(|(listed, _)| *listed == room);
        let allowed = listed.map_or(&[] as &[&str], |(_, allowed)| allowed);
        for used in rooms_used(&text) {
            assert!(
                used == room || allowed.contains(&used.as_str()),
                "{}: {room} may not use {used}",
                path.display()
            );
        }
    }
}

/// The rooms named after `crate::` before the file's tests, also in groups of imports.
fn rooms_used(text: &str) -> Vec<String> {
    let code: String = production(text).map(|line| line.split("//").next().unwrap_or("")).collect();
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => used.push(word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut fresh = true;
                for (at, letter) in group.char_indices() {
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        _ if fresh && letter.is_alphabetic() => {
                            used.push(word(&group[at..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    used
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn every_source_file_says_its_licence_and_purpose() {
    for (path, text) in sources(&["core", "sim", "net-tokio", "tests", "benches"]) {
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("// SPDX-License-Identifier: Apache-2.0"),
            "{}: first line",
            path.display()
        );
        assert!(
            lines.next().is_some_and(|line| line.starts_with("//!")),
            "{}: the second line says why the file exists",
            path.display()
        );
    }
}

#[test]
fn files_and_lines_are_short() {
    for (path, text) in sources(&["core", "sim", "net-tokio", "tests", "benches"]) {
        let lines = text.lines().count();
        assert!(lines <= 700, "{}: {lines} lines, at most 700", path.display());
        for (n, line) in text.lines().enumerate() {
            let width = line.chars().count();
            assert!(width <= 100, "{}:{}: {width} columns", path.display(), n + 1);
        }
    }
}

#[test]
fn banned_words_stand_nowhere() {
    for (path, text) in sources(&["core", "sim", "net-tokio"]) {
        if path.ends_with("tests.rs") {
            continue;
        }
        let in_core = path.starts_with(root().join("core"));
        let banned = BANNED.iter().chain(if in_core { BANNED_IN_CORE } else { &[] });
        for (word, instead) in banned {
            for (n, line) in production(&text).enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let at = format!("{}:{}", path.display(), n + 1);
                assert!(!code.contains(word), "{at}: `{word}`; use {instead}");
            }
        }
    }
}

/// The lines before the file's tests; those may also stand in a `tests.rs` beside it.
fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(rooms: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for room in rooms {
        collect(&root().join(room), &mut found);
    }
    assert!(!found.is_empty(), "no sources below {}", root().display());
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            found.push((path, text));
        }
    }
}
