//! What other sessions of a link notice of one that moves a huge value, and of a slot that is moved again and again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use super::Bench;
use super::cluster;
use super::hog::{hog, shares};
use super::memory;
use super::moving::open_plan;
use super::neighbours::{self, Neighbours, Paused};
use super::openloop::{Latencies, hold};
use super::peer::Server;
use super::proc::Machine;
use super::replies::Counts;
use super::report::{Bar, Report};
use super::stats::median;
use super::sys;

/// How many times their p99 alone other sessions may see, unless an equal use of the CPU does as much.
pub const RATIO_MAX: f64 = 2.0;
/// What one session's frame may stand behind: one chunk.
pub const BEHIND_BYTES_MAX: u64 = 64 << 10;

/// Nodes that the test needs.
const NODES_MIN: usize = 2;
/// Not measured, at the start of each phase.
const WARMUP: Duration = Duration::from_millis(300);
/// A phase in which the huge value was not written and read once yet goes on for so many times its length at most.
const LONGER_MAX: u32 = 8;

/// One phase of a round: the same even load, each time beside something else.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    pub seconds: f64,
    pub latencies: Latencies,
    /// Of one core, by the server's processes.
    pub server_cpu_percent: f64,
    pub replies: Counts,
}

/// Three phases.
#[derive(Debug, Clone, Serialize)]
pub struct IsolationRound {
    pub round: usize,
    pub load_average: f64,
    pub alone: Phase,
    /// Beside the huge value and the slot that moves.
    pub beside: Phase,
    pub neighbours: Neighbours,
    /// Beside something that only uses as much CPU, on the same cores.
    pub control: Phase,
    pub hog_percent: f64,
}

/// All rounds of one server.
#[derive(Debug, Clone, Serialize)]
pub struct IsolationRow {
    pub server: String,
    pub rate: u32,
    pub big_bytes: u64,
    pub rounds: Vec<IsolationRound>,
    /// Of any node, since it was started.
    pub behind_bytes_max: u64,
}

/// How busy hogs are to be, in cores.
#[derive(Debug, Clone, Copy)]
struct Hogs {
    beside_server: f64,
    beside_load: f64,
}

/// Puts all keys on one node, so that all sessions share its link, and measures as often as there are rounds.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let args = bench.args;
    let spec = bench.cluster_spec()?;
    let server = bench.start(&spec, report)?;
    let owners = cluster::wait_whole(&server, NODES_MIN, Duration::from_secs_f64(args.ready_seconds))?;
    let nodes = cluster::nodes(&server)?;
    let [home, other, ..] = nodes.as_slice() else { bail!("{} has fewer than two nodes", server.name) };
    let foreign: Vec<usize> = (0..owners.len()).filter(|&slot| owners[slot] != Some(home.id)).collect();
    if !foreign.is_empty() {
        cluster::move_slots(&server, &foreign, home.id)?;
    }
    let paused = Paused::new(&server, home.id, other.id)?;
    memory::load(bench, &server, args.keys, args.value_bytes)?;
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let done = round_once(bench, &server, &paused, round)
            .with_context(|| format!("{} failed; it printed: {}", server.name, server.last_lines()))?;
        let [alone, beside, control] = [&done.alone, &done.beside, &done.control];
        bench.progress(&format!(
            "isolation round {}: p99 {:.2} ms alone, {:.2} beside, {:.2} beside a hog, load {:.1}",
            round + 1,
            alone.latencies.p99_us / 1e3,
            beside.latencies.p99_us / 1e3,
            control.latencies.p99_us / 1e3,
            done.load_average
        ));
        for phase in [alone, beside, control] {
            report.fail_on(&format!("{} isolation round {}", server.name, round + 1), &phase.replies);
        }
        rounds.push(done);
    }
    let behind_bytes_max = cluster::nodes(&server)?.iter().map(|node| node.stats.behind_bytes_max).max().unwrap_or(0);
    let (server, big_bytes) = (server.name.clone(), args.big_mib << 20);
    let row = IsolationRow { server, rate: args.rate, big_bytes, rounds, behind_bytes_max };
    report.bars.extend(bars(&row));
    report.isolation.push(row);
    Ok(())
}

fn round_once(bench: &Bench<'_>, server: &Server, paused: &Paused, round: usize) -> Result<IsolationRound> {
    let load_average = Machine::read().load_before;
    let big_bytes = bench.args.big_mib << 20;
    let (alone, ()) = phase(bench, server, round, &|| true, |_| Ok(()))?;
    let rounds = AtomicU64::new(0);
    let enough = || rounds.load(Ordering::Relaxed) > 0;
    let (beside, neighbours) =
        phase(bench, server, round, &enough, |stop| neighbours::run(server, paused, big_bytes, &rounds, stop))?;
    neighbours.check()?;
    let hogs = Hogs {
        beside_server: (beside.server_cpu_percent - alone.server_cpu_percent).max(0.0) / 100.0,
        beside_load: neighbours.cpu_seconds / beside.seconds,
    };
    let (control, ()) = phase(bench, server, round, &|| true, |stop| run_hogs(bench, hogs, stop))?;
    let hog_percent = 100.0 * (hogs.beside_server + hogs.beside_load);
    Ok(IsolationRound { round, load_average, alone, beside, neighbours, control, hog_percent })
}

