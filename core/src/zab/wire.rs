// SPDX-License-Identifier: Apache-2.0
//! The packets of the quorum port, byte for byte as Java writes them.
//!
//! Every packet is one record, [`QuorumPacket`]. What it means depends on who sends it, so there
//! are two readings: [`FromLeader`] and [`FromLearner`]. Reading ignores what is trailing and what
//! a type has no use for, as Java does; writing what was read gives back what Java emitted.
//!
//! | type | from the leader | from a learner |
//! |---|---|---|
//! | 1 | | REQUEST: a client's request, forwarded |
//! | 2 | PROPOSAL: a log entry | |
//! | 3 | | ACK: everything up to this zxid is durable |
//! | 4 | COMMIT | |
//! | 5 | PING: the last zxid proposed | PING: the sessions heard of since |
//! | 6 | REVALIDATE: whether a session lives | REVALIDATE: does it? |
//! | 7 | SYNC: releases the oldest sync | |
//! | 8 | INFORM: a committed log entry, for observers | |
//! | 9 | COMMITANDACTIVATE: a COMMIT of a reconfiguration | |
//! | 10 | NEWLEADER: here ends the synchronisation | |
//! | 11 | | FOLLOWERINFO: the first packet |
//! | 12 | UPTODATE: serve | |
//! | 13 | DIFF: what is missing follows | |
//! | 14 | TRUNC: cut the log behind this zxid | |
//! | 15 | SNAP: a whole tree follows, outside of any packet | |
//! | 16 | | OBSERVERINFO: the first packet |
//! | 17 | LEADERINFO: the new epoch | |
//! | 18 | | ACKEPOCH: the epoch and zxid that the learner comes from |
//! | 19 | INFORMANDACTIVATE: an INFORM of a reconfiguration | |

use alloc::vec::Vec;

use crate::{
    id::{ServerId, SessionId, Zxid},
    jute::{Malformed, Reader, Record, Write},
    proto::Identity,
};

/// The version of the protocol that both sides say they speak (ZAB 1.0).
pub const PROTOCOL: i32 = 0x10000;

/// What a leader of ours has behind the version in its LEADERINFO. No other leader has anything
/// there, and no learner of Java's, from 3.4 on, reads further than the version
/// (`Learner.registerWithLeader`).
const OURS: &[u8] = b"Menagerie";

/// The zxid of packets that are about none.
const NO_ZXID: Zxid = Zxid(-1);

/// Numbers of packet types: the constants of Java's `Leader`.
pub mod kind {
    #![expect(missing_docs, reason = "the table of the module says what each is")]
    pub const REQUEST: i32 = 1;
    pub const PROPOSAL: i32 = 2;
    pub const ACK: i32 = 3;
    pub const COMMIT: i32 = 4;
    pub const PING: i32 = 5;
    pub const REVALIDATE: i32 = 6;
    pub const SYNC: i32 = 7;
    pub const INFORM: i32 = 8;
    pub const COMMITANDACTIVATE: i32 = 9;
    pub const NEWLEADER: i32 = 10;
    pub const FOLLOWERINFO: i32 = 11;
    pub const UPTODATE: i32 = 12;
    pub const DIFF: i32 = 13;
    pub const TRUNC: i32 = 14;
    pub const SNAP: i32 = 15;
    pub const OBSERVERINFO: i32 = 16;
    pub const LEADERINFO: i32 = 17;
    pub const ACKEPOCH: i32 = 18;
    pub const INFORMANDACTIVATE: i32 = 19;
}

/// Any packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumPacket<'a> {
    /// One of [`kind`].
    pub kind: i32,
    /// The transaction it is about.
    pub zxid: Zxid,
    /// What it carries; null differs from empty.
    pub data: Option<&'a [u8]>,
    /// Who asked, in a REQUEST.
    pub auth: Option<Vec<Identity<'a>>>,
}

impl<'a> QuorumPacket<'a> {
    /// The bytes around the data of a packet without identities.
    pub const OVERHEAD: u32 = 20;

    /// A packet of this kind with this data.
    fn new(kind: i32, zxid: Zxid, data: Option<&'a [u8]>) -> QuorumPacket<'a> {
        QuorumPacket { kind, zxid, data, auth: None }
    }

    fn reader(&self) -> Result<Reader<'a>, Malformed> {
        self.data.map(Reader::new).ok_or(Malformed)
    }
}

