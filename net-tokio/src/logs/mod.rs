// SPDX-License-Identifier: Apache-2.0
//! The server's log: to the console in the foreground, to `zookeeper.out` in the background.

mod out;

use std::{
    backtrace::Backtrace,
    env,
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    process,
    sync::Arc,
};

use menagerie_core::event::{Event, Level};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

pub use out::{Out, append_to};

/// Starts logging, once: to `out`, or else to the console's error stream.
pub fn start(out: Option<Arc<Out>>) {
    let ansi = out.is_none() && io::stderr().is_terminal();
    let (filter, doubt) = filter(env::var("RUST_LOG").ok(), env::var("ZOO_LOG4J_PROP").ok());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(ansi)
        .with_writer(Destination(out))
        .init();
    if let Some(doubt) = doubt {
        tracing::warn!("{doubt}");
    }
}

/// Logs what a core has to tell.
pub fn tell(event: &Event) {
    match event.level() {
        Level::Debug => tracing::debug!("{event}"),
        Level::Info => tracing::info!("{event}"),
        Level::Warn => tracing::warn!("{event}"),
        Level::Error => tracing::error!("{event}"),
    }
}

/// From here on a panic in any thread is logged and ends the process: what is wrong in memory must
/// not reach the disk or a client.
pub fn end_at_panic() {
    panic::set_hook(Box::new(|panic| {
        tracing::error!("{}", account(panic, &Backtrace::force_capture()));
        process::exit(1);
    }));
}

fn account(panic: &PanicHookInfo<'_>, trace: &Backtrace) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("for no stated reason");
    let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
    format!(
        "panicked{place}: {text}; this is a fault of Menagerie, nothing acknowledged is lost: \
         start it again, and report this and the lines below\n{trace}"
    )
}

/// `RUST_LOG` decides, or else the level in `ZOO_LOG4J_PROP`; what cannot be read is doubted aloud.
fn filter(rust_log: Option<String>, log4j: Option<String>) -> (EnvFilter, Option<String>) {
    if let Some(directives) = rust_log.filter(|text| !text.is_empty()) {
        return match EnvFilter::try_new(&directives) {
            Ok(filter) => (filter, None),
            Err(error) => {
                let doubt =
                    format!("RUST_LOG={directives} is not understood ({error}); using info");
                (EnvFilter::new("info"), Some(doubt))
            }
        };
    }
    let Some(log4j) = log4j.filter(|text| !text.is_empty()) else {
        return (EnvFilter::new("info"), None);
    };
    match log4j_level(&log4j) {
        Some(level) => (EnvFilter::new(level), None),
        None => {
            let doubt = format!("ZOO_LOG4J_PROP={log4j} begins with no level; using info");
            (EnvFilter::new("info"), Some(doubt))
        }
    }
}

/// The level of `INFO,CONSOLE` and its like; where it is to go was decided otherwise.
fn log4j_level(text: &str) -> Option<&'static str> {
    let word = text.split(',').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(match word.as_str() {
        "off" => "off",
        "fatal" | "error" => "error",
        "warn" => "warn",
        "info" => "info",
        "debug" => "debug",
        "trace" | "all" => "trace",
        _ => return None,
    })
}

struct Destination(Option<Arc<Out>>);

impl<'a> MakeWriter<'a> for Destination {
    type Writer = Box<dyn Write + 'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match &self.0 {
            Some(out) => Box::new(&**out),
            None => Box::new(io::stderr()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, thread};

    use super::*;

    const ALONE: &str = "MENAGERIE_TEST_ALONE";

    /// Only in a process of its own, which the test below starts: it does not come back.
    #[test]
    fn a_thread_panics_under_the_hook() {
        if env::var_os(ALONE).is_none() {
            return;
        }
        start(None);
        end_at_panic();
        let thread = thread::spawn(|| panic!("the tree has {} roots", 2));
        let _ = thread.join();
        println!("the process goes on");
    }

    #[test]
    fn a_panic_is_logged_and_ends_the_process() {
        let run = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "logs::tests::a_thread_panics_under_the_hook", "--nocapture"])
            .env(ALONE, "yes")
            .env("RUST_LOG", "error")
            .output()
            .expect("it runs again");
        let (out, log) =
            (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert_eq!(run.status.code(), Some(1), "{out}{log}");
        assert!(!out.contains("the process goes on"), "{out}");
        assert!(log.contains("ERROR panicked at net-tokio/src/logs/mod.rs:"), "{log}");
        assert!(log.contains("the tree has 2 roots; this is a fault of Menagerie"), "{log}");
        assert!(log.contains("a_thread_panics_under_the_hook"), "a trace: {log}");
    }

    #[test]
    fn levels_come_from_either_variable() {
        let of = |rust: Option<&str>, log4j: Option<&str>| {
            let (filter, doubt) = filter(rust.map(String::from), log4j.map(String::from));
            (filter.to_string(), doubt.is_some())
        };
        assert_eq!(of(None, None), ("info".into(), false));
        assert_eq!(of(None, Some("WARN,ROLLINGFILE")), ("warn".into(), false));
        assert_eq!(of(None, Some("ALL")), ("trace".into(), false));
        assert_eq!(of(None, Some("LOUD, CONSOLE")), ("info".into(), true));
        assert_eq!(of(Some("debug"), Some("WARN,CONSOLE")), ("debug".into(), false));
        assert_eq!(of(Some("=,="), None), ("info".into(), true));
        assert_eq!(of(Some(""), Some("")), ("info".into(), false));
    }
}
