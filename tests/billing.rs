//! The bill is a function of the requests and the data: the same load costs the same over RESP2, RESP3, inline,
//! pipelined, with any number of workers, a second time, beside a busy loop, and wherever the data is, to the thousandth.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::harness::{Conn, DEADLINE, Server, Swell, Topology, encode, everywhere, get, wait_for};

/// Requests of the load.
const REQUESTS: usize = 20_000;

/// Requests in one write when pipelined.
const PIPELINE: usize = 100;

/// Keys that the load goes to.
const KEYS: usize = 500;

type Request = Vec<Vec<u8>>;

/// How the load is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Resp2,
    Resp3,
    Inline,
    Pipelined,
}

/// What the bill says: thousandths in total, and calls, thousandths, bytes and work by command.
#[derive(PartialEq, Eq, Debug)]
struct Billed {
    total: u64,
    by_command: BTreeMap<String, BTreeMap<String, u64>>,
}

everywhere! {
    an_ecpu_is_the_least_and_kilobytes_count_both_ways
    memcached_items_count_each
}

#[test]
fn the_same_load_costs_the_same_in_every_way() {
    let load = load();
    let first = bill(&load, Way::Resp2, &[]);
    assert!(first.total >= 1000 * REQUESTS as u64, "an ECPU is the least for each: {}", first.total);
    assert!(first.by_command.len() >= 15, "{:?}", first.by_command.keys());
    for way in [Way::Resp2, Way::Resp3, Way::Inline, Way::Pipelined] {
        for workers in ["1", "2"] {
            assert_eq!(bill(&load, way, &["--workers", workers]), first, "{way:?}, {workers} workers");
        }
    }
}

/// Over links too, on several nodes, and while slots move.
#[test]
fn the_same_load_costs_the_same_wherever_the_data_is() {
    let load = load();
    let first = bill(&load, Way::Pipelined, &[]);
    for place in Topology::REMOTE {
        let swell = place.start(&[]);
        assert_eq!(run(&swell, &load, Way::Pipelined, 1), first, "{place:?}");
        assert_eq!(run(&swell, &load, Way::Resp3, 2).total, 2 * first.total, "{place:?}, a second time");
    }
}

#[test]
fn a_busy_machine_does_not_change_the_bill() {
    let load = load();
    let quiet = bill(&load, Way::Pipelined, &[]);
    let stop = AtomicBool::new(false);
    let busy = std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let mut number = 1_u64;
                while !stop.load(Ordering::Relaxed) {
                    number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                }
            });
        }
        let busy = std::panic::catch_unwind(|| bill(&load, Way::Resp2, &[]));
        stop.store(true, Ordering::Relaxed);
        busy
    });
    assert_eq!(busy.expect("the load runs"), quiet);
}

#[test]
fn a_load_that_comes_twice_costs_twice() {
    let load = load();
    let swell = Swell::start(&[]);
    let once = run(&swell, &load, Way::Pipelined, 1);
    let twice = run(&swell, &load, Way::Resp3, 2);
    assert_eq!(twice.total, 2 * once.total);
}

fn an_ecpu_is_the_least_and_kilobytes_count_both_ways(place: Topology) {
    let swell = place.start(&[]);
    let mut conn = swell.conn();
    let value = "v".repeat(3 * 1024 + 512);
    conn.cmd(&["SET", "k", &value]);
    conn.cmd(&["GET", "k"]);
    conn.cmd(&["STRLEN", "k"]);
    let billed = billed_after(&swell, 3);
    let milli = |name: &str| billed.by_command[name]["ecpu_milli"];
    assert_eq!((milli("set"), milli("get"), milli("strlen")), (3500, 3500, 1000));
    assert_eq!(billed.by_command["set"]["bytes_in"], 3584);
    assert_eq!(billed.by_command["get"]["bytes_out"], 3584);
}

fn memcached_items_count_each(place: Topology) {
    let swell = place.start(&[]);
    let mut conn = Conn::open(&swell.memcached);
    for key in ["a", "b", "c"] {
        conn.send(format!("set {key} 0 0 1\r\nv\r\n").as_bytes());
        assert_eq!(conn.line(), Ok(b"STORED".to_vec()));
    }
    conn.send(b"get a b c\r\n");
    while conn.line() != Ok(b"END".to_vec()) {}
    let billed = billed_after(&swell, 4);
    assert_eq!(billed.by_command["memcached:set"]["ecpu_milli"], 3000);
    assert_eq!(billed.by_command["memcached:get"]["ecpu_milli"], 3000);
}

