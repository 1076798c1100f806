// SPDX-License-Identifier: Apache-2.0
//! What stands around a machine that a script drives: its links, and for a whole server, its disk,
//! its time, and the end of a turn.

use std::collections::BTreeMap;

use menagerie_core::{
    id::{DialId, LinkId},
    io::{Effect, Effects, Frame, Input, Port},
    node::{FrameLimits, Framer, Node, Setup},
    time::{Instant, Now},
};

use crate::disk::Disk;

/// A link as its driver has it.
pub struct Line {
    pub port: Port,
    pub dialled: bool,
    pub framer: Framer,
    unsent: usize,
}

/// Links that are up.
pub struct Lines {
    lines: BTreeMap<LinkId, Line>,
    newest: LinkId,
    limits: FrameLimits,
    /// Nobody may owe a link so many bytes.
    most: usize,
}

impl Lines {
    /// `limit` is on frames.
    pub fn new(limit: u32, most: usize) -> Lines {
        let limits = FrameLimits { client: limit, quorum: limit };
        Lines { lines: BTreeMap::new(), newest: LinkId(10), limits, most }
    }

    pub fn open(&mut self, port: Port, dialled: bool) -> LinkId {
        self.newest.0 += 1;
        let framer = Framer::new(port, dialled, self.limits);
        self.lines.insert(self.newest, Line { port, dialled, framer, unsent: 0 });
        self.newest
    }

    /// Whether it was up.
    pub fn close(&mut self, link: LinkId) -> bool {
        self.lines.remove(&link).is_some()
    }

    pub fn get(&self, link: LinkId) -> Option<&Line> {
        self.lines.get(&link)
    }

    pub fn get_mut(&mut self, link: LinkId) -> Option<&mut Line> {
        self.lines.get_mut(&link)
    }

    /// The `n`th from the newest of those that are up.
    pub fn nth(&self, n: usize) -> Option<LinkId> {
        self.lines.keys().rev().nth(n).copied()
    }

    /// Bytes are owed to a link; whether it is one of these.
    pub fn owe(&mut self, link: LinkId, bytes: usize) -> bool {
        let Some(line) = self.lines.get_mut(&link) else { return false };
        line.unsent += bytes;
        assert!(line.unsent < self.most, "{} bytes are owed", line.unsent);
        true
    }

    /// How many bytes drain.
    pub fn drain(&mut self, link: LinkId) -> Option<usize> {
        let line = self.lines.get_mut(&link)?;
        Some(std::mem::take(&mut line.unsent)).filter(|bytes| *bytes > 0)
    }
}

/// A server and what is around it.
pub struct Stage {
    pub node: Node,
    pub disk: Disk,
    pub now: Now,
    pub lines: Lines,
    fx: Effects,
}

impl Stage {
    /// `limit` is on frames. No more than 4 MiB and one answer are ever owed to a link.
    pub fn new(setup: Setup, disk: Disk, limit: u32) -> Stage {
        let now = Now { mono: Instant { micros: 1 << 40 }, wall_ms: 1_700_000_000_000 };
        let (lines, fx) = (Lines::new(limit, 24 << 20), Effects::new());
        Stage { node: Node::new(setup), disk, now, lines, fx }
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input, &mut self.fx);
    }

    pub fn pass(&mut self, ms: u64) {
        self.now.mono.micros += 1000 * ms;
        self.now.wall_ms += ms.cast_signed();
        self.input(Input::Time);
    }

    pub fn open(&mut self, port: Port, dialled: Option<DialId>) -> LinkId {
        let link = self.lines.open(port, dialled.is_some());
        let peer = "127.0.0.1:1".parse().expect("an address");
        self.input(Input::LinkUp { link, port, peer, dialled });
        link
    }

    pub fn down(&mut self, link: LinkId) {
        if self.lines.close(link) {
            self.input(Input::LinkDown { link });
        }
    }

    pub fn drain(&mut self, link: LinkId) {
        if let Some(bytes) = self.lines.drain(link) {
            self.input(Input::Drained { link, bytes });
        }
    }

    /// Bytes arrive; `sees` is shown each frame before the server is.
    pub fn raw(&mut self, link: LinkId, bytes: &[u8], mut sees: impl FnMut(&Frame<'_>)) {
        let Stage { node, fx, now, lines, .. } = self;
        let Some(line) = lines.get_mut(link) else { return };
        line.framer.push(bytes, |frame| {
            sees(&frame);
            node.handle(*now, Input::Frame { link, frame }, fx);
        });
    }

    /// The disk does the oldest operation.
    pub fn run_one(&mut self) {
        self.disk.run_one(&mut self.node, self.now, &mut self.fx);
    }

    /// The disk does all that it is asked for.
    pub fn run_all(&mut self) {
        self.disk.run_all(&mut self.node, self.now, &mut self.fx);
    }
}

/// Who owns a stage.
pub trait Owner {
    fn stage(&mut self) -> &mut Stage;

    /// Does what is wanted of somebody else than the disk and the links of the stage; `bytes` are
    /// what a send refers to.
    fn does(&mut self, effect: Effect, bytes: &[u8]);

    /// A turn ended.
    fn judges(&mut self) {}

    /// Ends a turn and does what is wanted, but for the disk's part.
    fn turn(&mut self) {
        let stage = self.stage();
        stage.node.flush(stage.now, &mut stage.fx);
        let mut fx = std::mem::take(&mut stage.fx);
        for effect in fx.take_list() {
            let stage = self.stage();
            match effect {
                Effect::Send { link, ref bytes } if stage.lines.owe(link, bytes.len()) => {}
                Effect::HangUp { link } => {
                    stage.lines.close(link);
                    stage.input(Input::LinkDown { link });
                }
                Effect::File { lane, op, what } => stage.disk.order(lane, op, what),
                Effect::Halt { why, .. } => panic!("it halted: {why}"),
                effect => self.does(effect, fx.bytes()),
            }
        }
        self.judges();
    }

    /// Everything that is under way comes to its end.
    fn rest(&mut self) {
        for _ in 0..10_000 {
            self.turn();
            let stage = self.stage();
            stage.run_all();
            let due = stage.node.poll_timeout().is_some_and(|due| due <= stage.now.mono);
            if due {
                stage.input(Input::Time);
            }
            self.turn();
            if self.stage().disk.is_idle() && !due {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.stage().node.view());
    }
}
