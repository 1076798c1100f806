// SPDX-License-Identifier: Apache-2.0
//! Requests that are answered, but not as they were meant.

use super::*;
use crate::{
    io::Dir,
    log::{append_log_header, append_record},
    proto::OpCode,
    txn::{CreateTxn, Txn, TxnEntry, TxnHeader, TxnKind},
};

/// A packet of a multi of this kind, with one operation in it.
fn multi_of(kind: OpCode, op: &Request<'_>) -> Vec<u8> {
    let mut packet = Vec::new();
    RequestHeader { xid: 5, op: kind.code() }.encode(&mut packet);
    Request::Multi([op.clone()].into()).encode(&mut packet);
    packet
}

#[test]
fn a_multi_does_not_mix_reads_and_writes() {
    let mut bench = Bench::new("");
    let link = bench.client();
    for (kind, op, expected) in [
        (OpCode::Multi, create("/a", &[Acl::OPEN]), 0),
        (OpCode::Multi, data("/"), -5),
        (OpCode::MultiRead, data("/"), 0),
        (OpCode::MultiRead, create("/b", &[Acl::OPEN]), -5),
    ] {
        bench.packet(link, &multi_of(kind, &op));
        assert_eq!(codes(&bench.replies(link)), [(5, expected)], "{kind:?} {op:?}");
    }
    assert_eq!(bench.hung_up.len(), 0);
}

#[test]
fn a_request_over_the_limit_is_answered_in_its_turn() {
    let mut bench = Bench::new("");
    let link = bench.client();
    bench.disk_stands = true;
    bench.request(link, 1, &create("/a", &[Acl::OPEN]));
    let mut head = Vec::new();
    RequestHeader { xid: 2, op: OpCode::SetData.code() }.encode(&mut head);
    bench.turn(&mut [Input::Frame { link, frame: Frame::Oversized { len: 2 << 20, head: &head } }]);
    bench.request(link, 3, &data("/a"));
    bench.disk_goes_on();
    assert_eq!(codes(&bench.replies(link)), [(1, 0), (2, -5), (3, 0)]);
    assert_eq!(bench.hung_up.len(), 0);
}

/// A log may hold the ephemeral of a session whose opening, or whose end, it does not hold.
#[test]
fn ephemerals_of_sessions_that_nobody_knows_go_when_service_begins() {
    let mut log = Vec::new();
    append_log_header(&mut log);
    for (path, zxid) in [("/stays", 1), ("/stray-1", 2), ("/stray-2", 3)] {
        let kind = TxnKind::Plain { ephemeral: zxid > 1, create2: false };
        let op = OpCode::Create.code();
        let header = TxnHeader { session: SessionId(zxid), cxid: 1, zxid: Zxid(zxid), time: 1, op };
        let (path, acl) = (path.as_bytes(), Some([Acl::OPEN].into()));
        let txn = Txn::Create(CreateTxn { path, data: None, acl, kind, parent_cversion: -1 });
        let mut entry = Vec::new();
        TxnEntry { header, txn, digest: None }.encode(&mut entry);
        append_record(&mut log, &entry);
    }
    let mut disk = TestDisk::new();
    disk.put(Dir::Log, "log.1", &log);
    let mut bench = Bench::on(disk);
    // Two transactions more: what follows on this log comes to the same.
    assert!(bench.word(b"srvr").contains("Zxid: 0x5\n"));
    for _ in 0..2 {
        let link = bench.client();
        for (path, code) in [("/stays", 0), ("/stray-1", -101), ("/stray-2", -101)] {
            assert_eq!(codes(&bench.ask(link, 1, &data(path))), [(1, code)], "{path}");
        }
        bench = Bench::on(bench.disk.crash(|| false));
    }
}
