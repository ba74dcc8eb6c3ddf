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

#[cfg(test)]
mod tests {
    use swell_engine::commands::table::tables;
    use swell_meter::parts::{NAME_BYTES_MAX, NAMES_MAX};
    use swell_meter::store::MINUTE_MS;
    use swell_meter::{Counters, Payer, Profile, Tariff, Who};
    use swell_node::link::frame::{self, FRAME_BYTES_MAX, Kind};

    use super::*;

    /// More than may be told apart of everything in every minute, with names that JSON makes longer.
    #[test]
    fn the_largest_charge_fits_into_a_frame() {
        let ledger = Arc::new(Ledger::new(0, 0));
        let (mut spool, mut counters) = (Spool::new("p", "b", true), Counters::with_prefixes(Some(b':')));
        let tariff = Tariff::new(Profile::Swell);
        for minute in 0..100 {
            for number in 0..NAMES_MAX * 2 {
                let name = format!("{number}{}", "\"".repeat(NAME_BYTES_MAX));
                let who = Who { user: name[..NAME_BYTES_MAX].to_owned(), client: name[..NAME_BYTES_MAX].to_owned() };
                counters.set_payer(&mut Payer::new(who, (number % 16) as u8));
                let key = format!("{}:", &name[..NAME_BYTES_MAX - 1]);
                let prefix = counters.prefix_of(|| Some(key.as_bytes()));
                counters.set_prefix(prefix);
                let command = tables().iter().nth(number % tables().len()).expect("it is there");
                counters.charge(&tariff, command.id, 1 << 50, 1 << 50, 1 << 30, true);
            }
            counters.drain_into(&ledger);
            spool.observe(ledger.take(minute * MINUTE_MS + 1));
        }
        let account = Charges::new(spool, ledger).next().expect("there is a charge");
        let mut bytes = Vec::new();
        frame::json(Kind::Control, &FromMember::Account(Box::new(account)), &mut bytes);
        assert!((FRAME_BYTES_MAX / 4..FRAME_BYTES_MAX * 3 / 4).contains(&bytes.len()), "{} bytes", bytes.len());
    }
}
