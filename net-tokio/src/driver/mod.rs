// SPDX-License-Identifier: Apache-2.0
//! The driver: a core on real sockets, files and clocks, and nothing that decides anything.
//!
//! One thread runs the core and all sockets, because a hop between threads costs more than a
//! request does. Whoever has input for the core hands it in and asks for a flush, which comes when
//! all sockets that were ready have been read: so a turn is as large as the load makes it. File
//! lanes run on the runtime's pool of blocking threads.

mod files;
mod links;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use menagerie_core::{
    event::{Event, Level},
    id::{AskId, LinkId},
    io::{ConfigFile, Effect, Effects, Exit, Input, Port, Question},
    node::{FrameLimits, Node},
    time::{Instant, Now},
    zoo::Sound,
};
use tokio::{
    net::TcpListener,
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, unbounded_channel},
        oneshot,
    },
    task::{LocalSet, spawn_local},
    time::{Instant as TokioInstant, sleep_until},
};

pub use files::Folders;
pub(crate) use files::{Completion, Files};
use links::{Call, Link};

/// The driver's own question, which is answered by a halt.
const STOP: AskId = AskId(0);

/// How a core ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// The exit code.
    pub exit: Exit,
    /// The reason, for people.
    pub why: String,
}

/// A core's answer to an operator: text, or why not.
pub type Answer = Result<String, String>;

/// A question for the core, and where its answer goes.
pub type Asked = (Question, oneshot::Sender<Answer>);

/// What the driver needs besides the core.
pub struct Setup {
    /// Where the files are.
    pub folders: Folders,
    /// This server's ports as they are opened, and what is spoken there.
    pub ports: UnboundedReceiver<(Port, TcpListener)>,
    /// Whether the system watches over links between servers (`tcpKeepAlive`).
    pub peer_keep_alive: bool,
    /// How many bytes a frame may have.
    pub limits: FrameLimits,
    /// Questions of operators, from other tasks.
    pub questions: UnboundedReceiver<Asked>,
    /// Takes what the core has to tell.
    pub tell: Box<dyn FnMut(&Event)>,
    /// Writes files of the configuration.
    pub configure: Box<dyn FnMut(&ConfigFile)>,
}

/// Runs a core until it halts. `stop` asks it to, cleanly.
pub async fn run(node: Node<Sound>, setup: Setup, stop: impl Future<Output = ()>) -> Halted {
    let (done, completions) = unbounded_channel();
    let driver = Rc::new(Driver {
        core: RefCell::new(Core {
            node,
            fx: Effects::new(),
            files: Files::new(setup.folders, done),
            tell: setup.tell,
            configure: setup.configure,
            dirty: Vec::new(),
        }),
        links: RefCell::default(),
        newest_link: Cell::new(0),
        asked: RefCell::default(),
        newest_ask: Cell::new(STOP.0),
        limits: setup.limits,
        peer_keep_alive: setup.peer_keep_alive,
        origin: std::time::Instant::now(),
        flush_wanted: Cell::new(false),
        flush: Notify::new(),
        armed: Cell::new(None),
        rearm: Notify::new(),
        halted: Cell::new(None),
        halt: Notify::new(),
    });
    let local = LocalSet::new();
    local
        .run_until(async {
            spawn_local(flush_when_wanted(driver.clone()));
            spawn_local(watch_the_clock(driver.clone()));
            spawn_local(complete_files(driver.clone(), completions));
            spawn_local(accept_as_opened(driver.clone(), setup.ports));
            spawn_local(hear_questions(driver.clone(), setup.questions));
            driver.input(driver.now(), Input::Time);
            driver.want_flush();
            tokio::pin!(stop);
            tokio::select! {
                () = driver.halt.notified() => {}
                () = &mut stop => {
                    let stop = Input::Ask { ask: STOP, question: Question::Stop };
                    driver.input(driver.now(), stop);
                    driver.want_flush();
                    driver.halt.notified().await;
                }
            }
            driver.halted.take().expect("a halt says why")
        })
        .await
}

/// The shared state of all tasks of the one thread. No borrow is held across an await.
struct Driver {
    core: RefCell<Core>,
    links: RefCell<HashMap<LinkId, Rc<Link>>>,
    newest_link: Cell<u64>,
    /// Who waits for an answer.
    asked: RefCell<HashMap<AskId, oneshot::Sender<Answer>>>,
    newest_ask: Cell<u64>,
    limits: FrameLimits,
    peer_keep_alive: bool,
    origin: std::time::Instant,
    flush_wanted: Cell<bool>,
    flush: Notify,
    /// When the clock's task will wake.
    armed: Cell<Option<Instant>>,
    rearm: Notify,
    halted: Cell<Option<Halted>>,
    halt: Notify,
}

struct Core {
    node: Node<Sound>,
    fx: Effects,
    files: Files,
    tell: Box<dyn FnMut(&Event)>,
    configure: Box<dyn FnMut(&ConfigFile)>,
    /// Links with bytes to write, reused.
    dirty: Vec<Rc<Link>>,
}

impl Driver {
    fn now(&self) -> Now {
        let micros = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ms = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        Now { mono: Instant { micros }, wall_ms }
    }

    /// Hands one input to the core. A flush must follow.
    fn input(&self, now: Now, input: Input<'_>) {
        let core = &mut *self.core.borrow_mut();
        core.node.handle(now, input, &mut core.fx);
    }

