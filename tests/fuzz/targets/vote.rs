// SPDX-License-Identifier: Apache-2.0
//! What servers say on an election port: the frames do not depend on the cuts, what is held is
//! bounded by what came, and hellos and notifications that read, write to what they were read from.
//!
//! Input: one byte that says how to cut, one that says who dialled, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use menagerie_core::{
    election::{
        ElectionFramer,
        wire::{Form, Hello, Notification},
    },
    io::Frame,
};
use menagerie_fuzz::{pieces, within};

/// A frame that owns its bytes.
#[derive(Debug, PartialEq, Eq)]
enum Owned {
    Packet(Vec<u8>),
    Nonsense(i32),
}

fuzz_target!(|input: &[u8]| {
    let [how, dialled, stream @ ..] = input else { return };
    let accepted = dialled % 2 == 0;
    let whole = cut(accepted, 0, stream);
    assert_eq!(cut(accepted, *how, stream), whole);
    for (at, frame) in whole.iter().enumerate() {
        match frame {
            Owned::Packet(bytes) if accepted && at == 0 => hello(bytes),
            Owned::Packet(bytes) => notification(bytes),
            Owned::Nonsense(len) => {
                assert!(*len <= 0 || *len > 512 << 10);
                assert_eq!(at + 1, whole.len(), "nothing comes after nonsense");
            }
        }
    }
});

fn cut(accepted: bool, how: u8, stream: &[u8]) -> Vec<Owned> {
    let new = if accepted { ElectionFramer::accepted } else { ElectionFramer::dialled };
    // A vector that grows is held twice for a moment, the second time with room to spare.
    within(3 * stream.len() + 4096, || {
        let (mut framer, mut came) = (new(), 0);
        for piece in pieces(how, stream) {
            came += piece.len();
            framer.push(piece, |_| {});
            assert!(framer.held() <= came);
        }
    });
    let (mut framer, mut frames) = (new(), Vec::new());
    for piece in pieces(how, stream) {
        framer.push(piece, |frame| {
            frames.push(match frame {
                Frame::Packet(packet) => Owned::Packet(packet.into()),
                Frame::Nonsense { len } => Owned::Nonsense(len),
                other => unreachable!("{other:?} on an election port"),
            });
        });
    }
    frames
}

fn hello(bytes: &[u8]) {
    let Ok(hello) = Hello::decode(bytes) else { return };
    let mut again = Vec::new();
    hello.encode(&mut again);
    assert_eq!(Hello::decode(&again), Ok(hello));
}

fn notification(bytes: &[u8]) {
    let said = within(1024, || Notification::decode(bytes));
    let Ok(said) = said else { return };
    let mut again = Vec::new();
    said.encode(&mut again);
    assert_eq!(Notification::decode(&again), Ok(said));
    // The versions of later forms are one to us, and the first forms are read as longer ones.
    match said.form {
        Form::Config(config) => {
            assert_eq!(bytes[..36], again[..36], "{said:?}");
            assert_eq!(&bytes[44..44 + config.len()], config, "{said:?}");
        }
        Form::V40(_) => assert_eq!(bytes[..40], again, "{said:?}"),
        Form::V28 | Form::V36 => {}
    }
}
