// SPDX-License-Identifier: Apache-2.0
//! Runs a server until it is asked to stop: the steps from a configuration to an exit code.

pub mod background;
mod configure;
mod listen;
mod members;
mod signals;

use std::{
    cell::{Cell, RefCell},
    env,
    net::SocketAddr,
    path::{self, Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use background::Herald;
use menagerie_core::{
    config::{Metrics, Role, ServerConfig},
    event::Event,
    io::{Exit, Port},
    node::{self, Node},
    serve::Facts,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        oneshot,
    },
};

use crate::{
    driver::{self, Folders, Halted},
    limits,
    logs::{self, Out},
    metrics, version,
};

/// Why a server did not start, or stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    exit: Exit,
    /// The reason, and the way out.
    why: String,
}

/// How to serve.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `zoo.cfg`; without one the built-in configuration is served.
    pub config: Option<PathBuf>,
    /// In the background, with the log in this file.
    pub background: Option<PathBuf>,
}

/// Serves, and gives back the process's exit code.
pub fn run(options: &Options) -> u8 {
    let (herald, out) = match &options.background {
        None => (None, None),
        Some(out) => match background::enter(out) {
            Ok((herald, out)) => (Some(herald), Some(Arc::new(out))),
            Err(error) => {
                eprintln!("menagerie: cannot go to the background: {error}");
                return Exit::Unexpected.code();
            }
        },
    };
    let herald = Rc::new(RefCell::new(herald));
    let Err(Failure { exit, why }) = serve(options.config.as_deref(), out, &herald) else {
        return Exit::Clean.code();
    };
    eprintln!("menagerie: {why}");
    if let Some(herald) = herald.take() {
        herald.failed(&why);
    }
    exit.code()
}

/// Serves until the core halts; a halt that was asked for is no failure.
fn serve(
    file: Option<&Path>,
    out: Option<Arc<Out>>,
    herald: &Rc<RefCell<Option<Herald>>>,
) -> Result<(), Failure> {
    let config = configure::read(file)?;
    logs::start(out.clone());
    logs::end_at_panic();
    configure::log_notices(&config);
    let max_files = limits::raise_open_files();
    let stop = signals::handle(out).map_err(|error| unexpected("cannot hear signals", &error))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unexpected("cannot start the runtime", &error))?;
    let halted = runtime.block_on(drive(config, file, max_files, stop, herald))?;
    match halted.exit {
        Exit::Clean => {
            tracing::info!("stopped");
            Ok(())
        }
        exit => Err(Failure { exit, why: halted.why }),
    }
}

async fn drive(
    config: ServerConfig,
    file: Option<&Path>,
    max_files: Option<u64>,
    stop: oneshot::Receiver<()>,
    herald: &Rc<RefCell<Option<Herald>>>,
) -> Result<Halted, Failure> {
    let (open, ports) = unbounded_channel();
    let clients = open_to_clients(&config, &open).await?;
    let (ask, questions) = unbounded_channel();
    if let Metrics::Prometheus { listen: endpoint, .. } = &config.metrics {
        let listener = listen::metrics(endpoint).await?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!("figures for Prometheus are at http://{address}/metrics");
        }
        tokio::spawn(metrics::serve(listener, ask));
    }
    let ready = Rc::new(Ready {
        herald: herald.clone(),
        recovered: Cell::new(false),
        reachable: Cell::new(false),
    });
    let folders = Folders::new(config.data_dir.as_ref(), config.data_log_dir.as_ref());
    let setup = driver::Setup {
        folders,
        ports,
        peer_keep_alive: config.peers.tcp_keep_alive,
        limits: (&config.requests).into(),
        questions,
        tell: tell(clients, file.is_none(), ready.clone()),
        configure: members::keeper(file, config.clients.plain.clone()),
    };
    let unreachable = open_to_peers(&config, file, open, ready);
    let node = Node::new(node::Setup {
        hash_key: (random(), random()),
        seed: random(),
        facts: facts(&config, max_files),
        config: config.clone(),
    });
    // A server that the others cannot reach stops as if it was asked to, and says why.
    let mut failed = None;
    let stop = async {
        tokio::select! {
            Ok(()) = stop => {}
            failure = unreachable => failed = Some(failure),
        }
    };
    let halted = driver::run(node, setup, stop).await;
    failed.map_or(Ok(halted), Err)
}

