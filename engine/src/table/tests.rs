//! The table against a model: random operations, like hashes, both modes, scans over a changing table.

use std::alloc::Layout as Block;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ptr::NonNull;

use arbtest::arbtest;

use super::layout::{Layout, NARROW_WORDS_MAX};
use super::{ArrayAlloc, ScanCursor, Table, home_of, order_of, pointer, tag_of};
use crate::heap::{Heap, HeapLocal, rounded};

/// The global allocator, with a check that every array comes back once and with its size.
#[derive(Default)]
struct Checked {
    blocks: HashMap<usize, usize>,
}

impl ArrayAlloc for Checked {
    fn alloc(&mut self, bytes: usize) -> NonNull<u8> {
        // SAFETY: arrays have at least two words.
        let block = NonNull::new(unsafe { std::alloc::alloc(Block::from_size_align(bytes, 8).unwrap()) }).unwrap();
        // Arrays must not rely on zeroed memory.
        // SAFETY: allocated just now.
        unsafe { block.write_bytes(0xa5, bytes) };
        self.blocks.insert(block.addr().get(), bytes);
        block
    }

    unsafe fn free(&mut self, block: NonNull<u8>, bytes: usize) {
        assert_eq!(self.blocks.remove(&block.addr().get()), Some(bytes));
        // SAFETY: allocated above with this size, and not freed before.
        unsafe { std::alloc::dealloc(block.as_ptr(), Block::from_size_align(bytes, 8).unwrap()) };
    }
}

/// Arrays from the heap, as in the engine.
struct FromHeap<'a>(&'a Heap, HeapLocal);

impl ArrayAlloc for FromHeap<'_> {
    fn alloc(&mut self, bytes: usize) -> NonNull<u8> {
        self.1.alloc(self.0, bytes)
    }

    unsafe fn free(&mut self, block: NonNull<u8>, bytes: usize) {
        // SAFETY: as the caller promises.
        unsafe { self.1.free(self.0, block, bytes) }
    }
}

/// A generator (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// How the hashes of a test are spread.
#[derive(Clone, Copy, Debug)]
enum Spread {
    Even,
    /// A few values of the upper 16 bits, the largest among them.
    FewTags,
    /// A few whole hashes.
    FewHashes,
}

impl Spread {
    const ALL: [Spread; 3] = [Spread::Even, Spread::FewTags, Spread::FewHashes];

    fn hash(self, random: &mut Random) -> u64 {
        let hash = random.next();
        match self {
            Spread::Even => hash,
            Spread::FewTags => hash >> 16 | [0xffff, 0, 0x7fff, 0x8000][random.below(4)] << 48,
            Spread::FewHashes => [u64::MAX, 0, 0x7fff_ffff_ffff_ffff, 0xffff_0000_ffff_0000][random.below(4)],
        }
    }
}

/// A table beside a plain model of it. Entries are numbers dressed up as addresses.
#[derive(Default)]
struct Pair {
    table: Table,
    alloc: Checked,
    hashes: Vec<u64>,
    present: BTreeMap<usize, ()>,
    order: Vec<usize>,
}

impl Pair {
    fn insert(&mut self, hash: u64) -> usize {
        let id = self.hashes.len();
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.table.insert(&mut self.alloc, hash, entry(id), |other| {
            assert_ne!(id_of(other), id, "asked about the entry that is not in yet");
            hashes[id_of(other)]
        });
        self.present.insert(id, ());
        self.order.push(id);
        id
    }

    fn remove_any(&mut self, random: &mut Random) {
        let id = self.order.swap_remove(random.below(self.order.len()));
        self.present.remove(&id);
        let position = self.table.find(self.hashes[id], |found| found == entry(id)).expect("present");
        assert_eq!(self.table.get(position), entry(id));
        let hashes = &self.hashes;
        let removed = self.table.remove(&mut self.alloc, position, |other| {
            assert_ne!(id_of(other), id, "asked about the entry that goes");
            hashes[id_of(other)]
        });
        assert_eq!(removed, entry(id));
        assert_eq!(self.table.find(self.hashes[id], |found| found == entry(id)), None);
    }

    fn is_wide(&self) -> bool {
        !self.table.at().is_empty() && self.table.at().layout().is_wide()
    }

