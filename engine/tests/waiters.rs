//! Who waits for keys: a random model of queues and lists beside the engine, and what the model does not know: gates,
//! databases that change places, panics of nobody.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::gate::{Gate, Refusal};
use swell_engine::unit::Needs;
use swell_engine::waiters::GaveUp;
use swell_engine::{Blocks, Context, Deferred, Engine, Local, Outcome};
use swell_ring::{CacheState, slot_of};
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_000_000;
const ROUNDS: usize = 20_000;
/// In three stripes, two in each.
const KEYS: [&str; 6] = ["{a}1", "{a}2", "{b}1", "{b}2", "{c}1", "{c}2"];

struct Bench {
    engine: Engine,
    local: Local,
}

impl Bench {
    fn new() -> Bench {
        let engine = Engine::new(7);
        let local = engine.local(1);
        Bench { engine, local }
    }

    /// Runs a request that may wait.
    fn run(&mut self, text: &str) -> Result<Vec<u8>, Box<Deferred>> {
        let args = OwnedArgs::from_slices(&text.split(' ').collect::<Vec<_>>());
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{text}") };
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms: NOW_MS, blocks: Blocks::May, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        match self.engine.execute(&mut self.local, &call, None, &mut out) {
            Outcome::Done { .. } => Ok(out.to_vec()),
            Outcome::Deferred => Err(self.local.take_deferred().unwrap()),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn done(&mut self, text: &str) -> String {
        String::from_utf8(self.run(text).unwrap_or_else(|_| panic!("{text} waits"))).unwrap()
    }

    fn waits(&mut self, text: &str) -> Box<Deferred> {
        self.run(text).err().unwrap_or_else(|| panic!("{text} does not wait"))
    }

    /// Several requests as one.
    fn unit(&mut self, texts: &[String]) {
        let args: Vec<_> =
            texts.iter().map(|text| OwnedArgs::from_slices(&text.split(' ').collect::<Vec<_>>())).collect();
        let specs: Vec<_> = args
            .iter()
            .map(|args| match tables().resp.find(args.as_args()) {
                Found::Command(command) => command.spec,
                _ => panic!("{texts:?}"),
            })
            .collect();
        let mut keys = vec![Vec::new(); args.len()];
        for ((spec, args), keys) in specs.iter().zip(&args).zip(&mut keys) {
            spec.hash_keys(&self.engine, args.as_args(), keys);
        }
        let context = Context { now_ms: NOW_MS, ..Context::default() };
        let calls: Vec<_> = specs
            .iter()
            .zip(&args)
            .zip(&keys)
            .map(|((spec, args), keys)| Admitted::from_link(spec, args.as_args()).call(keys, context))
            .collect();
        let unit = self
            .engine
            .begin_unit(&mut self.local, &Needs::of(&calls), None, NOW_MS, None)
            .expect("nobody else is here");
        for call in &calls {
            unit.run(&mut self.local, call, &mut Out::new(Proto::Resp2));
        }
        unit.end(&mut self.local);
    }
}

fn reply(deferred: &mut Deferred) -> Option<String> {
    if !deferred.is_ready() {
        return None;
    }
    let mut out = Out::new(Proto::Resp2);
    deferred.step(&mut out);
    Some(String::from_utf8(out.to_vec()).unwrap())
}

fn pair(key: &str, element: &str) -> String {
    format!("*2\r\n${}\r\n{key}\r\n${}\r\n{element}\r\n", key.len(), element.len())
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.below(KEYS.len())]
    }
}

/// One who waits, as the model sees it.
struct Modelled {
    keys: Vec<&'static str>,
    /// Where an element goes that is moved.
    to: Option<&'static str>,
    deferred: Box<Deferred>,
    expected: Option<String>,
}

#[derive(Default)]
struct Model {
    lists: BTreeMap<&'static str, VecDeque<String>>,
    /// In the order of coming.
    waiting: Vec<Modelled>,
}

impl Model {
    fn push(&mut self, key: &'static str, element: String) {
        self.lists.entry(key).or_default().push_back(element);
    }

