//! GET and SET at full speed: all servers stand loaded, and take turns at being measured.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::Bench;
use super::args::Test;
use super::dialect::Operation;
use super::driver::{LoadPlan, Outcome, Stop, drive};
use super::memory::{self, MemoryRow};
use super::peer::Server;
use super::replies::Counts;
use super::report::{Bar, Report};
use super::stats::{median, quantile_us};
use crate::workload::KeySource;

/// What a proxy with its nodes, each a process, may cost against the yardstick alone: CPU time per request, by pipeline.
const REMOTE_CPU_RATIOS: [(usize, f64); 2] = [(1, 1.25), (16, 1.15)];

/// A core that is busier than this, in percent, is taken to be what limits the throughput.
pub const BUSY_PERCENT_MIN: f64 = 95.0;
/// An idle server that uses more of the core than this, in percent, disturbs the one that is measured.
pub const IDLE_PERCENT_MAX: f64 = 2.0;

/// What one run measured, or the medians of several.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub requests_per_second: f64,
    pub server_cpu_us_per_request: f64,
    /// The server's CPU time over the run's time; its threads share one core when pinned.
    pub core_busy_percent: f64,
    /// Time for which the server was ready to run but something else had its core.
    pub core_wait_percent: f64,
    pub loader_cpu_us_per_request: f64,
    /// Latencies are those of a batch: from its sending to its last reply.
    pub batch_p50_us: f64,
    pub batch_p99_us: f64,
    pub batch_p999_us: f64,
}

/// One run of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub round: usize,
    pub requests: u64,
    pub seconds: f64,
    #[serde(flatten)]
    pub figures: Figures,
    pub replies: Counts,
}

/// All runs of one server with one test and pipeline.
#[derive(Debug, Clone, Serialize)]
pub struct ThroughputRow {
    pub test: Test,
    pub pipeline: usize,
    pub server: String,
    pub median: Figures,
    /// Against the yardstick: above 1 is better. None for the yardstick itself.
    pub ratio: Option<Ratio>,
    /// CPU time per request over the yardstick's: below 1 is better. None for the yardstick itself.
    pub cpu_ratio: Option<f64>,
    /// The server's processes when it was measured last.
    pub processes: usize,
    pub runs: Vec<Run>,
}

/// How many times the yardstick's throughput.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    pub value: f64,
    pub basis: Basis,
}

/// What a ratio compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Requests per second, where both servers kept their core busy.
    Throughput,
    /// CPU time per request, where one of them did not.
    ServerCpu,
}

pub(super) struct Sample {
    /// CPU time of every server, in their order.
    cpu: Vec<Duration>,
    /// Core wait of the measured one.
    wait: Duration,
}

/// Runs the tests among `get` and `set` that are asked for and adds rows and warnings to the report.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let servers = start_loaded(bench, report)?;
    let mut idle_worst = vec![0.0_f64; servers.len()];
    for &test in &bench.args.tests {
        let operation = match test {
            Test::Get => Operation::Get,
            Test::Set => Operation::Set,
            _ => continue,
        };
        for &pipeline in &bench.args.pipelines {
            let mut runs = vec![Vec::new(); servers.len()];
            for round in 0..bench.args.rounds {
                for turn in 0..servers.len() {
                    // Each round begins with another server, so that none is always first after a pause.
                    let measured = (round + turn) % servers.len();
                    let run = run_once(bench, &servers, measured, operation, pipeline, round, &mut idle_worst)?;
                    bench.progress(&format!(
                        "{} pipeline {pipeline} round {}: {} {:.0} requests/s, {:.3} CPU us each",
                        test.name(),
                        round + 1,
                        servers[measured].name,
                        run.figures.requests_per_second,
                        run.figures.server_cpu_us_per_request
                    ));
                    runs[measured].push(run);
                }
            }
            add_rows(bench, report, test, pipeline, &servers, runs)?;
        }
    }
    warn_of_idle_load(report, &servers, &idle_worst);
    Ok(())
}

