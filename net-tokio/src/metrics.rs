// SPDX-License-Identifier: Apache-2.0
//! Figures for Prometheus over HTTP, at `/metrics`. The text is the core's; here are the limits
//! within which it is told, so that whoever scrapes slowly holds up nothing but other scrapers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use menagerie_core::io::Question;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc::UnboundedSender, oneshot},
    time::{sleep, timeout},
};

use crate::driver::{Answer, Asked};

/// Prometheus' text format, as Java's provider names it.
const FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What anything else is answered in.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// How long a scrape may take, from the connection to its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Scrapes at once; more wait to be accepted.
const AT_ONCE: usize = 32;

/// Bytes of a request's head, at most.
const HEAD: usize = 16 << 10;

/// Answers scrapes for as long as the program runs. A connection is for one of them.
pub async fn serve(listener: TcpListener, core: UnboundedSender<Asked>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let place = places.clone().acquire_owned().await.expect("nobody closes it");
        match listener.accept().await {
            Ok((stream, _)) => {
                let core = core.clone();
                tokio::spawn(async move {
                    // Who is too slow is hung up on, as is who speaks no HTTP.
                    let _ = timeout(PATIENCE, talk(stream, &core)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a scrape: {error}; trying again");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn talk(stream: TcpStream, core: &UnboundedSender<Asked>) -> hyper::Result<()> {
    let service = service_fn(|request| respond(request, core));
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(HEAD);
    http.serve_connection(TokioIo::new(stream), service).await
}

async fn respond(
    request: Request<Incoming>,
    core: &UnboundedSender<Asked>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, format, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match figures(core).await {
            Ok(text) => (StatusCode::OK, FORMAT, text),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, "only GET /metrics is answered\n".into()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, format);
    Ok(response)
}

/// Asks the core for the text.
async fn figures(core: &UnboundedSender<Asked>) -> Answer {
    let (asker, answer) = oneshot::channel();
    let stopped = || String::from("the server has stopped");
    core.send((Question::Metrics, asker)).map_err(|_| stopped())?;
    answer.await.map_err(|_| stopped())?
}
