//! How much of a core copying may take: whoever works rests in proportion, so that requests find the core free.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// Rest per work. As much rest as work leaves half of a core to requests, and still copies several hundred thousand small
/// keys per second. Work is measured as time that passes: on a core that is wanted by others too, a piece takes longer,
/// and so does the rest after it.
const RESTS_PER_WORK: u32 = 1;
/// Shorter rests are added up: a timer is no finer than this.
const REST_MIN: Duration = Duration::from_millis(1);
/// One long piece of work (a thread that did not get its core) makes nobody wait longer than this.
const REST_MAX: Duration = Duration::from_millis(20);

/// While a group is sealed its requests wait: copies of others do not get in its way for so long.
const SEALED_REST_MAX: Duration = Duration::from_millis(20);
/// How often bulk work looks whether it may go on beside a sealed group.
pub const SEALED_TICK: Duration = Duration::from_millis(1);

/// Shared by all streams of one thread.
#[derive(Clone, Debug)]
pub struct Pace(Rc<Times>);

#[derive(Debug)]
struct Times {
    /// From when on copying may go on.
    free_at: Cell<Instant>,
    sealed: Cell<usize>,
    sealed_at: Cell<Instant>,
}

impl Pace {
    /// Nothing has been done yet.
    pub fn new(now: Instant) -> Pace {
        Pace(Rc::new(Times { free_at: Cell::new(now), sealed: Cell::new(0), sealed_at: Cell::new(now) }))
    }

    /// A group has been sealed.
    pub fn sealed(&self, now: Instant) {
        self.0.sealed.update(|sealed| sealed + 1);
        self.0.sealed_at.set(now);
    }

    /// A sealed group has been released, or is served again.
    pub fn unsealed(&self) {
        self.0.sealed.update(|sealed| sealed - 1);
    }

    /// Whether copies should wait because a group is sealed.
    pub fn is_sealed(&self, now: Instant) -> bool {
        self.0.sealed.get() > 0 && now < self.0.sealed_at.get() + SEALED_REST_MAX
    }

    /// A piece of work is done; how long to rest before the next one.
    pub fn worked(&self, began: Instant, now: Instant) -> Duration {
        let work = now.saturating_duration_since(began);
        let free_at = (self.0.free_at.get().max(began) + work * (1 + RESTS_PER_WORK)).min(now + REST_MAX);
        self.0.free_at.set(free_at);
        match free_at.saturating_duration_since(now) {
            short if short < REST_MIN => Duration::ZERO,
            rest => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: Duration = Duration::from_micros(300);

    #[test]
    fn half_of_the_time_is_work_however_many_share_it() {
        let start = Instant::now();
        let (pace, mut now, mut worked) = (Pace::new(start), start, Duration::ZERO);
        let streams = [pace.clone(), pace];
        while now < start + Duration::from_secs(1) {
            for stream in &streams {
                let began = now;
                now += PIECE;
                worked += PIECE;
                now += stream.worked(began, now);
            }
        }
        assert!((Duration::from_millis(480)..=Duration::from_millis(520)).contains(&worked), "{worked:?}");
    }

    #[test]
    fn a_sealed_group_holds_others_up_for_a_moment() {
        let start = Instant::now();
        let pace = Pace::new(start);
        pace.sealed(start);
        pace.sealed(start);
        pace.unsealed();
        assert!(pace.is_sealed(start + Duration::from_millis(19)));
        assert!(!pace.is_sealed(start + SEALED_REST_MAX));
        pace.unsealed();
        assert!(!pace.is_sealed(start));
    }

    #[test]
    fn a_thread_that_stood_still_does_not_rest_for_ever() {
        let start = Instant::now();
        assert_eq!(Pace::new(start).worked(start, start + Duration::from_secs(5)), REST_MAX);
        assert_eq!(Pace::new(start).worked(start, start + PIECE), Duration::ZERO);
    }
}
