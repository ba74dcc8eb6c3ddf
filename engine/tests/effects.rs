//! Whoever follows the effects of a stripe can rebuild it: random commands on an engine whose stripes are all followed,
//! and a copy that knows only the effects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::effect::{Effect, Observer};
use swell_engine::entry::Entry;
use swell_engine::spec::Body;
use swell_engine::stripe::STRIPES;
use swell_engine::walk::{Step, WalkState};
use swell_engine::{Context, Db, Engine, Local, Outcome};
use swell_ring::{Slot, slot_of};
use swell_wire::{Arg, Out, OwnedArgs, Proto, Segments};

type Copy = BTreeMap<(u8, Vec<u8>), (Vec<u8>, Option<u64>)>;

struct Follower {
    copy: Arc<Mutex<Copy>>,
    announced: Option<(u8, Vec<u8>)>,
    units: i32,
}

impl Observer for Follower {
    fn before(&mut self, _: Slot, db: Db, key: &[u8], entry: Option<Entry<'_>>) {
        let id = (db.number(), key.to_vec());
        let known = self.copy.lock().unwrap().get(&id).map(|(value, _)| value.clone());
        let is = entry.map(|entry| entry.string().unwrap().to_bytes().into_owned());
        assert_eq!(is, known, "what is about to change is what the effects have built");
        assert_eq!(self.announced.replace(id), None, "every before has its after");
    }

    fn after(&mut self, _: Slot, db: Db, key: &[u8], effect: &Effect<'_>) {
        let id = (db.number(), key.to_vec());
        assert_eq!(self.announced.take().as_ref(), Some(&id), "after follows before, for the same key");
        let mut copy = self.copy.lock().unwrap();
        match effect {
            Effect::Put(entry) => {
                copy.insert(id, (entry.string().unwrap().to_bytes().into_owned(), entry.expire_at_ms()));
            }
            Effect::Delete => assert!(copy.remove(&id).is_some(), "only what was there is deleted"),
            Effect::ExpireAt(at) => copy.get_mut(&id).expect("the key is there").1 = *at,
            Effect::Argv(args, entry) => {
                let args = args.as_args();
                assert_eq!(args.slice(0), b"setrange");
                let offset: usize = std::str::from_utf8(args.slice(2)).unwrap().parse().unwrap();
                let (value, _) = copy.get_mut(&id).expect("the key is there");
                let mut segments = Segments::from_slice(value);
                match args.get(3) {
                    Arg::Slice(bytes) => segments.write_at(offset, bytes),
                    Arg::Segments(more) => segments.write_at(offset, &more.to_vec()),
                }
                *value = segments.to_vec();
                assert!(entry.string().unwrap().to_bytes() == value.as_slice(), "the entry is what the command made");
            }
        }
    }

    fn cleared(&mut self, slot: Slot, db: Db) {
        self.copy.lock().unwrap().retain(|(of, key), _| (*of, slot_of(key)) != (db.number(), slot));
    }

    fn unit_begin(&mut self) {
        self.units += 1;
        assert_eq!(self.units, 1, "units do not nest");
    }

    fn unit_end(&mut self) {
        self.units -= 1;
        assert_eq!(self.units, 0);
    }
}

struct Bench {
    engine: Engine,
    local: Local,
    now_ms: u64,
}

impl Bench {
    fn run(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("unknown command") };
        let mut keys = Vec::new();
        let flat = command.spec.flatten(args.as_args());
        let args = flat.as_ref().unwrap_or(&args).as_args();
        command.spec.hash_keys(&self.engine, args, &mut keys);
        let context = Context { now_ms: self.now_ms, ..Context::default() };
        let call = Admitted::from_link(command.spec, args).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        match self.engine.execute(&mut self.local, &call, None, &mut out) {
            Outcome::Done { .. } => {}
            Outcome::Walk => {
                let Body::Walk(body) = &command.spec.body else { unreachable!() };
                let mut state = WalkState::begin(body, &self.engine, &mut self.local, &call).unwrap();
                while state.step(body, &self.engine, &mut self.local, &call, false) != Step::Done {}
                (body.end)(args, &mut state, &mut out);
            }
            other => panic!("{other:?}"),
        }
        out.to_vec()
    }
}

