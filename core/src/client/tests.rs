// SPDX-License-Identifier: Apache-2.0
//! Transcripts: what goes into a client, and exactly what comes out.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::*;
use crate::{
    jute::Write,
    proto::{Create, CreateKind, Stat},
};

const PASSWORD: [u8; PASSWORD_LEN] = [7; PASSWORD_LEN];

/// A client with its driver and a hand-made server. Everything the client does is a line.
struct Stage {
    client: Client,
    fx: Effects,
    now: Instant,
    link: LinkId,
    greeted: bool,
}

impl Stage {
    fn new(connect: &str) -> Stage {
        Stage::with(Config::new(connect.parse().unwrap(), 9000, 1))
    }

    fn with(config: Config) -> Stage {
        let client = Client::new(config);
        Stage { client, fx: Effects::new(), now: Instant::ZERO, link: LinkId(0), greeted: false }
    }

    /// A session that stands.
    fn connected(connect: &str) -> Stage {
        let mut stage = Stage::new(connect);
        stage.reach();
        stage.greet(0x11, 9000);
        stage
    }

    /// Lets the client dial and the link stand.
    fn reach(&mut self) -> Vec<String> {
        let mut lines = self.wait();
        let link = self.link;
        lines.extend(self.turn(&[Input::LinkUp { link }]));
        lines
    }

    /// Time passes until the client asked to be called.
    fn wait(&mut self) -> Vec<String> {
        self.now = self.now.max(self.client.poll_timeout().expect("something to wait for"));
        self.turn(&[Input::Time])
    }

    fn turn(&mut self, inputs: &[Input<'_>]) -> Vec<String> {
        for input in inputs {
            self.client.handle(self.now, *input, &mut self.fx);
        }
        self.client.flush(self.now, &mut self.fx);
        let mut lines = Vec::new();
        for effect in self.fx.take_list() {
            match &effect {
                Effect::Dial { link, host } => {
                    (self.link, self.greeted) = (*link, false);
                    lines.push(format!("dial {host}"));
                }
                Effect::Send { link, bytes } => {
                    assert_eq!(*link, self.link);
                    let bytes = self.fx.bytes()[bytes.clone()].to_vec();
                    self.sent(&bytes, &mut lines);
                }
                Effect::HangUp { link } => {
                    assert_eq!(*link, self.link);
                    lines.push("hang up".to_string());
                }
                Effect::State(state) => lines.push(format!("{state:?}")),
                Effect::Notice(notice) => lines.push(show_notice(notice)),
                Effect::Reply(reply) => lines.push(self.show_reply(reply)),
            }
        }
        self.fx.clear();
        lines
    }

    fn sent(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let mut frame = Reader::new(r.string().unwrap());
            if !self.greeted {
                self.greeted = true;
                let c = ConnectRequest::decode(&mut frame).unwrap();
                assert_eq!(c.read_only, Some(self.client.read_only));
                let (session, seen, ms) = (c.session, c.last_zxid_seen, c.timeout_ms);
                lines.push(format!("> connect {session} seen {seen} {ms} ms"));
            } else {
                let header = RequestHeader::decode(&mut frame).unwrap();
                let request = Request::decode(header.op, &mut frame).unwrap();
                lines.push(format!("> {} {}", header.xid, show_request(&request)));
            }
            assert!(frame.is_empty());
        }
    }

    fn show_reply(&self, reply: &Reply) -> String {
        let text = match self.fx.response(reply) {
            Err(err) => format!("{:?}", ErrorCode::from_code(err).unwrap()),
            Ok(Response::Path(path)) => text(path),
            Ok(Response::Empty) => "ok".to_string(),
            Ok(Response::Stat(stat)) => format!("version {}", stat.version),
            Ok(Response::Data { data, .. }) => text(data.unwrap_or_default()),
            Ok(other) => format!("{other:?}"),
        };
        format!("{} = {text} @{}", reply.id.0, reply.zxid)
    }

    fn deliver(&mut self, bytes: &[u8]) -> Vec<String> {
        self.turn(&[Input::Bytes { link: self.link, bytes }])
    }

    fn greet(&mut self, session: i64, timeout_ms: i32) -> Vec<String> {
        self.deliver(&greeting(session, timeout_ms, false))
    }

    fn submit(&mut self, id: u64, request: &Request<'_>) -> Vec<String> {
        self.turn(&[Input::Submit { id: RequestId(id), request }])
    }

