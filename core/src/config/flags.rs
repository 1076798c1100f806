// SPDX-License-Identifier: Apache-2.0
//! Reads system properties out of `JVMFLAGS` and its like: that is where operators of ZooKeeper
//! put what `zoo.cfg` cannot say, so a replacement without a JVM still has to look there.
use alloc::string::String;
use alloc::vec::Vec;

/// A property given as `-Dname=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Define {
    /// The property's full name.
    pub name: String,
    /// Its value, empty for a bare `-Dname`.
    pub value: String,
}

/// The `-D` definitions in `flags`, in order; everything else is for a JVM and skipped.
///
/// Words are split as a shell does, with single quotes, double quotes and backslashes. A quote
/// that is never closed stands for itself.
#[must_use]
pub fn defines(flags: &str) -> Vec<Define> {
    let define = |word: String| {
        let body = word.strip_prefix("-D")?;
        let (name, value) = body.split_once('=').unwrap_or((body, ""));
        (!name.is_empty()).then(|| Define { name: name.into(), value: value.into() })
    };
    words(flags).into_iter().filter_map(define).collect()
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            _ if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => {
                let escaped = rest.chars().next().unwrap_or('\\');
                rest = rest.get(escaped.len_utf8()..).unwrap_or("");
                word.get_or_insert_default().push(escaped);
            }
            '\'' | '"' => match quoted(c, rest) {
                Some((inside, after)) => {
                    word.get_or_insert_default().push_str(&inside);
                    rest = after;
                }
                None => word.get_or_insert_default().push(c),
            },
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The text up to the closing `quote`, and what follows it.
fn quoted(quote: char, text: &str) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((inside, &text[at + 1..]));
        }
        let escapes = quote == '"' && c == '\\';
        match chars.next_if(|&(_, next)| escapes && matches!(next, '"' | '\\')) {
            Some((_, escaped)) => inside.push(escaped),
            None => inside.push(c),
        }
    }
    None
}
