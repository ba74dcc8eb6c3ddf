//! `swell loadtest SCENARIO`: a cache grows and shrinks under a load that checks every answer.

pub mod args;
pub mod capacity;
pub mod chart;
pub mod control;
pub mod demo;
pub mod linear;
pub mod page;
pub mod report;
pub mod run;
pub mod shapes;
pub mod target;
pub mod view;
pub mod watch;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::args::ScenarioArgs;
use self::report::Report;
use self::run::Run;
use self::target::Target;
use crate::bench::proc::Machine;
use crate::bench::sys;
use crate::verified::mix::{Choice, Draw};

/// Open files beside the connections.
const OPEN_FILES_SPARE: u64 = 100;

/// Bytes of a value where bytes are what makes the cache grow: at four times the base rate still no more than two cores can
/// carry from the load through the proxy to nodes and back.
const NETWORK_VALUE_BYTES: u32 = 4_000;

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    Scale,
    ScaleMemory,
    ScaleCpu,
    ScaleNetwork,
    FlashCrowd,
    HotKey,
    Drain,
    KillNode,
}

/// Plays a scenario, shows it while it runs, prints its summary and writes its report.
///
/// # Errors
/// The cache cannot be started or ends, a report cannot be written; and, after all of that, clients saw errors, wrong
/// reads or unknown outcomes.
pub fn run(scenario: Scenario, args: &ScenarioArgs) -> Result<()> {
    sys::catch_interrupts().context("cannot catch Ctrl-C")?;
    sys::raise_open_files(args.connections as u64 + OPEN_FILES_SPARE)
        .context("cannot raise the limit of open files")?;
    let report = play(scenario, args)?;
    println!("\n{}", report.table());
    write(args, &report)?;
    judge(&report)
}

/// Writes what was asked for.
///
/// # Errors
/// A file cannot be written.
pub fn write(args: &ScenarioArgs, report: &Report) -> Result<()> {
    if let Some(path) = &args.json {
        put(path, serde_json::to_string_pretty(report)? + "\n")?;
    }
    if let Some(path) = &args.html {
        put(path, page::html(report))?;
    }
    if let Some(path) = &args.svg {
        put(path, page::picture(report))?;
    }
    Ok(())
}

/// # Errors
/// Clients have noticed something.
pub fn judge(report: &Report) -> Result<()> {
    if report.is_clean() {
        return Ok(());
    }
    bail!(
        "clients saw {} errors, {} wrong reads and {} unknown outcomes",
        report.client_errors,
        report.wrong_reads,
        report.unknown_outcomes
    )
}

fn play(scenario: Scenario, args: &ScenarioArgs) -> Result<Report> {
    let target = match &args.target {
        Some(address) => Target::there(address, args.protocol, args.http.as_deref())?,
        None => Target::start(&serve_options(scenario, args))?,
    };
    let sizes = args.value_bytes.clone().unwrap_or(Choice::only(match scenario {
        Scenario::ScaleNetwork => NETWORK_VALUE_BYTES,
        _ => 1_000,
    }));
    let draw = args.draw.unwrap_or(match scenario {
        Scenario::FlashCrowd => Draw::Zipf(0.99),
        Scenario::HotKey => Draw::HotKey { share: 0.3 },
        _ => Draw::Uniform,
    });
    let mut run = Run::start(scenario.name(), args, target, sizes, draw, scenario.stages())?;
    let played = match scenario {
        Scenario::Scale => shapes::scale(&mut run),
        Scenario::ScaleMemory => shapes::scale_memory(&mut run),
        Scenario::ScaleCpu => capacity::scale_cpu(&mut run),
        Scenario::ScaleNetwork => shapes::scale_network(&mut run),
        Scenario::FlashCrowd => shapes::flash_crowd(&mut run),
        Scenario::HotKey => shapes::hot_key(&mut run),
        Scenario::Drain => shapes::drain(&mut run),
        Scenario::KillNode => shapes::kill_node(&mut run),
    };
    let printed = run.target.last_lines();
    played.with_context(|| format!("{} failed; the cache printed: {printed}", scenario.name()))?;
    let mut report = run.finish()?;
    let cores = Machine::read().cores;
    let note = format!("load, cache and all nodes share {cores} cores");
    // scale-cpu has rates of its own, and a killed node's requests wait.
    let compares_p99 = !matches!(scenario, Scenario::KillNode | Scenario::ScaleCpu);
    shapes::common_bars(&mut report, scenario.scales(), compares_p99, &note);
    Ok(report)
}

/// The options of the small Swell that is started for a scenario.
fn serve_options(scenario: Scenario, args: &ScenarioArgs) -> Vec<String> {
    let nodes_max = args.nodes_max;
    let (start, is_scaling) = match scenario {
        Scenario::Drain | Scenario::KillNode => (4.min(nodes_max), false),
        Scenario::HotKey => (4.min(nodes_max), true),
        _ => (1, true),
    };
    let mut options = vec![
        format!("--nodes-min={start}"),
        format!("--nodes-max={nodes_max}"),
        format!("--scaling={}", if is_scaling { "on" } else { "off" }),
        format!("--node-memory={}mb", args.node_memory_mib),
        "--workers=1".to_owned(),
        "--node-workers=1".to_owned(),
        "--first-node=process".to_owned(),
    ];
    let rate = f64::from(args.rate);
    match scenario {
        // One node serves the base rate with room, and not the peak.
        Scenario::Scale | Scenario::FlashCrowd => options.push(format!("--node-ecpu-per-second={:.0}", rate * 1.5)),
        Scenario::ScaleNetwork => {
            let value = args.value_bytes.as_ref().map_or(f64::from(NETWORK_VALUE_BYTES), Choice::mean);
            options.push(format!("--node-network-bytes-per-second={:.0}", rate * value * 1.5));
        }
        // Four nodes serve the base rate at two fifths of what they are planned for; the one with the hot key is near it.
        Scenario::HotKey => options.push(format!("--node-ecpu-per-second={:.0}", rate * 0.6)),
        Scenario::ScaleCpu => options.push(format!("--node-cpus={}", capacity::NODE_CPUS)),
        _ => {}
    }
    options.extend(args.serve.iter().cloned());
    options
}

impl Scenario {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Scale => "scale",
            Scenario::ScaleMemory => "scale-memory",
            Scenario::ScaleCpu => "scale-cpu",
            Scenario::ScaleNetwork => "scale-network",
            Scenario::FlashCrowd => "flash-crowd",
            Scenario::HotKey => "hot-key",
            Scenario::Drain => "drain",
            Scenario::KillNode => "kill-node",
        }
    }

    /// Whether the cache is to grow to four nodes and to shrink to one.
    fn scales(self) -> bool {
        !matches!(self, Scenario::HotKey | Scenario::Drain | Scenario::KillNode)
    }

    /// For the progress bar.
    fn stages(self) -> usize {
        match self {
            Scenario::Scale => 11,
            Scenario::ScaleMemory => 6,
            Scenario::ScaleCpu => 6,
            Scenario::ScaleNetwork | Scenario::FlashCrowd | Scenario::HotKey => 5,
            Scenario::Drain | Scenario::KillNode => 4,
        }
    }
}

fn put(path: &Path, text: String) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
