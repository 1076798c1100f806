// SPDX-License-Identifier: Apache-2.0
//! What a world is like, drawn from its seed: the server's configuration and knobs, the machine it
//! runs on, the network, the clients.

use menagerie_core::config::{ServerConfig, StaticConfig, Surroundings};

use serde::{Deserialize, Serialize};

use crate::{disk, net, oracle::Proof, rng::Rng};

/// Identities that clients prove, and what the server must make of them.
pub fn proofs() -> &'static [Proof] {
    static PROOFS: std::sync::OnceLock<Vec<Proof>> = std::sync::OnceLock::new();
    PROOFS.get_or_init(|| {
        let digest = |proof: &'static [u8], id: &[u8]| (proof, (b"digest".to_vec(), id.to_vec()));
        vec![
            digest(b"bob:secret", b"bob:fyVmFCwVbTJYrznoSu1koqYEYF0="),
            digest(b"eve:other", b"eve:EdwV5NjKeVoXuRpvkwO//SvEK2w="),
        ]
    })
}

/// One property of a world, as traces save it: variants are only appended, and what an older trace
/// does not name is as it was before the knob was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Knob {
    /// `tickTime`, in milliseconds.
    TickMs(u32),
    /// Transactions between two snapshots.
    SnapCount(u32),
    /// Whether log and snapshots share a folder.
    OneFolder(bool),
    /// Whether old files are purged.
    Purge(bool),
    /// KiB that a log is preallocated by.
    PreallocKib(u32),
    /// How many clients there are.
    Clients(u32),
    /// The session timeouts they ask for, in milliseconds.
    TimeoutMs(u32),
    /// The mean pause of a client between two bursts of requests, in microseconds.
    Think(u64),
    /// The most requests in one burst.
    Burst(u64),
    /// How many names there are on each level of the tree: few make clients meet.
    Names(u64),
    /// The least delay of a link, in microseconds.
    NetBase(u64),
    /// The mean of what comes on top, in microseconds.
    NetJitter(u64),
    /// The most bytes in one piece on a link.
    NetPiece(u32),
    /// The mean time of a file operation, in microseconds.
    DiskTouch(u64),
    /// The mean time of a sync, in microseconds.
    DiskSync(u64),
    /// How long a turn of the server takes before the next may begin, in microseconds.
    Turn(u64),
    /// The most inputs in one turn.
    Batch(u32),
    /// Whether hard quotas refuse; not, before this knob.
    EnforceQuota(bool),
}

/// A world's nature.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The server's configuration.
    pub config: ServerConfig,
    /// How many clients there are.
    pub clients: usize,
    /// [`Knob::TimeoutMs`].
    pub timeout_ms: u32,
    /// [`Knob::Think`].
    pub think: u64,
    /// [`Knob::Burst`].
    pub burst: u64,
    /// [`Knob::Names`].
    pub names: u64,
    /// How links are.
    pub net: net::Pace,
    /// How the disk is.
    pub disk: disk::Pace,
    /// [`Knob::Turn`].
    pub turn: u64,
    /// [`Knob::Batch`].
    pub batch: usize,
}

/// The nature of the world of a seed.
pub fn draw(rng: &mut Rng) -> Vec<Knob> {
    let tick = *rng.pick(&[500, 1_000, 2_000]);
    let burst = *rng.pick(&[1, 3, 12]);
    vec![
        Knob::TickMs(tick),
        Knob::SnapCount(*rng.pick(&[5, 40, 300, 100_000])),
        Knob::OneFolder(rng.one_in(2)),
        Knob::Purge(rng.one_in(2)),
        Knob::PreallocKib(*rng.pick(&[64, 1_024, 65_536])),
        Knob::Clients(rng.between(2, 6) as u32),
        Knob::TimeoutMs(tick * rng.between(2, 6) as u32),
        Knob::Think(*rng.pick(&[60_000, 150_000, 250_000]) * (1 + burst / 2)),
        Knob::Burst(burst),
        Knob::Names(*rng.pick(&[2, 3, 5])),
        Knob::NetBase(*rng.pick(&[40, 300, 5_000])),
        Knob::NetJitter(*rng.pick(&[20, 300, 8_000])),
        Knob::NetPiece(*rng.pick(&[3, 40, 1_500, 64_000])),
        Knob::DiskTouch(rng.between(5, 200)),
        Knob::DiskSync(*rng.pick(&[150, 1_500, 12_000])),
        Knob::Turn(*rng.pick(&[5, 60, 300])),
        Knob::Batch(*rng.pick(&[3, 10, 64])),
        Knob::EnforceQuota(rng.one_in(2)),
    ]
}

