//! The options of a scenario.

use std::path::PathBuf;

use crate::bench::args::{CONNECTIONS_MAX, Protocol, RATE_MAX, count, seconds};
use crate::verified::mix::{Choice, Draw};

/// Most keys of a scenario.
pub const KEYS_MAX: u64 = 50_000_000;

/// Puts a verified load on a cache while it grows and shrinks. Without --target a small Swell is started for it: nodes
/// that are planned for little, so that a laptop scales as a data centre does.
#[derive(Debug, Clone, clap::Args)]
pub struct ScenarioArgs {
    /// A cache that runs already, instead of one that is started for this
    #[arg(long, value_name = "HOST:PORT")]
    pub target: Option<String>,

    /// Its HTTP listener, for nodes, ECPUs and cost
    #[arg(long, value_name = "HOST:PORT", requires = "target")]
    pub http: Option<String>,

    /// What is spoken
    #[arg(long, value_enum, default_value_t = Protocol::Resp)]
    pub protocol: Protocol,

    /// Requests per second, at constant intervals, where the scenario does not change it
    #[arg(long, default_value = "5000", value_parser = clap::value_parser!(u32).range(1..=RATE_MAX))]
    pub rate: u32,

    /// Instead of a rate: so many requests are always under way
    #[arg(long, value_name = "N", value_parser = count(1..=CONNECTIONS_MAX))]
    pub closed: Option<usize>,

    /// Connections
    #[arg(long, default_value = "32", value_parser = count(1..=CONNECTIONS_MAX))]
    pub connections: usize,

    /// Keys that the load begins with [default: two fifths of what a node is planned to hold]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    pub keys: Option<u64>,

    /// Keys at the peak [default: as many as three and a half nodes are planned to hold]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX))]
    pub keys_peak: Option<u64>,

    /// Bytes of a value, or sizes with weights such as 100:0.7,4000:0.3 [default: 1000; for scale-network 4000]
    #[arg(long, value_parser = Choice::sizes)]
    pub value_bytes: Option<Choice>,

    /// Seconds that values live, 0 for ever, or with weights such as 0:0.9,5:0.1
    #[arg(long, default_value = "0", value_parser = Choice::lives)]
    pub ttl: Choice,

    /// Share of reads
    #[arg(long, default_value = "0.7", value_parser = share)]
    pub reads: f64,

    /// How keys are drawn: uniform, zipf[:EXPONENT], hot-set[:SHARE] (it moves), hot-key[:SHARE] [default: uniform; for
    /// flash-crowd zipf, for hot-key hot-key]
    #[arg(long)]
    pub draw: Option<Draw>,

    /// Seconds of the quiet times before and after
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub seconds: f64,

    /// Seconds that the cache may take to grow or to shrink before the test goes on without it
    #[arg(long, default_value = "180", value_parser = seconds)]
    pub patience: f64,

    /// What one node of the small Swell is planned to hold, in MiB
    #[arg(long, default_value = "16", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub node_memory_mib: u64,

    /// Most nodes of the small Swell
    #[arg(long, default_value = "8", value_parser = clap::value_parser!(u64).range(1..=128))]
    pub nodes_max: u64,

    /// A further option for the small Swell's `serve`, such as --serve=--log-level=debug; may be repeated
    #[arg(long = "serve", value_name = "OPTION", allow_hyphen_values = true)]
    pub serve: Vec<String>,

    /// Seed of keys, sizes and lives
    #[arg(long, default_value = "1")]
    pub seed: u64,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the report as one page with charts, which needs nothing but itself
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Write nodes, throughput and latency over time as one picture
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        scenario: ScenarioArgs,
    }

    fn parse(args: &[&str]) -> Result<ScenarioArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"scale").chain(args)).map(|cli| cli.scenario)
    }

    #[test]
    fn nothing_is_required_and_nonsense_is_refused() {
        let args = parse(&[]).expect("no option is required");
        assert_eq!((args.rate, args.connections, args.nodes_max), (5_000, 32, 8));
        assert!(parse(&["--http", "127.0.0.1:1"]).is_err(), "without --target");
        for wrong in [["--rate", "0"], ["--reads", "2"], ["--value-bytes", "3"], ["--draw", "warm"], ["--keys", "0"]] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
        let args = parse(&["--serve=--log-level=debug", "--value-bytes", "100:1,200:1"]).expect("both are good");
        assert_eq!((args.serve.len(), args.value_bytes.map(|sizes| sizes.mean())), (1, Some(150.0)));
    }
}
