//! What this proxy has charged, on its way to the ledger in another process: the spool, and when to say what.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use swell_meter::Ledger;
use swell_meter::store::Spool;
use swell_node::control::{Account, FromMember};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::shared::unix_ms;

/// From the first usage to the charge that tells it: what comes meanwhile goes with it.
pub const TAKE_EVERY: Duration = Duration::from_millis(250);
/// A charge that was not acknowledged for so long is said again.
pub const SAY_AGAIN: Duration = Duration::from_secs(2);

/// A proxy's spool, for the task that keeps the control link and for whoever ends the process.
#[derive(Clone, Debug)]
pub struct Charges {
    spool: Arc<Mutex<Spool>>,
    ledger: Arc<Ledger>,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

/// What goes on over one control link.
#[derive(Debug, Default)]
pub(crate) struct Saying {
    /// The number that was said last over this link, and when.
    said: Option<(u64, Instant)>,
    /// When to look next; none: when there is usage.
    due: Option<Instant>,
}

impl Charges {
    /// For what this ledger sums up.
    pub fn new(spool: Spool, ledger: Arc<Ledger>) -> Charges {
        let charges = Charges { spool: Arc::new(Mutex::new(spool)), ledger, bell: Arc::default() };
        charges.ledger.wake_on_usage(Waker::from(charges.bell.clone()));
        charges
    }

    /// Takes over what workers have reported; the charge that is to be said now, if there is one.
    pub fn next(&self) -> Option<Account> {
        let mut spool = self.lock();
        spool.observe(self.ledger.take(unix_ms()));
        let charge = spool.charge()?;
        Some(Account {
            proxy: charge.proxy.clone(),
            boot: charge.boot.clone(),
            sequence: charge.sequence,
            // Numbers and strings always make JSON.
            minutes: serde_json::to_value(&charge.minutes).unwrap_or_default(),
        })
    }

    /// A charge is in the ledger.
    pub fn confirmed(&self, boot: &str, sequence: u64) {
        self.lock().confirmed(boot, sequence);
    }

    /// Thousandths of an ECPU that are not known to be in the ledger, as far as they were taken over.
    pub fn ecpu_milli(&self) -> u64 {
        self.lock().ecpu_milli()
    }

    /// A spool stays one when another thread has panicked.
    fn lock(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Saying {
    /// Over a new link: what was under way is said again.
    pub(crate) fn begin() -> Saying {
        Saying { said: None, due: Some(Instant::now() + TAKE_EVERY) }
    }

    /// Waits until it is time to look.
    pub(crate) async fn due(&mut self, charges: &Charges) {
        if self.due.is_none() {
            charges.bell.0.notified().await;
            self.due = Some(Instant::now() + TAKE_EVERY);
        }
        if let Some(due) = self.due {
            tokio::time::sleep_until(due).await;
        }
    }

    /// Looks: what is to be said, if anything.
    pub(crate) fn look(&mut self, charges: &Charges) -> Option<FromMember> {
        let now = Instant::now();
        let Some(charged) = charges.next() else {
            self.due = None;
            return None;
        };
        self.due = Some(now + TAKE_EVERY);
        if self.said.is_some_and(|(sequence, at)| sequence == charged.sequence && now < at + SAY_AGAIN) {
            return None;
        }
        self.said = Some((charged.sequence, now));
        Some(FromMember::Account(Box::new(charged)))
    }
}
