//! What a scenario has measured: as data for `--json`, as a table for people.

use std::fmt::Write;

use serde::{Serialize, Serializer};

use super::control::ControlRun;
use super::watch::{Event, Look};
use crate::bench::proc::Machine;
use crate::verified::record::{Latency, Second, Tally};

/// Where a stage belongs in "before, during and after scaling".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Loading, warming up.
    Apart,
    Before,
    During,
    After,
    /// Beside something that only uses as much CPU as scaling did.
    Control,
}

/// One part of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    pub name: String,
    pub phase: Phase,
    /// Whether requests came at the scenario's base rate, so that its latencies compare with others.
    pub is_base_rate: bool,
    pub from_s: f64,
    pub to_s: f64,
    pub latency: Latency,
}

/// How a promise came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

/// A promise with a number, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    pub what: String,
    pub measured: Option<f64>,
    /// Such as `≥ 4` or `≤ 2.0`.
    pub bound: String,
    pub verdict: Verdict,
    /// Why it was not measured, or what to keep in mind.
    pub note: String,
}

/// All of it. Times are in seconds since the load began.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub scenario: String,
    pub swell: &'static str,
    /// What was asked for, in words.
    pub load: String,
    pub machine: Machine,
    pub seconds: f64,
    pub client_errors: u64,
    pub wrong_reads: u64,
    pub unknown_outcomes: u64,
    pub nodes_peak: usize,
    pub nodes_end: usize,
    #[serde(serialize_with = "measured")]
    pub p99_ms_before: f64,
    #[serde(serialize_with = "measured")]
    pub p99_ms_during: f64,
    #[serde(serialize_with = "measured")]
    pub p99_ms_after: f64,
    /// Of the time during, what was at the base rate: this is what compares with before.
    #[serde(serialize_with = "measured")]
    pub p99_ms_during_base_rate: f64,
    /// At the base rate beside a hog that used the CPU time that scaling had used.
    #[serde(serialize_with = "measured")]
    pub p99_ms_control: f64,
    pub slots_moved: u64,
    pub keys_moved: u64,
    pub ecpu_total: f64,
    pub bill_total: f64,
    pub tally: Tally,
    pub control_run: Option<ControlRun>,
    pub bars: Vec<Bar>,
    pub stages: Vec<Stage>,
    pub timeline: Vec<Second>,
    pub looks: Vec<Look>,
    pub events: Vec<Event>,
}

impl Bar {
    pub fn at_most(what: &str, measured: f64, bound: f64, unit: &str) -> Bar {
        Bar::judged(what, measured, format!("≤ {}{unit}", short(bound)), measured <= bound)
    }

    pub fn at_least(what: &str, measured: f64, bound: f64, unit: &str) -> Bar {
        Bar::judged(what, measured, format!("≥ {}{unit}", short(bound)), measured >= bound)
    }

    /// A promise that could not be looked at, and why.
    pub fn not_measured(what: &str, bound: &str, why: &str) -> Bar {
        let (what, bound, note) = (what.to_owned(), bound.to_owned(), why.to_owned());
        Bar { what, measured: None, bound, verdict: Verdict::NotMeasured, note }
    }

    pub fn with_note(self, note: &str) -> Bar {
        Bar { note: note.to_owned(), ..self }
    }

    fn judged(what: &str, measured: f64, bound: String, is_met: bool) -> Bar {
        let verdict = if is_met { Verdict::Met } else { Verdict::Missed };
        Bar { what: what.to_owned(), measured: Some(measured), bound, verdict, note: String::new() }
    }
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::NotMeasured => "not measured",
        }
    }
}

impl Report {
    /// Whether no client noticed anything but time.
    pub fn is_clean(&self) -> bool {
        self.client_errors + self.wrong_reads + self.unknown_outcomes == 0
    }

