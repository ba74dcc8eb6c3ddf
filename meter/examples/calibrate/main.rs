//! Measures what this engine's commands take and prints the rows of `SWELL` in `src/coefficients.rs`:
//! `cargo run --release -p swell-meter --example calibrate`, on a machine that does nothing else, for some minutes.
//! With `collections`: only commands on collections and those that look into a value. With `server HOST:PORT`: what
//! these take on a valkey-server that has nothing else to do and no data, for the rows of `ELASTICACHE`.
//!
//! A million keys of 16 bytes with values of 100 bytes, keys drawn evenly, one call at a time, nothing prefetched;
//! hashing of keys, locking, the command and its reply are timed, decoding and sockets are not. Collections have about a
//! million elements in all, for each size.

mod cases;
mod requests;
mod server;

use std::hint::black_box;
use std::time::Instant;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Command, tables};
use swell_engine::spec::{Body, Group, Pricing, WorkUnit};
use swell_engine::walk::{Step, WalkState};
use swell_engine::{Call, Context, Engine, Local, Outcome};
use swell_wire::{Args, Out, OwnedArgs, Proto};

use crate::cases::{CASES, Case};
use crate::requests::{Dataset, Maker, Request};
use crate::server::Server;

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

/// Batches for the commands on collections.
const CASE_BATCHES: usize = 61;
/// Calls of a batch, and words of all its requests, if these are long.
const CASE_CALLS: usize = 20;
/// Least batches, and the time after which there are no more, in seconds.
const CASE_BATCHES_MIN: usize = 5;
const CASE_SECONDS: u64 = 1;
/// Most keys of a data set.
const CASE_KEYS: u64 = 200_000;

/// An engine with its one worker.
struct Bench {
    engine: Engine,
    local: Local,
    random: u64,
    drawn: u64,
    fresh: u64,
}

/// What the cases are measured on.
struct Collections {
    bench: Bench,
    maker: Maker,
    server: Option<Server>,
    loaded: Vec<Dataset>,
}

/// What calls took, on the average.
struct Sample {
    work: f64,
    nanoseconds: f64,
}

/// One printed row.
struct Row {
    name: &'static str,
    base_ns: f64,
    unit_ns: f64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let (mut rows, unmeasured) = on_plain_keys();
            rows.extend(on_collections(None));
            print(rows, &unmeasured);
        }
        ["collections"] => print(on_collections(None), &[]),
        ["server", address] => print(on_collections(Some(Server::connect(address))), &[]),
        _ => panic!("calibrate [collections | server HOST:PORT]"),
    }
}

/// Commands that any key will do for; and those that nothing here has a request for.
fn on_plain_keys() -> (Vec<Row>, Vec<&'static str>) {
    let mut bench = Bench::new();
    bench.load(KEYS);
    let mut numbers = Bench::new();
    numbers.load_numbers(KEYS);
    let mut rows = Vec::new();
    let mut unmeasured = Vec::new();
    let others = engine_commands().filter(|command| CASES.iter().all(|case| case.name != command.spec.name));
    let (walks, calls): (Vec<Command>, Vec<Command>) =
        others.partition(|command| matches!(command.spec.body, Body::Walk(_)));
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
    (rows, unmeasured)
}

