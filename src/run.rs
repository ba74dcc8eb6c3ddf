//! Serving: builds nodes and scaler, the ledger, the proxy and the HTTP side, and takes them down again.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use swell_meter::store::{Report, Spool};
use swell_meter::{Bill, Ledger, PriceFile, Profile, Tariff};
use swell_node::host::EMBEDDED;
use swell_node::link::socket::Address;
use swell_proxy::charges::Charges;
use swell_proxy::files;
use swell_proxy::shared::{random_u64, unix_ms};
use swell_proxy::{Control, Proxy, ProxyConfig, Shared};
use tokio::runtime::Runtime;

use crate::cli::ProxyTask;
use crate::cluster::{self, Cluster, Embedded, Lifetime, Topology};
use crate::config::Config;
use crate::config::values::FirstNode;
use crate::http::{self, doors};
use crate::identity::{DataDir, Identity};
use crate::ledger::{self, Door, Gauges, Keeper, LedgerError};
use crate::listen::{Addresses, Group, Listeners};
use crate::nodes::asking::Asking;
use crate::place::{self, Place};
use crate::signals::Signals;
use crate::{Parts, banner, logging, metrics, node, print, ready, scaler, status, users};

/// How long a proxy may take to join.
const JOIN_MAX: Duration = Duration::from_secs(5);
/// Between two looks at whether it has.
const JOIN_LOOK: Duration = Duration::from_millis(1);
/// How long a proxy that leaves tries to tell the ledger the rest.
const HAND_IN_MAX: Duration = Duration::from_millis(800);
/// The cache of this process, on bills.
pub const CACHE: &str = "default";

/// What the command line starts and prints.
pub const PARTS: Parts = Parts {
    serve,
    node: node::run,
    proxy,
    scaler: scaler::run,
    commands_page: print::commands_page,
    metrics_page: metrics::page,
};

/// Serves until SIGINT or SIGTERM, then finishes what is in flight.
///
/// # Errors
/// A listener that was asked for and cannot be had, a price file that cannot be read, a worker that cannot start; nodes
/// that are not there in time.
pub fn serve(config: Config) -> anyhow::Result<()> {
    let prices = begin(&config)?;
    if config.nodes_max > 1 {
        let (nodes_max, commands) = (config.nodes_max, cluster::atomic_commands().join(" "));
        tracing::info!(
            nodes_max,
            commands,
            "with keys in several slots these answer CROSSSLOT, as there may be several nodes"
        );
    }
    let (_data_dir, identity) = match &config.data_dir {
        Some(dir) => DataDir::open(dir).map(|(held, identity)| (Some(held), identity))?,
        None => (None, Identity::new()),
    };
    let (listeners, maxclients) = open_doors(&config)?;
    let mut addresses = listeners.addresses();
    let mut leaving = Leaving::listen()?;
    let place = make_place(&config, &addresses)?;
    let embedded = (config.first_node == FirstNode::Embedded).then(|| Embedded::new(&config, &identity));
    let topology = Topology {
        control: place.as_ref().map(|place| place.link.clone()),
        secret: config.token.get().unwrap_or("").to_owned(),
        embedded: embedded.clone(),
    };
    let (keeper, accounts) = keep_ledger(&config, &prices, &addresses, true)?;
    let charges = keeper.charges();
    let start_proxy = || Running::start(&config, identity.clone(), listeners, prices, maxclients, topology, accounts);
    let start_cluster = |leaving: &mut Leaving| match place {
        Some(place) => start_cluster(&config, &identity, place, embedded.as_ref(), charges, leaving),
        None => Ok(None),
    };
    // Alone, the embedded node serves from the start whatever the scaler may be doing; others have to be waited for.
    let (running, cluster) = if cluster::is_alone(&config) {
        (start_proxy()?, start_cluster(&mut leaving)?)
    } else {
        let cluster = start_cluster(&mut leaving)?;
        if leaving.asked.is_some() {
            // The scaler goes first: it is what brings other proxies' charges.
            drop(cluster);
            keeper.stop();
            return Ok(());
        }
        let running = start_proxy()?;
        running.wait_joined()?;
        (running, cluster)
    };
    addresses.link = cluster.as_ref().map(|cluster| cluster.link().to_string());
    leaving.serve_until_asked(&config, &addresses, running)?;
    if let Some(cluster) = cluster {
        cluster.stop();
    }
    // After everybody who charges.
    keeper.stop();
    Ok(())
}

