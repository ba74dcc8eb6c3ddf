//! The load against servers that are slow, that lie, and that go away.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::super::mix::{Aim, Draw};
use super::*;

/// What a fake server does with its `nth` request: the reply, and whether it then closes.
type Reply = dyn Fn(u64, &str, Option<Vec<u8>>) -> Option<Vec<u8>> + Send + Sync;

/// Speaks memcached's protocol with whatever `reply` says for (number, request line, value); none: closes.
fn fake(reply: Arc<Reply>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let asked = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (reply, asked) = (Arc::clone(&reply), Arc::clone(&asked));
            thread::spawn(move || answer(stream, &*reply, &asked));
        }
    });
    address
}

fn answer(mut stream: TcpStream, reply: &Reply, asked: &AtomicU64) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
        let value = line.starts_with("set").then(|| {
            let size: usize = line.trim().rsplit(' ').next().and_then(|size| size.parse().ok()).expect("a size");
            let mut value = vec![0; size + 2];
            reader.read_exact(&mut value).expect("a value");
            value.truncate(size);
            value
        });
        let nth = asked.fetch_add(1, Ordering::Relaxed);
        let Some(bytes) = reply(nth, line.trim(), value) else { return };
        if stream.write_all(&bytes).is_err() {
            return;
        }
        line.clear();
    }
}

/// A right server over one map for all.
fn right() -> impl Fn(&str, Option<Vec<u8>>) -> Vec<u8> + Send + Sync {
    let map = std::sync::Mutex::new(std::collections::HashMap::<String, Vec<u8>>::new());
    move |line, value| {
        let key = line.split(' ').nth(1).expect("a key").to_owned();
        let mut map = map.lock().expect("nobody fails with it");
        match (value, line.starts_with("get")) {
            (Some(value), _) => {
                map.insert(key, value);
                b"STORED\r\n".to_vec()
            }
            (None, true) => match map.get(&key) {
                Some(value) => {
                    let head = format!("VALUE {key} 0 {}\r\n", value.len());
                    [head.as_bytes(), value, b"\r\nEND\r\n"].concat()
                }
                None => b"END\r\n".to_vec(),
            },
            (None, false) => match map.remove(&key) {
                Some(_) => b"DELETED\r\n".to_vec(),
                None => b"NOT_FOUND\r\n".to_vec(),
            },
        }
    }
}

fn plan(address: SocketAddr, connections: usize) -> Plan {
    let (sizes, lives) = (Choice::only(100), Choice::only(0));
    Plan { address, protocol: Protocol::Memcached, connections, sizes, lives, seed: 3 }
}

fn aim(keys: u64) -> Aim {
    Aim { keys, fill_share: 1.0, read_share: 0.6, draw: Draw::Uniform }
}

/// Runs until so many requests were answered or had no answer.
fn load(address: SocketAddr, connections: usize, pace: Pace, keys: u64, requests: u64) -> Record {
    let control = Arc::new(Control::new(pace, aim(keys)));
    let (steered, plan) = (Arc::clone(&control), plan(address, connections));
    let loading = thread::spawn(move || run(plan, steered, Instant::now()));
    let count = || {
        let tally = control.done().tally;
        tally.requests + tally.unknown_outcomes
    };
    while count() < requests && !loading.is_finished() {
        thread::yield_now();
    }
    control.stop();
    loading.join().expect("no panic").expect("a run")
}

#[test]
fn a_right_server_has_no_errors_in_open_and_closed_loop() {
    for pace in [Pace::Open(2_000.0), Pace::Closed(8)] {
        let server = right();
        let record = load(fake(Arc::new(move |_, line, value| Some(server(line, value)))), 4, pace, 50, 800);
        let tally = &record.tally;
        assert!(tally.hits > 200 && tally.writes > 200, "{tally:?}");
        assert_eq!((tally.client_errors, tally.wrong_reads, tally.unknown_outcomes), (0, 0, 0), "{tally:?}");
        assert_eq!(record.latency([0]).requests, tally.requests);
    }
}

#[test]
fn those_behind_a_pause_count_from_when_they_were_due() {
    let (pause, server) = (Duration::from_millis(100), right());
    let reply = move |nth, line: &str, value| {
        if nth == 100 {
            thread::sleep(pause);
        }
        Some(server(line, value))
    };
    let record = load(fake(Arc::new(reply)), 1, Pace::Open(1_000.0), 20, 300);
    let latency = record.latency([0]);
    assert!(latency.worst_ms >= 100.0, "{latency:?}");
    // About a hundred requests were due while the server stood still; half of them waited for more than half of it.
    let slow = record.stages_over(0, Duration::from_millis(50));
    assert!(slow >= 45, "{slow} of {latency:?}");
}

