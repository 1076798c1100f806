// SPDX-License-Identifier: Apache-2.0
//! What the server's process has used, as Linux tells it.

use std::{fs, io, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// CPU time of a process since its start, by itself and by the system for it.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let place = format!("/proc/{pid}/stat");
    let told = |error| io::Error::other(format!("cannot read {place}: {error}"));
    let text = fs::read_to_string(&place).map_err(|error| told(error.to_string()))?;
    let ticks = ticks(&text).ok_or_else(|| told("it is not as expected".into()))?;
    let per_second = sysconf(SysconfVar::CLK_TCK)?.expect("Linux counts CPU time in ticks");
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// The sum of fields 14 and 15; the second field, in brackets, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_processes_may_hold_brackets_and_spaces() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_used_some() {
        let busy = || (0..100_000_u64).map(std::hint::black_box).sum::<u64>();
        while cpu_time(std::process::id()).expect("this process runs").is_zero() {
            std::hint::black_box(busy());
        }
    }
}
