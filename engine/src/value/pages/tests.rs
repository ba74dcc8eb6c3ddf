//! The map against a model: random operations, copies, scans over a changing map, parts, skewed hashes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arbtest::arbitrary::{Result as Drawn, Unstructured};
use arbtest::arbtest;
use swell_wire::{Arg, Segments};

use super::element::Item;
use super::{Element, PageMap};
use crate::key::Hasher;
use crate::value::{Large, rounded};

type Model = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

const SEED: u64 = 11;

fn hasher() -> Hasher {
    Hasher::new(SEED)
}

fn numbered(count: usize) -> PageMap {
    let mut map = PageMap::new();
    for n in 0..count {
        map.set(&hasher(), format!("field:{n:03}").as_bytes(), Arg::Slice(format!("value:{n:04}").as_bytes()), None);
    }
    map
}

fn read(element: Element<'_>) -> (Vec<u8>, (Vec<u8>, Option<u64>)) {
    (element.key.to_vec(), (element.value.to_bytes().to_vec(), element.expire_at_ms))
}

fn contents(map: &PageMap) -> Model {
    let mut found = Model::new();
    for (key, value) in map.iter().map(read) {
        assert!(found.insert(key, value).is_none(), "an element is visited once");
    }
    found
}

/// Everything that must hold between operations.
fn check(map: &PageMap) {
    assert_eq!(map.directory.len(), if map.pages.is_empty() { 0 } else { 1 << map.depth });
    let mut bytes: usize = map.outside.iter().map(|outside| outside.heap_bytes()).sum();
    let (mut len, mut volatile, mut outside) = (0, 0, BTreeSet::new());
    for (at, page) in map.pages.iter().enumerate() {
        let free = map.depth - page.depth;
        let first = (page.prefix as usize) << free;
        assert!(map.directory[first..first + (1 << free)].iter().all(|named| *named as usize == at));
        let tags: Vec<u16> = page.items().map(|(tag, _)| tag).collect();
        assert!(tags.is_sorted());
        for (tag, item) in page.items() {
            let hash = hasher().hash(map.key_of(item));
            assert_eq!((page.tag_of(hash), map.page_of(hash)), (tag, at));
            assert!(map.expiry_of(item).is_none_or(|expiry| expiry >= page.earliest_ms && expiry >= map.earliest_ms));
            volatile += usize::from(map.expiry_of(item).is_some());
            if let Item::Outside(place) = item {
                assert!(outside.insert(place));
            }
        }
        assert_eq!(page.payload(), page.items().map(|(_, item)| item.size()).sum::<usize>());
        assert!(page.count() as u32 <= map.fullest);
        len += page.count();
        bytes += page.heap_bytes();
    }
    let deepest = map.pages.iter().filter(|page| page.depth == map.depth).count();
    assert_eq!((map.len, map.volatile, map.element_bytes, map.deepest as usize), (len, volatile, bytes, deepest));
    assert!(outside.into_iter().eq(0..map.outside.len() as u32));
}

fn random_key(u: &mut Unstructured<'_>) -> Drawn<Vec<u8>> {
    let number = u.int_in_range(0..=400u32)?;
    let length = if number % 50 == 0 { 1200 } else { number as usize % 70 };
    let mut key = number.to_string().into_bytes();
    key.resize(key.len().max(length), b'.');
    Ok(key)
}

fn random_value(u: &mut Unstructured<'_>) -> Drawn<Vec<u8>> {
    let len = match u.int_in_range(0..=99u8)? {
        0 => 70_000,
        1..5 => u.int_in_range(900..=3000usize)?,
        5..50 => u.int_in_range(0..=40usize)?,
        _ => u.int_in_range(0..=400usize)?,
    };
    Ok(vec![u.arbitrary()?; len])
}

