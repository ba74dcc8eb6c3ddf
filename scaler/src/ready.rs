//! Whether all nodes that were asked for are there: told by the scaler's thread, waited for by others.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ScalerError;

/// Whether the scaler is ready.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    now: Mutex<Now>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Now {
    ready: bool,
    ended: bool,
    /// What is missing, for a person.
    missing: String,
}

impl Ready {
    /// What is still missing; nothing: it is ready, and stays so.
    pub(crate) fn missing(&self, what: String) {
        let mut now = self.lock();
        now.ready |= what.is_empty();
        now.missing = what;
        self.changed.notify_all();
    }

    /// Whether it was ready once.
    pub(crate) fn is(&self) -> bool {
        self.lock().ready
    }

    /// The scaler has ended.
    pub(crate) fn ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits.
    ///
    /// # Errors
    /// Not ready after this time, or ended.
    pub(crate) fn wait(&self, bound: Duration) -> Result<(), ScalerError> {
        let until = Instant::now() + bound;
        let mut now = self.lock();
        loop {
            if now.ended {
                return Err(ScalerError::Ended);
            }
            if now.ready {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ScalerError::NotReady { after_ms: bound.as_millis(), missing: now.missing.clone() });
            }
            now = self.changed.wait_timeout(now, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
