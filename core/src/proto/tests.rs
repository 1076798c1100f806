// SPDX-License-Identifier: Apache-2.0
//! The client protocol against recorded bytes of Java ZooKeeper, and against arbitrary ones.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use proptest::{collection::vec, option, prelude::*, strategy::ValueTree};

use super::*;
use crate::{
    id::{SessionId, Zxid},
    jute::{Reader, Record},
};

const FIXTURES: [(&str, &str); 8] = {
    macro_rules! fixtures {
        ($($name:literal,)*) => {
            [$((
                $name,
                include_str!(concat!("../../../tests/fixtures/client-", $name, "-server.hex")),
            ),)*]
        };
    }
    fixtures![
        "3.4.6-java-client-3.4.6",
        "3.4.6-java-client-3.9.5",
        "3.9.5-java-client-3.4.6",
        "3.9.5-java-client-3.9.5",
        "reconnect-3.4.6-java-client-3.4.6",
        "reconnect-3.4.6-java-client-3.9.5",
        "reconnect-3.9.5-java-client-3.4.6",
        "reconnect-3.9.5-java-client-3.9.5",
    ]
};

#[test]
fn recorded_frames_read_and_write_back_the_same() {
    for (name, text) in FIXTURES {
        let mut asked = VecDeque::new();
        let mut seen = BTreeMap::new();
        let mut greeted = (false, false);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let from_client = line.starts_with('>');
            let hex = line[2..].split_whitespace().next().unwrap();
            let frame = &unhex(hex)[4..];
            let again = match (from_client, greeted) {
                (true, (false, _)) => {
                    greeted.0 = true;
                    rewrite::<ConnectRequest>(frame)
                }
                (true, _) => rewrite_request(frame, &mut asked),
                (false, (_, false)) => {
                    greeted.1 = true;
                    rewrite::<ConnectResponse>(frame)
                }
                (false, _) => rewrite_reply(frame, &mut asked, &mut seen),
            };
            assert_eq!(again, frame, "{name}: {line}");
        }
        assert_eq!(asked, [], "{name}: every request has its reply");
        let least = if name.starts_with("reconnect") { 3 } else { 10 };
        assert!(seen.len() >= least, "{name}: only {seen:?}");
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|c| (c as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn rewrite<'a, R: Record<'a>>(frame: &'a [u8]) -> Vec<u8> {
    let mut out = Vec::new();
    R::decode(&mut Reader::new(frame)).unwrap().encode(&mut out);
    out
}

fn rewrite_request(frame: &[u8], asked: &mut VecDeque<(i32, OpCode)>) -> Vec<u8> {
    let mut r = Reader::new(frame);
    let header = RequestHeader::decode(&mut r).unwrap();
    let request = Request::decode(header.op, &mut r).unwrap();
    assert!(r.is_empty());
    assert_eq!(request.op().code(), header.op);
    asked.push_back((header.xid, request.op()));
    let mut out = Vec::new();
    header.encode(&mut out);
    request.encode(&mut out);
    out
}

fn rewrite_reply(
    frame: &[u8],
    asked: &mut VecDeque<(i32, OpCode)>,
    seen: &mut BTreeMap<OpCode, usize>,
) -> Vec<u8> {
    let mut r = Reader::new(frame);
    let header = ReplyHeader::decode(&mut r).unwrap();
    let mut out = Vec::new();
    header.encode(&mut out);
    if header.xid == XID_NOTIFICATION {
        WatcherEvent::decode(&mut r).unwrap().encode(&mut out);
    } else {
        let at = asked.iter().position(|(xid, _)| *xid == header.xid).unwrap();
        let (_, op) = asked.remove(at).unwrap();
        *seen.entry(op).or_default() += 1;
        if header.err == 0 {
            Response::decode(op, &mut r).unwrap().encode(&mut out);
        }
    }
    assert!(r.is_empty());
    out
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..12)
}

fn stat() -> impl Strategy<Value = Stat> {
    (any::<[i64; 6]>(), any::<[i32; 5]>()).prop_map(|(l, i)| Stat {
        czxid: Zxid(l[0]),
        mzxid: Zxid(l[1]),
        ctime: l[2],
        mtime: l[3],
        version: i[0],
        cversion: i[1],
        aversion: i[2],
        ephemeral_owner: l[4],
        data_length: i[3],
        num_children: i[4],
        pzxid: Zxid(l[5]),
    })
}

/// Permissions, scheme and id of an ACL entry.
type Entry = (i32, Vec<u8>, Vec<u8>);

/// What any request or response can be made from.
#[derive(Clone, Debug)]
struct Stuff {
    texts: [Vec<u8>; 3],
    maybe: [Option<Vec<u8>>; 3],
    lists: [Vec<Vec<u8>>; 5],
    acls: Option<Vec<Entry>>,
    int: i32,
    long: i64,
    flag: bool,
    stat: Stat,
}

fn stuff() -> impl Strategy<Value = Stuff> {
    let list = || vec(bytes(), 0..4);
    (
        [bytes(), bytes(), bytes()],
        [option::of(bytes()), option::of(bytes()), option::of(bytes())],
        [list(), list(), list(), list(), list()],
        option::of(vec((any::<i32>(), bytes(), bytes()), 0..3)),
        (any::<i32>(), any::<i64>(), any::<bool>(), stat()),
    )
        .prop_map(|(texts, maybe, lists, acls, (int, long, flag, stat))| Stuff {
            texts,
            maybe,
            lists,
            acls,
            int,
            long,
            flag,
            stat,
        })
}

impl Stuff {
    fn list(&self, n: usize) -> Vec<&[u8]> {
        self.lists[n].iter().map(Vec::as_slice).collect()
    }

    fn acl(&self) -> Option<Vec<Acl<'_>>> {
        self.acls.as_ref().map(|acls| {
            acls.iter()
                .map(|(perms, scheme, id)| Acl { perms: *perms, who: Identity { scheme, id } })
                .collect()
        })
    }

    /// One request of every operation.
    fn requests(&self) -> Vec<Request<'_>> {
        let (path, int, watch) = (self.texts[0].as_slice(), self.int, self.flag);
        let data = self.maybe[0].as_deref();
        let create = |kind| {
            let acl = self.acl();
            Request::Create(Create { kind, path, data, acl, flags: int })
        };
        let mut writes = alloc::vec![
            create(CreateKind::Create),
            create(CreateKind::Create2),
            create(CreateKind::Container),
            create(CreateKind::Ttl { ttl: self.long }),
            Request::Delete { path, version: int },
            Request::SetData { path, data, version: int },
            Request::Check { path, version: int },
        ];
        let reads =
            alloc::vec![Request::GetData { path, watch }, Request::GetChildren { path, watch }];
        let watches = |second: bool| SetWatches {
            relative_zxid: self.long,
            data: self.list(0),
            exist: self.list(1),
            child: self.list(2),
            persistent: if second { self.list(3) } else { Vec::new() },
            recursive: if second { self.list(4) } else { Vec::new() },
        };
        let mut all = alloc::vec![
            Request::Multi(writes.clone()),
            Request::MultiRead(reads.clone()),
            Request::Exists { path, watch },
            Request::GetAcl { path },
            Request::SetAcl { path, acl: self.acl(), version: int },
            Request::GetChildren2 { path, watch },
            Request::Sync { path },
            Request::Ping,
            Request::Reconfig {
                joining: self.maybe[0].as_deref(),
                leaving: self.maybe[1].as_deref(),
                members: self.maybe[2].as_deref(),
                from_config: self.long,
            },
            Request::CheckWatches { path, kind: int },
            Request::RemoveWatches { path, kind: int },
            Request::DeleteContainer { path },
            Request::Auth { kind: int, scheme: path, auth: &self.texts[1] },
            Request::SetWatches(watches(false)),
            Request::SetWatches2(watches(true)),
            Request::Sasl { token: path },
            Request::GetEphemerals { prefix: path },
            Request::GetAllChildrenNumber { path },
            Request::AddWatch { path, mode: int },
            Request::WhoAmI,
            Request::CloseSession,
        ];
        all.append(&mut writes);
        all.extend(reads);
        all
    }

    /// One response of every shape, with an operation that it answers.
    fn responses(&self) -> Vec<(OpCode, Response<'_>)> {
        let (path, stat, data) = (self.texts[0].as_slice(), self.stat, self.maybe[0].as_deref());
        let results = alloc::vec![
            OpResult::Create { path },
            OpResult::Created { path, stat },
            OpResult::Delete,
            OpResult::SetData { stat },
            OpResult::Check,
            OpResult::GetData { data, stat },
            OpResult::GetChildren { names: self.list(0) },
            OpResult::Error { err: self.int },
        ];
        let who = Identity { scheme: &self.texts[1], id: &self.texts[2] };
        alloc::vec![
            (OpCode::Delete, Response::Empty),
            (OpCode::Create, Response::Path(path)),
            (OpCode::Create2, Response::Created { path, stat }),
            (OpCode::Exists, Response::Stat(stat)),
            (OpCode::GetData, Response::Data { data, stat }),
            (OpCode::GetAcl, Response::Acl { acl: self.acl(), stat }),
            (OpCode::GetChildren, Response::Names(self.list(1))),
            (OpCode::GetChildren2, Response::Children { names: self.list(1), stat }),
            (OpCode::Multi, Response::Multi(results)),
            (OpCode::Sasl, Response::Token(data)),
            (OpCode::AddWatch, Response::Number(self.int)),
            (OpCode::WhoAmI, Response::Identities(alloc::vec![who, who])),
        ]
    }
}

