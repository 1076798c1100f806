// SPDX-License-Identifier: Apache-2.0
//! What servers say on an election port: one hello, then notifications.
//!
//! Sources: `QuorumCnxManager` (hello) and `FastLeaderElection` (notifications) of ZooKeeper 3.4.9
//! to 3.9.5, and recorded bytes of 3.4.6 and 3.9.5. Nothing here judges whether a sender is who it
//! says, or whether what it says makes sense.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use crate::{
    id::{ServerId, Zxid},
    jute::{Reader, Write},
};

/// Opens the long hello with one address, of ZooKeeper 3.5 and later.
const LONG: i64 = -65_536;

/// Opens the long hello with several addresses (`multiAddress.enabled`), of 3.6 and later.
const LONG_MULTI: i64 = -65_535;

/// The most bytes of addresses in a hello (`QuorumCnxManager.maxBuffer`).
pub const MAX_ADDRESSES: usize = 2_048;

/// The most bytes of a notification (`QuorumCnxManager.PACKETMAXSIZE`).
pub const MAX_NOTIFICATION: usize = 512 << 10;

/// Why a peer's bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WireError {
    /// A hello of a protocol nobody speaks.
    Protocol(i64),
    /// A hello that announces this many bytes of addresses.
    Addresses(i32),
    /// A hello with an address that is not `host:port`.
    Address(String),
    /// Fewer bytes than the message needs.
    Short(usize),
    /// A state that no server is in.
    State(i32),
    /// A configuration of this length in a message of that length.
    Config(i32, usize),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Protocol(number) => write!(f, "a hello of the unknown protocol {number}"),
            WireError::Addresses(len) => write!(f, "a hello with {len} bytes of addresses"),
            WireError::Address(text) => write!(f, "'{text}' is not an address"),
            WireError::Short(len) => write!(f, "a message of {len} bytes is too short"),
            WireError::State(number) => write!(f, "the unknown state {number}"),
            WireError::Config(len, within) => {
                write!(f, "a configuration of {len} bytes in a message of {within}")
            }
        }
    }
}

impl core::error::Error for WireError {}

/// A host and a port, as the sender of a hello wants to be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    fn parse(text: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
        let port = port.parse().ok()?;
        (!host.is_empty()).then(|| Address { host: host.into(), port })
    }
}

/// The first thing a dialling server says: who it is and, since 3.5, where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Who it is.
    pub from: ServerId,
    /// Where it wants to be dialled.
    pub form: HelloForm,
}

/// The forms of a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloForm {
    /// Nothing but the id: ZooKeeper 3.4.
    Short,
    /// One address: 3.5 and later.
    Long(Vec<Address>),
    /// Any number of addresses: 3.6 and later with `multiAddress.enabled`.
    Multi(Vec<Address>),
}

impl Hello {
    /// The addresses it names.
    pub fn addresses(&self) -> &[Address] {
        match &self.form {
            HelloForm::Short => &[],
            HelloForm::Long(addresses) | HelloForm::Multi(addresses) => addresses,
        }
    }

    /// How many bytes the hello that begins with `head` takes. `None` if more of it must be seen;
    /// an announcement that cannot be is the end of it.
    pub(super) fn length(head: &[u8]) -> Option<usize> {
        let (first, rest) = head.split_first_chunk()?;
        if !matches!(i64::from_be_bytes(*first), LONG | LONG_MULTI) {
            return Some(8);
        }
        let len = i32::from_be_bytes(*rest.get(8..)?.first_chunk()?);
        let len = usize::try_from(len).ok().filter(|&len| len <= MAX_ADDRESSES);
        Some(20 + len.unwrap_or(0))
    }

    /// Reads a whole hello.
    ///
    /// # Errors
    /// When it is none: the link should be hung up.
    pub fn decode(bytes: &[u8]) -> Result<Hello, WireError> {
        let short = |_| WireError::Short(bytes.len());
        let mut r = Reader::new(bytes);
        let first = r.long().map_err(short)?;
        if first >= 0 {
            return Ok(Hello { from: ServerId(first), form: HelloForm::Short });
        }
        if !matches!(first, LONG | LONG_MULTI) {
            return Err(WireError::Protocol(first));
        }
        let from = ServerId(r.long().map_err(short)?);
        let len = r.int().map_err(short)?;
        let fits = usize::try_from(len).ok().filter(|&len| len <= MAX_ADDRESSES);
        let text = r.take(fits.ok_or(WireError::Addresses(len))?).map_err(short)?;
        let text = String::from_utf8_lossy(text);
        let pieces = text.split('|').filter(|piece| !piece.is_empty());
        let addresses: Vec<Address> = pieces
            .map(|piece| Address::parse(piece).ok_or_else(|| WireError::Address(piece.into())))
            .collect::<Result<_, _>>()?;
        let form = match first {
            LONG => HelloForm::Long(addresses),
            _ => HelloForm::Multi(addresses),
        };
        Ok(Hello { from, form })
    }

    /// Appends the hello.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match &self.form {
            HelloForm::Short => return out.put_long(self.from.0),
            HelloForm::Long(_) => out.put_long(LONG),
            HelloForm::Multi(_) => out.put_long(LONG_MULTI),
        }
        out.put_long(self.from.0);
        let texts: Vec<String> = self.addresses().iter().map(ToString::to_string).collect();
        out.put_string(texts.join("|").as_bytes());
    }
}

