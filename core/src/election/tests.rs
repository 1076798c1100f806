// SPDX-License-Identifier: Apache-2.0
//! The bytes of elections against recorded ones of Java ZooKeeper, and against arbitrary ones.

use alloc::{collections::BTreeSet, format, string::String, vec, vec::Vec};

use proptest::{collection::vec, prelude::*};

use super::{wire::*, *};
use crate::{id::Zxid, io::Frame};

const INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(3_200));

const FIXTURES: [(&str, &str); 28] = {
    macro_rules! fixtures {
        ($($name:literal,)*) => {
            [$((
                $name,
                include_str!(concat!("../../../tests/fixtures/election-", $name, ".hex")),
            ),)*]
        };
    }
    fixtures![
        "diff-3.4.6-leader-3.4.6-joiner",
        "diff-3.4.6-leader-3.9.5-joiner",
        "diff-3.9.5-leader-3.4.6-joiner",
        "diff-3.9.5-leader-3.9.5-joiner",
        "diverged-3.4.6-leader-3.4.6-joiner",
        "diverged-3.4.6-leader-3.9.5-joiner",
        "diverged-3.9.5-leader-3.4.6-joiner",
        "diverged-3.9.5-leader-3.9.5-joiner",
        "empty-diff-3.4.6-leader-3.4.6-joiner",
        "empty-diff-3.4.6-leader-3.9.5-joiner",
        "empty-diff-3.9.5-leader-3.4.6-joiner",
        "empty-diff-3.9.5-leader-3.9.5-joiner",
        "large-dials-back-3.4.6-leader-3.9.5-joiner",
        "large-dials-back-3.9.5-leader-3.4.6-joiner",
        "observer-3.4.6-leader-3.9.5-observer",
        "observer-3.9.5-leader-3.4.6-observer",
        "observer-3.9.5-leader-3.9.5-observer",
        "small-dials-large-3.4.6-leader-3.9.5-joiner",
        "small-dials-large-3.9.5-leader-3.4.6-joiner",
        "small-dials-large-3.9.5-leader-3.9.5-joiner",
        "snap-and-live-3.4.6-leader-3.4.6-joiner",
        "snap-and-live-3.4.6-leader-3.9.5-joiner",
        "snap-and-live-3.9.5-leader-3.4.6-joiner",
        "snap-and-live-3.9.5-leader-3.9.5-joiner",
        "trunc-3.4.6-leader-3.4.6-joiner",
        "trunc-3.4.6-leader-3.9.5-joiner",
        "trunc-3.9.5-leader-3.4.6-joiner",
        "trunc-3.9.5-leader-3.9.5-joiner",
    ]
};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|c| (c as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A hello as the recorder's note puts it.
fn note_of_hello(hello: &Hello) -> String {
    let from = hello.from;
    match &hello.form {
        HelloForm::Short => format!("hello, short form: sid={from}"),
        HelloForm::Long(at) => {
            format!("hello, long form: protocol=-65536 sid={from} addr='{}'", at[0])
        }
        HelloForm::Multi(_) => panic!("none was recorded"),
    }
}

/// A notification as the recorder's note puts it.
fn note_of_notification(said: &Notification<'_>, len: usize) -> String {
    let Notification { state, vote: Vote { leader, zxid, epoch }, round, form } = said;
    let version = match form {
        Form::V28 | Form::V36 => 0,
        Form::V40(version) => *version,
        Form::Config(_) => 2,
    };
    let mut note = format!(
        "notification {len} bytes state={state} leader={leader} zxid={zxid} round={round} \
         peerEpoch={epoch} version=0x{version}"
    );
    if let Form::Config(text) = form {
        let shown = str::from_utf8(text).unwrap().replace('\n', "\\n");
        note += &format!(" cfg({})='{shown}'", text.len());
    }
    note
}

/// Each recorded line read, compared with the recorder's own reading, and written back.
#[test]
fn recorded_messages_read_and_write_back_the_same() {
    let mut forms = BTreeSet::new();
    for (name, text) in FIXTURES {
        let mut hellos = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (hex, note) = line[2..].split_once(" # ").unwrap();
            let note = note.split_once("ms ").unwrap().1;
            let bytes = unhex(hex);
            let mut again = Vec::new();
            if hellos == 0 && line.starts_with('>') {
                hellos += 1;
                let hello = Hello::decode(&bytes).unwrap();
                assert_eq!(note_of_hello(&hello), note, "{name}");
                forms.insert(bytes.len().min(9));
                hello.encode(&mut again);
            } else {
                let said = Notification::decode(&bytes[4..]).unwrap();
                assert_eq!(note_of_notification(&said, bytes.len() - 4), note, "{name}");
                assert!(said.is_versioned());
                forms.insert(bytes.len().min(45));
                frame(&said, &mut again);
            }
            assert_eq!(again, bytes, "{name}: {line}");
        }
    }
    assert_eq!(forms, [8, 9, 44, 45].into(), "both hellos, both notifications");
}

