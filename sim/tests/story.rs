// SPDX-License-Identifier: Apache-2.0
//! The story of a failing world names who led, what was cut, and the promise that broke, and says
//! from which step on that was unavoidable.

use menagerie_core::zoo::Mutation;
use menagerie_sim::campaign::{self, Plan};

/// The story of the first of many worlds in which the bug shows after a cut.
fn told(bug: Mutation) -> campaign::Verdict {
    let plan =
        Plan { start: 1, seeds: 300, servers: Some(3), liveness: false, mutation: Some(bug) };
    let run = |seed, explain| campaign::run(plan, seed, campaign::HASH_KEY, explain);
    let fails = |seed: &u64| run(*seed, false).violation.is_some();
    let stories = (1..300).filter(fails).map(|seed| run(seed, true));
    let verdict = stories.into_iter().find(|verdict| verdict.story.contains(" is cut from "));
    verdict.expect("a bug that shows after a cut")
}

#[test]
fn a_story_names_leader_cut_and_promise_and_when_it_was_lost() {
    let verdict = told(Mutation::DiffWithoutCommonPast);
    let story = &verdict.story;
    let broken = verdict.violation.expect("it fails").property;
    let line = |part: &str| {
        let found = story.lines().find(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no {part:?} in\n{story}")).to_owned()
    };
    line(" leads epoch 1");
    line(" is cut from ");
    line(&format!("{}: {}", broken.name(), broken.promise()));
    line("Whom it concerns: s");
    assert!(story.contains("--->|") || story.contains("|<---"), "no messages in\n{story}");
    assert!(line("other futures").contains("came through"), "{story}");
    // The step is one of this world's, and not behind its end.
    let number = |line: String, before: &str| {
        let (_, rest) = line.split_once(before).expect("the words are there");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number")
    };
    let lost = number(line("other futures"), "In step ");
    assert!((1..=verdict.tally.events).contains(&lost), "{lost} of {}", verdict.tally.events);
}
