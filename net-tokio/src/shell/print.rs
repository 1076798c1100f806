// SPDX-License-Identifier: Apache-2.0
//! What the shell prints, letter for letter as ZooKeeper's shell does: scripts parse it.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    client::{Acl, Event, Notice, NoticeKind, Stat, State, perms},
    version,
};

/// A Stat, a line for each number.
pub(super) fn stat(stat: &Stat) -> String {
    format!(
        "cZxid = 0x{:x}\nctime = {}\nmZxid = 0x{:x}\nmtime = {}\npZxid = 0x{:x}\n\
         cversion = {}\ndataVersion = {}\naclVersion = {}\nephemeralOwner = 0x{:x}\n\
         dataLength = {}\nnumChildren = {}",
        stat.czxid.0,
        date(stat.ctime),
        stat.mzxid.0,
        date(stat.mtime),
        stat.pzxid.0,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children,
    )
}

/// Milliseconds since the Unix epoch as Java's `Date` shows them, in UTC.
fn date(millis: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = millis.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = version::civil(days);
    let weekday = usize::try_from(days.rem_euclid(7)).expect("less than 7");
    let month = usize::try_from(month - 1).expect("less than 12");
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let (weekday, month) = (DAYS[weekday], MONTHS[month]);
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

/// An access list, two lines for each entry.
pub(super) fn acl(list: &[Acl]) -> String {
    let entry = |acl: &Acl| format!("'{},'{}\n: {}", acl.scheme, acl.id, permissions(acl.perms));
    list.iter().map(entry).collect::<Vec<_>>().join("\n")
}

const LETTERS: [(i32, char); 5] = [
    (perms::CREATE, 'c'),
    (perms::DELETE, 'd'),
    (perms::READ, 'r'),
    (perms::WRITE, 'w'),
    (perms::ADMIN, 'a'),
];

fn permissions(perms: i32) -> String {
    LETTERS.iter().filter(|(bit, _)| perms & bit != 0).map(|(_, letter)| letter).collect()
}

/// Reads `scheme:id:perms,...`; what cannot be read comes back as complaints.
pub(super) fn parse_acl(text: &str) -> (Vec<Acl>, Vec<String>) {
    let (mut list, mut complaints) = (Vec::new(), Vec::new());
    for entry in text.split(',') {
        let parts = entry.split_once(':').and_then(|(scheme, rest)| {
            rest.rsplit_once(':').map(|(id, letters)| (scheme, id, letters))
        });
        let Some((scheme, id, letters)) = parts else {
            complaints.push(format!("{entry} does not have the form scheme:id:perm"));
            continue;
        };
        let mut perms = 0;
        for letter in letters.chars() {
            match LETTERS.iter().find(|(_, known)| *known == letter) {
                Some((bit, _)) => perms |= bit,
                None => complaints.push(format!("Unknown perm type: {letter}")),
            }
        }
        list.push(Acl::new(perms, scheme, id));
    }
    (list, complaints)
}

/// Names in brackets, as Java shows a list.
pub(super) fn list(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}

/// How data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Base64,
    Hex,
}

/// A znode's data; null shows as the word.
pub(super) fn data(data: Option<&[u8]>, form: Form) -> String {
    let data = data.unwrap_or(b"null");
    match form {
        Form::Plain => String::from_utf8_lossy(data).into_owned(),
        Form::Base64 => STANDARD.encode(data),
        Form::Hex => hex_dump(data),
    }
}

pub(super) fn parse_base64(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| format!("\"{text}\" is not base64: {error}"))
}

fn hex_dump(data: &[u8]) -> String {
    if data.is_empty() {
        return String::new();
    }
    let line = format!("+{}+", "-".repeat(49));
    let mut out = format!("         {line}\n         |");
    let put = |out: &mut String, text: &str| out.push_str(text);
    (0..16).for_each(|column| put(&mut out, &format!("  {column:x}")));
    put(&mut out, &format!(" |\n+--------{line}{}+\n", "-".repeat(16)));
    for (row, bytes) in data.chunks(16).enumerate() {
        let hex: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        let shown = |byte: &u8| if (0x20..0x7f).contains(byte) { *byte as char } else { '.' };
        let text: String = bytes.iter().map(shown).collect();
        writeln!(out, "|{:08x}|{hex:48} |{text:16}|", row * 16).expect("text takes text");
    }
    put(&mut out, &format!("+--------{line}{}+", "-".repeat(16)));
    out
}

/// An event, as the shell announces it between two lines of its own.
pub(super) fn event(event: &Event) -> String {
    let (state, kind, path, zxid) = match event {
        Event::State(state) => (of_state(*state), "None", "null", -1),
        Event::Notice(Notice { kind, path, zxid }) => {
            ("SyncConnected", of_kind(*kind), path.as_str(), zxid.0)
        }
    };
    format!("\nWATCHER::\n\nWatchedEvent state:{state} type:{kind} path:{path} zxid: {zxid}")
}

fn of_state(state: State) -> &'static str {
    match state {
        State::Disconnected => "Disconnected",
        State::Connected { read_only: false, .. } => "SyncConnected",
        State::Connected { read_only: true, .. } => "ConnectedReadOnly",
        State::Expired => "Expired",
        State::AuthFailed => "AuthFailed",
        State::Closed => "Closed",
    }
}

fn of_kind(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Created => "NodeCreated",
        NoticeKind::Deleted => "NodeDeleted",
        NoticeKind::DataChanged => "NodeDataChanged",
        NoticeKind::ChildrenChanged => "NodeChildrenChanged",
        NoticeKind::DataWatchRemoved => "DataWatchRemoved",
        NoticeKind::ChildWatchRemoved => "ChildWatchRemoved",
        NoticeKind::PersistentWatchRemoved => "PersistentWatchRemoved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_as_javas() {
        assert_eq!(date(0), "Thu Jan 01 00:00:00 UTC 1970");
        assert_eq!(date(1_700_000_000_999), "Tue Nov 14 22:13:20 UTC 2023");
        assert_eq!(date(-1), "Wed Dec 31 23:59:59 UTC 1969");
    }

    #[test]
    fn access_lists_read_and_print() {
        let (list, complaints) = parse_acl("world:anyone:cdrwa,digest:u:x=:rq,nonsense");
        assert_eq!(list, [Acl::open(), Acl::new(perms::READ, "digest", "u:x=")]);
        let want = ["Unknown perm type: q", "nonsense does not have the form scheme:id:perm"];
        assert_eq!(complaints, want);
        assert_eq!(acl(&list), "'world,'anyone\n: cdrwa\n'digest,'u:x=\n: r");
    }

    #[test]
    fn data_shows_in_three_forms() {
        assert_eq!(data(None, Form::Plain), "null");
        assert_eq!(data(Some(b"hi"), Form::Base64), "aGk=");
        assert_eq!(
            data(Some(b"0123456789abcdef\n"), Form::Hex),
            "         +-------------------------------------------------+\n\
             \x20        |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |\n\
             +--------+-------------------------------------------------+----------------+\n\
             |00000000| 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 |0123456789abcdef|\n\
             |00000010| 0a                                              |.               |\n\
             +--------+-------------------------------------------------+----------------+"
        );
    }
}
