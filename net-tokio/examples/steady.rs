// SPDX-License-Identifier: Apache-2.0
//! Writes all the time, one write after the other, and says when each was acknowledged: the client
//! of `benches/outages`, and the one that the simulator's outages are predicted for.
//!
//!     steady CONNECT TIMEOUT_MS
//!
//! A line is the wall time of an acknowledgement, in microseconds. A write that failed is followed
//! by the next one; a session that expired, by another. Ends when it cannot print.

use std::{
    env,
    error::Error,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use menagerie_net_tokio::client::{Client, Create, ErrorCode, Options};

/// Between an answer and the next write.
const PAUSE: Duration = Duration::from_millis(5);
const PATH: &str = "/steady";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [connect, timeout] = arguments.as_slice() else {
        return Err("give a connect string and a session timeout in milliseconds".into());
    };
    let timeout = Duration::from_millis(timeout.parse()?);
    let open = || Options::default().timeout(timeout).start(connect);
    let mut client: Client = open()?;
    loop {
        match client.set(PATH, b"x", None).await {
            Ok(_) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
                writeln!(io::stdout(), "{}", now.as_micros())?;
            }
            Err(why) if why.code() == Some(ErrorCode::NoNode) => {
                // Another try may have made it.
                let _ = client.create(PATH, b"", &Create::persistent()).await;
            }
            Err(_) if client.state().is_final() => client = open()?,
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}
