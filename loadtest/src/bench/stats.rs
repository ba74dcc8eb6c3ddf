//! Medians and latency percentiles of runs.

use hdrhistogram::Histogram;

/// The middle of the values, or the mean of the two middle ones; NaN when there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The value that the share `quantile` of all recorded ones do not exceed, in microseconds; nanoseconds were recorded.
pub fn quantile_us(latency: &Histogram<u64>, quantile: f64) -> f64 {
    latency.value_at_quantile(quantile) as f64 / 1_000.0
}

/// The value below or at which `percent` of the ascending values lie (the nearest rank); 0 when there are none.
pub fn rank_us(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::driver::latency_histogram;

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn ranks_are_values_that_occurred() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!([1, 50, 99, 100].map(|percent| rank_us(&values, percent)), [2, 100, 198, 200]);
        assert_eq!(rank_us(&[7], 1), 7);
        assert_eq!(rank_us(&[], 99), 0);
    }

    #[test]
    fn percentiles_are_read_to_three_digits() {
        let mut latency = latency_histogram();
        for microseconds in 1..=1_000u64 {
            latency.saturating_record(microseconds * 1_000);
        }
        for (quantile, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let read = quantile_us(&latency, quantile);
            assert!((read - expected).abs() <= expected / 500.0, "p{quantile}: {read}");
        }
    }
}
