// SPDX-License-Identifier: Apache-2.0
//! The zoo stays in the simulator: no bug of it is in the program that is shipped.

use std::{env, fs, path::Path};

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
