// SPDX-License-Identifier: Apache-2.0
//! Signals, on a thread of their own: a server that hangs must still hear the second Ctrl-C.

use std::{io, process, sync::Arc, thread};

use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot::{Receiver, Sender, channel},
};

use crate::logs::Out;

/// The exit code of a program that SIGINT ended, as shells have it.
const INTERRUPTED: i32 = 130;

/// Handles signals from here on; the receiver hears of the first that asks to stop. With `out`,
/// SIGHUP opens that file again.
pub fn handle(out: Option<Arc<Out>>) -> io::Result<Receiver<()>> {
    let (stop, stopped) = channel();
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let heard = {
        let _inside = runtime.enter();
        Heard {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            out: out
                .map(|out| Ok::<_, io::Error>((signal(SignalKind::hangup())?, out)))
                .transpose()?,
        }
    };
    let thread = thread::Builder::new().name("signals".into());
    thread.spawn(move || runtime.block_on(heard.obey(stop)))?;
    Ok(stopped)
}

struct Heard {
    interrupt: Signal,
    terminate: Signal,
    /// In the background alone: in the foreground a terminal that is closed ends the server.
    out: Option<(Signal, Arc<Out>)>,
}

impl Heard {
    async fn obey(mut self, stop: Sender<()>) {
        let mut stop = Some(stop);
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => match stop.take() {
                    Some(stop) => ask(stop, "SIGINT", "; once more stops it at once"),
                    None => process::exit(INTERRUPTED),
                },
                _ = self.terminate.recv() => {
                    if let Some(stop) = stop.take() {
                        ask(stop, "SIGTERM", "");
                    }
                }
                out = hung_up(&mut self.out) => match out.reopen() {
                    Ok(()) => tracing::info!("log opened again after SIGHUP"),
                    Err(error) => tracing::warn!("cannot open the log again: {error}"),
                },
            }
        }
    }
}

fn ask(stop: Sender<()>, signal: &str, more: &str) {
    tracing::info!("{signal}: stopping{more}");
    // Nobody listens when the server has halted by itself; then it stops anyway.
    let _ = stop.send(());
}

async fn hung_up(out: &mut Option<(Signal, Arc<Out>)>) -> &Out {
    match out {
        Some((hangup, out)) => {
            hangup.recv().await;
            out
        }
        None => std::future::pending().await,
    }
}
