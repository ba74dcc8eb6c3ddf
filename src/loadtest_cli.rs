//! `swell loadtest`: hands over to the tools of the load-test crate.

use clap::Subcommand;
use swell_loadtest::bench::{self, BenchArgs};

/// The tools.
#[derive(Debug, Subcommand)]
pub enum Loadtest {
    Bench(Box<BenchArgs>),
}

impl Loadtest {
    /// Runs the tool, which prints its own report.
    ///
    /// # Errors
    /// A server cannot be started or answers wrongly.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Loadtest::Bench(args) => bench::run(*args),
        }
    }
}
