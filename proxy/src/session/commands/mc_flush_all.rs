//! memcached: flush_all, at once or later.

use swell_engine::commands::memcached::stat::McStat;
use swell_wire::memcached::number;
use swell_wire::{Args, Out, OwnedArgs};

use crate::catalog;
use crate::memcached::refuse;
use crate::session::walk::{self, Walk};
use crate::session::{Flow, SessionCx};

/// Words of the longest line that memcached takes; the third has no meaning.
const WORDS_MAX: usize = 3;
/// Delays up to this many seconds (30 days) count from now, later ones are unix times.
const RELATIVE_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

/// Flushes memcached's one key space, which is database 0. Whatever was to be flushed later is forgotten.
pub fn flush_all(cx: &mut SessionCx<'_>, args: Args<'_>, out: &mut Out) -> Flow {
    if args.len() > WORDS_MAX {
        return refuse(cx.core, b"ERROR\r\n", out);
    }
    cx.core.handle.count(McStat::CmdFlush);
    let Some(delay) = args.opt(1).map_or(Some(0), number::signed) else {
        return refuse(cx.core, b"CLIENT_ERROR invalid exptime argument\r\n", out);
    };
    let delayed = &cx.core.shared.delayed_flush;
    if let Some(at_ms) = later(delay, cx.core.now_ms) {
        delayed.schedule(at_ms);
        out.raw(b"OK\r\n");
        return Flow::Done;
    }
    delayed.cancel();
    let Some(command) = catalog::resp().by_name(b"flushdb") else { return Flow::Done };
    let walk = Walk { command, called: cx.command, answer: Some(b"OK\r\n") };
    walk::begin(cx.core, cx.session, walk, OwnedArgs::from_slices(&["flushdb"]).as_args(), out)
}

/// When to flush, in unix milliseconds; nothing: now.
fn later(delay: i64, now_ms: u64) -> Option<u64> {
    let at_ms = match delay {
        ..=0 => return None,
        1..=RELATIVE_SECONDS_MAX => now_ms.saturating_add(delay as u64 * 1000),
        _ => (delay as u64).saturating_mul(1000),
    };
    (at_ms > now_ms).then_some(at_ms)
}

#[cfg(test)]
mod tests {
    use super::later;

    #[test]
    fn delays_are_relative_up_to_thirty_days() {
        let now_ms = 1_700_000_000_000;
        assert_eq!(later(0, now_ms), None);
        assert_eq!(later(-1, now_ms), None);
        assert_eq!(later(2, now_ms), Some(now_ms + 2_000));
        assert_eq!(later(2_592_000, now_ms), Some(now_ms + 2_592_000_000));
        assert_eq!(later(2_592_001, now_ms), None, "a time in 1970");
        assert_eq!(later(1_700_000_010, now_ms), Some(now_ms + 10_000));
        assert_eq!(later(i64::MAX, now_ms), Some(u64::MAX));
    }
}