/// Both directions of each recorded link through the framing machine, cut at every byte.
#[test]
fn recorded_streams_are_cut_into_their_messages() {
    for (name, text) in FIXTURES {
        for (mark, framer) in [('>', ElectionFramer::accepted()), ('<', ElectionFramer::dialled())]
        {
            let lines = text.lines().filter(|line| line.starts_with(mark));
            let messages: Vec<Vec<u8>> =
                lines.map(|line| unhex(line[2..].split(' ').next().unwrap())).collect();
            let stream = messages.concat();
            let hellos = usize::from(mark == '>');
            let bodies = |(n, message): (usize, &Vec<u8>)| match n < hellos {
                true => message.clone(),
                false => message[4..].to_vec(),
            };
            let expected: Vec<Vec<u8>> = messages.iter().enumerate().map(bodies).collect();
            for at in 0..=stream.len() {
                let mut framer = framer.clone();
                let mut got = Vec::new();
                for piece in [&stream[..at], &stream[at..]] {
                    framer.push(piece, |frame| match frame {
                        Frame::Packet(packet) => got.push(packet.to_vec()),
                        other => panic!("{other:?}"),
                    });
                }
                assert_eq!(got, expected, "{name} {mark} cut at {at}");
                assert_eq!(framer.held(), 0);
            }
        }
    }
}

#[test]
fn old_notifications_are_read() {
    let mut v28 = vec![0, 0, 0, 2];
    v28.extend([3i64, 0x7_0000_0005, 4].map(i64::to_be_bytes).concat());
    let said = Notification::decode(&v28).unwrap();
    let vote = Vote { leader: ServerId(3), zxid: Zxid(0x7_0000_0005), epoch: 7 };
    let expected = Notification { state: PeerState::Leading, vote, round: 4, form: Form::V28 };
    assert_eq!(said, expected);
    let v36 = [v28.as_slice(), &9i64.to_be_bytes()].concat();
    let said = Notification::decode(&v36).unwrap();
    let vote = Vote { epoch: 9, ..vote };
    assert_eq!(said, Notification { vote, form: Form::V36, ..expected });
    assert!(!said.is_versioned());
    let mut again = Vec::new();
    said.encode(&mut again);
    assert_eq!(again, v36);
    again.clear();
    expected.encode(&mut again);
    assert_eq!(again, v28);
}

#[test]
fn what_a_later_version_appends_is_ignored() {
    let vote = Vote { leader: ServerId(3), zxid: Zxid(5), epoch: 1 };
    let form = Form::Config(b"version=0");
    let said = Notification { state: PeerState::Looking, vote, round: 1, form };
    let mut bytes = Vec::new();
    said.encode(&mut bytes);
    bytes[39] = 3;
    bytes.extend(b"more");
    assert_eq!(Notification::decode(&bytes), Ok(said));
}

#[test]
fn notifications_that_are_none_say_why() {
    let head = |state: i32| {
        let body = [3i64, 5, 1, 1].map(i64::to_be_bytes).concat();
        [&state.to_be_bytes()[..], &body].concat()
    };
    let why = |bytes: &[u8]| Notification::decode(bytes).unwrap_err();
    for len in (0..28).chain(29..36).chain(37..40) {
        let whole = [head(0), vec![0; 8]].concat();
        assert_eq!(why(&whole[..len]), WireError::Short(len));
    }
    assert_eq!(why(&head(4)), WireError::State(4));
    assert_eq!(why(&head(-1)), WireError::State(-1));
    let config = |len: i32| [&head(0)[..], &2i32.to_be_bytes(), &len.to_be_bytes()].concat();
    assert_eq!(why(&config(-1)), WireError::Config(-1, 44));
    assert_eq!(why(&config(i32::MAX)), WireError::Config(i32::MAX, 44));
    assert_eq!(why(&config(1)), WireError::Config(1, 44));
    assert_eq!(why(&config(1)[..42]), WireError::Short(42));
}

