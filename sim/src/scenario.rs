// SPDX-License-Identifier: Apache-2.0
//! What a world is like, drawn from its seed: the server's configuration and knobs, the machine it
//! runs on, the network, the clients, and the climate of faults.

use menagerie_core::config::{ServerConfig, StaticConfig, Surroundings};

use crate::{
    disk,
    faults::Climate,
    net,
    oracle::Proof,
    rng::{Rng, Subsystem},
};

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

/// A world's nature.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The server's configuration.
    pub config: ServerConfig,
    /// How many clients there are.
    pub clients: usize,
    /// The session timeouts they ask for, in milliseconds.
    pub timeout_ms: u32,
    /// The mean pause of a client between two bursts of requests, in microseconds.
    pub think: u64,
    /// The most requests in one burst.
    pub burst: u64,
    /// How many names there are on each level of the tree: few make clients meet.
    pub names: u64,
    /// How links are.
    pub net: net::Pace,
    /// How the disk is.
    pub disk: disk::Pace,
    /// What goes wrong.
    pub climate: Climate,
    /// How long a turn takes before the next may begin, in microseconds.
    pub turn: u64,
    /// The most inputs in one turn.
    pub batch: usize,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(seed: u64) -> Scenario {
        let mut rng = Rng::stream(seed, Subsystem::Scenario, 0);
        let rng = &mut rng;
        let tick = *rng.pick(&[500, 1_000, 2_000]);
        let snap_count = *rng.pick(&[5, 40, 300, 100_000]);
        let one_folder = rng.one_in(2);
        let data_log = if one_folder { "" } else { "dataLogDir=/log\n" };
        let text = format!(
            "tickTime={tick}\ndataDir=/data\n{data_log}clientPort=2181\n\
             extendedTypesEnabled=true\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n"
        );
        let purge = if rng.one_in(2) { "autopurge.purgeInterval=1\n" } else { "" };
        let text = format!("{text}{purge}");
        let prealloc_kib = rng.pick(&["64", "1024", "65536"]).to_string();
        let flags = format!(
            "-Dzookeeper.snapCount={snap_count} -Dzookeeper.preAllocSize={prealloc_kib} \
             -Dznode.container.checkIntervalMs=3000 -Djute.maxbuffer=65536 \
             -Dzookeeper.extendedTypesEnabled=true"
        );
        let parsed = StaticConfig::parse("zoo.cfg", text.as_bytes(), &[("JVMFLAGS", &flags)]);
        let around = Surroundings::default();
        let config = parsed.and_then(|parsed| parsed.complete(&around)).expect("a right config");
        let burst = *rng.pick(&[1, 3, 12]);
        Scenario {
            config,
            clients: rng.between(2, 6) as usize,
            timeout_ms: tick * rng.between(2, 6) as u32,
            think: *rng.pick(&[60_000, 150_000, 250_000]) * (1 + burst / 2),
            burst,
            names: *rng.pick(&[2, 3, 5]),
            net: net::Pace {
                base: *rng.pick(&[40, 300, 5_000]),
                jitter: *rng.pick(&[20, 300, 8_000]),
                piece: *rng.pick(&[3, 40, 1_500, 64_000]),
            },
            disk: disk::Pace {
                touch: rng.between(5, 200),
                sync: *rng.pick(&[150, 1_500, 12_000]),
                slowdown: 1,
            },
            climate: Climate::draw(rng),
            turn: *rng.pick(&[5, 60, 300]),
            batch: *rng.pick(&[3, 10, 64]),
        }
    }
}
