//! Commands of every type at full speed: each on servers that hold the same, which take turns at being measured.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Bench;
use super::args::Protocol;
use super::dialect::RequestShape;
use super::driver::{LoadPlan, Stop, drive};
use super::peer::Server;
use super::replies::{Counts, ReplyShape};
use super::report::{Bar, Report};
use super::subscribers::Subscribers;
use super::throughput::{Figures, Ratio, Run, compare, median_figures, sample, to_run};
use crate::workload::KeySource;

/// No command may fall below so many times the yardstick.
const RATIO_MIN: f64 = 0.95;
/// Requests of a setup that are sent at once.
const SETUP_PIPELINE: usize = 64;
/// Connections of a setup: one, where the order matters.
const SETUP_CONNECTIONS: usize = 1;
/// A run of a command that uses something up ends after so many requests.
const USED_UP_REQUESTS: u64 = 200_000;

/// What one server did with one command: medians of several runs.
#[derive(Debug, Clone, Serialize)]
pub struct CommandRow {
    pub command: &'static str,
    pub request: String,
    pub server: String,
    pub median: Figures,
    /// Against the yardstick: above 1 is better. None for the yardstick itself.
    pub ratio: Option<Ratio>,
    pub runs: Vec<Run>,
}

/// One command to measure.
struct Case {
    name: &'static str,
    /// What the servers hold: each request as often as said, `{key}` counting up.
    setup: &'static [(u64, &'static str)],
    /// `{key}` is drawn from so many keys.
    keys: u64,
    /// One command, or several with `; ` between them.
    request: &'static str,
    /// At least so many times the yardstick.
    bar: f64,
    /// It uses up what the setup made: made again for each run.
    uses_up: bool,
    /// So many clients are subscribed to [`CHANNEL`], each of which must get every message.
    subscribers: usize,
}

/// Where the messages of a case with subscribers go.
const CHANNEL: &str = "news";

const fn case(
    name: &'static str,
    setup: &'static [(u64, &'static str)],
    keys: u64,
    request: &'static str,
    bar: f64,
) -> Case {
    Case { name, setup, keys, request, bar, uses_up: false, subscribers: 0 }
}

const STRINGS: &[(u64, &str)] = &[(100_000, "SET {key} xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")];
const NUMBERS: &[(u64, &str)] = &[(100_000, "SET {key} 1")];
const HASH: &[(u64, &str)] = &[(100_000, "HSET h {key} value:0123456789")];
const HASHES: &[(u64, &str)] = &[(10_000, "HSET {key} f0 v0 f1 v1 f2 v2 f3 v3 f4 v4 f5 v5 f6 v6 f7 v7 f8 v8 f9 v9")];
const SET: &[(u64, &str)] = &[(100_000, "SADD s {key}")];
const SETS: &[(u64, &str)] = &[(100, "SADD s1 {key}"), (100, "SADD s2 {key}"), (10, "SADD s3 {key}")];
const LIST: &[(u64, &str)] = &[(10_000, "RPUSH l {key}")];
const LONG_LIST: &[(u64, &str)] = &[(1_200_000, "RPUSH l {key}")];
const ZSET: &[(u64, &str)] = &[(100_000, "ZADD z 1 {key}")];
const RANKED: &[(u64, &str)] = &[
    (50_000, "ZADD z 17 {key}"),
    (20_000, "ZADD z 3.5 a{key}"),
    (20_000, "ZADD z 400 b{key}"),
    (10_000, "ZADD z 90.25 c{key}"),
];
const STREAM: &[(u64, &str)] = &[(100_000, "XADD x * field {key}")];
const PLACES: &[(u64, &str)] = &[
    (2_000, "GEOADD g 13.361389 38.115556 {key}"),
    (2_000, "GEOADD g 15.087269 37.502669 a{key}"),
    (100, "GEOADD g 14.1 37.9 b{key}"),
];

