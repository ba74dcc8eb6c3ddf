//! Parts of large values, which come from another process: good ones make the same value, others are refused or make
//! some value, but never more than they can hold, and never a panic.

use std::collections::BTreeSet;

use swell_engine::key::Hasher;
use swell_engine::value::chunks::{Chunks, Fill};
use swell_engine::value::item::Item;
use swell_engine::value::pages::PageMap;
use swell_engine::value::ranked::Ranked;
use swell_engine::value::stream::{Group, Nack, NodeLimits, Stream, StreamId};
use swell_engine::value::{Form, LargeBox, LargeRef};
use swell_wire::{Arg, OwnedArgs, Segments};

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

const ELEMENTS: u64 = 300;

fn hasher() -> Hasher {
    Hasher::new(7)
}

/// One large value of each kind, with short and long elements.
fn values() -> Vec<LargeBox> {
    let hasher = hasher();
    let (mut list, fill) = (Chunks::default(), Fill::new(-2));
    let (mut hash, mut set, mut zset) = (PageMap::new(), PageMap::new(), Ranked::new());
    let mut stream = Stream::default();
    let long = Segments::from_slice(&[b'l'; 150_000]);
    for n in 0..ELEMENTS {
        let name = format!("element:{n}").repeat(1 + usize::from(n % 50 == 0) * 150);
        let name = name.as_bytes();
        list.push_back(Item::from(name), &fill);
        list.push_back(Item::from(n.to_string().as_bytes()), &fill);
        hash.set(&hasher, name, Arg::Slice(b"value"), (n % 3 == 0).then_some(n * 1_000));
        set.add(&hasher, name);
        zset.insert(name, (n * 77 % 31) as f64, &hasher);
        let fields = OwnedArgs::from_slices(&[b"field", name]);
        stream.log_mut().append(StreamId::new(n + 1, 5), fields.as_args(), NodeLimits::default());
    }
    list.push_back(Item::Long(&long), &fill);
    list.push_back(Item::from(&b"last"[..]), &fill);
    hash.set(&hasher, b"long", Arg::Segments(&long), Some(77));
    hash.set(&hasher, &[b'f'; 70_000], Arg::Segments(&long), None);
    set.add(&hasher, &[b'm'; 90_000]);
    zset.insert(&[b'm'; 90_000], 1.5, &hasher);
    (1..ELEMENTS).step_by(7).for_each(|n| _ = stream.log_mut().delete(StreamId::new(n, 5)));
    for name in [&b"one"[..], b"two"] {
        let mut group = Group::new(StreamId::new(200, 5), Some(200));
        for n in 0..40 {
            let consumer = group.restore_consumer(format!("consumer:{n}").as_bytes(), n, (n % 2 == 0).then_some(n));
            assert!(consumer.is_some());
        }
        for n in 1..700 {
            let nack = Nack { delivered_ms: n, count: n % 9, consumer: (n % 40) as u32 };
            assert!(group.restore_pending(StreamId::new(n, 5), nack).is_some());
        }
        assert!(stream.add_group(name, group));
    }
    vec![
        LargeBox::List(Box::new(list)),
        LargeBox::Hash(Box::new(hash)),
        LargeBox::Set(Box::new(set)),
        LargeBox::ZSet(Box::new(zset)),
        LargeBox::Stream(Box::new(stream)),
    ]
}

fn parts(value: LargeRef<'_>) -> Vec<Vec<u8>> {
    let (mut parts, mut at) = (Vec::new(), Some(0));
    while let Some(place) = at {
        let mut part = Vec::new();
        at = value.write_part(place, &mut part);
        assert!(at.is_none_or(|next| next > place), "parts go on");
        parts.push(part);
    }
    parts
}

/// An element of a map: its key, its value, and when it expires.
type Shown = (Vec<u8>, Vec<u8>, Option<u64>);

/// The elements of a map: their order says nothing where hashes agree.
fn elements(value: LargeRef<'_>) -> Option<BTreeSet<Shown>> {
    let (LargeRef::Hash(map) | LargeRef::Set(map)) = value else { return None };
    Some(map.iter().map(|of| (of.key.to_vec(), of.value.to_bytes().into_owned(), of.expire_at_ms)).collect())
}

