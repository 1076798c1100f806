// SPDX-License-Identifier: Apache-2.0
//! What clients ask for: every operation, on few names, so that they meet; mostly sensible, now
//! and then what must fail.

use menagerie_core::{
    jute::Reader,
    proto::{Acl, Create, CreateKind, Identity, Request, perms},
};

use crate::{
    rng::Rng,
    trace::{Act, Wish},
};

impl Wish {
    /// A request.
    pub fn of(request: &Request<'_>) -> Wish {
        let mut body = Vec::new();
        request.encode(&mut body);
        Wish { op: request.op().code(), body }
    }

    /// The request, if it still is one.
    pub fn request(&self) -> Option<Request<'_>> {
        Request::decode(self.op, &mut Reader::new(&self.body)).ok()
    }
}

/// The requests that wishes of our own hold.
fn requests(wishes: &[Wish]) -> Vec<Request<'_>> {
    wishes.iter().map(|wish| wish.request().expect("a request of our own")).collect()
}

/// The taste of one client.
#[derive(Clone, Debug)]
pub struct Workload {
    rng: Rng,
    names: u64,
    /// Weights of the kinds of requests, drawn once: some clients never do some things.
    weights: Vec<u32>,
}

const KINDS: usize = 21;

impl Workload {
    /// A client's taste.
    pub fn new(mut rng: Rng, names: u64) -> Workload {
        let usual: [u32; KINDS] = [16, 8, 8, 4, 3, 10, 8, 8, 6, 3, 3, 8, 2, 3, 3, 2, 2, 3, 2, 1, 2];
        let draw = |usual: &u32| if rng.one_in(5) { 0 } else { usual * (1 + rng.below(3) as u32) };
        let mut weights: Vec<u32> = usual.iter().map(draw).collect();
        weights[0] += 1;
        Workload { rng, names, weights }
    }

    /// From here on, chance is another one; the taste stays.
    pub fn reseed(&mut self, rng: Rng) {
        self.rng = rng;
    }

    /// The time until the client acts again, in microseconds.
    pub fn pause(&mut self, think: u64) -> u64 {
        1 + self.rng.wait(think)
    }

    /// What the client does next.
    pub fn act(&mut self, burst: u64) -> Act {
        if self.rng.one_in(400) {
            return Act::Close;
        }
        if self.rng.one_in(60) {
            return Act::Prove;
        }
        let burst = self.rng.between(1, burst);
        Act::Ask((0..burst).map(|_| self.wish()).collect())
    }

    /// The next request.
    pub fn wish(&mut self) -> Wish {
        let path = self.path();
        let path = path.as_slice();
        let watch = self.rng.one_in(3);
        match self.rng.weighted(&self.weights) {
            0 if self.rng.one_in(12) => self.odd_create(path),
            0 => self.create(path),
            1 => Wish::of(&Request::Delete { path, version: self.version() }),
            2 => {
                let data = self.data();
                let version = self.version();
                Wish::of(&Request::SetData { path, data: data.as_deref(), version })
            }
            3 => {
                let version = self.version();
                Wish::of(&Request::SetAcl { path, acl: self.acl(), version })
            }
            4 => Wish::of(&Request::GetAcl { path }),
            5 => Wish::of(&Request::GetData { path, watch }),
            6 => Wish::of(&Request::Exists { path, watch }),
            7 => Wish::of(&Request::GetChildren { path, watch }),
            8 => Wish::of(&Request::GetChildren2 { path, watch }),
            9 => Wish::of(&Request::Sync { path }),
            10 => Wish::of(&Request::GetAllChildrenNumber { path }),
            11 => self.multi(),
            12 => self.multi_read(),
            13 => Wish::of(&Request::AddWatch { path, mode: self.rng.below(2) as i32 }),
            14 => {
                let kind = self.rng.between(1, 5) as i32;
                Wish::of(&Request::RemoveWatches { path, kind })
            }
            15 => {
                let kind = self.rng.between(1, 5) as i32;
                Wish::of(&Request::CheckWatches { path, kind })
            }
            16 => {
                let whole: &[u8] = if self.rng.one_in(2) { b"/" } else { path };
                Wish::of(&Request::GetEphemerals { prefix: whole })
            }
            17 => self.emptier(path),
            18 => Wish::of(&Request::WhoAmI),
            19 => self.quota(),
            _ => Wish::of(&Request::Reconfig {
                joining: None,
                leaving: Some(b"1"),
                members: None,
                from_config: -1,
            }),
        }
    }

