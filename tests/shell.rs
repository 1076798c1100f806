// SPDX-License-Identifier: Apache-2.0
//! The shell against the server, both as programs. The output in `tests/shell` is what `zkCli.sh`
//! of 3.9.5 prints for the same lines, but for the version; `UPDATE_GOLDEN=1`
//! rewrites it.

use std::{
    env, fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_menagerie");

/// A server with a folder of its own; stopped in the end.
struct Server {
    folder: PathBuf,
    port: u16,
}

impl Server {
    fn start(name: &str) -> Server {
        let folder = env::temp_dir().join(format!("menagerie-shell-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = probe.local_addr().expect("it is bound").port();
        drop(probe);
        let config = format!(
            "tickTime=2000\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             dataDir={}/data\nextendedTypesEnabled=true\n",
            folder.display()
        );
        fs::write(folder.join("zoo.cfg"), config).expect("the configuration is written");
        let server = Server { folder, port };
        assert_eq!(server.run(&["start", "zoo.cfg"], "").status.code(), Some(0));
        server
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that reads nothing may have ended before.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("the program ends")
    }

    fn cli(&self, command: &[&str], input: &str) -> (i32, String, String) {
        let server = format!("127.0.0.1:{}", self.port);
        let arguments = [&["cli", "-server", &server], command].concat();
        let output = self.run(&arguments, input);
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(&server, "SERVER");
            text.lines().map(|line| without_date(line) + "\n").collect::<String>()
        };
        let code = output.status.code().expect("it was not killed");
        (code, text(&output.stdout), text(&output.stderr))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run(&["stop", "zoo.cfg"], "");
        // What a failed test leaves there helps to understand it.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn without_date(line: &str) -> String {
    let date = line.starts_with("ctime = ") || line.starts_with("mtime = ");
    if date { format!("{}DATE", &line[..8]) } else { line.to_owned() }
}

fn assert_golden(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shell").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&file, found).expect("the golden file is written");
    }
    let want = fs::read_to_string(&file).expect("a golden file");
    assert_eq!(found, want, "{name}; UPDATE_GOLDEN=1 rewrites it");
}

#[test]
fn a_session_prints_what_zk_cli_prints() {
    let server = Server::start("session");
    let (code, out, err) = server.cli(&[], include_str!("shell/session.txt"));
    assert_golden("session.out", &out);
    assert_golden("session.err", &err);
    assert_eq!(code, 0);
}

#[test]
fn one_command_gives_its_exit_code() {
    let server = Server::start("code");
    let connected = "Connecting to SERVER\n\nWATCHER::\n\n\
         WatchedEvent state:SyncConnected type:None path:null zxid: -1\n";
    let closed = "\nWATCHER::\n\nWatchedEvent state:Closed type:None path:null zxid: -1\n";
    let whole = |text: &str| format!("{connected}{text}{closed}");
    let run = |command: &[&str]| server.cli(command, "");
    assert_eq!(run(&["create", "/a", "x y"]), (0, whole(""), "Created /a\n".into()));
    assert_eq!(run(&["get", "/a"]), (0, whole("x y\n"), String::new()));
    assert_eq!(run(&["get", "/b"]), (1, whole(""), "Node does not exist: /b\n".into()));
    assert_eq!(run(&["dance"]).0, 127);
    let refused = run(&["-timeout", "soon"]);
    assert!(refused.2.starts_with("-timeout takes milliseconds, not \"soon\"\n"), "{refused:?}");
}

#[test]
fn a_chroot_is_a_root() {
    let server = Server::start("chroot");
    assert_eq!(server.cli(&["create", "/app"], "").0, 0);
    let below = format!("127.0.0.1:{}/app", server.port);
    let at = |command: &[&str]| {
        let output = server.run(&[&["cli", "-server", &below], command].concat(), "");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(at(&["create", "/x"]).ends_with("Created /x\n"));
    let listed = at(&["ls", "/"]);
    assert!(listed.contains("\n[x]\n"), "{listed}");
    assert!(server.cli(&["ls", "/app"], "").1.contains("\n[x]\n"));
}
