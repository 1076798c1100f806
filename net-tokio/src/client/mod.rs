// SPDX-License-Identifier: Apache-2.0
//! An async client of Menagerie, and of any ZooKeeper.
//!
//! ```no_run
//! # async fn example() -> Result<(), menagerie_net_tokio::client::Error> {
//! use menagerie_net_tokio::client::{Client, Create};
//!
//! let zk = Client::connect("localhost:2181/app").await?;
//! let path = zk.create("/jobs-", b"hello", &Create::ephemeral().sequential()).await?;
//! let (node, mut watch) = zk.get_and_watch(&path).await?;
//! println!("{path} holds {} bytes", node.bytes().len());
//! if let Some(notice) = watch.next().await {
//!     println!("{:?} {}", notice.kind, notice.path);
//! }
//! zk.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is a handle: clone it freely. Requests of all its clones travel in one pipeline, in
//! the order in which they were first polled, and are answered in that order. Reconnecting, moving
//! the session to another server and leaving watches again is done behind the scenes, by the
//! machine in `menagerie_core::client`; what it promises is written there. When the last handle is
//! dropped the session is closed.

mod error;
mod multi;
mod options;
mod shared;
mod task;
#[cfg(test)]
mod tests;
mod types;
mod watch;

use std::{sync::Arc, time::Duration};

pub use error::Error;
pub use menagerie_core::{
    client::{NoticeKind, State},
    id::{SessionId, Zxid},
    proto::{ErrorCode, Stat, perms},
};
use menagerie_core::{
    jute::Reader,
    proto::{CreateKind, Request, Response},
};
pub use multi::{Outcome, Transaction};
pub use options::Options;
pub use types::{Acl, Create, Node, Reconfig};
pub use watch::{Event, Events, Notice, RemoveWatches, Watch, WatchMode};

use self::shared::{Answer, Shared};

