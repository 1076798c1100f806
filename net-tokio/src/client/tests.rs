// SPDX-License-Identifier: Apache-2.0
//! The façade over real sockets, against a server that follows a script.

use std::time::Duration;

use menagerie_core::{
    jute::{Reader, Record, begin_frame, end_frame},
    proto::{
        ConnectRequest, ConnectResponse, OpCode, OpResult, PASSWORD_LEN, ReplyHeader, Request,
        RequestHeader, Response, WatcherEvent, XID_NOTIFICATION,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A listener, and its address as a connect string.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn read_frame(link: &mut TcpStream) -> Vec<u8> {
    let len = link.read_u32().await.unwrap();
    let mut frame = vec![0; len as usize];
    link.read_exact(&mut frame).await.unwrap();
    frame
}

async fn write_frame(link: &mut TcpStream, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    let mark = begin_frame(&mut out);
    write(&mut out);
    end_frame(&mut out, mark);
    link.write_all(&out).await.unwrap();
}

/// Takes a connection's greeting and opens, resumes or (timeout 0) expires its session.
async fn greet(listener: &TcpListener, timeout_ms: i32) -> (TcpStream, SessionId) {
    let (mut link, _) = listener.accept().await.unwrap();
    let frame = read_frame(&mut link).await;
    let asked = ConnectRequest::decode(&mut Reader::new(&frame)).unwrap().session;
    let (session, password) = (SessionId(0x11), &[7; PASSWORD_LEN]);
    let response =
        ConnectResponse { protocol_version: 0, timeout_ms, session, password, read_only: None };
    write_frame(&mut link, |out| response.encode(out)).await;
    (link, asked)
}

/// Expects an operation and answers it.
async fn answer(link: &mut TcpStream, op: OpCode, err: ErrorCode, response: Response<'_>) {
    let frame = read_frame(link).await;
    let mut r = Reader::new(&frame);
    let header = RequestHeader::decode(&mut r).unwrap();
    assert_eq!(header.op, op.code());
    Request::decode(header.op, &mut r).unwrap();
    write_frame(link, |out| {
        ReplyHeader { xid: header.xid, zxid: Zxid(1), err: err.code() }.encode(out);
        response.encode(out);
    })
    .await;
}

async fn notify(link: &mut TcpStream, kind: i32, path: &str) {
    write_frame(link, |out| {
        ReplyHeader { xid: XID_NOTIFICATION, zxid: Zxid(2), err: 0 }.encode(out);
        WatcherEvent { kind, state: 3, path: path.as_bytes() }.encode(out);
    })
    .await;
}

fn data(bytes: &[u8]) -> Response<'_> {
    Response::Data { data: Some(bytes), stat: Stat::default() }
}

#[tokio::test]
async fn answers_watches_and_errors_reach_their_callers() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut link, _) = greet(&listener, 9000).await;
        answer(&mut link, OpCode::GetData, ErrorCode::Ok, data(b"one")).await;
        notify(&mut link, 3, "/a").await;
        answer(&mut link, OpCode::Exists, ErrorCode::NoNode, Response::Empty).await;
        notify(&mut link, 1, "/b").await;
        answer(&mut link, OpCode::Delete, ErrorCode::NotEmpty, Response::Empty).await;
        let results = [0, -101, -2].map(|err| OpResult::Error { err });
        answer(&mut link, OpCode::Multi, ErrorCode::Ok, Response::Multi(results.into())).await;
        answer(&mut link, OpCode::CloseSession, ErrorCode::Ok, Response::Empty).await;
    });
    let zk = Client::connect(&address).await.unwrap();
    assert_eq!(zk.session(), (SessionId(0x11), vec![7; PASSWORD_LEN]));
    let (node, mut watch) = zk.get_and_watch("/a").await.unwrap();
    assert_eq!(node.bytes(), b"one");
    let notice = watch.next().await.unwrap();
    assert_eq!((notice.kind, notice.path.as_str()), (NoticeKind::DataChanged, "/a"));
    assert_eq!(watch.next().await, None, "it fires once");
    let (stat, mut watch) = zk.exists_and_watch("/b").await.unwrap();
    assert_eq!(stat, None);
    assert_eq!(watch.next().await.unwrap().kind, NoticeKind::Created);
    let refused = zk.delete("/a", None).await.unwrap_err();
    assert_eq!(refused, Error::Refused { code: ErrorCode::NotEmpty, path: "/a".into() });
    let three = Transaction::new().delete("/a", None).delete("/b", None).check("/c", Some(3));
    let refused = zk.multi(&three).await.unwrap_err();
    assert_eq!(refused, Error::MultiRefused { index: 1, code: ErrorCode::NoNode });
    zk.close().await;
    assert_eq!(zk.state(), State::Closed);
    assert_eq!(zk.get("/a").await.unwrap_err().code(), Some(ErrorCode::SessionExpired));
    server.await.unwrap();
}

#[tokio::test]
async fn a_lost_link_is_replaced_and_the_session_resumed() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut link, asked) = greet(&listener, 9000).await;
        assert_eq!(asked, SessionId::NONE);
        read_frame(&mut link).await;
        drop(link);
        let (mut link, asked) = greet(&listener, 9000).await;
        assert_eq!(asked, SessionId(0x11));
        answer(&mut link, OpCode::GetData, ErrorCode::Ok, data(b"back")).await;
        link.read_u32().await.expect("closeSession, as the last handle is dropped");
    });
    let zk = Client::connect(&address).await.unwrap();
    let mut events = zk.events();
    let lost = zk.get("/a").await.unwrap_err();
    assert_eq!(lost.code(), Some(ErrorCode::ConnectionLoss));
    assert_eq!(zk.get("/a").await.unwrap().bytes(), b"back");
    assert_eq!(events.next().await, Some(Event::State(State::Disconnected)));
    let Some(Event::State(State::Connected { resumed, .. })) = events.next().await else {
        panic!("connected again");
    };
    assert!(resumed);
    drop(zk);
    server.await.unwrap();
}

#[tokio::test]
async fn an_expired_session_and_a_dead_server_are_errors() {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move { greet(&listener, 0).await.0 });
    let error = Client::connect(&address).await.err().unwrap();
    assert_eq!(error.code(), Some(ErrorCode::SessionExpired));
    drop(server.await.unwrap());
    let patience = Duration::from_millis(300);
    let error = Options::default().timeout(patience).connect(&address).await.err().unwrap();
    let Error::NotConnected { waited, trouble: Some(trouble) } = error else {
        panic!("{error:?}");
    };
    assert_eq!(waited, patience);
    assert!(trouble.starts_with(&address), "{trouble}");
}
