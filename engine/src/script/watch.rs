//! Scripts that run on helper threads, as others see them: for how long, and whether they must end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use swell_wire::Out;

use super::Scripts;
use super::store::lock;
use crate::engine::Engine;
use crate::run::LockSet;

const KILLED: &str = "Script killed by user with SCRIPT KILL.";
const FUNCTION_KILLED: &str = "Script killed by user with FUNCTION KILL.";
/// Said to a script that cannot be moved to a helper thread any more.
const OVER_LIMIT: &str = "the script has written and is over the time limit, and holds up its worker: it was ended in \
                          the middle";
/// Said to who wants a key that a script has had for too long.
pub const BUSY: &str = "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";
const FUNCTION_BUSY: &str = "BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/// One script that runs.
#[derive(Debug)]
pub struct Watch {
    pub is_function: bool,
    /// The function's name; the script's SHA-1.
    pub name: String,
    pub command: Vec<Vec<u8>>,
    pub started_us: u64,
    killed: AtomicBool,
    has_written: AtomicBool,
    /// It has passed the time limit.
    is_slow: AtomicBool,
    /// The stripes it holds, as of the last look.
    held: std::sync::Mutex<LockSet>,
}

/// What became of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    Done,
    /// Nothing runs.
    NotBusy,
    /// What runs has written.
    Unkillable,
}

impl Kill {
    /// The reply.
    pub fn write(self, out: &mut Out) {
        match self {
            Kill::Done => out.ok(),
            Kill::NotBusy => out.error("NOTBUSY No scripts in execution right now."),
            Kill::Unkillable => out.error(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ),
        }
    }
}

impl Watch {
    pub fn new(is_function: bool, name: String, command: Vec<Vec<u8>>, started_us: u64) -> Watch {
        let (killed, has_written, is_slow) = Default::default();
        Watch { is_function, name, command, started_us, killed, has_written, is_slow, held: Default::default() }
    }

    /// The script looks up: whether it has to end. Past the limit, those who wait for its stripes are told.
    pub(super) fn look(&self, engine: &Engine, now_us: u64, has_written: bool, held: LockSet) -> Option<&'static str> {
        if has_written {
            self.has_written.store(true, Relaxed);
        } else if self.killed.load(Relaxed) {
            return Some(if self.is_function { FUNCTION_KILLED } else { KILLED });
        }
        let limit_us = engine.scripts().limit_ms() * 1_000;
        if limit_us > 0 && now_us.saturating_sub(self.started_us) > limit_us && !self.is_slow.swap(true, Relaxed) {
            *lock(&self.held) = held;
            engine.scripts().slow.fetch_add(1, Relaxed);
            held.iter().for_each(|stripe| engine.stripe(stripe).wake_all());
        }
        None
    }
}

impl Scripts {
    /// A script begins to run where others see it.
    pub(super) fn begin(&self, watch: Arc<Watch>) {
        lock(&self.running).push(watch);
    }

    /// It has ended.
    pub(super) fn end(&self, watch: &Arc<Watch>) {
        lock(&self.running).retain(|other| !Arc::ptr_eq(other, watch));
        if watch.is_slow.load(Relaxed) {
            self.slow.fetch_sub(1, Relaxed);
        }
    }

    /// What whoever finds this stripe taken is told, if a script has had it for too long.
    #[inline]
    pub fn busy(&self, stripe: usize) -> Option<&'static str> {
        if self.slow.load(Relaxed) == 0 {
            return None;
        }
        let running = lock(&self.running);
        let mut slow = running.iter().filter(|watch| watch.is_slow.load(Relaxed));
        let holder = slow.find(|watch| lock(&watch.held).has(stripe))?;
        Some(if holder.is_function { FUNCTION_BUSY } else { BUSY })
    }

    /// Ends every script (or function) that runs and has written nothing.
    pub fn kill(&self, functions: bool) -> Kill {
        let running = lock(&self.running);
        let mut kill = Kill::NotBusy;
        for watch in running.iter().filter(|watch| watch.is_function == functions) {
            if !watch.has_written.load(Relaxed) {
                watch.killed.store(true, Relaxed);
                kill = Kill::Done;
            } else if kill == Kill::NotBusy {
                kill = Kill::Unkillable;
            }
        }
        kill
    }

    /// What runs longest.
    pub fn longest(&self) -> Option<Arc<Watch>> {
        lock(&self.running).iter().min_by_key(|watch| watch.started_us).cloned()
    }

    /// Milliseconds after which a script is told of (`busy-reply-threshold`); 0: never.
    pub fn limit_ms(&self) -> u64 {
        self.limit_ms.load(Relaxed)
    }

    pub fn set_limit_ms(&self, limit_ms: u64) {
        self.limit_ms.store(limit_ms, Relaxed);
    }

    /// What a script on a worker is told that began at this unix time and can go nowhere else.
    pub(super) fn over_limit(&self, began_ms: u64) -> Option<&'static str> {
        let limit_ms = self.limit_ms().max(1);
        (self.now_ms().saturating_sub(began_ms) > limit_ms).then_some(OVER_LIMIT)
    }

    /// Microseconds, by the clock that was given.
    pub(super) fn now_us(&self) -> u64 {
        self.clock.get().map_or(0, |clock| clock())
    }

    fn now_ms(&self) -> u64 {
        self.now_us() / 1_000
    }

    /// Counts slow scripts, for tests and INFO.
    pub fn slow_scripts(&self) -> u64 {
        self.slow.load(Relaxed)
    }
}
