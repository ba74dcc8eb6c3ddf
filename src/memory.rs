//! The process's allocator, mimalloc: what it is asked for, and when it gives memory back to the system.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{mi_free, mi_malloc, mi_realloc, mi_zalloc};
use mimalloc::MiMalloc;

/// mimalloc, asked for an alignment only where that is more than a word's, which every block has. Asked for a word's,
/// mimalloc 3 looks for 7 bytes more above 1 KiB: a block that fills its size class then takes the next one, a quarter more.
#[derive(Debug)]
pub struct Allocator;

/// What every block is aligned to.
const WORD_BYTES: usize = size_of::<usize>();

// SAFETY: a block of mimalloc has the size that was asked for and at least a word's alignment; beyond that MiMalloc, which
// shares its blocks, keeps the contract.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match layout.align() {
            // SAFETY: any size may be asked for.
            ..=WORD_BYTES => unsafe { mi_malloc(layout.size()).cast() },
            // SAFETY: the caller's promises are passed on.
            _ => unsafe { MiMalloc.alloc(layout) },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match layout.align() {
            // SAFETY: any size may be asked for.
            ..=WORD_BYTES => unsafe { mi_zalloc(layout.size()).cast() },
            // SAFETY: the caller's promises are passed on.
            _ => unsafe { MiMalloc.alloc_zeroed(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block came from here, so from mimalloc.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        match layout.align() {
            // SAFETY: the block came from here, so from mimalloc.
            ..=WORD_BYTES => unsafe { mi_realloc(block.cast(), bytes).cast() },
            // SAFETY: the caller's promises are passed on.
            _ => unsafe { MiMalloc.realloc(block, layout, bytes) },
        }
    }
}

use swell_wire::lazy;

/// `mi_option_purge_delay` of mimalloc 3, which the bindings do not name: milliseconds until free memory is given back.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// A second, the default, lets hundreds of MiB pile up that are then given back in one go.
const PURGE_DELAY_MS: std::ffi::c_long = 10;

/// Called once at the start.
pub(crate) fn set_up() {
    // SAFETY: mimalloc is this process's allocator; its options may be set at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
    lazy::set_give_back(give_back);
}

fn give_back(all: bool) {
    // SAFETY: collecting is allowed at any time on any thread.
    unsafe { libmimalloc_sys::mi_collect(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that are classes of their own stay in them.
    #[test]
    fn blocks_that_fill_their_class_take_no_more() {
        for bytes in [1280, 5120, 8192, 10240, 16384] {
            let layout = Layout::from_size_align(bytes, WORD_BYTES).unwrap();
            // SAFETY: the block is asked for its size and given back.
            let usable = unsafe {
                let block = Allocator.alloc(layout);
                let usable = libmimalloc_sys::mi_usable_size(block.cast());
                Allocator.dealloc(block, layout);
                usable
            };
            assert_eq!(usable, bytes);
        }
    }

    /// Any alignment is kept, also where a block is made longer or shorter.
    #[test]
    fn blocks_are_aligned_and_keep_their_bytes() {
        for align in (0..13).map(|power| 1 << power) {
            for bytes in [1, 8, 24, 100, 4_000, 70_000] {
                let layout = Layout::from_size_align(bytes, align).unwrap();
                // SAFETY: only bytes that are there are written and read, and every block is given back once.
                unsafe {
                    let zeroed = Allocator.alloc_zeroed(layout);
                    assert!(std::slice::from_raw_parts(zeroed, bytes).iter().all(|&byte| byte == 0));
                    zeroed.write(7);
                    let longer = Allocator.realloc(zeroed, layout, bytes * 3);
                    assert_eq!((longer.addr() % align, longer.read()), (0, 7));
                    Allocator.dealloc(longer, Layout::from_size_align(bytes * 3, align).unwrap());
                    let block = Allocator.alloc(layout);
                    assert_eq!(block.addr() % align, 0);
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }

    #[test]
    fn the_option_is_the_purge_delay() {
        // SAFETY: reading an option has no effect.
        let before = unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        super::set_up();
        // SAFETY: as above.
        let after = unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        // The default of the bound version; or another test of this process was here before.
        assert!([1000, super::PURGE_DELAY_MS].contains(&before), "{before}");
        assert_eq!(after, super::PURGE_DELAY_MS);
    }
}
