// SPDX-License-Identifier: Apache-2.0
//! One election link to each other server, whoever dials: `QuorumCnxManager` without its faults.
//!
//! A link lives when the *larger* id dialled it. A smaller one that wants a link knocks: it dials,
//! says its hello and closes, and the larger one dials back. Where Java and this differ:
//!
//! - What waits for a link is a debt and no message: what is sent in the end is what this server
//!   thinks *then*. Java keeps messages, and re-sends the last one on a new link, so it greets with
//!   votes of elections that are over.
//! - A knock that crosses this server's own dial is not answered with a second one.
//! - A knock is answered at the address in the hello only if that is one configured for the id; at
//!   a configured one otherwise. Java goes wherever the hello says, and 3.4 never does.
//! - A server whose own address is a wildcard says a short hello: nobody can dial a wildcard.
//! - A looking server keeps dialling those it has no link to, after pauses that double to 3.2 s;
//!   Java's grow to 60 s.
//! - A looking server gives up a link on which a voter was silent for 12.8 s, and makes a new one:
//!   a way of a link may be dead for hours before its system says so, or for ever. Whoever has
//!   settled answers each of its words, and who looks repeats its own; a looking Java may be silent
//!   for a minute, and merely gets a new link. Java itself reads without end.
//!
//! ```text
//!         wanted, or it knocked         up, smaller id: hello
//!   Rest ----------------------> Under ----------------------> linked: Rest
//!                       ^          |                              |
//!                       |          | failed;                      | down, or silent
//!                       | time     v up, larger id: hello, close  v
//!                       `------- Pause <--------------------------'
//!
//!   Whatever it does, a link of a larger id that comes in is kept: linked.
//! ```

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::time::Duration;

use super::wire::{Address, Hello, HelloForm};
use crate::{
    event::{Event, Level},
    id::{DialId, LinkId, ServerId},
    io::{Effect, Effects, Port},
    time::Instant,
};

/// The shortest pause before a server is dialled again, and the least time between two dials.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(3_200);

/// For how long a looking server listens to a voter that says nothing: four of the longest
/// intervals at which it repeats itself.
const PATIENCE: Duration = Duration::from_millis(12_800);

/// Links that have not said their hello; beyond, the oldest is hung up on.
const MOST_STRANGERS: usize = 64;

/// Servers that are no members, and that are remembered.
const MOST_GUESTS: usize = 64;

/// Another server, and how it is reached.
#[derive(Clone, Debug)]
struct Peer {
    /// Where its election port is, at least one.
    addresses: Vec<Address>,
    /// It is no member: it is dialled only when it knocks.
    guest: bool,
    /// Which of them is dialled next; taken modulo their number.
    next: usize,
    link: Option<LinkId>,
    /// When something last came on `link`, or silence began to count.
    heard: Instant,
    /// Bytes sent on `link` that the network has not taken yet.
    unsent: usize,
    /// It has to be told what this server thinks.
    owed: bool,
    /// It knocked, and has no link yet.
    knocked: bool,
    /// The last that was seen of it is a link that ended or a dial that failed.
    away: bool,
    dialling: Dialling,
    /// The pause after the next failure.
    pause: Duration,
    /// No dial begins before: until then, the last one is fresh.
    fresh_until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialling {
    Rest,
    Under(DialId),
    Pause { until: Instant },
}

/// Who is at the other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has not said its hello, and must until then.
    Stranger {
        until: Instant,
    },
    Peer(ServerId),
    /// Hung up; nothing that it still says is heard.
    Gone,
}

/// Who spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    Nobody,
    Stranger,
    Peer(ServerId),
}

impl Peer {
    fn new(addresses: Vec<Address>, guest: bool) -> Peer {
        Peer {
            addresses,
            guest,
            next: 0,
            link: None,
            heard: Instant::ZERO,
            unsent: 0,
            owed: false,
            knocked: false,
            away: false,
            dialling: Dialling::Rest,
            pause: PAUSE,
            fresh_until: Instant::ZERO,
        }
    }
}

/// All election links of one server.
#[derive(Clone, Debug)]
pub(super) struct Links {
    hello: Hello,
    timeout: Duration,
    /// Whether servers that are no members may come.
    guests: bool,
    peers: BTreeMap<ServerId, Peer>,
    ends: BTreeMap<LinkId, End>,
    dials: u64,
}