#[test]
fn the_properties_below_cover_every_request() {
    let stuff = stuff().new_tree(&mut Default::default()).unwrap().current();
    let mut covered: Vec<OpCode> = stuff.requests().iter().map(Request::op).collect();
    covered.extend([OpCode::Notification, OpCode::CreateSession, OpCode::Error]);
    covered.sort_unstable();
    let mut all = OpCode::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(covered, all);
}

proptest! {
    #[test]
    fn requests_read_back(stuff in stuff()) {
        for request in stuff.requests() {
            let mut out = Vec::new();
            request.encode(&mut out);
            let mut r = Reader::new(&out);
            prop_assert_eq!(Request::decode(request.op().code(), &mut r), Ok(request));
            prop_assert!(r.is_empty());
        }
    }

    #[test]
    fn responses_read_back(stuff in stuff()) {
        for (op, response) in stuff.responses() {
            let mut out = Vec::new();
            response.encode(&mut out);
            let mut r = Reader::new(&out);
            prop_assert_eq!(Response::decode(op, &mut r), Ok(response));
            prop_assert!(r.is_empty());
        }
    }

    #[test]
    fn the_handshake_reads_back(
        numbers in any::<(i32, i64, i32, i64)>(),
        password in bytes(),
        read_only in option::of(any::<bool>()),
    ) {
        let (protocol_version, zxid, timeout_ms, session) = numbers;
        let (session, password) = (SessionId(session), password.as_slice());
        let last_zxid_seen = Zxid(zxid);
        let mut out = Vec::new();
        let request = ConnectRequest {
            protocol_version, last_zxid_seen, timeout_ms, session, password, read_only,
        };
        request.encode(&mut out);
        prop_assert_eq!(ConnectRequest::decode(&mut Reader::new(&out)), Ok(request));
        out.clear();
        let response =
            ConnectResponse { protocol_version, timeout_ms, session, password, read_only };
        response.encode(&mut out);
        prop_assert_eq!(ConnectResponse::decode(&mut Reader::new(&out)), Ok(response));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        for op in OpCode::ALL {
            let _ = Request::decode(op.code(), &mut Reader::new(&bytes));
            let _ = Response::decode(*op, &mut Reader::new(&bytes));
        }
        let _ = ConnectRequest::decode(&mut Reader::new(&bytes));
        let _ = ConnectResponse::decode(&mut Reader::new(&bytes));
        let _ = WatcherEvent::decode(&mut Reader::new(&bytes));
    }

    #[test]
    fn cut_bodies_are_malformed_or_whole(stuff in stuff(), cut in any::<prop::sample::Index>()) {
        for request in stuff.requests() {
            let mut out = Vec::new();
            request.encode(&mut out);
            if out.is_empty() {
                continue;
            }
            let mut r = Reader::new(&out[..cut.index(out.len())]);
            prop_assert_eq!(
                Request::decode(request.op().code(), &mut r),
                Err(RequestError::Malformed)
            );
        }
    }
}