#[test]
fn hellos_of_several_addresses_are_read() {
    let address = |host: &str, port| Address { host: host.into(), port };
    let addresses = vec![address("zk1", 3_888), address("fe80::1", 3_889)];
    let hello = Hello { from: ServerId(7), form: HelloForm::Multi(addresses) };
    let mut bytes = Vec::new();
    hello.encode(&mut bytes);
    assert_eq!(bytes[..8], (-65_535i64).to_be_bytes());
    assert!(bytes.ends_with(b"\0\0\0\x17zk1:3888|[fe80::1]:3889"), "{bytes:?}");
    assert_eq!(Hello::decode(&bytes), Ok(hello));
}

#[test]
fn hellos_that_are_none_say_why() {
    let long = |text: &str| {
        let mut bytes = [(-65_536i64).to_be_bytes(), 3i64.to_be_bytes()].concat();
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    };
    let why = |bytes: &[u8]| Hello::decode(bytes).unwrap_err();
    assert_eq!(why(&[0; 7]), WireError::Short(7));
    assert_eq!(why(&long("a:1")[..22]), WireError::Short(22));
    assert_eq!(why(&(-1i64).to_be_bytes()), WireError::Protocol(-1));
    for text in ["a", ":1", "a:", "a:65536", "a:-1", "[a:1", "a:1|b"] {
        let wrong = text.rsplit('|').next().unwrap();
        assert_eq!(why(&long(text)), WireError::Address(wrong.into()), "{text}");
    }
    assert_eq!(why(&long(&"a".repeat(2_049))), WireError::Addresses(2_049));
}

/// Nobody can dial a wildcard, so it is not said.
#[test]
fn hellos_name_only_what_can_be_dialled() {
    let at = |host: &str| Address { host: host.into(), port: 1 };
    let form =
        |hosts: &[&str], multi| hello_form(hosts.iter().map(|host| at(host)).collect(), multi);
    assert_eq!(form(&["a", "b"], false), HelloForm::Long(vec![at("a")]));
    assert_eq!(form(&["0.0.0.0", "b"], true), HelloForm::Multi(vec![at("b")]));
    for wildcard in ["0.0.0.0", "::", "0:0::0"] {
        assert_eq!(form(&[wildcard], false), HelloForm::Short);
    }
}

fn election(me: i64, version: &str) -> Election {
    let text = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2";
    let name = format!("members.{version}");
    let ensemble = Ensemble::from_dynamic_file(&name, text.as_bytes()).unwrap();
    let quorums = ensemble.quorum().into();
    let timeout = Duration::from_secs(5);
    Election::new(
        Sound,
        Setup {
            me: ServerId(me),
            ensemble,
            quorums,
            timeout,
            intervals: INTERVALS,
            multi_address: false,
            guests: false,
        },
    )
}

/// A link from `from`, which is larger than `me`, with its hello said.
fn linked(election: &mut Election, link: LinkId, from: i64, fx: &mut Effects) {
    let peer = ([10, 0, 0, 1], 1).into();
    let port = crate::io::Port::Election;
    election.handle(Instant::ZERO, Input::LinkUp { link, port, peer, dialled: None }, fx);
    let frame = Frame::Packet(&from.to_be_bytes());
    election.handle(Instant::ZERO, Input::Frame { link, frame }, fx);
}

fn hear(election: &mut Election, link: LinkId, text: &[u8], fx: &mut Effects) {
    let vote = Vote { leader: ServerId(3), zxid: Zxid(5), epoch: 1 };
    let form = Form::Config(text);
    let mut bytes = Vec::new();
    Notification { state: PeerState::Looking, vote, round: 1, form }.encode(&mut bytes);
    let frame = Frame::Packet(&bytes);
    election.handle(Instant::ZERO, Input::Frame { link, frame }, fx);
}

