//! `swell scaler`: the scaler in a process of its own, without which its nodes live on until the next one comes.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use swell_scaler::ScalerError;
use tokio::runtime::Runtime;

use crate::cli::ScalerTask;
use crate::cluster::{Cluster, ClusterError, Lifetime};
use crate::config::Config;
use crate::config::values::FirstNode;
use crate::identity::DataDir;
use crate::listen::Addresses;
use crate::place::{self, Place};
use crate::signals::Signals;
use crate::{logging, ready, run};

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
    let addresses = Addresses { resp: None, memcached: None, http: None, link: None };
    let (keeper, _) = run::keep_ledger(&config, &prices, &addresses, false)?;
    let cluster = Cluster::start(&config, &identity, place, None, Lifetime::TheirOwn, keeper.charges())?;
    let signal = match wait_ready(&cluster, &runtime, &mut signals)? {
        Some(signal) => signal,
        None => {
            tell(&config, &cluster)?;
            runtime.block_on(signals.next())
        }
    };
    tracing::info!(signal, "leaving: the nodes live on");
    if let Some(path) = &config.ready_file {
        // Whoever reads it next must not believe it.
        let _ = ready::clear(path);
    }
    cluster.stop();
    // After those who bring proxies' charges.
    keeper.stop();
    Ok(())
}

/// Waits for all nodes, however long it takes: they may be started again and again meanwhile. Some: the signal to leave.
fn wait_ready(cluster: &Cluster, runtime: &Runtime, signals: &mut Signals) -> anyhow::Result<Option<&'static str>> {
    let mut asked = None;
    loop {
        let ready = cluster.wait_ready(|| {
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

/// Tells where it is.
fn tell(config: &Config, cluster: &Cluster) -> anyhow::Result<()> {
    let link = cluster.link().to_string();
    // Nobody may be reading.
    let _ = writeln!(
        std::io::stdout(),
        "Swell {} scaler: link {link}\nNext: swell proxy --join {link}; swell nodes --link {link}",
        env!("CARGO_PKG_VERSION")
    );
    let addresses = Addresses { resp: None, memcached: None, http: None, link: Some(link) };
    match &config.ready_file {
        Some(path) => {
            ready::write(path, &addresses).with_context(|| format!("cannot write the ready file {}", path.display()))
        }
        None => Ok(()),
    }
}