    /// The array's invariants, and that it holds exactly the model's entries.
    fn check(&self) {
        assert_eq!(self.table.len() as usize, self.order.len());
        let held: usize = self.alloc.blocks.values().map(|bytes| rounded(*bytes)).sum();
        assert_eq!(self.table.array_bytes(), held);
        if self.table.is_empty() {
            assert_eq!((self.table.descriptor(), held), (0, 0));
            return;
        }
        let layout = self.table.at().layout();
        let (mut last_order, mut last_empty, mut seen) = (0, None, HashSet::new());
        for (index, word) in self.table.words().iter().enumerate() {
            let Some(found) = pointer(*word) else {
                last_empty = Some(index);
                continue;
            };
            let hash = self.hashes[id_of(found)];
            let (home, order) = (layout.home(hash), order_of(layout, *word, &|e| self.hashes[id_of(e)]));
            assert_eq!(tag_of(*word), layout.tag(hash));
            assert_eq!(home, home_of(layout, *word, &|e| self.hashes[id_of(e)]));
            assert!(home <= index && order >= last_order);
            assert!(last_empty.is_none_or(|empty| empty < home), "a gap between an entry and its home");
            assert!(seen.insert(id_of(found)) && self.present.contains_key(&id_of(found)));
            last_order = order;
        }
        assert_eq!(seen.len(), self.present.len());
        assert!(self.table.iter().map(id_of).eq(self.table.words().iter().filter_map(|w| pointer(*w)).map(id_of)));
    }

    fn check_lookups(&self) {
        for id in self.present.keys().copied() {
            let hash = self.hashes[id];
            assert!(self.table.find(hash, |found| found == entry(id)).is_some());
            let candidate = self.table.candidate(hash).expect("something has this tag");
            let layout = self.table.at().layout();
            assert_eq!(layout.tag(self.hashes[id_of(candidate)]), layout.tag(hash));
            let home = Table::home_address(self.table.descriptor(), hash).expect("there is an array");
            assert!(self.table.words().as_ptr_range().contains(&home));
        }
    }

    fn clear(&mut self) {
        let mut gone = Vec::new();
        self.table.clear(&mut self.alloc, |found| gone.push(id_of(found)));
        gone.sort_unstable();
        assert!(gone.iter().eq(self.present.keys()));
        (self.present, self.order) = (BTreeMap::new(), Vec::new());
        self.check();
    }
}

#[test]
fn a_table_takes_24_bytes_and_nothing_else_when_empty() {
    assert_eq!(size_of::<Table>(), 24);
    let table = Table::new();
    assert_eq!((table.len(), table.array_bytes(), table.descriptor()), (0, 0, 0));
    assert!(table.find(5, |_| true).is_none() && table.candidate(5).is_none() && table.random(5).is_none());
    assert!(Table::home_address(0, 5).is_none());
    assert_eq!(table.scan(ScanCursor::START, 10, |_| 0, |_| panic!("nothing to visit")), None);
    table.sample(7, 3, |_| panic!("nothing to sample"));
}

#[test]
fn small_tables_follow_the_model_after_each_operation() {
    arbtest(|u| {
        let mut random = Random(u.arbitrary()?);
        let spread = *u.choose(&Spread::ALL)?;
        let mut pair = Pair::default();
        let bound = 1 + random.below(200);
        for _ in 0..4 * bound {
            let grow = random.below(bound) >= pair.order.len();
            if grow || pair.order.is_empty() {
                let hash = spread.hash(&mut random);
                pair.insert(hash);
            } else {
                pair.remove_any(&mut random);
            }
            pair.check();
        }
        pair.check_lookups();
        pair.clear();
        Ok(())
    });
}

#[test]
fn huge_tables_go_wide_and_back() {
    for spread in [Spread::Even, Spread::FewTags] {
        let (mut pair, mut random) = (Pair::default(), Random(1));
        let mut modes = Vec::new();
        let mut note = |pair: &Pair| {
            if modes.last() != Some(&pair.is_wide()) {
                modes.push(pair.is_wide());
            }
        };
        let (entries, bytes_each_max) = if matches!(spread, Spread::Even) { (120_000, 12) } else { (12_000, 20) };
        for step in 0..entries {
            let hash = spread.hash(&mut random);
            pair.insert(hash);
            if random.below(8) == 0 {
                pair.remove_any(&mut random);
            }
            note(&pair);
            if step % 20_000 == 0 {
                pair.check();
            }
        }
        pair.check();
        pair.check_lookups();
        let (bytes, len) = (pair.table.array_bytes(), pair.order.len());
        assert!(bytes < len * bytes_each_max, "{bytes} bytes for {len} entries, {spread:?}");
        while pair.order.len() > 5 {
            pair.remove_any(&mut random);
            note(&pair);
            if pair.order.len().is_multiple_of(20_000) {
                pair.check();
            }
        }
        pair.check();
        assert!(pair.table.array_bytes() <= 512, "{} bytes", pair.table.array_bytes());
        assert_eq!(modes, [false, true, false]);
    }
}

