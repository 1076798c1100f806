// SPDX-License-Identifier: Apache-2.0
//! What goes on among servers: turns, their effects, the order of everything, and time.

use menagerie_core::{
    id::{LinkId, SessionId},
    io::{Effect, Effects, Frame, Input, Port},
    node::{Node, Phase},
    proto::Request,
};

use super::{
    ENDLESS, GUESTS, Happening, Id, In, Message, Troupe, Word,
    guest::{self, Guest, Heard},
    peer,
};

/// Turns.
impl Troupe {
    /// Takes an input, in a turn of its own.
    pub fn input(&mut self, id: Id, input: Input<'_>) {
        let now = self.now();
        let Some(node) = &mut self.servers[id - 1].node else { return };
        let mut fx = Effects::new();
        node.handle(now, input, &mut fx);
        node.flush(now, &mut fx);
        for effect in fx.take_list() {
            self.execute(id, effect, fx.bytes());
        }
    }

    fn execute(&mut self, id: Id, effect: Effect, bytes: &[u8]) {
        match effect {
            Effect::Send { link, bytes: range } if link.0 >= GUESTS => {
                let bytes = bytes[range].to_vec();
                if self.guest(link).is_some_and(|guest| guest.up) {
                    let drained = In::Drained { link: link.0, bytes: bytes.len() };
                    self.server_mut(id).inbox.push_back(drained);
                    self.happened.push(Happening::Answered { at: id, link, bytes });
                }
            }
            Effect::Send { link, bytes: range } => self.send(link.0, &bytes[range]),
            Effect::Dial { dial, port, host, .. } => self.dial(id, dial, port, &host),
            Effect::HangUp { link } if link.0 >= GUESTS => {
                let up = self.guest_mut(link).map(|guest| std::mem::replace(&mut guest.up, false));
                if up == Some(true) {
                    self.happened.push(Happening::Refused { at: id, link });
                }
                self.server_mut(id).inbox.push_back(In::Down { link: link.0, by: None });
            }
            Effect::HangUp { link } => self.hang_up(link.0),
            Effect::File { lane, op, what } => {
                self.happened.push(Happening::Ordered { at: id, lane, what: what.clone() });
                self.server_mut(id).orders.push_back((lane, op, what));
            }
            Effect::Event(event) => self.happened.push(Happening::Told { at: id, event }),
            Effect::Halt { exit, why } => {
                self.happened.push(Happening::Halted { at: id, exit, why });
                self.kill(id);
            }
            Effect::Pause { link } | Effect::Resume { link } => {
                if let Some(end) = self.ends.get_mut(&link.0) {
                    end.paused = matches!(effect, Effect::Pause { .. });
                }
            }
            Effect::Configure(file) => {
                if file.in_force {
                    let name = format!("zoo.cfg{}", file.name);
                    self.server_mut(id).dynamic = Some((name, file.text.clone()));
                }
                self.happened.push(Happening::Configured { at: id, file: *file });
            }
            Effect::Answer { .. } => {}
        }
    }

    pub(super) fn hears(&mut self, id: Id, input: In) {
        match input {
            In::Up { link, port, dialled } => {
                let link = LinkId(link);
                self.input(id, Input::LinkUp { link, port, peer: peer(), dialled });
            }
            In::Failed { port, dial } => {
                let why = "nobody listens".to_owned();
                self.input(id, Input::DialFailed { port, dial, why });
            }
            In::Down { link, .. } => self.input(id, Input::LinkDown { link: LinkId(link) }),
            In::Drained { link, bytes } => {
                self.input(id, Input::Drained { link: LinkId(link), bytes });
            }
            In::Word { link, message: Message { word, .. } } => {
                let frame = match &word {
                    Word::Packet(bytes) => Frame::Packet(bytes),
                    Word::Tree(bytes, last) => Frame::Tree { bytes, last: *last },
                    Word::Broken(why) => Frame::Broken { why },
                    Word::Nonsense(len) => Frame::Nonsense { len: *len },
                };
                self.input(id, Input::Frame { link: LinkId(link), frame });
            }
        }
    }

    /// The next of a server's inbox that may be heard: nothing overtakes on one link.
    fn next_in(&mut self, id: Id) -> Option<In> {
        let mut waiting = Vec::new();
        let inbox = &self.server(id).inbox;
        let at = inbox.iter().position(|input| match input {
            In::Word { link, message } => {
                let paused = self.ends.get(link).is_some_and(|end| end.paused);
                if paused || self.is_held(message.from, id, message.port) {
                    waiting.push(*link);
                }
                !waiting.contains(link)
            }
            In::Down { link, by } => {
                let held = by.is_some_and(|(from, port)| self.is_held(from, id, port));
                !held && !waiting.contains(link)
            }
            _ => true,
        })?;
        self.server_mut(id).inbox.remove(at)
    }

    /// Lets everything happen that needs no time.
    pub fn settle(&mut self) {
        for _ in 0..ENDLESS {
            let mut idle = true;
            for id in self.ids() {
                if self.server(id).puppet {
                    self.server_mut(id).inbox.clear();
                }
                if !self.is_up(id) {
                    continue;
                }
                if let Some(input) = self.next_in(id) {
                    idle = false;
                    self.hears(id, input);
                }
                if !self.server(id).stalled && self.disk_does_one(id).is_some() {
                    idle = false;
                }
                let due = self.server(id).node.as_ref().and_then(Node::poll_timeout);
                if due.is_some_and(|due| due <= self.now().mono) {
                    idle = false;
                    self.input(id, Input::Time);
                }
            }
            if idle {
                return;
            }
        }
        self.restless = true;
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        self.pass_until(end, |_| false);
    }

