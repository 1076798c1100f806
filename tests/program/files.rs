// SPDX-License-Identifier: Apache-2.0
//! What befalls the files of a real process: a log that cannot grow, a torn tail, rot.

use std::{path::PathBuf, process::Stdio};

use super::*;

/// The bytes of one write here.
const LEN: usize = 60_000;

impl Home {
    /// Writes `/n0`, `/n1`, ... until one is not acknowledged; says how many were.
    fn write_until_it_fails(&self) -> usize {
        let server = format!("127.0.0.1:{}", self.port);
        let value = "v".repeat(LEN);
        let write = |n: &usize| {
            let path = format!("/n{n}");
            self.run(&["cli", "-server", &server, "create", &path, &value]).status.success()
        };
        (0..1000).take_while(write).count()
    }

    /// The newest log's path and bytes.
    fn newest_log(&self) -> (PathBuf, Vec<u8>) {
        let entries = fs::read_dir(self.folder.join("log/version-2")).expect("a log folder");
        let logs = entries.map(|entry| entry.expect("a readable entry").path());
        let number = |path: &PathBuf| {
            let hex = path.extension().and_then(|hex| hex.to_str()).unwrap_or_default();
            u64::from_str_radix(hex, 16).unwrap_or(0)
        };
        let newest = logs.max_by_key(number).expect("there is a log");
        let bytes = fs::read(&newest).expect("a readable log");
        (newest, bytes)
    }

    fn has(&self, path: &str) -> bool {
        let server = format!("127.0.0.1:{}", self.port);
        self.run(&["cli", "-server", &server, "get", path]).status.success()
    }

    fn kill(&self) {
        signal("-KILL", &self.pid());
        eventually("it is gone", || TcpStream::connect(("127.0.0.1", self.port)).is_err());
    }
}

#[test]
fn a_log_that_cannot_grow_halts_the_server_and_loses_nothing() {
    let home = Home::new("grow");
    // The limit is the shell's, in its own unit: 1 or 2 MiB.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 2048; exec '{}' serve zoo.cfg 2>said",
        env!("CARGO_BIN_EXE_menagerie")
    );
    let mut command = Command::new("sh");
    command.args(["-c", &limited]).current_dir(&home.folder).stdout(Stdio::null());
    let mut server = command.spawn().expect("a shell runs");
    home.await_service();
    let acknowledged = home.write_until_it_fails();
    assert!((10..40).contains(&acknowledged), "{acknowledged} writes of {LEN} bytes");
    assert_eq!(server.wait().expect("it ends").code(), Some(10));
    let said = fs::read_to_string(home.folder.join("said")).expect("what it said");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("the transaction log could not be written: "), "{said}");
    assert!(last.contains("File too large"), "{said}");
    assert!(last.contains("Nothing acknowledged is lost."), "{said}");
    assert!(last.ends_with("then start the server again"), "{said}");
    home.start();
    for n in 0..acknowledged {
        assert!(home.has(&format!("/n{n}")), "/n{n} was acknowledged");
    }
    assert!(!home.has(&format!("/n{}", acknowledged + 1)), "nobody asked for it");
}

#[test]
fn a_torn_tail_is_cut_and_said_in_one_line() {
    let home = Home::new("torn");
    home.start();
    home.cli(&["create", "/kept", "value"]);
    home.kill();
    let (path, mut log) = home.newest_log();
    let end = log.iter().rposition(|byte| *byte != 0).expect("there are records") + 1;
    let torn = [&[7; 8][..], &100_u32.to_be_bytes(), &[9; 20]].concat();
    log.splice(end..(end + torn.len()).min(log.len()), torn);
    fs::write(&path, log).expect("the log is torn");
    home.start();
    assert!(home.has("/kept"));
    let said = fs::read_to_string(home.folder.join("zookeeper.out")).expect("a log");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name of ours");
    let line = format!("{name} ended in an unfinished record, as after a power loss: cut at byte");
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), 1, "{said}");
    assert!(warnings[0].contains(&format!("{line} {end}, after transaction 0x")), "{said}");
}

#[test]
fn rot_stops_the_server_and_the_way_out_is_one() {
    let home = Home::new("rot");
    home.start();
    home.cli(&["create", "/early", "value"]);
    home.cli(&["create", "/rotten", "value"]);
    home.cli(&["create", "/late", "value"]);
    assert_eq!(home.run(&["stop", "zoo.cfg"]).status.code(), Some(0));
    let (path, mut log) = home.newest_log();
    let at = log.windows(7).position(|bytes| bytes == b"/rotten").expect("it was logged");
    log[at + 1] ^= 0x20;
    fs::write(&path, &log).expect("the log rots");
    let output = home.run(&["serve", "zoo.cfg"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let why = complaint(&output);
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name of ours");
    assert!(why.contains(&format!("{name} is damaged at byte ")), "{why}");
    assert!(why.contains(", after transaction 0x"), "{why}");
    assert_eq!(fs::read(&path).expect("a log"), log, "nothing was changed");

    let (_, told) = why.split_once("truncate -s ").expect("it says the way out");
    let offset = told.split(' ').next().expect("a number").parse().expect("a number");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the log");
    file.set_len(offset).expect("the log is cut");
    fs::remove_file(path.with_file_name("menagerie.synced")).expect("the mark goes");
    home.start();
    assert!(home.has("/early") && !home.has("/rotten") && !home.has("/late"));
}
