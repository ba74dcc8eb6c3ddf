//! How fast a stream may go: a bucket that fills with time and is emptied by bytes.

use std::time::Duration;

use tokio::time::Instant;

/// A stream may be ahead of its rate by what the rate gives in this time.
const BURST: Duration = Duration::from_millis(50);

/// A bound in bytes per second. May fall below zero by one piece, which is then waited for.
#[derive(Debug)]
pub struct Bucket {
    /// 0: no bound.
    bytes_per_second: u64,
    bytes: f64,
    filled: Instant,
}

impl Bucket {
    /// Full, at this time. 0: no bound.
    pub fn new(bytes_per_second: u64, now: Instant) -> Bucket {
        Bucket { bytes_per_second, bytes: bytes_per_second as f64 * BURST.as_secs_f64(), filled: now }
    }

    /// Takes these bytes, which have been sent; says how long to wait before more are.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let rate = self.bytes_per_second as f64;
        let grown = self.bytes + rate * now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.bytes = grown.min(rate * BURST.as_secs_f64()) - bytes as f64;
        Duration::from_secs_f64((-self.bytes / rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_takes_a_seconds_bytes() {
        let start = Instant::now();
        let (mut bucket, mut now, mut sent) = (Bucket::new(1_000_000, start), start, 0);
        while now < start + Duration::from_secs(1) {
            now += bucket.take(10_000, now);
            sent += 10_000;
        }
        // A second's, the burst, and one piece.
        assert!((1_000_000..=1_060_000).contains(&sent), "{sent}");
        assert_eq!(Bucket::new(0, start).take(usize::MAX, start), Duration::ZERO);
    }

    #[test]
    fn what_was_not_used_does_not_pile_up() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1_000_000, start);
        let later = start + Duration::from_secs(60);
        assert_eq!(bucket.take(50_000, later), Duration::ZERO);
        let wait = bucket.take(10_000, later);
        assert!((Duration::from_micros(9_900)..=Duration::from_micros(10_100)).contains(&wait), "{wait:?}");
    }
}