    /// Lets time pass until something holds, or for so long: whether it holds.
    pub fn until(&mut self, ms: u64, mut holds: impl FnMut(&Troupe) -> bool) -> bool {
        let end = self.ms + ms;
        self.pass_until(end, &mut holds) || holds(self)
    }

    fn pass_until(&mut self, end: u64, mut holds: impl FnMut(&Troupe) -> bool) -> bool {
        self.settle();
        while self.ms < end {
            if holds(self) {
                return true;
            }
            let dues = self.servers.iter().filter_map(|s| s.node.as_ref()?.poll_timeout());
            let next = dues.map(|due| due.micros.div_ceil(1_000)).min();
            self.ms = next.unwrap_or(end).clamp(self.ms + 1, end);
            self.settle();
        }
        false
    }
}

/// Who does what.
impl Troupe {
    pub fn phase(&self, id: Id) -> Option<Phase> {
        self.view(id).map(|view| view.phase)
    }

    /// Whether it leads with a quorum behind it.
    pub fn leads(&self, id: Id) -> bool {
        matches!(self.phase(id), Some(Phase::Leading { established: true, .. }))
    }

    /// Whether clients are served there.
    pub fn serves(&self, id: Id) -> bool {
        let follows = matches!(
            self.phase(id),
            Some(Phase::Following { serving: true, .. } | Phase::Observing { serving: true, .. })
        );
        follows || self.leads(id)
    }

    /// Whether one leads and all that run serve.
    pub fn is_whole(&self) -> bool {
        let leads = self.ids().any(|id| self.leads(id));
        leads && self.ids().filter(|id| self.is_up(*id)).all(|id| self.serves(id))
    }

    /// Lets time pass until one leads and all that run serve; who leads.
    pub fn leader(&mut self) -> Option<Id> {
        self.until(60_000, Troupe::is_whole);
        self.settle();
        self.ids().find(|id| self.leads(*id)).filter(|_| self.is_whole())
    }
}

/// Clients.
impl Troupe {
    pub fn guest(&self, link: LinkId) -> Option<&Guest> {
        self.guests.get(&link).map(|(_, guest)| guest)
    }

    pub fn guest_mut(&mut self, link: LinkId) -> Option<&mut Guest> {
        self.guests.get_mut(&link).map(|(_, guest)| guest)
    }

    /// The newest link of a client of this name, and its server.
    pub fn find_guest(&self, name: &str) -> Option<(LinkId, Id)> {
        let named = self.guests.iter().filter(|(_, (_, guest))| guest.name == name);
        named.map(|(link, (at, _))| (*link, *at)).max()
    }

    /// A client dials a server and says these bytes.
    pub fn admit(&mut self, id: Id, guest: Guest, hello: &[u8]) -> LinkId {
        self.names += 2;
        let link = LinkId(GUESTS + self.names);
        self.guests.insert(link, (id, guest));
        self.input(id, Input::LinkUp { link, port: Port::Client, peer: peer(), dialled: None });
        self.guest_sends(link, hello);
        link
    }

    pub fn guest_sends(&mut self, link: LinkId, bytes: &[u8]) {
        let Some((id, guest)) = self.guests.get_mut(&link).filter(|(_, guest)| guest.up) else {
            return;
        };
        let (id, mut frames) = (*id, Vec::new());
        guest.framer.push(bytes, |frame| match frame {
            Frame::Packet(packet) => frames.push(packet.to_vec()),
            other => panic!("{other:?} of a well-behaved client"),
        });
        for packet in frames {
            self.input(id, Input::Frame { link, frame: Frame::Packet(&packet) });
        }
    }

    pub fn guest_leaves(&mut self, link: LinkId) {
        let Some((id, guest)) = self.guests.get_mut(&link) else { return };
        let id = *id;
        if std::mem::replace(&mut guest.up, false) {
            self.input(id, Input::LinkDown { link });
        }
    }

    /// A client with a session of its own.
    pub fn client(&mut self, id: Id) -> Option<LinkId> {
        let hello = guest::connect(SessionId::NONE, &[0; 16]);
        let link = self.admit(id, Guest::new("a client"), &hello);
        self.settle();
        let greeted = |heard: &Heard| match heard {
            Heard::Greeting { session, .. } => *session != SessionId::NONE,
            _ => false,
        };
        self.heard(link).iter().any(greeted).then_some(link)
    }

    /// Asks, lets everything happen that needs no time, and gives the reply if there is one.
    pub fn ask(&mut self, link: LinkId, request: &Request<'_>) -> Option<Heard> {
        let bytes = self.guest_mut(link)?.asks(request);
        self.guest_sends(link, &bytes);
        self.settle();
        self.heard(link).pop()
    }

    /// What a client was sent and nobody has looked at.
    pub fn heard(&mut self, link: LinkId) -> Vec<Heard> {
        let mut bytes = Vec::new();
        self.happened.retain(|happening| match happening {
            Happening::Answered { link: to, bytes: more, .. } if *to == link => {
                bytes.extend_from_slice(more);
                false
            }
            _ => true,
        });
        self.guest_mut(link).map(|guest| guest.hears(&bytes)).unwrap_or_default()
    }
}
