// SPDX-License-Identifier: Apache-2.0
//! A client that asks for more than it reads: how much it is sent, and in which order.

use alloc::{vec, vec::Vec};

use super::ensemble_tests::Member;
use crate::{
    id::{LinkId, SessionId},
    jute::{Reader, Record},
    proto::{Acl, Create, CreateKind, ReplyHeader, Request, RequestHeader},
};

const LARGE: usize = 1 << 20;

/// A server alone, a client of it, and how many bytes that has not taken.
struct Slow {
    member: Member,
    link: LinkId,
    xid: i32,
    unsent: usize,
}

impl Slow {
    fn new() -> Slow {
        let mut member = Member::new(1);
        let link = member.link(7);
        member.connect(link, SessionId::NONE);
        member.sync();
        assert_eq!(member.heard(link).len(), 1, "a session");
        let mut slow = Slow { member, link, xid: 0, unsent: 0 };
        let data = vec![7; LARGE];
        for (path, data) in [(&b"/large"[..], &data[..]), (b"/n", b"0")] {
            let (kind, acl) = (CreateKind::Create, Some(vec![Acl::OPEN]));
            slow.ask(&Request::Create(Create { kind, path, data: Some(data), acl, flags: 0 }));
        }
        slow.member.sync();
        slow.take();
        slow
    }

    fn ask(&mut self, request: &Request<'_>) {
        self.xid += 1;
        let mut packet = Vec::new();
        RequestHeader { xid: self.xid, op: request.op().code() }.encode(&mut packet);
        request.encode(&mut packet);
        self.member.frame(self.link, &packet);
    }

    fn read(&mut self, path: &[u8]) {
        self.ask(&Request::GetData { path, watch: false });
    }

    fn write(&mut self, number: &[u8]) {
        self.ask(&Request::SetData { path: b"/n", data: Some(number), version: -1 });
    }

    /// What came since the last time: numbers of requests, with the data of short reads.
    fn told(&mut self) -> Vec<(i32, Vec<u8>)> {
        let frames = self.member.heard(self.link);
        self.unsent += frames.iter().map(|frame| frame.len() + 4).sum::<usize>();
        let told = |frame: &Vec<u8>| {
            let mut r = Reader::new(frame);
            let header = ReplyHeader::decode(&mut r).expect("a reply");
            let data = r.string().ok().filter(|data| data.len() < LARGE);
            (header.xid, data.unwrap_or_default().to_vec())
        };
        frames.iter().map(told).collect()
    }

    /// The same, all of it taken by the network.
    fn take(&mut self) -> Vec<(i32, Vec<u8>)> {
        let told = self.told();
        let Slow { member, link, .. } = self;
        let bytes = core::mem::take(&mut self.unsent);
        member.server.on_drained(*link, bytes, member.now, &mut member.fx);
        member.turn();
        told
    }
}

fn numbers(told: &[(i32, Vec<u8>)]) -> Vec<i32> {
    told.iter().map(|(xid, _)| *xid).collect()
}

#[test]
fn a_link_is_owed_a_few_answers_at_most() {
    let mut slow = Slow::new();
    (0..1000).for_each(|_| slow.read(b"/large"));
    let mut found = Vec::new();
    while found.len() < 1000 {
        let told = slow.take();
        assert!((1..=5).contains(&told.len()), "{} answers of a MiB", told.len());
        found.extend(numbers(&told));
    }
    assert_eq!(found, (3..1003).collect::<Vec<_>>());
}

#[test]
fn a_read_never_shows_a_later_write_of_its_own_client() {
    let mut slow = Slow::new();
    for number in [b"1", b"2", b"3"] {
        slow.write(number);
        (0..10).for_each(|_| slow.read(b"/large"));
        slow.read(b"/n");
    }
    slow.member.sync();
    let mut told = Vec::new();
    while told.len() < 36 {
        told.extend(slow.take());
        slow.member.sync();
    }
    assert_eq!(numbers(&told), (3..39).collect::<Vec<_>>());
    for (nth, number) in [b"1", b"2", b"3"].into_iter().enumerate() {
        assert_eq!(told[12 * nth + 11].1, number, "between write {number:?} and the next");
    }
}

#[test]
fn a_write_behind_many_reads_waits_for_them() {
    let mut slow = Slow::new();
    slow.write(b"1");
    (0..33).for_each(|_| slow.read(b"/large"));
    slow.write(b"2");
    slow.read(b"/n");
    slow.write(b"3");
    slow.member.sync();
    let told = slow.told();
    assert!(told.len() <= 6, "{} answers", told.len());
    let mut told = numbers(&told);
    while told.len() < 37 {
        told.extend(numbers(&slow.take()));
        slow.member.sync();
    }
    assert_eq!(told, (3..40).collect::<Vec<_>>());
}

#[test]
fn writes_that_waited_are_under_way_together_once_little_stands_before_them() {
    let mut client = Slow::new();
    client.write(b"1");
    (0..40).for_each(|_| client.read(b"/n"));
    for number in [b"2", b"3", b"4"] {
        client.write(number);
        client.read(b"/n");
    }
    client.member.sync_once();
    assert_eq!(numbers(&client.take()), (3..44).collect::<Vec<_>>());
    client.member.sync_once();
    let told = client.take();
    assert_eq!(numbers(&told), (44..50).collect::<Vec<_>>());
    let read: Vec<&[u8]> = told.iter().skip(1).step_by(2).map(|(_, data)| &data[..]).collect();
    assert_eq!(read, [b"2", b"3", b"4"]);
}
