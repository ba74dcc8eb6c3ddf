//! Whether capacity grows with nodes: the throughput of 1, 2, 4 and 8 nodes that are held to a small part of a core.
//!
//! Each count is measured in the same way, one too: a cache of its own that does not scale, the same keys, as many
//! requests under way for each node as it takes to keep it busy while others stand still. Nodes get so little that eight
//! of them, the proxy and the load fit into two cores; where they do not, there is no telling.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::args::ScenarioArgs;
use super::report::{Bar, Phase};
use super::run::Run;
use super::target::Target;
use super::watch::{Look, NodeLook};
use crate::bench::{proc, sys};
use crate::verified::control::Pace;
use crate::verified::mix::{Choice, Draw};

/// Cores that a node may use here. A control group has 1 ms in every 33 for it: the kernel gives no shorter times.
pub const NODE_CPUS: f64 = 0.03;
/// Throughput of several nodes over that of one times their number.
pub const LINEAR_MIN: f64 = 0.9;
pub const NODE_COUNTS: [usize; 3] = [2, 4, 8];
/// A machine, or a thread that all requests pass, has no more to give from this share of its time on.
pub const BUSY_MIN: f64 = 0.95;
/// Requests under way for each node: several times what it serves between two stand-stills.
const UNDER_WAY: usize = 2_048;
/// Keys, so many that each of eight nodes has the same share of them within a percent or two, and their values' bytes.
const KEYS: u64 = 50_000;
const VALUE_BYTES: u32 = 100;
/// Seconds before it is measured, and for how long it is.
const WARM_UP_S: f64 = 1.0;
const MEASURE_S: f64 = 4.0;

/// What some nodes can do, and what everybody used meanwhile, in cores.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Capacity {
    nodes: usize,
    requests_per_second: f64,
    /// All nodes together.
    node_cores: f64,
    /// The process with the proxy, whose one worker all requests pass.
    proxy_cores: f64,
    /// The load's process, which is one thread but for what shows it.
    load_cores: f64,
    /// Of the whole machine, whoever used it.
    machine_cores: f64,
    machine_cores_max: f64,
}

/// Measures all of them and sets a bar for each count.
///
/// # Errors
/// A cache cannot be started or ends, or Ctrl-C.
pub fn measure(run: &mut Run<'_>) -> Result<()> {
    run.stage("what several can do", Phase::Apart, 1.0);
    run.control.set_pace(Pace::Rest);
    run.hold(0.5)?;
    let one = capacity_of(run.args, 1)?;
    for nodes in NODE_COUNTS {
        let many = capacity_of(run.args, nodes)?;
        run.bars.push(bar(&one, &many));
    }
    Ok(())
}

/// Why none of it was measured.
pub fn not_measured(run: &mut Run<'_>, why: &str) {
    run.bars.extend(NODE_COUNTS.map(|nodes| Bar::not_measured(&what(nodes), &format!("≥ {LINEAR_MIN:.2}×"), why)));
}

fn bar(one: &Capacity, many: &Capacity) -> Bar {
    let ratio = many.requests_per_second / (one.requests_per_second * many.nodes as f64);
    let mut note = format!("{many}; {one}");
    let full = [one, many].into_iter().find_map(Capacity::no_room);
    match full {
        // Who has no room and does it all the same has done it.
        Some(who) if ratio < LINEAR_MIN => {
            let _ = write!(note, "; {ratio:.2}× with that");
            Bar::not_measured(&what(many.nodes), &format!("≥ {LINEAR_MIN:.2}×"), &format!("{who}: {note}"))
        }
        _ => Bar::at_least(&what(many.nodes), ratio, LINEAR_MIN, "×").with_note(&note),
    }
}

fn what(nodes: usize) -> String {
    format!("throughput of {nodes} nodes over {nodes} × one")
}

fn capacity_of(args: &ScenarioArgs, nodes: usize) -> Result<Capacity> {
    let mut options = vec![format!("--nodes-min={nodes}"), format!("--nodes-max={nodes}"), "--scaling=off".to_owned()];
    options.extend([format!("--node-cpus={NODE_CPUS}"), "--first-node=process".to_owned()]);
    options.extend(["--workers=1".to_owned(), "--node-workers=1".to_owned()]);
    options.extend(args.serve.iter().cloned());
    let target = Target::start(&options)?;
    let mut run = Run::start("capacity", args, target, Choice::only(VALUE_BYTES), Draw::Uniform, 2)?;
    run.until_cache(|look| look.owners() == nodes)?;
    run.stage("the first keys", Phase::Apart, 1.0);
    run.control.set_pace(Pace::Closed(UNDER_WAY * nodes));
    run.bring_keys(KEYS, 1.0)?;
    run.stage(&format!("what {nodes} can do"), Phase::Apart, 1.0);
    run.control.set_pace(Pace::Closed(UNDER_WAY * nodes));
    run.hold(WARM_UP_S)?;
    let before = Reading::now(&run)?;
    run.hold(MEASURE_S)?;
    let after = Reading::now(&run)?;
    Ok(after.since(&before, nodes))
}

/// All counters at one moment.
struct Reading {
    at_s: f64,
    /// The load shows its counters a few times a second.
    requests_at_s: f64,
    requests: u64,
    /// Seconds of CPU time.
    nodes: f64,
    proxy: f64,
    load: f64,
    /// Ticks.
    machine: (u64, u64),
}

