//! What the ledger says of a period, by command, family, hour or minute: JSON, and a table for people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swell_engine::commands::table::tables;

use super::{HOUR_MS, MINUTE_MS, Stored, Used};
use crate::bill::{Cost, aligned, decimal, money};
use crate::counters::Usage;
use crate::family::Family;
use crate::label;
use crate::ledger::GIGABYTE;
use crate::parts::Dimension;
use crate::prices::PriceFile;

/// What a line of a report stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    Command,
    /// ElastiCache's families. They overlap, so they add up to more than the total.
    Family,
    Hour,
    Minute,
    User,
    Client,
    Db,
    Prefix,
}

/// What no user, client, database or prefix is known for.
pub const NOT_COUNTED: &str = "(not counted)";

/// A period's usage and its price, in lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The cache's name.
    pub cache: String,
    /// Unix milliseconds.
    pub from_ms: u64,
    /// Unix milliseconds.
    pub to_ms: u64,
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
    pub by: By,
    /// Times in their order, others with the dearest first.
    pub lines: Vec<Line>,
}

/// A part of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The command, family, user, client, database or key prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the hour or minute begins, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    #[serde(flatten)]
    pub usage: Usage,
    /// Stored bytes over time, where lines are times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gigabyte_hours: Option<f64>,
    /// What its ECPUs cost.
    pub cost_ecpu: f64,
}

impl By {
    /// All, as they are typed.
    pub const NAMES: [(&'static str, By); 8] = [
        ("command", By::Command),
        ("family", By::Family),
        ("hour", By::Hour),
        ("minute", By::Minute),
        ("user", By::User),
        ("client", By::Client),
        ("db", By::Db),
        ("prefix", By::Prefix),
    ];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        By::NAMES.iter().find(|(_, by)| *by == self).map_or("command", |(name, _)| name)
    }

    /// Whose names the ledger has to be asked for.
    pub fn dimension(self) -> Option<Dimension> {
        match self {
            By::User => Some(Dimension::User),
            By::Client => Some(Dimension::Client),
            By::Db => Some(Dimension::Db),
            By::Prefix => Some(Dimension::Prefix),
            By::Command | By::Family | By::Hour | By::Minute => None,
        }
    }
}

impl Report {
    /// Prices what the ledger says of a period.
    pub fn new(cache: &str, (from_ms, to_ms): (u64, u64), used: &Used, by: By, prices: &PriceFile) -> Report {
        let total = sum(used.slices.values().flat_map(|slice| slice.commands.values()));
        let (gigabyte_hours, gigabyte_hours_metered) = stored(used, prices.minimum_stored_bytes);
        let ecpu = prices.ecpu_cost(total.ecpu_milli);
        let storage = prices.storage_cost(gigabyte_hours_metered);
        Report {
            cache: cache.to_owned(),
            from_ms,
            to_ms,
            prices: format!("{}, {}", prices.name, prices.date),
            currency: prices.currency.clone(),
            ecpu_milli_total: total.ecpu_milli,
            ecpu_total: decimal(total.ecpu_milli),
            gigabyte_hours,
            gigabyte_hours_metered,
            cost: Cost { ecpu, storage, total: ecpu + storage },
            by,
            lines: lines(used, by, prices),
        }
    }

    /// The report for people; `time` writes Unix milliseconds as a time.
    pub fn table(&self, time: impl Fn(u64) -> String) -> String {
        let (from, to) = (time(self.from_ms), time(self.to_ms));
        let mut text = format!("Usage of {} from {from} to {to}, prices: {}\n\n", self.cache, self.prices);
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
        let head = [self.by.name(), "calls", "failed", "ECPUs", "bytes in", "bytes out", "work", &self.currency];
        let rows = self.lines.iter().map(|line| {
            let name = line.name.clone().or_else(|| line.at_ms.map(&time)).unwrap_or_default();
            let Usage { calls, failed, ecpu_milli, bytes_in, bytes_out, work } = line.usage;
            let [calls, failed, bytes_in, bytes_out, work] =
                [calls, failed, bytes_in, bytes_out, work].map(|n| n.to_string());
            [name, calls, failed, decimal(ecpu_milli), bytes_in, bytes_out, work, money(line.cost_ecpu)]
        });
        text += &aligned(&std::iter::once(head.map(str::to_owned)).chain(rows).collect::<Vec<_>>());
        if self.by == By::Family {
            text += "\nFamilies overlap: a command counts in each that it belongs to.\n";
        }
        if self.by == By::Prefix && self.lines.iter().any(|line| line.name.as_deref() == Some(NOT_COUNTED)) {
            text += "\nKey prefixes are counted while --bill-prefixes is not off.\n";
        }
        text
    }
}

