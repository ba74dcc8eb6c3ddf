//! The heap's size classes: which block an allocation of so many bytes gets.

use super::chunk::UNIT_BYTES;

/// Number of size classes.
pub(super) const CLASSES: usize = 176;

/// Largest size in bytes that has a class; anything above goes to the global allocator.
pub const CLASS_BYTES_MAX: usize = 8192;

/// Block size of each class in bytes, ascending.
pub(super) static SIZES: [u16; CLASSES] = sizes();

/// The granularity of the lookup table: every block size is a multiple of it.
const STEP: usize = 8;

/// Blocks up to this size live in spans of one unit, larger ones in spans of `WIDE_UNITS`, so that what is left over
/// at a span's end stays under 2 %.
const NARROW_BYTES_MAX: usize = 1024;
const WIDE_UNITS: usize = 4;

/// What the global allocator is taken to need beside each large block, in bytes.
const LARGE_HEADER_BYTES: usize = 16;

/// A magazine holds no more blocks than this, and no more bytes than the next.
const MAGAZINE_BLOCKS_MAX: usize = 64;
const MAGAZINE_BYTES_MAX: usize = 8192;

/// Class by size in steps of 8 bytes.
static CLASS_OF: [u8; CLASS_BYTES_MAX / STEP + 1] = class_table();

/// Bytes that an allocation of `size` bytes really takes: its class's block size, or for large ones the size rounded
/// up to 16 plus an estimate of the global allocator's own header. Sizes with equal results are interchangeable
/// between `alloc` and `free`.
#[inline]
pub fn rounded(size: usize) -> usize {
    if size <= CLASS_BYTES_MAX { SIZES[class_of(size)] as usize } else { large_bytes(size) + LARGE_HEADER_BYTES }
}

/// The class for `size`, which must be at most `CLASS_BYTES_MAX`.
#[inline]
pub(super) fn class_of(size: usize) -> usize {
    CLASS_OF[size.div_ceil(STEP)] as usize
}

/// Bytes asked of the global allocator for a large allocation.
#[inline]
pub(super) fn large_bytes(size: usize) -> usize {
    size.next_multiple_of(16)
}

/// 64 KiB units that a span of this class takes.
pub(super) const fn units(class: usize) -> usize {
    if SIZES[class] as usize <= NARROW_BYTES_MAX { 1 } else { WIDE_UNITS }
}

/// Blocks that a span of this class holds.
pub(super) const fn capacity(class: usize) -> u32 {
    (units(class) * UNIT_BYTES / SIZES[class] as usize) as u32
}

/// Most blocks that a magazine of this class holds; half as many are moved at a time.
pub(super) const fn magazine_blocks(class: usize) -> u16 {
    let fit = MAGAZINE_BYTES_MAX / SIZES[class] as usize;
    (if fit < 2 {
        2
    } else if fit > MAGAZINE_BLOCKS_MAX {
        MAGAZINE_BLOCKS_MAX
    } else {
        fit
    }) as u16
}

/// Steps of 8 bytes to 256, 16 to 1024, 32 to 2048, 64 to 4096; above that, where the steps would no longer divide a
/// wide span well, the multiples of 64 of which 63, 62, … 32 fill it.
const fn sizes() -> [u16; CLASSES] {
    let mut out = [0; CLASSES];
    let mut size = 0;
    let mut per_span = WIDE_UNITS * UNIT_BYTES / 4096;
    let mut class = 0;
    while class < CLASSES {
        size = match size {
            0..256 => size + 8,
            256..1024 => size + 16,
            1024..2048 => size + 32,
            2048..4096 => size + 64,
            _ => {
                per_span -= 1;
                WIDE_UNITS * UNIT_BYTES / per_span / 64 * 64
            }
        };
        out[class] = size as u16;
        class += 1;
    }
    assert!(size == CLASS_BYTES_MAX, "the last class must be the largest size");
    out
}

const fn class_table() -> [u8; CLASS_BYTES_MAX / STEP + 1] {
    let mut out = [0; CLASS_BYTES_MAX / STEP + 1];
    let mut class = 0;
    let mut index = 0;
    while index < out.len() {
        while (SIZES[class] as usize) < index * STEP {
            class += 1;
        }
        out[index] = class as u8;
        index += 1;
    }
    out
}