#[test]
fn behaves_like_a_hash_map() {
    arbtest(|u| {
        let (mut map, mut model) = (PageMap::new(), Model::new());
        let mut copies: Vec<(PageMap, Model)> = Vec::new();
        for _ in 0..u.int_in_range(0..=600)? {
            let key = random_key(u)?;
            match u.int_in_range(0..=19u8)? {
                0..9 => {
                    let value = random_value(u)?;
                    let expiry = if u.ratio(1, 3)? { Some(u.int_in_range(0..=1000u64)?) } else { None };
                    let arg = Segments::from_slice(&value);
                    let arg = if value.len() > 2000 { Arg::Segments(&arg) } else { Arg::Slice(&value) };
                    let before = model.insert(key.clone(), (value.clone(), expiry));
                    assert_eq!(map.set(&hasher(), &key, arg, expiry), before.is_some());
                }
                9..15 => assert_eq!(map.remove(&hasher(), &key), model.remove(&key).is_some()),
                15 => {
                    let expiry = if u.arbitrary()? { Some(u.int_in_range(0..=1000u64)?) } else { None };
                    let there = model.get_mut(&key).map(|element| element.1 = expiry).is_some();
                    assert_eq!(map.set_expiry(&hasher(), &key, expiry), there);
                }
                16 => {
                    assert_eq!(map.add(&hasher(), &key), !model.contains_key(&key));
                    model.entry(key).or_default();
                }
                17 => copies.push((map.clone(), model.clone())),
                18 => {
                    let now = u.int_in_range(0..=300u64)?;
                    let mut gone = Vec::new();
                    while map.remove_expired(&hasher(), now, 20, |key| gone.push(key.to_vec())) > 0 {}
                    assert!(map.earliest_expiry().is_none_or(|at| at >= now));
                    let stays = |expiry: Option<u64>| expiry.is_none_or(|at| at >= now);
                    let count_before = model.len();
                    model.retain(|_, (_, expiry)| stays(*expiry));
                    assert_eq!(gone.len(), count_before - model.len());
                }
                _ => {
                    let found = map.get(&hasher(), &key).map(read).map(|(_, value)| value);
                    assert_eq!(found.as_ref(), model.get(&key));
                    assert_eq!(map.contains(&hasher(), &key), found.is_some());
                }
            }
            assert_eq!(map.len(), model.len());
        }
        copies.push((map, model));
        for (map, model) in copies {
            check(&map);
            assert_eq!(contents(&map), model);
            assert_eq!(contents(&through_parts(&map)), model);
        }
        Ok(())
    })
    .budget_ms(4_000);
}

fn through_parts(map: &PageMap) -> PageMap {
    let mut copy = PageMap::new();
    let mut at = Some(0);
    while let Some(place) = at {
        let mut part = Vec::new();
        at = map.write_part(place, &mut part);
        assert!(part.len() < 110_000, "a part is bounded, however long a value is: {}", part.len());
        copy.read_part(&part, &hasher()).unwrap();
    }
    check(&copy);
    copy
}

#[test]
fn a_huge_value_travels_in_pieces() {
    let mut map = numbered(10);
    let value: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    map.set(&hasher(), b"huge", Arg::Slice(&value), Some(77));
    let copy = through_parts(&map);
    assert_eq!(contents(&copy), contents(&map));
}

#[test]
fn malformed_parts_are_refused() {
    let map = numbered(20);
    let mut part = Vec::new();
    assert_eq!(map.write_part(0, &mut part), None);
    for len in 0..part.len() {
        let mut copy = PageMap::new();
        let whole = copy.read_part(&part[..len], &hasher()).is_ok();
        assert_eq!(whole, len % 28 == 0, "cut at {len}");
        check(&copy);
    }
    arbtest(|u| {
        let bytes: Vec<u8> = u.arbitrary()?;
        let mut copy = PageMap::new();
        let _ = copy.read_part(&bytes, &hasher());
        check(&copy);
        Ok(())
    })
    .budget_ms(300);
}

#[test]
fn a_map_grows_and_shrinks_again() {
    let mut map = numbered(50_000);
    check(&map);
    let largest = map.heap_bytes();
    let copy = map.clone();
    for n in 0..49_990 {
        assert!(map.remove(&hasher(), format!("field:{n:03}").as_bytes()), "{n}");
    }
    check(&map);
    assert_eq!((map.pages.len(), map.directory.len(), map.len()), (1, 1, 10));
    assert!(map.heap_bytes() < 1024, "{}", map.heap_bytes());
    assert_eq!((copy.heap_bytes(), copy.len()), (largest, 50_000));
    check(&copy);
}

#[test]
fn bytes_per_element() {
    for count in [1_000, 20_000] {
        let map = numbered(count);
        let payload: usize = map.iter().map(|element| element.key.len() + element.value.len()).sum();
        let beyond = (map.heap_bytes() + rounded(size_of::<PageMap>()) - payload) as f64 / count as f64;
        assert!(beyond < 13.0, "{beyond} bytes beyond field and value with {count}");
    }
}