/// Bars are issue-wide promises against redis-server 7.0.15 at pipeline 16 with one worker; 0.95 where there is none.
static CASES: &[Case] = &[
    case("SET", &[], 100_000, "SET {key} xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", RATIO_MIN),
    case("GET", STRINGS, 100_000, "GET {key}", RATIO_MIN),
    case("INCR", NUMBERS, 100_000, "INCR {key}", 1.4),
    case("MGET 10", STRINGS, 100_000, "MGET {key} {key} {key} {key} {key} {key} {key} {key} {key} {key}", 2.2),
    case(
        "MSET 10",
        &[],
        100_000,
        "MSET {key} v {key} v {key} v {key} v {key} v {key} v {key} v {key} v {key} v {key} v",
        2.2,
    ),
    case("GETRANGE", STRINGS, 100_000, "GETRANGE {key} 4 11", RATIO_MIN),
    case("SETRANGE", STRINGS, 100_000, "SETRANGE {key} 4 abc", RATIO_MIN),
    case("SETEX", &[], 100_000, "SETEX {key} 1000 value", RATIO_MIN),
    case("EXISTS", STRINGS, 100_000, "EXISTS {key}", RATIO_MIN),
    case("EXPIRE", STRINGS, 100_000, "EXPIRE {key} 1000", RATIO_MIN),
    case("TTL", STRINGS, 100_000, "TTL {key}", RATIO_MIN),
    case("TYPE", STRINGS, 100_000, "TYPE {key}", RATIO_MIN),
    case("HSET", &[], 100_000, "HSET h {key} value:0123456789", 1.1),
    case("HSET small", HASHES, 10_000, "HSET {key} f5 w5", 1.1),
    case("HGET", HASH, 100_000, "HGET h {key}", RATIO_MIN),
    case("HGET small", HASHES, 10_000, "HGET {key} f5", RATIO_MIN),
    case("HMGET 5", HASHES, 10_000, "HMGET {key} f1 f3 f5 f7 f9", RATIO_MIN),
    case("HGETALL 10", HASHES, 10_000, "HGETALL {key}", 1.15),
    case("HINCRBY", HASHES, 10_000, "HINCRBY {key} n 1", RATIO_MIN),
    case("HEXISTS", HASH, 100_000, "HEXISTS h {key}", RATIO_MIN),
    Case { uses_up: true, ..case("HDEL", HASH, 100_000, "HDEL h {key}", RATIO_MIN) },
    case("LPUSH", &[], 100_000, "LPUSH l {key}", 1.1),
    case("RPUSH", &[], 100_000, "RPUSH l {key}", RATIO_MIN),
    Case { uses_up: true, ..case("LPOP", LONG_LIST, 1, "LPOP l", 1.1) },
    Case { uses_up: true, ..case("RPOP", LONG_LIST, 1, "RPOP l", RATIO_MIN) },
    case("LRANGE 100", LIST, 1, "LRANGE l 0 99", 1.4),
    case("LRANGE 10", LIST, 1, "LRANGE l 500 509", RATIO_MIN),
    case("LINDEX", LIST, 1, "LINDEX l 5000", RATIO_MIN),
    case("LLEN", LIST, 1, "LLEN l", RATIO_MIN),
    case("SADD", &[], 100_000, "SADD s {key}", 1.1),
    case("SISMEMBER", SET, 100_000, "SISMEMBER s {key}", RATIO_MIN),
    Case { uses_up: true, ..case("SREM", SET, 100_000, "SREM s {key}", RATIO_MIN) },
    case("SRANDMEMBER", SET, 1, "SRANDMEMBER s", RATIO_MIN),
    case("SMEMBERS 10", SETS, 1, "SMEMBERS s3", RATIO_MIN),
    case("SINTER 100", SETS, 1, "SINTER s1 s2", 1.0),
    case("SUNION 100", SETS, 1, "SUNION s1 s3", RATIO_MIN),
    case("ZADD", &[], 100_000, "ZADD z 1 {key}", 1.25),
    case("ZADD update", ZSET, 100_000, "ZADD z 1 {key}", 1.25),
    case("ZINCRBY", ZSET, 100_000, "ZINCRBY z 1 {key}", RATIO_MIN),
    case("ZSCORE", ZSET, 100_000, "ZSCORE z {key}", RATIO_MIN),
    case("ZRANK", RANKED, 50_000, "ZRANK z {key}", RATIO_MIN),
    case("ZRANGE 10", RANKED, 1, "ZRANGE z 0 9", 1.1),
    case("ZREVRANGE 10", RANKED, 1, "ZREVRANGE z 0 9 WITHSCORES", RATIO_MIN),
    case("ZRANGEBYSCORE 10", RANKED, 1, "ZRANGEBYSCORE z 17 400 LIMIT 0 10", RATIO_MIN),
    case("ZCOUNT", RANKED, 1, "ZCOUNT z 17 400", RATIO_MIN),
    Case { uses_up: true, ..case("ZPOPMIN", &[(300_000, "ZADD z 1 {key}")], 1, "ZPOPMIN z", RATIO_MIN) },
    case("XADD", &[], 100_000, "XADD x * field {key}", 1.1),
    case("XRANGE 10", STREAM, 1, "XRANGE x - + COUNT 10", RATIO_MIN),
    case("XREAD 10", STREAM, 1, "XREAD COUNT 10 STREAMS x 0", RATIO_MIN),
    case("XLEN", STREAM, 1, "XLEN x", RATIO_MIN),
    case("PFADD", &[], 100_000, "PFADD p {key}", 1.0),
    case("PFCOUNT", &[(10_000, "PFADD p {key}")], 1, "PFCOUNT p", RATIO_MIN),
    case("GEOADD", &[], 100_000, "GEOADD g 13.361389 38.115556 {key}", RATIO_MIN),
    case("GEODIST", PLACES, 2_000, "GEODIST g {key} a{key} km", RATIO_MIN),
    case("GEOSEARCH", PLACES, 1, "GEOSEARCH g FROMLONLAT 14.1 37.9 BYRADIUS 10 km ASC", 1.0),
    case("SETBIT", &[(1, "SETBIT b 1000000 1")], 1, "SETBIT b 4711 1", RATIO_MIN),
    case("GETBIT", &[(1, "SETBIT b 1000000 1")], 1, "GETBIT b 4711", RATIO_MIN),
    case("BITCOUNT", &[(1, "SETBIT b 8000 1")], 1, "BITCOUNT b", 1.0),
    case("BITFIELD", &[(1, "SETBIT b 8000 1")], 1, "BITFIELD b INCRBY u8 100 1", RATIO_MIN),
    case(
        "MULTI 10",
        &[],
        100_000,
        "MULTI; SET {key} value; GET {key}; SET {key} value; GET {key}; SET {key} value; GET {key}; SET {key} value; \
         GET {key}; SET {key} value; GET {key}; EXEC",
        1.2,
    ),
    case("EVAL", &[], 100_000, SCRIPT, 1.35),
    Case { subscribers: 100, ..case("PUBLISH 100", &[], 1, "PUBLISH news 0123456789abcdef", 1.0) },
];

