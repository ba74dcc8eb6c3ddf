//! Memory from the system: chunks of 16 MiB, cut into units of 64 KiB, of which one or more make a span.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::classes;

/// Bytes of a unit, the piece in which spans are measured.
pub(super) const UNIT_BYTES: usize = 64 << 10;

/// Bytes of a chunk, and its alignment: masking a block's address leads to the chunk's header.
const CHUNK_BYTES: usize = 16 << 20;
const CHUNK_UNITS: usize = CHUNK_BYTES / UNIT_BYTES;

/// A region is what one huge page covers; the free units of each are one word of bits.
const REGION_UNITS: usize = u32::BITS as usize;
const REGION_BYTES: usize = REGION_UNITS * UNIT_BYTES;
const REGIONS: usize = CHUNK_BYTES / REGION_BYTES;

/// Units of a chunk's first region that spans may use: the first unit holds the chunk's header.
const FIRST_REGION_UNITS: u32 = u32::MAX << 1;

/// Memory begins in small pages, so that what is not touched is not resident. A region that is filled to this part
/// (of 16) moves into a huge page: in a large heap most of a random read is the walk of the page table.
const HUGE_FROM_SIXTEENTHS: usize = 15;

/// Regions looked at in one search for well-filled ones.
const HUGE_SEARCH_MAX: usize = 64;

/// Linux's advice to put a range into huge pages at once (since 6.1; unknown to older kernels, which refuse it).
const MADV_COLLAPSE: libc::c_int = 25;

/// Free units whose memory is kept for the next span; beyond that it goes back to the system at once.
const RESERVE_UNITS: u32 = 16;

/// How many regions with free units are searched for a long enough run before a new chunk is mapped.
const SEARCH_REGIONS_MAX: usize = 32;

/// A run of units given to one size class. All fields but the atomic ones belong to whoever holds the class's lock.
#[repr(C, align(64))]
pub(super) struct Span {
    /// Blocks handed out: in use, or in some thread's magazine.
    pub(super) live: AtomicU32,
    /// Blocks cut off so far, from the start; what lies beyond has not been touched.
    pub(super) carved: AtomicU32,
    pub(super) capacity: u32,
    pub(super) block_bytes: u32,
    /// Returned blocks, each pointing to the next.
    pub(super) free: *mut u8,
    pub(super) previous: *mut Span,
    pub(super) next: *mut Span,
    pub(super) base: *mut u8,
    pub(super) class: u8,
    /// The occupancy list it is in.
    pub(super) bin: u8,
    units: u8,
}

/// All chunks of a heap and their free units. Whoever calls a method holds the pool's lock.
pub(super) struct Pool {
    chunks: Vec<NonNull<Chunk>>,
    /// Regions that may have a free unit; the one to use next is last.
    roomy: Vec<NonNull<Region>>,
    /// Free units that still hold memory.
    dirty_units: u32,
    used_units: usize,
    spans: usize,
    /// Shared with the heap: see there.
    touched_bytes: Arc<AtomicUsize>,
    /// The region (of all chunks' regions) where the search for well-filled ones goes on.
    huge_cursor: usize,
}

/// The header at a chunk's start. It must fit into the first unit.
#[repr(C)]
struct Chunk {
    regions: [Region; REGIONS],
    /// For each unit the first unit of its span.
    heads: [u8; CHUNK_UNITS],
    spans: [Span; CHUNK_UNITS],
}

#[repr(C)]
struct Region {
    /// One bit per free unit.
    free: u32,
    /// One bit per free unit that still holds memory.
    dirty: u32,
    /// Index within its chunk.
    index: u8,
    /// Whether it is in the pool's list of roomy regions.
    listed: bool,
    /// Whether it is in a huge page: not while it has holes.
    is_huge: bool,
}

const _: () = assert!(size_of::<Chunk>() <= UNIT_BYTES && CHUNK_UNITS <= 1 << u8::BITS);

// SAFETY: the pointers lead to chunks that only this pool owns; access is serialised by the lock around the pool.
unsafe impl Send for Pool {}

impl Span {
    /// The span in which a block lies.
    ///
    /// # Safety
    /// `block` was allocated from a span of a heap that still exists.
    #[inline]
    pub(super) unsafe fn of(block: *mut u8) -> *mut Span {
        let chunk = chunk_of(block);
        let unit = (block.addr() / UNIT_BYTES) % CHUNK_UNITS;
        // SAFETY: the mask leads to the header of the mapped chunk that the block lies in; `heads` of a unit in use
        // was written before the first block of its span was handed out and stays until the last is back.
        unsafe { &raw mut (*chunk).spans[(&raw const (*chunk).heads).cast::<u8>().add(unit).read() as usize] }
    }
}

impl Pool {
    pub(super) const fn new(touched_bytes: Arc<AtomicUsize>) -> Pool {
        Pool {
            chunks: Vec::new(),
            roomy: Vec::new(),
            dirty_units: 0,
            used_units: 0,
            spans: 0,
            touched_bytes,
            huge_cursor: 0,
        }
    }

