//! The allocator for entries and tables: close size classes, a cache per thread, and memory that goes back.
//!
//! General allocators step their size classes by an eighth or a quarter, which at 512-byte values wastes more than a
//! whole entry header. Here steps are 8 bytes at first and about 1/32 later. Blocks of one class fill a *span* (64 or
//! 256 KiB of a 16 MiB chunk); each worker keeps a *magazine* of free blocks per class and goes to the class's lock
//! only to refill or spill half of one.

mod central;
mod chunk;
mod classes;
#[cfg(test)]
mod tests;

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use central::{Blocks, Central};
use chunk::{Pool, Span};
use classes::{CLASSES, SIZES, class_of, large_bytes, magazine_blocks};

pub use classes::{CLASS_BYTES_MAX, rounded};

/// The shared part of an allocator, one per engine.
///
/// Dropping it unmaps every span, so no block may be used afterwards; large blocks (above [`CLASS_BYTES_MAX`]) must
/// have been freed one by one.
pub struct Heap {
    /// Tells heaps apart, so that a local cannot mix blocks of two.
    id: u64,
    classes: Box<[Class]>,
    pool: Mutex<Pool>,
    large_bytes: AtomicUsize,
    /// Bytes cut off from the spans in use: memory that was written to, however much of it is free again.
    touched_bytes: Arc<AtomicUsize>,
}

/// One thread's share of a heap: free blocks that it hands out without a lock.
///
/// It serves the first heap it is used with, and no other. Blocks may be freed through any local of their heap.
/// [`flush`](HeapLocal::flush) it before dropping, or its free blocks stay unusable until the heap goes; and
/// [`trim`](HeapLocal::trim) it now and then.
pub struct HeapLocal {
    magazines: [Magazine; CLASSES],
    /// The heap's id; 0 before the first use.
    heap: u64,
}

/// What a heap holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapStats {
    /// Bytes of spans in use plus large blocks: about what the process holds for this heap.
    pub held_bytes: usize,
    /// Bytes of blocks handed out, those in magazines included, plus large blocks.
    pub live_bytes: usize,
    /// Spans in use.
    pub spans: usize,
    /// Free units of 64 KiB in mapped chunks; at most 16 of them hold memory.
    pub free_spans: usize,
}

/// Kept apart by cache line: neighbouring classes are used by different workers at once.
#[repr(align(128))]
struct Class {
    central: Mutex<Central>,
    /// Blocks handed out; written under the lock, read without.
    live: AtomicU64,
}

struct Magazine {
    head: *mut u8,
    count: u32,
    limit: u16,
    /// Refilled or spilled since the last `trim`.
    busy: bool,
}

// SAFETY: the pointers lead to free blocks that only this local refers to; it may move to another thread with them.
unsafe impl Send for HeapLocal {}

impl Heap {
    /// An empty heap. It maps nothing before the first allocation.
    #[allow(clippy::new_without_default)] // Not a value to be made in passing.
    pub fn new() -> Heap {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let touched_bytes = Arc::new(AtomicUsize::new(0));
        let class = |_| Class { central: Mutex::new(Central::new()), live: AtomicU64::new(0) };
        Heap {
            id: NEXT_ID.fetch_add(1, Relaxed),
            classes: (0..CLASSES).map(class).collect(),
            pool: Mutex::new(Pool::new(touched_bytes.clone())),
            large_bytes: AtomicUsize::new(0),
            touched_bytes,
        }
    }

    /// Bytes of memory written to and not given back: what of this heap is resident, but for page rounding. One or two
    /// loads, for the check of a limit.
    #[inline]
    pub fn resident_bytes(&self) -> usize {
        self.touched_bytes.load(Relaxed) + self.large_bytes.load(Relaxed)
    }