    /// A delete of something that an emptied container may hang on.
    fn emptier(&mut self, path: &[u8]) -> Wish {
        let below = [path, b"/n0"].concat();
        Wish::of(&Request::Delete { path: &below, version: -1 })
    }

    fn create(&mut self, path: &[u8]) -> Wish {
        let data = self.data();
        let acl = if self.rng.one_in(6) { self.acl() } else { Some(vec![Acl::OPEN]) };
        let (kind, flags) = match self.rng.below(11) {
            0..=3 => (CreateKind::Create, 0),
            4 => (CreateKind::Create2, 0),
            5 => (CreateKind::Create, 1),
            6 => (CreateKind::Create2, 3),
            7 => (CreateKind::Create, 2),
            8 => (CreateKind::Container, 4),
            9 => (CreateKind::Ttl { ttl: self.rng.between(500, 5_000) as i64 }, 5),
            _ => (CreateKind::Ttl { ttl: 900 }, 6),
        };
        Wish::of(&Request::Create(Create { kind, path, data: data.as_deref(), acl, flags }))
    }

    /// A creation whose mode does not fit its operation.
    fn odd_create(&mut self, path: &[u8]) -> Wish {
        let (acl, flags) = (Some(vec![Acl::OPEN]), *self.rng.pick(&[5, 6, 7, -1]));
        Wish::of(&Request::Create(Create {
            kind: CreateKind::Create,
            path,
            data: None,
            acl,
            flags,
        }))
    }

    fn multi(&mut self) -> Wish {
        let n = self.rng.between(1, 5);
        let wishes: Vec<Wish> = (0..n).map(|_| self.part()).collect();
        Wish::of(&Request::Multi(requests(&wishes)))
    }

    fn part(&mut self) -> Wish {
        let path = self.path();
        let path = path.as_slice();
        match self.rng.below(8) {
            0..=3 => self.create(path),
            4 => Wish::of(&Request::Delete { path, version: self.version() }),
            5 => {
                let version = self.version();
                Wish::of(&Request::SetData { path, data: Some(b"multi"), version })
            }
            _ => Wish::of(&Request::Check { path, version: self.version() }),
        }
    }

    fn multi_read(&mut self) -> Wish {
        let paths: Vec<Vec<u8>> = (0..self.rng.between(1, 4)).map(|_| self.path()).collect();
        let read = |(n, path): (usize, &Vec<u8>)| {
            let children = Request::GetChildren { path, watch: false };
            if n % 2 == 0 {
                Wish::of(&Request::GetData { path, watch: false })
            } else {
                Wish::of(&children)
            }
        };
        let wishes: Vec<Wish> = paths.iter().enumerate().map(read).collect();
        Wish::of(&Request::MultiRead(requests(&wishes)))
    }

