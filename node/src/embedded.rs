//! The node inside the proxy's process: a worker executes on its own thread, without socket, message or copy.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use swell_engine::acl::User;
use swell_engine::bulk::{Errand, Lending};
use swell_engine::channels::{ChannelKind, Channels};
use swell_engine::commands::memcached::stat::McStat;
use swell_engine::key::KeyHash;
use swell_engine::stripe::Ticket;
use swell_engine::unit::{Needs, Step as UnitStep, Suspended, Unit};
use swell_engine::walk::{Step, WalkBody, WalkState};
use swell_engine::watch::Watching;
use swell_engine::{Call, Db, Deferred, Engine, Fault, Local, Outcome, Stats};
use swell_wire::Out;
use tokio::sync::Notify;

use crate::broker::{Broker, events};
use crate::copies::{self, Copies};
use crate::helpers::{self, Helpers};
use crate::link::stats::{Counts, Totals};

/// A node of this process: the engine of each cache it hosts (one, `default`, for now) and what its workers reported.
pub struct Node {
    engine: Engine,
    broker: Arc<Broker>,
    copies: Copies,
    stats: Mutex<Stats>,
    totals: Totals,
    /// Its figures are not what they were.
    changed: Notify,
    helpers: Arc<Helpers>,
    /// When slots came or went last, in unix milliseconds.
    moved_at_ms: AtomicU64,
}

/// Entries freed in one tick, each counted as some elements of a large value: about a millisecond's work.
const GARBAGE_PER_TICK: u64 = 10_000;

/// For so long after slots came or went, more may.
const MOVING_MS: u64 = 1_000;

/// One worker's way into the node.
pub struct Handle {
    node: Arc<Node>,
    local: Local,
    calls_since_trim: u32,
}

impl Node {
    /// Its helper threads.
    pub(crate) fn helpers(&self) -> &Arc<Helpers> {
        &self.helpers
    }

    /// A node with an empty engine; `seed` is the cache's hash seed.
    pub fn new(seed: u64) -> Arc<Node> {
        let node = Arc::new(Node {
            engine: Engine::new(seed),
            broker: Arc::default(),
            copies: Copies::default(),
            stats: Mutex::default(),
            totals: Totals::default(),
            changed: Notify::new(),
            helpers: Arc::default(),
            moved_at_ms: AtomicU64::new(0),
        });
        helpers::attach(&node);
        node.engine.use_channels(node.broker.clone());
        events::attach(&node);
        copies::attach(&node);
        node
    }

    /// The engine, for settings and figures.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Who has subscribed to what.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Who keeps copies of its keys.
    pub fn copies(&self) -> &Copies {
        &self.copies
    }

    /// Sends a message to all who have subscribed to a channel or to a pattern that it matches; says how many
    /// subscriptions that were. From any thread.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> u64 {
        self.broker.publish(ChannelKind::Plain, channel, message)
    }

    /// What its workers have counted.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Adds what a worker of the proxy in this process has run by calling this node as a function: requests with their
    /// work, bytes of values in, bytes of data out. Which slots the work was for is not known there, so such requests
    /// leave no heat.
    pub fn count_direct(&self, requests: u64, work: u64, bytes_in: u64, bytes_out: u64) {
        if requests > 0 {
            let mut counts = Counts::default();
            (counts.requests, counts.work) = (requests, work);
            (counts.bytes_in, counts.bytes_out) = (bytes_in, bytes_out);
            self.totals.add(&mut counts);
            self.note_change();
        }
    }

    /// Adds what a worker of the proxy in this process has run by frames, and forgets it there.
    pub fn count_frames(&self, counts: &mut Counts) {
        if counts.requests > 0 {
            self.totals.add(counts);
            self.note_change();
        }
    }

    /// Waits until a worker reports that something is not as it was, if none has since the last call. For one waiter.
    pub async fn has_changed(&self) {
        self.changed.notified().await;
    }

    /// Workers call this when they have counted something.
    pub(crate) fn note_change(&self) {
        self.changed.notify_one();
    }

    /// Slots come or go now, in unix milliseconds.
    pub(crate) fn note_moving(&self, now_ms: u64) {
        self.moved_at_ms.store(now_ms, Relaxed);
    }

    /// Whether slots come or go, or did a moment ago: what is made dense now is soon sparse again.
    pub(crate) fn is_moving(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.moved_at_ms.load(Relaxed)) < MOVING_MS
    }

    /// Key statistics as of the workers' last reports.
    pub fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets key statistics (`CONFIG RESETSTAT`).
    pub fn reset_stats(&self) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = Stats::default();
    }

    /// A worker's handle. `seed` is for its random choices.
    pub fn handle(self: &Arc<Self>, seed: u64) -> Handle {
        Handle { node: self.clone(), local: self.engine.local(seed), calls_since_trim: 0 }
    }
}

impl Handle {
    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The engine.
    #[inline]
    pub fn engine(&self) -> &Engine {
        &self.node.engine
    }

    /// Both prefetch passes for the keys of a batch.
    #[inline]
    pub fn prefetch(&self, db: Db, keys: &[KeyHash]) {
        let db = self.node.engine.map_db(db);
        self.node.engine.prefetch_tables(db, keys);
        self.node.engine.prefetch_entries(db, keys);
    }

    /// Runs one request; see [`Engine::execute`].
    #[inline]
    pub fn execute(&mut self, call: &Call<'_>, ticket: Option<Ticket>, out: &mut Out) -> Outcome {
        self.node.engine.execute(&mut self.local, call, ticket, out)
    }

