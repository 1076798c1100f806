// SPDX-License-Identifier: Apache-2.0
//! What simulated clients saw is judged as the world itself was, and whatever is changed in it is
//! found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::{Reader, Record},
    log::{append_log_header, append_record},
    proto::{OpCode, ReplyHeader, RequestHeader, XID_NOTIFICATION},
    txn::{Txn, TxnDigest, TxnEntry, TxnHeader},
};

use super::{
    judge::{cut, judge},
    *,
};
use crate::{
    campaign::HASH_KEY,
    oracle::{Cutter, Property},
    world::World,
};

/// Three servers under faults, and watches among what their clients leave.
const SEED: u64 = 4;

fn recorded(seed: u64) -> History {
    // Members that change are not told of.
    let mut worlds = (0..).map(|more| World::new(seed + 100 * more, HASH_KEY, Some(3)));
    let mut world = worlds.find(|world| !world.scenario.changes()).expect("most stay");
    world.record_history();
    world.run().expect("no promise is broken");
    world.history().expect("it was recorded")
}

/// A history with one frame in each line of what clients got, and without digests in its log: what
/// clients saw must do.
fn plain() -> History {
    static PLAIN: OnceLock<History> = OnceLock::new();
    let plain = || {
        let mut history = recorded(SEED);
        let mut heard = cut(&history);
        let lines = std::mem::take(&mut history.lines);
        for (at, line) in lines.into_iter().enumerate() {
            let What::Got { link, .. } = line.what else {
                history.lines.push(line);
                continue;
            };
            for (bytes, _) in heard.remove(&at).unwrap_or_default() {
                history.push(line.at, What::Got { link, bytes });
            }
        }
        for txn in &mut history.txns {
            let entry = TxnEntry::decode(&mut Reader::new(txn)).expect("it was logged");
            let mut bare = Vec::new();
            TxnEntry { digest: None, ..entry }.encode(&mut bare);
            *txn = bare;
        }
        history
    };
    PLAIN.get_or_init(plain).clone()
}

fn broken(history: &History) -> Option<Property> {
    let verdict = judge(history, &history.txns).expect("its transactions can be read");
    verdict.broken.map(|broken| broken.violation.property)
}

/// An answer: its line, its request's operation and body, and its head.
struct Answer {
    at: usize,
    op: OpCode,
    asked: Vec<u8>,
    header: ReplyHeader,
}

fn answers(history: &History) -> Vec<Answer> {
    let (mut asked, mut answers) = (BTreeMap::new(), Vec::new());
    let mut cutters: BTreeMap<u64, Cutter> = BTreeMap::new();
    let mut greeted = BTreeMap::new();
    for (at, line) in history.lines.iter().enumerate() {
        match &line.what {
            What::Sent { link, bytes } => cutters.entry(*link).or_default().push(bytes, |frame| {
                let mut reader = Reader::new(frame);
                if let Ok(header) = RequestHeader::decode(&mut reader) {
                    asked.insert((*link, header.xid), (header.op, reader.rest().to_vec()));
                }
            }),
            What::Got { link, bytes } if greeted.insert(*link, ()).is_some() => {
                let header = ReplyHeader::decode(&mut Reader::new(&bytes[4..]));
                let header = header.expect("servers send whole replies");
                let Some((op, asked)) = asked.remove(&(*link, header.xid)) else { continue };
                let Some(op) = OpCode::from_code(op) else { continue };
                answers.push(Answer { at, op, asked, header });
            }
            _ => {}
        }
    }
    answers
}

fn got(history: &mut History, at: usize) -> &mut Vec<u8> {
    match &mut history.lines[at].what {
        What::Got { bytes, .. } => bytes,
        other => panic!("{other:?} is no answer"),
    }
}

#[test]
fn a_history_comes_back_whole_from_its_text() {
    let history = plain();
    assert_eq!(History::parse(&history.to_string()), Ok(history));
    assert!(History::parse("menagerie-history 2\n").is_err());
    for line in ["5 sent x 00", "5 got 1 0g", "5 up 1", "calm", "7 calm 1\n6 calm 1"] {
        assert!(History::parse(&format!("menagerie-history 1\n{line}")).is_err(), "{line}");
    }
}

#[test]
fn what_simulated_clients_saw_is_judged_as_their_world_was() {
    let mut all = Counts::default();
    for seed in [SEED, 11, 12] {
        let history = recorded(seed);
        let verdict = judge(&history, &history.txns).expect("its transactions can be read");
        assert!(verdict.broken.is_none(), "seed {seed}: {:?}", verdict.broken.map(|b| b.shown));
        all.reads += verdict.counts.reads;
        all.writes += verdict.counts.writes;
        all.events += verdict.counts.events;
        all.resumed += verdict.counts.resumed;
        assert!(verdict.counts.transactions as usize <= history.txns.len());
        all.digests += verdict.counts.digests;
    }
    assert!(all.reads > 500 && all.writes > 500 && all.events > 50 && all.resumed > 5, "{all:?}");
    assert!(all.digests > 500, "{all:?}");
}

