// SPDX-License-Identifier: Apache-2.0
//! The user's paths and the server's: a chroot stands before every path on the wire.

use alloc::vec::Vec;

use crate::proto::{Create, OpCode, OpResult, Request, Response, SetWatches};

/// The path that all of a user's paths are below; empty for none.
#[derive(Clone, Debug, Default)]
pub(super) struct Chroot(Vec<u8>);

impl Chroot {
    pub(super) fn new(path: &[u8]) -> Chroot {
        Chroot(path.to_vec())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The server's name of a user's path. What is no path stays none.
    pub(super) fn outward(&self, path: &[u8]) -> Vec<u8> {
        let tail = if path == b"/" && !self.is_none() { b"" } else { path };
        [&self.0, tail].concat()
    }

    /// The user's name of a server's path.
    pub(super) fn inward<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        match path.strip_prefix(self.0.as_slice()) {
            Some(b"") if !self.is_none() => b"/",
            Some(rest) if rest.starts_with(b"/") => rest,
            _ => path,
        }
    }

    /// Gives `send` the request with the server's paths.
    pub(super) fn request<T>(
        &self,
        request: &Request<'_>,
        send: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        if self.is_none() {
            return send(request);
        }
        let mut outward = Vec::new();
        with_paths(request, &mut |path| {
            outward.push(self.outward(path));
            path
        });
        let mut paths = outward.iter();
        send(&with_paths(request, &mut |_| paths.next().expect("the same paths again")))
    }

    /// The response to `op` with the user's paths.
    pub(super) fn response<'a>(&self, op: OpCode, response: Response<'a>) -> Response<'a> {
        match response {
            Response::Names(paths) if op == OpCode::GetEphemerals => {
                Response::Names(paths.into_iter().map(|path| self.inward(path)).collect())
            }
            Response::Path(path) => Response::Path(self.inward(path)),
            Response::Created { path, stat } => Response::Created { path: self.inward(path), stat },
            Response::Multi(results) => {
                Response::Multi(results.into_iter().map(|result| self.result(result)).collect())
            }
            other => other,
        }
    }

    fn result<'a>(&self, result: OpResult<'a>) -> OpResult<'a> {
        match result {
            OpResult::Create { path } => OpResult::Create { path: self.inward(path) },
            OpResult::Created { path, stat } => OpResult::Created { path: self.inward(path), stat },
            other => other,
        }
    }
}

/// The request with every path replaced by what `map` makes of it, in order.
fn with_paths<'a>(request: &Request<'a>, map: &mut dyn FnMut(&'a [u8]) -> &'a [u8]) -> Request<'a> {
    let mut again = request.clone();
    replace_paths(&mut again, map);
    again
}

fn replace_paths<'a>(request: &mut Request<'a>, map: &mut dyn FnMut(&'a [u8]) -> &'a [u8]) {
    match request {
        Request::Create(Create { path, .. })
        | Request::Delete { path, .. }
        | Request::Exists { path, .. }
        | Request::GetData { path, .. }
        | Request::SetData { path, .. }
        | Request::GetAcl { path }
        | Request::SetAcl { path, .. }
        | Request::GetChildren { path, .. }
        | Request::GetChildren2 { path, .. }
        | Request::Sync { path }
        | Request::Check { path, .. }
        | Request::CheckWatches { path, .. }
        | Request::RemoveWatches { path, .. }
        | Request::DeleteContainer { path }
        | Request::GetAllChildrenNumber { path }
        | Request::GetEphemerals { prefix: path }
        | Request::AddWatch { path, .. } => *path = map(path),
        Request::Multi(ops) | Request::MultiRead(ops) => {
            ops.iter_mut().for_each(|op| replace_paths(op, map));
        }
        Request::SetWatches(watches) | Request::SetWatches2(watches) => {
            let SetWatches { relative_zxid: _, data, exist, child, persistent, recursive } =
                watches;
            for list in [data, exist, child, persistent, recursive] {
                list.iter_mut().for_each(|path| *path = map(path));
            }
        }
        Request::Ping
        | Request::Reconfig { .. }
        | Request::Auth { .. }
        | Request::Sasl { .. }
        | Request::WhoAmI
        | Request::CloseSession => {}
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::proto::Stat;

    #[test]
    fn paths_go_out_below_the_chroot_and_come_back() {
        let chroot = Chroot::new(b"/app");
        for (user, server) in [("/", "/app"), ("/x", "/app/x"), ("/app", "/app/app")] {
            assert_eq!(chroot.outward(user.as_bytes()), server.as_bytes());
            assert_eq!(chroot.inward(server.as_bytes()), user.as_bytes());
        }
        assert_eq!(chroot.inward(b"/apple"), b"/apple", "beside the chroot, not below it");
        let none = Chroot::default();
        assert_eq!(none.outward(b"/"), b"/");
        assert_eq!(none.inward(b"/x"), b"/x");
    }

    #[test]
    fn every_path_of_a_multi_moves() {
        let chroot = Chroot::new(b"/app");
        let ops = |a, b| {
            Request::Multi(vec![
                Request::Delete { path: a, version: 1 },
                Request::Check { path: b, version: 2 },
            ])
        };
        chroot.request(&ops(b"/", b"/b"), |sent| assert_eq!(*sent, ops(b"/app", b"/app/b")));
        let stat = Stat::default();
        let results = |a, b| {
            let created = OpResult::Created { path: b, stat };
            Response::Multi(vec![OpResult::Create { path: a }, OpResult::Delete, created])
        };
        assert_eq!(
            chroot.response(OpCode::Multi, results(b"/app", b"/app/b")),
            results(b"/", b"/b")
        );
    }
}