    /// Asks the kernel to put the memory of up to `regions_max` well-filled regions of 2 MiB into huge pages, looking
    /// at no more than a few dozen regions from where the last call ended. Says how many were.
    pub fn use_huge_pages(&self, regions_max: usize) -> usize {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).use_huge_pages(regions_max)
    }

    /// What the heap holds now. The figures are read one after the other, so they may be slightly out of step.
    pub fn stats(&self) -> HeapStats {
        let large = self.large_bytes.load(Relaxed);
        let live = |(class, size): (&Class, &u16)| class.live.load(Relaxed) as usize * *size as usize;
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let (spans, free_spans) = pool.counts();
        HeapStats {
            held_bytes: pool.used_bytes() + large,
            live_bytes: self.classes.iter().zip(&SIZES).map(live).sum::<usize>() + large,
            spans,
            free_spans,
        }
    }

    /// How many blocks of the span around `block` are in use, and how many it has begun to use; for large blocks
    /// (1, 1). Read without a lock: an estimate, for deciding whether moving the block could free its span.
    ///
    /// # Safety
    /// `block` is allocated from this heap, with a size of the same class as `size`.
    pub unsafe fn span_occupancy(&self, block: NonNull<u8>, size: usize) -> (u32, u32) {
        if size > CLASS_BYTES_MAX {
            return (1, 1);
        }
        // SAFETY: a live block pins its span; both fields are atomic.
        unsafe {
            let span = Span::of(block.as_ptr());
            ((*span).live.load(Relaxed), (*span).carved.load(Relaxed))
        }
    }

    /// A block of the same class on a fuller span, if moving `block` there helps its span to drain; None for large
    /// blocks and where `block` is well placed. The caller copies the contents and then returns the old block with
    /// [`free_direct`](Heap::free_direct). Two or three rounds over all blocks pack a class; then nothing moves any more,
    /// as every move makes the fuller of two spans fuller.
    ///
    /// # Safety
    /// `block` is allocated from this heap, with a size of the same class as `size`.
    pub unsafe fn denser(&self, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
        if size > CLASS_BYTES_MAX {
            return None;
        }
        let class = class_of(size);
        let mut central = self.lock(class);
        // SAFETY: a live block pins its span; the lock is held.
        if !unsafe { central.has_denser_than(Span::of(block.as_ptr())) } {
            return None;
        }
        let blocks = central.take(class, 1, &self.pool);
        self.classes[class].live.fetch_add(u64::from(blocks.count), Relaxed);
        self.touched_bytes.fetch_add(blocks.fresh_bytes, Relaxed);
        NonNull::new(blocks.head)
    }

    /// Takes a block back past any magazine, which would hand it out again at once and so keep its span alive.
    ///
    /// # Safety
    /// As for [`HeapLocal::free`].
    pub unsafe fn free_direct(&self, block: NonNull<u8>, size: usize) {
        if size > CLASS_BYTES_MAX {
            // SAFETY: as the caller promises.
            return unsafe { self.free_large(block, size) };
        }
        let class = class_of(size);
        let mut central = self.lock(class);
        self.classes[class].live.fetch_sub(1, Relaxed);
        // SAFETY: the block is free now, belongs to this class and heap, and a list of one needs no link.
        unsafe { central.give(class, Blocks { head: block.as_ptr(), count: 1, fresh_bytes: 0 }, &self.pool) };
    }

    fn lock(&self, class: usize) -> MutexGuard<'_, Central> {
        // A panic cannot leave a list half linked, so a poisoned lock is as good as any.
        self.classes[class].central.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn alloc_large(&self, size: usize) -> NonNull<u8> {
        let layout = large_layout(size);
        // SAFETY: the layout is larger than CLASS_BYTES_MAX, hence not empty.
        let block = NonNull::new(unsafe { std::alloc::alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        self.large_bytes.fetch_add(rounded(size), Relaxed);
        block
    }

    /// # Safety
    /// The block came from `alloc_large` with a size that rounds to the same.
    #[cold]
    unsafe fn free_large(&self, block: NonNull<u8>, size: usize) {
        self.large_bytes.fetch_sub(rounded(size), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { std::alloc::dealloc(block.as_ptr(), large_layout(size)) };
    }
}

impl HeapLocal {
    /// A local without blocks.
    #[allow(clippy::new_without_default)] // Made once per worker, on purpose.
    pub fn new() -> HeapLocal {
        let magazine = |class| Magazine { head: ptr::null_mut(), count: 0, limit: magazine_blocks(class), busy: false };
        HeapLocal { magazines: std::array::from_fn(magazine), heap: 0 }
    }

    /// A block of at least `size` bytes (exactly [`rounded`]`(size)` if it has a class), 8-aligned, uninitialised.
    /// Ends the process through `handle_alloc_error` if there is no memory. Panics if this local has served another
    /// heap.
    #[inline]
    pub fn alloc(&mut self, heap: &Heap, size: usize) -> NonNull<u8> {
        if size > CLASS_BYTES_MAX {
            return heap.alloc_large(size);
        }
        let class = class_of(size);
        // SAFETY: class_of returns indices below CLASSES only.
        let magazine = unsafe { self.magazines.get_unchecked_mut(class) };
        let Some(block) = NonNull::new(magazine.head) else { return self.refill(heap, class) };
        // SAFETY: a free block begins with the pointer to the next one.
        magazine.head = unsafe { block.cast::<*mut u8>().read() };
        magazine.count -= 1;
        debug_assert_eq!(block.addr().get() >> 48, 0, "user-space addresses have 48 bits");
        block
    }

    /// Takes a block back. Panics if this local has served another heap.
    ///
    /// # Safety
    /// The block was allocated from `heap`, through any local, with a size that rounds to the same as `size`; it is
    /// no longer used.
    #[inline]
    pub unsafe fn free(&mut self, heap: &Heap, block: NonNull<u8>, size: usize) {
        if size > CLASS_BYTES_MAX {
            // SAFETY: as the caller promises.
            return unsafe { heap.free_large(block, size) };
        }
        let class = class_of(size);
        // SAFETY: class_of returns indices below CLASSES only.
        let magazine = unsafe { self.magazines.get_unchecked_mut(class) };
        // SAFETY: the block is free now and at least 8 bytes long.
        unsafe { block.cast::<*mut u8>().write(magazine.head) };
        magazine.head = block.as_ptr();
        magazine.count += 1;
        if magazine.count > u32::from(magazine.limit) {
            let half = u32::from(magazine.limit) / 2;
            self.spill(heap, class, half);
        }
    }

    /// Returns all free blocks to the heap, so that empty spans can be given back.
    pub fn flush(&mut self, heap: &Heap) {
        for class in 0..CLASSES {
            if self.magazines[class].count > 0 {
                self.spill(heap, class, 0);
            }
        }
    }

    /// Returns the free blocks of classes that have not been to the heap since the last call. To be called about once
    /// a second: a few forgotten blocks can each keep a whole span alive.
    pub fn trim(&mut self, heap: &Heap) {
        for class in 0..CLASSES {
            let magazine = &self.magazines[class];
            if magazine.count > 0 && !magazine.busy {
                self.spill(heap, class, 0);
            }
            self.magazines[class].busy = false;
        }
    }

    #[cold]
    fn refill(&mut self, heap: &Heap, class: usize) -> NonNull<u8> {
        self.claim(heap);
        let want = u32::from(self.magazines[class].limit) / 2;
        let blocks = {
            let mut central = heap.lock(class);
            let blocks = central.take(class, want, &heap.pool);
            heap.classes[class].live.fetch_add(u64::from(blocks.count), Relaxed);
            if blocks.fresh_bytes > 0 {
                heap.touched_bytes.fetch_add(blocks.fresh_bytes, Relaxed);
            }
            blocks
        };
        let Some(first) = NonNull::new(blocks.head) else {
            handle_alloc_error(Layout::from_size_align(SIZES[class] as usize, 8).unwrap_or(Layout::new::<u64>()))
        };
        let magazine = &mut self.magazines[class];
        // SAFETY: a free block begins with the pointer to the next one.
        magazine.head = unsafe { first.cast::<*mut u8>().read() };
        magazine.count = blocks.count - 1;
        magazine.busy = true;
        first
    }

    /// Returns the blocks freed last until `keep` remain.
    #[cold]
    fn spill(&mut self, heap: &Heap, class: usize, keep: u32) {
        self.claim(heap);
        let magazine = &mut self.magazines[class];
        let count = magazine.count - keep;
        let blocks = Blocks { head: magazine.head, count, fresh_bytes: 0 };
        for _ in 0..count {
            // SAFETY: a free block begins with the pointer to the next one.
            magazine.head = unsafe { magazine.head.cast::<*mut u8>().read() };
        }
        magazine.count = keep;
        magazine.busy = true;
        let mut central = heap.lock(class);
        heap.classes[class].live.fetch_sub(u64::from(count), Relaxed);
        // SAFETY: the magazine held free blocks of this class and of this heap (claim has checked that).
        unsafe { central.give(class, blocks, &heap.pool) };
    }

    /// Binds the local to its heap. Blocks of one heap in another's lists would outlive their memory.
    fn claim(&mut self, heap: &Heap) {
        if self.heap == 0 {
            self.heap = heap.id;
        }
        assert_eq!(self.heap, heap.id, "a heap local was used with two heaps");
    }
}

/// The global allocator's layout for a large block.
fn large_layout(size: usize) -> Layout {
    // Sizes are bounded far below isize::MAX by the protocol's limits; an impossible one cannot be allocated either.
    Layout::from_size_align(large_bytes(size), 8).unwrap_or_else(|_| handle_alloc_error(Layout::new::<u64>()))
}
