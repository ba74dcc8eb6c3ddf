//! What commands are watched for: how long they take, how large they and their replies are, who monitors them.
//!
//! Single commands are not timed where nothing could come of it. A clock is read at the end of each group of up to 32
//! requests; a group that took less than any threshold holds no slow command. A command that has done much (elements,
//! bytes) ends a stretch of its own, so that its time is known. Where a group is slow for no such reason, its largest
//! request is told with the group's time, and for a second the worker times every command. The same holds while a
//! threshold is below a millisecond, or somebody monitors; and for one group in 64, for the histograms.

mod commandlog;
mod events;
mod histograms;
mod monitor;
mod redact;
mod seen;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clients::ClientInfo;

pub use commandlog::{Entry, Log, LogKind, Logs};
pub use events::{Event, Events, Series};
pub use histograms::{Distribution, Histograms};
pub use monitor::Monitors;
pub use seen::{Ran, Stopwatch};

/// A threshold below this is kept by timing every command, nanoseconds.
const EACH_BELOW_NS: u64 = 1_000_000;
/// A command with so much work ends a stretch of its own.
const WORK_TIMED: u64 = 64;
/// So does one with so many reply bytes,
const BYTES_TIMED: u64 = 64 * 1024;
/// or so many arguments.
const ARGS_TIMED: usize = 16;
/// One group of several requests out of so many is timed command by command, for the histograms.
const SAMPLED_ONE_IN: u32 = 64;
/// How long every command is timed after a group that was slow for no visible reason, nanoseconds.
const SUSPICION_NS: u64 = 1_000_000_000;
/// "Not slower than anything."
const NEVER: u64 = u64::MAX;

/// What all workers share: thresholds, logs, histograms, events.
#[derive(Debug)]
pub struct Watch {
    /// Grows with every change of what workers look at, so that they look once per batch at one number.
    generation: AtomicU32,
    /// `slowlog-log-slower-than`, microseconds; -1: never.
    pub slow_us: AtomicI64,
    /// `commandlog-request-larger-than`, bytes; -1: never.
    pub request_bytes: AtomicI64,
    /// `commandlog-reply-larger-than`, bytes; -1: never.
    pub reply_bytes: AtomicI64,
    /// `latency-monitor-threshold`, milliseconds; 0: off.
    pub latency_ms: AtomicI64,
    /// A pause may hold: workers look at every command.
    pausing: AtomicBool,
    /// `latency-tracking`.
    pub tracking: AtomicBool,
    /// `latency-tracking-info-percentiles`.
    percentiles: Mutex<Arc<Vec<f64>>>,
    pub logs: Logs,
    pub monitors: Monitors,
    histograms: Mutex<Histograms>,
    pub events: Events,
}

impl Default for Watch {
    /// As Valkey starts.
    fn default() -> Watch {
        Watch {
            generation: AtomicU32::new(1),
            slow_us: AtomicI64::new(10_000),
            request_bytes: AtomicI64::new(1 << 20),
            reply_bytes: AtomicI64::new(1 << 20),
            latency_ms: AtomicI64::new(0),
            pausing: AtomicBool::new(false),
            tracking: AtomicBool::new(true),
            percentiles: Mutex::new(Arc::new(vec![50.0, 99.0, 99.9])),
            logs: Logs::default(),
            monitors: Monitors::default(),
            histograms: Mutex::default(),
            events: Events::default(),
        }
    }
}

impl Watch {
    /// Whether a worker that has seen `generation` is up to date.
    #[inline]
    pub fn is(&self, generation: u32) -> bool {
        self.generation.load(Relaxed) == generation
    }

    /// Workers must look again.
    pub fn changed(&self) {
        self.generation.fetch_add(1, Relaxed);
    }

    /// Whether a pause may hold.
    pub fn set_pausing(&self, is_pausing: bool) {
        self.pausing.store(is_pausing, Relaxed);
        self.changed();
    }

    /// Takes over what a worker has timed.
    pub fn collect(&self, histograms: &mut Histograms) {
        if !histograms.is_empty() {
            histograms.drain_into(&mut self.histograms());
        }
    }