    /// Scripts that run from now on may do what this user may; nobody: everything.
    pub fn set_script_user(&mut self, user: Option<Arc<User>>) {
        self.local.set_script_user(user);
    }

    /// The rest of the reply of the request that has just run, after [`Outcome::Deferred`].
    pub fn take_deferred(&mut self) -> Option<Box<Deferred>> {
        self.local.take_deferred()
    }

    /// Runs what another worker's call has left to a helper thread, whose handle this is.
    pub(crate) fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Run(lent) => lent.run(&self.node.engine, &mut self.local),
            Errand::Part(part) => part.run(&self.node.engine, &mut self.local),
            Errand::Serve(ready) => self.node.engine.serve_patiently(&mut self.local, *ready),
            Errand::Free(large) => drop(large),
        }
    }

    /// The next request that has to wait has done so elsewhere, since then; see [`Local::waits_since`].
    pub fn waits_since(&mut self, since_us: u64) {
        self.local.waits_since(since_us);
    }

    /// Serves who waits for what upkeep has changed.
    pub fn serve_rest(&mut self) {
        self.node.engine.serve_rest(&mut self.local);
    }

    /// Frees a slice of what this worker has left behind (large values that were deleted, flushed tables) and of what
    /// long replies have; says whether there is more. Every worker calls this at its ticks.
    pub fn free_garbage(&mut self) -> bool {
        self.node.engine.forget_abandoned();
        self.node.helpers.look(&self.node);
        self.node.engine.free_garbage(&mut self.local, GARBAGE_PER_TICK)
    }

    /// Makes room before something that needs memory; see [`Engine::make_room`].
    pub fn make_room(&mut self, now_ms: u64) -> Result<(), Fault> {
        self.node.engine.make_room(&mut self.local, now_ms)
    }

    /// Locks what several requests touch, to run them as one; see [`Engine::begin_unit`]. `node` is this handle's.
    pub fn begin_unit<'n>(
        &mut self,
        node: &'n Node,
        needs: &Needs,
        watching: Option<&Watching>,
        now_ms: u64,
        ticket: Option<Ticket>,
    ) -> Result<Unit<'n>, Outcome> {
        node.engine.begin_unit(&mut self.local, needs, watching, now_ms, ticket)
    }

    /// Runs one request of a unit, if it is not too much; see [`Unit::step`].
    pub fn step_unit(&mut self, unit: &Unit<'_>, call: &Call<'_>, out: &mut Out) -> UnitStep {
        unit.step(&mut self.local, call, out)
    }

    /// Runs one request of a unit, whatever it takes; see [`Unit::run`].
    pub fn run_in_unit(&mut self, unit: &Unit<'_>, call: &Call<'_>, out: &mut Out) -> (u64, bool) {
        unit.run(&mut self.local, call, out)
    }

    /// Has a helper thread run one; see [`Unit::lend`].
    pub fn lend_in_unit(&mut self, unit: &Unit<'_>, call: &Call<'_>, out: &mut Out) -> Result<Lending, (u64, bool)> {
        unit.lend(&mut self.local, call, out)
    }

    /// See [`Unit::suspend`].
    pub fn suspend_unit(&mut self, unit: Unit<'_>) -> Suspended {
        unit.suspend(&mut self.local)
    }

    /// See [`Suspended::resume`].
    pub fn resume_unit<'n>(&mut self, node: &'n Node, unit: Suspended) -> Unit<'n> {
        unit.resume(&node.engine, &mut self.local)
    }

    /// Ends a unit, whose locks are given back, and serves who waits for what it has changed.
    pub fn end_unit(&mut self, unit: Unit<'_>) {
        unit.end(&mut self.local);
    }

    /// Begins a walk over the whole key space.
    pub fn walk_begin(&mut self, body: &WalkBody, call: &Call<'_>) -> Result<WalkState, Fault> {
        WalkState::begin(body, &self.node.engine, &mut self.local, call)
    }

    /// Runs a slice of a walk.
    pub fn walk_step(&mut self, body: &WalkBody, state: &mut WalkState, call: &Call<'_>) -> Step {
        state.step(body, &self.node.engine, &mut self.local, call, false)
    }

    /// Reports counts and used memory; workers call this some times a second and before they answer INFO.
    pub fn report(&mut self) {
        let used_before = self.node.engine.used_bytes();
        self.node.engine.report(&mut self.local);
        if self.node.engine.used_bytes() != used_before {
            self.node.note_change();
        }
        let stats = self.local.take_stats();
        self.node.stats.lock().unwrap_or_else(PoisonError::into_inner).add(&stats);
    }

    /// Counts a memcached statistic that the proxy sees.
    pub fn count(&mut self, stat: McStat) {
        self.local.count(stat);
    }

    /// Gives back memory that this worker has not needed for a while; a busy worker once in ten calls.
    pub fn trim_if_idle(&mut self, was_active: bool) {
        self.calls_since_trim += 1;
        if !was_active || self.calls_since_trim >= 10 {
            self.calls_since_trim = 0;
            self.node.engine.trim(&mut self.local);
        }
    }

    pub(crate) fn parts(&mut self) -> (&Engine, &mut Local) {
        (&self.node.engine, &mut self.local)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.report();
        self.node.engine.retire(&mut self.local);
    }
}
