// SPDX-License-Identifier: Apache-2.0
//! Looks settings up and turns their text into typed values, collecting every mistake.
//!
//! ZooKeeper's rule of precedence: a key that its parser does not know becomes system property
//! `zookeeper.<key>` and so overrides the same property given with `-D`.
use super::flags::defines;
use super::number::{self, NotANumber};
use super::properties::{Properties, Repeated};
use super::report::{ConfigError, Notice, NoticeKind, Origin, Setting};
use super::unknown;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

pub(super) const MAX_INT: i64 = i32::MAX as i64;

/// The values a numeric setting may take, and how to say so.
pub(super) struct Number {
    pub range: RangeInclusive<i64>,
    pub default: i64,
    /// What is counted, in the plural.
    pub unit: &'static str,
}

/// The parsed file and flags, and what has been found in them so far.
pub(super) struct Settings {
    file: String,
    in_file: BTreeMap<String, Setting>,
    defined: BTreeMap<String, Setting>,
    /// Keys that only the file can hold: these do not become properties.
    file_keys: BTreeSet<String>,
    /// Names of properties somebody asked for, without `zookeeper.`.
    property_keys: BTreeSet<String>,
    pub errors: Vec<ConfigError>,
    pub notices: Vec<Notice>,
}

impl Settings {
    /// `flags` are pairs of a variable's name and its content; later ones win.
    pub fn new(file: &str, text: &[u8], flags: &[(&str, &str)]) -> Result<Self, ConfigError> {
        let properties = read_properties(file, text)?;
        let mut settings = Self {
            file: file.into(),
            in_file: BTreeMap::new(),
            defined: BTreeMap::new(),
            file_keys: BTreeSet::new(),
            property_keys: BTreeSet::new(),
            errors: Vec::new(),
            notices: Vec::new(),
        };
        settings.take_file(&properties);
        for &(variable, text) in flags {
            let origin = Origin::Flags { variable: variable.into() };
            for define in defines(text) {
                let setting =
                    Setting { origin: origin.clone(), key: define.name, value: define.value };
                settings.defined.insert(setting.key.clone(), setting);
            }
        }
        Ok(settings)
    }

    fn take_file(&mut self, properties: &Properties) {
        let file = self.file.clone();
        for setting in file_settings(&file, properties) {
            if !setting.key.is_ascii() || !setting.value.is_ascii() {
                let text = "has characters outside ASCII; files are read as ISO-8859-1, as \
                            ZooKeeper does: write \\uXXXX if this is not what is meant";
                self.note(
                    &setting.origin,
                    NoticeKind::Suspicious,
                    format!("{} {text}", setting.key),
                );
            }
            self.in_file.insert(setting.key.clone(), setting);
        }
        for repeated in properties.repeated() {
            let origin = Origin::Line { file: file.clone(), line: repeated.ignored_line };
            let Repeated { key, by_line, .. } = repeated;
            let server = key.starts_with("server.");
            let remedy = if server { "; give each server an id of its own" } else { "" };
            let text = format!("{key} is ignored: line {by_line} sets it again{remedy}");
            self.note(&origin, NoticeKind::Repeated, text);
        }
    }

    /// The file as a whole.
    pub fn whole_file(&self) -> Origin {
        Origin::File { file: self.file.clone() }
    }

    pub fn note(&mut self, origin: &Origin, kind: NoticeKind, text: String) {
        self.notices.push(Notice { origin: origin.clone(), kind, text });
    }

    /// A comment after a value is part of the value, which surprises many.
    pub fn wrong(&mut self, setting: &Setting, problem: &str, remedy: &str) {
        let comment = setting.value.contains(['#', '!']);
        let hint = if comment { "; a comment needs a line of its own" } else { "" };
        let error = ConfigError::wrong(setting, problem.into(), format!("{remedy}{hint}"));
        self.errors.push(error);
    }

    /// Something is missing in the file.
    pub fn missing(&mut self, problem: &str, remedy: &str) {
        let error = ConfigError::at(self.whole_file(), problem.into(), remedy.into());
        self.errors.push(error);
    }

    /// A key of the configuration file proper.
    pub fn key(&mut self, key: &str) -> Option<Setting> {
        self.file_keys.insert(key.into());
        self.in_file.get(key).cloned()
    }

    /// Every key of the file that starts with `prefix` and that belongs to the file proper.
    pub fn keys_under(&mut self, prefix: &str) -> Vec<Setting> {
        let under = |setting: &&Setting| setting.key.starts_with(prefix);
        let found: Vec<Setting> = self.in_file.values().filter(under).cloned().collect();
        self.file_keys.extend(found.iter().map(|setting| setting.key.clone()));
        found
    }

    /// Property `zookeeper.<name>`: from the file if it is there, else from flags.
    pub fn property(&mut self, name: &str) -> Option<Setting> {
        self.property_keys.insert(name.into());
        let in_file = self.in_file.get(name);
        in_file.or_else(|| self.defined.get(&format!("zookeeper.{name}"))).cloned()
    }

    /// A property given with `-D` by exactly this name.
    pub fn defined(&self, name: &str) -> Option<Setting> {
        self.defined.get(name).cloned()
    }

    /// A property that ZooKeeper reads without the prefix, so that a line of `zoo.cfg` never
    /// reached it. Whoever wrote such a line meant it.
    pub fn bare_property(&mut self, name: &str) -> Option<Setting> {
        let prefixed = self.property(name);
        if let Some(defined) = self.defined.get(name) {
            return Some(defined.clone());
        }
        let setting = prefixed?;
        let text =
            format!("{} counts here, though ZooKeeper only reads it from -D{name}", setting.key);
        self.note(&setting.origin, NoticeKind::Honoured, text);
        Some(setting)
    }

