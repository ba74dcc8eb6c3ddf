//! The heap's laws: blocks never overlap, sizes are rounded closely, memory comes back.

use std::collections::HashSet;
use std::ptr::NonNull;
use std::sync::Mutex;

use arbtest::arbtest;

use super::chunk::UNIT_BYTES;
use super::classes::{self, SIZES};
use super::{CLASS_BYTES_MAX, Heap, HeapLocal, HeapStats, rounded};

/// A block filled with a pattern of its own, so that an overlap shows.
struct Filled {
    block: NonNull<u8>,
    size: usize,
    pattern: u8,
}

// SAFETY: the block is plain memory and has one owner.
unsafe impl Send for Filled {}

impl Filled {
    fn alloc(heap: &Heap, local: &mut HeapLocal, size: usize, pattern: u8) -> Filled {
        let block = local.alloc(heap, size);
        assert_eq!(block.addr().get() % 8, 0);
        // SAFETY: the block is at least `size` long and ours.
        unsafe { block.write_bytes(pattern, size) };
        Filled { block, size, pattern }
    }

    fn check(&self) {
        // SAFETY: the block is ours and was filled to `size`.
        let bytes = unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.size) };
        assert!(bytes.iter().all(|byte| *byte == self.pattern), "a block of {} bytes was written to", self.size);
    }

    fn free(self, heap: &Heap, local: &mut HeapLocal) {
        self.check();
        // SAFETY: allocated by `alloc` with this size, and `self` is consumed.
        unsafe { local.free(heap, self.block, self.size) };
    }
}

/// A small generator (splitmix64) seeded by arbtest, which prints and shrinks its own seed.
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

    /// A size with all magnitudes about equally likely, some of them above the largest class.
    fn size(&mut self) -> usize {
        let magnitude = self.below(15);
        self.below(1 << magnitude)
    }
}

#[test]
fn rounding_is_close_and_monotone() {
    let mut previous = 0;
    for size in 1..=3 * CLASS_BYTES_MAX {
        let taken = rounded(size);
        assert!(taken >= size && taken >= previous, "{size} takes {taken} after {previous}");
        let allowed = if size > CLASS_BYTES_MAX { 31 } else { (size / 16).max(7) };
        assert!(taken - size <= allowed, "{size} takes {taken}");
        if size <= CLASS_BYTES_MAX {
            assert_eq!(rounded(taken), taken);
        }
        previous = taken;
    }
    assert_eq!(rounded(0), 8);
}

#[test]
fn spans_are_used_up() {
    for (class, size) in SIZES.iter().enumerate() {
        let span = classes::units(class) * UNIT_BYTES;
        let used = classes::capacity(class) as usize * usize::from(*size);
        assert!(used <= span && (span - used) * 50 <= span, "the class of {size} wastes {}", span - used);
    }
}

#[test]
fn random_blocks_do_not_overlap() {
    arbtest(|u| {
        let mut random = Random(u.arbitrary()?);
        let (heap, mut local) = (Heap::new(), HeapLocal::new());
        let mut blocks = Vec::new();
        for round in 0..3000 {
            // Phases of growth and of decline.
            if random.below(4) < if round / 500 % 2 == 0 { 3 } else { 1 } {
                let size = random.size();
                blocks.push(Filled::alloc(&heap, &mut local, size, round as u8));
            } else if !blocks.is_empty() {
                let index = random.below(blocks.len());
                blocks.swap_remove(index).free(&heap, &mut local);
            }
        }
        let in_use: usize = blocks.iter().map(|filled| rounded(filled.size)).sum();
        assert!(heap.stats().live_bytes >= in_use && heap.stats().held_bytes >= heap.stats().live_bytes);
        local.flush(&heap);
        assert_eq!(heap.stats().live_bytes, in_use);
        blocks.into_iter().for_each(|filled| filled.free(&heap, &mut local));
        local.flush(&heap);
        assert_empty(heap.stats());
        Ok(())
    });
}

