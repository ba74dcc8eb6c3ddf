//! The scenarios: which stages each has, and what it promises.

use anyhow::{Context, Result};

use super::control;
use super::report::{Bar, Phase, Report};
use super::run::Run;
use super::watch::Look;
use crate::verified::model::{Killed, SLOTS};

/// Nodes that a scenario wants to see at its peak.
pub const NODES_PEAK_MIN: f64 = 4.0;
/// The p99 at the base rate while the cache scales, over what it was before.
pub const P99_FACTOR_MAX: f64 = 2.0;
/// A killed node's slots are served again within this.
pub const KILL_MS_MAX: f64 = 2_000.0;
/// What was acknowledged, or failed, so long after a kill is still put down to it: beyond the bar, so that it can be missed.
pub const KILL_GRACE_MS: u32 = 5_000;
/// Share of requests that write new keys while memory grows, or delete keys while it shrinks.
const FILL_SHARE: f64 = 0.5;
/// Times the base rate.
const LOAD_PEAK: f64 = 4.0;
const LOAD_STEPS: [f64; 3] = [2.0, 3.0, LOAD_PEAK];
const CROWD_PEAK: f64 = 5.0;
const NETWORK_PEAK: f64 = 4.0;

/// Memory, then load, grow and shrink.
///
/// # Errors
/// As all of these: the cache or the load has ended, or Ctrl-C.
pub fn scale(run: &mut Run<'_>) -> Result<()> {
    begin(run)?;
    memory(run)?;
    load(run)?;
    end(run)?;
    control::beside_hogs(run)
}

/// Memory grows and shrinks, at a constant rate.
pub fn scale_memory(run: &mut Run<'_>) -> Result<()> {
    begin(run)?;
    memory(run)?;
    end(run)
}

/// The rate grows in steps and falls again; keys stay.
pub fn scale_load(run: &mut Run<'_>) -> Result<()> {
    begin(run)?;
    load(run)?;
    end(run)
}

/// Large values: the rate of bytes grows and falls again.
pub fn scale_network(run: &mut Run<'_>) -> Result<()> {
    begin(run)?;
    peak(run, "bytes grow", NETWORK_PEAK)?;
    shrink(run, "bytes fall")?;
    end(run)
}

/// All at once there are many times as many.
pub fn flash_crowd(run: &mut Run<'_>) -> Result<()> {
    begin(run)?;
    peak(run, "the crowd is here", CROWD_PEAK)?;
    shrink(run, "the crowd is gone")?;
    end(run)
}

/// One key draws a large share of the requests; then another does.
pub fn hot_key(run: &mut Run<'_>) -> Result<()> {
    let hot = run.draw;
    run.control.set_draw(crate::verified::mix::Draw::Uniform);
    begin(run)?;
    run.control.set_draw(hot);
    let moved = |run: &Run<'_>| run.seen(|seen| seen.last().map(|look| look.slots_moved));
    run.stage("one key is hot", Phase::During, 1.0);
    let before = moved(run);
    run.hold(2.0 * run.args.seconds)?;
    let what = "slots moved off the node with the hot key";
    run.bars.push(match (before, moved(run)) {
        (Some(before), Some(after)) => Bar::at_least(what, after.saturating_sub(before) as f64, 1.0, ""),
        _ => Bar::not_measured(what, "≥ 1", "the cache does not tell what it moves"),
    });
    run.stage("and the load doubles", Phase::During, 2.0);
    run.hold(2.0 * run.args.seconds)?;
    run.control.set_draw(crate::verified::mix::Draw::Uniform);
    end(run)
}

/// A node gives away all it has and leaves.
pub fn drain(run: &mut Run<'_>) -> Result<()> {
    begin(run)?;
    let before = run.seen(|seen| seen.last().map_or(0, Look::nodes_up));
    let node = run
        .seen(|seen| seen.last().and_then(|look| a_node(look, run.target.pid())))
        .context("there is no node to drain")?;
    run.stage("a node is drained", Phase::During, 1.0);
    let began = run.at_s();
    run.target.ask(&["drain", &node.0.to_string(), "--json"])?;
    run.until_cache(|look| look.nodes_up() < before)?;
    let seconds = run.at_s() - began;
    let is_gone = run
        .seen(|seen| seen.last().is_some_and(|look| look.nodes.iter().all(|left| left.id != node.0 || !left.is_up())));
    run.bars.push(Bar::at_least("the node has left", f64::from(u8::from(is_gone)), 1.0, ""));
    run.bars.push(Bar::at_most("seconds to drain", seconds, run.args.patience, " s"));
    end(run)
}

/// A node ends at once. What only it had is lost, and nothing else.
pub fn kill_node(run: &mut Run<'_>) -> Result<()> {
    begin(run)?;
    run.stage("a node is killed", Phase::During, 1.0);
    kill_one(run)?;
    run.hold(run.args.seconds)?;
    end(run)?;
    kill_bars(run);
    Ok(())
}

/// Kills a node that is a process of its own, and tells the load which slots it had.
///
/// # Errors
/// There is no such node.
pub fn kill_one(run: &mut Run<'_>) -> Result<u64> {
    let (node, pid) = run
        .seen(|seen| seen.last().and_then(|look| a_node(look, run.target.pid())))
        .context("there is no node to kill")?;
    let owners = run.target.owners()?;
    let slots = (0..SLOTS).map(|slot| owners.get(slot).copied().flatten().map(u64::from) == Some(node)).collect();
    // Before it is done, so that no loss comes before its reason.
    run.control.kill(Killed::new(slots, (run.at_s() * 1e3) as u32, KILL_GRACE_MS));
    run.hold(0.05)?;
    run.target.kill(pid)?;
    Ok(node)
}

