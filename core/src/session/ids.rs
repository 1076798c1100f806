// SPDX-License-Identifier: Apache-2.0
//! Fresh session ids: the server's number in the high byte, then 40 bits of the clock when the
//! first one is needed, then a counter.

use crate::id::SessionId;

/// The owner that marks containers: no session may be called so.
const CONTAINER: SessionId = SessionId(i64::MIN);
/// Everything below the server's byte.
const LOW: i64 = (1 << 56) - 1;

/// An hour in milliseconds. A process whose clock went back begins an hour of ids beyond those it
/// knows of, and as far again as the clock is in its hour, so that no two processes leap alike:
/// ids just beyond may have been those of sessions that are closed since, and whose clients, who
/// know their passwords, have yet to hear of it.
const HOUR: i64 = 3_600_000;

/// The generator of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    server_id: u8,
    /// The last id given or seen of this server; `None` before the first.
    last: Option<i64>,
    /// Whether the clock has been looked at.
    seeded: bool,
}

impl Ids {
    pub(super) fn new(server_id: u8) -> Ids {
        Ids { server_id, last: None, seeded: false }
    }

    /// A fresh id; ids in use are the caller's to skip.
    pub(super) fn next(&mut self, wall_ms: i64) -> SessionId {
        if !self.seeded {
            self.seeded = true;
            let clock = self.by_clock(wall_ms).0 & LOW;
            self.last = Some(match self.last {
                Some(last) if last >= clock => last + ((HOUR + wall_ms.rem_euclid(HOUR)) << 16),
                _ => clock - 1,
            });
        }
        loop {
            let low = (self.last.unwrap_or(0) + 1) & LOW;
            self.last = Some(low);
            let id = self.named(low);
            if id != CONTAINER && id != SessionId::NONE {
                return id;
            }
        }
    }

    /// The first id of a process that begins now.
    pub(super) fn by_clock(&self, wall_ms: i64) -> SessionId {
        self.named(((wall_ms << 24) as u64 >> 8) as i64)
    }

    fn named(&self, low: i64) -> SessionId {
        SessionId((i64::from(self.server_id) << 56) | low)
    }

    /// Minds an id met in the log or a snapshot: the clock may have gone back since.
    pub(super) fn seen(&mut self, id: SessionId) {
        if (id.0 >> 56) as u8 == self.server_id {
            self.last = self.last.max(Some(id.0 & LOW));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_begin_with_server_and_clock() {
        let mut ids = Ids::new(3);
        // (0x18bcfe56800 << 24) >>> 8, as initializeNextSessionId computes.
        assert_eq!(ids.next(0x0000_018b_cfe5_6800), SessionId(0x038b_cfe5_6800_0000));
        assert_eq!(ids.next(0), SessionId(0x038b_cfe5_6800_0001));
    }

    #[test]
    fn ids_of_the_log_are_passed_over_when_the_clock_went_back() {
        let mut ids = Ids::new(3);
        ids.seen(SessionId(0x0300_0000_0009_0005));
        ids.seen(SessionId(0x0400_0000_0009_0008));
        let leap = (HOUR + 7) << 16;
        assert_eq!(ids.next(7), SessionId(0x0300_0000_0009_0006 + leap));
        assert_eq!(ids.next(7), SessionId(0x0300_0000_0009_0007 + leap));
    }

    #[test]
    fn nobody_is_called_none_or_container() {
        assert_eq!(Ids::new(0).next(0), SessionId(1));
        assert_eq!(Ids::new(0x80).next(0), SessionId(i64::MIN + 1));
    }
}
