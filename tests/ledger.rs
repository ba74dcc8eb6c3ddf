//! The durable ledger: with proxies that are killed, `acknowledged - 1 s <= ledger <= sent`; after a clean end everything
//! that was acknowledged; after a restart what was there before. And what it says of users, clients, databases and key
//! prefixes adds up to the total, to the thousandth, wherever the data is.
//!
//! `SWELL_LEDGER_SECONDS=60` kills proxies for a whole minute; `--nocapture` shows the figures.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Conn, DEADLINE, Reply, Server, Swell, get, wait_for};

/// Proxies besides the server's own.
const PROXIES: u32 = 3;

/// One of them is killed this often.
const KILL_EVERY: Duration = Duration::from_secs(5);

/// For how long, in seconds, where nobody says: each is killed once.
const SECONDS: u64 = 5 * PROXIES as u64;

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
    let seconds = std::env::var("SWELL_LEDGER_SECONDS").map_or(SECONDS, |text| text.parse().expect("a number"));
    let kills = (seconds / KILL_EVERY.as_secs()) as u32;
    let mut server = Swell::start(&["--nodes-max", "1"]);
    let (mut bounds, began) = (Bounds::default(), Instant::now());
    std::thread::scope(|scope| {
        let lanes: Vec<ScopedJoinHandle<Bounds>> = (1..=PROXIES)
            .map(|number| {
                scope.spawn({
                    let server = &server;
                    move || lane(server, began, (number..=kills).step_by(PROXIES as usize))
                })
            })
            .collect();
        bounds.add(client_until(&server, KILL_EVERY * kills).bounds(Instant::now()));
        lanes.into_iter().for_each(|lane| bounds.add(lane.join().expect("its proxy can be killed and started")));
    });
    assert!(bounds.least > 1000, "the load is real: {bounds:?}");
    let asked = ledger_of(&report_of(&server, "command"));
    eprintln!(
        "{kills} kills: acknowledged less a second each {}, ledger {}, sent {}",
        bounds.least, asked.0, bounds.most
    );
    assert!((bounds.least..=bounds.most).contains(&asked.0), "{bounds:?}, in the ledger {}", asked.0);
    assert_eq!(asked.1, asked.0 * 1000, "a request of one ECPU each");
    for by in ["user", "client", "db"] {
        let report = report_of(&server, by);
        assert_eq!(lines(&report).values().map(|line| line.0).sum::<u64>(), asked.0, "by {by}: {report}");
    }
    // What the file says when nobody runs is the same.
    server.signal("TERM");
    assert!(server.exited(DEADLINE).success());
    assert_eq!(bill(&server, &["--by", "command"]), asked);
    assert_eq!(bill(&server, &["--from", "-10min", "--to", "now", "--by", "minute"]), asked);
    assert_eq!(bill(&server, &["--from", "2001-01-01", "--to", "2001-01-02T00:00:00Z"]), (0, 0));
}

