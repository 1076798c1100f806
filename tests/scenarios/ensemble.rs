// SPDX-License-Identifier: Apache-2.0
//! The servers of an ensemble on one stage; what they say to each other is told as it is sent.
//!
//! ```text
//! servers N [observers M | strangers K], then lines of everybody's zoo.cfg
//! epochs of N             an epoch has so many transactions at most
//! start 1 2 ... | stop 1 | kill 1 ... | power fails at 1 2 ...[, keeping all] | wipe 1 | on 1 LINE
//! wait MS | until N leads | until all serve | until N looks | until N serves     at most a minute
//! cut 1 2 | heal 1 2 | break 1 2      no link between them | one may be made | this one breaks
//! hold 2->1 | deliver 2->1 [N] | release 2->1 [election]     what 2 says waits, and is heard later
//! disk 2 stalls | goes on | does N | does until TEXT          TEXT begins what is done last
//! disk 2 does its epochs|log           all in that lane, whatever waits in others
//! disk 2 fails at write|sync|names | flip 2 FILE at N | files 2
//! read 2 FILE | touch 2 initialize     `initialize` says that 2 begins a history
//! remove 2 FILE | rename 2 FILE to FILE
//! A connects to 2 [as B] [for MS] | A: REQUEST | A hangs up    see speech.rs
//! puppet 3, then 3 dials 1 [election] | 3 says to 1: WORDS     see puppet.rs
//! show election | disk | pings         these are told from here on; `hide` them again
//! quietly COMMAND         what comes of it is not told
//! status                  what each server is, and holds
//! agree                   whether all hold the same, and all that was acknowledged
//! ```
//!
//! Whatever a command leads to without time has happened before the next one.

mod judge;
mod puppet;
mod tell;

use std::collections::{BTreeMap, BTreeSet};

use menagerie_core::{
    id::{FileId, SessionId, Zxid},
    io::{Dir, Input, Port, Question},
    node::Phase,
    proto::{ConnectRequest, PASSWORD_LEN},
    zoo::Mutation,
};
use menagerie_sim::disk::{Armed, Class, Keep};

pub use self::judge::BROKEN;
use self::judge::Judge;
use crate::{
    speech,
    troupe::{
        Id, Troupe,
        guest::{self, Guest},
    },
};

/// The longest that a story waits for something.
const PATIENCE_MS: u64 = 60_000;

pub struct Stage {
    bug: Option<Mutation>,
    /// How many voters, observers and strangers.
    counts: (usize, usize, usize),
    epoch_length: Option<u32>,
    lines: String,
    troupe: Option<Troupe>,
    shown: BTreeSet<String>,
    files: BTreeMap<(Id, FileId), String>,
    /// Who has which session and password.
    sessions: BTreeMap<String, (SessionId, Vec<u8>)>,
    judge: Judge,
    /// The time that was told last.
    told_ms: u64,
    out: Vec<String>,
}

impl Stage {
    pub fn new(bug: Option<Mutation>) -> Stage {
        Stage {
            bug,
            counts: (0, 0, 0),
            epoch_length: None,
            lines: String::new(),
            troupe: None,
            shown: BTreeSet::new(),
            files: BTreeMap::new(),
            sessions: BTreeMap::new(),
            judge: Judge::default(),
            told_ms: 0,
            out: Vec::new(),
        }
    }

    /// Plays the commands of a block; what is told of them.
    pub fn block(&mut self, commands: &[&str]) -> Vec<String> {
        for command in commands {
            println!("  {command}");
            self.command(command);
        }
        let mut lines = std::mem::take(&mut self.out);
        for line in &mut lines {
            for (name, (session, _)) in &self.sessions {
                *line = line.replace(&session.to_string(), &format!("<{name}>"));
            }
        }
        lines
    }

