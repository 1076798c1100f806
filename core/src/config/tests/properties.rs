// SPDX-License-Identifier: Apache-2.0
//! Java's properties syntax: every expectation was printed by `java.util.Properties` of JDK 17
//! for the same bytes, trimmed and sorted by key.
use crate::config::properties::{MalformedEscape, Properties, Repeated};
use alloc::string::String;
use alloc::vec::Vec;

type Row = (&'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
const AS_JAVA_READS: &[Row] = &[
    ("a=1", &[("a", "1")]),
    ("a:1", &[("a", "1")]),
    ("a 1", &[("a", "1")]),
    ("a\t1", &[("a", "1")]),
    ("a\u{c}1", &[("a", "1")]),
    ("a = 1", &[("a", "1")]),
    (" \t\u{c}a  :  1", &[("a", "1")]),
    ("a=:1", &[("a", ":1")]),
    ("a==1", &[("a", "=1")]),
    ("a: =1", &[("a", "=1")]),
    ("a = = 1", &[("a", "= 1")]),
    ("a", &[("a", "")]),
    ("a=", &[("a", "")]),
    ("a:", &[("a", "")]),
    ("=1", &[("", "1")]),
    (":1", &[("", "1")]),
    (" =1", &[("", "1")]),
    ("#a=1\nb=2", &[("b", "2")]),
    ("!a=1\nb=2", &[("b", "2")]),
    ("  # a=1\nb=2", &[("b", "2")]),
    ("a=1 # not a comment", &[("a", "1 # not a comment")]),
    ("a=#1", &[("a", "#1")]),
    ("a\\=b=1", &[("a=b", "1")]),
    ("a\\:b=1", &[("a:b", "1")]),
    ("a\\ b=1", &[("a b", "1")]),
    ("\\#a=1", &[("#a", "1")]),
    ("\\!a=1", &[("!a", "1")]),
    ("a\\\\=1", &[("a\\", "1")]),
    ("a\\\\\\=b=1", &[("a\\=b", "1")]),
    ("a=\\t\\n\\r\\f", &[("a", "")]),
    ("a=\\u0041\\u00e9\\u20ac", &[("a", "A\u{e9}\u{20ac}")]),
    ("a=\\ud83d\\ude00", &[("a", "\u{1f600}")]),
    ("a=\\q\\'\\\"", &[("a", "q'\"")]),
    ("a=\\b\\0\\x41", &[("a", "b0x41")]),
    ("\\u0061=1", &[("a", "1")]),
    ("a=1\\\n2", &[("a", "12")]),
    ("a=1\\\n   \t2", &[("a", "12")]),
    ("a=1\\\r\n  2", &[("a", "12")]),
    ("a=1\\\r  2", &[("a", "12")]),
    ("a=1\\\\\n2=3", &[("2", "3"), ("a", "1\\")]),
    ("a=1\\\\\\\n2", &[("a", "1\\2")]),
    ("a\\\nb=1", &[("ab", "1")]),
    ("a\\\n  =1", &[("a", "1")]),
    ("a\\\n  b 1", &[("ab", "1")]),
    ("a=1\\\n\nb=2", &[("a", "1"), ("b", "2")]),
    ("a=1\\\n   \nb=2", &[("a", "1"), ("b", "2")]),
    ("a=1\\\n#b=2", &[("a", "1#b=2")]),
    ("#c\\\na=1", &[("a", "1")]),
    ("\\\na=1", &[("a", "1")]),
    ("\\\n# a=1", &[]),
    ("\\\n\na=1", &[("a", "1")]),
    ("a=1\\", &[("a", "1")]),
    ("a\\", &[("a", "")]),
    ("\\", &[("", "")]),
    ("a=1\rb=2", &[("a", "1"), ("b", "2")]),
    ("a=1\r\nb=2", &[("a", "1"), ("b", "2")]),
    ("a=1\r\r\nb=2", &[("a", "1"), ("b", "2")]),
    ("a=1\n\r b=2", &[("a", "1"), ("b", "2")]),
    ("a=1\n\n\n  \n\t\nb=2", &[("a", "1"), ("b", "2")]),
    ("a=1\n", &[("a", "1")]),
    ("a=1\r\n", &[("a", "1")]),
    ("a=1\na=2", &[("a", "2")]),
    ("a=1\nb=2\na=3", &[("a", "3"), ("b", "2")]),
    ("a=1  ", &[("a", "1")]),
    ("a=  1", &[("a", "1")]),
    ("a=\\ 1", &[("a", "1")]),
    ("a= 1\\  ", &[("a", "1")]),
    ("\u{e9}=\u{ff}", &[("\u{e9}", "\u{ff}")]),
    ("a=\u{c3}\u{a9}", &[("a", "\u{c3}\u{a9}")]),
    ("a=\u{a0} 1", &[("a", "\u{a0} 1")]),
    ("\u{ef}\u{bb}\u{bf}a=1", &[("\u{ef}\u{bb}\u{bf}a", "1")]),
    ("dataDir=C:\\zk\\data", &[("dataDir", "C:zkdata")]),
    ("path=/a:/b", &[("path", "/a:/b")]),
    ("a=x\\\n    y\\\n    z", &[("a", "xyz")]),
    ("a=1\u{0}2", &[("a", "1\u{0}2")]),
    ("a\u{0}=1", &[("a", "1")]),
    ("a=\u{b}1", &[("a", "1")]),
    ("a=1\u{1a}", &[("a", "1")]),
    ("", &[]),
    ("\n", &[]),
    ("   ", &[]),
    ("#", &[]),
    ("#\\", &[]),
    ("a=1\\\r\n\r\nb=2", &[("a", "1"), ("b", "2")]),
    ("a=1\\\n\\\nb=2", &[("a", "1b=2")]),
    ("a=\\\n", &[("a", "")]),
    ("a=\\\n   b", &[("a", "b")]),
    ("k\\\n  \\\n v=1", &[("kv", "1")]),
    ("a b=1", &[("a", "b=1")]),
    ("a\\tb=1", &[("a\tb", "1")]),
    ("a  = \\  b", &[("a", "b")]),
    ("\\ a=1", &[("a", "1")]),
];

#[test]
fn reads_what_java_reads() {
    for (text, expected) in AS_JAVA_READS {
        let latin1: Vec<u8> =
            text.chars().map(|c| u8::try_from(u32::from(c)).expect("one byte")).collect();
        let properties = Properties::from_file(&latin1).expect("Java takes it");
        let mut found: Vec<(&str, &str)> =
            properties.entries().iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
        found.sort_unstable();
        assert_eq!(found, *expected, "{text:?}");
    }
}

#[test]
fn refuses_what_java_refuses() {
    for text in ["a=\\u00g1", "a=\\u12", "a=\\u", "\\uzzzz=1"] {
        let fault = Properties::from_text(text).expect_err("Java refuses it");
        assert_eq!(fault, MalformedEscape { line: 1 }, "{text:?}");
    }
    let late = Properties::from_file(b"#1\n\na=1\\\n 2\r\nb=\\ud\n");
    assert_eq!(late, Err(MalformedEscape { line: 5 }));
}

#[test]
fn a_lone_surrogate_becomes_a_replacement_character() {
    let properties = Properties::from_file(b"a=\\uD83Dx").expect("Java takes it");
    assert_eq!(properties.find("a").map(|e| e.value.as_str()), Some("\u{fffd}x"));
}

#[test]
fn text_is_unicode_and_files_are_latin1() {
    let text = Properties::from_text("a=\u{e9}\u{1f600}").expect("plain");
    assert_eq!(text.find("a").map(|e| e.value.as_str()), Some("\u{e9}\u{1f600}"));
    let file = Properties::from_file("a=\u{e9}".as_bytes()).expect("plain");
    assert_eq!(file.find("a").map(|e| e.value.as_str()), Some("\u{c3}\u{a9}"));
}

#[test]
fn entries_know_their_lines_and_overridden_ones_are_told() {
    let text = b"# head\r\n\r\na=1\rb=2 \\\n\n\nc=3\n  a : 4\n\\\n\\\nd=5";
    let properties = Properties::from_file(text).expect("plain");
    let found: Vec<(String, String, u32)> =
        properties.entries().iter().cloned().map(|e| (e.key, e.value, e.line)).collect();
    let expected = [("b", "2", 4), ("c", "3", 7), ("a", "4", 8), ("d", "5", 11)]
        .map(|(key, value, line)| (String::from(key), String::from(value), line));
    assert_eq!(found, expected);
    let repeated = Repeated { key: "a".into(), ignored_line: 3, by_line: 8 };
    assert_eq!(properties.repeated(), [repeated]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Ok(properties) = Properties::from_file(&bytes) {
            let ends = bytes.iter().filter(|b| matches!(b, b'\r' | b'\n')).count() + 1;
            let read = properties.entries().len() + properties.repeated().len();
            proptest::prop_assert!(read <= ends);
        }
    }

    #[test]
    fn what_escaping_writes_reading_returns(
        key in "[!-~]{1,12}",
        value in "([!-~é☂😀]( *[!-~])*)?",
    ) {
        let mut line = String::new();
        for (text, sign) in [(&key, "="), (&value, "\n")] {
            for unit in text.encode_utf16() {
                line.push_str(&alloc::format!("\\u{unit:04x}"));
            }
            line.push_str(sign);
        }
        let properties = Properties::from_file(line.as_bytes()).expect("well formed");
        proptest::prop_assert_eq!(properties.find(&key).map(|e| &e.value), Some(&value));
    }
}
