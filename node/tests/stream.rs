//! The stream of slots between two nodes of one process, while clients write: what arrives is what was sealed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, Table, tables};
use swell_engine::entry::Fields;
use swell_engine::expire::UpkeepCursor;
use swell_engine::gate::{Gate, Refusal};
use swell_engine::key::all_dbs;
use swell_engine::spec::Body;
use swell_engine::stripe::stripe_of;
use swell_engine::walk::Step;
use swell_engine::{Context, Db, Engine, Outcome};
use swell_node::stream::StreamError;
use swell_node::stream::record::{self, End};
use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::{Incoming, drop_slots};
use swell_node::{Handle, Node};
use swell_ring::{Slot, SlotSet, slot_of};
use swell_wire::{Out, OwnedArgs, Proto};

const NOW_MS: u64 = 1_700_000_000_000;
const HASH_SEED: u64 = 11;
const FRAME_BYTES: usize = 64 * 1024;

type Content = BTreeMap<(u16, u8, Vec<u8>), (Vec<u8>, Fields)>;

/// One client of a node.
struct Client {
    handle: Handle,
    node: Arc<Node>,
    now_ms: u64,
    db: Db,
    out: Out,
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl Client {
    fn new(node: &Arc<Node>, seed: u64) -> Client {
        let handle = node.handle(seed | 1);
        Client { handle, node: node.clone(), now_ms: NOW_MS, db: Db::default(), out: Out::new(Proto::Resp2) }
    }

    fn run<B: AsRef<[u8]>>(&mut self, words: &[B]) -> Outcome {
        self.run_in(&tables().resp, words)
    }

    fn mc<B: AsRef<[u8]>>(&mut self, words: &[B]) -> Outcome {
        self.run_in(&tables().memcached, words)
    }

    fn run_in<B: AsRef<[u8]>>(&mut self, table: &Table, words: &[B]) -> Outcome {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = table.find(args.as_args()) else { panic!("unknown command") };
        let mut keys = Vec::new();
        command.spec.hash_keys(self.node.engine(), args.as_args(), &mut keys);
        let context = Context { now_ms: self.now_ms, db: self.db, ..Context::default() };
        let call = Admitted::from_link(command.spec, args.as_args()).call(&keys, context);
        self.out = Out::new(Proto::Resp2);
        loop {
            match self.handle.execute(&call, None, &mut self.out) {
                Outcome::Busy(_) => std::thread::yield_now(),
                Outcome::Walk => {
                    let Body::Walk(body) = &command.spec.body else { unreachable!() };
                    let mut state = self.handle.walk_begin(body, &call).unwrap();
                    loop {
                        match self.handle.walk_step(body, &mut state, &call) {
                            Step::Done => break,
                            Step::Closed(stripe) => return Outcome::NotExecuted(Refusal::Paused, stripe),
                            Step::More | Step::Busy(_) => std::thread::yield_now(),
                        }
                    }
                    (body.end)(args.as_args(), &mut state, &mut self.out);
                    return Outcome::Done { work: 1, failed: false };
                }
                Outcome::Deferred => {
                    let mut rest = self.handle.take_deferred().unwrap();
                    rest.finish(&mut self.out);
                    return Outcome::Done { work: rest.work(), failed: false };
                }
                other => return other,
            }
        }
    }

    /// The reply to a line of words.
    fn text(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match self.run(&words) {
            Outcome::Done { .. } => String::from_utf8_lossy(&self.out.to_vec()).into_owned(),
            other => panic!("{line}: {other:?}"),
        }
    }
}

fn content(engine: &Engine, slots: &SlotSet) -> Content {
    let mut found = Content::new();
    for slot in slots.iter() {
        let export = engine.export(stripe_of(slot));
        for db in all_dbs() {
            export.part(slot, db, 0, usize::MAX, |entry| {
                let id = (slot.number(), db.number(), entry.key().to_vec());
                let old = found.insert(id, (entry.value().to_bytes().into_owned(), entry.fields()));
                assert!(old.is_none(), "a key is there once");
            });
        }
    }
    found
}

/// Without the access clock, which reads change without telling.
fn settled(content: Content) -> Content {
    content.into_iter().map(|(id, (value, fields))| (id, (value, Fields { clock: 0, ..fields }))).collect()
}

/// Source and target.
fn nodes() -> (Arc<Node>, Arc<Node>) {
    let (from, to) = (Node::new(HASH_SEED), Node::new(HASH_SEED));
    from.engine().set_cas_base(1 << 44);
    to.engine().set_cas_base(2 << 44);
    (from, to)
}

/// Moves one frame.
fn pass(outgoing: &mut Outgoing, incoming: &mut Incoming, handle: &mut Handle) -> Result<usize, StreamError> {
    let mut frame = Vec::new();
    let taken = outgoing.take(&mut frame, FRAME_BYTES)?;
    assert_eq!(taken, frame.len());
    assert!(taken <= FRAME_BYTES + 8 * 1024, "a frame of {taken} bytes");
    incoming.apply(handle, &frame)?;
    Ok(taken)
}

fn drain(outgoing: &mut Outgoing, incoming: &mut Incoming, handle: &mut Handle) -> Result<(), StreamError> {
    while pass(outgoing, incoming, handle)? > 0 {}
    Ok(())
}

/// Copies everything, seals and compares the counts.
fn move_all(outgoing: &mut Outgoing, incoming: &mut Incoming, handle: &mut Handle) -> Result<(), StreamError> {
    while outgoing.pump(1_000)? != Pumped::Copied {
        pass(outgoing, incoming, handle)?;
    }
    outgoing.seal()?;
    drain(outgoing, incoming, handle)?;
    assert!(outgoing.is_drained() && incoming.is_complete());
    incoming.end(handle)
}

/// What was sealed is what has arrived.
fn check_moved(outgoing: &Outgoing, from: &Arc<Node>, to: &Arc<Node>) {
    let here = settled(content(from.engine(), outgoing.slots()));
    let there = settled(content(to.engine(), outgoing.slots()));
    for (id, was) in &here {
        let is = there.get(id);
        let short = |of: &(Vec<u8>, Fields)| (of.0.len(), of.1);
        let name = (id.0, id.1, String::from_utf8_lossy(&id.2));
        assert!(is == Some(was), "{name:?} is {:?}, not {:?}", is.map(short), short(was));
    }
    assert_eq!(here.len(), there.len());
}

fn set_gates(engine: &Engine, slots: &SlotSet, gate: Gate) {
    slots.iter().for_each(|slot| engine.stripe(stripe_of(slot)).set_gate(slot, gate));
}

fn slots_of(keys: &[&[u8]]) -> SlotSet {
    keys.iter().map(|key| slot_of(key)).collect()
}

/// Puts a bit of everything into databases 0 and 3.
fn fill(client: &mut Client, keys: u64) {
    for db in [0, 3] {
        client.db = Db::new(db).unwrap();
        for n in 0..keys {
            client.now_ms = NOW_MS + n * 700;
            let key = format!("key:{n}");
            client.run(&["set", &key, &"v".repeat(n as usize % 300)]);
            match n % 8 {
                0 => drop(client.run(&["pexpire", &key, "90000000"])),
                1 => drop(client.run(&["append", &key, "more"])),
                2 => drop(client.mc(&["set", &key, "77", "0", "3", "abc"])),
                3 => drop((client.mc(&["set", &key, "0", "5000", "3", "abc"]), client.mc(&["gets", &key]))),
                4 => drop((client.run(&["set", &key, "12"]), client.mc(&["gets", &key]), client.run(&["incr", &key]))),
                5 if n % 64 == 5 => {
                    client.run(&["set", &key, &"x".repeat(70_000 + n as usize)]);
                    client.mc(&["gets", &key]);
                    client.run(&["setrange", &key, "200000", "tail"]);
                }
                _ => {}
            }
        }
    }
    client.db = Db::default();
    client.run(&["set", &format!("{{1}}{}", "long".repeat(40_000)), "a key over 64 KiB"]);
    client.run(&["set", &format!("{{2}}{}", "long".repeat(40_000)), &"both over 64 KiB".repeat(10_000)]);
    client.run(&["set", "", "the empty key"]);
}

#[test]
fn every_field_arrives_and_each_key_is_counted_by_one_node() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    fill(&mut source, 2_000);
    let group = SlotSet::all();
    let sent = content(from.engine(), &group);
    assert!(sent.values().any(|(_, fields)| fields.cas.is_some() && fields.memcached && fields.expire_at_ms.is_some()));
    assert!(sent.values().any(|(value, fields)| fields.cas.is_some() && value.len() > 200_000));
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    assert!(content(to.engine(), &group) == sent, "keys, values and all fields, the clock included");
    assert_eq!(outgoing.progress().keys, sent.len() as u64);

