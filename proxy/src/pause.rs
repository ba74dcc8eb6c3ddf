//! CLIENT PAUSE: commands of all clients of this proxy, or those that may write, wait until a moment or CLIENT UNPAUSE.
//! Nobody reads an error: what is held back stands first in its client's backlog, whose socket is not read, so that a
//! pause costs no more memory than any other late answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use swell_engine::Spec;
use swell_engine::spec::Flags;
use tokio::sync::Notify;

use crate::shared::unix_ms;

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// What may write.
    Write,
    /// Everything.
    All,
}

/// The pause of a proxy: until when which commands wait, in unix milliseconds; 0: they do not.
#[derive(Debug, Default)]
pub struct Pause {
    write_until_ms: AtomicU64,
    all_until_ms: AtomicU64,
    ended: Notify,
}

impl Pause {
    /// Begins one, on top of what there is: whichever lasts longer holds, and the stronger kind while both do.
    pub fn begin(&self, until_ms: u64, paused: Paused, now_ms: u64) {
        let until_ms = match self.holding(now_ms) {
            Some((_, until)) => until_ms.max(until),
            None => until_ms,
        };
        let kind = self.holding(now_ms).map_or(paused, |(kind, _)| kind.max(paused));
        self.write_until_ms.store(until_ms, Relaxed);
        if kind == Paused::All {
            self.all_until_ms.store(until_ms, Relaxed);
        }
    }

    /// Ends it; all who wait go on.
    pub fn end(&self) {
        self.write_until_ms.store(0, Relaxed);
        self.all_until_ms.store(0, Relaxed);
        self.ended.notify_waiters();
    }

    /// Which pause holds, and until when.
    pub fn holding(&self, now_ms: u64) -> Option<(Paused, u64)> {
        let (write, all) = (self.write_until_ms.load(Relaxed), self.all_until_ms.load(Relaxed));
        if all > now_ms {
            Some((Paused::All, all.max(write)))
        } else {
            (write > now_ms).then_some((Paused::Write, write))
        }
    }

    /// Whether a command has to wait. `writes`: it may write.
    pub fn holds(&self, writes: bool, now_ms: u64) -> bool {
        self.holding(now_ms).is_some_and(|(paused, _)| paused == Paused::All || writes)
    }

    /// Waits until such a command may run.
    pub async fn over(&self, writes: bool) {
        loop {
            // Listening before looking, lest the end come in between.
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            let now_ms = unix_ms();
            let Some((_, until_ms)) = self.holding(now_ms).filter(|_| self.holds(writes, now_ms)) else { return };
            let left = Duration::from_millis(until_ms - now_ms);
            // Either ends the waiting; the loop looks which.
            let _ = tokio::time::timeout(left, ended).await;
        }
    }
}

/// Commands that a pause of writes holds back though they are not flagged as writes: what they do may reach others.
const MAY_WRITE: &[&str] = &["eval", "evalsha", "fcall", "pfcount", "publish", "spublish"];

/// Whether a command may change data, as far as its name tells.
pub fn may_write(spec: &Spec) -> bool {
    spec.flags.has(Flags::WRITE) || MAY_WRITE.contains(&spec.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_by_its_time_and_is_never_cut_short_by_another() {
        let pause = Pause::default();
        assert_eq!(pause.holding(0), None);
        pause.begin(1_000, Paused::Write, 0);
        assert_eq!(pause.holding(0), Some((Paused::Write, 1_000)));
        assert!(pause.holds(true, 999) && !pause.holds(false, 999) && !pause.holds(true, 1_000));
        pause.begin(300, Paused::All, 0);
        assert_eq!(pause.holding(0), Some((Paused::All, 1_000)));
        pause.begin(1_200, Paused::Write, 0);
        assert_eq!(pause.holding(0), Some((Paused::All, 1_200)));
        pause.end();
        assert_eq!(pause.holding(0), None);
        pause.begin(5_000, Paused::All, 0);
        pause.begin(9_000, Paused::Write, 6_000);
        assert_eq!(pause.holding(6_000), Some((Paused::Write, 9_000)));
    }
}