#[test]
fn like_hashes_cost_padding_and_not_capacity() {
    for hash in [0, u64::MAX, 0x1234_5678_9abc_def0] {
        let (mut pair, mut random) = (Pair::default(), Random(3));
        for _ in 0..3000 {
            pair.insert(hash);
        }
        pair.check();
        assert!(pair.table.array_bytes() < 3000 * 8 * 8, "{} bytes", pair.table.array_bytes());
        while !pair.order.is_empty() {
            pair.remove_any(&mut random);
        }
        pair.check();
    }
}

#[test]
fn narrow_tables_read_no_entries() {
    let (mut table, mut alloc, mut random) = (Table::new(), Checked::default(), Random(9));
    let unread = |_: NonNull<u8>| -> u64 { panic!("a narrow table read an entry") };
    let hashes: Vec<u64> = (0..7000).map(|_| random.next()).collect();
    for (id, hash) in hashes.iter().enumerate() {
        table.insert(&mut alloc, *hash, entry(id), unread);
    }
    assert!(!table.at().layout().is_wide());
    for (id, hash) in hashes.iter().enumerate() {
        let position = table.find(*hash, |found| found == entry(id)).unwrap();
        table.remove(&mut alloc, position, unread);
    }
    assert_eq!(table.array_bytes(), 0);
}

#[test]
fn lookups_compare_few_entries() {
    let (mut pair, mut random) = (Pair::default(), Random(5));
    for entries in [60, 7000, 60_000] {
        while pair.order.len() < entries {
            let hash = random.next();
            pair.insert(hash);
        }
        let mut asked = 0;
        for _ in 0..10_000 {
            pair.table.find(random.next(), |_| {
                asked += 1;
                false
            });
        }
        assert!(asked < 2000, "{asked} entries compared in 10000 misses among {entries}");
    }
    pair.clear();
}