    target.handle.report();
    assert_eq!((to.key_counts(), to.databases().len(), to.engine().used_bytes()), ((0, 0), 0, 0), "not served yet");
    assert!(to.engine().held_bytes() > 1_000_000, "but it takes memory");
    assert_eq!(target.text("randomkey"), "$-1\r\n");
    source.handle.report();
    let (counts, bytes) = (from.key_counts(), from.engine().used_bytes());
    assert_eq!(counts.0, sent.len() as u64);
    assert!(outgoing.release());
    assert_eq!((from.key_counts(), from.engine().used_bytes()), ((0, 0), 0), "not after it was released");
    set_gates(to.engine(), &group, Gate::Serving);
    assert_eq!(to.key_counts(), counts);
    assert_eq!(to.databases().len(), 2);
    // Segments that grew in place may have had room to spare, and tables too.
    let there = to.engine().used_bytes();
    assert!((bytes / 10 * 9..bytes / 9 * 10).contains(&there), "{there} bytes, {bytes} at the source");
    assert_ne!(target.text("randomkey"), "$-1\r\n");
    drop(outgoing);
    assert_eq!(from.engine().gate(Slot::new(0).unwrap()), Gate::Released, "for ever, whatever becomes of the stream");
    assert_eq!(drop_slots(&mut source.handle, &group), sent.len() as u64);
    source.handle.report();
    assert_eq!(from.engine().held_bytes(), 0);
}

