//! `swell scaler`: the scaler in a process of its own, without which its nodes live on until the next one comes.

mod admin;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, bail};
use swell_proxy::shared::unix_ms;
use swell_scaler::ScalerError;
use tokio::runtime::Runtime;

use admin::Admin;

use crate::cli::ScalerTask;
use crate::cluster::{Cluster, ClusterError, Lifetime};
use crate::config::Config;
use crate::config::values::{FirstNode, Listen};
use crate::identity::DataDir;
use crate::listen::{Addresses, Listeners};
use crate::place::{self, Place};
use crate::signals::Signals;
use crate::{http, logging, ready, run, status};

/// The HTTP side's address where nobody says: the proxies' one is one below.
const HTTP_DEFAULT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9122));
/// How often what nodes hold is metered.
const OBSERVE_EVERY: Duration = Duration::from_secs(1);

/// Starts nodes, or takes over those that the last scaler has left, and drives the slot map until SIGINT or SIGTERM.
///
/// # Errors
/// There is no data directory or another process has it, somebody listens there already, the store is damaged.
pub fn run(mut config: Config, task: ScalerTask) -> anyhow::Result<()> {
    logging::start(config.log_format, config.log_level).context("cannot start logging")?;
    let Some(dir) = config.data_dir.clone() else {
        bail!("a scaler that its nodes outlive needs a directory to find them again: pass --data-dir DIR");
    };
    if let Some(path) = &config.ready_file {
        ready::clear(path).with_context(|| format!("cannot remove the old ready file {}", path.display()))?;
    }
    let (_data_dir, identity) = DataDir::open(&dir)?;
    if task.down {
        return Ok(swell_scaler::end_children(&dir)?);
    }
    config.first_node = FirstNode::Process;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::take().context("cannot listen for signals")?
    };
    let place = Place::make(&config, place::configured_port(&config), &place::Runtime::here())?;
    let prices = run::prices(&config)?;
    if config.is_default("http") {
        config.http = Listen::At(HTTP_DEFAULT);
    }
    let listeners = Listeners::open_http(&config)?;
    listeners.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut addresses = listeners.addresses();
    // It is the one that knows what all nodes hold.
    let (keeper, accounts) = run::keep_ledger(&config, &prices, &addresses, true)?;
    let cluster = Cluster::start(&config, &identity, place, None, Lifetime::TheirOwn, keeper.charges())?;
    let ready = Arc::new(AtomicBool::new(false));
    let asking = status::Scaler::new(Some(cluster.link().clone()), config.token.get().unwrap_or("").to_owned());
    let admin = Arc::new(Admin::new(&config, prices, &accounts, asking, ready.clone()));
    let http = listeners.http.and_then(|group| group.sockets.into_iter().next());
    let http = http.map(|listener| http::Server::start(listener, admin, http::Bounds::default())).transpose();
    let http = http.context("cannot start the HTTP side")?;
    let observe = || accounts.ledger.observe_stored(cluster.stored_bytes(), unix_ms());
    let signal = match wait_ready(&cluster, &runtime, &mut signals, &observe)? {
        Some(signal) => signal,
        None => {
            ready.store(true, Relaxed);
            addresses.link = Some(cluster.link().to_string());
            tell(&config, &addresses)?;
            runtime.block_on(wait_signal(&mut signals, &observe))
        }
    };
    ready.store(false, Relaxed);
    tracing::info!(signal, "leaving: the nodes live on");
    if let Some(path) = &config.ready_file {
        // Whoever reads it next must not believe it.
        let _ = ready::clear(path);
    }
    if let Some(http) = http {
        http.stop();
    }
    observe();
    cluster.stop();
    // After those who bring proxies' charges.
    keeper.stop();
    Ok(())
}

/// Waits for all nodes, however long it takes: they may be started again and again meanwhile. Some: the signal to leave.
fn wait_ready(
    cluster: &Cluster,
    runtime: &Runtime,
    signals: &mut Signals,
    observe: &dyn Fn(),
) -> anyhow::Result<Option<&'static str>> {
    let mut asked = None;
    loop {
        let ready = cluster.wait_ready(|| {
            observe();
            let next = signals.next();
            let signal = runtime.block_on(async { tokio::time::timeout(Duration::ZERO, next).await });
            asked = asked.or(signal.ok());
            asked.is_some()
        });
        match ready {
            Ok(()) => return Ok(asked),
            Err(ClusterError::NotReady(why @ ScalerError::NotReady { .. })) => tracing::warn!("{why}; it goes on"),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The signal to leave. Meanwhile what nodes hold is metered.
async fn wait_signal(signals: &mut Signals, observe: &dyn Fn()) -> &'static str {
    loop {
        tokio::select! {
            signal = signals.next() => return signal,
            () = tokio::time::sleep(OBSERVE_EVERY) => observe(),
        }
    }
}

/// Tells where it is.
fn tell(config: &Config, addresses: &Addresses) -> anyhow::Result<()> {
    let link = addresses.link.as_deref().unwrap_or_default();
    let http = addresses.http.map_or_else(|| "off".to_owned(), |http| format!("http://{http}/"));
    // Nobody may be reading.
    let _ = writeln!(
        std::io::stdout(),
        "Swell {} scaler: link {link}, HTTP {http}\nNext: swell proxy --join {link}; swell nodes --link {link}",
        env!("CARGO_PKG_VERSION")
    );
    match &config.ready_file {
        Some(path) => {
            ready::write(path, addresses).with_context(|| format!("cannot write the ready file {}", path.display()))
        }
        None => Ok(()),
    }
}
