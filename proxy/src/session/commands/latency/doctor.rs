//! LATENCY DOCTOR: the time series in words, with what may be done about them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::observe::{Event, Series, Watch};

/// The report.
pub fn report(watch: &Watch, events: &BTreeMap<Event, Series>) -> String {
    let threshold_ms = watch.latency_ms.load(Relaxed);
    if threshold_ms == 0 && events.is_empty() {
        return "The latency monitor is off. \"CONFIG SET latency-monitor-threshold <milliseconds>\" turns it on.\n"
            .to_owned();
    }
    if events.is_empty() {
        return format!("Nothing has taken {threshold_ms} milliseconds or more since the latency monitor looks.\n");
    }
    let mut text = String::from("Some things took longer than the latency monitor's threshold.\n\n");
    for (number, (event, series)) in events.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}. {}: {}", number + 1, event.name(), described(series));
    }
    text.push_str("\nWhat may help:\n\n");
    let slow_us = watch.slow_us.load(Relaxed);
    if threshold_ms > 0 && (slow_us < 0 || slow_us > threshold_ms * 1000) {
        let us = threshold_ms * 1000;
        let _ = writeln!(text, "- SLOWLOG misses some of them: CONFIG SET slowlog-log-slower-than {us}.");
    }
    for event in events.keys() {
        text.push_str(match event {
            Event::Command => "- SLOWLOG GET shows which commands they are; smaller ranges or values take less.\n",
            Event::FastCommand => {
                "- Commands that are quick by themselves were slow: the machine may have too few cores, or swap.\n"
            }
            Event::ExpireCycle => "- Very many keys expire at once: spread their expiry.\n",
        });
    }
    text
}

fn described(series: &Series) -> String {
    let spikes = series.samples.len() as u64;
    let mean_ms = series.samples.iter().map(|(_, ms)| ms).sum::<u64>() / spikes.max(1);
    let deviation_ms = series.samples.iter().map(|(_, ms)| ms.abs_diff(mean_ms)).sum::<u64>() / spikes.max(1);
    let first = series.samples.front().map_or(0, |(at, _)| *at);
    let last = series.samples.back().map_or(0, |(at, _)| *at);
    let period = (last - first) as f64 / spikes.max(1) as f64;
    format!(
        "{spikes} latency spikes (average {mean_ms}ms, mean deviation {deviation_ms}ms, period {period:.2} sec). \
         Worst all time event {}ms.",
        series.worst_ms
    )
}