#[test]
fn what_expires_at_the_target_is_found_once_it_serves() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    source.text("set {t}a v px 1000");
    source.text("set {t}b v");
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    let later = NOW_MS + 10_000;
    let (mut local, mut cursor) = (to.engine().local(5), UpkeepCursor::default());
    to.engine().expire_due(&mut local, &mut cursor, later, u64::MAX);
    assert_eq!(local.stats.expired_keys, 0, "a Dark slot is left alone");
    set_gates(to.engine(), &group, Gate::Serving);
    to.engine().expire_due(&mut local, &mut cursor, later, u64::MAX);
    assert_eq!(local.stats.expired_keys, 1);
    assert_eq!(target.text("dbsize"), ":1\r\n");
}

/// The tags that random writers use; the group is made of some of them, so that MSET and RENAME cross its border.
const TAGS: u64 = 12;

fn moving_group() -> SlotSet {
    (0..TAGS).filter(|tag| tag % 3 != 0).map(|tag| slot_of(format!("{{t{tag}}}").as_bytes())).collect()
}

fn long_value(random: &mut Random) -> Vec<u8> {
    vec![b'a' + random.below(26) as u8; 66_000 + random.below(200_000) as usize]
}

fn random_write(client: &mut Client, random: &mut Random) -> Outcome {
    let key = |random: &mut Random| format!("{{t{}}}{}", random.below(TAGS), random.below(400)).into_bytes();
    let (a, b) = (key(random), key(random));
    let (a, b) = (a.as_slice(), b.as_slice());
    let number = random.below(1000).to_string();
    let n = number.as_bytes();
    let ms = (random.below(5_000) + 1).to_string();
    client.db = Db::new([0, 0, 0, 5, 15][random.below(5) as usize]).unwrap();
    client.now_ms += random.below(3);
    match random.below(120) {
        0..20 => client.run(&[b"set", a, n]),
        20..26 => client.run(&[b"set", a, n, b"px", ms.as_bytes()]),
        26..32 => client.run(&[b"append", a, n]),
        32..44 => client.run(&[b"incr", a]),
        44..56 => client.run(&[b"del", a, b]),
        56..62 => client.run(&[b"pexpire", a, ms.as_bytes()]),
        62..65 => client.run(&[b"persist", a]),
        65..72 => client.run(&[b"rename", a, b]),
        72..78 => client.run(&[b"mset", a, n, b, b"mset"]),
        78..80 => client.run(&[b"copy", a, b, b"replace"]),
        80..82 => client.run(&[b"set", a, &long_value(random)]),
        82..90 => client.run(&[b"setrange", a, random.below(150_000).to_string().as_bytes(), b"patch"]),
        90..94 => client.run(&[b"append", a, &long_value(random)[..random.below(66_000) as usize]]),
        94..100 => client.mc(&[b"set", a, n, b"0", b"3", b"mem"]),
        100..106 => client.mc(&[b"gets", a]),
        106..109 => client.mc(&[b"append", a, b"0", b"0", b"2", b"mc"]),
        109..112 => client.run(&[b"getex", a, b"px", ms.as_bytes()]),
        112 if random.below(4) == 0 => burst(client, random, b"set"),
        113 if random.below(4) == 0 => burst(client, random, b"del"),
        114 if random.below(40) == 0 => client.run(&[b"flushall"]),
        115 if random.below(20) == 0 => client.run(&[b"flushdb"]),
        116 => client.run(&["swapdb", "0", "5"]),
        _ => client.run(&[b"get", a]),
    }
}