    fn serve(&mut self, mut ready: VecDeque<&'static str>) {
        while let Some(key) = ready.pop_front() {
            for at in 0..self.waiting.len() {
                let waiter = &mut self.waiting[at];
                if waiter.expected.is_some() || !waiter.keys.contains(&key) {
                    continue;
                }
                let full = |key: &&&str| self.lists.get(**key).is_some_and(|list| !list.is_empty());
                let Some(from) = waiter.keys.iter().find(full) else { continue };
                let element = self.lists.get_mut(from).and_then(VecDeque::pop_front).unwrap();
                match waiter.to {
                    None => waiter.expected = Some(pair(from, &element)),
                    Some(to) => {
                        waiter.expected = Some(format!("${}\r\n{element}\r\n", element.len()));
                        self.lists.entry(to).or_default().push_back(element);
                        ready.push_back(to);
                    }
                }
            }
        }
    }
}

#[test]
fn who_waits_is_served_as_the_model_says() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("seed {seed}");
    let (mut random, mut bench, mut model) = (Random(seed), Bench::new(), Model::default());
    for round in 0..ROUNDS {
        match random.below(10) {
            0..=3 => begin(&mut bench, &mut model, &mut random),
            4..=6 => {
                let (key, element) = (random.key(), format!("e{round}"));
                bench.done(&format!("RPUSH {key} {element}"));
                model.push(key, element);
                model.serve(VecDeque::from([key]));
            }
            7 => {
                let key = random.key();
                let expected = match model.lists.get_mut(key).and_then(VecDeque::pop_front) {
                    Some(element) => format!("${}\r\n{element}\r\n", element.len()),
                    None => "$-1\r\n".to_owned(),
                };
                assert_eq!(bench.done(&format!("LPOP {key}")), expected, "round {round}");
            }
            8 if !model.waiting.is_empty() => {
                let gone = random.below(model.waiting.len());
                let waiter = model.waiting.remove(gone).deferred.waiter().unwrap().clone();
                waiter.give_up(GaveUp::Left);
                bench.engine.forget(&waiter);
            }
            _ => {
                let pushes: Vec<_> = (0..3).map(|n| (random.key(), format!("u{round}.{n}"))).collect();
                bench.unit(&pushes.iter().map(|(key, element)| format!("RPUSH {key} {element}")).collect::<Vec<_>>());
                let mut ready = VecDeque::new();
                for (key, element) in pushes {
                    model.push(key, element);
                    if !ready.contains(&key) {
                        ready.push_back(key);
                    }
                }
                model.serve(ready);
            }
        }
        settle(&mut model, round);
    }
    model.waiting.clear();
    bench.engine.serve_rest(&mut bench.local);
    assert_eq!(bench.engine.waiters().keys(), 0, "nothing is left of those who have gone");
}

/// Somebody comes, who finds something or waits.
fn begin(bench: &mut Bench, model: &mut Model, random: &mut Random) {
    let mut keys: Vec<_> = (0..1 + random.below(3)).map(|_| random.key()).collect();
    let to = (random.below(3) == 0).then(|| random.key());
    let text = match to {
        Some(to) => format!("BLMOVE {} {to} LEFT RIGHT 0", keys[0]),
        None => format!("BLPOP {} 0", keys.join(" ")),
    };
    if to.is_some() {
        keys.truncate(1);
    }
    let waits = keys.iter().all(|key| model.lists.get(key).is_none_or(VecDeque::is_empty));
    match bench.run(&text) {
        Err(deferred) => {
            assert!(waits, "{text} waits");
            model.waiting.push(Modelled { keys, to, deferred, expected: None });
        }
        Ok(_) => {
            assert!(!waits, "{text} does not wait");
            let from = keys.into_iter().find(|key| model.lists.get(key).is_some_and(|list| !list.is_empty())).unwrap();
            let element = model.lists.get_mut(from).and_then(VecDeque::pop_front).unwrap();
            if let Some(to) = to {
                model.push(to, element);
                model.serve(VecDeque::from([to]));
            }
        }
    }
}

