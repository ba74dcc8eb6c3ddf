//! Clients write values of every type while their slots move: at the end the two nodes hold the same, element by element.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use swell_engine::{Db, Outcome};
use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::{Incoming, drop_slots};
use swell_ring::{SlotSet, slot_of};

use crate::common::*;

/// The tags of keys; the group is made of some of them, so that what has two keys crosses its border.
const TAGS: u64 = 6;
/// Keys of a tag. Few, so that they become large.
const KEYS: u64 = 18;

pub fn moving_group() -> SlotSet {
    (0..TAGS).filter(|tag| tag % 3 != 0).map(|tag| slot_of(format!("{{t{tag}}}").as_bytes())).collect()
}

/// A key that mostly holds values of this type: every type has keys of its own, and sometimes meets others'.
fn key(random: &mut Random, kind: u64) -> String {
    let n = random.below(KEYS);
    let n = if random.below(12) == 0 { n } else { n - n % 6 + kind };
    format!("{{t{}}}{n}", random.below(TAGS))
}

fn word(random: &mut Random) -> String {
    match random.below(40) {
        0 => "x".repeat(65 + random.below(300) as usize),
        1 if random.below(8) == 0 => "long".repeat(300 + random.below(9_000) as usize),
        2 if random.below(60) == 0 => "longer".repeat(11_000 + random.below(30_000) as usize),
        3..24 => random.below(3_000).to_string(),
        _ => format!("w{}", random.below(3_000)),
    }
}

fn many(random: &mut Random) -> u64 {
    match random.below(30) {
        0 => 200 + random.below(600),
        1..4 => 20 + random.below(30),
        _ => 1 + random.below(4),
    }
}

/// So many of what `one` says, in one line.
fn repeated(random: &mut Random, count: u64, one: impl Fn(&mut Random) -> String) -> String {
    (0..count).map(|_| one(random)).collect::<Vec<_>>().join(" ")
}

fn words(random: &mut Random) -> String {
    let count = many(random);
    repeated(random, count, word)
}

fn list_write(random: &mut Random) -> String {
    let (a, b) = (key(random, 0), key(random, 0));
    let (index, other) = (random.below(400) as i64 - 200, random.below(400) as i64 - 200);
    match random.below(24) {
        0..5 => format!("rpush {a} {}", words(random)),
        5..9 => format!("lpush {a} {}", words(random)),
        9 => format!("rpushx {a} {}", words(random)),
        10 => format!("lpop {a} {}", many(random)),
        11 => format!("rpop {a} {}", many(random)),
        12 => format!("lset {a} {index} {}", word(random)),
        13 => format!("linsert {a} before {} {}", word(random), word(random)),
        14 => format!("lrem {a} {} {}", index % 4, word(random)),
        15 => format!("ltrim {a} {} {}", random.below(6), -1 - random.below(6) as i64),
        16 if random.below(8) == 0 => format!("ltrim {a} {index} {other}"),
        17 => format!("lmove {a} {b} left right"),
        18 => format!("rpoplpush {a} {b}"),
        19 => format!("lmpop 2 {a} {b} right count {}", many(random)),
        20 => format!("sort {a} alpha store {b}"),
        _ => format!("lpush {a} {}", word(random)),
    }
}

