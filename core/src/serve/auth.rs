// SPDX-License-Identifier: Apache-2.0
//! Who may do what: the ACL schemes `world`, `auth`, `digest`, `ip` and `super`; and `ensemble`,
//! by which a client finds out that it came to the wrong servers.
//!
//! A connection collects [`Identities`]; a znode carries an ACL; [`Schemes`] judges the one by the
//! other, and turns the ACL of a request into the one that is stored.
//!
//! Source: `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`, `AuthenticationHelper`,
//! `DigestAuthenticationProvider`, `IPAuthenticationProvider`, `EnsembleAuthenticationProvider`.

use alloc::{borrow::Cow, boxed::Box, collections::BTreeSet, format, string::String, vec::Vec};
use core::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use crate::{
    config::{DigestAlgorithm, EnsembleScheme},
    proto::{Acl, ErrorCode, Identity},
};

/// How many identities one connection may collect.
pub const MAX_IDENTITIES: usize = 100;

const WORLD: Identity<'static> = Identity { scheme: b"world", id: b"anyone" };
const SUPER: Identity<'static> = Identity { scheme: b"super", id: b"" };

/// Who a connection has shown to be: its address first, then what it proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    list: Vec<Known>,
    is_super: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    scheme: Box<[u8]>,
    id: Box<[u8]>,
}

impl Identities {
    /// What is known of a connection when it comes in: its address.
    pub fn of_address(address: IpAddr) -> Identities {
        let mut ids = Identities::default();
        ids.add(Identity { scheme: b"ip", id: address_text(address).as_bytes() })
            .expect("room for the first identity");
        ids
    }

    /// Those that another server vouches for; of too many the first.
    pub fn forwarded<'a>(list: impl IntoIterator<Item = Identity<'a>>) -> Identities {
        let mut ids = Identities::default();
        for who in list {
            if ids.add(who).is_err() {
                break;
            }
        }
        ids
    }

    /// The identities, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = Identity<'_>> {
        self.list.iter().map(|known| Identity { scheme: &known.scheme, id: &known.id })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The first `known` of them: all that was known at an earlier moment.
    pub fn first(&self, known: usize) -> Cow<'_, Identities> {
        if known >= self.list.len() {
            return Cow::Borrowed(self);
        }
        let list = self.list[..known].to_vec();
        let is_super = list.iter().any(|known| *known.scheme == *SUPER.scheme);
        Cow::Owned(Identities { list, is_super })
    }

    fn add(&mut self, who: Identity<'_>) -> Result<(), ErrorCode> {
        if self.iter().any(|known| known == who) {
            return Ok(());
        }
        if self.list.len() >= MAX_IDENTITIES {
            return Err(ErrorCode::AuthFailed);
        }
        self.is_super |= who.scheme == SUPER.scheme;
        self.list.push(Known { scheme: who.scheme.into(), id: who.id.into() });
        Ok(())
    }
}

/// An address as Java prints it, which identities of scheme `ip` are matched by: IPv6 in full, and
/// an IPv4 address in IPv6 clothes as IPv4.
pub fn address_text(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("{v4}"),
        IpAddr::V6(v6) => {
            let groups = v6.segments().map(|group| format!("{group:x}"));
            groups.join(":")
        }
    }
}

/// The identity that scheme `digest` makes of `user:password`.
pub fn digest_id(algorithm: DigestAlgorithm, user_password: &[u8]) -> Vec<u8> {
    // Java reads the proof as text: what is not UTF-8 becomes U+FFFD before it is hashed.
    let text = String::from_utf8_lossy(user_password);
    let user = text.split(':').next().unwrap_or_default();
    let bytes = text.as_bytes();
    let hash = match algorithm {
        DigestAlgorithm::Sha1 => STANDARD.encode(Sha1::digest(bytes)),
        DigestAlgorithm::Sha224 => STANDARD.encode(Sha224::digest(bytes)),
        DigestAlgorithm::Sha256 => STANDARD.encode(Sha256::digest(bytes)),
        DigestAlgorithm::Sha384 => STANDARD.encode(Sha384::digest(bytes)),
        DigestAlgorithm::Sha512 => STANDARD.encode(Sha512::digest(bytes)),
        DigestAlgorithm::Sha512To224 => STANDARD.encode(Sha512_224::digest(bytes)),
        DigestAlgorithm::Sha512To256 => STANDARD.encode(Sha512_256::digest(bytes)),
    };
    format!("{user}:{hash}").into_bytes()
}

/// The name to show for an identity, as whoAmI and the audit log do.
pub fn user<'a>(who: Identity<'a>) -> &'a [u8] {
    match who.scheme {
        b"digest" => who.id.split(|&b| b == b':').next().unwrap_or_default(),
        b"ip" => who.id,
        _ => b"",
    }
}

