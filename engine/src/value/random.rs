//! Drawing elements: a generator seeded by the caller, and a sample of a run.

/// A stream of pseudo-random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Each seed gives another stream.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    #[inline]
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, all with the same chance; 0 for no bound.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.number()) * bound as u128) >> 64) as usize
    }

    /// `count` of the `len` items, none twice, each with the same chance, in their order.
    pub fn sample<T>(&mut self, items: impl Iterator<Item = T>, len: usize, count: usize, mut each: impl FnMut(T)) {
        let (mut left, mut wanted) = (len, count.min(len));
        for item in items {
            if wanted == 0 {
                return;
            }
            if self.below(left) < wanted {
                each(item);
                wanted -= 1;
            }
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_as_long_as_asked_for_and_fair() {
        let mut random = Random::new(3);
        let mut times = [0u32; 10];
        for _ in 0..30_000 {
            let mut taken = Vec::new();
            random.sample(0..10usize, 10, 3, |item| taken.push(item));
            assert!(taken.len() == 3 && taken.is_sorted_by(|one, next| one < next), "{taken:?}");
            taken.into_iter().for_each(|item| times[item] += 1);
        }
        // 9000 expected, standard deviation 80.
        assert!(times.iter().all(|&count| (8_500..9_500).contains(&count)), "{times:?}");
        let mut all = 0;
        random.sample(0..10, 10, 50, |_| all += 1);
        assert_eq!(all, 10);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new(0);
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }
}
