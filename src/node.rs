//! `swell node`: an engine and its link server in a process of their own, until the scaler or a person ends it.

use std::io::Read;
use std::thread;

use anyhow::{Context, anyhow, bail};
use swell_node::host::{Ended, Host, HostConfig};
use swell_proxy::shared::random_u64;
use tokio::sync::oneshot;

use crate::cli::NodeTask;
use crate::config::Config;
use crate::signals::Signals;
use crate::{cluster, logging};

/// Joins the scaler and holds slots until SIGINT, SIGTERM, the scaler's word or, if that was asked for, the end of
/// standard input.
///
/// # Errors
/// It cannot join: nobody listens there, the secret is wrong, the scaler refuses it.
pub fn run(config: Config, task: NodeTask) -> anyhow::Result<()> {
    logging::start(config.log_format, config.log_level).context("cannot start logging")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let mut signals = Signals::take().context("cannot listen for signals")?;
    let orphaned = task.leave_with_stdin.then(end_of_stdin).transpose().context("cannot start a thread")?;
    let advertise = match task.advertise {
        Some(address) => address,
        None => cluster::advertised_towards(&task.join, random_u64())?,
    };
    let host = Host::start(HostConfig {
        join: task.join.clone(),
        secret: config.token.get().unwrap_or("").to_owned(),
        advertise,
        zone: config.zone.clone(),
        workers: config.workers,
    })
    // Its words say all there is to say.
    .map_err(|error| anyhow!("{error} ({})", task.join))?;
    tracing::info!(node = host.id().0, address = %host.address(), "joined");
    let parent = async {
        match orphaned {
            // An error is the same news: nobody reads any more.
            Some(ended) => drop(ended.await),
            None => std::future::pending().await,
        }
    };
    let refused = runtime.block_on(async {
        tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "leaving");
                None
            }
            () = parent => {
                tracing::info!("leaving: standard input has ended");
                None
            }
            ended = host.ended() => match ended {
                Ended::Refused(why) => Some(why),
                Ended::Left | Ended::Stopped => {
                    tracing::info!("leaving: its slots are elsewhere");
                    None
                }
            },
        }
    });
    host.stop();
    match refused {
        Some(why) => bail!("the cluster at {} does not take this node back: {why}", task.join),
        None => Ok(()),
    }
}

/// Hears when standard input ends: a parent that is gone cannot hold its end of a pipe open.
fn end_of_stdin() -> std::io::Result<oneshot::Receiver<()>> {
    let (say, heard) = oneshot::channel();
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 64];
        while stdin.read(&mut ignored).is_ok_and(|bytes| bytes > 0) {}
        // Whoever listened has left for another reason.
        let _ = say.send(());
    })?;
    Ok(heard)
}
