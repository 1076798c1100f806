// SPDX-License-Identifier: Apache-2.0
//! The files that say who belongs to the ensemble, rewritten while a server runs. Names and
//! contents are Java's, so that either can start where the other left off.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use menagerie_core::{
    config::{Endpoint, Properties, refer_to},
    io::ConfigFile,
};

/// What writes files beside a `zoo.cfg`; `clients` is the client port that is open.
pub fn keeper(config: Option<&Path>, clients: Option<Endpoint>) -> Box<dyn FnMut(&ConfigFile)> {
    let config = config.map(Path::to_owned);
    Box::new(move |file| {
        let config = config.as_deref().expect("the built-in configuration has no members");
        match write(config, file) {
            Ok(path) if file.in_force => tracing::info!("members are now those of {path}"),
            Ok(_) => {}
            Err(error) => tracing::error!(
                "cannot write {}{}: {error}. Its members are agreed on all the same; before this \
                 server is started again, write it by hand:\n{}",
                config.display(),
                file.name,
                file.text
            ),
        }
        if let Some((host, port)) = &file.client
            && clients.as_ref().is_some_and(|open| (&open.host, open.port) != (host, *port))
        {
            let wanted = Endpoint { host: host.clone(), port: *port };
            tracing::warn!("clients are to be served at {wanted}: restart this server for that");
        }
    })
}

/// Writes a file, and what follows from it; gives its path.
fn write(config: &Path, file: &ConfigFile) -> io::Result<String> {
    let path = beside(config, &file.name);
    replace(&path, file.text.as_bytes())?;
    let path = fs::canonicalize(path)?.display().to_string();
    if file.in_force {
        let text = fs::read(config)?;
        let read = Properties::from_file(&text);
        if read.is_ok_and(|read| read.find("dynamicConfigFile").is_none()) {
            replace(&beside(config, ".bak"), &text)?;
        }
        replace(config, &refer_to(&path, file.client.is_some(), &text))?;
        match fs::remove_file(beside(config, ".dynamic.next")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(path)
}

fn beside(config: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(config);
    name.push(end);
    name.into()
}

/// Puts a file in place of another at once, durably.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = beside(path, ".tmp");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_as_java_leaves_them() {
        let folder = std::env::temp_dir().join(format!("menagerie-members-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        let config = folder.join("zoo.cfg");
        let first = "tickTime=2000\nserver.1=a:1:2\nclientPort=3\n";
        fs::write(&config, first).expect("it is written");
        let file = |name: &str, text: &str, in_force| ConfigFile {
            name: name.into(),
            text: text.into(),
            in_force,
            client: in_force.then_some((None, 3)),
        };
        let next = file(".dynamic.next", "server.1=a:1:2:participant;0.0.0.0:3\nversion=1", false);
        write(&config, &next).expect("it is written");
        assert!(folder.join("zoo.cfg.dynamic.next").exists());
        let path =
            write(&config, &file(".dynamic.1", "server.1=a:1:2:participant;0.0.0.0:3", true));
        let path = path.expect("it is written");
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
        assert_eq!(read("zoo.cfg"), format!("tickTime=2000\ndynamicConfigFile={path}\n"));
        assert_eq!(read("zoo.cfg.bak"), first);
        assert_eq!(read("zoo.cfg.dynamic.1"), "server.1=a:1:2:participant;0.0.0.0:3");
        assert!(!folder.join("zoo.cfg.dynamic.next").exists());
        write(&config, &file(".dynamic.2", "server.1=a:1:2", true)).expect("it is written");
        assert_eq!(read("zoo.cfg.bak"), first, "the first is kept");
        fs::remove_dir_all(&folder).expect("it was ours");
    }
}
