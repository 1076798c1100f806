// SPDX-License-Identifier: Apache-2.0
//! Quotas: znodes below `/zookeeper/quota`, written and removed as ZooKeeper's shell does it.

use menagerie_core::tree::quota::Numbers;

use super::{
    commands::{Done, Failure, each_below, failed, path_of},
    words::Words,
};
use crate::client::{Client, Create, Data, Error, ErrorCode};

const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// Options, and the limits that they set.
const KINDS: [(char, &[u8]); 4] =
    [('n', b"count"), ('b', b"bytes"), ('N', b"countHardLimit"), ('B', b"byteHardLimit")];

pub(super) async fn list(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "")?;
    let path = path_of("listquota", &words, 1)?;
    eprintln!("absolute path is {QUOTA}{path}/{LIMITS}");
    let limits = numbers(zk, &format!("{QUOTA}{path}/{LIMITS}")).await;
    let stats = numbers(zk, &format!("{QUOTA}{path}/{STATS}")).await;
    match (limits, stats) {
        (Ok(limits), Ok(stats)) => {
            println!("Output quota for {path} {}", text(&limits));
            println!("Output stat for {path} {}", text(&stats));
        }
        (Err(error), _) | (_, Err(error)) if error.code() == Some(ErrorCode::NoNode) => {
            eprintln!("quota for {path} does not exist.");
        }
        (Err(error), _) | (_, Err(error)) => return Err(failed(&error, path)),
    }
    Ok(())
}

pub(super) async fn set(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "nbNB")?;
    let wanted = wanted(&words)?;
    let path = path_of("setquota", &words, 1)?;
    if path.starts_with(QUOTA) {
        eprintln!("cannot set a quota under the path: {QUOTA}");
        return Ok(());
    }
    let bad = |error: Error| failed(&error, path);
    if zk.exists(path).await.map_err(bad)?.is_none() {
        return Err(format!("{path} does not exist.").into());
    }
    no_quota_below(zk, path).await?;
    no_quota_above(zk, path).await?;
    let home = format!("{QUOTA}{path}");
    for (end, _) in home.match_indices('/').skip(1).chain([(home.len(), "")]) {
        make(zk, &home[..end], Data::NULL).await.map_err(bad)?;
    }
    let (limits_path, stats_path) = (format!("{home}/{LIMITS}"), format!("{home}/{STATS}"));
    let fresh = zk.exists(&limits_path).await.map_err(bad)?.is_none();
    let mut limits = if fresh {
        [b"byteHardLimit".as_slice(), b"countHardLimit"].iter().fold(
            Numbers::default(),
            |mut limits, name| {
                limits.set(name, -1);
                limits
            },
        )
    } else {
        numbers(zk, &limits_path).await.map_err(bad)?
    };
    limits.set(wanted.0, wanted.1);
    if fresh {
        make(zk, &limits_path, (&limits.text()).into()).await.map_err(bad)?;
        make(zk, &stats_path, "count=0,bytes=0".into()).await.map_err(bad)?;
    }
    warn(&limits, &numbers(zk, &stats_path).await.map_err(bad)?);
    if !fresh {
        zk.set(&limits_path, &limits.text(), None).await.map_err(bad)?;
    }
    Ok(())
}

pub(super) async fn delete(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "nbNB", "")?;
    let path = path_of("delquota", &words, 1)?;
    let bad = |error: Error| failed(&error, path);
    let home = format!("{QUOTA}{path}");
    let limits_path = format!("{home}/{LIMITS}");
    if zk.exists(&limits_path).await.map_err(bad)?.is_none() {
        println!("Quota does not exist for {path}");
        return Ok(());
    }
    if let Some((_, name)) = KINDS.iter().find(|(flag, _)| words.has(*flag)) {
        let mut limits = numbers(zk, &limits_path).await.map_err(bad)?;
        limits.set(name, -1);
        zk.set(&limits_path, &limits.text(), None).await.map_err(bad)?;
        return Ok(());
    }
    for name in zk.children(&home).await.map_err(bad)? {
        zk.delete(&format!("{home}/{name}"), None).await.map_err(bad)?;
    }
    // Then the parents that held nothing else.
    let mut above = home.as_str();
    while above != QUOTA && zk.children(above).await.map_err(bad)?.is_empty() {
        zk.delete(above, None).await.map_err(bad)?;
        above = above.rsplit_once('/').map_or(QUOTA, |(parent, _)| parent);
    }
    Ok(())
}

