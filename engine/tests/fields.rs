//! Whoever follows the effects on hashes and sets can rebuild them, though fields expire in one engine and never in the
//! other: random commands at a source, their effects replayed at a target where no time passes.

use std::sync::{Arc, Mutex};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::effect::{Effect, Observer};
use swell_engine::entry::{Content, Entry, Fields};
use swell_engine::gate::Gate;
use swell_engine::stripe::{STRIPES, stripe_of};
use swell_engine::value::Kept;
use swell_engine::{Context, Db, Engine, Local, Outcome};
use swell_ring::{SLOTS, Slot};
use swell_wire::{Out, OwnedArgs, Proto};

const BEGIN_MS: u64 = 1_700_000_000_000;
const FIELDS: u64 = 40;

enum Op {
    Put(Kept, Fields),
    Delete,
    ExpireAt(Option<u64>),
    Run(OwnedArgs, Fields),
}

type Ops = Arc<Mutex<Vec<(Vec<u8>, Op)>>>;

struct Follower(Ops);

impl Observer for Follower {
    fn before(&mut self, _: Slot, _: Db, _: &[u8], _: Option<Entry<'_>>) {}

    fn after(&mut self, _: Slot, _: Db, key: &[u8], effect: &Effect<'_>) {
        let op = match effect {
            Effect::Put(entry) => match entry.content() {
                Content::Collection(kept) => Op::Put(kept.to_kept(), entry.fields()),
                Content::String(_) => panic!("no string is stored here"),
            },
            Effect::Delete => Op::Delete,
            Effect::ExpireAt(at) => Op::ExpireAt(*at),
            Effect::Argv(args, entry) => Op::Run(args.clone(), entry.fields()),
        };
        self.0.lock().unwrap().push((key.to_vec(), op));
    }

    fn cleared(&mut self, _: Slot, _: Db) {}
    fn unit_begin(&mut self) {}
    fn unit_end(&mut self) {}
}

struct Bench {
    engine: Engine,
    local: Local,
}

impl Bench {
    fn new() -> Bench {
        let engine = Engine::new(7);
        Bench { local: engine.local(3), engine }
    }

    fn run(&mut self, now_ms: u64, words: &[Vec<u8>]) -> String {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{words:?}") };
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        let outcome = self.engine.execute(&mut self.local, &call, None, &mut out);
        assert!(matches!(outcome, Outcome::Done { .. }), "{words:?}: {outcome:?}");
        String::from_utf8_lossy(&out.to_vec()).into_owned()
    }

    fn apply(&mut self, key: &[u8], op: Op) {
        let key = self.engine.key_in(key, Db::default());
        let mut import = self.engine.import(&mut self.local, stripe_of(key.slot));
        match op {
            Op::Put(kept, fields) => import.put_kept(key, kept, &fields),
            Op::Delete => import.delete(key),
            Op::ExpireAt(at) => import.expire_at(key, at),
            Op::Run(args, fields) => import.run(key, args.as_args(), fields),
        }
        .unwrap();
    }

