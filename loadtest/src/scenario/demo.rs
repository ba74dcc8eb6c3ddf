//! `swell demo`: a minute and a half in which a cache grows, loses a node and shrinks, while real clients use it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

use super::args::ScenarioArgs;
use super::report::{Phase, Report, thousands};
use super::run::Run;
use super::target::Target;
use super::{judge, page, put, shapes};
use crate::bench::sys;
use crate::verified::mix::{Choice, Draw};

/// All of it, from the first process to the last screen.
pub const SECONDS_MAX: f64 = 85.0;
/// For the last quiet time and the end.
const END_S: f64 = 6.0;
const NODES: u64 = 4;
const NODE_MEMORY_MIB: u64 = 8;
const RATE: u32 = 2_500;
const QUIET_S: f64 = 4.0;
/// A client that has not ended when the demo does is ended so long after.
const CLIENT_WAIT: Duration = Duration::from_secs(2);
/// Of a client's output nothing beyond this is looked at.
const CLIENT_OUTPUT_MAX: u64 = 1 << 20;

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    args: ScenarioArgs,
}

/// A program of somebody else's that uses the cache meanwhile.
struct Guest {
    name: &'static str,
    child: Option<Child>,
}

/// How it went for it.
struct Visit {
    name: &'static str,
    words: String,
    is_bad: bool,
}

/// Plays it, ends with one screen, and leaves a page with charts.
///
/// # Errors
/// The cache cannot be started or ends; clients saw errors, wrong reads or unknown outcomes that the kill does not explain.
pub fn run() -> Result<()> {
    let began = Instant::now();
    sys::catch_interrupts().context("cannot catch Ctrl-C")?;
    let args = arguments()?;
    println!(
        "Starting a small Swell: nodes are planned for {NODE_MEMORY_MIB} MiB, so that this machine is a data centre."
    );
    let target = Target::start(&options())?;
    let (resp, memcached) = (target.resp, target.memcached);
    let mut run = Run::start("demo", &args, target, Choice::only(1_000), Draw::Uniform, 7)?;
    let port = |address: Option<std::net::SocketAddr>| address.map_or(0, |address| address.port()).to_string();
    let invite = || vec![redis_benchmark(&port(resp)), pymemcache(&port(memcached))];
    let played = play(&mut run, began, invite);
    let printed = run.target.last_lines();
    let visits = played.with_context(|| format!("the demo failed; the cache printed: {printed}"))?;
    let mut report = run.finish()?;
    shapes::common_bars(&mut report, true, false, "everything shares this machine's cores");
    let path = std::env::temp_dir().join("swell-demo.html");
    let picture = std::env::temp_dir().join("swell-demo.svg");
    println!();
    put(&path, page::html(&report))?;
    put(&picture, page::picture(&report))?;
    println!("{}", screen(&report, &visits, &path));
    judge(&report)?;
    anyhow::ensure!(visits.iter().all(|visit| !visit.is_bad), "a client of somebody else's has failed");
    Ok(())
}

fn play(run: &mut Run<'_>, began: Instant, invite: impl FnOnce() -> Vec<Guest>) -> Result<Vec<Visit>> {
    let left = |keep: f64| (SECONDS_MAX - keep - began.elapsed().as_secs_f64()).max(0.1);
    shapes::begin(run)?;
    let mut guests = invite();
    let few = run.control.done().keys;
    run.stage("memory grows: 1 → 4 nodes", Phase::During, 1.0);
    run.bring_keys((run.node_keys() * 3.4) as u64, 0.7)?;
    let seconds = left(45.0).min(15.0);
    run.until(seconds, |run| {
        run.seen(|seen| seen.last().is_some_and(|look| look.owners() as u64 >= NODES && look.slots_moving == 0))
    })?;
    // The guests may not know that a cache can lose a node; who has not ended by now is slow.
    run.until(left(40.0).min(10.0), |_| guests.iter_mut().all(Guest::has_ended))?;
    let visits = guests.into_iter().map(Guest::end).collect();
    run.stage("a node is killed", Phase::During, 1.0);
    shapes::kill_one(run)?;
    run.hold(5.0)?;
    run.stage("memory shrinks: 4 → 1", Phase::During, 1.0);
    run.control.set_keys(few, 0.9);
    run.until(left(END_S), |run| {
        run.control.done().keys == few && run.seen(|seen| seen.last().is_some_and(|look| look.nodes_up() <= 1))
    })?;
    run.stage("after", Phase::After, 1.0);
    run.hold(left(2.0).min(QUIET_S))?;
    run.settle()?;
    Ok(visits)
}

/// The options' own defaults, and what differs here.
fn arguments() -> Result<ScenarioArgs> {
    let defaults = Defaults::try_parse_from(["demo"]).context("the options have defaults")?.args;
    Ok(ScenarioArgs {
        rate: RATE,
        connections: 16,
        seconds: QUIET_S,
        patience: 20.0,
        node_memory_mib: NODE_MEMORY_MIB,
        nodes_max: NODES,
        ..defaults
    })
}

fn options() -> Vec<String> {
    let memory = format!("--node-memory={NODE_MEMORY_MIB}mb");
    let nodes = format!("--nodes-max={NODES}");
    let fixed = ["--scaling=on", "--first-node=process", "--workers=1", "--node-workers=1"].map(str::to_owned);
    fixed.into_iter().chain([memory, nodes]).collect()
}

fn redis_benchmark(port: &str) -> Guest {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", port, "-n", "1000", "-c", "2", "-r", "1000", "-q", "-t", "ping,set,get,incr"]);
    Guest::start("redis-benchmark", &mut command)
}

