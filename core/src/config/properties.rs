// SPDX-License-Identifier: Apache-2.0
//! Java's properties syntax, because that is what a `zoo.cfg` is written in.
//!
//! The quirks are those of `java.util.Properties.load` (JDK 17): existing files depend on them,
//! knowingly or not. Text is handled as UTF-16 units, as Java does, until an entry is complete.
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One `key=value` of a properties text, unescaped and trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key; may be empty, as Java allows `=value`.
    pub key: String,
    /// The value; empty where the line had only a key.
    pub value: String,
    /// The line, from 1, on which the entry starts.
    pub line: u32,
}

/// An entry that had no effect because its key came again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// The key that is there more than once.
    pub key: String,
    /// The line that was overridden.
    pub ignored_line: u32,
    /// The later line that overrode it.
    pub by_line: u32,
}

/// A text that Java refuses: the only such fault is a `\u` without four hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedEscape {
    /// The line, from 1, on which the entry starts.
    pub line: u32,
}

impl fmt::Display for MalformedEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\\u must be followed by four hexadecimal digits")
    }
}

/// The entries of a properties text in the order of their lines, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<Entry>,
    repeated: Vec<Repeated>,
}

impl Properties {
    /// Reads a file: Java takes its bytes as ISO-8859-1, whatever the locale.
    ///
    /// # Errors
    /// A malformed `\u` escape.
    pub fn from_file(bytes: &[u8]) -> Result<Self, MalformedEscape> {
        Self::read(bytes.iter().map(|&byte| u16::from(byte)))
    }

    /// Reads text that is Unicode already, such as the data of `/zookeeper/config`.
    ///
    /// # Errors
    /// A malformed `\u` escape.
    pub fn from_text(text: &str) -> Result<Self, MalformedEscape> {
        Self::read(text.encode_utf16())
    }

    /// The entries that count, in the order of their lines.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that were overridden by a later one of the same key.
    #[must_use]
    pub fn repeated(&self) -> &[Repeated] {
        &self.repeated
    }

    /// The entry of `key`, if there is one.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn read(units: impl Iterator<Item = u16>) -> Result<Self, MalformedEscape> {
        let mut lines = LogicalLines::new(units);
        let mut by_key: BTreeMap<String, (String, u32)> = BTreeMap::new();
        let mut repeated = Vec::new();
        while let Some(line) = lines.next_line() {
            let (key, value) = split(&line.units);
            let malformed = MalformedEscape { line: line.number };
            let key = unescape(key).ok_or(malformed)?;
            let value = unescape(value).ok_or(malformed)?;
            if let Some((_, ignored_line)) = by_key.insert(key.clone(), (value, line.number)) {
                repeated.push(Repeated { key, ignored_line, by_line: line.number });
            }
        }
        let entry = |(key, (value, line))| Entry { key, value, line };
        let mut entries: Vec<Entry> = by_key.into_iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.line);
        Ok(Self { entries, repeated })
    }
}

const BACKSLASH: u16 = b'\\' as u16;
const CR: u16 = b'\r' as u16;
const LF: u16 = b'\n' as u16;

fn is_blank(unit: u16) -> bool {
    unit == u16::from(b' ') || unit == u16::from(b'\t') || unit == 0x0c
}

fn is_line_end(unit: u16) -> bool {
    unit == CR || unit == LF
}

struct LogicalLine {
    units: Vec<u16>,
    number: u32,
}

/// Joins continued lines and drops comments and blank lines.
struct LogicalLines<I: Iterator<Item = u16>> {
    units: core::iter::Peekable<I>,
    number: u32,
}

impl<I: Iterator<Item = u16>> LogicalLines<I> {
    fn new(units: I) -> Self {
        Self { units: units.peekable(), number: 1 }
    }

