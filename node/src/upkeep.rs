//! What a node does beside requests, a little at a time: active expiry, eviction of what CONFIG SET left over,
//! giving memory back.

use swell_engine::expire::UpkeepCursor;

use crate::embedded::Handle;

/// Keys looked at for expiry in one tick; about a millisecond's work.
const EXPIRE_KEYS_PER_TICK: u64 = 10_000;
/// Bytes moved in one tick to make sparse memory dense.
const COMPACT_BYTES_PER_TICK: u64 = 4 * 1024 * 1024;
/// Slots looked at for that in one tick.
const COMPACT_SLOTS_PER_TICK: usize = 512;

/// The state of a node's upkeep; one worker runs it.
#[derive(Debug, Default)]
pub struct Upkeep {
    cursor: UpkeepCursor,
}

impl Upkeep {
    /// One tick; called about ten times a second with the time in unix milliseconds. Returns whether there is more to
    /// do at once.
    pub fn tick(&mut self, handle: &mut Handle, now_ms: u64) -> bool {
        let (engine, local) = handle.parts();
        let visited = engine.expire_due(local, &mut self.cursor, now_ms, EXPIRE_KEYS_PER_TICK);
        engine.refresh_excess();
        if engine.is_over_limit(local) {
            // Without a policy nothing can go; writes are refused where they happen.
            let _ = engine.make_room(local, now_ms);
        }
        if engine.is_sparse() {
            engine.compact(local, &mut self.cursor, COMPACT_BYTES_PER_TICK, COMPACT_SLOTS_PER_TICK);
        }
        visited >= EXPIRE_KEYS_PER_TICK
    }
}
