// SPDX-License-Identifier: Apache-2.0
//! Leader election: FastLeaderElection over one link to each other server.
//!
//! [`Election`] takes what happens on election links, the time, and two things from the node that
//! owns it: "look again, with this standing" and "the epoch is established". It answers with a
//! [`Decision`]. A decision is a hint: that no two leaders are ever established in one epoch, and
//! that the one which is holds everything that was committed, is discovery's part (`zab`).
//!
//! ```text
//!           look            a quorum has voted alike for 200 ms, or all who can be reached have;
//!                           or a quorum has settled on a leader that says it leads
//!   Idle ---------> Looking ---------------------------------------------> Settled
//!                    |   ^                                                  |
//!                    `---'  look: a round further                           |
//!                      ^----------------------------------------------------'
//! ```
//!
//! # Rounds and votes
//!
//! A looking server tells all voters its vote: at first itself. It takes over a better one (by
//! epoch, then zxid, then id) and tells all again; it goes along with a later round and begins
//! there anew; it corrects those who lag behind or begin with a worse one. The newest word of each
//! voter stands for it, also while a decision ripens: Java throws away what settled servers say in
//! those 200 ms, and can follow somebody who does not lead. Links are in order, so the newest word
//! is the truest.
//!
//! The 200 ms are for a better vote that is still on its way. Where a quorum has voted alike and
//! nobody else can be reached, none can be: the decision falls at once, and when a leader is killed
//! there is another one within milliseconds, where Java always waits.
//!
//! A settled server answers whoever is looking. What goes out on a link is always the current
//! state, never a message that has waited (`links.rs` says what else differs from Java).
//!
//! # Empty servers
//!
//! A server that finds nothing on its disk may be new, or may have lost what it acknowledged; if
//! it voted for another one that lags behind, what the two lost and lack would be lost for good
//! (ZOOKEEPER-261, 2325). So its vote counts only in a quorum all of whose members are empty:
//!
//! - It votes for itself at zxid 0, as Java does, and takes over better votes only for others that
//!   hold nothing. A vote is for one candidate, and a server with data never votes for an empty
//!   one, so a quorum for an empty candidate is a quorum of empty servers. Nothing on the wire
//!   changes, and Java peers count its vote nowhere else either.
//! - Once it has heard of any voter with data it knows that this is no first start. From then on it
//!   says zxid -1, which since 3.6 means "neither votes nor may be voted for", and joins as soon as
//!   a quorum of others has settled. It promises itself to no epoch before it has been brought up
//!   to date (`zab::learner`): an epoch on its disk would have it vote after its next start. Nor
//!   does it vote if that was cut short, and it holds a part: [`Standing::Missing`], too.
//! - It votes for nobody who took part in an epoch, either: one that holds nothing may have missed
//!   what this server acknowledged in that epoch, and lost. Nor does it wait because of one: when a
//!   first start was cut short after one server wrote its epoch, the others repeat it.
//! - An `initialize` file makes it a [`Standing::History`] at zxid 0, which votes like any other.
//!   `db.autocreate=false` makes it [`Standing::Missing`]: zxid -1 from the beginning.
//!
//! What remains: where so many voters lose everything that a quorum is empty, and they meet while
//! no voter with data can be heard, they begin a new history. A server that holds the old one
//! refuses its epochs, and wins the next election it takes part in. And empty *Java* servers
//! (`db.autocreate=true`) vote for whoever is best; a candidate cannot tell such a vote from
//! another.
//!
//! # Members that change
//!
//! While a reconfiguration is under way, whoever has it in its log counts the voters of both lists,
//! and needs quorums of both; the others have not heard of the next list, and can elect no
//! stranger. So a server that only the next list names does not propose itself, as in Java, and of
//! two that hold the same, the one in force is better. Only if a quorum in force is known to hold
//! less than it does, it stands after all, which Java's never do: what it holds more may be
//! committed. Until it hears of a vote it has none; nobody counts its round then, so it takes up
//! any.
//!
//! Not here, on purpose: `oraclePath` and `leader.maxTimeToWaitForEpoch`.

