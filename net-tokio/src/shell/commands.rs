// SPDX-License-Identifier: Apache-2.0
//! The commands that ask the service something.

use std::fs;

use super::{
    print::{self, Form},
    quota,
    words::{self, Words, check_path},
};
use crate::{
    client::{
        Client, Create, Data, Error, ErrorCode, Reconfig, RemoveWatches, State, Transaction, Watch,
        WatchMode,
    },
    version,
};

/// Why a command failed, and the exit code that says so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) code: u8,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { text, code: 1 }
    }
}

pub(super) type Done = Result<(), Failure>;

/// Commands and what they take, sorted.
pub(super) const COMMANDS: &[(&str, &str)] = &[
    (
        "addWatch",
        "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is \
         PERSISTENT_RECURSIVE",
    ),
    ("addauth", "scheme auth"),
    ("close", ""),
    ("config", "[-w] [-s]"),
    ("connect", "host:port"),
    ("create", "[-s] [-e] [-c] [-t ttl] path [data] [acl]"),
    ("delete", "[-v version] path"),
    ("deleteall", "path [-b batch size]"),
    ("delquota", "[-n|-b|-N|-B] path"),
    ("get", "[-s] [-w] [-b] [-x] path"),
    ("getAcl", "[-s] path"),
    ("getAllChildrenNumber", "path"),
    ("getEphemerals", "path"),
    ("history", ""),
    ("listquota", "path"),
    ("ls", "[-s] [-w] [-R] path"),
    ("printwatches", "on|off"),
    ("quit", ""),
    (
        "reconfig",
        "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | \
         [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
    ),
    ("redo", "cmdno"),
    ("removewatches", "path [-c|-d|-a] [-l]"),
    ("set", "path data [-s] [-v version] [-b]"),
    ("setAcl", "[-s] [-v version] [-R] path acl"),
    ("setquota", "-n|-b|-N|-B val path"),
    ("stat", "[-w] path"),
    ("sync", "path"),
    ("version", ""),
    ("whoami", ""),
];

/// Runs a command that asks the service something. `Ok(false)`: there is no such command.
pub(super) async fn run(zk: &Client, words: &[String]) -> Result<bool, Failure> {
    let (name, rest) = words.split_first().ok_or("No command entered".to_owned())?;
    match name.as_str() {
        "addauth" => add_auth(zk, rest).await?,
        "addWatch" => add_watch(zk, rest).await?,
        "close" => zk.close().await,
        "config" => config(zk, rest).await?,
        "create" => create(zk, rest).await?,
        "delete" => delete(zk, rest).await?,
        "deleteall" => delete_all(zk, rest).await?,
        "rmr" => {
            eprintln!("The command 'rmr' has been deprecated. Please use 'deleteall' instead.");
            delete_all(zk, rest).await?;
        }
        "delquota" => quota::delete(zk, rest).await?,
        "get" => get(zk, rest).await?,
        "getAcl" => get_acl(zk, rest).await?,
        "getAllChildrenNumber" => count_descendants(zk, rest).await?,
        "getEphemerals" => ephemerals(zk, rest).await?,
        "listquota" => quota::list(zk, rest).await?,
        "ls" => ls(zk, rest, false).await?,
        "ls2" => {
            eprintln!("'ls2' has been deprecated. Please use 'ls [-s] path' instead.");
            ls(zk, rest, true).await?;
        }
        "reconfig" => reconfig(zk, rest).await?,
        "removewatches" => remove_watches(zk, rest).await?,
        "set" => set(zk, rest).await?,
        "setAcl" => set_acl(zk, rest).await?,
        "setquota" => quota::set(zk, rest).await?,
        "stat" => stat(zk, rest).await?,
        "sync" => sync(zk, rest).await?,
        "version" => println!("ZooKeeper CLI version: {}", version::full()),
        "whoami" => who_am_i(zk).await?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// The usage line of a command, as its failure.
pub(super) fn usage(name: &str) -> Failure {
    let takes = COMMANDS.iter().find(|(other, _)| *other == name).map_or("", |(_, takes)| takes);
    format!("{name} {takes}").into()
}

/// The first word, which must be a path, of at least `least` words.
pub(super) fn path_of<'a>(name: &str, words: &'a Words, least: usize) -> Result<&'a str, Failure> {
    if words.args.len() < least {
        return Err(usage(name));
    }
    check_path(&words.args[0])?;
    Ok(&words.args[0])
}

