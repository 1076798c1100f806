// SPDX-License-Identifier: Apache-2.0
//! From one list of members to the next: what a reconfig asks for, as `PrepRequestProcessor` reads
//! it.
use super::ensemble::{Ensemble, Member, QuorumRule, is_membership};
use super::number;
use super::properties::Properties;
use super::settings::file_settings;
use crate::proto::ErrorCode;
use alloc::{format, string::String, vec::Vec};
use core::net::IpAddr;

/// Where texts of members come from that are no files, in errors.
const PLACE: &str = "the list of members";

impl Ensemble {
    /// Reads the text of `/zookeeper/config`, of a NEWLEADER packet or of a notification; none if
    /// it is no list of members.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let properties = Properties::from_text(core::str::from_utf8(text).ok()?).ok()?;
        let settings = file_settings(PLACE, &properties);
        let known = settings.iter().all(|s| is_membership(&s.key) || s.key == "version");
        let read = Self::from_settings(&settings).ok().filter(|_| known)?;
        i64::try_from(read.version()).is_ok().then_some(read)
    }

    /// The members that a non-incremental reconfig lists, one in a line or between commas.
    ///
    /// # Errors
    /// `BadArguments` where Java finds a mistake, `MarshallingError` where it only stumbles over
    /// one.
    pub fn replaced(text: &[u8]) -> Result<Self, ErrorCode> {
        let text = String::from_utf8_lossy(text).replace(',', "\n");
        let next = Self::from_text(text.as_bytes()).ok_or(ErrorCode::BadArguments)?;
        let observers = next.members().len() - next.voters().count();
        if next.voters().count() == 0 && observers > 0 {
            return Err(ErrorCode::MarshallingError);
        }
        Ok(next)
    }

    /// The members after an incremental reconfig: some leave, by their ids, and some join, or take
    /// the place of those with the same ids; both between commas.
    ///
    /// # Errors
    /// As for [`Ensemble::replaced`].
    pub fn changed(
        &self,
        joining: Option<&[u8]>,
        leaving: Option<&[u8]>,
    ) -> Result<Self, ErrorCode> {
        if *self.rule() != QuorumRule::Majority {
            return Err(ErrorCode::BadArguments);
        }
        let mut next = self.clone();
        for id in parts(leaving).iter().flat_map(|text| split(text, ',')) {
            next.remove(number::parse(id).map_err(|_| ErrorCode::MarshallingError)?);
        }
        for joiner in parts(joining).iter().flat_map(|text| split(text, ',')) {
            let mut halves = split(joiner, '=');
            let (Some(key), Some(value), None) = (halves.next(), halves.next(), halves.next())
            else {
                return Err(ErrorCode::BadArguments);
            };
            let id = key.rsplit_once('.').map_or(key, |(_, id)| id);
            let id = number::parse(id).map_err(|_| ErrorCode::MarshallingError)?;
            let member = Member::parse(value).map_err(|_| ErrorCode::BadArguments)?;
            if member.client.is_none() || next.clashes(id, &member) {
                return Err(ErrorCode::BadArguments);
            }
            next.insert(id, member);
        }
        Ok(next)
    }

    /// Whether another member is to be reached at a place of this one's. Addresses that mean
    /// another machine everywhere do not count (`QuorumServer.excludedSpecialAddresses`).
    fn clashes(&self, id: i64, member: &Member) -> bool {
        let special = |host: &str| {
            let local = |ip: IpAddr| ip.is_unspecified() || ip.is_loopback();
            host == "localhost" || host.parse().is_ok_and(local)
        };
        let mut others = self.members().iter().filter(|(other, _)| **other != id);
        others.any(|(_, other)| {
            let mut taken = other.all_places().filter(|(host, _)| !special(host));
            taken.any(|place| member.all_places().any(|wanted| wanted == place))
        })
    }
}

/// The text of `zoo.cfg` when the members stand in the file `dynamic` from now on, and with them
/// the client port, if `client`. What stays, stays as it was written; Java rewrites the file
/// without its comments (`QuorumPeerConfig.editStaticConfig`).
#[must_use]
pub fn refer_to(dynamic: &str, client: bool, text: &[u8]) -> Vec<u8> {
    let goes = |key: &str| {
        let moves = ["server.", "group", "weight", "dynamicConfigFile", "peerType", "version"];
        moves.iter().any(|prefix| key.starts_with(prefix))
            || client && key.starts_with("clientPort")
    };
    let (mut out, mut line) = (Vec::new(), Vec::new());
    for piece in text.split_inclusive(|byte| *byte == b'\n') {
        line.extend_from_slice(piece);
        let end = piece.trim_ascii_end();
        let slashes = end.iter().rev().take_while(|byte| **byte == b'\\').count();
        let comment = matches!(line.trim_ascii_start().first(), Some(b'#' | b'!'));
        if slashes % 2 == 1 && !comment {
            continue;
        }
        let line = core::mem::take(&mut line);
        let read = Properties::from_file(&line);
        if !read.is_ok_and(|read| read.entries().iter().any(|entry| goes(&entry.key))) {
            out.extend(line);
        }
    }
    out.extend(line);
    if out.last().is_some_and(|last| *last != b'\n') {
        out.push(b'\n');
    }
    out.extend_from_slice(format!("dynamicConfigFile={dynamic}\n").as_bytes());
    out
}

