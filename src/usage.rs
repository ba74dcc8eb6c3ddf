//! What `/usage` says and `swell bill` reads: usage so far and its price.

use serde::{Deserialize, Serialize};

/// Usage since the process started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageReport {
    /// Milliseconds that the usage was counted for.
    pub period_ms: u64,
    /// `elasticache` or `swell`: whose rules turned work into ECPUs.
    pub price_profile: String,
    /// For example `USD`.
    pub currency: String,
    /// Integer thousandths of an ECPU.
    pub ecpu_thousandths: u64,
    /// Stored bytes over time, in units of 10^9 bytes for an hour.
    pub gigabyte_hours: f64,
    pub money: Money,
    /// Every command that was called, once.
    pub commands: Vec<UsageLine>,
    /// ElastiCache's families. They overlap: a GET counts as reading and as a string command.
    pub families: Vec<UsageLine>,
}

/// In units of [`UsageReport::currency`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Money {
    pub ecpus: f64,
    pub storage: f64,
    pub total: f64,
}

/// One command's or family's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageLine {
    pub name: String,
    pub calls: u64,
    pub ecpu_thousandths: u64,
    pub money: f64,
}
