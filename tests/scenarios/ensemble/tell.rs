// SPDX-License-Identifier: Apache-2.0
//! What happened, in words.

use menagerie_core::{
    event::Level,
    id::{LaneId, LinkId, SessionId},
    io::{FileOp, Port},
    node::{Phase, View},
};

use super::Stage;
use crate::{
    packets, speech,
    troupe::{Happening, Id, Message, guest::Heard},
};

impl Stage {
    /// Tells what happened since the last time, and judges it.
    pub(super) fn tell(&mut self) {
        let happened = std::mem::take(&mut self.troupe().happened);
        let shown = self.out.len();
        for happening in happened {
            if let Some(line) = self.told(happening) {
                self.out.push(line);
            }
        }
        let troupe = self.troupe.as_ref().expect("it is there");
        self.out.extend(self.judge.looks_at(troupe));
        let ms = troupe.ms();
        if self.out.len() > shown && ms != self.told_ms {
            self.told_ms = ms;
            self.out.insert(shown, format!("at {ms} ms:"));
        }
    }

    fn told(&mut self, happening: Happening) -> Option<String> {
        match happening {
            Happening::Said { message, held } => {
                let line = self.message(&message)?;
                Some(if held { format!("{line} (held)") } else { line })
            }
            Happening::Heard(message) => Some(format!("{} (heard)", self.message(&message)?)),
            Happening::Ordered { at, lane, what } => self.ordered(at, lane, &what),
            Happening::Done { at, what, error } => {
                let named = self.op_name(at, &what);
                match error {
                    Some(_) if matches!(what, FileOp::Open { .. }) => None,
                    Some(error) => Some(format!("{at} failed to {named}: {error}")),
                    None => self.shows_op(at, &what).then(|| format!("{at} did: {named}")),
                }
            }
            Happening::Told { at, event } => (event.level() >= Level::Info)
                .then(|| self.with_names(format!("{at} logs: {event}"))),
            Happening::Answered { at, link, bytes } => self.answered(at, link, &bytes),
            Happening::Refused { at, link } => {
                let name = self.troupe().guest(link)?.name.clone();
                Some(format!("{at} hangs up on {name}"))
            }
            Happening::Configured { at, file } => {
                let members: Vec<&str> = file.text.lines().collect();
                let what = if file.in_force { "has from now on" } else { "prepares" };
                Some(format!("{at} {what} zoo.cfg{}: {}", file.name, members.join(", ")))
            }
            Happening::Halted { at, exit, why } => {
                Some(format!("{at} halts with {}: {why}", exit.code()))
            }
        }
    }

    fn shows(&self, what: &str) -> bool {
        self.shown.contains(what)
    }

    /// Whether an operation is told: what changes a disk, or what is read of a log.
    fn shows_op(&self, at: Id, what: &FileOp) -> bool {
        match what {
            FileOp::Read { file, .. } => {
                self.shows("reads") && self.files[&(at, *file)].starts_with("log.")
            }
            FileOp::List { .. } | FileOp::Open { .. } | FileOp::Close { .. } => false,
            _ => self.shows("disk"),
        }
    }

    /// Links of clients bear their names.
    fn with_names(&mut self, line: String) -> String {
        let troupe = self.troupe();
        let named = |word: &str| {
            let guest = troupe.guest(LinkId(word.parse().ok()?))?;
            Some(format!("of {}", guest.name))
        };
        let words: Vec<String> =
            line.split(' ').map(|word| named(word).unwrap_or_else(|| word.to_owned())).collect();
        words.join(" ")
    }

    fn message(&self, message: &Message) -> Option<String> {
        let hidden = message.port == Port::Election && !self.shows("election")
            || packets::is_ping(message) && !self.shows("pings");
        let (from, to) = (message.from, message.to);
        (!hidden).then(|| format!("{from} > {to}: {}", packets::message(message)))
    }

    fn ordered(&mut self, at: Id, lane: LaneId, what: &FileOp) -> Option<String> {
        if let FileOp::Open { file, name, .. } | FileOp::Create { file, name, .. } = what {
            self.files.insert((at, *file), name.clone());
        }
        if !self.shows_op(at, what) {
            return None;
        }
        let is_log = matches!(what, FileOp::Write { file, .. }
            if self.files[&(at, *file)].starts_with("log."));
        let named = self.op_name(at, what);
        Some(format!("{at} {}", packets::order(lane, &named, what, is_log)))
    }

    pub(super) fn op_name(&self, at: Id, what: &FileOp) -> String {
        packets::op(&self.files, |file| (at, file), what)
    }

    fn answered(&mut self, at: Id, link: LinkId, bytes: &[u8]) -> Option<String> {
        let guest = self.troupe.as_mut()?.guest_mut(link)?;
        let name = guest.name.clone();
        let mut lines = Vec::new();
        for heard in guest.hears(bytes) {
            if let Heard::Greeting { session, password, .. } = &heard
                && *session != SessionId::NONE
            {
                self.sessions.insert(name.clone(), (*session, password.clone()));
            }
            self.judge.answered(link, &heard);
            lines.push(format!("{name} <- {at}: {}", speech::heard(&heard)));
        }
        self.out.extend(lines);
        None
    }

    pub(super) fn status(&mut self) {
        let troupe = self.troupe.as_ref().expect("a troupe");
        let lines: Vec<String> = troupe
            .ids()
            .map(|id| match troupe.view(id) {
                Some(view) => format!("{id} {}", standing(&view)),
                None if troupe.server(id).puppet => format!("{id} is played by the story"),
                None => format!("{id} is down"),
            })
            .collect();
        self.out.extend(lines);
    }
}

fn standing(view: &View) -> String {
    let serving = |serving| if serving { "" } else { ", not up to date" };
    let does = match view.phase {
        Phase::Starting => "reads its disk".to_owned(),
        Phase::Alone => "is alone".to_owned(),
        Phase::Looking => "looks for a leader".to_owned(),
        Phase::Leading { epoch: Some(epoch), established } => {
            let how = if established { "" } else { ", without a quorum" };
            format!("leads epoch {epoch}{how}")
        }
        Phase::Leading { epoch: None, .. } => "leads, and has no epoch yet".to_owned(),
        Phase::Following { leader, serving: s } => format!("follows {leader}{}", serving(s)),
        Phase::Observing { leader, serving: s } => format!("observes {leader}{}", serving(s)),
        Phase::Stopping => "is about to stop".to_owned(),
        Phase::Over => "is over".to_owned(),
    };
    let View { accepted, current, durable, committed, applied, .. } = view;
    let (durable, committed, applied) = (durable.0, committed.0, applied.0);
    format!(
        "{does}; epochs {accepted} and {current}; durable {durable:x}, \
         committed {committed:x}, applied {applied:x}"
    )
}
