// SPDX-License-Identifier: Apache-2.0
//! Members of an ensemble of real processes change while it runs, as an operator changes them.

use std::fs;

use super::{
    common::{eventually, said},
    members::Ensemble,
};

const LINES: &str = "reconfigEnabled=true\nskipACL=yes\n";

/// A member's line as it is to be seen at `/zookeeper/config`.
fn line(ensemble: &Ensemble, id: usize) -> String {
    let ports = ensemble.ports(id);
    let (quorum, election, client) = (ports.quorum, ports.election, ports.client);
    format!("server.{id}=127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{client}")
}

/// Waits until these servers show these members.
fn show(ensemble: &Ensemble, at: &[usize], members: &[usize]) {
    for &id in at {
        eventually(&format!("{id} shows {members:?}"), || {
            let (code, text) = said(&ensemble.cli(id, &["config"]));
            let shown = |id: &usize| text.contains(&format!("server.{id}=127.0.0.1"));
            code == 0 && ensemble.ids().all(|id| shown(&id) == members.contains(&id))
        });
    }
}

#[test]
fn a_server_joins_the_leader_leaves_and_all_start_again_with_what_was_written() {
    let four = Ensemble::new("reconfig", &[""; 4]);
    let list = four.list(&[""; 4]);
    let first = list.lines().take(3).collect::<Vec<_>>().join("\n");
    (1..=3).for_each(|id| four.configure(id, &format!("{LINES}{first}\n")));
    four.configure(4, &format!("{LINES}{list}"));
    (1..=3).for_each(|id| four.start(id));
    four.await_service(&[1, 2, 3]);
    four.start(4);
    let leader = four.await_service(&[1, 2, 3, 4]);
    show(&four, &[1, 2, 3, 4], &[1, 2, 3]);
    let (code, text) = said(&four.cli(4, &["reconfig", "-add", &line(&four, 4)]));
    assert!(code == 0 && text.contains("Committed new configuration:\nserver.1="), "{text}");
    assert!(text.contains(&line(&four, 4)), "{text}");
    show(&four, &[1, 2, 3, 4], &[1, 2, 3, 4]);
    let other = 1 + leader % 3;
    let (code, text) = said(&four.cli(other, &["reconfig", "-remove", &leader.to_string()]));
    assert_eq!(code, 0, "{text}");
    let stay: Vec<usize> = (1..=4).filter(|id| *id != leader).collect();
    let next = four.await_service(&stay);
    assert_ne!(next, leader);
    show(&four, &stay, &stay);
    four.stop(leader);
    for &id in &stay {
        four.agree(id, &stay, &format!("/by-{id}"));
        let home = four.home(id);
        let text = fs::read_to_string(home.join("zoo.cfg")).expect("it is there");
        assert!(text.contains("dynamicConfigFile=") && !text.contains("server."), "{text}");
        assert!(home.join("zoo.cfg.bak").exists() && !home.join("zoo.cfg.dynamic.next").exists());
    }
    stay.iter().for_each(|id| four.stop(*id));
    stay.iter().for_each(|id| four.start(*id));
    four.await_service(&stay);
    show(&four, &stay, &stay);
    stay.iter().for_each(|id| four.knows(*id, &format!("/by-{id}")));
    let refused = four.cli(stay[0], &["reconfig", "-remove", "9,x"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("MarshallingError"), "{refused:?}");
}
