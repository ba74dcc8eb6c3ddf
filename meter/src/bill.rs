//! The bill: what `/usage` answers, what `swell bill --json` prints, and the same as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::counters::Usage;
use crate::family::{FamilyUsage, by_family};
use crate::label;
use crate::ledger::Totals;
use crate::price::{MILLI, Profile};
use crate::prices::PriceFile;

/// A cache's usage and its price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bill {
    /// The cache's name.
    pub cache: String,
    /// Unix milliseconds from which on usage was counted.
    pub from_ms: u64,
    /// Unix milliseconds of the bill.
    pub to_ms: u64,
    /// `elasticache` or `swell`: whose rules turned bytes and work into ECPUs.
    pub price_profile: String,
    /// The price file's name and date.
    pub prices: String,
    /// For example `USD`.
    pub currency: String,
    /// Thousandths of an ECPU.
    pub ecpu_milli_total: u64,
    /// The same as a decimal number: `12.345`.
    pub ecpu_total: String,
    /// Stored bytes over time, in gigabytes (2^30 bytes) for an hour.
    pub gigabyte_hours: f64,
    /// The same with every hour raised to the price file's minimum: what storage costs.
    pub gigabyte_hours_metered: f64,
    /// In units of the currency.
    pub cost: Cost,
    /// Commands that were called; memcached's as `memcached:get`.
    pub by_command: BTreeMap<String, CommandLine>,
    /// ElastiCache's families. They overlap, so they add up to more than the total.
    pub by_family: BTreeMap<String, FamilyLine>,
}

/// Money, in units of [`Bill::currency`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub ecpu: f64,
    pub storage: f64,
    pub total: f64,
}

/// One command's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLine {
    /// Client commands, failed ones included.
    pub calls: u64,
    /// Those that were answered with an error.
    pub failed: u64,
    /// Thousandths of an ECPU.
    pub ecpu_milli: u64,
    /// Bytes of values that clients sent.
    pub bytes_in: u64,
    /// Bytes of data in replies.
    pub bytes_out: u64,
    /// Logical work as the engine counts it.
    pub work: u64,
}

/// One family's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyLine {
    /// Client commands, failed ones included.
    pub calls: u64,
    /// Thousandths of an ECPU.
    pub ecpu_milli: u64,
}

impl Bill {
    /// Prices what a cache has used. `totals` must come from a ledger with the minimum of `prices`.
    pub fn new(cache: &str, profile: Profile, totals: &Totals, prices: &PriceFile) -> Bill {
        let ecpu_milli_total = totals.usage_total().ecpu_milli;
        let ecpu = prices.ecpu_cost(ecpu_milli_total);
        let storage = prices.storage_cost(totals.gigabyte_hours_metered);
        Bill {
            cache: cache.to_owned(),
            from_ms: totals.from_ms,
            to_ms: totals.to_ms,
            price_profile: profile.name().to_owned(),
            prices: format!("{}, {}", prices.name, prices.date),
            currency: prices.currency.clone(),
            ecpu_milli_total,
            ecpu_total: decimal(ecpu_milli_total),
            gigabyte_hours: totals.gigabyte_hours,
            gigabyte_hours_metered: totals.gigabyte_hours_metered,
            cost: Cost { ecpu, storage, total: ecpu + storage },
            by_command: totals.commands().map(|(command, usage)| (label(command), usage.into())).collect(),
            by_family: by_family(totals)
                .into_iter()
                .map(|(family, usage)| (family.name().to_owned(), usage.into()))
                .collect(),
        }
    }

    /// The bill for people: totals, then commands and families, the dearest first.
    pub fn table(&self) -> String {
        let mut text = format!(
            "Usage of {} in {}, profile {}, prices: {}\n\n",
            self.cache,
            period(self.to_ms.saturating_sub(self.from_ms)),
            self.price_profile,
            self.prices
        );
        text += &aligned(&[
            ["".to_owned(), "amount".to_owned(), self.currency.clone()],
            ["ECPUs".to_owned(), self.ecpu_total.clone(), money(self.cost.ecpu)],
            ["gigabyte-hours stored".to_owned(), format!("{:.6}", self.gigabyte_hours), String::new()],
            [
                "gigabyte-hours metered".to_owned(),
                format!("{:.6}", self.gigabyte_hours_metered),
                money(self.cost.storage),
            ],
            ["total".to_owned(), String::new(), money(self.cost.total)],
        ]);
        text.push('\n');
        text += &self.command_table();
        text.push('\n');
        text += &self.family_table();
        text += "\nFamilies overlap: a command counts in each that it belongs to.\n";
        text
    }

