// SPDX-License-Identifier: Apache-2.0
//! Where a server's files are, by the rules of `zkEnv.sh`: variables, the files that set them, and
//! the folder that the program was called from.
//!
//! Nothing here asks for a valid configuration: a server must be stoppable after somebody broke
//! its `zoo.cfg`.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs, io,
    path::{self, Path, PathBuf},
    process::{Command, Output, Stdio},
};

use menagerie_core::config::{BUILT_IN_TEXT, Properties};

/// The variables that mean something to the scripts or to the server they start.
const VARIABLES: [&str; 11] = [
    "JMXDISABLE",
    "JMXPORT",
    "JVMFLAGS",
    "RUST_LOG",
    "SERVER_JVMFLAGS",
    "ZOOCFG",
    "ZOOCFGDIR",
    "ZOOPIDFILE",
    "ZOO_DATADIR_AUTOCREATE_DISABLE",
    "ZOO_LOG4J_PROP",
    "ZOO_LOG_DIR",
];

/// Runs the files that set variables, as the shell that they were written for does.
const SOURCE: &str = r#"set -a
for file in zookeeper-env.sh java.env; do [ ! -f "$1/$file" ] || . "$1/$file"; done >&2
env -0"#;

/// Everything the scripts go by.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// The configuration's file; none for the built-in one.
    pub file: Option<PathBuf>,
    settings: Properties,
    /// Where `zookeeper.out` is.
    logs: PathBuf,
}

impl Environment {
    /// The environment of this process; `folder` is what `--config` named, `named` a path or a
    /// name in that folder.
    pub fn of_process(folder: Option<&str>, named: Option<&str>) -> Environment {
        let program = env::args_os().next().unwrap_or_default();
        let variables = |name: &&str| Some((name.to_string(), env::var(name).ok()?));
        let variables = VARIABLES.iter().filter_map(variables).collect();
        Environment::new(&folder_of(&program), folder, named, variables)
    }

    fn new(
        bin: &Path,
        folder: Option<&str>,
        named: Option<&str>,
        mut variables: BTreeMap<String, String>,
    ) -> Environment {
        variables.retain(|_, value| !value.is_empty());
        let folder = folder.or(variables.get("ZOOCFGDIR").map(String::as_str));
        let folder = folder.map_or_else(|| default_folder(bin), PathBuf::from);
        source(&folder, &mut variables);
        let file = config_file(&folder, named, variables.get("ZOOCFG").map(String::as_str));
        let settings = read_settings(file.as_deref());
        let logs = variables.get("ZOO_LOG_DIR").map_or_else(|| default_logs(bin), PathBuf::from);
        Environment { variables, file, settings, logs }
    }

    /// A variable that is set, and not to nothing.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A setting as it stands in the configuration.
    pub fn setting(&self, key: &str) -> Option<&str> {
        let entry = self.settings.find(key)?;
        Some(entry.value.trim()).filter(|value| !value.is_empty())
    }

    /// `dataDir`, or nothing where the configuration has none.
    pub fn data_dir(&self) -> &str {
        self.setting("dataDir").unwrap_or_default()
    }

    /// The file that holds the server's process id.
    pub fn pid_file(&self) -> PathBuf {
        let default = || PathBuf::from(format!("{}/zookeeper_server.pid", self.data_dir()));
        self.variable("ZOOPIDFILE").map_or_else(default, PathBuf::from)
    }

    /// The file that takes what a server in the background says.
    pub fn out(&self) -> PathBuf {
        self.logs.join("zookeeper.out")
    }

    /// The variables that a server is started with.
    pub fn for_server(&self) -> BTreeMap<&str, String> {
        let mut passed: BTreeMap<&str, String> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        if self.variable("ZOO_DATADIR_AUTOCREATE_DISABLE").is_some() {
            let flags = passed.entry("SERVER_JVMFLAGS").or_default();
            *flags = format!("-Dzookeeper.datadir.autocreate=false {flags}");
        }
        passed
    }
}

/// The folder that a program was called from, before any link is followed: a link in `bin` is at
/// home beside `conf`.
fn folder_of(program: &OsStr) -> PathBuf {
    let program = Path::new(program);
    let called = if program.components().count() > 1 {
        path::absolute(program).ok()
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
    };
    let called = called.or_else(|| env::current_exe().ok());
    called.as_deref().and_then(Path::parent).unwrap_or(Path::new(".")).to_path_buf()
}

/// `conf` or `etc/zookeeper` beside the program's folder, or else `conf` here.
fn default_folder(bin: &Path) -> PathBuf {
    let beside = ["../conf", "../etc/zookeeper"].map(|folder| bin.join(folder));
    beside.into_iter().find(|folder| folder.is_dir()).unwrap_or_else(|| "conf".into())
}

/// `logs` beside the program's folder, as in ZooKeeper 3.9, where there is one; or else here, as
/// in 3.4.
fn default_logs(bin: &Path) -> PathBuf {
    Some(bin.join("../logs")).filter(|folder| folder.is_dir()).unwrap_or_else(|| ".".into())
}

/// Adds the variables that `zookeeper-env.sh` and `java.env` set.
fn source(folder: &Path, variables: &mut BTreeMap<String, String>) {
    if !["zookeeper-env.sh", "java.env"].iter().any(|file| folder.join(file).is_file()) {
        return;
    }
    // `.` looks for a name without a slash in PATH.
    let folder = path::absolute(folder).unwrap_or_else(|_| folder.into());
    let output = match run_shell("bash", &folder, variables) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            run_shell("sh", &folder, variables)
        }
        output => output,
    };
    let output = match output {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => return complain(&folder, &output.status.to_string()),
        Err(error) => return complain(&folder, &error.to_string()),
    };
    for definition in output.split(|byte| *byte == 0) {
        let definition = String::from_utf8_lossy(definition);
        if let Some((name, value)) = definition.split_once('=')
            && VARIABLES.contains(&name)
        {
            variables.insert(name.into(), value.into());
        }
    }
    variables.retain(|_, value| !value.is_empty());
}

