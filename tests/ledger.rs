//! The durable ledger: with proxies that are killed, `acknowledged - 1 s <= ledger <= sent`; after a clean end everything
//! that was acknowledged; after a restart what was there before.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{DEADLINE, Server, Swell, get, wait_for};

/// Proxies besides the server's own.
const PROXIES: u32 = 3;

/// One of them is killed this often.
const KILL_EVERY: Duration = Duration::from_secs(4);

/// What may be missing of a proxy that was killed: what it acknowledged in this time before.
const LOSS_MAX: Duration = Duration::from_secs(1);

/// Requests in one write.
const PIPELINE: usize = 20;

/// A request of one ECPU, and its reply.
const REQUEST: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
const REPLY: &[u8] = b"+OK\r\n";

/// What a client has seen.
#[derive(Default)]
struct Seen {
    sent: u64,
    /// When how many were acknowledged.
    acknowledged: Vec<(Instant, u64)>,
}

/// What the ledger may say of calls, at least and at most.
#[derive(Clone, Copy, Default, Debug)]
struct Bounds {
    least: u64,
    most: u64,
}

impl Bounds {
    fn add(&mut self, more: Bounds) {
        self.least += more.least;
        self.most += more.most;
    }
}

impl Seen {
    /// `until`: what was acknowledged later may be missing.
    fn bounds(&self, until: Instant) -> Bounds {
        let least = self.acknowledged.iter().filter(|(at, _)| *at <= until).map(|(_, count)| count).sum();
        Bounds { least, most: self.sent }
    }
}

#[test]
fn killed_proxies_lose_a_second_at_most_and_nothing_counts_twice() {
    let mut server = Swell::start(&["--nodes-max", "1"]);
    let mut bounds = Bounds::default();
    std::thread::scope(|scope| {
        let lanes: Vec<ScopedJoinHandle<Bounds>> = (1..=PROXIES)
            .map(|number| {
                scope.spawn({
                    let server = &server;
                    move || lane(server, number)
                })
            })
            .collect();
        bounds.add(client_until(&server, KILL_EVERY * (PROXIES + 1)).bounds(Instant::now()));
        lanes.into_iter().for_each(|lane| bounds.add(lane.join().expect("its proxy can be killed and started")));
    });
    assert!(bounds.least > 1000, "the load is real: {bounds:?}");
    let asked = ledger_of(&serde_json::from_str(&get(&server.http, "/usage?by=command").body).expect("JSON"));
    assert!((bounds.least..=bounds.most).contains(&asked.0), "{bounds:?}, in the ledger {}", asked.0);
    assert_eq!(asked.1, asked.0 * 1000, "a request of one ECPU each");
    // What the file says when nobody runs is the same.
    server.signal("TERM");
    assert!(server.exited(DEADLINE).success());
    assert_eq!(bill(&server, &["--by", "command"]), asked);
    assert_eq!(bill(&server, &["--from", "-10min", "--to", "now", "--by", "minute"]), asked);
    assert_eq!(bill(&server, &["--from", "2001-01-01", "--to", "2001-01-02T00:00:00Z"]), (0, 0));
}

/// One proxy after the other: the first is killed while it is busy, the second ends as it should.
fn lane(server: &Server, number: u32) -> Bounds {
    let mut bounds = Bounds::default();
    let proxy = Swell::join(server, &["--workers", "1"]);
    let (stop, killed) = (AtomicBool::new(false), Instant::now() + KILL_EVERY * number);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| client(&proxy, &stop));
        wait_for("the time to kill it", KILL_EVERY * (number + 1), || (Instant::now() >= killed).then_some(()));
        let at = Instant::now();
        proxy.signal("KILL");
        let seen = client.join().expect("the client ends with its proxy");
        assert!(seen.sent > 0);
        bounds.add(seen.bounds(at - LOSS_MAX));
    });
    let mut proxy = Swell::join(server, &["--workers", "1"]);
    let seen = client_until(&proxy, KILL_EVERY / 2);
    proxy.signal("TERM");
    assert!(proxy.exited(DEADLINE).success());
    bounds.add(seen.bounds(Instant::now()));
    bounds
}

fn client_until(server: &Server, time: Duration) -> Seen {
    let (stop, end) = (AtomicBool::new(false), Instant::now() + time);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| client(server, &stop));
        wait_for("the end of the load", time * 2, || (Instant::now() >= end).then_some(()));
        stop.store(true, Ordering::Relaxed);
        client.join().expect("the client ends")
    })
}

/// Sends until it is to stop, or the proxy is gone.
fn client(server: &Server, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut stream = TcpStream::connect(&server.resp).expect("the proxy listens");
    let (requests, mut replies) = (REQUEST.repeat(PIPELINE), REPLY.repeat(PIPELINE));
    while !stop.load(Ordering::Relaxed) {
        seen.sent += PIPELINE as u64;
        if stream.write_all(&requests).and_then(|()| stream.read_exact(&mut replies)).is_err() {
            break;
        }
        assert_eq!(replies, REPLY.repeat(PIPELINE));
        seen.acknowledged.push((Instant::now(), PIPELINE as u64));
    }
    seen
}

/// Calls of SET in a report, and their thousandths of an ECPU; all calls where its lines are times.
fn ledger_of(report: &Value) -> (u64, u64) {
    let lines = report["lines"].as_array().expect("a report has lines");
    let of_set = lines.iter().filter(|line| line["name"].as_str().is_none_or(|name| name == "set"));
    of_set.fold((0, 0), |sum, line| {
        let number = |name: &str| line[name].as_u64().expect("a number");
        (sum.0 + number("calls"), sum.1 + number("ecpu_milli"))
    })
}

/// What `swell bill` reads in the server's data directory.
fn bill(server: &Server, args: &[&str]) -> (u64, u64) {
    let mut command = Swell::command();
    let out = command.arg("bill").args(args).arg("--json").arg("--data-dir").arg(server.data_dir()).output();
    let out = out.expect("the binary runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    ledger_of(&serde_json::from_slice(&out.stdout).expect("JSON"))
}