/// One slot's table grows or shrinks by thousands, so that it changes between narrow and wide.
fn burst(client: &mut Client, random: &mut Random, verb: &[u8]) -> Outcome {
    let mut last = Outcome::Walk;
    for n in 0..1 + random.below(9_000) {
        let key = format!("{{t1}}burst:{n}");
        last = match verb {
            b"set" => client.run(&[verb, key.as_bytes(), b"x"]),
            _ => client.run(&[verb, key.as_bytes()]),
        };
    }
    last
}

#[test]
fn random_writes_between_all_steps_arrive() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or(1..25, |seed: u64| seed..seed + 1) {
        println!("seed {seed}");
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (from, to) = nodes();
        let (mut source, mut target) = (Client::new(&from, seed), Client::new(&to, seed + 1));
        (0..2_000).for_each(|_| _ = random_write(&mut source, &mut random));
        let group = moving_group();
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        // Long values are renamed and little is taken in between: this wants a larger spool.
        let mut outgoing = Outgoing::with_spool(&from, &group, 1 << 28);
        while outgoing.pump(1 + random.below(300) as usize).unwrap() != Pumped::Copied {
            (0..random.below(40)).for_each(|_| _ = random_write(&mut source, &mut random));
            match random.below(3) {
                0 => drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap(),
                _ => drop(pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap()),
            }
        }
        (0..300).for_each(|_| _ = random_write(&mut source, &mut random));
        outgoing.seal().unwrap();
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
        incoming.end(&target.handle).unwrap();
        check_moved(&outgoing, &from, &to);
    }
}

#[test]
fn what_threads_write_meanwhile_arrives() {
    let (from, to) = nodes();
    let mut loader = Client::new(&from, 3);
    for n in 0..20_000 {
        loader.text(&format!("set {{t{}}}load:{n} value{n}", n % TAGS));
    }
    let (stop, written, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let group = moving_group();
    let mut target = Client::new(&to, 4);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (from, stop, written, refused) = (&from, &stop, &written, &refused);
            scope.spawn(move || {
                let (mut client, mut random) = (Client::new(from, seed), Random(seed + 77));
                while !stop.load(Ordering::Relaxed) {
                    match random_write(&mut client, &mut random) {
                        Outcome::NotExecuted(..) => refused.fetch_add(1, Ordering::Relaxed),
                        _ => written.fetch_add(1, Ordering::Relaxed),
                    };
                }
            });
        }
        let wait_for = |count: &AtomicU64, more: u64| {
            let wanted = count.load(Ordering::Relaxed) + more;
            while count.load(Ordering::Relaxed) < wanted {
                std::thread::yield_now();
            }
        };
        let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut outgoing = Outgoing::begin(&from, &group);
            let mut incoming = Incoming::prepare(&mut target.handle, &group);
            wait_for(&written, 100);
            while outgoing.pump(200).unwrap() != Pumped::Copied {
                wait_for(&written, 20);
                drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            }
            for _ in 0..100 {
                wait_for(&written, 20);
                drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            }
            outgoing.seal().unwrap();
            wait_for(&refused, 50);
            drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
            incoming.end(&target.handle).unwrap();
            check_moved(&outgoing, &from, &to);
        }));
        stop.store(true, Ordering::Relaxed);
        moved.unwrap();
    });
}