    /// Asks for the end of the turn, after whatever else is ready now.
    fn want_flush(&self) {
        if !self.flush_wanted.replace(true) {
            self.flush.notify_one();
        }
    }

    /// Ends the turn and does what the core wants done.
    fn end_turn(self: &Rc<Self>) {
        self.flush_wanted.set(false);
        let now = self.now();
        let mut core = self.core.borrow_mut();
        let core = &mut *core;
        core.node.flush(now, &mut core.fx);
        self.execute(core);
        // What can be answered already waits for no file.
        self.write_out(now, core);
        core.files.submit();
        self.arm(now, core);
    }

    fn execute(self: &Rc<Self>, core: &mut Core) {
        let links = self.links.borrow();
        let (list, sent) = core.fx.drain();
        for effect in list {
            match effect {
                Effect::Send { link, bytes } => {
                    if let Some(link) = links.get(&link)
                        && link.queue(&sent[bytes])
                    {
                        core.dirty.push(link.clone());
                    }
                }
                Effect::Dial { dial, port, host, number, timeout: limit } => {
                    let call = Call { dial, port, host, number, limit };
                    spawn_local(links::dial(self.clone(), call));
                }
                Effect::HangUp { link } => {
                    links.get(&link).inspect(|link| link.close());
                }
                Effect::Pause { link } => {
                    links.get(&link).inspect(|link| link.pause(true));
                }
                Effect::Resume { link } => {
                    links.get(&link).inspect(|link| link.pause(false));
                }
                Effect::File { lane, op, what } => core.files.order(lane, op, what),
                Effect::Answer { ask, answer } => {
                    if let Some(asker) = self.asked.borrow_mut().remove(&ask) {
                        // Whoever asked may have gone meanwhile.
                        let _ = asker.send(answer);
                    }
                }
                Effect::Configure(file) => (core.configure)(&file),
                Effect::Event(event) => (core.tell)(&event),
                Effect::Halt { exit, why } => {
                    self.halted.set(Some(Halted { exit, why }));
                    self.halt.notify_one();
                }
            }
        }
        core.fx.clear();
    }

    /// Writes what was sent, as far as the sockets take it now.
    fn write_out(&self, now: Now, core: &mut Core) {
        for link in core.dirty.drain(..) {
            let bytes = link.write_out();
            if bytes > 0 {
                core.node.handle(now, Input::Drained { link: link.id, bytes }, &mut core.fx);
            }
        }
        if !core.fx.list().is_empty() {
            self.want_flush();
        }
    }

    /// Sees to it that the core is called when its earliest timer is due.
    fn arm(&self, now: Now, core: &mut Core) {
        match core.node.poll_timeout() {
            Some(due) if due <= now.mono => {
                core.node.handle(now, Input::Time, &mut core.fx);
                self.want_flush();
            }
            due => {
                if self.armed.replace(due) != due {
                    self.rearm.notify_one();
                }
            }
        }
    }
}

async fn flush_when_wanted(driver: Rc<Driver>) {
    loop {
        driver.flush.notified().await;
        driver.end_turn();
    }
}

/// Wakes the core when its earliest timer is due, by the clock and not by the sleep's word.
async fn watch_the_clock(driver: Rc<Driver>) {
    loop {
        let Some(due) = driver.armed.get() else {
            driver.rearm.notified().await;
            continue;
        };
        let at = TokioInstant::from_std(driver.origin + Duration::from_micros(due.micros));
        tokio::select! {
            () = sleep_until(at) => {
                driver.armed.set(None);
                driver.input(driver.now(), Input::Time);
                driver.want_flush();
            }
            () = driver.rearm.notified() => {}
        }
    }
}

async fn complete_files(driver: Rc<Driver>, mut done: UnboundedReceiver<Vec<Completion>>) {
    while let Some(batch) = done.recv().await {
        let now = driver.now();
        for (op, result) in batch {
            let result = result.as_ref().map(files::Output::lend).map_err(Clone::clone);
            driver.input(now, Input::File { op, result });
        }
        driver.want_flush();
    }
}

async fn accept_as_opened(driver: Rc<Driver>, mut ports: UnboundedReceiver<(Port, TcpListener)>) {
    while let Some((port, listener)) = ports.recv().await {
        spawn_local(accept(driver.clone(), port, listener));
    }
}

/// Accepts links for as long as the core runs. Running out of descriptors is waited out.
async fn accept(driver: Rc<Driver>, port: Port, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => links::start(&driver, stream, peer, port, None),
            Err(error) => {
                driver.complain(format!("cannot accept a connection: {error}; trying again"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Hands operators' questions to the core.
async fn hear_questions(driver: Rc<Driver>, mut questions: UnboundedReceiver<Asked>) {
    while let Some((question, asker)) = questions.recv().await {
        let ask = AskId(driver.newest_ask.get() + 1);
        driver.newest_ask.set(ask.0);
        driver.asked.borrow_mut().insert(ask, asker);
        driver.input(driver.now(), Input::Ask { ask, question });
        driver.want_flush();
    }
}

impl Driver {
    fn complain(&self, text: String) {
        let event = Event::Note { level: Level::Warn, text };
        (self.core.borrow_mut().tell)(&event);
    }
}
