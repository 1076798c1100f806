// SPDX-License-Identifier: Apache-2.0
//! `zookeeper.out`: what a server in the background says, in a file that cannot fill the disk.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

/// Beyond this many bytes the file becomes the one older file that is kept, `zookeeper.out.1`.
const CAP: u64 = 64 << 20;

/// A capped file, opened again on demand so that tools may move it away.
#[derive(Debug)]
pub struct Out(Mutex<State>);

#[derive(Debug)]
struct State {
    path: PathBuf,
    file: File,
    /// Bytes in the file, as far as they came through here.
    len: u64,
    cap: u64,
    /// Told of each file that takes the last one's place.
    follow: fn(&File) -> io::Result<()>,
}

impl Out {
    /// Appends to the file at `path`; `follow` is told of this file and of each one after it.
    pub fn open(path: &Path, follow: fn(&File) -> io::Result<()>) -> io::Result<Out> {
        Out::with_cap(path, follow, CAP)
    }

    fn with_cap(path: &Path, follow: fn(&File) -> io::Result<()>, cap: u64) -> io::Result<Out> {
        let (file, len) = append_to(path)?;
        follow(&file)?;
        Ok(Out(Mutex::new(State { path: path.into(), file, len, cap, follow })))
    }

    /// Goes on in the file that has the name now, a new one if none has.
    pub fn reopen(&self) -> io::Result<()> {
        self.state().reopen()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("writing a log line does not panic")
    }
}

/// Opens a file for appending, and says how long it is.
pub fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let len = file.metadata()?.len();
    Ok((file, len))
}

impl State {
    fn reopen(&mut self) -> io::Result<()> {
        let (file, len) = append_to(&self.path)?;
        (self.follow)(&file)?;
        (self.file, self.len) = (file, len);
        Ok(())
    }

    fn make_room(&mut self, more: usize) {
        if self.len > 0 && self.len + more as u64 > self.cap {
            let mut older = OsString::from(&self.path);
            older.push(".1");
            let turned = fs::rename(&self.path, older).and_then(|()| self.reopen());
            if turned.is_err() {
                // Better too long a file than none; the next attempt comes a cap later.
                self.len = 0;
            }
        }
    }
}

impl Write for &Out {
    /// Never fails: a log that cannot be written must not end the service.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.make_room(line.len());
        if state.file.write_all(line).is_ok() {
            state.len += line.len() as u64;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("menagerie-{name}-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        folder
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("a readable file")
    }

    #[test]
    fn the_file_is_capped_and_one_older_is_kept() {
        let folder = folder("out-cap");
        let path = folder.join("zookeeper.out");
        fs::write(&path, "before\n").expect("a file from an earlier run");
        let out = Out::with_cap(&path, |_| Ok(()), 20).expect("it opens");
        for line in ["one\n", "twotwo\n", "three\n", "a line longer than the cap\n", "five\n"] {
            (&out).write_all(line.as_bytes()).expect("writing never fails");
            if line == "three\n" {
                assert_eq!(text(&folder.join("zookeeper.out.1")), "before\none\ntwotwo\n");
                assert_eq!(text(&path), "three\n");
            }
        }
        assert_eq!(text(&path), "five\n");
        assert_eq!(text(&folder.join("zookeeper.out.1")), "a line longer than the cap\n");
        fs::remove_dir_all(&folder).expect("the folder is removed");
    }

    #[test]
    fn a_file_moved_away_is_left_when_told() {
        let folder = folder("out-reopen");
        let path = folder.join("zookeeper.out");
        let out = Out::with_cap(&path, |_| Ok(()), CAP).expect("it opens");
        (&out).write_all(b"one\n").expect("writing never fails");
        fs::rename(&path, folder.join("moved")).expect("a tool moves it");
        (&out).write_all(b"two\n").expect("writing never fails");
        out.reopen().expect("it opens again");
        (&out).write_all(b"three\n").expect("writing never fails");
        assert_eq!(text(&folder.join("moved")), "one\ntwo\n");
        assert_eq!(text(&path), "three\n");
        fs::remove_dir_all(&folder).expect("the folder is removed");
    }
}
