//! Every field of an entry arrives, and what is not served is not counted.

use swell_engine::Db;
use swell_engine::expire::UpkeepCursor;
use swell_engine::gate::Gate;
use swell_node::stream::source::Outgoing;
use swell_node::stream::target::{Incoming, drop_slots};
use swell_ring::{Slot, SlotSet};

use crate::common::*;

/// Puts a bit of everything into databases 0 and 3.
fn fill(client: &mut Client, keys: u64) {
    for db in [0, 3] {
        client.db = Db::new(db).unwrap();
        for n in 0..keys {
            client.now_ms = NOW_MS + n * 700;
            let key = format!("key:{n}");
            client.run(&["set", &key, &"v".repeat(n as usize % 300)]);
            match n % 8 {
                0 => drop(client.run(&["pexpire", &key, "90000000"])),
                1 => drop(client.run(&["append", &key, "more"])),
                2 => drop(client.mc(&["set", &key, "77", "0", "3", "abc"])),
                3 => drop((client.mc(&["set", &key, "0", "5000", "3", "abc"]), client.mc(&["gets", &key]))),
                4 => drop((client.run(&["set", &key, "12"]), client.mc(&["gets", &key]), client.run(&["incr", &key]))),
                5 if n % 64 == 5 => {
                    client.run(&["set", &key, &"x".repeat(70_000 + n as usize)]);
                    client.mc(&["gets", &key]);
                    client.run(&["setrange", &key, "200000", "tail"]);
                }
                _ => {}
            }
        }
    }
    client.db = Db::default();
    client.run(&["set", &format!("{{1}}{}", "long".repeat(40_000)), "a key over 64 KiB"]);
    client.run(&["set", &format!("{{2}}{}", "long".repeat(40_000)), &"both over 64 KiB".repeat(10_000)]);
    client.run(&["set", "", "the empty key"]);
}

#[test]
fn every_field_arrives_and_each_key_is_counted_by_one_node() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    fill(&mut source, 2_000);
    let group = SlotSet::all();
    let sent = content(from.engine(), &group);
    assert!(sent.values().any(|(_, fields)| fields.cas.is_some() && fields.memcached && fields.expire_at_ms.is_some()));
    assert!(sent.values().any(|(value, fields)| fields.cas.is_some() && value.len() > 200_000));
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    assert!(content(to.engine(), &group) == sent, "keys, values and all fields, the clock included");
    assert_eq!(outgoing.progress().keys, sent.len() as u64);

    target.handle.report();
    assert_eq!((to.key_counts(), to.databases().len(), to.engine().used_bytes()), ((0, 0), 0, 0), "not served yet");
    assert!(to.engine().held_bytes() > 1_000_000, "but it takes memory");
    assert_eq!(target.text("randomkey"), "$-1\r\n");
    source.handle.report();
    let (counts, bytes) = (from.key_counts(), from.engine().used_bytes());
    assert_eq!(counts.0, sent.len() as u64);
    assert!(outgoing.release());
    assert_eq!((from.key_counts(), from.engine().used_bytes()), ((0, 0), 0), "not after it was released");
    set_gates(to.engine(), &group, Gate::Serving);
    assert_eq!(to.key_counts(), counts);
    assert_eq!(to.databases().len(), 2);
    // Segments that grew in place may have had room to spare, and tables too.
    let there = to.engine().used_bytes();
    assert!((bytes / 10 * 9..bytes / 9 * 10).contains(&there), "{there} bytes, {bytes} at the source");
    assert_ne!(target.text("randomkey"), "$-1\r\n");
    drop(outgoing);
    assert_eq!(from.engine().gate(Slot::new(0).unwrap()), Gate::Released, "for ever, whatever becomes of the stream");
    assert_eq!(drop_slots(&mut source.handle, &group), sent.len() as u64);
    source.handle.report();
    assert_eq!(from.engine().held_bytes(), 0);
}

#[test]
fn what_expires_at_the_target_is_found_once_it_serves() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    source.text("set {t}a v px 1000");
    source.text("set {t}b v");
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    let later = NOW_MS + 10_000;
    let (mut local, mut cursor) = (to.engine().local(5), UpkeepCursor::default());
    to.engine().expire_due(&mut local, &mut cursor, later, u64::MAX);
    assert_eq!(local.stats.expired_keys, 0, "a Dark slot is left alone");
    set_gates(to.engine(), &group, Gate::Serving);
    to.engine().expire_due(&mut local, &mut cursor, later, u64::MAX);
    assert_eq!(local.stats.expired_keys, 1);
    assert_eq!(target.text("dbsize"), ":1\r\n");
}