fn hash_write(random: &mut Random, now_ms: u64) -> String {
    let a = key(random, 1);
    let field = |random: &mut Random| format!("f{}", random.below(2_500));
    let fields = |random: &mut Random| {
        let count = 1 + random.below(5);
        format!("fields {count} {}", repeated(random, count, field))
    };
    let ms = 1 + random.below(4_000);
    match random.below(24) {
        0..8 => {
            let count = many(random);
            format!("hset {a} {}", repeated(random, count, |random| format!("{} {}", field(random), word(random))))
        }
        8 => format!("hsetnx {a} {} {}", field(random), word(random)),
        9..11 => format!("hincrby {a} n{} {}", random.below(20), random.below(100)),
        11 => format!("hincrbyfloat {a} d{} 0.{}", random.below(20), random.below(100)),
        12..14 => {
            let count = many(random);
            format!("hdel {a} {}", repeated(random, count, field))
        }
        14..16 => format!("hpexpire {a} {ms} {}", fields(random)),
        16 => format!("hpexpireat {a} {} {}", now_ms + ms, fields(random)),
        17 => format!("hexpire {a} {} {}", ms * 100, fields(random)),
        18 => format!("hpersist {a} {}", fields(random)),
        19 => format!("hgetdel {a} {}", fields(random)),
        20 => format!("hgetex {a} px {ms} {}", fields(random)),
        21 => format!("hsetex {a} px {ms} fields 2 {} {} {} {}", field(random), word(random), "f1", word(random)),
        _ => format!("hset {a} {} {}", field(random), word(random)),
    }
}

fn set_write(random: &mut Random) -> String {
    let (a, b, c) = (key(random, 2), key(random, 2), key(random, 2));
    match random.below(20) {
        0..7 => format!("sadd {a} {}", words(random)),
        7..10 => format!("srem {a} {}", words(random)),
        10 => format!("spop {a} {}", many(random)),
        11 => format!("spop {a}"),
        12 => format!("smove {a} {b} {}", word(random)),
        13 => format!("sunionstore {a} {b} {c}"),
        14 => format!("sinterstore {a} {b} {c}"),
        15 => format!("sdiffstore {a} {b} {c}"),
        16 => format!("sadd {a} {}", random.below(1 << 40)),
        _ => format!("sadd {a} {}", word(random)),
    }
}

fn zset_write(random: &mut Random) -> String {
    let (a, b, c) = (key(random, 3), key(random, 3), key(random, 3));
    let score = |random: &mut Random| match random.below(6) {
        0 => format!("{}.{}", random.below(50), random.below(100)),
        1 => "-inf".to_owned(),
        _ => (random.below(1_000) as i64 - 500).to_string(),
    };
    let (low, high) = (random.below(40), random.below(40));
    match random.below(24) {
        0..8 => {
            let count = many(random);
            format!("zadd {a} {}", repeated(random, count, |random| format!("{} {}", score(random), word(random))))
        }
        8 => format!("zadd {a} xx ch {} {}", score(random), word(random)),
        9 => format!("zadd {a} gt incr {} {}", random.below(9), word(random)),
        10..12 => format!("zincrby {a} {} {}", random.below(9), word(random)),
        12..14 => format!("zrem {a} {}", words(random)),
        14 => format!("zremrangebyrank {a} {low} {high}"),
        15 => format!("zremrangebyscore {a} {low} {high}"),
        16 => format!("zremrangebylex {a} [w{low} [w{high}"),
        17 => format!("zpopmin {a} {}", many(random)),
        18 => format!("zpopmax {a}"),
        19 => format!("zmpop 2 {a} {b} max count {}", many(random)),
        20 => format!("zunionstore {a} 2 {b} {c} weights 1 2"),
        21 => format!("zinterstore {a} 2 {b} {c}"),
        22 => format!("zrangestore {a} {b} {low} {}", low + 300),
        _ => format!("zadd {a} {} {}", score(random), word(random)),
    }
}

