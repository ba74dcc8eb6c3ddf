//! The HTTP side: metrics, health, usage. A thread and a runtime of its own, so that no scrape takes a worker's time.
//!
//! `doors` decides who may ask, `pages` what is answered; this file accepts, bounds and stops.

pub mod doors;
mod pages;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use swell_meter::store::By;

use crate::signals::{self, Shutdown, Trigger};
use crate::when;

/// How long to leave a listener alone that cannot accept, for example because no file is left to open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the pages say. Methods are called on the HTTP side's only thread and should answer in milliseconds.
pub trait Admin: Send + Sync {
    /// All metrics in Prometheus's text format.
    fn metrics(&self) -> String;
    /// Whether clients are served: true from the first reply to the start of the drain.
    fn ready(&self) -> bool;
    /// What `swell bill` prints, a [`swell_meter::Bill`].
    fn usage(&self) -> serde_json::Value;
    /// What `swell bill --from --to --by` prints, a [`swell_meter::store::Report`]; or why not, for a person.
    fn period(&self, period: &Period) -> Result<serde_json::Value, String>;
    /// Nodes, moves, scaling, and what was used so far. None: no scaler answers.
    fn status(&self) -> Option<serde_json::Value> {
        None
    }
    /// The latest events with a higher number than this, oldest first. None: no scaler answers.
    fn events(&self, _after: u64) -> Option<serde_json::Value> {
        None
    }
    /// Whether a request with this `Authorization` header may ask; `doors::password_matches` compares.
    fn authorised(&self, authorization: Option<&str>) -> bool;
    /// Whether only this machine may ask, because no password is set.
    fn local_only(&self) -> bool;
}

/// A period that the durable ledger is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Unix milliseconds; none: from its beginning.
    pub from_ms: Option<u64>,
    /// Unix milliseconds; none: until now.
    pub to_ms: Option<u64>,
    /// What a line stands for.
    pub by: By,
}

/// Why a process without a ledger has no answer.
pub const NO_LEDGER: &str = "this proxy keeps no ledger: ask the process that runs the scaler";

impl Period {
    /// Reads times and the lines' kind as people type them; see [`when::FORMS`] for times. `now_ms`: Unix milliseconds.
    ///
    /// # Errors
    /// One of them makes no sense: what would.
    pub fn parse(from: Option<&str>, to: Option<&str>, by: Option<&str>, now_ms: u64) -> Result<Period, String> {
        let time = |text: Option<&str>| text.map(|text| when::parse(text, now_ms)).transpose();
        let by = match by {
            None => By::Command,
            Some(text) => {
                let names = By::NAMES.map(|(name, _)| name).join(", ");
                let found = By::NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, by)| by);
                found.ok_or_else(|| format!("nothing is counted by '{text}': it is one of {names}"))?
            }
        };
        let period = Period { from_ms: time(from)?, to_ms: time(to)?, by };
        match (period.from_ms, period.to_ms.unwrap_or(now_ms)) {
            (Some(from_ms), to_ms) if from_ms > to_ms => Err("the period ends before it begins".to_owned()),
            _ => Ok(period),
        }
    }

    /// As a page's path, which [`Period::of_query`] reads.
    pub fn path(&self) -> String {
        let from = self.from_ms.map(|ms| format!("&from={}", when::show_ms(ms))).unwrap_or_default();
        let to = self.to_ms.map(|ms| format!("&to={}", when::show_ms(ms))).unwrap_or_default();
        format!("/usage?by={}{from}{to}", self.by.name())
    }

    /// Reads what stands behind the `?`.
    fn of_query(query: &str, now_ms: u64) -> Result<Period, String> {
        let (mut from, mut to, mut by) = (None, None, None);
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("from", text)) => from = Some(text),
                Some(("to", text)) => to = Some(text),
                Some(("by", text)) => by = Some(text),
                _ => return Err(format!("'{part}' is not from=TIME, to=TIME or by=WHAT")),
            }
        }
        Period::parse(from, to, by, now_ms)
    }
}

/// What a client of the HTTP side can take up at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections served at once; further ones read 503.
    pub connections: usize,
    /// Bytes of a request's line and headers.
    pub head_bytes: usize,
    pub headers: usize,
    /// Bytes of a request's body, which no page reads.
    pub body_bytes: u64,
    /// Time to send a request's head, and to stay without a request.
    pub head_timeout: Duration,
    /// Time that one connection gets in all: a client that never reads would stay for good otherwise.
    pub lifetime: Duration,
    /// Time that connections get to finish when the process leaves or their lifetime is over.
    pub drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            connections: 256,
            head_bytes: 16 << 10,
            headers: 64,
            body_bytes: 64 << 10,
            head_timeout: Duration::from_secs(15),
            lifetime: Duration::from_secs(300),
            drain: Duration::from_millis(500),
        }
    }
}

/// A running HTTP side. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    trigger: Trigger,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts to serve on a thread of its own.
    ///
    /// # Errors
    /// No thread or runtime can be had, or `listener` is none that tokio can take over.
    pub fn start(listener: std::net::TcpListener, admin: Arc<dyn Admin>, bounds: Bounds) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (trigger, shutdown) = signals::shutdown();
        let serve = move || runtime.block_on(serve(listener, admin, bounds, shutdown));
        let thread = thread::Builder::new().name("swell-http".to_owned()).spawn(serve)?;
        Ok(Server { address, trigger, thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets requests in progress finish within [`Bounds::drain`], and waits for the thread.
    pub fn stop(mut self) {
        self.leave();
    }

    fn leave(&mut self) {
        self.trigger.pull();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP side ended in a panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.leave();
    }
}

async fn serve(listener: TcpListener, admin: Arc<dyn Admin>, bounds: Bounds, mut shutdown: Shutdown) {
    let seats = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.requested() => break,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&seats).try_acquire_owned() {
                Ok(seat) => {
                    let visit = Visit { admin: Arc::clone(&admin), peer: peer.ip(), bounds };
                    connections.spawn(converse(stream, visit, seat, shutdown.clone()));
                }
                Err(_) => turn_away(&stream),
            },
            Err(error) => {
                tracing::warn!(%error, "the HTTP side cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Each ends within `bounds.drain`.
    while connections.join_next().await.is_some() {}
}

/// One connection's circumstances.
struct Visit {
    admin: Arc<dyn Admin>,
    peer: IpAddr,
    bounds: Bounds,
}

impl Visit {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        pages::answer(&*self.admin, self.peer, self.bounds.body_bytes, request)
    }
}

async fn converse(stream: TcpStream, visit: Visit, seat: OwnedSemaphorePermit, mut shutdown: Shutdown) {
    let bounds = visit.bounds;
    let service = service_fn(|request| {
        let response = visit.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(bounds.headers)
        .max_buf_size(bounds.head_bytes)
        .half_close(true);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What goes wrong with a connection is its client's affair and ends with it.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = over(&mut shutdown, bounds.lifetime) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(bounds.drain, connection).await;
        }
    }
    drop(seat);
}

/// Waits until the process leaves or `lifetime` has passed.
async fn over(shutdown: &mut Shutdown, lifetime: Duration) {
    // Both ends of the wait mean the same.
    let _ = tokio::time::timeout(lifetime, shutdown.requested()).await;
}

/// Says why before closing, if the kernel takes it at once.
fn turn_away(stream: &TcpStream) {
    let text =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
    // A client that cannot even be told is closed all the same.
    let _ = stream.try_write(text.as_bytes());
}