/// Opens the durable ledger, with what this process's proxy charges as its first source. `knows_stored`: there is such a
/// proxy, and it knows how many bytes are stored.
///
/// # Errors
/// The ledger cannot be opened, or a thread is refused.
pub fn keep_ledger(
    config: &Config,
    prices: &PriceFile,
    addresses: &Addresses,
    knows_stored: bool,
) -> anyhow::Result<(Keeper, Accounts)> {
    let book = ledger::open(config.data_dir.as_deref(), CACHE)?;
    let accounts = Accounts::new(prices);
    let spool = Spool::new(&proxy_name(addresses), &boot(), knows_stored);
    let keeper = Keeper::start(book, spool, accounts.ledger.clone(), accounts.gauges.clone())
        .context("cannot start the ledger's thread")?;
    let accounts = Accounts { door: Some(keeper.door()), ..accounts };
    Ok((keeper, accounts))
}

/// Serves clients of the cache whose scaler listens at `task.join`, until SIGINT or SIGTERM.
///
/// # Errors
/// As [`serve`]; or the scaler cannot be reached, or refuses.
pub fn proxy(config: Config, task: ProxyTask) -> anyhow::Result<()> {
    let prices = begin(&config)?;
    let secret = config.token.get().unwrap_or("").to_owned();
    let welcome = Asking::begin(&task.join, &secret).context("cannot join")?.into_welcome();
    let identity = Identity { node_id: welcome.virtual_node, hash_seed: welcome.hash_seed };
    let (listeners, maxclients) = open_doors(&config)?;
    let addresses = listeners.addresses();
    let mut leaving = Leaving::listen()?;
    let mut accounts = Accounts::new(&prices);
    let spool = Spool::new(&proxy_name(&addresses), &boot(), false);
    let charges = Charges::new(spool, accounts.ledger.clone());
    accounts.charges = Some(charges.clone());
    let topology = Topology { control: Some(task.join.clone()), secret: secret.clone(), embedded: None };
    let running = Running::start(&config, identity, listeners, prices, maxclients, topology, accounts)?;
    running.wait_joined()?;
    leaving.serve_until_asked(&config, &addresses, running)?;
    hand_in(&charges, &task.join, &secret);
    Ok(())
}

/// Sends what is not in the ledger yet, at the end: the workers and their link are gone.
fn hand_in(charges: &Charges, join: &Address, secret: &str) {
    let until = Instant::now() + HAND_IN_MAX;
    let mut asking = None;
    while let Some(charged) = charges.next() {
        let (boot, sequence) = (charged.boot.clone(), charged.sequence);
        let told = match &mut asking {
            Some(asking) => Asking::charge(asking, charged),
            None => Asking::begin(join, secret).and_then(|begun| asking.insert(begun).charge(charged)),
        };
        match told {
            Ok(()) => charges.confirmed(&boot, sequence),
            Err(error) if Instant::now() >= until => {
                tracing::error!(%error, ecpu_milli = charges.ecpu_milli(), "leaving with what is not in the ledger");
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "the ledger is not reached");
                asking = None;
                std::thread::sleep(JOIN_LOOK);
            }
        }
    }
}

/// Which proxy it is, to people who look into the ledger.
fn proxy_name(addresses: &Addresses) -> String {
    let first = [addresses.resp, addresses.memcached, addresses.http].into_iter().flatten().next();
    first.map_or_else(String::new, |address| address.to_string())
}

/// Differs from start to start.
fn boot() -> String {
    format!("{:016x}{:016x}", random_u64(), random_u64())
}

/// What comes first: log lines, no ready file of an earlier run, prices.
fn begin(config: &Config) -> anyhow::Result<PriceFile> {
    logging::start(config.log_format, config.log_level).context("cannot start logging")?;
    if let Some(path) = &config.ready_file {
        ready::clear(path).with_context(|| format!("cannot remove the old ready file {}", path.display()))?;
    }
    // What is wrong with the users is said before anything has begun.
    users::of_file(config)?;
    prices(config)
}

/// The prices that bills are made with.
///
/// # Errors
/// The price file cannot be read, or is none.
pub fn prices(config: &Config) -> anyhow::Result<PriceFile> {
    match &config.price_file {
        Some(path) => Ok(PriceFile::load(path)?),
        None => Ok(PriceFile::default()),
    }
}

/// Listens, and says how many clients may come.
fn open_doors(config: &Config) -> anyhow::Result<(Listeners, usize)> {
    let listeners = Listeners::open(config)?;
    listeners.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let maxclients = files::make_room_for_clients(config.maxclients).unwrap_or(config.maxclients);
    if maxclients < config.maxclients {
        tracing::warn!(maxclients, wanted = config.maxclients, "the limit of open files allows fewer clients");
    }
    Ok((listeners, maxclients))
}

