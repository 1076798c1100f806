// SPDX-License-Identifier: Apache-2.0
//! How a session is to be opened.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use menagerie_core::{
    client::{Config, ConnectString},
    id::SessionId,
};

use super::{Client, Error, shared::Shared};

/// How a session is to be opened.
#[derive(Clone, Debug)]
pub struct Options {
    timeout: Duration,
    read_only: bool,
    max_frame: Option<usize>,
    resume: Option<(SessionId, Vec<u8>)>,
}

impl Default for Options {
    /// A session timeout of 10 seconds, and no read-only servers.
    fn default() -> Options {
        let timeout = Duration::from_secs(10);
        Options { timeout, read_only: false, max_frame: None, resume: None }
    }
}

impl Options {
    /// The session timeout to ask for; the server has its own limits.
    pub fn timeout(mut self, timeout: Duration) -> Options {
        self.timeout = timeout;
        self
    }

    /// Takes a server that is cut off from its ensemble and only reads.
    pub fn read_only(mut self, read_only: bool) -> Options {
        self.read_only = read_only;
        self
    }

    /// The longest reply taken, in bytes; 4 MiB unless told.
    pub fn max_frame(mut self, bytes: usize) -> Options {
        self.max_frame = Some(bytes);
        self
    }

    /// Takes over the session of another client.
    pub fn resume(mut self, session: SessionId, password: Vec<u8>) -> Options {
        self.resume = Some((session, password));
        self
    }

    /// Opens a session and waits for a server to take it, for the session timeout at most.
    pub async fn connect(self, connect: &str) -> Result<Client, Error> {
        let patience = self.timeout;
        let client = self.start(connect)?;
        client.connected(patience).await?;
        Ok(client)
    }

    /// Opens a session without waiting: requests wait for a server instead.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self, connect: &str) -> Result<Client, Error> {
        let connect: ConnectString = connect.parse()?;
        let timeout_ms = u32::try_from(self.timeout.as_millis()).unwrap_or(u32::MAX);
        // The seed only spreads clients over hosts and moments.
        let seed = RandomState::new().hash_one(0);
        let mut config = Config::new(connect, timeout_ms, seed);
        config.read_only = self.read_only;
        config.max_frame = self.max_frame.unwrap_or(config.max_frame);
        config.resume = self.resume;
        Ok(Client::start(Arc::new(Shared::new(config))))
    }
}