#[test]
fn threads_free_each_others_blocks() {
    const THREADS: usize = 4;
    let heap = Heap::new();
    let shared: Mutex<Vec<Filled>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (heap, shared) = (&heap, &shared);
            scope.spawn(move || {
                let (mut random, mut local) = (Random(thread as u64), HeapLocal::new());
                for round in 0..20_000 {
                    let size = random.size().min(4096);
                    let filled = Filled::alloc(heap, &mut local, size, round as u8);
                    let mut blocks = shared.lock().unwrap();
                    blocks.push(filled);
                    let index = random.below(blocks.len());
                    let taken = (blocks.len() > 500).then(|| blocks.swap_remove(index));
                    drop(blocks);
                    if let Some(filled) = taken {
                        filled.free(heap, &mut local);
                    }
                }
                local.flush(heap);
            });
        }
    });
    let mut local = HeapLocal::new();
    shared.into_inner().unwrap().into_iter().for_each(|filled| filled.free(&heap, &mut local));
    local.flush(&heap);
    assert_empty(heap.stats());
}

#[test]
fn freed_memory_goes_back_to_the_system() {
    let (heap, mut local) = (Heap::new(), HeapLocal::new());
    let mut blocks: Vec<_> = (0..40_000).map(|i| Filled::alloc(&heap, &mut local, 500, i as u8)).collect();
    let full = heap.stats();
    assert!(full.held_bytes >= 20_000_000);
    assert!((full.held_bytes as f64) < 40_000.0 * 512.0 * 1.02, "{full:?}");
    let kept = blocks.split_off(39_000);
    blocks.into_iter().for_each(|filled| filled.free(&heap, &mut local));
    local.flush(&heap);
    let rest = heap.stats();
    assert!(rest.held_bytes < full.held_bytes / 20, "{rest:?}");
    assert!(resident_bytes(&heap) < full.held_bytes / 4, "{} bytes are resident", resident_bytes(&heap));
    // What was given back can be used again, and nothing more is mapped for it.
    let again: Vec<_> = (0..39_000).map(|i| Filled::alloc(&heap, &mut local, 500, i as u8)).collect();
    assert_eq!(heap.stats().spans + heap.stats().free_spans, full.spans + full.free_spans);
    kept.into_iter().chain(again).for_each(|filled| filled.free(&heap, &mut local));
}

#[test]
fn an_idle_heap_is_small() {
    let (heap, mut local) = (Heap::new(), HeapLocal::new());
    assert_eq!(resident_bytes(&heap), 0);
    let blocks: Vec<_> = [16, 100, 500].map(|size| Filled::alloc(&heap, &mut local, size, 1)).into_iter().collect();
    assert!(resident_bytes(&heap) < 100 << 10, "{} bytes are resident", resident_bytes(&heap));
    blocks.into_iter().for_each(|filled| filled.free(&heap, &mut local));
}

#[test]
fn occupancy_tells_sparse_spans_from_full_ones() {
    let (heap, mut local) = (Heap::new(), HeapLocal::new());
    let mut blocks: Vec<_> = (0..2048).map(|_| Filled::alloc(&heap, &mut local, 128, 7)).collect();
    // SAFETY: the block is allocated with that size.
    let occupancy = |filled: &Filled| unsafe { heap.span_occupancy(filled.block, filled.size) };
    assert_eq!(occupancy(&blocks[0]), (512, 512));
    let kept = blocks.remove(0);
    let others = blocks.split_off(511);
    blocks.into_iter().for_each(|filled| filled.free(&heap, &mut local));
    local.flush(&heap);
    assert_eq!(occupancy(&kept), (1, 512));
    assert_eq!(occupancy(&others[0]), (512, 512));
    let large = Filled::alloc(&heap, &mut local, 100_000, 3);
    assert_eq!(occupancy(&large), (1, 1));
    for filled in others.into_iter().chain([kept, large]) {
        filled.free(&heap, &mut local);
    }
}

#[test]
fn refills_prefer_fuller_spans() {
    let (heap, mut local) = (Heap::new(), HeapLocal::new());
    let mut blocks: Vec<_> = (0..1024).map(|_| Filled::alloc(&heap, &mut local, 128, 7)).collect();
    let span = |filled: &Filled| filled.block.addr().get() / UNIT_BYTES;
    let first = span(&blocks[0]);
    // The first span keeps an eighth, the second one all but an eighth.
    let (freed, kept): (Vec<_>, Vec<_>) =
        blocks.drain(..).enumerate().partition(|(i, filled)| (i % 8 == 0) != (span(filled) == first));
    freed.into_iter().for_each(|(_, filled)| filled.free(&heap, &mut local));
    local.flush(&heap);
    let fresh: Vec<_> = (0..32).map(|_| Filled::alloc(&heap, &mut local, 128, 9)).collect();
    assert!(fresh.iter().all(|filled| span(filled) != first));
    for filled in kept.into_iter().map(|(_, filled)| filled).chain(fresh) {
        filled.free(&heap, &mut local);
    }
}

