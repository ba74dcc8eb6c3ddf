//! What a request costs and who spent what: prices in ECPUs, counters, the ledger and its file, bills. No sockets, no
//! clock.

pub mod bill;
pub mod coefficients;
pub mod counters;
pub mod family;
pub mod ledger;
pub mod metrics;
pub mod parts;
pub mod payers;
pub mod prefixes;
pub mod price;
pub mod prices;
pub mod store;

pub use bill::Bill;
pub use counters::Counters;
pub use family::Family;
pub use ledger::{Ledger, Totals};
pub use parts::{Dimension, Parts};
pub use payers::{Payer, Who};
pub use prefixes::Prefix;
pub use price::{Profile, Tariff};
pub use prices::PriceFile;

use swell_engine::commands::table::Command;
use swell_engine::spec::Group;

/// A command's name on bills and in metrics: both tables have a `get`, so memcached's is `memcached:get`.
pub fn label(command: Command) -> String {
    match command.spec.group {
        Group::Memcached => format!("memcached:{}", command.spec.name),
        _ => command.spec.name.to_owned(),
    }
}
