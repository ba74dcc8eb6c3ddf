//! Draws ranks from a Zipf distribution in constant time and memory, for loads with a few hot keys.

use crate::workload::Rng;

/// Zipf's law over ranks `1..=n`: rank k is drawn with a probability proportional to 1 / k^s.
///
/// Rejection-inversion after W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone
/// discrete distributions" (1996): a point under the continuous hull of the histogram is drawn by inverting the hull's
/// integral, and thrown again in the rare case that it lies outside the bar of the nearest rank.
#[derive(Debug, Clone)]
pub struct Zipf {
    ranks: f64,
    exponent: f64,
    /// The hull's integral at the left edge of rank 1 and at the right edge of the last rank.
    area_start: f64,
    area_end: f64,
    /// A point at most this far left of its rank is certainly inside the bar.
    sure: f64,
}

impl Zipf {
    /// `ranks` of 0 counts as 1; a negative or NaN `exponent` counts as 0 (uniform).
    pub fn new(ranks: u64, exponent: f64) -> Zipf {
        let ranks = ranks.max(1) as f64;
        let exponent = exponent.max(0.0);
        Zipf {
            ranks,
            exponent,
            area_start: area(1.5, exponent) - 1.0,
            area_end: area(ranks + 0.5, exponent),
            sure: 2.0 - area_inverse(area(2.5, exponent) - bar(2.0, exponent), exponent),
        }
    }

    /// A rank from 1 (the most frequent) to `ranks`.
    pub fn rank(&self, rng: &mut Rng) -> u64 {
        loop {
            let under = self.area_end + rng.unit() * (self.area_start - self.area_end);
            let point = area_inverse(under, self.exponent);
            let rank = point.round().clamp(1.0, self.ranks);
            let inside = under >= area(rank + 0.5, self.exponent) - bar(rank, self.exponent);
            if rank - point <= self.sure || inside {
                return rank as u64;
            }
        }
    }
}

/// The height of the histogram at `x`.
fn bar(x: f64, exponent: f64) -> f64 {
    x.powf(-exponent)
}

/// The integral of the height from 1 to `x`.
fn area(x: f64, exponent: f64) -> f64 {
    let power = 1.0 - exponent;
    if power.abs() < EXPONENT_NEAR_ONE { x.ln() } else { (x.powf(power) - 1.0) / power }
}

fn area_inverse(area: f64, exponent: f64) -> f64 {
    let power = 1.0 - exponent;
    if power.abs() < EXPONENT_NEAR_ONE { area.exp() } else { (1.0 + area * power).powf(1.0 / power) }
}

/// Closer to 1 than this the power form loses its digits and the logarithm is exact enough.
const EXPONENT_NEAR_ONE: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 400_000;

    /// How often each rank came, beside how often it should have come.
    fn frequencies(ranks: u64, exponent: f64) -> Vec<(f64, f64)> {
        let zipf = Zipf::new(ranks, exponent);
        let mut rng = Rng::new(11);
        let mut seen = vec![0u32; ranks as usize];
        for _ in 0..DRAWS {
            seen[zipf.rank(&mut rng) as usize - 1] += 1;
        }
        let total: f64 = (1..=ranks).map(|rank| bar(rank as f64, exponent)).sum();
        let share = |rank: usize| bar(rank as f64, exponent) / total;
        seen.iter().enumerate().map(|(at, &n)| (f64::from(n) / f64::from(DRAWS), share(at + 1))).collect()
    }

    #[test]
    fn every_rank_comes_as_often_as_the_law_says() {
        for exponent in [0.0, 0.5, 0.99, 1.0, 1.5] {
            for (at, (seen, expected)) in frequencies(100, exponent).into_iter().enumerate() {
                // Five standard deviations of a binomial count.
                let bound = 5.0 * (expected * (1.0 - expected) / f64::from(DRAWS)).sqrt();
                assert!((seen - expected).abs() < bound, "s {exponent}, rank {}: {seen} for {expected}", at + 1);
            }
        }
    }

    #[test]
    fn one_rank_and_very_many_ranks_stay_in_range() {
        let mut rng = Rng::new(3);
        assert_eq!(Zipf::new(1, 0.99).rank(&mut rng), 1);
        let wide = Zipf::new(1_000_000_000, 0.99);
        assert!((0..10_000).all(|_| (1..=1_000_000_000).contains(&wide.rank(&mut rng))));
    }
}