/// A few keys that are written all the time, copied again and again.
#[test]
fn no_write_is_lost_at_the_moment_its_key_is_copied() {
    let (from, to) = nodes();
    let (stop, group) = (AtomicBool::new(false), slots_of(&[b"t", b"u"]));
    let mut target = Client::new(&to, 4);
    std::thread::scope(|scope| {
        for tag in ["t", "u"] {
            let (from, stop) = (&from, &stop);
            scope.spawn(move || {
                let mut client = Client::new(from, 1);
                while !stop.load(Ordering::Relaxed) {
                    for n in 0..4 {
                        client.run(&["incr", &format!("{{{tag}}}{n}")]);
                    }
                }
            });
        }
        let moved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..300 {
                let mut outgoing = Outgoing::begin(&from, &group);
                let mut incoming = Incoming::prepare(&mut target.handle, &group);
                move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
                check_moved(&outgoing, &from, &to);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        moved.unwrap();
    });
}

#[test]
fn a_full_spool_ends_the_stream_and_no_writer() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let group = slots_of(&[b"t", b"u"]);
    source.text("set {t}a v");
    let mut outgoing = Outgoing::with_spool(&from, &group, 10_000);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    assert_eq!(outgoing.pump(10).unwrap(), Pumped::Copied);
    let value = "v".repeat(3_000);
    for n in 0..4 {
        assert_eq!(source.text(&format!("set {{u}}{n} {value}")), "+OK\r\n");
    }
    assert_eq!(outgoing.take(&mut Vec::new(), 1), Err(StreamError::SpoolFull));
    assert_eq!(outgoing.seal(), Err(StreamError::SpoolFull));
    assert_eq!(from.engine().gate(slot_of(b"t")), Gate::Serving);
    assert_eq!(outgoing.progress().spool_bytes, 0, "what it held is freed");
    source.text("set {t}a w");
    assert_eq!(outgoing.progress().spool_bytes, 0, "and nothing more is kept");
    // A single change may be longer than the spool, and what is taken makes room.
    outgoing = Outgoing::with_spool(&from, &group, 10_000);
    outgoing.pump(10).unwrap();
    for n in 0..20 {
        source.run(&["set", "{t}long", &"x".repeat(100_000 + n)]);
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
        source.text(&format!("set {{u}}{n} {value}"));
        drain(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    }
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    check_moved(&outgoing, &from, &to);
}

#[test]
fn the_snapshot_stops_while_nobody_takes() {
    let (from, _) = nodes();
    let mut source = Client::new(&from, 1);
    let value = "v".repeat(1_000);
    (0..5_000).for_each(|n| drop(source.text(&format!("set key:{n} {value}"))));
    let mut outgoing = Outgoing::begin(&from, &SlotSet::all());
    assert_eq!(outgoing.pump(usize::MAX >> 1).unwrap(), Pumped::Waits);
    let held = outgoing.progress().spool_bytes;
    assert!((1_000_000..1_200_000).contains(&held), "{held}");
    assert_eq!(outgoing.seal(), Err(StreamError::NotCopied));
    assert_eq!(source.text("set key:1 w"), "+OK\r\n");
}

#[test]
fn a_pinned_value_is_not_changed_by_later_writes() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    source.run(&["set", "{t}k", &"x".repeat(300_000)]);
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    assert_eq!(outgoing.pump(10).unwrap(), Pumped::Copied);
    pass(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    // The rest of the old value is unsent while this is written; the change itself comes behind it.
    source.run(&["setrange", "{t}k", "250000", "patch"]);
    let mut rest = Vec::new();
    while outgoing.take(&mut rest, FRAME_BYTES).unwrap() > 0 {}
    let patched = rest.windows(5).filter(|bytes| bytes == b"patch").count();
    assert_eq!(patched, 1, "in the change, and not in the snapshot before it");
    incoming.apply(&mut target.handle, &rest).unwrap();
    source.run(&["append", "{t}k", &"y".repeat(80_000)]);
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    check_moved(&outgoing, &from, &to);
    let moved = content(to.engine(), &group);
    let (value, _) = moved.values().next().unwrap();
    assert_eq!((value.len(), &value[250_000..250_005]), (380_000, b"patch".as_slice()));
}

#[test]
fn a_target_forgets_what_it_had_and_what_it_gave_up() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let group = slots_of(&[b"t", b"u"]);
    source.text("set {t}new v");
    target.db = Db::new(7).unwrap();
    (0..500).for_each(|n| drop(target.text(&format!("set {{t}}old:{n} v px 100000"))));
    target.db = Db::default();
    target.text("set {t}new old");
    target.text("set mine v");
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    assert_eq!(to.key_counts(), (1, 0), "its other keys stay");
    move_all(&mut outgoing, &mut incoming, &mut target.handle).unwrap();
    check_moved(&outgoing, &from, &to);
    incoming.abandon(&mut target.handle);
    assert!(content(to.engine(), &group).is_empty());
    assert_eq!(to.engine().gate(slot_of(b"t")), Gate::Released);
    target.handle.report();
    assert_eq!(to.engine().used_bytes(), to.engine().held_bytes(), "nothing is left that does not count");
    assert_eq!(target.text("get mine"), "$1\r\nv\r\n");
}

