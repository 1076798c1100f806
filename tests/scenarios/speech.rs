// SPDX-License-Identifier: Apache-2.0
//! Requests, replies and transactions in the words of a story.
//!
//! ```text
//! create PATH [DATA] [-e] [-s] [-c] [-2] [-t MS] [-a SCHEME:ID:PERMS]   delete PATH [-v VERSION]
//! set PATH DATA [-v VERSION]   get|ls|ls2|exists PATH [-w]   check PATH VERSION   sync PATH
//! addwatch PATH [-r]   removewatch PATH KIND   setwatches ZXID KIND=PATH ...   auth SCHEME PROOF
//! multi REQUEST ; REQUEST ...   multiread ...   ephemerals   whoami   acl PATH   ping   close
//! reconfig add LINE | reconfig remove ID
//! ```

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::Reader,
    proto::{
        Acl, Create, CreateKind, ErrorCode, Identity, OpResult, Request, Response, SetWatches, Stat,
    },
    txn::{Txn, TxnKind},
};

use crate::troupe::guest::Heard;

/// The words of a command, with its flags looked up by name.
struct Words<'a> {
    plain: Vec<&'a str>,
    flags: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Words<'a> {
        let mut words = text.split_whitespace().peekable();
        let (mut plain, mut flags) = (Vec::new(), Vec::new());
        while let Some(word) = words.next() {
            match word {
                "-v" | "-t" | "-a" => flags.push((word, words.next())),
                "-e" | "-s" | "-c" | "-2" | "-w" | "-r" => flags.push((word, None)),
                _ => plain.push(word),
            }
        }
        Words { plain, flags }
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == flag)
    }

    fn value(&self, flag: &str) -> Option<&'a str> {
        self.flags.iter().find(|(name, _)| *name == flag).and_then(|(_, value)| *value)
    }

    fn number(&self, flag: &str) -> Option<i64> {
        self.value(flag).map(|text| text.parse().expect("a number"))
    }

    fn version(&self) -> i32 {
        self.number("-v").map_or(-1, |version| version as i32)
    }

    fn path(&self) -> &'a [u8] {
        self.plain.get(1).expect("a path").as_bytes()
    }

    fn data(&self) -> Option<&'a [u8]> {
        match self.plain.get(2) {
            Some(&"null") => None,
            data => Some(data.copied().unwrap_or_default().as_bytes()),
        }
    }
}

/// Reads a request.
pub fn request(text: &str) -> Request<'_> {
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let parts = || rest.split(';').map(|part| request(part.trim())).collect();
    let words = Words::new(text);
    let watch = words.has("-w");
    match name {
        "create" => Request::Create(create(&words)),
        "delete" => Request::Delete { path: words.path(), version: words.version() },
        "set" => {
            Request::SetData { path: words.path(), data: words.data(), version: words.version() }
        }
        "get" => Request::GetData { path: words.path(), watch },
        "ls" => Request::GetChildren { path: words.path(), watch },
        "ls2" => Request::GetChildren2 { path: words.path(), watch },
        "exists" => Request::Exists { path: words.path(), watch },
        "acl" => Request::GetAcl { path: words.path() },
        "check" => Request::Check { path: words.path(), version: number(words.plain[2]) },
        "sync" => Request::Sync { path: words.path() },
        "addwatch" => Request::AddWatch { path: words.path(), mode: i32::from(words.has("-r")) },
        "removewatch" => {
            Request::RemoveWatches { path: words.path(), kind: number(words.plain[2]) }
        }
        "setwatches" => Request::SetWatches2(set_watches(&words)),
        "auth" => {
            let auth = words.plain[2].as_bytes();
            Request::Auth { kind: 0, scheme: words.path(), auth }
        }
        "reconfig" => reconfig(words.plain[1], words.plain[2].as_bytes()),
        "multi" => Request::Multi(parts()),
        "multiread" => Request::MultiRead(parts()),
        "ephemerals" => Request::GetEphemerals { prefix: b"" },
        "whoami" => Request::WhoAmI,
        "ping" => Request::Ping,
        "close" => Request::CloseSession,
        _ => panic!("no request is called {text:?}"),
    }
}

fn reconfig<'a>(how: &str, whom: &'a [u8]) -> Request<'a> {
    let (joining, leaving) = if how == "add" { (Some(whom), None) } else { (None, Some(whom)) };
    Request::Reconfig { joining, leaving, members: None, from_config: -1 }
}