impl Scenario {
    /// The scenario that knobs describe.
    pub fn of(knobs: &[Knob]) -> Scenario {
        let mut server = Server::default();
        let mut scenario = Scenario {
            config: server.config(),
            clients: 2,
            timeout_ms: 4_000,
            think: 150_000,
            burst: 1,
            names: 3,
            net: net::Pace { base: 300, jitter: 300, piece: 1_500 },
            disk: disk::Pace { touch: 50, sync: 1_500, slowdown: 1 },
            turn: 60,
            batch: 10,
        };
        for knob in knobs {
            match *knob {
                Knob::TickMs(ms) => server.tick_ms = ms,
                Knob::SnapCount(n) => server.snap_count = n,
                Knob::OneFolder(one) => server.one_folder = one,
                Knob::Purge(purge) => server.purge = purge,
                Knob::PreallocKib(kib) => server.prealloc_kib = kib,
                Knob::EnforceQuota(enforce) => server.enforce_quota = enforce,
                Knob::Clients(n) => scenario.clients = n as usize,
                Knob::TimeoutMs(ms) => scenario.timeout_ms = ms,
                Knob::Think(micros) => scenario.think = micros,
                Knob::Burst(n) => scenario.burst = n,
                Knob::Names(n) => scenario.names = n,
                Knob::NetBase(micros) => scenario.net.base = micros,
                Knob::NetJitter(micros) => scenario.net.jitter = micros,
                Knob::NetPiece(bytes) => scenario.net.piece = bytes as usize,
                Knob::DiskTouch(micros) => scenario.disk.touch = micros,
                Knob::DiskSync(micros) => scenario.disk.sync = micros,
                Knob::Turn(micros) => scenario.turn = micros,
                Knob::Batch(n) => scenario.batch = n as usize,
            }
        }
        scenario.config = server.config();
        scenario
    }
}

/// What of a nature goes into the server's configuration.
struct Server {
    tick_ms: u32,
    snap_count: u32,
    one_folder: bool,
    purge: bool,
    prealloc_kib: u32,
    enforce_quota: bool,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            tick_ms: 2_000,
            snap_count: 100_000,
            one_folder: true,
            purge: false,
            prealloc_kib: 64,
            enforce_quota: false,
        }
    }
}

impl Server {
    /// The configuration, by way of its text, as a user would say it.
    fn config(&self) -> ServerConfig {
        let data_log = if self.one_folder { "" } else { "dataLogDir=/log\n" };
        let purge = if self.purge { "autopurge.purgeInterval=1\n" } else { "" };
        let text = format!(
            "tickTime={}\ndataDir=/data\n{data_log}clientPort=2181\nenforceQuota={}\n\
             extendedTypesEnabled=true\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n{purge}",
            self.tick_ms, self.enforce_quota
        );
        let flags = format!(
            "-Dzookeeper.snapCount={} -Dzookeeper.preAllocSize={} \
             -Dznode.container.checkIntervalMs=3000 -Djute.maxbuffer=65536 \
             -Dzookeeper.extendedTypesEnabled=true",
            self.snap_count, self.prealloc_kib
        );
        let parsed = StaticConfig::parse("zoo.cfg", text.as_bytes(), &[("JVMFLAGS", &flags)]);
        let around = Surroundings::default();
        parsed.and_then(|parsed| parsed.complete(&around)).expect("a right config")
    }
}