/// Stored gigabyte-hours, and the same with every hour raised to the minimum for as long as it was observed.
fn stored(used: &Used, minimum_bytes: u64) -> (f64, f64) {
    let mut hours: BTreeMap<u64, Stored> = BTreeMap::new();
    for (at_ms, slice) in &used.slices {
        hours.entry(at_ms / HOUR_MS).or_default().add(&slice.stored);
    }
    let raw = hours.values().map(|hour| hour.byte_ms).sum();
    let metered = hours.values().map(|hour| hour.byte_ms.max(minimum_bytes as f64 * hour.ms as f64)).sum();
    (gigabyte_hours(raw), gigabyte_hours(metered))
}

fn gigabyte_hours(byte_ms: f64) -> f64 {
    byte_ms / (GIGABYTE as f64 * HOUR_MS as f64)
}

fn lines(used: &Used, by: By, prices: &PriceFile) -> Vec<Line> {
    match by {
        By::Command => named(by_command(used), prices),
        By::Family => named(by_family(used), prices),
        By::Hour => timed(used, HOUR_MS, prices),
        By::Minute => timed(used, MINUTE_MS, prices),
        By::User | By::Client | By::Db | By::Prefix => named(by_name(used), prices),
    }
}

fn by_command(used: &Used) -> BTreeMap<String, Usage> {
    let mut commands: BTreeMap<String, Usage> = BTreeMap::new();
    for (name, usage) in used.slices.values().flat_map(|slice| &slice.commands) {
        commands.entry(name.clone()).or_default().add(usage);
    }
    commands
}

/// With a line for what is known of the commands alone, so that lines always add up to the total.
fn by_name(used: &Used) -> BTreeMap<String, Usage> {
    let mut parts = used.parts.clone();
    let total = sum(used.slices.values().flat_map(|slice| slice.commands.values()));
    let rest = total.since(&sum(parts.values()));
    if rest != Usage::default() {
        parts.insert(NOT_COUNTED.to_owned(), rest);
    }
    parts
}

/// Commands that this Swell does not know are in no family.
fn by_family(used: &Used) -> BTreeMap<String, Usage> {
    let commands = by_command(used);
    let known = tables().iter().filter_map(|command| Some((command.spec, commands.get(&label(command))?)));
    let mut families: BTreeMap<String, Usage> = BTreeMap::new();
    for (spec, usage) in known {
        for family in Family::ALL.into_iter().filter(|family| family.has(spec)) {
            families.entry(family.name().to_owned()).or_default().add(usage);
        }
    }
    families
}

fn named(parts: BTreeMap<String, Usage>, prices: &PriceFile) -> Vec<Line> {
    let line = |(name, usage): (String, Usage)| Line {
        name: Some(name),
        at_ms: None,
        usage,
        gigabyte_hours: None,
        cost_ecpu: prices.ecpu_cost(usage.ecpu_milli),
    };
    let mut lines: Vec<Line> = parts.into_iter().map(line).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.usage.ecpu_milli));
    lines
}

fn timed(used: &Used, slice_ms: u64, prices: &PriceFile) -> Vec<Line> {
    let mut times: BTreeMap<u64, (Usage, f64)> = BTreeMap::new();
    for (at_ms, slice) in &used.slices {
        let (usage, byte_ms) = times.entry(at_ms / slice_ms * slice_ms).or_default();
        usage.add(&sum(slice.commands.values()));
        *byte_ms += slice.stored.byte_ms;
    }
    let line = |(at_ms, (usage, byte_ms)): (u64, (Usage, f64))| Line {
        name: None,
        at_ms: Some(at_ms),
        usage,
        gigabyte_hours: Some(gigabyte_hours(byte_ms)),
        cost_ecpu: prices.ecpu_cost(usage.ecpu_milli),
    };
    times.into_iter().map(line).collect()
}