const SCRIPT: &str = "EVAL redis.call('SET',KEYS[1],ARGV[1])return(redis.call('GET',KEYS[1])) 1 {key} value";

/// Measures every command on servers that stand beside each other.
///
/// # Errors
/// A server cannot be started or fails under load, or speaks no RESP.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    if bench.args.protocol != Protocol::Resp {
        bail!("commands are measured over RESP");
    }
    let mut servers = Vec::new();
    for spec in &bench.specs {
        servers.push(bench.start(spec, report)?);
    }
    let wanted = |case: &&Case| bench.args.only.as_ref().is_none_or(|part| case.name.contains(part.as_str()));
    for case in CASES.iter().filter(wanted) {
        let runs = run_case(bench, &servers, case)?;
        add_rows(bench, report, case, &servers, runs);
    }
    Ok(())
}

fn run_case(bench: &Bench<'_>, servers: &[Server], case: &Case) -> Result<Vec<Vec<Run>>> {
    let mut runs = vec![Vec::new(); servers.len()];
    for round in 0..bench.args.rounds {
        for turn in 0..servers.len() {
            let measured = (round + turn) % servers.len();
            let server = &servers[measured];
            if round == 0 || case.uses_up {
                set_up(server, case)?;
            }
            let run = run_once(bench, servers, measured, case, round)?;
            bench.progress(&format!(
                "{} round {}: {} {:.0} requests/s, {:.3} CPU us each",
                case.name,
                round + 1,
                server.name,
                run.figures.requests_per_second,
                run.figures.server_cpu_us_per_request
            ));
            runs[measured].push(run);
        }
    }
    Ok(runs)
}

fn set_up(server: &Server, case: &Case) -> Result<()> {
    server.client()?.empty().with_context(|| format!("{} cannot be emptied", server.name))?;
    for (times, request) in case.setup {
        load(server, &words(request), *times)?;
    }
    Ok(())
}

