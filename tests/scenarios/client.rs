// SPDX-License-Identifier: Apache-2.0
//! A client on a small stage: its servers say what the story lets them say.
//!
//! ```text
//! client HOST,HOST[/CHROOT] MS       a client that asks for a session of so long
//! wait [MS]                          until the client is due, or so long
//! up | refused | breaks              what becomes of the link it dialled
//! greet NAME MS | greet expired      the server's answer to the handshake
//! ask REQUEST | auth SCHEME PROOF | close      see speech.rs
//! watch N PREFIX                     asks for N znodes with a watch each, and answers
//! reply XID ZXID ok|path PATH|data DATA|stat|error NUMBER
//! notify created|deleted|data|children PATH
//! bytes HEX                          anything
//! ```

use std::collections::BTreeMap;

use menagerie_core::{
    client::{Client, Config, Effect, Effects, Input, RequestId, State},
    id::{LinkId, SessionId, Zxid},
    jute::{Reader, Record, begin_frame, end_frame},
    proto::{
        ConnectRequest, ConnectResponse, PASSWORD_LEN, ReplyHeader, Request, RequestHeader,
        Response, Stat, WatcherEvent, XID_NOTIFICATION,
    },
    time::Instant,
};

use crate::speech;

pub struct Stage {
    client: Option<Client>,
    fx: Effects,
    now: Instant,
    link: LinkId,
    greeted: bool,
    ids: u64,
    sessions: BTreeMap<String, i64>,
    out: Vec<String>,
}

impl Stage {
    pub fn new() -> Stage {
        Stage {
            client: None,
            fx: Effects::new(),
            now: Instant::ZERO,
            link: LinkId(0),
            greeted: false,
            ids: 0,
            sessions: BTreeMap::new(),
            out: Vec::new(),
        }
    }

    pub fn command(&mut self, command: &str) -> Vec<String> {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        let link = self.link;
        match name {
            "client" => {
                let connect = words[0].parse().expect("a connect string");
                self.client = Some(Client::new(Config::new(connect, number(words[1]) as u32, 1)));
            }
            "wait" => self.wait(words.first().map(|ms| number(ms) as u64)),
            "up" => self.turn(Input::LinkUp { link }),
            "refused" | "breaks" => self.turn(Input::LinkDown { link }),
            "greet" => self.greet(&words),
            "ask" => self.submit(&speech::request(rest)),
            "watch" => self.watch(number(words[0]), words[1]),
            "auth" => {
                self.ids += 1;
                let (scheme, auth) = (words[0].as_bytes(), words[1].as_bytes());
                self.turn(Input::Auth { id: RequestId(self.ids), scheme, auth });
            }
            "close" => self.turn(Input::Close),
            "reply" => self.reply(&words),
            "notify" => self.notify(words[0], words[1]),
            "bytes" => {
                let byte = |at: usize| u8::from_str_radix(&rest[at..at + 2], 16).expect("hex");
                let bytes: Vec<u8> = (0..rest.len()).step_by(2).map(byte).collect();
                self.turn(Input::Bytes { link, bytes: &bytes });
            }
            _ => panic!("no command is called {command:?}"),
        }
        std::mem::take(&mut self.out)
    }

    fn wait(&mut self, ms: Option<u64>) {
        let due = self.client().poll_timeout();
        self.now = match ms {
            Some(ms) => Instant { micros: self.now.micros + ms * 1_000 },
            None => self.now.max(due.expect("something to wait for")),
        };
        self.out.push(format!("at {} ms:", self.now.millis()));
        self.turn(Input::Time);
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a story of a client begins with `client`")
    }

    fn submit(&mut self, request: &Request<'_>) {
        self.ids += 1;
        let id = RequestId(self.ids);
        self.turn(Input::Submit { id, request });
    }

    fn watch(&mut self, n: i32, prefix: &str) {
        for at in 0..n {
            let path = format!("{prefix}{at:05}");
            self.submit(&Request::GetData { path: path.as_bytes(), watch: true });
            self.reply(&[&self.ids.to_string(), "1", "data", "x"]);
        }
        let lines = self.out.len();
        self.out.clear();
        self.out.push(format!("{lines} lines of requests and replies"));
    }

