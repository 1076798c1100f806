// SPDX-License-Identifier: Apache-2.0
//! What a world is like, drawn from its seed: the servers' configuration and knobs, the machines
//! they run on, the network, the clients.

use std::fmt::Write as _;

use menagerie_core::config::{EPOCH_LENGTH, Ensemble, PeerRole, Role, ServerConfig};

use serde::{Deserialize, Serialize};

use crate::{
    disk,
    files::{self, Files},
    net::{self, Place},
    oracle::Proof,
    rng::Rng,
    world::{SECOND, name},
};

/// Identities that clients prove, and what the server must make of them.
pub fn proofs() -> &'static [Proof] {
    static PROOFS: std::sync::OnceLock<Vec<Proof>> = std::sync::OnceLock::new();
    PROOFS.get_or_init(|| {
        let digest = |proof: &'static [u8], id: &[u8]| (proof, (b"digest".to_vec(), id.to_vec()));
        vec![
            digest(b"bob:secret", b"bob:fyVmFCwVbTJYrznoSu1koqYEYF0="),
            digest(b"eve:other", b"eve:EdwV5NjKeVoXuRpvkwO//SvEK2w="),
            (SUPER, (b"super".to_vec(), Vec::new())),
            digest(SUPER, SUPER_DIGEST.as_bytes()),
        ]
    })
}

/// How many of the proofs clients use; the others are the operator's.
pub const OF_CLIENTS: usize = 2;
/// What an operator proves, who may change the members where they may change.
pub const SUPER: &[u8] = b"super:secret";
/// The digest of that.
const SUPER_DIGEST: &str = "super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

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
    /// How many servers vote. Without this knob there is one server, alone.
    Voters(u32),
    /// How many more only observe.
    Observers(u32),
    /// Into how many groups the voters fall; 0 for a plain majority.
    Groups(u32),
    /// `initLimit`, in ticks.
    InitLimit(u32),
    /// `syncLimit`, in ticks.
    SyncLimit(u32),
    /// Proposals that a leader keeps in memory for learners, whatever is allowed elsewhere.
    DiffCache(u32),
    /// How far servers of odd number are from those of even number, in microseconds.
    Apart(u64),
    /// Whether, in the end, only a quorum is healthy and the others' faults last: a liveness run.
    Lasting(bool),
    /// The mean time until a server that died is started again, in microseconds.
    Down(u64),
    /// Transactions of one epoch at most.
    EpochLength(u32),
    /// By how much versions grow.
    VersionStep(i32),
    /// The mean time between two changes of the members, in microseconds. Without this knob they
    /// stay.
    Reconfigures(u64),
    /// How many more servers there are that the first configuration does not name.
    Joiners(u32),
}

/// A world's nature.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The servers' configurations.
    pub servers: Vec<ServerConfig>,
    /// The files that these were read from.
    pub files: Vec<Files>,
    /// How many servers the first configuration names; the others come later, if ever.
    pub founders: usize,
    /// [`Knob::Reconfigures`]; 0 for never.
    pub reconfigures: u64,
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
    /// [`Knob::Apart`].
    pub apart: u64,
    /// [`Knob::Lasting`].
    pub lasting: bool,
    /// [`Knob::Down`].
    pub down: u64,
}

/// A step by which the fifth update makes the version -1, which no client can ask for.
const WRAPS: i32 = 858_993_459;

/// The most servers of one world.
const MOST: u32 = 7;
/// How long an election link that lost one way holds an election up, in microseconds: the 12.8 s of
/// `core/src/election/links.rs`, and what it takes to have another one.
const SILENCE: u64 = 15_000_000;
/// In one of so many worlds a server stands alone.
const ALONE: u64 = 4;

/// The knobs of an ensemble of so many servers, or of as many as are drawn; none for a server
/// alone.
pub fn draw_ensemble(rng: &mut Rng, servers: Option<u32>) -> Vec<Knob> {
    let alone = rng.one_in(ALONE);
    let drawn = rng.weighted(&[0, 1, 1, 6, 1, 3, 0, 1]) as u32;
    let observers = if rng.one_in(4) { rng.between(1, 2) as u32 } else { 0 };
    if servers.map_or(alone, |servers| servers <= 1) {
        return Vec::new();
    }
    let observers = observers.min(servers.map_or(MOST - drawn, |all| all.saturating_sub(3)));
    let voters = servers.map_or(drawn, |all| all - observers);
    let tick = *rng.pick(&[200, 500, 1_000]);
    // A client that tries one server after the other needs time for each.
    let timeout = (tick * rng.between(3, 8) as u32).max((voters + observers) * 400);
    let epoch_length = *rng.pick(&[u32::MAX, u32::MAX, u32::MAX, 1_000]);
    vec![
        Knob::TickMs(tick),
        Knob::TimeoutMs(timeout),
        Knob::Voters(voters),
        Knob::Observers(observers),
        Knob::Groups(if voters >= 3 && rng.one_in(6) { 3 } else { 0 }),
        Knob::InitLimit(rng.between(4, 10) as u32),
        Knob::SyncLimit(rng.between(2, 5) as u32),
        Knob::DiffCache(*rng.pick(&[2, 10, 500])),
        Knob::SnapCount(*rng.pick(&[3, 10, 100, 100_000])),
        Knob::Apart(*rng.pick(&[0, 0, 3_000, 20_000])),
        // An epoch that ends by itself would be taken for one that nobody can lead.
        Knob::Lasting(epoch_length == u32::MAX && rng.one_in(4)),
        Knob::Down(*rng.pick(&[700_000, 700_000, 3_000_000, 8_000_000])),
        Knob::EpochLength(epoch_length),
    ]
}

