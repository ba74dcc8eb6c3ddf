//! Bytes that are no stream.

use swell_engine::Db;
use swell_engine::gate::Gate;
use swell_node::stream::StreamError;
use swell_node::stream::record::{self, End};
use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::Incoming;
use swell_ring::{SlotSet, slot_of};

use crate::common::*;

/// All frames of a small stream with every kind of record.
fn recorded() -> (SlotSet, Vec<u8>) {
    let (from, _) = nodes();
    let mut source = Client::new(&from, 1);
    let group = slots_of(&[b"t", b"u", b"v"]);
    let fill = |source: &mut Client| {
        source.text("set {t}a v px 100000");
        source.text("set {u}b 1");
        source.mc(&["set", "{v}c", "5", "0", "3", "abc"]);
        source.mc(&["gets", "{v}c"]);
        source.run(&["set", "{t}long", &"x".repeat(70_000)]);
        fill_collections(source);
    };
    fill(&mut source);
    let mut outgoing = Outgoing::begin(&from, &group);
    assert_eq!(outgoing.pump(100).unwrap(), Pumped::Copied);
    source.run(&["setrange", "{t}long", "3", "patch"]);
    source.run(&["append", "{t}long", &"y".repeat(66_000)]);
    source.text("pexpire {u}b 77777");
    source.text("lpush {t}list-large more");
    source.text("lset {t}list 1 changed");
    source.text("hset {t}hash-large new value");
    source.text("hpexpire {t}hash-large 5000 fields 1 field:5");
    source.text("srem {t}set-large 5");
    source.text("zincrby {t}zset-large 7 member:5");
    source.text("xack {t}stream group 1-0 2-0");
    source.text("copy {t}zset-large {v}zset-large");
    source.text("persist {t}a");
    source.text("del {t}a");
    source.text("flushall");
    fill(&mut source);
    outgoing.seal().unwrap();
    let mut bytes = Vec::new();
    while outgoing.take(&mut bytes, FRAME_BYTES).unwrap() > 0 {}
    (group, bytes)
}

/// A compact and a large value of every type.
fn fill_collections(source: &mut Client) {
    let many = |begin: &str, one: &dyn Fn(u64) -> String| {
        let words: Vec<String> = (0..600).map(one).collect();
        format!("{begin} {}", words.join(" "))
    };
    source.text("rpush {t}list a 1 bb 70000");
    source.text("hset {t}hash f v 1 2");
    source.text("sadd {t}set a b 3");
    source.text("sadd {t}ints 1 700 80000");
    source.text("zadd {t}zset 1 a 2.5 b");
    source.text(&many("rpush {t}list-large", &|n| format!("element:{n}")));
    source.text(&many("hset {t}hash-large", &|n| format!("field:{n} value:{n}")));
    source.text("hpexpire {t}hash-large 90000 fields 2 field:1 field:2");
    source.text(&many("sadd {t}set-large", &|n| n.to_string()));
    source.text(&many("zadd {t}zset-large", &|n| format!("{n} member:{n}")));
    (1..300).for_each(|n| drop(source.text(&format!("xadd {{t}}stream {n}-0 field {n}"))));
    source.text("xgroup create {t}stream group 0");
    source.text("xreadgroup group group consumer count 200 streams {t}stream >");
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let len = bytes.len() as u64;
    // Half of the time among the small records, which are at the ends.
    let at = match random.below(4) {
        0 | 3 => random.below(len),
        1 => random.below(len.min(400)),
        _ => len - 1 - random.below(len.min(400)),
    } as usize;
    match random.below(5) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.below(256) as u8,
        2 => bytes.truncate(at.max(1)),
        3 => drop(bytes.splice(at..at, (0..random.below(12)).map(|n| (n as u8).wrapping_mul(37)).collect::<Vec<_>>())),
        _ => drop(bytes.drain(at..(at + random.below(40) as usize).min(bytes.len() - 1).max(at))),
    }
}

#[test]
fn hostile_bytes_change_nothing_outside_the_group_and_never_panic() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    println!("seed {seed}");
    let mut random = Random(seed);
    let (group, good) = recorded();
    let (_, to) = nodes();
    let mut target = Client::new(&to, 2);
    target.text("set mine v");
    to.engine().settings().set_maxmemory_total_bytes(4_000_000);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    incoming.apply(&mut target.handle, &good).unwrap();
    incoming.end(&target.handle).unwrap();
    let mut refused = 0;
    for _ in 0..4_000 {
        let mut bytes = good.clone();
        (0..1 + random.below(3)).for_each(|_| mutate(&mut bytes, &mut random));
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        let whole = incoming.apply(&mut target.handle, &bytes);
        refused += u32::from(whole.is_err() || incoming.end(&target.handle).is_err());
        assert_eq!(to.key_counts(), (1, 0), "what does not count was not counted, and nobody else's was touched");
    }
    assert!(refused > 1_000, "{refused}");
    Incoming::prepare(&mut target.handle, &group).abandon(&mut target.handle);
    assert_eq!(target.text("get mine"), "$1\r\nv\r\n");
    target.handle.report();
    assert_eq!(to.engine().used_bytes(), to.engine().held_bytes());
}

#[test]
fn records_of_other_slots_and_wrong_counts_are_errors() {
    let (_, to) = nodes();
    let mut target = Client::new(&to, 2);
    let (group, good) = recorded();
    let other = slots_of(&[b"elsewhere"]);
    let refused = Incoming::prepare(&mut target.handle, &other).apply(&mut target.handle, &good);
    assert!(matches!(refused, Err(StreamError::OutsideGroup(slot)) if group.contains(slot)), "{refused:?}");
    let mut clear = Vec::new();
    record::clear(slot_of(b"mine"), Db::default(), &mut clear);
    let mut incoming = Incoming::prepare(&mut target.handle, &slots_of(&[b"mine", b"elsewhere"]));
    set_gates(to.engine(), &slots_of(&[b"mine"]), Gate::Serving);
    target.text("set mine v");
    let refused = incoming.apply(&mut target.handle, &clear);
    assert!(matches!(refused, Err(StreamError::Refused(_))), "only Dark slots are written to: {refused:?}");
    assert_eq!(target.text("get mine"), "$1\r\nv\r\n");
    let ends = |records, keys: u64| {
        let keys = other.iter().map(|slot| (slot, keys)).collect();
        let mut bytes = Vec::new();
        record::end(&End { records, keys }, &mut bytes);
        bytes
    };
    let mut incoming = Incoming::prepare(&mut target.handle, &other);
    assert!(incoming.end(&target.handle).is_err(), "it has not ended");
    incoming.apply(&mut target.handle, &ends(0, 3)).unwrap();
    assert_eq!(incoming.end(&target.handle), Err(StreamError::Counts { source_keys: 3, target: 0 }));
    assert!(incoming.apply(&mut target.handle, &ends(0, 3)).is_err(), "nothing comes after the end");
    let mut incoming = Incoming::prepare(&mut target.handle, &other);
    incoming.apply(&mut target.handle, &ends(7, 0)).unwrap();
    assert_eq!(incoming.end(&target.handle), Err(StreamError::Bad("records are missing")));
}
