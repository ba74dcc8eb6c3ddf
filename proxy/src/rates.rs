//! How much is going on at the moment: commands and bytes per second, from the sums at the last ticks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::stats::Sums;

/// Samples kept (Redis: `STATS_METRIC_SAMPLES`); a busy worker ticks ten times a second.
const SAMPLES_MAX: usize = 16;
/// What is longer ago than this is no longer "at the moment", in milliseconds. An idle worker ticks once a second.
const WINDOW_MS: u64 = 2_500;
const MS_PER_SECOND: f64 = 1000.0;

/// The last samples. Touched some ten times a second.
#[derive(Debug, Default)]
pub struct Rates(Mutex<VecDeque<(u64, Sums)>>);

/// Means over the last seconds, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub commands: f64,
    pub bytes_in: f64,
    pub bytes_out: f64,
}

impl Rates {
    /// Notes the sums as of `now_ms`, any clock's milliseconds.
    pub fn sample(&self, now_ms: u64, sums: Sums) {
        let mut samples = self.lock();
        samples.push_back((now_ms, sums));
        while samples.len() > SAMPLES_MAX
            || samples.len() > 2 && samples.front().is_some_and(|(at_ms, _)| at_ms + WINDOW_MS < now_ms)
        {
            samples.pop_front();
        }
    }

    /// The rates between the oldest and the latest sample; zero while there are not two.
    pub fn get(&self) -> Rate {
        let samples = self.lock();
        let (Some((from_ms, from)), Some((to_ms, to))) = (samples.front(), samples.back()) else {
            return Rate::default();
        };
        let seconds = to_ms.saturating_sub(*from_ms) as f64 / MS_PER_SECOND;
        let per_second =
            |from: u64, to: u64| if seconds > 0.0 { to.saturating_sub(from) as f64 / seconds } else { 0.0 };
        Rate {
            commands: per_second(from.commands, to.commands),
            bytes_in: per_second(from.bytes_in, to.bytes_in),
            bytes_out: per_second(from.bytes_out, to.bytes_out),
        }
    }

    /// Forgets all samples: the sums begin again at zero.
    pub fn reset(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Sums)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(commands: u64) -> Sums {
        Sums { commands, bytes_in: commands * 10, bytes_out: commands * 20 }
    }

    #[test]
    fn the_mean_of_the_last_seconds() {
        let rates = Rates::default();
        assert_eq!(rates.get(), Rate::default());
        rates.sample(0, sums(1_000_000));
        assert_eq!(rates.get(), Rate::default(), "one sample says nothing");
        rates.sample(500, sums(1_000_100));
        assert_eq!(rates.get(), Rate { commands: 200.0, bytes_in: 2_000.0, bytes_out: 4_000.0 });
        for tick in 1..=40 {
            rates.sample(500 + tick * 100, sums(1_000_100));
        }
        assert_eq!(rates.get(), Rate::default(), "the burst is over");
    }

    #[test]
    fn slow_ticks_still_give_a_rate() {
        let rates = Rates::default();
        for second in 0..10 {
            rates.sample(second * 1_000, sums(second * 7));
        }
        assert_eq!(rates.get().commands, 7.0);
        rates.reset();
        rates.sample(10_000, sums(0));
        assert_eq!(rates.get(), Rate::default());
    }
}