#[test]
fn names_add_up_to_the_total_wherever_the_data_is() {
    for nodes in ["1", "2"] {
        let server = Swell::start(&["--nodes-min", nodes, "--nodes-max", nodes, "--bill-prefixes", ":"]);
        let mut proxy = Swell::join(&server, &["--bill-prefixes", ":"]);
        // Named, the same load costs the same through either; `one` and `two` have as many bytes.
        load_named(&server, "one");
        load_named(&proxy, "two");
        proxy.signal("TERM");
        assert!(proxy.exited(DEADLINE).success());
        let by = |what: &str| {
            let report = report_of(&server, what);
            let lines = lines(&report);
            let sum = lines.values().fold((0, 0), |sum, line| (sum.0 + line.0, sum.1 + line.1));
            assert_eq!(Some(sum.1), report["ecpu_milli_total"].as_u64(), "{nodes} nodes: {report}");
            assert!(!lines.contains_key("(not counted)"), "{report}");
            (lines, sum)
        };
        let (clients, sum) = by("client");
        assert_eq!(clients["one"], clients["two"], "{nodes} nodes: {clients:?}");
        assert!(clients["one"].0 > 10 && clients["one"].1 > 1000 * clients["one"].0, "{clients:?}");
        // SETNAME itself, and what memcached clients send.
        assert_eq!(clients["127.0.0.1"], (6, 6000), "{clients:?}");
        assert_eq!(clients.len(), 3);
        let (users, by_user) = by("user");
        assert_eq!((users.len(), by_user), (1, sum), "{users:?}");
        let (dbs, by_db) = by("db");
        assert_eq!(by_db, sum);
        assert_eq!(dbs.keys().collect::<Vec<_>>(), ["0", "3", "4"]);
        // In 3: two SETs, MULTI, and inside EXEC a SET and SELECT; in 4: a SET inside EXEC, EXEC itself, GET.
        assert_eq!((dbs["3"].0, dbs["4"].0), (2 * 5, 2 * 3), "{dbs:?}");
        let (prefixes, by_prefix) = by("prefix");
        assert_eq!(by_prefix, sum);
        let calls = |name: &str| prefixes.get(name).map_or(0, |line| line.0);
        let found = ["user:", "order:", "{x}:", "(no prefix)"].map(calls);
        assert_eq!(found, [2 * 3, 2 * 3, 2 * 2, 2 * 3], "{prefixes:?}");
    }
}

/// The same load, under this name.
fn load_named(server: &Server, name: &str) {
    let mut conn = server.conn();
    let large = "v".repeat(3000);
    for request in [
        &["CLIENT", "SETNAME", name][..],
        &["PING"],
        &["SET", "user:1", &large],
        &["MGET", "user:1", "order:2", "user:3"],
        &["DEL", "user:1", "order:1"],
        &["GET", "plain"],
        &["SELECT", "3"],
        &["SET", "order:1", &large],
        &["SET", "order:2", "v"],
        &["MULTI"],
        &["SET", "{x}:1", &large],
        &["SELECT", "4"],
        &["SET", "{x}:2", "v"],
        &["EXEC"],
        &["GET", "order:1"],
    ] {
        let reply = conn.cmd(request);
        assert!(!matches!(reply, Reply::Error(_)), "{request:?}: {reply:?}");
    }
    let mut conn = Conn::open(&server.memcached);
    conn.send(b"set plain 0 0 1\r\nv\r\nget plain\r\n");
    while conn.line() != Ok(b"END".to_vec()) {}
}

/// One proxy after the other: each is killed while it is busy, the last one ends as it should. `kills`: how many times
/// [`KILL_EVERY`] after the beginning.
fn lane(server: &Server, began: Instant, kills: impl Iterator<Item = u32>) -> Bounds {
    let mut bounds = Bounds::default();
    for kill in kills {
        let proxy = Swell::join(server, &["--workers", "1"]);
        let (stop, killed) = (AtomicBool::new(false), began + KILL_EVERY * kill);
        std::thread::scope(|scope| {
            let client = scope.spawn(|| client(&proxy, &stop));
            wait_for("the time to kill it", KILL_EVERY * (kill + 1), || (Instant::now() >= killed).then_some(()));
            let at = Instant::now();
            proxy.signal("KILL");
            let seen = client.join().expect("the client ends with its proxy");
            assert!(seen.sent > 0);
            bounds.add(seen.bounds(at - LOSS_MAX));
        });
    }
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

/// What the running server's ledger says.
fn report_of(server: &Server, by: &str) -> Value {
    serde_json::from_str(&get(&server.http, &format!("/usage?by={by}")).body).expect("JSON")
}

/// Calls and thousandths of an ECPU by name.
fn lines(report: &Value) -> BTreeMap<String, (u64, u64)> {
    let number = |line: &Value, name: &str| line[name].as_u64().expect("a number");
    let line = |line: &Value| {
        let name = line["name"].as_str().expect("a name").to_owned();
        (name, (number(line, "calls"), number(line, "ecpu_milli")))
    };
    report["lines"].as_array().expect("a report has lines").iter().map(line).collect()
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
