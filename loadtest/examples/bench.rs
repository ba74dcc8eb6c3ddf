//! `swell loadtest bench` alone, for work on the load generator without building the rest of Swell.

use clap::Parser;
use swell_loadtest::bench::{BenchArgs, run};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    bench: BenchArgs,
}

fn main() -> anyhow::Result<()> {
    run(Cli::parse().bench)
}
