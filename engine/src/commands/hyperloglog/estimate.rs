//! From registers to a count: the improved estimator of Otmar Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (arXiv:1702.01284), which needs no table of corrections.

use super::registers::{Histogram, REGISTERS};

/// The highest value that a register has of a pattern of 50 bits.
const VALUE_MAX: usize = 51;
/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// How many different elements were seen, about.
pub(super) fn estimate(histogram: &Histogram) -> u64 {
    let all = REGISTERS as f64;
    let mut sum = all * tau((all - f64::from(histogram[VALUE_MAX])) / all);
    for value in (1..VALUE_MAX).rev() {
        sum = (sum + f64::from(histogram[value])) * 0.5;
    }
    sum += all * sigma(f64::from(histogram[0]) / all);
    (ALPHA * all * all / sum).round() as u64
}

/// For registers that never saw anything.
fn sigma(share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (share, 1.0, share);
    loop {
        power *= power;
        let before = sum;
        sum += power * weight;
        weight += weight;
        if before == sum {
            return sum;
        }
    }
}

/// For registers that can rise no more.
fn tau(share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (share, 1.0, 1.0 - share);
    loop {
        root = root.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - root) * (1.0 - root) * weight;
        if before == sum {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::registers::{Hll, element};
    use super::*;

    #[test]
    fn counts_are_near() {
        let mut hll = Hll::new();
        let mut seen = 0u64;
        for wanted in [0u64, 1, 10, 100, 1000, 10_000, 100_000] {
            while seen < wanted {
                hll.raise(element(&seen.to_le_bytes()), 3000).unwrap();
                seen += 1;
            }
            let counted = estimate(&hll.view().histogram().unwrap());
            assert!(counted.abs_diff(wanted) as f64 <= wanted as f64 * 0.03, "{counted} of {wanted}");
        }
    }
}