mod ballot;
mod framer;
mod links;
#[cfg(test)]
mod tests;
pub mod wire;

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use core::{net::IpAddr, time::Duration};

pub use ballot::Standing;
use ballot::{Ballot, Outcome, Reply};
pub use framer::ElectionFramer;
use links::{Links, Speaker};
use wire::{Address, Form, Hello, HelloForm, Notification, PeerState, Vote};

use crate::{
    config::{Ensemble, Member, PeerRole},
    event::{Event, Level},
    id::{LinkId, ServerId, Zxid},
    io::{Effects, Frame, Input},
    jute,
    quorum::Quorums,
    time::{Instant, earliest},
    zoo::{Mutation, Sound, Zoo},
};

/// What an election must know before it begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// This server, a member of the ensemble.
    pub me: ServerId,
    /// All servers, and where they are.
    pub ensemble: Ensemble,
    /// Which sets of them may decide.
    pub quorums: Quorums,
    /// How long a dial may take, and a link without a hello may last (`cnxTimeout`).
    pub timeout: Duration,
    /// After how long a looking server repeats itself at first, and up to what this doubles
    /// (`fastleader.minNotificationInterval`, `fastleader.maxNotificationInterval`).
    pub intervals: (Duration, Duration),
    /// Whether the hello names all of this server's addresses (`multiAddress.enabled`).
    pub multi_address: bool,
    /// Whether servers that are no members may ask whom to follow (`reconfigEnabled`): they may
    /// become members.
    pub guests: bool,
}

/// How an election ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This server is to lead.
    Leading,
    /// It is to follow.
    Following(ServerId),
    /// It is to observe.
    Observing(ServerId),
}

/// A configuration that another server told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardConfig {
    /// Who told.
    pub from: ServerId,
    /// The zxid of its reconfiguration.
    pub version: u64,
    /// Its text, as it was told.
    pub text: Vec<u8>,
}

/// The election of one server.
#[derive(Clone, Debug)]
pub struct Election<Z: Zoo = Sound> {
    zoo: Z,
    me: ServerId,
    observer: bool,
    multi_address: bool,
    intervals: (Duration, Duration),
    quorums: Quorums,
    /// The configuration in force, as notifications carry it, and its version.
    config: (Vec<u8>, u64),
    links: Links,
    mode: Mode<Z>,
    /// How often it began to look.
    looks: u64,
    /// Those who were looking when last heard, and have not been told of a new epoch since.
    lookers: BTreeSet<ServerId>,
    /// Whether a voter with data has been heard of.
    met_data: bool,
    /// Whether the leader that was decided on looks for one itself.
    deserted: bool,
    heard: Option<HeardConfig>,
    /// Whether it has stopped listening; only in the zoo.
    deaf: bool,
}

#[derive(Clone, Debug)]
enum Mode<Z> {
    Idle,
    Looking {
        ballot: Ballot<Z>,
        /// When all voters are told again, and how long it takes the time after.
        again_at: Instant,
        interval: Duration,
    },
    Settled {
        decision: Decision,
        vote: Vote,
        round: i64,
    },
}

impl<Z: Zoo> Election<Z> {
    /// An election that has not begun: links are taken, and nothing is said on them.
    ///
    /// # Panics
    /// When this server is no member of the ensemble.
    pub fn new(zoo: Z, setup: Setup) -> Election<Z> {
        let Setup { me, ensemble, quorums, timeout, intervals, multi_address, guests } = setup;
        let own = ensemble.members().get(&me.0).expect("a server belongs to its own ensemble");
        let form = hello_form(addresses(own), multi_address);
        let others = ensemble.members().iter().filter(|(id, _)| **id != me.0);
        let others = others.map(|(&id, member)| (ServerId(id), addresses(member)));
        Election {
            zoo,
            me,
            observer: own.role == PeerRole::Observer,
            multi_address,
            intervals,
            links: Links::new(Hello { from: me, form }, timeout, guests, others),
            quorums,
            config: (ensemble.to_string().into_bytes(), ensemble.version()),
            mode: Mode::Idle,
            looks: 0,
            lookers: BTreeSet::new(),
            met_data: false,
            deserted: false,
            heard: None,
            deaf: false,
        }
    }