#[test]
fn a_moved_entry_is_replaced_in_place() {
    let mut pair = Pair::default();
    (0..50).for_each(|i: u64| {
        pair.insert(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    });
    let hash = pair.hashes[20];
    let position = pair.table.find(hash, |found| found == entry(20)).unwrap();
    pair.table.replace(position, entry(1000));
    assert_eq!(pair.table.find(hash, |found| found == entry(1000)), Some(position));
    pair.table.replace(position, entry(20));
    pair.clear();
}

#[test]
fn a_scan_finds_what_was_there_throughout() {
    arbtest(|u| {
        let mut random = Random(u.arbitrary()?);
        let spread = *u.choose(&Spread::ALL)?;
        let scale = *u.choose(&[3, 40, 400])?;
        scan_while_changing(&mut random, spread, scale, 1 + scale / 10);
        Ok(())
    });
}

#[test]
fn a_scan_survives_a_change_of_mode() {
    for seed in 0..3 {
        scan_while_changing(&mut Random(seed), Spread::Even, 9000, 700);
        scan_while_changing(&mut Random(seed), Spread::FewTags, 5500, 300);
    }
}

#[test]
fn a_scan_of_a_quiet_table_visits_once() {
    for entries in [1, 7, 9, 100, 20_000] {
        let (mut pair, mut random) = (Pair::default(), Random(entries as u64));
        for _ in 0..entries {
            let hash = random.next();
            pair.insert(hash);
        }
        let (mut cursor, mut visits) = (Some(ScanCursor::START), Vec::new());
        while let Some(at) = cursor {
            let before = visits.len();
            cursor = pair.table.scan(at, 10, |e| pair.hashes[id_of(e)], |e| visits.push(id_of(e)));
            assert!(visits.len() - before >= 10 || cursor.is_none());
            assert!(visits.len() - before < 20, "a call visits about as many as asked for");
        }
        visits.sort_unstable();
        assert!(visits.into_iter().eq(0..entries));
        pair.clear();
    }
}

#[test]
fn samples_and_random_picks_reach_every_entry() {
    for entries in [1, 5, 60, 500] {
        let (mut pair, mut random) = (Pair::default(), Random(entries as u64));
        for _ in 0..entries {
            let hash = random.next();
            pair.insert(hash);
        }
        let (mut sampled, mut picked) = (HashSet::new(), HashMap::<usize, usize>::new());
        for _ in 0..entries * 100 {
            let mut n = 0;
            pair.table.sample(random.next() as u32, 5, |e| {
                sampled.insert(id_of(e));
                n += 1;
            });
            assert_eq!(n, entries.min(5));
            *picked.entry(id_of(pair.table.random(random.next()).unwrap())).or_default() += 1;
        }
        assert_eq!((sampled.len(), picked.len()), (entries, entries));
        assert!(picked.values().all(|times| (40..200).contains(times)) || entries == 1);
        pair.clear();
    }
}

#[test]
fn arrays_are_well_filled() {
    let heap = Heap::new();
    let mut alloc = FromHeap(&heap, HeapLocal::new());
    let mut random = Random(2);
    let (mut bytes, mut in_use) = (0, 0);
    for target in [10usize, 20, 40, 61, 80, 120, 250, 500, 1000, 2000] {
        let (bytes_before, in_use_before) = (bytes, in_use);
        for _ in 0..40_000 / target {
            let mut table = Table::new();
            // Keys are spread over slots at random: the number in one varies by its root or so.
            let spread = 4 * target.isqrt();
            let len = target - spread / 2 + random.below(spread + 1);
            for id in 0..len {
                table.insert(&mut alloc, random.next(), entry(id), |_| 0);
            }
            bytes += table.array_bytes();
            in_use += len * 8;
            table.clear(&mut alloc, |_| {});
        }
        println!("{target} keys: {:.3} in use", (in_use - in_use_before) as f64 / (bytes - bytes_before) as f64);
    }
    let load = in_use as f64 / bytes as f64;
    assert!(load > 0.75, "arrays are filled to {load:.3}");
    alloc.1.flush(&heap);
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn defragmenting_keeps_entries_and_frees_spans() {
    let heap = Heap::new();
    let mut alloc = FromHeap(&heap, HeapLocal::new());
    let (mut tables, mut random): (Vec<Table>, _) = ((0..2000).map(|_| Table::new()).collect(), Random(8));
    let hashes: Vec<u64> = (0..120_000).map(|_| random.next()).collect();
    for (id, hash) in hashes.iter().enumerate() {
        tables[*hash as usize % 2000].insert(&mut alloc, *hash, entry(id), |_| 0);
    }
    alloc.1.flush(&heap);
    let before = heap.stats();
    // SAFETY: all arrays came from this heap.
    while tables.iter_mut().map(|table| usize::from(unsafe { table.defragment(&heap) })).sum::<usize>() > 0 {}
    let after = heap.stats();
    assert_eq!(after.live_bytes, before.live_bytes);
    assert!(after.held_bytes < before.held_bytes * 9 / 10, "{before:?}, then {after:?}");
    for (id, hash) in hashes.iter().enumerate() {
        assert!(tables[*hash as usize % 2000].find(*hash, |found| found == entry(id)).is_some());
    }
    tables.iter_mut().for_each(|table| table.clear(&mut alloc, |_| {}));
    alloc.1.flush(&heap);
    assert_eq!(heap.stats().live_bytes, 0);
}

#[test]
fn capacities_follow_one_another_closely() {
    let mut layout = Layout::for_len(1);
    while layout.base_words() < 1 << 26 {
        let next = layout.larger();
        let (words, more) = (layout.base_words(), next.base_words());
        assert!(more > words && (more <= words * 5 / 4 || words < 32), "{words}, then {more}");
        assert_eq!(next.is_wide(), more > NARROW_WORDS_MAX);
        for hash in [0, 1 << 47, u64::MAX / 2, u64::MAX] {
            assert!(next.home(hash) < next.words());
        }
        assert_eq!(Layout::for_len(next.len_max()), next);
        layout = next;
    }
}

/// Scans a table of about `scale` entries `count` at a time while entries come and go, and the table with them.
fn scan_while_changing(random: &mut Random, spread: Spread, scale: usize, count: usize) {
    let mut pair = Pair::default();
    for _ in 0..1 + random.below(scale) {
        let hash = spread.hash(random);
        pair.insert(hash);
    }
    let mut throughout: HashSet<usize> = pair.present.keys().copied().collect();
    let (mut cursor, mut visited) = (Some(ScanCursor::START), HashSet::new());
    while let Some(at) = cursor {
        cursor = pair.table.scan(
            at,
            count,
            |e| pair.hashes[id_of(e)],
            |e| {
                visited.insert(id_of(e));
            },
        );
        let cursor_moves = cursor.is_none_or(|next| next > at || at == ScanCursor::START);
        assert!(cursor_moves, "a scan must come to an end");
        let target = random.below(2 * scale);
        for _ in 0..count * 4 {
            if pair.order.len() < target {
                let hash = spread.hash(random);
                pair.insert(hash);
            } else if !pair.order.is_empty() {
                pair.remove_any(random);
            }
        }
        throughout.retain(|id| pair.present.contains_key(id));
    }
    assert!(throughout.is_subset(&visited), "{spread:?}, {scale}: entries were missed");
    pair.check();
    pair.clear();
}

fn entry(id: usize) -> NonNull<u8> {
    NonNull::new(std::ptr::without_provenance_mut((id + 1) * 8)).unwrap()
}

fn id_of(entry: NonNull<u8>) -> usize {
    entry.addr().get() / 8 - 1
}