/// In one of so many ensembles the members change.
const CHANGES: u64 = 4;

/// The knobs of an ensemble whose members change, in some of the ensembles with these knobs; of so
/// many servers, or of a few more than these.
pub fn draw_changes(rng: &mut Rng, nature: &[Knob], servers: Option<u32>) -> Vec<Knob> {
    let changes = rng.one_in(CHANGES);
    let more = rng.between(1, 3) as u32;
    let every = *rng.pick(&[2_000_000, 5_000_000, 12_000_000]);
    let scenario = Scenario::of(nature);
    let founders = scenario.servers.len() as u32;
    if !changes || scenario.first().is_none() {
        return Vec::new();
    }
    let joiners = if servers.is_some() { 0 } else { more.min(MOST - founders) };
    // A client that tries one server after the other needs time for each.
    let timeout = scenario.timeout_ms.max((founders + joiners) * 400);
    vec![Knob::Reconfigures(every), Knob::Joiners(joiners), Knob::TimeoutMs(timeout)]
}

/// The nature of the world of a seed.
pub fn draw(rng: &mut Rng) -> Vec<Knob> {
    let tick = *rng.pick(&[500, 1_000, 2_000]);
    let burst = *rng.pick(&[1, 3, 12]);
    let clients = rng.between(2, 6);
    // Together they want so many operations a second, and the mean burst is half of the longest.
    let wanted = *rng.pick(&[34, 38, 48]);
    let think = clients * (1 + burst) * SECOND / 2 / wanted;
    vec![
        Knob::TickMs(tick),
        Knob::SnapCount(*rng.pick(&[5, 40, 300, 100_000])),
        Knob::OneFolder(rng.one_in(2)),
        Knob::Purge(rng.one_in(2)),
        Knob::PreallocKib(*rng.pick(&[64, 1_024, 65_536])),
        Knob::Clients(clients as u32),
        Knob::TimeoutMs(tick * rng.between(2, 6) as u32),
        Knob::Think(think),
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
        Knob::VersionStep(*rng.pick(&[1, 1, 1, 1, 1, WRAPS])),
    ]
}

impl Scenario {
    /// The scenario that knobs describe.
    pub fn of(knobs: &[Knob]) -> Scenario {
        let mut server = Server::default();
        let mut scenario = Scenario {
            servers: Vec::new(),
            files: Vec::new(),
            founders: 0,
            reconfigures: 0,
            clients: 2,
            timeout_ms: 4_000,
            think: 150_000,
            burst: 1,
            names: 3,
            net: net::Pace { base: 300, jitter: 300, piece: 1_500 },
            disk: disk::Pace { touch: 50, sync: 1_500, slowdown: 1 },
            turn: 60,
            batch: 10,
            apart: 0,
            lasting: false,
            down: 700_000,
        };
        for knob in knobs {
            match *knob {
                Knob::TickMs(ms) => server.tick_ms = ms,
                Knob::SnapCount(n) => server.snap_count = n,
                Knob::OneFolder(one) => server.one_folder = one,
                Knob::Purge(purge) => server.purge = purge,
                Knob::PreallocKib(kib) => server.prealloc_kib = kib,
                Knob::EnforceQuota(enforce) => server.enforce_quota = enforce,
                Knob::Voters(n) => server.voters = n,
                Knob::Observers(n) => server.observers = n,
                Knob::Groups(n) => server.groups = n,
                Knob::InitLimit(ticks) => server.init_limit = ticks,
                Knob::SyncLimit(ticks) => server.sync_limit = ticks,
                Knob::DiffCache(n) => server.diff_cache = n,
                Knob::Apart(micros) => scenario.apart = micros,
                Knob::Lasting(lasting) => scenario.lasting = lasting,
                Knob::Down(micros) => scenario.down = micros,
                Knob::EpochLength(n) => server.epoch_length = n,
                Knob::VersionStep(n) => server.version_step = n,
                Knob::Reconfigures(micros) => {
                    server.reconfigures = micros > 0;
                    scenario.reconfigures = micros;
                }
                Knob::Joiners(n) => server.joiners = n,
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
        scenario.founders = server.founders() as usize;
        scenario.files = (0..server.count()).map(|number| server.files(number)).collect();
        scenario.servers = scenario.files.iter().map(Files::read).collect();
        scenario
    }

    /// A tick, in milliseconds.
    pub fn tick_ms(&self) -> u64 {
        u64::from(self.servers[0].tick_time_ms)
    }

    /// How long an election may take that comes because an epoch's numbers are used up, in
    /// microseconds; 0 if none comes. Links that lost one way stay so for ever, and nobody notices
    /// at an election link before there is an election: it is given up after [`SILENCE`].
    pub fn elects_for(&self) -> u64 {
        match &self.servers[0].role {
            Role::Member(member) if self.servers[0].storage.epoch_length < EPOCH_LENGTH => {
                SILENCE + u64::from(member.init_limit.get()) * self.tick_ms() * 1_000
            }
            _ => 0,
        }
    }

    /// How much farther than on one network two machines are from each other, in microseconds.
    pub fn distance(&self, from: Place, to: Place) -> u64 {
        let odd = |place| match place {
            Place::Server(n) | Place::Client(n) => n % 2 == 1,
            Place::Elsewhere => false,
        };
        if odd(from) == odd(to) { 0 } else { self.apart }
    }

    /// Who belongs to an ensemble at first.
    pub fn first(&self) -> Option<&Ensemble> {
        match &self.servers[0].role {
            Role::Standalone { .. } => None,
            Role::Member(member) => Some(&member.ensemble),
        }
    }

    /// Whether the members may change.
    pub fn changes(&self) -> bool {
        self.reconfigures > 0
    }
}

/// What of a nature goes into the servers' configurations.
struct Server {
    voters: u32,
    observers: u32,
    groups: u32,
    init_limit: u32,
    sync_limit: u32,
    diff_cache: u32,
    epoch_length: u32,
    version_step: i32,
    tick_ms: u32,
    snap_count: u32,
    one_folder: bool,
    purge: bool,
    prealloc_kib: u32,
    enforce_quota: bool,
    reconfigures: bool,
    joiners: u32,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            voters: 0,
            observers: 0,
            groups: 0,
            init_limit: 10,
            sync_limit: 5,
            diff_cache: 500,
            epoch_length: u32::MAX,
            version_step: 1,
            tick_ms: 2_000,
            snap_count: 100_000,
            one_folder: true,
            purge: false,
            prealloc_kib: 64,
            enforce_quota: false,
            reconfigures: false,
            joiners: 0,
        }
    }
}

