//! Accepting clients: the door's rule, the number of clients, and then a task for each.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::clients::Door;
use crate::error::ProxyError;
use crate::session::Session;
use crate::shared::unix_ms;
use crate::worker::Worker;

/// How long accepting rests when the process has no file descriptor left.
const OUT_OF_DESCRIPTORS_REST: Duration = Duration::from_millis(50);

/// Accepts clients of one listener for as long as the worker lives.
pub async fn accept(worker: Rc<Worker>, door: Door, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(&worker, door, stream, peer),
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept clients for the moment");
                tokio::time::sleep(OUT_OF_DESCRIPTORS_REST).await;
            }
        }
    }
}

fn admit(worker: &Rc<Worker>, door: Door, stream: TcpStream, peer: SocketAddr) {
    let shared = &worker.shared;
    let settings = &shared.settings;
    worker.core.borrow_mut().counts.connections_received += 1;
    let is_open = shared.access.is_open();
    let refusal = if is_open && !peer.ip().to_canonical().is_loopback() {
        Some(ProxyError::ProtectedMode)
    } else if shared.clients.len() >= settings.maxclients.load(Relaxed) {
        Some(ProxyError::MaxClients)
    } else {
        None
    };
    if let Some(refusal) = refusal {
        worker.core.borrow_mut().counts.connections_rejected += 1;
        let text = match door {
            Door::Resp => format!("-{refusal}\r\n"),
            Door::Memcached => format!("SERVER_ERROR {refusal}\r\n"),
        };
        // The socket is new and its buffer empty; a peer that is gone already needs no answer.
        let _ = stream.try_write(text.as_bytes());
        return;
    }
    // Without it replies wait for acknowledgements; a socket that cannot be told so works all the same.
    let _ = stream.set_nodelay(true);
    let laddr = stream.local_addr().unwrap_or(peer);
    let user = shared.access.users().default_user().clone();
    let info = shared.clients.add(door, user, peer, laddr, stream.as_raw_fd(), unix_ms());
    info.worker.store(worker.core.borrow().index, Relaxed);
    worker.connection_opened();
    tokio::task::spawn_local(Client::new(stream, worker.clone(), Session::new(info, &shared.access)));
}

/// Errors of `accept` that concern only the connection that was to be accepted.
fn is_about_one_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
