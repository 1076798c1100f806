// SPDX-License-Identifier: Apache-2.0
//! A leader's server and its learners' servers, carried between by hand: what the machines of
//! `zab` do, without a wire.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use core::time::Duration;

use super::*;
use crate::{
    config::ServerConfig,
    hash::Keyed,
    id::{FileId, LinkId, SessionId, Zxid},
    io::{Effect, Effects, FileOp, FileOutput, Frame},
    jute::{Reader, Record, Write},
    log::TailForm,
    proto::{ConnectRequest, ConnectResponse, ErrorCode, OpCode, ReplyHeader},
    session::password,
    store::{Ids, LogConfig, LogWriter, Recovered, SessionTimeouts, Snapshotter},
    time::{Instant, Now},
    tree::Tree,
    zoo::Sound,
};

const EPOCH: u32 = 1;
const TIMEOUT_MS: i32 = 10_000;

/// One member, and what its clients were told.
pub(super) struct Member {
    pub(super) server: Server<Sound>,
    ids: Ids,
    pub(super) fx: Effects,
    told: BTreeMap<LinkId, Vec<u8>>,
    hung_up: Vec<LinkId>,
    /// Operations of the log that have not ended.
    disk: Vec<crate::id::OpId>,
    pub(super) now: Now,
}

impl Member {
    pub(super) fn new(id: u8) -> Member {
        let (zoo, hash) = (Sound, Keyed::new((1, 2)));
        let mut ids = Ids::new();
        let now = Now { mono: Instant::from_millis(1000), wall_ms: 1_700_000_000_000 };
        let found = Recovered {
            tree: Tree::new(hash),
            sessions: SessionTimeouts::new(),
            zxid: Zxid::ZERO,
            snapshot: Zxid::ZERO,
            replayed: 0,
            replayed_bytes: 0,
            mismatches: 0,
            log: LogWriter::new(zoo, LogConfig::default(), FileId(1000), Zxid::ZERO, &mut ids),
        };
        let replica = Replica::new(zoo, hash, id, 1000, found, now);
        let config = Arc::new(config());
        let server = Server::new(zoo, config, hash, Facts::default(), replica, now);
        Member {
            server,
            ids,
            fx: Effects::new(),
            told: BTreeMap::new(),
            hung_up: Vec::new(),
            disk: Vec::new(),
            now,
        }
    }

    pub(super) fn link(&mut self, link: u64) -> LinkId {
        let link = LinkId(link);
        let peer = "127.0.0.1:5555".parse().expect("an address");
        self.server.on_link_up(link, peer, self.now, &mut self.fx);
        link
    }

    pub(super) fn frame(&mut self, link: LinkId, packet: &[u8]) {
        self.server.on_frame(link, self.now, Frame::Packet(packet), &mut self.fx);
        self.turn();
    }

