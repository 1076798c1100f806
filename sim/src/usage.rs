// SPDX-License-Identifier: Apache-2.0
//! Processor time, for those who measure: never seen by a world.

use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

/// What this process has used so far on all processors, with what the system did for it.
pub fn used() -> Duration {
    used_by(UsageWho::RUSAGE_SELF)
}

/// The same of this thread, which does not grow while others are served: what a hunt costs.
pub fn used_by_thread() -> Duration {
    used_by(UsageWho::RUSAGE_THREAD)
}

fn used_by(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("a process may look at itself");
    let of = |time: TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
        Duration::from_secs(seconds)
            + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or_default())
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// How much of something there is for each second of `used`.
pub fn per_second(much: u64, used: Duration) -> u64 {
    let micros = used.as_micros().max(1);
    u64::try_from(u128::from(much) * 1_000_000 / micros).expect("fewer than there are")
}
