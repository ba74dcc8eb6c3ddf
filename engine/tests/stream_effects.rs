//! Whoever replays the effects of stream commands has the same stream: nodes, groups, pending entries, times.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::effect::{Effect, Observer};
use swell_engine::entry::{Entry, Fields};
use swell_engine::gate::Gate;
use swell_engine::stripe::stripe_of;
use swell_engine::value::stream::Stream;
use swell_engine::value::{Kept, LargeRef};
use swell_engine::{Context, Db, Engine, Local, Outcome};
use swell_ring::{Slot, slot_of};
use swell_wire::{Out, OwnedArgs, Proto};

const KEY: &[u8] = b"s";
const COMMANDS: usize = 4000;
/// An empty stream of Redis 7.0 with a group `g` that has read -5 entries, and alice who was seen 9 ms before 1970.
const BEFORE_ALL_TIME: &[u8] = b"\x13\0\0\x01\x01\0\0\0\0\x01\x01\x01g\x01\x01\
    \x81\xff\xff\xff\xff\xff\xff\xff\xfb\0\x01\x05alice\xf7\xff\xff\xff\xff\xff\xff\xff\0P\0}\xe0\x13\x95FA%+";

/// What a follower was told.
enum Told {
    Put(Kept, Fields),
    Argv(OwnedArgs, Fields),
    Delete,
}

#[derive(Clone, Default)]
struct Follower(Arc<Mutex<Vec<Told>>>);

impl Observer for Follower {
    fn before(&mut self, _: Slot, _: Db, _: &[u8], _: Option<Entry<'_>>) {}

    fn after(&mut self, _: Slot, _: Db, key: &[u8], effect: &Effect<'_>) {
        assert_eq!(key, KEY);
        self.0.lock().unwrap().push(match effect {
            Effect::Put(entry) => Told::Put(entry.to_kept().expect("a stream"), entry.fields()),
            Effect::Argv(args, entry) => Told::Argv(args.clone(), entry.fields()),
            Effect::Delete => Told::Delete,
            Effect::ExpireAt(_) => unreachable!("nothing expires here"),
        });
    }

    fn cleared(&mut self, _: Slot, _: Db) {}
    fn unit_begin(&mut self) {}
    fn unit_end(&mut self) {}
}

struct Bench {
    engine: Engine,
    local: Local,
    now_ms: u64,
}

impl Bench {
    fn new() -> Bench {
        let engine = Engine::new(7);
        Bench { local: engine.local(3), engine, now_ms: 1_700_000_000_000 }
    }

    fn run(&mut self, words: &[impl AsRef<[u8]> + Debug]) {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("{words:?}") };
        let mut keys = Vec::new();
        command.spec.hash_keys(&self.engine, args.as_args(), &mut keys);
        let context = Context { now_ms: self.now_ms, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        let outcome = self.engine.execute(&mut self.local, &call, None, &mut out);
        assert!(matches!(outcome, Outcome::Done { .. }), "{words:?}: {outcome:?}");
    }

    fn replay(&mut self, told: Told) {
        let key = self.engine.key_in(KEY, Db::default());
        let mut import = self.engine.import(&mut self.local, stripe_of(key.slot));
        match told {
            Told::Put(kept, fields) => import.put_kept(key, kept, &fields).unwrap(),
            Told::Argv(args, fields) => {
                let words: Vec<_> = args.as_args().iter().map(String::from_utf8_lossy).collect();
                import.run(key, args.as_args(), fields).unwrap_or_else(|why| panic!("{why}: {words:?}"));
            }
            Told::Delete => import.delete(key).unwrap(),
        }
    }

    /// The stream in its parts, one after the other; nothing where it is not there.
    fn parts(&self) -> Option<Vec<u8>> {
        let key = self.engine.key_in(KEY, Db::default());
        let (export, mut parts) = (self.engine.export(stripe_of(key.slot)), None);
        export.part(key.slot, Db::default(), 0, usize::MAX, |entry| {
            let Some(Kept::Large(large)) = entry.to_kept() else { panic!("no stream") };
            let LargeRef::Stream(stream) = large.as_ref() else { panic!("no stream") };
            parts = Some(in_parts(stream));
        });
        parts
    }
}

fn in_parts(stream: &Stream) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), Some(0));
    while let Some(from) = at {
        at = stream.write_part(from, &mut bytes);
    }
    bytes
}

