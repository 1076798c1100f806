// SPDX-License-Identifier: Apache-2.0
//! A client of a ZooKeeper service, as a machine without I/O: simulated clients and the async
//! library drive the same one.
//!
//! # The driver's contract
//!
//! A driver calls [`Client::handle`] with each [`Input`], [`Client::flush`] at the end of each turn
//! (after one or more inputs), carries out the [`Effects`], and sends [`Input::Time`] when
//! [`Client::poll_timeout`] is due: the first is due at once, and makes the client dial.
//!
//! - The client names its links, in [`Effect::Dial`]. The driver answers with [`Input::LinkUp`] or,
//!   if the host cannot be reached, [`Input::LinkDown`]; a `LinkDown` also ends a link that stood.
//!   Inputs on a link that the client has hung up on are ignored, so no race needs care.
//! - [`Input::Bytes`] may be cut anywhere.
//! - Each [`Input::Submit`] and [`Input::Auth`] gets exactly one [`Effect::Reply`], in order of
//!   submission among the former. Names must not be used twice.
//! - A client serves one session. After a final [`State`] it does nothing but refuse requests; for
//!   another session, make another client.
//!
//! # What the user may rely on
//!
//! - Replies come in the order of requests; a watch's notice comes before any reply that shows the
//!   change.
//! - When a link breaks, `Disconnected` is told, then every request in flight fails with
//!   `ConnectionLoss`: it may or may not have happened.
//! - A request submitted while no link stands waits for the next one; it fails with
//!   `ConnectionLoss`, certainly not done, when a whole pass over the hosts has failed.
//! - Identities and watches outlive the link. What changed meanwhile under a one-time watch is
//!   noticed after the reconnect; persistent watches miss what happened in between.
//! - Whether a session has expired is for the servers to say: a client that reaches none keeps
//!   trying.
//!
//! # The automaton
//!
//! ```text
//!            due                 LinkUp: greets              ConnectResponse
//!  Waiting ------> Dialing ---------------------> Greeting ------------------> Up
//!     ^               |  LinkDown, deadline          |                          |
//!     +---------------+------------------------------+--------------------------+
//!                         LinkDown, nonsense, nothing heard for 2/3 of the timeout
//!
//!  Over <-- expired (Greeting), authentication refused (Up), closed (any)
//! ```

mod chroot;
mod frames;
mod hosts;
mod io;
#[cfg(test)]
mod tests;
mod watches;

use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;

pub use hosts::{BadConnectString, ConnectString};
pub use io::{Effect, Effects, Input, Notice, NoticeKind, Reply, RequestId, State};

use self::{
    chroot::Chroot,
    frames::Frames,
    hosts::Ring,
    watches::{Pledge, Watches},
};
use crate::{
    id::{LinkId, SessionId, Zxid},
    jute::{Reader, Record, begin_frame, end_frame},
    proto::{
        ConnectRequest, ConnectResponse, ErrorCode, OpCode, PASSWORD_LEN, ReplyHeader, Request,
        RequestHeader, Response, WatcherEvent, XID_AUTH, XID_NOTIFICATION, XID_PING,
        XID_SET_WATCHES,
    },
    time::Instant,
};

/// A server must hear of its client this often, whatever the session's timeout.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// How a client begins.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the servers are, and the chroot.
    pub connect: ConnectString,
    /// The session timeout to ask for, in milliseconds.
    pub timeout_ms: u32,
    /// Whether a server that takes no writes would do.
    pub read_only: bool,
    /// The longest frame taken from a server, in bytes.
    pub max_frame: usize,
    /// The seed of the hosts' order and of the waits between attempts.
    pub seed: u64,
    /// A session of an earlier client to take over, with its password.
    pub resume: Option<(SessionId, Vec<u8>)>,
}

impl Config {
    /// A new session with these servers: no read-only ones, frames of 4 MiB at most.
    pub fn new(connect: ConnectString, timeout_ms: u32, seed: u64) -> Config {
        Config { connect, timeout_ms, read_only: false, max_frame: 4 << 20, seed, resume: None }
    }
}