fn stream_write(random: &mut Random, now_ms: u64) -> String {
    let a = key(random, 4);
    let (group, consumer) = (format!("g{}", random.below(3)), format!("c{}", random.below(4)));
    let count = many(random);
    // IDs follow the clock: some of the last ones.
    let id = |random: &mut Random| format!("{}-{}", now_ms - random.below(60).min(now_ms), random.below(2));
    match random.below(30) {
        0..9 => format!("xadd {a} * field {} other {}", word(random), word(random)),
        9..11 => format!("xadd {a} * {} {}", word(random), word(random)),
        11 => format!("xadd {a} maxlen ~ {} * field {}", 50 + random.below(500), word(random)),
        12 => format!("xadd {a} maxlen {} * field {}", 200 + random.below(500), word(random)),
        13 => format!("xtrim {a} minid {}", id(random)),
        14 => format!("xdel {a} {}", repeated(random, 5, id)),
        15..17 => format!("xgroup create {a} {group} {} mkstream", if random.below(2) == 0 { "0" } else { "$" }),
        17 if random.below(6) == 0 => format!("xgroup destroy {a} {group}"),
        18 => format!("xgroup setid {a} {group} {}", id(random)),
        19 => format!("xgroup createconsumer {a} {group} {consumer}"),
        20 if random.below(4) == 0 => format!("xgroup delconsumer {a} {group} {consumer}"),
        21..24 => format!("xreadgroup group {group} {consumer} count {count} streams {a} >"),
        24 => format!("xreadgroup group {group} {consumer} count {count} noack streams {a} >"),
        25 => format!("xack {a} {group} {}", repeated(random, 9, id)),
        26 => format!("xclaim {a} {group} {consumer} 0 {} justid", repeated(random, 5, id)),
        27 => format!("xclaim {a} {group} {consumer} {} {}", random.below(20), repeated(random, 5, id)),
        28 => format!("xautoclaim {a} {group} {consumer} {} 0 count {count}", random.below(20)),
        _ => format!("xreadgroup group {group} {consumer} streams {a} {}", id(random)),
    }
}

fn string_write(random: &mut Random) -> String {
    let (a, b, c) = (key(random, 5), key(random, 5), key(random, 5));
    let n = random.below(4_000);
    match random.below(16) {
        0..3 => format!("set {a} {}", word(random)),
        3 => format!("append {a} {}", word(random)),
        4 => format!("setrange {a} {} patch", random.below(150_000)),
        5..7 => format!("setbit {a} {} {}", random.below(700_000), n % 2),
        7 => format!("bitfield {a} incrby u8 {n} 3 set i16 {n} -7"),
        8 => format!("bitop xor {a} {b} {c}"),
        9..12 => format!("pfadd {a} {}", words(random)),
        12 => format!("pfmerge {a} {b} {c}"),
        13 => format!("incrbyfloat {a} 0.5"),
        14 => format!("getdel {a}"),
        _ => format!("incr {a}"),
    }
}

/// What is done to a key of whatever type.
fn any_write(random: &mut Random) -> String {
    let kind = random.below(6);
    let (a, b) = (key(random, kind), key(random, kind));
    match random.below(40) {
        0..6 => format!("del {a}"),
        6 => format!("unlink {a} {b}"),
        7..12 => format!("rename {a} {b}"),
        12..16 => format!("copy {a} {b} replace"),
        16 => format!("copy {a} {b} db 5 replace"),
        17 => format!("move {a} 5"),
        18..22 => format!("pexpire {a} {}", 1 + random.below(4_000)),
        22..25 => format!("persist {a}"),
        25 if random.below(30) == 0 => "flushall".to_owned(),
        26 if random.below(15) == 0 => "flushdb".to_owned(),
        27 if random.below(10) == 0 => "swapdb 0 5".to_owned(),
        _ => format!("expire {a} 1000000"),
    }
}

pub fn random_write(client: &mut Client, random: &mut Random) -> Outcome {
    client.db = Db::new([0, 0, 0, 0, 5][random.below(5) as usize]).unwrap();
    client.now_ms += random.below(3);
    let now_ms = client.now_ms;
    let line = match random.below(20) {
        0..3 => list_write(random),
        3..6 => hash_write(random, now_ms),
        6..9 => set_write(random),
        9..12 => zset_write(random),
        12..16 => stream_write(random, now_ms),
        16..18 => string_write(random),
        18 => any_write(random),
        _ if random.below(3) > 0 => return Outcome::Done { work: 0, failed: false },
        _ => return restore(client, random),
    };
    client.line(&line)
}