    fn command(&mut self, command: &str) {
        if let Some(command) = command.strip_prefix("quietly ") {
            let kept = self.out.len();
            self.command(command);
            // What breaks a promise is never passed over.
            let mut at = 0;
            self.out.retain(|line| {
                at += 1;
                at <= kept || line.starts_with(BROKEN)
            });
            return;
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["servers", n] => self.counts = (number(n), 0, 0),
            ["servers", n, "observers", m] => self.counts = (number(n), number(m), 0),
            ["servers", n, "strangers", k] => self.counts = (number(n), 0, number(k)),
            ["epochs", "of", n] => self.epoch_length = Some(number(n) as u32),
            ["show", ref what @ ..] => self.shown.extend(what.iter().map(ToString::to_string)),
            ["hide", ref what @ ..] => self.shown.retain(|shown| !what.contains(&shown.as_str())),
            ["on", id, line] => self.troupe().configure(number(id), line),
            [line] if line.contains('=') => self.lines += &format!("{line}\n"),
            ["status"] => self.status(),
            ["agree"] => self.agree(),
            _ => {
                if let Some((who, asked)) = command.split_once(": ") {
                    self.speaks(who, asked);
                } else if !self.happens(&words) && !self.between(&words) && !self.disks(&words) {
                    panic!("no command is called {command:?}");
                }
                self.troupe().settle();
                self.tell();
            }
        }
    }

    fn troupe(&mut self) -> &mut Troupe {
        let ((voters, observers, strangers), lines, bug) = (self.counts, &self.lines, self.bug);
        self.troupe.get_or_insert_with(|| {
            let troupe = Troupe::new(voters, observers, lines).with_strangers(strangers, lines);
            troupe.with_bug(bug).with_epochs_of(self.epoch_length)
        })
    }

    /// Somebody speaks: a client asks, or a puppet says something.
    fn speaks(&mut self, who: &str, said: &str) {
        if let Some((from, to)) = who.split_once(" says to ") {
            return puppet::says(self.troupe(), number(from), number(to), said);
        }
        let request = speech::request(said);
        let (link, _) = self.troupe().find_guest(who).unwrap_or_else(|| panic!("{who} is unknown"));
        let guest = self.troupe().guest_mut(link).expect("it was found");
        let (bytes, xid) = (guest.asks(&request), guest.xid);
        self.judge.asked(link, xid, &request);
        self.troupe().guest_sends(link, &bytes);
    }

    /// Servers and clients come and go, and time passes.
    fn happens(&mut self, words: &[&str]) -> bool {
        match *words {
            ["start", ref ids @ ..] => ids.iter().for_each(|id| self.troupe().start(number(id))),
            ["kill", ref ids @ ..] => ids.iter().for_each(|id| self.troupe().kill(number(id))),
            ["wipe", id] => self.troupe().wipe(number(id)),
            ["power", "fails", "at", ref ids @ ..] => self.power_fails(ids),
            ["puppet", id] => self.troupe().server_mut(number(id)).puppet = true,
            [id, "dials", to] => puppet::dials(self.troupe(), number(id), number(to), Port::Quorum),
            [id, "dials", to, "election"] => {
                puppet::dials(self.troupe(), number(id), number(to), Port::Election);
            }
            ["stop", id] => self.asks(number(id), Question::Stop),
            ["snapshot", id] => self.asks(number(id), Question::Snapshot),
            ["wait", ms] => self.wait(number(ms) as u64),
            ["until", ref what @ ..] => self.until(what),
            [name, "connects", "to", id, ref how @ ..] => self.connects(name, number(id), how),
            [name, "hangs", "up"] => {
                let (link, _) = self.troupe().find_guest(name).expect("a client of that name");
                self.troupe().guest_leaves(link);
            }
            _ => return false,
        }
        true
    }

    fn asks(&mut self, id: Id, question: Question) {
        let ask = menagerie_core::id::AskId(1);
        self.troupe().input(id, Input::Ask { ask, question });
    }

