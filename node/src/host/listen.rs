//! The door of a node process: who calls says Hello in bounded time and is given to a link worker or to the control
//! thread.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use swell_ring::NodeId;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::host::wire::{self, GREETING_WAIT, LinkError};
use crate::link::hello::{Answer, Hello, Purpose, Refused};
use crate::link::socket::{Listener, Socket};

/// Links that have not said Hello yet; further callers wait in the system's queue.
pub const HALF_OPEN_MAX: usize = 64;
/// After an error of `accept` (no file descriptors left, mostly) nobody is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts links for as long as it is polled. `welcome` gets each one that was greeted and wants sessions or a stream.
pub async fn accept(listener: Listener, secret: String, me: NodeId, welcome: impl Fn(Purpose, Socket) + 'static) {
    let half_open = Arc::new(Semaphore::new(HALF_OPEN_MAX));
    let (secret, welcome): (Rc<str>, _) = (secret.into(), Rc::new(welcome));
    loop {
        // Never closed.
        let Ok(permit) = half_open.clone().acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "a link could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (secret, welcome) = (secret.clone(), welcome.clone());
        tokio::task::spawn_local(async move {
            match timeout(GREETING_WAIT, greet(socket, &secret, me)).await {
                Ok(Ok((purpose, socket))) => welcome(purpose, socket),
                Ok(Err(error)) => tracing::warn!(%error, "a link did not begin well"),
                Err(_) => tracing::warn!("a link said no Hello within {GREETING_WAIT:?}"),
            }
            drop(permit);
        });
    }
}

async fn greet(mut socket: Socket, secret: &str, me: NodeId) -> Result<(Purpose, Socket), LinkError> {
    wire::notice_death(&socket)?;
    let hello = wire::read_hello(&mut socket).await?;
    match check(&hello, &socket, secret, me) {
        Ok(protocol) => {
            wire::answer(&mut socket, &Answer::Welcome { protocol }).await?;
            Ok((hello.purpose, socket))
        }
        Err(why) => {
            wire::answer(&mut socket, &Answer::Refused { why: why.clone() }).await?;
            Err(LinkError::Unwelcome(why))
        }
    }
}

fn check(hello: &Hello, socket: &Socket, secret: &str, me: NodeId) -> Result<u32, Refused> {
    let protocol = hello.accept(secret)?;
    if secret.is_empty() && !is_local(socket) {
        return Err(Refused::Secret);
    }
    match hello.to {
        Some(other) if other != me => Err(Refused::OtherNode(other)),
        _ if hello.purpose == Purpose::Control => Err(Refused::Purpose(hello.purpose)),
        _ => Ok(protocol),
    }
}

/// Whether the peer is on this host: without a secret nobody else is let in.
fn is_local(socket: &Socket) -> bool {
    match socket {
        Socket::Unix(_) => true,
        Socket::Tcp(stream) => stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback()),
    }
}
