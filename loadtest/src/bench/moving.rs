//! Half of the slots move to another node while clients hold a constant rate: what do these notice?

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use super::Bench;
use super::cluster::{self, Moved};
use super::memory;
use super::openloop::{Latencies, OpenPlan, hold};
use super::peer::Server;
use super::proc::Machine;
use super::replies::Counts;
use super::report::{Bar, Report};
use super::stats::{median, rank_us};
use super::sys;
use crate::workload::KeySource;

/// Keys that move per second, at least.
pub const KEYS_PER_SECOND_MIN: f64 = 200_000.0;
/// The longest that a request may take while slots move.
pub const WORST_MS_MAX: f64 = 50.0;
/// Source Sealed to target Serving without the map's durable write: 99 of 100, and all.
pub const STANDSTILL_P99_MS_MAX: f64 = 5.0;
pub const STANDSTILL_MS_MAX: f64 = 20.0;

/// Nodes that the test needs.
const NODES_MIN: usize = 2;
/// The rate is held for so long after a move, so that the last requests of the move are answered under load.
const TAIL: Duration = Duration::from_millis(200);

/// One move, with the window before it.
#[derive(Debug, Clone, Serialize)]
pub struct MoveRound {
    pub round: usize,
    pub load_average: f64,
    pub moved: Moved,
    pub keys_per_second: f64,
    pub moving: Latencies,
    /// A window of the same length right before the move.
    pub quiet: Latencies,
    pub standstill: Spread,
    /// The map's durable write, of each group.
    pub commit: Spread,
    pub replies: Counts,
}

/// Where times lie, in microseconds; each is one that occurred.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Spread {
    pub count: usize,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// All moves of one server.
#[derive(Debug, Clone, Serialize)]
pub struct MoveRow {
    pub server: String,
    pub keys: u64,
    pub rate: u32,
    pub rounds: Vec<MoveRound>,
    /// Of all groups of all rounds.
    pub standstill: Spread,
    pub commit: Spread,
}

/// Moves half of the slots as often as there are rounds, to the node with the fewest each time.
pub fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let args = bench.args;
    let spec = bench.cluster_spec()?;
    let server = bench.start(&spec, report)?;
    cluster::wait_whole(&server, NODES_MIN, Duration::from_secs_f64(args.ready_seconds))?;
    memory::load(bench, &server, args.keys, args.value_bytes)?;
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let done = move_once(bench, &server, round)
            .with_context(|| format!("{} failed; it printed: {}", server.name, server.last_lines()))?;
        bench.progress(&format!(
            "move round {}: {:.0} keys/s, worst request {:.1} ms ({:.1} before), stood still {:.1} ms at p99, load {:.1}",
            round + 1,
            done.keys_per_second,
            done.moving.worst_us / 1e3,
            done.quiet.worst_us / 1e3,
            done.standstill.p99_us as f64 / 1e3,
            done.load_average
        ));
        report.fail_on(&format!("{} move round {}", server.name, round + 1), &done.replies);
        rounds.push(done);
    }
    let held = server.client()?.keys()?;
    if held != args.keys {
        report.failures.push(format!("{} holds {held} keys after the moves, not {}", server.name, args.keys));
    }
    let row = row(&server.name, args.keys, args.rate, rounds);
    report.bars.extend(bars(&row));
    report.moves.push(row);
    Ok(())
}

fn move_once(bench: &Bench<'_>, server: &Server, round: usize) -> Result<MoveRound> {
    let to = cluster::emptiest(&cluster::nodes(server)?)?;
    let slots = cluster::half_for(&cluster::owners(server)?, to);
    let load_average = Machine::read().load_before;
    let quiet = Duration::from_secs_f64(bench.args.quiet_seconds);
    let going_on = AtomicBool::new(true);
    let (outcome, mover) = thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let moved = move_after(quiet, || cluster::move_slots(server, &slots, to));
            going_on.store(false, Ordering::Relaxed);
            moved
        });
        let outcome = hold(open_plan(bench, server, round), || going_on.load(Ordering::Relaxed));
        (outcome, mover.join())
    });
    let (began, ended, moved) = mover.map_err(|_| anyhow!("the mover failed"))??;
    let outcome = outcome?;
    let standstill = moved.groups_us.iter().map(|[sealed, commit]| sealed.saturating_sub(*commit)).collect();
    Ok(MoveRound {
        round,
        load_average,
        keys_per_second: moved.keys as f64 / moved.seconds,
        moving: outcome.window(began, ended),
        quiet: outcome.window(began - (ended - began).min(quiet), began),
        standstill: Spread::of(standstill),
        commit: Spread::of(moved.groups_us.iter().map(|[_, commit]| *commit).collect()),
        replies: outcome.counts,
        moved,
    })
}

