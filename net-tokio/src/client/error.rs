// SPDX-License-Identifier: Apache-2.0
//! Why a client could not do what it was asked.

use std::{error, fmt, time::Duration};

use menagerie_core::{client::BadConnectString, proto::ErrorCode};

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The connect string cannot be read.
    BadConnectString(BadConnectString),
    /// No server took the session in time.
    NotConnected {
        /// How long it was tried.
        waited: Duration,
        /// What went wrong last, in the system's words.
        trouble: Option<String>,
    },
    /// The service refused the request, or the client could not bring it there.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The path it was about; empty if none.
        path: String,
    },
    /// An operation of a transaction was refused, and so nothing of it was done.
    MultiRefused {
        /// The operation, counted from 0.
        index: usize,
        /// Why.
        code: ErrorCode,
    },
    /// The service gave an error that this client does not know.
    Unknown {
        /// The error's number.
        code: i32,
    },
}

impl Error {
    pub(super) fn of(code: i32, path: &str) -> Error {
        match ErrorCode::from_code(code) {
            Some(code) => Error::Refused { code, path: path.to_owned() },
            None => Error::Unknown { code },
        }
    }

    pub(super) fn of_multi(index: usize, code: i32) -> Error {
        match ErrorCode::from_code(code) {
            Some(code) => Error::MultiRefused { index, code },
            None => Error::Unknown { code },
        }
    }

    /// The service's reason, if it is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused { code, .. } | Error::MultiRefused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::BadConnectString(error) => error.fmt(f),
            Error::NotConnected { waited, trouble } => {
                write!(f, "no server took the session in {waited:?}")?;
                trouble.iter().try_for_each(|trouble| write!(f, ": {trouble}"))
            }
            Error::Refused { code, path } if path.is_empty() => write!(f, "{code:?}"),
            Error::Refused { code, path } => write!(f, "{code:?} for {path}"),
            Error::MultiRefused { index, code } => {
                write!(f, "{code:?} for operation {index} of the transaction")
            }
            Error::Unknown { code } => write!(f, "error {code}"),
        }
    }
}

impl error::Error for Error {}

impl From<BadConnectString> for Error {
    fn from(error: BadConnectString) -> Error {
        Error::BadConnectString(error)
    }
}
