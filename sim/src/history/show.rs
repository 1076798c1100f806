// SPDX-License-Identifier: Apache-2.0
//! A history's lines in words.

use std::collections::VecDeque;

use menagerie_core::{
    frame::ClientFramer,
    io::Frame,
    jute::{Reader, Record},
    proto::{
        ConnectRequest, ConnectResponse, ReplyHeader, Request, RequestHeader, WatcherEvent,
        XID_NOTIFICATION,
    },
};

use super::{History, What};
use crate::{oracle::Cutter, readable::readable};

/// So many lines are told of a link.
const LINES: usize = 12;

/// The last lines of the link that line `at` is about, that line included.
pub fn last_lines(history: &History, at: usize) -> Vec<String> {
    let link = history.lines[at].what.link();
    let (mut framer, mut cutter) = (ClientFramer::new(history.max_packet), Cutter::default());
    let (mut asked, mut greeted) = (false, false);
    let mut shown = VecDeque::new();
    for line in history.lines[..=at].iter().filter(|line| line.what.link() == link) {
        let mut tell = |what: String| {
            let (seconds, micros) = (line.at / 1_000_000, line.at % 1_000_000);
            shown.push_back(format!("{seconds}.{micros:06} {what}"));
            if shown.len() > LINES {
                shown.pop_front();
            }
        };
        match &line.what {
            What::Up { client, address, .. } => tell(format!("{client} dials from {address}")),
            What::Down { .. } => tell("the link is over".to_owned()),
            What::Sent { bytes, .. } => framer.push(bytes, |frame| {
                tell(format!("sent {}", request(&frame, !asked)));
                asked = true;
            }),
            What::Got { bytes, .. } => cutter.push(bytes, |frame| {
                tell(format!("got {}", reply(frame, !greeted)));
                greeted = true;
            }),
            What::Calm { .. } | What::Fault { .. } => {}
        }
    }
    shown.into_iter().map(|line| readable(&line)).collect()
}

fn request(frame: &Frame<'_>, first: bool) -> String {
    let Frame::Packet(bytes) = frame else { return format!("{frame:?}") };
    let mut reader = Reader::new(bytes);
    if first {
        return format!("{:?}", ConnectRequest::decode(&mut reader));
    }
    let Ok(header) = RequestHeader::decode(&mut reader) else { return format!("{bytes:?}") };
    match Request::decode(header.op, &mut reader) {
        Ok(request) => format!("{}: {request:?}", header.xid),
        Err(_) => format!("{}: operation {}, which cannot be read", header.xid, header.op),
    }
}

fn reply(frame: &[u8], first: bool) -> String {
    let mut reader = Reader::new(frame);
    if first {
        return format!("{:?}", ConnectResponse::decode(&mut reader));
    }
    let Ok(header) = ReplyHeader::decode(&mut reader) else { return format!("{frame:?}") };
    if header.xid == XID_NOTIFICATION
        && let Ok(event) = WatcherEvent::decode(&mut reader)
    {
        return format!("{event:?} at {}", header.zxid);
    }
    let body = reader.rest().escape_ascii();
    format!("{}: at {}, error {}, {body}", header.xid, header.zxid, header.err)
}