    fn down(&mut self) -> Vec<String> {
        self.turn(&[Input::LinkDown { link: self.link }])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(list: &[&[u8]]) -> String {
    list.iter().map(|path| text(path)).collect::<Vec<_>>().join(" ")
}

fn show_notice(notice: &Notice) -> String {
    let ids: Vec<u64> = notice.watches.iter().map(|id| id.0).collect();
    format!("{:?} {} for {ids:?}", notice.kind, text(&notice.path))
}

fn show_request(request: &Request<'_>) -> String {
    let op = request.op();
    match request {
        Request::Create(Create { path, .. })
        | Request::GetData { path, .. }
        | Request::Exists { path, .. }
        | Request::GetChildren { path, .. }
        | Request::AddWatch { path, .. }
        | Request::RemoveWatches { path, .. } => format!("{op:?} {}", text(path)),
        Request::Auth { scheme, auth, .. } => format!("Auth {} {}", text(scheme), text(auth)),
        Request::SetWatches(w) | Request::SetWatches2(w) => format!(
            "{op:?} since 0x{:x} data [{}] exist [{}] child [{}] persistent [{}] recursive [{}]",
            w.relative_zxid,
            texts(&w.data),
            texts(&w.exist),
            texts(&w.child),
            texts(&w.persistent),
            texts(&w.recursive)
        ),
        _ => format!("{op:?}"),
    }
}

fn frame(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mark = begin_frame(&mut out);
    write(&mut out);
    end_frame(&mut out, mark);
    out
}

fn greeting(session: i64, timeout_ms: i32, read_only: bool) -> Vec<u8> {
    let (session, read_only) = (SessionId(session), Some(read_only));
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms,
        session,
        password: &PASSWORD,
        read_only,
    };
    frame(|out| response.encode(out))
}

fn reply(xid: i32, zxid: i64, err: i32, body: &Response<'_>) -> Vec<u8> {
    frame(|out| {
        ReplyHeader { xid, zxid: Zxid(zxid), err }.encode(out);
        body.encode(out);
    })
}

fn notification(kind: i32, path: &str) -> Vec<u8> {
    frame(|out| {
        ReplyHeader { xid: XID_NOTIFICATION, zxid: Zxid(5), err: 0 }.encode(out);
        WatcherEvent { kind, state: 3, path: path.as_bytes() }.encode(out);
    })
}

fn get(path: &str, watch: bool) -> Request<'_> {
    Request::GetData { path: path.as_bytes(), watch }
}

fn data(data: &str) -> Response<'_> {
    Response::Data { data: Some(data.as_bytes()), stat: Stat::default() }
}

#[test]
fn a_session_opens_and_answers_in_order() {
    let mut s = Stage::new("a");
    assert_eq!(s.wait(), ["dial a:2181"]);
    let up = Input::LinkUp { link: s.link };
    assert_eq!(s.turn(&[up]), ["> connect 0x0 seen 0x0 9000 ms"]);
    assert_eq!(s.submit(1, &get("/early", false)), [""; 0], "waits for the session");
    assert_eq!(
        s.greet(0x11, 6000),
        [
            "Connected { session: SessionId(17), timeout_ms: 6000, resumed: false, \
             read_only: false }",
            "> 1 GetData /early",
        ]
    );
    assert_eq!(s.submit(2, &get("/x", false)), ["> 2 GetData /x"]);
    let both = [reply(1, 4, 0, &data("e")), reply(2, 4, -101, &Response::Empty)].concat();
    assert_eq!(s.deliver(&both), ["1 = e @0x4", "2 = NoNode @0x4"]);
    assert_eq!(s.client.last_zxid(), Zxid(4));
    assert_eq!(s.client.session(), (SessionId(0x11), &PASSWORD[..]));
}

#[test]
fn a_turns_requests_go_out_in_one_piece() {
    let mut s = Stage::connected("a");
    let (a, b) = (get("/a", false), get("/b", false));
    let submit = |id, request| Input::Submit { id: RequestId(id), request };
    s.client.handle(s.now, submit(1, &a), &mut s.fx);
    s.client.handle(s.now, submit(2, &b), &mut s.fx);
    assert_eq!(s.fx.list(), []);
    s.client.flush(s.now, &mut s.fx);
    assert!(matches!(s.fx.list(), [Effect::Send { .. }]));
    assert_eq!(s.client.outstanding(), 2);
}