    /// Other members are in force, or under way: `next` are those, if any. Whoever is in neither is
    /// a guest from now on.
    pub fn reconfigure(
        &mut self,
        now: Instant,
        in_force: &Ensemble,
        next: Option<&Ensemble>,
        quorums: Quorums,
        fx: &mut Effects,
    ) {
        self.config = (in_force.to_string().into_bytes(), in_force.version());
        self.heard = self.heard.take().filter(|heard| heard.version > self.config.1);
        self.quorums = quorums;
        self.observer = false;
        if let Some(own) = in_force.members().get(&self.me.0) {
            self.observer = own.role == PeerRole::Observer;
            self.links.call(hello_form(addresses(own), self.multi_address));
        }
        let members = next.iter().flat_map(|next| next.members()).chain(in_force.members());
        let others = members.filter(|(id, _)| **id != self.me.0);
        self.links.meet(others.map(|(&id, member)| (ServerId(id), addresses(member))));
        self.settle_up(now, fx);
    }

    /// A reconfiguration has named the leader: there is nothing to elect.
    pub fn appoint(&mut self, now: Instant, leader: ServerId, zxid: Zxid, fx: &mut Effects) {
        let (round, epoch) = (self.round(), i64::from(zxid.epoch()));
        let decision = self.decision_for(leader);
        self.mode = Mode::Settled { decision, vote: Vote { leader, zxid, epoch }, round };
        self.owe_all();
        self.settle_up(now, fx);
    }

    /// Looks for a leader, with what is durable here now. Ends whatever was decided before.
    ///
    /// The round is the one after what was decided, as in Java: after it joined an ensemble of an
    /// earlier round than its own, one in which it may have voted, perhaps for a better server. So
    /// may one that was started anew. Those who still count the old word may elect a second leader
    /// of the round, which no quorum follows: no election makes history, but a quorum that promises
    /// itself to an epoch, each member once, and to nobody who holds less (`zab::leader`). The
    /// new word is the last on each link, so it is counted instead of the old one, never beside it.
    pub fn look(&mut self, now: Instant, standing: Standing, fx: &mut Effects) {
        let round = self.round().saturating_add(1);
        (self.deserted, self.looks) = (false, self.looks + 1);
        let (quorums, met_data) = (&self.quorums, self.met_data);
        let ballot = Ballot::new(self.zoo, self.me, quorums, now, round, standing, met_data);
        self.tell(fx, format!("looking for a leader in round {round}, for {}", ballot.vote));
        let sooner = if self.zoo.has(Mutation::VotesRepeatedSooner) { 2 } else { 1 };
        let interval = self.intervals.0 / sooner;
        self.mode = Mode::Looking { ballot, again_at: now + interval, interval };
        self.links.listen(now);
        self.owe_all();
        self.settle_up(now, fx);
    }

    /// This server leads, follows or observes in `epoch` from now on: those who ask will hear of it
    /// (`QuorumPeer.updateElectionVote`), and those who asked hear of it now. Nothing if it looks.
    pub fn established(&mut self, now: Instant, epoch: u32, fx: &mut Effects) {
        if let Mode::Settled { vote, .. } = &mut self.mode {
            vote.epoch = i64::from(epoch);
            for looker in core::mem::take(&mut self.lookers) {
                self.links.owe(looker);
            }
            self.settle_up(now, fx);
        }
    }