    /// How long commands take, as of the workers' last reports.
    pub fn histograms(&self) -> MutexGuard<'_, Histograms> {
        self.histograms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What INFO shows of each command's latency, in percent.
    pub fn percentiles(&self) -> Arc<Vec<f64>> {
        self.percentiles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets that.
    pub fn set_percentiles(&self, percentiles: Vec<f64>) {
        *self.percentiles.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(percentiles);
    }

    /// A turn of upkeep took so long.
    pub fn upkeep_took(&self, ns: u64, now_ms: u64) {
        let (threshold_ms, ms) = (self.latency_ms.load(Relaxed), ns / 1_000_000);
        if threshold_ms > 0 && ms >= threshold_ms as u64 {
            self.events.add(Event::ExpireCycle, now_ms / 1_000, ms);
        }
    }

    /// From how many nanoseconds on somebody wants to know of a command.
    fn slow_ns(&self) -> u64 {
        let slow = u64::try_from(self.slow_us.load(Relaxed)).map_or(NEVER, |us| us.saturating_mul(1_000));
        match u64::try_from(self.latency_ms.load(Relaxed)) {
            Ok(ms) if ms > 0 => slow.min(ms.saturating_mul(1_000_000)),
            _ => slow,
        }
    }
}

/// Above one of these a command is looked at by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    pub work: u64,
    pub bytes: u64,
    pub args: usize,
}

impl Bounds {
    /// Every command.
    const ALL: Bounds = Bounds { work: 0, bytes: 0, args: 0 };
    /// What has much to do.
    const LARGE: Bounds = Bounds { work: WORK_TIMED, bytes: BYTES_TIMED, args: ARGS_TIMED };
}

/// A worker's part.
#[derive(Debug)]
pub struct Observer {
    /// The generation of [`Watch`] that it goes by.
    seen: u32,
    /// Every command is timed.
    each: bool,
    /// A pause may hold.
    pub is_pausing: bool,
    /// Somebody monitors.
    pub is_monitored: bool,
    slow_ns: u64,
    request_bytes: u64,
    reply_bytes: u64,
    tracking: bool,
    /// Every command is timed until then, unix nanoseconds.
    suspicious_until: u64,
    groups: u32,
    /// Until when all time has been given to a command, unix nanoseconds.
    mark: u64,
    /// How many commands each observed one stands for in this group: 0 where none is observed for the histograms.
    weight: u32,
    /// All requests of this group are timed.
    exact: bool,
    /// The command that runs has been told of already.
    told: bool,
    pub histograms: Histograms,
}

impl Default for Observer {
    fn default() -> Observer {
        Observer {
            seen: 0,
            each: false,
            is_pausing: false,
            is_monitored: false,
            slow_ns: NEVER,
            request_bytes: NEVER,
            reply_bytes: NEVER,
            tracking: true,
            suspicious_until: 0,
            groups: 0,
            mark: 0,
            weight: 0,
            exact: false,
            told: false,
            histograms: Histograms::default(),
        }
    }
}

impl Observer {
    /// A batch begins at this time, unix nanoseconds.
    #[inline]
    pub fn begin_batch(&mut self, watch: &Watch, now_ns: u64) {
        self.mark = now_ns;
        if !watch.is(self.seen) {
            self.follow(watch);
        }
    }

    /// Takes the thresholds over.
    #[cold]
    fn follow(&mut self, watch: &Watch) {
        self.seen = watch.generation.load(Relaxed);
        self.slow_ns = watch.slow_ns();
        self.request_bytes = u64::try_from(watch.request_bytes.load(Relaxed)).unwrap_or(NEVER);
        self.reply_bytes = u64::try_from(watch.reply_bytes.load(Relaxed)).unwrap_or(NEVER);
        self.tracking = watch.tracking.load(Relaxed);
        self.is_pausing = watch.pausing.load(Relaxed);
        self.is_monitored = !watch.monitors.is_empty();
        // A request of the planned ones has arguments of 64 KiB at most.
        let request_floor = ARGS_TIMED as u64 * BYTES_TIMED;
        self.each = self.is_monitored
            || self.slow_ns < EACH_BELOW_NS
            || self.request_bytes < request_floor
            || self.reply_bytes < BYTES_TIMED;
    }

    /// Until when all time has been given to a command: about now, unix microseconds.
    pub fn mark_us(&self) -> u64 {
        self.mark / 1_000
    }

    /// A group of planned requests, or a slice of a transaction, begins: which of them are to be told one by one.
    #[inline]
    pub fn begin_group(&mut self, count: usize) -> Bounds {
        self.told = false;
        if count == 1 {
            self.weight = 1;
            self.exact = self.each;
            return if self.each { Bounds::ALL } else { Bounds::LARGE };
        }
        self.groups = self.groups.wrapping_add(1);
        let is_sampled = self.groups.is_multiple_of(SAMPLED_ONE_IN);
        self.exact = self.each || is_sampled || self.mark < self.suspicious_until;
        self.weight = match (self.each, is_sampled) {
            (true, _) => 1,
            (false, true) => SAMPLED_ONE_IN,
            (false, false) => 0,
        };
        if self.exact { Bounds::ALL } else { Bounds::LARGE }
    }
}

/// Whose command it is.
#[derive(Clone, Copy)]
pub struct Whose<'a> {
    pub info: &'a ClientInfo,
    pub db: u8,
}
