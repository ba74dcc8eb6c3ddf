//! The report: everything that was measured as data (`--json`), and its tables for a person.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::{Protocol, Test};
use super::commands::CommandRow;
use super::elements::ElementsRow;
use super::handoff::HandoffRow;
use super::hitratio::HitRatioRow;
use super::isolation::IsolationRow;
use super::memory::MemoryRow;
use super::moving::{MoveRow, Spread};
use super::openloop::Latencies;
use super::proc::Machine;
use super::replies::Counts;
use super::startup::StartupRow;
use super::sys::Core;
use super::throughput::{Basis, ThroughputRow};

/// All results of one bench.
#[derive(Debug, Serialize)]
pub struct Report {
    pub environment: Environment,
    pub servers: Vec<ServerInfo>,
    pub throughput: Vec<ThroughputRow>,
    pub commands: Vec<CommandRow>,
    pub elements: Vec<ElementsRow>,
    pub memory: Vec<MemoryRow>,
    pub startup: Vec<StartupRow>,
    pub handoff: Vec<HandoffRow>,
    pub hit_ratio: Vec<HitRatioRow>,
    pub moves: Vec<MoveRow>,
    pub isolation: Vec<IsolationRow>,
    /// What was promised, and whether it was kept.
    pub bars: Vec<Bar>,
    /// What a reader of the figures should know.
    pub warnings: Vec<String>,
    /// What makes the bench fail: servers that answered wrongly.
    pub failures: Vec<String>,
}

/// Where and how the figures were taken.
#[derive(Debug, Serialize)]
pub struct Environment {
    pub unix_seconds: u64,
    pub machine: Machine,
    pub server_cpu: Core,
    pub load_cpu: Core,
    pub nice: Option<i32>,
    pub spin: bool,
    pub connections: usize,
    pub keys: u64,
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub rounds: usize,
    pub seed: u64,
}

/// A promise with a number, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    pub what: String,
    pub value: f64,
    pub bound: f64,
    /// Whether the bound is the most that is allowed, not the least.
    pub at_most: bool,
    pub met: bool,
}

/// A server that took part.
#[derive(Debug, Serialize)]
pub struct ServerInfo {
    pub name: String,
    pub version: String,
    pub protocol: Protocol,
    pub command_line: String,
    pub yardstick: bool,
}

impl Bar {
    pub fn at_most(what: &str, value: f64, bound: f64) -> Bar {
        Bar { what: what.to_owned(), value, bound, at_most: true, met: value <= bound }
    }

    pub fn at_least(what: &str, value: f64, bound: f64) -> Bar {
        Bar { what: what.to_owned(), value, bound, at_most: false, met: value >= bound }
    }
}

impl Report {
    pub fn new(environment: Environment) -> Report {
        Report {
            environment,
            servers: Vec::new(),
            throughput: Vec::new(),
            commands: Vec::new(),
            elements: Vec::new(),
            memory: Vec::new(),
            startup: Vec::new(),
            handoff: Vec::new(),
            hit_ratio: Vec::new(),
            moves: Vec::new(),
            isolation: Vec::new(),
            bars: Vec::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Notes a failure if any of the replies, which all should have been good, was not.
    pub fn fail_on(&mut self, what: &str, replies: &Counts) {
        if replies.bad() == 0 {
            return;
        }
        let Counts { misses, wrong, errors, first_error, .. } = replies;
        let first = first_error.as_ref().map(|text| format!(" (the first: {text})")).unwrap_or_default();
        self.failures.push(format!("{what}: {wrong} wrong values, {misses} missing keys, {errors} errors{first}"));
    }

    /// The whole report as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = self.preamble();
        self.throughput_table(&mut text);
        self.commands_table(&mut text);
        self.elements_table(&mut text);
        self.memory_table(&mut text);
        self.startup_table(&mut text);
        self.handoff_table(&mut text);
        self.hit_ratio_table(&mut text);
        self.move_table(&mut text);
        self.isolation_table(&mut text);
        self.bar_table(&mut text);
        bullets(&mut text, "Note", &self.warnings);
        bullets(&mut text, "FAILED", &self.failures);
        text
    }

    fn preamble(&self) -> String {
        let Environment { machine, server_cpu, load_cpu, connections, keys, key_bytes, value_bytes, rounds, .. } =
            &self.environment;
        let mut text = format!(
            "{}, {} cores, Linux {}, load average {:.2} before; servers on {}, load generator on {}.\n",
            machine.cpu,
            machine.cores,
            machine.kernel,
            machine.load_before,
            server_cpu.name(),
            load_cpu.name()
        );
        if !self.throughput.is_empty() {
            let _ = writeln!(
                text,
                "{connections} connections, {keys} keys of {key_bytes} B with {value_bytes} B values drawn uniformly; \
                 medians of {rounds} interleaved runs. Latency is that of a batch."
            );
        }
        for server in &self.servers {
            let role = if server.yardstick { ", the yardstick" } else { "" };
            let _ = writeln!(text, "- **{}** ({}{role}): `{}`", server.name, server.version, server.command_line);
        }
        text
    }

    fn throughput_table(&self, text: &mut String) {
        let headers = [
            "test",
            "pipeline",
            "server",
            "requests/s",
            "CPU µs/request",
            "core busy %",
            "load gen. µs/request",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "bad replies",
            "× yardstick",
            "CPU ÷ yardstick",
        ];
        let rows = self.throughput.iter().map(|row| {
            let figures = &row.median;
            let bad: u64 = row.runs.iter().map(|run| run.replies.bad()).sum();
            let ratio = row.ratio.map(|ratio| match ratio.basis {
                Basis::Throughput => format!("{:.2}", ratio.value),
                Basis::ServerCpu => format!("{:.2} (by CPU)", ratio.value),
            });
            vec![
                row.test.name().to_uppercase(),
                row.pipeline.to_string(),
                row.server.clone(),
                format!("{:.0}", figures.requests_per_second),
                format!("{:.3}", figures.server_cpu_us_per_request),
                format!("{:.0}", figures.core_busy_percent),
                format!("{:.3}", figures.loader_cpu_us_per_request),
                format!("{:.0}", figures.batch_p50_us),
                format!("{:.0}", figures.batch_p99_us),
                format!("{:.0}", figures.batch_p999_us),
                bad.to_string(),
                ratio.unwrap_or_else(|| "1".to_owned()),
                row.cpu_ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.3}")),
            ]
        });
        table(text, &headers, rows.collect());
    }