/// The id of an ACL entry as getACL shows it to those who may not administer: without the hash of
/// a password.
pub fn masked(who: Identity<'_>) -> Cow<'_, [u8]> {
    let colon = who.id.iter().position(|&b| b == b':').filter(|_| who.scheme == b"digest");
    match colon {
        None => Cow::Borrowed(who.id),
        Some(colon) => Cow::Owned([&who.id[..colon], b":x"].concat()),
    }
}

/// The schemes and how they are configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schemes {
    /// Whether every check is off (`skipACL`).
    pub skip_acl: bool,
    /// Whether scheme `digest` is on (`DigestAuthenticationProvider.enabled`).
    pub digest: bool,
    /// What scheme `digest` hashes with (`DigestAuthenticationProvider.digestAlg`).
    pub digest_algorithm: DigestAlgorithm,
    /// The digest identity that is also `super` (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<Box<[u8]>>,
    /// Which ensemble a client may say it means (`ensembleAuthName`).
    pub ensemble: EnsembleScheme,
    /// The schemes of which a connection must have shown one (`enforce.auth.schemes`); if there
    /// are none, anybody is served.
    pub required: Vec<Box<[u8]>>,
}

impl Default for Schemes {
    fn default() -> Schemes {
        Schemes {
            skip_acl: false,
            digest: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            ensemble: EnsembleScheme::Off,
            required: Vec::new(),
        }
    }
}

impl Schemes {
    /// Judges the proof of an auth packet, and adds what it proves to the connection's identities.
    ///
    /// # Errors
    /// [`ErrorCode::AuthFailed`] for an unknown scheme, or one identity too many; the server then
    /// answers and hangs up. [`ErrorCode::BadArguments`] for a client that means another ensemble;
    /// the server then hangs up without an answer, so that the client tries the next server.
    pub fn authenticate(
        &self,
        scheme: &[u8],
        proof: &[u8],
        address: IpAddr,
        ids: &mut Identities,
    ) -> Result<(), ErrorCode> {
        match scheme {
            b"digest" if self.digest => {
                let id = digest_id(self.digest_algorithm, proof);
                if self.super_digest.as_deref() == Some(&id) {
                    ids.add(SUPER)?;
                }
                ids.add(Identity { scheme, id: &id })
            }
            b"ip" => ids.add(Identity { scheme, id: address_text(address).as_bytes() }),
            b"ensemble" => match &self.ensemble {
                EnsembleScheme::Off => Err(ErrorCode::AuthFailed),
                EnsembleScheme::Named(names)
                    if !proof.is_empty() && !names.iter().any(|name| name.as_bytes() == proof) =>
                {
                    Err(ErrorCode::BadArguments)
                }
                EnsembleScheme::Named(_) | EnsembleScheme::AnyName => Ok(()),
            },
            _ => Err(ErrorCode::AuthFailed),
        }
    }

    /// Whether somebody with these identities is served at all.
    pub fn admits(&self, ids: &Identities) -> bool {
        let shown = |scheme: &[u8]| ids.iter().any(|id| id.scheme == scheme);
        self.required.is_empty() || self.required.iter().any(|scheme| shown(scheme))
    }