impl Links {
    /// No link yet to any of `peers`. A dial, and a stranger's silence, last at most `timeout`.
    pub fn new(
        hello: Hello,
        timeout: Duration,
        guests: bool,
        peers: impl IntoIterator<Item = (ServerId, Vec<Address>)>,
    ) -> Links {
        let peers = peers.into_iter();
        let peers = peers.map(|(id, addresses)| (id, Peer::new(addresses, false))).collect();
        Links { hello, timeout, guests, peers, ends: BTreeMap::new(), dials: 0 }
    }

    /// This server is to be dialled elsewhere from now on.
    pub fn call(&mut self, form: HelloForm) {
        self.hello.form = form;
    }

    /// These are the members now, and where they are; the others are guests.
    pub fn meet(&mut self, members: impl IntoIterator<Item = (ServerId, Vec<Address>)>) {
        for peer in self.peers.values_mut() {
            peer.guest = true;
        }
        for (id, addresses) in members {
            let peer = self.peers.entry(id).or_insert_with(|| Peer::new(Vec::new(), false));
            (peer.addresses, peer.guest) = (addresses, false);
        }
    }

    /// Whether `link` is one of these.
    pub fn owns(&self, link: LinkId) -> bool {
        self.ends.contains_key(&link)
    }

    /// Whether `id` had a link that ended or was dialled in vain, and was not heard of since.
    pub fn is_away(&self, id: ServerId) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.away)
    }

    /// From now on it counts how long others are silent.
    pub fn listen(&mut self, now: Instant) {
        self.peers.values_mut().for_each(|peer| peer.heard = now);
    }

    /// A server has to be told what this one thinks, as soon as it can be.
    pub fn owe(&mut self, to: ServerId) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.owed = true;
        }
    }

    /// Tells a server with a new link what `write` appends, right behind any hello.
    pub fn greet(&mut self, to: ServerId, fx: &mut Effects, write: impl FnOnce(&mut Vec<u8>)) {
        let peer = self.peer(to);
        if let Some(link) = peer.link {
            peer.unsent += fx.send(link, write);
            peer.owed = false;
        }
    }

    /// Pays what is owed to those whose link has taken everything before: `write` appends it.
    pub fn pay(&mut self, fx: &mut Effects, mut write: impl FnMut(&mut Vec<u8>)) {
        for peer in self.peers.values_mut().filter(|peer| peer.owed && peer.unsent == 0) {
            if let Some(link) = peer.link {
                peer.unsent = fx.send(link, &mut write);
                peer.owed = false;
            }
        }
    }

    /// Dials those who are `wanted` or knocked, have no link, and are not pausing.
    pub fn dial(&mut self, now: Instant, wanted: impl Fn(ServerId) -> bool, fx: &mut Effects) {
        for (&id, peer) in &mut self.peers {
            let rests = match peer.dialling {
                Dialling::Rest => true,
                Dialling::Under(_) => false,
                Dialling::Pause { until } => until <= now,
            };
            if peer.link.is_none() && rests && (peer.knocked || wanted(id)) {
                self.dials += 1;
                let dial = DialId(self.dials);
                peer.dialling = Dialling::Under(dial);
                peer.fresh_until = now + PAUSE;
                let Address { host, port: number } =
                    peer.addresses[peer.next % peer.addresses.len()].clone();
                let (port, timeout) = (Port::Election, self.timeout);
                fx.push(Effect::Dial { dial, port, host, number, timeout });
            }
        }
    }

    /// When [`Links::dial`] or [`Links::on_time`] has something to do.
    pub fn poll_timeout(&self, wanted: impl Fn(ServerId) -> bool) -> Option<Instant> {
        let dials = self.peers.iter().filter_map(|(&id, peer)| match peer.dialling {
            _ if peer.link.is_some() => wanted(id).then_some(peer.heard + PATIENCE),
            _ if !(peer.knocked || wanted(id)) => None,
            Dialling::Rest | Dialling::Under(_) => None,
            Dialling::Pause { until } => Some(until),
        });
        let silences = self.ends.values().filter_map(|end| match end {
            End::Stranger { until } => Some(*until),
            End::Peer(_) | End::Gone => None,
        });
        dials.chain(silences).min()
    }

    /// Hangs up on strangers, and on those who are `wanted`, that have been silent for too long.
    pub fn on_time(&mut self, now: Instant, wanted: impl Fn(ServerId) -> bool, fx: &mut Effects) {
        let silent = |end: &End| matches!(end, End::Stranger { until } if *until <= now);
        let silent: Vec<LinkId> =
            self.ends.iter().filter(|(_, end)| silent(end)).map(|(&link, _)| link).collect();
        for link in silent {
            self.refuse(now, link, String::from("said no hello in time"), fx);
        }
        let silent = |(&id, peer): (&ServerId, &Peer)| {
            peer.link.filter(|_| wanted(id) && peer.heard + PATIENCE <= now).map(|link| (id, link))
        };
        let silent: Vec<_> = self.peers.iter().filter_map(silent).collect();
        for (id, link) in silent {
            let why =
                format!("said nothing for {} ms; server {id} gets a new one", PATIENCE.as_millis());
            self.refuse(now, link, why, fx);
        }
    }

    /// A link came in, which begins with a hello.
    pub fn on_accepted(&mut self, now: Instant, link: LinkId, fx: &mut Effects) {
        let strangers = self.ends.iter().filter_map(|(&link, end)| match end {
            End::Stranger { until } => Some((*until, link)),
            End::Peer(_) | End::Gone => None,
        });
        if strangers.clone().count() >= MOST_STRANGERS {
            // A peer's hello comes at once: who has been silent for longest is least likely one.
            let (_, oldest) = strangers.min().expect("there are many");
            self.refuse(now, oldest, format!("is one of {MOST_STRANGERS} without a hello"), fx);
        }
        self.ends.insert(link, End::Stranger { until: now + self.timeout });
    }

    /// A dial led to a link. Gives the server at its other end, if the link is to be kept.
    pub fn on_dialled(
        &mut self,
        now: Instant,
        link: LinkId,
        dial: DialId,
        fx: &mut Effects,
    ) -> Option<ServerId> {
        let (id, peer) = self.dialled(dial);
        let crossed = peer.link.is_some();
        if id > self.hello.from {
            if !crossed {
                fx.send(link, |out| self.hello.encode(out));
            }
            self.pause(now, id);
            self.close(link, fx);
            return None;
        }
        self.keep(now, id, link, fx);
        self.peer(id).unsent = fx.send(link, |out| self.hello.encode(out));
        Some(id)
    }

    /// A dial led nowhere.
    pub fn on_failed(&mut self, now: Instant, dial: DialId, why: &str, fx: &mut Effects) {
        let (id, peer) = self.dialled(dial);
        let address = &peer.addresses[peer.next % peer.addresses.len()];
        let level = if peer.pause == PAUSE { Level::Warn } else { Level::Debug };
        let text = format!("server {id} cannot be reached for election at {address}: {why}");
        peer.next = (peer.next + 1) % peer.addresses.len();
        peer.knocked = false;
        peer.away = peer.link.is_none();
        fx.event(Event::Note { level, text });
        self.pause(now, id);
    }

    fn dialled(&mut self, dial: DialId) -> (ServerId, &mut Peer) {
        let mut peers = self.peers.iter_mut();
        let (&id, peer) = peers
            .find(|(_, peer)| peer.dialling == Dialling::Under(dial))
            .expect("each dial is answered once");
        peer.dialling = Dialling::Rest;
        (id, peer)
    }

    /// A link is gone.
    ///
    /// # Panics
    /// When the link never came up.
    pub fn on_down(&mut self, now: Instant, link: LinkId) {
        let end = self.ends.remove(&link).expect("a link goes down that was up");
        if let End::Peer(id) = end {
            let peer = self.peer(id);
            (peer.link, peer.away) = (None, true);
            self.pause(now, id);
        }
    }

    /// The network took bytes.
    pub fn on_drained(&mut self, link: LinkId, bytes: usize) {
        if let Some(End::Peer(id)) = self.ends.get(&link) {
            let peer = self.peers.get_mut(id).expect("links lead to peers");
            peer.unsent = peer.unsent.saturating_sub(bytes);
        }
    }

    /// Whose frame has come on `link`.
    ///
    /// # Panics
    /// When the link never came up.
    pub fn speaker(&self, link: LinkId) -> Speaker {
        match self.ends.get(&link).expect("a frame comes on a link that is up") {
            End::Stranger { .. } => Speaker::Stranger,
            End::Peer(id) => Speaker::Peer(*id),
            End::Gone => Speaker::Nobody,
        }
    }

    /// A stranger said its hello. Gives the server, if the link is to be kept.
    pub fn on_hello(
        &mut self,
        now: Instant,
        link: LinkId,
        hello: &Hello,
        fx: &mut Effects,
    ) -> Option<ServerId> {
        let (id, me) = (hello.from, self.hello.from);
        if id == me {
            let why = format!(
                "says that it is server {me}, as this one is: correct dataDir/myid of one of the \
                 two, or what server.{me} leads to"
            );
            self.refuse(now, link, why, fx);
            return None;
        }
        if !self.peers.contains_key(&id) && !self.admit(hello) {
            let why = format!(
                "says that it is server {id}, which is no member: give all servers the same \
                 server.N lines, or correct its dataDir/myid"
            );
            self.refuse(now, link, why, fx);
            return None;
        }
        let peer = self.peer(id);
        if peer.guest && !hello.addresses().is_empty() {
            peer.addresses = hello.addresses().to_vec();
        }
        if id > me {
            self.keep(now, id, link, fx);
            return Some(id);
        }
        self.close(link, fx);
        self.on_knock(now, id, hello, fx);
        None
    }

    /// Takes a server that is no member as a guest, if it may come, and can be dialled if it must
    /// be; in place of another one that has no link, if there are many.
    fn admit(&mut self, hello: &Hello) -> bool {
        let (id, addresses) = (hello.from, hello.addresses().to_vec());
        if !self.guests || id.0 < 0 || id < self.hello.from && addresses.is_empty() {
            return false;
        }
        let guests = self.peers.iter().filter(|(_, peer)| peer.guest);
        if guests.clone().count() >= MOST_GUESTS {
            let idle =
                |peer: &Peer| peer.link.is_none() && !matches!(peer.dialling, Dialling::Under(_));
            let Some(idle) = guests.filter(|(_, peer)| idle(peer)).map(|(id, _)| *id).next() else {
                return false;
            };
            self.peers.remove(&idle);
        }
        self.peers.insert(id, Peer::new(addresses, true));
        true
    }

    /// A smaller server wants a link: it knows of none.
    fn on_knock(&mut self, now: Instant, id: ServerId, hello: &Hello, fx: &mut Effects) {
        let peer = self.peer(id);
        if peer.link.is_some() && now < peer.fresh_until {
            // Its knock crossed the link.
            return;
        }
        let named = |one: &Address| hello.addresses().contains(one);
        peer.next = peer.addresses.iter().position(named).unwrap_or(peer.next);
        (peer.knocked, peer.owed, peer.away) = (true, true, false);
        if !matches!(peer.dialling, Dialling::Under(_)) {
            peer.dialling = Dialling::Pause { until: now.max(peer.fresh_until) };
        }
        if let Some(dead) = peer.link.take() {
            self.close(dead, fx);
        }
    }

    /// Something came.
    pub fn on_sound(&mut self, now: Instant, from: ServerId) {
        self.peer(from).heard = now;
    }

    /// Something readable came: the next failure is a first one.
    pub fn on_sense(&mut self, from: ServerId) {
        self.peer(from).pause = PAUSE;
    }

    /// Keeps `link` as the one to `id`, in place of any other, and owes it a greeting.
    fn keep(&mut self, now: Instant, id: ServerId, link: LinkId, fx: &mut Effects) {
        let peer = self.peer(id);
        peer.heard = now;
        peer.unsent = 0;
        (peer.owed, peer.knocked, peer.away) = (true, false, false);
        if !matches!(peer.dialling, Dialling::Under(_)) {
            peer.dialling = Dialling::Rest;
        }
        if let Some(old) = peer.link.replace(link) {
            self.close(old, fx);
        }
        self.ends.insert(link, End::Peer(id));
    }

    /// Dials `id` no more for a while, each time for longer.
    fn pause(&mut self, now: Instant, id: ServerId) {
        let peer = self.peer(id);
        if !matches!(peer.dialling, Dialling::Under(_)) {
            peer.dialling = Dialling::Pause { until: now + peer.pause };
            peer.pause = (peer.pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn peer(&mut self, id: ServerId) -> &mut Peer {
        self.peers.get_mut(&id).expect("links lead to peers")
    }

    /// Hangs up without a word.
    fn close(&mut self, link: LinkId, fx: &mut Effects) {
        self.ends.insert(link, End::Gone);
        fx.push(Effect::HangUp { link });
    }

    /// Hangs up for something the other end did.
    pub fn refuse(&mut self, now: Instant, link: LinkId, why: String, fx: &mut Effects) {
        if let Some(&End::Peer(id)) = self.ends.get(&link) {
            self.peer(id).link = None;
            self.pause(now, id);
        }
        self.close(link, fx);
        fx.event(Event::HungUp { link, why });
    }
}
