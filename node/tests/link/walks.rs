//! Walks over some of the slots.

use std::collections::{BTreeMap, BTreeSet};
use swell_engine::gate::Gate;
use swell_node::link::frame::Status;
use swell_ring::{SlotSet, slot_of};

use crate::peer::*;

#[test]
fn walks_cover_the_wanted_slots_that_are_served() {
    let mut peer = Peer::new();
    let keys: Vec<String> = (0..3_000).map(|n| format!("key:{n}")).collect();
    for key in &keys {
        assert_eq!(peer.call(0, &["SET", key, "v"]), "+OK\r\n");
    }
    let released: SlotSet = "100-199,8000-9000".parse().unwrap();
    released.iter().for_each(|slot| set_gate(&peer.node, slot, Gate::Released));
    let wanted: SlotSet = "0-12000".parse().unwrap();
    let mut covered = wanted.clone();
    covered.subtract(&released);
    let inside: BTreeSet<&String> = keys.iter().filter(|key| covered.contains(slot_of(key.as_bytes()))).collect();

    let mut run = |words: &[&str], wanted: &SlotSet| {
        peer.send(&walk(3, 1, wanted, words));
        // Others run between two slices.
        let mut turns = 0;
        while peer.got.is_empty() {
            turns += 1;
            peer.resume();
        }
        (walked(&peer.answer()), turns)
    };
    let ((set, reply), turns) = run(&["KEYS", "*"], &wanted);
    assert!(set == covered && turns > 1, "{turns}");
    let listed: BTreeSet<String> =
        reply.split("\r\n").filter(|line| line.starts_with("key:")).map(str::to_owned).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), inside);
    assert_eq!(run(&["DBSIZE"], &wanted).0, (covered.clone(), format!(":{}\r\n", inside.len())));
    let picked: BTreeSet<String> = (0..50)
        .map(|_| {
            let (set, reply) = run(&["RANDOMKEY"], &wanted).0;
            assert!(set == covered);
            reply.split("\r\n").nth(1).unwrap().to_owned()
        })
        .collect();
    assert!(picked.len() > 20 && picked.iter().all(|key| inside.contains(key)));
    let empty: SlotSet = "100-199".parse().unwrap();
    assert_eq!(run(&["RANDOMKEY"], &empty).0, (SlotSet::new(), "$-1\r\n".to_owned()));
}

#[test]
fn scan_ends_where_the_next_slot_is_served_elsewhere() {
    let mut peer = Peer::new();
    let keys: Vec<String> = (0..2_000).map(|n| format!("key:{n}")).collect();
    keys.iter().for_each(|key| assert_eq!(peer.call(0, &["SET", key, "v"]), "+OK\r\n"));
    let released: SlotSet = "5000-5999".parse().unwrap();
    released.iter().for_each(|slot| set_gate(&peer.node, slot, Gate::Released));
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut cursor, mut stopped) = ("0".to_owned(), false);
    loop {
        peer.send(&walk(3, 1, &SlotSet::all(), &["SCAN", &cursor, "COUNT", "37"]));
        while peer.got.is_empty() {
            peer.resume();
        }
        let (_, reply) = walked(&peer.answer());
        let mut lines = reply.split("\r\n").filter(|line| !line.starts_with(['*', '$']) && !line.is_empty());
        cursor = lines.next().unwrap().to_owned();
        lines.for_each(|key| *seen.entry(key.to_owned()).or_default() += 1);
        if cursor == (5000u64 << 32).to_string() {
            stopped = true;
            cursor = (6000u64 << 32).to_string();
        }
        if cursor == "0" {
            break;
        }
    }
    assert!(stopped);
    let expected: BTreeMap<String, usize> =
        keys.into_iter().filter(|key| !released.contains(slot_of(key.as_bytes()))).map(|key| (key, 1)).collect();
    assert_eq!(seen, expected);
    // Not wanted is as good as not served.
    peer.send(&walk(3, 1, &"0-9".parse().unwrap(), &["SCAN", "0", "COUNT", "100000"]));
    assert!(walked(&peer.answer()).1.contains(&(10u64 << 32).to_string()));
}

#[test]
fn flush_waits_for_a_sealed_slot_and_passes_by_what_is_served_elsewhere() {
    let mut peer = Peer::new();
    for key in ["sealed", "gone", "here"] {
        peer.call(0, &["SET", key, "v"]);
    }
    set_gate(&peer.node, slot_of(b"sealed"), Gate::Sealed);
    set_gate(&peer.node, slot_of(b"gone"), Gate::Released);
    peer.send(&walk(3, 1, &SlotSet::all(), &["FLUSHALL"]));
    for _ in 0..40 {
        peer.resume();
    }
    assert_eq!(peer.answers(), []);
    set_gate(&peer.node, slot_of(b"sealed"), Gate::Serving);
    while peer.got.is_empty() {
        peer.resume();
    }
    let (covered, reply) = walked(&peer.answer());
    let mut expected = SlotSet::all();
    expected.remove(slot_of(b"gone"));
    assert!(covered == expected && reply == "+OK\r\n");
    set_gate(&peer.node, slot_of(b"gone"), Gate::Serving);
    assert_eq!(peer.call(0, &["EXISTS", "sealed", "here", "gone"]), ":1\r\n");
}

#[test]
fn a_flush_that_has_begun_comes_to_each_slot_once_whatever_changes_meanwhile() {
    let mut peer = Peer::new();
    let early = (0..).map(|n| format!("k{n}")).find(|key| slot_of(key.as_bytes()).index() < 100).unwrap();
    peer.send(&walk(3, 1, &SlotSet::all(), &["FLUSHALL"]));
    assert!(peer.answers().is_empty(), "the first slice has run, and others' turn it is");
    assert_eq!(peer.call(0, &["SET", &early, "v"]), "+OK\r\n");
    // A newer map, and a newer state of the cache, which refuses frames that begin.
    peer.view.set_epoch(peer.view.epoch() + 1);
    peer.view.set_state(peer.view.state() + 1);
    peer.send(&request(1, 0, &[&["GET", "x"]]));
    assert_eq!(peer.answer().head.status, Status::Moved);
    while peer.got.is_empty() {
        peer.resume();
    }
    let answer = peer.answer();
    assert_eq!(answer.head.status, Status::Done);
    assert!(walked(&answer) == (SlotSet::all(), "+OK\r\n".to_owned()));
    let stripe = peer.node.engine().stripe(stripe_index(&early));
    assert_eq!(stripe.key_count_hint(false), 1, "what was written behind the flush is there");
}
