// SPDX-License-Identifier: Apache-2.0
//! `zkCleanup.sh`: removes old snapshots and logs by hand, by the rules of the server's own purge.
//!
//! A server may run meanwhile: what is removed is older than anything it would read.

use std::path::Path;

use menagerie_core::{
    event::{Event, Level},
    io::{Effect, Effects},
    store::{Ids, LEAST_RETAINED, Purge, PurgeNews},
    zoo::Sound,
};
use tokio::{
    runtime::Builder,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::environment::Environment;
use crate::driver::{Completion, Files, Folders};

/// How many snapshots to keep, from `-n COUNT`.
pub fn count(arguments: &[&str]) -> Option<usize> {
    match arguments {
        ["-n", count] => count.parse().ok().filter(|count| *count >= LEAST_RETAINED),
        _ => None,
    }
}

/// Keeps the newest `retain` snapshots and what belongs to them; gives back the exit code.
pub fn run(environment: &Environment, retain: usize) -> u8 {
    let data = environment.data_dir();
    let log = environment.setting("dataLogDir").unwrap_or(data);
    let folders = Folders::new(Path::new(data), Path::new(log));
    let runtime = match Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("menagerie: cannot start the runtime: {error}");
            return 1;
        }
    };
    let (done, ends) = unbounded_channel();
    let mut work = Work { files: Files::new(folders, done), failed: false };
    let PurgeNews { removed } = runtime.block_on(work.purge(retain, ends));
    println!("{removed} files removed");
    u8::from(work.failed)
}

struct Work {
    files: Files,
    failed: bool,
}

impl Work {
    async fn purge(
        &mut self,
        retain: usize,
        mut ends: UnboundedReceiver<Vec<Completion>>,
    ) -> PurgeNews {
        let (mut ids, mut fx) = (Ids::new(), Effects::new());
        let mut purge = Purge::new(Sound);
        purge.start(retain, &mut ids, &mut fx);
        loop {
            self.execute(&mut fx);
            for (op, result) in ends.recv().await.expect("the lanes hold the other end") {
                let result = result.as_ref().map(|output| output.lend()).map_err(Clone::clone);
                if let Some(news) = purge.on_file(op, &result, &mut ids, &mut fx) {
                    self.execute(&mut fx);
                    return news;
                }
            }
        }
    }

    fn execute(&mut self, fx: &mut Effects) {
        for effect in fx.take_list() {
            match effect {
                Effect::File { lane, op, what } => self.files.order(lane, op, what),
                Effect::Event(event) => self.tell(&event),
                other => unreachable!("a purge wants files and words alone, not {other:?}"),
            }
        }
        fx.clear();
        self.files.submit();
    }

    fn tell(&mut self, event: &Event) {
        if event.level() >= Level::Warn {
            self.failed = true;
            eprintln!("menagerie: {event}");
        } else {
            println!("{event}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_three_snapshots_are_kept() {
        assert_eq!(count(&["-n", "3"]), Some(3));
        assert_eq!(count(&["-n", "2"]), None);
        assert_eq!(count(&["-n"]), None);
        assert_eq!(count(&[]), None);
    }
}