/// A command out of random numbers.
fn command(next: &mut impl FnMut(u64) -> u64) -> Vec<String> {
    let group = ["g", "h"][next(2) as usize];
    let consumer = ["alice", "bob", "carl"][next(3) as usize];
    let some_id = format!("{}-{}", 1_700_000_000_000 + next(4000), next(2));
    let count = next(5) + 1;
    let text = match next(16) {
        0..=3 => format!("XADD s * f v{}", next(1000)),
        4 => format!("XADD s MAXLEN ~ {} * f v g w", next(300)),
        5 => format!("XADD s MINID {some_id} * f v"),
        6 => format!("XTRIM s {} {}", ["MAXLEN", "MAXLEN ~", "MAXLEN ="][next(3) as usize], 100 + next(200)),
        7 => format!("XGROUP CREATE s {group} {}", ["0", "$"][next(2) as usize]),
        8 => format!("XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS s >"),
        9 => format!("XREADGROUP GROUP {group} {consumer} NOACK COUNT {count} STREAMS s >"),
        10 => format!("XREADGROUP GROUP {group} {consumer} COUNT {count} STREAMS s 0"),
        11 => format!("XCLAIM s {group} {consumer} {} {some_id} FORCE IDLE 500 LASTID {some_id}", next(3) * 1000),
        12 => format!("XAUTOCLAIM s {group} {consumer} {} - COUNT {count}", next(3) * 1000),
        13 => format!("XDEL s {some_id} 1700000000000-0"),
        14 => format!("XACK s {group} {some_id}"),
        _ => match next(20) {
            0 => "DEL s".to_owned(),
            1 => format!("XGROUP DESTROY s {group}"),
            2 => format!("XGROUP DELCONSUMER s {group} {consumer}"),
            3 => format!("XGROUP SETID s {group} {some_id} ENTRIESREAD 3"),
            4 => "XSETID s 1700000005000-0 ENTRIESADDED 9999".to_owned(),
            _ => format!("XGROUP CREATECONSUMER s {group} {consumer}"),
        },
    };
    text.split(' ').map(str::to_owned).collect()
}

/// A stream and whoever replays its effects.
struct Pair {
    source: Bench,
    target: Bench,
    follower: Follower,
    /// Effects that were told as commands.
    replayed: usize,
}

impl Pair {
    fn new() -> Pair {
        let (source, target, follower) = (Bench::new(), Bench::new(), Follower::default());
        target.engine.stripe(stripe_of(slot_of(KEY))).set_gate(slot_of(KEY), Gate::Dark);
        source.engine.follow(stripe_of(slot_of(KEY)), source.engine.observer_id(), Box::new(follower.clone()));
        Pair { source, target, follower, replayed: 0 }
    }

    /// Runs a command and compares what comes of its effects.
    fn run(&mut self, words: &[impl AsRef<[u8]> + Debug]) {
        self.source.run(words);
        for told in self.follower.0.lock().unwrap().drain(..) {
            self.replayed += usize::from(matches!(told, Told::Argv(..)));
            self.target.replay(told);
        }
        assert!(self.source.parts() == self.target.parts(), "{words:?}");
    }
}

#[test]
fn effects_make_the_same_stream() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("seed {seed}");
    let mut random = seed;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut pair = Pair::new();
    for _ in 0..COMMANDS {
        pair.source.now_ms += next(3);
        pair.run(&command(&mut next));
    }
    assert!(pair.replayed > COMMANDS / 3, "most changes are told as commands: {}", pair.replayed);
}

#[test]
fn effects_keep_times_before_all_time() {
    let mut pair = Pair::new();
    pair.run(&[b"RESTORE", KEY, b"0", BEFORE_ALL_TIME]);
    for text in
        ["XGROUP CREATECONSUMER s g bob", "XREADGROUP GROUP g alice STREAMS s 0", "XREADGROUP GROUP g bob STREAMS s >"]
    {
        pair.run(&text.split(' ').collect::<Vec<_>>());
    }
    assert!(pair.replayed > 0);
}
