//! The options of `swell loadtest bench`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;

use super::sys::Core;
use super::template::PeerSpec;
use crate::workload::KEYS_MAX;

/// Compares cache servers over the loopback interface: each is started by a command line, pinned to a core, loaded
/// with the same keys and driven by the same load in turn.
///
/// In a command line `{port}` is replaced by a free port for RESP (or for whatever --protocol says), `{mcport}` by one
/// for memcached, `{link}` by where a server with nodes should listen for them and for commands such as `swell move`, `{exe}` by this program, `{maxmemory}` (bytes), `{maxmemory_mb}` and `{policy}` by the memory limit
/// of the test. A command line with `{mcport}` and no `{port}` is spoken to in memcached's protocol.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// A server to compare with; may be repeated. The first is the yardstick for the ratios
    #[arg(long = "peer", value_name = "NAME=COMMANDLINE")]
    pub peers: Vec<PeerSpec>,

    /// The server that the bench is about [default: this Swell with one worker; for move and isolation, with two nodes]
    #[arg(long, value_name = "NAME=COMMANDLINE")]
    pub subject: Option<PeerSpec>,

    /// What command lines with both ports, or only {port}, speak
    #[arg(long, value_enum, default_value_t = Protocol::Resp)]
    pub protocol: Protocol,

    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_value = "get,set")]
    pub tests: Vec<Test>,

    /// get, set: requests sent at once on each connection
    #[arg(long, value_delimiter = ',', default_value = "1,16,64", value_parser = count(1..=PIPELINE_MAX))]
    pub pipelines: Vec<usize>,

    /// get, set, move, isolation: connections, all busy
    #[arg(long, default_value = "50", value_parser = count(1..=CONNECTIONS_MAX))]
    pub connections: usize,

    /// get, set, move, isolation: keys of 16 bytes, loaded first and then drawn uniformly
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u64).range(1..KEYS_MAX))]
    pub keys: u64,

    /// get, set, hitratio, move, isolation: bytes of a value
    #[arg(long, default_value = "100", value_parser = count(1..=VALUE_BYTES_MAX))]
    pub value_bytes: usize,

    /// get, set: a run measures for so long
    #[arg(long, default_value = "2", value_parser = seconds)]
    pub seconds: f64,

    /// get, set: a run measures so many requests instead
    #[arg(long, conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,

    /// get, set: unmeasured seconds at the start of a run
    #[arg(long, default_value = "0.2", value_parser = seconds)]
    pub warmup_seconds: f64,

    /// get, set, startup, handoff, move, isolation: runs per server, interleaved; medians are reported
    #[arg(long, default_value = "5", value_parser = count(1..=1000))]
    pub rounds: usize,

    /// Core that the servers are pinned to, or "off"
    #[arg(long, default_value = "0")]
    pub server_cpu: Core,

    /// Core that the load generator is pinned to, or "off"
    #[arg(long, default_value = "1")]
    pub load_cpu: Core,

    /// get, set: the load generator polls instead of sleeping, so that no server spends time on waking it
    #[arg(long)]
    pub spin: bool,

    /// Niceness of servers and load generator, and of this session. On a machine with other work -20 keeps most of that
    /// off their cores; below 0 needs root
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    pub nice: Option<i32>,

    /// commands: requests sent at once on each connection
    #[arg(long, default_value = "16", value_parser = count(1..=PIPELINE_MAX))]
    pub command_pipeline: usize,

    /// commands: only those whose name has this in it
    #[arg(long)]
    pub only: Option<String>,

    /// memory: bytes of a value
    #[arg(long, value_delimiter = ',', default_value = "64,512", value_parser = count(1..=VALUE_BYTES_MAX))]
    pub memory_values: Vec<usize>,

    /// memory: how many keys
    #[arg(long, value_delimiter = ',', default_value = "1000000,5000000",
        value_parser = clap::value_parser!(u64).range(1..KEYS_MAX))]
    pub memory_keys: Vec<u64>,

    /// startup: how long an idle server is watched
    #[arg(long, default_value = "5", value_parser = seconds)]
    pub idle_seconds: f64,

    /// startup: idle connections whose memory is measured
    #[arg(long, default_value = "1000", value_parser = count(1..=CONNECTIONS_MAX))]
    pub idle_connections: usize,

    /// hitratio: keys that the Zipf distribution draws from
    #[arg(long, default_value = "2000000", value_parser = clap::value_parser!(u64).range(1..KEYS_MAX))]
    pub hit_keys: u64,

    /// hitratio: reads measured, after as many unmeasured ones
    #[arg(long, default_value = "4000000", value_parser = clap::value_parser!(u64).range(1..))]
    pub hit_requests: u64,

    /// hitratio: exponent of the Zipf distribution
    #[arg(long, default_value = "0.99", value_parser = exponent)]
    pub zipf: f64,

    /// hitratio: memory limit, such as 64mb. Set by CONFIG SET where the command line has no {maxmemory}
    #[arg(long, default_value = "128mb", value_parser = size)]
    pub hit_maxmemory: u64,

    /// hitratio: eviction policy
    #[arg(long, default_value = "allkeys-lru")]
    pub hit_policy: String,

    /// move, isolation: requests per second, GET and SET mixed, evenly spaced whatever the replies take
    #[arg(long, default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=RATE_MAX))]
    pub rate: u32,

    /// move: seconds of the same load before each move; the part of it that is as long as the move is reported
    #[arg(long, default_value = "4", value_parser = seconds)]
    pub quiet_seconds: f64,

    /// isolation: MiB of the string that one client writes and reads
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u64).range(1..=BIG_MIB_MAX))]
    pub big_mib: u64,

    /// isolation: seconds of each of the three phases of a round
    #[arg(long, default_value = "6", value_parser = seconds)]
    pub phase_seconds: f64,

    /// Seconds a server has for its first answer
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub ready_seconds: f64,

    /// Seed of the random keys
    #[arg(long, default_value = "1")]
    pub seed: u64,

    /// Write everything that was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The protocols that the load generator speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Resp,
    Memcached,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Test {
    /// Reads of loaded keys: throughput, CPU per request, latency
    Get,
    /// Writes over loaded keys, likewise
    Set,
    /// Some fifty commands of every type at one pipeline: throughput and CPU per request
    Commands,
    /// Resident memory per element of hashes, sets, sorted sets, lists and streams beyond what was put in
    Elements,
    /// Resident memory per key beyond key and value
    Memory,
    /// Time to the first answer, and what an idle server uses
    Startup,
    /// Time from a push until the client that waits for it with BLPOP has it
    Handoff,
    /// Share of reads that find their key under a memory limit
    HitRatio,
    /// Half of the slots move to another node under an even load: keys per second, and what clients notice
    Move,
    /// What a huge value and a slot that moves again and again do to other sessions of the same link
    Isolation,
}