/// Holds the load for a phase, and on until there is `enough`, with `beside` running on another thread until its flag says
/// that it is over.
fn phase<D: Send>(
    bench: &Bench<'_>,
    server: &Server,
    round: usize,
    enough: &(dyn Fn() -> bool + Sync),
    beside: impl FnOnce(&AtomicBool) -> Result<D> + Send,
) -> Result<(Phase, D)> {
    let stop = AtomicBool::new(false);
    let length = Duration::from_secs_f64(bench.args.phase_seconds);
    let (outcome, watched, done) = thread::scope(|scope| {
        let done = scope.spawn(|| beside(&stop));
        let watched = scope.spawn(|| {
            let watched = watch(server, length, enough);
            stop.store(true, Ordering::Relaxed);
            watched
        });
        let outcome = hold(open_plan(bench, server, round), || !stop.load(Ordering::Relaxed));
        (outcome, watched.join(), done.join())
    });
    let done = done.map_err(|_| anyhow!("what ran beside the load failed"))??;
    let (from, to, cpu) = watched.map_err(|_| anyhow!("the watcher failed"))??;
    let outcome = outcome?;
    let seconds = (to - from).as_secs_f64();
    let server_cpu_percent = 100.0 * cpu.as_secs_f64() / seconds;
    Ok((Phase { seconds, latencies: outcome.window(from, to), server_cpu_percent, replies: outcome.counts }, done))
}

/// The measured window of a phase and the server's CPU time in it.
fn watch(server: &Server, length: Duration, enough: &dyn Fn() -> bool) -> Result<(Instant, Instant, Duration)> {
    sys::pause(WARMUP)?;
    let (before, from) = (server.cpu()?, Instant::now());
    sys::pause(length)?;
    while !enough() && from.elapsed() < length * LONGER_MAX {
        sys::pause(Duration::from_millis(10))?;
    }
    let (after, to) = (server.cpu()?, Instant::now());
    Ok((from, to, after.saturating_sub(before)))
}

fn run_hogs(bench: &Bench<'_>, hogs: Hogs, stop: &AtomicBool) -> Result<()> {
    let places = [(bench.args.server_cpu, hogs.beside_server), (bench.args.load_cpu, hogs.beside_load)];
    thread::scope(|scope| {
        let shares = places.into_iter().flat_map(|(core, cores)| shares(cores).map(move |share| (core, share)));
        let running: Vec<_> = shares.map(|(core, share)| scope.spawn(move || hog(core, || share, stop))).collect();
        running.into_iter().try_for_each(|hog| hog.join().map_err(|_| anyhow!("a hog failed"))?.map(drop))
    })
}

fn bars(row: &IsolationRow) -> Vec<Bar> {
    let over = |pick: fn(&IsolationRound) -> &Phase| {
        median(row.rounds.iter().map(|round| round.beside.latencies.p99_us / pick(round).latencies.p99_us))
    };
    let (over_alone, over_hog) = (over(|round| &round.alone), over(|round| &round.control));
    let what =
        format!("{} isolation: other sessions' p99, times alone (or {over_hog:.2} ≤ 1 times a hog's)", row.server);
    let mut ratio = Bar::at_most(&what, over_alone, RATIO_MAX);
    ratio.met |= over_hog <= 1.0;
    let what = format!("{} isolation: bytes that a session was behind", row.server);
    vec![ratio, Bar::at_most(&what, row.behind_bytes_max as f64, BEHIND_BYTES_MAX as f64)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(p99s: &[[f64; 3]], behind_bytes_max: u64) -> IsolationRow {
        let phase = |p99_us| Phase {
            seconds: 1.0,
            latencies: Latencies { p99_us, ..Latencies::default() },
            server_cpu_percent: 0.0,
            replies: Counts::default(),
        };
        let round = |&[alone, beside, control]: &[f64; 3]| IsolationRound {
            round: 0,
            load_average: 0.0,
            alone: phase(alone),
            beside: phase(beside),
            neighbours: Neighbours::default(),
            control: phase(control),
            hog_percent: 0.0,
        };
        let rounds = p99s.iter().map(round).collect();
        IsolationRow { server: "swell".to_owned(), rate: 1, big_bytes: 1, rounds, behind_bytes_max }
    }

    #[test]
    fn either_twice_alone_or_no_worse_than_a_hog_will_do() {
        let met = |p99s: &[[f64; 3]], behind| bars(&row(p99s, behind)).iter().map(|bar| bar.met).collect::<Vec<_>>();
        assert_eq!(met(&[[100.0, 200.0, 50.0]], 65_536), [true, true]);
        assert_eq!(met(&[[100.0, 900.0, 900.0]], 65_537), [true, false]);
        assert_eq!(met(&[[100.0, 201.0, 200.0]], 0), [false, true]);
        let rounds = [[100.0, 150.0, 100.0], [100.0, 900.0, 100.0], [100.0, 190.0, 100.0]];
        let bars = bars(&row(&rounds, 0));
        assert!((bars[0].value - 1.9).abs() < 1e-9, "the median of the rounds: {bars:?}");
    }
}