/// A session with a ZooKeeper service.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Closes the session when the last [`Client`] is gone.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Client {
    /// Opens a session: `host:port,host:port/chroot`. Waits until a server has taken it.
    pub async fn connect(connect: &str) -> Result<Client, Error> {
        Options::default().connect(connect).await
    }

    fn start(shared: Arc<Shared>) -> Client {
        tokio::spawn(task::run(shared.clone()));
        Client { handle: Arc::new(Handle { shared }) }
    }

    /// Where the session stands.
    pub fn state(&self) -> State {
        *self.shared().state.borrow()
    }

    /// Waits until a server serves the session, or it is over.
    pub async fn connected(&self, patience: Duration) -> Result<(), Error> {
        let mut states = self.shared().state.subscribe();
        let stands = |state: &State| matches!(state, State::Connected { .. }) || state.is_final();
        let waited = tokio::time::timeout(patience, states.wait_for(stands)).await;
        match waited.map(|state| state.map(|state| *state)) {
            Ok(Ok(State::Connected { .. })) => Ok(()),
            Ok(Ok(State::AuthFailed)) => Err(Error::of(ErrorCode::AuthFailed.code(), "")),
            Ok(_) => Err(Error::of(ErrorCode::SessionExpired.code(), "")),
            Err(_) => {
                Err(Error::NotConnected { waited: patience, trouble: self.shared().trouble() })
            }
        }
    }

    /// The session and its password, with which another client can take it over.
    pub fn session(&self) -> (SessionId, Vec<u8>) {
        self.shared().session()
    }

    /// Everything that happens to the session and its watches from now on.
    pub fn events(&self) -> Events {
        self.shared().events()
    }

    /// Closes the session behind everything submitted: its ephemeral znodes go.
    pub async fn close(&self) {
        let mut states = self.shared().state.subscribe();
        self.shared().close();
        // The sender lives as long as this handle.
        let _ = states.wait_for(|state| state.is_final()).await;
    }

    /// A znode's data and Stat.
    pub async fn get(&self, path: &str) -> Result<Node, Error> {
        let request = Request::GetData { path: path.as_bytes(), watch: false };
        self.call(&request, path).await?.node(path)
    }

    /// A znode's data and Stat, and a watch for its next change.
    pub async fn get_and_watch(&self, path: &str) -> Result<(Node, Watch), Error> {
        let request = Request::GetData { path: path.as_bytes(), watch: true };
        let (answer, watch) = self.call_and_watch(&request, path, true).await?;
        Ok((answer.node(path)?, watch))
    }

    /// A znode's Stat, if it exists.
    pub async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        let request = Request::Exists { path: path.as_bytes(), watch: false };
        absent_is_none(self.call(&request, path).await.and_then(|answer| answer.stat(path)))
    }

    /// A znode's Stat, if it exists, and a watch for its creation or next change.
    pub async fn exists_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let request = Request::Exists { path: path.as_bytes(), watch: true };
        let (answer, watch) = self.submit_and_watch(&request, path, true);
        let answer = answer.await;
        let stat = absent_is_none(answer.check(path).and_then(|answer| answer.stat(path)))?;
        Ok((stat, watch))
    }

    /// The names of a znode's children, sorted.
    pub async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        Ok(self.children_and_stat(path).await?.0)
    }

    /// The names of a znode's children, sorted, and its own Stat.
    pub async fn children_and_stat(&self, path: &str) -> Result<(Vec<String>, Stat), Error> {
        let request = Request::GetChildren2 { path: path.as_bytes(), watch: false };
        self.call(&request, path).await?.children(path)
    }

    /// The names of a znode's children, sorted, its own Stat, and a watch for the next change
    /// among them.
    pub async fn children_and_watch(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, Stat, Watch), Error> {
        let request = Request::GetChildren2 { path: path.as_bytes(), watch: true };
        let (answer, watch) = self.call_and_watch(&request, path, true).await?;
        let (names, stat) = answer.children(path)?;
        Ok((names, stat, watch))
    }

    /// How many znodes are below a znode.
    pub async fn count_descendants(&self, path: &str) -> Result<u32, Error> {
        let request = Request::GetAllChildrenNumber { path: path.as_bytes() };
        self.call(&request, path).await?.read(path, |response| match response {
            Response::Number(number) => u32::try_from(number).ok(),
            _ => None,
        })
    }

    /// Creates a znode; gives its path, which differs from the one asked for if sequential.
    pub async fn create(
        &self,
        path: &str,
        data: impl Into<Data<'_>>,
        how: &Create,
    ) -> Result<String, Error> {
        let request = Request::Create(how.request(path, data.into().0, CreateKind::Create));
        self.call(&request, path).await?.read(path, |response| match response {
            Response::Path(path) | Response::Created { path, .. } => Some(text(path)),
            _ => None,
        })
    }

    /// Replaces a znode's data, if it still has the given version.
    pub async fn set(
        &self,
        path: &str,
        data: impl Into<Data<'_>>,
        version: Option<i32>,
    ) -> Result<Stat, Error> {
        let (data, version) = (data.into().0, version.unwrap_or(-1));
        let request = Request::SetData { path: path.as_bytes(), data, version };
        self.call(&request, path).await?.stat(path)
    }

    /// Changes who belongs to the ensemble, if its configuration still has the given version; gives
    /// the new configuration. Needs `reconfigEnabled`, and the permission to write
    /// `/zookeeper/config`.
    pub async fn reconfigure(
        &self,
        change: Reconfig<'_>,
        version: Option<u64>,
    ) -> Result<Node, Error> {
        let (joining, leaving, members) = match change {
            Reconfig::Change { joining, leaving } => (joining, leaving, None),
            Reconfig::Replace { members } => (None, None, Some(members)),
        };
        let [joining, leaving, members] =
            [joining, leaving, members].map(|text| text.map(str::as_bytes));
        let from_config = version.map_or(-1, u64::cast_signed);
        let request = Request::Reconfig { joining, leaving, members, from_config };
        self.call(&request, "").await?.node("")
    }

    /// Deletes a znode without children, if it still has the given version.
    pub async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        let version = version.unwrap_or(-1);
        let request = Request::Delete { path: path.as_bytes(), version };
        self.call(&request, path).await.map(drop)
    }

    /// A znode's access list and Stat.
    pub async fn acl(&self, path: &str) -> Result<(Vec<Acl>, Stat), Error> {
        let request = Request::GetAcl { path: path.as_bytes() };
        self.call(&request, path).await?.read(path, |response| match response {
            Response::Acl { acl, stat } => {
                let acl = acl.unwrap_or_default().iter().map(Acl::from_wire).collect();
                Some((acl, stat))
            }
            _ => None,
        })
    }

    /// Replaces a znode's access list, if that still has the given version.
    pub async fn set_acl(
        &self,
        path: &str,
        acl: &[Acl],
        version: Option<i32>,
    ) -> Result<Stat, Error> {
        let acl = Some(acl.iter().map(Acl::to_wire).collect());
        let version = version.unwrap_or(-1);
        let request = Request::SetAcl { path: path.as_bytes(), acl, version };
        self.call(&request, path).await?.stat(path)
    }

    /// Waits until this session's server has seen every write that was done before.
    pub async fn sync(&self, path: &str) -> Result<(), Error> {
        self.call(&Request::Sync { path: path.as_bytes() }, path).await.map(drop)
    }

    /// Proves an identity, on this connection and every later one.
    ///
    /// A refused proof ends the session, as everywhere in ZooKeeper.
    pub async fn auth(&self, scheme: &str, proof: &[u8]) -> Result<(), Error> {
        self.shared().auth(scheme, proof).await.check("").map(drop)
    }

    /// The identities of this connection: scheme and name.
    pub async fn who_am_i(&self) -> Result<Vec<(String, String)>, Error> {
        self.call(&Request::WhoAmI, "").await?.read("", |response| match response {
            Response::Identities(who) => {
                Some(who.iter().map(|who| (text(who.scheme), text(who.id))).collect())
            }
            _ => None,
        })
    }

    /// The session's ephemeral znodes whose paths begin so, sorted.
    pub async fn ephemerals(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let request = Request::GetEphemerals { prefix: prefix.as_bytes() };
        self.call(&request, prefix).await?.read(prefix, |response| match response {
            Response::Names(paths) => Some(sorted(&paths)),
            _ => None,
        })
    }

    /// Leaves a watch that stays: for one znode, or for it and all below it.
    pub async fn watch(&self, path: &str, mode: WatchMode) -> Result<Watch, Error> {
        let request = Request::AddWatch { path: path.as_bytes(), mode: mode.number() };
        Ok(self.call_and_watch(&request, path, false).await?.1)
    }

    /// Removes all of this client's watches of a kind from a znode. Fails with `NoWatcher` if
    /// there is none.
    pub async fn remove_watches(&self, path: &str, kind: RemoveWatches) -> Result<(), Error> {
        let request = Request::RemoveWatches { path: path.as_bytes(), kind: kind.number() };
        self.call(&request, path).await.map(drop)
    }

    /// Does all of a transaction's writes or none of them.
    pub async fn multi(&self, transaction: &Transaction) -> Result<Vec<Outcome>, Error> {
        let answer = self.call(&transaction.request(), "").await?;
        let results = answer.read("", |response| match response {
            Response::Multi(results) => Some(results.iter().map(Outcome::of).collect::<Vec<_>>()),
            _ => None,
        })?;
        let mut outcomes = Vec::with_capacity(results.len());
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(outcome) => outcomes.push(outcome),
                // The operations before the one that failed carry no error of their own.
                Err(0) => {}
                Err(code) => return Err(Error::of_multi(index, code)),
            }
        }
        Ok(outcomes)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    async fn call(&self, request: &Request<'_>, path: &str) -> Result<Answer, Error> {
        self.shared().submit(request, None).1.await.check(path)
    }

    async fn call_and_watch(
        &self,
        request: &Request<'_>,
        path: &str,
        once: bool,
    ) -> Result<(Answer, Watch), Error> {
        let (answer, watch) = self.submit_and_watch(request, path, once);
        Ok((answer.await.check(path)?, watch))
    }

    fn submit_and_watch(
        &self,
        request: &Request<'_>,
        path: &str,
        once: bool,
    ) -> (impl Future<Output = Answer> + use<>, Watch) {
        let (notices, heard) = tokio::sync::mpsc::unbounded_channel();
        let (id, answer) = self.shared().submit(request, Some((notices, once)));
        (answer, Watch::new(heard, id, path, self.shared()))
    }
}