pub const PIPELINE_MAX: u64 = 10_000;
pub const RATE_MAX: i64 = 1_000_000;
/// Redis's longest string.
pub const BIG_MIB_MAX: u64 = 512;
pub const CONNECTIONS_MAX: u64 = 10_000;
pub const VALUE_BYTES_MAX: u64 = 1 << 20;
/// Bound of every option in seconds.
pub const SECONDS_MAX: f64 = 3_600.0;

impl FromStr for Core {
    type Err = String;

    fn from_str(text: &str) -> Result<Core, String> {
        match text {
            "off" => Ok(Core::Any),
            number => number.parse().map(Core::Number).map_err(|_| format!("{text:?} is neither a core nor \"off\"")),
        }
    }
}

/// A number of things.
pub(crate) fn count(range: std::ops::RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

/// A number of seconds.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => Ok(seconds),
        _ => Err(format!("must be a number of seconds from 0 to {SECONDS_MAX}")),
    }
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(exponent) if (0.0..=10.0).contains(&exponent) => Ok(exponent),
        _ => Err("must be a number from 0 to 10".to_owned()),
    }
}

/// Bytes, with Redis's suffixes: k, m and g are powers of 1000, kb, mb and gb of 1024.
fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        unit => return Err(format!("unknown unit {unit:?}; use b, k, kb, m, mb, g or gb")),
    };
    let number: u64 = digits.parse().map_err(|_| "must be a whole number with a unit, such as 64mb".to_owned())?;
    number.checked_mul(unit).filter(|&bytes| bytes > 0).ok_or_else(|| "out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn parse(args: &[&str]) -> Result<BenchArgs, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"bench").chain(args)).map(|cli| cli.bench)
    }

    #[test]
    fn defaults_are_the_documented_comparison() {
        let args = parse(&[]).expect("no option is required");
        assert_eq!(args.tests, [Test::Get, Test::Set]);
        assert_eq!(args.pipelines, [1, 16, 64]);
        assert_eq!((args.connections, args.keys, args.value_bytes), (50, 1_000_000, 100));
        assert_eq!((args.server_cpu, args.load_cpu), (Core::Number(0), Core::Number(1)));
        assert_eq!(args.hit_maxmemory, 128 << 20);
    }

    #[test]
    fn lists_cores_and_sizes_are_read() {
        let args = parse(&["--tests", "memory,hitratio,startup", "--memory-keys", "10,20", "--load-cpu", "off"]);
        let args = args.expect("valid options");
        assert_eq!(args.tests, [Test::Memory, Test::HitRatio, Test::Startup]);
        assert_eq!(args.memory_keys, [10, 20]);
        assert_eq!(args.load_cpu, Core::Any);
        assert_eq!(size("64mb"), Ok(64 << 20));
        assert_eq!(size("2K"), Ok(2_000));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let refused = [
            ["--pipelines", "0"],
            ["--connections", "x"],
            ["--value-bytes", "99999999"],
            ["--seconds", "-1"],
            ["--zipf", "nan"],
            ["--hit-maxmemory", "5tb"],
            ["--server-cpu", "first"],
            ["--peer", "redis-server"],
        ];
        for args in refused {
            assert!(parse(&args).is_err(), "{args:?}");
        }
        assert!(parse(&["--requests", "5", "--seconds", "1"]).is_err());
    }
}