fn run_shell(
    shell: &str,
    folder: &Path,
    variables: &BTreeMap<String, String>,
) -> io::Result<Output> {
    let mut command = Command::new(shell);
    command.args(["-c", SOURCE, shell]).arg(folder).envs(variables);
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()
}

fn complain(folder: &Path, why: &str) {
    let folder = folder.display();
    eprintln!("menagerie: zookeeper-env.sh and java.env of {folder} are left out: {why}");
}

/// The configuration to use: a path as it is, a name from `folder` (or, where that has none of the
/// name, from here), `zoo.cfg` if nothing was named; none if there is no such file.
fn config_file(folder: &Path, named: Option<&str>, default: Option<&str>) -> Option<PathBuf> {
    let Some(named) = named else {
        return Some(folder.join(default.unwrap_or("zoo.cfg"))).filter(|file| file.is_file());
    };
    let in_folder = folder.join(named);
    let here = Path::new(".").join(named);
    Some(if named.contains('/') || (!in_folder.is_file() && here.is_file()) {
        named.into()
    } else {
        in_folder
    })
}

/// What the file sets, as far as it can be read.
fn read_settings(file: Option<&Path>) -> Properties {
    let text = match file {
        None => Ok(BUILT_IN_TEXT.into()),
        Some(file) => fs::read(file),
    };
    let text = text.unwrap_or_else(|error| {
        let file = file.map(Path::display).expect("the built-in text is at hand");
        eprintln!("menagerie: cannot read {file}: {error}");
        Vec::new()
    });
    Properties::from_file(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    /// A folder with `bin`, `conf` and `conf/zoo.cfg`.
    fn installation(name: &str) -> PathBuf {
        let root = env::temp_dir().join(format!("menagerie-env-{name}-{}", process::id()));
        fs::create_dir_all(root.join("bin")).expect("a folder");
        fs::create_dir_all(root.join("conf")).expect("a folder");
        let text = "dataDir = /var/lib/zk \n# dataDir=/elsewhere\nclientPort=2181\n";
        fs::write(root.join("conf/zoo.cfg"), text).expect("a file");
        root
    }

    fn environment(root: &Path, named: Option<&str>, set: &[(&str, &str)]) -> Environment {
        let set = set.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Environment::new(&root.join("bin"), None, named, set.collect())
    }

    #[test]
    fn files_are_found_from_the_programs_folder() {
        let root = installation("beside");
        let found = environment(&root, None, &[]);
        assert_eq!(found.file, Some(root.join("bin/../conf/zoo.cfg")));
        assert_eq!(found.data_dir(), "/var/lib/zk");
        assert_eq!(found.pid_file(), Path::new("/var/lib/zk/zookeeper_server.pid"));
        assert_eq!(found.out(), Path::new("./zookeeper.out"));
        fs::create_dir(root.join("logs")).expect("a folder");
        let found = environment(&root, None, &[("ZOOPIDFILE", "/run/zk.pid")]);
        assert_eq!(found.pid_file(), Path::new("/run/zk.pid"));
        assert_eq!(found.out(), root.join("bin/../logs/zookeeper.out"));
        fs::remove_dir_all(&root).expect("the folder is removed");
    }

    #[test]
    fn a_named_configuration_is_a_path_or_in_the_folder() {
        let root = installation("named");
        let file = |named| environment(&root, named, &[]).file;
        assert_eq!(file(Some("/etc/other.cfg")), Some("/etc/other.cfg".into()));
        assert_eq!(file(Some("./zoo.cfg")), Some("./zoo.cfg".into()));
        assert_eq!(file(Some("zoo.cfg")), Some(root.join("bin/../conf/zoo.cfg")));
        assert_eq!(file(Some("none.cfg")), Some(root.join("bin/../conf/none.cfg")));
        let conf = root.join("conf").display().to_string();
        let elsewhere = environment(Path::new("/"), None, &[("ZOOCFGDIR", &conf)]);
        assert_eq!(elsewhere.file, Some(root.join("conf/zoo.cfg")));
        let other = environment(&root, None, &[("ZOOCFG", "other.cfg")]);
        assert_eq!((other.file.clone(), other.data_dir()), (None, "./menagerie-data"));
        fs::remove_dir_all(&root).expect("the folder is removed");
    }

    #[test]
    fn files_that_set_variables_are_run() {
        let root = installation("sourced");
        let java = "SERVER_JVMFLAGS=\"-Da=b $SERVER_JVMFLAGS\"\nexport ZOO_LOG_DIR=/var/log/zk\n\
                    OTHER=1\necho noise\n";
        fs::write(root.join("conf/java.env"), java).expect("a file");
        let set = [("SERVER_JVMFLAGS", "-Dc=d"), ("ZOO_DATADIR_AUTOCREATE_DISABLE", "1")];
        let found = environment(&root, None, &set);
        assert_eq!(found.out(), Path::new("/var/log/zk/zookeeper.out"));
        let passed = found.for_server();
        let flags = "-Dzookeeper.datadir.autocreate=false -Da=b -Dc=d";
        assert_eq!(passed.get("SERVER_JVMFLAGS").map(String::as_str), Some(flags));
        assert!(!passed.contains_key("OTHER"));
        fs::remove_dir_all(&root).expect("the folder is removed");
    }
}