/// A key gets what another one has, by way of DUMP.
fn restore(client: &mut Client, random: &mut Random) -> Outcome {
    let kind = random.below(6);
    let (a, b) = (key(random, kind), key(random, kind));
    let dumped = client.line(&format!("dump {a}"));
    let reply = client.out.to_vec();
    let end = reply.windows(2).position(|end| end == b"\r\n").unwrap_or(0);
    if !matches!(dumped, Outcome::Done { .. }) || !reply.starts_with(b"$") || reply.starts_with(b"$-1") {
        return dumped;
    }
    let payload = &reply[end + 2..reply.len() - 2];
    client.run(&[b"restore", b.as_bytes(), b"0", payload, b"replace"])
}

#[test]
fn writes_of_every_type_between_all_steps_arrive() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut forms = std::collections::BTreeSet::new();
    for seed in seed.map_or(1..13, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (from, to) = nodes();
        let (mut source, mut target) = (Client::new(&from, seed), Client::new(&to, seed + 1));
        (0..3_000).for_each(|_| _ = random_write(&mut source, &mut random));
        let group = moving_group();
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        let mut outgoing = Outgoing::with_spool(&from, &group, 1 << 28);
        while outgoing.pump(1 + random.below(6) as usize).unwrap() != Pumped::Copied {
            (0..random.below(80)).for_each(|_| _ = random_write(&mut source, &mut random));
            match random.below(3) {
                0 => drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap(),
                _ => drop(pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap()),
            }
        }
        for _ in 0..300 {
            random_write(&mut source, &mut random);
            pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
        }
        (0..300).for_each(|_| _ = random_write(&mut source, &mut random));
        outgoing.seal().unwrap();
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
        incoming.end(&target.handle).unwrap();
        check_moved(&outgoing, &from, &to);
        forms.extend(content(to.engine(), &group).values().filter_map(|(value, _)| value.first().copied()));
        // What was counted is what is freed.
        assert!(outgoing.release());
        for (client, node) in [(&mut source, &from), (&mut target, &to)] {
            drop_slots(&mut client.handle, &SlotSet::all());
            client.handle.report();
            assert_eq!(node.engine().held_bytes(), 0);
        }
    }
    assert!(seed.is_some() || (2..=12).filter(|form| *form != 7).all(|form| forms.contains(&form)), "{forms:?}");
}

#[test]
fn what_threads_write_into_every_type_arrives() {
    let (from, to) = nodes();
    let (stop, written, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let group = moving_group();
    let mut target = Client::new(&to, 4);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (from, stop, written, refused) = (&from, &stop, &written, &refused);
            scope.spawn(move || {
                let (mut client, mut random) = (Client::new(from, seed), Random(seed + 77));
                while !stop.load(Ordering::Relaxed) {
                    match random_write(&mut client, &mut random) {
                        Outcome::NotExecuted(..) => refused.fetch_add(1, Ordering::Relaxed),
                        _ => written.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
        let wait_for = |count: &AtomicU64, more: u64| {
            let wanted = count.load(Ordering::Relaxed) + more;
            while count.load(Ordering::Relaxed) < wanted {
                std::thread::yield_now();
            }
        };
        let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(&written, 3_000);
            for _ in 0..4 {
                let mut outgoing = Outgoing::with_spool(&from, &group, 1 << 28);
                let mut incoming = Incoming::prepare(&mut target.handle, &group);
                while outgoing.pump(3).unwrap() != Pumped::Copied {
                    wait_for(&written, 20);
                    drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
                }
                for _ in 0..50 {
                    wait_for(&written, 20);
                    drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
                }
                outgoing.seal().unwrap();
                wait_for(&refused, 50);
                drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
                incoming.end(&target.handle).unwrap();
                check_moved(&outgoing, &from, &to);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        moved.unwrap();
    });
}
