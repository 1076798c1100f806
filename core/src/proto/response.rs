// SPDX-License-Identifier: Apache-2.0
//! Responses: the body behind a [`ReplyHeader`](super::ReplyHeader) whose error is 0.
//!
//! A server that answers from its tree writes the same bytes straight into its buffer, with
//! `Stat::encode`, [`OpResult::encode`] and [`end_multi`]; clients and tests go by [`Response`].

use alloc::vec::Vec;

use super::{
    code::OpCode,
    records::{Acl, Identity, Stat, decode_acls, encode_acls},
};
use crate::jute::{Malformed, Reader, Record, Write};

/// The body of a reply. Null lists read as empty ones, except in ACLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// delete, removeWatches, checkWatches, ping, auth, setWatches, closeSession: no body.
    Empty,
    /// create and sync: a path.
    Path(&'a [u8]),
    /// create2, createContainer, createTTL.
    Created {
        /// The final path.
        path: &'a [u8],
        /// The new znode.
        stat: Stat,
    },
    /// exists, setData, setACL.
    Stat(Stat),
    /// getData and reconfig.
    Data {
        /// The data; null differs from empty.
        data: Option<&'a [u8]>,
        /// The znode.
        stat: Stat,
    },
    /// getACL.
    Acl {
        /// The list.
        acl: Option<Vec<Acl<'a>>>,
        /// The znode.
        stat: Stat,
    },
    /// getChildren: names. getEphemerals: paths.
    Names(Vec<&'a [u8]>),
    /// getChildren2.
    Children {
        /// Names, in no order.
        names: Vec<&'a [u8]>,
        /// The parent.
        stat: Stat,
    },
    /// multi and multiRead: a result for each operation.
    Multi(Vec<OpResult<'a>>),
    /// sasl: the server's token.
    Token(Option<&'a [u8]>),
    /// getAllChildrenNumber: a count. addWatch: an error's number, always 0.
    Number(i32),
    /// whoAmI.
    Identities(Vec<Identity<'a>>),
}

impl<'a> Response<'a> {
    /// Reads the body of a reply to `op`; what follows it stays with the reader.
    pub fn decode(op: OpCode, r: &mut Reader<'a>) -> Result<Response<'a>, Malformed> {
        Ok(match op {
            OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::Check
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::Ping
            | OpCode::Auth
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::CloseSession => Response::Empty,
            OpCode::Create | OpCode::Sync => Response::Path(path(r)?),
            OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                Response::Created { path: path(r)?, stat: Stat::decode(r)? }
            }
            OpCode::Exists | OpCode::SetData | OpCode::SetAcl => Response::Stat(Stat::decode(r)?),
            OpCode::GetData | OpCode::Reconfig => {
                Response::Data { data: r.buffer()?, stat: Stat::decode(r)? }
            }
            OpCode::GetAcl => Response::Acl { acl: decode_acls(r)?, stat: Stat::decode(r)? },
            OpCode::GetChildren | OpCode::GetEphemerals => Response::Names(names(r)?),
            OpCode::GetChildren2 => Response::Children { names: names(r)?, stat: Stat::decode(r)? },
            OpCode::Multi | OpCode::MultiRead => Response::Multi(decode_multi(r)?),
            OpCode::Sasl => Response::Token(r.buffer()?),
            OpCode::GetAllChildrenNumber | OpCode::AddWatch => Response::Number(r.int()?),
            OpCode::WhoAmI => Response::Identities(identities(r)?),
            OpCode::Notification | OpCode::CreateSession | OpCode::Error => return Err(Malformed),
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Response::Empty => {}
            Response::Path(path) => out.put_string(path),
            Response::Created { path, stat } => {
                out.put_string(path);
                stat.encode(out);
            }
            Response::Stat(stat) => stat.encode(out),
            Response::Data { data, stat } => {
                out.put_buffer(*data);
                stat.encode(out);
            }
            Response::Acl { acl, stat } => {
                encode_acls(acl.as_deref(), out);
                stat.encode(out);
            }
            Response::Names(names) => encode_names(names, out),
            Response::Children { names, stat } => {
                encode_names(names, out);
                stat.encode(out);
            }
            Response::Multi(results) => {
                results.iter().for_each(|result| result.encode(out));
                end_multi(out);
            }
            Response::Token(token) => out.put_buffer(*token),
            Response::Number(number) => out.put_int(*number),
            Response::Identities(identities) => {
                out.put_count(identities.len());
                for who in identities {
                    out.put_string(who.scheme);
                    out.put_string(who.id);
                }
            }
        }
    }
}

/// What became of one operation of a multi or multiRead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpResult<'a> {
    /// create.
    Create {
        /// The final path.
        path: &'a [u8],
    },
    /// create2, createContainer and createTTL, all answered as create2.
    Created {
        /// The final path.
        path: &'a [u8],
        /// The new znode.
        stat: Stat,
    },
    /// delete.
    Delete,
    /// setData.
    SetData {
        /// The changed znode.
        stat: Stat,
    },
    /// check.
    Check,
    /// getData.
    GetData {
        /// The data.
        data: Option<&'a [u8]>,
        /// The znode.
        stat: Stat,
    },
    /// getChildren.
    GetChildren {
        /// Names, in no order.
        names: Vec<&'a [u8]>,
    },
    /// In a failed multi, every operation: 0 before the one that failed, its error, then -2. In a
    /// multiRead, only the reads that failed.
    Error {
        /// The error's number.
        err: i32,
    },
}

impl<'a> OpResult<'a> {
    /// Reads the result that follows a header of this type.
    fn decode(op: i32, r: &mut Reader<'a>) -> Result<OpResult<'a>, Malformed> {
        Ok(match OpCode::from_code(op).ok_or(Malformed)? {
            OpCode::Create => OpResult::Create { path: path(r)? },
            OpCode::Create2 => OpResult::Created { path: path(r)?, stat: Stat::decode(r)? },
            OpCode::Delete => OpResult::Delete,
            OpCode::SetData => OpResult::SetData { stat: Stat::decode(r)? },
            OpCode::Check => OpResult::Check,
            OpCode::GetData => OpResult::GetData { data: r.buffer()?, stat: Stat::decode(r)? },
            OpCode::GetChildren => OpResult::GetChildren { names: names(r)? },
            OpCode::Error => OpResult::Error { err: r.int()? },
            _ => return Err(Malformed),
        })
    }

    /// Appends the result with its header. After the last one comes [`end_multi`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (op, err) = match self {
            OpResult::Create { .. } => (OpCode::Create, 0),
            OpResult::Created { .. } => (OpCode::Create2, 0),
            OpResult::Delete => (OpCode::Delete, 0),
            OpResult::SetData { .. } => (OpCode::SetData, 0),
            OpResult::Check => (OpCode::Check, 0),
            OpResult::GetData { .. } => (OpCode::GetData, 0),
            OpResult::GetChildren { .. } => (OpCode::GetChildren, 0),
            OpResult::Error { err } => (OpCode::Error, *err),
        };
        out.put_int(op.code());
        out.put_bool(false);
        out.put_int(err);
        match self {
            OpResult::Create { path } => out.put_string(path),
            OpResult::Created { path, stat } => {
                out.put_string(path);
                stat.encode(out);
            }
            OpResult::Delete | OpResult::Check => {}
            OpResult::SetData { stat } => stat.encode(out),
            OpResult::GetData { data, stat } => {
                out.put_buffer(*data);
                stat.encode(out);
            }
            OpResult::GetChildren { names } => encode_names(names, out),
            OpResult::Error { err } => out.put_int(*err),
        }
    }
}

/// Appends what ends the results of a multi or multiRead.
pub fn end_multi(out: &mut Vec<u8>) {
    out.put_int(-1);
    out.put_bool(true);
    out.put_int(-1);
}

fn decode_multi<'a>(r: &mut Reader<'a>) -> Result<Vec<OpResult<'a>>, Malformed> {
    let mut results = Vec::new();
    loop {
        let (op, done, _err) = (r.int()?, r.bool()?, r.int()?);
        if done {
            return Ok(results);
        }
        results.push(OpResult::decode(op, r)?);
    }
}

fn path<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    Ok(r.buffer()?.unwrap_or_default())
}

fn names<'a>(r: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let n = r.vector(4)?.unwrap_or(0);
    (0..n).map(|_| path(r)).collect()
}

fn encode_names(names: &[&[u8]], out: &mut Vec<u8>) {
    out.put_count(names.len());
    for name in names {
        out.put_string(name);
    }
}

fn identities<'a>(r: &mut Reader<'a>) -> Result<Vec<Identity<'a>>, Malformed> {
    let n = r.vector(8)?.unwrap_or(0);
    (0..n).map(|_| Ok(Identity { scheme: path(r)?, id: path(r)? })).collect()
}
