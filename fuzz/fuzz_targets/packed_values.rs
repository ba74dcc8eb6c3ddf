//! Listpacks, intsets and the parts of large lists, as RESTORE and streams of slots bring them: what is accepted reads
//! the same from either end and survives being copied element by element; nothing panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_engine::key::Hasher;
use swell_engine::value::Large;
use swell_engine::value::chunks::Chunks;
use swell_engine::value::element::Needle;
use swell_engine::value::intset::{IntSet, IntSetRef};
use swell_engine::value::listpack::{Listpack, ListpackRef};

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 3 {
        0 => listpack(bytes),
        1 => intset(bytes),
        _ => part(bytes),
    }
});

fn listpack(bytes: &[u8]) {
    let view = ListpackRef(bytes);
    let (forwards, backwards) = (view.iter().count(), view.iter().rev().count());
    view.find(view.first().unwrap_or_default(), &Needle::new(b"1"), 1);
    let (_, _) = (view.get(3), view.get(-3));
    let Ok(view) = ListpackRef::validate(bytes) else { return };
    assert_eq!((forwards, backwards), (view.len(), view.len()));
    let mut copy = Listpack::new();
    view.iter().for_each(|element| copy.push_back(element));
    assert!(copy.view().iter().eq(view.iter()));
    assert!(ListpackRef::validate(copy.view().bytes()).is_ok());
}

fn intset(bytes: &[u8]) {
    let view = IntSetRef(bytes);
    assert_eq!(view.iter().count(), view.len());
    let (_, _) = (view.contains(7), view.get(3));
    let Ok(view) = IntSetRef::validate(bytes) else { return };
    let copy: IntSet = view.iter().collect();
    assert!(copy.view().iter().eq(view.iter()) && view.iter().all(|number| view.contains(number)));
}

fn part(bytes: &[u8]) {
    let (mut list, hasher) = (Chunks::default(), Hasher::new(1));
    if list.read_part(bytes, &hasher).is_err() {
        return;
    }
    assert_eq!(list.iter_from(0).count(), list.len());
    let (mut copy, mut at) = (Chunks::default(), Some(0));
    while let Some(from) = at {
        let mut part = Vec::new();
        at = list.write_part(from, &mut part);
        assert!(copy.read_part(&part, &hasher).is_ok());
    }
    assert!(copy.iter_from(0).eq(list.iter_from(0)));
}