    pub(super) fn connect(&mut self, link: LinkId, session: SessionId) {
        let mut packet = Vec::new();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: TIMEOUT_MS,
            session,
            password: &password(session),
            read_only: Some(false),
        };
        request.encode(&mut packet);
        self.frame(link, &packet);
    }

    fn create(&mut self, link: LinkId, xid: i32, path: &str) {
        self.create_by(OpCode::Create, link, xid, path);
    }

    fn create_by(&mut self, op: OpCode, link: LinkId, xid: i32, path: &str) {
        let mut packet = Vec::new();
        packet.put_int(xid);
        packet.put_int(op.code());
        packet.put_string(path.as_bytes());
        packet.put_buffer(Some(b"data"));
        packet.put_count(1);
        packet.put_int(31);
        packet.put_string(b"world");
        packet.put_string(b"anyone");
        packet.put_int(0);
        self.frame(link, &packet);
    }

    fn path_request(&mut self, link: LinkId, xid: i32, op: OpCode, path: &str) {
        let mut packet = Vec::new();
        packet.put_int(xid);
        packet.put_int(op.code());
        packet.put_string(path.as_bytes());
        packet.push(0);
        self.frame(link, &packet);
    }

    /// Ends a turn, and executes all effects but those of the disk.
    pub(super) fn turn(&mut self) {
        self.server.replica().flush(self.now.mono, &mut self.ids, &mut self.fx);
        for effect in self.fx.take_list() {
            match effect {
                Effect::Send { link, bytes } => {
                    let bytes = self.fx.bytes()[bytes].to_vec();
                    self.told.entry(link).or_default().extend(bytes);
                }
                Effect::HangUp { link } => self.hung_up.push(link),
                Effect::File { op, .. } => self.disk.push(op),
                _ => {}
            }
        }
        self.fx.clear();
    }

    /// Ends all operations of the log, and those that they lead to.
    pub(super) fn sync(&mut self) {
        while !self.disk.is_empty() {
            self.sync_once();
        }
    }

    /// Ends the operations of the log that are under way.
    pub(super) fn sync_once(&mut self) {
        for op in core::mem::take(&mut self.disk) {
            let ended = Ok(FileOutput::Done);
            self.server.on_file(self.now, op, &ended, &mut self.ids, &mut self.fx);
        }
        self.turn();
    }

    /// The frames a link was sent since the last call.
    pub(super) fn heard(&mut self, link: LinkId) -> Vec<Vec<u8>> {
        let bytes = self.told.remove(&link).unwrap_or_default();
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let (frame, tail) = tail.split_at(u32::from_be_bytes(*len) as usize);
            frames.push(frame.to_vec());
            rest = tail;
        }
        frames
    }

    fn replies(&mut self, link: LinkId) -> Vec<(i32, i64, i32)> {
        let frames = self.heard(link);
        let header = |frame: &Vec<u8>| {
            let header = ReplyHeader::decode(&mut Reader::new(frame)).expect("a reply");
            (header.xid, header.zxid.0, header.err)
        };
        frames.iter().map(header).collect()
    }

    fn session(&mut self, link: LinkId) -> SessionId {
        let frames = self.heard(link);
        let response = ConnectResponse::decode(&mut Reader::new(&frames[0])).expect("a greeting");
        response.session
    }
}

fn config() -> ServerConfig {
    let text = b"dataDir=/data\nclientPort=2181\ntickTime=1000\n";
    let file = crate::config::StaticConfig::parse("zoo.cfg", text, &[]).expect("it is right");
    file.complete(&crate::config::Surroundings::default()).expect("nothing is missing")
}

/// A leader and its learners; learner `n` is known to the leader by the link `100 + n`.
struct Ensemble {
    leader: Member,
    learners: Vec<Member>,
    /// What the learners were sent last.
    proposed: Zxid,
}

impl Ensemble {
    fn new(learners: u8) -> Ensemble {
        let mut leader = Member::new(1);
        leader.server.lead(EPOCH, leader.now);
        let start = Zxid::new(EPOCH, 0);
        let learner = |n| {
            let mut member = Member::new(n + 2);
            member.server.learn(start, None);
            member
        };
        Ensemble { leader, learners: (0..learners).map(learner).collect(), proposed: start }
    }

    /// Carries what learners ask; says how many syncs were among it.
    fn carry_up(&mut self) -> usize {
        let mut syncs = self.leader.server.take_asking().len();
        for (n, learner) in self.learners.iter_mut().enumerate() {
            let known_as = LinkId(100 + n as u64);
            for asking in learner.server.take_asking() {
                let now = self.leader.now;
                let leader = &mut self.leader;
                match asking {
                    Asking::Request { op, .. } if op == OpCode::Sync.code() => syncs += 1,
                    Asking::Request { session, cxid, op, body, identities } => {
                        let identities = &identities;
                        let write = Forwarded { session, cxid, op, body: &body, identities };
                        assert!(leader.server.on_forwarded(known_as, &write, now));
                    }
                    Asking::Revalidate { session, timeout_ms } => {
                        let fx = &mut leader.fx;
                        let valid =
                            leader.server.revalidate(known_as, session, timeout_ms, now, fx);
                        let (now, fx) = (learner.now, &mut learner.fx);
                        learner.server.revalidated(session, valid, now, fx);
                        learner.turn();
                    }
                }
                leader.turn();
            }
        }
        syncs
    }