impl Reading {
    fn now(run: &Run<'_>) -> Result<Reading> {
        let own = run.target.pid().context("the cache is not our own")?;
        let look = run.seen(|seen| seen.last().cloned()).unwrap_or_default();
        let cpu = |pid| sys::process_cpu(pid).map(|used| used.as_secs_f64());
        let nodes = pids(&look, own).map(cpu).sum::<std::io::Result<f64>>().context("a node has ended")?;
        let done = run.control.done();
        Ok(Reading {
            requests_at_s: done.at_s,
            requests: done.tally.requests,
            at_s: run.at_s(),
            nodes,
            proxy: cpu(own)?,
            load: cpu(std::process::id())?,
            machine: proc::machine_ticks()?,
        })
    }

    fn since(&self, before: &Reading, nodes: usize) -> Capacity {
        let seconds = self.at_s - before.at_s;
        let all = self.machine.1.saturating_sub(before.machine.1).max(1) as f64;
        let used = self.machine.0.saturating_sub(before.machine.0) as f64;
        let machine_cores_max = proc::Machine::read().cores as f64;
        Capacity {
            nodes,
            requests_per_second: (self.requests - before.requests) as f64 / (self.requests_at_s - before.requests_at_s),
            node_cores: (self.nodes - before.nodes) / seconds,
            proxy_cores: (self.proxy - before.proxy) / seconds,
            load_cores: (self.load - before.load) / seconds,
            machine_cores: used / all * machine_cores_max,
            machine_cores_max,
        }
    }
}

impl Capacity {
    /// Who could do no more, if it was not the nodes.
    fn no_room(&self) -> Option<&'static str> {
        let is_full = |used: f64, all: f64| used >= BUSY_MIN * all;
        match () {
            () if is_full(self.machine_cores, self.machine_cores_max) => Some("the machine has no room"),
            () if is_full(self.load_cores, 1.0) => Some("the load's one thread has no room"),
            () if is_full(self.proxy_cores, 1.0) => Some("the proxy's one worker has no room"),
            () => None,
        }
    }
}

impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {:.0} requests/s, nodes used {:.2} of {:.2} cores, the proxy {:.2}, the load {:.2}, the machine {:.2} of \
            {:.0}",
            self.nodes,
            self.requests_per_second,
            self.node_cores,
            NODE_CPUS * self.nodes as f64,
            self.proxy_cores,
            self.load_cores,
            self.machine_cores,
            self.machine_cores_max
        )
    }
}

/// The nodes' processes.
fn pids(look: &Look, own: u32) -> impl Iterator<Item = u32> {
    let is_child = move |node: &&NodeLook| node.pid != 0 && node.pid != own;
    look.nodes.iter().filter(is_child).map(|node| node.pid).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::report::Verdict;

    fn capacity(nodes: usize, requests_per_second: f64) -> Capacity {
        Capacity { nodes, requests_per_second, machine_cores: 1.0, machine_cores_max: 2.0, ..Capacity::default() }
    }

    #[test]
    fn several_are_held_against_as_many_times_one() {
        let one = capacity(1, 1_000.0);
        let met = bar(&one, &capacity(4, 3_600.0));
        assert_eq!((met.verdict, met.measured), (Verdict::Met, Some(0.9)));
        assert_eq!(bar(&one, &capacity(4, 3_500.0)).verdict, Verdict::Missed);
    }

    #[test]
    fn a_machine_without_room_tells_nothing_but_a_success() {
        let one = capacity(1, 1_000.0);
        let full = |requests, machine_cores, load_cores, proxy_cores| {
            bar(&one, &Capacity { machine_cores, load_cores, proxy_cores, ..capacity(8, requests) })
        };
        let missed = full(4_000.0, 1.9, 0.7, 0.7);
        assert_eq!((missed.verdict, missed.measured), (Verdict::NotMeasured, None));
        assert!(missed.note.contains("no room") && missed.note.contains("0.50×"), "{}", missed.note);
        assert!(full(4_000.0, 1.5, 0.96, 0.2).note.contains("the load's"));
        assert!(full(4_000.0, 1.5, 0.2, 0.96).note.contains("the proxy's"));
        assert_eq!(full(4_000.0, 1.89, 0.9, 0.9).verdict, Verdict::Missed, "there was room");
        assert_eq!(full(7_300.0, 2.0, 1.0, 1.0).verdict, Verdict::Met);
        let slow_one = Capacity { load_cores: 1.0, ..one };
        assert_eq!(bar(&slow_one, &capacity(2, 1_000.0)).verdict, Verdict::NotMeasured, "one was not measured either");
    }

    #[test]
    fn readings_are_told_as_cores() {
        let at = |at_s, requests, used, machine| Reading {
            at_s,
            requests_at_s: at_s,
            requests,
            nodes: used,
            proxy: used,
            load: used,
            machine,
        };
        let capacity = at(6.0, 3_000, 3.0, (250, 600)).since(&at(2.0, 1_000, 1.0, (100, 400)), 2);
        assert_eq!((capacity.nodes, capacity.requests_per_second, capacity.proxy_cores), (2, 500.0, 0.5));
        assert_eq!(capacity.machine_cores, 0.75 * capacity.machine_cores_max);
    }
}
