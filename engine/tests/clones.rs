//! How long a large value's stripe is locked while its value is cloned: a clone shares the pages.

use std::time::{Duration, Instant};

use swell_engine::key::Hasher;
use swell_engine::value::chunks::{Chunks, Fill};
use swell_engine::value::item::Item;
use swell_engine::value::pages::PageMap;
use swell_engine::value::ranked::Ranked;
use swell_engine::value::stream::{NodeLimits, Stream, StreamId};
use swell_engine::value::{Large, element::Element};
use swell_wire::{Arg, OwnedArgs};

/// The longest of a few clones, and the first write to the value while a clone is there.
fn measure<T: Large>(name: &str, value: &mut T, write: impl Fn(&mut T)) {
    let (mut clones, mut writes) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        // Nothing of it is in the processor's caches.
        std::hint::black_box(vec![1_u8; 64 << 20]);
        let start = Instant::now();
        let clone = value.clone();
        clones.push(start.elapsed());
        let start = Instant::now();
        write(value);
        writes.push(start.elapsed());
        drop(clone);
    }
    clones.sort_unstable();
    writes.sort_unstable();
    let us = |time: Duration| time.as_micros();
    println!(
        "{name}: {} elements, {} MB: clone {} us at best, {} at worst; first write {} us, {} at worst",
        value.elements(),
        value.heap_bytes() >> 20,
        us(clones[0]),
        us(clones[4]),
        us(writes[0]),
        us(writes[4])
    );
}

#[test]
#[ignore = "a measurement, for a release build"]
fn how_long_a_clone_takes() {
    let hasher = Hasher::new(7);
    for count in [1_000_000_u64, 10_000_000] {
        let name = |n: u64| format!("member:{n:010}");
        let mut map = PageMap::new();
        (0..count).for_each(|n| _ = map.set(&hasher, name(n).as_bytes(), Arg::Slice(b"value"), Some(n + 1)));
        measure("hash", &mut map, |map| _ = map.set(&hasher, name(5).as_bytes(), Arg::Slice(b"other"), None));
        drop(map);
        let mut ranked = Ranked::new();
        (0..count).for_each(|n| _ = ranked.insert(name(n).as_bytes(), (n * 7919 % count) as f64, &hasher));
        measure("sorted set", &mut ranked, |ranked| _ = ranked.insert(name(5).as_bytes(), 1.5, &hasher));
        drop(ranked);
        let (mut list, fill) = (Chunks::default(), Fill::new(-2));
        (0..count).for_each(|n| list.push_back(Item::Short(Element::Str(name(n).as_bytes())), &fill));
        measure("list", &mut list, |list| list.push_back(Item::Short(Element::Str(b"more")), &fill));
        drop(list);
        let mut stream = Stream::default();
        let fields = |n: u64| OwnedArgs::from_slices(&[b"field".to_vec(), name(n).into_bytes()]);
        let append = |stream: &mut Stream, n: u64| {
            stream.log_mut().append(StreamId::new(n, 0), fields(n).as_args(), NodeLimits::default());
        };
        (1..=count).for_each(|n| append(&mut stream, n));
        measure("stream", &mut stream, |stream| append(stream, stream.log().last_id.ms + 1));
    }
}
