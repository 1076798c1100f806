// SPDX-License-Identifier: Apache-2.0
//! Data directories that cannot be used, and such as look as if they could not.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::symlink, path::Path};

use menagerie_core::proto::Request;

use super::{
    Served,
    common::{Home, end_of, eventually, wire::Wire},
    create,
};

#[test]
fn a_missing_data_directory_is_made_unless_that_is_forbidden() {
    let mut served = Served::start("missing", "");
    served.serves();
    assert!(served.home.folder.join("data/version-2").is_dir());
    served.end();
    let home = Home::new("hostile-forbidden");
    home.configure("datadir.autocreate=false\n");
    let (code, said) = home.ended();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("{}", home.folder.join("data").display())), "{said}");
    assert!(said.contains("datadir.autocreate"), "{said}");
}

#[test]
fn a_data_directory_on_a_system_that_takes_no_files_is_said_so() {
    let home = Home::new("hostile-read-only");
    let Some(read_only) = ["/sys", "/proc"].iter().find(|folder| Path::new(folder).is_dir()) else {
        return println!("SKIPPED, LOUDLY: no file system here that takes no files");
    };
    for folder in [format!("{read_only}/menagerie"), (*read_only).to_string()] {
        home.configure(&format!("dataDir={folder}\n"));
        let (code, said) = home.ended();
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(read_only), "{said}");
    }
    home.configure("");
}

/// The files that a server would create lead to a device that is always full.
#[test]
fn a_full_disk_stops_the_server_and_loses_nothing() {
    if !Path::new("/dev/full").exists() {
        return println!("SKIPPED, LOUDLY: there is no /dev/full to fill a disk with");
    }
    let mut served = Served::start("full", "");
    let logs = served.home.folder.join("log/version-2");
    served.child.kill().expect("it is killed");
    served.child.wait().expect("it has ended");
    let last = newest_log(&logs);
    for zxid in last + 1..last + 50 {
        symlink("/dev/full", logs.join(format!("log.{zxid:x}"))).expect("a link");
    }
    served.child = served.home.foreground("serve");
    let mut client = Wire::bare(served.home.port);
    client.send(&super::encoded(&super::common::wire::NEW));
    assert!(!client.greeted(), "nothing is acknowledged that is not written");
    assert_eq!(end_of(&mut served.child), Some(10), "{}", served.home.log());
    let said = served.home.log();
    assert!(said.contains("No space left") || said.contains("full"), "{said}");
    assert!(said.contains("log"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for zxid in last + 1..last + 50 {
        fs::remove_file(logs.join(format!("log.{zxid:x}"))).expect("the link goes");
    }
    served.child = served.home.foreground("serve");
    served.bystander = served.client();
    served.end();
}

/// A snapshot that cannot be written is said so, and service goes on.
#[test]
fn a_full_disk_of_snapshots_stops_nothing() {
    if !Path::new("/dev/full").exists() {
        return println!("SKIPPED, LOUDLY: there is no /dev/full to fill a disk with");
    }
    let mut served = Served::start("full-snapshots", "snapCount=20\n");
    let snapshots = served.home.folder.join("data/version-2");
    for zxid in 0..500 {
        symlink("/dev/full", snapshots.join(format!("tmp.snapshot.{zxid:x}"))).expect("a link");
    }
    for _ in 0..100 {
        served.serves();
    }
    eventually("it is said", || served.home.log().contains("snapshot"));
    let said = served.home.log();
    assert!(said.contains("No space left") || said.contains("full"), "{said}");
    served.end();
}

fn newest_log(folder: &Path) -> i64 {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let zxid = |name: String| i64::from_str_radix(name.strip_prefix("log.")?, 16).ok();
    names.filter_map(zxid).max().expect("a log")
}

#[test]
fn a_data_directory_has_one_server_that_is_not_disturbed() {
    let mut served = Served::start("locked", "");
    let text = fs::read_to_string(served.home.folder.join("zoo.cfg")).expect("it is there");
    let other = text.replace(&format!("clientPort={}", served.home.port), "clientPort=0");
    fs::write(served.home.folder.join("zoo.cfg"), other).expect("it is written");
    let (code, said) = served.home.ended();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("another server is running on this data directory"), "{said}");
    served.serves();
    served.end();
}

/// Files that are not the store's are neither read nor touched.
#[test]
fn foreign_files_are_let_be() {
    let mut served = Served::start("foreign", "snapCount=20\nautopurge.purgeInterval=1\n");
    let folders = ["data/version-2", "log/version-2"].map(|name| served.home.folder.join(name));
    let mut client = served.client();
    assert_eq!(client.ask(&create(b"/kept")).0, 0);
    served.child.kill().expect("it is killed");
    served.child.wait().expect("it has ended");
    let long = "x".repeat(255);
    let names = [
        "log.",
        "log.zz",
        "log.1.bak",
        "log.01",
        "log.-1",
        "log.FF",
        "snapshot.",
        "snapshot.xyz",
        "snapshot.1.old",
        "snapshot.7fffffffffffffffff",
        "lost+found",
        "README",
        ".nfs0001",
        "a b",
        "currentEpoch.tmp",
        "-rf",
        &long,
    ];
    for folder in &folders {
        for name in names {
            fs::write(folder.join(name), "not ours").expect("a foreign file");
        }
        fs::write(folder.join(OsStr::from_bytes(b"\xff\xfe")), "not ours").expect("a foreign file");
        fs::create_dir(folder.join("log.ffff")).expect("a folder with a log's name");
        fs::create_dir(folder.join("snapshot.ffff")).expect("a folder with a snapshot's name");
        symlink("/nowhere", folder.join("log.fffe")).expect("a link that leads nowhere");
        symlink("/dev/zero", folder.join("snapshot.fffe")).expect("a link without an end");
    }
    served.child = served.home.foreground("serve");
    served.bystander = served.client();
    let kept = Request::Exists { path: b"/kept", watch: false };
    assert_eq!(served.bystander.ask(&kept).0, 0);
    for _ in 0..50 {
        served.serves();
    }
    for folder in &folders {
        for name in names {
            let text = fs::read(folder.join(name)).expect("it is still there");
            assert_eq!(text, b"not ours", "{name}");
        }
    }
    served.end();
}

/// What has the name of a log or of a snapshot, and is none, stops the start: to guess what it was
/// could lose what was acknowledged.
#[test]
fn garbage_in_the_store_s_own_names_is_named() {
    let mut served = Served::start("garbage", "");
    served.serves();
    served.child.kill().expect("it is killed");
    served.child.wait().expect("it has ended");
    let log = served.home.folder.join("log/version-2/log.ffff");
    for content in [&b"not a log at all, but long enough to be one"[..], &[0xff; 100]] {
        fs::write(&log, content).expect("it is written");
        let (code, said) = served.home.ended();
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("log.ffff"), "{said}");
    }
    fs::remove_file(&log).expect("it goes");
    let snapshot = served.home.folder.join("data/version-2/snapshot.ffff");
    fs::write(&snapshot, [7; 200]).expect("it is written");
    let (code, said) = served.home.ended();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("snapshot.ffff cannot be read: restore it"), "{said}");
    fs::remove_file(&snapshot).expect("it goes");
    served.child = served.home.foreground("serve");
    served.bystander = served.client();
    served.end();
}