/// What a server does while it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    /// Looks for a leader.
    Looking,
    /// Follows the leader of its vote.
    Following,
    /// Is the leader of its vote.
    Leading,
    /// Observes the leader of its vote.
    Observing,
}

impl fmt::Display for PeerState {
    /// The word of ZooKeeper's logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerState::Looking => "LOOKING",
            PeerState::Following => "FOLLOWING",
            PeerState::Leading => "LEADING",
            PeerState::Observing => "OBSERVING",
        })
    }
}

/// Whom a server wants to lead, and what it knows of that server's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The candidate.
    pub leader: ServerId,
    /// The last transaction the candidate has.
    pub zxid: Zxid,
    /// The epoch the candidate last took part in (`currentEpoch`).
    pub epoch: i64,
}

impl Vote {
    /// No candidate and no history: where an observer begins.
    pub const NONE: Vote =
        Vote { leader: ServerId(i64::MIN), zxid: Zxid(i64::MIN), epoch: i64::MIN };

    /// Whether the candidate holds transactions, or an epoch that began after there could be some.
    ///
    /// Zxid 0 in any epoch is none: who took part in an epoch had by then all that was committed
    /// before it.
    pub fn holds_data(&self) -> bool {
        self.zxid > Zxid::new(1, 0)
    }

    /// Whether the candidate says that its database is missing (zxid -1, since 3.6): such a server
    /// neither votes nor is voted for.
    pub fn is_void(&self) -> bool {
        self.zxid == Zxid(-1)
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Vote::NONE => f.write_str("nobody"),
            Vote { leader, zxid, epoch } if zxid.0 < 0 => {
                write!(f, "{leader} (epoch {epoch}, zxid {})", zxid.0)
            }
            Vote { leader, zxid, epoch } => write!(f, "{leader} (epoch {epoch}, zxid {zxid})"),
        }
    }
}

/// What a server says of itself and its vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// What it does.
    pub state: PeerState,
    /// Its vote.
    pub vote: Vote,
    /// The election in which it gave this vote, by its own count.
    pub round: i64,
    /// How its message ends.
    pub form: Form<'a>,
}

/// The forms that a notification has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// 28 bytes, before 3.4: the epoch is that of the zxid.
    V28,
    /// 36 bytes, 3.4.0 to 3.4.5: with an epoch.
    V36,
    /// 40 bytes, 3.4.6 to 3.4.14: with a version, which is 1.
    V40(i32),
    /// 44 bytes and a configuration, 3.5 and later.
    Config(&'a [u8]),
}

impl<'a> Notification<'a> {
    /// Reads a notification; what follows it is of a later version and ignored.
    ///
    /// # Errors
    /// When it is none: it should be ignored, and the link kept.
    pub fn decode(bytes: &'a [u8]) -> Result<Notification<'a>, WireError> {
        let short = |_| WireError::Short(bytes.len());
        let mut r = Reader::new(bytes);
        let state = match r.int().map_err(short)? {
            0 => Ok(PeerState::Looking),
            1 => Ok(PeerState::Following),
            2 => Ok(PeerState::Leading),
            3 => Ok(PeerState::Observing),
            other => Err(other),
        };
        let leader = ServerId(r.long().map_err(short)?);
        let zxid = Zxid(r.long().map_err(short)?);
        let round = r.long().map_err(short)?;
        let (epoch, form) = if r.is_empty() {
            (zxid.0 >> 32, Form::V28)
        } else {
            let epoch = r.long().map_err(short)?;
            (epoch, form(&mut r, bytes.len())?)
        };
        let state = state.map_err(WireError::State)?;
        Ok(Notification { state, vote: Vote { leader, zxid, epoch }, round, form })
    }

    /// Appends the notification, without its frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(match self.state {
            PeerState::Looking => 0,
            PeerState::Following => 1,
            PeerState::Leading => 2,
            PeerState::Observing => 3,
        });
        out.put_long(self.vote.leader.0);
        out.put_long(self.vote.zxid.0);
        out.put_long(self.round);
        match self.form {
            Form::V28 => {}
            Form::V36 => out.put_long(self.vote.epoch),
            Form::V40(version) => {
                out.put_long(self.vote.epoch);
                out.put_int(version);
            }
            Form::Config(text) => {
                out.put_long(self.vote.epoch);
                out.put_int(2);
                out.put_string(text);
            }
        }
    }

    /// Whether its sender knows of ZOOKEEPER-1732: those before 3.4.6 vote with other epochs.
    pub fn is_versioned(&self) -> bool {
        match self.form {
            Form::V28 | Form::V36 => false,
            Form::V40(version) => version > 0,
            Form::Config(_) => true,
        }
    }
}

fn form<'a>(r: &mut Reader<'a>, whole: usize) -> Result<Form<'a>, WireError> {
    let short = |_| WireError::Short(whole);
    if r.is_empty() {
        return Ok(Form::V36);
    }
    let version = r.int().map_err(short)?;
    if version <= 1 {
        return Ok(Form::V40(version));
    }
    let len = r.int().map_err(short)?;
    let text = usize::try_from(len).ok().and_then(|len| r.take(len).ok());
    text.map(Form::Config).ok_or(WireError::Config(len, whole))
}