    fn propose(&mut self) {
        let news: Vec<_> = self.leader.server.proposals_after(self.proposed).collect();
        for (zxid, entry) in news {
            for learner in &mut self.learners {
                learner.server.on_proposal(zxid, entry, learner.now).expect("the leader made it");
                learner.turn();
            }
            self.proposed = zxid;
        }
    }

    fn commit(&mut self) {
        for member in self.learners.iter_mut().chain([&mut self.leader]) {
            member.server.commit_through(self.proposed, member.now, &mut member.fx);
            member.turn();
        }
    }

    /// Everything that is under way comes to its end, but syncs.
    fn settle(&mut self) {
        self.carry_up();
        self.propose();
        self.learners.iter_mut().chain([&mut self.leader]).for_each(Member::sync);
        self.commit();
    }

    /// A client of a learner with its session open.
    fn client(&mut self, learner: usize, link: u64) -> (LinkId, SessionId) {
        let member = &mut self.learners[learner];
        let link = member.link(link);
        member.connect(link, SessionId::NONE);
        self.settle();
        (link, self.learners[learner].session(link))
    }
}

#[test]
fn a_write_through_a_learner_is_answered_when_a_quorum_and_its_own_disk_have_it() {
    let mut ensemble = Ensemble::new(2);
    let (link, session) = ensemble.client(0, 7);
    assert_eq!(session.0 >> 56, 2, "the learner that opened it gave it its number");
    ensemble.learners[0].create(link, 1, "/a");
    ensemble.carry_up();
    ensemble.propose();
    ensemble.commit();
    assert_eq!(ensemble.learners[0].replies(link), [], "committed, and not durable here");
    ensemble.learners[0].sync();
    let zxid = Zxid::new(EPOCH, 2).0;
    assert_eq!(ensemble.learners[0].replies(link), [(1, zxid, 0)]);

    ensemble.learners[0].create(link, 2, "/a");
    ensemble.carry_up();
    ensemble.propose();
    ensemble.learners.iter_mut().for_each(Member::sync);
    assert_eq!(ensemble.learners[0].replies(link), [], "durable here, and not committed");
    ensemble.commit();
    let exists = ErrorCode::NodeExists.code();
    assert_eq!(ensemble.learners[0].replies(link), [(2, zxid + 1, exists)]);
}

#[test]
fn the_same_numbers_of_another_server_s_client_are_not_ours() {
    let mut ensemble = Ensemble::new(2);
    let (here, _) = ensemble.client(0, 7);
    let (there, _) = ensemble.client(1, 7);
    ensemble.learners[1].create(there, 1, "/there");
    ensemble.learners[0].create(here, 1, "/here");
    ensemble.settle();
    assert_eq!(ensemble.learners[0].replies(here), [(1, Zxid::new(EPOCH, 3).0, 0)]);
    assert_eq!(ensemble.learners[1].replies(there), [(1, Zxid::new(EPOCH, 4).0, 0)]);
}

#[test]
fn a_session_moves_and_what_its_old_server_still_sends_is_refused_without_an_answer() {
    let mut ensemble = Ensemble::new(2);
    let (old, session) = ensemble.client(0, 7);
    let new = ensemble.learners[1].link(8);
    ensemble.learners[1].connect(new, session);
    assert_eq!(ensemble.learners[1].told.get(&new), None, "the leader is asked first");
    ensemble.carry_up();
    assert_eq!(ensemble.learners[1].session(new), session);

    ensemble.learners[0].create(old, 1, "/late");
    ensemble.settle();
    assert_eq!(ensemble.learners[0].replies(old), []);
    assert_eq!(ensemble.learners[0].hung_up, [old]);
    ensemble.learners[1].create(new, 1, "/in-time");
    ensemble.settle();
    assert_eq!(ensemble.learners[1].replies(new), [(1, Zxid::new(EPOCH, 3).0, 0)]);
}

