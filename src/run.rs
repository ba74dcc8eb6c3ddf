//! Serving: builds the node, the ledger, the proxy and the HTTP side, and takes them down again.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Context;
use swell_meter::{Bill, Ledger, PriceFile, Profile, Tariff};
use swell_node::Node;
use swell_proxy::files;
use swell_proxy::shared::unix_ms;
use swell_proxy::{Proxy, ProxyConfig, Shared};

use crate::config::Config;
use crate::http::{self, doors};
use crate::identity::{DataDir, Identity};
use crate::listen::{Group, Listeners};
use crate::signals::Signals;
use crate::{Parts, banner, logging, metrics, print, ready};

/// What the command line starts and prints.
pub const PARTS: Parts = Parts { serve, commands_page: print::commands_page, metrics_page: metrics::page };

/// Serves until SIGINT or SIGTERM, then finishes what is in flight.
///
/// # Errors
/// A listener that was asked for and cannot be had, a price file that cannot be read, a worker that cannot start.
pub fn serve(config: Config) -> anyhow::Result<()> {
    logging::start(config.log_format, config.log_level).context("cannot start logging")?;
    if let Some(path) = &config.ready_file {
        ready::clear(path).with_context(|| format!("cannot remove the old ready file {}", path.display()))?;
    }
    let prices = match &config.price_file {
        Some(path) => PriceFile::load(path)?,
        None => PriceFile::default(),
    };
    let (_data_dir, identity) = match &config.data_dir {
        Some(dir) => DataDir::open(dir).map(|(held, identity)| (Some(held), identity))?,
        None => (None, Identity::new()),
    };
    let listeners = Listeners::open(&config)?;
    let addresses = listeners.addresses();
    listeners.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let maxclients = files::make_room_for_clients(config.maxclients).unwrap_or(config.maxclients);
    if maxclients < config.maxclients {
        tracing::warn!(maxclients, wanted = config.maxclients, "the limit of open files allows fewer clients");
    }
    // Before the workers: signals are blocked for whoever starts later.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let mut signals = Signals::take().context("cannot listen for signals")?;
    let running = Running::start(&config, identity, listeners, prices, maxclients)?;
    // Nobody may be reading.
    let _ = std::io::stdout().write_all(banner::text(&config, &addresses).as_bytes());
    if let Some(path) = &config.ready_file {
        ready::write(path, &addresses).with_context(|| format!("cannot write the ready file {}", path.display()))?;
    }
    let signal = runtime.block_on(signals.next());
    tracing::info!(signal, "leaving: finishing what is in flight");
    running.stop();
    if let Some(path) = &config.ready_file {
        // Whoever reads it next must not believe it.
        let _ = ready::clear(path);
    }
    Ok(())
}

/// Gives back what the allocator keeps for this thread.
fn release_memory() {
    // SAFETY: mimalloc is this process's allocator; collecting is allowed at any time on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// A Swell that serves; a test may start one in its own process.
pub struct Running {
    proxy: Proxy,
    http: Option<http::Server>,
    ready: Arc<AtomicBool>,
}

impl Running {
    /// Starts all roles on these listeners.
    ///
    /// # Errors
    /// Threads or runtimes that the system refuses.
    pub fn start(
        config: &Config,
        identity: Identity,
        listeners: Listeners,
        prices: PriceFile,
        maxclients: usize,
    ) -> anyhow::Result<Running> {
        let node = Node::new(identity.hash_seed);
        let settings = node.engine().settings();
        settings.set_maxmemory_bytes(config.maxmemory);
        settings.set_policy(config.maxmemory_policy);
        settings.set_spares_only_resp(config.is_default("maxmemory_policy"));
        settings.set_item_bytes_max(config.memcached_item_bytes_max);
        let ledger = Arc::new(Ledger::new(unix_ms(), prices.minimum_stored_bytes));
        let proxy_config = ProxyConfig {
            workers: config.workers,
            maxclients,
            query_buffer_bytes_max: config.client_query_buffer_bytes_max,
            output_buffer_bytes_max: config.client_output_buffer_bytes_max,
            timeout_seconds: config.timeout_seconds,
            requirepass: config.requirepass.get().map(str::to_owned),
            metering: config.metering,
            tariff: Tariff::new(config.price_profile),
            node_id: identity.node_id,
            release_memory,
            version: env!("CARGO_PKG_VERSION"),
            control: None,
            local: Some(swell_ring::NodeId(1)),
            view: Arc::default(),
        };
        let sockets = |group: Option<Group>| group.map_or_else(Vec::new, |group| group.sockets);
        let (http_group, doors) = (
            listeners.http,
            swell_proxy::Listeners { resp: sockets(listeners.resp), memcached: sockets(listeners.memcached) },
        );
        let proxy = Proxy::start(&proxy_config, doors, node, ledger).context("cannot start the workers")?;
        let ready = Arc::new(AtomicBool::new(true));
        let admin = Arc::new(Admin {
            shared: proxy.shared().clone(),
            ready: ready.clone(),
            prices,
            profile: config.price_profile,
            metrics: metrics::Metrics::new(),
        });
        let http = http_group
            .and_then(|group| group.sockets.into_iter().next())
            .map(|listener| http::Server::start(listener, admin, http::Bounds::default()))
            .transpose()
            .context("cannot start the HTTP side")?;
        Ok(Running { proxy, http, ready })
    }

    /// Finishes what is in flight and ends, within two seconds.
    pub fn stop(self) {
        self.ready.store(false, Relaxed);
        self.proxy.stop();
        if let Some(http) = self.http {
            http.stop();
        }
    }
}

/// What the HTTP side says.
struct Admin {
    shared: Arc<Shared>,
    ready: Arc<AtomicBool>,
    prices: PriceFile,
    profile: Profile,
    metrics: metrics::Metrics,
}

impl http::Admin for Admin {
    fn metrics(&self) -> String {
        self.shared.collect_reports();
        self.metrics.render(&self.shared)
    }

    fn ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn usage(&self) -> serde_json::Value {
        self.shared.collect_reports();
        let totals = self.shared.ledger.totals(unix_ms());
        let bill = Bill::new("default", self.profile, &totals, &self.prices);
        serde_json::to_value(bill).unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }))
    }

    fn authorised(&self, authorization: Option<&str>) -> bool {
        match self.shared.settings.password() {
            None => true,
            Some(password) => doors::password_matches(authorization, &password),
        }
    }

    fn local_only(&self) -> bool {
        self.shared.settings.password().is_none()
    }
}
