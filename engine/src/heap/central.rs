//! One size class's shared part: its spans that have room, sorted roughly by how full they are.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use super::chunk::{Pool, Span};

/// Spans are kept in this many lists by occupancy. Refills come from the fullest, so that sparse spans drain.
const BINS: usize = 8;

/// The bin of a span without room; it is in no list.
const FULL: u8 = BINS as u8;

/// The spans of one class. Whoever calls a method holds the class's lock.
pub(super) struct Central {
    bins: [*mut Span; BINS],
}

/// A singly linked list of free blocks.
pub(super) struct Blocks {
    pub(super) head: *mut u8,
    pub(super) count: u32,
    /// Bytes of these blocks that were never handed out before.
    pub(super) fresh_bytes: usize,
}

// SAFETY: the spans belong to one class of one heap and are reached under that class's lock only.
unsafe impl Send for Central {}

impl Central {
    pub(super) const fn new() -> Central {
        Central { bins: [ptr::null_mut(); BINS] }
    }

    /// Up to `want` blocks; fewer, or none, only if the system has no more memory.
    pub(super) fn take(&mut self, class: usize, want: u32, pool: &Mutex<Pool>) -> Blocks {
        let mut blocks = Blocks { head: ptr::null_mut(), count: 0, fresh_bytes: 0 };
        while blocks.count < want {
            let Some(span) = self.fullest().or_else(|| self.add_span(class, pool)) else { break };
            // SAFETY: spans in the lists are ours and have room; the lock is held.
            unsafe {
                take_from(span, want, &mut blocks);
                self.file(span);
            }
        }
        blocks
    }

    /// Takes back `blocks.count` blocks and hands spans that are empty thereby to the pool.
    ///
    /// # Safety
    /// The blocks came from `take` of the same class and are no longer used.
    pub(super) unsafe fn give(&mut self, class: usize, blocks: Blocks, pool: &Mutex<Pool>) {
        let mut block = blocks.head;
        for left in (0..blocks.count).rev() {
            // SAFETY: each block is a free one of this class and at least 8 bytes long; all but the last begin with the
            // pointer to the next; the lock is held.
            unsafe {
                let following = block.cast::<MaybeUninit<*mut u8>>().read();
                let span = Span::of(block);
                debug_assert_eq!((*span).class as usize, class, "a block came back with another size");
                block.cast::<*mut u8>().write((*span).free);
                (*span).free = block;
                let live = (*span).live.load(Relaxed) - 1;
                (*span).live.store(live, Relaxed);
                if live == 0 {
                    self.unlink(span);
                    pool.lock().unwrap_or_else(PoisonError::into_inner).give(span);
                } else {
                    self.file(span);
                }
                if left > 0 {
                    block = following.assume_init();
                }
            }
        }
    }

    /// Whether a block taken now would come from a span that is fuller than this one, which itself has room. If this
    /// one is the fuller, it becomes the one to take from, so that asking for span after span finds the fullest.
    ///
    /// # Safety
    /// The span is one of ours.
    pub(super) unsafe fn has_denser_than(&mut self, span: *mut Span) -> bool {
        let Some(other) = self.fullest() else { return false };
        // Where two are equally full, the address decides, lest blocks go to and fro.
        // SAFETY: as the caller promises, and so are spans in the lists.
        let rank = |span: *mut Span| unsafe { ((*span).live.load(Relaxed), span.addr()) };
        // SAFETY: as above; relinking in the same bin leaves everything else as it is.
        unsafe {
            if (*span).bin == FULL || rank(other) > rank(span) {
                return (*span).bin != FULL;
            }
            self.unlink(span);
            self.link(span, (*span).bin);
        }
        false
    }

    fn fullest(&self) -> Option<*mut Span> {
        self.bins.iter().rev().copied().find(|head| !head.is_null())
    }

    fn add_span(&mut self, class: usize, pool: &Mutex<Pool>) -> Option<*mut Span> {
        let span = pool.lock().unwrap_or_else(PoisonError::into_inner).take(class)?.as_ptr();
        // SAFETY: a fresh span is ours alone; its bin is 0.
        unsafe { self.link(span, 0) };
        Some(span)
    }

    /// Puts a span into the list where it belongs now.
    ///
    /// # Safety
    /// The span is one of ours, and linked according to its `bin`.
    unsafe fn file(&mut self, span: *mut Span) {
        // SAFETY: as the caller promises.
        unsafe {
            let bin = ((*span).live.load(Relaxed) * BINS as u32 / (*span).capacity) as u8;
            if bin != (*span).bin {
                self.unlink(span);
                self.link(span, bin);
            }
        }
    }

    /// # Safety
    /// The span is one of ours and in no list.
    unsafe fn link(&mut self, span: *mut Span, bin: u8) {
        // SAFETY: as the caller promises; neighbours in a list are our spans too.
        unsafe {
            (*span).bin = bin;
            if bin == FULL {
                return;
            }
            let head = &mut self.bins[bin as usize];
            (*span).previous = ptr::null_mut();
            (*span).next = *head;
            if !head.is_null() {
                (**head).previous = span;
            }
            *head = span;
        }
    }

    /// # Safety
    /// The span is one of ours, and linked according to its `bin`.
    unsafe fn unlink(&mut self, span: *mut Span) {
        // SAFETY: as the caller promises; neighbours in a list are our spans too.
        unsafe {
            if (*span).bin == FULL {
                return;
            }
            let (previous, next) = ((*span).previous, (*span).next);
            if previous.is_null() {
                self.bins[(*span).bin as usize] = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
        }
    }
}

/// Moves blocks from the span onto the list until that has `want`, or the span is exhausted: returned blocks first,
/// then untouched ones in such an order that they leave the list by ascending address.
///
/// # Safety
/// The span's class's lock is held.
unsafe fn take_from(span: *mut Span, want: u32, blocks: &mut Blocks) {
    // SAFETY: free blocks begin with the pointer to the next; uncarved ones lie between `carved` and `capacity`.
    unsafe {
        let before = blocks.count;
        while blocks.count < want && !(*span).free.is_null() {
            let block = (*span).free;
            (*span).free = block.cast::<*mut u8>().read();
            push(blocks, block);
        }
        let carved = (*span).carved.load(Relaxed);
        let fresh = (want - blocks.count).min((*span).capacity - carved);
        for index in (carved..carved + fresh).rev() {
            push(blocks, (*span).base.add(index as usize * (*span).block_bytes as usize));
        }
        blocks.fresh_bytes += fresh as usize * (*span).block_bytes as usize;
        (*span).carved.store(carved + fresh, Relaxed);
        (*span).live.store((*span).live.load(Relaxed) + blocks.count - before, Relaxed);
    }
}

/// # Safety
/// `block` is free and at least 8 bytes long.
unsafe fn push(blocks: &mut Blocks, block: *mut u8) {
    // SAFETY: as the caller promises; blocks are 8-aligned.
    unsafe { block.cast::<*mut u8>().write(blocks.head) };
    blocks.head = block;
    blocks.count += 1;
}
