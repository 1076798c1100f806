// SPDX-License-Identifier: Apache-2.0
//! Session passwords, by the formula that every Java server computes, so that a session opened
//! there resumes here and back. They guard against mistakes, not against an attacker.

use crate::{id::SessionId, proto::PASSWORD_LEN};

/// What Java's server folds into the session's id before it seeds its generator.
const SALT: i64 = 0xB341_5C00;

/// The session's password: the first bytes of a `java.util.Random` seeded with its id.
pub fn password(session: SessionId) -> [u8; PASSWORD_LEN] {
    let mut random = JavaRandom::new(session.0 ^ SALT);
    let mut bytes = [0; PASSWORD_LEN];
    for chunk in bytes.chunks_mut(4) {
        chunk.copy_from_slice(&random.next_int().to_le_bytes());
    }
    bytes
}

/// Whether `given` opens the session. Session 0 is nobody's.
pub fn password_opens(session: SessionId, given: &[u8]) -> bool {
    session != SessionId::NONE && password(session) == given
}

/// The linear congruential generator that `java.util.Random` specifies.
struct JavaRandom {
    state: u64,
}

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    fn new(seed: i64) -> JavaRandom {
        JavaRandom { state: (seed as u64 ^ Self::MULTIPLIER) & Self::MASK }
    }

    fn next_int(&mut self) -> i32 {
        self.state = self.state.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB) & Self::MASK;
        (self.state >> 16) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_javas() {
        // new java.util.Random(42).nextInt(), twice.
        let mut random = JavaRandom::new(42);
        assert_eq!((random.next_int(), random.next_int()), (-1_170_105_035, 234_785_527));
    }

    #[test]
    fn passwords_are_javas() {
        // generatePasswd(0x100000000010000) of a 3.9.5 server.
        let expected = 0x8544_e06b_2edc_3db9_6bdf_90f9_278b_afc1_u128.to_be_bytes();
        assert_eq!(password(SessionId(0x0100_0000_0001_0000)), expected);
        let expected = 0x20f6_2cb5_648d_c2d7_7147_1c8a_2486_a9ee_u128.to_be_bytes();
        assert_eq!(password(SessionId(-1)), expected);
    }

    #[test]
    fn only_the_sessions_own_password_opens_it() {
        let session = SessionId(0x0100_0000_0001_0000);
        assert!(password_opens(session, &password(session)));
        assert!(!password_opens(session, &password(SessionId(session.0 + 1))));
        assert!(!password_opens(session, &password(session)[..15]));
        assert!(!password_opens(SessionId::NONE, &password(SessionId::NONE)));
    }
}
