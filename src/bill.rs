//! `swell bill` and `swell health`: what a running Swell says of itself, for people and for scripts.

use std::fmt::Write;

use anyhow::{Context, bail};

use crate::client;
use crate::config::Config;
use crate::usage::{UsageLine, UsageReport};

/// The bill of the Swell that `config` describes: a table, or with `json` the report as it came.
///
/// # Errors
/// No Swell answers there, or it refuses.
pub fn bill(config: &Config, json: bool) -> anyhow::Result<String> {
    let body = ask(config, "/usage")?;
    if json {
        return Ok(body);
    }
    let report = serde_json::from_str(&body).context("this Swell's usage report is of another version")?;
    Ok(table(&report))
}

/// Fails unless the Swell that `config` describes serves clients.
///
/// # Errors
/// No Swell answers there, or it is not ready.
pub fn health(config: &Config) -> anyhow::Result<()> {
    ask(config, "/readyz").map(drop)
}

fn ask(config: &Config, path: &str) -> anyhow::Result<String> {
    let address =
        config.http.address().context("the HTTP listener is off, so there is nothing to ask: pass --http ADDR")?;
    let address = client::reachable(address);
    let page = client::get(address, path, config.requirepass.get())?;
    match page.status {
        200 => Ok(page.body),
        401 => bail!("http://{address} wants the password: pass --requirepass or set SWELL_REQUIREPASS"),
        status => bail!("http://{address}{path} answers {status}: {}", page.body.trim_end()),
    }
}

fn table(report: &UsageReport) -> String {
    let mut text =
        format!("Usage in {}, priced as {} in {}\n\n", period(report.period_ms), report.price_profile, report.currency);
    let rows = [
        ["".to_owned(), "amount".to_owned(), report.currency.clone()],
        ["ECPUs".to_owned(), thousandths(report.ecpu_thousandths), money(report.money.ecpus)],
        ["gigabyte-hours".to_owned(), format!("{:.6}", report.gigabyte_hours), money(report.money.storage)],
        ["total".to_owned(), String::new(), money(report.money.total)],
    ];
    text += &aligned(&rows);
    for (title, lines) in [("command", &report.commands), ("family", &report.families)] {
        text.push('\n');
        text += &parts(title, &report.currency, lines);
    }
    text += "\nFamilies overlap: a command counts in each that it belongs to.\n";
    text
}

/// The dearest first.
fn parts(title: &str, currency: &str, lines: &[UsageLine]) -> String {
    let mut lines: Vec<_> = lines.iter().collect();
    lines.sort_by(|one, other| {
        (other.ecpu_thousandths, other.calls, &one.name).cmp(&(one.ecpu_thousandths, one.calls, &other.name))
    });
    let head = [title.to_owned(), "calls".to_owned(), "ECPUs".to_owned(), currency.to_owned()];
    let rows = lines
        .iter()
        .map(|line| [line.name.clone(), line.calls.to_string(), thousandths(line.ecpu_thousandths), money(line.money)]);
    aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// Columns as wide as their widest cell; the first to the left, numbers to the right.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
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

fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1000, number % 1000)
}

/// Ten digits: one ECPU costs some 10^-9 of a currency's unit.
fn money(amount: f64) -> String {
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
    use super::*;
    use crate::usage::Money;

    fn line(name: &str, calls: u64, ecpu_thousandths: u64) -> UsageLine {
        UsageLine { name: name.to_owned(), calls, ecpu_thousandths, money: ecpu_thousandths as f64 * 3.4e-12 }
    }

    #[test]
    fn the_table_has_totals_and_parts_with_the_dearest_first() {
        let report = UsageReport {
            period_ms: 7_500_000,
            price_profile: "elasticache".to_owned(),
            currency: "USD".to_owned(),
            ecpu_thousandths: 12_345_678,
            gigabyte_hours: 0.25,
            money: Money { ecpus: 0.000_042, storage: 0.031_25, total: 0.031_292 },
            commands: vec![line("get", 10, 10_000), line("mset", 2, 12_335_678)],
            families: vec![line("StringBasedCmds", 12, 12_345_678)],
        };
        let expected = "\
Usage in 2 h 5 min, priced as elasticache in USD

                   amount           USD
ECPUs           12345.678  0.0000420000
gigabyte-hours   0.250000  0.0312500000
total                      0.0312920000

command  calls      ECPUs           USD
mset         2  12335.678  0.0000419413
get         10     10.000  0.0000000340

family           calls      ECPUs           USD
StringBasedCmds     12  12345.678  0.0000419753

Families overlap: a command counts in each that it belongs to.
";
        assert_eq!(table(&report), expected);
    }

    #[test]
    fn periods_are_told_in_two_units() {
        for (ms, words) in [(900, "0 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h 0 min"), (90_000_000, "1 d 1 h")] {
            assert_eq!(period(ms), words);
        }
    }
}
