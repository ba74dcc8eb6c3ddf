//! Large values on their way: written, copied, renamed, deleted and made anew while their parts are being sent.

use swell_engine::Outcome;
use swell_node::stream::StreamError;
use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::Incoming;
use swell_ring::SlotSet;

use crate::common::*;

/// A group may be sealed while no more bytes than this are unsent.
const SPOOL_SMALL_BYTES: u64 = 64 * 1024;
/// Elements of each value: some dozens of parts.
const ELEMENTS: u64 = 40_000;

fn group() -> SlotSet {
    slots_of(&[b"t"])
}

/// One large value of every type, each with an expiry, in one slot.
fn fill(client: &mut Client, elements: u64) {
    let in_lines = |client: &mut Client, begin: &str, one: &dyn Fn(u64) -> String| {
        for first in (0..elements).step_by(500) {
            let words: Vec<String> = (first..elements.min(first + 500)).map(one).collect();
            done(client.line(&format!("{begin} {}", words.join(" "))));
        }
    };
    in_lines(client, "rpush {t}list", &|n| format!("element:{n}"));
    in_lines(client, "hset {t}hash", &|n| format!("field:{n} value:{n}"));
    in_lines(client, "sadd {t}set", &|n| format!("member:{n}"));
    in_lines(client, "zadd {t}zset", &|n| format!("{} member:{n}", n * 7919 % elements));
    for first in (0..elements).step_by(500) {
        let fields: Vec<String> = (first..elements.min(first + 500)).map(|n| format!("field:{n}")).collect();
        let ms = 500_000 + first;
        done(client.line(&format!("hpexpire {{t}}hash {ms} fields {} {}", fields.len(), fields.join(" "))));
    }
    for n in 0..elements {
        done(client.line(&format!("xadd {{t}}stream {}-0 field value:{n} other {n}", n + 1)));
    }
    for n in 0..4 {
        done(client.line(&format!("xgroup create {{t}}stream group:{n} 0")));
        for consumer in 0..5 {
            let count = elements / 7;
            let line = format!("xreadgroup group group:{n} c{consumer} count {count} streams {{t}}stream >");
            done(client.line(&line));
        }
    }
    done(client.run(&["set", "{t}string", &"string".repeat(elements as usize * 10)]));
    for name in ["list", "hash", "set", "zset", "stream", "string"] {
        done(client.line(&format!("pexpire {{t}}{name} 90000000")));
    }
}

fn done(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Done { failed: false, .. }), "{outcome:?}");
}

#[test]
fn large_values_of_every_type_arrive_with_all_that_belongs_to_them() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    fill(&mut source, ELEMENTS);
    // Elements that are long themselves: longer than a page, a segment, a frame.
    for len in [5_000, 70_000, 300_000, 5_000_000] {
        let long = "l".repeat(len);
        done(source.run(&["rpush", "{t}list", &long, "short", &long]));
        done(source.run(&["hset", "{t}hash", &format!("long:{len}"), &long, &long, "short"]));
        done(source.run(&["sadd", "{t}set", &long]));
        done(source.run(&["zadd", "{t}zset", "5", &long]));
        done(source.run(&["xadd", "{t}stream", "*", "field", &long]));
    }
    done(source.line("hpexpire {t}hash 777777 fields 1 long:300000"));
    let group = group();
    let sent = content(from.engine(), &group);
    assert_eq!(sent.len(), 6);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    assert!(content(to.engine(), &group) == sent, "keys, values and all fields, the clock included");
    for node in [&from, &to] {
        set_gates(node.engine(), &group, swell_engine::gate::Gate::Serving);
    }
    source.handle.report();
    target.handle.report();
    let (here, there) = (from.engine().used_bytes(), to.engine().used_bytes());
    assert!((here / 10 * 9..here / 9 * 10).contains(&there), "{there} bytes, {here} at the source");
    // They are of use there.
    for line in ["llen {t}list", "hlen {t}hash", "scard {t}set", "zcard {t}zset", "xlen {t}stream", "strlen {t}string"]
    {
        assert_eq!(source.text(line), target.text(line), "{line}");
    }
    for line in ["zrank {t}zset member:77", "hpexpiretime {t}hash fields 2 field:7 long:300000", "lindex {t}list 20000"]
    {
        assert_eq!(source.text(line), target.text(line), "{line}");
    }
    assert_eq!(source.text("xinfo stream {t}stream full"), target.text("xinfo stream {t}stream full"));
}