    /// Whether an ACL grants any of `perms` to someone with these identities. An empty ACL grants
    /// everything.
    pub fn allows<'a>(
        &self,
        acl: impl IntoIterator<Item = Acl<'a>>,
        perms: i32,
        ids: &Identities,
    ) -> bool {
        if self.skip_acl || ids.is_super {
            return true;
        }
        let mut empty = true;
        for entry in acl {
            empty = false;
            if entry.perms & perms != 0 && self.is_one_of(entry.who, ids) {
                return true;
            }
        }
        empty
    }

    fn is_one_of(&self, who: Identity<'_>, ids: &Identities) -> bool {
        match who.scheme {
            b"world" => who == WORLD,
            b"digest" => self.digest && ids.iter().any(|id| id == who),
            b"ip" => IpRange::parse(who.id).is_some_and(|range| {
                let known = ids.iter().filter(|id| id.scheme == b"ip");
                known.filter_map(|id| parse_address(id.id)).any(|address| range.holds(&address))
            }),
            _ => false,
        }
    }

    /// The ACL to store for the one asked for: duplicates gone, `auth` replaced by whom the
    /// requestor has proved to be.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidAcl`] for an empty list, an unknown scheme, an id that is none of its
    /// scheme's, `auth` from someone who has proved nothing, or more than `max_bytes` in all.
    pub fn resolve<'a>(
        &self,
        asked: Option<&'a [Acl<'a>]>,
        ids: &'a Identities,
        max_bytes: usize,
    ) -> Result<Cow<'a, [Acl<'a>]>, ErrorCode> {
        let asked = asked.filter(|acl| !acl.is_empty()).ok_or(ErrorCode::InvalidAcl)?;
        if asked.len() == 1 && asked[0].who == WORLD {
            return Ok(Cow::Borrowed(asked));
        }
        let (mut seen, mut resolved) = (BTreeSet::new(), Vec::with_capacity(asked.len()));
        let mut bytes = 0;
        for &acl in asked.iter().filter(|acl| seen.insert(**acl)) {
            let before = resolved.len();
            if acl.who.scheme == b"auth" {
                let proved = ids.iter().filter(|id| id.scheme == b"digest" && self.digest);
                resolved.extend(proved.map(|who| Acl { perms: acl.perms, who }));
            } else if self.is_valid(acl.who) {
                resolved.push(acl);
            }
            let added = &resolved[before..];
            bytes += added.iter().map(|a| 12 + a.who.scheme.len() + a.who.id.len()).sum::<usize>();
            if added.is_empty() || bytes > max_bytes {
                return Err(ErrorCode::InvalidAcl);
            }
        }
        Ok(Cow::Owned(resolved))
    }

    fn is_valid(&self, who: Identity<'_>) -> bool {
        match who.scheme {
            b"world" => who == WORLD,
            // Java splits at colons, forgets empty parts at the end, and wants two.
            b"digest" => {
                self.digest && {
                    let end = who.id.iter().rposition(|&b| b != b':').map_or(0, |last| last + 1);
                    who.id[..end].iter().filter(|&&b| b == b':').count() == 1
                }
            }
            b"ip" => IpRange::parse(who.id).is_some(),
            _ => false,
        }
    }
}

/// An address, in 4 or 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    bytes: [u8; 16],
    len: usize,
}

/// The ids of scheme `ip` in ACLs: an address, perhaps with `/bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IpRange {
    base: Address,
    bits: usize,
}

impl IpRange {
    fn parse(id: &[u8]) -> Option<IpRange> {
        let mut parts = id.splitn(2, |&b| b == b'/');
        let base = parse_address(parts.next()?)?;
        let most = base.len * 8;
        let bits = match parts.next() {
            None => most,
            Some(bits) => usize::try_from(parse_int(bits, 10)?).ok().filter(|&n| n <= most)?,
        };
        Some(IpRange { base, bits })
    }

    fn holds(&self, address: &Address) -> bool {
        let whole = self.bits / 8;
        let (a, b) = (&self.base.bytes, &address.bytes);
        self.base.len == address.len
            && a[..whole] == b[..whole]
            && (self.bits.is_multiple_of(8) || (a[whole] ^ b[whole]) >> (8 - self.bits % 8) == 0)
    }
}

fn parse_address(text: &[u8]) -> Option<Address> {
    if text.contains(&b':') {
        return parse_v6(text);
    }
    let mut address = Address { bytes: [0; 16], len: 4 };
    let mut parts = text.split(|&b| b == b'.');
    for byte in &mut address.bytes[..4] {
        *byte = u8::try_from(parse_int(parts.next()?, 10)?).ok()?;
    }
    parts.next().is_none().then_some(address)
}

fn parse_v6(text: &[u8]) -> Option<Address> {
    let gap = text.windows(2).position(|pair| pair == b"::");
    let (head, tail) = match gap {
        None => (text, &b""[..]),
        Some(at) => (&text[..at], &text[at + 2..]),
    };
    let mut address = Address { bytes: [0; 16], len: 16 };
    let (head, before) = parse_groups(head)?;
    let (tail, after) = parse_groups(tail)?;
    if if gap.is_some() { before + after >= 8 } else { before != 8 } {
        return None;
    }
    address.bytes[..before * 2].copy_from_slice(&head[..before * 2]);
    address.bytes[16 - after * 2..].copy_from_slice(&tail[..after * 2]);
    Some(address)
}

fn parse_groups(text: &[u8]) -> Option<([u8; 16], usize)> {
    let (mut bytes, mut n) = ([0; 16], 0);
    if text.is_empty() {
        return Some((bytes, 0));
    }
    for group in text.split(|&b| b == b':') {
        if n == 8 || group.is_empty() || group.len() > 4 {
            return None;
        }
        let [.., high, low] = parse_int(group, 16)?.to_be_bytes();
        (bytes[n * 2], bytes[n * 2 + 1]) = (high, low);
        n += 1;
    }
    Some((bytes, n))
}

/// A number as `Integer.parseInt` reads it: a sign of either kind is allowed.
fn parse_int(text: &[u8], radix: u32) -> Option<i32> {
    i32::from_str_radix(core::str::from_utf8(text).ok()?, radix).ok()
}

#[cfg(test)]
mod tests;
