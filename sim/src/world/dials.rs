// SPDX-License-Identifier: Apache-2.0
//! Dials: a client or a server asks a server's machine for a link, and is answered, refused, or not
//! heard.

use menagerie_core::{
    client,
    id::{DialId, LinkId},
    io::Port,
};

use super::{
    Ev, World,
    input::{In, address},
    links::name,
};
use crate::{
    net::{End, Place},
    oracle::Check,
    probe::Probe,
    rng::{Rng, Subsystem},
};

/// A dial under way.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub from: Caller,
    pub to: usize,
    /// When the caller gives up by itself.
    pub until: u64,
    /// The name of its own stream of chance.
    pub ordinal: u64,
}

/// Who dials, and what for.
#[derive(Clone, Copy, Debug)]
pub enum Caller {
    Client { client: usize, life: u32, link: LinkId },
    Server { server: usize, life: u32, port: Port, dial: DialId },
}

impl Caller {
    fn place(self) -> Place {
        match self {
            Caller::Client { client, .. } => Place::Client(client),
            Caller::Server { server, .. } => Place::Server(server),
        }
    }
}

/// A host that no world has: bytes that went bad on their way may have made it a member.
pub const NOWHERE: usize = usize::MAX;

/// The server that a configured host means.
pub fn host(text: &str) -> Option<usize> {
    let number = text.split(':').next()?.strip_prefix('s')?;
    number.parse::<usize>().ok()?.checked_sub(1)
}

impl World {
    /// Someone dials: the answer comes after a round trip.
    pub(super) fn dial(&mut self, from: Caller, to: usize, limit: u64, ordinal: u64, wait: u64) {
        let call = Call { from, to, until: self.now + limit, ordinal };
        self.after(wait, Ev::Dialled(Box::new(call)));
    }

    pub(super) fn dialled(&mut self, call: &Call) -> Check {
        if call.to >= self.servers.len() {
            return self.dial_fails(call, self.now, "no such host");
        }
        let (there, here) = (Place::Server(call.to), call.from.place());
        let open_at = self.cut_until(here, there).max(self.cut_until(there, here));
        if open_at > self.now {
            self.tally.hit(Probe::DialUnheard);
            if open_at < call.until {
                self.at(open_at + 1, Ev::Dialled(Box::new(*call)));
                return Ok(());
            }
            return self.dial_fails(call, call.until, "timed out");
        }
        let mut chance = Rng::stream(self.seed, Subsystem::Link, call.ordinal);
        let machine = &self.servers[call.to];
        let listens = machine.serving || (machine.node.is_some() && chance.one_in(3));
        if !listens || self.now < machine.refuses_until {
            return self.dial_fails(call, self.now, "Connection refused (os error 111)");
        }
        self.link_opens(call, chance)
    }

    fn dial_fails(&mut self, call: &Call, at: u64, why: &'static str) -> Check {
        match call.from {
            Caller::Client { client, life, .. } if self.clients[client].life != life => Ok(()),
            Caller::Client { client, link, .. } => {
                self.client_turn(client, client::Input::LinkDown { link })
            }
            Caller::Server { .. } if at > self.now => {
                self.at(at, Ev::Dialled(Box::new(Call { until: at, ..*call })));
                Ok(())
            }
            Caller::Server { server, life, port, dial } => {
                if self.servers[server].life == life {
                    self.input(server, In::DialFailed { port, dial, why });
                }
                Ok(())
            }
        }
    }

    fn link_opens(&mut self, call: &Call, chance: Rng) -> Check {
        let to = call.to;
        let accepted = |name, port, end| In::LinkUp {
            link: LinkId(name),
            port,
            peer: address(end, name),
            dialled: None,
        };
        match call.from {
            Caller::Client { client, life, .. } if self.clients[client].life != life => Ok(()),
            Caller::Client { client, link, .. } => {
                let end = End::Client(client, link);
                let name = self.open_link(end, to, Port::Client, chance);
                self.input(to, accepted(name, Port::Client, end));
                self.clients[client].links.insert(link, name);
                self.client_turn(client, client::Input::LinkUp { link })
            }
            Caller::Server { server, life, port, dial } => {
                if self.servers[server].life != life || self.servers[server].node.is_none() {
                    return Ok(());
                }
                let end = End::Server(server);
                let link = self.open_link(end, to, port, chance);
                self.note(|_| format!("link {link}: {} to {}, {port:?}", name(server), name(to)));
                self.input(to, accepted(link, port, end));
                let peer = address(End::Server(to), link);
                let up = In::LinkUp { link: LinkId(link), port, peer, dialled: Some(dial) };
                self.input(server, up);
                Ok(())
            }
        }
    }
}
