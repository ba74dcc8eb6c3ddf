//! How much of a core copying may take: whoever works rests in proportion, so that requests find the core free.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// Rest per work. Two rests per piece of work leave two thirds of a core to requests, and still copy several hundred
/// thousand small keys per second. Work is measured as time that passes: on a core that is wanted by others too, a piece
/// takes longer, and so does the rest after it.
const RESTS_PER_WORK: u32 = 2;
/// Shorter rests are added up: a timer is no finer than this.
const REST_MIN: Duration = Duration::from_millis(1);
/// One long piece of work (a thread that did not get its core) makes nobody wait longer than this.
const REST_MAX: Duration = Duration::from_millis(20);

/// Shared by all streams of one thread.
#[derive(Clone, Debug)]
pub struct Pace(Rc<Cell<Instant>>);

impl Pace {
    /// Nothing has been done yet.
    pub fn new(now: Instant) -> Pace {
        Pace(Rc::new(Cell::new(now)))
    }

    /// A piece of work is done; how long to rest before the next one.
    pub fn worked(&self, began: Instant, now: Instant) -> Duration {
        let rest = now.saturating_duration_since(began) * RESTS_PER_WORK;
        let free_at = (self.0.get().max(began) + rest).min(now + REST_MAX);
        self.0.set(free_at);
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
    fn a_third_of_the_time_is_work_however_many_share_it() {
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
        assert!((Duration::from_millis(320)..=Duration::from_millis(350)).contains(&worked), "{worked:?}");
    }

    #[test]
    fn a_thread_that_stood_still_does_not_rest_for_ever() {
        let start = Instant::now();
        assert_eq!(Pace::new(start).worked(start, start + Duration::from_secs(5)), REST_MAX);
        assert_eq!(Pace::new(start).worked(start, start + PIECE), Duration::ZERO);
    }
}