/// Data to write: bytes, text, or null, which ZooKeeper tells apart from nothing.
pub struct Data<'a>(Option<&'a [u8]>);

impl Data<'_> {
    /// No data at all.
    pub const NULL: Data<'static> = Data(None);
}

impl<'a> From<&'a [u8]> for Data<'a> {
    fn from(bytes: &'a [u8]) -> Data<'a> {
        Data(Some(bytes))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Data<'a> {
    fn from(bytes: &'a [u8; N]) -> Data<'a> {
        Data(Some(bytes))
    }
}

impl<'a> From<&'a Vec<u8>> for Data<'a> {
    fn from(bytes: &'a Vec<u8>) -> Data<'a> {
        Data(Some(bytes))
    }
}

impl<'a> From<&'a str> for Data<'a> {
    fn from(text: &'a str) -> Data<'a> {
        Data(Some(text.as_bytes()))
    }
}

impl<'a> From<Option<&'a [u8]>> for Data<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Data<'a> {
        Data(bytes)
    }
}

impl Answer {
    /// The answer, unless it is an error.
    fn check(self, path: &str) -> Result<Answer, Error> {
        if self.err == 0 { Ok(self) } else { Err(Error::of(self.err, path)) }
    }

    /// What `pick` finds in the response.
    fn read<T>(
        &self,
        path: &str,
        pick: impl FnOnce(Response<'_>) -> Option<T>,
    ) -> Result<T, Error> {
        let response = Response::decode(self.op, &mut Reader::new(&self.body)).ok();
        let malformed = || Error::of(ErrorCode::MarshallingError.code(), path);
        response.and_then(pick).ok_or_else(malformed)
    }

    fn stat(&self, path: &str) -> Result<Stat, Error> {
        self.read(path, |response| match response {
            Response::Stat(stat) => Some(stat),
            _ => None,
        })
    }

    fn node(&self, path: &str) -> Result<Node, Error> {
        self.read(path, |response| match response {
            Response::Data { data, stat } => Some(Node { data: data.map(<[u8]>::to_vec), stat }),
            _ => None,
        })
    }

    fn children(&self, path: &str) -> Result<(Vec<String>, Stat), Error> {
        self.read(path, |response| match response {
            Response::Children { names, stat } => Some((sorted(&names), stat)),
            _ => None,
        })
    }
}

fn absent_is_none(stat: Result<Stat, Error>) -> Result<Option<Stat>, Error> {
    match stat {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

fn sorted(names: &[&[u8]]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| text(name)).collect();
    names.sort_unstable();
    names
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
