//! What leaves one engine through `Export` is the same in the other that took it through `Import`; and what an import
//! must not do: touch slots that are served, other keys, or memory that there is not.

use std::collections::BTreeMap;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::entry::{Fields, NewValue};
use swell_engine::gate::Gate;
use swell_engine::import::ImportFault;
use swell_engine::key::all_dbs;
use swell_engine::stripe::{STRIPE_SLOTS, stripe_of};
use swell_engine::{Context, Db, Engine, Local, Outcome};
use swell_ring::{SLOTS, Slot, slot_of};
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;
const KEYS: usize = 500;

/// An entry as it is outside: its value, its expiry, its memcached flags and unique.
type Seen = (Vec<u8>, Option<u64>, u32, Option<u64>);

struct Bench {
    engine: Engine,
    local: Local,
}

impl Bench {
    fn new() -> Bench {
        let engine = Engine::new(7);
        Bench { local: engine.local(3), engine }
    }

    /// With every slot Dark, as a target's are.
    fn dark() -> Bench {
        let bench = Bench::new();
        slots().for_each(|slot| bench.gate(slot, Gate::Dark));
        bench
    }

    fn gate(&self, slot: Slot, gate: Gate) {
        self.engine.stripe(stripe_of(slot)).set_gate(slot, gate);
    }

    fn run(&mut self, db: Db, words: &[&[u8]]) -> String {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{words:?}") };
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms: NOW_MS, db, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        let outcome = self.engine.execute(&mut self.local, &call, None, &mut out);
        assert!(matches!(outcome, Outcome::Done { .. }), "{words:?}: {outcome:?}");
        String::from_utf8(out.to_vec()).unwrap()
    }

    /// All that the engine holds, read a few keys at a time.
    fn contents(&self) -> BTreeMap<(u8, Vec<u8>), Seen> {
        let mut found = BTreeMap::new();
        for (slot, db) in slots().flat_map(|slot| all_dbs().map(move |db| (slot, db))) {
            let export = self.engine.export(stripe_of(slot));
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                cursor = export.part(slot, db, from, 2, |entry| {
                    assert_eq!(slot_of(entry.key()), slot);
                    let value = entry.string().unwrap().to_bytes().into_owned();
                    let seen = (value, entry.expire_at_ms(), entry.mc_flags(), entry.cas());
                    assert_eq!(found.insert((db.number(), entry.key().to_vec()), seen), None, "each key once");
                });
            }
        }
        found
    }

    fn put(&mut self, db: Db, key: &[u8], value: &[u8], fields: &Fields) -> Result<(), ImportFault> {
        let key = self.engine.key_in(key, db);
        self.engine.import(&mut self.local, stripe_of(key.slot)).put(key, NewValue::Bytes(value), fields)
    }

    fn apply(&mut self, key: &[u8], words: &[&[u8]], fields: Fields) -> Result<(), ImportFault> {
        let (key, args) = (self.engine.key_in(key, Db::default()), OwnedArgs::from_slices(words));
        self.engine.import(&mut self.local, stripe_of(key.slot)).run(key, args.as_args(), fields)
    }
}

fn slots() -> impl Iterator<Item = Slot> {
    (0..SLOTS as u16).filter_map(Slot::new)
}

fn db(number: i64) -> Db {
    Db::new(number).unwrap()
}

