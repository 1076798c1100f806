// SPDX-License-Identifier: Apache-2.0
//! A znode's numbers as they are stored, and what kind of znode its owner field makes it.

use alloc::vec::Vec;

use crate::{
    id::{SessionId, Zxid},
    jute::{Malformed, Reader, Record, Write},
    proto::Stat,
};

const EXTENDED: i64 = 0xff << 56;
const RESERVED: i64 = 0xffff << 40;

/// What snapshots hold of a znode and the digest covers: Java's `StatPersisted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredStat {
    /// The transaction that created it.
    pub czxid: Zxid,
    /// The transaction that last changed its data.
    pub mzxid: Zxid,
    /// When it was created, in milliseconds since the Unix epoch.
    pub ctime: i64,
    /// When its data last changed.
    pub mtime: i64,
    /// Changes of data.
    pub version: i32,
    /// Children ever created; clients are shown [`StoredStat::client_cversion`].
    pub cversion: i32,
    /// Changes of the ACL.
    pub aversion: i32,
    /// The owner field, see [`Owner`].
    pub owner: i64,
    /// The transaction that last changed its children.
    pub pzxid: Zxid,
}

impl StoredStat {
    /// The numbers of a znode just created.
    pub fn fresh(zxid: Zxid, time: i64, owner: i64) -> StoredStat {
        StoredStat {
            czxid: zxid,
            mzxid: zxid,
            ctime: time,
            mtime: time,
            owner,
            pzxid: zxid,
            ..StoredStat::default()
        }
    }

    /// The cversion that clients see: creations and deletions of children.
    pub fn client_cversion(&self, children: i32) -> i32 {
        self.cversion.wrapping_mul(2).wrapping_sub(children)
    }

    /// The numbers as clients see them.
    pub fn client_view(&self, data_length: i32, children: i32) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.client_cversion(children),
            aversion: self.aversion,
            ephemeral_owner: match Owner::from_field(self.owner) {
                Owner::Ephemeral(session) => session.0,
                Owner::Persistent | Owner::Container | Owner::Ttl(_) => 0,
            },
            data_length,
            num_children: children,
            pzxid: self.pzxid,
        }
    }
}

impl Record<'_> for StoredStat {
    fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(StoredStat {
            czxid: Zxid(r.long()?),
            mzxid: Zxid(r.long()?),
            ctime: r.long()?,
            mtime: r.long()?,
            version: r.int()?,
            cversion: r.int()?,
            aversion: r.int()?,
            owner: r.long()?,
            pzxid: Zxid(r.long()?),
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_long(self.czxid.0);
        out.put_long(self.mzxid.0);
        out.put_long(self.ctime);
        out.put_long(self.mtime);
        out.put_int(self.version);
        out.put_int(self.cversion);
        out.put_int(self.aversion);
        out.put_long(self.owner);
        out.put_long(self.pzxid.0);
    }
}

/// Who or what removes a znode: Java's `EphemeralType`, read from the stored owner field.
///
/// Java reads TTLs only with its extended types switched on, and otherwise takes them for sessions
/// that nobody can ever close. A TTL's field cannot be a session's in practice, so here it is
/// always a TTL: which types a client may create is decided where requests are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Only a client.
    Persistent,
    /// The end of a session.
    Ephemeral(SessionId),
    /// The sweeper, once its last child is gone.
    Container,
    /// The sweeper, when it has no children and was not changed for this many milliseconds.
    Ttl(i64),
}

impl Owner {
    /// The largest time to live, in milliseconds.
    pub const MAX_TTL: i64 = !(EXTENDED | RESERVED);

    /// Reads the stored field.
    pub fn from_field(field: i64) -> Owner {
        match field {
            0 => Owner::Persistent,
            i64::MIN => Owner::Container,
            _ if field & (EXTENDED | RESERVED) == EXTENDED => Owner::Ttl(field & Owner::MAX_TTL),
            _ => Owner::Ephemeral(SessionId(field)),
        }
    }

    /// The field to store.
    pub fn field(self) -> i64 {
        match self {
            Owner::Persistent => 0,
            Owner::Ephemeral(session) => session.0,
            Owner::Container => i64::MIN,
            Owner::Ttl(ms) => EXTENDED | (ms & Owner::MAX_TTL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_read_as_java_writes_them() {
        for (field, owner) in [
            (0, Owner::Persistent),
            (0x0100_0000_0000_0001, Owner::Ephemeral(SessionId(0x0100_0000_0000_0001))),
            (i64::MIN, Owner::Container),
            (0xff00_0000_0000_0001_u64.cast_signed(), Owner::Ttl(1)),
            (0xff00_00ff_ffff_ffff_u64.cast_signed(), Owner::Ttl(Owner::MAX_TTL)),
            (-1, Owner::Ephemeral(SessionId(-1))),
        ] {
            assert_eq!(Owner::from_field(field), owner);
            assert_eq!(owner.field(), field);
        }
    }
}