    /// An empty span for this class, or None if the system has no memory.
    pub(super) fn take(&mut self, class: usize) -> Option<NonNull<Span>> {
        let units = classes::units(class);
        if self.search(units).is_none() {
            self.map_chunk()?;
        }
        let (region, first) = self.search(units)?;
        let run = run_mask(first, units);
        // SAFETY: the region is one of ours and mapped; we hold the pool's lock, and no span covers the free units.
        unsafe {
            let (r, c) = (region.as_ptr(), chunk_of(region.as_ptr().cast()));
            self.dirty_units -= ((*r).dirty & run).count_ones();
            (*r).free &= !run;
            (*r).dirty &= !run;
            let first = (*r).index as usize * REGION_UNITS + first;
            for unit in first..first + units {
                (*c).heads[unit] = first as u8;
            }
            let span = &raw mut (*c).spans[first];
            span.write(Span {
                live: AtomicU32::new(0),
                carved: AtomicU32::new(0),
                capacity: classes::capacity(class),
                block_bytes: u32::from(classes::SIZES[class]),
                free: ptr::null_mut(),
                previous: ptr::null_mut(),
                next: ptr::null_mut(),
                base: c.cast::<u8>().add(first * UNIT_BYTES),
                class: class as u8,
                bin: 0,
                units: units as u8,
            });
            self.used_units += units;
            self.spans += 1;
            Some(NonNull::new_unchecked(span))
        }
    }

    /// Takes a span back.
    ///
    /// # Safety
    /// The span came from `take` of this pool, all its blocks are back, and nobody refers to it any more.
    pub(super) unsafe fn give(&mut self, span: *mut Span) {
        // SAFETY: as the caller promises; the span's header lies in its chunk's header.
        unsafe {
            let (base, units) = ((*span).base, (*span).units as usize);
            let carved = (*span).carved.load(Relaxed) as usize;
            let touched = carved > 0;
            self.touched_bytes.fetch_sub(carved * (*span).block_bytes as usize, Relaxed);
            let first = (base.addr() % CHUNK_BYTES) / UNIT_BYTES;
            let region = &raw mut (*chunk_of(base)).regions[first / REGION_UNITS];
            let run = run_mask(first % REGION_UNITS, units);
            (*region).free |= run;
            self.used_units -= units;
            self.spans -= 1;
            if self.dirty_units + units as u32 <= RESERVE_UNITS {
                (*region).dirty |= run;
                self.dirty_units += units as u32;
            } else if touched {
                release(region, base, units * UNIT_BYTES);
            }
            if !(*region).listed {
                (*region).listed = true;
                self.roomy.push(NonNull::new_unchecked(region));
            }
        }
    }

    /// Puts up to `regions_max` well-filled regions into huge pages; see the heap.
    pub(super) fn use_huge_pages(&mut self, regions_max: usize) -> usize {
        let regions = self.chunks.len() * REGIONS;
        let mut done = 0;
        for _ in 0..HUGE_SEARCH_MAX.min(regions) {
            self.huge_cursor = (self.huge_cursor + 1) % regions;
            let chunk = self.chunks[self.huge_cursor / REGIONS].as_ptr();
            let index = self.huge_cursor % REGIONS;
            // SAFETY: the chunk is one of ours and mapped, and we hold the pool's lock; the spans' counts are atomic.
            unsafe {
                let region = &raw mut (*chunk).regions[index];
                if (*region).is_huge || filled_bytes(chunk, index) * 16 < REGION_BYTES * HUGE_FROM_SIXTEENTHS {
                    continue;
                }
                let start = chunk.cast::<u8>().add(index * REGION_BYTES);
                advise(start, REGION_BYTES, libc::MADV_HUGEPAGE);
                advise(start, REGION_BYTES, MADV_COLLAPSE);
                (*region).is_huge = true;
            }
            done += 1;
            if done == regions_max {
                break;
            }
        }
        done
    }

    /// Bytes of the spans in use.
    pub(super) fn used_bytes(&self) -> usize {
        self.used_units * UNIT_BYTES
    }

