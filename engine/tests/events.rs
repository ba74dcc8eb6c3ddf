//! Events that no request tells by itself: expiry and eviction, imports, memcached's verbs, databases that have changed
//! places. What requests tell is compared with a real server in the integration tests.

use std::sync::{Arc, Mutex};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::entry::{Fields, NewValue};
use swell_engine::evict::Policy;
use swell_engine::expire::UpkeepCursor;
use swell_engine::gate::Gate;
use swell_engine::notify::Class;
use swell_engine::stripe::stripe_of;
use swell_engine::{Context, Db, Engine, Local, Outcome};
use swell_ring::slot_of;
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;

struct Bench {
    engine: Engine,
    local: Local,
    now_ms: u64,
    told: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    /// Tells of these classes.
    fn telling(classes: &str) -> Bench {
        let engine = Engine::new(7);
        engine.settings().set_notified(Class::parse(classes.as_bytes()).unwrap());
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = told.clone();
        engine.use_notifier(Box::new(move |event| {
            let key = String::from_utf8_lossy(event.key);
            heard.lock().unwrap().push(format!("{} {} {key} @{}", event.class, event.event, event.db));
        }));
        Bench { local: engine.local(3), engine, now_ms: NOW_MS, told }
    }

    fn execute(&mut self, is_memcached: bool, db: Db, request: &str) -> String {
        let words: Vec<&str> = request.split(' ').collect();
        let args = OwnedArgs::from_slices(&words);
        let table = if is_memcached { &tables().memcached } else { &tables().resp };
        let Found::Command(command) = table.find(args.as_args()) else { panic!("{request}") };
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms: self.now_ms, db, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        let outcome = self.engine.execute(&mut self.local, &call, None, &mut out);
        assert!(matches!(outcome, Outcome::Done { failed: false, .. }), "{request}: {outcome:?}");
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn run(&mut self, request: &str) -> String {
        self.execute(false, Db::default(), request)
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

#[test]
fn upkeep_tells_what_has_expired() {
    let mut bench = Bench::telling("KEA");
    bench.run("set k v px 10");
    bench.run("hset h stays v");
    bench.run("hsetex h px 10 fields 2 a 1 b 2");
    bench.run("hsetex all px 10 fields 2 a 1 b 2");
    bench.told();
    bench.now_ms += 11;
    let (engine, local, mut cursor) = (&bench.engine, &mut bench.local, UpkeepCursor::default());
    while engine.expire_due(local, &mut cursor, bench.now_ms, 1000) > 0 {}
    let mut told = bench.told();
    told.sort();
    assert_eq!(told, ["g del all @0", "h hexpired all @0", "h hexpired h @0", "x expired k @0"]);
}

#[test]
fn each_evicted_key_is_told() {
    let mut bench = Bench::telling("KEe");
    bench.engine.settings().set_policy(Policy::AllKeysRandom);
    bench.engine.settings().set_maxmemory_total_bytes(1 << 20);
    for number in 0..2_000 {
        bench.run(&format!("set key:{number} {}", "x".repeat(1_000)));
    }
    let told = bench.told();
    assert!(told.len() > 500, "{}", told.len());
    assert_eq!(told.len() as u64, bench.local.take_stats().evicted_keys);
    assert!(told.iter().all(|event| event.starts_with("e evicted key:") && event.ends_with(" @0")), "{:?}", told[0]);
}

#[test]
fn what_an_import_brings_has_happened_elsewhere() {
    let mut bench = Bench::telling("KEAnm");
    let (engine, local) = (&bench.engine, &mut bench.local);
    let (key, slot) = (engine.key_in(b"k", Db::default()), slot_of(b"k"));
    engine.stripe(stripe_of(slot)).set_gate(slot, Gate::Dark);
    let mut import = engine.import(local, stripe_of(slot));
    let fields = Fields::default();
    import.put(key, NewValue::Bytes(b"hello"), &fields).unwrap();
    import.put(key, NewValue::Bytes(b"hallo"), &fields).unwrap();
    let replayed = OwnedArgs::from_slices(&["setrange", "k", "1", "e"]);
    import.run(key, replayed.as_args(), fields).unwrap();
    import.expire_at(key, Some(NOW_MS + 1)).unwrap();
    import.delete(key).unwrap();
    import.put(key, NewValue::Bytes(b"hello"), &fields).unwrap();
    drop(import);
    assert_eq!(bench.told(), [""; 0]);
    engine.stripe(stripe_of(slot)).set_gate(slot, Gate::Serving);
    bench.run("append k !");
    assert_eq!(bench.told(), ["$ append k @0"], "and then it is served");
}

/// memcached's verbs tell what the command of Redis tells that does the same.
#[test]
fn memcached_tells_as_resp_does() {
    let mut bench = Bench::telling("KEAnm");
    for (request, told) in [
        ("get k", &["m keymiss k @0"][..]),
        ("set k 0 0 1 5", &["n new k @0", "$ set k @0"]),
        ("set k 0 100 1 5", &["$ set k @0", "g expire k @0"]),
        ("add k 0 0 1 5", &[]),
        ("replace k 0 0 1 5", &["$ set k @0"]),
        ("incr k 1", &["$ incrby k @0"]),
        ("decr k 1", &["$ incrby k @0"]),
        ("append k 0 0 1 5", &["$ append k @0"]),
        ("prepend k 0 0 1 5", &["$ set k @0"]),
        ("touch k 100", &["g expire k @0"]),
        ("gat 100 k", &["g expire k @0"]),
        ("gat 0 k", &["g persist k @0"]),
        ("touch k 0", &[]),
        ("gets k", &[]),
        ("cas k 0 0 1 1 7", &["$ set k @0"]),
        ("delete k", &["g del k @0"]),
        ("delete k", &[]),
        ("set k 0 -1 1 5", &[]),
        ("add k 0 0 1 5", &["n new k @0", "$ set k @0"]),
        ("touch k -1", &["x expired k @0"]),
        ("add k 0 0 1 5", &["n new k @0", "$ set k @0"]),
        ("set k 0 -1 1 5", &["x expired k @0"]),
    ] {
        bench.execute(true, Db::default(), request);
        assert_eq!(bench.told(), told, "{request}");
    }
}

#[test]
fn databases_that_changed_places_keep_their_clients_numbers() {
    let mut bench = Bench::telling("KEAn");
    let (one, five) = (Db::new(1).unwrap(), Db::new(5).unwrap());
    bench.execute(false, one, "set k v");
    bench.execute(false, one, "swapdb 1 5");
    bench.execute(false, five, "append k v");
    bench.execute(false, five, "move k 1");
    bench.execute(false, one, "copy k k db 9");
    bench.execute(false, one, "pexpire k 5");
    bench.now_ms += 6;
    bench.execute(false, one, "exists k");
    assert_eq!(
        bench.told(),
        [
            "n new k @1",
            "$ set k @1",
            "$ append k @5",
            "n new k @1",
            "g move_from k @5",
            "g move_to k @1",
            "n new k @9",
            "g copy_to k @9",
            "g expire k @1",
            "x expired k @1"
        ]
    );
}

/// A class alone says nothing of where it is to be told.
#[test]
fn nobody_is_told_without_a_kind_of_channel() {
    let mut bench = Bench::telling("A");
    bench.run("set k v");
    assert_eq!(bench.told(), [""; 0]);
    bench.engine.settings().set_notified(Class::parse(b"K$").unwrap());
    bench.run("set k v ex 10");
    assert_eq!(bench.told(), ["$ set k @0"], "and of no other class");
}