    fn power_fails(&mut self, words: &[&str]) {
        let (ids, keep) = match words {
            [ids @ .., "keeping", "all"] => (ids, Keep::All),
            ids => (ids, Keep::Nothing),
        };
        for id in ids {
            self.troupe().power_fails(number(id.trim_end_matches(',')), keep);
        }
    }

    /// Time passes, and is told where something happens.
    fn wait(&mut self, ms: u64) {
        let end = self.troupe().ms() + ms;
        self.passes(end, |_| false);
    }

    fn passes(&mut self, end: u64, holds: impl Fn(&Troupe) -> bool) -> bool {
        while self.troupe().ms() < end {
            if holds(self.troupe()) {
                return true;
            }
            let now = self.troupe().ms();
            // One step: until the next timer.
            self.troupe().until(end - now, |troupe| troupe.ms() > now);
            self.tell();
        }
        holds(self.troupe())
    }

    fn until(&mut self, what: &[&str]) {
        let end = self.troupe().ms() + PATIENCE_MS;
        let looks = |troupe: &Troupe, id| matches!(troupe.phase(id), Some(Phase::Looking));
        let came = match *what {
            [id, "leads"] => self.passes(end, |troupe| troupe.leads(number(id))),
            [id, "serves"] => self.passes(end, |troupe| troupe.serves(number(id))),
            [id, "looks"] => self.passes(end, |troupe| looks(troupe, number(id))),
            ["all", "serve"] => self.passes(end, Troupe::is_whole),
            ["some", "lead"] => self.passes(end, |troupe| troupe.ids().any(|id| troupe.leads(id))),
            _ => panic!("until what: {what:?}?"),
        };
        if !came {
            self.out.push(format!("{BROKEN}: not within a minute: {}", what.join(" ")));
        }
    }

