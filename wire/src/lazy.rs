//! Long strings that nobody refers to any more are freed a little at a time: giving 512 MiB back to the system in one go
//! keeps a thread from its other requests for some 80 ms.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

/// Lists with fewer segments (1 MiB) are freed at once.
const LAZY_PARTS_MIN: usize = 16;
/// Segments that may wait per thread (512 MiB): what is beyond is freed at once, so that memory stays bounded.
const WAITING_MAX: usize = 8192;
/// Segments freed in one turn: about half a millisecond's work.
const FREED_PER_TURN: usize = 64;

type Part = Arc<Vec<u8>>;

thread_local! {
    /// None: this thread takes no turns, and frees at once.
    static WAITING: RefCell<Option<Vec<Part>>> = const { RefCell::new(None) };
}

/// What asks the process's allocator to give back to the system what is free; all of it at once if true, else what is due.
static GIVE_BACK: OnceLock<fn(bool)> = OnceLock::new();

/// Says how the process's allocator is asked to give memory back. Called once, by the program.
pub fn set_give_back(give_back: fn(bool)) {
    // A second program in one process (a test) has the same allocator.
    let _ = GIVE_BACK.set(give_back);
}

/// Has the allocator give back everything that is free: for a thread that has come to rest.
pub fn give_back_all() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back(true);
    }
}

/// From now on this thread frees long strings in turns: it calls [`free_some`] until that says no.
pub fn enable() {
    WAITING.with_borrow_mut(|waiting| {
        waiting.get_or_insert_default();
    });
}

/// One turn; whether there is more to free. The allocator is asked each time to give back what is due: left alone it
/// does so much later, and in one go.
pub fn free_some() -> bool {
    let is_more = WAITING.with_borrow_mut(|waiting| {
        let Some(parts) = waiting.as_mut().filter(|parts| !parts.is_empty()) else { return false };
        parts.truncate(parts.len().saturating_sub(FREED_PER_TURN));
        if parts.is_empty() {
            *parts = Vec::new();
        }
        !parts.is_empty()
    });
    if let Some(give_back) = GIVE_BACK.get() {
        give_back(false);
    }
    is_more
}

/// Frees these segments, or has them wait for their turn.
pub(crate) fn free(mut parts: Vec<Part>) {
    if parts.len() < LAZY_PARTS_MIN {
        return;
    }
    // What others still refer to costs nothing here.
    parts.retain(|part| Arc::strong_count(part) == 1);
    // A thread that is ending has nothing to put them into.
    let _ = WAITING.try_with(|waiting| {
        if let Ok(mut waiting) = waiting.try_borrow_mut()
            && let Some(waiting) = waiting.as_mut()
        {
            let room = WAITING_MAX.saturating_sub(waiting.len());
            waiting.extend(parts.drain(..room.min(parts.len())));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SEGMENT_BYTES, Segments};

    fn watched(parts: usize) -> (Segments, std::sync::Weak<Vec<u8>>) {
        let mut segments = Segments::new();
        segments.extend_zeroes(parts * SEGMENT_BYTES);
        let last = Arc::downgrade(&segments.parts()[0]);
        (segments, last)
    }

    #[test]
    fn long_ones_wait_for_their_turns_and_short_ones_do_not() {
        let (long, watch) = watched(FREED_PER_TURN + 1);
        drop(long);
        assert!(watch.upgrade().is_none(), "this thread takes no turns yet");
        enable();
        let (short, watch) = watched(LAZY_PARTS_MIN - 1);
        drop(short);
        assert!(watch.upgrade().is_none());
        let (long, watch) = watched(FREED_PER_TURN + 1);
        drop(long);
        assert!(watch.upgrade().is_some());
        assert!(free_some());
        assert!(!free_some());
        assert!(watch.upgrade().is_none());
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_shared_does_not_wait() {
        enable();
        let unique = || (0..WAITING_MAX).map(|byte| Arc::new(vec![byte as u8])).collect::<Vec<Part>>();
        let shared = unique();
        free(shared.clone());
        assert_eq!(Arc::strong_count(&shared[0]), 1);
        let (first, second) = (unique(), unique());
        let watches = [Arc::downgrade(&first[0]), Arc::downgrade(&second[0])];
        free(first);
        free(second);
        assert!(watches[0].upgrade().is_some() && watches[1].upgrade().is_none());
        while free_some() {}
        assert!(watches[0].upgrade().is_none());
    }
}