impl<'a> Record<'a> for QuorumPacket<'a> {
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (kind, zxid, data) = (r.int()?, Zxid(r.long()?), r.buffer()?);
        let identity = |r: &mut Reader<'a>| {
            let scheme = r.buffer()?.unwrap_or_default();
            Ok(Identity { scheme, id: r.buffer()?.unwrap_or_default() })
        };
        let auth = match r.vector(8)? {
            None => None,
            Some(n) => Some((0..n).map(|_| identity(r)).collect::<Result<_, Malformed>>()?),
        };
        Ok(QuorumPacket { kind, zxid, data, auth })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_int(self.kind);
        out.put_long(self.zxid.0);
        out.put_buffer(self.data);
        let Some(auth) = &self.auth else { return out.put_int(-1) };
        out.put_count(auth.len());
        for identity in auth {
            out.put_string(identity.scheme);
            out.put_string(identity.id);
        }
    }
}

/// What a learner says of itself in its first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerInfo {
    /// Which server it is.
    pub sid: ServerId,
    /// The version of the protocol, [`PROTOCOL`].
    pub protocol: i32,
    /// The version of its configuration; absent in the 12 bytes of a 3.4 server.
    pub config_version: Option<i64>,
}

impl Record<'_> for LearnerInfo {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (sid, protocol) = (ServerId(r.long()?), r.int()?);
        let config_version = if r.rest().len() < 8 { None } else { Some(r.long()?) };
        Ok(LearnerInfo { sid, protocol, config_version })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.sid.0);
        out.put_int(self.protocol);
        if let Some(version) = self.config_version {
            out.put_long(version);
        }
    }
}

/// A client's request on its way to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedRequest<'a> {
    /// Whose it is.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// The number of its operation.
    pub op: i32,
    /// Its record, as the client sent it.
    pub body: &'a [u8],
    /// Who the client is; null for what a server asks on a client's behalf.
    pub auth: Option<Vec<Identity<'a>>>,
}

/// The sessions a learner has heard of, with their timeouts in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched<'a>(&'a [u8]);

impl<'a> Touched<'a> {
    /// Bytes of one session.
    const ENTRY: usize = 12;

    /// Appends a session to what will be read as these.
    pub fn put(session: SessionId, timeout_ms: i32, out: &mut Vec<u8>) {
        out.put_long(session.0);
        out.put_int(timeout_ms);
    }

    /// The sessions that were put into `bytes`; a piece of one at the end is ignored.
    pub fn of(bytes: &'a [u8]) -> Touched<'a> {
        Touched(&bytes[..bytes.len() - bytes.len() % Touched::ENTRY])
    }

    /// Each session and its timeout in milliseconds.
    pub fn iter(self) -> impl Iterator<Item = (SessionId, i32)> + 'a {
        self.0.chunks_exact(Touched::ENTRY).map(|entry| {
            let mut r = Reader::new(entry);
            let session = r.long().expect("an entry begins with 8 bytes");
            (SessionId(session), r.int().expect("an entry ends with 4 bytes"))
        })
    }
}

/// What a leader says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromLeader<'a> {
    /// The epoch it proposes.
    LeaderInfo {
        /// The epoch's first zxid.
        zxid: Zxid,
        /// Whether the leader is a server of this make.
        ours: bool,
    },
    /// What is missing follows.
    Diff {
        /// The last transaction committed.
        zxid: Zxid,
    },
    /// What is behind `zxid` in the log was never committed.
    Trunc {
        /// The last transaction to keep.
        zxid: Zxid,
    },
    /// A whole tree follows.
    Snap {
        /// The last transaction in it.
        zxid: Zxid,
    },
    /// The synchronisation ends here.
    NewLeader {
        /// The epoch's first zxid.
        zxid: Zxid,
        /// The configuration's text, from 3.5 on.
        config: Option<&'a [u8]>,
    },
    /// A quorum follows this leader: serve.
    UpToDate,
    /// A transaction to log and acknowledge.
    Proposal {
        /// The transaction.
        zxid: Zxid,
        /// Its log entry: header, body and, from 3.6 on, digest.
        entry: &'a [u8],
    },
    /// A transaction that was proposed may be applied.
    Commit {
        /// The transaction.
        zxid: Zxid,
        /// After a reconfiguration: who is to lead.
        designated: Option<ServerId>,
    },
    /// A transaction to log and apply, for an observer.
    Inform {
        /// The transaction.
        zxid: Zxid,
        /// Its log entry.
        entry: &'a [u8],
        /// After a reconfiguration: who is to lead.
        designated: Option<ServerId>,
    },
    /// The leader lives.
    Ping {
        /// The last transaction it proposed.
        zxid: Zxid,
    },
    /// The answer to a [`FromLearner::Revalidate`].
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it lives, and has moved to the learner that asked.
        valid: bool,
    },
    /// The answer to the learner's oldest sync.
    Sync,
}