/// What one client does to large values.
fn random_change(client: &mut Client, random: &mut Random) -> Outcome {
    let n = random.below(ELEMENTS / 4);
    let any = ["list", "hash", "set", "zset", "stream", "string"];
    let (a, b) = (any[random.below(6) as usize], any[random.below(6) as usize]);
    client.now_ms += random.below(2);
    match random.below(200) {
        0..12 => client.line(&format!("rpush {{t}}list {n} more")),
        12..18 => client.line("lpop {t}list 7"),
        18..24 => client.line(&format!("lset {{t}}list {n} changed")),
        24..36 => client.line(&format!("hset {{t}}hash field:{n} changed new:{n} value")),
        36..46 => client.line(&format!("hdel {{t}}hash field:{n}")),
        46..52 => client.line(&format!("hpexpire {{t}}hash {} fields 1 field:{n}", 1 + random.below(300))),
        52..64 => client.line(&format!("sadd {{t}}set new:{n}")),
        64..74 => client.line("spop {t}set 3"),
        74..90 => client.line(&format!("zincrby {{t}}zset {} member:{n}", n % 77)),
        90..98 => client.line(&format!("zremrangebyrank {{t}}zset {n} {}", n + 9)),
        98..110 => client.line(&format!("xadd {{t}}stream * field {n}")),
        110..116 => client.line(&format!("xdel {{t}}stream {n}-0")),
        116..126 => client.line("xreadgroup group group:1 c9 count 3 streams {t}stream >"),
        126..136 => client.line(&format!("xack {{t}}stream group:{} {n}-0", n % 4)),
        136..146 => client.line(&format!("setrange {{t}}string {n} patch")),
        146..150 => client.line(&format!("copy {{t}}{a} {{t}}{b}2 replace")),
        150..154 => client.line(&format!("rename {{t}}{a} {{t}}{a}3")),
        154..160 => client.line(&format!("rename {{t}}{a}3 {{t}}{a}")),
        160..162 => client.line(&format!("rename {{t}}{a}2 {{t}}{b}")),
        162..164 => client.line(&format!("copy {{t}}{a} {{u}}{b} replace")),
        164..166 => client.line(&format!("del {{t}}{a}2 {{t}}{b}3")),
        166 if random.below(4) == 0 => client.line(&format!("del {{t}}{a}")),
        167 if random.below(6) == 0 => client.line("flushdb"),
        168 => client.line(&format!("pexpire {{t}}{a}2 {}", 1 + random.below(200))),
        169 => client.line(&format!("sort {{t}}list by nosort limit 0 {n} store {{t}}list2")),
        170 => client.line("zunionstore {t}zset2 2 {t}zset {t}set"),
        _ => client.line(&format!("exists {{t}}{a}")),
    }
}

#[test]
fn large_values_are_changed_while_their_parts_are_sent() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or(1..9, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (from, to) = nodes();
        let (mut source, mut target) = (Client::new(&from, seed), Client::new(&to, seed + 1));
        fill(&mut source, ELEMENTS / 4);
        let group = group();
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        let mut outgoing = Outgoing::with_spool(&from, &group, 1 << 28);
        while outgoing.pump(1).unwrap() != Pumped::Copied {
            (0..random.below(12)).for_each(|_| _ = random_change(&mut source, &mut random));
            for _ in 0..random.below(3) {
                pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            }
        }
        while pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap() > 0 {
            (0..random.below(4)).for_each(|_| _ = random_change(&mut source, &mut random));
            if outgoing.progress().bytes_taken > 40_000_000 {
                break;
            }
        }
        outgoing.seal().unwrap();
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
        incoming.end(&target.handle).unwrap();
        check_moved(&outgoing, &from, &to);
    }
}