    /// Every property whose name starts with `zookeeper.<prefix>`.
    pub fn properties_under(&mut self, prefix: &str) -> Vec<Setting> {
        let mut found: BTreeMap<String, Setting> = BTreeMap::new();
        for setting in self.defined.values().chain(self.in_file.values()) {
            let in_flags = matches!(setting.origin, Origin::Flags { .. });
            let name =
                if in_flags { setting.key.strip_prefix("zookeeper.") } else { Some(&*setting.key) };
            if let Some(name) = name.filter(|name| name.starts_with(prefix)) {
                found.insert(name.into(), setting.clone());
            }
        }
        self.property_keys.extend(found.keys().cloned());
        found.into_values().collect()
    }

    /// A number as `Integer.parseInt` reads it.
    pub fn number<T: TryFrom<i64>>(&mut self, setting: Option<Setting>, spec: &Number) -> T {
        self.number_in(setting, spec, number::parse)
    }

    /// A number as `Integer.getInteger` reads it from a system property.
    pub fn decoded<T: TryFrom<i64>>(&mut self, setting: Option<Setting>, spec: &Number) -> T {
        self.number_in(setting, spec, number::decode)
    }

    /// A number read by `read`; the range of `spec` must fit `T`.
    pub fn number_in<T: TryFrom<i64>>(
        &mut self,
        setting: Option<Setting>,
        spec: &Number,
        read: impl Fn(&str) -> Result<i64, NotANumber>,
    ) -> T {
        let value = setting.map_or(spec.default, |setting| {
            let value = read(&setting.value);
            if let Ok(value) = value
                && spec.range.contains(&value)
            {
                return value;
            }
            let malformed = value == Err(NotANumber::Malformed);
            let problem = if malformed { "not a number" } else { "out of range" };
            self.wrong(&setting, problem, &spec.remedy(&setting.key));
            spec.default
        });
        T::try_from(value).ok().expect("the range of a number fits its type")
    }

    /// `true` or `false` in any case.
    pub fn boolean(&mut self, setting: Option<Setting>, default: bool) -> bool {
        self.choice(setting, default, &[("true", true), ("false", false)])
    }

    /// One of a few words in any case.
    pub fn choice<T: Copy>(
        &mut self,
        setting: Option<Setting>,
        default: T,
        words: &[(&str, T)],
    ) -> T {
        let Some(setting) = setting else { return default };
        let same = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(&setting.value);
        if let Some(&(_, value)) = words.iter().find(same) {
            return value;
        }
        let name = |&(word, _): &(_, T)| if str::is_empty(word) { "nothing" } else { word };
        let words: Vec<&str> = words.iter().map(name).collect();
        self.wrong(&setting, "not a known value", &format!("write {}", words.join(" or ")));
        default
    }

    /// Ends the look-ups: reports what nobody asked for, and returns every system property as
    /// ZooKeeper would hold it.
    pub fn finish(&mut self) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        for setting in self.defined.values() {
            properties.insert(setting.key.clone(), setting.value.clone());
        }
        for setting in self.in_file.values() {
            if !self.file_keys.contains(&setting.key) {
                properties.insert(format!("zookeeper.{}", setting.key), setting.value.clone());
            }
        }
        let unused: Vec<Setting> = self.unused().cloned().collect();
        let known: BTreeSet<&str> =
            self.file_keys.union(&self.property_keys).map(String::as_str).collect();
        let judge = |setting: &Setting| unknown::judge(setting, &known);
        let judged: Vec<Notice> = unused.iter().filter_map(judge).collect();
        self.notices.extend(judged);
        self.notices.sort_by(|a, b| (&a.origin, a.kind).cmp(&(&b.origin, b.kind)));
        properties
    }

    fn unused(&self) -> impl Iterator<Item = &Setting> {
        let asked = |key: &str| self.file_keys.contains(key) || self.property_keys.contains(key);
        let unused_in_file = move |setting: &&Setting| !asked(&setting.key);
        let unused_define = |setting: &&Setting| {
            let name = setting.key.strip_prefix("zookeeper.");
            name.is_some_and(|name| !self.property_keys.contains(name))
        };
        let in_file = self.in_file.values().filter(unused_in_file);
        in_file.chain(self.defined.values().filter(unused_define))
    }
}

impl Number {
    fn remedy(&self, key: &str) -> String {
        let (&low, high) = (self.range.start(), self.range.end());
        let low = if low < -1 { 0 } else { low };
        let range = format!("write {} from {low} to {high}", self.unit);
        match self.default {
            ..=0 => range,
            example => format!("{range}, such as {key}={example}"),
        }
    }
}

/// Reads a properties file, with the one error this can have.
pub(super) fn read_properties(file: &str, text: &[u8]) -> Result<Properties, ConfigError> {
    Properties::from_file(text).map_err(|malformed| {
        let origin = Origin::Line { file: file.into(), line: malformed.line };
        let remedy = "write \\\\ for a backslash, or / in paths".into();
        ConfigError::at(origin, malformed.to_string(), remedy)
    })
}

/// The entries of `properties` with the place they come from.
pub(super) fn file_settings(file: &str, properties: &Properties) -> Vec<Setting> {
    let entries = properties.entries().iter();
    let setting = entries.map(|entry| Setting {
        origin: Origin::Line { file: file.into(), line: entry.line },
        key: entry.key.clone(),
        value: entry.value.clone(),
    });
    setting.collect()
}
