// SPDX-License-Identifier: Apache-2.0
//! A server's configuration files, as its driver keeps them: `zoo.cfg`, the dynamic file that it
//! refers to once the members have changed, and what an operator writes there by hand. They are no
//! part of the disk that faults tear: the driver replaces a file whole and synced, or not at all.

use std::fmt::Write as _;

use menagerie_core::{
    config::{Ensemble, PeerRole, ServerConfig, StaticConfig, Surroundings, refer_to},
    io::ConfigFile,
};

use crate::world::name;

/// Where `zoo.cfg` stands.
const PLACE: &str = "/conf/zoo.cfg";

/// The files of one server.
#[derive(Clone, Debug)]
pub struct Files {
    /// `zoo.cfg`.
    pub text: String,
    /// What the process is started with.
    pub flags: String,
    /// `myid`.
    pub id: i64,
    /// The dynamic file that is in force: its path and its text.
    pub dynamic: Option<(String, String)>,
    /// Proposals kept in memory: fewer than an operator may configure, for what falls out of there
    /// is on the disk.
    pub diff_cache: u32,
    /// Transactions of one epoch: the counter would take years to reach its own end.
    pub epoch_length: u32,
    /// By how much versions grow: nor would they wrap.
    pub version_step: i32,
}

impl Files {
    /// The configuration that a process finds which starts now.
    ///
    /// # Panics
    /// If the members do not have this server among them: see [`Files::names_itself`].
    pub fn read(&self) -> ServerConfig {
        let parsed = StaticConfig::parse(
            "zoo.cfg",
            self.text.as_bytes(),
            &[("JVMFLAGS", self.flags.as_str())],
        );
        let myid = self.id.to_string();
        let dynamic = self.dynamic.as_ref().map(|(path, text)| (path.as_str(), text.as_bytes()));
        let around = Surroundings { myid: Some(("myid", myid.as_bytes())), dynamic };
        let complete = parsed.and_then(|parsed| parsed.complete(&around));
        let mut config = complete.expect("a right config");
        config.storage.commit_log_count = self.diff_cache;
        config.storage.epoch_length = config.storage.epoch_length.min(self.epoch_length);
        config.storage.version_step = self.version_step;
        config
    }

    /// The server's driver replaces files.
    pub fn replace(&mut self, file: &ConfigFile) {
        if file.in_force {
            let path = format!("{PLACE}{}", file.name);
            let text = refer_to(&path, file.client.is_some(), self.text.as_bytes());
            self.text = String::from_utf8(text).expect("it was a text, and lines went");
            self.dynamic = Some((path, file.text.clone()));
        }
    }

    /// Whether the server stands in the list that it would start with. One that was removed does
    /// not, and would not start.
    pub fn names_itself(&self) -> bool {
        let line = format!("server.{}=", self.id);
        let (_, list) = self
            .dynamic
            .as_ref()
            .map_or(("", self.text.as_str()), |(path, text)| (path.as_str(), text.as_str()));
        list.lines().any(|one| one.starts_with(&line))
    }

    /// An operator writes down whom this server is to ask: these members, and itself, in a role.
    pub fn introduce(&mut self, members: &Ensemble, role: PeerRole) {
        let mut list = String::new();
        let text = members.to_string();
        let own = format!("server.{}=", self.id);
        let lines = text.lines().filter(|line| !line.starts_with("version="));
        for line in lines.filter(|line| !line.starts_with(&own)) {
            writeln!(list, "{line}").expect("a string takes all");
        }
        writeln!(list, "{}", line(self.id, role)).expect("a string takes all");
        let path = format!("{PLACE}.dynamic");
        let text = refer_to(&path, true, self.text.as_bytes());
        self.text = String::from_utf8(text).expect("it was a text, and lines went");
        self.dynamic = Some((path, list));
    }
}

/// The line of a member whose ports may change with the members.
pub fn line(id: i64, role: PeerRole) -> String {
    let host = name(usize::try_from(id - 1).expect("ids count from 1"));
    format!("server.{id}={host}:2888:3888:{};0.0.0.0:2181", role.name())
}

#[cfg(test)]
mod tests {
    use menagerie_core::config::Role;

    use super::*;

    fn files() -> Files {
        let lines: String = (1..=3).map(|id| line(id, PeerRole::Participant) + "\n").collect();
        Files {
            text: format!(
                "dataDir=/data\ninitLimit=5\nsyncLimit=5\nreconfigEnabled=true\n\
                 standaloneEnabled=false\nclientPort=2181\n{lines}"
            ),
            flags: String::new(),
            id: 2,
            dynamic: None,
            diff_cache: 2,
            epoch_length: 100,
            version_step: 1,
        }
    }

    fn members(files: &Files) -> (u64, Vec<i64>) {
        let Role::Member(member) = files.read().role else { panic!("it belongs to an ensemble") };
        (member.ensemble.version(), member.ensemble.voters().map(|voter| voter.0).collect())
    }

    #[test]
    fn what_the_driver_wrote_is_found_at_the_next_start() {
        let mut files = files();
        assert_eq!(members(&files), (0, vec![1, 2, 3]));
        let file = |ids: &[i64], in_force| ConfigFile {
            name: ".dynamic.100000007".into(),
            text: ids.iter().map(|id| line(*id, PeerRole::Participant) + "\n").collect(),
            in_force,
            client: in_force.then_some((None, 2181)),
        };
        files.replace(&file(&[1], false));
        assert_eq!(members(&files), (0, vec![1, 2, 3]), "what is under way is not read");
        files.replace(&file(&[2, 3], true));
        assert_eq!(members(&files), (0x1_0000_0007, vec![2, 3]));
        files.replace(&file(&[1, 3], true));
        assert!(!files.names_itself());
        let list = Ensemble::from_text(b"server.1=s1:2888:3888\nversion=100000008");
        files.introduce(&list.expect("a list"), PeerRole::Observer);
        assert!(files.names_itself());
        assert_eq!(members(&files), (0, vec![1]));
    }
}
