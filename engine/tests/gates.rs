//! The engine looks at the gates of all keys after all locks are held and before the first effect.

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::gate::{Gate, Refusal};
use swell_engine::spec::Body;
use swell_engine::stripe::stripe_of;
use swell_engine::unit::Needs;
use swell_engine::walk::{Step, WalkState};
use swell_engine::{Call, Context, Db, Engine, KeyHash, Local, Outcome};
use swell_ring::{Slot, slot_of};
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;

struct Prepared {
    args: OwnedArgs,
    keys: Vec<KeyHash>,
}

fn prepare(engine: &Engine, text: &str) -> Prepared {
    let words: Vec<&str> = text.split(' ').collect();
    let args = OwnedArgs::from_slices(&words);
    let mut keys = Vec::new();
    let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{text}") };
    command.spec.hash_keys(engine, args.as_args(), &mut keys);
    Prepared { args, keys }
}

impl Prepared {
    fn call(&self, now_ms: u64) -> Call<'_> {
        let Found::Command(command) = tables().resp.find(self.args.as_args()) else { panic!() };
        let context = Context { now_ms, ..Context::default() };
        Admitted::from_link(command.spec, self.args.as_args()).call(&self.keys, context)
    }
}

fn run_at(engine: &Engine, local: &mut Local, text: &str, now_ms: u64) -> Result<String, Outcome> {
    let prepared = prepare(engine, text);
    let mut out = Out::new(Proto::Resp2);
    match engine.execute(local, &prepared.call(now_ms), None, &mut out) {
        Outcome::Done { .. } => Ok(String::from_utf8(out.to_vec()).unwrap()),
        other => {
            assert!(out.is_empty(), "nothing is written for a request that did not run");
            Err(other)
        }
    }
}

fn run(engine: &Engine, local: &mut Local, text: &str) -> Result<String, Outcome> {
    run_at(engine, local, text, NOW_MS)
}

fn gate(engine: &Engine, slot: Slot, gate: Gate) {
    engine.stripe(stripe_of(slot)).set_gate(slot, gate);
}

#[test]
fn a_sealed_slot_is_read_but_neither_written_nor_expired() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    let slot = slot_of(b"k");
    run(&engine, &mut local, "set k v px 1000").unwrap();
    gate(&engine, slot, Gate::Sealed);
    assert_eq!(run(&engine, &mut local, "get k").unwrap(), "$1\r\nv\r\n");
    let paused = Outcome::NotExecuted(Refusal::Paused, stripe_of(slot));
    assert_eq!(run(&engine, &mut local, "set k w"), Err(paused));
    let later = NOW_MS + 5_000;
    assert_eq!(run_at(&engine, &mut local, "get k", later).unwrap(), "$-1\r\n", "expired for the reader");
    let mut cursor = swell_engine::expire::UpkeepCursor::default();
    engine.expire_due(&mut local, &mut cursor, later, u64::MAX);
    assert_eq!(local.stats.expired_keys, 0, "but it is still there, for the new owner to expire");
    assert_eq!(engine.stripe(stripe_of(slot)).db_count(Db::default(), false), 1);
    gate(&engine, slot, Gate::Serving);
    assert_eq!(run_at(&engine, &mut local, "get k", later).unwrap(), "$-1\r\n");
    assert_eq!(local.stats.expired_keys, 1);
}

#[test]
fn nothing_is_evicted_from_a_slot_that_does_not_serve() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    engine.settings().set_policy("allkeys-lru".parse().unwrap());
    for n in 0..200 {
        run(&engine, &mut local, &format!("set {{tag}}{n} value")).unwrap();
    }
    gate(&engine, slot_of(b"tag"), Gate::Sealed);
    engine.settings().set_maxmemory_total_bytes(1);
    assert!(run(&engine, &mut local, "set other v").unwrap().starts_with("-OOM"));
    gate(&engine, slot_of(b"tag"), Gate::Serving);
    run(&engine, &mut local, "set other v").unwrap();
    assert!(local.stats.evicted_keys > 0);
}

