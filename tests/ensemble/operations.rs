// SPDX-License-Identifier: Apache-2.0
//! The procedures of docs/OPERATIONS.md, run as they stand there: each server is a machine of its
//! own, so its folders and addresses are put in place of those in the text. The move from Java and
//! back is in tests/mixed.

use std::{fs, process::Command};

use super::{
    common::{PATIENCE, said},
    members::{Ensemble, VOTERS},
    readme::blocks,
};

/// An ensemble that is deployed as the document says.
struct Operated(Ensemble);

impl Operated {
    fn deploy(name: &str) -> Operated {
        let operated = Operated(Ensemble::new(name, VOTERS));
        for id in operated.0.ids() {
            fs::remove_dir_all(operated.0.home(id)).expect("nothing is there yet");
            fs::create_dir_all(operated.0.home(id)).expect("a folder of our own");
            operated.carry_out("Deploy", 0, id);
        }
        operated.0.await_service(&[1, 2, 3]);
        for id in operated.0.ids() {
            let printed = operated.carry_out("Deploy", 1, id);
            assert!(printed.contains("Mode: "), "{printed}");
        }
        operated
    }

    /// Runs a block of a procedure on one machine; gives back what it printed.
    fn carry_out(&self, heading: &str, block: usize, id: usize) -> String {
        let Operated(ensemble) = self;
        let mut text = blocks("docs/OPERATIONS.md", heading)[block].clone();
        let home = ensemble.home(id);
        for (there, here) in
            [("/var/lib/zookeeper", home.join("data")), ("/backup", ensemble.folder.join("backup"))]
        {
            text = text.replace(there, here.to_str().expect("a path of ours"));
        }
        for other in ensemble.ids() {
            let ports = ensemble.ports(other);
            let line = format!("127.0.0.1:{}:{}", ports.quorum, ports.election);
            text = text.replace(&format!("zk{other}:2888:3888"), &line);
        }
        text = text.replace("2181", &ensemble.ports(id).client.to_string());
        text = text.replace("myid=N", &format!("myid={id}"));
        text = text.replace("echo N", &format!("echo {id}"));
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_menagerie"));
        let path = program.parent().expect("it is in a folder").display();
        let script = format!("PATH=\"{path}:$PATH\"\n{text}");
        let patience = PATIENCE.as_secs().to_string();
        let mut bash = Command::new("timeout");
        bash.args([&patience, "bash", "-euc", &script]).current_dir(&home);
        let output = bash.output().expect("bash runs");
        let (code, printed) = said(&output);
        assert_eq!(code, 0, "{heading}, {id}: {output:?}\n{}", ensemble.log(id));
        printed
    }

    /// The machine is gone, with all that was on it but its configuration.
    fn lose(&self, id: usize) {
        self.0.kill(id);
        fs::remove_dir_all(self.0.home(id).join("data")).expect("its disk is lost");
    }
}

#[test]
fn an_ensemble_is_upgraded_one_server_at_a_time() {
    let operated = Operated::deploy("upgrade");
    operated.0.agree(1, &[1, 2, 3], "/before");
    for id in operated.0.ids() {
        let printed = operated.carry_out("Upgrade, or change a setting", 0, id);
        assert!(printed.contains("Mode: "), "{printed}");
        operated.0.knows(id, "/before");
    }
}

#[test]
fn a_dead_server_is_replaced() {
    let operated = Operated::deploy("replace");
    let leader = operated.0.await_service(&[1, 2, 3]);
    for lost in [leader, leader % 3 + 1] {
        operated.0.agree(leader, &[1, 2, 3], &format!("/before-{lost}"));
        operated.lose(lost);
        let printed = operated.carry_out("Replace a dead server", 0, lost);
        assert!(printed.contains("Mode: follower\n"), "{printed}");
        operated.0.knows(lost, &format!("/before-{lost}"));
    }
}

#[test]
fn a_lost_quorum_is_recovered_from() {
    let operated = Operated::deploy("lost-quorum");
    operated.0.agree(1, &[1, 2, 3], "/before");
    operated.lose(2);
    operated.lose(3);
    operated.carry_out("Recover from a lost quorum", 0, 1);
    let printed = operated.carry_out("Recover from a lost quorum", 1, 2);
    assert!(printed.contains("Mode: follower\n"), "{printed}");
    operated.carry_out("Replace a dead server", 0, 3);
    operated.0.await_service(&[1, 2, 3]);
    operated.0.ids().for_each(|id| operated.0.knows(id, "/before"));
    operated.0.agree(3, &[1, 2, 3], "/after");
}

#[test]
fn a_backup_is_restored() {
    let operated = Operated::deploy("backup");
    operated.0.agree(1, &[1, 2, 3], "/saved");
    operated.carry_out("Back up", 0, 2);
    operated.0.agree(1, &[1, 2, 3], "/not-saved");
    operated.0.ids().for_each(|id| drop(operated.carry_out("Restore", 0, id)));
    operated.0.ids().for_each(|id| drop(operated.carry_out("Restore", 1, id)));
    operated.0.await_service(&[1, 2, 3]);
    for id in operated.0.ids() {
        operated.0.knows(id, "/saved");
        assert!(!operated.0.cli(id, &["get", "/not-saved"]).status.success(), "{id}");
    }
    operated.0.agree(3, &[1, 2, 3], "/after");
}
