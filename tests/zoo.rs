// SPDX-License-Identifier: Apache-2.0
//! The zoo stays in the simulator: no bug of it is in the program that is shipped. And what of our
//! own bugs `docs/ZOO.md` tells is held down by what it says.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use menagerie_core::zoo::Mutation;

/// The first of some texts in a file.
fn found<'a>(file: &Path, texts: &[&'a str]) -> Option<&'a str> {
    let bytes = fs::read(file).expect("a readable program");
    let mut starts = [false; 256];
    texts.iter().for_each(|text| starts[usize::from(text.as_bytes()[0])] = true);
    let mut places = (0..bytes.len()).filter(|at| starts[usize::from(bytes[*at])]);
    places
        .find_map(|at| texts.iter().find(|text| bytes[at..].starts_with(text.as_bytes())))
        .copied()
}

#[test]
fn no_bug_of_the_zoo_is_in_the_shipped_program() {
    let all = Mutation::ALL.iter().chain(Mutation::DECOYS);
    let names: Vec<&str> = all.map(|(name, _)| *name).collect();
    assert!(names.len() >= 60, "only {} changes", names.len());
    let shipped = Path::new(env!("CARGO_BIN_EXE_menagerie"));
    assert_eq!(found(shipped, &names), None, "a name of a bug");
    // Code for a policy of the simulator would carry its crate's name in a symbol.
    assert_eq!(found(shipped, &["menagerie_sim"]), None, "a part of the simulator");
    assert_eq!(found(shipped, &["menagerie_core"]), Some("menagerie_core"), "symbols are there");
    // The same search finds them all in this test, which names them.
    let here = env::current_exe().expect("this test");
    for name in names {
        assert_eq!(found(&here, &[name]), Some(name));
    }
}

#[test]
fn each_bug_of_our_own_is_held_down_by_what_the_zoo_says() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let zoo = fs::read_to_string(root.join("docs/ZOO.md")).expect("the zoo");
    let (_, ours) = zoo.split_once("\n## Ours\n").expect("our own bugs");
    let rows: Vec<&str> = ours.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 20, "only {} bugs are left", rows.len());
    let sources = text_below(&root.join("core/src"));
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "nothing holds it down: {row}");
        for name in named {
            let stories = ["", "ensemble/"].map(|dir| format!("tests/scenarios/{dir}{name}.txt"));
            let is_file = stories.iter().any(|story| root.join(story).is_file());
            let is_test = sources.contains(&format!("fn {name}()"));
            assert!(is_file || is_test || root.join(name).is_file(), "there is no {name}");
        }
    }
}

/// All that stands in the files below a folder.
fn text_below(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("a readable entry").path());
    let text = |path: PathBuf| match path.is_dir() {
        true => text_below(&path),
        false => fs::read_to_string(path).expect("a readable file"),
    };
    paths.map(text).collect()
}
