//! Clients write strings while their slots move: nothing is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use swell_engine::{Db, Outcome};
use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::Incoming;
use swell_ring::{SlotSet, slot_of};

use crate::common::*;

/// The tags that random writers use; the group is made of some of them, so that MSET and RENAME cross its border.
const TAGS: u64 = 12;

fn moving_group() -> SlotSet {
    (0..TAGS).filter(|tag| tag % 3 != 0).map(|tag| slot_of(format!("{{t{tag}}}").as_bytes())).collect()
}

fn long_value(random: &mut Random) -> Vec<u8> {
    vec![b'a' + random.below(26) as u8; 66_000 + random.below(200_000) as usize]
}

fn random_write(client: &mut Client, random: &mut Random) -> Outcome {
    let key = |random: &mut Random| format!("{{t{}}}{}", random.below(TAGS), random.below(400)).into_bytes();
    let (a, b) = (key(random), key(random));
    let (a, b) = (a.as_slice(), b.as_slice());
    let number = random.below(1000).to_string();
    let n = number.as_bytes();
    let ms = (random.below(5_000) + 1).to_string();
    client.db = Db::new([0, 0, 0, 5, 15][random.below(5) as usize]).unwrap();
    client.now_ms += random.below(3);
    match random.below(120) {
        0..20 => client.run(&[b"set", a, n]),
        20..26 => client.run(&[b"set", a, n, b"px", ms.as_bytes()]),
        26..32 => client.run(&[b"append", a, n]),
        32..44 => client.run(&[b"incr", a]),
        44..56 => client.run(&[b"del", a, b]),
        56..62 => client.run(&[b"pexpire", a, ms.as_bytes()]),
        62..65 => client.run(&[b"persist", a]),
        65..72 => client.run(&[b"rename", a, b]),
        72..78 => client.run(&[b"mset", a, n, b, b"mset"]),
        78..80 => client.run(&[b"copy", a, b, b"replace"]),
        80..82 => client.run(&[b"set", a, &long_value(random)]),
        82..90 => client.run(&[b"setrange", a, random.below(150_000).to_string().as_bytes(), b"patch"]),
        90..94 => client.run(&[b"append", a, &long_value(random)[..random.below(66_000) as usize]]),
        94..100 => client.mc(&[b"set", a, n, b"0", b"3", b"mem"]),
        100..106 => client.mc(&[b"gets", a]),
        106..109 => client.mc(&[b"append", a, b"0", b"0", b"2", b"mc"]),
        109..112 => client.run(&[b"getex", a, b"px", ms.as_bytes()]),
        112 if random.below(4) == 0 => burst(client, random, b"set"),
        113 if random.below(4) == 0 => burst(client, random, b"del"),
        114 if random.below(40) == 0 => client.run(&[b"flushall"]),
        115 if random.below(20) == 0 => client.run(&[b"flushdb"]),
        116 => client.run(&["swapdb", "0", "5"]),
        _ => client.run(&[b"get", a]),
    }
}

/// One slot's table grows or shrinks by thousands, so that it changes between narrow and wide.
fn burst(client: &mut Client, random: &mut Random, verb: &[u8]) -> Outcome {
    let mut last = Outcome::Walk;
    for n in 0..1 + random.below(9_000) {
        let key = format!("{{t1}}burst:{n}");
        last = match verb {
            b"set" => client.run(&[verb, key.as_bytes(), b"x"]),
            _ => client.run(&[verb, key.as_bytes()]),
        };
    }
    last
}

#[test]
fn random_writes_between_all_steps_arrive() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or(1..25, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (from, to) = nodes();
        let (mut source, mut target) = (Client::new(&from, seed), Client::new(&to, seed + 1));
        (0..2_000).for_each(|_| _ = random_write(&mut source, &mut random));
        let group = moving_group();
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        // Long values are renamed and little is taken in between: this wants a larger spool.
        let mut outgoing = Outgoing::with_spool(&from, &group, 1 << 28);
        while outgoing.pump(1 + random.below(300) as usize).unwrap() != Pumped::Copied {
            (0..random.below(40)).for_each(|_| _ = random_write(&mut source, &mut random));
            match random.below(3) {
                0 => drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap(),
                _ => drop(pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap()),
            }
        }
        (0..300).for_each(|_| _ = random_write(&mut source, &mut random));
        outgoing.seal().unwrap();
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
        incoming.end(&target.handle).unwrap();
        check_moved(&outgoing, &from, &to);
    }
}

#[test]
fn what_threads_write_meanwhile_arrives() {
    let (from, to) = nodes();
    let mut loader = Client::new(&from, 3);
    for n in 0..20_000 {
        loader.text(&format!("set {{t{}}}load:{n} value{n}", n % TAGS));
    }
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
            let mut outgoing = Outgoing::begin(&from, &group);
            let mut incoming = Incoming::prepare(&mut target.handle, &group);
            wait_for(&written, 100);
            while outgoing.pump(200).unwrap() != Pumped::Copied {
                wait_for(&written, 20);
                drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            }
            for _ in 0..100 {
                wait_for(&written, 20);
                drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            }
            outgoing.seal().unwrap();
            wait_for(&refused, 50);
            drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            incoming.end(&target.handle).unwrap();
            check_moved(&outgoing, &from, &to);
        }));
        stop.store(true, Ordering::Relaxed);
        moved.unwrap();
    });
}

/// A few keys that are written all the time, copied again and again.
#[test]
fn no_write_is_lost_at_the_moment_its_key_is_copied() {
    let (from, to) = nodes();
    let (stop, group) = (AtomicBool::new(false), slots_of(&[b"t", b"u"]));
    let mut target = Client::new(&to, 4);
    std::thread::scope(|scope| {
        for tag in ["t", "u"] {
            let (from, stop) = (&from, &stop);
            scope.spawn(move || {
                let mut client = Client::new(from, 1);
                while !stop.load(Ordering::Relaxed) {
                    for n in 0..4 {
                        client.run(&["incr", &format!("{{{tag}}}{n}")]);
                    }
                }
            });
        }
        let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..300 {
                let mut outgoing = Outgoing::begin(&from, &group);
                let mut incoming = Incoming::prepare(&mut target.handle, &group);
                move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
                check_moved(&outgoing, &from, &to);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        moved.unwrap();
    });
}