    fn commands_table(&self, text: &mut String) {
        let headers = ["command", "server", "requests/s", "CPU µs/request", "core busy %", "× yardstick"];
        let rows = self.commands.iter().map(|row| {
            let ratio = row.ratio.map(|ratio| match ratio.basis {
                Basis::Throughput => format!("{:.2}", ratio.value),
                Basis::ServerCpu => format!("{:.2} (by CPU)", ratio.value),
            });
            vec![
                row.command.to_owned(),
                row.server.clone(),
                format!("{:.0}", row.median.requests_per_second),
                format!("{:.3}", row.median.server_cpu_us_per_request),
                format!("{:.0}", row.median.core_busy_percent),
                ratio.unwrap_or_else(|| "1".to_owned()),
            ]
        });
        table(text, &headers, rows.collect());
    }

    fn elements_table(&self, text: &mut String) {
        let headers = ["values", "server", "elements", "bytes put in", "bytes more per element", "÷ yardstick"];
        let rows = self.elements.iter().map(|row| {
            vec![
                row.what.to_owned(),
                row.server.clone(),
                row.elements.to_string(),
                row.payload_bytes.to_string(),
                format!("{:.1}", row.overhead_bytes_per_element),
                row.ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.2}")),
            ]
        });
        table(text, &headers, rows.collect());
    }

    fn memory_table(&self, text: &mut String) {
        let headers =
            ["server", "keys", "value B", "idle MiB", "loaded MiB", "overhead B/key", "load s", "÷ yardstick"];
        let rows = self.memory.iter().map(|row| {
            vec![
                row.server.clone(),
                row.keys.to_string(),
                row.value_bytes.to_string(),
                mebibytes(row.idle_bytes),
                mebibytes(row.loaded_bytes),
                format!("{:.1}", row.overhead_bytes_per_key),
                format!("{:.1}", row.load_seconds),
                row.ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.2}")),
            ]
        });
        table(text, &headers, rows.collect());
    }

    fn startup_table(&self, text: &mut String) {
        let headers = [
            "server",
            "first reply ms",
            "idle MiB",
            "KiB/idle connection",
            "idle CPU %",
            "wake-ups/s",
            "first reply ÷ yardstick",
        ];
        let rows = self.startup.iter().map(|row| {
            vec![
                row.server.clone(),
                format!("{:.2}", row.first_reply_ms),
                mebibytes(row.idle_bytes),
                format!("{:.1}", row.bytes_per_connection / 1024.0),
                format!("{:.2}", row.idle_cpu_percent),
                format!("{:.1}", row.wakeups_per_second),
                row.ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.2}")),
            ]
        });
        table(text, &headers, rows.collect());
    }

    fn handoff_table(&self, text: &mut String) {
        let headers = ["server", "hand-off p50 us", "p99 us", "p50 ÷ yardstick"];
        let rows = self.handoff.iter().map(|row| {
            vec![
                row.server.clone(),
                format!("{:.1}", row.p50_us),
                format!("{:.1}", row.p99_us),
                row.ratio.map_or_else(|| "1".to_owned(), |ratio| format!("{ratio:.2}")),
            ]
        });
        table(text, &headers, rows.collect());
    }

    fn hit_ratio_table(&self, text: &mut String) {
        let headers =
            ["server", "policy", "reads", "hits %", "keys held", "RSS MiB", "RSS ÷ maxmemory", "points to yardstick"];
        let rows = self.hit_ratio.iter().map(|row| {
            vec![
                row.server.clone(),
                row.policy.clone(),
                row.reads.to_string(),
                format!("{:.2}", row.hit_percent),
                row.keys_held.to_string(),
                mebibytes(row.resident_bytes),
                format!("{:.3}", row.resident_over_maxmemory),
                row.points.map_or_else(|| "0".to_owned(), |points| format!("{points:+.2}")),
            ]
        });
        table(text, &headers, rows.collect());
    }

    fn move_table(&self, text: &mut String) {
        let headers = [
            "server",
            "round",
            "keys",
            "keys/s",
            "bad replies",
            "worst ms (before)",
            "p50 ms (before)",
            "p99 ms (before)",
            "p99.9 ms (before)",
            "stood still p50/p99/max ms",
            "commit p50/max ms",
            "retries",
            "load",
        ];
        let spread = |spread: &Spread| [spread.p50_us, spread.p99_us, spread.max_us].map(|time| millis(time as f64));
        let mut rows = Vec::new();
        for row in &self.moves {
            for round in &row.rounds {
                let both = |pick: fn(&Latencies) -> f64| {
                    format!("{} ({})", millis(pick(&round.moving)), millis(pick(&round.quiet)))
                };
                let (standstill, [commit, _, commit_max]) = (spread(&round.standstill), spread(&round.commit));
                rows.push(vec![
                    row.server.clone(),
                    (round.round + 1).to_string(),
                    round.moved.keys.to_string(),
                    format!("{:.0}", round.keys_per_second),
                    round.replies.bad().to_string(),
                    both(|latencies| latencies.worst_us),
                    both(|latencies| latencies.p50_us),
                    both(|latencies| latencies.p99_us),
                    both(|latencies| latencies.p999_us),
                    standstill.join(" / "),
                    format!("{commit} / {commit_max}"),
                    round.moved.retries.to_string(),
                    format!("{:.1}", round.load_average),
                ]);
            }
        }
        table(text, &headers, rows);
    }

    fn isolation_table(&self, text: &mut String) {
        let headers = [
            "server",
            "round",
            "p99 ms alone",
            "beside huge value and moving slot",
            "beside CPU hog",
            "÷ alone",
            "÷ hog",
            "values written/read",
            "moves",
            "server CPU %",
            "hog CPU %",
            "load",
        ];
        let mut rows = Vec::new();
        for row in &self.isolation {
            for round in &row.rounds {
                let [alone, beside, hog] =
                    [&round.alone, &round.beside, &round.control].map(|phase| phase.latencies.p99_us);
                rows.push(vec![
                    row.server.clone(),
                    (round.round + 1).to_string(),
                    millis(alone),
                    millis(beside),
                    millis(hog),
                    format!("{:.2}", beside / alone),
                    format!("{:.2}", beside / hog),
                    format!("{}/{}", round.neighbours.written, round.neighbours.read),
                    round.neighbours.moves.to_string(),
                    format!("{:.0} → {:.0}", round.alone.server_cpu_percent, round.beside.server_cpu_percent),
                    format!("{:.0}", round.hog_percent),
                    format!("{:.1}", round.load_average),
                ]);
            }
        }
        table(text, &headers, rows);
    }

    fn bar_table(&self, text: &mut String) {
        let rows = self.bars.iter().map(|bar| {
            let sign = if bar.at_most { "≤" } else { "≥" };
            vec![
                bar.what.clone(),
                format!("{:.3}", bar.value),
                format!("{sign} {}", bar.bound),
                if bar.met { "met" } else { "MISSED" }.to_owned(),
            ]
        });
        table(text, &["bar", "measured", "bound", ""], rows.collect());
    }
}