/// Sends a request so many times, its keys counting up, in order.
///
/// # Errors
/// The server fails, or answers an error.
pub fn load(server: &Server, request: &[String], times: u64) -> Result<()> {
    let plan = LoadPlan {
        address: server.address,
        request: RequestShape::command(request, times),
        reply: ReplyShape::any(1),
        connections: SETUP_CONNECTIONS,
        pipeline: SETUP_PIPELINE,
        keys: KeySource::sequential(times),
        warmup: Duration::ZERO,
        stop: Stop::Exhausted,
        spin: false,
    };
    let outcome = drive(plan, || Ok(())).with_context(|| format!("{} failed at {request:?}", server.name))?;
    match outcome.counts.first_error {
        Some(error) => bail!("{} answers {error} to {request:?}", server.name),
        None => Ok(()),
    }
}

fn run_once(bench: &Bench<'_>, servers: &[Server], measured: usize, case: &Case, round: usize) -> Result<Run> {
    let (args, server) = (bench.args, &servers[measured]);
    let commands: Vec<Vec<String>> = case.request.split("; ").map(words).collect();
    let plan = LoadPlan {
        address: server.address,
        request: RequestShape::commands(&commands, case.keys),
        reply: ReplyShape::any(commands.len() as u64),
        connections: args.connections,
        pipeline: args.command_pipeline,
        keys: match case.uses_up && case.keys > 1 {
            true => KeySource::sequential(case.keys),
            false => KeySource::uniform(case.keys, args.seed.wrapping_add(round as u64)),
        },
        warmup: Duration::from_secs_f64(if case.uses_up { 0.0 } else { args.warmup_seconds }),
        stop: match case.uses_up {
            true => Stop::Requests(USED_UP_REQUESTS),
            false => Stop::After(Duration::from_secs_f64(args.seconds)),
        },
        spin: args.spin,
    };
    let measure = || -> Result<Run> {
        let subscribers = Subscribers::open(server.address, CHANNEL, case.subscribers)?;
        let outcome = drive(plan, || sample(servers, measured))?;
        subscribers.close(outcome.counts.good)?;
        Ok(to_run(round, measured, outcome))
    };
    measure().with_context(|| format!("{} failed at {}; it printed: {}", server.name, case.name, server.last_lines()))
}

fn add_rows(bench: &Bench<'_>, report: &mut Report, case: &Case, servers: &[Server], runs: Vec<Vec<Run>>) {
    let medians: Vec<Figures> = runs.iter().map(|runs| median_figures(runs)).collect();
    let yardstick = bench.yardstick().map(|at| &medians[at]);
    let subject = servers.len() - 1;
    for ((at, server), runs) in servers.iter().enumerate().zip(runs) {
        let median = medians[at].clone();
        let mut replies = Counts::default();
        runs.iter().for_each(|run| replies.merge(&run.replies));
        report.fail_on(&format!("{} {}", server.name, case.name), &replies);
        let ratio = yardstick.filter(|_| bench.yardstick() != Some(at)).map(|yardstick| compare(yardstick, &median));
        if let (Some(ratio), true) = (ratio, at == subject) {
            report.bars.push(Bar::at_least(&format!("{}: times the yardstick", case.name), ratio.value, case.bar));
        }
        let (server, request) = (server.name.clone(), case.request.to_owned());
        report.commands.push(CommandRow { command: case.name, request, server, median, ratio, runs });
    }
}

fn words(request: &str) -> Vec<String> {
    request.split(' ').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_at_least_forty_commands_with_different_names() {
        let names: std::collections::BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert!(names.len() >= 40 && names.len() == CASES.len());
        assert!(CASES.iter().all(|case| case.bar >= RATIO_MIN && case.keys > 0));
    }

    #[test]
    fn every_place_becomes_a_key_of_its_own() {
        let mut batch = RequestShape::command(&words("MGET {key} {key}"), 10_000).batch(2);
        batch.aim(1, 5);
        let text = String::from_utf8_lossy(batch.first(2)).into_owned();
        assert!(text.ends_with("$16\r\nkey:000000000005\r\n$16\r\nkey:000000007924\r\n"), "{text:?}");
    }
}