/// The ratio of two servers' medians, `subject` over `yardstick`.
pub fn compare(yardstick: &Figures, subject: &Figures) -> Ratio {
    let both_busy = [yardstick, subject].iter().all(|figures| figures.core_busy_percent >= BUSY_PERCENT_MIN);
    if both_busy {
        Ratio { value: subject.requests_per_second / yardstick.requests_per_second, basis: Basis::Throughput }
    } else {
        let value = yardstick.server_cpu_us_per_request / subject.server_cpu_us_per_request;
        Ratio { value, basis: Basis::ServerCpu }
    }
}

/// How many times the yardstick's CPU time a request takes.
fn cpu_ratio(yardstick: &Figures, subject: &Figures) -> f64 {
    subject.server_cpu_us_per_request / yardstick.server_cpu_us_per_request
}

fn start_loaded(bench: &Bench<'_>, report: &mut Report) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    let mut rows: Vec<MemoryRow> = Vec::new();
    for spec in &bench.specs {
        let server = bench.start(spec, report)?;
        rows.push(memory::load(bench, &server, bench.args.keys, bench.args.value_bytes)?);
        servers.push(server);
    }
    memory::add_rows(bench, report, rows);
    Ok(servers)
}

fn run_once(
    bench: &Bench<'_>,
    servers: &[Server],
    measured: usize,
    operation: Operation,
    pipeline: usize,
    round: usize,
    idle_worst: &mut [f64],
) -> Result<Run> {
    let args = bench.args;
    let server = &servers[measured];
    let plan = LoadPlan {
        address: server.address,
        request: operation.request(server.protocol, args.value_bytes),
        reply: operation.reply(server.protocol, args.value_bytes),
        connections: args.connections,
        pipeline,
        keys: KeySource::uniform(args.keys, args.seed.wrapping_add(round as u64)),
        warmup: Duration::from_secs_f64(args.warmup_seconds),
        stop: match args.requests {
            Some(requests) => Stop::Requests(requests),
            None => Stop::After(Duration::from_secs_f64(args.seconds)),
        },
        spin: args.spin,
    };
    let outcome = drive(plan, || sample(servers, measured))
        .with_context(|| format!("{} failed under load; it printed: {}", server.name, server.last_lines()))?;
    for (at, worst) in idle_worst.iter_mut().enumerate().filter(|(at, _)| *at != measured) {
        let used = outcome.after.cpu[at].saturating_sub(outcome.before.cpu[at]);
        *worst = worst.max(percent(used, outcome.window));
    }
    Ok(to_run(round, measured, outcome))
}

pub(super) fn sample(servers: &[Server], measured: usize) -> Result<Sample> {
    let cpu = servers.iter().map(Server::cpu).collect::<Result<_>>()?;
    Ok(Sample { cpu, wait: servers[measured].core_wait()? })
}

pub(super) fn to_run(round: usize, measured: usize, outcome: Outcome<Sample>) -> Run {
    let Outcome { window, requests, latency, counts, loader_cpu, before, after } = outcome;
    let server_cpu = after.cpu[measured].saturating_sub(before.cpu[measured]);
    let per_request_us = |time: Duration| time.as_secs_f64() * 1e6 / requests.max(1) as f64;
    let figures = Figures {
        requests_per_second: requests as f64 / window.as_secs_f64(),
        server_cpu_us_per_request: per_request_us(server_cpu),
        core_busy_percent: percent(server_cpu, window),
        core_wait_percent: percent(after.wait.saturating_sub(before.wait), window),
        loader_cpu_us_per_request: per_request_us(loader_cpu),
        batch_p50_us: quantile_us(&latency, 0.5),
        batch_p99_us: quantile_us(&latency, 0.99),
        batch_p999_us: quantile_us(&latency, 0.999),
    };
    Run { round, requests, seconds: window.as_secs_f64(), figures, replies: counts }
}

