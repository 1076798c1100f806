// SPDX-License-Identifier: Apache-2.0
//! The members change. An operator, who is a client with all rights, asks for others: sensibly or
//! not, under all the other faults. Servers join that the first configuration does not name; before
//! one starts, he writes down whom it is to ask. One that was removed goes on running, is stopped,
//! or comes back. What a server's driver writes to its configuration files is there at its next
//! start, unless its disk failed.

use menagerie_core::{
    client::Input,
    config::{Ensemble, PeerRole, QuorumRule},
    id::ServerId,
    io::ConfigFile,
    proto::Request,
};

use super::{Ev, World, links::name, server::Death, tale::About};
use crate::{
    disk::Class,
    faults::{Follows, Reform},
    files,
    oracle::Check,
    probe::Probe,
    rng::{Rng, Subsystem},
    scenario::SUPER,
    trace::{Act, Wish},
};

/// What a request names.
#[derive(Default)]
struct Wanted {
    joining: Vec<String>,
    leaving: Vec<String>,
    listed: Option<Vec<String>>,
}

impl World {
    /// The client that is the operator, where there is one.
    pub(super) fn operator(&self) -> Option<usize> {
        self.scenario.changes().then_some(self.scenario.clients)
    }

    /// The operator wants something of the members.
    pub(super) fn reform(&mut self, due: u64) -> Check {
        let Some((fault, next)) = self.script.change(due, self.now) else { return Ok(()) };
        if let Some(due) = next {
            self.at(due, Ev::Reform { due });
        }
        self.note(|_| format!("the operator wants {fault:?}"));
        self.tally.fault(fault.family());
        self.befall(0, fault)
    }

    pub(super) fn reconfigure(&mut self, reform: Reform, follows: Follows, chance: u64) -> Check {
        let mut rng = Rng::stream(chance, Subsystem::Operator, 0);
        if reform == Reform::Guest {
            return self.guest(&mut rng);
        }
        let wanted = self.wanted(reform, &mut rng);
        let version = self.version();
        let from_config = match follows {
            Follows::Any => -1,
            Follows::Newest => version,
            Follows::Another => version - rng.between(1, 3) as i64,
        };
        let text = |parts: &[String], between| parts.join(between).into_bytes();
        let some = |parts: &[String]| (!parts.is_empty()).then(|| text(parts, ","));
        let (joining, leaving) = (some(&wanted.joining), some(&wanted.leaving));
        let members = wanted.listed.map(|lines| text(&lines, "\n"));
        let request = Request::Reconfig {
            joining: joining.as_deref(),
            leaving: leaving.as_deref(),
            members: members.as_deref(),
            from_config,
        };
        self.recall(About::Fate, |_| format!("the operator wants other members: {request:?}"));
        self.asks(&[request, Request::GetData { path: b"/zookeeper/config", watch: true }])
    }

