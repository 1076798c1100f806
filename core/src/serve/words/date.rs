// SPDX-License-Identifier: Apache-2.0
//! Dates as `java.util.Date` prints them in UTC, for the `dump` word.

use core::fmt;

/// A moment in milliseconds since the Unix epoch; prints as `Tue Nov 14 22:13:20 UTC 2023`.
pub(super) struct Date(pub i64);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1_000);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        write!(
            f,
            "{} {} {day:02} {:02}:{:02}:{:02} UTC {year}",
            DAYS[days.rem_euclid(7) as usize],
            MONTHS[month],
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

/// Year, month from 0, day from 1. Counts in cycles of 400 years that begin in a March, so that
/// leap days come last.
fn civil(days: i64) -> (i64, usize, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year + i64::from(month >= 10);
    (year, ((month + 2) % 12) as usize, of_month)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn dates_are_javas() {
        assert_eq!(Date(1_700_000_000_000).to_string(), "Tue Nov 14 22:13:20 UTC 2023");
        assert_eq!(Date(0).to_string(), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(Date(951_782_400_999).to_string(), "Tue Feb 29 00:00:00 UTC 2000");
        assert_eq!(Date(1_795_426_372_000).to_string(), "Mon Nov 23 09:32:52 UTC 2026");
    }
}
