//! The scaler as its process sees it: started on a thread of its own, waited for, stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc as threads;
use std::thread::JoinHandle;
use std::time::Duration;

use swell_node::link::socket::{Address, Listener};
use swell_ring::{CacheState, Member};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use crate::charges::Charges;
use crate::error::ScalerError;
use crate::events::unix_ms;
use crate::provider::process::ProcessConfig;
use crate::provider::records::{Leftovers, Records};
use crate::ready::Ready;
use crate::scale::ScalingConfig;
use crate::store::Store;
use crate::store::file::FileStore;
use crate::store::memory::Memory;
use crate::writer::Writer;

/// Inputs that wait for the scaler at most; then links are read no further.
const INPUTS_MAX: usize = 1024;

/// What a scaler needs to know.
#[derive(Clone, Debug)]
pub struct ScalerConfig {
    /// Where members and people's commands reach it.
    pub listen: Address,
    /// The cluster's secret; empty: none (Unix sockets only).
    pub secret: String,
    /// Where the store is; the caller has locked it. None: nothing outlives the process.
    pub data_dir: Option<PathBuf>,
    /// The cache's hash seed.
    pub hash_seed: u64,
    /// The one virtual node's name in CLUSTER replies.
    pub virtual_node: String,
    /// The cache state as configured; what clients have changed since is kept over it. Where an entry was configured
    /// anew, that holds.
    pub state: CacheState,
    /// A node inside this process, that owns every slot which nobody else owns at the start. It joins over a link like
    /// any other; it is known by its address.
    pub embedded: Option<Member>,
    /// Child processes that are nodes.
    pub process: Option<ProcessConfig>,
    /// Where what proxies have charged goes.
    pub charges: Charges,
    /// How many nodes there may be and what they are planned for.
    pub scaling: ScalingConfig,
}

/// A running scaler. It ends when this is dropped.
#[derive(Debug)]
pub struct Scaler {
    stop: Option<oneshot::Sender<()>>,
    ready: Arc<Ready>,
    stored_bytes: Arc<AtomicU64>,
    address: Address,
    thread: Option<JoinHandle<()>>,
}

impl Scaler {
    /// Starts it on a thread of its own. When this returns, it listens, and the store was read; child processes are
    /// being started (see [`Scaler::wait_ready`]).
    ///
    /// # Errors
    /// It cannot listen there, or the store cannot be used.
    pub fn start(config: ScalerConfig) -> Result<Scaler, ScalerError> {
        if config.secret.is_empty() && !config.listen.is_local() {
            return Err(ScalerError::NoSecret(config.listen.to_string()));
        }
        let ready = Arc::new(Ready::default());
        let (stop, stopped) = oneshot::channel();
        let (started, starting) = threads::channel();
        let readiness = ready.clone();
        let stored_bytes = Arc::new(AtomicU64::new(0));
        let stored = stored_bytes.clone();
        let thread = std::thread::Builder::new()
            .name("scaler".to_owned())
            .spawn(move || {
                run(config, stopped, readiness.clone(), stored, &started);
                readiness.ended();
            })
            .map_err(ScalerError::Thread)?;
        let address = starting.recv().map_err(|_| ScalerError::Ended)??;
        Ok(Scaler { stop: Some(stop), ready, stored_bytes, address, thread: Some(thread) })
    }

    /// Where it listens: with the port that was chosen.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Bytes of keys and values that all nodes together hold, as of their last reports.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Relaxed)
    }

    /// Waits until all nodes that were asked for have joined and serve by the first map. The embedded node is not waited
    /// for: its process knows.
    ///
    /// # Errors
    /// They have not after this time, or the scaler has ended.
    pub fn wait_ready(&self, bound: Duration) -> Result<(), ScalerError> {
        self.ready.wait(bound)
    }

    /// Ends it and those child processes that are not to outlive it, and waits for that.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if let Some(stop) = self.stop.take() {
            // Nobody listens only if the thread has ended.
            let _ = stop.send(());
        }
        if thread.join().is_err() {
            tracing::error!("the scaler's thread panicked");
        }
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends the nodes that a scaler has left running for this data directory, which the caller has
/// locked, with what they hold. Blocks until they have ended.
///
/// # Errors
/// One does not end.
pub fn end_children(data_dir: &Path) -> Result<(), ScalerError> {
    Records::new(Some(data_dir)).settle(Leftovers::End).map(drop)
}

type Started = threads::Sender<Result<Address, ScalerError>>;

/// The thread: one runtime, one task that owns everything, one task for each link and child.
fn run(
    config: ScalerConfig,
    stop: oneshot::Receiver<()>,
    ready: Arc<Ready>,
    stored_bytes: Arc<AtomicU64>,
    started: &Started,
) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return answer(started, Err(ScalerError::Thread(why))),
    };
    LocalSet::new().block_on(&runtime, async {
        let listener = match Listener::bind(&config.listen).await {
            Ok(listener) => listener,
            Err(why) => return answer(started, Err(ScalerError::Listen(config.listen.to_string(), why))),
        };
        let (inputs, inbox) = mpsc::channel(INPUTS_MAX);
        let (address, store) = (listener.address(), store_of(&config));
        match Writer::begin(config, store, listener, inputs, ready) {
            Ok(mut writer) => {
                writer.stored_bytes = stored_bytes;
                answer(started, Ok(address));
                writer.run(inbox, stop).await;
            }
            Err(why) => answer(started, Err(why)),
        }
    });
}

fn store_of(config: &ScalerConfig) -> Box<dyn Store> {
    match &config.data_dir {
        Some(dir) => Box::new(FileStore::new(dir)),
        None => Box::new(Memory::new(unix_ms())),
    }
}

fn answer(started: &Started, result: Result<Address, ScalerError>) {
    // Nobody listens only if the starter's thread is gone.
    let _ = started.send(result);
}