#[test]
fn an_import_evicts_nothing_and_is_refused_when_memory_ends() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let value = "v".repeat(1_000);
    (0..2_000).for_each(|n| drop(source.text(&format!("set {{t}}{n} {value}"))));
    (0..200).for_each(|n| drop(target.text(&format!("set mine:{n} {value}"))));
    to.engine().settings().set_policy("allkeys-lru".parse().unwrap());
    to.engine().settings().set_maxmemory_total_bytes(1_500_000);
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    let failed = move_all(&mut outgoing, &mut incoming, &mut target.handle);
    assert_eq!(failed, Err(StreamError::NoMemory));
    target.handle.report();
    // A table may just have grown.
    assert!((1_400_000..1_540_000).contains(&to.engine().held_bytes()), "{}", to.engine().held_bytes());
    assert_eq!(incoming.apply(&mut target.handle, b""), Err(StreamError::NoMemory), "it takes nothing more");
    incoming.abandon(&mut target.handle);
    assert_eq!(target.text("dbsize"), ":200\r\n");
    target.handle.report();
    assert_eq!(to.stats().evicted_keys, 0);
    // One long value passes the maximum before all of it has come.
    drop(outgoing);
    (0..2_000).for_each(|n| drop(source.text(&format!("del {{t}}{n}"))));
    source.run(&["set", "{t}long", &"x".repeat(3_000_000)]);
    let mut outgoing = Outgoing::begin(&from, &group);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    let failed = move_all(&mut outgoing, &mut incoming, &mut target.handle);
    assert_eq!(failed, Err(StreamError::NoMemory));
}

#[test]
fn groups_that_share_a_stripe_move_side_by_side() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    (0..4_000).for_each(|n| drop(source.text(&format!("set key:{n} {n}"))));
    let [even, odd] = [0, 1].map(|odd| -> SlotSet {
        let all = SlotSet::all();
        all.iter().filter(|slot| slot.number() % 2 == odd).collect()
    });
    let mut streams = Vec::new();
    for group in [&even, &odd] {
        streams.push((Outgoing::begin(&from, group), Incoming::prepare(&mut target.handle, group)));
    }
    for round in 0..40 {
        for (outgoing, incoming) in &mut streams {
            outgoing.pump(60).unwrap();
            pass(outgoing, incoming, &mut target.handle).unwrap();
        }
        (0..50).for_each(|n| drop(source.text(&format!("incr key:{}", n * 79 + round))));
    }
    for (outgoing, incoming) in &mut streams {
        move_all(outgoing, incoming, &mut target.handle).unwrap();
        check_moved(outgoing, &from, &to);
    }
    assert_eq!(content(to.engine(), &SlotSet::all()).len(), 4_000);
    // The end of one stream is not the other's.
    let (odd_stream, _) = streams.pop().unwrap();
    drop(odd_stream);
    assert_eq!(from.engine().gate(even.iter().next().unwrap()), Gate::Sealed);
    assert_eq!(from.engine().gate(odd.iter().next().unwrap()), Gate::Serving, "dropped before it was released");
}