/// A client and its session.
#[derive(Clone, Debug)]
pub struct Client {
    timeout: Duration,
    read_only: bool,
    max_frame: usize,
    chroot: Chroot,
    ring: Ring,
    mode: Mode,
    session: SessionId,
    password: Vec<u8>,
    /// Whether the session is known beyond a read-only server, and so can be resumed.
    global: bool,
    last_zxid: Zxid,
    /// The last transaction that an event showed, where the server says which that was: the next
    /// server must know it, too. Lost watches are asked for by `last_zxid`, for other events of the
    /// same transaction may still have been on their way.
    told_zxid: Zxid,
    identities: Vec<Given>,
    watches: Watches,
    /// Requests without a reply, in order.
    pending: VecDeque<Pending>,
    /// What they and others have to say that is not sent yet.
    outgoing: Vec<u8>,
    frames: Frames,
    next_xid: i32,
    next_link: u64,
}

#[derive(Clone, Debug)]
enum Mode {
    /// No link, and none tried before `until`.
    Waiting { until: Instant },
    /// A link is being opened.
    Dialing { link: LinkId, deadline: Instant },
    /// The link stands and the ConnectRequest is out.
    Greeting { link: LinkId, deadline: Instant },
    /// A server serves the session.
    Up(Up),
    /// Nothing comes any more.
    Over(State),
}

#[derive(Clone, Debug)]
struct Up {
    link: LinkId,
    /// The negotiated timeout.
    timeout: Duration,
    heard: Instant,
    sent: Instant,
    /// Identities sent on this link and not answered yet, by their place.
    proving: VecDeque<usize>,
    /// Whether closeSession was asked for.
    closing: bool,
}

impl Up {
    fn silence_ends(&self) -> Instant {
        self.sent + (self.timeout / 3).min(LONGEST_SILENCE)
    }

    fn patience_ends(&self) -> Instant {
        self.heard + self.timeout * 2 / 3
    }
}

/// An identity that the user added.
#[derive(Clone, Debug)]
struct Given {
    id: RequestId,
    scheme: Vec<u8>,
    auth: Vec<u8>,
    answered: bool,
}

#[derive(Clone, Debug)]
struct Pending {
    xid: i32,
    op: OpCode,
    /// `None` for closeSession, whose end is a state.
    id: Option<RequestId>,
    pledge: Pledge,
}

impl Client {
    /// A client that has not dialled yet.
    pub fn new(config: Config) -> Client {
        let (session, password) =
            config.resume.unwrap_or_else(|| (SessionId::NONE, [0; PASSWORD_LEN].to_vec()));
        Client {
            timeout: Duration::from_millis(config.timeout_ms.into()),
            read_only: config.read_only,
            max_frame: config.max_frame,
            chroot: Chroot::new(config.connect.chroot.as_bytes()),
            ring: Ring::new(config.connect.hosts, config.seed),
            mode: Mode::Waiting { until: Instant::ZERO },
            global: session != SessionId::NONE,
            session,
            password,
            last_zxid: Zxid::ZERO,
            told_zxid: Zxid::ZERO,
            identities: Vec::new(),
            watches: Watches::default(),
            pending: VecDeque::new(),
            outgoing: Vec::new(),
            frames: Frames::default(),
            next_xid: 1,
            next_link: 0,
        }
    }

    /// The session and its password, to resume it with [`Config::resume`].
    pub fn session(&self) -> (SessionId, &[u8]) {
        (self.session, &self.password)
    }