#[test]
fn moving_blocks_to_denser_spans_frees_the_sparse_ones() {
    let (heap, mut local) = (Heap::new(), HeapLocal::new());
    let mut random = Random(4);
    let blocks: Vec<_> = (0..20_000).map(|i| Filled::alloc(&heap, &mut local, 448, i as u8)).collect();
    let (mut kept, freed): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|_| random.below(10) == 0);
    freed.into_iter().for_each(|filled| filled.free(&heap, &mut local));
    local.flush(&heap);
    assert!(heap.stats().spans > 130, "nearly every span keeps a block");
    let mut moves = 0;
    for _ in 0..8 {
        moves = 0;
        for filled in &mut kept {
            // SAFETY: the block is allocated with that size.
            let Some(to) = (unsafe { heap.denser(filled.block, filled.size) }) else { continue };
            // SAFETY: both blocks are that long and distinct; the old one is not used afterwards.
            unsafe {
                to.copy_from_nonoverlapping(filled.block, filled.size);
                heap.free_direct(filled.block, filled.size);
            }
            filled.block = to;
            moves += 1;
        }
    }
    assert_eq!(moves, 0, "moving does not come to an end");
    assert!(heap.stats().spans <= kept.len() / 146 + 2, "{:?} for {} blocks", heap.stats(), kept.len());
    kept.into_iter().for_each(|filled| filled.free(&heap, &mut local));
    local.flush(&heap);
    assert_empty(heap.stats());
}

#[test]
fn trimming_returns_what_lies_idle() {
    let (heap, mut local) = (Heap::new(), HeapLocal::new());
    let blocks = [100, 200, 300].map(|size| Filled::alloc(&heap, &mut local, size, 1));
    blocks.into_iter().for_each(|filled| filled.free(&heap, &mut local));
    local.trim(&heap);
    assert_eq!(heap.stats().spans, 3, "all three classes were refilled just now");
    let busy: Vec<_> = (0..100).map(|_| Filled::alloc(&heap, &mut local, 200, 1)).collect();
    local.trim(&heap);
    assert_eq!(heap.stats().spans, 1);
    busy.into_iter().for_each(|filled| filled.free(&heap, &mut local));
    (0..2).for_each(|_| local.trim(&heap));
    assert_empty(heap.stats());
}

#[test]
#[should_panic(expected = "two heaps")]
fn a_local_serves_one_heap() {
    let (one, two, mut local) = (Heap::new(), Heap::new(), HeapLocal::new());
    local.alloc(&one, 16);
    local.alloc(&two, 32);
}

#[test]
fn blocks_are_distinct_within_a_class() {
    let (heap, mut local) = (Heap::new(), HeapLocal::new());
    let addresses: HashSet<_> = (0..10_000).map(|_| local.alloc(&heap, 24).addr().get()).collect();
    assert_eq!(addresses.len(), 10_000);
}

fn assert_empty(stats: HeapStats) {
    assert_eq!((stats.held_bytes, stats.live_bytes, stats.spans), (0, 0, 0), "{stats:?}");
}

/// Bytes of the heap's chunks that are in memory, as the kernel sees it.
fn resident_bytes(heap: &Heap) -> usize {
    const PAGE_BYTES: usize = 4096;
    let count_pages = |(start, bytes): (NonNull<u8>, usize)| {
        let mut pages = vec![0u8; bytes / PAGE_BYTES];
        // SAFETY: the range is mapped and the vector has a byte for each of its pages.
        let code = unsafe { libc::mincore(start.as_ptr().cast(), bytes, pages.as_mut_ptr().cast()) };
        assert_eq!(code, 0);
        pages.iter().filter(|page| **page & 1 == 1).count() * PAGE_BYTES
    };
    heap.pool.lock().unwrap().ranges().map(count_pages).sum()
}