impl Test {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Test::Get => "get",
            Test::Set => "set",
            Test::Commands => "commands",
            Test::Elements => "elements",
            Test::Memory => "memory",
            Test::Startup => "startup",
            Test::Handoff => "handoff",
            Test::HitRatio => "hitratio",
            Test::Move => "move",
            Test::Isolation => "isolation",
        }
    }
}

impl Core {
    fn name(self) -> String {
        match self {
            Core::Any => "any core".to_owned(),
            Core::Number(number) => format!("core {number}"),
        }
    }
}

/// A Markdown table with columns as wide as their widest cell, after an empty line; nothing when there are no rows.
fn table(text: &mut String, headers: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headers[column].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    text.push('\n');
    let mut line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!(" {cell:<width$} |"));
        let _ = writeln!(text, "|{}", padded.collect::<String>());
    };
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    line(headers.to_vec());
    line(rule.iter().map(String::as_str).collect());
    for row in &rows {
        line(row.iter().map(String::as_str).collect());
    }
}

fn bullets(text: &mut String, label: &str, lines: &[String]) {
    if !lines.is_empty() {
        text.push('\n');
    }
    for line in lines {
        let _ = writeln!(text, "- {label}: {line}");
    }
}

fn millis(microseconds: f64) -> String {
    format!("{:.2}", microseconds / 1e3)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_empty_ones_are_left_out() {
        let mut text = String::new();
        table(&mut text, &["a", "µs"], vec![]);
        assert_eq!(text, "");
        table(&mut text, &["a", "µs"], vec![vec!["redis".to_owned(), "1".to_owned()]]);
        assert_eq!(text, "\n| a     | µs  |\n| ----- | --- |\n| redis | 1   |\n");
    }
}
