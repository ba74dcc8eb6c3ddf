//! What must hold for any bytes that claim to be values: RESTORE's payloads, listpacks, nodes of streams and the parts of
//! large values on their way between processes. Shared by the fuzz targets and by the engine's own tests.
#![allow(dead_code, reason = "every binary that includes this file uses a part of it")]

use std::cell::RefCell;

use swell_engine::admit::Admitted;
use swell_engine::commands::table::{Found, tables};
use swell_engine::key::Hasher;
use swell_engine::rdb::{self, Restored};
use swell_engine::value::element::Element;
use swell_engine::value::listpack::ListpackRef;
use swell_engine::value::stream::{NodeLimits, Stream, StreamId};
use swell_engine::value::{Form, Kept, LargeBox, Limits};
use swell_engine::{Context, Engine, Local, Outcome};
use swell_wire::{Out, OwnedArgs, Proto};

/// What stands between two parts of a large value.
pub const NEXT_PART: &[u8] = b"<part>";
/// The large forms.
const FORMS: [Form; 5] = [Form::List, Form::Hash, Form::Set, Form::ZSet, Form::Stream];
/// The version that payloads say.
const RDB_VERSION: u16 = 80;
/// A large value made from some bytes takes no more than so many for each, beyond what an empty one may take.
const BYTES_PER_BYTE_MAX: usize = 400;
const BYTES_MAX: usize = 1 << 20;
/// Early enough for every time to live.
const NOW_MS: u64 = 1;

/// The fuzz target for RDB objects: a payload without version and checksum.
pub fn rdb_objects(data: &[u8]) {
    let payload = sealed(data);
    BENCH.with_borrow_mut(|bench| {
        let restored = bench.run(&[b"RESTORE", b"k", b"0", &payload]);
        if restored != b"+OK\r\n" {
            assert!(restored.starts_with(b"-"), "{}", restored.escape_ascii());
            return;
        }
        let again = bench.bulk(&[b"DUMP", b"k"]);
        assert!(again.len() <= BYTES_MAX + data.len() * BYTES_PER_BYTE_MAX, "{} bytes of {}", again.len(), data.len());
        let restored = bench.run(&[b"RESTORE", b"copy", b"0", &again]);
        assert_eq!(restored, b"+OK\r\n", "what DUMP says is what RESTORE takes");
        let kind = bench.run(&[b"TYPE", b"k"]);
        assert_eq!(bench.read(&kind, b"k"), bench.read(&kind, b"copy"), "a copy is the same");
        assert_eq!(bench.run(&[b"OBJECT", b"ENCODING", b"k"]), bench.run(&[b"OBJECT", b"ENCODING", b"copy"]));
        bench.change(&kind);
        bench.run(&[b"DEL", b"k"]);
        assert_eq!(bench.run(&[b"DEL", b"copy"]), b":1\r\n");
    });
}

/// The fuzz target for listpacks.
pub fn listpacks(data: &[u8]) {
    // Nothing is promised of what they hold, but that reading ends.
    let unchecked = ListpackRef(data);
    assert!(unchecked.iter().count() <= data.len());
    assert!(unchecked.places().count() <= data.len());
    let Ok(pack) = ListpackRef::validate(data) else { return };
    let elements: Vec<Element<'_>> = pack.iter().collect();
    assert_eq!(elements.len(), pack.len());
    let places: Vec<usize> = pack.places().collect();
    assert_eq!(places.len(), elements.len());
    assert_eq!((places.first().copied(), places.last().copied()), (pack.first(), pack.last()));
    for (index, (&place, element)) in places.iter().zip(&elements).enumerate() {
        assert_eq!(pack.at(place), Some(*element));
        assert_eq!(pack.get(index as i64), Some(*element));
        assert_eq!(pack.get(index as i64 - elements.len() as i64), Some(*element));
        assert_eq!(pack.after(place), places.get(index + 1).copied());
        assert_eq!(pack.before(place), index.checked_sub(1).map(|before| places[before]));
    }
    let mut own = pack.to_owned();
    if let Some(&middle) = places.get(places.len() / 2) {
        own.replace(middle, &b"another element, of another length"[..]);
        own.delete(middle, 1);
    }
    own.push_front(&b"front"[..]);
    own.push_back(&b"70000"[..]);
    let changed = ListpackRef::validate(own.view().bytes()).expect("a changed listpack is one");
    assert_eq!(changed.len(), elements.len() + 2 - usize::from(!elements.is_empty()));
}

