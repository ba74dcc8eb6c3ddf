//! Measures what this engine's commands take and prints the rows of `SWELL` in `src/coefficients.rs`:
//! `cargo run --release -p swell-meter --example calibrate`. On a machine that does nothing else, for a minute.
//!
//! A million keys of 16 bytes with values of 100 bytes, keys drawn evenly, one call at a time, nothing prefetched;
//! hashing of keys, locking, the command and its reply are timed, decoding and sockets are not.

use std::hint::black_box;
use std::time::Instant;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Command, tables};
use swell_engine::spec::{Body, Group, WorkUnit};
use swell_engine::walk::{Step, WalkState};
use swell_engine::{Call, Context, Engine, Local, Outcome};
use swell_wire::{Args, Out, OwnedArgs, Proto};

const KEYS: u64 = 1_000_000;
const VALUE: [u8; 100] = [b'v'; 100];
/// Calls timed with two clock reads.
const BATCH_CALLS: usize = 64;
/// Batches of which the median counts.
const BATCHES: usize = 401;
/// Keys in the longer calls of commands that take many.
const MANY_KEYS: usize = 100;
/// Times that a walk over everything is run.
const WALKS: usize = 9;
const NOW_MS: u64 = 1_795_392_000_000;

type Request = Vec<Vec<u8>>;

/// An engine with its one worker.
struct Bench {
    engine: Engine,
    local: Local,
    random: u64,
    drawn: u64,
    fresh: u64,
}

/// One printed row.
struct Row {
    name: &'static str,
    base_ns: f64,
    unit_ns: f64,
}

fn main() {
    let mut bench = Bench::new();
    bench.load(KEYS);
    let mut numbers = Bench::new();
    numbers.load_numbers(KEYS);
    let mut rows = Vec::new();
    let mut unmeasured = Vec::new();
    let (walks, calls): (Vec<Command>, Vec<Command>) =
        engine_commands().partition(|command| matches!(command.spec.body, Body::Walk(_)));
    for command in calls {
        let bench = if wants_numbers(command.spec.name) { &mut numbers } else { &mut bench };
        match bench.row(command) {
            Some(row) => rows.push(row),
            None => unmeasured.push(command.spec.name),
        }
    }
    // Walks last: two of them empty the cache.
    for command in walks {
        match command.spec.name {
            "keys" | "scan" | "flushall" | "flushdb" => rows.push(bench.walk_row(command)),
            name => unmeasured.push(name),
        }
    }
    print(rows, &unmeasured);
}

/// What the engine runs for RESP clients; memcached's verbs are priced by items.
fn engine_commands() -> impl Iterator<Item = Command> {
    tables().resp.iter().filter(|command| !matches!(command.spec.body, Body::Session | Body::Container))
}

fn print(mut rows: Vec<Row>, unmeasured: &[&str]) {
    rows.sort_by_key(|row| row.name);
    let of = |name| rows.iter().find(|row| row.name == name).map_or(0.0, |row| row.base_ns + row.unit_ns);
    println!("baseline_ns: {:.0} (GET {:.0}, SET {:.0})", of("get").max(of("set")), of("get"), of("set"));
    for Row { name, base_ns, unit_ns } in &rows {
        println!("        row(\"{name}\", {base_ns:.0}, {unit_ns:.0}),");
    }
    println!("not measured, so one baseline: {}", unmeasured.join(" "));
}

impl Bench {
    fn new() -> Bench {
        let engine = Engine::new(1);
        let local = engine.local(1);
        Bench { engine, local, random: 0x2545_f491_4f6c_dd1d, drawn: 0, fresh: 0 }
    }

    fn load(&mut self, keys: u64) {
        for number in 0..keys {
            self.run(&[b"set".to_vec(), key(number), VALUE.to_vec()]);
        }
    }

    fn load_numbers(&mut self, keys: u64) {
        for number in 0..keys {
            self.run(&[b"set".to_vec(), key(number), b"1000".to_vec(), b"ex".to_vec(), b"10000".to_vec()]);
        }
    }