/// The rows of [`CASES`], by this engine's clock or a server's statistics; the work is this engine's in any case.
fn on_collections(server: Option<Server>) -> Vec<Row> {
    let mut collections = Collections { bench: Bench::new(), maker: Maker::new(CASE_KEYS), server, loaded: Vec::new() };
    let asked = |case: &&Case| {
        let command = tables().resp.by_name(case.name.as_bytes()).expect(case.name);
        collections.server.is_none() || command.spec.cost.elasticache == Pricing::Variable
    };
    let cases: Vec<&Case> = CASES.iter().filter(asked).collect();
    cases.into_iter().map(|case| collections.row(case)).collect()
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

impl Collections {
    fn row(&mut self, case: &Case) -> Row {
        let samples: Vec<Sample> = case.templates.iter().map(|template| self.sample(case.name, template)).collect();
        let points: Vec<String> =
            samples.iter().map(|Sample { work, nanoseconds }| format!("{work:.1}: {nanoseconds:.0}")).collect();
        println!("{}: {}", case.name, points.join(", "));
        let (base_ns, unit_ns) = line(&samples);
        Row { name: case.name, base_ns, unit_ns }
    }

    fn sample(&mut self, name: &str, template: &str) -> Sample {
        self.prepare(template);
        let is_write = tables().resp.by_name(name.as_bytes()).expect(name).spec.is_write();
        let (mut work, mut times) = (Vec::new(), Vec::new());
        let words = self.maker.request(template).len();
        // It tests itself for a second.
        let calls = if name == "pfselftest" { 1 } else { (CASE_CALLS * 50 / (50 + words)).max(4) };
        let started = Instant::now();
        for batch in 0..CASE_BATCHES {
            if batch >= CASE_BATCHES_MIN && started.elapsed().as_secs() >= CASE_SECONDS {
                break;
            }
            let requests: Vec<Request> = (0..calls).map(|_| self.maker.request(template)).collect();
            let (nanoseconds, done) = self.bench.timed_work(&requests);
            work.push(done as f64 / calls as f64);
            times.push(match &mut self.server {
                None => nanoseconds / calls as f64,
                Some(server) => server.timed(name, &requests),
            });
            if is_write {
                self.run(requests.iter().flat_map(|request| self.maker.undo(request)).collect());
            }
        }
        Sample { work: median(work), nanoseconds: median(times) }
    }

    /// Fills the data sets that a template needs.
    fn prepare(&mut self, template: &str) {
        for dataset in Dataset::of_template(template) {
            if !self.loaded.contains(&dataset) {
                self.loaded.push(dataset);
                let load: Vec<Request> = self.maker.load(dataset).collect();
                self.run(load);
            }
        }
        for key in Maker::dumps_wanted(template) {
            let payload = self.bench.dump(&key);
            self.maker.tell_dump(key, payload);
        }
    }

    fn run(&mut self, requests: Vec<Request>) {
        requests.iter().for_each(|request| self.bench.run(request));
        if let Some(server) = &mut self.server {
            server.run(requests.into_iter());
        }
    }
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
        self.timed_work(requests).0
    }

    /// Nanoseconds for all requests, and their work.
    fn timed_work(&mut self, requests: &[Request]) -> (f64, u64) {
        let owned: Vec<OwnedArgs> = requests.iter().map(|request| OwnedArgs::from_slices(request)).collect();
        let mut out = Out::new(Proto::Resp2);
        let mut keys = Vec::new();
        let mut work = 0;
        let started = Instant::now();
        for args in &owned {
            keys.clear();
            out.clear();
            work += execute(&self.engine, &mut self.local, args.as_args(), &mut keys, &mut out);
        }
        let nanoseconds = started.elapsed().as_nanos() as f64;
        black_box(&out);
        while self.engine.free_garbage(&mut self.local, u64::MAX) {}
        (nanoseconds, work)
    }

    fn dump(&mut self, key: &str) -> Vec<u8> {
        let args = OwnedArgs::from_slices(&[b"dump", key.as_bytes()]);
        let mut out = Out::new(Proto::Resp2);
        execute(&self.engine, &mut self.local, args.as_args(), &mut Vec::new(), &mut out);
        let reply = out.to_vec();
        let begin = reply.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
        reply[begin..reply.len() - 2].to_vec()
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

fn execute(
    engine: &Engine,
    local: &mut Local,
    args: Args<'_>,
    keys: &mut Vec<swell_engine::KeyHash>,
    out: &mut Out,
) -> u64 {
    let swell_engine::commands::table::Found::Command(command) = tables().resp.find(args) else {
        panic!("the table has what this program asks for")
    };
    assert_ne!(command.spec.group, Group::Memcached);
    command.spec.hash_keys(engine, args, keys);
    let context = Context { now_ms: NOW_MS, ..Context::default() };
    let call = Admitted::from_link(command.spec, args).call(keys, context);
    match engine.execute(local, &call, None, out) {
        Outcome::Done { failed, work } => {
            assert!(!failed, "{} fails: {}", command.spec.name, String::from_utf8_lossy(&out.to_vec()));
            work
        }
        Outcome::Walk => {
            walk(engine, local, &call, out);
            0
        }
        refused => panic!("{} is {refused:?}", command.spec.name),
    }
}

fn walk(engine: &Engine, local: &mut Local, call: &Call<'_>, out: &mut Out) {
    let Body::Walk(body) = &call.spec().body else { panic!("{} walks", call.spec().name) };
    let mut state = WalkState::begin(body, engine, local, call).expect("the arguments are well formed");
    while state.step(body, engine, local, call, false) != Step::Done {}
    (body.end)(call.args(), &mut state, out);
}

/// The line through samples with the least squares of relative errors, which no work makes cheaper: base and unit.
fn line(samples: &[Sample]) -> (f64, f64) {
    let weighted = |of: &dyn Fn(&Sample) -> f64| -> f64 {
        samples.iter().map(|sample| of(sample) / (sample.nanoseconds * sample.nanoseconds)).sum()
    };
    let (count, work, time) =
        (weighted(&|_| 1.0), weighted(&|sample| sample.work), weighted(&|sample| sample.nanoseconds));
    let work_squared = weighted(&|sample| sample.work * sample.work);
    let both = weighted(&|sample| sample.work * sample.nanoseconds);
    let spread = count * work_squared - work * work;
    if spread <= count * work_squared * 1e-9 {
        return (time / count, 0.0);
    }
    let unit = (count * both - work * time) / spread;
    let base = (time - unit * work) / count;
    match (base < 0.0, unit < 0.0) {
        (true, _) => (0.0, both / work_squared),
        (_, true) => (time / count, 0.0),
        _ => (base, unit),
    }
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
