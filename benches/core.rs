// SPDX-License-Identifier: Apache-2.0
//! Micro-benchmarks of the core: `cargo bench`. To compare two states of the code on one machine,
//! and nothing else; what users get is measured by `benches/side-by-side`.

#[path = "../tests/driven/mod.rs"]
mod driven;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use driven::{Driven, create, packet};
use menagerie_core::{
    hash::Keyed,
    id::{LinkId, SessionId, Zxid},
    jute::{Reader, Record},
    log::append_record,
    proto::{EventKind, OpCode, Request, RequestHeader},
    tree::{Tree, digest},
    txn::{CreateTxn, Txn, TxnEntry, TxnHeader, TxnKind, apply},
    watch::{Kind, Watches},
    zoo::Sound,
};

const DATA: &[u8] = &[b'x'; 100];

const KEY: Keyed = Keyed::new((1, 2));

fn codec(c: &mut Criterion) {
    let requests = [
        ("getData", Request::GetData { path: b"/load/0000042", watch: false }),
        ("setData", Request::SetData { path: b"/load/0000042", data: Some(DATA), version: -1 }),
        ("create", create(b"/load/0000042", DATA)),
    ];
    let mut group = c.benchmark_group("codec");
    for (name, request) in requests {
        let packet = packet(1, &request);
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| {
                let mut r = Reader::new(black_box(&packet));
                let header = RequestHeader::decode(&mut r).expect("it was encoded");
                assert!(Request::decode(header.op, &mut r).is_ok());
            });
        });
        let mut out = Vec::with_capacity(1024);
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| {
                out.clear();
                black_box(&request).encode(&mut out);
            });
        });
    }
    let bytes =
        entry(1, Txn::SetData { path: b"/a", data: Some(DATA), version: 1, reconfig: false });
    group.bench_function("decode a log entry", |b| {
        b.iter(|| TxnEntry::decode(&mut Reader::new(black_box(&bytes))).is_ok());
    });
    group.finish();
}

fn header(zxid: i64, op: OpCode) -> TxnHeader {
    TxnHeader { session: SessionId(7), cxid: 1, zxid: Zxid(zxid), time: 1, op: op.code() }
}

fn entry(zxid: i64, txn: Txn<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    TxnEntry { header: header(zxid, txn.op()), txn, digest: None }.encode(&mut bytes);
    bytes
}

fn new_znode<'a>(path: &'a [u8], data: &'a [u8]) -> Txn<'a> {
    let kind = TxnKind::Plain { ephemeral: false, create2: false };
    Txn::Create(CreateTxn { path, data: Some(data), acl: None, kind, parent_cversion: -1 })
}

/// A tree of so many znodes under `/load`.
fn tree(znodes: u32) -> Tree {
    let mut tree = Tree::new(KEY);
    apply(&mut tree, &header(1, OpCode::Create), &new_znode(b"/load", b""), &mut ());
    for znode in 0..znodes {
        let path = format!("/load/{znode:07}");
        let header = header(i64::from(znode) + 2, OpCode::Create);
        apply(&mut tree, &header, &new_znode(path.as_bytes(), DATA), &mut ());
    }
    tree
}

fn applying(c: &mut Criterion) {
    let mut tree = tree(100_000);
    let mut zxid = 1_000_000;
    let mut group = c.benchmark_group("apply, 100,000 znodes");
    group.bench_function("setData", |b| {
        b.iter(|| {
            zxid += 1;
            let path = format!("/load/{:07}", zxid * 7919 % 100_000);
            let path = path.as_bytes();
            let txn = Txn::SetData { path, data: Some(DATA), version: 1, reconfig: false };
            apply(&mut tree, &header(zxid, OpCode::SetData), &txn, &mut ())
        });
    });
    group.bench_function("create and delete", |b| {
        b.iter(|| {
            zxid += 2;
            let path = b"/load/another";
            apply(&mut tree, &header(zxid, OpCode::Create), &new_znode(path, DATA), &mut ());
            let delete = Txn::Delete { path, container: false };
            apply(&mut tree, &header(zxid + 1, OpCode::Delete), &delete, &mut ())
        });
    });
    group.finish();
}

/// Whole requests through a node: from a frame to its reply.
fn requests(c: &mut Criterion) {
    let mut driven = Driven::new();
    let link = driven.connect();
    driven.frame(link, &packet(1, &create(b"/a", DATA)));
    driven.settle();
    let read = packet(2, &Request::GetData { path: b"/a", watch: false });
    let write = packet(3, &Request::SetData { path: b"/a", data: Some(DATA), version: -1 });
    let mut group = c.benchmark_group("a turn of 32 requests");
    group.throughput(Throughput::Elements(32));
    group.bench_function("reads", |b| {
        b.iter(|| {
            (0..32).for_each(|_| driven.frame(link, &read));
            driven.end_turn();
        });
    });
    group.bench_function("writes", |b| {
        b.iter(|| {
            (0..32).for_each(|_| driven.frame(link, &write));
            driven.settle();
        });
    });
    group.finish();
}

fn watches(c: &mut Criterion) {
    const HERD: u64 = 1_000;
    let mut group = c.benchmark_group("a change that 1,000 links watch");
    group.throughput(Throughput::Elements(HERD));
    for (name, kind) in [("persistent", Kind::Persistent), ("recursive", Kind::PersistentRecursive)]
    {
        let mut watches: Watches<(), Sound> = Watches::new(KEY, usize::MAX, Sound);
        for link in 0..HERD {
            watches.add(kind, LinkId(link), b"/a");
        }
        let (mut zxid, mut told) = (0, 0_u64);
        group.bench_function(name, |b| {
            b.iter(|| {
                zxid += 1;
                let tell = &mut |_, _: &[u8], (): &()| told += 1;
                watches.trigger(EventKind::DataChanged, b"/a", Zxid(zxid), &(), tell);
            });
        });
        assert!(told >= HERD, "everyone is told");
    }
    group.finish();
}

fn checksums(c: &mut Criterion) {
    let mut group = c.benchmark_group("checksums");
    group.throughput(Throughput::Bytes(DATA.len() as u64));
    group.bench_function("tree digest of a znode", |b| {
        let stat = tree(1).stored_stat(Tree::new(KEY).root());
        b.iter(|| digest::digest(black_box(b"/load/0000042"), Some(DATA), &stat));
    });
    let bytes = entry(1, new_znode(b"/load/0000042", DATA));
    let mut log = Vec::with_capacity(1024);
    group.bench_function("log record", |b| {
        b.iter(|| {
            log.clear();
            append_record(&mut log, black_box(&bytes));
        });
    });
    group.finish();
}

criterion_group!(benches, codec, applying, requests, watches, checksums);
criterion_main!(benches);
