//! Long replies: they are what they would be at once, of the moment when the command ran, at the same price.

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::stripe::stripe_of;
use swell_engine::unit::Needs;
use swell_engine::{Context, Db, Deferred, Engine, Local, Outcome, rdb};
use swell_ring::slot_of;
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;
const MANY: usize = 50_000;

struct Bench {
    engine: Engine,
    local: Local,
    proto: Proto,
}

/// A reply: its bytes, data bytes and work.
#[derive(Debug, PartialEq)]
struct Got {
    bytes: Vec<u8>,
    data_bytes: u64,
    work: u64,
}

impl Bench {
    fn new() -> Bench {
        let engine = Engine::new(7);
        let local = engine.local(3);
        Bench { engine, local, proto: Proto::Resp2 }
    }

    fn with<R>(&mut self, words: &[&str], run: impl FnOnce(&Engine, &mut Local, &swell_engine::Call<'_>) -> R) -> R {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{words:?}") };
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms: NOW_MS, proto: self.proto, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        run(&self.engine, &mut self.local, &call)
    }

    /// Runs a command; the rest of its reply if that comes in slices.
    fn begin(&mut self, words: &[&str]) -> (Out, u64, Option<Box<Deferred>>) {
        let mut out = Out::new(self.proto);
        let outcome = self.with(words, |engine, local, call| engine.execute(local, call, None, &mut out));
        match outcome {
            Outcome::Done { work, failed } => {
                assert!(!failed, "{words:?}: {}", String::from_utf8_lossy(&out.to_vec()));
                (out, work, None)
            }
            Outcome::Deferred => (out, 0, self.local.take_deferred()),
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn run(&mut self, words: &[&str]) -> Got {
        let (out, work, rest) = self.begin(words);
        assert!(rest.is_none(), "{words:?} is short");
        Got { bytes: out.to_vec(), data_bytes: out.data_bytes(), work }
    }

    /// Runs a command whose reply is long; `between` runs once the command has.
    fn run_long(&mut self, words: &[&str], between: impl FnOnce(&mut Bench)) -> (Got, usize) {
        let (mut out, _, rest) = self.begin(words);
        let mut rest = rest.unwrap_or_else(|| panic!("{words:?} is long"));
        between(self);
        let mut slices = 1;
        loop {
            let before = out.len();
            if !rest.step(&mut out) {
                break;
            }
            assert!(out.len() - before < 256 * 1024, "a slice is bounded");
            slices += 1;
        }
        (Got { bytes: out.to_vec(), data_bytes: out.data_bytes(), work: rest.work() }, slices)
    }

    /// Runs a command as part of a unit: at once.
    fn run_in_unit(&mut self, words: &[&str]) -> Got {
        let mut out = Out::new(self.proto);
        let work = self.with(words, |engine, local, call| {
            let unit = engine.begin_unit(local, &Needs::of(&[*call]), None, 0, None).unwrap();
            let (work, failed) = unit.run(local, call, &mut out);
            assert!(!failed && local.take_deferred().is_none());
            work
        });
        Got { bytes: out.to_vec(), data_bytes: out.data_bytes(), work }
    }

    fn fill(&mut self, key: &str, verb: &str, each: impl Fn(usize) -> Vec<String>) {
        for from in (0..MANY).step_by(500) {
            let words: Vec<String> = (from..from + 500).flat_map(&each).collect();
            let mut all = vec![verb, key];
            all.extend(words.iter().map(String::as_str));
            self.run(&all);
        }
    }

    fn free_all(&mut self) -> usize {
        let mut turns = 1;
        while self.engine.free_garbage(&mut self.local, 500) {
            turns += 1;
        }
        turns
    }
}

fn member(n: usize) -> String {
    format!("member:{:x}", n * 7919)
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

#[test]
fn a_long_list_is_what_it_was_when_the_command_ran() {
    let mut bench = Bench::new();
    bench.fill("l", "RPUSH", |n| vec![member(n)]);
    let (from, to) = (1_000, MANY - 10);
    let expected: String = (from..to).map(|n| bulk(&member(n))).collect();
    let expected = format!("*{}\r\n{expected}", to - from).into_bytes();
    let ask = ["LRANGE", "l", "1000", "-11"];
    let (got, slices) = bench.run_long(&ask, |bench| {
        bench.run(&["LPUSH", "l", "new"]);
        bench.run(&["LSET", "l", "20000", "changed"]);
        bench.run(&["DEL", "l"]);
        bench.free_all();
    });
    assert!(got.bytes == expected);
    let data_bytes = (from..to).map(|n| member(n).len() as u64).sum();
    assert_eq!((got.data_bytes, got.work), (data_bytes, (to - from) as u64));
    assert!(slices >= (to - from) / 4_096, "{slices}");
    assert_eq!(bench.local.stats.hits, 1);
}

#[test]
fn in_a_unit_it_comes_at_once_at_the_same_price() {
    let mut bench = Bench::new();
    bench.fill("l", "RPUSH", |n| vec![member(n)]);
    bench.fill("z", "ZADD", |n| vec![(n % 1000).to_string(), member(n)]);
    for n in 0..10_000 {
        bench.run(&["XADD", "s", &format!("{}-1", n + 1), "field", &member(n)]);
    }
    bench.fill("h", "HSET", |n| vec![member(n), n.to_string()]);
    bench.fill("m", "SADD", |n| vec![member(n)]);
    for proto in [Proto::Resp2, Proto::Resp3] {
        bench.proto = proto;
        for line in [
            "HGETALL h",
            "HKEYS h",
            "HVALS h",
            "SMEMBERS m",
            "DUMP h",
            "DUMP m",
            "LRANGE l 0 -1",
            "ZRANGE z 0 -1",
            "ZRANGE z 5 -7 REV WITHSCORES",
            "ZRANGE z (1 (998 BYSCORE LIMIT 10 20000 WITHSCORES",
            "ZREVRANGEBYSCORE z +inf -inf WITHSCORES",
            "ZREVRANGE z 100 40000",
            "XRANGE s - +",
            "XRANGE s 17 9000 COUNT 8000",
            "XREVRANGE s + -",
            "DUMP l",
            "DUMP z",
            "DUMP s",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let (long, slices) = bench.run_long(&words, |_| {});
            let at_once = bench.run_in_unit(&words);
            assert!(long == at_once, "{line}: {} and {} bytes", long.bytes.len(), at_once.bytes.len());
            assert!(slices >= 2 && long.work > 1_000, "{line}: {slices}, {}", long.work);
        }
    }
}

#[test]
fn ranges_of_sorted_sets_and_streams_are_whole_and_in_order() {
    let mut bench = Bench::new();
    bench.fill("z", "ZADD", |n| vec![n.to_string(), member(n)]);
    for n in 0..10_000 {
        bench.run(&["XADD", "s", &format!("{}-1", n + 1), "f", "v"]);
    }
    let (got, _) = bench.run_long(&["ZRANGE", "z", "0", "-1", "REV", "WITHSCORES"], |bench| {
        bench.run(&["ZREM", "z", &member(5)]);
    });
    let lines: String = (0..MANY).rev().map(|n| bulk(&member(n)) + &bulk(&n.to_string())).collect();
    assert!(got.bytes == format!("*{}\r\n{lines}", 2 * MANY).into_bytes());
    let (got, _) = bench.run_long(&["XREVRANGE", "s", "+", "-", "COUNT", "9999"], |bench| {
        bench.run(&["XDEL", "s", "77-1"]);
    });
    let entry = |n: usize| format!("*2\r\n{}*2\r\n{}{}", bulk(&format!("{n}-1")), bulk("f"), bulk("v"));
    let lines: String = (2..=10_000).rev().map(entry).collect();
    assert!(got.bytes == format!("*9999\r\n{lines}").into_bytes());
    assert_eq!(got.work, 9_999);
}

#[test]
fn hashes_and_sets_are_told_whole_each_element_once() {
    let mut bench = Bench::new();
    bench.fill("h", "HSET", |n| vec![member(n), n.to_string()]);
    bench.fill("m", "SADD", |n| vec![member(n)]);
    let sorted = |got: &Got, per: usize| {
        let text = String::from_utf8(got.bytes.clone()).unwrap();
        let (head, rest) = text.split_once("\r\n").unwrap();
        let lines: Vec<&str> = rest.split("\r\n").skip(1).step_by(2).collect();
        let mut elements: Vec<Vec<String>> =
            lines.chunks(per).map(|chunk| chunk.iter().map(|part| (*part).to_owned()).collect()).collect();
        elements.sort();
        (head.to_owned(), elements)
    };
    let mut expected: Vec<Vec<String>> = (0..MANY).map(|n| vec![member(n), n.to_string()]).collect();
    expected.sort();
    let (got, _) = bench.run_long(&["HGETALL", "h"], |bench| {
        bench.fill("h", "HSET", |n| vec![member(n), "other".to_owned()]);
        bench.fill("h", "HSET", |n| vec![format!("new:{n}"), "x".to_owned()]);
    });
    assert!(sorted(&got, 2) == (format!("*{}", 2 * MANY), expected));
    let mut expected: Vec<Vec<String>> = (0..MANY).map(|n| vec![member(n)]).collect();
    expected.sort();
    let (got, _) = bench.run_long(&["SMEMBERS", "m"], |bench| {
        bench.fill("m", "SREM", |n| vec![member(n)]);
    });
    assert!(sorted(&got, 1) == (format!("*{MANY}"), expected));
    assert_eq!(got.work, MANY as u64);
}

#[test]
fn a_dump_in_slices_is_the_dump() {
    let mut bench = Bench::new();
    bench.fill("l", "RPUSH", |n| vec![member(n)]);
    bench.fill("z", "ZADD", |n| vec![(n % 77).to_string(), member(n)]);
    bench.run(&["SET", "t", &"0123456789".repeat(100_000)]);
    for key in ["l", "z", "t"] {
        let whole = {
            let (slot, mut whole) = (slot_of(key.as_bytes()), Vec::new());
            let export = bench.engine.export(stripe_of(slot));
            export.part(slot, Db::default(), 0, usize::MAX, |entry| {
                if entry.key() == key.as_bytes() {
                    whole = rdb::dump(&entry);
                }
            });
            whole
        };
        let (got, slices) = bench.run_long(&["DUMP", key], |bench| {
            bench.run(&["DEL", key]);
            bench.free_all();
        });
        let expected = [format!("${}\r\n", whole.len()).as_bytes(), &whole, b"\r\n"].concat();
        assert!(got.bytes == expected, "{key}");
        assert_eq!((got.data_bytes, got.work), (whole.len() as u64, 1 + whole.len() as u64 / 64));
        assert!(slices > 3, "{key}: {slices}");
    }
}

#[test]
fn short_replies_come_at_once() {
    let mut bench = Bench::new();
    bench.fill("l", "RPUSH", |n| vec![member(n)]);
    let got = bench.run(&["LRANGE", "l", "30000", "30099"]);
    let lines: String = (30_000..30_100).map(|n| bulk(&member(n))).collect();
    assert!(got.bytes == format!("*100\r\n{lines}").into_bytes());
    assert_eq!(got.work, 100);
    bench.run(&["XADD", "s", "1-1", "f", "v"]);
    assert_eq!(bench.run(&["XRANGE", "s", "-", "+"]).work, 1);
    bench.run(&["DUMP", "s"]);
}

#[test]
fn few_but_large_elements_are_long_too() {
    let mut bench = Bench::new();
    let text = "x".repeat(6_000);
    for _ in 0..10 {
        bench.run(&["RPUSH", "l", &text, &text, &text, &text, &text, &text, &text, &text, &text, &text]);
    }
    let (got, slices) = bench.run_long(&["LRANGE", "l", "0", "-1"], |_| {});
    assert!(got.bytes == format!("*100\r\n{}", bulk(&text).repeat(100)).into_bytes());
    assert!(slices >= 4, "{slices}");
}

#[test]
fn what_a_reply_leaves_behind_is_freed_in_slices() {
    let mut bench = Bench::new();
    bench.fill("l", "RPUSH", |n| vec![member(n)]);
    let (mut out, _, rest) = bench.begin(&["LRANGE", "l", "0", "-1"]);
    let mut rest = rest.unwrap();
    assert!(rest.step(&mut out));
    bench.run(&["DEL", "l"]);
    assert!(bench.free_all() > 10, "the entry's own");
    // The client has left.
    drop(rest);
    assert!(bench.free_all() > 10, "the snapshot, which is the last that has the pages");
    assert_eq!(bench.free_all(), 1);
}