/// What an error is called where people type.
pub(super) fn failed(error: &Error, path: &str) -> Failure {
    let Some(code) = error.code() else { return error.to_string().into() };
    let text = match code {
        ErrorCode::NoNode => format!("Node does not exist: {path}"),
        ErrorCode::NoChildrenForEphemerals => format!("Ephemerals cannot have children: {path}"),
        ErrorCode::NodeExists => format!("Node already exists: {path}"),
        ErrorCode::NotEmpty => format!("Node not empty: {path}"),
        ErrorCode::NotReadOnly => format!("Not a read-only call: {path}"),
        ErrorCode::InvalidAcl => format!("Acl is not valid : {path}"),
        ErrorCode::NoAuth => format!("Insufficient permission : {path}"),
        ErrorCode::BadArguments => format!("Arguments are not valid : {path}"),
        ErrorCode::BadVersion => format!("version No is not valid : {path}"),
        ErrorCode::QuotaExceeded => format!("Quota has exceeded : {path}"),
        other => {
            let what = match other {
                ErrorCode::SessionExpired => "Session expired".to_owned(),
                ErrorCode::SessionMoved => "Session moved".to_owned(),
                ErrorCode::NoWatcher => "No such watcher".to_owned(),
                other => format!("{other:?}"),
            };
            let about = if path.is_empty() { String::new() } else { format!(" for {path}") };
            format!("KeeperErrorCode = {what}{about}")
        }
    };
    text.into()
}

/// Whether to leave a watch: by option, or as 3.4 had it, by any word behind the path.
fn wants_watch(name: &str, words: &Words, better: &str) -> bool {
    let old = words.args.len() > 1;
    if old {
        eprintln!("'{name} path [watch]' has been deprecated. Please use '{better}' instead.");
    }
    old || words.has('w')
}

async fn ls(zk: &Client, rest: &[String], with_stat: bool) -> Done {
    let words = Words::parse(rest, "?swR", "")?;
    let path = path_of("ls", &words, 1)?;
    let watch = wants_watch("ls", &words, "ls [-w] path");
    if words.has('R') {
        return each_below(zk, path, watch, async |path| println!("{path}")).await;
    }
    let (names, stat) = children(zk, path, watch).await.map_err(|error| failed(&error, path))?;
    println!("{}", print::list(&names));
    if with_stat || words.has('s') {
        println!("{}", print::stat(&stat));
    }
    Ok(())
}

async fn children(
    zk: &Client,
    path: &str,
    watch: bool,
) -> Result<(Vec<String>, crate::client::Stat), Error> {
    if !watch {
        return zk.children_and_stat(path).await;
    }
    let (names, stat, watch) = zk.children_and_watch(path).await?;
    watch.detach();
    Ok((names, stat))
}

/// Visits a znode and all below it, parents first, children sorted. Znodes that go meanwhile are
/// passed over.
pub(super) async fn each_below(
    zk: &Client,
    path: &str,
    watch: bool,
    mut visit: impl AsyncFnMut(&str),
) -> Done {
    if watch {
        let (_, watch) = zk.get_and_watch(path).await.map_err(|error| failed(&error, path))?;
        watch.detach();
    } else {
        zk.get(path).await.map_err(|error| failed(&error, path))?;
    }
    let mut stack = vec![path.to_owned()];
    while let Some(path) = stack.pop() {
        visit(&path).await;
        match children(zk, &path, watch).await {
            Ok((names, _)) => stack.extend(names.iter().rev().map(|name| join(&path, name))),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {}
            Err(error) => return Err(failed(&error, &path)),
        }
    }
    Ok(())
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path == "/" { format!("/{name}") } else { format!("{path}/{name}") }
}

async fn get(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "swbx", "")?;
    let path = path_of("get", &words, 1)?;
    let form = match (words.has('x'), words.has('b')) {
        (true, _) => Form::Hex,
        (false, true) => Form::Base64,
        (false, false) => Form::Plain,
    };
    let node = if wants_watch("get", &words, "get [-s] [-w] path") {
        zk.get_and_watch(path).await.map(|(node, watch)| {
            watch.detach();
            node
        })
    } else {
        zk.get(path).await
    };
    let node = node.map_err(|error| failed(&error, path))?;
    println!("{}", print::data(node.data.as_deref(), form));
    if words.has('s') {
        println!("{}", print::stat(&node.stat));
    }
    Ok(())
}