fn create<'a>(words: &Words<'a>) -> Create<'a> {
    let (ttl, flags) = (words.number("-t"), i32::from(words.has("-s")) << 1);
    let (kind, flags) = match ttl {
        Some(ttl) => (CreateKind::Ttl { ttl }, 5 + flags / 2),
        None if words.has("-c") => (CreateKind::Container, 4),
        None if words.has("-2") => (CreateKind::Create2, flags + i32::from(words.has("-e"))),
        None => (CreateKind::Create, flags + i32::from(words.has("-e"))),
    };
    let acl = words.value("-a").map_or(Acl::OPEN, |text| {
        let (scheme, rest) = text.split_once(':').expect("SCHEME:ID:PERMS");
        let (id, perms) = rest.rsplit_once(':').expect("SCHEME:ID:PERMS");
        let who = Identity { scheme: scheme.as_bytes(), id: id.as_bytes() };
        Acl { perms: number(perms), who }
    });
    Create { kind, path: words.path(), data: words.data(), acl: Some(vec![acl]), flags }
}

fn set_watches<'a>(words: &Words<'a>) -> SetWatches<'a> {
    let mut watches = SetWatches { relative_zxid: number(words.plain[1]).into(), ..<_>::default() };
    for word in &words.plain[2..] {
        let (kind, path) = word.split_once('=').expect("KIND=PATH");
        let list = match kind {
            "data" => &mut watches.data,
            "exist" => &mut watches.exist,
            "child" => &mut watches.child,
            "persistent" => &mut watches.persistent,
            "recursive" => &mut watches.recursive,
            _ => panic!("no watches are called {kind}"),
        };
        list.push(path.as_bytes());
    }
    watches
}

pub fn number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} should be a number"))
}

/// Bytes as people read them; long ones are cut.
pub fn text(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(40)].escape_ascii();
    if bytes.len() > 40 { format!("{shown}... ({} bytes)", bytes.len()) } else { shown.to_string() }
}

fn data(data: Option<&[u8]>) -> String {
    data.map_or_else(|| "null".to_owned(), |data| format!("\"{}\"", text(data)))
}

fn list(paths: &[&[u8]]) -> String {
    let mut sorted = paths.to_vec();
    sorted.sort_unstable();
    match sorted.len() {
        0..6 => format!("[{}]", sorted.iter().map(|path| text(path)).collect::<Vec<_>>().join(" ")),
        n => format!("[{} .. {}, {n} paths]", text(sorted[0]), text(sorted[n - 1])),
    }
}

fn stat(stat: &Stat) -> String {
    let Stat { version, cversion, num_children, .. } = stat;
    let (c, m, p) = (stat.czxid.0, stat.mzxid.0, stat.pzxid.0);
    let owner = match stat.ephemeral_owner {
        0 => String::new(),
        owner => format!(", of {}", SessionId(owner)),
    };
    format!(
        "{{version {version}, cversion {cversion}, children {num_children}, \
         zxids {c:x} {m:x} {p:x}{owner}}}"
    )
}

pub fn error(err: i32) -> String {
    ErrorCode::from_code(err).map_or_else(|| format!("error {err}"), |code| format!("{code:?}"))
}

/// What a client is told.
pub fn heard(heard: &Heard) -> String {
    match heard {
        Heard::Greeting { session: SessionId::NONE, len, .. } => format!("expired, {len} bytes"),
        Heard::Greeting { session, timeout_ms, len, .. } => {
            format!("session {session} for {timeout_ms} ms, {len} bytes")
        }
        Heard::Event { kind, path, zxid } => {
            let kind = ["Created", "Deleted", "DataChanged", "ChildrenChanged"][*kind as usize - 1];
            format!("{kind} {} at {:x}", text(path), zxid.0)
        }
        Heard::Reply { xid, op, err, zxid, body } => {
            let mut r = Reader::new(body);
            let said = match err {
                0 => response(&Response::decode(*op, &mut r).expect("a reply")),
                err => error(*err),
            };
            assert!(r.is_empty(), "nothing follows the reply");
            format!("{xid} {op:?}: {said} at {:x}", zxid.0)
        }
    }
}