    /// Number of spans in use, and of free units.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.spans, self.chunks.len() * (CHUNK_UNITS - 1) - self.used_units)
    }

    /// Start and length in bytes of every chunk.
    #[cfg(test)]
    pub(super) fn ranges(&self) -> impl Iterator<Item = (NonNull<u8>, usize)> {
        self.chunks.iter().map(|chunk| (chunk.cast(), CHUNK_BYTES))
    }

    /// A region with a run of so many free units, and where in it the run begins.
    fn search(&mut self, units: usize) -> Option<(NonNull<Region>, usize)> {
        let mut index = self.roomy.len();
        let lowest = index.saturating_sub(SEARCH_REGIONS_MAX);
        while index > lowest {
            index -= 1;
            let region = self.roomy[index];
            // SAFETY: the region is one of ours and mapped, and we hold the pool's lock.
            let (free, dirty) = unsafe { ((*region.as_ptr()).free, (*region.as_ptr()).dirty) };
            if let Some(first) = find_run(dirty, units).or_else(|| find_run(free, units)) {
                return Some((region, first));
            }
            if free == 0 {
                self.roomy.swap_remove(index);
                // SAFETY: as above.
                unsafe { (*region.as_ptr()).listed = false };
            }
        }
        None
    }

    /// Adds a chunk, or None if the system has no memory.
    fn map_chunk(&mut self) -> Option<()> {
        let chunk = map_aligned()?.cast::<Chunk>();
        advise(chunk.as_ptr().cast(), CHUNK_BYTES, libc::MADV_NOHUGEPAGE);
        for index in (0..REGIONS).rev() {
            let free = if index == 0 { FIRST_REGION_UNITS } else { u32::MAX };
            let region = Region { free, dirty: 0, index: index as u8, listed: true, is_huge: false };
            // SAFETY: freshly mapped, ours alone, large and aligned enough; the header's other parts start as zero.
            unsafe {
                let place = &raw mut (*chunk.as_ptr()).regions[index];
                place.write(region);
                self.roomy.push(NonNull::new_unchecked(place));
            }
        }
        self.chunks.push(chunk);
        Some(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            // SAFETY: we mapped exactly this range; the heap's owner has promised that no block outlives it.
            unsafe { libc::munmap(chunk.as_ptr().cast(), CHUNK_BYTES) };
        }
    }
}

/// Gives the memory of a free run back to the system; its addresses stay ours and read as zero.
///
/// # Safety
/// The pool's lock is held; the run lies in the region and its units are marked free.
unsafe fn release(region: *mut Region, base: *mut u8, bytes: usize) {
    // SAFETY: as the caller promises.
    unsafe {
        // A huge page with a hole would in time be filled again by the kernel.
        if (*region).is_huge {
            let start = chunk_of(base).cast::<u8>().add((*region).index as usize * REGION_BYTES);
            advise(start, REGION_BYTES, libc::MADV_NOHUGEPAGE);
            (*region).is_huge = false;
        }
        advise(base, bytes, libc::MADV_DONTNEED);
    }
}

/// Bytes of a region that were cut off from its spans in use.
///
/// # Safety
/// The chunk is mapped and the pool's lock is held.
unsafe fn filled_bytes(chunk: *mut Chunk, index: usize) -> usize {
    let mut filled = 0;
    let mut unit = index * REGION_UNITS;
    // SAFETY: as the caller promises; a unit that is not free belongs to the span that `heads` names.
    unsafe {
        let free = (*chunk).regions[index].free;
        if index == 0 {
            filled += UNIT_BYTES;
            unit += 1;
        }
        while unit < (index + 1) * REGION_UNITS {
            if free >> (unit % REGION_UNITS) & 1 == 1 {
                unit += 1;
                continue;
            }
            let span = &raw const (*chunk).spans[(*chunk).heads[unit] as usize];
            filled += (*span).carved.load(Relaxed) as usize * (*span).block_bytes as usize;
            unit += (*span).units.max(1) as usize;
        }
    }
    filled
}

/// The header of the chunk that an address lies in.
fn chunk_of(address: *mut u8) -> *mut Chunk {
    address.map_addr(|address| address & !(CHUNK_BYTES - 1)).cast()
}

/// Passes advice to the kernel. A refusal is harmless: the memory is then held or paged in another way.
fn advise(start: *mut u8, bytes: usize, advice: libc::c_int) {
    // SAFETY: all callers pass a range inside a chunk that is mapped, and for DONTNEED one without contents.
    unsafe { libc::madvise(start.cast(), bytes, advice) };
}

/// Maps a chunk at a multiple of its size: maps twice as much and cuts off both ends.
fn map_aligned() -> Option<NonNull<u8>> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: an anonymous mapping at an address of the kernel's choice; the parts cut off were mapped just now.
    unsafe {
        let raw = libc::mmap(ptr::null_mut(), 2 * CHUNK_BYTES, protection, flags, -1, 0);
        if raw == libc::MAP_FAILED {
            return None;
        }
        let raw = raw.cast::<u8>();
        let before = raw.addr().next_multiple_of(CHUNK_BYTES) - raw.addr();
        if before > 0 {
            libc::munmap(raw.cast(), before);
        }
        libc::munmap(raw.add(before + CHUNK_BYTES).cast(), CHUNK_BYTES - before);
        NonNull::new(raw.add(before))
    }
}

/// The first unit of the lowest run of so many set bits.
fn find_run(bits: u32, units: usize) -> Option<usize> {
    let starts = (1..units).fold(bits, |starts, shift| starts & (bits >> shift));
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

fn run_mask(first: usize, units: usize) -> u32 {
    ((1u32 << units) - 1) << first
}