#[test]
fn the_newest_configuration_heard_is_kept() {
    let (mut election, mut fx) = (election(1, "10"), Effects::new());
    let link = LinkId(1);
    linked(&mut election, link, 3, &mut fx);
    for text in ["version=f", "version=10", "no version", "version=x", "version=\u{e9}"] {
        hear(&mut election, link, text.as_bytes(), &mut fx);
        assert_eq!(election.heard_config(), None, "{text}");
    }
    for (text, version) in [("version=11", 0x11), ("a\nversion=1f", 0x1f), ("version=12", 0x1f)] {
        hear(&mut election, link, text.as_bytes(), &mut fx);
        let heard = election.heard_config().unwrap();
        assert_eq!((heard.from, heard.version), (ServerId(3), version), "{text}");
    }
}

#[test]
fn a_leader_that_looks_in_a_later_round_deserts_who_decided_on_it() {
    let (mut election, mut fx) = (election(1, "0"), Effects::new());
    let standing = Standing::History { zxid: Zxid(4), epoch: 1 };
    election.look(Instant::ZERO, standing, &mut fx);
    let link = LinkId(1);
    linked(&mut election, link, 3, &mut fx);
    let mut looks = |election: &mut Election, round| {
        let vote = Vote { leader: ServerId(3), zxid: Zxid(5), epoch: 1 };
        let mut bytes = Vec::new();
        Notification { state: PeerState::Looking, vote, round, form: Form::V40(1) }
            .encode(&mut bytes);
        let frame = Frame::Packet(&bytes);
        election.handle(Instant::from_millis(1), Input::Frame { link, frame }, &mut fx);
        election.handle(Instant::from_millis(500), Input::Time, &mut fx)
    };
    assert_eq!(looks(&mut election, 1), Some(Decision::Following(ServerId(3))));
    looks(&mut election, 1);
    assert!(!election.is_deserted(), "it has not heard yet that it is elected");
    looks(&mut election, 2);
    assert!(election.is_deserted());
    election.look(Instant::from_millis(500), standing, &mut Effects::new());
    assert!(!election.is_deserted());
}

/// The ballots of voters, by their ids, and what each knows of who votes.
struct Booth(Vec<(ServerId, Quorums, Ballot<Sound>)>);

impl Booth {
    /// Voters with the zxids that they hold in epoch 1, the rounds they are in, and whether they
    /// have logged that `next` follow on `in_force`.
    fn of(in_force: &[i64], next: &[i64], voters: &[(i64, i64, i64, bool)]) -> Booth {
        let quorum =
            |ids: &[i64]| crate::quorum::Quorum::majority(ids.iter().copied().map(ServerId));
        let ballots = voters.iter().map(|&(id, zxid, round, knows)| {
            let quorums = Quorums::from(quorum(in_force));
            let quorums = if knows { quorums.towards(quorum(next)) } else { quorums };
            let standing = Standing::History { zxid: Zxid(1 << 32 | zxid), epoch: 1 };
            let id = ServerId(id);
            let ballot = Ballot::new(Sound, id, &quorums, Instant::ZERO, round, standing, false);
            (id, quorums, ballot)
        });
        Booth(ballots.collect())
    }

    /// Has everybody say its vote, in this order of places, until none changes; then says whom each
    /// has elected.
    fn elected(mut self, order: &[usize]) -> Vec<Option<i64>> {
        let votes = |booth: &Booth| -> Vec<(Vote, i64)> {
            booth.0.iter().map(|(_, _, ballot)| (ballot.vote, ballot.round)).collect()
        };
        loop {
            let before = votes(&self);
            for &from in order {
                let (id, _, said) = &self.0[from];
                let (id, vote, round) = (*id, said.vote, said.round);
                let form = Form::V40(1);
                let heard = Notification { state: PeerState::Looking, vote, round, form };
                for (me, quorums, ballot) in &mut self.0 {
                    let counts = quorums.is_voter(id) && quorums.is_voter(vote.leader);
                    if counts && *me != id {
                        ballot.hear(quorums, Instant::ZERO, id, &heard);
                    }
                }
            }
            if votes(&self) == before {
                break;
            }
        }
        let late = Instant::from_millis(500);
        let ripe = |ballot: &Ballot<Sound>| ballot.ripe(late).map(|outcome| outcome.vote.leader.0);
        self.0.iter().map(|(_, _, ballot)| ripe(ballot)).collect()
    }
}