/// The value is deleted, and another of its name begun, when half of it has been sent.
#[test]
fn a_key_is_made_anew_while_its_parts_are_sent() {
    for first in ["list", "hash", "set", "zset", "stream"] {
        for again in ["rpush {t}KEY a b", "hset {t}KEY f v", "sadd {t}KEY 1 2", "zadd {t}KEY 1 m", "set {t}KEY v", ""] {
            let (from, to) = nodes();
            let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
            fill(&mut source, 5_000);
            let keys = ["list", "hash", "set", "zset", "stream", "string"];
            keys.iter().filter(|key| **key != first).for_each(|key| done(source.line(&format!("del {{t}}{key}"))));
            let group = group();
            let mut outgoing = Outgoing::begin(&from, &group);
            let mut incoming = Incoming::prepare(&mut target.handle, &group);
            assert_eq!(outgoing.pump(100).unwrap(), Pumped::Copied);
            let mut frame = Vec::new();
            outgoing.take(&mut frame, 16 * 1024).unwrap();
            incoming.apply(&mut target.handle, &frame).unwrap();
            assert!(outgoing.progress().spool_bytes > 20_000, "most of it is still to come");
            done(source.line(&format!("del {{t}}{first}")));
            if !again.is_empty() {
                done(source.line(&again.replace("KEY", first)));
            }
            move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            check_moved(&outgoing, &from, &to);
            assert_eq!(content(to.engine(), &group).len(), usize::from(!again.is_empty()));
        }
    }
}

#[test]
fn one_large_value_beside_small_changes_is_not_too_much_for_the_spool() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    fill(&mut source, 5_000);
    let group = slots_of(&[b"t", b"u"]);
    let mut outgoing = Outgoing::with_spool(&from, &group, 50_000);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    while outgoing.pump(100).unwrap() != Pumped::Copied {
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    }
    drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    done(source.line("copy {t}zset {u}zset"));
    (0..100).for_each(|n| done(source.line(&format!("zadd {{u}}zset {n} new:{n}"))));
    assert!(outgoing.progress().spool_bytes > 100_000);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    check_moved(&outgoing, &from, &to);
    // Two of them are.
    let mut outgoing = Outgoing::with_spool(&from, &group, 50_000);
    set_gates(from.engine(), &group, swell_engine::gate::Gate::Serving);
    while outgoing.pump(100).unwrap() != Pumped::Copied {
        while outgoing.take(&mut Vec::new(), FRAME_BYTES).unwrap() > 0 {}
    }
    done(source.line("copy {t}zset {u}zset1"));
    done(source.line("copy {t}zset {u}zset2"));
    assert_eq!(outgoing.take(&mut Vec::new(), 1), Err(StreamError::SpoolFull));
}

/// A value whose parts are longer than its pages is not sealed too soon.
#[test]
fn a_large_value_is_unsent_until_its_end() {
    let (from, _) = nodes();
    let mut source = Client::new(&from, 1);
    for first in (0..20_000).step_by(500) {
        let words: Vec<String> = (first..first + 500).map(|n| format!("{n}a")).collect();
        done(source.line(&format!("sadd {{t}}set {}", words.join(" "))));
    }
    let mut outgoing = Outgoing::begin(&from, &group());
    assert_eq!(outgoing.pump(100).unwrap(), Pumped::Copied);
    let (mut frame, mut said) = (Vec::new(), Vec::new());
    loop {
        let unsent = outgoing.progress().spool_bytes;
        match outgoing.take(&mut frame, FRAME_BYTES).unwrap() as u64 {
            0 => break,
            taken => said.push((unsent, taken)),
        }
    }
    assert!(said.len() > 3);
    let mut left = 0;
    for (unsent, taken) in said.into_iter().rev() {
        left += taken;
        assert!(unsent >= left.min(SPOOL_SMALL_BYTES), "{unsent} bytes are said to be left, not {left}");
    }
}
