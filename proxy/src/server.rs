//! Starting and stopping a proxy: its workers and their listeners.

use std::net::TcpListener;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use swell_meter::Ledger;
use swell_node::Node;

use crate::clients::Door;
use crate::config::ProxyConfig;
use crate::shared::Shared;
use crate::worker::Worker;

/// Sockets to accept on: for each door one per worker, all bound to the same address.
#[derive(Default)]
pub struct Listeners {
    pub resp: Vec<TcpListener>,
    pub memcached: Vec<TcpListener>,
}

/// A running proxy.
pub struct Proxy {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Starts the workers. Sockets must be non-blocking and listening.
    pub fn start(
        config: &ProxyConfig,
        listeners: Listeners,
        node: Arc<Node>,
        ledger: Arc<Ledger>,
    ) -> std::io::Result<Proxy> {
        let shared = Shared::new(config, node, ledger);
        if let Some(address) = listeners.resp.first().and_then(|listener| listener.local_addr().ok()) {
            shared.resp_port.store(address.port(), Relaxed);
            // Set once: here.
            let _ = shared.resp_bind.set(address.ip());
        }
        let (mut resp, mut memcached) = (listeners.resp.into_iter(), listeners.memcached.into_iter());
        let mut threads = Vec::with_capacity(config.workers);
        for index in 0..config.workers {
            let mut doors = Vec::new();
            doors.extend(resp.next().map(|listener| (Door::Resp, listener)));
            doors.extend(memcached.next().map(|listener| (Door::Memcached, listener)));
            let (sender, mailbox) = tokio::sync::mpsc::unbounded_channel();
            shared.mailboxes.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
            let worker_shared = shared.clone();
            let control = config.control.clone().filter(|_| index == 0);
            let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
                if let Err(error) = Worker::run(worker_shared, index, doors, mailbox, control) {
                    tracing::error!(index, %error, "a worker could not start");
                }
            })?;
            threads.push(thread);
        }
        Ok(Proxy { shared, threads })
    }

    /// What its workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Finishes what is in flight and ends; takes less than two seconds.
    pub fn stop(self) {
        self.shared.stop();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}
