// SPDX-License-Identifier: Apache-2.0
//! `status`: finds the client port as `zkServer.sh` does, and asks there who the server is.

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    path::Path,
    time::Duration,
};

use menagerie_core::config::Properties;

use super::environment::Environment;

/// How long to wait for a connection, and for each piece of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a server's clients connect, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    port: String,
    address: String,
    tls: bool,
}

/// Prints the server's `Mode:` line; the exit code is 1 if there is none.
pub fn run(environment: &Environment) -> u8 {
    let mut remarks = Vec::new();
    let place = find(environment, &mut remarks);
    for remark in remarks {
        println!("{remark}");
    }
    let Some(Place { port, address, tls }) = place else { return 1 };
    println!("Client port found: {port}. Client address: {address}. Client SSL: {tls}.");
    let answer = if tls {
        println!("Note: only secureClientPort is set, and this program speaks no TLS.");
        String::new()
    } else {
        port.parse()
            .map(|port| ask(&address, port, b"srvr").unwrap_or_default())
            .unwrap_or_default()
    };
    match answer.lines().find(|line| line.contains("Mode")) {
        Some(mode) => {
            println!("{}", mode.trim());
            0
        }
        None => {
            println!("Error contacting service. It is probably not running.");
            1
        }
    }
}

/// The client port: in the file itself, or in this server's own line of the members.
fn find(environment: &Environment, remarks: &mut Vec<&'static str>) -> Option<Place> {
    let setting = |key| environment.setting(key);
    let address = setting("clientPortAddress").unwrap_or("localhost").to_string();
    let plain = setting("clientPort").filter(|port| is_number(port));
    if let Some(port) = plain {
        return Some(Place { port: port.into(), address, tls: false });
    }
    if let Some((own, port)) = from_members(environment, remarks) {
        return Some(Place { port, address: own.unwrap_or(address), tls: false });
    }
    remarks.push("Client port not found. Looking for secureClientPort in the static config.");
    let Some(port) = setting("secureClientPort") else {
        remarks.push(
            "Unable to find either secure or unsecure client port in any configs. Terminating.",
        );
        return None;
    };
    let address = setting("secureClientPortAddress").unwrap_or("localhost").into();
    Some(Place { port: port.into(), address, tls: true })
}

/// The client address and port that stand behind the `;` of this server's line.
fn from_members(
    environment: &Environment,
    remarks: &mut Vec<&'static str>,
) -> Option<(Option<String>, String)> {
    let myid = fs::read_to_string(Path::new(environment.data_dir()).join("myid"));
    let myid = myid.unwrap_or_default();
    let myid = myid.trim();
    if !is_number(myid) {
        remarks.push(
            "myid could not be determined, will not able to locate clientPort in the server \
             configs.",
        );
        return None;
    }
    let key = format!("server.{myid}");
    let own = environment.setting(&key).and_then(client_part).or_else(|| {
        remarks
            .push("Client port not found in static config file. Looking in dynamic config file.");
        let dynamic = fs::read(environment.setting("dynamicConfigFile")?).ok()?;
        let dynamic = Properties::from_file(&dynamic).ok()?;
        client_part(&dynamic.find(&key)?.value)
    });
    if own.is_none() {
        remarks.push("Client port not found in the server configs");
    }
    own
}

/// `address:port`, `[address]:port` or `port` after the semicolon.
fn client_part(member: &str) -> Option<(Option<String>, String)> {
    let (_, part) = member.rsplit_once(';')?;
    let part = part.trim();
    if part.is_empty() {
        return None;
    }
    Some(match part.rsplit_once(':') {
        Some((address, port)) => {
            (Some(address.trim_matches(['[', ']']).to_string()), port.to_string())
        }
        None => (None, part.to_string()),
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Sends a four-letter word and reads the answer to its end.
fn ask(host: &str, port: u16, word: &[u8; 4]) -> io::Result<String> {
    let mut last = io::Error::other("the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let answer = TcpStream::connect_timeout(&address, PATIENCE).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(word)?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        });
        match answer {
            Ok(text) => return Ok(text),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_part_of_a_member_is_understood() {
        let of = |address: Option<&str>, port: &str| Some((address.map(Into::into), port.into()));
        assert_eq!(client_part("h:2888:3888;2181"), of(None, "2181"));
        assert_eq!(client_part("h:2888:3888:observer;10.0.0.1:2181"), of(Some("10.0.0.1"), "2181"));
        assert_eq!(client_part("h:2888:3888;[::1]:2181"), of(Some("::1"), "2181"));
        assert_eq!(client_part("h:2888:3888"), None);
        assert_eq!(client_part("h:2888:3888;"), None);
    }
}
