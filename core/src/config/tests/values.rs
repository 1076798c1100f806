// SPDX-License-Identifier: Apache-2.0
//! Numbers and flags: expectations printed by JDK 17's `Integer.parseInt` and `Integer.decode`.
use crate::config::flags::{Define, defines};
use crate::config::number::{NotANumber, decode, interval_ms, millionths, parse};
use NotANumber::{Malformed, TooLarge};
use alloc::string::String;
use alloc::vec::Vec;

#[test]
fn decimal_numbers_are_javas() {
    let rows = [
        ("5", Ok(5)),
        ("+5", Ok(5)),
        ("-5", Ok(-5)),
        ("-0", Ok(0)),
        ("010", Ok(10)),
        ("00000000000000000001", Ok(1)),
        ("9223372036854775807", Ok(i64::MAX)),
        ("-9223372036854775808", Ok(i64::MIN)),
        ("9223372036854775808", Err(TooLarge)),
        ("-9223372036854775809", Err(TooLarge)),
        ("", Err(Malformed)),
        ("+", Err(Malformed)),
        ("-", Err(Malformed)),
        ("+-1", Err(Malformed)),
        ("--1", Err(Malformed)),
        (" 5", Err(Malformed)),
        ("5 ", Err(Malformed)),
        ("1_000", Err(Malformed)),
        ("1.5", Err(Malformed)),
        ("1e3", Err(Malformed)),
        ("0x10", Err(Malformed)),
        ("2s", Err(Malformed)),
    ];
    for (text, expected) in rows {
        assert_eq!(parse(text), expected, "{text:?}");
    }
}

#[test]
fn decoded_numbers_are_javas() {
    let rows = [
        ("5", Ok(5)),
        ("+5", Ok(5)),
        ("0x10", Ok(16)),
        ("0X1F", Ok(31)),
        ("#ff", Ok(255)),
        ("-#a", Ok(-10)),
        ("-0x10", Ok(-16)),
        ("+0x10", Ok(16)),
        ("010", Ok(8)),
        ("-010", Ok(-8)),
        ("0", Ok(0)),
        ("00000000000000000001", Ok(1)),
        ("-0x8000000000000000", Ok(i64::MIN)),
        ("0x8000000000000000", Err(TooLarge)),
        ("08", Err(Malformed)),
        ("0x", Err(Malformed)),
        ("", Err(Malformed)),
        ("+-1", Err(Malformed)),
        (" 1", Err(Malformed)),
    ];
    for (text, expected) in rows {
        assert_eq!(decode(text), expected, "{text:?}");
    }
}

#[test]
fn intervals_take_the_units_of_3_10() {
    let rows = [
        ("1", Ok(3_600_000)),
        ("0", Ok(0)),
        ("-1", Ok(-3_600_000)),
        ("250ms", Ok(250)),
        ("250MS", Ok(250)),
        ("30s", Ok(30_000)),
        ("5M", Ok(300_000)),
        ("2h", Ok(7_200_000)),
        ("7d", Ok(604_800_000)),
        ("9223372036854775807d", Err(TooLarge)),
        ("h", Err(Malformed)),
        ("", Err(Malformed)),
        ("1 h", Err(Malformed)),
        ("1w", Err(Malformed)),
        ("1Ms", Err(Malformed)),
        ("1\u{b5}s", Err(Malformed)),
    ];
    for (text, expected) in rows {
        assert_eq!(interval_ms(text, 3_600_000), expected, "{text:?}");
    }
}

#[test]
fn fractions_are_millionths() {
    let rows = [
        ("0.33", Ok(330_000)),
        ("1", Ok(1_000_000)),
        ("+0.0000019", Ok(1)),
        ("-1", Ok(-1_000_000)),
        ("-0.5", Ok(-500_000)),
        ("9223372036854775807", Err(TooLarge)),
        (".5", Err(Malformed)),
        ("5.", Err(Malformed)),
        ("", Err(Malformed)),
        ("0,5", Err(Malformed)),
        ("0.+5", Err(Malformed)),
        ("-+5", Err(Malformed)),
    ];
    for (text, expected) in rows {
        assert_eq!(millionths(text), expected, "{text:?}");
    }
}

#[test]
fn flags_are_split_as_a_shell_would() {
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("", &[]),
        ("-Xmx1g -server -Da=1", &[("a", "1")]),
        ("-Da=1  -Db=2\t-Da=3\n", &[("a", "1"), ("b", "2"), ("a", "3")]),
        ("-Da -Db= -D=c -D", &[("a", ""), ("b", "")]),
        ("-Da=b=c", &[("a", "b=c")]),
        ("'-Da=1 2' -Db=\"3 4\" -D'c'=5", &[("a", "1 2"), ("b", "3 4"), ("c", "5")]),
        ("-Da='\\\"' -Db=\"\\\"\\\\\\n'\"", &[("a", "\\\""), ("b", "\"\\\\n'")]),
        ("-Da=1\\ 2 -Db=\\'", &[("a", "1 2"), ("b", "'")]),
        ("-Da=it's -Db=2", &[("a", "it's"), ("b", "2")]),
        ("-Da=1\\", &[("a", "1\\")]),
        ("-Da=''", &[("a", "")]),
    ];
    for (text, expected) in rows {
        let define = |(name, value): &(&str, &str)| Define {
            name: String::from(*name),
            value: String::from(*value),
        };
        let expected: Vec<Define> = expected.iter().map(define).collect();
        assert_eq!(defines(text), expected, "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_flags_are_split(text: String) {
        let _ = defines(&text);
    }

    #[test]
    fn numbers_read_back(value: i64) {
        proptest::prop_assert_eq!(parse(&alloc::format!("{value}")), Ok(value));
        proptest::prop_assert_eq!(parse(&alloc::format!("{value:+}")), Ok(value));
    }
}