#[test]
fn a_server_that_lies_is_caught() {
    let server = right();
    let reply = move |nth, line: &str, value: Option<Vec<u8>>| {
        let said = server(line, value);
        let is_hit = line.starts_with("get") && said.starts_with(b"VALUE");
        Some(match nth % 10 {
            0 if is_hit => b"END\r\n".to_vec(),
            1 if is_hit => {
                let mut torn = said;
                let middle = torn.len() / 2;
                torn[middle] ^= 1;
                torn
            }
            // Acknowledged, and not done.
            2 if line.starts_with("set") => {
                server(&line.replace("set", "delete"), None);
                said
            }
            _ => said,
        })
    };
    let record = load(fake(Arc::new(reply)), 2, Pace::Closed(4), 20, 2_000);
    let tally = &record.tally;
    assert!(tally.wrong_by_kind["lost"] > 50 && tally.wrong_by_kind["torn"] > 50, "{tally:?}");
    assert_eq!(tally.wrong_by_kind.values().sum::<u64>(), tally.wrong_reads);
    assert!(!tally.examples.is_empty() && tally.client_errors == 0, "{tally:?}");
}

#[test]
fn a_server_that_keeps_the_old_value_is_caught() {
    let server = right();
    let reply = move |nth: u64, line: &str, value: Option<Vec<u8>>| match value {
        Some(_) if nth > 100 && nth.is_multiple_of(5) => Some(b"STORED\r\n".to_vec()),
        value => Some(server(line, value)),
    };
    let record = load(fake(Arc::new(reply)), 2, Pace::Closed(4), 20, 2_000);
    assert!(record.tally.wrong_by_kind["stale"] > 20, "{:?}", record.tally);
    assert_eq!(record.tally.wrong_by_kind.len(), 1, "{:?}", record.tally);
}

#[test]
fn a_broken_connection_leaves_unknown_outcomes_and_is_opened_again() {
    let server = right();
    let reply = move |nth: u64, line: &str, value| {
        // What it asked for is carried out, and nobody hears of it.
        let said = server(line, value);
        (nth % 400 != 399).then_some(said)
    };
    let record = load(fake(Arc::new(reply)), 4, Pace::Open(4_000.0), 50, 2_000);
    let tally = &record.tally;
    assert!(tally.unknown_outcomes >= 4 && tally.reconnects >= 4, "{tally:?}");
    assert_eq!((tally.client_errors, tally.wrong_reads), (0, 0), "{tally:?}");
    assert!(tally.hits > 500, "{tally:?}");
}

#[test]
fn error_replies_are_counted_with_their_text() {
    let server = right();
    let reply = move |nth: u64, line: &str, value| match nth % 10 {
        9 => Some(b"SERVER_ERROR out of luck\r\n".to_vec()),
        _ => Some(server(line, value)),
    };
    let record = load(fake(Arc::new(reply)), 2, Pace::Closed(4), 20, 1_000);
    let tally = &record.tally;
    assert!(tally.client_errors >= 90, "{tally:?}");
    assert_eq!(tally.errors.get("SERVER_ERROR out of luck"), Some(&tally.client_errors), "{tally:?}");
    assert_eq!((tally.wrong_reads, tally.unknown_outcomes), (0, 0), "{tally:?}");
}

#[test]
fn only_what_has_gone_out_can_be_stuck() {
    let long_ago = Instant::now();
    let now = long_ago + PATIENCE + Duration::from_secs(1);
    let op = Op { id: 1, kind: Kind::Read };
    let asked = Asked { op, version: 0, due: long_ago, sent_ms: 0, stage: 0, start: 10, end: 20 };
    let mut line = Line {
        stream: None,
        asked: VecDeque::from([asked]),
        unsent: Outbox::default(),
        sent: 10,
        queued: 20,
        received: Vec::new(),
        watches_room: false,
        retry_at: now,
        pause: RECONNECT_FIRST,
        alive_at: long_ago,
    };
    // It waits for its turn: another connection would not take it sooner.
    assert!(!line.is_stuck(now));
    line.sent = 11;
    assert!(line.is_stuck(now));
    line.alive_at = now - Duration::from_secs(1);
    assert!(!line.is_stuck(now), "earlier ones are being answered");
}