    fn connects(&mut self, name: &str, id: Id, how: &[&str]) {
        let after = |word: &str| how.iter().position(|w| *w == word).map(|at| how[at + 1]);
        let (session, password) = match after("as") {
            None => (SessionId::NONE, vec![0; PASSWORD_LEN]),
            Some(other) => self.sessions[other].clone(),
        };
        let hello = guest::greeting(&ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(
                after("seen").map_or(0, |text| i64::from_str_radix(text, 16).expect("a zxid")),
            ),
            timeout_ms: after("for").map_or(8_000, speech::number),
            session,
            password: &password,
            read_only: Some(false),
        });
        self.troupe().admit(id, Guest::new(name), &hello);
    }

    /// Links between servers.
    fn between(&mut self, words: &[&str]) -> bool {
        let port = |more: &[&str]| match more {
            ["election"] => Port::Election,
            _ => Port::Quorum,
        };
        match *words {
            ["cut", a, b] => self.troupe().cut(number(a), number(b)),
            ["heal", a, b] => self.troupe().heal(number(a), number(b)),
            ["break", a, b] => self.troupe().break_links(number(a), number(b)),
            ["hold", way, ref more @ ..] => {
                let (from, to) = ends(way);
                self.troupe().hold(from, to, port(more));
            }
            ["release", way, ref more @ ..] => {
                let (from, to) = ends(way);
                self.troupe().release(from, to, port(more));
            }
            ["deliver", way] => self.deliver(way, 1),
            ["deliver", way, n] => self.deliver(way, number(n)),
            _ => return false,
        }
        true
    }

    fn deliver(&mut self, way: &str, n: usize) {
        let (from, to) = ends(way);
        for _ in 0..n {
            assert!(self.troupe().deliver(from, to, Port::Quorum), "nothing is on its way: {way}");
            self.troupe().settle();
            self.tell();
        }
    }

    fn disks(&mut self, words: &[&str]) -> bool {
        match *words {
            ["disk", id, "stalls"] => self.troupe().server_mut(number(id)).stalled = true,
            ["disk", id, "goes", "on"] => self.troupe().server_mut(number(id)).stalled = false,
            ["disk", id, "does", "until", ref text @ ..] => {
                self.does_until(number(id), &text.join(" "));
            }
            ["disk", id, "does", "its", "epochs"] => self.does_lane(number(id), "Epoch"),
            ["disk", id, "does", "its", "log"] => self.does_lane(number(id), "log."),
            ["disk", id, "does", n] => {
                (0..number(n)).for_each(|_| assert!(self.does_one(number(id)), "it is idle"));
            }
            ["disk", id, "fails", "at", what] => {
                let class = match what {
                    "write" => Class::Write,
                    "sync" => Class::Sync,
                    "names" => Class::Names,
                    _ => panic!("what should fail?"),
                };
                let armed = Armed { class, after: 0, for_good: false };
                self.troupe().server_mut(number(id)).disk.armed = Some(armed);
            }
            ["flip", id, file, "at", offset] => {
                let fs = &mut self.troupe().server_mut(number(id)).disk.fs;
                let inode = fs.find(Dir::Snap, file).expect("a file of that name");
                fs.rot(inode, number(offset) as u64, 3);
            }
            ["rename", id, file, "to", name] => {
                let fs = &mut self.troupe().server_mut(number(id)).disk.fs;
                assert!(fs.rename(Dir::Snap, file, name), "there is no {file}");
                fs.sync_dir(Dir::Snap);
            }
            ["remove", id, file] => {
                let fs = &mut self.troupe().server_mut(number(id)).disk.fs;
                assert!(fs.unlink(Dir::Snap, file), "there is no {file}");
                fs.sync_dir(Dir::Snap);
            }
            ["touch", id, file] => {
                let fs = &mut self.troupe().server_mut(number(id)).disk.fs;
                fs.make(Dir::Root);
                fs.create(Dir::Root, file).expect("a folder");
                fs.sync_dir(Dir::Root);
            }
            ["files", id] => self.files(number(id)),
            ["read", id, file] => self.read(number(id), file),
            _ => return false,
        }
        true
    }

    fn does_one(&mut self, id: Id) -> bool {
        let did = self.troupe().disk_does_one(id).is_some();
        self.troupe().settle();
        self.tell();
        did
    }

    fn does_until(&mut self, id: Id, text: &str) {
        loop {
            let next = self.troupe().orders(id).next().map(|(_, what)| what.clone());
            let next = next.unwrap_or_else(|| panic!("{id} is not asked to {text}"));
            let named = self.op_name(id, &next);
            self.does_one(id);
            if named.starts_with(text) {
                return;
            }
        }
    }

    /// Everything in the lanes that have to do with files of such names, and what follows there.
    fn does_lane(&mut self, id: Id, name: &str) {
        loop {
            let orders: Vec<_> =
                self.troupe().orders(id).map(|(lane, what)| (lane, what.clone())).collect();
            let named = |what| self.op_name(id, what).contains(name);
            let Some((lane, _)) = orders.iter().find(|(_, what)| named(what)) else { return };
            while self.troupe().lane_does_one(id, *lane) {
                self.troupe().settle();
                self.tell();
            }
        }
    }

    fn files(&mut self, id: Id) {
        for dir in [Dir::Root, Dir::Snap] {
            for entry in self.troupe().server(id).disk.fs.list(dir).unwrap_or_default() {
                self.out.push(format!("{}: {} bytes", entry.name, entry.len));
            }
        }
    }

    /// What a short file of text says.
    fn read(&mut self, id: Id, file: &str) {
        let fs = &self.troupe().server(id).disk.fs;
        let said = match fs.find(Dir::Snap, file) {
            None => "there is no such file".to_owned(),
            Some(inode) => String::from_utf8_lossy(&fs.content(inode).read(0, 40)).into_owned(),
        };
        self.out.push(format!("{id}'s {file}: {said}"));
    }
}

pub fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("{text:?} should be a number"))
}

fn ends(way: &str) -> (Id, Id) {
    let (from, to) = way.split_once("->").unwrap_or_else(|| panic!("{way} is no way"));
    (number(from), number(to))
}
