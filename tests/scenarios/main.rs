// SPDX-License-Identifier: Apache-2.0
//! Stories: what goes into a server or a client, line by line, and everything that comes out.
//!
//! Each `*.txt` here is one story. A block is commands, `----` and what they brought about, up to
//! an empty line; `#` begins a remark. `UPDATE=1 cargo test` rewrites what is below the dashes:
//! read the diff. The commands stand in `server.rs` and `client.rs`, and for stories of several
//! servers, in `ensemble/`, in `ensemble.rs`. `README.md` says which story is whose.

mod client;
mod ensemble;
mod packets;
mod script;
mod server;
mod speech;
#[path = "../troupe/mod.rs"]
mod troupe;

use std::{env, fs, panic, path::PathBuf};

use menagerie_core::zoo::Mutation;

use script::Script;

/// The stories in a folder below this one.
fn stories(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(folder);
    let files = fs::read_dir(folder).expect("the stories");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    paths.sort();
    paths
}

/// Plays a story, on servers with a bug if there is one; gives back its text as it should be.
fn play(text: &str, bug: Option<Mutation>) -> String {
    let mut script = Script::parse(text);
    let first = script.first_command().expect("a story begins with who is in it");
    if first.starts_with("client") {
        let mut stage = client::Stage::new();
        script.play(|command| stage.command(command));
    } else if first.starts_with("servers") {
        let mut stage = ensemble::Stage::new(bug);
        script.play_blocks(|commands| stage.block(commands));
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
    let (alone, together) = (stories(""), stories("ensemble"));
    for path in alone.iter().chain(&together) {
        println!("{}", path.display());
        let told = fs::read_to_string(path).expect("a story");
        let went = play(&told, None);
        assert!(!went.contains(ensemble::BROKEN), "{}:\n{went}", path.display());
        if went == told {
            continue;
        }
        if update {
            fs::write(path, went).expect("a story can be rewritten");
        } else {
            let at = told.lines().zip(went.lines()).take_while(|(a, b)| a == b).count();
            let line = |text: &str| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
            let name = path.file_name().expect("a name").display();
            let (told, went) = (line(&told), line(&went));
            changed.push(format!("{name}:{}:\n  told: {told}\n  went: {went}", at + 1));
        }
    }
    assert!(alone.len() >= 20, "only {} stories are left", alone.len());
    assert!(together.len() >= 20, "only {} stories of several are left", together.len());
    assert!(changed.is_empty(), "{}\n(UPDATE=1 rewrites them)", changed.join("\n"));
}

/// Stories that a bug of the zoo changes, and whether it breaks a promise in them.
const BRED: &[(&str, Mutation, bool)] = &[
    ("z01-newleader-acked-before-the-log", Mutation::NewLeaderAckedBeforeLog, true),
    ("z02-epoch-before-the-log", Mutation::EpochBeforeLog, true),
    ("z04-no-common-past", Mutation::DiffWithoutCommonPast, true),
    ("z05-an-epoch-is-led-once", Mutation::EpochSaidBeforeSync, true),
    ("z13-votes-have-one-order", Mutation::TieBreakForgetsEpoch, true),
    ("empty-vote", Mutation::EmptyServerVotes, true),
    ("trunc-and-diff", Mutation::DiffWithoutCommonPast, true),
    ("trunc-and-append", Mutation::CutLeavesTail, true),
    ("trunc-many-files", Mutation::CutLeavesTail, true),
    ("rollover-under-a-follower", Mutation::CounterRollsOver, false),
    ("rollover-leader-restarts", Mutation::DiffWithoutCommonPast, true),
    ("reconfig-during-sync", Mutation::JoinerDropsCommits, false),
    ("reconfig-during-sync", Mutation::JoinerMissesProposals, false),
    ("deposed-sync", Mutation::SyncAsksNobody, false),
    ("pings", Mutation::TouchesNotRelayed, false),
    ("moved-session", Mutation::MovedSessionServed, false),
    ("forwarded-write", Mutation::AppliesProposals, false),
    ("forwarded-write", Mutation::ReadOvertakesWrite, true),
    ("epochs-in-order", Mutation::EpochSaidBeforeSync, false),
    ("joins-under-load", Mutation::ProposalsAckedEarly, false),
    ("joins-under-load", Mutation::JoinerMissesProposals, false),
    ("joins-under-load", Mutation::JoinerDropsCommits, true),
    ("zab-follower-hears", Mutation::EpochBeforeLog, false),
    ("zab-follower-hears", Mutation::AppliesProposals, false),
    ("zab-leader-speaks", Mutation::LeaderNotCounted, true),
    ("zab-leader-speaks", Mutation::MinorityIsQuorum, true),
    ("malformed-votes", Mutation::DeafAfterBadNotification, false),
    ("out-of-election", Mutation::LeaderUnconfirmed, false),
];

#[test]
fn a_bug_changes_its_story() {
    let mut wrong = Vec::new();
    for (name, bug, breaks) in BRED {
        let path =
            stories("ensemble").into_iter().find(|path| path.ends_with(format!("{name}.txt")));
        let path = path.unwrap_or_else(|| panic!("no story is called {name}"));
        let told = fs::read_to_string(path).expect("a story");
        // A bug may also run against an assertion.
        let went = panic::catch_unwind(|| play(&told, Some(*bug)))
            .unwrap_or_else(|_| format!("{}: a panic", ensemble::BROKEN));
        let changed = told.lines().zip(went.lines()).find(|(told, went)| told != went);
        if changed.is_none() || went.contains(ensemble::BROKEN) != *breaks {
            wrong.push(format!("{name} with {}: {changed:?}", named(*bug)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tables of the README are whole, and name nothing that is not there.
#[test]
fn the_readme_knows_all_stories() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let readme = fs::read_to_string(here.join("README.md")).expect("a README");
    let rows: Vec<&str> = readme.lines().filter(|line| line.starts_with("| ")).collect();
    let quoted = rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2));
    let told: Vec<&str> = quoted.filter(|name| *name != "ensemble/").collect();
    for name in &told {
        let file = match name.strip_suffix(".txt") {
            Some(path) => here.join(format!("{path}.txt")),
            None => here.join(format!("ensemble/{name}.txt")),
        };
        assert!(file.exists(), "the README tells of {name}, and there is no such story");
    }
    for path in stories("ensemble") {
        let name = path.file_stem().expect("a name").to_string_lossy();
        assert!(told.contains(&&*name), "the README does not tell of {name}");
    }
}

fn named(bug: Mutation) -> &'static str {
    Mutation::ALL.iter().find(|(_, other)| *other == bug).expect("all have names").0
}