#[test]
fn a_session_that_nobody_knows_is_turned_away() {
    let mut ensemble = Ensemble::new(1);
    let link = ensemble.learners[0].link(7);
    ensemble.learners[0].connect(link, SessionId(0x1234));
    ensemble.carry_up();
    assert_eq!(ensemble.learners[0].session(link), SessionId::NONE);
    assert_eq!(ensemble.learners[0].hung_up, [link]);
}

#[test]
fn answers_keep_their_order_when_a_write_is_committed_before_the_sync_ahead_of_it_is_answered() {
    let mut ensemble = Ensemble::new(1);
    let (link, _) = ensemble.client(0, 7);
    ensemble.learners[0].path_request(link, 1, OpCode::Sync, "/");
    ensemble.learners[0].create(link, 2, "/a");
    ensemble.learners[0].path_request(link, 3, OpCode::Exists, "/a");
    assert_eq!(ensemble.carry_up(), 1);
    ensemble.settle();
    assert_eq!(ensemble.learners[0].replies(link), []);
    let learner = &mut ensemble.learners[0];
    learner.server.sync_answered(learner.now, &mut learner.fx);
    learner.turn();
    let zxid = Zxid::new(EPOCH, 2).0;
    assert_eq!(learner.replies(link), [(1, zxid, 0), (2, zxid, 0), (3, zxid, 0)]);
}

#[test]
fn an_answer_that_waited_is_as_new_as_what_its_client_was_shown_before_it() {
    let mut ensemble = Ensemble::new(1);
    let (link, _) = ensemble.client(0, 7);
    ensemble.learners[0].path_request(link, 1, OpCode::Sync, "/");
    ensemble.learners[0].create(link, 2, "/a");
    ensemble.learners[0].create(link, 3, "/b");
    assert_eq!(ensemble.carry_up(), 1);
    ensemble.settle();
    let learner = &mut ensemble.learners[0];
    learner.server.sync_answered(learner.now, &mut learner.fx);
    learner.turn();
    let zxid = Zxid::new(EPOCH, 3).0;
    assert_eq!(learner.replies(link), [(1, zxid, 0), (2, zxid, 0), (3, zxid, 0)]);
}

#[test]
fn a_leader_s_own_sync_waits_for_a_word_too() {
    let mut ensemble = Ensemble::new(1);
    let link = ensemble.leader.link(7);
    ensemble.leader.connect(link, SessionId::NONE);
    ensemble.settle();
    ensemble.leader.heard(link);
    ensemble.leader.path_request(link, 1, OpCode::Sync, "/");
    assert_eq!(ensemble.carry_up(), 1);
    assert_eq!(ensemble.leader.replies(link), []);
    let leader = &mut ensemble.leader;
    leader.server.sync_answered(leader.now, &mut leader.fx);
    leader.turn();
    assert_eq!(leader.replies(link), [(1, Zxid::new(EPOCH, 1).0, 0)]);
}

#[test]
fn a_snapshot_of_a_leader_that_ordered_nothing_yet_ends_with_what_came_before() {
    let leader = &mut Ensemble::new(1).leader;
    assert_eq!(leader.server.history().applied(), Zxid::new(EPOCH, 0));
    let mut snapshotter = Snapshotter::new(Sound, TailForm { digest: true, last: true });
    let (replica, fx) = (leader.server.replica(), &mut leader.fx);
    replica.begin_snapshot(&mut snapshotter, &mut leader.ids, fx);
    let made = fx.list().iter().find_map(|effect| match effect {
        Effect::File { what: FileOp::Create { name, .. }, .. } => Some(name.as_str()),
        _ => None,
    });
    assert_eq!(made, Some("tmp.snapshot.0"));
}

