// SPDX-License-Identifier: Apache-2.0
//! Transactions: what the log holds, what travels in proposals, and the only thing that changes a
//! tree. A transaction decides everything: applying one takes no clock, no randomness and no
//! configuration.

mod apply;
mod record;

pub use apply::{Outcome, Sink, apply, apply_in};
pub use record::{CreateTxn, Txn, TxnDigest, TxnEntry, TxnHeader, TxnKind, reconfigured};
