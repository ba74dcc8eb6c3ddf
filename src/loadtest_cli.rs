//! `swell loadtest` and `swell demo`: hand over to the tools of the load-test crate.

use clap::Subcommand;
use swell_loadtest::bench::{self, BenchArgs};
use swell_loadtest::scenario::args::ScenarioArgs;
use swell_loadtest::scenario::{self, Scenario};

/// What is typed behind `swell loadtest`: a tool, or only options, which are those of `scale`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LoadtestTask {
    #[command(subcommand)]
    pub(crate) tool: Option<Loadtest>,
    #[command(flatten)]
    scale: Box<ScenarioArgs>,
}

/// The tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Loadtest {
    /// Memory, then load, grow and shrink: the cache goes from one node to four and more, and back (the default)
    Scale(Box<ScenarioArgs>),
    /// Memory grows and shrinks at a constant rate
    ScaleMemory(Box<ScenarioArgs>),
    /// Nodes held to a tenth of a core each, asked for three times what one can do; then what 2, 4 and 8 can do
    ScaleCpu(Box<ScenarioArgs>),
    /// Large values: bytes per second grow and fall
    ScaleNetwork(Box<ScenarioArgs>),
    /// All at once there are five times as many requests
    FlashCrowd(Box<ScenarioArgs>),
    /// One key draws a large share of all requests
    HotKey(Box<ScenarioArgs>),
    /// A node gives all it has to the others and leaves
    Drain(Box<ScenarioArgs>),
    /// A node is killed; what it held, and only that, is lost
    KillNode(Box<ScenarioArgs>),
    Bench(Box<BenchArgs>),
}

impl LoadtestTask {
    /// Runs the tool, which prints its own report.
    ///
    /// # Errors
    /// A server cannot be started or answers wrongly; clients saw errors, wrong reads or unknown outcomes.
    pub fn run(self) -> anyhow::Result<()> {
        let (scenario, args) = match self.tool {
            Some(Loadtest::Bench(args)) => return bench::run(*args),
            None => (Scenario::Scale, self.scale),
            Some(Loadtest::Scale(args)) => (Scenario::Scale, args),
            Some(Loadtest::ScaleMemory(args)) => (Scenario::ScaleMemory, args),
            Some(Loadtest::ScaleCpu(args)) => (Scenario::ScaleCpu, args),
            Some(Loadtest::ScaleNetwork(args)) => (Scenario::ScaleNetwork, args),
            Some(Loadtest::FlashCrowd(args)) => (Scenario::FlashCrowd, args),
            Some(Loadtest::HotKey(args)) => (Scenario::HotKey, args),
            Some(Loadtest::Drain(args)) => (Scenario::Drain, args),
            Some(Loadtest::KillNode(args)) => (Scenario::KillNode, args),
        };
        scenario::run(scenario, &args)
    }
}

/// `swell demo`.
///
/// # Errors
/// The cache cannot be started or ends; clients saw what they must not see.
pub fn demo() -> anyhow::Result<()> {
    scenario::demo::run()
}