#[test]
fn a_session_that_a_leader_does_not_know_has_expired() {
    let mut ensemble = Ensemble::new(1);
    let (link, session) = ensemble.client(0, 7);
    ensemble.leader.server.replica.sessions.remove(session);
    ensemble.learners[0].create(link, 1, "/a");
    ensemble.carry_up();
    ensemble.settle();
    let expired = ErrorCode::SessionExpired.code();
    assert_eq!(ensemble.learners[0].replies(link), [(1, Zxid::new(EPOCH, 2).0, expired)]);
}

#[test]
fn sessions_expire_at_the_leader_unless_a_learner_reports_them() {
    let mut ensemble = Ensemble::new(1);
    let (link, session) = ensemble.client(0, 7);
    let later = Duration::from_millis(9_000);
    for member in [&mut ensemble.leader, &mut ensemble.learners[0]] {
        member.now.mono = member.now.mono + later;
    }
    ensemble.learners[0].path_request(link, 1, OpCode::Exists, "/");
    let touched = ensemble.learners[0].server.take_touched();
    assert_eq!(touched, BTreeMap::from([(session, TIMEOUT_MS)]));
    assert_eq!(ensemble.learners[0].server.take_touched(), BTreeMap::new());
    for (session, timeout_ms) in touched {
        ensemble.leader.server.touch(LinkId(100), session, timeout_ms, ensemble.leader.now);
    }
    for (wait, left) in [(9_000, &[][..]), (9_000, &[link][..])] {
        let Ensemble { leader, learners, .. } = &mut ensemble;
        for member in learners.iter_mut().chain([leader]) {
            member.now.mono = member.now.mono + Duration::from_millis(wait);
            member.server.on_time(member.now, &mut member.fx);
            member.turn();
        }
        ensemble.settle();
        assert_eq!(ensemble.learners[0].hung_up, left);
    }
}

#[test]
fn what_a_server_heard_of_a_session_before_it_moved_on_is_no_life_sign() {
    let mut ensemble = Ensemble::new(2);
    let (_, session) = ensemble.client(0, 7);
    let new = ensemble.learners[1].link(8);
    ensemble.learners[1].connect(new, session);
    ensemble.carry_up();
    let Member { server, now, .. } = &mut ensemble.leader;
    let due = server.poll_timeout(now.mono);
    server.touch(LinkId(100), session, 1_000, *now);
    assert_eq!(server.poll_timeout(now.mono), due, "by a timeout that is its own no more");
    server.touch(LinkId(101), session, 4_000, *now);
    assert!(server.poll_timeout(now.mono) < due, "whoever has it may say how long");
}

#[test]
fn a_learner_s_copy_of_history_becomes_a_leader_s_with_all_that_it_had_logged() {
    let mut ensemble = Ensemble::new(1);
    let (link, session) = ensemble.client(0, 7);
    let opening = ensemble.learners[0].link(8);
    ensemble.learners[0].connect(opening, SessionId::NONE);
    ensemble.learners[0].create(link, 1, "/logged");
    ensemble.carry_up();
    ensemble.propose();
    ensemble.learners[0].sync();

    let Member { server, mut fx, now, .. } = ensemble.learners.pop().expect("there is one");
    let (mut replica, _) = server.retire(&mut fx);
    assert_eq!(replica.applied(), Zxid::new(EPOCH, 1));
    assert_eq!(replica.durable(), Zxid::new(EPOCH, 3));
    assert_eq!(replica.last(), Zxid::new(EPOCH, 3));
    while !replica.catch_up(1, now.mono, &mut fx) {}
    assert_eq!(replica.applied(), Zxid::new(EPOCH, 3));

    let mut heir = Member::new(2);
    heir.server =
        Server::new(Sound, Arc::new(config()), Keyed::new((1, 2)), Facts::default(), replica, now);
    heir.server.lead(EPOCH + 1, now);
    heir.now = now;
    let link = heir.link(9);
    heir.connect(link, session);
    assert_eq!(heir.session(link), session, "it may come back");
    heir.create(link, 2, "/logged");
    heir.sync();
    assert_eq!(heir.replies(link), []);
    heir.server.commit_through(Zxid::new(EPOCH + 1, 1), heir.now, &mut heir.fx);
    heir.turn();
    let exists = ErrorCode::NodeExists.code();
    assert_eq!(heir.replies(link), [(2, Zxid::new(EPOCH + 1, 1).0, exists)]);
}

