// SPDX-License-Identifier: Apache-2.0
//! Which process a pid file names, and whether that is still a server.

use std::{fs, path::Path};

use nix::{
    errno::Errno,
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// The process that a pid file names.
pub fn read(file: &Path) -> Option<Pid> {
    let pid = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    // Zero and below mean whole groups of processes to `kill`.
    (pid > 0).then(|| Pid::from_raw(pid))
}

/// Whether a process lives and is a server: numbers are used again, and after a restart of the
/// machine an old pid file may name anybody.
pub fn serves(pid: Pid) -> bool {
    exists(pid) && looks_like_a_server(pid)
}

/// Asks a process to stop.
pub fn terminate(pid: Pid) -> Result<(), Errno> {
    signal::kill(pid, Signal::SIGTERM)
}

fn exists(pid: Pid) -> bool {
    !matches!(signal::kill(pid, None), Err(Errno::ESRCH)) && !is_zombie(pid)
}

/// A server whose parent does not look after it is over all the same.
fn is_zombie(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
}

/// True where the system does not tell.
fn looks_like_a_server(pid: Pid) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return true };
    let line = String::from_utf8_lossy(&line).to_lowercase();
    ["menagerie", "zookeeper", "zkserver"].iter().any(|name| line.contains(name))
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    #[test]
    fn a_pid_file_may_hold_anything() {
        let file = env::temp_dir().join(format!("menagerie-pid-{}", process::id()));
        assert_eq!(read(&file), None);
        for (text, pid) in
            [("17", Some(17)), ("17\n", Some(17)), ("", None), ("x", None), ("-1", None)]
        {
            fs::write(&file, text).expect("the file is written");
            assert_eq!(read(&file), pid.map(Pid::from_raw), "{text:?}");
        }
        fs::remove_file(&file).expect("the file is removed");
    }

    #[test]
    fn only_servers_serve() {
        let mut child = process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
        assert!(exists(pid));
        assert!(!serves(pid), "sleep is no server");
        child.kill().expect("sleep is killed");
        child.wait().expect("sleep is over");
        assert!(!exists(pid));
    }
}
