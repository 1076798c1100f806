// SPDX-License-Identifier: Apache-2.0
//! Numbers as Java reads them from text: `Long.parseLong` for keys of the configuration file,
//! `Long.decode` for system properties, and 3.10's time intervals.

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotANumber {
    /// Something else than digits with an optional sign.
    Malformed,
    /// Digits, but more than 64 bits of them.
    TooLarge,
}

/// `Long.parseLong`: decimal digits after an optional `+` or `-`; no blanks, no separators.
///
/// # Errors
/// What is no such number.
pub fn parse(text: &str) -> Result<i64, NotANumber> {
    let (negative, digits) = split_sign(text);
    parse_radix(digits, 10, negative)
}

/// `Long.decode`: as [`parse`], and `0x`, `0X`, `#` mean hexadecimal and a leading `0` octal.
///
/// # Errors
/// What is no such number.
pub fn decode(text: &str) -> Result<i64, NotANumber> {
    let (negative, rest) = split_sign(text);
    let hex = ["0x", "0X", "#"].iter().find_map(|prefix| rest.strip_prefix(prefix));
    match (hex, rest.strip_prefix('0')) {
        (Some(digits), _) => parse_radix(digits, 16, negative),
        (None, Some(digits)) if !digits.is_empty() => parse_radix(digits, 8, negative),
        _ => parse_radix(rest, 10, negative),
    }
}

/// An interval of ZooKeeper 3.10 in milliseconds: a number with `ms`, `s`, `m`, `h` or `d`; a
/// bare number counts `bare_unit_ms`.
///
/// # Errors
/// What is no such interval.
pub fn interval_ms(text: &str, bare_unit_ms: i64) -> Result<i64, NotANumber> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "" => bare_unit_ms,
        "ms" | "MS" => 1,
        "s" | "S" => 1_000,
        "m" | "M" => 60_000,
        "h" | "H" => 3_600_000,
        "d" | "D" => 86_400_000,
        _ => return Err(NotANumber::Malformed),
    };
    parse(digits)?.checked_mul(unit_ms).ok_or(NotANumber::TooLarge)
}

/// A plain decimal fraction in millionths, rounded down; Java uses a `double` here.
///
/// # Errors
/// What is no number with at most one decimal point.
pub fn millionths(text: &str) -> Result<i64, NotANumber> {
    let (negative, unsigned) = split_sign(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(NotANumber::Malformed);
    }
    let digits = fraction.bytes().chain(core::iter::repeat(b'0')).take(6);
    let fraction = digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let whole = parse(whole)?.checked_mul(1_000_000).ok_or(NotANumber::TooLarge)?;
    let value = whole.checked_add(fraction).ok_or(NotANumber::TooLarge)?;
    Ok(if negative { -value } else { value })
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn parse_radix(digits: &str, radix: u32, negative: bool) -> Result<i64, NotANumber> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(NotANumber::Malformed);
    }
    let mut value = 0i64;
    for digit in digits.chars().filter_map(|c| c.to_digit(radix)) {
        let step = if negative { -i64::from(digit) } else { i64::from(digit) };
        let next = value.checked_mul(i64::from(radix)).and_then(|v| v.checked_add(step));
        value = next.ok_or(NotANumber::TooLarge)?;
    }
    Ok(value)
}
