//! A worker: one thread, one single-threaded runtime, its own listeners, buffers and counters.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use swell_node::upkeep::Upkeep;
use swell_wire::lazy;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use crate::clients::Door;
use crate::core::{Core, READ_BYTES};
use crate::errands;
use crate::listen;
use crate::membership::{self, Control};
use crate::memcached::Flushing;
use crate::pubsub;
use crate::shared::{Mail, Shared};
use crate::upstream::{Lines, Upstreams, run};

/// Between two reports of a busy worker.
const TICK: Duration = Duration::from_millis(100);
/// Between two reports of an idle one.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// Until upkeep goes on when there is much to do: a millisecond's work in five.
const BUSY_TICK: Duration = Duration::from_millis(5);
/// How long clients have to take their last replies when the process ends.
const DRAIN: Duration = Duration::from_millis(1200);

/// What one worker's tasks share.
pub struct Worker {
    pub shared: Arc<Shared>,
    pub core: RefCell<Core>,
    /// Sockets are read into this; what is left of a request moves to its connection.
    pub scratch: RefCell<Box<[u8]>>,
    /// The ways to the nodes.
    pub upstreams: Upstreams,
    /// This worker, for the tasks it begins.
    me: Weak<Worker>,
    connections: Cell<usize>,
    /// Nothing has happened for a whole tick.
    resting: Cell<bool>,
    /// The first batch after a quiet time calls the ticker back to its quick pace.
    awake: Notify,
    empty: Notify,
}

