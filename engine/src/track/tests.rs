//! Who is told of what it has read: calls of several clients, and what each hears.

use std::sync::{Arc, Mutex};

use super::*;
use crate::admit::Admitted;
use crate::commands::table::{Found, tables};
use crate::gate::Gate;
use crate::unit::Needs;
use crate::{Context, Db, Local, Outcome};
use swell_ring::slot_of;
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;

type Told = Arc<Mutex<Vec<String>>>;

/// An engine, and what it tells: `key: readers by whom`, `any key by whom`.
fn engine() -> (Engine, Local, Told) {
    let (engine, told) = (Engine::new(1), Told::default());
    let list = told.clone();
    engine.tell_stale(Box::new(move |stale| {
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        list.lock().unwrap().push(match stale {
            Stale::Read { key, readers, by } => format!("{}: {readers:?} by {by}", text(key)),
            Stale::Any { key, by } => format!("any {} by {by}", text(key)),
            Stale::All => "all".to_owned(),
        });
    }));
    let local = engine.local(1);
    (engine, local, told)
}

/// One who reads and remembers; `by` 0 is nobody in particular.
fn run(engine: &Engine, local: &mut Local, by: u64, text: &str) {
    let args = OwnedArgs::from_slices(&text.split(' ').collect::<Vec<_>>());
    let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{text}") };
    let mut keys = Vec::new();
    command.spec.hash_keys(engine, args.as_args(), &mut keys);
    let tracker = Tracker { id: by, remembers: by != 0 };
    let context = Context { now_ms: NOW_MS, tracker, db: Db::default(), ..Context::default() };
    let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
    let outcome = engine.execute(local, &call, None, &mut Out::new(Proto::Resp2));
    assert!(matches!(outcome, Outcome::Done { .. }), "{text}: {outcome:?}");
}

fn flush(engine: &Engine, local: &mut Local) {
    let args = OwnedArgs::from_slices(&["flushdb"]);
    let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!() };
    let call = Admitted::from_link(command.spec, args.as_args()).call(&[], Context::default());
    let unit = engine.begin_unit(local, &Needs::of(&[call]), None, 0, None).map_err(|_| ()).unwrap();
    unit.run(local, &call, &mut Out::new(Proto::Resp2));
}

fn take(told: &Told) -> Vec<String> {
    std::mem::take(&mut told.lock().unwrap())
}

#[test]
fn readers_are_told_once() {
    let (engine, mut local, told) = engine();
    run(&engine, &mut local, 1, "get a");
    run(&engine, &mut local, 2, "mget a b a");
    run(&engine, &mut local, 1, "get a");
    assert_eq!((take(&told).len(), engine.tracked_keys()), (0, 2));
    run(&engine, &mut local, 2, "set a 1");
    run(&engine, &mut local, 0, "set a 2");
    assert_eq!(take(&told), ["a: [1, 2] by 2"]);
    run(&engine, &mut local, 3, "del b");
    assert!(take(&told).is_empty(), "there is no such key to delete");
    run(&engine, &mut local, 0, "lpush b 1");
    assert_eq!((take(&told), engine.tracked_keys()), (vec!["b: [2] by 0".to_owned()], 0));
}

#[test]
fn a_write_is_no_read_even_where_it_answers() {
    let (engine, mut local, told) = engine();
    run(&engine, &mut local, 1, "getset a 1");
    run(&engine, &mut local, 1, "incr n");
    run(&engine, &mut local, 0, "set a 2");
    assert_eq!((take(&told).len(), engine.tracked_keys()), (0, 0));
}

#[test]
fn above_the_limit_something_is_declared_stale() {
    let (engine, mut local, told) = engine();
    engine.set_tracked_keys_max(3);
    (0..10).for_each(|key| run(&engine, &mut local, 1, &format!("get {{t}}{key}")));
    assert_eq!((take(&told).len(), engine.tracked_keys()), (7, 3));
}

#[test]
fn what_leaves_or_is_flushed_is_forgotten() {
    let (engine, mut local, told) = engine();
    run(&engine, &mut local, 1, "get a");
    let slot = slot_of(b"a");
    engine.stripe(stripe_of(slot)).set_gate(slot, Gate::Released);
    assert_eq!((take(&told), engine.tracked_keys()), (vec!["a: [1] by 0".to_owned()], 0));
    engine.stripe(stripe_of(slot)).set_gate(slot, Gate::Serving);
    run(&engine, &mut local, 1, "get a");
    run(&engine, &mut local, 1, "get of-another-slot");
    flush(&engine, &mut local);
    assert_eq!((take(&told), engine.tracked_keys()), (vec!["all".to_owned()], 0));
}

#[test]
fn all_changes_are_told_while_somebody_wants_them() {
    let (engine, mut local, told) = engine();
    run(&engine, &mut local, 0, "set a 1");
    engine.set_broadcast(true).unwrap();
    run(&engine, &mut local, 7, "set a 2");
    run(&engine, &mut local, 0, "get a");
    run(&engine, &mut local, 0, "del a");
    assert_eq!(take(&told), ["any a by 7", "any a by 0"]);
    engine.set_broadcast(false).unwrap();
    run(&engine, &mut local, 0, "set a 3");
    assert!(take(&told).is_empty());
}
