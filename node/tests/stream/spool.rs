//! What a stream holds back and gives up: the spool, memory's end, groups side by side, seals.

use swell_engine::gate::{Gate, Refusal};
use swell_engine::{Db, Outcome};
use swell_node::stream::StreamError;
use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::Incoming;
use swell_ring::{SlotSet, slot_of};

use crate::common::*;

#[test]
fn a_full_spool_ends_the_stream_and_no_writer() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let group = slots_of(&[b"t", b"u"]);
    source.text("set {t}a v");
    let mut outgoing = Outgoing::with_spool(&from, &group, 10_000);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    assert_eq!(outgoing.pump(10).unwrap(), Pumped::Copied);
    let value = "v".repeat(3_000);
    for n in 0..4 {
        assert_eq!(source.text(&format!("set {{u}}{n} {value}")), "+OK\r\n");
    }
    assert_eq!(outgoing.take(&mut Vec::new(), 1), Err(StreamError::SpoolFull));
    assert_eq!(outgoing.seal(), Err(StreamError::SpoolFull));
    assert_eq!(from.engine().gate(slot_of(b"t")), Gate::Serving);
    assert_eq!(outgoing.progress().spool_bytes, 0, "what it held is freed");
    source.text("set {t}a w");
    assert_eq!(outgoing.progress().spool_bytes, 0, "and nothing more is kept");
    // A single change may be longer than the spool, and what is taken makes room.
    outgoing = Outgoing::with_spool(&from, &group, 10_000);
    outgoing.pump(10).unwrap();
    for n in 0..20 {
        source.run(&["set", "{t}long", &"x".repeat(100_000 + n)]);
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
        source.text(&format!("set {{u}}{n} {value}"));
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    }
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    check_moved(&outgoing, &from, &to);
}

#[test]
fn the_snapshot_stops_while_nobody_takes() {
    let (from, _) = nodes();
    let mut source = Client::new(&from, 1);
    let value = "v".repeat(1_000);
    (0..5_000).for_each(|n| drop(source.text(&format!("set key:{n} {value}"))));
    let mut outgoing = Outgoing::begin(&from, &SlotSet::all());
    assert_eq!(outgoing.pump(usize::MAX >> 1).unwrap(), Pumped::Waits);
    let held = outgoing.progress().spool_bytes;
    assert!((1_000_000..1_200_000).contains(&held), "{held}");
    assert_eq!(outgoing.seal(), Err(StreamError::NotCopied));
    assert_eq!(source.text("set key:1 w"), "+OK\r\n");
}

#[test]
fn a_pinned_value_is_not_changed_by_later_writes() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    source.run(&["set", "{t}k", &"x".repeat(300_000)]);
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    assert_eq!(outgoing.pump(10).unwrap(), Pumped::Copied);
    pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    // The rest of the old value is unsent while this is written; the change itself comes behind it.
    source.run(&["setrange", "{t}k", "250000", "patch"]);
    let mut rest = Vec::new();
    while outgoing.take(&mut rest, FRAME_BYTES).unwrap() > 0 {}
    let patched = rest.windows(5).filter(|bytes| bytes == b"patch").count();
    assert_eq!(patched, 1, "in the change, and not in the snapshot before it");
    incoming.apply(&mut target.handle, &rest).unwrap();
    source.run(&["append", "{t}k", &"y".repeat(80_000)]);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    check_moved(&outgoing, &from, &to);
    let moved = content(to.engine(), &group);
    let (value, _) = moved.values().next().unwrap();
    assert_eq!((value.len(), &value[250_000..250_005]), (380_000, b"patch".as_slice()));
}

#[test]
fn a_target_forgets_what_it_had_and_what_it_gave_up() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let group = slots_of(&[b"t", b"u"]);
    source.text("set {t}new v");
    target.db = Db::new(7).unwrap();
    (0..500).for_each(|n| drop(target.text(&format!("set {{t}}old:{n} v px 100000"))));
    target.db = Db::default();
    target.text("set {t}new old");
    target.text("set mine v");
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    assert_eq!(to.key_counts(), (1, 0), "its other keys stay");
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    check_moved(&outgoing, &from, &to);
    incoming.abandon(&mut target.handle);
    assert!(content(to.engine(), &group).is_empty());
    assert_eq!(to.engine().gate(slot_of(b"t")), Gate::Released);
    target.handle.report();
    assert_eq!(to.engine().used_bytes(), to.engine().held_bytes(), "nothing is left that does not count");
    assert_eq!(target.text("get mine"), "$1\r\nv\r\n");
}

