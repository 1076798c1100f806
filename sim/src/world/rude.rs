// SPDX-License-Identifier: Apache-2.0
//! Strangers who send what no client would.

use menagerie_core::{
    id::{LinkId, SessionId, Zxid},
    io::Port,
    jute::{Record, begin_frame, end_frame},
    proto::{Acl, ConnectRequest, Create, CreateKind, Request, RequestHeader},
    session::password,
};

use super::{
    Ev, SECOND, World,
    input::{In, address},
};
use crate::{
    net::{End, Side},
    probe::Probe,
    rng::{Rng, Subsystem},
};

impl World {
    pub(super) fn be_rude(&mut self, server: usize, kind: u8, chance: u64) {
        if !self.servers[server].serving {
            return;
        }
        let mut rng = Rng::stream(chance, Subsystem::Rude, 0);
        let own = Rng::stream(chance, Subsystem::Rude, 1);
        let link = self.open_link(End::Rude, server, Port::Client, own);
        let (name, peer) = (LinkId(link), address(End::Rude, link));
        let up = In::LinkUp { link: name, port: Port::Client, peer, dialled: None };
        self.input(server, up);
        let first = match kind {
            0..=5 => self.rude_at_once(kind, &mut rng),
            _ => {
                let mut later = Vec::new();
                self.rude_later(kind, link, &mut rng, &mut later);
                self.links.get_mut(&link).expect("it was just opened").later = Some(later);
                greet(0, 0, &[0; 16])
            }
        };
        self.client_sends(link, &first);
        let wait = 1 + rng.wait(2 * SECOND);
        self.after(wait, Ev::End { link });
    }

    /// What needs no handshake to be rude, or has a rude one.
    fn rude_at_once(&mut self, kind: u8, rng: &mut Rng) -> Vec<u8> {
        let someone = self.oracles.ghost.model.sessions.keys().next_back().copied();
        match kind {
            0 => {
                self.tally.hit(Probe::WrongPassword);
                greet(someone.unwrap_or(77), 0, &[1; 16])
            }
            1 => {
                self.tally.hit(Probe::ZxidAhead);
                greet(0, self.oracles.ghost.newest() + 1_000, &[0; 16])
            }
            2 => vec![0xff; 4],
            3 => {
                let words: [&[u8]; 6] = [b"ruok", b"mntr", b"srvr", b"cons", b"wchp", b"dump"];
                rng.pick(&words).to_vec()
            }
            4 => {
                // Somebody's session, under its right password: it moves here.
                let session = someone.unwrap_or(77);
                self.tally.hit(Probe::SessionStolen);
                greet(session, 0, &password(SessionId(session)))
            }
            _ => (0..60).map(|_| rng.bits() as u8).collect(),
        }
    }

    /// What a client with a session of its own may do wrong.
    fn rude_later(&mut self, kind: u8, link: u64, rng: &mut Rng, out: &mut Vec<u8>) {
        let create = |data, flags| Create {
            kind: CreateKind::Create,
            path: b"/rude",
            data: Some(data),
            acl: Some(vec![Acl::OPEN]),
            flags,
        };
        let send = |xid, wish: &Request<'_>, out: &mut Vec<u8>| {
            let mut body = Vec::new();
            wish.encode(&mut body);
            request(xid, wish.op().code(), &body, out);
        };
        match kind {
            6 => request(9, 4_711, &[], out),
            7 => {
                let body: Vec<u8> =
                    (0..rng.below(40)).map(|n| (n as u8).wrapping_mul(37)).collect();
                request(9, 1 + rng.below(22) as i32, &body, out);
            }
            8 => send(1, &Request::Create(create(&[1; 70_000], 0)), out),
            9 => {
                send(1, &Request::Create(create(b"", 1)), out);
                send(2, &Request::CloseSession, out);
                send(3, &Request::Create(create(b"", 3)), out);
            }
            10 => {
                for xid in 1..9 {
                    send(xid, &Request::Create(create(b"", 3)), out);
                    send(xid, &Request::Sync { path: b"/" }, out);
                }
            }
            // What is a part of a multi and nothing by itself.
            12 => send(9, &Request::Check { path: b"/", version: -1 }, out),
            _ => self.never_reads(link, out),
        }
    }

    /// Asks for much and takes nothing.
    fn never_reads(&mut self, link: u64, out: &mut Vec<u8>) {
        if let Some(link) = self.links.get_mut(&link) {
            link.from(Side::Acceptor).window = 600;
        }
        for xid in 1..100 {
            let mut body = Vec::new();
            Request::GetChildren2 { path: b"/", watch: false }.encode(&mut body);
            request(xid, 12, &body, out);
        }
    }
}

fn greet(session: i64, last_seen: i64, password: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mark = begin_frame(&mut out);
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(last_seen),
        timeout_ms: 4_000,
        session: SessionId(session),
        password,
        read_only: None,
    };
    request.encode(&mut out);
    end_frame(&mut out, mark);
    out
}

fn request(xid: i32, op: i32, body: &[u8], out: &mut Vec<u8>) {
    let mark = begin_frame(out);
    RequestHeader { xid, op }.encode(out);
    out.extend_from_slice(body);
    end_frame(out, mark);
}