    fn command_table(&self) -> String {
        let head = ["command", "calls", "failed", "ECPUs", "bytes in", "bytes out", "work", &self.currency];
        let rows = dearest_first(&self.by_command, |line| line.ecpu_milli).map(|(name, line)| {
            let CommandLine { calls, failed, ecpu_milli, bytes_in, bytes_out, work } = *line;
            let [calls, failed, bytes_in, bytes_out, work] =
                [calls, failed, bytes_in, bytes_out, work].map(|n| n.to_string());
            [name.clone(), calls, failed, decimal(ecpu_milli), bytes_in, bytes_out, work, money(self.share(ecpu_milli))]
        });
        aligned(&std::iter::once(head.map(str::to_owned)).chain(rows).collect::<Vec<_>>())
    }

    fn family_table(&self) -> String {
        let head = ["family", "calls", "ECPUs", &self.currency].map(str::to_owned);
        let rows = dearest_first(&self.by_family, |line| line.ecpu_milli).map(|(name, line)| {
            [name.clone(), line.calls.to_string(), decimal(line.ecpu_milli), money(self.share(line.ecpu_milli))]
        });
        aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }

    /// What a part of the ECPUs costs.
    fn share(&self, ecpu_milli: u64) -> f64 {
        if ecpu_milli == 0 { 0.0 } else { self.cost.ecpu * (ecpu_milli as f64 / self.ecpu_milli_total as f64) }
    }
}

impl From<Usage> for CommandLine {
    fn from(usage: Usage) -> Self {
        let Usage { calls, failed, ecpu_milli, bytes_in, bytes_out, work } = usage;
        CommandLine { calls, failed, ecpu_milli, bytes_in, bytes_out, work }
    }
}

impl From<FamilyUsage> for FamilyLine {
    fn from(usage: FamilyUsage) -> Self {
        FamilyLine { calls: usage.calls, ecpu_milli: usage.ecpu_milli }
    }
}

/// Lines by ECPUs, then by name.
fn dearest_first<Line>(
    lines: &BTreeMap<String, Line>,
    ecpu_milli: impl Fn(&Line) -> u64,
) -> impl Iterator<Item = (&String, &Line)> {
    let mut lines: Vec<_> = lines.iter().collect();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(ecpu_milli(line)));
    lines.into_iter()
}

/// Columns as wide as their widest cell; the first to the left, numbers to the right.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {cell:>width$}");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

pub(crate) fn decimal(milli: u64) -> String {
    format!("{}.{:03}", milli / MILLI, milli % MILLI)
}

/// Ten digits: one ECPU costs some 10^-9 of a currency's unit.
pub(crate) fn money(amount: f64) -> String {
    format!("{amount:.10}")
}