/// Opens the client port, if there is to be one, and says where it is.
async fn open_to_clients(
    config: &ServerConfig,
    open: &UnboundedSender<(Port, TcpListener)>,
) -> Result<Option<SocketAddr>, Failure> {
    let Some(endpoint) = &config.clients.plain else { return Ok(None) };
    let listener = listen::clients(endpoint, &config.clients).await?;
    let address = listener.local_addr().ok();
    open.send((Port::Client, listener)).expect("the other end is held here");
    Ok(address)
}

/// Opens the ports for other servers, if there are any; ends only if that fails.
async fn open_to_peers(
    config: &ServerConfig,
    file: Option<&Path>,
    open: UnboundedSender<(Port, TcpListener)>,
    ready: Rc<Ready>,
) -> Failure {
    if let Role::Member(member) = &config.role {
        let list = config.peers.dynamic_config_file.as_deref().map(Path::new).or(file);
        let list = list.expect("the built-in configuration has no servers").display().to_string();
        if let Err(failure) = listen::peers(&list, member, &config.peers, &open).await {
            return failure;
        }
    }
    ready.reachable.set(true);
    ready.tell();
    // The channel stays open: an address may still be tried again.
    std::future::pending().await
}

/// What must be true before the launcher is told that the server serves.
struct Ready {
    herald: Rc<RefCell<Option<Herald>>>,
    /// The data directory was read.
    recovered: Cell<bool>,
    /// The ports for other servers are open, if there are to be any.
    reachable: Cell<bool>,
}

impl Ready {
    fn tell(&self) {
        if self.recovered.get()
            && self.reachable.get()
            && let Some(herald) = self.herald.take()
        {
            herald.serving();
        }
    }
}

/// Logs what the core tells; that it serves is also told to the launcher, and to whoever sits at
/// the terminal for the first time.
fn tell(clients: Option<SocketAddr>, built_in: bool, ready: Rc<Ready>) -> Box<dyn FnMut(&Event)> {
    Box::new(move |event| {
        logs::tell(event);
        if let Event::Recovered { .. } = event {
            if let Some(address) = clients {
                tracing::info!("clients connect to {address}");
                if built_in {
                    greet(address);
                }
            }
            ready.recovered.set(true);
            ready.tell();
        }
    })
}

/// Tells whoever sits at the terminal how to go on.
fn greet(address: SocketAddr) {
    let program = env::args().next().unwrap_or_else(|| "menagerie".into());
    println!(
        "Menagerie serves ZooKeeper clients on {address}. Try, in another terminal:\n  \
         {program} cli -server {address} ls /\n  \
         zkCli.sh -server {address}        (or any ZooKeeper client, such as kazoo:)\n  \
         python3 -c \"from kazoo.client import KazooClient as K; k = K('{address}'); k.start(); \
         print(k.get_children('/'))\"\n\
         Data is kept in ./menagerie-data; Ctrl-C stops."
    );
}

/// What people are told of the process.
fn facts(config: &ServerConfig, max_files: Option<u64>) -> Facts {
    let absolute = |folder: &str| {
        let folder = Path::new(folder).join("version-2");
        path::absolute(&folder).unwrap_or(folder).display().to_string()
    };
    Facts {
        version: version::full(),
        data_dir: absolute(&config.data_dir),
        data_log_dir: absolute(&config.data_log_dir),
        environment: environment(),
        max_files,
    }
}

/// What `envi` says, in Java's names; of a Java there is nothing to tell.
fn environment() -> Vec<(&'static str, &'static str)> {
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let folder = env::current_dir().ok().map(|folder| folder.display().to_string());
    let variable = |name| env::var(name).ok();
    let known = [
        ("host.name", host),
        ("java.version", Some("<NA>".into())),
        ("java.vendor", Some("Menagerie".into())),
        ("java.home", Some("<NA>".into())),
        ("java.class.path", Some("<NA>".into())),
        ("java.library.path", Some("<NA>".into())),
        ("java.io.tmpdir", Some(env::temp_dir().display().to_string())),
        ("java.compiler", Some("<NA>".into())),
        ("os.name", Some(env::consts::OS.into())),
        ("os.arch", Some(env::consts::ARCH.into())),
        ("os.version", nix::sys::utsname::uname().ok().map(|os| text(os.release()))),
        ("user.name", variable("USER")),
        ("user.home", variable("HOME")),
        ("user.dir", folder),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    // Said for as long as the process lives, so it may as well keep it.
    known.map(|(name, value)| (name, &*value.leak())).collect()
}

fn text(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

fn random() -> u64 {
    getrandom::u64().expect("the system gives random numbers")
}

fn unexpected(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure { exit: Exit::Unexpected, why: format!("{what}: {error}") }
}
