// SPDX-License-Identifier: Apache-2.0
//! Promises that no story may break, whatever happens in it.

use std::collections::{BTreeMap, BTreeSet};

use menagerie_core::{
    id::{LinkId, Zxid},
    node::Phase,
    proto::Request,
};

use super::Stage;
use crate::{
    speech,
    troupe::{Id, Troupe, guest::Heard},
};

/// Begins a line that no story should have.
pub const BROKEN: &str = "BROKEN";

/// What was promised so far.
#[derive(Default)]
pub struct Judge {
    /// Creates, deletes and reads under way: whether the znode is there if they succeed.
    asked: BTreeMap<(LinkId, i32), (String, bool)>,
    /// What clients know to be there, or to be gone.
    known: BTreeMap<String, bool>,
    /// Who led which epoch.
    leaders: BTreeMap<u32, Id>,
    /// What trees looked like after each transaction.
    digests: BTreeMap<Zxid, u64>,
    /// What was complained of already.
    said: BTreeSet<String>,
}

impl Judge {
    pub fn asked(&mut self, link: LinkId, xid: i32, request: &Request<'_>) {
        let (path, there) = match request {
            // An ephemeral znode may go with its session.
            Request::Create(create) if create.flags & 1 == 0 => (create.path, true),
            Request::Delete { path, .. } => (*path, false),
            // Who has read it knows, too.
            Request::Exists { path, .. } | Request::GetData { path, .. } => (*path, true),
            _ => return,
        };
        self.asked.insert((link, xid), (speech::text(path), there));
    }

    pub fn answered(&mut self, link: LinkId, heard: &Heard) {
        let Heard::Reply { xid, err: 0, .. } = heard else { return };
        if let Some((path, there)) = self.asked.remove(&(link, *xid)) {
            self.known.insert(path, there);
        }
    }

    /// What is wrong with what the servers are and hold now, and was not told yet.
    pub fn looks_at(&mut self, troupe: &Troupe) -> Vec<String> {
        let mut wrong = Vec::new();
        if troupe.restless {
            wrong.push("they never come to rest".to_owned());
        }
        for id in troupe.ids() {
            let Some(view) = troupe.view(id) else { continue };
            if let Phase::Leading { epoch: Some(epoch), established: true } = view.phase {
                let first = *self.leaders.entry(epoch).or_insert(id);
                if first != id {
                    wrong.push(format!("{first} and {id} both led epoch {epoch}"));
                }
            }
            if troupe.serves(id) && view.applied.counter() > 0 {
                let digest = *self.digests.entry(view.applied).or_insert(view.digest);
                if digest != view.digest {
                    let zxid = view.applied.0;
                    wrong.push(format!("{id} holds another tree after {zxid:x} than others"));
                }
            }
        }
        wrong.retain(|what| self.said.insert(what.clone()));
        wrong.iter().map(|what| format!("{BROKEN}: {what}")).collect()
    }

    /// What a server lacks of what clients were told.
    fn lacks(&self, troupe: &Troupe, id: Id) -> Option<String> {
        let server = troupe.server(id).node.as_ref()?.server()?;
        let tree = server.history().tree();
        let is_there = |path: &str| tree.find(path.as_bytes()).is_some();
        let (path, there) = self.known.iter().find(|(path, there)| is_there(path) != **there)?;
        Some(match there {
            true => format!("{id} lacks {path}, which was acknowledged"),
            false => format!("{id} still has {path}, whose end was acknowledged"),
        })
    }
}

impl Stage {
    pub(super) fn agree(&mut self) {
        let troupe = self.troupe.as_ref().expect("a troupe");
        let serving: Vec<Id> = troupe.ids().filter(|id| troupe.serves(*id)).collect();
        let views = || serving.iter().filter_map(|id| troupe.view(*id));
        let lacks: Vec<String> =
            serving.iter().filter_map(|id| self.judge.lacks(troupe, *id)).collect();
        let mut lines: Vec<String> = lacks.iter().map(|what| format!("{BROKEN}: {what}")).collect();
        let digests: BTreeSet<u64> = views().map(|view| view.digest).collect();
        if digests.len() > 1 {
            let each = serving.iter().zip(views());
            let each: Vec<String> =
                each.map(|(id, view)| format!("{id} {:x}", view.durable.0)).collect();
            lines.push(format!("{BROKEN}: they do not hold the same: {}", each.join(", ")));
        }
        if lines.is_empty() {
            let ids: Vec<String> = serving.iter().map(ToString::to_string).collect();
            let (ids, known) = (ids.join(" "), self.judge.known.len());
            let zxid = views().map(|view| view.durable.0).max().unwrap_or_default();
            lines.push(format!("{ids} hold the same up to {zxid:x}, and all {known} known znodes"));
        }
        self.out.extend(lines);
    }
}
