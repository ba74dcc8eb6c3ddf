//! Two nodes, their clients, and what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, Table, tables};
use swell_engine::entry::{Content as Held, Entry, Fields};
use swell_engine::gate::{Gate, Refusal};
use swell_engine::key::all_dbs;
use swell_engine::spec::Body;
use swell_engine::stripe::stripe_of;
use swell_engine::value::{KeptRef, LargeRef};
use swell_engine::walk::Step;
use swell_engine::{Context, Db, Engine, Outcome};
use swell_node::stream::StreamError;
use swell_node::stream::source::{Outgoing, Pumped};
use swell_node::stream::target::Incoming;
use swell_node::{Handle, Node};
use swell_ring::{SlotSet, slot_of};
use swell_wire::{Out, OwnedArgs, Proto};

pub const NOW_MS: u64 = 1_700_000_000_000;
pub const HASH_SEED: u64 = 11;
pub const FRAME_BYTES: usize = 64 * 1024;

pub type Content = BTreeMap<(u16, u8, Vec<u8>), (Vec<u8>, Fields)>;

/// One client of a node.
pub struct Client {
    pub handle: Handle,
    node: Arc<Node>,
    pub now_ms: u64,
    pub db: Db,
    pub out: Out,
}

/// xorshift64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

impl Client {
    pub fn new(node: &Arc<Node>, seed: u64) -> Client {
        let handle = node.handle(seed | 1);
        Client { handle, node: node.clone(), now_ms: NOW_MS, db: Db::default(), out: Out::new(Proto::Resp2) }
    }

    pub fn run<B: AsRef<[u8]>>(&mut self, words: &[B]) -> Outcome {
        self.run_in(&tables().resp, words)
    }

    pub fn mc<B: AsRef<[u8]>>(&mut self, words: &[B]) -> Outcome {
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

    /// Runs a line of words.
    pub fn line(&mut self, line: &str) -> Outcome {
        self.run(&line.split(' ').collect::<Vec<_>>())
    }

    /// The reply to a line of words.
    pub fn text(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        match self.run(&words) {
            Outcome::Done { .. } => String::from_utf8_lossy(&self.out.to_vec()).into_owned(),
            other => panic!("{line}: {other:?}"),
        }
    }
}

/// Keys with their values (see [`held`]) and fields.
pub fn content(engine: &Engine, slots: &SlotSet) -> Content {
    let mut found = Content::new();
    for slot in slots.iter() {
        let export = engine.export(stripe_of(slot));
        for db in all_dbs() {
            export.part(slot, db, 0, usize::MAX, |entry| {
                let id = (slot.number(), db.number(), entry.key().to_vec());
                let old = found.insert(id, (held(&entry), entry.fields()));
                assert!(old.is_none(), "a key is there once");
            });
        }
    }
    found
}

/// What an entry holds, element by element: equal for equal values, whatever their pages look like. A string as it is;
/// before other values stands their form.
pub fn held(entry: &Entry<'_>) -> Vec<u8> {
    let kept = match entry.content() {
        Held::String(value) => return value.to_bytes().into_owned(),
        Held::Collection(kept) => kept,
    };
    let mut out = vec![kept.form() as u8];
    let large = match kept {
        KeptRef::Compact(_, bytes) => {
            out.extend_from_slice(bytes);
            return out;
        }
        KeptRef::Large(large) => large,
    };
    let put = |bytes: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    match large {
        LargeRef::List(list) => list.iter_from(0).for_each(|item| put(&item.to_vec(), &mut out)),
        LargeRef::Hash(map) | LargeRef::Set(map) => {
            let elements: BTreeMap<&[u8], _> = map.iter().map(|element| (element.key, element)).collect();
            assert_eq!(elements.len(), map.len());
            for element in elements.values() {
                put(element.key, &mut out);
                put(&element.value.to_bytes(), &mut out);
                put(format!("{:?}", element.expire_at_ms).as_bytes(), &mut out);
            }
        }
        LargeRef::ZSet(ranked) => {
            for (member, score) in ranked.forward(0) {
                put(member, &mut out);
                out.extend_from_slice(&score.to_le_bytes());
            }
        }
        // What it writes is what it is: nodes have Valkey's bytes, consumers and pending entries are sorted.
        LargeRef::Stream(stream) => {
            let mut at = Some(0);
            while let Some(place) = at {
                at = stream.write_part(place, &mut out);
            }
        }
    }
    out
}

/// Without the access clock, which reads change without telling.
pub fn settled(content: Content) -> Content {
    content.into_iter().map(|(id, (value, fields))| (id, (value, Fields { clock: 0, ..fields }))).collect()
}

/// Source and target.
pub fn nodes() -> (Arc<Node>, Arc<Node>) {
    let (from, to) = (Node::new(HASH_SEED), Node::new(HASH_SEED));
    from.engine().set_cas_base(1 << 44);
    to.engine().set_cas_base(2 << 44);
    (from, to)
}

/// Moves one frame.
pub fn pass(outgoing: &mut Outgoing, incoming: &mut Incoming, handle: &mut Handle) -> Result<usize, StreamError> {
    let mut frame = Vec::new();
    let taken = outgoing.take(&mut frame, FRAME_BYTES)?;
    assert_eq!(taken, frame.len());
    assert!(taken <= FRAME_BYTES + 8 * 1024, "a frame of {taken} bytes");
    incoming.apply(handle, &frame)?;
    Ok(taken)
}

pub fn drain(outgoing: &mut Outgoing, incoming: &mut Incoming, handle: &mut Handle) -> Result<(), StreamError> {
    while pass(outgoing, incoming, handle)? > 0 {}
    Ok(())
}

/// Copies everything, seals and compares the counts.
pub fn move_all(outgoing: &mut Outgoing, incoming: &mut Incoming, handle: &mut Handle) -> Result<(), StreamError> {
    while outgoing.pump(1_000)? != Pumped::Copied {
        pass(outgoing, incoming, handle)?;
    }
    outgoing.seal()?;
    drain(outgoing, incoming, handle)?;
    assert!(outgoing.is_drained() && incoming.is_complete());
    incoming.end(handle)
}

/// What was sealed is what has arrived.
pub fn check_moved(outgoing: &Outgoing, from: &Arc<Node>, to: &Arc<Node>) {
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

pub fn set_gates(engine: &Engine, slots: &SlotSet, gate: Gate) {
    slots.iter().for_each(|slot| engine.stripe(stripe_of(slot)).set_gate(slot, gate));
}

pub fn slots_of(keys: &[&[u8]]) -> SlotSet {
    keys.iter().map(|key| slot_of(key)).collect()
}
