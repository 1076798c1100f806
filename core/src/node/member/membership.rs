// SPDX-License-Identifier: Apache-2.0
//! Which configuration is in force at a member, and which is under way.
//!
//! ```text
//!          logged, or told with NEWLEADER
//!  InForce ------------------------------> Changing --committed, or told while looking--+
//!   ^  ^----- the log was cut, or a tree came ---'                                      |
//!   `-----------------------------------------------------------------------------------'
//! ```
//!
//! What is under way is read from the log: the newest reconfiguration in it stands in the tree that
//! recovery builds, at `/zookeeper/config`. So it is as durable as what a quorum has acknowledged,
//! and goes where a TRUNC takes it. The configuration's files may lag behind: a server that knows
//! only an older configuration in force can do no harm, since every quorum of that one has
//! somebody who has the next in its log. Java keeps what is under way in a file of its own
//! (`.dynamic.next`), which a TRUNC leaves behind; here that file is written for Java's sake.
//!
//! Without `reconfigEnabled` there is but the configuration that the files give, as in Java.

use alloc::{boxed::Box, format, string::ToString};

use crate::{
    config::Ensemble,
    id::ServerId,
    io::{ConfigFile, Effect, Effects},
    quorum::Quorums,
};

/// The configurations that a member knows of; drawn in the module's doc.
#[derive(Clone, Debug)]
pub(in crate::node) struct Membership {
    enabled: bool,
    me: ServerId,
    in_force: Ensemble,
    under_way: Option<Ensemble>,
}

impl Membership {
    /// What the files give.
    pub fn new(enabled: bool, me: ServerId, in_force: Ensemble) -> Membership {
        Membership { enabled, me, in_force, under_way: None }
    }

    /// Whether it may change.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What is in force.
    pub fn in_force(&self) -> &Ensemble {
        &self.in_force
    }

    /// What is under way, if anything is.
    pub fn under_way(&self) -> Option<&Ensemble> {
        self.under_way.as_ref()
    }

    /// The newest that this server knows of.
    pub fn last_seen(&self) -> &Ensemble {
        self.under_way.as_ref().unwrap_or(&self.in_force)
    }

    /// Who may decide.
    pub fn quorums(&self) -> Quorums {
        let quorums = Quorums::from(self.in_force.quorum());
        match &self.under_way {
            None => quorums,
            Some(next) => quorums.towards(next.quorum()),
        }
    }

    /// The tree that the log leads to shows this text: it alone says what is under way.
    pub fn read(&mut self, shown: Option<&[u8]>) {
        let logged = shown.filter(|_| self.enabled).and_then(Ensemble::from_text);
        self.under_way = logged.filter(|logged| self.is_newer(logged));
    }

    /// A configuration is under way, if it is newer than the one in force.
    pub fn see(&mut self, next: Ensemble, fx: &mut Effects) {
        if self.enabled && self.is_newer(&next) && self.under_way.as_ref() != Some(&next) {
            let (name, text) = (".dynamic.next".into(), next.to_string());
            let file = ConfigFile { name, text, in_force: false, client: None };
            fx.push(Effect::Configure(Box::new(file)));
            self.under_way = Some(next);
        }
    }

    /// What is under way is in force, if it has this version. True if other members are.
    pub fn arrive(&mut self, version: u64, fx: &mut Effects) -> bool {
        match self.under_way.take_if(|next| next.version() == version) {
            None => false,
            Some(next) => self.adopt(next, fx),
        }
    }

    /// Somebody for whom it is in force told of a configuration. True if other members are.
    pub fn adopt(&mut self, next: Ensemble, fx: &mut Effects) -> bool {
        if !self.enabled || !self.is_newer(&next) {
            return false;
        }
        let version = next.version();
        self.under_way = self.under_way.take().filter(|under_way| under_way.version() > version);
        let text = next.to_string();
        let text = text.rsplit_once('\n').map_or("", |(members, _)| members).into();
        let name = format!(".dynamic.{version:x}");
        let own = next.members().get(&self.me.0).and_then(|own| own.client.clone());
        let client = own.map(|at| (at.host, at.port));
        fx.push(Effect::Configure(Box::new(ConfigFile { name, text, in_force: true, client })));
        let other = !self.in_force.is_same(&next);
        self.in_force = next;
        other
    }

    /// Whether it may follow; a list without a voter is nobody's.
    fn is_newer(&self, next: &Ensemble) -> bool {
        next.version() > self.in_force.version() && next.voters().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec, vec::Vec};

    use super::*;

    fn ensemble(version: u64, ids: &[i64]) -> Ensemble {
        let lines: String = ids.iter().map(|id| format!("server.{id}=h{id}:1:2\n")).collect();
        let text = format!("{lines}version={version:x}");
        Ensemble::from_text(text.as_bytes()).expect("a list")
    }

    /// The files that were written since, and whether they are in force.
    fn files(fx: &mut Effects) -> Vec<(String, bool)> {
        let files = fx.take_list().into_iter().map(|effect| match effect {
            Effect::Configure(file) => (file.name, file.in_force),
            other => panic!("{other:?}"),
        });
        files.collect()
    }

    #[test]
    fn a_configuration_is_seen_and_then_in_force() {
        let (mut members, mut fx) =
            (Membership::new(true, ServerId(1), ensemble(0, &[1, 2])), Effects::new());
        members.see(ensemble(9, &[1, 2, 3]), &mut fx);
        members.see(ensemble(9, &[1, 2, 3]), &mut fx);
        assert_eq!(files(&mut fx), vec![(".dynamic.next".into(), false)], "once");
        assert!(members.quorums().is_voter(ServerId(3)));
        assert!(!members.arrive(8, &mut fx), "another one");
        assert!(members.arrive(9, &mut fx));
        assert_eq!(files(&mut fx), vec![(".dynamic.9".into(), true)]);
        assert!(members.under_way().is_none() && !members.arrive(9, &mut fx));
        assert!(!members.adopt(ensemble(8, &[1]), &mut fx), "an older one");
        assert!(!members.adopt(ensemble(10, &[1, 2, 3]), &mut fx), "the same members");
        assert!(!members.adopt(ensemble(11, &[]), &mut fx), "nobody's");
        assert_eq!(members.in_force().version(), 10);
    }

    #[test]
    fn what_is_under_way_is_what_the_log_says() {
        let (mut members, mut fx) =
            (Membership::new(true, ServerId(1), ensemble(5, &[1, 2])), Effects::new());
        let text = ensemble(9, &[1, 2, 3]).to_string();
        members.read(Some(text.as_bytes()));
        assert_eq!(members.last_seen().version(), 9);
        members.read(Some(b""));
        assert_eq!(members.last_seen().version(), 5, "the log was cut");
        members.see(ensemble(9, &[1]), &mut fx);
        assert!(members.adopt(ensemble(7, &[2]), &mut fx), "while looking");
        assert_eq!((members.in_force().version(), members.last_seen().version()), (7, 9));
    }

    #[test]
    fn without_reconfig_nothing_changes() {
        let (mut members, mut fx) =
            (Membership::new(false, ServerId(1), ensemble(0, &[1, 2])), Effects::new());
        members.see(ensemble(9, &[1]), &mut fx);
        members.read(Some(ensemble(9, &[1]).to_string().as_bytes()));
        assert!(!members.arrive(9, &mut fx) && !members.adopt(ensemble(9, &[1]), &mut fx));
        assert_eq!((members.last_seen().version(), files(&mut fx)), (0, vec![]));
    }
}