fn sum<'u>(usages: impl Iterator<Item = &'u Usage>) -> Usage {
    usages.fold(Usage::default(), |mut sum, usage| {
        sum.add(usage);
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::super::book::Slice;
    use super::*;

    fn usage(calls: u64) -> Usage {
        Usage { calls, ecpu_milli: calls * 1000, work: calls, ..Usage::default() }
    }

    /// Two minutes of one hour and one of the next; a gigabyte is stored in the first.
    fn used() -> Used {
        let slice = |commands: &[(&str, u64)], bytes: u64| Slice {
            commands: commands.iter().map(|(name, calls)| ((*name).to_owned(), usage(*calls))).collect(),
            stored: Stored { byte_ms: (bytes * MINUTE_MS) as f64, ms: MINUTE_MS },
        };
        let slices = [
            (0, slice(&[("get", 2), ("set", 5)], GIGABYTE)),
            (MINUTE_MS, slice(&[("get", 1)], 0)),
            (HOUR_MS, slice(&[("memcached:get", 4), ("gone", 1)], 0)),
        ];
        let parts = [("a".to_owned(), usage(3)), ("b".to_owned(), usage(9))];
        Used { slices: slices.into(), parts: parts.into() }
    }

    fn report(by: By) -> Report {
        Report::new("default", (0, 2 * HOUR_MS), &used(), by, &PriceFile::default())
    }

    #[test]
    fn lines_are_commands_families_or_times() {
        let lines = |by| -> Vec<(String, u64)> {
            let name = |line: &Line| line.name.clone().unwrap_or_else(|| line.at_ms.unwrap().to_string());
            report(by).lines.iter().map(|line| (name(line), line.usage.calls)).collect()
        };
        let owned = |lines: &[(&str, u64)]| -> Vec<(String, u64)> {
            lines.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect()
        };
        assert_eq!(lines(By::Command), owned(&[("set", 5), ("memcached:get", 4), ("get", 3), ("gone", 1)]));
        let families = [("StringBasedCmds", 8), ("SetTypeCmds", 5), ("CmdGet", 4), ("GetTypeCmds", 3)];
        assert_eq!(lines(By::Family), owned(&families));
        assert_eq!(lines(By::Client), owned(&[("b", 9), ("a", 3), (NOT_COUNTED, 1)]));
        assert_eq!(lines(By::Hour), owned(&[("0", 8), ("3600000", 5)]));
        assert_eq!(lines(By::Minute), owned(&[("0", 7), ("60000", 1), ("3600000", 5)]));
    }

    #[test]
    fn the_total_is_all_commands_and_storage_with_the_minimum_of_each_hour() {
        let report = report(By::Hour);
        assert_eq!((report.ecpu_total.as_str(), report.ecpu_milli_total), ("13.000", 13_000));
        assert!((report.gigabyte_hours - 1.0 / 60.0).abs() < 1e-12);
        // The first hour averages half a gigabyte over two minutes; the second is raised to 100 MB for its minute.
        let metered = 1.0 / 60.0 + 100.0 / 1024.0 / 60.0;
        assert!((report.gigabyte_hours_metered - metered).abs() < 1e-12);
        assert!((report.cost.total - 13.0 * 0.0023e-6 - metered * 0.084).abs() < 1e-12);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["by"], "hour");
        assert_eq!(json["lines"][1]["calls"], 5);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }

    #[test]
    fn the_table_names_the_period() {
        let expected = "\
Usage of default from t0 to t7200000, prices: ElastiCache Serverless, Valkey, us-east-1, 2026-11

                          amount           USD
ECPUs                     13.000  0.0000000299
gigabyte-hours stored   0.016667
gigabyte-hours metered  0.018294  0.0015367188
total                             0.0015367487

hour      calls  failed  ECPUs  bytes in  bytes out  work           USD
t0            8       0  8.000         0          0     8  0.0000000184
t3600000      5       0  5.000         0          0     5  0.0000000115
";
        assert_eq!(report(By::Hour).table(|ms| format!("t{ms}")), expected);
    }
}