#[test]
fn hashes_that_do_not_spread() {
    let prefix = hasher().hash(b"0") >> 50;
    let keys: Vec<String> =
        (0..5_000_000u32).map(|n| n.to_string()).filter(|n| hasher().hash(n.as_bytes()) >> 50 == prefix).collect();
    assert!(keys.len() > 150, "{}", keys.len());
    let mut map = numbered(100);
    for key in &keys {
        map.set(&hasher(), key.as_bytes(), Arg::Slice(&[1; 1000]), None);
        check(&map);
    }
    assert!(map.pages.iter().any(|page| page.capacity() > 100_000), "one page holds them all");
    assert!(map.directory.len() <= 512);
    assert!(keys.iter().all(|key| map.contains(&hasher(), key.as_bytes())));
    assert_eq!(contents(&through_parts(&map)).len(), keys.len() + 100);
    let copy = map.clone();
    for key in &keys {
        assert!(map.remove(&hasher(), key.as_bytes()));
    }
    check(&map);
    assert_eq!((map.len(), copy.len()), (100, keys.len() + 100));
    // With more keys around them they spread after all.
    let mut map = copy;
    for n in 0..60_000 {
        map.add(&hasher(), format!("more:{n}").as_bytes());
    }
    map.add(&hasher(), keys[0].as_bytes());
    check(&map);
    assert_eq!(map.len(), 60_100 + keys.len());
}

#[test]
fn scans_see_what_stays() {
    arbtest(|u| {
        let mut map = PageMap::new();
        let stay: Vec<String> = (0..u.int_in_range(0..=3_000)?).map(|n| format!("stay:{n}")).collect();
        stay.iter().for_each(|key| _ = map.add(&hasher(), key.as_bytes()));
        let mut others = 0..;
        let mut living: Vec<String> = Vec::new();
        let (mut cursor, mut seen, mut calls) = (0, BTreeMap::<Vec<u8>, u32>::new(), 0u32);
        loop {
            let count = u.int_in_range(1..=300)?;
            let next = map.scan(cursor, count, |element| *seen.entry(element.key.to_vec()).or_default() += 1);
            assert!(next == 0 || next > cursor);
            cursor = next;
            calls += 1;
            if cursor == 0 {
                break;
            }
            if u.ratio(1, 10)? {
                // It goes on at another node, whose map has grown in another way.
                map = through_parts(&map);
            }
            if living.len() < 5_000 && u.arbitrary()? {
                let more = others.by_ref().take(u.int_in_range(0..=2_000)?).map(|n: u32| format!("other:{n}"));
                living.extend(more.inspect(|key| _ = map.add(&hasher(), key.as_bytes())));
            } else {
                living.drain(..).for_each(|key| _ = map.remove(&hasher(), key.as_bytes()));
            }
        }
        assert!(stay.iter().all(|key| seen.contains_key(key.as_bytes())));
        assert!(calls <= 20_000);
        Ok(())
    })
    .budget_ms(2_000);
    assert_eq!(numbered(500).scan(1 << 32, 10, |_| panic!("no scan gave this cursor")), 0);
}

#[test]
fn every_element_is_drawn_about_as_often() {
    let map = numbered(3_000);
    let mut drawn: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut state = 5u64;
    for _ in 0..300_000 {
        let element = map.random(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed ^ (mixed >> 32)
        });
        *drawn.entry(element.unwrap().key.to_vec()).or_default() += 1;
    }
    assert_eq!(drawn.len(), 3_000);
    // 100 expected, standard deviation 10.
    assert!(drawn.values().all(|times| (50..=160).contains(times)), "{:?}", drawn.values().minmax());
    assert!(map.random(|| u64::MAX).is_some(), "bad luck without end is survived");
    assert!(PageMap::new().random(|| 0).is_none());
}

trait MinMax: Iterator {
    fn minmax(self) -> Option<(Self::Item, Self::Item)>;
}

impl<I: Iterator<Item: Ord + Copy>> MinMax for I {
    fn minmax(self) -> Option<(I::Item, I::Item)> {
        self.fold(None, |bounds, item| {
            let (low, high) = bounds.unwrap_or((item, item));
            Some((low.min(item), high.max(item)))
        })
    }
}

#[test]
fn a_map_is_freed_in_slices() {
    let mut map = numbered(10_000);
    map.set(&hasher(), b"long", Arg::Slice(&[1; 5000]), None);
    let mut slices = 0;
    while map.free_some(1_000) {
        slices += 1;
    }
    assert!((8..=12).contains(&slices), "{slices}");
    assert!(map.get(&hasher(), b"long").is_none() && map.iter().next().is_none() && map.pages.is_empty());
}
