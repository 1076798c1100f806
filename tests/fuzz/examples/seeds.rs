// SPDX-License-Identifier: Apache-2.0
//! Makes seeds from what Java sent and wrote: `seeds FOLDER` fills a folder a target below it. And
//! of quotas, which the fixtures lack.

use std::{env, fs, io, path::Path};

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::Record,
    log::{append_log_header, append_record},
    proto::{Acl, Create, CreateKind, Request},
    txn::{CreateTxn, Txn, TxnEntry, TxnHeader, TxnKind},
};

fn main() -> io::Result<()> {
    let into = env::args().nth(1).expect("the folder to fill");
    let into = Path::new(&into);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    for entry in fs::read_dir(fixtures)? {
        let path = entry?.path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.extension().is_some_and(|ext| ext == "hex") {
            let capture = fs::read_to_string(&path)?;
            match name.split('-').next() {
                Some("election") => election(into, &name, &capture)?,
                Some("quorum") => quorum(into, &name, &capture)?,
                _ => client(into, &name, &capture)?,
            }
        } else if path.is_dir() {
            data_directory(into, &name, &path)?;
        }
    }
    member(into)?;
    quotas(into)
}

/// What both ends of a link said, the one that dialled first.
fn sides(capture: &str) -> [Vec<Vec<u8>>; 2] {
    ["> ", "< "].map(|mark| {
        let lines = capture.lines().filter_map(|line| line.strip_prefix(mark));
        lines.map(|line| bytes(line.split(' ').next().unwrap_or_default())).collect()
    })
}

/// An election link: as streams, and as a script for an election.
fn election(into: &Path, name: &str, capture: &str) -> io::Result<()> {
    let [dialler, other] = sides(capture);
    put(into, "vote", name, &[&[7, 0], dialler.concat().as_slice()].concat())?;
    put(into, "vote", &format!("{name}-back"), &[&[7, 1], other.concat().as_slice()].concat())?;
    let mut script = vec![0];
    for piece in dialler.concat().chunks(255) {
        script.extend([&[8, piece.len() as u8], piece].concat());
    }
    script.extend([15, 2, 200, 200]);
    put(into, "election", name, &script)
}

/// A quorum link: as streams, and as scripts for one who leads and for one who follows.
fn quorum(into: &Path, name: &str, capture: &str) -> io::Result<()> {
    let [learner, leader] = sides(capture);
    let stream =
        |who: u8, said: &[Vec<u8>]| [&[0xff, 0xff, 7, who], said.concat().as_slice()].concat();
    put(into, "packet", &format!("{name}-leader"), &stream(0, &leader))?;
    put(into, "packet", &format!("{name}-learner"), &stream(1, &learner))?;
    let told = |script: &mut Vec<u8>, said: &[Vec<u8>]| {
        for said in said {
            for piece in said.chunks(255) {
                script.extend([&[4, piece.len() as u8], piece].concat());
            }
            script.push(14);
        }
    };
    let mut leads = vec![0x0b, 14, 0x10];
    told(&mut leads, &learner);
    put(into, "member", &format!("{name}-leads"), &leads)?;
    let mut follows = vec![0x1b, 14, 3, 3, 2];
    told(&mut follows, &leader);
    put(into, "member", &format!("{name}-follows"), &follows)
}

/// Server 2 leads, and orders what a client wants; and it follows through each kind of remedy.
fn member(into: &Path) -> io::Result<()> {
    let info = [0x07, 5, 0, 0, 3, 0, 0];
    let agrees = [0x07, 3, 2, 0, 0];
    let acks = |zxid: u8| [0x07, 2, 3, zxid];
    let mut leads = vec![0x0b, 14, 0x10];
    leads.extend(info);
    leads.push(14);
    leads.extend(agrees);
    leads.push(14);
    leads.extend(acks(0x10));
    leads.push(14);
    // A client of server 3 asks for something.
    leads.extend([0x07, 5, 6, 77, 1, 0, 0, 14]);
    leads.extend(acks(0x11));
    leads.push(14);
    put(into, "member", "leads", &leads)?;
    let says = |what: u8, zxid: u8| [0x09, 4, what, zxid, 3, 5];
    let mut follows = vec![0x1b, 14, 3, 3, 2, 14];
    for (what, zxid) in
        [(0, 1), (1, 0), (6, 0x11), (10, 0x11), (4, 1), (5, 0), (6, 0x12), (10, 0x12)]
    {
        follows.extend(says(what, zxid));
        follows.push(14);
    }
    put(into, "member", "follows", &follows)
}