#[test]
fn sealed_is_opened_again_unless_released() {
    let (from, _) = nodes();
    let mut source = Client::new(&from, 1);
    let group = slots_of(&[b"t"]);
    let mut outgoing = Outgoing::begin(&from, &group);
    assert!(!outgoing.release(), "only what is sealed");
    outgoing.pump(1).unwrap();
    outgoing.seal().unwrap();
    assert!(matches!(source.run(&["set", "{t}", "v"]), Outcome::NotExecuted(Refusal::Paused, _)));
    outgoing.unseal();
    assert_eq!(source.text("set {t} v"), "+OK\r\n");
    assert_eq!(outgoing.take(&mut Vec::new(), 1), Err(StreamError::Over), "a retry begins anew");
    assert!(!outgoing.release());
    let mut outgoing = Outgoing::begin(&from, &group);
    outgoing.pump(1).unwrap();
    outgoing.pump(1).unwrap();
    outgoing.seal().unwrap();
    assert!(outgoing.release() && outgoing.release());
    outgoing.unseal();
    assert!(matches!(source.run(&["get", "{t}"]), Outcome::NotExecuted(Refusal::Moved, _)));
}

/// All frames of a small stream with every kind of record.
fn recorded() -> (SlotSet, Vec<u8>) {
    let (from, _) = nodes();
    let mut source = Client::new(&from, 1);
    let group = slots_of(&[b"t", b"u", b"v"]);
    let fill = |source: &mut Client| {
        source.text("set {t}a v px 100000");
        source.text("set {u}b 1");
        source.mc(&["set", "{v}c", "5", "0", "3", "abc"]);
        source.mc(&["gets", "{v}c"]);
        source.run(&["set", "{t}long", &"x".repeat(70_000)]);
    };
    fill(&mut source);
    let mut outgoing = Outgoing::begin(&from, &group);
    assert_eq!(outgoing.pump(100).unwrap(), Pumped::Copied);
    source.run(&["setrange", "{t}long", "3", "patch"]);
    source.run(&["append", "{t}long", &"y".repeat(66_000)]);
    source.text("pexpire {u}b 77777");
    source.text("persist {t}a");
    source.text("del {t}a");
    source.text("flushall");
    fill(&mut source);
    outgoing.seal().unwrap();
    let mut bytes = Vec::new();
    while outgoing.take(&mut bytes, FRAME_BYTES).unwrap() > 0 {}
    (group, bytes)
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let len = bytes.len() as u64;
    // Mostly among the small records, which are at the ends.
    let at = match random.below(3) {
        0 => random.below(len),
        1 => random.below(len.min(400)),
        _ => len - 1 - random.below(len.min(400)),
    } as usize;
    match random.below(5) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.below(256) as u8,
        2 => bytes.truncate(at.max(1)),
        3 => drop(bytes.splice(at..at, (0..random.below(12)).map(|n| (n as u8).wrapping_mul(37)).collect::<Vec<_>>())),
        _ => drop(bytes.drain(at..(at + random.below(40) as usize).min(bytes.len() - 1).max(at))),
    }
}

#[test]
fn hostile_bytes_change_nothing_outside_the_group_and_never_panic() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    println!("seed {seed}");
    let mut random = Random(seed);
    let (group, good) = recorded();
    let (_, to) = nodes();
    let mut target = Client::new(&to, 2);
    target.text("set mine v");
    to.engine().settings().set_maxmemory_total_bytes(4_000_000);
    let mut incoming = Incoming::prepare(&mut target.handle, &group);
    incoming.apply(&mut target.handle, &good).unwrap();
    incoming.end(&target.handle).unwrap();
    let mut refused = 0;
    for _ in 0..4_000 {
        let mut bytes = good.clone();
        (0..1 + random.below(3)).for_each(|_| mutate(&mut bytes, &mut random));
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        let whole = incoming.apply(&mut target.handle, &bytes);
        refused += u32::from(whole.is_err() || incoming.end(&target.handle).is_err());
        assert_eq!(to.key_counts(), (1, 0), "what does not count was not counted, and nobody else's was touched");
    }
    assert!(refused > 1_000, "{refused}");
    Incoming::prepare(&mut target.handle, &group).abandon(&mut target.handle);
    assert_eq!(target.text("get mine"), "$1\r\nv\r\n");
    target.handle.report();
    assert_eq!(to.engine().used_bytes(), to.engine().held_bytes());
}

