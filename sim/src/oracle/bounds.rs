// SPDX-License-Identifier: Apache-2.0
//! A turn does a bounded number of steps beyond its own transactions and replies, and what is
//! queued to a link that does not read is bounded.

use menagerie_core::id::LinkId;

use super::{Check, Property, Violation};

/// Steps that one input may cost.
pub const STEPS_PER_INPUT: u64 = 4_096;
/// Bytes that may be queued to one link, beyond one reply.
pub const QUEUED: usize = 8 << 20;

/// A turn of `inputs` inputs ended after `steps` steps.
pub fn turn(inputs: u64, steps: u64) -> Check {
    let allowed = STEPS_PER_INPUT * (inputs + 1);
    if steps > allowed {
        let what = format!("a turn of {inputs} inputs took {steps} steps, {allowed} allowed");
        return Err(Violation::new(Property::Bounds, what));
    }
    Ok(())
}

/// Bytes were sent to a link.
pub fn queued(link: LinkId, bytes: usize) -> Check {
    if bytes > QUEUED {
        let what = format!("{bytes} bytes are queued to link {}, {QUEUED} allowed", link.0);
        return Err(Violation::new(Property::Bounds, what));
    }
    Ok(())
}