#[test]
fn all_that_one_engine_exports_another_takes_in() {
    let (mut source, mut target) = (Bench::new(), Bench::dark());
    for n in 0..KEYS {
        let (key, long) = (format!("key:{n}"), vec![n as u8; if n % 50 == 0 { 200_000 } else { n }]);
        source.run(db(n as i64 % 3), &[b"SET", key.as_bytes(), &long]);
        if n % 2 == 0 {
            let at = (NOW_MS + 1_000 + n as u64).to_string();
            source.run(db(n as i64 % 3), &[b"PEXPIREAT", key.as_bytes(), at.as_bytes()]);
        }
    }
    let contents = source.contents();
    assert_eq!(contents.len(), KEYS);
    for ((db_number, key), (value, expire_at_ms, mc_flags, cas)) in &contents {
        let memcached = key.ends_with(b"7");
        let (mc_flags, cas) = if memcached { (9, Some(77)) } else { (*mc_flags, *cas) };
        let fields = Fields { expire_at_ms: *expire_at_ms, mc_flags, cas, memcached, ..Fields::default() };
        target.put(db((*db_number).into()), key, value, &fields).unwrap();
    }
    for (id, seen) in target.contents() {
        let (value, expire_at_ms, ..) = &contents[&id];
        let is_memcached = id.1.ends_with(b"7");
        let want = (value.clone(), *expire_at_ms, if is_memcached { 9 } else { 0 }, is_memcached.then_some(77));
        assert_eq!(seen, want, "{:?}", String::from_utf8_lossy(&id.1));
    }
    assert_eq!(target.contents().len(), KEYS);

    // Not counted before it is served, and then all of it.
    assert_eq!(target.run(db(0), &[b"DBSIZE"]), ":0\r\n");
    slots().for_each(|slot| target.gate(slot, Gate::Serving));
    for (number, want) in [(0, 167), (1, 167), (2, 166)] {
        assert_eq!(target.run(db(number), &[b"DBSIZE"]), format!(":{want}\r\n"), "database {number}");
    }
    assert_eq!(target.run(db(1), &[b"GET", b"key:1"]), "$1\r\n\u{1}\r\n");
}

#[test]
fn later_changes_are_taken_over_in_place() {
    let mut target = Bench::dark();
    let key = target.engine.key_in(b"k", Db::default());
    let long = vec![b'.'; 100_000];
    assert_eq!(target.apply(b"k", &[b"setrange", b"k", b"0", b"x"], Fields::default()), Err(ImportFault::NoKey));
    target.put(Db::default(), b"k", b"first", &Fields::default()).unwrap();
    target.put(Db::default(), b"k", &long, &Fields::default()).unwrap();
    target.apply(b"k", &[b"setrange", b"k", b"99998", b"end"], Fields { cas: Some(5), ..Fields::default() }).unwrap();
    // Long gone, by any clock; but nothing expires here.
    target.engine.import(&mut target.local, stripe_of(key.slot)).expire_at(key, Some(1)).unwrap();
    let (value, expire_at_ms, _, cas) = &target.contents()[&(0, b"k".to_vec())];
    assert_eq!((value.len(), &value[99_997..], *expire_at_ms, *cas), (100_001, &b".end"[..], Some(1), Some(5)));

    let mut import = target.engine.import(&mut target.local, stripe_of(key.slot));
    import.expire_at(key, None).unwrap();
    import.delete(key).unwrap();
    assert_eq!(import.delete(key), Err(ImportFault::NoKey));
    assert_eq!(import.expire_at(key, Some(1)), Err(ImportFault::NoKey));
    drop(import);
    assert!(target.contents().is_empty());
}

#[test]
fn what_is_no_effect_on_that_key_is_refused() {
    let mut target = Bench::dark();
    for key in [&b"k"[..], b"other"] {
        target.put(Db::default(), key, b"v", &Fields::default()).unwrap();
    }
    for words in [
        &[&b"setrange"[..], b"other", b"0", b"x"][..],
        &[b"setrange", b"k", b"0"],
        &[b"setrange", b"k", b"-1", b"x"],
        &[b"expire", b"k", b"100"],
        &[b"mset", b"k", b"1", b"other", b"2"],
        &[b"flushall"],
        &[b"nonsense", b"k"],
        &[],
    ] {
        assert_eq!(target.apply(b"k", words, Fields::default()), Err(ImportFault::NoEffect), "{words:?}");
    }
    let contents = target.contents();
    assert!(contents.values().all(|(value, ..)| value == b"v"), "{contents:?}");
}

