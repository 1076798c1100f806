// SPDX-License-Identifier: Apache-2.0
//! Quotas: limits below `/zookeeper/quota`, and the usage that the server accounts beside them.

use menagerie_core::txn::Txn;

use super::{Model, split};

/// Below this are limits and usage.
pub const QUOTA: &[u8] = b"/zookeeper/quota";
const LIMITS: &[u8] = b"/zookeeper_limits";
const USAGE: &[u8] = b"/zookeeper_stats";

/// Whether a transaction changes limits, or where usage is kept.
pub fn changes_quotas(txn: &Txn<'_>) -> bool {
    match txn {
        Txn::Create(create) => create.path.starts_with(QUOTA),
        Txn::Delete { path, .. } | Txn::SetData { path, .. } => path.starts_with(QUOTA),
        Txn::Multi(txns) => txns.iter().any(changes_quotas),
        _ => false,
    }
}

impl Model {
    /// Whether so much more at a path goes beyond a hard limit.
    pub(super) fn exceeds(&self, path: &[u8], bytes: i64, count: i64) -> bool {
        let Some(top) = self.governed(path).filter(|_| self.enforces_quotas) else { return false };
        let text = |name| self.node(&of(top, name)).map(|node| node.data.clone());
        let (Some(limits), Some(usage)) = (text(LIMITS), text(USAGE)) else { return false };
        let beyond = |more: i64, used: &str, limit: &str| {
            let (used, limit) = (number(&usage, used), number(&limits, limit));
            more != 0 && limit > -1 && used + more > limit
        };
        beyond(count, "count", "countHardLimit") || beyond(bytes, "bytes", "byteHardLimit")
    }

    /// Accounts a change where the nearest quota above keeps its usage.
    pub(super) fn account(&mut self, path: &[u8], bytes: i64, count: i64) {
        let Some(usage) = self.governed(path).map(|top| of(top, USAGE)) else { return };
        let Some(node) = self.node_mut(&usage) else { return };
        let (used, held) = (number(&node.data, "count"), number(&node.data, "bytes"));
        node.data = Some(text(used + count, held + bytes));
    }

    /// A znode was made: where usage is kept, that begins with what is there now.
    pub(super) fn begin_usage(&mut self, path: &[u8]) {
        let rest = path.strip_prefix(QUOTA).and_then(|rest| rest.strip_suffix(USAGE));
        let Some(top) = rest.filter(|top| !top.is_empty()) else { return };
        let below = [top, b"/"].concat();
        let within = |path: &[u8]| path == top || path.starts_with(&below);
        let (mut count, mut bytes) = (0, 0);
        for (_, node) in self.nodes().filter(|(path, _)| within(path)) {
            (count, bytes) = (count + 1, bytes + node.data.as_ref().map_or(0, Vec::len) as i64);
        }
        if let Some(node) = self.node_mut(path) {
            node.data = Some(text(count, bytes));
        }
    }

    /// The nearest znode at or above a path that has limits.
    fn governed<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let mut at = path;
        while at.len() > 1 {
            if self.node(&of(at, LIMITS)).is_some() {
                return Some(at);
            }
            at = split(at)?.0;
        }
        None
    }
}

fn of(top: &[u8], name: &[u8]) -> Vec<u8> {
    [QUOTA, top, name].concat()
}

fn text(count: i64, bytes: i64) -> Vec<u8> {
    format!("count={count},bytes={bytes}").into_bytes()
}

/// The number under a name in the text of limits or usage; -1 if it is not there.
fn number(text: &Option<Vec<u8>>, name: &str) -> i64 {
    let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
    let mut pairs = text.split([',', ';']).map(|pair| pair.split('='));
    let mut found = pairs.find_map(|mut pair| (pair.next() == Some(name)).then_some(pair));
    found.as_mut().and_then(|pair| pair.next()?.parse().ok()).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_java_writes_them() {
        let text = Some(b"count=3,bytes=-1=;byteHardLimit=40;countHardLimit=2".to_vec());
        let of = |name| number(&text, name);
        assert_eq!((of("count"), of("bytes"), of("none")), (3, -1, -1));
        assert_eq!((of("byteHardLimit"), of("countHardLimit")), (40, 2));
    }
}
