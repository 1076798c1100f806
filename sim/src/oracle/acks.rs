// SPDX-License-Identifier: Apache-2.0
//! What a learner acknowledges is durable on its disk, and so is everything before it; what it
//! acknowledges with NEWLEADER, ahead of anything else, is all that came before that word.

use std::collections::BTreeMap;

use menagerie_core::{
    id::{LinkId, Zxid},
    io::Frame,
    jute::{Reader, Record},
    zab::{
        QuorumFramer,
        wire::{QuorumPacket, kind},
    },
};

use super::{Check, Property, Violation, learning, replica::Replica};

/// The limit of packets, as wide as it gets: it is not this oracle's to judge.
const LIMIT: u32 = 1 << 30;

/// What a server learned over one link, and says on it.
#[derive(Clone)]
pub struct Course {
    says: QuorumFramer,
    /// The newest transaction that it was sent.
    pub sent: i64,
    /// The newest that it was told is committed.
    pub told: i64,
    /// The newest that it was sent before NEWLEADER.
    before: i64,
    /// Whether it acknowledged NEWLEADER.
    settled: bool,
}

/// The links on which one server learns.
#[derive(Clone, Default)]
pub struct Acks(BTreeMap<LinkId, Course>);

impl std::fmt::Debug for Acks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Acks {
    /// A learner dialled.
    pub fn link_up(&mut self, link: LinkId) {
        let says = QuorumFramer::of_learner(LIMIT);
        let course = Course { says, sent: 0, told: 0, before: i64::MAX, settled: false };
        self.0.insert(link, course);
    }

    /// The link is gone.
    pub fn link_down(&mut self, link: LinkId) {
        self.0.remove(&link);
    }

    /// The process is gone.
    pub fn crashed(&mut self) {
        self.0.clear();
    }

    /// What came over the newest link.
    pub fn newest(&self) -> Option<&Course> {
        self.0.values().next_back()
    }

    /// What came ahead of NEWLEADER over the newest link, if that came.
    pub fn owed_to_log(&self) -> Option<Zxid> {
        self.newest().map(|course| Zxid(course.before)).filter(|before| before.0 != i64::MAX)
    }

    /// A packet of the leader's is about to be handled, if it is one; and whether it may come.
    pub fn arrives<'a>(
        &mut self,
        server: usize,
        link: LinkId,
        bytes: &'a [u8],
    ) -> Option<(QuorumPacket<'a>, Check)> {
        let course = self.0.get_mut(&link)?;
        let packet = QuorumPacket::decode(&mut Reader::new(bytes)).ok()?;
        let zxid = packet.zxid;
        let heard = learning::heard(server, course, packet.kind, zxid);
        match packet.kind {
            kind::PROPOSAL => course.sent = zxid.0,
            kind::COMMIT | kind::COMMITANDACTIVATE => course.told = zxid.0,
            kind::INFORM | kind::INFORMANDACTIVATE => {
                (course.sent, course.told) = (course.sent.max(zxid.0), zxid.0);
            }
            kind::NEWLEADER => course.before = course.sent,
            _ => {}
        }
        Some((packet, heard))
    }

    /// Bytes leave on a link.
    pub fn sends(&mut self, replica: &Replica, server: usize, link: LinkId, bytes: &[u8]) -> Check {
        let Some(course) = self.0.get_mut(&link) else { return Ok(()) };
        let (before, mut verdict) = (course.before, Ok(()));
        course.says.push(bytes, |frame| {
            if let Frame::Packet(packet) = frame
                && let Ok(packet) = QuorumPacket::decode(&mut Reader::new(packet))
                && packet.kind == kind::ACK
                && verdict.is_ok()
            {
                verdict = acked(replica, server, packet.zxid, before, &mut course.settled);
            }
        });
        verdict
    }
}

fn acked(replica: &Replica, server: usize, zxid: Zxid, before: i64, settled: &mut bool) -> Check {
    *settled |= zxid.counter() == 0;
    if !*settled {
        let what = format!("server {} acknowledges {zxid} ahead of NEWLEADER", server + 1);
        return Err(Violation::new(Property::Acks, what));
    }
    let newest = if zxid.counter() == 0 { before } else { zxid.0 };
    let held = newest == 0 || newest <= replica.durable;
    let whole = replica.upto(zxid.0).last().is_none_or(|last| *last <= replica.durable);
    if held && whole {
        return Ok(());
    }
    let (server, durable) = (server + 1, Zxid(replica.durable));
    let what = format!("server {server} acknowledges {zxid} while only {durable} is durable");
    Err(Violation::new(Property::Acks, what))
}
