// SPDX-License-Identifier: Apache-2.0
//! What happens on links: bytes leave, arrive, are held back; either end goes.

use menagerie_core::{client, id::LinkId, time::Now};

use super::{
    Ev, SECOND, World,
    server::{In, address},
};
use crate::{
    net::{Link, Owner, Pace},
    oracle::Check,
    probe::Probe,
    rng::Rng,
};

impl World {
    pub(super) fn link_pace(&self) -> Pace {
        let pace = self.scenario.net;
        if self.now < self.slow_net_until {
            return Pace { base: pace.base * 20, jitter: pace.jitter * 50 + 20_000, ..pace };
        }
        pace
    }

    /// Opens a link to the server, which hears of it.
    pub(super) fn open_link(&mut self, owner: Owner, chance: Rng) -> u64 {
        let name = self.next_link;
        self.next_link += 1;
        let limit = self.scenario.config.requests.max_buffer;
        self.links.insert(name, Link::new(owner, self.link_pace(), limit, chance));
        self.input(In::LinkUp { link: LinkId(name), peer: address(owner, name) });
        name
    }

    /// Sends bytes towards the server.
    pub(super) fn client_sends(&mut self, name: u64, bytes: &[u8]) {
        let pace = self.link_pace();
        let Some(link) = self.links.get_mut(&name) else { return };
        let times = link.send(self.now, bytes, pace);
        for at in times {
            self.at(at, Ev::Up { link: name });
        }
    }

    /// The client's end is closed: the server hears of it behind all bytes.
    pub(super) fn client_hangs_up(&mut self, name: u64) {
        let Some(link) = self.links.get_mut(&name) else { return };
        link.up.ended = true;
        link.deserted = true;
        let wait = 1 + link.pace.base;
        self.after(wait, Ev::Up { link: name });
        self.after(3 * SECOND, Ev::End { link: name });
    }

    pub(super) fn arrives_up(&mut self, name: u64) {
        loop {
            let Some(link) = self.links.get_mut(&name) else { return };
            match link.up.arrive(self.now) {
                Ok(piece) if link.paused => link.unread.push_back(piece),
                Ok(piece) => self.read(name, &piece),
                Err(Some(at)) => return self.at(at, Ev::Up { link: name }),
                Err(None) => break,
            }
        }
        let link = &self.links[&name];
        let all_read = link.up.is_empty() && link.unread.is_empty();
        if link.up.ended && all_read {
            self.forget_link(name);
        }
    }

    fn read(&mut self, name: u64, piece: &[u8]) {
        let Some(link) = self.links.get_mut(&name) else { return };
        let mut frames = Vec::new();
        link.framer.push(piece, |frame| frames.push(In::of(LinkId(name), &frame)));
        if link.framer.held() > 0 {
            self.tally.hit(Probe::FrameCut);
        }
        for frame in frames {
            match &frame {
                In::Word { .. } => self.tally.hit(Probe::WordAnswered),
                In::Oversized { .. } => self.tally.hit(Probe::OversizedAnswered),
                _ => {}
            }
            self.input(frame);
        }
    }

    pub(super) fn pause(&mut self, link: LinkId, paused: bool) {
        let Some(state) = self.links.get_mut(&link.0) else { return };
        state.paused = paused;
        if !paused {
            for piece in std::mem::take(&mut state.unread) {
                self.read(link.0, &piece);
            }
            self.arrives_up(link.0);
        }
    }

    pub(super) fn server_sends(&mut self, link: LinkId, bytes: &[u8], now: Now) -> Check {
        self.rolling.mix(link.0);
        self.rolling.bytes(bytes);
        self.note(|_| format!("server sends {} bytes on {}", bytes.len(), link.0));
        let at = self.now;
        self.oracles.sends(link, bytes, at, now)?;
        if let Some(state) = self.links.get_mut(&link.0) {
            state.unsent.extend(bytes);
            self.pump(link.0);
        }
        Ok(())
    }

    fn pump(&mut self, name: u64) {
        let Some(link) = self.links.get_mut(&name) else { return };
        let (bytes, times) = link.pump(self.now);
        for at in times {
            self.at(at, Ev::Down { link: name });
        }
        if bytes > 0 {
            self.input(In::Drained { link: LinkId(name), bytes });
        }
    }

    pub(super) fn server_hangs_up(&mut self, link: LinkId) -> Check {
        self.note(|_| format!("server hangs up on {}", link.0));
        self.oracles.hangs_up(link);
        if let Some(state) = self.links.get_mut(&link.0) {
            state.hung_up = true;
            self.after(5 * SECOND, Ev::End { link: link.0 });
        }
        self.end_when_out(link.0)
    }

    pub(super) fn arrives_down(&mut self, name: u64) -> Check {
        loop {
            let Some(link) = self.links.get_mut(&name) else { return Ok(()) };
            match link.down.arrive(self.now) {
                Ok(piece) => {
                    if let Some(later) = link.later.take() {
                        self.client_sends(name, &later);
                        self.pump(name);
                        continue;
                    }
                    let deserted = link.deserted;
                    if let Owner::Client(client, link) = link.owner
                        && !deserted
                    {
                        let input = client::Input::Bytes { link, bytes: &piece };
                        self.client_turn(client, input)?;
                    }
                    self.pump(name);
                }
                Err(Some(at)) => {
                    self.at(at, Ev::Down { link: name });
                    break;
                }
                Err(None) => break,
            }
        }
        self.end_when_out(name)
    }

    /// A link that the server hung up on ends when everything is out.
    fn end_when_out(&mut self, name: u64) -> Check {
        let Some(link) = self.links.get(&name) else { return Ok(()) };
        if link.hung_up && link.unsent.is_empty() && link.down.is_empty() {
            return self.reset(name);
        }
        Ok(())
    }

    /// Both ends hear that the link is gone; a beginning of what is on its way still arrives.
    pub(super) fn reset(&mut self, name: u64) -> Check {
        let Some(link) = self.links.get_mut(&name) else { return Ok(()) };
        let (up, down) = link.cut();
        let (owner, deserted, paused) = (link.owner, link.deserted, link.paused);
        if !up.is_empty() && !paused {
            self.read(name, &up);
        }
        let cut_within = self.links.get(&name).is_some_and(|link| link.framer.held() > 0);
        if cut_within {
            self.tally.hit(Probe::ResetMidFrame);
        }
        self.forget_link(name);
        if let Owner::Client(client, link) = owner
            && !deserted
        {
            if !down.is_empty() {
                self.client_turn(client, client::Input::Bytes { link, bytes: &down })?;
            }
            self.client_turn(client, client::Input::LinkDown { link })?;
        }
        Ok(())
    }

    /// The server hears that a link is gone.
    fn forget_link(&mut self, name: u64) {
        if self.links.remove(&name).is_some() {
            self.note(|_| format!("link {name} is gone"));
            self.input(In::LinkDown { link: LinkId(name) });
        }
    }

    /// The server is gone: clients hear of it at once from its system, or never from a dead one.
    pub(super) fn server_is_gone(&mut self, silent: bool) -> Check {
        for (name, link) in std::mem::take(&mut self.links) {
            let Owner::Client(client, theirs) = link.owner else { continue };
            if !link.deserted && !silent {
                self.note(|_| format!("link {name} breaks"));
                self.client_turn(client, client::Input::LinkDown { link: theirs })?;
            }
        }
        Ok(())
    }
}