/// Finds and makes the place for links. None: there is none, and nobody has asked for one.
fn make_place(config: &Config, addresses: &Addresses) -> anyhow::Result<Option<Place>> {
    let first = [addresses.resp, addresses.memcached, addresses.http].into_iter().flatten().next();
    match Place::make(config, first.map_or(0, |address| address.port()), &place::Runtime::here()) {
        Ok(place) => Ok(Some(place)),
        Err(error) => go_without_link(config, error.into()).map(|()| None),
    }
}

/// Starts scaler and nodes, and waits for them. None: they cannot listen, and nobody has asked for it.
fn start_cluster(
    config: &Config,
    identity: &Identity,
    place: Place,
    embedded: Option<&Embedded>,
    charges: swell_scaler::Charges,
    leaving: &mut Leaving,
) -> anyhow::Result<Option<Cluster>> {
    match Cluster::start(config, identity, place, embedded, Lifetime::OfParent, charges) {
        Ok(cluster) => {
            cluster.wait_ready(|| leaving.is_asked())?;
            Ok(Some(cluster))
        }
        Err(error) if error.is_about_listening() => go_without_link(config, error.into()).map(|()| None),
        Err(error) => Err(error.into()),
    }
}

/// A cache that is one process needs no link: where there is no place for one, as in a container without a writable
/// directory, it serves all the same.
fn go_without_link(config: &Config, error: anyhow::Error) -> anyhow::Result<()> {
    if !cluster::is_alone(config) || !config.is_default("link") {
        return Err(error);
    }
    tracing::warn!("no commands such as `swell nodes` will be answered: {error:#}");
    Ok(())
}

/// The signals that end a process, and the runtime that hears them.
struct Leaving {
    runtime: Runtime,
    signals: Signals,
    /// The signal that has come already.
    asked: Option<&'static str>,
}

impl Leaving {
    /// From now on signals are heard and end nothing by themselves.
    fn listen() -> anyhow::Result<Leaving> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _entered = runtime.enter();
            Signals::take().context("cannot listen for signals")?
        };
        Ok(Leaving { runtime, signals, asked: None })
    }

    /// Whether somebody has asked to leave already.
    fn is_asked(&mut self) -> bool {
        let next = self.signals.next();
        let asked = self.runtime.block_on(async { tokio::time::timeout(Duration::ZERO, next).await });
        self.asked = self.asked.or(asked.ok());
        self.asked.is_some()
    }

    /// Tells where everything is, waits for a signal, and stops the proxy.
    fn serve_until_asked(&mut self, config: &Config, addresses: &Addresses, running: Running) -> anyhow::Result<()> {
        // Nobody may be reading.
        let _ = std::io::stdout().write_all(banner::text(config, addresses).as_bytes());
        if let Some(path) = &config.ready_file {
            ready::write(path, addresses).with_context(|| format!("cannot write the ready file {}", path.display()))?;
        }
        let signal = match self.asked {
            Some(signal) => signal,
            None => self.runtime.block_on(self.signals.next()),
        };
        tracing::info!(signal, "leaving: finishing what is in flight");
        running.stop();
        if let Some(path) = &config.ready_file {
            // Whoever reads it next must not believe it.
            let _ = ready::clear(path);
        }
        Ok(())
    }
}

/// What was used: where this process sums it up, and where that goes.
pub struct Accounts {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) gauges: Arc<Gauges>,
    /// The durable ledger, if this process has it.
    pub(crate) door: Option<Door>,
    /// The way to the ledger of another process.
    charges: Option<Charges>,
}

impl Accounts {
    /// Nothing was used, and nobody keeps it.
    fn new(prices: &PriceFile) -> Accounts {
        let ledger = Arc::new(Ledger::new(unix_ms(), prices.minimum_stored_bytes));
        Accounts { ledger, gauges: Arc::default(), door: None, charges: None }
    }
}

/// What the durable ledger says of a period; or why not, for a person.
pub(crate) fn period_report(door: Option<&Door>, period: &http::Period, prices: &PriceFile) -> Result<Report, String> {
    let door = door.ok_or(http::NO_LEDGER)?;
    let to_ms = period.to_ms.unwrap_or_else(unix_ms);
    let (used, begins_ms) = door
        .used(period.from_ms.unwrap_or(0), to_ms, period.by.dimension())
        .map_err(|error: LedgerError| error.to_string())?;
    let from_ms = period.from_ms.or(begins_ms).unwrap_or(to_ms);
    Ok(Report::new(CACHE, (from_ms, to_ms), &used, period.by, prices))
}

/// A Swell that serves; a test may start one in its own process.
pub struct Running {
    proxy: Proxy,
    http: Option<http::Server>,
    ready: Arc<AtomicBool>,
}