impl<'a> FromLeader<'a> {
    /// Reads a packet; malformed are also types that no leader sends.
    pub fn read(packet: &QuorumPacket<'a>) -> Result<FromLeader<'a>, Malformed> {
        let zxid = packet.zxid;
        let designated = |r: &mut Reader<'_>| r.long().map(|sid| Some(ServerId(sid)));
        Ok(match packet.kind {
            kind::LEADERINFO => {
                let mut r = packet.reader()?;
                if r.int()? < PROTOCOL {
                    return Err(Malformed);
                }
                FromLeader::LeaderInfo { zxid, ours: r.rest() == OURS }
            }
            kind::DIFF => FromLeader::Diff { zxid },
            kind::TRUNC => FromLeader::Trunc { zxid },
            kind::SNAP => FromLeader::Snap { zxid },
            kind::NEWLEADER => FromLeader::NewLeader { zxid, config: packet.data },
            kind::UPTODATE => FromLeader::UpToDate,
            kind::PROPOSAL => FromLeader::Proposal { zxid, entry: packet.data.ok_or(Malformed)? },
            kind::COMMIT => FromLeader::Commit { zxid, designated: None },
            kind::COMMITANDACTIVATE => {
                FromLeader::Commit { zxid, designated: designated(&mut packet.reader()?)? }
            }
            kind::INFORM => {
                let entry = packet.data.ok_or(Malformed)?;
                FromLeader::Inform { zxid, entry, designated: None }
            }
            kind::INFORMANDACTIVATE => {
                let mut r = packet.reader()?;
                let designated = designated(&mut r)?;
                FromLeader::Inform { zxid, entry: r.rest(), designated }
            }
            kind::PING => FromLeader::Ping { zxid },
            kind::REVALIDATE => {
                let mut r = packet.reader()?;
                FromLeader::Revalidated { session: SessionId(r.long()?), valid: r.bool()? }
            }
            kind::SYNC => FromLeader::Sync,
            _ => return Err(Malformed),
        })
    }

    /// Its name in ZooKeeper's words.
    pub fn name(&self) -> &'static str {
        match self {
            FromLeader::LeaderInfo { .. } => "LEADERINFO",
            FromLeader::Diff { .. } => "DIFF",
            FromLeader::Trunc { .. } => "TRUNC",
            FromLeader::Snap { .. } => "SNAP",
            FromLeader::NewLeader { .. } => "NEWLEADER",
            FromLeader::UpToDate => "UPTODATE",
            FromLeader::Proposal { .. } => "PROPOSAL",
            FromLeader::Commit { .. } => "COMMIT",
            FromLeader::Inform { .. } => "INFORM",
            FromLeader::Ping { .. } => "PING",
            FromLeader::Revalidated { .. } => "REVALIDATE",
            FromLeader::Sync => "SYNC",
        }
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |kind, zxid, data| QuorumPacket::new(kind, zxid, data).encode(out);
        match *self {
            FromLeader::LeaderInfo { zxid, ours } => {
                let data = [&PROTOCOL.to_be_bytes()[..], if ours { OURS } else { &[] }].concat();
                put(kind::LEADERINFO, zxid, Some(&data));
            }
            FromLeader::Diff { zxid } => put(kind::DIFF, zxid, None),
            FromLeader::Trunc { zxid } => put(kind::TRUNC, zxid, None),
            FromLeader::Snap { zxid } => put(kind::SNAP, zxid, None),
            FromLeader::NewLeader { zxid, config } => put(kind::NEWLEADER, zxid, config),
            FromLeader::UpToDate => put(kind::UPTODATE, NO_ZXID, None),
            FromLeader::Proposal { zxid, entry } => put(kind::PROPOSAL, zxid, Some(entry)),
            FromLeader::Commit { zxid, designated: None } => put(kind::COMMIT, zxid, None),
            FromLeader::Commit { zxid, designated: Some(sid) } => {
                put(kind::COMMITANDACTIVATE, zxid, Some(&sid.0.to_be_bytes()));
            }
            FromLeader::Inform { zxid, entry, designated: None } => {
                put(kind::INFORM, zxid, Some(entry));
            }
            FromLeader::Inform { zxid, entry, designated: Some(sid) } => {
                let data = [&sid.0.to_be_bytes(), entry].concat();
                put(kind::INFORMANDACTIVATE, zxid, Some(&data));
            }
            FromLeader::Ping { zxid } => put(kind::PING, zxid, None),
            FromLeader::Revalidated { session, valid } => {
                let mut data = Vec::with_capacity(9);
                data.put_long(session.0);
                data.put_bool(valid);
                put(kind::REVALIDATE, NO_ZXID, Some(&data));
            }
            FromLeader::Sync => put(kind::SYNC, Zxid::ZERO, None),
        }
    }
}

