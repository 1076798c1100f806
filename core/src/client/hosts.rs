// SPDX-License-Identifier: Apache-2.0
//! Which host to dial, and when: the connect string and the ring of hosts.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::{fmt, str::FromStr, time::Duration};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// The port of hosts that name none.
const DEFAULT_PORT: u16 = 2181;
/// The shortest wait after a whole pass over the hosts failed; it doubles with each pass.
const BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait.
const BACKOFF_LIMIT: Duration = Duration::from_secs(5);

/// Hosts and an optional chroot: `host:port,host:port/chroot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectString {
    /// `host:port` each, at least one.
    pub hosts: Vec<String>,
    /// The path that every path of the user is below, without a final slash; empty for none.
    pub chroot: String,
}

/// Text that is not a connect string, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadConnectString(String);

impl fmt::Display for BadConnectString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for BadConnectString {}

impl FromStr for ConnectString {
    type Err = BadConnectString;

    fn from_str(text: &str) -> Result<ConnectString, BadConnectString> {
        let (hosts, chroot) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let chroot = if chroot == "/" { "" } else { chroot };
        let odd = |part: &str| matches!(part, "" | "." | "..");
        if chroot.split('/').skip(1).any(odd) {
            return Err(BadConnectString(format!("\"{chroot}\" cannot be a chroot path")));
        }
        let hosts = hosts
            .split(',')
            .map(str::trim)
            .filter(|host| !host.is_empty())
            .map(with_port)
            .collect::<Result<Vec<_>, _>>()?;
        if hosts.is_empty() {
            return Err(BadConnectString(format!("\"{text}\" names no host")));
        }
        Ok(ConnectString { hosts, chroot: chroot.to_owned() })
    }
}

fn with_port(host: &str) -> Result<String, BadConnectString> {
    let bad = |why: &str| BadConnectString(format!("\"{host}\": {why}"));
    let (name, port) = match host.rsplit_once(':') {
        Some((name, _)) if name.contains(':') && !name.ends_with(']') => (host, None),
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if name.is_empty() {
        return Err(bad("no host name before the port"));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(text) => text.parse().map_err(|_| bad("the port is not a number up to 65535"))?,
    };
    // A bare IPv6 address gets its brackets.
    let bare = name.contains(':') && !name.starts_with('[');
    Ok(if bare { format!("[{name}]:{port}") } else { format!("{name}:{port}") })
}

/// The hosts in an order of its own, and how the attempts went since the last that stood.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    hosts: Vec<String>,
    at: usize,
    failed: usize,
    rng: ChaCha8Rng,
}

impl Ring {
    pub(super) fn new(mut hosts: Vec<String>, seed: u64) -> Ring {
        assert!(!hosts.is_empty(), "a client needs a host");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for i in (1..hosts.len()).rev() {
            let j = rng.next_u64() % (i as u64 + 1);
            hosts.swap(i, usize::try_from(j).expect("at most i"));
        }
        Ring { hosts, at: 0, failed: 0, rng }
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// The next host to dial.
    pub(super) fn dial(&mut self) -> String {
        let host = self.hosts[self.at].clone();
        self.at = (self.at + 1) % self.hosts.len();
        host
    }

    /// A server took the session.
    pub(super) fn stood(&mut self) {
        self.failed = 0;
    }

    /// An attempt failed: whether that ended a pass over all hosts.
    pub(super) fn fell(&mut self) -> bool {
        self.failed += 1;
        self.failed.is_multiple_of(self.hosts.len())
    }

    /// How long to wait before the next attempt. Clients that lose a server together come back
    /// apart: each waits a random part of what it may.
    pub(super) fn wait(&mut self) -> Duration {
        let passes = u32::try_from(self.failed / self.hosts.len()).unwrap_or(u32::MAX);
        let most = BACKOFF.saturating_mul(1 << passes.min(8)).min(BACKOFF_LIMIT);
        let within_pass = !self.failed.is_multiple_of(self.hosts.len());
        let (least, most) =
            if within_pass || passes == 0 { (Duration::ZERO, BACKOFF) } else { (most / 2, most) };
        let span = u64::try_from((most - least).as_micros()).expect("seconds at most");
        least + Duration::from_micros(self.rng.next_u64() % (span + 1))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use super::*;

    fn parse(text: &str) -> Result<(Vec<String>, String), String> {
        let parsed = text.parse::<ConnectString>().map_err(|e| e.to_string())?;
        Ok((parsed.hosts, parsed.chroot))
    }

    #[test]
    fn connect_strings_name_hosts_and_chroot() {
        let hosts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (text, want, chroot) in [
            ("a", vec!["a:2181"], ""),
            ("a:1,b:2", vec!["a:1", "b:2"], ""),
            ("a:1, b:2 ,/app/x", vec!["a:1", "b:2"], "/app/x"),
            ("a:1/", vec!["a:1"], ""),
            ("[::1]:7", vec!["[::1]:7"], ""),
            ("[::1]", vec!["[::1]:2181"], ""),
            ("::1", vec!["[::1]:2181"], ""),
        ] {
            assert_eq!(parse(text), Ok((hosts(&want), chroot.to_string())), "{text}");
        }
    }

    #[test]
    fn bad_connect_strings_say_why() {
        for (text, why) in [
            ("", "\"\" names no host"),
            ("/x", "\"/x\" names no host"),
            ("a:b", "\"a:b\": the port is not a number up to 65535"),
            ("a:65536", "\"a:65536\": the port is not a number up to 65535"),
            (":1", "\":1\": no host name before the port"),
            ("a/x//y", "\"/x//y\" cannot be a chroot path"),
            ("a/x/", "\"/x/\" cannot be a chroot path"),
            ("a/../x", "\"/../x\" cannot be a chroot path"),
        ] {
            assert_eq!(parse(text), Err(why.to_string()), "{text}");
        }
    }

    #[test]
    fn the_ring_is_shuffled_by_the_seed_and_visits_everyone() {
        let hosts: Vec<String> = (0..5).map(|n| n.to_string()).collect();
        let order = |seed| {
            let mut ring = Ring::new(hosts.clone(), seed);
            (0..5).map(|_| ring.dial()).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert!((0..20).any(|seed| order(seed) != order(1)));
        for seed in 0..20 {
            let mut sorted = order(seed);
            sorted.sort_unstable();
            assert_eq!(sorted, hosts);
        }
    }

    #[test]
    fn waits_grow_with_whole_passes_and_start_over() {
        let mut ring = Ring::new(vec!["a".into(), "b".into()], 7);
        assert!(ring.wait() <= BACKOFF);
        for pass in 1..12u32 {
            assert!(!ring.fell());
            assert!(ring.wait() <= BACKOFF);
            assert!(ring.fell());
            let most = (BACKOFF * (1 << pass.min(8))).min(BACKOFF_LIMIT);
            let wait = ring.wait();
            assert!(most / 2 <= wait && wait <= most, "{pass}: {wait:?}");
        }
        ring.stood();
        assert!(ring.wait() <= BACKOFF);
    }
}