/// The value of these parts, up to the first that is refused, and whether there was one.
fn read(form: Form, parts: &[Vec<u8>]) -> (LargeBox, bool) {
    let mut value = LargeBox::empty(form).expect("a large form");
    let refused = parts.iter().any(|part| value.read_part(part, &hasher()).is_err());
    (value, refused)
}

fn free(mut value: LargeBox) {
    while value.free_some(100) {}
}

#[test]
fn parts_make_the_same_value() {
    for value in values() {
        let (form, sent) = (value.as_ref().form(), parts(value.as_ref()));
        assert!(sent.len() > 1 && sent.iter().all(|part| part.len() < 300_000), "{form:?}");
        let (read, refused) = read(form, &sent);
        assert!(!refused, "{form:?}");
        assert_eq!(read.as_ref().elements(), value.as_ref().elements(), "{form:?}");
        match (elements(read.as_ref()), elements(value.as_ref())) {
            (Some(read), Some(value)) => assert!(read == value, "{form:?}"),
            _ => assert!(parts(read.as_ref()) == sent, "{form:?}"),
        }
        let (here, there) = (value.as_ref().heap_bytes(), read.as_ref().heap_bytes());
        assert!((here / 10 * 8..here / 8 * 10).contains(&there), "{form:?}: {there} bytes, not {here}");
        free(read);
    }
}

#[test]
fn no_key_comes_twice() {
    for value in values() {
        let sent = parts(value.as_ref());
        let twice = [sent.clone(), sent].concat();
        let is_list = value.as_ref().form() == Form::List;
        assert_eq!(read(value.as_ref().form(), &twice).1, !is_list, "{value:?}");
    }
}

#[test]
fn hostile_parts_are_refused_or_make_some_value() {
    let seed = std::env::var("SWELL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    println!("seed {seed}");
    let mut random = Random(seed);
    let good: Vec<(Form, Vec<Vec<u8>>)> =
        values().iter().map(|value| (value.as_ref().form(), parts(value.as_ref()))).collect();
    let mut refused = 0;
    for round in 0..3_000 {
        let (form, parts) = &good[round % good.len()];
        // Parts of another kind are hostile too.
        let form = if random.below(20) == 0 { good[random.below(good.len())].0 } else { *form };
        let mut parts = parts.clone();
        for _ in 0..1 + random.below(3) {
            let which = random.below(parts.len());
            mutate(&mut parts, which, &mut random);
        }
        let bytes: usize = parts.iter().map(Vec::len).sum();
        let (value, is_refused) = read(form, &parts);
        refused += usize::from(is_refused);
        // The smallest record of any kind has a few bytes, and what it makes has a few hundred.
        let held = value.as_ref().heap_bytes();
        assert!(held < 100_000 + 40 * bytes, "{held} bytes from {bytes}");
        // Whatever it is, it can be used.
        let clone = value.as_ref().to_box();
        let written = self::parts(clone.as_ref());
        if !is_refused {
            let (again, is_refused) = read(form, &written);
            assert!(!is_refused, "{form:?}: what was taken once is taken again");
            assert_eq!(again.as_ref().elements(), value.as_ref().elements(), "{form:?}");
        }
        free(value);
        free(clone);
    }
    assert!(refused > 500, "{refused}");
}

fn mutate(parts: &mut Vec<Vec<u8>>, which: usize, random: &mut Random) {
    let part = &mut parts[which];
    // Mostly where lengths are: at the ends.
    let at = match random.below(3) {
        0 => random.below(part.len()),
        1 => random.below(part.len().min(60)),
        _ => part.len().saturating_sub(1 + random.below(60)),
    };
    match random.below(9) {
        _ if part.is_empty() => {}
        0 | 1 => part[at] ^= 1 << random.below(8),
        2 => part[at] = random.below(256) as u8,
        3 => part.truncate(at),
        4 => drop(part.splice(at..at, (0..random.below(20)).map(|n| (n as u8).wrapping_mul(37)).collect::<Vec<_>>())),
        5 => drop(part.drain(at..(at + random.below(40)).min(part.len()))),
        6 if at + 8 <= part.len() => part[at..at + 8].fill(0xff),
        7 => drop(parts.remove(which)),
        _ => {
            let to = random.below(parts.len());
            parts.swap(which, to);
        }
    }
    if parts.is_empty() {
        parts.push(Vec::new());
    }
}
