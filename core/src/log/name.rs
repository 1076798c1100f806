// SPDX-License-Identifier: Apache-2.0
//! File names: which files of a data directory are whose.

use alloc::{format, string::String};

use crate::id::Zxid;

/// Our note of how far the log is known to be synced; beside the log.
pub const MARK_NAME: &str = "menagerie.synced";

/// Our note of which files were here before us; beside the snapshots.
pub const TAKEOVER_NAME: &str = "menagerie.takeover";

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A log whose first transaction is this one.
    Log(Zxid),
    /// A snapshot that holds everything up to this transaction.
    Snapshot(Zxid, Packing),
    /// A snapshot of ours that was never finished.
    Partial,
    /// Not a file of the store: left alone.
    Foreign,
}

/// How a snapshot is packed, which Java tells by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// By gzip or snappy, a choice of ZooKeeper 3.6 and later.
    Compressed,
}

impl Name {
    /// Reads a name. Only what ZooKeeper itself would have written counts: Java also takes
    /// `log.5.bak` for a log, which nobody who made such a copy can have meant.
    pub fn parse(name: &str) -> Name {
        if let Some(rest) = name.strip_prefix("log.") {
            return canonical(rest).map_or(Name::Foreign, Name::Log);
        }
        if let Some(rest) = name.strip_prefix("snapshot.") {
            let plain = rest.strip_suffix(".gz").or_else(|| rest.strip_suffix(".snappy"));
            let packing = if plain.is_some() { Packing::Compressed } else { Packing::Plain };
            return canonical(plain.unwrap_or(rest))
                .map_or(Name::Foreign, |zxid| Name::Snapshot(zxid, packing));
        }
        match name.strip_prefix("tmp.snapshot.").and_then(canonical) {
            Some(_) => Name::Partial,
            None => Name::Foreign,
        }
    }
}

/// The name of the log that begins with `zxid`.
pub fn log_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

/// The name of the snapshot of everything up to `zxid`.
pub fn snapshot_name(zxid: Zxid) -> String {
    format!("snapshot.{:x}", zxid.0)
}

/// The name of that snapshot while it is being written.
pub fn partial_name(zxid: Zxid) -> String {
    format!("tmp.snapshot.{:x}", zxid.0)
}

fn canonical(hex: &str) -> Option<Zxid> {
    let zxid = i64::from_str_radix(hex, 16).ok().filter(|zxid| *zxid >= 0)?;
    (format!("{zxid:x}") == hex).then_some(Zxid(zxid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_java_wrote_and_nothing_else() {
        assert_eq!(Name::parse("log.1b"), Name::Log(Zxid(0x1b)));
        assert_eq!(Name::parse("snapshot.0"), Name::Snapshot(Zxid(0), Packing::Plain));
        let packed = Name::Snapshot(Zxid(0x10), Packing::Compressed);
        assert_eq!(Name::parse("snapshot.10.gz"), packed);
        assert_eq!(Name::parse("snapshot.10.snappy"), packed);
        assert_eq!(Name::parse("tmp.snapshot.10"), Name::Partial);
        for foreign in [
            "log.",
            "log.1B",
            "log.01",
            "log.-1",
            "log.+1",
            "log.1.bak",
            "log",
            "log.zz",
            "snapshot.1.xz",
            "currentEpoch",
            "menagerie.synced",
            "log.ffffffffffffffffff",
        ] {
            assert_eq!(Name::parse(foreign), Name::Foreign, "{foreign}");
        }
    }

    #[test]
    fn names_read_back() {
        let zxid = Zxid::new(3, 0xab);
        assert_eq!(log_name(zxid), "log.3000000ab");
        assert_eq!(Name::parse(&log_name(zxid)), Name::Log(zxid));
        let snapshot = Name::Snapshot(zxid, Packing::Plain);
        assert_eq!(Name::parse(&snapshot_name(zxid)), snapshot);
        assert_eq!(Name::parse(&partial_name(zxid)), Name::Partial);
    }
}