#[test]
fn only_dark_slots_of_the_stripe_are_written_to() {
    for gate in [Gate::Serving, Gate::Sealed, Gate::Latched, Gate::Released] {
        let mut bench = Bench::dark();
        let key = bench.engine.key_in(b"k", Db::default());
        bench.put(Db::default(), b"k", b"v", &Fields::default()).unwrap();
        bench.gate(key.slot, gate);
        let refused = Err(ImportFault::NotDark(key.slot));
        assert_eq!(bench.put(Db::default(), b"k", b"new", &Fields::default()), refused, "{gate:?}");
        assert_eq!(bench.apply(b"k", &[b"setrange", b"k", b"0", b"x"], Fields::default()), refused);
        let mut import = bench.engine.import(&mut bench.local, stripe_of(key.slot));
        assert_eq!(import.delete(key), refused);
        assert_eq!(import.expire_at(key, None), refused);
        assert_eq!(import.clear(key.slot, Db::default()), refused);
        drop(import);
        assert_eq!(bench.contents()[&(0, b"k".to_vec())].0, b"v");
    }
    // Dark, but under another lock than this one's.
    let mut bench = Bench::dark();
    let key = bench.engine.key_in(b"k", Db::default());
    let other = (stripe_of(key.slot) + 1) % (SLOTS / STRIPE_SLOTS);
    let put = bench.engine.import(&mut bench.local, other).put(key, NewValue::Bytes(b"v"), &Fields::default());
    assert_eq!(put, Err(ImportFault::NotDark(key.slot)));
    assert!(bench.contents().is_empty());
}

#[test]
fn an_import_stops_at_the_whole_caches_maximum_and_evicts_nothing() {
    let mut target = Bench::dark();
    target.put(Db::default(), b"first", b"v", &Fields::default()).unwrap();
    target.engine.settings().set_maxmemory_total_bytes(1_000_000);
    let value = vec![b'v'; 10_000];
    let mut taken = 1;
    let fault = loop {
        match target.put(Db::default(), format!("k{taken}").as_bytes(), &value, &Fields::default()) {
            Ok(()) => taken += 1,
            Err(fault) => break fault,
        }
        assert!(taken < 200, "200 times 10 kB are more than a megabyte");
    };
    assert_eq!(fault, ImportFault::NoMemory);
    assert_eq!(target.contents().len(), taken, "what was there before is still there");
    assert!(taken > 50, "{taken}");
}

#[test]
fn a_slot_is_dropped_whole_whatever_its_gate() {
    let mut bench = Bench::new();
    let slot = slot_of(b"{t}");
    for n in 0..30 {
        bench.run(db(n % 3), &[b"SET", format!("{{t}}{n}").as_bytes(), b"v"]);
    }
    bench.run(db(0), &[b"SET", b"elsewhere", b"v"]);
    assert_eq!((bench.engine.slot_keys(slot), bench.engine.gate(slot)), (30, Gate::Serving));
    bench.gate(slot, Gate::Released);
    assert_eq!(bench.run(db(0), &[b"DBSIZE"]), ":1\r\n");
    assert_eq!(bench.engine.drop_slot(&mut bench.local, slot), 30);
    assert_eq!((bench.engine.slot_keys(slot), bench.engine.drop_slot(&mut bench.local, slot)), (0, 0));
    bench.gate(slot, Gate::Serving);
    assert_eq!(bench.run(db(0), &[b"DBSIZE"]), ":1\r\n");
    // One database of a slot that is being imported.
    bench.gate(slot, Gate::Dark);
    for number in [0, 1] {
        bench.put(db(number), b"{t}", b"v", &Fields::default()).unwrap();
    }
    bench.engine.import(&mut bench.local, stripe_of(slot)).clear(slot, db(1)).unwrap();
    assert_eq!(bench.engine.slot_keys(slot), 1);
}