#[test]
fn a_log_of_3_4_says_less_and_nothing_else() {
    let folder = std::env::temp_dir().join(format!("menagerie-logs-{}", std::process::id()));
    let told = BTreeSet::from([(1 << 32) + 2]);
    let header = |n: i64, op: OpCode| TxnHeader {
        session: SessionId(7),
        cxid: 0,
        zxid: Zxid((1 << 32) + n),
        time: 5,
        op: op.code(),
    };
    let digest = Some(TxnDigest { version: 2, digest: 9 });
    let write = |name: &str, txns: [Txn<'_>; 3], digest| {
        let mut log = Vec::new();
        append_log_header(&mut log);
        for (n, txn) in (1..).zip(txns) {
            let mut entry = Vec::new();
            TxnEntry { header: header(n, txn.op()), txn, digest }.encode(&mut entry);
            append_record(&mut log, &entry);
        }
        fs::create_dir_all(folder.join(name)).expect("a folder");
        fs::write(folder.join(name).join("log.100000001"), log).expect("a log");
        folder.join(name)
    };
    let opens = || Txn::CreateSession { timeout_ms: 5 };
    let closes = |paths| Txn::CloseSession { paths };
    let last = || Txn::Error { err: -1 };
    let mut folders = vec![
        write("new", [opens(), closes(Some(vec![b"/a"])), last()], digest),
        write("old", [opens(), closes(None), last()], None),
    ];
    let all = committed(&folders, &told).expect("they agree");
    let entry = TxnEntry::decode(&mut Reader::new(&all[1])).expect("it was logged");
    assert_eq!((all.len(), entry.digest), (2, digest), "nobody was told of the third");
    folders.push(write("other", [last(), closes(None), last()], None));
    assert!(matches!(committed(&folders, &told), Err(Fault::Broken(_))));
    fs::remove_dir_all(&folder).expect("it is ours");
}

#[test]
fn nothing_is_broken_without_digests() {
    assert_eq!(broken(&plain()), None);
}

#[test]
fn a_lost_write_is_found() {
    let mut history = plain();
    let done = answers(&history);
    let done = done.iter().find(|one| one.op == OpCode::SetData && one.header.err == 0);
    let zxid = done.expect("something was written").header.zxid;
    let zxid_of = |txn: &Vec<u8>| TxnEntry::decode(&mut Reader::new(txn)).unwrap().header.zxid;
    history.txns.retain(|txn| zxid_of(txn) != zxid);
    assert_eq!(broken(&history), Some(Property::Agreement));
}

#[test]
fn a_write_that_was_not_asked_for_is_found() {
    let mut history = plain();
    let set = |txn: &&mut Vec<u8>| {
        let entry = TxnEntry::decode(&mut Reader::new(txn)).unwrap();
        matches!(entry.txn, Txn::SetData { data: Some(data), .. } if !data.is_empty())
    };
    let txn = history.txns.iter_mut().find(set).expect("something was written");
    // The version stands behind the data.
    let last = txn.len() - 5;
    txn[last] ^= 1;
    assert_eq!(broken(&history), Some(Property::Writes));
}

#[test]
fn a_read_of_old_data_is_found() {
    let mut history = plain();
    let mut seen: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for Answer { at, op, asked, header } in answers(&history) {
        if op != OpCode::GetData || header.err != 0 {
            continue;
        }
        let body = got(&mut history, at)[20..].to_vec();
        let old = seen.insert(asked[..asked.len() - 1].to_vec(), body.clone());
        if let Some(old) = old.filter(|old| *old != body) {
            let bytes = got(&mut history, at);
            bytes.truncate(20);
            bytes.extend(old);
            let length = (bytes.len() as u32 - 4).to_be_bytes();
            bytes[..4].copy_from_slice(&length);
            return assert_eq!(broken(&history), Some(Property::ExactTree));
        }
    }
    panic!("nothing was read twice");
}

#[test]
fn a_zxid_that_goes_back_is_found() {
    let mut history = plain();
    let all = answers(&history);
    let late = |one: &&Answer| one.op == OpCode::GetData && one.header.zxid.counter() > 100;
    let one = all.iter().find(late).expect("something was read");
    got(&mut history, one.at)[8..16].copy_from_slice(&(one.header.zxid.0 - 90).to_be_bytes());
    assert_eq!(broken(&history), Some(Property::SessionFifo));
}

#[test]
fn a_second_answer_is_found() {
    let mut history = plain();
    let all = answers(&history);
    let line = history.lines[all[all.len() / 2].at].clone();
    history.lines.insert(all[all.len() / 2].at, line);
    assert_eq!(broken(&history), Some(Property::SessionFifo));
}

#[test]
fn a_missed_event_is_found() {
    let mut history = plain();
    let event = |line: &Line| match &line.what {
        What::Got { bytes, .. } => {
            let header = ReplyHeader::decode(&mut Reader::new(&bytes[4..]));
            header.is_ok_and(|header| header.xid == XID_NOTIFICATION && header.zxid.0 > 0)
        }
        _ => false,
    };
    let at = history.lines.iter().position(event).expect("something was watched");
    history.lines.remove(at);
    assert_eq!(broken(&history), Some(Property::Watches));
}

#[test]
fn a_session_that_was_never_opened_is_found() {
    let mut history = plain();
    let opens = |txn: &Vec<u8>| {
        let entry = TxnEntry::decode(&mut Reader::new(txn)).unwrap();
        matches!(entry.txn, Txn::CreateSession { .. })
    };
    let at = history.txns.iter().position(opens).expect("sessions were opened");
    history.txns.remove(at);
    assert_eq!(broken(&history), Some(Property::Sessions));
}
