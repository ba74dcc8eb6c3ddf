//! What all workers of a proxy share: settings, clients, sums. Nothing here is touched per request.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use swell_engine::Stats;
use swell_engine::commands::table::{Command, tables};
use swell_meter::counters::Usage;
use swell_meter::{Ledger, Tariff, Totals as LedgerTotals};
use swell_node::Node;
use swell_node::link::stats::NodeReport;
use swell_node::metrics::Figures;
use swell_node::view::View;
use swell_ring::NodeId;

use crate::access::Access;
use crate::clients::{ClientInfo, Registry};
use crate::config::{ProxyConfig, Settings};
use crate::membership::Asking;
use crate::memcached::DelayedFlush;
use crate::observe::Watch;
use crate::others::Others;
use crate::outside;
use crate::pause::Pause;
use crate::push::{MAIL_BYTES_MAX, Message};
use crate::rates::Rates;
use crate::route::Route;
use crate::stats::Totals;
use crate::tracking::Tracking;

/// How long a reader of figures waits for the workers to report.
const REPORT_WAIT: Duration = Duration::from_millis(200);

/// Numbers that a proxy has for its clients.
const NUMBERS: u64 = 1 << 32;
/// Where a proxy's numbers may begin.
const PLACES: u64 = (1 << 20) - 1;

/// Shared by all workers of a proxy.
pub struct Shared {
    pub node: Arc<Node>,
    pub settings: Settings,
    /// The users.
    pub access: Access,
    /// Whether changes of the cache state go to a scaler.
    pub has_scaler: bool,
    pub clients: Registry,
    /// The cache's other proxies.
    pub others: Others,
    pub totals: Totals,
    /// What commands are watched for.
    pub watch: Watch,
    /// CLIENT PAUSE.
    pub pause: Pause,
    pub ledger: Arc<Ledger>,
    /// What was charged for each node's replies and not told to the scaler yet.
    pub charged: Charged,
    pub tariff: Tariff,
    pub metering: bool,
    /// The byte that ends a key's prefix on bills.
    pub prefix_separator: Option<u8>,
    pub workers: usize,
    pub version: &'static str,
    /// When the process began to serve.
    pub started: Instant,
    pub started_at_ms: u64,
    /// 40 hexadecimal digits, new with every start.
    pub run_id: String,
    /// 40 hexadecimal digits: the one virtual node's name in CLUSTER replies.
    pub node_id: String,
    pub resp_port: AtomicU16,
    /// Where RESP clients are listened for, if they are.
    pub resp_bind: OnceLock<IpAddr>,
    /// Commands and bytes per second.
    pub rates: Rates,
    /// memcached's `flush_all` with a delay.
    pub delayed_flush: DelayedFlush,
    /// What INFO's command statistics start from; the bill goes on.
    commands_before_reset: Mutex<Option<LedgerTotals>>,
    /// The process is to end: accept nobody, finish what is in flight.
    pub stopping: AtomicBool,
    pub mailboxes: Mutex<Vec<tokio::sync::mpsc::UnboundedSender<Mail>>>,
    /// Who owns each slot, and what holds for the whole cache.
    pub route: Route,
    /// What the node inside this process has seen of both.
    pub view: Arc<View>,
    /// What nodes accept links by; empty where there is none.
    pub cluster_secret: String,
    /// Questions to the scaler.
    pub asking: Asking,
    /// Clients that keep copies of what they read.
    pub tracking: Tracking,
    /// What the nodes said of themselves last, where they are not in this process.
    reports: Mutex<Vec<(NodeId, NodeReport)>>,
    /// What INFO's key statistics of these nodes start from.
    keys_before_reset: Mutex<Stats>,
}

/// Thousandths of ECPUs by node.
#[derive(Debug, Default)]
pub struct Charged {
    sums: Mutex<BTreeMap<NodeId, u64>>,
    added: tokio::sync::Notify,
}

impl Charged {
    /// Moves a worker's counts in.
    pub fn add(&self, counts: &mut Vec<(NodeId, u64)>) {
        if !counts.is_empty() {
            let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            counts.drain(..).for_each(|(node, milli)| *sums.entry(node).or_default() += milli);
            self.added.notify_one();
        }
    }

    /// Waits until something was added since it was waited for last.
    pub async fn changed(&self) {
        self.added.notified().await;
    }

