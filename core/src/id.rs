// SPDX-License-Identifier: Apache-2.0
//! Names for things: each number that travels has its own type, so they cannot be swapped.

use core::fmt;

/// A transaction's place in history: the epoch in the high 32 bits, a counter in the low ones.
///
/// Signed, because ZooKeeper compares it so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zxid(pub i64);

impl Zxid {
    /// The zxid before every transaction.
    pub const ZERO: Zxid = Zxid(0);

    /// The zxid with this epoch and counter.
    pub fn new(epoch: u32, counter: u32) -> Zxid {
        Zxid((i64::from(epoch) << 32) | i64::from(counter))
    }

    /// The epoch: which leader's history this transaction belongs to.
    pub fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The place within the epoch.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The zxid after this one; the caller minds the counter's rollover.
    pub fn next(self) -> Zxid {
        Zxid(self.0 + 1)
    }

    /// Whether this can be the transaction after `last`: the next of its epoch, or the first of a
    /// later one.
    pub fn follows(self, last: Zxid) -> bool {
        self == last.next() || (self.epoch() > last.epoch() && self.counter() == 1)
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A session, as the client, the log and the snapshot name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: never given out, and the owner of persistent znodes.
    pub const NONE: SessionId = SessionId(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// A member of an ensemble: the N of its `server.N` line. Never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection, named by the driver; never reused within one life of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// An attempt to open a link, named by the core; never reused for its port within one life of a
/// core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// A lane of file operations, named by the core; never reused within one life of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);

/// An open file, named by the core; never reused within one life of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// One file operation, named by the core; never reused within one life of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// A question of an operator, named by the driver, which gets its answer under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_follows_within_its_epoch_or_begins_a_later_one() {
        assert!(Zxid(1).follows(Zxid::ZERO));
        assert!(Zxid(6).follows(Zxid(5)));
        assert!(Zxid::new(3, 1).follows(Zxid::new(1, 9)));
        assert!(!Zxid(7).follows(Zxid(5)));
        assert!(!Zxid::new(2, 2).follows(Zxid::new(1, 9)));
        assert!(!Zxid::new(1, 1).follows(Zxid::new(2, 9)));
    }
}
