// SPDX-License-Identifier: Apache-2.0
//! Says hello to a service: creates a znode, watches it, changes it, hears of it, cleans up.
//!
//! `cargo run -p menagerie-net-tokio --example hello -- localhost:2181`

use std::env;

use menagerie_net_tokio::client::{Client, Create, Error, Transaction};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let connect = env::args().nth(1).unwrap_or_else(|| "localhost:2181".to_owned());
    let zk = Client::connect(&connect).await?;
    println!("session {}", zk.session().0);

    let path = zk.create("/hello-", "first", &Create::ephemeral().sequential()).await?;
    let (node, mut watch) = zk.get_and_watch(&path).await?;
    println!("{path} holds {:?}", String::from_utf8_lossy(node.bytes()));

    let both = Transaction::new().check(&path, Some(node.stat.version)).set(&path, "second", None);
    zk.multi(&both).await?;
    if let Some(notice) = watch.next().await {
        println!("{:?} {} in transaction {}", notice.kind, notice.path, notice.zxid);
    }
    let node = zk.get(&path).await?;
    println!("{path} holds {:?}", String::from_utf8_lossy(node.bytes()));

    zk.close().await;
    Ok(())
}