    /// Nothing for a command that this program has no request for.
    fn row(&mut self, command: Command) -> Option<Row> {
        let name = command.spec.name;
        if command.spec.cost.work != WorkUnit::Key {
            return Some(Row { name, base_ns: self.nanoseconds(name, 1)?, unit_ns: 0.0 });
        }
        let (one, many) = (self.nanoseconds(name, 1)?, self.nanoseconds(name, MANY_KEYS)?);
        let unit_ns = (many - one) / (MANY_KEYS - 1) as f64;
        Some(Row { name, base_ns: (one - unit_ns).max(0.0), unit_ns })
    }

    /// The median of batches, in nanoseconds for a call with so many keys.
    fn nanoseconds(&mut self, name: &str, keys: usize) -> Option<f64> {
        let calls = (BATCH_CALLS / keys).max(4);
        let mut times = Vec::new();
        for _ in 0..BATCHES {
            let requests: Vec<Request> = (0..calls).map(|_| self.request(name, keys)).collect::<Option<_>>()?;
            times.push(self.timed(&requests) / calls as f64);
            self.restore(name, &requests);
        }
        Some(median(times))
    }

    fn walk_row(&mut self, command: Command) -> Row {
        let name = command.spec.name;
        if name == "scan" {
            let (few, many) = (self.scan(10), self.scan(1000));
            let unit_ns = (many - few) / 990.0;
            return Row { name, base_ns: (few - 10.0 * unit_ns).max(0.0), unit_ns };
        }
        let empties = command.spec.is_write();
        // Roughly one key in ten fits: neither everything is answered nor nothing.
        let request: Request = if empties { vec![name.into()] } else { vec![name.into(), b"key:*7".to_vec()] };
        let times = (0..if empties { 3 } else { WALKS }).map(|_| {
            let nanoseconds = self.timed(std::slice::from_ref(&request));
            if empties {
                self.load(KEYS);
            }
            nanoseconds
        });
        let full = median(times.collect());
        let mut empty = Bench::new();
        let base_ns = median((0..WALKS).map(|_| empty.timed(std::slice::from_ref(&request))).collect());
        Row { name, base_ns, unit_ns: (full - base_ns).max(0.0) / KEYS as f64 }
    }

    /// A SCAN from anywhere, in nanoseconds.
    fn scan(&mut self, count: usize) -> f64 {
        let mut times = Vec::new();
        for _ in 0..BATCHES {
            let cursor = (self.random() % 16_384) << 32;
            let request =
                ["scan", &cursor.to_string(), "count", &count.to_string()].map(|word| word.as_bytes().to_vec());
            times.push(self.timed(std::slice::from_ref(&request.to_vec())));
        }
        median(times)
    }

    /// Nanoseconds for all requests.
    fn timed(&mut self, requests: &[Request]) -> f64 {
        let owned: Vec<OwnedArgs> = requests.iter().map(|request| OwnedArgs::from_slices(request)).collect();
        let mut out = Out::new(Proto::Resp2);
        let mut keys = Vec::new();
        let started = Instant::now();
        for args in &owned {
            keys.clear();
            out.clear();
            execute(&self.engine, &mut self.local, args.as_args(), &mut keys, &mut out);
        }
        let nanoseconds = started.elapsed().as_nanos() as f64;
        black_box(&out);
        nanoseconds
    }

    fn run(&mut self, request: &[Vec<u8>]) {
        let args = OwnedArgs::from_slices(request);
        execute(&self.engine, &mut self.local, args.as_args(), &mut Vec::new(), &mut Out::new(Proto::Resp2));
    }

    /// Puts back what calls took away, and takes away what they added, so that a million keys stay.
    fn restore(&mut self, name: &str, requests: &[Request]) {
        for request in requests {
            match name {
                "del" | "unlink" | "getdel" => {
                    request[1..].iter().for_each(|key| self.run(&[b"set".to_vec(), key.clone(), VALUE.to_vec()]));
                }
                "rename" | "renamenx" => {
                    self.run(&[b"del".to_vec(), request[2].clone()]);
                    self.run(&[b"set".to_vec(), request[1].clone(), VALUE.to_vec()]);
                }
                "copy" => self.run(&[b"del".to_vec(), request[2].clone()]),
                "setnx" => self.run(&[b"del".to_vec(), request[1].clone()]),
                "msetnx" => request[1..].iter().step_by(2).for_each(|key| self.run(&[b"del".to_vec(), key.clone()])),
                "append" => {
                    self.run(&[b"set".to_vec(), request[1].clone(), VALUE.to_vec()]);
                }
                "persist" => self.run(&[b"expire".to_vec(), request[1].clone(), b"10000".to_vec()]),
                "expire" | "pexpire" | "expireat" | "pexpireat" | "getex" | "setex" | "psetex" => {
                    self.run(&[b"persist".to_vec(), request[1].clone()]);
                }
                _ => {}
            }
        }
    }

