// SPDX-License-Identifier: Apache-2.0
//! What the server says it is. Clients and monitors parse this, so it begins as the ZooKeeper does
//! whose behaviour it has, and then names itself.
//!
//! The date is that of the sources and not of the compiler's run, so that the same sources build
//! the same program: `SOURCE_DATE_EPOCH` where a packager sets it, the release's day elsewhere.

/// `3.9.5-menagerie-x.y.z`.
pub const VERSION: &str = concat!("3.9.5-menagerie-", env!("CARGO_PKG_VERSION"));

/// The day of this release, in seconds since the Unix epoch.
const RELEASED: i64 = 1_795_392_000;

/// When this was built: `YYYY-MM-DD HH:MM UTC`.
pub fn build_date() -> String {
    let set = option_env!("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok());
    date(set.unwrap_or(RELEASED))
}

/// The version as `srvr` and `mntr` say it.
pub fn full() -> String {
    format!("{VERSION}, built on {}", build_date())
}

fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Year, month and day of the month, from days since the Unix epoch.
///
/// Counts in cycles of 400 years that begin in a March, so that leap days come last.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    (cycle * 400 + year + i64::from(month >= 10), (month + 2) % 12 + 1, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_700_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(date(RELEASED), "2026-11-23 00:00 UTC");
    }

    #[test]
    fn the_version_is_one_that_monitors_parse() {
        assert!(full().starts_with("3.9.5-menagerie-"), "{}", full());
        assert!(full().ends_with(" UTC"), "{}", full());
    }
}
