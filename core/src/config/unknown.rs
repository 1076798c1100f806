// SPDX-License-Identifier: Apache-2.0
//! Judges keys that nothing here asked for: a typing error, a setting of a JVM's internals, or
//! something nobody knows. None is fatal, as in ZooKeeper; each deserves a sentence.
use super::report::{Notice, NoticeKind, Origin, Setting};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// ZooKeeper's properties about threads, buffers, caches and classes that do not exist here, and
/// about parts that are not served; a trailing `*` stands for any ending.
const WITHOUT_EFFECT: &[&str] = &[
    "SASLAuthenticationProvider.superPassword",
    "audit.*",
    "bitHashCacheSize",
    "client.certReload",
    "client.portUnification",
    "commitProcessor.*",
    "connection_throttle_*",
    "emulate353TTLNodes",
    "fips-mode",
    "follower.skipLearnerRequestToNextProcessor",
    "forward_learner_requests_to_commit_processor_disabled",
    "intBufferStartingSizeBytes",
    "jmx.*",
    "kerberos.*",
    "kinit",
    "leader.*",
    "leaderConnectDelayDuringRetryMs",
    "learner.asyncSending",
    "learner.closeSocketAsync",
    "letAnySaslUserDoX",
    "log.*",
    "maxInProcessingDeadWatchers",
    "messageTracker.*",
    "netty.*",
    "nio.*",
    "observer.*",
    "observerMaster.sizeLimit",
    "pathStats.*",
    "quorumCnxnTimeoutMs",
    "request_throttler.*",
    "requireKerberosConfig",
    "root.logger",
    "sasl.*",
    "security.*",
    "server.principal",
    "server.realm",
    "serverCnxnFactory",
    "ssl.*",
    "testingonly.*",
    "tracelog.*",
    "console.threshold",
    "watchManagerName",
    "watcherClean*",
];

/// What to say about `setting`, if anything: `known` are the keys that mean something.
pub(super) fn judge(setting: &Setting, known: &BTreeSet<&str>) -> Option<Notice> {
    let in_flags = matches!(setting.origin, Origin::Flags { .. });
    let name = setting.key.strip_prefix("zookeeper.");
    let key = if in_flags { name? } else { &setting.key };
    let notice = |kind, text| Some(Notice { origin: setting.origin.clone(), kind, text });
    if let (false, Some(name)) = (in_flags, name) {
        let text = format!(
            "{} has no effect in a file, where the prefix is added: write {name}",
            setting.key
        );
        return notice(NoticeKind::Suspicious, text);
    }
    if WITHOUT_EFFECT.iter().any(|pattern| matches(pattern, key)) {
        let text = format!("{} is ZooKeeper's but has no effect here; it is kept", setting.key);
        return notice(NoticeKind::NoEffect, text);
    }
    let hint = match nearest(key, known) {
        Some(meant) => format!("; is {meant} meant?"),
        None => String::new(),
    };
    let text =
        format!("{} is not known; it is kept as property zookeeper.{key}{hint}", setting.key);
    notice(NoticeKind::UnknownKey, text)
}

fn matches(pattern: &str, key: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key == pattern,
    }
}

/// The known key that is at most two edits away, if case does not count.
fn nearest<'a>(key: &str, known: &BTreeSet<&'a str>) -> Option<&'a str> {
    if key.len() > 64 {
        return None;
    }
    // A difference in length is as many edits at least: most names need no closer look.
    let alike = known.iter().filter(|name| name.len().abs_diff(key.len()) <= 2);
    let distance = |name: &&str| edits(key.as_bytes(), name.as_bytes());
    let near = alike.map(|name| (distance(name), *name));
    let (distance, name) = near.min()?;
    (distance <= 2 && distance * 3 < name.len()).then_some(name)
}

/// Levenshtein's distance without case.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
