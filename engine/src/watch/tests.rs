//! Watched keys: what changes them and what does not, in every database.

use super::*;
use crate::admit::Admitted;
use crate::commands::table::{Found, tables};
use crate::gate::Gate;
use crate::spec::Body;
use crate::unit::Needs;
use crate::{Context, Local};
use swell_ring::slot_of;
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;

fn run(engine: &Engine, local: &mut Local, text: &str, now_ms: u64) {
    let args = OwnedArgs::from_slices(&text.split(' ').collect::<Vec<_>>());
    let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{text}") };
    let mut keys = Vec::new();
    command.spec.hash_keys(engine, args.as_args(), &mut keys);
    let context = Context { now_ms, ..Context::default() };
    let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
    match &command.spec.body {
        Body::Walk(_) => {
            let unit = engine.begin_unit(local, &Needs::of(&[call]), None, now_ms, None).map_err(|_| ()).unwrap();
            unit.run(local, &call, &mut Out::new(Proto::Resp2));
        }
        _ => {
            let outcome = engine.execute(local, &call, None, &mut Out::new(Proto::Resp2));
            assert!(matches!(outcome, Outcome::Done { failed: false, .. }), "{text}: {outcome:?}");
        }
    }
}

fn watch(engine: &Engine, key: &str, now_ms: u64) -> Watching {
    let mut watching = engine.watching();
    let at = engine.hasher().key_hash(key.as_bytes(), 1);
    engine.watch(&mut watching, Db::default(), key.as_bytes(), at, now_ms, None).unwrap();
    watching
}

fn is_stale(engine: &Engine, local: &mut Local, watching: &Watching, now_ms: u64) -> bool {
    engine.begin_unit(local, &Needs::default(), Some(watching), now_ms, None).map_err(|_| ()).unwrap().is_stale()
}

/// Whether a stripe still knows of watchers.
fn is_followed(engine: &Engine, key: &str) -> bool {
    let stripe = engine.stripe(stripe_of(slot_of(key.as_bytes())));
    let _held = stripe.hold_patiently();
    // SAFETY: the lock is held.
    unsafe { stripe.data() }.observer.is_some()
}

#[test]
fn an_expiry_that_has_come_counts_once() {
    let (engine, key) = (Engine::new(1), "k");
    let mut local = engine.local(1);
    run(&engine, &mut local, "set k v", NOW_MS);
    run(&engine, &mut local, &format!("pexpireat k {}", NOW_MS + 10), NOW_MS);
    let early = watch(&engine, key, NOW_MS);
    let late = watch(&engine, key, NOW_MS + 20);
    assert!(!is_stale(&engine, &mut local, &early, NOW_MS + 10), "it is there in the millisecond of its expiry");
    assert!(is_stale(&engine, &mut local, &early, NOW_MS + 11), "it is gone, though nobody has found out");
    assert!(!is_stale(&engine, &mut local, &late, NOW_MS + 20), "it was gone before it was watched");
    run(&engine, &mut local, "exists k", NOW_MS + 20);
    assert!(early.has_changed() && !late.has_changed(), "somebody has found out, which changes nothing for the other");
    run(&engine, &mut local, "set k v", NOW_MS + 20);
    assert!(late.has_changed());
}

#[test]
fn whoever_writes_over_an_expired_key_changes_it() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    run(&engine, &mut local, "set k v", NOW_MS);
    run(&engine, &mut local, &format!("pexpireat k {}", NOW_MS + 10), NOW_MS);
    let late = watch(&engine, "k", NOW_MS + 20);
    run(&engine, &mut local, "set k v", NOW_MS + 20);
    assert!(is_stale(&engine, &mut local, &late, NOW_MS + 20));
}

#[test]
fn a_flush_changes_what_is_there() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    run(&engine, &mut local, "set k v", NOW_MS);
    run(&engine, &mut local, "set e v", NOW_MS);
    run(&engine, &mut local, &format!("pexpireat e {}", NOW_MS + 10), NOW_MS);
    let (there, missing, expired) =
        (watch(&engine, "k", NOW_MS), watch(&engine, "none", NOW_MS), watch(&engine, "e", NOW_MS + 20));
    run(&engine, &mut local, "flushall", NOW_MS + 20);
    let stale = [&there, &missing, &expired].map(|watching| is_stale(&engine, &mut local, watching, NOW_MS + 20));
    assert_eq!(stale, [true, false, false]);
}

#[test]
fn databases_change_places_under_those_who_watch() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    run(&engine, &mut local, "set here v", NOW_MS);
    let (here, nowhere) = (watch(&engine, "here", NOW_MS), watch(&engine, "nowhere", NOW_MS));
    run(&engine, &mut local, "swapdb 0 1", NOW_MS);
    assert!(here.has_changed() && !nowhere.has_changed());
    run(&engine, &mut local, "set nowhere v", NOW_MS);
    assert!(nowhere.has_changed(), "it is watched in the database of that number");
}

#[test]
fn a_slot_that_leaves_takes_its_watches_along() {
    let engine = Engine::new(1);
    let watching = watch(&engine, "k", NOW_MS);
    let slot = slot_of(b"k");
    engine.stripe(stripe_of(slot)).set_gate(slot, Gate::Sealed);
    assert!(!watching.has_changed(), "it may stay");
    engine.stripe(stripe_of(slot)).set_gate(slot, Gate::Released);
    assert!(watching.has_changed());
}

#[test]
fn nothing_is_left_of_a_watch_that_is_over() {
    let engine = Engine::new(1);
    engine.unwatch(watch(&engine, "k", NOW_MS));
    assert!(!is_followed(&engine, "k"));
    let (one, other) = (watch(&engine, "k", NOW_MS), watch(&engine, "k", NOW_MS));
    engine.unwatch(one);
    assert!(is_followed(&engine, "k"));
    drop(other);
    assert!(is_followed(&engine, "k"), "a client that just goes cannot wait for a stripe");
    engine.forget_abandoned();
    assert!(!is_followed(&engine, "k"));
    let held = watch(&engine, "k", NOW_MS);
    let stripe = engine.stripe(stripe_of(slot_of(b"k")));
    let guard = stripe.hold_patiently();
    engine.unwatch(held);
    engine.forget_abandoned();
    drop(guard);
    assert!(is_followed(&engine, "k"), "somebody held the stripe");
    engine.forget_abandoned();
    assert!(!is_followed(&engine, "k"));
}

#[test]
fn a_key_is_watched_once() {
    let engine = Engine::new(1);
    let mut watching = watch(&engine, "k", NOW_MS);
    let at = engine.hasher().key_hash(b"k", 1);
    engine.watch(&mut watching, Db::default(), b"k", at, NOW_MS, None).unwrap();
    assert_eq!(watching.len(), 1);
    engine.watch(&mut watching, Db::new(1).unwrap(), b"k", at, NOW_MS, None).unwrap();
    assert_eq!(watching.len(), 2);
}