impl Server {
    fn founders(&self) -> u32 {
        (self.voters + self.observers).max(1)
    }

    fn count(&self) -> u32 {
        self.founders() + self.joiners
    }

    /// The lines of an ensemble; none for a server alone.
    fn ensemble(&self) -> String {
        if self.voters == 0 {
            return String::new();
        }
        let (init, sync) = (self.init_limit, self.sync_limit);
        let members = self.members();
        format!("initLimit={init}\nsyncLimit={sync}\nstandaloneEnabled=false\n{members}")
    }

    /// Who belongs to it at first.
    fn members(&self) -> String {
        let mut text = String::new();
        for number in 0..self.founders() {
            let observes = number >= self.voters;
            let role = if observes { PeerRole::Observer } else { PeerRole::Participant };
            let (id, host, word) = (number + 1, name(number as usize), role.name());
            if self.reconfigures {
                writeln!(text, "{}", files::line(i64::from(id), role))
            } else {
                writeln!(text, "server.{id}={host}:2888:3888:{word}")
            }
            .expect("a string takes all");
        }
        for group in 0..self.groups {
            let members = (group..self.voters).step_by(self.groups as usize);
            let members: Vec<String> = members.map(|number| (number + 1).to_string()).collect();
            writeln!(text, "group.{}={}", group + 1, members.join(":"))
                .expect("a string takes all");
        }
        text
    }

    /// A server's configuration, as a user would write it.
    fn files(&self, number: u32) -> Files {
        let data_log = if self.one_folder { "" } else { "dataLogDir=/log\n" };
        let purge = if self.purge { "autopurge.purgeInterval=1\n" } else { "" };
        let reconfig = if self.reconfigures { "reconfigEnabled=true\n" } else { "" };
        let text = format!(
            "tickTime={}\ndataDir=/data\n{data_log}clientPort=2181\nenforceQuota={}\n\
             extendedTypesEnabled=true\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n\
             {purge}{reconfig}{}",
            self.tick_ms,
            self.enforce_quota,
            self.ensemble()
        );
        let digest = "-Dzookeeper.DigestAuthenticationProvider.superDigest=";
        let operator =
            if self.reconfigures { format!(" {digest}{SUPER_DIGEST}") } else { String::new() };
        let flags = format!(
            "-Dzookeeper.snapCount={} -Dzookeeper.preAllocSize={} \
             -Dznode.container.checkIntervalMs=3000 -Djute.maxbuffer=65536 \
             -Dzookeeper.extendedTypesEnabled=true{operator}",
            self.snap_count, self.prealloc_kib
        );
        let mut files = Files {
            text,
            flags,
            id: i64::from(number + 1),
            dynamic: None,
            diff_cache: self.diff_cache,
            epoch_length: self.epoch_length,
            version_step: self.version_step,
        };
        if number >= self.founders() {
            let first = Ensemble::from_text(self.members().as_bytes()).expect("a right list");
            files.introduce(&first, PeerRole::Observer);
        }
        files
    }
}