    /// Takes one unit, with `\r\n` as a single line end, and counts lines.
    fn take(&mut self) -> Option<u16> {
        let unit = self.units.next()?;
        if !is_line_end(unit) {
            return Some(unit);
        }
        if unit == CR {
            self.units.next_if_eq(&LF);
        }
        self.number = self.number.saturating_add(1);
        Some(LF)
    }

    fn skip_comment(&mut self) {
        while let Some(unit) = self.take() {
            if unit == LF {
                return;
            }
        }
    }

    fn next_line(&mut self) -> Option<LogicalLine> {
        let mut line = LogicalLine { units: Vec::new(), number: 0 };
        let mut leading = true;
        let mut continued = false;
        let mut escaped = false;
        loop {
            let number = self.number;
            let Some(unit) = self.take() else {
                return end_of_text(line, escaped);
            };
            if leading {
                if is_blank(unit) || (unit == LF && !continued) {
                    continue;
                }
                leading = false;
                continued = false;
            }
            if line.units.is_empty() && (unit == u16::from(b'#') || unit == u16::from(b'!')) {
                self.skip_comment();
                leading = true;
            } else if unit != LF {
                if line.units.is_empty() {
                    line.number = number;
                }
                line.units.push(unit);
                escaped = unit == BACKSLASH && !escaped;
            } else if line.units.is_empty() {
                leading = true;
            } else if escaped && self.units.peek().is_some() {
                line.units.pop();
                leading = true;
                continued = true;
                escaped = false;
            } else {
                return end_of_text(line, escaped);
            }
        }
    }
}

/// A backslash at the very end continues into nothing and is dropped.
fn end_of_text(mut line: LogicalLine, escaped: bool) -> Option<LogicalLine> {
    if line.units.is_empty() {
        return None;
    }
    if escaped {
        line.units.pop();
    }
    Some(line)
}

/// Cuts a logical line at its first unescaped `=`, `:` or blank.
fn split(line: &[u16]) -> (&[u16], &[u16]) {
    let is_sign = |unit: u16| unit == u16::from(b'=') || unit == u16::from(b':');
    let mut escaped = false;
    let ends_key = |&unit: &u16| {
        let ends = !escaped && (is_sign(unit) || is_blank(unit));
        escaped = unit == BACKSLASH && !escaped;
        ends
    };
    let key_end = line.iter().position(ends_key).unwrap_or(line.len());
    let (key, mut value) = line.split_at(key_end);
    let mut sign_seen = false;
    while let Some((&unit, rest)) = value.split_first() {
        if is_sign(unit) && !sign_seen {
            sign_seen = true;
        } else if !is_blank(unit) {
            break;
        }
        value = rest;
    }
    (key, value)
}

/// Resolves escapes and trims like `String.trim`; `None` for a malformed `\u`.
fn unescape(raw: &[u16]) -> Option<String> {
    let mut units = Vec::with_capacity(raw.len());
    let mut rest = raw.iter().copied();
    while let Some(unit) = rest.next() {
        if unit != BACKSLASH {
            units.push(unit);
            continue;
        }
        let Some(escape) = rest.next() else { break };
        units.push(match u8::try_from(escape) {
            Ok(b't') => u16::from(b'\t'),
            Ok(b'r') => CR,
            Ok(b'n') => LF,
            Ok(b'f') => 0x0c,
            Ok(b'u') => four_digits(&mut rest)?,
            _ => escape,
        });
    }
    let lossy = |unit: Result<char, _>| unit.unwrap_or(char::REPLACEMENT_CHARACTER);
    let text: String = char::decode_utf16(units).map(lossy).collect();
    Some(text.trim_matches(|c| c <= ' ').into())
}

fn four_digits(rest: &mut impl Iterator<Item = u16>) -> Option<u16> {
    let mut value = 0u16;
    for _ in 0..4 {
        let digit = char::from_u32(u32::from(rest.next()?))?.to_digit(16)?;
        value = value << 4 | u16::try_from(digit).ok()?;
    }
    Some(value)
}