fn period(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use swell_engine::commands::table::tables;
    use swell_engine::spec::CommandId;

    use super::*;
    use crate::counters::Counters;
    use crate::ledger::{GIGABYTE, Ledger};
    use crate::price::Tariff;

    const START_MS: u64 = 1_795_392_000_000;
    const HOUR_MS: u64 = 3_600_000;

    fn resp(name: &str) -> CommandId {
        tables().resp.by_name(name.as_bytes()).expect(name).id
    }

    /// Two hours and five minutes: a gigabyte for the first hour, nothing afterwards.
    fn bill() -> Bill {
        let (prices, tariff) = (PriceFile::default(), Tariff::new(Profile::Elasticache));
        let ledger = Ledger::new(START_MS, prices.minimum_stored_bytes);
        ledger.observe_stored(GIGABYTE, START_MS);
        ledger.observe_stored(0, START_MS + HOUR_MS);
        let mut counters = Counters::new();
        counters.charge(&tariff, resp("get"), 0, 3277, 1, false);
        counters.charge(&tariff, resp("get"), 0, 0, 1, true);
        counters.charge(&tariff, resp("set"), 10_240, 0, 1, false);
        counters.charge(&tariff, tables().memcached.by_name(b"get").unwrap().id, 0, 300, 3, false);
        counters.drain_into(&ledger);
        let totals = ledger.totals(START_MS + 2 * HOUR_MS + 300_000);
        Bill::new("default", Profile::Elasticache, &totals, &prices)
    }

    #[test]
    fn the_json_has_these_names_and_reads_back() {
        let bill = bill();
        let json = serde_json::to_value(&bill).unwrap();
        assert_eq!(json["ecpu_total"], "17.200");
        assert_eq!(json["ecpu_milli_total"], 17_200);
        assert_eq!(
            json["by_command"]["get"],
            serde_json::json!({
                "calls": 2, "failed": 1, "ecpu_milli": 4200, "bytes_in": 0, "bytes_out": 3277, "work": 2,
            })
        );
        assert_eq!(json["by_command"]["memcached:get"]["ecpu_milli"], 3000);
        assert_eq!(
            json["by_family"],
            serde_json::json!({
                "CmdGet": { "calls": 1, "ecpu_milli": 3000 },
                "GetTypeCmds": { "calls": 2, "ecpu_milli": 4200 },
                "SetTypeCmds": { "calls": 1, "ecpu_milli": 10_000 },
                "StringBasedCmds": { "calls": 3, "ecpu_milli": 14_200 },
            })
        );
        let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "by_command",
            "by_family",
            "cache",
            "cost",
            "currency",
            "ecpu_milli_total",
            "ecpu_total",
            "from_ms",
            "gigabyte_hours",
            "gigabyte_hours_metered",
            "price_profile",
            "prices",
            "to_ms",
        ];
        assert_eq!(names, expected);
        assert_eq!(serde_json::from_value::<Bill>(json).unwrap(), bill);
    }

    #[test]
    fn parts_add_up_to_the_total() {
        let bill = bill();
        assert_eq!(bill.by_command.values().map(|line| line.ecpu_milli).sum::<u64>(), bill.ecpu_milli_total);
        let shares: f64 = bill.by_command.values().map(|line| bill.share(line.ecpu_milli)).sum();
        assert!((shares - bill.cost.ecpu).abs() < 1e-15);
        assert!((bill.cost.ecpu - 17.2 * 0.0023e-6).abs() < 1e-18);
        assert_eq!(bill.cost.total, bill.cost.ecpu + bill.cost.storage);
        assert_eq!(bill.gigabyte_hours, 1.0);
        // The rest of the time is metered at the minimum of 100 MB.
        let metered = 1.0 + 100.0 / 1024.0 * (65.0 / 60.0);
        assert!((bill.gigabyte_hours_metered - metered).abs() < 1e-12);
        assert!((bill.cost.storage - metered * 0.084).abs() < 1e-12);
    }

    #[test]
    fn the_table_has_totals_and_parts_with_the_dearest_first() {
        let expected = "\
Usage of default in 2 h 5 min, profile elasticache, prices: ElastiCache Serverless, Valkey, us-east-1, 2026-11

                          amount           USD
ECPUs                     17.200  0.0000000396
gigabyte-hours stored   1.000000
gigabyte-hours metered  1.105794  0.0928867187
total                             0.0928867583

command        calls  failed   ECPUs  bytes in  bytes out  work           USD
set                1       0  10.000     10240          0     1  0.0000000230
get                2       1   4.200         0       3277     2  0.0000000097
memcached:get      1       0   3.000         0        300     3  0.0000000069

family           calls   ECPUs           USD
StringBasedCmds      3  14.200  0.0000000327
SetTypeCmds          1  10.000  0.0000000230
GetTypeCmds          2   4.200  0.0000000097
CmdGet               1   3.000  0.0000000069

Families overlap: a command counts in each that it belongs to.
";
        assert_eq!(bill().table(), expected);
    }

    #[test]
    fn a_bill_without_calls_is_all_zero() {
        let ledger = Ledger::new(START_MS, 0);
        let bill = Bill::new("default", Profile::Swell, &ledger.totals(START_MS), &PriceFile::default());
        assert_eq!((bill.ecpu_total.as_str(), bill.cost.total), ("0.000", 0.0));
        assert!(bill.by_command.is_empty() && bill.by_family.is_empty());
    }

    #[test]
    fn periods_are_told_in_two_units() {
        for (ms, words) in [(900, "0 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h 0 min"), (90_000_000, "1 d 1 h")] {
            assert_eq!(period(ms), words);
        }
    }
}
