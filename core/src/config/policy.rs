// SPDX-License-Identifier: Apache-2.0
//! Settings that are small policies: session limits, purging, four-letter words, metrics.
use super::number::{interval_ms, parse};
use super::report::{NoticeKind, Setting};
use super::settings::{MAX_INT, Number, Settings};
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

/// Bounds of negotiated session timeouts; `min <= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    min_ms: u32,
    max_ms: u32,
}

impl SessionLimits {
    /// `None` if `min_ms` is above `max_ms`.
    #[must_use]
    pub fn new(min_ms: u32, max_ms: u32) -> Option<Self> {
        (min_ms <= max_ms).then_some(Self { min_ms, max_ms })
    }

    /// `minSessionTimeout`; two ticks if not set.
    #[must_use]
    pub fn min_ms(self) -> u32 {
        self.min_ms
    }

    /// `maxSessionTimeout`; twenty ticks if not set.
    #[must_use]
    pub fn max_ms(self) -> u32 {
        self.max_ms
    }

    pub(super) fn read(settings: &mut Settings, tick_time_ms: u32) -> Self {
        let tick = i64::from(tick_time_ms);
        let spec =
            |range, ticks: i64| Number { range, default: tick * ticks, unit: "milliseconds" };
        let min_setting = settings.key("minSessionTimeout").filter(|min| min.value != "-1");
        let max_setting = settings.key("maxSessionTimeout").filter(|max| max.value != "-1");
        let min_ms = settings.number(min_setting.clone(), &spec(0..=MAX_INT, 2));
        let max_ms = settings.number(max_setting.clone(), &spec(1..=MAX_INT, 20));
        Self::new(min_ms, max_ms).unwrap_or_else(|| {
            let (at, problem, remedy) = match (&min_setting, &max_setting) {
                (Some(min), _) => (
                    min,
                    format!("above maxSessionTimeout={max_ms}"),
                    format!("write at most {max_ms}"),
                ),
                (None, Some(max)) => (
                    max,
                    format!("below minSessionTimeout={min_ms}"),
                    format!("write at least {min_ms}, or set minSessionTimeout too"),
                ),
                (None, None) => unreachable!("twenty ticks are more than two"),
            };
            settings.wrong(at, &problem, &remedy);
            Self { min_ms, max_ms: min_ms }
        })
    }
}

/// Removal of old snapshots and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// The configuration says so.
    Off,
    /// Every `interval_ms`, first `first_after_ms` after the start.
    Every {
        /// Time between two runs.
        interval_ms: u64,
        /// Time from the start to the first run.
        first_after_ms: u64,
        /// Snapshots to keep, at least 3.
        retain: u32,
    },
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
const MIN_RETAIN: u32 = 3;

impl Purge {
    /// Unlike ZooKeeper, purges where nothing is said, but not before a day has passed: who never
    /// thought of it will run out of disk, who did has written 0.
    pub(super) fn read(settings: &mut Settings) -> Self {
        let count = settings.key("autopurge.snapRetainCount");
        let spec = Number { range: -MAX_INT..=MAX_INT, default: 3, unit: "a number of snapshots" };
        let wanted: i64 = settings.number(count.clone(), &spec);
        let retain = u32::try_from(wanted).unwrap_or(0).max(MIN_RETAIN);
        if let Some(count) = count.filter(|_| wanted < i64::from(MIN_RETAIN)) {
            let text = format!("{}={wanted} is raised to {MIN_RETAIN}", count.key);
            settings.note(&count.origin, NoticeKind::Adjusted, text);
        }
        let Some(interval) = settings.key("autopurge.purgeInterval") else {
            return Self::Every { interval_ms: DAY_MS, first_after_ms: DAY_MS, retain };
        };
        let read = |text: &str| interval_ms(text, HOUR_MS);
        let Ok(interval_ms) = read(&interval.value) else {
            let remedy = "write hours, such as 24, or a number with ms, s, m, h or d; 0 is off";
            settings.wrong(&interval, "not an interval", remedy);
            return Self::Off;
        };
        match u64::try_from(interval_ms) {
            Ok(0) | Err(_) => Self::Off,
            Ok(interval_ms) => Self::Every { interval_ms, first_after_ms: 0, retain },
        }
    }
}

/// Every four-letter word that ZooKeeper 3.9 knows.
pub const WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst",
    "srvr", "stat", "stmk", "wchc", "wchp", "wchs",
];

/// Enabled where the configuration is silent: what monitors and scripts use, and nothing that
/// changes or stalls a server.
const DEFAULT_WORDS: &str = "srvr,ruok,isro,mntr,stat,conf";

/// Which four-letter words are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FourLetterWords {
    /// All of [`WORDS`].
    All,
    /// These; always with `srvr`, which `zkServer.sh status` needs.
    Listed(BTreeSet<String>),
}

impl FourLetterWords {
    /// Whether `word` is answered.
    #[must_use]
    pub fn allows(&self, word: &str) -> bool {
        match self {
            Self::All => WORDS.contains(&word),
            Self::Listed(words) => words.contains(word),
        }
    }

    pub(super) fn read(settings: &mut Settings, read_only_mode: bool) -> Self {
        let setting = settings.property("4lw.commands.whitelist");
        let list = setting.as_ref().map_or(DEFAULT_WORDS, |setting| &setting.value);
        let mut words = BTreeSet::from(["srvr".to_owned()]);
        if read_only_mode {
            words.insert("isro".into());
        }
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "*" {
                return Self::All;
            }
            if let Some(setting) = setting.as_ref().filter(|_| !WORDS.contains(&word)) {
                let text = format!("'{word}' in {} is not a four-letter word", setting.key);
                settings.note(&setting.origin, NoticeKind::Suspicious, text);
            }
            words.insert(word.into());
        }
        Self::Listed(words)
    }
}

/// Who collects metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Only the server's own words and commands.
    Internal,
    /// Also an HTTP port for Prometheus.
    Prometheus {
        /// `httpHost` and `httpPort`.
        listen: super::Endpoint,
        /// Everything after `metricsProvider.`, as written.
        options: BTreeMap<String, String>,
    },
}

const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
const INTERNAL: [&str; 2] = [
    "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
    "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
];

impl Metrics {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let class = settings.key("metricsProvider.className");
        let host = settings.key("metricsProvider.httpHost").map(|host| host.value);
        let port = settings.key("metricsProvider.httpPort");
        let spec = Number { range: 0..=65_535, default: 7_000, unit: "a port" };
        let port = settings.number_in(port, &spec, parse);
        let options = settings.keys_under("metricsProvider.").into_iter();
        let option = |s: Setting| (s.key["metricsProvider.".len()..].to_owned(), s.value);
        let mut options: BTreeMap<String, String> = options.map(option).collect();
        options.remove("className");
        match class {
            None => Self::Internal,
            Some(class) if INTERNAL.contains(&&*class.value) => Self::Internal,
            Some(class) if class.value == PROMETHEUS => {
                let host = host.filter(|host| host != "0.0.0.0");
                Self::Prometheus { listen: super::Endpoint { host, port }, options }
            }
            Some(class) => {
                let remedy = format!("write {PROMETHEUS}, or remove the line");
                settings.wrong(&class, "not a metrics provider that exists here", &remedy);
                Self::Internal
            }
        }
    }
}