/// The fuzz target for nodes of streams: two bytes of the master ID, then the node.
pub fn stream_nodes(data: &[u8]) {
    let [ms, seq, node @ ..] = data else { return };
    let mut stream = Stream::default();
    assert!(stream.log_mut().set_id(StreamId::MAX, None, None).is_ok(), "an empty stream takes any ID");
    if stream.push_checked_node(StreamId::new(u64::from(*ms), u64::from(*seq)), node).is_err() {
        assert!(stream.log().is_empty());
        return;
    }
    let ids: Vec<StreamId> = stream.log().range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
    assert_eq!(ids.len() as u64, stream.log().len());
    assert!(ids.is_sorted_by(|one, other| one < other));
    let mut back: Vec<StreamId> = stream.log().range_back(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
    back.reverse();
    assert_eq!(back, ids);
    for &id in &ids {
        let entry = stream.log().get(id).expect("it was there a moment ago");
        let mut out = Out::new(Proto::Resp2);
        entry.write(&mut out);
        assert!(!out.to_vec().is_empty());
    }
    for (index, &id) in ids.iter().enumerate() {
        assert!(index % 2 == 1 || stream.log_mut().delete(id));
    }
    assert_eq!(stream.log().len() as usize, ids.len() / 2);
    assert_eq!(stream.log().range(StreamId::MIN, StreamId::MAX).count(), ids.len() / 2);
    let fields = OwnedArgs::from_slices(&[b"field", b"value"]);
    if ids.last().is_none_or(|last| *last < StreamId::MAX) {
        stream.log_mut().append(StreamId::MAX, fields.as_args(), NodeLimits::default());
        assert_eq!(stream.log().range(StreamId::MIN, StreamId::MAX).count(), ids.len() / 2 + 1);
    }
}

/// The fuzz target for parts of large values: a byte that chooses the kind, then parts with [`NEXT_PART`] between them.
pub fn value_parts(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let form = FORMS[usize::from(*kind) % FORMS.len()];
    let hasher = Hasher::new(7);
    let mut value = LargeBox::empty(form).expect("a large form");
    let mut is_whole = true;
    for part in split(data) {
        is_whole = is_whole && value.read_part(part, &hasher).is_ok();
    }
    let heap = value.as_ref().heap_bytes();
    assert!(heap <= BYTES_MAX + data.len() * BYTES_PER_BYTE_MAX, "{heap} bytes of {}", data.len());
    if is_whole {
        let mut copy = LargeBox::empty(form).expect("a large form");
        for part in parts(&value) {
            assert!(copy.read_part(&part, &hasher).is_ok(), "what was written can be read");
        }
        assert_eq!(copy.as_ref().elements(), value.as_ref().elements());
    }
    let mut rounds = 0;
    while value.free_some(16) {
        rounds += 1;
        assert!(rounds <= BYTES_MAX + data.len(), "freeing comes to an end");
    }
}

/// A seed for [`value_parts`]: the parts of the value in an RDB object, if that is a collection.
pub fn parts_of_object(object: &[u8]) -> Option<Vec<u8>> {
    let nothing_is_compact =
        Limits { hash_entries: 0, list_size: 1, set_ints: 0, set_entries: 0, zset_entries: 0, ..Limits::default() };
    let restored = rdb::restore(&sealed(object), &Hasher::new(7), &nothing_is_compact);
    let Ok(Restored::Collection(Kept::Large(large))) = restored else { return None };
    let kind = FORMS.iter().position(|form| *form == large.as_ref().form())?;
    let mut seed = vec![u8::try_from(kind).ok()?];
    seed.extend(parts(&large).join(NEXT_PART));
    Some(seed)
}

/// A large value's parts.
pub fn parts(value: &LargeBox) -> Vec<Vec<u8>> {
    let (mut parts, mut at) = (Vec::new(), Some(0));
    while let Some(from) = at {
        let mut part = Vec::new();
        at = value.as_ref().write_part(from, &mut part);
        parts.push(part);
    }
    parts
}

/// An object with version and checksum.
fn sealed(object: &[u8]) -> Vec<u8> {
    let mut payload = object.to_vec();
    payload.extend_from_slice(&RDB_VERSION.to_le_bytes());
    let checksum = crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// The input's pieces between [`NEXT_PART`].
fn split(mut data: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some(at) = data.windows(NEXT_PART.len()).position(|window| window == NEXT_PART) {
        pieces.push(&data[..at]);
        data = &data[at + NEXT_PART.len()..];
    }
    pieces.push(data);
    pieces
}

/// CRC-64 as Redis computes it (Jones' polynomial, bits reflected), bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u64::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 })
    })
}