fn add_rows(
    bench: &Bench<'_>,
    report: &mut Report,
    test: Test,
    pipeline: usize,
    servers: &[Server],
    runs: Vec<Vec<Run>>,
) -> Result<()> {
    let medians: Vec<Figures> = runs.iter().map(|runs| median_figures(runs)).collect();
    let yardstick = bench.yardstick().map(|at| &medians[at]);
    for ((at, server), runs) in servers.iter().enumerate().zip(runs) {
        let median = medians[at].clone();
        let what = format!("{} {} pipeline {pipeline}", server.name, test.name());
        let mut replies = Counts::default();
        runs.iter().for_each(|run| replies.merge(&run.replies));
        report.fail_on(&what, &replies);
        if median.core_busy_percent < BUSY_PERCENT_MIN {
            report.warn(format!(
                "{what}: its core was {:.0} % busy ({:.0} % waiting for it), so ratios are of CPU time per request",
                median.core_busy_percent, median.core_wait_percent
            ));
        }
        let ratio = yardstick.filter(|_| bench.yardstick() != Some(at)).map(|yardstick| compare(yardstick, &median));
        let cpu_ratio = ratio.is_some().then_some(()).and(yardstick).map(|yardstick| cpu_ratio(yardstick, &median));
        let processes = server.pids()?.len();
        let bar = REMOTE_CPU_RATIOS.iter().find(|(at, _)| *at == pipeline && processes > 1);
        if let (Some(&(_, bound)), Some(value)) = (bar, cpu_ratio) {
            report.bars.push(Bar::at_most(&format!("{what}: CPU per request over the yardstick's"), value, bound));
        }
        let server = server.name.clone();
        report.throughput.push(ThroughputRow { test, pipeline, server, median, ratio, cpu_ratio, processes, runs });
    }
    Ok(())
}

pub(super) fn median_figures(runs: &[Run]) -> Figures {
    let of = |pick: fn(&Figures) -> f64| median(runs.iter().map(|run| pick(&run.figures)));
    Figures {
        requests_per_second: of(|figures| figures.requests_per_second),
        server_cpu_us_per_request: of(|figures| figures.server_cpu_us_per_request),
        core_busy_percent: of(|figures| figures.core_busy_percent),
        core_wait_percent: of(|figures| figures.core_wait_percent),
        loader_cpu_us_per_request: of(|figures| figures.loader_cpu_us_per_request),
        batch_p50_us: of(|figures| figures.batch_p50_us),
        batch_p99_us: of(|figures| figures.batch_p99_us),
        batch_p999_us: of(|figures| figures.batch_p999_us),
    }
}

fn warn_of_idle_load(report: &mut Report, servers: &[Server], idle_worst: &[f64]) {
    for (server, &worst) in servers.iter().zip(idle_worst) {
        if worst > IDLE_PERCENT_MAX {
            report.warn(format!("{} used {worst:.1} % of a core while another server was measured", server.name));
        }
    }
}

fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(requests_per_second: f64, server_cpu_us_per_request: f64) -> Figures {
        Figures {
            requests_per_second,
            server_cpu_us_per_request,
            core_busy_percent: requests_per_second * server_cpu_us_per_request / 1e4,
            core_wait_percent: 0.0,
            loader_cpu_us_per_request: 0.1,
            batch_p50_us: 1.0,
            batch_p99_us: 2.0,
            batch_p999_us: 3.0,
        }
    }

    #[test]
    fn busy_cores_compare_by_throughput() {
        let ratio = compare(&figures(500_000.0, 2.0), &figures(1_000_000.0, 0.99));
        assert_eq!(ratio, Ratio { value: 2.0, basis: Basis::Throughput });
    }

    #[test]
    fn a_core_that_idles_on_either_side_makes_cpu_time_the_basis() {
        let busy = figures(500_000.0, 2.0);
        let idling = figures(1_000_000.0, 0.5);
        assert_eq!(compare(&busy, &idling), Ratio { value: 4.0, basis: Basis::ServerCpu });
        assert_eq!(compare(&idling, &busy), Ratio { value: 0.25, basis: Basis::ServerCpu });
    }

    #[test]
    fn medians_are_taken_figure_by_figure() {
        let run = |round, figures| Run { round, requests: 1, seconds: 1.0, figures, replies: Counts::default() };
        let runs = [run(0, figures(1.0, 9.0)), run(1, figures(2.0, 7.0)), run(2, figures(3.0, 8.0))];
        let median = median_figures(&runs);
        assert_eq!((median.requests_per_second, median.server_cpu_us_per_request), (2.0, 8.0));
    }
}
