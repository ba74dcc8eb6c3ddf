//! Work that is much runs elsewhere, with its stripes locked: the reply, its price and what is stored are what they would
//! be at once, others are served meanwhile, and nobody sees half of it.

use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use swell_engine::admit::Admitted;
use swell_engine::bulk::{Errand, Lent};
use swell_engine::commands::table::{Found, tables};
use swell_engine::{Context, Deferred, Engine, Local, Outcome};
use swell_wire::{Out, OwnedArgs};

const NOW_MS: u64 = 1_700_000_000_000;
const MANY: usize = 20_000;

/// One engine with a worker. What is lent waits until a test runs it.
struct Bench {
    engine: Engine,
    local: Local,
    lent: Arc<Mutex<Vec<Lent>>>,
}

/// A reply: its bytes, data bytes and work, and whether it is an error.
type Got = (String, u64, u64, bool);

struct Woken(Mutex<bool>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
    }
}

impl Bench {
    fn new(helps: bool) -> Bench {
        let engine = Engine::new(7);
        let (local, lent) = (engine.local(3), Arc::<Mutex<Vec<Lent>>>::default());
        if helps {
            let lent = lent.clone();
            engine.use_helpers(Box::new(move |errand| {
                match errand {
                    Errand::Run(one) => lent.lock().unwrap().push(*one),
                    Errand::Serve(_) | Errand::Part(_) | Errand::Free(_) => panic!("nobody waits, there is no unit"),
                }
                Ok(())
            }));
        }
        Bench { engine, local, lent }
    }

    fn execute(&mut self, words: &[&str], out: &mut Out) -> Outcome {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{words:?}") };
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms: NOW_MS, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        self.engine.execute(&mut self.local, &call, None, out)
    }

    /// Runs a command, to its end if it is only long.
    fn run(&mut self, words: &[&str]) -> Got {
        let mut out = Out::default();
        let (work, failed) = match self.execute(words, &mut out) {
            Outcome::Done { work, failed } => (work, failed),
            Outcome::Deferred => {
                self.help();
                let mut rest = self.local.take_deferred().unwrap();
                rest.finish(&mut out);
                (rest.work(), rest.failed())
            }
            other => panic!("{words:?}: {other:?}"),
        };
        (String::from_utf8(out.to_vec()).unwrap(), out.data_bytes(), work, failed)
    }

    /// Begins a command that is much.
    fn begin(&mut self, words: &[&str]) -> Box<Deferred> {
        assert_eq!(self.execute(words, &mut Out::default()), Outcome::Deferred, "{words:?}");
        self.local.take_deferred().unwrap()
    }

    /// Does on another thread what was lent; returns how many that were.
    fn help(&self) -> usize {
        let lent = std::mem::take(&mut *self.lent.lock().unwrap());
        let (count, engine) = (lent.len(), &self.engine);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut local = engine.local(5);
                lent.into_iter().for_each(|one| one.run(engine, &mut local));
                engine.retire(&mut local);
            });
        });
        count
    }

    fn fill(&mut self) {
        for from in (0..MANY).step_by(500) {
            let numbers = from..from + 500;
            let names = |offset: usize| numbers.clone().map(move |n| format!("member:{}", n + offset));
            let scored = |offset| names(offset).enumerate().flat_map(|(at, name)| [format!("{}", at * 7 % 101), name]);
            let places =
                numbers.clone().flat_map(|n| [(n % 180).to_string(), (n / 300).to_string(), format!("place:{n}")]);
            self.add("SADD", "{k}s1", names(0));
            self.add("SADD", "{k}s2", names(MANY / 2));
            self.add("ZADD", "{k}z1", scored(0));
            self.add("ZADD", "{k}z2", scored(MANY / 2));
            self.add("HSET", "{k}h", names(0).flat_map(|name| [name.clone(), name]));
            self.add("RPUSH", "{k}l", numbers.clone().map(|n| (n * 7919 % MANY).to_string()));
            self.add("GEOADD", "{k}g", places);
        }
    }

    fn add(&mut self, verb: &str, key: &str, words: impl Iterator<Item = String>) {
        let words: Vec<String> = words.collect();
        let all: Vec<&str> = [verb, key].into_iter().chain(words.iter().map(String::as_str)).collect();
        let (reply, ..) = self.run(&all);
        assert!(!reply.starts_with('-'), "{verb}: {reply}");
    }
}

