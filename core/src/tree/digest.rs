// SPDX-License-Identifier: Apache-2.0
//! The tree digest, by which servers notice that they disagree: Java's `DigestCalculator`, version
//! 2. It is the sum of one CRC-32 per znode over path, data and stored Stat. What lies below
//! `/zookeeper` does not count, since every server keeps quota usage there for itself.

use crc32fast::Hasher;

use super::stat::StoredStat;

/// The version of the formula.
pub const DIGEST_VERSION: i32 = 2;

/// Whether the digest leaves this znode out.
pub fn excluded(path: &[u8]) -> bool {
    path.starts_with(b"/zookeeper/")
}

/// The CRC over the part of a znode that seldom changes: the first step to its digest.
pub fn body_crc(path: &[u8], data: Option<&[u8]>) -> u32 {
    let mut crc = Hasher::new();
    if path != b"/" {
        crc.update(path);
    }
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// The digest of a znode with this [`body_crc`] and Stat, were it not excluded.
pub fn with_stat(body_crc: u32, stat: &StoredStat) -> u64 {
    let mut bytes = [0; 60];
    let mut rest = &mut bytes[..];
    let mut put = |number: &[u8]| {
        let (head, tail) = core::mem::take(&mut rest).split_at_mut(number.len());
        head.copy_from_slice(number);
        rest = tail;
    };
    put(&stat.czxid.0.to_be_bytes());
    put(&stat.mzxid.0.to_be_bytes());
    put(&stat.pzxid.0.to_be_bytes());
    put(&stat.ctime.to_be_bytes());
    put(&stat.mtime.to_be_bytes());
    put(&stat.version.to_be_bytes());
    put(&stat.cversion.to_be_bytes());
    put(&stat.aversion.to_be_bytes());
    put(&stat.owner.to_be_bytes());
    let mut crc = Hasher::new_with_initial(body_crc);
    crc.update(&bytes);
    u64::from(crc.finalize())
}

/// What a znode adds to the tree's digest.
pub fn digest(path: &[u8], data: Option<&[u8]>, stat: &StoredStat) -> u64 {
    if excluded(path) { 0 } else { with_stat(body_crc(path, data), stat) }
}