/// Whoever has been served has what the model says, and nobody else has anything.
fn settle(model: &mut Model, round: usize) {
    for waiter in &mut model.waiting {
        assert_eq!(reply(&mut waiter.deferred), waiter.expected, "round {round}: {:?} {:?}", waiter.keys, waiter.to);
    }
    model.waiting.retain(|waiter| waiter.expected.is_none());
}

#[test]
fn of_several_who_end_a_wait_one_does() {
    let mut bench = Bench::new();
    let mut first = bench.waits("BLPOP k 0");
    let waiter = first.waiter().unwrap().clone();
    assert!(waiter.give_up(GaveUp::Timeout));
    assert!(!waiter.give_up(GaveUp::Error));
    let mut second = bench.waits("BLPOP k k 0");
    assert_eq!(bench.done("RPUSH k 1"), ":1\r\n");
    assert_eq!(reply(&mut first).unwrap(), "*-1\r\n");
    assert_eq!(reply(&mut second).unwrap(), pair("k", "1"));
    assert!(!second.waiter().unwrap().give_up(GaveUp::Timeout), "it has been served");
    assert_eq!(bench.engine.waiters().keys(), 0);
}

#[test]
fn a_slot_that_leaves_sends_its_waiters_away_and_a_closed_gate_serves_nobody() {
    let mut bench = Bench::new();
    let mut waiting = [bench.waits("BLPOP {a}1 {b}1 0"), bench.waits("BLPOP {b}1 0")];
    let slot = slot_of(b"{a}1");
    let stripe = slot.index() / 64;
    bench.engine.stripe(stripe).set_gate(slot, Gate::Sealed);
    assert!(!waiting[0].is_ready(), "a seal may be lifted");
    bench.done("RPUSH {b}1 1");
    assert_eq!(waiting[0].refused(), Some((Refusal::Paused, stripe)), "it has to wait for the gate");
    assert_eq!(reply(&mut waiting[1]).unwrap(), pair("{b}1", "1"));
    bench.engine.stripe(stripe).set_gate(slot, Gate::Serving);
    let since_us = waiting[0].waiter().unwrap().since_us();
    bench.engine.forget(waiting[0].waiter().unwrap());
    let younger = bench.waits("BLPOP {b}1 0");
    bench.local.waits_since(since_us - 1);
    let mut older = bench.waits("BLPOP {a}1 {b}1 0");
    bench.engine.stripe(stripe).set_gate(slot, Gate::Released);
    assert_eq!(older.refused(), Some((Refusal::Moved, stripe)));
    bench.engine.stripe(stripe).set_gate(slot, Gate::Serving);
    bench.local.waits_since(since_us - 1);
    older = bench.waits("BLPOP {b}1 {a}1 0");
    bench.done("RPUSH {b}1 2");
    assert_eq!(reply(&mut older).unwrap(), pair("{b}1", "2"), "it has kept its place");
    assert!(!younger.is_ready());
}

#[test]
fn who_waits_goes_on_waiting_for_his_number_when_databases_change_places() {
    let mut bench = Bench::new();
    let mut waiting = bench.waits("BLPOP k 0");
    bench.done("SWAPDB 0 1");
    assert!(!waiting.is_ready());
    bench.done("RPUSH k 1");
    assert_eq!(reply(&mut waiting).unwrap(), pair("k", "1"));
    let state = CacheState { version: 1, entries: bench.engine.state_entries() };
    waiting = bench.waits("BLPOP k 0");
    bench.done("SWAPDB 0 2");
    bench.engine.apply_state(&state).unwrap();
    assert!(waiting.refused().is_some(), "a document that comes from elsewhere has all begin anew");
}

#[test]
fn who_waits_is_woken_once_it_is_served() {
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut bench = Bench::new();
    let count = Arc::<Count>::default();
    let mut waiting = bench.waits("BZPOPMIN z 0");
    waiting.wait(&Waker::from(count.clone()));
    bench.done("SET z x");
    bench.done("DEL z");
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    bench.done("ZADD z 1 m");
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(reply(&mut waiting).unwrap(), "*3\r\n$1\r\nz\r\n$1\r\nm\r\n$1\r\n1\r\n");
}