/// With many elements each of these is much.
const MUCH: &[&str] = &[
    "SUNION {k}s1 {k}s2",
    "SUNIONSTORE {k}to {k}s1 {k}s2",
    "SINTER {k}s1 {k}s2",
    "SINTERSTORE {k}to {k}s1 {k}s2",
    "SINTERCARD 2 {k}s1 {k}s2",
    "SDIFF {k}s1 {k}s2",
    "SDIFFSTORE {k}to {k}s1 {k}s2",
    "ZUNION 2 {k}z1 {k}z2 WITHSCORES",
    "ZUNIONSTORE {k}to 2 {k}z1 {k}z2 WEIGHTS 2 3 AGGREGATE MAX",
    "ZINTER 2 {k}z1 {k}s2",
    "ZINTERSTORE {k}to 2 {k}z1 {k}z2",
    "ZINTERCARD 2 {k}z1 {k}z2",
    "ZDIFF 2 {k}z1 {k}z2",
    "ZDIFFSTORE {k}to 2 {k}z1 {k}z2",
    "ZRANGESTORE {k}to {k}z1 0 -1",
    "SORT {k}l",
    "SORT {k}l DESC STORE {k}to",
    "SORT_RO {k}l BY nosort GET # GET {k}none",
    "GEOSEARCH {k}g FROMLONLAT 0 0 BYRADIUS 20000 km ASC",
    "GEOSEARCHSTORE {k}to {k}g FROMLONLAT 0 0 BYRADIUS 20000 km",
    "GEORADIUS {k}g 0 0 20000 km STORE {k}to",
    "ZPOPMIN {k}z1 9000",
    "ZREMRANGEBYSCORE {k}z1 20 +inf",
    "ZREMRANGEBYRANK {k}z2 5 -5",
    "SPOP {k}s1 9000",
    "SRANDMEMBER {k}s2 9000",
    "SRANDMEMBER {k}s2 -9000",
    "HRANDFIELD {k}h -9000 WITHVALUES",
    "LPOP {k}l 9000",
    "SETRANGE {k}string 3000000 x",
    "SETBIT {k}bits 30000000 1",
    "BITOP NOT {k}to {k}string",
];

#[test]
fn what_is_much_is_what_it_would_be_at_once() {
    let (mut here, mut there) = (Bench::new(false), Bench::new(true));
    here.fill();
    there.fill();
    for line in MUCH {
        let words: Vec<&str> = line.split(' ').collect();
        let wanted = here.run(&words);
        let mut out = Out::default();
        assert_eq!(there.execute(&words, &mut out), Outcome::Deferred, "{line} is much");
        assert_eq!((out.len(), there.help()), (0, 1), "{line}");
        let mut rest = there.local.take_deferred().unwrap();
        assert!(rest.is_ready());
        rest.finish(&mut out);
        let got = (String::from_utf8(out.to_vec()).unwrap(), out.data_bytes(), rest.work(), rest.failed());
        // What is drawn at random is drawn by somebody else: only how much it is is the same.
        let is_random = line.contains("POP {k}s") || line.contains("RAND");
        if is_random {
            assert_eq!((wanted.2, wanted.3), (got.2, got.3), "{line}");
            assert_eq!(wanted.0.lines().next(), got.0.lines().next(), "{line}");
        } else {
            assert!(wanted == got, "{line}");
        }
        for key in ["{k}to", "{k}z1", "{k}z2", "{k}l", "{k}string", "{k}bits"] {
            let dump = ["EXISTS", key];
            assert_eq!(here.run(&dump), there.run(&dump), "{line}: {key}");
        }
        for whole in
            ["ZRANGE {k}to 0 -1 WITHSCORES", "ZRANGE {k}z1 0 -1 WITHSCORES", "LRANGE {k}to 0 -1", "STRLEN {k}to"]
        {
            let words: Vec<&str> = whole.split(' ').collect();
            assert!(here.run(&words) == there.run(&words), "{line}, then {whole}");
        }
    }
}

