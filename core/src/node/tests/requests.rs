// SPDX-License-Identifier: Apache-2.0
//! Requests that are answered, but not as they were meant.

use super::*;
use crate::proto::OpCode;

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
