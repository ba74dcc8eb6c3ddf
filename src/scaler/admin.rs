//! What the HTTP side of `swell scaler` says: nodes and scaling, and what all proxies have used by the durable ledger.
//! It serves no clients itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use swell_meter::bill::FamilyLine;
use swell_meter::counters::Usage;
use swell_meter::store::{By, Report};
use swell_meter::{Bill, Ledger, PriceFile, Profile};

use crate::config::Config;
use crate::config::values::Password;
use crate::http::{self, doors};
use crate::ledger::Door;
use crate::metrics::Metrics;
use crate::run::{Accounts, CACHE, period_report};
use crate::status;

/// The pages of a scaler in a process of its own.
pub struct Admin {
    password: Password,
    profile: Profile,
    prices: PriceFile,
    /// What this process itself tells the durable ledger: stored bytes.
    ledger: Arc<Ledger>,
    door: Option<Door>,
    metrics: Metrics,
    scaler: status::Scaler,
    ready: Arc<AtomicBool>,
}

impl Admin {
    /// `ready`: whether all nodes are there.
    pub fn new(
        config: &Config,
        prices: PriceFile,
        accounts: &Accounts,
        scaler: status::Scaler,
        ready: Arc<AtomicBool>,
    ) -> Admin {
        Admin {
            password: config.requirepass.clone(),
            profile: config.price_profile,
            prices,
            ledger: accounts.ledger.clone(),
            door: accounts.door.clone(),
            metrics: Metrics::with(accounts.gauges.clone(), None),
            scaler,
            ready,
        }
    }

    /// What all proxies have used since this process started, in whole minutes.
    fn bill(&self) -> Result<Bill, String> {
        let started_ms = self.ledger.started_at_ms();
        let report = |by| {
            let period = http::Period { from_ms: Some(started_ms), to_ms: None, by };
            period_report(self.door.as_ref(), &period, &self.prices)
        };
        Ok(bill_of(self.profile, report(By::Command)?, report(By::Family)?))
    }
}

impl http::Admin for Admin {
    fn metrics(&self) -> String {
        self.metrics.render_scaler(&self.ledger, self.scaler.status().as_ref())
    }

    fn ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn usage(&self) -> serde_json::Value {
        let bill = self.bill().and_then(|bill| serde_json::to_value(bill).map_err(|error| error.to_string()));
        bill.unwrap_or_else(|error| serde_json::json!({ "error": error }))
    }

    fn period(&self, period: &http::Period) -> Result<serde_json::Value, String> {
        let report = period_report(self.door.as_ref(), period, &self.prices)?;
        serde_json::to_value(report).map_err(|error| error.to_string())
    }

    fn status(&self) -> Option<serde_json::Value> {
        let status = self.scaler.status()?;
        Some(status::page(&status, &self.bill().ok()?))
    }

    fn events(&self, after: u64) -> Option<serde_json::Value> {
        self.scaler.events(after)
    }

    fn authorised(&self, authorization: Option<&str>) -> bool {
        self.password.get().is_none_or(|password| doors::password_matches(authorization, password))
    }

    fn local_only(&self) -> bool {
        self.password.get().is_none()
    }
}

/// Two reports of one period as a bill.
fn bill_of(profile: Profile, by_command: Report, by_family: Report) -> Bill {
    let family = |usage: Usage| FamilyLine { calls: usage.calls, ecpu_milli: usage.ecpu_milli };
    let families = by_family.lines.into_iter().filter_map(|line| Some((line.name?, family(line.usage))));
    let commands = by_command.lines.into_iter().filter_map(|line| Some((line.name?, line.usage.into())));
    Bill {
        cache: CACHE.to_owned(),
        from_ms: by_command.from_ms,
        to_ms: by_command.to_ms,
        price_profile: profile.name().to_owned(),
        prices: by_command.prices,
        currency: by_command.currency,
        ecpu_milli_total: by_command.ecpu_milli_total,
        ecpu_total: by_command.ecpu_total,
        gigabyte_hours: by_command.gigabyte_hours,
        gigabyte_hours_metered: by_command.gigabyte_hours_metered,
        cost: by_command.cost,
        by_command: commands.collect(),
        by_family: families.collect(),
    }
}
