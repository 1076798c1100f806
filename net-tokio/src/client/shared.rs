// SPDX-License-Identifier: Apache-2.0
//! What the handles of a client share with its task: the machine, and who waits for what.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use menagerie_core::{
    client::{self, Config, Effect, Effects, Input, Reply, RequestId, State},
    id::SessionId,
    proto::{ErrorCode, OpCode, Request},
    time::Instant,
};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

use super::{
    text,
    watch::{Event, Events, Notice},
};

/// How many events a slow listener may be behind.
const EVENTS: usize = 1024;

/// What became of a request.
pub(super) struct Answer {
    pub(super) op: OpCode,
    pub(super) err: i32,
    pub(super) body: Vec<u8>,
}

/// Where a watch's notices go, and whether one is all there is.
type Ear = (mpsc::UnboundedSender<Notice>, bool);

pub(super) struct Shared {
    pub(super) state: watch::Sender<State>,
    /// Tells the task that the machine has something to send.
    pub(super) wake: Notify,
    origin: tokio::time::Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    machine: client::Client,
    fx: Effects,
    next: u64,
    waiting: HashMap<RequestId, oneshot::Sender<Answer>>,
    ears: HashMap<RequestId, Ear>,
    events: broadcast::Sender<Event>,
    trouble: Option<String>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Shared {
        let inner = Inner {
            machine: client::Client::new(config),
            fx: Effects::new(),
            next: 0,
            waiting: HashMap::new(),
            ears: HashMap::new(),
            events: broadcast::Sender::new(EVENTS),
            trouble: None,
        };
        Shared {
            state: watch::Sender::new(State::Disconnected),
            wake: Notify::new(),
            origin: tokio::time::Instant::now(),
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding it")
    }

    fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant { micros: u64::try_from(micros).expect("younger than half a million years") }
    }

    pub(super) fn session(&self) -> (SessionId, Vec<u8>) {
        let inner = self.lock();
        let (session, password) = inner.machine.session();
        (session, password.to_vec())
    }

    pub(super) fn events(&self) -> Events {
        Events { heard: self.lock().events.subscribe() }
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    pub(super) fn set_trouble(&self, trouble: String) {
        self.lock().trouble = Some(trouble);
    }

    /// Hands a request to the machine; the answer comes in the order of these calls.
    pub(super) fn submit(
        &self,
        request: &Request<'_>,
        ear: Option<Ear>,
    ) -> (RequestId, impl Future<Output = Answer> + use<>) {
        let op = request.op();
        let (id, answer) = self.ask(ear, |id| Input::Submit { id, request });
        (id, or_lost(answer, op))
    }

    pub(super) fn auth(&self, scheme: &str, proof: &[u8]) -> impl Future<Output = Answer> + use<> {
        let scheme = scheme.as_bytes();
        let (_, answer) = self.ask(None, |id| Input::Auth { id, scheme, auth: proof });
        or_lost(answer, OpCode::Auth)
    }

    fn ask<'a>(
        &self,
        ear: Option<Ear>,
        input: impl FnOnce(RequestId) -> Input<'a>,
    ) -> (RequestId, oneshot::Receiver<Answer>) {
        let (tell, answer) = oneshot::channel();
        let mut inner = self.lock();
        let id = RequestId(inner.next);
        inner.next += 1;
        inner.waiting.insert(id, tell);
        if let Some(ear) = ear {
            inner.ears.insert(id, ear);
        }
        self.put_in(inner, input(id));
        (id, answer)
    }

    pub(super) fn forget(&self, watch: RequestId, path: &str) {
        let mut inner = self.lock();
        inner.ears.remove(&watch);
        self.put_in(inner, Input::Forget { watch, path: path.as_bytes() });
    }

    pub(super) fn close(&self) {
        self.put_in(self.lock(), Input::Close);
    }

    /// Gives the machine an input of the user's. The task does what comes of it; once the session
    /// is over there is no task, and nothing to do outside.
    fn put_in(&self, mut inner: MutexGuard<'_, Inner>, input: Input<'_>) {
        let Inner { machine, fx, .. } = &mut *inner;
        machine.handle(self.now(), input, fx);
        if machine.poll_timeout().is_none() {
            self.settle(&mut inner, |_, _| {});
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// One turn of the machine; what is to be done outside is done by `carry_out`. Gives how long
    /// the next turn can wait; `None` when the session is over.
    pub(super) fn turn(
        &self,
        input: Option<Input<'_>>,
        carry_out: impl FnMut(&Effect, &[u8]),
    ) -> Option<Duration> {
        let now = self.now();
        let mut inner = self.lock();
        let Inner { machine, fx, .. } = &mut *inner;
        if let Some(input) = input {
            machine.handle(now, input, fx);
        }
        machine.flush(now, fx);
        self.settle(&mut inner, carry_out);
        inner.machine.poll_timeout().map(|due| due.since(now))
    }

    fn settle(&self, inner: &mut Inner, mut carry_out: impl FnMut(&Effect, &[u8])) {
        for effect in inner.fx.take_list() {
            match effect {
                Effect::State(state) => {
                    self.state.send_replace(state);
                    inner.on_state(state);
                }
                Effect::Notice(notice) => inner.on_notice(notice),
                Effect::Reply(reply) => inner.on_reply(&reply),
                other => carry_out(&other, inner.fx.bytes()),
            }
        }
        inner.fx.clear();
    }
}

impl Inner {
    fn on_state(&mut self, state: State) {
        // Nobody may be listening.
        let _ = self.events.send(Event::State(state));
        if state.is_final() {
            self.ears.clear();
        }
    }

    fn on_notice(&mut self, notice: client::Notice) {
        let client::Notice { kind, path, zxid, watches } = notice;
        let notice = Notice { kind, path: text(&path), zxid };
        let removed = matches!(
            kind,
            client::NoticeKind::DataWatchRemoved
                | client::NoticeKind::ChildWatchRemoved
                | client::NoticeKind::PersistentWatchRemoved
        );
        for id in watches {
            let Some((ear, once)) = self.ears.get(&id) else { continue };
            // A watch that nobody listens to any more is about to be forgotten.
            let _ = ear.send(notice.clone());
            if *once || removed {
                self.ears.remove(&id);
            }
        }
        let _ = self.events.send(Event::Notice(notice));
    }

    fn on_reply(&mut self, reply: &Reply) {
        if let Some(tell) = self.waiting.remove(&reply.id) {
            let body = self.fx.bytes()[reply.body.clone()].to_vec();
            // The caller may have lost interest.
            let _ = tell.send(Answer { op: reply.op, err: reply.err, body });
        }
    }
}

/// The answer, or a lost connection if the task was ended before it came.
async fn or_lost(answer: oneshot::Receiver<Answer>, op: OpCode) -> Answer {
    let lost = |_| Answer { op, err: ErrorCode::ConnectionLoss.code(), body: Vec::new() };
    answer.await.unwrap_or_else(lost)
}