    /// Sets a quota on a znode at the top, takes it away, or looks at it. Limits and usage come and
    /// go together, and quotas do not nest: otherwise usage is counted anew at each start.
    fn quota(&mut self) -> Wish {
        let place = format!("/zookeeper/quota/n{}", self.rng.below(self.names));
        let limits_path = format!("{place}/zookeeper_limits");
        let usage_path = format!("{place}/zookeeper_stats");
        let (count, bytes) = (self.rng.below(9), self.rng.below(200));
        let limits = if self.rng.one_in(3) {
            format!("count={count},bytes={bytes}")
        } else {
            format!("count=-1,bytes=-1=;byteHardLimit={bytes};countHardLimit={count}")
        };
        let make = |path, data| {
            let (kind, acl) = (CreateKind::Create, Some(vec![Acl::OPEN]));
            Request::Create(Create { kind, path, data: Some(data), acl, flags: 0 })
        };
        let (limits_path, usage_path) = (limits_path.as_bytes(), usage_path.as_bytes());
        let (data, version) = (limits.as_bytes(), -1);
        Wish::of(&match self.rng.below(8) {
            0..=2 => make(place.as_bytes(), b""),
            3..=4 => Request::Multi(vec![make(limits_path, data), make(usage_path, b"")]),
            5 => Request::SetData { path: limits_path, data: Some(data), version },
            6 => Request::Multi(vec![
                Request::Delete { path: usage_path, version },
                Request::Delete { path: limits_path, version },
            ]),
            _ => Request::GetData { path: usage_path, watch: false },
        })
    }

    fn path(&mut self) -> Vec<u8> {
        if self.rng.one_in(40) {
            let odd: [&[u8]; 7] = [
                b"/",
                b"",
                b"/a//b",
                b"relative",
                b"/n0/..",
                b"/zookeeper/config",
                b"/\xe9\xa0\x80",
            ];
            return self.rng.pick(&odd).to_vec();
        }
        let mut path = Vec::new();
        for _ in 0..self.rng.weighted(&[0, 5, 4, 2]) {
            path.extend_from_slice(format!("/n{}", self.rng.below(self.names)).as_bytes());
        }
        path
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        match self.rng.below(12) {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(vec![b'x'; self.rng.below(3_000) as usize]),
            _ => Some(self.rng.bits().to_string().into_bytes()),
        }
    }

    fn version(&mut self) -> i32 {
        if self.rng.one_in(3) { self.rng.below(4) as i32 } else { -1 }
    }

    fn acl(&mut self) -> Option<Vec<Acl<'static>>> {
        let entry = |perms, scheme: &'static [u8], id: &'static [u8]| Acl {
            perms,
            who: Identity { scheme, id },
        };
        let open = Acl::OPEN;
        match self.rng.below(9) {
            0 => Some(vec![entry(perms::ALL, b"auth", b"")]),
            1 => Some(vec![
                entry(perms::ALL, b"ip", b"10.0.0.1"),
                Acl { perms: perms::READ, ..open },
            ]),
            2 => Some(vec![Acl { perms: perms::ALL & !perms::DELETE, ..open }]),
            3 => Some(vec![open, open]),
            4 => None,
            5 => Some(vec![entry(perms::READ, b"nonsense", b"id")]),
            6 => Some(vec![entry(perms::READ, b"digest", b"eve:abc="), Acl { perms: 23, ..open }]),
            _ => Some(vec![open]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use menagerie_core::proto::OpCode;

    use super::*;
    use crate::rng::Subsystem;

    #[test]
    fn clients_ask_for_everything_they_may() {
        let mut seen = BTreeSet::new();
        for ordinal in 0..20 {
            let rng = Rng::stream(1, Subsystem::Workload, ordinal);
            let mut workload = Workload::new(rng, 3);
            seen.extend((0..300).map(|_| workload.wish().op));
        }
        use OpCode as O;
        let all = [
            O::Create,
            O::Create2,
            O::CreateContainer,
            O::CreateTtl,
            O::Delete,
            O::SetData,
            O::SetAcl,
            O::GetAcl,
            O::GetData,
            O::Exists,
            O::GetChildren,
            O::GetChildren2,
            O::Sync,
            O::GetAllChildrenNumber,
            O::Multi,
            O::MultiRead,
            O::AddWatch,
            O::RemoveWatches,
            O::CheckWatches,
            O::GetEphemerals,
            O::WhoAmI,
            O::Reconfig,
        ];
        assert_eq!(seen, all.iter().map(|op| op.code()).collect());
    }
}
