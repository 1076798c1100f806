// SPDX-License-Identifier: Apache-2.0
//! Strangers on the ports that are for servers: bytes that are no words, words of nobody, and words
//! of a member that no member says. Whatever a member could say is left out: who may pose as one
//! may break any promise, here as in Java, and TLS is what keeps him out.

use menagerie_core::{
    id::{LinkId, ServerId, Zxid},
    io::Port,
    zab::wire::{FromLearner, LearnerInfo, PROTOCOL},
};

use super::{
    Ev, SECOND, World,
    input::{In, address},
};
use crate::{
    net::End,
    rng::{Rng, Subsystem},
};

/// Nobody's id.
const NOBODY: i64 = 99;

impl World {
    pub(super) fn meet_stranger(&mut self, server: usize, kind: u8, chance: u64) {
        if self.servers.len() == 1 || !self.servers[server].serving {
            return;
        }
        let mut rng = Rng::stream(chance, Subsystem::Rude, 0);
        let own = Rng::stream(chance, Subsystem::Rude, 1);
        // A link of a greater id takes the place of the member's own.
        let (low, high) = (server as u64 + 1, self.servers.len() as u64);
        let low = if rng.one_in(3) { 1 } else { low };
        let member = rng.between(low, high) as i64;
        let port = if kind.is_multiple_of(2) { Port::Election } else { Port::Quorum };
        let (first, later) = match port {
            Port::Election => (votes(kind / 2 % 8, member, &mut rng), Vec::new()),
            _ => (learns(kind / 2 % 8, member, &mut rng), random(&mut rng)),
        };
        let link = self.open_link(End::Rude, server, port, own);
        let peer = address(End::Rude, link);
        self.input(server, In::LinkUp { link: LinkId(link), port, peer, dialled: None });
        if !later.is_empty() {
            self.links.get_mut(&link).expect("it was just opened").later = Some(later);
        }
        self.client_sends(link, &first);
        let wait = 1 + rng.wait(2 * SECOND);
        self.after(wait, Ev::End { link });
    }
}

/// What is said on an election port: the short hello is an id in eight bytes.
fn votes(kind: u8, member: i64, rng: &mut Rng) -> Vec<u8> {
    let mut said = member.to_be_bytes().to_vec();
    match kind {
        // A member, whose notification is cut short: the length is right, the rest is missing.
        0..=3 => framed(&random(rng)[..8], &mut said),
        // A length that cannot be.
        4 => {
            let length = if rng.one_in(2) { i32::MAX } else { -2 };
            said.extend_from_slice(&length.to_be_bytes());
        }
        // A hello that is cut short, one of a member's protocol that there is not, one of nobody.
        5 => said.truncate(rng.index(8)),
        6 => said = (-65_530i64).to_be_bytes().to_vec(),
        _ => {
            said = NOBODY.to_be_bytes().to_vec();
            framed(&random(rng), &mut said);
        }
    }
    said
}

/// What is said on a quorum port.
fn learns(kind: u8, member: i64, rng: &mut Rng) -> Vec<u8> {
    let (mut said, junk) = (Vec::new(), random(rng));
    let info = |sid| FromLearner::Info {
        accepted: Zxid::ZERO,
        observer: rng_bit(&junk),
        info: LearnerInfo { sid: ServerId(sid), protocol: PROTOCOL, config_version: Some(0) },
    };
    match kind {
        0 => return junk,
        // A member says who it is, and then nothing that makes sense.
        1 => info(member).encode(&mut said),
        // Nobody says that it acknowledges what it never got.
        2 => {
            info(NOBODY).encode(&mut said);
            let acked = Zxid::new(1 + rng.below(9) as u32, rng.below(99) as u32);
            FromLearner::Ack { zxid: acked }.encode(&mut said);
        }
        3 => FromLearner::Ack { zxid: Zxid::new(1, 1) }.encode(&mut said),
        4 => {
            info(NOBODY).encode(&mut said);
            let zxid = Zxid::new(rng.below(9) as u32, rng.below(99) as u32);
            FromLearner::AckEpoch { zxid, current: Some(rng.below(9) as i32) }.encode(&mut said);
        }
        // A packet that is longer than any.
        5 => {
            said.extend_from_slice(&1i32.to_be_bytes());
            said.extend_from_slice(&[0; 8]);
            said.extend_from_slice(&i32::MAX.to_be_bytes());
        }
        // One that is cut short.
        6 => {
            info(member).encode(&mut said);
            said.truncate(rng.index(said.len()));
        }
        // Nobody, who only listens.
        _ => info(NOBODY).encode(&mut said),
    }
    said
}

fn rng_bit(junk: &[u8]) -> bool {
    junk[0].is_multiple_of(2)
}

fn framed(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(body.len() as i32).to_be_bytes());
    out.extend_from_slice(body);
}

fn random(rng: &mut Rng) -> Vec<u8> {
    (0..8 + rng.below(60)).map(|_| rng.bits() as u8).collect()
}