#[test]
fn pings_at_a_third_and_gives_up_at_two_thirds() {
    let mut s = Stage::connected("a");
    assert_eq!(s.client.poll_timeout(), Some(Instant::from_millis(3000)));
    assert_eq!(s.wait(), ["> -2 Ping"]);
    s.now = Instant::from_millis(3010);
    assert_eq!(s.deliver(&reply(XID_PING, 9, 0, &Response::Empty)), [""; 0]);
    assert_eq!(s.client.last_zxid(), Zxid::ZERO, "a pong shows nothing of the tree");
    assert_eq!(s.wait(), ["> -2 Ping"]);
    assert_eq!(s.now, Instant::from_millis(6000));
    assert_eq!(s.wait(), ["> -2 Ping"]);
    assert_eq!(s.wait(), ["hang up", "Disconnected"]);
    assert_eq!(s.now, Instant::from_millis(9010));
}

#[test]
fn a_lost_link_loses_what_was_in_flight_and_brings_back_the_rest() {
    let mut s = Stage::connected("a");
    let auth = Input::Auth { id: RequestId(1), scheme: b"digest", auth: b"u:p" };
    assert_eq!(s.turn(&[auth]), ["> -4 Auth digest u:p"]);
    assert_eq!(s.deliver(&reply(XID_AUTH, 0, 0, &Response::Empty)), ["1 = ok @0x0"]);
    s.submit(2, &get("/d", true));
    s.submit(3, &Request::Exists { path: b"/e", watch: true });
    s.submit(4, &Request::GetChildren { path: b"/c", watch: true });
    s.deliver(&reply(1, 7, 0, &data("d")));
    s.deliver(&reply(2, 7, -101, &Response::Empty));
    s.deliver(&reply(3, 7, 0, &Response::Names(vec![])));
    s.submit(5, &get("/lost", false));
    assert_eq!(s.down(), ["Disconnected", "5 = ConnectionLoss @0x0"]);
    assert_eq!(s.submit(6, &get("/waits", true)), [""; 0]);
    assert_eq!(s.reach(), ["dial a:2181", "> connect 0x11 seen 0x7 9000 ms"]);
    assert_eq!(
        s.greet(0x11, 9000),
        [
            "Connected { session: SessionId(17), timeout_ms: 9000, resumed: true, \
             read_only: false }",
            "> -4 Auth digest u:p",
            "> -8 SetWatches since 0x7 data [/d] exist [/e] child [/c] persistent [] recursive []",
            "> 5 GetData /waits",
        ]
    );
    let both =
        [reply(XID_AUTH, 0, 0, &Response::Empty), reply(XID_SET_WATCHES, 8, 0, &Response::Empty)];
    assert_eq!(s.deliver(&both.concat()), [""; 0]);
    assert_eq!(s.deliver(&reply(5, 8, 0, &data("w"))), ["6 = w @0x8"]);
}

#[test]
fn a_fired_watch_is_noticed_before_the_reply_and_only_once() {
    let mut s = Stage::connected("a");
    s.submit(1, &get("/d", true));
    s.submit(2, &get("/d", true));
    s.deliver(&[reply(1, 4, 0, &data("d")), reply(2, 4, 0, &data("d"))].concat());
    s.submit(3, &Request::SetData { path: b"/d", data: None, version: -1 });
    let bytes = [notification(3, "/d"), reply(3, 5, 0, &Response::Stat(Stat::default()))].concat();
    assert_eq!(s.deliver(&bytes), ["DataChanged /d for [1, 2]", "3 = version 0 @0x5"]);
    assert_eq!(s.deliver(&notification(3, "/d")), ["DataChanged /d for []"]);
    s.down();
    s.reach();
    assert_eq!(s.greet(0x11, 9000).len(), 1, "nothing left to register again");
}

#[test]
fn what_still_comes_on_a_former_link_takes_nothing_from_a_frame() {
    let mut s = Stage::connected("a");
    s.submit(1, &get("/d", true));
    s.deliver(&reply(1, 4, 0, &data("d")));
    let former = s.link;
    s.down();
    s.reach();
    s.greet(0x11, 9000);
    let event = notification(3, "/d");
    let (head, rest) = event.split_at(12);
    assert_eq!(s.deliver(head), [""; 0]);
    assert_eq!(s.turn(&[Input::Bytes { link: former, bytes: b"late" }]), [""; 0]);
    assert_eq!(s.deliver(rest), ["DataChanged /d for [1]"]);
}