    /// Takes everything out.
    pub fn take(&self) -> Vec<(NodeId, u64)> {
        std::mem::take(&mut *self.sums.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// What another thread may ask of a worker.
#[derive(Debug)]
pub enum Mail {
    /// Report all counts, then say so.
    Report(std::sync::mpsc::Sender<()>),
    /// Messages for clients of this worker, by their numbers.
    Push(Vec<(u64, Message)>),
    /// The node of this process was flushed, so often until now: copies of all its keys are stale.
    Flushed(u64),
    /// The slot map or the cache state has changed.
    Ring,
    /// Users may hear of other channels than before.
    Channels,
    /// Serve what has arrived, then end.
    Stop,
}

impl Shared {
    /// For a proxy in front of this node.
    pub fn new(config: &ProxyConfig, node: Arc<Node>, ledger: Arc<Ledger>) -> Arc<Shared> {
        let first_number = first_number(config);
        let shared = Arc::new(Shared {
            node,
            settings: Settings::new(config),
            access: Access::new(config),
            has_scaler: config.control.is_some(),
            clients: Registry::starting_at(first_number),
            others: Others::default(),
            totals: Totals::default(),
            watch: Watch::default(),
            pause: Pause::default(),
            ledger,
            charged: Charged::default(),
            tariff: config.tariff.clone(),
            metering: config.metering,
            prefix_separator: config.prefix_separator,
            workers: config.workers,
            version: config.version,
            started: Instant::now(),
            started_at_ms: unix_ms(),
            run_id: random_id(),
            node_id: config.node_id.clone(),
            resp_port: AtomicU16::new(0),
            resp_bind: OnceLock::new(),
            rates: Rates::default(),
            delayed_flush: DelayedFlush::default(),
            commands_before_reset: Mutex::default(),
            stopping: AtomicBool::new(false),
            mailboxes: Mutex::default(),
            route: Route::new(config.local),
            view: config.view.clone(),
            cluster_secret: config.control.as_ref().map_or_else(String::new, |control| control.secret.clone()),
            asking: Asking::default(),
            tracking: Tracking::default(),
            reports: Mutex::default(),
            keys_before_reset: Mutex::default(),
        });
        shared.watch.logs.number_from(first_number);
        shared.access.log.number_from(first_number);
        let weak = Arc::downgrade(&shared);
        shared.node.copies().tell_here(Box::new(move |stale| {
            if let Some(shared) = weak.upgrade() {
                shared.tracking.tell(&shared, stale);
            }
        }));
        outside::attach(&shared);
        shared
    }

    /// Waits (briefly) until every worker has reported what it counted. Never call this on a worker.
    pub fn collect_reports(&self) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = mailboxes.iter().filter(|mailbox| mailbox.send(Mail::Report(sender.clone())).is_ok()).count();
        drop(mailboxes);
        let deadline = Instant::now() + REPORT_WAIT;
        for _ in 0..asked {
            if receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
                return;
            }
        }
    }

    /// Sends something to every worker.
    pub fn tell_all(&self, mail: impl Fn() -> Mail) {
        for mailbox in self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // A worker that is gone needs no news.
            let _ = mailbox.send(mail());
        }
    }