thread_local! {
    static BENCH: RefCell<Bench> = RefCell::new(Bench::new());
}

/// An engine that answers requests in RESP2.
struct Bench {
    engine: Engine,
    local: Local,
}

impl Bench {
    fn new() -> Bench {
        let engine = Engine::new(7);
        let local = engine.local(3);
        Bench { engine, local }
    }

    fn run(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let args = OwnedArgs::from_slices(words);
        let Found::Command(command) = tables().resp.find(args.as_args()) else { panic!("an unknown command") };
        let mut keys = Vec::new();
        let flat = command.spec.flatten(args.as_args());
        let args = flat.as_ref().unwrap_or(&args).as_args();
        command.spec.hash_keys(&self.engine, args, &mut keys);
        let context = Context { now_ms: NOW_MS, ..Context::default() };
        let call = Admitted::from_link(command.spec, args).call(&keys, context);
        let mut out = Out::new(Proto::Resp2);
        match self.engine.execute(&mut self.local, &call, None, &mut out) {
            Outcome::Done { .. } => out.to_vec(),
            other => panic!("{}: {other:?}", words[0].escape_ascii()),
        }
    }

    /// The payload of a bulk reply.
    fn bulk(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let reply = self.run(words);
        let begin = reply.iter().position(|&byte| byte == b'\n').expect("a bulk has a head") + 1;
        reply[begin..reply.len() - 2].to_vec()
    }

    /// All of a value; its bytes in any order where its elements have none.
    fn read(&mut self, kind: &[u8], key: &[u8]) -> Vec<u8> {
        match kind {
            b"+string\r\n" => self.run(&[b"GET", key]),
            b"+list\r\n" => self.run(&[b"LRANGE", key, b"0", b"-1"]),
            b"+zset\r\n" => self.run(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
            b"+stream\r\n" => {
                let entries = self.run(&[b"XRANGE", key, b"-", b"+"]);
                [entries, self.run(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"])].concat()
            }
            _ => {
                let mut bytes = self.run(&[if kind == b"+hash\r\n" { b"HGETALL" } else { b"SMEMBERS" }, key]);
                bytes.sort_unstable();
                bytes
            }
        }
    }

    /// Changes the value in several ways; none of them does harm.
    fn change(&mut self, kind: &[u8]) {
        let requests: &[&[&[u8]]] = match kind {
            b"+string\r\n" => &[&[b"APPEND", b"k", b"x"], &[b"SETRANGE", b"k", b"3", b"y"], &[b"PFADD", b"k", b"z"]],
            b"+list\r\n" => &[
                &[b"LPUSH", b"k", b"front"],
                &[b"LINSERT", b"k", b"BEFORE", b"front", b"12"],
                &[b"LSET", b"k", b"-1", b"last"],
                &[b"LREM", b"k", b"0", b"front"],
                &[b"LTRIM", b"k", b"1", b"-2"],
            ],
            b"+hash\r\n" => &[
                &[b"HSET", b"k", b"field", b"value", b"1", b"2"],
                &[b"HPEXPIREAT", b"k", b"99999999", b"FIELDS", b"1", b"1"],
                &[b"HDEL", b"k", b"field", b"a"],
                &[b"HSCAN", b"k", b"0"],
            ],
            b"+set\r\n" => &[
                &[b"SADD", b"k", b"1", b"70000", b"member"],
                &[b"SREM", b"k", b"1", b"a"],
                &[b"SPOP", b"k", b"3"],
                &[b"SSCAN", b"k", b"0"],
            ],
            b"+zset\r\n" => &[
                &[b"ZADD", b"k", b"1", b"a", b"-inf", b"member"],
                &[b"ZINCRBY", b"k", b"2.5", b"a"],
                &[b"ZREMRANGEBYRANK", b"k", b"0", b"1"],
                &[b"ZRANGEBYSCORE", b"k", b"-inf", b"+inf"],
                &[b"ZSCAN", b"k", b"0"],
            ],
            _ => &[
                &[b"XADD", b"k", b"*", b"field", b"value"],
                &[b"XTRIM", b"k", b"MAXLEN", b"3"],
                &[b"XGROUP", b"CREATE", b"k", b"new", b"0"],
                &[b"XREADGROUP", b"GROUP", b"new", b"me", b"STREAMS", b"k", b">"],
                &[b"XAUTOCLAIM", b"k", b"g", b"me", b"0", b"0"],
                &[b"XDEL", b"k", b"1-1", b"0-1"],
            ],
        };
        for request in requests {
            self.run(request);
        }
    }
}
