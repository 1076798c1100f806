// SPDX-License-Identifier: Apache-2.0
//! Several writes, all or none.

use menagerie_core::proto::{CreateKind, OpResult, Request, Stat};

use super::{Create, Data, text};

/// Writes to be done together, in order: each sees those before it.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    ops: Vec<Op>,
}

#[derive(Clone, Debug)]
enum Op {
    Create { path: String, data: Option<Vec<u8>>, how: Create },
    Set { path: String, data: Option<Vec<u8>>, version: i32 },
    Delete { path: String, version: i32 },
    Check { path: String, version: i32 },
}

impl Transaction {
    /// Nothing yet.
    pub fn new() -> Transaction {
        Transaction::default()
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Creates a znode.
    pub fn create<'a>(self, path: &str, data: impl Into<Data<'a>>, how: &Create) -> Transaction {
        let data = data.into().0.map(<[u8]>::to_vec);
        self.and(Op::Create { path: path.to_owned(), data, how: how.clone() })
    }

    /// Replaces a znode's data.
    pub fn set<'a>(
        self,
        path: &str,
        data: impl Into<Data<'a>>,
        version: Option<i32>,
    ) -> Transaction {
        let data = data.into().0.map(<[u8]>::to_vec);
        self.and(Op::Set { path: path.to_owned(), data, version: version.unwrap_or(-1) })
    }

    /// Deletes a znode.
    pub fn delete(self, path: &str, version: Option<i32>) -> Transaction {
        self.and(Op::Delete { path: path.to_owned(), version: version.unwrap_or(-1) })
    }

    /// Fails unless the znode is there, with this version if one is given.
    pub fn check(self, path: &str, version: Option<i32>) -> Transaction {
        self.and(Op::Check { path: path.to_owned(), version: version.unwrap_or(-1) })
    }

    fn and(mut self, op: Op) -> Transaction {
        self.ops.push(op);
        self
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request::Multi(self.ops.iter().map(Op::request).collect())
    }
}

impl Op {
    fn request(&self) -> Request<'_> {
        match self {
            Op::Create { path, data, how } => {
                Request::Create(how.request(path, data.as_deref(), CreateKind::Create))
            }
            Op::Set { path, data, version } => {
                let (path, data, version) = (path.as_bytes(), data.as_deref(), *version);
                Request::SetData { path, data, version }
            }
            Op::Delete { path, version } => {
                Request::Delete { path: path.as_bytes(), version: *version }
            }
            Op::Check { path, version } => {
                Request::Check { path: path.as_bytes(), version: *version }
            }
        }
    }
}

/// What an operation of a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Created a znode.
    Created {
        /// Its path.
        path: String,
        /// Its Stat, for containers and znodes with a time to live.
        stat: Option<Stat>,
    },
    /// Replaced a znode's data.
    Set(Stat),
    /// Deleted a znode.
    Deleted,
    /// Found a znode as expected.
    Checked,
}

impl Outcome {
    /// What a result says, or its error's number.
    pub(super) fn of(result: &OpResult<'_>) -> Result<Outcome, i32> {
        Ok(match result {
            OpResult::Create { path } => Outcome::Created { path: text(path), stat: None },
            OpResult::Created { path, stat } => {
                Outcome::Created { path: text(path), stat: Some(*stat) }
            }
            OpResult::SetData { stat } => Outcome::Set(*stat),
            OpResult::Delete => Outcome::Deleted,
            OpResult::Check | OpResult::GetData { .. } | OpResult::GetChildren { .. } => {
                Outcome::Checked
            }
            OpResult::Error { err } => return Err(*err),
        })
    }
}
