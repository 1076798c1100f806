// SPDX-License-Identifier: Apache-2.0
//! Saved traces, replayed by every build: the bug that each names still breaks the promise it broke
//! when it was saved, and the sound core comes through unharmed.

use std::{fs, path::PathBuf};

use menagerie_sim::{
    campaign::{HASH_KEY, replay},
    grade,
    trace::Trace,
};

fn corpus() -> Vec<(PathBuf, Trace)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/traces");
    let entries = fs::read_dir(folder).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let load = |file: PathBuf| {
        let trace = Trace::load(&file).expect("a saved trace can be read");
        (file, trace)
    };
    files.into_iter().map(load).collect()
}

#[test]
fn each_trace_still_breaks_what_it_broke_and_the_sound_core_holds() {
    let corpus = corpus();
    assert!(corpus.len() >= 5, "the corpus has {} traces", corpus.len());
    for (file, trace) in corpus {
        let shown = file.display();
        let bug = grade::named(trace.mutation.as_deref()).expect("a bug that there is");
        assert!(bug.is_some(), "{shown}: only traces of known bugs are kept");
        let broken = replay(&trace, bug, HASH_KEY).violation;
        let broken = broken.map(|violation| violation.property.name().to_owned());
        assert_eq!(broken, trace.property, "{shown}");
        let sound = replay(&trace, None, HASH_KEY).violation;
        assert_eq!(sound, None, "{shown}");
    }
}

#[test]
fn a_replay_is_the_same_under_another_hash_key() {
    for (file, trace) in corpus() {
        let hash = |key| replay(&trace, None, key).hash;
        assert_eq!(hash(HASH_KEY), hash((7, 9)), "{}", file.display());
    }
}