    /// A typical call of a command with so many keys.
    fn request(&mut self, name: &str, keys: usize) -> Option<Request> {
        let mut words: Request = name.split('|').map(Into::into).collect();
        let mut plain = |tail: &[&str]| {
            words.push(self.some_key());
            words.extend(tail.iter().map(|word| word.as_bytes().to_vec()));
        };
        match name {
            "get" | "getdel" | "strlen" | "ttl" | "pttl" | "expiretime" | "pexpiretime" | "type" | "debug|object"
            | "memory|usage" | "object|encoding" | "object|idletime" | "object|refcount" => plain(&[]),
            "getset" | "set" => plain(&[as_text(&VALUE)]),
            "append" => plain(&["0123456789"]),
            "getrange" | "substr" => plain(&["0", "49"]),
            "setrange" => plain(&["10", "0123456789"]),
            "getex" => plain(&["ex", "10000"]),
            "setex" => plain(&["10000", as_text(&VALUE)]),
            "psetex" => plain(&["10000000", as_text(&VALUE)]),
            "expire" => plain(&["10000"]),
            "pexpire" => plain(&["10000000"]),
            "expireat" => plain(&["1900000000"]),
            "pexpireat" => plain(&["1900000000000"]),
            "incr" | "decr" | "persist" => plain(&[]),
            "incrby" | "decrby" => plain(&["7"]),
            "incrbyfloat" => plain(&["1.5"]),
            "rename" | "renamenx" | "copy" => {
                words.extend([self.some_key(), self.fresh_key()]);
            }
            "setnx" => words.extend([self.fresh_key(), VALUE.to_vec()]),
            "mset" => (0..keys).for_each(|_| words.extend([self.some_key(), VALUE.to_vec()])),
            "msetnx" => (0..keys).for_each(|_| words.extend([self.fresh_key(), VALUE.to_vec()])),
            "mget" | "del" | "unlink" | "exists" | "touch" => {
                words.extend((0..keys).map(|_| self.some_key()));
            }
            "dbsize" | "randomkey" => {}
            "swapdb" => words.extend([b"1".to_vec(), b"2".to_vec()]),
            _ => return None,
        }
        Some(words)
    }

    /// Each key once before any comes again, in an order that memory does not know.
    fn some_key(&mut self) -> Vec<u8> {
        self.drawn += 1;
        key(self.drawn.wrapping_mul(618_033_989) % KEYS)
    }

    fn fresh_key(&mut self) -> Vec<u8> {
        self.fresh += 1;
        format!("new:{:012}", self.fresh).into_bytes()
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

fn execute(engine: &Engine, local: &mut Local, args: Args<'_>, keys: &mut Vec<swell_engine::KeyHash>, out: &mut Out) {
    let swell_engine::commands::table::Found::Command(command) = tables().resp.find(args) else {
        panic!("the table has what this program asks for")
    };
    assert_ne!(command.spec.group, Group::Memcached);
    command.spec.hash_keys(engine, args, keys);
    let context = Context { now_ms: NOW_MS, ..Context::default() };
    let call = Admitted::from_link(command.spec, args).call(keys, context);
    match engine.execute(local, &call, None, out) {
        Outcome::Done { failed, .. } => assert!(!failed, "{} fails", command.spec.name),
        Outcome::Walk => walk(engine, local, &call, out),
        refused => panic!("{} is {refused:?}", command.spec.name),
    }
}

fn walk(engine: &Engine, local: &mut Local, call: &Call<'_>, out: &mut Out) {
    let Body::Walk(body) = &call.spec().body else { panic!("{} walks", call.spec().name) };
    let mut state = WalkState::begin(body, engine, local, call).expect("the arguments are well formed");
    while state.step(body, engine, local, call, false) != Step::Done {}
    (body.end)(call.args(), &mut state, out);
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

/// Commands that want keys which hold numbers and expire.
fn wants_numbers(name: &str) -> bool {
    matches!(name, "incr" | "decr" | "incrby" | "decrby" | "incrbyfloat" | "persist")
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is ASCII")
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
