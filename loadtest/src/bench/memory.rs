//! What a key costs: a fresh server's resident memory before and after it is loaded.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Bench;
use super::dialect::Operation;
use super::driver::{LoadPlan, Stop, drive};
use super::peer::Server;
use super::report::Report;
use crate::workload::{KEY_BYTES, KeySource};

/// Memory of one server with one number of keys and size of values.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryRow {
    pub server: String,
    pub keys: u64,
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub idle_bytes: u64,
    pub loaded_bytes: u64,
    /// (loaded − idle) / keys − key − value.
    pub overhead_bytes_per_key: f64,
    pub load_seconds: f64,
    /// The overhead over the yardstick's: below 1 is better. None for the yardstick itself.
    pub ratio: Option<f64>,
}

/// Pipeline of the loading; it is not measured.
const LOAD_PIPELINE: usize = 64;

/// Measures every combination of key count and value size on a fresh server each.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    for &value_bytes in &bench.args.memory_values {
        for &keys in &bench.args.memory_keys {
            let mut rows = Vec::new();
            for spec in &bench.specs {
                let server = bench.start(spec, report)?;
                rows.push(load(bench, &server, keys, value_bytes)?);
            }
            add_rows(bench, report, rows);
        }
    }
    Ok(())
}

/// Loads keys `0..keys` into a fresh server and says what that did to its memory.
///
/// Errors when a key is refused, or when the server does not hold them all afterwards.
pub fn load(bench: &Bench<'_>, server: &Server, keys: u64, value_bytes: usize) -> Result<MemoryRow> {
    let idle_bytes = server.settled_memory()?;
    let began = Instant::now();
    let plan = LoadPlan {
        address: server.address,
        request: Operation::Set.request(server.protocol, value_bytes),
        reply: Operation::Set.reply(server.protocol, value_bytes),
        connections: bench.args.connections,
        pipeline: LOAD_PIPELINE,
        keys: KeySource::sequential(keys),
        warmup: Duration::ZERO,
        stop: Stop::Exhausted,
        spin: false,
    };
    let outcome = drive(plan, || Ok(()))
        .with_context(|| format!("{} failed while it was loaded; it printed: {}", server.name, server.last_lines()))?;
    let load_seconds = began.elapsed().as_secs_f64();
    if outcome.counts.bad() > 0 {
        let reason = outcome.counts.first_error.unwrap_or_default();
        bail!("{} refused {} of {keys} keys: {reason}", server.name, outcome.counts.errors);
    }
    let held = server.client()?.keys().with_context(|| format!("cannot count the keys of {}", server.name))?;
    if held != keys {
        bail!("{} holds {held} keys after {keys} were written: is it limited to less memory?", server.name);
    }
    let loaded_bytes = server.settled_memory()?;
    let overhead_bytes_per_key = overhead(idle_bytes, loaded_bytes, keys, value_bytes);
    bench.progress(&format!(
        "{} holds {keys} keys with {value_bytes} B values: {overhead_bytes_per_key:.1} B more per key",
        server.name
    ));
    Ok(MemoryRow {
        server: server.name.clone(),
        keys,
        key_bytes: KEY_BYTES,
        value_bytes,
        idle_bytes,
        loaded_bytes,
        overhead_bytes_per_key,
        load_seconds,
        ratio: None,
    })
}

/// Adds rows of all servers, in their order, to the report, with their ratios.
pub fn add_rows(bench: &Bench<'_>, report: &mut Report, mut rows: Vec<MemoryRow>) {
    if let Some(yardstick) = bench.yardstick() {
        let overhead = rows[yardstick].overhead_bytes_per_key;
        for (_, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != yardstick) {
            row.ratio = Some(row.overhead_bytes_per_key / overhead);
        }
    }
    report.memory.append(&mut rows);
}

fn overhead(idle: u64, loaded: u64, keys: u64, value_bytes: usize) -> f64 {
    (loaded as f64 - idle as f64) / keys as f64 - KEY_BYTES as f64 - value_bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_is_what_neither_key_nor_value_explains() {
        assert_eq!(overhead(1_000, 1_000 + 10 * (16 + 64 + 30), 10, 64), 30.0);
        assert_eq!(overhead(5_000, 5_000, 10, 64), -80.0, "a server that stored nothing shows");
    }
}