#[test]
fn nothing_is_billed_when_metering_is_off() {
    let swell = Swell::start(&["--metering", "off"]);
    let mut conn = swell.conn();
    for _ in 0..100 {
        conn.cmd(&["SET", "k", "v"]);
    }
    let page = get(&swell.http, "/usage");
    let usage: Value = serde_json::from_str(&page.body).unwrap_or(Value::Null);
    assert_eq!(usage["ecpu_milli_total"].as_u64().unwrap_or(0), 0, "{}", page.body);
}

/// Requests whose replies and cost depend on nothing but themselves and the data before them. Every word can be sent
/// inline.
fn load() -> Vec<Request> {
    let mut requests = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let key = |salt: usize| format!("key:{}", (number * 7919 + salt * 104_729) % KEYS);
        let (one, other, counter) = (key(1), key(2), format!("n:{}", number % 50));
        // What is atomic over several slots is refused where there are several nodes.
        let twin = format!("{{{one}}}:twin");
        let value = "v".repeat(1 + number * 31 % 3000);
        let words: Vec<&str> = match number % 20 {
            0..=3 => vec!["SET", &one, &value],
            4 => vec!["SET", &one, &value, "EX", "1000"],
            5..=8 => vec!["GET", &one],
            9 => vec!["MSET", &one, &value, &twin, "x"],
            10 => vec!["MGET", &one, &other, &twin, "nosuch"],
            11 => vec!["INCR", &counter],
            12 => vec!["APPEND", &one, "abc"],
            13 => vec!["GETRANGE", &one, "0", "1500"],
            14 => vec!["DEL", &other, &twin],
            15 => vec!["EXISTS", &one, &other],
            16 => vec!["SETRANGE", &one, "2000", "abc"],
            17 => vec!["RENAME", &one, &twin],
            18 => vec!["INCRBY", &one, "5"],
            _ => {
                [vec!["TYPE", &one], vec!["STRLEN", &one], vec!["PING"], vec!["GETDEL", &one]][number / 20 % 4].clone()
            }
        };
        requests.push(words.into_iter().map(|word| word.as_bytes().to_vec()).collect());
    }
    requests
}

fn bill(load: &[Request], way: Way, args: &[&str]) -> Billed {
    run(&Swell::start(args), load, way, 1)
}

/// Sends the load from an empty database on, over two connections in turn; `times` is how often it has been sent then.
fn run(swell: &Server, load: &[Request], way: Way, times: u64) -> Billed {
    let mut conns = [swell.conn(), swell.conn()];
    conns[0].cmd(&["FLUSHALL"]);
    if way == Way::Resp3 {
        conns.iter_mut().for_each(|conn| drop(conn.cmd(&["HELLO", "3"])));
    }
    let piece = if way == Way::Pipelined { PIPELINE } else { 1 };
    for (index, requests) in load.chunks(piece).enumerate() {
        let conn = &mut conns[index / PIPELINE % 2];
        conn.send(&requests.iter().flat_map(|request| bytes(request, way)).collect::<Vec<u8>>());
        requests.iter().for_each(|_| drop(conn.frame().expect("a reply")));
    }
    billed_after(swell, load.len() as u64 * times)
}

fn bytes(request: &Request, way: Way) -> Vec<u8> {
    if way == Way::Inline { [request.join(&b' '), b"\r\n".to_vec()].concat() } else { encode(request) }
}

/// The bill once that many calls are in it; what sets the stage is left out.
fn billed_after(swell: &Server, calls: u64) -> Billed {
    wait_for("all calls to be billed", DEADLINE, || {
        let usage: Value = serde_json::from_str(&get(&swell.http, "/usage").body).expect("JSON");
        let mut billed = billed(&usage);
        let stage: u64 = ["flushall", "hello"]
            .into_iter()
            .filter_map(|name| billed.by_command.remove(name))
            .map(|line| line["ecpu_milli"])
            .sum();
        billed.total -= stage;
        (billed.by_command.values().map(|line| line["calls"]).sum::<u64>() == calls).then_some(billed)
    })
}

fn billed(usage: &Value) -> Billed {
    let lines = usage["by_command"].as_object().expect("by_command is an object");
    let numbers = |line: &Value| -> BTreeMap<String, u64> {
        let line = line.as_object().expect("a command's line is an object");
        line.iter().filter_map(|(name, value)| Some((name.clone(), value.as_u64()?))).collect()
    };
    Billed {
        total: usage["ecpu_milli_total"].as_u64().expect("ecpu_milli_total is a number"),
        by_command: lines.iter().map(|(name, line)| (name.clone(), numbers(line))).collect(),
    }
}
