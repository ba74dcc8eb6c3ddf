//! The 24-bit access clock of an entry: an LRU time, or an LFU time with a logarithmic counter.

/// Milliseconds per tick of the LRU clock. 24 bits of it wrap after 19 days, so idle times are right up to 9. (Redis ticks once a second, which on a
/// busy cache makes all recent keys equal.)
pub const LRU_TICK_MS: u64 = 100;
/// The counter a new key starts with under LFU (Redis: `LFU_INIT_VAL`).
pub const LFU_INITIAL: u8 = 5;
const MASK: u32 = 0x00ff_ffff;

/// The LRU clock at a time.
#[inline]
pub fn lru_clock(now_ms: u64) -> u32 {
    (now_ms / LRU_TICK_MS) as u32 & MASK
}

/// Milliseconds between an LRU clock and now, allowing for one wrap. A clock that is ahead (another worker's, or the
/// system's was set back) is no time ago: hence idle times end at half the range.
#[inline]
pub fn idle_ms(clock: u32, now_ms: u64) -> u64 {
    let ticks = lru_clock(now_ms).wrapping_sub(clock) & MASK;
    if ticks > MASK / 2 { 0 } else { u64::from(ticks) * LRU_TICK_MS }
}

/// An LFU clock: minutes (16 bits) above the counter (8 bits).
pub fn lfu_clock(now_ms: u64, counter: u8) -> u32 {
    (minutes(now_ms) << 8) | u32::from(counter)
}

/// The counter after the decay since its minute: one per `decay_minutes`.
pub fn lfu_decayed(clock: u32, now_ms: u64, decay_minutes: u32) -> u8 {
    let elapsed = match minutes(now_ms).wrapping_sub(clock >> 8) & 0xffff {
        // Ahead of this worker's time.
        0x8000.. => 0,
        minutes => minutes,
    };
    let periods = elapsed.checked_div(decay_minutes).unwrap_or(0);
    (clock as u8).saturating_sub(periods.min(255) as u8)
}

/// The clock after one more access: decay, then count with probability 1 / (counter × factor + 1).
pub fn lfu_touch(clock: u32, now_ms: u64, decay_minutes: u32, log_factor: u32, random: u64) -> u32 {
    let counter = lfu_decayed(clock, now_ms, decay_minutes);
    let base = u64::from(counter.saturating_sub(LFU_INITIAL));
    let one_in = base * u64::from(log_factor) + 1;
    let counted = if counter < 255 && random.is_multiple_of(one_in) { counter + 1 } else { counter };
    lfu_clock(now_ms, counted)
}

fn minutes(now_ms: u64) -> u32 {
    (now_ms / 60_000) as u32 & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_survives_a_wrap() {
        let start = (1u64 << 24) * LRU_TICK_MS * 7 - 500;
        assert_eq!(idle_ms(lru_clock(start), start + 2_000), 2_000);
        assert_eq!(idle_ms(lru_clock(start), start), 0);
        assert_eq!(idle_ms(lru_clock(start + 300), start), 0, "a clock ahead is no time ago");
    }

    #[test]
    fn frequency_grows_slowly_and_decays() {
        let now = 1_700_000_000_000;
        let mut clock = lfu_clock(now, LFU_INITIAL);
        clock = lfu_touch(clock, now, 1, 10, 0);
        assert_eq!(clock as u8, LFU_INITIAL + 1);
        assert_eq!(lfu_touch(clock, now, 1, 10, 3) as u8, LFU_INITIAL + 1, "one in eleven");
        assert_eq!(lfu_decayed(clock, now + 3 * 60_000, 1), LFU_INITIAL - 2);
        assert_eq!(lfu_decayed(clock, now + 3 * 60_000, 0), LFU_INITIAL + 1, "no decay when it is off");
    }
}
