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

/// Rooms, and the rooms that each may use.
type Directions = &'static [(&'static str, &'static [&'static str])];

/// What each room of `core` may use besides itself. A room that is not listed uses nothing.
const DIRECTIONS: Directions = &[
    ("event", &["id"]),
    ("io", &["event", "id"]),
    ("frame", &["io"]),
    ("pieces", &["hash"]),
    ("proto", &["id", "jute"]),
    ("quorum", &["id", "zoo"]),
    ("config", &["id", "proto", "quorum"]),
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
            "config", "event", "frame", "hash", "id", "io", "jute", "log", "proto", "session",
            "store", "time", "tree", "txn", "watch", "zoo",
        ],
    ),
    (
        "node",
        &[
            "config", "election", "event", "frame", "hash", "id", "io", "log", "quorum", "serve",
            "store", "time", "txn", "zab", "zoo",
        ],
    ),
];

/// The same for `net-tokio`: the driver and the client façade know nothing of the program.
const PROGRAM_DIRECTIONS: Directions = &[
    ("driver", &[]),
    ("client", &[]),
    ("logs", &[]),
    ("metrics", &["driver"]),
    ("serve", &["driver", "limits", "logs", "metrics", "pid", "version"]),
    ("scripts", &["driver", "pid", "serve", "version"]),
    ("shell", &["client", "version"]),
    ("load", &["client", "limits", "version"]),
    ("cli", &["load", "scripts", "serve", "shell", "version"]),
    ("main", &[]),
];

/// What the driver is built from; a rule of ZooKeeper needs none of the rest.
const DRIVER_USES: &[&str] = &["std", "menagerie_core", "tokio", "super", "files", "links"];

/// Lines of machine in `core` for one line of driver, at least.
const MACHINE_TO_DRIVER: usize = 5;

/// The longest function there is. Most fit a screen: this may only be lowered.
const LONGEST_FUNCTION: usize = 65;

/// Where a test waits for another process or thread by looking again and again.
const POLLING: &[(&str, usize)] = &[("tests/common/mod.rs", 1)];

#[test]
fn rooms_of_core_use_only_the_rooms_below() {
    go_by("core/src", DIRECTIONS);
}

#[test]
fn rooms_of_the_program_use_only_the_rooms_below() {
    go_by("net-tokio/src", PROGRAM_DIRECTIONS);
}

fn go_by(crate_folder: &str, directions: Directions) {
    let folder = root().join(crate_folder);
    for (room, allowed) in directions {
        for room in allowed.iter().chain([room]) {
            let there = folder.join(room).is_dir() || folder.join(format!("{room}.rs")).is_file();
            assert!(there, "{crate_folder} has no room called {room}");
        }
    }
    for (path, text) in sources(&[crate_folder]) {
        let inside = path.strip_prefix(&folder).expect("it was found below");
        let first = inside.iter().next().and_then(|part| part.to_str()).expect("a name");
        let room = first.trim_end_matches(".rs");
        if room == "lib" || is_test(&path) {
            continue;
        }
        let listed = directions.iter().find(|(listed, _)| *listed == room);
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

#[test]
fn the_driver_is_thin() {
    let mut driver = 0;
    for (path, text) in sources(&["net-tokio/src/driver"]) {
        driver += production(&text).count();
        for line in text.lines() {
            let used = line.strip_prefix("use ").or_else(|| line.strip_prefix("pub use "));
            let Some(used) = used.map(word) else { continue };
            let known = DRIVER_USES.contains(&used.as_str());
            assert!(known, "{}: the driver may not use {used}", path.display());
        }
    }
    let machine: usize = sources(&["core/src"])
        .iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(_, text)| production(text).count())
        .sum();
    assert!(
        driver * MACHINE_TO_DRIVER <= machine,
        "{driver} lines of driver for {machine} of machine: what decides belongs in core"
    );
}

#[test]
fn tests_do_not_wait_by_sleeping() {
    let sleep = concat!("sleep", "(");
    for (path, text) in sources(&["tests", "core", "sim", "net-tokio"]) {
        let inside = path.strip_prefix(root()).expect("it was found below");
        let tests = match is_test(&path) {
            true => text,
            false => {
                text.lines().skip(production(&text).count()).map(|l| format!("{l}\n")).collect()
            }
        };
        let polls = POLLING.iter().find(|(file, _)| inside == Path::new(file));
        let allowed = polls.map_or(0, |(_, sleeps)| *sleeps);
        let sleeps = tests.matches(sleep).count();
        assert!(
            sleeps <= allowed,
            "{}: {sleeps} sleeps; wait for what is to happen, not for time to pass",
            path.display()
        );
    }
}

#[test]
fn functions_are_short() {
    for (path, text) in everywhere() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            if !code.split(' ').take(4).any(|word| word == "fn") || code.starts_with("//") {
                continue;
            }
            let indent = &line[..line.len() - code.len()];
            let end = lines[at..].iter().position(|line| *line == format!("{indent}}}"));
            let len = end.map_or(0, |end| end + 1);
            let place = format!("{}:{}", path.display(), at + 1);
            // Without a body of its own, what ends there is something else.
            let own = lines[at..].iter().take(len).find(|line| line.ends_with(['{', ';']));
            if own.is_some_and(|line| line.ends_with('{')) {
                assert!(len <= LONGEST_FUNCTION, "{place}: a function of {len} lines");
            }
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
    for (path, text) in everywhere() {
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
    for (path, text) in everywhere() {
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

/// Whether a file is all test, by its name or its folder's.
fn is_test(path: &Path) -> bool {
    let inside = path.strip_prefix(root()).expect("it was found below");
    inside.to_string_lossy().contains("test")
}

fn everywhere() -> Vec<(PathBuf, String)> {
    let mut found = sources(&["core", "sim", "net-tokio", "tests"]);
    if root().join("benches").exists() {
        found.extend(sources(&["benches"]));
    }
    found
}

/// The sources below some folders, which must be there: what is not looked at is not held.
fn sources(rooms: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for room in rooms {
        let before = found.len();
        collect(&root().join(room), &mut found);
        assert!(found.len() > before, "no sources in {room}");
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
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

/// The top level is fixed: a folder that is not known here would be looked at by nothing.
#[test]
fn the_house_has_these_rooms_only() {
    let rooms = ["core", "sim", "net-tokio", "tests", "benches", "docs", "target"];
    for entry in fs::read_dir(root()).expect("the house") {
        let entry = entry.expect("a readable entry");
        let name = entry.file_name().into_string().expect("a name");
        if entry.path().is_dir() && !name.starts_with('.') {
            assert!(rooms.contains(&name.as_str()), "{name} is no room of this house");
        }
    }
}