/// Server 2 has not heard of the next list: it can elect nobody who is only there.
#[test]
fn of_equals_one_in_force_is_elected() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for round in [1, 2, 9] {
            let voters = [(1, 7, 2, true), (2, 6, 2, false), (4, 7, round, true)];
            let booth = Booth::of(&[1, 2], &[1, 2, 3, 4], &voters);
            assert_eq!(booth.elected(&order), [Some(1); 3], "{order:?}, {round}");
        }
    }
}

/// What a server of the next list holds more may be committed.
#[test]
fn who_is_only_in_the_next_list_is_elected_if_it_holds_more() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let voters = [(1, 7, 1, true), (2, 7, 1, true), (4, 8, 1, true), (5, 9, 1, true)];
        let booth = Booth::of(&[1, 2, 3], &[3, 4, 5], &voters);
        assert_eq!(booth.elected(&order), [Some(5); 4], "{order:?}");
    }
}

/// It waits for the vote of those in force, who may hold as much.
#[test]
fn who_is_only_in_the_next_list_does_not_propose_itself_at_first() {
    let voters = [(1, 7, 1, true), (2, 6, 1, true), (4, 7, 1, true)];
    let mut booth = Booth::of(&[1, 2, 3], &[3, 4, 5], &voters);
    let (_, quorums, ballot) = &mut booth.0[2];
    assert_eq!(ballot.vote, Vote::NONE);
    for (from, round) in [(1, 1), (2, 1), (1, 3)] {
        let vote = Vote { leader: ServerId(2), zxid: Zxid(1 << 32 | 6), epoch: 1 };
        let form = Form::V40(1);
        let heard = Notification { state: PeerState::Looking, vote, round, form };
        ballot.hear(quorums, Instant::ZERO, ServerId(from), &heard);
        let both = from == 2;
        assert_eq!(ballot.vote.leader, ServerId(if both { 4 } else { 2 }), "{from}, {round}");
    }
}

/// Server 3 proposed members that never came into force, and is not to wait for them.
#[test]
fn who_knows_of_a_next_list_follows_those_who_settled_by_either() {
    for (next, settled) in [(&[3, 4][..], [1, 2]), (&[4, 5, 6], [5, 6])] {
        let mut booth = Booth::of(&[1, 2, 3], next, &[(3, 9, 1, true)]);
        let (_, quorums, ballot) = &mut booth.0[0];
        let states = settled.into_iter().zip([PeerState::Following, PeerState::Leading]);
        let outcomes: Vec<_> = states
            .map(|(from, state)| {
                let vote = Vote { leader: ServerId(settled[1]), zxid: Zxid(1 << 32), epoch: 1 };
                let heard = Notification { state, vote, round: 7, form: Form::V40(1) };
                let (_, outcome) = ballot.hear(quorums, Instant::ZERO, ServerId(from), &heard);
                outcome.map(|outcome| outcome.vote.leader.0)
            })
            .collect();
        assert_eq!(outcomes, [None, Some(settled[1])]);
    }
}

/// A voter of the next list that has not heard of it holds itself for none, and is needed.
#[test]
fn who_watches_does_not_stay_in_a_later_round() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        for round in [1, 9] {
            let voters = [(1, 7, 2, true), (2, 7, 2, true), (4, 6, round, false)];
            let booth = Booth::of(&[1, 2, 3], &[1, 4, 5], &voters);
            assert_eq!(booth.elected(&order), [Some(2); 3], "{order:?}, {round}");
        }
    }
}