#[test]
fn records_of_other_slots_and_wrong_counts_are_errors() {
    let (_, to) = nodes();
    let mut target = Client::new(&to, 2);
    let (group, good) = recorded();
    let other = slots_of(&[b"elsewhere"]);
    let refused = Incoming::prepare(&mut target.handle, &other).apply(&mut target.handle, &good);
    assert!(matches!(refused, Err(StreamError::OutsideGroup(slot)) if group.contains(slot)), "{refused:?}");
    let mut clear = Vec::new();
    record::clear(slot_of(b"mine"), Db::default(), &mut clear);
    let mut incoming = Incoming::prepare(&mut target.handle, &slots_of(&[b"mine", b"elsewhere"]));
    set_gates(to.engine(), &slots_of(&[b"mine"]), Gate::Serving);
    target.text("set mine v");
    let refused = incoming.apply(&mut target.handle, &clear);
    assert!(matches!(refused, Err(StreamError::Refused(_))), "only Dark slots are written to: {refused:?}");
    assert_eq!(target.text("get mine"), "$1\r\nv\r\n");
    let ends = |records, keys: u64| {
        let keys = other.iter().map(|slot| (slot, keys)).collect();
        let mut bytes = Vec::new();
        record::end(&End { records, keys }, &mut bytes);
        bytes
    };
    let mut incoming = Incoming::prepare(&mut target.handle, &other);
    assert!(incoming.end(&target.handle).is_err(), "it has not ended");
    incoming.apply(&mut target.handle, &ends(0, 3)).unwrap();
    assert_eq!(incoming.end(&target.handle), Err(StreamError::Counts { source_keys: 3, target: 0 }));
    assert!(incoming.apply(&mut target.handle, &ends(0, 3)).is_err(), "nothing comes after the end");
    let mut incoming = Incoming::prepare(&mut target.handle, &other);
    incoming.apply(&mut target.handle, &ends(7, 0)).unwrap();
    assert_eq!(incoming.end(&target.handle), Err(StreamError::Bad("records are missing")));
}

#[test]
#[ignore = "a measurement, for a release build"]
fn how_many_keys_a_second() {
    let (from, to) = nodes();
    let (mut source, mut target) = (Client::new(&from, 1), Client::new(&to, 2));
    let value = "v".repeat(100);
    for n in 0..500_000 {
        source.text(&format!("set key:{n:012} {value}"));
    }
    let mut sealed_us: Vec<u128> = Vec::new();
    let (mut out_ns, mut in_ns, mut keys, mut total) = (0, 0, 0, 0);
    // As a hand-over does it: groups of 256 slots.
    for first in (0..16384).step_by(256) {
        let group: SlotSet = (first..first + 256).filter_map(Slot::new).collect();
        let mut frame = Vec::new();
        let mut incoming = Incoming::prepare(&mut target.handle, &group);
        let start = std::time::Instant::now();
        let mut outgoing = Outgoing::begin(&from, &group);
        out_ns += start.elapsed().as_nanos();
        let mut sealed = None;
        while !outgoing.is_drained() {
            let start = std::time::Instant::now();
            if sealed.is_none() && outgoing.pump(500).unwrap() == Pumped::Copied {
                sealed = Some(std::time::Instant::now());
                outgoing.seal().unwrap();
            }
            frame.clear();
            outgoing.take(&mut frame, FRAME_BYTES).unwrap();
            out_ns += start.elapsed().as_nanos();
            total += frame.len();
            let start = std::time::Instant::now();
            incoming.apply(&mut target.handle, &frame).unwrap();
            in_ns += start.elapsed().as_nanos();
        }
        incoming.end(&target.handle).unwrap();
        sealed_us.push(sealed.unwrap().elapsed().as_micros());
        keys += outgoing.progress().keys;
        outgoing.release();
    }
    sealed_us.sort_unstable();
    let per_second = |ns: u128| u128::from(keys) * 1_000_000_000 / ns;
    println!("{keys} keys, {total} bytes: source {}/s, target {}/s", per_second(out_ns), per_second(in_ns));
    println!("sealed until the counts agree: median {} us, most {} us", sealed_us[32], sealed_us[63]);
    assert_eq!(keys, 500_000);
}