fn pymemcache(port: &str) -> Guest {
    let mut command = Command::new("python3");
    command.args(["-c", PYMEMCACHE, port]);
    Guest::start("pymemcache", &mut command)
}

/// Writes and reads a thousand keys of its own; its exit code says how it went.
const PYMEMCACHE: &str = "
import sys
try:
    from pymemcache.client.base import Client
except ImportError:
    sys.exit(77)
client, wrong = Client(('127.0.0.1', int(sys.argv[1])), timeout=10), 0
for number in range(1000):
    client.set('py:%d' % number, 'value %d' % number, noreply=False)
    wrong += client.get('py:%d' % number) != b'value %d' % number
print('2000 requests, %d wrong' % wrong)
sys.exit(1 if wrong else 0)
";
/// What the script ends with where the library is not installed.
const NOT_INSTALLED: i32 = 77;

impl Guest {
    fn start(name: &'static str, command: &mut Command) -> Guest {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Guest { name, child: command.spawn().ok() }
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn end(self) -> Visit {
        let name = self.name;
        let visit = |words: String, is_bad| Visit { name, words, is_bad };
        let Some(mut child) = self.child else { return visit("is not installed here".to_owned(), false) };
        let until = Instant::now() + CLIENT_WAIT;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
                _ => {
                    // It is ours, and there is nothing left to do for one that cannot be ended.
                    let _ = child.kill();
                    let _ = child.wait();
                    return visit("did not end in time".to_owned(), true);
                }
            }
        };
        let mut output = String::new();
        if let Some(stdout) = child.stdout.take() {
            // What cannot be read is not shown.
            let _ = stdout.take(CLIENT_OUTPUT_MAX).read_to_string(&mut output);
        }
        if !status.success()
            && let Some(stderr) = child.stderr.take()
        {
            let _ = stderr.take(CLIENT_OUTPUT_MAX).read_to_string(&mut output);
        }
        if status.code() == Some(NOT_INSTALLED) {
            return visit("is not installed here".to_owned(), false);
        }
        match status.success() && !output.contains("Error") {
            true => visit(outcome(&output), false),
            false => visit(format!("failed: {}", last_line(&output)), true),
        }
    }
}

fn last_line(output: &str) -> String {
    let last = output.lines().flat_map(|line| line.split('\r')).rfind(|part| !part.trim().is_empty());
    last.unwrap_or("it printed nothing").trim().chars().take(160).collect()
}

/// The lines of a client that say a result, the progress that it draws over itself left out.
fn outcome(output: &str) -> String {
    let lines = output.lines().filter_map(|line| line.rsplit('\r').find(|part| !part.trim().is_empty()));
    let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("{} tests, all answered: {}", many.len(), many.first().copied().unwrap_or("none")),
    }
}

fn screen(report: &Report, visits: &[Visit], page: &Path) -> String {
    let tally = &report.tally;
    let worst = report.timeline.iter().map(|second| second.p99_us).fold(0.0, f64::max) / 1e3;
    let rows = [
        ("requests", format!("{} of a checking client, in {:.0} s", thousands(tally.requests), report.seconds)),
        (
            "errors",
            format!(
                "{} client errors, {} wrong reads, {} unknown outcomes",
                report.client_errors, report.wrong_reads, report.unknown_outcomes
            ),
        ),
        (
            "nodes",
            format!("1 → {} → {}, {} slots moved", report.nodes_peak, report.nodes_end, thousands(report.slots_moved)),
        ),
        (
            "killed node",
            format!(
                "{} reads found nothing any more (it is a cache), {} requests failed, the last {} ms after the kill",
                thousands(tally.lost_by_kill),
                tally.errors_by_kill + tally.unknown_by_kill,
                tally.kill_last_error_ms
            ),
        ),
        ("p99", format!("{:.2} ms before, {worst:.2} ms in the worst second", report.p99_ms_before)),
        ("cost", format!("${:.6} for {} ECPUs", report.bill_total, thousands(report.ecpu_total as u64))),
    ];
    let mut out = String::from("\n  Swell demo\n  ----------\n");
    for (name, text) in rows {
        out.push_str(&format!("{name:>17}  {text}\n"));
    }
    for visit in visits {
        out.push_str(&format!("{:>17}  {}\n", visit.name, visit.words));
    }
    out.push_str(&format!("{:>17}  {}\n", "report", page.display()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_have_defaults_and_the_demo_its_own() {
        let args = arguments().expect("defaults");
        assert_eq!((args.rate, args.nodes_max, args.connections), (RATE, NODES, 16));
    }

    #[test]
    fn a_missing_client_is_told_and_no_failure() {
        let visit = Guest::start("ghost", &mut Command::new("no-such-client-anywhere")).end();
        assert!(!visit.is_bad && visit.words.contains("not installed"));
        let visit = Guest::start("sad", Command::new("sh").args(["-c", "echo sad; exit 1"])).end();
        assert!(visit.is_bad && visit.words == "failed: sad");
        let visit = Guest::start("absent", Command::new("sh").args(["-c", "exit 77"])).end();
        assert!(!visit.is_bad && visit.words.contains("not installed"));
    }

    #[test]
    fn results_are_found_behind_the_progress_drawn_over_itself() {
        assert_eq!(outcome("SET: rps=1\rSET: 100 requests per second\n"), "SET: 100 requests per second");
        assert_eq!(outcome("A: 1\n\nB: 2\n"), "2 tests, all answered: A: 1");
    }
}