async fn stat(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "w", "")?;
    let path = path_of("stat", &words, 1)?;
    let stat = if wants_watch("stat", &words, "stat [-w] path") {
        zk.exists_and_watch(path).await.map(|(stat, watch)| {
            Watch::detach(watch);
            stat
        })
    } else {
        zk.exists(path).await
    };
    match stat.map_err(|error| failed(&error, path))? {
        Some(stat) => println!("{}", print::stat(&stat)),
        None => return Err(format!("Node does not exist: {path}").into()),
    }
    Ok(())
}

async fn set(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "sb", "v")?;
    let path = path_of("set", &words, 2)?;
    let data = if words.has('b') {
        print::parse_base64(&words.args[1])?
    } else {
        words.args[1].clone().into_bytes()
    };
    let stat = zk.set(path, &data, words.number('v')?).await;
    let stat = stat.map_err(|error| failed(&error, path))?;
    if words.has('s') {
        println!("{}", print::stat(&stat));
    }
    Ok(())
}

async fn create(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "esc", "t")?;
    if words.args.is_empty() {
        return Err(usage("create"));
    }
    let (e, s, c) = (words.has('e'), words.has('s'), words.has('c'));
    let ttl = match words.value('t').map(str::parse::<i64>) {
        None => None,
        Some(Ok(ttl)) => Some(ttl),
        Some(Err(_)) => return Err("-t argument must be a long value".to_owned().into()),
    };
    if c && (e || s) {
        let text =
            "-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.";
        return Err(text.to_owned().into());
    }
    let how = match ttl {
        Some(_) if e => {
            return Err("TTLs cannot be used with Ephemeral znodes".to_owned().into());
        }
        Some(_) if c => {
            return Err("TTLs cannot be used with Container znodes".to_owned().into());
        }
        Some(ttl) => Create::ttl_ms(ttl),
        None if e => Create::ephemeral(),
        None if c => Create::container(),
        None => Create::persistent(),
    };
    let how = if s { how.sequential() } else { how };
    // The suffix is still to come, so a sequential path may end in a slash.
    let path = words.args[0].as_str();
    check_path(if s && path.len() > 1 { path.trim_end_matches('/') } else { path })?;
    let how = match words.args.get(2) {
        Some(text) => how.acl(acl_of(text)),
        None => how,
    };
    let data = words.args.get(1).map_or(Data::NULL, |text| text.as_str().into());
    let created = zk.create(path, data, &how).await.map_err(|error| failed(&error, path))?;
    eprintln!("Created {created}");
    Ok(())
}

fn acl_of(text: &str) -> Vec<crate::client::Acl> {
    let (list, complaints) = print::parse_acl(text);
    complaints.iter().for_each(|complaint| eprintln!("{complaint}"));
    list
}

async fn delete(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "v")?;
    let path = path_of("delete", &words, 1)?;
    if words.args.len() > 1 {
        eprintln!(
            "'delete path [version]' has been deprecated. \
             Please use 'delete [-v version] path' instead."
        );
    }
    zk.delete(path, words.number('v')?).await.map_err(|error| failed(&error, path))
}

async fn delete_all(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "b")?;
    let path = path_of("deleteall", &words, 1)?;
    let batch = words.number::<usize>('b')?.unwrap_or(1000).max(1);
    let mut tree = vec![path.to_owned()];
    let mut next = 0;
    while let Some(parent) = tree.get(next).cloned() {
        next += 1;
        match zk.children(&parent).await {
            Ok(names) => tree.extend(names.iter().map(|name| join(&parent, name))),
            Err(error) if next > 1 && error.code() == Some(ErrorCode::NoNode) => {}
            Err(error) => return Err(failed(&error, &parent)),
        }
    }
    tree.reverse();
    let mut whole = true;
    for paths in tree.chunks(batch) {
        let deletes = paths.iter().fold(Transaction::new(), |all, path| all.delete(path, None));
        match zk.multi(&deletes).await {
            Ok(_) => {}
            Err(Error::MultiRefused { .. }) => whole = false,
            Err(error) => return Err(failed(&error, path)),
        }
    }
    if !whole {
        eprintln!("Failed to delete some node(s) in the subtree!");
    }
    Ok(())
}

async fn sync(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "")?;
    let path = path_of("sync", &words, 1)?;
    match zk.sync(path).await {
        Ok(()) => println!("Sync is OK"),
        Err(error) => {
            let code = error.code().map_or(0, ErrorCode::code);
            println!("Sync has failed. rc={code}");
        }
    }
    Ok(())
}

async fn get_acl(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "s", "")?;
    let path = path_of("getAcl", &words, 1)?;
    let (acl, stat) = zk.acl(path).await.map_err(|error| failed(&error, path))?;
    println!("{}", print::acl(&acl));
    if words.has('s') {
        println!("{}", print::stat(&stat));
    }
    Ok(())
}