/// A subtree with soft and hard limits, and what goes up to them and beyond: as transactions, and
/// as a script for a whole server.
fn quotas(into: &Path) -> io::Result<()> {
    let create = |path: &'static str, data: &'static str| {
        let (path, data, acl) = (path.as_bytes(), Some(data.as_bytes()), Some(vec![Acl::OPEN]));
        Request::Create(Create { kind: CreateKind::Create, path, data, acl, flags: 0 })
    };
    let set = |path: &'static str, data: &'static str| Request::SetData {
        path: path.as_bytes(),
        data: Some(data.as_bytes()),
        version: -1,
    };
    let delete = |path: &'static str| Request::Delete { path: path.as_bytes(), version: -1 };
    let limits = "/zookeeper/quota/a/zookeeper_limits";
    let requests = [
        create("/a", "123"),
        create("/zookeeper/quota/a", ""),
        create(limits, "count=2,bytes=9=;byteHardLimit=12;countHardLimit=4"),
        create("/zookeeper/quota/a/zookeeper_stats", ""),
        create("/a/b", "456"),
        create("/a/b/c", "789"),
        create("/a/d", "0"),
        create("/a/e", "too many"),
        set("/a/b", "4567"),
        set("/a/b", "much too long"),
        delete("/a/d"),
        set(limits, "count=1"),
        set("/a/b", ""),
        delete(limits),
        set("/a", "free again"),
    ];
    put(into, "server", "quotas", &script(&requests))?;
    put(into, "log", "quotas", &log(&requests))
}

/// One client asks, and the disk does its work after each request.
fn script(requests: &[Request<'_>]) -> Vec<u8> {
    let mut script = vec![8, 0, 14];
    for request in requests {
        let mut body = vec![u8::try_from(request.op().code()).expect("a small code")];
        request.encode(&mut body);
        script.extend([3, u8::try_from(body.len()).expect("a short request")]);
        script.extend(body);
        script.push(14);
    }
    script
}

/// The log of a server that did as it was asked.
fn log(requests: &[Request<'_>]) -> Vec<u8> {
    let mut log = vec![7];
    append_log_header(&mut log);
    for (request, zxid) in requests.iter().zip(1..) {
        let txn = match request {
            Request::Create(Create { path, data, acl, .. }) => {
                let kind = TxnKind::Plain { ephemeral: false, create2: false };
                let (acl, parent_cversion) = (acl.clone(), -1);
                Txn::Create(CreateTxn { path, data: *data, acl, kind, parent_cversion })
            }
            Request::SetData { path, data, .. } => {
                Txn::SetData { path, data: *data, version: 1, reconfig: false }
            }
            Request::Delete { path, .. } => Txn::Delete { path, container: false },
            _ => unreachable!("it creates, sets and deletes"),
        };
        let op = txn.op().code();
        let header = TxnHeader { session: SessionId(7), cxid: 1, zxid: Zxid(zxid), time: 1, op };
        let mut entry = Vec::new();
        TxnEntry { header, txn, digest: None }.encode(&mut entry);
        append_record(&mut log, &entry);
    }
    log
}

/// What a client sent: as a stream, packet by packet, and as a script for a whole server.
fn client(into: &Path, name: &str, capture: &str) -> io::Result<()> {
    let mut stream = vec![0xff, 0xff, 7];
    let mut script = Vec::new();
    for (n, line) in capture.lines().filter_map(|line| line.strip_prefix("> ")).enumerate() {
        let bytes = bytes(line.split(' ').next().unwrap_or_default());
        put(into, "request", &format!("{name}-{n}"), &bytes[4..])?;
        for piece in bytes.chunks(255) {
            script.extend([&[0, piece.len() as u8], piece].concat());
        }
        script.push(14);
        stream.extend(bytes);
    }
    put(into, "server", name, &script)?;
    put(into, "frame", name, &stream)
}

fn data_directory(into: &Path, name: &str, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        let target = if file.starts_with("log.") { "log" } else { "snapshot" };
        let seed = [&[7], fs::read(&path)?.as_slice()].concat();
        put(into, target, &format!("{name}-{file}"), &seed)?;
    }
    Ok(())
}

fn put(into: &Path, target: &str, name: &str, seed: &[u8]) -> io::Result<()> {
    let folder = into.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), seed)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair| u8::from_str_radix(pair, 16).expect("a capture holds pairs of hex digits");
    digits.map(|pair| byte(std::str::from_utf8(pair).expect("a capture is ASCII"))).collect()
}
