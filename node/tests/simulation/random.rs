//! Numbers from a seed.

use std::ops::Range;

/// xorshift64*: good enough to choose delays and faults.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// One of the range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + (self.next() >> 11) % (range.end - range.start).max(1)
    }

    /// True in so many of a thousand cases.
    pub fn per_mille(&mut self, share: u64) -> bool {
        self.within(0..1000) < share
    }

    /// One of these, if there is any.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.within(0..of.len() as u64) as usize]) }
    }
}