#[test]
fn what_a_3_4_server_could_not_log_is_refused_while_one_takes_part() {
    let mut ensemble = Ensemble::new(1);
    let (link, _) = ensemble.client(0, 7);
    let own = ensemble.leader.link(9);
    ensemble.leader.connect(own, SessionId::NONE);
    ensemble.settle();
    ensemble.leader.heard(own);
    let Member { server, fx, .. } = &mut ensemble.leader;
    server.note_old_peer(true, fx);

    let unknown = ErrorCode::Unimplemented.code();
    ensemble.learners[0].create_by(OpCode::Create2, link, 1, "/a");
    ensemble.settle();
    assert_eq!(ensemble.learners[0].replies(link), [(1, Zxid::new(EPOCH, 3).0, unknown)]);
    ensemble.leader.create_by(OpCode::Create2, own, 1, "/a");
    assert_eq!(ensemble.leader.replies(own), [(1, Zxid::new(EPOCH, 3).0, unknown)]);
    ensemble.leader.create(own, 2, "/a");
    ensemble.settle();
    assert_eq!(ensemble.leader.replies(own), [(2, Zxid::new(EPOCH, 4).0, 0)]);

    let Member { server, fx, .. } = &mut ensemble.leader;
    server.note_old_peer(false, fx);
    ensemble.leader.create_by(OpCode::Create2, own, 3, "/b");
    ensemble.settle();
    assert_eq!(ensemble.leader.replies(own), [(3, Zxid::new(EPOCH, 5).0, 0)]);
}

#[test]
fn behind_a_3_4_leader_what_it_does_not_know_is_refused_in_its_turn() {
    let mut ensemble = Ensemble::new(1);
    let (link, _) = ensemble.client(0, 7);
    let Member { server, fx, .. } = &mut ensemble.learners[0];
    server.note_old_peer(true, fx);
    ensemble.learners[0].create(link, 1, "/a");
    ensemble.learners[0].create_by(OpCode::CreateContainer, link, 2, "/b");
    assert_eq!(ensemble.learners[0].replies(link), [], "the write ahead of it is under way");
    ensemble.settle();
    let (zxid, unknown) = (Zxid::new(EPOCH, 2).0, ErrorCode::Unimplemented.code());
    assert_eq!(ensemble.learners[0].replies(link), [(1, zxid, 0), (2, zxid, unknown)]);
}

#[test]
fn a_tree_that_is_not_the_leader_s_is_counted_and_told_of_once() {
    let mut ensemble = Ensemble::new(1);
    let (link, _) = ensemble.client(0, 7);
    ensemble.learners[0].create(link, 1, "/a");
    ensemble.carry_up();
    let leader = &ensemble.leader.server;
    let proposals = leader.proposals_after(ensemble.proposed);
    let mut forged: Vec<_> = proposals.map(|(zxid, entry)| (zxid, entry.to_vec())).collect();
    for (zxid, entry) in &mut forged {
        *entry.last_mut().expect("a digest stands at its end") ^= 1;
        let learner = &mut ensemble.learners[0];
        learner.server.on_proposal(*zxid, entry, learner.now).expect("it reads as one");
        learner.turn();
        learner.sync();
        learner.server.commit_through(*zxid, learner.now, &mut learner.fx);
        let told = learner.fx.list().iter().filter_map(|effect| match effect {
            Effect::Event(event) => Some(alloc::format!("{event}")),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        assert!(told[0].starts_with("after transaction 0x"), "{told:?}");
    }
    assert_eq!(forged.len(), 1);
}
