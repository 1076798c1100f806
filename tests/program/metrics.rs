// SPDX-License-Identifier: Apache-2.0
//! Metrics as Prometheus scrapes them.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use super::*;

const PROVIDER: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// Has the figures told on a port; 0 is one that the system chooses.
fn provide(home: &Home, port: u16) {
    home.configure(&format!(
        "metricsProvider.className={PROVIDER}\nmetricsProvider.httpHost=127.0.0.1\n\
         metricsProvider.httpPort={port}\nmetricsProvider.exportJvmInfo=true\n"
    ));
}

/// Where a server that was started says that it tells them.
fn told_at(home: &Home) -> SocketAddr {
    let log = fs::read_to_string(home.folder.join("zookeeper.out")).expect("a log");
    let (_, rest) = log.split_once("Prometheus are at http://").expect("it says where");
    rest.split_once("/metrics").expect("and what").0.parse().expect("an address")
}

/// The head and the body of an answer, which ends with its connection.
fn http(at: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(at).expect("it listens");
    let request = format!("{request} HTTP/1.1\r\nHost: {at}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.into(), body.into())
}

fn figure(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} in {text}")).parse().expect("a number")
}

#[test]
fn prometheus_scrapes_what_happened() {
    let home = Home::new("scrape");
    provide(&home, 0);
    home.start();
    let at = told_at(&home);
    // Whoever connects and says nothing holds up nobody.
    let silent = TcpStream::connect(at).expect("it listens");
    let (head, before) = http(at, "GET /metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let format = "\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8";
    assert!(head.contains(format), "{head}");
    assert!(before.contains("# TYPE num_alive_connections gauge\n"), "{before}");

    home.cli(&["create", "/a"]);
    let (_, after) = http(at, "GET /metrics?when=now");
    assert_eq!(figure(&after, "znode_count"), figure(&before, "znode_count") + 1.0);
    assert!(figure(&after, "commit_count") > figure(&before, "commit_count"));
    let writes = |text| figure(text, "updatelatency_count");
    assert!(writes(&after) > writes(&before), "{after}");

    let (head, body) = http(at, "HEAD /metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, "");
    for other in ["GET /", "GET /metrics/more", "DELETE /metrics"] {
        let (head, _) = http(at, other);
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{other}: {head}");
    }
    drop(silent);
}

#[test]
fn a_metrics_port_in_use_is_said_so() {
    let home = Home::new("scrape-taken");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    provide(&home, taken.local_addr().expect("it is bound").port());
    let output = home.run(&["serve", "zoo.cfg"]);
    assert_eq!(output.status.code(), Some(1));
    let why = complaint(&output);
    assert!(why.contains("is taken by another program"), "{why}");
    assert!(why.contains("choose another metricsProvider.httpPort"), "{why}");
}
