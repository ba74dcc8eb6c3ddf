//! How long an element takes from the one who pushes it to the one who waits for it.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Bench;
use super::client::Client;
use super::peer::Server;
use super::report::{Bar, Report};
use super::stats::{median, rank_us};

/// How many times the yardstick's median it may take.
pub const RATIO_MAX: f64 = 1.1;
/// Elements of one round.
const ELEMENTS: usize = 10_000;
/// Pairs of connections that they are handed over by, one after the other: which thread serves whom is chance.
const PAIRS: usize = 20;

const POP: &[u8] = b"*3\r\n$5\r\nBLPOP\r\n$1\r\nk\r\n$1\r\n0\r\n";
const POPPED: &[u8] = b"*2\r\n$1\r\nk\r\n$1\r\nx\r\n";
const PUSH: &[u8] = b"*3\r\n$5\r\nRPUSH\r\n$1\r\nk\r\n$1\r\nx\r\n";
const PUSHED: &[u8] = b":1\r\n";

/// One server's hand-offs, medians of the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct HandoffRow {
    pub server: String,
    /// From before the push is sent until what was waited for has been read.
    pub p50_us: f64,
    pub p99_us: f64,
    pub p50_us_rounds: Vec<f64>,
    /// The p50 over the yardstick's: below 1 is better. None for the yardstick itself.
    pub ratio: Option<f64>,
}

/// Measures every server as often as there are rounds, in turn.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let servers = bench.specs.iter().map(|spec| bench.start(spec, report)).collect::<Result<Vec<_>>>()?;
    let mut rounds = vec![Vec::new(); servers.len()];
    for _ in 0..bench.args.rounds {
        for (server, rounds) in servers.iter().zip(&mut rounds) {
            rounds.push(round(server).with_context(|| format!("{} printed: {}", server.name, server.last_lines()))?);
        }
    }
    let mut rows: Vec<HandoffRow> = servers
        .iter()
        .zip(rounds)
        .map(|(server, rounds)| HandoffRow {
            server: server.name.clone(),
            p50_us: median(rounds.iter().map(|(p50, _)| *p50)),
            p99_us: median(rounds.iter().map(|(_, p99)| *p99)),
            p50_us_rounds: rounds.iter().map(|(p50, _)| *p50).collect(),
            ratio: None,
        })
        .collect();
    if let Some(yardstick) = bench.yardstick() {
        let p50_us = rows[yardstick].p50_us;
        for row in rows.iter_mut().skip(yardstick + 1) {
            row.ratio = Some(row.p50_us / p50_us);
        }
    }
    for row in &rows {
        if let Some(ratio) = row.ratio {
            let what = format!("{} hand-off: p50, times the yardstick's", row.server);
            report.bars.push(Bar::at_most(&what, ratio, RATIO_MAX));
        }
        bench.progress(&format!("{} hands an element over in {:.1} us", row.server, row.p50_us));
    }
    report.handoff.append(&mut rows);
    Ok(())
}

/// p50 and p99 in microseconds.
fn round(server: &Server) -> Result<(f64, f64)> {
    server.client()?.empty()?;
    let mut times_ns = Vec::with_capacity(ELEMENTS);
    for _ in 0..PAIRS {
        let (mut pusher, mut popper) = (server.client()?, server.client()?);
        for _ in 0..ELEMENTS / PAIRS {
            popper.send(POP)?;
            // By the time that this is answered the other waits.
            pusher.ping()?;
            let begun = Instant::now();
            pusher.send(PUSH)?;
            expect(&mut popper, POPPED)?;
            times_ns.push(begun.elapsed().as_nanos() as u64);
            expect(&mut pusher, PUSHED)?;
        }
    }
    times_ns.sort_unstable();
    Ok((rank_us(&times_ns, 50) as f64 / 1e3, rank_us(&times_ns, 99) as f64 / 1e3))
}

fn expect(client: &mut Client, reply: &[u8]) -> Result<()> {
    let got = client.receive(|bytes| (bytes.len() >= reply.len()).then_some(reply.len()))?;
    if got == reply {
        return Ok(());
    }
    bail!("{:?} was answered instead of {:?}", String::from_utf8_lossy(&got), String::from_utf8_lossy(reply));
}