    fn greet(&mut self, words: &[&str]) {
        let next = 0x1000 + self.sessions.len() as i64;
        let (session, timeout_ms) = match *words {
            ["expired"] => (0, 0),
            [name, ms] => (*self.sessions.entry(name.to_owned()).or_insert(next), number(ms)),
            _ => panic!("greet whom?"),
        };
        let greeting = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session: SessionId(session),
            password: &[7; PASSWORD_LEN],
            read_only: Some(false),
        };
        self.deliver(|out| greeting.encode(out));
    }

    fn reply(&mut self, words: &[&str]) {
        let (xid, zxid) = (number(words[0]), Zxid(number(words[1]).into()));
        let stat = Stat::default();
        let (err, body) = match words[2..] {
            ["ok"] => (0, Response::Empty),
            ["path", path] => (0, Response::Path(path.as_bytes())),
            ["data", data] => (0, Response::Data { data: Some(data.as_bytes()), stat }),
            ["stat"] => (0, Response::Stat(stat)),
            ["number"] => (0, Response::Number(0)),
            ["error", err] => (number(err), Response::Empty),
            _ => panic!("reply what?"),
        };
        self.deliver(|out| {
            ReplyHeader { xid, zxid, err }.encode(out);
            body.encode(out);
        });
    }

    fn notify(&mut self, kind: &str, path: &str) {
        let kinds = ["created", "deleted", "data", "children"];
        let kind = kinds.iter().position(|k| *k == kind).expect("a kind of event") as i32 + 1;
        self.deliver(|out| {
            ReplyHeader { xid: XID_NOTIFICATION, zxid: Zxid(9), err: 0 }.encode(out);
            WatcherEvent { kind, state: 3, path: path.as_bytes() }.encode(out);
        });
    }

    fn deliver(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        let mark = begin_frame(&mut bytes);
        write(&mut bytes);
        end_frame(&mut bytes, mark);
        let link = self.link;
        self.turn(Input::Bytes { link, bytes: &bytes });
    }

    fn turn(&mut self, input: Input<'_>) {
        let (now, mut fx) = (self.now, std::mem::take(&mut self.fx));
        self.client().handle(now, input, &mut fx);
        self.client().flush(now, &mut fx);
        for effect in fx.take_list() {
            self.show(&effect, &fx);
        }
        fx.clear();
        self.fx = fx;
    }

    fn show(&mut self, effect: &Effect, fx: &Effects) {
        let line = match effect {
            Effect::Dial { link, host } => {
                (self.link, self.greeted) = (*link, false);
                format!("dials {host}")
            }
            Effect::Send { bytes, .. } => return self.show_sent(&fx.bytes()[bytes.clone()]),
            Effect::HangUp { .. } => "hangs up".to_owned(),
            Effect::State(State::Connected { session, timeout_ms, resumed, .. }) => {
                let again = if *resumed { " again" } else { "" };
                format!("connected{again}: {}, {timeout_ms} ms", self.name(*session))
            }
            Effect::State(state) => format!("{state:?}"),
            Effect::Notice(notice) => {
                let whose: Vec<String> = notice.watches.iter().map(|id| id.0.to_string()).collect();
                let path = speech::text(&notice.path);
                format!("{:?} {path}, watched by {}", notice.kind, whose.join(" "))
            }
            Effect::Reply(reply) => match fx.response(reply) {
                Ok(said) => format!("{} is told: {}", reply.id.0, speech::response(&said)),
                Err(err) => format!("{} is told: {}", reply.id.0, speech::error(err)),
            },
        };
        self.out.push(line);
    }

    fn name(&self, session: SessionId) -> String {
        let named = self.sessions.iter().find(|(_, known)| **known == session.0);
        named.map_or_else(|| "no session".to_owned(), |(name, _)| format!("session {name}"))
    }

    fn show_sent(&mut self, bytes: &[u8]) {
        let mut r = Reader::new(bytes);
        while !r.is_empty() {
            let frame = r.string().expect("whole frames");
            let mut body = Reader::new(frame);
            if !std::mem::replace(&mut self.greeted, true) {
                let hello = ConnectRequest::decode(&mut body).expect("a handshake");
                let (whose, seen) = (self.name(hello.session), hello.last_zxid_seen.0);
                let ms = hello.timeout_ms;
                self.out.push(format!("sends handshake: {whose}, {ms} ms, has seen {seen:x}"));
                continue;
            }
            let header = RequestHeader::decode(&mut body).expect("a header");
            let request = Request::decode(header.op, &mut body).expect("a request");
            let (xid, len) = (header.xid, frame.len());
            let size = if len > 1_000 { format!(", {len} bytes") } else { String::new() };
            self.out.push(format!("sends {xid}: {}{size}", speech::asked(&request)));
        }
    }
}

fn number(text: &str) -> i32 {
    speech::number(text)
}