/// The text of a field that may be missing.
fn parts(field: Option<&[u8]>) -> Option<String> {
    field.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// What stands between separators, without spaces around it; nothing of it is empty.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const THREE: &str = "server.1=a:1:2:participant;0.0.0.0:3\n\
        server.2=b:1:2:participant;0.0.0.0:3\nserver.3=c:1:2:observer;0.0.0.0:3\n\
        version=100000002";

    fn three() -> Ensemble {
        Ensemble::from_text(THREE.as_bytes()).expect("a list")
    }

    fn changed(joining: &str, leaving: &str) -> Result<String, ErrorCode> {
        let given = |text: &'static str| Some(text.as_bytes()).filter(|text| !text.is_empty());
        let (joining, leaving) = (joining.to_string().leak(), leaving.to_string().leak());
        three().changed(given(joining), given(leaving)).map(|next| next.to_string())
    }

    #[test]
    fn a_text_comes_back_as_it_was() {
        assert_eq!(three().to_string(), THREE);
        assert_eq!(three().version(), 0x1_0000_0002);
        assert_eq!(Ensemble::from_text(b"server.1=a"), None);
        assert_eq!(Ensemble::from_text(b"server.1=a:1:2\ntickTime=1"), None);
        assert_eq!(Ensemble::from_text(b"\xff"), None);
        assert_eq!(Ensemble::from_text(b"server.1=a:1:2\nversion=8000000000000000"), None);
    }

    #[test]
    fn members_join_leave_and_move() {
        let next = changed("server.4=d:1:2;3, 3=c:1:2:participant;3", "2,9").expect("a change");
        let want = "server.1=a:1:2:participant;0.0.0.0:3\n\
            server.3=c:1:2:participant;0.0.0.0:3\nserver.4=d:1:2:participant;0.0.0.0:3\n\
            version=100000002";
        assert_eq!(next, want);
        assert_eq!(changed("", "").expect("nothing to do"), THREE);
    }

    #[test]
    fn mistakes_are_told_as_java_tells_them() {
        let wrong = [
            ("server.4", ""),
            ("server.4=d:1:2", ""),
            ("server.4=d:1;3", ""),
            ("server.4=d:1:1;3", ""),
            ("server.4=d:1:2;x", ""),
            ("server.4=a:1:9;3", ""),
        ];
        for (joining, leaving) in wrong {
            assert_eq!(changed(joining, leaving), Err(ErrorCode::BadArguments), "{joining}");
        }
        for (joining, leaving) in [("server.x=d:1:2;3", ""), ("", "two")] {
            assert_eq!(changed(joining, leaving), Err(ErrorCode::MarshallingError), "{joining}");
        }
        let local = changed("server.4=127.0.0.1:1:2;3,server.5=127.0.0.1:1:2;3", "");
        assert!(local.is_ok(), "many machines have that address");
        let groups = b"server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\n";
        let groups = Ensemble::from_text(groups).expect("a list");
        assert_eq!(groups.changed(None, Some(b"1")), Err(ErrorCode::BadArguments));
    }

    #[test]
    fn the_static_file_keeps_all_but_the_members() {
        let text = b"# ours\ntickTime=2000\nserver.1=\\\n  a:1:2\n\nclientPort=2181\ngroup.1=1";
        let want = "# ours\ntickTime=2000\n\nclientPort=2181\ndynamicConfigFile=/d\n";
        assert_eq!(String::from_utf8_lossy(&refer_to("/d", false, text)), want);
        let again = refer_to("/e", true, want.as_bytes());
        let want = "# ours\ntickTime=2000\n\ndynamicConfigFile=/e\n";
        assert_eq!(String::from_utf8_lossy(&again), want);
    }

    #[test]
    fn a_list_replaces_everything() {
        let next = Ensemble::replaced(b"server.7=g:1:2;3,server.8=h:1:2:observer").expect("a list");
        assert_eq!((next.members().len(), next.voters().count()), (2, 1));
        assert_eq!(Ensemble::replaced(b"tickTime=2"), Err(ErrorCode::BadArguments));
        assert_eq!(Ensemble::replaced(b"server.1=a:b:c"), Err(ErrorCode::BadArguments));
        let observers = Ensemble::replaced(b"server.1=a:1:2:observer");
        assert_eq!(observers, Err(ErrorCode::MarshallingError));
    }
}