    /// The operator asks for something, by what he may do.
    fn asks(&mut self, requests: &[Request<'_>]) -> Check {
        let operator = self.operator().expect("the members change only where there is one");
        let wishes = requests.iter().map(Wish::of).collect();
        if self.clients[operator].is_over() {
            self.acts(operator, Act::Close)?;
        }
        if let Some(id) = self.clients[operator].becomes_super() {
            let proof = Input::Auth { id, scheme: b"digest", auth: SUPER };
            self.client_turn(operator, proof)?;
        }
        self.acts(operator, Act::Ask(wishes))
    }

    /// In a healed world the operator looks who the members are, and writes where nothing is.
    pub(super) fn looks_after(&mut self) -> Check {
        let nothing = Request::Delete { path: b"/nothing", version: -1 };
        self.asks(&[nothing, Request::GetData { path: b"/zookeeper/config", watch: false }])
    }

    /// The version that they have at whoever serves.
    fn version(&self) -> i64 {
        let dated = self.oracles.ghost.replicas.iter().map(|one| one.dated.cast_signed());
        dated.max().unwrap_or(0).max(self.oracles.ghost.configurations.newest().0)
    }

    /// The members that are in force, as far as anybody could know.
    fn members(&self) -> Ensemble {
        self.oracles.ghost.configurations.newest_members().expect("an ensemble").clone()
    }

    fn wanted(&mut self, reform: Reform, rng: &mut Rng) -> Wanted {
        let members = self.members();
        let mut wanted = Wanted::default();
        let voter = |id| files::line(id, PeerRole::Participant);
        let inside: Vec<i64> = members.members().keys().copied().collect();
        let any = *rng.pick(&inside);
        let leader = self.oracles.leader().map_or(any, |server| server as i64 + 1);
        match reform {
            Reform::Join => wanted.joining.extend(self.joiner(&members, rng).map(voter)),
            Reform::Observe => {
                let joiner = self.joiner(&members, rng);
                wanted.joining.extend(joiner.map(|id| files::line(id, PeerRole::Observer)));
            }
            Reform::Leave => wanted.leaving.push(any.to_string()),
            Reform::LeaderLeaves => wanted.leaving.push(leader.to_string()),
            Reform::Swap => {
                wanted.joining.extend(self.joiner(&members, rng).map(voter));
                let leaves = if rng.one_in(2) { leader } else { any };
                wanted.leaving.push(leaves.to_string());
            }
            Reform::ChangeRole => {
                let role = match members.members()[&any].role {
                    PeerRole::Participant => PeerRole::Observer,
                    PeerRole::Observer => PeerRole::Participant,
                };
                wanted.joining.push(files::line(any, role));
            }
            Reform::MostLeave => {
                let stays = *rng.pick(&inside);
                let leave = members.voters().filter(|id| id.0 != stays);
                wanted.leaving.extend(leave.map(|id| id.0.to_string()));
            }
            Reform::List | Reform::Groups => {
                wanted.listed = Some(self.list(reform == Reform::Groups, rng));
            }
            Reform::Nothing => {}
            Reform::Nobody if rng.one_in(2) => {
                wanted.leaving.extend(members.voters().map(|id| id.0.to_string()));
            }
            Reform::Nobody => wanted.listed = Some(vec![files::line(any, PeerRole::Observer)]),
            Reform::Nonsense => nonsense(&mut wanted, rng),
            Reform::Guest => unreachable!("it is no request"),
        }
        wanted
    }

    /// A server that is no member, running from now on.
    fn joiner(&mut self, members: &Ensemble, rng: &mut Rng) -> Option<i64> {
        let outside = |server: &usize| !members.members().contains_key(&(*server as i64 + 1));
        let outside: Vec<usize> = (0..self.servers.len()).filter(outside).collect();
        let server = if outside.is_empty() { return None } else { *rng.pick(&outside) };
        self.comes(server);
        Some(server as i64 + 1)
    }

    /// A whole list, of any servers, which run from now on.
    fn list(&mut self, groups: bool, rng: &mut Rng) -> Vec<String> {
        let count = self.servers.len();
        let first = rng.index(count);
        let chosen: Vec<usize> =
            (0..count).filter(|server| *server == first || !rng.one_in(3)).collect();
        let (mut lines, mut voters) = (Vec::new(), Vec::new());
        for server in chosen {
            self.comes(server);
            let id = server as i64 + 1;
            let observes = server != first && rng.one_in(5);
            let role = if observes { PeerRole::Observer } else { PeerRole::Participant };
            if !observes {
                voters.push(id);
            }
            lines.push(files::line(id, role));
        }
        if groups {
            let number = rng.between(1, 3) as usize;
            for group in 0..number.min(voters.len()) {
                let ids: Vec<String> =
                    voters.iter().skip(group).step_by(number).map(i64::to_string).collect();
                lines.push(format!("group.{}={}", group + 1, ids.join(":")));
            }
            for id in voters {
                lines.push(format!("weight.{id}={}", rng.weighted(&[1, 4, 2, 1])));
            }
        }
        lines
    }

    /// A server that is no member is started, or stopped.
    fn guest(&mut self, rng: &mut Rng) -> Check {
        let members = self.members();
        let outside = |server: &usize| !members.members().contains_key(&(*server as i64 + 1));
        let outside: Vec<usize> = (0..self.servers.len()).filter(outside).collect();
        if outside.is_empty() {
            return Ok(());
        }
        let server = *rng.pick(&outside);
        if self.servers[server].is_away() {
            self.comes(server);
            return Ok(());
        }
        self.note(|_| format!("the operator stops {}", name(server)));
        self.die(server, Death::Kill)?;
        // The start that is under way finds another life.
        self.servers[server].life += 1;
        self.servers[server].retired = true;
        Ok(())
    }

    /// A server that never ran, or was stopped for good, is started.
    fn comes(&mut self, server: usize) {
        let machine = &mut self.servers[server];
        if machine.is_away() {
            machine.retired = false;
            let life = machine.life + 1;
            self.at(self.now, Ev::Start { server, life });
        }
    }

    /// The faults are over: whoever was stopped runs again, and whoever is to be a member.
    pub(super) fn all_return(&mut self) {
        for server in 0..self.servers.len() {
            let wanted = self.oracles.ghost.configurations.ever_named(ServerId(server as i64 + 1));
            if self.servers[server].retired || wanted {
                self.comes(server);
            }
        }
    }

    /// A process is about to start: the operator sees to it that it finds a list that names it.
    pub(super) fn prepare(&mut self, server: usize) {
        if !self.scenario.changes() {
            return;
        }
        let (members, id) = (self.members(), server as i64 + 1);
        let machine = &mut self.servers[server];
        if machine.life > 0 && machine.files.names_itself() {
            let version = self.oracles.ghost.configurations.newest().0;
            let old = machine.members() < version.cast_unsigned();
            if old && members.members().contains_key(&id) {
                self.tally.hit(Probe::OldMemberReturned);
            }
            return;
        }
        let mut rng = Rng::stream(self.seed, Subsystem::Operator, 1 + u64::from(machine.life));
        let majority = *members.rule() == QuorumRule::Majority;
        let votes = members.members().get(&id).map(|own| own.role == PeerRole::Participant);
        let role = match votes {
            Some(true) => PeerRole::Participant,
            None if majority && rng.one_in(2) => PeerRole::Participant,
            _ => PeerRole::Observer,
        };
        machine.files.introduce(&members, role);
        machine.read_files();
        self.note(|_| format!("the operator writes a list of members for {}", name(server)));
    }

    /// A server's driver writes a list of members.
    pub(super) fn configures(&mut self, server: usize, file: &ConfigFile) -> Check {
        self.note(|_| format!("{} writes {}: {}", name(server), file.name, file.text));
        self.rolling.bytes(file.name.as_bytes());
        self.oracles.configures(server, file)?;
        let machine = &mut self.servers[server];
        let armed = machine.disk.armed.is_some_and(|armed| {
            armed.after == 0 && matches!(armed.class, Class::Write | Class::Names)
        });
        if armed || machine.disk.capacity != u64::MAX {
            self.tally.hit(Probe::MembersNotWritten);
            return Ok(());
        }
        machine.files.replace(file);
        if file.in_force && machine.files.names_itself() {
            machine.read_files();
        }
        Ok(())
    }
}

fn nonsense(wanted: &mut Wanted, rng: &mut Rng) {
    match rng.below(5) {
        0 => wanted.leaving.push("99".to_owned()),
        1 => wanted.leaving.push("two".to_owned()),
        2 => wanted.joining.push("server.1=s1".to_owned()),
        // The places of another one.
        3 => wanted.joining.push(files::line(1, PeerRole::Participant).replacen(".1=", ".9=", 1)),
        _ => wanted.listed = Some(vec!["tickTime=5".to_owned()]),
    }
}