#[test]
fn one_closed_gate_stops_the_whole_command() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    gate(&engine, slot_of(b"b"), Gate::Released);
    let moved = Outcome::NotExecuted(Refusal::Moved, stripe_of(slot_of(b"b")));
    assert_eq!(run(&engine, &mut local, "mset a 1 b 2"), Err(moved));
    assert_eq!(run(&engine, &mut local, "get a").unwrap(), "$-1\r\n", "the first key was not touched");
    assert_eq!(run(&engine, &mut local, "get b"), Err(moved), "not even read");
}

#[test]
fn one_closed_gate_stops_the_whole_unit() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    gate(&engine, slot_of(b"b"), Gate::Latched);
    let requests = [prepare(&engine, "set a 1"), prepare(&engine, "set b 2")];
    let calls: Vec<Call<'_>> = requests.iter().map(|request| request.call(NOW_MS)).collect();
    let refused = engine.begin_unit(&mut local, &Needs::of(&calls), None, NOW_MS, None).map(|_| ()).unwrap_err();
    assert_eq!(refused, Outcome::NotExecuted(Refusal::Paused, stripe_of(slot_of(b"b"))));
    gate(&engine, slot_of(b"b"), Gate::Serving);
    let unit = engine.begin_unit(&mut local, &Needs::of(&calls), None, NOW_MS, None).map_err(|_| ()).unwrap();
    let mut out = Out::new(Proto::Resp2);
    let stripe = engine.stripe(stripe_of(slot_of(b"a")));
    assert!(!stripe.try_lock(), "a unit holds its locks");
    for call in &calls {
        unit.run(&mut local, call, &mut out);
    }
    drop(unit);
    assert_eq!(out.to_vec(), b"+OK\r\n+OK\r\n");
    assert!(stripe.try_lock());
    stripe.unlock();
}

#[test]
fn a_walk_waits_at_a_closed_gate_and_passes_a_dark_slot_by() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    for n in 0..100 {
        run(&engine, &mut local, &format!("set key:{n} value")).unwrap();
    }
    let closed = slot_of(b"key:7");
    gate(&engine, closed, Gate::Sealed);
    let flush = prepare(&engine, "flushall");
    let call = flush.call(NOW_MS);
    let Body::Walk(body) = &call.spec().body else { panic!("FLUSHALL walks") };
    let mut state = WalkState::begin(body, &engine, &mut local, &call).unwrap();
    let mut step = || loop {
        match state.step(body, &engine, &mut local, &call, false) {
            Step::More => {}
            step => return step,
        }
    };
    assert_eq!(step(), Step::Closed(stripe_of(closed)));
    gate(&engine, closed, Gate::Dark);
    assert_eq!(step(), Step::Done);
    let count = || -> u64 {
        (0..swell_engine::stripe::STRIPES).map(|at| engine.stripe(at).db_count(Db::default(), false)).sum()
    };
    assert_eq!(count(), 0, "an imported slot's keys do not count");
    gate(&engine, closed, Gate::Serving);
    let left = count();
    assert!((1..100).contains(&left), "only the imported slot keeps its keys: {left}");
}

#[test]
fn a_taken_stripe_is_busy_and_a_ticket_gets_in() {
    let engine = Engine::new(1);
    let mut local = engine.local(1);
    let index = stripe_of(slot_of(b"k"));
    let stripe = engine.stripe(index);
    assert!(stripe.try_lock());
    assert_eq!(run(&engine, &mut local, "set k v"), Err(Outcome::Busy(index)));
    let ticket = stripe.draw(index, std::task::Waker::noop());
    stripe.unlock();
    run(&engine, &mut local, "set k w").expect("a newcomer passes a ticket whose holder has not come yet");
    let request = prepare(&engine, "set k v");
    let mut out = Out::new(Proto::Resp2);
    assert!(stripe.lock_briefly());
    let outcome = engine.execute(&mut local, &request.call(NOW_MS), Some(ticket), &mut out);
    assert_eq!(outcome, Outcome::Busy(index));
    stripe.unlock();
    assert_eq!(run(&engine, &mut local, "set k w"), Err(Outcome::Busy(index)), "nobody passes one that has come");
    let outcome = engine.execute(&mut local, &request.call(NOW_MS), Some(ticket), &mut out);
    assert!(matches!(outcome, Outcome::Done { failed: false, .. }));
    assert_eq!(run(&engine, &mut local, "get k").unwrap(), "$1\r\nv\r\n");
}