fn contents(engine: &Engine, local: &mut Local, now_ms: u64) -> Copy {
    let mut found = Copy::new();
    for number in 0..16384u16 {
        let slot = Slot::new(number).unwrap();
        swell_engine::exec::inspect_slot(engine, local, slot, Db::default(), now_ms, |entry| {
            found.insert(
                (0, entry.key().to_vec()),
                (entry.string().unwrap().to_bytes().into_owned(), entry.expire_at_ms()),
            );
        });
    }
    found
}

#[test]
fn effects_rebuild_the_data_after_random_commands() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("seed {seed}");
    let mut random = seed;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let engine = Engine::new(7);
    let local = engine.local(3);
    let copy = Arc::new(Mutex::new(Copy::new()));
    for index in 0..STRIPES {
        let follower = Follower { copy: copy.clone(), announced: None, units: 0 };
        engine.follow(index, engine.observer_id(), Box::new(follower));
    }
    let mut bench = Bench { engine, local, now_ms: 1_700_000_000_000 };
    let long = vec![b'x'; 70_000];
    for _ in 0..20_000 {
        bench.now_ms += next(40);
        let keys: Vec<Vec<u8>> = (0..2).map(|_| format!("key:{}", next(60)).into_bytes()).collect();
        let number = next(1000).to_string().into_bytes();
        let ms = (next(3000) + 1).to_string().into_bytes();
        let (a, b) = (keys[0].as_slice(), keys[1].as_slice());
        match next(20) {
            0..=3 => bench.run(&[b"set", a, &number]),
            4 => bench.run(&[b"set", a, &number, b"px", &ms]),
            5 => bench.run(&[b"set", a, &long]),
            6 => bench.run(&[b"append", a, &number]),
            7 => bench.run(&[b"setrange", a, &number, b"patch"]),
            8 => bench.run(&[b"incr", a]),
            9 => bench.run(&[b"pexpire", a, &ms]),
            10 => bench.run(&[b"persist", a]),
            11 => bench.run(&[b"rename", a, b]),
            12 => bench.run(&[b"copy", a, b, b"replace"]),
            13 => bench.run(&[b"mset", a, &number, b, b"x"]),
            14 => bench.run(&[b"del", a, b]),
            15 => bench.run(&[b"getdel", a]),
            16 => bench.run(&[b"getex", a, b"px", &ms]),
            17 => bench.run(&[b"get", a]),
            18 if next(400) == 0 => bench.run(&[b"flushall"]),
            _ => bench.run(&[b"setnx", a, &number]),
        };
    }
    let is = contents(&bench.engine, &mut bench.local, bench.now_ms);
    assert!(!is.is_empty());
    assert_eq!(is, *copy.lock().unwrap());
}

#[test]
fn used_memory_returns_to_nothing() {
    let engine = Engine::new(9);
    let local = engine.local(5);
    let mut bench = Bench { engine, local, now_ms: 1_700_000_000_000 };
    let long = vec![b'y'; 300_000];
    for number in 0..5_000u32 {
        let key = format!("key:{number}").into_bytes();
        let value = vec![b'v'; number as usize % 700];
        bench.run(&[b"set", &key, &value]);
        if number % 500 == 0 {
            bench.run(&[b"set", &key, &long]);
            bench.run(&[b"setrange", &key, b"299990", b"0123456789abcdef"]);
        }
        if number % 3 == 0 {
            bench.run(&[b"pexpire", &key, b"1000"]);
        }
    }
    bench.engine.report(&mut bench.local);
    let loaded = bench.engine.used_bytes();
    assert!(loaded > 5_000 * 300, "{loaded}");
    bench.now_ms += 2_000;
    let mut cursor = swell_engine::expire::UpkeepCursor::default();
    bench.engine.expire_due(&mut bench.local, &mut cursor, bench.now_ms, u64::MAX);
    bench.engine.report(&mut bench.local);
    assert_eq!(bench.local.stats.expired_keys, 1_667);
    assert!(bench.engine.used_bytes() < loaded);
    bench.run(&[b"flushall"]);
    bench.engine.report(&mut bench.local);
    assert_eq!(bench.engine.used_bytes(), 0, "every byte that was accounted is given back");
}