impl Worker {
    /// Runs a worker on this thread until it is told to stop. `control`: the worker that keeps the link to the scaler.
    pub fn run(
        shared: Arc<Shared>,
        index: usize,
        listeners: Vec<(Door, std::net::TcpListener)>,
        mailbox: UnboundedReceiver<Mail>,
        control: Option<Control>,
    ) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tasks = tokio::task::LocalSet::new();
        tasks.block_on(&runtime, async move {
            let worker = Rc::new_cyclic(|me| Worker {
                core: RefCell::new(Core::new(shared.clone(), index)),
                upstreams: Upstreams::default(),
                me: me.clone(),
                scratch: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
                connections: Cell::new(0),
                resting: Cell::new(false),
                awake: Notify::new(),
                empty: Notify::new(),
                shared,
            });
            tokio::task::spawn_local(pubsub::serve(worker.clone()));
            if let Some(control) = control {
                tokio::task::spawn_local(membership::keep(worker.clone(), control));
                tokio::task::spawn_local(errands::watch_nodes(worker.clone()));
            }
            let mut accepting = Vec::new();
            for (door, listener) in listeners {
                let listener = TcpListener::from_std(listener)?;
                accepting.push(tokio::task::spawn_local(listen::accept(worker.clone(), door, listener)));
            }
            worker.tick_until_stopped(mailbox).await;
            accepting.iter().for_each(tokio::task::JoinHandle::abort);
            worker.drain().await;
            worker.core.borrow_mut().report();
            Ok(())
        })
    }

    /// Notes the time at the beginning of a batch; returns nanoseconds for [`Worker::end_batch`].
    #[inline]
    pub fn begin_batch(&self, core: &mut Core) -> u64 {
        let now = unix_ns();
        core.now_ms = now / 1_000_000;
        core.observer.begin_batch(&self.shared.watch, now);
        // Left over only if a body has panicked: another client must not read it.
        core.out.clear();
        if !core.active {
            core.active = true;
            self.awake.notify_one();
        }
        now
    }

    /// Counts a batch.
    #[inline]
    pub fn end_batch(&self, core: &mut Core, started: u64) {
        core.counts.batch(unix_ns().saturating_sub(started));
    }

    /// The links to the nodes of the newest map.
    #[inline]
    pub fn lines(&self) -> Rc<Lines> {
        self.upstreams.lines(&self.shared.route, |link| {
            if let Some(worker) = self.me.upgrade() {
                tokio::task::spawn_local(run::run(worker, link.clone()));
            }
        })
    }

    /// A connection begins.
    pub fn connection_opened(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    /// A connection is over.
    pub fn connection_closed(&self) {
        self.connections.set(self.connections.get().saturating_sub(1));
        // What its buffers held is given back at the next quiet tick.
        self.resting.set(false);
        if self.connections.get() == 0 {
            self.empty.notify_one();
        }
    }

    async fn tick_until_stopped(&self, mut mailbox: UnboundedReceiver<Mail>) {
        let (mut upkeep, mut flushing) = (Upkeep::default(), Flushing::default());
        let mut next = Instant::now() + IDLE_TICK;
        lazy::enable();
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    next = Instant::now() + self.tick(&mut upkeep, &mut flushing);
                }
                () = self.awake.notified() => {
                    next = next.min(Instant::now() + TICK);
                }
                mail = mailbox.recv() => match mail {
                    Some(Mail::Report(done)) => {
                        self.core.borrow_mut().report();
                        // The reader may have stopped waiting.
                        let _ = done.send(());
                    }
                    Some(Mail::Push(parcel)) => self.core.borrow().take_mail(parcel),
                    Some(Mail::Flushed(number)) => self.on_flushed_here(&mut self.core.borrow_mut(), number),
                    Some(Mail::Ring) => {
                        if !self.shared.route.is_direct() {
                            self.expect_copies();
                        }
                        self.lines();
                        self.upstreams.changed();
                    }
                    Some(Mail::Channels) => pubsub::end_strangers(&self.core.borrow()),
                    Some(Mail::Stop) | None => return,
                },
            }
        }
    }

    /// Reports, closes idle clients, and (one worker of all) does the node's upkeep. Returns when to come again.
    fn tick(&self, upkeep: &mut Upkeep, flushing: &mut Flushing) -> Duration {
        let mut core = self.core.borrow_mut();
        let was_active = std::mem::replace(&mut core.active, false);
        core.report();
        core.follow_settings();
        core.inboxes.check();
        core.handle.trim_if_idle(was_active);
        let has_garbage = core.handle.free_garbage();
        let is_freeing = lazy::free_some() || has_garbage;
        let was_resting = self.resting.replace(!was_active);
        if !was_active && !was_resting {
            lazy::give_back_all();
        }
        if core.index != 0 {
            return match is_freeing {
                true => BUSY_TICK,
                false if was_active => TICK,
                false => IDLE_TICK,
            };
        }
        let now_ms = crate::shared::unix_ms();
        self.shared.rates.sample(now_ms, self.shared.totals.sums());
        let is_direct = self.shared.route.is_direct();
        if !is_direct && self.shared.delayed_flush.take_due(now_ms) {
            self.me.upgrade().map(|worker| tokio::task::spawn_local(errands::flush(worker)));
        }
        let is_flushing = is_direct && flushing.step(&mut core, now_ms);
        self.shared.observe_stored(now_ms);
        self.shared.node.settle_broadcast();
        self.shared.close_idle_clients(now_ms);
        let began_ns = unix_ns();
        let is_behind = upkeep.tick(&mut core.handle, now_ms);
        self.shared.watch.upkeep_took(unix_ns().saturating_sub(began_ns), now_ms);
        if is_behind || is_flushing || is_freeing {
            return BUSY_TICK;
        }
        let (_, volatile) = self.shared.node.key_counts();
        let pace = if was_active || volatile > 0 { TICK } else { IDLE_TICK };
        self.shared.delayed_flush.wait(now_ms).map_or(pace, |wait| pace.min(wait))
    }

    async fn drain(&self) {
        let all_gone = async {
            while self.connections.get() > 0 {
                self.empty.notified().await;
            }
        };
        // Clients that do not take their replies in time lose them.
        let _ = tokio::time::timeout(DRAIN, all_gone).await;
    }
}

/// The time in unix nanoseconds.
#[inline]
pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