    /// Takes one input that concerns election links, or the time. A decision comes once per look.
    ///
    /// # Panics
    /// When the driver breaks the contract: a frame on a link that is not up, a second answer to a
    /// dial.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, fx: &mut Effects) -> Option<Decision> {
        let mut outcome = None;
        match input {
            Input::LinkUp { link, dialled: None, .. } => self.links.on_accepted(now, link, fx),
            Input::LinkUp { link, dialled: Some(dial), .. } => {
                let kept = self.links.on_dialled(now, link, dial, fx);
                self.greet(kept, fx);
            }
            Input::DialFailed { dial, why, .. } => self.links.on_failed(now, dial, &why, fx),
            Input::LinkDown { link } => self.links.on_down(now, link),
            Input::Drained { link, bytes } => self.links.on_drained(link, bytes),
            Input::Frame { link, frame } => outcome = self.on_frame(now, link, frame, fx),
            Input::Time => self.on_time(now, fx),
            Input::File { .. } | Input::Ask { .. } => unreachable!("an election has no files"),
        }
        let decision = self.decide(now, outcome, fx);
        self.settle_up(now, fx);
        decision
    }

    /// When to send [`Input::Time`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (ripe_at, again_at) = match &self.mode {
            Mode::Looking { ballot, again_at, .. } => (ballot.ripe_at, Some(*again_at)),
            Mode::Idle | Mode::Settled { .. } => (None, None),
        };
        let links = self.links.poll_timeout(|id| self.mode.wants(&self.quorums, id));
        earliest([ripe_at, again_at, links])
    }

    /// Whether `link` is an election link that is up.
    pub fn owns(&self, link: LinkId) -> bool {
        self.links.owns(link)
    }

    /// Whether the leader that was decided on was heard to look for one in a later round: the
    /// decision came from words that were old. A leader that steps down is settled for as long as
    /// its log is on the way to the disk, and tells so whoever asks.
    pub fn is_deserted(&self) -> bool {
        self.deserted
    }

    /// Whether a voter with data has been heard of.
    pub fn met_data(&self) -> bool {
        self.met_data
    }

    /// What has been decided, unless this server looks for a leader.
    pub fn decision(&self) -> Option<Decision> {
        match &self.mode {
            Mode::Settled { decision, .. } => Some(*decision),
            Mode::Idle | Mode::Looking { .. } => None,
        }
    }

    /// How often it began to look.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// The round this server is in; 0 before its first election.
    pub fn round(&self) -> i64 {
        match &self.mode {
            Mode::Idle => 0,
            Mode::Looking { ballot, .. } => ballot.round,
            Mode::Settled { round, .. } => *round,
        }
    }

    /// The round and this server's vote in it, while it looks for a leader.
    pub fn vote(&self) -> Option<(i64, Vote)> {
        match &self.mode {
            Mode::Looking { ballot, .. } => Some((ballot.round, ballot.vote)),
            Mode::Idle | Mode::Settled { .. } => None,
        }
    }

    /// The newest configuration anyone told of, if it is newer than this server's. Whether to act
    /// on it is not decided here.
    pub fn heard_config(&self) -> Option<&HeardConfig> {
        self.heard.as_ref()
    }

    /// The same, once.
    pub fn take_heard_config(&mut self) -> Option<HeardConfig> {
        self.heard.take()
    }

    fn on_frame(
        &mut self,
        now: Instant,
        link: LinkId,
        frame: Frame<'_>,
        fx: &mut Effects,
    ) -> Option<Outcome> {
        let packet = match frame {
            Frame::Packet(packet) => packet,
            Frame::Nonsense { len } => {
                let why = format!("sent a length that cannot be: {len}");
                self.links.refuse(now, link, why, fx);
                return None;
            }
            Frame::Word(_)
            | Frame::Oversized { .. }
            | Frame::Tree { .. }
            | Frame::Broken { .. } => {
                unreachable!("an election port's framing machine cuts packets")
            }
        };
        match self.links.speaker(link) {
            Speaker::Nobody => None,
            Speaker::Peer(_) if self.deaf => None,
            Speaker::Stranger => {
                match Hello::decode(packet) {
                    Ok(hello) => {
                        let kept = self.links.on_hello(now, link, &hello, fx);
                        self.greet(kept, fx);
                    }
                    Err(error) => self.links.refuse(now, link, format!("sent {error}"), fx),
                }
                None
            }
            Speaker::Peer(from) => self.on_notification(now, from, packet, fx),
        }
    }

    fn on_notification(
        &mut self,
        now: Instant,
        from: ServerId,
        packet: &[u8],
        fx: &mut Effects,
    ) -> Option<Outcome> {
        self.links.on_sound(now, from);
        match Notification::decode(packet) {
            Ok(heard) => {
                self.links.on_sense(from);
                self.hear(now, from, &heard)
            }
            Err(error) => {
                let text = format!("a notification of server {from} is ignored: {error}");
                fx.event(Event::Note { level: Level::Warn, text });
                self.deaf = self.zoo.has(Mutation::DeafAfterBadNotification);
                None
            }
        }
    }

    /// Takes what another server says. Who has no vote answers nobody: voters answer non-voters at
    /// once, so with Java they answer each other for ever.
    fn hear(&mut self, now: Instant, from: ServerId, heard: &Notification<'_>) -> Option<Outcome> {
        self.hear_config(from, heard);
        if heard.state == PeerState::Looking {
            self.lookers.insert(from);
        } else {
            self.lookers.remove(&from);
        }
        let (i_vote, it_votes) = (self.quorums.is_voter(self.me), self.quorums.is_voter(from));
        let asks = i_vote && heard.state == PeerState::Looking;
        match &mut self.mode {
            Mode::Idle => {}
            Mode::Settled { vote, round, .. } => {
                let looks = heard.state == PeerState::Looking && heard.round > *round;
                self.deserted |= vote.leader == from && looks;
                if asks {
                    self.links.owe(from);
                }
            }
            // It wants to know whom to observe, and hears of no vote in a round before its own.
            Mode::Looking { ballot, .. } if !it_votes => {
                if asks && heard.round <= ballot.round {
                    self.links.owe(from);
                }
            }
            Mode::Looking { ballot, .. } => {
                if self.quorums.is_voter(heard.vote.leader) {
                    self.met_data |= heard.vote.holds_data();
                    let (reply, outcome) = ballot.hear(&self.quorums, now, from, heard);
                    match reply {
                        Reply::ToSender if i_vote => self.links.owe(from),
                        Reply::ToAll => self.owe_all(),
                        Reply::Nothing | Reply::ToSender => {}
                    }
                    return outcome;
                }
                // A voter of the next configuration waits for a vote.
                if asks && heard.vote == Vote::NONE && ballot.vote != Vote::NONE {
                    self.links.owe(from);
                }
            }
        }
        None
    }

    /// Keeps the newest configuration.
    fn hear_config(&mut self, from: ServerId, heard: &Notification<'_>) {
        let Form::Config(text) = heard.form else { return };
        let known = self.heard.as_ref().map_or(self.config.1, |heard| heard.version);
        if let Some(version) = version_of(text)
            && version > known
        {
            self.heard = Some(HeardConfig { from, version, text: text.to_vec() });
        }
    }

    fn on_time(&mut self, now: Instant, fx: &mut Effects) {
        let Election { quorums, links, mode, .. } = self;
        links.on_time(now, |id| mode.wants(quorums, id), fx);
        if let Mode::Looking { again_at, interval, .. } = &mut self.mode
            && *again_at <= now
        {
            *interval = (*interval * 2).min(self.intervals.1);
            *again_at = now + *interval;
            self.owe_all();
        }
    }

    /// Settles, if the election is over.
    fn decide(
        &mut self,
        now: Instant,
        outcome: Option<Outcome>,
        fx: &mut Effects,
    ) -> Option<Decision> {
        let Mode::Looking { ballot, .. } = &self.mode else { return None };
        let unanimous = || ballot.unanimous(&self.quorums, |id| self.links.is_away(id));
        let Outcome { vote, round } = outcome.or_else(|| ballot.ripe(now)).or_else(unanimous)?;
        let decision = self.decision_for(vote.leader);
        let says = match decision {
            Decision::Leading => "leads",
            Decision::Following(_) => "follows",
            Decision::Observing(_) => "observes",
        };
        self.tell(fx, format!("round {round} is over: this server {says}, elected was {vote}"));
        self.mode = Mode::Settled { decision, vote, round };
        Some(decision)
    }

    /// What this server is to do where that one leads. Who is no member follows without a vote.
    fn decision_for(&self, leader: ServerId) -> Decision {
        match self.observer {
            _ if leader == self.me => Decision::Leading,
            true => Decision::Observing(leader),
            false => Decision::Following(leader),
        }
    }

    /// Pays what is owed and dials who is wanted: the end of every input.
    fn settle_up(&mut self, now: Instant, fx: &mut Effects) {
        let Election { quorums, config, links, mode, .. } = self;
        if let Some(current) = mode.current(&config.0) {
            links.pay(fx, |out| frame(&current, out));
        }
        links.dial(now, |id| mode.wants(quorums, id), fx);
    }

    /// A link to a server is new: it hears at once where this one stands.
    fn greet(&mut self, kept: Option<ServerId>, fx: &mut Effects) {
        let (Some(to), Some(mut current)) = (kept, self.mode.current(&self.config.0)) else {
            return;
        };
        if self.zoo.has(Mutation::GreetsWithOldVote) {
            current.state = PeerState::Looking;
        }
        self.links.greet(to, fx, |out| frame(&current, out));
    }

    fn owe_all(&mut self) {
        for voter in self.quorums.voters() {
            self.links.owe(voter);
        }
    }

    fn tell(&self, fx: &mut Effects, text: String) {
        fx.event(Event::Note { level: Level::Info, text });
    }
}