#[test]
fn who_looks_again_in_an_earlier_round_counts_no_word_of_the_last_look() {
    let (mut election, mut fx) = (election(1, "0"), Effects::new());
    election.look(Instant::ZERO, Standing::History { zxid: Zxid(4), epoch: 1 }, &mut fx);
    for from in [2, 3] {
        linked(&mut election, LinkId(from), from.cast_signed(), &mut fx);
    }
    let mut hear = |election: &mut Election, from, state, leader, zxid, round| {
        let vote = Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch: 1 };
        let mut bytes = Vec::new();
        Notification { state, vote, round, form: Form::V40(1) }.encode(&mut bytes);
        let (link, frame) = (LinkId(from), Frame::Packet(&bytes));
        election.handle(Instant::from_millis(1), Input::Frame { link, frame }, &mut fx)
    };
    let best = Vote { leader: ServerId(2), zxid: Zxid(6), epoch: 1 };
    assert_eq!(hear(&mut election, 2, PeerState::Looking, 2, 6, 9), None);
    assert_eq!((election.vote(), election.looks()), (Some((9, best)), 1));
    // The words of an ensemble that is no more.
    assert_eq!(hear(&mut election, 3, PeerState::Leading, 3, 5, 1), None);
    let decision = hear(&mut election, 2, PeerState::Following, 3, 5, 1);
    assert_eq!(decision, Some(Decision::Following(ServerId(3))));
    assert_eq!(hear(&mut election, 3, PeerState::Looking, 3, 5, 2), None);
    assert!(election.is_deserted());
    let standing = Standing::History { zxid: Zxid(4), epoch: 1 };
    election.look(Instant::from_millis(1), standing, &mut Effects::new());
    let own = Vote { leader: ServerId(1), zxid: Zxid(4), epoch: 1 };
    assert_eq!((election.vote(), election.looks()), (Some((2, own)), 2));
    let time = Instant::from_millis(1_000);
    assert_eq!(election.handle(time, Input::Time, &mut Effects::new()), None, "alone");
}

/// A peer that does not read is owed one message, whatever happens meanwhile.
#[test]
fn a_peer_that_does_not_read_is_sent_one_message() {
    let (mut election, mut fx) = (election(1, "0"), Effects::new());
    let link = LinkId(1);
    election.look(Instant::ZERO, Standing::Empty, &mut fx);
    linked(&mut election, link, 3, &mut fx);
    let sent = |fx: &mut Effects| {
        let list = fx.take_list();
        let sends = list.iter().filter_map(|effect| match effect {
            crate::io::Effect::Send { bytes, .. } => Some(bytes.len()),
            _ => None,
        });
        let sent: Vec<usize> = sends.collect();
        fx.clear();
        sent
    };
    let greeting = sent(&mut fx);
    assert_eq!(greeting.len(), 1);
    for millis in (0..12_000).step_by(100) {
        election.handle(Instant::from_millis(millis), Input::Time, &mut fx);
    }
    assert_eq!(sent(&mut fx), []);
    let bytes = greeting[0];
    election.handle(Instant::from_millis(12_000), Input::Drained { link, bytes }, &mut fx);
    assert_eq!(sent(&mut fx), greeting);
}

#[test]
fn silent_strangers_are_few_and_do_not_stay() {
    let (mut election, mut fx) = (election(1, "0"), Effects::new());
    let peer = ([10, 0, 0, 1], 1).into();
    let port = crate::io::Port::Election;
    for n in 1..=100 {
        let up = Input::LinkUp { link: LinkId(n), port, peer, dialled: None };
        election.handle(Instant::ZERO, up, &mut fx);
    }
    let hung_up = |fx: &mut Effects| {
        let hang_up =
            |effect: &crate::io::Effect| matches!(effect, crate::io::Effect::HangUp { .. });
        let count = fx.take_list().iter().filter(|effect| hang_up(effect)).count();
        fx.clear();
        count
    };
    assert_eq!(hung_up(&mut fx), 36);
    let due = election.poll_timeout().unwrap();
    assert_eq!(due, Instant::from_millis(5_000));
    election.handle(due, Input::Time, &mut fx);
    assert_eq!(hung_up(&mut fx), 64);
    assert_eq!(election.poll_timeout(), None);
    (1..=100).for_each(|n| assert!(election.owns(LinkId(n)), "until they are down"));
}