async fn set_acl(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "sR", "v")?;
    let path = path_of("setAcl", &words, 2)?;
    let (acl, version) = (acl_of(&words.args[1]), words.number('v')?);
    if words.has('R') {
        let set = async |path: &str| {
            if let Err(error) = zk.set_acl(path, &acl, version).await {
                println!("{}", failed(&error, path).text);
            }
        };
        return each_below(zk, path, false, set).await;
    }
    let stat = zk.set_acl(path, &acl, version).await.map_err(|error| failed(&error, path))?;
    if words.has('s') {
        println!("{}", print::stat(&stat));
    }
    Ok(())
}

async fn add_auth(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "")?;
    let Some(scheme) = words.args.first() else { return Err(usage("addauth")) };
    let proof = words.args.get(1).map_or("", String::as_str);
    zk.auth(scheme, proof.as_bytes()).await.map_err(|error| failed(&error, ""))
}

async fn add_watch(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "m")?;
    let path = path_of("addWatch", &words, 1)?;
    let mode = match words.value('m').map(str::to_ascii_uppercase).as_deref() {
        None | Some("PERSISTENT_RECURSIVE") => WatchMode::Recursive,
        Some("PERSISTENT") => WatchMode::Persistent,
        Some(_) => return Err(usage("addWatch")),
    };
    zk.watch(path, mode).await.map(Watch::detach).map_err(|error| failed(&error, path))
}

async fn remove_watches(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "cdpral", "")?;
    let path = path_of("removewatches", &words, 1)?;
    let kind = match ['c', 'd', 'p', 'r'].into_iter().find(|flag| words.has(*flag)) {
        Some('c') => RemoveWatches::Children,
        Some('d') => RemoveWatches::Data,
        Some('p') => RemoveWatches::Persistent,
        Some('r') => RemoveWatches::Recursive,
        _ => RemoveWatches::Any,
    };
    zk.remove_watches(path, kind).await.map_err(|error| failed(&error, path))
}

async fn ephemerals(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "")?;
    let prefix = words.args.first().map_or("/", String::as_str);
    check_path(prefix)?;
    let paths = zk.ephemerals(prefix).await.map_err(|error| failed(&error, prefix))?;
    println!("{}", print::list(&paths));
    Ok(())
}

async fn count_descendants(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "", "")?;
    let path = path_of("getAllChildrenNumber", &words, 1)?;
    let count = zk.count_descendants(path).await.map_err(|error| failed(&error, path))?;
    println!("{count}");
    Ok(())
}

async fn who_am_i(zk: &Client) -> Done {
    let who = zk.who_am_i().await.map_err(|error| failed(&error, ""))?;
    println!("Auth scheme: User");
    who.iter().for_each(|(scheme, id)| println!("{scheme}: {id}"));
    Ok(())
}

async fn config(zk: &Client, rest: &[String]) -> Done {
    let words = Words::parse(rest, "sw", "")?;
    let mut get = vec!["/zookeeper/config".to_owned()];
    get.extend(
        ['s', 'w'].into_iter().filter(|flag| words.has(*flag)).map(|flag| format!("-{flag}")),
    );
    self::get(zk, &get).await
}

async fn reconfig(zk: &Client, rest: &[String]) -> Done {
    let asked = words::Asked::parse(rest)?;
    let Some(asked) = asked else { return Err(usage("reconfig")) };
    let members = match &asked.file {
        None => asked.members.clone(),
        Some(file) => Some(
            fs::read_to_string(file)
                .map_err(|error| format!("Error processing {file}: {error}"))?,
        ),
    };
    let change = match &members {
        Some(members) => Reconfig::Replace { members },
        None => {
            let (joining, leaving) = (asked.add.as_deref(), asked.remove.as_deref());
            Reconfig::Change { joining, leaving }
        }
    };
    let node = zk.reconfigure(change, asked.version).await.map_err(|error| failed(&error, ""))?;
    println!("Committed new configuration:\n{}", print::data(node.data.as_deref(), Form::Plain));
    if asked.stat {
        println!("{}", print::stat(&node.stat));
    }
    Ok(())
}

/// The session's state, as the prompt names it.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Disconnected => "CONNECTING",
        State::Connected { read_only: false, .. } => "CONNECTED",
        State::Connected { read_only: true, .. } => "CONNECTEDREADONLY",
        State::AuthFailed => "AUTH_FAILED",
        State::Expired | State::Closed => "CLOSED",
    }
}
