// SPDX-License-Identifier: Apache-2.0
//! From a line to a command: words, and the options among them as ZooKeeper's shell takes them,
//! anywhere behind the command.

use std::collections::BTreeMap;

/// Cuts a line into words. A word that begins with a quote ends with the same one, and loses both.
pub(super) fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let quoted = match first {
            '"' | '\'' => rest[1..].find(first).map(|at| (&rest[1..=at], &rest[at + 2..])),
            _ => None,
        };
        let (word, behind) = quoted
            .unwrap_or_else(|| rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())));
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    words
}

/// A command's words, sorted out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Those that are no options, without the command.
    pub(super) args: Vec<String>,
    flags: Vec<char>,
    values: BTreeMap<char, String>,
}

impl Words {
    /// Sorts the words behind a command, which takes `flags`, and `valued` options with a value.
    pub(super) fn parse(words: &[String], flags: &str, valued: &str) -> Result<Words, String> {
        let mut sorted = Words::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let option = word
                .strip_prefix('-')
                .filter(|name| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()));
            let Some(name) = option else {
                sorted.args.push(word.clone());
                continue;
            };
            let only = name.chars().next().filter(|_| name.chars().count() == 1);
            if let Some(letter) = only.filter(|letter| valued.contains(*letter)) {
                let value =
                    words.next().ok_or_else(|| format!("Missing argument for option: {letter}"))?;
                sorted.values.insert(letter, value.clone());
            } else if name.chars().all(|letter| flags.contains(letter)) {
                sorted.flags.extend(name.chars());
            } else {
                return Err(format!("Unrecognized option: {word}"));
            }
        }
        Ok(sorted)
    }

    pub(super) fn has(&self, flag: char) -> bool {
        self.flags.contains(&flag)
    }

    pub(super) fn value(&self, option: char) -> Option<&str> {
        self.values.get(&option).map(String::as_str)
    }

    /// An option's number, if it is there.
    pub(super) fn number<N: std::str::FromStr>(&self, option: char) -> Result<Option<N>, String> {
        let number = |text: &str| text.parse().map_err(|_| not_a_number(option, text));
        self.value(option).map(number).transpose()
    }
}

/// What a reconfig asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) stat: bool,
    /// The version that the configuration must have.
    pub(super) version: Option<u64>,
    pub(super) file: Option<String>,
    pub(super) members: Option<String>,
    pub(super) add: Option<String>,
    pub(super) remove: Option<String>,
}

impl Asked {
    /// Reads the words behind the command; none if they ask for nothing.
    pub(super) fn parse(words: &[String]) -> Result<Option<Asked>, String> {
        let (mut asked, mut words) = (Asked::default(), words.iter());
        while let Some(word) = words.next() {
            let slot = match word.as_str() {
                "-s" => {
                    asked.stat = true;
                    continue;
                }
                "-v" => {
                    let text = words.next().map_or("", String::as_str);
                    let why = "-v must be followed by a long (configuration version)";
                    asked.version = Some(u64::from_str_radix(text, 16).map_err(|_| why)?);
                    continue;
                }
                "-file" => &mut asked.file,
                "-members" => &mut asked.members,
                "-add" => &mut asked.add,
                "-remove" => &mut asked.remove,
                other if other.starts_with('-') => {
                    return Err(format!("Unrecognized option: {other}"));
                }
                _ => continue,
            };
            let value = words.next();
            let value =
                value.ok_or_else(|| format!("Missing argument for option: {}", &word[1..]))?;
            // Hosts are the same in small letters, and so are the words around them.
            let value = if word == "-file" { value.clone() } else { value.to_lowercase() };
            match slot {
                Some(before) if word == "-add" || word == "-remove" => {
                    *before = format!("{before},{value}");
                }
                _ => *slot = Some(value),
            }
        }
        let whole = asked.file.is_some() || asked.members.is_some();
        let parts = asked.add.is_some() || asked.remove.is_some();
        if whole && parts {
            return Err("Can't use -file or -members together with -add or -remove (mixing \
                        incremental and non-incremental modes is not allowed)"
                .to_owned());
        }
        if asked.file.is_some() && asked.members.is_some() {
            return Err(
                "Can't use -file and -members together (conflicting non-incremental modes)"
                    .to_owned(),
            );
        }
        Ok((whole || parts).then_some(asked))
    }
}