#[test]
fn persistent_watches_stay_until_removed() {
    let mut s = Stage::connected("a");
    s.submit(1, &Request::AddWatch { path: b"/p", mode: 0 });
    s.submit(2, &Request::AddWatch { path: b"/r", mode: 1 });
    let ok = Response::Number(0);
    s.deliver(&[reply(1, 4, 0, &ok), reply(2, 4, 0, &ok)].concat());
    assert_eq!(s.deliver(&notification(1, "/r/a/b")), ["Created /r/a/b for [2]"]);
    assert_eq!(s.deliver(&notification(4, "/p")), ["ChildrenChanged /p for [1]"]);
    s.submit(3, &Request::RemoveWatches { path: b"/p", kind: 3 });
    assert_eq!(
        s.deliver(&reply(3, 4, 0, &Response::Empty)),
        ["PersistentWatchRemoved /p for [1]", "3 = ok @0x4"]
    );
    s.down();
    s.reach();
    assert_eq!(
        s.greet(0x11, 9000)[1..],
        ["> -8 SetWatches2 since 0x4 data [] exist [] child [] persistent [] recursive [/r]"]
    );
}

#[test]
fn a_chroot_stands_before_every_path() {
    let mut s = Stage::connected("a/app");
    let create = Create { kind: CreateKind::Create, path: b"/n", data: None, acl: None, flags: 2 };
    assert_eq!(s.submit(1, &Request::Create(create)), ["> 1 Create /app/n"]);
    assert_eq!(s.submit(2, &get("/", true)), ["> 2 GetData /app"]);
    let bytes = [reply(1, 4, 0, &Response::Path(b"/app/n0000000001")), reply(2, 4, 0, &data(""))];
    assert_eq!(s.deliver(&bytes.concat()), ["1 = /n0000000001 @0x4", "2 =  @0x4"]);
    assert_eq!(s.deliver(&notification(3, "/app")), ["DataChanged / for [2]"]);
}

#[test]
fn hosts_are_tried_in_turn_and_a_failed_pass_fails_what_waits() {
    let mut s = Stage::new("a,b");
    s.submit(1, &get("/x", false));
    let first = s.wait();
    assert_eq!(s.down(), [""; 0]);
    let second = s.wait();
    let mut both = [first, second].concat();
    both.sort_unstable();
    assert_eq!(both, ["dial a:2181", "dial b:2181"]);
    assert_eq!(s.down(), ["1 = ConnectionLoss @0x0"]);
    let before = s.now;
    s.wait();
    assert!(s.now > before, "a failed pass makes it wait");
    let dialled = s.now;
    assert_eq!(s.wait(), ["hang up"]);
    assert_eq!(s.now, dialled + Duration::from_millis(4500), "half of the timeout for each host");
    assert_eq!(s.down(), [""; 0], "an answer that comes too late is ignored");
}

#[test]
fn an_expired_session_is_over() {
    let mut s = Stage::connected("a");
    s.submit(1, &get("/x", true));
    s.down();
    s.submit(2, &get("/x", true));
    let auth = Input::Auth { id: RequestId(3), scheme: b"digest", auth: b"u:p" };
    s.turn(&[auth]);
    s.reach();
    assert_eq!(
        s.greet(0, 0),
        ["hang up", "Expired", "2 = SessionExpired @0x0", "3 = SessionExpired @0x0"]
    );
    assert_eq!(s.submit(4, &get("/x", false)), ["4 = SessionExpired @0x0"]);
    assert_eq!(s.client.poll_timeout(), None);
    assert_eq!(s.turn(&[Input::Close]), [""; 0]);
}

#[test]
fn a_refused_identity_ends_the_session() {
    let mut s = Stage::connected("a");
    s.turn(&[Input::Auth { id: RequestId(1), scheme: b"digest", auth: b"nonsense" }]);
    s.submit(2, &get("/x", false));
    assert_eq!(
        s.deliver(&reply(XID_AUTH, 0, -115, &Response::Empty)),
        ["hang up", "AuthFailed", "2 = AuthFailed @0x0", "1 = AuthFailed @0x0"]
    );
    assert_eq!(s.submit(3, &get("/x", false)), ["3 = AuthFailed @0x0"]);
}

#[test]
fn an_unanswered_identity_is_proved_on_the_next_link() {
    let mut s = Stage::connected("a");
    s.turn(&[Input::Auth { id: RequestId(1), scheme: b"digest", auth: b"u:p" }]);
    assert_eq!(s.down(), ["Disconnected"]);
    s.reach();
    assert_eq!(s.greet(0x11, 9000)[1..], ["> -4 Auth digest u:p"]);
    assert_eq!(s.deliver(&reply(XID_AUTH, 0, 0, &Response::Empty)), ["1 = ok @0x0"]);
}

