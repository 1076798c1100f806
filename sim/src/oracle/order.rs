// SPDX-License-Identifier: Apache-2.0
//! A log ascends, an epoch's transactions are numbered from 1 without gaps, and epochs follow one
//! another (local and global primary order, log continuity).

use menagerie_core::id::Zxid;

use super::{Check, Property, Violation};

/// A server logs a transaction behind `last`, or behind nothing.
pub fn logged(server: usize, last: i64, zxid: i64) -> Check {
    let (last, zxid) = (Zxid(last), Zxid(zxid));
    if zxid.follows(last) {
        return Ok(());
    }
    let what = format!("server {} logs {zxid} behind {last}", server + 1);
    Err(Violation::new(Property::Order, what))
}