fn not_a_number(option: char, text: &str) -> String {
    format!("-{option} takes a number, not \"{text}\"")
}

/// Why no server would take a path, in Java's words.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("Path length must be > 0".to_owned());
    }
    if !path.starts_with('/') {
        return Err("Path must start with / character".to_owned());
    }
    if path.len() > 1 && path.ends_with('/') {
        return Err("Path must not end with / character".to_owned());
    }
    let mut at = 0;
    for name in path.split('/').skip(1) {
        at += name.len() + 1;
        let why = match name {
            "" if path.len() > 1 => "empty node name specified",
            "." | ".." => "relative paths not allowed",
            _ => continue,
        };
        return Err(format!("Invalid path string \"{path}\" caused by {why} @{at}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_reconfig_takes_a_list_or_a_change() {
        let words = strings(&["-add", "server.4=Zk4:1:2;3", "-remove", "1", "-remove", "2,3"]);
        let asked = Asked::parse(&words).expect("options").expect("a change");
        assert_eq!(asked.add.as_deref(), Some("server.4=zk4:1:2;3"));
        assert_eq!(asked.remove.as_deref(), Some("1,2,3"));
        let words = strings(&["-s", "-v", "100000000", "-file", "/Etc/list"]);
        let asked = Asked::parse(&words).expect("options").expect("a list");
        assert_eq!(asked.version, Some(0x1_0000_0000));
        assert_eq!((asked.stat, asked.file.as_deref()), (true, Some("/Etc/list")));
        assert_eq!(Asked::parse(&strings(&["-s"])), Ok(None));
        for wrong in [
            vec!["-add"],
            vec!["-v", "x", "-add", "a"],
            vec!["-x"],
            vec!["-add", "a", "-members", "b"],
            vec!["-file", "a", "-members", "b"],
        ] {
            assert!(Asked::parse(&strings(&wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn quotes_keep_words_together() {
        for (line, want) in [
            ("  get   /a ", vec!["get", "/a"]),
            ("set /a \"two words\" -s", vec!["set", "/a", "two words", "-s"]),
            ("set /a 'it is \"so\"'", vec!["set", "/a", "it is \"so\""]),
            ("set /a \"\"", vec!["set", "/a", ""]),
            ("set /a \"open", vec!["set", "/a", "\"open"]),
            ("set /a it's", vec!["set", "/a", "it's"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line), want, "{line}");
        }
    }

    #[test]
    fn options_stand_anywhere() {
        let words = Words::parse(&strings(&["/a", "-s", "x", "-v", "-1"]), "s", "v").unwrap();
        assert_eq!(words.args, ["/a", "x"]);
        assert!(words.has('s') && !words.has('v'));
        assert_eq!(words.number::<i32>('v'), Ok(Some(-1)));
        let words = Words::parse(&strings(&["-sw", "/a", "-1"]), "sw", "").unwrap();
        assert!(words.has('s') && words.has('w'));
        assert_eq!(words.args, ["/a", "-1"]);
        let parse = |words: &[&str]| Words::parse(&strings(words), "s", "v").unwrap_err();
        assert_eq!(parse(&["-q"]), "Unrecognized option: -q");
        assert_eq!(parse(&["-v"]), "Missing argument for option: v");
    }

    #[test]
    fn bad_paths_are_told_apart() {
        assert_eq!(check_path("/"), Ok(()));
        assert_eq!(check_path("/a/b"), Ok(()));
        for (path, why) in [
            ("", "Path length must be > 0"),
            ("a", "Path must start with / character"),
            ("/a/", "Path must not end with / character"),
            ("//a", "Invalid path string \"//a\" caused by empty node name specified @1"),
            ("/a/../b", "Invalid path string \"/a/../b\" caused by relative paths not allowed @5"),
        ] {
            assert_eq!(check_path(path), Err(why.to_owned()));
        }
    }
}
