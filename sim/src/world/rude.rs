// SPDX-License-Identifier: Apache-2.0
//! Strangers who send what no client would.

use menagerie_core::{
    id::{SessionId, Zxid},
    jute::{Record, Write, begin_frame, end_frame},
    proto::{Acl, ConnectRequest, Create, CreateKind, Request, RequestHeader},
};

use super::{Ev, SECOND, World};
use crate::{net::Owner, probe::Probe};

impl World {
    pub(super) fn be_rude(&mut self) {
        if !self.server.serving {
            return;
        }
        let number = self.tally.faults.len();
        let link = self.open_link(Owner::Rude(number));
        let bytes = self.rudeness(link);
        self.client_sends(link, &bytes);
        let wait = 1 + self.faults.wait(2 * SECOND);
        self.after(wait, Ev::End { link });
    }

    fn rudeness(&mut self, link: u64) -> Vec<u8> {
        let someone = self.oracles.ghost.model.sessions.keys().next_back().copied();
        let mut out = Vec::new();
        match self.faults.below(9) {
            0 => {
                self.tally.hit(Probe::WrongPassword);
                greet(someone.unwrap_or(77), 0, &[1; 16], &mut out);
            }
            1 => {
                self.tally.hit(Probe::ZxidAhead);
                greet(0, self.oracles.ghost.last + 1_000, &[0; 16], &mut out);
            }
            2 => out.put_int(-5),
            3 => {
                let words: [&[u8]; 6] = [b"ruok", b"mntr", b"srvr", b"cons", b"wchp", b"dump"];
                out.extend_from_slice(words[self.faults.index(words.len())]);
            }
            4 => {
                greet(0, 0, &[0; 16], &mut out);
                request(9, 4_711, &[], &mut out);
            }
            5 => {
                greet(0, 0, &[0; 16], &mut out);
                let body: Vec<u8> = (0..self.faults.below(40)).map(|n| n as u8 * 37).collect();
                request(9, 1 + self.faults.below(22) as i32, &body, &mut out);
            }
            6 => {
                greet(0, 0, &[0; 16], &mut out);
                let data = vec![1; 70_000];
                let acl = Some(vec![Acl::OPEN]);
                let kind = CreateKind::Create;
                let create = Create { kind, path: b"/big", data: Some(&data), acl, flags: 0 };
                let mut body = Vec::new();
                Request::Create(create).encode(&mut body);
                request(1, 1, &body, &mut out);
            }
            7 => out.extend((0..60).map(|_| self.faults.bits() as u8)),
            _ => self.never_reads(link, &mut out),
        }
        out
    }

    /// Asks for much and takes nothing.
    fn never_reads(&mut self, link: u64, out: &mut Vec<u8>) {
        if let Some(link) = self.links.get_mut(&link) {
            link.window = 600;
        }
        greet(0, 0, &[0; 16], out);
        for xid in 1..100 {
            let mut body = Vec::new();
            Request::GetChildren2 { path: b"/", watch: false }.encode(&mut body);
            request(xid, 12, &body, out);
        }
    }
}

fn greet(session: i64, last_seen: i64, password: &[u8], out: &mut Vec<u8>) {
    let mark = begin_frame(out);
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(last_seen),
        timeout_ms: 4_000,
        session: SessionId(session),
        password,
        read_only: None,
    };
    request.encode(out);
    end_frame(out, mark);
}

fn request(xid: i32, op: i32, body: &[u8], out: &mut Vec<u8>) {
    let mark = begin_frame(out);
    RequestHeader { xid, op }.encode(out);
    out.extend_from_slice(body);
    end_frame(out, mark);
}