impl<Z: Zoo> Mode<Z> {
    /// What this server says of itself; nothing before its first election.
    fn current<'a>(&self, config: &'a [u8]) -> Option<Notification<'a>> {
        let (state, vote, round) = match self {
            Mode::Idle => return None,
            Mode::Looking { ballot, .. } => (PeerState::Looking, ballot.vote, ballot.round),
            Mode::Settled { decision, vote, round, .. } => {
                let state = match decision {
                    Decision::Leading => PeerState::Leading,
                    Decision::Following(_) => PeerState::Following,
                    Decision::Observing(_) => PeerState::Observing,
                };
                (state, *vote, *round)
            }
        };
        Some(Notification { state, vote, round, form: Form::Config(config) })
    }

    /// Whether a link to `id` is worth dialling for.
    fn wants(&self, quorums: &Quorums, id: ServerId) -> bool {
        matches!(self, Mode::Looking { .. }) && quorums.is_voter(id)
    }
}

fn frame(notification: &Notification<'_>, out: &mut Vec<u8>) {
    let mark = jute::begin_frame(out);
    notification.encode(out);
    jute::end_frame(out, mark);
}

/// Where the election port of a member is.
fn addresses(member: &Member) -> Vec<Address> {
    let addresses = member.addresses.iter();
    addresses.map(|at| Address { host: at.host.clone(), port: at.election_port }).collect()
}

/// The hello of a server with these addresses: none that nobody could dial.
fn hello_form(mut own: Vec<Address>, multi_address: bool) -> HelloForm {
    let wildcard = |at: &Address| at.host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    own.retain(|at| !wildcard(at));
    match own.first() {
        None => HelloForm::Short,
        Some(_) if multi_address => HelloForm::Multi(own),
        Some(first) => HelloForm::Long(vec![first.clone()]),
    }
}

/// The version at the end of a configuration's text.
fn version_of(text: &[u8]) -> Option<u64> {
    let mut lines = core::str::from_utf8(text).ok()?.lines();
    u64::from_str_radix(lines.find_map(|line| line.strip_prefix("version="))?, 16).ok()
}