#[test]
fn others_are_served_and_its_own_wait() {
    let mut bench = Bench::new(true);
    bench.fill();
    let mut rest = bench.begin(&["SUNIONSTORE", "{k}to", "{k}s1", "{k}s2"]);
    assert!(!rest.is_ready());
    assert!(rest.step(&mut Out::default()), "nothing to write yet");
    assert_eq!(bench.run(&["SET", "elsewhere", "x"]).0, "+OK\r\n");
    for words in [&["GET", "{k}x"][..], &["SADD", "{k}s1", "x"], &["SUNION", "{k}s1", "{k}s2"]] {
        assert!(matches!(bench.execute(words, &mut Out::default()), Outcome::Busy(_)), "{words:?}");
    }
    let woken = Arc::new(Woken(Mutex::new(false)));
    rest.wait(&Waker::from(woken.clone()));
    assert_eq!(bench.help(), 1);
    assert!(*woken.0.lock().unwrap() && rest.is_ready());
    let mut out = Out::default();
    assert!(!rest.step(&mut out));
    assert_eq!(out.to_vec(), format!(":{}\r\n", MANY + MANY / 2).into_bytes());
    assert_eq!(bench.run(&["SCARD", "{k}to"]).0, format!(":{}\r\n", MANY + MANY / 2));
}

#[test]
fn what_is_little_runs_at_once() {
    let mut bench = Bench::new(true);
    bench.fill();
    bench.run(&["SADD", "{k}few", "member:1", "member:2"]);
    for line in [
        "SINTER {k}few {k}s1 {k}s2",
        "SDIFF {k}few {k}s1",
        "SUNIONSTORE {k}to {k}few {k}none",
        "ZREMRANGEBYRANK {k}z1 0 10",
        "ZREMRANGEBYSCORE {k}z1 (5 5",
        "ZRANGESTORE {k}to {k}z1 0 10",
        "SPOP {k}s1 10",
        "LPOP {k}l",
        "GEOSEARCH {k}g FROMLONLAT 10 10 BYRADIUS 10 km",
        "SETBIT {k}bit 100000 1",
        "SUNION {k}none",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(matches!(bench.execute(&words, &mut Out::default()), Outcome::Done { .. }), "{line}");
    }
}

#[test]
fn what_fails_says_so() {
    let mut bench = Bench::new(true);
    bench.fill();
    let (reply, _, work, failed) = bench.run(&["SUNIONSTORE", "{k}to", "{k}s1", "{k}l"]);
    assert!(failed && work == 1 && reply.starts_with("-WRONGTYPE"), "{reply}");
    assert_eq!(bench.run(&["EXISTS", "{k}to"]).0, ":0\r\n");
    // One whose client has gone is done all the same.
    drop(bench.begin(&["SUNIONSTORE", "{k}to", "{k}s1", "{k}s2"]));
    assert_eq!(bench.help(), 1);
    assert_eq!(bench.run(&["EXISTS", "{k}to"]).0, ":1\r\n");
}

#[test]
fn without_a_helper_it_runs_on_the_worker() {
    let mut bench = Bench::new(false);
    bench.engine.use_helpers(Box::new(Err));
    bench.fill();
    let mut rest = bench.begin(&["SUNIONSTORE", "{k}to", "{k}s1", "{k}s2"]);
    let mut out = Out::default();
    assert!(rest.is_ready() && !rest.step(&mut out));
    assert_eq!(bench.run(&["SCARD", "{k}to"]).0.into_bytes(), out.to_vec());
}