/// Errors only in the killed node's slots (others are client errors), and not for long.
pub fn kill_bars(run: &mut Run<'_>) {
    let tally = run.control.done().tally;
    let what = "ms from the kill to its last error";
    run.bars.push(Bar::at_most(what, tally.kill_last_error_ms as f64, KILL_MS_MAX, " ms"));
}

/// The bars that hold for every scenario; nodes where it `scales`, and latency where `compares_p99`.
pub fn common_bars(report: &mut Report, scales: bool, compares_p99: bool, factor_note: &str) {
    let mut bars = vec![
        Bar::at_most("client errors", report.client_errors as f64, 0.0, ""),
        Bar::at_most("wrong reads", report.wrong_reads as f64, 0.0, ""),
        Bar::at_most("unknown outcomes", report.unknown_outcomes as f64, 0.0, ""),
    ];
    if scales && report.nodes_peak == 0 {
        bars.push(Bar::not_measured("nodes at the peak", "≥ 4", "the cache does not tell its nodes"));
    } else if scales {
        bars.push(Bar::at_least("nodes at the peak", report.nodes_peak as f64, NODES_PEAK_MIN, ""));
        bars.push(Bar::at_most("nodes at the end", report.nodes_end as f64, 1.0, ""));
    }
    let (before, during) = (report.p99_ms_before, report.p99_ms_during_base_rate);
    let what = "p99 at the base rate, during over before";
    if compares_p99 {
        bars.push(match before > 0.0 && during > 0.0 {
            true => Bar::at_most(what, during / before, P99_FACTOR_MAX, "×").with_note(factor_note),
            false => Bar::not_measured(what, "≤ 2×", "no requests at the base rate in one of them"),
        });
    }
    if let Some(control) = &report.control_run {
        bars.push(control::bar(control, during, report.p99_ms_control));
    }
    bars.append(&mut report.bars);
    report.bars = bars;
}

/// The first keys, and a quiet time.
pub fn begin(run: &mut Run<'_>) -> Result<()> {
    let keys = run.args.keys.unwrap_or((run.node_keys() * 0.4) as u64).max(1);
    run.stage("the first keys", Phase::Apart, 1.0);
    run.bring_keys(keys, 1.0)?;
    // Connections, caches and the first growth of tables are not what is compared.
    run.hold((run.args.seconds / 5.0).min(2.0))?;
    run.stage("before", Phase::Before, 1.0);
    run.hold(run.args.seconds)
}

/// Keys come until they need four nodes, and go again.
pub fn memory(run: &mut Run<'_>) -> Result<()> {
    let few = run.control.done().keys;
    let many = run.args.keys_peak.unwrap_or((run.node_keys() * 3.5) as u64).max(few);
    run.stage("memory grows", Phase::During, 1.0);
    run.bring_keys(many, FILL_SHARE)?;
    run.until_cache(|look| look.owners() as f64 >= NODES_PEAK_MIN && look.slots_moving == 0)?;
    run.stage("memory is high", Phase::During, 1.0);
    run.hold(run.args.seconds / 2.0)?;
    run.stage("memory shrinks", Phase::During, 1.0);
    run.bring_keys(few, FILL_SHARE)?;
    run.until_cache(|look| look.nodes_up() <= 1)?;
    Ok(())
}

fn load(run: &mut Run<'_>) -> Result<()> {
    for (step, factor) in LOAD_STEPS.into_iter().enumerate() {
        run.stage(&format!("load × {factor}"), Phase::During, factor);
        run.hold(run.args.seconds / 2.0)?;
        if step + 1 == LOAD_STEPS.len() {
            run.until_cache(|look| look.owners() as f64 >= NODES_PEAK_MIN && look.slots_moving == 0)?;
            let nodes = run.seen(|seen| seen.last().map_or(0, Look::owners));
            let what = "nodes at the peak of load";
            run.bars.push(match nodes {
                0 => Bar::not_measured(what, "≥ 4", "the cache does not tell its nodes"),
                nodes => Bar::at_least(what, nodes as f64, NODES_PEAK_MIN, ""),
            });
        }
    }
    shrink(run, "load falls")
}

fn peak(run: &mut Run<'_>, name: &str, factor: f64) -> Result<()> {
    run.stage(name, Phase::During, factor);
    run.hold(run.args.seconds)?;
    run.until_cache(|look| look.owners() as f64 >= NODES_PEAK_MIN && look.slots_moving == 0)?;
    Ok(())
}

fn shrink(run: &mut Run<'_>, name: &str) -> Result<()> {
    run.stage(name, Phase::During, 1.0);
    run.until_cache(|look| look.nodes_up() <= 1)?;
    Ok(())
}

/// A quiet time again, and a last look at the cache.
pub fn end(run: &mut Run<'_>) -> Result<()> {
    run.stage("after", Phase::After, 1.0);
    run.hold(run.args.seconds)?;
    run.settle()
}

/// A node with slots that is a process of its own, not `own`: number and process. The last, so that the first stays.
fn a_node(look: &Look, own: Option<u32>) -> Option<(u64, u32)> {
    let is_child = |node: &&super::watch::NodeLook| node.slots > 0 && node.pid != 0 && Some(node.pid) != own;
    look.nodes.iter().rev().find(is_child).map(|node| (node.id, node.pid))
}
