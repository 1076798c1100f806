// SPDX-License-Identifier: Apache-2.0
//! The text of a configuration: it becomes a configuration, or a list of mistakes each of which
//! names its place; a comment and a blank line more change nothing.
//!
//! Input: `zoo.cfg`, JVM flags, dynamic file and `myid`, with zero bytes between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::config::{
    ConfigErrors, Notice, Origin, Properties, ServerConfig, StaticConfig, Surroundings, defines,
};

fuzz_target!(|input: &[u8]| {
    let mut texts = input.splitn(4, |byte| *byte == 0);
    let mut next = || texts.next();
    let (text, flags, dynamic, myid) = (next().unwrap_or_default(), next(), next(), next());
    let flags = String::from_utf8_lossy(flags.unwrap_or_default());
    let found = read(text, &flags, dynamic, myid);
    match &found {
        Ok(config) => config.notices.iter().for_each(|Notice { origin, text: why, .. }| {
            assert_place(origin, text, dynamic);
            assert!(!why.is_empty());
        }),
        Err(errors) => {
            assert!(!errors.errors().is_empty());
            for error in errors.errors() {
                assert_place(error.origin(), text, dynamic);
                let said = error.to_string();
                assert!(said.contains(": ") && said.contains("; "), "{said}");
            }
        }
    }
    assert_properties(text);
    for define in defines(&flags) {
        assert!(!define.name.is_empty());
    }
    // A line that ends in a backslash goes on in the next one.
    if !text.trim_ascii_end().ends_with(b"\\") {
        let longer = [text, b"\n\n# a comment\n! another"].concat();
        assert_eq!(read(&longer, &flags, dynamic, myid), found);
    }
});

fn read(
    text: &[u8],
    flags: &str,
    dynamic: Option<&[u8]>,
    myid: Option<&[u8]>,
) -> Result<ServerConfig, ConfigErrors> {
    let flags = [("SERVER_JVMFLAGS", "-Dzookeeper.snapCount=7"), ("JVMFLAGS", flags)];
    let around = Surroundings {
        myid: myid.map(|text| ("myid", text)),
        dynamic: dynamic.map(|text| ("zoo.cfg.dynamic", text)),
    };
    StaticConfig::parse("zoo.cfg", text, &flags)?.complete(&around)
}

/// Fails unless a place is one that the operator can go to.
fn assert_place(origin: &Origin, text: &[u8], dynamic: Option<&[u8]>) {
    let lines = |text: &[u8]| text.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count() + 1;
    match origin {
        Origin::File { file } => {
            assert!(["zoo.cfg", "zoo.cfg.dynamic", "myid"].contains(&file.as_str()));
        }
        Origin::Line { file, line } => {
            let text = if file == "zoo.cfg" { text } else { dynamic.unwrap_or_default() };
            assert!((1..=lines(text)).contains(&(*line as usize)), "{origin}");
        }
        Origin::Flags { variable } => {
            assert!(["SERVER_JVMFLAGS", "JVMFLAGS"].contains(&variable.as_str()));
        }
    }
}

/// Entries, written with every character escaped, read to the same.
fn assert_properties(text: &[u8]) {
    let Ok(properties) = Properties::from_file(text) else { return };
    let escaped = |text: &str| -> String {
        text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
    };
    let mut again = String::new();
    for entry in properties.entries() {
        again += &format!("{}={}\n", escaped(&entry.key), escaped(&entry.value));
    }
    let again = Properties::from_file(again.as_bytes()).expect("written with care");
    let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let pairs = |properties: &Properties| {
        let entries = properties.entries().iter();
        entries.map(|entry| pair((&entry.key, &entry.value))).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&again), pairs(&properties));
}