    /// Sends messages to clients wherever they are served: one mail for each worker. From a worker's own thread
    /// [`Core::push`](crate::core::Core::push) is cheaper. A client that has too much under way already is ended.
    pub fn push<'a>(&self, messages: impl IntoIterator<Item = (&'a ClientInfo, Message)>) {
        let mut parcels: Vec<Vec<(u64, Message)>> = vec![Vec::new(); self.workers];
        for (client, message) in messages {
            let bytes = message.len() as u64;
            if client.mail_bytes.fetch_add(bytes, Relaxed) + bytes > MAIL_BYTES_MAX {
                self.clients.kill(client.id);
                client.mail_bytes.fetch_sub(bytes, Relaxed);
            } else if let Some(parcel) = parcels.get_mut(client.worker.load(Relaxed)) {
                parcel.push((client.id, message));
            }
        }
        let mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        for (mailbox, parcel) in mailboxes.iter().zip(parcels).filter(|(_, parcel)| !parcel.is_empty()) {
            // A worker that is gone has no clients.
            let _ = mailbox.send(Mail::Push(parcel));
        }
    }

    /// Keeps what the nodes say of themselves.
    pub fn set_reports(&self, reports: Vec<(NodeId, NodeReport)>) {
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = reports;
    }

    /// What all nodes say of themselves: the one in this process as of now, others as of their last report.
    pub fn figures(&self) -> Figures {
        if self.route.is_direct() {
            return Figures::of(&self.node);
        }
        let mut figures = self.remote_figures();
        figures.stats.subtract(&self.keys_before_reset.lock().unwrap_or_else(PoisonError::into_inner));
        figures
    }

    fn remote_figures(&self) -> Figures {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let maxmemory_bytes = self.node.engine().settings().maxmemory_total_bytes();
        let mut figures = Figures::sum(reports.iter().map(|(_, report)| report), maxmemory_bytes);
        if !reports.iter().any(|(node, _)| Some(*node) == self.route.local()) {
            // What this proxy counts by itself.
            figures.stats.add(&self.node.stats());
        }
        figures
    }

    /// Begins to end: no new clients, no more reading.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.tell_all(|| Mail::Stop);
        self.clients.stop_reading();
    }

    /// A pause has begun or ended: workers look at each command while there is one, and nothing is reaped.
    pub fn pausing_has_changed(&self) {
        let is_paused = self.pause.holding(unix_ms()).is_some();
        self.node.engine().settings().set_reaping(!is_paused);
        self.watch.set_pausing(is_paused);
    }

    /// Tells the ledger how much is stored.
    pub(crate) fn observe_stored(&self, now_ms: u64) {
        self.ledger.observe_stored(self.figures().used_bytes, now_ms);
    }

    /// Ends connections that have been idle for longer than the timeout, if there is one. Who waits is not idle.
    pub(crate) fn close_idle_clients(&self, now_ms: u64) {
        let timeout_ms = self.settings.timeout_seconds.load(Relaxed) * 1000;
        if timeout_ms == 0 {
            return;
        }
        for client in self.clients.list() {
            if now_ms.saturating_sub(client.last_active_ms.load(Relaxed)) > timeout_ms && !client.is_blocked() {
                self.clients.kill(client.id);
            }
        }
    }

    /// Sets to zero what INFO counts, as far as workers have reported it; the bill is not touched.
    pub fn reset_stats(&self, now_ms: u64) {
        self.totals.reset();
        self.access.log.reset_counts();
        self.watch.histograms().clear();
        self.rates.reset();
        self.node.reset_stats();
        if !self.route.is_direct() {
            *self.keys_before_reset.lock().unwrap_or_else(PoisonError::into_inner) = self.remote_figures().stats;
        }
        *self.before_reset() = Some(self.ledger.totals(now_ms));
    }

    /// Calls of each command since the last reset, with how many failed and what they cost; bytes and work are those
    /// since the start.
    pub fn command_stats(&self, now_ms: u64) -> Vec<(Command, Usage)> {
        let before = self.before_reset();
        let since = |(command, mut usage): (Command, Usage)| {
            let before = before.as_ref().map(|before| before.usage(command.id)).unwrap_or_default();
            usage.calls -= before.calls;
            usage.failed -= before.failed;
            usage.ecpu_milli -= before.ecpu_milli;
            (usage.calls > 0).then_some((command, usage))
        };
        self.ledger.totals(now_ms).commands().filter_map(since).collect()
    }

    /// Calls of every command since the last reset, by its number.
    pub fn calls(&self, now_ms: u64) -> Vec<u64> {
        let mut calls = vec![0; tables().len()];
        for (command, usage) in self.command_stats(now_ms) {
            calls[command.id.0 as usize] = usage.calls;
        }
        calls
    }

    fn before_reset(&self) -> MutexGuard<'_, Option<LedgerTotals>> {
        self.commands_before_reset.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has begun to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

/// The time in unix milliseconds.
#[inline]
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// 64 bits that differ from start to start.
pub fn random_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Clients and entries of logs have numbers that no other proxy gives: those of the proxy beside the ledger, which every
/// cache has one of, begin at 0, others at one of a million places that are [`NUMBERS`] apart. All stay below 2^53, which
/// is what every client library can read.
fn first_number(config: &ProxyConfig) -> u64 {
    let is_first = config.control.as_ref().is_none_or(|control| control.charges.is_none());
    if is_first { 0 } else { (random_u64() % PLACES + 1) * NUMBERS }
}

fn random_id() -> String {
    format!("{:016x}{:016x}{:08x}", random_u64(), random_u64(), random_u64() as u32)
}
