//! How fast a server answers after its start, and what it uses while nobody asks for anything.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Bench;
use super::peer::Server;
use super::report::Report;
use super::stats::median;
use super::sys;
use super::template::PeerSpec;

/// Start and idling of one server.
#[derive(Debug, Clone, Serialize)]
pub struct StartupRow {
    pub server: String,
    /// Median over the rounds, from before fork to the first right answer.
    pub first_reply_ms: f64,
    pub first_reply_ms_rounds: Vec<f64>,
    pub idle_bytes: u64,
    pub idle_connections: usize,
    /// More memory for each connection that has asked one question and keeps silent since.
    pub bytes_per_connection: f64,
    /// Without any connection.
    pub idle_cpu_percent: f64,
    /// Voluntary context switches of all threads, without any connection.
    pub wakeups_per_second: f64,
    /// Time to the first reply over the yardstick's: below 1 is better. None for the yardstick itself.
    pub ratio: Option<f64>,
}

/// Starts every server as often as there are rounds, in turn, and watches the last one of each.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut rounds = vec![Vec::new(); bench.specs.len()];
    for _ in 0..bench.args.rounds {
        for (at, spec) in bench.specs.iter().enumerate() {
            let server = bench.start(spec, report)?;
            rounds[at].push(server.first_reply.as_secs_f64() * 1e3);
        }
    }
    let mut rows = Vec::new();
    for (spec, first_reply_ms_rounds) in bench.specs.iter().zip(rounds) {
        let row = watch(bench, report, spec, first_reply_ms_rounds)?;
        bench.progress(&format!("{} answers after {:.2} ms", row.server, row.first_reply_ms));
        rows.push(row);
    }
    if let Some(yardstick) = bench.yardstick() {
        let first_reply_ms = rows[yardstick].first_reply_ms;
        for (_, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != yardstick) {
            row.ratio = Some(row.first_reply_ms / first_reply_ms);
        }
    }
    report.startup.append(&mut rows);
    Ok(())
}

fn watch(bench: &Bench<'_>, report: &mut Report, spec: &PeerSpec, rounds: Vec<f64>) -> Result<StartupRow> {
    let server = bench.start(spec, report)?;
    let idle_bytes = server.settled_memory()?;
    let (idle_cpu_percent, wakeups_per_second) = watch_idle(&server, bench.args.idle_seconds)?;
    let before = server.settled_memory()?;
    let mut connections = Vec::with_capacity(bench.args.idle_connections);
    for number in 1..=bench.args.idle_connections {
        let mut client = server.client().with_context(|| format!("at connection {number}"))?;
        client.ping().with_context(|| format!("{}, connection {number}", server.name))?;
        connections.push(client);
    }
    let after = server.settled_memory()?;
    Ok(StartupRow {
        server: server.name.clone(),
        first_reply_ms: median(rounds.iter().copied()),
        first_reply_ms_rounds: rounds,
        idle_bytes,
        idle_connections: connections.len(),
        bytes_per_connection: (after as f64 - before as f64) / connections.len() as f64,
        idle_cpu_percent,
        wakeups_per_second,
        ratio: None,
    })
}

/// Percent of a core, and voluntary context switches per second.
fn watch_idle(server: &Server, seconds: f64) -> Result<(f64, f64)> {
    let seconds = seconds.max(0.1);
    let (cpu_before, switches_before) = (server.cpu()?, server.voluntary_switches()?);
    sys::pause(Duration::from_secs_f64(seconds))?;
    let cpu = server.cpu()?.saturating_sub(cpu_before);
    let switches = server.voluntary_switches()?.saturating_sub(switches_before);
    Ok((100.0 * cpu.as_secs_f64() / seconds, switches as f64 / seconds))
}