/// The limit that the options ask for.
fn wanted(words: &Words) -> Result<(&'static [u8], i64), Failure> {
    let mut found =
        KINDS.iter().filter_map(|(flag, name)| Some((*flag, *name, words.value(*flag)?)));
    let (flag, name, text) = found
        .next()
        .ok_or_else(|| Failure::from("Missing required option: [-n, -b, -N, -B]".to_owned()))?;
    if found.next().is_some() {
        return Err("one of -n, -b, -N and -B at a time".to_owned().into());
    }
    let value: i64 = text
        .parse()
        .map_err(|_| "NumberFormatException happens when parsing the option value".to_owned())?;
    let (what, least, words) = match flag {
        'n' | 'N' => ("num", 1, "greater than zero"),
        _ => ("bytes", 0, "greater than or equal to zero"),
    };
    if value < least {
        return Err(format!("the {what} quota must be {words}").into());
    }
    Ok((name, value))
}

fn warn(limits: &Numbers, stats: &Numbers) {
    let below = |limit: i64, used: i64| limit > -1 && limit < used;
    let count = stats.count();
    if below(limits.count(), count) || below(limits.hard_count(), count) {
        println!("[Warning]: the count quota you create is less than the existing count:{count}");
    }
    let bytes = stats.bytes();
    if below(limits.bytes(), bytes) || below(limits.hard_bytes(), bytes) {
        println!("[Warning]: the bytes quota you create is less than the existing bytes:{bytes}");
    }
}

async fn no_quota_below(zk: &Client, path: &str) -> Done {
    let own = format!("{QUOTA}{path}/{LIMITS}");
    let mut found = None;
    let search = async |at: &str| {
        if at.ends_with(LIMITS) && at != own {
            found = Some(at.to_owned());
        }
    };
    match each_below(zk, &format!("{QUOTA}{path}"), false, search).await {
        Err(failure) if !failure.text.starts_with("Node does not exist") => return Err(failure),
        _ => {}
    }
    match found {
        Some(at) => {
            let child = at.strip_prefix(QUOTA).and_then(|at| at.strip_suffix(LIMITS));
            let child = child.map_or("", |child| child.trim_end_matches('/'));
            Err(format!("{path} has a child {child} which has a quota").into())
        }
        None => Ok(()),
    }
}

async fn no_quota_above(zk: &Client, path: &str) -> Done {
    for (end, _) in path.match_indices('/').skip(1) {
        let parent = &path[..end];
        let limits = format!("{QUOTA}{parent}/{LIMITS}");
        if zk.exists(&limits).await.map_err(|error| failed(&error, path))?.is_some() {
            return Err(format!("{path} has a parent {parent} which has a quota").into());
        }
    }
    Ok(())
}

async fn numbers(zk: &Client, path: &str) -> Result<Numbers, Error> {
    Ok(Numbers::parse(zk.get(path).await?.bytes()))
}

/// Creates a znode unless it is there.
async fn make(zk: &Client, path: &str, data: Data<'_>) -> Result<(), Error> {
    match zk.create(path, data, &Create::persistent()).await {
        Err(error) if error.code() != Some(ErrorCode::NodeExists) => Err(error),
        _ => Ok(()),
    }
}

fn text(numbers: &Numbers) -> String {
    String::from_utf8_lossy(&numbers.text()).into_owned()
}