impl Running {
    /// Starts the proxy and the HTTP side on these listeners.
    ///
    /// # Errors
    /// Threads or runtimes that the system refuses.
    pub fn start(
        config: &Config,
        identity: Identity,
        listeners: Listeners,
        prices: PriceFile,
        maxclients: usize,
        topology: Topology,
        accounts: Accounts,
    ) -> anyhow::Result<Running> {
        let Accounts { ledger, gauges, door, charges } = accounts;
        let local = topology.embedded.as_ref().map(|_| EMBEDDED);
        // Without a node of its own it keeps an empty one: for the settings, which the scaler tells it.
        let embedded = topology.embedded.unwrap_or_else(|| Embedded::new(config, &identity));
        let secret = topology.secret;
        let scaler = status::Scaler::new(topology.control.clone(), secret.clone());
        let proxy_config = ProxyConfig {
            workers: config.workers,
            maxclients,
            query_buffer_bytes_max: config.client_query_buffer_bytes_max,
            output_buffer_bytes_max: config.client_output_buffer_bytes_max,
            timeout_seconds: config.timeout_seconds,
            requirepass: config.requirepass.get().map(str::to_owned),
            acl_file: users::of_file(config)?,
            metering: config.metering,
            prefix_separator: config.bill_prefixes,
            tariff: Tariff::new(config.price_profile),
            node_id: identity.node_id,
            version: env!("CARGO_PKG_VERSION"),
            control: topology.control.map(|address| Control { address, secret, charges: charges.clone() }),
            local,
            view: embedded.view,
        };
        let sockets = |group: Option<Group>| group.map_or_else(Vec::new, |group| group.sockets);
        let (http_group, doors) = (
            listeners.http,
            swell_proxy::Listeners { resp: sockets(listeners.resp), memcached: sockets(listeners.memcached) },
        );
        let proxy = Proxy::start(&proxy_config, doors, embedded.node, ledger).context("cannot start the workers")?;
        let ready = Arc::new(AtomicBool::new(true));
        let admin = Arc::new(Admin {
            shared: proxy.shared().clone(),
            ready: ready.clone(),
            prices,
            profile: config.price_profile,
            metrics: metrics::Metrics::with(gauges, charges),
            door,
            scaler,
        });
        let http = http_group
            .and_then(|group| group.sockets.into_iter().next())
            .map(|listener| http::Server::start(listener, admin, http::Bounds::default()))
            .transpose()
            .context("cannot start the HTTP side")?;
        Ok(Running { proxy, http, ready })
    }

    /// Waits until the proxy is a member and knows the cache state. Before that it would show settings that do not hold,
    /// and changes would be acknowledged without it.
    fn wait_joined(&self) -> anyhow::Result<()> {
        let until = Instant::now() + JOIN_MAX;
        while self.proxy.shared().route.state_version() == 0 {
            anyhow::ensure!(Instant::now() < until, "the scaler has not let this proxy join after {JOIN_MAX:?}");
            std::thread::sleep(JOIN_LOOK);
        }
        Ok(())
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
    /// The durable ledger, if this process has it.
    door: Option<Door>,
    scaler: status::Scaler,
}

impl Admin {
    /// As of the workers' last reports.
    fn bill(&self) -> Bill {
        Bill::new(CACHE, self.profile, &self.shared.ledger.totals(unix_ms()), &self.prices)
    }
}

impl http::Admin for Admin {
    fn metrics(&self) -> String {
        self.shared.collect_reports();
        self.metrics.render(&self.shared, self.scaler.status().as_ref())
    }

    fn ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn usage(&self) -> serde_json::Value {
        self.shared.collect_reports();
        serde_json::to_value(self.bill()).unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }))
    }

    fn status(&self) -> Option<serde_json::Value> {
        let status = self.scaler.status()?;
        self.shared.collect_reports();
        Some(status::page(&status, &self.bill()))
    }

    fn events(&self, after: u64) -> Option<serde_json::Value> {
        self.scaler.events(after)
    }

    fn period(&self, period: &http::Period) -> Result<serde_json::Value, String> {
        self.shared.collect_reports();
        let report = period_report(self.door.as_ref(), period, &self.prices)?;
        serde_json::to_value(report).map_err(|error| error.to_string())
    }

    fn authorised(&self, authorization: Option<&str>) -> bool {
        let access = &self.shared.access;
        access.is_open()
            || doors::credentials(authorization)
                .and_then(|(name, password)| access.let_in(&name, &password))
                .is_some_and(|user| user.may_look())
    }

    fn local_only(&self) -> bool {
        self.shared.access.is_open()
    }
}