/// What a reply says.
pub fn response(response: &Response<'_>) -> String {
    match response {
        Response::Empty => "ok".to_owned(),
        Response::Path(path) => text(path),
        Response::Created { path, stat: of } => format!("{} {}", text(path), stat(of)),
        Response::Stat(of) => stat(of),
        Response::Data { data: of, stat: at } => format!("{} {}", data(*of), stat(at)),
        Response::Names(names) => list(names),
        Response::Children { names, stat: of } => format!("{} {}", list(names), stat(of)),
        Response::Multi(results) => results.iter().map(result).collect::<Vec<_>>().join("; "),
        Response::Identities(who) => {
            let one = |who: &Identity<'_>| format!("{}:{}", text(who.scheme), text(who.id));
            who.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Response::Acl { acl, .. } => format!("{acl:?}"),
        Response::Number(number) => number.to_string(),
        Response::Token(token) => data(*token),
    }
}

fn result(result: &OpResult<'_>) -> String {
    match result {
        OpResult::Create { path } => text(path),
        OpResult::Created { path, stat: of } => format!("{} {}", text(path), stat(of)),
        OpResult::Delete => "deleted".to_owned(),
        OpResult::SetData { stat: of } => stat(of),
        OpResult::Check => "checked".to_owned(),
        OpResult::GetData { data: of, .. } => data(*of),
        OpResult::GetChildren { names } => list(names),
        OpResult::Error { err: 0 } => "rolled back".to_owned(),
        OpResult::Error { err } => error(*err),
    }
}

/// What a client asks for.
pub fn asked(request: &Request<'_>) -> String {
    let op = request.op();
    match request {
        Request::Create(Create { path, .. })
        | Request::SetData { path, .. }
        | Request::Delete { path, .. }
        | Request::RemoveWatches { path, .. }
        | Request::AddWatch { path, .. } => format!("{op:?} {}", text(path)),
        Request::GetData { path, watch }
        | Request::Exists { path, watch }
        | Request::GetChildren { path, watch } => {
            format!("{op:?} {}{}", text(path), if *watch { " and watch" } else { "" })
        }
        Request::Auth { scheme, auth, .. } => format!("{op:?} {} {}", text(scheme), text(auth)),
        Request::SetWatches(watches) | Request::SetWatches2(watches) => {
            let mut said = format!("{op:?} since {:x}", watches.relative_zxid);
            for (kind, paths) in [
                ("data", &watches.data),
                ("exist", &watches.exist),
                ("child", &watches.child),
                ("persistent", &watches.persistent),
                ("recursive", &watches.recursive),
            ] {
                if !paths.is_empty() {
                    said += &format!(" {kind} {}", list(paths));
                }
            }
            said
        }
        _ => format!("{op:?}"),
    }
}

/// A transaction as it stands in the log.
pub fn txn(zxid: Zxid, session: SessionId, txn: &Txn<'_>) -> String {
    format!("{:x} {}", zxid.0, body(session, txn))
}

fn body(session: SessionId, txn: &Txn<'_>) -> String {
    match txn {
        Txn::Create(create) => {
            let kind = match create.kind {
                TxnKind::Plain { ephemeral: true, .. } => format!(" of {session}"),
                TxnKind::Plain { .. } => String::new(),
                TxnKind::Container => " as a container".to_owned(),
                TxnKind::Ttl { ttl } => format!(" for {ttl} ms"),
            };
            format!("create {}{kind}", text(create.path))
        }
        Txn::Delete { path, container: false } => format!("delete {}", text(path)),
        Txn::Delete { path, container: true } => format!("reap {}", text(path)),
        Txn::SetData { path, data: of, version, .. } => {
            format!("set {} to {} as version {version}", text(path), data(*of))
        }
        Txn::SetAcl { path, version, .. } => format!("setAcl {} version {version}", text(path)),
        Txn::Check { path, version } => format!("check {} {version}", text(path)),
        Txn::CreateSession { timeout_ms } => format!("open {session} for {timeout_ms} ms"),
        Txn::CloseSession { paths } => {
            format!("close {session} with {}", list(paths.as_deref().unwrap_or_default()))
        }
        Txn::Error { err } => error(*err),
        Txn::Multi(txns) => {
            let parts: Vec<String> = txns.iter().map(|txn| body(session, txn)).collect();
            format!("multi ({})", parts.join("; "))
        }
    }
}