    /// For people: the summary, the stages, the bars.
    pub fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let tally = &self.tally;
        let nodes = match self.nodes_peak {
            0 => "not told".to_owned(),
            peak => format!("{peak} at most, {} at the end", self.nodes_end),
        };
        let p99 = |ms: f64| if ms > 0.0 { format!("{ms:.2} ms") } else { "–".to_owned() };
        let mut rows = vec![
            ("scenario", format!("{} · {}", self.scenario, self.load)),
            ("requests", format!("{} in {:.0} s", thousands(tally.requests), self.seconds)),
            (
                "errors",
                format!(
                    "{} client errors, {} wrong reads, {} unknown outcomes",
                    self.client_errors, self.wrong_reads, self.unknown_outcomes
                ),
            ),
            ("nodes", nodes),
            ("moved", format!("{} slots, {} keys", thousands(self.slots_moved), thousands(self.keys_moved))),
            (
                "p99",
                format!(
                    "{} before, {} during ({} of it at the base rate), {} after{}",
                    p99(self.p99_ms_before),
                    p99(self.p99_ms_during),
                    p99(self.p99_ms_during_base_rate),
                    p99(self.p99_ms_after),
                    if self.p99_ms_control > 0.0 {
                        format!(", {} beside a hog", p99(self.p99_ms_control))
                    } else {
                        String::new()
                    }
                ),
            ),
            ("used", format!("{} ECPUs, ${:.6}", thousands(self.ecpu_total as u64), self.bill_total)),
        ];
        let by_kill = tally.lost_by_kill + tally.errors_by_kill + tally.unknown_by_kill;
        if by_kill > 0 {
            let text = format!(
                "{} reads lost, {} errors, {} unknown; the last error {} ms after it",
                tally.lost_by_kill, tally.errors_by_kill, tally.unknown_by_kill, tally.kill_last_error_ms
            );
            rows.insert(3, ("by the kill", text));
        }
        for (name, text) in rows {
            writeln!(out, "{name:>12}  {text}")?;
        }
        for (text, count) in &tally.errors {
            writeln!(out, "{:>12}  {count} × {text}", "")?;
        }
        for example in &tally.examples {
            writeln!(out, "{:>12}  {example}", "")?;
        }
        let wide = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let width = wide(&mut self.stages.iter().map(|stage| stage.name.chars().count()));
        let head = ["seconds", "requests", "p50 ms", "p99 ms", "worst ms"];
        let [seconds, requests, p50, p99, worst] = head;
        writeln!(out, "\n  {:width$} {seconds:>8} {requests:>10} {p50:>8} {p99:>9} {worst:>9}", "stage")?;
        for stage in &self.stages {
            let (seconds, latency) = (stage.to_s - stage.from_s, &stage.latency);
            writeln!(
                out,
                "  {:width$} {seconds:>8.1} {:>10} {:>8.2} {:>9.2} {:>9.2}",
                stage.name, latency.requests, latency.p50_ms, latency.p99_ms, latency.worst_ms
            )?;
        }
        let width = wide(&mut self.bars.iter().map(|bar| bar.what.chars().count()));
        writeln!(out)?;
        for bar in &self.bars {
            let measured = bar.measured.map(short).unwrap_or_else(|| "–".to_owned());
            let note = if bar.note.is_empty() { String::new() } else { format!("  ({})", bar.note) };
            let verdict = bar.verdict.word();
            writeln!(out, "  {:width$} {measured:>10}  {:10} {verdict}{note}", bar.what, bar.bound)?;
        }
        Ok(())
    }
}

/// A number with as many digits as matter.
pub fn short(number: f64) -> String {
    match number.abs() {
        size if number.fract() == 0.0 && size < 1e9 => format!("{number:.0}"),
        size if size >= 100.0 => format!("{number:.0}"),
        _ => format!("{number:.2}"),
    }
}

/// Digits in groups of three.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A latency is null where there were no requests: a zero would look like a very good one.
fn measured<S: Serializer>(ms: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if *ms > 0.0 { serializer.serialize_some(ms) } else { serializer.serialize_none() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_judged() {
        assert_eq!(Bar::at_most("x", 2.0, 2.0, "×").verdict, Verdict::Met);
        assert_eq!(Bar::at_most("x", 2.1, 2.0, "×").verdict, Verdict::Missed);
        let bar = Bar::at_least("x", 3.0, 4.0, " nodes");
        assert_eq!((bar.verdict, bar.bound.as_str()), (Verdict::Missed, "≥ 4 nodes"));
        assert_eq!(Bar::at_least("x", f64::NAN, 4.0, "").verdict, Verdict::Missed, "no number is no success");
        assert_eq!(Bar::not_measured("x", "≤ 1", "no cgroups").measured, None);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([4.0, 0.125, 123.4].map(short), ["4", "0.12", "123"]);
    }
}