/// Of two servers whose leader is gone, one begins to look first. What it says is lost on the
/// other, which still follows; so it answers when that one says its own, worse vote.
#[test]
fn who_did_not_look_yet_is_told_again() {
    let sends = |fx: &mut Effects| {
        let list = fx.take_list();
        fx.clear();
        list.iter().filter(|effect| matches!(effect, crate::io::Effect::Send { .. })).count()
    };
    for zxid in [4, 5, 6] {
        let (mut election, mut fx) = (election(2, "0"), Effects::new());
        let standing = Standing::History { zxid: Zxid(5), epoch: 1 };
        election.look(Instant::ZERO, standing, &mut fx);
        linked(&mut election, LinkId(1), 3, &mut fx);
        let drained = Input::Drained { link: LinkId(1), bytes: 1 << 20 };
        election.handle(Instant::ZERO, drained, &mut fx);
        sends(&mut fx);
        let vote = Vote { leader: ServerId(3), zxid: Zxid(zxid), epoch: 1 };
        let mut bytes = Vec::new();
        Notification { state: PeerState::Looking, vote, round: 1, form: Form::V40(1) }
            .encode(&mut bytes);
        let frame = Frame::Packet(&bytes);
        election.handle(Instant::ZERO, Input::Frame { link: LinkId(1), frame }, &mut fx);
        assert_eq!(sends(&mut fx), 1, "{zxid}");
        let mine = election.vote().map(|(_, vote)| vote.leader);
        // A worse vote is answered with the better one, a better one is taken over and told.
        let leader = if zxid == 4 { 2 } else { 3 };
        assert!(mine.is_none_or(|mine| mine == ServerId(leader)), "{zxid}: {mine:?}");
    }
}

/// The largest round is no end: what follows it is the same round again.
#[test]
fn a_round_cannot_overflow() {
    let (mut election, mut fx) = (election(1, "0"), Effects::new());
    let standing = Standing::History { zxid: Zxid(5), epoch: 1 };
    election.look(Instant::ZERO, standing, &mut fx);
    linked(&mut election, LinkId(1), 3, &mut fx);
    let vote = Vote { leader: ServerId(3), zxid: Zxid(5), epoch: 1 };
    let mut bytes = Vec::new();
    Notification { state: PeerState::Looking, vote, round: i64::MAX, form: Form::V40(1) }
        .encode(&mut bytes);
    let frame = Frame::Packet(&bytes);
    election.handle(Instant::ZERO, Input::Frame { link: LinkId(1), frame }, &mut fx);
    assert_eq!(election.round(), i64::MAX);
    election.look(Instant::ZERO, standing, &mut fx);
    assert_eq!(election.round(), i64::MAX);
}

proptest! {
    #[test]
    fn any_bytes_are_borne(
        stream in vec(prop_oneof![Just(0u8), Just(0xff), 0u8..4, any::<u8>()], 0..120),
        hello in any::<bool>(),
        looks in any::<bool>(),
    ) {
        let _ = Hello::decode(&stream);
        let _ = Notification::decode(&stream);
        let (mut election, mut fx) = (election(2, "0"), Effects::new());
        if looks {
            election.look(Instant::ZERO, Standing::Empty, &mut fx);
        }
        if hello {
            linked(&mut election, LinkId(1), 3, &mut fx);
        } else {
            let peer = ([10, 0, 0, 1], 1).into();
            let port = crate::io::Port::Election;
            let up = Input::LinkUp { link: LinkId(1), port, peer, dialled: None };
            election.handle(Instant::ZERO, up, &mut fx);
        }
        let mut framer =
            if hello { ElectionFramer::dialled() } else { ElectionFramer::accepted() };
        framer.push(&stream, |frame| {
            election.handle(Instant::ZERO, Input::Frame { link: LinkId(1), frame }, &mut fx);
        });
        election.handle(Instant::from_millis(300), Input::Time, &mut fx);
        prop_assert_eq!(election.decision(), None, "no single voice decides");
    }

    #[test]
    fn notifications_read_what_was_written(
        state in prop_oneof![
            Just(PeerState::Looking),
            Just(PeerState::Following),
            Just(PeerState::Leading),
            Just(PeerState::Observing),
        ],
        numbers in any::<[i64; 4]>(),
        text in vec(any::<u8>(), 0..50),
        version in i32::MIN..2,
    ) {
        let [leader, zxid, epoch, round] = numbers;
        for form in [Form::V28, Form::V36, Form::V40(version), Form::Config(&text)] {
            let epoch = if form == Form::V28 { zxid >> 32 } else { epoch };
            let vote = Vote { leader: ServerId(leader), zxid: Zxid(zxid), epoch };
            let said = Notification { state, vote, round, form };
            let mut bytes = Vec::new();
            said.encode(&mut bytes);
            prop_assert_eq!(Notification::decode(&bytes), Ok(said));
        }
    }
}