/// What a learner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromLearner<'a> {
    /// Its first packet.
    Info {
        /// The first zxid of the epoch it accepted last.
        accepted: Zxid,
        /// Whether it is an observer.
        observer: bool,
        /// Who it is.
        info: LearnerInfo,
    },
    /// It has accepted the leader's epoch.
    AckEpoch {
        /// The last transaction in its log.
        zxid: Zxid,
        /// The epoch it comes from; none when it had accepted the leader's before.
        current: Option<i32>,
    },
    /// Everything up to a transaction is durable there; the epoch's first zxid answers NEWLEADER.
    Ack {
        /// The transaction.
        zxid: Zxid,
    },
    /// The answer to a [`FromLeader::Ping`].
    Ping {
        /// The PING's own.
        zxid: Zxid,
        /// The sessions it heard of.
        touched: Touched<'a>,
    },
    /// A client's request.
    Request(ForwardedRequest<'a>),
    /// Asks whether a session lives, for a client that wants it back.
    Revalidate {
        /// The session.
        session: SessionId,
        /// The timeout in milliseconds.
        timeout_ms: i32,
    },
}

impl<'a> FromLearner<'a> {
    /// Reads a packet; malformed are also types that no learner sends.
    pub fn read(packet: QuorumPacket<'a>) -> Result<FromLearner<'a>, Malformed> {
        let zxid = packet.zxid;
        Ok(match packet.kind {
            kind::FOLLOWERINFO | kind::OBSERVERINFO => FromLearner::Info {
                accepted: zxid,
                observer: packet.kind == kind::OBSERVERINFO,
                info: LearnerInfo::decode(&mut packet.reader()?)?,
            },
            kind::ACKEPOCH => {
                let epoch = packet.reader()?.int()?;
                FromLearner::AckEpoch { zxid, current: Some(epoch).filter(|epoch| *epoch != -1) }
            }
            kind::ACK => FromLearner::Ack { zxid },
            kind::PING => {
                FromLearner::Ping { zxid, touched: Touched::of(packet.data.unwrap_or_default()) }
            }
            kind::REQUEST => {
                let mut r = packet.reader()?;
                FromLearner::Request(ForwardedRequest {
                    session: SessionId(r.long()?),
                    cxid: r.int()?,
                    op: r.int()?,
                    body: r.rest(),
                    auth: packet.auth,
                })
            }
            kind::REVALIDATE => {
                let mut r = packet.reader()?;
                FromLearner::Revalidate { session: SessionId(r.long()?), timeout_ms: r.int()? }
            }
            _ => return Err(Malformed),
        })
    }

    /// Appends the packet.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        let (kind, zxid) = match self {
            FromLearner::Info { accepted, observer, info } => {
                info.encode(&mut data);
                (if *observer { kind::OBSERVERINFO } else { kind::FOLLOWERINFO }, *accepted)
            }
            FromLearner::AckEpoch { zxid, current } => {
                data.put_int(current.unwrap_or(-1));
                (kind::ACKEPOCH, *zxid)
            }
            FromLearner::Ack { zxid } => {
                return QuorumPacket::new(kind::ACK, *zxid, None).encode(out);
            }
            FromLearner::Ping { zxid, touched } => {
                data.extend_from_slice(touched.0);
                (kind::PING, *zxid)
            }
            FromLearner::Request(request) => return request.encode(out),
            FromLearner::Revalidate { session, timeout_ms } => {
                data.put_long(session.0);
                data.put_int(*timeout_ms);
                (kind::REVALIDATE, NO_ZXID)
            }
        };
        QuorumPacket::new(kind, zxid, Some(&data)).encode(out);
    }
}

impl ForwardedRequest<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut data = Vec::with_capacity(16 + self.body.len());
        data.put_long(self.session.0);
        data.put_int(self.cxid);
        data.put_int(self.op);
        data.extend_from_slice(self.body);
        let auth = self.auth.clone();
        QuorumPacket { kind: kind::REQUEST, zxid: NO_ZXID, data: Some(&data), auth }.encode(out);
    }
}

#[cfg(test)]
pub(super) mod tests;
