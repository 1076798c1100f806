// SPDX-License-Identifier: Apache-2.0
//! What a configuration text can make us say: errors that stop the start, notices that do not.
//! Each names the place, repeats what stands there, and says what would be right.
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A file as a whole: something is missing in it.
    File {
        /// The file's name as it was given.
        file: String,
    },
    /// A line of a file.
    Line {
        /// The file's name as it was given.
        file: String,
        /// The line, from 1, on which the setting starts.
        line: u32,
    },
    /// An environment variable with flags for a JVM, such as `JVMFLAGS`.
    Flags {
        /// The variable's name.
        variable: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file } => f.write_str(file),
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Flags { variable } => f.write_str(variable),
        }
    }
}

/// One setting as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Where it stands.
    pub origin: Origin,
    /// The key as it stands there: `snapCount` in a file, `zookeeper.snapCount` in flags.
    pub key: String,
    /// The value, trimmed if it is from a file.
    pub value: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let define = if matches!(self.origin, Origin::Flags { .. }) { "-D" } else { "" };
        write!(f, "{}: {define}{}={}", self.origin, self.key, self.value)
    }
}

/// One mistake that stops the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Box<Mistake>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    origin: Origin,
    setting: Option<Setting>,
    problem: String,
    remedy: String,
}

impl ConfigError {
    /// A value that cannot be: `problem` says why, `remedy` what would be right.
    #[must_use]
    pub fn wrong(setting: &Setting, problem: String, remedy: String) -> Self {
        let origin = setting.origin.clone();
        let setting = Some(setting.clone());
        Self(Box::new(Mistake { origin, setting, problem, remedy }))
    }

    /// Something that is wrong with `origin` rather than with one value in it.
    #[must_use]
    pub fn at(origin: Origin, problem: String, remedy: String) -> Self {
        Self(Box::new(Mistake { origin, setting: None, problem, remedy }))
    }

    /// The file and line, or the variable.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The key and value at fault, where a single one is.
    #[must_use]
    pub fn setting(&self) -> Option<&Setting> {
        self.0.setting.as_ref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { origin, setting, problem, remedy } = &*self.0;
        match setting {
            Some(setting) => write!(f, "{setting}: {problem}; {remedy}"),
            None => write!(f, "{origin}: {problem}; {remedy}"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Every mistake of a configuration, at least one, in the order of their lines: an operator who
/// made three should not have to start three times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Err` with all of `errors`, or `Ok` if there are none.
    pub(super) fn check(mut errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() {
            return Ok(());
        }
        errors.sort_by(|a, b| a.0.origin.cmp(&b.0.origin));
        Err(Self(errors))
    }

    /// The mistakes; never empty.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(Vec::from([error]))
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if nth == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigErrors {}

/// Something the operator should know about a configuration that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where it stands.
    pub origin: Origin,
    /// What kind of thing it is, so that a server can choose how loudly to say it.
    pub kind: NoticeKind,
    /// One sentence for people.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.text)
    }
}

/// The kinds of [`Notice`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// The value was replaced by the nearest one that works, as ZooKeeper does.
    Adjusted,
    /// ZooKeeper ignores the setting at this place; it counts here.
    Honoured,
    /// ZooKeeper knows the key, but it has nothing to act on here.
    NoEffect,
    /// The same key stands in the file again.
    Repeated,
    /// The setting works, but probably not as meant.
    Suspicious,
    /// Nobody knows the key; it is kept as a property.
    UnknownKey,
}