    /// The newest zxid that a reply has shown.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// How many requests wait for their reply.
    pub fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// Takes one event in.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, fx: &mut Effects) {
        match input {
            Input::Time => self.on_time(now, fx),
            Input::LinkUp { link } => self.on_link_up(now, link, fx),
            Input::LinkDown { link } => {
                if self.link() == Some(link) {
                    self.fall(now, fx);
                }
            }
            Input::Bytes { link, bytes } => self.on_bytes(now, link, bytes, fx),
            Input::Submit { id, request } => self.on_submit(id, request, fx),
            Input::Auth { id, scheme, auth } => self.on_auth(id, scheme, auth, fx),
            Input::Forget { watch, path } => self.watches.forget(watch, path),
            Input::Close => self.on_close(fx),
        }
    }

    /// Ends a turn: what was submitted goes out in one piece.
    pub fn flush(&mut self, now: Instant, fx: &mut Effects) {
        if let Mode::Up(up) = &mut self.mode
            && !self.outgoing.is_empty()
        {
            up.sent = now;
            fx.send(up.link, |out| out.append(&mut self.outgoing));
        }
    }

    /// When to send [`Input::Time`]; `None` for never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.mode {
            Mode::Waiting { until } => Some(*until),
            Mode::Dialing { deadline, .. } | Mode::Greeting { deadline, .. } => Some(*deadline),
            Mode::Up(up) => Some(up.silence_ends().min(up.patience_ends())),
            Mode::Over(_) => None,
        }
    }

    fn link(&self) -> Option<LinkId> {
        match &self.mode {
            Mode::Dialing { link, .. } | Mode::Greeting { link, .. } => Some(*link),
            Mode::Up(up) => Some(up.link),
            Mode::Waiting { .. } | Mode::Over(_) => None,
        }
    }

    fn on_time(&mut self, now: Instant, fx: &mut Effects) {
        match &mut self.mode {
            Mode::Waiting { until } if now >= *until => self.dial(now, fx),
            Mode::Dialing { deadline, .. } | Mode::Greeting { deadline, .. }
                if now >= *deadline =>
            {
                self.hang_up(now, fx);
            }
            Mode::Up(up) if now >= up.patience_ends() => self.hang_up(now, fx),
            Mode::Up(up) if now >= up.silence_ends() => {
                up.sent = now;
                fx.send(up.link, |out| put_request(XID_PING, &Request::Ping, out));
            }
            _ => {}
        }
    }

    fn dial(&mut self, now: Instant, fx: &mut Effects) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let hosts = u32::try_from(self.ring.len()).expect("hosts fit a config");
        self.mode = Mode::Dialing { link, deadline: now + self.timeout / hosts };
        fx.push(Effect::Dial { link, host: self.ring.dial() });
    }

    fn on_link_up(&mut self, now: Instant, up: LinkId, fx: &mut Effects) {
        let deadline = match self.mode {
            Mode::Dialing { link, deadline } if link == up => deadline,
            // Its dial was given up on while it succeeded.
            _ => return fx.push(Effect::HangUp { link: up }),
        };
        self.frames.clear();
        self.mode = Mode::Greeting { link: up, deadline: deadline.max(now) };
        let greeting = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid.max(self.told_zxid),
            timeout_ms: i32::try_from(self.timeout.as_millis()).unwrap_or(i32::MAX),
            session: if self.global { self.session } else { SessionId::NONE },
            password: &self.password,
            read_only: Some(self.read_only),
        };
        fx.send(up, |out| {
            let mark = begin_frame(out);
            greeting.encode(out);
            end_frame(out, mark);
        });
    }

    fn on_bytes(&mut self, now: Instant, link: LinkId, mut bytes: &[u8], fx: &mut Effects) {
        // What still comes on a link that was given up leaves the next one's frames alone.
        if self.link() != Some(link) {
            return;
        }
        let mut frames = core::mem::take(&mut self.frames);
        let mut whole = Vec::new();
        while self.link() == Some(link) {
            let Ok((frame, used)) = frames.next(bytes, &mut whole, self.max_frame) else {
                return self.hang_up(now, fx);
            };
            bytes = &bytes[used..];
            let Some(frame) = frame else {
                self.frames = frames;
                return;
            };
            if self.on_frame(now, frame, fx).is_none() {
                self.hang_up(now, fx);
            }
        }
    }

    /// `None` says that no server would have sent this.
    fn on_frame(&mut self, now: Instant, frame: &[u8], fx: &mut Effects) -> Option<()> {
        let mut r = Reader::new(frame);
        match &mut self.mode {
            Mode::Greeting { link, .. } => {
                let link = *link;
                let response = ConnectResponse::decode(&mut r).ok()?;
                self.on_connected(now, link, &response, fx)
            }
            Mode::Up(up) => {
                up.heard = now;
                let header = ReplyHeader::decode(&mut r).ok()?;
                match header.xid {
                    XID_PING | XID_SET_WATCHES => Some(()),
                    XID_NOTIFICATION => self.on_notification(header.zxid, &mut r, fx),
                    XID_AUTH => {
                        self.on_auth_reply(&header, fx);
                        Some(())
                    }
                    _ => self.on_reply(&header, &mut r, fx),
                }
            }
            // Bytes before the link stood are no server's.
            _ => None,
        }
    }

    fn on_connected(
        &mut self,
        now: Instant,
        link: LinkId,
        response: &ConnectResponse<'_>,
        fx: &mut Effects,
    ) -> Option<()> {
        let Some(timeout_ms) = u32::try_from(response.timeout_ms).ok().filter(|ms| *ms > 0) else {
            fx.push(Effect::HangUp { link });
            self.end(State::Expired, fx);
            return Some(());
        };
        let read_only = response.read_only == Some(true);
        let resumed = self.global && response.session == self.session;
        if (read_only && !self.read_only) || (self.global && !resumed) {
            return None;
        }
        self.global |= !read_only;
        self.session = response.session;
        self.password = response.password.to_vec();
        self.ring.stood();
        let timeout = Duration::from_millis(timeout_ms.into());
        let proving = (0..self.identities.len()).collect();
        self.mode = Mode::Up(Up { link, timeout, heard: now, sent: now, proving, closing: false });
        fx.push(Effect::State(State::Connected {
            session: self.session,
            timeout_ms,
            resumed,
            read_only,
        }));
        self.introduce(link, fx);
        Some(())
    }

    /// Tells a new link of the identities and watches, ahead of all that waits.
    fn introduce(&mut self, link: LinkId, fx: &mut Effects) {
        let first = fx.put(|out| {
            self.identities.iter().for_each(|identity| put_auth(identity, out));
            self.watches.rearm(self.last_zxid, &self.chroot, |request| {
                put_request(XID_SET_WATCHES, request, out);
            });
        });
        if !first.is_empty() {
            fx.push(Effect::Send { link, bytes: first });
        }
    }

    fn on_notification(&mut self, zxid: Zxid, r: &mut Reader<'_>, fx: &mut Effects) -> Option<()> {
        let event = WatcherEvent::decode(r).ok()?;
        // A kind of a later server: there cannot be a watch for it.
        let Some(kind) = NoticeKind::from_wire(event.kind) else { return Some(()) };
        self.told_zxid = self.told_zxid.max(zxid);
        let path = self.chroot.inward(event.path);
        let watches = self.watches.fired(kind, path);
        fx.push(Effect::Notice(Notice { kind, path: path.to_vec(), zxid, watches }));
        Some(())
    }

    fn on_auth_reply(&mut self, header: &ReplyHeader, fx: &mut Effects) {
        let Mode::Up(up) = &mut self.mode else { return };
        let Some(at) = up.proving.pop_front() else { return };
        if header.err != 0 {
            let link = up.link;
            fx.push(Effect::HangUp { link });
            return self.end(State::AuthFailed, fx);
        }
        let identity = &mut self.identities[at];
        if !core::mem::replace(&mut identity.answered, true) {
            let (id, op, zxid) = (identity.id, OpCode::Auth, header.zxid);
            fx.push(Effect::Reply(Reply { id, op, zxid, err: 0, body: 0..0 }));
        }
    }

    fn on_reply(
        &mut self,
        header: &ReplyHeader,
        r: &mut Reader<'_>,
        fx: &mut Effects,
    ) -> Option<()> {
        if self.pending.front()?.xid != header.xid {
            return None;
        }
        let Pending { op, id, pledge, .. } = self.pending.pop_front()?;
        if header.zxid.0 > 0 {
            self.last_zxid = header.zxid;
        }
        let Some(id) = id else {
            let link = self.link()?;
            fx.push(Effect::HangUp { link });
            self.end(State::Closed, fx);
            return Some(());
        };
        match pledge {
            Pledge::Leaves(wish, path) => self.watches.left(id, wish, path, header.err),
            Pledge::Removes(kind, path) if header.err == 0 => {
                for (kind, watches) in self.watches.removed(kind, &path) {
                    let (path, zxid) = (path.clone(), Zxid(-1));
                    fx.push(Effect::Notice(Notice { kind, path, zxid, watches }));
                }
            }
            _ => {}
        }
        let body = if header.err == 0 { self.body(op, r, fx) } else { Ok(0..0) };
        let (err, body) = body.map_or_else(|err| (err, 0..0), |body| (header.err, body));
        fx.push(Effect::Reply(Reply { id, op, zxid: header.zxid, err, body }));
        Some(())
    }

    /// Puts a reply's body down with the user's paths.
    fn body(
        &self,
        op: OpCode,
        r: &mut Reader<'_>,
        fx: &mut Effects,
    ) -> Result<core::ops::Range<usize>, i32> {
        let bytes = r.rest();
        if self.chroot.is_none() {
            return Ok(fx.put(|out| out.extend_from_slice(bytes)));
        }
        let response = Response::decode(op, r).map_err(|_| ErrorCode::MarshallingError.code())?;
        Ok(fx.put(|out| self.chroot.response(op, response).encode(out)))
    }

    fn on_submit(&mut self, id: RequestId, request: &Request<'_>, fx: &mut Effects) {
        let op = request.op();
        assert!(
            !matches!(
                op,
                OpCode::Ping
                    | OpCode::Auth
                    | OpCode::SetWatches
                    | OpCode::SetWatches2
                    | OpCode::CloseSession
            ),
            "{op:?} is the client's own"
        );
        if let Some(err) = self.refusal() {
            return fx.fail(id, op, err);
        }
        let xid = self.take_xid();
        self.pending.push_back(Pending { xid, op, id: Some(id), pledge: Pledge::of(request) });
        let outgoing = &mut self.outgoing;
        self.chroot.request(request, |request| put_request(xid, request, outgoing));
    }

    fn on_auth(&mut self, id: RequestId, scheme: &[u8], auth: &[u8], fx: &mut Effects) {
        if let Some(err) = self.refusal() {
            return fx.fail(id, OpCode::Auth, err);
        }
        let (scheme, auth) = (scheme.to_vec(), auth.to_vec());
        let given = Given { id, scheme, auth, answered: false };
        if let Mode::Up(up) = &mut self.mode {
            up.proving.push_back(self.identities.len());
            put_auth(&given, &mut self.outgoing);
        }
        self.identities.push(given);
    }

    fn on_close(&mut self, fx: &mut Effects) {
        match &mut self.mode {
            Mode::Up(up) if !up.closing => {
                up.closing = true;
                let (xid, op, pledge) = (self.take_xid(), OpCode::CloseSession, Pledge::Nothing);
                self.pending.push_back(Pending { xid, op, id: None, pledge });
                put_request(xid, &Request::CloseSession, &mut self.outgoing);
            }
            Mode::Dialing { link, .. } | Mode::Greeting { link, .. } => {
                fx.push(Effect::HangUp { link: *link });
                self.end(State::Closed, fx);
            }
            Mode::Waiting { .. } => self.end(State::Closed, fx),
            Mode::Up(_) | Mode::Over(_) => {}
        }
    }

    /// Why no request is taken any more.
    fn refusal(&self) -> Option<ErrorCode> {
        match &self.mode {
            Mode::Over(State::AuthFailed) => Some(ErrorCode::AuthFailed),
            Mode::Over(_) | Mode::Up(Up { closing: true, .. }) => Some(ErrorCode::SessionExpired),
            _ => None,
        }
    }

    fn take_xid(&mut self) -> i32 {
        let xid = self.next_xid;
        self.next_xid = xid.checked_add(1).unwrap_or(1);
        xid
    }

    fn hang_up(&mut self, now: Instant, fx: &mut Effects) {
        if let Some(link) = self.link() {
            fx.push(Effect::HangUp { link });
            self.fall(now, fx);
        }
    }

    /// The link is gone, or never stood.
    fn fall(&mut self, now: Instant, fx: &mut Effects) {
        match &self.mode {
            Mode::Up(up) if up.closing => return self.end(State::Closed, fx),
            Mode::Up(_) => {
                fx.push(Effect::State(State::Disconnected));
                self.lose(ErrorCode::ConnectionLoss, fx);
            }
            _ => {
                if self.ring.fell() {
                    self.lose(ErrorCode::ConnectionLoss, fx);
                }
            }
        }
        self.mode = Mode::Waiting { until: now + self.ring.wait() };
    }

    /// Everything pending fails.
    fn lose(&mut self, err: ErrorCode, fx: &mut Effects) {
        self.outgoing.clear();
        for Pending { id, op, .. } in self.pending.drain(..) {
            if let Some(id) = id {
                fx.fail(id, op, err);
            }
        }
    }

    fn end(&mut self, state: State, fx: &mut Effects) {
        fx.push(Effect::State(state));
        let err = match state {
            State::Expired => ErrorCode::SessionExpired,
            State::AuthFailed => ErrorCode::AuthFailed,
            _ => ErrorCode::ConnectionLoss,
        };
        self.lose(err, fx);
        for identity in core::mem::take(&mut self.identities) {
            if !identity.answered {
                fx.fail(identity.id, OpCode::Auth, err);
            }
        }
        self.watches = Watches::default();
        self.mode = Mode::Over(state);
    }
}

fn put_request(xid: i32, request: &Request<'_>, out: &mut Vec<u8>) {
    let mark = begin_frame(out);
    RequestHeader { xid, op: request.op().code() }.encode(out);
    request.encode(out);
    end_frame(out, mark);
}

fn put_auth(identity: &Given, out: &mut Vec<u8>) {
    let (scheme, auth) = (identity.scheme.as_slice(), identity.auth.as_slice());
    put_request(XID_AUTH, &Request::Auth { kind: 0, scheme, auth }, out);
}