#[test]
fn closing_waits_for_what_was_submitted() {
    let mut s = Stage::connected("a");
    s.submit(1, &get("/x", false));
    assert_eq!(s.turn(&[Input::Close]), ["> 2 CloseSession"]);
    assert_eq!(s.submit(2, &get("/x", false)), ["2 = SessionExpired @0x0"]);
    let bytes = [reply(1, 4, 0, &data("x")), reply(2, 5, 0, &Response::Empty)].concat();
    assert_eq!(s.deliver(&bytes), ["1 = x @0x4", "hang up", "Closed"]);
    assert_eq!(s.down(), [""; 0]);
}

#[test]
fn closing_without_a_link_is_closed_at_once() {
    let mut s = Stage::new("a");
    s.submit(1, &get("/x", false));
    s.wait();
    assert_eq!(s.turn(&[Input::Close]), ["hang up", "Closed", "1 = ConnectionLoss @0x0"]);
    let link = s.link;
    assert_eq!(s.turn(&[Input::LinkUp { link }]), ["hang up"], "its dial succeeded meanwhile");
    let mut s = Stage::connected("a");
    s.turn(&[Input::Close]);
    assert_eq!(s.down(), ["Closed"]);
}

#[test]
fn nonsense_is_hung_up_on() {
    let wrong_xid = reply(2, 4, 0, &Response::Empty);
    let unasked = reply(1, 4, 0, &Response::Empty);
    let too_long = vec![0x7f, 0xff, 0xff, 0xff];
    let no_header = frame(|out| out.put_int(1));
    let no_path = frame(|out| {
        ReplyHeader { xid: XID_NOTIFICATION, zxid: Zxid(5), err: 0 }.encode(out);
        out.put_int(1);
    });
    for (n, bytes) in [wrong_xid, too_long, no_header, no_path].iter().enumerate() {
        let mut s = Stage::connected("a");
        s.submit(1, &get("/x", false));
        let want = ["hang up", "Disconnected", "1 = ConnectionLoss @0x0"];
        assert_eq!(s.deliver(bytes), want, "case {n}");
    }
    assert_eq!(Stage::connected("a").deliver(&unasked), ["hang up", "Disconnected"]);
    let mut s = Stage::new("a");
    s.reach();
    assert_eq!(s.deliver(&frame(|_| ())), ["hang up"]);
}

#[test]
fn read_only_servers_are_only_for_those_who_ask() {
    let mut s = Stage::new("a");
    s.reach();
    assert_eq!(s.deliver(&greeting(0x11, 9000, true)), ["hang up"]);
    let mut config = Config::new("a".parse().unwrap(), 9000, 1);
    config.read_only = true;
    let mut s = Stage::with(config);
    s.reach();
    s.deliver(&greeting(0x11, 9000, true));
    s.down();
    let again = s.reach();
    assert_eq!(again[1], "> connect 0x0 seen 0x0 9000 ms", "that session is only there");
    s.greet(0x12, 9000);
    s.down();
    assert_eq!(s.reach()[1], "> connect 0x12 seen 0x0 9000 ms");
}

#[test]
fn a_session_can_be_taken_over() {
    let mut config = Config::new("a".parse().unwrap(), 9000, 1);
    config.resume = Some((SessionId(0x77), PASSWORD.to_vec()));
    let mut s = Stage::with(config);
    assert_eq!(s.reach()[1], "> connect 0x77 seen 0x0 9000 ms");
    assert_eq!(s.greet(0x78, 9000), ["hang up"], "not the session that was asked for");
    s.reach();
    assert!(s.greet(0x77, 9000)[0].contains("resumed: true"));
}

#[test]
fn a_stream_may_be_cut_anywhere_and_clones_agree() {
    let mut whole = Stage::connected("a");
    whole.submit(1, &get("/x", true));
    let bytes = [
        reply(1, 4, 0, &data("x")),
        notification(3, "/x"),
        reply(XID_PING, 4, 0, &Response::Empty),
        notification(4, "/y"),
    ]
    .concat();
    for cut in 0..=bytes.len() {
        let mut s = Stage { client: whole.client.clone(), fx: Effects::new(), ..whole };
        let lines = [s.deliver(&bytes[..cut]), s.deliver(&bytes[cut..])].concat();
        let want = ["1 = x @0x4", "DataChanged /x for [1]", "ChildrenChanged /y for []"];
        assert_eq!(lines, want, "cut at {cut}");
    }
}