/// The open loop that a cluster is put under.
pub fn open_plan(bench: &Bench<'_>, server: &Server, round: usize) -> OpenPlan {
    let seed = bench.args.seed.wrapping_add(round as u64);
    OpenPlan {
        address: server.address,
        protocol: server.protocol,
        value_bytes: bench.args.value_bytes,
        connections: bench.args.connections,
        rate: bench.args.rate,
        keys: KeySource::uniform(bench.args.keys, seed),
        seed,
    }
}

/// Runs `work` after a pause and keeps quiet a little after it; says when it began and ended.
fn move_after<T>(pause: Duration, work: impl FnOnce() -> Result<T>) -> Result<(Instant, Instant, T)> {
    sys::pause(pause)?;
    let began = Instant::now();
    let done = work()?;
    let ended = Instant::now();
    sys::pause(TAIL)?;
    Ok((began, ended, done))
}

fn row(server: &str, keys: u64, rate: u32, rounds: Vec<MoveRound>) -> MoveRow {
    let groups = || rounds.iter().flat_map(|round| &round.moved.groups_us);
    let standstill = Spread::of(groups().map(|[sealed, commit]| sealed.saturating_sub(*commit)).collect());
    let commit = Spread::of(groups().map(|[_, commit]| *commit).collect());
    MoveRow { server: server.to_owned(), keys, rate, standstill, commit, rounds }
}

fn bars(row: &MoveRow) -> Vec<Bar> {
    let rate = median(row.rounds.iter().map(|round| round.keys_per_second));
    let errors: u64 = row.rounds.iter().map(|round| round.replies.bad()).sum();
    let worst = row.rounds.iter().map(|round| round.moving.worst_us).fold(0.0, f64::max);
    let what = |what: &str| format!("{} move: {what}", row.server);
    vec![
        Bar::at_least(&what("keys/s, median"), rate, KEYS_PER_SECOND_MIN),
        Bar::at_most(&what("requests not answered rightly"), errors as f64, 0.0),
        Bar::at_most(&what("worst request of all rounds, ms"), worst / 1e3, WORST_MS_MAX),
        Bar::at_most(&what("stood still p99, ms"), row.standstill.p99_us as f64 / 1e3, STANDSTILL_P99_MS_MAX),
        Bar::at_most(&what("stood still at most, ms"), row.standstill.max_us as f64 / 1e3, STANDSTILL_MS_MAX),
    ]
}

impl Spread {
    pub fn of(mut times_us: Vec<u64>) -> Spread {
        times_us.sort_unstable();
        Spread {
            count: times_us.len(),
            p50_us: rank_us(&times_us, 50),
            p99_us: rank_us(&times_us, 99),
            max_us: rank_us(&times_us, 100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(groups_us: &[[u64; 2]], keys_per_second: f64, worst_us: f64, errors: u64) -> MoveRound {
        let moved = Moved {
            slots: 2,
            slots_total: 2,
            keys: 10,
            bytes: 100,
            seconds: 1.0,
            retries: 0,
            groups_us: groups_us.to_vec(),
            note: String::new(),
        };
        MoveRound {
            round: 0,
            load_average: 0.0,
            moved,
            keys_per_second,
            moving: Latencies { worst_us, ..Latencies::default() },
            quiet: Latencies::default(),
            standstill: Spread::default(),
            commit: Spread::default(),
            replies: Counts { errors, ..Counts::default() },
        }
    }

    #[test]
    fn the_commit_is_no_part_of_the_standstill() {
        let rounds = vec![
            round(&[[9_000, 6_000], [2_000, 1_500]], 250_000.0, 9_000.0, 0),
            round(&[[30_000, 5_000], [100, 200]], 150_000.0, 60_000.0, 1),
            round(&[], 300_000.0, 1_000.0, 0),
        ];
        let row = row("swell", 20, 1_000, rounds);
        assert_eq!(row.standstill, Spread { count: 4, p50_us: 500, p99_us: 25_000, max_us: 25_000 });
        assert_eq!((row.commit.p50_us, row.commit.max_us), (1_500, 6_000));
        let bars = bars(&row);
        let met: Vec<bool> = bars.iter().map(|bar| bar.met).collect();
        assert_eq!(met, [true, false, false, false, false], "{bars:?}");
        assert_eq!(bars.iter().map(|bar| bar.value).collect::<Vec<_>>(), [250_000.0, 1.0, 60.0, 25.0, 25.0]);
    }

    #[test]
    fn windows_begin_after_the_pause_and_end_with_the_work() {
        let before = Instant::now();
        let pause = Duration::from_millis(20);
        let (began, ended, done) = move_after(pause, || Ok(5)).expect("done");
        assert!(began >= before + pause && began <= ended && ended + TAIL <= Instant::now());
        assert_eq!(done, 5);
        assert!(move_after(Duration::ZERO, || Err::<(), _>(anyhow!("no"))).is_err());
    }
}
