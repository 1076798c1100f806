// SPDX-License-Identifier: Apache-2.0
//! What happens on links: bytes leave, arrive, are held back; either end goes.

use menagerie_core::{client, id::LinkId, io::Port, time::Now};

use super::{Ev, SECOND, World, input::In};
use crate::{
    net::{End, Link, Pace, Place, Side},
    oracle::Check,
    probe::Probe,
    rng::Rng,
};

impl World {
    /// How fast a link between two machines is now.
    pub(super) fn link_pace(&self, from: Place, to: Place) -> Pace {
        let mut pace = self.scenario.net;
        pace.base += self.scenario.distance(from, to);
        if self.now < self.slow_net_until {
            return Pace { base: pace.base * 20, jitter: pace.jitter * 50 + 20_000, ..pace };
        }
        pace
    }

    pub(super) fn pace_of(&self, link: &Link) -> Pace {
        self.link_pace(link.end(Side::Dialler).place(), link.end(Side::Acceptor).place())
    }

    /// Until when nothing gets from one machine to another.
    pub(super) fn cut_until(&self, from: Place, to: Place) -> u64 {
        self.cuts.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Opens a link to a server; its ends hear of it from the caller.
    pub(super) fn open_link(&mut self, from: End, to: usize, port: Port, chance: Rng) -> u64 {
        let name = self.next_link;
        self.next_link += 1;
        let ends = [from, End::Server(to)];
        let config = &self.scenario.servers[to];
        self.links.insert(name, Box::new(Link::new(ends, port, config, chance)));
        self.recall_link(name);
        self.record_up(name, from);
        name
    }

    /// Sends bytes of a client or a stranger towards the server.
    pub(super) fn client_sends(&mut self, name: u64, bytes: &[u8]) {
        self.record_bytes(name, Side::Dialler, bytes);
        let Some(link) = self.links.get(&name) else { return };
        let pace = self.pace_of(link);
        let link = self.links.get_mut(&name).expect("it was there");
        let mut times = std::mem::take(&mut self.spare.times);
        link.send(Side::Dialler, self.now, bytes, pace, &mut times);
        self.arrive_at(name, Side::Dialler, times);
    }

    /// Pieces that an end sent arrive at these times.
    fn arrive_at(&mut self, link: u64, from: Side, mut times: Vec<u64>) {
        for at in times.drain(..) {
            self.at(at, Ev::Arrive { link, from });
        }
        self.spare.times = times;
    }

    /// An end is closed: the other hears of it behind all bytes.
    pub(super) fn close(&mut self, name: u64, side: Side) {
        let Some(link) = self.links.get_mut(&name) else { return };
        link.close(side);
        let wait = 1 + self.pace_of(&self.links[&name]).base;
        self.after(wait, Ev::Arrive { link: name, from: side });
        self.after(5 * SECOND, Ev::End { link: name });
    }

    /// Bytes that an end sent may have arrived.
    pub(super) fn arrive(&mut self, name: u64, from: Side) -> Check {
        loop {
            let Some(link) = self.links.get(&name) else { return Ok(()) };
            let (source, end) = (link.end(from).place(), link.end(from.other()));
            let open_at = self.cut_until(source, end.place());
            let link = self.links.get_mut(&name).expect("it was there");
            match link.from(from).stream.arrive(self.now, open_at) {
                Ok(piece) => {
                    self.take(name, from, end, piece)?;
                    self.pump(name, from);
                }
                Err(Some(at)) => {
                    self.at(at, Ev::Arrive { link: name, from });
                    break;
                }
                Err(None) => break,
            }
        }
        self.end_when_out(name)
    }

    /// A piece arrived at the end across from `from`.
    fn take(&mut self, name: u64, from: Side, end: End, piece: Vec<u8>) -> Check {
        let link = self.links.get_mut(&name).expect("the link it came on");
        if !link.hears(from.other()) {
            // The system of a machine that came back knows nothing of the link.
            let back = matches!(end, End::Server(n) if self.servers[n].node.is_some());
            if link.is_dead(from.other()) && back {
                let wait = 1 + self.pace_of(&self.links[&name]).base;
                self.after(wait, Ev::End { link: name });
            }
            return Ok(());
        }
        match end {
            End::Server(_) if link.from(from).paused => link.from(from).unread.push_back(piece),
            End::Server(_) => self.read(name, from, &piece),
            End::Client(client, link) => {
                self.record_bytes(name, from, &piece);
                return self.client_turn(client, client::Input::Bytes { link, bytes: &piece });
            }
            End::Rude => {
                self.record_bytes(name, from, &piece);
                let link = self.links.get_mut(&name).expect("the link it came on");
                if let Some(later) = link.later.take() {
                    self.client_sends(name, &later);
                }
            }
        }
        Ok(())
    }

    /// A server reads what an end sent.
    fn read(&mut self, name: u64, from: Side, piece: &[u8]) {
        let Some(link) = self.links.get_mut(&name) else { return };
        let End::Server(server) = link.end(from.other()) else { return };
        let (port, mut frames) = (link.port, std::mem::take(&mut self.spare.frames));
        link.from(from).read(piece, |frame| frames.push(In::of(LinkId(name), &frame)));
        if link.from(from).held() > 0 {
            self.tally.hit(match port {
                Port::Client => Probe::FrameCut,
                Port::Election | Port::Quorum => Probe::PeerFrameCut,
            });
        }
        for frame in frames.drain(..) {
            match &frame {
                In::Word { .. } => self.tally.hit(Probe::WordAnswered),
                In::Oversized { .. } => self.tally.hit(Probe::OversizedAnswered),
                _ => {}
            }
            self.input(server, frame);
        }
        self.spare.frames = frames;
    }

    pub(super) fn pause(&mut self, server: usize, link: LinkId, paused: bool) -> Check {
        let Some(state) = self.links.get_mut(&link.0) else { return Ok(()) };
        let from = state.side_of(server).expect("a server pauses its own links").other();
        state.from(from).paused = paused;
        if paused {
            return Ok(());
        }
        for piece in std::mem::take(&mut state.from(from).unread) {
            self.read(link.0, from, &piece);
        }
        self.arrive(link.0, from)
    }

    pub(super) fn server_sends(
        &mut self,
        server: usize,
        link: LinkId,
        bytes: &[u8],
        now: Now,
    ) -> Check {
        self.rolling.mix(link.0);
        self.rolling.bytes(bytes);
        self.note(|_| format!("{} sends {} bytes on {}", name(server), bytes.len(), link.0));
        self.recall_reply(server, link, bytes);
        self.oracles.sends(server, link, bytes, self.now, now)?;
        let Some(state) = self.links.get_mut(&link.0) else { return Ok(()) };
        let side = state.side_of(server).expect("its own link");
        state.from(side).unsent.extend(bytes);
        self.pump(link.0, side);
        Ok(())
    }

    /// Moves what fits of what a server sent into the network.
    fn pump(&mut self, name: u64, side: Side) {
        let Some(link) = self.links.get(&name) else { return };
        let pace = self.pace_of(link);
        let link = self.links.get_mut(&name).expect("it was there");
        let mut times = std::mem::take(&mut self.spare.times);
        let bytes = link.pump(side, self.now, pace, &mut times);
        let end = link.end(side);
        self.arrive_at(name, side, times);
        if let End::Server(server) = end
            && bytes > 0
        {
            self.input(server, In::Drained { link: LinkId(name), bytes });
        }
    }

    pub(super) fn server_hangs_up(&mut self, server: usize, link: LinkId) -> Check {
        self.note(|_| format!("{} hangs up on {}", name(server), link.0));
        self.oracles.hangs_up(server, link);
        if let Some(side) = self.links.get(&link.0).and_then(|link| link.side_of(server)) {
            self.close(link.0, side);
        }
        self.end_when_out(link.0)
    }

    /// A link that was hung up on ends when everything is out.
    fn end_when_out(&mut self, name: u64) -> Check {
        if self.links.get(&name).is_some_and(|link| link.is_over()) {
            self.reset(name)
        } else {
            Ok(())
        }
    }

    /// Both ends hear that the link is gone; a beginning of what is on its way still arrives.
    pub(super) fn reset(&mut self, name: u64) -> Check {
        let Some(link) = self.links.get_mut(&name) else { return Ok(()) };
        let left = link.cut();
        for (from, bytes) in Side::BOTH.into_iter().zip(&left) {
            let Some(link) = self.links.get_mut(&name) else { return Ok(()) };
            if link.hears(from.other()) && !link.from(from).paused && !bytes.is_empty() {
                let end = link.end(from.other());
                self.take(name, from, end, bytes.clone())?;
            }
        }
        let Some(mut link) = self.links.remove(&name) else { return Ok(()) };
        if link.ways().iter().any(|way| way.held() > 0) {
            self.tally.hit(match link.port {
                Port::Client => Probe::ResetMidFrame,
                Port::Election | Port::Quorum => Probe::PeerResetMidFrame,
            });
        }
        self.note(|_| format!("link {name} is gone"));
        self.tell_gone(&link, name)
    }

    /// Tells both ends that a link is gone, if they are there and did not hang up themselves. A
    /// server hears of the end of its own hang-up, too.
    fn tell_gone(&mut self, link: &Link, name: u64) -> Check {
        self.record_down(name, link.port);
        for side in Side::BOTH.into_iter().filter(|side| !link.is_dead(*side)) {
            match link.end(side) {
                End::Server(server) => self.input(server, In::LinkDown { link: LinkId(name) }),
                End::Client(client, link_there) if link.hears(side) => {
                    self.clients[client].links.remove(&link_there);
                    self.client_turn(client, client::Input::LinkDown { link: link_there })?;
                }
                End::Client(..) | End::Rude => {}
            }
        }
        Ok(())
    }

    /// A server is gone: the others hear of it at once from its system, or nothing from a dead one.
    pub(super) fn server_is_gone(&mut self, server: usize, silent: bool) -> Check {
        let names: Vec<u64> = self.links.keys().copied().collect();
        for name in names {
            let Some(link) = self.links.get(&name) else { continue };
            let Some(side) = link.side_of(server) else { continue };
            let there = link.end(side.other()).place();
            let cut = self.cut_until(Place::Server(server), there) > self.now;
            let link = self.links.get_mut(&name).expect("it is there");
            link.bury(side, cut);
            if !silent || !link.hears(side.other()) {
                let link = self.links.remove(&name).expect("it is there");
                self.note(|_| format!("link {name} breaks"));
                self.tell_gone(&link, name)?;
            }
        }
        Ok(())
    }
}

/// A server's name, for people and in configurations.
pub fn name(server: usize) -> String {
    format!("s{}", server + 1)
}
