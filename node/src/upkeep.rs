//! What a node does beside requests, a little at a time: active expiry, packing and giving back memory.

use swell_engine::expire::UpkeepCursor;

use crate::embedded::Handle;

/// Keys looked at for expiry in one tick; about a millisecond's work.
const EXPIRE_KEYS_PER_TICK: u64 = 10_000;
/// Bytes moved in one tick to make sparse memory dense; about a millisecond's work.
const COMPACT_BYTES_PER_TICK: u64 = 512 * 1024;
/// Slots looked at for that in one tick.
const COMPACT_SLOTS_PER_TICK: usize = 128;

/// The state of a node's upkeep; one worker runs it.
#[derive(Debug, Default)]
pub struct Upkeep {
    cursor: UpkeepCursor,
    /// Slots looked at since packing last moved anything: after a whole round there is nothing to gain.
    fruitless: usize,
}

impl Upkeep {
    /// One tick, with the time in unix milliseconds. Returns whether there is more to do at once. While slots come and
    /// go, memory is left as it is: requests and streams want the core, and whole spans become free by themselves.
    pub fn tick(&mut self, handle: &mut Handle, now_ms: u64) -> bool {
        let (engine, local) = handle.parts();
        let expiring = engine.expire_due(local, &mut self.cursor, now_ms, EXPIRE_KEYS_PER_TICK);
        engine.note_peak();
        let is_full = engine.evict_in_upkeep(local, now_ms);
        engine.serve_rest(local);
        let is_behind = expiring >= EXPIRE_KEYS_PER_TICK || is_full;
        if handle.node().is_moving(now_ms) {
            return is_behind;
        }
        let packing = handle.engine().is_sparse() && self.pack(handle);
        is_behind || packing || handle.engine().use_huge_pages()
    }

    fn pack(&mut self, handle: &mut Handle) -> bool {
        let (engine, local) = handle.parts();
        let moved = engine.compact(local, &mut self.cursor, COMPACT_BYTES_PER_TICK, COMPACT_SLOTS_PER_TICK);
        self.fruitless = if moved > 0 { 0 } else { self.fruitless + COMPACT_SLOTS_PER_TICK };
        if self.fruitless < swell_ring::SLOTS {
            return true;
        }
        self.fruitless = 0;
        false
    }
}