#[test]
fn an_import_evicts_nothing_and_is_refused_when_memory_ends() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let value = "v".repeat(1_000);
    (0..2_000).for_each(|n| drop(source.text(&format!("set {{t}}{n} {value}"))));
    (0..200).for_each(|n| drop(target.text(&format!("set mine:{n} {value}"))));
    to.engine().settings().set_policy("allkeys-lru".parse().unwrap());
    to.engine().settings().set_maxmemory_total_bytes(1_500_000);
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    let failed = move_all(&mut outgoing, &mut incoming, &mut target.handle);
    assert_eq!(failed, Err(StreamError::NoMemory));
    target.handle.report();
    // A table may just have grown.
    assert!((1_400_000..1_540_000).contains(&to.engine().held_bytes()), "{}", to.engine().held_bytes());
    assert_eq!(incoming.apply(&mut target.handle, b""), Err(StreamError::NoMemory), "it takes nothing more");
    incoming.abandon(&mut target.handle);
    assert_eq!(target.text("dbsize"), ":200\r\n");
    target.handle.report();
    assert_eq!(to.stats().evicted_keys, 0);
    // One long value passes the maximum before all of it has come.
    drop(outgoing);
    (0..2_000).for_each(|n| drop(source.text(&format!("del {{t}}{n}"))));
    source.run(&["set", "{t}long", &"x".repeat(3_000_000)]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    let failed = move_all(&mut outgoing, &mut incoming, &mut target.handle);
    assert_eq!(failed, Err(StreamError::NoMemory));
}

#[test]
fn groups_that_share_a_stripe_move_side_by_side() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    (0..4_000).for_each(|n| drop(source.text(&format!("set key:{n} {n}"))));
    let [even, odd] = [0, 1].map(|odd| -> SlotSet {
        let all = SlotSet::all();
        all.iter().filter(|slot| slot.number() % 2 == odd).collect()
    });
    let mut streams = Vec::new();
    for group in [&even, &odd] {
        streams.push((Outgoing::begin(&from, group), Incoming::prepare(&mut target.handle, group)));
    }
    for round in 0..40 {
        for (outgoing, incoming) in &mut streams {
            outgoing.pump(60).unwrap();
            pass(outgoing, incoming, &mut target.handle).unwrap();
        }
        (0..50).for_each(|n| drop(source.text(&format!("incr key:{}", n * 79 + round))));
    }
    for (outgoing, incoming) in &mut streams {
        move_all(outgoing, incoming, &mut target.handle).unwrap();
        check_moved(outgoing, &from, &to);
    }
    assert_eq!(content(to.engine(), &SlotSet::all()).len(), 4_000);
    // The end of one stream is not the other's.
    let (odd_stream, _) = streams.pop().unwrap();
    drop(odd_stream);
    assert_eq!(from.engine().gate(even.iter().next().unwrap()), Gate::Sealed);
    assert_eq!(from.engine().gate(odd.iter().next().unwrap()), Gate::Serving, "dropped before it was released");
}

#[test]
fn sealed_is_opened_again_unless_released() {
    let (from, _) = nodes();
    let mut source = Client::new(&from, 1);
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    assert!(!outgoing.release(), "only what is sealed");
    outgoing.pump(1).unwrap();
    outgoing.seal().unwrap();
    assert!(matches!(source.run(&["set", "{t}", "v"]), Outcome::NotExecuted(Refusal::Paused, _)));
    outgoing.unseal();
    assert_eq!(source.text("set {t} v"), "+OK\r\n");
    assert_eq!(outgoing.take(&mut Vec::new(), 1), Err(StreamError::Over), "a retry begins anew");
    assert!(!outgoing.release());
    let mut outgoing = Outgoing::begin(&from, &group);
    outgoing.pump(1).unwrap();
    outgoing.pump(1).unwrap();
    outgoing.seal().unwrap();
    assert!(outgoing.release() && outgoing.release());
    outgoing.unseal();
    assert!(matches!(source.run(&["get", "{t}"]), Outcome::NotExecuted(Refusal::Moved, _)));
}
