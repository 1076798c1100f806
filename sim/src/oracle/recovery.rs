// SPDX-License-Identifier: Apache-2.0
//! What a server recovers is a beginning of what it logged, and holds everything that it showed to
//! anyone (committed log durability): no crash, cut or tree takes that away.

use menagerie_core::id::{ServerId, Zxid};

use super::{Check, Property, Violation, commitment, ghost::Ghost};

/// A server read its disk, at its start or because its leader gave it another history, and says
/// where that ends.
pub fn recovered(ghost: &mut Ghost, server: usize, zxid: i64) -> Check {
    let (alone, told) = (ghost.is_alone(), ghost.told);
    let replica = &ghost.replicas[server];
    let log = history(ghost, server, zxid)?;
    let durable = if alone { told } else { replica.durable };
    // A leader may take back what it does not know to be committed yet, if enough others hold it.
    let gone =
        |one: &&i64| ghost.committed.binary_search(one).is_ok() && log.binary_search(one).is_err();
    // What an observer holds never counted; and where a disk was lost, too few others may hold it.
    let votes = ghost.configurations.newest().1.is_voter(ServerId(server as i64 + 1));
    let counts = |one: i64| votes && !commitment::is_held_without(ghost, server, one);
    let matters = |one: &&i64| **one <= replica.applied || counts(**one);
    let lost = replica.upto(durable).iter().filter(gone).find(matters).copied();
    if let Some(lost) = lost {
        let (zxid, lost) = (Zxid(zxid), Zxid(lost));
        let what = format!("recovered {zxid}, but {lost} had been shown and was durable");
        ghost.off.pardon(broken(what))?;
    }
    let replica = &mut ghost.replicas[server];
    (replica.log, replica.durable) = (log, zxid);
    if alone {
        // What is left is history: there is nobody else to ask.
        ghost.advance(server, zxid)?;
        ghost.forget_asked();
    }
    ghost.forget_lost();
    Ok(())
}

/// What a server's log holds that ends with `zxid`.
fn history(ghost: &Ghost, server: usize, zxid: i64) -> Result<Vec<i64>, Violation> {
    let replica = &ghost.replicas[server];
    let (mine, shown) = (replica.upto(zxid), ghost.upto(zxid));
    let ends = |log: &[i64]| zxid == 0 || Zxid(zxid).counter() == 0 || log.last() == Some(&zxid);
    if replica.tree == Some(zxid) && ends(shown) {
        return Ok(shown.to_vec());
    }
    if ends(mine) {
        return Ok(mine.to_vec());
    }
    let last = Zxid(replica.last());
    Err(Violation::new(
        Property::Recovery,
        format!("recovered {}, which was never logged; the last was {last}", Zxid(zxid)),
    ))
}

fn broken(what: String) -> Check {
    Err(Violation::new(Property::Recovery, what))
}