    /// All that can be seen of a key where nothing has expired.
    fn seen(&mut self, key: &str) -> Vec<String> {
        let all = |words: &str| words.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let mut seen: Vec<String> = Vec::new();
        for command in ["HGETALL", "SMEMBERS"] {
            let reply = self.run(0, &all(&format!("{command} {key}")));
            let mut lines: Vec<&str> = reply.lines().collect();
            lines.sort_unstable();
            seen.push(lines.join(" "));
        }
        let fields: String = (0..FIELDS).map(|n| format!(" {n}")).collect();
        seen.push(self.run(0, &all(&format!("HPEXPIRETIME {key} FIELDS {FIELDS}{fields}"))));
        seen.push(self.run(0, &all(&format!("OBJECT ENCODING {key}"))));
        seen.push(self.run(0, &all(&format!("PEXPIRETIME {key}"))));
        seen
    }
}

/// One random command; `words` are drawn from few, so that they meet.
fn command(next: &mut impl FnMut(u64) -> u64, now_ms: u64) -> String {
    let hash = format!("{{k}}h{}", next(4));
    let (set, other) = (format!("{{k}}s{}", next(4)), format!("{{k}}s{}", next(4)));
    let (f, g, value, ms) = (next(FIELDS), next(FIELDS), next(1000), next(300));
    let long = "x".repeat(next(3) as usize * 40);
    match next(36) {
        0..4 => format!("HSET {hash} {f} {value} {g} {value}{long}"),
        4 => format!("HSETNX {hash} {f} {value}"),
        5 => format!("HINCRBY {hash} {f} 3"),
        6 => format!("HINCRBYFLOAT {hash} {f} 0.5"),
        7..10 => format!("HPEXPIRE {hash} {ms} FIELDS 2 {f} {g}"),
        10 => format!("HPEXPIREAT {hash} {} LT FIELDS 1 {f}", now_ms + ms),
        11 => format!("HPERSIST {hash} FIELDS 2 {f} {g}"),
        12 => format!("HGETEX {hash} PX {ms} FIELDS 2 {f} {g}"),
        13 => format!("HGETEX {hash} PERSIST FIELDS 1 {f}"),
        14 => format!("HSETEX {hash} PX {ms} FIELDS 2 {f} {value} {g} {value}"),
        15 => format!("HSETEX {hash} KEEPTTL FIELDS 2 {f} {value} {g} {value}"),
        16 => format!("HSETEX {hash} FNX FIELDS 1 {f} {value}{long}"),
        17 => format!("HGETDEL {hash} FIELDS 2 {f} {g}"),
        18 | 19 => format!("HDEL {hash} {f} {g}"),
        20 if next(20) == 0 => format!("DEL {hash}"),
        21 if next(5) == 0 => format!("COPY {hash} {{k}}copy{} REPLACE", next(2)),
        22 => format!("PEXPIRE {hash} {}", 100 + ms),
        23..26 => format!("SADD {set} {f} {g} {value}"),
        26 => format!("SADD {set} member:{f}{long}"),
        27 => format!("SREM {set} {f} {g}"),
        28 => format!("SMOVE {set} {other} {f}"),
        29 => format!("SPOP {set}"),
        30 => format!("SPOP {set} 3"),
        31 => format!("SUNIONSTORE {set} {set} {other}"),
        32 if next(3) == 0 => format!("SINTERSTORE {set} {set} {other}"),
        33 if next(3) == 0 => format!("SDIFFSTORE {set} {other} {set}"),
        34 => format!("SPOP {set} 1000"),
        _ => format!("HMSET {hash} {f} {value}"),
    }
}

#[test]
fn effects_rebuild_hashes_and_sets() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("seed {seed}");
    let mut random = seed;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let (mut source, mut target) = (Bench::new(), Bench::new());
    let ops = Ops::default();
    for stripe in 0..STRIPES {
        source.engine.follow(stripe, source.engine.observer_id(), Box::new(Follower(ops.clone())));
    }
    let gate = |target: &Bench, gate| {
        let slots = (0..SLOTS as u16).filter_map(Slot::new);
        slots.for_each(|slot| target.engine.stripe(stripe_of(slot)).set_gate(slot, gate));
    };
    let mut now_ms = BEGIN_MS;
    for _ in 0..200 {
        gate(&target, Gate::Dark);
        for _ in 0..100 {
            now_ms += next(20);
            let words = command(&mut next, now_ms);
            let words: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            let reply = source.run(now_ms, &words);
            let told = std::mem::take(&mut *ops.lock().unwrap());
            // Not every field holds a number.
            let is_fault = reply.starts_with("-ERR hash value is not a");
            assert!(if is_fault { told.is_empty() } else { !reply.starts_with('-') }, "{words:?}: {reply}");
            for (key, op) in told {
                target.apply(&key, op);
            }
        }
        gate(&target, Gate::Serving);
        for key in ["h0", "h1", "h2", "h3", "s0", "s1", "s2", "s3", "copy0", "copy1"].map(|name| format!("{{k}}{name}"))
        {
            assert_eq!(source.seen(&key), target.seen(&key), "{key}");
        }
    }
}

#[test]
fn expired_fields_are_removed_unasked() {
    let mut source = Bench::new();
    let ops = Ops::default();
    let words = |words: &str| words.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    for n in 0..2_000 {
        source.run(BEGIN_MS, &words(&format!("HSETEX h PX {} FIELDS 1 field:{n} v", 1 + n % 100)));
    }
    source.run(BEGIN_MS, &words("HSET h stays v"));
    source.run(BEGIN_MS, &words("HSETEX gone PX 5 FIELDS 2 a v b v"));
    source.engine.report(&mut source.local);
    let full = source.engine.used_bytes();
    for stripe in 0..STRIPES {
        source.engine.follow(stripe, source.engine.observer_id(), Box::new(Follower(ops.clone())));
    }
    let mut cursor = swell_engine::expire::UpkeepCursor::default();
    let mut visit = |source: &mut Bench, now_ms| {
        // A part at a time: no lock is held for all of them.
        for _ in 0..40 {
            source.engine.expire_due(&mut source.local, &mut cursor, now_ms, u64::MAX);
        }
    };
    visit(&mut source, BEGIN_MS);
    assert_eq!(source.run(BEGIN_MS, &words("HLEN h")), ":2001\r\n");
    visit(&mut source, BEGIN_MS + 51);
    assert_eq!(source.run(BEGIN_MS + 51, &words("HLEN h")), ":1001\r\n");
    assert_eq!(source.run(BEGIN_MS + 51, &words("EXISTS gone")), ":0\r\n");
    visit(&mut source, BEGIN_MS + 1_000);
    assert_eq!(source.run(BEGIN_MS + 1_000, &words("HGETALL h")), "*2\r\n$5\r\nstays\r\n$1\r\nv\r\n");
    source.engine.report(&mut source.local);
    assert!(source.engine.used_bytes() < full / 4);
    let ops = std::mem::take(&mut *ops.lock().unwrap());
    let told: usize = ops
        .iter()
        .map(|(_, op)| match op {
            Op::Run(args, _) => {
                assert_eq!(args.as_args().slice(0), b"hdel");
                args.as_args().len() - 2
            }
            Op::Delete => 2,
            _ => panic!("fields are removed and nothing else"),
        })
        .sum();
    assert_eq!(told, 2_002, "each removed field is told");
}
