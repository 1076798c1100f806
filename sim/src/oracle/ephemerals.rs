// SPDX-License-Identifier: Apache-2.0
//! An ephemeral znode lives exactly as long as its session: none is made for a session that is
//! closed, all go in the transaction that closes it, and nothing else goes with them.

use std::collections::BTreeSet;

use menagerie_core::txn::{Txn, TxnHeader, TxnKind};

use super::{Check, Property, Violation};
use crate::model::Model;

/// A transaction is about to be applied to the model.
pub fn check(model: &Model, header: &TxnHeader, txn: &Txn<'_>) -> Check {
    match txn {
        Txn::Multi(txns) if txns.iter().any(|txn| matches!(txn, Txn::Error { .. })) => Ok(()),
        Txn::Multi(txns) => txns.iter().try_for_each(|txn| check(model, header, txn)),
        Txn::Create(create) => {
            let ephemeral = matches!(create.kind, TxnKind::Plain { ephemeral: true, .. });
            if ephemeral && !model.sessions.contains_key(&header.session.0) {
                return orphan(header, create.path.escape_ascii().to_string());
            }
            Ok(())
        }
        Txn::CloseSession { paths: Some(paths) } => {
            let listed: BTreeSet<&[u8]> = paths.iter().copied().collect();
            let owned: BTreeSet<&[u8]> = model.ephemerals(header.session.0).collect();
            if listed != owned || listed.len() != paths.len() {
                let show = |set: &BTreeSet<&[u8]>| {
                    let names: Vec<_> = set.iter().map(|p| p.escape_ascii().to_string()).collect();
                    names.join(" ")
                };
                return orphan(
                    header,
                    format!("closing lists [{}], it owns [{}]", show(&listed), show(&owned)),
                );
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn orphan(header: &TxnHeader, what: String) -> Check {
    let what = format!("{} of session {}: {what}", header.zxid, header.session);
    Err(Violation::new(Property::Ephemerals, what))
}
